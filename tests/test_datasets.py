"""The data contract: what training sees, what evaluation sees, and folders of real films with their mistakes."""

import dataclasses
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ssacl_lib.anatomy import leaf_mask
from ssacl_lib.command import cli
from ssacl_lib.datasets import registry, shards
from ssacl_lib.datasets.folder import FolderSource, data_fingerprint, read_studies
from ssacl_lib.datasets.phantom import boxes_around, phrases_of
from ssacl_lib.datasets.registry import DataSet, load_evaluation, load_training, outside_data
from ssacl_lib.datasets.study import EvaluationStudy, Study
from ssacl_lib.datasets.table_checks import check_folder
from ssacl_lib.observations import BLANK, FINDINGS, NEGATIVE, OBSERVATIONS, POSITIVE, UNCERTAIN
from ssacl_lib.phantom.reports import PhantomReport
from ssacl_lib.phantom.truth import Sign
from ssacl_lib.settings import load_settings
from ssacl_lib.text.labeler import label_array


def folder_settings(root, **more):
    return load_settings("smoke", dataset="folder", data_root=str(root), **{"data.image_size": 64, **more})


# ---- the contract
def test_the_two_views_are_different_types():
    training = {field.name for field in dataclasses.fields(Study)}
    assert training == {"study_id", "patient_id", "image", "report", "labels", "prompt", "leaf_open"}
    assert not issubclass(EvaluationStudy, Study) and not issubclass(Study, EvaluationStudy)


def test_training_studies(fake_phantom, smoke):
    studies = load_training(smoke, "train")
    assert len(studies) == 96 == len(studies.reports) == len(studies.study_ids)
    assert studies.images([5, 2]).shape == (2, 96, 96) and studies.images().shape == (96, 96, 96)
    assert studies.labels.shape == (96, 14) and studies.labels.dtype == np.int8
    assert studies.prompts is None and studies.leaf_open is None
    study = studies[5]
    assert type(study) is Study
    np.testing.assert_array_equal(study.image, studies.images([5])[0])
    np.testing.assert_array_equal(studies[-1].image, studies[95].image)
    with pytest.raises(IndexError):
        studies[96]


def test_labels_are_read_from_the_report_and_the_truth_leaves_no_other_trace(
    fake_phantom, smoke, monkeypatch, tmp_path
):
    """With the truth shuffled after the report was written, training sees the very same studies."""
    honest = load_training(smoke, "validation")
    np.testing.assert_array_equal(honest.labels, label_array(honest.reports))
    written = dict(zip(range(32), honest.reports, strict=True))

    def poisoned(seed, split, indices, **more):
        batch = render(seed, split, indices, **more)
        batch.signs = [(Sign("Fracture", "left"),) * 4 for _ in indices]
        batch.numbers = indices
        return batch

    render = fake_phantom.render
    monkeypatch.setattr(fake_phantom, "render", poisoned)
    monkeypatch.setattr(fake_phantom, "report_of", lambda seed, split, i, signs: PhantomReport(written[i], ()))
    shutil.rmtree(honest.folder)
    again = load_training(smoke, "validation")
    assert again.reports == honest.reports
    np.testing.assert_array_equal(again.labels, honest.labels)
    np.testing.assert_array_equal(again.images(), honest.images())


def test_splits_share_no_patient(fake_phantom, smoke):
    patients = [set(load_training(smoke, split).patient_ids) for split in ("train", "validation", "test")]
    assert [len(p) for p in patients] == [96, 32, 48]
    assert not patients[0] & patients[1] and not patients[0] & patients[2] and not patients[1] & patients[2]


def test_the_two_views_show_the_same_study(fake_phantom, smoke):
    training, evaluation = load_training(smoke, "test"), load_evaluation(smoke, "test")
    assert len(evaluation) == 48
    for number in (0, 7, 31):
        one, other = training[number], evaluation[number]
        assert type(other) is EvaluationStudy
        assert (one.study_id, one.patient_id, one.report) == (other.study_id, other.patient_id, other.report)
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert len(other.regions) == 32 and other.regions["chest"][10, 10] and not other.regions["chest"][0, 0]
        assert other.truth.sum() == len(evaluation.signs(number))


def test_evaluation_does_not_depend_on_the_limit_or_the_order(fake_phantom, smoke):
    few, all_of_them = load_evaluation(smoke, "test", limit=3), load_evaluation(smoke, "test")
    assert len(few) == 3
    for number in (2, 0):
        np.testing.assert_array_equal(few[number].image, all_of_them[number].image)
        assert [p.text for p in few[number].phrases] == [p.text for p in all_of_them[number].phrases]


