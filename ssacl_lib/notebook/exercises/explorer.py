"""Exercise of notebook 00: how alike two maps are, whatever their range."""

import numpy as np

from .exercise import Exercise


def likeness(first, second):
    """Correlation of two maps [H, W]."""
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def _cosine(first, second):
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def _covariance(first, second):
    return float(((first - first.mean()) * (second - second.mean())).mean())


def _slope(first, second):
    return _covariance(first, second) / float(first.var())


_UPPER = np.array([[1.0, 0.0], [0.0, 0.0]])
_LOWER = np.array([[0.0, 0.0], [0.0, 1.0]])
_RAMP = np.array([[0.0, 1.0], [2.0, 5.0]])

LIKENESS = Exercise(
    "likeness",
    likeness,
    {
        "a map that is 1 in one corner, and one that is 1 in the opposite corner": (_UPPER, _LOWER),
        "[[0, 1], [2, 5]] and three times that map plus 4": (_RAMP, 3 * _RAMP + 4),
        "[[0, 1], [2, 5]] and a map that is 1 in the last corner": (_RAMP, _LOWER),
        "a map that is 1 in the last corner and [[0, 1], [2, 5]] turned upside down": (_LOWER, _RAMP[::-1].copy()),
    },
    {
        "the means are still in it: a map that is high everywhere would be like any other": _cosine,
        "that is the covariance: divide by both standard deviations": _covariance,
        "that is a slope: divide by BOTH standard deviations, not by one variance": _slope,
        "the sign is lost: opposite maps are not alike": lambda a, b: abs(likeness(a, b)),
        "that is the square, the share of explained variance": lambda a, b: likeness(a, b) ** 2,
        "that is a distance: 0 for equal maps; likeness is 1 for them": lambda a, b: 1 - likeness(a, b),
    },
    "Take each map's mean away, multiply and sum, then divide by the root of the product of the two sums of squares.",
)
