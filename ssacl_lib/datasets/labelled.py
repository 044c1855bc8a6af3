"""Films with labels instead of reports: what classification learns from and is scored on.

    nih     DATA/train_list.txt, val_list.txt, test_list.txt, and train_1.txt, train_10.txt where they are there: one line per
            picture, its name and the 14 labels of NIH_LABELS, 0 or 1, with blanks (or commas) between
    rsna    DATA/train.txt, val.txt, test.txt, and train_1.txt, train_10.txt: the same with one label, pneumonia

These are the lists of the authors' release. train_1 and train_10 are its own 1 % and 10 % of the labels, of which one is no part
of the other. A picture is looked for at DATA/NAME, in the images/ of its folder (as NIH packs them) and in DATA/images.
A table of the user's own, labels.csv: image, one column of 0 and 1 per label; optional: patient, split.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ..record.sources import sha256_file, sha256_json
from ..settings import Settings
from . import registry
from .csv_table import read_csv
from .folder import SPLITS, _drawn_split as drawn_split, _given_split as given_split
from .pictures import Pictures

NIH, RSNA = "nih", "rsna"

NIH_LABELS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax", "Consolidation",
    "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
"""In the order of the columns."""

LABELS = {NIH: NIH_LABELS, RSNA: ("Pneumonia",)}
FILES = {
    NIH: {"train": "train_list.txt", "validation": "val_list.txt", "test": "test_list.txt"},
    RSNA: {"train": "train.txt", "validation": "val.txt", "test": "test.txt"},
}
SUBSETS = {1.0: "train_1.txt", 10.0: "train_10.txt"}
"""Percent of the labels -> the release's own list."""

WITHOUT_REPORTS = (NIH, RSNA, "siim", "chexpert-5x200")
"""Data sets of the downstream tasks alone: no model learns from them, and notebook 06 alone reads them."""

LISTS = ("*.txt", "*.csv", "*.json")


