"""Films in, reports out."""

from typing import Any

import numpy as np
import torch

from ..model.chunks import BATCH, chunks
from ..model.head import positive_findings
from ..model.network import SSACLNetwork
from ..model.reporting import generate
from .findings import predict_findings


@torch.no_grad()
def write_reports(
    model: SSACLNetwork,
    images: np.ndarray,
    findings: list[list[str]] | None = None,
    guided: bool = True,
    prompts: list[str] | None = None,
    leaf_open: np.ndarray | None = None,
    progress: str | None = None,
) -> list[str]:
    """Reports of images [n, S, S]. findings: entities per image (default: the head's positives).

    guided=False is the paper's "without anatomical prompts": every leaf closed and no entity text.
    prompts (entity texts) and leaf_open [n, 25] bool, where a data set brings them, replace what findings say.
    """
    if findings is None and guided and (prompts is None or leaf_open is None):
        findings = positive_findings(model, predict_findings(model, images))
    texts: list[str] = []
    for part in chunks(len(images), BATCH, progress):
        pixels = model.processor.normalise(images[part]).to(model.device)
        if guided:
            chosen: dict[str, Any] = {"findings": findings, "prompts": prompts, "leaf_open": leaf_open}
            texts += generate(
                model, pixels, **{name: None if rows is None else rows[part] for name, rows in chosen.items()}
            )
        else:
            texts += generate(model, pixels, None)
    return texts
