"""`ssacl ablation`: every method of baselines/registry.py, trained and scored alike, run by run (= `make ablation`).

All runs see the training studies of the profile's seed, start from the same start and see the same number of images (each of
SS-ACL's passes over an image counts once), half as many as the rebuild's own model. They are scored on the test patients of
PATIENTS, a seed that no choice was made on: each run opens that split once. Nothing is tuned per method.

A run leaves `run.json` (settings, seconds, code) and one Parquet per part with what every study scored, in
`data/results/comparison/PROFILE/METHOD/seed0/` (committed); tables are made from these files alone. Trained weights stay below
`runs/comparison`. Killed and started again it goes on: run by run, part by part, and inside a training.
Several processes may work at once; each takes the next run that nobody works on.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from pyarrow import parquet

from .. import threads
from ..baselines.registry import ANOTHER
from ..datasets.registry import load_evaluation, load_training
from ..phantom.frozen import VERSION
from ..record.claims import claimed
from ..record.manifest import atomic_write, device_name, package_versions, portable_settings, read_json, write_json
from ..record.sources import code_behind
from ..settings import Settings
from ..training.loop import LOG_EVERY, pretrain
from .comparison_others import OTHERS
from .comparison_run import PATIENTS, Run, changes_of, missing, planned, results_folder
from .comparison_scores import SCORES, trained

SAME = 2e-3
"""Relative difference of a loss, mean of the first steps, that other kernels may make."""

BITS = 13
"""Binary digits of a number kept per study: 1 in 8,000 of it at most is lost, far inside every interval that is told."""


def measure(settings: Settings, only: Sequence[str] = (), processes: int = 1, seeds: int | None = None) -> list[Run]:
    """Train and score what is missing; returns the runs that are there at the end.

    processes: how many work side by side, each on one thread. only, seeds: see `planned`.
    """
    command = [sys.executable, "-m", "ssacl_lib", "ablation", "--beside", "--profile", settings.profile]
    command += ["--seed", str(settings.seed)]
    command += [word for name in only for word in ("--only", name)]
    command += ["--seeds", str(seeds)] if seeds else []
    command += ["--out", str(settings.figures)] if settings.out_dir else []
    others = [subprocess.Popen(command) for _ in range(processes - 1)]
    before = torch.get_num_threads()
    try:
        write_references(settings)
        threads.apply(1, settings.deterministic)
        for run in planned(settings, only, seeds):
            with claimed(run.weights) as free:
                if free and missing(run):
                    print(f"{run.name}: {', '.join(missing(run))}", flush=True)
                    make(run)
    finally:
        torch.set_num_threads(before)
        failed = [process for process in others if process.wait()]
    if failed:
        raise RuntimeError("one of the processes failed; what it said stands above. Started again, all go on")
    return [run for run in planned(settings, only, seeds) if not missing(run)]


def make(run: Run) -> None:
    """Train a run (or find what was trained) and score its missing parts."""
    started = time.perf_counter()
    model, history = (None, None) if run.method.made == ANOTHER else trained(run)
    told = read_json(run.folder / "run.json")
    if told.get("recipe") != run.recipe:
        told = {"recipe": run.recipe, "parts": {}}
    told |= about(run)
    if history is not None:
        told["images"] = int(history["images"].max())
        write_parquet(run.folder / "history.parquet", history)
    studies = test_studies(run.settings)
    for part in missing(run):
        begun = time.perf_counter()
        frame = SCORES[part](run, model, studies) if model else _of_another(run, part)(run, studies)
        write_json(
            run.folder / "run.json", told
        )  # by now of this recipe: an older note must not speak for the new rows
        write_parquet(run.folder / f"{part}.parquet", frame)
        told["parts"][part] = {"code": code_behind(__name__), "seconds": round(time.perf_counter() - begun)}
        write_json(run.folder / "run.json", told)
    print(f"{run.name}: done in {time.perf_counter() - started:.0f} s", flush=True)


def _of_another(run: Run, part: str) -> Callable:
    """The function that scores a part of what is no network of ours. Raises ValueError where there is none."""
    if part not in OTHERS.get(run.method.name, {}):
        raise ValueError(
            f"{run.method.name} is made in another way, and OTHERS of evaluation/comparison_others.py has no function for its "
            f"{part}: add one there, or leave the part out of the method's `parts`"
        )
    return OTHERS[run.method.name][part]


def about(run: Run) -> dict:
    """What `run.json` says of a run beside its parts."""
    network = f"{run.method.kind.__module__}.{run.method.kind.__name__}"
    note = read_json(run.weights / "model" / "manifest.json")
    return {
        "method": run.method.name,
        "seed": run.seed,
        "network": network,
        "changes": changes_of(run.method, run.settings),
        "settings": portable_settings(run.training),
        "command": f"ssacl ablation --profile {run.settings.profile} --only {run.method.slug!r}",
        "patients": PATIENTS,
        "phantom": VERSION,
        "seconds": note.get("seconds"),
        "kernels": f"{torch.backends.cpu.get_cpu_capability()}, {device_name()}",
        "versions": package_versions(),
    }


def gives_the_same(settings: Settings) -> str:
    """Would today's code train a run as it was trained? Its first steps again, against its committed loss curve.

    Results are not made again whenever code changes, for most changes change no number; this is how one knows. Asked is the first
    run that was made on a processor of this kind, where there is one: float32 gives others than bfloat16. Returns a line.

    Raises:
        ValueError: no run is there, or the curve differs by more than other kernels of the same precision explain.
    """
    there = [run for run in planned(settings) if (run.folder / "history.parquet").is_file()]
    if not there:
        raise ValueError(f"no run of the profile {settings.profile} is there: `ssacl ablation` makes them")
    here = torch.backends.cpu.get_cpu_capability()
    run = next((run for run in there if run.kernels == here), there[0])
    studies, validation = load_training(settings, "train"), load_training(settings, "validation")
    with tempfile.TemporaryDirectory() as folder:
        again = pretrain(run.training, Path(folder), studies, validation, False, LOG_EVERY, run.method.kind).history
    kept = pd.read_parquet(run.folder / "history.parquet")
    both = again.merge(kept, on=["images", "split", "term"], suffixes=("", "_kept"))
    far = both[~np.isclose(both["value"], both["value_kept"], rtol=SAME)]
    told = ", ".join(
        f"{row.term} {row.value:.6g} for {row.value_kept:.6g}" for row in (far if len(far) else both).itertuples()
    )
    if len(far) or not len(both):
        mend = (
            f"remove {run.folder.parent.parent}"
            if run.kernels == here
            else f"ask on {run.kernels}, where it was trained"
        )
        raise ValueError(f"{run.name}: today's code trains otherwise on {here} ({told or 'no common step'}); {mend}")
    return f"{run.name}: the first {LOG_EVERY} steps give the committed losses ({told})"


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Atomically, float64 as float32 of BITS binary digits, without what Parquet would add for search and for other types.

    (There are hundreds of small files; statistics, schemas and digits that mean nothing took over a third of the space.)
    """
    small = {name: rounded(frame[name]) for name, kind in frame.dtypes.items() if kind == np.float64}
    frame = frame.assign(**small)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    # Many unlike numbers (and ranks, which hold each value once a finding) pack best byte by byte, the rest as a dictionary.
    unlike = [name for name in small if 4 * frame[name].nunique() > len(frame)]
    unlike += [name for name, kind in frame.dtypes.items() if kind == np.uint16]
    with atomic_write(path, "wb") as handle:
        parquet.write_table(
            table,
            handle,
            compression="zstd",
            compression_level=19,
            write_statistics=False,
            store_schema=False,
            use_dictionary=[place for place in leaf_places(table.schema) if place not in unlike],
            use_byte_stream_split=unlike,
        )


