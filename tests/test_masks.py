"""Masks and pairs from files in published shapes; how masks agree, and how one kind of thing ranks another."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from public_sets import box, write_five, write_siim

from ssacl_lib.datasets import siim
from ssacl_lib.datasets.chexpert_5x200 import FILE, FIVE, load_5x200
from ssacl_lib.datasets.masks import mask_of_runs, on_film, read_masked, run_lengths, square_mask
from ssacl_lib.film import Film, turned
from ssacl_lib.metrics.overlap import dice_of_all, dice_per_film, overlaps
from ssacl_lib.metrics.retrieval import chance, ranking_scores


# ---- masks
def test_run_lengths_are_those_of_the_contest_and_come_back():
    mask = box(4, 5, 1, 2, 2, 2)  # columns 2 and 3, rows 1 and 2: pixels 9, 10, 13, 14 down the columns
    assert run_lengths(mask) == "9 2 2 2" and run_lengths(np.zeros((4, 5), bool)) == "-1"
    for seed in range(20):
        noise = np.random.default_rng(seed).random((7, 11)) < 0.1 * (seed % 10)
        assert (mask_of_runs(run_lengths(noise), 7, 11) == noise).all()
    for text, message in (("3 x", "no run lengths"), ("1 2 3", "no run lengths"), ("70 8", "end at pixel 78")):
        with pytest.raises(ValueError, match=f"row 5: .*{message}"):
            mask_of_runs(text, 7, 11, "row 5")


@pytest.mark.parametrize("turn", [(False, True, False), (True, False, False), (True, True, True)])
def test_a_mask_turns_with_its_film_and_is_stretched_with_it(turn):
    mask = np.random.default_rng(0).random((12, 20)) < 0.4
    pixels, matrix = turned(np.uint8(200) * mask, *turn)
    assert (on_film(mask, Film(pixels, (), matrix)) == (pixels > 0)).all()
    twice = np.kron(mask, np.ones((2, 2), bool))  # drawn at another size, as SIIM's run lengths of a smaller picture
    assert (on_film(twice, Film(pixels, (), matrix)) == (pixels > 0)).all()


def test_a_small_finding_does_not_vanish_in_a_small_square():
    square = square_mask(box(600, 800, 301, 501, 1, 1), 32)
    assert square.sum() == 1 and square[4 + 12, 20], "24 rows of film between margins of 4"
    whole = square_mask(np.ones((600, 800), bool), 32)
    assert whole[4:28].all() and not whole[:4].any() and not whole[28:].any()
    assert square_mask(box(64, 64, 0, 0, 32, 64), 32)[:16].all() and not square_mask(np.zeros((9, 9), bool), 32).any()


# ---- SIIM
SIDE = 64


@pytest.fixture
def siim_folder(tmp_path, studies_folder, monkeypatch):
    monkeypatch.setattr(siim, "SIDE", SIDE)
    return write_siim(tmp_path / "siim", SIDE)


def test_siim_reads_lists_without_overlap_and_masks_from_table_or_pictures(siim_folder):
    lists = siim.read_lists(siim_folder)
    assert {split: len(names) for split, names in lists.items()} == {"train": 6, "validation": 3, "test": 3, "tenth": 2}
    assert not set(lists["test"]) & set(lists["validation"]) | set(lists["train"]) & set(lists["validation"])
    read = siim.load_siim(siim_folder, "test", 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(siim, "read_masked", None)  # what was read is kept
        films = siim.load_siim(siim_folder, "test", 32)
    assert (films.masks == read.masks).all() and films.findings == read.findings == ("Pneumothorax",)
    assert films.names == ["f9", "f10", "f11"] and films.present.ravel().tolist() == [True, False, True]
    assert (films.masks[0, 0] == (box(32, 32, 4, 4, 8, 8) | box(32, 32, 20, 4, 8, 4))).all(), (
        "both rows, at half the size"
    )
    (siim_folder / "masks").mkdir()
    for k in (9, 11):
        both = box(SIDE, SIDE, 8, 8, 16, 7 + k) | box(SIDE, SIDE, 40, 8, 16, 8)
        Image.fromarray(np.uint8(255) * both).save(siim_folder / "masks" / f"f{k}.png")
    (siim_folder / "siim.csv").unlink()
    again = siim.load_siim(siim_folder, "test", 32)
    assert (again.masks == films.masks).all() and (again.films == films.films).all()


def test_mistakes_of_a_siim_folder_are_named(siim_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder; data_root should hold train_list.txt"):
        siim.load_siim(tmp_path / "nowhere", "test", 32)
    with pytest.raises(ValueError, match="no split 'half'; there are train, validation, test, tenth"):
        siim.load_siim(siim_folder, "half", 32)
    (siim_folder / "dicom" / "f10.dcm").write_bytes(b"")
    films = siim.load_siim(siim_folder, "test", 32)
    assert films.names == ["f9", "f11"] and "f10: " in films.skipped[0] and "empty file" in films.skipped[0]
    table = pd.read_csv(siim_folder / "siim.csv", skipinitialspace=True)
    table[table["ImageId"] != "f11"].to_csv(siim_folder / "siim.csv", index=False)
    with pytest.raises(ValueError, match="f11 is listed but has no row in siim.csv"):
        siim.load_siim(siim_folder, "test", 32)
    table.loc[table["ImageId"] == "f11", "EncodedPixels"] = "5 9999"
    table.to_csv(siim_folder / "siim.csv", index=False)
    with pytest.raises(ValueError, match="siim.csv: line .*: runs end at pixel 10004, but the film has 64 x 64"):
        siim.load_siim(siim_folder, "test", 32)
    (siim_folder / "test_list.txt").unlink()
    with pytest.raises(FileNotFoundError, match="test_list.txt: no such list"):
        siim.read_lists(siim_folder)


def test_two_pictures_of_a_name_are_refused_for_one_could_be_the_mask_of_the_other(siim_folder):
    other = siim_folder / "png_masks"
    other.mkdir()
    Image.new("L", (64, 64)).save(other / "elsewhere.png")
    assert len(siim.load_siim(siim_folder, "test", 32).names) == 3
    Image.new("L", (64, 64)).save(other / "f9.png")
    with pytest.raises(ValueError, match=r"dicom/f9\.dcm and png_masks/f9\.png have the same name"):
        siim.load_siim(siim_folder, "test", 32)


def test_a_folder_of_masks_without_a_png_is_refused(siim_folder):
    (siim_folder / "siim.csv").unlink()
    (siim_folder / "masks").mkdir()
    Image.new("L", (64, 64), 255).save(siim_folder / "masks" / "f9.jpg")
    with pytest.raises(ValueError, match=r"masks: no NAME\.png in it, so no film would have a pneumothorax"):
        siim.load_siim(siim_folder, "test", 32)


def test_a_mask_of_another_size_than_its_film_is_refused(tmp_path):
    for name, shape in (("film", (40, 60)), ("mask", (40, 50))):
        Image.fromarray(np.full(shape, 200, np.uint8)).save(tmp_path / f"{name}.png")
    with pytest.raises(ValueError, match="mask.png: 50 x 40 pixels where its film film.png has 60 x 40"):
        read_masked([("film", tmp_path / "film.png", [tmp_path / "mask.png"])], ["fluid"], 32)


def test_a_mask_of_class_numbers_is_refused_and_not_read_as_nothing(tmp_path):
    Image.fromarray(np.full((40, 60), 200, np.uint8)).save(tmp_path / "film.png")
    for name, value in (("empty", 0), ("classes", 1)):
        Image.fromarray(np.full((40, 60), value, np.uint8)).save(tmp_path / f"{name}.png")
    empty = read_masked([("film", tmp_path / "film.png", [tmp_path / "empty.png"])], ["fluid"], 32)
    assert not empty.masks.any()
    with pytest.raises(ValueError, match="classes.png: its brightest pixel is 1 of 255; save what is inside as white"):
        read_masked([("film", tmp_path / "film.png", [tmp_path / "classes.png"])], ["fluid"], 32)
    Image.fromarray(np.repeat(np.arange(4, dtype=np.uint16), 600).reshape(40, 60)).save(tmp_path / "instances.png")
    with pytest.raises(
        ValueError, match=r"instances\.png: numbers of 3 classes or instances; save what is inside as white"
    ):
        read_masked([("film", tmp_path / "film.png", [tmp_path / "instances.png"])], ["fluid"], 32)
    Image.fromarray(np.repeat(np.array([0, 65535], np.uint16), 1200).reshape(40, 60)).save(tmp_path / "deep.png")
    assert read_masked([("film", tmp_path / "film.png", [tmp_path / "deep.png"])], ["fluid"], 32).masks.any()


# ---- CheXpert 5x200
@pytest.fixture
def five_folder(tmp_path):
    return write_five(tmp_path / "chexpert")


def test_5x200_gives_films_captions_and_the_one_finding(five_folder):
    pairs = load_5x200(five_folder, 32)
    assert pairs.films.shape == (10, 32, 32) and pairs.finding.tolist() == [*FIVE, *FIVE]
    assert pairs.captions[3] == "There is Atelectasis, case 3."
    next((five_folder / "CheXpert-v1.0-small").rglob("*.jpg")).write_bytes(b"no picture")
    left = load_5x200(five_folder, 32)
    assert len(left) == 9 and "view1_frontal.jpg" in left.skipped[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [1.0, 1.0] + [0.0] * 12}, "object 0: labels should be 14 numbers, exactly one of them 1"),
        ({"caption": " "}, "object 0: the caption is blank"),
        ({"image": 7}, "object 0: 'image' is missing or no str"),
    ],
)
def test_mistakes_of_a_5x200_file_are_named(five_folder, change, message):
    objects = json.loads((five_folder / FILE).read_text(encoding="utf-8"))
    (five_folder / FILE).write_text(json.dumps([{**objects[0], **change}]), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_5x200(five_folder, 32)


# ---- metrics
def test_dice_with_and_without_empty_masks():
    there = np.stack([box(8, 8, 0, 0, 4, 4), *np.zeros((3, 8, 8), bool)])
    found = np.stack([box(8, 8, 0, 2, 4, 4), np.zeros((8, 8), bool), box(8, 8, 0, 0, 1, 1), np.zeros((8, 8), bool)])
    counts = overlaps(found, there)
    assert dice_per_film(counts).tolist() == [0.5, 1, 0, 1]
    assert np.nanmean(dice_per_film(counts, "left out")) == 0.5
    assert dice_of_all(counts) == pytest.approx(16 / 33)
    nothing = overlaps(np.zeros_like(there), there)
    assert dice_per_film(nothing).mean() == 0.75, "who finds nothing scores the share of empty films"
    assert dice_of_all(nothing) == 0
    with pytest.raises(ValueError, match="'counted' or 'left out'"):
        dice_per_film(counts, "skipped")


def naive_ranking(scores, classes, draws=4000):
    """Orders drawn at random among equals: P@5, R@5 and rank of the first query."""
    generator, found = np.random.default_rng(1), []
    for _ in range(draws):
        order = sorted(range(len(scores)), key=lambda j: (-scores[0, j], generator.random()))
        found.append([np.mean(classes[order[:5]] == classes[0]), 0 in order[:5], 1 + order.index(0)])
    return np.mean(found, axis=0)


def test_ranking_is_that_of_a_random_order_of_equals():
    generator = np.random.default_rng(0)
    classes = generator.integers(0, 3, 12)
    scores = generator.integers(0, 4, (12, 12)).astype(float)  # many equals
    found = ranking_scores(scores, classes, classes)
    drawn = naive_ranking(scores, classes)
    assert np.allclose([found["p_at_5"][0], found["r_at_5"][0]], drawn[:2], atol=0.03)
    assert found["rank"][0] == pytest.approx(drawn[2], abs=0.15) and np.isnan(found["p_at_100"]).all()
    best = ranking_scores((classes[:, None] == classes) + 10.0 * np.eye(12), classes, classes)
    assert (best["r_at_1"] == 1).all() and (best["rank"] == 1).all()
    assert np.allclose(best["p_at_5"], np.minimum(np.bincount(classes)[classes], 5) / 5)
    flat = ranking_scores(np.zeros((12, 12)), classes, classes)
    assert {name: values.mean() for name, values in flat.items() if name in chance(classes)} == pytest.approx(
        chance(classes)
    )
    with pytest.raises(ValueError, match="NaN"):
        ranking_scores(np.full((2, 2), np.nan), classes[:2], classes[:2])
