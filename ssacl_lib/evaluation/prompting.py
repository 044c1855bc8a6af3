"""Do prompts help, as a switch or as sight? What stands in the decoder's prefix under each variant of a report.

The paper's prompts do two things at once: the findings open leaf tokens, and they are named in an entity text. Apart, on
the head's own findings:

    with prompts       leaves open, entity text given: the paper
    leaves only        leaves open, no entity text
    entities only      leaves closed, entity text given
    without prompts    leaves closed, no entity text: only patches are left

Controls, each of which changes one thing of "with prompts":

    leaves of another patient    the leaves that another patient's findings open
    all leaves                   all 25 leaves are open
    tokens of another patient    the same leaves are open, but what stands in them was seen on another patient's film
    patches of another patient   the patches are another patient's; leaf tokens and entity text stay

Where the leaf tokens are sight, another patient's tokens must cost something; where they are a switch, only which leaves
are open counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..anatomy import anatomies_for, leaf_mask
from ..model.reporting import generate

WITH, LEAVES, ENTITIES, WITHOUT = CELLS = ("with prompts", "leaves only", "entities only", "without prompts")
"""The 2 x 2: leaves open or closed, entity text given or not."""

OTHER_LEAVES, ALL_LEAVES, OTHER_TOKENS, OTHER_PATCHES = CONTROLS = (
    "leaves of another patient", "all leaves", "tokens of another patient", "patches of another patient",
)  # fmt: skip

REFERENCE, GIVEN = "reference findings", "data set's prompts"


@dataclass(frozen=True)
class Prefix:
    """What the reports of n studies are written behind.

    films [n, S, S] uint8: of the patches and CLS. leaf_films: of the leaf tokens, None for the same. entities: names of
    findings, or a text, per study; None for no entity text. leaf_open [n, 25] bool.
    """

    films: np.ndarray
    leaf_films: np.ndarray | None
    entities: Sequence | None
    leaf_open: np.ndarray

    def write(self, model, part: slice) -> list[str]:
        """Reports of a part of the studies."""
        pixels = model.processor.normalise(self.films[part]).to(model.device)
        leaves = None if self.leaf_films is None else model.processor.normalise(self.leaf_films[part]).to(model.device)
        entities = None if self.entities is None else list(self.entities[part])
        return generate(model, pixels, entities, leaf_open=self.leaf_open[part], leaf_pixels=leaves)


def prefix_of(variant: str, studies: Sequence, findings: Sequence, other: np.ndarray | None = None) -> Prefix:
    """The prefix of studies under a variant.

    findings: the findings' names per study that the prompts are made of. other: number of each one's other patient
    (`other_patients`), read by the controls only.
    """
    films = np.stack([study.image for study in studies])
    opened = np.stack([leaf_mask(anatomies_for(names)) for names in findings])
    closed = np.zeros_like(opened)
    if variant == GIVEN:
        told = [study.prompt for study in studies]
        return Prefix(films, None, told, np.stack([np.asarray(study.leaf_open, bool) for study in studies]))
    if variant in CONTROLS:
        return {
            OTHER_LEAVES: lambda: Prefix(films, None, findings, opened[other]),
            ALL_LEAVES: lambda: Prefix(films, None, findings, ~closed),
            OTHER_TOKENS: lambda: Prefix(films, films[other], findings, opened),
            OTHER_PATCHES: lambda: Prefix(films[other], films, findings, opened),
        }[variant]()
    leaves = closed if variant in (ENTITIES, WITHOUT) else opened
    return Prefix(films, None, None if variant in (LEAVES, WITHOUT) else findings, leaves)


def other_patients(patients: Sequence[str], seed: int) -> np.ndarray | None:
    """Another patient's study for every study, each taken once: [n] int; None where one patient has more than half.

    Studies are drawn into an order that keeps those of a patient together, and each takes the one that stands as many
    places on as the largest patient has studies.
    """
    _, number, sizes = np.unique(np.asarray(patients), return_inverse=True, return_counts=True)
    if 2 * sizes.max(initial=0) > len(number):
        return None
    order = np.argsort(np.random.default_rng([seed, 41]).permutation(len(sizes))[number], kind="stable")
    other = np.empty(len(number), int)
    other[order] = np.roll(order, -int(sizes.max(initial=0)))
    return other
