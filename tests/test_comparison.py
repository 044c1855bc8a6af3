"""Compared methods: the registry holds together, numbers and margins are those by hand, only what should change is changed."""

import shutil
from types import FunctionType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from made_up import STUDIES, write_runs
from scipy import stats
from sklearn.metrics import roc_auc_score
from small import SMALL, View
from torch.nn import functional as F

from ssacl_lib import paths
from ssacl_lib.anatomy import default_graph
from ssacl_lib.baselines import contrast, registry, wrong_anatomy
from ssacl_lib.baselines.prompts import FrozenEncoder, LeavesClosed, LeavesWithoutText, PatchesAlone
from ssacl_lib.baselines.registry import GROUPS, METHODS, PARTS, PHRASES, REPORTS, SSACL, Method, method_of
from ssacl_lib.evaluation import (
    comparison,
    comparison_cases,
    comparison_margins,
    comparison_tables as tables,
    comparison_texts,
    comparison_trainings,
)
from ssacl_lib.evaluation.comparison import write_parquet
from ssacl_lib.evaluation.comparison_budgets import budget_margins
from ssacl_lib.evaluation.comparison_others import OTHERS
from ssacl_lib.evaluation.comparison_run import OWN_SEEDS, PATIENTS, Run, planned, results_folder
from ssacl_lib.evaluation.comparison_scores import SCORES
from ssacl_lib.evaluation.comparison_start import REASONS, over_start
from ssacl_lib.evaluation.prompting import CELLS
from ssacl_lib.metrics.clinical import clinical_intervals
from ssacl_lib.model.network import SSACLNetwork
from ssacl_lib.model.ssacl import SSACLModel
from ssacl_lib.model.start import build_network
from ssacl_lib.notebook import comparison_words, training_words
from ssacl_lib.record.manifest import REBUILD_VARIABLE, read_json, write_json
from ssacl_lib.settings import load_settings
from ssacl_lib.text.sections import sentences
from ssacl_lib.text.tokenizer import train_tokenizer
from ssacl_lib.training.batches import TrainingBatches

NAMES = [
    f"{side} pleural effusion. Heart is {size}." for side in ("Left", "Right", "No") for size in ("large", "normal")
]


# ---- the registry
def test_names_and_folders_are_unique_and_what_is_asked_is_known():
    for told in ([method.name for method in METHODS], [method.slug for method in METHODS]):
        assert len(set(told)) == len(told)
    for method in METHODS:
        assert method.group in GROUPS and method.variant in CELLS, method.name
        assert method.parts and set(method.parts) <= set(PARTS) == set(SCORES), method.name
        assert method_of(method.slug) is method_of(method.name) is method
        if method.made == registry.ANOTHER:
            assert set(OTHERS[method.name]) == set(method.parts)
    with pytest.raises(ValueError, match="no method 'SSACL'"):
        method_of("SSACL")


@pytest.mark.parametrize("profile", ["cpu", "smoke"])
def test_all_train_by_settings_that_there_are_for_the_same_number_of_images(profile):
    settings = load_settings(profile)
    runs = planned(settings)
    half = settings.training.images // 2
    assert {run.training.training.images for run in runs if run.method.group != registry.BUDGET} == {half}
    assert {run.training.training.images for run in runs if run.method.group == registry.BUDGET} == {2 * half, 4 * half}
    assert all(run.training.data == settings.data for run in runs)
    assert [run.seed for run in runs if run.method.name == SSACL] == list(range(OWN_SEEDS))
    elsewhere = Run(
        method_of(SSACL), 1, load_settings("cpu", seed=1)
    )  # the same training seed, other training patients
    here = Run(method_of(SSACL), 1, load_settings("cpu"))
    assert elsewhere.recipe != here.recipe and elsewhere.folder != here.folder and elsewhere.weights != here.weights
    assert [run.seed for run in runs if run.method.name == "MaCo-like"] == [0, 1, 2]
    recipes = [(run.recipe, run.method.pairs) for run in runs if run.method.made == registry.TRAINED]
    assert profile != "cpu" or len(set(recipes)) == len(recipes), "two methods that are the same"


def test_a_few_trainings_of_a_method_can_be_asked():
    settings = load_settings("smoke")
    assert [run.seed for run in planned(settings, [SSACL, "GLoRIA-like"], 2) if run.method.name == SSACL] == [0, 1]
    assert {run.seed for run in planned(settings, seeds=1)} == {0} and len(planned(settings, seeds=1)) == len(METHODS)
    with pytest.raises(ValueError, match="0 seeds, expected at least 1"):
        planned(settings, seeds=0)


def test_a_method_without_a_way_to_be_scored_says_where_it_goes(monkeypatch, tmp_path):
    settings = load_settings("smoke", out_dir=str(tmp_path))
    [run] = planned(settings, ["constant report"])
    monkeypatch.delitem(OTHERS, "constant report")
    monkeypatch.setattr(comparison, "test_studies", lambda settings: [])
    with pytest.raises(ValueError, match="constant report is made in another way, and OTHERS of .* for its reports"):
        comparison.make(run)


