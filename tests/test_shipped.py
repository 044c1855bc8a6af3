"""The checkpoints that the repository ships: small enough, with the manifest of their making, and at work."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ssacl_lib import paths
from ssacl_lib.command import cli
from ssacl_lib.datasets.study import EvaluationStudy, Phrase
from ssacl_lib.evaluation import looking
from ssacl_lib.evaluation.fresh import blind_maps, peak_rows
from ssacl_lib.model.build import load_model
from ssacl_lib.model.reporting import Report
from ssacl_lib.phantom import render
from ssacl_lib.record.manifest import read_json
from ssacl_lib.settings import load_settings

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


def test_a_peak_counts_where_it_lies_in_the_box_around_the_finding():
    """The mask is a diagonal: its box holds points that it does not."""
    mask = np.zeros((8, 8), bool)
    mask[[1, 2, 3], [1, 2, 3]] = True
    studies = [
        EvaluationStudy(f"s{k}", f"p{k}", np.full((8, 8), k, np.uint8), "", np.zeros(14, np.int8), np.eye(13, dtype=bool)[9],
                        phrases=(Phrase(text, "Pleural Effusion", mask, np.zeros((0, 4))),))
        for k, text in enumerate(("left pleural effusion", "pleural effusion", "right pleural effusion"))
    ]  # fmt: skip
    peaks = {"left pleural effusion": (1, 3), "pleural effusion": (5, 5), "right pleural effusion": (3, 1)}

    def ground(images, texts, evidence):
        maps = torch.zeros(1, len(texts), 8, 8)
        for k, text in enumerate(texts):
            maps[0, k, *peaks[text]] = 1
        return maps

    rows = peak_rows(SimpleNamespace(ground=ground), studies, load_settings("smoke"))
    found = {row["metric"]: (row["value"], row["n"]) for row in rows}
    assert found == {"peak_in_box": (pytest.approx(2 / 3), 3), "peak_in_box_other_side": (1.0, 2)}


def test_confirm_refuses_the_seed_of_training(capsys):
    assert cli.main(["confirm", "--seed", "0"]) == 2
    assert "another" in capsys.readouterr().err


def test_maps_of_no_film_are_those_of_the_patients_of_training(monkeypatch):
    masks, asked = np.random.default_rng(0).random((32, 24, 24), dtype=np.float32), []
    monkeypatch.setattr(looking, "mean_masks", lambda settings: asked.append(settings.seed) or masks)
    atlas = torch.rand(32, 48, 48, generator=torch.Generator().manual_seed(0))
    model = SimpleNamespace(config=SimpleNamespace(grid=4), look=SimpleNamespace(atlas=atlas))
    found = blind_maps(model, (24, 24), load_settings("smoke", seed=3))
    assert asked == [0] and list(found) == ["words atlas", "text template", "mean-mask atlas", "mean-mask atlas, 4 x 4"]
    assert all(maps.shape == (32, 24, 24) for maps in found.values())
    np.testing.assert_array_equal(found["mean-mask atlas"], masks)
    pooled = masks.reshape(32, 4, 6, 4, 6).mean((2, 4))
    np.testing.assert_allclose(found["mean-mask atlas, 4 x 4"][:, 0, 0], pooled[:, 0, 0], rtol=1e-5)
    assert found["mean-mask atlas, 4 x 4"].max() <= pooled.max() + 1e-6, "no map is finer than its patches"
    assert found["words atlas"].std() < atlas.std(), "brought to the film's size"
