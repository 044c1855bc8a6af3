"""Folders that are made once, and made again when what they were made from has changed: trained models."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from .manifest import read_json, write_json

NOTE = "made_from.json"
"""What a folder is made from, name -> hash, and whether it is finished."""

BEGUN = "checkpoint.safetensors"
"""What a training goes on from (training/loop.py); gone when it has ended."""


def made_from(folder: Path) -> dict | None:
    """What a finished folder was made from; None where it is absent, not finished or knows nothing of it.

    A training's checkpoint in it says that a later training was begun there and not ended, whatever the note tells.
    """
    note = read_json(folder / NOTE)
    return note.get("made_from") if note.get("finished") and not (folder / BEGUN).is_file() else None


def finish(folder: Path, parts: Mapping) -> None:
    """Note that a folder is whole."""
    write_json(folder / NOTE, {"made_from": dict(parts), "finished": True})


def keep(folder: Path, parts: Mapping, make: Callable[[Path], object]) -> Path:
    """The folder, made by `make(folder)` unless it was finished from the same parts.

    parts: all that decides the content, name -> hash; code among them (`sources.code_behind`). What was begun from the same
    parts and killed is handed to `make` as it was left, so that it can go on; what was made from others is removed.
    """
    if made_from(folder) == parts:
        return folder
    if read_json(folder / NOTE).get("made_from") != parts:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / NOTE, {"made_from": dict(parts), "finished": False})
    make(folder)
    finish(folder, parts)
    return folder
