"""Several processes of one training: how they find each other, what they share, how the model is laid out over them.

With one process every function here is the identity. The rule behind them: W processes of batch B, whose gradients are
averaged (DDP, FSDP), must give the gradients of one process of batch W * B.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

MEETING = timedelta(minutes=5)  # so long the processes wait for each other at the start
WAITING = timedelta(hours=2)  # and so long at any later point: the first one may have films to prepare
LAUNCH = "torchrun --nproc_per_node N -m ssacl_lib pretrain ..."
MADE_BY_TORCHRUN = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


# ---- who takes part
def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, 0 the first."""
    return dist.get_rank() if world_size() > 1 else 0


def join(cpu: bool) -> None:
    """Meet the other processes that torchrun started (gloo on CPUs, NCCL on GPUs); alone there is nothing to do.

    From here on only the first process prints: standard output of the others leads nowhere, their errors still show.

    Raises:
        ValueError: the launcher promised several processes, and this one was not started by torchrun or stays alone.
    """
    # a step of srun whose tasks know nothing of each other would be as many trainings that write the same files
    promised = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_STEP_NUM_TASKS") or 1)
    if promised == 1 or dist.is_initialized():
        return
    missing = [name for name in MADE_BY_TORCHRUN if name not in os.environ]
    if missing:
        raise ValueError(
            f"{promised} processes are announced, but this one was not started by torchrun ({missing[0]} is not "
            f"set); start them with `{LAUNCH}`, or unset WORLD_SIZE for one process"
        )
    if not cpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        store, number, count = next(dist.rendezvous("env://", timeout=MEETING))
    except dist.DistError as error:
        raise ValueError(
            f"{promised} processes are announced, but not all of them came within {MEETING}; start them with "
            f"`{LAUNCH}` on every machine, or unset WORLD_SIZE for one process"
        ) from error
    store.set_timeout(WAITING)
    dist.init_process_group("gloo" if cpu else "nccl", store=store, rank=number, world_size=count, timeout=WAITING)
    if number:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (open until the process ends)


def leave(code: int) -> NoReturn:
    """End this process with an exit code: the last line of a program that may have called `join`.

    One of several processes ends at once, without Python's own tidying up. DTensor's caches keep the process group, so gloo's
    threads still run then; one of them that frees a tensor while the interpreter goes down aborts its process, and torchrun
    stops the others, though all work was done.
    """
    if world_size() == 1:
        sys.exit(code)
    dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def check_processes(found: int) -> None:
    """Refuse a run in which the training loop sees another number of processes than the launcher started.

    Raises:
        ValueError: with both numbers; otherwise each process would train alone and overwrite the others' files.
    """
    started = int(os.environ.get("WORLD_SIZE") or 1)
    if not found == started == world_size():
        raise ValueError(
            f"{started} processes were started, but {found} train together; start them with `{LAUNCH}` "
            "(and with --set device=cpu where there is no GPU)"
        )


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process goes ahead (it makes what is missing on disk), then the others find it done."""
    if rank():
        dist.barrier()
    yield
    if world_size() > 1 and not rank():
        dist.barrier()


def shared(value):
    """The first process's value (anything that pickles), on every process."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


# ---- rows and means
class _Gather(torch.autograd.Function):
    """All processes' rows; backward, each gets the sum over processes of the gradients of its own rows."""

    @staticmethod
    def forward(ctx, tensor):
        return gather_rows(tensor, gradient=False)

    @staticmethod
    def backward(ctx, gradient):
        own = gradient.new_empty(len(gradient) // world_size(), *gradient.shape[1:])
        dist.reduce_scatter_tensor(own, gradient.contiguous())
        return own


def gather_rows(tensor: torch.Tensor, gradient: bool = True) -> torch.Tensor:
    """Rows of all processes in the order of their ranks: [B, ...] -> [W * B, ...]; every process has the same B.

    gradient: rows of other processes pass their gradient back to them (each process then computes the whole loss, and the
    average over processes is the gradient of one). Without it the rows are constants.
    """
    if world_size() == 1:
        return tensor if gradient else tensor.detach()
    if gradient:
        return _Gather.apply(tensor)
    rows = tensor.new_empty(len(tensor) * world_size(), *tensor.shape[1:])
    dist.all_gather_into_tensor(rows, tensor.detach().contiguous())
    return rows


def share_of_mean(count: torch.Tensor) -> torch.Tensor:
    """Weight of this process's mean over `count` things (0-d), so that the average over processes is the mean over all.

    In float64 with several processes: a share is no round number, and a float64 loss must keep its digits.
    """
    if world_size() == 1:
        return torch.ones_like(count)
    count = count.detach().double()
    total = count.clone()
    dist.all_reduce(total)
    return count * world_size() / total.clamp(min=1)


def mean_over_processes(values: torch.Tensor) -> torch.Tensor:
    """The average of a tensor over the processes; all get it."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)  # a sum: gloo knows no average
    return total / world_size()


# ---- the model
def distribute(model: nn.Module, sharding: str, layers: Iterable[nn.Module], device: torch.device) -> nn.Module:
    """The model as the training loop calls it: itself, or wrapped so that every backward pass averages the gradients.

    sharding "none": DDP, a whole model in every process. "full": FSDP, see `shard`; `model` itself is changed.
    Batch normalisation takes its statistics from all processes on GPUs; gloo can't do that, so on CPUs each process has its
    own and the first one's running statistics are saved. (The patch stem, the paper's, has none.)
    """
    if world_size() == 1:
        return model
    if device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if sharding == "full":
        return shard(model, layers, device)
    return nn.parallel.DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        broadcast_buffers=False,
    )  # the buffers are constants, or statistics that SyncBatchNorm keeps equal


def shard(model: nn.Module, layers: Iterable[nn.Module], device: torch.device) -> nn.Module:
    """FSDP2 in place: each process keeps 1/W of the weights, gradients and moments of every parameter.

    layers: modules that are only ever used by calling them; each is gathered when it is called and dropped again. All
    other parameters, the visual encoder's among them, are gathered once a step: two or three passes read it, and one
    gathering is cheaper than one per pass and block. Parameters without a dimension (the temperature) can't be cut: they
    stay whole, and their gradients are averaged when they are ready.
    """
    mesh = init_device_mesh(device.type, (world_size(),))
    whole = {parameter for parameter in model.parameters() if parameter.ndim == 0}
    for parameter in whole:
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(_average_gradient)
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh, ignored_params=whole)
    return model


def _average_gradient(parameter: nn.Parameter) -> None:
    if parameter.grad is not None:
        parameter.grad.copy_(mean_over_processes(parameter.grad))


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """Scale all gradients so that their norm over all parameters, shards included, is at most `limit`."""
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    kinds = [[p for p in parameters if isinstance(p.grad, DTensor) == sharded] for sharded in (True, False)]
    norms = [nn.utils.get_total_norm([p.grad for p in kind if p.grad is not None]) for kind in kinds if kind]
    norms = [norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms]
    total = torch.linalg.vector_norm(torch.stack(norms))
    for kind in filter(None, kinds):
        nn.utils.clip_grads_with_norm_(kind, limit, total)
