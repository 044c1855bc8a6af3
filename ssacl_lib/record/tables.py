"""One door for every number: a table in long form as CSV and Markdown, refused where an estimate lacks its interval."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .manifest import atomic_write
from .spread import with_runs

ENDING = ("method", "metric", "value", "low", "high", "n", "seed")
"""The last columns of a table that is handed in; what a row is about stands before them."""

WRITTEN = (*ENDING[:-1], "runs", "seed")
"""The last columns of every written table: `runs` says of how many trainings the interval knows, see `with_runs`."""

MISSING = "–"


def write_table(run, frame: pd.DataFrame, name: str, caption: str) -> pd.DataFrame:
    """Write `name.csv` (six significant digits) and `name.md` (value [low, high]) and record both.

    Args:
        run: has `.tables`, a folder, `.record(path)` and `.settings`.
        frame: long form, one row per number: any columns, then method, metric, value, low, high, n, seed; its intervals are
            over studies, and here those of rows that were trained in this rebuild become intervals over studies and runs
            (`with_runs`), unless the frame brings a column `runs`. A number that could not be computed is NaN in value, low
            and high; the caption says why.
        name: file name without ending.
        caption: opens with the message of the table.

    Returns:
        The table as written: columns in order, `runs` before `seed`.

    Raises:
        ValueError: columns or caption missing, an estimate without interval, n or seed, or two rows for one number.
    """
    checked = _checked(frame, name)
    table = checked if "runs" in frame else with_runs(checked, name, run.settings)
    table = table[[*(column for column in table if column not in WRITTEN), *WRITTEN]]
    if not caption.strip():
        raise ValueError(f"table {name!r} has no caption, expected a sentence that opens with its message")
    csv, markdown = Path(run.tables) / f"{name}.csv", Path(run.tables) / f"{name}.md"
    with atomic_write(csv) as handle:
        table.to_csv(handle, index=False, float_format="%.6g", lineterminator="\n")
    with atomic_write(markdown) as handle:
        handle.write(f"{' '.join(caption.split())}\n\n{to_markdown(table)}\n")
    for path in (csv, markdown):
        run.record(path)
    table.attrs["caption"] = " ".join(caption.split())
    return table


def write_named_table(run, frame: pd.DataFrame, name: str, caption: str, numbers: Sequence[str]) -> pd.DataFrame:
    """`write_table` for a table whose columns have names of their own, such as margins beside low and high.

    numbers: the columns of the estimate and its two limits.

    Raises:
        ValueError: an estimate without its interval, or limits that are crossed.
    """
    value, low, high = numbers
    bare = frame[frame[value].notna() & (frame[[low, high]].isna().any(axis=1) | (frame[low] > frame[high]))]
    if len(bare):
        raise ValueError(f"table {name!r}, row {bare.index[0]}: an estimate needs its interval, found {_row(bare)}")
    csv, markdown = Path(run.tables) / f"{name}.csv", Path(run.tables) / f"{name}.md"
    with atomic_write(csv) as handle:
        frame.to_csv(handle, index=False, float_format="%.6g", lineterminator="\n")
    with atomic_write(markdown) as handle:
        handle.write(f"{' '.join(caption.split())}\n\n{to_markdown(frame)}\n")
    for path in (csv, markdown):
        run.record(path)
    told = frame.copy()
    told.attrs["caption"] = " ".join(caption.split())
    return told


ESTIMATES = ("margin", "difference")
"""Names of an estimate in tables that are no long form."""


def write_either(run, frame: pd.DataFrame, name: str, caption: str) -> pd.DataFrame:
    """`write_table` of a table in long form, `write_named_table` of one whose estimate is one of ESTIMATES."""
    if "value" in frame:
        return write_table(run, frame, name, caption)
    estimate_name = next(column for column in ESTIMATES if column in frame)
    return write_named_table(run, frame, name, caption, (estimate_name, "low", "high"))


def _checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frame with its columns in order, n as a whole number, or a ValueError that names the first bad row."""
    absent = [column for column in ENDING if column not in frame]
    if absent:
        raise ValueError(
            f"table {name!r} lacks the columns {', '.join(absent)}; expected {', '.join(ENDING)} at its end"
        )
    about = [column for column in frame if column not in ENDING]
    table = frame[[*about, *ENDING]].reset_index(drop=True)
    estimated = table["value"].notna()
    bare = table[estimated & table[["low", "high", "n", "seed"]].isna().any(axis=1)]
    if len(bare):
        raise ValueError(
            f"table {name!r}, row {bare.index[0]}: an estimate needs low, high, n and seed, found {_row(bare)}"
        )
    crossed = table[estimated & (table["low"] > table["high"])]
    if len(crossed):
        raise ValueError(f"table {name!r}, row {crossed.index[0]}: low is above high in {_row(crossed)}")
    keys = [*about, "method", "metric", "seed"]
    repeated = table[table.duplicated(keys)]
    if len(repeated):
        raise ValueError(f"table {name!r}, row {repeated.index[0]}: a second number for {_row(repeated[keys])}")
    return table.assign(n=table["n"].astype("Int64"))


def _row(frame: pd.DataFrame) -> dict:
    return frame.iloc[0].to_dict()


def to_markdown(frame: pd.DataFrame) -> str:
    """A long table as Markdown, value and interval in one column: 0.412 [0.380, 0.447]; other floats likewise."""
    if {"value", "low", "high"} <= set(frame):
        shown = [estimate(*row) for row in frame[["value", "low", "high"]].itertuples(index=False)]
        place = frame.columns.get_loc("value")
        frame = frame.drop(columns=["value", "low", "high"])
        frame.insert(min(place, frame.shape[1]), "value [95 % interval]", shown)
    lines = [list(map(str, frame.columns)), ["---"] * frame.shape[1]]
    lines += [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def estimate(value: float, low: float, high: float) -> str:
    """0.412 [0.380, 0.447]; two more decimals where a small number's interval would vanish in three."""
    if pd.isna(value):
        return MISSING
    digits = 5 if abs(value) < 0.02 and 0 < high - low < 0.002 else 3
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _cell(value) -> str:
    if pd.isna(value):
        return MISSING
    return f"{value:.3f}" if isinstance(value, float) else str(value).replace("|", "\\|")
