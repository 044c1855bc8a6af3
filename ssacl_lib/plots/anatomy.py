"""Figures of notebook 01: films, regions, findings, the anatomy graph, the phantom's likeness and difficulty."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..anatomy import ANATOMIES, default_graph, findings_for
from ..observations import FINDINGS
from . import style
from .tree import branch, draw_tree

NO_MASKS = "this data set has no masks of the 32 nodes"


def films(images: np.ndarray, titles: Sequence[str], columns: int = 4) -> Figure:
    """A sheet of films [n, H, W] uint8 with a title each (what the patient has)."""
    rows = -(-len(images) // columns)
    figure = style.new_figure(style.DOUBLE, 48 * rows * 4 / columns)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for ax in axes[len(images) :]:
        ax.set_visible(False)
    for ax, image, title in zip(axes, images, titles, strict=False):
        style.show_film(ax, image, style.wrap(title, 148 // columns))
    return figure


def regions(image: np.ndarray, masks: Mapping[str, np.ndarray]) -> Figure | str:
    """The regions of one film [H, W] uint8: all 32 nodes in graph order, or the few that a data set of real films has.

    masks: node -> [H, W] bool.
    """
    if not has_all_nodes(masks):
        return _few_regions(image, masks) if masks else NO_MASKS
    figure = style.new_figure(style.DOUBLE, 108)
    for ax, node in zip(figure.subplots(4, 8).ravel(), default_graph().nodes, strict=True):
        colour = style.ANATOMY_COLOURS[branch(node)]
        shade = {"chest": style.GREY, "lungs": style.SKY}.get(branch(node), colour)  # seen on black as well
        style.show_film(ax, image)
        _fill(ax, masks[node], shade)
        style.outline(ax, masks[node], shade, 0.8)
        ax.set_title(style.wrap(node, 17), fontsize=5.6, fontweight="normal", loc="center", pad=2, color=colour)
    return figure


def has_all_nodes(masks: Mapping[str, np.ndarray]) -> bool:
    """Has the data set a mask of each of the 32 nodes?"""
    return all(node in masks for node in default_graph().nodes)


def _few_regions(image: np.ndarray, masks: Mapping[str, np.ndarray]) -> Figure:
    figure = style.new_figure(style.SINGLE, 85)
    ax = figure.subplots()
    style.show_film(ax, image)
    for number, (node, mask) in enumerate(masks.items()):
        style.outline(ax, mask, (style.SKY, style.ORANGE, style.PINK)[number % 3], 1.2)
        rows, columns = np.nonzero(mask)
        if rows.size:
            ax.text(columns.mean(), rows.mean(), node, color="white", fontsize=7, ha="center")
    return figure


def findings_gallery(shown: Sequence[tuple[np.ndarray, np.ndarray, str]] | None) -> Figure | str:
    """One film per finding with the contour of its extent: (image [H, W] uint8, extent [H, W] bool, title) each.

    The first line of a title is the finding, the second one says where and how strong.
    """
    if not shown:
        return "this data set has no generator behind it, so no sign has a known extent"
    columns = 5
    rows = -(-len(shown) // columns)
    figure = style.new_figure(style.DOUBLE, 42 * rows)
    figure.get_layout_engine().set(hspace=0.16, h_pad=0.03, rect=(0, 0, 1, 0.965))
    axes = figure.subplots(rows, columns).ravel()
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    for ax, (image, mask, title) in zip(axes, shown, strict=False):
        style.show_film(ax, image)
        style.outline(ax, mask, style.SKY, 0.9)
        name, _, detail = title.partition("\n")
        for words, height, text in (
            (name, 1.09, {"fontsize": 5.7, "fontweight": "bold"}),
            (detail, 1.015, {"fontsize": 5.6}),
        ):
            ax.text(0, height, words, transform=ax.transAxes, va="bottom", **text).set_in_layout(False)
    return figure


def anatomy_graph() -> Figure:
    """The 32 nodes as a radial hierarchy (edge = lies inside), and which finding selects which anatomy."""
    figure = style.new_figure(style.DOUBLE, 108)
    tree, mapping = figure.subplots(1, 2, width_ratios=(1.7, 1))
    draw_tree(tree)
    tree.set_title("32 nodes, 25 leaves")
    mapping.set_title("Which finding opens which anatomy")
    height = np.linspace(1, 0, len(FINDINGS))
    target = dict(zip(ANATOMIES, np.linspace(0.86, 0.14, len(ANATOMIES)), strict=True))
    for anatomy, y in target.items():
        colour = style.ANATOMY_COLOURS[anatomy]
        for finding in findings_for(anatomy):
            start = height[FINDINGS.index(finding)]
            bend = np.linspace(0, 1, 40)
            ease = bend * bend * (3 - 2 * bend)
            mapping.plot(1 - bend, start + (y - start) * ease, color=colour, linewidth=0.9, alpha=0.75)
        count = len(default_graph().leaves_below(anatomy))
        leaves = f"{count} leaves" if count > 1 else "a leaf itself"
        mapping.text(
            -0.04, y, f"{anatomy}\n{leaves}", ha="right", va="center", fontsize=6.5, color=colour, linespacing=1.3
        )
    for finding, y in zip(FINDINGS, height, strict=True):
        mapping.text(1.04, y, finding, va="center", fontsize=6.3)
    mapping.set_xlim(-0.75, 2.0)
    mapping.set_ylim(-0.06, 1.06)
    style.bare(mapping)
    return figure


def restored_values(values: Mapping[str, float]) -> Figure:
    """One number per node on the radial hierarchy, and each parent's mean of its children written out."""
    figure = style.new_figure(style.DOUBLE, 104)
    tree, sums = figure.subplots(1, 2, width_ratios=(1.5, 1))
    draw_tree(tree, values, size=5)
    style.bare(sums)
    graph = default_graph()
    for row, parent in enumerate(reversed(graph.parents)):
        children = [f"{values[child]:.4g}" for child in graph.children(parent)]
        place = 0.93 - row * 0.135
        sums.text(0, place, parent, fontweight="bold", color=style.ANATOMY_COLOURS[branch(parent)])
        words = f"mean of {', '.join(children)}\n= {values[parent]:.6g}"
        sums.text(0, place - 0.015, words, va="top", fontsize=6.2, linespacing=1.4)
    return figure


