"""Speed: how the benchmarks measure (by hand), that every part runs at the size smoke, and what happens to the table."""

import json

import pandas as pd
import pytest
import torch
from conftest import fake_render

from ssacl_lib import paths
from ssacl_lib.evaluation import benchmarks, speed
from ssacl_lib.record.manifest import Run, output_problems, read_json

timing = benchmarks.script("timing")

WANTED = {
    "training_step": ("images_per_second", "images_per_second_reference", "throughput_ratio", "peak_megabytes",
                      "peak_megabytes_reference", "peak_memory_ratio", "model_flop_utilisation"),
    "training_step_release": ("throughput_ratio", "peak_memory_ratio"),
    "training_step_dense": ("throughput_ratio", "peak_memory_ratio"),
    "training_step_without_pair_loop": ("throughput_ratio",),
    "training_step_release_without_pair_loop": ("throughput_ratio", "peak_memory_ratio"),
    "term_anatomical_consistency": ("milliseconds",),
    "attention_fp32": ("fused_to_plain_time_ratio",),
    "consistency_batch_32": ("milliseconds", "peak_megabytes"),
    "consistency_naive_batch_32": ("peak_megabytes",),
    "greedy_cache": ("throughput_ratio", "same_ids"),
    "beam_search_cache": ("throughput_ratio", "same_ids", "tokens_per_second"),
    "ground_100_phrases": ("time_ratio",),
    "ground_similarity_100_phrases": ("time_ratio",),
    "command_ground": ("seconds", "time_ratio"),
    "renderer": ("images_per_second",),
    "loader": ("batches_per_second", "images_per_second"),
}  # fmt: skip


# ---- how it is measured
def test_ratios_are_paired_within_a_round():
    row = timing.paired_ratio("step", "throughput_ratio", [2.0, 4.0, 9.0, 2.0, 2.0], [1.0, 2.0, 3.0, 1.0, 1.0])
    assert (row["value"], row["n"]) == (2.0, 5)
    assert 2.0 <= row["low"] <= row["value"] <= row["high"] <= 3.0
    assert timing.paired_ratio("step", "r", [3.0], [2.0])["high"] == 1.5


def test_an_interval_holds_its_median_and_is_the_same_twice():
    values = [1.0, 5.0, 2.0, 8.0, 3.0, 4.0]
    middle, low, high = timing.median_interval(values, seed=3)
    assert middle == 3.5 and 1 <= low <= middle <= high <= 8
    assert timing.median_interval(values, seed=3) == (middle, low, high)


