"""Figures of notebook 02: the architecture, who attends to whom, loss curves, reconstructions, prompt attention."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from . import style

TERMS = {
    "image_reconstruction": "image reconstruction $L_{ir}$",
    "anatomy_reconstruction": "anatomy reconstruction $L_{ar}$",
    "global_contrastive": "global contrast $L_{cl}$",
    "anatomical_consistency": "anatomical consistency $L_{ac}$",
    "report_generation": "report generation $L_{lm}$",
    "report_labels": "findings read in the reports (ours)",
    "total": "weighted sum",
}
"""Names of the terms in training histories, in words."""

OUTLINE = style.GREEN
"""Colour of a true region's contour on attention maps."""

BOXES = {
    # part: (x, y, width, height, colour, title, words); {…} are filled from the model
    "film": (0.0, 3.0, 1.45, 0.62, style.PALE, "film", "{size} x {size} px"),
    "encoder.stem": (1.95, 2.9, 1.95, 0.82, style.SKY, "stem", "{stem}, {N} patches"),
    "encoder.blocks": (
        4.4,
        2.75,
        2.15,
        1.12,
        style.SKY,
        "visual encoder",
        "depth {depth}, width {D}\nqueries look, are not seen",
    ),
    "leaves": (0.0, 1.45, 1.45, 0.62, style.PALE, "25 leaf names", "words, no boxes"),
    "text": (1.95, 0.75, 1.95, 0.82, style.ORANGE, "text encoder $E_t$", "depth {text_layers}, width {Dt}"),
    "name_to_query": (4.4, 1.4, 2.15, 0.82, style.ORANGE, "query restoration", "25 leaves to 32 queries"),
    "report": (0.0, 0.25, 1.45, 0.62, style.PALE, "report", "free text"),
    "decoder": (7.2, 3.6, 2.15, 0.82, style.GREEN, "visual decoder", "depth {decoder_depth}"),
    "image_to_text": (7.2, 2.45, 2.15, 0.82, style.SKY, "image to text", "mean of the kept patches"),
    "head": (7.2, 1.3, 2.15, 0.82, style.BROWN, "finding head", "opens anatomies at test time"),
    "language": (7.2, 0.15, 2.15, 0.82, style.PURPLE, "language decoder", "depth {language_layers}, prefix of {L}"),
}

ARROWS = (
    ("film", "encoder.stem"), ("encoder.stem", "encoder.blocks"), ("leaves", "text"), ("report", "text"),
    ("text", "name_to_query"), ("name_to_query", "encoder.blocks"), ("encoder.blocks", "decoder"),
    ("encoder.blocks", "image_to_text"), ("encoder.blocks", "head"), ("encoder.blocks", "language"),
)  # fmt: skip

LOSS_NOTES = (
    (9.5, 4.2, "$L_{ir}$  hidden patches of the masked pass"),
    (9.5, 3.82, "$L_{ar}$  parents from their children"),
    (9.5, 2.86, "$L_{cl}$  image against report"),
    (9.5, 1.71, "no loss of the paper: ours, for inference"),
    (9.5, 0.56, "$L_{lm}$  next word of the report"),
    (4.4, 4.12, "$L_{ac}$  leaf tokens across patients"),
)


