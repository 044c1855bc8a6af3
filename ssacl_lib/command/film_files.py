"""Which files of folders are films: pictures by their names or first bytes, without what `ssacl` wrote itself."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..film import spelt
from ..images import kind_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".bmp")
"""Files of these names are films, and an error where they can't be read; others are, where their first bytes say so."""

NO_FILMS = ("DICOMDIR",)
"""Files of a DICOM folder that hold no picture."""

OWN, OWN_TABLES = ("_report", "_ground", "_retrieve"), ("reports.jsonl", "reports.csv", "skipped.csv")
"""Endings of what `ssacl` writes of single images, a picture beside a JSON; and its files of folders."""

PICTURE = "_report.png"
"""How the names of the pictures below OUT/pictures end."""


def films_below(sources: Sequence[Path], out: Path) -> tuple[list[tuple[Path, Path]], int]:
    """(file, its name below the source) of all pictures, in order of their paths, and the count of files that are none.

    What `ssacl` wrote itself is neither.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: no source holds a picture.
    """
    found: dict[Path, Path] = {}
    others, seen = 0, set()
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"{spelt(source)}: no such file or folder")
        root = source.resolve() if source.is_dir() else source.resolve().parent
        for path in sorted(_files_below(root)) if source.is_dir() else [source.resolve()]:
            if (
                not (path.is_file() or path.is_symlink())
                or _is_own(path, out)
                or (real := os.path.realpath(path)) in seen
            ):
                continue  # (a link that leads nowhere stays: it can't be read, and is listed so)
            seen.add(real)
            if not source.is_dir() or _is_film(path):
                found.setdefault(path, Path(root.name) / path.relative_to(root))
            else:
                others += 1
    if not found:
        raise ValueError(
            f"{spelt(sources[0])}: no picture in it ({', '.join(SUFFIXES)}, or DICOM under any name); {others} other files"
        )
    return list(found.items()), others


def _files_below(root: Path) -> Iterator[Path]:
    """All files below a folder, those of linked folders too; a link that leads back into where it came from is not followed."""
    entered = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        entered.add(os.path.realpath(folder))
        inner[:] = sorted(name for name in inner if os.path.realpath(os.path.join(folder, name)) not in entered)
        yield from (Path(folder) / name for name in names)


def _is_own(path: Path, out: Path) -> bool:
    """Did `ssacl` write it: tables and pictures of OUT, JSON and picture of a single image?"""
    if path.parent == out and path.name in OWN_TABLES:
        return True
    if out / "pictures" in path.parents and path.name.endswith(PICTURE):
        return True
    if not path.stem.endswith(OWN) or path.suffix not in (".json", ".png"):
        return False
    try:
        return {"checkpoint", "files"} <= set(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):  # none, or somebody else's: then the picture is a film
        return False


def _is_film(path: Path) -> bool:
    """By its name, or by its first bytes."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        return path.name.upper() not in NO_FILMS and kind_of(path) not in ("empty", "unknown")
    except OSError:  # it can't be opened, and its name does not say that it is a film
        return False
