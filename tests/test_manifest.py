"""Provenance: atomic files, hashes, one manifest for all notebooks of a folder, the same from run to run."""

import json
import subprocess
import sys

import pytest

from ssacl_lib import paths
from ssacl_lib.record import manifest, sources
from ssacl_lib.record.manifest import atomic_write, output_problems, read_json, require_stage, start_run


def open_run(tmp_path, notebook="01_x", **more):
    return start_run(notebook, out_dir=str(tmp_path / "out"), **more)


def record_text(run, name, text):
    path = run.figures / name
    with atomic_write(path) as handle:
        handle.write(text)
    return run.record(path, caption="A caption.")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as handle:
        handle.write("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_notebooks_share_one_manifest_and_a_second_run_gives_the_same_bytes(tmp_path):
    def both():
        record_text(open_run(tmp_path, "01_x"), "fig01.svg", "one")
        record_text(open_run(tmp_path, "02_y"), "tables/t.csv", "two")
        return (tmp_path / "out" / "manifest.json").read_bytes()

    first, second = both(), both()
    assert first == second
    content = json.loads(first)
    assert set(content["notebooks"]) == {"01_x", "02_y"}
    assert content["notebooks"]["02_y"]["outputs"]["tables/t.csv"]["caption"] == "A caption."
    assert content["settings"]["profile"] == "smoke" and content["seed"] == 0
    assert content["versions"]["torch"] and content["sources"]
    assert str(tmp_path) not in first.decode()


def test_two_notebooks_that_record_at_the_same_time_lose_nothing(tmp_path):
    """Each in a process of its own, as two opened notebooks are; each enters 60 outputs in the one manifest."""
    code = """
import sys
from pathlib import Path
from ssacl_lib.record.manifest import Run
from ssacl_lib.settings import load_settings
run = Run(load_settings("smoke", out_dir=sys.argv[1]), sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    path = run.figures / f"{run.notebook}{number}.txt"
    path.write_text("x")
    run.record(path)
"""
    words = [sys.executable, "-c", code, str(tmp_path)]
    works = [subprocess.Popen([*words, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for name in "ab"]
    assert [work.stdout.readline() for work in works] == 2 * [b"ready\n"]
    for work in works:
        work.stdin.write(b"go\n")
        work.stdin.flush()
    said = [work.communicate()[0] for work in works]
    found = read_json(tmp_path / "manifest.json")["notebooks"]
    assert [len(found[name]["outputs"]) for name in "ab"] == [60, 60] and said == [b"", b""]


def test_what_differs_from_run_to_run_is_in_run_json(tmp_path):
    run = open_run(tmp_path)
    with run.stage("drawing"):
        pass
    run.finish({"the notebook": "x"}, 61.23, bfloat16=False)
    content = read_json(run.figures / "run.json")
    assert content["notebooks"]["01_x"]["seconds"].keys() == {"drawing", "total"}
    assert {"commit", "device"} <= content.keys() and content["notebooks"]["01_x"]["bfloat16"] is False
    assert read_json(run.figures / "manifest.json")["notebooks"]["01_x"]["key"] == {"the notebook": "x"}


def test_starting_again_forgets_what_was_recorded(tmp_path):
    record_text(open_run(tmp_path), "old.svg", "old")
    run = open_run(tmp_path)
    assert read_json(run.figures / "manifest.json")["notebooks"]["01_x"]["outputs"] == {}


def test_changed_and_absent_outputs_are_named(tmp_path):
    run = open_run(tmp_path)
    record_text(run, "a.svg", "a"), record_text(run, "b.svg", "b")
    assert output_problems(run.figures) == []
    (run.figures / "a.svg").write_text("other")
    (run.figures / "b.svg").unlink()
    assert output_problems(run.figures) == [
        "01_x: a.svg differs from its hash in the manifest",
        "01_x: b.svg is absent",
    ]


def test_only_files_of_the_folder_are_recorded(tmp_path):
    run = open_run(tmp_path)
    (tmp_path / "outside.txt").write_text("x")
    with pytest.raises(ValueError, match="outside"):
        run.record(tmp_path / "outside.txt")
    with pytest.raises(FileNotFoundError, match="nothing.svg"):
        run.record(run.figures / "nothing.svg")


def test_a_missing_stage_is_an_error_in_a_rebuild_and_a_line_elsewhere(tmp_path, monkeypatch, capsys):
    run = open_run(tmp_path)
    assert require_stage(run, "02_pretraining", tmp_path)
    capsys.readouterr()
    assert not require_stage(run, "02_pretraining", tmp_path / "model")
    assert "makes a small one itself" in capsys.readouterr().out
    monkeypatch.setenv(manifest.REBUILD_VARIABLE, "1")
    with pytest.raises(FileNotFoundError, match="02_pretraining.*--only 02"):
        require_stage(run, "02_pretraining", tmp_path / "model")


# ---- who may write where
@pytest.fixture
def published(tmp_path, monkeypatch):
    """A checkout with results of the profile cpu in it; returns the whole content of its figures/."""
    for name in ("FIGURES", "RUNS", "OPENED"):
        monkeypatch.setattr(paths, name, tmp_path / {"OPENED": "runs/opened"}.get(name, name.lower()))
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.delenv(manifest.REBUILD_VARIABLE, raising=False)
    run = start_run("02_pretraining", "cpu", publish=True)
    record_text(run, "fig21.svg", "of the rebuild")
    return lambda: {path: path.read_bytes() for path in paths.FIGURES.rglob("*") if path.is_file()}


def test_a_notebook_opened_by_hand_leaves_the_published_results_alone(published, capsys):
    before = published()
    capsys.readouterr()
    run = start_run("02_pretraining", profile="cpu")
    record_text(run, "fig21.svg", "of an opened notebook")
    assert published() == before and len(before) == 3
    assert run.figures == paths.OPENED / "cpu-seed0" and run.runs.is_relative_to(paths.OPENED)
    assert "results go to runs/opened/cpu-seed0; published results stay as they are" in capsys.readouterr().out
    assert start_run("02_pretraining", "cpu", seed=1).figures != run.figures
    for inside in (paths.FIGURES / "cpu", paths.FIGURES / "mine"):
        with pytest.raises(ValueError, match="written by `ssacl rebuild` alone"):
            start_run("02_pretraining", "cpu", out_dir=str(inside))
    assert published() == before


def test_a_rebuild_publishes(published, monkeypatch):
    monkeypatch.setenv(manifest.REBUILD_VARIABLE, "1")
    assert start_run("02_pretraining", "cpu").figures == paths.FIGURES / "cpu"


def test_one_setting_is_changed_from_inside_a_notebook(published, capsys, monkeypatch):
    before = published()
    capsys.readouterr()
    run = start_run("02_pretraining", "cpu", changes={"training.mixing": 0.3})
    assert run.settings.training.mixing == 0.3
    assert run.figures.parent == paths.OPENED and run.figures != start_run("02_pretraining", "cpu").figures
    assert "seed 0, training.mixing = 0.3; results go to runs/opened/cpu-seed0-" in capsys.readouterr().out
    content = read_json(run.figures / "manifest.json")
    assert content["changes"] == {"training.mixing": 0.3} and content["settings"]["training"]["mixing"] == 0.3
    for changes, message in (({"training.mixin": 1}, "training.mixin"), ({"training.mixing": 7}, "training.mixing"),
                             ({"seed": 3}, "'seed' is a parameter")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            start_run("02_pretraining", "cpu", changes=changes)
    monkeypatch.setenv(manifest.REBUILD_VARIABLE, "1")
    with pytest.raises(ValueError, match="changes .* are for opened notebooks"):
        start_run("02_pretraining", "cpu", changes={"training.mixing": 0.3})
    assert published() == before


def test_a_broken_manifest_says_so(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("[1")
    with pytest.raises(ValueError, match="manifest.json"):
        open_run(tmp_path)


def notebook(tmp_path, source, outputs=()):
    cell = {"cell_type": "code", "metadata": {}, "source": source, "outputs": list(outputs), "execution_count": None}
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_a_notebook_is_its_cells_not_its_outputs(tmp_path):
    first = sources.notebook_fingerprint(notebook(tmp_path, "1 + 1"))
    assert sources.notebook_fingerprint(notebook(tmp_path, "1 + 1", [{"output_type": "stream"}])) == first
    assert sources.notebook_fingerprint(notebook(tmp_path, "1 + 2")) != first


def test_modules_behind_a_notebook_are_followed_through_imports(tmp_path):
    found = {
        path.name
        for path in sources.notebook_modules(notebook(tmp_path, "%matplotlib inline\nfrom ssacl_lib import losses"))
    }
    assert {"losses.py", "anatomy.yaml"} <= found and "manifest.py" not in found
    whole = {path.name for path in sources.notebook_modules(notebook(tmp_path, "from ssacl_lib import SSACLModel"))}
    assert {"encoder.py", "losses.py", "anatomy.py"} <= whole
