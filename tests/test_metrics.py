"""Metrics: values by hand, other implementations, and what must not change them."""

import math
import shutil
import subprocess

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score

from ssacl_lib.metrics import clinical, grounding, intervals, lexical
from ssacl_lib.observations import BLANK, NEGATIVE, OBSERVATIONS, POSITIVE, UNCERTAIN

MAP = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 8.0]])  # in [-1, 1]: -1, -.75, -.5 / -.25, 0, 1
RIGHT = np.array([[0, 0, 1], [0, 0, 1]], bool)

METRICS = ["contrast_to_noise_ratio", "iou", "pointing_game", "pointing_share", "dice", "recall", "precision"]

# --- grounding ---


def test_contrast_to_noise_is_signed_with_population_variances():
    inside, outside = np.array([2.0, 8.0]), np.array([0.0, 1.0, 3.0, 4.0])
    assert inside.var() == 9 and outside.var() == 2.5
    by_hand = (5 - 2) / math.sqrt(9 + 2.5)
    assert grounding.contrast_to_noise_ratio(MAP, RIGHT) == pytest.approx(by_hand, abs=1e-14)
    assert grounding.contrast_to_noise_ratio(MAP, ~RIGHT) == pytest.approx(-by_hand, abs=1e-14)
    assert grounding.contrast_to_noise_ratio(5 * MAP + 2, RIGHT) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("level", [0.0, 0.1, -7.3])
def test_a_constant_map_is_defined_everywhere(level):
    constant = np.full((2, 3), level)
    assert grounding.contrast_to_noise_ratio(constant, RIGHT) == 0
    assert grounding.pointing_game(constant, RIGHT) == 1  # every pixel is a maximum, and any counts
    assert grounding.pointing_share(constant, RIGHT) == 1 / 3  # every pixel is a maximum: chance
    for metric in (grounding.iou, grounding.dice, grounding.recall, grounding.precision):
        assert metric(constant, RIGHT).tolist() == [0] * 5


def test_overlap_is_counted_strictly_above_each_threshold():
    thresholds = (-0.5, -0.25, 0.0, 0.99, 1.0)  # found: -.25 0 1 | 0 1 | 1 | 1 | nothing
    assert grounding.iou(MAP, RIGHT, thresholds) == pytest.approx([1 / 4, 1 / 3, 1 / 2, 1 / 2, 0])
    assert grounding.dice(MAP, RIGHT, thresholds) == pytest.approx([2 / 5, 2 / 4, 2 / 3, 2 / 3, 0])
    assert grounding.recall(MAP, RIGHT, thresholds) == pytest.approx([1 / 2, 1 / 2, 1 / 2, 1 / 2, 0])
    assert grounding.precision(MAP, RIGHT, thresholds) == pytest.approx([1 / 3, 1 / 2, 1, 1, 0])
    assert grounding.iou(100 * MAP - 3, RIGHT).tolist() == grounding.iou(MAP, RIGHT).tolist()
    assert grounding.iou(MAP, RIGHT).shape == (5,)


def test_pointing_counts_any_of_several_maxima():
    assert (grounding.pointing_game(MAP, RIGHT), grounding.pointing_game(MAP, ~RIGHT)) == (1, 0)
    tie = np.array([[8.0, 0, 0], [0, 0, 8.0]])
    assert grounding.pointing_game(tie, RIGHT) == 1


def test_the_share_of_maxima_is_chance_where_the_map_says_nothing_and_the_game_where_it_points():
    assert (grounding.pointing_share(MAP, RIGHT), grounding.pointing_share(MAP, ~RIGHT)) == (1, 0)
    assert grounding.pointing_share(np.array([[8.0, 0, 8.0], [8.0, 0, 8.0]]), RIGHT) == 0.5
    mask = np.zeros((96, 96), bool)
    mask[10:30, 20:70] = True
    rough = np.full(mask.shape, 0.1234567, np.float32)
    rough[50, 50] = np.nextafter(rough[50, 50], np.float32(1))  # what smoothing leaves of a constant map
    for heatmap in (np.zeros(mask.shape), rough):
        assert grounding.pointing_share(heatmap, mask) == mask.mean() == 1000 / 96**2
    rough[20, 30] += 1e-3
    assert grounding.pointing_share(rough, mask) == 1


