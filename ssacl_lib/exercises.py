"""Checks of the exercises: what came, what was due, the likely slip, a hint.

A check calls the reader's function on inputs whose answer can be worked out by hand. Typical wrong answers are written down as
functions, too: whoever gives the same wrong number is told which slip it was. The solutions stand folded in the notebooks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .anatomy import anatomies_for, default_graph, leaf_mask
from .metrics.grounding import contrast_to_noise_ratio


@dataclass(frozen=True)
class Verdict:
    """The answer of a check. passed; what was asked (the input); came; due; slip and hint, where there is something to say."""

    passed: bool
    asked: str = ""
    came: str = ""
    due: str = ""
    slip: str = ""
    hint: str = ""

    def __str__(self) -> str:
        if self.passed:
            return "Right."
        lines = ["Not yet.", f"asked: {self.asked}", f"came:  {self.came}", f"due:   {self.due}"]
        return "\n".join(lines + [f"{name}: {words}" for name, words in (("slip", self.slip), ("hint", self.hint)) if words])

    __repr__ = __str__


@dataclass(frozen=True)
class _Question:
    words: str
    arguments: tuple
    due: object


def _check(function: Callable, questions: Sequence[_Question], slips: Sequence[tuple[Callable, str]], hint: str) -> Verdict:
    """Ask the questions in order; the first answer that isn't due ends the check."""
    for question in questions:
        copies = tuple(a.copy() if isinstance(a, (np.ndarray, dict, list)) else a for a in question.arguments)
        due = _shown(question.due)
        try:
            came = function(*copies)
        except Exception as error:  # noqa: BLE001 - whatever the reader's function raises is shown to the reader
            said = f"{type(error).__name__}: {error}"
            return Verdict(False, question.words, said, due, hint=hint)
        if came is None or came is Ellipsis:
            return Verdict(False, question.words, "nothing yet (the function returns no value)", due, hint=hint)
        if not _equal(came, question.due):
            slip = next((words for wrong, words in slips if _equal(came, wrong(*question.arguments))), "")
            return Verdict(False, question.words, _shown(came), due, slip, hint)
    return Verdict(True)


def _equal(came: object, due: object) -> bool:
    """Equal numbers to 1e-6 (arrays by shape and entries), equal words, equal sets."""
    if isinstance(due, (bool, np.bool_, str, set, tuple)) and not isinstance(due, np.ndarray):
        return type(came) in (bool, np.bool_, str, set, tuple, list) and (
            list(came) == list(due) if isinstance(due, tuple) and isinstance(came, (tuple, list)) else came == due
        )
    try:
        came = np.asarray(came, dtype=float)
    except (TypeError, ValueError):
        return False
    due = np.asarray(due, dtype=float)
    return came.shape == due.shape and bool(np.allclose(came, due, atol=1e-6))


def _shown(value: object) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.4f}"
    return str(np.round(value, 4).tolist()) if isinstance(value, np.ndarray) else str(value)


# ---- notebook 01
def check_restore(restore: Callable[[dict, str], float]) -> Verdict:
    """restore(values, node): number of a node from the numbers of the 25 leaves (a dict by name)."""
    graph = default_graph()
    values = {leaf: float(i + 1) for i, leaf in enumerate(graph.leaves)}

    def right(values, node):
        children = graph.children(node)
        return float(np.mean([right(values, child) for child in children])) if children else values[node]

    def leaf_mean(values, node):
        return float(np.mean([values[leaf] for leaf in graph.leaves_below(node)]))

    nodes = ("abdomen", "cardiac silhouette", "mediastinum", "chest")
    return _check(
        restore,
        [_Question(f"leaves numbered 1 to 25 in leaf order; the number of “{n}”", (values, n), right(values, n)) for n in nodes],
        [(leaf_mean, "that is the mean of all leaves below: each CHILD counts once, however many leaves it holds")],
        "a leaf has its own number; any other node is the mean of restore(values, child) over its children",
    )  # fmt: skip


def check_open_leaves(count_open: Callable[[list], int]) -> Verdict:
    """count_open(findings): how many of the 25 leaves the given findings open."""

    def right(findings):
        return int(leaf_mask(anatomies_for(findings)).sum())

    def twice(findings):
        return sum(int(leaf_mask(anatomies_for([finding])).sum()) for finding in findings)

    def children(findings):
        return sum(len(default_graph().children(anatomy)) for anatomy in anatomies_for(findings))

    asked = (["Cardiomegaly"], ["No Finding"], ["Pleural Effusion"], ["Pneumonia", "Edema"])
    return _check(
        count_open,
        [_Question(f"leaves opened by {', '.join(findings)}", (findings,), right(findings)) for findings in asked],
        [(twice, "a leaf that two findings open counts once"), (children, "those are children; a selected anatomy stands for its LEAVES")],
        "anatomies_for(findings) gives anatomies, leaves_of(anatomy) their leaves; count them without repetition",
    )  # fmt: skip


