"""Exercises of notebook 04: scores of maps, masked evidence, maps that follow their film, and a map that fools a score."""

import numpy as np

from ...metrics.grounding import contrast_to_noise_ratio, pointing_share
from .answers import Choice, Number
from .exercise import Exercise

# ---- a map that says nothing
CONSTANT_POINTING = Number(
    "constant_pointing",
    "a map that is the same everywhere, on a film of 8 pixels of which the region has 2: its pointing, as our tables count it",
    lambda: pointing_share(np.ones((2, 4)), np.eye(2, 4, dtype=bool)),
    {
        "that is the pointing game of the release, in which any maximum counts; our tables take the SHARE of the maxima": 1.0,
        "two of its eight maxima do lie inside": 0.0,
        "it is no coin: how many of its maxima lie inside?": 0.5,
        "that is the share outside": 0.75,
    },
    "All 8 pixels are maxima. How many of them lie in the region?",
)

# ---- contrast-to-noise ratio
MAPS = (
    (np.array([[5.0, 9.0, 4.0], [1.0, 0.0, 2.0]]), np.array([[True, True, True], [False, False, False]])),
    (np.array([[0.0, 1.0, 2.0], [5.0, 6.0, 9.0]]), np.array([[True, True, False], [False, False, False]])),
)


def _contrast(heatmap, mask):
    return heatmap[mask].mean() - heatmap[~mask].mean()


def _noise(heatmap, mask, ddof=0):
    return heatmap[mask].var(ddof=ddof) + heatmap[~mask].var(ddof=ddof)


CNR = Exercise(
    "cnr",
    contrast_to_noise_ratio,
    {
        f"map {heatmap.tolist()}, mask {mask.astype(int).tolist()}": (heatmap, mask) for heatmap, mask in MAPS
    },
    {
        "those are sample variances (n - 1); the protocol takes population variances": lambda h, m: (
            _contrast(h, m) / np.sqrt(_noise(h, m, 1))
        ),
        "the root of the variances is missing": lambda h, m: _contrast(h, m) / _noise(h, m),
        "the sign is lost: a map that avoids the mask must be negative": lambda h, m: (
            abs(_contrast(h, m)) / np.sqrt(_noise(h, m))
        ),
        "the sign is reversed: inside minus outside": lambda h, m: -_contrast(h, m) / np.sqrt(_noise(h, m)),
        "standard deviations are added; add the variances, then take the root": lambda h, m: (
            _contrast(h, m) / (h[m].std() + h[~m].std())
        ),
        "the variances are averaged; add them": lambda h, m: _contrast(h, m) / np.sqrt(_noise(h, m) / 2),
        "only the outside's noise counts here; add the inside's variance": lambda h, m: _contrast(h, m) / h[~m].std(),
        "that is against the whole map; compare inside with OUTSIDE": lambda h, m: (
            (h[m].mean() - h.mean()) / np.sqrt(h[m].var() + h.var())
        ),
        "the noise is missing: divide by the root of the two variances' sum": _contrast,
    },
    "(mean inside - mean outside) / sqrt(variance inside + variance outside); `heatmap[mask]` are the values inside.",
)  # fmt: skip


# ---- pointing with ties
POINTED = (
    (np.array([[5.0, 1.0, 5.0], [0.0, 5.0, 2.0]]), np.array([[False, True, True], [True, False, False]])),
    (np.array([[5.0, 1.0], [5.0, 0.0]]), np.array([[True, True], [False, True]])),
    (np.array([[7.0, 7.0, 0.0], [7.0, 7.0, 1.0]]), np.array([[True, True, False], [False, False, True]])),
)


def _maxima(heatmap):
    return heatmap == heatmap.max()


