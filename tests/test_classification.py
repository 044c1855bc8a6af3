"""Downstream classification: lists in the shape of NIH and RSNA, prompts, probes, fine-tuning, and the numbers by hand."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from public_sets import picture, write_nih
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from small import SMALL

from ssacl_lib import paths
from ssacl_lib.command import cli
from ssacl_lib.command.rebuild import rebuild
from ssacl_lib.datasets import labelled, pictures
from ssacl_lib.datasets.registry import load_training
from ssacl_lib.downstream import aims, classification, films, fine_tuning, prompts, tables, zero_shot
from ssacl_lib.downstream.encoders import SUPERVISED, Encoder, pooled_features
from ssacl_lib.downstream.run import jobs_of, make, measure
from ssacl_lib.downstream.tasks import TASKS
from ssacl_lib.evaluation.comparison import write_parquet
from ssacl_lib.notebook import show
from ssacl_lib.observations import FINDINGS, POSITIVE
from ssacl_lib.record.manifest import portable_settings, write_json
from ssacl_lib.settings import load_settings

FEW = {
    "data.train_studies": 40,
    "data.validation_studies": 16,
    "data.test_studies": 24,
    "evaluation.cnn_images": 32,
    "evaluation.bootstrap": 20,
}


@pytest.fixture
def nih(tmp_path, studies_folder):
    return write_nih(tmp_path / "nih")


# ---- films with labels
def test_nih_lists_are_read_where_nih_packs_its_pictures(nih):
    settings = load_settings("smoke", **SMALL, dataset="nih", data_root=str(nih))
    found = labelled.films_of_list(settings, "train")
    assert (
        found.names == labelled.NIH_LABELS
        and found.truth.shape == (12, 14)
        and found.truth[1, 0]
        and not found.truth[0, 0]
    )
    assert found.images([3, 0]).shape == (2, 32, 32) and found.images([3]).mean() > found.images([0]).mean() + 1
    assert found.subsets[10.0].tolist() == [3, 1] and found.ids[3].endswith("3_000.png")
    stamp = next(paths.STUDIES.rglob("*.npy")).stat().st_mtime_ns
    labelled.films_of_list(settings, "train")
    assert next(paths.STUDIES.rglob("*.npy")).stat().st_mtime_ns == stamp, "pictures are read once"
    (nih / "images_001" / "images" / "00000002_000.png").write_bytes(b"\x89PNG broken")
    fewer = labelled.films_of_list(settings, "train")
    assert (
        len(fewer) == 11 and fewer.subsets[10.0].tolist() == [2, 1] and (fewer.images([2]) == found.images([3])).all()
    )


def test_pictures_that_failed_are_tried_again_and_exchanged_ones_read(tmp_path, studies_folder, monkeypatch):
    files = [tmp_path / "a.bmp", tmp_path / "b.bmp"]
    for level, path in enumerate(files):
        picture(path, 100 * level)
    honest = pictures.read_image

    def busy(path):
        if path == files[1]:
            raise OSError("busy")
        return honest(path)

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "read_image", busy)
        assert pictures.Pictures(files, 32).skipped == {1: "busy"}
    found = pictures.Pictures(files, 32)
    assert not found.skipped and found([1]).mean() > found([0]).mean() + 50
    size = files[0].stat().st_size
    picture(files[0], 180)
    assert files[0].stat().st_size == size and pictures.Pictures(files, 32)([0]).mean() > found([1]).mean() + 50


def test_rsna_lists_have_one_label_and_may_have_commas(tmp_path, studies_folder):
    for name in ("train.txt", "val.txt", "test.txt"):
        lines = [f"{name[:-4]}/{k} {name}.jpg,{k % 2}" for k in range(3)]
        for line in lines:
            picture(tmp_path / line.rsplit(",", 1)[0], 7)
        (tmp_path / name).write_text("\n".join(lines))
    settings = load_settings("smoke", **SMALL, dataset="rsna", data_root=str(tmp_path))
    found = labelled.films_of_list(settings, "test")
    assert found.names == ("Pneumonia",) and found.truth[:, 0].tolist() == [False, True, False]
    assert "0 test.txt.jpg" in found.ids[0]
    forms = zero_shot.forms_for(found.names)
    assert prompts.SHUFFLED not in forms and set(forms) | {prompts.SHUFFLED} == set(prompts.FORMS), (
        "no other name to take"
    )


def test_errors_of_lists_name_file_and_line(nih, tmp_path):
    def fails(words, error=ValueError, **changes):
        settings = load_settings("smoke", **{**SMALL, "dataset": "nih", "data_root": str(nih), **changes})
        with pytest.raises(error, match=words):
            labelled.films_of_list(settings, "train")

    fails("needs data_root", data_root=None)
    fails("no such list", FileNotFoundError, data_root=str(tmp_path))
    test = nih / "test_list.txt"
    kept = test.read_text()
    test.write_text(kept + "images_001/x.png 1 0\n")
    fails(r"test_list.txt: line 14: expected a picture and 14 values")
    test.write_text(kept + (nih / "train_list.txt").read_text())
    fails("00000000_000.png is among the training pictures")
    test.write_text(kept + (nih / "val_list.txt").read_text())
    fails(r"test_list.txt: .*00000012_000.png is among the validation pictures")
    test.write_bytes(kept.encode() + "imagés/x.png".encode("latin-1"))
    fails("test_list.txt: not readable as text in UTF-8")
    test.write_text(kept + kept)
    fails("line 14: .* is listed before")


def test_a_table_of_labels_is_split_by_patient(tmp_path):
    table = pd.DataFrame({"image": [f"{k}.png" for k in range(20)], "patient": [f"p{k // 2}" for k in range(20)],
                          "edema": [1, 0] * 10, "mass": 0})  # fmt: skip
    table.to_csv(tmp_path / "labels.csv", index=False)
    found = labelled.read_label_table(tmp_path / "labels.csv", 0)
    assert list(found) == ["image", "patient", "split", "edema", "mass"] and found["edema"].sum() == 10
    assert (found.groupby(table["patient"])["split"].nunique() == 1).all() and found["split"].nunique() == 3
    for change, words in (
        ({"edema": "2"}, "line 2: edema is '2'"),
        ({"split": "train"}, "no film in the split 'validation'"),
        ({"image": "0.png"}, "more than once"),
    ):
        table.assign(**change).to_csv(tmp_path / "labels.csv", index=False)
        with pytest.raises(ValueError, match=words):
            labelled.read_label_table(tmp_path / "labels.csv", 0)
    table[["image"]].to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(ValueError, match="no column of labels"):
        labelled.read_label_table(tmp_path / "labels.csv", 0)


def test_subsets_are_nested_and_the_same_for_all():
    whole = [set(films.nested_rows(1000, share, 2)) for share in (0.1, 1, 10, 100)]
    assert [len(rows) for rows in whole] == [1, 10, 100, 1000] and all(a < b for a, b in pairwise(whole))
    assert set(films.nested_rows(1000, 10, 1)) != whole[2]
    given = {10.0: np.array([5, 3])}
    assert (
        films.nested_rows(1000, 10.0, 0, given).tolist() == [5, 3]
        and len(films.nested_rows(1000, 10.0, 1, given)) == 100
    )


# ---- prompts
def test_prompts_say_what_they_should():
    pair = prompts.prompts_for(["Pleural_Thickening"], prompts.ONE_PAIR)[0]
    assert pair.affirming == ("there is pleural thickening.",) and pair.denying == ("no pleural thickening.",)
    for labels in (FINDINGS, labelled.NIH_LABELS):
        by_form = {form: prompts.prompts_for(labels, form) for form in prompts.FORMS}
        shuffled = [own.denying for own in by_form[prompts.SHUFFLED]]
        own = [own.denying for own in by_form[prompts.ENSEMBLE]]
        assert set(shuffled) == set(own) and all(a != b for a, b in zip(shuffled, own, strict=True))
        assert len(set(by_form[prompts.NAMELESS])) == 1 and len(set(own)) == len(labels)
        words = " ".join(by_form[prompts.NAMELESS][0].affirming).split()
        assert not set(words) & {word for label in labels for word in label.lower().split("_")}
    ensemble = prompts.prompts_for(["Edema", "Pneumothorax"], prompts.ENSEMBLE)
    assert "there is right pneumothorax." in ensemble[1].affirming and not any(
        "right" in text for text in ensemble[0].affirming
    )
    assert prompts.prompts_for(["Rickets"], prompts.ENSEMBLE)[0].affirming[0] == "there is rickets."


def test_scores_and_thresholds_by_hand():
    rows = np.array([[1.0, 0.0], [0.0, 2.0]])
    yes, no = np.array([[3.0, 0.0]]), np.array([[0.0, 1.0]])
    assert zero_shot.scores(rows, [(yes, no)]).ravel().tolist() == [1, -1]
    assert zero_shot.scores(rows, [(yes, no)], zero_shot.DOT).ravel().tolist() == [3, -2]
    both = np.concatenate([yes, no])
    assert zero_shot.scores(rows, [(both, None)]).ravel().tolist() == [1, 1], "the text that fits best counts"
    tuned = np.array([[0.9, 0.1], [0.7, 0.2], [0.4, 0.3], [0.1, 0.4]])
    found = zero_shot.thresholds(tuned, np.array([[1, 0], [1, 0], [0, 0], [0, 0]], bool))
    assert found[0] == pytest.approx(0.55) and found[1] > 0.4
    assert zero_shot.thresholds(tuned[:, :1], np.array([[0], [0], [0], [1]], bool))[0] == pytest.approx(0.1)


def test_places_keep_the_order_and_the_threshold():
    told = np.round(np.random.default_rng(0).normal(size=(50, 3)), 1)  # with ties
    limits = np.array([told[3, 0], -9.0, 9.0])
    found, truth = zero_shot.places(told, limits), np.arange(50) % 3 == 0
    assert ((found >= 0) == (told >= limits)).all() and found.dtype == np.int16
    for own, place in zip(told.T, found.T, strict=True):
        assert roc_auc_score(truth, own) == pytest.approx(roc_auc_score(truth, place))


# ---- learning
def test_a_probe_finds_a_label_and_answers_by_chance_where_it_saw_none():
    generator = np.random.default_rng(0)
    tokens = generator.normal(size=(300, 5))
    truth = np.stack([tokens[:, 0] > 0, np.zeros(300, bool)], 1)
    probes = fine_tuning.fit_probes(tokens[:100], truth[:100], tokens[100:200], truth[100:200])
    scores = probes.scores(tokens[200:])
    assert roc_auc_score(truth[200:, 0], scores[:, 0]) > 0.95 and (scores[:, 1] == 0).all()


def test_full_fine_tuning_learns_what_a_frozen_copy_does_not_know(fake_phantom, tmp_path):
    settings = load_settings("smoke", **SMALL, **FEW, out_dir=str(tmp_path))
    encoder = Encoder("untrained", 0, settings)
    before = {name: tensor.clone() for name, tensor in encoder.model().state_dict().items()}
    generator = np.random.default_rng(0)
    truth = generator.random((64, 1)) < 0.5
    pictures = generator.integers(0, 100, (64, 32, 32)).astype(np.uint8)
    pictures[truth[:, 0], :8, :8] += 100  # what the label says stands in one corner
    found = labelled.LabelledFilms(("corner",), [str(k) for k in range(64)], truth, lambda rows: pictures[rows])
    tokens = pooled_features(encoder, found.images, np.arange(64))
    probes = fine_tuning.fit_probes(tokens[:32], truth[:32], tokens[32:], truth[32:])
    scores = fine_tuning.tuned_scores(encoder, found, np.arange(64), found, 64 * 12, probes)
    assert roc_auc_score(truth, scores) > 0.95
    assert all((tensor == before[name]).all() for name, tensor in encoder.model().state_dict().items()), "a copy learns"


# ---- the tasks and their table
@pytest.fixture
def small_tasks(monkeypatch):
    """Fewer shares and subsets, so that a task takes a second."""
    monkeypatch.setattr(fine_tuning, "SHARES", {"probe": (10.0, 100.0), "full": (100.0,)})
    monkeypatch.setattr(fine_tuning, "SUBSETS", {"probe": 2, "full": 1})
    monkeypatch.setattr(fine_tuning, "IMAGES", {100.0: 32})
    monkeypatch.setattr("ssacl_lib.downstream.encoders.METHOD_OF", {"start": "start"})
    films.films_of.cache_clear()


def test_the_table_of_phantom_patients_has_the_numbers_of_scikit_learn(small_tasks, fake_phantom, tmp_path):
    settings = load_settings("smoke", **SMALL, **FEW, out_dir=str(tmp_path))
    jobs = measure(settings, ["zero_shot", "fine_tuning"])
    assert [job.title for job in jobs] == [
        "zero shot: start, seed 0", "fine tuning: start, seed 0", "fine tuning: supervised CNN, seed 0",
    ]  # fmt: skip
    table = classification.classification_table(settings, tmp_path / "cache")
    assert set(table["method"]) == {"start", SUPERVISED} and (table["n"] == 24).all()
    assert (
        tuple(table) == tables.COLUMNS and not table.duplicated(["task", "setting", "detail", "method", "metric"]).any()
    )
    found = table.set_index(["task", "setting", "detail", "method", "metric"])["value"]
    shots = pd.read_parquet(jobs[0].path)
    known = [name for name, group in shots.groupby("finding") if 0 < group["present"].sum() < len(group)]
    assert len(known) > 5
    own = dict(list(shots.groupby("finding")))
    setting = classification.HEADLINE
    areas = [roc_auc_score(own[name]["present"], own[name][setting]) for name in known]
    assert found["zero shot", setting, "mean of findings", "start", "auc"] == pytest.approx(np.mean(areas))
    assert found["zero shot", setting, known[0], "start", "auc"] == pytest.approx(areas[0])
    nameless = [roc_auc_score(own[name]["present"], own[name][classification.NO_NAME]) for name in known]
    added = found["zero shot", setting, "mean of findings", "start", classification.NAMES_ADD]
    assert added == pytest.approx(np.mean(areas) - np.mean(nameless), abs=1e-9)
    said = shots[setting] >= 0
    f1 = [f1_score(group["present"], said[group.index], zero_division=0) for group in own.values()]
    assert found["zero shot", setting, "mean of findings", "start", "macro_f1"] == pytest.approx(np.mean(f1))
    assert found["zero shot", setting, "mean of findings", "start", "accuracy"] == pytest.approx(
        accuracy_score(shots["present"], said)
    )
    reports = found["zero shot", zero_shot.FROM_REPORTS, "mean of findings", "start", "auc"]
    assert 0 < reports < 1 and zero_shot.FROM_REPORTS in shots
    tuned = pd.read_parquet(jobs[1].path)
    alone = roc_auc_score(*(tuned[tuned["finding"] == known[0]][name] for name in ("present", "probe 100 #0")))
    assert found["fine tuning", "probe 100 %", known[0], "start", "auc"] == pytest.approx(alone)
    areas = [[roc_auc_score(group["present"], group[f"probe 10 #{k}"]) for name, group in tuned.groupby("finding")
              if name in known] for k in range(2)]  # fmt: skip
    assert found["fine tuning", "probe 10 %", "mean of findings", "start", "auc"] == pytest.approx(np.mean(areas))
    assert (table["low"].dropna() <= table["high"].dropna()).all()


def test_reports_that_the_labeler_read_stand_for_prompts(fake_phantom, tmp_path, monkeypatch):
    settings = load_settings("smoke", **SMALL, **FEW, out_dir=str(tmp_path))
    studies = load_training(settings, "train")
    monkeypatch.setattr(zero_shot, "text_vectors", lambda encoder, texts: 3 * np.eye(40)[: len(texts)])
    found = zero_shot.report_vectors(Encoder("start", 0, settings), settings)
    for finding, (yes, no) in enumerate(found):
        positive = studies.labels[:, finding + 1] == POSITIVE
        if 0 < positive.sum() < 40:
            assert np.allclose(yes[0], positive / positive.sum()) and np.allclose(no[0], ~positive / (~positive).sum())
        else:
            assert np.allclose(yes, no)


def test_explain_makes_the_tables_again_from_the_parquets(small_tasks, fake_phantom, tmp_path, capsys):
    settings = load_settings("smoke", **SMALL, **FEW, out_dir=str(tmp_path))
    measure(settings, ["zero_shot", "fine_tuning"])
    place = SimpleNamespace(tables=settings.figures / "tables", settings=settings, record=lambda path: path)
    table = classification.classification_table(settings, settings.runs / "evaluation")
    show.write_if_rows(place, table, "downstream_classification", "A message.")
    hoped = aims.aims_table(settings, settings.runs / "evaluation").assign(own=0.5)
    margins = pd.DataFrame(
        {"aim": ["one"], "method": "start", "difference": 0.1, "low": 0.0, "high": 0.2, "n": 3, "runs": 1}
    )
    assert (
        "0.100 [0.000, 0.200]"
        in show.write_if_rows(place, margins, "downstream_aims", "A message.", columns="aim").data
    )
    assert not len(hoped), "nobody is SS-ACL here"
    write_json(settings.figures / "manifest.json", {"settings": portable_settings(settings)})
    path = str(settings.figures / "tables" / "downstream_classification.csv")
    row = table.index[(table["method"] == SUPERVISED) & (table["setting"] == "full 100 %")][0]
    assert (
        cli.main(["explain", path]) == 0
        and f"agrees to the six digits written in all {len(table)} rows" in capsys.readouterr().out
    )
    assert cli.main(["explain", path, "--row", str(row)]) == 0
    said = capsys.readouterr().out
    assert (
        "fine_tuning/supervised-cnn/seed0.parquet" in said
        and "ssacl downstream --profile smoke --only fine_tuning" in said
    )
    parquet = next((tmp_path / "downstream").rglob("fine_tuning/supervised-cnn/seed0.parquet"))
    frame = pd.read_parquet(parquet)
    write_parquet(parquet, frame.assign(**{"full 100 #0": frame["full 100 #0"].to_numpy()[::-1]}))
    assert cli.main(["explain", path, "--row", str(row)]) == 1 and "DIFFERS" in capsys.readouterr().out


def test_an_encoder_from_outside_stands_in_the_table(small_tasks, fake_phantom, tiny_checkpoint, tmp_path):
    settings = load_settings("smoke", **FEW, out_dir=str(tmp_path))
    outside = str(tiny_checkpoint)
    asked = [job for job in jobs_of(settings, ["zero_shot"], [outside]) if job.encoder.path]
    for job in asked:
        make(job)
    table = classification.classification_table(settings, tmp_path / "cache")
    assert (
        set(table["method"]) == {tiny_checkpoint.name}
        and f"--encoder {tiny_checkpoint.name}" in asked[0].told["command"]
    )


def test_nih_runs_through_both_tasks(small_tasks, nih, fake_phantom, tmp_path):
    settings = load_settings("smoke", **SMALL, **FEW, out_dir=str(tmp_path / "out"), dataset="nih", data_root=str(nih))
    measure(settings)
    table = classification.classification_table(settings, tmp_path / "cache")
    assert set(table["task"]) == {"zero shot", "fine tuning"} and set(table["detail"]) == {
        "mean of findings",
        *labelled.NIH_LABELS,
    }
    heights = table.loc[table["metric"] != classification.NAMES_ADD, "value"].dropna()
    assert (heights >= 0).all() and (tmp_path / "out" / "downstream" / "smoke-nih").is_dir()


def test_data_sets_without_reports_are_rebuilt_by_notebook_06_alone(nih, tmp_path):
    known = {name for task in TASKS.values() for name in task.data} - {films.PHANTOM}
    assert known == set(labelled.WITHOUT_REPORTS)
    settings = load_settings("smoke", dataset="nih", data_root=str(nih), out_dir=str(tmp_path / "out"))
    with pytest.raises(ValueError, match="has no reports, so 00_explorer can't be made of it: add --only 06"):
        rebuild(settings)
    before = labelled.outside_data(settings)
    (nih / "test_list.txt").write_text((nih / "test_list.txt").read_text() + "\n")
    after = labelled.outside_data(settings)
    assert after != before, "the lists stand in the key"
    (nih / "images_001" / "images" / "unpacked_later.png").write_bytes(b"film")
    assert labelled.outside_data(settings) != after, "and so do films"


def test_intervals_over_studies_seeds_and_subsets_add_in_squares():
    draws = np.random.default_rng(0).normal(0.5, 0.01, (1, 3, 401))
    value, low, high = tables.interval_over(draws)
    mean = draws.mean((0, 1))
    inner = np.percentile(mean[1:], [2.5, 97.5])
    subsets = 4.302653 * draws[0, :, 0].std(ddof=1) / 3**0.5
    assert value == pytest.approx(mean[0])
    assert [low, high] == pytest.approx(
        [value - np.hypot(value - inner[0], subsets), value + np.hypot(inner[1] - value, subsets)]
    )


def test_a_difference_is_paired_over_studies_and_knows_the_trainings_of_both_sides():
    studies = np.random.default_rng(0).normal(0, 0.05, (1, 401))
    own, other = 0.6 + studies, 0.5 + studies
    assert tables.difference_over(own, other) == pytest.approx((0.1, 0.1, 0.1)), "the same noise of studies"
    half = 12.706205 * 0.02 * 2**0.5 / 2**0.5  # t of two, s / sqrt(2)
    apart = np.array([[-0.02], [0.02]])
    assert tables.difference_over(own + apart, other) == pytest.approx((0.1, 0.1 - half, 0.1 + half))
    both = half * 2**0.5  # not 0, though the trainings of one number differ alike
    assert tables.difference_over(own + apart, other + apart) == pytest.approx((0.1, 0.1 - both, 0.1 + both))


def test_labels_to_reach_an_auc_know_trainings_and_draws_of_labels():
    class Own:
        about = {"method": "any"}

    curve = [(10, np.full(41, 0.6)), (100, np.full(41, 0.7)), (1000, np.full(41, 0.8))]
    each = np.array([[[0.6, 0.7, 0.8], [0.6, 0.7, 0.8]], [[0.6, 0.7, 0.8], [0.6, 0.7, 0.8]]])
    row = classification.labels_row(Own(), curve, each, np.full(41, 0.7), 30)
    assert (row["value"], row["low"], row["high"]) == pytest.approx((100, 100, 100)), "all say the same"
    each[:, 1, 1] = 0.75  # one of two draws of labels reaches it with fewer
    few = classification.labels_needed(np.array([10, 100, 1000]), np.array([0.6, 0.75, 0.8]), 0.7)
    half = 12.706205 * np.log(100 / few) / 2**0.5 / 2**0.5
    row = classification.labels_row(Own(), curve, each, np.full(41, 0.7), 30)
    assert row["high"] == pytest.approx(100 * np.exp(half), rel=1e-5) and row["low"] == 10, "fewer were not asked"
    each[:, 1] = 0.65  # one of two never does
    assert classification.labels_row(Own(), curve, each, np.full(41, 0.7), 30)["high"] == np.inf


def test_labels_needed_lie_between_the_points_of_a_curve():
    counts, areas = np.array([10, 100, 1000]), np.array([0.6, 0.7, 0.8])
    assert classification.labels_needed(counts, areas, 0.65) == pytest.approx(10**1.5)
    assert (
        classification.labels_needed(counts, areas, 0.5) == 10
        and classification.labels_needed(counts, areas, 0.81) == np.inf
    )