def rounded(values: pd.Series) -> np.ndarray:
    """float32 with BITS binary digits; what is not finite stays as it is."""
    mantissa, exponent = np.frexp(values.to_numpy(np.float64))
    return np.ldexp(np.round(mantissa * 2.0**BITS) / 2.0**BITS, exponent).astype(np.float32)


def leaf_places(schema: pa.Schema) -> list[str]:
    """Columns as Parquet names them: a list's members lie below it."""
    return [f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name for field in schema]


def write_references(settings: Settings) -> None:
    """What the reports are compared with, once for all runs: study, reference, labels (14 codes)."""
    path, studies = results_folder(settings) / "references.parquet", test_studies(settings)
    labels = [np.asarray(study.labels, np.int8) for study in studies]
    columns = {"study": [study.study_id for study in studies], "reference": [study.report for study in studies]}
    frame = pd.DataFrame({**columns, "labels": labels})
    if path.is_file():
        kept = pd.read_parquet(path)
        if kept["reference"].equals(frame["reference"]) and np.array_equal(np.stack(kept["labels"]), np.stack(labels)):
            return
    write_parquet(path, frame)


def test_studies(settings: Settings) -> list:
    """The test patients of PATIENTS, prepared once per process."""
    if settings not in _STUDIES:
        _STUDIES.clear()
        _STUDIES[settings] = list(load_evaluation(settings.changed(seed=PATIENTS), "test"))
    return _STUDIES[settings]


_STUDIES: dict[Settings, list] = {}
