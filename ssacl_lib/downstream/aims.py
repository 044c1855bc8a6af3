"""What was hoped for before anything was measured, and whether it came: the table downstream_aims.

Every aim is a difference that is to be at least 0, over the same studies and, where labels are few, the same subsets of them
(draw by draw, so it is paired); the trainings of both sides widen its interval. It is `reached` where its 95 % interval lies at
or above 0, `missed` where it lies below, else `open`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..baselines.registry import SSACL
from ..evaluation.comparison_run import PATIENTS
from ..metrics.retrieval import chance
from ..settings import Settings
from .classification import AUC, FINE_TUNING, HEADLINE, MEAN, ZERO_SHOT, mean_draws, zero_shot_draws
from .encoders import UNTRAINED
from .fine_tuning import PROBE, SUBSETS, column_of
from .retrieval import OWN, TO_IMAGE, TO_TEXT, USUAL
from .tables import Asked, asked, difference_over, weights

AIM = 0.80
"""Zero-shot mean AUC of SS-ACL."""

FEW, TIMES = 1.0, 10
"""Percent of the labels, and how many times as many the untrained encoder gets."""

CONTRAST, TWICE = "contrast only", "2 x chance"
REACHED, OPEN, MISSED = "reached", "open", "missed"
COLUMNS = ("aim", "method", "own", "against", "other", "difference", "low", "high", "n", "runs", "seed", "verdict")

Aim = tuple[str, np.ndarray, str, np.ndarray, int]
"""aim, own draws [seeds, 1 + resamples] or [seeds, subsets, 1 + resamples], against whom, their draws, n"""


def aims_table(settings: Settings, cache: Path) -> pd.DataFrame:
    """The columns of COLUMNS; aims of what was not measured are left out. cache: as in classification.py."""
    aims = [*zero_shot_aims(settings, cache), *few_label_aims(settings, cache), *retrieval_aims(settings)]
    return pd.DataFrame([aim_row(*aim) for aim in aims], columns=list(COLUMNS))


def aim_row(aim: str, own: np.ndarray, against: str, other: np.ndarray, n: int) -> dict:
    """One row."""
    difference, low, high = difference_over(own, other)
    verdict = REACHED if low >= 0 else MISSED if high < 0 else OPEN
    told = {
        "own": own[..., 0].mean(),
        "other": other[..., 0].mean(),
        "difference": difference,
        "low": low,
        "high": high,
    }
    about = {"aim": aim, "method": SSACL, "against": against, "n": n, "runs": len(own), "seed": PATIENTS}
    return {**about, **told, "verdict": verdict}


def by_name(settings: Settings, task: str) -> dict[str, Asked]:
    """What was measured of a task, by encoder."""
    return {entry.jobs[0].encoder.name: entry for entry in asked(settings, task)}


def best_rival(draws: dict[str, np.ndarray], there: dict[str, Asked]) -> str | None:
    """Of all who need no annotation and are no variant of SS-ACL the one with the highest mean over seeds; None: nobody."""
    encoders = {name: entry.jobs[0].encoder for name, entry in there.items()}
    rivals = [name for name in draws if not encoders[name].ours and not encoders[name].annotated]
    return max(rivals, key=lambda name: draws[name][:, 0].mean(), default=None)


def zero_shot_aims(settings: Settings, cache: Path) -> Iterator[Aim]:
    """Mean AUC of the ensembled prompts: a height, and the best rival."""
    there = by_name(settings, ZERO_SHOT)
    draws, n = {}, 0
    for name, entry in there.items():
        told = [zero_shot_draws(job, settings, cache)[HEADLINE, MEAN, AUC] for job in entry.jobs]
        draws[name], n = np.stack([own for own, _ in told]), told[0][1]
    if SSACL not in draws:
        return
    yield f"zero-shot mean AUC of {AIM:.2f}", draws[SSACL], f"{AIM:.2f}", np.full_like(draws[SSACL], AIM), n
    rival = best_rival(draws, there)
    if rival:
        yield "zero-shot above every annotation-free rival", draws[SSACL], rival, draws[rival], n


def few_label_aims(settings: Settings, cache: Path) -> Iterator[Aim]:
    """A probe with few labels against one on the untrained encoder with TIMES as many, subset by subset (they are nested)."""
    there = by_name(settings, FINE_TUNING)
    if SSACL not in there or UNTRAINED not in there:
        return

    def draws_of(name: str, share: float) -> tuple[np.ndarray, int]:
        frames = [mean_draws(job, settings, cache) for job in there[name].jobs]
        columns = [column_of(PROBE, share, subset) for subset in range(SUBSETS[PROBE])]
        told = [np.stack(frame.loc[columns, "draws"].to_list()) for frame in frames]
        return np.stack(told), int(frames[0]["n"].iloc[0])

    (own, n), (other, _) = draws_of(SSACL, FEW), draws_of(UNTRAINED, TIMES * FEW)
    aim = f"{FEW:g} % of the labels as good as {TIMES * FEW:g} % on the untrained encoder"
    yield aim, own, f"{UNTRAINED}, {TIMES * FEW:g} %", other, n


def retrieval_aims(settings: Settings) -> Iterator[Aim]:
    """P@5 in both directions: twice chance, and contrast only."""
    there = by_name(settings, "retrieval")
    if SSACL not in there:
        return
    for direction in (TO_TEXT, TO_IMAGE):
        draws, n, shares = {}, 0, np.zeros(0)
        for name in (SSACL, CONTRAST):
            rows = [_queries(frame, direction) for frame in there[name].frames] if name in there else []
            if rows:
                n, shares = len(rows[0]), rows[0]["finding"].to_numpy()
                drawn = weights(n, settings) / n
                draws[name] = np.stack([drawn @ frame["p_at_5"].to_numpy(float) for frame in rows])
        twice = 2 * chance(shares)["p_at_5"]
        yield f"{direction}: P@5 of twice chance", draws[SSACL], TWICE, np.full_like(draws[SSACL], twice), n
        if CONTRAST in draws:
            yield f"{direction}: P@5 above contrast only", draws[SSACL], CONTRAST, draws[CONTRAST], n


def _queries(frame: pd.DataFrame, direction: str) -> pd.DataFrame:
    """The queries of a direction in the usual convention, with the own texts, in the order of studies."""
    own = (frame["direction"] == direction) & (frame["convention"] == USUAL) & (frame["control"] == OWN)
    return frame[own].sort_values("study")
