"""A table that people write by hand or export: every cell as text, and an error that names file, line and mend."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

DELIMITERS = (",", ";", "\t")
"""What stands between cells; the semicolon where Excel speaks a language with a decimal comma."""

LONGEST_CELL, LONGEST_NAME = 10_000_000, 40
"""Characters of a cell that are read, and of a column's name that an error shows."""


def read_csv(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    """A table with every cell as text, indexed by the lines of the file; lines without any text are passed over.

    Raises:
        FileNotFoundError: no such table.
        ValueError: not UTF-8, a needed column is missing or there twice, or a line has more or fewer cells than the header.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table; it needs the columns {', '.join(needed)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not readable as CSV in UTF-8 ({error}); save it as CSV UTF-8") from None
    rows = _rows(path, text, _delimiter(text, needed))
    if not rows:
        raise ValueError(f"{path}: not readable as CSV in UTF-8 (empty); it needs the columns {', '.join(needed)}")
    (_, header), *body = rows
    names = [name.strip() for name in header]
    if absent := [name for name in needed if name not in names]:
        there = ", ".join(" ".join(name.split())[:LONGEST_NAME] for name in names)
        raise ValueError(f"{path}: no column {absent[0]!r}; there are {there}")
    if double := [name for name, count in Counter(names).items() if count > 1 and name]:
        raise ValueError(f"{path}: the column {double[0]!r} is there twice; delete one")
    for line, cells in body:
        if len(cells) != len(names):
            raise ValueError(
                f"{path}: line {line}: {len(cells)} cells where the header has {len(names)}; put a text with commas into "
                "double quotes"
            )
    table = pd.DataFrame([cells for _, cells in body], columns=names, dtype=str)
    return table.set_axis(pd.Index([line for line, _ in body], dtype=int), axis=0)


def _delimiter(text: str, needed: Sequence[str]) -> str:
    """The one that finds the needed columns in the first line; the comma where none does."""
    first = text.split("\n", 1)[0]
    for delimiter in DELIMITERS:
        cells = [cell.strip().strip('"').strip() for cell in first.split(delimiter)]
        if set(needed) <= set(cells):
            return delimiter
    return ","


def _rows(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """(line where it begins, cells) of all rows that hold any text."""
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, line = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}: line {line}: not readable as CSV ({error}); check its quotes") from None
    return rows
