"""A folder of real radiographs as a data set: pictures and a table, so that any data can be tried today.

    DATA/studies.csv         image, report; optional: patient, split, one column per finding (1, 0, -1 or blank)
    DATA/images/...          PNG, JPEG or DICOM; `image` is relative to DATA or to DATA/images
    DATA/region_boxes.csv    optional: image, region, x, y, w, h (pixels of the file; region = node of the anatomy graph)
    DATA/phrase_boxes.csv    optional: image, phrase, finding, x, y, w, h

Without finding columns the labels are what the labeler reads in the report. Without a `split` column the patients are
put in order by a hash of their name and the seed: the first 70 % train, the next 10 % validate, the rest test.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..anatomy import default_graph
from ..images import box_mask, letterbox, letterbox_box, read_film, read_image
from ..observations import BLANK, NEGATIVE, OBSERVATIONS, POSITIVE, UNCERTAIN
from ..record.sources import code_behind, sha256_file, sha256_json
from ..settings import Settings
from ..text.labeler import label_array
from .study import EvaluationStudy, Phrase, Study

TABLE = "studies.csv"
REGION_BOXES = "region_boxes.csv"
PHRASE_BOXES = "phrase_boxes.csv"
SPLITS = ("train", "validation", "test")
SHARES = (0.7, 0.8)
"""Where validation and test begin in the ordered patients."""


def read_csv(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    """A table with every cell as text; raises FileNotFoundError or ValueError where it or a needed column is missing."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table; it needs the columns {', '.join(needed)}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as CSV in UTF-8 ({error})") from None
    table.columns = [str(name).strip() for name in table.columns]
    if absent := [name for name in needed if name not in table.columns]:
        raise ValueError(f"{path}: no column {absent[0]!r}; there are {', '.join(table.columns)}")
    return table


def image_path(root: Path, name: str) -> Path:
    """The file of an `image` entry: relative to the folder itself or to its images/."""
    direct = root / name
    return direct if direct.is_file() else root / "images" / name


def read_studies(root: Path | str, seed: int) -> pd.DataFrame:
    """Read and check studies.csv: columns image, report, patient, split, and the finding columns under their own names.

    Raises:
        FileNotFoundError: no such folder or no studies.csv.
        ValueError: a column is missing, a report is blank, an unknown split, or a patient in two splits.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; data_root should hold {TABLE} and the pictures that it names")
    path = root / TABLE
    table = read_csv(path, ("image", "report"))
    if table.empty:
        raise ValueError(f"{path}: no rows")
    blank = table["report"].str.strip().str.lower().isin(["", "nan", "none", "null"])
    if blank.any():
        first = table.loc[blank, "image"].iloc[0]
        raise ValueError(f"{path}: {blank.sum()} rows without a report (first: {first}); fill them in or delete them")
    if double := table["image"][table["image"].duplicated()].tolist():
        raise ValueError(f"{path}: image {double[0]!r} is listed more than once")
    patient = table["patient"].str.strip() if "patient" in table else pd.Series("", index=table.index)
    table["patient"] = patient.where(patient != "", table["image"])
    names = {observation.lower(): observation for observation in OBSERVATIONS}
    table = table.rename(columns={name: names[name.lower()] for name in table if name.lower() in names})
    table["split"] = _given_split(table, path) if "split" in table else _drawn_split(table["patient"], seed)
    return table


def _given_split(table: pd.DataFrame, path: Path) -> pd.Series:
    split = table["split"].str.strip().str.lower()
    if unknown := sorted(set(split) - set(SPLITS)):
        raise ValueError(f"{path}: unknown split {unknown[0]!r}; there are {', '.join(SPLITS)}")
    count = split.groupby(table["patient"]).nunique()
    if (count > 1).any():
        raise ValueError(f"{path}: patient {count.idxmax()!r} is in more than one split")
    return split


def _drawn_split(patients: pd.Series, seed: int) -> pd.Series:
    """Every patient whole in one split; at least one patient per split where there are three."""
    order = sorted(set(patients), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())
    total = len(order)
    validation = min(max(round(SHARES[0] * total), 1), max(total - 2, 1))
    test = min(max(round(SHARES[1] * total), validation + 1), max(total - 1, 1))
    split = {name: SPLITS[(k >= validation) + (k >= test)] for k, name in enumerate(order)}
    return patients.map(split)


def labels_of(table: pd.DataFrame) -> np.ndarray:
    """Labels [n, 14] int8: from the finding columns where there are any, else read from the reports.

    "No Finding" without a column of its own is positive where no other observation is positive or uncertain.

    Raises:
        ValueError: a value that is not 1, 0, -1 or blank.
    """
    given = [name for name in OBSERVATIONS if name in table]
    if not given:
        return label_array(table["report"].tolist())
    codes = {"1": POSITIVE, "0": NEGATIVE, "-1": UNCERTAIN, "": BLANK}
    labels = np.full((len(table), len(OBSERVATIONS)), BLANK, dtype=np.int8)
    for name in given:
        values = table[name].str.strip().str.removesuffix(".0").replace("nan", "")
        if wrong := sorted(set(values) - set(codes)):
            raise ValueError(f"column {name!r}: {wrong[0]!r} is not 1, 0, -1 or blank")
        labels[:, OBSERVATIONS.index(name)] = values.map(codes)
    if "No Finding" not in given:
        some = np.isin(labels[:, 1:], (POSITIVE, UNCERTAIN)).any(axis=1)
        labels[:, 0] = np.where(some, BLANK, POSITIVE)
    return labels


def data_fingerprint(root: Path | str | None) -> str:
    """Hex digest of the tables' contents and of the pictures' names and sizes."""
    root = Path(root or "")
    tables = [
        [name, sha256_file(root / name)] for name in (TABLE, REGION_BOXES, PHRASE_BOXES) if (root / name).is_file()
    ]
    pictures = [image_path(root, name) for name in read_csv(root / TABLE, ("image", "report"))["image"]]
    return sha256_json([tables, [[p.name, p.stat().st_size if p.is_file() else -1] for p in pictures]])


def _root(settings: Settings) -> Path:
    if settings.data_root is None:
        raise ValueError("the folder data set needs data_root, the folder with studies.csv and the pictures")
    return Path(settings.data_root)


class FolderSource:
    """Studies of one split, for `shards.build`; a picture that can't be read gives the reason in its place."""

    def __init__(self, settings: Settings, split: str):
        self.root = _root(settings)
        table = read_studies(self.root, settings.seed)
        self.table = table[table["split"] == split].reset_index(drop=True)
        if self.table.empty:
            raise ValueError(f"{self.root / TABLE}: no study in the split {split!r}")
        self.labels = labels_of(self.table)
        self.count = len(self.table)
        self.image_size = settings.data.image_size
        what = [settings.seed, self.image_size, data_fingerprint(self.root), code_behind(__name__)]
        self.fingerprint = f"folder-{split}-{sha256_json(what)[:16]}"

    def studies(self, numbers: Sequence[int]) -> list[Study | str]:
        """Read the pictures and letterbox them."""
        return [self._study(number) for number in numbers]

    def _study(self, number: int) -> Study | str:
        row = self.table.iloc[number]
        try:
            image = letterbox(read_image(image_path(self.root, row["image"])), self.image_size)
        except (ValueError, OSError) as error:
            return f"{row['image']}: {error}"
        return Study(row["image"], row["patient"], image, row["report"], self.labels[number])


