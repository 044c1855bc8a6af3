"""One leaf at a time: probes that must find what is there and nothing else, decoders that see what is open and nothing else."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small import SMALL, View

from ssacl_lib import paths
from ssacl_lib.anatomy import default_graph, leaves_of
from ssacl_lib.evaluation import one_leaf, probe
from ssacl_lib.model import look
from ssacl_lib.model.build import build_model
from ssacl_lib.phantom import Sign, draw_signs
from ssacl_lib.plots import leaves as draw
from ssacl_lib.settings import load_settings
from ssacl_lib.text.tokenizer import train_tokenizer
from ssacl_lib.training.one_leaf import EARLY, LeafDecoder, drawn_leaves, kept_decoder, look_shares, train_by_chance
from ssacl_lib.training.sight import pooled

LEAVES = default_graph().leaves


@pytest.fixture(scope="module")
def settings():
    return load_settings("smoke", **{**SMALL, "model.stem": "patch", "training.batch_size": 8})


@pytest.fixture(scope="module")
def model(settings):
    torch.manual_seed(0)
    found = build_model(
        settings, train_tokenizer(["Effusion at the left base.", "No effusion. The heart is large."] * 4)
    )
    head = look.LookHead(found.config)
    head.atlas[:, :24, :24] = 1  # the upper left patches alone, on every film
    torch.nn.init.zeros_(head.pose.weight)
    torch.nn.init.zeros_(head.pose.bias)
    found.add_look(head)
    return found.eval().requires_grad_(False)


def pixels_for(model, count: int = 3, seed: int = 0) -> torch.Tensor:
    size = model.config.image_size
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(seed))


# ---- probes
def test_probes_find_what_is_planted_and_nothing_under_shuffled_truth():
    generator = np.random.default_rng(0)
    truth = generator.random((900, 3)) < 0.3
    tokens = generator.normal(size=(900, 3, 12))
    tokens[:, :, 5] += 2 * truth  # leaf k's token tells of leaf k
    cut = [slice(0, 400), slice(400, 500), slice(500, 900)]
    counts = np.ones((1, 400))
    for told, low, high in ((truth, 0.85, 1.0), (truth[generator.permutation(900)], 0.43, 0.57)):
        train, tuned, asked = ((tokens[part], told[part]) for part in cut)
        own, neighbour = probe.answers(train, tuned, [asked[0], np.roll(asked[0], 1, axis=0)])
        assert low < probe.leaf_areas(own, asked[1], counts).mean() < high
        assert 0.43 < probe.leaf_areas(neighbour, asked[1], counts).mean() < 0.57, "another film's token tells nothing"


def test_a_leaf_is_affected_by_what_lies_in_it_or_covers_it():
    regions = np.zeros((8, 10, 10), bool)
    for row in range(8):
        regions[row, row] = True  # ten pixels each
    extents = np.zeros((4, 10, 10), bool)
    extents[0, 0, :3] = True  # inside of leaf 0
    extents[1, 1:6, :2] = True  # a fifth of leaves 1 to 5: neither in one of them nor over one
    extents[2, 6:8, :3] = True  # half in leaf 6, half in leaf 7
    extents[3, 2] = True  # all of leaf 2, but no focal opacity
    signs = [Sign("Consolidation"), Sign("Pneumonia"), Sign("Lung Lesion"), Sign("Lung Opacity", kind="diffuse")]
    assert probe.affected_leaves(signs, extents, regions).tolist() == [True, *[False] * 5, True, True]
    assert not probe.affected_leaves([], extents[:0], regions).any()


def test_other_leaves_are_other_leaves():
    for leaf in probe.ASKED:
        assert probe.mirror_of(leaf) in probe.ASKED and probe.mirror_of(probe.mirror_of(leaf)) == leaf
        assert probe.another_leaf(leaf) in leaves_of("lungs")
        assert probe.another_leaf(leaf) not in (leaf, probe.mirror_of(leaf))


def test_differences_of_probes_are_paired_and_keep_their_sign():
    generator = np.random.default_rng(1)
    truth = generator.random((300, 8)) < 0.3
    frame = pd.DataFrame({"study": np.repeat(np.arange(300), 8), "leaf": np.tile(probe.ASKED, 300)})
    frame = frame.assign(affected=truth.ravel(), patients=1)
    for source in probe.SOURCES:
        strength = {probe.OWN: 2.0, probe.FOREIGN: 0.0}.get(source, 1.0)
        frame[source] = (strength * truth + generator.normal(size=truth.shape)).ravel()
    table = probe.areas_told(frame, 200).set_index(["leaf", "source", "metric"])
    own, mirror = (table.loc[probe.MEAN, source, "auc"]["value"] for source in (probe.OWN, probe.MIRROR))
    row = table.loc[probe.MEAN, probe.OWN, f"auc minus {probe.MIRROR}"]
    assert row["value"] == pytest.approx(own - mirror) and row["low"] > 0
    chance = table.loc[probe.MEAN, probe.FOREIGN, "auc"]
    assert chance["low"] < 0.5 < chance["high"]
    assert set(table.index.get_level_values("leaf")) == {probe.MEAN, *probe.ASKED}
    assert draw.probe(table.reset_index()).axes


# ---- decoders
def test_an_early_look_tells_of_its_own_place_alone(model):
    """What lies outside of the map changes a looking token, for the patches have heard of it, and no early look."""
    pixels = pixels_for(model)
    changed = pixels.clone()
    changed[..., -8:, -8:] = 3
    for prompts, same in ((EARLY, True), ("looking", False), ("faithful", False)):
        decoder = LeafDecoder(model, prompts)
        before, after = (decoder.tokens(model, films).queries.float() for films in (pixels, changed))
        assert torch.equal(before, after) == same, prompts
    inside = pixels.clone()
    inside[..., :8, :8] = 3
    early = LeafDecoder(model, EARLY)
    assert not torch.equal(early.tokens(model, inside).queries, early.tokens(model, pixels).queries)


def test_shares_are_those_of_looking_prompts(model):
    with torch.no_grad():
        patches = model.encoder(pixels_for(model)).patches
        assert torch.allclose(look_shares(model, patches) @ patches.float(), pooled(model, patches), atol=1e-6)


def test_any_number_of_leaves_is_open_in_training():
    opened = torch.cat([drawn_leaves(0, step, 8) for step in range(250)])
    number = opened.sum(1).bincount(minlength=26) / len(opened)
    assert number.min() > 0.02 and number.max() < 0.06, "from none to all, each as often: 1 / 26"
    assert torch.equal(drawn_leaves(0, 7, 8), drawn_leaves(0, 7, 8))
    assert not torch.equal(drawn_leaves(0, 7, 8), drawn_leaves(0, 8, 8))


def test_training_moves_the_decoder_and_leaves_the_model_alone(model, settings):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    size = model.config.image_size
    films = np.random.default_rng(0).integers(0, 255, (16, size, size), np.uint8)
    studies = View(["Effusion at the left base.", "No effusion."] * 8, films)
    decoder = train_by_chance(model, settings, studies, EARLY, images=32, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not torch.equal(decoder.language.to_width.weight, model.language.to_width.weight)
    assert not torch.equal(decoder.values.weight, torch.eye(model.config.width))


def test_a_decoder_is_trained_once_and_read_back(model, settings, tmp_path, monkeypatch):
    made = []

    def train(*_):
        made.append(LeafDecoder(model, "faithful"))
        torch.nn.init.normal_(made[-1].language.to_width.weight)
        return made[-1]

    monkeypatch.setattr("ssacl_lib.training.one_leaf.train_by_chance", train)
    for weights, count in (("a", 1), ("a", 1), ("b", 2)):
        found = kept_decoder(tmp_path / "x", model, weights, settings, None, "faithful", "by chance")
        assert len(made) == count
        state = made[-1].state_dict()
        assert all(torch.equal(value, state[name]) for name, value in found.state_dict().items())


def test_closed_leaves_tell_nothing(model):
    """Behind closed patches the report depends on the open leaf's token alone."""
    size = model.config.image_size
    films = np.random.default_rng(0).integers(0, 255, (4, size, size), np.uint8)
    decoder = LeafDecoder(model, "faithful").eval()
    for weight in decoder.language.parameters():  # a decoder that hears every change of what it sees
        torch.nn.init.normal_(weight, std=0.5)
    tokens = decoder.tokens(model, pixels_for(model, 4))
    decoder.tokens = lambda *_: tokens
    opened = np.zeros((4, 25), bool)
    opened[:, 3] = True
    alone = one_leaf.reports_behind(decoder, model, films, [opened])[0]
    queries = tokens.queries.clone()
    queries[:, 4:] = torch.randn_like(queries[:, 4:]) * 9
    decoder.tokens = lambda *_: replace(tokens, queries=queries, patches=tokens.patches + 5)
    assert one_leaf.reports_behind(decoder, model, films, [opened])[0] == alone
    assert one_leaf.reports_behind(decoder, model, films, [np.ones_like(opened)])[0] != alone