def test_phrases_of_equal_text_are_united():
    masks = np.zeros((3, 8, 8), bool)
    masks[0, 1:3, 1:3] = masks[1, 5:7, 5:8] = True
    signs = (Sign("Edema"), Sign("Edema"), Sign("Fracture"))
    report = PhantomReport("...", ((0, "Mild edema"), (1, "mild edema"), (2, "rib fracture")))
    (phrase,) = phrases_of(report, signs, masks)  # the fracture has no extent
    assert (phrase.text, phrase.finding) == ("Mild edema", "Edema")
    np.testing.assert_array_equal(phrase.mask, masks[0] | masks[1])
    np.testing.assert_array_equal(phrase.boxes, [[1, 1, 2, 2], [5, 5, 3, 2]])
    assert boxes_around(masks[2]).shape == (0, 4)


# ---- shards
class Counting:
    """A source that counts its studies and dies after some of them."""

    fingerprint, image_size = "counting", 4

    def __init__(self, count, dies_after=10**9):
        self.count, self.left, self.made = count, dies_after, []

    def studies(self, numbers):
        self.left -= len(numbers)
        if self.left < 0:
            raise KeyboardInterrupt
        self.made += list(numbers)
        return [Study(f"s{i}", f"p{i}", np.full((4, 4), i % 256, np.uint8), f"r{i}", np.zeros(14)) for i in numbers]


def test_a_killed_build_goes_on_where_it_was(studies_folder, smoke, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 20)
    monkeypatch.setattr(shards, "BATCH", 5)
    monkeypatch.setattr(shards, "WORKERS", 1)
    with pytest.raises(KeyboardInterrupt):
        shards.build(Counting(70, dies_after=45), smoke, "train")
    second = Counting(70)
    folder = shards.build(second, smoke, "train")
    assert second.made == list(range(40, 70))
    studies = shards.TrainingStudies(folder, 70, 4)
    assert studies.reports == [f"r{i}" for i in range(70)] and studies[66].image[0, 0] == 66
    assert not list(folder.glob(".*"))
    third = Counting(70)
    shards.build(third, smoke, "train")
    assert third.made == []


IMAGE, LABELS = np.zeros((4, 4), np.uint8), np.zeros(14, np.int8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((4, 5), np.uint8)}, r"image is uint8 \[4, 5\], expected uint8 \[4, 4\]"),
        ({"image": np.zeros((4, 4), np.float32)}, "image is float32"),
        ({"labels": LABELS[:13]}, ".*expected 14 values out of"),
        ({"labels": LABELS + 7}, r"labels are \[7, .*expected 14 values out of \(1, 0, -1, -2\)"),
        ({"report": " "}, "report is ' ', expected text"),
        ({"prompt": ["edema"], "leaf_open": np.ones(25, bool)}, r"prompt is \['edema'\], expected text"),
        ({"prompt": "edema"}, "a prompt comes with leaf_open, or neither"),
        ({"prompt": "edema", "leaf_open": np.ones(24, bool)}, r"leaf_open is \[24\], expected \[25\]"),
    ],
)
def test_a_study_of_another_shape_stops_the_preparing(changes, message, tmp_path):
    good = Study("good", "p", IMAGE, "Normal.", LABELS)
    made = SimpleNamespace(image_size=4, studies=lambda numbers: [good, replace(good, study_id="odd", **changes)])
    with pytest.raises(ValueError, match=f"study 'odd': {message}"):
        shards.write_shard(made, tmp_path, (0, 2))
    assert not list(tmp_path.iterdir())


def test_rows_that_are_no_studies_are_named(tmp_path):
    for rows, message in (
        ([None], "study 0 of the data set is NoneType, expected a Study"),
        ([], "returned 0 rows, expected 1"),
    ):
        made = SimpleNamespace(image_size=4, studies=lambda numbers, rows=rows: rows)
        with pytest.raises(ValueError, match=message):
            shards.write_shard(made, tmp_path, (0, 1))


