"""Figures of notebook 05: the three claims, the compared methods, the ablation, learning curves."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..baselines.registry import METHODS
from ..evaluation.comparison_margins import HEADLINES
from . import style

NOTHING = "nothing was compared yet: `ssacl ablation`"

OURS = {method.name for method in METHODS if method.ours}
"""SS-ACL and its variants."""

CLAIM_COLOURS = {"lexical": style.BLUE, "clinical": style.ORANGE, "grounding": style.GREEN}
MARGIN_NAMES = {
    "mean_relative": "mean of BLEU-4, ROUGE-L, CIDEr", "bleu4": "BLEU-4", "rouge_l": "ROUGE-L", "cider": "CIDEr",
    "micro_f1_positive": "micro F1, positive only", "micro_f1_uncertain_positive": "micro F1, uncertain as positive",
    "cnr": "CNR, similarity map", "miou": "mean IoU, similarity map", "pointing": "pointing, similarity map",
    "cnr_masked": "CNR, masked map", "miou_masked": "mean IoU, masked map", "pointing_masked": "pointing, masked map",
}  # fmt: skip

PANELS = (
    ("findings", "mean of findings", "auc", "findings:\nmean AUC"),
    ("phrases", "masked map", "pointing", "masked map:\npointing"),
    ("phrases", "similarity map", "pointing", "similarity map:\npointing"),
    ("reports", "reports", "micro_f1_13", "reports:\nmicro F1 of 13"),
    ("reports", "reports", "bleu4", "reports:\nBLEU-4"),
)
"""part, detail, metric, title."""

CELLS = (
    ("findings", "mean of findings", "auc", "AUC"),
    ("phrases", "masked map", "pointing", "masked map\npointing"),
    ("phrases", "masked map", "cnr", "masked map\nCNR"),
    ("phrases", "masked map", "cnr_own_minus_swapped", "masked map\nCNR, own\n- swapped"),
    ("phrases", "masked map", "pointing_own_minus_swapped_side", "masked map\npointing, own\n- other side"),
    ("phrases", "similarity map", "pointing", "similarity\npointing"),
    ("leaves", "films as they are", "pointing", "25 leaves\npointing"),
    ("leaves", "films as they are", "cnr", "25 leaves\nCNR"),
    ("reports", "reports", "micro_f1_13", "reports\nmicro F1"),
)

PALETTE = (
    style.GREEN,
    style.BLUE,
    style.ORANGE,
    style.RED,
    style.PURPLE,
    style.BROWN,
    style.PINK,
    style.SKY,
    style.GREY,
)
"""Of the learning curves, in the order of the methods."""

LONGEST = 2.5
"""Margins beyond this are drawn at the edge (a ratio to a rival near zero has no end)."""


def claims(margins: pd.DataFrame, paper: dict[str, float]) -> Figure | str:
    """Forest plot of the relative margins over the best rival, beside the paper's claims (dashed, cited).

    margins: claim, metric, margin, low, high, best_baseline. paper: claim -> what the paper states.
    """
    if not len(margins):
        return NOTHING
    figure = style.new_figure(style.DOUBLE, 18 + 6.2 * len(margins))
    ax = figure.subplots()
    for place, row in enumerate(margins.itertuples()):
        colour = CLAIM_COLOURS[row.claim]
        value, low, high = (100 * float(np.clip(x, -1, LONGEST)) for x in (row.margin, row.low, row.high))
        main = row.metric in HEADLINES[row.claim]
        style.intervals(ax, [place], [value], [low], [high], colour=colour, marker="D" if main else "o")
        ax.plot(
            [100 * paper[row.claim]] * 2, [place - 0.4, place + 0.4], color=colour, linewidth=1.1, linestyle=(0, (2, 1))
        )
        ax.text(1.01, place, f"best rival: {row.best_baseline}", transform=ax.get_yaxis_transform(), fontsize=5.5,
                va="center")  # fmt: skip
    ax.axvline(0, color=style.INK, linewidth=0.6)
    ax.set_yticks(range(len(margins)), [f"{row.claim}: {MARGIN_NAMES[row.metric]}" for row in margins.itertuples()])
    ax.set_ylim(len(margins) - 0.5, -0.5)
    ax.set_xlabel("SS-ACL over its best annotation-free rival (%); dashed: the paper's claim")
    ax.grid(axis="x")
    return figure


def methods(table: pd.DataFrame) -> Figure | str:
    """Dots with intervals: one row per compared method, one panel per kind of number."""
    table = table[~table["group"].isin(["ablation", "budget"])]
    if not len(table):
        return NOTHING
    order = list(dict.fromkeys(table["method"]))
    figure = style.new_figure(style.DOUBLE, 24 + 4.6 * len(order))
    for ax, (part, detail, metric, title) in zip(figure.subplots(1, len(PANELS), sharey=True), PANELS, strict=True):
        rows = table[(table["part"] == part) & (table["detail"] == detail) & (table["metric"] == metric)]
        for row in rows.itertuples():
            face = {} if row.runs > 1 else {"markerfacecolor": "white"}
            style.intervals(ax, [order.index(row.method)], [row.value], [row.low], [row.high], colour=_colour(row),
                            markersize=3.2, **face)  # fmt: skip
        ax.set_title(title, fontsize=6.3)
        ax.grid(axis="x")
        ax.tick_params(axis="x", labelsize=5.5)
        for place in range(1, len(order)):
            ax.axhline(place - 0.5, color=style.PALE, linewidth=0.4)
    ax.set_yticks(range(len(order)), order)
    ax.set_ylim(len(order) - 0.5, -0.5)
    return figure


def _colour(row) -> str:
    return style.GREEN if row.method in OURS else style.BLUE if row.group == "central" else style.GREY


def ablation(table: pd.DataFrame) -> Figure | str:
    """Heat table: what each variant changes against SS-ACL; colour is the difference in half widths of its interval.

    table: of `comparison_margins.ablation_table`. A number in bold lies outside of what one more run of SS-ACL would give.
    """
    wanted = [(part, detail, metric) for part, detail, metric, _ in CELLS]
    table = table.loc[[key in wanted for key in zip(table["part"], table["detail"], table["metric"], strict=True)]]
    if not len(table):
        return NOTHING
    order = list(dict.fromkeys(table["method"]))
    figure = style.new_figure(style.DOUBLE, 26 + 4.6 * len(order))
    ax = figure.subplots()
    strength = np.full((len(order), len(CELLS)), np.nan)
    for row in table.itertuples():
        y, x = order.index(row.method), wanted.index((row.part, row.detail, row.metric))
        apart = row.runs > 1 and (row.low > 0 or row.high < 0)  # one run of SS-ACL says nothing of another
        reach = (row.value - row.low) if row.value > 0 else (row.high - row.value)
        strength[y, x] = row.value / max(reach, 1e-9)
        ax.text(
            x, y, f"{row.value:+.3f}", ha="center", va="center", fontsize=5.8, fontweight="bold" if apart else "normal"
        )
    shown = ax.imshow(np.clip(strength, -2, 2), cmap=style.DIVERGING, vmin=-2, vmax=2, alpha=0.55, aspect="auto")
    ax.set_xticks(range(len(CELLS)), [title for *_, title in CELLS], fontsize=5.8)
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(order)), order, fontsize=6)
    ax.tick_params(length=0)
    style.colour_bar(figure, shown, ax, "difference / half width of its interval", (-2, -1, 0, 1, 2))
    return figure


def looks(table: pd.DataFrame) -> Figure | str:
    """The head of SS-ACL+ on the encoders of several methods: mean of 25 leaves, films as they are and moved."""
    table = table[table["part"] == "plus"]
    if not len(table):
        return NOTHING
    order = list(dict.fromkeys(table["method"]))
    figure = style.new_figure(style.DOUBLE, 22 + 6 * len(order))
    axes = figure.subplots(1, 2, sharey=True)
    for ax, metric in zip(axes, ("pointing", "cnr"), strict=True):
        for detail, marker, shift in (("films as they are", "o", -0.14), ("films moved", "D", 0.14)):
            rows = table[(table["metric"] == metric) & (table["detail"] == detail)]
            for row in rows.itertuples():
                face = {} if row.runs > 1 else {"markerfacecolor": "white"}
                style.intervals(ax, [order.index(row.method) + shift], [row.value], [row.low], [row.high],
                                colour=_colour(row), marker=marker, markersize=3.2, **face)  # fmt: skip
        ax.set_xlabel("pointing (share of maxima inside)" if metric == "pointing" else "contrast-to-noise ratio")
        ax.grid(axis="x")
    axes[0].plot([], [], "o", color=style.INK, markersize=3, label="films as they are")
    axes[0].plot([], [], "D", color=style.INK, markersize=3, label="films moved")
    figure.legend(loc="outside lower center", ncols=2)
    axes[0].set_yticks(range(len(order)), order)
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    return figure


def curves(history: pd.DataFrame) -> Figure | str:
    """Losses of all compared methods over the images seen, a panel per term; dashed: without a start.

    Where there are more methods than colours, the later ones are dash-dotted.
    """
    history = (
        history[(history["term"] != "total") & ~history["group"].isin(["ablation", "budget"])]
        if len(history)
        else history
    )
    if not len(history):
        return NOTHING
    terms, names = list(dict.fromkeys(history["term"])), list(dict.fromkeys(history["method"]))
    figure = style.new_figure(style.DOUBLE, 100)
    axes = np.ravel(figure.subplots(2, -(-len(terms) // 2)))
    lines = {}
    for ax, term in zip(axes, terms, strict=False):
        for method, part in history[history["term"] == term].groupby("method", sort=False):
            base = str(method).removesuffix(", no start")
            again, place = divmod(names.index(base), len(PALETTE)) if base in names else (0, 0)
            colour = PALETTE[place] if base in names else style.INK
            dashes = "--" if base != method else "-." if again else "-"
            (lines[method],) = ax.plot(part["images"] / 1000, part["value"], dashes, linewidth=0.9, color=colour)
        ax.set_title(term.replace("_", " "), fontsize=6.5)
        ax.set_xlabel("images seen (thousands)", fontsize=6)
        ax.set_ylabel("loss", fontsize=6)
    for ax in axes[len(terms) :]:
        ax.set_visible(False)
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4, fontsize=5.5)
    return figure
