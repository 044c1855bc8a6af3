"""SS-ACL whose leaf prompts bring what lies where words place the leaf, from the first step on (ours; no rival).

training/sight.py lets a decoder learn on behind a frozen encoder; here encoder, prompts and decoder learn together:

    leaf token in the prefix = z_v + W sum_n m_vn x_n        m: the atlas of words, one number per patch, rows sum to 1

The atlas does not follow the film (no head is fitted yet when training begins), so this suits films that are positioned alike.
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..anatomy import graph_index
from ..model.config import LEAVES, SSACLConfig
from ..model.encoder import Tokens
from ..model.language import LanguageDecoder
from ..model.ssacl import SSACLModel


class LookingDecoder(LanguageDecoder):
    """The language decoder whose prefix holds what the leaves look at."""

    where: torch.Tensor

    def __init__(self, config: SSACLConfig):
        super().__init__(config)
        self.register_buffer("where", torch.full((LEAVES, config.patches), 1.0 / config.patches))
        self.values = nn.Linear(config.width, config.width)

    def prefix(self, tokens: Tokens, leaf_open: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As in `LanguageDecoder`, with z_v + W sum_n m_vn x_n in the leaves' places."""
        # z_v + W sum_n m_vn x_n
        looked = tokens.queries + self.values(self.where.to(tokens.patches.dtype) @ tokens.patches)
        return super().prefix(Tokens(tokens.patches, tokens.cls, looked), leaf_open)


class LookingPrompts(SSACLModel):
    """SS-ACL with a `LookingDecoder`. words: the atlas [32, G, G] of which a new network is made; a saved one brings its own."""

    words: ClassVar[torch.Tensor | None] = None

    def __init__(self, config: SSACLConfig):
        super().__init__(config)
        self.language = LookingDecoder(config)
        self.post_init()
        if self.words is not None:
            maps = F.adaptive_avg_pool2d(self.words[graph_index("leaves")][None].float(), config.grid)[0].flatten(1)
            with torch.no_grad():
                nn.init.eye_(self.language.values.weight)
                self.language.where.copy_(maps / maps.sum(-1, keepdim=True).clamp(min=1e-6))
