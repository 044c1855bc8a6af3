"""Scaled dot-product attention with a mask of what is visible: plain on a CPU, fused on a GPU, and blind nowhere."""

import torch
from torch.nn import functional as F


def fastest_attention() -> str:
    """transformers' name of the attention that trains fastest here: fused on a GPU, plain matrix products on a CPU."""
    return "sdpa" if torch.cuda.is_available() else "eager"


def ready_mask(visible: torch.Tensor, implementation: str, dtype: torch.dtype) -> torch.Tensor:
    """`visible` [B, 1, queries or 1, keys] bool in the form that transformers' attention takes as it is.

    From a mask [B, keys] transformers would make one itself, and would on a GPU wait in every call to see whether it is empty.
    """
    if implementation != "eager":
        return never_blind(visible)
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, torch.finfo(dtype).min)


def never_blind(visible: torch.Tensor) -> torch.Tensor:
    """`visible` [..., keys] bool, where a place that sees nothing sees everything: a fused kernel may make NaN of it.

    Such a place (a closed leaf at the head of a prefix) is seen by no other and enters no loss, so what it holds is free: the
    processor's `empty_prompt` sees to it that no word is predicted from one.
    """
    return visible | ~visible.any(-1, keepdim=True)


def scaled_attention(query, key, value, visible=None, dropout: float = 0.0) -> torch.Tensor:
    """Scaled dot-product attention [B, heads, ., d]; `visible` [B, 1, 1 or queries, keys] bool hides keys.

    On a GPU the fused kernel; on a CPU plain matrix products, whose bfloat16 backward is several times faster there.
    """
    if query.is_cuda:
        mask = None if visible is None else never_blind(visible)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    if visible is not None:  # the lowest number, not -inf: a place that sees nothing must not become NaN
        scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    return F.dropout(scores.softmax(dim=-1), dropout) @ value
