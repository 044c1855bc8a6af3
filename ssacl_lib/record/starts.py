"""Where a start lies: the folder that `model.encoder_weights` names, shipped, brought, or made below runs/ by its first user."""

from pathlib import Path

from .. import paths

MADE_HERE = "runs/"
"""A start with such a name is not shipped: the first training that names it makes it (training/checkpoints.py)."""


def made_here(name_or_path: str | None) -> Path | None:
    """Where the start `runs/NAME` lies, there or not; None for every other name."""
    here = name_or_path is not None and name_or_path.startswith(MADE_HERE)
    return paths.RUNS / str(name_or_path).removeprefix(MADE_HERE) if here else None


def local_folder(name_or_path: str) -> Path | None:
    """The folder behind a path (seen from here or from the repository's root), or None for the name of a hub model.

    Raises:
        FileNotFoundError: it reads like a path, and there is no such folder, or a start in it is only begun.
    """
    for folder in (Path(name_or_path), made_here(name_or_path) or paths.ROOT / name_or_path):
        if folder.is_dir() and ((folder / "encoder.safetensors").is_file() or not (folder / "work").is_dir()):
            return folder.resolve()
    if name_or_path.startswith((".", "/", "data/", MADE_HERE)):
        raise FileNotFoundError(
            f"{name_or_path}: no such folder; make a start with `ssacl pretrain-start --profile cpu --out "
            f"{name_or_path}`, or set model.encoder_weights to null for random weights"
        )
    return None


def to_be_made(name_or_path: str | None) -> Path | None:
    """The folder of a start `runs/NAME` that is not there yet, or only begun; None where nothing has to be made."""
    folder = made_here(name_or_path)
    try:
        return None if folder is None or local_folder(str(name_or_path)) else folder
    except FileNotFoundError:
        return folder