def test_runs_are_shown_once_they_can_be_compared_and_before_that_it_is_said(tmp_path, capsys):
    settings = load_settings("smoke", out_dir=str(tmp_path))
    assert tables.shown_settings(settings).profile == "cpu" and not capsys.readouterr().out
    write_runs(settings, {SSACL: 1, "flat graph": 1, "detector": 1})
    assert tables.shown_settings(settings).profile == "cpu"
    said = capsys.readouterr().out
    assert "of SS-ACL, detector, flat graph; to be compared they need" in said and "--profile smoke --seeds 1" in said
    write_runs(settings, {"contrast only": 1})
    assert tables.shown_settings(settings) is settings and not capsys.readouterr().out


ASKED = {name for name, value in vars(SSACLNetwork).items() if isinstance(value, FunctionType | property)} - {
    "forward", "passes", "generation_loss", "report_labels", "side_exchange", "recompute_activations"
}  # fmt: skip
"""What a network answers, beside its losses."""


def test_what_changes_answers_is_there_when_they_are_asked():
    """A network whose losses alone differ answers as SSACLModel; any other is asked itself."""
    for method in METHODS:
        ours = [kind for kind in method.kind.__mro__ if kind.__module__.startswith("ssacl_lib.baselines")]
        changed = {name for kind in ours for name in vars(kind)}
        assert issubclass(method.answers, SSACLModel)
        assert method.answers is method.kind or not changed & ASKED, method.name


# ---- numbers
def test_an_interval_over_studies_and_seeds_by_hand():
    draws = np.random.default_rng(0).normal(0.5, 0.1, (3, 501))
    value, low, high = tables.interval(draws)
    mean = draws.mean(0)
    inner = np.percentile(mean[1:], [2.5, 97.5])
    seeds = 4.302653 * draws[:, 0].std(ddof=1) / 3**0.5  # Student's distribution with 2 degrees of freedom
    by_hand = [mean[0], mean[0] - np.hypot(mean[0] - inner[0], seeds), mean[0] + np.hypot(inner[1] - mean[0], seeds)]
    assert [value, low, high] == pytest.approx(by_hand, rel=1e-6)
    assert tables.interval(draws[:1])[1:] == pytest.approx(np.percentile(draws[0, 1:], [2.5, 97.5]))


def test_numbers_are_those_of_pandas_and_scikit_learn(tmp_path):
    settings = load_settings("smoke", out_dir=str(tmp_path))
    write_runs(settings, {SSACL: 1})
    run = Run(method_of(SSACL), 0, settings)
    table = tables.comparison_table(tables.all_scores(settings, tmp_path / "cache"))
    found = table.set_index(["part", "detail", "metric"])["value"]
    parts = {part: pd.read_parquet(run.folder / f"{part}.parquet") for part in run.method.parts}
    of_finding = parts["findings"].groupby("finding")
    areas = [roc_auc_score(group["present"], group["probability"]) for _, group in of_finding]
    assert found["findings", "mean of findings", "auc"] == pytest.approx(np.mean(areas))
    phrases = parts["phrases"].set_index(["map", "control"])
    own, other = (phrases.loc[("masked", control)] for control in ("own", "swapped phrase"))
    assert found["phrases", "masked map", "cnr"] == pytest.approx(own["cnr"].mean())
    assert found["phrases", "masked map", "cnr_own_minus_swapped"] == pytest.approx(
        own["cnr"].mean() - other["cnr"].mean()
    )
    side = phrases.loc[("similarity", "swapped side")]["pointing"].mean()
    assert found["phrases", "similarity map", "pointing_swapped_side"] == pytest.approx(side)
    moved = parts["leaves"].set_index("films").loc["moved"]
    assert found["leaves", "films moved", "pointing"] == pytest.approx(moved["pointing"].mean())
    references = pd.read_parquet(tmp_path / "comparison" / "smoke" / "references.parquet")
    labels = np.stack(parts["reports"]["generated_labels"]), np.stack(references["labels"])
    for ending, wide in (("", False), ("_uncertain_as_positive", True)):
        clinical = clinical_intervals(*labels, wide, 10, 0)
        for name in ("micro_f1_13", "micro_f1_14"):
            assert found["reports", "reports", name + ending] == pytest.approx(clinical[name].value)
    assert (table["n"] == STUDIES).all() and (table["low"] <= table["high"]).all()


@pytest.mark.slow  # starts processes
def test_words_counted_by_processes_are_those_counted_here(tmp_path, monkeypatch):
    settings = load_settings("smoke", out_dir=str(tmp_path))
    write_runs(settings, {SSACL: 2, "R2Gen-like": 1})
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(comparison_texts, "MANY", 2)
    monkeypatch.setenv(REBUILD_VARIABLE, "1")  # so that what lies elsewhere is not taken
    runs = tables.scored_runs(settings)
    comparison_texts.count_all(runs)
    made = sorted(comparison_texts.kept().iterdir())
    assert made
    for run in runs:
        frame = pd.read_parquet(run.folder / "reports.parquet").sort_values("study")
        texts = comparison_texts.texts_of(frame, settings)
        kept = comparison_texts.lexical_counts(*texts)
        pd.testing.assert_frame_equal(kept, comparison_texts.lexical_counts(*texts, tmp_path / "here"))
    assert sorted(comparison_texts.kept().iterdir()) == made, "nothing was counted again"


