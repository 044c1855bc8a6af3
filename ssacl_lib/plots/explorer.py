"""Figures of the explorer: a film with findings, report and tree; before and after; a report word by word."""

import textwrap
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine

from ..anatomy import default_graph
from ..evaluation.report_marks import AGREES, MISSED, PLAIN, WRONG
from ..evaluation.word_views import Told
from ..observations import FINDINGS
from . import style
from .tree import branch

MARKS = {AGREES: style.BLUE, WRONG: style.RED, MISSED: "#8A5600", PLAIN: style.INK}
"""Colours of sentences: a finding that is there, one that is not, one that is missed, none."""

SENTENCE_WIDTH = 74


def sheet(width: float, height: float) -> Figure:
    """An empty figure without a layout engine: axes are put where they belong, which is several times faster."""
    figure = style.new_figure(width, height, layout="none")
    figure.set_layout_engine(
        PlaceHolderLayoutEngine(adjust_compatible=False, colorbar_gridspec=False)
    )  # saving would set one
    return figure


def place(figure: Figure, left: float, top: float, width: float, height: float):
    """Axes at a place in millimetres from the left and from the top of a figure."""
    wide, high = (side / style.MILLIMETRE for side in figure.get_size_inches())
    return figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))


def tree(ax, opened: Collection[str] = (), chosen: str | None = None, size: float = 5.2) -> None:
    """The anatomy tree as an indented list: filled where the findings open a node, the chosen one set off."""
    graph = default_graph()
    style.bare(ax)
    ax.set_xlim(0, 10)
    ax.set_ylim(len(graph.nodes) - 0.4, -0.6)
    for row, node in enumerate(graph.nodes):
        colour, level = style.ANATOMY_COLOURS[branch(node)], graph.level(node)
        lit = node in opened
        ax.plot(0.4 + 0.7 * level, row, "o", color=colour, markersize=3, markerfacecolor=colour if lit else "white",
                markeredgewidth=0.7)  # fmt: skip
        ax.text(0.8 + 0.7 * level, row, node, fontsize=size, va="center", color=colour if lit else "0.35",
                fontweight="bold" if node == chosen else "normal")  # fmt: skip
        if node == chosen:
            ax.axhspan(row - 0.5, row + 0.5, color=style.PALE, zorder=0)


def finding_bars(
    ax, answers: Mapping[str, np.ndarray], thresholds: np.ndarray, truth: np.ndarray | None = None
) -> None:
    """Probabilities of the 13 findings, one bar per name in `answers` ([13] each); ticks at the thresholds, true ones in bold."""
    rows, count = np.arange(len(FINDINGS)), len(answers)
    colours = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE)
    for number, (name, values) in enumerate(answers.items()):
        height = 0.75 / count
        places = rows - 0.375 + height * (number + 0.5)
        strong = np.where(values >= thresholds, 1.0, 0.35)
        for y, value, alpha in zip(places, values, strong, strict=True):
            ax.barh(y, value, height, color=colours[number % 4], alpha=alpha, linewidth=0)
        ax.barh(-9, 0, color=colours[number % 4], label=name)
    ax.vlines(thresholds, rows - 0.45, rows + 0.45, color=style.INK, linewidth=0.9, label="threshold")
    ax.set_yticks(rows, FINDINGS, fontsize=5.8)
    if truth is not None:
        for label, there in zip(ax.get_yticklabels(), truth, strict=True):
            label.set_fontweight("bold" if there else "normal")
            label.set_color(style.INK if there else "0.4")
    ax.set_ylim(len(FINDINGS) - 0.4, -0.6)
    ax.set_xlim(0, 1)
    ax.tick_params(axis="x", labelsize=5.8)
    ax.set_xlabel("probability" + ("" if truth is None else " (bold: true of this patient)"), fontsize=6)


def sentence_list(ax, sentences: Sequence[tuple[str, str]], width: int = SENTENCE_WIDTH, title: str = "") -> None:
    """Sentences with their marks, one below the other."""
    style.bare(ax)
    lines = [
        (line, mark) for text, mark in sentences for line in textwrap.wrap(f"• {text}", width, subsequent_indent="   ")
    ]
    ax.set_xlim(0, 1)
    ax.set_ylim(max(len(lines), 9) + 0.5, -0.8)
    ax.set_title(title, fontsize=6.5, loc="left", pad=2)
    for row, (line, mark) in enumerate(lines):
        ax.text(0, row, line.replace("$", r"\$"), fontsize=6, va="center", color=MARKS.get(mark, style.INK))


