"""A folder of real radiographs as a data set: pictures and a table, so that any data can be tried today.

    DATA/studies.csv         image, report; optional: patient, split, one column per finding (1, 0, -1 or blank)
    DATA/images/...          PNG, JPEG or DICOM; `image` is relative to DATA or to DATA/images
    DATA/region_boxes.csv    optional: image, region, x, y, w, h (pixels of the file; region = node of the anatomy graph)
    DATA/phrase_boxes.csv    optional: image, phrase, finding, x, y, w, h

Of a finding without a column the labels are what the labeler reads in the report. Without a `split` column the patients are
put in order by a hash of their name and the seed: the first 70 % train, the next 10 % validate, the rest test.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..images import box_mask, film_rectangle, letterbox, letterbox_box, read_film, read_image
from ..observations import BLANK, FINDINGS, NEGATIVE, OBSERVATIONS, POSITIVE, UNCERTAIN
from ..record.sources import code_behind, sha256_file, sha256_json
from ..settings import Settings
from ..text.labeler import label_array
from .boxes import PHRASE_BOXES, REGION_BOXES, image_path, read_boxes
from .csv_table import read_csv
from .pictures import stamp
from .study import EvaluationStudy, Phrase, Study

TABLE = "studies.csv"
SPLITS = ("train", "validation", "test")
SHARES = (0.7, 0.8)
"""Where validation and test begin in the ordered patients."""


def read_studies(root: Path | str, seed: int) -> pd.DataFrame:
    """Read and check studies.csv: columns image, report, patient, split, and the finding columns under their own names.

    Rows whose report says nothing ("N/A", headings alone) are left out; `attrs["silent"]` counts them.

    Raises:
        FileNotFoundError: no such folder or no studies.csv.
        ValueError: a column is missing or there twice, a report is blank, an unknown split, or a patient in two splits.
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
    table = _named_findings(table, path)
    silent = table["report"].map(says_nothing)
    if silent.all():
        raise ValueError(f"{path}: no report says anything (first: {table['report'].iloc[0]!r})")
    table = table[~silent].reset_index(drop=True)
    table.attrs["silent"] = int(silent.sum())
    patient = table["patient"].str.strip() if "patient" in table else pd.Series("", index=table.index)
    table["patient"] = patient.where(patient != "", table["image"])
    table["split"] = _given_split(table, path) if "split" in table else _drawn_split(table["patient"], seed)
    return table


def says_nothing(report: str) -> bool:
    """Headings alone, "N/A", or no letter at all.

    >>> says_nothing("FINDINGS: IMPRESSION:"), says_nothing("N/A"), says_nothing("___"), says_nothing("Normal.")
    (True, True, True, False)
    """
    text = re.sub(r"\b[A-Za-z ]+:", " ", report)
    return "".join(filter(str.isalpha, text)).lower() in ("", "na", "nan", "none", "null", "nil", "notavailable")


