"""Phrase grounding: where does the model look for a phrase, and would it look there anyway?

`evaluate_phrases` scores every map of every model once per phrase and control and saves the scores; `phrase_table`
turns them into means with intervals, and into differences paired by phrase (`controls.py`). Controls (only "own" asks the
phrase that belongs to the mask):

    own              the phrase on its study's image
    swapped phrase   a phrase of a finding that the study does not have, same image, same mask: must be worse
    swapped side     right and left exchanged, same image, same mask: must be worse
    shifted          the image moved by a sixth of its width, the mask moved alike: must be as good
    centre prior     a fixed Gaussian in the middle, as a method of its own: must be beaten
    text template    a map from the words of the phrase, without a film (baselines/text_template.py): must be beaten, and
                     passes every swap, so that only the shifted film tells it from sight
    cls attention    a map of the model that reads no phrase, as a kind of map: must be beaten, and fails every swap

"pointing" is the share of a map's maxima that lie inside the mask (`metrics.grounding.pointing_share`), so that a map which
is the same everywhere scores chance.

The untrained model's masked maps and everything shifted use `evaluation.control_studies` studies only (masked evidence
costs K passes an image); `n` in the table says how many phrases stand behind a number.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from .. import inference
from ..baselines.text_template import phrase_template
from ..metrics.grounding import centre_prior, contrast_to_noise_ratio, dice, iou, pointing_share
from ..metrics.intervals import macro_interval
from ..observations import OBSERVATIONS
from .controls import CONTROLS, PRIOR, TEMPLATE, UNSEEING, paired_scores
from .inputs import test_studies, weights_hash
from .results import cached, long_table, mean_rows, patients_of, results_key
from .targets import WHOLE, Target, collect_targets, shift, shift_targets

MAPS = ("masked", "similarity")
RELEASE_MAPS = ("cls attention", "weighted tokens", "grad-cam")
"""The maps that the authors' release holds; see model/maps.py."""
SCORES = ["cnr", "miou", "pointing", "dice"]
COLUMNS = ["study", "patient", "finding", "phrase", "method", "map", "control", *SCORES, "evidence"]
CHUNK = 16  # studies whose maps are in memory at once


def score_map(heatmap: np.ndarray, mask: np.ndarray, film: tuple[slice, slice] = WHOLE) -> dict[str, float]:
    """CNR, mean IoU and mean Dice over the thresholds, and pointing share of a map [H, W] against a mask [H, W] bool.

    Only the rows and columns of the film count, not the padding beside it. A map without any noise has an infinite CNR,
    which no mean survives: it counts as 100.
    """
    heatmap, mask = heatmap[film], mask[film]
    return {
        "cnr": float(np.clip(contrast_to_noise_ratio(heatmap, mask), -100, 100)),
        "miou": float(iou(heatmap, mask).mean()),
        "pointing": pointing_share(heatmap, mask),
        "dice": float(dice(heatmap, mask).mean()),
    }


def evaluate_phrases(
    run, models: dict, studies: Sequence | None = None, maps: Sequence[str] = MAPS + RELEASE_MAPS
) -> pd.DataFrame:
    """Scores of every phrase: one row per study, phrase, method, map and control (cached per model).

    run: has `.settings` and `.runs`. models: method name -> model. studies: evaluation studies (test split). maps: kinds.
    Columns: study, patient, finding, phrase, method, map, control, cnr, miou, pointing, dice, evidence; `evidence` is the map
    averaged over the model's patches (rows of control "own" only). No phrases in the data set: no rows.
    """
    settings = run.settings
    studies = test_studies(settings) if studies is None else studies
    targets = collect_targets(studies, settings.seed)
    if not targets:
        return pd.DataFrame(columns=COLUMNS)
    key = results_key(studies, settings, __name__)
    frames = [
        cached(run.runs / "evaluation", f"phrases {method}", key, lambda s=score: s(targets, studies, settings))
        for method, score in ((PRIOR, score_prior), (TEMPLATE, score_template))
    ]
    for method, model in models.items():
        frames.append(
            cached(
                run.runs / "evaluation",
                f"phrases {method}",
                {**key, "weights": weights_hash(model), "maps": list(maps)},
                lambda m=model, name=method: score_model(name, m, targets, studies, settings, maps),
            )
        )
    return pd.concat(frames, ignore_index=True)


