"""Figures of notebook 06: numbers of encoders side by side, curves over labels and over levels of disturbance, masks, films."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..downstream.cases import MaskCase, Ranked
from ..downstream.classification import MEAN
from ..downstream.disturbances import AMOUNTS, UNDISTURBED
from ..downstream.encoders import PLUS, SUPERVISED
from ..downstream.robustness import LOOK
from ..downstream.robustness_tables import ABOVE, BELOW, LEVELS, TIED, standing
from . import style

NAMES = {"auc": "mean AUC of the findings (dotted: chance, 0.5)"}
"""A number's name on an axis."""

NOTHING = "nothing was measured yet: `ssacl downstream`"

COLOURS = {
    "untrained": style.GREY,
    "start": "#B5A000",
    "masked autoencoder": style.PURPLE,
    "contrast only": style.SKY,
    "MaCo-like": style.BLUE,
    "GLoRIA-like": style.PINK,
    "SS-ACL": style.GREEN,
    PLUS: "#00543F",
    "supervised CNN": style.RED,
    "centre prior": style.INK, "words atlas": style.INK, "chance": style.INK, "mean mask": style.INK, "nothing found": style.INK,
    "constant report": style.INK, "nearest training report": style.BROWN, "R2GenGPT-like": style.PURPLE,
    "PromptMRG-like": style.BLUE, "R2Gen-like": style.ORANGE,
}  # fmt: skip
"""One colour per encoder; who needs no training or no film is drawn in black."""

MARKERS = {
    "start": "D", "masked autoencoder": "v", "contrast only": "s", "MaCo-like": "^", "GLoRIA-like": "P",
    "SS-ACL": "o", PLUS: "*", SUPERVISED: "X",
}  # fmt: skip
"""The mark of an encoder on its line: what colours alone might not tell apart. Others get a dot, floors none."""

CHANCE = {"auc": 0.5}
"""A number's value by chance, where that is the same for every row."""

DASHED = {"untrained": "--", "chance": "--", "centre prior": ":", "words atlas": (0, (7, 2)),
          "constant report": (0, (3, 1, 1, 1, 1, 1))}  # fmt: skip
"""What is not trained, or sees no film, in dashes that tell black lines apart."""

WRITERS = ("PromptMRG-like", "R2Gen-like", "R2GenGPT-like")
"""Who writes reports and aligns no text: dash-dotted, for there are fewer colours than methods."""

CURVES = (
    ("mean of findings", "auc", "findings:\nmean AUC"),
    ("masked map", "pointing", "phrases, masked\nmap: pointing"),
    (LOOK, "pointing", "leaves, head that\nlooks: pointing"),
    ("reports", "micro_f1_13", "reports:\nmicro F1 of 13"),
)
"""detail, metric, title of the rows of `robustness`."""


def colour_of(method: str) -> str:
    """The colour of an encoder; one from outside gets one of its own by its name."""
    return COLOURS.get(method) or style.method_colour(method)


def encoders(table: pd.DataFrame, panels: Sequence[tuple[str, str, str, str]]) -> Figure | str:
    """Dots with intervals: a row per encoder, a panel per number.

    table: columns of downstream/tables.py. panels: (setting, detail, metric, title). Filled: several training seeds.
    """
    wanted = {panel[:3] for panel in panels}
    keys = zip(table["setting"], table["detail"], table["metric"], strict=True)
    table = table.loc[[key in wanted for key in keys]]
    if not len(table):
        return NOTHING
    order = list(dict.fromkeys(table["method"]))
    figure = style.new_figure(style.DOUBLE, 22 + 4.8 * len(order))
    one = len({metric for *_, metric, _ in panels}) == 1  # one number throughout: one axis, so that panels compare
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True, sharex=one))
    for ax, (setting, detail, metric, title) in zip(axes, panels, strict=True):
        rows = table[(table["setting"] == setting) & (table["detail"] == detail) & (table["metric"] == metric)]
        for row in rows.itertuples():
            face = {} if row.runs > 1 else {"markerfacecolor": "white"}
            style.intervals(ax, [order.index(row.method)], [row.value], [row.low], [row.high], markersize=3.4,
                            colour=colour_of(row.method), marker="s" if row.annotated else "o", **face)  # fmt: skip
        ax.set_title(title, fontsize=6.3)
        ax.grid(axis="x")
        if metric in CHANCE:
            ax.axvline(CHANCE[metric], color=style.INK, linewidth=0.7, linestyle=":")
        ax.tick_params(axis="x", labelsize=5.5)
        for place in range(1, len(order)):
            ax.axhline(place - 0.5, color=style.PALE, linewidth=0.4)
    axes[0].set_yticks(range(len(order)), order)
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    if one:
        figure.supxlabel(NAMES.get(panels[0][2], panels[0][2]), fontsize=6.5)
    return figure


