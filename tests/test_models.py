"""The compared models: what a start holds, and what is left out where it holds less."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small import SMALL, View

from ssacl_lib.evaluation import inputs, models
from ssacl_lib.model import SSACLModel
from ssacl_lib.model.build import build_model
from ssacl_lib.settings import LossWeights, load_settings
from ssacl_lib.text.tokenizer import train_tokenizer
from ssacl_lib.training import checkpoints

CONTRAST = {f"training.loss_weights.{name}": float(name == "global_contrastive") for name in LossWeights.model_fields}


REPORTS = [f"{side} pleural effusion. Heart is {size}." for side in ("Left", "Right", "No") * 4 for size in "ab"]
STUDIES = View(REPORTS, np.random.default_rng(0).integers(0, 255, (len(REPORTS), 32, 32), dtype=np.uint8))
STUDIES.folder = SimpleNamespace(name="films")
WORDS, CPU = train_tokenizer(REPORTS), torch.device("cpu")


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A start made by the contrast alone, and the settings of a run that goes on from it."""
    for module in (models, checkpoints):
        monkeypatch.setattr(module, "load_training", lambda *_: STUDIES)
    monkeypatch.setattr("ssacl_lib.training.loop.load_training", lambda *_: STUDIES)
    monkeypatch.setattr(checkpoints, "source_for", lambda *_: SimpleNamespace(fingerprint="films"))
    checkpoints.make_start(load_settings("smoke", **SMALL, **CONTRAST), tmp_path / "start", progress=False)
    return tmp_path / "start"


def a_run(tmp_path, start) -> SimpleNamespace:
    settings = load_settings("smoke", out_dir=tmp_path / "out", **SMALL, **{"model.encoder_weights": str(start)})
    return SimpleNamespace(settings=settings, runs=settings.runs)


def test_the_start_is_what_its_training_left_and_this_run_takes_its_encoder_alone(tmp_path, start):
    same = checkpoints.pretrain(load_settings("smoke", **SMALL, **CONTRAST), tmp_path / "same", progress=False)
    trained = SSACLModel.from_pretrained(same.folder).eval()
    run = a_run(tmp_path, start)
    model = models.start_model(run, WORDS, CPU)
    pixels = model.processor.normalise(STUDIES.images([0, 1]))
    with torch.no_grad():
        for ask in (lambda m: m.patch_embeddings(pixels), lambda m: m.text_embedding(["left effusion", "heart"])):
            torch.testing.assert_close(ask(model), ask(trained), atol=5e-3, rtol=5e-3)
    assert (models.grounders(run, {"start": model}), inputs.writers({"start": model})) == ({"start": model}, {})
    begun = build_model(run.settings, train_tokenizer(REPORTS))
    torch.testing.assert_close(begun.encoder.state_dict(), model.encoder.state_dict())
    assert not torch.equal(begun.image_to_text.weight, model.image_to_text.weight)


def test_a_finished_start_is_not_made_again_and_leaves_no_scratch(start, monkeypatch):
    assert not (start / "work").exists()
    monkeypatch.setattr(checkpoints, "pretrain", None)
    assert checkpoints.make_start(load_settings("smoke", **SMALL, **CONTRAST), start, progress=False) == start


def test_a_start_without_text_side_is_left_out_of_phrases_only(tmp_path, start, capsys):
    (start / "text.safetensors").unlink()
    run = a_run(tmp_path, start)
    model = models.start_model(run, WORDS, CPU)
    assert model.finding_logits(model.processor.normalise(STUDIES.images([0]))).shape == (1, 13)
    assert list(models.grounders(run, {"untrained": 0, "start": model})) == ["untrained"]
    assert "without a text side" in capsys.readouterr().out


def test_a_head_is_fitted_again_for_another_start(tmp_path, start):
    first = models.start_model(a_run(tmp_path, start), WORDS, CPU)
    checkpoints.make_start(
        load_settings("smoke", **{**SMALL, **CONTRAST, "seed": 1}), tmp_path / "other", progress=False
    )
    other = tmp_path / "other" / "encoder.safetensors"
    other.replace(start / "encoder.safetensors")
    again = models.start_model(a_run(tmp_path, start), WORDS, CPU)
    assert not torch.equal(first.encoder.cls_token, again.encoder.cls_token)


def test_without_heads_few_films_are_prepared_and_a_fitted_model_is_taken_where_it_is_kept(
    tmp_path, start, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        models, "load_training", lambda s, split: asked.append((s.data.train_studies, split)) or STUDIES
    )
    settings = load_settings("smoke", out_dir=tmp_path / "out", **SMALL, **{"data.train_studies": 24000})
    run = SimpleNamespace(settings=settings, runs=settings.runs)
    plain = models.untrained_model(run, WORDS, CPU, heads=False)
    assert asked == [(500, "train")]  # 40 batches of 4, in whole shards
    assert not (run.runs / "untrained").exists()
    fitted = models.untrained_model(run, WORDS, CPU)
    assert asked[1:] == [(500, "train"), (24000, "train"), (24000, "validation")]
    kept = models.untrained_model(run, WORDS, CPU, heads=False)
    assert len(asked) == 4 and torch.equal(kept.head.what.weight, fitted.head.what.weight)
    torch.testing.assert_close(plain.encoder.state_dict(), kept.encoder.state_dict())
