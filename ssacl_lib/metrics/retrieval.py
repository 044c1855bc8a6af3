"""How well one kind of thing ranks another: precision among the first k, recall of the own partner, its rank.

    P@k    share of the first k that are of the query's class
    R@k    is the query's own partner among the first k?
    rank   of the own partner, 1 = first

Equal scores have no order. All three are what a random order of equals gives on average: a model that gives one number to all
scores chance, and equal texts share their ranks.
"""

import numpy as np

PRECISIONS, RECALLS = (5, 10, 100), (1, 5, 10)


def ranking_scores(scores: np.ndarray, query_class: np.ndarray, class_of: np.ndarray) -> dict[str, np.ndarray]:
    """Per query p_at_k, r_at_k and rank, arrays [n]; p_at_k is NaN where there are fewer than k to be ranked.

    Args:
        scores: [n, n], row = query, column = what is ranked, higher = earlier; the own partner stands on the diagonal.
        query_class, class_of: [n], classes of the queries and of what is ranked.

    Raises:
        ValueError: shapes do not fit, or NaN.
    """
    scores, same = np.asarray(scores, np.float64), np.asarray(query_class)[:, None] == np.asarray(class_of)[None]
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or same.shape != scores.shape:
        raise ValueError(
            f"scores have shape {scores.shape} and classes {same.shape}, expected [n, n] and n classes each"
        )
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN, expected a number for every pair")
    own = scores.diagonal()[:, None]
    before, equal = (scores > own).sum(1), (scores == own).sum(1)
    found = {"rank": before + (equal + 1) / 2}
    found |= {f"r_at_{k}": np.clip((k - before) / equal, 0, 1) for k in RECALLS}
    for k in PRECISIONS:
        found[f"p_at_{k}"] = _precision(scores, same, k) if k <= len(scores) else np.full(len(scores), np.nan)
    return found


def _precision(scores: np.ndarray, same: np.ndarray, k: int) -> np.ndarray:
    """Hits above the k-th score, and the share of hits among its equals for the places that are left."""
    last = np.partition(scores, -k, axis=1)[:, -k, None]
    above, equal = scores > last, scores == last
    hits = (above & same).sum(1) + (k - above.sum(1)) * (equal & same).sum(1) / equal.sum(1)
    return hits / k


def chance(classes: np.ndarray) -> dict[str, float]:
    """What a random order scores, in the names of `ranking_scores`."""
    count = len(classes)
    shares = np.unique(np.asarray(classes), return_counts=True)[1] / count
    found = {f"p_at_{k}": float((shares**2).sum()) for k in PRECISIONS if k <= count}
    return {**found, **{f"r_at_{k}": min(k / count, 1.0) for k in RECALLS}, "rank": (count + 1) / 2}
