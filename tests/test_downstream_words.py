"""Sentences of notebook 06: what they say changes with the table that they are read from."""

import numpy as np
import pandas as pd
import pytest

from ssacl_lib.baselines.registry import SSACL
from ssacl_lib.downstream import run
from ssacl_lib.downstream.aims import TWICE
from ssacl_lib.downstream.cases import Ranked
from ssacl_lib.downstream.classification import HEADLINE, LABELS
from ssacl_lib.downstream.disturbances import AMOUNTS
from ssacl_lib.downstream.encoders import PLUS
from ssacl_lib.downstream.retrieval import TO_IMAGE, TO_TEXT
from ssacl_lib.downstream.robustness_tables import CLAIM_COLUMNS
from ssacl_lib.downstream.tables import long_rows
from ssacl_lib.notebook import downstream_words as words, robustness_words, task_words
from ssacl_lib.notebook.show import show_table
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


def shots(shuffled: float, nameless: float, untrained: float = 0.5) -> pd.DataFrame:
    return table(
        (SSACL, HEADLINE, MEAN, "auc", 0.78, 0.03),
        (SSACL, HEADLINE, "Edema", "auc", 0.9, 0.03),
        (SSACL, HEADLINE, "Fracture", "auc", 0.6, 0.03),
        (SSACL, HEADLINE, "Pneumonia", "auc", 0.7, 0.03),
        (SSACL, "one pair, dot", MEAN, "auc", 0.74, 0.03),
        (SSACL, "shuffled names, cosine", MEAN, "auc", shuffled, 0.02),
        (SSACL, "no name, cosine", MEAN, "auc", nameless, 0.02),
        (SSACL, HEADLINE, MEAN, "auc_minus_no_name", 0.78 - nameless, 0.05),
        ("start", HEADLINE, MEAN, "auc", 0.76, 0.03),
        (PLUS, HEADLINE, MEAN, "auc", 0.9, 0.03),
        ("supervised CNN", HEADLINE, MEAN, "auc", 0.95, 0.03),
        ("untrained", HEADLINE, MEAN, "auc", untrained, 0.03),
    )


def test_controls_of_prompts_are_chance_or_not():
    told = words.zero_shot_words(shots(0.51, 0.56)).data
    assert (
        "0.780 [0.750, 0.810] with several sentences per finding, 0.740 [0.710, 0.770] with the release's single pair"
        in told
    )
    assert "by another's name: 0.510 [0.490, 0.530]; chance (0.5) lies in the interval" in told
    assert "no name is said at all: 0.560 [0.540, 0.580]; this is **not** chance" in told
    assert "names add 0.220 [0.170, 0.270] to it" in told and "below chance" not in told
    low = words.zero_shot_words(shots(0.51, 0.51, untrained=0.44)).data
    assert "names add" not in low and "“untrained” lies below chance: 0.440 [0.410, 0.470] (n 40, 1 seed)." in low
    assert "Easiest finding: Edema (0.90 [0.87, 0.93]); hardest: Fracture (0.60 [0.57, 0.63])." in told
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
        "one pair of sentences 0.670 [0.650, 0.690]; several sentences, with sides 0.770 [0.750, 0.790]; training reports in "
        "place of our words 0.820 [0.800, 0.840]"
    ) in told
    assert "The largest step (+0.100) is from “one pair of sentences” to “several sentences, with sides”." in told
    assert (
        "Hard for the probe, too (AUC below 0.7): Fracture (0.62 [0.60, 0.64])." in told and "Edema (0.99" not in told
    )


