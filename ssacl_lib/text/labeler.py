"""Read the 14 observations in a report: mention, negation, uncertainty, sentence by sentence, by rules.

The labels have CheXpert's form; the rules and the lexicon (`labeler.yaml`) are our own. Choices where people differ:
  - positive beats uncertain beats negative when an observation is named more than once;
  - "likely", "probable", "consistent with" affirm; "possible", "may represent", "suggests", "versus", "unlikely" and
    borderline heart sizes are uncertain;
  - vascular congestion, septal lines and fluid overload are Edema; infiltrate, airspace disease and interstitial
    markings are Lung Opacity; volume loss is Atelectasis; nothing is inferred from one finding to another;
  - "the lungs are clear" denies the six findings of the parenchyma (`CLEAR`); a single clear lung denies nothing;
  - a normal heart denies Cardiomegaly, a normal mediastinum Enlarged Cardiomediastinum, a normal cardiomediastinal
    silhouette both; an enlarged one states Enlarged Cardiomediastinum only;
  - "no new" denies, "no change in" does not; what stands under INDICATION, HISTORY, TECHNIQUE or COMPARISON is not read;
  - No Finding is positive when nothing but support devices is positive or uncertain, else blank.

How good it is: on 4,000 phantom reports every finding that is said is read as positive (or, where hedged, uncertain) and
none is read that is not there; grammar and lexicon are both ours, so this shows consistency only. On 3,832 real reports
(Open-i, Indiana University) against findings taken from their MeSH tags: precision of positive labels 0.96 or more for
Cardiomegaly, Lung Opacity, Atelectasis, Pneumothorax, Pleural Effusion, Pleural Other and Support Devices, 0.78 to 0.94
for Lung Lesion, Edema, Consolidation, Pneumonia and Fracture, 0.62 for Enlarged Cardiomediastinum (27 cases); recall with
uncertain ones 0.82 to 1.00, but 0.59 for the last. The rules were mended while looking at these reports, so expect less
elsewhere.

How it works: the words of a sentence are looked up in one tree of words (longest match), which leaves a short list of
marks; a walk over them keeps the scopes that are open.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from ..observations import BLANK, NEGATIVE, OBSERVATIONS, POSITIVE, UNCERTAIN
from .sections import read_sections

CLEAR = ("Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis")
"""What clear lungs deny."""

_OF_STRUCTURE = {  # structure -> (denied when normal, stated when abnormal, predicates that are abnormal for it)
    "heart": (("Cardiomegaly",), "Cardiomegaly", ("enlarged", "borderline")),
    "mediastinum": (("Enlarged Cardiomediastinum",), "Enlarged Cardiomediastinum", ("enlarged", "widened", "borderline")),
    "both": (("Cardiomegaly", "Enlarged Cardiomediastinum"), "Enlarged Cardiomediastinum", ("enlarged", "widened", "borderline")),
    "lungs": (CLEAR, None, ()),
    "pleura": (("Pleural Effusion",), None, ()),
    "other": ((), None, ("enlarged", "widened", "borderline")),
}  # fmt: skip
_PREDICATES = ("normal", "enlarged", "widened", "borderline")
_CODES = {"positive": POSITIVE, "negative": NEGATIVE, "uncertain": UNCERTAIN, None: BLANK}
_RANK = {None: 0, "negative": 1, "uncertain": 2, "positive": 3}
_WORD = re.compile(r"[a-z]+|\d+(?:\.\d+)?|[.,;:!?\n]")
_ALTERNATIVE = re.compile(r"\(([^()]*)\)")


class _Mark(NamedTuple):
    """What stands at words start..end of a sentence: its kind and, for findings and structures, which."""

    kind: str
    name: str
    start: int
    end: int


def label(report: str) -> dict[str, str | None]:
    """The 14 observations of a report: "positive", "negative", "uncertain" or None (not mentioned)."""
    found: dict[str, str | None] = dict.fromkeys(OBSERVATIONS)
    words = _WORD.findall(read_sections(report).lower())
    if not any(word.isalpha() for word in words):
        return found
    for sentence in _split(words):
        for name, state in _sentence_labels(sentence):
            if _RANK[state] > _RANK[found[name]]:
                found[name] = state
    if all(found[name] in (None, "negative") for name in OBSERVATIONS[1:-1]):
        found["No Finding"] = "positive"
    return found


def encode(labels: dict[str, str | None]) -> np.ndarray:
    """Labels of one report as [14] int8 codes in OBSERVATIONS order."""
    return np.array([_CODES[labels[name]] for name in OBSERVATIONS], dtype=np.int8)


def label_array(reports: Iterable[str]) -> np.ndarray:
    """Labels of reports as [n, 14] int8 codes."""
    rows = [encode(label(report)) for report in reports]
    return np.stack(rows) if rows else np.empty((0, len(OBSERVATIONS)), dtype=np.int8)


def _split(words: list[str]):
    """Sentences as lists of words; a newline ends one too."""
    start = 0
    for end, word in enumerate(words):
        if word in ".!?\n":
            if end > start:
                yield words[start:end]
            start = end + 1
    if start < len(words):
        yield words[start:]


def expand(pattern: str) -> set[tuple[str, ...]]:
    """All word sequences of a pattern with (a|b|) alternatives: "effusion(s|)" -> {("effusion",), ("effusions",)}."""
    pieces = [pattern]
    while any("(" in piece for piece in pieces):  # innermost brackets first
        pieces = [
            piece[: match.start()] + option + piece[match.end() :] if match else piece
            for piece in pieces
            for match in [_ALTERNATIVE.search(piece)]
            for option in (match[1].split("|") if match else [""])
        ]
    return {tuple(_WORD.findall(piece)) for piece in pieces} - {()}


@cache
def _tree() -> dict:
    """The lexicon as a tree of words: a node maps a word to the next node, and None to (kind, name) where a phrase ends."""
    lexicon = yaml.safe_load(Path(__file__).with_name("labeler.yaml").read_text(encoding="utf-8"))
    root: dict = {}
    for kind, content in lexicon.items():
        groups = content.items() if isinstance(content, dict) else [("", content)]
        for name, patterns in groups:
            for words in {w for pattern in patterns for w in expand(pattern)}:
                node = root
                for word in words:
                    node = node.setdefault(word, {})
                node.setdefault(None, (kind, name))
    return root


def _marks(words: list[str]) -> list[_Mark]:
    root, marks, at, count = _tree(), [], 0, len(words)
    while at < count:
        node, end, found, position = root, at, None, at
        while position < count and (node := node.get(words[position])) is not None:
            position += 1
            if None in node:
                found, end = node[None], position
        if found is None:
            at += 1
            continue
        marks.append(_Mark(*found, at, end))
        at = end
    return marks


def _sentence_labels(words: list[str]) -> list[tuple[str, str]]:
    """(observation, state) for every mention in a sentence."""
    labels, clause = [], []
    for mark in [*_marks(words), _Mark("clause", "", len(words), len(words))]:
        if mark.kind != "clause":
            clause.append(mark)
            continue
        if clause:
            states = _states(clause, words)
            labels += [
                (m.name, s) for m, s in states.items() if m.kind in ("findings", "borderline_findings") and s != "skip"
            ]
            labels += _structure_labels(clause, states, words)
        clause = []
    return labels


def _states(clause: list[_Mark], words: list[str]) -> dict[_Mark, str]:
    """State of every finding and predicate of a clause by the scopes around it."""
    states: dict[_Mark, str] = {}
    scope, since = "positive", []
    for mark in clause:
        kind = mark.kind
        if kind in ("findings", *_PREDICATES[1:3]):
            states[mark] = scope
            if kind == "findings":
                if since and scope == "positive" and _alternatives(words, since[-1].end, mark.start):
                    states[since[-1]] = states[mark] = "uncertain"
                since.append(mark)
        elif kind in ("borderline", "borderline_findings"):
            states[mark] = "uncertain"
        elif kind == "normal":
            states[mark] = "normal"
        elif kind == "deny_before":
            scope = "negative"
        elif kind == "doubt_before":
            scope = "uncertain"
        elif kind == "versus" and scope == "positive":
            states.update(dict.fromkeys(since[-1:], "uncertain"))
            scope = "uncertain"
        elif kind == "skip_before":
            scope = "skip"
        elif kind == "stop" or kind == "deny_stop" and scope == "negative":
            scope, since = "positive", since if words[mark.start] in ("is", "are") else []
        elif kind in ("deny_after", "doubt_after"):
            state = "negative" if kind == "deny_after" else "uncertain"
            for earlier in _reached(since, mark, words):
                states[earlier] = state
    return states


def _alternatives(words: list[str], start: int, end: int) -> bool:
    """Are two findings offered as alternatives ("atelectasis or pneumonia")?"""
    return "or" in words[start:end] and end - start <= 5


def _reached(since: list[_Mark], mark: _Mark, words: list[str]) -> list[_Mark]:
    """The findings that a predicate after them speaks of: with "is" or "has" the last one and its alternatives, else all."""
    if words[mark.start] not in ("is", "was", "has"):
        return since
    reached = since[-1:]
    for earlier in reversed(since[:-1]):
        between = words[earlier.end : reached[0].start]
        if not {"or", "nor"} & set(between) and between not in ([], [","]):
            break
        reached.insert(0, earlier)
    return reached


def _structure_labels(clause: list[_Mark], states: dict[_Mark, str], words: list[str]) -> list[tuple[str, str]]:
    """Labels of "heart size is normal", "enlarged heart", "lungs are clear": each structure with its predicate."""
    labels = []
    structures = [m for m in clause if m.kind == "structures"]
    predicates = [m for m in clause if m.kind in _PREDICATES]
    attached = {
        p: s for p in predicates for s in structures if 0 <= s.start - p.end <= 1 and words[p.end] not in (",", "and")
    }
    for structure in structures:
        denied, stated, abnormal = _OF_STRUCTURE[structure.name]
        predicate = _predicate(structure, predicates, attached)
        if predicate is None:
            continue
        if predicate.kind == "normal":
            labels += [(name, "negative") for name in denied]
        elif predicate.kind in abnormal and stated and states[predicate] != "skip":
            labels.append((stated, states[predicate]))
    return labels


def _predicate(structure: _Mark, predicates: list[_Mark], attached: dict) -> _Mark | None:
    """The adjective before a structure, else the next predicate after it, else the last one before it."""
    before = [p for p in predicates if attached.get(p) == structure]
    if before:
        return before[-1]
    after = [p for p in predicates if p.start >= structure.end and p not in attached]
    if after:
        return after[0]
    earlier = [p for p in predicates if p.end <= structure.start and p in attached]
    return earlier[-1] if earlier else None
