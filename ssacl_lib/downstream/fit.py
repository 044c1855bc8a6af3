"""The one fitting loop of the downstream tasks: AdamW, one cycle of the rate, every film once before any comes twice."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from ..training.state import write_tensors

WARMUP = 0.1
"""Share of the steps in which the rate rises."""

PASSES = 20
"""At most so often does a training see each of its films: a small set learns nothing more from the thousandth time."""

SAVED = 30
"""Seconds between two savings of a training that is kept."""

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def fit(
    groups: Iterable[dict],
    loss_of: Callable[[np.ndarray], torch.Tensor],
    count: int,
    steps: int,
    batch: int,
    seed: int,
    weight_decay: float = 0.05,
    clip_norm: float = 1.0,
    kept: tuple[Path, nn.Module] | None = None,
) -> None:
    """Train parameters in place.

    groups: `{"params": [...], "lr": peak rate}`, as torch's optimisers take them. loss_of(rows) -> the mean loss of these
    films, a 0-d tensor. count: number of films. batch: films of a step (all where there are fewer). kept: a file for the state
    of the training, and the module that holds all that is trained: begun again with the same arguments, it goes on from there.
    """
    groups = [{**group, "params": list(group["params"])} for group in groups]
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay)
    rates = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=steps + 1, pct_start=WARMUP, cycle_momentum=False
    )
    parameters = [parameter for group in groups for parameter in group["params"]]
    generator, order, batch = np.random.default_rng([seed, 83]), np.array([], int), min(batch, count)
    done = _resume(*kept, optimizer, schedule) if kept else 0
    saved = time.monotonic()
    for step in range(steps):
        if len(order) < batch:
            order = np.concatenate([order, generator.permutation(count)])
        rows, order = order[:batch], order[batch:]
        if step < done:
            continue
        torch.manual_seed(
            int(np.random.SeedSequence([seed, step, 101]).generate_state(1)[0])
        )  # dropout of outside models
        loss = loss_of(rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimizer.step()
        schedule.step()
        if kept and (time.monotonic() - saved > SAVED or step == steps - 1):
            _save(*kept, optimizer, step + 1)
            saved = time.monotonic()


def _save(path: Path, module: nn.Module, optimizer, step: int) -> None:
    """Tensors of the module, moments of its parameters, steps done and today's rates."""
    tensors = {f"module.{name}": value.detach().cpu().clone() for name, value in module.state_dict().items()}
    for number, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        for name in MOMENTS if optimizer.state[parameter] else ():
            tensors[f"{name}.{number}"] = optimizer.state[parameter][name].detach().cpu().clone()
    told = {"step": step, "rates": [group["lr"] for group in optimizer.param_groups]}
    write_tensors(path, tensors, {"told": json.dumps(told)})


def _resume(path: Path, module: nn.Module, optimizer, schedule) -> int:
    """Steps that are done; what they left is loaded."""
    if not path.is_file():
        return 0
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()["told"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a safetensors file is no dict)
    own = {name.removeprefix("module."): value for name, value in tensors.items() if name.startswith("module.")}
    module.load_state_dict(own)
    for number, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        if f"step.{number}" in tensors:
            moments = {name: tensors[f"{name}.{number}"] for name in MOMENTS}
            optimizer.state[parameter] = {
                name: value if name == "step" else value.to(parameter.device) for name, value in moments.items()
            }
    for group, rate in zip(optimizer.param_groups, told["rates"], strict=True):
        group["lr"] = rate
    schedule.last_epoch, schedule._step_count = told["step"], told["step"] + 1
    return told["step"]
