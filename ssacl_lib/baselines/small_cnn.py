"""A small convolutional network, trained on given labels: the yardstick for how hard a data set is.

Seven convolutions with batch norm, a 3 x 3 spatial head, one-cycle learning rate. No augmentation, no pretraining.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

WIDTHS = (24, 48, 48, 96, 96, 192, 192)
STRIDES = (2, 1, 2, 1, 2, 1, 2)
BATCH = 64
PEAK_RATE = 3e-3


def small_cnn(outputs: int = 13) -> nn.Module:
    """The network: pixels [B, 1, S, S] in -1..1 -> logits [B, outputs]; S of at least 48."""
    layers, channels = [], 1
    for width, stride in zip(WIDTHS, STRIDES, strict=True):
        layers += [nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(0.2), nn.Linear(9 * channels, outputs)
    )


def to_pixels(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 [n, S, S] -> float [n, 1, S, S] in -1..1, channels last."""
    pixels = torch.from_numpy(np.array(images)).to(device).float().unsqueeze(1) / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last)


def train_cnn(images_of, truth: np.ndarray, seen: int, seed: int, device: torch.device) -> nn.Module:
    """Train on `seen` images in all (epochs of seeded permutations), with bfloat16 products.

    images_of: takes sorted row numbers, returns uint8 [k, S, S]. truth: [n, 13] bool.
    """
    torch.manual_seed(seed)
    model = small_cnn(truth.shape[1]).to(device).to(memory_format=torch.channels_last).train()
    size = min(BATCH, len(truth))
    steps = max(2, math.ceil(seen / size))
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    per_epoch = max(1, len(truth) // size)
    for step in tqdm(range(steps), desc="supervised CNN", unit="step", mininterval=2):
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([seed, 31, epoch]).permutation(len(truth))
        rows = np.sort(order[place * size : (place + 1) * size])
        target = torch.from_numpy(truth[rows]).float().to(device)
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(to_pixels(images_of(rows), device))
        loss = F.binary_cross_entropy_with_logits(logits.float(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def predict_cnn(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Probabilities [n, outputs] of uint8 images [n, S, S]."""
    device = next(model.parameters()).device
    parts = [model(to_pixels(images[i : i + 256], device)).float().sigmoid().cpu() for i in range(0, len(images), 256)]
    return torch.cat(parts).numpy()