def test_tensors_and_arrays_give_the_same():
    for metric in (grounding.contrast_to_noise_ratio, grounding.iou, grounding.pointing_game, grounding.dice):
        tensors = metric(torch.tensor(MAP, dtype=torch.bfloat16, requires_grad=True), torch.tensor(RIGHT))
        assert np.array_equal(tensors, metric(MAP, RIGHT))


@pytest.mark.parametrize("metric", METRICS)
def test_maps_and_masks_that_say_nothing_are_refused(metric):
    metric = getattr(grounding, metric)
    with pytest.raises(ValueError, match="mask is empty"):
        metric(MAP, np.zeros_like(RIGHT))
    with pytest.raises(ValueError, match=r"\(2, 3\) and mask \(3, 2\)"):
        metric(MAP, RIGHT.T)
    with pytest.raises(ValueError, match="1 NaN"):
        metric(np.where(MAP == 8, np.nan, MAP), RIGHT)


def test_contrast_needs_an_outside():
    with pytest.raises(ValueError, match="covers the whole image"):
        grounding.contrast_to_noise_ratio(MAP, np.ones_like(RIGHT))


def test_centre_prior_peaks_in_the_middle_and_is_symmetric():
    prior = grounding.centre_prior(9, 15)
    assert prior[4, 7] == prior.max() == 1
    assert np.allclose(prior, prior[::-1, ::-1])


# --- lexical ---

REFERENCES = ["The heart is normal. No effusion.", "Small left pleural effusion.", "Lungs are clear and well expanded."]
GENERATED = ["The heart is normal. No edema.", "Left pleural effusion.", ""]


