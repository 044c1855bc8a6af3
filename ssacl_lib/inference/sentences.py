"""Which patches of the prefix does the language decoder need to say a sentence?

The encoder reads the film once. Then K random masks close patches of the decoder's prefix, the same masks as those of masked
evidence, and each patch is asked: is the sentence more likely while it is open? That is RISE (Petsiuk, Das, Saenko, BMVC
2018) asked of a log-likelihood, ours. Leaf tokens and the entity text stay as they are, so the map says what the patches of
the prefix bring beside them. And a patch token holds what the encoder mixed into it: the map says where the decoder reads,
which need not be where the film shows something.

All texts of a film share one pass per mask: the report stands in it once, and each other text is a branch that sees the
report up to its own beginning and nothing of the other branches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..model.attention import ready_mask
from ..model.encoder import Tokens
from ..model.maps import visibility_effect
from ..model.network import SSACLNetwork
from ..model.processor import SSACLProcessor
from ..model.prompts import entity_prompts, open_leaves
from ..text.sections import sentences

LEAVES_AND_CLS = 26
"""Places of the prefix before its patches."""

NUMBERS = 1 << 24
"""Logits and attention weights of one pass, at most: 64 MB."""


@dataclass(frozen=True)
class Branch:
    """A text that goes on from the report's first `after` tokens. ids: at least one token."""

    ids: tuple[int, ...]
    after: int = 0


def sentence_spans(report: str) -> list[tuple[int, int]]:
    """Where the sentences of `text.sections.sentences` lie in a report: (first character, the one behind the last)."""
    spans, end = [], 0
    for sentence in sentences(report):
        start = report.index(sentence, end)
        end = start + len(sentence)
        spans.append((start, end))
    return spans


def tokens_of(
    processor: SSACLProcessor, report: str, spans: Sequence[tuple[int, int]]
) -> tuple[list[int], list[slice]]:
    """Token ids of a report for the language decoder, cut as in training, and the tokens of each span of characters."""
    encoded = processor.language_tokenizer(
        report,
        add_special_tokens=False,
        truncation=True,
        max_length=processor.config.report_tokens - 1,
        return_offsets_mapping=True,
    )
    places = encoded["offset_mapping"]
    found = []
    for start, end in spans:
        inside = [number for number, (first, last) in enumerate(places) if first < end and last > start]
        found.append(slice(inside[0], inside[-1] + 1) if inside else slice(len(places), len(places)))
    return list(encoded["input_ids"]), found


def replaced(processor: SSACLProcessor, report: str, span: tuple[int, int], other: str) -> Branch | None:
    """The branch in which a sentence of a report reads otherwise; None where the decoder's length ends before it."""
    start, end = span
    ids, (where,) = tokens_of(processor, report[:start] + other + report[end:], [(start, start + len(other))])
    return Branch(tuple(ids[where]), where.start) if ids[where] else None


@torch.no_grad()
def text_likelihoods(
    model: SSACLNetwork,
    tokens: Tokens,
    findings: list[str],
    report: Sequence[int],
    branches: Sequence[Branch],
    visible: torch.Tensor,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Log-likelihood of every token of a report [K, T] and of its branches [K, t] each, under K masks of the prefix.

    tokens: of one film, as `model.reporting.leaf_tokens` gives them. findings: what opens leaves and makes the entity text.
    report: its token ids, possibly none. visible: [K, N], 1 = the patch is open. Positions are numbered as in training.

    Raises:
        ValueError: the model's prefix holds no patches.
    """
    language, processor = model.language, model.processor
    if model.config.prefix != "prompts and patches":
        raise ValueError(
            "the decoder of this checkpoint sees no patches, so no patch can be closed: it has no such evidence"
        )
    words = torch.tensor([[*report, *(number for branch in branches for number in branch.ids)]], dtype=torch.long)
    prompt = entity_prompts(processor, [findings], 1)[0]
    ids = torch.cat([prompt, words], dim=1).to(model.device)
    embedded, mask = language.embed(tokens, open_leaves([findings]).to(model.device), ids, torch.ones_like(ids))
    base = language.prefix_length + prompt.shape[1]
    before, positions, sees = layout(base, len(report), branches, model.device)
    gpt = language.gpt.transformer
    first = gpt.drop(embedded.float() + gpt.wpe(positions)[None])
    size = max(1, NUMBERS // max(words.shape[1] * language.gpt.config.vocab_size, mask.shape[1] ** 2))
    parts = []
    for rows in visible.to(model.device).bool().split(size):
        open_ = mask.bool().repeat(len(rows), 1)
        open_[:, LEAVES_AND_CLS : language.prefix_length] &= rows
        ready = ready_mask(open_[:, None, None] & sees, language.gpt.config._attn_implementation, first.dtype)
        hidden = first.expand(len(rows), -1, -1)
        for block in gpt.h:
            hidden = block(hidden, attention_mask=ready)
        logits = language.gpt.lm_head(gpt.ln_f(hidden[:, before])).float().log_softmax(-1)
        parts.append(logits.gather(2, words.to(model.device).expand(len(rows), -1)[..., None])[..., 0])
    told, *others = torch.cat(parts).split([len(report), *(len(branch.ids) for branch in branches)], dim=1)
    return told, others


def layout(
    base: int, length: int, branches: Sequence[Branch], device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """How branches stand behind a report in one sequence: predictor of each word [W], positions [L], who sees whom [L, L].

    base: length of prefix and prompt. length: of the report. A word's predictor is the place before it.
    """
    total = base + length + sum(len(branch.ids) for branch in branches)
    sees = torch.ones(total, total, dtype=torch.bool, device=device).tril()
    positions = list(range(base + length))
    before = list(range(base - 1, base + length - 1))
    for branch in branches:
        start, fork = len(positions), base + branch.after
        sees[start : start + len(branch.ids), fork:start] = False
        positions += range(fork, fork + len(branch.ids))
        before += [fork - 1, *range(start, start + len(branch.ids) - 1)]
    return torch.tensor(before, device=device), torch.tensor(positions, device=device), sees


def chance_of(scores: torch.Tensor, keeps: torch.Tensor, patches: int, draws: int = 199, seed: int = 0) -> torch.Tensor:
    """How often would masks that have nothing to do with the scores single out a patch as much? scores [K, P] -> [P].

    The scores are dealt out to the masks anew, `draws` times, and the largest effect of a patch is compared with that of the
    true masks: a permutation test of the maximum, whose smallest answer is 1 / (draws + 1).
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(len(scores), generator=generator) for _ in range(draws)]).to(scores.device)
    strongest = visibility_effect(scores[None], keeps, patches)[0].amax(-1)
    dealt = visibility_effect(scores[order], keeps, patches).amax(-1)
    return (1 + (dealt >= strongest).sum(0)) / (draws + 1)
