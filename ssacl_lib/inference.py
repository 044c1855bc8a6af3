"""From an image to findings, anatomies and a report; from a phrase or an anatomy to a map.

Two kinds of phrase map. "similarity" is the protocol: cosine of projected patch tokens with the phrase's vector. "masked" is
ours: which patches, when visible, make the image fit the phrase better? L_cl trains the image vector on randomly masked
images, so K random masks are inputs the model knows; the cosine with the phrase is regressed on every patch's visibility.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from .anatomy import anatomies_for, default_graph, leaf_mask, leaves_of
from .batches import entity_prompts, open_leaves
from .model import SSACLModel
from .model.build import load_model
from .model.encoder import Tokens, has_fast_bfloat16, keep_lowest, visible_patches
from .phantom.truth import FINDINGS

BATCH = 64  # images per pass
EVIDENCE_BATCH = 16  # images whose maps are in memory at once
MASKED_PASSES = (64, 1024)  # masked images per pass, on a CPU (more is slower: caches) and on a GPU


@dataclass(frozen=True)
class Report:
    """What the model says of one image.

    findings: probability of each of the 13. positives: those above the head's thresholds. anatomies: what they map to.
    evidence: "attention" -> [S, S], the paper's map (last block, mean over the selected anatomies' leaves), and one
    masked-evidence map [S, S] per positive finding; empty where there is no finding, for then there is no evidence.
    """

    text: str
    findings: dict[str, float]
    positives: tuple[str, ...]
    anatomies: tuple[str, ...]
    evidence: dict[str, np.ndarray] = field(default_factory=dict)


def autocast(model: SSACLModel):
    """bfloat16 where the hardware has it, float32 elsewhere; for encoder passes only, never for comparing vectors."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=has_fast_bfloat16(model.device))


def chunks(count: int, size: int, label: str | None):
    """Slices of `size`, with a progress bar where there is a label."""
    starts = range(0, count, size)
    for start in tqdm(starts, desc=label, disable=label is None, mininterval=2):
        yield slice(start, min(start + size, count))


# ---- findings
@torch.no_grad()
def predict_findings(model: SSACLModel, images: np.ndarray, progress: str | None = None) -> np.ndarray:
    """Probabilities [n, 13] (FINDINGS order) of square uint8 images [n, S, S]."""
    model.eval()
    out = []
    for part in chunks(len(images), BATCH, progress):
        with autocast(model):
            out.append(model.finding_logits(model.processor.normalise(images[part]).to(model.device)).float().sigmoid().cpu())
    return torch.cat(out).numpy() if out else np.zeros((0, len(FINDINGS)), np.float32)


def positive_findings(model: SSACLModel, probabilities: np.ndarray) -> list[list[str]]:
    """Names of the findings above the head's thresholds (chosen on validation), per row of [n, 13]."""
    thresholds = model.head.thresholds.float().cpu().numpy()
    return [[name for name, p, t in zip(FINDINGS, row, thresholds, strict=True) if p >= t] for row in probabilities]


# ---- reports
@torch.no_grad()
def write_reports(model: SSACLModel, images: np.ndarray, findings: list[list[str]] | None = None, guided: bool = True,
                  prompts: list[str] | None = None, leaf_open: np.ndarray | None = None,
                  progress: str | None = None) -> list[str]:
    """Reports of images [n, S, S]. findings: entities per image (default: the head's positives).

    guided=False is the paper's "without anatomical prompts": every leaf closed and no entity text.
    prompts (entity texts) and leaf_open [n, 25] bool, where a data set brings them, replace what findings say.
    """
    if findings is None and guided and (prompts is None or leaf_open is None):
        findings = positive_findings(model, predict_findings(model, images))
    texts: list[str] = []
    for part in chunks(len(images), BATCH, progress):
        pixels = model.processor.normalise(images[part]).to(model.device)
        chosen = [rows[part] if rows is not None and guided else None for rows in (findings, prompts, leaf_open)]
        texts += generate(model, pixels, *chosen)
    return texts


