"""What the comparison says: SS-ACL's margins over its best rival, its variants beside it, and whether the rivals are alive."""

import numpy as np
import pandas as pd

from ..baselines.registry import ABLATION, BUDGET, FINDINGS, METHODS, PHRASES, REPORTS, SSACL, TRAINED
from ..metrics.intervals import percentile_interval
from ..record.spread import student_quantile
from .comparison_run import PATIENTS
from .comparison_tables import GROUNDING, KEY, Scores, interval

LEXICAL = ("bleu4", "rouge_l", "cider")
CLINICAL = {"micro_f1_positive": "micro_f1_13", "micro_f1_uncertain_positive": "micro_f1_13_uncertain_as_positive"}
MAP_NAMES = {"": "similarity map", "_masked": "masked map"}
"""Ending of a margin's name -> the kind of map. The paper does not say how its maps are made; both are stated."""

AUC = (FINDINGS, "mean of findings", "auc")
F1 = (REPORTS, "reports", "micro_f1_13")
MASKED_CNR = (PHRASES, "masked map", "cnr")
MARGIN_COLUMNS = [
    "claim",
    "metric",
    "margin",
    "low",
    "high",
    "method",
    "best_baseline",
    "n",
    "seeds",
    "rival_seeds",
    "file",
]

PAPER = {"lexical": 0.10, "clinical": 0.25, "grounding": 0.08}
"""The paper's claims over the best other method (abstract), relative: cited, not measured here."""

HEADLINES = {
    "lexical": ("mean_relative",),
    "clinical": ("micro_f1_positive", "micro_f1_uncertain_positive"),
    "grounding": ("cnr_masked", "cnr"),
}
"""Claim -> the margins that answer it: clinical in both conventions, grounding for each kind of map."""


def margins(scores: list[Scores], lender: dict | None = None) -> pd.DataFrame:
    """Relative margin of SS-ACL over its best rival, per claim and metric, as fractions.

    Columns: those of MARGIN_COLUMNS. The best rival is the best method on the same studies that is no variant of SS-ACL (chosen
    after the fact, which is in its favour). lexical, mean_relative: mean of the relative margins of BLEU-4, ROUGE-L and CIDEr,
    each over its own best rival. Intervals over studies are paired; `seeds` counts SS-ACL's trainings, `rival_seeds` the rival's
    (the fewest, of several; 0: none was trained), and a rival's trainings widen the interval in squares (`spread_of_rival`).
    What was trained once borrows the spread of SS-ACL's trainings (`borrowed`): its own here, or those of `lender`, draws by key.
    `file` names the per-study results behind a row, SS-ACL's first.
    """
    own = next((entry for entry in scores if entry.method.name == SSACL), None)
    rows: list[dict] = []
    if own is None:
        return pd.DataFrame(columns=MARGIN_COLUMNS)

    def add(claim: str, name: str, keys: list[tuple[str, str, str]]) -> None:
        found = [best_rival(scores, key) for key in keys]
        if not all(key in own.draws for key in keys) or not all(found):
            return
        lent = lender or own.draws
        pairs = [
            tuple(
                borrowed(entry.draws[key], lent.get(key, own.draws[key])) if trains(entry) else entry.draws[key]
                for entry in (own, rival)
            )
            for key, rival in zip(keys, found, strict=True)
        ]
        draws = np.mean([relative(ours, theirs) for ours, theirs in pairs], axis=0)
        value, low, high = interval(draws)
        rivals = float(np.mean([spread_of_rival(ours, theirs) for ours, theirs in pairs]))
        low, high = value - np.hypot(value - low, rivals), value + np.hypot(high - value, rivals)
        names = list(dict.fromkeys(rival.method.name for rival in found))
        files = dict.fromkeys(entry.files[part] for entry in (own, *found) for part, *_ in keys)
        rows.append(
            {
                "claim": claim,
                "metric": name,
                "margin": value,
                "low": low,
                "high": high,
                "method": SSACL,
                "best_baseline": "; ".join(names),
                "n": own.n[keys[0]],
                "seeds": len(own.draws[keys[0]]),
                "rival_seeds": min(
                    (len(rival.draws[key]) for key, rival in zip(keys, found, strict=True) if trains(rival)), default=0
                ),
                "file": "; ".join(files),
            }
        )

    add("lexical", "mean_relative", [(REPORTS, "reports", metric) for metric in LEXICAL])
    for metric in LEXICAL:
        add("lexical", metric, [(REPORTS, "reports", metric)])
    for name, metric in CLINICAL.items():
        add("clinical", name, [(REPORTS, "reports", metric)])
    for ending, detail in MAP_NAMES.items():
        for metric in GROUNDING:
            add("grounding", metric + ending, [(PHRASES, detail, metric)])
    return pd.DataFrame(rows, columns=MARGIN_COLUMNS)


