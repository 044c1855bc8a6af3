"""One phrase on one film, beside what could explain its map away: a swapped phrase, the other side, a moved film, a blank one.

For a single film there is no interval, so what is said here is a reading of these maps and no result; notebook 04 has the
controls counted over all phrases. A film's masked passes are made once and serve every phrase that is asked of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..model.maps import (
    evidence_to_image,
    masked_embeddings,
    random_keeps,
    to_image,
    visibility_effect,
)
from ..model.precision import autocast
from ..observations import FINDINGS
from ..text.labeler import label_array
from ..text.sides import swap_side
from .controls import CONTROLS
from .grounding import score_map
from .inputs import pixels_of
from .report_marks import positive_names
from .subjects import Subject, region_of_phrase
from .targets import WHOLE, findings_of, shift

OWN, SWAPPED, OTHER_SIDE, SHIFTED = CONTROLS
BLANK = "blank film"
VIEWS = (*CONTROLS, BLANK)
"""Own phrase and its controls, in the order in which they are shown."""

GREY = 127
"""Of the blank film: the mean grey of films."""

STAYS = 0.7
"""A map that is more alike than this (correlation over the film) to that of the own phrase has stayed; the number is ours."""

EXAMPLES = {
    "Cardiomegaly": "enlarged heart",
    "Lung Opacity": "right upper lobe opacity",
    "Edema": "pulmonary edema",
    "Consolidation": "left lower lobe consolidation",
    "Pneumonia": "right lower lobe pneumonia",
    "Atelectasis": "left basilar atelectasis",
    "Pneumothorax": "right apical pneumothorax",
    "Pleural Effusion": "left pleural effusion",
}
"""A phrase of each finding that MS-CXR has phrases of."""


@dataclass(frozen=True)
class Looked:
    """What a model has seen of a film, of the film moved by `columns`, and of a blank one, whatever the phrase.

    images: [3, S, S] uint8. keeps: [K, kept]. masked: image vectors [3, K, Dt] under K masks. patches: [3, N, Dt], unit length.
    """

    images: np.ndarray
    columns: int
    keeps: torch.Tensor
    masked: torch.Tensor
    patches: torch.Tensor


@dataclass(frozen=True)
class View:
    """One panel: a text on an image [S, S], its maps by kind, and the region [S, S] bool against which they count (or None).

    scores: kind -> pointing, cnr, miou, dice; empty where there is no region. likeness: kind -> correlation with the map of the
    own phrase, of the shifted film with the moved map of the own phrase; 1 for the own phrase itself.
    """

    text: str
    image: np.ndarray
    mask: np.ndarray | None
    maps: Mapping[str, np.ndarray]
    scores: Mapping[str, dict[str, float]]
    likeness: Mapping[str, float]


@dataclass(frozen=True)
class Reading:
    """What the views say of one kind of map: control -> (passed, in words), and all of it in a sentence."""

    controls: Mapping[str, tuple[bool, str]]
    sentence: str


def look(model, subject: Subject, seed: int = 0, blank: tuple[torch.Tensor, torch.Tensor] | None = None) -> Looked:
    """Make the passes of a film: K masked and one whole of the film, of the moved and of the blank one.

    blank: `seen` of the blank film (`blank_film`), which is the same for all patients; None makes its passes, too.
    """
    image = subject.study.image
    columns = columns_of_shift(subject)
    images = np.stack([image, shift(image, columns)])
    masked, patches = seen(model, images, seed)
    of_blank = seen(model, blank_film(model), seed) if blank is None else blank
    whole = np.concatenate([images, blank_film(model)])
    return Looked(
        whole, columns, keeps_of(model, seed), torch.cat([masked, of_blank[0]]), torch.cat([patches, of_blank[1]])
    )


def blank_film(model) -> np.ndarray:
    """No patient at all [1, S, S]."""
    return np.full((1, model.config.image_size, model.config.image_size), GREY, np.uint8)


def keeps_of(model, seed: int) -> torch.Tensor:
    """The patches that each of the model's K masks keeps [K, kept]."""
    return random_keeps(model, model.config.evidence["masks"], seed)