@torch.no_grad()
def generate(model: SSACLModel, pixels: torch.Tensor, findings: list[list[str]] | None, prompts: list[str] | None = None,
             leaf_open: np.ndarray | None = None) -> list[str]:
    """Reports of pixels [B, C, S, S] under the given entities; None closes every leaf and gives no entity text.

    prompts (entity texts) and leaf_open [B, 25] bool replace what findings say.
    """
    model.eval()
    with autocast(model):
        return reports_from(model, leaf_tokens(model, pixels), findings, prompts, leaf_open)


def leaf_tokens(model: SSACLModel, pixels: torch.Tensor) -> Tokens:
    """Tokens of the unmasked pass with the 25 leaves as queries: what the language decoder's prefix is made of."""
    tokens = model.encode(pixels)
    return Tokens(tokens.patches, tokens.cls, tokens.queries[:, model.leaf_index], tokens.attention[:, :, model.leaf_index])


def reports_from(model: SSACLModel, tokens: Tokens, findings, prompts=None, leaf_open=None) -> list[str]:
    """Reports behind the prefix of `leaf_tokens`; the other arguments as in `generate`."""
    processor, count = model.processor, len(tokens.cls)
    opened = open_leaves(findings or [[]] * count) if leaf_open is None else torch.tensor(np.asarray(leaf_open, bool))
    ids, mask = entity_prompts(processor, findings if prompts is None else prompts, count)
    new = model.language.generate(tokens, opened.to(model.device), ids.to(model.device), mask.to(model.device),
                                  processor.newline, processor.pad, **model.config.generation)
    return [processor.decode_report(row) for row in new]


def reports_of_pixels(model: SSACLModel, pixels: torch.Tensor, evidence: bool = True) -> list[Report]:
    """`SSACLModel.report` after preprocessing; without evidence it costs no masked passes."""
    return [report for part in chunks(len(pixels), BATCH, None) for report in _report_batch(model, pixels[part], evidence)]


@torch.no_grad()
def _report_batch(model: SSACLModel, pixels: torch.Tensor, with_evidence: bool) -> list[Report]:
    """One encoder pass serves head, prefix and attention, but for the head in release mode, where patches see no CLS then."""
    model.eval()
    with autocast(model):
        tokens = leaf_tokens(model, pixels)
        logits = model.head(tokens) if model.config.attention == "paper" else model.finding_logits(pixels)
        probabilities = logits.float().sigmoid().cpu().numpy()
        findings = positive_findings(model, probabilities)
        texts = reports_from(model, tokens, findings)
    anatomies = [tuple(sorted(anatomies_for(names))) for names in findings]
    evidence = _evidence(model, pixels, tokens, findings, anatomies) if with_evidence else [{} for _ in texts]
    return [Report(text, dict(zip(FINDINGS, map(float, row), strict=True)), tuple(names), places, maps)
            for text, row, names, places, maps in zip(texts, probabilities, findings, anatomies, evidence, strict=True)]


def _evidence(model: SSACLModel, pixels: torch.Tensor, tokens: Tokens, findings, anatomies) -> list[dict[str, np.ndarray]]:
    """The maps of `Report.evidence` for a batch; images with findings share the text pass and batches of masked passes."""
    found: list[dict[str, np.ndarray]] = [{} for _ in findings]
    rows = [row for row, names in enumerate(findings) if names]
    for part in (rows[start : start + EVIDENCE_BATCH] for start in range(0, len(rows), EVIDENCE_BATCH)):
        opened = torch.from_numpy(np.stack([leaf_mask(anatomies[row]) for row in part])).to(model.device).float()
        weights = patch_attention(tokens.attention[part])
        attention = to_image(((opened / opened.sum(1, keepdim=True))[:, None] @ weights), model, sigma=0.0)[:, 0].cpu().numpy()
        names = [name for name in FINDINGS if any(name in findings[row] for row in part)]
        maps = phrase_maps_of_pixels(model, pixels[part], [name.lower() for name in names], "masked").cpu().numpy()
        for place, row in enumerate(part):
            found[row] = {"attention": attention[place]}
            found[row].update((name, maps[place, names.index(name)]) for name in findings[row])
    return found


# ---- maps
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


def to_image(patches: torch.Tensor, model: SSACLModel, sigma: float, beyond: str = "replicate") -> torch.Tensor:
    """Values per patch [B, P, N] -> maps [B, P, S, S], smoothed, then bilinear (align_corners False)."""
    config = model.config
    grids = smooth(patches.float().reshape(*patches.shape[:2], config.grid, config.grid), sigma, beyond)
    return F.interpolate(grids, size=(config.image_size, config.image_size), mode="bilinear", align_corners=False)


