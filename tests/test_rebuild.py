"""`ssacl rebuild`: its rules, on notebooks of a few lines (test_smoke.py runs the real one)."""

import json
import shutil
from types import SimpleNamespace

import nbformat
import pytest

from ssacl_lib import paths
from ssacl_lib.command import rebuild, stages
from ssacl_lib.command.rebuild import StageError, clean_notebook, stale_outputs
from ssacl_lib.command.stages import Stage
from ssacl_lib.record.manifest import read_json
from ssacl_lib.settings import load_settings

PARAMETERS = 'profile = "smoke"\ndataset = "phantom"\ndata_root = None\nseed = 0\nout_dir = None'
START = "run = start_run({name!r}, profile=profile, dataset=dataset, data_root=data_root, seed=seed, out_dir=out_dir)"


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Two stages: `01_first` keeps a number, `02_second` needs it."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(paths, "NOTEBOOKS", folder)
    monkeypatch.setattr(rebuild, "source_for", lambda settings, split: SimpleNamespace(count=2))
    two = (
        Stage("01_first", (), ("a.txt",), ("kept",), ""),
        Stage("02_second", ("01_first",), (), (), ""),
    )
    monkeypatch.setattr(stages, "STAGES", two)
    monkeypatch.setenv("PYTHONPATH", str(paths.PACKAGE.parent))
    write(folder, "01_first", [
        "(run.runs / 'kept').mkdir(parents=True, exist_ok=True)\n(run.runs / 'kept' / 'a').open('a').write('x');",
        "(run.figures / 'a.txt').write_text(profile)\nrun.record(run.figures / 'a.txt');",
    ])  # fmt: skip
    write(folder, "02_second", [
        "from ssacl_lib.record.manifest import require_stage\nrequire_stage(run, '01_first', run.runs / 'kept')",
        "import sys\nprint((run.runs / 'kept' / 'a').read_text())\nprint('half done', file=sys.stderr)",
    ])  # fmt: skip
    return load_settings("smoke", out_dir=str(tmp_path / "out"))


def write(folder, name, cells, parameters=PARAMETERS):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    start = "from ssacl_lib.record.manifest import start_run\n" + START.format(name=name)
    link = nbformat.v4.new_markdown_cell("[a page](../pages/a.md)")
    notebook.cells = [link, first, *(nbformat.v4.new_code_cell(source) for source in (start, *cells))]
    nbformat.write(notebook, folder / f"{name}.ipynb")


def test_stages_run_once_and_again_when_something_changed(toy, capsys):
    def ran() -> list[str]:
        rebuild.rebuild(toy)
        return [line.split()[1].rstrip(":") for line in capsys.readouterr().out.splitlines() if "done in" in line]

    assert ran() == ["01_first", "02_second"]
    assert stale_outputs(toy) == []
    assert ran() == []
    write(paths.NOTEBOOKS, "02_second", ["1 + 1"])
    assert stale_outputs(toy) == ["02_second: older than the notebook"]
    assert ran() == ["02_second"]
    (toy.figures / "a.txt").write_text("by hand")
    assert stale_outputs(toy) == ["01_first: a.txt differs from its hash in the manifest"]
    assert ran() == ["01_first"]
    assert (toy.runs / "kept" / "a").read_text() == "xx"
    shutil.rmtree(toy.runs / "kept")
    assert ran() == ["01_first"]
    other = toy.changed(seed=1)
    assert stale_outputs(other) == [f"{name}: older than the settings" + extra for name, extra in
                                    (("01_first", ""), ("02_second", ", an earlier stage"))]  # fmt: skip


def test_what_a_stage_keeps_is_left_to_the_code_that_makes_it(toy):
    """Another cell runs the notebook again; whether the model is trained again is decided where it is trained (test_stale)."""
    rebuild.rebuild(toy, only=["01"])
    first = paths.NOTEBOOKS / "01_first.ipynb"
    first.write_text(first.read_text().replace("record(", "record( "))
    rebuild.rebuild(toy, only=["01"])
    assert (toy.runs / "kept" / "a").read_text() == "xx"


