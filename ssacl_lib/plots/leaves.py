"""Figures of one leaf at a time: what probes read from a leaf's token, and what a report says behind one open leaf."""

import pandas as pd
from matplotlib.figure import Figure

from ..evaluation import one_leaf as measured, probe as probes
from . import style

PROBE_COLOURS = {
    **dict.fromkeys((probes.OWN, probes.MIRROR, probes.ANOTHER, probes.ABDOMEN), style.BLUE),
    **dict.fromkeys((probes.LOOK, probes.MIRROR_LOOK, probes.REGION), style.GREEN),
    **dict.fromkeys((probes.EARLY, probes.MIRROR_EARLY), style.ORANGE),
}
"""Leaf tokens, what is looked at after attention, and before; controls are grey."""

OWN_SOURCES = (probes.OWN, probes.LOOK, probes.REGION, probes.EARLY)

PAIRS = (
    (probes.OWN, probes.MIRROR),
    (probes.OWN, probes.ANOTHER),
    (probes.OWN, probes.ABDOMEN),
    (probes.LOOK, probes.MIRROR_LOOK),
    (probes.LOOK, probes.EVERYWHERE),
    (probes.EARLY, probes.MIRROR_EARLY),
)
"""The differences that are drawn: the first source's AUC minus the second's."""

CONDITION_MARKS = {
    measured.OWN: ("o", style.BLUE),
    measured.MIRROR: ("D", style.ORANGE),
    measured.OUTSIDE: ("s", style.GREEN),
    measured.FOREIGN: ("v", style.RED),
    measured.NONE: ("x", style.GREY),
    measured.ALL: ("^", style.INK),
}


def probe(table: pd.DataFrame) -> Figure | str:
    """Mean AUC over the leaves per source (filled: of the own leaf), and differences between sources, paired by patient.

    table: leaf, source, metric, value, low, high.
    """
    if not len(table):
        return "probes were not asked: `ssacl probe`"
    means = table[table["leaf"] == probes.MEAN].set_index(["source", "metric"])
    figure = style.new_figure(style.DOUBLE, 72)
    left, right = figure.subplots(1, 2, width_ratios=(1, 0.9))
    order = [source for source in probes.SOURCES if (source, "auc") in means.index]
    for place, source in enumerate(order):
        row, colour = means.loc[(source, "auc")], PROBE_COLOURS.get(source, style.GREY)
        face = {} if source in OWN_SOURCES else {"markerfacecolor": "white"}
        style.intervals(left, [place], [row["value"]], [row["low"]], [row["high"]], colour=colour, **face)
    left.axvline(0.5, color=style.INK, linewidth=0.6)
    left.set_yticks(range(len(order)), order)
    left.set_title("is there an opacity in this leaf?\n(filled: read from its own place)", fontsize=6.5)
    left.set_xlabel("AUC, mean of eight leaves")
    for place, (source, rival) in enumerate(PAIRS):
        row = means.loc[(source, f"auc minus {rival}")]
        style.intervals(right, [place], [row["value"]], [row["low"]], [row["high"]],
                        colour=PROBE_COLOURS[source], marker="D")  # fmt: skip
    right.axvline(0, color=style.INK, linewidth=0.6)
    right.set_yticks(range(len(PAIRS)), [f"{source}\nminus {rival.split(',')[0]}" for source, rival in PAIRS])
    right.set_title("own place minus another\n(above 0: sight of the own place)", fontsize=6.5)
    right.set_xlabel("difference, paired by patient")
    for ax in (left, right):
        ax.grid(axis="x")
        ax.invert_yaxis()
    return figure


def one_leaf(table: pd.DataFrame) -> Figure | str:
    """Shares of reports that name the finding, and that place one in the leaf, per decoder and open leaf; own minus mirror.

    table: learnt, prompts, opened, metric, value, low, high.
    """
    if not len(table):
        return "one leaf at a time was not measured: `ssacl one-leaf`"
    order = list(dict.fromkeys(zip(table["learnt"], table["prompts"], strict=True)))
    rows = table.set_index(["learnt", "prompts", "opened", "metric"])
    figure = style.new_figure(style.DOUBLE, 26 + 12 * len(order))
    axes = figure.subplots(1, 3, sharey=True, width_ratios=(1, 1, 0.8))
    shifts = {condition: 0.13 * (k - 2.5) for k, condition in enumerate(CONDITION_MARKS)}
    for ax, metric in zip(axes, ("named", "zone"), strict=False):
        for condition, (mark, colour) in CONDITION_MARKS.items():
            for place, key in enumerate(order):
                if (*key, condition, metric) not in rows.index:
                    continue
                row = rows.loc[(*key, condition, metric)]
                style.intervals(ax, [place + shifts[condition]], [row["value"]], [row["low"]], [row["high"]],
                                colour=colour, marker=mark, markersize=3)  # fmt: skip
    for metric, mark, shift, face in (("named", "o", -0.12, {}), ("zone", "s", 0.12, {"markerfacecolor": "white"})):
        for place, key in enumerate(order):
            row = rows.loc[(*key, measured.MIRROR, f"{metric}_own_minus_this")]
            style.intervals(axes[2], [place + shift], [row["value"]], [row["low"]], [row["high"]],
                            colour=style.PURPLE, marker=mark, markersize=3, **face)  # fmt: skip
        label = {"named": "names the finding", "zone": "places one in the leaf"}[metric]
        axes[2].plot([], [], mark, color=style.PURPLE, markersize=3, label=label, **face)
    for condition, (mark, colour) in CONDITION_MARKS.items():
        axes[0].plot([], [], mark, color=colour, markersize=3, label=condition)
    figure.legend(loc="outside lower center", ncols=4)
    axes[0].set_title("report names\nthe finding", fontsize=6.5)
    axes[1].set_title("report places an opacity\nin the leaf", fontsize=6.5)
    axes[2].set_title("own minus mirror leaf\n(0: the mirror says as much)", fontsize=6.5)
    axes[2].axvline(0, color=style.INK, linewidth=0.6)
    axes[2].set_xlabel("difference of shares")
    for ax in axes[:2]:
        ax.set_xlabel("share of reports")
    for ax in axes:
        ax.grid(axis="x")
        for place in range(1, len(order)):
            ax.axhline(place - 0.5, color=style.PALE, linewidth=0.4)
    axes[0].set_yticks(range(len(order)), [_decoder(*key) for key in order])
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    return figure


def _decoder(learnt: str, prompts: str) -> str:
    """What a row's decoder is called."""
    if learnt == "shipped":
        return f"shipped:\n{prompts}"
    return f"{prompts},\nlearnt with {'all leaves' if learnt == 'all' else 'leaves by chance'}"
