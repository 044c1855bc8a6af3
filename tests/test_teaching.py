"""What the notebooks show: source, tables, sentences on numbers, the measured attention matrix, cases chosen by rule."""

import numpy as np
import pandas as pd
import pytest

from ssacl_lib import losses
from ssacl_lib.anatomy import default_graph
from ssacl_lib.datasets.study import EvaluationStudy, Phrase
from ssacl_lib.evaluation import box_difficulty, cases, difficulty, report_marks, tour
from ssacl_lib.evaluation.tour import describe
from ssacl_lib.model.build import build_model
from ssacl_lib.notebook import show
from ssacl_lib.observations import BLANK, POSITIVE
from ssacl_lib.phantom.truth import Sign
from ssacl_lib.settings import load_settings
from ssacl_lib.text.tokenizer import train_tokenizer

SIZE = 96


@pytest.fixture(scope="module")
def model():
    notes = ["Small right pleural effusion. No pneumothorax.", "The heart is enlarged. Lungs are clear. Edema."] * 4
    return build_model(load_settings("smoke"), train_tokenizer(notes)).eval()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture
def table():
    rows = [
        {"method": "this run", "metric": "auc", "finding": "Edema", "value": 0.8, "low": 0.7, "high": 0.9},
        {"method": "this run", "metric": "auc", "finding": "overall", "value": 0.6, "low": 0.4, "high": 0.7},
        {"method": "chance", "metric": "auc", "finding": "Edema", "value": 0.5, "low": 0.5, "high": 0.5},
    ]
    return pd.DataFrame(rows).assign(n=9, seed=0)


# ---- text
def test_source_is_the_library_s_own_with_a_short_docstring():
    shown = show.show_source(losses.report_generation_loss).data
    assert "`ssacl_lib/losses.py`" in shown and "F.cross_entropy" in shown
    assert "Args:" not in shown and "Args:" in show.show_source(losses.report_generation_loss, docstring=True).data
    assert "def restore(self" in show.show_source(default_graph().restore).data


def test_intervals_say_of_what_they_hold_the_trainings(table):
    assert show.intervals(table.assign(runs=1)) == "95 % intervals over studies (n = 9)"
    assert show.count(table.assign(n=[9, 1200, 30])) == "n = 9 to 1,200"
    assert show.count(table[:0]) == "n = 0" and "over studies (n = 0)" in show.intervals(table.assign(runs=1)[:0])
    several = show.intervals(table.assign(runs=[5, 5, 1]))
    assert several == "95 % intervals over studies (n = 9), those of “this run” over studies and 5 trainings"


def test_tables_turn_metrics_into_columns(table):
    shown = show.show_table(table, rows={"finding": "Edema"}, columns="metric").data
    assert "| method | AUC | n |" in shown and "| this run | 0.800 [0.700, 0.900] | 9 |" in shown
    both = show.show_table(table, rows={"method": ["chance", "this run"], "finding": "Edema"}, columns="metric").data
    assert both.index("| chance |") < both.index("| this run |"), "in the order that was asked for"
    assert "no rows" in show.show_table(table, rows={"method": "shipped"}).data
    more = pd.concat([table, table.assign(metric="pointing")])
    shown = show.show_table(more, {"method": ["chance", "this run"], "metric": ["pointing", "auc"]}, "metric").data
    assert [line.split(" |")[0] for line in shown.splitlines()[2:]] == ["| chance", "| this run", "| this run"]
    assert "| pointing | AUC | n |" in shown.splitlines()[0]  # in the order that was asked for


def test_numbers_behind_a_row_are_those_of_the_row():
    """Long tables are grouped by method or by metric; what was pivoted need not come in the order of their groups."""
    rows = [{"budget": budget, "method": method, "metric": metric, "n": 10 * budget + place, "runs": place}
            for method, place in (("ours", 1), ("theirs", 2)) for metric in ("auc", "cnr") for budget in (1, 2)]  # fmt: skip
    made = pd.DataFrame(rows).assign(value=0.5, low=0.4, high=0.6, seed=0)
    for order in (["metric", "budget", "method"], ["method", "budget", "metric"], ["budget", "metric", "method"]):
        told = show.show_table(made.sort_values(order, ascending=[True, False, True]), columns="metric").data
        found = {tuple(line.strip("| ").split(" | ")) for line in told.splitlines()[2:]}
        numbers = {(*map(str, (row["budget"], row["method"])), str(row["n"]), str(row["runs"])) for row in rows}
        assert {(line[0], line[1], *line[-2:]) for line in found} == numbers


