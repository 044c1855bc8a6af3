"""Sentences of notebook 03: a verdict changes with the table that it is read from."""

import pandas as pd
import pytest

from ssacl_lib.notebook import report_words


def table(*rows) -> pd.DataFrame:
    """Rows (variant, method, metric, value, half of the interval)."""
    return pd.DataFrame(
        [
            {"variant": v, "method": m, "metric": k, "value": x, "low": x - h, "high": x + h, "n": 40, "seed": 0}
            for v, m, k, x, h in rows
        ]
    )


def taken_apart(opened: float, leaves: float, tokens: float) -> pd.DataFrame:
    cells = ("with prompts", "leaves only", "entities only", "without prompts")
    return table(
        *((cell, "shipped", "micro_f1_13", 0.5, 0.05) for cell in cells),
        ("with prompts", "shipped", "micro_f1_13_minus_entities_only", opened, 0.02),
        ("leaves of another patient", "shipped", "micro_f1_13_minus_with_prompts", leaves, 0.02),
        ("tokens of another patient", "shipped", "micro_f1_13_minus_with_prompts", tokens, 0.02),
    )


@pytest.mark.parametrize(
    ("opened", "leaves", "tokens", "expected"),
    [
        (0.06, -0.05, -0.01, "as a switch; sight is not shown"),
        (0.06, -0.05, -0.05, "what they saw of this patient counts"),
        (0.06, -0.01, 0.01, "whoever's they are"),
        (0.01, -0.05, -0.05, "not shown to help"),
        (-0.06, 0.0, 0.0, "not shown to help"),
    ],
)
def test_switch_or_sight_is_read_from_the_intervals(opened, leaves, tokens, expected):
    assert expected in report_words.prompts_message(taken_apart(opened, leaves, tokens), "shipped")


def test_the_controls_are_told_one_by_one():
    told = report_words.prompts_words(taken_apart(0.06, -0.05, -0.01), ["this run", "shipped"]).data
    assert "open leaves, beside the entity text: +0.060 [+0.040, +0.080] (n 40), which helps;" in told
    assert "leaves of another patient, against the own: -0.050 [-0.070, -0.030] (n 40), which costs;" in told
    assert "tokens of another patient, against the own: -0.010 [-0.030, +0.010] (n 40), which is not told apart" in told
    assert "this run" not in told  # it has no rows


def test_the_constant_report_is_named_where_it_wins():
    rows = table(
        ("constant", "constant report", "meteor", 0.17, 0.003),
        ("constant", "constant report", "bleu1", 0.36, 0.01),
        ("constant", "constant report", "rouge_l", 0.28, 0.01),
        ("with prompts", "shipped", "meteor", 0.16, 0.003),
        ("with prompts", "shipped", "bleu1", 0.40, 0.01),
        ("with prompts", "shipped", "rouge_l", 0.29, 0.01),
    )
    told = report_words.against_constant(rows, ["shipped"]).data
    assert "below the constant report in METEOR (0.16 against 0.17)" in told
    assert (
        "above the constant report in BLEU-1" in told and "not told apart from the constant report in ROUGE-L" in told
    )


def test_the_table_keeps_the_announced_order_and_says_n():
    rows = table(
        ("constant", "constant report", "bleu1", 0.3, 0.1),
        ("without prompts", "shipped", "bleu1", 0.3, 0.1),
        ("head labels", "shipped", "micro_f1_13", 0.6, 0.1),
        ("with prompts", "shipped", "bleu1", 0.4, 0.1),
    )
    lines = report_words.score_table(rows).data.splitlines()
    assert lines[0].startswith("| model | report | studies | BLEU-1 |") and "micro F1 13 findings" in lines[0]
    assert [line.split(" | ")[1] for line in lines[2:]] == [
        "with prompts",
        "without prompts",
        "head labels",
        "constant",
    ]
    assert all(" | 40 | " in line for line in lines[2:])


def test_the_message_on_the_head_follows_the_intervals():
    def auc(own):
        rows = [("mean of findings", "untrained", 0.75, 0.02), ("mean of findings", "shipped", own, 0.02)]
        columns = ["finding", "method", "value", "half"]
        frame = pd.DataFrame(rows, columns=columns).assign(metric="auc")
        return frame.assign(low=frame["value"] - frame["half"], high=frame["value"] + frame["half"])

    assert "above the 0.75" in report_words.head_message(auc(0.85), "shipped")
    assert "not told apart from the 0.75" in report_words.head_message(auc(0.76), "shipped")
    assert "below the 0.75" in report_words.head_message(auc(0.65), "shipped")


def test_sight_tells_what_foreign_tokens_cost_and_what_looking_ones_bring():
    found = table(
        ("", "shipped", "micro_f1_13_minus_own", -0.07, 0.03), ("", "shipped", "micro_f1_13_minus_faithful", 0.01, 0.02)
    ).assign(prefix="patches open", prompts="looking", tokens=["another patient's", "own"])
    told = report_words.sight_message(found)
    assert "(n 40 patients): looking prompts, patches open -0.070 [-0.100, -0.040]." in told
    assert told.endswith(
        "Looking tokens, the patient's own, instead of faithful ones, patches open +0.010 [-0.010, +0.030]."
    )
    assert report_words.sight_message(found[:0]) == "Sight was not measured."
