"""Figures of notebook 05 on larger budgets, and on the start that all methods go on from."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..evaluation.comparison_margins import HEADLINES
from ..evaluation.comparison_start import START
from . import style
from .comparison import CLAIM_COLOURS, MARGIN_NAMES, NOTHING, OURS

BUDGET_TITLES = {
    "micro_f1_13": "reports: micro F1 of 13",
    "bleu4": "reports: BLEU-4",
    "cnr": "masked map: CNR",
    "auc": "findings: mean AUC",
}

START_TITLES = {"auc": "findings: mean AUC", "cnr": "masked map: CNR", "pointing": "masked map: pointing"}

RIVALS = (style.BLUE, style.ORANGE, style.PURPLE)
"""Of the curves over budgets."""


def budgets(table: pd.DataFrame) -> Figure | str:
    """What a larger budget changes: one panel per number, images seen against the score; dashed: rivals without training.

    table: of `comparison_budgets.budget_table`.
    """
    if table.loc[table["images"] > 0, "images"].nunique() < 2:
        return "no run with a larger budget is there: `ssacl ablation`"
    trained = table.loc[table["images"] > 0, "method"]
    names = sorted(dict.fromkeys(trained), key=lambda name: name not in OURS)
    figure = style.new_figure(style.DOUBLE, 62)
    metrics = [metric for metric in BUDGET_TITLES if table["metric"].eq(metric).any()]
    for ax, metric in zip(np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True):
        of_metric = table[table["metric"] == metric]
        for place, name in enumerate(names):
            rows = of_metric[of_metric["method"] == name].sort_values("images")
            if len(rows):
                where = rows["images"] * (1 + 0.04 * (place - 1)) / 1000
                colour = style.GREEN if name in OURS else RIVALS[place % len(RIVALS)]
                style.intervals(ax, where, rows["value"], rows["low"], rows["high"], colour=colour,
                                vertical=True, marker="o-", markersize=3.2, label=name)  # fmt: skip
                once = rows["runs"].to_numpy() == 1
                ax.plot(
                    where[once],
                    rows["value"][once],
                    "o",
                    color=colour,
                    markerfacecolor="white",
                    markersize=3.2,
                    zorder=5,
                )  # open: one training alone
        for row in of_metric[of_metric["images"] == 0].itertuples():
            ax.axhline(row.value, color=style.GREY, linestyle=":" if row.method == "start" else "--", linewidth=0.9,
                       label=f"{row.method} (no training)")  # fmt: skip
        ax.set_xscale("log")
        ticks = sorted(set(table.loc[table["images"] > 0, "images"] / 1000))
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
        ax.set_xlabel("images seen (thousands)")
        ax.set_title(BUDGET_TITLES[metric], fontsize=6.5)
    labels = {}
    for ax in figure.axes:
        labels |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=3, fontsize=6)
    return figure


def budget_margins(table: pd.DataFrame, paper: dict[str, float]) -> Figure | str:
    """The headline margins over the images seen, a panel per margin; dotted: what the paper claims, on other data.

    table: of `comparison_budgets.budget_margins`. Open dots: one training of SS-ACL.
    """
    headlines = [metric for metrics in HEADLINES.values() for metric in metrics]
    table = table[table["metric"].isin(headlines)].dropna(subset=["margin"])
    if table["images"].nunique() < 2:
        return "no run with a larger budget is there: `ssacl ablation`"
    figure = style.new_figure(style.DOUBLE, 58)
    names = [name for name in headlines if table["metric"].eq(name).any()]
    for ax, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        rows = table[table["metric"] == name].sort_values("images")
        colour = CLAIM_COLOURS[rows["claim"].iloc[0]]
        style.intervals(ax, rows["images"] / 1000, 100 * rows["margin"], 100 * rows["low"], 100 * rows["high"], colour=colour,
                        vertical=True, marker="o-", markersize=3.2)  # fmt: skip
        once = rows[rows["seeds"] == 1]
        ax.plot(
            once["images"] / 1000,
            100 * once["margin"],
            "o",
            color=colour,
            markerfacecolor="white",
            markersize=3.2,
            zorder=5,
        )
        ax.axhline(0, color=style.INK, linewidth=0.6)
        ax.axhline(100 * paper[rows["claim"].iloc[0]], color=colour, linestyle=":", linewidth=1.0)
        ax.set_xscale("log")
        ticks = sorted(set(table["images"] / 1000))
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
        ax.set_xlabel("images seen\n(thousands)")
        ax.set_title(style.wrap(MARGIN_NAMES[name], 18), fontsize=6.5)
    figure.axes[0].set_ylabel("SS-ACL over its best rival (%)")
    return figure


def over_start(table: pd.DataFrame) -> Figure | str:
    """Dots with intervals: what each run differs by from the start that all go on from, one panel per number.

    table: of `comparison_start.over_start`.
    """
    table = table[table["against"] == START]
    if not len(table):
        return NOTHING
    rows = table.drop_duplicates(["reason", "method"])
    order = list(zip(rows["reason"], rows["method"], strict=True))
    figure = style.new_figure(style.DOUBLE, 22 + 5 * len(order))
    names = [name for name in START_TITLES if table["metric"].eq(name).any()]
    axes = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
    for ax, metric in zip(axes, names, strict=True):
        for row in table[table["metric"] == metric].itertuples():
            colour = style.GREEN if row.method in OURS else style.BLUE
            face = {} if row.runs > 1 else {"markerfacecolor": "white"}
            style.intervals(ax, [order.index((row.reason, row.method))], [row.value], [row.low], [row.high], colour=colour,
                            markersize=3.2, **face)  # fmt: skip
        ax.axvline(0, color=style.INK, linewidth=0.6)
        ax.set_title(START_TITLES[metric], fontsize=6.5)
        ax.set_xlabel("run - start")
        ax.grid(axis="x")
        for place in range(1, len(order)):
            if order[place][0] != order[place - 1][0]:
                ax.axhline(place - 0.5, color=style.PALE, linewidth=0.8)
    axes[0].set_yticks(range(len(order)), [f"{reason}: {method}" for reason, method in order], fontsize=6)
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    return figure