KEYS = [(REPORTS, "reports", metric) for metric in (*comparison_margins.LEXICAL, *comparison_margins.CLINICAL.values())]
KEYS += [(PHRASES, kind, metric) for kind in comparison_margins.MAP_NAMES.values() for metric in tables.GROUNDING]


def scored(method: Method, factor: float, seeds: int = 2) -> tables.Scores:
    """Scores of a method that are a multiple of what draws of studies give."""
    draws = 1 + np.random.default_rng(3).random((1, 101)) + 0.1 * np.arange(seeds)[:, None]
    files = {part: f"{method.slug}/{part}.parquet" for part, *_ in KEYS}
    return tables.Scores(method, dict.fromkeys(KEYS, factor * draws), dict.fromkeys(KEYS, 30), files)


def test_what_is_kept_per_study_is_read_back_to_one_in_eight_thousand(tmp_path):
    generator = np.random.default_rng(3)
    values = generator.normal(size=500) * 10.0 ** generator.integers(-30, 30, 500)
    values[:5] = np.nan, np.inf, -np.inf, 0, 0.125
    frame = pd.DataFrame(
        {"study": [f"s{k // 5}" for k in range(500)], "unlike": values, "alike": values[:10].repeat(50)}
    )
    frame = frame.assign(labels=list(generator.integers(-2, 2, (500, 14)).astype(np.int8)), hit=values > 0)
    write_parquet(tmp_path / "rows.parquet", frame)
    kept = pd.read_parquet(tmp_path / "rows.parquet")
    for name in ("unlike", "alike"):
        assert kept[name].dtype == np.float32
        np.testing.assert_allclose(kept[name], frame[name], rtol=1 / 8000)  # NaN and infinities as they are
    assert np.array_equal(np.stack(kept["labels"]), np.stack(frame["labels"]))
    assert kept[["study", "hit"]].equals(frame[["study", "hit"]])
    write_parquet(tmp_path / "again.parquet", kept.astype({"unlike": float, "alike": float}))
    assert pd.read_parquet(tmp_path / "again.parquet").equals(kept)  # rounding twice loses nothing more


def test_margins_are_paired_and_the_best_rival_is_neither_ours_nor_annotated():
    own = scored(method_of(SSACL), 1.0)
    equal = comparison_margins.margins(
        [
            scored(method_of(SSACL), 1.0, seeds=1),
            scored(method_of("MaCo-like"), 1.0, seeds=1),
            scored(method_of("contrast only"), 0.5),
        ]
    )
    assert len(equal) == 1 + 3 + 2 + 6 and (equal["best_baseline"] == "MaCo-like").all()
    assert np.allclose(equal[["margin", "low", "high"]], 0, atol=1e-12), "the same number in every draw"
    others = [
        scored(method_of("without L_ar"), 3.0),
        scored(method_of("detector"), 2.0),
        scored(method_of("SS-ACL, oracle findings"), 2.0),
        scored(method_of("PromptMRG-like, 4 times the images"), 2.0),
        scored(method_of("GLoRIA-like"), 0.8, seeds=1),
        scored(method_of("MaCo-like"), 0.5),
    ]
    table = comparison_margins.margins([own, *others])
    assert (table["best_baseline"] == "GLoRIA-like").all() and (table["method"] == SSACL).all()
    assert (table["seeds"] == 2).all() and (table["n"] == 30).all()
    assert table["file"].iloc[0] == "ss-acl/reports.parquet; gloria-like/reports.parquet"
    one = comparison_margins.margins([scored(method_of(SSACL), 1.0, seeds=1), *others])
    assert np.allclose(one[["margin", "low", "high"]], 1 / 0.8 - 1), (
        "a ratio that is the same in every draw has no width"
    )
    assert not len(comparison_margins.margins(others))


