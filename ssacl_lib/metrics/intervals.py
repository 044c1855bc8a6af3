"""95 % intervals by the bootstrap: patients are drawn anew, each with all of its films, phrases or reports.

Where a function takes groups they are the patients; where it takes none, every row is a patient.

Resampling is done with weights: how often each study is drawn is one matrix [resamples, studies], so that a mean, a
ratio of sums or an AUC of all resamples is a matrix product. The same seed draws the same studies, so that differences
between methods on the same studies are paired.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """An estimate with the bounds of its 95 % interval; NaN where it can't be computed."""

    value: float
    low: float
    high: float


@lru_cache(maxsize=16)  # a table asks for the same draw a thousand times, and the draw costs more than all else in it
def resampled_counts(studies: int, resamples: int, seed: int) -> np.ndarray:
    """How often each study is drawn in each resample: [resamples, studies], every row sums to `studies`; not to be written to.

    The draw depends on the three arguments only.
    """
    if studies < 1 or resamples < 1:
        raise ValueError(f"studies is {studies} and resamples {resamples}, expected at least 1 of each")
    generator = np.random.default_rng([seed, studies, resamples])
    counts = generator.multinomial(studies, np.full(studies, 1 / studies), size=resamples).astype(np.float64)
    counts.flags.writeable = False
    return counts


def percentile_interval(value: float, draws: np.ndarray) -> Interval:
    """The value with the 2.5 % and 97.5 % points of the bootstrap draws; draws that are not finite are left out."""
    draws = np.asarray(draws, np.float64)
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not draws.size:
        return Interval(float(value), np.nan, np.nan)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))


def group_numbers(groups: Sequence) -> np.ndarray:
    """Number of each row's group [n], in the order of appearance."""
    codes = {group: code for code, group in enumerate(dict.fromkeys(groups))}
    return np.array([codes[group] for group in groups], int)


def counts_of_rows(groups: Sequence, resamples: int, seed: int) -> np.ndarray:
    """How often each row is drawn in each resample [resamples, n]: as often as its group (patient)."""
    rows = group_numbers(groups)
    counts = resampled_counts(int(rows.max()) + 1, resamples, seed)
    return np.take(counts, rows, axis=1)  # row by row in memory, unlike counts[:, rows]: sums keep their last digit