def test_competitors_take_turns_and_the_warm_up_is_not_counted():
    called = []
    seconds = timing.alternate({name: lambda name=name: called.append(name) for name in "abc"}, rounds=3, warm_up=1)
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    rounds = ["".join(called[i : i + 3]) for i in range(0, 12, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in rounds) and len(set(rounds)) == 3, "the order turns"


def test_the_peak_of_a_step_is_found():
    """64 MiB, then 32 MiB beside it; what was given back before counts no more, and what lives before is added."""
    living = torch.ones(2**20)

    def step():
        first = torch.ones(16 * 2**20)
        second = torch.ones(8 * 2**20)
        del first, second
        torch.ones(20 * 2**20)

    megabytes = timing.peak_memory(step, "cpu", lambda: [living, living[:5]]) / 2**20
    assert megabytes == pytest.approx(64 + 32 + 4, rel=0.02)


def test_the_peak_of_the_process_has_a_plausible_size():
    held = torch.ones(2**24)
    assert held.numel() * 4 < timing.peak_of_process() < 2**40


def test_flop_of_a_product_and_its_backward_pass_are_counted():
    training_step = benchmarks.script("training_step")
    left, right = torch.ones(8, 16, requires_grad=True), torch.ones(16, 4, requires_grad=True)
    with training_step.FlopCounter() as counter:
        (left @ right).sum().backward()
    assert counter.total == 3 * 2 * 8 * 16 * 4
    rate, origin = timing.matmul_rate("cpu", torch.float32, size=64)
    assert rate > 0 and origin == "measured"


def test_the_machine_has_no_name():
    import platform

    told = timing.machine("cpu")
    assert "torch 2." in told and told.endswith("CPU") and platform.node() not in told


# ---- every part, as small as can be
@pytest.fixture
def quick_part(smoke, fake_phantom, monkeypatch):
    """Measure one part quickly, films from the fake phantom."""
    rendering = benchmarks.script("rendering")
    monkeypatch.setattr(rendering, "render", fake_render)
    monkeypatch.setattr(rendering, "organ_maps", lambda *_: None)
    return lambda name: benchmarks.measure(smoke, "cpu", [name], quick=True)


@pytest.mark.parametrize("part", benchmarks.SPEED)
def test_a_quick_run_gives_the_rows_of_its_part(part, quick_part):
    table = quick_part(part)
    assert tuple(table.columns) == benchmarks.COLUMNS and not table.isna().any(axis=None)
    assert not table.duplicated(["what", "metric"]).any()
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    assert (table["value"] > 0).all() and (table["n"] >= 1).all() and (table["seed"] == 0).all()
    found = set(zip(table["what"], table["metric"], strict=True))
    wanted = {
        (what, metric)
        for what, metrics in WANTED.items()
        if what.startswith(benchmarks.PARTS[part])
        for metric in metrics
    }
    assert wanted and wanted <= found
    assert (table[table["metric"] == "same_ids"]["value"] == 1).all(), (
        "with and without cache the same report is written"
    )


# ---- the table
def rows(what="loader", value=2.0):
    return [timing.row(what, "images_per_second", value)]


@pytest.fixture
def fake_parts(monkeypatch, tmp_path):
    """Parts that measure nothing, and figures below a temporary folder."""
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    names = {
        "terms": "term_a",
        "rendering": "loader",
        "inference": "greedy_a",
        "command": "command_a",
        "consistency": "consistency_batch_8",
        "training_step": "training_step",
        "explorer": "explorer_a",
    }
    values = iter(range(1, 100))
    monkeypatch.setattr(benchmarks, "load_part", lambda name: lambda *_: rows(names[name], next(values)))
    return tmp_path / "smoke"


def test_a_partial_run_replaces_its_own_rows_only(fake_parts):
    benchmarks.run_benchmarks("smoke", "cpu")
    before = pd.read_csv(fake_parts / "tables" / "speed.csv").set_index("what")["value"]
    assert list(before.index) == ["training_step", "term_a", "consistency_batch_8", "greedy_a", "command_a", "loader"]
    measured = benchmarks.run_benchmarks("smoke", "cpu", only=["terms"], json_path=fake_parts / "speed.json")
    after = pd.read_csv(fake_parts / "tables" / "speed.csv").set_index("what")["value"]
    assert list(measured["what"]) == ["term_a"] and list(after.index) == list(before.index)
    assert after["term_a"] == 8 and after.drop("term_a").equals(before.drop("term_a"))
    assert [row["value"] for row in json.loads((fake_parts / "speed.json").read_text())["rows"]] == [8]
    assert output_problems(fake_parts) == []
    assert set(read_json(fake_parts / "manifest.json")["notebooks"]["bench"]["outputs"]) == {
        f"tables/{name}{ending}" for name in ("speed", "explorer") for ending in (".csv", ".md")
    }
    assert list(pd.read_csv(fake_parts / "tables" / "explorer.csv")["what"]) == ["explorer_a"], "a table of its own"
    assert (fake_parts / "tables" / "speed.csv").read_text().splitlines()[0] == ",".join(benchmarks.COLUMNS)


def test_a_quick_run_writes_no_table(fake_parts):
    assert len(benchmarks.run_benchmarks("smoke", "cpu", quick=True)) == 7
    assert not fake_parts.exists()


def test_what_is_wrong_is_said_before_any_work(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="no benchmark 'speed'; there are training_step, terms"):
        benchmarks.run_benchmarks("smoke", "cpu", only=["speed"])
    with pytest.raises(ValueError, match="no device 'tpu', expected cpu or cuda"):
        benchmarks.run_benchmarks("smoke", "tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no CUDA device here"):
            benchmarks.run_benchmarks("gpu")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match="benchmarks are run from a checkout"):
        benchmarks.run_benchmarks("smoke", "cpu")


def test_rows_of_another_part_are_refused(smoke, monkeypatch):
    monkeypatch.setattr(benchmarks, "load_part", lambda name: lambda *_: rows("loader"))
    with pytest.raises(ValueError, match=r"terms.py made a row 'loader'"):
        benchmarks.measure(smoke, "cpu", ["terms"])


