"""Visual encoder: a ViT whose prompt queries look at the patches and are seen by nobody.

Who attends to whom (paper, architecture figure; release, code):

    attention   queries see              CLS sees                                  patches see
    paper       themselves and patches   CLS and patches                           CLS and patches
    release     themselves and patches   itself and patches if there are queries,  patches only if there are queries,
                                         else all                                  else CLS and patches

No query sees another query and no patch sees a query, so the queries are a cross-attention to [itself, patches]: no dense
(N + Q)^2 mask is built. In release mode CLS sees what a query sees and is seen by nobody, so there it is one more query.
The final LayerNorm is applied to every token that leaves the encoder.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .attention import scaled_attention
from .config import SSACLConfig
from .masking import take, visible_pixels
from .stems import ConvolutionalStem, DeepStem, PatchStem


@dataclass
class Tokens:
    """What the encoder returns, all after the final LayerNorm.

    patches: [B, K, D], the kept patches in the order of `keep` (all N in reading order without it). cls: [B, D].
    queries: [B, Q, D] or None. attention: [B, heads, Q, 1 + K], the last block's, column 0 the query's own slot; or None.
    targets: [B, Q', D], queries that were asked for without gradient; or None.
    The types say tensor throughout: who reads a part has asked the encoder for it.
    """

    patches: torch.Tensor
    cls: torch.Tensor
    queries: torch.Tensor = None  # type: ignore[assignment]
    attention: torch.Tensor = None  # type: ignore[assignment]
    targets: torch.Tensor = None  # type: ignore[assignment]


def sine_cosine_positions(width: int, grid: int) -> torch.Tensor:
    """Fixed 2-D sine-cosine table [grid * grid, width]: first half of a vector the column, second half the row (MAE)."""
    quarter = torch.arange(width // 4, dtype=torch.float64)
    frequencies = 1.0 / 10000 ** (quarter / (width // 4))
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * frequencies
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    column = line[None].expand(grid, grid, -1)
    row = line[:, None].expand(grid, grid, -1)
    return torch.cat([column, row], dim=-1).reshape(grid * grid, -1).float()


class Block(nn.Module):
    """Pre-norm transformer block (LayerNorm eps 1e-6, exact GELU, no dropout), with a path for queries."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def split(self, tokens: torch.Tensor) -> torch.Tensor:
        """Query, key and value of the normalised tokens: [3, B, heads, tokens, d]."""
        batch, length, width = tokens.shape
        return (
            self.qkv(self.norm1(tokens)).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        )

    def finish(self, tokens: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """Residual of the attention output [B, heads, tokens, d], then the MLP."""
        tokens = tokens + self.proj(mixed.transpose(1, 2).flatten(2))
        return tokens + self.fc2(F.gelu(self.fc1(self.norm2(tokens))))

    def forward(self, tokens: torch.Tensor, visible: torch.Tensor | None = None) -> torch.Tensor:
        """Plain self-attention over tokens [B, T, D]; `visible` [B, 1, 1, T] bool."""
        query, key, value = self.split(tokens)
        return self.finish(tokens, scaled_attention(query, key, value, visible))

    def look(self, queries: torch.Tensor, key: torch.Tensor, value: torch.Tensor, visible: torch.Tensor | None = None):
        """Queries [B, Q, D] look at [itself, patches]; key, value [B, heads, N, d] are the patches', visible [B, 1, 1, N] bool.

        Queries [1, Q, D] are the same for all images; so they are in the first block. Returns the new queries and their
        attention [B, heads, Q, 1 + N], column 0 for the query itself.
        """
        query, own_key, own_value = self.split(queries)
        query = query * query.shape[-1] ** -0.5
        own = (query * own_key).sum(-1, keepdim=True)
        others = query @ key.transpose(-2, -1)
        if visible is not None:
            others = others.masked_fill(~visible, float("-inf"))
        weights = torch.cat([own.expand(*others.shape[:-1], 1), others], dim=-1).softmax(dim=-1)
        mixed = weights[..., :1] * own_value + weights[..., 1:] @ value
        return self.finish(queries, mixed), weights

    def step(
        self,
        tokens: torch.Tensor,
        queries: torch.Tensor | None,
        targets: torch.Tensor | None,
        has_cls: bool,
        queries_only: bool = False,
    ) -> tuple:
        """One block of the encoder: tokens [B, (1 +) N, D] among themselves; queries and targets look at the patches.

        Returns tokens (None with queries_only), queries, the queries' attention (see `look`) and targets; None stays None.
        """
        query, key, value = self.split(tokens)
        patch_key, patch_value = (key[:, :, 1:], value[:, :, 1:]) if has_cls else (key, value)
        weights = None
        if queries is not None:
            queries, weights = self.look(queries, patch_key, patch_value)
        if targets is not None:
            with torch.no_grad():
                targets, _ = self.look(targets, patch_key, patch_value)
        finished = None if queries_only else self.finish(tokens, scaled_attention(query, key, value))
        return finished, queries, weights, targets


class VisionEncoder(nn.Module):
    """ViT with prompt queries; see the module's table."""

    positions: torch.Tensor

    def __init__(self, config: SSACLConfig):
        super().__init__()
        self.config = config
        if config.stem == "patch":
            self.stem: PatchStem | ConvolutionalStem = PatchStem(config.channels, config.width, config.patch_size)
        else:
            kind = DeepStem if config.stem == "deep" else ConvolutionalStem
            self.stem = kind(config.width, config.patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.register_buffer("positions", sine_cosine_positions(config.width, config.grid))
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.recompute = False

    def patch_tokens(self, pixels: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
        """Patch tokens with positions: [B, K, D] of the kept patches (all N where keep is None)."""
        config = self.config
        if pixels.shape[1] != config.channels and config.stem == "patch":
            pixels = pixels[:, :1].expand(-1, config.channels, -1, -1)
        positions = take(self.positions.to(pixels.dtype).expand(len(pixels), -1, -1), keep)
        if config.stem == "patch":
            return self.stem(pixels, keep) + positions
        pixels = pixels[:, :1]
        visible = torch.ones_like(pixels) if keep is None else visible_pixels(keep, config, pixels.dtype)
        return take(self.stem(pixels, visible), keep) + positions

    def forward(
        self,
        pixels: torch.Tensor,
        keep: torch.Tensor | None = None,
        queries: torch.Tensor | None = None,
        targets: torch.Tensor | None = None,
        queries_only: bool = False,
    ) -> Tokens:
        """Encode pixels [B, C, S, S] with queries [Q, D] or [B, Q, D]; keep [B, K] (indices of kept patches) or None.

        targets: more queries [Q', D], whose tokens nobody learns from: they are computed without gradient. queries_only: the
        last block works out no patch and no CLS, which are None then.
        """
        patches = self.patch_tokens(pixels, keep)
        cls = self.cls_token.expand(len(patches), -1, -1).to(patches.dtype)
        if queries is not None and queries.dim() == 2:
            queries = queries[None]
        if targets is not None:
            targets = targets.detach()[None]
        hidden_cls = self.config.attention == "release" and queries is not None
        tokens = patches if hidden_cls else torch.cat([cls, patches], dim=1)
        if queries is not None and hidden_cls:
            queries = torch.cat([queries, cls[: len(queries)]], dim=1)
        weights: Any = None
        for number, block in enumerate(self.blocks, start=1):
            tokens, queries, weights, targets = recomputed(
                self, block.step, tokens, queries, targets, not hidden_cls, queries_only and number == len(self.blocks)
            )
        parts: list[Any] = [None if part is None else self.norm(part) for part in (tokens, queries, targets)]
        tokens, queries, targets = parts
        if hidden_cls:
            cls, queries, weights = queries[:, -1], queries[:, :-1], weights[:, :, :-1]
        elif not queries_only:
            tokens, cls = tokens[:, 1:], tokens[:, 0]
        cls = None if queries_only else cls  # type: ignore[assignment]
        return Tokens(tokens, cls, queries, weights, targets)


def recomputed(owner: nn.Module, step, *arguments):
    """A block's step; where `owner.recompute` is set, its activations are not kept but computed anew in the backward pass."""
    if owner.recompute and owner.training and torch.is_grad_enabled():
        return checkpoint(step, *arguments, use_reentrant=False)
    return step(*arguments)
