"""`ssacl explain`: it recomputes what stands in a table, and tells when the table or the files were altered."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_up import write_runs

from ssacl_lib import paths
from ssacl_lib.baselines.registry import SSACL, method_of
from ssacl_lib.command.cli import main
from ssacl_lib.command.origins import ORIGINS
from ssacl_lib.evaluation import findings
from ssacl_lib.evaluation.comparison_budgets import budget_margins
from ssacl_lib.evaluation.comparison_margins import ablation_table, margins, margins_over_trained, writers
from ssacl_lib.evaluation.comparison_run import Run, results_folder
from ssacl_lib.evaluation.comparison_start import over_start
from ssacl_lib.evaluation.comparison_tables import all_scores, comparison_table
from ssacl_lib.evaluation.comparison_trainings import RunApart, by_kernels, by_losses
from ssacl_lib.observations import FINDINGS
from ssacl_lib.record.manifest import portable_settings, write_json
from ssacl_lib.record.sources import sha256_file
from ssacl_lib.record.spread import COLUMNS, about_of, recipe_of
from ssacl_lib.record.tables import write_named_table, write_table
from ssacl_lib.settings import load_settings

SEEDS = {
    "SS-ACL": 8, "MaCo-like": 3, "R2Gen-like": 1, "without L_ar": 1, "start": 1, "SS-ACL, 4 times the images": 1,
    "MaCo-like, 4 times the images": 1, "SS-ACL+ writer": 2, "SS-ACL, writer as long": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results with the tables comparison and margins of made-up runs."""
    out = tmp_path_factory.mktemp("results")
    settings = load_settings("smoke", out_dir=str(out))
    write_runs(settings, SEEDS)
    for seed in range(3):
        own, apart = (kind(method_of(SSACL), seed, settings).folder for kind in (Run, RunApart))
        shutil.copytree(own.with_name(f"seed{seed + 1}"), apart)
        shutil.copy(own / "run.json", apart)
    scores = all_scores(settings, settings.runs / "evaluation")
    write_table(place(settings), comparison_table(scores), "comparison", "A message.")
    write_table(place(settings), ablation_table(scores), "ablation", "A message.")
    write_table(place(settings), over_start(scores), "over_start", "A message.")
    write_table(place(settings), writers(scores), "report_writers", "A message.")
    kernels = by_kernels(scores, settings, settings.runs / "evaluation")
    write_table(place(settings), kernels, "trainings_by_kernels", "A message.")
    write_table(place(settings), by_losses(scores, settings), "trainings_by_losses", "A message.")
    write_named_table(place(settings), margins(scores), "margins", "A message.", ("margin", "low", "high"))
    among = margins_over_trained(scores)
    write_named_table(place(settings), among, "margins_over_trained", "A message.", ("margin", "low", "high"))
    larger = budget_margins(scores, settings)
    write_named_table(place(settings), larger, "budget_margins", "A message.", ("margin", "low", "high"))
    write_json(out / "manifest.json", {"settings": portable_settings(settings)})
    return settings


def place(settings) -> SimpleNamespace:
    return SimpleNamespace(tables=settings.figures / "tables", settings=settings, record=lambda path: path)


def explain(capsys, settings, name: str, *words: str) -> tuple[int, str]:
    code = main(["explain", str(settings.figures / "tables" / f"{name}.csv"), *words])
    out, err = capsys.readouterr()
    return code, out + err


@pytest.mark.parametrize(
    "name",
    [
        "comparison",
        "margins",
        "margins_over_trained",
        "budget_margins",
        "ablation",
        "over_start",
        "trainings_by_kernels",
        "trainings_by_losses",
    ],
)
def test_a_table_agrees_with_its_files_and_a_row_tells_where_it_comes_from(capsys, folder, name):
    code, said = explain(capsys, folder, name)
    table = pd.read_csv(folder.figures / "tables" / f"{name}.csv")
    assert code == 0 and f"agrees to the six digits written in all {len(table)} rows" in said, said
    row = int(table.index[table["method"] == ("without L_ar" if name == "ablation" else "SS-ACL")][-1])
    code, said = explain(capsys, folder, name, "--row", str(row))
    assert code == 0 and "agrees to the six digits written\n" in said and "training seeds 0, 1" in said
    assert "ssacl ablation --profile smoke" in said and " --only ss-acl" in said
    part = table.get("part", pd.Series("phrases", table.index))[row]
    path = results_folder(folder) / "ss-acl" / "seed1" / f"{part}.parquet"
    assert sha256_file(path)[:12] in said
    assert ("ss-acl-float32/seed2" in said) == (name == "trainings_by_kernels")
    value = table.get("value", table.get("margin"))[row]
    assert f"{value:.3f} [" in said and f"n {table['n'][row]}" in said


def test_a_difference_of_reports_tells_both_methods_and_their_first_trainings(capsys, folder):
    code, said = explain(capsys, folder, "report_writers")
    assert code == 0 and "in all 8 rows" in said, said
    table = pd.read_csv(folder.figures / "tables" / "report_writers.csv")
    row = int(table.index[table["floor"] == SSACL][0])
    code, said = explain(capsys, folder, "report_writers", "--row", str(row))
    assert code == 0 and "--only ss-acl--writer-as-long --only ss-acl" in said, said
    files = {seed: results_folder(folder) / "ss-acl" / f"seed{seed}" / "reports.parquet" for seed in (1, 2)}
    assert sha256_file(files[1])[:12] in said and sha256_file(files[2])[:12] not in said


