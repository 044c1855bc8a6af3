"""Figures of notebook 02: who attends to whom, loss curves, reconstructions, what L_ar compares, prompt attention."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from . import style

TERMS = {
    "image_reconstruction": "image reconstruction $L_{ir}$",
    "anatomy_reconstruction": "anatomy reconstruction $L_{ar}$",
    "global_contrastive": "global contrast $L_{cl}$",
    "anatomical_consistency": "anatomical consistency $L_{ac}$",
    "report_generation": "report generation $L_{lm}$",
    "report_labels": "findings read in the reports (ours) $L_{labels}$",
    "side_exchange": "sides exchanged (ours) $L_{side}$",
    "total": "weighted sum",
}
"""Names of the terms in training histories: in words, and each but the sum with its symbol."""

OUTLINE = style.GREEN
"""Colour of a true region's contour on attention maps."""


def attention_matrices(matrices: Mapping[str, np.ndarray], groups: Sequence[str]) -> Figure:
    """Who sees whom: matrices name -> [T, T] bool (row looks, column is looked at); groups: the kind of each token."""
    figure = style.new_figure(style.DOUBLE, 70)
    kinds = list(dict.fromkeys(groups))
    starts = [list(groups).index(kind) for kind in kinds]
    middles = [np.mean([i for i, group in enumerate(groups) if group == kind]) for kind in kinds]
    for ax, (name, matrix) in zip(np.atleast_1d(figure.subplots(1, len(matrices))), matrices.items(), strict=True):
        size = matrix.shape[0]
        shown = np.where(matrix, 1.0, 0.0)
        ax.imshow(shown, cmap="Blues", vmin=0, vmax=1.5)
        for edge in np.arange(0.5, size - 1):  # drawn by hand: a grid of minor ticks leaves out the one below a label
            ax.axhline(edge, color="white", linewidth=1.2)
            ax.axvline(edge, color="white", linewidth=1.2)
        ax.tick_params(length=0)
        for start in starts[1:]:
            ax.axhline(start - 0.5, color=style.INK, linewidth=0.8)
            ax.axvline(start - 0.5, color=style.INK, linewidth=0.8)
        ax.set_xticks(middles, kinds)
        ax.set_yticks(middles, kinds, rotation=90, va="center")
        ax.set_xlabel("is looked at")
        ax.set_title(style.wrap(name, 40), fontsize=7)
    figure.axes[0].set_ylabel("looks")
    return figure


