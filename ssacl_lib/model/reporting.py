"""From pixels to findings, anatomies and a report, with the evidence of each finding."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..anatomy import anatomies_for, leaf_mask
from ..observations import FINDINGS
from ..text.regions import placed_sentences
from .chunks import BATCH, chunks
from .encoder import Tokens
from .head import positive_findings
from .maps import anatomy_maps_of_pixels, patch_attention, phrase_maps_of_pixels, to_image
from .network import SSACLNetwork
from .precision import autocast
from .prompts import entity_prompts, open_leaves

EVIDENCE_BATCH = 16  # images whose maps are in memory at once


@dataclass(frozen=True)
class Report:
    """What the model says of one image.

    findings: probability of each of the 13. positives: those above the head's thresholds. anatomies: what they map to.
    evidence: "attention" -> [S, S], the paper's map (last block, mean over the selected anatomies' leaves), and one
    masked-evidence map [S, S] per positive finding; empty where there is no finding, for then there is no evidence. sentences:
    those that state a finding, each with the nodes that it names; by a model that looks (SS-ACL+), each of these nodes has a
    map "node (SS-ACL+)" in evidence.
    """

    text: str
    findings: dict[str, float]
    positives: tuple[str, ...]
    anatomies: tuple[str, ...]
    evidence: dict[str, np.ndarray] = field(default_factory=dict)
    sentences: tuple[tuple[str, tuple[str, ...]], ...] = ()


@torch.no_grad()
def generate(
    model: SSACLNetwork,
    pixels: torch.Tensor,
    findings: list[list[str]] | None,
    prompts: list[str] | None = None,
    leaf_open: np.ndarray | None = None,
    leaf_pixels: torch.Tensor | None = None,
) -> list[str]:
    """Reports of pixels [B, C, S, S] under the given entities; None closes every leaf and gives no entity text.

    prompts (entity texts) and leaf_open [B, 25] bool replace what findings say. leaf_pixels: other films whose leaf tokens
    take the place of these films' own (a control; patches and CLS stay).
    """
    model.eval()
    with autocast(model):
        tokens = leaf_tokens(model, pixels)
        if leaf_pixels is not None:
            tokens = replace(tokens, queries=leaf_tokens(model, leaf_pixels).queries)
        return reports_from(model, tokens, findings, prompts, leaf_open)


def leaf_tokens(model: SSACLNetwork, pixels: torch.Tensor) -> Tokens:
    """Tokens of the unmasked pass with the 25 leaves as queries: what the language decoder's prefix is made of."""
    tokens = model.encode(pixels)
    return Tokens(
        tokens.patches, tokens.cls, tokens.queries[:, model.leaf_index], tokens.attention[:, :, model.leaf_index]
    )


def reports_from(model: SSACLNetwork, tokens: Tokens, findings, prompts=None, leaf_open=None) -> list[str]:
    """Reports behind the prefix of `leaf_tokens`; the other arguments as in `generate`."""
    processor, count = model.processor, len(tokens.cls)
    opened = open_leaves(findings or [[]] * count) if leaf_open is None else torch.tensor(np.asarray(leaf_open, bool))
    ids, mask = entity_prompts(processor, findings if prompts is None else prompts, count)
    new = model.language.generate(
        tokens,
        opened.to(model.device),
        ids.to(model.device),
        mask.to(model.device),
        processor.newline,
        processor.pad,
        **model.config.generation,
    )
    return [processor.decode_report(row) for row in new]


def reports_of_pixels(model: SSACLNetwork, pixels: torch.Tensor, evidence: bool = True) -> list[Report]:
    """`SSACLNetwork.report` after preprocessing; without evidence it costs no masked passes."""
    return [
        report for part in chunks(len(pixels), BATCH, None) for report in _report_batch(model, pixels[part], evidence)
    ]


@torch.no_grad()
def _report_batch(model: SSACLNetwork, pixels: torch.Tensor, with_evidence: bool) -> list[Report]:
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
    sentences = [tuple(placed_sentences(text)) for text in texts]
    if with_evidence and model.look is not None:
        for row, told in enumerate(sentences):
            evidence[row].update(_looked(model, pixels[[row]], told))
    return [
        Report(text, dict(zip(FINDINGS, map(float, row), strict=True)), tuple(names), places, maps, told)
        for text, row, names, places, maps, told in zip(
            texts, probabilities, findings, anatomies, evidence, sentences, strict=True
        )
    ]


def _looked(model: SSACLNetwork, pixels: torch.Tensor, sentences) -> dict[str, np.ndarray]:
    """Where the model looks for the nodes that the sentences name: "node (SS-ACL+)" -> [S, S]."""
    nodes = list(dict.fromkeys(node for _, named in sentences for node in named))
    if not nodes:
        return {}
    maps = anatomy_maps_of_pixels(model, pixels, nodes, "plus")[0].float().cpu().numpy()
    return {f"{node} (SS-ACL+)": heatmap for node, heatmap in zip(nodes, maps, strict=True)}


def _evidence(
    model: SSACLNetwork, pixels: torch.Tensor, tokens: Tokens, findings, anatomies
) -> list[dict[str, np.ndarray]]:
    """The maps of `Report.evidence` for a batch; images with findings share the text pass and batches of masked passes."""
    found: list[dict[str, np.ndarray]] = [{} for _ in findings]
    rows = [row for row, names in enumerate(findings) if names]
    for part in (rows[start : start + EVIDENCE_BATCH] for start in range(0, len(rows), EVIDENCE_BATCH)):
        opened = torch.from_numpy(np.stack([leaf_mask(anatomies[row]) for row in part])).to(model.device).float()
        weights = patch_attention(tokens.attention[part])
        attention = (
            to_image(((opened / opened.sum(1, keepdim=True))[:, None] @ weights), model, sigma=0.0)[:, 0].cpu().numpy()
        )
        names = [name for name in FINDINGS if any(name in findings[row] for row in part)]
        maps = phrase_maps_of_pixels(model, pixels[part], [name.lower() for name in names], "masked").cpu().numpy()
        for place, row in enumerate(part):
            found[row] = {"attention": attention[place]}
            found[row].update((name, maps[place, names.index(name)]) for name in findings[row])
    return found
