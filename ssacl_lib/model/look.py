"""Prompts that look (SS-ACL+, ours): where an anatomy lies in this film, from an atlas that words gave and a pose that is seen.

The atlas [32, G, G] says where the anatomies lie in the average film; it is made of films and of what reports say
(training/words_atlas.py), without a mask, a box or a coordinate. The head reads from the frozen patch tokens how this film is
shifted, scaled and turned, and moves the atlas there:

    map of node v on film x = atlas_v after theta(x),    theta(x) = I + 0.3 * MLP(patch tokens of x)

One theta moves all 32 maps, so a parent whose map is the mean of its children's stays so on every film, as inclusion wants it.
The cardiac silhouette is the exception: reports name it as a whole, and its map is its own.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .config import SSACLConfig

NODES, GRID = 32, 48
"""Nodes of the graph, and cells along a side of the atlas."""

NARROW, HIDDEN, REACH = 32, 256, 0.3
"""Numbers per patch, width of the hidden layer, and how far from the identity a unit of output moves."""


def pose(rotation: torch.Tensor, scale: torch.Tensor, across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Matrices [B, 2, 3] of `affine_grid` from angles (radians), scales and shifts (of half the picture's side), each [B].

    They say for every place of the moved picture where it is taken from, in coordinates from -1 to 1.
    """
    cosine, sine = rotation.cos() / scale, rotation.sin() / scale
    rows = [torch.stack([cosine, -sine, across], -1), torch.stack([sine, cosine, down], -1)]
    return torch.stack(rows, dim=1)


def random_poses(numbers, seed: int, shift: float, scale: float, degrees: float) -> torch.Tensor:
    """A pose [n, 2, 3] for each film number, uniform within +- shift (of the side), 1 +- scale and +- degrees.

    Counter-based: film i has the same pose whatever the others are.
    """
    import numpy as np

    draws = np.stack([np.random.default_rng([seed, 31, int(i)]).uniform(-1, 1, 4) for i in numbers])
    turned, sized, across, down = torch.from_numpy(draws).float().unbind(1)
    return pose(turned * math.radians(degrees), 1 + sized * scale, 2 * shift * across, 2 * shift * down)


def moved(pictures: torch.Tensor, theta: torch.Tensor, beyond: str = "border", mode: str = "bilinear") -> torch.Tensor:
    """Pictures [B, C, H, W] after the poses [B, 2, 3]; beyond the edge "border" (films) or "zeros" (maps and masks)."""
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode=mode, padding_mode=beyond, align_corners=False)


class LookHead(nn.Module):
    """The atlas, and the pose of a film from its patch tokens.

    atlas: [32, G, G], not negative, 0 where nothing is known. located: [32] bool, nodes where reports place findings
    themselves; the other leaves have their parent's map.
    """

    atlas: torch.Tensor
    located: torch.Tensor

    def __init__(self, config: SSACLConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.narrow = nn.Linear(config.width, NARROW)
        self.hidden = nn.Linear(config.patches * NARROW, HIDDEN)
        self.pose = nn.Linear(HIDDEN, 6)
        self.register_buffer("atlas", torch.zeros(NODES, GRID, GRID))
        self.register_buffer("located", torch.zeros(NODES, dtype=torch.bool))

    def theta(self, patches: torch.Tensor) -> torch.Tensor:
        """Poses [B, 2, 3] of films with patch tokens [B, N, D]."""
        flat = F.gelu(self.narrow(self.norm(patches.float()))).flatten(1)
        offset = REACH * self.pose(F.gelu(self.hidden(flat))).view(-1, 2, 3)
        return offset + torch.eye(2, 3, device=offset.device)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Maps of all nodes [B, 32, G, G] on films with patch tokens [B, N, D]."""
        return moved(self.atlas.expand(len(patches), -1, -1, -1), self.theta(patches), "zeros")
