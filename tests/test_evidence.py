"""Evidence of sentences: one pass per mask is the plain decoder to the last digit, a closed patch is closed, chance is chance."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ssacl_lib.datasets.study import EvaluationStudy, Phrase
from ssacl_lib.evaluation import grounding, sentence_grounding
from ssacl_lib.inference import evidence
from ssacl_lib.inference.evidence import finding_phrase, study_evidence
from ssacl_lib.inference.sentences import (
    LEAVES_AND_CLS,
    Branch,
    chance_of,
    replaced,
    sentence_spans,
    text_likelihoods,
    tokens_of,
)
from ssacl_lib.model.build import load_model
from ssacl_lib.model.encoder import Tokens
from ssacl_lib.model.maps import phrase_maps_of_pixels, random_keeps
from ssacl_lib.model.masking import visible_patches
from ssacl_lib.model.prompts import entity_prompts, open_leaves
from ssacl_lib.model.reporting import Report, leaf_tokens
from ssacl_lib.notebook.grounding_words import sentence_message
from ssacl_lib.observations import FINDINGS
from ssacl_lib.settings import load_settings

REPORT = "FINDINGS: Small right pleural effusion. No pneumothorax. The heart is enlarged. The left lung is clear."
FOUND = ["Pleural Effusion", "Cardiomegaly"]


@pytest.fixture(scope="module")
def model(tiny_checkpoint):
    return load_model(tiny_checkpoint, "cpu")


@pytest.fixture(scope="module")
def pixels(model):
    film = np.random.default_rng(2).integers(0, 256, (1, model.config.image_size, model.config.image_size), np.uint8)
    return model.processor.normalise(film)


@pytest.fixture(scope="module")
def tokens(model, pixels):
    with torch.no_grad():
        return leaf_tokens(model, pixels)


def plainly(model, tokens, ids: list[int], visible: torch.Tensor) -> torch.Tensor:
    """Log-likelihood of each token by the decoder's own way, one mask [N] of the patches after the other."""
    language = model.language
    prompt, _ = entity_prompts(model.processor, [FOUND], 1)
    words = torch.cat([prompt, torch.tensor([ids])], dim=1)
    rows = []
    for row in visible:
        embedded, mask = language.embed(tokens, open_leaves([FOUND]), words, torch.ones_like(words))
        mask[0, LEAVES_AND_CLS : language.prefix_length] = row.long()
        hidden = language.run(embedded, mask, False, len(ids) + 1)[:, :-1]
        logits = language.gpt.lm_head(hidden)[0].log_softmax(-1)
        rows.append(logits.gather(1, torch.tensor(ids)[:, None])[:, 0])
    return torch.stack(rows)


