"""Studies whose films are shifted, scaled and turned with their masks: a remembered position fails there."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ..model.look import moved, random_poses

SHIFT, SCALE, DEGREES = 0.10, 0.15, 10.0
"""How far the films of the evaluation are moved: of the side, of 1, in degrees. Training moves them further."""

OTHER_POSES = 104_651
"""Added to the seed for the poses of the evaluation: other moves than those that the head was taught."""


class MovedStudies(Sequence):
    """Evaluation studies after a pose each, film and masks alike; a node of which less than half is left has no mask.

    A film with padding around it is moved with its padding, and is then scored on the whole picture.
    """

    def __init__(self, studies: Sequence, seed: int):
        self.studies = studies
        self.theta = random_poses(range(len(studies)), seed + OTHER_POSES, SHIFT, SCALE, DEGREES)

    def __len__(self) -> int:
        return len(self.studies)

    def __getitem__(self, index: int):
        study, theta = self.studies[index], self.theta[[index]]
        film = moved(torch.from_numpy(study.image).float()[None, None], theta)[0, 0].round().to(torch.uint8).numpy()
        wanted = {}
        if study.regions:
            masks = torch.from_numpy(np.stack(list(study.regions.values()))).float()
            after = moved(masks[None], theta, "zeros", "nearest")[0].numpy() > 0.5
            pairs = zip(study.regions.items(), after, strict=True)
            wanted = {name: mask for (name, before), mask in pairs if 2 * mask.sum() >= before.sum()}
        return replace(study, image=film, regions=wanted, film=(slice(None), slice(None)))
