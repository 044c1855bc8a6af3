"""Findings without a label: does a film fit better to a text that affirms a finding, or to one that denies it?

Of film i and finding k, with the mean text vectors p_k (affirming) and q_k (denying):

    cosine   s_ik = cos(v_i, p_k) - cos(v_i, q_k)        ours
    dot      s_ik = v_i . p_k - v_i . q_k                the release

A two-way softmax of the pair orders films as this difference does. Where nothing denies, the second term is left out. The
threshold of a finding, for F1 and accuracy, is the one with the best F1 on validation films. What is written is a film's place in
the order of its finding, counted from the threshold: all that an AUC reads, and what is not below 0 was called positive.

Where a form of prompts fails, is it the words or the space that films and texts share? On the phantom a last form takes no words
of ours: `training reports`, p_k the mean vector of the reports in which the labeler read the finding, q_k that of all others.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ..datasets.registry import load_training
from ..observations import POSITIVE
from ..settings import Settings
from .encoders import Encoder, at_home, image_vectors, text_vectors
from .films import PHANTOM, films_of
from .prompts import AFFIRMING, DENYING, ENSEMBLE, FORMS, NAMES, ONE_PAIR, SHUFFLED, prompts_for

COSINE, DOT = "cosine", "dot"

MEASURES = {form: (COSINE, DOT) if form in (ONE_PAIR, ENSEMBLE) else (COSINE,) for form in FORMS}
"""Form of the prompts -> how films and texts are compared."""

FROM_REPORTS, REPORTS = f"training reports, {COSINE}", 4000
"""The form without words of ours, and of how many training reports its vectors are made."""

CONSTANTS = {
    "forms": list(FORMS),
    "sentences": [*AFFIRMING, *DENYING],
    "names": {name: list(said) for name, said in NAMES.items()},
    "reports": REPORTS,
}


def measure(encoder: Encoder, settings: Settings) -> pd.DataFrame:
    """study, finding, present, and one column per form of prompts and measure, as "ensemble, cosine": places."""
    validation, test = (films_of(settings, split) for split in ("validation", "test"))
    vectors = {split: all_vectors(encoder, films) for split, films in (("validation", validation), ("test", test))}
    index = pd.MultiIndex.from_product([test.ids, test.names], names=["study", "finding"])
    columns = {"present": test.truth.ravel()}
    asked = [(f"{form}, {measure}", prompt_vectors(encoder, test.names, form), measure)
             for form in forms_for(test.names) for measure in MEASURES[form]]  # fmt: skip
    if settings.dataset == PHANTOM:
        asked.append((FROM_REPORTS, report_vectors(encoder, settings), COSINE))
    for name, texts, measure in asked:
        tuned, told = (scores(vectors[split], texts, measure) for split in ("validation", "test"))
        columns[name] = places(told, thresholds(tuned, validation.truth)).ravel()
    return pd.DataFrame(columns, index).reset_index()


def forms_for(labels: Sequence[str]) -> list[str]:
    """The forms of prompts for these labels: a single one has no other whose name it could take."""
    return [form for form in FORMS if len(labels) > 1 or form != SHUFFLED]


def all_vectors(encoder: Encoder, films, chunk: int = 1024) -> np.ndarray:
    """Vectors [n, Dt] of all films in the space of texts."""
    starts = range(0, len(films), chunk)
    parts = [image_vectors(encoder, films.images(np.arange(i, min(i + chunk, len(films))))) for i in starts]
    return np.concatenate(parts)


def prompt_vectors(encoder: Encoder, labels, form: str) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Per label the vectors [p, Dt] that affirm (one where the mean counts) and the vector [1, Dt] that denies, or None."""
    found = []
    for prompts in prompts_for(labels, form):
        affirming = text_vectors(encoder, prompts.affirming)
        denying = text_vectors(encoder, prompts.denying).mean(0, keepdims=True) if prompts.denying else None
        found.append((affirming if prompts.best else affirming.mean(0, keepdims=True), denying))
    return found


def report_vectors(encoder: Encoder, settings: Settings) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same of each of the 13 findings from the first training reports and what the labeler read in them."""
    studies = load_training(at_home(settings), "train")
    vectors = unit(text_vectors(encoder, studies.reports[:REPORTS]))
    labels = studies.labels[: len(vectors), 1:] == POSITIVE
    whole = vectors.mean(0, keepdims=True)
    return [
        (vectors[own].mean(0, keepdims=True), vectors[~own].mean(0, keepdims=True))
        if 0 < own.sum() < len(own)
        else (whole, whole)
        for own in labels.T
    ]


def scores(films: np.ndarray, texts, measure: str = COSINE) -> np.ndarray:
    """Scores [n, k] of films [n, Dt]; see the top."""

    def alike(vectors: np.ndarray) -> np.ndarray:
        if measure == DOT:
            return films @ vectors.T
        return unit(films) @ unit(vectors).T

    return np.stack([alike(yes).max(1) - (0.0 if no is None else alike(no)[:, 0]) for yes, no in texts], axis=1)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def thresholds(tuned: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Per label the threshold with the best F1 on validation films: scores, truth [n, k] -> [k].

    Halfway to the next score below. Above all scores where no film has the finding.
    """
    found = np.nextafter(tuned.max(0), np.inf)
    for label, (own, present) in enumerate(zip(tuned.T, truth.T, strict=True)):
        if not present.any():
            continue
        order = np.argsort(-own, kind="stable")
        f1 = 2 * np.cumsum(present[order]) / (np.arange(1, len(own) + 1) + present.sum())
        best = int(np.argmax(f1))
        found[label] = own[order[[best, min(best + 1, len(own) - 1)]]].mean()
    return found


def places(told: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Places of scores [n, k] in the order of their column, equal scores alike: int [n, k], 0 = the first at or above limits [k].

    >>> places(np.array([[0.3], [0.1], [0.2]]), np.array([0.15])).ravel().tolist()
    [1, -1, 0]
    """
    found = rankdata(told, method="min", axis=0) - 1 - (told < limits).sum(0)
    return found.astype(np.int16 if len(told) < 2**15 else np.int32)
