"""Segmentation and retrieval as tasks: what a decoder learns, how an encoder takes larger films, and the tables of both."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import fake_render
from small import SMALL
from test_masks import box, five_folder, siim_folder  # noqa: F401  (fixtures)

from ssacl_lib.baselines.outside import VisionModel
from ssacl_lib.baselines.registry import SSACL
from ssacl_lib.datasets import phantom
from ssacl_lib.datasets.chexpert_5x200 import FIVE, PairedFilms
from ssacl_lib.datasets.masks import MaskedFilms, mask_of_runs
from ssacl_lib.downstream import retrieval, run as running, segmentation
from ssacl_lib.downstream.encoders import SUPERVISED, UNTRAINED, Encoder
from ssacl_lib.downstream.mask_decoder import MaskDecoder, mask_loss
from ssacl_lib.downstream.retrieval_tables import retrieval_table, term_table
from ssacl_lib.downstream.segmentation import FROZEN, TUNED, Segmenter, at_side, scored, stretched_positions
from ssacl_lib.downstream.segmentation_tables import segmentation_table
from ssacl_lib.evaluation import comparison_run
from ssacl_lib.model.build import build_model
from ssacl_lib.model.encoder import sine_cosine_positions
from ssacl_lib.phantom import draw_signs
from ssacl_lib.settings import load_settings
from ssacl_lib.text.tokenizer import train_tokenizer

FEW = {
    "data.train_studies": 24,
    "data.validation_studies": 8,
    "data.test_studies": 10,
    "evaluation.cnn_images": 32,
    "evaluation.bootstrap": 20,
}


@pytest.fixture
def settings(fake_phantom, tmp_path, monkeypatch):
    """Two encoders of one seed each; few films, few steps."""
    monkeypatch.setattr(comparison_run, "SEEDS", 1)
    monkeypatch.setattr(comparison_run, "OWN_SEEDS", 1)
    monkeypatch.setattr("ssacl_lib.downstream.encoders.METHOD_OF", {UNTRAINED: "untrained"})
    for name in ("render", "draw_signs"):
        monkeypatch.setattr(segmentation, name, getattr(phantom, name))
    monkeypatch.setattr(retrieval, "render", fake_render)
    for task in (segmentation, retrieval):
        monkeypatch.setattr(task, "body_maps", lambda settings: None)
    monkeypatch.setattr(segmentation, "IMAGES", {FROZEN: 48, TUNED: 48})
    return load_settings("smoke", **SMALL, **FEW, out_dir=str(tmp_path / "out"))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(load_settings("smoke", **SMALL), train_tokenizer(["There is edema.", "No edema."] * 4)).eval()


def discs(count, side=32, seed=0) -> MaskedFilms:
    """Noise with a bright box somewhere on half of the films: a mask that can be learnt, and not from its place."""
    generator = np.random.default_rng(seed)
    films, masks = generator.integers(0, 90, (count, side, side), np.uint8), np.zeros((count, 1, side, side), bool)
    for k in range(0, count, 2):
        masks[k, 0] = box(side, side, *generator.integers(0, side // 2, 2), side // 2, side // 2)
        films[k][masks[k, 0]] += 150
    return MaskedFilms([f"f{k}" for k in range(count)], films, masks, ("box",))


def mean_dice(rows, **where):
    for column, value in where.items():
        rows = rows[rows[column] == value]
    rows = rows[rows["there"] > 0]
    return (2 * rows["common"] / (rows["found"] + rows["there"])).mean()


# ---- segmentation
@pytest.mark.parametrize(("side", "way", "steps"), [(32, FROZEN, 300), (32, TUNED, 120), (64, TUNED, 60)])
def test_a_decoder_finds_boxes_that_their_place_does_not_tell(model, side, way, steps):
    train, validation, test = (discs(count, side, seed) for seed, count in enumerate((64, 24, 24)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    own = Segmenter.fitted(model, train, way, 0, images=steps * 24)
    rows = scored(own.probabilities, validation, test)
    dice = mean_dice(rows, threshold="validated", control=segmentation.OWN)
    assert dice > 0.62 > 0.52 > mean_dice(rows, control=segmentation.EXCHANGED), "the mask follows its film"
    assert own.entry == ("as trained" if side == 32 else "positions interpolated")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "a copy was trained"
    assert all(parameter.requires_grad for parameter in model.parameters()), "the next task may train it"
    told = rows[rows["mask"].notna()].iloc[0]
    mask = mask_of_runs(told["mask"], side, side)
    assert (
        mask.sum() == told["found"] and (mask & test.masks[test.names.index(told["study"]), 0]).sum() == told["common"]
    )


def test_tokens_that_are_kept_and_tokens_that_are_made_anew_teach_the_same(model, monkeypatch):
    films = discs(12)
    kept = Segmenter.fitted(model, films, FROZEN, 0, images=48).probabilities(films.films)
    monkeypatch.setattr(segmentation, "KEPT", 0)
    assert np.allclose(kept, Segmenter.fitted(model, films, FROZEN, 0, images=48).probabilities(films.films), atol=5e-3)


def test_how_an_encoder_takes_larger_films(model):
    own, entry = at_side(model, 32, False)
    assert own is model and entry == "as trained"
    large, entry = at_side(model, 64, False)
    assert entry == "positions interpolated" and large.encoder.positions.shape == (64, 16)
    assert model.encoder.positions.shape == (16, 16), "the model itself stays as it is"
    table = sine_cosine_positions(16, 6)
    assert torch.allclose(stretched_positions(table, 6), table, atol=1e-6)
    larger = stretched_positions(table, 12).reshape(12, 12, 16)
    assert torch.allclose(larger[0, :, 8:], larger[0, :1, 8:].expand(12, 8), atol=1e-5), "a row keeps the row's half"
    with pytest.raises(ValueError, match="15 patch tokens are no square grid"):
        MaskDecoder(16, 1)(torch.zeros(1, 15, 16), 32)


def test_a_model_from_outside_is_segmented_at_its_own_size_and_as_a_copy():
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vit = ViTModel(ViTConfig(**sizes, image_size=32, patch_size=8)).eval()
    own, before = (
        VisionModel(vit, ViTImageProcessor(size={"height": 32, "width": 32}), 32),
        vit.state_dict()["layernorm.weight"].clone(),
    )
    films = discs(8, 64)
    for way in (FROZEN, TUNED):
        segmenter = Segmenter.fitted(own, films, way, 0, images=24)
        assert segmenter.entry == "own size, masks enlarged" and segmenter.probabilities(films.films).shape == (
            8,
            1,
            64,
            64,
        )
        changed = not torch.equal(segmenter.model.model.state_dict()["layernorm.weight"], before)
        assert changed == (way == TUNED) and torch.equal(vit.state_dict()["layernorm.weight"], before)


def test_the_loss_is_cross_entropy_and_dice_of_the_batch():
    generator = torch.Generator().manual_seed(0)
    logits, masks = (
        torch.randn(3, 2, 5, 5, generator=generator),
        (torch.rand(3, 2, 5, 5, generator=generator) < 0.3).float(),
    )
    p, expected = logits.sigmoid(), 0.0
    for k in range(2):
        entropy = -(masks[:, k] * p[:, k].log() + (1 - masks[:, k]) * (1 - p[:, k]).log()).mean()
        dice = (2 * (p[:, k] * masks[:, k]).sum() + 1) / (p[:, k].sum() + masks[:, k].sum() + 1)
        expected += (entropy + 1 - dice) / 2
    assert mask_loss(logits, masks).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_threshold_is_chosen_on_validation_and_finding_nothing_does_not_win():
    films = discs(20)
    sure = np.where(films.masks, 0.62, 0.3).astype(np.float32)
    assert segmentation.best_threshold(sure[:, 0], films.masks[:, 0]) == 0.3
    assert segmentation.best_threshold(sure[:, 0], np.zeros_like(films.masks[:, 0])) == 0.5
    rows = scored(lambda part: np.full((len(part), 1, 32, 32), 0.4, np.float32), films, films)
    chosen = rows[(rows["threshold"] == "validated") & (rows["control"] == segmentation.OWN)]
    assert (chosen["at"] < 0.4).all() and (chosen["found"] == 32 * 32).all()


def test_training_films_are_half_with_a_finding_and_half_without():
    numbers = segmentation.half_with(0, "train", 400, 100)
    has = [any(sign.finding in segmentation.FINDINGS for sign in draw_signs(0, "train", k)) for k in numbers]
    assert sum(has) == 50 and len(numbers) == 100 and numbers == sorted(set(numbers))


# ---- retrieval
def pairs_of(each: int) -> PairedFilms:
    finding = np.repeat(FIVE, each)
    return PairedFilms(
        [f"f{k:03d}" for k in range(5 * each)], np.zeros((5 * each, 8, 8), np.uint8), ["x"] * 5 * each, finding
    )


def test_the_release_ranks_films_and_calls_it_image_to_text():
    pairs, generator = pairs_of(20), np.random.default_rng(0)
    usual, release = generator.random((2, 100, 100))
    rows = retrieval.retrieval_rows(usual, release, pairs).set_index(["convention", "direction", "control"])
    for (convention, direction), scores in {
        ("usual", "image to text"): usual, ("usual", "text to image"): usual.T, ("release", "image to text"): release.T,
    }.items():  # fmt: skip
        own = rows.loc[convention, direction, "own"]
        first = [np.argsort(-row)[:10] for row in scores]
        assert np.allclose(
            own["p_at_10"], [(pairs.finding[f] == c).mean() for f, c in zip(first, pairs.finding, strict=True)]
        )
        assert np.allclose(own["rank"], (scores > scores.diagonal()[:, None]).sum(1) + 1)
    assert rows.loc["usual", "image to text", "texts exchanged"]["p_at_10"].mean() == pytest.approx(0.2, abs=0.03)


def test_exchanged_texts_fall_to_chance_and_own_ones_do_not():
    pairs = pairs_of(20)
    scores = (pairs.finding[:, None] == pairs.finding) + 0.5 * np.random.default_rng(0).random((100, 100))
    rows = retrieval.retrieval_rows(scores, scores, pairs)
    means = rows.groupby("control")[["p_at_10", "rank"]].mean()
    assert means.loc["own", "p_at_10"] == 1
    assert means.loc["texts exchanged", "p_at_10"] == pytest.approx(0.2, abs=0.04)
    assert means.loc["texts exchanged", "rank"] == pytest.approx(50.5, abs=3)


def test_the_patients_of_the_phantoms_5x200_have_that_finding_alone():
    found = retrieval.patients_with_one(2, 3)
    assert list(found) == list(FIVE) and all(
        len(numbers) == 3 and min(numbers) >= retrieval.FIRST for numbers in found.values()
    )
    for finding, numbers in found.items():
        assert all({sign.finding for sign in draw_signs(2, "test", k)} == {finding} for k in numbers)


# ---- as tasks
def test_both_tasks_leave_rows_that_the_tables_count_right(settings):
    jobs = running.measure(settings, ["segmentation", "retrieval"])
    assert [job.title for job in jobs] == [
        "segmentation: untrained, seed 0", "retrieval: untrained, seed 0", "segmentation: supervised CNN, seed 0",
    ]  # fmt: skip
    frame = pd.read_parquet(jobs[0].path)
    assert set(frame["side"]) == {32, 64} and set(frame["way"]) == {"frozen", "fine-tuned", "mean mask"}
    assert set(frame.loc[(frame["side"] == 64) & (frame["way"] == FROZEN), "entry"]) == {"positions interpolated"}
    table = segmentation_table(settings).set_index(["method", "setting", "detail", "metric"]).sort_index()
    for detail in segmentation.FINDINGS:
        own = frame[(frame["finding"] == detail) & (frame["way"] == FROZEN) & (frame["side"] == 32)]
        own = own[(own["threshold"] == "0.5") & (own["control"] == segmentation.OWN)]
        assert len(own) == 20, "twice as many test patients as elsewhere"
        with_finding = own["there"] > 0
        dice = np.where(
            own["found"] + own["there"] > 0, 2 * own["common"] / (own["found"] + own["there"]).clip(lower=1), 1
        )
        row = table.loc[UNTRAINED, "frozen, 32 px, threshold 0.5", detail]
        assert row.loc["dice_with_empty", "value"] == pytest.approx(dice.mean(), abs=1e-6)
        nothing = table.loc["nothing found", "32 px", detail]
        assert nothing.loc["dice_with_empty", "value"] == pytest.approx(1 - with_finding.mean())
        if with_finding.any():
            assert row.loc["dice_without_empty", "value"] == pytest.approx(dice[with_finding].mean(), abs=1e-6)
            assert (
                nothing.loc["dice_without_empty", "value"] == 0
                and row.loc["dice_without_empty", "n"] == with_finding.sum()
            )
    assert {"mean mask", "nothing found", UNTRAINED, SUPERVISED} == set(table.index.get_level_values(0))
    assert table.loc[SUPERVISED]["annotated"].all() and not table.loc["mean mask"]["annotated"].any()
    told = retrieval_table(settings).set_index(["method", "setting", "detail", "metric"]).sort_index()
    assert told.loc["chance", "image to text", "all queries", "p_at_5"]["value"].item() == pytest.approx(0.2)
    exchanged = told.loc[UNTRAINED, "text to image, texts exchanged", "all queries", "rank"]
    assert exchanged["low"].item() - 2 < 25.5 < exchanged["high"].item() + 2
    assert "image to text, as the release ranks" in told.index.get_level_values(1)
    assert running.measure(settings, ["segmentation"]) == [jobs[0], jobs[2]]


def test_real_sets_in_their_published_shapes_run_through_the_tasks(settings, siim_folder, five_folder):  # noqa: F811
    for name, root, count in (("siim", siim_folder, 3), ("chexpert-5x200", five_folder, 10)):
        asked = settings.changed(dataset=name, data_root=str(root), out_dir=f"{settings.out_dir}/{name}")
        jobs = running.measure(asked, ["segmentation" if name == "siim" else "retrieval"])
        frame = pd.read_parquet(jobs[0].path)
        assert frame["study"].nunique() == count and json.loads(jobs[0].path.with_suffix(".json").read_text())["recipe"]
        assert len((segmentation_table if name == "siim" else retrieval_table)(asked))
    with pytest.raises(ValueError, match="siim needs data_root"):
        segmentation.masked_films(settings.changed(dataset="siim"), "test", 32)
    assert Encoder(UNTRAINED, 0, asked).recipe == Encoder(UNTRAINED, 0, settings).recipe


def test_variants_are_asked_where_they_are_trained_and_stand_in_a_table_of_their_own(settings, monkeypatch):
    names = {UNTRAINED: "untrained", SSACL: SSACL}
    monkeypatch.setattr("ssacl_lib.downstream.encoders.METHOD_OF", names)
    monkeypatch.setattr("ssacl_lib.downstream.encoders.SEEDS", 1)
    monkeypatch.setattr("ssacl_lib.downstream.encoders.VARIANTS", ("without L_ac", "without L_lm"))
    monkeypatch.setattr("ssacl_lib.downstream.tables.VARIANTS", ("without L_ac", "without L_lm"))
    running.measure(settings, ["retrieval"])
    assert not len(term_table(settings)), "no variant is trained, and none was trained for this"
    Encoder("without L_ac", 0, settings).model()
    jobs = running.measure(settings, ["retrieval"])
    assert [job.encoder.name for job in jobs] == [UNTRAINED, SSACL, "without L_ac"]
    assert "without L_ac" not in set(retrieval_table(settings)["method"])
    table = term_table(settings).set_index(["method", "setting", "metric"])["value"]
    for direction in (retrieval.TO_TEXT, retrieval.TO_IMAGE):
        own, other = (table[name, direction, "p_at_5"] for name in (SSACL, "without L_ac"))
        assert table["without L_ac", direction, "p_at_5_minus_ss_acl"] == pytest.approx(other - own)
    assert (SSACL, direction, "p_at_5_minus_ss_acl") not in table.index
    shutil.rmtree(jobs[-1].encoder.weights)
    assert len(term_table(settings)) == 6, "the results are enough"
