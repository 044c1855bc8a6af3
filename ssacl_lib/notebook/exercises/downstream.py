"""Exercises of notebook 06: an ensemble of prompts, P@k, Dice where masks are empty, and how many labels an AUC costs."""

import numpy as np

from ...metrics.overlap import dice_per_film, overlaps
from .answers import Choice, Number
from .exercise import Exercise

# ---- several sentences for one finding
FILM = np.array([3.0, 1.0, 0.0])
AFFIRMING = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 2.0, 0.0]])
DENYING = np.array([[0.0, 0.0, 2.0], [1.0, 0.0, 1.0]])


def _cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def ensemble(film, affirming, denying):
    """film [d]; affirming [p, d] and denying [q, d]: sentences -> cosine with the one mean minus that with the other."""
    return _cosine(film, affirming.mean(0)) - _cosine(film, denying.mean(0))


def _each(film, texts, how):
    return float(how([_cosine(film, text) for text in texts]))


ENSEMBLE = Exercise(
    "ensemble",
    ensemble,
    {
        "a film 3, 1, 0; three sentences that affirm, two that deny": (FILM, AFFIRMING, DENYING),
        "a film 1, 0, 2 and the same sentences": (np.array([1.0, 0.0, 2.0]), AFFIRMING, DENYING),
    },
    {
        "that is the mean of cosines; take the mean of the sentences' vectors first": lambda f, a, d: (
            _each(f, a, np.mean) - _each(f, d, np.mean)
        ),
        "that takes the sentence that fits best; take the mean of all": lambda f, a, d: (
            _each(f, a, np.max) - _each(f, d, np.max)
        ),
        "that takes the first sentence of each kind alone: a single pair": lambda f, a, d: (
            _cosine(f, a[0]) - _cosine(f, d[0])
        ),
        "that is the dot product, the release's score; a cosine divides by the lengths": lambda f, a, d: float(
            f @ a.mean(0) - f @ d.mean(0)
        ),
        "the sentences that deny are missing": lambda f, a, d: _cosine(f, a.mean(0)),
        "the sign is reversed: a film WITH the finding is to score high": lambda f, a, d: -ensemble(f, a, d),
        "that is the cosine with the difference of the means; take the difference of two cosines": lambda f, a, d: (
            _cosine(f, a.mean(0) - d.mean(0))
        ),
    },
    "Two means over the sentences (`.mean(0)`), the cosine of the film with each, first minus second.",
)

# ---- P@k
SCORES = np.array([0.2, 0.9, 0.4, 0.8, 0.1, 0.7, 0.3])
SAME = np.array([True, True, False, False, False, True, False])


def precision_at_k(scores, same, k):
    """scores [n], higher = earlier; same [n] bool: of the query's class? -> share of the first k that are."""
    first = np.argsort(-scores)[:k]
    return float(same[first].mean())


def _first(scores, same, k):
    return same[np.argsort(-scores)[:k]]


PRECISION_AT_K = Exercise(
    "precision_at_k",
    precision_at_k,
    {
        "scores 0.2, 0.9, 0.4, 0.8, 0.1, 0.7, 0.3; the first, second and sixth film are of the class; k = 3": (
            SCORES,
            SAME,
            3,
        ),
        "the same scores and films, k = 2": (SCORES, SAME, 2),
        "the same scores, only the third film is of the class, k = 4": (SCORES, np.arange(7) == 2, 4),
    },
    {
        "that is recall: divide by k, not by the number of films of the class": lambda s, c, k: float(
            _first(s, c, k).sum() / c.sum()
        ),
        "those are the LAST k: the highest score comes first": lambda s, c, k: float(c[np.argsort(s)[:k]].mean()),
        "those are the first k as they stand; sort by the scores": lambda s, c, k: float(c[:k].mean()),
        "that asks whether ANY of the first k is right; the share is asked": lambda s, c, k: float(
            _first(s, c, k).any()
        ),
        "that is the number of hits; divide by k": lambda s, c, k: float(_first(s, c, k).sum()),
        "that is the share among all films, whatever their rank: chance": lambda s, c, k: float(c.mean()),
        "that looks at the k-th film alone": lambda s, c, k: float(c[np.argsort(-s)[k - 1]]),
        "that is divided by all films; divide by k": lambda s, c, k: float(_first(s, c, k).sum() / len(s)),
    },
    "`np.argsort(-scores)[:k]` are the first k; the mean of `same` there.",
)

# ---- Dice where masks are empty
FILMS, ILL = 20, 3


def _nothing_found():
    there = np.zeros((FILMS, 4, 4), bool)
    there[:ILL, 1:3, 1:3] = True
    return float(dice_per_film(overlaps(np.zeros_like(there), there)).mean())


NOTHING_FOUND = Number(
    "nothing_found",
    f"{ILL} of {FILMS} films have a pneumothorax; nothing is marked on any: the mean Dice where empty masks count",
    _nothing_found,
    {
        "that is the share of films that HAVE the finding; on those Dice is 0": ILL / FILMS,
        "that is the mean over the films that have the finding; empty ones count here": 0.0,
        "that would be right on every film; the ill ones are missed": 1.0,
        "that gives a missed film half a point; Dice of nothing with something is 0": 1 - ILL / FILMS / 2,
    },
    "Film by film: 0 / 0 counts as 1, and a pneumothorax that is not found gives 0.",
)

FOUND = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0]], bool)
THERE = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 0]], bool)


def _counts(found, there):
    return (found & there).sum(1), found.sum(1), there.sum(1)