def margins_over_trained(scores: list[Scores]) -> pd.DataFrame:
    """`margins` over rivals that were trained on as many images: without the start, priors and reports that are copied."""
    return margins([entry for entry in scores if trains(entry)])


def trains(entry: Scores) -> bool:
    """Was the method trained on the comparison's images, so that another training of it would give another number?"""
    return entry.method.made == TRAINED


def best_rival(scores: list[Scores], key: tuple[str, str, str]) -> Scores | None:
    """The method with the highest number, of equal budget, annotation-free and no variant of SS-ACL; None where there is none."""
    rivals = [
        entry
        for entry in scores
        if key in entry.draws and not entry.method.ours and not entry.method.annotated and entry.method.group != BUDGET
    ]
    return max(rivals, key=lambda entry: entry.draws[key][:, 0].mean(), default=None)


def relative(own: np.ndarray, rival: np.ndarray) -> np.ndarray:
    """Own seeds over the mean of the rival's, minus 1, per draw: [seeds, 1 + resamples]."""
    rival = rival.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (own - rival) / np.abs(rival)


def spread_of_rival(own: np.ndarray, rival: np.ndarray) -> float:
    """Half width of what the rival's k trainings say of the margin; 0 where it has one, as in `interval`.

    To first order, t_(k-1) s / sqrt(k) times the slope own / rival^2 at the means: a margin from each single training would
    explode where one of them comes near 0, as those of `borrowed`, which are sqrt(k) as far apart, may.
    """
    if len(rival) < 2:
        return 0.0
    slope = own[:, 0].mean() / rival[:, 0].mean() ** 2
    return float(student_quantile(len(rival)) * np.abs(slope) * rival[:, 0].std(ddof=1) / np.sqrt(len(rival)))


def borrowed(draws: np.ndarray, own: np.ndarray) -> np.ndarray:
    """One training as if it were k, apart by as much as SS-ACL's k: [1, .] and [k, .] -> [k, .].

    The mean stays, and an interval over the k (`interval`, `spread_of_rival`) is t_(k-1) s wide to each side: what one training
    says of its recipe, if trainings of that recipe differ as SS-ACL's do. With k = 1 nothing is borrowed.
    """
    apart = own[:, :1] - own[:, :1].mean(0)
    return draws + np.sqrt(len(own)) * apart if len(draws) == 1 else draws


def ablation_table(scores: list[Scores]) -> pd.DataFrame:
    """Every method of the group ABLATION minus SS-ACL, on the same studies.

    Columns: part, detail, method, metric, value, low, high, n, runs, seed.

    SS-ACL is the mean of its k seeds and the variant one run. The interval asks whether the variant could be one more run of
    SS-ACL: over studies (paired, draw by draw) and, in squares, t_(k-1) s sqrt(1 + 1/k) of SS-ACL's own seeds. `runs` is k;
    where k is 1 the interval knows the studies alone.
    """
    own = next((entry for entry in scores if entry.method.name == SSACL), None)
    rows = []
    for entry in scores if own else ():
        if entry.method.group != ABLATION:
            continue
        for key in entry.draws.keys() & own.draws.keys():
            value, low, high = beside(entry.draws[key], own.draws[key])
            about = {**dict(zip(KEY, key, strict=True)), "method": entry.method.name}
            told = {"value": value, "low": low, "high": high, "n": own.n[key], "runs": len(own.draws[key])}
            rows.append({**about, **told, "seed": PATIENTS})
    columns = ["part", "detail", "method", "metric", "value", "low", "high", "n", "runs", "seed"]
    order = [method.name for method in METHODS]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values(
        ["method", *KEY], key=lambda c: c.map(order.index) if c.name == "method" else c, ignore_index=True
    )


