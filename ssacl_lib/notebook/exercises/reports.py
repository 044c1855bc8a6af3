"""Exercises of notebook 03: does a sentence assert an effusion, and micro F1."""

import re

import numpy as np

from .exercise import Exercise

# ---- an asserted effusion
SENTENCES = {
    "There is a small left pleural effusion.": True,
    "Heart size is normal.": False,
    "No pleural effusion or pneumothorax.": False,
    "The lungs are clear without effusion.": False,
    "Bilateral effusions, no pneumothorax.": True,
    "Abnormal right costophrenic angle, small effusion.": True,
    "Effusion on the left.": True,
}


def _mentions(sentence):
    return "effusion" in sentence.lower()


def _unless(*denials, all_of_it=False, letters=str.lower):
    """Asserted unless one of the words stands in front of the finding (or anywhere)."""

    def asserts(sentence):
        before, found, after = letters(sentence).partition("effusion")
        words = re.findall(r"\w+", f"{before} {after}" if all_of_it else before)
        return bool(found) and not set(denials) & set(words)

    return asserts


def _inside_of_words(sentence):
    before, found, _ = sentence.lower().partition("effusion")
    return bool(found) and "no" not in before and "without" not in before


ASSERTS_EFFUSION = Exercise(
    "asserts_effusion",
    SENTENCES.__getitem__,
    {f"“{sentence}”": (sentence,) for sentence in SENTENCES},
    {
        "the word is there, and denied: look for a negation in front of it": _mentions,
        "a negation AFTER the finding belongs to something else": _unless("no", "without", all_of_it=True),
        "“without” denies, too": _unless("no"),
        "“no” denies, too": _unless("without"),
        "“no” stands inside of “abnormal”: compare whole words": _inside_of_words,
        "a sentence begins with a capital letter: compare in lower case": _unless("no", "without", letters=str),
        "that is whether an effusion is DENIED": lambda sentence: (
            _mentions(sentence) and not _unless("no", "without")(sentence)
        ),
        "the other way round: True where there is one": lambda sentence: not SENTENCES[sentence],
    },
    "Cut the sentence (in lower case) at the finding's name, and look for the words no and without in what stands before it.",
)


# ---- micro F1
GENERATED = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 1]], bool)
REFERENCES = (
    np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0]], bool),
    np.array([[1, 0, 0], [0, 1, 1], [0, 1, 1], [1, 0, 0]], bool),
)


def micro_f1(generated, reference):
    """generated, reference [studies, findings] bool: F1 of the pooled counts."""
    return 2 * float((generated & reference).sum()) / float(generated.sum() + reference.sum())


def _mean_of_f1(axis):
    """F1 per column (axis 0) or row (axis 1), then the mean."""

    def score(generated, reference):
        hits, total = (generated & reference).sum(axis), generated.sum(axis) + reference.sum(axis)
        return float(np.mean(2 * hits / total))

    return score


MICRO_F1 = Exercise(
    "micro_f1",
    micro_f1,
    {
        f"generated {GENERATED.astype(int).tolist()}, reference {reference.astype(int).tolist()}": (
            GENERATED,
            reference,
        )
        for reference in REFERENCES
    },
    {
        "that is macro F1: one F1 per finding, then the mean": _mean_of_f1(0),
        "that is example-based F1: one F1 per study, then the mean": _mean_of_f1(1),
        "that is accuracy; agreement on absent findings must not count": lambda g, r: float((g == r).mean()),
        "that is precision; what was missed must count, too": lambda g, r: float((g & r).sum() / g.sum()),
        "that is recall; what was made up must count, too": lambda g, r: float((g & r).sum() / r.sum()),
        "that is the overlap (Jaccard); F1 counts what both say twice": lambda g, r: float(
            (g & r).sum() / (g | r).sum()
        ),
        "the 2 is missing: F1 counts what both say twice": lambda g, r: micro_f1(g, r) / 2,
    },
    "Pool first: 2 * (number both say) / (number the one says + number the other says).",
)
