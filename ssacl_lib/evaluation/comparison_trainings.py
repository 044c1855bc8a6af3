"""SS-ACL's own trainings against each other: on unlike processors, and by their losses.

A processor without a bfloat16 unit trains in float32. Does that change what is learnt? Trainings of the same seeds, made on both
kinds, would lie apart on average, or one kind would spread more than the other.

Trainings of a kind differ in their seed alone. If a loss told which one's maps point, a lower one would come with better maps: a
negative correlation. If none tells, a good training can't be picked by its curves, and one training says little of the next.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ..baselines.registry import PHRASES, SSACL, method_of
from ..settings import Settings
from .comparison_margins import AUC, F1, MASKED_CNR
from .comparison_run import OWN_SEEDS, PATIENTS, Run, missing
from .comparison_tables import Scores, scored_runs, scores_of

SIMILARITY_CNR = (PHRASES, "similarity map", "cnr")

OF_CLAIMS = (AUC, F1, SIMILARITY_CNR, MASKED_CNR)
"""The numbers behind the claims, and the AUC."""

COLUMNS = ["method", "part", "detail", "metric", "about", "value", "low", "high", "n", "runs", "seed"]

MAPS = {"masked map": MASKED_CNR, "similarity map": SIMILARITY_CNR}
"""What the losses are asked for: the CNR of phrases, by the kind of map."""

LEAST_PAIRS = 3
"""Seeds that both kinds of kernels trained with. The interval of the ratio needs one degree of freedom."""

LEAST = 8
"""Trainings. A correlation of fewer has an interval that says nothing."""


@dataclass(frozen=True)
class RunApart(Run):
    """A training of SS-ACL in float32, kept beside that of the same seed in bfloat16; no table pools the two."""

    @property
    def place(self) -> str:
        """Its folder below that of results."""
        return f"{self.method.slug}-float32/seed{self.seed}"


def trained_apart(settings: Settings) -> list[Run]:
    """The trainings in float32 that are there; of their results the parts of OF_CLAIMS are kept."""
    method = replace(method_of(SSACL), parts=tuple(dict.fromkeys(part for part, *_ in OF_CLAIMS)))
    runs = [RunApart(method, settings.seed + k, settings) for k in range(OWN_SEEDS)]
    return [run for run in runs if run.folder.is_dir() and not missing(run)]


def by_kernels(scores: list[Scores], settings: Settings, cache: Path) -> pd.DataFrame:
    """The same seeds trained on two kinds of kernels, per number of OF_CLAIMS; no rows for fewer than LEAST_PAIRS.

    about: "A minus B", the mean difference of a pair, or "A over B", the ratio of the standard deviations between trainings; both
    intervals know the pairs, and take trainings to be normally distributed. Patients are the same for both, so they widen none.
    n: studies or phrases. runs: trainings of A and B together. cache: a folder for the draws of `trained_apart`.
    """
    own = next((entry for entry in scores if entry.method.name == SSACL), None)
    apart = {run.seed: run for run in trained_apart(settings)}
    runs = [run for run in scored_runs(settings) if run.method.name == SSACL]
    pairs = [number for number, run in enumerate(runs) if run.seed in apart]
    if own is None or len(pairs) < LEAST_PAIRS:
        return pd.DataFrame(columns=COLUMNS)
    kinds = [runs[number] for number in pairs], [apart[runs[number].seed] for number in pairs]
    one, other = (" and ".join(dict.fromkeys(run.kernels for run in kind)) for kind in kinds)
    keys = [key for key in OF_CLAIMS if key in own.draws]
    asked = replace(own.method, parts=tuple(dict.fromkeys(part for part, *_ in keys)))
    others, rows = scores_of(asked, kinds[1], cache).draws, []
    for key in keys:
        first, second = own.draws[key][pairs, 0], others[key][:, 0]
        about = dict(zip(("method", "part", "detail", "metric"), (SSACL, *key), strict=True))
        about |= {"n": own.n[key], "runs": 2 * len(pairs), "seed": PATIENTS}
        for name, told in ((f"{one} minus {other}", difference), (f"{one} over {other}", ratio)):
            rows.append(
                {**about, "about": name, **dict(zip(("value", "low", "high"), told(first, second), strict=True))}
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Mean of the first minus the second, pair by pair, with Student's 95 % interval."""
    inside = stats.ttest_rel(first, second).confidence_interval(0.95)
    return float((first - second).mean()), float(inside.low), float(inside.high)


