"""A small supervised network: what can be learnt of the findings in a minute when the labels are true.

Trained on the truth of a phantom's patients, which no other model sees, it measures the phantom's difficulty.
Evaluation only. Seven 3 x 3 convolutions with batch norm, then a linear map of the last maps averaged to 3 x 3 places,
so that the network can tell a base from an apex. Channels-last, and bf16 where the hardware has it: twice as fast.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from ..model.precision import has_fast_bfloat16

BATCH = 64
PEAK_RATE = 3e-3  # of the one-cycle schedule


class SmallCNN(nn.Module):
    """uint8 images [B, H, W] to logits [B, findings]; the convolutions have `width` to 8 * `width` channels."""

    def __init__(self, findings: int = 13, width: int = 24):
        super().__init__()
        plan = ((1, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (8, 2))  # channels in units of width, stride
        layers, channels = [], 1
        for factor, stride in plan:
            layers += [
                nn.Conv2d(channels, factor * width, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(factor * width),
                nn.ReLU(inplace=True),
            ]
            channels = factor * width
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3))
        self.head = nn.Linear(9 * channels, findings)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = (images.float() / 255 - 0.5)[:, None].contiguous(memory_format=torch.channels_last)
        device = images.device.type
        with torch.autocast(device, torch.bfloat16, enabled=has_fast_bfloat16(device)):
            maps = self.body(pixels)
        return self.head(maps.float().flatten(1))


def train_cnn(
    images: np.ndarray | Callable[[Sequence[int]], np.ndarray],
    truth: np.ndarray,
    images_seen: int,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> SmallCNN:
    """Train on the truth: AdamW, one cycle to 3e-3, binary cross-entropy, every image once before any comes twice.

    Args:
        images: [n, H, W] uint8, or a function from indices to such an array.
        truth: [n, findings] bool.
        images_seen: images in all, in batches of 64 (of n where n is smaller); at least one batch.
        seed: of weights and order; the caller's random state stays as it was.
        progress: show a bar.

    Raises:
        ValueError: truth is not [n, findings], or images are not as many, or are not uint8 [n, H, W].
    """
    truth = np.asarray(truth)
    if truth.ndim != 2 or not len(truth):
        raise ValueError(f"truth has shape {truth.shape}, expected [n, findings] with at least one study")
    load = images if callable(images) else lambda rows: images[rows]
    if not callable(images) and len(images) != len(truth):
        raise ValueError(f"there are {len(images)} images and {len(truth)} rows of truth, expected one row per image")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmallCNN(truth.shape[1]).to(device, memory_format=torch.channels_last)
    batch = min(BATCH, len(truth))
    steps = max(1, images_seen // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps + 1)
    generator, order = np.random.default_rng(seed), np.array([], int)
    targets = torch.as_tensor(truth, dtype=torch.float32)
    model.train()
    for _ in tqdm(range(steps), desc="supervised network", unit="step", disable=not progress, delay=2, leave=False):
        if len(order) < batch:
            order = np.concatenate([order, generator.permutation(len(truth))])
        rows, order = order[:batch], order[batch:]
        logits = model(_tensor(load(rows), device))
        loss = F.binary_cross_entropy_with_logits(logits, targets[rows].to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def predict_cnn(model: SmallCNN, images: np.ndarray, batch: int = 256) -> np.ndarray:
    """Probabilities [n, findings] of images [n, H, W] uint8."""
    device = next(model.parameters()).device
    model.eval()
    parts = [model(_tensor(images[i : i + batch], device)).sigmoid().cpu() for i in range(0, len(images), batch)]
    return torch.cat(parts).numpy()


def _tensor(images: np.ndarray, device: str | torch.device) -> torch.Tensor:
    images = np.ascontiguousarray(images)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"images are {images.dtype} of shape {images.shape}, expected uint8 [n, H, W]")
    return torch.from_numpy(images).to(device)
