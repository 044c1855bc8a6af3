"""How far do runs of the same recipe lie apart? `ssacl spread`: "this run", trained and scored several times.

Every run sees the same training studies, the same tokenizer and the same start, and is scored on the same test studies, those
of the profile's seed. What varies is the training seed (initial weights that the start does not bring, order, masks, sentences,
the head's first weights) and the number of threads (the last bit of every sum, as on another processor). So the runs differ
as rebuilds on different machines do, and the spread holds nothing of the patients, whom the bootstrap over studies answers for.

The supervised network, which every rebuild trains too, is run with the same seeds and threads.

The first run is the rebuild's own. The numbers go to a committed file, a run at a time: started again, it goes on with the
runs that are not there yet, and a run that was killed with its own last checkpoint and its per-study results.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import torch
from tqdm import tqdm

from .. import paths
from ..datasets.registry import load_training
from ..model.build import load_model
from ..record.claims import claimed
from ..record.kept import keep
from ..record.manifest import atomic_write, device_name, package_versions
from ..record.sources import code_behind
from ..record.spread import COLUMNS, about_of, read_runs, recipe_of, spread_file
from ..settings import Settings
from ..training import checkpoints
from ..training.head import fit_head
from ..training.loop import pretrain
from ..training.state import save_model
from . import anatomy_grounding, blind, difficulty, faithfulness, findings, grounding, looking, reports
from .inputs import device_of

METHOD = "this run"


@dataclass(frozen=True)
class TrainingRun:
    """What distinguishes one run from the others."""

    seed: int
    threads: int

    @property
    def name(self) -> str:
        """Its folder, and what the bar shows."""
        return f"seed{self.seed}-threads{self.threads}"


def training_runs(settings: Settings) -> tuple[TrainingRun, ...]:
    """Five runs: the profile's seed and the next three, and the profile's seed once more with another number of threads."""
    threads = settings.threads or torch.get_num_threads()
    seeds = [TrainingRun(settings.seed + k, threads) for k in range(4)]
    return (*seeds, TrainingRun(settings.seed, 1 if threads > 1 else 2))


def _phrases(run, models: dict) -> dict[str, pd.DataFrame]:
    per_phrase = grounding.evaluate_phrases(run, models)
    curves = faithfulness.evaluate_faithfulness(run, models, per_phrase)
    return {
        "phrase_grounding": grounding.phrase_table(per_phrase, run.settings),
        "faithfulness": faithfulness.faithfulness_table(curves, run.settings),
    }


def _anatomies(run, models: dict) -> dict[str, pd.DataFrame]:
    attention = anatomy_grounding.evaluate_anatomies(run, models)
    looked = looking.evaluate_looking(run, looking.with_look(run, models))
    per_node = pd.concat([attention, looked], ignore_index=True)
    return {"anatomy_grounding": anatomy_grounding.anatomy_table(per_node, run.settings)}


def _supervised(run, models: dict) -> dict[str, pd.DataFrame]:
    per_study = difficulty.evaluate_cnn(run, run.seed)
    rows = per_study.assign(method=difficulty.METHOD, reference="truth")
    return {
        "finding_classification": findings.finding_table(rows, run.settings),
        "phantom_difficulty": difficulty.difficulty_table(per_study, run.settings),
    }


EVALUATIONS: dict[str, Callable] = {
    "findings": lambda run, models: {
        "finding_classification": findings.finding_table(findings.evaluate_findings(run, models), run.settings)
    },
    "reports": lambda run, models: {
        "report_generation": reports.report_table(reports.evaluate_reports(run, models), run.settings)
    },
    "phrases": _phrases,
    "anatomies": _anatomies,
    "blind": lambda run, models: {"blind_losses": blind.blind_losses(models, run.settings)},
    "supervised": _supervised,
}
"""What notebooks 01 to 04 do for what they train: part -> (run, models) -> tables by name."""


def fingerprint() -> str:
    """Of all code behind a run's numbers."""
    return code_behind(__name__)


