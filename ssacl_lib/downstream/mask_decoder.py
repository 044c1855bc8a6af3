"""A light decoder from patch tokens to masks, frozen encoder or not.

Tokens are laid on their grid, brought to 64 channels, and enlarged twice by 2 (bilinear, 3 x 3 convolution, group norm, GELU);
one 1 x 1 convolution makes a logit per finding, which is enlarged to the film. About 90,000 parameters at width 128. The decoders
of segmentation libraries (U-Net, FPN, UperNet) join the scales of a pyramid; a plain vision transformer has one scale, and
so these would need scales that are made up first. This is the progressive decoder of S. Zheng et al., *Rethinking Semantic
Segmentation from a Sequence-to-Sequence Perspective* (SETR-PUP), CVPR 2021, with two steps in place of four.

The loss is that of most entries of the contest: binary cross-entropy per pixel, and 1 - Dice of the probabilities of all films of
a batch together (F. Milletari et al., V-Net, 3DV 2016), which a batch with empty masks leaves well defined.
"""

from math import isqrt

import torch
from torch import nn
from torch.nn import functional as F

CHANNELS = (64, 64, 32)
"""After the first map, and after each enlargement."""

GROUPS = 8


class MaskDecoder(nn.Module):
    """Patch tokens [B, G * G, D] to logits [B, findings, side, side]."""

    def __init__(self, width: int, findings: int):
        super().__init__()
        first, *more = CHANNELS
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, first)
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, after), nn.GELU())
            for before, after in zip([first, *more[:-1]], more, strict=True)
        )
        self.leave = nn.Conv2d(more[-1], findings, 1)
        nn.init.constant_(self.leave.bias, -3.0)  # most pixels show nothing

    def forward(self, patches: torch.Tensor, side: int) -> torch.Tensor:
        """side: pixels of the masks' side.

        Raises:
            ValueError: the tokens are those of no square grid.
        """
        grid = isqrt(patches.shape[1])
        if grid**2 != patches.shape[1]:
            raise ValueError(f"{patches.shape[1]} patch tokens are no square grid; masks need an encoder that has one")
        maps = self.enter(self.norm(patches)).transpose(1, 2).unflatten(2, (grid, grid))
        for step in self.steps:
            maps = step(F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False))
        return F.interpolate(self.leave(maps), size=(side, side), mode="bilinear", align_corners=False)


def mask_loss(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Cross-entropy + 1 - Dice of logits and masks [B, K, S, S], mean over the findings, 0-d."""
    entropy = F.binary_cross_entropy_with_logits(logits, masks)
    found = logits.sigmoid()
    # Dice of the batch: 2 sum p m / (sum p + sum m), plus 1 above and below for a batch in which nothing is there
    dice = (2 * (found * masks).sum((0, 2, 3)) + 1) / (found.sum((0, 2, 3)) + masks.sum((0, 2, 3)) + 1)
    return entropy + (1 - dice).mean()