def evidence_to_image(effect: torch.Tensor, model: SSACLModel) -> torch.Tensor:
    """Masked evidence per patch [B, P, N] -> maps [B, P, S, S].

    A map's mean says only how well the image fits on the whole and is taken away; then 0 is "this patch changes nothing",
    and so is what lies beyond the film. (Replicating the edge instead draws a map's maximum onto it.)
    """
    effect = effect - effect.mean(-1, keepdim=True)
    return to_image(effect, model, model.config.evidence["evidence_smoothing_patches"], "constant")


@torch.no_grad()
def similarity_evidence(model: SSACLModel, pixels: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Cosine of every projected patch token with phrases: pixels [B, ...], text [P, Dt] -> [B, P, N]."""
    with autocast(model):
        patches = F.normalize(model.patch_embeddings(pixels).float(), dim=-1)
    return F.normalize(text.float(), dim=-1) @ patches.transpose(1, 2)


def random_keeps(model: SSACLModel, masks: int, seed: int) -> torch.Tensor:
    """Indices [K, kept] of the patches that each of K random masks keeps; depends on the seed only."""
    noise = torch.from_numpy(np.random.default_rng([seed, 77]).random((masks, model.config.patches), np.float32))
    return keep_lowest(noise, model.config.evidence["mask_ratio"]).to(model.device)


@torch.no_grad()
def masked_embeddings(model: SSACLModel, pixels: torch.Tensor, keeps: torch.Tensor) -> torch.Tensor:
    """Normalised image vectors of each image under each mask: pixels [B, ...], keeps [K, kept] -> [B, K, Dt]."""
    masks, rows = len(keeps), []
    for part in torch.arange(len(pixels) * masks, device=pixels.device).split(MASKED_PASSES[model.device.type != "cpu"]):
        with autocast(model):
            rows.append(model.image_embedding(pixels[part // masks], keeps[part % masks]).float())
    return F.normalize(torch.cat(rows), dim=-1).view(len(pixels), masks, -1)


def visibility_effect(scores: torch.Tensor, keeps: torch.Tensor, patches: int) -> torch.Tensor:
    """Mean score with a patch visible minus mean score with it hidden: scores [B, K, P] -> [B, P, N]."""
    visible = visible_patches(keeps, patches)
    seen = visible.sum(0)
    contrast = visible / seen.clamp(min=1) - (1 - visible) / (len(visible) - seen).clamp(min=1)
    return scores.transpose(1, 2) @ contrast


def phrase_maps_of_pixels(model: SSACLModel, pixels: torch.Tensor, phrases: list[str], evidence: str = "masked",
                          masks: int | None = None, seed: int = 0) -> torch.Tensor:
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


def phrase_maps(model: SSACLModel, images: np.ndarray, phrases: list[list[str]], evidence: str = "masked",
                masks: int | None = None, seed: int = 0, progress: str | None = None) -> list[np.ndarray]:
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


def patch_attention(attention: torch.Tensor) -> torch.Tensor:
    """Attention [B, heads, Q, 1 + N] of queries to the patches alone, mean over heads: [B, Q, N], rows sum to 1."""
    weights = attention[..., 1:].float().mean(1)
    return weights / weights.sum(-1, keepdim=True)


def anatomy_maps_of_pixels(model: SSACLModel, pixels: torch.Tensor, anatomies: list[str]) -> torch.Tensor:
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


def leaf_maps(model: SSACLModel, images: np.ndarray, progress: str | None = None) -> np.ndarray:
    """Attention of the 25 leaf prompts as maps [n, 25, S, S] (float32) of images [n, S, S]."""
    leaves = list(default_graph().leaves)
    parts = [anatomy_maps_of_pixels(model, model.processor.normalise(images[part]).to(model.device), leaves).cpu()
             for part in chunks(len(images), BATCH, progress)]
    return torch.cat(parts).float().numpy()


__all__ = ["Report", "leaf_maps", "load_model", "phrase_maps", "positive_findings", "predict_findings", "write_reports"]