class FolderEvaluation(Sequence[EvaluationStudy]):
    """The evaluation view of a split: pictures read when asked for, boxes as masks of the letterboxed square.

    Pictures that can't be read are left out (`skipped` numbers of the split's rows).
    """

    def __init__(self, settings: Settings, split: str, skipped: Sequence[int] = (), limit: int | None = None):
        self._source = FolderSource(settings, split)
        rows = [number for number in range(self._source.count) if number not in set(skipped)]
        self._rows = rows[:limit]
        self._regions = _boxes(self._source.root / REGION_BOXES, ("region",))
        self._phrases = _boxes(self._source.root / PHRASE_BOXES, ("phrase", "finding"))
        _check_names(self._source.root / REGION_BOXES, self._regions, "region", default_graph().nodes)
        _check_names(self._source.root / PHRASE_BOXES, self._phrases, "finding", OBSERVATIONS)
        self._kept: dict[int, EvaluationStudy] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> EvaluationStudy:
        number = self._rows[index]
        if number not in self._kept:
            self._kept[number] = self._make(number)
        return self._kept[number]

    def _make(self, number: int) -> EvaluationStudy:
        source = self._source
        row = source.table.iloc[number]
        film = read_film(image_path(source.root, row["image"]))
        picture, size = film.pixels, source.image_size
        square = lambda boxes: [letterbox_box(film.from_file(box), picture.shape, size) for box in boxes]
        of_image = lambda table: table[table["image"] == row["image"]] if table is not None else pd.DataFrame()
        regions, phrases = {}, []
        for name, rows in _groups(of_image(self._regions), "region"):
            regions[name] = np.any([box_mask(box, size) for box in square(rows["box"])], axis=0)
        for _, rows in _groups(of_image(self._phrases), "key"):
            boxes = square(rows["box"])
            mask = np.any([box_mask(box, size) for box in boxes], axis=0)
            phrases.append(Phrase(rows["phrase"].iloc[0], rows["finding"].iloc[0], mask, np.array(boxes)))
        labels = source.labels[number]
        given = any(name in source.table for name in OBSERVATIONS)
        return EvaluationStudy(
            study_id=row["image"], patient_id=row["patient"], image=letterbox(picture, size), report=row["report"],
            labels=labels, truth=labels[1:] == POSITIVE if given else None, regions=regions, phrases=tuple(phrases),
        )  # fmt: skip


def _groups(table: pd.DataFrame, column: str):
    return table.groupby(column, sort=False) if len(table) else ()


def _boxes(path: Path, columns: Sequence[str]) -> pd.DataFrame | None:
    """A table of boxes with one tuple per row in `box`, and the lower-cased phrase in `key`; None where there is none."""
    if not path.is_file():
        return None
    table = read_csv(path, ("image", *columns, "x", "y", "w", "h"))
    numbers = table[["x", "y", "w", "h"]].apply(pd.to_numeric, errors="coerce")
    wrong = numbers.isna().any(axis=1) | (numbers["w"] <= 0) | (numbers["h"] <= 0)
    if wrong.any():
        raise ValueError(f"{path}: line {wrong.idxmax() + 2}: x, y, w, h should be numbers, w and h above 0")
    table["box"] = list(numbers.itertuples(index=False, name=None))
    if "phrase" in table:
        table["key"] = table["phrase"].str.strip().str.lower()
    return table


def _check_names(path: Path, table: pd.DataFrame | None, column: str, known: Sequence[str]) -> None:
    unknown = sorted(set(table[column]) - set(known)) if table is not None else []
    if unknown:
        raise ValueError(f"{path}: unknown {column} {unknown[0]!r}; there are {', '.join(known)}")
