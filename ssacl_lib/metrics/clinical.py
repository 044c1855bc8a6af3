"""Does a generated report say the same findings as the reference: F1 of the labels that the labeler reads in both.

Labels are [n, 14] codes in the order of OBSERVATIONS (`datasets.study`). Two conventions: only positive counts (the
release's code, our default), or uncertain counts too (`uncertain_as_positive`; the release's comment, Miura et al.).
Where there is nothing to divide by (an observation that neither side ever names) a score is 0, as in scikit-learn.
"""

from collections.abc import Sequence

import numpy as np

from ..observations import OBSERVATIONS, POSITIVE, UNCERTAIN
from .intervals import Interval, bootstrap_sums, sums_by_group

FIVE = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
"""The five observations of CheXpert's competition."""

SUBSETS = {
    "14": np.arange(14),
    "13": np.arange(1, 14),
    "5": np.array([OBSERVATIONS.index(name) for name in FIVE]),
}
"""Columns behind the suffix of a metric; 13 leaves "No Finding" out."""

METRICS = (
    *(
        f"{kind}_{score}_{subset}"
        for kind in ("micro", "macro")
        for subset in SUBSETS
        for score in ("precision", "recall", "f1")
    ),
    *("example_precision", "example_recall", "example_f1"),
    *(f"f1_{name}" for name in OBSERVATIONS),
)
"""Names of all metrics, in the order of `clinical_scores`."""


def positive_labels(labels: np.ndarray, uncertain_as_positive: bool = False) -> np.ndarray:
    """Codes [n, 14] as bool [n, 14]: which observations count as said.

    Raises:
        ValueError: not [n, 14].
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.shape[1] != len(OBSERVATIONS):
        raise ValueError(f"labels has shape {labels.shape}, expected [n, 14] codes in the order of OBSERVATIONS")
    return (labels == POSITIVE) | (uncertain_as_positive & (labels == UNCERTAIN))


def clinical_scores(
    generated_labels: np.ndarray, reference_labels: np.ndarray, uncertain_as_positive: bool = False
) -> dict[str, float]:
    """Every metric of METRICS by name.

    Micro pools the counts of the observations; macro is the mean of the observations' scores; example-based is the mean
    over studies of each study's score over the 14; `f1_<observation>` is one observation's.

    Args:
        generated_labels, reference_labels: [n, 14] codes, pairs by position.
        uncertain_as_positive: the second convention, on both sides.

    Raises:
        ValueError: not [n, 14], different numbers of studies, or none.
    """
    sums = _per_study(generated_labels, reference_labels, uncertain_as_positive).sum(0)
    return dict(zip(METRICS, map(float, _scores(sums)), strict=True))


def clinical_intervals(
    generated_labels: np.ndarray,
    reference_labels: np.ndarray,
    uncertain_as_positive: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    patients: Sequence | None = None,
) -> dict[str, Interval]:
    """`clinical_scores` with 95 % intervals over `patients` [n], each drawn with all studies; None: a study is a patient."""
    sums = _per_study(generated_labels, reference_labels, uncertain_as_positive)
    sums = sums if patients is None else sums_by_group(sums, patients)[0]
    bounds = bootstrap_sums(sums, _scores, resamples, seed)
    return {name: Interval(*map(float, row)) for name, row in zip(METRICS, bounds, strict=True)}


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole > 0)


def _precision_recall_f1(hit: np.ndarray, false: np.ndarray, missed: np.ndarray) -> tuple[np.ndarray, ...]:
    return _ratio(hit, hit + false), _ratio(hit, hit + missed), _ratio(2 * hit, 2 * hit + false + missed)


def _per_study(generated: np.ndarray, reference: np.ndarray, uncertain_as_positive: bool) -> np.ndarray:
    """What each study adds: [n, 46] = hits, false ones, missed ones of the 14, three example-based scores, and 1."""
    said, true = (positive_labels(labels, uncertain_as_positive) for labels in (generated, reference))
    if len(said) != len(true) or not len(said):
        raise ValueError(
            f"labels of {len(said)} generated and {len(true)} reference reports, expected pairs, at least one"
        )
    counts = [said & true, said & ~true, ~said & true]
    examples = _precision_recall_f1(*(count.sum(1).astype(np.float64) for count in counts))
    return np.hstack([*counts, np.stack(examples, axis=1), np.ones((len(said), 1))]).astype(np.float64)


def _scores(sums: np.ndarray) -> np.ndarray:
    """All metrics from summed `_per_study` rows: [..., 46] -> [..., number of METRICS]."""
    hit, false, missed = sums[..., :14], sums[..., 14:28], sums[..., 28:42]
    each = _precision_recall_f1(hit, false, missed)
    micro = [
        s for c in SUBSETS.values() for s in _precision_recall_f1(*(x[..., c].sum(-1) for x in (hit, false, missed)))
    ]
    macro = [score[..., columns].mean(-1) for columns in SUBSETS.values() for score in each]
    examples = sums[..., 42:45] / sums[..., 45:]
    return np.concatenate([np.stack([*micro, *macro], axis=-1), examples, each[2]], axis=-1)