def sums_by_group(values: np.ndarray, groups: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the values that are not NaN, per group (study).

    Args:
        values: [n, k]. groups: [n], the study of each row; studies are numbered in the order of appearance.

    Returns:
        sums [studies, k], numbers [studies, k].
    """
    values = np.asarray(values, np.float64)
    if len(values) != len(groups):
        raise ValueError(f"values has {len(values)} rows and groups {len(groups)}, expected one group per row")
    rows = group_numbers(groups)
    there, shape = ~np.isnan(values), (rows.max(initial=-1) + 1, values.shape[1])
    sums, numbers = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, rows, np.where(there, values, 0.0))
    np.add.at(numbers, rows, there)
    return sums, numbers


def bootstrap_sums(
    sums: np.ndarray, statistic: Callable, resamples: int = 1000, seed: int = 0
) -> np.ndarray | Interval:
    """Intervals of any statistic that is a function of sums over studies (F1 of counts, corpus BLEU, a ratio).

    Args:
        sums: [studies, k], what each study adds.
        statistic: takes sums [..., k], returns [...] or [..., m].

    Returns:
        An Interval, or [m, 3] (value, low, high) where the statistic has m columns.
    """
    sums = np.asarray(sums, np.float64)
    counts = resampled_counts(len(sums), resamples, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        value, draws = np.asarray(statistic(sums.sum(0))), np.asarray(statistic(counts @ sums))
    if value.ndim == 0:
        return percentile_interval(float(value), draws)
    return np.array([percentile_interval(v, d) for v, d in zip(value, draws.T, strict=True)])


def mean_intervals(values: np.ndarray, groups: Sequence, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Means of columns, resampling groups (studies) with all their rows.

    Args:
        values: [n, k], NaN = no value. groups: [n], the study of each row.

    Returns:
        [k, 3] value, low, high.
    """
    values = np.asarray(values, np.float64).reshape(len(groups), -1)
    columns = values.shape[1]
    if not len(values):
        return np.full((columns, 3), np.nan)
    sums, numbers = sums_by_group(values, groups)
    return bootstrap_sums(
        np.hstack([sums, numbers]), lambda both: both[..., :columns] / both[..., columns:], resamples, seed
    )


def macro_interval(
    values: np.ndarray, groups: Sequence, classes: Sequence, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Mean over classes (findings) of the class means: every finding counts once. Resamples groups (studies).

    A resample without a row of some class averages over the others.

    Args:
        values: [n], NaN = no value. groups: [n], the study of each row. classes: [n], the finding of each row.
    """
    names = sorted(set(classes))
    columns = np.where(np.asarray(classes)[:, None] == np.array(names), np.asarray(values, np.float64)[:, None], np.nan)
    sums, numbers = sums_by_group(columns, groups)
    there = numbers.sum(0) > 0
    if not there.any():
        return Interval(np.nan, np.nan, np.nan)
    sums, numbers, k = sums[:, there], numbers[:, there], int(there.sum())

    def mean_of_means(both: np.ndarray) -> np.ndarray:
        total, number = both[..., :k], both[..., k:]
        means = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
        return means.sum(-1) / np.maximum((number > 0).sum(-1), 1)

    return bootstrap_sums(np.hstack([sums, numbers]), mean_of_means, resamples, seed)


def weighted_auc(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve by ranks, for many weightings of the studies at once; ties count half.

    Args:
        scores: [n]. truth: [n] bool. weights: [..., n], how often each study counts.

    Returns:
        [...]; NaN where a weighting has no positive or no negative study.
    """
    order = np.argsort(scores, kind="stable")
    scores, truth, weights = scores[order], truth[order], weights[..., order]
    negative = np.where(truth, 0.0, weights).cumsum(-1)
    first, last = np.searchsorted(scores, scores, "left"), np.searchsorted(scores, scores, "right") - 1
    below = np.concatenate([np.zeros_like(negative[..., :1]), negative], axis=-1)[..., first]  # strictly lower score
    wins = (below + negative[..., last]) / 2  # and half of those with the same score
    positive = np.where(truth, weights, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (positive * wins).sum(-1) / (positive.sum(-1) * negative[..., -1])


def mean_of_areas(areas: np.ndarray) -> np.ndarray:
    """Mean of areas [k, ...] over the findings that have one; NaN where none has, so that such a draw is left out."""
    known = np.isfinite(areas)
    return np.where(known, areas, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)


def mean_auc(
    scores: np.ndarray, truth: np.ndarray, resamples: int = 1000, seed: int = 0, groups: Sequence | None = None
) -> tuple[list[Interval], Interval]:
    """AUC of each finding, and their mean, with intervals over groups (patients).

    Args:
        scores: [n, k], higher = more likely. truth: [n, k] bool. groups: [n], the patient of each row; None: each its own.

    Returns:
        k Intervals (NaN where a finding has no positive or no negative study), and the Interval of the mean over the
        findings that have one.

    Raises:
        ValueError: shapes differ, or NaN in the scores.
    """
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth, bool)
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise ValueError(f"scores has shape {scores.shape} and truth {truth.shape}, expected one shape [n, k] for both")
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN, expected a number per study and finding")
    drawn = counts_of_rows(range(len(scores)) if groups is None else groups, resamples, seed)
    counts = np.vstack([np.ones(len(scores)), drawn])
    areas = np.array([weighted_auc(s, t, counts) for s, t in zip(scores.T, truth.T, strict=True)])  # [k, 1 + resamples]
    each = [percentile_interval(area[0], area[1:]) for area in areas]
    means = mean_of_areas(areas)
    return each, percentile_interval(means[0], means[1:])
