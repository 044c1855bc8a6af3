"""`ssacl size`: what is picked of its rows, what is said of them, and its masked maps on a small model."""

import numpy as np
import pandas as pd
import pytest
from small import SMALL

from ssacl_lib.datasets.registry import load_evaluation, load_training
from ssacl_lib.evaluation import size
from ssacl_lib.notebook import size_words
from ssacl_lib.settings import load_settings
from ssacl_lib.training.untrained import untrained


def rows(patch, images, masks, smoothing, **pointing):
    """Rows of masked maps: control -> pointing (spaces of the control's name as underscores)."""
    about = {"patch": patch, "images": images, "about": "masked maps", "masks": masks, "smoothing": smoothing}
    names = {"own": "own", "sided": size.SIDED, "other": "swapped side"}
    told = {"method": "SS-ACL", "metric": "pointing", "n": 9, "seed": 0}
    return [
        {**about, **told, "control": names[name], "value": value, "low": value - 0.05, "high": value + 0.05}
        for name, value in pointing.items()
    ]


def alone(patch, about, metric, value, **more):
    told = {"patch": patch, "images": 36, "about": about, "metric": metric, "method": "SS-ACL", "n": 9, "seed": 0}
    return {**told, "value": value, "low": value - 0.05, "high": value + 0.05, **more}


@pytest.fixture
def table(tmp_path):
    frame = [alone(12, "speed", "time_ratio", 1.0), alone(8, "speed", "time_ratio", 1.7)]
    frame += [alone(patch, "findings", "auc", 0.8, finding="mean of findings") for patch in (12, 8)]
    frame += [alone(12, "findings", "auc", 0.9, finding="Edema")]
    frame += [alone(patch, "findings", "auc", 0.5, finding="Pleural Other") for patch in (12, 8)]
    frame += [alone(patch, "findings", "auc", auc, finding="Support Devices") for patch, auc in ((12, 0.6), (8, 0.65))]
    for patch, other in ((12, 0.5), (8, 0.1)):
        frame += rows(patch, 0, 128, 6, own=0.5, sided=0.5, other=0.5)
        frame += rows(patch, 36, 128, 6, own=0.6, sided=0.5, other=other)
        frame += rows(patch, 36, 256, 9, own=0.4 if patch == 12 else 0.75, sided=0.4, other=other)
    pd.DataFrame(frame).to_csv(tmp_path / "size.csv", index=False)
    return size.size_table(tmp_path / "size.csv")


def test_masks_and_smoothing_are_those_that_point_best(table):
    maps = table[table["metric"].eq("pointing") & table["images"].gt(0)].set_index("patch")
    assert maps.loc[12, ["masks", "smoothing", "value"]].tolist() == [128, 6, 0.6]
    assert maps.loc[8, ["masks", "smoothing", "value"]].tolist() == [256, 9, 0.75]
    assert table["metric"].value_counts().to_dict() == {
        "pointing": 4, "pointing_sided": 4, "pointing_swapped_side": 4, "auc": 2, "time_ratio": 2, "auc_pleural_other": 2,
        "auc_support_devices": 2,
    }  # fmt: skip
    assert not len(size.size_table(size.RESULTS.with_name("absent.csv")))


def test_sizes_are_told_by_interval_and_by_what_a_side_keeps(table):
    swapped = table[table["metric"] == "pointing"].assign(
        metric="cnr", patch=lambda rows: 20 - rows["patch"]
    )  # 12 <-> 8
    table = pd.concat([table, swapped])
    told = size_words.size_words(table).data.splitlines()
    assert told == [
        "- AUC of the head: 0.80 [0.75, 0.85] and 0.80 [0.75, 0.85]: intervals overlap",
        "- AUC of Pleural Other, thin lines: 0.50 [0.45, 0.55] and 0.50 [0.45, 0.55]: intervals overlap",
        "- AUC of Support Devices, thin lines: 0.60 [0.55, 0.65] and 0.65 [0.60, 0.70]: intervals overlap",
        "- pointing of masked maps: 0.60 [0.55, 0.65] and 0.75 [0.70, 0.80]: better with 8 px, in one training of each",
        "- CNR of masked maps: 0.75 [0.70, 0.80] and 0.60 [0.55, 0.65]: better with 12 px, in one training of each",
        "- 12 px: with the other side named the map keeps 100 % of its pointing (100 % before the training)",
        "- 8 px: with the other side named the map keeps 25 % of its pointing (100 % before the training)",
    ]
    message = size_words.size_message(table)
    assert (
        "masked maps point at 0.60 [0.55, 0.65] and 0.75 [0.70, 0.80]" in message
        and "1.70 [1.65, 1.75] times" in message
    )
    assert size_words.size_message(table[table["patch"] == 12]) == size_words.ONE


def test_phrases_that_name_a_side_stand_beside_the_other_side(fake_phantom):
    counts = {"data.train_studies": 8, "data.validation_studies": 8, "data.test_studies": 8}
    settings = load_settings("smoke", **SMALL, **counts, **{"model.dropout": 0.0})
    studies = list(load_evaluation(settings, "validation"))
    model = untrained(settings, load_training(settings, "train")).eval()
    found = pd.DataFrame(size.masked_rows(model, studies, settings, {"patch": 12}))
    assert set(zip(found["masks"], found["smoothing"], strict=True)) == {
        (masks, width) for masks in size.MASKS for width in size.SMOOTHING
    }
    counts = found.groupby("control")["n"].max()
    assert 0 < counts[size.SIDED] == counts["swapped side"] <= counts["own"]
    assert np.isfinite(found["value"]).all()
