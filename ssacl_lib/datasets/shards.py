"""Prepare studies once: Arrow shards on disk, memory-mapped when read, finished shards kept when a build is killed.

A source knows how to make studies by number. A shard is a folder of its own, written under a temporary name and then
moved, so what stands under its final name is whole. Several processes may work at the same data set: each takes the
shards that are given to it, and the parent waits with a progress bar.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import Protocol

import numpy as np
from datasets import Dataset, Features, Value, concatenate_datasets, load_from_disk
from datasets.utils.logging import disable_progress_bar
from tqdm import tqdm

from .. import paths
from ..observations import OBSERVATIONS
from ..settings import Settings
from .study import Study

SHARD = 500
"""Studies per shard."""

BATCH = 50
"""Studies that a source makes at once; also the step of the progress bar."""

WORKERS = min(os.cpu_count() or 1, 8)

FEATURES = Features(
    {
        "study_id": Value("string"),
        "patient_id": Value("string"),
        "image": Value("binary"),  # [size, size] uint8, row by row
        "report": Value("string"),
        "labels": Value("binary"),  # [14] int8
    }
)

GUIDED_FEATURES = Features({**FEATURES, "prompt": Value("string"), "leaf_open": Value("binary")})  # [25] bool
"""The same with what some data sets bring beside the report: the prompt and the open leaves."""


ALL_OR_NONE = "a data set brings prompts for all of its studies, or for none"


class Source(Protocol):
    """A maker of studies: `count` of them, in a folder named by `fingerprint`, each by its number alone.

    `studies(numbers)` returns as many rows as numbers; a row is a Study, or a str that says why there is none. Studies are
    checked (`Study.check`) when they are prepared.
    """

    count: int
    fingerprint: str
    image_size: int

    def studies(self, numbers: Sequence[int]) -> list[Study | str]: ...


def folder_of(source: Source) -> Path:
    """Where the prepared studies of a source lie."""
    return paths.STUDIES / source.fingerprint


def _ranges(count: int) -> list[tuple[int, int]]:
    return [(start, min(start + SHARD, count)) for start in range(0, count, SHARD)]


def _shard_path(folder: Path, bounds: tuple[int, int]) -> Path:
    return folder / f"studies-{bounds[0]:07d}-{bounds[1]:07d}"


def write_shard(source: Source, folder: Path, bounds: tuple[int, int], step=lambda done: None) -> None:
    """Make the studies of one shard and move it to its name in `folder`; `step` is told of every batch that is done."""
    rows: dict[str, list] = {name: [] for name in GUIDED_FEATURES}
    skipped = []
    for start in range(*bounds, BATCH):
        numbers = range(start, min(start + BATCH, bounds[1]))
        made = source.studies(numbers)
        if len(made) != len(numbers):
            raise ValueError(f"studies({numbers}) of the data set returned {len(made)} rows, expected {len(numbers)}")
        for number, study in zip(numbers, made, strict=True):
            if isinstance(study, str):
                skipped.append([number, study])
                continue
            if not isinstance(study, Study):
                raise ValueError(
                    f"study {number} of the data set is {type(study).__name__}, expected a Study or why there is none"
                )
            study.check(source.image_size)
            if (study.prompt is not None) != bool(rows["prompt"]) and rows["report"]:
                raise ValueError(
                    f"study {study.study_id!r}: a data set brings prompts for all of its studies, or for none"
                )
            rows["study_id"].append(study.study_id)
            rows["patient_id"].append(study.patient_id)
            rows["image"].append(np.ascontiguousarray(study.image, dtype=np.uint8).tobytes())
            rows["report"].append(study.report)
            rows["labels"].append(np.asarray(study.labels, dtype=np.int8).tobytes())
            if study.prompt is not None:
                rows["prompt"].append(study.prompt)
                rows["leaf_open"].append(np.asarray(study.leaf_open, dtype=bool).tobytes())
        step(len(numbers))
    final = _shard_path(folder, bounds)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        if rows["report"]:  # an empty table can't be read again
            features = GUIDED_FEATURES if rows["prompt"] else FEATURES
            Dataset.from_dict({name: rows[name] for name in features}, features=features).save_to_disk(temporary)
        (temporary / "skipped.json").write_text(json.dumps(skipped), encoding="utf-8")
        os.replace(temporary, final)
    except OSError:  # another process was faster with the same shard, and has cleared up
        shutil.rmtree(temporary, ignore_errors=True)
        if not final.is_dir():
            raise


def build(source: Source, settings: Settings, split: str) -> Path:
    """Make every shard that is not there yet, with several processes where that is worth their start.

    Raises:
        RuntimeError: a worker process failed; its own message stands above.
    """
    folder = folder_of(source)
    disable_progress_bar()
    missing = [bounds for bounds in _ranges(source.count) if not _shard_path(folder, bounds).is_dir()]
    if not missing:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(stop - start for start, stop in missing)
    with tqdm(total=total, desc=f"{split} studies", unit="study", mininterval=1.0, delay=2, leave=False) as bar:
        if len(missing) > 1 and WORKERS > 1:
            _build_in_processes(folder, missing, settings, split, bar.update)
        else:
            for bounds in missing:
                write_shard(source, folder, bounds, bar.update)
    for leftover in folder.glob(".studies-*.tmp"):
        if not _is_running(int(leftover.name.split(".")[-2])):
            shutil.rmtree(leftover, ignore_errors=True)
    return folder


def _is_running(process: int) -> bool:
    """Is there another process of this number?"""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def _build_in_processes(
    folder: Path, missing: list[tuple[int, int]], settings: Settings, split: str, step: Callable[[int], object]
) -> None:
    """Fresh interpreters, not forks: a notebook's process holds threads (torch, the kernel's) that a fork would break."""
    count = min(WORKERS, len(missing))
    search = os.pathsep.join([str(paths.PACKAGE.parent), *filter(None, sys.path)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": search}
    command = [
        sys.executable,
        "-m",
        f"{paths.PACKAGE.name}.datasets.worker",
        settings.model_dump_json(),
        split,
        str(folder),
    ]
    workers = [
        subprocess.Popen([*command, json.dumps(missing[k::count])], stdout=subprocess.PIPE, text=True, env=environment)
        for k in range(count)
    ]
    try:
        _follow(workers, step)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _follow(workers: list[subprocess.Popen], step) -> None:
    """Read the workers' lines (studies done) until all have ended."""

    def read(worker: subprocess.Popen) -> None:
        for line in worker.stdout:
            if line.startswith("done "):
                step(int(line.split()[1]))

    threads = [Thread(target=read, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed := [code for worker in workers if (code := worker.wait())]:
        raise RuntimeError(
            f"a worker process that prepared studies ended with code {failed[0]}; its message stands above"
        )


class TrainingStudies(Sequence[Study]):
    """The studies of one split as training sees them; images stay on disk until they are asked for.

    reports: list of str. labels: [n, 14] int8 in OBSERVATIONS order. study_ids, patient_ids: lists of str.
    prompts: list of str, leaf_open: [n, 25] bool, where the data set brings them; else None.
    skipped: (number, reason) of rows that gave no study.
    """

    def __init__(self, folder: Path, count: int, image_size: int):
        disable_progress_bar()
        shards = [_shard_path(folder, bounds) for bounds in _ranges(count)]
        self.folder = folder
        self.image_size = image_size
        parts = [load_from_disk(str(path)) for path in shards if (path / "state.json").is_file()]
        table = (
            concatenate_datasets(parts) if parts else Dataset.from_dict({n: [] for n in FEATURES}, features=FEATURES)
        )
        self._images = table.select_columns(["image"]).with_format("arrow")
        rest = table.remove_columns(["image"]).with_format("arrow")[:]
        self.study_ids = rest.column("study_id").to_pylist()
        self.patient_ids = rest.column("patient_id").to_pylist()
        self.reports = rest.column("report").to_pylist()
        codes = b"".join(rest.column("labels").to_pylist())
        self.labels = np.frombuffer(codes, dtype=np.int8).reshape(-1, len(OBSERVATIONS))
        if double := [name for name, count in Counter(self.study_ids).items() if count > 1]:
            raise ValueError(
                f"{len(double)} studies have the same study_id as another (first: {double[0]!r}); each needs its own"
            )
        self.prompts, self.leaf_open = None, None
        if "prompt" in rest.column_names:
            if rest.column("prompt").null_count:
                raise ValueError(ALL_OR_NONE)
            self.prompts = rest.column("prompt").to_pylist()
            opened = b"".join(rest.column("leaf_open").to_pylist())
            self.leaf_open = np.frombuffer(opened, dtype=bool).reshape(len(self.prompts), -1)
        self.skipped = [tuple(row) for path in shards for row in json.loads((path / "skipped.json").read_text())]

    def __len__(self) -> int:
        return len(self.study_ids)

    def images(self, indices: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Images [k, size, size] uint8 of the given studies, in their order; of all where none are given."""
        wanted = range(len(self)) if indices is None else [int(i) for i in indices]
        column = self._images[wanted].column("image") if len(wanted) else []
        flat = bytearray().join(value.as_py() for value in column)  # a bytearray, so that the array can be written to
        return np.frombuffer(flat, dtype=np.uint8).reshape(-1, self.image_size, self.image_size)

    def __getitem__(self, index: int) -> Study:
        index = range(len(self))[index]
        guide = (None, None) if self.prompts is None else (self.prompts[index], self.leaf_open[index])
        image = self.images([index])[0]
        return Study(
            self.study_ids[index], self.patient_ids[index], image, self.reports[index], self.labels[index], *guide
        )