# ---- notebook 02
def check_masked_error(masked_error: Callable) -> Verdict:
    """masked_error(prediction [N, P], target [N, P], mask [N]): mean squared error of the hidden patches (mask 1 = hidden)."""
    prediction = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 4.0]])
    target = np.array([[9.0, 9.0], [1.0, 3.0], [2.0, 0.0]])
    mask = np.array([0.0, 1.0, 1.0])

    def everywhere(p, t, _):
        return float(((p - t) ** 2).mean())

    def by_all(p, t, m):
        return float((((p - t) ** 2).mean(1) * m).mean())

    return _check(
        masked_error,
        [_Question("3 patches of 2 pixels, errors (81, 81), (0, 4), (0, 16); the last two are hidden", (prediction, target, mask), 5.0)],
        [(everywhere, "the kept patch counts, too: only hidden patches may"),
         (by_all, "the sum is divided by all patches, it must be divided by the hidden ones")],
        "mean over the pixels first, then sum(mask * error) / sum(mask)",
    )  # fmt: skip


def _cross_entropy(logits: np.ndarray) -> float:
    return float(np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits)))


def check_contrast(contrast: Callable) -> Verdict:
    """contrast(similarity [B, B], temperature): mean of image-to-report and report-to-image cross-entropy."""
    similarity = np.array([[1.0, 0.0], [0.5, 0.5]])

    def right(s, t):
        return (_cross_entropy(s / t) + _cross_entropy(s.T / t)) / 2

    def multiplied(s, t):
        return right(s, 1 / t)

    def one_way(s, t):
        return _cross_entropy(s / t)

    return _check(
        contrast,
        [_Question(f"similarity [[1, 0], [0.5, 0.5]], temperature {t}", (similarity, t), right(similarity, t)) for t in (0.5, 1.0)],
        [(multiplied, "the logits are multiplied by the temperature; they are divided by it"),
         (one_way, "only rows are compared; reports must find their images, too (the transpose)")],
        "for each row: log of the sum of exp(row / T), minus the diagonal entry / T; the same for the transpose",
    )  # fmt: skip


def check_consistency_target(target: Callable) -> Verdict:
    """target(report_similarity, leaves, mixing): the target matrix of L_ac for one pair of studies [leaves, leaves]."""

    def right(s, m, mixing):
        return mixing * s + (1 - mixing) * np.eye(m)

    def normalised(s, m, mixing):
        rows = right(s, m, mixing)
        return rows / rows.sum(1, keepdims=True)

    def swapped(s, m, mixing):
        return right(s, m, 1 - mixing)

    return _check(
        target,
        [_Question("report similarity 0.5, 3 leaves, mixing 0.1", (0.5, 3, 0.1), right(0.5, 3, 0.1))],
        [(normalised, "the rows are made to sum to 1; the paper's target keeps them as they are"),
         (swapped, "mixing weighs the report similarity, (1 - mixing) the identity")],
        "the similarity is ONE number that is added to every entry; numpy.eye gives the identity",
    )  # fmt: skip


# ---- notebook 03
def check_asserts_effusion(asserts: Callable[[str], bool]) -> Verdict:
    """asserts(sentence): does the sentence say that there IS a pleural effusion?"""
    due = {
        "There is a small left pleural effusion.": True,
        "Heart size is normal.": False,
        "No pleural effusion or pneumothorax.": False,
        "The lungs are clear without effusion.": False,
        "Bilateral effusions, no pneumothorax.": True,
    }

    def by_word(sentence):
        return "effusion" in sentence.lower()

    def any_negation(sentence):
        lower = sentence.lower()
        return "effusion" in lower and "no " not in lower and "without" not in lower

    return _check(
        asserts,
        [_Question(f"“{sentence}”", (sentence,), answer) for sentence, answer in due.items()],
        [(by_word, "the word is there, and denied: look for a negation in front of it"),
         (any_negation, "a negation AFTER the finding belongs to something else")],
        "cut the sentence at the finding's name and look for no, without in what stands before it",
    )  # fmt: skip


