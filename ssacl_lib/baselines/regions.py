"""Region-supervised report generation: the regions of the film are given, not learnt; it needs annotations.

Stands for writers behind supervised regions, above all T. Tanida et al., *Interactive and Explainable Region-guided Radiology
Report Generation* (RGRG), CVPR 2023. The same: what a language model reads of the film are visual features pooled over
anatomical regions that were annotated. Simplified: the study's own masks stand in place of a detector that is trained on
boxes (better than any detector), all 25 leaves are read at once instead of the regions that a classifier selects, and one
report is written instead of one sentence per region. Sizes, start and L_lm are SS-ACL's; its other four terms are not there.
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ..anatomy import default_graph
from ..datasets.study import EvaluationStudy
from ..model.chunks import BATCH, chunks
from ..model.config import LEAVES
from ..model.encoder import Tokens
from ..model.network import SSACLNetwork
from ..model.precision import autocast
from ..settings import Settings
from ..training.batches import TrainingBatches
from ..training.loop import learning_rate_scale, parameter_groups
from ..training.sight import PatchesClosed, empty_text
from .patch_cover import patch_cover


def leaf_cover(studies: Iterable[EvaluationStudy], grid: int) -> np.ndarray:
    """Share of every patch that lies in the study's own 25 leaves: float32 [n, 25, N]; zeros for a leaf without a mask.

    Raises:
        ValueError: a study has no region that is a leaf of the graph.
    """
    rows = []
    for study in studies:
        if not any(leaf in study.regions for leaf in default_graph().leaves):
            raise ValueError(f"{study.study_id} has no mask of any leaf: regions have to be annotated for this method")
        empty = np.zeros(study.image.shape, bool)
        masks = np.stack([study.regions.get(leaf, empty) for leaf in default_graph().leaves])
        rows.append(patch_cover(masks, grid).reshape(LEAVES, -1))
    return np.stack(rows) if rows else np.zeros((0, LEAVES, grid * grid), np.float32)


@dataclass(frozen=True)
class RegionWriter:
    """A network whose reports are written from what its own patch tokens show in given regions. See the top."""

    network: SSACLNetwork

    def tokens(self, pixels: torch.Tensor, cover: torch.Tensor) -> Tokens:
        """The prefix of pixels [B, C, S, S]: each leaf's token is the mean of the patch tokens by cover [B, 25, N].

        The token of a leaf without any patch is 0.
        """
        seen = self.network.encoder(pixels)
        # z_v = sum over patches n of c_vn x_n / sum over n of c_vn
        shares = cover / cover.sum(-1, keepdim=True).clamp(min=1e-6)
        return Tokens(seen.patches, seen.cls, shares.to(seen.patches.dtype) @ seen.patches)

    @torch.no_grad()
    def reports(self, films: np.ndarray, leaf_cover: np.ndarray, progress: str | None = None) -> list[str]:
        """Reports of films [n, S, S] uint8 with their own regions [n, 25, N] (of `leaf_cover`)."""
        _same_count(films, leaf_cover)
        network, texts = self.network.eval(), []
        processor = network.processor
        for part in chunks(len(films), BATCH, progress):
            pixels = processor.normalise(films[part]).to(network.device)
            begin, told = empty_text(network, len(pixels))
            with autocast(network):
                new = network.language.generate(
                    self.tokens(pixels, torch.from_numpy(leaf_cover[part]).to(network.device)),
                    torch.ones(len(pixels), LEAVES, dtype=torch.bool, device=network.device),
                    begin,
                    told,
                    processor.newline,
                    processor.pad,
                    **network.config.generation,
                )
            texts += [processor.decode_report(row) for row in new]
        return texts


def region_writer(model: SSACLNetwork) -> RegionWriter:
    """A writer from a copy of the model, in which encoder and language decoder learn and no text sees a patch."""
    network = deepcopy(model).requires_grad_(False)
    closed = PatchesClosed(model.config)
    closed.load_state_dict(model.language.state_dict())
    network.language = closed.to(model.device)
    for part in (network.encoder, network.language):
        part.requires_grad_(True)
    return RegionWriter(network)


def fit_region_writer(
    model: SSACLNetwork,
    studies,
    leaf_cover: np.ndarray,
    settings: Settings,
    images: int | None = None,
    progress: bool = True,
) -> RegionWriter:
    """Let copies of the model's encoder and language decoder learn by L_lm from regions; in eval mode. The model stays as it is.

    studies: training view. leaf_cover: [n, 25, N] of its first n studies, in their order (the function of that name); the others
    are not read. images: seen in all, by default as many as SS-ACL's (`settings.training.images`), by its rates. The films are
    not turned or flipped, whatever the settings say, for the masks would not turn with them.

    Raises:
        ValueError: more rows of regions than studies, or none.
    """
    count = len(leaf_cover)
    if not 1 <= count <= len(studies):
        raise ValueError(
            f"regions of {count} studies, expected 1 to {len(studies)}: one row for each of the first studies"
        )
    settings = settings.changed(**{"training.augmentation": 0.0, "training.flip": False})
    torch.manual_seed(settings.seed)
    writer, t = region_writer(model), settings.training
    network = writer.network.train()
    steps = max(1, (images or t.images) // min(t.batch_size, count))
    batches = TrainingBatches(settings, _First(studies, count), network.processor, steps, place=(0, 1))
    optimizer = torch.optim.AdamW(parameter_groups(network, settings), lr=t.learning_rate, betas=(0.9, 0.95))
    parameters, total = [p for p in network.parameters() if p.requires_grad], steps * batches.size
    for step, batch in enumerate(
        tqdm(batches.loader(), desc="region writer", total=steps, disable=not progress, mininterval=2)
    ):
        for group in optimizer.param_groups:
            scale = learning_rate_scale(step * batches.size, t.warmup_images, total)
            group["lr"] = t.learning_rate * group["scale"] * scale
        batch = batch.to(network.device)
        cover = torch.from_numpy(leaf_cover[batches.indices(step)]).to(network.device)
        begin, told = empty_text(network, len(cover))
        places = batch.report_places
        with autocast(network):
            tokens, opened = writer.tokens(batch.pixels, cover), torch.ones_like(batch.leaf_open)
            hidden = network.language.hidden(tokens, opened, begin, told, batch.report_ids, batch.report_mask)
            loss = network.generation_loss(hidden.flatten(0, 1)[places], batch.report_ids.flatten()[places])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, t.clip_norm or 1.0)
        optimizer.step()
    network.eval()
    return writer


class _First:
    """The first `count` studies of a training view, as a view."""

    def __init__(self, studies, count: int):
        self.count, self.images = count, studies.images
        self.reports, self.labels = studies.reports[:count], studies.labels[:count]

    def __len__(self) -> int:
        return self.count


def _same_count(films: np.ndarray, cover: np.ndarray) -> None:
    if len(films) != len(cover):
        raise ValueError(f"{len(films)} films and regions of {len(cover)}, expected one row of regions per film")