def measure_spread(settings: Settings, only: Sequence[int] = (), parts: Sequence[str] = tuple(EVALUATIONS)) -> Path:
    """Make the runs that the profile's file does not hold yet; returns the file.

    only: positions in `training_runs` (default: all). parts: names in EVALUATIONS.

    Raises:
        ValueError: a position or a part that there is not.
    """
    runs = training_runs(settings)
    wrong = [*(k for k in only if not 0 <= k < len(runs)), *(part for part in parts if part not in EVALUATIONS)]
    if wrong:
        raise ValueError(f"no run or part {wrong[0]!r}; runs are 0 to {len(runs) - 1}, parts {', '.join(EVALUATIONS)}")
    before = torch.get_num_threads()
    for run in tqdm([runs[k] for k in only or range(len(runs))], desc=f"runs of {settings.name}", unit="run"):
        there = _kept(settings, parts)
        done = there[(there["seed"] == run.seed) & (there["threads"] == run.threads)]["part"]
        missing = [part for part in parts if part not in set(done)]
        if not missing:
            continue
        torch.set_num_threads(run.threads)
        try:
            rows = rows_of(run, settings, missing)
        finally:
            torch.set_num_threads(before)
        _add(rows, settings, parts)
    return spread_file(settings)


def _add(rows: pd.DataFrame, settings: Settings, parts: Sequence[str]) -> None:
    """Put a run's rows beside those of the file, which another process may have written since this run began."""
    own = ["seed", "threads", "part"]
    with claimed(paths.RUNS / "spread" / settings.name, wait=True):
        there = _kept(settings, parts)
        there = there[~pd.MultiIndex.from_frame(there[own]).isin(pd.MultiIndex.from_frame(rows[own]))]
        frame = pd.concat([there, rows], ignore_index=True) if len(there) else rows
        frame = frame.sort_values(["seed", "threads"], ascending=[True, False], kind="stable")
        with atomic_write(spread_file(settings), "wb") as handle:
            frame.to_parquet(handle, index=False)


def _kept(settings: Settings, parts: Sequence[str]) -> pd.DataFrame:
    """The rows of the file that stay: of other parts, and those that today's code would make again."""
    rows = read_runs(settings)
    return rows[(rows["code"] == fingerprint()) | ~rows["part"].isin(parts)]


def rows_of(run: TrainingRun, settings: Settings, parts: Sequence[str]) -> pd.DataFrame:
    """Train (or find the trained model), score, and return the rows of one run."""
    folder = paths.RUNS / "spread" / settings.name / run.name
    models = {}
    if set(parts) != {"supervised"}:
        training = settings.changed(seed=run.seed, threads=run.threads)
        models[METHOD] = trained(training, settings, folder / "model")
    few = {"evaluation.bootstrap": 10}  # the intervals of a single run are of no use here
    scoring = settings.changed(out_dir=str(folder), threads=run.threads, **few)
    scored = SimpleNamespace(settings=scoring, runs=scoring.runs, seed=run.seed)
    tables = [(part, name, table) for part in parts for name, table in EVALUATIONS[part](scored, models).items()]
    about = {
        "seed": run.seed,
        "threads": run.threads,
        "kernels": f"{torch.backends.cpu.get_cpu_capability()}, {device_name()}",
        "torch": package_versions()["torch"],
        "recipe": recipe_of(settings),
        "code": fingerprint(),
    }
    frames = [
        table.assign(part=part, table=name, about=about_of(table))[
            lambda rows: rows["method"].isin([METHOD, looking.plus(METHOD), difficulty.METHOD])
        ].assign(**about)
        for part, name, table in tables
    ]
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)]


def trained(training: Settings, settings: Settings, folder: Path):
    """The model of one run with its head, as the rebuild makes it; a finished one is loaded, a killed run goes on.

    training: the settings with the run's seed and threads. settings: those that say which studies there are.
    """
    parts = {**checkpoints.made_from(training), "the studies": checkpoints.made_from(settings)["the studies"]}

    def make(out: Path) -> None:
        studies, validation = load_training(settings, "train"), load_training(settings, "validation")
        pretrain(training, out, studies, validation)
        model = fit_head(load_model(out, device_of(settings)), studies, validation, training.seed)
        save_model(model.cpu(), out)
        (out / "checkpoint.safetensors").unlink(missing_ok=True)

    return load_model(keep(folder, parts, make), device_of(settings))
