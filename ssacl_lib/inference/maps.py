"""Films in, maps of phrases and anatomies out."""

import numpy as np
import torch

from ..anatomy import default_graph
from ..model.chunks import BATCH, chunks
from ..model.maps import anatomy_maps_of_pixels, phrase_maps_of_pixels
from ..model.network import SSACLNetwork


def phrase_maps(
    model: SSACLNetwork,
    images: np.ndarray,
    phrases: list[list[str]],
    evidence: str = "masked",
    masks: int | None = None,
    seed: int = 0,
    progress: str | None = None,
) -> list[np.ndarray]:
    """Maps of each image's own phrases: images [n, S, S] uint8, n lists of phrases -> n arrays [p, S, S] (p may be 0)."""
    size = model.config.image_size
    maps = []
    for part in chunks(len(images), 1, progress):
        row = part.start
        if not phrases[row]:
            maps.append(np.zeros((0, size, size), np.float32))
            continue
        pixels = model.processor.normalise(images[part]).to(model.device)
        maps.append(phrase_maps_of_pixels(model, pixels, phrases[row], evidence, masks, seed)[0].cpu().numpy())
    return maps


def leaf_maps(model: SSACLNetwork, images: np.ndarray, progress: str | None = None) -> np.ndarray:
    """Attention of the 25 leaf prompts as maps [n, 25, S, S] (float32) of images [n, S, S]."""
    leaves = list(default_graph().leaves)
    parts = [
        anatomy_maps_of_pixels(model, model.processor.normalise(images[part]).to(model.device), leaves).cpu()
        for part in chunks(len(images), BATCH, progress)
    ]
    return torch.cat(parts).float().numpy()
