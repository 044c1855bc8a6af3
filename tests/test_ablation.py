"""`ssacl ablation` interrupted in a training and between two parts: started again, it gives the same and repeats nothing."""

import fcntl
import threading
from dataclasses import replace
from functools import partial

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from made_up import write_runs
from small import SMALL

from ssacl_lib import paths
from ssacl_lib.baselines.registry import FINDINGS, PHRASES, SSACL
from ssacl_lib.command import cli
from ssacl_lib.command.rebuild import rebuild
from ssacl_lib.evaluation import comparison, comparison_others, comparison_run, comparison_scores, inputs
from ssacl_lib.evaluation.comparison import gives_the_same, measure
from ssacl_lib.evaluation.comparison_run import missing, planned, results_folder
from ssacl_lib.record.claims import claimed
from ssacl_lib.record.manifest import read_json, write_json
from ssacl_lib.settings import load_settings
from ssacl_lib.training import loop, sight
from ssacl_lib.training.look import still_head
from ssacl_lib.training.words_atlas import WordsAtlas

ONLY = ("SS-ACL", "contrast only", "start", "flat graph", "constant report")
STUDIES = {"data.train_studies": 24, "data.validation_studies": 8, "data.test_studies": 10}


class Killed(Exception):
    """What stands for a kill."""


@pytest.fixture
def settings(fake_phantom, monkeypatch):
    """Two folders for the same small runs, one seed each."""
    monkeypatch.setattr(comparison_run, "SEEDS", 1)
    monkeypatch.setattr(comparison_run, "OWN_SEEDS", 1)
    monkeypatch.setattr(comparison_run, "MAP_SEEDS", 1)
    few = {"inference.evidence_masks": 4, "inference.max_new_tokens": 12}
    return lambda out: load_settings("smoke", **SMALL, **STUDIES, **few, out_dir=str(out))


def frames(settings) -> dict[str, pd.DataFrame]:
    folder = results_folder(settings)
    return {path.relative_to(folder).as_posix(): pd.read_parquet(path) for path in sorted(folder.rglob("*.parquet"))}


def times(settings) -> dict[str, int]:
    return {path.as_posix(): path.stat().st_mtime_ns for path in results_folder(settings).rglob("*.parquet")}


