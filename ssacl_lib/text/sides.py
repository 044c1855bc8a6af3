"""Sentences that name one side of the patient, and the same sentences with the side exchanged. Words only."""

import re
from functools import lru_cache

from .entities import positives
from .labeler import encode, label
from .sections import read_sections, sentences

SIDE = re.compile(r"\b(right|left)\b", re.IGNORECASE)


def swap_side(phrase: str) -> str | None:
    """Exchange right and left, keeping capitals; None if the phrase names no side or both.

    >>> swap_side("Left basal opacity")
    'Right basal opacity'
    """
    if len({word.lower() for word in SIDE.findall(phrase)}) != 1:
        return None
    other = {"right": "left", "left": "right", "Right": "Left", "Left": "Right", "RIGHT": "LEFT", "LEFT": "RIGHT"}
    return SIDE.sub(lambda found: other.get(found.group(), other[found.group().lower()]), phrase)


def side_pairs(report: str) -> list[tuple[str, str]]:
    """(sentence, the same with the side exchanged) of a report's sentences that state a finding and name exactly one side.

    A sentence whose exchanged form the report says as well is left out: of such a film both are true.

    >>> side_pairs("Small left effusion. No right effusion. Heart size is normal.")
    [('Small left effusion.', 'Small right effusion.')]
    """
    said = sentences(read_sections(report))
    lower = {sentence.lower() for sentence in said}
    pairs = [(sentence, other) for sentence in said if (other := swap_side(sentence)) and other.lower() not in lower]
    return [pair for pair in pairs if _states_a_finding(pair[0])]


@lru_cache(maxsize=100_000)
def _states_a_finding(sentence: str) -> bool:
    return bool(positives(encode(label(sentence))))
