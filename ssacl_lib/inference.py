"""Arrays of films in, arrays out: probabilities, reports and maps of many studies, with a progress bar."""

from typing import Any

import numpy as np
import torch

from .anatomy import default_graph
from .model import SSACLModel
from .model.maps import anatomy_maps_of_pixels, phrase_maps_of_pixels
from .model.precision import autocast
from .model.reporting import BATCH, chunks, generate, positive_findings
from .observations import FINDINGS


# ---- findings
@torch.no_grad()
def predict_findings(model: SSACLModel, images: np.ndarray, progress: str | None = None) -> np.ndarray:
    """Probabilities [n, 13] (FINDINGS order) of square uint8 images [n, S, S]."""
    model.eval()
    out = []
    for part in chunks(len(images), BATCH, progress):
        with autocast(model):
            out.append(
                model.finding_logits(model.processor.normalise(images[part]).to(model.device)).float().sigmoid().cpu()
            )
    return torch.cat(out).numpy() if out else np.zeros((0, len(FINDINGS)), np.float32)


# ---- reports
@torch.no_grad()
def write_reports(
    model: SSACLModel,
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


# ---- maps
def phrase_maps(
    model: SSACLModel,
    images: np.ndarray,
    phrases: list[list[str]],
    evidence: str = "masked",
    masks: int | None = None,
    seed: int = 0,
    progress: str | None = None,
) -> list[np.ndarray]:
    """Maps of each image's own phrases: images [n, S, S] uint8, n lists of phrases -> n arrays [p, S, S] (p may be 0)."""
    size = model.config.image_size
    maps = []
    for part in chunks(len(images), 1, progress):
        row = part.start
        if not phrases[row]:
            maps.append(np.zeros((0, size, size), np.float32))
            continue
        pixels = model.processor.normalise(images[part]).to(model.device)
        maps.append(phrase_maps_of_pixels(model, pixels, phrases[row], evidence, masks, seed)[0].cpu().numpy())
    return maps


def leaf_maps(model: SSACLModel, images: np.ndarray, progress: str | None = None) -> np.ndarray:
    """Attention of the 25 leaf prompts as maps [n, 25, S, S] (float32) of images [n, S, S]."""
    leaves = list(default_graph().leaves)
    parts = [
        anatomy_maps_of_pixels(model, model.processor.normalise(images[part]).to(model.device), leaves).cpu()
        for part in chunks(len(images), BATCH, progress)
    ]
    return torch.cat(parts).float().numpy()