def node_explorer(image: np.ndarray, masks: Mapping[str, np.ndarray], node: str) -> Figure | str:
    """One node: its place in the tree, and its region and its children's on a film; masks: node -> [H, W] bool.

    A node without children has its region in the colour of its branch.
    """
    if not has_all_nodes(masks):
        return NO_MASKS
    graph = default_graph()
    figure = style.new_figure(style.DOUBLE, 100)
    tree, film = figure.subplots(1, 2, width_ratios=(1.25, 1))
    draw_tree(tree, chosen=node, size=5)
    style.show_film(film, image)
    colours = (style.SKY, style.ORANGE, style.GREEN, style.PINK, style.YELLOW, style.BROWN, style.PURPLE)
    drawn = list(zip(graph.children(node), colours, strict=False)) or [(node, style.ANATOMY_COLOURS[branch(node)])]
    for region, colour in drawn:
        _fill(film, masks[region], colour)
        style.outline(film, masks[region], colour, 0.7)
    style.outline(film, masks[node], "white", 1.4)
    words = ", ".join(graph.synonyms[node][:3])
    film.set_title(f"{node} (white): {100 * masks[node].mean():.1f} % of the film")
    film.set_xlabel(style.wrap(f"also called: {words}" if words else "no other name in the graph", 60), fontsize=6.5)
    patches = [Patch(facecolor=to_rgba(colour, 0.5), edgecolor=colour, label=region) for region, colour in drawn]
    if graph.children(node):
        figure.legend(handles=patches, loc="outside lower right", ncols=3, fontsize=6)
    return figure


def _fill(ax, mask, colour, alpha: float = 0.38) -> None:
    """A mask as a translucent patch of colour."""
    layer = np.zeros((*np.shape(mask), 4))
    layer[np.asarray(mask, bool)] = to_rgba(colour, alpha)
    ax.imshow(layer, interpolation="nearest")


def film_statistics(measured: tuple[pd.DataFrame, pd.DataFrame] | None) -> Figure | str:
    """The data set's films against real ones: grey levels and radial power spectrum.

    measured: two tables with a column source. Grey levels: grey (0..255), share, low, high. Spectrum: frequency (cycles
    per image side), power, low, high. low and high span the middle 90 % of films. None: nothing to compare with.
    """
    if measured is None:
        return "no statistics of real films are stored for this image size"
    grey, spectrum = measured
    figure = style.new_figure(style.DOUBLE, 62)
    left, right = figure.subplots(1, 2)
    for ax, frame, x, y in ((left, grey, "grey", "share"), (right, spectrum, "frequency", "power")):
        for source, part in frame.groupby("source", sort=True):
            colour = style.ORANGE if source == "real films" else style.BLUE
            ax.fill_between(part[x], part["low"], part["high"], color=colour, alpha=0.2, linewidth=0)
            ax.plot(part[x], part[y], color=colour, label=source)
    left.set_xlabel("grey level (0 black, 255 white)")
    left.set_ylabel("share of pixels per grey level")
    left.legend()
    right.set(xscale="log", yscale="log")
    right.set_xlabel("spatial frequency (cycles per image side)")
    right.set_ylabel("power (mean of a film = 1)")
    left.set_title("Grey levels")
    right.set_title("Radial power spectrum")
    return figure


def difficulty(table: pd.DataFrame) -> Figure | str:
    """AUC of a supervised network per finding with 95 % intervals: columns finding, metric, value, low, high."""
    table = table[table["metric"] == "auc"]
    if not len(table):
        return "the difficulty is a property of the phantom; this is another data set"
    mean = table[table["finding"] == "mean of findings"]
    rows = table[table["finding"] != "mean of findings"].sort_values("value").reset_index(drop=True)
    figure = style.new_figure(style.SINGLE, 72)
    ax = figure.subplots()
    ax.barh(rows.index, rows["value"] - 0.5, left=0.5, color=style.BLUE, alpha=0.35, height=0.7)
    style.intervals(ax, rows.index, rows["value"], rows["low"], rows["high"], colour=style.BLUE)
    ax.set_yticks(rows.index, rows["finding"])
    if len(mean):
        value, low, high = mean.iloc[0][["value", "low", "high"]]
        ax.axvspan(low, high, color=style.ORANGE, alpha=0.3, linewidth=0)
        ax.axvline(value, color=style.ORANGE)
        ax.set_title(f"Mean {value:.3f} [{low:.3f}, {high:.3f}]", color="#A86B00")
    ax.axvline(0.5, color=style.INK, linewidth=0.6)
    ax.set_xlim(min(0.4, np.nanmin(rows["low"]) - 0.02), 1.02)
    ax.set_xlabel("area under the ROC curve (0.5 = chance)")
    return figure
