"""Visual decoder: MAE style, shared by image reconstruction (L_ir) and anatomy reconstruction (L_ar)."""

from functools import lru_cache
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from ..anatomy import default_graph, graph_index
from .config import SSACLConfig
from .encoder import Block, recomputed, sine_cosine_positions


@lru_cache
def families(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of each parent's children, padded [7, most children], and which of them are no padding (bool)."""
    graph = default_graph()
    children = [[graph.index(child) for child in graph.children(parent)] for parent in graph.parents]
    longest = max(map(len, children))
    numbers = torch.tensor([row + [0] * (longest - len(row)) for row in children], device=device)
    present = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in children], device=device)
    return numbers, present


class VisualDecoder(nn.Module):
    """A few transformer blocks and a linear map to the pixels of a patch."""

    positions: torch.Tensor

    def __init__(self, config: SSACLConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.width, config.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.register_buffer("positions", sine_cosine_positions(config.width, config.grid))
        self.blocks = nn.ModuleList(Block(config.width, config.decoder_heads) for _ in range(config.decoder_depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.pixels = nn.Linear(config.width, config.patch_size**2 * config.channels)
        self.recompute = False

    def run(self, tokens: torch.Tensor, visible: torch.Tensor | None = None, blocks=None) -> torch.Tensor:
        """Embedded tokens [B, T, D] through the blocks (all, where none are given)."""
        for block in self.blocks if blocks is None else blocks:
            tokens = recomputed(self, block, tokens, visible)
        return tokens

    def reconstruct(self, cls: torch.Tensor, patches: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """Pixels of every patch from the kept ones: cls [B, D], patches [B, K, D], keep [B, K] -> [B, N, pixels] (L_ir)."""
        batch, _, width = patches.shape
        kept = self.embed(patches)
        full = self.mask_token.to(kept.dtype).expand(batch, self.config.patches, width)
        full = full.scatter(1, keep[..., None].expand(-1, -1, width), kept) + self.positions.to(kept.dtype)
        tokens = torch.cat([self.embed(cls)[:, None], full], dim=1)
        return self.pixels(self.norm(self.run(tokens)[:, 1:]))

    def read_first(self, tokens: torch.Tensor, visible: torch.Tensor | None = None) -> torch.Tensor:
        """Pixels read at position 0 of sequences [B, T, D] without positions or mask tokens -> [B, pixels] (L_ar).

        In the last block only position 0 is worked out: it looks at itself and at the others.
        """
        before, last = list(self.blocks[:-1]), cast(Block, self.blocks[-1])
        tokens = self.run(self.embed(tokens), visible, before)
        _, key, value = last.split(tokens[:, 1:])
        first, _ = last.look(tokens[:, :1], key, value, None if visible is None else visible[..., 1:])
        return self.pixels(self.norm(first[:, 0]))

    def restored_parents(self, nodes: torch.Tensor) -> torch.Tensor:
        """restored_u = Dec[mean of z_v over v in C(u), z_v for v in C(u)] for the 7 parents u, in pixels.

        nodes: [B, 32, D] of the masked pass -> [B, 7, pixels].

        hierarchy="release": an inner child is its own masked token. "recursive": it is the mean of its children,
        from the leaves up (so that right and left lung, already restored, restore the lungs).
        """
        if self.config.hierarchy == "recursive":
            nodes = default_graph().restore(nodes[:, graph_index("leaves", nodes.device)])
        children, present = families(nodes.device)
        # restored_u = Dec[mean of z_v over v in C(u), z_v for v in C(u)]
        tokens = nodes[:, children] * present[..., None]  # [B, 7, longest, D]
        mean = tokens.sum(2, keepdim=True) / present.sum(1)[:, None, None]
        visible = F.pad(present, (1, 0), value=True).repeat(len(nodes), 1)[:, None, None]
        return self.read_first(torch.cat([mean, tokens], dim=2).flatten(0, 1), visible).view(
            len(nodes), len(children), -1
        )

    def parent_targets(self, parents: torch.Tensor) -> torch.Tensor:
        """target_u = Dec[z_u], the 7 parents from their own tokens alone: [B, 7, D] of the unmasked pass -> [B, 7, pixels]."""
        # target_u = Dec[z_u]
        return self.read_first(parents.flatten(0, 1)[:, None]).view(*parents.shape[:2], -1)
