"""Where every table comes from: the command that makes it, the files behind its rows, and the function that makes them again.

tables of notebooks 01, 03 and 04                 from Parquets that a rebuild leaves below runs/ (evaluation_origins.py)
comparison, margins, budget, ablation             from files that are committed (comparison_origins.py)
tables of notebook 06                             from files that are committed (downstream_origins.py)
sight, labeler and the like                       from files that are committed
blind_losses, speed, explorer, fresh_patients     no file holds what each study gave
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..baselines.registry import PHRASES, REPORTS, SSACL
from ..evaluation import (
    anatomy_grounding,
    box_difficulty,
    difficulty,
    faithfulness,
    films,
    findings,
    labeler,
    one_leaf,
    probe,
    randomisation,
    sentence_grounding,
    sight,
    size,
)
from ..evaluation.comparison_budgets import budget_margins, budget_table
from ..evaluation.comparison_margins import ablation_table, margins, margins_over_trained, writers
from ..evaluation.comparison_start import START, over_start
from ..evaluation.comparison_tables import comparison_table, shown_settings
from ..evaluation.comparison_trainings import by_kernels, by_losses
from ..settings import Settings
from . import downstream_origins as asking
from .comparison_origins import (
    ablation_files,
    budget_files,
    budget_margin_files,
    budget_methods,
    budget_parts,
    budget_rivals,
    comparison_files,
    kernel_files,
    margin_files,
    margin_parts,
    methods_of,
    rivals,
    runs_and_notebook,
    scores,
    start_files,
    start_parts,
    training_files,
    writer_files,
)
from .evaluation_origins import (
    anatomy_files,
    film_files,
    finding_files,
    left_by_rebuild,
    phrase_files,
    report_files,
    report_table,
    saved_rows,
)
from .retype import rebuild_line


@dataclass(frozen=True)
class Origin:
    """How a table is made.

    commands: what to type, given the settings and rows of the table; the first one makes the files. files: what stands behind
    the rows. table: (settings, files, rows) -> the table, these rows at least; None where no file holds what each study gave.
    """

    commands: Callable[[Settings, pd.DataFrame], list[str]]
    files: Callable[[Settings, pd.DataFrame], list[Path]] = lambda settings, rows: []
    table: Callable[[Settings, list[Path], pd.DataFrame], pd.DataFrame] | None = None


def notebook(number: str) -> Callable[[Settings, pd.DataFrame], list[str]]:
    """The command that executes a notebook; and the runs that the intervals know of, where they do."""

    def commands(settings: Settings, rows: pd.DataFrame) -> list[str]:
        spread = [f"ssacl spread --profile {settings.profile}"] if (rows["runs"].astype(int) > 1).any() else []
        return [rebuild_line(settings, number), *spread]

    return commands


def saved(number: str, names: Callable[[pd.Series], list[str]], table: Callable | None) -> Origin:
    """A table that a notebook makes of what an evaluation saved, by a function of (saved rows, settings)."""
    return Origin(
        notebook(number),
        left_by_rebuild(names),
        None if table is None else lambda settings, files, rows: table(saved_rows(settings, files), settings),
    )


def measured(command: str, number: str, file: Callable[[], Path], table: Callable[[Settings], pd.DataFrame]) -> Origin:
    """A table that a notebook makes of the committed file of a command."""
    return Origin(
        lambda settings, rows: [f"ssacl {command}", *notebook(number)(settings, rows)],
        lambda settings, rows: [file()],
        lambda settings, files, rows: table(settings),
    )


def compared(files: Callable, table: Callable, methods: Callable, parts: Callable) -> Origin:
    """A table of notebook 05: a function of the scores of some methods in some parts."""
    return Origin(
        runs_and_notebook,
        lambda settings, rows: files(shown_settings(settings), rows),
        lambda settings, files, rows: table(scores(settings, methods(rows), parts(rows))),
    )


ORIGINS = {
    "phantom_difficulty": saved("01", lambda row: ["difficulty"], difficulty.difficulty_table),
    "box_difficulty": measured("ablation --only detector", "01", box_difficulty.box_file, box_difficulty.box_table),
    "blind_losses": Origin(notebook("02")),
    "finding_classification": saved("03", finding_files, findings.finding_table),
    "labeler": measured("labeler", "03", lambda: labeler.RESULTS, lambda settings: labeler.labeler_table()),
    "report_generation": Origin(notebook("03"), report_files, report_table),
    "sight": measured("sight", "03", sight.sight_file, sight.sight_table),
    "probe": measured("probe", "03", probe.probe_file, probe.probe_table),
    "one_leaf": measured("one-leaf", "03", one_leaf.one_leaf_file, one_leaf.one_leaf_table),
    "randomisation": measured(
        "randomise", "05", lambda: randomisation.RESULTS, lambda settings: randomisation.randomisation_table()
    ),
    "patch_size": measured("size", "05", lambda: size.RESULTS, lambda settings: size.size_table()),
    "phrase_grounding": saved("04", phrase_files, sentence_grounding.table_with_sentences),
    "anatomy_grounding": saved("04", anatomy_files, anatomy_grounding.anatomy_table),
    "faithfulness": saved("04", lambda row: [f"faithfulness {row['method']}"], faithfulness.faithfulness_table),
    "film_grounding": saved("04", film_files, films.film_table),
    "comparison": compared(comparison_files, comparison_table, methods_of, lambda rows: list(rows["part"])),
    "trainings_by_kernels": Origin(
        runs_and_notebook,
        lambda settings, rows: kernel_files(shown_settings(settings), rows),
        lambda settings, files, rows: by_kernels(
            scores(settings, [SSACL], list(rows["part"])), shown_settings(settings), settings.runs / "evaluation"
        ),
    ),
    "trainings_by_losses": Origin(
        runs_and_notebook,
        lambda settings, rows: training_files(shown_settings(settings), rows),
        lambda settings, files, rows: by_losses(scores(settings, [SSACL], [PHRASES]), shown_settings(settings)),
    ),
    "margins": compared(margin_files, margins, lambda rows: rivals(), margin_parts),
    "margins_over_trained": compared(margin_files, margins_over_trained, lambda rows: rivals(), margin_parts),
    "budget": Origin(
        runs_and_notebook,
        lambda settings, rows: budget_files(shown_settings(settings), rows),
        lambda settings, files, rows: budget_table(
            scores(settings, budget_methods(rows), budget_parts(rows)), shown_settings(settings)
        ),
    ),
    "budget_margins": Origin(
        runs_and_notebook,
        lambda settings, rows: budget_margin_files(shown_settings(settings), rows),
        lambda settings, files, rows: budget_margins(
            scores(settings, budget_rivals(), margin_parts(rows)), shown_settings(settings)
        ),
    ),
    "over_start": compared(start_files, over_start, lambda rows: [*methods_of(rows), START, SSACL], start_parts),
    "report_writers": compared(writer_files, writers, methods_of, lambda rows: [REPORTS]),
    "ablation": compared(ablation_files, ablation_table, methods_of, lambda rows: list(rows["part"])),
    **{
        name: Origin(asking.commands_for(*tasks), asking.task_files(*tasks), asking.made_again(name))
        for name, (tasks, _) in asking.TABLES.items()
    },
    "speed": Origin(lambda settings, rows: [f"ssacl bench --profile {settings.profile}"]),
    "explorer": Origin(lambda settings, rows: [f"ssacl bench --profile {settings.profile} --only explorer"]),
    "fresh_patients": Origin(lambda settings, rows: [f"ssacl confirm --seed {settings.seed}"]),
}
"""Every table of figures/*/tables by its name."""