def test_differences_are_of_the_same_trainings_where_there_are_as_many():
    """Five trainings that rise by 0.1 x factor: the first three are subtracted from the three, a mean where there are fewer."""
    key = comparison_margins.F1
    longer, looks, own = (
        scored(method_of(name), factor, seeds)
        for name, factor, seeds in (("SS-ACL, writer as long", 1.0, 3), ("SS-ACL+ writer", 1.5, 3), (SSACL, 0.5, 5))
    )
    table = comparison_margins.writers([own, longer, looks]).set_index(["method", "floor", "metric"])
    for method, floor, first, then in (
        ("SS-ACL+ writer", "SS-ACL, writer as long", looks, longer),
        ("SS-ACL, writer as long", SSACL, longer, own),
    ):
        row = table.loc[method, floor, key[2]]
        wanted = tables.interval(first.draws[key] - then.draws[key][:3])
        assert tuple(row[["value", "low", "high"]]) == pytest.approx(wanted) and row["runs"] == 3
    mean = comparison_margins.differences(
        [longer, scored(method_of(SSACL), 0.5, 2)], [("SS-ACL, writer as long", SSACL, key)]
    )
    assert mean["value"].iloc[0] == pytest.approx(
        longer.draws[key][:, 0].mean() - scored(method_of(SSACL), 0.5, 2).draws[key][:, 0].mean()
    )
    assert not len(comparison_margins.writers([own, longer.__class__(method_of("start"), {}, {}, {})]))
    told = comparison_words.writer_words(table.reset_index()).data
    assert told.count("better") == len(table) and "3 trainings" in told


def test_report_cases_are_the_first_with_two_findings_beside_the_best_rival(monkeypatch, tmp_path):
    settings = load_settings("smoke", out_dir=str(tmp_path))
    write_runs(settings, {SSACL: 1, "contrast only": 1, "R2Gen-like": 1})
    references = pd.read_parquet(results_folder(settings) / "references.parquet")
    films = [SimpleNamespace(study_id=name, image=None) for name in references["study"]]
    monkeypatch.setattr(comparison_cases, "load_evaluation", lambda *_: films)
    several = [k for k, labels in enumerate(references["labels"]) if (np.asarray(labels)[1:] == 1).sum() > 1]
    found = comparison_cases.report_cases(settings, tables.all_scores(settings, tmp_path / "cache"), count=2)
    assert [case.study for case in found] == list(references["study"].iloc[several[:2]])
    for case in found:
        assert list(case.texts) == ["the reference", SSACL, "R2Gen-like"] and not case.evidence
        written = pd.read_parquet(Run(method_of(SSACL), 0, settings).folder / "reports.parquet").set_index("study")
        said = " ".join(piece for piece, _ in case.texts[SSACL])
        assert said.split() == " ".join(sentences(written.loc[case.study, "generated"])).split(), "headings are no text"
    assert comparison_cases.report_cases(settings, []) == []


def test_margins_over_trained_rivals_leave_floors_and_larger_budgets_out():
    made = {SSACL: 1.0, "start": 3.0, "centre prior": 4.0, "nearest training report": 5.0, "MaCo-like": 0.5,
            "MaCo-like, 4 times the images": 2.0, "detector": 6.0}  # fmt: skip
    scores = [scored(method_of(name), factor) for name, factor in made.items()]
    assert (comparison_margins.margins(scores)["best_baseline"] == "nearest training report").all()
    table = comparison_margins.margins_over_trained(scores)
    assert (table["best_baseline"] == "MaCo-like").all() and table["margin"].between(0.9, 1.2).all()


def test_trainings_of_both_widen_a_margin():
    """Half widths by hand: t s / sqrt(k) of the margin over SS-ACL's k seeds, and over the rival's, add in squares."""
    own, rival = scored(method_of(SSACL), 1.0, seeds=5), scored(method_of("MaCo-like"), 0.5, seeds=3)
    table = comparison_margins.margins([own, rival])
    ours, theirs = own.draws[KEYS[0]][:, 0], rival.draws[KEYS[0]][:, 0]
    draws = own.draws[KEYS[0]].mean(0) / rival.draws[KEYS[0]].mean(0) - 1
    low, high = np.percentile(draws[1:], [2.5, 97.5])
    seeds = 2.776445 * (ours / theirs.mean()).std(ddof=1) / 5**0.5  # Student's distribution with 4 degrees of freedom
    slope = ours.mean() / theirs.mean() ** 2  # of own / rival
    rivals = 4.302653 * slope * theirs.std(ddof=1) / 3**0.5  # and with 2
    by_hand = [draws[0], draws[0] - (np.square([draws[0] - low, seeds, rivals]).sum()) ** 0.5,
               draws[0] + (np.square([high - draws[0], seeds, rivals]).sum()) ** 0.5]  # fmt: skip
    assert np.allclose(table[["margin", "low", "high"]], by_hand) and (table["seeds"] == 5).all()


def test_a_rival_that_was_trained_once_borrows_a_spread_and_one_that_was_not_trained_has_none():
    own = scored(method_of(SSACL), 1.0, seeds=5)

    def over(name):
        return comparison_margins.margins([own, scored(method_of(name), 0.5, seeds=1)]).set_index("metric").loc["cnr"]

    once, never = over("MaCo-like"), over("start")
    assert (once["rival_seeds"], never["rival_seeds"], once["seeds"]) == (1, 0, 5)
    assert once["margin"] == pytest.approx(never["margin"])
    ours = own.draws[KEYS[-1]][:, 0]
    slope = ours.mean() / (0.5 * scored(method_of(SSACL), 1.0, 1).draws[KEYS[-1]][0, 0]) ** 2
    lent = 2.776445 * ours.std(ddof=1) * slope  # t_4 s, not divided by the root of 5: one training of the rival
    for end in ("low", "high"):
        known = np.hypot(never[end] - never["margin"], lent)
        assert abs(once[end] - once["margin"]) == pytest.approx(known)