def control_numbers(targets: Sequence[Target], settings) -> list[int]:
    """The studies of the costly controls: the first `control_studies` that have a phrase."""
    return sorted({target.study for target in targets})[: settings.evaluation.control_studies]


def score_model(
    method: str, model, targets: Sequence[Target], studies: Sequence, settings, maps: Sequence[str]
) -> pd.DataFrame:
    """All rows of one model; see `evaluate_phrases`."""
    few = set(control_numbers(targets, settings))
    by_study: dict[int, list[Target]] = {}
    for target in targets:
        by_study.setdefault(target.study, []).append(target)
    rows = []
    for kind in maps:
        costly = kind == "masked"
        numbers = sorted(few) if costly and method == "untrained" else sorted(by_study)
        rows += score_jobs(
            model,
            kind,
            f"{method}: {kind} maps",
            settings,
            [(studies[number].image, by_study[number], number) for number in numbers],
        )
        if method != "untrained" or not costly:
            moved = shift_targets([t for t in targets if t.study in few], studies[0].image.shape[1])
            rows += score_jobs(
                model,
                kind,
                f"{method}: {kind} maps, shifted",
                settings,
                [
                    (shift(studies[number].image, columns), members, number)
                    for number, (columns, members) in moved.items()
                ],
                control="shifted",
            )
    frame = pd.DataFrame(rows)
    frame["patient"] = [studies[number].patient_id for number in frame["study"]]
    frame["study"] = [studies[number].study_id for number in frame["study"]]
    return frame.assign(method=method)[COLUMNS]


def score_jobs(model, kind: str, title: str, settings, jobs: list[tuple], control: str | None = None) -> list[dict]:
    """Maps of jobs (image, its targets, study number) in chunks, and their scores.

    control: None scores own, swapped phrase and swapped side (their maps share the masked passes of an image); a name
    scores only the phrases themselves under that name.
    """
    rows = []
    with tqdm(total=len(jobs), desc=title, unit="image", leave=False) as bar:
        for start in range(0, len(jobs), CHUNK):
            chunk = jobs[start : start + CHUNK]
            asked = [
                [text for target in members for text in (target.texts.values() if control is None else [target.phrase])]
                for _, members, _ in chunk
            ]
            asked = [list(dict.fromkeys(texts)) for texts in asked]
            maps = inference.phrase_maps(
                model,
                np.stack([image for image, _, _ in chunk]),
                asked,
                evidence=kind,
                masks=settings.inference.evidence_masks,
                seed=settings.seed,
            )
            for (_, members, number), texts, of_image in zip(chunk, asked, maps, strict=True):
                by_text = dict(zip(texts, np.asarray(of_image, np.float32), strict=True))
                for target in members:
                    for name, text in ({control: target.phrase} if control else target.texts).items():
                        evidence = grid_of(by_text[text], patches_along(model)) if name == "own" else None
                        rows.append(
                            {
                                "study": number,
                                "finding": target.finding,
                                "phrase": target.phrase,
                                "map": kind,
                                "control": name,
                                **score_map(by_text[text], target.mask, target.film),
                                "evidence": evidence,
                            }
                        )
            bar.update(len(chunk))
    return rows


def score_prior(targets: Sequence[Target], studies: Sequence, settings) -> pd.DataFrame:
    """The centre prior's rows: own (all phrases) and shifted (control studies)."""
    prior = centre_prior(*studies[0].image.shape)
    return _score_unseeing(PRIOR, lambda text: prior, ["own"], targets, studies, settings)


def score_template(targets: Sequence[Target], studies: Sequence, settings) -> pd.DataFrame:
    """The text template's rows: own, swapped phrase and swapped side (all phrases), and shifted (control studies)."""
    shape = studies[0].image.shape
    return _score_unseeing(
        TEMPLATE, lambda text: phrase_template(text, *shape), list(CONTROLS), targets, studies, settings
    )