@pytest.mark.parametrize(("value", "place"), [(0.7, "below"), (0.9, "inside"), (0.98, "above")])
def test_difficulty_is_told_against_its_aim(value, place):
    found = [("Edema", 0.99), ("Fracture", 0.61), ("mean of findings", value)]
    rows = [{"finding": f, "metric": "auc", "value": v, "low": v - 0.01, "high": v + 0.01} for f, v in found]
    told = difficulty.difficulty_message(pd.DataFrame(rows))
    assert f"{value:.2f} [{value - 0.01:.2f}, {value + 0.01:.2f}], {place} the aim of 0.80 to 0.97" in told
    assert "hardest finding is Fracture (0.61), the easiest Edema (0.99)" in told
    assert "another data set" in difficulty.difficulty_message(pd.DataFrame(columns=["finding", "metric", "value"]))


def test_places_of_the_detector_are_means_of_its_committed_phrases():
    table = box_difficulty.box_table(load_settings("cpu", **{"evaluation.bootstrap": 20}))
    phrases = pd.read_parquet(box_difficulty.box_file())
    own = phrases[(phrases["control"] == "own") & (phrases["map"] == "masked")]
    found = table.set_index(["finding", "metric"])
    for finding, part in [(box_difficulty.ALL, own), *own.groupby("finding")]:
        for metric in ("pointing", "cnr"):
            row = found.loc[finding, metric]
            assert row["value"] == pytest.approx(part[metric].mean()) and row["n"] == part[metric].notna().sum()
            assert row["low"] <= row["value"] <= row["high"] and row["seed"] == 2
    assert "points right in" in box_difficulty.box_message(table)
    assert not len(box_difficulty.box_table(load_settings("cpu", dataset="folder", data_root="x")))


def test_likeness_counts_where_the_mean_film_lies_in_the_band():
    real = {"source": "real films", "low": [0, 0, 0, 0], "high": [1, 1, 1, 1], "n": 208}
    grey = [pd.DataFrame({"grey": range(4), "share": s, **more}) for s, more in
            (([0.5, 0.5, 0.5, 2], {"source": "phantom", "low": 0, "high": 9, "n": 30}), ([0.5] * 4, real))]  # fmt: skip
    spectrum = [frame.rename(columns={"grey": "frequency", "share": "power"}) for frame in grey]
    spectrum[0]["power"] = 2
    told = tour.likeness_message((pd.concat(grey), pd.concat(spectrum)))
    assert "The mean of 30 films of the phantom lies within the middle 90 % of 208 real films at" in told
    assert "75 % of the grey levels and at 0 % of the spatial frequencies" in told
    assert "No statistics" in tour.likeness_message(None)


def test_setting_differences_name_every_changed_key():
    shown = show.setting_differences(load_settings("smoke"), "paper").data
    assert "| data.image_size | 96 | 224 |" in shown
    assert "`smoke`" in show.setting_differences(load_settings("smoke"), "smoke").data


def test_sign_in_words():
    assert describe(Sign("Lung Lesion", "right", "upper", 0.44, kind="nodule")) == "right upper nodule, severity 0.4"
    assert describe(Sign("Cardiomegaly", severity=0.5)) == "severity 0.5"


# ---- the model
def test_measured_attention_is_the_table_of_the_paper_and_of_the_release():
    paper, release = show.who_sees_whom("paper").astype(int), show.who_sees_whom("release").astype(int)
    assert (paper[:3, :3] == np.eye(3)).all() and (paper[:3, 3] == 0).all() and (paper[:3, 4:] == 1).all()
    assert (paper[3:, :3] == 0).all() and (paper[3:, 3:] == 1).all()
    assert (release[4:, 3] == 0).all() and (release[3, 3:] == 1).all()
    assert show.who_sees_whom("release", prompts=False).all()


def test_parts_add_up_to_no_more_than_the_whole(model):
    parts, sizes = show.model_parts(model), show.model_sizes(model)
    assert parts["head"][0] == "FindingHead"
    assert 0.9 * sizes["total"] < sum(count for _, count in parts.values()) <= sizes["total"]


def test_explorer_draws_anew_when_another_node_is_chosen():
    masks = {node: np.eye(SIZE, dtype=bool) for node in default_graph().nodes}
    choice, picture = show.explore_nodes(np.zeros((SIZE, SIZE), np.uint8), masks).children
    before = picture.value
    choice.value = "carina"
    assert picture.value != before and picture.value[:4] == b"\x89PNG"
    assert "no masks" in show.explore_nodes(np.zeros((SIZE, SIZE), np.uint8), {}).data


# ---- cases
def test_attention_is_a_multiple_of_the_uniform_one(model, images):
    for maps in (cases.cls_attention(model, images), cases.node_attention(model, images, ["spine"])[:, 0]):
        assert maps.shape == images.shape
        assert maps.mean((1, 2)) == pytest.approx(1, abs=0.05)