def test_what_only_the_whole_shows_is_refused_when_it_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 1)
    bare = Study("bare", "p", IMAGE, "Normal.", LABELS)
    guided = replace(bare, study_id="guided", prompt="edema", leaf_open=np.ones(25, bool))
    for place, (rows, message) in enumerate((
        ([bare, guided], "prompts for all of its studies, or for none"),
        ([bare, bare], r"1 studies have the same study_id as another \(first: 'bare'\)"),
    )):  # fmt: skip
        folder = tmp_path / str(place)
        folder.mkdir()
        for number, row in enumerate(rows):
            shards.write_shard(
                SimpleNamespace(image_size=4, studies=lambda numbers, row=row: [row]), folder, (number, number + 1)
            )
        with pytest.raises(ValueError, match=message):
            shards.TrainingStudies(folder, 2, 4)
    with pytest.raises(ValueError, match="prompts in one of the splits alone"):
        registry.check_splits(SimpleNamespace(prompts=["a"]), SimpleNamespace(prompts=None))


def test_prompts_come_with_all_studies_or_with_none(tmp_path):
    bare = Study("bare", "p", IMAGE, "Normal.", LABELS)
    guided = replace(bare, study_id="guided", prompt="edema", leaf_open=np.ones(25, bool))
    for rows in ([bare, guided], [guided, bare]):
        made = SimpleNamespace(image_size=4, studies=lambda numbers, rows=rows: rows)
        with pytest.raises(
            ValueError, match=f"study '{rows[1].study_id}': a data set brings prompts for all of its studies"
        ):
            shards.write_shard(made, tmp_path, (0, 2))


def test_what_a_running_process_has_begun_is_left_to_it(studies_folder, smoke, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 2)
    monkeypatch.setattr(shards, "WORKERS", 1)
    folder = shards.folder_of(Counting(4))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for process in (os.getppid(), gone.pid):
        (folder / f".studies-0000000-0000009.{process}.tmp").mkdir(parents=True)
    shards.build(Counting(4), smoke, "train")
    assert [path.name for path in folder.glob(".*")] == [f".studies-0000000-0000009.{os.getppid()}.tmp"]


def test_a_shard_that_another_process_finished_first_is_taken(tmp_path, monkeypatch):
    def other_was_faster(table, folder):
        shards._shard_path(tmp_path, (0, 2)).mkdir()
        shutil.rmtree(folder)  # it clears up whatever is left under a temporary name
        raise FileNotFoundError(folder)

    monkeypatch.setattr(shards.Dataset, "save_to_disk", other_was_faster)
    shards.write_shard(Counting(2), tmp_path, (0, 2))
    assert [path.name for path in tmp_path.iterdir()] == [shards._shard_path(tmp_path, (0, 2)).name]


def test_worker_processes_give_the_same_studies(film_folder, studies_folder, monkeypatch):
    monkeypatch.setattr(shards, "WORKERS", 1)
    settings = folder_settings(film_folder)
    alone = load_training(settings, "train")
    shutil.rmtree(alone.folder)
    monkeypatch.setattr(shards, "WORKERS", 2)
    source = FolderSource(settings, "train")
    bounds = [(0, 3), (3, source.count)]
    folder = shards.folder_of(source)
    folder.mkdir(parents=True)
    steps = []
    shards._build_in_processes(folder, bounds, settings, "train", steps.append)
    assert sum(steps) == source.count == 8
    monkeypatch.setattr(shards, "_ranges", lambda count: bounds)
    together = shards.TrainingStudies(folder, source.count, source.image_size)
    assert together.reports == alone.reports
    np.testing.assert_array_equal(together.images(), alone.images())


def test_prepared_studies_are_kept_apart_by_what_decides_them(fake_phantom, smoke):
    def folder(**more):
        return load_training(load_settings("smoke", **more), "test").folder

    base = folder()
    assert folder(**{"training.images": 512}) == base
    others = {folder(seed=1), folder(**{"data.image_size": 32}), folder(**{"data.phantom_ranges": 0.1})}
    assert len(others) == 3 and base not in others


def test_unknown_names_are_refused(smoke, studies_folder):
    with pytest.raises(ValueError, match="no data set 'mimic'; there are phantom, folder, release-csv"):
        load_training(load_settings("smoke", dataset="mimic"))
    with pytest.raises(ValueError, match="no split 'valid'"):
        load_training(smoke, "valid")


# ---- a folder of films
def test_a_folder_is_split_by_patient(film_folder, studies_folder):
    table = read_studies(film_folder, seed=0)
    assert (table.groupby("patient")["split"].nunique() == 1).all()
    assert set(table["split"]) == {"train", "validation", "test"}
    assert not read_studies(film_folder, seed=1)["split"].equals(read_studies(film_folder, seed=5)["split"])
    shuffled = pd.read_csv(film_folder / "studies.csv").sample(frac=1, random_state=0)
    shuffled.to_csv(film_folder / "studies.csv", index=False)
    again = read_studies(film_folder, seed=0).set_index("image")["split"]
    pd.testing.assert_series_equal(again.sort_index(), table.set_index("image")["split"].sort_index())


