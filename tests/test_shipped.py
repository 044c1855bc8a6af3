"""The checkpoints that the repository ships: small enough, with the manifest of their making, and at work."""

import numpy as np
import pytest

from ssacl_lib import paths
from ssacl_lib.command import cli
from ssacl_lib.model.build import load_model
from ssacl_lib.model.reporting import Report
from ssacl_lib.phantom import render
from ssacl_lib.record.manifest import read_json

LIMITS = {paths.START_CHECKPOINT: 6e6, paths.SHIPPED_CHECKPOINT: 15e6}


@pytest.mark.parametrize("folder", LIMITS, ids=lambda folder: folder.name)
def test_size_and_provenance(folder):
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size <= LIMITS[folder]
    made = read_json(folder / "manifest.json")
    assert made["command"].startswith("ssacl pretrain") and made["settings"]["training"]["images"] > 0
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {".safetensors", ".json", ".csv", ".md"}


def test_the_shipped_model_answers():
    model = load_model(device="cpu")
    film = render(3, "test", [5], image_size=96, ranges=0.5).images
    report = model.report(list(film))[0]
    assert isinstance(report, Report) and len(report.text.split()) > 5
    maps = model.ground(list(film), ["left pleural effusion", "right pneumothorax"])
    assert maps.shape == (1, 2, 96, 96) and np.isfinite(maps.numpy()).all()
    assert not np.allclose(maps[0, 0], maps[0, 1])


def test_confirm_refuses_the_seed_of_training(capsys):
    assert cli.main(["confirm", "--seed", "0"]) == 2
    assert "another" in capsys.readouterr().err
