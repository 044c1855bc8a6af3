"""From the rows of robustness.py to curves per family of disturbances, and the levels at which a claim holds.

All who answer are asked about the same patients and drawn alike, level by level, so a margin is paired over patients; a margin
holds at a level where its 95 % interval lies above 0. The interval is over patients and, in squares, over the trainings of both
sides, as in evaluation/comparison_margins.py. Two kinds of claims are followed:

    the paper's, as in notebook 05   SS-ACL over its best rival, relative; the rival is chosen anew at every level, in its favour
    that the film is read at all     SS-ACL over what needs no training, or no film, as a difference
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..baselines.registry import FINDINGS, LEAVES, PHRASES, REPORTS, SSACL
from ..evaluation.comparison_margins import AUC, F1, LEXICAL, MASKED_CNR, relative, spread_of_rival
from ..evaluation.comparison_run import PATIENTS
from ..evaluation.comparison_tables import interval
from ..metrics.intervals import mean_of_areas, weighted_auc
from ..metrics.lexical import bleu_of_counts
from ..settings import Settings
from .disturbances import AMOUNTS, UNDISTURBED
from .encoders import UNTRAINED
from .robustness import ATTENTION, CHANCE, CONSTANT, LOOK, PRIOR, WORDS_ATLAS
from .tables import COLUMNS, Asked, asked as asked_of, spread_of_trainings, weights

LEVELS = len(next(iter(AMOUNTS.values())))
BEST = "its best rival"
RELATIVE, DIFFERENCE = "relative", "difference"
ABOVE, TIED, BELOW = "above", "tied", "below"

POINTS = (PHRASES, "masked map", "pointing")
ATTENDED, LOOKED = ((LEAVES, kind, "pointing") for kind in (ATTENTION, LOOK))

CLAIMS = {
    "lexical": (BEST, tuple((REPORTS, "reports", metric) for metric in LEXICAL)),
    "clinical": (BEST, (F1,)),
    "grounding, masked map": (BEST, (MASKED_CNR,)),
    "grounding, similarity map": (BEST, ((PHRASES, "similarity map", "cnr"),)),
    "findings are seen": (UNTRAINED, (AUC,)),
    "phrases are found": (PRIOR, (POINTS,)),
    "leaves are found by attention": (CHANCE, (ATTENDED,)),
    "leaves are found by the head that looks": (WORDS_ATLAS, (LOOKED,)),
    "reports are read from the film": (CONSTANT, (F1,)),
}
"""Claim -> whom SS-ACL must beat, and in which numbers (several: the mean of their margins)."""

CLAIM_COLUMNS = (
    "claim",
    "against",
    "family",
    "level",
    "measure",
    "margin",
    "low",
    "high",
    "rival",
    "n",
    "runs",
    "seed",
)

Number = tuple[str, str, str]
"""part, detail, metric"""


@dataclass(frozen=True)
class Answers:
    """The numbers of one who answers: (family, level) -> number -> [seeds, 1 + resamples], and of how many studies or phrases.

    entry: the encoder beside which the answers stand. by: who gave them, "" for the encoder itself.
    """

    entry: Asked
    by: str
    draws: dict[tuple[str, int], dict[Number, np.ndarray]]
    n: dict[tuple[str, int], dict[Number, int]]

    @property
    def about(self) -> dict:
        """The columns that all rows share."""
        return {**self.entry.about, **({"method": self.by, "ours": False, "annotated": False} if self.by else {})}

    @property
    def name(self) -> str:
        """Who answers."""
        return self.about["method"]

    @property
    def rival(self) -> bool:
        """May it be SS-ACL's best rival? It needs no annotation and is no variant of SS-ACL."""
        return not self.about["ours"] and not self.about["annotated"] and self.name != CHANCE


def measured_answers(settings: Settings) -> list[Answers]:
    """Everybody of whom results are there."""
    return answers_of(asked_of(settings, "robustness"), settings)


def answers_of(asked: Sequence[Asked], settings: Settings) -> list[Answers]:
    """Everybody who answered, the encoders first; asked: of the task "robustness"."""
    studies = sorted({study for entry in asked for frame in entry.frames for study in frame["study"].unique()})
    if not studies:
        return []
    drawn, places = weights(len(studies), settings), {study: place for place, study in enumerate(studies)}
    everybody = [
        _collected(entry, name, drawn, places)
        for entry in asked
        for name in dict.fromkeys(name for frame in entry.frames for name in frame["by"])
    ]
    return sorted(everybody, key=lambda answers: bool(answers.by))


def _collected(entry: Asked, by: str, drawn: np.ndarray, places: dict) -> Answers:
    draws: dict = {}
    counts: dict = {}
    for frame in entry.frames:
        for condition, number, n, of_seed in numbers(frame[frame["by"] == by], drawn, places):
            draws.setdefault(condition, {}).setdefault(number, []).append(of_seed)
            counts.setdefault(condition, {})[number] = n
    stacked = {condition: {key: np.stack(rows) for key, rows in told.items()} for condition, told in draws.items()}
    return Answers(entry, by, stacked, counts)


def numbers(
    frame: pd.DataFrame, drawn: np.ndarray, places: dict
) -> Iterator[tuple[tuple[str, int], Number, int, np.ndarray]]:
    """(family and level, number, n, [1 + resamples]) of one training's rows.

    drawn: [1 + resamples, studies]. places: study -> its column.
    """
    for (family, level, part, detail), rows in frame.groupby(["family", "level", "part", "detail"], sort=False):
        drawn_rows = drawn[:, [places[study] for study in rows["study"]]]
        for metric, n, draws in MEANS[part](rows, drawn_rows):
            yield (str(family), int(level)), (str(part), str(detail), metric), n, draws


