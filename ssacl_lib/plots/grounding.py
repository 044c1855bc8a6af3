"""Figures of notebook 04: phrase grounding and its controls, cases, faithfulness, and the anatomy of the prompts."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..anatomy import default_graph
from ..evaluation.cases import PhraseCase
from ..evaluation.controls import DIFFERENCES, SCORES
from ..evaluation.grounding import RELEASE_MAPS
from ..metrics.grounding import THRESHOLDS
from . import style
from .pretraining import OUTLINE
from .systems import mark_system, rule_lines, system_name, systems_of
from .tree import branch

SCORE_NAMES = {
    "pointing": "pointing (share of\nthe maxima inside)",
    "cnr": "contrast-to-noise\nratio",
    "miou": "mean IoU",
    "dice": "Dice",
    "cnr_own_minus_swapped": "CNR: own minus\nswapped phrase",
    "pointing_minus_prior": "pointing: minus\ncentre prior",
}

CONTROL_TITLES = {
    "swapped phrase": "own minus swapped phrase\n(above 0: follows the phrase)",
    "swapped side": "own minus swapped side\n(above 0: knows right from left)",
    "shifted": "shifted film minus own\n(below 0: the shift costs)",
}

NO_PHRASES = "this data set has no phrases with boxes, so no phrase can be scored"
NO_REGIONS = "this data set has no masks of the anatomy's nodes, so prompts can't be scored"


def phrase_grounding(table: pd.DataFrame, metrics=("pointing", "cnr_own_minus_swapped", "cnr", "miou")) -> Figure | str:
    """Own phrases per finding and overall: columns map, control, finding, method, metric, value, low, high.

    The two figures that a position prior can't earn stand first.
    """
    table = table[(table["control"] == "own") & table["metric"].isin(metrics) & ~table["map"].isin(RELEASE_MAPS)]
    if not len(table):
        return NO_PHRASES
    findings = [name for name in dict.fromkeys(table["finding"]) if name not in ("overall", "mean of findings")]
    order = ["overall", *findings]
    systems = systems_of(table)
    figure = style.new_figure(style.DOUBLE, 24 + 3.0 * len(systems) * len(order) ** 0.9)
    axes = figure.subplots(1, len(metrics), sharey=True)
    for ax, metric in zip(axes, metrics, strict=True):
        for number, (method, kind) in enumerate(systems):
            part = table[(table["metric"] == metric) & (table["method"] == method) & (table["map"] == kind)]
            part = part.set_index("finding").reindex(order)
            places = np.arange(len(order)) + (number - (len(systems) - 1) / 2) * 0.8 / len(systems)
            mark_system(ax, places, part["value"], part["low"], part["high"], method, kind)
        ax.set_title(SCORE_NAMES.get(metric, metric), fontsize=6.5)
        rule_lines(ax, len(order))
    axes[0].set_yticks(range(len(order)), order)
    axes[0].get_yticklabels()[0].set_fontweight("bold")
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=(len(systems) + 1) // 2)
    return figure


def controls(table: pd.DataFrame) -> Figure | str:
    """Does a map follow its phrase and its patient? Differences on the same phrases, all findings together.

    table: columns as in `phrase_grounding`, metrics of `evaluation.controls.DIFFERENCES`. One row per system, one column per
    control, above pointing and below CNR; n beside each mark.
    """
    table = table[(table["finding"] == "overall") & table["map"].isin(["masked", "similarity"])]
    panels = [(score, control) for score in SCORES for control in CONTROL_TITLES]
    metrics = [DIFFERENCES[control].format(score) for score, control in panels]
    table = table[table["metric"].isin(metrics)]
    if not len(table):
        return NO_PHRASES
    systems = systems_of(table)
    figure = style.new_figure(style.DOUBLE, 26 + 9 * len(systems))
    axes = figure.subplots(len(SCORES), len(CONTROL_TITLES), sharey=True, sharex="row")
    for ax, (score, control), metric in zip(axes.ravel(), panels, metrics, strict=True):
        part = table[table["metric"] == metric].set_index(["method", "map"])
        for place, system in enumerate(systems):
            if system in part.index:
                row = part.loc[system]
                mark_system(ax, [place], row[["value"]], row[["low"]], row[["high"]], *system)
                ax.annotate(f"n {int(row['n'])}", (1.0, place), xycoords=("axes fraction", "data"), xytext=(-1, 0),
                            textcoords="offset points", ha="right", va="center", fontsize=5, color="0.45")  # fmt: skip
        ax.set_title(CONTROL_TITLES[control] if score == SCORES[0] else "", fontsize=6.5)
        ax.set_xlabel({"pointing": "difference of pointing", "cnr": "difference of CNR"}[score])
        rule_lines(ax, len(systems))
    for ax in axes[:, 0]:  # each row of panels shares its range; its right end is kept free for n
        low, high = ax.get_xlim()
        ax.set_xlim(low, high + 0.2 * (high - low))
    for ax in axes[:, 0]:
        ax.set_yticks(range(len(systems)), [system_name(*system) for system in systems])
        ax.set_ylim(len(systems) - 0.5, -0.5)
    return figure


LARGEST = 40
"""Side of a film of a case grid in millimetres, where columns are few."""


def phrase_cases(cases: Sequence[PhraseCase]) -> Figure | str:
    """One row per phrase: film with box and extent, then every map with its IoU and CNR.

    Every map is drawn as the mean IoU sees it: min-max normalised to -1..1, a white line at each of its thresholds, and the
    extent (blue) against which it counts.
    """
    if not cases:
        return NO_PHRASES
    titles = list(cases[0].maps)
    columns = 1 + len(titles)
    side, labels = min((style.DOUBLE - 20) / columns, LARGEST), 2 + titles[0].count("\n")
    figure = style.new_figure(20 + side * columns, (side + 4.5 + 2.6 * labels) * len(cases) + 2)
    axes = np.atleast_2d(figure.subplots(len(cases), columns))
    for row, case in enumerate(cases):
        style.show_film(axes[row, 0], case.image, case.finding, fontweight="bold")
        style.outline(axes[row, 0], case.mask, style.SKY, 0.9)
        style.draw_boxes(axes[row, 0], case.boxes, width=0.5)
        if columns == 2:  # one map: the phrase has no neighbour to run over
            axes[row, 1].set_title(style.wrap(f"“{case.phrase}”", 30), loc="left", fontsize=6.5)
        else:  # over the maps, where it has room; a title would widen its column
            axes[row, 1].annotate(f"“{case.phrase}”", (0, 1), xycoords="axes fraction", xytext=(0, 2.5),
                                  textcoords="offset points", fontsize=6.5, in_layout=False)  # fmt: skip
        for ax, title in zip(axes[row, 1:], titles, strict=True):
            heatmap, overlap, contrast = case.maps[title]
            sized = 2 * style.scaled(heatmap) - 1
            shown = style.heat_over_film(ax, case.image, sized, low=-1, high=1)
            if sized.max() > -1:  # a constant map has no lines
                ax.contour(sized, levels=list(THRESHOLDS), colors="white", linewidths=0.3)
            style.outline(ax, case.mask, style.SKY, 0.8)
            ax.set_xlabel(f"{title}\nIoU {overlap:.2f}   CNR {contrast:.2f}", fontsize=5.8)
    style.colour_bar(
        figure,
        shown,
        axes.ravel().tolist(),
        "map, min–max normalised as in the mean IoU",
        ticks=(-1, 0, *THRESHOLDS, 1),
    )
    return figure


def faithfulness(curves: pd.DataFrame) -> Figure | str:
    """Fit of the phrase while patches are hidden or shown: columns curve, order, fraction, method, value, low, high."""
    if not len(curves):
        return NO_PHRASES
    words = {"deletion": "share of the patches hidden", "insertion": "share of the patches shown"}
    methods = style.methods_in_order(curves["method"])
    figure = style.new_figure(style.DOUBLE, 62)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, (curve, label) in zip(axes, words.items(), strict=True):
        for method in methods:
            for order, line in (("evidence", "-"), ("random", ":")):
                part = curves[(curves["curve"] == curve) & (curves["method"] == method) & (curves["order"] == order)]
                colour = style.method_colour(method)
                ax.fill_between(part["fraction"], part["low"], part["high"], color=colour, alpha=0.15, linewidth=0)
                ax.plot(part["fraction"], part["value"], line, color=colour, label=f"{method}, {order} order")
        ax.set_title(
            {"deletion": "Hide the strongest evidence first", "insertion": "Show the strongest evidence first"}[curve]
        )
        ax.set_xlabel(label)
        ax.grid(axis="y")
    axes[0].set_ylabel("fit of the phrase (cosine)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def anatomy_grounding(table: pd.DataFrame) -> Figure | str:
    """The 25 leaf prompts' attention against the exact masks: columns node, method, metric, value, low, high.

    A data set with masks of other nodes only (right lung, left lung) is shown with these.
    """
    leaves = scored_nodes(table, "pointing")
    if not leaves:
        return NO_REGIONS
    order = [name for name in ("mean of leaves", *leaves) if name in set(table["node"])]
    panels = {
        "pointing": SCORE_NAMES["pointing"],
        "cnr": SCORE_NAMES["cnr"],
        "entropy": "entropy / its maximum\n(1 = looks everywhere alike)",
    }
    methods = style.methods_in_order(table["method"])
    figure = style.new_figure(style.DOUBLE, 24 + 4 * len(order))
    axes = figure.subplots(1, len(panels), sharey=True)
    for ax, (metric, title) in zip(axes, panels.items(), strict=True):
        for number, method in enumerate(methods):
            part = table[(table["metric"] == metric) & (table["method"] == method)].set_index("node").reindex(order)
            if not part["value"].notna().any() or (method == "chance" and metric == "cnr"):
                continue
            places = np.arange(len(order)) + (number - (len(methods) - 1) / 2) * 0.7 / len(methods)
            if method == "chance":  # one line over the height of the row, behind the other methods
                ax.vlines(part["value"], np.arange(len(order)) - 0.42, np.arange(len(order)) + 0.42, color=style.INK,
                          linewidth=1.4, zorder=1, label=method)  # fmt: skip
                continue
            style.intervals(ax, places, part["value"], part["low"], part["high"], colour=style.method_colour(method),
                            label=method, markersize=2.6)  # fmt: skip
        ax.set_title(title, fontsize=6.5)
        ax.grid(axis="x")
        for place in range(1, len(order)):
            ax.axhline(place - 0.5, color=style.PALE, linewidth=0.4)
        if metric == "cnr":
            ax.axvline(0, color=style.INK, linewidth=0.6)
    axes[0].set_yticks(range(len(order)), order)
    for label in axes[0].get_yticklabels():
        name = label.get_text()
        label.set_color(style.ANATOMY_COLOURS[branch(name)] if name in leaves else style.INK)
    axes[0].get_yticklabels()[0].set_fontweight("bold")
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(methods))
    return figure


def scored_nodes(table: pd.DataFrame, metric: str) -> list[str]:
    """The leaves of which a table has this metric; where it has none, the other nodes."""
    there = set(table[table["metric"] == metric]["node"])
    graph = default_graph()
    return [node for node in graph.leaves if node in there] or [node for node in graph.nodes if node in there]


def likeness(
    table: pd.DataFrame, images: np.ndarray, maps: Mapping[str, np.ndarray], masks: np.ndarray | None, node: str
):
    """Is a prompt's attention the same for every patient?

    table: node, method, metric similarity_across_patients, value, low, high. images [k, H, W]; masks [k, H, W] bool
    or None. maps: model -> [k, H, W], attention of `node` as a multiple of the uniform one.
    """
    table = table[table["metric"] == "similarity_across_patients"]
    figure = style.new_figure(style.DOUBLE, 14 + 21.5 * len(maps))
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25))
    ax = left.subplots()
    methods = style.methods_in_order(table["method"]) if len(table) else list(maps)
    for number, method in enumerate(methods):
        part = table[
            (table["method"] == method) & table["node"].isin(scored_nodes(table, "similarity_across_patients"))
        ]
        spread = np.linspace(-0.25, 0.25, len(part))
        ax.plot(
            part["value"],
            number + spread,
            "o",
            color=style.method_colour(method),
            markersize=2.6,
            alpha=0.8,
        )
        mean = table[(table["method"] == method) & (table["node"] == "mean of leaves")]
        if len(mean):
            style.intervals(
                ax, [number], mean["value"], mean["low"], mean["high"], colour=style.INK, marker="|", markersize=12
            )
    ax.set_yticks(range(len(methods)), methods)
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.set_xlabel(
        "cosine of a leaf's attention with that of other patients\n(1 = the same for everybody; one dot a leaf)"
    )
    ax.grid(axis="x")
    axes = np.atleast_2d(right.subplots(len(maps), len(images)))
    for row, (method, of_method) in enumerate(maps.items()):
        for column, image in enumerate(images):
            shown = style.attention_over_film(axes[row, column], image, of_method[column])
            if masks is not None:
                style.outline(axes[row, column], masks[column], OUTLINE, 0.8)
        axes[row, 0].set_ylabel(method, fontsize=6.5)
    right.suptitle(f"attention of “{node}” in {len(images)} patients", fontsize=7)
    style.attention_bar(right, shown, axes.ravel().tolist())
    return figure


def film_lungs(table: pd.DataFrame) -> Figure | str:
    """Both lungs on real films against boxes: map, control, region, method, metric, value, low, high."""
    if not len(table):
        return "this data set has no boxes of the right and left lung"
    table = table[
        (table["region"] == "both") & (table["control"] == "own") & table["metric"].isin(["pointing", "miou", "cnr"])
    ]
    metrics = [metric for metric in ("pointing", "miou", "cnr") if (table["metric"] == metric).any()]
    systems = systems_of(table)
    figure = style.new_figure(style.DOUBLE, 20 + 7 * len(systems))
    axes = np.atleast_1d(figure.subplots(1, len(metrics), sharey=True))
    for ax, metric in zip(axes, metrics, strict=True):
        part = table[table["metric"] == metric].set_index(["method", "map"])
        for place, system in enumerate(systems):
            if system in part.index:
                row = part.loc[system]
                mark_system(ax, [place], row[["value"]], row[["low"]], row[["high"]], *system)
        ax.set_title(SCORE_NAMES.get(metric, metric), fontsize=6.5)
        rule_lines(ax, len(systems))
    axes[0].set_yticks(range(len(systems)), [system_name(*system) for system in systems])
    axes[0].set_ylim(len(systems) - 0.5, -0.5)
    return figure
