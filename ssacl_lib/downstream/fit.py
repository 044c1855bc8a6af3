"""The one fitting loop of the downstream tasks: AdamW, one cycle of the rate, every film once before any comes twice."""

from collections.abc import Callable, Iterable

import numpy as np
import torch

WARMUP = 0.1
"""Share of the steps in which the rate rises."""


def fit(
    groups: Iterable[dict],
    loss_of: Callable[[np.ndarray], torch.Tensor],
    count: int,
    steps: int,
    batch: int,
    seed: int,
    weight_decay: float = 0.05,
    clip_norm: float = 1.0,
) -> None:
    """Train parameters in place.

    groups: `{"params": [...], "lr": peak rate}`, as torch's optimisers take them. loss_of(rows) -> the mean loss of these
    films, a 0-d tensor. count: number of films. batch: films of a step (all where there are fewer).
    """
    groups = [{**group, "params": list(group["params"])} for group in groups]
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay)
    rates = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=steps + 1, pct_start=WARMUP, cycle_momentum=False
    )
    parameters = [parameter for group in groups for parameter in group["params"]]
    generator, order, batch = np.random.default_rng([seed, 83]), np.array([], int), min(batch, count)
    for _ in range(steps):
        if len(order) < batch:
            order = np.concatenate([order, generator.permutation(count)])
        rows, order = order[:batch], order[batch:]
        loss = loss_of(rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimizer.step()
        schedule.step()