def test_report_and_branches_in_one_pass_are_the_plain_decoder(model, tokens):
    spans = sentence_spans(REPORT)
    ids, _ = tokens_of(model.processor, REPORT, spans)
    other = replaced(model.processor, REPORT, spans[0], "Small left pleural effusion.")
    visible = (torch.rand(3, model.config.patches, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    visible[0] = 1
    branches = [other, Branch((ids[3], ids[9], ids[4]))]
    with torch.no_grad():
        told, exchanged = text_likelihoods(model, tokens, FOUND, ids, branches, visible)
        torch.testing.assert_close(told, plainly(model, tokens, ids, visible), atol=1e-5, rtol=1e-5)
        for branch, found in zip(branches, exchanged, strict=True):
            whole = plainly(model, tokens, [*ids[: branch.after], *branch.ids], visible)
            torch.testing.assert_close(found, whole[:, branch.after :], atol=1e-5, rtol=1e-5)


def test_a_closed_patch_says_nothing(model, tokens):
    ids = tokens_of(model.processor, REPORT, [])[0]
    visible = torch.ones(1, model.config.patches)
    visible[0, 5] = 0
    with torch.no_grad():
        before = text_likelihoods(model, tokens, FOUND, ids, [], visible)[0]
        for patch, changes in ((5, False), (6, True)):
            patches = tokens.patches.clone()
            patches[0, patch] += 3
            changed = Tokens(patches, tokens.cls, tokens.queries, tokens.attention)
            after = text_likelihoods(model, changed, FOUND, ids, [], visible)[0]
            assert torch.equal(before, after) != changes


def test_spans_are_sentences_and_tokens_are_theirs(model):
    spans = sentence_spans(REPORT)
    assert [REPORT[start:end] for start, end in spans][::3] == [
        "Small right pleural effusion.",
        "The left lung is clear.",
    ]
    assert len(sentence_spans("No change. No change.")) == 2  # the second one is no copy of the first
    ids, places = tokens_of(model.processor, REPORT, spans)
    assert [place.start for place in places[1:]] == [place.stop for place in places[:-1]]  # no token is lost or in two
    assert places[-1].stop == len(ids) and places[0].start == len(tokens_of(model.processor, "FINDINGS:", [])[0])
    long = "The heart is enlarged. " * 60
    assert (
        replaced(model.processor, long, sentence_spans(long)[-1], "No change.") is None
    )  # beyond the decoder's length
    with pytest.raises(ValueError, match="sees no patches"):
        text_likelihoods(SimpleNamespace(config=SimpleNamespace(prefix="prompts only"), language=None, processor=None),
                         None, [], [], [], None)  # fmt: skip


def test_chance_tells_a_planted_patch_from_noise():
    generator = torch.Generator().manual_seed(1)
    stand = SimpleNamespace(
        config=SimpleNamespace(patches=16, evidence={"mask_ratio": 0.5}), device=torch.device("cpu")
    )
    keeps = random_keeps(stand, 64, 0)
    noise = torch.randn(64, 200, generator=generator)
    planted = noise[:, :20] + 2 * visible_patches(keeps, 16)[:, [3]]
    assert (chance_of(planted, keeps, 16) <= 0.05).all()
    by_chance = float((chance_of(noise, keeps, 16) <= 0.05).float().mean())
    assert 0.01 < by_chance < 0.12  # five in a hundred


def a_report(text: str, found=FOUND) -> Report:
    return Report(text, dict.fromkeys(FINDINGS, 0.3), tuple(found), ("lungs", "mediastinum"))


def test_every_sentence_and_finding_has_what_it_rests_on(model, pixels, tokens):
    told = study_evidence(model, pixels, a_report(REPORT))
    effusion, denial, heart, clear = told.sentences
    assert [s.findings for s in told.sentences] == [("Pleural Effusion",), (), ("Cardiomegaly",), ()]
    by_name = {finding.name: finding for finding in told.findings}
    assert list(by_name) == list(FINDINGS) and [n for n, f in by_name.items() if f.masked] == [
        "Cardiomegaly",
        "Pleural Effusion",
    ]
    assert by_name["Pleural Effusion"].sentences == (0,) and by_name["Cardiomegaly"].sentences == (2,)
    # the phrase is asked for with the side that the report tells, its control with the other one
    pair = by_name["Pleural Effusion"].masked
    assert (pair.own.text, pair.other.text) == ("right pleural effusion", "left pleural effusion")
    maps = phrase_maps_of_pixels(model, pixels, [pair.own.text, pair.other.text]).numpy()[0]
    for heat, expected in zip((pair.own, pair.other), maps, strict=True):
        np.testing.assert_allclose(heat.heatmap, expected, atol=1e-3 * np.abs(expected).max())
    assert by_name["Cardiomegaly"].masked.other is None and heart.masked.likeness is None
    # only what states a finding has a control: "the right lung is clear" may be true as well
    assert effusion.written.other.text == "Small left pleural effusion." and clear.written.other is None
    assert denial.masked is None and effusion.masked is not None
    ids, places = tokens_of(model.processor, REPORT, sentence_spans(REPORT))
    ends = torch.stack([torch.ones(model.config.patches), torch.zeros(model.config.patches)])
    whole, none = plainly(model, tokens, ids, ends)[:, places[2]].sum(1).tolist()
    assert heart.likelihood == pytest.approx(whole, abs=1e-3) and heart.support == pytest.approx(whole - none, abs=1e-3)


def test_verdicts_follow_from_the_numbers(monkeypatch):
    flat, left = np.zeros((4, 4)), np.eye(4)
    heat = evidence.Heat("left effusion", left, 0.01)
    other = evidence.Heat("right effusion", left[:, ::-1], 0.2)
    assert evidence.Pair(heat, evidence.Heat("right effusion", 3 * left + 1, 0.2)).stays is True
    assert evidence.Pair(heat, other).stays is False and evidence.Pair(heat).stays is None
    assert evidence.Pair(evidence.Heat("", flat, 1.0), other).likeness == 0 and not evidence.Pair(other).shows
    sentence = evidence.SentenceEvidence("Left effusion.", (), (), -3.0, 1.0, written=evidence.Pair(heat))
    assert sentence.rests_on_film
    for changes in ({"support": 0.5}, {"written": None}, {"written": evidence.Pair(other)}, {"support": float("nan")}):
        assert not evidence.SentenceEvidence(**{**vars(sentence), **changes}).rests_on_film


@pytest.mark.parametrize(
    ("text", "found"), [("", []), ("Right effusion. Left effusion.", FOUND), ("Words without a full stop", [])]
)
def test_odd_reports(model, pixels, text, found):
    told = study_evidence(model, pixels, a_report(text, found))
    assert len(told.sentences) == len(sentence_spans(text))
    assert not any(sentence.written.other for sentence in told.sentences)  # the report says both sides


def test_a_decoder_without_patches_has_no_sentence_evidence(model, pixels, monkeypatch):
    monkeypatch.setattr(model.config, "prefix", "prompts only")
    told = study_evidence(model, pixels, a_report(REPORT))
    assert all(sentence.written is None and not sentence.rests_on_film for sentence in told.sentences)
    assert told.sentences[0].masked is not None


def test_a_finding_has_a_side_where_all_its_sentences_tell_the_same():
    assert finding_phrase("Pneumonia", ["Left pneumonia.", "Persistent LEFT basal pneumonia."]) == "left pneumonia"
    assert finding_phrase("Pneumonia", ["Left pneumonia.", "Right pneumonia."]) == "pneumonia"
    assert finding_phrase("Cardiomegaly", ["Cardiomegaly and right rib fracture."]) == "cardiomegaly"
    assert finding_phrase("Edema", []) == "edema"


# ---- sentence evidence in the table of phrases
SIDES = {"right pleural effusion": slice(1, 3), "left pleural effusion": slice(5, 7)}  # in eighths of the film


def studies_of(size: int) -> list[EvaluationStudy]:
    """Two films with an effusion on either side and two with a large heart, each brighter there."""
    found = []
    for number, phrase in enumerate([*SIDES, "enlarged heart", "enlarged heart"]):
        mask = np.zeros((size, size), bool)
        where = SIDES.get(phrase, slice(3, 5))
        mask[size // 2 : 3 * size // 4, where.start * size // 8 : where.stop * size // 8] = True
        finding = "Pleural Effusion" if phrase in SIDES else "Cardiomegaly"
        image = (np.random.default_rng(number).integers(0, 90, (size, size)) + 120 * mask).astype(np.uint8)
        truth = np.array([name == finding for name in FINDINGS])
        phrases = (Phrase(phrase, finding, mask, np.zeros((1, 4))),)
        labels = np.r_[0, truth].astype(np.int8)
        found.append(EvaluationStudy(f"s{number}", f"p{number}", image, phrase, labels, truth, phrases=phrases))
    return found


@pytest.fixture
def run(tmp_path, model):
    settings = load_settings(
        "smoke", out_dir=tmp_path, **{"evaluation.control_studies": 4, "data.image_size": model.config.image_size}
    )
    return SimpleNamespace(settings=settings, runs=settings.runs)


def test_a_decoder_that_reads_the_finding_points_at_it_and_its_controls_do_not(run, model, monkeypatch):
    """A stand-in for the decoder says a text more willingly the more of the bright patches of its own side are open."""
    studies = studies_of(model.config.image_size)
    grid, patch = model.config.grid, model.config.patch_size
    texts: dict[tuple, str] = {}

    def likelihoods(model, tokens, findings, report, branches, visible):
        bright = (tokens > 60).float()
        sides = torch.arange(grid).repeat(grid) < grid / 2
        values = []
        for branch in branches:
            text = texts[branch.ids]
            where = sides if "right" in text else ~sides if "left" in text else torch.ones_like(sides)
            values.append((visible @ (bright * where))[:, None])
        return torch.zeros(len(visible), 0), values

    def words(processor, text, spans):
        texts[(len(text), hash(text))] = text
        return [len(text), hash(text)], []

    monkeypatch.setattr(sentence_grounding, "text_likelihoods", likelihoods)
    monkeypatch.setattr(sentence_grounding, "tokens_of", words)
    monkeypatch.setattr(sentence_grounding, "leaf_tokens", lambda model, pixels: torch.nn.functional.avg_pool2d(
        (pixels * model.config.pixel_std + model.config.pixel_mean) * 255, patch)[0, 0].flatten())  # fmt: skip
    scores = sentence_grounding.evaluate_sentences(
        run, {"untrained": model, "start": model, "this run": model}, studies
    )
    assert list(scores.columns) == grounding.COLUMNS and set(scores["method"]) == {"this run"}
    own = scores[scores["control"] == "own"].set_index("study")
    assert (own["pointing"] == 1).all() and len(own) == 4 and all(len(row) == grid**2 for row in own["evidence"])
    side = scores[scores["control"] == "swapped side"]
    assert (
        len(side) == 2 and (side["pointing"] < 0.1).all() and (side["cnr"] < own["cnr"][side["study"]].to_numpy()).all()
    )
    assert (scores[scores["control"] == "shifted"]["pointing"] == 1).any()
    # beside masked evidence that points at every second one
    masked = scores.assign(map="masked", pointing=np.where(scores["study"].isin(["s0", "s2"]), scores["pointing"], 0.0))
    prior = sentence_grounding.cached(run.runs, "prior", {}, lambda: grounding.score_prior(
        grounding.collect_targets(studies, 0), studies, run.settings))  # fmt: skip
    whole = pd.concat([scores, masked, prior], ignore_index=True)
    table = sentence_grounding.table_with_sentences(whole, run.settings)
    about = {"map": "sentence", "control": "own", "finding": "overall", "method": "this run"}
    found = table[(table[list(about)] == pd.Series(about)).all(axis=1)].set_index("metric")
    assert (
        found.loc["pointing_minus_masked", ["value", "n"]].tolist() == [0.5, 4] and found.loc["pointing", "value"] == 1
    )
    assert not table.duplicated(["map", "control", "finding", "method", "metric"]).any()
    told = sentence_message(table, "this run")
    assert "1.00 [1.00, 1.00] of 4 phrases" in told and "minus its masked evidence +0.50" in told and "(n 2)" in told
    assert "not asked for" in sentence_message(
        grounding.phrase_table(whole[whole["map"] != "sentence"], run.settings), "this run"
    )


def test_a_phrase_is_scored_as_the_first_sentence_of_its_report(run, model, pixels):
    film = np.random.default_rng(2).integers(0, 256, (model.config.image_size,) * 2, np.uint8)
    texts = ["Small left effusion.", "Small right effusion."]
    settings = run.settings.changed(**{"inference.evidence_masks": model.config.evidence["masks"]})
    maps = sentence_grounding.sentence_maps(model, film, texts, FOUND, settings)
    pair = study_evidence(model, pixels, a_report(texts[0])).sentences[0].written
    for heatmap, heat in zip(maps, (pair.own, pair.other), strict=True):
        np.testing.assert_allclose(heatmap, heat.heatmap, atol=1e-4 * np.abs(heatmap).max())


def test_models_without_patches_and_data_without_phrases_have_no_rows(run, model, monkeypatch):
    bare = [EvaluationStudy(**{**vars(study), "phrases": ()}) for study in studies_of(model.config.image_size)]
    assert not len(sentence_grounding.evaluate_sentences(run, {"this run": model}, bare))
    monkeypatch.setattr(model.config, "prefix", "prompts only")
    rows = sentence_grounding.evaluate_sentences(run, {"this run": model}, studies_of(model.config.image_size))
    assert not len(rows) and list(rows.columns) == grounding.COLUMNS