def beside(other: np.ndarray, own: np.ndarray) -> tuple[float, float, float]:
    """One more run minus the mean of k runs, with the interval of `ablation_table`: draws [1, .] and [k, .]."""
    draws = other[0] - own.mean(0)
    value, low, high = percentile_interval(float(draws[0]), draws[1:])
    if len(own) > 1:
        seeds = student_quantile(len(own)) * own[:, 0].std(ddof=1) * np.sqrt(1 + 1 / len(own))
        low, high = value - np.hypot(value - low, seeds), value + np.hypot(high - value, seeds)
    return value, float(low), float(high)


def floors(scores: list[Scores]) -> pd.DataFrame:
    """Are methods alive? Differences that must lie above 0: columns of `differences`."""
    return differences(scores, FLOORS)


def writers(scores: list[Scores]) -> pd.DataFrame:
    """Do prompts that look write better reports? SS-ACL+'s decoder minus its controls, and minus SS-ACL."""
    return differences(scores, WRITERS)


def differences(scores: list[Scores], pairs) -> pd.DataFrame:
    """Paired differences of methods: method, floor (what is subtracted), metric, value, low, high, n, runs, seed.

    pairs: (method, floor, key of Scores.draws). Subtracted seed by seed; from the mean where what is subtracted has fewer.
    """
    by_name = {entry.method.name: entry for entry in scores}
    rows = []
    for method, floor, key in pairs:
        if method in by_name and floor in by_name and key in by_name[method].draws and key in by_name[floor].draws:
            other, own = by_name[method].draws[key], by_name[floor].draws[key]
            value, low, high = interval(other - (own[: len(other)] if len(own) >= len(other) else own.mean(0)))
            about = {
                "method": method,
                "floor": floor,
                "metric": key[2],
                "n": by_name[method].n[key],
                "runs": len(other),
            }
            rows.append({**about, "value": value, "low": low, "high": high, "seed": PATIENTS})
    columns = ["floor", "method", "metric", "value", "low", "high", "n", "runs", "seed"]
    return pd.DataFrame(rows, columns=columns)


WRITERS = tuple(
    (method, floor, (REPORTS, "reports", metric))
    for metric in ("micro_f1_13", *LEXICAL)
    for method, floor in (
        ("SS-ACL+ writer", "SS-ACL, writer that sees everywhere"),
        ("SS-ACL+ writer", "SS-ACL, writer as long"),
        ("SS-ACL, writer as long", SSACL),
    )
)

FLOORS = (
    ("contrast only", "untrained", AUC),
    ("contrast only", "untrained", (PHRASES, "masked map", "pointing")),
    ("MaCo-like", "untrained", AUC),
    ("masked autoencoder", "untrained", AUC),
    ("R2Gen-like", "constant report", F1),
    ("PromptMRG-like", "constant report", F1),
    ("R2Gen-like", "constant report", (REPORTS, "reports", "bleu4")),
    ("GLoRIA-like", "untrained", AUC),
    ("R2GenGPT-like", "constant report", F1),
    ("nearest training report", "constant report", F1),
    ("contrast only, no start", "untrained", AUC),
    ("contrast only, no start", "untrained", (PHRASES, "masked map", "pointing")),
    ("MaCo-like, no start", "untrained", AUC),
    ("SS-ACL, no start", "untrained", AUC),
    ("R2Gen-like, no start", "constant report", F1),
    ("PromptMRG-like, no start", "constant report", F1),
    ("SS-ACL, no start", "constant report", F1),
)
"""(method, what it must beat, by which number)."""
