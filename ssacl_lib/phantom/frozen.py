"""The phantom's version: while methods are compared it stays the same, and a hash over a fixed sample of studies says so.

Whoever changes films, masks, truth or reports on purpose raises VERSION, takes the new `sample_hash()` for FROZEN, and makes
everything anew that was compared on the old one (starts, shipped model, `ssacl spread`, `ssacl ablation`).
"""

import hashlib

import numpy as np

from ..anatomy import default_graph
from .organs import organ_maps
from .reports import write_report
from .xray import render

VERSION = "1.0"

FROZEN = "7b4a8c1af8ab6c08f93887e062ff520d3310e599b25c9343b2ca93b9ede0194b"
"""SHA-256 of the sample, of films of the phantom's version above."""

SAMPLE = ((0, "train", 0), (0, "train", 23999), (0, "validation", 7), (1, "test", 3), (2, "test", 599))
"""Seed, split and number of the studies that are hashed."""

SIZE, RANGES = 96, 0.5


def sample_hash() -> str:
    """SHA-256 over films, masks of nodes and findings, truth and reports of SAMPLE, as the profile cpu draws them."""
    digest, maps = hashlib.sha256(), organ_maps(SIZE)
    for seed, split, number in SAMPLE:
        batch = render(seed, split, [number], image_size=SIZE, ranges=RANGES, maps=maps, masks=True)
        signs = batch.signs[0]
        digest.update(batch.images.tobytes() + np.packbits(batch.node_masks).tobytes())
        digest.update(np.packbits(batch.sign_masks[0]).tobytes() if batch.sign_masks else b"")
        digest.update(repr([(sign.finding, sign.side, sign.zone, sign.kind) for sign in signs]).encode())
        digest.update(write_report(signs, np.random.default_rng([seed, number, 1])).text.encode())
    digest.update("\0".join(default_graph().nodes).encode())
    return digest.hexdigest()
