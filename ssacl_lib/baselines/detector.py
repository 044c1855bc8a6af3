"""A detector that is taught where findings lie: an upper bound for grounding, for it needs annotations.

Stands for detectors trained on boxes; nearest to Z. Li et al., *Thoracic Disease Identification and Localization with Limited
Supervision*, CVPR 2018. The same: one probability per finding and place of a grid, every place of it taught where a box is
known, and the film as a whole taught where only the presence of the finding is. Different: a patch is taught the share of it that
is covered instead of inside or outside; a film has a finding as surely as its surest patch, instead of one or another patch;
and the encoder is ours, from the same start as every compared method. No box is put out, only the map. A finding that no
phrase of the training studies places (on the phantom 5 of the 13) is taught by its presence alone.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from ..datasets.study import EvaluationStudy
from ..model.chunks import BATCH, chunks
from ..model.network import SSACLNetwork
from ..model.precision import autocast
from ..observations import FINDINGS, POSITIVE
from ..settings import Settings
from .patch_cover import patch_cover

ANNOTATED = 4000
"""At most so many annotated studies are read: the phantom has to render their masks."""

MOST_WEIGHT = 20.0
"""At most so many times does a covered patch count."""


@dataclass(frozen=True)
class Annotations:
    """What the detector is taught, n studies in memory.

    films: [n, S, S] uint8. cover: [n, 13, G, G] float16, share of every patch that the finding covers. placed: [n, 13] bool, is
    it known where? So it is where the finding is absent, and where a phrase of it has a mask. present: [n, 13] bool.
    """

    films: np.ndarray
    cover: np.ndarray
    placed: np.ndarray
    present: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """How much more a covered patch counts, per finding [13]: the square root of how much rarer it is."""
        share = np.array([
            self.cover[self.placed[:, k], k].mean(dtype=np.float64) if self.placed[:, k].any() else 0.5
            for k in range(len(FINDINGS))
        ])  # fmt: skip
        return np.sqrt((1 - share) / np.maximum(share, 1e-6)).clip(1, MOST_WEIGHT).astype(np.float32)


def annotations(studies: Sequence[EvaluationStudy], grid: int, limit: int = ANNOTATED, progress=True) -> Annotations:
    """The first `limit` studies as `Annotations` of a grid. studies: the evaluation view of the training split.

    Where the truth is not known, a finding is present where the report's label says so.

    Raises:
        ValueError: no phrase of these studies has a mask.
    """
    count = min(limit, len(studies))
    films, present = [], np.zeros((count, len(FINDINGS)), bool)
    masked, cover = np.zeros_like(present), np.zeros((count, len(FINDINGS), grid, grid), np.float16)
    for row in tqdm(range(count), desc="annotated studies", disable=not progress, mininterval=2, leave=False):
        study = studies[row]
        films.append(study.image)
        present[row] = np.asarray(study.labels[1:]) == POSITIVE if study.truth is None else study.truth
        for finding in {phrase.finding for phrase in study.phrases} & set(FINDINGS):
            united = np.any([phrase.mask for phrase in study.phrases if phrase.finding == finding], axis=0)
            column = FINDINGS.index(finding)
            cover[row, column] = patch_cover(united[None], grid)[0]
            masked[row, column] = united.any()
    if not masked.any():
        raise ValueError(f"none of {count} training studies has a phrase with a mask: a detector needs annotated ones")
    return Annotations(np.stack(films), cover, masked | ~present, present | masked)


class Detector(nn.Module):
    """A copy of a model's visual encoder and one linear map from a patch token to the 13 findings."""

    def __init__(self, model: SSACLNetwork):
        super().__init__()
        self.processor, self.config = model.processor, model.config
        self.encoder = deepcopy(model.encoder).requires_grad_(True)
        self.findings = nn.Linear(model.config.width, len(FINDINGS)).to(model.device)
        nn.init.normal_(self.findings.weight, std=0.02)
        nn.init.constant_(self.findings.bias, -3.0)  # most patches show nothing

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.findings.weight.device

    def forward(self, films: np.ndarray) -> torch.Tensor:
        """Logits [n, 13, N] of every patch of films [n, S, S] uint8."""
        with autocast(self):  # it asks for the device alone
            patches = self.encoder(self.processor.normalise(films).to(self.device)).patches
        return self.findings(patches.float()).transpose(1, 2)

    @torch.no_grad()
    def maps(self, films: np.ndarray) -> np.ndarray:
        """Where the findings are: probabilities [n, 13, S, S] (float32) of films [n, S, S] uint8, bilinear between patches."""
        grid, parts = self.config.grid, []
        for part in chunks(len(films), BATCH, None):
            patches = self.eval()(films[part]).sigmoid().unflatten(-1, (grid, grid))
            parts.append(F.interpolate(patches, size=films.shape[-2:], mode="bilinear", align_corners=False).cpu())
        return torch.cat(parts).numpy() if parts else np.zeros((0, len(FINDINGS), *films.shape[-2:]), np.float32)

    @torch.no_grad()
    def probabilities(self, films: np.ndarray) -> np.ndarray:
        """Are the findings there? The highest probability of a patch, [n, 13] (float32), of films [n, S, S] uint8."""
        parts = [self.eval()(films[part]).amax(-1).sigmoid().cpu() for part in chunks(len(films), BATCH, None)]
        return torch.cat(parts).numpy() if parts else np.zeros((0, len(FINDINGS)), np.float32)


