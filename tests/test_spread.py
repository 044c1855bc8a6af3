"""Runs of one recipe: how they are made, what they do to intervals, and how a rebuild is compared with them."""

import functools
import shutil
import subprocess
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ssacl_lib import losses, paths
from ssacl_lib.command import references, verify
from ssacl_lib.command.cli import main
from ssacl_lib.evaluation import spread
from ssacl_lib.model.build import load_model
from ssacl_lib.record.manifest import write_json
from ssacl_lib.record.spread import COLUMNS, KEYS, recipe_of, runs_of_table, spread_file, student_quantile, with_runs
from ssacl_lib.record.tables import write_table
from ssacl_lib.settings import load_settings
from ssacl_lib.training.checkpoints import make_checkpoint

RUNS = [(0, 2), (1, 2), (2, 2), (3, 2), (0, 1)]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """smoke, with everything that is written in a folder of the test."""
    for name in ("SPREAD", "FLOAT32", "RUNS", "FIGURES"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return load_settings("smoke", **{"training.images": 128, "training.warmup_images": 16})


def store(settings, values: np.ndarray, table: str = "t") -> None:
    """Write runs [rows, 5] of a table whose row k is about finding k."""
    frames = [
        pd.DataFrame({"table": table, "about": [f"finding={k}" for k in range(len(values))], "value": values[:, run]})
        .assign(part="p", method="this run", metric="cnr", seed=seed, threads=threads, recipe=recipe_of(settings))
        .reindex(columns=list(COLUMNS))
        for run, (seed, threads) in enumerate(RUNS)
    ]
    spread_file(settings).parent.mkdir(parents=True, exist_ok=True)
    pd.concat(frames).to_parquet(spread_file(settings))


def rows(values: np.ndarray, half: float, method: str = "this run", metric: str = "cnr") -> pd.DataFrame:
    columns = {"value": values, "low": values - half, "high": values + half, "n": 100, "seed": 0}
    return pd.DataFrame({"finding": range(len(values)), "method": method, "metric": metric, **columns})


def publish(settings, table: pd.DataFrame, name: str = "t") -> None:
    """What the rebuild writes."""
    folder = settings.figures / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")


# ---- intervals
def test_intervals_over_studies_and_runs_hold_the_truth_19_times_of_20(settings):
    """The truth is 0 in 4000 quantities; studies move all runs alike, each run adds its own; a sixth run is the rebuild's."""
    generator = np.random.default_rng(0)
    values = generator.normal(0, 0.5, (4000, 1)) + generator.normal(0, 1, (4000, 6))
    store(settings, values[:, :5])
    table = rows(values[:, 5], 1.96 * 0.5)
    wide = with_runs(table, "t", settings)
    assert (table["low"].le(0) & table["high"].ge(0)).mean() < 0.7
    assert 0.94 < (wide["low"].le(0) & wide["high"].ge(0)).mean() < 0.97
    assert (wide["runs"] == 5).all()


def test_only_rows_that_were_trained_here_get_wider_and_shares_stay_shares(settings):
    values = np.array([[0.5, 0.4, 0.6, 0.5, 0.5], [0.02, 0.3, 0.1, 0.2, 0.1]])
    store(settings, values)
    table = pd.concat([rows(values[:, 0], 0.03), rows(values[:, 0], 0.03, "shipped")], ignore_index=True)
    out = with_runs(table, "t", settings)
    assert out["runs"].tolist() == [5, 5, 1, 1]
    extra = student_quantile(5) * np.std(values[0], ddof=1)
    assert out.loc[0, ["low", "high"]].tolist() == pytest.approx(
        [0.5 - np.hypot(0.03, extra), 0.5 + np.hypot(0.03, extra)]
    )
    assert out.loc[2:, "low"].tolist() == table.loc[2:, "low"].tolist()
    assert out.loc[1, "low"] < 0, "a contrast may be negative"
    stored = pd.read_parquet(spread_file(settings)).assign(metric="pointing")
    stored.to_parquet(spread_file(settings))
    assert with_runs(table.assign(metric="pointing"), "t", settings).loc[1, "low"] == 0, "a share of hits may not"
    assert (with_runs(table, "another", settings)["runs"] == 1).all()
    assert (with_runs(table, "t", load_settings("smoke"))["runs"] == 1).all(), "runs of another recipe say nothing"


def test_every_written_table_goes_through_it(settings, tmp_path):
    store(settings, np.array([[0.5, 0.4, 0.6, 0.5, 0.5]]))
    run = SimpleNamespace(tables=tmp_path / "tables", record=lambda path: path, settings=settings)
    written = write_table(run, rows(np.array([0.5]), 0.01), "t", "A message.")
    assert list(written.columns[-8:]) == ["method", "metric", "value", "low", "high", "n", "runs", "seed"]
    assert written["runs"].item() == 5 and written["high"].item() > 0.6


# ---- the runs themselves
PARTS = ("findings", "blind")


def publish_model(model, settings) -> None:
    """The tables of PARTS as the rebuild would write them."""
    run = SimpleNamespace(settings=settings, runs=settings.runs)
    for part in PARTS:
        for name, table in spread.EVALUATIONS[part](run, {"this run": model}).items():
            publish(settings, with_runs(table, name, settings), name)


def test_a_rebuild_lies_within_the_spread_and_a_broken_loss_outside(
    settings, fake_phantom, tmp_path, monkeypatch, capsys
):
    spread.measure_spread(settings, only=[0, 1, 2, 4], parts=PARTS)
    stored = pd.read_parquet(spread_file(settings))
    assert stored.groupby(["seed", "threads"]).ngroups == 4
    assert stored.groupby(["table", "about", "metric"]).size().eq(4).all()
    assert set(stored["table"]) == {"finding_classification", "blind_losses"} and set(stored["method"]) == {"this run"}

    # the first run is the one that the rebuild trains, to the bit
    with two_threads():
        make_checkpoint(settings, tmp_path / "rebuilt", progress=False)
        rebuilt = load_model(tmp_path / "rebuilt")
        publish_model(rebuilt, settings)
    first = load_model(paths.RUNS / "spread" / "smoke" / "seed0-threads2" / "model").state_dict()
    assert all(torch.equal(value, first[name]) for name, value in rebuilt.state_dict().items())
    reference = tmp_path / "reference"
    shutil.copytree(settings.figures / "tables", reference)
    (reference / "speed.csv").write_text(
        "what,metric,value\nstep,ratio,2\n", encoding="utf-8"
    )  # of another form, not rebuilt
    capsys.readouterr()
    assert verify.verify(settings, reference)
    assert capsys.readouterr().out.count(" 0 within, 0 outside") == 2

    def another(seed: int) -> pd.Series:
        training = settings.changed(seed=seed)
        publish_model(spread.trained(training, settings, tmp_path / f"run{seed}"), settings)
        agrees = verify.verify(settings, reference)
        return pd.read_csv(settings.figures / "verify.csv")["verdict"].value_counts(), agrees

    counts, agrees = another(7)
    assert agrees and counts["within"] > 4 * counts.get("outside", 0)
    honest = losses.anatomical_consistency_loss
    monkeypatch.setattr(losses, "anatomical_consistency_loss", lambda *args, **kwargs: -honest(*args, **kwargs))
    counts, agrees = another(8)
    assert not agrees
    assert "blind_losses" in capsys.readouterr().out.split("DOES NOT AGREE")[0]


def test_a_killed_spread_goes_on_and_other_code_starts_anew(settings, fake_phantom, monkeypatch):
    made = []
    monkeypatch.setattr(
        spread, "EVALUATIONS", {"blind": lambda run, models: made.append(1) or {"t": rows(np.ones(3), 0.1)}}
    )
    trainings = []
    monkeypatch.setattr(spread, "trained", lambda training, *_: trainings.append((training.seed, training.threads)))
    monkeypatch.setattr(spread, "rows_of", stop_at(spread.rows_of, 2))
    with pytest.raises(KeyboardInterrupt):
        spread.measure_spread(settings, parts=["blind"])
    monkeypatch.setattr(spread, "rows_of", spread.rows_of.__wrapped__)
    spread.measure_spread(settings, parts=["blind"])
    assert trainings == RUNS and len(pd.read_parquet(spread_file(settings))) == 3 * 5
    before = spread_file(settings).read_bytes()
    spread.measure_spread(settings, parts=["blind"])
    assert trainings == RUNS and spread_file(settings).read_bytes() == before
    monkeypatch.setattr(spread, "fingerprint", lambda: "other code")
    spread.measure_spread(settings, only=[3], parts=["blind"])
    assert trainings[5:] == [(3, 2)] and len(pd.read_parquet(spread_file(settings))) == 3
    with pytest.raises(ValueError, match="no run or part 9; runs are 0 to 4"):
        spread.measure_spread(settings, only=[9])


def test_rows_that_another_process_wrote_meanwhile_stay(settings, monkeypatch):
    monkeypatch.setattr(spread, "EVALUATIONS", {"blind": lambda run, models: {"t": rows(np.ones(3), 0.1)}})
    monkeypatch.setattr(spread, "trained", lambda *_: None)
    honest = spread.rows_of

    def slow(run, settings, parts):
        monkeypatch.setattr(spread, "rows_of", honest)
        for others in ([2], [0]):  # another run, and this very one
            spread.measure_spread(settings, only=others, parts=parts)
        return honest(run, settings, parts)

    monkeypatch.setattr(spread, "rows_of", slow)
    spread.measure_spread(settings, only=[0], parts=["blind"])
    stored = pd.read_parquet(spread_file(settings))
    assert stored.groupby(["seed", "threads"]).size().to_dict() == {RUNS[0]: 3, RUNS[2]: 3}


def test_another_part_leaves_the_others_alone_and_trains_no_model(settings, monkeypatch):
    parts = {"blind": lambda run, models: {"t": rows(np.ones(3), 0.1)}}
    parts["supervised"] = lambda run, models: {"s": rows(np.full(2, run.seed), 0.1, "supervised small CNN")}
    monkeypatch.setattr(spread, "EVALUATIONS", parts)
    trainings = []
    monkeypatch.setattr(spread, "trained", lambda training, *_: trainings.append(training.seed))
    spread.measure_spread(settings, parts=["blind"])
    monkeypatch.setattr(spread, "fingerprint", lambda: "other code")
    spread.measure_spread(settings, parts=["supervised"])
    stored = pd.read_parquet(spread_file(settings))
    assert len(trainings) == 5 and stored.groupby("part").size().to_dict() == {"blind": 15, "supervised": 10}
    assert stored[stored["part"] == "supervised"]["value"].tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_runs_of_earlier_code_count_while_their_first_equals_the_reference(settings, monkeypatch):
    monkeypatch.setattr(spread, "EVALUATIONS", {"blind": lambda run, models: {"t": rows(np.arange(3) / 3, 0.1)}})
    monkeypatch.setattr(spread, "trained", lambda *_: None)
    spread.measure_spread(settings, parts=["blind"])
    reference = {"t": rows(np.arange(3) / 3, 0.1).round(6)}
    assert verify.runs_note(settings, reference) == ""
    monkeypatch.setattr(spread, "fingerprint", lambda: "other code")
    assert "the first of them equals the reference in all 3 numbers" in verify.runs_note(settings, reference)
    reference["t"].loc[2, "value"] += 1e-4
    assert "ssacl spread --profile smoke` renews them" in verify.runs_note(settings, reference)
    assert "renews them" in verify.runs_note(settings, {"t": reference["t"].iloc[:2]})


def stop_at(function, calls: int):
    """The function, killed at its n-th call."""
    left = [calls]

    @functools.wraps(function)
    def wrapped(*arguments):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return function(*arguments)

    return wrapped


@contextmanager
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


# ---- the comparison
def correlated(generator, count: int) -> np.ndarray:
    """Six runs of 300 rows that hang together: ten things vary between the runs, and every row shows some of them."""
    return generator.normal(0, 1, (300, 10)) @ generator.normal(0, 1, (10, count)) + generator.normal(
        0, 1, (300, count)
    )


def test_honest_rebuilds_agree_though_their_rows_hang_together_and_a_shift_does_not():
    generator, alarms, seen, worst = np.random.default_rng(0), 0, 0, []
    keys = pd.MultiIndex.from_product([[f"finding={k}" for k in range(300)], ["this run"], ["cnr"]], names=KEYS)
    for _ in range(40):
        values = correlated(generator, 6)
        runs = pd.DataFrame(values[:, :5], keys)
        reference = rows(values[:, 0], 0.1)
        ours = verify.compare(rows(values[:, 5], 0.1), reference, runs)
        worst.append((ours["verdict"] == "outside").mean())
        alarms += not verify.judge(ours, runs)[1]
        shifted = verify.compare(rows(values[:, 5] + 15, 0.1), reference, runs)
        seen += not verify.judge(shifted, runs)[1]
    assert 0.03 < np.mean(worst) < 0.08 and max(worst) > 0.12, "rows outside by chance come together"
    assert alarms <= 2 and seen == 40


def test_rows_of_shipped_weights_may_only_differ_by_rounding(settings, tmp_path, capsys):
    value = np.linspace(0.2, 0.8, 40)
    reference = tmp_path / "reference"
    reference.mkdir()
    rows(value, 0.05, "shipped", "pointing").to_csv(reference / "t.csv", index=False)

    def verdicts(change: np.ndarray) -> dict:
        publish(settings, rows(value + change, 0.05, "shipped", "pointing"))
        agrees = verify.verify(settings, reference)
        return {"agrees": agrees, **pd.read_csv(settings.figures / "verify.csv")["verdict"].value_counts()}

    assert verdicts(np.zeros(40)) == {"agrees": True, "equal": 40}
    assert verdicts(np.full(40, 0.01)) == {"agrees": True, "within": 40}
    assert verdicts(np.full(40, 0.04)) == {"agrees": False, "outside": 40}
    publish(settings, rows(value[:30], 0.05, "shipped", "pointing"))
    assert not verify.verify(settings, reference), "rows that are missing are outside"
    assert "t: 40 not trained rows: 30 equal, 0 within, 10 outside" in capsys.readouterr().out


def test_a_rebuild_in_float32_is_compared_with_rows_kept_in_float32_by_the_same_bounds(settings, tmp_path, capsys):
    """Committed in bfloat16; rebuilt in float32, where every row of the shipped weights lies too far from the commit."""
    value = np.linspace(0.2, 0.8, 40)
    table = functools.partial(rows, half=0.05, metric="pointing")

    def rebuilt(change: float, method: str = "shipped", **told) -> None:
        publish(settings, table(value + change, method=method))
        outputs = {"03": {"outputs": {"tables/t.csv": "hash", "fig.png": "hash"}}}
        write_json(settings.figures / "manifest.json", {"notebooks": outputs})
        write_json(settings.figures / "run.json", {"notebooks": {"03": told}})

    def agrees() -> bool:
        return verify.verify(settings)

    rebuilt(0.0, bfloat16=True)
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a", "commit", "-qm", "tables"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert agrees()
    with pytest.raises(ValueError, match="none of these tables was rebuilt in float32"):
        verify.keep_float32(settings)
    rebuilt(0.1, bfloat16=False)
    assert not agrees(), "nothing is kept yet"
    assert len(pd.read_parquet(verify.keep_float32(settings))) == 40
    assert agrees() and "40 rows of weights that are not trained here" in capsys.readouterr().out
    rebuilt(0.11, bfloat16=False)
    assert agrees(), "rounding"
    for change, told in ((0.0, {"bfloat16": False}), (0.1, {"bfloat16": True}), (0.1, {})):
        rebuilt(change, **told)
        assert not agrees(), "the other reference is not an excuse"
    rebuilt(0.1, method="another", bfloat16=False)
    assert not agrees(), "rows of another model are not these"
    reference = tmp_path / "reference"
    reference.mkdir()
    table(value + 0.2, method="shipped").to_csv(reference / "t.csv", index=False)
    rebuilt(0.1, bfloat16=False)
    capsys.readouterr()
    assert not verify.verify(settings, reference), "kept beside other numbers"
    assert "0 rows of weights" in (said := capsys.readouterr().out) and "(40 kept rows do not belong" in said


def test_a_trained_row_that_no_run_holds_is_told_and_not_judged(settings, capsys):
    values = np.linspace(0.2, 0.8, 20)
    store(settings, values[:, None] + np.random.default_rng(0).normal(0, 0.01, (20, 5)))
    reference = settings.figures.parent / "reference"
    reference.mkdir(parents=True)
    rows(values, 0.01, "this run+").to_csv(reference / "t.csv", index=False)
    publish(settings, rows(values + 0.1, 0.01, "this run+"))
    assert verify.verify(settings, reference)
    assert "t: 20 not trained rows: 0 equal, 0 within, 20 no runs, 0 outside" in capsys.readouterr().out
    rows(values, 0.01, "shipped+").to_csv(reference / "t.csv", index=False)
    publish(settings, rows(values + 0.1, 0.01, "shipped+"))
    assert not verify.verify(settings, reference), "the shipped head is not trained here"


@pytest.mark.parametrize("profile", ["cpu", "cpu-folder"])
def test_every_committed_table_agrees_with_itself_and_not_with_one_that_lost_a_row(profile):
    """Tables of margins and of differences among them, whose columns have other names."""
    tables = references.folder_tables(paths.FIGURES / profile / "tables")
    for name, table in tables.items():
        if name not in verify.MEASURED and len(table):
            none = runs_of_table(load_settings("cpu"), name).iloc[:0]
            rows = verify.compare(table, table, none)
            assert len(rows) and rows["verdict"].eq("equal").all(), name
            assert not rows.set_index(KEYS).index.duplicated().any(), name
            assert verify.compare(table.iloc[1:], table, none)["verdict"].eq("outside").sum() == 1, name


def test_the_reference_is_the_commit_whatever_the_working_copy_holds(settings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ssacl_lib.command.measurements.load_settings", lambda *_, **__: settings)
    publish(settings, rows(np.ones(30), 0.01, "shipped"))
    assert main(["rebuild", "--profile", "smoke", "--verify"]) == 2
    assert "is no git checkout" in capsys.readouterr().err
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a", "commit", "-qm", "tables"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert main(["rebuild", "--profile", "smoke", "--verify"]) == 0
    publish(settings, rows(np.ones(30) * 2, 0.01, "shipped"))
    assert main(["rebuild", "--profile", "smoke", "--verify"]) == 1
    assert "smoke: DOES NOT AGREE with the last commit" in capsys.readouterr().out
    assert main(["rebuild", "--profile", "smoke", "--verify", str(settings.figures)]) == 0
