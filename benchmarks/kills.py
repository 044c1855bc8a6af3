"""Kill what takes long, at random points, and start it again: does the end equal that of a run that nobody disturbed?

    python benchmarks/kills.py [--kills 20] [--seed 0] [--only pretraining ...] [--out data/results/kills.csv]

Five works at the profile smoke: preparing studies, pretraining, a rebuild (notebook 02), reports of a folder of films, and some
compared methods (`ssacl ablation`). Each is first run through once, which gives its outputs and its time T. Then it is started,
killed (SIGKILL, with all its children) after a time drawn from U(0, T), started again on what lies there, killed again, and so
on; a run that ends before its time is compared and the next one begins from nothing. The last run of all ends undisturbed and
is compared, too.
Written: a row per work with kills, ends that were compared, and ends that differed; rows of works that were not run stay.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ssacl_lib import paths
from ssacl_lib.datasets.registry import load_evaluation
from ssacl_lib.record.manifest import atomic_write, read_json
from ssacl_lib.settings import load_settings

FILMS = 96
METHODS = ("SS-ACL", "contrast only", "start", "flat graph")
"""Central ones with their three seeds, one without any training, and one whose network is its own."""

PREPARE = """
from ssacl_lib.datasets.registry import load_training
from ssacl_lib.settings import load_settings
load_training(load_settings("smoke", **{"data.train_studies": 4000}), "train")
"""


@dataclass(frozen=True)
class Work:
    """arguments: what to run (after `python`), given the folder to write to. digest: fingerprint of what it leaves there."""

    name: str
    arguments: Callable[[Path], list[str]]
    digest: Callable[[Path], str]


def _digest(parts: list) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _files(folder: Path, *patterns: str) -> str:
    found = sorted(path for pattern in patterns for path in folder.rglob(pattern))
    return _digest([[p.relative_to(folder).as_posix(), hashlib.sha256(p.read_bytes()).hexdigest()] for p in found])


def _outputs(folder: Path) -> str:
    """Hashes in the manifest, which a rebuild writes for every figure and table."""
    notebooks = read_json(folder / "manifest.json").get("notebooks", {})
    return _digest([[name, stage.get("outputs", {})] for name, stage in sorted(notebooks.items())])


def _reports(folder: Path) -> str:
    """The reports by film: their order on disk is that in which they were written."""
    lines = [json.loads(line) for line in (folder / "reports.jsonl").read_text(encoding="utf-8").splitlines()]
    return _digest([sorted(lines, key=json.dumps), (folder / "reports.csv").read_text(encoding="utf-8")])


def _parquets(folder: Path) -> str:
    """The rows of every Parquet, in order."""
    found = sorted(folder.rglob("*.parquet"))
    frames = [pd.read_parquet(path).to_json(orient="split", double_precision=15) for path in found]
    return _digest(list(zip([path.relative_to(folder).as_posix() for path in found], frames, strict=True)))


def works(films: Path) -> tuple[Work, ...]:
    """The five works; `films` is a folder of pictures."""
    command = ["-m", "ssacl_lib"]
    return (
        Work("preparing studies", lambda _: ["-c", PREPARE], lambda out: _files(out / "cache" / "studies", "*.arrow")),
        Work(
            "pretraining",
            lambda out: [*command, "pretrain", "--profile", "smoke", "--out", str(out / "model"), "--set", "training.images=2048",
                         "--set", "training.checkpoint_seconds=1"],
            lambda out: _files(out / "model", "model.safetensors", "history.csv"),
        ),
        Work(
            "rebuild of notebook 02",
            lambda out: [*command, "rebuild", "--profile", "smoke", "--only", "02", "--out", str(out / "figures")],
            lambda out: _outputs(out / "figures"),
        ),
        Work(
            "reports of a folder",
            lambda out: [*command, "report", str(films), "--out", str(out / "reports")],
            lambda out: _reports(out / "reports"),
        ),
        Work(
            "ablation",
            lambda out: [*command, "ablation", "--profile", "smoke", "--out", str(out / "runs"),
                         *(word for name in METHODS for word in ("--only", name))],
            lambda out: _parquets(out / "runs" / "comparison"),
        ),
    )  # fmt: skip


def write_films(folder: Path) -> None:
    """Phantom films as PNG, to be reported."""
    from PIL import Image

    folder.mkdir(parents=True)
    studies = load_evaluation(load_settings("smoke", **{"data.test_studies": FILMS}))
    for study in studies:
        Image.fromarray(study.image).save(folder / f"{study.study_id}.png")


def start(work: Work, out: Path) -> subprocess.Popen:
    """The work in a session of its own, with a cache below `out`, so that its children can be killed with it."""
    out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"SSACL_CACHE": str(out / "cache"), "PYTHONPATH": str(paths.PACKAGE.parent)}
    (out / "cache").mkdir(exist_ok=True)
    if paths.ORGAN_MAPS.is_dir() and not (out / "cache" / "organ_maps").exists():
        (out / "cache" / "organ_maps").symlink_to(paths.ORGAN_MAPS)  # they are made once per machine, not per run
    with open(
        out / "errors.txt", "wb"
    ) as errors:  # a pipe that nobody reads would stop the work when it is full of bars
        quiet = {"stdout": subprocess.DEVNULL, "stderr": errors}
        return subprocess.Popen(
            [sys.executable, *work.arguments(out)], env=environment, start_new_session=True, **quiet
        )


def ended_well(process: subprocess.Popen, work: Work, out: Path) -> None:
    """Wait for the end; raises RuntimeError with the last words of what went wrong."""
    if process.wait():
        words = (out / "errors.txt").read_text(encoding="utf-8", errors="replace").strip()[-400:]
        raise RuntimeError(f"{work.name}: exit {process.returncode}: {words}")


def disturb(work: Work, folder: Path, kills: int, generator: np.random.Generator) -> dict:
    """Kill the work `kills` times; returns the row of the table."""
    out, clock = folder / "out", time.monotonic()  # one folder for all ends: an executed notebook names it
    ended_well(start(work, out), work, out)
    whole, wanted = time.monotonic() - clock, work.digest(out)
    shutil.rmtree(out)
    killed = compared = differed = 0
    with tqdm(total=kills, desc=work.name, unit="kill") as bar:
        while True:
            process = start(work, out)
            try:
                if killed < kills:
                    process.wait(timeout=whole * generator.random())
                ended_well(process, work, out)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
                bar.update()
                continue
            compared += 1
            differed += work.digest(out) != wanted
            shutil.rmtree(out)
            if killed >= kills:
                break
    about = {"work": work.name, "profile": "smoke", "seconds": round(whole, 1)}
    return {**about, "killed": killed, "ends compared": compared, "ends that differed": differed}


def main() -> int:
    """Run the works and write the table; exit 1 where an end differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="works whose names begin so")
    parser.add_argument("--out", type=Path, default=paths.DATA / "results" / "kills.csv")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        films = Path(temporary) / "films"
        write_films(films)
        for number, work in enumerate(works(films)):
            if not arguments.only or work.name.startswith(tuple(arguments.only)):
                generator = np.random.default_rng([arguments.seed, number])
                row = disturb(work, Path(temporary) / work.name.replace(" ", "_"), arguments.kills, generator)
                rows.append({**row, "seed": arguments.seed})
                print(row)
    table = pd.DataFrame(rows)
    if arguments.out.is_file():
        before = pd.read_csv(arguments.out)
        table = pd.concat([before[~before["work"].isin(table["work"])], table], ignore_index=True)
    with atomic_write(arguments.out) as handle:
        table.to_csv(handle, index=False, lineterminator="\n")
    return int(any(row["ends that differed"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
