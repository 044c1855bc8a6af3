"""A map from words alone: where a reader of films would put "right upper lung zone", or "small left effusion", without a film.

A rival without a film: what it scores is known before any picture is seen. Sides and heights come from the words, places of
named organs and of findings (fluid lies low, air high) from a reader's general knowledge of a frontal film, written down once
in fractions of its width and height. The list of words was written with the phantom's phrases in view, and before any score.
"""

import re

import numpy as np

from ..anatomy import default_graph

SIDES = {"right": (0.0, 0.5), "left": (0.5, 1.0)}
HEIGHTS = {
    "apical": (0.05, 0.25), "clavicle": (0.1, 0.25), "upper": (0.15, 0.4), "hilar": (0.35, 0.6), "mid": (0.4, 0.6),
    "lower": (0.6, 0.85), "hemidiaphragm": (0.7, 0.9), "costophrenic": (0.75, 0.95), "lung": (0.1, 0.85),
}  # fmt: skip
ORGANS = {
    "trachea": (0.45, 0.55, 0.05, 0.35), "upper mediastinum": (0.4, 0.6, 0.1, 0.4), "aortic arch": (0.5, 0.65, 0.25, 0.4),
    "superior vena cava": (0.4, 0.5, 0.2, 0.45), "right atrium": (0.35, 0.5, 0.5, 0.75), "carina": (0.45, 0.55, 0.35, 0.45),
    "cavoatrial junction": (0.4, 0.5, 0.4, 0.55), "cardiac silhouette": (0.35, 0.75, 0.45, 0.8),
    "mediastinum": (0.35, 0.7, 0.1, 0.8), "spine": (0.42, 0.58, 0.0, 1.0), "abdomen": (0.1, 0.9, 0.85, 1.0),
    "lungs": (0.05, 0.95, 0.1, 0.85), "chest": (0.05, 0.95, 0.05, 0.95), "skeletal structures": (0.0, 1.0, 0.05, 0.95),
}  # fmt: skip
"""Left, right, top, bottom as fractions; the patient's right is on the picture's left."""

PLACES = {
    r"heart failure": "lung", r"heart|cardiac|cardiomegaly": "cardiac silhouette", r"apical|apico\w*|apex|apices": "apical",
    r"upper": "upper", r"\w*hilar|hil(um|a)": "hilar", r"mid\w*|lingula": "mid", r"lower|bases?|\w*basal|\w*basilar": "lower",
    r"costophrenic|effusions?|pleural (fluid|space)": "costophrenic", r"pneumothora(x|ces)": "upper",
}  # fmt: skip
"""Words of a phrase -> key of HEIGHTS or ORGANS; the first that is found: named places come before those of findings."""


def named_place(phrase: str) -> tuple[str, ...]:
    """Where the words of a phrase put it: a key of ORGANS, or of HEIGHTS and the sides that are named (both where none is).

    >>> named_place("Small left-sided effusion"), named_place("increased heart size"), named_place("mild edema")
    (('costophrenic', 'left'), ('cardiac silhouette',), ('lung', 'right', 'left'))
    """
    words = " ".join(phrase.lower().replace("-", " ").split())
    place = next((place for pattern, place in PLACES.items() if re.search(rf"\b({pattern})\b", words)), "lung")
    sides = [side for side in SIDES if re.search(rf"\b{side}\b", words)] or list(SIDES)
    return (place,) if place in ORGANS else (place, *sides)


def phrase_template(phrase: str, height: int, width: int) -> np.ndarray:
    """A map [H, W] for a phrase: a bump as in `text_templates` in every box of its `named_place`."""
    place, *sides = named_place(phrase)
    boxes = [(*SIDES[side], *HEIGHTS[place]) for side in sides] or [ORGANS[place]]
    return np.max([_bump(box, height, width) for box in boxes], axis=0)


def template_box(node: str) -> tuple[float, float, float, float]:
    """Left, right, top, bottom of a node's box, as fractions of the film.

    Raises:
        ValueError: a name of which neither the words nor the organ are known.
    """
    if node in ORGANS:
        return ORGANS[node]
    words = node.split()
    height = next((HEIGHTS[word] for word in words if word in HEIGHTS), None)
    if words[0] not in SIDES or height is None:
        raise ValueError(f"no template for {node!r}: give its box in baselines/text_template.py")
    return (*SIDES[words[0]], *height)


def text_templates(height: int, width: int) -> np.ndarray:
    """A map [32, H, W] for every node: a bump in the middle of its box, two standard deviations to its edges."""
    return np.stack([_bump(template_box(node), height, width) for node in default_graph().nodes])


def _bump(box: tuple[float, float, float, float], height: int, width: int) -> np.ndarray:
    """A bump [H, W] in the middle of a box (left, right, top, bottom), two standard deviations to its edges."""
    left, right, top, bottom = box
    down, across = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    columns = np.exp(-8 * ((across - (left + right) / 2) / (right - left)) ** 2)
    rows = np.exp(-8 * ((down - (top + bottom) / 2) / (bottom - top)) ** 2)
    return (rows[:, None] * columns[None]).astype(np.float32)
