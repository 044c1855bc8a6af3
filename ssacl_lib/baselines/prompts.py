"""Report writers whose decoder is not told of anatomy: what the leaf prompts have to beat, trained as SS-ACL is.

    R2Gen-like       an encoder and a decoder: no leaf, no entity text, patches alone
    R2GenGPT-like    the same behind a frozen encoder that a contrast with reports has trained (here: the start)
    PromptMRG-like   findings as an entity text, but no leaf; the encoder also learns the findings that the labeler read

What is simplified: no memory module, and the decoder is SS-ACL's.

Source: Chen et al., Generating radiology reports via memory-driven transformer (R2Gen), EMNLP 2020; Wang et al., R2GenGPT, Meta
Radiology 2023; Jin et al., PromptMRG: diagnosis-driven prompts for medical report generation, AAAI 2024.
"""

from dataclasses import replace

import torch

from ..model.batch import Batch
from ..model.network import TERMS, SSACLNetwork


class LeavesClosed(SSACLNetwork):
    """The decoder never sees a leaf; half of the batches bring the entity text, as in SS-ACL."""

    def forward(
        self, batch: Batch, mask_ratio: float = 0.5, mixing: float = 0.1, terms: tuple[str, ...] = TERMS
    ) -> dict[str, torch.Tensor]:
        """The named terms of SS-ACL, with every leaf closed."""
        return super().forward(replace(batch, leaf_open=torch.zeros_like(batch.leaf_open)), mask_ratio, mixing, terms)


class LeavesWithoutText(SSACLNetwork):
    """The leaves are opened as in SS-ACL, but no entity text is ever given."""

    def forward(
        self, batch: Batch, mask_ratio: float = 0.5, mixing: float = 0.1, terms: tuple[str, ...] = TERMS
    ) -> dict[str, torch.Tensor]:
        """The named terms of SS-ACL, without entity text."""
        bare = replace(batch, prompt_ids=batch.prompt_ids[:, :0], prompt_mask=batch.prompt_mask[:, :0])
        return super().forward(bare, mask_ratio, mixing, terms)


class PatchesAlone(LeavesWithoutText, LeavesClosed):
    """The decoder sees the patches alone: no leaf and no entity text."""


class FrozenEncoder(PatchesAlone):
    """The decoder alone learns, behind an encoder that stays as it was."""

    def passes(self, batch: Batch, keep: torch.Tensor, mask_ratio: float, wanted: set[str]):
        """As in SS-ACL, without gradient and with the statistics of the start."""
        self.encoder.eval()
        with torch.no_grad():
            return super().passes(batch, keep, mask_ratio, wanted)
