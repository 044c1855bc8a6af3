"""Films that get worse step by step, and a phantom of another family: what the frozen models of robustness.py are asked about.

A family has five levels; level 0 is the film as it is. How strong a level is was chosen before any model was scored on it:
the first is as mild as films differ anyway, the last is beyond what a reader would accept.

    pose                        shifted, scaled and turned, masks alike
    noise, exposure             the same disturbance of a film, more of it
    collimation, devices, marks the disturbance again and again: each level holds those of the levels below it
    other bodies                patients drawn anew, with the same findings, in wider ranges and from stretched organs
    held-out wording            phrases in words that no report of the phantom uses; the film is as it is

The greys are disturbed by training/randomise.py, where the head of SS-ACL+ alone was taught by such films, and no model here was.
A drawn line or tube is nobody's device: the truth of a film stays that of its patient.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

from ..datasets.phantom import EVALUATION_BATCH, PhantomEvaluation, boxes_around
from ..evaluation.comparison_run import PATIENTS
from ..evaluation.moved_studies import DEGREES, OTHER_POSES, SCALE, SHIFT, MovedStudies
from ..model.look import moved, random_poses
from ..phantom.organs import FRAME, OrganMaps
from ..settings import Settings
from ..training.randomise import GREYS, generators_of

UNDISTURBED, POSE, BODIES, WORDING = "undisturbed", "pose", "other bodies", "held-out wording"
TIMES = {"noise": (0.5, 1, 2, 4, 8), "exposure": (0.5, 1, 2, 3, 4)}
"""What a family of randomise.py changes, so many times."""
AGAIN = {"collimation": (1, 2, 4, 8, 16), "devices": (1, 2, 3, 4, 6), "marks": (1, 2, 4, 8, 16)}
"""How often a family of randomise.py acts on a film, drawn anew each time."""
AMOUNTS: dict[str, tuple[float, ...]] = {
    POSE: (0.5, 1, 1.5, 2, 2.5),
    **TIMES,
    **AGAIN,
    BODIES: (0.2, 0.4, 0.6, 0.8, 1.0),
    WORDING: (1, 2, 3, 4, 5),
}
"""Family -> its five levels. pose: times the reach of notebook 04's moved films (10 % of the side, 15 % of the size, 10
degrees). other bodies: share of the way from the profile's ranges to the full ones, and of STRETCH and BEND. held-out
wording: so many of the groups of WORDS."""

STRETCH, BEND = 0.3, 0.08
"""Half of the other patients are by so much wider, and the middle of their organs lies lower by so much of the frame; half are
narrower and their organs lie higher."""

WORDS = (
    (r"(very )?(trace|tiny|small|mild|minimal|minimally|slight|slightly|mildly|subtle|faint|limited)( to)?", "modest"),
    (r"moderate(-sized|ly)?|medium-sized", "middling"),
    (r"large|sizeable|massive|substantial|severe|severely|marked|markedly|pronounced|extensive|gross|grossly", "huge"),
), (
    (r"patchy|hazy|streaky|ill-defined|focal|diffuse|widespread|multifocal|confluent|dense|airspace", "cloudy"),
    (r"linear|platelike|discoid|bandlike|subsegmental", "flat"),
    (r"layering|free-flowing", "liquid"),
), (
    (r"bases?|basal|basilar|lower (lobes?|lung zones?|lungs?|zones?)", "bottom"),
    (r"apex|apices|apical|upper (lobes?|lung zones?|lungs?|zones?)", "top"),
    (r"mid (lung zones?|lungs?|zones?)|midlung|midzone|middle lobe|lingula", "half way up"),
), (
    (r"opacit(y|ies)|opacification|infiltrates?", "shadowing"),
    (r"consolidations?|consolidative change", "solid tissue"),
    (r"(broncho)?pneumonia|infectious process", "infection"),
    (r"atelectasis|atelectatic (band|streak|changes)|collapse|volume loss", "deflated tissue"),
    (r"pneumothora(x|ces)", "escaped gas"),
    (r"(pleural )?effusions?|pleural fluid", "hydrothorax"),
    (r"cardiomegaly|enlarged (cardiac silhouette|heart|cardiac shadow)|increased heart size", "swollen heart"),
    (r"((pulmonary|interstitial|alveolar) )*edema|(pulmonary )?vascular congestion|fluid overload|congestive heart failure",
     "waterlogged tissue"),
)  # fmt: skip
"""Groups of (what a phrase of the phantom says, what is said instead): sizes, textures, places, findings. No report of the
phantom holds a word of the right-hand side (but the little ones: heart, up, way, tissue)."""

FRAMED = "have a look at this picture, what do you think of it: {}"
"""The fifth level of the wording: a sentence as nobody dictates it around the phrase."""


@dataclass(frozen=True)
class Condition:
    """One family at one level (0: as it is). amount: of AMOUNTS. studies: evaluation studies, the same patients in each."""

    family: str
    level: int
    amount: float
    studies: Sequence

    def wording(self, phrase: str) -> str:
        """The phrase as it is asked."""
        return reworded(phrase, self.level) if self.family == WORDING else phrase


def conditions(settings: Settings, studies: Sequence) -> Iterator[Condition]:
    """The studies as they are, then every family level by level. studies: the first test patients of PATIENTS."""
    yield Condition(UNDISTURBED, 0, 0.0, studies)
    for family, amounts in AMOUNTS.items():
        for level, amount in enumerate(amounts, start=1):
            yield Condition(family, level, amount, disturbed_studies(family, amount, settings, studies))


def disturbed_studies(family: str, amount: float, settings: Settings, studies: Sequence) -> Sequence:
    """The studies under a family's disturbance of this amount.

    Raises:
        ValueError: no such family.
    """
    if family == POSE:
        return list(Posed(studies, amount))
    if family == BODIES:
        return list(other_bodies(settings, amount, len(studies)))
    if family == WORDING:
        return studies
    films = disturbed_films(family, amount, np.stack([study.image for study in studies]))
    return [replace(study, image=film) for study, film in zip(studies, films, strict=True)]


def disturbed_films(family: str, amount: float, films: np.ndarray) -> np.ndarray:
    """Films [n, S, S] uint8 after a family of greys; film i depends on its number and the amount alone.

    Raises:
        ValueError: no such family.
    """
    if family not in TIMES and family not in AGAIN:
        raise ValueError(f"no family of disturbances {family!r}; there are {', '.join(AMOUNTS)}")
    numbers, greys = range(len(films)), torch.from_numpy(films)[:, None].float() / 255
    if family in TIMES:
        greys = greys + amount * (GREYS[family](greys, generators_of(PATIENTS, family, numbers)) - greys)
    else:
        for turn in range(int(amount)):
            greys = GREYS[family](greys, generators_of(PATIENTS, f"{family} {turn}", numbers)).clamp(0, 1)
    return (255 * greys.clamp(0, 1)).round().to(torch.uint8)[:, 0].numpy()


class Posed(MovedStudies):
    """Studies after a pose each, with regions and phrases; a phrase of which less than half is left is not asked."""

    def __init__(self, studies: Sequence, amount: float):
        self.studies = studies
        reach = (amount * SHIFT, amount * SCALE, amount * DEGREES)
        self.theta = random_poses(range(len(studies)), PATIENTS + OTHER_POSES, *reach)

    def __getitem__(self, index: int):
        kept = []
        for phrase in self.studies[range(len(self))[index]].phrases:
            mask = torch.from_numpy(phrase.mask).float()[None, None]
            after = moved(mask, self.theta[[index]], "zeros", "nearest")[0, 0].numpy() > 0.5
            if 2 * after.sum() >= phrase.mask.sum():
                kept.append(replace(phrase, mask=after, boxes=boxes_around(after)))
        return replace(super().__getitem__(index), phrases=tuple(kept))


# ---- another family of phantoms
@lru_cache(maxsize=8)
def other_bodies(settings: Settings, amount: float, count: int) -> PhantomEvaluation:
    """Test patients of PATIENTS with the findings and reports that they have, but other bodies; masks are kept as bits."""
    own = settings.data.phantom_ranges
    changes = {"seed": PATIENTS, "data.phantom_ranges": own + amount * (1 - own)}
    return OtherBodies(settings.changed(**changes), amount, count)


class OtherBodies(PhantomEvaluation):
    """The test split drawn from organs that are wider and lie lower, or are narrower and lie higher."""

    def __init__(self, settings: Settings, amount: float, count: int):
        super().__init__(settings, "test", count)
        ways = ((1 + amount * STRETCH, amount * BEND), (1 / (1 + amount * STRETCH), -amount * BEND))
        self._source.maps = [stretched(maps, *way) for maps in self._source.maps for way in ways]
        for first in range(0, len(self), EVALUATION_BATCH):
            self[first]  # renders its batch
        self._source.maps = None  # large, and all patients are drawn


def stretched(maps: OrganMaps, wide: float, bend: float) -> OrganMaps:
    """Organ maps `wide` times as wide, with the middle of the frame lower by `bend` of its height; top and bottom stay.

    Lengths along the beam, and distances to the chest wall, stay what they were.
    """
    at = (np.arange(maps.size) + 0.5) / maps.size  # of a new pixel; it is taken from
    across, down = 0.5 + (at - 0.5) / wide, at - 4 * bend * at * (1 - at)
    grid = torch.from_numpy(np.stack(np.meshgrid(2 * across - 1, 2 * down - 1), axis=-1)).float()
    grid = grid.expand(len(maps.layers), -1, -1, -1)

    def taken(layers: np.ndarray) -> np.ndarray:
        return F.grid_sample(torch.from_numpy(layers).float(), grid, padding_mode="border", align_corners=False).numpy()

    fine = np.linspace(0, 1, 1001)
    points = {
        name: np.stack(
            [wide * uv[..., 0], FRAME * _inverse(fine, fine - 4 * bend * fine * (1 - fine), uv[..., 1] / FRAME)],
            axis=-1,
        )
        for name, uv in maps.points.items()
    }
    return OrganMaps(taken(maps.layers), taken(maps.regions) > 0.5, points)


def _inverse(arguments: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Where a rising function has these values; beyond its ends it goes on with slope 1."""
    inside = np.clip(asked, values[0], values[-1])
    return np.interp(inside, values, arguments) + (asked - inside)


# ---- another wording
def reworded(phrase: str, groups: int) -> str:
    """A phrase in words that no report of the phantom uses: of the first `groups` groups; the fifth frames it, too.

    >>> reworded("small right pleural effusion", 1)
    'modest right pleural effusion'
    >>> reworded("small right pleural effusion", 4)
    'modest right hydrothorax'
    """
    for group in WORDS[:groups]:
        for said, instead in group:
            phrase = re.sub(rf"\b({said})\b", instead, phrase)
    return FRAMED.format(phrase) if groups > len(WORDS) else phrase
