"""Figures of notebook 03: what the head knows, what the reports are worth, and single cases side by side."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from ..evaluation.cases import AGREES, MISSED, PLAIN, WRONG, Case
from . import style

METRIC_NAMES = {
    "bleu1": "BLEU-1", "bleu4": "BLEU-4", "meteor": "METEOR", "rouge_l": "ROUGE-L", "cider": "CIDEr",
    "micro_f1_13": "micro F1\n13 findings", "micro_f1_5": "micro F1\n5 findings", "example_f1": "F1\nper study",
}  # fmt: skip
"""Metrics of the report figure; the table has all of them."""

VARIANTS = ("with prompts", "without prompts", "reference findings", "data set's prompts", "head labels", "constant")

MARK_COLOURS = {AGREES: style.BLUE, WRONG: style.RED, MISSED: "#A86B00", PLAIN: style.INK}
"""Colours of a sentence in a case study; blue against vermilion is told apart by every common kind of colour vision."""


def finding_auc(table: pd.DataFrame) -> Figure | str:
    """AUC of the classification head per finding and method: columns finding, method, value, low, high."""
    if not len(table):
        return "no finding occurs often enough here to measure an AUC"
    names = [name for name in dict.fromkeys(table["finding"]) if not name.startswith("mean")]
    best = table.groupby("finding")["value"].max()
    names = sorted(names, key=lambda name: best[name])
    names += [name for name in dict.fromkeys(table["finding"]) if name.startswith("mean")]
    methods = style.methods_in_order(table["method"])
    figure = style.new_figure(style.SINGLE, 96)
    ax = figure.subplots()
    for number, method in enumerate(methods):
        part = table[table["method"] == method].set_index("finding").reindex(names)
        places = np.arange(len(names)) + (number - (len(methods) - 1) / 2) * 0.22
        style.intervals(
            ax, places, part["value"], part["low"], part["high"], colour=style.method_colour(method), label=method
        )
    ax.set_yticks(range(len(names)), names)
    ax.get_yticklabels()[-1].set_fontweight("bold")
    ax.axvline(0.5, color=style.INK, linewidth=0.6)
    ax.grid(axis="x")
    ax.set_xlabel("area under the ROC curve (0.5 = chance)")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=len(methods))
    return figure


def report_scores(table: pd.DataFrame) -> Figure:
    """Report metrics with 95 % intervals, one row per system: columns method, variant, metric, value, low, high.

    A filled dot is a report written with anatomical prompts, an open one is anything else.
    """
    table = table[table["metric"].isin(METRIC_NAMES)].dropna(subset=["value"])
    metrics = [metric for metric in METRIC_NAMES if (table["metric"] == metric).any()]
    found = set(zip(table["method"], table["variant"], strict=True))
    systems = [(m, v) for m in style.methods_in_order(table["method"]) for v in VARIANTS if (m, v) in found]
    figure = style.new_figure(style.DOUBLE, 18 + 6.2 * len(systems))
    axes = np.atleast_1d(figure.subplots(1, len(metrics), sharey=True))
    for ax, metric in zip(axes, metrics, strict=True):
        part = table[table["metric"] == metric].set_index(["method", "variant"])
        for place, system in enumerate(systems):
            if system in part.index:
                row, colour = part.loc[system], style.method_colour(system[0])
                filled = {} if system[1] == "with prompts" else {"markerfacecolor": "white"}
                style.intervals(ax, [place], [row["value"]], [row["low"]], [row["high"]], colour=colour, **filled)
        ax.set_title(METRIC_NAMES[metric], fontsize=6.5)
        ax.set_xlim(left=min(0, ax.get_xlim()[0]))
        ax.grid(axis="x")
        for place in range(1, len(systems)):
            if systems[place][0] != systems[place - 1][0]:
                ax.axhline(place - 0.5, color=style.PALE, linewidth=0.8)
    names = [method if method == "constant report" else f"{method}, {variant}" for method, variant in systems]
    axes[0].set_yticks(range(len(systems)), names)
    axes[0].invert_yaxis()
    figure.supxlabel("score (higher is better), 95 % interval over studies", fontsize=7)
    return figure


def cases(studies: Sequence[Case]) -> Figure | str:
    """Film, evidence with and without prompts, and the texts side by side, sentences coloured by whether they agree."""
    if not studies:
        return "there is no study with a positive finding to show"
    picture, gap, size = 23.0, 1.2, 5.4
    first = (1 + len(studies[0].evidence)) * (picture + gap) + 2
    column = (style.DOUBLE - first) / len(studies[0].texts)
    lines = [
        [coloured_lines(text, (column - 2) * style.MILLIMETRE, size) for text in s.texts.values()] for s in studies
    ]
    tall = [max(picture + 15, 12 + STEP * (3 + max(map(len, of_case)))) for of_case in lines]
    figure = style.new_figure(style.DOUBLE, sum(tall) + 11, layout="none")
    high = figure.get_figheight() / style.MILLIMETRE
    above = 2.0
    for case, of_case, height in zip(studies, lines, tall, strict=True):
        for place, (title, heatmap) in enumerate([("film", None), *case.evidence.items()]):
            ax = figure.add_axes(_place(1 + place * (picture + gap), above + 6, picture, picture, high))
            if place == 0:
                style.show_film(ax, case.image)
                ax.set_xlabel(case.study, fontsize=5.5, color=style.GREY, labelpad=2)
            elif heatmap is None:
                style.bare(ax)
                ax.text(0.5, 0.5, "no evidence:\nno finding", ha="center", va="center", fontsize=6)
            else:
                style.attention_over_film(ax, case.image, heatmap)
            title, _, detail = title.partition(": ")
            ax.set_title(title, fontsize=5.8, fontweight="normal", pad=2)
            if detail:
                ax.set_xlabel(style.wrap(detail, 24), fontsize=5.3, labelpad=2)
        for place, (title, broken) in enumerate(zip(case.texts, of_case, strict=True)):
            ax = figure.add_axes(_place(first + place * column, above + 6, column - 2, height - 6, high))
            style.bare(ax)
            ax.set_title(title, fontsize=6, pad=2)
            _write(ax, broken, case.scores.get(title, ""), height - 6, size)
        above += height
    _legend(figure, high, any(m is not None for s in studies for m in s.evidence.values()))
    return figure


STEP = 2.45
"""Millimetres from one line of a case's text to the next."""