def test_a_folder_gives_studies_regions_and_phrases(film_folder, studies_folder):
    settings = folder_settings(film_folder)
    training = load_training(settings, "train")
    assert training.labels.tolist() == label_array(training.reports).tolist()
    evaluation = load_evaluation(settings, "test")
    study = evaluation[0]
    assert study.truth is None and study.image.shape == (64, 64)
    assert not study.image[:16].any() and study.image[16:48].any() and not study.image[48:].any()  # 40 x 80 letterboxed
    rows, columns = np.nonzero(study.regions["right lung"])
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (19, 43, 6, 22)
    (phrase,) = study.phrases
    assert phrase.boxes.tolist() == [[3.2, 24, 8, 8], [40, 24, 8, 8]]
    assert phrase.mask.sum() == 128


def test_finding_columns_replace_the_labeler(film_folder, studies_folder):
    table = pd.read_csv(film_folder / "studies.csv").assign(split="train", edema="", Pneumonia="-1")
    table.loc[:3, ["split", "edema", "Pneumonia"]] = ["test", "1.0", ""]  # two patients
    table.to_csv(film_folder / "studies.csv", index=False)
    source = FolderSource(folder_settings(film_folder), "test")
    assert (source.labels[:, OBSERVATIONS.index("Edema")] == POSITIVE).all()
    assert (source.labels[:, OBSERVATIONS.index("No Finding")] == BLANK).all()
    other = FolderSource(folder_settings(film_folder), "train").labels
    assert (other[:, OBSERVATIONS.index("Pneumonia")] == UNCERTAIN).all()
    table = table.assign(**dict.fromkeys(FINDINGS, "0")).drop(columns="edema")
    assert load_evaluation(folder_settings(film_folder), "train")[0].truth is None, "of the other findings nobody said"
    table.to_csv(film_folder / "studies.csv", index=False)
    study = load_evaluation(folder_settings(film_folder), "train")[0]
    assert study.truth.dtype == bool and not study.truth.any()


def test_findings_without_a_column_are_read_in_the_report(film_folder, studies_folder):
    table = pd.read_csv(film_folder / "studies.csv").assign(Pneumonia="0", report="Large right pleural effusion.")
    table.to_csv(film_folder / "studies.csv", index=False)
    labels = dict(zip(OBSERVATIONS, FolderSource(folder_settings(film_folder), "train").labels[0], strict=True))
    assert labels["Pneumonia"] == NEGATIVE and labels["Pleural Effusion"] == POSITIVE and labels["No Finding"] == BLANK


def test_a_film_that_changed_and_kept_its_size_is_read_again(film_folder, studies_folder):
    settings = folder_settings(film_folder)
    path = film_folder / FolderSource(settings, "train").table["image"][0]
    found = []
    for level in (50, 200):
        Image.new("L", (40, 80), level).save(path, "BMP")
        os.utime(path, ns=(level, level))
        found.append(load_training(settings, "train"))
    assert found[0].folder != found[1].folder and [studies.images([0]).max() for studies in found] == [50, 200]


def test_a_notebook_refuses_tables_that_do_not_fit_together_as_commands_do(film_folder, studies_folder):
    table = pd.read_csv(film_folder / "studies.csv")
    twice = table.iloc[[0]].assign(image=Path(table["image"][0]).name, patient="someone else")
    pd.concat([table, twice]).to_csv(film_folder / "studies.csv", index=False)
    with pytest.raises(ValueError, match="are one and the same film"):
        load_training(folder_settings(film_folder), "train")


