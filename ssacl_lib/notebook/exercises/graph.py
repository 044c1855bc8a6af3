"""Exercises of notebook 01: numbers up the graph, as it is and changed, and the leaves that findings open."""

import numpy as np

from ...anatomy import anatomies_for, default_graph, leaf_mask
from ...observations import FINDINGS
from .answers import Choice, Number
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


# ---- one leaf rises
RISE = 4.0


def _chest_rise():
    raised = {**LEAVES, "abdomen": LEAVES["abdomen"] + RISE}
    return restore(raised, "chest") - restore(LEAVES, "chest")


CHEST_RISE = Number(
    "chest_rise",
    "the abdomen's number rises by 4, the other leaves keep theirs; by how much does the chest's rise?",
    _chest_rise,
    {
        "that is a 25th: the chest is the mean of its CHILDREN, not of all leaves": RISE / 25,
        "that is a 32nd: the chest is the mean of its children, not of all nodes": RISE / 32,
        "the whole rise arrives only where a parent has one child; the chest has four": RISE,
        "the abdomen is a leaf AND a child of the chest, so something arrives": 0.0,
        "the chest is no child of its own: divide by its four children": RISE / 5,
    },
    '`default_graph().children("chest")` shows among how many children the rise is shared.',
)


# ---- a tree that was changed
def restore_moved(values, node, parent, asked, keep=False, of_children=np.mean, hang=True):
    """The number of `asked` after `node` was taken from its parent and hung under `parent`."""
    children = {p: [c for c in default_graph().children(p) if keep or c != node] for p in default_graph().parents}
    if hang:
        children[parent].append(node)

    def number(name):
        return float(of_children([number(child) for child in children[name]])) if name in children else values[name]

    return number(asked)


def _every_leaf(values, node, parent, asked):
    """The mean of all leaves below in the changed tree."""
    below = {*default_graph().leaves_below(asked)}
    below = below - {node} if asked not in _line(parent) else below | {node}
    return float(np.mean([values[leaf] for leaf in below]))


RESTORE_MOVED = Exercise(
    "restore_moved",
    restore_moved,
    {
        f"leaves numbered 1 to 25 in leaf order; “{node}” hangs under “{parent}”; the number of “{asked}”": (
            LEAVES, node, parent, asked,
        )
        for node, parent, asked in (
            ("carina", "right lung", "chest"), ("carina", "right lung", "mediastinum"), ("spine", "lungs", "lungs"),
        )
    },
    {
        "that is the tree as it was: hang the node under its new parent": lambda v, n, p, a: restore(v, a),
        "the node hangs in two places: take it from its old parent": lambda v, n, p, a: restore_moved(v, n, p, a, keep=True),
        "the node hangs nowhere: give it to its new parent": lambda v, n, p, a: restore_moved(v, n, p, a, hang=False),
        "that is a sum: a parent is the MEAN of its children": lambda v, n, p, a: restore_moved(v, n, p, a, of_children=np.sum),
        "that is the mean of the leaves below; each CHILD counts once": _every_leaf,
        "that is the number of the node that moved": lambda v, n, p, a: v[n],
    },
    "Make a dict of lists first, `{parent: list(default_graph().children(parent)) for parent in default_graph().parents}`; "
    "move the node from one list to the other; then restore as in the exercise before.",
)  # fmt: skip


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


# ---- a finding that opens a given number
def _opened(finding):
    if finding not in FINDINGS:
        raise ValueError(f"{finding!r} is none of the 13 findings: {', '.join(FINDINGS)}")
    return sorted(anatomies_for([finding]))


FIFTEEN_LEAVES = Choice(
    "fifteen_leaves",
    "the name of one finding that opens 15 leaves",
    lambda finding: f"{finding} opens {', '.join(_opened(finding))}: {count_open([finding])} leaves",
    {
        "the lungs alone are 14 leaves: one more anatomy must be open": lambda f: _opened(f) == ["lungs"],
        "with the mediastinum come 7 leaves: too many": lambda f: _opened(f) == ["lungs", "mediastinum"],
        "the lungs stay closed; without their 14 leaves there are never 15": lambda f: "lungs" not in _opened(f),
    },
    "The lungs have 14 leaves, the abdomen is one: which finding concerns both? Figure 14 has the arrows.",
    ("Pneumothorax", "Pleural Effusion"),
    ("Pneumonia", "Edema", "Fracture"),
)
