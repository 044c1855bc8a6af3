"""`ssacl rebuild` from the command line, all notebooks at the size smoke: the longest chain of the tests."""

import os
import subprocess
import sys

import nbformat
import pandas as pd
import pytest

from ssacl_lib import paths
from ssacl_lib.command.stages import STAGES
from ssacl_lib.downstream import aims, robustness_tables
from ssacl_lib.evaluation.comparison_margins import MARGIN_COLUMNS
from ssacl_lib.record.manifest import output_problems, read_json


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("rebuild")
    return out, command("--out", str(out))


def command(*words) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(paths.PACKAGE.parent)}
    words = [sys.executable, "-m", "ssacl_lib", "rebuild", "--profile", "smoke", *words]
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False)


def test_smoke_from_the_command_line(smoke_run):
    out, done = smoke_run
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("minutes") == len(STAGES)
    recorded = read_json(out / "manifest.json")["notebooks"]
    assert set(recorded) == {stage.name for stage in STAGES}
    assert output_problems(out) == []
    for stage in STAGES:
        assert {*stage.makes, f"notebooks/{stage.name}.ipynb"} <= set(recorded[stage.name]["outputs"])
    files = {
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if path.is_file() and out / "runs" not in path.parents
    }
    outputs = {name for stage in recorded.values() for name in stage["outputs"]}
    assert files - outputs == {"manifest.json", "run.json"}, "every file is recorded"
    assert len([name for name in outputs if name.endswith(".png")]) >= 12


def test_executed_notebooks_hold_no_errors_and_no_widget_state(smoke_run):
    for stage in STAGES:
        notebook = nbformat.read(smoke_run[0] / "notebooks" / f"{stage.name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        kinds = [output.output_type for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        assert "error" not in kinds and kinds
        assert "widgets" not in notebook.metadata and "papermill" not in notebook.metadata


OF_THEIR_OWN = {
    "margins": MARGIN_COLUMNS,
    "margins_over_trained": MARGIN_COLUMNS,
    "budget_margins": MARGIN_COLUMNS,
    "downstream_aims": list(aims.COLUMNS),
    "robustness_claims": list(robustness_tables.CLAIM_COLUMNS),
}
"""Tables of margins and differences."""


def test_tables_have_the_columns_of_every_number(smoke_run):
    for path in sorted((smoke_run[0] / "tables").glob("*.csv")):
        table = pd.read_csv(path)
        wanted = OF_THEIR_OWN.get(path.stem, ["method", "metric", "value", "low", "high", "n", "runs", "seed"])
        assert list(table.columns[-len(wanted) :]) == wanted, path.name
        assert len(table) and path.with_suffix(".md").is_file()


def test_a_second_rebuild_skips_and_check_passes_until_an_output_changes(smoke_run):
    out, _ = smoke_run
    before = (out / "manifest.json").read_bytes()
    again = command("--out", str(out))
    assert again.returncode == 0 and again.stdout.count("skipped") == len(STAGES)
    assert (out / "manifest.json").read_bytes() == before
    assert command("--out", str(out), "--check").returncode == 0
    table = out / "tables" / "phrase_grounding.csv"
    whole = table.read_bytes()
    table.write_bytes(whole + b"\n")
    checked = command("--out", str(out), "--check")
    assert checked.returncode == 1 and "phrase_grounding.csv differs" in checked.stdout
    table.write_bytes(whole)