def test_a_film_that_is_cut_off_is_left_out_and_listed(film_folder, studies_folder, capsys):
    settings = folder_settings(film_folder)
    name = FolderSource(settings, "train").table["image"][1]
    whole = (film_folder / name).read_bytes()
    (film_folder / name).write_bytes(whole[: len(whole) // 2])
    training = load_training(settings, "train")
    assert len(training) == 7 and name not in training.study_ids
    assert "1 of 8 pictures (train) can't be read" in capsys.readouterr().out
    assert name in (training.folder / "skipped.csv").read_text()
    assert name not in [study.study_id for study in load_evaluation(settings, "train")]


def edit(folder, table, change):
    frame = pd.read_csv(folder / table)
    change(frame).to_csv(folder / table, index=False)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("studies.csv", lambda t: t.rename(columns={"report": "text"}), "no column 'report'; there are image, text"),
        (
            "studies.csv",
            lambda t: t.assign(report=[None, *t["report"][1:]]),
            "1 rows without a report .first: images/00",
        ),
        ("studies.csv", lambda t: t.assign(image="images/00.png"), "listed more than once"),
        ("studies.csv", lambda t: t.assign(split="val"), "unknown split 'val'"),
        ("studies.csv", lambda t: t.assign(split=["train", "test"] * 6), "in more than one split"),
        ("studies.csv", lambda t: t.assign(Edema="yes"), "column 'Edema': 'yes'"),
        ("studies.csv", lambda t: t.head(0), "no rows"),
        ("region_boxes.csv", lambda t: t.assign(region="right lobe"), "unknown region 'right lobe'; there are chest"),
        ("region_boxes.csv", lambda t: t.assign(w=[0, *t["w"][1:]]), "line 2: x, y, w, h"),
        ("phrase_boxes.csv", lambda t: t.assign(finding="Effusion"), "unknown finding 'Effusion'"),
    ],
)
def test_mistakes_in_the_tables_are_named(film_folder, studies_folder, table, change, message):
    edit(film_folder, table, change)
    with pytest.raises(ValueError, match=message):
        load_evaluation(folder_settings(film_folder), "test")


def test_missing_folder_table_and_pictures(film_folder, studies_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        load_training(folder_settings(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="needs data_root"):
        load_training(load_settings("smoke", dataset="folder"))
    shutil.rmtree(film_folder / "images")
    with pytest.raises(ValueError, match=r"none of the 8 pictures .*no such file"):
        load_training(folder_settings(film_folder))
    (film_folder / "studies.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"studies\.csv: no such table"):
        load_training(folder_settings(film_folder))


def test_the_data_fingerprint_sees_changes(film_folder):
    before = data_fingerprint(film_folder)
    os.utime(film_folder / "studies.csv")
    assert data_fingerprint(film_folder) == before
    edit(film_folder, "region_boxes.csv", lambda t: t.assign(x=9))
    assert data_fingerprint(film_folder) != before


# ---- tables as people write them
REPORT = '"Small right pleural effusion, unchanged."'


def write_table(root, text: str, name="studies.csv"):
    (root / name).write_bytes(text.encode("utf-8"))
    return root


def twelve(line, header="image,report", end="\n") -> str:
    return end.join([header, *(line.format(name=f"images/{number:02d}.png") for number in range(12)), ""])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (twelve("{name};" + REPORT, "image;report"), 12),  # Excel in German
        (twelve("{name}\t" + REPORT, "image\treport"), 12),
        ("\ufeff" + twelve("{name}," + REPORT, end="\r\n"), 12),
        (twelve("{name}," + REPORT) + ",\n , \n", 12),  # lines without text
        (twelve("{name}," + REPORT).replace(REPORT, "N/A", 1), 11),
        (twelve("{name}," + REPORT).replace(REPORT, "FINDINGS: IMPRESSION:", 2), 10),
        (twelve("{name}," + REPORT).replace(REPORT, "___", 1).replace(REPORT, ".", 1), 10),
        (twelve("{name}," + REPORT).replace(REPORT, '"a\n""b"", c"', 1), 12),
    ],
)
def test_tables_of_all_sorts_are_read(film_folder, text, count):
    table = read_studies(write_table(film_folder, text), seed=0)
    assert len(table) == count and table.attrs["silent"] == 12 - count and table.index.tolist() == list(range(count))
    assert set(table["split"]) == {"train", "validation", "test"}
    assert table["report"].isin(["Small right pleural effusion, unchanged.", 'a\n"b", c']).all()


def test_what_says_nothing_is_told(film_folder, studies_folder, capsys):
    text = twelve("{name}," + REPORT).replace(REPORT, "N/A", 1).replace("report\n", "report,split\n")
    write_table(film_folder, "\n".join(line + ",train" if "png" in line else line for line in text.splitlines()))
    load_training(folder_settings(film_folder))
    assert "1 reports of studies.csv say nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            twelve("{name},no effusion, no pneumothorax"),
            r"line 2: 3 cells where the header has 2; put a text with commas",
        ),
        (twelve("{name}," + REPORT).replace(REPORT, "a, b", 4).replace("a, b", REPORT, 3), "line 5: 3 cells"),
        (twelve("{name}," + REPORT) + "x.png\n", "line 14: 1 cells"),
        (
            twelve("{name},no\u2028effusion\x0c\x85") + "x.png\n",
            "line 14: 1 cells",
        ),  # what only Python takes for an end
        (twelve("{name}," + REPORT).replace(REPORT, '"open', 1), "line 2: not readable as CSV"),
        (twelve("{name},a,1,0", "image,report,Edema,edema"), "'Edema' and 'edema' are the same finding"),
        (twelve("{name},a,1,0", "image,report,Edema,Edema"), "'Edema' is there twice"),
        (twelve("{name},N/A"), "no report says anything"),
        ("", "empty"),
    ],
)
def test_tables_that_would_shift_are_refused_with_their_line(film_folder, text, message):
    with pytest.raises(ValueError, match=message):
        read_studies(write_table(film_folder, text), seed=0)


