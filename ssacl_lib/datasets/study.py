"""The data contract: what training may see (`Study`), and what only evaluation may see (`EvaluationStudy`).

The two are different types, so that no flag can leak a mask or a box into training: a training function takes `Study`
objects, which have no field for them.
"""

from dataclasses import dataclass, field

import numpy as np

from ..anatomy import default_graph
from ..observations import CODES, OBSERVATIONS


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

    def check(self, size: int) -> None:
        """Raises ValueError, naming the study, where a field is not what stands above or the image no square of `size`."""
        if problem := self._problem(size):
            raise ValueError(f"study {self.study_id!r}: {problem}")

    def _problem(self, size: int) -> str | None:
        image, labels, leaves = np.asarray(self.image), np.asarray(self.labels), len(default_graph().leaves)
        if image.dtype != np.uint8 or image.shape != (size, size):
            return f"image is {image.dtype} {list(image.shape)}, expected uint8 [{size}, {size}]"
        if labels.shape != (len(OBSERVATIONS),) or not np.isin(labels, CODES).all():
            return f"labels are {labels.tolist()}, expected {len(OBSERVATIONS)} values out of {CODES}"
        if not isinstance(self.report, str) or not self.report.strip():
            return f"report is {self.report!r}, expected text"
        if not isinstance(self.prompt, str | None):
            return f"prompt is {self.prompt!r}, expected text"
        if (self.prompt is None) != (self.leaf_open is None):
            return "a prompt comes with leaf_open, or neither"
        if self.leaf_open is not None and np.shape(self.leaf_open) != (leaves,):
            return f"leaf_open is {list(np.shape(self.leaf_open))}, expected [{leaves}]"
        return None


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
