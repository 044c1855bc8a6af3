"""`ssacl finetune` on a folder of films: what it writes, what it refuses, and that a killed run goes on to the same table."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import write_dicom
from PIL import Image
from sklearn.metrics import roc_auc_score

from ssacl_lib.command import cli, finetune, finetune_masks
from ssacl_lib.datasets.mask_folder import load_mask_folder, patients_of
from ssacl_lib.downstream import fine_tuning, fit as fitting
from ssacl_lib.metrics.intervals import mean_auc


@pytest.fixture
def films(tmp_path, studies_folder, monkeypatch):
    """48 films of 24 patients; half of them have a bright corner, which the label names."""
    monkeypatch.setattr(fine_tuning, "IMAGES", dict.fromkeys((1.0, 10.0, 100.0), 256))
    root, generator, rows = tmp_path / "films", np.random.default_rng(0), []
    root.mkdir()
    for number in range(48):
        pixels = generator.integers(0, 100, (48, 48)).astype(np.uint8)
        corner = number % 4 < 2
        pixels[:16, :16] += 140 * corner
        Image.fromarray(pixels).save(root / f"{number:02d}.png")
        rows.append({"image": f"{number:02d}.png", "patient": f"p{number // 2}", "corner": int(corner), "none": 0})
    pd.DataFrame(rows).to_csv(root / "labels.csv", index=False)
    return root


def run(films, weights, out, *more):
    return cli.main(
        [
            "finetune",
            str(films),
            "--task",
            "labels.csv",
            "--weights",
            str(weights),
            "--device",
            "cpu",
            "--out",
            str(out),
            *more,
        ]
    )


def films_of(out, split):
    told = pd.read_csv(out / "predictions.csv")
    return told[told["split"] == split]


def test_a_folder_is_learnt_and_a_killed_run_goes_on_to_the_same(films, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(films, tiny_checkpoint, whole) == 0
    printed, table = capsys.readouterr().out, pd.read_csv(whole / "table.csv")
    for split in ("train", "validation", "test"):
        assert f"none: none of the {len(films_of(whole, split))} films of the split {split} have it" in printed
    assert "corner: all of the 4 films of the split validation have it: nothing is chosen by it" in printed
    assert printed.count("have it:") == 4
    assert "1 % of the labels: all of these 1 films have, or none has: corner; they can't teach it" in printed
    assert len(table) == 2 * 3 * 3 and set(table["label"]) == {"mean of labels", "corner", "none"}
    predicted = pd.read_csv(whole / "predictions.csv")
    test = predicted[predicted["split"] == "test"]
    truth = pd.read_csv(films / "labels.csv").set_index("image")["corner"]
    best = table[(table["way"] == "full") & (table["labels"] == "100 %") & (table["label"] == "corner")].iloc[0]
    assert best["auc"] == pytest.approx(roc_auc_score(truth[test["image"]], test["corner"])) and best["auc"] > 0.9
    assert best["low"] <= best["auc"] <= best["high"] and best["n"] == len(test)
    patients = pd.read_csv(films / "labels.csv").set_index("image")["patient"][test["image"]]
    own, _ = mean_auc(test[["corner"]].to_numpy(), truth[test["image"]].to_numpy(bool)[:, None], 1000, 0, patients)
    assert (best["low"], best["high"]) == pytest.approx(own[0][1:]), "patients are drawn, with all of their films"
    assert table.loc[table["label"] == "none", "auc"].isna().all(), "no film has this label"

    honest, steps = torch.optim.AdamW.step, []

    def dies(self, *arguments, **keywords):
        steps.append(1)
        if len(steps) == 30:
            raise KeyboardInterrupt
        return honest(self, *arguments, **keywords)

    monkeypatch.setattr(fitting, "SAVED", 0)
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", dies)
        assert run(films, tiny_checkpoint, cut) == 130
    done = len(steps)
    assert list(cut.glob("*_state.safetensors")) and run(films, tiny_checkpoint, cut) == 0
    assert done == 30 and not list(cut.glob("*_state.safetensors"))
    for name in ("table.csv", "predictions.csv", "head.safetensors", "encoder/model.safetensors"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name

    stamp = (cut / "full_100.npz").stat().st_mtime_ns
    assert run(films, cut / "encoder", tmp_path / "again") == 0, "what was learnt is a checkpoint"
    ask = ("report", str(films / "00.png"), "--out", str(tmp_path), "--weights")
    for weights in (tiny_checkpoint, cut / "encoder"):
        assert cli.main([*ask, str(weights)]) == 0
        assert ("fine-tuned on labels" in capsys.readouterr().err) == (weights != tiny_checkpoint)
    assert run(films, tiny_checkpoint, cut) == 0 and (cut / "full_100.npz").stat().st_mtime_ns == stamp
    assert run(films, tiny_checkpoint, cut, "--seed", "1") == 2 and "begun with another" in capsys.readouterr().err


def test_other_pictures_of_the_same_names_are_other_work(films, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fine_tuning, "IMAGES", dict.fromkeys((1.0, 10.0, 100.0), 8))
    honest, out = (films / "07.png").read_bytes(), tmp_path / "out"
    (films / "07.png").write_bytes(b"no picture")
    assert run(films, tiny_checkpoint, out) == 0 and "1 of" in capsys.readouterr().out
    [skipped] = pd.read_csv(out / "skipped.csv").to_dict("records")
    assert skipped["image"] == "07.png" and "07.png" in skipped["reason"]
    kept = (out / "table.csv").read_bytes()
    assert run(films, tiny_checkpoint, out) == 0 and (out / "table.csv").read_bytes() == kept
    (films / "07.png").write_bytes(honest)
    capsys.readouterr()
    assert run(films, tiny_checkpoint, out) == 2 and "begun with another set of films" in capsys.readouterr().err


def test_a_reader_that_opens_more_of_the_same_pictures_is_other_work(
    films, tiny_checkpoint, tmp_path, monkeypatch, capsys
):
    """Features are kept by place: of one film more, all that follow it would be another's."""
    monkeypatch.setattr(fine_tuning, "IMAGES", dict.fromkeys((1.0, 10.0, 100.0), 8))
    honest, out = finetune.readable, tmp_path / "out"
    monkeypatch.setattr(finetune, "readable", lambda images, truth, *rest: honest(images[1:], truth[1:], *rest))
    assert run(films, tiny_checkpoint, out) == 0
    kept = (out / "table.csv").read_bytes()
    monkeypatch.setattr(finetune, "readable", honest)
    capsys.readouterr()
    assert run(films, tiny_checkpoint, out) == 2
    assert (
        "begun with another set of readable films" in capsys.readouterr().err
        and (out / "table.csv").read_bytes() == kept
    )


