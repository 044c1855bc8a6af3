"""Where half the digits are enough: bfloat16 for passes of the model, where the hardware has it."""

import torch
from transformers import PreTrainedModel

from ..threads import kernels_are_fixed


def has_fast_bfloat16(device: torch.device | str) -> bool:
    """Does bfloat16 run in hardware there? A CPU without AVX-512 BF16 or AMX only emulates it, several times slower; the
    kernels that all processors share (threads.py) have none."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    if kernels_are_fixed():
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def autocast(model: PreTrainedModel):
    """bfloat16 where the hardware has it, float32 elsewhere; for encoder passes only, never for comparing vectors."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=has_fast_bfloat16(model.device))
