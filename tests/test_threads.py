"""Threads and kernels: set before torch works, the user's word first, and written down without a path."""

import json
import os
import subprocess
import sys

import pytest
import torch

from ssacl_lib import paths, threads
from ssacl_lib.record.manifest import read_json, start_run

FRESH = """
import json, os
import ssacl_lib.threads as threads
threads.apply(3, {deterministic})
import torch
from ssacl_lib.model.precision import has_fast_bfloat16
print(json.dumps([threads.describe(), has_fast_bfloat16("cpu")]))
"""


def fresh(deterministic=False, **variables) -> list:
    """What a new process says: `describe`, fast bfloat16."""
    taken = (*threads.RECORDED, "PYTHONPATH")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(taken)}
    environment = {**plain, "PYTHONPATH": str(paths.PACKAGE.parent), **variables}
    words = [sys.executable, "-c", FRESH.replace("{deterministic}", str(deterministic))]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_fresh_process_takes_our_thread_number_and_the_users_where_set():
    told, _ = fresh()
    assert told["threads"] == 3 and not told["deterministic"]
    told, _ = fresh(OMP_WAIT_POLICY="active", OMP_NUM_THREADS="1")
    assert told["threads"] == 1
    of_threadpoolctl = {"KMP_DUPLICATE_LIB_OK": "True"}  # it sets this for itself; no number depends on it
    assert told["variables"] == {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "active", **of_threadpoolctl}


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() not in ("AVX512", "AVX2"), reason="no x86-64 with AVX2")
def test_deterministic_takes_the_kernels_that_all_processors_have():
    told, bfloat16 = fresh(deterministic=True)
    assert told["instruction set"] == "AVX2" and told["deterministic"] and not bfloat16
    assert threads.SAME_KERNELS.items() <= told["variables"].items()


def test_deterministic_too_late_is_refused(monkeypatch):
    for name in threads.SAME_KERNELS | threads.WORKSPACE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    try:
        with pytest.raises(RuntimeError, match="start anew with ATEN_CPU_CAPABILITY=avx2"):
            threads.apply(None, True)
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_run_writes_down_what_decides_the_last_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("MKL_SOMEWHERE", str(tmp_path))
    run = start_run("01_x", out_dir=str(tmp_path / "out"))
    told = read_json(run.figures / "run.json")["kernels"]
    assert told["threads"] == torch.get_num_threads()
    assert told["instruction set"] == torch.backends.cpu.get_cpu_capability()
    assert told["libraries"] or sys.platform != "linux"
    assert str(tmp_path) not in json.dumps(told) and os.sep not in "".join(told["libraries"])
