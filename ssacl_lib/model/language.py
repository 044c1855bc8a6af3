"""Language decoder: GPT-2 behind a prefix of visual tokens (L_lm and report generation).

A sequence is [25 leaf tokens | CLS | patch tokens | entity text, newline | report, newline]. The prefix mask opens the
patches and only the leaves of the anatomies that the findings map to; CLS stays closed. Position numbers are the same in
training and generation: a prefix token has its slot's number, a text token counts on from the prefix, padding skipped.
"""

import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from .config import SSACLConfig
from .encoder import Tokens, fastest_attention

LEAVES = 25


class LanguageDecoder(nn.Module):
    """GPT-2 and the linear map of visual tokens to its width."""

    def __init__(self, config: SSACLConfig):
        super().__init__()
        self.config = config
        self.prefix_length = LEAVES + 1 + (config.patches if config.prefix == "prompts and patches" else 0)
        language = {"n_positions": max(256, self.prefix_length + 2 * config.report_tokens + 8), **config.language}
        self.gpt = GPT2LMHeadModel(GPT2Config(**language, attn_implementation=fastest_attention()))
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

    def positions(self, text_mask: torch.Tensor) -> torch.Tensor:
        """Position numbers [B, L + T] for a text mask [B, T] (0 = padding, to the left)."""
        slots = torch.arange(self.prefix_length, device=text_mask.device).expand(text_mask.shape[0], -1)
        return torch.cat([slots, self.prefix_length + (text_mask.cumsum(1) - 1).clamp(min=0)], dim=1)

    def forward(self, tokens: Tokens, leaf_open, prompt_ids, prompt_mask, report_ids, report_mask):
        """Teacher forcing. prompt_* [B, Tp] (left-padded, may have no column), report_* [B, T] (right-padded).

        Returns logits [B, T, vocabulary]; the logits at t predict report token t.
        """
        prefix, prefix_mask = self.prefix(tokens, leaf_open)
        ids = torch.cat([prompt_ids, report_ids], dim=1)
        text_mask = torch.cat([prompt_mask, report_mask], dim=1)
        embedded = torch.cat([prefix, self.gpt.transformer.wte(ids).to(prefix.dtype)], dim=1)
        hidden = self.gpt.transformer(inputs_embeds=embedded, attention_mask=torch.cat([prefix_mask, text_mask], dim=1),
                                      position_ids=self.positions(text_mask), use_cache=False).last_hidden_state
        length = report_ids.shape[1]
        return self.gpt.lm_head(hidden[:, -length - 1 : -1])

    @torch.no_grad()
    def generate(self, tokens: Tokens, leaf_open, prompt_ids, prompt_mask, newline: int, pad: int, **options) -> torch.Tensor:
        """New token ids [B, T'] by transformers' `generate` (greedy or beam search with a key-value cache).

        options: num_beams, min_new_tokens, max_new_tokens, repetition_penalty, length_penalty. A newline ends a report.
        """
        prefix, prefix_mask = self.prefix(tokens, leaf_open)
        embedded = torch.cat([prefix, self.gpt.transformer.wte(prompt_ids).to(prefix.dtype)], dim=1)
        mask = torch.cat([prefix_mask, prompt_mask], dim=1)
        if options.get("num_beams", 1) == 1:
            options = {name: value for name, value in options.items() if name != "length_penalty"}
        return self.gpt.generate(inputs_embeds=embedded, attention_mask=mask, position_ids=self.positions(prompt_mask),
                                 do_sample=False, eos_token_id=newline, pad_token_id=pad, **options)


def load_pretrained_language(decoder: LanguageDecoder, name_or_path: str) -> None:
    """Copy a pretrained GPT-2 (hub name or local folder, safetensors only) into the decoder."""
    source = AutoModelForCausalLM.from_pretrained(name_or_path, use_safetensors=True)
    decoder.gpt.load_state_dict(source.state_dict(), strict=False)


def pretrained_language_config(name_or_path: str) -> dict:
    """The GPT-2 configuration behind a hub name or a local folder, as keyword arguments."""
    return GPT2Config.from_pretrained(name_or_path).to_dict()