@torch.no_grad()
def seen(model, images: np.ndarray, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Image vectors of films [n, S, S] under the masks [n, K, Dt], and their projected patch tokens [n, N, Dt], unit length."""
    model.eval()
    pixels = pixels_of(model, images)
    with autocast(model):
        patches = F.normalize(model.patch_embeddings(pixels).float(), dim=-1)
    return masked_embeddings(model, pixels, keeps_of(model, seed)), patches


def columns_of_shift(subject: Subject) -> int:
    """By how many columns (px) a film is moved: a sixth of its width, away from its findings' half so that they stay in it.

    Above 0 to the right; below 0 to the left, where the findings lie in the right half of the picture.
    """
    masks = [phrase.mask for phrase in subject.study.phrases] if subject.extents is None else subject.extents
    columns = np.nonzero(np.logical_or.reduce(masks))[1] if len(masks) else np.zeros(0)
    width = subject.study.image.shape[1]
    return (-1 if len(columns) and columns.mean() > width / 2 else 1) * round(width / 6)


def swapped_phrase(subject: Subject, phrase: str) -> str:
    """A phrase of a finding that neither the phrase states nor the film has: the first such of `EXAMPLES`."""
    there = positive_names(label_array([phrase])[0]) | findings_of(subject.study)
    return next((text for finding, text in EXAMPLES.items() if finding not in there), EXAMPLES[FINDINGS[1]])


@torch.no_grad()
def phrase_views(model, looked: Looked, subject: Subject, phrase: str) -> dict[str, View]:
    """Own phrase and controls (`VIEWS`; no swapped side where the phrase names none), each with both kinds of map.

    Raises:
        ValueError: an empty phrase.
    """
    if not phrase.strip():
        raise ValueError("the phrase is empty; give a few words such as “left pleural effusion”")
    texts = {OWN: phrase, SWAPPED: swapped_phrase(subject, phrase), OTHER_SIDE: swap_side(phrase)}
    asked = {control: text for control, text in texts.items() if text}
    maps = _maps(model, looked, list(asked.values()))
    mask, film = region_of_phrase(subject, phrase), subject.study.film
    moved_mask = None if mask is None else _kept(shift(mask, looked.columns, "empty"), mask)
    moved_film = _film_after(film, looked.columns, len(looked.images[0]))
    own = {kind: values[0, 0] for kind, values in maps.items()}
    found = {
        control: _view(
            text, looked.images[0], mask, film, {kind: values[0, place] for kind, values in maps.items()}, own
        )
        for place, (control, text) in enumerate(asked.items())
    }
    moved = {kind: shift(heatmap, looked.columns) for kind, heatmap in own.items()}
    of_moved, of_blank = ({kind: values[number, 0] for kind, values in maps.items()} for number in (1, 2))
    found[SHIFTED] = _view(phrase, looked.images[1], moved_mask, moved_film, of_moved, moved)
    found[BLANK] = _view(phrase, looked.images[2], mask, WHOLE, of_blank, own)
    return {control: found[control] for control in VIEWS if control in found}


def _maps(model, looked: Looked, texts: list[str]) -> dict[str, np.ndarray]:
    """Kind -> maps [3, P, S, S] of texts on the film, the moved and the blank one."""
    text = F.normalize(model.text_embedding(texts).float(), dim=-1)
    effect = visibility_effect(looked.masked @ text.T, looked.keeps, model.config.patches)
    smoothing = model.config.evidence["smoothing_patches"]
    return {
        "masked": evidence_to_image(effect, model).cpu().numpy(),
        "similarity": to_image(text @ looked.patches.transpose(1, 2), model, smoothing).cpu().numpy(),
    }


def _film_after(film: tuple[slice, slice], columns: int, size: int) -> tuple[slice, slice]:
    """The rows and columns of a moved film that are still in the picture."""
    inside = np.zeros((size, size), bool)
    inside[film] = True
    rows, across = np.nonzero(shift(inside, columns, "empty"))
    return slice(rows.min(), rows.max() + 1), slice(across.min(), across.max() + 1)


def _kept(moved: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """A moved region, where at least half of it is still in the picture."""
    return moved if 2 * moved.sum() >= mask.sum() else None


def _view(text, image, mask, film, maps: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> View:
    scored = mask is not None and mask[film].any() and not mask[film].all()
    scores = {kind: score_map(heatmap, mask, film) if scored else {} for kind, heatmap in maps.items()}
    return View(text, image, mask if scored else None, maps, scores,
                {kind: likeness(heatmap, reference[kind], film) for kind, heatmap in maps.items()})  # fmt: skip


def likeness(first: np.ndarray, second: np.ndarray, film: tuple[slice, slice] = WHOLE) -> float:
    """Correlation (Pearson) of two maps [H, W] over the film: 1 the same pattern, 0 nothing in common; 0 for a constant map."""
    first, second = (np.asarray(heatmap, float)[film].ravel() for heatmap in (first, second))
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float(first @ second / size) if size > 1e-12 else 0.0


# ---- in words
WORDS = {
    SWAPPED: ("the map stays when the phrase is swapped", "it goes elsewhere for another finding"),
    OTHER_SIDE: ("the map stays when the side is swapped", "it goes elsewhere for the other side"),
    SHIFTED: ("the map stays behind when the film is moved", "it follows the moved film"),
    BLANK: ("the map stays on a blank film", "a blank film has another map"),
}
"""Control -> what is said where it is failed, and where it is passed."""


def hits(view: View, kind: str) -> bool:
    """Does the maximum of a map lie inside the true region?"""
    return view.scores[kind].get("pointing", 0.0) > 0.5


def read_views(views: Mapping[str, View], kind: str = "masked") -> Reading:
    """Which controls one kind of map passes, and what follows: position or evidence.

    A map has stayed where it is more alike than `STAYS`, or where its maximum lies in the region of what is no longer asked for.
    """
    own = views[OWN]
    controls = {}
    for control in [name for name in views if name != OWN]:
        alike = views[control].likeness[kind]
        if control == SHIFTED:  # alike with the map that was moved with the film, more than with the one that was not
            passed = alike > likeness(views[control].maps[kind], own.maps[kind])
        else:
            passed = alike < STAYS and not (hits(own, kind) and hits(views[control], kind))
        controls[control] = (passed, WORDS[control][passed])
    return Reading(controls, verdict_of(controls, views[OWN].scores[kind]))


def verdict_of(controls: Mapping[str, tuple[bool, str]], scores: Mapping[str, float]) -> str:
    """One sentence: which controls are failed, else that the map follows, then where it lies.

    controls: of a `Reading`. scores: of the own phrase's map, pointing and cnr; empty where there is no true region.
    """
    failed = [words for passed, words in controls.values() if not passed]
    if failed:
        reasons = "; ".join(
            [failed[0][0].upper() + failed[0][1:], *(words.removeprefix("the map ") for words in failed[1:])]
        )
        verdict = f"{reasons}: position, not evidence"
    else:
        verdict = "The map follows " + ("phrase, side and film" if OTHER_SIDE in controls else "phrase and film")
    if not scores:
        return f"{verdict}. The phrase has no true region on this film to compare with."
    hit = scores["pointing"] > 0.5
    placed = f"its maximum lies {'inside' if hit else 'outside of'} the true region (CNR {scores['cnr']:.2f})"
    return f"{verdict}{'; yet ' if bool(failed) == hit else '; '}{placed}."