def architecture(parts: Mapping[str, tuple[str, int]], sizes: Mapping[str, object]) -> Figure:
    """The model as boxes with the class that each part is in the code and its number of parameters.

    parts: attribute of the model ("encoder.stem", "text", …) -> (class name, parameters).
    sizes: size, stem, N, depth, D, text_layers, Dt, decoder_depth, language_layers, L, total: what the boxes say.
    """
    figure = style.new_figure(style.DOUBLE, 80)
    ax = figure.subplots()
    for name, (x, y, width, height, colour, title, words) in BOXES.items():
        made, parameters = parts.get(name, ("", 0))
        box = FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0.03,rounding_size=0.08",
            linewidth=0.8,
            facecolor=_lighter(colour),
            edgecolor=style.INK if colour == style.PALE else colour,
        )
        ax.add_patch(box)
        lines = [words.format_map(sizes), f"{made}: {_count(parameters)}" if made else ""]
        ax.text(x + width / 2, y + height - 0.07, title, ha="center", va="top", fontsize=6.5, fontweight="bold")
        ax.text(x + width / 2, y + height - 0.31, "\n".join(filter(None, lines)), ha="center", va="top", fontsize=5.4,
                linespacing=1.35)  # fmt: skip
    for start, end in ARROWS:
        _arrow(ax, BOXES[start], BOXES[end])
    for x, y, words in LOSS_NOTES:
        ax.text(x, y, words, fontsize=6, va="center")
    ax.text(5.48, 0.5, f"{_count(sizes['total'])} parameters in all", ha="center", fontsize=6.5, fontweight="bold")
    ax.set_xlim(-0.1, 12.15)
    ax.set_ylim(0, 4.55)
    style.bare(ax)
    return figure


def _arrow(ax, start, end) -> None:
    """From the right (or upper) edge of one box to the nearest edge of another."""
    x0, y0, w0, h0 = start[:4]
    x1, y1, w1, h1 = end[:4]
    if x1 >= x0 + w0:
        tail, head = (x0 + w0 + 0.05, y0 + h0 / 2), (x1 - 0.05, y1 + h1 / 2)
    else:
        tail, head = (x0 + w0 / 2, y0 + h0 + 0.05), (x1 + w1 / 2, y1 - 0.05)
    ax.add_patch(FancyArrowPatch(tail, head, arrowstyle="-|>", mutation_scale=6, linewidth=0.7, color=style.INK,
                                 shrinkA=0, shrinkB=0, connectionstyle="arc3"))  # fmt: skip


def _lighter(colour: str) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return tuple(1 - (1 - part) * 0.22 for part in to_rgb(colour)) if colour != style.PALE else to_rgb("#F7F7F7")


def _count(parameters) -> str:
    """1234567 -> "1.23 M"."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if parameters >= size:
            return f"{parameters / size:.3g} {unit}"
    return str(parameters)


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
        ax.set_xticks(np.arange(-0.5, size), minor=True)
        ax.set_yticks(np.arange(-0.5, size), minor=True)
        ax.grid(which="minor", color="white", linewidth=1.2)
        ax.tick_params(which="both", length=0)
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

    With both, the axis of the images is logarithmic, for the shipped model has seen many more.
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
        ax.set_title(style.wrap(TERMS[term], 90 // columns, formulas=True), fontsize=6.5)
        ax.grid(axis="y")
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


def difference_panels(panels: Mapping[str, Mapping[str, object]], marks: Mapping[str, Mapping[str, str]]) -> Figure:
    """What each switch between paper and release changes: switch -> value -> `differences.Panel`, a row per switch.

    marks: switch -> value -> "default", "release" or both, written beside the value.
    """
    heights = [max(1.6, min(4.2, 0.55 * len(next(iter(values.values())).values))) for values in panels.values()]
    heights = [3.2 if name == "language_positions" else height for name, height in zip(panels, heights, strict=True)]
    figure = style.new_figure(style.DOUBLE, 14 * sum(heights))
    grid = figure.subplots(len(panels), 2, gridspec_kw={"height_ratios": heights})
    for row, (name, values) in zip(grid, panels.items(), strict=True):
        for ax, (value, panel) in zip(row, values.items(), strict=True):
            (_numbers if name == "language_positions" else _dependence)(ax, panel)
            mark = marks[name].get(value)
            ax.set_title(f"{name} = {value}" + (f"  ({mark})" if mark else ""), fontsize=7)
            ax.set_xlabel(panel.columns)
            ax.set_ylabel(panel.rows)
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
            fontsize=6,
            rotation=20,
        )
        for first, _ in list(panel.regions.values())[1:]:
            ax.axvline(first, color=style.INK, linewidth=0.5)
    else:
        ax.set_xticks([])
