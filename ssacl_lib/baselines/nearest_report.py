"""Nearest report: say of a film what was said of the training film that looks most like it.

Stands for retrieval instead of generation, the simplest of which is the nearest neighbour of W. Boag et al., *Baselines for
Chest X-Ray Report Generation*, ML4H 2019 (PMLR 116, 2020). The same: the neighbour's whole report, copied. Different: there
the neighbour is found by the features of a network that was taught labels, here by the image vector of L_cl, so that every
encoder of ours can be asked; and among at most `limit` training films.
"""

import numpy as np
import torch
from torch.nn import functional as F

from ..model.chunks import BATCH, chunks
from ..model.network import SSACLNetwork
from ..model.precision import autocast

LIMIT = 8192
"""So many training films are compared."""


def nearest_reports(
    model: SSACLNetwork, studies, films: np.ndarray, limit: int = LIMIT, progress: str | None = None
) -> list[str]:
    """For every film the report of the training film whose image vector has the highest cosine with its own.

    studies: training view with `.images(rows)` and `.reports`, of which the first `limit` are compared. films: [n, S, S] uint8.
    Of training films that are equally near, the first is taken.

    Raises:
        ValueError: no training study, or a limit below 1.
    """
    count = min(limit, len(studies.reports))
    if count < 1:
        raise ValueError(
            f"{len(studies.reports)} training studies and a limit of {limit}: expected at least one of each"
        )
    kept = [image_vectors(model, studies.images(np.arange(count)[part])) for part in chunks(count, BATCH, progress)]
    asked = [image_vectors(model, films[part]) for part in chunks(len(films), BATCH, progress)]
    if not asked:
        return []
    nearest = (torch.cat(asked) @ torch.cat(kept).T).numpy().argmax(1)  # numpy's takes the first of equals
    return [studies.reports[row] for row in nearest]


@torch.no_grad()
def image_vectors(model: SSACLNetwork, films: np.ndarray) -> torch.Tensor:
    """Normalised image vectors [n, Dt] (float32, on the CPU) of whole films [n, S, S] uint8."""
    pixels = model.processor.normalise(films).to(model.device)
    with autocast(model.eval()):
        vectors = model.image_embedding(pixels)
    return F.normalize(vectors.float(), dim=-1).cpu()
