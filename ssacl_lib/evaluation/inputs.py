"""What an evaluation reads: the unseen studies, a model's device and pixels, and the fingerprint of its weights."""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from ..datasets.registry import load_evaluation
from ..model.network import SSACLNetwork
from ..settings import Settings

START = "start"
"""The name of the model that knows what the start holds and nothing else."""


@lru_cache(maxsize=2)
def test_studies(settings: Settings) -> Sequence:
    """The evaluation view of the test split, kept in memory (the phantom's masks are rendered once)."""
    return load_evaluation(settings, split="test")


def device_of(settings: Settings) -> torch.device:
    """The device of the settings; "auto" takes a GPU where there is one."""
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(settings.device)


def weights_hash(model: SSACLNetwork) -> str:
    """SHA-256 of a model's tensors, configuration and vocabulary: with the network's code, what decides its answers.

    (The import of the network for this signature is what puts that code behind every result of a model.)
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    config = model.config.to_dict() if hasattr(model.config, "to_dict") else vars(model.config)
    told = {
        name: value for name, value in config.items() if not name.startswith("_") and name != "transformers_version"
    }
    digest.update(json.dumps(told, sort_keys=True, default=str).encode())
    tokenizer = getattr(model.processor, "text_tokenizer", None)
    digest.update(json.dumps(sorted(tokenizer.get_vocab().items()) if tokenizer else []).encode())
    return digest.hexdigest()


def pixels_of(model, images: np.ndarray) -> torch.Tensor:
    """Square uint8 images [n, S, S] as normalised pixels [n, 1, S, S] on the model's device."""
    return model.processor.normalise(np.ascontiguousarray(images)).to(model.device)


def writers(models: dict) -> dict:
    """The models that write reports: all but the start, whose language decoder has learnt nothing."""
    return {name: model for name, model in models.items() if name != START}
