"""Exercises of notebook 07: tokens of two and of four passes, how many times faster, and how large a chunk may be."""

from numbers import Integral

import numpy as np

from .answers import Choice, Number
from .exercise import Exercise


# ---- tokens of a step
def tokens(patches, leaves=25, nodes=32):
    """Tokens through the encoder for a film of which half the patches are kept: of four passes, of two."""
    kept = patches // 2
    four = (1 + kept) + (leaves + 1 + patches) + (nodes + 1 + patches) + (nodes + 1 + kept)
    return four, (1 + kept + nodes) + (1 + patches + nodes)


TOKENS = Number(
    "token_ratio",
    "196 patches (16 pixels each way on a film of 224), half of them kept: tokens of four passes divided by tokens of two",
    lambda: tokens(196)[0] / tokens(196)[1],
    {
        "the queries are tokens, too, and more of them where four passes are made": 2.0,
        "that is the film of 64 patches of section 1": tokens(64)[0] / tokens(64)[1],
        "that is two by four; divide the four passes' tokens by the two passes'": tokens(196)[1] / tokens(196)[0],
        "half of the patches is kept, 98; all were counted in every pass": (4 * 197 + 25 + 2 * 32) / (2 * (197 + 32)),
        "that is how many tokens more; asked is how many TIMES": float(tokens(196)[0] - tokens(196)[1]),
    },
    "Write the count of section 1 again with patches = 196 and kept = 98.",
    tolerance=0.004,
)

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

# ---- a chunk that fits
GATHERED, LEAVES, BYTES, ROOM = 4096, 25, 4, 1e9


def _size(chunk):
    if isinstance(chunk, bool) or not isinstance(chunk, Integral) or chunk < 1:
        raise ValueError("expected a whole number of images from 1 on")
    return GATHERED * LEAVES * chunk * LEAVES * BYTES


CHUNK = Choice(
    "chunk",
    "4096 images with 25 leaves each are compared with `chunk` images at a time, one float32 per pair of leaves: the largest "
    "chunk whose matrix needs no more than 1 GB (10^9 bytes)",
    lambda chunk: f"{_size(chunk) / 1e9:.3f} GB",
    {
        "both sides have 25 leaves": lambda chunk: _size(chunk) > ROOM and GATHERED * LEAVES * chunk * BYTES <= ROOM,
        "too large": lambda chunk: _size(chunk) > ROOM,
        "it fits, and a larger one would, too": lambda chunk: _size(chunk + 1) <= ROOM,
    },
    "4096 * 25 rows, chunk * 25 columns, 4 bytes each.",
    (97,),
    (2441, 5000, 24),
)