def test_cls_attention_leaves_no_hook_behind(model, images):
    cases.cls_attention(model, images)
    assert not model.encoder.blocks[-1].norm1._forward_pre_hooks


def test_reconstruction_changes_hidden_pixels_only(model, images):
    visible, drawn, words = cases.reconstructions({"untrained": model}, images, 0.5, seed=0)
    assert visible.mean() == pytest.approx(0.5)
    assert np.allclose(drawn["untrained"][visible], (images / 255)[visible])
    assert not np.allclose(drawn["untrained"][~visible], (images / 255)[~visible])
    error = np.sqrt(((drawn["untrained"] - images / 255)[~visible] ** 2).mean())
    assert words == f"untrained {error:.3f}"


def test_clauses_are_marked_by_what_the_other_report_asserts_and_words_by_its_side():
    report = "There is a small left pleural effusion, without pneumothorax. The heart is enlarged. Bilateral opacities."
    marked = report_marks.mark_report(report, "Right pleural effusion. Opacities in both lungs.", report_marks.WRONG)
    assert marked == [
        ("There is a small", report_marks.AGREES),
        ("left", report_marks.OTHER_SIDE),
        ("pleural effusion,", report_marks.AGREES),
        ("without pneumothorax.", report_marks.PLAIN),
        ("The heart is enlarged.", report_marks.WRONG),
        ("Bilateral opacities.", report_marks.AGREES),
    ]
    other = report_marks.mark_report("Right pleural effusion.", "Effusion of the right pleura.", report_marks.WRONG)
    assert [mark for _, mark in other] == [report_marks.AGREES]
    assert report_marks.mark_report("", "Right pleural effusion.", report_marks.MISSED) == []


def labels(*names):
    from ssacl_lib.observations import OBSERVATIONS

    return np.array([POSITIVE if name in names else BLANK for name in OBSERVATIONS], np.int8)


def test_report_cases_are_the_first_with_two_findings(model, images):
    found = [(), ("Edema",), ("Edema", "Cardiomegaly"), ("Fracture", "Edema")]
    studies = [EvaluationStudy(f"s{i}", f"p{i}", images[0], "Edema.", labels(*names)) for i, names in enumerate(found)]
    rows = [
        {"study": s.study_id, "method": "this run", "variant": v, "generated": "Edema.", "generated_labels": labels("Edema"),
         "findings": np.full(13, 0.9)}
        for s in studies for v in ("with prompts", "without prompts")
    ]  # fmt: skip
    chosen = cases.report_cases(pd.DataFrame(rows), "this run", model, studies, count=3)
    assert [case.study for case in chosen] == ["s2", "s3", "s1"]
    assert list(chosen[0].texts) == ["reference", "with prompts", "without prompts"]
    entities, found, score = chosen[0].notes["with prompts"]
    assert entities.startswith("entity text: ") and found == "findings: edema" and score.startswith("BLEU-1 1.00")
    assert chosen[0].notes["without prompts"][0] == "no entity text"


def test_phrase_case_is_the_median_and_scores_are_the_table_s(model, images, smoke):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[8:24, 8:24] = True
    phrase = Phrase("right pleural effusion", "Pleural Effusion", mask, np.array([[8.0, 8, 16, 16]]))
    studies = [EvaluationStudy(f"s{i}", f"p{i}", images[0], "", labels(), phrases=(phrase,)) for i in range(3)]
    rows = [
        {"study": f"s{i}", "finding": "Pleural Effusion", "phrase": "Right pleural effusion", "method": "this run",
         "map": "masked", "control": "own", "cnr": value} for i, value in enumerate((0.9, 0.1, 0.5))
    ]  # fmt: skip
    (case,) = cases.phrase_cases(pd.DataFrame(rows), {"this run": model}, studies, smoke)
    assert case.finding == "Pleural Effusion" and (case.mask == mask).all()
    heatmap, overlap, contrast = case.maps["this run\nmasked evidence (ours)"]
    from ssacl_lib.evaluation.grounding import score_map

    assert (overlap, contrast) == (score_map(heatmap, mask)["miou"], score_map(heatmap, mask)["cnr"])
    assert cases.phrase_cases(pd.DataFrame(rows).iloc[:0], {"this run": model}, studies, smoke) == []


def test_masks_are_none_where_a_data_set_has_none(images):
    study = EvaluationStudy("s", "p", images[0], "", labels(), regions={"right lung": np.ones((SIZE, SIZE), bool)})
    assert cases.masks_of(study, ["right lung"]).shape == (1, SIZE, SIZE)
    assert cases.masks_of(study, ["spine"]) is None and cases.region_masks([study], 1, "spine") is None
