"""The measured recipe: which variants count, alike training, nothing trained twice, and the table read back."""

import json

import pandas as pd
import pytest

from ssacl_lib import paths
from ssacl_lib.command import cli
from ssacl_lib.evaluation import recipe
from ssacl_lib.settings import load_settings

PLAIN, LIGHT, MADE = "as in smoke", "contrast at weight 0.15", "masked autoencoder start"


@pytest.fixture
def places(fake_phantom, tmp_path, monkeypatch):
    """Runs, films and the table in folders of the test."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    return tmp_path / "table"


def test_only_variants_that_differ_count():
    smoke = recipe.variants("smoke")
    plain = load_settings("smoke")
    assert next(iter(smoke)) == PLAIN and smoke[PLAIN] == {}
    assert (
        "no start" not in smoke and "temperature 0.03" not in smoke
    )  # smoke has neither start nor another temperature
    assert smoke["linear patch stem, no start"] == {"model.stem": "patch"} and plain.model.stem != "patch"
    assert "linear patch stem, no start" not in recipe.variants("paper")
    assert all(len(changes) == 1 for name, changes in smoke.items() if name != PLAIN)


def test_variants_differ_from_the_profile_in_their_choice_only():
    def flat(values, head=""):
        pairs = (flat(v, f"{head}{k}.") if isinstance(v, dict) else {f"{head}{k}": v} for k, v in values.items())
        return {key: value for pair in pairs for key, value in pair.items()}

    plain = flat(recipe.variant_settings("cpu", 12000, {}).model_dump())
    assert plain["training.images"] == 12000 and plain["data.train_studies"] == 12000
    for name, changes in recipe.variants("cpu").items():
        if recipe.MADE_HERE not in changes.values():
            other = flat(recipe.variant_settings("cpu", 12000, changes).model_dump())
            assert {key for key in plain if plain[key] != other[key]} == set(changes), name


def test_from_training_to_table(places, monkeypatch, capsys):
    words = ["recipe", "--profile", "smoke", "--images", "64", "--out", str(places)]
    assert cli.main([*words, "--only", PLAIN]) == 0
    assert cli.main([*words, "--only", MADE]) == 0
    assert "masked map: pointing" in capsys.readouterr().out
    frame = pd.read_csv(places / "recipe.csv")
    assert list(frame.columns) == ["variant", "images", "method", "metric", "value", "low", "high", "n", "seed"]
    numbers = [("head", "auc"), *((f"{m} map", k) for m in ("masked", "similarity") for k in recipe.METRICS),
               *(("loss", term) for term in recipe.TERMS)]  # fmt: skip
    for name in (PLAIN, MADE):
        of_variant = frame[frame["variant"] == name]
        assert sorted(zip(of_variant["method"], of_variant["metric"], strict=True)) == sorted(numbers)
    assert frame["value"].between(frame["low"] - 1e-6, frame["high"] + 1e-6).all() and (frame["images"] == 64).all()
    manifest = json.loads((places / "manifest.json").read_text())
    assert list(manifest["variants"]) == sorted([PLAIN, MADE]) and manifest["settings"]["training"]["images"] == 64
    assert str(paths.ROOT) not in json.dumps(manifest)

    table = recipe.recipe_table(places)
    assert list(table["variant"]) == [PLAIN, MADE] and table.shape == (2, 1 + len(numbers))
    assert table.loc[0, "head: auc"].count(",") == 1

    def refuse(*_, **__):
        raise AssertionError("a finished variant was trained again")

    monkeypatch.setattr(recipe, "make_checkpoint", refuse)
    monkeypatch.setattr(recipe, "make_start", refuse)
    again = recipe.measure_recipe("smoke", 64, [PLAIN, MADE], places)
    assert len(again) == len(frame)
    with pytest.raises(AssertionError, match="trained again"):
        recipe.measure_recipe("smoke", 64, [LIGHT], places)


def test_what_is_not_there_is_said_in_a_line(tmp_path, capsys):
    assert not len(recipe.recipe_table(tmp_path))
    assert "ssacl recipe" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no variant 'no stem'.*; there are: as in smoke"):
        recipe.measure_recipe("smoke", 64, ["no stem"], tmp_path)
