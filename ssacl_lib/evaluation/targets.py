"""What phrase grounding asks of each study: the phrases with their masks, and the texts and images of the controls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..observations import OBSERVATIONS, POSITIVE
from ..text.sides import swap_side

WHOLE = (slice(None), slice(None))
"""All rows and all columns."""


@dataclass(frozen=True)
class Target:
    """One phrase of one study and the texts that are scored against it.

    study: position in the list of studies. mask: [H, W] bool, where the phrase's finding is.
    swapped: a phrase of a finding that this study does not have, from another study; None where there is none.
    other_side: the phrase with right and left exchanged; None unless it names exactly one side.
    film: rows and columns of the image that the film fills.
    """

    study: int
    finding: str
    phrase: str
    mask: np.ndarray
    swapped: str | None = None
    other_side: str | None = None
    film: tuple[slice, slice] = WHOLE

    @property
    def scorable(self) -> bool:
        """Is there something inside and something outside on the film? A sliver of a box may lie in the padding alone."""
        inside = self.mask[self.film]
        return bool(inside.any() and not inside.all())

    @property
    def texts(self) -> dict[str, str]:
        """Control -> the text whose map is scored on this target's mask."""
        texts = {"own": self.phrase, "swapped phrase": self.swapped, "swapped side": self.other_side}
        return {control: text for control, text in texts.items() if text}


def collect_targets(studies: Sequence, seed: int) -> list[Target]:
    """Targets of all phrases; the boxes of one study with the same finding and lower-cased phrase are united. Masks without
    anything inside or outside on the film can't be scored and are left out.

    The swapped phrase is drawn once per target (seeded by the place of the target) among phrases of other studies whose
    finding is absent here: a phrase of a finding that IS here would not be a control.
    """
    united: dict[tuple, Target] = {}
    for number, study in enumerate(studies):
        for phrase in study.phrases:
            key = (number, phrase.finding, phrase.text.lower())
            before = united.get(key)
            mask = phrase.mask if before is None else before.mask | phrase.mask
            united[key] = Target(
                number, phrase.finding, before.phrase if before else phrase.text, mask, film=study.film
            )
    targets = [target for target in united.values() if target.scorable]
    present = {target.study: findings_of(studies[target.study]) for target in targets}
    for target in targets:
        present[target.study].add(target.finding)
    finished = []
    for place, target in enumerate(targets):
        generator = np.random.default_rng([seed, 104729, place])
        others = [t for t in targets if t.study != target.study and t.finding not in present[target.study]]
        swapped = others[generator.integers(len(others))].phrase if others else None
        finished.append(replace(target, swapped=swapped, other_side=swap_side(target.phrase)))
    return finished


def findings_of(study) -> set[str]:
    """Names of the findings that a study has: the truth where it is known, else the report's positive labels."""
    there = study.truth if study.truth is not None else np.asarray(study.labels[1:]) == POSITIVE
    return {name for name, yes in zip(OBSERVATIONS[1:], there, strict=True) if yes}


def shift(array: np.ndarray, columns: int, fill: str = "edge") -> np.ndarray:
    """Move an image or a mask [H, W] by `columns` to the right (negative: to the left).

    fill: "edge" repeats the border column (images), "empty" fills with 0 or False (masks).
    """
    moved = np.roll(array, columns, axis=1)
    if columns > 0:
        moved[:, :columns] = array[:, :1] if fill == "edge" else 0
    elif columns < 0:
        moved[:, columns:] = array[:, -1:] if fill == "edge" else 0
    return moved


def shift_targets(targets: Sequence[Target], width: int) -> dict[int, tuple[int, list[Target]]]:
    """The shifted control: study -> (columns, its targets with moved masks).

    A study moves by a sixth of its width, even studies to the right and odd ones to the left; a target of which less
    than half stays in the picture is left out, and so is a study without any.
    """
    by_study: dict[int, tuple[int, list[Target]]] = {}
    for target in targets:
        columns = round(width / 6) * (1 if target.study % 2 == 0 else -1)
        moved = shift(target.mask, columns, "empty")
        copy = replace(target, mask=moved, film=_moved_film(target.film, columns, width))
        if moved.sum() * 2 >= target.mask.sum() and copy.scorable:
            by_study.setdefault(target.study, (columns, []))[1].append(copy)
    return by_study


def _moved_film(film: tuple[slice, slice], columns: int, width: int) -> tuple[slice, slice]:
    """Where a film lies in its image after `shift`; what has left the image is gone."""
    rows, across = film
    if across == slice(None):
        return film
    start, stop, _ = across.indices(width)
    return rows, slice(max(start + columns, 0), min(stop + columns, width))