def test_labels_that_are_not_enough_are_said():
    rows = table(
        ("untrained", "probe", MEAN, LABELS, float("nan"), 0),
        (SSACL, "probe", MEAN, LABELS, 1234.0, 100),
        ("start", HEADLINE, MEAN, "auc", 0.804, 0.02),
        (SSACL, "probe 1 %", MEAN, "auc", 0.7, 0.02),
        (SSACL, "probe 100 %", MEAN, "auc", 0.85, 0.02),
        ("supervised CNN", "probe 100 %", MEAN, "auc", 0.93, 0.01),
    )
    told = words.label_words(rows).data
    assert "untrained: **not with all labels**." in told and "SS-ACL: 1,234 labelled films [1,134, 1,334]." in told
    assert told.startswith("Labelled films a probe needs to reach the AUC of the start without labels (0.804):\n\n- ")
    assert "SS-ACL: 1,234 labelled films [1,134 or fewer, 1,334]." in words.label_words(rows, 1134).data
    assert "SS-ACL: 1,334 or fewer (the smallest share" in words.label_words(rows, 1334).data
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
        ("start", "frozen, 96 px", of, "dice_without_empty", 0.2, 0.02),
        ("nothing found", "96 px", of, "dice_with_empty", 0.9, 0.0),
        ("mean mask", "96 px", of, "dice_without_empty", 0.14, 0.01),
    )
    told = task_words.segmentation_words(rows).data
    assert "Dice 0.410 [0.390, 0.430] on films that have it, 0.830 [0.810, 0.850] where empty masks count" in told
    assert "Who never marks a pixel scores 0 and 0.900" in told and "Fine-tuned: not measured." in told
    assert "on the next film that has it 0.110" in told and "sees no film, 0.140" in told
    assert task_words.segmentation_message(rows).endswith(
        "Pneumothorax (n 40): SS-ACL 0.410 [0.390, 0.430] (1 seed), start 0.200 [0.180, 0.220] (1 seed)."
    ), "those whose masks are drawn"
    assert "needs no annotation, Pneumothorax: “MaCo-like” 0.380 [0.360, 0.400] (n 40, 1 seed)." in told


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
    told = task_words.retrieval_words(table(*rows)).data
    assert "**image to text**: P@5 of SS-ACL 0.500 [0.490, 0.510], mean rank of the own partner 150 [150, 150]" in told
    assert "by chance 0.200 and 500; with the texts exchanged 0.200" in told
    assert "P@5 0.460 [0.450, 0.470]. Compare it with the line “text to image”." in told
    assert "“contrast only” 0.400 [0.390, 0.410] (1 seed), chance 0.20, n 40." in task_words.retrieval_message(
        table(*rows)
    )


def claims(claim: str, measure: str = "difference", **of_families: str) -> pd.DataFrame:
    """Margins of a claim, a sign per level: + above 0, = across it, - below."""
    limits = {"+": (0.2, 0.1, 0.3), "=": (0.0, -0.1, 0.1), "-": (-0.2, -0.3, -0.1)}
    rows = [
        {"claim": claim, "against": "a rival", "family": family, "level": level, "measure": measure, "rival": "a rival",
         **dict(zip(("margin", "low", "high"), limits[sign], strict=True)), "n": 100 - level, "runs": 3, "seed": 2}
        for family, signs in of_families.items()
        for level, sign in enumerate(signs)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        (
            {"pose": "=+++++", "bodies": "==++++", "noise": "=--==="},
            "ties on films as they are (+0.000 [-0.100, +0.100], n 100, 3 seeds); above at every level of pose, at bodies 2–5; "
            "below at noise 1–2; tied elsewhere.",
        ),
        ({"wording": "++++=+", "pose": "++++++"}, "above at every level of pose, at wording 1–3 and 5; tied elsewhere."),
        ({"pose": "======"}, "ties on films as they are (+0.000 [-0.100, +0.100], n 100, 3 seeds); tied at every other level."),
        ({"pose": "------", "noise": "------"}, "is below on films as they are (-0.200 [-0.300, -0.100], n 100, 3 seeds); "
         "below at every level of every family."),
    ],
)  # fmt: skip
def test_a_claim_is_told_level_by_level(signs, expected):
    told, chance = robustness_words.robustness_words(claims("a claim", **signs)).data.splitlines()
    assert told.endswith(expected)
    worse = sum(len(levels) - 1 for levels in signs.values())
    assert f"These are {worse} intervals on worse films; about {0.05 * worse:.0f} of so many" in chance


def test_relative_margins_are_told_in_per_cent():
    told = robustness_words.robustness_words(claims("lexical", "relative", pose="-=====")).data
    assert "**lexical** (over a rival): is below on films as they are (-20 % [-30, -10], n 100, 3 seeds)" in told


def test_the_message_names_claims_that_hold_on_worse_films_alone():
    late, early = claims("late", pose="=+++++", noise="======"), claims("early", pose="++====", noise="++++==")
    message = robustness_words.robustness_message(pd.concat([late, early], ignore_index=True))
    assert message.startswith("1 of 2 claims hold on films as they are; on worse ones alone “late” under pose.")
    assert "most is left under noise (above 0 at 3 of 5 levels of 1 claim), least under pose (1)." in message
    assert robustness_words.robustness_message(claims("late", pose="------")) == (
        "0 of 1 claims hold on films as they are. Below zero lies “late” under pose."
    )
    other = claims("other", pose="++++++", noise="++++++", marks="++++++")
    message = robustness_words.robustness_message(pd.concat([early, other], ignore_index=True))
    assert robustness_words.behind_claims(late) == "n 95 to 100 patients or phrases, 3 seeds of SS-ACL"
    assert message.endswith("least under pose (6). Not asked of all of these claims: marks.")


