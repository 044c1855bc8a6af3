"""Visual decoder: MAE style, shared by image reconstruction (L_ir) and anatomy reconstruction (L_ar)."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..anatomy import default_graph
from .config import SSACLConfig
from .encoder import Block, sine_cosine_positions


class VisualDecoder(nn.Module):
    """A few transformer blocks and a linear map to the pixels of a patch."""

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
            if self.recompute and self.training and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, visible, use_reentrant=False)
            else:
                tokens = block(tokens, visible)
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
        *before, last = self.blocks
        tokens = self.run(self.embed(tokens), visible, before)
        _, key, value = last.split(tokens[:, 1:])
        first, _ = last.look(tokens[:, :1], key, value, None if visible is None else visible[..., 1:])
        return self.pixels(self.norm(first[:, 0]))

    def restored_parents(self, nodes: torch.Tensor) -> torch.Tensor:
        """Pixels of the 7 parents from [mean of the children, children]: nodes [B, 32, D] (masked pass) -> [B, 7, pixels].

        hierarchy="release": an inner child is its own masked token. "recursive": it is the mean of its children,
        from the leaves up (so that right and left lung, already restored, restore the lungs).
        """
        graph = default_graph()
        if self.config.hierarchy == "recursive":
            leaves = [graph.index(name) for name in graph.leaves]
            nodes = graph.restore(nodes[:, leaves])
        batch, _, width = nodes.shape
        children = [[graph.index(child) for child in graph.children(parent)] for parent in graph.parents]
        longest = max(map(len, children))
        sequences = nodes.new_zeros(batch, len(children), 1 + longest, width)
        visible = torch.zeros(len(children), 1 + longest, dtype=torch.bool, device=nodes.device)
        for row, members in enumerate(children):
            tokens = nodes[:, members]
            sequences[:, row, : 1 + len(members)] = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)
            visible[row, : 1 + len(members)] = True
        visible = visible.repeat(batch, 1)[:, None, None]
        return self.read_first(sequences.flatten(0, 1), visible).view(batch, len(children), -1)

    def parent_targets(self, parents: torch.Tensor) -> torch.Tensor:
        """Pixels of the 7 parents from their own tokens alone: [B, 7, D] of the unmasked pass -> [B, 7, pixels]."""
        return self.read_first(parents.flatten(0, 1)[:, None]).view(*parents.shape[:2], -1)