def label_efficiency(
    table: pd.DataFrame, ways: Sequence[str] = ("probe", "full"), aim: tuple[float, str] | None = None
) -> Figure | str:
    """Mean AUC over the share of the labels, a panel per way, a line with its band per encoder.

    table: setting "WAY SHARE %", detail, method, metric "auc"; single findings are left out. aim: a height with its name, drawn
    as a dotted line and named in the legend, where it covers no curve.
    """
    told = table["setting"].str.extract(r"^(?P<way>\w+) (?P<share>[\d.]+) %$")
    table = table.assign(way=told["way"], share=told["share"].astype(float))
    table = table[
        table["way"].isin(ways) & (table["metric"] == "auc") & (table["detail"] == MEAN) & table["value"].notna()
    ]
    if not len(table):
        return NOTHING
    ways = [way for way in ways if (table["way"] == way).any()]
    order = list(dict.fromkeys(table["method"]))
    figure = style.new_figure(style.DOUBLE, 88)
    for ax, way in zip(np.atleast_1d(figure.subplots(1, len(ways), sharey=True)), ways, strict=True):
        shares = sorted(table.loc[table["way"] == way, "share"].unique())
        for number, method in enumerate(order):
            rows = table[(table["way"] == way) & (table["method"] == method)].sort_values("share")
            at = rows["share"] * 1.012 ** (number - len(order) / 2)  # bars of one share stand side by side
            _line(ax, at, rows, method)
        if aim is not None:
            ax.axhline(aim[0], color=style.INK, linewidth=0.7, linestyle=":")
        ax.set_xscale("log")
        ax.set_xticks(shares, [f"{share:g}" for share in shares])
        ax.minorticks_off()
        ax.set_xlabel("share of the labels (%)")
        ax.set_title({"probe": "linear probe on frozen features", "full": "the whole encoder learns on"}.get(way, way),
                     fontsize=6.5)  # fmt: skip
        ax.grid(axis="y")
    figure.axes[0].set_ylabel("mean AUC of the findings")
    _legend(figure, order, aim[1] if aim else "")
    return figure


def dashes_of(method: str) -> str:
    """How its line is drawn."""
    return DASHED.get(method, "-." if method in WRITERS else "-")


def _line(ax, at, rows: pd.DataFrame, method: str, width: float = 1.0) -> None:
    """A line through values, with thin bars for their intervals."""
    colour = colour_of(method)
    ax.vlines(at, rows["low"], rows["high"], color=colour, linewidth=0.6, alpha=0.6)
    ax.plot(at, rows["value"], linestyle=dashes_of(method), linewidth=width, color=colour, **_mark(method))


def _mark(method: str) -> dict:
    if method in DASHED:
        return {"marker": ""}  # marks between dashes would look like a dash-dotted line
    mark = MARKERS.get(method, "o")
    size = {"o": 2.2, "*": 4.6}.get(mark, 3.2)
    return {"marker": mark, "markersize": size, "markeredgewidth": 0.3, "markeredgecolor": "white"}


def _legend(figure: Figure, methods: Sequence[str], dotted: str = "") -> None:
    """The lines' names below the panels; dotted: that of a dotted line, if there is one."""
    ax = figure.axes[0]
    lines = [
        ax.plot(
            [], [], linestyle=dashes_of(method), color=colour_of(method), linewidth=1.2, label=method, **_mark(method)
        )[0]
        for method in methods
    ]
    lines += ax.plot([], [], ":", color=style.INK, linewidth=0.7, label=dotted) if dotted else []
    figure.legend(
        handles=lines, loc="outside lower center", ncols=5, fontsize=5.8, handlelength=3.2
    )  # so that dashes show


