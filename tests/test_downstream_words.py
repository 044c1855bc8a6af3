"""Sentences of notebook 06: what they say changes with the table that they are read from."""

import pandas as pd
import pytest

from ssacl_lib.baselines.registry import SSACL
from ssacl_lib.downstream import run
from ssacl_lib.downstream.classification import HEADLINE, LABELS
from ssacl_lib.downstream.retrieval import TO_IMAGE, TO_TEXT
from ssacl_lib.downstream.tables import long_rows
from ssacl_lib.notebook import downstream_words as words
from ssacl_lib.notebook.term_words import NO_VARIANTS, term_message, term_words
from ssacl_lib.settings import load_settings


def table(*rows) -> pd.DataFrame:
    """Rows (method, setting, detail, metric, value, half of the interval)."""
    return long_rows(
        [
            {"task": "t", "method": m, "setting": s, "detail": d, "metric": k, "value": x, "low": x - h, "high": x + h, "n": 40,
             "runs": 1, "seed": 2, "ours": m.startswith("SS-ACL"), "annotated": m.startswith("supervised"), "file": ""}
            for m, s, d, k, x, h in rows
        ]
    )  # fmt: skip


MEAN = "mean of findings"


def shots(shuffled: float, nameless: float) -> pd.DataFrame:
    return table(
        (SSACL, HEADLINE, MEAN, "auc", 0.78, 0.03),
        (SSACL, HEADLINE, "Edema", "auc", 0.9, 0.03),
        (SSACL, HEADLINE, "Fracture", "auc", 0.6, 0.03),
        (SSACL, HEADLINE, "Pneumonia", "auc", 0.7, 0.03),
        (SSACL, "one pair, dot", MEAN, "auc", 0.74, 0.03),
        (SSACL, "shuffled names, cosine", MEAN, "auc", shuffled, 0.02),
        (SSACL, "no name, cosine", MEAN, "auc", nameless, 0.02),
        ("start", HEADLINE, MEAN, "auc", 0.76, 0.03),
        ("SS-ACL+", HEADLINE, MEAN, "auc", 0.9, 0.03),
        ("supervised CNN", HEADLINE, MEAN, "auc", 0.95, 0.03),
        ("untrained", HEADLINE, MEAN, "auc", 0.5, 0.03),
    )


def test_controls_of_prompts_are_chance_or_not():
    told = words.zero_shot_words(shots(0.51, 0.56)).data
    assert (
        "0.780 [0.750, 0.810] with several sentences per finding, 0.740 [0.710, 0.770] with the release's single pair"
        in told
    )
    assert "by another's name: 0.510 [0.490, 0.530]; chance (0.5) lies in the interval" in told
    assert "no name is said at all: 0.560 [0.540, 0.580]; this is **not** chance" in told
    assert "Easiest finding: Edema (0.90); hardest: Fracture (0.60)." in told
    assert "(“start”) 0.760" in words.zero_shot_message(shots(0.5, 0.5)), "neither ours, annotated, nor weaker"


def test_what_stands_in_the_way_of_prompts_is_the_largest_step():
    rows = table(
        (SSACL, "one pair, cosine", MEAN, "auc", 0.67, 0.02),
        (SSACL, "ensemble, cosine", MEAN, "auc", 0.77, 0.02),
        (SSACL, "training reports, cosine", MEAN, "auc", 0.82, 0.02),
        (SSACL, "probe 100 %", MEAN, "auc", 0.85, 0.02),
        (SSACL, "probe 100 %", "Fracture", "auc", 0.62, 0.02),
        (SSACL, "probe 100 %", "Edema", "auc", 0.99, 0.01),
    )
    told = words.zero_shot_words(rows).data
    assert (
        "one pair of sentences 0.670; several sentences, with sides 0.770; training reports in place of our words 0.820"
        in told
    )
    assert "The largest step (+0.100) is from “one pair of sentences” to “several sentences, with sides”." in told
    assert (
        "Not in the film's vector either (the probe stays below 0.7): Fracture (0.62)." in told
        and "Edema (0.99)." not in told
    )