def _named_findings(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The columns of findings under the observations' names, in whatever case, with "_" or "-" for a blank."""

    def plain(name: str) -> str:
        return re.sub(r"[\s_-]+", " ", name.strip().lower())

    names = {plain(observation): observation for observation in OBSERVATIONS}
    renamed = {name: names[plain(name)] for name in table if plain(name) in names}
    for observation in set(renamed.values()):
        if len(same := [name for name, other in renamed.items() if other == observation]) > 1:
            raise ValueError(f"{path}: the columns {same[0]!r} and {same[1]!r} are the same finding; delete one")
    return table.rename(columns=renamed)


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
    """Labels [n, 14] int8: of the finding columns that the table has, the others as the labeler reads them in the reports.

    "No Finding" without a column of its own is positive where no other observation is positive or uncertain.

    Raises:
        ValueError: a value that is not 1, 0, -1 or blank.
    """
    given = [name for name in OBSERVATIONS if name in table]
    labels = (
        np.full((len(table), len(OBSERVATIONS)), BLANK, dtype=np.int8)
        if set(FINDINGS) <= set(given)
        else label_array(table["report"].tolist())
    )
    codes = {"1": POSITIVE, "0": NEGATIVE, "-1": UNCERTAIN, "": BLANK}
    for name in given:
        values = table[name].str.strip().str.removesuffix(".0").replace("nan", "")
        if wrong := sorted(set(values) - set(codes)):
            raise ValueError(f"column {name!r}: {wrong[0]!r} is not 1, 0, -1 or blank")
        labels[:, OBSERVATIONS.index(name)] = values.map(codes)
    if given and "No Finding" not in given:
        some = np.isin(labels[:, 1:], (POSITIVE, UNCERTAIN)).any(axis=1)
        labels[:, 0] = np.where(some, BLANK, POSITIVE)
    return labels


def data_fingerprint(root: Path | str | None, boxes: bool = True) -> str:
    """Hex digest of the tables' contents and the pictures' names, sizes and times; boxes=False: of what training reads alone."""
    root = Path(root or "")
    names = (TABLE, REGION_BOXES, PHRASE_BOXES) if boxes else (TABLE,)
    tables = [[name, sha256_file(root / name)] for name in names if (root / name).is_file()]
    pictures = read_csv(root / TABLE, ("image", "report"))["image"]
    return sha256_json([tables, [[name, *stamp(image_path(root, name))] for name in pictures]])


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
        if split == "test":  # the split whose boxes are scored: a wrong one stops before the training, not after it
            read_boxes(self.root, self.table["image"].tolist())
        self.labels = labels_of(self.table)
        self.count = len(self.table)
        silent = table.attrs.get("silent", 0)
        self.left_out = (
            f"{silent} reports of {TABLE} say nothing (N/A, headings alone) and are left out" if silent else ""
        )
        self.image_size = settings.data.image_size
        what = [
            settings.seed,
            self.image_size,
            data_fingerprint(self.root, boxes=False),
            code_behind(__name__),
        ]
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

    Pictures that can't be read are left out (`skipped` numbers of the split's rows), and so are boxes of whole films.
    """

    def __init__(self, settings: Settings, split: str, skipped: Sequence[int] = (), limit: int | None = None):
        self._source = FolderSource(settings, split)
        rows = [number for number in range(self._source.count) if number not in set(skipped)]
        self._rows = rows[:limit]
        boxes = read_boxes(self._source.root, self._source.table["image"].tolist())
        self._regions, self._phrases = boxes[REGION_BOXES][0], boxes[PHRASE_BOXES][0]
        for name, (_, left_out) in boxes.items():
            if left_out:
                print(f"{left_out} boxes of {name} ({split}) cover the whole film and are left out")
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

        def square(boxes: pd.Series) -> list[np.ndarray]:
            return [letterbox_box(film.from_file(box), picture.shape, size) for box in boxes]

        def of_image(table: pd.DataFrame | None) -> pd.DataFrame:
            return table[table["image"] == row["image"]] if table is not None else pd.DataFrame()

        regions, phrases = {}, []
        for name, rows in _groups(of_image(self._regions), "region"):
            regions[name] = np.any([box_mask(box, size) for box in square(rows["box"])], axis=0)
        for _, rows in _groups(of_image(self._phrases), "key"):
            boxes = square(rows["box"])
            mask = np.any([box_mask(box, size) for box in boxes], axis=0)
            phrases.append(Phrase(rows["phrase"].iloc[0], rows["finding"].iloc[0], mask, np.array(boxes)))
        labels = source.labels[number]
        given = all(name in source.table for name in FINDINGS)
        return EvaluationStudy(
            study_id=row["image"], patient_id=row["patient"], image=letterbox(picture, size), report=row["report"],
            labels=labels, truth=labels[1:] == POSITIVE if given else None, regions=regions, phrases=tuple(phrases),
            film=film_rectangle(picture.shape, size),
        )  # fmt: skip


def _groups(table: pd.DataFrame, column: str):
    return table.groupby(column, sort=False) if len(table) else ()