POINTING = Exercise(
    "pointing",
    pointing_share,
    {f"map {heatmap.tolist()}, mask {mask.astype(int).tolist()}": (heatmap, mask) for heatmap, mask in POINTED},
    {
        "that is the first of the maxima alone (argmax); there are more": lambda h, m: float(m.flat[h.argmax()]),
        "that is whether ANY maximum lies inside, which a constant map always wins; take the share": lambda h, m: float(
            (_maxima(h) & m).any()
        ),
        "that is whether ALL maxima lie inside; take the share": lambda h, m: float(m[_maxima(h)].all()),
        "divided by the pixels of the mask; divide by the number of maxima": lambda h, m: (
            (_maxima(h) & m).sum() / m.sum()
        ),
        "that is where the map is lowest": lambda h, m: pointing_share(-h, m),
        "those are the maxima OUTSIDE of the mask": lambda h, m: pointing_share(h, ~m),
        "that is the number of the maxima inside; divide by that of all": lambda h, m: float((_maxima(h) & m).sum()),
    },
    "`heatmap == heatmap.max()` marks the maxima; what share of them does `mask` hold?",
)


# ---- masked evidence
SCORES = np.array([0.9, 0.5, 0.1, 0.3])
VISIBLE = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 1, 0]], bool)


def visibility_effect(scores, visible):
    """scores [K] of K masks; visible [K, N], does mask k show patch n -> [N]: mean score when shown minus when hidden."""
    return _shown_mean(scores, visible) - _shown_mean(scores, ~visible)


def _shown_mean(scores, visible):
    return scores @ visible / visible.sum(0)


VISIBILITY_EFFECT = Exercise(
    "visibility_effect",
    visibility_effect,
    {
        "4 masks with scores 0.9, 0.5, 0.1, 0.3; patch 1 is shown by masks 1, 2, patch 2 by 1, 3, 4, patch 3 by 2, 3": (
            SCORES, VISIBLE,
        ),
        "the same masks with scores 0.2, 0.2, 0.8, 0.4": (np.array([0.2, 0.2, 0.8, 0.4]), VISIBLE),
    },
    {
        "that is the mean when shown; take off the mean when hidden, or every patch looks good": _shown_mean,
        "the effect is reversed: shown minus hidden": lambda s, v: visibility_effect(s, ~v),
        "those are sums; patches are shown differently often, so take means": lambda s, v: s @ v - s @ ~v,
        "that is the mean over all masks; divide by the number of masks that show the patch": lambda s, v: (
            s @ v / len(s)
        ),
        "that is against the mean of ALL masks; compare with those that hide the patch": lambda s, v: (
            _shown_mean(s, v) - s.mean()
        ),
        "that is one mean for all patches; every patch has its own": lambda s, v: np.full(v.shape[1], s.mean()),
        "one number per mask came; patches are the second axis of `visible`": lambda s, v: s * v.mean(1),
    },
    "For patch n: `scores[visible[:, n]].mean()` minus `scores[~visible[:, n]].mean()`.",
)  # fmt: skip


# ---- a map that follows its film
ATLAS = np.arange(1.0, 13.0).reshape(3, 4)


def follow(atlas, rows, columns):
    """The map [H, W] after its film has moved down by `rows` and to the right by `columns` pixels; 0 where nothing is known."""
    moved = np.zeros_like(atlas)
    moved[rows:, columns:] = atlas[: atlas.shape[0] - rows, : atlas.shape[1] - columns]
    return moved


def _backwards(atlas, rows, columns):
    moved = np.zeros_like(atlas)
    moved[: atlas.shape[0] - rows, : atlas.shape[1] - columns] = atlas[rows:, columns:]
    return moved


FOLLOW = Exercise(
    "follow",
    follow,
    {
        "a map of 3 x 4 holding 1 to 12, its film 1 row down and 2 columns to the right": (ATLAS, 1, 2),
        "the same map, 2 rows down and 1 column to the right": (ATLAS, 2, 1),
    },
    {
        "it moves against the film; a film that goes down takes its map down": _backwards,
        "what leaves on one side comes back on the other (np.roll); nothing is known there, so 0": lambda a, r, c: (
            np.roll(a, (r, c), (0, 1))
        ),
        "rows and columns are exchanged: the first axis goes down": lambda a, r, c: follow(a, c, r),
        "it moves down only": lambda a, r, c: follow(a, r, 0),
        "it moves to the right only": lambda a, r, c: follow(a, 0, c),
        "the edge is repeated; nothing is known there, so 0": lambda a, r, c: np.pad(a, ((r, 0), (c, 0)), "edge")[
            : a.shape[0], : a.shape[1]
        ],
    },
    "Start with zeros; `moved[rows:, columns:]` takes the upper left part of the atlas.",
)


