"""What the commands for single images write: names that take nobody else's place, JSON and picture, and lines on stderr."""

import json
import re
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from ..film import spelt
from ..plots.overlays import save_overlay
from ..record.manifest import write_json

LONGEST_SLUG = 40


def output_folder(out: Path | None) -> Path:
    """The folder for results, made where it is missing; here, where none is named."""
    folder = Path(out) if out else Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def slug(text: str) -> str:
    """A text as part of a file name: small Latin letters, digits and "_"; what gets lost is told apart by a hash.

    >>> slug("Left effusion")
    'left_effusion'
    """
    short = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:LONGEST_SLUG]
    whole = short.replace("_", " ") == text.lower()
    return short if whole else hashed(short, [text])


def hashed(short: str, parts: list[str]) -> str:
    """A name with six digits behind it that tell apart what it was made from."""
    digits = sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{short}_{digits}".strip("_")


def names_of(path: Path) -> Iterator[str]:
    """Names for the results of an image, from short to long: its stem, its name, and with the folders above it."""
    stem, name, *parts = (
        spelt(part).replace("\\", "_") for part in (path.stem, path.name, *path.resolve().parts[1:-1])
    )
    yield stem
    yield name.replace(".", "_")
    for count in range(1, len(parts) + 1):
        yield "_".join([*parts[-count:], stem])
    yield "_".join([*parts, name.replace(".", "_")])


def told_apart(images: list[Path]) -> list[list[str]]:
    """For each image the names that no other image of the same call has, from short to long."""
    offered = [list(names_of(path)) for path in images]
    places = [path.resolve() for path in images]
    taken: dict[str, set[Path]] = {}
    for place, names in zip(places, offered, strict=True):
        for name in names:
            taken.setdefault(name, set()).add(place)
    return [[name for name in names if len(taken[name]) == 1] for names in offered]


def free_name(out: Path, names: list[str], ending: str, image: Path, phrase: str | None = None) -> str:
    """The name under which the same image (and phrase) was written before; else the first of `names` that is free."""
    owners = {name: _owner(out / f"{name}{ending}.json") for name in (*names, *names_of(image))}
    ours = [name for name, owner in owners.items() if owner == (Path(spelt(image)).resolve(), phrase)]
    return next(iter([*ours, *(name for name in names if owners[name] is None), names[-1]]))


def _owner(path: Path) -> tuple | None:
    """Image and phrase of a JSON that is there; None where there is none."""
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        return Path(there["image"]).resolve(), there.get("phrase")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # somebody else's, which we don't write over
        return ()


def write_answer(out: Path, stem: str, figure, answer: dict) -> dict:
    """Write the picture (where there is one) and the JSON; returns the answer with the files' names."""
    answer["files"] = [spelt(out / f"{stem}.json")]
    if figure is not None:
        answer["files"].append(spelt(out / f"{stem}.png"))
        save_overlay(figure, out / f"{stem}.png")
    write_json(out / f"{stem}.json", answer)
    return answer


def say_notes(image: str, notes: list[str]) -> None:
    """What is odd about an image, a line each on stderr."""
    for note in notes:
        print(f"ssacl: {image}: {note}", file=sys.stderr)
