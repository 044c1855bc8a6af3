"""`ssacl sight`: does what the prompts saw of this patient reach the report? (ours)

Six decoders (faithful, looking or everywhere; patches open or closed; training/sight.py) write the reports of unseen patients
twice: with the leaf tokens of the patient, and with those of the next one behind the same patches. What another patient's tokens
cost is what the prompts contributed as sight; a prompt that is only a switch costs nothing, for all leaves are open in every row.

Every report's labels go to a committed file, decoder by decoder: started again, it goes on with those that are not there yet.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from .. import paths
from ..datasets.registry import load_evaluation, load_training
from ..metrics.intervals import bootstrap_sums
from ..model.build import load_model
from ..record.manifest import atomic_write
from ..record.sources import code_behind, sha256_json
from ..settings import Settings
from ..text.labeler import label_array
from ..training.sight import PROMPTS, SightDecoder, reports_by, train_decoder
from .inputs import device_of, pixels_of, weights_hash
from .reports import f1_counts, f1_difference
from .results import long_table

PREFIXES, TOKENS = ("patches open", "patches closed"), ("own", "another patient's")
ABOUT = ["prefix", "prompts", "tokens"]
CHUNK = 50


def sight_file() -> Path:
    """The committed file."""
    return paths.DATA / "results" / "sight.parquet"


def measure_sight(settings: Settings, patients: int = 1, weights: Path | None = None) -> Path:
    """Train the decoders of the shipped model (or of `weights`) and score them on test patients of another seed; the file.

    patients: seed of the test patients, whom no choice has seen. A decoder whose rows are there, made by the same code from
    the same weights, is not trained again.
    """
    model = load_model(weights, str(device_of(settings))).eval().requires_grad_(False)
    made_from = sha256_json([code_behind(__name__), weights_hash(model), settings.deciding(), patients])
    train, test = load_training(settings, "train"), load_evaluation(settings.changed(seed=patients), "test")
    path = sight_file()
    for prefix in PREFIXES:
        for prompts in PROMPTS:
            kept = _kept(path, made_from)
            if ((kept["prefix"] == prefix) & (kept["prompts"] == prompts)).any():
                continue
            decoder = train_decoder(model, settings, train, prompts, prefix == "patches closed")
            about = {"prefix": prefix, "prompts": prompts, "patients": patients, "made_from": made_from}
            rows = score_decoder(decoder, model, test).assign(**about)
            with atomic_write(path, "wb") as handle:
                pd.concat([kept, rows] if len(kept) else [rows], ignore_index=True).to_parquet(handle, index=False)
    return path


def _kept(path: Path, made_from: str) -> pd.DataFrame:
    rows = pd.read_parquet(path) if path.is_file() else pd.DataFrame(columns=[*ABOUT, "made_from"])
    return rows[rows["made_from"] == made_from]


def score_decoder(decoder: SightDecoder, model, studies: Sequence) -> pd.DataFrame:
    """One row per study and kind of tokens: study, tokens, generated_labels, reference_labels (14 codes each)."""
    frames, count = [], len(studies)
    for kind in TOKENS:
        texts: list[str] = []
        for start in tqdm(range(0, count, CHUNK), desc=f"reports, {kind} tokens", unit="part", leave=False):
            rows = range(start, min(start + CHUNK, count))
            films = [np.stack([studies[(i + shift) % count].image for i in rows]) for shift in (0, 1)]
            pixels, others = (pixels_of(model, images) for images in films)
            texts += reports_by(decoder, model, pixels, None if kind == "own" else others)
        reference = label_array([studies[i].report for i in range(count)])
        columns = {"generated_labels": list(label_array(texts)), "reference_labels": list(reference)}
        frames.append(pd.DataFrame({"study": [studies[i].study_id for i in range(count)], "tokens": kind, **columns}))
    return pd.concat(frames, ignore_index=True)


def sight_table(settings: Settings) -> pd.DataFrame:
    """The table sight: prefix, prompts, tokens, metric (micro_f1_13 and paired differences), value, low, high, n, seed.

    settings: say how many resamplings; the rows are those of the shipped model, whatever the profile.

    micro_f1_13_minus_own: another patient's tokens minus the own. micro_f1_13_minus_faithful: these prompts minus
    faithful ones. micro_f1_13_minus_everywhere: looking prompts minus those that look everywhere alike.
    No rows where nothing was measured.
    """
    path, rows = sight_file(), []
    if settings.dataset != "phantom" or not path.is_file():
        print("sight is measured on the phantom, by `ssacl sight`; there is nothing to show here")
        return long_table([], ABOUT)
    table = pd.read_parquet(path)
    seed, resamples = int(table["patients"].iloc[0]), settings.evaluation.bootstrap
    groups = dict(list(table.groupby(ABOUT, sort=False)))
    for (prefix, prompts, tokens), group in groups.items():
        found = {"micro_f1_13": (bootstrap_sums(f1_counts(group), _micro_f1, resamples, seed), len(group))}
        rivals = {"own": (prefix, prompts, "own"), "faithful": (prefix, "faithful", tokens)}
        if prompts == "looking":
            rivals["everywhere"] = (prefix, "everywhere", tokens)
        for name, rival in rivals.items():
            if rival != (prefix, prompts, tokens) and rival in groups:
                found[f"micro_f1_13_minus_{name}"] = f1_difference(group, groups[rival], resamples, seed)
        about = {"prefix": prefix, "prompts": prompts, "tokens": tokens, "method": "shipped"}
        rows += [
            {**about, "metric": metric, "value": value, "low": low, "high": high, "n": count, "seed": seed}
            for metric, ((value, low, high), count) in found.items()
        ]
    return long_table(rows, ABOUT)


def _micro_f1(sums: np.ndarray) -> np.ndarray:
    return 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)
