"""The controls of the anatomical losses fail where they should: for a model that reads films, and not for one that doesn't."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ssacl_lib.anatomy import default_graph
from ssacl_lib.datasets.registry import load_training
from ssacl_lib.evaluation import blind
from ssacl_lib.model.build import build_model
from ssacl_lib.notebook import blind_words
from ssacl_lib.settings import load_settings
from ssacl_lib.text.tokenizer import train_tokenizer

BATCH, PIXELS = 8, 12


def stub(reads: bool):
    """A model with made-up tokens: drawings and leaves that are the patient's own, or the same for everybody."""
    draw = torch.Generator().manual_seed(0)
    codes, names = (
        torch.randn(7, PIXELS, generator=draw),
        torch.nn.functional.normalize(torch.randn(25, 16, generator=draw), dim=-1),
    )
    own = 0.5 * torch.randn(BATCH, 7, PIXELS, generator=draw) if reads else torch.zeros(BATCH, 7, PIXELS)
    films = (
        torch.nn.functional.normalize(torch.randn(BATCH, 1, 16, generator=draw), dim=-1)
        if reads
        else torch.zeros(BATCH, 1, 16)
    )

    def look(model, batch, settings, blank=False):
        own_part, film = (0 * own, 0 * films) if blank else (own, films)
        noise = 0.01 * torch.randn(BATCH, 7, PIXELS, generator=torch.Generator().manual_seed(1))
        return blind.Seen(codes + own_part + noise, codes + own_part, names + film)

    model = SimpleNamespace(text=lambda ids, mask: torch.eye(BATCH, 16), temperature=torch.tensor(0.1))
    batch = SimpleNamespace(text_ids=None, text_mask=None)
    seen = look(None, None, None)
    mean = blind.Average(
        seen.restored.mean(0), seen.targets.mean(0), torch.nn.functional.normalize(seen.leaves, dim=-1).mean(0)
    )
    return look, model, batch, mean


def test_another_patient_is_never_another_film_of_the_same():
    assert blind.next_patients(["a", "b", "c"]) == [1, 2, 0]
    assert blind.next_patients(["a", "a", "b", "a"]) == [2, 2, 3, 2]
    assert blind.next_patients(["a", "a"]) == [1, 0], "there is no other"


@pytest.mark.parametrize("reads", [True, False])
def test_controls_tell_a_reader_of_films_from_a_blind_model(reads, monkeypatch, smoke):
    look, model, batch, mean = stub(reads)
    monkeypatch.setattr(blind, "look", look)
    frames = blind._controls(model, batch, smoke, mean, [str(number) for number in range(BATCH)])
    own = frames["own film"].mean()
    for control in ("another patient", "blank film", "constant"):
        times = frames[control]["anatomy_reconstruction"].mean() / own["anatomy_reconstruction"]
        assert times > 100 if reads else times < 1.5, control
    likeness = frames["own film"]["restored_like_target"].mean()
    assert likeness > 0.9 if reads else abs(likeness) < 0.3
    blank = frames["blank film"]["anatomical_consistency_minus_own"]
    assert (blank.abs() > 1e-3).all() if reads else blank.abs().max() < 1e-6
    assert frames["sides exchanged"]["anatomical_consistency_minus_own"].min() > 0, (
        "the tokens of this model name their side"
    )


def test_own_film_is_the_loss_as_it_is_trained(fake_phantom):
    settings = load_settings("smoke", **{"data.test_studies": 16, "data.validation_studies": 16, "data.image_size": 64,
                                         "model.patch_size": 8, "model.encoder_weights": None})  # fmt: skip
    reports = list(load_training(settings, "test").reports)
    model = build_model(settings, train_tokenizer(reports)).eval()
    table = blind.blind_losses({"untrained": model}, settings)
    own = table[table["control"] == "own film"].set_index("metric")
    (batch,) = blind.batches_of(model, settings, "test")
    with torch.no_grad():
        terms = model(batch, settings.training.mask_ratio, settings.training.mixing, tuple(blind.TERMS))
    for term in blind.TERMS:
        assert own.loc[term, "value"] == pytest.approx(float(terms[term]), rel=1e-4)
        assert own.loc[term, "n"] == len(batch.pixels)
    assert list(dict.fromkeys(table["control"])) == list(blind.CONTROLS)
    words = blind_words.blind_words(table).data
    assert words.count("**untrained**, $L_{a") == 2 and "constant" in words
    pictures = blind.parent_pictures(model, settings, patients=2)
    assert (
        list(pictures)[-1] == "constant" and all(p.shape == (7, 8, 8) for p in pictures.values()) and len(pictures) == 5
    )
    assert blind_words.parents_message(pictures).startswith("Parents differ")


def test_sides_are_exchanged_twice_to_where_they_were():
    leaves, turned = default_graph().leaves, blind.exchanged_sides()
    assert [turned[i] for i in turned] == list(range(25))
    assert leaves[turned[leaves.index("left clavicle")]] == "right clavicle" and turned[
        leaves.index("spine")
    ] == leaves.index("spine")


def test_parts_of_an_error():
    targets, same = torch.zeros(50, 7, 4), torch.zeros(50, 7, 4)
    same[:, 2] = 3.0
    found = blind.restoration_parts(same, targets)
    assert (found["common"], found["parent"], found["parent_share"]) == (1, default_graph().parents[2], 1)
    noise = torch.randn(50, 7, 4, generator=torch.Generator().manual_seed(0))
    assert blind.restoration_parts(noise, targets)["common"] < 0.1


def facts(another: float, blank: float, constant: float) -> pd.DataFrame:
    """A table blind_losses with losses as multiples of the own film's; differences are told apart unless 0."""
    rows = []
    for term in blind.TERMS:
        for control, times in (("own film", 1), ("another patient", another), ("blank film", blank), ("constant", constant),
                               ("sides exchanged", 4)):  # fmt: skip
            rows.append({"control": control, "metric": term, "value": times})
            rows.append({"control": control, "metric": f"{term}_minus_own", "value": times - 1})
    rows += [
        {"control": c, "metric": "restored_like_target", "value": v}
        for c, v in (("own film", 0.2), ("another patient", 0))
    ]
    frame = pd.DataFrame(rows).assign(method="shipped", n=9, seed=0)
    return frame.assign(low=frame["value"] - 0.01 * np.sign(frame["value"]) ** 2, high=frame["value"] + 0.01)


def test_words_follow_the_table():
    words = blind_words.blind_words(facts(1.09, 2.3, 0.15)).data
    assert "1.09 times that: the children say something of their patient" in words
    assert "6.7 times better than looking at the children" in words and "2.30 times: the film is read" in words
    words = blind_words.blind_words(facts(1.0, 1.0, 3.0)).data
    assert (
        "not shown that the children say anything of their patient" in words and "3.0 times worse than looking" in words
    )
    assert "not shown that the film is read" in words and "not shown that agreeing reports matter" in words
    assert "6.7 times better" in blind_words.blind_caption(facts(1.09, 2.3, 0.15))
    assert "worse than what shipped restores" in blind_words.blind_caption(facts(1.09, 2.3, 3))