def test_findings_are_known_by_other_spellings(film_folder, studies_folder):
    write_table(film_folder, twelve("{name},a,1,0", "image,report,Pleural_Effusion, enlarged-cardiomediastinum "))
    labels = FolderSource(folder_settings(film_folder), "test").labels
    assert (labels[:, OBSERVATIONS.index("Pleural Effusion")] == POSITIVE).all()
    assert (labels[:, OBSERVATIONS.index("Enlarged Cardiomediastinum")] == NEGATIVE).all()


def test_not_utf_8_says_how_to_mend(film_folder):
    (film_folder / "studies.csv").write_bytes("image,report\na.png,Herzgröße normal\n".encode("cp1252"))
    with pytest.raises(ValueError, match=r"studies\.csv: not readable as CSV in UTF-8 .*; save it as CSV UTF-8"):
        read_studies(film_folder, 0)


def phrase_boxes(root, *boxes):
    rows = [f"images/{number:02d}.png,whole film,Lung Opacity,{box}" for number in range(12) for box in boxes]
    write_table(root, "\n".join(["image,phrase,finding,x,y,w,h", *rows, ""]), "phrase_boxes.csv")


@pytest.mark.parametrize("boxes", [["0,0,80,40"], ["-5,-5,200,200"], ["0,0,41,40", "40,0,40,40"]])
def test_boxes_of_the_whole_film_are_left_out_and_counted(film_folder, studies_folder, capsys, boxes):
    phrase_boxes(film_folder, *boxes)
    studies = load_evaluation(folder_settings(film_folder), "test")
    assert not any(study.phrases for study in studies)
    assert (
        f"{len(studies) * len(boxes)} boxes of phrase_boxes.csv (test) cover the whole film" in capsys.readouterr().out
    )


@pytest.mark.parametrize("box", ["90,0,10,10", "0,40,10,10", "-20,0,20,10"])
def test_a_box_beside_its_film_stops_before_the_training(film_folder, box):
    phrase_boxes(film_folder, box)
    with pytest.raises(ValueError, match=r"phrase_boxes\.csv: line \d+: the box .* a film of 80 x 40 pixels"):
        FolderSource(folder_settings(film_folder), "test")
    FolderSource(folder_settings(film_folder), "train")


def rewritten(table: Path, **columns) -> None:
    frame = pd.read_csv(table, dtype=str)
    for name, change in columns.items():
        frame[name] = [change(number, value) for number, value in enumerate(frame[name])]
    frame.to_csv(table, index=False)


