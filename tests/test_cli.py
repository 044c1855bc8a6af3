"""The command line: help worth reading, and one line that names the culprit for every mistake."""

import gc
import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import write_dicom
from PIL import Image

from ssacl_lib import paths
from ssacl_lib.command import cli, folder_reports, ground
from ssacl_lib.command.arguments import parse_override
from ssacl_lib.command.cli import main
from ssacl_lib.evaluation import benchmarks
from ssacl_lib.images import film_rectangle
from ssacl_lib.observations import FINDINGS


def run(capsys, *words) -> tuple[int, str, str]:
    try:
        code = main(list(words))
    except SystemExit as exit_:
        code = exit_.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    "command",
    [
        "rebuild",
        "explain",
        "report",
        "ground",
        "retrieve",
        "data",
        "pretrain",
        "pretrain-mae",
        "convert-release",
        "bench",
        "readme",
        "handout",
        "book",
        "browser-model",
        "spread",
        "labeler",
        "phrases",
        "randomise",
    ],
)
def test_help(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0 and len(out.splitlines()) > 5
    assert command in run(capsys, "--help")[1]


def test_python_m_is_the_same():
    done = subprocess.run([sys.executable, "-m", "ssacl_lib", "--help"], capture_output=True, text=True, check=True)
    assert "not a medical device" in done.stdout


def test_the_console_script():
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"ssacl": "ssacl_lib.command.cli:main"}


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["rebuild", "--profile", "laptop"], "no profile 'laptop'; there are cpu, gpu, paper, release, smoke"),
        (["rebuild", "--profile", "smoke", "--only", "09"], "no stage '09'; there are 00_explorer, 01_anatomy_graph"),
        (["rebuild", "--profile", "smoke", "--dataset", "mimic"], "no data set 'mimic'; there are phantom, folder"),
        (["rebuild", "--profile", "smoke", "--dataset", "folder"], "needs data_root"),
        (["rebuild", "--profile", "smoke", "--dataset", "folder", "--data-root", "nowhere"], "nowhere: no such folder"),
        (["pretrain", "--profile", "smoke", "--out", "x", "--dataset", "release-csv"], "release-csv needs data_root"),
        (
            ["rebuild", "--profile", "smoke", "--dataset", "release-csv", "--data-root", "nowhere"],
            "nowhere: no such folder",
        ),
        (["convert-release", "nowhere.pth", "x"], "nowhere.pth: no such file"),
        (["rebuild", "--profile", "smoke", "--seed", "-1"], "seed"),
        (["rebuild", "--seed", "one"], "--seed"),
        (["rebuild", "--prfile", "smoke"], "--prfile"),
        (["pretrain", "--profile", "smoke", "--out", "x", "--set", "training.imges=3"], "training.imges"),
        (["pretrain", "--profile", "smoke", "--out", "x", "--set", "training.images"], "expected KEY=VALUE"),
        (["pretrain", "--profile", "smoke"], "--out"),
        (["data", "get", "mri"], "mri"),
        (["ground", "film.png"], "PHRASE"),
        ([], "COMMAND"),
        (["paint"], "paint"),
    ],
)
def test_a_mistake_gives_one_line_and_exit_2(capsys, words, culprit):
    code, _, err = run(capsys, *words)
    assert code == 2
    assert culprit in err and len(err.strip().splitlines()) == 1


