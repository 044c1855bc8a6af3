"""From the Parquets of `ssacl downstream` to tables in long form: one row per task, setting, encoder and metric.

All encoders are asked about the same studies, and the same seed draws the same studies for all (`weights`), so differences are
paired. An encoder with several training seeds is their mean; its interval is that over studies and, in squares, over seeds, as in
evaluation/comparison_tables.py; the column `runs` says how many trainings stand behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..datasets.labelled import NIH
from ..evaluation.comparison_run import PATIENTS
from ..evaluation.comparison_tables import interval
from ..metrics.intervals import counts_of_rows
from ..record.manifest import read_json
from ..record.spread import is_share, student_quantile
from ..settings import Settings, load_settings
from .encoders import VARIANTS, Encoder
from .run import Job, jobs_of, results_folder
from .tasks import TASKS

COLUMNS = (
    "task", "setting", "detail", "method", "metric", "value", "low", "high", "n", "runs", "seed", "ours", "annotated", "file",
)  # fmt: skip
"""method: the encoder. setting: what varies within the task (share of the labels, kind of prompts, level). detail: of what the
number is (a finding, a direction). n: studies. seed: of the test patients."""


@dataclass(frozen=True)
class Asked:
    """What one encoder gave in one task: one frame per training seed."""

    jobs: tuple[Job, ...]
    frames: tuple[pd.DataFrame, ...]

    @property
    def about(self) -> dict:
        """The columns that all rows of this encoder share."""
        job = self.jobs[0]
        file = job.path.parent / "seed*.parquet"
        return {
            "task": job.name.replace("_", " "),
            "method": job.encoder.name,
            "runs": len(self.jobs),
            "seed": PATIENTS,
            "ours": job.encoder.ours,
            "annotated": job.encoder.annotated,
            "file": file.relative_to(paths.ROOT).as_posix() if file.is_relative_to(paths.ROOT) else file.as_posix(),
        }

    def row(self, setting: str, detail: str, metric: str, draws: np.ndarray, n: int) -> dict:
        """One row of a table; draws: [seeds, 1 + resamples], the number itself first, or [seeds, subsets, 1 + resamples]."""
        value, low, high = interval_over(np.asarray(draws, float))
        if is_share(metric):
            low, high = max(low, 0.0), min(high, 1.0)
        told = {
            "setting": setting,
            "detail": detail,
            "metric": metric,
            "value": value,
            "low": low,
            "high": high,
            "n": n,
        }
        return {**self.about, **told}


def interval_over(draws: np.ndarray) -> tuple[float, float, float]:
    """Mean with its interval over studies, seeds and, of draws [seeds, subsets, 1 + resamples], subsets, in squares."""
    if draws.ndim == 2:
        return interval(draws)
    value, low, high = interval(draws.mean(1))
    subsets = draws[..., 0].mean(0)
    if len(subsets) > 1:
        spread = student_quantile(len(subsets)) * subsets.std(ddof=1) / np.sqrt(len(subsets))
        low, high = value - np.hypot(value - low, spread), value + np.hypot(high - value, spread)
    return value, float(low), float(high)


def difference_over(own: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Mean of own trainings minus that of another's, draw by draw; draws as in `Asked.row`, of as many subsets.

    Paired over studies and subsets. Trainings are no pairs: those of each side widen the interval in squares.
    """
    value, low, high = interval_over((own.mean(0) - other.mean(0))[None])
    for side in (own, other):
        spread = spread_of_trainings(side)
        low, high = value - np.hypot(value - low, spread), value + np.hypot(high - value, spread)
    return value, float(low), float(high)


def spread_of_trainings(draws: np.ndarray) -> float:
    """Half width of what k trainings say of their mean, t_(k-1) s / sqrt(k); 0 of one, which says nothing of others."""
    count = len(draws)
    means = draws[..., 0].reshape(count, -1).mean(1)
    return float(student_quantile(count) * means.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0


def asked(settings: Settings, task: str, variants: bool = False) -> list[Asked]:
    """What is there of a task, encoder by encoder in the order of the plan; those from outside at the end.

    Nothing where the task is not asked of the settings' data set. variants: those of SS-ACL in place of the plan's encoders.
    """
    if settings.dataset not in TASKS[task].data:
        return []
    found: dict[str, list[Job]] = {}
    for job in [*jobs_of(settings, [task]), *outside_jobs(settings, task)]:
        if not job.missing and (job.encoder.name in VARIANTS) == variants:
            found.setdefault(job.encoder.place.split("/")[0], []).append(job)
    return [Asked(tuple(jobs), tuple(pd.read_parquet(job.path) for job in jobs)) for jobs in found.values()]


def outside_jobs(settings: Settings, task: str) -> list[Job]:
    """Jobs of encoders from outside whose results lie there; what they were made from stands in their notes."""
    notes = sorted((results_folder(settings) / task).glob("outside-*/seed*.json"))
    told = [(read_json(note)["path"], read_json(note).get("content")) for note in notes]
    encoders = [Encoder(Path(path).name, 0, settings, path, content) for path, content in told]
    return [Job(task, TASKS[task], encoder, settings) for encoder in encoders]


def weights(studies: int, settings: Settings, patients: Sequence | None = None) -> np.ndarray:
    """How often each study counts: [1 + resamples, studies], the first row once each; the same for every encoder and task.

    patients: of each study, who are drawn with all of theirs; None: every study is one.
    """
    groups = range(studies) if patients is None else patients
    return np.vstack([np.ones(studies), counts_of_rows(groups, settings.evaluation.bootstrap, PATIENTS)])


def patients_of_films(names: Sequence[str], settings: Settings) -> list[str]:
    """The patient of each film of a classification task: in NIH's lists the file's name before `_`, else the film itself."""
    return [Path(name).name.split("_")[0] if settings.dataset == NIH else name for name in names]


def long_rows(rows: list[dict]) -> pd.DataFrame:
    """Rows as a table with the columns of COLUMNS (also without any row)."""
    return pd.DataFrame(rows, columns=list(COLUMNS))


def shown_settings(settings: Settings) -> Settings:
    """The settings whose results a notebook shows: its own where there are any, else those of `cpu`, which are committed."""
    if results_folder(settings).is_dir() or settings.dataset != "phantom":
        return settings
    return load_settings("cpu", **{"evaluation.bootstrap": settings.evaluation.bootstrap})
