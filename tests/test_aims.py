"""The aims of the downstream tasks: paired differences by hand, and verdicts that an interval decides."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ssacl_lib import paths
from ssacl_lib.baselines.registry import SSACL
from ssacl_lib.downstream import aims, tables
from ssacl_lib.downstream.classification import HEADLINE
from ssacl_lib.downstream.encoders import PLUS, START, SUPERVISED, UNTRAINED, Encoder
from ssacl_lib.downstream.fine_tuning import column_of, settings_of
from ssacl_lib.downstream.run import Job
from ssacl_lib.downstream.tasks import TASKS
from ssacl_lib.downstream.zero_shot import MEASURES
from ssacl_lib.evaluation.comparison import rounded, write_parquet
from ssacl_lib.observations import FINDINGS
from ssacl_lib.record.manifest import write_json
from ssacl_lib.settings import load_settings

STUDIES = [f"s{k:02d}" for k in range(60)]
PRESENT = np.random.default_rng(1).random((60, 13)) < 0.4
FIVE = np.repeat(["a", "b", "c", "d", "e"], 12)


def write(settings, task, name, seed, frame) -> None:
    """As `ssacl downstream` leaves it."""
    job = Job(task, TASKS[task], Encoder(name, seed, settings), settings)
    write_parquet(job.path, frame)
    write_json(job.path.with_suffix(".json"), {"recipe": job.recipe})


def scores(strength, seed) -> np.ndarray:
    """[60, 13], to the digits that are kept; the noise is that of the seed, whoever scores."""
    own = strength * PRESENT + np.random.default_rng(seed).normal(size=PRESENT.shape)
    return rounded(pd.Series(own.ravel())).astype(float).reshape(PRESENT.shape)


def base() -> pd.DataFrame:
    index = pd.MultiIndex.from_product([STUDIES, FINDINGS], names=["study", "finding"])
    return pd.DataFrame({"present": PRESENT.ravel()}, index).reset_index()


def zero_shot(strength, seed) -> pd.DataFrame:
    columns = [f"{form}, {measure}" for form, measures in MEASURES.items() for measure in measures]
    own = {name: scores(strength if name == HEADLINE else 0.0, seed).ravel() for name in columns}
    return base().assign(**own)


def few_labels(strength, seed) -> pd.DataFrame:
    own = {
        column_of(w, s, k): scores(strength * np.log10(10 * s + 1) + 0.05 * k, 7).ravel() for w, s, k in settings_of()
    }
    return pd.concat([base().assign(train=1000), pd.DataFrame(own)], axis=1)


def retrieval(hits: float, seed) -> pd.DataFrame:
    rows = pd.DataFrame({"study": STUDIES, "finding": FIVE})
    noise = np.random.default_rng(seed).permutation(np.arange(60) - 29.5) / 1024  # sums to 0, and is kept exactly
    frames = []
    for direction in ("image to text", "text to image"):
        for convention, control, value in (
            ("usual", "own", hits),
            ("release", "own", 0.9),
            ("usual", "texts exchanged", 0.1),
        ):
            more = {"convention": convention, "direction": direction, "control": control}
            frames.append(rows.assign(**more, p_at_5=value + noise, p_at_10=0.2))
    return pd.concat(frames).iloc[::-1]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    settings = load_settings("smoke", out_dir=str(tmp_path_factory.mktemp("aims")))
    for name, strength, seeds in (
        (UNTRAINED, 0.0, 1),
        (START, 1.0, 1),
        ("contrast only", 1.5, 2),
        (SSACL, 1.4, 2),
        (PLUS, 9, 1),
    ):
        for seed in range(seeds):
            write(settings, "zero_shot", name, seed, zero_shot(strength, seed))
            write(settings, "fine_tuning", name, seed, few_labels(strength, seed))
            write(settings, "retrieval", name, seed, retrieval({SSACL: 0.4375, PLUS: 0.9}.get(name, 0.375), seed))
    write(settings, "fine_tuning", SUPERVISED, 0, few_labels(9, 0))
    return settings


@pytest.fixture(scope="module")
def table(settings, tmp_path_factory):
    return aims.aims_table(settings, tmp_path_factory.mktemp("cache")).set_index("aim")


def auc(strength, seed) -> float:
    own = scores(strength, seed)
    return float(np.mean([roc_auc_score(PRESENT[:, k], own[:, k]) for k in range(13)]))


def test_zero_shot_is_held_against_the_best_rival_that_is_neither_ours_nor_annotated(table):
    height, rival = table.loc["zero-shot mean AUC of 0.80"], table.loc["zero-shot above every annotation-free rival"]
    own = np.mean([auc(1.4, seed) for seed in range(2)])
    assert height["own"] == pytest.approx(own) and height["difference"] == pytest.approx(own - 0.8)
    assert rival["against"] == "contrast only" and rival["runs"] == 2 and rival["n"] == 60
    assert rival["difference"] == pytest.approx(own - np.mean([auc(1.5, seed) for seed in range(2)]))
    assert rival["verdict"] == (aims.MISSED if rival["high"] < 0 else aims.OPEN) and rival["difference"] < 0
    assert rival["high"] - rival["low"] > height["high"] - height["low"], (
        "the rival's two trainings say little of a third"
    )


def test_few_labels_are_compared_subset_by_subset(table):
    row = table.loc["1 % of the labels as good as 10 % on the untrained encoder"]

    def mean_of(strength, share):
        told = []
        for subset in range(5):
            own = scores(strength * np.log10(10 * share + 1) + 0.05 * subset, 7)
            told.append(np.mean([roc_auc_score(PRESENT[:, k], own[:, k]) for k in range(13)]))
        return np.mean(told)

    assert row["own"] == pytest.approx(mean_of(1.4, 1)) and row["other"] == pytest.approx(mean_of(0, 10))
    assert row["verdict"] == aims.REACHED and row["low"] > 0.1


def test_retrieval_is_held_against_twice_chance_and_contrast_in_both_directions(table):
    for direction in ("image to text", "text to image"):
        twice, contrast = (
            table.loc[f"{direction}: P@5 of twice chance"],
            table.loc[f"{direction}: P@5 above contrast only"],
        )
        assert twice["other"] == pytest.approx(0.4) and twice["own"] == pytest.approx(0.4375)  # as it is kept
        assert contrast["difference"] == pytest.approx(0.0625) and contrast["verdict"] == aims.REACHED
    assert len(table) == 7


def test_every_aim_is_told_in_one_place_of_the_notebook(table):
    source = (paths.ROOT / "notebooks" / "06_downstream.ipynb").read_text(encoding="utf-8")
    told = re.findall(r'aims_words\(hoped, \\"([^"\\]+)\\"\)', source)
    assert len(told) == 3 and all(sum(about in aim for about in told) == 1 for aim in table.index)


def test_a_verdict_needs_the_interval():
    draws = np.random.default_rng(0).normal(0.0, 0.01, (1, 500))

    def verdict(value):
        return aims.aim_row("x", draws - draws[:, :1] + value, "y", np.zeros((1, 500)), 10)["verdict"]

    assert [verdict(value) for value in (0.05, 0.005, -0.005, -0.05)] == [
        aims.REACHED,
        aims.OPEN,
        aims.OPEN,
        aims.MISSED,
    ]


def test_what_was_not_measured_has_no_aim(tmp_path):
    empty = aims.aims_table(load_settings("smoke", out_dir=str(tmp_path)), tmp_path)
    assert list(empty) == list(aims.COLUMNS) and not len(empty)
    assert tables.asked(load_settings("smoke", out_dir=str(tmp_path)), "retrieval") == []