def test_without_a_cuda_device_the_gpu_profile_stops_before_any_work(capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = run(capsys, "rebuild", "--profile", "gpu")
    assert code == 2 and "CUDA" in err and len(err.strip().splitlines()) == 1


def test_without_a_shipped_checkpoint_it_says_how_to_make_one(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "SHIPPED_CHECKPOINT", tmp_path / "none")
    for words in (["report", "film.png"], ["ground", "film.png", "effusion"]):
        code, _, err = run(capsys, *words)
        assert code == 2 and "ssacl pretrain" in err


def said(err: str) -> list[str]:
    """Our own lines of stderr; in a process of tests bars of libraries stand there, too."""
    return [line for line in err.splitlines() if line.startswith("ssacl: ")]


def film(path):
    """A small grey picture as PNG, JPEG or DICOM, by the ending."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    if path.suffix == ".dcm":
        return write_dicom(path, pixels)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "b.jpg", "c.dcm"])
def test_report_and_ground_write_json_and_overlay(capsys, tmp_path, tiny_checkpoint, name):
    path, out = film(tmp_path / name), tmp_path / "out"
    options = ("--weights", str(tiny_checkpoint), "--out", str(out))
    code, printed, _ = run(capsys, "report", str(path), *options)
    assert code == 0 and str(tiny_checkpoint) in printed
    answer = json.loads((out / f"{path.stem}_report.json").read_text(encoding="utf-8"))
    assert set(answer["findings"]) == set(FINDINGS) and answer["report"] is not None
    code, printed, _ = run(capsys, "ground", str(path), "right pleural effusion", *options)
    assert code == 0 and "peaks at" in printed
    x, y = json.loads((out / f"{path.stem}_ground.json").read_text(encoding="utf-8"))["peak"]
    assert 0 <= x < 60 and 0 <= y < 40
    for kind in ("report", "ground"):
        assert Image.open(out / f"{path.stem}_{kind}.png").size[0] > 100


def test_without_pictures_there_is_no_picture(capsys, tmp_path, tiny_checkpoint):
    path = film(tmp_path / "a.png")
    options = ("--no-pictures", "--weights", str(tiny_checkpoint), "--out", str(tmp_path))
    code, printed, _ = run(capsys, "report", str(path), *options)
    assert code == 0 and "a_report.json" in printed and not (tmp_path / "a_report.png").exists()


@pytest.fixture
def many_films(tmp_path):
    """Two folders below one with seven films in three formats, a bad one, and what is no film."""
    root = tmp_path / "films"
    (root / "below").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "c.DCM", "below/a.png", "below/d.png", "below/e.png", "below/f.jpeg"):
        film((root / name).with_suffix((root / name).suffix.lower())).rename(root / name)
    (root / "bad.png").write_text("no picture")
    (root / "notes.txt").write_text("nothing to read")
    return root


def folder_lines(out) -> list[dict]:
    return [json.loads(line) for line in (out / "reports.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_folder_is_reported_and_goes_on_where_it_was_killed(
    capsys, monkeypatch, tmp_path, tiny_checkpoint, many_films
):
    monkeypatch.setattr(folder_reports, "BATCH", 2)
    out, asked, honest = tmp_path / "out", [], folder_reports.reports_of_pixels
    words = ("report", str(many_films), "--weights", str(tiny_checkpoint), "--out", str(out))

    def dies(model, pixels, evidence):
        asked.append(len(pixels))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return honest(model, pixels, evidence)

    monkeypatch.setattr(folder_reports, "reports_of_pixels", dies)
    assert run(capsys, *words)[0] == 130
    first = folder_lines(out)
    assert 2 <= len(first) <= 4 and not (out / "reports.csv").exists()
    with open(out / "reports.jsonl", "a", encoding="utf-8") as handle:
        handle.write('{"image": "cut off in the mid')  # as a kill may leave it
    code, printed, _ = run(capsys, *words)
    assert code == 0 and f"{7 - len(first)} reports written, {len(first)} were there already" in printed
    assert (
        "1 files can't be read" in printed and "bad.png" in printed and "bad.png" in (out / "skipped.csv").read_text()
    )
    lines = folder_lines(out)
    assert lines[: len(first)] == first and len({line["image"] for line in lines}) == len(lines) == 7
    assert set(lines[0]["findings"]) == set(FINDINGS) and lines[0]["checkpoint"] == str(tiny_checkpoint)
    table = pd.read_csv(out / "reports.csv", keep_default_na=False)
    assert sorted(table["image"]) == sorted(line["image"] for line in lines) and set(FINDINGS) <= set(table)
    told = len(asked)
    assert "0 reports written, 7 were there already" in run(capsys, *words)[1] and len(asked) == told
    assert not (out / "pictures").exists()


def test_films_or_checkpoints_that_changed_are_reported_again(capsys, tmp_path, tiny_checkpoint, many_films):
    out, other = tmp_path / "out", tmp_path / "other"
    words = ("report", str(many_films / "below"), str(many_films / "a.png"), "--out", str(out), "--weights")
    assert "5 reports written, 0 were" in run(capsys, *words, str(tiny_checkpoint))[1]
    Image.new("L", (50, 50), 90).save(many_films / "a.png")
    assert "1 reports written, 4 were" in run(capsys, *words, str(tiny_checkpoint))[1]
    assert len(folder_lines(out)) == 6 and len(pd.read_csv(out / "reports.csv")) == 5
    shutil.copytree(tiny_checkpoint, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "pixel_mean": 0.4}))
    assert "5 reports written, 0 were" in run(capsys, *words, str(other))[1]
    assert set(pd.read_csv(out / "reports.csv")["checkpoint"]) == {str(other)}


def test_a_folder_inside_of_its_own_results_is_not_read_twice(capsys, tmp_path, tiny_checkpoint, many_films):
    words = ("report", str(many_films), "--weights", str(tiny_checkpoint), "--out", str(many_films), "--pictures")
    assert "7 reports written" in run(capsys, *words)[1]
    [picture] = (many_films / "pictures" / "films" / "below").glob("f_jpeg_*_report.png")
    assert Image.open(picture).size[0] > 100
    assert run(capsys, "report", str(many_films / "a.png"), *words[2:])[0] == 0  # a_report.png beside the films
    assert "0 reports written, 7 were" in run(capsys, *words)[1]
    next((many_films / "pictures" / "films").glob("b_jpg_*_report.png")).unlink()
    assert "1 reports written, 6 were" in run(capsys, *words)[1]


def test_films_of_one_name_have_a_picture_each_and_pictures_of_others_are_films(capsys, tmp_path, tiny_checkpoint):
    out, films = tmp_path / "out", [tmp_path / name / "images" / "1.png" for name in ("p1", "p2")]
    films += [tmp_path / "p1" / "images" / "1_png", tmp_path / "out" / "pictures" / "reader.png"]
    for k, film in enumerate(films):
        film.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (40, 60), np.uint8)).save(film, "png")
    sources = [str(tmp_path / name) for name in ("p1/images", "p2/images", "out")]
    words = ("report", *sources, "--weights", str(tiny_checkpoint), "--out", str(out), "--pictures")
    assert "4 reports written" in run(capsys, *words)[1]
    lines = folder_lines(out)
    assert {line["image"] for line in lines} == set(map(str, films))
    assert len({line["picture"] for line in lines}) == len(list((out / "pictures").rglob("*_report.png"))) == 4
    assert "0 reports written, 4 were" in run(capsys, *words)[1]


def test_films_are_ranked_for_a_phrase_and_their_vectors_kept(
    capsys, monkeypatch, tmp_path, tiny_checkpoint, many_films
):
    from ssacl_lib.command import retrieve
    from ssacl_lib.model.build import load_model

    for k, path in enumerate(sorted(many_films.rglob("*.png"))[:4]):  # films that differ
        if path.name != "bad.png":
            Image.fromarray(np.random.default_rng(k).integers(0, 256, (40, 60), np.uint8) // (k + 1)).save(path)
    out, read, honest = many_films / "out", [], retrieve.read_ahead  # inside of the folder that is read
    monkeypatch.setattr(retrieve, "read_ahead", lambda films, size: read.append(len(films)) or honest(films, size))
    words = (str(many_films), "--weights", str(tiny_checkpoint), "--out", str(out))
    code, printed, _ = run(capsys, "retrieve", "right pleural effusion", *words)
    assert code == 0 and "7 films" in printed and "1 files can't be read" in printed and "bad.png" in printed
    table = pd.read_csv(out / "right_pleural_effusion_retrieve.csv")
    assert table["rank"].tolist() == list(range(1, 8)) and table["cosine"].is_monotonic_decreasing
    assert table["cosine"].nunique() > 2
    model = load_model(tiny_checkpoint)
    image, text = (
        model.image_embedding(model.pixels([table["image"][0]])),
        model.text_embedding(["right pleural effusion"]),
    )
    fit = torch.nn.functional.cosine_similarity(image, text).item()
    assert fit == pytest.approx(table["cosine"][0], abs=1e-4)
    answer = json.loads((out / "right_pleural_effusion_retrieve.json").read_text(encoding="utf-8"))
    assert [one["image"] for one in answer["first"]] == table["image"].tolist()
    assert Image.open(out / "right_pleural_effusion_retrieve.png").size[0] > 100
    assert run(capsys, "retrieve", "heart", *words)[0] == 0
    film(many_films / "a.png")
    assert run(capsys, "retrieve", "heart", *words)[0] == 0
    assert read == [8, 1, 2], "a film is read again where it has changed, and what can't be read is tried again"
    vectors = out / "retrieve_vectors.npz"
    vectors.write_bytes(vectors.read_bytes()[:-100])  # cut off
    assert run(capsys, "retrieve", "heart", *words)[0] == 0 and read[3] == 8
    code, _, err = run(capsys, "retrieve", " ", *words)
    assert code == 2 and "phrase is empty" in err


def test_a_ranking_of_other_films_or_capitals_takes_no_others_place(capsys, tmp_path, tiny_checkpoint, many_films):
    out, more = tmp_path / "out", ("--weights", str(tiny_checkpoint), "--out", str(tmp_path / "out"))
    for phrase, films in (("heart", many_films), ("Heart", many_films), ("heart", many_films / "below")) * 2:
        code, printed, _ = run(capsys, "retrieve", phrase, str(films), *more)
        assert code == 0
        table = pd.read_csv(next(out / Path(word).name for word in printed.replace(",", " ").split() if ".csv" in word))
        assert all(str(films) in image for image in table["image"])
    told = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("*_retrieve.json")]
    assert len(told) == len(list(out.glob("*_retrieve.csv"))) == 3, "again the same is in its own place"
    assert {(one["phrase"], one["films"]) for one in told} == {("heart", 7), ("Heart", 7), ("heart", 4)}


def test_linked_folders_are_read_once_and_a_picture_beside_anyones_json_is_a_film(
    capsys, tmp_path, tiny_checkpoint, many_films
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    film(elsewhere / "patient_report.png")
    (elsewhere / "patient_report.json").write_text('{"image": "c.png", "report": "a colleague wrote it"}')
    (many_films / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(many_films)  # in a circle
    code, printed, _ = run(
        capsys, "report", str(many_films), "--weights", str(tiny_checkpoint), "--out", str(tmp_path / "out")
    )
    assert code == 0 and "8 reports written" in printed
    images = [Path(line["image"]) for line in folder_lines(tmp_path / "out")]
    assert many_films / "linked" / "patient_report.png" in images and len(set(images)) == 8
    (many_films / "again.png").symlink_to(many_films / "a.png")
    (many_films / "lost.png").symlink_to(tmp_path / "nowhere.png")
    code, printed, _ = run(
        capsys,
        "report",
        str(many_films),
        str(elsewhere),
        "--weights",
        str(tiny_checkpoint),
        "--out",
        str(tmp_path / "out"),
    )
    assert code == 0 and "0 reports written, 8 were there" in printed, "a film is one, by however many links"
    assert "2 files can't be read" in printed and "lost.png" in printed


def test_a_phrase_longer_than_the_model_reads_is_told_and_leaves_the_picture_its_room(
    capsys, monkeypatch, tmp_path, tiny_checkpoint, many_films
):
    titles, honest = [], ground.overlay_figure
    monkeypatch.setattr(
        ground, "overlay_figure", lambda *given, title: titles.append(title) or honest(*given, title=title)
    )
    more = ("--weights", str(tiny_checkpoint), "--out", str(tmp_path / "out"))
    for phrase in ("heart", "the heart is " + "very " * 300 + "large"):
        code, _, err = run(capsys, "ground", str(many_films / "a.png"), phrase, *more)
        assert code == 0 and ("of which the model reads the first" in err) == (len(phrase) > 100)
        told = json.loads(max((tmp_path / "out").glob("*.json"), key=lambda path: path.stat().st_mtime_ns).read_text())
        assert told["phrase"] == phrase
    assert titles[0] == "heart" and titles[1].startswith("the heart is very") and len(titles[1]) <= 200


def test_folders_without_a_film_that_can_be_read(capsys, tmp_path, tiny_checkpoint):
    weights = ("--weights", str(tiny_checkpoint), "--out", str(tmp_path / "out"))
    (tmp_path / "films").mkdir()
    code, _, err = run(capsys, "report", str(tmp_path / "films"), *weights)
    assert code == 2 and "no picture in it" in err
    (tmp_path / "films" / "bad.png").write_text("no picture")
    code, _, err = run(capsys, "report", str(tmp_path / "films"), *weights)
    assert code == 2 and "none of the 1 files can be read" in err.splitlines()[-1] and "bad.png" in err
    code, _, err = run(capsys, "report", str(tmp_path / "films"), str(tmp_path / "nowhere"), *weights)
    assert code == 2 and "nowhere: no such file or folder" in err


def test_bench_prints_the_table_of_speed(capsys, monkeypatch, tmp_path):
    asked = []
    row = {"what": "term_x", "metric": "milliseconds", "value": 2.0, "low": 1.0, "high": 3.0, "n": 4, "seed": 0}
    monkeypatch.setattr(benchmarks, "load_part", lambda name: asked.append(name) or (lambda *_: [row]))
    code, out, _ = run(
        capsys, "bench", "--profile", "smoke", "--only", "terms", "--json", str(tmp_path / "x.json"), "--quick"
    )
    assert code == 0 and "term_x" in out and set(asked) == {"terms"}
    assert json.loads((tmp_path / "x.json").read_text())["rows"][0]["value"] == 2.0
    monkeypatch.undo()
    code, _, err = run(capsys, "bench", "--profile", "smoke", "--only", "speed")
    assert code == 2 and "no benchmark 'speed'" in err and len(err.strip().splitlines()) == 1


def test_wrong_images_phrases_and_weights_name_the_culprit(capsys, tmp_path, tiny_checkpoint):
    good = film(tmp_path / "film.png")
    (tmp_path / "text.png").write_text("no picture")
    weights = ["--weights", str(tiny_checkpoint)]
    for words, culprit in (
        (["report", str(tmp_path / "text.png"), *weights], "text.png"),
        (["ground", str(tmp_path / "missing.png"), "effusion", *weights], "missing.png"),
        (["ground", str(good), " ", *weights], "phrase"),
        (["report", str(good), "--weights", str(tmp_path / "nowhere")], "nowhere"),
        (["ground", str(good), "effusion", "--weights", str(tmp_path)], tmp_path.name),
    ):
        code, _, err = run(capsys, *words)
        assert code == 2 and culprit in err.splitlines()[-1], err


def test_the_line_stands_alone_on_stderr(tmp_path, tiny_checkpoint):
    """In a process of its own, for libraries write to stderr too."""
    words = [
        sys.executable,
        "-m",
        "ssacl_lib",
        "report",
        str(tmp_path / "missing.png"),
        "--weights",
        str(tiny_checkpoint),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=paths.PACKAGE.parent)
    assert done.returncode == 2 and done.stdout == ""
    assert "missing.png" in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_other_failures_give_one_line_and_exit_1(capsys, monkeypatch):
    def fail(arguments):
        raise RuntimeError("the kernel\ndied")

    monkeypatch.setattr(cli, "run_readme", fail)
    assert run(capsys, "readme") == (1, "", "ssacl: the kernel died\n")


def test_overrides_are_read_as_in_a_profile():
    assert parse_override("training.images=400") == ("training.images", 400)
    assert parse_override("training.learning_rate=1e-3") == ("training.learning_rate", 1e-3)
    assert parse_override("model.encoder_weights=data/x=y") == ("model.encoder_weights", "data/x=y")
    assert parse_override("model.encoder_weights=null") == ("model.encoder_weights", None)


def test_a_start_trains_the_terms_that_its_command_names(capsys, monkeypatch, tmp_path):
    """The shipped start's manifest names a command; typed again, it has the settings of that manifest."""
    from ssacl_lib.record.manifest import portable_settings, read_json
    from ssacl_lib.settings import without_off
    from ssacl_lib.training import checkpoints

    seen = []
    monkeypatch.setattr(
        checkpoints, "make_start", lambda settings, out, command: seen.append((settings, command)) or out
    )
    made = read_json(paths.START_CHECKPOINT / "manifest.json")
    for words in (shlex.split(made["command"])[1:], ["pretrain-mae", "--profile", "cpu"]):
        assert run(capsys, *words, "--out", str(tmp_path))[0] == 0
    now, then = without_off(portable_settings(seen[0][0]))["training"], without_off(made["settings"])["training"]
    assert {name: now[name] for name in then} == then
    assert seen[0][0].model.encoder_weights is None and seen[0][1] == made["command"]
    weights = seen[1][0].training.loss_weights.model_dump()
    assert {name for name, weight in weights.items() if weight} == {"image_reconstruction"}


# ---- what people do
def test_films_of_one_name_from_several_folders_give_a_result_each(capsys, tmp_path, tiny_checkpoint):
    out = tmp_path / "out"
    words = ("--weights", str(tiny_checkpoint), "--out", str(out), "--no-pictures")
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
        film(folder / "view1_frontal.jpg")
    films = [str(folder / "view1_frontal.jpg") for folder in folders]
    for _ in range(2):  # the second time over their own results
        assert run(capsys, "report", *films[:2], films[0], *words)[0] == 0
    assert run(capsys, "report", films[2], *words)[0] == 0  # later, alone: nobody's place is taken
    assert run(capsys, "report", str(film(folders[0] / "view1_frontal.png")), films[0], *words)[0] == 0
    answers = [json.loads(path.read_text()) for path in sorted(out.glob("*_report.json"))]
    assert sorted(answer["image"] for answer in answers) == sorted([*films, str(folders[0] / "view1_frontal.png")])


PHRASES = (
    ("pleural effusion", None),
    ("right effusion", None),
    (r"$\bad$ effusion", "bad"),
    ("胸腔积液", "no word"),
    ("🫁", "no word"),
    ("asdf", "no word"),
    ("../../right effusion", None),
    ("effusion " * 60, None),
)


def test_every_phrase_keeps_its_own_result_and_is_plain_text(tmp_path, tiny_checkpoint, capsys, recwarn):
    path, out = film(tmp_path / "a.png"), tmp_path / "out"
    for phrase, known in PHRASES * 2:
        code, _, err = run(capsys, "ground", str(path), phrase, "--weights", str(tiny_checkpoint), "--out", str(out))
        assert code == 0 and (known or "") in err and len(said(err)) == (known is not None), err
    answers = [json.loads(file.read_text(encoding="utf-8")) for file in out.iterdir() if file.suffix == ".json"]
    assert sorted(answer["phrase"] for answer in answers) == sorted(phrase for phrase, _ in PHRASES)
    assert len(list(out.iterdir())) == 2 * len(PHRASES) and (out / "a_ground.json").is_file()
    assert len(list(tmp_path.iterdir())) == 2 and not recwarn.list


@pytest.mark.parametrize("shape", [(42, 51), (51, 42), (64, 16)])
def test_the_peak_lies_on_the_film(tmp_path, tiny_checkpoint, monkeypatch, shape):
    """Whatever the map says of the padding."""
    from ssacl_lib.command import ground

    heatmap = np.random.default_rng(0).normal(size=(64, 64))
    rows, columns = film_rectangle(shape, 64)
    inside = np.zeros((64, 64), bool)
    inside[rows, columns] = True
    heatmap[~inside] += 100
    heatmap[rows.stop - 1, columns.stop - 1] = 50
    x, y = ground.peak_on_film(heatmap, shape)
    assert shape[1] - 2 < x < shape[1] and shape[0] - 2 < y < shape[0]
    Image.fromarray(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "a.png")
    x, y = ground.ground_file(tmp_path / "a.png", "effusion", tiny_checkpoint, tmp_path)["peak"]
    assert 0 <= x < shape[1] and 0 <= y < shape[0]


def test_what_is_odd_of_a_film_stands_in_the_json_and_on_stderr(capsys, tmp_path, tiny_checkpoint):
    Image.new("L", (50, 50)).save(tmp_path / "black.png")
    options = ("--weights", str(tiny_checkpoint), "--out", str(tmp_path))
    for words in (("report", "--no-pictures"), ("ground", "effusion")):
        code, _, err = run(capsys, words[0], str(tmp_path / "black.png"), words[1], *options)
        assert code == 0 and "no contrast" in said(err)[0]
        notes = json.loads((tmp_path / f"black_{words[0]}.json").read_text())["notes"]
        assert [note for note in notes if "no contrast" in note]
    out = run(capsys, "report", str(tmp_path), "--weights", str(tiny_checkpoint), "--out", str(tmp_path / "out"))[1]
    assert "1 notes" in out and "no contrast" in pd.read_csv(tmp_path / "out" / "reports.csv")["notes"][0]


def test_a_folder_is_read_as_single_files_are(capsys, tmp_path, tiny_checkpoint, monkeypatch):
    root, out = tmp_path / "films", tmp_path / "out"
    root.mkdir()
    for name in ("a.tif", "b.bmp", "c.TIFF", "d.dcm"):
        film(root / name.lower()).rename(root / name)
    film(root / "e.dcm").rename(root / "IM0001")
    os.rename(film(root / "f.png"), os.fsencode(root) + b"/g\xff.png")
    (root / "zero.dcm").touch()
    film(root / "DICOMDIR.dcm").rename(root / "DICOMDIR")
    (root / "notes.txt").write_text("nothing to read")
    honest = folder_reports.read_film

    def breaks(path):
        if path.name == "c.TIFF":
            raise RuntimeError("a library broke")
        return honest(path)

    monkeypatch.setattr(folder_reports, "read_film", breaks)
    words = ("report", str(root), "--weights", str(tiny_checkpoint), "--out", str(out))
    code, printed, _ = run(capsys, *words)
    assert code == 0 and "5 reports written" in printed and "2 other files are no pictures" in printed
    assert "2 files can't be read" in printed and "an empty file" in printed and "RuntimeError" in printed
    assert sorted(Path(line["image"]).name for line in folder_lines(out)) == [
        "IM0001", "a.tif", "b.bmp", "d.dcm", "g\\xff.png"
    ]  # fmt: skip
    assert "0 reports written, 5 were there already" in run(capsys, *words)[1]


@pytest.mark.skipif(folder_reports.fcntl is None, reason="no locks on this system")
def test_two_runs_do_not_write_to_one_folder(capsys, tmp_path, tiny_checkpoint, many_films):
    out = tmp_path / "out"
    out.mkdir()
    words = ("report", str(many_films), "--weights", str(tiny_checkpoint), "--out", str(out))
    with open(out / "reports.jsonl", "a") as other:
        folder_reports.fcntl.flock(other, folder_reports.fcntl.LOCK_EX)
        code, _, err = run(capsys, *words)
        assert code == 2 and "another `ssacl report` is writing there" in said(err)[0]
    assert run(capsys, *words)[0] == 0


def test_a_closed_pipe_is_no_error(tmp_path):
    script = "import sys, ssacl_lib.command.cli as c; c.run_readme = lambda _: print('x\\n' * 10**6)"
    words = shlex.join([sys.executable, "-c", f"{script}; sys.exit(c.main(['readme']))"])
    done = subprocess.run(
        ["bash", "-c", f"{words} | head -1"], capture_output=True, text=True, cwd=paths.PACKAGE.parent
    )
    assert (done.stdout, done.stderr) == ("x\n", "")


def test_one_phrase_or_anatomy_is_a_list_of_one(tiny_checkpoint, tmp_path):
    from ssacl_lib import SSACLModel

    model, path = SSACLModel.from_pretrained(tiny_checkpoint), film(tmp_path / "a.png")
    side = model.config.image_size
    assert model.ground([path], "left effusion").shape == (1, 1, side, side)
    assert model.attend(path, "lungs").shape == (1, 1, side, side)
    with pytest.raises(ValueError, match="empty phrase"):
        model.ground([path], "")


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_looks_at_the_interpreter_before_it_installs(tmp_path):
    """An interpreter that says that it is too new."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(paths.ROOT / name, tmp_path)
    fake = tmp_path / "python"
    pretends = "import sys; code = sys.argv[2]; sys.version_info = (3, 13, 1); exec(code)"
    fake.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{pretends}' \"$@\"\n")
    fake.chmod(0o755)
    done = subprocess.run(["make", "paper", f"PYTHON={fake}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and "3.13; 3.11 or 3.12 is needed" in done.stderr and not (tmp_path / ".venv").exists()


def test_what_can_be_made_again_may_lie_elsewhere(tmp_path):
    shown = "from ssacl_lib import paths; print(paths.STUDIES, paths.ORGAN_MAPS, paths.RUNS, paths.SHIPPED_CHECKPOINT)"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, cwd=paths.PACKAGE.parent,
                          env={**os.environ, "SSACL_CACHE": str(tmp_path)})  # fmt: skip
    *moved, shipped = done.stdout.split()
    assert all(place.startswith(str(tmp_path)) for place in moved) and shipped == str(paths.SHIPPED_CHECKPOINT)


def test_a_split_of_one_study_stops_before_any_work(capsys, tmp_path, film_folder):
    table = pd.read_csv(film_folder / "studies.csv").head(3).assign(patient=["a", "b", "c"])
    table.to_csv(film_folder / "studies.csv", index=False)
    words = ("rebuild", "--profile", "smoke", "--dataset", "folder", "--data-root", str(film_folder), "--out")
    code, _, err = run(capsys, *words, str(tmp_path / "out"))
    assert "9 rows of" in said(err)[0], "boxes of the films that are no longer listed"
    assert code == 2 and "has 1 study, and comparing needs 2 or more" in said(err)[-1]
    assert not (tmp_path / "out").exists()


def test_garbage_is_looked_for_again_once_libraries_are_loaded():
    for error in (None, ValueError):
        with pytest.raises(ValueError) if error else nullcontext(), cli.loading():
            assert not gc.isenabled()
            if error:
                raise error
        assert gc.isenabled()
    frozen = gc.get_freeze_count()
    with cli.loading():
        kept = [[] for _ in range(1000)]
    assert kept and gc.get_freeze_count() == frozen > 0, "nothing is frozen a second time"
