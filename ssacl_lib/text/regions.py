"""Which anatomy does a sentence name, and which findings does it place there? (SS-ACL+, ours)

Words only: names and synonyms of the graph's nodes with word boundaries, and what the labeler reads in the same sentence. No
box, mask or coordinate is looked at, and no word is given a place: "right" is two letters more in a name, not a half of the
film.

>>> named_nodes("Small effusion at the left lung base.")
['left lower lung zone']
>>> named_nodes("The left lung is clear, the heart is enlarged.")
['left lung', 'cardiac silhouette']
>>> named_nodes("Scars at both apices.")
['right apical zone', 'left apical zone']
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ..anatomy import default_graph
from ..observations import FINDINGS, POSITIVE, UNCERTAIN
from .labeler import encode, label
from .sections import read_sections, sentences

_PLURAL = {"apex": "apices", "base": "bases", "hilum": "hila", "sulcus": "sulci", "diaphragm": "diaphragms"}
_BOTH = ("both", "bilateral", "right and left", "left and right")


def _plural(words: str) -> str:
    before, _, last = words.rpartition(" ")
    return f"{before} {_PLURAL.get(last, last + 's')}".strip()


@lru_cache
def _names() -> tuple[re.Pattern, dict[str, tuple[str, ...]]]:
    """One pattern of all wordings, the longest first, and wording -> its node; "both lung bases" has two."""
    graph = default_graph()
    nodes = {wording: (node,) for node in graph.nodes for wording in (node, *graph.synonyms[node])}
    for wording, (node,) in list(nodes.items()):
        side, _, rest = wording.partition(" ")
        if side == "right" and node.startswith("right "):
            both = (node, node.replace("right", "left", 1))
            for words in (f"{way} {form}" for way in _BOTH for form in (rest, _plural(rest))):
                nodes.setdefault(words, both)
    words = sorted(nodes, key=len, reverse=True)
    return re.compile(r"\b(" + "|".join(map(re.escape, words)) + r")\b"), nodes


@lru_cache(maxsize=100_000)
def _named(sentence: str) -> tuple[str, ...]:
    pattern, nodes = _names()
    text = " ".join(sentence.lower().replace("-", " ").split())
    found = {node for match in pattern.findall(text) for node in nodes[match]}
    inner = {node for node in found if not found.isdisjoint(_below(node))}
    return tuple(node for node in default_graph().nodes if node in found - inner)


@lru_cache
def _below(node: str) -> frozenset[str]:
    """All nodes inside of a node."""
    children = default_graph().children(node)
    return frozenset(children).union(*(_below(child) for child in children))


def named_nodes(sentence: str) -> list[str]:
    """The nodes that a sentence names by name or synonym, in the graph's order.

    The longest wording counts, and a node that holds another named one does not: "the right lung base" is no right lung.
    """
    return list(_named(sentence))


@lru_cache(maxsize=100_000)
def _read(sentence: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Positions in FINDINGS of what a sentence states, and of what it leaves uncertain."""
    codes = encode(label(sentence))[1:]
    return tuple(np.flatnonzero(codes == POSITIVE)), tuple(np.flatnonzero(codes == UNCERTAIN))


def placed_sentences(report: str) -> list[tuple[str, tuple[str, ...]]]:
    """The sentences of a report that state a finding, each with the nodes that it names."""
    parts = sentences(read_sections(report))
    return [(sentence, _named(sentence)) for sentence in parts if _read(sentence)[0]]


def placed_findings(reports: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What reports say, and where they say it: placed [n, 32, 13], unplaced [n, 13], uncertain [n, 13], all bool.

    placed: a sentence states the finding and names the node. unplaced: a sentence states it and names no node. uncertain: some
    sentence leaves it open. Nodes in the order of the graph, findings in that of FINDINGS.
    """
    graph = default_graph()
    placed = np.zeros((len(reports), len(graph.nodes), len(FINDINGS)), bool)
    unplaced, uncertain = np.zeros((2, len(reports), len(FINDINGS)), bool)
    for row, report in enumerate(reports):
        for sentence in sentences(read_sections(report)):
            stated, doubted = _read(sentence)
            uncertain[row, list(doubted)] = True
            nodes = [graph.index(name) for name in _named(sentence)] if stated else []
            for finding in stated:
                placed[row, nodes, finding] = True
                unplaced[row, finding] |= not nodes
    return placed, unplaced, uncertain
