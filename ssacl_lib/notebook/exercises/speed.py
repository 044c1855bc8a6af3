"""Exercise of notebook 07: how many times faster, from rounds in turns."""

import numpy as np

from .exercise import Exercise

ROUNDS = (
    (np.array([3.0, 2.0, 2.6, 8.0]), np.array([2.0, 1.6, 1.0, 4.4])),
    (np.array([2.0, 2.2, 9.0, 2.1, 2.6]), np.array([1.0, 1.3, 3.0, 1.5, 1.1])),
)


def speedup(reference, ours):
    """reference, ours [rounds], seconds: the median of the paired ratios."""
    return float(np.median(reference / ours))


SPEEDUP = Exercise(
    "speedup",
    speedup,
    {f"reference {r.tolist()}, ours {o.tolist()} seconds": (r, o) for r, o in ROUNDS},
    {
        "that is below 1 where ours is faster: divide the reference's seconds by ours": lambda r, o: speedup(o, r),
        "a round is a pair: divide first, then take the median": lambda r, o: float(np.median(r) / np.median(o)),
        "one odd round moves a mean; take the median": lambda r, o: float(np.mean(r / o)),
        "that is the ratio of all seconds together, which one slow round decides": lambda r, o: float(
            r.sum() / o.sum()
        ),
        "that is the best round of each; compare within a round": lambda r, o: float(r.min() / o.min()),
        "of an even number of rounds the median is the mean of the two in the middle": lambda r, o: float(
            sorted(r / o)[len(r) // 2]
        ),
        "that is how many seconds less; asked is how many TIMES": lambda r, o: float(np.median(r - o)),
        "that is how much faster in parts of one; asked is how many TIMES": lambda r, o: speedup(r, o) - 1,
    },
    "One ratio per round, reference / ours; then the one in the middle (of an even number: the mean of the middle two).",
)