def _place(left: float, above: float, width: float, height: float, high: float) -> tuple[float, float, float, float]:
    """Millimetres from the upper left corner as a matplotlib rectangle."""
    return (left / style.DOUBLE, 1 - (above + height) / high, width / style.DOUBLE, height / high)


def _legend(figure: Figure, high: float, bar: bool) -> None:
    """Colour bar of the evidence (where there is any) and the meaning of the colours of the text, at the bottom."""
    words = {
        AGREES: "finding that the reference has",
        WRONG: "finding that the reference lacks",
        MISSED: "finding that the report with prompts misses",
    }
    for number, (mark, text) in enumerate(words.items()):
        figure.text(
            (78 + 33 * number) / style.DOUBLE,
            4.5 / high,
            "■ " + style.wrap(text, 25),
            color=MARK_COLOURS[mark],
            fontsize=5.5,
            va="center",
            linespacing=1.1,
        )
    if bar:
        scale = ScalarMappable(norm=Normalize(-2, 2), cmap=style.DIVERGING)
        place = figure.add_axes(_place(26, high - 8, 44, 1.6, high))
        made = style.attention_bar(figure, scale, None, cax=place, orientation="horizontal")
        made.ax.tick_params(labelsize=5, pad=1)
        made.ax.xaxis.label.set_size(5.5)


def _write(ax, lines: list[list[tuple[float, str, str]]], score: str, millimetres: float, size: float) -> None:
    """Lines of (start as a share of the width, words, mark) from the top down, then the score."""
    step = STEP / millimetres
    for number, line in enumerate(lines):
        for start, words, mark in line:
            ax.text(
                start,
                1 - number * step,
                words,
                transform=ax.transAxes,
                fontsize=size,
                va="top",
                color=MARK_COLOURS[mark],
                fontweight=_weight(mark),
                parse_math=False,
            )
    ax.text(
        0,
        1 - (len(lines) + 0.4) * step,
        style.wrap(score, 32),
        transform=ax.transAxes,
        fontsize=size,
        va="top",
        color="#666666",
    )


def _weight(mark: str) -> str:
    return "normal" if mark == PLAIN else "bold"


def coloured_lines(
    sentences: Sequence[tuple[str, str]], inches: float, size: float
) -> list[list[tuple[float, str, str]]]:
    """Break sentences with marks into lines of a given width: lists of (start as a share of the width, words, mark)."""
    canvas = FigureCanvasAgg(Figure(dpi=720))  # fine enough that rounding to pixels does not add up
    fonts = {weight: FontProperties(size=size, weight=weight) for weight in ("normal", "bold")}

    def width(text: str, mark: str) -> float:
        return canvas.get_renderer().get_text_width_height_descent(text, fonts[_weight(mark)], False)[0] / (
            720 * inches
        )

    lines: list[list[tuple[float, str, str]]] = [[]]
    end = 0.0
    for sentence, mark in sentences:
        space = width("a a", mark) - width("aa", mark)
        for word in sentence.split():
            start, last = end + (space if lines[-1] else 0.0), lines[-1][-1] if lines[-1] else None
            if last and start + width(word, mark) > 1:
                lines.append([])
                start, last = 0.0, None
            if last and last[2] == mark:
                lines[-1][-1] = (last[0], f"{last[1]} {word}", mark)
                end = last[0] + width(lines[-1][-1][1], mark)
            else:
                lines[-1].append((start, word, mark))
                end = start + width(word, mark)
    return lines if lines[0] else []