@dataclass(frozen=True)
class LabelledFilms:
    """Films of one split with labels.

    names: of the k labels. ids: of the n films. truth: [n, k] bool. images(rows) -> [len(rows), S, S] uint8.
    subsets: percent of the labels -> numbers of the films that a data set's own list names.
    """

    names: tuple[str, ...]
    ids: list[str]
    truth: np.ndarray
    images: Callable[[np.ndarray], np.ndarray]
    subsets: dict[float, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


def read_list(path: Path, labels: Sequence[str]) -> pd.DataFrame:
    """A list without a header: columns image and the labels (bool); lines without any text are passed over.

    Raises:
        FileNotFoundError: no such list.
        ValueError: no text in UTF-8, a line with another number of values, a value that is not 0 or 1, or a picture named twice.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such list; one line per picture, its name and {len(labels)} values, 0 or 1"
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not readable as text in UTF-8; save it as such") from None
    rows, seen = [], set()
    for number, line in enumerate(lines, start=1):
        cells = line.replace(",", " ").split()
        if not cells:
            continue
        name, values = " ".join(cells[: len(cells) - len(labels)]), cells[-len(labels) :]
        if not name or set(values) - {"0", "1"}:
            raise ValueError(
                f"{path}: line {number}: expected a picture and {len(labels)} values, 0 or 1 ({labels[0]} … {labels[-1]}), "
                f"found {line[:80]!r}"
            )
        if name in seen:
            raise ValueError(f"{path}: line {number}: {name} is listed before; delete one of the lines")
        seen.add(name)
        rows.append([name, *(value == "1" for value in values)])
    if not rows:
        raise ValueError(f"{path}: no rows")
    return pd.DataFrame(rows, columns=["image", *labels])


def read_label_table(path: Path, seed: int) -> pd.DataFrame:
    """A user's labels.csv: columns image, patient (the image where the table names none), split and one per label (bool).

    Patients are put into splits as those of a folder of films are (datasets/folder.py) where the table has no column split.

    Raises:
        FileNotFoundError: no such table.
        ValueError: no column of labels, a cell that is not 0 or 1, an image twice, an unknown split, a patient in two splits.
    """
    table = read_csv(path, ("image",))
    labels = [name for name in table if name not in ("image", "patient", "split", "")]
    if table.empty or not labels:
        raise ValueError(
            f"{path}: no {'rows' if labels else 'column of labels'}; it needs image and a column of 0 and 1 per label"
        )
    if double := table["image"][table["image"].duplicated()].tolist():
        raise ValueError(f"{path}: image {double[0]!r} is listed more than once")
    for name in labels:
        cells = table[name].str.strip().str.removesuffix(".0")
        wrong = ~cells.isin(["0", "1"])
        if wrong.any():
            raise ValueError(
                f"{path}: line {wrong.idxmax()}: {name} is {table.loc[wrong, name].iloc[0]!r}, expected 0 or 1; leave out a film "
                "whose label is not known, or the column where it holds no labels"
            )
        table[name] = cells == "1"
    patient = table["patient"].str.strip() if "patient" in table else pd.Series("", index=table.index)
    table["patient"] = patient.where(patient != "", table["image"])
    table["split"] = given_split(table, path) if "split" in table else drawn_split(table["patient"], seed)
    if absent := [split for split in SPLITS if split not in set(table["split"])]:
        raise ValueError(
            f"{path}: no film in the split {absent[0]!r}; at least one patient of each of {', '.join(SPLITS)} is needed"
        )
    return table[["image", "patient", "split", *labels]].reset_index(drop=True)


def films_of_list(settings: Settings, split: str) -> LabelledFilms:
    """Films of a split of the NIH or the RSNA lists; train: all that any training list names.

    Raises:
        ValueError: no data_root; no picture of the split can be read; a picture stands in two splits.
        FileNotFoundError: a list is missing.
    """
    if settings.data_root is None:
        raise ValueError(
            f"the data set {settings.dataset} needs data_root, the folder with {', '.join(FILES[settings.dataset].values())}"
        )
    root, names = Path(settings.data_root), LABELS[settings.dataset]
    files, subsets = FILES[settings.dataset], {}
    own = {share: read_list(root / name, names) for share, name in SUBSETS.items() if (root / name).is_file()}
    needed = {split} if split != "train" else set(files) - ({split} if own else set())
    tables = {
        name: read_list(root / file, names) for name, file in files.items() if name in needed or (root / file).is_file()
    }
    if own:
        whole = [tables["train"]] if "train" in tables else []
        tables["train"] = pd.concat([*whole, *own.values()]).drop_duplicates("image", ignore_index=True)
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if one in tables and other in tables and (both := set(tables[one]["image"]) & set(tables[other]["image"])):
            told = {"train": "training"}.get(one, one)
            raise ValueError(f"{root / files[other]}: {sorted(both)[0]} is among the {told} pictures, too")
    table = tables[split]
    if split == "train":
        place = pd.Series(table.index, index=table["image"])
        subsets = {share: place[frame["image"]].to_numpy() for share, frame in own.items()}
    return readable(table["image"], table[list(names)].to_numpy(bool), names, root, settings.data.image_size, subsets)


def readable(
    images: Sequence[str], truth: np.ndarray, names: Sequence[str], root: Path, size: int, subsets: dict | None = None
) -> LabelledFilms:
    """Labelled films without those whose pictures can't be read, which are counted on the screen.

    Raises:
        ValueError: none can be read.
    """
    images = list(images)
    pictures = Pictures([picture_path(root, name) for name in images], size)
    kept = np.array([number for number in range(len(images)) if number not in pictures.skipped], int)
    if pictures.skipped:
        first = next(iter(pictures.skipped.values()))
        if not len(kept):
            raise ValueError(f"{root}: none of {len(images)} pictures can be read; first: {first}")
        print(f"{len(pictures.skipped)} of {len(images)} pictures can't be read and are left out; first: {first}")
    place = np.full(len(images), -1)
    place[kept] = np.arange(len(kept))
    own = {share: place[rows][place[rows] >= 0] for share, rows in (subsets or {}).items()}
    return LabelledFilms(
        tuple(names),
        [images[number] for number in kept],
        np.asarray(truth, bool)[kept],
        lambda rows: pictures(kept[rows]),
        own,
    )


def picture_path(root: Path, name: str) -> Path:
    """The file of a list's picture: DATA/NAME, DATA/FOLDER/images/FILE (as NIH packs them) or DATA/images/NAME."""
    inner = Path(name)
    places = (root / name, root / inner.parent / "images" / inner.name, root / "images" / name)
    return next((place for place in places if place.is_file()), root / name)


def outside_data(settings: Settings) -> str | None:
    """Hex digest of what `data_root` brings; of a data set without reports that is the content of its lists and tables, and name
    and size of every other file: films that were unpacked later, or masks that were mended, are asked anew."""
    if settings.dataset in registry.DATASETS:
        return registry.outside_data(settings)
    root = Path(settings.data_root or "")
    lists = sorted(path for pattern in LISTS for path in root.glob(pattern))
    others = _sizes(
        root, frozenset(lists), tuple((folder, os.stat(folder).st_mtime_ns) for folder, *_ in os.walk(root))
    )
    return sha256_json([[[path.name, sha256_file(path)] for path in lists], others])


@lru_cache(maxsize=4)  # every job asks, and NIH has 112,120 films; folders: with their times of change
def _sizes(root: Path, lists: frozenset[Path], folders: tuple) -> list[list]:
    others = sorted(path for path in root.rglob("*") if path not in lists and path.is_file())
    return [[path.relative_to(root).as_posix(), path.stat().st_size] for path in others]
