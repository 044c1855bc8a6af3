"""Figures of the explorer that show maps: a phrase beside its controls, a node of the tree, models side by side."""

from collections.abc import Collection, Mapping

import numpy as np
from matplotlib.figure import Figure

from ..evaluation.node_views import NodeView
from ..evaluation.phrase_rivals import Rival
from ..evaluation.phrase_views import OWN, Reading, View
from . import style
from .explorer import finding_bars, place, sheet, tree
from .pretraining import OUTLINE

KIND_TITLES = {"masked": "masked evidence (ours)", "similarity": "similarity"}


def phrase(views: Mapping[str, View], readings: Mapping[str, Reading]) -> Figure:
    """A phrase and its controls in columns, kinds of map in rows; under each its likeness to the own phrase's map, pointing, CNR.

    Each map from its minimum to its maximum; blue: the region in which the phrase is true of the film.
    """
    side = min(34.0, (style.DOUBLE - 6) / len(views) - 1.5)
    row_height = side + 12
    figure = sheet(style.DOUBLE, 11 + row_height * len(readings))
    for row, (kind, reading) in enumerate(readings.items()):
        for column, (control, view) in enumerate(views.items()):
            ax = place(figure, 5 + column * (side + 1.5), 9 + row * row_height, side, side)
            shown = style.heat_over_film(ax, view.image, style.scaled(view.maps[kind]))
            if view.mask is not None:
                style.outline(ax, view.mask, style.SKY, 0.9)
            if row == 0:
                ax.set_title(
                    f"{control}\n{style.wrap(f'“{view.text}”', 34)}", fontsize=5.8, loc="left", fontweight="normal"
                )
            if column == 0:
                ax.set_ylabel(KIND_TITLES[kind], fontsize=6.5)
            passed = reading.controls[control][0] if control != OWN else None
            mark = "" if passed is None else "passes" if passed else "FAILS"
            ax.set_xlabel("\n".join(part for part in (mark, _numbers(view, kind, control)) if part), fontsize=5.8,
                          color=style.INK if passed is not False else style.RED, labelpad=2)  # fmt: skip
    beside = place(
        figure, 5, 6 + row_height * len(readings), side, 1.4
    )  # below the own phrase's map, which has the least to say
    bar = style.colour_bar(figure, shown, ax, "", (0, 1), cax=beside, orientation="horizontal")
    bar.set_ticklabels(["minimum", "maximum"], fontsize=5.2)
    return figure


def _numbers(view: View, kind: str, control: str) -> str:
    parts = [] if control == OWN else [f"likeness {view.likeness[kind]:.2f}"]
    scores = view.scores[kind]
    if scores:
        hit = "hit" if scores["pointing"] > 0.5 else "miss"
        parts.append(f"{hit}, CNR {scores['cnr']:.2f}")
    return "\n".join(parts)


def node(image: np.ndarray, views: Mapping[str, NodeView], opened: Collection[str] = ()) -> Figure:
    """One node's prompt on a film, by one model or by several: attention, and where SS-ACL+ looks where the model has it.

    Green: the true region. The tree has the chosen node set off, and filled what the findings open.
    """
    chosen = next(iter(views.values())).node
    panels = [(name, view, "attention") for name, view in views.items()]
    panels += [(name, view, "look") for name, view in views.items() if view.look is not None]
    side, columns = (42.0, 2) if len(panels) < 3 else (30.0, 3)
    figure = sheet(style.DOUBLE, max(88, 8 + (side + 15) * -(-len(panels) // columns)))
    ax = place(figure, 1, 6, 44, 80)
    ax.set_title("Anatomy (filled: open)", fontsize=6.5)
    tree(ax, opened, chosen)
    for number, (name, view, kind) in enumerate(panels):
        row, column = divmod(number, columns)
        left, top = 49 + column * (side + 13), 8 + row * (side + 15)
        ax, beside = place(figure, left, top, side, side), place(figure, left + side + 1, top + 4, 1.3, side - 8)
        if kind == "attention":
            style.attention_bar(figure, style.attention_over_film(ax, image, view.attention), ax, cax=beside)
        else:
            heat = style.heat_over_film(ax, image, style.scaled(view.look))
            style.colour_bar(figure, heat, ax, "minimum to maximum", (0, 1), cax=beside)
        _outlined(ax, view, f"{name}: {'attention' if kind == 'attention' else 'where SS-ACL+ looks'}", kind)
    return figure


def _outlined(ax, view: NodeView, title: str, kind: str) -> None:
    if view.mask is not None:
        style.outline(ax, view.mask, OUTLINE, 0.9)
    ax.set_title(style.wrap(title, 42), fontsize=6.2, loc="left", fontweight="normal", pad=2)
    told = []
    if kind in view.scores:
        share, contrast = view.scores[kind]
        told.append(f"pointing {share:.2f}, CNR {contrast:.2f}")
    if kind == "attention":
        alike = "" if view.likeness is None else f", likeness {view.likeness:.2f}"
        told.append(f"entropy {view.entropy:.2f}{alike}")
    ax.set_xlabel("\n".join(told), fontsize=6, labelpad=2)


def rivals(
    image: np.ndarray, mask: np.ndarray | None, found: Mapping[str, Rival], thresholds: np.ndarray, phrase: str
) -> Figure:
    """One phrase by several models and by maps that read no phrase; below, the findings of those whose head was fitted."""
    columns = len(found)
    side = min(36.0, (style.DOUBLE - 2) / columns - 1.5)
    heads = {name: rival.findings for name, rival in found.items() if rival.findings is not None}
    figure = sheet(style.DOUBLE, side + 22 + (53 if heads else 0))
    for column, (name, rival) in enumerate(found.items()):
        ax = place(figure, 1 + column * (side + 1.5), 8, side, side)
        shown = style.heat_over_film(ax, image, style.scaled(rival.heatmap))
        if mask is not None:
            style.outline(ax, mask, style.SKY, 0.9)
        ax.set_title(style.wrap(name, 26), fontsize=6.2, loc="left", pad=2)
        score = (
            f"{'hit' if rival.scores['pointing'] > 0.5 else 'miss'}, CNR {rival.scores['cnr']:.2f}\n"
            if rival.scores
            else ""
        )
        ax.set_xlabel(f"{score}likeness when swapped {rival.other:.2f}", fontsize=6, labelpad=2)
    style.colour_bar(
        figure,
        shown,
        ax,
        "",
        (0, 1),
        cax=place(figure, style.DOUBLE - 26, side + 19, 24, 1.4),
        orientation="horizontal",
    )
    figure.text(
        0.006, 1 - 2.5 * style.MILLIMETRE / figure.get_size_inches()[1], f"“{style.wrap(phrase, 90)}”", fontsize=6.8
    )
    if heads:
        bars = place(figure, 40, side + 23, 70, 41)
        finding_bars(bars, heads, thresholds)
        bars.legend(loc="upper left", bbox_to_anchor=(1.05, 1), fontsize=6)
    return figure
