"""The one door for numbers: what it writes, and what it refuses."""

import numpy as np
import pandas as pd
import pytest

from ssacl_lib.record.tables import to_markdown, write_table
from ssacl_lib.settings import load_settings


class Recorder:
    """Stands for a run: a folder, and a list of what was recorded."""

    def __init__(self, folder):
        self.tables, self.recorded, self.settings = folder / "tables", [], load_settings("smoke")

    def record(self, path):
        self.recorded.append(path.name)


@pytest.fixture
def run(tmp_path):
    return Recorder(tmp_path)


def table(**changes):
    row = {"n": 400, "method": "shipped", "seed": 0, "metric": "cnr", "value": 1 / 3, "low": 0.1, "high": 0.5}
    return pd.DataFrame([{**row, "map": "masked | ours", **changes}])


def test_both_files_hold_the_table_in_the_agreed_order(run):
    write_table(run, table(), "phrases", "Maps point.\nThey do.")
    lines = (run.tables / "phrases.csv").read_text().splitlines()
    assert lines[0] == "map,method,metric,value,low,high,n,runs,seed"
    assert lines[1] == "masked | ours,shipped,cnr,0.333333,0.1,0.5,400,1,0"
    markdown = (run.tables / "phrases.md").read_text().splitlines()
    assert markdown[0] == "Maps point. They do."
    assert markdown[-1] == r"| masked \| ours | shipped | cnr | 0.333 [0.100, 0.500] | 400 | 1 | 0 |"
    assert run.recorded == ["phrases.csv", "phrases.md"]
    assert sorted(path.name for path in run.tables.iterdir()) == ["phrases.csv", "phrases.md"]


def test_a_number_that_could_not_be_computed_is_a_dash(run):
    written = write_table(run, table(value=np.nan, low=np.nan, high=np.nan), "t", "No java.")
    assert to_markdown(written).endswith("| shipped | cnr | – | 400 | 1 | 0 |")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table().drop(columns=["low", "seed"]), "lacks the columns low, seed"),
        (table(high=np.nan), "row 0: an estimate needs low, high, n and seed"),
        (table(n=np.nan), "row 0: an estimate needs"),
        (table(low=0.6), "low is above high"),
        (pd.concat([table(), table(value=0.2)]), "row 1: a second number for"),
    ],
)
def test_estimates_without_interval_number_or_seed_are_refused(run, frame, message):
    with pytest.raises(ValueError, match=message):
        write_table(run, frame, "t", "Caption.")
    assert not run.tables.exists() and not run.recorded


def test_a_table_needs_a_caption(run):
    with pytest.raises(ValueError, match="has no caption"):
        write_table(run, table(), "t", " ")
