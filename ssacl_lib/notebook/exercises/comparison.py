"""Exercises of notebook 05: a relative margin over the best rival, how far a mean of a few trainings may be off, and how many."""

from numbers import Integral

import numpy as np
from scipy.stats import t as student

from .answers import Choice, Number
from .exercise import Exercise

# ---- a claim in percent
SCORE, CLAIMED = 0.45, (0.50, 0.40, 0.36)

CLAIM = Number(
    "claim",
    "own score 0.45, rivals 0.50, 0.40 and 0.36: the relative margin over the best rival, in percent",
    lambda: 100 * relative_margin(np.array([SCORE]), np.array(CLAIMED)[:, None]),
    {
        "that is the second rival; the claim is over the BEST one": 12.5,
        "that is the weakest rival; the claim is over the best one": 25.0,
        "that is the difference in points; a RELATIVE margin is divided by the rival": -5.0,
        "that is divided by the own score; divide by the rival's": 100 * (0.45 - 0.50) / 0.45,
        "the sign is reversed: own minus rival": 10.0,
        "that is over the mean of the rivals": 100 * (0.45 / 0.42 - 1),
    },
    "(own - best rival) / best rival, times 100.",
    tolerance=0.06,
)

# ---- relative margin
OWN = np.array([0.9, 0.5, 0.4, 0.6])
RIVALS = np.array([[0.2, 0.8, 0.6, 0.4], [0.7, 0.1, 0.4, 0.4], [0.1, 0.2, 0.3, 0.2]])


def relative_margin(own, rivals):
    """own [n] scores of studies; rivals [r, n] -> how far the mean lies above that of the best rival, as a fraction of it."""
    best = rivals.mean(1).max()
    return (own.mean() - best) / best


RELATIVE_MARGIN = Exercise(
    "relative_margin",
    relative_margin,
    {
        "own 0.9, 0.5, 0.4, 0.6; three rivals with means 0.5, 0.4, 0.2": (OWN, RIVALS),
        "own 0.3, 0.5, 0.4, 0.2, the same rivals": (np.array([0.3, 0.5, 0.4, 0.2]), RIVALS),
    },
    {
        "that is the difference; a RELATIVE margin is divided by the rival": lambda o, r: o.mean() - r.mean(1).max(),
        "it is divided by the own score; divide by the rival's": lambda o, r: (o.mean() - r.mean(1).max()) / o.mean(),
        "that takes the best rival anew in every study; no method is that good": lambda o, r: (
            o.mean() / r.max(0).mean() - 1
        ),
        "that is over the mean of the rivals; the claim is over the best one": lambda o, r: o.mean() / r.mean() - 1,
        "that is over the weakest rival": lambda o, r: o.mean() / r.mean(1).min() - 1,
        "that is the ratio; take 1 off": lambda o, r: o.mean() / r.mean(1).max(),
        "that is the mean of the studies' own ratios; take means first": lambda o, r: (
            (o / r[r.mean(1).argmax()]).mean() - 1
        ),
        "the sign is reversed: own minus rival": lambda o, r: 1 - o.mean() / r.mean(1).max(),
    },
    "Mean per rival (`rivals.mean(1)`), the highest of them, then (own - best) / best.",
)


# ---- a mean of a few trainings
def half_width(values, quantile):
    """values [k], one per training; quantile: of Student's t -> how far their mean may lie from that of endless trainings."""
    return quantile * values.std(ddof=1) / np.sqrt(len(values))


HALF_WIDTH = Exercise(
    "half_width",
    half_width,
    {
        "trainings 0.70, 0.76, 0.73 and the quantile 4.30": (np.array([0.70, 0.76, 0.73]), 4.30),
        "trainings 0.5, 0.9, 0.6, 0.8 and the quantile 3.18": (np.array([0.5, 0.9, 0.6, 0.8]), 3.18),
    },
    {
        "those are deviations of a population; a few trainings are a sample (ddof=1)": lambda v, q: (
            q * v.std() / np.sqrt(len(v))
        ),
        "that is for ONE more training beside the mean (section 6); here it is the mean itself": lambda v, q: (
            q * v.std(ddof=1) * np.sqrt(1 + 1 / len(v))
        ),
        "that is how far single trainings scatter; their mean is surer by the root of k": lambda v, q: (
            q * v.std(ddof=1)
        ),
        "it is divided by k; divide by the root of k": lambda v, q: q * v.std(ddof=1) / len(v),
        "the quantile is missing": lambda v, q: v.std(ddof=1) / np.sqrt(len(v)),
        "that is the variance; take the standard deviation": lambda v, q: q * v.var(ddof=1) / np.sqrt(len(v)),
        "that is half of the range; take the standard deviation": lambda v, q: (v.max() - v.min()) / 2,
        "1.96 is the quantile for endless trainings; three or four have a wider one": lambda v, q: (
            1.96 * v.std(ddof=1) / np.sqrt(len(v))
        ),
        "it is divided by the root of k - 1": lambda v, q: q * v.std(ddof=1) / np.sqrt(len(v) - 1),
    },
    "`quantile * values.std(ddof=1) / sqrt(number of values)`.",
)


# ---- how many trainings
SPREAD, WANTED = 0.03, 0.02


def _width(trainings):
    if isinstance(trainings, bool) or not isinstance(trainings, Integral) or trainings < 2:
        raise ValueError("expected a whole number from 2 on: one training has no spread")
    return float(student.ppf(0.975, trainings - 1)) * SPREAD / trainings**0.5


ENOUGH_SEEDS = Choice(
    "enough_seeds",
    f"the smallest number of trainings whose mean is sure to {WANTED} (half the width of its 95 % interval), where trainings "
    f"have a standard deviation of {SPREAD}",
    lambda k: f"half a width of {_width(k):.4f} with {k} trainings",
    {
        "that is what 1.96 would ask for; Student's quantile of few trainings is wider": lambda k: (
            _width(k) > WANTED and k >= 9
        ),
        "too few: the half width is above what is wanted": lambda k: _width(k) > WANTED,
        "enough, and more than needed": lambda k: _width(k - 1) <= WANTED,
    },
    "`half_width` of exercise 3 with the standard deviation 0.03; `scipy.stats.t.ppf(0.975, k - 1)` is the quantile. Try some k.",
    (12,),
    (9, 5, 20),
)
