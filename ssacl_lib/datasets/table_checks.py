"""What is wrong with a reader's tables as a whole and shows in no row of its own; every command asks before any work.

One film under two spellings could be learnt from and tested on; boxes under another spelling than the film's would be lost
without a word; a patient "NA" would be one patient whom hundreds of films share, and who lands in one split.
"""

import os
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import pandas as pd

from ..images import stored_shape
from .boxes import PHRASE_BOXES, REGION_BOXES, image_path
from .csv_table import read_csv
from .folder import TABLE
from .pictures import stamp
from .release_csv import TABLES, read_rows

NAMELESS = ("na", "n/a", "nan", "none", "null", "unknown", "-", "?")
"""What tables write for a patient whom nobody knows."""


EDGE = 2
"""Pixels that a box may run beyond its film before a line tells of it."""


def check_folder(root: Path) -> None:
    """The tables of a folder of films (datasets/folder.py), once per state of them; rows of boxes that belong to no listed film
    are counted on stderr.

    Without studies.csv there is nothing to check: whoever reads it says that it is missing.

    Raises:
        ValueError: two rows name one film, a table of boxes spells a film in another way, or films share an unknown patient.
    """
    _checked_folder(root, *(tuple(stamp(root / name)) for name in (TABLE, REGION_BOXES, PHRASE_BOXES)))


@lru_cache(maxsize=4)
def _checked_folder(root: Path, *stamps: tuple[int, ...]) -> None:
    if not (root / TABLE).is_file():
        return
    table = read_csv(root / TABLE, ("image", "report"))
    listed = check_films(root / TABLE, table["image"], lambda name: image_path(root, name))
    check_patients(root / TABLE, table)
    for name in (REGION_BOXES, PHRASE_BOXES):
        if (root / name).is_file():
            table = read_csv(root / name, ("image", "x", "y", "w", "h"))
            _check_boxes(root / name, table["image"], root, listed)
            _tell_of_large_boxes(root / name, table, root)


def check_release(root: Path) -> None:
    """The tables of the authors' release (datasets/release_csv.py), once per state of them.

    Raises:
        ValueError: a patient stands in two of them.
    """
    _checked_release(root, *(tuple(stamp(root / name)) for name in TABLES.values()))


@lru_cache(maxsize=4)
def _checked_release(root: Path, *stamps: tuple[int, ...]) -> None:
    seen: dict[str, str] = {}
    for split, name in TABLES.items():
        if (root / name).is_file():
            for patient in dict.fromkeys(read_rows(root, split)["patient"]):
                if (other := seen.setdefault(patient, name)) != name:
                    raise ValueError(f"{root / name}: patient {patient!r} is in {other}, too; leave each in one table")


def check_films(path: Path, images: Sequence[str], file_of: Callable[[str], Path]) -> dict[str, str]:
    """File -> its name in the table.

    Raises:
        ValueError: two names are one file.
    """
    listed: dict[str, str] = {}
    for name in images:
        other = listed.setdefault(os.path.realpath(file_of(name)), name)
        if other != name:
            raise ValueError(f"{path}: {other!r} and {name!r} are one and the same film; delete one of the rows")
    return listed


def check_patients(path: Path, table: pd.DataFrame) -> None:
    """Raises ValueError where several films have a patient of the name "NA" or the like."""
    patients = table["patient"].str.strip() if "patient" in table else pd.Series(dtype=str)
    for name, count in patients[patients.str.lower().isin(NAMELESS)].value_counts().items():
        if count > 1:
            raise ValueError(
                f"{path}: {count} films have the patient {name!r} and would be one patient's, all in one split; leave the "
                "cell blank where the patient is not known: each such film is then a patient of its own"
            )


def _check_boxes(path: Path, images: pd.Series, root: Path, listed: dict[str, str]) -> None:
    others = images[~images.isin(set(listed.values()))]
    for line, name in others.items():
        if (known := listed.get(os.path.realpath(image_path(root, name)))) is not None:
            raise ValueError(
                f"{path}: line {line}: {name!r} is the film that {TABLE} names {known!r}; write it the same way"
            )
    if len(others):
        print(
            f"ssacl: {len(others)} rows of {path} are of films that {TABLE} does not list and are left out (first: line "
            f"{others.index[0]}, {others.iloc[0]!r})",
            file=sys.stderr,
        )


def _tell_of_large_boxes(path: Path, table: pd.DataFrame, root: Path) -> None:
    """Boxes that run beyond their film are cut at its edge; so would be corners in place of width and height."""
    numbers = table[["x", "y", "w", "h"]].apply(pd.to_numeric, errors="coerce")
    beyond = []
    for image, rows in numbers.groupby(table["image"]):
        if (shape := stored_shape(image_path(root, image))) is not None:
            over = (rows["x"] + rows["w"] > shape[1] + EDGE) | (rows["y"] + rows["h"] > shape[0] + EDGE)
            beyond += rows.index[over].tolist()
    if beyond:
        print(
            f"ssacl: {len(beyond)} boxes of {path} run beyond their film and are cut at its edge (first: line "
            f"{min(beyond)}); w and h are width and height, in pixels of the file",
            file=sys.stderr,
        )