def _score_unseeing(
    method: str, heatmap_of: Callable, asked: list[str], targets: Sequence[Target], studies: Sequence, settings
) -> pd.DataFrame:
    """Rows of maps that see no film, so that on a shifted film they stay where they are."""
    few = set(control_numbers(targets, settings))
    moved = shift_targets([t for t in targets if t.study in few], studies[0].image.shape[1])
    jobs = [(target, control, text) for target in targets for control, text in target.texts.items() if control in asked]
    jobs += [(target, "shifted", target.phrase) for _, members in moved.values() for target in members]
    rows = [
        {
            "study": studies[target.study].study_id,
            "patient": studies[target.study].patient_id,
            "finding": target.finding,
            "phrase": target.phrase,
            "method": method,
            "map": UNSEEING[method],
            "control": control,
            **score_map(heatmap_of(text), target.mask, target.film),
            "evidence": None,
        }
        for target, control, text in jobs
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def patches_along(model) -> int:
    """Patches along one side of the model's picture."""
    return model.config.image_size // model.config.patch_size


def grid_of(heatmap: np.ndarray, grid: int) -> np.ndarray:
    """A map [S, S] averaged over the patches of a grid: float32 [grid * grid], reading order."""
    size = heatmap.shape[0] // grid
    return heatmap.reshape(grid, size, grid, size).mean((1, 3)).astype(np.float32).ravel()


def phrase_table(per_phrase: pd.DataFrame, settings) -> pd.DataFrame:
    """The table phrase_grounding: map, control, finding, method, metric, value, low, high, n (phrases), seed.

    finding: "overall" (mean over phrases), "mean of findings" (each finding counts once) or a finding (not for the
    release's maps, which are scored as a whole). Intervals resample patients, who may have several films. Differences
    (metrics cnr_own_minus_swapped, pointing_minus_prior, ...) are paired by phrase and stand under the control "own"; their
    n counts the phrases that have both.
    """
    first = ["map", "control", "finding"]
    if not len(per_phrase):
        return long_table([], first)
    rows, patients = [], patients_of(per_phrase)
    per_phrase = per_phrase.assign(patient=per_phrase["study"].map(patients))
    for (kind, control, method), group in per_phrase.groupby(["map", "control", "method"], sort=False):
        rows += finding_rows({"map": kind, "control": control, "method": method}, group, SCORES, settings)
    paired = paired_scores(per_phrase)
    paired["patient"] = paired["study"].map(patients)
    metrics = [name for name in paired.columns if name.startswith(("cnr_", "pointing_"))]
    for (kind, method), group in paired.groupby(["map", "method"], sort=False):
        rows += finding_rows({"map": kind, "control": "own", "method": method}, group, metrics, settings)
    return long_table(rows, first)


def finding_rows(about: dict, group: pd.DataFrame, metrics: list[str], settings) -> list[dict]:
    """Rows "overall", "mean of findings" and one set per finding (in CheXpert order) of the given score columns.

    group: with a column `patient`, over whom the intervals are.
    """
    rows = mean_rows({**about, "finding": "overall"}, group[metrics], group["patient"], settings)
    for metric in metrics:
        value, low, high = macro_interval(
            group[metric], group["patient"], group["finding"], settings.evaluation.bootstrap, settings.seed
        )
        if np.isfinite(value):
            rows.append(
                {
                    **about,
                    "finding": "mean of findings",
                    "metric": metric,
                    "value": value,
                    "low": low,
                    "high": high,
                    "n": int(group[metric].notna().sum()),
                    "seed": settings.seed,
                }
            )
    if about["map"] in RELEASE_MAPS:
        return rows
    for finding in [name for name in OBSERVATIONS if (group["finding"] == name).any()]:
        of_finding = group[group["finding"] == finding]
        rows += mean_rows({**about, "finding": finding}, of_finding[metrics], of_finding["patient"], settings)
    return rows
