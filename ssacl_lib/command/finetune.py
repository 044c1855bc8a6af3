"""`ssacl finetune`: an encoder, a folder of films and a table of labels, by the code of the downstream tasks.

What is finished stays: features of the films, and per way and share of the labels a file of scores. A run that was killed in
the middle of a fine-tuning goes on from its last saving.
"""

import copy
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..baselines.outside import VisionModel
from ..datasets.labelled import LabelledFilms, picture_path, read_label_table, readable
from ..datasets.pictures import stamp
from ..datasets.table_checks import check_films, check_patients
from ..downstream import fine_tuning
from ..downstream.encoders import Encoder, pooled_features
from ..downstream.films import nested_rows
from ..downstream.fine_tuning import FULL, PROBE, Classifier, Probes, answers, fit_probes, tuned
from ..images import read_film
from ..metrics.intervals import mean_auc
from ..record.manifest import atomic_write, read_json, write_json
from ..record.sources import code_behind, sha256_json
from ..settings import Settings, load_settings
from ..training.state import write_tensors
from .arguments import FINETUNED

SHARES = (1.0, 10.0, 100.0)
"""Percent of the labels."""

MOST_VISITS = 50
"""A film is seen at most so often in a fine-tuning: a small folder takes less time."""

MEAN = "mean of labels"
NOTE, TABLE, PREDICTIONS, SKIPPED = "finetune.json", "table.csv", "predictions.csv", "skipped.csv"


def finetune_labels(
    folder: Path, table: Path, weights: str | None, out: Path, seed: int = 0, device: str = "auto"
) -> pd.DataFrame:
    """Fine-tune on the films of a folder by a table of labels; see `ssacl finetune --help`.

    Returns the table: way, labels (percent), films, label (or "mean of labels"), auc, low, high, n (test films). AUC is empty
    where no test film has the label, or all have; such a label is named before anything is learnt.

    Raises:
        FileNotFoundError: no such folder, table or weights.
        ValueError: an error in the table, no label that films with and without it could teach or test, or `out` holds the
            work of another call.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of films")
    named = table_file(folder, table)
    listed = read_label_table(named, seed)
    check_films(named, listed["image"], lambda name: picture_path(folder, name))
    check_patients(named, listed)
    path = str(weights or paths.SHIPPED_CHECKPOINT)
    settings = load_settings("cpu", seed=seed, device=device)
    encoder = Encoder(Path(path).name, seed, settings, path)
    pictures = [
        [name, *stamp(picture_path(folder, name))] for name in listed["image"]
    ]  # features are kept by their places
    parts = {"table": sha256_json(listed.to_csv(index=False)), "encoder": encoder.recipe, "seed": seed,
             "set of films": sha256_json([str(folder.resolve()), pictures]), "code": code_behind(__name__)}  # fmt: skip
    same_work(out, parts)
    films = {split: _films(folder, listed, split, side_of(encoder)) for split in ("train", "validation", "test")}
    parts |= readable_films({split: own.ids for split, own in films.items()})
    same_work(out, parts)
    _say_constant(films)
    write_json(out / NOTE, parts)
    _write_skipped(folder, listed, films, out / SKIPPED)
    features = {split: _features(encoder, own, out / f"features_{split}.npy") for split, own in films.items()}
    patient_of = listed.set_index("image")["patient"]
    patients = [patient_of[name] for name in films["test"].ids]
    rows, predicted = [], None
    for share in SHARES:
        chosen = nested_rows(len(films["train"]), share, 0)
        _say_constant_among(films["train"], chosen, share)
        probes = fit_probes(
            features["train"][chosen], films["train"].truth[chosen], features["validation"], films["validation"].truth
        )
        rows += _rows(PROBE, share, len(chosen), films["test"], probes.scores(features["test"]), settings, patients)
        predicted = _tuned(encoder, films, chosen, share, probes, out, settings)
        rows += _rows(FULL, share, len(chosen), films["test"], predicted["test"], settings, patients)
    found = pd.DataFrame(rows)
    write_csv(out / TABLE, found)
    write_csv(out / PREDICTIONS, _predictions(films, predicted))
    return found


def table_file(folder: Path, table: Path) -> Path:
    """The table: as it is named from here, else in the folder of the films; where both are there, that is said."""
    here, there = table, folder / table
    if here.is_file() and there.is_file() and not here.samefile(there):
        print(f"ssacl: the labels are read from {here}, not from {there}, which is there as well", file=sys.stderr)
    return here if here.is_file() else there


def _say_constant(films: dict[str, LabelledFilms]) -> None:
    """Name labels that all films of a split have, or none: nothing can be learnt of them, or measured.

    Raises:
        ValueError: in training or test films all labels are so.
    """
    constant = {split: _constant(own.truth) for split, own in films.items()}
    for split in ("train", "test"):
        if constant[split].all():
            raise ValueError(
                f"no label tells the {len(films[split])} films of the split {split} apart: each is 0, or 1, on all of them; list "
                "films with and without it, or name other splits in the column split"
            )
    follows = {
        "train": "nothing is learnt of it",
        "validation": "nothing is chosen by it",
        "test": "its AUC stays empty, and the mean is one of the other labels",
    }
    for split, names in constant.items():
        own = films[split]
        for name, value in zip(np.array(own.names)[names], own.truth[0, names], strict=True):
            told = "all" if value else "none"
            print(f"{name}: {told} of the {len(own)} films of the split {split} have it: {follows[split]}")


def _constant(truth: np.ndarray) -> np.ndarray:
    """Labels [k] that all of the films [n, k] have, or none."""
    return truth.all(0) | ~truth.any(0)


def _say_constant_among(films: LabelledFilms, chosen: np.ndarray, share: float) -> None:
    """Name the labels that the films of a share don't tell apart, though all training films do."""
    names = [films.names[k] for k in np.flatnonzero(_constant(films.truth[chosen]) & ~_constant(films.truth))]
    if names:
        print(
            f"{share:g} % of the labels: all of these {len(chosen)} films have, or none has: {', '.join(names)}; they can't "
            "teach it, and its numbers at this share say nothing"
        )


