"""Where every table comes from: the command that makes it, the files behind its rows, and the function that makes them again.

comparison, margins, ablation, sight, labeler and the like   from files that are committed
tables of notebook 06                                        from files that are committed (downstream_origins.py)
tables of the notebooks 01, 03 and 04                        from Parquets that a rebuild leaves under runs/
blind_losses, speed, explorer, fresh_patients                no file holds what each study gave
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from .. import paths
from ..baselines.registry import FINDINGS, METHODS, PHRASES, REPORTS, SSACL, method_of
from ..datasets.registry import load_training, source_for
from ..datasets.shards import SHARD, folder_of
from ..evaluation import (
    anatomy_grounding,
    box_difficulty,
    difficulty,
    faithfulness,
    films,
    findings,
    grounding,
    labeler,
    looking,
    one_leaf,
    probe,
    randomisation,
    reports as written,
    sentence_grounding,
    sight,
)
from ..evaluation.comparison_margins import ablation_table, base_of, budget_table, margins
from ..evaluation.comparison_run import planned, results_folder
from ..evaluation.comparison_start import START, over_start
from ..evaluation.comparison_tables import comparison_table, scored_runs, scores_of, shown_settings
from ..evaluation.results import long_table
from ..record.spread import spread_file
from ..settings import Settings
from . import downstream_origins as asking


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
        return [f"ssacl rebuild {_options(settings)} --only {number}", *spread]

    return commands


def _options(settings: Settings) -> str:
    words = ["--profile", settings.profile]
    words += ["--dataset", settings.dataset, "--data-root", "DIR"] if settings.dataset != "phantom" else []
    words += ["--seed", str(settings.seed)] if settings.seed else []
    return " ".join(words + (["--out", str(settings.figures)] if settings.out_dir else []))


def left_by_rebuild(names: Callable[[pd.Series], list[str]]) -> Callable[[Settings, pd.DataFrame], list[Path]]:
    """The Parquets that an evaluation saved (`results.cached`) under these names, and the runs that the intervals know of."""

    def files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
        wanted = dict.fromkeys(name for _, row in rows.iterrows() for name in names(row))
        spread = [spread_file(settings)] if (rows["runs"].astype(int) > 1).any() else []
        return [_saved(settings, name) for name in wanted] + spread

    return files


def _saved(settings: Settings, name: str) -> Path:
    """The newest file that was saved under a name; a pattern of its name where there is none."""
    pattern = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".*.parquet"
    folders = [settings.runs / "evaluation", paths.RUNS / f"{settings.name}-seed{settings.seed}" / "evaluation"]
    found = [sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime) for folder in folders]
    return next((paths_[-1] for paths_ in found if paths_), folders[0] / pattern)


def _rows(settings: Settings, files: list[Path]) -> pd.DataFrame:
    """The saved rows of all Parquets, but for the runs of `ssacl spread`, which `write_table` reads itself."""
    network = {"method": difficulty.METHOD, "reference": "truth"}  # which its own file does not say
    frames = [pd.read_parquet(path) for path in files if path.suffix == ".parquet" and path != spread_file(settings)]
    return pd.concat([frame if "method" in frame else frame.assign(**network) for frame in frames], ignore_index=True)


# ---- tables of the notebooks
def finding_files(row: pd.Series) -> list[str]:
    """The supervised network's probabilities come from notebook 01."""
    return ["difficulty" if row["method"] == difficulty.METHOD else f"findings {row['method']}"]


def anatomy_files(row: pd.Series) -> list[str]:
    """Attention, priors, and what looks or looks at no film (evaluation/looking.py)."""
    method, moved = row["method"], row["films"] == anatomy_grounding.MOVED
    fixed = (looking.WORDS, looking.SHUFFLED, looking.TEMPLATE, looking.MEAN_MASK)
    priors = (anatomy_grounding.PRIOR, anatomy_grounding.CHANCE)
    if method in fixed or method.startswith("oracle") or (moved and method in priors):
        return [f"looking {row['films']} without a film"]
    if method in priors:
        return ["anatomies priors"]
    return [
        f"looking {row['films']} {method.removesuffix('+')}" if moved or method.endswith("+") else f"anatomies {method}"
    ]


