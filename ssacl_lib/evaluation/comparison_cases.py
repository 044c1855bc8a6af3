"""Cases of notebook 05 by rule: SS-ACL beside its strongest rival, and where SS-ACL fails. Maps and texts come from the Parquets.

The maps in the Parquets hold one number per patch, so they look as coarse as they are.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ..baselines.registry import ANOTHER, PHRASES, REPORTS, SSACL
from ..datasets.registry import load_evaluation
from ..settings import Settings
from .cases import CASE_FINDINGS, Case, PhraseCase, named, score_line
from .comparison_margins import F1, MASKED_CNR, best_rival
from .comparison_run import PATIENTS, Run, results_folder
from .comparison_tables import Scores, scored_runs
from .report_marks import MISSED, WRONG, mark_report, positive_names

WORST = 4


def run_of(name: str, settings: Settings) -> Run | None:
    """The first finished run of a method."""
    return next((run for run in scored_runs(settings) if run.method.name == name), None)


def numbered(settings: Settings) -> list[str]:
    """Names of the test studies in their order."""
    return list(pd.read_parquet(results_folder(settings) / "references.parquet")["study"])


def masked_phrases(run: Run) -> pd.DataFrame:
    """Own phrases with masked maps: study, finding, phrase, cnr, miou, evidence [patches] of 0 to 255.

    None of a run that no figure draws.
    """
    frame = pd.read_parquet(run.folder / f"{PHRASES}.parquet")
    if "evidence" not in frame:
        return frame.iloc[:0].assign(evidence=None)
    return frame[(frame["map"] == "masked") & (frame["control"] == "own") & frame["evidence"].notna()]


def phrases_asked(settings: Settings) -> str:
    """For a caption: of how many phrases of SS-ACL's first run cases are picked."""
    own = run_of(SSACL, settings)
    return f"{len(masked_phrases(own)) if own else 0} phrases of its first training"


def phrase_grid(settings: Settings, scores: Sequence[Scores]) -> list[PhraseCase]:
    """Per finding of the paper's grid the phrase with the median CNR of SS-ACL's masked map, beside the best rival's map.

    The rival is one that sees the film: centre prior and text template draw no map of it.
    """
    rival = best_rival([entry for entry in scores if entry.method.made != ANOTHER], MASKED_CNR)
    own = run_of(SSACL, settings)
    if own is None or rival is None:
        return []
    frame, chosen = masked_phrases(own), []
    for finding in CASE_FINDINGS:
        rows = frame[frame["finding"] == finding].sort_values("cnr", kind="stable")
        chosen += [rows.iloc[len(rows) // 2]] if len(rows) else []
    return drawn(chosen, [own, run_of(rival.method.name, settings)], settings)


def failures(settings: Settings) -> list[PhraseCase]:
    """The phrases of which SS-ACL's masked map has the lowest CNR, one per finding."""
    own = run_of(SSACL, settings)
    if own is None:
        return []
    rows = masked_phrases(own).sort_values("cnr", kind="stable").drop_duplicates("finding")
    return drawn([row for _, row in rows.head(WORST).iterrows()], [own], settings)


def drawn(rows: Sequence, runs: Sequence[Run], settings: Settings) -> list[PhraseCase]:
    """The phrases of these rows with the maps of these runs."""
    if not rows:
        return []
    studies, order = load_evaluation(settings.changed(seed=PATIENTS), "test"), numbered(settings)
    maps = {run.method.name: masked_phrases(run).set_index(["study", "finding", "phrase"]) for run in runs}
    cases = []
    for row in rows:
        study = studies[order.index(row["study"])]
        phrases = [p for p in study.phrases if p.finding == row["finding"] and p.text.lower() == row["phrase"].lower()]
        key, shown = (row["study"], row["finding"], row["phrase"]), {}
        for name, frame in maps.items():
            told = frame.loc[[key]].iloc[0]
            shown[f"{name}: masked map"] = (enlarged(told["evidence"], study.image.shape), told["miou"], told["cnr"])
        mask = np.any([phrase.mask for phrase in phrases], axis=0)
        boxes = np.concatenate([phrase.boxes for phrase in phrases])
        cases.append(PhraseCase(row["finding"], row["phrase"], study.image, mask, boxes, shown))
    return cases


def enlarged(evidence, size: tuple[int, int]) -> np.ndarray:
    """One number per patch as a map [H, W], bilinear."""
    values = torch.as_tensor(np.array(evidence, np.float32))
    grid = round(len(values) ** 0.5)
    return F.interpolate(values.view(1, 1, grid, grid), size=size, mode="bilinear", align_corners=False)[0, 0].numpy()


def report_cases(settings: Settings, scores: Sequence[Scores], count: int = 3) -> list[Case]:
    """The first test studies with two findings or more: the reference, SS-ACL's report, the best rival's by micro F1."""
    rival, own = best_rival(scores, F1), run_of(SSACL, settings)
    if own is None or rival is None:
        return []
    told = pd.read_parquet(results_folder(settings) / "references.parquet")
    several = told[[len(positive_names(labels)) > 1 for labels in told["labels"]]]
    studies = load_evaluation(settings.changed(seed=PATIENTS), "test")
    runs = (own, run_of(rival.method.name, settings))
    written = {
        run.method.name: pd.read_parquet(run.folder / f"{REPORTS}.parquet").set_index("study").loc[several["study"]]
        for run in runs
    }
    return [
        _report_case(studies[place], row, {name: frame.loc[row.study] for name, frame in written.items()})
        for place, row in zip(several.index[:count], several.head(count).itertuples(), strict=True)
    ]


def _report_case(study, told, written: dict[str, pd.Series]) -> Case:
    """A study with the reference (told: reference, labels) and what several methods wrote, the first of them SS-ACL."""
    first = next(iter(written.values()))
    texts = {"the reference": mark_report(told.reference, first["generated"], MISSED)}
    notes = {"the reference": [f"findings: {named(positive_names(told.labels))}"]}
    for name, row in written.items():
        texts[name] = mark_report(row["generated"], told.reference, WRONG)
        score = score_line(row["generated"], told.reference, row["generated_labels"], told.labels)
        notes[name] = [f"findings: {named(positive_names(row['generated_labels']))}", score]
    return Case(study.study_id, study.image, {}, texts, notes)
