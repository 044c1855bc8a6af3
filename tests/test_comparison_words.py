"""What notebook 05 says of its tables: the verdict is that of the numbers, whatever they are; figures show every row."""

from types import SimpleNamespace

import pandas as pd
import pytest

from ssacl_lib.evaluation.comparison_start import REASONS
from ssacl_lib.notebook import budget_words, comparison_words as words
from ssacl_lib.plots import budgets as draw


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (0.12, 0.2, "holds here"),
        (0.02, 0.2, "holds here in sign; its size is not told apart"),
        (0.02, 0.09, "holds here in sign, not in size"),
        (-0.02, 0.2, "is not shown here"),
        (-0.2, -0.02, "fails here: the rival is better"),
    ],
)
def test_the_verdict_of_an_interval(low, high, says):
    assert words.verdict(SimpleNamespace(low=low, high=high), 0.1) == says


def margin(claim, metric, value, seeds=3, rivals=0):
    return {
        "claim": claim,
        "metric": metric,
        "margin": value,
        "low": value - 0.05,
        "high": value + 0.05,
        "method": "SS-ACL",
        "best_baseline": "start",
        "n": 30,
        "seeds": seeds,
        "rival_seeds": rivals,
    }


def test_claims_are_told_with_rival_interval_and_seeds():
    table = pd.DataFrame([margin("lexical", "mean_relative", 0.2), margin("grounding", "cnr_masked", -0.1, seeds=1)])
    told = words.claim_words(table).data
    assert "+20 % [+15, +25] over start (n 30, seeds 3): the claim **holds here**." in told
    assert "-10 % [-15, -5]" in told and "fails here: the rival is better** in this one training" in told
    message = words.claims_message(table)
    assert "1 of the 2 (lexical (mean of BLEU-4, ROUGE-L, CIDEr)) lies above zero" in message
    assert "none of the 1 lies above zero" in words.claims_message(table[1:])
    assert words.claims_message(table[:0]) == "Nothing was compared yet."


def test_margins_over_trained_rivals_name_their_side_and_judge_no_claim():
    margins = [("lexical", "mean_relative", 0.2), ("grounding", "cnr_masked", -0.1), ("grounding", "cnr", 0.01)]
    lines = words.trained_words(pd.DataFrame([margin(*one) for one in margins])).data.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["above zero.", "below zero.", "not told apart from zero."]
    assert "+20 % [+15, +25] over start (n 30, seeds 3)" in lines[0] and "claim" not in "".join(lines)


def from_start(method, value, reason="as it is", metric="cnr", runs=1, against="start"):
    return {
        "reason": reason,
        "method": method,
        "metric": metric,
        "against": against,
        "value": value,
        "low": value - 0.1,
        "high": value + 0.1,
        "n": 30,
        "runs": runs,
        "seed": 2,
    }


def test_reasons_are_told_by_side_of_the_start():
    rows = [from_start("SS-ACL", -0.2, runs=5), from_start("SS-ACL", 0.01, metric="auc", runs=5)]
    rows += [from_start("SS-ACL, 4 times the images", 0.3, "too few images")]
    rows += [from_start("SS-ACL, 4 times the images", 0.5, "too few images", against="SS-ACL")]
    rows += [from_start("a tenth of the rate", -0.4, "too large steps", against="SS-ACL")]
    rows += [from_start("without L_ac", 0.05, "one or two of its losses", against="SS-ACL")]
    rows += [
        from_start("contrast only", -0.3, "any further training"),
        from_start("MaCo-like", 0.0, "any further training"),
    ]
    told = budget_words.start_words(pd.DataFrame(rows)).data.splitlines()
    assert told[-1] == (
        "- **Together**, by the side of SS-ACL as it is on which a change lies: *too few images*: for it speaks “SS-ACL, 4 times "
        "the images”; *too large steps*: against it “a tenth of the rate”; *one or two of its losses*: left open; "
        "*any further training*: 1 of 2 rivals' rows lie below the start, too."
    )
    table = pd.DataFrame(rows[:-4])
    told = budget_words.start_words(table).data.splitlines()[:-1]
    assert told == [
        "- *as it is*: “SS-ACL” below the start (-0.20 [-0.30, -0.10]).",
        "- *too few images*: “SS-ACL, 4 times the images” above the start (+0.30 [+0.20, +0.40]) and "
        "above SS-ACL as it is (+0.50 [+0.40, +0.60]).",
    ]
    assert budget_words.start_message(table) == (
        "The CNR of masked maps lies above the start for 1 of 2 methods (“SS-ACL, 4 times the images”); not told apart from it "
        "are none."
    )
    figure = draw.over_start(table)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["findings: mean AUC", "masked map: CNR"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "as it is: SS-ACL",
        "too few images: SS-ACL, 4 times the images",
    ]
    assert isinstance(draw.over_start(table[:0]), str) and "yet" in budget_words.start_words(table[:0]).data
    assert len(REASONS) == 5


def test_margins_are_told_by_budget():
    rows = [{**margin("lexical", "mean_relative", -0.1), "images": 10}]
    rows += [{**margin("lexical", "mean_relative", 0.2, seeds=1), "images": 40}]
    rows += [{**margin("grounding", "cnr_masked", -0.2, seeds=1), "images": 40}]
    table = pd.DataFrame(rows)
    told = budget_words.budget_margin_words(table).data.splitlines()
    assert told[0] == (
        "- **lexical**, mean of BLEU-4, ROUGE-L, CIDEr: -10 % [-15, -5] over start (10 images, 3 trainings of SS-ACL); "
        "+20 % [+15, +25] over start (40 images, 1 training of SS-ACL)."
    )
    assert len(told) == 2
    message = budget_words.budget_margin_message(table)
    assert message.startswith("Headline margins above zero with 40 images: 1 of 2 (lexical")
    figure = draw.budget_margins(table, {"lexical": 0.1, "grounding": 0.08})
    assert len(figure.axes) == 2 and isinstance(draw.budget_margins(table[:1], {}), str)
    assert "No run" in budget_words.budget_margin_message(table[:1])


def test_budgets_are_told_from_the_smallest_to_the_largest():
    rows = [("SS-ACL", 10, "micro_f1_13", 0.3), ("SS-ACL", 40, "micro_f1_13", 0.5), ("SS-ACL", 20, "micro_f1_13", 0.4),
            ("MaCo-like", 10, "cnr", 1.0), ("MaCo-like", 40, "cnr", 0.9), ("start", 0, "cnr", 1.1),
            ("R2GenGPT-like", 10, "micro_f1_13", 0.4)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["method", "images", "metric", "value"])
    table = table.assign(low=table["value"] - 0.1, high=table["value"] + 0.1, n=30, runs=1, seed=2)
    assert budget_words.budget_message(table) == (
        "Micro F1 of reports: SS-ACL 0.30 to 0.50 (10 to 40 images). "
        "CNR of masked maps: MaCo-like 1.00 to 0.90 (10 to 40 images)."
    )
    assert "No run" in budget_words.budget_message(table[table["images"] <= 10])
    names = [text.get_text() for text in draw.budgets(table).legends[0].get_texts()]
    assert set(names) == {"SS-ACL", "MaCo-like", "R2GenGPT-like", "start (no training)"}