def ratio(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Standard deviation of the first over that of the second, with the 95 % interval of Pitman's test (1939) for pairs.

    The ratios within it are those by which the second can be multiplied so that sum and difference of the pairs are not shown to
    be correlated, for two of one spread have no such correlation.
    """
    value, freedom = float(first.std(ddof=1) / second.std(ddof=1)), len(first) - 2
    unexplained = 1 - np.corrcoef(first, second)[0, 1] ** 2
    wide = 1 + 2 * unexplained * stats.t.ppf(0.975, freedom) ** 2 / freedom
    ends = wide - np.sqrt(wide**2 - 1), wide + np.sqrt(wide**2 - 1)
    low, high = value * np.sqrt(ends)
    return value, float(low), float(high)


def trainings(scores: list[Scores], settings: Settings) -> pd.DataFrame:
    """One row per training of SS-ACL: kernels, the losses on validation films at its end, and the columns of MAPS.

    Empty where fewer than LEAST trainings are there.
    """
    own = next((entry for entry in scores if entry.method.name == SSACL), None)
    runs = [run for run in scored_runs(settings) if run.method.name == SSACL]
    if own is None or len(runs) < LEAST:
        return pd.DataFrame()
    frame = pd.DataFrame([{"kernels": run.kernels, **last_losses(run)} for run in runs])
    return frame.assign(**{kind: own.draws[key][:, 0] for kind, key in MAPS.items()})


def last_losses(run: Run) -> dict[str, float]:
    """Loss -> its mean over the validation films when the training ended; "total" is their weighted sum."""
    history = pd.read_parquet(run.folder / "history.parquet").query("split == 'validation'")
    return history[history["images"] == history["images"].max()].set_index("term")["value"].to_dict()


def by_losses(scores: list[Scores], settings: Settings) -> pd.DataFrame:
    """Correlation of every loss with every number of MAPS over SS-ACL's trainings."""
    told, rows = trainings(scores, settings), []
    numbers = {key: n for entry in scores if entry.method.name == SSACL for key, n in entry.n.items()}
    for kind, key in MAPS.items() if len(told) else ():
        for loss in told.columns.difference([*MAPS, "kernels"], sort=False):
            value, low, high = correlation(told[loss], told[kind], told["kernels"])
            about = dict(zip(("method", "part", "detail", "metric"), (SSACL, *key), strict=True))
            about |= {"about": f"correlation with {loss}", "value": value, "low": low, "high": high}
            rows.append({**about, "n": numbers[key], "runs": len(told), "seed": PATIENTS})
    return pd.DataFrame(rows, columns=COLUMNS)


def correlation(first: pd.Series, second: pd.Series, kinds: pd.Series) -> tuple[float, float, float]:
    """Pearson's, within kinds, with its 95 % interval by Fisher's transformation.

    Each kind's own means are taken off, so that no correlation is one between kinds alone.
    """
    inside = [values - values.groupby(kinds).transform("mean") for values in (first, second)]
    value = float(np.clip(np.corrcoef(*inside)[0, 1], -1 + 1e-12, 1 - 1e-12))
    half = stats.norm.ppf(0.975) / np.sqrt(len(first) - kinds.nunique() - 2)
    return value, float(np.tanh(np.arctanh(value) - half)), float(np.tanh(np.arctanh(value) + half))
