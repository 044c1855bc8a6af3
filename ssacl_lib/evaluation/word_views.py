"""A report while it is written: what the decoder attends to before each word, and which words it had in mind.

The weights are those of the decoder's last block, mean over heads: how the last step of mixing divides itself among leaf tokens,
patches, and words. Attention says where a token takes from, not that the report would be another one without it; what leaf tokens
are good for is asked by exchanging them (notebook 03, sections 7 and 8).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..model.config import LEAVES
from ..model.precision import autocast
from ..model.prompts import entity_prompts, open_leaves
from ..model.reporting import leaf_tokens
from .inputs import pixels_of

GUESSES = 5


@dataclass(frozen=True)
class Told:
    """A report of T tokens.

    pieces: the tokens as text. leaves: attention [T, 25] to the leaf tokens, patches: [T, N], words: [T] to entity text and
    earlier words; they sum to 1. guesses: per token the most likely ones with their probabilities. sentences: (first token,
    one past the last, text). leaf_open: [25] bool.
    """

    pieces: tuple[str, ...]
    leaves: np.ndarray
    patches: np.ndarray
    words: np.ndarray
    guesses: tuple[tuple[tuple[str, float], ...], ...]
    sentences: tuple[tuple[int, int, str], ...]
    leaf_open: np.ndarray

    def sentence_of(self, token: int) -> int:
        """Number of the sentence that holds a token."""
        return next(number for number, (_, stop, _) in enumerate(self.sentences) if token < stop)


@torch.no_grad()
def told(model, image: np.ndarray, findings: Sequence[str]) -> Told:
    """Write the report of a film [S, S] under findings, as `reports_from` does, and look at the decoder before each token."""
    model.eval()
    processor, language = model.processor, model.language
    with autocast(model):
        tokens = leaf_tokens(model, pixels_of(model, image[None]))
        opened = open_leaves([list(findings)]).to(model.device)
        prompt, mask = (part.to(model.device) for part in entity_prompts(processor, [list(findings)], 1))
        ids = language.generate(
            tokens, opened, prompt, mask, processor.newline, processor.pad, **model.config.generation
        )
        ids = ids[:, : _length(ids[0].tolist(), processor.newline)]
        logits, normal = _before_each(language, tokens, opened, prompt, mask, ids)
    weights = last_attention(language, normal.float(), len(ids[0]), _visible(language, opened, tokens, mask, ids))
    patches = weights[:, LEAVES + 1 : language.prefix_length]
    chances = logits[0, : len(ids[0])].float().softmax(-1)
    best = chances.topk(GUESSES, dim=-1)
    names = processor.language_tokenizer.convert_ids_to_tokens
    guesses = tuple(
        tuple(zip(names(row.tolist()), values.tolist(), strict=True))
        for row, values in zip(best.indices, best.values, strict=True)
    )
    rest = 1 - weights[:, :LEAVES].sum(1) - patches.sum(1)
    pieces = tuple(names(ids[0].tolist()))
    return Told(pieces, weights[:, :LEAVES].numpy(), patches.numpy(), rest.numpy(), guesses,
                sentences_of(processor, ids[0].tolist(), pieces), opened[0].cpu().numpy())  # fmt: skip


def _length(ids: list[int], newline: int) -> int:
    """Tokens before the newline that ends a report."""
    return ids.index(newline) if newline in ids else len(ids)


def _before_each(language, tokens, opened, prompt, mask, ids) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits before each id, and what enters the attention of the last block [1, L, n_embd]."""
    seen = []
    handle = language.gpt.transformer.h[-1].ln_1.register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        logits = language.continuation_logits(tokens, opened, prompt, mask, ids)
    finally:
        handle.remove()
    return logits, seen[0]


def _visible(language, opened, tokens, prompt_mask, ids) -> torch.Tensor:
    """Which places of the sequence may be seen [L] bool."""
    closed = torch.zeros_like(opened[0, :1])
    patches = torch.ones(language.prefix_length - LEAVES - 1, dtype=torch.bool, device=opened.device)
    text = torch.cat([prompt_mask[0].bool(), torch.ones_like(ids[0], dtype=torch.bool)])
    return torch.cat([opened[0].bool(), closed.bool(), patches, text])


def last_attention(language, normal: torch.Tensor, count: int, visible: torch.Tensor) -> torch.Tensor:
    """Attention [count, L] of the places that predict the last `count` tokens of a sequence, mean over heads.

    normal: [1, L, n_embd], what enters the last block's attention. visible: [L] bool; no place sees a later one.
    """
    attention = language.gpt.transformer.h[-1].attn
    width, heads = normal.shape[-1], attention.num_heads
    both = normal[0] @ attention.c_attn.weight[:, : 2 * width].float() + attention.c_attn.bias[: 2 * width].float()
    query, key = (part.reshape(len(normal[0]), heads, -1).transpose(0, 1) for part in both.split(width, dim=-1))
    length = normal.shape[1]
    rows = torch.arange(length - count - 1, length - 1, device=normal.device)
    scores = (query[:, rows] * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    seen = visible & (torch.arange(length, device=normal.device) <= rows[:, None])
    return scores.masked_fill(~seen, float("-inf")).softmax(-1).mean(0).cpu()


def sentences_of(processor, ids: list[int], pieces: Sequence[str]) -> tuple[tuple[int, int, str], ...]:
    """(first token, one past the last, text) of each sentence; a stop between digits ends none."""
    found, start = [], 0
    for place, piece in enumerate(pieces):
        last = place + 1 == len(pieces)
        if last or (piece in (".", "!", "?") and not pieces[place + 1][:1].isdigit()):
            found.append((start, place + 1, processor.decode_report(ids[start : place + 1])))
            start = place + 1
    return tuple(found)
