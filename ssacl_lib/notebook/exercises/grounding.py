"""Exercises of notebook 04: contrast-to-noise ratio, masked evidence, a map that follows its film."""

import numpy as np

from ...metrics.grounding import contrast_to_noise_ratio
from .exercise import Exercise

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
