"""Do the two anatomical losses need the film at all? L_ar and L_ac on films, blank films and other patients' films.

A prompt's token carries its own text through the residual path, whatever is on the film. If a loss is as small on a
blank film, training can satisfy it without learning where the anatomy is. Beside the losses: how alike leaf tokens are.
"""

from collections.abc import Mapping

import pandas as pd
import torch
from torch.nn import functional as F

from ..datasets.registry import load_training
from ..training.batches import TrainingBatches
from .results import long_table, mean_rows

FILMS = ("film", "blank film", "film of another patient")
TERMS = ("anatomy_reconstruction", "anatomical_consistency")
BATCHES = 16


@torch.no_grad()
def blind_losses(models: Mapping, settings) -> pd.DataFrame:
    """Long table: film, method, metric (a term, or a cosine of leaf tokens), value, low, high, n (batches), seed.

    Up to 16 batches of test studies, seen through the training view. "blank film" has every pixel at the mean grey;
    "film of another patient" moves the films by one study within the batch, the reports stay.
    Cosines: leaf_cosine_across_patients (same leaf, different studies), leaf_cosine_within_patient (different leaves).
    """
    studies = load_training(settings, "test")
    size = min(settings.training.batch_size, len(studies))
    rows = []
    for method, model in models.items():
        model.eval()
        batches = TrainingBatches(
            settings, studies, model.processor, max(1, min(BATCHES, len(studies) // size)), shuffle=False
        )
        found: dict[str, list[dict]] = {film: [] for film in FILMS}
        for number in range(len(batches)):
            batch = batches[number].to(model.device)
            for film, pixels in zip(FILMS, (batch.pixels, 0 * batch.pixels, batch.pixels.roll(1, 0)), strict=True):
                batch.pixels = pixels
                terms = model(batch, settings.training.mask_ratio, settings.training.mixing)
                found[film].append({term: float(terms[term]) for term in TERMS} | leaf_cosines(model, pixels))
        for film, values in found.items():
            rows += mean_rows({"film": film, "method": method}, pd.DataFrame(values), range(len(values)), settings)
    return long_table(rows, ["film"])


def leaf_cosines(model, pixels: torch.Tensor) -> dict[str, float]:
    """Mean cosine of the same leaf's token between studies, and of different leaves' tokens within a study."""
    tokens = F.normalize(model.encode(pixels).queries[:, model.leaf_index].float(), dim=-1)  # [B, 25, D]
    across = torch.einsum("imd,jmd->mij", tokens, tokens)
    within = tokens @ tokens.transpose(1, 2)
    return {"leaf_cosine_across_patients": _off_diagonal(across), "leaf_cosine_within_patient": _off_diagonal(within)}


def _off_diagonal(matrices: torch.Tensor) -> float:
    """Mean of [k, n, n] without the diagonals."""
    count = matrices.shape[-1]
    total = matrices.sum() - matrices.diagonal(dim1=1, dim2=2).sum()
    return float(total / (len(matrices) * count * max(1, count - 1)))
