"""What findings put into the language decoder's prefix: which leaves are open, and the entity text."""

import numpy as np
import torch

from ..anatomy import anatomies_for, leaf_mask
from ..text.entities import entity_text
from .processor import SSACLProcessor


def prompt_ids(processor: SSACLProcessor, findings: list) -> list[list[int]]:
    """Token ids of the entity texts, each ended by a newline; an item is a list of findings' names, or the text itself.

    Cut to the places that the decoder has for them (`prompt_tokens`).
    """
    texts = [names if isinstance(names, str) else entity_text(names) for names in findings]
    encoded = processor.language_tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return [row[: processor.config.prompt_tokens - 1] + [processor.newline] for row in encoded]


def entity_prompts(processor: SSACLProcessor, findings: list | None, count: int):
    """Entity text and a newline as padded ids and mask [B, T]; without findings the empty prompt, mostly without a column.

    findings: a list of findings' names per image, or the text itself. Padding goes to `processor.prompt_side`.
    """
    if findings is None:
        return processor.pad_ids([processor.empty_prompt] * count, processor.prompt_side)
    return processor.pad_ids(prompt_ids(processor, findings), processor.prompt_side)


def open_leaves(findings: list[list[str]]) -> torch.Tensor:
    """Leaves [B, 25] bool of the anatomies that each study's findings map to (none: all closed)."""
    return torch.from_numpy(np.stack([leaf_mask(anatomies_for(names)) for names in findings]))