def test_an_altered_number_and_an_altered_file_are_told(capsys, folder, tmp_path):
    for name, column in (("comparison", "value"), ("margins", "low")):
        path = folder.figures / "tables" / f"{name}.csv"
        before = path.read_text()
        table = pd.read_csv(path)
        table.loc[3, column] += 0.01
        table.to_csv(path, index=False, float_format="%.6g")
        code, said = explain(capsys, folder, name, "--row", "3")
        assert code == 1 and "DIFFERS" in said and f"row 3: {column} " in said and "(-0.01)" in said, said
        assert explain(capsys, folder, name, "--row", "2")[0] == 0
        code, said = explain(capsys, folder, name)
        assert code == 1 and f"DIFFERS in 1 of {len(table)} rows" in said
        path.write_text(before)
    path = results_folder(folder) / "ss-acl" / "seed0" / "phrases.parquet"
    before = path.read_bytes()
    pd.read_parquet(path).assign(cnr=lambda rows: rows["cnr"] + 1).to_parquet(path)
    code, said = explain(capsys, folder, "margins")
    assert code == 1 and "metric" in said and "DIFFERS in 2 of" in said, said
    path.write_bytes(before)
    assert explain(capsys, folder, "margins")[0] == 0


def test_an_absent_file_is_named_with_the_command_that_makes_it(capsys, folder):
    path = results_folder(folder) / "ss-acl" / "seed1" / "phrases.parquet"
    moved = path.rename(path.with_suffix(".away"))
    table = pd.read_csv(folder.figures / "tables" / "margins.csv")
    row = int(table.index[table["claim"] == "grounding"][0])
    code, said = explain(capsys, folder, "margins", "--row", str(row))
    moved.rename(path)
    assert code == 0 and "not possible here" in said and "seed1/phrases.parquet" in said and "`ssacl ablation" in said


@pytest.mark.parametrize(
    ("name", "words", "culprit"),
    [
        ("prices", (), "no command makes such a table; explained are"),
        ("sight", (), "no such file"),
        ("margins", ("--row", "999"), "there is no row 999"),
        ("margins", ("--row", "-1"), "there is no row -1"),
        ("margins", ("--row", "two"), "--row"),
    ],
)
def test_mistakes_are_one_line(capsys, folder, name, words, culprit):
    try:
        code, said = explain(capsys, folder, name, *words)
    except SystemExit as stopped:
        code, said = stopped.code, capsys.readouterr().err
    assert code == 2 and culprit in said and len(said.strip().splitlines()) == 1


def test_a_table_without_a_manifest_is_refused(capsys, tmp_path):
    settings = load_settings("smoke", out_dir=str(tmp_path))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "speed.csv").write_text("what,metric,value,low,high,n,seed\na,b,1,1,1,1,0\n")
    code, said = explain(capsys, settings, "speed")
    assert code == 2 and "manifest.json is missing" in said
    write_json(tmp_path / "manifest.json", {"settings": portable_settings(settings)})
    code, said = explain(capsys, settings, "speed")
    assert code == 0 and "ssacl bench --profile smoke" in said and "recomputed  not possible" in said
    told = {
        "settings": portable_settings(settings),
        "notebooks": {"bench": {"outputs": {"tables/speed.csv": {}}, "seed": 3}},
    }
    write_json(tmp_path / "manifest.json", told)
    assert ", seed 3" in explain(capsys, settings, "speed")[1], (
        "its own maker's seed, not that of the folder's last work"
    )


def test_a_table_of_a_notebook_is_recomputed_with_its_intervals_over_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SPREAD", tmp_path / "spread")
    settings = load_settings("smoke", out_dir=str(tmp_path))
    generator = np.random.default_rng(0)
    frame = pd.MultiIndex.from_product([range(40), FINDINGS], names=["study", "finding"]).to_frame(index=False)
    frame = frame.assign(present=generator.random(len(frame)) < 0.5, probability=generator.random(len(frame)))
    frame = frame.assign(method="this run", reference="truth", predicted=True)
    saved = settings.runs / "evaluation" / "findings-this-run.0123456789abcdef.parquet"
    saved.parent.mkdir(parents=True)
    frame.to_parquet(saved)
    frame.to_parquet(saved.with_name("findings-of-this-run-seed-0.0123456789abcdef.parquet"))  # of the comparison
    table = findings.finding_table(frame, settings)
    spread = table.assign(about=about_of(table), part="findings", table="finding_classification", threads=1)
    runs = [spread.assign(seed=k, value=spread["value"] + 0.1 * k, recipe=recipe_of(settings)) for k in range(3)]
    (tmp_path / "spread").mkdir()
    pd.concat(runs).reindex(columns=list(COLUMNS)).to_parquet(tmp_path / "spread" / "smoke.parquet")
    made = write_table(place(settings), table, "finding_classification", "A message.")
    assert (made["runs"] == 3).all()
    write_json(tmp_path / "manifest.json", {"settings": portable_settings(settings)})
    code, said = explain(capsys, settings, "finding_classification")
    assert code == 0 and f"agrees to the six digits written in all {len(table)} rows" in said, said
    assert (
        "ssacl spread --profile smoke" in said and "seeds 0 (1 threads), 1" in said and sha256_file(saved)[:12] in said
    )
    saved.unlink()
    code, said = explain(capsys, settings, "finding_classification", "--row", "1")
    assert code == 0 and "findings-this-run.*.parquet absent; `ssacl rebuild --profile smoke" in said


def test_every_committed_table_has_an_origin_and_what_rests_on_committed_files_agrees(capsys):
    tables = sorted(paths.FIGURES.glob("*/tables/*.csv"))
    assert {path.stem for path in tables} <= set(ORIGINS)
    for name in ("sight", "labeler"):
        assert main(["explain", str(paths.FIGURES / "cpu" / "tables" / f"{name}.csv")]) == 0
        assert "agrees to the six digits" in capsys.readouterr().out
