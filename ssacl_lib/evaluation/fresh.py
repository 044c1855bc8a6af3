"""The shipped checkpoint on patients of another seed, whom nobody looked at while the recipe was searched.

The search for the recipe of the cpu profile saw some test studies of seed 0 (of earlier builds of the phantom), so the
numbers of `figures/cpu/` may be a little kind. Patients of another seed are drawn apart from all of them.
"""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from .. import paths
from ..baselines.text_template import text_templates
from ..datasets.registry import load_evaluation
from ..inference import predict_findings, write_reports
from ..metrics.clinical import clinical_intervals
from ..model.build import load_model
from ..model.head import positive_findings
from ..observations import FINDINGS
from ..settings import Settings
from ..text.labeler import label_array
from . import findings, grounding, looking
from .anatomy_grounding import AS_THEY_ARE, COLUMNS, MOVED, anatomy_table, node_scores
from .grounding import score_map
from .moved_studies import MovedStudies
from .phrase_views import BLANK, blank_film
from .results import long_table, mean_rows
from .targets import collect_targets

METHOD = "shipped"
SHOWN = ("pointing", "cnr", "cnr_own_minus_swapped", "pointing_minus_prior", "pointing_minus_template",
         "cnr_minus_template", "pointing_own_minus_swapped_side")  # fmt: skip
OTHER_SIDE = "other side named"
ASKED = 100
"""Patients whose first phrase is pointed at as `ssacl ground` does."""


def fresh_patients(settings: Settings) -> pd.DataFrame:
    """Head AUC, report micro F1, phrases and leaves of the shipped checkpoint on the test split of `settings.seed`.

    Columns: about, method, metric, value, low, high, n, seed.

    Raises:
        ValueError: seed 0, whose patients the checkpoint was trained and chosen on.
    """
    if settings.seed == 0:
        raise ValueError(
            "seed 0 is the one that the checkpoint was trained and chosen with; give another, such as --seed 1"
        )
    studies = list(load_evaluation(settings, "test"))
    model = load_model(paths.SHIPPED_CHECKPOINT, "cpu" if settings.device == "cpu" else "auto")
    settings = settings.changed(
        **{"inference.evidence_masks": model.config.evidence["masks"]}
    )  # as `ssacl ground` asks it
    with tempfile.TemporaryDirectory() as folder:  # the caches of evaluate_* are of no use to anybody here
        run = SimpleNamespace(settings=settings, runs=Path(folder))
        auc = findings.finding_table(findings.evaluate_findings(run, {METHOD: model}, studies), settings)
        per_phrase = grounding.evaluate_phrases(run, {METHOD: model}, studies, grounding.MAPS)
        phrases = grounding.phrase_table(per_phrase, settings)
    auc = auc[auc["finding"] == "mean of findings"].assign(about="finding head, mean of findings")
    phrases = phrases[phrases["finding"] == "overall"].assign(about="phrases, " + phrases["map"] + " map")
    sides = phrases[(phrases["control"] == "swapped side") & (phrases["metric"] == "pointing")]
    sides = sides.assign(about=sides["about"] + ", " + OTHER_SIDE)
    phrases = phrases[(phrases["control"] == "own") & phrases["metric"].isin(SHOWN)]
    rows, peaks = report_rows(model, studies, settings), pd.DataFrame(peak_rows(model, studies, settings))
    blank = pd.DataFrame(blank_rows(model, studies, settings, per_phrase))
    leaves = leaf_rows(model, studies, settings)
    return pd.concat(
        [
            long_table(frame.to_dict("records"), ("about",))
            for frame in (auc, rows, phrases, sides, blank, peaks, leaves)
        ],
        ignore_index=True,
    )


def blank_rows(model, studies: list, settings: Settings, per_phrase: pd.DataFrame) -> list[dict]:
    """The same phrases on a film of one grey: what a masked map owes to the words alone, and what the patient's film adds.

    per_phrase: of `grounding.evaluate_phrases`, whose own masked maps are compared phrase by phrase.
    """
    targets = collect_targets(studies, settings.seed)
    texts = list(dict.fromkeys(target.phrase for target in targets))
    maps = model.ground(list(blank_film(model)), texts, evidence="masked", seed=settings.seed)[0].cpu().numpy()
    rows = [
        {
            "study": studies[target.study].study_id,
            "finding": target.finding,
            "phrase": target.phrase,
            **score_map(maps[texts.index(target.phrase)], target.mask, target.film),
        }
        for target in targets
    ]
    own = per_phrase[(per_phrase["map"] == "masked") & (per_phrase["control"] == "own")]
    both = own.merge(pd.DataFrame(rows), on=["study", "finding", "phrase"], suffixes=("", "_blank"), validate="1:1")
    blank = both[["pointing_blank", "cnr_blank"]].set_axis(["pointing", "cnr"], axis=1)
    gained = pd.DataFrame({f"{name}_own_minus_blank": both[name] - both[f"{name}_blank"] for name in blank})
    about = {"about": f"phrases, masked map, {BLANK}", "method": METHOD}
    return [row for frame in (blank, gained) for row in mean_rows(about, frame, list(both["study"]), settings)]


