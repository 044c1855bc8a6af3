"""Where the model sees a phrase or an anatomy: from pixels to maps.

Two kinds of phrase map are scored everywhere. "similarity": cosine of projected patch tokens with the phrase's vector.
"masked" is RISE (Petsiuk, Das, Saenko, BMVC 2018) asked of the fit of image and phrase: which patches, when visible, make the
image fit the phrase better? RISE hides parts of the input of a model that never saw hidden parts; L_cl trains the image
vector on randomly masked images, so here the K random masks are inputs that the model knows.

Three more are held by the authors' release, and which of them made the paper's figure is not known:

    cls attention     attention of CLS to the patches in the last block: the only one that is wired up, blind to the phrase
    weighted tokens   projected tokens times softmax(position weights / 0.02), dot product with the phrase's vector
    grad-cam          Grad-CAM (Selvaraju et al., ICCV 2017) of the cosine of image and phrase at the last block's patch tokens

"similarity" is the second without its position weights, which depend on neither film nor phrase, and with a cosine.
"""

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch.nn import functional as F

from ..anatomy import default_graph, leaves_of
from .encoder import Block
from .masking import keep_lowest, visible_patches
from .network import SSACLNetwork
from .precision import autocast

MASKED_PASSES = (64, 1024)  # masked images per pass, on a CPU (more is slower: caches) and on a GPU
POSITION_TEMPERATURE = 0.02  # of the release's weighted tokens


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


def entering(model: SSACLNetwork, module: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """What enters a module of the encoder while it reads pixels [B, ...] without prompts."""
    seen = []
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        with autocast(model):
            model.encoder(pixels)
    finally:
        handle.remove()
    return seen[0].float()


@torch.no_grad()
def cls_attention(model: SSACLNetwork, pixels: torch.Tensor) -> torch.Tensor:
    """Attention of CLS to the patches in the last block, mean over heads: [B, N], rows sum to 1."""
    block = cast(Block, model.encoder.blocks[-1])
    query, key, _ = block.split(entering(model, block.norm1, pixels))
    scores = (query[:, :, :1] * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return patch_attention(scores.softmax(-1))[:, 0]


def cls_evidence(model: SSACLNetwork, pixels: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """`cls_attention` for every phrase alike, because it reads none: pixels [B, ...], text [P, Dt] -> [B, P, N]."""
    return cls_attention(model, pixels)[:, None].repeat(1, len(text), 1)


@torch.no_grad()
def weighted_tokens(model: SSACLNetwork, pixels: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Dot product of projected tokens, weighted by their position, with phrases: pixels [B, ...], text [P, Dt] -> [B, P, N]."""
    weights = (model.position_weight.float() / POSITION_TEMPERATURE).softmax(-1)
    with autocast(model):
        patches = model.patch_embeddings(pixels).float()
    return text.float() @ (patches * weights[:, None]).transpose(1, 2)


@torch.no_grad()
def gradient_evidence(model: SSACLNetwork, pixels: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Grad-CAM of the cosine of image and phrase: pixels [B, ...], text [P, Dt] -> [B, P, N], not negative.

    ReLU of the sum over channels of token times the gradient's mean over the patches, at the patch tokens that leave the
    last block (before the last LayerNorm).
    """
    tokens = entering(model, model.encoder.norm, pixels)[:, 1:]
    text, maps = F.normalize(text.float(), dim=-1), []
    with torch.enable_grad():
        tokens.requires_grad_()
        fits = F.normalize(model.image_to_text(model.encoder.norm(tokens)).mean(1), dim=-1) @ text.T
        for fit in fits.sum(0):
            (gradient,) = torch.autograd.grad(fit, tokens, retain_graph=True)
            maps.append((tokens.detach() * gradient.mean(1, keepdim=True)).sum(-1).relu())
    return torch.stack(maps, dim=1)


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

    evidence: "masked" or a name of `EVIDENCE` (the module's docstring says what they are).

    Raises ValueError for an empty phrase or an unknown kind of evidence.
    """
    if evidence != "masked" and evidence not in EVIDENCE:
        raise ValueError(f"evidence={evidence!r}: expected one of 'masked', {', '.join(map(repr, EVIDENCE))}")
    if not phrases or any(not phrase.strip() for phrase in phrases):
        raise ValueError("an empty phrase cannot be grounded; give a few words such as 'left pleural effusion'")
    model.eval()
    with torch.no_grad():
        text = model.text_embedding(phrases)
        if evidence != "masked":
            return to_image(EVIDENCE[evidence](model, pixels, text), model, model.config.evidence["smoothing_patches"])
        keeps = random_keeps(model, masks or model.config.evidence["masks"], seed)
        scores = masked_embeddings(model, pixels, keeps) @ F.normalize(text.float(), dim=-1).T
        return evidence_to_image(visibility_effect(scores, keeps, model.config.patches), model)


EVIDENCE: dict[str, Callable[[SSACLNetwork, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "similarity": similarity_evidence,
    "cls attention": cls_evidence,
    "weighted tokens": weighted_tokens,
    "grad-cam": gradient_evidence,
}
"""Kinds of map that need one pass and no masks: values per patch [B, P, N], smoothed as the protocol says."""


def patch_attention(attention: torch.Tensor) -> torch.Tensor:
    """Attention [B, heads, Q, 1 + N] of queries to the patches alone, mean over heads: [B, Q, N], rows sum to 1."""
    weights = attention[..., 1:].float().mean(1)
    return weights / weights.sum(-1, keepdim=True)


def anatomy_maps_of_pixels(
    model: SSACLNetwork, pixels: torch.Tensor, anatomies: list[str], evidence: str = "attention"
) -> torch.Tensor:
    """Maps [B, A, S, S] of nodes of the graph.

    evidence: "attention", the prompts' own (last block, mean over heads, a parent is the mean of its leaves), or "plus", the
    maps of SS-ACL+ (model/look.py).

    Raises ValueError for a name that is no node of the graph, another evidence, or "plus" of a model without it.
    """
    if evidence not in ("attention", "plus"):
        raise ValueError(f"evidence={evidence!r}: expected 'attention' or 'plus'")
    graph = default_graph()
    unknown = [name for name in anatomies if name not in graph.nodes]
    if unknown:
        raise ValueError(f"unknown anatomy {unknown[0]!r}; the graph's nodes are: {', '.join(graph.nodes)}")
    model.eval()
    with torch.no_grad(), autocast(model):
        if evidence == "plus":
            chosen = model.look_maps(pixels)[:, [graph.index(name) for name in anatomies]]
            return F.interpolate(chosen, size=pixels.shape[-2:], mode="bilinear", align_corners=False)
        attention = model.leaf_attention(pixels)
    rows = [attention[:, [graph.leaves.index(leaf) for leaf in leaves_of(name)]].mean(1) for name in anatomies]
    return to_image(torch.stack(rows, dim=1), model, sigma=0.0)
