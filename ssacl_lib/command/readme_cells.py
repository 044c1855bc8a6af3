"""How the READMEs' generated tables write rows, estimates and differences."""

import pandas as pd


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """Heads and rows of texts as a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def pick(table: pd.DataFrame, wanted: dict) -> pd.DataFrame:
    """The rows with these values in these columns."""
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def estimate(row) -> str:
    """A value and its interval."""
    return f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"


def difference(row) -> str:
    """The same with signs, for a difference."""
    return f"{row.value:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"
