"""What every loss asks of its input: full precision, shapes that fit, a temperature above 0, and no NaN."""

from collections.abc import Callable
from functools import wraps

import torch


def _widen(value):
    half = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def full_precision(loss: Callable) -> Callable:
    """Widen half-precision tensors, switch autocast off, and refuse a NaN (on the CPU, where looking costs nothing)."""

    @wraps(loss)
    def wrapped(*arguments, **keywords):
        arguments = [_widen(value) for value in arguments]
        keywords = {name: _widen(value) for name, value in keywords.items()}
        devices = [v.device.type for v in (*arguments, *keywords.values()) if isinstance(v, torch.Tensor)]
        with torch.autocast(devices[0] if devices else "cpu", enabled=False):
            value = loss(*arguments, **keywords)
        if value.device.type == "cpu" and value.isnan():
            given = [*((f"argument {i + 1}", v) for i, v in enumerate(arguments)), *keywords.items()]
            names = [name for name, v in given if isinstance(v, torch.Tensor) and v.isnan().any()]
            raise ValueError(f"{loss.__name__} is NaN; NaN found in: {', '.join(names) or 'no input (overflow)'}")
        return value

    return wrapped


def expect_shape(name: str, tensor: torch.Tensor, expected: tuple, meaning: str) -> None:
    """Compare a shape with the expected one; None stands for any length."""
    shape = tuple(tensor.shape)
    if len(shape) != len(expected) or any(e is not None and e != s for s, e in zip(shape, expected, strict=True)):
        wanted = str(list(expected)).replace("None", "any")
        raise ValueError(f"{name} has shape {list(shape)}, expected {meaning} = {wanted}")


def positive_temperature(temperature: float | torch.Tensor) -> float | torch.Tensor:
    """A number above 0, or a tensor of one value as a 0-d tensor (whose sign is not looked at: that would wait for a GPU)."""
    if isinstance(temperature, torch.Tensor):
        if temperature.numel() != 1:
            raise ValueError(f"temperature has shape {list(temperature.shape)}, expected a number or a 0-d tensor")
        return temperature.reshape(())
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, expected a number above 0 (logits are divided by it)")
    return temperature
