"""From the Parquets of `ssacl ablation` to tables: every method's numbers, and SS-ACL's margins over its best rival.

All methods are scored on the same studies, and the same seed draws the same studies for all: one matrix says how often each
study is drawn, every number is computed under each draw, and a difference or a ratio of two methods is taken draw by draw, so
it is paired. A method with several training seeds is their mean; its interval is that over studies and, in squares, what k
trainings say of another one: t_(k-1) s / sqrt(k), s their standard deviation. With one seed that part is unknown, and the column
`runs` says 1; with two it is wide, for two say little of a third (t is 12.7, and 4.3 with three).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..baselines.registry import FINDINGS, LEAVES, METHODS, PHRASES, PLUS, REPORTS, SSACL, Method
from ..metrics.clinical import positive_labels
from ..metrics.intervals import percentile_interval, resampled_counts, sums_by_group, weighted_auc
from ..metrics.lexical import bleu_of_counts
from ..record.sources import code_behind, sha256_file
from ..record.spread import is_share, student_quantile
from ..settings import Settings, load_settings
from .comparison_run import PATIENTS, Run, missing, planned, results_folder
from .comparison_texts import LEXICAL, count_all, lexical_counts, texts_of
from .results import cached

COLUMNS = ("group", "part", "detail", "method", "metric", "value", "low", "high", "n", "runs", "seed", "file")
KEY = ["part", "detail", "metric"]

GROUNDING = ("cnr", "miou", "pointing")


@dataclass(frozen=True)
class Scores:
    """Numbers of one method under the data as they are (first column) and under every draw of studies.

    draws: (part, detail, metric) -> [seeds, 1 + resamples]. n: the same keys -> number of studies. files: part -> file.
    """

    method: Method
    draws: dict[tuple[str, str, str], np.ndarray]
    n: dict[tuple[str, str, str], int]
    files: dict[str, str]


def scored_runs(settings: Settings) -> list[Run]:
    """The runs that are there, in the order of METHODS and seeds."""
    there = [run for run in planned(settings) if not missing(run)]
    return [run for method in METHODS for run in there if run.method == method]


def all_scores(settings: Settings, cache: Path) -> list[Scores]:
    """`Scores` of every method that has a finished run, in the order of METHODS; cache: a folder for the draws."""
    if settings.dataset != "phantom":
        print("methods are compared on the phantom; this data set has no runs of its own")
        return []
    runs = scored_runs(settings)
    count_all(runs)
    found = []
    for method in METHODS:
        members = [run for run in runs if run.method == method]
        if members:
            found.append(scores_of(method, members, cache))
    return found


def scores_of(method: Method, runs: list[Run], cache: Path) -> Scores:
    """Collect the seeds of a method; their draws are of the same studies."""
    draws: dict = {}
    n: dict = {}
    for run in runs:
        for part in method.parts:
            for row in resampled(run, part, cache).to_dict("records"):
                key = (row["part"], row["detail"], row["metric"])
                draws.setdefault(key, []).append(np.array(row["draws"]))
                n[key] = int(row["n"])
    folder = runs[0].folder.parent
    files = {part: _shown(folder / "seed*" / f"{part}.parquet") for part in method.parts}
    return Scores(method, {key: np.stack(rows) for key, rows in draws.items()}, n, files)


def _shown(path: Path) -> str:
    """A path as a table shows it: from the repository's root where it lies there."""
    return path.relative_to(paths.ROOT).as_posix() if path.is_relative_to(paths.ROOT) else path.as_posix()


