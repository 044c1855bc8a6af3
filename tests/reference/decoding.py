"""Generation without a key-value cache: for every new token the whole sequence goes through the language decoder again.

transformers' `generate` can't do this behind a prefix of embeddings (after the first token it forgets the prefix where it keeps
no cache). Search, scores and stop rule are still its own; only what the model is shown at each step is replaced, so the ids must
be those of the cached search.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ssacl_lib.model.language import LanguageDecoder


@contextmanager
def whole_sequences(language: LanguageDecoder) -> Iterator[None]:
    """Within this block each step of the decoder's search sees [prefix and prompt, all words so far]."""
    gpt = language.gpt

    def inputs(input_ids, next_sequence_length=None, inputs_embeds=None, attention_mask=None, position_ids=None, **_):
        words = gpt.transformer.wte(input_ids).to(inputs_embeds.dtype)
        return {
            "inputs_embeds": torch.cat([inputs_embeds, words], dim=1),
            "attention_mask": attention_mask,
            "position_ids": position_ids,
            "use_cache": False,
        }

    gpt.prepare_inputs_for_generation = inputs
    try:
        yield
    finally:
        del gpt.prepare_inputs_for_generation


def generate_without_cache(language: LanguageDecoder, *arguments, **options) -> torch.Tensor:
    """`LanguageDecoder.generate` with the same arguments, every step from the beginning."""
    with whole_sequences(language):
        return language.generate(*arguments, use_cache=False, **options)