def test_labels_that_are_not_enough_are_said():
    rows = table(
        ("untrained", "probe", MEAN, LABELS, float("nan"), 0),
        (SSACL, "probe", MEAN, LABELS, 1234.0, 100),
        (SSACL, "probe 1 %", MEAN, "auc", 0.7, 0.02),
        (SSACL, "probe 100 %", MEAN, "auc", 0.85, 0.02),
        ("supervised CNN", "probe 100 %", MEAN, "auc", 0.93, 0.01),
    )
    told = words.label_words(rows).data
    assert "untrained: **not with all labels**." in told and "SS-ACL: 1,234 labelled films [1,134, 1,334]." in told
    message = words.label_message(rows)
    assert (
        "0.700 [0.680, 0.720] with 1 % of the labels and 0.850 [0.830, 0.870] with all; " in message
        and "0.930" in message
    )


def test_dice_stands_beside_that_of_finding_nothing():
    of = "Pneumothorax"
    rows = table(
        (SSACL, "frozen, 192 px", of, "dice_without_empty", 0.99, 0.0),
        (SSACL, "frozen, 96 px", of, "dice_without_empty", 0.41, 0.02),
        (SSACL, "frozen, 96 px", of, "dice_with_empty", 0.83, 0.02),
        (SSACL, "frozen, 96 px", of, "accuracy_on_empty", 0.87, 0.02),
        (SSACL, "frozen, 96 px, next film with the finding", of, "dice_without_empty", 0.11, 0.02),
        ("MaCo-like", "frozen, 96 px", of, "dice_without_empty", 0.38, 0.02),
        ("nothing found", "96 px", of, "dice_with_empty", 0.9, 0.0),
        ("mean mask", "96 px", of, "dice_without_empty", 0.14, 0.01),
    )
    told = words.segmentation_words(rows).data
    assert "Dice 0.410 [0.390, 0.430] on films that have it, 0.830 [0.810, 0.850] where empty masks count" in told
    assert "Who never marks a pixel scores 0 and 0.900" in told and "Fine-tuned: not measured." in told
    assert "on the next film that has it 0.110" in told and "sees no film, 0.140" in told
    assert words.segmentation_message(rows).endswith("SS-ACL 0.410 [0.390, 0.430], “MaCo-like” 0.380 [0.360, 0.400].")


def test_retrieval_stands_beside_chance_and_the_release_beside_its_real_direction():
    rows = [
        (SSACL, direction, "all queries", metric, value, 0.01)
        for direction, precision, rank in (("image to text", 0.5, 150.0), ("text to image", 0.45, 160.0))
        for metric, value in (("p_at_5", precision), ("rank", rank))
    ]
    rows += [
        (SSACL, "image to text, texts exchanged", "all queries", "p_at_5", 0.2, 0.01),
        (SSACL, "image to text, as the release ranks", "all queries", "p_at_5", 0.46, 0.01),
        ("chance", "image to text", "all queries", "p_at_5", 0.2, 0.0),
        ("chance", "image to text", "all queries", "rank", 500.5, 0.0),
        ("contrast only", "image to text", "all queries", "p_at_5", 0.4, 0.01),
    ]  # fmt: skip
    told = words.retrieval_words(table(*rows)).data
    assert "**image to text**: P@5 of SS-ACL 0.500 [0.490, 0.510], mean rank of the own partner 150 [150, 150]" in told
    assert "by chance 0.200 and 500; with the texts exchanged 0.200" in told
    assert "P@5 0.460 [0.450, 0.470]. Compare it with the line “text to image”." in told
    assert "“contrast only” 0.400 [0.390, 0.410], chance 0.20." in words.retrieval_message(table(*rows))


def ends(**of_families: int) -> pd.DataFrame:
    about = {"claim": "clinical", "against": "its best rival", "margin": 0.2, "low": 0.1, "high": 0.3}
    return pd.DataFrame([{**about, "family": family, "ends": level} for family, level in of_families.items()])


