"""Figure of notebook 05 on SS-ACL's own trainings: their losses against what their maps are worth."""

from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure

from ..evaluation.comparison_trainings import MAPS
from . import style

TITLES = {kind: f"{kind}: CNR" for kind in MAPS}
MARKS = ((style.GREEN, "o"), (style.ORANGE, "^"), (style.PURPLE, "s"))
"""Of the kinds of kernels."""


def trainings(told: pd.DataFrame, comparison: pd.DataFrame, lines: tuple[str, ...]) -> Figure | str:
    """A dot per training of SS-ACL: total loss on validation films against the CNR of each map; lines: other methods' CNR.

    told: of `comparison_trainings.trainings`. comparison: of `comparison_tables.comparison_table`.
    """
    if not len(told):
        return "SS-ACL was not trained often enough: `ssacl ablation`"
    figure = style.new_figure(style.DOUBLE, 64)
    for ax, (kind, (part, detail, metric)) in zip(figure.subplots(1, len(MAPS)), MAPS.items(), strict=True):
        for (colour, marker), (kernels, rows) in zip(cycle(MARKS), told.groupby("kernels", sort=False), strict=False):
            ax.plot(rows["total"], rows[kind], marker, color=colour, markersize=3.4, label=f"trained with {kernels}")
        wanted = (comparison["part"] == part) & (comparison["detail"] == detail) & (comparison["metric"] == metric)
        values = comparison[wanted].set_index("method")["value"]
        for name, dashes in zip(lines, ("--", ":", "-."), strict=True):
            if name in values:
                ax.axhline(values[name], color=style.GREY, linestyle=dashes, linewidth=0.9, label=name)
        ax.set_title(TITLES[kind], fontsize=6.5)
        ax.set_xlabel("total loss on validation films, last step")
    figure.axes[0].set_ylabel("contrast-to-noise ratio")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=6)
    return figure
