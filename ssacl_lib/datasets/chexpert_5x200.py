"""CheXpert 5x200 as the authors' file lays it out: a thousand films, five findings, 200 films with that finding alone.

FILE.json           list of objects: image_id, image (CheXpert-v1.0/train/patientN/studyN/viewN_frontal.jpg), caption,
                    labels (14 numbers in CheXpert's order, exactly one of them 1)
DATA/CheXpert-v1.0/...   or CheXpert-v1.0-small/..., as the authors' code has it
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..film import spelt
from ..images import letterbox, read_film
from ..observations import OBSERVATIONS

FILE = "chexpert_5x200_test.json"
FIVE = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
"""The findings of the set (Zhang et al., ConVIRT, introduced its form as 8x200; Huang et al., GLoRIA, as 5x200)."""

FULL, SMALL = "CheXpert-v1.0", "CheXpert-v1.0-small"
FIELDS = {"image": str, "caption": str, "labels": list}


@dataclass(frozen=True)
class PairedFilms:
    """Films, each with its own text and the one finding that it has.

    films: [n, S, S] uint8. finding: [n] names. skipped: why a film is left out, a sentence each.
    """

    names: list[str]
    films: np.ndarray
    captions: list[str]
    finding: np.ndarray
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)


def read_pairs(path: Path | str) -> list[tuple[str, str, str]]:
    """(image, caption, finding) of every object of the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such list; an object without a field, with a blank caption, or not exactly one label.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{spelt(path)}: no such file; data_root should hold {FILE} and the films that it names"
        )
    try:
        objects = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{spelt(path)}: not readable as JSON ({' '.join(str(error).split())[:80]})") from None
    if not isinstance(objects, list) or not objects:
        raise ValueError(f"{spelt(path)}: expected a list of objects with {', '.join(FIELDS)}")
    return [_pair(one, f"{spelt(path)}: object {number}") for number, one in enumerate(objects)]


def _pair(one: object, where: str) -> tuple[str, str, str]:
    wrong = [name for name, kind in FIELDS.items() if not isinstance(one, dict) or not isinstance(one.get(name), kind)]
    if wrong:
        raise ValueError(f"{where}: {wrong[0]!r} is missing or no {FIELDS[wrong[0]].__name__}")
    assert isinstance(one, dict)
    if not one["caption"].strip():
        raise ValueError(f"{where}: the caption is blank; fill it in or delete the object")
    ones = [name for name, label in zip(OBSERVATIONS, one["labels"], strict=False) if label == 1]
    if len(one["labels"]) != len(OBSERVATIONS) or len(ones) != 1:
        raise ValueError(
            f"{where}: labels should be {len(OBSERVATIONS)} numbers, exactly one of them 1; found {one['labels']}"
        )
    return one["image"], one["caption"], ones[0]


def load_5x200(root: Path | str, size: int) -> PairedFilms:
    """The films of DATA/FILE in squares of `size` with their captions; one that can't be read is left out with its reason.

    Raises:
        FileNotFoundError: no folder or no file.
        ValueError: an object of the file is wrong, or no film can be read.
    """
    root = Path(root)
    names, films, captions, findings, skipped = [], [], [], [], []
    for name, caption, finding in read_pairs(root / FILE):
        try:
            films.append(letterbox(read_film(_film_path(root, name)).pixels, size))
        except (ValueError, OSError) as error:
            skipped.append(f"{name}: {error}")
            continue
        names.append(name)
        captions.append(caption)
        findings.append(finding)
    if not films:
        raise ValueError(f"none of the {len(skipped)} films of {FILE} can be read; first: {skipped[0]}")
    return PairedFilms(names, np.stack(films), captions, np.array(findings), skipped)


def _film_path(root: Path, name: str) -> Path:
    """Where the film lies: as the file says, or below the folder of the small version."""
    small = root / name.replace(FULL, SMALL, 1)
    return root / name if (root / name).is_file() or not small.is_file() else small
