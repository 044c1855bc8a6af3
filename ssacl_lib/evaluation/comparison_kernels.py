"""May trainings on unlike processors stand in one mean? SS-ACL's own, by the kernels that trained them.

A processor without a bfloat16 unit trains in float32. If that changed what is learnt, trainings of both kinds could not be
pooled: their means would lie apart, or one kind would spread more than the other.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from ..baselines.registry import PHRASES, SSACL
from ..settings import Settings
from .comparison_margins import AUC, F1, MASKED_CNR
from .comparison_run import PATIENTS
from .comparison_tables import Scores, scored_runs

NUMBERS = (AUC, F1, (PHRASES, "similarity map", "cnr"), MASKED_CNR)
"""The numbers behind the claims, and the AUC."""

COLUMNS = ["method", "part", "detail", "metric", "about", "value", "low", "high", "n", "runs", "seed"]


def by_kernels(scores: list[Scores], settings: Settings) -> pd.DataFrame:
    """Two kinds of kernels against each other, per number of NUMBERS; no rows where fewer than two kinds trained twice.

    about: "A minus B", means of the trainings (Welch's interval), or "A over B", standard deviations between them (the interval
    of F; both take trainings to be normally distributed). Patients are the same for both, so they widen no interval. n: studies
    or phrases. runs: trainings of A and B together.
    """
    own = next((entry for entry in scores if entry.method.name == SSACL), None)
    runs = [run for run in scored_runs(settings) if run.method.name == SSACL]
    kinds = np.array([run.kernels for run in runs])
    enough = [kind for kind in dict.fromkeys(kinds) if (kinds == kind).sum() > 1]
    rows = []
    for one, other in combinations(enough, 2) if own else ():
        for key in (key for key in NUMBERS if key in own.draws):
            first, second = (own.draws[key][kinds == kind, 0] for kind in (one, other))
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
