"""`ssacl ablation`: every method of baselines/registry.py, trained and scored alike, run by run (= `make ablation`).

All runs see the training studies of the profile's seed, start from the same start and see the same number of images (each of
SS-ACL's passes over an image counts once), half as many as the rebuild's own model. They are scored on the test patients of
PATIENTS, a seed that no choice was made on: each run opens that split once. Nothing is tuned per method.

A run leaves `run.json` (settings, seconds, code) and one Parquet per part with what every study scored, in
`data/results/comparison/PROFILE/METHOD/seed0/` (committed); tables are made from these files alone. Trained weights stay below
`runs/comparison`. Killed and started again it goes on: run by run, part by part, and inside a training.
Several processes may work at once; each takes the next run that nobody works on.
"""

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from .. import inference, paths, threads
from ..baselines.registry import CENTRAL, FINDINGS, LEAVES, METHODS, PHRASES, PLUS, REPORTS, Method, method_of
from ..datasets.registry import load_evaluation, load_training
from ..model.start import build_network, load_network, load_text_side, start_tokenizer
from ..observations import FINDINGS as OBSERVED
from ..record.kept import keep
from ..record.manifest import atomic_write, device_name, package_versions, portable_settings, read_json, write_json
from ..record.sources import code_behind, sha256_json
from ..settings import Settings
from ..text.labeler import label_array
from ..text.tokenizer import train_tokenizer
from ..training import checkpoints
from ..training.head import fit_head
from ..training.look import fit_look
from ..training.loop import pretrain, save_model, untrained
from . import anatomy_grounding, looking
from .findings import probabilities_of, reference_of
from .grounding import MAPS, score_jobs
from .inputs import device_of
from .prompting import prefix_of
from .targets import collect_targets

PATIENTS = 2
"""Seed of the test patients, on whom nothing was chosen."""

SEEDS = 3
"""Training seeds of a central method; the others have one."""

SHARE = 2
"""A run sees the rebuild's number of images divided by this."""

NODE_SCORES = ["pointing", "cnr", "entropy", "similarity_across_patients"]
CHUNK = 64


