"""The 2 x 2 of the prompts and its controls: what stands in the prefix, and what the table makes of it."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ssacl_lib.anatomy import anatomies_for, leaf_mask
from ssacl_lib.evaluation import prompting, reports
from ssacl_lib.model.build import load_model
from ssacl_lib.model.precision import autocast
from ssacl_lib.model.reporting import generate, leaf_tokens
from ssacl_lib.observations import BLANK, OBSERVATIONS, POSITIVE

FINDINGS = [["Cardiomegaly"], ["Fracture"], [], ["Pneumothorax", "Edema"]]
FILMS = np.random.default_rng(0).integers(0, 256, (4, 96, 96), dtype=np.uint8)
STUDIES = [SimpleNamespace(image=film, patient_id=f"p{i}") for i, film in enumerate(FILMS)]
OTHER = np.array([1, 2, 3, 0])
OPENED = np.stack([leaf_mask(anatomies_for(names)) for names in FINDINGS])


@pytest.mark.parametrize(
    ("variant", "films", "leaf_films", "entities", "leaf_open"),
    [
        ("with prompts", FILMS, None, FINDINGS, OPENED),
        ("leaves only", FILMS, None, None, OPENED),
        ("entities only", FILMS, None, FINDINGS, 0 * OPENED),
        ("without prompts", FILMS, None, None, 0 * OPENED),
        ("leaves of another patient", FILMS, None, FINDINGS, OPENED[OTHER]),
        ("all leaves", FILMS, None, FINDINGS, OPENED | True),
        ("tokens of another patient", FILMS, FILMS[OTHER], FINDINGS, OPENED),
        ("patches of another patient", FILMS[OTHER], FILMS, FINDINGS, OPENED),
    ],
)
def test_each_variant_changes_what_it_says(variant, films, leaf_films, entities, leaf_open):
    prefix = prompting.prefix_of(variant, STUDIES, FINDINGS, OTHER)
    assert np.array_equal(prefix.films, films) and np.array_equal(prefix.leaf_open, leaf_open.astype(bool))
    assert prefix.entities == entities
    assert (prefix.leaf_films is None) if leaf_films is None else np.array_equal(prefix.leaf_films, leaf_films)


def test_another_patient_is_never_the_own_and_everybody_is_taken_once():
    patients = np.random.default_rng(1).choice(list("bcdefg"), 40)
    patients[:20] = "a"
    other = prompting.other_patients(patients, seed=0)
    assert sorted(other) == list(range(40)) and (patients[other] != patients).all()
    assert not np.array_equal(other, prompting.other_patients(patients, seed=1))
    assert prompting.other_patients(["a", "a", "b"], seed=0) is None
    assert len(prompting.other_patients([], seed=0)) == 0


def test_tokens_of_other_films_take_the_leaves_place_only(tiny_checkpoint):
    model = load_model(tiny_checkpoint, "cpu")
    pixels = model.processor.normalise(FILMS)
    with torch.no_grad(), autocast(model):
        own, others = leaf_tokens(model, pixels), leaf_tokens(model, pixels[OTHER])
    seen = {}
    model.language.generate = lambda tokens, *_, **__: seen.update(tokens=tokens) or torch.zeros(4, 1, dtype=torch.long)
    prompting.prefix_of("tokens of another patient", STUDIES, FINDINGS, OTHER).write(model, slice(0, 4))
    torch.testing.assert_close(seen["tokens"].queries, others.queries)
    torch.testing.assert_close((seen["tokens"].patches, seen["tokens"].cls), (own.patches, own.cls))
    prompting.prefix_of("patches of another patient", STUDIES, FINDINGS, OTHER).write(model, slice(0, 4))
    torch.testing.assert_close(seen["tokens"].queries, own.queries)
    torch.testing.assert_close(seen["tokens"].patches, others.patches)


def test_the_own_films_as_other_films_change_nothing(tiny_checkpoint):
    model = load_model(tiny_checkpoint, "cpu")
    pixels = model.processor.normalise(FILMS)
    again = generate(model, pixels, FINDINGS, leaf_open=OPENED, leaf_pixels=pixels)
    assert again == generate(model, pixels, FINDINGS)


def labelled(said: list[list[str]], variant: str) -> pd.DataFrame:
    """Rows of a system whose reports are read as the given findings; the reference is FINDINGS."""

    def codes(names):
        return np.where(np.isin(OBSERVATIONS, names), POSITIVE, BLANK).astype(np.int8)

    return pd.DataFrame(
        {
            "study": [f"s{i}" for i in range(len(said))],
            "method": "m",
            "variant": variant,
            "generated_labels": [codes(names) for names in said],
            "reference_labels": [codes(names) for names in FINDINGS[: len(said)]],
        }
    )


def test_a_control_is_told_apart_from_with_prompts_on_the_studies_that_both_have():
    whole, part = labelled(FINDINGS, "with prompts"), labelled([["Cardiomegaly"], []], "all leaves")
    (value, low, high), n = reports.f1_difference(part, whole, 100, 0)
    assert n == 2 and value == pytest.approx(2 / 3 - 1) and low <= value <= high
    assert reports.rivals_of("m", "all leaves")["with_prompts"] == ("m", "with prompts")
    assert reports.rivals_of("m", "leaves only")["without_prompts"] == ("m", "without prompts")
    assert set(reports.rivals_of("m", "with prompts")) == {
        "constant", "head_labels", "entities_only", "leaves_only", "without_prompts",
    }  # fmt: skip
    assert reports.rivals_of("constant report", "constant") == {}
