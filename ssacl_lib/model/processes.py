"""What the losses need of other processes that train the same model."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Processes:
    """What the losses need of other processes that train the same model; the training loop hands in those of `distributed`.

    gather_rows(tensor, gradient=True): rows of all processes, [B, ...] -> [W * B, ...]. share_of_mean(count): weight of this
    process's mean over `count` things, 0-d.
    """

    gather_rows: Callable[..., torch.Tensor]
    share_of_mean: Callable[[torch.Tensor], torch.Tensor]


ALONE = Processes(lambda tensor, gradient=True: tensor if gradient else tensor.detach(), torch.ones_like)
"""One process: its rows are all rows."""