@pytest.mark.parametrize("trainings", [5, 33, 200])
def test_a_borrowed_spread_is_as_wide_whatever_number_of_trainings_lends_it(trainings):
    """One training that borrows lies t s to each side; of a rival that is t s own / rival^2, and no pole of the ratio is met."""
    apart = np.linspace(-1, 1, trainings)
    lender = 1 + 0.1 * (apart / apart.std(ddof=1))[:, None]  # s = 0.1
    rival = comparison_margins.borrowed(np.ones((1, 1)), lender)
    assert rival.mean() == pytest.approx(1) and (rival.min() < 0) == (trainings == 200), "sqrt(k) times as far apart"
    wide = comparison_margins.spread_of_rival(2 * np.ones((1, 1)), rival)
    assert wide == pytest.approx(stats.t.ppf(0.975, trainings - 1) * 0.1 * 2)


def test_the_difference_and_the_ratio_of_pairs_by_hand_and_by_the_test_they_turn_around():
    """Sum and difference of pairs that spread alike are not correlated: at each end of the interval they just are (p = .05)."""
    generator = np.random.default_rng(0)
    first = generator.normal(size=12)
    second = 0.5 * first + generator.normal(size=12)
    value, low, high = comparison_trainings.ratio(first, second)
    assert value == pytest.approx(first.std() / second.std()) and low < value < high
    for end in (low, high):
        assert stats.pearsonr(first + end * second, first - end * second).pvalue == pytest.approx(0.05)
    assert comparison_trainings.ratio(second, first) == pytest.approx((1 / value, 1 / high, 1 / low))
    apart = first - second
    half = stats.t.ppf(0.975, 11) * apart.std(ddof=1) / 12**0.5
    wanted = apart.mean() + np.array([0, -half, half])
    assert comparison_trainings.difference(first, second) == pytest.approx(tuple(wanted))


def test_trainings_kept_apart_are_held_against_those_of_the_same_seeds_and_pooled_with_none(tmp_path):
    """Those of seeds 1, 2 and 4 that are kept apart hold what the seeds after them gave, and come from other kernels."""
    settings, method = load_settings("smoke", out_dir=str(tmp_path)), method_of(SSACL)
    write_runs(settings, {SSACL: 6})

    def tables_now():
        scores = tables.all_scores(settings, tmp_path / "cache")
        return tables.comparison_table(scores), comparison_trainings.by_kernels(scores, settings, tmp_path / "cache")

    before, nothing = tables_now()
    assert not len(nothing) and "only one kind" in training_words.kernel_words(nothing).data
    for seed in (1, 2, 4):
        own, apart = (kind(method, seed, settings).folder for kind in (Run, comparison_trainings.RunApart))
        shutil.copytree(Run(method, seed + 1, settings).folder, apart)
        write_json(apart / "run.json", {**read_json(own / "run.json"), "kernels": "C, CPU"})
    after, found = tables_now()
    pd.testing.assert_frame_equal(after, before)
    assert (found[["runs", "seed"]] == [6, PATIENTS]).all(None) and len(found) == 2 * len(
        comparison_trainings.OF_CLAIMS
    )
    assert list(found["about"].unique()) == ["B and A minus C", "B and A over C"]

    scores = tables.all_scores(settings, tmp_path / "cache")[0].draws
    for key, rows in found.groupby(["part", "detail", "metric"]):
        values = scores[key][:, 0]
        pairs = values[[1, 2, 4]], values[[2, 3, 5]]
        for row, told in zip(
            rows.itertuples(), (comparison_trainings.difference, comparison_trainings.ratio), strict=True
        ):
            assert (row.value, row.low, row.high) == pytest.approx(told(*pairs))
    told = training_words.kernel_words(found.assign(low=-1.0, high=[0.5, 3.0] * 4)).data
    assert told.startswith("Of 8 comparisons of the same seeds, 4 of them of means, 0 tell")


