"""Is the masked evidence faithful? Hide or show patches in its order and watch the model's own fit of the phrase.

    deletion    hide the most supporting patches first: the fit must fall faster than in a random order
    insertion   show the most supporting patches first: the fit must rise faster than in a random order

The fit is the cosine of the image embedding of the visible patches with the phrase. It says what THIS model uses, not
whether the model is right: a faithful map of a model that looks at the wrong place is a faithful map of a mistake.

Source: deletion and insertion, Petsiuk, Das, Saenko, RISE, BMVC 2018; here patches are hidden as in the model's training.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F
from tqdm import tqdm

from ..model.precision import autocast
from .inputs import pixels_of, test_studies, weights_hash
from .results import cached, long_table, mean_rows, patients_of, results_key

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the patches that are visible, besides all of them."""
COLUMNS = ["study", "patient", "finding", "phrase", "method", "curve", "order", "fraction", "fit"]
BATCH = 128


def evaluate_faithfulness(run, models: dict, per_phrase: pd.DataFrame, studies: Sequence | None = None) -> pd.DataFrame:
    """Deletion and insertion curves of the maps that `evaluate_phrases` saved for masked evidence.

    Only the first `evaluation.control_studies` studies with a phrase are used. Returns one row per phrase and point:
    study, patient, finding, phrase, method, curve (deletion | insertion), order (evidence | random), fraction (hidden or
    shown), fit. Cached per model.
    """
    settings = run.settings
    studies = test_studies(settings) if studies is None else studies
    chosen = per_phrase[(per_phrase["map"] == "masked") & (per_phrase["control"] == "own")]
    if not len(chosen):
        return pd.DataFrame(columns=COLUMNS)
    few = list(dict.fromkeys(study.study_id for study in studies if (chosen["study"] == study.study_id).any()))
    chosen = chosen[chosen["study"].isin(few[: settings.evaluation.control_studies])]
    key = results_key(studies, settings, __name__)
    frames = []
    for method, model in models.items():
        rows = chosen[chosen["method"] == method].reset_index(drop=True)
        if len(rows):
            frames.append(
                cached(
                    run.runs / "evaluation",
                    f"faithfulness {method}",
                    {**key, "weights": weights_hash(model), "evidence": evidence_hash(rows)},
                    lambda m=model, name=method, r=rows: curves_of_model(name, m, r, studies, settings.seed),
                )
            )
    return pd.concat(frames, ignore_index=True)


def evidence_hash(rows: pd.DataFrame) -> str:
    """SHA-256 of the maps behind the curves: they were made elsewhere, and follow other code than the curves do."""
    digest = hashlib.sha256()
    for study, phrase, evidence in rows[["study", "phrase", "evidence"]].itertuples(index=False):
        digest.update(f"{study}\0{phrase}\0".encode() + np.asarray(evidence, np.float32).tobytes())
    return digest.hexdigest()


def curves_of_model(method: str, model, rows: pd.DataFrame, studies: Sequence, seed: int) -> pd.DataFrame:
    """All points of one model: rows are phrases with their evidence [N]."""
    place = {study.study_id: number for number, study in enumerate(studies)}
    numbers = rows["study"].map(place).to_numpy()
    images = np.stack([studies[number].image for number in numbers])
    evidence = np.stack([np.asarray(values, np.float32) for values in rows["evidence"]])
    orders = {
        "evidence": np.argsort(-evidence, axis=1, kind="stable"),
        "random": np.stack(
            [np.random.default_rng([seed, number]).permutation(evidence.shape[1]) for number in numbers]
        ),
    }
    with torch.no_grad():
        texts = F.normalize(model.text_embedding(list(rows["phrase"])).float(), dim=-1).cpu()
    about, points = rows[["study", "finding", "phrase"]], []
    about = about.assign(patient=[studies[number].patient_id for number in numbers])

    def add(curve: str, order: str, fraction: float, fit: np.ndarray) -> None:
        points.append(about.assign(method=method, curve=curve, order=order, fraction=fraction, fit=fit))

    whole = fit_of(model, images, None, texts)
    for order in orders:
        add("deletion", order, 0.0, whole)
        add("insertion", order, 1.0, whole)
    for share in tqdm(SHARES, desc=f"{method}: deletion and insertion", unit="share", leave=False):
        visible = max(1, round(share * evidence.shape[1]))
        for order, ranks in orders.items():
            add("insertion", order, share, fit_of(model, images, ranks[:, :visible], texts))
            add("deletion", order, round(1 - share, 6), fit_of(model, images, ranks[:, -visible:], texts))
    return pd.concat(points, ignore_index=True)[COLUMNS]


def fit_of(model, images: np.ndarray, keep: np.ndarray | None, texts: torch.Tensor) -> np.ndarray:
    """Cosine of images [n, S, S], of which only the patches keep [n, K] are visible (None: all), with texts [n, D]."""
    fits = []
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            pixels = pixels_of(model, images[part])
            kept = None if keep is None else torch.from_numpy(np.sort(keep[part], axis=1)).to(pixels.device)
            with autocast(model):
                embedding = model.image_embedding(pixels, kept)
            embedding = F.normalize(embedding.float(), dim=-1).cpu()
            fits.append((embedding * texts[part]).sum(-1).numpy())
    return np.concatenate(fits)


def areas_of_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Area under each phrase's curve (trapezoids, divided by the span of the fraction): one column per order."""

    def area(points: pd.DataFrame) -> float:
        points = points.sort_values("fraction")
        fraction, fit = points["fraction"].to_numpy(), points["fit"].to_numpy()
        return float(np.trapezoid(fit, fraction) / (fraction[-1] - fraction[0]))

    keys = ["study", "finding", "phrase", "method", "curve", "order"]
    return (
        curves.groupby(keys, sort=False)[["fraction", "fit"]].apply(area).rename("area").unstack("order").reset_index()
    )


def faithfulness_table(curves: pd.DataFrame, settings) -> pd.DataFrame:
    """The table faithfulness: curve, order, method, metric (area | area_minus_random), value, low, high, n, seed.

    Intervals resample patients, each with all of its films and phrases.
    """
    if not len(curves):
        return long_table([], ["curve", "order"])
    areas, rows, patients = areas_of_curves(curves), [], patients_of(curves)
    for (method, curve), group in areas.groupby(["method", "curve"], sort=False):
        about, drawn = {"curve": curve, "method": method}, patients[group["study"]]
        for order in ("evidence", "random"):
            area = group[[order]].rename(columns={order: "area"})
            rows += mean_rows({**about, "order": order}, area, drawn, settings)
        paired = pd.DataFrame({"area_minus_random": group["evidence"] - group["random"]})
        rows += mean_rows({**about, "order": "evidence"}, paired, drawn, settings)
    return long_table(rows, ["curve", "order"])


def mean_curves(curves: pd.DataFrame, settings) -> pd.DataFrame:
    """The curves as one draws them: curve, order, fraction, method, metric "fit", value, low, high, n, seed."""
    rows, patients = [], patients_of(curves)
    for (method, curve, order, fraction), group in curves.groupby(["method", "curve", "order", "fraction"], sort=False):
        about = {"curve": curve, "order": order, "fraction": fraction, "method": method}
        rows += mean_rows(about, group[["fit"]], patients[group["study"]], settings)
    table = long_table(rows, ["curve", "order", "fraction"])
    return table.sort_values(["method", "curve", "order", "fraction"], kind="stable").reset_index(drop=True)
