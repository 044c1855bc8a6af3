"""Where the tables of notebook 06 come from: the Parquets of `ssacl downstream`, and the functions that read them."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from .. import paths
from ..downstream import robustness_tables
from ..downstream.aims import aims_table
from ..downstream.classification import FINE_TUNING, LABELS, ZERO_SHOT, classification_table
from ..downstream.retrieval_tables import retrieval_table, term_table
from ..downstream.run import results_folder
from ..downstream.segmentation_tables import segmentation_table
from ..downstream.tables import shown_settings
from ..settings import Settings
from .retype import rebuild_line


def task_files(*tasks: str) -> Callable[[Settings, pd.DataFrame], list[Path]]:
    """The Parquets behind rows: those that the rows name; all of these tasks where rows compare encoders."""

    def files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
        settings = shown_settings(settings)
        named = list(dict.fromkeys(rows["file"])) if "file" in rows and not (rows["metric"] == LABELS).any() else []
        if not named:
            named = [str(results_folder(settings) / task / "*" / "seed*.parquet") for task in tasks]
        return [path for pattern in named for path in matching(pattern)]

    return files


def matching(pattern: str) -> list[Path]:
    """Files of a pattern, from the repository's root where it does not say otherwise; the pattern itself where there is none."""
    whole = paths.ROOT / pattern
    folder = next(parent for parent in whole.parents if "*" not in str(parent))
    return sorted(folder.glob(whole.relative_to(folder).as_posix())) or [whole]


def commands_for(*tasks: str) -> Callable[[Settings, pd.DataFrame], list[str]]:
    """What to type for the tasks, and for the notebook."""

    def commands(settings: Settings, rows: pd.DataFrame) -> list[str]:
        own, shown = settings, shown_settings(settings)
        data = f" --dataset {own.dataset} --data-root DIR" if own.dataset != "phantom" else ""
        place = f" --out {shown.figures}" if shown.out_dir else ""
        asked = list(dict.fromkeys(text.replace(" ", "_") for text in rows["task"])) if "task" in rows else tasks
        only = "".join(f" --only {task}" for task in asked)
        return [
            f"ssacl downstream --profile {shown.profile}{data}{only}{place}",
            rebuild_line(own, "06"),
        ]

    return commands


def _answers(settings: Settings):
    return robustness_tables.measured_answers(settings)


TABLES: dict[str, tuple[tuple[str, ...], Callable[[Settings, Path], pd.DataFrame]]] = {
    "downstream_classification": ((ZERO_SHOT, FINE_TUNING), classification_table),
    "downstream_aims": ((ZERO_SHOT, FINE_TUNING, "retrieval"), aims_table),
    "downstream_segmentation": (("segmentation",), lambda settings, cache: segmentation_table(settings)),
    "downstream_retrieval": (("retrieval",), lambda settings, cache: retrieval_table(settings)),
    "retrieval_terms": (("retrieval",), lambda settings, cache: term_table(settings)),
    "robustness": (("robustness",), lambda settings, cache: robustness_tables.robustness_table(_answers(settings))),
    "robustness_claims": (("robustness",), lambda settings, cache: robustness_tables.claims_table(_answers(settings))),
}
"""Table -> the tasks behind it, and (settings, folder for draws) -> the table."""


def made_again(name: str) -> Callable[[Settings, list[Path], pd.DataFrame], pd.DataFrame]:
    """(settings, files, rows) -> the table of that name."""
    return lambda settings, files, rows: TABLES[name][1](shown_settings(settings), settings.runs / "evaluation")