def _mean_dice(found, there, both_empty=1.0, none_there=None):
    common, said, true = _counts(found, there)
    dice = np.array([2 * c / (s + t) if s + t else both_empty for c, s, t in zip(common, said, true, strict=True)])
    if none_there is not None:
        dice = np.where(true == 0, none_there, dice)
    return float(np.nanmean(dice))


def mean_dice(found, there):
    """found, there [films, pixels] bool -> mean over the films of Dice; where nothing is there and nothing was found it is 1."""
    return _mean_dice(found, there)


def _overlap(found, there):
    common, said, true = _counts(found, there)
    union = said + true - common
    return float(np.where(union == 0, 1.0, common / np.maximum(union, 1)).mean())


MEAN_DICE = Exercise(
    "mean_dice",
    mean_dice,
    {
        f"found {FOUND.astype(int).tolist()}, there {THERE.astype(int).tolist()}": (FOUND, THERE),
        "nothing found on any of these films": (np.zeros_like(FOUND), THERE),
    },
    {
        "an empty mask that stays empty is right: 0 / 0 counts as 1": lambda f, t: _mean_dice(f, t, both_empty=0.0),
        "films without the finding are left out; here they count": lambda f, t: _mean_dice(f, t, none_there=np.nan),
        "where nothing is there but something was found, Dice is 0": lambda f, t: _mean_dice(f, t, none_there=1.0),
        "only films on which both are empty are left out; they count as 1": lambda f, t: _mean_dice(
            f, t, both_empty=np.nan
        ),
        "that pools the pixels of all films; take Dice film by film": lambda f, t: float(
            2 * (f & t).sum() / (f.sum() + t.sum())
        ),
        "that is the overlap (Jaccard); Dice counts what both mark twice": _overlap,
        "that is the share of pixels on which both agree": lambda f, t: float((f == t).mean()),
    },
    "Film by film 2 * (pixels in both) / (pixels found + pixels there), 1 where that is 0 / 0; then the mean.",
)

# ---- label efficiency
LABELS = np.array([10.0, 100.0, 1000.0, 10000.0])


def labels_needed(labels, auc, aim):
    """labels, auc [n], rising -> labels at which the curve reaches the aim, straight over the logarithm of the labels."""
    return float(10 ** np.interp(aim, auc, np.log10(labels)))


LABELS_NEEDED = Exercise(
    "labels_needed",
    labels_needed,
    {
        "10, 100, 1000, 10000 labels give AUC 0.55, 0.60, 0.70, 0.80; the aim is 0.65": (
            LABELS, np.array([0.55, 0.60, 0.70, 0.80]), 0.65),
        "the same labels give AUC 0.60, 0.68, 0.76, 0.84; the aim is 0.70": (
            LABELS, np.array([0.60, 0.68, 0.76, 0.84]), 0.70),
    },
    {
        "that is straight over the labels; the axis is logarithmic": lambda n, a, aim: float(np.interp(aim, a, n)),
        "that is the logarithm; take 10 to its power": lambda n, a, aim: float(np.interp(aim, a, np.log10(n))),
        "that is the first measured point above the aim; the curve crosses before": lambda n, a, aim: float(n[a >= aim][0]),
        "that is the last measured point below the aim; the curve crosses after": lambda n, a, aim: float(n[a < aim][-1]),
        "that is the measured point nearest to the aim": lambda n, a, aim: float(n[np.abs(a - aim - 1e-9).argmin()]),
        "that is a share of all labels; the number is asked": lambda n, a, aim: labels_needed(n, a, aim) / n[-1],
        "the logarithm has base 10 one way and e the other": lambda n, a, aim: float(np.exp(np.interp(aim, a, np.log10(n)))),
    },
    "`np.interp(aim, auc, np.log10(labels))` is the logarithm of the answer.",
)  # fmt: skip

# ---- which threshold the rule for empty masks likes
HIGHEST = {True: (0.9, 0.6), False: (0.3, 0.5, 0.2, 0.65, 0.1, 0.4, 0.35, 0.25)}
"""Has the film the finding? -> the highest probability on each such film."""
WHERE_MARKED = 0.7
"""Dice of a film with the finding where something is marked."""


def _means(threshold):
    """Mean Dice where empty masks count, and on films that have the finding."""
    if isinstance(threshold, bool) or not 0 < float(threshold) < 1:
        raise ValueError("expected a number between 0 and 1")
    ill = [WHERE_MARKED * (highest > threshold) for highest in HIGHEST[True]]
    empty = [float(highest <= threshold) for highest in HIGHEST[False]]
    return float(np.mean(ill + empty)), float(np.mean(ill))


def _marked_empty(threshold):
    return sum(highest > threshold for highest in HIGHEST[False])


REWARDED_THRESHOLD = Choice(
    "rewarded_threshold",
    "a threshold at which the mean Dice is highest where empty masks count",
    lambda t: "Dice {:.2f} where empty masks count, {:.2f} on the films that have the finding".format(*_means(t)),
    {
        "nothing is marked any more: the clear pneumothorax is lost, too": lambda t: t >= max(HIGHEST[True]),
        "empty films are marked, and each of them costs a whole film": lambda t: _marked_empty(t) > 1,
        "one empty film is marked, which costs more than the faint pneumothorax brings": lambda t: (
            _marked_empty(t) == 1
        ),
    },
    "Between which of the highest probabilities does the number of marked empty films fall to none?",
    (0.7, 0.65, 0.89),
    (0.95, 0.3, 0.55),
)