@pytest.fixture
def no_java(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_tokens_are_lower_case_with_punctuation_apart():
    assert lexical.tokenise(" No\n2.5 cm nodule, right-sided.") == "no 2.5 cm nodule , right - sided ."
    assert lexical.release_tokenise("No\n effusion,  PA view.") == "No effusion, PA view ."


def test_bleu_by_hand(no_java):
    scores = lexical.score_reports(["a b c"], ["a b d e"])
    brevity = math.exp(1 - 4 / 3)
    assert scores.corpus["bleu1"] == pytest.approx(brevity * 2 / 3, abs=1e-8)
    assert scores.corpus["bleu2"] == pytest.approx(brevity * math.sqrt(2 / 3 * 1 / 2), abs=1e-8)


def test_summed_counts_give_the_same_bleu_as_pycocoevalcap(no_java, capsys):
    scores = lexical.score_reports(GENERATED, REFERENCES)
    names = [f"bleu{order}" for order in (1, 2, 3, 4)]
    counts = lexical.bleu_counts(GENERATED, REFERENCES)
    assert np.allclose(lexical.bleu_of_counts(counts), scores.per_study[names], rtol=0, atol=1e-14)
    assert np.allclose(lexical.bleu_of_counts(counts.sum(0)), [scores.corpus[n] for n in names], rtol=0, atol=1e-14)
    assert capsys.readouterr().out == ""


def test_corpus_values_are_the_centres_of_the_intervals_and_order_does_not_matter(no_java):
    scores = lexical.score_reports(GENERATED, REFERENCES)
    found = lexical.lexical_intervals(GENERATED, REFERENCES, resamples=50, scores=scores)
    assert list(found) == list(scores.corpus) == list(scores.per_study) == list(lexical.METRICS)
    assert math.isnan(found["meteor"].value) and scores.per_study["meteor"].isna().all()
    assert "no java" in lexical.meteor_note()
    for name in ("bleu1", "bleu4", "rouge_l", "cider"):
        assert found[name].value == pytest.approx(scores.corpus[name], abs=1e-14)
        assert found[name].low <= found[name].value <= found[name].high
    assert lexical.score_reports(GENERATED[::-1], REFERENCES[::-1]).corpus == pytest.approx(scores.corpus, nan_ok=True)


def test_pairs_are_required():
    with pytest.raises(ValueError, match="1 generated and 2 reference"):
        lexical.score_reports(["a"], ["a", "b"])


@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs java")
def test_meteor_runs_and_its_process_ends(monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    with lexical.meteor_process() as meteor:
        first = lexical.score_reports(GENERATED, REFERENCES, meteor=meteor)
        same = lexical.score_reports(REFERENCES, REFERENCES, meteor=meteor)
    assert len(started) == 1 and started[0].poll() is not None
    assert same.corpus["meteor"] == pytest.approx(1)
    assert first.per_study["meteor"][2] == 0 and 0 < first.corpus["meteor"] < 1


# --- clinical ---


def labels(**named):
    """Codes of one study: effusion=POSITIVE by the first letters of an observation."""
    row = np.full(14, BLANK)
    for start, code in named.items():
        row[next(i for i, name in enumerate(OBSERVATIONS) if name.lower().replace(" ", "_").startswith(start))] = code
    return row


def test_clinical_counts_by_hand_under_both_conventions():
    reference = np.stack([labels(edema=POSITIVE, fracture=UNCERTAIN), labels(no_finding=POSITIVE, edema=NEGATIVE)])
    generated = np.stack([labels(edema=POSITIVE, fracture=POSITIVE), labels(edema=UNCERTAIN)])
    strict = clinical.clinical_scores(generated, reference)
    assert strict["micro_f1_14"] == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))  # hit edema, false fracture, missed normal
    assert strict["micro_f1_13"] == pytest.approx(2 / 3) and strict["micro_f1_5"] == 1
    assert strict["example_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert strict["f1_Edema"] == 1 and strict["f1_Fracture"] == 0
    assert strict["macro_f1_14"] == pytest.approx(1 / 14)
    loose = clinical.clinical_scores(generated, reference, uncertain_as_positive=True)
    assert loose["micro_f1_13"] == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert loose["f1_Fracture"] == 1 and loose["micro_precision_5"] == pytest.approx(1 / 2)


def test_clinical_scores_equal_scikit_learn():
    generator = np.random.default_rng(0)
    generated, reference = generator.choice([POSITIVE, NEGATIVE, UNCERTAIN, BLANK], size=(2, 60, 14))
    scores = clinical.clinical_scores(generated, reference)
    for subset, columns in clinical.SUBSETS.items():
        said, true = (generated == POSITIVE)[:, columns], (reference == POSITIVE)[:, columns]
        for kind in ("micro", "macro"):
            assert scores[f"{kind}_f1_{subset}"] == pytest.approx(f1_score(true, said, average=kind), abs=1e-12)
    said, true = generated == POSITIVE, reference == POSITIVE
    assert scores["example_f1"] == pytest.approx(f1_score(true, said, average="samples", zero_division=0), abs=1e-12)
    found = clinical.clinical_intervals(generated, reference, resamples=100)
    assert {name: interval.value for name, interval in found.items()} == pytest.approx(scores)
    assert all(interval.low <= interval.value <= interval.high for interval in found.values())


def test_clinical_wants_pairs_of_14():
    with pytest.raises(ValueError, match=r"\(2, 13\), expected \[n, 14\]"):
        clinical.clinical_scores(np.zeros((2, 13)), np.zeros((2, 14)))
    with pytest.raises(ValueError, match="1 generated and 2 reference"):
        clinical.clinical_scores(np.zeros((1, 14)), np.zeros((2, 14)))


# --- intervals ---


def test_a_patient_with_several_reports_is_drawn_with_all_of_them(no_java):
    """Twice the films of the same patients tell no more: the intervals stay, where those over reports would shrink."""
    generator = np.random.default_rng(0)
    labels = generator.choice([POSITIVE, NEGATIVE, UNCERTAIN, BLANK], size=(2, 40, 14))
    patients = np.repeat(np.arange(40), 2)
    once, twice = (
        clinical.clinical_intervals(*labels),
        clinical.clinical_intervals(*labels.repeat(2, 1), patients=patients),
    )
    assert {name: tuple(interval) for name, interval in twice.items()} == {
        name: pytest.approx(tuple(interval)) for name, interval in once.items()
    }
    alone = clinical.clinical_intervals(*labels.repeat(2, 1))["micro_f1_14"]
    assert alone.high - alone.low < 0.8 * (once["micro_f1_14"].high - once["micro_f1_14"].low)
    texts = [[text for text in texts for _ in range(2)] for texts in (GENERATED, REFERENCES)]
    once = lexical.lexical_intervals(GENERATED, REFERENCES)
    twice = lexical.lexical_intervals(*texts, patients=np.repeat(np.arange(len(GENERATED)), 2))
    for name in ("bleu1", "bleu4", "rouge_l"):
        assert tuple(twice[name]) == pytest.approx(tuple(once[name]))


def mean_interval(values: np.ndarray, groups=None, **options) -> np.ndarray:
    return intervals.mean_intervals(values, range(len(values)) if groups is None else groups, **options)[0]


def test_the_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(1).normal(2, 3, size=900)
    value, low, high = mean_interval(values, resamples=2000, seed=4)
    half = 1.96 * values.std() / 30
    assert value == pytest.approx(values.mean())
    assert low == pytest.approx(value - half, abs=0.1 * half) and high == pytest.approx(value + half, abs=0.1 * half)
    assert mean_interval(values, resamples=2000, seed=4).tolist() == [value, low, high]


def test_phrases_of_one_study_are_drawn_together():
    values = np.repeat(np.random.default_rng(1).normal(size=100), 9)  # nine equal phrases a study say no more than one
    groups = np.repeat([f"study {i}" for i in range(100)], 9)
    once = mean_interval(values[::9], seed=2)
    assert mean_interval(values, groups, seed=2) == pytest.approx(once)
    naive = mean_interval(values, seed=2)
    assert naive[2] - naive[1] < 0.5 * (once[2] - once[1])


def test_every_finding_counts_once_in_the_macro_mean():
    values, classes = [1.0, 1.0, 1.0, 0.0, np.nan], ["a", "a", "a", "b", "c"]
    found = intervals.macro_interval(values, range(5), classes, resamples=200)
    assert found.value == pytest.approx(1 / 2)  # 3 / 4 if every phrase counted once
    assert found.high == 1  # resamples without "b" average over "a" alone


def test_auc_equals_scikit_learn_with_ties_and_any_weights():
    generator = np.random.default_rng(5)
    scores, truth = generator.integers(0, 6, size=(80, 3)), generator.random((80, 3)) < 0.3
    truth[:, 2] = False  # never there: no area
    each, mean = intervals.mean_auc(scores, truth, resamples=50)
    areas = [roc_auc_score(truth[:, k], scores[:, k]) for k in (0, 1)]
    assert [interval.value for interval in each[:2]] == pytest.approx(areas)
    assert math.isnan(each[2].value) and mean.value == pytest.approx(np.mean(areas))
    assert mean.low < mean.value < mean.high
    weights = generator.integers(0, 3, size=80)
    found = intervals.weighted_auc(scores[:, 0], truth[:, 0], weights)
    assert found == pytest.approx(roc_auc_score(truth[:, 0], scores[:, 0], sample_weight=weights))


def test_intervals_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="scores hold NaN"):
        intervals.mean_auc([[np.nan]], [[True]])


def test_a_mean_auc_leaves_out_draws_without_any_area():
    truth = np.arange(20)[:, None] == 19
    each, mean = intervals.mean_auc(np.arange(20.0)[:, None], truth)
    assert tuple(each[0]) == tuple(mean) == (1, 1, 1)
