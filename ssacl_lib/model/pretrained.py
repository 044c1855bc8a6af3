"""Weights that others made, by folder or name on the hub: only of the kind that is asked for, and whole.

transformers reads a folder of another kind with a line on the screen, and fills what it lacks with random numbers.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig


def require_type(name_or_path: str, kinds: Sequence[str], wanted: str) -> None:
    """Raises ValueError unless the model is of one of these types of transformers (`model_type`); wanted: their name in words."""
    if Path(name_or_path).is_dir() and not (Path(name_or_path) / "config.json").is_file():
        raise ValueError(f"{name_or_path}: no config.json in this folder; copy it whole")
    found = AutoConfig.from_pretrained(name_or_path).model_type
    if found not in kinds:
        raise ValueError(f"{name_or_path}: a model of the type {found}, expected {wanted}")


def load_whole(loader, name_or_path: str, spared: tuple[str, ...] = (), **options):
    """`loader.from_pretrained` from safetensors alone.

    Raises:
        ValueError: tensors are missing, but for those whose names begin with one of `spared`.
    """
    try:
        model, info = loader.from_pretrained(name_or_path, use_safetensors=True, output_loading_info=True, **options)
    except SafetensorError as error:
        raise ValueError(f"{name_or_path}: its weights can't be read ({error}); copy them again") from None
    if missing := sorted(name for name in info["missing_keys"] if not name.startswith(spared)):
        raise ValueError(f"{name_or_path}: {len(missing)} tensors are missing (first: {missing[0]}); copy it again")
    return model


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file. Raises ValueError for one that is cut off."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: can't be read ({error}); copy it again") from None
