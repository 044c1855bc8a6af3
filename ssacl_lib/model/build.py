"""The model from settings or from a folder, as a user asks for it: with reports and maps (see start.py for the network)."""

from pathlib import Path
from typing import cast

from ..settings import Settings
from .ssacl import SSACLModel
from .start import build_network, load_network


def build_model(settings: Settings, tokenizer) -> SSACLModel:
    """A model with initial weights and its processor; see `build_network`."""
    return cast(SSACLModel, build_network(settings, tokenizer, SSACLModel))


def load_model(folder: Path | None = None, device: str = "auto") -> SSACLModel:
    """A checkpoint folder of ours (default: the shipped one) with its processor, in eval mode; see `load_network`."""
    return cast(SSACLModel, load_network(folder, device, SSACLModel))
