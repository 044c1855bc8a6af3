"""Per-study results saved once as Parquet, and the long rows that tables are made of."""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..metrics.intervals import mean_intervals
from ..record.manifest import REBUILD_VARIABLE, atomic_write
from ..record.sources import code_behind, sha256_json

ENDING = ("method", "metric", "value", "low", "high", "n", "seed")
"""The last columns of every table."""


def studies_hash(studies: Sequence) -> str:
    """SHA-256 of everything that evaluation reads in the studies: images, reports, labels, truth, regions, phrases, prompts."""
    digest = hashlib.sha256()
    for study in studies:
        digest.update(f"{study.study_id}\0{study.patient_id}\0{study.report}\0".encode())
        digest.update(np.ascontiguousarray(study.image).tobytes() + np.asarray(study.labels, np.int8).tobytes())
        digest.update(b"-" if study.truth is None else np.asarray(study.truth, bool).tobytes())
        if study.prompt is not None:
            digest.update(f"{study.prompt}\0".encode() + np.asarray(study.leaf_open, bool).tobytes())
        for name in sorted(study.regions):
            digest.update(name.encode() + np.packbits(study.regions[name]).tobytes())
        for phrase in study.phrases:
            digest.update(f"{phrase.text}\0{phrase.finding}\0".encode() + np.packbits(phrase.mask).tobytes())
    return digest.hexdigest()


def results_key(studies: Sequence, settings, module: str, **more) -> dict:
    """What decides the results of studies, for `cached`: they, every setting that changes a number, and the code.

    module: the `__name__` of the module that computes them; all that it imports stands behind them (`code_behind`).
    more: what else decides, such as a model's weights.
    """
    return {"studies": studies_hash(studies), "settings": settings.deciding(), "code": code_behind(module), **more}


def cached(folder: Path, name: str, key: dict, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Read `name` from the folder if made from the same key; else compute it, save it (atomically), forget older ones.

    key: everything that decides the result, code included (`results_key`), as JSON values. The frame is always read back from
    the file, so a first and a second call return the same types. Outside of a rebuild a result that a rebuild has left is
    read, too: the name of the file holds the hash of the whole key, so it is the same wherever it lies.
    """
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    digest = sha256_json(key)[:16]
    path = Path(folder) / f"{name}.{digest}.parquet"
    if not os.environ.get(REBUILD_VARIABLE):
        path = next(paths.RUNS.glob(f"*/{path.parent.name}/{path.name}"), path)
    if not path.is_file():
        frame = compute()
        with atomic_write(path, "wb") as handle:
            frame.to_parquet(handle, index=False)
        for old in path.parent.glob(f"{name}.*.parquet"):
            if old != path:
                old.unlink()
    return pd.read_parquet(path)


def patients_of(rows: pd.DataFrame) -> pd.Series:
    """Patient by study, for the bootstrap: as any row of the study tells it in the column `patient`, else the study itself.

    Results without that column are of data in which a study is a patient.
    """
    studies = pd.Series(rows["study"].unique())
    told = rows[["study", "patient"]].dropna() if "patient" in rows else pd.DataFrame(columns=["study", "patient"])
    told = told.drop_duplicates("study").set_index("study")["patient"]
    return studies.map(told).where(studies.isin(told.index), studies).set_axis(studies)


def mean_rows(about: dict, values: pd.DataFrame, groups: Sequence, settings) -> list[dict]:
    """One long row per column of `values` (its name is the metric), with n = number of values behind the mean.

    about: the row's first columns, `method` among them. groups: the patient of each row, who is drawn with all rows.
    """
    if not len(values):
        return []
    array = values.to_numpy(float)
    intervals = mean_intervals(array, groups, settings.evaluation.bootstrap, settings.seed)
    numbers = (~np.isnan(array)).sum(0)
    return [
        {**about, "metric": metric, "value": value, "low": low, "high": high, "n": int(number), "seed": settings.seed}
        for metric, number, (value, low, high) in zip(values.columns, numbers, intervals, strict=True)
        if number
    ]


def long_table(rows: list[dict], first: Sequence[str]) -> pd.DataFrame:
    """Rows as a table: the columns `first`, then method, metric, value, low, high, n, seed (also without any row)."""
    columns = [*first, *ENDING]
    return pd.DataFrame(rows, columns=columns).reset_index(drop=True)
