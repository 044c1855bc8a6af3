"""Exercises of notebook 02: errors, contrast and target by hand, and three changes whose effect is foretold and then measured.

Who attends to whom and what the decoder reads: attention.py.
"""

import numpy as np

from ...evaluation import small_changes
from .answers import Change, Number
from .exercise import Exercise

# ---- mean squared error of the hidden patches
PREDICTION = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [2.0, 4.0, 0.0], [1.0, 0.0, 2.0]])
TARGET = np.array([[3.0, 3.0, 3.0], [1.0, 3.0, 1.0], [2.0, 0.0, 3.0], [1.0, 0.0, 1.0]])
MASK = np.array([0.0, 1.0, 1.0, 0.0])


def masked_error(prediction, target, mask):
    """prediction, target [N, P]; mask [N], 1 = hidden."""
    return _of_hidden(((prediction - target) ** 2).mean(1), mask)


def _of_hidden(error, mask):
    return float((mask * error).sum() / mask.sum())


MASKED_ERROR = Exercise(
    "masked_error",
    masked_error,
    {
        "squared errors (9, 9, 9), (0, 4, 0), (0, 16, 9), (0, 0, 1) of 4 patches; the middle two are hidden": (
            PREDICTION, TARGET, MASK,
        ),
        "the same errors, only the third patch hidden": (PREDICTION, TARGET, np.array([0.0, 0.0, 1.0, 0.0])),
    },
    {
        "the kept patches count, too: only hidden ones may": lambda p, t, _: float(((p - t) ** 2).mean()),
        "those are the KEPT patches; mask 1 means hidden": lambda p, t, m: masked_error(p, t, 1 - m),
        "the pixels of a patch are summed; take their mean": lambda p, t, m: _of_hidden(((p - t) ** 2).sum(1), m),
        "the hidden patches are summed; divide by their number": lambda p, t, m: masked_error(p, t, m) * m.sum(),
        "divided by the number of all patches; divide by that of the hidden ones": lambda p, t, m: (
            masked_error(p, t, m) * m.mean()
        ),
        "those are absolute errors; square them": lambda p, t, m: _of_hidden(abs(p - t).mean(1), m),
        "the root is taken; the loss is the mean SQUARED error": lambda p, t, m: masked_error(p, t, m) ** 0.5,
    },
    "The mean over the pixels of each patch first, then `(mask * error).sum() / mask.sum()`.",
)  # fmt: skip


# ---- contrast of images and reports
def contrast(similarity, temperature):
    """similarity [B, B], cosine of image i and report j: mean of image-to-report and report-to-image cross-entropy."""
    return (_rows(similarity, temperature) + _rows(similarity.T, temperature)) / 2


def _rows(similarity, temperature):
    """Each row's cross-entropy against its diagonal entry, mean of the rows."""
    logits = similarity / temperature
    return float(np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits)))


SIMILARITY = np.array([[0.9, 0.1, -0.2], [0.4, 0.3, 0.6], [0.0, 0.2, 0.5]])

CONTRAST = Exercise(
    "contrast",
    contrast,
    {f"similarity {SIMILARITY.tolist()}, temperature {t}": (SIMILARITY, t) for t in (0.5, 0.2)},
    {
        "the logits are multiplied by the temperature; they are divided by it": lambda s, t: contrast(s, 1 / t),
        "the temperature is missing": lambda s, _: contrast(s, 1.0),
        "only rows are compared; reports must find their images, too (the transpose)": _rows,
        "only columns are compared; images must find their reports, too": lambda s, t: _rows(s.T, t),
        "the two directions are added; take their mean": lambda s, t: 2 * contrast(s, t),
        "the pairs of the batch are summed; take their mean": lambda s, t: len(s) * contrast(s, t),
        "the sign is reversed: a loss falls as the diagonal grows": lambda s, t: -contrast(s, t),
        "the matching pair belongs into the sum below the fraction, too": lambda s, t: (
            (_without_match(s, t) + _without_match(s.T, t)) / 2
        ),
    },
    "For each row: the log of the sum of `exp(row / T)`, minus the diagonal entry divided by T; their mean; then the same "
    "for the transpose, and the mean of the two.",
)


def _without_match(similarity, temperature):
    logits = similarity / temperature
    others = np.exp(logits).sum(1) - np.exp(np.diag(logits))
    return float(np.mean(np.log(others) - np.diag(logits)))


# ---- target of L_ac
def consistency_target(report_similarity, leaves, mixing):
    """The target of L_ac for one pair of studies: [leaves, leaves]."""
    return mixing * report_similarity + (1 - mixing) * np.eye(leaves)


def _rows_to_one(report_similarity, leaves, mixing):
    rows = consistency_target(report_similarity, leaves, mixing)
    return rows / rows.sum(1, keepdims=True)


CONSISTENCY_TARGET = Exercise(
    "consistency_target",
    consistency_target,
    {
        f"report similarity {similarity}, {leaves} leaves, mixing {mixing}": (similarity, leaves, mixing)
        for similarity, leaves, mixing in ((0.5, 3, 0.1), (0.8, 2, 0.4), (0.2, 3, 1.0))
    },
    {
        "the rows are made to sum to 1; the paper's target keeps them as they are": _rows_to_one,
        "mixing weighs the report similarity, (1 - mixing) the identity": lambda s, m, x: consistency_target(
            s, m, 1 - x
        ),
        "the similarity is missing: that is the identity's part alone": lambda s, m, x: (1 - x) * np.eye(m),
        "the similarity stands on the diagonal only; it is added to EVERY entry": lambda s, m, x: (
            (x * s + 1 - x) * np.eye(m)
        ),
        "the similarity stands beside the diagonal only; it is added to EVERY entry": lambda s, m, x: np.where(
            np.eye(m) > 0, 1 - x, x * s
        ),
        "both parts need their weight, mixing and (1 - mixing)": lambda s, m, x: s + np.eye(m),
    },
    "The similarity is ONE number that is added to every entry; `numpy.eye(leaves)` gives the identity.",
)


