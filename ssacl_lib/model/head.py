"""Classification head for anatomy inference: which findings does the frozen encoder see?"""

from typing import cast

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from ..observations import FINDINGS
from .encoder import Tokens


class FindingHead(nn.Module):
    """One attention pooling per finding over the patch tokens, then one linear read-out each.

    A mean over patches would dilute a fracture in a hundred normal patches; an attention map per finding does not.
    """

    thresholds: torch.Tensor

    def __init__(self, width: int):
        super().__init__()
        count = len(FINDINGS)
        self.where = nn.Linear(width, count)
        self.what = nn.Linear(width, count)
        self.everywhere = nn.Linear(2 * width, count)
        self.register_buffer("thresholds", torch.full((count,), 0.5))

    def forward(self, tokens: Tokens) -> torch.Tensor:
        """Logits [B, 13] in the order of FINDINGS, from patches [B, K, D] and CLS [B, D]."""
        weights = self.where(tokens.patches).softmax(dim=1)
        local = (weights * self.what(tokens.patches)).sum(1)
        return local + self.everywhere(torch.cat([tokens.patches.mean(1), tokens.cls], dim=-1))


def positive_findings(model: PreTrainedModel, probabilities: np.ndarray) -> list[list[str]]:
    """Names of the findings above the head's thresholds (chosen on validation), per row of [n, 13]."""
    head = cast(FindingHead, model.head)
    thresholds = head.thresholds.float().cpu().numpy()
    return [[name for name, p, t in zip(FINDINGS, row, thresholds, strict=True) if p >= t] for row in probabilities]