def test_a_data_set_without_validation_stops_before_it_trains(monkeypatch, tmp_path, capsys):
    mine = DataSet(lambda settings, split: SimpleNamespace(count=3 * (split == "train")), None, lambda root: "digest")
    monkeypatch.setitem(registry.DATASETS, "mine", mine)
    for command in ("pretrain", "pretrain-start"):
        assert cli.main([command, "--profile", "smoke", "--dataset", "mine", "--out", str(tmp_path / "out")]) == 2
        assert "'mine' has no study in the split 'validation'; the splits are called" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tables_that_fit_together_pass_and_rows_of_other_films_are_counted(film_folder, capsys):
    check_folder(film_folder)
    assert not capsys.readouterr().err
    rewritten(film_folder / "region_boxes.csv", image=lambda number, name: "elsewhere.png" if number > 9 else name)
    rewritten(film_folder / "studies.csv", patient=lambda number, name: "NA" if number == 3 else name)
    check_folder(film_folder)
    err = capsys.readouterr().err
    assert "2 rows of" in err and "line 12, 'elsewhere.png'" in err and "phrase" not in err
    rewritten(film_folder / "phrase_boxes.csv", h=lambda number, height: "4000" if number == 3 else height)
    check_folder(film_folder)
    err = capsys.readouterr().err
    assert (
        "1 boxes of" in err and "phrase_boxes.csv run beyond their film and are cut at its edge (first: line 5)" in err
    )
    check_folder(film_folder)
    assert not capsys.readouterr().err, "said once"


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("studies.csv", {"image": lambda n, name: f"./{name}" if n == 4 else name.replace("11", "04")},
         "'./images/04.png' and 'images/04.png' are one and the same film"),
        ("studies.csv", {"image": lambda n, name: "00.png" if n == 1 else name}, "'images/00.png' and '00.png' are one"),
        ("studies.csv", {"patient": lambda n, name: "N/A" if n % 2 else name}, "6 films have the patient 'N/A'"),
        ("region_boxes.csv", {"image": lambda n, name: f"./{name}"},
         "line 2: './images/00.png' is the film that studies.csv names 'images/00.png'"),
        ("phrase_boxes.csv", {"image": lambda n, name: name.removeprefix("images/") if n == 5 else name},
         "line 7: '02.png' is the film"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_together_stop_every_command(film_folder, capsys, table, change, message):
    rewritten(film_folder / table, **change)
    for words in (["rebuild", "--check"], ["pretrain", "--out", str(film_folder / "out")]):
        asked = [*words, "--profile", "smoke", "--dataset", "folder", "--data-root", str(film_folder)]
        assert cli.main(asked) == 2 and message in capsys.readouterr().err


def test_boxes_turn_with_their_film_and_only_the_film_counts(film_folder, studies_folder):
    from ssacl_lib.evaluation.grounding import score_map

    exif = Image.Exif()
    exif[274] = 6
    for number in range(12):
        path = film_folder / "images" / f"{number:02d}.png"
        Image.open(path).save(path, exif=exif)
    phrase_boxes(film_folder, "0,0,40,20")  # of the stored 80 x 40: the upper left; upright, 40 x 80: the upper right
    study = load_evaluation(folder_settings(film_folder), "test")[0]
    (phrase,) = study.phrases
    assert study.film == (slice(0, 64), slice(16, 48)) and phrase.boxes.tolist() == [[32, 0, 16, 32]]
    heatmap = phrase.mask + np.pad(np.ones((64, 16)) * 9.0, ((0, 0), (48, 0)))  # loud beside the film
    assert score_map(heatmap, phrase.mask, study.film)["pointing"] == 1 > score_map(heatmap, phrase.mask)["pointing"]


def test_a_corrected_box_makes_no_study_and_no_training_old(film_folder):
    settings = folder_settings(film_folder)
    before = [FolderSource(settings, split).fingerprint for split in ("train", "validation", "test")]
    known = outside_data(settings)
    edit(film_folder, "phrase_boxes.csv", lambda t: t.assign(x=9))
    assert [FolderSource(settings, split).fingerprint for split in ("train", "validation", "test")] == before
    assert outside_data(settings) != known


# ---- the authors' tables
PROMPTS = {
    "": "[]",
    "cardiomegaly": '["mediastinum"]',
    "pleural effusion, edema": '["lungs", "mediastinum", "abdomen"]',
}
NOTES = ("Lungs are clear.", "The heart is enlarged.", "Right pleural effusion, and pulmonary edema.")


@pytest.fixture
def release_folder(tmp_path):
    """The layout of the release: nine, three and three pictures of 40 x 80 in their folders, and the three tables."""
    root, generator, number = tmp_path / "release", np.random.default_rng(0), 0
    for split, count in (("train", 9), ("val", 3), ("test", 3)):
        rows = []
        for place in range(count):
            path = f"files/p10/p{10000000 + number:08d}/s5/{number}.jpg"
            (root / "images" / path).parent.mkdir(parents=True)
            Image.fromarray(generator.integers(0, 256, (40, 80), dtype=np.uint8)).save(root / "images" / path)
            prompt, anatomies = list(PROMPTS.items())[place % 3]
            rows.append([f"id{number}", path, NOTES[place % 3], prompt, anatomies])
            number += 1
        columns = ["image_id", "image_path", "report", "prompt", "anatomies"]
        pd.DataFrame(rows, columns=columns).to_csv(root / f"ANA-MIMIC-{split}.csv", index=False)
    return root


def release_settings(root, **more):
    return load_settings("smoke", dataset="release-csv", data_root=str(root), **more)


def test_the_tables_of_the_release_bring_prompts_and_open_leaves(release_folder, studies_folder):
    settings = release_settings(release_folder)
    studies = load_training(settings, "train")
    assert studies.study_ids[:2] == ["id0", "id1"] and studies.patient_ids[1] == "p10000001"
    assert studies.prompts == ["", "cardiomegaly", "pleural effusion, edema"] * 3
    assert studies.leaf_open.dtype == bool and studies.leaf_open.shape == (9, 25)
    np.testing.assert_array_equal(studies.leaf_open[:3], [leaf_mask([]), leaf_mask("mediastinum"),
                                                          leaf_mask(["lungs", "mediastinum", "abdomen"])])  # fmt: skip
    assert studies.leaf_open.sum(1).tolist() == [0, 7, 22] * 3
    np.testing.assert_array_equal(studies.labels, label_array(studies.reports))
    assert studies.images([0]).min(axis=(0, 1)).any()  # squeezed to the square: no black margin
    assert studies[4].prompt == "cardiomegaly" and studies[4].leaf_open.sum() == 7
    evaluation = load_evaluation(settings, "test", limit=2)
    assert len(evaluation) == 2 and type(evaluation[1]) is EvaluationStudy
    assert (evaluation[1].prompt, evaluation[1].leaf_open.sum()) == ("cardiomegaly", 7)
    assert evaluation[1].truth is None and not evaluation[1].regions and not evaluation[1].phrases
    assert [study.study_id for study in load_evaluation(settings, "validation")] == ["id9", "id10", "id11"]


def test_a_bad_picture_of_the_release_is_left_out_with_its_prompt(release_folder, studies_folder, capsys):
    picture = next((release_folder / "images").rglob("1.jpg"))
    picture.write_bytes(picture.read_bytes()[:200])
    studies = load_training(release_settings(release_folder), "train")
    assert len(studies) == 8 and studies.prompts[:2] == ["", "pleural effusion, edema"] and len(studies.leaf_open) == 8
    assert "1 of 9 pictures (train) can't be read" in capsys.readouterr().out
    assert "p10000001" in (studies.folder / "skipped.csv").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.assign(anatomies=["[]", "['lungs']", *t["anatomies"][2:]]),
            r"val.csv: row 2 \(image_id id10\).*no JSON list",
        ),
        (lambda t: t.assign(anatomies=["[]", "", *t["anatomies"][2:]]), r"row 2 .*no JSON list; write"),
        (lambda t: t.assign(anatomies='["heart"]'), r"row 1 .*'heart' is no anatomy; write some of lungs, mediastinum"),
        (lambda t: t.assign(report=["a", "b", " "]), r"row 3 \(image_id id11\): no report"),
        (lambda t: t.assign(image_id="a", image_path="b"), r"row 2 .*there already"),
        (lambda t: t.drop(columns="prompt"), "no column 'prompt'"),
        (lambda t: t.head(0), "no rows"),
    ],
)
def test_mistakes_in_the_tables_of_the_release_are_named(release_folder, studies_folder, change, message):
    edit(release_folder, "ANA-MIMIC-val.csv", change)
    with pytest.raises(ValueError, match=message):
        load_training(release_settings(release_folder), "validation")