def resampled(run: Run, part: str, cache: Path) -> pd.DataFrame:
    """One row per number of a run's part: part, detail, metric, n, draws [1 + resamples]; cached in a folder."""
    path, resamples = run.folder / f"{part}.parquet", run.settings.evaluation.bootstrap
    key = {"file": sha256_file(path), "bootstrap": resamples, "code": code_behind(__name__)}
    if part == REPORTS:
        key["references"] = sha256_file(results_folder(run.settings) / "references.parquet")

    def compute() -> pd.DataFrame:
        rows = [
            {"part": part, "detail": detail, "metric": metric, "n": n, "draws": list(map(float, draws))}
            for detail, metric, n, draws in NUMBERS[part](pd.read_parquet(path), resamples, run.settings)
        ]
        return pd.DataFrame(rows, columns=["part", "detail", "metric", "n", "draws"])

    return cached(cache, f"{part} of {run.place.replace('/', ' ')}", key, compute)


def weights(studies: int, resamples: int) -> np.ndarray:
    """How often each study counts: [1 + resamples, studies], the first row once each; the same for every method."""
    return np.vstack([np.ones(studies), resampled_counts(studies, resamples, PATIENTS)])


def finding_numbers(frame: pd.DataFrame, resamples: int, settings: Settings):
    """Mean over the findings of the AUC."""
    wide = frame.pivot(index="study", columns="finding", values=["probability", "present"]).sort_index()
    scores, present = (wide[name].to_numpy(float) for name in ("probability", "present"))
    drawn = weights(len(wide), resamples)
    areas = np.array([weighted_auc(s, p > 0.5, drawn) for s, p in zip(scores.T, present.T, strict=True)])
    yield "mean of findings", "auc", len(wide), np.nanmean(areas, axis=0)


def phrase_numbers(frame: pd.DataFrame, resamples: int, settings: Settings):
    """Means over phrases per map: scores of the own phrase, and own minus a swapped phrase; where the phrase names a side also
    pointing (`pointing_sided`), that of the phrase with the other side, and their difference."""
    for kind, of_kind in frame.groupby("map", sort=False):
        wide = of_kind.pivot_table(
            index=["study", "finding", "phrase"], columns="control", values=list(GROUNDING), sort=True
        )
        columns = {metric: wide[metric]["own"] for metric in GROUNDING}
        if "swapped phrase" in wide["cnr"]:
            columns["cnr_own_minus_swapped"] = wide["cnr"]["own"] - wide["cnr"]["swapped phrase"]
        if "swapped side" in wide["pointing"]:
            sided = wide["pointing"]["swapped side"].notna()
            columns["pointing_sided"] = wide["pointing"]["own"].where(sided)
            columns["pointing_swapped_side"] = wide["pointing"]["swapped side"]
            columns["pointing_own_minus_swapped_side"] = wide["pointing"]["own"] - wide["pointing"]["swapped side"]
        yield from _means(f"{kind} map", pd.DataFrame(columns), wide.index.get_level_values("study"), resamples)


def leaf_numbers(frame: pd.DataFrame, resamples: int, settings: Settings):
    """Means over studies of the means over leaves, per kind of film."""
    for films, of_films in frame.sort_values("study").groupby("films", sort=True):
        columns = of_films[["pointing", "cnr"]]
        yield from _means(f"films {films}", columns, of_films["study"], resamples)


def _means(detail: str, columns: pd.DataFrame, studies, resamples: int):
    sums, numbers = sums_by_group(columns.to_numpy(float), list(studies))
    drawn = weights(len(sums), resamples)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = (drawn @ sums) / (drawn @ numbers)
    for place, metric in enumerate(columns):
        yield detail, metric, int(numbers[:, place].sum()), draws[:, place]


