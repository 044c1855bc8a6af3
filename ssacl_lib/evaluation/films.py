"""Real films: do the maps find the right and the left lung that radiologists boxed?

Sources of maps per model, asked for "right lung" and "left lung": the attention of the prompts (mean of the side's leaves, by
the graph), the map of SS-ACL+ where the model looks, the masked evidence and the similarity map of the words. Two priors: a
Gaussian in the middle, and the mean box of that side over the training split (where a lung usually is, and nothing of this
film).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from .. import inference
from ..anatomy import default_graph
from ..datasets.registry import load_evaluation
from ..metrics.grounding import centre_prior
from ..model.maps import anatomy_maps_of_pixels
from .anatomy_grounding import with_parents
from .grounding import score_map
from .inputs import pixels_of, test_studies, weights_hash
from .results import cached, long_table, mean_rows, results_key, studies_hash

REGIONS = ("right lung", "left lung")
NAMES = {"shipped": "trained on the phantom", "this run": "trained on the films"}
SCORES = ["pointing", "miou", "cnr", "dice"]
COLUMNS = ["study", "patient", "region", "method", "map", "control", *SCORES]
CENTRE, SIDE = "centre prior", "side prior"
CHUNK = 16


def evaluate_films(
    run, models: dict, studies: Sequence | None = None, training: Sequence | None = None
) -> pd.DataFrame:
    """Scores per film, region, method, map (attention | SS-ACL+ | masked | similarity | prior) and control (own | swapped side).

    run: has `.settings` and `.runs`. studies, training: evaluation studies of the test and of the training split
    (for the side prior). No boxes of both lungs in the data set, or the phantom itself: no rows.
    """
    settings = run.settings
    if settings.dataset == "phantom" and studies is None:
        return pd.DataFrame(columns=COLUMNS)
    studies = with_lungs(test_studies(settings) if studies is None else studies)
    if not studies:
        return pd.DataFrame(columns=COLUMNS)
    training = with_lungs(load_evaluation(settings, split="train") if training is None else training)
    key = results_key(studies, settings, __name__)
    folder = run.runs / "evaluation"
    frames = [
        cached(
            folder, "films priors", {**key, "training": studies_hash(training)}, lambda: score_priors(studies, training)
        )
    ]
    for method, model in models.items():
        frames.append(
            cached(
                folder,
                f"films {method}",
                {**key, "weights": weights_hash(model)},
                lambda m=model, name=method: score_model(name, m, studies, settings),
            )
        )
    return pd.concat(frames, ignore_index=True)


def with_lungs(studies: Sequence) -> list:
    """The studies that have a box (a mask that is not empty) of both lungs."""
    return [study for study in studies if all(np.any(study.regions.get(region, False)) for region in REGIONS)]


def region_rows(study, maps: Sequence[np.ndarray], about: dict, controls=("own", "swapped side")) -> list[dict]:
    """Scores of the maps (right, left) on their own boxes, and on the other side's."""
    rows = []
    for place, region in enumerate(REGIONS):
        for control in controls:
            heatmap = maps[place if control == "own" else 1 - place]
            rows.append(
                {
                    "study": study.study_id,
                    "patient": study.patient_id,
                    "region": region,
                    "control": control,
                    **about,
                    **score_map(heatmap, study.regions[region], study.film),
                }
            )
    return rows


