"""Where comparison, margins, budget and ablation come from: committed runs of `ssacl ablation`."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..baselines.registry import FINDINGS, METHODS, PHRASES, REPORTS, SSACL, TRAINED, method_of
from ..evaluation.comparison_budgets import BASES, base_of
from ..evaluation.comparison_run import planned, results_folder
from ..evaluation.comparison_start import START
from ..evaluation.comparison_tables import scored_runs, scores_of, shown_settings
from ..evaluation.comparison_trainings import trained_apart
from ..settings import Settings
from .retype import rebuild_line


def runs_and_notebook(settings: Settings, rows: pd.DataFrame) -> list[str]:
    """The runs of the methods that the rows name, and the notebook."""
    settings, own = shown_settings(settings), settings
    place = f" --out {settings.figures}" if settings.out_dir else ""
    slugs = [method_of(name).slug for name in methods_of(rows)]
    only = "".join(f" --only {slug}" for slug in slugs) if len(slugs) <= 3 else ""
    return [f"ssacl ablation --profile {settings.profile}{place}{only}", rebuild_line(own, "05")]


def methods_of(rows: pd.DataFrame) -> list[str]:
    """Names of the methods in rows of comparison, margins, ablation or report_writers."""
    named = [*rows["method"], *(name for text in rows.get("best_baseline", []) for name in str(text).split("; "))]
    named = [*named, *rows.get("floor", [])]
    ablation = "group" not in rows and "detail" in rows  # whose rows are differences to SS-ACL
    return list(dict.fromkeys(name for name in [*named, *[SSACL] * ablation] if name))


def run_files(settings: Settings, method: str, part: str, least: int) -> list[Path]:
    """A part's Parquets of all seeds that are there; and absent ones, where fewer than `least` are."""
    files = [run.folder / f"{part}.parquet" for run in planned(settings, [method])]
    absent = [path for path in files if not path.is_file()]
    return [path for path in files if path.is_file()] + absent[: max(0, least - len(files) + len(absent))]


def comparison_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """The runs of the rows' methods."""
    told = rows.assign(runs=rows["runs"].astype(int)).groupby(["method", "part"], sort=False)["runs"].max()
    files = [path for (method, part), runs in told.items() for path in run_files(settings, method, part, runs)]
    return files + _references(settings, list(rows["part"]))


def training_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """The runs of the rows' methods, their loss curves among them."""
    return comparison_files(settings, rows) + comparison_files(settings, rows.assign(part="history"))


def kernel_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """The runs of SS-ACL, and those that were trained apart."""
    apart = [run.folder / f"{part}.parquet" for part in dict.fromkeys(rows["part"]) for run in trained_apart(settings)]
    return comparison_files(settings, rows.assign(runs=rows["runs"].astype(int) // 2)) + apart


def ablation_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """One run of each variant, and those of SS-ACL, which the column `runs` counts."""
    own = rows.assign(method=SSACL)
    return list(dict.fromkeys(comparison_files(settings, own) + comparison_files(settings, rows.assign(runs="1"))))


def margin_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """The runs of SS-ACL and of all that can be its best rival."""
    parts, named, seeds = margin_parts(rows), methods_of(rows), max([0, *rows["seeds"].astype(int)])
    files = [
        path
        for method in rivals()
        for part in parts
        if part in method_of(method).parts
        for path in run_files(settings, method, part, seeds if method == SSACL else int(method in named))
    ]
    return files + _references(settings, parts)


BUDGET_PARTS = {"auc": FINDINGS, "cnr": PHRASES}
"""Number of the table budget -> the part behind it; the others are read from reports."""


def budget_methods(rows: pd.DataFrame) -> list[str]:
    """The methods of the rows, with all their budgets."""
    return [method.name for method in METHODS if base_of(method.name) in set(rows["method"])]


def budget_parts(rows: pd.DataFrame) -> list[str]:
    """What the rows are measured on."""
    return list(dict.fromkeys(BUDGET_PARTS.get(metric, REPORTS) for metric in rows["metric"]))


def budget_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """All runs that are there of the rows' methods, with all their budgets."""
    parts = budget_parts(rows)
    asked = [(name, part) for name in budget_methods(rows) for part in parts if part in method_of(name).parts]
    files = [path for name, part in asked for path in run_files(settings, name, part, 0)]
    return files + _references(settings, parts)


def budget_rivals() -> list[str]:
    """SS-ACL and its rivals with all their budgets, and those that are trained on nothing."""
    return [
        method.name for method in METHODS
        if base_of(method.name) in BASES or (method.made != TRAINED and not method.ours and not method.annotated)
    ]  # fmt: skip


def budget_margin_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """All runs that are there of SS-ACL and of all that can be its best rival at a budget."""
    parts = margin_parts(rows)
    asked = [(name, part) for name in budget_rivals() for part in parts if part in method_of(name).parts]
    files = [path for name, part in asked for path in run_files(settings, name, part, 0)]
    return files + _references(settings, parts)


def start_parts(rows: pd.DataFrame) -> list[str]:
    """What the rows of over_start are measured on."""
    return list(dict.fromkeys(FINDINGS if metric == "auc" else PHRASES for metric in rows["metric"]))


def start_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """The runs of the rows' methods, the start, and SS-ACL, whose spread is lent."""
    seeds = {SSACL: 0, **rows["runs"].astype(int).groupby(rows["method"]).max(), START: 1}
    asked = [(name, part) for name in seeds for part in start_parts(rows) if part in method_of(name).parts]
    return [path for name, part in asked for path in run_files(settings, name, part, seeds[name])]


def writer_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """As many runs as the rows know of, of both methods of a difference."""
    runs = int(rows["runs"].astype(int).max())
    files = [path for name in methods_of(rows) for path in run_files(settings, name, REPORTS, runs)[:runs]]
    return files + _references(settings, [REPORTS])


def margin_parts(rows: pd.DataFrame) -> list[str]:
    """What the claims of margins are measured on."""
    return list(dict.fromkeys(PHRASES if claim == "grounding" else REPORTS for claim in rows["claim"]))


def rivals() -> list[str]:
    """SS-ACL and all that is annotation-free and no variant of it."""
    return [method.name for method in METHODS if method.name == SSACL or not (method.ours or method.annotated)]


def _references(settings: Settings, parts: list[str]) -> list[Path]:
    return [results_folder(settings) / "references.parquet"] if REPORTS in parts else []


def scores(settings: Settings, methods: list[str], parts: list[str]) -> list:
    """`comparison_tables.all_scores` of some methods and parts."""
    found, runs = [], scored_runs(shown_settings(settings))
    for method in METHODS:
        members = [run for run in runs if run.method == method and method.name in methods]
        asked = tuple(part for part in method.parts if part in parts)
        if members and asked:
            found.append(scores_of(replace(method, parts=asked), members, settings.runs / "evaluation"))
    return found
