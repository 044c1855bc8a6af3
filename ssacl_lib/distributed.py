"""What the processes of one training share: rows of embeddings, and how much each one counts in a mean.

With one process every function here is the identity. The rule behind them: W processes of batch B, whose gradients are
averaged (DDP, FSDP), must give the gradients of one process of batch W * B.
"""

import torch
import torch.distributed as dist
from torch.distributed.nn.functional import all_gather


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, 0 the first."""
    return dist.get_rank() if world_size() > 1 else 0


def gather_rows(tensor: torch.Tensor, gradient: bool = True) -> torch.Tensor:
    """Rows of all processes in the order of their ranks: [B, ...] -> [W * B, ...]; every process has the same B.

    gradient: rows of other processes pass their gradient back to them (each process then computes the whole loss, and the
    average over processes is the gradient of one). Without it the rows are constants.
    """
    if world_size() == 1:
        return tensor if gradient else tensor.detach()
    if gradient:
        return torch.cat(all_gather(tensor.contiguous()))
    rows = [torch.empty_like(tensor) for _ in range(world_size())]
    dist.all_gather(rows, tensor.detach().contiguous())
    return torch.cat(rows)


def share_of_mean(count: torch.Tensor) -> torch.Tensor:
    """Weight of this process's mean over `count` things (0-d), so that the average over processes is the mean over all."""
    if world_size() == 1:
        return torch.ones_like(count)
    total = count.detach().clone()
    dist.all_reduce(total)
    return count * world_size() / total.clamp(min=1)
