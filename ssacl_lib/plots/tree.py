"""The tree of the 32 nodes on given axes: chest in the middle, leaves around it, one colour per branch."""

from collections.abc import Mapping

import numpy as np

from ..anatomy import default_graph
from . import style

RING = (0.0, 0.7, 1.17, 1.62)
"""Radius of the graph's levels: chest, its four children, theirs, and the deepest leaves."""

NAME_SIDE = {
    "cardiac silhouette": (0.15, 0.4),
    "skeletal structures": (-0.8, -1),
    "chest": (-1.2, -0.9),
    "lungs": (-1, 0),
    "mediastinum": (-1.6, -1),
}
"""Where an inner node's name stands beside its dot (x, y); below it where nothing is said."""

LONG = 8
"""Letters. Beside a longer word a number would reach into the next node; it stands below it."""


def branch(node: str) -> str:
    """The child of the chest in which a node lies ("chest" for the chest)."""
    return _upwards(node)[-2:][0]


def _upwards(node: str) -> list[str]:
    """The node and what it lies in, up to the chest."""
    parent = default_graph().parent(node)
    return [node] if parent is None else [node, *_upwards(parent)]


def radial_layout() -> dict[str, tuple[float, float]]:
    """Angle (radians) and radius of every node: leaves evenly around the circle, a parent amid its leaves."""
    graph = default_graph()
    step = 2 * np.pi / len(graph.leaves)
    angle = {leaf: np.pi / 2 + 0.5 * step + i * step for i, leaf in enumerate(graph.leaves)}
    for parent in reversed(graph.parents):
        angle[parent] = float(np.mean([angle[leaf] for leaf in graph.leaves_below(parent)]))
    return {node: (angle[node], RING[graph.level(node)]) for node in graph.nodes}


def draw_tree(ax, values: Mapping[str, float] | None = None, chosen: str | None = None, size: float = 5.4) -> None:
    """The radial hierarchy on given axes; a number per node where `values` has one, one node set off where `chosen`."""
    graph, layout = default_graph(), radial_layout()
    place = {node: (r * np.cos(a), r * np.sin(a)) for node, (a, r) in layout.items()}
    for radius in RING[1:]:
        circle = np.linspace(0, 2 * np.pi, 200)
        ax.plot(radius * np.cos(circle), radius * np.sin(circle), color=style.PALE, linewidth=0.5, zorder=0)
    lit = {node for node in graph.nodes if chosen in _upwards(node)} if chosen else set(graph.nodes)
    for parent, child in graph.edges:
        ends = zip(place[parent], place[child], strict=True)
        alpha = 0.7 if {parent, child} <= lit else 0.25
        ax.plot(*ends, color=style.ANATOMY_COLOURS[branch(child)], linewidth=0.9, alpha=alpha, zorder=1)
    for node, (x, y) in place.items():
        leaf, colour = node in graph.leaves, style.ANATOMY_COLOURS[branch(node)]
        shown = node in lit
        marker = {"markersize": 3.6 if leaf else 5, "markerfacecolor": "white" if leaf else colour}
        ax.plot(x, y, "o", color=colour, markeredgewidth=0.9, alpha=1 if shown else 0.3, zorder=3, **marker)
        if node == chosen:
            ax.plot(x, y, "o", markersize=9, markerfacecolor="none", color=style.INK, markeredgewidth=1.1, zorder=4)
        number = "" if values is None or node not in values else f" {values[node]:.3g}"
        _name_node(ax, node, x, y, layout[node][0], number, size, 1 if shown else 0.35)
    ax.set_aspect("equal")
    ax.set_xlim(-2.85, 2.85)
    ax.set_ylim(-2.85, 2.85)
    style.bare(ax)


def _name_node(ax, node, x, y, angle, number, size, alpha) -> None:
    """A leaf's name runs outwards beyond the last ring, an inner node's name stands on a white ground beside it."""
    if node in default_graph().leaves:
        turned = np.cos(angle) < 0
        rim = RING[-1] + 0.1
        if np.hypot(x, y) < RING[-1] - 0.01:
            ends = ([x, rim * np.cos(angle)], [y, rim * np.sin(angle)])
            ax.plot(*ends, ":", color=style.GREY, linewidth=0.5, alpha=alpha, zorder=1)
        ax.text(rim * np.cos(angle), rim * np.sin(angle), node + number, fontsize=size, alpha=alpha, va="center",
                ha="right" if turned else "left", rotation=np.degrees(angle) + (180 if turned else 0),
                rotation_mode="anchor")  # fmt: skip
    else:
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85}
        right, up = NAME_SIDE.get(node, (0, -1))
        if len(node.split()[-1]) > LONG:
            number = number.replace(" ", "\n")
        align = {
            "ha": "right" if right == -1 else "center",
            "va": "bottom" if up > 0 else "top" if up < 0 else "center",
        }
        ax.text(
            x + 0.12 * right,
            y + 0.11 * up,
            node.replace(" ", "\n") + number,
            fontsize=size + 0.3,
            bbox=ground,
            **align,
            fontweight="bold",
            linespacing=1.0,
            color=style.ANATOMY_COLOURS[branch(node)],
            alpha=alpha,
            zorder=2,
        )
