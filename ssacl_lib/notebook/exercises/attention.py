"""Exercises of notebook 02 on the prompts: who attends to whom, what the decoder of L_ar reads, what a look brings."""

import numpy as np

from .exercise import Exercise


# ---- who attends to whom
def who_sees(queries, patches, mode):
    """A square of queries, CLS and patches, in this order: 1 where the token of the row attends to that of the column."""
    total = queries + 1 + patches
    sees = np.zeros((total, total))
    sees[:, queries + 1 :] = 1
    sees[range(queries + 1), range(queries + 1)] = 1
    sees[queries + 1 :, queries] = mode == "paper"
    return sees


def _changed(rows, columns, value):
    """The right matrix with one block set; rows and columns: of queries, cls, patches, all."""

    def wrong(queries, patches, mode):
        sees = who_sees(queries, patches, mode)
        places = {"queries": slice(queries), "cls": slice(queries, queries + 1), "patches": slice(queries + 1, None)}
        sees[places[rows], places[columns]] = value
        return sees

    return wrong


def _everyone(queries, patches, mode):
    return np.ones((queries + 1 + patches, queries + 1 + patches))


def _not_itself(queries, patches, mode):
    sees = who_sees(queries, patches, mode)
    sees[range(queries), range(queries)] = 0
    return sees


WHO_SEES = Exercise(
    "who_sees",
    who_sees,
    {
        f"{queries} queries, CLS, {patches} patches, attention “{mode}”": (queries, patches, mode)
        for queries, patches, mode in ((2, 3, "paper"), (2, 3, "release"), (3, 2, "paper"))
    },
    {
        "the queries see each other; each sees itself alone among them": _changed("queries", "queries", 1),
        "the patches see the queries; nobody but a query itself sees a query": _changed("patches", "queries", 1),
        "CLS sees the queries; nobody but a query itself sees a query": _changed("cls", "queries", 1),
        "the queries see CLS; they look at themselves and at patches": _changed("queries", "cls", 1),
        "a query sees itself, too": _not_itself,
        "in the release CLS hides from the patches where there are prompts": lambda q, p, mode: who_sees(q, p, "paper"),
        "in the paper the patches see CLS": lambda q, p, mode: who_sees(q, p, "release"),
        "the two modes are exchanged": lambda q, p, mode: who_sees(q, p, "paper" if mode == "release" else "release"),
        "rows and columns are exchanged: a row holds whom its token SEES": lambda q, p, mode: who_sees(q, p, mode).T,
        "all see all: then a prompt disturbs the film and leans on other prompts": _everyone,
    },
    "Start with zeros; open the columns of the patches for every row, then the diagonal of queries and CLS, then CLS for the "
    "patches in one of the two modes.",
)

# ---- what the decoder reads for L_ar
MASKED = np.arange(12.0).reshape(6, 2) ** 2
WHOLE = 100 + np.arange(12.0).reshape(6, 2) * 3


def parent_rows(masked, whole, children, parent):
    """The decoder's input for a restored parent, [mean of the children, the children], and under it the target's one token."""
    return np.vstack([masked[children].mean(0), masked[children], whole[parent]])


def _stacked(first, middle=lambda m, w, c, p: m[c], last=lambda m, w, c, p: w[p]):
    return lambda *given: np.vstack([first(*given), middle(*given), last(*given)])


def _mean(m, w, c, p):
    return m[c].mean(0)


PARENT_ROWS = Exercise(
    "parent_rows",
    parent_rows,
    {
        f"6 nodes with tokens of 2 numbers from each pass; parent {parent} with the children {children}": (
            MASKED, WHOLE, children, parent,
        )
        for children, parent in (([1, 2, 4], 0), ([3, 5], 2))
    },
    {
        "in front stands the MEAN of the children, not the parent's own masked token: that is what is to be restored": _stacked(
            lambda m, w, c, p: m[p]
        ),
        "the children are those of the MASKED pass": _stacked(lambda m, w, c, p: w[c].mean(0), lambda m, w, c, p: w[c]),
        "the target is the parent's token of the UNMASKED pass": _stacked(_mean, last=lambda m, w, c, p: m[p]),
        "the target is the parent's own token, not the mean of its children": _stacked(
            _mean, last=lambda m, w, c, p: w[c].mean(0)
        ),
        "the two passes are exchanged: restored from the masked, target from the unmasked one": lambda m, w, c, p: (
            parent_rows(w, m, c, p)
        ),
        "in front stands the mean of the children, not their sum": _stacked(lambda m, w, c, p: m[c].sum(0)),
        "the mean is that of the children, not of all nodes": _stacked(lambda m, w, c, p: m.mean(0)),
        "the children themselves are missing: the decoder gets their mean AND each of them": lambda m, w, c, p: np.vstack(
            [m[c].mean(0), w[p]]
        ),
        "the mean stands in FRONT of the children: position 0 is what is read": lambda m, w, c, p: np.vstack(
            [m[c], m[c].mean(0), w[p]]
        ),
    },
    "`masked[children]` are the children's tokens; `numpy.vstack` puts their mean, themselves and the target under each other.",
)  # fmt: skip


# ---- what a prompt of SS-ACL+ brings of what it looks at
def looked_at(maps, patches):
    """maps [M, N] of M leaves over N patches, not negative; patches [N, D]: their mean by the map, [M, D]."""
    return maps / maps.sum(1, keepdims=True) @ patches


def _softmax(maps):
    return np.exp(maps) / np.exp(maps).sum(1, keepdims=True)


LOOKED_AT = Exercise(
    "looked_at",
    looked_at,
    {
        "maps [[1, 0, 3, 0], [0, 2, 0, 2]] over 4 patches with tokens (0, 1), (2, 2), (4, 0), (6, 3)": (
            np.array([[1.0, 0.0, 3.0, 0.0], [0.0, 2.0, 0.0, 2.0]]),
            np.array([[0.0, 1.0], [2.0, 2.0], [4.0, 0.0], [6.0, 3.0]]),
        ),
        "map [[4, 1]] over 2 patches with tokens (5, 0, 0), (0, 5, 10)": (
            np.array([[4.0, 1.0]]),
            np.array([[5.0, 0.0, 0.0], [0.0, 5.0, 10.0]]),
        ),
    },
    {
        "the tokens are summed; a map must sum to 1, or a leaf with a larger map brings more": lambda m, x: m @ x,
        "divided by the number of patches; divide by the sum of the leaf's own map": lambda m, x: m @ x / len(x),
        "divided by the sum of ALL maps; each leaf has its own": lambda m, x: m @ x / m.sum(),
        "every patch counts alike: the map is not used, so it would be the same wherever the prompt looks": lambda m, x: (
            np.repeat(x.mean(0, keepdims=True), len(m), 0)
        ),
        "only the highest patch is taken; all count, by their share of the map": lambda m, x: x[m.argmax(1)],
        "a softmax of the map also takes patches where the map is 0": lambda m, x: _softmax(m) @ x,
        "columns were divided by their sums over leaves; divide each ROW by its sum over patches": lambda m, x: (
            (m / m.sum(0)) @ x
        ),
    },
    "Each row of the map divided by its sum, then a matrix product with the patch tokens.",
)