@pytest.mark.parametrize(
    ("levels", "expected", "message"),
    [
        (
            {"noise": 0, "pose": 0},
            "**not even on films as they are** (margin +0.20 [+0.10, +0.30])",
            "so nothing can be lost",
        ),
        (
            {"noise": 3, "pose": 1},
            "(margin +0.20 [+0.10, +0.30]); no longer at pose 1, noise 3.",
            "soonest under pose and latest",
        ),
        (
            {"noise": 3, "pose": 6},
            "no longer at noise 3; at every level of pose.",
            "soonest under noise and latest under pose",
        ),
        ({"noise": 6, "pose": 6}, "; at every level of noise, pose.", "1 of 1 claims hold"),
    ],
)
def test_a_claim_ends_where_the_table_says(levels, expected, message):
    assert expected in words.robustness_words(ends(**levels)).data
    assert message in words.robustness_message(ends(**levels))


def test_aims_are_reached_missed_or_neither():
    rows = [
        {"aim": f"aim {verdict}", "method": SSACL, "own": 0.7, "against": "x", "other": 0.6, "difference": 0.1, "low": 0.0,
         "high": 0.2, "n": 9, "runs": 3, "seed": 2, "verdict": verdict}
        for verdict in ("reached", "open", "missed")
    ]  # fmt: skip
    aims = pd.DataFrame(rows)
    reached, unsure, missed = words.aims_words(aims).data.splitlines()
    assert reached.endswith("difference +0.100 [+0.000, +0.200] (n 9, seeds 3): **reached**.")
    assert unsure.endswith("**neither reached nor missed for sure**.") and missed.endswith("**missed**.")
    assert words.aims_words(aims, "aim open").data == unsure
    assert words.aims_message(aims) == "1 of 3 aims are reached; missed: aim missed."
    assert words.aims_message(aims.iloc[:1]) == "1 of 1 aims are reached, none is missed for sure."


def test_what_is_absent_is_named_and_nothing_is_said_of_empty_tables(tmp_path):
    settings = load_settings("smoke", out_dir=str(tmp_path))
    planned = run.jobs_of(settings)
    assert words.state_words(settings).data.startswith(
        f"0 of {len(planned)} answers of the profile `smoke` are there; "
    )
    told = words.encoders_table(settings).set_index("encoder")
    assert told.loc["masked autoencoder", "text side"] == "no" and told.loc["supervised CNN", "annotations"] == "yes"
    assert told.loc[SSACL, "seeds"] == 3 and told.loc[SSACL, "answers"] == "0 of 15"
    empty = table()
    for says in (words.zero_shot_words, words.label_words, words.segmentation_words, words.retrieval_words):
        assert says(empty).data == words.ABSENT
    for says in (words.zero_shot_message, words.label_message, words.segmentation_message, words.retrieval_message):
        assert says(empty).endswith("was not measured yet.")
    nothing = ends()
    assert words.robustness_words(pd.DataFrame(columns=["claim", "against"])).data == words.ABSENT
    assert words.robustness_message(nothing) == "Robustness was not measured yet."


def test_the_words_of_the_terms_sort_variants_by_what_their_intervals_say():
    def row(direction, method, value, low, high, metric="p_at_5_minus_ss_acl"):
        return {"setting": direction, "method": method, "metric": metric, "value": value, "low": low, "high": high}

    table = pd.DataFrame(
        [
            row(TO_TEXT, "SS-ACL", 0.8, 0.7, 0.9, "p_at_5"),
            row(TO_TEXT, "start", 0.04, 0.01, 0.07),
            row(TO_TEXT, "without L_lm", -0.1, -0.2, -0.05),
            row(TO_IMAGE, "start", 0.02, -0.01, 0.05),
        ]
    )
    first, second = term_words(table).data.splitlines()
    assert "better than SS-ACL: start 0.040" in first and "worse: without L_lm -0.100" in first
    assert "not told apart from it: start" in second and "better" not in second
    assert term_message(table) == "Above SS-ACL in a direction: start."
    assert term_words(table[:0]).data == NO_VARIANTS and term_message(table[:1]) == "No variant was asked yet."
