"""What a report rests on: for every finding and every sentence its map, the control of that map, and whether it says anything.

Two kinds of map, made with the same K masks:

    masked evidence     of a finding's phrase, and of a sentence that states a finding: which patches make the film fit it?
    sentence evidence   of every sentence: which open patches of its prefix make the decoder say it? (sentences.py)

Whatever names one side gets its control, the same text with the side exchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from torch.nn import functional as F

from ..anatomy import anatomies_for
from ..model.maps import (
    anatomy_maps_of_pixels,
    evidence_to_image,
    masked_embeddings,
    random_keeps,
    visibility_effect,
)
from ..model.masking import visible_patches
from ..model.network import SSACLNetwork
from ..model.precision import autocast
from ..model.reporting import Report, leaf_tokens
from ..observations import FINDINGS
from ..text.entities import positives
from ..text.labeler import encode, label
from ..text.regions import named_nodes
from ..text.sections import read_sections, sentences
from ..text.sides import SIDE, swap_side
from .sentences import chance_of, replaced, sentence_spans, text_likelihoods, tokens_of

CHANCE = 0.05
"""A map of which chance makes the like more often shows nothing."""

SUPPORT = log(2)
"""A sentence that the open patches do not make twice as likely is written without them."""

STAYS = 0.5
"""A map whose correlation with the map of the other side is as high has not moved with the side."""


@dataclass(frozen=True)
class Heat:
    """The map of a text: heatmap [S, S], 0 = changes nothing. chance: share of random masks that single out a patch as much."""

    text: str
    heatmap: np.ndarray
    chance: float


@dataclass(frozen=True)
class Pair:
    """A map and its control, the map of the text with the side exchanged; None where the text names no side, or both."""

    own: Heat
    other: Heat | None = None

    @property
    def shows(self) -> bool:
        """Does a patch stand out from chance?"""
        return self.own.chance <= CHANCE

    @property
    def likeness(self) -> float | None:
        """Correlation of the two maps; 0 where one of them is constant."""
        if self.other is None:
            return None
        first, second = (heat.heatmap.ravel() - heat.heatmap.mean() for heat in (self.own, self.other))
        norm = float(np.linalg.norm(first) * np.linalg.norm(second))
        return float(first @ second) / norm if norm > 0 else 0.0

    @property
    def stays(self) -> bool | None:
        """Does the map stay where it is when the side is exchanged? Then it shows a position. None without a control."""
        likeness = self.likeness
        return None if likeness is None else likeness >= STAYS


@dataclass(frozen=True)
class SentenceEvidence:
    """What a sentence of the report rests on.

    findings, nodes: what it states and names. likelihood: log-likelihood in nats, all patches open. support: how much more that
    is than with all patches closed. side: how much more than with the side exchanged. written: sentence evidence; None where the
    decoder sees no patches. masked: masked evidence of a sentence that states a finding. looked: [S, S], where SS-ACL+ finds the
    named nodes. Numbers are NaN or None where there is nothing to say.
    """

    text: str
    findings: tuple[str, ...]
    nodes: tuple[str, ...]
    likelihood: float = float("nan")
    support: float = float("nan")
    side: float | None = None
    written: Pair | None = None
    masked: Pair | None = None
    looked: np.ndarray | None = None

    @property
    def rests_on_film(self) -> bool:
        """Do the open patches make it at least twice as likely, and does one of them stand out?"""
        return self.written is not None and self.written.shows and self.support >= SUPPORT


@dataclass(frozen=True)
class FindingEvidence:
    """A finding as the head sees it: its masked evidence where it is found, and the numbers of the sentences that state it."""

    name: str
    probability: float
    threshold: float
    found: bool
    masked: Pair | None = None
    sentences: tuple[int, ...] = ()


@dataclass(frozen=True)
class StudyEvidence:
    """A report with what it rests on: all 13 findings, and all sentences in order."""

    report: str
    findings: tuple[FindingEvidence, ...]
    sentences: tuple[SentenceEvidence, ...]
    anatomies: tuple[str, ...]


def study_evidence(model: SSACLNetwork, pixels: torch.Tensor, report: Report, seed: int = 0) -> StudyEvidence:
    """The evidence of one film's report: pixels [1, C, S, S] of the film, `report` as `reports_of_pixels` gives it."""
    model.eval()
    text = report.text.replace("\n", " ").strip()
    spans = sentence_spans(text)
    said = [text[start:end] for start, end in spans]
    described = set(sentences(read_sections(text)))
    stated = [positives(encode(label(sentence))) if sentence in described else [] for sentence in said]
    others = [swap_side(sentence) if names else None for sentence, names in zip(said, stated, strict=True)]
    lower = {sentence.lower() for sentence in said}
    others = [None if other is None or other.lower() in lower else other for other in others]
    keeps = random_keeps(model, model.config.evidence["masks"], seed)
    written, numbers = _written(model, pixels, report, text, spans, others, keeps)

    phrases = {name: finding_phrase(name, [s for s, names in zip(said, stated, strict=True) if name in names])
               for name in report.positives}  # fmt: skip
    asked = [*phrases.values(), *(s for s, names in zip(said, stated, strict=True) if names)]
    heats = _masked(model, pixels, [*asked, *(other for text in asked if (other := swap_side(text)))], keeps)

    def pair(text: str, other: str | None) -> Pair:
        return Pair(heats[text], heats[other] if other else None)

    looked = _looked(model, pixels, said)
    thresholds = model.head.thresholds.float().cpu().tolist()
    found = tuple(
        FindingEvidence(
            name,
            report.findings[name],
            threshold,
            name in report.positives,
            pair(phrases[name], swap_side(phrases[name])) if name in phrases else None,
            tuple(number for number, names in enumerate(stated) if name in names),
        )
        for name, threshold in zip(FINDINGS, thresholds, strict=True)
    )
    told = tuple(
        SentenceEvidence(
            sentence,
            tuple(names),
            tuple(named_nodes(sentence)),
            likelihood,
            support,
            side,
            written=maps,
            masked=pair(sentence, other) if names else None,
            looked=look,
        )
        for sentence, names, other, (likelihood, support, side), maps, look in zip(
            said, stated, others, numbers, written, looked, strict=True
        )
    )
    return StudyEvidence(text, found, told, report.anatomies)


