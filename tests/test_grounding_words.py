"""What notebook 04 says of its tables: the verdicts and names follow the numbers, whatever these are."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from ssacl_lib.evaluation import controls
from ssacl_lib.notebook import grounding_words as words, wording


def rows(*found, **about) -> pd.DataFrame:
    """Rows (metric, value, low, high) with the same other columns."""
    table = pd.DataFrame(found, columns=["metric", "value", "low", "high"])
    return table.assign(
        **{"map": "masked", "control": "own", "finding": "overall", "method": "a", "n": 9, "seed": 0, **about}
    )


PAIRED = (
    ("pointing_own_minus_swapped", 0.4, 0.3, 0.5),
    ("cnr_own_minus_swapped", 1.1, 1.0, 1.2),
    ("pointing_own_minus_swapped_side", 0.03, 0.0, 0.06),
    ("cnr_own_minus_swapped_side", 0.05, 0.01, 0.1),
    ("pointing_shifted_minus_own", -0.1, -0.2, 0.0),
    ("cnr_shifted_minus_own", -0.3, -0.5, -0.1),
    ("pointing_minus_prior", 0.1, -0.1, 0.3),
    ("cnr_minus_prior", -0.1, -0.2, 0.0),
)


def paired_of(phrase: str, method: str, kind: str, **scores) -> list[dict]:
    return [
        {"study": phrase, "finding": "x", "phrase": phrase, "method": method, "map": kind, "control": control,
         "pointing": value, "cnr": 10 * value} for control, value in scores.items()
    ]  # fmt: skip


def test_differences_are_of_the_same_phrases_only():
    """The phrase without a side is easy: the means of all would say that the side costs, the pairs say nothing does."""
    own, side = "own", "swapped side"
    found = pd.DataFrame(
        paired_of("left effusion", "a", "masked", **{own: 0.2, side: 0.2})
        + paired_of("large heart", "a", "masked", **{own: 1.0})
        + paired_of("left effusion", controls.PRIOR, "prior", **{own: 0.5})
        + paired_of("large heart", controls.PRIOR, "prior", **{own: 0.5})
    )
    found = pd.concat([found, pd.DataFrame(
        paired_of("left effusion", controls.TEMPLATE, "template", **{own: 0.9, side: 0.0, "shifted": 0.4})
    )])  # fmt: skip
    paired = controls.paired_scores(found)
    words_alone = paired[paired["method"] == controls.TEMPLATE].squeeze()
    assert words_alone["pointing_own_minus_swapped_side"] == 0.9, "it reads, so it passes the swaps"
    assert words_alone["pointing_shifted_minus_own"] == -0.5, "it sees no film, so the shift costs it"
    assert np.isnan(words_alone["pointing_minus_template"])
    paired = paired[paired["method"] != controls.TEMPLATE]
    assert len(paired) == 2 and set(paired["method"]) == {"a"}
    assert paired["pointing_minus_template"].dropna().round(6).tolist() == [-0.7], "of the phrases that both have"
    assert paired["pointing_own_minus_swapped_side"].dropna().tolist() == [0.0]
    assert paired.sort_values("pointing_minus_prior")["cnr_minus_prior"].tolist() == [-3, 5]


def test_a_control_is_passed_in_part_where_one_score_alone_says_so():
    found = controls.verdicts(rows(*PAIRED)).set_index("control")["verdict"].to_dict()
    assert found == {
        "swapped phrase": "passes",
        "swapped side": "passes in part",
        "shifted": "costs",
        "centre prior": "fails",
    }
    (sentence,) = words.control_sentences(rows(*PAIRED))
    assert sentence.startswith("The masked evidence of “a” passes the swapped phrase (pointing +0.40 [+0.30, +0.50]")
    assert "passes the swapped side in CNR only (pointing +0.03" in sentence
    assert "loses on the shifted film" in sentence and sentence.endswith("n 9).")
    turned = rows(*((metric, -value, -high, -low) for metric, value, low, high in PAIRED))
    found = controls.verdicts(turned).set_index("control")["verdict"].tolist()
    assert found == ["fails", "fails", "passes", "fails"]
    blind = rows(*((metric, 0.0, 0.0, 0.0) for metric, *_ in PAIRED), map="cls attention")
    assert words.control_sentences(blind) == []  # asked for by name only
    assert "fails the swapped phrase" in words.control_sentences(blind, ("cls attention",))[0]


def test_findings_where_the_prior_wins_are_named():
    table = pd.concat(
        rows((metric, value, value - 0.1, value + 0.1), finding=finding)
        for metric, finding, value in (
            ("pointing_minus_prior", "Edema", 0.3),
            ("pointing_minus_prior", "Pneumothorax", -0.3),
            ("pointing_minus_prior", "Pneumonia", 0.05),
            ("pointing_minus_prior", "overall", -0.5),
            ("cnr_minus_prior", "Edema", -0.5),
            ("pointing", "Pneumothorax", 0.0),
            ("pointing", "Edema", 0.4),
        )
    )
    first, second = words.prior_words(table, ["a"]).data.splitlines()
    assert (
        "by pointing: the centre prior is better in **Pneumothorax**, not told apart in Pneumonia, worse in Edema."
        in first
    )
    assert first.endswith("The map points into the region of no phrase of Pneumothorax (0 of 9).")
    assert second.endswith("by CNR: the centre prior is better in **Edema**, worse in no finding.")


def test_messages_follow_their_tables():
    phrases = pd.concat([
        rows(("pointing", 0.7, 0.6, 0.8), ("pointing_minus_prior", 0.4, 0.3, 0.5)),
        rows(("pointing", 0.3, 0.2, 0.4), method="centre prior", map="prior"),
        rows(("pointing", 0.9, 0.8, 1.0), map="grad-cam"),
    ])  # fmt: skip
    message = words.phrases_message(phrases, "a")
    assert "points at 0.70 [0.60, 0.80], better than a Gaussian in the middle of the film (0.30 [0.20, 0.40]" in message
    assert words.release_message(phrases, "a").startswith("Of the maps of “a”, the Grad-CAM points best: Grad-CAM 0.90")
    assert "sentence" not in words.release_message(phrases, "a")
    nodes = pd.concat(
        rows(
            ("pointing", p, p - 0.01, p + 0.01),
            ("similarity_across_patients", c, c, c),
            method=method,
            node="mean of leaves",
        )
        for method, p, c in (("untrained", 0.07, 1.0), ("b", 0.03, 0.6), ("c", 0.2, 1.0), ("chance", 0.04, 1.0))
    )
    message = words.prompts_message(nodes, ["b", "c"])
    assert message.startswith(
        "The prompts of “b” (0.03 [0.02, 0.04]) point at their leaves worse than untrained ones; those of “c”"
    )
    assert "better than untrained ones" in message and "chance 0.04" in message
    assert "“b” (0.60 [0.60, 0.60]) look more differently" in words.likeness_message(nodes, ["b"])
    assert "“c” (1.00 [1.00, 1.00]) look as alike as" in words.likeness_message(nodes, ["c"])
    areas = rows(("area_minus_random", -0.2, -0.3, -0.1), curve="deletion", order="evidence")
    areas = pd.concat([areas, rows(("area_minus_random", 0.0, -0.1, 0.1), curve="insertion", order="evidence")])
    assert wording.interval(0.21, -0.004, 0.5, "+") == "+0.210 [-0.004, +0.500]"
    assert "lower the fit faster" in words.faithful_message(
        areas, "a"
    ) and "no faster when they are shown" in words.faithful_message(areas, "a")
    case = SimpleNamespace(maps={"a\nmasked evidence (ours)": (0, 0.5, 0), "a\nsimilarity": (0, 0.4, 0)})
    assert words.cases_message([case], "a").startswith("In 1 of 1 cases") and "No phrase" in words.cases_message(
        [], "a"
    )
    for nothing in (words.phrases_message, words.control_message, words.release_message):
        assert nothing(phrases.iloc[:0], "a") == "No phrase was scored."
    assert "no masks" in words.prompts_message(nodes.iloc[:0], ["b"])