def robustness(table: pd.DataFrame, curves: Sequence[tuple[str, str, str]] = CURVES) -> Figure | str:
    """Numbers over the level of disturbance: a row per number, a column per family, a line per method.

    table: family, level, detail, method, metric, value, low, high; level 0 (of the family "undisturbed") begins every line.
    """
    wanted = {curve[:2] for curve in curves}
    keys = zip(table["detail"], table["metric"], strict=True)
    table = table.loc[[key in wanted for key in keys]]
    families = [family for family in AMOUNTS if (table["family"] == family).any()]
    if not families:
        return NOTHING
    curves = [c for c in curves if ((table["detail"] == c[0]) & (table["metric"] == c[1])).any()]
    figure = style.new_figure(style.DOUBLE, 24 + 31 * len(curves))
    axes = figure.subplots(len(curves), len(families), sharex=True, sharey="row", squeeze=False)
    methods: list[str] = []
    for row, (detail, metric, title) in zip(axes, curves, strict=True):
        part = table[(table["detail"] == detail) & (table["metric"] == metric)]
        for ax, family in zip(row, families, strict=True):
            there = part[part["family"].isin([family, UNDISTURBED])]
            for method in dict.fromkeys(there["method"]):
                rows = there[there["method"] == method].sort_values("level")
                if len(rows) > 1:
                    _line(ax, rows["level"], rows, method, 1.4 if method == "SS-ACL" else 0.8)
                    methods.append(method)
            ax.grid(axis="y")
            ax.tick_params(labelsize=5.5)
            if not (part["family"] == family).any():
                ax.text(0.5, 0.5, "not asked", transform=ax.transAxes, ha="center", fontsize=5.5)
        row[0].set_ylabel(title, fontsize=6)
    for ax, family in zip(axes[0], families, strict=True):
        ax.set_title(style.wrap(family, 12), fontsize=6.3)
    for ax in axes[-1]:
        ax.set_xticks(range(len(next(iter(AMOUNTS.values()))) + 1))
    axes[-1, len(families) // 2].set_xlabel("level of the disturbance (0: the film as it is)", fontsize=6)
    _legend(figure, list(dict.fromkeys(methods)))
    return figure


STANDS = {
    ABOVE: (style.BLUE, "+", "interval above 0 (+)"),
    TIED: ("#EFEFEF", "", "0 in the interval"),
    BELOW: (style.ORANGE, "−", "interval below 0 (−)"),
}
"""How a claim stands at a level: colour and sign of its cell, and what the legend says."""


def claim_levels(claims: pd.DataFrame) -> Figure | str:
    """Table of cells: a row per claim, per family a cell per level, from the film as it is (0) to the last.

    claims: columns of robustness_claims. A cell says where the interval of the margin lies: above 0, below it, or across it.
    """
    if not len(claims):
        return NOTHING
    told = standing(claims)
    names, families = list(dict.fromkeys(told["claim"])), list(dict.fromkeys(told["family"]))
    against = told.drop_duplicates("claim").set_index("claim")["against"]
    figure = style.new_figure(style.DOUBLE, 26 + 6 * len(names))
    ax = figure.subplots()
    step = LEVELS + 2  # one column is left free between families
    for row in told.itertuples():
        x, y = families.index(row.family) * step + row.level, names.index(row.claim)
        colour, sign, _ = STANDS[row.stands]
        ax.add_patch(Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, facecolor=colour, edgecolor="none"))
        ax.text(x, y, sign, ha="center", va="center", fontsize=5.5, color="white", fontweight="bold")
    ax.set_xlim(-0.7, len(families) * step - 1.3)
    ax.set_ylim(len(names) - 0.5, -0.5)
    levels = [(place * step + level, str(level)) for place in range(len(families)) for level in range(LEVELS + 1)]
    ax.set_xticks(*zip(*levels, strict=True), fontsize=4.8)
    ax.set_xlabel("level of the disturbance (0: films as they are)", fontsize=6)
    for place, family in enumerate(families):
        ax.text(place * step + LEVELS / 2, -0.65, style.wrap(family, 12), ha="center", va="bottom", fontsize=6)
    ax.set_yticks(range(len(names)), [f"{name}\n(over {against[name]})" for name in names], fontsize=5.8)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    handles = [Rectangle((0, 0), 1, 1, facecolor=colour, label=words) for colour, _, words in STANDS.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=5.8)
    return figure


def mask_cases(cases: Sequence[MaskCase]) -> Figure | str:
    """Masks over films: a column per case, the film and then a row per method; true extent blue, what was marked orange."""
    if not cases:
        return NOTHING
    methods = list(dict.fromkeys(method for case in cases for method in case.found))
    figure = style.new_figure(style.DOUBLE, 4 + (style.DOUBLE / len(cases) + 4) * (1 + len(methods)))
    axes = figure.subplots(1 + len(methods), len(cases), squeeze=False)
    for column, case in zip(axes.T, cases, strict=True):
        style.show_film(column[0], case.image, f"{case.finding}:\n{case.rule}", fontsize=6)
        style.outline(column[0], case.there, style.SKY)
        for ax, method in zip(column[1:], methods, strict=True):
            if method not in case.found:
                ax.set_axis_off()
                continue
            mask, dice = case.found[method]
            style.show_film(ax, case.image, f"Dice {dice:.2f}", fontsize=6)
            ax.imshow(
                np.where(mask, 1.0, np.nan), cmap=ListedColormap([style.ORANGE]), alpha=0.35, interpolation="nearest"
            )
            style.outline(ax, mask, style.ORANGE, 0.6)
            style.outline(ax, case.there, style.SKY)
    for ax, name in zip(axes[:, 0], ("film, true extent", *methods), strict=True):
        ax.set_ylabel(name, fontsize=6.5)
    return figure


def ranked(rows: Sequence[Ranked]) -> Figure | str:
    """Contact sheet: a row per text, its first films from left to right, in green frames where the finding is the text's."""
    if not rows:
        return NOTHING
    count = max(len(row.films) for row in rows)
    figure = style.new_figure(style.DOUBLE, 6 + 32 * len(rows))
    axes = np.atleast_2d(figure.subplots(len(rows), count))
    for line, row in zip(axes, rows, strict=True):
        for place, (ax, film, finding) in enumerate(zip(line, row.films, row.findings, strict=False)):
            colour = style.GREEN if finding == row.finding else style.RED  # the palette's red, an orange
            style.show_film(ax, film, f"{place + 1}  {finding}", color=colour)
            for side in ax.spines.values():
                side.set(visible=True, linewidth=1.6, color=colour)
        for ax in line[len(row.films) :]:
            ax.set_axis_off()
        line[0].set_ylabel(style.wrap(f"“{row.text}”", 20), fontsize=6)
    return figure
