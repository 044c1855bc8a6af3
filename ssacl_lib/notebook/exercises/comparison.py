"""Exercises of notebook 05: a relative margin over the best rival, and how far a mean of a few trainings may be off."""

import numpy as np

from .exercise import Exercise

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