def test_every_level_of_every_family_has_its_strength():
    lines = robustness_words.levels_table().data.splitlines()
    assert len(lines) == 2 + len(AMOUNTS) and "| noise |" in lines[3] and lines[3].endswith("| 0.5 | 1 | 2 | 4 | 8 |")


def test_what_is_left_at_the_last_level_is_read_from_the_curves():
    rows = table((SSACL, "undisturbed", MEAN, "auc", 0.86, 0.02), (SSACL, "noise 5", MEAN, "auc", 0.7, 0.02),
                 (SSACL, "pose 5", MEAN, "auc", 0.6, 0.02), ("start", "pose 5", MEAN, "auc", 0.1, 0.02))  # fmt: skip
    rows = rows.assign(family=["undisturbed", "noise", "pose", "pose"], level=[0, 5, 5, 5])
    told = robustness_words.curves_message(rows)
    assert "0.86 on films as they are" in told and "under pose (0.60) and highest under noise (0.70)" in told


def test_aims_are_reached_missed_or_neither():
    rows = [
        {"aim": f"aim {verdict}", "method": SSACL, "own": 0.7, "against": "x", "other": 0.6, "difference": 0.1, "low": 0.0,
         "high": 0.2, "n": 9, "runs": 3, "seed": 2, "verdict": verdict}
        for verdict in ("reached", "open", "missed")
    ]  # fmt: skip
    aims = pd.DataFrame(rows)
    reached, unsure, missed = words.aims_words(aims).data.splitlines()
    assert reached.endswith(
        "SS-ACL 0.700 against “x”, 0.600, difference +0.100 [+0.000, +0.200] (n 9, 3 seeds): **reached**."
    )
    assert unsure.endswith("**neither reached nor missed for sure**.") and missed.endswith("**missed**.")
    assert words.aims_words(aims, "aim open").data == unsure
    height = words.aims_words(aims[:1].assign(against="0.60")).data
    assert "SS-ACL 0.700 against the aim of 0.60, difference" in height
    assert "against twice chance, 0.600," in words.aims_words(aims[:1].assign(against=TWICE)).data
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
    for says in (
        words.zero_shot_words,
        words.label_words,
        task_words.segmentation_words,
        task_words.retrieval_words,
    ):
        assert says(empty).data == words.ABSENT
    for says in (
        words.zero_shot_message,
        words.label_message,
        task_words.segmentation_message,
        task_words.retrieval_message,
    ):
        assert says(empty).endswith("was not measured yet.")
    nothing = pd.DataFrame(columns=list(CLAIM_COLUMNS))
    assert robustness_words.robustness_words(nothing).data == words.ABSENT
    for says in (robustness_words.robustness_message, robustness_words.curves_message):
        assert says(nothing if says is robustness_words.robustness_message else empty.assign(level=[])).endswith("yet.")
    assert words.behind(empty) == "" and task_words.ranked_message([]) == "Nothing was ranked yet."


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


def test_the_contact_sheet_is_counted():
    def row(finding, *found):
        return Ranked(f"there is {finding.lower()}.", finding, np.zeros((len(found), 4, 4), np.uint8), found)

    told = task_words.ranked_message(
        [row("Edema", "Edema", "Edema"), row("Mass", "Edema", "Edema"), row("Hernia", "Mass", "Mass")]
    )
    assert (
        "Of the 6 films" in told and "2 have its finding (each: 2 of 2 for edema; 0 of 2 for mass and hernia)." in told
    )


def test_a_caption_says_how_many_stand_behind_it():
    rows = table((SSACL, "s", "d", "auc", 0.8, 0.1), ("start", "s", "d", "auc", 0.7, 0.1)).assign(
        runs=[3, 1], n=[40, 60]
    )
    assert words.behind(rows) == "n 40 to 60 patients; 3 seeds of SS-ACL, 1 seed of the others"
    assert (
        words.behind(rows[:1]) == "n 40 patients; 3 seeds of SS-ACL"
        and words.behind(rows[1:], "queries") == "n 60 queries; one training of each"
    )


def test_the_rows_shown_of_masks_have_both_rules_and_what_sees_no_film():
    rows = task_words.shown_rows(load_settings("cpu"))
    made = table(
        *(
            ("SS-ACL", setting, "Pneumothorax", metric, 0.5, 0.1)
            for setting in rows["setting"]
            for metric in rows["metric"]
        )
    )
    told = show_table(made, rows=rows, columns="metric").data
    assert "| frozen, 96 px | dice" not in told and "dice with empty" in told and "dice without empty" in told
    assert "| file |" not in told and "ours" not in told
