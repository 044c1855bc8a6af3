"""Exercises of notebook 00: how alike two maps are, whatever their range, and where a map must go when the side is swapped."""

import numpy as np

from ...evaluation.grounding import score_map
from ...evaluation.phrase_views import OTHER_SIDE, OWN, View, likeness as correlation, read_views
from .answers import Choice, Number
from .exercise import Exercise

# ---- opposite corners
CORNERS = Number(
    "corners",
    "the correlation of two maps of 3 x 3 pixels that are 1 in one corner and 0 elsewhere, in opposite corners",
    lambda: correlation(np.eye(1, 9, 0).reshape(3, 3), np.eye(1, 9, 8).reshape(3, 3)),
    {
        "that is the one of section 2, of four pixels": -1 / 3,
        "the means are still in it: take 1/9 away from every pixel first": 0.0,
        "opposite would be high wherever the other is low; most pixels are low in both": -1.0,
        "the sum of products is -1/9, but that of the squares is 8/9, not 1": -1 / 9,
    },
    "Both means are 1/9. The products sum to 2 * (8/9) * (-1/9) + 7 / 81, the squares of each map to 8/9.",
)


# ---- the number


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


# ---- the other side
SIZE, REGION = 32, (10, 22)
"""Side of the film in pixels, and where the true region has its middle: row, column."""


def bump(row: float, column: float, width: float = 4.0) -> np.ndarray:
    """A map of one bump on the film."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))


def _swapped(place) -> tuple[View, bool]:
    """The swapped side's view with its bump at a place, and whether the control is passed."""
    row, column = place
    if not (0 <= row < SIZE and 0 <= column < SIZE):
        raise ValueError(f"row and column lie between 0 and {SIZE - 1}")
    mask, own, views = bump(*REGION) > 0.85, bump(*REGION), {}
    for control, heatmap in ((OWN, own), (OTHER_SIDE, bump(row, column))):
        kinds = {"masked": heatmap}
        views[control] = View(
            "",
            np.zeros((SIZE, SIZE)),
            mask,
            kinds,
            {"masked": score_map(heatmap, mask)},
            {"masked": correlation(heatmap, own)},
        )
    return views[OTHER_SIDE], read_views(views).controls[OTHER_SIDE][0]


def _told(place) -> str:
    view, passed = _swapped(place)
    hit = "inside" if view.scores["masked"]["pointing"] > 0.5 else "outside of"
    return f"likeness {view.likeness['masked']:.2f}, maximum {hit} the true region: {'passed' if passed else 'failed'}"


SWAPPED_PLACE = Choice(
    "swapped_place",
    f"the map of “left effusion” is a bump in the true region, around row {REGION[0]}, column {REGION[1]} of {SIZE}; a place "
    "(row, column) for the bump of “right effusion” with which the control is passed and the map has changed sides",
    _told,
    {
        "nobody asks for the left effusion any more, and the map still points at it": lambda place: (
            _swapped(place)[0].scores["masked"]["pointing"] > 0.5
        ),
        "it has moved a little; maps that are this alike count as the same place": lambda place: not _swapped(place)[1],
        "the control is passed, but the map did not change sides: it only went elsewhere": lambda place: (
            place[1] >= SIZE / 2
        ),
    },
    "The patient's right is on the image's left: columns below 16. Passed is what is less alike than 0.7 and does not point at "
    "the region.",
    ((10, 6), (20, 3)),
    ((10, 21), (10, 26), (28, 22)),
)
