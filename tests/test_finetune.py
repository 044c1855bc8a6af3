"""`ssacl finetune` on a folder of films: what it writes, what it refuses, and that a killed run goes on to the same table."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from ssacl_lib.command import cli
from ssacl_lib.downstream import fine_tuning, fit as fitting


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


def test_a_folder_is_learnt_and_a_killed_run_goes_on_to_the_same(films, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(films, tiny_checkpoint, whole) == 0 and "corner" in capsys.readouterr().out
    table = pd.read_csv(whole / "table.csv")
    assert len(table) == 2 * 3 * 3 and set(table["label"]) == {"mean of labels", "corner", "none"}
    predicted = pd.read_csv(whole / "predictions.csv")
    test = predicted[predicted["split"] == "test"]
    truth = pd.read_csv(films / "labels.csv").set_index("image")["corner"]
    best = table[(table["way"] == "full") & (table["labels"] == "100 %") & (table["label"] == "corner")].iloc[0]
    assert best["auc"] == pytest.approx(roc_auc_score(truth[test["image"]], test["corner"])) and best["auc"] > 0.9
    assert best["low"] <= best["auc"] <= best["high"] and best["n"] == len(test)
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
    assert run(films, tiny_checkpoint, cut) == 0 and (cut / "full_100.npz").stat().st_mtime_ns == stamp
    assert run(films, tiny_checkpoint, cut, "--seed", "1") == 2 and "begun with another" in capsys.readouterr().err


def test_what_it_refuses_is_told_in_a_line(films, tiny_checkpoint, tmp_path, capsys):
    assert run(tmp_path / "nowhere", tiny_checkpoint, tmp_path / "out") == 2
    assert "no such folder of films" in capsys.readouterr().err
    table = pd.read_csv(films / "labels.csv").assign(corner="yes")
    table.to_csv(films / "labels.csv", index=False)
    assert run(films, tiny_checkpoint, tmp_path / "out") == 2
    assert "labels.csv: line 2: corner is 'yes', expected 0 or 1" in capsys.readouterr().err
