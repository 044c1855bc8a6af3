"""The measurement of the labeler: counts by hand, what a phantom report affirms, and tags of reports that we made up."""

import io
import tarfile

import numpy as np
import pandas as pd
import pytest

from ssacl_lib.command.cli import main
from ssacl_lib.datasets.phantom import report_of
from ssacl_lib.evaluation import labeler
from ssacl_lib.evaluation.iu_reports import TAGS, findings_of_tags, read_iu_reports
from ssacl_lib.observations import BLANK, FINDINGS, OBSERVATIONS, POSITIVE, UNCERTAIN
from ssacl_lib.phantom import draw_signs
from ssacl_lib.record.tables import write_table
from ssacl_lib.settings import load_settings

XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><MedlineCitation><Article><Abstract>
  <AbstractText Label="COMPARISON">None.</AbstractText><AbstractText Label="INDICATION">Edema?</AbstractText>
  <AbstractText Label="FINDINGS">{findings}</AbstractText><AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract></Article></MedlineCitation><MeSH>{tags}</MeSH></eCitation>
"""


def written(findings: str, impression: str, *tags: str) -> str:
    return XML.format(findings=findings, impression=impression, tags="".join(f"<major>{tag}</major>" for tag in tags))


@pytest.fixture
def folder(tmp_path):
    """Two reports that are read, and two that are not: one without a text, one that nobody indexed."""
    reports = {
        "1.xml": written(
            "There is a small left effusion.", "Left effusion, no edema.", "Pleural Effusion/left/small", "Scoliosis"
        ),
        "2.xml": written("", "Clear lungs. A pacemaker.", "Implanted Medical Device/left", "Opacity/lung/base"),
        "3.xml": written("", "", "normal"),
        "4.xml": written("Cardiomegaly.", "", "No Indexing"),
    }
    (tmp_path / "reports").mkdir()
    for name, text in reports.items():
        (tmp_path / "reports" / name).write_text(text, encoding="utf-8")
    return tmp_path


def codes(**values: int) -> np.ndarray:
    row = np.full(len(OBSERVATIONS), BLANK, np.int8)
    for name, value in values.items():
        row[OBSERVATIONS.index(name.replace("_", " "))] = value
    return row


def test_scores_by_hand():
    truth = np.stack([codes(Edema=POSITIVE), codes(Edema=POSITIVE, Fracture=POSITIVE), codes(No_Finding=POSITIVE)])
    labels = np.stack([codes(Edema=POSITIVE), codes(Edema=UNCERTAIN), codes(Edema=POSITIVE, No_Finding=UNCERTAIN)])
    table = labeler.score_rows("phantom", labeler.positive_counts(labels, truth), seed=3).set_index("observation")
    assert list(table.index) == [*OBSERVATIONS, "micro"] and set(table["n"]) == {3} and set(table["seed"]) == {3}
    scores = table[["precision", "recall", "f1", "cases"]]
    assert scores.loc["Edema"].tolist() == [1 / 2, 1 / 2, 1 / 2, 2]
    assert scores.loc["Fracture"].tolist()[1:] == [0, 0, 1] and np.isnan(scores.loc["Fracture", "precision"])
    assert scores.loc["micro"].tolist() == [1 / 2, 1 / 3, 2 / 5, 3]  # one hit, one false, two missed; No Finding apart
    assert scores.loc["Pneumonia", ["precision", "recall", "f1"]].isna().all()
    assert (
        table.loc["micro", "low"] == 0 and table.loc["micro", "high"] == 1
    )  # a text drawn thrice: all right or all wrong


def test_states_are_compared_as_wholes():
    found = [dict.fromkeys(OBSERVATIONS) | states for states in (
        {"Edema": "negative", "Fracture": "positive"}, {"Edema": "uncertain", "No Finding": "positive"}, {},
    )]  # fmt: skip
    right = [
        {"Edema": ["negative"]},
        {"Edema": ["negative"]},
        {"Edema": ["blank", "negative"], "No Finding": ["positive"]},
    ]
    hit, false, missed = labeler.state_counts(found, right).sum(0)
    edema, fracture = OBSERVATIONS.index("Edema"), OBSERVATIONS.index("Fracture")
    assert (hit[edema], false[edema], missed[edema]) == (1, 1, 1)
    assert (hit[fracture], false[fracture], missed[fracture]) == (0, 1, 0)
    assert (hit[0], false[0], missed[0]) == (0, 0, 1)  # compared where it is named only


def test_the_truth_of_phantom_reports_is_what_they_affirm(monkeypatch):
    texts, truth = labeler.phantom_reports(1, 300)
    strongest = np.zeros((300, len(FINDINGS)))
    for row, number in zip(strongest, range(300), strict=True):
        signs = draw_signs(1, "test", number)
        assert texts[number] == report_of(1, "test", number, signs).text
        for sign in signs:
            row[FINDINGS.index(sign.finding)] = max(sign.severity, row[FINDINGS.index(sign.finding)])
    said = truth[:, 1:]
    assert (said[strongest == 0] == BLANK).all() and (said[strongest >= labeler.HEDGED_BELOW] == POSITIVE).all()
    faint = said[(strongest > 0) & (strongest < labeler.HEDGED_BELOW)]
    assert 0.1 < (faint == UNCERTAIN).mean() < 0.4 and (faint == BLANK).any()
    assert ((truth[:, 0] == POSITIVE) == (said[:, :-1] == BLANK).all(1)).all()
    monkeypatch.setattr(labeler, "OMITTED_SHARE", 0.9)  # a grammar that draws otherwise than is said here
    with pytest.raises(RuntimeError, match="mend `said_in`"):
        labeler.phantom_reports(1, 300)


def test_tags_name_findings():
    assert findings_of_tags(["normal"]) == set() == findings_of_tags(["Calcified Granuloma/lung", "Thickening/bronchi"])
    assert findings_of_tags(["Opacity/lung/base/left", "Scoliosis/mild"]) == {"Lung Opacity"}
    assert findings_of_tags(["Density/lung/round"]) == {"Lung Lesion"}
    assert findings_of_tags(["Hydropneumothorax/right", "Cicatrix/pleura"]) == {
        "Pneumothorax", "Pleural Effusion", "Pleural Other",
    }  # fmt: skip
    assert {finding for finding, *_ in TAGS} == set(FINDINGS)


def test_reports_of_a_folder_and_of_an_archive(folder):
    texts, truth = read_iu_reports(folder)
    assert texts == [
        "FINDINGS: There is a small left effusion.\nIMPRESSION: Left effusion, no edema.",
        "IMPRESSION: Clear lungs. A pacemaker.",
    ]
    assert [[OBSERVATIONS[k] for k in np.flatnonzero(row == POSITIVE)] for row in truth] == [
        ["Pleural Effusion"],
        ["Lung Opacity", "Support Devices"],
    ]
    with tarfile.open(folder / "reports.tgz", "w:gz") as archive:
        content = written("No effusion.", "", "normal").encode()
        entry = tarfile.TarInfo("inside/9.xml")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    for source in (folder, folder / "reports.tgz"):  # an archive goes before what was unpacked beside it
        texts, truth = read_iu_reports(source)
        assert texts == ["FINDINGS: No effusion."] and truth[0, 0] == POSITIVE and (truth[0, 1:] == BLANK).all()


def test_a_measurement_keeps_the_rows_that_it_can_not_make(folder, monkeypatch, capsys):
    out = folder / "labeler.csv"
    table = labeler.measure_labeler(folder, reports=20, out=out)
    assert list(table) == list(labeler.COLUMNS) and list(dict.fromkeys(table["set"])) == ["phantom", "challenge", "iu"]
    micro = table[table["observation"] == "micro"].set_index("set")
    assert micro.loc["iu", ["precision", "n", "cases"]].tolist() == [1, 2, 3]
    assert micro.loc["iu", "recall"] == pytest.approx(2 / 3, abs=1e-6)  # the opacity that "clear lungs" denies
    monkeypatch.setattr(labeler, "CHALLENGE", folder / "absent.tsv")
    again = labeler.measure_labeler(reports=10, out=out)
    assert "absent.tsv is missing" in capsys.readouterr().out and set(again["n"][again["set"] == "phantom"]) == {10}
    pd.testing.assert_frame_equal(again[15:], table[15:])
    assert len(labeler.labeler_table(out)) == 45 and not capsys.readouterr().out
    again.assign(labeler="00000000").to_csv(out, index=False)
    labeler.labeler_table(out)
    assert "phantom, challenge, iu were measured with earlier rules" in capsys.readouterr().out


def test_what_is_shipped_is_of_these_rules_and_good():
    table = labeler.labeler_table()
    raw = pd.read_csv(labeler.RESULTS)
    ours = raw[raw["set"] != "iu"]
    assert set(ours["labeler"]) == {labeler.labeler_version()}, "`ssacl labeler` renews data/results/labeler.csv"
    micro = table[table["observation"] == "micro"].set_index("set")
    assert micro["value"]["phantom"] >= 0.97 and micro["value"]["challenge"] >= 0.90 and "iu" in micro.index
    assert micro["n"]["phantom"] == 6000 and micro["n"]["challenge"] == len(list(labeler.read_cases(labeler.CHALLENGE)))


def test_the_shipped_rows_make_a_table(tmp_path):
    class Run:
        settings, tables = load_settings("smoke"), tmp_path

        @staticmethod
        def record(path):
            return path

    write_table(Run, labeler.labeler_table(), "labeler", "How well the labeler reads.")
    assert len(pd.read_csv(tmp_path / "labeler.csv")) == 45


def test_mistakes_are_one_line(folder, capsys):
    (folder / "empty").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken" / "1.xml").write_text("<eCitation>", encoding="utf-8")
    (folder / "broken.tgz").write_bytes(b"no archive")
    for name, why in (
        ("nowhere", "no such folder"),
        ("empty", "no report with a text"),
        ("broken", "1.xml: not a report in Open-i's XML"),
        ("broken.tgz", "not an archive of reports"),
    ):
        assert main(["labeler", "--iu", str(folder / name), "--out", str(folder / "x.csv")]) == 2
        assert why in capsys.readouterr().err and not (folder / "x.csv").exists()
