"""Time and peak memory of the anatomical consistency loss for gathered batches of 8 to 4096 images.

    python benchmarks/consistency.py [--profile cpu] [--device cpu] [--quick]

L_ac compares every leaf of every image with every leaf of every image: B * B * 25 * 25 numbers, 10^10 at B = 4096, which in
float32 is 42 GB for one of the several matrices of that size. Ours goes through them in chunks and computes a chunk's numbers
anew in the backward pass (`consistency`); the naive formula holds all at once (`consistency_naive`). Each size is measured in a
process of its own, so that the process's own peak (kernel's high-water mark, interpreter and libraries included) is that of
this size; beside it stands the peak of the allocator, from one more pass up to the size where profiling it takes no minutes.
"""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch
from timing import measured, peak_memory, peak_of_process, row, timed
from workload import run_script

from ssacl_lib.losses import anatomical_consistency_loss
from ssacl_lib.settings import Settings

LEAVES = 25
BATCHES = (8, 32, 128, 512, 1024, 2048, 4096)
NAIVE = (8, 32, 128)
PROFILED = 512
"""Largest batch whose allocations are recorded one by one on a CPU; above it they are millions of events."""


def loss_once(tokens: torch.Tensor, reports: torch.Tensor, chunk: int | None) -> None:
    """Forward and backward pass."""
    anatomical_consistency_loss(tokens, reports, 0.1, chunk=chunk).backward()
    tokens.grad = None


def measure(batch: int, width: int, naive: bool, repeats: int, device: str, seed: int, alone: bool) -> dict:
    """Seconds of each repeat and the peaks in bytes (named as they will be in the table), in this very process.

    alone: the process does nothing else, so its own peak says something.
    """
    torch.manual_seed(seed)
    tokens = torch.randn(batch, LEAVES, width, device=device, requires_grad=True)
    reports = torch.randn(batch, width, device=device)
    step = partial(loss_once, tokens, reports, batch if naive else None)
    if repeats > 1:
        step()
    found: dict = {"seconds": [timed(step, device) for _ in range(repeats)]}
    if torch.device(device).type == "cuda":
        found["peak_megabytes"] = peak_memory(step, device)
        return found
    if alone:
        found["peak_megabytes_of_process"] = peak_of_process()
    if batch <= PROFILED:
        found["peak_megabytes"] = peak_memory(step, device, lambda: (tokens, reports))
    return found


def in_child(**arguments: object) -> dict:
    """`measure` in a fresh process with the same number of threads.

    Raises:
        RuntimeError: the process ended without an answer (the system was out of memory, say).
    """
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    search = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | threads | {"PYTHONPATH": os.pathsep.join(search)}
    words = [sys.executable, str(Path(__file__).resolve()), "--child", json.dumps(arguments)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"signal {-done.returncode}"])[-1]
        raise RuntimeError(f"consistency of {arguments['batch']} images: the process failed ({reason})")
    return json.loads(done.stdout.splitlines()[-1])


def rows(settings: Settings, device="cpu", quick: bool = False) -> list[dict]:
    """All rows of this part; quick: up to 32 images."""
    found = []
    for naive, batches in ((False, BATCHES), (True, NAIVE)):
        for batch in [b for b in batches if not quick or b <= 32]:
            repeats = 2 if quick else 1 if batch >= 1024 else 3
            measures = {
                "batch": batch,
                "width": settings.model.width,
                "naive": naive,
                "repeats": repeats,
                "device": str(device),
                "seed": settings.seed,
                "alone": not quick,
            }
            peaks = measure(**measures) if quick else in_child(**measures)
            label = f"consistency{'_naive' if naive else ''}_batch_{batch}"
            found.append(measured(label, "milliseconds", [1000 * s for s in peaks.pop("seconds")], settings.seed))
            found += [row(label, name, value / 1e6, seed=settings.seed) for name, value in peaks.items()]
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measure(**json.loads(sys.argv[2]))))
    else:
        run_script(__doc__, rows)
