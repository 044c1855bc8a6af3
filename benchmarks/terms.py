"""Where the time of a training step goes: each of the five terms alone, the optimizer, and two kinds of attention.

    python benchmarks/terms.py [--profile cpu] [--device cpu] [--quick]

A term alone runs the passes that it needs, forward and backward; terms share passes, so their times add up to more than the
step. The attention rows time one block's attention over the patches (forward and backward) as one fused kernel
(`scaled_dot_product_attention`) and as plain matrix products: what `model/attention.scaled_attention` chooses between.
"""

from functools import partial

import torch
from timing import alternate, measured, paired_ratio
from torch.nn import functional as F
from workload import Trainer, autocast, batch_of, build, precisions, run_script

from ssacl_lib.model.network import TERMS
from ssacl_lib.settings import Settings


def backward_of(step: Trainer, terms: tuple[str, ...]) -> None:
    """Forward and backward pass of the given terms."""
    settings = step.settings.training
    with autocast(step.batch.pixels.device, step.precision):
        values = step.model(step.batch, settings.mask_ratio, settings.mixing, terms)
    sum(values.values()).backward()
    step.optimizer.zero_grad(set_to_none=True)


def term_rows(settings: Settings, device, rounds: int) -> list[dict]:
    """Milliseconds of each term alone, of all five together and of the whole step, in the faster precision."""
    model = build(settings, device)
    step = Trainer(model, settings, batch_of(model, settings, device), precisions(device)[0])
    competitors = {f"term_{name}": partial(backward_of, step, (name,)) for name in TERMS}
    competitors |= {"terms_together": partial(backward_of, step, TERMS), "step_with_optimizer": step}
    seconds = alternate(competitors, rounds, device, warm_up=2)
    return [
        measured(name, "milliseconds", [1000 * s for s in values], settings.seed) for name, values in seconds.items()
    ]


def plain_attention(query, key, value) -> torch.Tensor:
    """Softmax of scaled products, the matrices in full."""
    return ((query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)).softmax(dim=-1) @ value


def attention_rows(settings: Settings, device, rounds: int) -> list[dict]:
    """Fused against plain attention over CLS and all patches of the profile's batch, forward and backward."""
    m, rows = settings.model, []
    tokens = (settings.data.image_size // m.patch_size) ** 2 + 1
    shape = (settings.training.batch_size, m.heads, tokens, m.width // m.heads)
    for precision in precisions(device):
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        inputs = [torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3)]
        kinds = {"fused": F.scaled_dot_product_attention, "plain": plain_attention}
        calls = {
            name: partial(lambda kind, given: kind(*given).sum().backward(), kind, inputs)
            for name, kind in kinds.items()
        }
        seconds, label = alternate(calls, rounds, device, warm_up=3), f"attention_{precision}"
        rows += [
            measured(label, f"milliseconds_{name}", [1000 * s for s in seconds[name]], settings.seed) for name in kinds
        ]
        rows.append(paired_ratio(label, "fused_to_plain_time_ratio", seconds["fused"], seconds["plain"], settings.seed))
    return rows


def rows(settings: Settings, device="cpu", quick: bool = False) -> list[dict]:
    """All rows of this part."""
    return term_rows(settings, device, 2 if quick else 12) + attention_rows(settings, device, 3 if quick else 30)


if __name__ == "__main__":
    run_script(__doc__, rows)
