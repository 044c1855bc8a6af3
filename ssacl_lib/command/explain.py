"""`ssacl explain`: what a row of a table says, what makes it, which files stand behind it, and do they still give it?

A table is recomputed from what every study scored (origins.py), by the function that made it and through the door that wrote it
(`write_table`, with its wider intervals); no model is loaded, nothing is trained. Two numbers agree where their six written
digits do.
"""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from .. import paths
from ..baselines.registry import method_of
from ..evaluation.comparison_run import changes_of, planned
from ..evaluation.comparison_tables import shown_settings
from ..record.manifest import read_json
from ..record.sources import sha256_file
from ..record.spread import read_runs
from ..record.tables import estimate, write_either
from ..settings import Settings, flat, settings_of
from . import downstream_origins as asking
from .comparison_origins import methods_of
from .origins import ORIGINS

NUMBERS = (
    "value", "margin", "low", "high", "n", "runs", "seeds", "seed", "best_baseline", "file",
    "cases", "precision", "recall", "f1", "difference", "own", "other", "verdict",
)  # fmt: skip
"""Columns that are compared; the others say what a row is about."""

COMPARISON = (
    "comparison", "margins", "margins_over_trained", "ablation", "budget", "budget_margins", "over_start",
    "trainings_by_kernels", "trainings_by_losses", "report_writers",
)  # fmt: skip
"""Tables of compared methods, which are told with their settings."""

SHOWN = 20
"""Of the rows that differ, so many are printed."""


def explain(path: Path, row: int | None = None) -> bool:
    """Print all that is known of a table, or of one of its rows (counted from 0); False where the files give other numbers.

    Raises:
        FileNotFoundError: no such table, or no manifest beside its folder.
        ValueError: a table that no command makes, or a row beyond its end.
    """
    path = Path(path)
    if path.stem not in ORIGINS or path.suffix != ".csv":
        raise ValueError(f"{path.name}: no command makes such a table; explained are {', '.join(ORIGINS)} (.csv)")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; tables lie in figures/PROFILE/tables")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if row is not None and not 0 <= row < len(table):
        raise ValueError(f"{path.name} has {len(table)} rows, counted from 0: there is no row {row}")
    settings, changes = settings_behind(path)
    rows = table if row is None else table.iloc[[row]]
    origin = ORIGINS[path.stem]
    files = origin.files(settings, rows)
    title = f"{shown(path)}, {len(table)} rows" if row is None else f"{shown(path)}, row {row} of 0 to {len(table) - 1}"
    print(title)
    say("says", [says(rows.iloc[0])] if row is not None else says_table(table))
    say("made by", origin.commands(settings, rows))
    say("settings", [f"profile {settings.profile}, data set {settings.dataset}, seed {settings.seed}", *changes])
    if path.stem in COMPARISON:
        say("methods", [method_words(shown_settings(settings), name) for name in methods_of(rows)])
    elif path.stem in asking.TABLES:
        pass  # the files say which trainings there are
    elif (rows.get("runs", pd.Series(dtype=str)).replace("", "1").astype(int) > 1).any():
        runs = read_runs(settings)[["seed", "threads"]].drop_duplicates().itertuples(index=False)
        told = ", ".join(f"{seed} ({threads} threads)" for seed, threads in runs)
        say("trained", [f"with the seeds {told}; the first is the row's own, the others are in its interval"])
    say("files", [file_words(file) for file in files] or ["none that hold what each study gave"])
    agrees, lines = verdict(path.stem, settings, files, rows)
    say("recomputed", lines)
    return agrees


def say(title: str, lines: list[str]) -> None:
    """A title and its lines beside it."""
    for number, line in enumerate(lines):
        print(f"  {'' if number else title:12}{line}")


def shown(path: Path) -> str:
    """A path from the repository's root, where it lies there."""
    return path.resolve().relative_to(paths.ROOT).as_posix() if path.resolve().is_relative_to(paths.ROOT) else str(path)


def settings_behind(path: Path) -> tuple[Settings, list[str]]:
    """The settings in the manifest beside a folder of tables, and what they change against the profile."""
    folder = path.resolve().parent.parent
    told = read_json(folder / "manifest.json")
    if "settings" not in told:
        raise FileNotFoundError(
            f"{shown(folder / 'manifest.json')} is missing, which says with what settings {path.name} was made: explain the "
            "table where it was made, or rebuild it"
        )
    makers = told.get("notebooks", {}).values()
    maker = next((one for one in makers if f"tables/{path.name}" in one.get("outputs", {})), {})
    settings = settings_of(told["settings"])
    settings = settings.changed(seed=maker.get("seed", settings.seed))
    if folder != settings.figures.resolve():
        settings = settings.changed(out_dir=str(folder))
    return settings, [f"{name} = {value}" for name, value in told.get("changes", {}).items()]