def score_model(method: str, model, studies: Sequence, settings) -> pd.DataFrame:
    """Rows of one model: every source of maps that it has."""
    rows, nodes = [], [default_graph().index(region) for region in REGIONS]
    name = NAMES.get(method, method)
    with tqdm(total=len(studies), desc=f"{name}: lungs on films", unit="image", leave=False) as bar:
        for start in range(0, len(studies), CHUNK):
            chunk = [studies[i] for i in range(start, min(start + CHUNK, len(studies)))]
            images = np.stack([study.image for study in chunk])
            maps = {"attention": with_parents(np.asarray(inference.leaf_maps(model, images)))[:, nodes]}
            if getattr(model, "look", None) is not None:
                looked = anatomy_maps_of_pixels(model, pixels_of(model, images), list(REGIONS), "plus")
                maps["SS-ACL+"] = looked.float().cpu().numpy()
            for kind in ("masked", "similarity"):
                maps[kind] = inference.phrase_maps(
                    model,
                    images,
                    [list(REGIONS)] * len(chunk),
                    evidence=kind,
                    masks=settings.inference.evidence_masks,
                    seed=settings.seed,
                )
            for kind, of_chunk in maps.items():
                for study, pair in zip(chunk, of_chunk, strict=True):
                    rows += region_rows(study, np.asarray(pair, np.float32), {"method": name, "map": kind})
            bar.update(len(chunk))
    return pd.DataFrame(rows, columns=COLUMNS)


def score_priors(studies: Sequence, training: Sequence) -> pd.DataFrame:
    """Rows of the centre prior, and of the mean box of each side in the training split (if that has boxes)."""
    centre = centre_prior(*studies[0].image.shape)
    rows = [
        row
        for study in studies
        for row in region_rows(study, (centre, centre), {"method": CENTRE, "map": "prior"}, ("own",))
    ]
    if training:
        boxes = [np.mean([study.regions[region] for study in training], axis=0, dtype=np.float32) for region in REGIONS]
        rows += [row for study in studies for row in region_rows(study, boxes, {"method": SIDE, "map": "prior"})]
    return pd.DataFrame(rows, columns=COLUMNS)


def film_table(per_film: pd.DataFrame, settings) -> pd.DataFrame:
    """The table film_grounding: map, control, region, method, metric, value, low, high, n (boxes), seed.

    Intervals resample patients, who may have several films. region: "right lung", "left lung" or "both". Paired
    differences stand under the control "own":
    cnr_own_minus_swapped_side, pointing_own_minus_swapped_side, pointing_minus_side_prior.
    """
    first = ["map", "control", "region"]
    if not len(per_film):
        return long_table([], first)
    rows = []
    for (kind, control, method), group in per_film.groupby(["map", "control", "method"], sort=False):
        rows += rows_of_regions({"map": kind, "control": control, "method": method}, group, SCORES, settings)
    for (kind, method), group in paired_films(per_film).groupby(["map", "method"], sort=False):
        metrics = [name for name in group.columns if "_minus_" in name]
        rows += rows_of_regions({"map": kind, "control": "own", "method": method}, group, metrics, settings)
    return long_table(rows, first)


def rows_of_regions(about: dict, group: pd.DataFrame, metrics: list[str], settings) -> list[dict]:
    """Rows of both regions together, then of each."""
    rows = mean_rows({**about, "region": "both"}, group[metrics], group["patient"], settings)
    for region in REGIONS:
        chosen = group[group["region"] == region]
        rows += mean_rows({**about, "region": region}, chosen[metrics], chosen["patient"], settings)
    return rows


def paired_films(per_film: pd.DataFrame) -> pd.DataFrame:
    """Differences on the same box: own minus swapped side, and own minus side prior."""
    keys = ["study", "patient", "region", "method", "map"]
    wide = per_film.set_index([*keys, "control"])[["pointing", "cnr"]].unstack("control")
    wide = wide.reindex(columns=pd.MultiIndex.from_product([["pointing", "cnr"], ["own", "swapped side"]]))
    out = {
        f"{score}_own_minus_swapped_side": wide[score, "own"] - wide[score, "swapped side"]
        for score in ("pointing", "cnr")
    }
    prior = per_film[(per_film["method"] == SIDE) & (per_film["control"] == "own")].set_index(["study", "region"])[
        "pointing"
    ]
    out["pointing_minus_side_prior"] = (
        wide["pointing", "own"] - prior.reindex(wide.index.droplevel(["patient", "method", "map"])).to_numpy()
    )
    paired = pd.DataFrame(out).reset_index()
    return paired[~paired["method"].isin([CENTRE, SIDE])]