def finding_phrase(finding: str, told: Sequence[str]) -> str:
    """A finding as a phrase to ask for: with the side that the sentences which state it name, where it is one and the same.

    A finding of the mediastinum alone has no side, whatever else its sentence tells.

    >>> finding_phrase("Pleural Effusion", ["Small left effusion."])
    'left pleural effusion'
    """
    sides = {side.lower() for sentence in told for side in SIDE.findall(sentence)}
    sided = len(sides) == 1 and anatomies_for([finding]) != {"mediastinum"}
    return f"{sides.pop()} {finding.lower()}" if sided else finding.lower()


def _heats(model: SSACLNetwork, texts: Sequence[str], scores: torch.Tensor, keeps: torch.Tensor) -> list[Heat]:
    """Maps of texts from their scores [K, P] under K masks."""
    if not texts:
        return []
    patches = model.config.patches
    chances = chance_of(scores, keeps, patches).tolist()
    maps = evidence_to_image(visibility_effect(scores[None], keeps, patches), model)[0].cpu().numpy()
    return [Heat(text, heatmap, chance) for text, heatmap, chance in zip(texts, maps, chances, strict=True)]


@torch.no_grad()
def _masked(model: SSACLNetwork, pixels: torch.Tensor, texts: Sequence[str], keeps: torch.Tensor) -> dict[str, Heat]:
    """Masked evidence of texts; all share the passes."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    fits = masked_embeddings(model, pixels, keeps)[0] @ F.normalize(model.text_embedding(distinct).float(), dim=-1).T
    return dict(zip(distinct, _heats(model, distinct, fits, keeps), strict=True))


@torch.no_grad()
def _written(
    model: SSACLNetwork, pixels: torch.Tensor, report: Report, text: str, spans, others: Sequence[str | None], keeps
) -> tuple[list[Pair | None], list[tuple[float, float, float | None]]]:
    """Sentence evidence, and likelihood, support and side of every sentence."""
    nothing: tuple[float, float, float | None] = (float("nan"), float("nan"), None)
    pairs: list[Pair | None] = [None] * len(spans)
    numbers = [nothing] * len(spans)
    if model.config.prefix != "prompts and patches" or not spans:
        return pairs, numbers
    with autocast(model):
        tokens = leaf_tokens(model, pixels)
    ids, places = tokens_of(model.processor, text, spans)
    branches = {number: branch for number, (span, other) in enumerate(zip(spans, others, strict=True))
                if other and (branch := replaced(model.processor, text, span, other))}  # fmt: skip
    masks = visible_patches(keeps, model.config.patches)
    visible = torch.cat([torch.ones_like(masks[:1]), torch.zeros_like(masks[:1]), masks])
    told, exchanged = text_likelihoods(model, tokens, list(report.positives), ids, list(branches.values()), visible)
    within = [number for number, place in enumerate(places) if place.start < place.stop]
    own = torch.stack([told[:, places[number]].sum(1) for number in within], dim=1) if within else told[:, :0]
    other = torch.stack([part.sum(1) for part in exchanged], dim=1) if exchanged else told[:, :0]
    own_maps = _heats(model, [text[slice(*spans[number])] for number in within], own[2:], keeps)
    other_maps = dict(zip(branches, _heats(model, [others[n] or "" for n in branches], other[2:], keeps), strict=True))
    column = {number: place for place, number in enumerate(branches)}
    for place, number in enumerate(within):
        whole, none = own[:2, place].tolist()
        side = whole - float(other[0, column[number]]) if number in column else None
        pairs[number], numbers[number] = Pair(own_maps[place], other_maps.get(number)), (whole, whole - none, side)
    return pairs, numbers


@torch.no_grad()
def _looked(model: SSACLNetwork, pixels: torch.Tensor, said: Sequence[str]) -> list[np.ndarray | None]:
    """Where SS-ACL+ finds the nodes that each sentence names: the mean of their maps, each over its maximum."""
    named = [named_nodes(sentence) for sentence in said]
    nodes = list(dict.fromkeys(node for names in named for node in names))
    if model.look is None or not nodes:
        return [None] * len(said)
    maps = anatomy_maps_of_pixels(model, pixels, nodes, "plus")[0].float().cpu().numpy()
    parts = {node: heatmap / max(float(heatmap.max()), 1e-9) for node, heatmap in zip(nodes, maps, strict=True)}
    return [np.mean([parts[node] for node in names], axis=0) if names else None for names in named]
