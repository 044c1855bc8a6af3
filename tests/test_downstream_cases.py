"""Cases of notebook 06 are chosen by rule: the best, median and worst mask, and the films that fit a text best."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import fake_render, fake_signs
from small import SMALL

from ssacl_lib.baselines.registry import SSACL
from ssacl_lib.datasets.chexpert_5x200 import PairedFilms
from ssacl_lib.datasets.masks import run_lengths
from ssacl_lib.downstream import cases
from ssacl_lib.downstream.segmentation import EXCHANGED, FROZEN, OWN
from ssacl_lib.model.build import build_model
from ssacl_lib.settings import load_settings
from ssacl_lib.text.tokenizer import train_tokenizer

FINDING = "Pleural Effusion"


def box(width: int) -> np.ndarray:
    """A mask on a film of 32, of which 32 pixels (8 rows, 4 columns) are right."""
    mask = np.zeros((32, 32), bool)
    mask[8:16, 6 : 6 + width] = True
    return mask


def frame(widths: dict[str, int], **more) -> pd.DataFrame:
    """Rows as segmentation.py writes them: a box of so many columns found, 4 of them right."""
    rows = []
    for study, width in widths.items():
        about = {
            "study": study,
            "finding": FINDING,
            "side": 32,
            "way": FROZEN,
            "threshold": "validated",
            "control": OWN,
            **more,
        }
        rows.append(
            {**about, "common": 8 * min(width, 4), "found": 8 * width, "there": 32, "mask": run_lengths(box(width))}
        )
    return pd.DataFrame(rows)


@pytest.fixture
def settings(monkeypatch):
    monkeypatch.setattr(cases, "render", fake_render)
    monkeypatch.setattr(cases, "body_maps", lambda settings: None)
    return load_settings("smoke", **SMALL)


def test_masks_that_fit_best_middling_and_worst_are_shown_with_the_truth_and_the_others(settings, monkeypatch):
    """Patients of the stand-in phantom who have the finding."""
    ill = [number for number in range(40) if fake_signs(2, "test", number)][:5]
    names = [f"test-{number:06d}" for number in ill]
    own = frame(dict(zip(names, (1, 4, 2, 8, 20), strict=True)))  # Dice .4, 1, .67, .67, .33
    healthy = frame({"test-000999": 3}).assign(there=0, common=0)
    noise = [healthy, frame(dict.fromkeys(names, 4), control=EXCHANGED), frame(dict.fromkeys(names, 4), way="fine-tuned"),
             frame(dict.fromkeys(names, 4), side=64), frame(dict.fromkeys(names, 4), threshold="0.5")]  # fmt: skip
    told = {SSACL: pd.concat([own, *noise]), "start": frame(dict.fromkeys(names[:3], 4))}
    entries = [SimpleNamespace(about={"method": name}, frames=(rows,)) for name, rows in told.items()]
    monkeypatch.setattr(cases, "asked", lambda *_: entries)
    found = cases.mask_cases(settings)
    assert [(case.rule, case.finding) for case in found] == [(rule, FINDING) for rule in cases.RULES]
    best, median, worst = found
    assert [case.found[SSACL][1] for case in found] == pytest.approx([1, 2 / 3, 2 * 32 / (160 + 32)])
    assert np.array_equal(worst.found[SSACL][0], box(20)) and np.array_equal(best.there, box(4))
    assert best.found["start"][1] == 1 and "start" not in worst.found
    drawn = fake_render(2, "test", [ill[3]], image_size=32, ranges=0.5).images[0]
    assert np.array_equal(median.image, drawn), "equals stand in the order of names"
    monkeypatch.setattr(cases, "asked", lambda *_: entries[1:])
    assert cases.mask_cases(settings) == []


def test_the_films_that_fit_a_text_best_come_first(settings, monkeypatch):
    torch.manual_seed(0)
    model = build_model(settings, train_tokenizer(["There is edema.", "No atelectasis."] * 4)).eval()
    generator = np.random.default_rng(0)
    films = generator.integers(0, 256, (9, 32, 32)).astype(np.uint8)
    shown = np.array(["Edema", "Atelectasis", "Edema"] * 3)
    monkeypatch.setattr(cases, "BATCH", 4)
    monkeypatch.setattr(
        cases, "paired_films", lambda _: PairedFilms([f"f{k}" for k in range(9)], films, ["x"] * 9, shown)
    )
    rows = cases.ranked_films(model, settings, first=3)
    assert [(row.text, row.finding) for row in rows] == [
        ("there is edema.", "Edema"),
        ("there is atelectasis.", "Atelectasis"),
    ]
    with torch.no_grad():
        for row in rows:
            text = model.text_embedding([row.text])[0].float()
            fits = [
                torch.cosine_similarity(model.image_embedding(model.pixels(film[None]))[0].float(), text, 0)
                for film in films
            ]
            order = np.argsort([-float(fit) for fit in fits])[:3]
            assert np.array_equal(row.films, films[order]) and list(row.findings) == shown[order].tolist()