def loss_curves(history: pd.DataFrame, shipped: pd.DataFrame | None = None) -> Figure:
    """The terms over the images seen: images, term, split, value; beside this run the shipped model's, where there is one.

    With both, the axis of the images is logarithmic, for the shipped model has seen many more; that of L_ar's value always is.
    """
    terms = [term for term in TERMS if term in set(history["term"])]
    columns = 3 if len(terms) < 7 else 4
    rows = -(-len(terms) // columns)
    figure = style.new_figure(style.DOUBLE, 44 * rows)
    axes = np.atleast_2d(figure.subplots(rows, columns, sharex=True)).ravel()
    for ax in axes[len(terms) :]:
        ax.set_visible(False)
    curves = [("this run", history), *([("shipped", shipped)] if shipped is not None else [])]
    for ax, term in zip(axes, terms, strict=False):
        for name, frame in curves:
            for split, line in (("train", "-"), ("validation", "o--")):
                part = frame[(frame["term"] == term) & (frame["split"] == split)]
                alpha = 0.5 if split == "train" and len(part) > 1 else 1
                ax.plot(
                    part["images"], part["value"], "o" if len(part) == 1 else line, color=style.method_colour(name),
                    label=f"{name}, {split}", markersize=2.5, alpha=alpha,
                )  # fmt: skip
        ax.set_title(style.wrap(TERMS[term], 120 // columns, formulas=True), fontsize=6.2)
        ax.grid(axis="y")
        if term == "anatomy_reconstruction":
            ax.set_yscale("log")  # its spikes are many times what lies between them
        ax.xaxis.set_tick_params(labelbottom=True)
        if len(curves) > 1:
            ax.set_xscale("log")
        else:
            ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g} k" if value >= 1000 else f"{value:g}")
    for ax in axes[::columns]:
        ax.set_ylabel("loss (no unit)")
    for ax in axes[max(0, len(terms) - columns) : len(terms)]:
        ax.set_xlabel("images seen")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def reconstructions(images: np.ndarray, visible: np.ndarray, predicted: Mapping[str, np.ndarray]) -> Figure:
    """Film, what the encoder saw of it, and what the decoder makes of the hidden patches.

    images [n, H, W] in 0..1; visible [n, H, W] bool; predicted: model name -> [n, H, W] in 0..1, hidden patches drawn.
    """
    rows = ["film", "kept patches", *predicted]
    figure = style.new_figure(style.DOUBLE, 178 / len(images) * len(rows))
    axes = np.atleast_2d(figure.subplots(len(rows), len(images)))
    for column in range(len(images)):
        shown = [
            images[column],
            np.where(visible[column], images[column], 0.5),
            *(p[column] for p in predicted.values()),
        ]
        for row, picture in enumerate(shown):
            style.show_film(axes[row, column], picture)
    for row, name in enumerate(rows):
        axes[row, 0].set_ylabel(style.wrap(name, 16), fontsize=6.5)
    return figure


def parent_pictures(pictures: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """What L_ar compares: rows as given, seven parents; left as drawn, right the difference to the last row, fixed range.

    pictures: row's name -> [7, p, p] grey (0 to 1 is a film's range), the constants last. names: of the seven parents.
    """
    figure = style.new_figure(style.DOUBLE, 178 / 14.6 * len(pictures) + 22)
    left, right = figure.subfigures(1, 2)
    constant = list(pictures.values())[-1]
    for part, title, shift, look in (
        (left, "as the decoder draws them", 0.0, {"cmap": "gray", "vmin": 0, "vmax": 1}),
        (right, "minus the constant", constant, {"cmap": style.DIVERGING, "vmin": -0.1, "vmax": 0.1}),
    ):
        part.suptitle(title, fontsize=7, fontweight="bold")
        axes = part.subplots(len(pictures), len(names))
        for row, (name, drawn) in zip(axes, pictures.items(), strict=True):
            for ax, picture in zip(row, drawn - shift, strict=True):
                shown = ax.imshow(picture, interpolation="nearest", **look)
                style.bare(ax)
            if part is left:
                row[0].set_ylabel(
                    style.wrap(name.replace(":", ""), 10), fontsize=5.2, rotation=0, ha="right", va="center"
                )
        for ax, name in zip(axes[0], names, strict=True):
            ax.set_title(style.wrap(name, 11), fontsize=4.8, fontweight="normal", loc="center", pad=2)
        bar = part.colorbar(shown, ax=axes, location="bottom", fraction=0.04, pad=0.02, aspect=40, shrink=0.6)
        bar.set_label("grey (0 to 1 on a film)" if part is left else "difference of grey", fontsize=6)
        bar.outline.set_linewidth(0.4)
    return figure


def prompt_attention(
    image: np.ndarray, maps: Mapping[str, np.ndarray], masks: np.ndarray | None, nodes: Sequence[str]
) -> Figure:
    """Attention of chosen prompts on one film, one row per model.

    maps: model name -> [k, H, W], attention as a multiple of the uniform one (1 = looks here as much as anywhere).
    masks: [k, H, W] bool, where the anatomy is (None: unknown).
    """
    figure = style.new_figure(style.DOUBLE, 178 / len(nodes) * len(maps) * 1.06 + 6)
    axes = np.atleast_2d(figure.subplots(len(maps), len(nodes)))
    for row, (model, of_model) in enumerate(maps.items()):
        for column, node in enumerate(nodes):
            ax = axes[row, column]
            shown = style.attention_over_film(ax, image, of_model[column])
            if masks is not None:
                style.outline(ax, masks[column], OUTLINE, 0.9)
            if row == 0:
                ax.set_title(style.wrap(node, 17), fontsize=6, fontweight="normal", loc="center")
        axes[row, 0].set_ylabel(model, fontsize=6.5)
    style.attention_bar(figure, shown, axes.ravel().tolist())
    return figure


DIFFERENCE_GRID = (
    (46, ("attention", "hierarchy")),
    (25, ("text_pooling", "cls_before_names")),
    (40, ("consistency_gradient", "prefix")),
    (44, ("language_positions",)),
)
"""Rows of the figure of switches, so that it fits a page: height in millimetres, and the switches side by side."""


def difference_panels(panels: Mapping[str, Mapping[str, object]], marks: Mapping[str, Mapping[str, str]]) -> Figure:
    """What each switch between paper and release changes: switch -> value -> `differences.Panel`, two panels per switch.

    marks: switch -> value -> "default", "release" or both, written beside the value.
    """
    figure = style.new_figure(style.DOUBLE, sum(height for height, _ in DIFFERENCE_GRID) + 12)
    rows = figure.subfigures(len(DIFFERENCE_GRID), 1, height_ratios=[height for height, _ in DIFFERENCE_GRID])
    for row, (_, names) in zip(rows, DIFFERENCE_GRID, strict=True):
        shares = [2 if name == "prefix" else 1 for name in names]  # its sequence is long
        for part, name in zip(np.atleast_1d(row.subfigures(1, len(names), width_ratios=shares)), names, strict=True):
            part.suptitle(name, fontsize=7, fontweight="bold")
            axes = part.subplots(1, 2)
            for ax, (value, panel) in zip(axes, panels[name].items(), strict=True):
                (_numbers if name == "language_positions" else _dependence)(ax, panel)
                mark = marks[name].get(value)
                ax.set_title(value + (f"\n({mark})" if mark else "\n"), fontsize=6, fontweight="normal", loc="center")
                ax.set_xlabel(panel.columns, fontsize=6)
            axes[0].set_ylabel(next(iter(panels[name].values())).rows, fontsize=6)
    return figure


def _dependence(ax, panel) -> None:
    """A bool matrix as filled cells, with names or parts of the sequence below."""
    rows, columns = panel.values.shape
    ax.pcolormesh(
        np.arange(columns + 1),
        np.arange(rows + 1),
        np.where(panel.values, 1.0, 0.0),
        cmap="Blues",
        vmin=0,
        vmax=1.5,
        edgecolors="white",
        linewidth=0.6,
    )
    ax.invert_yaxis()
    ax.tick_params(length=0)
    ax.set_yticks([])
    _name_columns(ax, panel, panel.labels)


def _numbers(ax, panel) -> None:
    """Position numbers over the place in the sequence, one line per kind of pass."""
    for values, label, colour, marker in zip(
        panel.values, panel.labels, (style.BLUE, style.RED), ("o", "x"), strict=True
    ):
        ax.plot(
            np.arange(len(values)) + 0.5,
            values,
            marker,
            color=colour,
            label=label,
            markersize=3.5,
            markerfacecolor="none",
        )
    ax.set_xlim(0, panel.values.shape[1])
    ax.legend(loc="upper left", fontsize=6)
    _name_columns(ax, panel, None)


def _name_columns(ax, panel, labels) -> None:
    if labels is not None:
        kinds = [label for number, label in enumerate(labels) if labels.index(label) == number]
        places = [np.mean([i for i, label in enumerate(labels) if label == kind]) + 0.5 for kind in kinds]
        ax.set_xticks(places, kinds)
    elif panel.regions:
        ax.set_xticks(
            [(first + last + 1) / 2 for first, last in panel.regions.values()],
            list(panel.regions),
            fontsize=5.2,
            rotation=35,
        )
        for first, _ in list(panel.regions.values())[1:]:
            ax.axvline(first, color=style.INK, linewidth=0.5)
    else:
        ax.set_xticks([])
