"""Weights that others made, by folder or name on the hub: only of the kind that is asked for, and whole.

transformers reads a folder of another kind with a line on the screen, and fills what it lacks with random numbers.
"""

from collections.abc import Sequence

from transformers import AutoConfig


def require_type(name_or_path: str, kinds: Sequence[str], wanted: str) -> None:
    """Raises ValueError unless the model is of one of these types of transformers (`model_type`); wanted: their name in words."""
    found = AutoConfig.from_pretrained(name_or_path).model_type
    if found not in kinds:
        raise ValueError(f"{name_or_path}: a model of the type {found}, expected {wanted}")


def load_whole(loader, name_or_path: str, spared: tuple[str, ...] = (), **options):
    """`loader.from_pretrained` from safetensors alone.

    Raises:
        ValueError: tensors are missing, but for those whose names begin with one of `spared`.
    """
    model, info = loader.from_pretrained(name_or_path, use_safetensors=True, output_loading_info=True, **options)
    if missing := sorted(name for name in info["missing_keys"] if not name.startswith(spared)):
        raise ValueError(f"{name_or_path}: {len(missing)} tensors are missing (first: {missing[0]}); copy it again")
    return model