def patient(
    image: np.ndarray,
    words: str,
    outlines: np.ndarray | None,
    probabilities: np.ndarray,
    thresholds: np.ndarray,
    truth: np.ndarray | None,
    sentences: Sequence[tuple[str, str]],
    opened: Collection[str],
) -> Figure:
    """A film with its findings, the report sentence by sentence, and the tree with what the findings open.

    image: [S, S] uint8. words: what the film is. outlines: true extents [k, S, S] bool. probabilities, thresholds: [13]; truth:
    [13] bool or None. sentences: (text, mark of report_marks). opened: nodes.
    """
    figure = sheet(style.DOUBLE, 108)
    film = place(figure, 1, 6, 54, 54)
    style.show_film(film, image)
    film.set_xlabel(style.wrap(words, 64), fontsize=6, loc="left", labelpad=3)
    for mask in outlines if outlines is not None else ():
        style.outline(film, mask, style.SKY, 0.9)
    bars = place(figure, 92, 6, 32, 54)
    bars.set_title("What the head finds", fontsize=6.5)
    finding_bars(bars, {"probability": probabilities}, thresholds, truth)
    shown = place(figure, 130, 6, 47, 98)
    shown.set_title("Anatomy (filled: open)", fontsize=6.5)
    tree(shown, opened)
    legend = (
        "blue: true, orange: not true, black: no finding stated"
        if truth is not None
        else "what is true nobody knows here"
    )
    sentence_list(place(figure, 1, 77, 124, 29), sentences, 112, f"The report it writes ({legend})")
    return figure


def change(
    images: Mapping[str, np.ndarray],
    maps: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray | None],
    answers: Mapping[str, np.ndarray],
    thresholds: np.ndarray,
    reports: Mapping[str, Sequence[tuple[str, str]]],
    phrase: str,
) -> Figure:
    """Before and after one change: films, their difference, one phrase's map on both, findings, reports; all keyed alike.

    images, maps, masks: [S, S]; answers: [13]; reports: (sentence, mark).
    """
    figure = sheet(style.DOUBLE, 116)
    (before, first), (after, second) = images.items()
    for column, (name, image) in enumerate(images.items()):
        ax = place(figure, 1 + 36 * column, 6, 33, 33)
        style.show_film(ax, image, name, fontweight="bold")
        if masks[name] is not None:
            style.outline(ax, masks[name], style.SKY, 0.8)
        ax = place(figure, 1 + 36 * column, 46, 33, 33)
        shown = style.heat_over_film(ax, image, style.scaled(maps[name]))
        if masks[name] is not None:
            style.outline(ax, masks[name], style.SKY, 0.8)
        ax.set_title(style.wrap(f"“{phrase}”", 42), fontsize=5.8, loc="left", fontweight="normal", pad=2)
        sentence_list(place(figure, 1 + 89 * column, 90, 86, 26), reports[name], 74, f"Report {name}")
    difference = (second.astype(float) - first.astype(float)) / 255
    ax = place(figure, 73, 6, 33, 33)
    style.bare(ax)
    grey = ax.imshow(difference, cmap=style.DIVERGING, vmin=-0.5, vmax=0.5)
    ax.set_title(f"{after} minus {before}", fontsize=6.5, loc="left", fontweight="normal", pad=2)
    style.colour_bar(figure, grey, ax, "grey", (-0.5, 0, 0.5), cax=place(figure, 107.5, 10, 1.5, 25))
    ax = place(figure, 73, 46, 33, 33)
    style.bare(ax)
    moved = ax.imshow(style.scaled(maps[after]) - style.scaled(maps[before]), cmap=style.DIVERGING, vmin=-1, vmax=1)
    ax.set_title("difference of the maps", fontsize=6.5, loc="left", fontweight="normal", pad=2)
    style.colour_bar(figure, moved, ax, "map, 0 to 1", (-1, 0, 1), cax=place(figure, 107.5, 50, 1.5, 25))
    style.colour_bar(figure, shown, ax, "", (0, 1), cax=place(figure, 1, 81, 20, 1.2), orientation="horizontal")
    bars = place(figure, 151, 6, 26, 70)
    finding_bars(bars, answers, thresholds)
    bars.legend(loc="upper left", bbox_to_anchor=(-1.3, -0.1), ncols=3, fontsize=6)
    return figure


