"""The profile gpu where there is no GPU: its recipe is that of cpu, its start is made first, and 224 px work."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import SMALL, View

from ssacl_lib import paths
from ssacl_lib.command import stages
from ssacl_lib.evaluation import models
from ssacl_lib.model.build import build_model
from ssacl_lib.model.look import GRID, NODES
from ssacl_lib.record import starts
from ssacl_lib.record.manifest import read_json
from ssacl_lib.settings import flat, load_settings
from ssacl_lib.text.tokenizer import train_tokenizer
from ssacl_lib.training import checkpoints, loop, origin
from ssacl_lib.training.batches import TrainingBatches
from ssacl_lib.training.look import fit_look
from ssacl_lib.training.words_atlas import WordsAtlas

REPORTS = [f"{side} pleural effusion. Heart is {size}." for side in ("Left", "Right", "No") * 4 for size in "ab"]
SIZES = {
    "profile", "device", "threads", "data.image_size", "data.train_studies", "data.phantom_ranges", "model.patch_size",
    "model.width", "model.depth", "model.heads", "model.decoder_depth", "model.decoder_heads", "model.text_width",
    "model.text_heads", "model.language_width", "model.language_depth", "model.language_heads",
    "model.encoder_weights", "training.images", "training.batch_size", "training.learning_rate",
    "training.warmup_images", "training.checkpoint_images", "training.checkpoint_seconds", "inference.evidence_masks",
    "inference.evidence_smoothing_patches", "evaluation.control_studies", "evaluation.cnn_images",
}  # fmt: skip
"""What may differ between cpu and gpu: how large, how long, where; and no choice of the method."""


def view(size: int) -> View:
    images = np.random.default_rng(0).integers(0, 255, (len(REPORTS), size, size), dtype=np.uint8)
    studies = View(REPORTS, images)
    studies.folder = SimpleNamespace(name="films")
    return studies


def test_gpu_is_the_recipe_of_cpu():
    cpu, gpu = (flat(load_settings(name).model_dump(mode="json")) for name in ("cpu", "gpu"))
    assert {name for name in cpu if cpu[name] != gpu[name]} <= SIZES
    films = [
        12 * cpu["inference.evidence_smoothing_patches"] / 96,
        16 * gpu["inference.evidence_smoothing_patches"] / 224,
    ]
    assert films[0] == films[1], "smoothed over the same part of a film"


def test_the_start_of_cpu_is_the_shipped_one():
    made = flat(read_json(paths.START_CHECKPOINT / "manifest.json")["settings"])
    cpu = load_settings("cpu")
    now = flat(cpu.changed(**checkpoints.start_changes(cpu)).model_dump(mode="json"))
    assert {name: now[name] for name in made} == made
    gpu = checkpoints.start_changes(load_settings("gpu"))
    assert gpu["training.images"] == 4000 * 128 and gpu["training.learning_rate"] == pytest.approx(3.75e-4)


# ---- a start that a training makes first
@pytest.fixture
def few(tmp_path, monkeypatch):
    """Settings of a small run that names a start below runs/, and how many trainings begin."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    studies = view(32)
    for module in (checkpoints, loop):
        monkeypatch.setattr(module, "load_training", lambda *_: studies)
    monkeypatch.setattr(checkpoints, "source_for", lambda *_: SimpleNamespace(fingerprint="films"))
    monkeypatch.setattr(checkpoints, "START_UPDATES", 6)
    return load_settings(
        "smoke", out_dir=str(tmp_path / "out"), **SMALL, **{"model.encoder_weights": "runs/start-small"}
    )


def test_a_start_below_runs_is_made_first_goes_on_when_killed_and_stays(few, monkeypatch, tmp_path):
    folder, key = paths.RUNS / "start-small", stages.stage_key(stages.select_stages(["02"])[0], few)
    assert starts.to_be_made("runs/start-small") == folder and origin.start_fingerprint(few) is None
    asked = []

    def killed(settings, out, **more):
        asked.append((settings.training.images, settings.seed, settings.training.loss_weights.report_labels))
        result = loop.pretrain(settings, out, **more, stop_after=3 if len(asked) == 1 else None)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(checkpoints, "pretrain", killed)
    run = SimpleNamespace(settings=few.changed(seed=1), runs=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        models.pretrained(run)
    assert starts.to_be_made("runs/start-small") == folder, "begun is not made"
    models.pretrained(run)
    assert asked == [(24, 0, 1.0), (24, 0, 1.0), (24, 1, 0.0)], "the start, the start again, this run"
    assert starts.to_be_made("runs/start-small") is None and origin.start_fingerprint(run.settings)
    assert stages.stage_key(stages.select_stages(["02"])[0], few) == key, "what a stage makes is no input of it"
    plain = few.changed(**checkpoints.start_changes(few))
    monkeypatch.setattr(checkpoints, "pretrain", loop.pretrain)
    undisturbed = load_file(
        checkpoints.make_start(plain, tmp_path / "undisturbed", progress=False) / "encoder.safetensors"
    )
    made = load_file(folder / "encoder.safetensors")
    assert all(torch.equal(made[name], undisturbed[name]) for name in undisturbed)
    checkpoints.ensure_start(few)
    assert len(asked) == 3


def test_a_notebook_opened_before_the_start_is_made_goes_without_it(few, monkeypatch, tmp_path):
    monkeypatch.setattr(models, "load_training", lambda *_: view(32))
    compared = models.evaluation_models(SimpleNamespace(settings=few, runs=tmp_path / "run"), heads=False)
    assert [name for name in compared if name != "shipped"] == ["untrained", "this run"]
    assert starts.to_be_made("runs/start-small"), "nobody waits for it"


# ---- 224 px
def test_a_step_at_224_px_moves_every_part_and_the_head_that_looks_sees_14_patches():
    narrow = {f"model.{name}": 48 for name in ("width", "text_width", "language_width")}
    shallow = {f"model.{name}": 1 for name in ("decoder_depth", "text_depth", "language_depth")}
    few = {"device": "cpu", "model.depth": 2, "model.encoder_weights": None, "training.batch_size": 4}
    settings, studies = load_settings("gpu", **narrow, **shallow, **few), view(224)
    model = build_model(settings, train_tokenizer(REPORTS))
    batch = TrainingBatches(settings, studies, model.processor, 1)[0]
    terms = model.train()(batch, settings.training.mask_ratio, settings.training.mixing, loop.wanted_terms(settings))
    assert len(terms) == 5 and all(torch.isfinite(value) for value in terms.values())
    loop.weighted_sum(terms, settings).backward()
    unread = {"head"}  # the finding head is fitted afterwards
    for name, parameter in model.named_parameters():
        if name.split(".")[0] not in unread and not name.startswith("text.bert.pooler"):
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.any(), name
    assert model.config.grid == 14
    maps = torch.zeros(NODES, GRID, GRID)
    maps[:, 10:30, 10:30] = 1.0
    fit_look(
        model, studies, WordsAtlas(maps, torch.ones(NODES, dtype=torch.bool), torch.ones(NODES)), 0, progress=False
    )
    seen = model.attend(model.processor.normalise(studies.images([0])), ["left lung"], evidence="plus")
    assert seen.shape[-2:] == (224, 224) and torch.isfinite(torch.as_tensor(seen)).all()
