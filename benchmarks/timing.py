"""How the benchmarks measure: competitors in turns, medians with intervals, peak memory, and the rows of the table.

Time. `alternate` runs every competitor once per round, round after round, in one process: a machine that is busy with
something else slows them alike, and the ratio of one round is a paired ratio. The order turns from round to round.

Peak memory of a step. On CUDA: `torch.cuda.max_memory_allocated` over one step, which counts weights, moments and input,
for they live there. On a CPU: torch.profiler (profile_memory=True) notes every allocation and every release of the allocator
during one step; the peak of their running sum is what the step adds, and the bytes that lived before it (weights, buffers,
moments, input) are added. Memory that other libraries take, and the interpreter, count only in `peak_of_process` (a process of
its own, the kernel's VmHWM). The step for memory is never one that is timed.
"""

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

MATMUL_RATES = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "A40": 150e12, "L40S": 362e12}
"""Published dense bfloat16 peaks in FLOP/s by a part of the card's name; the first that fits counts."""


# ---- rows
def row(
    what: str, metric: str, value: float, low: float | None = None, high: float | None = None, n: int = 1, seed: int = 0
) -> dict:
    """One number of the table; without an interval (something counted, or measured once) low and high are the value."""
    return {
        "what": what,
        "metric": metric,
        "value": float(value),
        "low": float(value if low is None else low),
        "high": float(value if high is None else high),
        "n": int(n),
        "seed": int(seed),
    }


def median_interval(values: Iterable[float], seed: int = 0) -> tuple[float, float, float]:
    """Median of repeated measurements with a 95 % interval: the bootstrap over the repeats (1000 draws)."""
    values = np.asarray(list(values), float)
    draws = np.random.default_rng([seed, 41]).integers(0, len(values), (1000, len(values)))
    low, high = np.percentile(np.median(values[draws], axis=1), [2.5, 97.5])
    middle = float(np.median(values))
    return middle, min(float(low), middle), max(float(high), middle)


def measured(what: str, metric: str, values: Iterable[float], seed: int = 0) -> dict:
    """A row of repeated measurements: median, interval, number of repeats."""
    values = list(values)
    return row(what, metric, *median_interval(values, seed), n=len(values), seed=seed)


def paired_ratio(what: str, metric: str, above: Iterable[float], below: Iterable[float], seed: int = 0) -> dict:
    """A row with the median of above / below, round by round, and its interval."""
    return measured(what, metric, [a / b for a, b in zip(above, below, strict=True)], seed)


# ---- time
def synchronize(device: torch.device | str) -> None:
    """Wait until the device has done what was asked of it (a CPU always has)."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def timed(step: Callable[[], object], device: torch.device | str = "cpu") -> float:
    """Seconds of one call."""
    synchronize(device)
    started = time.perf_counter()
    step()
    synchronize(device)
    return time.perf_counter() - started


def alternate(
    competitors: Mapping[str, Callable[[], object]], rounds: int, device: torch.device | str = "cpu", warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each competitor, round by round; the first `warm_up` rounds are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    names = list(competitors)
    for turn in range(-warm_up, rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            spent = timed(competitors[name], device)
            if turn >= 0:
                seconds[name].append(spent)
    return seconds


# ---- memory
def bytes_of(tensors: Iterable) -> int:
    """Bytes of the distinct storages behind tensors (anything else in the iterable counts nothing)."""
    storages = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors if isinstance(t, torch.Tensor)
    }
    return sum(storages.values())


def peak_memory(
    step: Callable[[], object], device: torch.device | str = "cpu", living: Callable[[], Iterable] = tuple
) -> int:
    """Peak bytes of one step: what it allocates, and the tensors `living()` that live before it (CUDA counts them itself).

    The step runs once before, so that what is made on first use (gradients, moments) is not counted as the step's own.
    """
    step()
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        step()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    before = bytes_of(living())
    with _silent(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    sums = np.cumsum([event.nbytes() for event in events], dtype=np.int64)
    return before + max(0, int(sums.max(initial=0)))


@contextmanager
def _silent() -> Iterator[None]:
    """The profiler's compiled part writes a line to stderr when it starts and stops: not here."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def peak_of_process() -> int:
    """Most bytes that this process ever held in memory (the kernel's high-water mark), libraries and interpreter included."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


# ---- the machine
def machine(device: torch.device | str = "cpu") -> str:
    """What was measured on: cores and processor, torch, and the card where there is one; no name of a host."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    used = min(torch.get_num_threads(), os.cpu_count() or 1)
    where = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "CPU"
    return (
        f"{used} of {os.cpu_count()} cores {' '.join(model.split())}, torch {torch.__version__.split('+')[0]}, {where}"
    )


def matmul_rate(device: torch.device | str, dtype: torch.dtype, size: int | None = None) -> tuple[float, str]:
    """FLOP/s that matrix products can reach here, and where the number is from.

    A card whose bfloat16 peak is published: that. Otherwise the fastest of five products of two square matrices.
    """
    device = torch.device(device)
    if device.type == "cuda" and dtype == torch.bfloat16:
        name = torch.cuda.get_device_name(device)
        known = [rate for part, rate in MATMUL_RATES.items() if all(word in name for word in part.split())]
        if known:
            return known[0], "published"
    size = size or (8192 if device.type == "cuda" else 2048)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = alternate({"product": lambda: left @ right}, 5, device)["product"]
    return 2 * size**3 / min(seconds), "measured"
