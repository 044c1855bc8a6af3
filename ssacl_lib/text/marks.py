"""Marks: which words of a sentence the labeler's lexicon (`labeler.yaml`) knows, and of which kind they are.

Shorthand is spelt out, the text falls into sentences of words, and the words are looked up in one tree, longest match first.
A word that is denied itself is turned round here ("not normal", "no resolution of"), so that what reads the marks meets
each kind in one meaning only.

>>> [(mark.kind, mark.name) for mark in find_marks(["not", "normal", "."])]
[('abnormal', '')]
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

PREDICATES = ("normal", "abnormal", "enlarged", "widened", "borderline")
"""Kinds of what is said of a structure."""

_TURNED = {  # what a denial before a mark makes of it
    "normal": "abnormal",
    "abnormal": "normal",
    "deny_before": "affirm_before",
    "deny_after": "affirm_after",
    "deny_either": "affirm_either",
    "doubt_before": "deny_before",
    "suspect_before": "deny_before",
    "suspect_either": "deny_either",
}
_UNSAID = {
    "normal": "abnormal",
    "deny_before": "doubt_before",
    "deny_after": "doubt_after",
    "deny_either": "doubt_either",
}
"""What denials become after "it cannot be said that"."""

_WRAPPED = re.compile(r"\n(?<=[^\n]{50}[\w,]\n)[ \t]*(?=[a-z])")
_WORD = re.compile(r"[^\W\d_]+|(?<!\d)[.,:]|[.,:](?!\d)|[;!\n]")
_ALTERNATIVE = re.compile(r"\(([^()]*)\)")
_ODD = re.compile(r"[/?±|=\t–—]")
_ODD_TEXTS = (" -", "vs.", "favo", "no means")
_SPELLINGS = [
    (re.compile(pattern), word)
    for pattern, word in (
        (r"\bvs\.", "vs"),
        (r"\bw/o\b", "without"),
        (r"\bw/", "with "),
        (r"\bc/w\b", "consistent with"),
        (r"\bh/o\b", "history of"),
        (r"\bs/p\b", "status post"),
        (r"\br/o\b", "rule out"),
        (r"\+/[-–−]|±", " possibly "),
        (r"\bby no means\b", "not"),
        (r"\bfavou?r(?:s|ed|ing)?\s+((?:[a-z]+\s+){1,4})over\b", r"\1favored over"),
        (r"\?(?=\s+(?:no|none|nil|absent|yes)\s*(?:[.,;\n]|$))", ":"),
        (r"(?<=[\w)])\?+", " questioned. "),
        (r"\?+", " questionable "),
        (r"\s[-–—]+(?=\s)|[–—|=\t]", " : "),
    )
]


class Mark(NamedTuple):
    """What stands at words start..end of a sentence: its kind and, for findings and structures, which."""

    kind: str
    name: str
    start: int
    end: int


def sentences_of_words(text: str) -> Iterator[list[str]]:
    """Sentences as lists of lower-case words and stops, each ended by "."; numbers are left out.

    A newline ends a sentence, too, unless a long line goes on in lower case: then it was only wrapped.
    """
    if "\n" in text:
        text = _WRAPPED.sub(" ", text)
    words, start = _WORD.findall(_plain(text.lower())), 0
    for end, word in enumerate([*words, "."]):
        if word in ".!\n":
            if end > start:
                yield [*words[start:end], "."]
            start = end + 1


def _plain(text: str) -> str:
    """Shorthand spelt out; a question mark becomes a word, a dash between blanks a colon."""
    if _ODD.search(text) or any(odd in text for odd in _ODD_TEXTS):  # most texts need no second look
        for pattern, word in _SPELLINGS:
            text = pattern.sub(word, text)
    return text


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
def _lexicon() -> dict:
    return yaml.safe_load(Path(__file__).with_name("labeler.yaml").read_text(encoding="utf-8"))


@cache
def word_set(name: str) -> frozenset[str]:
    """A list of single words of the lexicon."""
    return frozenset(_lexicon()["words"][name].split())


@cache
def _tree() -> dict:
    """The lexicon as a tree of words: a node maps a word to the next node, None to (kind, name) where a phrase ends."""
    root: dict = {}
    for kind, content in _lexicon().items():
        if kind == "words":
            continue
        groups = content.items() if isinstance(content, dict) else [("", content)]
        for name, patterns in groups:
            for words in {w for pattern in patterns for w in expand(pattern)}:
                node = root
                for word in words:
                    node = node.setdefault(word, {})
                node.setdefault(None, (kind, name))
    return root


def find_marks(words: list[str]) -> list[Mark]:
    """The marks of a sentence in order, longest match first, what is denied itself turned round."""
    root, marks, at, count, unsaid = _tree(), [], 0, len(words), False
    while at < count:
        node = root.get(words[at])
        if node is None:  # most words begin no phrase
            at += 1
            continue
        found, end, position = None, at, at + 1
        while node is not None:
            if None in node:
                found, end = node[None], position
            node = node.get(words[position]) if position < count else None
            position += 1
        if found is None:
            at += 1
            continue
        mark = Mark(*found, at, end)
        if mark.kind in _TURNED and (denier := _denier(mark, words, marks)) is not None:
            mark = mark._replace(kind=_TURNED[mark.kind])
            if marks and marks[-1].start <= denier < marks[-1].end:
                marks.pop()
        elif unsaid:
            mark = mark._replace(kind=_UNSAID.get(mark.kind, mark.kind))
        elif mark.kind == "unsaid":
            mark, unsaid = mark._replace(kind="doubt_before"), True
        marks.append(mark)
        at = end
    return marks


def _denier(mark: Mark, words: list[str], before: list[Mark]) -> int | None:
    """Where the word stands that denies a mark, adverbs aside; "no" denies an adjective only as "no longer"."""
    at, adjective = mark.start - 1, mark.kind in PREDICATES
    if adjective and before and before[-1].kind == "structures" and before[-1].end == mark.start:
        at = before[-1].start - 1  # "cannot call the heart normal"
    while at >= 0 and words[at] in word_set("fillers"):
        at -= 1
    if at < 0 or words[at] not in word_set("deniers"):
        return None
    return None if adjective and words[at] in word_set("deniers of nouns") and words[at + 1] != "longer" else at