def test_correlations_of_trainings_with_their_losses_by_hand_and_as_sentences():
    """Two kinds that lie apart in both: what is the same in all trainings of a kind is no correlation."""
    generator = np.random.default_rng(0)
    kinds = pd.Series(["A"] * 12 + ["B"] * 12)
    first, second = pd.Series(generator.normal(size=24)), pd.Series(generator.normal(size=24))
    value, low, high = comparison_trainings.correlation(first, second, kinds)
    apart = kinds.map({"A": 0.0, "B": 50.0})
    assert comparison_trainings.correlation(first + apart, second + apart, kinds) == pytest.approx((value, low, high))
    alone = comparison_trainings.correlation(first, second, pd.Series(["A"] * 24))  # one kind: scipy's
    known = stats.pearsonr(first, second)
    assert alone == pytest.approx((known.statistic, *known.confidence_interval(0.95)))

    about = {"method": SSACL, "part": "phrases", "metric": "cnr", "n": 30, "runs": 9, "seed": PATIENTS}
    rows = [
        {**about, "detail": kind, "about": f"correlation with {loss}", "value": r, "low": r - 0.3, "high": r + 0.3}
        for kind, loss, r in (
            ("masked map", "total", -0.5),
            ("masked map", "report_generation", 0.2),
            ("similarity map", "total", 0.1),
        )
    ]
    told = pd.DataFrame({"masked map": [0.5, 1.0], "similarity map": [0.5, -0.25], "total": [5.0, 4.5]})
    masked, similarity, message, picked = training_words.loss_words(told, pd.DataFrame(rows)).data.splitlines()
    assert (
        "CNR 0.50 to 1.00 in 2 trainings" in masked and "lower with a higher total (r -0.50 [-0.80, -0.20])" in masked
    )
    assert "report generation" not in masked and "none of 1 losses tells which" in similarity
    assert (
        "Of 3 correlations" in message
        and " 1 are told apart" in message
        and "25 % of the variance between trainings (interval up to 64 %)" in message
    )
    assert picked.endswith("by CNR, place: masked map 1 of 2, similarity map 2 of 2.")
    assert "not trained often enough" in training_words.loss_words(pd.DataFrame(), pd.DataFrame()).data


def test_the_losses_of_a_training_are_its_last_on_validation_films(tmp_path):
    settings = load_settings("smoke", out_dir=str(tmp_path))
    write_runs(settings, {SSACL: comparison_trainings.LEAST})
    scores = tables.all_scores(settings, tmp_path / "cache")
    told = comparison_trainings.trainings(scores, settings)
    assert len(told) == comparison_trainings.LEAST and set(told["kernels"]) == {"A", "B"}
    history = pd.read_parquet(Run(method_of(SSACL), 3, settings).folder / "history.parquet")
    last = history[(history["images"] == 2000) & (history["split"] == "validation")].set_index("term")["value"]
    assert told["total"][3] == last["total"] and told["global_contrastive"][3] == last["global_contrastive"]
    phrases = pd.read_parquet(Run(method_of(SSACL), 3, settings).folder / "phrases.parquet")
    own = phrases[(phrases["control"] == "own") & (phrases["map"] == "masked")]
    assert told["masked map"][3] == pytest.approx(own["cnr"].mean())
    table = comparison_trainings.by_losses(scores, settings)
    assert (
        len(table) == 4 and (table["runs"] == comparison_trainings.LEAST).all() and (table["low"] < table["high"]).all()
    )
    (Run(method_of(SSACL), 3, settings).folder / "run.json").unlink()  # one too few
    assert comparison_trainings.by_losses(scores, settings).empty


def test_margins_at_a_budget_are_over_rivals_of_that_budget_or_without_training():
    times = ", 4 times the images"
    table = budget_margins(
        [
            scored(method_of(SSACL), 1.0, seeds=1),
            scored(method_of("MaCo-like"), 0.5),
            scored(method_of("contrast only"), 9.0),  # trained with one budget
            scored(method_of("start"), 0.6),
            scored(method_of(SSACL + times), 3.0, seeds=1),
            scored(method_of("MaCo-like" + times), 2.0, seeds=1),
            scored(method_of("PromptMRG-like, 2 times the images"), 9.0),
        ],
        load_settings("cpu"),
    )
    assert list(dict.fromkeys(table["images"])) == [18000, 72000], "SS-ACL was not trained with twice the images"
    small, large = (part for _, part in table.groupby("images"))
    assert (small["best_baseline"] == "start").all() and (large["best_baseline"] == "MaCo-like").all()
    assert np.allclose(large[["margin", "low", "high"]], 0.5), "a ratio that is the same in every draw"
    assert not len(budget_margins([], load_settings("cpu")))


def test_differences_to_the_start_are_paired_and_named_by_their_reason():
    key = (PHRASES, "masked map", "cnr")
    draws = 1 + np.random.default_rng(5).random((1, 101))
    made = {"start": draws, SSACL: draws - 0.2 + [[-0.01], [0.01]], "without L_ac": draws + 0.1, "R2Gen-like": draws}
    table = over_start([tables.Scores(method_of(name), {key: of}, {key: 30}, {}) for name, of in made.items()])
    assert list(table["method"]) == [SSACL, "without L_ac", "without L_ac"]
    assert list(table["against"]) == ["start", "start", SSACL]
    assert list(table["reason"]) == ["as it is", *2 * ["one or two of its losses"]]
    half = 12.706205 * 0.01 * 2**0.5 / 2**0.5  # t of two trainings, s / sqrt(2)
    lent = half * 2**0.5  # one training: the same s, not divided by the root of 2
    one_more = half * 3**0.5  # against SS-ACL: t s sqrt(1 + 1/2)
    assert np.allclose(
        table[["value", "low", "high"]],
        [[-0.2, -0.2 - half, -0.2 + half], [0.1, 0.1 - lent, 0.1 + lent], [0.3, 0.3 - one_more, 0.3 + one_more]],
    )
    assert list(table["runs"]) == [2, 1, 1]
    assert not len(over_start([tables.Scores(method_of(SSACL), {key: draws}, {key: 30}, {})]))
    assert {name for names in REASONS.values() for name in names} <= {method.name for method in METHODS}