def test_who_is_asked_and_which_leaf_is_open():
    asked = one_leaf.patients_asked(1, 300)
    assert len(asked) > 40
    for patient in asked:
        focal = [sign for sign in draw_signs(1, "test", patient.number) if sign.finding in probe.FOCAL]
        assert [(sign.finding, sign.regions[0]) for sign in focal] == [(patient.finding, patient.leaf)]
        assert not any(sign.finding in probe.FOCAL for sign in draw_signs(1, "test", patient.other))
    opened = {condition: one_leaf.leaves_opened(condition, asked, 1) for condition in one_leaf.CONDITIONS}
    for condition in (one_leaf.OWN, one_leaf.MIRROR, one_leaf.OUTSIDE, one_leaf.FOREIGN):
        assert (opened[condition].sum(1) == 1).all()
    names = {condition: [LEAVES[row.argmax()] for row in rows] for condition, rows in opened.items()}
    assert names[one_leaf.OWN] == names[one_leaf.FOREIGN] == [patient.leaf for patient in asked]
    assert names[one_leaf.MIRROR] == [probe.mirror_of(patient.leaf) for patient in asked]
    assert not set(names[one_leaf.OUTSIDE]) & set(leaves_of("lungs"))
    assert opened[one_leaf.ALL].all() and not opened[one_leaf.NONE].any()


