"""Systems (a method with one kind of map) in a panel: which there are, their names, marks and lines."""

import pandas as pd

from ..evaluation.controls import UNSEEING
from . import style

MAP_MARKS = {"masked": "o", "similarity": "s", "attention": "^", "SS-ACL+": "P", "prior": "D", "template": "X"}


def systems_of(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(method, kind of map) of a table's rows, methods in the order of all figures."""
    found = set(zip(table["method"], table["map"], strict=True))
    return [(m, k) for m in style.methods_in_order(table["method"]) for k in MAP_MARKS if (m, k) in found]


def system_name(method: str, kind: str) -> str:
    """A system's name beside its row or mark; what sees no film has no kind of map."""
    return method if kind in UNSEEING.values() else f"{method}, {kind} map"


def mark_system(ax, places, value, low, high, method: str, kind: str) -> None:
    """Values of one system with their intervals: colour by method, mark by kind of map (filled: masked, or no film seen)."""
    filled = {} if kind in ("masked", "SS-ACL+", *UNSEEING.values()) else {"markerfacecolor": "white"}
    style.intervals(ax, places, value, low, high, colour=style.method_colour(method), marker=MAP_MARKS.get(kind, "o"),
                    label=system_name(method, kind), markersize=3, **filled)  # fmt: skip


def rule_lines(ax, rows: int) -> None:
    """A line at zero, a grid, and a pale line between rows."""
    ax.axvline(0, color=style.INK, linewidth=0.6)
    ax.grid(axis="x")
    for place in range(1, rows):
        ax.axhline(place - 0.5, color=style.PALE, linewidth=0.5)