# ---- the sum of a row of that target
def _row_sum(similarity=0.5, leaves=25, mixing=0.1):
    return float(consistency_target(similarity, leaves, mixing)[0].sum())


ROW_SUM = Number(
    "row_sum",
    "a row of the target of L_ac for 25 leaves, mixing 0.1, report similarity 0.5; what is its sum?",
    _row_sum,
    {
        "the rows are not normalised: they need not sum to 1": 1.0,
        "the similarity is added to EVERY of the 25 entries, not to one": 0.95,
        "that is the identity's part alone": 0.9,
        "that is the similarity's part alone; the identity's comes on top": 1.25,
        "mixing weighs the similarity, (1 - mixing) the identity": 0.1 + 25 * 0.9 * 0.5,
        "both parts need their weight": 1 + 25 * 0.5,
    },
    "One entry holds (1 - mixing), and every one of the 25 holds mixing times the similarity.",
)


# ---- the weight of an image in L_cl
def image_weight(visible, weight, bias, turn=lambda x: np.log1p(np.exp(x))):
    """visible [B, N], weight [N], bias: softplus(weight . visible_i + bias) of each image [B]."""
    return turn(visible @ weight + bias)


VISIBLE_PATCHES = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
WEIGHT = np.array([0.8, -1.5, 0.4, 2.0])

IMAGE_WEIGHT = Exercise(
    "image_weight",
    image_weight,
    {
        f"4 patches of weights {WEIGHT.tolist()}, bias {bias}; three images show patches 1, 2, then 2, 3, then 1, 2, 3": (
            VISIBLE_PATCHES, WEIGHT, bias,
        )
        for bias in (0.0, 0.5)
    },
    {
        "the softplus is missing: a weight must be positive": lambda v, w, b: v @ w + b,
        "that is exp; softplus is log(1 + exp(x))": lambda v, w, b: image_weight(v, w, b, np.exp),
        "that is the sigmoid; softplus is log(1 + exp(x))": lambda v, w, b: image_weight(
            v, w, b, lambda x: 1 / (1 + np.exp(-x))
        ),
        "that is what is above 0 (ReLU); softplus is log(1 + exp(x))": lambda v, w, b: image_weight(
            v, w, b, lambda x: np.maximum(x, 0)
        ),
        "the bias is missing": lambda v, w, b: image_weight(v, w, 0.0),
        "the hidden patches are weighed; `visible` is 1 for a patch that is shown": lambda v, w, b: image_weight(1 - v, w, b),
        "that is the mean over the visible patches; the weights are summed": lambda v, w, b: image_weight(
            v / v.sum(1, keepdims=True), w, b
        ),
        "the weights are made to sum to 1; that happens later, in the weighted mean": lambda v, w, b: (
            image_weight(v, w, b) / image_weight(v, w, b).sum()
        ),
    },
    "`visible @ weight + bias` is one number per image; softplus of x is `log(1 + exp(x))`.",
)  # fmt: skip


# ---- three changes
MIXING = Change(
    "mixing",
    "the shipped model, the same films; lambda of L_ac goes from 0.1 to 0.5. What becomes of the value of L_ac?",
    small_changes.mixing,
    small_changes.HIGHER,
    "Nothing was learnt or lost: the target's rows hold more in all entries, and the softmax can't give every leaf much. Values "
    "of L_ac under different lambda can't be compared.",
    {
        small_changes.LOWER: "a softer target sounds easier, but its rows sum to more than 1: there is more to be paid for",
        small_changes.SAME: "the model is the same, the loss is not: lambda stands in its target",
    },
    "Look at the sum of a row of the target, with lambda 0.1 and with 0.5, where a batch of 16 shares s_ij.",
)

MASK_RATIO = Change(
    "mask_ratio",
    "the shipped model, the same films; 0.9 of the patches are hidden in place of 0.5. What becomes of L_ir, the error per "
    "hidden pixel?",
    small_changes.mask_ratio,
    small_changes.HIGHER,
    "The error is a mean over hidden patches, so their number does not matter; that fewer neighbours are left to draw from does.",
    {
        small_changes.LOWER: "there are more hidden patches, but the error is divided by their number",
        small_changes.SAME: "it is a mean, so the number alone changes nothing; but each patch is drawn from fewer others",
    },
    "What does the decoder draw a hidden patch from?",
)

LEFT_OUT = Change(
    "left_out",
    "two small trainings; in the second every loss but L_ar is left out. What becomes of L_ar?",
    small_changes.left_out,
    small_changes.LOWER,
    "L_ar compares two drawings of the decoder with each other. Where no other loss holds them, both sides become the same "
    "drawing for every patient and every parent: a tiny loss, and nothing learnt of anatomy.",
    {
        small_changes.HIGHER: "the decoder can't draw a film then, but L_ar holds its drawings against each other",
        small_changes.SAME: "no film stands in L_ar, but both of its sides come from parts that the other losses keep apart",
    },
    "Section 3: which pixels of the film stand in L_ar? What is the easiest way to make both of its sides equal?",
)
