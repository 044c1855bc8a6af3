"""Figure of domain randomisation: what each family of disturbances brings to SS-ACL+ on real films and on moved phantom films."""

import pandas as pd
from matplotlib.figure import Figure

from ..evaluation.films import REGIONS
from ..evaluation.randomisation import MOVED, NONE, REAL, VARIANTS
from . import style

PANELS = (
    (REAL, "pointing", REGIONS, "real films\npointing"),
    (REAL, "cnr", REGIONS, "real films\ncontrast-to-noise ratio"),
    (MOVED, "pointing", ("mean of leaves",), "phantom films, moved\npointing, mean of leaves"),
)
"""Films, metric, nodes and title of each panel."""

LOOKS: dict[str, dict] = {
    "right lung": {"colour": style.BLUE, "marker": "o"},
    "left lung": {"colour": style.ORANGE, "marker": "D"},
    "mean of leaves": {"colour": style.GREEN, "marker": "o"},
}


def randomisation(table: pd.DataFrame) -> Figure | str:
    """Forest plot: a row per variant; right and left lung on real films, mean of leaves on moved ones, with 95 % intervals.

    table: families, films, node, metric, value, low, high. Lines mark what the head has without disturbances.
    """
    if not len(table):
        return "domain randomisation was not measured: `ssacl randomise --films DIR`"
    order = [name for name in VARIANTS if name in set(table["families"])]
    figure = style.new_figure(style.DOUBLE, 26 + 5 * len(order))
    axes = figure.subplots(1, len(PANELS), sharey=True)
    for ax, (films, metric, nodes, title) in zip(axes, PANELS, strict=True):
        part = table[(table["films"] == films) & (table["metric"] == metric)]
        for k, node in enumerate(nodes):
            rows = part[part["node"] == node].set_index("families").reindex(order)
            shift = 0.3 * (k - (len(nodes) - 1) / 2)
            places = [place + shift for place in range(len(order))]
            style.intervals(
                ax, places, rows["value"], rows["low"], rows["high"], markersize=3, label=node, **LOOKS[node]
            )
            if NONE in order:
                ax.axvline(rows["value"][NONE], color=LOOKS[node]["colour"], linewidth=0.5, linestyle=":")
        ax.set_title(title, fontsize=6.5)
        ax.grid(axis="x")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    axes[0].set_yticks(range(len(order)), order)
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    return figure
