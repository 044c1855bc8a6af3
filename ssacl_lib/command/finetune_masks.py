"""`ssacl finetune --task masks`: a reader's own films with masks, segmented by the decoder of the downstream tasks.

First the decoder learns on the frozen encoder, then on a copy of it that learns along. Each has a folder below OUT with its
weights; the state of a training lies there while it runs, so a run that was killed goes on.
"""

from pathlib import Path

import pandas as pd
from safetensors.torch import load_file

from .. import paths
from ..datasets.mask_folder import load_mask_folder, patients_of, stamps_of, stem_of
from ..downstream.encoders import Encoder
from ..downstream.segmentation import FROZEN, IMAGES, OWN, TUNED, Segmenter, scored
from ..downstream.segmentation_tables import dice_numbers, films_behind
from ..metrics.intervals import percentile_interval
from ..metrics.overlap import dice_per_film
from ..record.kept import keep
from ..record.manifest import write_json
from ..record.sources import code_behind, sha256_json
from ..settings import load_settings
from ..training.state import write_tensors
from .finetune import MOST_VISITS, NOTE, PREDICTIONS, TABLE, readable_films, same_work, side_of, write_csv

WEIGHTS, STATE = "segmenter.safetensors", "training.safetensors"
COUNTS = ["common", "found", "there"]


def finetune_masks(folder: Path, weights: str | None, out: Path, seed: int = 0, device: str = "auto") -> pd.DataFrame:
    """Learn the masks of a folder; see `ssacl finetune --help` and datasets/mask_folder.py.

    Returns the table: way (frozen | fine-tuned), finding, threshold, metric (as in `segmentation_table`), value, low, high, n
    (test films, of dice_without_empty those that have the finding).

    Raises:
        FileNotFoundError: no such folder or weights.
        ValueError: an error in the folder.
    """
    path = str(weights or paths.SHIPPED_CHECKPOINT)
    settings = load_settings("cpu", seed=seed, device=device)
    encoder = Encoder(Path(path).name, seed, settings, path)
    side = side_of(encoder)
    films = load_mask_folder(folder, side, seed)
    for split, own in films.items():
        print(f"{split}: {len(own)} films, " + ", ".join(
            f"{number} with {finding}" for finding, number in zip(own.findings, own.present.sum(0), strict=True)
        ))  # fmt: skip
        for reason in own.skipped:
            print(f"  left out: {reason}")
    brought = sha256_json(stamps_of(folder))
    parts = {"set of films": brought, "encoder": encoder.recipe, "seed": seed, "code": code_behind(__name__)}
    parts |= readable_films({split: own.names for split, own in films.items()})
    same_work(out, parts)
    write_json(out / NOTE, parts)
    rows, predicted = [], []
    for way in (FROZEN, TUNED):
        images = min(IMAGES[way], MOST_VISITS * len(films["train"]))

        def learn(place: Path, way: str = way, images: int = images) -> None:
            print(f"{way}: {images} films are seen", flush=True)
            own = Segmenter.fitted(encoder.model(), films["train"], way, seed, images, place / STATE)
            learnt = {name: value.detach().cpu().contiguous() for name, value in own.learnt.state_dict().items()}
            write_tensors(place / WEIGHTS, learnt)
            (place / STATE).unlink(missing_ok=True)

        kept = keep(out / way, {name: str(value) for name, value in parts.items()}, learn)
        segmenter = Segmenter(encoder.model(), len(films["train"].findings), side, way == TUNED)
        segmenter.learnt.load_state_dict(load_file(kept / WEIGHTS))
        segmenter.decoder.eval()
        told = scored(segmenter.probabilities, films["validation"], films["test"])
        told = told[told["control"] == OWN].assign(way=way)
        rows += table_rows(told, settings, patients_of(folder))
        predicted.append(told.assign(dice=dice_per_film(told[COUNTS].to_numpy())))
    found = pd.DataFrame(rows)
    write_csv(out / TABLE, found)
    columns = ["study", "way", "finding", "threshold", "at", *COUNTS, "dice", "mask"]
    write_csv(out / PREDICTIONS, pd.concat(predicted)[columns].rename(columns={"study": "image"}))
    return found


def table_rows(told: pd.DataFrame, settings, patients: dict[str, str]) -> list[dict]:
    """Rows of the table of one way; intervals draw patients. patients: of films whose table names one, by name without ending."""
    rows = []
    for (way, finding, threshold), frame in told.groupby(["way", "finding", "threshold"], sort=False):
        for metric, draws in dice_numbers(
            frame, settings, [patients.get(stem_of(name), name) for name in frame["study"]]
        ):
            value, low, high = percentile_interval(float(draws[0]), draws[1:])
            count = films_behind(metric, frame)
            about = {"way": way, "finding": finding, "threshold": threshold, "metric": metric}
            rows.append({**about, "value": value, "low": low, "high": high, "n": count})
    return rows
