"""`ssacl probe`: does a leaf's token tell of its own place in this patient? Linear probes ask it, and other tokens (ours).

The question, leaf by leaf, for the eight zones of the lungs: does this patient have a focal opacity here? A logistic regression
learns to answer from one token of the frozen encoder on training films, and is scored on unseen ones. If the own leaf's token
answers no better than the mirror leaf's, all tokens tell the same of the whole film, and none is sight of its place.

    own token, mirror leaf's, another lung leaf's, abdomen's    z_v, as the encoder gives it
    own look, mirror leaf's look                                patch tokens averaged by the map of SS-ACL+ for the leaf
    own region                                                  the same by the leaf's true mask (needs annotations)
    own look, mirror leaf's look, before attention              the same of the patches as the stem gives them: the control, for
                                                                these have seen no other place of the film
    all patches alike                                           the mean patch token, wherever the leaf lies
    own token, another patient's                                the probe of the own token, asked on a foreign film: chance

The probes read the phantom's masks: they are measuring devices, and no model learns from what they read.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from .. import paths
from ..anatomy import default_graph, leaves_of
from ..datasets.phantom import body_maps
from ..metrics.intervals import percentile_interval, resampled_counts, weighted_auc
from ..model.build import load_model
from ..model.precision import autocast
from ..model.reporting import leaf_tokens
from ..phantom import Sign, render
from ..record.manifest import atomic_write
from ..record.sources import code_behind, sha256_json
from ..settings import Settings
from ..training.one_leaf import look_shares, patch_shares
from .inputs import device_of, pixels_of, weights_hash
from .results import long_table

FOCAL = ("Lung Opacity", "Lung Lesion", "Consolidation", "Pneumonia")
"""Findings that the phantom puts into one zone of a lung (Lung Opacity: where it is patchy)."""

ZONES = ("upper lung zone", "mid lung zone", "lower lung zone", "apical zone")
ASKED = tuple(f"{side} {zone}" for side in ("right", "left") for zone in ZONES)
"""The leaves of which the probes are asked."""

MEAN = "mean of leaves"
OWN, MIRROR, ANOTHER, ABDOMEN = "own token", "mirror leaf's token", "another lung leaf's token", "abdomen's token"
LOOK, MIRROR_LOOK, REGION = "own look", "mirror leaf's look", "own region"
EARLY, MIRROR_EARLY = "own look, before attention", "mirror leaf's look, before attention"
EVERYWHERE, FOREIGN = "all patches alike", "own token, another patient's"
SOURCES = (OWN, MIRROR, ANOTHER, ABDOMEN, FOREIGN, LOOK, MIRROR_LOOK, REGION, EVERYWHERE, EARLY, MIRROR_EARLY)
RIVALS = {
    OWN: (MIRROR, ANOTHER, ABDOMEN, EVERYWHERE, FOREIGN),
    LOOK: (MIRROR_LOOK, EVERYWHERE, OWN),
    REGION: (LOOK, EVERYWHERE),
    EARLY: (MIRROR_EARLY,),
}
"""Source -> those from which its AUC is told apart, on the same studies."""

STUDIES = {"train": 2000, "validation": 400, "test": 1200}
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
"""Inverse strengths C of the probes' regularisation; for each source the best on validation studies is taken."""

INSIDE, COVERED = 0.5, 0.25
"""A leaf is affected where so much of an opacity lies in it, or where an opacity covers so much of it."""

ABOUT = ["leaf", "source", "affected"]
CHUNK = 64


def probe_file() -> Path:
    """The committed file."""
    return paths.DATA / "results" / "probe.parquet"


def mirror_of(leaf: str) -> str:
    """The same leaf on the other side."""
    side, _, zone = leaf.partition(" ")
    return f"{'left' if side == 'right' else 'right'} {zone}"


def another_leaf(leaf: str) -> str:
    """A lung leaf that is neither this one nor its mirror nor shares ground with it, drawn once for all."""
    same = {leaf, mirror_of(leaf)}
    if "apical" in leaf or "upper" in leaf:  # the apical zone lies inside of the upper zone
        same |= {other for other in ASKED if "apical" in other or "upper" in other}
    others = [other for other in leaves_of("lungs") if other not in same]
    return others[int(np.random.default_rng([47, ASKED.index(leaf)]).integers(len(others)))]


