"""Where the model sees a phrase or an anatomy: from pixels to maps.

Two kinds of phrase map. "similarity" is the protocol: cosine of projected patch tokens with the phrase's vector. "masked" is
ours: which patches, when visible, make the image fit the phrase better? L_cl trains the image vector on randomly masked
images, so K random masks are inputs the model knows; the cosine with the phrase is regressed on every patch's visibility.
"""

import numpy as np
import torch
from torch.nn import functional as F

from ..anatomy import default_graph, leaves_of
from .encoder import keep_lowest, visible_patches
from .network import SSACLNetwork
from .precision import autocast

MASKED_PASSES = (64, 1024)  # masked images per pass, on a CPU (more is slower: caches) and on a GPU


def smooth(maps: torch.Tensor, sigma: float, beyond: str = "replicate") -> torch.Tensor:
    """Gaussian smoothing of maps [..., h, w] with sigma in patches; beyond the edge "replicate" or "constant" (zeros)."""
    if sigma <= 0:
        return maps
    radius = max(1, int(3 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), mode=beyond), kernel[None, None, None])
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), mode=beyond), kernel[None, None, :, None])
    return flat.reshape(maps.shape)


def to_image(patches: torch.Tensor, model: SSACLNetwork, sigma: float, beyond: str = "replicate") -> torch.Tensor:
    """Values per patch [B, P, N] -> maps [B, P, S, S], smoothed, then bilinear (align_corners False)."""
    config = model.config
    grids = smooth(patches.float().reshape(*patches.shape[:2], config.grid, config.grid), sigma, beyond)
    return F.interpolate(grids, size=(config.image_size, config.image_size), mode="bilinear", align_corners=False)


def evidence_to_image(effect: torch.Tensor, model: SSACLNetwork) -> torch.Tensor:
    """Masked evidence per patch [B, P, N] -> maps [B, P, S, S].

    A map's mean says only how well the image fits on the whole and is taken away; then 0 is "this patch changes nothing",
    and so is what lies beyond the film. (Replicating the edge instead draws a map's maximum onto it.)
    """
    effect = effect - effect.mean(-1, keepdim=True)
    return to_image(effect, model, model.config.evidence["evidence_smoothing_patches"], "constant")


@torch.no_grad()
def similarity_evidence(model: SSACLNetwork, pixels: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Cosine of every projected patch token with phrases: pixels [B, ...], text [P, Dt] -> [B, P, N]."""
    with autocast(model):
        patches = F.normalize(model.patch_embeddings(pixels).float(), dim=-1)
    return F.normalize(text.float(), dim=-1) @ patches.transpose(1, 2)


def random_keeps(model: SSACLNetwork, masks: int, seed: int) -> torch.Tensor:
    """Indices [K, kept] of the patches that each of K random masks keeps; depends on the seed only."""
    noise = torch.from_numpy(np.random.default_rng([seed, 77]).random((masks, model.config.patches), np.float32))
    return keep_lowest(noise, model.config.evidence["mask_ratio"]).to(model.device)


@torch.no_grad()
def masked_embeddings(model: SSACLNetwork, pixels: torch.Tensor, keeps: torch.Tensor) -> torch.Tensor:
    """Normalised image vectors of each image under each mask: pixels [B, ...], keeps [K, kept] -> [B, K, Dt]."""
    masks, rows = len(keeps), []
    for part in torch.arange(len(pixels) * masks, device=pixels.device).split(
        MASKED_PASSES[model.device.type != "cpu"]
    ):
        with autocast(model):
            rows.append(model.image_embedding(pixels[part // masks], keeps[part % masks]).float())
    return F.normalize(torch.cat(rows), dim=-1).view(len(pixels), masks, -1)


def visibility_effect(scores: torch.Tensor, keeps: torch.Tensor, patches: int) -> torch.Tensor:
    """Mean score with a patch visible minus mean score with it hidden: scores [B, K, P] -> [B, P, N]."""
    visible = visible_patches(keeps, patches)
    seen = visible.sum(0)
    contrast = visible / seen.clamp(min=1) - (1 - visible) / (len(visible) - seen).clamp(min=1)
    return scores.transpose(1, 2) @ contrast


def phrase_maps_of_pixels(
    model: SSACLNetwork,
    pixels: torch.Tensor,
    phrases: list[str],
    evidence: str = "masked",
    masks: int | None = None,
    seed: int = 0,
) -> torch.Tensor:
    """Maps [B, P, S, S] of every phrase on every image; all phrases of an image share its K passes.

    Raises ValueError for an empty phrase or an unknown kind of evidence.
    """
    if evidence not in ("masked", "similarity"):
        raise ValueError(f"evidence={evidence!r}: expected 'masked' or 'similarity'")
    if not phrases or any(not phrase.strip() for phrase in phrases):
        raise ValueError("an empty phrase cannot be grounded; give a few words such as 'left pleural effusion'")
    model.eval()
    with torch.no_grad():
        text = model.text_embedding(phrases)
        if evidence == "similarity":
            return to_image(similarity_evidence(model, pixels, text), model, model.config.evidence["smoothing_patches"])
        keeps = random_keeps(model, masks or model.config.evidence["masks"], seed)
        scores = masked_embeddings(model, pixels, keeps) @ F.normalize(text.float(), dim=-1).T
        return evidence_to_image(visibility_effect(scores, keeps, model.config.patches), model)


def patch_attention(attention: torch.Tensor) -> torch.Tensor:
    """Attention [B, heads, Q, 1 + N] of queries to the patches alone, mean over heads: [B, Q, N], rows sum to 1."""
    weights = attention[..., 1:].float().mean(1)
    return weights / weights.sum(-1, keepdim=True)


def anatomy_maps_of_pixels(model: SSACLNetwork, pixels: torch.Tensor, anatomies: list[str]) -> torch.Tensor:
    """Attention maps [B, A, S, S]: last block, mean over heads, a parent is the mean of its leaves.

    Raises ValueError for a name that is no node of the graph.
    """
    graph = default_graph()
    unknown = [name for name in anatomies if name not in graph.nodes]
    if unknown:
        raise ValueError(f"unknown anatomy {unknown[0]!r}; the graph's nodes are: {', '.join(graph.nodes)}")
    model.eval()
    with torch.no_grad(), autocast(model):
        attention = model.leaf_attention(pixels)
    rows = [attention[:, [graph.leaves.index(leaf) for leaf in leaves_of(name)]].mean(1) for name in anatomies]
    return to_image(torch.stack(rows, dim=1), model, sigma=0.0)