# ---- a changed anatomy
@pytest.fixture(scope="module")
def settings():
    return load_settings("smoke", **{**SMALL, "model.dropout": 0.0, "model.text_pooling": "mean"})


@pytest.fixture(scope="module")
def build(settings):
    """Networks of any class with the weights of one and the same."""
    tokenizer = train_tokenizer(NAMES + [" ".join(default_graph().nodes)])
    plain = build_network(settings, tokenizer, SSACLModel).eval()
    torch.nn.init.normal_(plain.text.bert.embeddings.word_embeddings.weight)  # so that names differ before any training

    def make(kind):
        model = build_network(settings, tokenizer, kind).eval()
        assert all(
            value.any() for name, value in model.named_parameters() if name.endswith(("cls_token", "mask_token"))
        )
        model.load_state_dict(plain.state_dict())
        return model

    return make


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def batch(settings, build):
    films = np.random.default_rng(0).integers(0, 255, (len(NAMES), 32, 32), dtype=np.uint8)
    batches = TrainingBatches(settings, View(NAMES, films), build(SSACLModel).processor, 8, place=(0, 1))
    return next(
        batch for batch in (batches[k] for k in range(8)) if batch.prompt_ids.shape[1] and batch.leaf_open.any()
    )


def places(names) -> list[int]:
    return [default_graph().index(name) for name in names]


LEAVES, PARENTS = places(default_graph().leaves), places(default_graph().parents)


@torch.no_grad()
def test_shuffled_names_exchange_all_leaves_and_are_asked_where_the_name_stands(build, pixels):
    order = wrong_anatomy.shuffled_order()
    assert sorted(order) == list(range(25)) and (order != np.arange(25)).all()
    plain, shuffled = build(SSACLModel), build(wrong_anatomy.ShuffledNames)
    before, after = plain.default_queries(), shuffled.default_queries()
    assert torch.allclose(after[LEAVES], before[LEAVES][order], atol=1e-6)
    assert not torch.allclose(after[PARENTS], before[PARENTS], atol=1e-3), "parents are restored from other names"
    at_places = SSACLModel.leaf_attention(shuffled, pixels)
    own, asked = plain.leaf_attention(pixels), shuffled.leaf_attention(pixels)
    assert torch.allclose(asked, own, atol=1e-6), "a leaf is asked by its name"
    assert torch.allclose(at_places, own[:, order], atol=1e-6) and not torch.allclose(at_places, own, atol=1e-4)


@torch.no_grad()
def test_a_flat_graph_has_parents_that_are_all_the_mean_of_all_leaves(build):
    plain, flat = build(SSACLModel), build(wrong_anatomy.FlatGraph)
    before, after = plain.default_queries(), flat.default_queries()
    assert torch.allclose(after[LEAVES], before[LEAVES], atol=1e-6)
    assert torch.allclose(after[PARENTS], before[LEAVES].mean(0).expand(7, -1), atol=1e-6)
    nodes = torch.randn(2, 32, plain.config.width, generator=torch.Generator().manual_seed(1))
    pictures = flat.decoder.restored_parents(nodes)
    leaves = nodes[:, LEAVES]
    by_hand = flat.decoder.read_first(torch.cat([leaves.mean(1, keepdim=True), leaves], 1))
    assert torch.allclose(pictures, by_hand[:, None].expand_as(pictures), atol=1e-6)
    assert pictures.shape == plain.decoder.restored_parents(nodes).shape
    changed = nodes.clone()
    changed[:, PARENTS] = 0
    assert torch.equal(flat.decoder.restored_parents(changed), pictures), "no parent is read"
    assert not torch.allclose(plain.decoder.restored_parents(changed), plain.decoder.restored_parents(nodes))


@torch.no_grad()
def test_own_names_and_nonsense_read_other_texts(build):
    plain, own, nonsense = (build(kind) for kind in (SSACLModel, wrong_anatomy.OwnNames, wrong_anatomy.NonsenseNames))
    before, after = plain.default_queries(), own.default_queries()
    assert torch.allclose(after[LEAVES], before[LEAVES], atol=1e-5)
    names = own.name_to_query(own.text(*own.processor.text(list(default_graph().parents), own.config.cls_before_names)))
    assert torch.allclose(after[PARENTS], names, atol=1e-5) and not torch.allclose(names, before[PARENTS], atol=1e-3)
    invented = wrong_anatomy.nonsense_names()
    words = {word for name in invented for word in name.split()}
    assert len(set(invented)) == 25 and not words & set(" ".join([*default_graph().nodes, *NAMES]).lower().split())
    read = nonsense.default_queries()
    assert torch.equal(read, nonsense.prompt_queries(*plain.processor.text(["heart"]))), (
        "what the batch brings is not read"
    )
    assert not torch.allclose(read[LEAVES], before[LEAVES], atol=1e-3)


