"""One printed page of the method for a class: text in two columns, the tree of anatomies, and who attends to whom."""

import re
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from . import style
from .tree import draw_tree

PAGE = (210, 297)
"""Millimetres, A4."""

MARGIN, TOP, GAP, COLUMN = 13, 30, 8, 88
LINE, LETTERS, LETTER = 4.2, 59, 8
"""Height of a line in millimetres, letters in it, and their size in points."""

FORMULA = re.compile(r"\$[^$]+\$")

TREE, MATRIX = 84, 46
"""Heights of the two drawings in the right column."""


def handout(title: str, sections: Sequence[tuple[str, str]], matrices: Mapping[str, np.ndarray]) -> Figure:
    """The page: heading and text per section, filled into the left column and then below the drawings of the right one.

    sections: text holds paragraphs, set apart by an empty line; one that begins with "- " is a point; formulas between dollar
    signs are set. matrices: name -> [T, T], row looks, column is looked at.

    Raises:
        ValueError: the text needs more than one page.
    """
    figure = style.new_figure(*PAGE, layout="none")
    figure.text(*_place(MARGIN, 20), title, fontsize=13, fontweight="bold", va="baseline")
    figure.text(*_place(PAGE[0] - MARGIN, PAGE[1] - 8), "Research and teaching software, not a medical device.", fontsize=6,
                ha="right", color=style.GREY)  # fmt: skip
    right = MARGIN + COLUMN + GAP
    draw_tree(figure.add_axes(_box(right + 4, TOP, COLUMN - 8, TREE)), size=4.6)
    width = (COLUMN - GAP) / len(matrices)
    for number, (name, matrix) in enumerate(matrices.items()):
        axes = figure.add_axes(_box(right + number * (width + GAP), TOP + TREE + 6, width, MATRIX - 10))
        axes.imshow(np.where(matrix, 1.0, 0.0), cmap="Blues", vmin=0, vmax=1.5)
        axes.set_title(name, fontsize=6.5)
        axes.set_xlabel("is looked at: 3 queries, CLS, 4 patches", fontsize=6)
        axes.set_ylabel("looks", fontsize=6)
        axes.set_xticks([])
        axes.set_yticks([])
    _fill(figure, sections, [(MARGIN, TOP), (right, TOP + TREE + MATRIX + GAP)])
    return figure


def _fill(figure: Figure, sections: Sequence[tuple[str, str]], columns: list[tuple[float, float]]) -> None:
    """Sections one below the other; one that does not fit begins the next column."""
    (left, down), *columns = columns
    for heading, text in sections:
        lines = _lines(text)
        while down + (len(lines) + 1) * LINE > PAGE[1] - 12:
            if not columns:
                raise ValueError(
                    f"handout: “{heading}” does not fit on the page; shorten the text by {len(lines) + 1} lines"
                )
            (left, down), *columns = columns
        figure.text(*_place(left, down), heading, fontsize=LETTER + 1, fontweight="bold", va="top", color=style.BLUE)
        for number, line in enumerate(lines, start=1):
            figure.text(*_place(left, down + 0.6 + number * LINE), line, fontsize=LETTER, va="top")
        down += (len(lines) + 2.2) * LINE


def _lines(text: str) -> list[str]:
    """Lines of a column; the later ones of a point are indented, and no formula is broken."""
    lines = []
    for paragraph in text.strip().split("\n\n"):
        formulas = iter(FORMULA.findall(paragraph))
        plain = FORMULA.sub(lambda match: "\0" * _letters(match[0]), paragraph)
        indent = "   " if plain.startswith("- ") else ""
        broken = textwrap.wrap(plain, LETTERS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        pieces = [re.split("(\0+)", line) for line in broken]
        lines += ["".join(next(formulas) if piece[:1] == "\0" else piece for piece in line) for line in pieces]
    return lines


def _letters(formula: str) -> int:
    """How many letters a formula is about as wide as."""
    return max(1, len(re.sub(r"\\[a-z]+|[\\{}^_$; ]", lambda match: "x" if match[0][1:].isalpha() else "", formula)))


def _place(across: float, down: float) -> tuple[float, float]:
    return across / PAGE[0], 1 - down / PAGE[1]


def _box(left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
    """Of `add_axes`."""
    across, up = _place(left, top + height)
    return across, up, width / PAGE[0], height / PAGE[1]