def test_the_release_folder_is_missed_by_name_and_fingerprinted(release_folder, studies_folder, tmp_path):
    with pytest.raises(ValueError, match="needs data_root"):
        load_training(load_settings("smoke", dataset="release-csv"))
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder.*ANA-MIMIC-train\.csv"):
        load_training(release_settings(tmp_path / "nowhere"))
    before = outside_data(release_settings(release_folder))
    assert outside_data(load_settings("smoke")) is None and before == outside_data(
        release_settings(release_folder, seed=4)
    )
    edit(release_folder, "ANA-MIMIC-test.csv", lambda t: t.assign(prompt="edema"))
    assert outside_data(release_settings(release_folder)) != before
    (release_folder / "ANA-MIMIC-val.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"ANA-MIMIC-val\.csv: no such table"):
        load_training(release_settings(release_folder), "validation")


def test_a_patient_in_two_tables_of_the_release_is_refused(release_folder, studies_folder):
    edit(
        release_folder,
        "ANA-MIMIC-test.csv",
        lambda t: t.assign(image_path=["files/p10/p10000000/s6/9.jpg", *t["image_path"][1:]]),
    )
    with pytest.raises(ValueError, match=r"ANA-MIMIC-test\.csv: patient 'p10000000' is in ANA-MIMIC-train\.csv, too"):
        load_training(release_settings(release_folder), "train")


def test_several_pictures_under_one_id_are_studies_of_their_own(release_folder, studies_folder):
    edit(release_folder, "ANA-MIMIC-test.csv", lambda t: t.assign(image_id=["a", "a", "b"]))
    names = load_training(release_settings(release_folder), "test").study_ids
    assert len(set(names)) == 3 and names[0].startswith("a:files/") and names[2] == "b"
