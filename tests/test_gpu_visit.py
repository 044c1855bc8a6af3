"""benchmarks/gpu_visit.sh: a step that is cut off goes on, whatever signal it takes; what is taken is whole, in small files."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ssacl_lib import paths
from ssacl_lib.command.stages import STAGES
from ssacl_lib.evaluation.benchmarks import PARTS

SCRIPT = paths.PACKAGE.parent / "benchmarks" / "gpu_visit.sh"
GO_ON = 75

STUB = """
import os, signal, sys, time
from pathlib import Path
words, log = " ".join(sys.argv[1:]), Path(os.environ["SSACL_HOME"]) / "log"
before = log.read_text() if log.is_file() else ""
def say(text):
    with log.open("a") as handle:
        handle.write(text + chr(10))
def interrupted(number, frame):
    say("interrupted")
    sys.exit(130)
if words in before:
    say(words)
    sys.exit(0)
if "terms" in words:
    signal.signal(signal.SIGINT, interrupted)
if "02_" in words or "04_" in words:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
if "04_" in words:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
say(words)
if "terms" in words or "02_" in words or "04_" in words:
    time.sleep(30)
if "inference" in words:
    sys.exit(3)
"""
"""Stands for `ssacl`: four of its works don't end the first time, and each needs another signal or fails."""


@pytest.fixture
def visit(tmp_path):
    """Runs a command of the script on results below tmp_path."""
    (tmp_path / "stub.py").write_text(STUB, encoding="utf-8")
    environment = os.environ | {"SSACL_HOME": str(tmp_path), "SSACL": f"{sys.executable} {tmp_path / 'stub.py'}",
                                "PYTHON": sys.executable, "LIMIT": "2", "GRACE": "1", "PART": "51200"}  # fmt: skip

    def run(*words: str, **more: str) -> subprocess.CompletedProcess:
        command = ["bash", str(SCRIPT), *words]
        return subprocess.run(command, env=environment | more, capture_output=True, text=True, check=False, timeout=60)

    return run


def test_steps_are_cut_off_and_go_on_until_all_works_are_done(visit, tmp_path):
    codes, said = [], ""
    while not codes or codes[-1] != 0:
        done = visit("step")
        codes.append(done.returncode)
        said += done.stdout + done.stderr
        assert done.returncode in (0, 1, GO_ON) and len(codes) < 20, said
    assert said.endswith("done\n") and codes.count(1) == 1
    assert "inference failed (exit 3)" in said and "step again, it goes on with bench --only terms" in said
    bench = [f"bench --only {part} --profile gpu --device cuda" for part in PARTS]
    rebuild = [f"rebuild --only {stage.name} --profile gpu" for stage in STAGES]
    ran = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert ran.count("interrupted") == 1
    cut = {"bench --only terms", "bench --only inference", "rebuild --only 02_", "rebuild --only 04_"}
    expected = [line for line in bench + rebuild for _ in range(1 + line.startswith(tuple(cut)))]
    assert [line for line in ran if line != "interrupted"] == expected, "in order, none twice that ended"
    assert visit("step").stdout == "done\n"
    assert "exit 3" in (tmp_path / "runs" / "visit" / "gpu" / "log").read_text(encoding="utf-8")


def test_what_is_taken_is_whole_and_in_small_files(visit, tmp_path):
    generator, wanted = np.random.default_rng(0), {}
    names = [f"figures/gpu/{'tables' if i % 3 else 'notebooks'}/{i}{'x' * (i * 7 % 150)}.csv" for i in range(40)]
    for name in [
        *names,
        "figures/gpu/manifest.json",
        "runs/start-gpu/manifest.json",
        "runs/gpu-seed0/model/history.csv",
    ]:
        wanted[name] = generator.bytes(int(generator.integers(0, 9000)))
    others = {"figures/cpu/manifest.json": b"{}", "runs/gpu-seed0/model/model.safetensors": b"weights"}
    for name, content in (wanted | others).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    done = visit("take", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "out").iterdir())
    assert 2 < len(files) < 10 and all(file.stat().st_size <= 51200 for file in files)
    taken: dict[str, bytes] = {}
    for file in files:
        with tarfile.open(file) as tar:
            for member in tar:
                assert member.name not in taken
                taken[member.name] = tar.extractfile(member).read()
    assert taken == wanted
    refused = visit("take", str(tmp_path / "out"), PART="10240")
    assert refused.returncode == 1 and "larger than a file of 10240 bytes" in refused.stderr


@pytest.mark.parametrize(("words", "told"), [((), "pack OUT, setup, step or take OUT"), (("take",), "take needs a folder"),
                                             (("step", "now"), "step takes no argument"),
                                             (("take", "out"), "nothing of gpu to take")])  # fmt: skip
def test_what_is_wrong_is_told_in_a_line(visit, words, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = visit(*words)
    assert done.returncode == 1 and told in done.stderr and done.stderr.count("\n") == 1
    assert Path(SCRIPT).stat().st_mode & 0o100, "it can be called"
