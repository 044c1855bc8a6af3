"""Language decoder: GPT-2 behind a prefix of visual tokens (L_lm and report generation).

A sequence is [25 leaf tokens | CLS | patch tokens | entity text, newline | report, newline]. The prefix mask opens the
patches and only the leaves of the anatomies that the findings map to; CLS stays closed.

Position numbers (config.language_positions). "continued", ours: a prefix token has its slot's number, a text token counts on
from the prefix, padding skipped, in training as in generation. "release": training numbers all places, padding too;
generation numbers the visible places only. There prompts are padded on the right, so in a batch of prompts of several
lengths the first new token is predicted from a padded place.
"""

from typing import cast

import torch
from torch import nn
from transformers import (
    DynamicCache,
    GPT2Config,
    GPT2LMHeadModel,
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
)
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from .attention import fastest_attention, ready_mask, scaled_attention
from .config import SSACLConfig
from .encoder import Tokens
from .pretrained import load_whole, require_type


class LanguageDecoder(nn.Module):
    """GPT-2 and the linear map of visual tokens to its width."""

    def __init__(self, config: SSACLConfig):
        super().__init__()
        self.config = config
        self.prefix_length = config.prefix_length
        language = {"n_positions": max(256, self.prefix_length + 2 * config.report_tokens + 8), **config.language}
        if config.prompt_tokens < 1:
            raise ValueError(
                f"this GPT-2 has {language['n_positions']} positions; a prefix of {self.prefix_length} and a report of "
                f"{config.report_tokens} tokens leave none for a prompt; larger patches or fewer language_tokens need fewer"
            )
        if language.setdefault("activation_function", "gelu_new") == "gelu_new":
            language["activation_function"] = (
                "gelu_pytorch_tanh"  # the same function in one kernel: less time and memory
            )
        if language.get("scale_attn_by_inverse_layer_idx") or language.get("reorder_and_upcast_attn"):
            raise ValueError(
                "this GPT-2 scales its attention by layer or computes it in float32, which `look_back` does not; "
                "use one of the usual kind, such as gpt2"
            )
        self.gpt = GPT2LMHeadModel(GPT2Config(**{**language, "attn_implementation": fastest_attention()}))
        self.to_width = nn.Linear(config.width, self.gpt.config.n_embd)

    def prefix(self, tokens: Tokens, leaf_open: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Prefix embeddings [B, L, n_embd] and its mask [B, L].

        tokens.queries: [B, 25, D], the leaves of the unmasked pass; leaf_open: [B, 25] bool, leaves that may be seen.
        """
        parts = [tokens.queries, tokens.cls[:, None]]
        masks = [leaf_open, torch.zeros_like(leaf_open[:, :1])]
        if self.config.prefix == "prompts and patches":
            parts.append(tokens.patches)
            masks.append(torch.ones(tokens.patches.shape[:2], dtype=leaf_open.dtype, device=leaf_open.device))
        return self.to_width(torch.cat(parts, dim=1)), torch.cat(masks, dim=1).long()

    def positions(self, mask: torch.Tensor, generating: bool) -> torch.Tensor:
        """Position numbers [B, L] of a whole sequence by its mask [B, L]; see the module's text."""
        slots = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
        if self.config.language_positions == "release":
            return (mask.cumsum(1) - 1).masked_fill(mask == 0, 1) if generating else slots
        text = mask[:, self.prefix_length :]
        counted = self.prefix_length + (text.cumsum(1) - 1).clamp(min=0)
        return torch.cat([slots[:, : self.prefix_length], counted], dim=1)

    def embed(self, tokens: Tokens, leaf_open, ids, text_mask) -> tuple[torch.Tensor, torch.Tensor]:
        """Prefix and text ids [B, T] as embeddings [B, L + T, n_embd], with their mask."""
        prefix, prefix_mask = self.prefix(tokens, leaf_open)
        words = self.gpt.transformer.wte(ids).to(prefix.dtype)
        return torch.cat([prefix, words], dim=1), torch.cat([prefix_mask, text_mask], dim=1)

    def run(self, embedded: torch.Tensor, mask: torch.Tensor, generating: bool, last: int) -> torch.Tensor:
        """GPT-2's hidden states [B, last, n_embd] of the last places; its last block works out these places only."""
        gpt, length = self.gpt.transformer, mask.shape[1]
        visible = mask.bool()[:, None, None] & torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
        ready = ready_mask(visible, self.gpt.config._attn_implementation, embedded.dtype)
        hidden = gpt.drop(embedded + gpt.wpe(self.positions(mask, generating)))
        for block in gpt.h[:-1]:
            hidden = block(hidden, attention_mask=ready)
        return gpt.ln_f(look_back(cast(GPT2Block, gpt.h[-1]), hidden, visible, last))

    def hidden(self, tokens: Tokens, leaf_open, prompt_ids, prompt_mask, report_ids, report_mask) -> torch.Tensor:
        """Hidden states [B, T, n_embd] of teacher forcing; the one at t predicts report token t: hidden_t = h_(t - 1).

        prompt_* [B, Tp], padded on the processor's prompt_side (may have no column); report_* [B, T], right-padded.
        """
        embedded, mask = self.embed(
            tokens, leaf_open, torch.cat([prompt_ids, report_ids], dim=1), torch.cat([prompt_mask, report_mask], dim=1)
        )
        # hidden_t = h_(t - 1): T + 1 places are worked out, from the one before the report, and the last one is dropped
        return self.run(embedded, mask, False, report_ids.shape[1] + 1)[:, :-1]

    def forward(self, tokens: Tokens, leaf_open, prompt_ids, prompt_mask, report_ids, report_mask) -> torch.Tensor:
        """Logits [B, T, vocabulary] of teacher forcing; see `hidden`."""
        return self.gpt.lm_head(self.hidden(tokens, leaf_open, prompt_ids, prompt_mask, report_ids, report_mask))

    def continuation_logits(self, tokens: Tokens, leaf_open, prompt_ids, prompt_mask, new_ids) -> torch.Tensor:
        """Logits [B, T + 1, vocabulary] before, between and after generated ids [B, T], numbered as in generation."""
        embedded, mask = self.embed(
            tokens,
            leaf_open,
            torch.cat([prompt_ids, new_ids], dim=1),
            torch.cat([prompt_mask, torch.ones_like(new_ids)], dim=1),
        )
        return self.gpt.lm_head(self.run(embedded, mask, True, new_ids.shape[1] + 1))

    @torch.no_grad()
    def generate(
        self,
        tokens: Tokens,
        leaf_open,
        prompt_ids,
        prompt_mask,
        newline: int,
        pad: int,
        num_beams: int = 1,
        repetition_penalty: float = 1.0,
        length_penalty: float = 1.0,
        use_cache: bool = True,
        **options,
    ) -> torch.Tensor:
        """New token ids [B, T'] by transformers' `generate` (greedy or beam search with a key-value cache).

        options: min_new_tokens, max_new_tokens. A newline ends a report. What the mask hides is moved to the left and cut
        off, so that a batch costs no more than its longest visible sequence; it is read once per image, whatever the beams.
        """
        embedded, mask = self.embed(tokens, leaf_open, prompt_ids, prompt_mask)
        order = mask.argsort(dim=1, stable=True)[:, mask.shape[1] - int(mask.sum(1).max()) :]
        read = {
            "inputs_embeds": embedded.gather(1, order[..., None].expand(-1, -1, embedded.shape[-1])),
            "attention_mask": mask.gather(1, order),
            "position_ids": self.positions(mask, True).gather(1, order),
        }
        processors = LogitsProcessorList()
        if self.config.language_positions == "release" and prompt_mask.shape[1] and not prompt_mask[:, -1].all():
            first = self.continuation_logits(tokens, leaf_open, prompt_ids, prompt_mask, prompt_ids[:, :0])[:, 0]
            processors.append(FirstScores(first if num_beams == 1 else first.log_softmax(-1), num_beams))
        if repetition_penalty != 1.0:
            begin = self.gpt.config.bos_token_id if self.config.language_positions == "release" else None
            processors.append(RepetitionPenalty(repetition_penalty, begin))
        if num_beams > 1:
            options["length_penalty"] = length_penalty
            if use_cache:  # `generate` would read it once per beam; what is left for it is the last place
                options["cache"] = DynamicCache(config=self.gpt.config)
                self.gpt.transformer(**{name: value[:, :-1] for name, value in read.items()}, cache=options["cache"])
                options["cache"].batch_repeat_interleave(num_beams)
        return self.gpt.generate(
            **read,
            logits_processor=processors,
            do_sample=False,
            num_beams=num_beams,
            use_cache=use_cache,
            eos_token_id=newline,
            pad_token_id=pad,
            **options,
        )


def look_back(block: GPT2Block, hidden: torch.Tensor, visible: torch.Tensor, last: int) -> torch.Tensor:
    """A block of GPT-2 for the last places alone, which look at all: hidden [B, L, n_embd] -> [B, last, n_embd].

    visible: [B, 1, L, L] bool. What the prefix and the prompt would become in the last block nobody reads.
    """
    attention, normal = block.attn, block.ln_1(hidden)
    (batch, length, width), weight, bias = hidden.shape, attention.c_attn.weight, attention.c_attn.bias
    query = torch.addmm(bias[:width], normal[:, length - last :].reshape(-1, width), weight[:, :width])
    both = torch.addmm(bias[width:], normal.reshape(-1, width), weight[:, width:])
    query, key, value = (
        part.reshape(batch, -1, attention.num_heads, attention.head_dim).transpose(1, 2)
        for part in (query, *both.chunk(2, dim=-1))
    )
    dropout = attention.attn_dropout.p if block.training else 0.0
    mixed = scaled_attention(query, key, value, visible[:, :, length - last :], dropout).transpose(1, 2).flatten(2)
    tail = hidden[:, length - last :] + attention.resid_dropout(attention.c_proj(mixed))
    return tail + block.mlp(block.ln_2(tail))


class FirstScores(LogitsProcessor):
    """Scores of the first new token from elsewhere: with padded prompts the release predicts it from a padded place."""

    def __init__(self, scores: torch.Tensor, beams: int):
        self.scores = scores.repeat_interleave(beams, dim=0)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Replace the scores [B, vocabulary] while no id has been generated; what `generate` forbade stays forbidden."""
        return (
            torch.where(scores.isneginf(), scores, self.scores.to(scores.dtype)) if input_ids.shape[1] == 0 else scores
        )


class RepetitionPenalty(LogitsProcessor):
    """transformers' repetition penalty over all new ids, and over `begin`, an id that counts as generated (or None).

    `generate` itself would spare as many new ids as the mask of its inputs has zeros in front, and warn.
    """

    def __init__(self, penalty: float, begin: int | None):
        self.inner, self.begin = RepetitionPenaltyLogitsProcessor(penalty), begin

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores [B, vocabulary] after new ids [B, T]."""
        if self.begin is not None:
            input_ids = torch.cat([torch.full_like(scores[:, :1], self.begin, dtype=torch.long), input_ids], dim=1)
        return self.inner(input_ids, scores) if input_ids.shape[1] else scores


def load_pretrained_language(decoder: LanguageDecoder, name_or_path: str) -> None:
    """Copy a pretrained GPT-2 (hub name or local folder, safetensors only) into the decoder.

    Raises:
        ValueError: it lacks tensors; its output table may be missing, for it is the input's.
    """
    decoder.gpt.load_state_dict(load_whole(GPT2LMHeadModel, name_or_path, ("lm_head.",)).state_dict())


def pretrained_language_config(name_or_path: str) -> dict:
    """The GPT-2 configuration behind a hub name or a local folder, as keyword arguments. Raises ValueError for another kind."""
    require_type(name_or_path, ("gpt2",), "a GPT-2")
    return GPT2Config.from_pretrained(name_or_path).to_dict()
