"""The table downstream_classification, from the Parquets of zero-shot and fine-tuned classification.

An interval is over patients, each with all of their films; over training seeds where an encoder has several; and, where a share
of the labels was drawn several times, over these draws: the three in squares, the last two by Student's t, as in
evaluation/comparison_tables.py.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..evaluation.results import cached
from ..metrics.intervals import mean_of_areas, weighted_auc
from ..record.sources import code_behind, sha256_file
from ..settings import Settings
from .encoders import START
from .fine_tuning import PROBE, SHARES, column_of, settings_of
from .prompts import ENSEMBLE, NAMELESS, ONE_PAIR
from .run import Job
from .tables import Asked, asked, long_rows, patients_of_films, spread_of_trainings, weights
from .zero_shot import COSINE, DOT, FROM_REPORTS

ZERO_SHOT, FINE_TUNING = "zero_shot", "fine_tuning"
MEAN = "mean of findings"
HEADLINE = f"{ENSEMBLE}, {COSINE}"
EACH = (HEADLINE, f"{ONE_PAIR}, {DOT}", FROM_REPORTS)
"""Settings of which every finding stands in the table (and those of a probe with all labels); of the others the mean alone."""

NO_NAME = f"{NAMELESS}, {COSINE}"
NAMES_ADD = "auc_minus_no_name"
"""Metric of HEADLINE: its AUC minus that of NO_NAME, by the same trainings on the same draws."""

AUC, F1, ACCURACY, LABELS = "auc", "macro_f1", "accuracy", "labels to reach the start's zero-shot AUC"


def classification_table(settings: Settings, cache: Path) -> pd.DataFrame:
    """The columns of tables.COLUMNS; no rows of what was not measured. cache: a folder for the draws.

    Tasks: zero shot (setting: prompts and measure), fine tuning (setting: way and percent of the labels).
    """
    shots = asked(settings, ZERO_SHOT)
    rows = [row for own in shots for row in zero_shot_rows(own, settings, cache)]
    start = next((own for own in shots if own.jobs[0].encoder.name == START), None)
    wanted = zero_shot_draws(start.jobs[0], settings, cache)[HEADLINE, MEAN, AUC][0] if start else None
    for own in asked(settings, FINE_TUNING):
        rows += fine_tuning_rows(own, settings, cache, wanted)
    return long_rows(rows)


# ---- numbers under every draw of studies, kept in a folder
def kept(job: Job, settings: Settings, cache: Path, numbers) -> pd.DataFrame:
    """setting, detail, metric, n, draws [1 + resamples] of a job's Parquet; made by numbers(frame, drawn)."""
    resamples = settings.evaluation.bootstrap
    key = {"file": sha256_file(job.path), "bootstrap": resamples, "code": code_behind(__name__)}

    def compute() -> pd.DataFrame:
        frame = pd.read_parquet(job.path)
        studies = sorted(frame["study"].unique())  # as in `wide`
        drawn = weights(len(studies), settings, patients_of_films(studies, settings))
        rows = [[*name, len(drawn[0]), list(map(float, draws))] for name, draws in numbers(frame, drawn)]
        return pd.DataFrame(rows, columns=["setting", "detail", "metric", "n", "draws"])

    return cached(cache, f"{job.name} of {job.encoder.place}", key, compute)


def zero_shot_draws(job: Job, settings: Settings, cache: Path) -> dict[tuple[str, str, str], tuple[np.ndarray, int]]:
    """(setting, detail, metric) -> draws [1 + resamples] and number of studies."""
    frame = kept(job, settings, cache, zero_shot_numbers)
    return {(row.setting, row.detail, row.metric): (np.array(row.draws), row.n) for row in frame.itertuples()}


def mean_draws(job: Job, settings: Settings, cache: Path) -> pd.DataFrame:
    """n and draws of the mean of findings of a job of fine-tuning, by column of its Parquet."""
    frame = kept(job, settings, cache, fine_tuning_numbers)
    return frame[frame["detail"] == MEAN].set_index("setting")