def finding_means(rows: pd.DataFrame, drawn: np.ndarray):
    """Mean over the findings of the AUC."""
    odds, present = (np.stack(list(rows[name])) for name in ("log_odds", "present"))
    areas = [weighted_auc(score, truth > 0, drawn) for score, truth in zip(odds.T, present.T, strict=True)]
    yield "auc", len(rows), mean_of_areas(np.array(areas))


def map_means(rows: pd.DataFrame, drawn: np.ndarray):
    """Means over phrases or studies of pointing and CNR."""
    for metric in ("pointing", "cnr"):
        yield metric, *_mean(rows[metric].to_numpy(float), drawn)


def report_means(rows: pd.DataFrame, drawn: np.ndarray):
    """Micro F1 over the 13 findings, BLEU-4, and means of ROUGE-L and CIDEr."""
    counts = drawn @ np.stack(list(rows["counts"])).astype(float)
    hits, said, true = counts[:, :3].T
    yield "micro_f1_13", len(rows), 2 * hits / np.maximum(said + true, 1)
    yield "bleu4", len(rows), bleu_of_counts(counts[:, 3:])[:, 3]
    for metric in ("rouge_l", "cider"):
        yield metric, *_mean(rows[metric].to_numpy(float), drawn)


def _mean(values: np.ndarray, drawn: np.ndarray) -> tuple[int, np.ndarray]:
    there = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return int(there.sum()), drawn[:, there] @ values[there] / drawn[:, there].sum(1)


MEANS = {FINDINGS: finding_means, PHRASES: map_means, LEAVES: map_means, REPORTS: report_means}


def robustness_table(answers: Sequence[Answers]) -> pd.DataFrame:
    """The table robustness: the columns of tables.COLUMNS, and family and level, which `setting` says in one."""
    rows = []
    for entry in answers:
        for (family, level), told in entry.draws.items():
            setting = f"{family} {level}" if level else family
            for number, draws in told.items():
                row = entry.entry.row(setting, number[1], number[2], draws, entry.n[family, level][number])
                rows.append({**row, **entry.about, "runs": len(draws), "family": family, "level": level})
    return pd.DataFrame(rows, columns=[*COLUMNS, "family", "level"])


# ---- where a claim holds
def claims_table(answers: Sequence[Answers]) -> pd.DataFrame:
    """The table robustness_claims: every claim at every level of every family, with the columns of CLAIM_COLUMNS.

    level 0 is the film as it is, and stands in every family. margin: of `measure`. runs: SS-ACL's trainings; a rival's own
    trainings widen the interval, too (`spread_of_trainings`); of a rival that was trained once it knows the patients alone.
    """
    own = next((entry for entry in answers if entry.name == SSACL), None)
    rows = []
    for claim, (against, wanted) in CLAIMS.items() if own else ():
        for family, amounts in AMOUNTS.items():
            measured = any(wanted[0] in own.draws.get((family, level + 1), {}) for level in range(len(amounts)))
            for level in range(len(amounts) + 1) if measured else ():
                condition = (family, level) if level else (UNDISTURBED, 0)
                told = _margin(answers, own, condition, against, wanted)
                if told:
                    rows.append({"claim": claim, "against": against, "family": family, "level": level, **told})
    return pd.DataFrame(rows, columns=list(CLAIM_COLUMNS))


def _margin(answers: Sequence[Answers], own: Answers, condition: tuple[str, int], against: str, wanted) -> dict | None:
    """The mean margin over these numbers under a condition; None where it was not measured."""
    parts, names, spreads = [], [], []
    for number in wanted:
        rivals = [
            entry
            for entry in answers
            if number in entry.draws.get(condition, {}) and (entry.rival if against == BEST else entry.name == against)
        ]
        if not rivals or number not in own.draws.get(condition, {}):
            return None
        best = max(rivals, key=lambda entry: entry.draws[condition][number][:, 0].mean())
        theirs, ours = best.draws[condition][number], own.draws[condition][number]
        parts.append(relative(ours, theirs) if against == BEST else ours - theirs.mean(0))
        spreads.append(spread_of_rival(ours, theirs) if against == BEST else spread_of_trainings(theirs))
        names.append(best.name)
    draws, rivals = np.mean(parts, axis=0), float(np.mean(spreads))
    margin, low, high = interval(draws)
    low, high = margin - np.hypot(margin - low, rivals), margin + np.hypot(high - margin, rivals)
    about = {"measure": RELATIVE if against == BEST else DIFFERENCE, "rival": "; ".join(dict.fromkeys(names))}
    return {**about, "margin": margin, "low": low, "high": high, "n": own.n[condition][wanted[0]],
            "runs": len(draws), "seed": PATIENTS}  # fmt: skip


def standing(claims: pd.DataFrame) -> pd.DataFrame:
    """Claims with a column `stands`: ABOVE, BELOW or TIED, by where the interval of the margin lies beside 0.

    No level speaks for another: a claim may tie on films as they are and hold on moved ones, where its rival fails.
    """
    stands = np.select([claims["low"] > 0, claims["high"] < 0], [ABOVE, BELOW], TIED) if len(claims) else []
    return claims.assign(stands=stands)