def test_what_it_refuses_is_told_in_a_line(films, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    assert run(tmp_path / "nowhere", tiny_checkpoint, tmp_path / "out") == 2
    assert "no such folder of films" in capsys.readouterr().err
    table = pd.read_csv(films / "labels.csv").assign(corner="yes")
    table.to_csv(films / "labels.csv", index=False)
    assert run(films, tiny_checkpoint, tmp_path / "out") == 2
    assert "labels.csv: line 2: corner is 'yes', expected 0 or 1" in capsys.readouterr().err
    for wrong, message in (
        ({"corner": 1, "image": [f"./{name}" if name == "05.png" else name.replace("06", "05") for name in table["image"]]},
         "'./05.png' and '05.png' are one and the same film"),
        ({"corner": 1, "patient": "NA"}, "no film in the split"),
        ({"corner": 1, "patient": ["NA" if name < "04" else name for name in table["image"]]}, "4 films have the patient 'NA'"),
    ):  # fmt: skip
        table.assign(**wrong).to_csv(films / "labels.csv", index=False)
        assert run(films, tiny_checkpoint, tmp_path / "out") == 2 and message in capsys.readouterr().err
    table.assign(corner=1).to_csv(films / "labels.csv", index=False)
    assert run(films, tiny_checkpoint, tmp_path / "out") == 2 and not (tmp_path / "out").exists()
    assert "films of the split train apart" in capsys.readouterr().err
    split = ["test" if k > 43 else "validation" if k > 39 else "train" for k in range(48)]
    table.assign(split=split, corner=[int(k < 20 or name == "test") for k, name in enumerate(split)]).to_csv(
        films / "labels.csv", index=False
    )
    assert run(films, tiny_checkpoint, tmp_path / "out") == 2 and not (tmp_path / "out").exists()
    assert "no label tells the 4 films of the split test apart" in capsys.readouterr().err
    assert run(films, tmp_path / "nowhere", tmp_path / "out") == 2
    assert f"{tmp_path / 'nowhere'}: no such folder of weights" in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(films, tiny_checkpoint, tmp_path / "out", "--device", "cuda") == 2
    assert "there is no CUDA device; use --device cpu" in capsys.readouterr().err


def test_of_two_tables_of_one_name_it_says_which_is_read(films, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert finetune.table_file(films, Path("labels.csv")) == films / "labels.csv" and not capsys.readouterr().err
    Path("labels.csv").write_text("image,other\n")
    assert finetune.table_file(films, Path("labels.csv")) == Path("labels.csv")
    assert f"not from {films / 'labels.csv'}" in capsys.readouterr().err
    monkeypatch.chdir(films)
    assert finetune.table_file(films, Path("labels.csv")).samefile(films / "labels.csv")
    assert not capsys.readouterr().err


def test_a_mistake_that_is_mended_needs_no_other_folder(films, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fine_tuning, "IMAGES", dict.fromkeys((1.0, 10.0, 100.0), 8))
    (tmp_path / "empty").mkdir()
    assert run(films, tmp_path / "empty", tmp_path / "out") == 2 and not (tmp_path / "out" / "finetune.json").exists()
    assert run(films, tiny_checkpoint, tmp_path / "out") == 0


@pytest.fixture
def masked(tmp_path, monkeypatch):
    """40 films of 20 patients; half of them have a bright box, whose mask is a picture beside them."""
    monkeypatch.setattr(finetune_masks, "IMAGES", {"frozen": 1800, "fine-tuned": 1200})
    monkeypatch.setattr(finetune_masks, "MOST_VISITS", 200)
    root, generator, rows = tmp_path / "masked", np.random.default_rng(0), []
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for number in range(40):
        pixels = generator.integers(0, 90, (60, 60)).astype(np.uint8)
        if number % 4 < 2:
            top, left = generator.integers(0, 36, 2)
            pixels[top : top + 24, left : left + 24] += 150
            mask = np.zeros((60, 60), np.uint8)
            mask[top : top + 24, left : left + 24] = 255
            Image.fromarray(mask).save(root / "masks" / f"{number:02d}.png")
        Image.fromarray(pixels).save(root / "images" / f"{number:02d}.jpg", quality=95)
        rows.append({"image": f"{number:02d}.jpg", "patient": f"p{number // 2}"})
    pd.DataFrame(rows).to_csv(root / "films.csv", index=False)
    return root


def segment(folder, weights, out, *more):
    words = [
        "finetune",
        str(folder),
        "--task",
        "masks",
        "--weights",
        str(weights),
        "--device",
        "cpu",
        "--out",
        str(out),
    ]
    return cli.main([*words, *more])


def test_masks_are_learnt_and_a_killed_run_goes_on_to_the_same(masked, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    whole, cut = masked / "results" / "whole", tmp_path / "cut"
    assert segment(masked, tiny_checkpoint, whole) == 0 and "dice_without_empty" in capsys.readouterr().out
    table = pd.read_csv(whole / "table.csv").set_index(["way", "threshold", "metric"])
    best = table.loc["fine-tuned", "validated", "dice_without_empty"]
    predicted = pd.read_csv(whole / "predictions.csv")
    own = predicted[
        (predicted["way"] == "fine-tuned") & (predicted["threshold"] == "validated") & (predicted["there"] > 0)
    ]
    assert best["value"] == pytest.approx(own["dice"].mean()) and best["value"] > 0.6 and best["n"] == len(own)
    assert best["low"] <= best["value"] <= best["high"]

    honest, steps = torch.optim.AdamW.step, []

    def dies(self, *arguments, **keywords):
        steps.append(1)
        if len(steps) == 100:  # the decoder is done, the encoder is learning
            raise KeyboardInterrupt
        return honest(self, *arguments, **keywords)

    monkeypatch.setattr(fitting, "SAVED", 0)
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", dies)
        assert segment(masked, tiny_checkpoint, cut) == 130
    assert (cut / "frozen" / "segmenter.safetensors").is_file() and (
        cut / "fine-tuned" / "training.safetensors"
    ).is_file()
    assert segment(masked, tiny_checkpoint, cut) == 0 and not list(cut.rglob("training.safetensors"))
    for name in ("table.csv", "predictions.csv", "fine-tuned/segmenter.safetensors"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    assert segment(masked, tiny_checkpoint, cut, "--seed", "1") == 2 and "begun with another" in capsys.readouterr().err

    assert segment(masked, tiny_checkpoint, whole) == 0, "results below the folder are no films"
    Image.new("L", (60, 60), 255).save(masked / "masks" / "00.png")
    capsys.readouterr()
    assert segment(masked, tiny_checkpoint, whole) == 2 and "another set of films" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda root: (root / "masks" / "00.png").rename(root / "masks" / "lost.png"), "without a film lost in images/"),
        (lambda root: Image.new("L", (30, 60), 255).save(root / "masks" / "00.png"), "00.png: 30 x 60 pixels where its film"),
        (lambda root: (root / "masks" / "fluid").mkdir(), "holds both pictures (00.png) and folders (fluid/)"),
        (lambda root: (root / "images" / "03.jpg").rename(root / "images" / "x.jpg"), "films.csv: 03: no such film in images/"),
        (lambda root: (root / "masks").rename(root / "other"), "no folder masks/"),
    ],
)  # fmt: skip
def test_mistakes_of_a_folder_of_masks_are_told_in_a_line(masked, tiny_checkpoint, tmp_path, capsys, mistake, message):
    mistake(masked)
    assert segment(masked, tiny_checkpoint, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1


def test_patients_are_known_whatever_the_ending_in_the_table(masked):
    table = pd.read_csv(masked / "films.csv")
    table.assign(image=[Path(name).stem for name in table["image"]]).to_csv(masked / "films.csv", index=False)
    told = patients_of(masked)
    assert len(told) == 40 and told["00"] == told["01"] == "p0" and told["39"] == "p19"


def test_dicom_without_an_ending_is_a_film_and_what_is_passed_over_is_counted(masked, capsys):
    uids = {f"{number:02d}.jpg": f"1.2.840.{number}" for number in range(40)}
    for old, new in uids.items():
        pixels = np.asarray(Image.open(masked / "images" / old))
        write_dicom(masked / "images" / "film.dcm", pixels)
        (masked / "images" / "film.dcm").rename(masked / "images" / new)
        (masked / "images" / old).unlink()
        if (mask := masked / "masks" / f"{Path(old).stem}.png").is_file():
            mask.rename(masked / "masks" / f"{new}.png")
    table = pd.read_csv(masked / "films.csv")
    table.assign(image=table["image"].map(uids)).to_csv(masked / "films.csv", index=False)
    films = load_mask_folder(masked, 32, 0)
    assert sum(map(len, films.values())) == 40 and sum(own.present.sum() for own in films.values()) == 20
    assert patients_of(masked)["1.2.840.39"] == "p19" and "passed over" not in capsys.readouterr().out
    (masked / "images" / "notes.txt").write_text("nothing to read")
    (masked / "images" / "more").mkdir()
    load_mask_folder(masked, 32, 0)
    assert (
        "images: 2 entries are passed over; first: more (pictures are looked for in this very"
        in capsys.readouterr().out
    )


def test_masks_of_several_findings_lie_in_folders_of_their_names(masked):
    for name in ("air", "fluid"):
        (masked / name).mkdir()
        for mask in (masked / "masks").glob("*[02468].png" if name == "air" else "*.png"):
            shutil.copy(mask, masked / name / mask.name)
    shutil.rmtree(masked / "masks")
    (masked / "masks").mkdir()
    for name in ("air", "fluid"):
        (masked / name).rename(masked / "masks" / name)
    films = load_mask_folder(masked, 32, 0)
    assert {own.findings for own in films.values()} == {("air", "fluid")} and sum(map(len, films.values())) == 40
    assert sum(own.present.sum(0) for own in films.values()).tolist() == [10, 20]
    patients = {split: {int(name[:2]) // 2 for name in own.names} for split, own in films.items()}
    assert not patients["train"] & patients["test"] and not patients["validation"] & patients["test"]
