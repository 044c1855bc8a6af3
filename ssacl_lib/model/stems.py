"""What makes patch tokens of pixels: one linear map per patch (the paper's), or a few strided convolutions (ours)."""

import torch
from torch import nn
from torch.nn import functional as F

from .masking import take


class ConvolutionalStem(nn.Module):
    """Patch tokens by a few strided convolutions (ours, for small budgets; the paper has one linear map per patch).

    Hidden pixels are set to 0 (the mean) and a second channel says which pixels are visible, so that nothing of a hidden
    patch reaches a kept one.
    """

    def __init__(self, width: int, patch_size: int):
        super().__init__()
        layers, channels, factor = [], 2, patch_size
        out = 24
        while factor % 2 == 0:
            layers += convolution(channels, out, stride=2)
            channels, out, factor = out, min(out * 2, width), factor // 2
        if factor > 1:
            layers += convolution(channels, out, factor, factor)
            channels = out
        layers += convolution(channels, width)
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, width, 1))

    def forward(self, pixels: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """pixels, visible (1 or 0): [B, 1, S, S] -> [B, N, D]."""
        stacked = torch.cat([pixels * visible, visible], dim=1).contiguous(memory_format=torch.channels_last)
        return self.layers(stacked).flatten(2).transpose(1, 2)


class DeepStem(ConvolutionalStem):
    """The same with a second convolution at half and at a quarter of the film's resolution, for lines thinner than a patch."""

    def __init__(self, width: int, patch_size: int):
        nn.Module.__init__(self)
        if patch_size % 4:
            raise ValueError(f"patch_size {patch_size} is no multiple of 4, which the deep stem needs")
        layers = [
            *convolution(2, 24, stride=2),
            *convolution(24, 48),
            *convolution(48, 48, stride=2),
            *convolution(48, 96),
        ]
        layers += convolution(96, width, patch_size // 4, patch_size // 4) + convolution(width, width)
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, width, 1))


def convolution(channels: int, out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch normalisation, ReLU. A kernel as wide as its stride has no border."""
    border = 0 if kernel == stride else kernel // 2
    layer = nn.Conv2d(channels, out, kernel, stride=stride, padding=border, bias=False)
    return [layer, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]


class PatchStem(nn.Module):
    """Patch tokens by one linear map of a patch's pixels (ViT); the weights have the shape of ViT's convolution."""

    def __init__(self, channels: int, width: int, patch_size: int):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch_size, stride=patch_size)

    def forward(self, pixels: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """pixels [B, C, S, S] -> [B, K, D] of the kept patches only, keep [B, K]; of all where it is None."""
        patches = F.unfold(pixels, self.proj.kernel_size, stride=self.proj.stride).transpose(1, 2)
        return F.linear(take(patches, keep), self.proj.weight.flatten(1), self.proj.bias)
