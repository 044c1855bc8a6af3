"""Does a map lie on its mask? Contrast-to-noise ratio, IoU, pointing, Dice, recall, precision of one map.

A map is [H, W] numbers (array or tensor, any range, high = here); a mask is [H, W] bool with at least one pixel.
`iou`, `dice`, `recall` and `precision` min-max normalise the map to [-1, 1] themselves and count a pixel as found where
it is strictly greater than the threshold. A constant map becomes -1 everywhere: it finds nothing, and all four are 0.
"""

from collections.abc import Sequence

import numpy as np
import torch

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Thresholds on the map in [-1, 1] over which MS-CXR's mIoU is averaged."""

ROUNDING = 1e-6
"""Values of a map closer than this share of its largest magnitude are equal: a few steps of float32."""


def _array(value: np.ndarray | torch.Tensor) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.float() if value.dtype == torch.bfloat16 else value
    return np.asarray(value)


def _read(heatmap: np.ndarray | torch.Tensor, mask: np.ndarray | torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Map as float64 and mask as bool, both [H, W], checked."""
    heatmap, mask = _array(heatmap).astype(np.float64), _array(mask).astype(bool)
    if heatmap.ndim != 2 or mask.shape != heatmap.shape:
        raise ValueError(f"heatmap has shape {heatmap.shape} and mask {mask.shape}, expected one shape [H, W] for both")
    if not np.isfinite(heatmap).all():
        raise ValueError(f"heatmap holds {(~np.isfinite(heatmap)).sum()} NaN or infinite values, expected numbers only")
    if not mask.any():
        raise ValueError("mask is empty, expected at least one pixel: leave out pairs without a region")
    return heatmap, mask


def _mean_and_variance(values: np.ndarray) -> tuple[float, float]:
    """Mean and population variance; exactly 0 for equal values, where rounding would leave a trace."""
    if values.min() == values.max():
        return float(values[0]), 0.0
    return float(values.mean()), float(values.var())


def contrast_to_noise_ratio(heatmap: np.ndarray | torch.Tensor, mask: np.ndarray | torch.Tensor) -> float:
    """CNR = (mean inside - mean outside) / sqrt(variance inside + variance outside).

    Signed; population variances. A constant map has 0. A map with one value inside and another outside has no noise:
    its ratio is infinite, with the sign of the contrast.

    Args:
        heatmap: [H, W]. mask: [H, W] bool, with pixels inside and outside.

    Raises:
        ValueError: shapes differ, NaN, an empty mask, or a mask of the whole image.
    """
    heatmap, mask = _read(heatmap, mask)
    if mask.all():
        raise ValueError("mask covers the whole image, expected at least one pixel outside of it")
    inside, inside_variance = _mean_and_variance(heatmap[mask])
    outside, outside_variance = _mean_and_variance(heatmap[~mask])
    contrast, noise = inside - outside, np.sqrt(inside_variance + outside_variance)
    if noise == 0:
        return float(np.sign(contrast) * np.inf) if contrast else 0.0
    return float(contrast / noise)


def _overlap(heatmap, mask, thresholds: Sequence[float]) -> tuple[np.ndarray, np.ndarray, int]:
    """Per threshold: pixels found inside the mask, and pixels found; then the pixels of the mask."""
    heatmap, mask = _read(heatmap, mask)
    low, high = heatmap.min(), heatmap.max()
    scaled = 2 * (heatmap - low) / (high - low) - 1 if high > low else np.full_like(heatmap, -1.0)
    found = scaled[None] > np.atleast_1d(np.asarray(thresholds, np.float64))[:, None, None]
    return (found & mask).sum((1, 2)), found.sum((1, 2)), int(mask.sum())


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=np.asarray(whole) > 0)


def iou(
    heatmap: np.ndarray | torch.Tensor, mask: np.ndarray | torch.Tensor, thresholds: Sequence[float] = THRESHOLDS
) -> np.ndarray:
    """Intersection over union at each threshold; mIoU is its mean.

    Args:
        heatmap: [H, W]. mask: [H, W] bool. thresholds: on the map in [-1, 1].

    Returns:
        [number of thresholds]; 0 where nothing is found.

    Raises:
        ValueError: shapes differ, NaN, empty mask.
    """
    shared, found, area = _overlap(heatmap, mask, thresholds)
    return shared / (found + area - shared)


def dice(
    heatmap: np.ndarray | torch.Tensor, mask: np.ndarray | torch.Tensor, thresholds: Sequence[float] = THRESHOLDS
) -> np.ndarray:
    """Dice = 2 |found and mask| / (|found| + |mask|) at each threshold; arguments and errors as in `iou`."""
    shared, found, area = _overlap(heatmap, mask, thresholds)
    return 2 * shared / (found + area)


def recall(
    heatmap: np.ndarray | torch.Tensor, mask: np.ndarray | torch.Tensor, thresholds: Sequence[float] = THRESHOLDS
) -> np.ndarray:
    """Share of the mask that is found, at each threshold; arguments and errors as in `iou`."""
    shared, _, area = _overlap(heatmap, mask, thresholds)
    return shared / area


def precision(
    heatmap: np.ndarray | torch.Tensor, mask: np.ndarray | torch.Tensor, thresholds: Sequence[float] = THRESHOLDS
) -> np.ndarray:
    """Share of the found pixels that lie in the mask, 0 where nothing is found; arguments and errors as in `iou`."""
    shared, found, _ = _overlap(heatmap, mask, thresholds)
    return _ratio(shared, found)


def pointing_game(heatmap: np.ndarray | torch.Tensor, mask: np.ndarray | torch.Tensor) -> int:
    """1 if a maximum of the map lies inside the mask, else 0. On ties any maximum counts (so a constant map has 1).

    This is how the authors' release counts. The tables of this project use `pointing_share`, which ties can't flatter.

    Args:
        heatmap: [H, W]. mask: [H, W] bool.

    Raises:
        ValueError: shapes differ, NaN, empty mask.
    """
    heatmap, mask = _read(heatmap, mask)
    return int(heatmap[mask].max() == heatmap.max())


def pointing_share(heatmap: np.ndarray | torch.Tensor, mask: np.ndarray | torch.Tensor) -> float:
    """Share of the map's maxima that lie inside the mask: the chance that a pointer put on one of them hits.

    With one maximum it is the pointing game, 0 or 1. A constant map points everywhere and scores the mask's share of the
    picture, which is chance. Pixels within the rounding of float32 of the maximum count as maxima.

    Args:
        heatmap: [H, W]. mask: [H, W] bool.

    Raises:
        ValueError: shapes differ, NaN, empty mask.

    Source: pointing game, Zhang et al., Top-Down Neural Attention by Excitation Backprop, ECCV 2016; the share is ours.
    """
    heatmap, mask = _read(heatmap, mask)
    maxima = heatmap >= heatmap.max() - ROUNDING * np.abs(heatmap).max()
    return float((maxima & mask).sum() / maxima.sum())


def pointing_and_contrast(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`pointing_share` and `contrast_to_noise_ratio` of many pairs at once: maps, masks [V, H, W] -> two arrays [V].

    Raises:
        ValueError: shapes differ, NaN, an empty mask or one of the whole image.
    """
    if np.shape(maps) != np.shape(masks) or np.ndim(maps) != 3:
        raise ValueError(
            f"maps have shape {np.shape(maps)} and masks {np.shape(masks)}, expected one [V, H, W] for both"
        )
    values = np.asarray(maps, np.float64).reshape(len(maps), -1)
    inside = np.asarray(masks, bool).reshape(values.shape)
    size = inside.sum(1)
    if not np.isfinite(values).all() or (size == 0).any() or (size == values.shape[1]).any():
        raise ValueError("a map holds NaN or infinite values, or a mask is empty or covers the whole image")
    highest, lowest = values.max(1), values.min(1)
    maxima = values >= (highest - ROUNDING * np.abs(values).max(1))[:, None]
    pointing = (maxima & inside).sum(1) / maxima.sum(1)
    means, noise = [], 0
    for part, count in ((inside, size), (~inside, values.shape[1] - size)):
        mean = (values * part).sum(1) / count
        noise = noise + (np.where(part, values - mean[:, None], 0) ** 2).sum(1) / count
        means.append(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = (means[0] - means[1]) / np.sqrt(noise)
    return pointing, np.where(highest == lowest, 0.0, contrast)


def centre_prior(height: int, width: int) -> np.ndarray:
    """The map that knows nothing of the image: [H, W], a Gaussian in the middle, sigma a quarter of each side."""
    rows = (np.arange(height) - (height - 1) / 2) / (height / 4)
    columns = (np.arange(width) - (width - 1) / 2) / (width / 4)
    prior = np.exp(-0.5 * (rows[:, None] ** 2 + columns[None, :] ** 2))
    return prior / prior.max()
