"""The paper's teaser in our drawing: maps from boxes, maps from reports alone, and what takes the boxes' place."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle

from . import style
from .anatomy import NO_MASKS, has_all_nodes

BOXED = ("right lung", "left lung", "cardiac silhouette")
NESTED = ("chest", "lungs", "right lung", "right lower lung zone")
COLOURS = (style.YELLOW, style.SKY, style.ORANGE, style.GREEN)


def teaser(patients: list[tuple[np.ndarray, Mapping[str, np.ndarray]]], report: str) -> Figure | str:
    """Four panels: supervised, annotation-free, inclusion, consistency.

    patients: two films [H, W] uint8 with their masks, node -> [H, W] bool. report: of the first one.
    """
    if not all(has_all_nodes(masks) for _, masks in patients):
        return NO_MASKS
    (image, masks), (other, other_masks) = patients
    figure = style.new_figure(style.DOUBLE, 66)
    boxes, words, inside, alike = figure.subplots(1, 4)
    style.show_film(boxes, image)
    for node, colour in zip(BOXED, COLOURS, strict=False):
        rows, columns = (np.flatnonzero(masks[node].any(axis)) for axis in (1, 0))
        corner, size = (columns[0], rows[0]), (np.ptp(columns), np.ptp(rows))
        boxes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=1.2))
    style.show_film(words, image)
    style.show_film(inside, image)
    for node, colour in zip(NESTED, COLOURS, strict=True):
        style.outline(inside, masks[node], colour, 1.0)
    style.show_film(alike, other)
    style.outline(alike, other_masks[NESTED[-1]], COLOURS[-1], 1.2)
    ends = [np.argwhere(m[NESTED[-1]]).mean(0)[::-1] for m in (masks, other_masks)]
    figure.add_artist(
        ConnectionPatch(
            ends[0], ends[1], "data", "data", axesA=inside, axesB=alike, color=COLOURS[-1], arrowstyle="<->"
        )
    )
    told = (
        ("a  With annotations", "Readers draw boxes of regions and findings; a model learns from them."),
        ("b  From reports alone", f"“{' '.join(report.split())}”"),
        (
            "c  Inclusion",
            "A region lies in its parent, and the parent can be restored from its children: "
            + " < ".join(NESTED[::-1]),
        ),
        ("d  Consistency", f"“{NESTED[-1]}” is the same anatomy in every patient: its tokens are drawn together."),
    )
    for ax, (title, text) in zip((boxes, words, inside, alike), told, strict=True):
        ax.set_title(title, fontsize=7, loc="left")
        ax.set_xlabel(style.wrap(text[:150] + ("…”" if len(text) > 150 else ""), 36), fontsize=5.8, loc="left")
    return figure