def test_the_executed_copy_is_the_same_every_time(toy):
    rebuild.rebuild(toy)
    path = toy.figures / "notebooks" / "02_second.ipynb"
    first, manifest = path.read_bytes(), (toy.figures / "manifest.json").read_bytes()
    (toy.runs / "stages" / "02_second.json").unlink()
    rebuild.rebuild(toy)
    assert path.read_bytes() == first
    assert (toy.figures / "manifest.json").read_bytes() == manifest
    outputs = json.loads(first)["cells"][-1]["outputs"]
    assert [output["name"] for output in outputs] == ["stdout"]
    assert json.loads(first)["cells"][0]["source"] == ["[a page](../../pages/a.md)"], "from where the copy lies"
    assert "seconds" in read_json(toy.figures / "run.json")["notebooks"]["02_second"]


def test_an_earlier_stage_has_to_be_done(toy):
    with pytest.raises(FileNotFoundError, match="01_first comes first .* --only 01"):
        rebuild.rebuild(toy, only=["02"])
    rebuild.rebuild(toy, only=["01"])
    rebuild.rebuild(toy, only=["02"])


@pytest.mark.parametrize("parameters", [PARAMETERS.replace("seed", "sed"), PARAMETERS + "\nimages = 3"])
def test_a_misspelt_parameter_stops_before_any_work(toy, parameters):
    write(paths.NOTEBOOKS, "02_second", [], parameters)
    with pytest.raises(ValueError, match="02_second.ipynb: parameters"):
        rebuild.rebuild(toy)
    assert not toy.figures.exists()


def test_a_failing_notebook_names_the_stage_and_keeps_the_old_copy(toy):
    rebuild.rebuild(toy)
    executed = toy.figures / "notebooks" / "02_second.ipynb"
    before = executed.read_bytes()
    write(paths.NOTEBOOKS, "02_second", ["1 / 0"])
    with pytest.raises(StageError, match="stage 02_second: ZeroDivisionError") as caught:
        rebuild.rebuild(toy)
    assert executed.read_bytes() == before
    assert "ZeroDivisionError" in (toy.runs / "stages" / "02_second.ipynb").read_text()
    assert "02_second.ipynb" in str(caught.value)


def test_a_stage_has_to_make_what_it_promises(toy):
    write(paths.NOTEBOOKS, "01_first", ["1"])
    with pytest.raises(StageError, match=r"01_first ended without .*a\.txt"):
        rebuild.rebuild(toy)


def test_every_parameter_reaches_the_notebook(toy, tmp_path):
    """All five are changed through papermill, and the notebook's run is that of these settings."""
    import papermill

    write(paths.NOTEBOOKS, "01_first", ["print(run.settings.model_dump_json())"])

    def settings(**change) -> dict:
        out = tmp_path / "copy.ipynb"
        given = {"out_dir": str(tmp_path / "one"), **change}
        papermill.execute_notebook(str(paths.NOTEBOOKS / "01_first.ipynb"), str(out), given, progress_bar=False)
        return json.loads(json.loads(out.read_text())["cells"][-1]["outputs"][0]["text"][-1])

    smoke = load_settings("smoke", out_dir=str(tmp_path / "one")).model_dump(mode="json")
    assert settings() == smoke
    given = {"dataset": "folder", "data_root": "films", "seed": 3, "out_dir": str(tmp_path / "two")}
    changed = settings(profile="cpu", **given)
    assert changed == load_settings("cpu", **given).model_dump(mode="json")
    assert changed["data"] != smoke["data"]


def test_cleaning_keeps_results_and_drops_the_rest():
    cell = {
        "cell_type": "code",
        "id": "a",
        "metadata": {"papermill": {}, "tags": ["x"]},
        "source": "",
        "execution_count": 1,
    }
    view = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "Slider"}
    cell["outputs"] = [
        {"output_type": "stream", "name": "stderr", "text": "50 %"},
        {"output_type": "stream", "name": "stdout", "text": "0.5"},
        {"output_type": "display_data", "data": view, "metadata": {}},
    ]
    content = {"cells": [cell], "metadata": {"widgets": {}, "papermill": {}, "kernelspec": {"name": "python3"}}}
    cleaned = clean_notebook(content)
    assert cleaned["metadata"] == {"kernelspec": {"name": "python3"}}
    assert cleaned["cells"][0]["metadata"] == {"tags": ["x"]}
    assert [out.get("name", out.get("data")) for out in cleaned["cells"][0]["outputs"]] == [
        "stdout",
        {"text/plain": "Slider"},
    ]