@dataclass(frozen=True)
class Run:
    """One method with one training seed. settings: the profile's."""

    method: Method
    seed: int
    settings: Settings

    @property
    def name(self) -> str:
        """As a person says it."""
        return f"{self.method.name}, seed {self.seed}"

    @property
    def place(self) -> str:
        """Its folder below those of results and of weights."""
        return f"{self.method.slug}/seed{self.seed}"

    @property
    def folder(self) -> Path:
        """Where its results go."""
        return results_folder(self.settings) / self.place

    @property
    def weights(self) -> Path:
        """Where its weights go."""
        return runs_folder(self.settings) / self.place

    @cached_property
    def training(self) -> Settings:
        """The settings of its training: one thread, so that two runs can go side by side."""
        images = max(1, self.settings.training.images // SHARE)
        budget = {"training.images": images, "training.warmup_images": self.settings.training.warmup_images // SHARE}
        return self.settings.changed(**{**budget, "seed": self.seed, "threads": 1, **self.method.changes})

    @property
    def recipe(self) -> str:
        """Hash of all that decides the run but the code: results of another recipe are made again."""
        network = f"{self.method.kind.__module__}.{self.method.kind.__name__}"
        told = {name: value for name, value in self.training.deciding().items() if name != "evaluation.bootstrap"}
        return sha256_json([told, network, self.method.parts, self.method.variant, PATIENTS, SHARE])


def results_folder(settings: Settings) -> Path:
    """Where the results of a profile's runs lie: below data/results, or in an explicit out_dir."""
    return (settings.figures if settings.out_dir else paths.DATA / "results") / "comparison" / settings.profile


def runs_folder(settings: Settings) -> Path:
    """Where their weights lie."""
    return (settings.figures / "runs" if settings.out_dir else paths.RUNS) / "comparison" / settings.profile


def planned(settings: Settings, only: Sequence[str] = ()) -> list[Run]:
    """All runs, first seed of all methods first; only: names of methods.

    Raises:
        ValueError: no method of that name.
    """
    methods = [method_of(name) for name in only] or list(METHODS)
    seeds = {method.name: SEEDS if method.group == CENTRAL else 1 for method in methods}
    return [
        Run(method, settings.seed + k, settings) for k in range(SEEDS) for method in methods if k < seeds[method.name]
    ]


def missing(run: Run) -> list[str]:
    """The parts that are not there, by this recipe."""
    told = read_json(run.folder / "run.json")
    done = told.get("parts", {}) if told.get("recipe") == run.recipe else {}
    return [part for part in run.method.parts if part not in done or not (run.folder / f"{part}.parquet").is_file()]


def measure(settings: Settings, only: Sequence[str] = (), processes: int = 1) -> list[Run]:
    """Train and score what is missing; returns the runs that are there at the end.

    processes: how many work side by side, each on one thread.
    """
    command = [
        sys.executable,
        "-m",
        "ssacl_lib",
        "ablation",
        "--profile",
        settings.profile,
        "--seed",
        str(settings.seed),
    ]
    command += [word for name in only for word in ("--only", name)]
    command += ["--out", str(settings.figures)] if settings.out_dir else []
    others = [subprocess.Popen(command) for _ in range(processes - 1)]
    write_references(settings)
    try:
        before = torch.get_num_threads()
        threads.apply(1, settings.deterministic)
        for run in planned(settings, only):
            with claimed(run.weights) as free:
                if free and missing(run):
                    print(f"{run.name}: {', '.join(missing(run))}", flush=True)
                    make(run)
        torch.set_num_threads(before)
    finally:
        failed = [process for process in others if process.wait()]
    if failed:
        raise RuntimeError("one of the processes failed; what it said stands above. Started again, all go on")
    return [run for run in planned(settings, only) if not missing(run)]


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Is this run ours? A lock that the system takes back when a process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def make(run: Run) -> None:
    """Train a run (or find what was trained) and score its missing parts."""
    started = time.perf_counter()
    model, history = trained(run)
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
        write_parquet(run.folder / f"{part}.parquet", SCORES[part](run, model, studies))
        told["parts"][part] = {"code": code_behind(__name__), "seconds": round(time.perf_counter() - begun)}
        write_json(run.folder / "run.json", told)
    print(f"{run.name}: done in {time.perf_counter() - started:.0f} s", flush=True)


def about(run: Run) -> dict:
    """What `run.json` says of a run beside its parts."""
    network = f"{run.method.kind.__module__}.{run.method.kind.__name__}"
    note = read_json(run.weights / "model" / "manifest.json")
    return {
        "method": run.method.name,
        "seed": run.seed,
        "network": network,
        "changes": run.method.changes,
        "settings": portable_settings(run.training),
        "command": f"ssacl ablation --profile {run.settings.profile} --only {run.method.slug!r}",
        "patients": PATIENTS,
        "seconds": note.get("seconds"),
        "kernels": f"{torch.backends.cpu.get_cpu_capability()}, {device_name()}",
        "versions": package_versions(),
    }


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Atomically, numbers of float64 as float32."""
    small = {name: np.float32 for name, kind in frame.dtypes.items() if kind == np.float64}
    with atomic_write(path, "wb") as handle:
        frame.astype(small).to_parquet(handle, index=False, compression="zstd")


def write_references(settings: Settings) -> None:
    """What the reports are compared with, once for all runs: study, reference, labels (14 codes)."""
    path, studies = results_folder(settings) / "references.parquet", test_studies(settings)
    labels = [np.asarray(study.labels, np.int8) for study in studies]
    columns = {"study": [study.study_id for study in studies], "reference": [study.report for study in studies]}
    frame = pd.DataFrame({**columns, "labels": labels})
    if not path.is_file() or not pd.read_parquet(path)["reference"].equals(frame["reference"]):
        write_parquet(path, frame)


def test_studies(settings: Settings) -> list:
    """The test patients of PATIENTS, prepared once per process."""
    if settings not in _STUDIES:
        _STUDIES.clear()
        _STUDIES[settings] = list(load_evaluation(settings.changed(seed=PATIENTS), "test"))
    return _STUDIES[settings]


_STUDIES: dict[Settings, list] = {}


def trained(run: Run):
    """The model of a run with its head, and its loss curves (None where nothing was trained)."""
    settings, device = run.training, device_of(run.settings)
    parts = {
        **checkpoints.made_from(settings),
        "the studies": checkpoints.made_from(run.settings)["the studies"],
        "the network": sha256_json([run.method.name, code_behind(run.method.kind.__module__)]),
    }

    def fit(out: Path) -> None:
        studies, validation = load_training(run.settings, "train"), load_training(run.settings, "validation")
        begun = time.perf_counter()
        if run.method.trained:
            pairs = run.method.pairs or (lambda own, seed: own)
            pretrain(
                settings, out, pairs(studies, 2 * run.seed), pairs(validation, 2 * run.seed + 1), kind=run.method.kind
            )
        else:
            save_model(before_training(run, studies), out)
        write_json(out / "manifest.json", {"seconds": round(time.perf_counter() - begun)})
        model = load_network(out, str(device), run.method.answers)
        save_model(fit_head(model, studies, validation, run.seed).cpu(), out)
        (out / "checkpoint.safetensors").unlink(missing_ok=True)

    folder = keep(run.weights / "model", parts, fit)
    history = folder / "history.csv"
    return load_network(folder, str(device), run.method.answers), pd.read_csv(history) if history.is_file() else None


def before_training(run: Run, studies):
    """A model with random weights, or one that knows what the start holds and nothing else."""
    tokenizer = train_tokenizer(list(studies.reports))
    start = run.training.model.encoder_weights
    if start is None:
        return untrained(run.training, studies, tokenizer)
    own = start_tokenizer(start)
    model = build_network(run.training, own or tokenizer)
    if own is not None:
        load_text_side(model, start)
    return model


# ---- what is scored: (run, model, studies) -> one row per study and question
def score_findings(run: Run, model, studies: Sequence) -> pd.DataFrame:
    """study, finding, present, probability."""
    index = pd.MultiIndex.from_product([[study.study_id for study in studies], OBSERVED], names=["study", "finding"])
    present = reference_of(studies)[1].ravel()
    values = {"present": present, "probability": probabilities_of(model, studies).ravel()}
    return pd.DataFrame(values, index).reset_index()


def score_phrases(run: Run, model, studies: Sequence) -> pd.DataFrame:
    """study, finding, phrase, map, control, cnr, miou, pointing; both maps, own phrase and the two swaps."""
    by_study: dict[int, list] = {}
    for target in collect_targets(studies, run.settings.seed):
        by_study.setdefault(target.study, []).append(target)
    jobs = [(studies[number].image, members, number) for number, members in by_study.items()]
    scoring = run.training.changed(seed=run.settings.seed)
    rows = [row for kind in MAPS for row in score_jobs(model, kind, f"{run.name}: {kind} maps", scoring, jobs)]
    frame = pd.DataFrame(rows)
    frame["study"] = [studies[number].study_id for number in frame["study"]]
    return frame[["study", "finding", "phrase", "map", "control", "cnr", "miou", "pointing"]]


def score_leaves(run: Run, model, studies: Sequence) -> pd.DataFrame:
    """study, films, map ("attention"), and the means over the 25 leaves."""
    frame = anatomy_grounding.score_model(run.name, model, studies)
    return leaf_means(frame).assign(map="attention")


def score_plus(run: Run, model, studies: Sequence) -> pd.DataFrame:
    """As `score_leaves`, for a head that looks (SS-ACL+) fitted on this encoder; on films as they are and moved."""
    shared = SimpleNamespace(settings=run.settings, runs=runs_folder(run.settings) / "shared")
    try:
        atlas = looking.atlas_of(shared)
    except ValueError as error:
        print(f"{run.name}: no head that looks: {error}")
        return pd.DataFrame(columns=["study", "films", *NODE_SCORES, "map"])
    fit_look(model, load_training(run.settings, "train"), atlas, run.seed)
    moved = looking.MovedStudies(studies, PATIENTS)
    frames = [
        looking.score_looks(run.name, model, films, seen)
        for films, seen in ((anatomy_grounding.AS_THEY_ARE, studies), (anatomy_grounding.MOVED, moved))
    ]
    frame = pd.concat(frames, ignore_index=True)
    return leaf_means(frame[frame["method"] == looking.plus(run.name)]).assign(map="plus")


def leaf_means(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over the leaves of each study and kind of film."""
    leaves = frame[frame["node"].isin(anatomy_grounding.default_graph().leaves)]
    return leaves.groupby(["study", "films"], sort=False)[NODE_SCORES].mean().reset_index()


def score_reports(run: Run, model, studies: Sequence) -> pd.DataFrame:
    """study, generated, generated_labels (14 codes): reports under the method's prompts, from its own head's findings."""
    findings = inference.positive_findings(model, probabilities_of(model, studies))
    prefix, texts = prefix_of(run.method.variant, studies, findings), []
    for start in range(0, len(studies), CHUNK):
        texts += prefix.write(model, slice(start, min(start + CHUNK, len(studies))))
    return report_frame(studies, texts)


def report_frame(studies: Sequence, texts: Sequence[str]) -> pd.DataFrame:
    """The rows of `score_reports`."""
    labels = list(label_array(list(texts)))
    return pd.DataFrame(
        {"study": [study.study_id for study in studies], "generated": list(texts), "generated_labels": labels}
    )


SCORES = {
    FINDINGS: score_findings,
    PHRASES: score_phrases,
    LEAVES: score_leaves,
    PLUS: score_plus,
    REPORTS: score_reports,
}
