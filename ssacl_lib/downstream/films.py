"""The films of the classification tasks with their labels: of phantom patients the truth, of real ones the lists' labels."""

from functools import lru_cache

import numpy as np

from ..datasets.labelled import NIH, RSNA, LabelledFilms, films_of_list
from ..datasets.registry import load_training
from ..evaluation.comparison_run import PATIENTS
from ..evaluation.difficulty import truth_of
from ..observations import FINDINGS
from ..settings import Settings

PHANTOM = "phantom"

CLASSIFIED = (PHANTOM, NIH, RSNA)
"""Data sets of which findings are asked."""


@lru_cache(maxsize=3)
def films_of(settings: Settings, split: str) -> LabelledFilms:
    """Films of a split with labels; the phantom's test patients are those of PATIENTS.

    The truth of the phantom's training patients stands for the labels that a hospital would have had made.
    """
    if settings.dataset != PHANTOM:
        return films_of_list(settings, split)
    own = settings.changed(seed=PATIENTS) if split == "test" else settings
    studies = load_training(own, split)
    return LabelledFilms(FINDINGS, studies.study_ids, truth_of(own.seed, split, len(studies)), studies.images)


def nested_rows(count: int, percent: float, subset: int, given: dict[float, np.ndarray] | None = None) -> np.ndarray:
    """Numbers of the films in a subset of the labels, at least one: a smaller percentage lies inside of a larger one.

    The draw depends on count and subset alone, so it is the same for all encoders. given: lists that a data set brings, which
    take the place of the first subset.
    """
    if subset == 0 and given and percent in given:
        return given[percent]
    order = np.random.default_rng([count, subset, 89]).permutation(count)
    return np.sort(order[: max(1, round(count * percent / 100))])