def check_micro_f1(micro_f1: Callable) -> Verdict:
    """micro_f1(generated [n, k] bool, reference [n, k] bool): F1 of the pooled counts."""
    generated = np.array([[1, 1, 0], [0, 0, 1]], bool)
    reference = np.array([[1, 0, 0], [0, 1, 1]], bool)
    reference_two = np.array([[1, 1, 0], [1, 1, 1]], bool)

    def right(g, r):
        return 2 * float((g & r).sum()) / float(g.sum() + r.sum())

    def _mean(g, r, axis):
        hits, total = (g & r).sum(axis), g.sum(axis) + r.sum(axis)
        return float(np.mean(np.divide(2 * hits, total, out=np.zeros(len(total)), where=total > 0)))

    def macro(g, r):
        return _mean(g, r, 0)

    def by_study(g, r):
        return _mean(g, r, 1)

    return _check(
        micro_f1,
        [_Question("generated [[1,1,0],[0,0,1]], reference [[1,0,0],[0,1,1]]", (generated, reference), right(generated, reference)),
         _Question("generated [[1,1,0],[0,0,1]], reference [[1,1,0],[1,1,1]]", (generated, reference_two), right(generated, reference_two))],
        [(macro, "that is macro F1: one F1 per finding, then the mean"), (by_study, "that is example-based F1: one per study"),
         (lambda g, r: float((g == r).mean()), "that is accuracy; silence about absent findings must not count")],
        "pool first: 2 * (number both say) / (number one says + number the other says)",
    )  # fmt: skip


# ---- notebook 04
def check_cnr(cnr: Callable) -> Verdict:
    """cnr(heatmap [H, W], mask [H, W] bool): signed contrast-to-noise ratio with population variances."""
    first = (np.array([[4.0, 2.0], [0.0, 2.0]]), np.array([[True, True], [False, False]]))
    second = (np.array([[0.0, 1.0, 2.0], [5.0, 6.0, 9.0]]), np.array([[True, True, True], [False, False, False]]))

    def _variant(h, m, ddof=0, root=True, absolute=False):
        noise = h[m].var(ddof=ddof) + h[~m].var(ddof=ddof)
        value = (h[m].mean() - h[~m].mean()) / (np.sqrt(noise) if root else noise)
        return float(abs(value) if absolute else value)

    return _check(
        cnr,
        [_Question("map [[4, 2], [0, 2]], mask the upper row", first, contrast_to_noise_ratio(*first)),
         _Question("map [[0, 1, 2], [5, 6, 9]], mask the upper row", second, contrast_to_noise_ratio(*second))],
        [(lambda h, m: _variant(h, m, ddof=1), "those are sample variances (n - 1); the protocol takes population variances"),
         (lambda h, m: _variant(h, m, root=False), "the root of the variances is missing"),
         (lambda h, m: _variant(h, m, absolute=True), "the sign is lost: a map that avoids the mask must be negative")],
        "(mean inside - mean outside) / sqrt(variance inside + variance outside)",
    )  # fmt: skip


def check_visibility_effect(effect: Callable) -> Verdict:
    """effect(scores [K], visible [K, N] bool): per patch, mean score when visible minus mean score when hidden."""
    scores = np.array([0.9, 0.5, 0.1, 0.3])
    visible = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 1, 0]], bool)

    def right(s, v):
        return np.array([s[v[:, n]].mean() - s[~v[:, n]].mean() for n in range(v.shape[1])])

    def seen_only(s, v):
        return np.array([s[v[:, n]].mean() for n in range(v.shape[1])])

    return _check(
        effect,
        [_Question("4 masks with scores 0.9, 0.5, 0.1, 0.3 over 3 patches", (scores, visible), right(scores, visible))],
        [(seen_only, "that is the mean when visible; take off the mean when hidden, or every patch looks good")],
        "for patch n: scores[visible[:, n]].mean() minus scores[~visible[:, n]].mean()",
    )  # fmt: skip


def check_paired_difference(difference: Callable) -> Verdict:
    """difference(own, swapped, study): mean over phrases of own - swapped, and the number of STUDIES behind it."""
    own, swapped = np.array([1.0, 0.8, 0.4, 0.0]), np.array([0.2, 0.6, 0.4, 0.4])
    study = np.array(["a", "a", "b", "c"])
    return _check(
        lambda o, s, g: tuple(round(float(v), 6) for v in answer) if (answer := difference(o, s, g)) not in (None, ...) else None,
        [_Question("own (1, 0.8, 0.4, 0), swapped (0.2, 0.6, 0.4, 0.4), studies a a b c", (own, swapped, study), (0.15, 3.0))],
        [(lambda o, s, g: (0.15, 4.0), "two phrases of one study are not independent: count studies"),
         (lambda o, s, g: (round(float(np.abs(o - s).mean()), 6), 3.0), "a difference keeps its sign")],
        "(own - swapped).mean() and the number of distinct studies",
    )  # fmt: skip
