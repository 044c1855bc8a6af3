"""How numbers and names are put into sentences."""

import pandas as pd


def interval(value: float, low: float, high: float, sign: str = "") -> str:
    """Value and limits with two digits; three where a limit would be told as zero and is not."""
    lost = any(number and abs(number) < 0.005 for number in (value, low, high))
    digits = f"{sign}.{3 if sign and lost else 2}f"
    return f"{value:{digits}} [{low:{digits}}, {high:{digits}}]"


def row_of(table: pd.DataFrame, **where) -> pd.Series | None:
    """The one row of a long table with these entries; None where there is none."""
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    return table.iloc[0] if len(table) == 1 else None


def between(row: pd.Series) -> str:
    """A row's value and limits."""
    return interval(row["value"], row["low"], row["high"])


def listed(names: list[str]) -> str:
    """Names as an English list: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