def words(image: np.ndarray, told: Told, token: int) -> Figure:
    """A report word by word: the patches that the decoder attends to before a token, the leaves, and what else it had in mind.

    image: [S, S] uint8. token: number of the token in `told`; its sentence's means stand beside it.
    """
    figure = sheet(style.DOUBLE, 101)
    number = told.sentence_of(token)
    start, stop, _ = told.sentences[number]
    if told.patches.shape[1]:
        _patches(
            figure,
            image,
            told,
            {"before this word": slice(token, token + 1), "mean of the sentence": slice(start, stop)},
        )
    else:
        style.show_film(place(figure, 1, 6, 36, 36), image, "no patches stand in this decoder's prefix")
    _leaf_shares(place(figure, 141, 9, 36, 85), told, slice(token, token + 1), slice(start, stop))
    _shares(place(figure, 1, 52, 76, 7), told, token)
    _guesses(place(figure, 98, 9, 14, 32), told.guesses[token])
    _written(place(figure, 1, 73, 104, 26), told, token, number)
    return figure


def _patches(figure: Figure, image: np.ndarray, told: Told, parts: Mapping[str, slice]) -> None:
    """Attention to the patches over the film, as a multiple of their own mean, for some tokens by title."""
    size = round(np.sqrt(told.patches.shape[1]))
    for column, (title, rows) in enumerate(parts.items()):
        ax = place(figure, 1 + 38 * column, 6, 36, 36)
        share = told.patches[rows].mean(0)
        ratio = (share / max(share.mean(), 1e-12)).reshape(size, size)
        shown = style.attention_over_film(ax, image, np.kron(ratio, np.ones((image.shape[0] // size,) * 2)))
        ax.set_title(title, fontsize=6.5, loc="left", fontweight="normal", pad=2)
    style.attention_bar(figure, shown, ax, cax=place(figure, 76.5, 9, 1.5, 30))


def _leaf_shares(ax, told: Told, now: slice, sentence: slice) -> None:
    """Attention to each open leaf: bar before the word, mark for the sentence's mean."""
    graph = default_graph()
    rows = np.arange(len(graph.leaves))
    colours = [style.ANATOMY_COLOURS[branch(leaf)] for leaf in graph.leaves]
    ax.barh(rows, 100 * told.leaves[now].mean(0), color=colours, alpha=0.45, height=0.75, linewidth=0)
    ax.plot(100 * told.leaves[sentence].mean(0), rows, "|", color=style.INK, markersize=6, markeredgewidth=1)
    ax.set_yticks(rows, graph.leaves, fontsize=5.4)
    for label, opened in zip(ax.get_yticklabels(), told.leaf_open, strict=True):
        label.set_color(style.INK if opened else "0.65")
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, max(4.0, 105 * max(told.leaves[now].max(), told.leaves[sentence].mean(0).max())))
    ax.set_title(
        "leaf tokens: % of the attention\n(bar: this word; line: sentence)", fontsize=5.8, fontweight="normal", x=-0.6
    )
    ax.tick_params(axis="x", labelsize=5.8)


def _shares(ax, told: Told, token: int) -> None:
    """How the attention before a token divides itself."""
    left = 0.0
    parts = {"leaf tokens": told.leaves.sum(1), "patches": told.patches.sum(1), "entity text and words": told.words}
    for (name, values), colour in zip(parts.items(), (style.GREEN, style.BLUE, style.GREY), strict=True):
        ax.barh(0, values[token], left=left, color=colour, label=f"{name} {100 * values[token]:.0f} %", linewidth=0)
        left += values[token]
    ax.set_xlim(0, 1)
    style.bare(ax)
    ax.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.05), ncols=3, fontsize=5.8)
    ax.set_title("Where the decoder looks before this word", fontsize=6.5)


def _guesses(ax, guesses) -> None:
    rows = np.arange(len(guesses))
    ax.barh(rows, [chance for _, chance in guesses], color=style.BLUE, alpha=0.6, height=0.7, linewidth=0)
    ax.set_yticks(rows, [style.wrap(word, 20) for word, _ in guesses], fontsize=5.8)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, 1)
    ax.tick_params(axis="x", labelsize=5.4)
    ax.set_title("likely\nnext words", fontsize=5.8, fontweight="normal", loc="left")


def _written(ax, told: Told, token: int, number: int) -> None:
    """The report up to the word, its sentence in bold, what is not written yet pale."""
    style.bare(ax)
    ax.set_xlim(0, 1)
    ax.set_title(f"“{told.pieces[token]}”, word {token + 1} of {len(told.pieces)}".replace("$", r"\$"), fontsize=6.5)
    lines = [
        (line, place)
        for place, (_, _, text) in enumerate(told.sentences)
        for line in textwrap.wrap(text, 96, subsequent_indent="  ")
    ]
    ax.set_ylim(max(len(lines), 8) + 0.3, -0.8)
    for row, (line, place) in enumerate(lines):
        ax.text(0, row, line.replace("$", r"\$"), fontsize=6, va="center", color=style.INK if place <= number else "0.7",
                fontweight="bold" if place == number else "normal")  # fmt: skip
