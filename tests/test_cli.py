"""The command line: help worth reading, and one line that names the culprit for every mistake."""

import subprocess
import sys
import tomllib

import pytest

from ssacl_lib import cli, paths
from ssacl_lib.cli import main, parse_override


def run(capsys, *words) -> tuple[int, str, str]:
    try:
        code = main(list(words))
    except SystemExit as exit_:
        code = exit_.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("command", ["rebuild", "report", "ground", "data", "pretrain", "pretrain-mae", "readme"])
def test_help(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0 and len(out.splitlines()) > 5
    assert command in run(capsys, "--help")[1]


def test_python_m_is_the_same_and_help_is_quick():
    done = subprocess.run([sys.executable, "-m", "ssacl_lib", "--help"], capture_output=True, text=True, check=True)
    assert "not a medical device" in done.stdout
    code = "import sys, ssacl_lib.cli; assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_console_script():
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"ssacl": "ssacl_lib.cli:main"}


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["rebuild", "--profile", "laptop"], "no profile 'laptop'; there are cpu, gpu, paper, smoke"),
        (["rebuild", "--profile", "smoke", "--only", "09"], "no stage '09'; there are 01_anatomy_graph"),
        (["rebuild", "--profile", "smoke", "--dataset", "mimic"], "no data set 'mimic'; there are phantom, folder"),
        (["rebuild", "--profile", "smoke", "--dataset", "folder"], "needs data_root"),
        (["rebuild", "--profile", "smoke", "--dataset", "folder", "--data-root", "nowhere"], "nowhere: no such folder"),
        (["rebuild", "--profile", "smoke", "--seed", "-1"], "seed"),
        (["rebuild", "--seed", "one"], "--seed"),
        (["rebuild", "--prfile", "smoke"], "--prfile"),
        (["pretrain", "--profile", "smoke", "--out", "x", "--set", "training.imges=3"], "training.imges"),
        (["pretrain", "--profile", "smoke", "--out", "x", "--set", "training.images"], "expected KEY=VALUE"),
        (["pretrain", "--profile", "smoke"], "--out"),
        (["data", "get", "mri"], "mri"),
        (["ground", "film.png"], "PHRASE"),
        ([], "COMMAND"),
        (["paint"], "paint"),
    ],
)
def test_a_mistake_gives_one_line_and_exit_2(capsys, words, culprit):
    code, _, err = run(capsys, *words)
    assert code == 2
    assert culprit in err and len(err.strip().splitlines()) == 1


def test_without_a_cuda_device_the_gpu_profile_stops_before_any_work(capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = run(capsys, "rebuild", "--profile", "gpu")
    assert code == 2 and "CUDA" in err and len(err.strip().splitlines()) == 1


def test_without_a_shipped_checkpoint_it_says_how_to_make_one(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "SHIPPED_CHECKPOINT", tmp_path / "none")
    for words in (["report", "film.png"], ["ground", "film.png", "effusion"]):
        code, _, err = run(capsys, *words)
        assert code == 2 and "ssacl pretrain" in err


def test_other_failures_give_one_line_and_exit_1(capsys, monkeypatch):
    def fail(arguments):
        raise RuntimeError("the kernel\ndied")

    monkeypatch.setattr(cli, "run_readme", fail)
    assert run(capsys, "readme") == (1, "", "ssacl: the kernel died\n")


def test_overrides_are_read_as_in_a_profile():
    assert parse_override("training.images=400") == ("training.images", 400)
    assert parse_override("training.learning_rate=1e-3") == ("training.learning_rate", 1e-3)
    assert parse_override("model.encoder_weights=data/x=y") == ("model.encoder_weights", "data/x=y")
    assert parse_override("model.encoder_weights=null") == ("model.encoder_weights", None)
