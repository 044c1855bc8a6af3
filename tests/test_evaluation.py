"""The evaluation layer on models whose answers are known: an oracle, a constant, a head that we chose."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ssacl_lib import inference
from ssacl_lib.anatomy import default_graph
from ssacl_lib.datasets.study import EvaluationStudy, Phrase
from ssacl_lib.evaluation import (
    anatomy_grounding,
    faithfulness,
    films,
    findings,
    grounding,
    prompting,
    reports,
    results,
    targets,
)
from ssacl_lib.metrics import lexical
from ssacl_lib.observations import BLANK, OBSERVATIONS, POSITIVE
from ssacl_lib.settings import load_settings

SIZE, PATCH = 48, 8
PLACES = {  # phrase -> (finding, grey level that marks it in the picture, rows, columns)
    "right pleural effusion": ("Pleural Effusion", 60, slice(32, 44), slice(10, 20)),
    "Left pleural effusion": ("Pleural Effusion", 90, slice(32, 44), slice(28, 38)),
    "enlarged heart": ("Cardiomegaly", 120, slice(20, 28), slice(20, 28)),
    "right pneumothorax": ("Pneumothorax", 150, slice(4, 12), slice(10, 20)),
}
COLUMNS = ["method", "metric", "value", "low", "high", "n", "seed"]


def a_study(number: int, phrases: list[str], **more) -> EvaluationStudy:
    image, pairs = np.full((SIZE, SIZE), 10, np.uint8), []
    for phrase in phrases:
        finding, level, rows, columns = PLACES[phrase]
        image[rows, columns] = level
        mask = np.zeros((SIZE, SIZE), bool)
        mask[rows, columns] = True
        pairs.append(Phrase(phrase, finding, mask, np.zeros((1, 4))))
    truth = np.isin(OBSERVATIONS[1:], [PLACES[phrase][0] for phrase in phrases])
    labels = np.where(np.r_[not truth.any(), truth], POSITIVE, BLANK).astype(np.int8)
    more = {"truth": truth, **more}
    return EvaluationStudy(
        f"s{number}", f"p{number}", image, " and ".join(phrases), labels, phrases=tuple(pairs), **more
    )


STUDIES = [a_study(i, [list(PLACES)[i % 4]] + (["enlarged heart"] if i % 4 < 2 else [])) for i in range(10)]


class Model:
    """Only what the evaluation asks of a model besides `inference`."""

    def __init__(self, weight: float = 0.0):
        self.weight, self.device = weight, torch.device("cpu")
        self.config = SimpleNamespace(image_size=SIZE, patch_size=PATCH)
        self.processor = SimpleNamespace(normalise=lambda images: torch.from_numpy(images).float()[:, None])

    def state_dict(self):
        return {"weight": torch.tensor([self.weight])}

    def patches(self, pixels):
        grid = SIZE // PATCH
        return pixels.view(-1, grid, PATCH, grid, PATCH).mean((2, 4)).flatten(1)

    def image_embedding(self, pixels, keep=None):
        values = self.patches(pixels) / 255
        values = values if keep is None else values.gather(1, keep)
        return torch.stack([values.mean(1), torch.ones(len(values))], dim=1)

    def text_embedding(self, texts):
        return torch.tensor([[1.0, 0.0]]).repeat(len(texts), 1)

    def leaf_attention(self, pixels):
        return torch.full((len(pixels), 25, (SIZE // PATCH) ** 2), 1 / (SIZE // PATCH) ** 2)


def see(image: np.ndarray, text: str) -> np.ndarray:
    """The oracle: 1 where the picture shows what the text says, and a slope with its maximum in a corner elsewhere."""
    level = {phrase.lower(): place[1] for phrase, place in PLACES.items()}.get(text.lower(), -1)
    slope = np.add.outer(np.arange(SIZE), np.arange(SIZE))[::-1] / (100 * SIZE)
    return (image == level) + slope


@pytest.fixture
def run(tmp_path):
    settings = load_settings("smoke", out_dir=tmp_path, **{"evaluation.control_studies": 4, "data.image_size": SIZE})
    return SimpleNamespace(settings=settings, runs=settings.runs)


@pytest.fixture
def oracle(monkeypatch):
    calls = []

    def phrase_maps(model, images, phrases, evidence="masked", masks=None, seed=0, progress=None):
        calls.append((evidence, len(images)))
        return [np.stack([see(image, text) for text in texts]) for image, texts in zip(images, phrases, strict=True)]

    monkeypatch.setattr(inference, "phrase_maps", phrase_maps)
    return calls


def value(table: pd.DataFrame, **where) -> float:
    chosen = table[np.logical_and.reduce([table[name] == wanted for name, wanted in where.items()])]
    assert len(chosen) == 1, (where, len(chosen))
    return chosen["value"].item()


def test_oracle_points_and_every_control_shows_it(run, oracle):
    models = {"untrained": Model(0), "this run": Model(1)}
    per_phrase = grounding.evaluate_phrases(run, models, STUDIES)
    table = grounding.phrase_table(per_phrase, run.settings)
    assert list(table.columns) == ["map", "control", "finding", *COLUMNS]
    own = {"map": "masked", "control": "own", "finding": "overall", "method": "this run"}
    assert value(table, **own, metric="pointing") == 1
    assert value(table, **own, metric="cnr_own_minus_swapped") > 1
    assert value(table, **own, metric="cnr_own_minus_swapped_side") > 1
    assert value(table, **own, metric="pointing_shifted_minus_own") == 0
    for control, expected in (("swapped phrase", 0), ("swapped side", 0), ("shifted", 1)):
        assert value(table, **{**own, "control": control}, metric="pointing") == expected
    prior = value(table, method="centre prior", control="own", map="prior", finding="overall", metric="pointing")
    assert value(table, **own, metric="pointing_minus_prior") == pytest.approx(1 - prior)
    assert 0 < prior < 1
    words = {"method": "text template", "map": "template", "finding": "overall", "metric": "pointing"}
    assert value(table, **own, metric="pointing_minus_template") == pytest.approx(
        1 - value(table, **words, control="own")
    )
    assert value(table, **words, control="shifted") < 1, "a map that sees no film stays where it was"
    numbers = table[(table["metric"] == "pointing") & (table["finding"] == "overall") & (table["control"] == "own")]
    numbers = numbers.set_index(["method", "map"])["n"]
    assert numbers["this run", "masked"] == numbers["untrained", "similarity"] == 16
    assert numbers["untrained", "masked"] == 6  # four studies, two of which have two phrases
    assert (table["low"] <= table["high"]).all() and not table.duplicated(list(table.columns[:5])).any()


def test_results_are_cached_until_the_weights_change(run, oracle):
    first = grounding.evaluate_phrases(run, {"this run": Model(1)}, STUDIES)
    done = len(oracle)
    again = grounding.evaluate_phrases(run, {"this run": Model(1)}, STUDIES)
    assert len(oracle) == done and again.equals(first)
    grounding.evaluate_phrases(run, {"this run": Model(2)}, STUDIES)
    assert len(oracle) == 2 * done
    assert len(list((run.runs / "evaluation").glob("phrases-this-run.*.parquet"))) == 1
    other = [*STUDIES[:-1], a_study(9, ["enlarged heart"])]
    grounding.evaluate_phrases(run, {"this run": Model(2)}, other)
    assert len(oracle) == 3 * done


def test_constant_model_has_no_contrast(run, monkeypatch):
    def flat(model, images, phrases, **_):
        return [np.ones((len(texts), SIZE, SIZE)) for texts in phrases]

    monkeypatch.setattr(inference, "phrase_maps", flat)
    table = grounding.phrase_table(grounding.evaluate_phrases(run, {"this run": Model()}, STUDIES), run.settings)
    of_model = table[table["method"] == "this run"]
    assert (of_model[of_model["metric"] == "cnr"]["value"] == 0).all()
    assert (of_model[of_model["metric"] == "cnr_own_minus_swapped"]["value"] == 0).all()


def test_targets_unite_boxes_and_swap_only_what_is_absent():
    twice = a_study(99, ["enlarged heart"])
    moved = Phrase("Enlarged HEART", "Cardiomegaly", np.roll(twice.phrases[0].mask, 5, 1), np.zeros((1, 4)))
    twice = EvaluationStudy(**{**vars(twice), "phrases": (*twice.phrases, moved)})
    found = targets.collect_targets([twice, *STUDIES], seed=0)
    assert found[0].mask.sum() == (twice.phrases[0].mask | moved.mask).sum() and len(found) == 17
    for target in found:
        study = ([twice, *STUDIES])[target.study]
        assert PLACES[target.swapped][0] not in targets.findings_of(study)


def test_a_mask_that_can_t_be_scored_on_the_film_is_left_out():
    film, mask = (slice(None), slice(10, 20)), np.zeros((SIZE, SIZE), bool)
    sliver, all_of_it, part = mask.copy(), mask.copy(), mask.copy()
    sliver[:, 9], all_of_it[film], part[:5, 12] = True, True, True
    assert [targets.Target(0, "x", "x", one, film=film).scorable for one in (sliver, all_of_it, part)] == [
        False,
        False,
        True,
    ]


def test_shift_moves_masks_with_the_picture():
    study = STUDIES[3]  # right pneumothorax in columns 10 to 19
    mask = study.phrases[0].mask
    for columns in (8, -8):
        image, moved = targets.shift(study.image, columns), targets.shift(mask, columns, "empty")
        assert ((image == 150) == moved).all() and moved.sum() == mask.sum()
        assert moved[4, 10 + columns] and not moved[4, 9 + columns]
    leaves = targets.shift_targets([targets.Target(1, "x", "x", targets.shift(mask, -15, "empty"))], SIZE)
    assert leaves == {}  # an odd study moves to the left: less than half of this mask would stay


def test_deletion_and_insertion_follow_the_evidence(run):
    rows = [
        {"study": s.study_id, "finding": "x", "phrase": "y", "method": "this run", "map": "masked", "control": "own",
         "evidence": Model().patches(torch.from_numpy(s.image).float()[None])[0].numpy()} for s in STUDIES
    ]  # fmt: skip
    curves = faithfulness.evaluate_faithfulness(run, {"this run": Model()}, pd.DataFrame(rows), STUDIES)
    assert set(curves["study"]) == {f"s{i}" for i in range(4)}
    table = faithfulness.faithfulness_table(curves, run.settings)
    assert value(table, curve="insertion", metric="area_minus_random", order="evidence") > 0.02
    assert value(table, curve="deletion", metric="area_minus_random", order="evidence") < -0.01
    paired = table[table["metric"] == "area_minus_random"].set_index("curve")
    assert paired.loc["insertion", "low"] > 0 > paired.loc["deletion", "high"]
    whole = curves[((curves["curve"] == "insertion") & (curves["fraction"] == 1)) | (curves["fraction"] == 0)]
    assert (whole.groupby("study")["fit"].nunique() == 1).all()
    drawn = faithfulness.mean_curves(curves, run.settings)
    assert len(drawn) == 40 and list(drawn.columns) == ["curve", "order", "fraction", *COLUMNS]


def test_attention_of_leaves_and_parents(run, monkeypatch):
    graph = default_graph()
    regions = {}
    for place, leaf in enumerate(graph.leaves):
        regions[leaf] = np.zeros((SIZE, SIZE), bool)
        regions[leaf].reshape(-1)[90 * place : 90 * place + 80] = True
    regions["lungs"] = np.any([regions[leaf] for leaf in graph.leaves[:14]], axis=0)
    studies = [EvaluationStudy(**{**vars(study), "regions": regions}) for study in STUDIES]
    exact = np.stack([regions[leaf] for leaf in graph.leaves]).astype(np.float32)
    exact += np.random.default_rng(0).normal(size=exact.shape) / 100
    monkeypatch.setattr(inference, "leaf_maps", lambda model, images: np.repeat(exact[None], len(images), 0))
    per_node = anatomy_grounding.evaluate_anatomies(run, {"this run": Model()}, studies)
    table = anatomy_grounding.anatomy_table(per_node, run.settings)
    assert list(table.columns) == ["node", "films", *COLUMNS] and set(table["films"]) == {"as they are"}
    model = {"method": "this run"}
    assert value(table, node="mean of leaves", metric="pointing", **model) == 1
    assert value(table, node="lungs", metric="pointing", **model) == 1
    assert value(table, node="carina", metric="cnr", **model) > 5
    for metric in ("entropy", "similarity_across_patients"):
        assert value(table, node="spine", metric=metric, **model) == pytest.approx(1)
    assert value(table, node="carina", metric="pointing", method="chance") == pytest.approx(80 / SIZE**2)
    assert set(table[table["node"] == "chest"]["metric"]) == {"entropy", "similarity_across_patients"}  # no mask of it


def test_likeness_counts_other_patients_only():
    attention = np.zeros((3, 32, 4), np.float32)
    attention[0, :, 0] = attention[1, :, 0] = attention[2, :, 1] = 1
    studies = [SimpleNamespace(study_id=f"s{i}", patient_id=patient) for i, patient in enumerate("aab")]
    scores = anatomy_grounding.attention_scores(attention, studies)
    assert np.allclose(scores["similarity_across_patients"], 0) and np.allclose(scores["entropy"], 0, atol=1e-6)
    studies[1].patient_id = "c"
    likeness = (
        anatomy_grounding.attention_scores(attention, studies).groupby("study")["similarity_across_patients"].mean()
    )
    assert likeness.round(6).tolist() == [0.5, 0.5, 0]


def test_head_labels_constant_report_and_their_table(run, monkeypatch):
    wanted = [targets.findings_of(study) for study in STUDIES]
    guess = [sorted(names)[:1] for names in wanted]  # the head knows one finding each
    monkeypatch.setattr(inference.findings, "predict_findings", lambda m, images, **_: np.full((len(images), 13), 0.4))
    monkeypatch.setattr(inference, "positive_findings", lambda m, p: guess)
    monkeypatch.setattr(lexical, "meteor_note", lambda: "left out, for its program takes seconds to start")
    monkeypatch.setattr(prompting, "generate", lambda m, pixels, *_, **__: ["Normal."] * len(pixels))
    per_study = reports.write_all("this run", Model(), STUDIES, run.settings)
    control = reports.write_all("untrained", Model(), STUDIES, run.settings)
    assert control["variant"].value_counts().to_dict() == {"head labels": len(STUDIES), "with prompts": 4}
    head = per_study[per_study["variant"] == "head labels"]
    said = np.stack(head["generated_labels"]) == POSITIVE
    assert [set(np.array(OBSERVATIONS)[row]) for row in said] == [set(names) for names in guess]
    assert set(per_study["variant"]) == {"head labels", *reports.VARIANTS, *prompting.CONTROLS}
    train = SimpleNamespace(reports=["a", "b", "c"], labels=codes([[3], [10], [2]]))
    validation = SimpleNamespace(labels=codes([[10], [10], [2]]))
    assert reports.constant_report(train, validation) == "b"  # not "c", the best on the test studies' cardiomegaly
    constant = reports.constant_rows(STUDIES, train, validation)
    per_study = pd.concat([per_study, constant], ignore_index=True)
    table = reports.report_table(per_study, run.settings)
    f1 = value(table, method="this run", variant="head labels", metric="micro_f1_13")
    hits, all_said, all_true = len(STUDIES), len(STUDIES), sum(map(len, wanted))
    assert f1 == pytest.approx(2 * hits / (all_said + all_true))
    model = {"method": "this run", "variant": "with prompts"}
    assert value(table, **model, metric="micro_f1_13_minus_head_labels") == pytest.approx(-f1)
    assert value(table, method="this run", variant="head labels", metric="micro_f1_13_minus_constant") == pytest.approx(
        f1
    )
    assert not (table[table["variant"] == "head labels"]["metric"].str.startswith("bleu")).any()
    assert not table.duplicated(["variant", "method", "metric"]).any()


def test_a_data_set_with_prompts_gets_the_variant_that_uses_them(run, monkeypatch):
    told = []

    def generate(model, pixels, findings, leaf_open, leaf_pixels):
        told.append((findings, leaf_open))
        return ["Normal."] * len(pixels)

    monkeypatch.setattr(inference.findings, "predict_findings", lambda m, images, **_: np.full((len(images), 13), 0.4))
    monkeypatch.setattr(inference, "positive_findings", lambda m, p: [[] for _ in p])
    monkeypatch.setattr(prompting, "generate", generate)
    guided = [
        EvaluationStudy(**{**vars(s), "prompt": f"p{i}", "leaf_open": np.arange(25) == i})
        for i, s in enumerate(STUDIES)
    ]
    per_study = reports.write_all("this run", Model(), guided, run.settings)
    assert set(per_study["variant"]) == {"head labels", *reports.VARIANTS, *prompting.CONTROLS, prompting.GIVEN}
    (whole,) = [call for call in told if call[0] and call[0][0] == "p0"]
    assert whole[0] == [f"p{i}" for i in range(10)] and (whole[1] == (np.arange(25) == np.arange(10)[:, None])).all()
    assert results.studies_hash(guided) != results.studies_hash(STUDIES)


def codes(positives: list[list[int]]) -> np.ndarray:
    labels = np.full((len(positives), 14), BLANK, np.int8)
    for row, columns in zip(labels, positives, strict=True):
        row[columns] = POSITIVE
    return labels


def test_auc_uses_the_truth_and_else_the_report(run, monkeypatch):
    truth = np.stack([study.truth for study in STUDIES])
    monkeypatch.setattr(inference.findings, "predict_findings", lambda m, images, **_: truth * 0.5 + 0.1)
    monkeypatch.setattr(
        inference.findings, "positive_findings", lambda m, p: [list(np.array(OBSERVATIONS[1:])[r > 0.3]) for r in p]
    )
    table = findings.finding_table(findings.evaluate_findings(run, {"this run": Model()}, STUDIES), run.settings)
    assert set(table["finding"]) == {"Cardiomegaly", "Pneumothorax", "Pleural Effusion", "mean of findings"}
    assert (table["value"] == 1).all() and (table["reference"] == "truth").all()
    unknown = [EvaluationStudy(**{**vars(study), "truth": None}) for study in STUDIES]
    table = findings.finding_table(findings.evaluate_findings(run, {"this run": Model()}, unknown), run.settings)
    assert (table["reference"] == "report labels").all() and (table["value"] == 1).all()


def test_lungs_on_films(run, oracle, monkeypatch):
    boxes = {"right lung": (slice(5, 40), slice(4, 20)), "left lung": (slice(5, 40), slice(28, 44))}
    regions = {name: np.zeros((SIZE, SIZE), bool) for name in boxes}
    for name, (rows, columns) in boxes.items():
        regions[name][rows, columns] = True
    studies = [EvaluationStudy(**{**vars(study), "regions": regions}) for study in STUDIES]
    graph, exact = default_graph(), np.zeros((25, SIZE, SIZE), np.float32)
    for side, mask in regions.items():
        exact[[graph.leaves.index(leaf) for leaf in graph.leaves_below(side)]] = mask
    exact += np.random.default_rng(0).normal(size=exact.shape) / 100
    monkeypatch.setattr(inference, "leaf_maps", lambda model, images: np.repeat(exact[None], len(images), 0))
    per_film = films.evaluate_films(run, {"shipped": Model()}, studies, studies[:3])
    table = films.film_table(per_film, run.settings)
    own = {"control": "own", "region": "both", "metric": "pointing"}
    assert value(table, **own, map="attention", method="trained on the phantom") == 1
    assert value(table, **{**own, "control": "swapped side"}, map="attention", method="trained on the phantom") == 0
    assert value(table, **own, map="prior", method="side prior") == 1
    assert value(table, **own, map="masked", method="trained on the phantom") < 1
    assert list(table.columns) == ["map", "control", "region", *COLUMNS]


def test_data_without_phrases_regions_or_truth_gives_empty_tables(run, monkeypatch):
    monkeypatch.setattr(
        inference, "leaf_maps", lambda model, images: np.ones((len(images), 25, SIZE, SIZE), np.float32)
    )
    bare = [EvaluationStudy(name, name, STUDIES[0].image, "text", STUDIES[0].labels) for name in "st"]
    models = {"this run": Model()}
    anatomies = anatomy_grounding.anatomy_table(anatomy_grounding.evaluate_anatomies(run, models, bare), run.settings)
    assert set(anatomies["metric"]) == {"entropy", "similarity_across_patients"}  # which need no region
    tables = [
        grounding.phrase_table(grounding.evaluate_phrases(run, models, bare), run.settings),
        films.film_table(films.evaluate_films(run, models, bare, bare), run.settings),
    ]
    curves = faithfulness.evaluate_faithfulness(run, models, grounding.evaluate_phrases(run, models, bare), bare)
    tables.append(faithfulness.faithfulness_table(curves, run.settings))
    for table in tables:
        assert not len(table) and list(table.columns[-7:]) == COLUMNS


def test_a_changed_study_changes_the_key():
    first = results.studies_hash(STUDIES)
    image = STUDIES[0].image.copy()
    image[0, 0] += 1
    assert results.studies_hash([EvaluationStudy(**{**vars(STUDIES[0]), "image": image}), *STUDIES[1:]]) != first
    assert results.studies_hash(list(STUDIES)) == first


def as_often(frame: pd.DataFrame, times: int) -> pd.DataFrame:
    """Every film of a frame given several times, all of them films of one patient."""
    patients = frame["study"] if "patient" not in frame else frame["patient"]
    copies = [frame.assign(study=frame["study"] + f"_{k}", patient=patients) for k in range(times)]
    return pd.concat(copies, ignore_index=True)


def test_more_films_of_the_same_patients_make_no_interval_narrower(run, oracle):
    """With every film given three times under its patient, value and interval are those of the films once."""
    per_phrase = grounding.evaluate_phrases(run, {"this run": Model(1)}, STUDIES, ("similarity",))
    assert dict(zip(per_phrase["study"], per_phrase["patient"], strict=True))["s3"] == "p3"
    generator, studies = np.random.default_rng(3), [f"s{i:02}" for i in range(12)]
    heads = pd.DataFrame({"study": np.repeat(studies, 13), "finding": OBSERVATIONS[1:] * 12, "method": "m"})
    heads = heads.assign(reference="truth", present=generator.random(156) < 0.4, probability=generator.random(156))
    nodes = pd.DataFrame({"study": studies * 2, "node": "carina", "method": ["this run"] * 12 + ["shipped"] * 12})
    nodes = nodes.assign(films="as they are", **{name: generator.random(24) for name in anatomy_grounding.SCORES})
    curves = pd.DataFrame(
        [
            (s, "x", "y", "m", "deletion", o, f)
            for s in studies
            for o in ("evidence", "random")
            for f in (0.0, 0.5, 1.0)
        ],
        columns=["study", "finding", "phrase", "method", "curve", "order", "fraction"],
    ).assign(fit=generator.random(72))
    for table, frame in (
        (grounding.phrase_table, per_phrase),
        (findings.finding_table, heads),
        (anatomy_grounding.anatomy_table, nodes),
        (faithfulness.faithfulness_table, curves),
        (faithfulness.mean_curves, curves),
    ):
        once, often = table(frame, run.settings), table(as_often(frame, 3), run.settings)
        assert len(once) and (once["high"] > once["low"]).any()
        pd.testing.assert_frame_equal(once.drop(columns="n"), often.drop(columns="n"), rtol=1e-9, atol=1e-12)
    said, true = (codes([list(np.flatnonzero(row)) for row in generator.random((12, 14)) < 0.3]) for _ in range(2))
    whole = pd.DataFrame({"study": studies, "generated_labels": list(said), "reference_labels": list(true)})
    rival = whole.assign(generated_labels=list(said[::-1]))
    once, often = (reports.f1_difference(as_often(whole, k), as_often(rival, k), 200, 0)[0] for k in (1, 3))
    assert tuple(once) == pytest.approx(tuple(often)) and once.low < once.high
