"""Threads and kernels of the CPU: what decides the last bit of a number, fixed where it can be and named where it can't.

A sum of floats depends on the order of its terms: on how many threads share it, and on how many numbers an instruction of the
processor takes at once. Training amplifies the last bit, so two machines agree to the bit only where both are alike.

How idle threads wait is left to OpenMP: benchmarks/threads.py found nothing better for two threads (data/results/threads.csv).
Beside a busy neighbour no way of waiting helps as much as one thread less: OMP_NUM_THREADS=1.

The phantom is drawn with one thread of BLAS, whatever the run has: with two, four values of the organ maps and five of 221
million pixels came out one level apart, which is enough for a training to end elsewhere.
"""

import os
from pathlib import Path

from threadpoolctl import ThreadpoolController

SAME_KERNELS = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"}
"""torch, oneDNN and MKL then run the code that every x86-64 processor since 2013 has, whatever else this one could do."""

WORKSPACE = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""With it the products of cuBLAS are the same from run to run."""

RECORDED = ("OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_", "OPENBLAS_", "CUBLAS_")
"""Variables that can change a number or the speed begin like this."""

LIBRARIES = ("gomp", "iomp5", "libomp", "mkl", "openblas", "dnnl", "accelerate")
"""What the files of OpenMP and BLAS are called by."""


def apply(threads: int | None, deterministic: bool = False) -> None:
    """Fix the number of threads of this process, and the kernels where `deterministic`; every run calls it before its work.

    threads: None leaves one per core. OMP_NUM_THREADS, where the user (or torchrun) has set it, goes before.

    Raises:
        RuntimeError: `deterministic`, and torch has already chosen other kernels in this process.
    """
    import torch

    if threads and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    if deterministic:
        for name, value in (SAME_KERNELS | WORKSPACE).items():
            os.environ.setdefault(name, value)
        if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "DEFAULT"):
            words = " ".join(f"{name}={value}" for name, value in SAME_KERNELS.items())
            raise RuntimeError(f"deterministic: torch has chosen its kernels before; start anew with {words}")


def one_blas_thread(function):
    """Decorator: inside of the function numpy multiplies matrices on one thread, so that the last bit is always the same."""
    import numpy  # noqa: F401  (its BLAS must be loaded before the controller looks for it)

    return ThreadpoolController().wrap(limits=1, user_api="blas")(function)


def kernels_are_fixed() -> bool:
    """Were the same kernels asked for that other machines have? Then there is no bfloat16 on the CPU."""
    return all(os.environ.get(name) == value for name, value in SAME_KERNELS.items())


def describe() -> dict:
    """What decides the last bit here, for run.json: no path and no name of the machine."""
    import torch

    return {
        "threads": torch.get_num_threads(),
        "threads between operations": torch.get_num_interop_threads(),
        "instruction set": torch.backends.cpu.get_cpu_capability(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "built with": {"MKL": torch.backends.mkl.is_available(), "oneDNN": torch.backends.mkldnn.is_available()},
        "versions": _versions(torch.__config__.show()),
        "libraries": loaded_libraries(),
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(RECORDED) and os.sep not in value
        },
    }


def _versions(shown: str) -> list[str]:
    """The lines of torch's configuration that name MKL, oneDNN and OpenMP with their versions."""
    lines = [line.strip(" -") for line in shown.splitlines()]
    return [line for line in lines if line.startswith(("Intel(R)", "OpenMP"))]


def loaded_libraries() -> list[str]:
    """File names of the OpenMP and BLAS libraries in this process; empty where the system does not tell."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    names = {line.rpartition("/")[2] for line in lines if "/" in line}
    return sorted(name for name in names if any(part in name.lower() for part in LIBRARIES))