def test_the_notebook_takes_the_saved_table_or_measures(smoke, tmp_path, monkeypatch, capsys):
    run = Run(smoke.changed(out_dir=str(tmp_path)), "07_speed")
    with pytest.raises(FileNotFoundError, match="ssacl bench --profile smoke"):
        speed.load_speed(run)
    made = pd.DataFrame(rows()).assign(machine="a machine")
    monkeypatch.setattr(speed, "measure", lambda *_, **__: made)
    assert speed.saved_or_measured(run) is made and "measured just now" in capsys.readouterr().out
    benchmarks.save_part(run, "rendering", made)
    assert len(speed.saved_or_measured(run)) == 1 and "measured before, on a machine" in capsys.readouterr().out
    assert "tables/speed.csv" in read_json(tmp_path / "manifest.json")["notebooks"]["07_speed"]["outputs"]
    (tmp_path / "figures/smoke").mkdir(parents=True)
    (tmp_path / "tables").rename(
        tmp_path / "figures/smoke/tables"
    )  # now it is the profile's, and the run has none of its own
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    assert len(speed.saved_or_measured(run)) == 1 and (tmp_path / "tables" / "speed.csv").is_file()
    anew = tmp_path / "figures/smoke/tables/speed.csv"
    anew.write_text(anew.read_text().replace("a machine", "another machine"))
    assert set(speed.saved_or_measured(run)["machine"]) == {"another machine"}, "measured anew, so the copy is renewed"


def test_sentences_on_the_table():
    table = pd.DataFrame([
        timing.row("training_step", "throughput_ratio", 2, 1.5, 2.5), timing.row("terms_together", "milliseconds", 90),
        timing.row("term_report_generation", "milliseconds", 60), timing.row("term_global_contrastive", "milliseconds", 20),
        timing.row("step_with_optimizer", "milliseconds", 100), timing.row("consistency_batch_8", "milliseconds", 1),
        timing.row("attention_fp32", "fused_to_plain_time_ratio", 1.25, 1.2, 1.3),
        timing.row("consistency_batch_512", "milliseconds", 2500), timing.row("consistency_batch_512", "peak_megabytes", 90),
    ])  # fmt: skip
    assert speed.estimate(table, "training_step", "throughput_ratio") == "2.00 [1.50, 2.50]"
    assert speed.estimate(table, "terms_together", "milliseconds", 0) == "90"
    assert speed.estimate(table, "loader", "images_per_second") == "not measured"
    assert "report generation costs most: 60 ms" in speed.most_expensive_term(table)
    assert (
        speed.largest_consistency(table)
        == "L_ac of 512 images takes 2.5 s, and the allocator never gave more than 90 MB."
    )
    assert speed.attention_kinds(table) == "Fused attention takes 1.2 [1.2, 1.3] times (in float32) the time of plain."
    dense, aim = timing.row("training_step_dense", "throughput_ratio", 2.1, 2.0, 2.2), "the aim of 1.8 is"
    for ratio, word in ((1.77, "missed"), (1.8, "reached")):
        release = timing.row("training_step_release", "throughput_ratio", ratio, 1.5, 2)
        told = speed.step_ratios(pd.concat([table, pd.DataFrame([dense, release])]))
        assert told.index(f"{ratio:.2f} [1.50, 2.00]") < told.index("2.10 [2.00, 2.20]") and f"({aim} {word})" in told
        assert "another function" not in told and "no loop" not in told, "what was not measured is not told"
    fair = timing.row("training_step_release_without_pair_loop", "throughput_ratio", 1.4, 1.3, 1.5)
    other = timing.row("training_step_without_pair_loop", "throughput_ratio", 1.6, 1.5, 1.7)
    told = speed.step_ratios(pd.concat([table, pd.DataFrame([dense, release, fair, other])]))
    assert "(1.40 [1.30, 1.50] times where" in told and told.index("1.60 [1.50, 1.70]") > told.index("2.10")
    rates = [timing.row(name, "images_per_second", 1234.5, 1000, 2000) for name in ("training_step", "renderer")]
    told = speed.paces(pd.DataFrame(rates))
    assert list(told[""]) == ["renderer, films alone", "training step in paper mode"], "in the order of their way"
    assert told.iloc[0, 1] == "1,234 [1,000, 2,000]"
    nothing = table.iloc[:0]
    assert "not compared" in speed.step_ratios(nothing) and "not measured" in speed.compiled(nothing)
    assert "not compared" in speed.attention_kinds(nothing)
    assert "not measured" in speed.most_expensive_term(nothing) and "not measured" in speed.largest_consistency(nothing)
