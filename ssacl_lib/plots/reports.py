"""Figures of notebook 03 that are made of tables: what the head knows, what the reports are worth, what prompts do."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..evaluation.prompting import (
    ALL_LEAVES,
    ENTITIES,
    GIVEN,
    LEAVES,
    OTHER_LEAVES,
    OTHER_PATCHES,
    OTHER_TOKENS,
    REFERENCE,
    WITH,
    WITHOUT,
)
from . import style

METRIC_NAMES = {
    "bleu1": "BLEU-1", "bleu4": "BLEU-4", "meteor": "METEOR", "rouge_l": "ROUGE-L", "cider": "CIDEr",
    "micro_f1_13": "micro F1\n13 findings", "micro_f1_5": "micro F1\n5 findings", "example_f1": "F1\nper study",
}  # fmt: skip
"""Metrics of the report figure; the table has all of them."""

VARIANTS = (WITH, LEAVES, ENTITIES, WITHOUT, REFERENCE, GIVEN, "head labels", "constant")
"""Rows of the report figure and table, in the order that the notebook's text announces."""

STEPS = {
    "open leaves,\nbeside the entity text": (WITH, "entities_only"),
    "open leaves,\nwithout it": (LEAVES, "without_prompts"),
    "entity text,\nbeside open leaves": (WITH, "leaves_only"),
    "leaves of\nanother patient": (OTHER_LEAVES, "with_prompts"),
    "all 25 leaves": (ALL_LEAVES, "with_prompts"),
    "tokens of\nanother patient": (OTHER_TOKENS, "with_prompts"),
    "patches of\nanother patient": (OTHER_PATCHES, "with_prompts"),
}
"""Row of the prompts' figure -> (variant, what its micro F1 is compared with): what the prompts add, then the controls."""


def finding_auc(table: pd.DataFrame) -> Figure | str:
    """AUC of the classification head per finding and method: columns finding, method, value, low, high."""
    if not len(table):
        return "no finding occurs often enough here to measure an AUC"
    names = [name for name in dict.fromkeys(table["finding"]) if not name.startswith("mean")]
    best = table.groupby("finding")["value"].max()
    names = sorted(names, key=lambda name: best[name])
    names += [name for name in dict.fromkeys(table["finding"]) if name.startswith("mean")]
    methods = style.methods_in_order(table["method"])
    figure = style.new_figure(style.SINGLE, 112)
    ax = figure.subplots()
    for number, method in enumerate(methods):
        part = table[table["method"] == method].set_index("finding").reindex(names)
        places = np.arange(len(names)) + (number - (len(methods) - 1) / 2) * (0.8 / max(4, len(methods)))
        style.intervals(
            ax, places, part["value"], part["low"], part["high"], colour=style.method_colour(method), label=method
        )
    ax.set_yticks(range(len(names)), names)
    ax.get_yticklabels()[-1].set_fontweight("bold")
    ax.axvline(0.5, color=style.INK, linewidth=0.6)
    ax.grid(axis="x")
    ax.set_xlabel("area under the ROC curve (0.5 = chance)")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=min(3, len(methods)))
    return figure


def report_scores(table: pd.DataFrame) -> Figure:
    """Report metrics with 95 % intervals, one row per system: columns method, variant, metric, value, low, high.

    A filled dot is a report written with anatomical prompts, an open one is anything else.
    """
    table = table[table["metric"].isin(METRIC_NAMES)].dropna(subset=["value"])
    metrics = [metric for metric in METRIC_NAMES if (table["metric"] == metric).any()]
    found = set(zip(table["method"], table["variant"], strict=True))
    systems = [(m, v) for m in style.methods_in_order(table["method"]) for v in VARIANTS if (m, v) in found]
    figure = style.new_figure(style.DOUBLE, 18 + 6.2 * len(systems))
    axes = np.atleast_1d(figure.subplots(1, len(metrics), sharey=True))
    for ax, metric in zip(axes, metrics, strict=True):
        part = table[table["metric"] == metric].set_index(["method", "variant"])
        for place, system in enumerate(systems):
            if system in part.index:
                row, colour = part.loc[system], style.method_colour(system[0])
                filled = {} if system[1] == "with prompts" else {"markerfacecolor": "white"}
                style.intervals(ax, [place], [row["value"]], [row["low"]], [row["high"]], colour=colour, **filled)
        ax.set_title(METRIC_NAMES[metric], fontsize=6.5)
        ax.set_xlim(left=min(0, ax.get_xlim()[0]))
        ax.grid(axis="x")
        for place in range(1, len(systems)):
            if systems[place][0] != systems[place - 1][0]:
                ax.axhline(place - 0.5, color=style.PALE, linewidth=0.8)
    names = [method if method == "constant report" else f"{method}, {variant}" for method, variant in systems]
    axes[0].set_yticks(range(len(systems)), names)
    axes[0].invert_yaxis()
    figure.supxlabel("score (higher is better) with its 95 % interval", fontsize=7)
    return figure