def _write_skipped(folder: Path, listed: pd.DataFrame, films: dict[str, LabelledFilms], path: Path) -> None:
    """image, split and reason of the listed films that can't be read; no file where all can."""
    read, rows = {name for own in films.values() for name in own.ids}, []
    for name, split in listed.loc[~listed["image"].isin(read), ["image", "split"]].to_numpy():
        reason = "left out, but it can be read by now: start anew"
        try:
            read_film(picture_path(folder, name))
        except (ValueError, OSError) as error:
            reason = str(error)
        rows.append({"image": name, "split": split, "reason": reason})
    path.unlink(missing_ok=True)
    if rows:
        write_csv(path, pd.DataFrame(rows))
        print(f"films that can't be read are listed in {path}")


def same_work(out: Path, parts: dict) -> None:
    """ValueError where the folder holds something made from other parts; the caller notes them once nothing is in the way."""
    kept = read_json(out / NOTE)
    if kept and (other := [name for name, value in parts.items() if kept.get(name) != value]):
        raise ValueError(f"{out}: was begun with another {other[0]}; name another --out, or remove it")


def readable_films(names: dict[str, list[str]]) -> dict[str, str]:
    """The part that says which films of a split could be read: a reader that is installed later opens more of the same ones,
    and features are kept by their places."""
    return {"set of readable films": sha256_json({split: list(own) for split, own in names.items()})}


def side_of(encoder: Encoder) -> int:
    """Pixels of the square film that an encoder takes."""
    model = encoder.model()
    return model.side if isinstance(model, VisionModel) else model.config.image_size


def _films(folder: Path, listed: pd.DataFrame, split: str, side: int) -> LabelledFilms:
    own = listed[listed["split"] == split]
    names = [name for name in listed if name not in ("image", "patient", "split")]
    return readable(own["image"], own[names].to_numpy(bool), names, folder, side)


def _features(encoder: Encoder, films: LabelledFilms, path: Path) -> np.ndarray:
    """Pooled features [n, D], kept in a file."""
    if not path.is_file():
        found = pooled_features(encoder, films.images, np.arange(len(films)))
        with atomic_write(path, "wb") as handle:
            np.save(handle, found)
    return np.load(path)


def _tuned(
    encoder: Encoder, films: dict, chosen: np.ndarray, share: float, probes: Probes, out: Path, settings: Settings
) -> dict[str, np.ndarray]:
    """Logits [n, k] of every split by the encoder that learnt from the chosen films, kept in a file; at the end its weights."""
    path = out / f"full_{share:g}.npz"
    if not path.is_file():
        print(f"the whole encoder on {len(chosen)} films ({share:g} % of the labels)", flush=True)
        images = min(fine_tuning.IMAGES[share], MOST_VISITS * len(chosen))
        model = copy.deepcopy(encoder.model())
        state = out / f"full_{share:g}_state.safetensors"
        network = tuned(model, films["train"], chosen, images, probes, settings, state)
        if share == SHARES[-1]:
            _save(network, films["train"].names, out)
        with atomic_write(path, "wb") as handle:
            np.savez(handle, **{split: answers(network, own) for split, own in films.items()})
        state.unlink()
    with np.load(path) as kept:
        return dict(kept)


def _save(network: Classifier, labels: Sequence[str], out: Path) -> None:
    """The encoder as a folder that `--weights` takes, and the linear map behind it."""
    model = network.model
    for part in (model.model, model.processor) if isinstance(model, VisionModel) else (model,):
        part.save_pretrained(out / "encoder")
    write_json(out / "encoder" / FINETUNED, {"labels": list(labels)})
    head = {"mean": network.mean, "deviation": network.deviation, **network.head.state_dict()}
    write_tensors(out / "head.safetensors", {name: tensor.detach().cpu().contiguous() for name, tensor in head.items()})
    write_json(
        out / "head.json",
        {"labels": list(labels), "reads": "(pooled features - mean) / deviation, then the linear map"},
    )


def _rows(
    way: str,
    share: float,
    count: int,
    test: LabelledFilms,
    scores: np.ndarray,
    settings: Settings,
    patients: Sequence[str],
) -> list[dict]:
    """Rows of the table: each label, and their mean; intervals draw patients."""
    each, mean = mean_auc(scores, test.truth, settings.evaluation.bootstrap, settings.seed, patients)
    about = {"way": way, "labels": f"{share:g} %", "films": count}
    return [{**about, "label": name, "auc": told.value, "low": told.low, "high": told.high, "n": len(test)}
            for name, told in zip((MEAN, *test.names), (mean, *each), strict=True)]  # fmt: skip


def _predictions(films: dict[str, LabelledFilms], logits: dict[str, np.ndarray]) -> pd.DataFrame:
    """image, split, and a probability per label, of every film; those of training films are no evidence."""
    frames = []
    for split, own in films.items():
        frame = pd.DataFrame(1 / (1 + np.exp(-logits[split])), columns=list(own.names))
        frame.insert(0, "image", own.ids)
        frame.insert(1, "split", split)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Atomically, six digits, without the row numbers; raises OSError where the folder can't be written to."""
    with atomic_write(path) as handle:
        frame.to_csv(handle, index=False, float_format="%.6g", lineterminator="\n")