def start(monkeypatch, settings, training: int | None = None, part: str | None = None) -> int:
    """Start the runs; they die in a step of training of that number, or at the first scoring of a part. Steps begun."""
    honest, steps = loop.train_step, []

    def step(*arguments):
        steps.append(arguments)
        if len(steps) == training:
            raise Killed
        return honest(*arguments)

    def dies(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", step)
        if part:
            patch.setitem(comparison_scores.SCORES, part, dies)
        if training or part:
            with pytest.raises(Killed):
                measure(settings, ONLY)
        else:
            assert len(measure(settings, ONLY)) == len(ONLY)
    return len(steps)


def test_processes_are_at_least_one_and_those_beside_say_nothing_of_the_whole(capsys):
    for command in ("ablation", "downstream"):
        with pytest.raises(SystemExit):
            cli.main([command, "--processes", "0"])
        assert "--processes: 0, expected at least 1" in capsys.readouterr().err
        assert cli.main([command, "--list"]) == 0 and capsys.readouterr().out.count("\n") > 50
        assert cli.main([command, "--list", "--beside"]) == 0 and not capsys.readouterr().out
    assert cli.main(["ablation", "--list", "--only", "start", "--only", "start"]) == 0
    assert capsys.readouterr().out.count("start, seed 0") == 1


def test_interrupted_and_started_again_gives_the_same_and_repeats_nothing(settings, tmp_path, monkeypatch):
    whole, cut = settings(tmp_path / "whole"), settings(tmp_path / "cut")
    assert start(monkeypatch, whole) == 9  # three trainings of 12 images, 4 a step
    wanted = frames(whole)
    there = {"ss-acl/seed0/reports.parquet", "flat-graph/seed0/leaves.parquet", "constant-report/seed0/reports.parquet"}
    assert {"references.parquet", "start/seed0/plus.parquet", *there} <= set(wanted)

    first = planned(cut, ONLY)[0]
    start(monkeypatch, cut, training=3)  # a step after the checkpoint of the first training
    assert missing(first) == list(first.method.parts) and not list(first.folder.glob("*"))
    assert start(monkeypatch, cut, part=PHRASES) == 1  # it goes on, and dies between two parts
    assert missing(first) == [part for part in first.method.parts if part != FINDINGS]
    finished = times(cut)
    assert start(monkeypatch, cut, training=5) == 5  # in the next but one training, before its first checkpoint
    assert not missing(first)
    finished |= times(cut)
    assert start(monkeypatch, cut) == 3
    after = times(cut)
    assert {name: after[name] for name in finished} == finished, "what was done is not made again"
    found = frames(cut)
    assert found.keys() == wanted.keys()
    for name, frame in wanted.items():
        pd.testing.assert_frame_equal(found[name], frame, check_exact=True, obj=name)
    start_again = times(cut)
    assert start(monkeypatch, cut) == 0 and times(cut) == start_again

    assert "give the committed losses" in gives_the_same(cut)
    curve = first.folder / "history.parquet"
    pd.read_parquet(curve).assign(value=lambda rows: rows["value"] * 1.01).to_parquet(curve)
    with pytest.raises(ValueError, match=r"SS-ACL, seed 0: today's code trains otherwise on \w+ .*; remove "):
        gives_the_same(cut)
    write_json(first.folder / "run.json", {**read_json(first.folder / "run.json"), "kernels": "ELSE, some machine"})
    assert gives_the_same(cut).startswith("contrast only"), "one that was made on such a processor is asked first"


def test_writers_learn_on_behind_the_ssacl_of_their_seed(settings, tmp_path, monkeypatch):
    """Trained once for both; looking prompts need a head, and without enough reports for one nothing is written."""
    own, few = settings(tmp_path), {"images": 8, "progress": False}
    monkeypatch.setattr(comparison_others, "train_decoder", partial(sight.train_decoder, **few))
    looks, plain = planned(own, ["SS-ACL+ writer", "SS-ACL, writer as long"])
    studies, trainings, honest = comparison.test_studies(own), [], loop.train_step
    monkeypatch.setattr(loop, "train_step", lambda *given: trainings.append(1) or honest(*given))
    written = comparison_others.OTHERS[plain.method.name]["reports"](plain, studies)
    assert len(trainings) == 3, "12 images, 4 a step"
    assert list(written["study"]) == [study.study_id for study in studies]
    monkeypatch.setattr(comparison_others, "learn_to_look", lambda *_: False)
    assert not len(comparison_others.OTHERS[looks.method.name]["reports"](looks, studies))

    def learn(model, run):
        atlas = WordsAtlas(torch.rand(32, 48, 48), torch.ones(32, dtype=torch.bool), torch.ones(32))
        return model.add_look(still_head(model, atlas).eval()) or True

    monkeypatch.setattr(comparison_others, "learn_to_look", learn)
    looking = comparison_others.OTHERS[looks.method.name]["reports"](looks, studies)
    model, _ = comparison_scores.trained(planned(own, [SSACL])[0])
    assert len(trainings) == 3, "not trained again"
    decoder = sight.train_decoder(
        model, plain.training, comparison_others.load_training(own, "train"), "faithful", False, **few
    )
    again = sight.reports_by(decoder, model, inputs.pixels_of(model, np.stack([study.image for study in studies])))
    assert list(written["generated"]) == again and list(looking["generated"]) != again


def test_committed_results_fit_into_20_mb():
    sizes = [path.stat().st_size for path in (paths.DATA / "results").rglob("*.parquet")]
    assert sizes and sum(sizes) <= 20e6


def test_references_are_written_again_when_their_labels_change(settings, tmp_path, monkeypatch):
    own = settings(tmp_path)
    studies, path = comparison.test_studies(own), results_folder(own) / "references.parquet"
    comparison.write_references(own)
    stamp, kept = path.stat().st_mtime_ns, pd.read_parquet(path)
    comparison.write_references(own)
    assert path.stat().st_mtime_ns == stamp
    monkeypatch.setattr(comparison, "test_studies", lambda _: [replace(s, labels=s.labels + 1) for s in studies])
    comparison.write_references(own)
    after = pd.read_parquet(path)
    assert (np.stack(after["labels"]) == np.stack(kept["labels"]) + 1).all()
    assert after["reference"].equals(kept["reference"])


def test_a_run_belongs_to_one_process(tmp_path):
    with claimed(tmp_path / "run") as ours, claimed(tmp_path / "run") as theirs:
        assert ours and not theirs
    with claimed(tmp_path / "run") as again:
        assert again


def test_who_waits_for_a_run_waits_for_others_and_never_for_itself(tmp_path):
    folder, told = tmp_path / "run", []

    def work():
        with claimed(folder, wait=True) as ours:
            told.append(ours)

    folder.mkdir()
    with open(folder / "lock", "w") as other:  # of another process
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = threading.Thread(target=work, daemon=True)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive() and not told
    waiting.join(60)
    assert told == [True]
    with claimed(folder):
        with claimed(folder, wait=True) as again:
            assert again
        with claimed(folder) as free:
            assert not free, "the outer block holds it still"


def test_a_run_that_another_asks_for_is_trained_under_its_own_lock(settings, tmp_path, monkeypatch):
    run, asked = planned(settings(tmp_path))[0], []

    def keep(folder, parts, make):
        with claimed(run.weights) as free:
            asked.append(free)
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison_scores, "keep", keep)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            comparison_scores.trained(run)
    with claimed(run.weights) as free, pytest.raises(KeyboardInterrupt):
        assert free
        comparison_scores.trained(run)
    assert asked == [False] * 3


def test_notebook_05_goes_through_with_one_training_of_ssacl_and_of_a_rival(tmp_path):
    settings, names = load_settings("smoke", out_dir=str(tmp_path / "out")), (SSACL, "contrast only")
    write_runs(settings, dict.fromkeys(names, 1))
    rebuild(settings, ["05"])
    table = pd.read_csv(settings.figures / "tables" / "comparison.csv")
    assert set(table["method"]) == set(names) and table["runs"].eq(1).all()
    shown = nbformat.read(settings.figures / "notebooks" / "05_ablation.ipynb", as_version=4)
    assert not [out for cell in shown.cells for out in cell.get("outputs", []) if out.output_type == "error"]