def says(row: pd.Series) -> str:
    """A row in words: what it is about, its number with the interval, of how many."""
    about = ", ".join(f"{name} {row[name]}" for name in row.index if name not in (*NUMBERS, "method", "metric"))
    value = next(row[name] for name in ("margin", "difference", "value") if name in row)
    number = estimate(*(float(text) if text else float("nan") for text in (value, row["low"], row["high"])))
    over = f" over {row['best_baseline']}" if "best_baseline" in row else ""
    who = f"{row['method']}{over}: " if "method" in row else ""
    what = row.get("metric", row.get("measure", "difference"))
    return f"{about}: {who}{what} {number}, n {row['n']}, trainings {row.get('runs', row.get('seeds', 1))}"


def says_table(table: pd.DataFrame) -> list[str]:
    """The values of each column that says what a row is about, or how many there are."""
    return [
        f"{name}: {', '.join(values) if len(', '.join(values)) < 100 else f'{len(values)} values'}"
        for name in table
        if name not in NUMBERS and (values := list(dict.fromkeys(table[name]))) is not None
    ]


def method_words(settings: Settings, name: str) -> str:
    """What a compared method changes, and with which training seeds it is there."""
    method = method_of(name)
    profile = flat(settings.model_dump(mode="json"))
    changes = [f"{key} = {value}" for key, value in changes_of(method, settings).items() if profile[key] != value]
    there = [str(run.seed) for run in planned(settings, [name]) if (run.folder / "run.json").is_file()]
    network = "" if method.kind.__name__ == "SSACLNetwork" else f", network {method.kind.__name__}"
    return f"{name}: {', '.join(changes) or 'no setting changed'}{network}; training seeds {', '.join(there) or 'none'}"


def file_words(path: Path) -> str:
    """A file's name, and the beginning of its SHA-256, or that it is absent."""
    state = sha256_file(path)[:12] if path.is_file() else "there" if path.is_dir() else "absent"
    return f"{state:12}  {shown(path)}"


# ---- again from the files
def verdict(name: str, settings: Settings, files: list[Path], rows: pd.DataFrame) -> tuple[bool, list[str]]:
    """Do the files give the rows? And what to print of it; what can't be recomputed does not differ."""
    make = ORIGINS[name].table
    if not len(rows):
        return True, ["there is no row"]
    if make is None:
        return True, ["not possible; the command above measures it again"]
    absent = [shown(path) for path in files if not path.exists()]
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        return True, [
            f"not possible here: {absent[0]}{more} absent; `{ORIGINS[name].commands(settings, rows)[0]}` makes it"
        ]
    told = differences(rows, again(name, settings, make(settings, files, rows)))
    if not told:
        return True, [f"agrees to the six digits written{f' in all {len(rows)} rows' if len(rows) > 1 else ''}"]
    lines = [f"row {place}: {words}" for place, words in list(told.items())[:SHOWN]]
    return False, [f"DIFFERS in {len(told)} of {len(rows)} rows", *lines, *["…"][: len(told) > SHOWN]]


def again(name: str, settings: Settings, frame: pd.DataFrame) -> pd.DataFrame:
    """A recomputed table as it would be written, all texts."""
    with tempfile.TemporaryDirectory() as folder:
        place = SimpleNamespace(tables=Path(folder), settings=settings, record=lambda path: path)
        write_either(place, frame, name, "Recomputed.")
        return pd.read_csv(Path(folder) / f"{name}.csv", dtype=str, keep_default_na=False)


def differences(rows: pd.DataFrame, found: pd.DataFrame) -> dict[int, str]:
    """Number of the row -> what is different, for the rows that are."""
    key = [name for name in rows if name not in NUMBERS]
    compared = [name for name in rows if name in NUMBERS and name in found]
    if not set(key) <= set(found):
        raise ValueError(f"the table has the columns {', '.join(key)}, and what is made today {', '.join(found)}")
    by_key = {tuple(row[key]): row for _, row in found.iterrows()}
    told = {}
    for place, row in rows.iterrows():
        other = by_key.get(tuple(row[key]))
        if other is None:
            told[place] = (
                "the files give no such row today (other settings, another recipe, a run that is not finished)"
            )
        elif changed := [name for name in compared if digits(row[name]) != digits(other[name])]:
            told[place] = ", ".join(
                f"{name} {row[name]} → {other[name]}{gap(row[name], other[name])}" for name in changed
            )
    return told


def digits(text: str) -> str:
    """A number in six digits; a text as it is."""
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text


def gap(old: str, new: str) -> str:
    """By how much two numbers differ, in brackets; nothing for texts."""
    try:
        return f" ({float(new) - float(old):+.3g})"
    except ValueError:
        return ""
