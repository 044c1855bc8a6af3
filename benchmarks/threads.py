"""How should threads wait, and what do the same kernels everywhere cost? The training step under other environments.

    python benchmarks/threads.py [--profile cpu] [--quick] [--out data/results/threads.csv]

OpenMP's threads spin between two loops, for a wake-up takes longer than most waits. Beside a busy neighbour the spinning thread
takes the core that the other thread needs. Each competitor is a process of its own, for the libraries read these variables once;
all wait at a pipe and make a few steps in turns, alone and beside one neighbour that counts in a loop, so the ratios of a round
are paired. `default` is what GNU's OpenMP does by itself; its time stands above the others': a ratio over 1 is faster.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from timing import measured, paired_ratio, timed
from workload import Trainer, batch_of, build, precisions, run_script

from ssacl_lib.settings import Settings, load_settings
from ssacl_lib.threads import SAME_KERNELS

COMPETITORS: dict[str, dict[str, str]] = {
    "default": {"GOMP_SPINCOUNT": "300000"},  # libgomp's own
    **{f"spin_{count}": {"GOMP_SPINCOUNT": str(count)} for count in (0, 1000, 10000)},
    "one_thread": {"OMP_NUM_THREADS": "1"},
    "float32": {"STEP_PRECISION": "fp32"},
    "deterministic": {"STEP_PRECISION": "fp32", "STEP_DETERMINISTIC": "1", **SAME_KERNELS},
}
"""What each process finds in its environment; the names with STEP_ are this script's own."""

STEPS = 3


def child(profile: str, seed: int) -> None:
    """Answer every line on stdin (a number of steps) with the seconds that they took."""
    settings = load_settings(profile, seed=seed)
    precision = os.environ.get("STEP_PRECISION", precisions("cpu")[0])
    torch.use_deterministic_algorithms("STEP_DETERMINISTIC" in os.environ)
    model = build(settings, "cpu")
    step = Trainer(model, settings, batch_of(model, settings, "cpu"), precision)
    step()
    print(json.dumps({"threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        print(timed(lambda: [step() for _ in range(int(line))]), flush=True)  # noqa: B023


def start(name: str, settings: Settings) -> subprocess.Popen:
    """A competitor's process, ready to step."""
    own = {"GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY", *SAME_KERNELS}
    plain = {key: value for key, value in os.environ.items() if key not in own}
    threads = {"OMP_NUM_THREADS": str(settings.threads or os.cpu_count())}
    search = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**plain, **threads, **COMPETITORS[name], "PYTHONPATH": os.pathsep.join(search)}
    words = [sys.executable, str(Path(__file__).resolve()), "--child", settings.profile, str(settings.seed)]
    process = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    json.loads(process.stdout.readline())
    return process


@contextmanager
def neighbour(there: bool) -> Iterator[None]:
    """One process that keeps one core busy, or none."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if there else None
    try:
        yield
    finally:
        if busy:
            busy.kill()
            busy.wait()


def seconds_of(process: subprocess.Popen, steps: int) -> float:
    """Let a competitor make its steps, and wait for it."""
    print(steps, file=process.stdin, flush=True)
    if not (answer := process.stdout.readline()):
        raise RuntimeError(f"a process of the benchmark ended (code {process.wait()}), most likely for want of memory")
    return float(answer)


def alternate(processes: Mapping[str, subprocess.Popen], rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds of each competitor, round by round; the order turns."""
    names, seconds = list(processes), {name: [] for name in processes}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name].append(seconds_of(processes[name], steps))
    return seconds


def rows(settings: Settings, device="cpu", quick: bool = False) -> list[dict]:
    """All rows of this part: milliseconds of a step, and the ratio to the default, alone and beside a neighbour."""
    names = list(COMPETITORS) if not quick else ["default", "spin_1000"]
    rounds, steps, found = (2, 1, []) if quick else (10, STEPS, [])
    processes: dict[str, subprocess.Popen] = {}
    try:
        processes.update((name, start(name, settings)) for name in names)
        for label, there in (("alone", False), ("busy", True)):
            with neighbour(there):
                seconds = alternate(processes, rounds, steps)
            for name in names:
                what = f"threads_{name}_{label}"
                found.append(measured(what, "milliseconds", [1000 * s / steps for s in seconds[name]], settings.seed))
                found.append(paired_ratio(what, "speed_ratio", seconds["default"], seconds[name], settings.seed))
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]))
    else:
        run_script(__doc__, rows)
