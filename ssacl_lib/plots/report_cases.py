"""The case figures of notebooks 03 and 05: films, evidence, and the texts side by side, coloured by what they assert."""

from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from ..evaluation.cases import Case
from ..evaluation.report_marks import AGREES, MISSED, OTHER_SIDE, PLAIN, WRONG
from . import style

MARK_COLOURS = {AGREES: style.BLUE, WRONG: style.RED, OTHER_SIDE: style.RED, MISSED: "#8A5600", PLAIN: style.INK}
"""Colours of words in a case study; blue against vermilion is told apart by every common kind of colour vision."""

MARK_WORDS = {
    AGREES: "finding that both assert",
    WRONG: "finding or side that differs from the other text",
    MISSED: "finding that {} misses",
}
"""The legend."""

SIZE, STEP = 7.0, 3.1
"""Font size of the texts (points), and millimetres from one of their lines to the next."""

LARGE, SMALL, GAP = 50.0, 30.0, 3.0
"""Side of a picture of the first case and of the others, and the gap between columns, in millimetres."""


def cases(studies: Sequence[Case], missed_by: str = "the report with prompts") -> Figure | str:
    """Film and evidence, each above its text; the first case large where it has evidence.

    missed_by: the text that a reference is held against.

    Under each text: what stood before it in the prefix, the findings read in it, and its scores.
    """
    if not studies:
        return "there is no study with a positive finding to show"
    column = (style.DOUBLE - 2 * GAP) / 3 - 1
    texts = [
        [coloured_lines(text, (column - 2) * style.MILLIMETRE, SIZE) for text in case.texts.values()]
        for case in studies
    ]
    notes = [[_note_lines(case.notes.get(title, ()), column) for title in case.texts] for case in studies]
    pictures = [LARGE if number == 0 and case.evidence else SMALL for number, case in enumerate(studies)]
    tall = [
        picture + 16 + STEP * max(len(lines) + len(below) + 1 for lines, below in zip(*of_case, strict=True))
        for picture, *of_case in zip(pictures, texts, notes, strict=True)
    ]
    figure = style.new_figure(style.DOUBLE, sum(tall) + 12, layout="none")
    high, above = figure.get_figheight() / style.MILLIMETRE, 1.0
    for case, picture, of_case, below, height in zip(studies, pictures, texts, notes, tall, strict=True):
        _pictures(figure, case, picture, column, above, high)
        top = above + picture + 11
        for place, (title, lines) in enumerate(zip(case.texts, of_case, strict=True)):
            room = height - picture - 11
            ax = figure.add_axes(_place(1 + place * (column + GAP), top, column - 2, room, high))
            style.bare(ax)
            ax.set_title(title, fontsize=SIZE, pad=2)
            _write(ax, lines, below[place], room)
        above += height
    _legend(figure, high, missed_by, any(m is not None for case in studies for m in case.evidence.values()))
    return figure


def _pictures(figure: Figure, case: Case, picture: float, column: float, above: float, high: float) -> None:
    """The film and the maps of a case, each at the left of its column, its title above and what it shows below."""
    for place, (title, heatmap) in enumerate([(f"film: {case.study}", None), *case.evidence.items()]):
        ax = figure.add_axes(_place(1 + place * (column + GAP), above + 4, picture, picture, high))
        if place == 0:
            style.show_film(ax, case.image)
        elif heatmap is None:
            style.bare(ax)
            ax.text(0.5, 0.5, "no evidence:\nno finding", ha="center", va="center", fontsize=SIZE)
        else:
            style.attention_over_film(ax, case.image, heatmap)
        title, _, detail = title.partition(": ")
        ax.set_title(title if place == 0 else f"evidence {title}", fontsize=6.5, fontweight="normal", pad=2)
        if detail:
            ax.annotate(detail, (0, 0), (0, -7), xycoords="axes fraction", textcoords="offset points", fontsize=6,
                        color=style.GREY)  # fmt: skip


def _place(left: float, above: float, width: float, height: float, high: float) -> tuple[float, float, float, float]:
    """Millimetres from the upper left corner as a matplotlib rectangle."""
    return (left / style.DOUBLE, 1 - (above + height) / high, width / style.DOUBLE, height / high)


def _note_lines(notes: Sequence[str], column: float) -> list[str]:
    """Notes broken to the column; an empty one takes no line."""
    return [line for note in notes if note for line in style.wrap(note, int(column / 1.25)).split("\n")]


def _legend(figure: Figure, high: float, missed_by: str, bar: bool) -> None:
    """Colour bar of the evidence (where there is any) and the meaning of the colours of the text, at the bottom."""
    for number, (mark, text) in enumerate(MARK_WORDS.items()):
        figure.text(
            (72 + 36 * number) / style.DOUBLE,
            5 / high,
            "■ " + style.wrap(text.format(missed_by), 26),
            color=MARK_COLOURS[mark],
            fontsize=6.5,
            va="center",
            linespacing=1.1,
        )
    if bar:
        scale = ScalarMappable(norm=Normalize(-2, 2), cmap=style.DIVERGING)
        place = figure.add_axes(_place(10, high - 9, 48, 1.8, high))
        made = style.attention_bar(figure, scale, None, cax=place, orientation="horizontal")
        made.ax.tick_params(labelsize=6, pad=1)
        made.ax.xaxis.label.set_size(6.5)


def _write(ax, lines: list[list[tuple[float, str, str]]], notes: Sequence[str], millimetres: float) -> None:
    """Lines of (start as a share of the width, words, mark) from the top down, then the notes."""
    step = STEP / millimetres
    for number, line in enumerate(lines):
        for start, words, mark in line:
            ax.text(
                start,
                1 - number * step,
                words,
                transform=ax.transAxes,
                fontsize=SIZE,
                va="top",
                color=MARK_COLOURS[mark],
                fontweight=_weight(mark),
                parse_math=False,
            )
    for number, note in enumerate(notes):
        place = 1 - (len(lines) + 0.5 + number) * step
        ax.text(0, place, note, transform=ax.transAxes, fontsize=6.5, va="top", color="#555555", parse_math=False)


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
            last = lines[-1][-1] if lines[-1] else None
            wider = (
                1.6 if last and last[2] != mark else 1.0
            )  # rounding to pixels must not eat the gap between two pieces
            start = end + (wider * space if last else 0.0)
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