def phrase_files(row: pd.Series) -> list[str]:
    """Sentence evidence has a file of its own; where masked evidence is taken away from it, that of the phrases as well."""
    phrases = f"phrases {row['method']}"
    if row["map"] != sentence_grounding.KIND:
        return [f"phrases {grounding.PRIOR}", phrases]
    also = [phrases] if row["metric"].endswith("_minus_masked") else []
    return [f"phrases {grounding.PRIOR}", f"sentences {row['method']}", *also]


def film_files(row: pd.Series) -> list[str]:
    """Methods go by other names on real films."""
    model = next((old for old, new in films.NAMES.items() if new == row["method"]), row["method"])
    return ["films priors"] if model in (films.CENTRE, films.SIDE) else ["films priors", f"films {model}"]


def report_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """The reports of the models; the constant report is chosen among the prepared training studies."""
    constant = (rows["method"] == written.CONSTANT) | rows["metric"].str.endswith("_minus_constant")
    models = rows[rows["method"] != written.CONSTANT]
    found = left_by_rebuild(lambda row: [f"reports {row['method']}"])(settings, models if len(models) else rows[:0])
    if constant.any():
        found += [] if len(models) else [_saved(settings, "reports this run")]  # for the test studies' own reports
        found += [_prepared(settings, split) for split in ("train", "validation")]
    return found


def _prepared(settings: Settings, split: str) -> Path:
    """The folder of a split's prepared studies; a pattern of its name where it is not whole."""
    pattern = f"{settings.dataset}-{split}-*"
    if any(paths.STUDIES.glob(pattern)):
        try:
            source = source_for(settings, split)
            if len(list(folder_of(source).glob("studies-*"))) * SHARD >= source.count:
                return folder_of(source)
        except (OSError, ValueError):  # the folder of a user's own data lies elsewhere
            pass
    return paths.STUDIES / pattern


def report_table(settings: Settings, files: list[Path], rows: pd.DataFrame) -> pd.DataFrame:
    """report_generation: the variants that the rows name, and their rivals."""
    frame = _rows(settings, files)
    if any(path.is_dir() for path in files):
        most = frame.groupby("method")["study"].nunique().idxmax()
        first = frame[frame["method"] == most].drop_duplicates("study")
        train, validation = (load_training(settings, split) for split in ("train", "validation"))
        studies = [
            SimpleNamespace(study_id=study, report=report, labels=labels)
            for study, report, labels in first[["study", "reference", "reference_labels"]].itertuples(index=False)
        ]
        frame = pd.concat([written.constant_rows(studies, train, validation), frame], ignore_index=True)
    wanted = set(zip(rows["method"], rows["variant"], strict=True))
    wanted |= {rival for system in wanted for rival in written.rivals_of(*system).values()}
    chosen = frame[[system in wanted for system in zip(frame["method"], frame["variant"], strict=True)]]
    return long_table(written.report_rows(chosen, settings), ["variant"])


def saved(number: str, names: Callable[[pd.Series], list[str]], table: Callable | None) -> Origin:
    """A table that a notebook makes of what an evaluation saved, by a function of (saved rows, settings)."""
    return Origin(
        notebook(number),
        left_by_rebuild(names),
        None if table is None else lambda settings, files, rows: table(_rows(settings, files), settings),
    )


def measured(command: str, number: str, file: Callable[[], Path], table: Callable[[Settings], pd.DataFrame]) -> Origin:
    """A table that a notebook makes of the committed file of a command."""
    return Origin(
        lambda settings, rows: [f"ssacl {command}", *notebook(number)(settings, rows)],
        lambda settings, rows: [file()],
        lambda settings, files, rows: table(settings),
    )


