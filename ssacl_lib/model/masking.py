"""A film as patches: which are kept, how the others are hidden, and their pixels."""

import torch

from .config import SSACLConfig


def take(tokens: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    """The kept rows of tokens [B, N, D] by keep [B, K] -> [B, K, D]; all where keep is None."""
    return tokens if keep is None else tokens.gather(1, keep[..., None].expand(-1, -1, tokens.shape[-1]))


def visible_pixels(keep: torch.Tensor, config: SSACLConfig, dtype: torch.dtype) -> torch.Tensor:
    """Pixel map of the kept patches: keep [B, K] indices -> [B, 1, S, S] of 1 (visible) and 0."""
    patches = visible_patches(keep, config.patches, dtype).view(-1, 1, config.grid, config.grid)
    return patches.repeat_interleave(config.patch_size, 2).repeat_interleave(config.patch_size, 3)


def visible_patches(keep: torch.Tensor, patches: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """keep [B, K] indices -> [B, N], 1 = kept."""
    return torch.zeros(keep.shape[0], patches, dtype=dtype, device=keep.device).scatter_(1, keep, 1.0)


def patchify(pixels: torch.Tensor, size: int, channels: int) -> torch.Tensor:
    """Pixels [B, C, S, S] as patches of size p [B, N, p * p * channels], ordered row, column, channel (MAE)."""
    if pixels.shape[1] != channels:
        pixels = pixels[:, :1].expand(-1, channels, -1, -1)
    grid = pixels.shape[-1] // size
    patches = pixels.reshape(len(pixels), channels, grid, size, grid, size).permute(0, 2, 4, 3, 5, 1)
    return patches.reshape(len(pixels), grid * grid, size * size * channels)


def keep_lowest(noise: torch.Tensor, mask_ratio: float) -> torch.Tensor:
    """Indices [B, K] of the int(N * (1 - mask_ratio)) patches with the lowest noise [B, N], lowest first (MAE)."""
    return noise.argsort(dim=1)[:, : int(noise.shape[1] * (1 - mask_ratio))]
