"""Checks of the exercises: what came, what was due, the likely slip, a hint.

A check calls the reader's function on inputs whose answer can be worked out by hand. Typical wrong answers are written
down as functions, too: whoever gives the same wrong number is told which slip it was. The solutions stand folded in the
notebooks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..anatomy import anatomies_for, default_graph, leaf_mask
from ..metrics.grounding import contrast_to_noise_ratio


@dataclass(frozen=True)
class Verdict:
    """The answer of a check: passed, what was asked (the input), what came, what was due, the likely slip, a hint."""

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
        more = [f"{name}: {words}" for name, words in (("slip", self.slip), ("hint", self.hint)) if words]
        return "\n".join(lines + more)

    __repr__ = __str__


def _check(
    function: Callable, right: Callable, questions: Mapping[str, tuple], slips: Mapping[str, Callable], hint: str
) -> Verdict:
    """Ask the questions (words -> arguments) in order; the first answer that isn't the right one's ends the check.

    slips: what to say -> the wrong function that gives the same answer.
    """
    for words, arguments in questions.items():
        due = right(*arguments)
        try:
            came = function(*(a.copy() if hasattr(a, "copy") else a for a in arguments))
        except Exception as error:  # noqa: BLE001 - whatever the reader's function raises is shown to the reader
            return Verdict(False, words, f"{type(error).__name__}: {error}", _shown(due), hint=hint)
        if came is None or came is Ellipsis:
            return Verdict(False, words, "nothing yet (the function returns no value)", _shown(due), hint=hint)
        if not _equal(came, due):
            slip = next((said for said, wrong in slips.items() if _equal(came, wrong(*arguments))), "")
            return Verdict(False, words, _shown(came), _shown(due), slip, hint)
    return Verdict(True)


def _equal(came: object, due: object) -> bool:
    """Equal numbers to 1e-6 (arrays by shape and entries); True and False are no numbers."""
    if isinstance(due, bool):
        return isinstance(came, (bool, np.bool_)) and bool(came) == due
    try:
        came, due = np.asarray(came, dtype=float), np.asarray(due, dtype=float)
    except (TypeError, ValueError):
        return False
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
        right,
        {f"leaves numbered 1 to 25 in leaf order; the number of “{node}”": (values, node) for node in nodes},
        {"that is the mean of all leaves below: each CHILD counts once, however many leaves it holds": leaf_mean},
        "a leaf has its own number; any other node is the mean of restore(values, child) over its children",
    )


def check_open_leaves(count_open: Callable[[list], int]) -> Verdict:
    """count_open(findings): how many of the 25 leaves the given findings open."""

    def right(findings):
        return int(leaf_mask(anatomies_for(findings)).sum())

    def twice(findings):
        return sum(right([finding]) for finding in findings)

    def children(findings):
        return sum(len(default_graph().children(anatomy)) for anatomy in anatomies_for(findings))

    asked = (["Cardiomegaly"], ["No Finding"], ["Pleural Effusion"], ["Pneumonia", "Edema"])
    return _check(
        count_open,
        right,
        {f"leaves opened by {', '.join(findings)}": (findings,) for findings in asked},
        {
            "a leaf that two findings open counts once": twice,
            "those are children; a selected anatomy stands for its LEAVES": children,
        },
        "anatomies_for(findings), then default_graph().leaves_below(anatomy); count leaves without repetition",
    )


# ---- notebook 02
def check_masked_error(masked_error: Callable) -> Verdict:
    """masked_error(prediction [N, P], target [N, P], mask [N]): mean squared error of the hidden patches (mask 1)."""
    prediction = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 4.0]])
    target = np.array([[9.0, 9.0], [1.0, 3.0], [2.0, 0.0]])
    mask = np.array([0.0, 1.0, 1.0])

    def right(p, t, m):
        return float((((p - t) ** 2).mean(1) * m).sum() / m.sum())

    def everywhere(p, t, _):
        return float(((p - t) ** 2).mean())

    errors = "3 patches of 2 pixels, errors (81, 81), (0, 4), (0, 16); the last two are hidden"
    return _check(
        masked_error,
        right,
        {errors: (prediction, target, mask)},
        {"the kept patch counts, too: only hidden patches may": everywhere},
        "mean over the pixels first, then sum(mask * error) / sum(mask)",
    )


def check_contrast(contrast: Callable) -> Verdict:
    """contrast(similarity [B, B], temperature): mean of image-to-report and report-to-image cross-entropy."""
    similarity = np.array([[1.0, 0.0], [0.5, 0.5]])

    def one_way(s, t):
        return float(np.mean(np.log(np.exp(s / t).sum(1)) - np.diag(s / t)))

    def right(s, t):
        return (one_way(s, t) + one_way(s.T, t)) / 2

    return _check(
        contrast,
        right,
        {f"similarity [[1, 0], [0.5, 0.5]], temperature {t}": (similarity, t) for t in (0.5, 1.0)},
        {
            "the logits are multiplied by the temperature; they are divided by it": lambda s, t: right(s, 1 / t),
            "only rows are compared; reports must find their images, too (the transpose)": one_way,
        },
        "for each row: log of the sum of exp(row / T), minus the diagonal entry / T; the same for the transpose",
    )


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
        right,
        {"report similarity 0.5, 3 leaves, mixing 0.1": (0.5, 3, 0.1)},
        {
            "the rows are made to sum to 1; the paper's target keeps them as they are": normalised,
            "mixing weighs the report similarity, (1 - mixing) the identity": swapped,
        },
        "the similarity is ONE number that is added to every entry; numpy.eye gives the identity",
    )


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
        due.get,
        {f"“{sentence}”": (sentence,) for sentence in due},
        {
            "the word is there, and denied: look for a negation in front of it": by_word,
            "a negation AFTER the finding belongs to something else": any_negation,
        },
        "cut the sentence at the finding's name and look for no, without in what stands before it",
    )


def check_micro_f1(micro_f1: Callable) -> Verdict:
    """micro_f1(generated [n, k] bool, reference [n, k] bool): F1 of the pooled counts."""
    generated = np.array([[1, 1, 0], [0, 0, 1]], bool)
    references = (np.array([[1, 0, 0], [0, 1, 1]], bool), np.array([[1, 1, 0], [1, 1, 1]], bool))

    def right(g, r):
        return 2 * float((g & r).sum()) / float(g.sum() + r.sum())

    def mean_of(axis):
        def score(g, r):
            hits, total = (g & r).sum(axis), g.sum(axis) + r.sum(axis)
            return float(np.mean(np.divide(2 * hits, total, out=np.zeros(len(total)), where=total > 0)))

        return score

    return _check(
        micro_f1,
        right,
        {f"generated [[1, 1, 0], [0, 0, 1]], reference {r.astype(int).tolist()}": (generated, r) for r in references},
        {
            "that is macro F1: one F1 per finding, then the mean": mean_of(0),
            "that is example-based F1: one per study": mean_of(1),
            "that is accuracy; silence about absent findings must not count": lambda g, r: float((g == r).mean()),
        },
        "pool first: 2 * (number both say) / (number one says + number the other says)",
    )


# ---- notebook 04
def check_cnr(cnr: Callable) -> Verdict:
    """cnr(heatmap [H, W], mask [H, W] bool): signed contrast-to-noise ratio with population variances."""
    first = (np.array([[4.0, 2.0], [0.0, 2.0]]), np.array([[True, True], [False, False]]))
    second = (np.array([[0.0, 1.0, 2.0], [5.0, 6.0, 9.0]]), np.array([[True] * 3, [False] * 3]))

    def noise(h, m, ddof=0):
        return h[m].var(ddof=ddof) + h[~m].var(ddof=ddof)

    def contrast(h, m):
        return h[m].mean() - h[~m].mean()

    return _check(
        cnr,
        contrast_to_noise_ratio,
        {f"map {heatmap.tolist()}, mask the upper row": (heatmap, mask) for heatmap, mask in (first, second)},
        {
            "those are sample variances (n - 1); the protocol takes population variances": lambda h, m: (
                contrast(h, m) / np.sqrt(noise(h, m, 1))
            ),
            "the root of the variances is missing": lambda h, m: contrast(h, m) / noise(h, m),
            "the sign is lost: a map that avoids the mask must be negative": lambda h, m: (
                abs(contrast(h, m)) / np.sqrt(noise(h, m))
            ),
        },
        "(mean inside - mean outside) / sqrt(variance inside + variance outside)",
    )


def check_visibility_effect(effect: Callable) -> Verdict:
    """effect(scores [K], visible [K, N] bool): per patch, mean score when visible minus mean score when hidden."""
    scores = np.array([0.9, 0.5, 0.1, 0.3])
    visible = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 1, 0]], bool)

    def seen_only(s, v):
        return np.array([s[shown].mean() for shown in v.T])

    def right(s, v):
        return seen_only(s, v) - seen_only(s, ~v)

    return _check(
        effect,
        right,
        {"4 masks with scores 0.9, 0.5, 0.1, 0.3 over 3 patches": (scores, visible)},
        {"that is the mean when visible; take off the mean when hidden, or every patch looks good": seen_only},
        "for patch n: scores[visible[:, n]].mean() minus scores[~visible[:, n]].mean()",
    )


# ---- notebook 07
def check_speedup(speedup: Callable) -> Verdict:
    """speedup(reference [rounds], ours [rounds]): how many times faster ours is, by the seconds of rounds in turns."""
    seconds = np.array([2.0, 2.2, 9.0, 2.1, 2.0]), np.array([1.0, 1.1, 3.0, 1.5, 1.0])
    return _check(
        speedup,
        lambda r, o: float(np.median(r / o)),
        {f"reference {seconds[0].tolist()}, ours {seconds[1].tolist()} seconds": seconds},
        {
            "that is below 1 where ours is faster: divide the reference's seconds by ours": lambda r, o: float(
                np.median(o / r)
            ),
            "a round is a pair: divide first, then take the median": lambda r, o: float(np.median(r) / np.median(o)),
            "one odd round moves a mean; take the median": lambda r, o: float(np.mean(r / o)),
        },
        "one ratio per round, reference / ours; then the middle one",
    )
