"""How small should a patch be? The same recipe with patches of several sizes, scored on validation studies (`ssacl size`).

The grid of patches bounds what a map can show: a true mask, one number per patch, points at a leaf in .78 of the cases on 8 x 8
patches, in .95 on 12 x 12. Small patches cost time: twice as many tokens for each film. So each size gets a start of its own,
made like the shipped one, trains on for as many images as the profile, and is scored with the masks and the smoothing that
suit it, the start as well (0 images). Test studies stay unseen.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F
from tqdm import tqdm

from .. import paths
from ..datasets.registry import load_evaluation
from ..model.build import build_model, load_model
from ..model.maps import masked_embeddings, random_keeps, to_image, visibility_effect
from ..model.start import load_text_side, start_tokenizer
from ..record.manifest import atomic_write
from ..settings import Settings
from ..training.checkpoints import make_checkpoint
from .benchmarks import script
from .findings import auc_rows, probabilities_of, reference_of
from .grounding import score_map
from .inputs import device_of, pixels_of
from .results import ENDING, mean_rows
from .targets import collect_targets

RESULTS = paths.DATA / "results" / "size.csv"
PATCHES = (12, 8)
MASKS = (128, 256)
SMOOTHING = (6, 9, 12, 16)
"""Standard deviations of the smoothing of a masked map, in pixels of the film."""

SIDED = "own, side named"
"""The control "own" of the phrases that have a swapped side alone, to stand beside it."""

ROUNDS = 15
"""Training steps of each size, in turns."""

NAMES = {"own": "", SIDED: "_sided", "swapped side": "_swapped_side"}
THIN = {"Pleural Other": "auc_pleural_other", "Support Devices": "auc_support_devices"}
"""Findings that are thin lines, for which small patches might be needed -> the metric of their AUC."""

METRICS = ("auc", *THIN.values(), "pointing", "cnr", "pointing_sided", "pointing_swapped_side", "time_ratio")
SHOWN = ("patch", "images", "masks", "smoothing", *ENDING)
COLUMNS = ("patch", "images", "about", "masks", "smoothing", "finding", "control", *ENDING)


def measure_size(settings: Settings, patches: Sequence[int] = PATCHES, out: Path | None = None) -> pd.DataFrame:
    """Make the starts and the models that are not there, score them, and write the table (default `data/results/size.csv`).

    settings: a profile's. Killed and started again, it goes on where it was.
    Columns: patch (pixels), images (of the training after the start), about ("findings" | "masked maps" | "speed"), masks (K),
    smoothing (pixels), finding, control, method, metric, value, low, high, n, seed; speed is a ratio to the first size.
    """
    sizes = [size_settings(settings, patch) for patch in patches]
    frames = [scored(size) for size in sizes]
    frame = pd.concat([*frames, pd.DataFrame(step_rows(sizes))], ignore_index=True).reindex(columns=list(COLUMNS))
    with atomic_write(Path(out or RESULTS)) as handle:
        frame.to_csv(handle, index=False, float_format="%.6g", lineterminator="\n")
    return frame


def size_settings(settings: Settings, patch: int) -> Settings:
    """The settings with patches of this size, starting from a start of this size (the profile's own, or below runs/size)."""
    if patch == settings.model.patch_size:
        return settings
    start = f"runs/size/start-{patch}"
    return settings.changed(**{"model.patch_size": patch, "model.encoder_weights": start})


def scored(settings: Settings) -> pd.DataFrame:
    """Train by the settings, from a start that is made like the shipped one (or find both), and score on validation studies."""
    folder = paths.RUNS / "size" / f"model-{settings.model.patch_size}-{settings.training.images}"
    make_checkpoint(settings, folder, "ssacl size")
    model = load_model(folder, device_of(settings))
    studies = list(load_evaluation(settings, "validation"))
    about = {"patch": settings.model.patch_size, "images": settings.training.images, "method": "SS-ACL"}
    _, present = reference_of(studies)
    rows = auc_rows({**about, "about": "findings"}, probabilities_of(model, studies), present, settings)
    rows += masked_rows(model, studies, settings, {**about, "about": "masked maps"})
    before = {**about, "images": 0, "method": "start", "about": "masked maps"}
    return pd.DataFrame(rows + masked_rows(start_of(settings), studies, settings, before))


def start_of(settings: Settings):
    """A model that knows what the settings' start holds, and nothing else."""
    weights = settings.model.encoder_weights
    model = build_model(settings, start_tokenizer(weights))
    load_text_side(model, weights)
    return model.to(device_of(settings)).eval()


def step_rows(sizes: Sequence[Settings]) -> list[dict]:
    """Seconds of a training step of each size over those of the first one, in turns (benchmarks/training_step.py)."""
    steps, timing = script("training_step"), script("timing")
    precision = script("workload").precisions(device_of(sizes[0]))[0]
    built = {str(size.model.patch_size): steps.trainer("paper", size, device_of(sizes[0]), precision) for size in sizes}
    seconds = timing.alternate(built, ROUNDS, device_of(sizes[0]), warm_up=2)
    first = next(iter(seconds.values()))
    rows = []
    for size, (patch, spent) in zip(sizes, seconds.items(), strict=True):
        told = timing.paired_ratio("step", "time_ratio", spent, first, size.seed)
        about = {"patch": int(patch), "images": size.training.images, "about": "speed", "method": "SS-ACL"}
        rows.append({**about, **{name: told[name] for name in ("metric", "value", "low", "high", "n", "seed")}})
    return rows


@torch.no_grad()
def masked_rows(model, studies: Sequence, settings: Settings, about: dict) -> list[dict]:
    """Pointing and CNR of masked maps under each number of masks and each smoothing: long rows per control."""
    by_study: dict[int, list] = {}
    for target in collect_targets(studies, settings.seed):
        by_study.setdefault(target.study, []).append(target)
    found = []
    for number, members in tqdm(by_study.items(), desc="masked maps", unit="image", leave=False):
        texts = list(dict.fromkeys(text for target in members for text in target.texts.values()))
        words = F.normalize(model.text_embedding(texts).float(), dim=-1)
        pixels = pixels_of(model, studies[number].image[None])
        for masks in MASKS:
            keeps = random_keeps(model, masks, settings.seed)
            fits = masked_embeddings(model, pixels, keeps) @ words.T
            effect = visibility_effect(fits, keeps, model.config.patches)
            effect = effect - effect.mean(-1, keepdim=True)
            for pixels_wide in SMOOTHING:
                sigma = pixels_wide / model.config.patch_size
                maps = to_image(effect, model, sigma, "constant")[0].cpu().numpy()
                for target in members:
                    for control, text in target.texts.items():
                        score = score_map(maps[texts.index(text)], target.mask, target.film)
                        about_map = {"study": number, "masks": masks, "smoothing": pixels_wide, **score}
                        found.append({**about_map, "control": control})
                        if control == "own" and "swapped side" in target.texts:
                            found.append({**about_map, "control": SIDED})
    frame = pd.DataFrame(found)
    rows = []
    for (masks, smoothing, control), group in frame.groupby(["masks", "smoothing", "control"], sort=False):
        which = {**about, "masks": masks, "smoothing": smoothing, "control": control}
        rows += mean_rows(which, group[["pointing", "cnr"]], np.asarray(group["study"]), settings)
    return rows


def size_table(path: Path | None = None) -> pd.DataFrame:
    """What `measure_size` left, a few rows per size and stage: those of the masks and the smoothing that point best.

    Columns: patch, images, masks, smoothing, method, metric, value, low, high, n, seed. Metrics: auc (mean of findings),
    those of THIN, pointing, cnr, pointing_sided (of phrases that name a side), pointing_swapped_side (with the other side),
    time_ratio (of a training step, to the first size). Masks and smoothing are chosen on the studies that are shown, for
    every size alike.
    """
    path = Path(path or RESULTS)
    if not path.is_file():
        return pd.DataFrame(columns=list(SHOWN))
    frame, rows = pd.read_csv(path), []
    maps = frame[frame["about"] == "masked maps"].assign(
        metric=lambda rows: rows["metric"] + rows["control"].map(NAMES)
    )
    for _, part in maps.dropna(subset=["metric"]).groupby(["patch", "images"], sort=False):
        best = part[part["metric"] == "pointing"].sort_values("value").iloc[-1]
        rows.append(part[part["masks"].eq(best["masks"]) & part["smoothing"].eq(best["smoothing"])])
    others = frame[frame["finding"].eq("mean of findings") | frame["about"].eq("speed")]
    thin = frame[frame["finding"].isin(list(THIN)) & frame["metric"].eq("auc")]
    thin = thin.assign(metric=thin["finding"].map(THIN))
    kept = pd.concat([*rows, others, thin], ignore_index=True).reindex(columns=list(SHOWN))
    kept[["masks", "smoothing"]] = kept[["masks", "smoothing"]].astype("Int64")
    return kept[kept["metric"].isin(METRICS)].sort_values(
        ["patch", "images"], ascending=[False, True], ignore_index=True
    )
