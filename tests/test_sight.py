"""Decoders trained on behind a frozen encoder: what is closed stays closed, what is swapped arrives, what is paired is paired."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small import SMALL, View

from ssacl_lib import paths
from ssacl_lib.evaluation import sight
from ssacl_lib.model import look
from ssacl_lib.model.build import build_model
from ssacl_lib.settings import load_settings
from ssacl_lib.text.tokenizer import train_tokenizer
from ssacl_lib.training.sight import PROMPTS, SightDecoder, empty_text, pooled, reports_by, train_decoder


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
    head.atlas[:] = 0.1
    head.atlas[:, 10:20, 10:20] = 1
    torch.nn.init.zeros_(head.pose.weight)
    torch.nn.init.zeros_(head.pose.bias)
    found.add_look(head)
    return found.eval().requires_grad_(False)


def pixels_for(model, count: int = 3, seed: int = 0) -> torch.Tensor:
    size = model.config.image_size
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(seed))


def first_logits(model, decoder, tokens) -> torch.Tensor:
    begin, told = empty_text(model, len(tokens.cls))
    opened = torch.ones(len(begin), 25, dtype=torch.bool)
    with torch.no_grad():
        return decoder.language.continuation_logits(tokens, opened, begin, told, begin[:, :0])[:, 0]


def test_closed_patches_tell_nothing_and_open_ones_do(model):
    tokens = SightDecoder(model, "faithful", True).tokens(model, pixels_for(model))
    other = replace(tokens, patches=torch.randn_like(tokens.patches), cls=torch.randn_like(tokens.cls))
    for closed, same in ((True, True), (False, False)):
        decoder = SightDecoder(model, "faithful", closed).eval()
        assert torch.equal(first_logits(model, decoder, tokens), first_logits(model, decoder, other)) == same
        moved = replace(tokens, queries=tokens.queries.flip(0))
        assert not torch.equal(first_logits(model, decoder, tokens), first_logits(model, decoder, moved)), (
            "leaves are always open"
        )


def test_looking_adds_the_mean_of_the_patches_that_the_map_shows(model):
    pixels = pixels_for(model)
    faithful, looking = SightDecoder(model, "faithful", False), SightDecoder(model, "looking", False)
    tokens, seen = faithful.tokens(model, pixels), looking.tokens(model, pixels)
    grid = model.config.grid
    weights = torch.nn.functional.adaptive_avg_pool2d(model.look.atlas[:1], grid).flatten()
    wanted = (weights / weights.sum()) @ tokens.patches.float()
    assert torch.allclose(pooled(model, tokens.patches)[:, 3], wanted, atol=1e-4)
    assert torch.allclose(seen.queries - tokens.queries, wanted[:, None].expand_as(tokens.queries), atol=2e-2)
    everywhere = SightDecoder(model, "everywhere", False).tokens(model, pixels).queries - tokens.queries
    assert torch.allclose(everywhere[:, 7], tokens.patches.float().mean(1), atol=2e-2)
    model_without = build_model(load_settings("smoke", **SMALL), model.processor.text_tokenizer)
    with pytest.raises(ValueError, match="`ssacl plus` adds one"):
        SightDecoder(model_without, "looking", False)


def test_training_moves_the_decoder_and_leaves_the_model_alone(model, settings):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    size = model.config.image_size
    films = np.random.default_rng(0).integers(0, 255, (16, size, size), np.uint8)
    studies = View(["Effusion at the left base.", "No effusion."] * 8, films)
    decoder = train_decoder(model, settings, studies, "looking", True, images=64, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not torch.equal(decoder.language.to_width.weight, model.language.to_width.weight)
    assert not torch.equal(decoder.values.weight, torch.eye(model.config.width))
    pixels, others = pixels_for(model), pixels_for(model, seed=1)
    assert reports_by(decoder, model, pixels, others) == reports_by(decoder, model, others), (
        "patches closed: tokens decide"
    )


def test_differences_are_paired_by_study(tmp_path, monkeypatch):
    settings = load_settings("smoke")
    monkeypatch.setattr(paths, "DATA", tmp_path)
    generator = np.random.default_rng(0)
    true = (generator.random((60, 14)) < 0.3).astype(np.int8)
    frames = []
    for prefix in sight.PREFIXES:
        for prompts in PROMPTS:
            for tokens in sight.TOKENS:
                said = true.copy()
                if tokens != "own":
                    said[:, 1:] = np.roll(true, 1, 0)[:, 1:]
                said[:, 1 : {"faithful": 7, "everywhere": 3, "looking": 1}[prompts]] = 0
                codes = {"generated_labels": list(said), "reference_labels": list(true)}
                about = {"prefix": prefix, "prompts": prompts, "tokens": tokens, "patients": 1, "made_from": "x"}
                frames.append(pd.DataFrame({"study": range(60), **codes}).assign(**about))
    path = sight.sight_file()
    path.parent.mkdir(parents=True)
    pd.concat(frames).to_parquet(path)
    table = sight.sight_table(settings).set_index(["prefix", "prompts", "tokens", "metric"])["value"]
    own, foreign = (table["patches open", "looking", kind, "micro_f1_13"] for kind in sight.TOKENS)
    assert own == 1 and foreign < 0.5
    assert table["patches open", "looking", "another patient's", "micro_f1_13_minus_own"] == pytest.approx(
        foreign - own
    )
    everywhere = table["patches open", "everywhere", "own", "micro_f1_13"]
    gain = table["patches open", "looking", "own", "micro_f1_13_minus_everywhere"]
    assert own > everywhere and gain == pytest.approx(own - everywhere)
    faithful = table["patches closed", "faithful", "own", "micro_f1_13"]
    assert table["patches closed", "looking", "own", "micro_f1_13_minus_faithful"] == pytest.approx(1 - faithful)


def test_the_committed_rows_are_those_of_todays_code(monkeypatch):
    """Every row is found, so nothing is trained; where code or shipped weights have changed, `ssacl sight` renews them."""

    def never(*_):
        raise AssertionError("data/results/sight.parquet is old: `ssacl sight` makes it anew")

    monkeypatch.setattr(sight, "train_decoder", never)
    for name in ("load_training", "load_evaluation"):
        monkeypatch.setattr(sight, name, lambda *_: None)
    assert sight.measure_sight(load_settings("cpu")) == sight.sight_file()
