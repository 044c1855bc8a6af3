"""Anatomical grounding: does a prompt's attention lie on its anatomy, and does it look at the patient at all?

Per node of the graph (a parent's map is the mean of its children's maps), against the exact masks:

    pointing                     share of the map's maxima that lie inside the anatomy: 1 or 0 where there is one maximum
    cnr                          contrast of the map inside against outside
    area                         share of the film that the anatomy covers
    entropy                      of the attention over the N patches, divided by log N: 1 = looks everywhere alike
    similarity_across_patients   mean cosine of the attention with that of other patients: 1 = the same for everybody

A map that points but is the same for everybody is a memorised position, not a finding in this patient's film.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from .. import inference
from ..anatomy import default_graph
from ..metrics.grounding import centre_prior, pointing_and_contrast
from ..model.precision import autocast
from .inputs import pixels_of, test_studies, weights_hash
from .results import cached, long_table, mean_rows, patients_of, results_key

PRIOR, CHANCE = "centre prior", "chance"
AS_THEY_ARE, MOVED = "as they are", "moved"
"""Values of the column `films`."""

TOGETHER, POOLED = ("this run", "shipped"), "SS-ACL"
"""The trained models, and what their mean is called."""

SCORES = ["pointing", "cnr", "area", "entropy", "similarity_across_patients"]
COLUMNS = ["study", "patient", "node", "method", "films", *SCORES]
CHUNK = 32


def evaluate_anatomies(run, models: dict, studies: Sequence | None = None) -> pd.DataFrame:
    """Scores of every node's map in every study (cached per model): columns study, patient, node, method, films and SCORES.

    run: has `.settings` and `.runs`. Where a study has no mask of a node, pointing and CNR are NaN; entropy and likeness
    need none. Methods beside the models, where any study has masks: "centre prior", and "chance" (pointing = the share of
    the picture that the anatomy covers).
    """
    studies = test_studies(run.settings) if studies is None else studies
    key = results_key(studies, run.settings, __name__)
    folder, frames = run.runs / "evaluation", []
    if any(study.regions for study in studies):
        frames.append(cached(folder, "anatomies priors", key, lambda: score_priors(studies)))
    for method, model in models.items():
        frames.append(
            cached(
                folder,
                f"anatomies {method}",
                {**key, "weights": weights_hash(model)},
                lambda m=model, name=method: score_model(name, m, studies),
            )
        )
    return pd.concat(frames, ignore_index=True)


def with_parents(leaves: np.ndarray) -> np.ndarray:
    """Maps of the 25 leaves [n, 25, ...] -> of the 32 nodes [n, 32, ...]; a parent is the mean of its children."""
    flat = torch.from_numpy(np.ascontiguousarray(leaves, np.float32)).flatten(2)
    return default_graph().restore(flat).numpy().reshape(len(leaves), -1, *leaves.shape[2:])


def node_scores(study, maps: np.ndarray) -> pd.DataFrame:
    """Pointing share and CNR of maps [32, H, W], on the film itself, for the nodes that have a mask in the study."""
    nodes = [node for node in default_graph().nodes if node in study.regions]
    masks = np.array([study.regions[node][study.film] for node in nodes])
    area = masks.mean((1, 2)) if len(nodes) else np.zeros(0)
    kept = np.flatnonzero((area > 0) & (area < 1))
    names = [nodes[k] for k in kept]
    places = [default_graph().index(name) for name in names]
    own = np.asarray(maps)[places][(slice(None), *study.film)]
    pointing, contrast = pointing_and_contrast(own, masks[kept]) if names else (np.zeros(0), np.zeros(0))
    columns = {"node": names, "pointing": pointing, "cnr": contrast, "area": area[kept]}
    return pd.DataFrame({"study": study.study_id, "patient": study.patient_id, **columns})


def score_model(method: str, model, studies: Sequence) -> pd.DataFrame:
    """Rows of one model: pointing and CNR of its maps, entropy and likeness of its attention."""
    rows, attention = [], []
    with tqdm(total=len(studies), desc=f"{method}: prompt attention", unit="image", leave=False) as bar:
        for start in range(0, len(studies), CHUNK):
            chunk = [studies[i] for i in range(start, min(start + CHUNK, len(studies)))]
            images = np.stack([study.image for study in chunk])
            maps = with_parents(np.asarray(inference.leaf_maps(model, images)))
            for study, of_study in zip(chunk, maps, strict=True):
                rows.append(node_scores(study, of_study))
            with torch.no_grad(), autocast(model):
                attention.append(with_parents(model.leaf_attention(pixels_of(model, images)).float().cpu().numpy()))
            bar.update(len(chunk))
    scores = pd.concat(rows, ignore_index=True).astype(dict.fromkeys(("pointing", "cnr", "area"), float))
    frame = scores.merge(attention_scores(np.concatenate(attention), studies), on=["study", "node"], how="right")
    frame["patient"] = frame["study"].map({study.study_id: study.patient_id for study in studies})
    return frame.assign(method=method, films=AS_THEY_ARE)[COLUMNS]


def attention_scores(attention: np.ndarray, studies: Sequence) -> pd.DataFrame:
    """Entropy / log N and mean cosine with the other patients of attention [n, 32, N], one row per study and node.

    The other studies of the same patient are not "other patients": they are taken out of the mean.
    """
    count, nodes, patches = attention.shape
    share = attention / attention.sum(-1, keepdims=True)
    entropy = -(share * np.log(np.clip(share, 1e-12, None))).sum(-1) / np.log(patches)
    unit = attention / np.linalg.norm(attention, axis=-1, keepdims=True)
    codes = pd.factorize(np.array([study.patient_id for study in studies]))[0]
    of_patient = np.zeros((codes.max() + 1, nodes, patches), np.float64)
    np.add.at(of_patient, codes, unit)
    others = of_patient.sum(0) - of_patient[codes]
    number = count - np.bincount(codes)[codes]
    with np.errstate(invalid="ignore", divide="ignore"):
        similarity = (unit * others).sum(-1) / np.where(number > 0, number, np.nan)[:, None]
    names = [study.study_id for study in studies]
    index = pd.MultiIndex.from_product([names, default_graph().nodes], names=["study", "node"])
    return pd.DataFrame(
        {"entropy": entropy.ravel(), "similarity_across_patients": similarity.ravel()}, index
    ).reset_index()


def score_priors(studies: Sequence) -> pd.DataFrame:
    """Rows of the centre prior, and of chance (a maximum anywhere with equal probability)."""
    prior = np.broadcast_to(
        centre_prior(*studies[0].image.shape), (len(default_graph().nodes), *studies[0].image.shape)
    )
    base = pd.concat([node_scores(study, prior) for study in studies], ignore_index=True)
    frames = [base.assign(method=PRIOR), base.assign(method=CHANCE, pointing=base["area"], cnr=0.0)]
    scored = pd.concat(frames, ignore_index=True).assign(films=AS_THEY_ARE)
    return scored.reindex(columns=COLUMNS).astype(dict.fromkeys(SCORES, float))


def pooled(per_node: pd.DataFrame) -> list[pd.DataFrame]:
    """Rows of POOLED and, of maps that look, POOLED+: mean over TOGETHER, per study, node and kind of film; no patients."""
    frames = []
    for ending in ("", "+"):
        rows = per_node[per_node["method"].isin([name + ending for name in TOGETHER])]
        if len(rows):
            means = rows.groupby(["study", "node", "films"], sort=False)[SCORES].mean().reset_index()
            frames.append(means.assign(method=POOLED + ending).reindex(columns=COLUMNS))
    return frames


def anatomy_table(per_node: pd.DataFrame, settings) -> pd.DataFrame:
    """The table anatomy_grounding: node, films, method, metric, value, low, high, n (studies), seed.

    films: "as they are" | "moved" (evaluation/looking.py). SS-ACL and SS-ACL+: of the trained models together (`pooled`). node: a
    name of the graph, "mean of leaves" or "mean of parents" (every node counts once per study). Intervals resample patients, who
    may have several studies.
    """
    graph, rows, patients = default_graph(), [], patients_of(per_node)
    per_node = pd.concat([per_node, *pooled(per_node)], ignore_index=True)
    for (method, films), group in per_node.groupby(["method", "films"], sort=False):
        about = {"films": films, "method": method}
        for name, members in (("mean of leaves", graph.leaves), ("mean of parents", graph.parents)):
            chosen = group[group["node"].isin(members)]
            means = chosen.groupby("study", sort=False)[SCORES].mean()
            rows += mean_rows({"node": name, **about}, means, patients[means.index], settings)
        for node in graph.nodes:
            chosen = group[group["node"] == node]
            rows += mean_rows({"node": node, **about}, chosen[SCORES], patients[chosen["study"]], settings)
    return long_table(rows, ["node", "films"])
