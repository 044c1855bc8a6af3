"""Exercises of notebook 03: what the decoder may see, what scores of words and of findings see, and shuffled reports."""

import re
from collections import Counter

import numpy as np

from ...anatomy import anatomies_for, leaf_mask
from ...evaluation import cases, small_changes
from ...text import labeler
from .answers import Change, Choice, Number
from .exercise import Exercise

# ---- the score of a denial
DENIAL_SCORE = Number(
    "denial_score",
    "BLEU-1 of “no pleural effusion” against the reference “small pleural effusion”",
    lambda: cases.bleu1("no pleural effusion", "small pleural effusion"),
    {
        "the meaning is opposite, but BLEU counts words": 0.0,
        "one of the three words is not in the reference": 1.0,
        "that is the share of words that are NOT there": 1 / 3,
        "of runs of two words: BLEU-1 counts single words": 0.5,
    },
    "How many of the three generated words does the reference have? Both are equally long, so nothing is taken off.",
)


# ---- the prefix mask
def prefix_mask(findings, patches):
    """[25 + 1 + patches]: 1 where the language decoder may look; order leaves, CLS, patches."""
    return np.concatenate([leaf_mask(anatomies_for(findings)), [0], np.ones(patches)]).astype(float)


def _leaves_changed(change):
    def wrong(findings, patches):
        mask = prefix_mask(findings, patches)
        return np.concatenate([change(mask[:25]), mask[25:]])

    return wrong


def _cls_open(findings, patches):
    mask = prefix_mask(findings, patches)
    mask[25] = 1
    return mask


PREFIX_MASK = Exercise(
    "prefix_mask",
    prefix_mask,
    {
        f"findings {findings}, {patches} patches": (findings, patches)
        for findings, patches in ((["Cardiomegaly"], 4), (["Fracture", "Edema"], 2), (["No Finding"], 3))
    },
    {
        "CLS stays closed, always": _cls_open,
        "all leaves are open; only those of the findings' anatomies may be": _leaves_changed(np.ones_like),
        "all leaves are closed: those of the findings' anatomies are open": _leaves_changed(np.zeros_like),
        "1 is open: the right leaves are marked, the other way round": _leaves_changed(lambda leaves: 1 - leaves),
        "the patches are open, whatever the findings": lambda f, p: np.append(prefix_mask(f, 0), np.zeros(p)),
        "without a finding every leaf stays closed; the patches stay open": lambda f, p: (
            prefix_mask(f, p) if anatomies_for(f) else np.append(np.ones(25), prefix_mask(f, p)[25:])
        ),
        "the order is leaves, CLS, patches": lambda f, p: prefix_mask(f, p)[::-1],
        "all findings count, not the first alone": lambda f, p: prefix_mask(f[:1], p),
    },
    "`anatomy.leaf_mask(anatomy.anatomies_for(findings))` has the 25 leaves; then one 0, then a 1 per patch "
    "(`list`, `+`, and `numpy.array` or a plain list).",
)

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


# ---- BLEU-1
def bleu1(generated, reference):
    """Share of the generated words that the reference has, each as often as there, times a penalty for short reports."""
    return _shared(generated, reference) / len(generated.split()) * _penalty(generated, reference)


def _shared(generated, reference):
    return sum((Counter(generated.split()) & Counter(reference.split())).values())


def _penalty(generated, reference):
    return min(1.0, float(np.exp(1 - len(reference.split()) / len(generated.split()))))


def _unclipped(generated, reference):
    words, known = generated.split(), set(reference.split())
    return sum(word in known for word in words) / len(words) * _penalty(generated, reference)


def _different_words(generated, reference):
    words = set(generated.split())
    return len(words & set(reference.split())) / len(words) * _penalty(generated, reference)


BLEU1 = Exercise(
    "bleu1",
    bleu1,
    {
        f"generated “{generated}”, reference “{reference}”": (generated, reference)
        for generated, reference in (
            ("the the heart is clear", "the heart is normal in size"),
            ("no effusion", "no pleural effusion or pneumothorax"),
            ("there is no pleural effusion on the right", "no pleural effusion"),
        )
    },
    {
        "a word counts as often as the REFERENCE has it, not more": _unclipped,
        "the penalty for a report shorter than its reference is missing": lambda g, r: _shared(g, r) / len(g.split()),
        "that is divided by the words of the reference (recall); BLEU divides by the generated ones": lambda g, r: (
            _shared(g, r) / len(r.split()) * _penalty(g, r)
        ),
        "that is F1 of the words; BLEU is a precision with a penalty": lambda g, r: (
            2 * _shared(g, r) / (len(g.split()) + len(r.split()))
        ),
        "a word that is generated twice counts twice below the fraction": _different_words,
        "a report LONGER than its reference has no penalty: its precision pays already": lambda g, r: (
            _shared(g, r) / len(g.split()) * float(np.exp(1 - len(r.split()) / len(g.split())))
        ),
        "the penalty is exp(1 - reference / generated), not the ratio of the lengths": lambda g, r: (
            _shared(g, r) / len(g.split()) * min(1.0, len(g.split()) / len(r.split()))
        ),
    },
    "`collections.Counter` counts words, and `&` of two counters takes the smaller count of each; the penalty is "
    "exp(1 - reference / generated) in numbers of words, and never above 1.",
)  # fmt: skip

# ---- a report that fools it
DENIED, ENOUGH = "No pleural effusion or pneumothorax.", 0.8


def _state(sentence):
    return labeler.label(sentence).get("Pleural Effusion") or "blank"


def _told(sentence):
    return f"BLEU-1 {cases.bleu1(sentence, DENIED):.2f}; the labeler reads the effusion as {_state(sentence)}"


FOOLED = Choice(
    "fooled",
    f"a sentence with a BLEU-1 of {ENOUGH} or more against “{DENIED}” that asserts a pleural effusion",
    _told,
    {
        "that says what the reference says: it shall say the opposite": lambda s: _state(s) == "negative",
        "of the effusion it must speak": lambda s: _state(s) == "blank",
        "“possible”, or two findings joined by “or”, leave it open: assert it": lambda s: _state(s) != "positive",
        "too few words of the reference, or too short: keep its words and turn its meaning": lambda s: (
            cases.bleu1(s, DENIED) < ENOUGH
        ),
    },
    "Take the reference and move its “no” to the other finding.",
    ("Pleural effusion, no pneumothorax.",),
    (DENIED, "The heart is normal.", "Possible pleural effusion or pneumothorax.", "Large bilateral effusion."),
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

# ---- reports of other films
SHUFFLED_REPORTS = Change(
    "shuffled_reports",
    "two small trainings, the second with the report of another film for every film. What becomes of L_lm, tested on films with "
    "their own reports?",
    small_changes.shuffled_reports,
    small_changes.SAME,
    "At this length the decoder has learnt how reports are worded, and for that any report will do. A falling L_lm does not show "
    "that a film was read; another patient's patches would (section 7).",
    {
        small_changes.HIGHER: "the reports do not fit their films; but has the decoder read any film yet?",
        small_changes.LOWER: "nothing in a wrong report can help with the right one more than the right one does",
    },
    "What can be learnt of a report's words without looking at a film?",
)
