"""The authors' pre-training layout as a data set: who has their tables trains and evaluates on the same rows.

    DATA/ANA-MIMIC-train.csv, ANA-MIMIC-val.csv, ANA-MIMIC-test.csv
        image_id      key of the row
        image_path    the picture, below DATA/images
        report        used whole
        prompt        entity text for the language decoder; an empty cell is the empty text
        anatomies     JSON list of names out of lungs, mediastinum, skeletal structures, abdomen: whose leaves are open
    DATA/images/...   PNG, JPEG or DICOM

Prompts and open leaves come from the table in training and in the evaluation of reports, as in the release. Labels, which
only our finding head needs, are what the labeler reads in the report. Pictures are squeezed to the square, as theirs are.
"""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ..anatomy import ANATOMIES, leaf_mask
from ..images import read_image, squeeze
from ..record.sources import code_behind, sha256_file, sha256_json
from ..settings import Settings
from ..text.labeler import label_array
from .csv_table import read_csv
from .pictures import stamp
from .shards import TrainingStudies
from .study import EvaluationStudy, Study

TABLES = {"train": "ANA-MIMIC-train.csv", "validation": "ANA-MIMIC-val.csv", "test": "ANA-MIMIC-test.csv"}
COLUMNS = ("image_id", "image_path", "report", "prompt", "anatomies")
EXAMPLE = '["lungs", "abdomen"], or [] for none'

_PATIENT = re.compile(r"(?:^|/)(p\d{8})/")
"""The patient's folder in paths of MIMIC-CXR: files/p10/p10000032/s50414267/..."""


def parse_anatomies(text: str, where: str) -> list[str]:
    """The names in a cell of the column anatomies.

    Raises:
        ValueError: no JSON list, or a name that is none of ANATOMIES; begins with `where`.
    """
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if type(names) is not list:
        raise ValueError(f"{where}: anatomies {text!r} is no JSON list; write {EXAMPLE}, names in double quotes")
    if unknown := [name for name in names if name not in ANATOMIES]:
        raise ValueError(f"{where}: {unknown[0]!r} is no anatomy; write some of {', '.join(ANATOMIES)}")
    return names


def read_rows(root: Path | str, split: str) -> pd.DataFrame:
    """Read and check one table: COLUMNS, with anatomies as lists, and study (unique) and patient beside them.

    Rows are numbered from 1, the header not counted.

    Raises:
        FileNotFoundError: no such folder or table.
        ValueError: a column is missing, a report is blank, anatomies do not parse, a row is there twice.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root}: no such folder; data_root should hold images/ and {', '.join(TABLES.values())}"
        )
    path = root / TABLES[split]
    table = read_csv(path, COLUMNS)[list(COLUMNS)]
    if table.empty:
        raise ValueError(f"{path}: no rows")
    where = [f"{path}: row {number} (image_id {name})" for number, name in enumerate(table["image_id"], start=1)]
    blank = np.flatnonzero(table["report"].str.strip().str.lower().isin(["", "nan"]))
    if len(blank):
        raise ValueError(f"{where[blank[0]]}: no report ({len(blank)} rows in all); fill it in or delete the row")
    twice = np.flatnonzero(table.duplicated(["image_id", "image_path"]))
    if len(twice):
        raise ValueError(f"{where[twice[0]]}: this image is there already ({len(twice)} rows in all); delete the row")
    table["prompt"] = table["prompt"].str.strip().replace("nan", "")
    table["anatomies"] = [parse_anatomies(text, row) for text, row in zip(table["anatomies"], where, strict=True)]
    shared = table["image_id"].duplicated(keep=False)  # several pictures under one key are studies of their own
    table["study"] = table["image_id"].where(~shared, table["image_id"] + ":" + table["image_path"])
    found = table["image_path"].str.extract(_PATIENT, expand=False)
    table["patient"] = found.where(found.notna(), table["image_id"])
    return table


@lru_cache(maxsize=8)
def _pictures_hash(images: Path, table: Path, table_hash: str) -> str:
    """Of names, sizes and times of a table's pictures; looked at once per process, for there may be hundred thousands."""
    pictures = read_csv(table, COLUMNS)["image_path"]
    return sha256_json([table_hash, [[name, *stamp(images / name)] for name in pictures]])


def data_fingerprint(root: Path | str | None, splits: Sequence[str] = tuple(TABLES)) -> str:
    """Hex digest of the tables' contents and of the pictures' names, sizes and times."""
    root = Path(root or "")
    tables = [root / TABLES[split] for split in splits]
    present = [
        [path.name, _pictures_hash(root / "images", path, sha256_file(path))] for path in tables if path.is_file()
    ]
    return sha256_json(present)


class ReleaseSource:
    """Studies of one split, for `shards.build`; a picture that can't be read gives the reason in its place."""

    def __init__(self, settings: Settings, split: str):
        if settings.data_root is None:
            raise ValueError(f"the data set release-csv needs data_root, the folder with images/ and {TABLES[split]}")
        self.root = Path(settings.data_root)
        self.table = read_rows(self.root, split)
        self.count = len(self.table)
        self.image_size = settings.data.image_size
        what = [self.image_size, data_fingerprint(self.root, [split]), code_behind(__name__)]
        self.fingerprint = f"release-csv-{split}-{sha256_json(what)[:16]}"

    def studies(self, numbers: Sequence[int]) -> list[Study | str]:
        """Read and squeeze the pictures, read labels in the reports."""
        rows = [self.table.iloc[number] for number in numbers]
        labels = label_array([row["report"] for row in rows])
        return [self._study(row, codes) for row, codes in zip(rows, labels, strict=True)]

    def _study(self, row: pd.Series, labels: np.ndarray) -> Study | str:
        try:
            image = squeeze(read_image(self.root / "images" / row["image_path"]), self.image_size)
        except (ValueError, OSError) as error:
            return f"{row['image_path']}: {error}"
        return Study(
            row["study"], row["patient"], image, row["report"], labels, row["prompt"], leaf_mask(row["anatomies"])
        )


class ReleaseEvaluation(Sequence[EvaluationStudy]):
    """The evaluation view of a prepared split: the same studies; this data set has no truth, regions or phrases."""

    def __init__(self, studies: TrainingStudies, limit: int | None = None):
        self._studies = studies
        self._count = len(studies) if limit is None else min(limit, len(studies))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> EvaluationStudy:
        study = self._studies[range(self._count)[index]]
        return EvaluationStudy(study.study_id, study.patient_id, study.image, study.report, study.labels,
                               prompt=study.prompt, leaf_open=study.leaf_open)  # fmt: skip
