"""Encoders from outside: any vision model of transformers by folder or name, a model of image and text, a checkpoint of ours.

Films are squared pictures in grey; each model gets them as its own image processor prepares pictures, whole, without a crop.
"""

import os
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

from ..model.config import SSACLConfig
from ..model.ssacl import SSACLModel
from ..model.start import load_network
from ..record.manifest import read_json
from ..record.sources import folder_fingerprint, sha256_file, sha256_json
from .clip_family import ClipGrounder, load_clip

BESIDE = ("config.json", "*processor_config.json", "*token*.json", "vocab.*", "merges.txt", "*.model")
"""Files of a folder that decide what its weights answer."""


@dataclass(frozen=True)
class VisionModel:
    """A model of transformers with its image processor. clip: the same with a text side, None where it has none.

    side: pixels of the square picture that it takes.
    """

    model: Any
    processor: Any
    side: int
    clip: ClipGrounder | None = None

    @property
    def vision(self):
        """The part that sees."""
        return self.model.vision_model if self.clip else self.model

    def eval(self) -> "VisionModel":
        """The same, in eval mode."""
        self.model.eval()
        return self

    def pixels(self, images: np.ndarray) -> torch.Tensor:
        """Films [n, S, S] uint8 as pictures [n, 3, side, side] in the model's own normalisation."""
        pictures = [Image.fromarray(image).convert("RGB") for image in images]
        size = {"height": self.side, "width": self.side}
        found = self.processor(pictures, size=size, do_resize=True, do_center_crop=False, return_tensors="pt")
        return found["pixel_values"].to(self.model.device, self.model.dtype)

    def tokens(self, images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Vector [n, D] of films and their patch tokens [n, G * G, D'].

        The vector is the model's own in the space of texts where it has one, else the mean over the patch tokens.
        """
        pixels = self.pixels(images)
        hidden = self.vision(pixel_values=pixels).last_hidden_state
        patches = hidden.flatten(2).transpose(1, 2) if hidden.dim() == 4 else grid_tokens(hidden)
        return (self._own(pixels) if self.clip else patches.mean(1)), patches

    def text_space_vectors(self, images: np.ndarray) -> torch.Tensor:
        """Vectors [n, D] of films in the space of texts, not normalised."""
        return self._own(self.pixels(images))

    def text_vectors(self, texts: list[str]) -> torch.Tensor:
        """Vectors [t, D] of texts, of length 1."""
        return self.clip.text_vectors(texts)

    def _own(self, pixels: torch.Tensor) -> torch.Tensor:
        found = self.model.get_image_features(pixel_values=pixels)
        return getattr(found, "pooler_output", found)  # an output with the vector in it (transformers 5), or the vector


def grid_tokens(hidden: torch.Tensor) -> torch.Tensor:
    """The tokens of a square grid of patches [n, G * G, D] among tokens [n, T, D]: what stands before them is CLS and its kin."""
    return hidden[:, -(isqrt(hidden.shape[1]) ** 2) :]


def located(name_or_path: str) -> str:
    """A folder as a path that holds wherever a process works; a name on the hub as it is."""
    return os.path.abspath(name_or_path) if Path(name_or_path).is_dir() else name_or_path


def content_of(name_or_path: str) -> str:
    """Hash of what a model is loaded from, wherever its folder lies; of a name on the hub the name's."""
    folder = Path(name_or_path)
    if not folder.is_dir():
        return sha256_json([name_or_path, "hub"])
    files = sorted({path for pattern in BESIDE for path in folder.rglob(pattern) if path.is_file()})
    beside = [[path.relative_to(folder).as_posix(), sha256_file(path)] for path in files]
    return sha256_json([folder_fingerprint(folder), beside])


def load_outside(name_or_path: str, device: str = "cpu"):
    """An SSACLModel where the folder is a checkpoint of ours, else a VisionModel; both in eval mode.

    Raises:
        ValueError: a model that answers films with no tokens, or takes no square picture.
        OSError: no such folder or name (transformers' own words).
    """
    folder = Path(name_or_path)
    if folder.is_dir() and read_json(folder / "config.json").get("model_type") == SSACLConfig.model_type:
        return load_network(folder, device, SSACLModel)
    model = AutoModel.from_pretrained(name_or_path, use_safetensors=True, dtype=torch.float32)
    if hasattr(model, "get_image_features") and hasattr(model.config, "text_config"):
        clip = load_clip(name_or_path, device)
        return VisionModel(clip.model, clip.processor.image_processor, clip.side, clip)
    processor = AutoImageProcessor.from_pretrained(name_or_path)
    found = VisionModel(model.to(device).eval(), processor, _side_of(model, processor))
    try:
        with torch.no_grad():
            found.tokens(np.zeros((1, found.side, found.side), np.uint8))
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name_or_path}: {type(model).__name__} gives no tokens of a film ({error}); name a vision model such as ViTModel"
        ) from None
    return found


def _side_of(model, processor) -> int:
    """Pixels of the picture that a model takes: its own size, else that of its processor."""
    side = getattr(model.config, "image_size", None)
    if isinstance(side, int):
        return side
    size = dict(processor.size)
    return int(size.get("height") or size.get("shortest_edge") or 224)