def affected_leaves(signs: Sequence[Sign], extents: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Which of the leaves ASKED a patient's focal opacities affect: [8] bool.

    extents: [signs, H, W] bool. regions: [8, H, W] bool, the leaves' masks.
    """
    focal = [k for k, sign in enumerate(signs) if sign.finding in FOCAL and sign.kind != "diffuse"]
    shared = np.einsum("khw,lhw->kl", extents[focal].astype(np.float32), regions.astype(np.float32))
    inside = shared / np.maximum(extents[focal].sum((1, 2)), 1)[:, None]
    covered = shared / np.maximum(regions.sum((1, 2)), 1)
    return ((inside >= INSIDE) | (covered >= COVERED)).any(0)


def what_tokens_hold(model, settings: Settings, split: str, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Tokens of the first `count` patients of a split, source -> [n, 8, D], and which leaves are affected, [n, 8] bool."""
    if model.look is None:
        raise ValueError("what prompts look at needs a model with a head that looks; `ssacl plus` adds one")
    graph, places = default_graph(), [default_graph().leaves.index(leaf) for leaf in ASKED]
    mirrored = [default_graph().leaves.index(mirror_of(leaf)) for leaf in ASKED]
    others = [default_graph().leaves.index(another_leaf(leaf)) for leaf in ASKED]
    nodes, maps = [graph.index(leaf) for leaf in ASKED], body_maps(settings)
    size, ranges = settings.data.image_size, settings.data.phantom_ranges
    found: dict[str, list[np.ndarray]] = {source: [] for source in SOURCES if source != FOREIGN}
    truth = []
    for start in tqdm(range(0, count, CHUNK), desc=f"tokens of {split} films", unit="part", leave=False):
        numbers = range(start, min(start + CHUNK, count))
        batch = render(settings.seed, split, numbers, image_size=size, ranges=ranges, maps=maps, masks=True)
        regions = batch.node_masks[:, nodes]
        truth += [affected_leaves(*known) for known in zip(batch.signs, batch.sign_masks, regions, strict=True)]
        with torch.no_grad(), autocast(model):
            pixels = pixels_of(model, batch.images)
            tokens, early = leaf_tokens(model, pixels), model.encoder.patch_tokens(pixels, None)
            leaves, patches = tokens.queries.float(), tokens.patches.float()
            shares = look_shares(model, tokens.patches)
        own_shares, own_regions = shares[:, places], patch_shares(torch.from_numpy(regions).float(), model.config.grid)
        held = {
            OWN: leaves[:, places],
            MIRROR: leaves[:, mirrored],
            ANOTHER: leaves[:, others],
            ABDOMEN: leaves[:, [graph.leaves.index("abdomen")]].expand(-1, len(ASKED), -1),
            LOOK: own_shares @ patches,
            MIRROR_LOOK: shares[:, mirrored] @ patches,
            REGION: own_regions.to(patches.device) @ patches,
            EVERYWHERE: patches.mean(1, keepdim=True).expand(-1, len(ASKED), -1),
            EARLY: own_shares @ early.float(),
            MIRROR_EARLY: shares[:, mirrored] @ early.float(),
        }
        for source, values in held.items():
            found[source].append(values.float().cpu().numpy())
    return {source: np.concatenate(parts) for source, parts in found.items()}, np.stack(truth)


Known = tuple[np.ndarray, np.ndarray]
"""Tokens [n, k, D] and truth [n, k] bool: one column per leaf."""


def answers(train: Known, tuned: Known, asked: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Scores [n, k] of probes on further tokens: one probe per leaf, one strength for all, the best of STRENGTHS.

    Strengths are compared by the mean AUC on `tuned`. asked: arrays of tokens [n, k, D]. Every leaf is to be affected in some
    of `train` and not in others.
    """
    weights = np.ones((1, len(tuned[0])))
    fits = [[_fit(*column, strength) for column in zip(train[0].swapaxes(0, 1), train[1].T, strict=True)]
            for strength in STRENGTHS]  # fmt: skip
    best = max(fits, key=lambda probes: float(np.nanmean(leaf_areas(_scores(probes, tuned[0]), tuned[1], weights))))
    return [_scores(best, tokens) for tokens in asked]


def _fit(tokens: np.ndarray, truth: np.ndarray, strength: float):
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)).fit(tokens, truth)


def _scores(probes: list, tokens: np.ndarray) -> np.ndarray:
    return np.stack([probe.decision_function(tokens[:, leaf]) for leaf, probe in enumerate(probes)], axis=1)


def leaf_areas(scores: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AUC per leaf under each weighting of the studies: scores, truth [n, k], counts [r, n] -> [k, r]."""
    return np.array([weighted_auc(s, t, counts) for s, t in zip(scores.T, truth.T, strict=True)])


def measure_probe(settings: Settings, patients: int = 1, weights: Path | None = None) -> Path:
    """Fit the probes on the shipped model's tokens (or those of `weights`) and write their answers; the file.

    patients: seed of the test patients, whom no choice has seen. What the same code made from the same weights stays.
    """
    model = load_model(weights, str(device_of(settings))).eval().requires_grad_(False)
    made_from = sha256_json([code_behind(__name__), weights_hash(model), settings.deciding(), patients])
    path = probe_file()
    if path.is_file() and set(pd.read_parquet(path, columns=["made_from"])["made_from"]) == {made_from}:
        return path
    seeds = {split: settings.changed(seed=patients) if split == "test" else settings for split in STUDIES}
    held = {split: what_tokens_hold(model, seeds[split], split, count) for split, count in STUDIES.items()}
    truth = held["test"][1]
    rows = {
        "study": np.repeat([f"test-{i:06d}" for i in range(len(truth))], len(ASKED)),
        "leaf": np.tile(ASKED, len(truth)),
        "affected": truth.ravel(),
    }
    for source in tqdm(held["test"][0], desc="probes", unit="source", leave=False):
        tokens = {split: found[source] for split, (found, _) in held.items()}
        # another patient's: the films in another order, so that the truth is asked of the next one's token
        asked = [tokens["test"], np.roll(tokens["test"], 1, axis=0)] if source == OWN else [tokens["test"]]
        found = answers((tokens["train"], held["train"][1]), (tokens["validation"], held["validation"][1]), asked)
        for name, scores in zip((source, FOREIGN), found, strict=False):
            rows[name] = scores.ravel().astype(np.float32).round(2)  # ranks count, and the file is small
    frame = pd.DataFrame(rows)[["study", "leaf", "affected", *SOURCES]].assign(patients=patients, made_from=made_from)
    with atomic_write(path, "wb") as handle:
        frame.to_parquet(handle, index=False)
    return path


def probe_table(settings: Settings) -> pd.DataFrame:
    """The table probe: leaf (or "mean of leaves"), source, affected (studies), metric, value, low, high, n, seed.

    Metrics: auc, and "auc minus SOURCE", the source's AUC minus that of another, paired by study. settings: say how many
    resamplings. No rows where nothing was measured.
    """
    path = probe_file()
    if settings.dataset != "phantom" or not path.is_file():
        print("probes are asked of phantom patients, by `ssacl probe`; there is nothing to show here")
        return long_table([], ABOUT)
    return areas_told(pd.read_parquet(path), settings.evaluation.bootstrap)


def areas_told(frame: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """`probe_table` of a frame with the columns of the committed file."""
    leaves = list(dict.fromkeys(frame["leaf"]))
    wide = frame.pivot(index="study", columns="leaf")
    truth, seed = wide["affected"][leaves].to_numpy(bool), int(frame["patients"].iloc[0])
    counts = np.vstack([np.ones(len(truth)), resampled_counts(len(truth), resamples, seed)])
    areas = {source: leaf_areas(wide[source][leaves].to_numpy(), truth, counts) for source in SOURCES}
    rows = []
    for source in SOURCES:
        told = {"auc": areas[source]}
        told |= {f"auc minus {rival}": areas[source] - areas[rival] for rival in RIVALS.get(source, ())}
        for metric, found in told.items():
            # the mean is over leaves that have an AUC in this resample: a rare leaf may have nobody affected
            for leaf, affected, draws in zip(
                [MEAN, *leaves],
                [int(truth.any(1).sum()), *truth.sum(0)],
                [np.nanmean(found, 0), *found],
                strict=True,
            ):
                value, low, high = percentile_interval(draws[0], draws[1:])
                about = {"leaf": leaf, "source": source, "affected": int(affected), "method": "shipped"}
                rows.append({**about, "metric": metric, "value": value, "low": low, "high": high,
                             "n": len(truth), "seed": seed})  # fmt: skip
    return long_table(rows, ABOUT)
