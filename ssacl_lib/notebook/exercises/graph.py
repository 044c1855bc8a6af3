"""Exercises of notebook 01: restore a parent's number, count the leaves that findings open."""

import numpy as np

from ...anatomy import anatomies_for, default_graph, leaf_mask
from .exercise import Exercise

# ---- the number of a node from the numbers of the leaves
LEAVES = {leaf: float(i + 1) for i, leaf in enumerate(default_graph().leaves)}


def restore(values, node, of_children=np.mean):
    """values: leaf -> number. A leaf has its own number, any other node the mean of its children's."""
    children = default_graph().children(node)
    return float(of_children([restore(values, child, of_children) for child in children])) if children else values[node]


def _leaf_mean(values, node):
    return float(np.mean([values[leaf] for leaf in default_graph().leaves_below(node)]))


def _all_below(values, node):
    below = [other for other in default_graph().nodes if node in _line(other)[1:]]
    return float(np.mean([restore(values, other) for other in below])) if below else values[node]


def _line(node):
    """A node and what it lies in, up to the chest."""
    parent = default_graph().parent(node)
    return [node] if parent is None else [node, *_line(parent)]


RESTORE = Exercise(
    "restore",
    restore,
    {
        f"leaves numbered 1 to 25 in leaf order; the number of “{node}”": (LEAVES, node)
        for node in ("mediastinum", "chest", "cardiac silhouette", "abdomen")
    },
    {
        "that is the mean of all leaves below: each CHILD counts once, however many leaves it holds": _leaf_mean,
        "that is a sum: a parent is the MEAN of its children": lambda v, n: restore(v, n, np.sum),
        "that is the largest child: a parent is the MEAN of its children": lambda v, n: restore(v, n, np.max),
        "that is the mean of all nodes below, children of children too: only the children count": _all_below,
    },
    "A leaf has its own number; any other node is the mean of `restore(values, child)` over "
    "`default_graph().children(node)`.",
)


# ---- how many leaves are opened
def count_open(findings):
    """How many of the 25 leaves the findings open; each counts once."""
    return int(leaf_mask(anatomies_for(findings)).sum())


def _children(findings):
    return sum(max(len(default_graph().children(anatomy)), 1) for anatomy in anatomies_for(findings))


def _all_nodes(findings):
    return sum(bool(set(_line(node)) & set(anatomies_for(findings))) for node in default_graph().nodes)


OPEN_LEAVES = Exercise(
    "open_leaves",
    count_open,
    {
        f"leaves opened by {findings}": (findings,)
        for findings in (["Pneumonia", "Edema"], ["Cardiomegaly"], ["No Finding"], ["Pleural Effusion"])
    },
    {
        "a leaf that two findings open counts once": lambda findings: sum(count_open([f]) for f in findings),
        "those are children; a selected anatomy stands for its LEAVES": _children,
        "those are anatomies; each stands for all of its leaves": lambda findings: len(anatomies_for(findings)),
        "parents are not leaves: only nodes without children count": _all_nodes,
        "those are the leaves that stay closed": lambda findings: len(default_graph().leaves) - count_open(findings),
        "that is the first finding alone": lambda findings: count_open(findings[:1]),
        "without a finding nothing opens; all 25 is the other extreme": lambda findings: count_open(findings) or 25,
    },
    "`anatomies_for(findings)` gives the anatomies, `default_graph().leaves_below(anatomy)` the leaves of one; a `set` "
    "counts each leaf once.",
)
