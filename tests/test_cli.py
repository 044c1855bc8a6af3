"""The command line: help worth reading, and one line that names the culprit for every mistake."""

import json
import shlex
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from conftest import write_dicom
from PIL import Image

from ssacl_lib import cli, paths
from ssacl_lib.cli import main, parse_override
from ssacl_lib.phantom.truth import FINDINGS


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


def film(path):
    """A small grey picture as PNG, JPEG or DICOM, by the ending."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    if path.suffix == ".dcm":
        return write_dicom(path, pixels)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "b.jpg", "c.dcm"])
def test_report_and_ground_write_json_and_overlay(capsys, tmp_path, tiny_checkpoint, name):
    path, out = film(tmp_path / name), tmp_path / "out"
    options = ("--weights", str(tiny_checkpoint), "--out", str(out))
    code, printed, _ = run(capsys, "report", str(path), *options)
    assert code == 0 and str(tiny_checkpoint) in printed
    answer = json.loads((out / f"{path.stem}_report.json").read_text(encoding="utf-8"))
    assert set(answer["findings"]) == set(FINDINGS) and answer["report"] is not None
    code, printed, _ = run(capsys, "ground", str(path), "right pleural effusion", *options)
    assert code == 0 and "peaks at" in printed
    x, y = json.loads((out / f"{path.stem}_ground.json").read_text(encoding="utf-8"))["peak"]
    assert 0 <= x < 60 and 0 <= y < 40
    for kind in ("report", "ground"):
        assert Image.open(out / f"{path.stem}_{kind}.png").size[0] > 100


def test_wrong_images_phrases_and_weights_name_the_culprit(capsys, tmp_path, tiny_checkpoint):
    good = film(tmp_path / "film.png")
    (tmp_path / "text.png").write_text("no picture")
    weights = ["--weights", str(tiny_checkpoint)]
    for words, culprit in (
        (["report", str(tmp_path / "text.png"), *weights], "text.png"),
        (["ground", str(tmp_path / "missing.png"), "effusion", *weights], "missing.png"),
        (["ground", str(good), " ", *weights], "phrase"),
        (["report", str(good), "--weights", str(tmp_path / "nowhere")], "nowhere"),
        (["ground", str(good), "effusion", "--weights", str(tmp_path)], tmp_path.name),
    ):
        code, _, err = run(capsys, *words)
        assert code == 2 and culprit in err.splitlines()[-1], err


def test_the_line_stands_alone_on_stderr(tmp_path, tiny_checkpoint):
    """In a process of its own, for libraries write to stderr too."""
    words = [sys.executable, "-m", "ssacl_lib", "report", str(tmp_path / "missing.png"), "--weights", str(tiny_checkpoint)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=paths.PACKAGE.parent)
    assert done.returncode == 2 and done.stdout == ""
    assert "missing.png" in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr


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


def test_a_start_trains_the_terms_that_its_command_names(capsys, monkeypatch, tmp_path):
    """The shipped start's manifest names a command; typed again, it has the settings of that manifest."""
    from ssacl_lib import checkpoints
    from ssacl_lib.manifest import portable_settings, read_json

    seen = []
    monkeypatch.setattr(checkpoints, "make_start", lambda settings, out, command: seen.append((settings, command)) or out)
    made = read_json(paths.START_CHECKPOINT / "manifest.json")
    for words in (shlex.split(made["command"])[1:], ["pretrain-mae", "--profile", "cpu"]):
        assert run(capsys, *words, "--out", str(tmp_path))[0] == 0
    # the start trains no language decoder, so that its rate does not matter
    assert portable_settings(seen[0][0])["training"] | {"language_rate_scale": 1.0} == made["settings"]["training"]
    assert seen[0][0].model.encoder_weights is None and seen[0][1] == made["command"]
    weights = seen[1][0].training.loss_weights.model_dump()
    assert {name for name, weight in weights.items() if weight} == {"image_reconstruction"}
