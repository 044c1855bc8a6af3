"""Encoders of the downstream tasks: one plan, one pooling, weights of the comparison's runs; jobs that go on after a kill."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from small import SMALL

from ssacl_lib import paths
from ssacl_lib.baselines.registry import SSACL
from ssacl_lib.downstream import encoders, run as running, tables, tasks
from ssacl_lib.downstream.fit import fit
from ssacl_lib.evaluation import comparison_run
from ssacl_lib.record.claims import claimed
from ssacl_lib.record.manifest import write_json
from ssacl_lib.settings import load_settings

FEW = {
    "data.train_studies": 24,
    "data.validation_studies": 8,
    "data.test_studies": 10,
    "evaluation.cnn_images": 32,
    "inference.evidence_masks": 4,
}


@pytest.fixture
def settings(fake_phantom, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison_run, "SEEDS", 1)
    monkeypatch.setattr(comparison_run, "OWN_SEEDS", 1)
    return load_settings("smoke", **SMALL, **FEW, out_dir=str(tmp_path / "out"))


def films(count=5, side=32):
    return np.random.default_rng(1).integers(0, 256, (count, side, side), np.uint8)


def test_the_plan_has_every_encoder_once_and_central_ones_with_three_seeds():
    settings = load_settings("cpu")
    found = encoders.planned(settings)
    names = [encoder.name for encoder in found]
    assert names[0] == "untrained" and {names.count(n) for n in (SSACL, "MaCo-like", "contrast only")} == {3}
    assert all(names.count(n) == 1 for n in set(names) - {SSACL, "MaCo-like", "contrast only"}) and len(found) == 15
    assert len({e.place for e in found}) == len({e.recipe for e in found}) == len(found), (
        "of places and recipes of their own"
    )
    assert [e.name for e in found if e.annotated] == [encoders.SUPERVISED]
    assert {e.name for e in found if e.ours} == {SSACL, encoders.PLUS}
    assert {e.place for e in found if e.name == encoders.PLUS} == {"ss-acl-plus/seed0"}, (
        "where its results are committed"
    )
    asked_elsewhere = settings.changed(dataset="nih", data_root="somewhere")
    assert [e.recipe for e in encoders.planned(asked_elsewhere)] == [e.recipe for e in found]


def test_features_of_an_encoder_are_the_means_of_its_patches_and_those_of_the_text_space_fit(settings):
    encoder = encoders.Encoder("contrast only", 0, settings)
    pooled, patches = encoders.features(encoder, films(70))
    assert pooled.shape == (70, 16) and patches.shape == (70, 16, 16) and pooled.dtype == patches.dtype == np.float32
    assert np.allclose(pooled, patches.mean(1), atol=1e-5)
    again = encoders.pooled_features(encoder, lambda rows: films(70)[rows], np.arange(70))
    assert np.allclose(again, pooled, atol=1e-5)
    model = encoder.model()
    with torch.no_grad():
        linear = model.image_to_text(torch.from_numpy(pooled)).numpy()
    assert np.allclose(encoders.image_vectors(encoder, films(70)), linear, atol=2e-2)
    text = encoders.text_vectors(encoder, ["there is edema.", "no edema."])
    assert text.shape == (2, 16) and encoder.has_text and encoder.model() is model


def test_the_supervised_network_is_kept_and_has_no_text(settings):
    encoder = encoders.Encoder(encoders.SUPERVISED, 0, settings)
    pooled, patches = encoders.features(encoder, films())
    assert patches.shape[2] == 192 and np.allclose(pooled, patches.mean(1), atol=1e-5)
    with torch.no_grad():
        model, grid = encoder.model(), int(patches.shape[1] ** 0.5)
        maps = torch.from_numpy(patches).transpose(1, 2).unflatten(2, (grid, grid))
        read = model.head(model.body[-1](maps).flatten(1))
        assert torch.allclose(read, model(torch.from_numpy(films())), atol=5e-2), (
            "tokens are the maps that its head reads"
        )
    stamp = (encoder.weights / "model" / "network.safetensors").stat().st_mtime_ns
    encoders._model_of.cache_clear()
    encoder.model()
    assert (encoder.weights / "model" / "network.safetensors").stat().st_mtime_ns == stamp and not encoder.has_text


def test_models_from_outside_and_checkpoints_by_path(settings, tiny_checkpoint, tmp_path):
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTModel(ViTConfig(**sizes, image_size=32, patch_size=8)).save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    found = encoders.planned(settings, [str(tmp_path / "vit"), str(tiny_checkpoint)])
    vit, own = (encoder for encoder in found if encoder.path)
    pooled, patches = encoders.features(vit, films())
    assert patches.shape == (5, 16, 16) and np.allclose(pooled, patches.mean(1), atol=1e-5) and not vit.has_text
    assert own.has_text and encoders.text_vectors(own, ["edema"]).shape[0] == 1
    with pytest.raises(ValueError, match="same name"):
        encoders.planned(settings, [str(tmp_path / "vit"), str(tmp_path / "x" / "vit")])


def test_a_model_from_outside_is_known_by_its_content_wherever_a_process_works(
    settings, tiny_checkpoint, tmp_path, monkeypatch
):
    folder, elsewhere = tmp_path / "models" / "own", tmp_path / "elsewhere"
    shutil.copytree(tiny_checkpoint, folder)
    elsewhere.mkdir()
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5]}', encoding="utf-8")

    def asked(where, typed):
        monkeypatch.chdir(where)
        job = next(job for job in running.jobs_of(settings, ["zero_shot"], [typed]) if job.encoder.path)
        assert encoders.Encoder("own", 0, settings, typed).recipe == job.encoder.recipe, "as `ssacl finetune` asks"
        return job

    job = asked(tmp_path, "models/own")
    (one,) = running.jobs_of(settings, ["zero_shot"], ["models/own"], alone=True)
    assert one.path == job.path
    with pytest.raises(ValueError, match="name one with --encoder"):
        running.jobs_of(settings, alone=True)
    assert asked(elsewhere, "../models/own").recipe == job.recipe == asked(elsewhere, str(folder)).recipe
    told = running.about(job)
    assert told["path"] == "own" and str(tmp_path) not in str({**told, "settings": None})
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert running.about(job)["path"] == "models/own" and running.typed(job).endswith("--encoder models/own")
    write_json(job.path.with_suffix(".json"), told)
    pd.DataFrame({"study": [1]}).to_parquet(job.path)
    (read,) = tables.outside_jobs(settings, "zero_shot")
    assert read.path == job.path and not read.missing, "a notebook works in a folder of its own"
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.4]}', encoding="utf-8")
    assert asked(tmp_path, "models/own").missing


# ---- jobs
def test_jobs_killed_and_started_again_give_the_same_and_repeat_nothing(settings, monkeypatch):
    asked = []

    def measure(encoder, settings):
        asked.append(encoder.name)
        if encoder.name == "start" and len(asked) == 2:
            raise KeyboardInterrupt
        pooled, _ = encoders.features(encoder, films())
        return pd.DataFrame({"study": range(5), "value": pooled[:, 0].astype(float)})

    measure.__module__ = encoders.__name__  # whose code is written down
    monkeypatch.setattr(tasks, "TASKS", {"first": tasks.Task(measure, "a question"),
                                         "read": tasks.Task(measure, "of texts", needs_text=True)})  # fmt: skip
    monkeypatch.setattr(encoders, "METHOD_OF", {"start": "start", "masked autoencoder": "masked autoencoder"})
    with pytest.raises(KeyboardInterrupt):
        running.measure(settings)
    jobs = running.measure(settings)
    assert [job.title for job in jobs] == [
        "first: start, seed 0", "read: start, seed 0", "first: masked autoencoder, seed 0", "first: supervised CNN, seed 0",
    ]  # fmt: skip
    assert asked == ["start", "start", "start", "masked autoencoder", encoders.SUPERVISED]
    assert running.measure(settings) == jobs and len(asked) == 5, "nothing is asked twice"
    assert jobs[0].told["recipe"] == jobs[0].recipe and jobs[0].told["seconds"] >= 0
    monkeypatch.setitem(tasks.TASKS, "first", tasks.Task(measure, "a question", {"films": 6}))
    with claimed(jobs[0].encoder.weights):  # another process works on it
        assert len(running.measure(settings, ["first"])) == 2 and len(asked) == 7
    with pytest.raises(ValueError, match="no task 'second'"):
        running.measure(settings, ["second"])


def test_a_fit_of_few_films_finds_the_answer():
    inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    targets, weight = inputs @ torch.tensor([1.0, -2.0, 0.5]), torch.zeros(3, requires_grad=True)
    fit(
        [{"params": [weight], "lr": 0.1}],
        lambda rows: ((inputs[rows] @ weight - targets[rows]) ** 2).mean(), 40, 200, 16, 0, weight_decay=0.0,
    )  # fmt: skip
    assert torch.allclose(weight, torch.tensor([1.0, -2.0, 0.5]), atol=0.02)


def test_a_fit_that_was_killed_goes_on_to_the_same_weights(monkeypatch, tmp_path):
    inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    asked: list[int] = []

    def train(kept=None, die_at=None, first=2.0):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
        asked.clear()

        def loss_of(rows):
            if len(asked) == die_at:
                raise KeyboardInterrupt
            asked.append(len(rows))
            return (network(inputs[rows])[:, 0] - inputs[rows] @ torch.tensor([first, -2.0, 0.5])).square().mean()

        groups = [{"params": network[0].parameters(), "lr": 0.01}, {"params": network[1:].parameters(), "lr": 0.05}]
        fit(groups, loss_of, 40, 30, 16, 0, kept=(tmp_path / "state.safetensors", network) if kept else None)
        return network.state_dict()

    whole = train()
    monkeypatch.setattr("ssacl_lib.downstream.fit.SAVED", -1.0)
    with pytest.raises(KeyboardInterrupt):
        train(kept=True, die_at=11)
    again = train(kept=True)
    assert len(asked) == 19 and all(torch.equal(value, again[name]) for name, value in whole.items())
    train(kept=True)
    assert not asked, "nothing is left to do"
