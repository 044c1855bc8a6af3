"""The data contract: what training may see (`Study`), and what only evaluation may see (`EvaluationStudy`).

The two are different types, so that no flag can leak a mask or a box into training: a training function takes `Study`
objects, which have no field for them.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Study:
    """One study as training sees it.

    image: [H, W] uint8, the frontal view, bright = dense.
    report: the report as written.
    labels: [14] int8 in OBSERVATIONS order (POSITIVE, NEGATIVE, UNCERTAIN, BLANK): read from the report by the labeler, or
    the data set's own.
    prompt, leaf_open: where a data set brings them, the entity text for the language decoder and the leaves that it may
    see, [25] bool; else None, and both follow from the labels.
    """

    study_id: str
    patient_id: str
    image: np.ndarray
    report: str
    labels: np.ndarray
    prompt: str | None = None
    leaf_open: np.ndarray | None = None


@dataclass(frozen=True)
class Phrase:
    """A phrase-box pair in MS-CXR's form: a sentence, its finding, its region as mask and as boxes.

    mask: [H, W] bool. boxes: [k, 4] float (x, y, width, height) in pixels of the image.
    """

    text: str
    finding: str
    mask: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class EvaluationStudy:
    """One study as evaluation sees it: the training view's fields, the truth where it is known, regions and phrases.

    truth: [13] bool in the order of OBSERVATIONS[1:], the generator's or the readers' findings; None where unknown.
    regions: node name of the anatomy graph -> [H, W] bool mask (empty where a data set has none).
    film: rows and columns of the image that the film fills; the rest is padding, in which no map is scored.
    """

    study_id: str
    patient_id: str
    image: np.ndarray
    report: str
    labels: np.ndarray
    truth: np.ndarray | None = None
    regions: dict[str, np.ndarray] = field(default_factory=dict)
    phrases: tuple[Phrase, ...] = ()
    prompt: str | None = None
    leaf_open: np.ndarray | None = None
    film: tuple[slice, slice] = (slice(None), slice(None))
