"""The loop: it calls the losses, resumes to the same weights, refuses other settings."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from small import SMALL, View

from ssacl_lib import losses
from ssacl_lib.model import SSACLModel
from ssacl_lib.model.masking import keep_lowest
from ssacl_lib.settings import load_settings
from ssacl_lib.training import loop
from ssacl_lib.training.batches import TrainingBatches, augment
from ssacl_lib.training.head import best_thresholds, fit_head
from ssacl_lib.training.loop import (
    learning_rate_scale,
    parameter_groups,
    pretrain,
    wanted_terms,
    weighted_sum,
)
from ssacl_lib.training.origin import origin_of
from ssacl_lib.training.state import read_progress, save_model, write_tensors
from ssacl_lib.training.untrained import untrained


@pytest.fixture(scope="module")
def studies():
    reports = [
        f"{side} pleural effusion. Heart size is {size}."
        for side in ("Left", "Right", "No")
        for size in ("normal", "enlarged", "top normal", "unchanged")
    ]
    images = np.random.default_rng(0).integers(0, 255, (len(reports), 32, 32), dtype=np.uint8)
    return View(reports, images)


SIDES = {"training.loss_weights.side_exchange": 1.0}


@pytest.mark.parametrize("more", [{}, SIDES], ids=["plain", "sides"])
def test_killed_and_resumed_gives_the_same_weights(more, studies, tmp_path):
    settings = load_settings("smoke", **SMALL, **more)
    whole = pretrain(settings, tmp_path / "whole", studies, studies, progress=False)
    pretrain(
        settings, tmp_path / "cut", studies, studies, progress=False, stop_after=3
    )  # dies after the checkpoint at 2
    before = read_progress(tmp_path / "cut" / "checkpoint.safetensors", origin_of(settings, studies)).seconds
    cut = pretrain(settings, tmp_path / "cut", studies, studies, progress=False)
    assert cut.seconds > before > 0  # of both sittings
    one, two = (SSACLModel.from_pretrained(r.folder).state_dict() for r in (whole, cut))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert whole.history.equals(cut.history)
    with pytest.raises(ValueError, match="other settings"):
        pretrain(load_settings("smoke", **SMALL, **more, seed=1), tmp_path / "cut", studies, studies, progress=False)


def test_a_run_killed_between_two_validations_loses_no_more_than_the_time_between_checkpoints(studies, tmp_path):
    settings = load_settings("smoke", **{**SMALL, "training.checkpoint_images": 1000})
    whole = pretrain(settings, tmp_path / "whole", studies, studies, progress=False)
    often = load_settings("smoke", **{**SMALL, "training.checkpoint_images": 1000, "training.checkpoint_seconds": 1e-9})
    pretrain(often, tmp_path / "cut", studies, studies, progress=False, stop_after=3)
    assert (
        read_progress(tmp_path / "cut" / "checkpoint.safetensors", origin_of(often, studies))[0]
        == 3 * settings.training.batch_size
    )
    cut = pretrain(settings, tmp_path / "cut", studies, studies, progress=False)
    one, two = (SSACLModel.from_pretrained(r.folder).state_dict() for r in (whole, cut))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert whole.history.equals(cut.history)


@pytest.mark.parametrize(
    "name",
    [
        "image_reconstruction_loss",
        "anatomy_reconstruction_loss",
        "global_contrastive_loss",
        "anatomical_consistency_loss",
        "report_generation_loss",
    ],
)
def test_the_model_calls_the_loss_functions(name, studies, tmp_path, monkeypatch):
    settings = load_settings("smoke", **{**SMALL, "training.images": 4})
    before = pretrain(settings, tmp_path / "a", studies, studies, progress=False).history
    original = getattr(losses, name)
    monkeypatch.setattr(losses, name, lambda *a, **k: original(*a, **k) + 7)
    after = pretrain(settings, tmp_path / "b", studies, studies, progress=False).history
    total = [h.query("term == 'total' and split == 'train'")["value"].iloc[0] for h in (before, after)]
    assert total[1] - total[0] == pytest.approx(7, abs=1e-3)


def test_a_loss_that_is_not_finite_stops_the_run(studies, tmp_path, monkeypatch):
    monkeypatch.setattr(
        losses, "report_generation_loss", lambda *a, **k: torch.tensor(float("nan"), requires_grad=True)
    )
    often = load_settings("smoke", **{**SMALL, "training.checkpoint_seconds": 1e-9})
    with pytest.raises(FloatingPointError, match="not finite near step 1;"):
        pretrain(often, tmp_path, studies, studies, progress=False)
    assert not (tmp_path / "checkpoint.safetensors").exists()  # none to go on from with numbers that are none


def test_weights_that_are_not_finite_are_not_kept(studies, tmp_path, monkeypatch):
    """The loss looks back at the weights before the update: an infinite gradient shows in the next step alone."""
    honest, steps = loop.train_step, []

    def step(accelerator, wrapped, update, batch, settings):
        steps.append(len(steps))
        terms = honest(accelerator, wrapped, update, batch, settings)
        if len(steps) == 2:
            with torch.no_grad():
                wrapped.position_bias.fill_(float("inf"))
        return terms

    monkeypatch.setattr(loop, "train_step", step)
    often = load_settings("smoke", **{**SMALL, "training.checkpoint_images": 1000, "training.checkpoint_seconds": 1e-9})
    with pytest.raises(FloatingPointError, match=r"weights are not finite after the last update \(position_bias\)"):
        pretrain(often, tmp_path, studies, studies, progress=False)
    assert (
        read_progress(tmp_path / "checkpoint.safetensors", origin_of(often, studies)).images
        == often.training.batch_size
    )


def test_a_weight_for_a_term_that_no_network_gives_is_named(studies, tmp_path):
    settings = load_settings("smoke", **SMALL)
    with pytest.raises(
        ValueError, match=r"loss_weights\.anatomical_consistency is 1, and the network gives no such term; it"
    ):
        weighted_sum({"image_reconstruction": torch.ones(())}, settings)


def test_a_patient_in_both_splits_stops_the_training(studies, tmp_path):
    mine, other = (SimpleNamespace(patient_ids=names) for names in (["a", "b"], ["c", "b"]))
    with pytest.raises(ValueError, match=r"1 patients are in training and in validation \(first: 'b'\)"):
        pretrain(load_settings("smoke", **SMALL), tmp_path, mine, other, progress=False)


def test_a_full_disk_is_one_line_with_the_path(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("ssacl_lib.training.state.save_file", full)
    with pytest.raises(OSError, match=r"some\.safetensors: can't be written \(I/O error: No space left .*; make room"):
        write_tensors(tmp_path / "some.safetensors", {"a": torch.ones(2)})
    assert not list(tmp_path.iterdir())


def test_weights_may_be_read_by_whoever_may_read_the_folder(studies, tmp_path):
    before = os.umask(0o027)
    try:
        write_tensors(tmp_path / "some.safetensors", {"a": torch.ones(2)})
        save_model(untrained(load_settings("smoke", **SMALL), studies), tmp_path / "model")
    finally:
        os.umask(before)
    written = (tmp_path / "some.safetensors", tmp_path / "model" / "model.safetensors")
    assert [oct(path.stat().st_mode & 0o777) for path in written] == [oct(0o640)] * 2


def test_parameter_groups_follow_the_release(studies):
    settings = load_settings("smoke", **{**SMALL, "training.language_rate_scale": 0.25})
    model = untrained(settings, studies)
    group_of = {id(p): g for g in parameter_groups(model, settings) for p in g["params"]}
    assert len(group_of) == len(list(model.parameters()))
    assert group_of[id(model.encoder.norm.weight)]["weight_decay"] == 0
    assert group_of[id(model.inverse_temperature)]["weight_decay"] > 0
    assert group_of[id(model.position_weight)]["weight_decay"] > 0 == group_of[id(model.position_bias)]["weight_decay"]
    assert group_of[id(model.language.gpt.transformer.wte.weight)]["scale"] == 0.25
    assert group_of[id(model.language.to_width.weight)]["scale"] == 1


def test_no_study_is_left_out_at_the_edge_of_an_epoch(studies):
    settings = load_settings("smoke", **{**SMALL, "training.batch_size": 5})
    batches = TrainingBatches(settings, studies, untrained(settings, studies).processor, 12)
    rows = np.concatenate([batches.indices(step) for step in range(12)])
    assert all(sorted(rows[start : start + 12]) == list(range(12)) for start in range(0, 60, 12))


def test_studies_may_bring_their_own_prompts(studies):
    settings = load_settings("smoke", **SMALL)
    processor = untrained(settings, studies).processor
    own = View(studies.reports, studies.array)
    own.prompts, own.leaf_open = ["heart size"] * len(own), np.arange(25)[None].repeat(len(own), 0) == 3
    batches = TrainingBatches(settings, own, processor, 8)
    batch = next(batches[step] for step in range(8) if batches[step].prompt_ids.shape[1])
    assert processor.decode_report(batch.prompt_ids[0]) == "Heart size"
    assert batch.leaf_open.nonzero()[:, 1].unique().tolist() == [3]


def test_pairs_of_sides_change_nothing_else_of_a_batch(studies):
    plain, sides = load_settings("smoke", **SMALL), load_settings("smoke", **SMALL, **SIDES)
    model = untrained(plain, studies)
    without, with_pairs = (TrainingBatches(s, studies, model.processor, 30) for s in (plain, sides))
    assert without.pairs is None and without[0].side_ids is None
    added, drawn = {"side_ids", "side_mask", "paired"}, {}
    for step in range(6):  # two epochs
        one, two = without[step].tensors(), with_pairs[step].tensors()
        assert two.keys() - one.keys() == added
        assert all(torch.equal(value, two[name]) for name, value in one.items())
        for place, row in enumerate(with_pairs.indices(step)):
            texts = [
                model.processor.text_tokenizer.decode(ids, skip_special_tokens=True) for ids in two["side_ids"][place]
            ]
            assert two["paired"][place] == (not studies.reports[row].startswith("No"))
            pair = [a.lower().rstrip(".") for a in (with_pairs.pairs[row] or [("right", "left")])[0]]
            assert [text.rstrip(" .") for text in texts] == pair
            drawn.setdefault(row, []).append(texts)
    assert all(len(texts) == 2 for texts in drawn.values())
    later = TrainingBatches(sides, studies, model.processor, 30, start=8)[0]
    assert all(torch.equal(value, later.tensors()[name]) for name, value in with_pairs[2].tensors().items())


def test_another_epoch_draws_another_pair():
    report = " ".join(
        f"There is a fracture of the {side} {number} rib."
        for side in ("right", "left")
        for number in ("third", "fifth")
    )
    view = View([report + " Small right effusion. Left pneumothorax."] * 4, np.zeros((4, 32, 32), np.uint8))
    settings = load_settings("smoke", **SMALL, **SIDES)
    batches = TrainingBatches(settings, view, untrained(settings, view).processor, 12)
    assert [len(pairs) for pairs in batches.pairs] == [2] * 4
    first = torch.cat([batches[step].side_mask[:, 0].sum(1) for step in range(12)])
    assert len(first.unique()) == 2 and (first == first[0]).float().mean() < 0.8


@pytest.mark.parametrize("attention", ["paper", "release"])
def test_side_exchange_teaches_films_and_sentences_and_leaves_the_other_terms_alone(attention, studies):
    settings = load_settings("smoke", **SMALL, **SIDES, **{"model.attention": attention})
    model = untrained(settings, studies)
    batch = next(
        b for b in map(TrainingBatches(settings, studies, model.processor, 9).__getitem__, range(9)) if b.paired.any()
    )
    plain = TrainingBatches(settings.changed(**{next(iter(SIDES)): 0.0}), studies, model.processor, 1)[0]
    with pytest.raises(ValueError, match="no sentences with the side exchanged"):
        model(plain, terms=("side_exchange",))
    five, six = model(batch), model(batch, terms=wanted_terms(settings))
    assert all(torch.equal(six[name], value) for name, value in five.items()) and six.keys() - five.keys() == {
        "side_exchange"
    }
    (alone := model(batch, terms=("side_exchange",))["side_exchange"]).backward()
    image = model.image_embedding(batch.pixels, keep_lowest(batch.noise, 0.5))
    own, exchanged = (model.text(batch.side_ids[:, k], batch.side_mask[:, k]) for k in (0, 1))
    gap = torch.cosine_similarity(image, exchanged) - torch.cosine_similarity(image, own)
    by_hand = torch.nn.functional.softplus(gap / model.temperature)[batch.paired].mean()
    torch.testing.assert_close(alone, by_hand)
    assert torch.equal(alone, six["side_exchange"])
    taught = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert taught == {"encoder", "text", "image_to_text"}


def test_augmentation():
    pixels = torch.rand(16, 1, 8, 8)
    draws = [np.random.default_rng(number) for number in range(len(pixels))]
    assert torch.allclose(augment(pixels, 0.0, False, draws), pixels, atol=1e-5)
    mirrored = augment(pixels, 0.0, True, draws)
    as_is, turned = ((mirrored - other).abs().amax((1, 2, 3)) < 1e-5 for other in (pixels, pixels.flip(-1)))
    assert (as_is ^ turned).all()
    assert as_is.any()
    assert turned.any()


def test_schedule():
    assert learning_rate_scale(50, 100, 1000) == 0.5
    assert learning_rate_scale(550, 100, 1000) == pytest.approx(0.5)
    assert learning_rate_scale(1000, 100, 1000) == pytest.approx(0)


def test_head_finds_what_the_encoder_shows(studies):
    bright = studies.array.copy()
    for row, report in enumerate(studies.reports):
        if not report.startswith("No"):
            bright[row, 16:, 16:] = 255
    lit = View(studies.reports * 4, np.concatenate([bright] * 4))
    model = fit_head(untrained(load_settings("smoke", **SMALL), lit), lit, lit, seed=0, progress=False)
    probabilities = model.finding_logits(model.processor.normalise(lit.array)).sigmoid().detach().numpy()[:, 9]
    effusion = np.array([not report.startswith("No") for report in lit.reports])
    assert probabilities[effusion].min() > probabilities[~effusion].max()


def test_thresholds_by_hand():
    probabilities = np.tile(np.array([[0.9], [0.8], [0.3], [0.2]], np.float32), (1, 13))
    labels = np.zeros((4, 14), np.int8)
    labels[:2, 1:] = 1
    assert best_thresholds(probabilities, labels) == pytest.approx(np.full(13, 0.55))
