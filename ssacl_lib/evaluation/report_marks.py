"""Which words of a report assert a finding, and does the other report assert it too, on the same side?"""

import re
from collections.abc import Sequence

import numpy as np

from ..observations import OBSERVATIONS, POSITIVE
from ..text.labeler import label_array
from ..text.sections import sentences

AGREES, WRONG, MISSED, OTHER_SIDE, PLAIN = "agrees", "wrong", "missed", "other side", "plain"

SIDES = {"right": {"right"}, "left": {"left"}, "bilateral": {"right", "left"}, "both": {"right", "left"}}
_SIDE = re.compile(r"\b(right|left|bilateral|both)(?=ly\b|\b)", re.IGNORECASE)
_CLAUSE = re.compile(r"(?<=[,;])\s+|\s+(?=(?:without|but|and no|with no)\b)", re.IGNORECASE)


def positive_names(labels: np.ndarray) -> set[str]:
    """Findings (not "No Finding") with the code POSITIVE in labels [14]."""
    return {name for name, code in zip(OBSERVATIONS[1:], labels[1:], strict=True) if code == POSITIVE}


def asserted(report: str) -> list[tuple[str, set[str]]]:
    """Clauses of a report in order, each with the findings that it asserts.

    A sentence is cut into clauses where these, read alone, assert what the sentence does; else it stays whole.
    """
    found = []
    for sentence, whole in _labelled(sentences(report)):
        clauses = _labelled([part for part in _CLAUSE.split(sentence) if part.strip()])
        together = set().union(*(names for _, names in clauses))
        found += clauses if together == whole else [(sentence, whole)]
    return found


def _labelled(parts: Sequence[str]) -> list[tuple[str, set[str]]]:
    codes = label_array(list(parts)) if len(parts) else ()
    return [(part, positive_names(row)) for part, row in zip(parts, codes, strict=True)]


def sides_of(text: str) -> set[str]:
    """The sides that a text names: a subset of {"right", "left"}."""
    return set().union(*(SIDES[word.lower()] for word in _SIDE.findall(text)))


def mark_report(report: str, other: str, disagreeing: str) -> list[tuple[str, str]]:
    """Pieces of a report in order, each with a mark against another report of the same film.

    plain: nothing is asserted. agrees: all that the clause asserts stands in the other report. other side: the word of a
    side that the other report does not name for these findings. `disagreeing` (wrong | missed): the rest.
    """
    elsewhere = asserted(other)
    known = set().union(*(names for _, names in elsewhere))
    marked: list[tuple[str, str]] = []
    for clause, names in asserted(report):
        if not names:
            marked.append((clause, PLAIN))
        elif not names <= known:
            marked.append((clause, disagreeing))
        else:
            sides = set().union(*(sides_of(text) for text, there in elsewhere if there & names))
            marked += _sides_marked(clause, sides)
    return marked


def _sides_marked(clause: str, sides: set[str]) -> list[tuple[str, str]]:
    """A clause that agrees, with the words of a side marked where the other report (sides: those it names) says another."""
    named = sides_of(clause)
    if not sides or named <= sides:
        return [(clause, AGREES)]
    pieces, place = [], 0
    for match in _SIDE.finditer(clause):
        if SIDES[match[1].lower()] <= sides:
            continue  # this word is right, another one is not
        end = next((i for i in range(match.end(), len(clause)) if clause[i].isspace()), len(clause))
        pieces += [(clause[place : match.start()].strip(), AGREES), (clause[match.start() : end], OTHER_SIDE)]
        place = end
    return [(text, mark) for text, mark in [*pieces, (clause[place:].strip(), AGREES)] if text]
