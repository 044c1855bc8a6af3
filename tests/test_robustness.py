"""Robustness: films get worse level by level and truth moves with them; numbers, margins and the level where a claim ends."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from small import SMALL

from ssacl_lib.baselines.nearest_report import nearest_reports
from ssacl_lib.baselines.registry import SSACL
from ssacl_lib.datasets.phantom import boxes_around
from ssacl_lib.datasets.registry import load_training
from ssacl_lib.datasets.study import EvaluationStudy, Phrase
from ssacl_lib.downstream import disturbances, encoders, robustness, robustness_tables as tables
from ssacl_lib.downstream.disturbances import AMOUNTS, POSE, UNDISTURBED, WORDING
from ssacl_lib.downstream.run import Job
from ssacl_lib.downstream.tables import Asked
from ssacl_lib.downstream.tasks import TASKS
from ssacl_lib.evaluation import comparison, comparison_run, comparison_scores
from ssacl_lib.observations import FINDINGS
from ssacl_lib.phantom import wording
from ssacl_lib.phantom.organs import FRAME, LAYERS, OrganMaps
from ssacl_lib.settings import load_settings
from ssacl_lib.training.words_atlas import WordsAtlas

SIDE = 48


def studies(count=6, phrases=True):
    """Studies with a bright square that a region and a phrase name."""
    found = []
    for number in range(count):
        generator = np.random.default_rng([number, 3])
        image = generator.integers(60, 120, (SIDE, SIDE)).astype(np.uint8)
        mask = np.zeros((SIDE, SIDE), bool)
        mask[16:28, 12:24] = True
        image[mask] = 220
        text = "small right pleural effusion" if number % 2 else "left basal opacity"
        named = (Phrase(text, "Pleural Effusion" if number % 2 else "Lung Opacity", mask, boxes_around(mask)),)
        found.append(
            EvaluationStudy(
                f"test-{number:06d}", f"p{number}", image, "Small right pleural effusion.", np.zeros(14, np.int8),
                np.zeros(13, bool), {"right lung": mask, "spine": ~mask}, named if phrases else (),
            )
        )  # fmt: skip
    return found


# ---- films
@pytest.mark.parametrize("family", [*disturbances.TIMES, *disturbances.AGAIN])
def test_each_level_disturbs_more_and_a_film_is_disturbed_alike_whatever_stands_beside_it(family):
    films = np.stack([study.image for study in studies(12)])
    before, told = films, []
    for amount in AMOUNTS[family]:
        after = disturbances.disturbed_films(family, amount, films)
        assert after.dtype == np.uint8 and after.shape == films.shape
        assert np.array_equal(disturbances.disturbed_films(family, amount, films[:3]), after[:3])
        told.append(np.abs(after.astype(float) - films).mean())
        if family in disturbances.AGAIN:
            same = before == after
            assert same.mean() > 0.4, "a level holds those below it"
        before = after
    assert told == sorted(told) and told[0] > 0 and told[-1] > 1.5 * told[0]


def test_an_unknown_family_is_named():
    with pytest.raises(ValueError, match="no family of disturbances 'fog'; there are pose, noise"):
        disturbances.disturbed_films("fog", 1, np.zeros((1, 8, 8), np.uint8))


def test_regions_and_phrases_move_with_the_film_and_what_left_it_is_not_asked():
    own = studies(20)
    for amount in AMOUNTS[POSE]:
        for before, after in zip(own, disturbances.disturbed_studies(POSE, amount, None, own), strict=True):
            bright = after.image > 170
            for phrase in after.phrases:
                assert (bright & phrase.mask).sum() > 0.85 * bright.sum(), "the mask lies where the square went"
                assert np.array_equal(phrase.mask, after.regions["right lung"])
                assert 2 * phrase.mask.sum() >= before.phrases[0].mask.sum()
                assert phrase.boxes.shape[1] == 4 and len(phrase.boxes) == 1
    corner = np.zeros((SIDE, SIDE), bool)
    corner[:4, :4] = True
    far = [replace(study, phrases=(replace(study.phrases[0], mask=corner),)) for study in own]
    left = disturbances.disturbed_studies(POSE, 2.5, None, far)
    assert 0 < sum(len(study.phrases) for study in left) < len(own)


# ---- other bodies
def organ_maps(size=80):
    """One anatomy whose first layer tells the place, with a region and a point."""
    down, across = np.mgrid[:size, :size] / size
    layers = np.zeros((9, len(LAYERS), size, size), np.float32)
    layers[:, 0], layers[:, 1] = down, across
    regions = np.zeros((9, 32, size, size), bool)
    regions[:, 3, 20:40, 20:30] = True
    centre = np.array([[FRAME * 25 / size - FRAME / 2, FRAME * 30 / size]])
    return OrganMaps(layers, regions, {"middle": np.repeat(centre[None], 9, 0), "unknown": np.full((9, 1, 2), np.nan)})


@pytest.mark.parametrize("wide,bend", [(1.3, 0.08), (1 / 1.3, -0.08), (1.0, 0.0)])
def test_organs_are_stretched_with_their_regions_and_landmarks(wide, bend):
    before, after = organ_maps(), None
    after = disturbances.stretched(before, wide, bend)
    rows, columns = np.nonzero(after.regions[4, 3])
    u, v = after.points["middle"][4, 0]
    centre = (columns.mean() + 0.5) / 80 * FRAME - FRAME / 2, (rows.mean() + 0.5) / 80 * FRAME
    assert (u, v) == pytest.approx(centre, abs=4), "a landmark stays in the middle of its region"
    assert np.isnan(after.points["unknown"]).all()
    assert np.ptp(columns) + 1 == pytest.approx(10 * wide, abs=1)
    assert np.sign(v - FRAME * 30 / 80) == np.sign(bend) or bend == 0
    assert after.layers[4, 0, 0].max() < 0.02 and after.layers[4, 0, -1].min() > 0.97, "top and bottom stay"
    if (wide, bend) == (1, 0):
        assert np.allclose(after.layers, before.layers, atol=1e-5) and np.array_equal(after.regions, before.regions)


# ---- words
def test_held_out_wording_uses_words_of_no_report_and_ends_far_from_the_phrase():
    known = set(re.findall(r"[a-z]+", (wording.Path(wording.__file__).with_name("wording.yaml")).read_text().lower()))
    little = {"heart", "up", "way", "on", "this", "of", "at", "it", "what", "is"}
    for group in disturbances.WORDS:
        for said, instead in group:
            new = set(instead.split()) - little
            assert not new & known, f"{new & known} stand in the phantom's reports"
            assert not re.search(rf"\b({said})\b", instead)
    phrase = "small right pleural effusion"
    levels = [disturbances.reworded(phrase, level) for level in range(6)]
    assert (
        levels[0] == phrase and levels[1] == "modest right pleural effusion" and levels[4] == "modest right hydrothorax"
    )
    assert levels[5].endswith(levels[4]) and len(levels[5]) > 2 * len(levels[4])
    assert disturbances.reworded("consolidation in the right lower lobe", 4) == "solid tissue in the right bottom"
    assert disturbances.reworded("cardiomegaly", 3) == "cardiomegaly"


# ---- what is measured
FEW = {"data.train_studies": 24, "data.validation_studies": 8, "data.test_studies": 10, "inference.evidence_masks": 4}


@pytest.fixture
def few_levels():
    """One level of four families: one of each kind. Afterwards all, in their order, in which figures draw them."""
    before = dict(AMOUNTS)
    for family, amounts in before.items():
        AMOUNTS[family] = amounts[2:3]
    for family in ("exposure", "devices", "marks", "noise"):
        del AMOUNTS[family]
    yield
    AMOUNTS.clear()
    AMOUNTS.update(before)


@pytest.fixture
def settings(fake_phantom, few_levels, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison_run, "SEEDS", 1)
    monkeypatch.setattr(comparison_run, "OWN_SEEDS", 1)
    monkeypatch.setattr(fake_phantom, "organ_maps", lambda *_, **__: [organ_maps()])
    monkeypatch.setattr(robustness, "MASKS", 4)
    monkeypatch.setattr(robustness, "WRITERS", ("R2Gen-like",))
    places = torch.rand(32, 48, 48), torch.ones(32, dtype=torch.bool), torch.ones(32)
    atlas = WordsAtlas(*places)  # of so few reports there is no real one
    for module in (robustness, comparison_scores):  # the atlas as it lies, and under a head that looks
        monkeypatch.setattr(module, "atlas_of", lambda run: atlas)
    robustness.patients_of.cache_clear()
    disturbances.other_bodies.cache_clear()
    return load_settings("smoke", **SMALL, **FEW, out_dir=str(tmp_path / "out"))


def test_every_part_is_asked_under_every_condition_and_tables_follow(settings):
    jobs = [
        Job("robustness", TASKS["robustness"], encoders.Encoder(name, 0, settings), settings)
        for name in (encoders.UNTRAINED, encoders.START, SSACL, encoders.SUPERVISED)
    ]
    frames = {}
    for job in jobs:
        comparison.write_parquet(job.path, job.task.measure(job.encoder, settings))
        frames[job.encoder.name] = pd.read_parquet(job.path)
    own = frames[SSACL]
    assert list(own) == robustness.COLUMNS and set(own["part"]) == {"findings", "phrases", "leaves", "reports"}
    for part, of_part in own.groupby("part"):
        told = of_part[["family", "level"]].drop_duplicates()
        assert len(told) == len(AMOUNTS) + (part == "phrases"), part
    assert set(frames[encoders.SUPERVISED]["part"]) == {"findings"}
    rivals = frames[encoders.START].groupby("by")["part"].unique().map(list).to_dict()
    assert rivals.pop("") == ["findings", "phrases"]
    told = {"centre prior": "phrases", "chance": "leaves", "words atlas": "leaves", "R2Gen-like": "reports"}
    told |= dict.fromkeys(("constant report", "nearest training report"), "reports")
    assert rivals == {name: [part] for name, part in told.items()}
    answers = tables.answers_of([Asked((job,), (frames[job.encoder.name],)) for job in jobs], settings)
    table = tables.robustness_table(answers)
    assert np.isfinite(table["value"]).all() and (table["low"] <= table["high"]).all()
    constant = table[(table["method"] == "constant report") & (table["metric"] == "micro_f1_13")]
    assert constant["value"].nunique() == 1, "it sees no film"
    claims = tables.claims_table(answers)
    assert set(claims["claim"]) == set(tables.CLAIMS)
    assert claims.groupby("claim")["family"].nunique().to_dict() == {
        name: 4 if numbers[0][0] == "phrases" else 3 for name, (_, numbers) in tables.CLAIMS.items()
    }
    assert set(tables.standing(claims)["stands"]) <= {tables.ABOVE, tables.TIED, tables.BELOW}
    start, train = jobs[1].encoder.model(), load_training(settings, "train")
    films = np.stack([study.image for study in robustness.patients_of(settings)])
    assert robustness.Nearest(start, train)(films) == nearest_reports(start, train, films)
    assert not len(robustness.measure(encoders.Encoder("x", 0, settings, path="x"), settings))


# ---- numbers by hand
def made_rows(by="", shift=0.0, seed=0, levels=5) -> pd.DataFrame:
    """Rows of 40 studies: AUC falls with the level of noise; pointing falls by `shift`."""
    generator, rows = np.random.default_rng(seed), []
    present = np.random.default_rng(1).random((40, 13)) < 0.4
    for level in range(levels + 1):
        family = "noise" if level else UNDISTURBED
        for study in range(40):
            about = {"by": by, "family": family, "level": level, "study": f"s{study:02d}"}
            odds = (100 * (present[study] * (3 - level) + generator.normal(size=13))).astype(np.int16)
            counts = np.array([min(3, max(0, 4 - level)), 4, 4, *range(8, 4, -1), *range(10, 6, -1), 12, 12], np.int16)
            rows += [
                {**about, "part": "findings", "detail": "mean of findings", "log_odds": odds, "present": present[study]},
                {**about, "part": "phrases", "detail": "masked map", "pointing": float(study % 10 >= 2 + shift * level),
                 "cnr": 1.0 - 0.1 * level - shift},
                {**about, "part": "reports", "detail": "reports", "counts": counts, "rouge_l": 0.4, "cider": 0.2},
            ]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=robustness.COLUMNS)


def entry(name, settings, *frames) -> Asked:
    jobs = tuple(
        Job("robustness", TASKS["robustness"], encoders.Encoder(name, seed, settings), settings)
        for seed in range(len(frames))
    )
    return Asked(jobs, frames)


def test_numbers_are_those_of_scikit_learn_and_by_hand():
    settings = load_settings("smoke")
    frame = made_rows()
    answers = tables.answers_of([entry(SSACL, settings, frame, made_rows(seed=1))], settings)
    table = tables.robustness_table(answers).set_index(["family", "level", "detail", "metric"])
    assert (table["runs"] == 2).all() and table["n"].unique().tolist() == [40]
    one = tables.robustness_table(tables.answers_of([entry(SSACL, settings, frame)], settings))
    one = one.set_index(["family", "level", "detail", "metric"])["value"]
    rows = frame[(frame["part"] == "findings") & (frame["level"] == 2)]
    odds, present = np.stack(list(rows["log_odds"])), np.stack(list(rows["present"]))
    by_hand = np.mean([roc_auc_score(present[:, k], odds[:, k]) for k in range(len(FINDINGS))])
    assert one["noise", 2, "mean of findings", "auc"] == pytest.approx(by_hand)
    assert one["noise", 2, "masked map", "pointing"] == pytest.approx(0.8)
    assert one["noise", 3, "reports", "micro_f1_13"] == pytest.approx(2 * 1 / 8)
    assert one["undisturbed", 0, "reports", "rouge_l"] == pytest.approx(0.4)
    assert one["undisturbed", 0, "reports", "bleu4"] == pytest.approx((8 / 10 * 7 / 9 * 6 / 8 * 5 / 7) ** 0.25)


def test_a_claim_holds_where_its_interval_is_above_zero_and_the_best_rival_needs_no_annotation():
    settings = load_settings("smoke")
    ours = made_rows(shift=0.0)
    falling = ours.copy()
    lost = (falling["part"] == "phrases") & (falling["level"] >= 3)
    falling.loc[lost, "pointing"], falling.loc[lost, "cnr"] = 0.2, 0.3
    prior, weaker = made_rows("centre prior"), made_rows(shift=0.3)
    prior.loc[prior["part"] == "phrases", ["pointing", "cnr"]] = 0.4, 0.5
    start = pd.concat([weaker, prior], ignore_index=True)
    random = made_rows()[lambda rows: rows["part"] == "findings"]
    random["log_odds"] = random["log_odds"].map(lambda odds: -odds)
    told = [
        entry(encoders.UNTRAINED, settings, random),
        entry(SSACL, settings, falling),
        entry(encoders.START, settings, start),
        entry(encoders.PLUS, settings, made_rows(shift=-1.0)),
        entry(encoders.SUPERVISED, settings, made_rows(shift=-2.0)),
    ]
    claims = tables.claims_table(tables.answers_of(told, settings))
    at = claims.set_index(["claim", "family", "level"])
    assert at.loc[("phrases are found", "noise", 0), "margin"] == pytest.approx(0.4)
    assert at.loc[("phrases are found", "noise", 3), "margin"] == pytest.approx(-0.2)
    assert at.loc[("grounding, masked map", "noise", 0), "margin"] == pytest.approx(1 / 0.7 - 1), (
        "relative, over the start"
    )
    assert at.loc[("grounding, masked map", "noise", 3), "rival"] == "centre prior", "the best rival of this level"
    assert set(at["rival"]) <= {"start", "centre prior", "untrained"}
    stands = tables.standing(claims).set_index(["claim", "family", "level"])["stands"].sort_index()
    for claim in ("phrases are found", "grounding, masked map", "findings are seen"):
        levels = stands.loc[claim, "noise"].to_dict()
        assert levels[0] == tables.ABOVE and all(levels[level] != tables.ABOVE for level in levels if level >= 3), claim
    assert ("phrases are found", WORDING, 0) not in stands.index, "not measured"
    made = pd.DataFrame({"low": [0.1, -0.1, -0.3, 0.0], "high": [0.3, 0.1, -0.1, 0.2]})
    assert tables.standing(made)["stands"].tolist() == [tables.ABOVE, tables.TIED, tables.BELOW, tables.TIED]
    assert "stands" in tables.standing(claims[:0]) and not len(tables.standing(claims[:0]))