def report_numbers(frame: pd.DataFrame, resamples: int, settings: Settings):
    """Lexical metrics on our tokens; micro F1 and prevalence of 13 and 14 observations in both conventions."""
    if not len(frame):
        return
    told = pd.read_parquet(results_folder(settings) / "references.parquet").set_index("study")
    frame = frame.sort_values("study")
    told = told.loc[frame["study"]]
    drawn = weights(len(frame), resamples)
    detail, count = "reports", len(frame)
    alike = lexical_counts(*texts_of(frame, settings))
    yield detail, "bleu4", count, bleu_of_counts(drawn @ alike.drop(columns=list(LEXICAL)).to_numpy(float))[:, 3]
    for metric in LEXICAL:
        yield detail, metric, count, drawn @ alike[metric].to_numpy(float) / count
    for ending, wide in (("", False), ("_uncertain_as_positive", True)):
        said = positive_labels(np.stack(frame["generated_labels"]), wide)
        true = positive_labels(np.stack(told["labels"]), wide)
        for name, first in (("micro_f1_13", 1), ("micro_f1_14", 0)):
            counts = [(said & true)[:, first:].sum(1), said[:, first:].sum(1) + true[:, first:].sum(1)]
            hits, both = (drawn @ np.stack(counts, axis=1).astype(float)).T
            yield detail, name + ending, count, 2 * hits / np.maximum(both, 1)
            prevalence = f"prevalence_{name.rsplit('_', 1)[1]}{ending}"
            yield detail, prevalence, count, drawn @ true[:, first:].mean(1) / count


NUMBERS: dict[str, Callable] = {
    FINDINGS: finding_numbers,
    PHRASES: phrase_numbers,
    LEAVES: leaf_numbers,
    PLUS: leaf_numbers,
    REPORTS: report_numbers,
}


def interval(draws: np.ndarray) -> tuple[float, float, float]:
    """Mean over seeds with its interval over studies and seeds: draws [seeds, 1 + resamples]; see the module's text."""
    mean = draws.mean(0)
    value, low, high = percentile_interval(float(mean[0]), mean[1:])
    if len(draws) > 1:
        seeds = student_quantile(len(draws)) * draws[:, 0].std(ddof=1) / np.sqrt(len(draws))
        low, high = value - np.hypot(value - low, seeds), value + np.hypot(high - value, seeds)
    return value, float(low), float(high)


def comparison_table(scores: list[Scores]) -> pd.DataFrame:
    """Every number of every method: the columns of COLUMNS; `runs` counts training seeds."""
    rows = []
    for own in scores:
        for (part, detail, metric), draws in own.draws.items():
            value, low, high = interval(draws)
            low, high = (max(low, 0.0), min(high, 1.0)) if is_share(metric) else (low, high)
            rows.append(
                {
                    "group": own.method.group,
                    "part": part,
                    "detail": detail,
                    "method": own.method.name,
                    "metric": metric,
                    "value": value,
                    "low": low,
                    "high": high,
                    "n": own.n[part, detail, metric],
                    "runs": len(draws),
                    "seed": PATIENTS,
                    "file": own.files[part],
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def shown_settings(settings: Settings) -> Settings:
    """The settings whose runs a notebook shows: its own where SS-ACL and a rival have one, else those of `cpu`, which are
    committed. Where there are some, but not enough to be compared, it is said."""
    if settings.dataset != "phantom" or settings.profile == "cpu":
        return settings
    there = {run.method.name: run.method for run in scored_runs(settings)}
    if SSACL in there and not all(method.ours or method.annotated for method in there.values()):
        return settings
    if there:
        print(
            f"runs of the profile {settings.profile} are there, of {', '.join(there)}; to be compared they need one of {SSACL} "
            f"and one of a rival (`ssacl ablation --profile {settings.profile} --seeds 1`): the committed ones of cpu are shown"
        )
    return load_settings("cpu", **{"evaluation.bootstrap": settings.evaluation.bootstrap})


def learning_curves(settings: Settings) -> pd.DataFrame:
    """Losses of all first seeds on training films: method, images, term, value."""
    frames = []
    for run in scored_runs(settings):
        path = run.folder / "history.parquet"
        if run.seed == settings.seed and path.is_file():
            history = pd.read_parquet(path)
            frames.append(history[history["split"] == "train"].assign(method=run.method.name, group=run.method.group))
    return (
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["method", "images", "term", "value"])
    )
