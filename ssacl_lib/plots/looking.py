"""Figures of prompts that look (SS-ACL+): scores on films as they are and moved, and the maps themselves."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..anatomy import default_graph
from ..evaluation.anatomy_grounding import POOLED
from ..evaluation.looking import LeafCase, looking_order
from . import style
from .grounding import NO_REGIONS
from .pretraining import OUTLINE
from .tree import branch

MARKS = {"as they are": "o", "moved": "D"}
FACES: dict[str, dict] = {"as they are": {}, "moved": {"markerfacecolor": "white"}}


def looking(table: pd.DataFrame, method: str) -> Figure | str:
    """Means over the leaves per method, on films as they are (dots) and moved (open diamonds), and leaf by leaf for one method.

    table: node, films, method, metric, value, low, high. method: whose leaves are drawn, such as "shipped+".
    """
    means = table[(table["node"] == "mean of leaves") & table["metric"].isin(["pointing", "cnr"])]
    means = means[~means["method"].isin([POOLED, f"{POOLED}+"])]  # its models stand there one by one
    if method not in set(means["method"]):
        return NO_REGIONS
    order = looking_order(means["method"])
    figure = style.new_figure(style.DOUBLE, 118)
    left, right = figure.subfigures(1, 2, width_ratios=(1.55, 1))
    axes = left.subplots(1, 2, sharey=True)
    for ax, (metric, title) in zip(axes, (("pointing", "pointing"), ("cnr", "contrast-to-noise ratio")), strict=True):
        for films, mark in MARKS.items():
            part = means[(means["metric"] == metric) & (means["films"] == films)].set_index("method").reindex(order)
            places = np.arange(len(order)) + (0.17 if films == "moved" else -0.17)
            for place, (name, row) in zip(places, part.iterrows(), strict=True):
                style.intervals(ax, [place], [row["value"]], [row["low"]], [row["high"]],
                                colour=style.method_colour(str(name).removesuffix("+")), marker=mark, markersize=3,
                                **FACES[films])  # fmt: skip
        ax.set_title(f"{title}\nmean of leaves", fontsize=6.5)
        ax.grid(axis="x")
        for place in range(1, len(order)):
            ax.axhline(place - 0.5, color=style.PALE, linewidth=0.4)
    for films, mark in MARKS.items():
        axes[0].plot([], [], mark, color=style.INK, markersize=3, label=f"films {films}", **FACES[films])
    left.legend(loc="outside lower center", ncols=2)
    axes[1].axvline(0, color=style.INK, linewidth=0.6)
    axes[0].set_yticks(range(len(order)), order)
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    _leaves(right.subplots(), table[table["method"] == method], method)
    return figure


def _leaves(ax, table: pd.DataFrame, method: str) -> None:
    """Pointing of every leaf of one method, best first, on both kinds of film."""
    table = table[(table["metric"] == "pointing") & table["node"].isin(default_graph().leaves)]
    as_they_are = table[table["films"] == "as they are"].set_index("node")["value"]
    order = list(as_they_are.sort_values(ascending=False, kind="stable").index)
    for films, mark in MARKS.items():
        part = table[table["films"] == films].set_index("node").reindex(order)
        for place, (node, row) in enumerate(part.iterrows()):
            style.intervals(ax, [place], [row["value"]], [row["low"]], [row["high"]],
                            colour=style.ANATOMY_COLOURS[branch(node)], marker=mark, markersize=2.6,
                            **FACES[films])  # fmt: skip
    ax.set_yticks(range(len(order)), order, fontsize=5.5)
    ax.set_ylim(len(order) - 0.5, -0.5)
    ax.set_title(f"{method}: leaf by leaf", fontsize=6.5)
    ax.set_xlabel("pointing (share of maxima inside)", fontsize=6.5)
    ax.grid(axis="x")


def leaf_maps(cases: Sequence[LeafCase]) -> Figure | str:
    """Maps of anatomies over films: one row per film, one column per anatomy and kind of map; true regions outlined."""
    if not cases:
        return NO_REGIONS
    columns = [(node, kind) for node, maps in cases[0].maps.items() for kind in maps]
    figure = style.new_figure(style.DOUBLE, 14 + 28 * len(cases))
    axes = np.atleast_2d(figure.subplots(len(cases), len(columns)))
    for row, case in zip(axes, cases, strict=True):
        for ax, (node, kind) in zip(row, columns, strict=True):
            shown = style.heat_over_film(ax, case.image, style.scaled(case.maps[node][kind]))
            if node in case.masks:
                style.outline(ax, case.masks[node], OUTLINE, 0.8)
            if case is cases[0]:
                ax.set_title(f"{style.wrap(node, 16)}\n{kind}", fontsize=6.5, loc="left")
        row[0].set_ylabel(case.title, fontsize=6.5)
    style.colour_bar(figure, shown, axes.ravel().tolist(), "each map from its lowest to its highest value", (0, 0.5, 1))
    return figure


def sight(table: pd.DataFrame) -> Figure | str:
    """Micro F1 of the reports per prefix and prompts, with the own and with another patient's leaf tokens; and what these cost.

    table: prefix, prompts, tokens, metric, value, low, high.
    """
    if not len(table):
        return "sight was not measured: `ssacl sight`"
    order = list(dict.fromkeys(zip(table["prefix"], table["prompts"], strict=True)))
    figure = style.new_figure(style.DOUBLE, 22 + 9 * len(order))
    left, right = figure.subplots(1, 2, sharey=True)
    for place, (prefix, prompts) in enumerate(order):
        part = table[(table["prefix"] == prefix) & (table["prompts"] == prompts)]
        colour = {"faithful": style.BLUE, "everywhere": style.ORANGE}.get(prompts, style.GREEN)
        for tokens, face in (("own", {}), ("another patient's", {"markerfacecolor": "white"})):
            row = part[(part["tokens"] == tokens) & (part["metric"] == "micro_f1_13")]
            style.intervals(left, [place], row["value"], row["low"], row["high"], colour=colour, **face)
        cost = part[part["metric"] == "micro_f1_13_minus_own"]
        style.intervals(right, [place], cost["value"], cost["low"], cost["high"], colour=colour, marker="D")
    left.set_title("micro F1 over 13 findings\n(open: another patient's leaf tokens)", fontsize=6.5)
    right.set_title("another patient's tokens minus own\n(below 0: what the prompts saw is used)", fontsize=6.5)
    right.axvline(0, color=style.INK, linewidth=0.6)
    for ax in (left, right):
        ax.grid(axis="x")
    left.set_xlabel("micro F1")
    right.set_xlabel("difference of micro F1, paired by patient")
    left.set_yticks(range(len(order)), [f"{prompts} prompts,\n{prefix}" for prefix, prompts in order])
    left.set_ylim(len(order) - 0.5, -0.5)
    return figure
