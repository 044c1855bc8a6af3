"""Public sets without reports from the folder to the executed notebook: asked at `smoke`, then shown by 06."""

import nbformat
import pandas as pd
import pytest
from public_sets import write_five, write_nih, write_rsna, write_siim

from ssacl_lib.command.rebuild import rebuild
from ssacl_lib.command.stages import DOWNSTREAM
from ssacl_lib.datasets import siim
from ssacl_lib.downstream import encoders, films
from ssacl_lib.downstream.run import measure
from ssacl_lib.settings import load_settings

SETS = {
    "nih": (write_nih, {"downstream_classification": {"zero shot", "fine tuning"}}),
    "rsna": (write_rsna, {"downstream_classification": {"zero shot", "fine tuning"}}),
    "siim": (lambda root: write_siim(root, siim.SIDE), {"downstream_segmentation": {"segmentation"}}),
    "chexpert-5x200": (write_five, {"downstream_retrieval": {"retrieval"}}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_a_public_set_goes_through_notebook_06(name, monkeypatch, fake_phantom, tmp_path):
    write, tables = SETS[name]
    monkeypatch.setattr(encoders, "METHOD_OF", {"start": "start"})
    films.films_of.cache_clear()
    settings = load_settings(
        "smoke", dataset=name, data_root=str(write(tmp_path / name)), out_dir=str(tmp_path / "out")
    )
    jobs = measure(settings)
    rebuild(settings, ["06"])
    for table, tasks in tables.items():
        rows = pd.read_csv(settings.figures / "tables" / f"{table}.csv")
        assert set(rows["task"]) == tasks == {job.name.replace("_", " ") for job in jobs}
        assert rows["value"].notna().any() and (rows["n"] <= 12).all()
    shown = nbformat.read(settings.figures / "notebooks" / f"{DOWNSTREAM}.ipynb", as_version=4)
    assert not [out for cell in shown.cells for out in cell.get("outputs", []) if out.output_type == "error"]
