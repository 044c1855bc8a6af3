"""Films with a finding for the tests of `ssacl browser-model`: made up, with the truth that a phantom has."""

import numpy as np

from ssacl_lib.datasets.study import EvaluationStudy, Phrase
from ssacl_lib.evaluation.subjects import Subject
from ssacl_lib.observations import FINDINGS
from ssacl_lib.phantom.truth import Sign
from ssacl_lib.text.labeler import label_array


def made_up_subject(number: int, size: int, film: tuple[slice, slice] = (slice(None), slice(None))) -> Subject:
    """A noisy film with an effusion on the left (odd numbers) or an enlarged heart (even ones)."""
    generator = np.random.default_rng(number)
    image = generator.integers(0, 256, (size, size), dtype=np.uint8)
    extent = np.zeros((1, size, size), bool)
    if number % 2:
        sign, text = Sign("Pleural Effusion", "left", "costophrenic", 0.7), "small left effusion"
        extent[0, size // 2 : -size // 5, -size // 3 : -size // 9] = True
    else:
        sign, text = Sign("Cardiomegaly", severity=0.6), "the heart is big"
        extent[0, size // 2 : -size // 5, size // 3 : size // 2] = True
    phrase = Phrase(text, sign.finding, extent[0], np.zeros((0, 4)))
    study = EvaluationStudy(
        f"made-{number}", f"p{number}", image, text, label_array([text])[0], truth=np.isin(FINDINGS, [sign.finding]),
        regions={"spine": extent[0]}, phrases=(phrase,), film=film,
    )  # fmt: skip
    return Subject(study, f"{sign.finding}, made up", (sign,), extent)