# ---- a control that section 4 lacks: the mirrored film
MIRRORED = np.array([[1.0, 2.0, 6.0, 3.0], [0.0, 4.0, 9.0, 5.0], [7.0, 1.0, 2.0, 8.0]])
OPACITY = np.array([[0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
EFFUSION = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]], bool)


def went_along(mirrored, mask):
    """mirrored: the map of a film that was mirrored left to right; mask: of the film as it was. Contrast where the finding lies
    now, minus contrast where it lay before: above 0 if the map went along."""
    return float(_contrast(mirrored, mask[:, ::-1]) - _contrast(mirrored, mask))


WENT_ALONG = Exercise(
    "went_along",
    went_along,
    {
        f"the map of a mirrored film {MIRRORED.tolist()}, the mask before {mask.astype(int).tolist()}": (MIRRORED, mask)
        for mask in (OPACITY, EFFUSION)
    },
    {
        "the mask is turned upside down; left and right are the second axis": lambda h, m: float(
            _contrast(h, m[::-1]) - _contrast(h, m)
        ),
        "that is the contrast where the finding lies now; a broad map has it on both sides: take off the contrast where it lay": (
            lambda h, m: float(_contrast(h, m[:, ::-1]))
        ),
        "that is the contrast where the finding lay before the film was mirrored": lambda h, m: float(_contrast(h, m)),
        "the sign is reversed: now minus before": lambda h, m: -went_along(h, m),
        "map and mask are both turned, so nothing was compared": lambda h, m: float(
            _contrast(h[:, ::-1], m[:, ::-1]) - _contrast(h, m)
        ),
        "those are means inside; take off the mean outside of each": lambda h, m: float(
            h[m[:, ::-1]].mean() - h[m].mean()
        ),
    },
    "`mask[:, ::-1]` is where the finding lies now; contrast is the mean inside minus the mean outside.",
)

# ---- a map that reads no phrase and scores well
RIGHT_BASE, LEFT_BASE = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
RIGHT_BASE[2:, :2], LEFT_BASE[2:, 4:] = True, True


def _both(heatmap):
    heatmap = np.asarray(heatmap, float)
    if heatmap.shape != RIGHT_BASE.shape:
        raise ValueError(f"a map of shape {heatmap.shape}, expected {RIGHT_BASE.shape}: 4 rows of 6 numbers")
    return [contrast_to_noise_ratio(heatmap, mask) for mask in (RIGHT_BASE, LEFT_BASE)]


def _scores(heatmap):
    right, left = _both(heatmap)
    return f"CNR {right:.2f} for “right base”, {left:.2f} for “left base”; with the side swapped the map is the same: it loses 0"


BLIND_MAP = Choice(
    "blind_map",
    "one map, 4 rows of 6 numbers, with a CNR of 0.8 or more both for “right base” (last two rows, first two columns) and for "
    "“left base” (last two rows, last two columns)",
    _scores,
    {
        "a constant map has a CNR of 0": lambda h: _both(h) == [0, 0],
        "that map knows one side only: it may not read the phrase": lambda h: max(_both(h)) >= 0.8 > min(_both(h)),
        "it is not bright enough at the bases, or too bright elsewhere": lambda h: max(_both(h)) < 0.8,
    },
    "Which places do both regions share, as a kind of place? Make these bright, and nothing else.",
    ([[0, 1, 0, 0, 1, 0], [0, 0, 1, 1, 0, 0], [9, 8, 1, 1, 8, 9], [9, 9, 0, 0, 9, 8]],),
    (np.ones((4, 6)), [[0] * 6, [0] * 6, [9, 8, 0, 0, 0, 0], [9, 8, 0, 0, 0, 0]],
     [[9] * 6, [8] * 6, [0, 1, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0]]),
)  # fmt: skip