def zero_shot_numbers(frame: pd.DataFrame, drawn: np.ndarray):
    """AUC of the mean and, of EACH, of every finding; macro F1 and accuracy at the validation thresholds."""
    names = list(dict.fromkeys(frame["finding"]))
    present = wide(frame, "present", names) > 0.5
    for setting in (name for name in frame if ", " in name):
        margin = wide(frame, setting, names)
        areas = finding_areas(margin, present, drawn)
        yield (setting, MEAN, AUC), mean_of_areas(areas)
        if setting in EACH:
            yield from (((setting, name, AUC), area) for name, area in zip(names, areas, strict=True))
        said = margin >= 0
        hits, both = drawn @ (said & present), drawn @ (said.astype(float) + present)
        yield (setting, MEAN, F1), (2 * hits / np.maximum(both, 1)).mean(1)
        yield (setting, MEAN, ACCURACY), (drawn @ (said == present).mean(1)) / drawn.sum(1)


def fine_tuning_numbers(frame: pd.DataFrame, drawn: np.ndarray):
    """AUC of the mean of every way, share and subset; of a probe with all labels that of every finding, too."""
    names = list(dict.fromkeys(frame["finding"]))
    present = wide(frame, "present", names) > 0.5
    for asked_of in settings_of():
        column = column_of(*asked_of)
        areas = finding_areas(wide(frame, column, names), present, drawn)
        yield (column, MEAN, AUC), mean_of_areas(areas)
        if asked_of == (PROBE, 100, 0):
            yield from (((column, name, AUC), area) for name, area in zip(names, areas, strict=True))


def wide(frame: pd.DataFrame, column: str, names: list[str]) -> np.ndarray:
    """A column as [studies, findings], studies in alphabetical order."""
    return frame.pivot(index="study", columns="finding", values=column).sort_index()[names].to_numpy(float)