def detection_loss(
    logits: torch.Tensor, cover: torch.Tensor, placed: torch.Tensor, present: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Where the findings are, over what is placed, plus whether they are there, over all: two binary cross-entropies, 0-d.

    logits, cover: [B, 13, N]. placed, present: [B, 13] bool. weights: [13], how much more what is covered counts.
    """
    # -(w c log p + (1 - c) log(1 - p)) of every patch; of a film: the same with its surest patch, w = 1
    where = F.binary_cross_entropy_with_logits(logits, cover, pos_weight=weights[:, None], reduction="none").mean(-1)
    whether = F.binary_cross_entropy_with_logits(logits.amax(-1), present.float())
    return (where * placed).sum() / placed.sum().clamp(min=1) + whether


def fit_detector(
    model: SSACLNetwork,
    studies: Sequence[EvaluationStudy],
    settings: Settings,
    images: int | None = None,
    progress: bool = True,
) -> Detector:
    """Teach a detector end to end, from the encoder of `model` (a copy: the model stays as it is); in eval mode.

    studies: the evaluation view of the training split, of which the first `ANNOTATED` are read. images: seen in all, by default
    as many as SS-ACL's (`settings.training.images`), every study once before any comes twice; AdamW, one cycle to the profile's
    learning rate.

    Raises:
        ValueError: no study has a phrase with a mask.
    """
    known = annotations(studies, model.config.grid, progress=progress)
    torch.manual_seed(settings.seed)
    detector, t = Detector(model), settings.training
    size, count = min(t.batch_size, len(known.films)), len(known.films)
    steps = max(1, (images or t.images) // size)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=t.learning_rate, weight_decay=t.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, t.learning_rate, total_steps=steps + 1)
    generator, order = np.random.default_rng([settings.seed, 31]), np.array([], int)
    weights = torch.from_numpy(known.weights).to(detector.device)
    for _ in tqdm(range(steps), desc="detector", unit="step", disable=not progress, mininterval=2, leave=False):
        if len(order) < size:
            order = np.concatenate([order, generator.permutation(count)])
        rows, order = order[:size], order[size:]
        cover, placed, present = (
            torch.from_numpy(values[rows]).to(detector.device) for values in (known.cover, known.placed, known.present)
        )
        loss = detection_loss(detector.train()(known.films[rows]), cover.flatten(2).float(), placed, present, weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(detector.parameters(), t.clip_norm or 1.0)
        optimizer.step()
        schedule.step()
    return detector.eval()
