"""Which share of every patch a mask covers: annotations in the form in which a ViT can be taught them."""

import numpy as np
import torch
from torch.nn import functional as F


def patch_cover(masks: np.ndarray, grid: int) -> np.ndarray:
    """Masks [k, H, W] bool to shares of the patches of a grid: float32 [k, grid, grid], 1 = the patch is full."""
    return F.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(masks, np.float32))[None], grid)[0].numpy()