def finding_areas(scores: np.ndarray, present: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """AUC [findings, 1 + resamples]; NaN where a draw has no positive or no negative study."""
    return np.array([weighted_auc(s, p, drawn) for s, p in zip(scores.T, present.T, strict=True)])


# ---- rows
def zero_shot_rows(own: Asked, settings: Settings, cache: Path) -> list[dict]:
    """Rows of one encoder."""
    seeds = [zero_shot_draws(job, settings, cache) for job in own.jobs]
    draws = {name: np.stack([seed[name][0] for seed in seeds]) for name in seeds[0]}
    rows = [own.row(*name, of, seeds[0][name][1]) for name, of in draws.items()]
    if (NO_NAME, MEAN, AUC) in draws:
        added = draws[HEADLINE, MEAN, AUC] - draws[NO_NAME, MEAN, AUC]
        rows.append(own.row(HEADLINE, MEAN, NAMES_ADD, added, seeds[0][HEADLINE, MEAN, AUC][1]))
    return rows


def fine_tuning_rows(own: Asked, settings: Settings, cache: Path, wanted: np.ndarray | None) -> list[dict]:
    """Rows of one encoder: the AUC of every way and share, and with how many labels a probe reaches `wanted`.

    wanted: draws [1 + resamples] of the start's zero-shot AUC on the same studies; None where it was not measured.
    """
    whole = [kept(job, settings, cache, fine_tuning_numbers) for job in own.jobs]
    frames = [mean_draws(job, settings, cache) for job in own.jobs]
    n, train = int(frames[0]["n"].iloc[0]), int(own.frames[0]["train"].iloc[0])
    shares: dict[tuple[str, float], list[str]] = {}
    for way, share, subset in settings_of():
        shares.setdefault((way, share), []).append(column_of(way, share, subset))
    rows, curve, each = [], [], []
    for (way, share), columns in shares.items():
        # [seeds, subsets, 1 + resamples]
        draws = np.stack([np.stack(frame.loc[columns, "draws"].to_list()) for frame in frames])
        rows.append(own.row(f"{way} {share:g} %", MEAN, AUC, draws, n))
        if way == PROBE:
            curve.append((labels_in(train, share), draws.mean((0, 1))))
            each.append(draws[..., 0])
    every = column_of(PROBE, 100, 0)
    for name in dict.fromkeys(whole[0]["detail"]):
        if name != MEAN:
            found = [frame[(frame["setting"] == every) & (frame["detail"] == name)]["draws"].iloc[0] for frame in whole]
            rows.append(own.row(f"{PROBE} 100 %", name, AUC, np.stack(found), n))
    if wanted is not None:
        rows.append(
            labels_row(own, curve, np.stack(np.broadcast_arrays(*each), -1), wanted, n)
        )  # all labels: one subset
    return rows


def labels_in(train: int, share: float) -> int:
    """Films of a share (percent) of the training films."""
    return max(1, round(train * share / 100))


def fewest_labels(settings: Settings) -> int:
    """Labelled films of a probe's smallest share: below it nothing was asked; 0 where nothing was measured."""
    there = asked(settings, FINE_TUNING)
    return labels_in(int(there[0].frames[0]["train"].iloc[0]), min(SHARES[PROBE])) if there else 0


def labels_row(own: Asked, curve: list[tuple[int, np.ndarray]], each: np.ndarray, wanted: np.ndarray, n: int) -> dict:
    """How many labels a probe needs for the AUC `wanted`, draw by draw; empty where all labels do not reach it.

    curve: labels, and the AUC's draws over studies, of every share. each: AUC [seeds, subsets, shares]; what each of them needs
    widens the interval in squares, over the logarithm of the labels. Its end is infinite where some never reach it.
    """
    counts, areas = np.array([count for count, _ in curve]), np.stack([area for _, area in curve])
    needed = np.array([labels_needed(counts, area, aim) for area, aim in zip(areas.T, wanted, strict=True)])
    drawn = needed[1:][np.isfinite(wanted[1:]) & np.isfinite(areas[:, 1:]).all(0)]  # others hold no finding with an AUC
    about = {**own.about, "setting": PROBE, "detail": MEAN, "metric": LABELS, "n": n}
    if not np.isfinite(needed[0]) or not len(drawn):
        return {**about, "value": np.nan, "low": np.nan, "high": np.nan}
    low, high = np.percentile(drawn, [2.5, 97.5], method="nearest")
    alone = np.array([[labels_needed(counts, areas, wanted[0]) for areas in subsets] for subsets in each])
    with np.errstate(invalid="ignore"):  # infinite minus infinite
        spreads = [spread_of_trainings(np.log(means)[:, None]) for means in (alone.mean(1), alone.mean(0))]
        low, high = widened(needed[0], low, spreads, -1), widened(needed[0], high, spreads, 1)
    return {**about, "value": needed[0], "low": max(low, counts[0]), "high": high}


def widened(value: float, end: float, spreads: Sequence[float], side: int) -> float:
    """An end of an interval, as far from the value over logarithms as its own distance and the spreads together, in squares.

    side: -1 of the lower end, 1 of the upper one.
    """
    far = np.hypot(np.log(end / value), np.hypot(*spreads))
    return float(value * np.exp(side * far)) if np.isfinite(far) else (np.inf if side > 0 else 0.0)


def labels_needed(counts: np.ndarray, areas: np.ndarray, aim: float) -> float:
    """Labels at which a curve first reaches the aim, straight between its points over the logarithm of the labels.

    The smallest count where it starts above; infinite where it never reaches it.

    >>> labels_needed(np.array([10, 100, 1000]), np.array([0.6, 0.7, 0.8]), 0.75).round()
    316.0
    """
    reached = np.flatnonzero(areas >= aim)
    if not len(reached):
        return np.inf
    first = reached[0]
    if first == 0:
        return float(counts[0])
    share = (aim - areas[first - 1]) / (areas[first] - areas[first - 1])
    return float(np.exp(np.log(counts[first - 1]) + share * np.log(counts[first] / counts[first - 1])))
