"""Films in, probabilities of the findings out."""

import numpy as np
import torch

from ..model.chunks import BATCH, chunks
from ..model.head import positive_findings
from ..model.network import SSACLNetwork
from ..model.precision import autocast
from ..observations import FINDINGS

__all__ = ["positive_findings", "predict_findings"]


@torch.no_grad()
def predict_findings(model: SSACLNetwork, images: np.ndarray, progress: str | None = None) -> np.ndarray:
    """Probabilities [n, 13] (FINDINGS order) of square uint8 images [n, S, S]."""
    model.eval()
    out = []
    for part in chunks(len(images), BATCH, progress):
        with autocast(model):
            out.append(
                model.finding_logits(model.processor.normalise(images[part]).to(model.device)).float().sigmoid().cpu()
            )
    return torch.cat(out).numpy() if out else np.zeros((0, len(FINDINGS)), np.float32)