def peak_rows(model, studies: list, settings: Settings) -> list[dict]:
    """What `ssacl ground` shows: does the masked map's peak lie in the box around the finding? First phrase of ASKED patients.

    Beside it the same for the phrase with right and left exchanged, where it names one side.
    """
    targets = {target.study: target for target in reversed(collect_targets(studies, settings.seed))}
    found = []
    for number in sorted(targets)[:ASKED]:
        target = targets[number]
        texts = [target.phrase, *([target.other_side] if target.other_side else [])]
        maps = model.ground([studies[number].image], texts, evidence="masked")[0].cpu().numpy()
        rows, columns = np.nonzero(target.mask)
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        inside = np.zeros_like(target.mask)
        inside[box] = True
        peaks = [float(inside.ravel()[heatmap.argmax()]) for heatmap in maps]
        found.append({"peak_in_box": peaks[0], "peak_in_box_other_side": peaks[1] if len(peaks) > 1 else np.nan})
    about = {"about": "phrases, what `ssacl ground` shows", "method": METHOD}
    return mean_rows(about, pd.DataFrame(found), range(len(found)), settings)


def leaf_rows(model, studies: list, settings: Settings) -> pd.DataFrame:
    """Means over the 25 leaves, on films as they are and moved: the prompts' attention, SS-ACL+, and what looks at no film."""
    blind, frames = blind_maps(model, studies[0].image.shape, settings), []
    for films, seen in ((AS_THEY_ARE, studies), (MOVED, MovedStudies(studies, settings.seed))):
        own = [looking.score_looks(METHOD, model, MOVED, seen)]
        own += [node_scores(study, maps).assign(method=name) for name, maps in blind.items() for study in seen]
        frames.append(pd.concat(own, ignore_index=True).assign(films=films).reindex(columns=COLUMNS))
    table = anatomy_table(pd.concat(frames, ignore_index=True), settings)
    table = table[(table["node"] == "mean of leaves") & table["metric"].isin(["pointing", "cnr"])]
    return table.assign(about="25 leaves, films " + table["films"])


def blind_maps(model, size: tuple[int, int], settings: Settings) -> dict[str, np.ndarray]:
    """Maps [32, H, W] that are the same for every film, by name.

    The atlas of SS-ACL+, the text template, and the mean of true masks of patients whom the checkpoint was trained on (needs
    annotations), as it is and with one number per patch.
    """
    masks = torch.from_numpy(looking.mean_masks(settings.changed(seed=0)))
    coarse = F.adaptive_avg_pool2d(masks, model.config.grid)
    grid = f"{model.config.grid} x {model.config.grid}"
    words, patches = (
        F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0].numpy()
        for maps in (model.look.atlas.cpu(), coarse)
    )
    known = {looking.WORDS: words, looking.TEMPLATE: text_templates(*size)}
    return {**known, looking.MEAN_MASK: masks.numpy(), f"{looking.MEAN_MASK}, {grid}": patches}


def report_rows(model, studies: list, settings: Settings) -> pd.DataFrame:
    """Micro F1 over the 13 findings of generated reports and of the head's own labels, against the written reports."""
    images = np.stack([study.image for study in studies])
    reference = np.stack([study.labels for study in studies])
    positives = positive_findings(model, predict_findings(model, images, "findings"))
    head = np.array([[0, *(int(name in names) for name in FINDINGS)] for names in positives], np.int8)
    rows = []
    for about, labels in (
        ("reports with prompts", label_array(write_reports(model, images, positives, progress="reports"))),
        ("the head's own labels", head),
    ):
        value, low, high = clinical_intervals(
            labels, reference, settings.inference.uncertain_as_positive, settings.evaluation.bootstrap, settings.seed
        )["micro_f1_13"]
        rows.append(
            {
                "about": about,
                "method": METHOD,
                "metric": "micro_f1_13",
                "value": value,
                "low": low,
                "high": high,
                "n": len(studies),
                "seed": settings.seed,
            }
        )
    return pd.DataFrame(rows)
