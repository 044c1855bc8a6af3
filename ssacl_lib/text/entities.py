"""Findings as the entities that prompt the language decoder."""

from collections.abc import Sequence

import numpy as np

from ..observations import OBSERVATIONS, POSITIVE, UNCERTAIN


def entity_text(findings: Sequence[str]) -> str:
    """["Pleural Effusion", "Cardiomegaly"] -> "cardiomegaly, pleural effusion"; always in OBSERVATIONS order.

    Raises:
        ValueError: a name that is none of the 13 findings.
    """
    unknown = [name for name in findings if name not in OBSERVATIONS[1:]]
    if unknown:
        raise ValueError(f"{unknown} are no findings; choose from {', '.join(OBSERVATIONS[1:])}")
    return ", ".join(name.lower() for name in OBSERVATIONS[1:] if name in findings)


def positives(labels: np.ndarray, uncertain_as_positive: bool = False) -> list[str]:
    """Names of the positive findings among the labels [14] of one study ("No Finding" is none).

    Raises:
        ValueError: not 14 codes.
    """
    labels = np.asarray(labels)
    if labels.shape != (len(OBSERVATIONS),):
        raise ValueError(f"labels has shape {labels.shape}, expected [{len(OBSERVATIONS)}] codes in OBSERVATIONS order")
    wanted = (POSITIVE, UNCERTAIN) if uncertain_as_positive else (POSITIVE,)
    return [name for name, code in zip(OBSERVATIONS[1:], labels[1:], strict=True) if code in wanted]