def prompt_effects(table: pd.DataFrame, methods: list[str]) -> Figure | str:
    """Left: micro F1 of the 2 x 2 (leaves open or closed, entity text given or not). Right: paired differences.

    table: report_generation. methods: the models to show, one panel and one colour each.
    """
    score = table[table["metric"] == "micro_f1_13"].set_index(["method", "variant"])
    methods = [m for m in methods if all((m, cell) in score.index for cell in (WITH, LEAVES, ENTITIES, WITHOUT))]
    if not methods:
        return "no model's prompts were taken apart here"
    figure = style.new_figure(style.DOUBLE, 84)
    axes = figure.subplots(1, len(methods) + 1, width_ratios=[1] * len(methods) + [2.4])
    for ax, method in zip(axes, methods, strict=False):
        colour = style.method_colour(method)
        upper = score.loc[[(method, WITH), (method, LEAVES)], "value"].idxmax()[
            1
        ]  # its label stands above, the other below
        for cells, label, shift, look in (  # side by side, so that neither interval hides the other
            ((ENTITIES, WITH), "given", -0.06, {}),
            ((WITHOUT, LEAVES), "not given", 0.06, {"markerfacecolor": "white"}),
        ):
            rows, places = score.loc[[(method, cell) for cell in cells]], [shift, 1 + shift]
            style.intervals(ax, places, rows["value"], rows["low"], rows["high"], colour=colour, vertical=True, **look)
            ax.plot(places, rows["value"], color=colour, linewidth=1, linestyle="-" if not look else "--", zorder=1)
            ax.annotate(f"entity text\n{label}", (1.06, rows["value"].iloc[1]), (5, 0), textcoords="offset points",
                        fontsize=6, va="bottom" if cells[1] == upper else "top")  # fmt: skip
        ax.set_xticks([0, 1], ["closed", "open"])
        ax.set_xlim(-0.3, 2.1)
        ax.set_xlabel("leaves", x=0.3)
        ax.set_title(f"{method} (n {int(score.loc[(method, WITH), 'n'])})", fontsize=7)
    low, high = zip(*(ax.get_ylim() for ax in axes[:-1]), strict=True)
    for ax in axes[:-1]:
        ax.set_ylim(max(0, min(low)), max(high))
        ax.grid(axis="y")
    axes[0].set_ylabel("micro F1, 13 findings")
    _steps(axes[-1], table, methods)
    return figure


def _steps(ax, table: pd.DataFrame, methods: list[str]) -> None:
    """Paired differences of micro F1, one row per step or control, one colour per model."""
    numbers = set()
    for place, (variant, rival) in enumerate(STEPS.values()):
        rows = table[(table["variant"] == variant) & (table["metric"] == f"micro_f1_13_minus_{rival}")]
        for shift, method in enumerate(methods):
            row = rows[rows["method"] == method]
            numbers |= set(row["n"].astype(int))
            style.intervals(
                ax,
                [place + (shift - (len(methods) - 1) / 2) * 0.3] * len(row),
                row["value"],
                row["low"],
                row["high"],
                colour=style.method_colour(method),
                label=method if place == 0 else None,
            )
    ax.set_yticks(range(len(STEPS)), STEPS)
    ax.invert_yaxis()
    ax.axvline(0, color=style.INK, linewidth=0.6)
    ax.axhline(2.5, color=style.PALE, linewidth=0.8)
    ax.grid(axis="x")
    words = " and ".join(map(str, sorted(numbers, reverse=True)))
    ax.set_xlabel(f"paired difference of micro F1 (n {words})")
    ax.set_title("what prompts add (above), controls (below)", fontsize=6.5)
    if len(methods) > 1:
        ax.legend(loc="lower right")
