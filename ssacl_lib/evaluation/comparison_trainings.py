"""SS-ACL's own trainings against each other: on unlike processors, and by their losses.

A processor without a bfloat16 unit trains in float32. If that changes what is learnt, trainings of both kinds can't be pooled:
their means lie apart, or one kind spreads more than the other.

Trainings of a kind differ in their seed alone. If a loss told which one's maps point, a lower one would come with better maps: a
negative correlation. If none tells, a good training can't be picked by its curves, and one training says little of the next.
"""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ..baselines.registry import PHRASES, SSACL
from ..settings import Settings
from .comparison_margins import AUC, F1, MASKED_CNR
from .comparison_run import PATIENTS, Run, trained_apart
from .comparison_tables import Scores, scored_runs, scores_of

SIMILARITY_CNR = (PHRASES, "similarity map", "cnr")

OF_CLAIMS = (AUC, F1, SIMILARITY_CNR, MASKED_CNR)
"""The numbers behind the claims, and the AUC."""

COLUMNS = ["method", "part", "detail", "metric", "about", "value", "low", "high", "n", "runs", "seed"]

MAPS = {"masked map": MASKED_CNR, "similarity map": SIMILARITY_CNR}
"""What the losses are asked for: the CNR of phrases, by the kind of map."""

LEAST = 8
"""Trainings. A correlation of fewer has an interval that says nothing."""


def by_kernels(scores: list[Scores], settings: Settings, cache: Path) -> pd.DataFrame:
    """Two kinds of kernels against each other, per number of OF_CLAIMS; no rows where fewer than two kinds trained twice.

    about: "A minus B", means of the trainings (Welch's interval), or "A over B", standard deviations between them (the interval
    of F; both take trainings to be normally distributed). Patients are the same for both, so they widen no interval; neither do
    seeds that both were trained with, which would make the intervals too wide rather than too narrow. n: studies or phrases.
    runs: trainings of A and B together, those of `trained_apart` among them. cache: a folder for their draws.
    """
    own = next((entry for entry in scores if entry.method.name == SSACL), None)
    runs = [run for run in scored_runs(settings) if run.method.name == SSACL]
    apart = trained_apart(settings)
    kinds = np.array([run.kernels for run in runs + apart])
    enough = [kind for kind in dict.fromkeys(kinds) if (kinds == kind).sum() > 1]
    if own is None or len(enough) < 2:
        return pd.DataFrame(columns=COLUMNS)
    values = {key: own.draws[key][:, 0] for key in OF_CLAIMS if key in own.draws}
    if apart:
        method = replace(own.method, parts=tuple(dict.fromkeys(part for part, *_ in values)))
        others = scores_of(method, apart, cache).draws
        values = {key: np.concatenate([known, others[key][:, 0]]) for key, known in values.items()}
    rows = []
    for one, other in combinations(enough, 2):
        for key, of_trainings in values.items():
            first, second = (of_trainings[kinds == kind] for kind in (one, other))
            told = {f"{one} minus {other}": difference(first, second), f"{one} over {other}": ratio(first, second)}
            about = dict(zip(("method", "part", "detail", "metric"), (SSACL, *key), strict=True))
            about |= {"n": own.n[key], "runs": len(first) + len(second), "seed": PATIENTS}
            rows += [
                {**about, "about": name, "value": value, "low": low, "high": high}
                for name, (value, low, high) in told.items()
            ]
    return pd.DataFrame(rows, columns=COLUMNS)


def difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Mean of the first minus that of the second, with Welch's 95 % interval."""
    inside = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return float(first.mean() - second.mean()), float(inside.low), float(inside.high)


def ratio(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Standard deviation of the first over that of the second, with the 95 % interval that the distribution of F gives."""
    value = float(first.std(ddof=1) / second.std(ddof=1))
    ends = stats.f.ppf([0.975, 0.025], len(first) - 1, len(second) - 1)
    low, high = value / np.sqrt(ends)
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
