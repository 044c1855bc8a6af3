"""`ssacl downstream`: every task asked of every encoder, one by one (= `make downstream`).

A task leaves what every study (or every subset of the labels) gave in TASK/ENCODER/seedK.parquet below
`data/results/downstream/PROFILE`, and beside it a JSON with what made it; tables are made from these files alone. The test
patients are those of PATIENTS, on whom no choice was made. Killed and started again it goes on, encoder by encoder and task by
task. Several processes may work at once, one thread each; each takes the next encoder that nobody works on (`ssacl ablation`
holds the same locks).
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import paths, threads
from ..datasets.labelled import outside_data
from ..evaluation.comparison import write_parquet
from ..evaluation.comparison_run import PATIENTS, seeded
from ..phantom.frozen import VERSION
from ..record.claims import claimed
from ..record.manifest import device_name, package_versions, portable_settings, read_json, write_json
from ..record.sources import code_behind, sha256_json
from ..settings import Settings
from .encoders import Encoder, planned, variants
from .films import PHANTOM
from .tasks import Task, tasks_of


@dataclass(frozen=True)
class Job:
    """One task asked of one encoder."""

    name: str
    task: Task
    encoder: Encoder
    settings: Settings

    @property
    def title(self) -> str:
        """As a person says it."""
        return f"{self.name.replace('_', ' ')}: {self.encoder.title}"

    @property
    def path(self) -> Path:
        """The Parquet of its rows; the JSON lies beside it."""
        folder, seed = self.encoder.place.rsplit("/", 1)
        return results_folder(self.settings) / self.name / folder / f"{seed}.parquet"

    @property
    def told(self) -> dict:
        """What its JSON says; empty where it is not there."""
        return read_json(self.path.with_suffix(".json"))

    @property
    def recipe(self) -> str:
        """Hash of all that decides its rows but the code: results of another recipe are made again."""
        told = {name: value for name, value in self.settings.deciding().items() if name != "evaluation.bootstrap"}
        return sha256_json(
            [self.name, told, outside_data(self.settings), self.encoder.recipe, self.task.constants, PATIENTS, VERSION]
        )

    @property
    def missing(self) -> bool:
        """Is it not there by this recipe?"""
        return not self.path.is_file() or self.told.get("recipe") != self.recipe


def results_folder(settings: Settings) -> Path:
    """Where the results of a profile lie: below data/results, or in an explicit out_dir."""
    return (
        (settings.figures if settings.out_dir else paths.DATA / "results")
        / "downstream"
        / seeded(settings.name, settings)
    )


def jobs_of(
    settings: Settings, only: Sequence[str] = (), outside: Sequence[str] = (), alone: bool = False
) -> list[Job]:
    """All jobs, encoder by encoder, then variants. only: names of tasks; outside: encoders by path; alone: these and no other.

    Raises:
        ValueError: alone, and no outside encoder.
    """
    if alone and not outside:
        raise ValueError("alone asks outside encoders and no other; name one with --encoder")
    tasks, encoders = tasks_of(settings, only), planned(settings, outside)
    encoders = [encoder for encoder in encoders if encoder.path or not alone]
    jobs = [
        Job(name, task, encoder, settings)
        for encoder in encoders
        for name, task in tasks.items()
        if task.suits(encoder)
    ]
    varied = {} if alone else {name: task for name, task in tasks.items() if task.variants}
    return jobs + variant_jobs(settings, varied)


def variant_jobs(settings: Settings, tasks: dict[str, Task]) -> list[Job]:
    """Jobs of SS-ACL's variants whose weights or results are there; none is trained for them."""
    jobs = [Job(name, task, encoder, settings) for encoder in variants(settings) for name, task in tasks.items()]
    return [job for job in jobs if not job.missing or job.encoder.is_trained]


def measure(
    settings: Settings,
    only: Sequence[str] = (),
    outside: Sequence[str] = (),
    alone: bool = False,
    processes: int = 1,
) -> list[Job]:
    """Ask what is missing; returns the jobs that are there at the end.

    only, outside, alone: see `jobs_of`. processes: how many work side by side, each on one thread.
    """
    command = [
        "downstream",
        "--beside",
        "--profile",
        settings.profile,
        "--seed",
        str(settings.seed),
        "--dataset",
        settings.dataset,
    ]
    command += ["--data-root", settings.data_root] if settings.data_root else []
    command += [word for name in only for word in ("--only", name)]
    command += [word for path in outside for word in ("--encoder", path)]
    command += ["--alone"] if alone else []
    command += ["--out", str(settings.figures)] if settings.out_dir else []
    jobs = jobs_of(settings, only, outside, alone)
    others = [subprocess.Popen([sys.executable, "-m", "ssacl_lib", *command]) for _ in range(processes - 1)]
    before = torch.get_num_threads()
    try:
        threads.apply(1, settings.deterministic)
        for encoder in dict.fromkeys(job.encoder for job in jobs):
            own = [job for job in jobs if job.encoder == encoder]
            with claimed(encoder.weights) as free:
                for job in own if free else ():
                    if job.missing:
                        make(job)
    finally:
        torch.set_num_threads(before)
        failed = [process for process in others if process.wait()]
    if failed:
        raise RuntimeError("one of the processes failed; what it said stands above. Started again, all go on")
    return [job for job in jobs if not job.missing]


def make(job: Job) -> None:
    """Ask one task of one encoder and write what it gave."""
    print(job.title, end=" ", flush=True)
    job.encoder.model()  # training is no part of a task's seconds
    begun = time.perf_counter()
    frame = job.task.measure(job.encoder, job.settings)
    seconds = round(time.perf_counter() - begun)
    job.path.with_suffix(".json").unlink(missing_ok=True)  # an older note must not speak for the new rows
    write_parquet(job.path, frame)
    write_json(job.path.with_suffix(".json"), {**about(job), "seconds": seconds})
    print(f"{seconds} s", flush=True)


def about(job: Job) -> dict:
    """What the JSON says of a job beside its seconds."""
    return {
        "recipe": job.recipe,
        "task": job.name,
        "constants": job.task.constants,
        "encoder": job.encoder.name,
        "seed": job.encoder.seed,
        "path": job.encoder.shown_path,
        "content": job.encoder.recipe if job.encoder.path else None,
        "settings": portable_settings(job.settings),
        "command": typed(job),
        "patients": PATIENTS,
        "phantom": VERSION,
        "code": code_behind(job.task.measure.__module__),
        "kernels": f"{torch.backends.cpu.get_cpu_capability()}, {device_name()}",
        "versions": package_versions(),
    }


def typed(job: Job) -> str:
    """What to type to get the job again, but for folders of data."""
    words = ["ssacl", "downstream", "--profile", job.settings.profile, "--only", job.name]
    words += ["--seed", str(job.settings.seed)] if job.settings.seed else []
    words += ["--dataset", job.settings.dataset, "--data-root", "DIR"] if job.settings.dataset != PHANTOM else []
    return shlex.join([*words, *(["--encoder", job.encoder.shown_path] if job.encoder.path else [])])
