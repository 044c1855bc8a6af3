"""Texts that ask for a finding: words of this file, put into sentences. No film and no report is read.

    one pair          "There is X." against "No X.": the release's form
    ensemble          several sentences, names and sides, affirming and denying; the mean vector of each kind
    positives alone   the affirming half of the ensemble, with nothing to compare it with
    places            every name at every place of a lung, affirming; the place that fits best counts, none denies

Controls: every finding is asked for by the name of another (`shuffled names`), or by sentences from which its name is gone
(`no name`), the same for all findings. Source of the form: zero-shot classification as in the authors' release.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ONE_PAIR, ENSEMBLE, ALONE, PLACES = "one pair", "ensemble", "positives alone", "places"
SHUFFLED, NAMELESS = "shuffled names", "no name"
FORMS = (ONE_PAIR, ENSEMBLE, ALONE, PLACES, SHUFFLED, NAMELESS)

AFFIRMING = ("there is {}.", "{} is seen.", "{}.", "the film shows {}.")
DENYING = ("no {}.", "no evidence of {}.", "there is no {}.", "without {}.")

NAMES = {
    "enlarged cardiomediastinum": ("enlarged cardiomediastinum", "widened mediastinum", "mediastinal widening"),
    "cardiomegaly": ("cardiomegaly", "enlarged heart", "cardiac enlargement"),
    "lung opacity": ("lung opacity", "patchy opacity", "infiltrate"),
    "lung lesion": ("lung lesion", "lung nodule", "lung mass"),
    "edema": ("edema", "pulmonary edema", "vascular congestion"),
    "consolidation": ("consolidation", "airspace consolidation", "focal consolidation"),
    "pneumonia": ("pneumonia", "lobar pneumonia", "infectious process"),
    "atelectasis": ("atelectasis", "lobar collapse", "volume loss"),
    "pneumothorax": ("pneumothorax", "apical pneumothorax", "visible pleural line"),
    "pleural effusion": ("pleural effusion", "pleural fluid", "effusion"),
    "effusion": ("pleural effusion", "pleural fluid", "effusion"),
    "pleural other": ("pleural thickening", "pleural scarring", "apical cap"),
    "pleural thickening": ("pleural thickening", "pleural scarring"),
    "fracture": ("fracture", "rib fracture", "clavicle fracture"),
    "support devices": (
        "support devices", "endotracheal tube", "central venous catheter", "pacemaker", "enteric tube", "chest tube",
    ),
    "infiltration": ("infiltration", "infiltrate", "patchy opacity"),
    "mass": ("mass", "lung mass"),
    "nodule": ("nodule", "lung nodule"),
    "emphysema": ("emphysema", "hyperinflated lungs"),
    "fibrosis": ("fibrosis", "interstitial fibrosis", "scarring"),
    "hernia": ("hernia", "hiatal hernia"),
}  # fmt: skip
"""Label in lower case -> what it is called; a label that is not here is called by its own name."""

IN_LUNG = frozenset(
    ("lung opacity", "lung lesion", "consolidation", "pneumonia", "atelectasis", "infiltration", "mass", "nodule", "fibrosis")
)  # fmt: skip
ONE_SIDED = IN_LUNG | {
    "pneumothorax", "pleural effusion", "effusion", "pleural other", "pleural thickening", "fracture",
}  # fmt: skip
SIDES, ZONES = ("right", "left"), ("upper", "mid", "lower")


@dataclass(frozen=True)
class Prompts:
    """What asks for one finding: texts that affirm it and texts that deny it (none: nothing is compared).

    best: the text that fits best counts, and not the mean of all.
    """

    affirming: tuple[str, ...]
    denying: tuple[str, ...] = ()
    best: bool = False


def prompts_for(labels: Sequence[str], form: str) -> list[Prompts]:
    """The prompts of every label in one of FORMS."""
    plain = [label.lower().replace("_", " ").strip() for label in labels]
    if form == SHUFFLED:
        return prompts_for([plain[k] for k in exchanged(len(plain))], ENSEMBLE)
    return [_prompts(label, form) for label in plain]


def exchanged(count: int) -> np.ndarray:
    """Another label for each of `count` labels, drawn once for all: no label keeps its own where there are two."""
    order = np.random.default_rng([count, 97]).permutation(count)
    found = np.empty(count, int)
    found[order] = np.roll(order, 1)
    return found


def _prompts(label: str, form: str) -> Prompts:
    names = NAMES.get(label, (label,))
    sided = [f"{side} {name}" for name in names for side in SIDES] if label in ONE_SIDED else list(names)
    if form == ONE_PAIR:
        return Prompts((f"there is {label}.",), (f"no {label}.",))
    if form == NAMELESS:
        return Prompts(*(tuple(" ".join(s.replace("{}", "").replace(".", " .").split()) for s in frames)
                         for frames in (AFFIRMING, DENYING)))  # fmt: skip
    if form == PLACES:
        placed = [f"{name} in the {side} {zone} lung zone" for name in names for side in SIDES for zone in ZONES]
        return Prompts(tuple(f"there is {name}." for name in (placed if label in IN_LUNG else sided)), best=True)
    affirming = tuple(frame.format(name) for frame in AFFIRMING for name in sided)
    denying = tuple(frame.format(name) for frame in DENYING for name in names)
    return Prompts(affirming, () if form == ALONE else denying)