# ---- the comparison
def runs_and_notebook(settings: Settings, rows: pd.DataFrame) -> list[str]:
    """The runs of the methods that the rows name, and the notebook."""
    settings, own = shown_settings(settings), settings
    place = f" --out {settings.figures}" if settings.out_dir else ""
    slugs = [method_of(name).slug for name in methods_of(rows)]
    only = "".join(f" --only {slug}" for slug in slugs) if len(slugs) <= 3 else ""
    return [f"ssacl ablation --profile {settings.profile}{place}{only}", f"ssacl rebuild {_options(own)} --only 05"]


def methods_of(rows: pd.DataFrame) -> list[str]:
    """Names of the methods in rows of comparison, margins or ablation."""
    named = [*rows["method"], *(name for text in rows.get("best_baseline", []) for name in str(text).split("; "))]
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


def start_parts(rows: pd.DataFrame) -> list[str]:
    """What the rows of over_start are measured on."""
    return list(dict.fromkeys(FINDINGS if metric == "auc" else PHRASES for metric in rows["metric"]))


def start_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """The runs of the rows' methods, and the start."""
    seeds = {**rows["runs"].astype(int).groupby(rows["method"]).max(), START: 1}
    asked = [(name, part) for name in seeds for part in start_parts(rows) if part in method_of(name).parts]
    return [path for name, part in asked for path in run_files(settings, name, part, seeds[name])]


def margin_parts(rows: pd.DataFrame) -> list[str]:
    """What the claims of margins are measured on."""
    return list(dict.fromkeys(PHRASES if claim == "grounding" else REPORTS for claim in rows["claim"]))


def rivals() -> list[str]:
    """SS-ACL and all that is annotation-free and no variant of it."""
    return [method.name for method in METHODS if method.name == SSACL or not (method.ours or method.annotated)]


def _references(settings: Settings, parts: list[str]) -> list[Path]:
    return [results_folder(settings) / "references.parquet"] if REPORTS in parts else []


def _scores(settings: Settings, methods: list[str], parts: list[str]) -> list:
    """`comparison_tables.all_scores` of some methods and parts."""
    found, runs = [], scored_runs(shown_settings(settings))
    for method in METHODS:
        members = [run for run in runs if run.method == method and method.name in methods]
        asked = tuple(part for part in method.parts if part in parts)
        if members and asked:
            found.append(scores_of(replace(method, parts=asked), members, settings.runs / "evaluation"))
    return found


def compared(files: Callable, table: Callable, methods: Callable, parts: Callable) -> Origin:
    """A table of notebook 05: a function of the scores of some methods in some parts."""
    return Origin(
        runs_and_notebook,
        lambda settings, rows: files(shown_settings(settings), rows),
        lambda settings, files, rows: table(_scores(settings, methods(rows), parts(rows))),
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
    "phrase_grounding": saved("04", phrase_files, sentence_grounding.table_with_sentences),
    "anatomy_grounding": saved("04", anatomy_files, anatomy_grounding.anatomy_table),
    "faithfulness": saved("04", lambda row: [f"faithfulness {row['method']}"], faithfulness.faithfulness_table),
    "film_grounding": saved("04", film_files, films.film_table),
    "comparison": compared(comparison_files, comparison_table, methods_of, lambda rows: list(rows["part"])),
    "margins": compared(margin_files, margins, lambda rows: rivals(), margin_parts),
    "budget": Origin(
        runs_and_notebook,
        lambda settings, rows: budget_files(shown_settings(settings), rows),
        lambda settings, files, rows: budget_table(
            _scores(settings, budget_methods(rows), budget_parts(rows)), shown_settings(settings)
        ),
    ),
    "over_start": compared(start_files, over_start, lambda rows: [*methods_of(rows), START], start_parts),
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
