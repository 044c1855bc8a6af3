"""Text encoder E_t: one BERT reads reports, phrases and the names of anatomies."""

import torch
from torch import nn
from transformers import BertConfig, BertModel

from .attention import fastest_attention, ready_mask
from .config import SSACLConfig
from .pretrained import load_whole, require_type


class TextEncoder(nn.Module):
    """BERT and the pooling of its tokens into one vector [B, text width]."""

    def __init__(self, config: SSACLConfig):
        super().__init__()
        self.pooling = config.text_pooling
        self.bert = BertModel(
            BertConfig(**{**config.text, "attn_implementation": fastest_attention()}), add_pooling_layer=True
        )

    @property
    def width(self) -> int:
        """Width of the pooled vector."""
        return self.bert.config.hidden_size

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool ids [B, T] (mask 1 = token) into [B, width]: dense + tanh of position 0, or the mean of all tokens."""
        visible = mask[:, None, None].bool().expand(-1, -1, mask.shape[1], -1)
        output = self.bert(
            input_ids=ids, attention_mask=ready_mask(visible, self.bert.config._attn_implementation, self.bert.dtype)
        )
        if self.pooling == "cls_tanh":
            return output.pooler_output
        weight = mask[..., None].to(output.last_hidden_state.dtype)
        return (output.last_hidden_state * weight).sum(1) / weight.sum(1)


def pretrained_text_config(name_or_path: str) -> dict:
    """The BERT configuration behind a hub name or a local folder, as keyword arguments. Raises ValueError for another kind."""
    require_type(name_or_path, ("bert",), "a BERT")
    return BertConfig.from_pretrained(name_or_path).to_dict()


def load_pretrained_text(encoder: TextEncoder, name_or_path: str) -> None:
    """Copy a pretrained BERT (hub name or local folder, safetensors only) into the encoder.

    Raises:
        ValueError: it lacks tensors; its pooler may be missing where a text's vector is the mean of its tokens.
    """
    source = load_whole(BertModel, name_or_path, ("pooler.",) if encoder.pooling == "mean" else ())
    encoder.bert.load_state_dict(source.state_dict())