@torch.no_grad()
def test_patches_that_see_queries_change_with_a_name_and_the_faithful_ones_do_not(build, pixels):
    for kind, sees in ((SSACLModel, False), (wrong_anatomy.SeenQueries, True)):
        model = build(kind)
        queries = model.default_queries()
        renamed = queries.clone()
        renamed[LEAVES[3]] = -renamed[LEAVES[3]]
        one, two = model.encoder(pixels, None, queries), model.encoder(pixels, None, renamed)
        assert torch.allclose(one.patches, two.patches, atol=1e-6) != sees
        assert torch.allclose(one.cls, two.cls, atol=1e-6) != sees
        bare = model.encoder(pixels)
        assert torch.allclose(bare.patches, one.patches, atol=1e-5), "patches are the same whoever asks"
        assert model.leaf_attention(pixels).sum(-1) == pytest.approx(1, abs=1e-5)


def test_shuffled_pairs_keep_films_and_move_reports_with_their_labels():
    labels = np.arange(6)[:, None] * np.ones((1, 14), np.int8)
    own = SimpleNamespace(reports=NAMES, labels=labels, images=lambda rows: np.asarray(rows))
    own = type("Studies", (SimpleNamespace,), {"__len__": lambda self: 6})(**vars(own))
    pairs = wrong_anatomy.ShuffledPairs(own, 1)
    assert sorted(pairs.reports) == sorted(NAMES) and pairs.reports != NAMES and len(pairs) == 6
    assert [NAMES.index(report) for report in pairs.reports] == pairs.labels[:, 0].tolist()
    assert pairs.images([2, 4]).tolist() == [2, 4]


# ---- contrast
def test_local_similarity_is_the_formula_and_reads_no_padding():
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    words = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    found = contrast.local_similarity(patches, words, mask)
    for film in range(3):
        for report in range(2):
            total, count = 0.0, int(mask[report].sum())
            for word in words[report, :count]:
                fits = [F.cosine_similarity(word, patch, dim=0) for patch in patches[film]]
                share = torch.softmax(4 * torch.stack(fits), 0)
                context = sum(s * patch / patch.norm() for s, patch in zip(share, patches[film], strict=True))
                total += torch.exp(5 * F.cosine_similarity(word, context, dim=0)) / count
            assert found[film, report].item() == pytest.approx(torch.log(total).item() / 5, abs=1e-5)
    other = words.clone()
    other[1, 2:] = 100.0
    assert torch.allclose(contrast.local_similarity(patches, other, mask), found)


def test_contrast_by_hand_and_its_network(build, batch):
    similarity, temperature = torch.tensor([[0.9, 0.1], [0.4, 0.6]]), torch.tensor(0.5)
    rows = [np.log(1 + np.exp((0.1 - 0.9) / 0.5)), np.log(1 + np.exp((0.4 - 0.6) / 0.5))]
    columns = [np.log(1 + np.exp((0.4 - 0.9) / 0.5)), np.log(1 + np.exp((0.1 - 0.6) / 0.5))]
    assert contrast.contrast(similarity, temperature).item() == pytest.approx((sum(rows) + sum(columns)) / 4, abs=1e-6)
    model, local = build(contrast.ContrastNetwork), build(contrast.LocalContrastNetwork)
    films = F.normalize(model.image_embedding(batch.pixels), dim=-1)
    reports = F.normalize(model.text(batch.text_ids, batch.text_mask), dim=-1)
    whole = contrast.contrast(films @ reports.T, model.temperature)
    assert model(batch)["global_contrastive"].item() == pytest.approx(whole.item(), abs=1e-5)
    terms = local(batch)
    assert set(terms) == {"global_contrastive"} and torch.isfinite(terms["global_contrastive"])


# ---- prompts
def test_writers_without_prompts_learn_what_ssacl_learns_on_a_batch_without_them(build, batch):
    terms = ("report_generation",)
    closed = {"leaf_open": torch.zeros_like(batch.leaf_open)}
    bare = {"prompt_ids": batch.prompt_ids[:, :0], "prompt_mask": batch.prompt_mask[:, :0]}
    plain = build(SSACLModel)

    def loss(model, **changes) -> float:
        return model(type(batch)(**{**batch.tensors(), **changes}), terms=terms)["report_generation"].item()

    whole = loss(plain)
    for kind, changes in ((LeavesClosed, closed), (LeavesWithoutText, bare), (PatchesAlone, {**closed, **bare})):
        found = loss(build(kind))
        assert found == pytest.approx(loss(plain, **changes), abs=1e-6) and abs(found - whole) > 1e-6, kind
    frozen = build(FrozenEncoder)
    frozen(batch, terms=terms)["report_generation"].backward()
    assert not any(p.grad is not None for p in frozen.encoder.parameters())
    assert any(p.grad is not None and p.grad.any() for p in frozen.language.parameters())
