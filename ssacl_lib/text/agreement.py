"""How far labels read from reports agree with a truth from elsewhere: the phantom's signs, an indexer's tags, a reader."""

import numpy as np
import pandas as pd

from ..observations import NEGATIVE, OBSERVATIONS, POSITIVE, UNCERTAIN


def label_agreement(labels: np.ndarray, truth: np.ndarray, names: tuple[str, ...] = OBSERVATIONS[1:]) -> pd.DataFrame:
    """One row per finding: how often it is true, how its labels fall, precision and recall.

    Args:
        labels: [n, k] codes of `datasets.study`.
        truth: [n, k] bool.
        names: the k findings.

    Returns:
        Columns finding, true, positive, uncertain, denied (true ones labelled negative), precision and recall of
        positive labels, recall_with_uncertain; NaN where nothing is to divide by.

    Raises:
        ValueError: shapes that do not fit.
    """
    labels, truth = np.asarray(labels), np.asarray(truth, dtype=bool)
    if labels.shape != truth.shape or labels.shape[1:] != (len(names),):
        raise ValueError(f"labels {labels.shape} and truth {truth.shape}, expected two of [n, {len(names)}]")
    said, unsure = labels == POSITIVE, labels == UNCERTAIN
    true = truth.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame({
            "finding": names,
            "true": true,
            "positive": said.sum(0),
            "uncertain": unsure.sum(0),
            "denied": (truth & (labels == NEGATIVE)).sum(0),
            "precision": (said & truth).sum(0) / said.sum(0),
            "recall": (said & truth).sum(0) / true,
            "recall_with_uncertain": ((said | unsure) & truth).sum(0) / true,
        })  # fmt: skip
