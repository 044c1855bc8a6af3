"""Exercises of notebook 02: error of the hidden patches, contrast in both directions, target of the consistency."""

import numpy as np

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
