"""A small part of benchmarks/fuzz.py: odd inputs are read, or refused with one line."""

import sys

import pytest

from ssacl_lib import paths

sys.path.insert(0, str(paths.ROOT / "benchmarks"))
import fuzz


@pytest.mark.parametrize("kind", fuzz.MAKERS)
def test_odd_inputs_are_read_or_refused_with_one_line(kind, capfd):
    count = {"checkpoint": 8}.get(kind, 60)
    judged = [fuzz.judge(kind, number, seed=1) for number in range(count)]
    assert [why for outcome, why in judged if outcome == "failed"] == []
    assert {outcome for outcome, _ in judged} == {"read", "refused"}