def test_what_a_report_says_of_a_patient():
    patient = one_leaf.Asked(0, "Lung Lesion", "left upper lung zone", 1)
    texts = {
        "There is a nodule in the left upper lobe.": [True, True, True, True, False],
        "There is a nodule in the right upper lobe.": [True, True, False, False, True],
        "There is pneumonia in the left lower lobe.": [False, True, True, False, False],
        "No nodule. The heart is enlarged.": [False] * 5,
    }
    said = one_leaf.what_is_said(list(texts), [patient] * 4)
    assert list(said.columns) == list(one_leaf.SAID)
    assert said.to_numpy().tolist() == list(texts.values())


def test_shares_behind_a_leaf_are_paired_by_patient():
    generator = np.random.default_rng(0)
    frames = []
    for learnt, prompts in one_leaf.DECODERS[:3]:
        own = generator.random((80, 5)) < 0.6
        for condition in one_leaf.CONDITIONS:
            if condition == one_leaf.NONE and (learnt, prompts) != one_leaf.SHIPPED:
                continue
            said = own & (generator.random((80, 5)) < (1 if condition == one_leaf.OWN else 0.5))
            frame = pd.DataFrame(said, columns=list(one_leaf.SAID)).sample(frac=1, random_state=len(frames))
            about = {"learnt": learnt, "prompts": prompts, "opened": condition, "patients": 1}
            frames.append(frame.assign(study=frame.index, **about))
    table = one_leaf.shares_told(pd.concat(frames), 200).set_index([*one_leaf.ABOUT, "metric"])
    key = one_leaf.DECODERS[1]
    own, mirror = (table.loc[(*key, opened, "named"), "value"] for opened in (one_leaf.OWN, one_leaf.MIRROR))
    row = table.loc[(*key, one_leaf.MIRROR, "named_own_minus_this")]
    assert row["value"] == pytest.approx(own - mirror) and row["low"] > 0 and row["n"] == 80
    # paired: nobody is named behind the mirror leaf alone, so the interval is narrower than that of two groups of patients
    assert row["high"] - row["low"] < 0.27
    assert draw.one_leaf(table.reset_index()).axes


# ---- the committed files
def never(*_):
    raise AssertionError("data/results is old: `ssacl probe` and `ssacl one-leaf` make it anew")


def test_the_committed_answers_of_probes_are_those_of_todays_code(monkeypatch):
    """Where code or shipped weights have changed, `ssacl probe` renews them."""
    monkeypatch.setattr(probe, "what_tokens_hold", never)
    settings = load_settings("cpu")
    assert probe.measure_probe(settings) == paths.DATA / "results" / "probe.parquet"
    assert len(probe.probe_table(settings))


def test_the_committed_words_behind_one_leaf_are_those_of_todays_code(monkeypatch):
    """Where code or shipped weights have changed, `ssacl one-leaf` renews them."""
    for name in ("patients_asked", "load_training", "kept_decoder"):
        monkeypatch.setattr(one_leaf, name, never)
    settings = load_settings("cpu")
    assert one_leaf.measure_one_leaf(settings) == paths.DATA / "results" / "one_leaf.parquet"
    table = one_leaf.one_leaf_table(settings)
    assert list(dict.fromkeys(zip(table["learnt"], table["prompts"], strict=True))) == list(one_leaf.DECODERS)
