"""The models that every table compares.

untrained   the same architecture with random weights, and a head fitted on its random features like everybody's
start       the encoder from which this run trains on (settings.model.encoder_weights) and the text side that it learnt
            with, with a head of its own: what was there before the five losses. Left out where training starts at random,
            and where a notebook is opened before the start is made
this run    trained by notebook 02 in this rebuild
shipped     the checkpoint that comes with the repository; left out where it is missing or takes another image size

Trained folders are made again when their settings, studies, start or code change (`record/kept.py`). A notebook that was
opened by hand reads what a rebuild has trained if it was made from the same, and makes its own where it was not.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from .. import paths
from ..datasets.registry import load_training
from ..model.build import build_model, load_model
from ..model.config import SSACLConfig
from ..model.start import load_text_side, start_tokenizer
from ..record.kept import keep, made_from
from ..record.manifest import REBUILD_VARIABLE, require_stage
from ..record.sources import sha256_json
from ..record.starts import to_be_made
from ..settings import Settings, load_settings
from ..training import checkpoints
from ..training.head import fit_head
from ..training.loop import TrainingResult
from ..training.state import save_model
from ..training.untrained import first_films, untrained
from .inputs import START, device_of

STAGE = "02_pretraining"


def pretrained(run) -> TrainingResult:
    """The model of this run, pretrained by its settings and with a fitted head; one that is there already is read.

    run: has `.settings` and `.runs`. A training that was killed goes on. A start below runs/ that is not there is made first.
    """
    checkpoints.ensure_start(run.settings)
    parts = checkpoints.made_from(run.settings)
    folder = _found(run, "model", parts) or keep(
        Path(run.runs) / "model", parts, lambda out: checkpoints.make_checkpoint(run.settings, out)
    )
    return TrainingResult(folder, pd.read_csv(folder / "history.csv"))


def evaluation_models(run, heads: bool = True) -> dict:
    """The models by name, in the order untrained, start, this run, shipped; prints one line where one is left out.

    run: has `.settings` and `.runs`. A notebook opened alone trains a small model itself, as `require_stage` says.
    heads: False where nobody asks for findings: then no head is fitted on the first two, and only the first training films
    are prepared.

    Raises:
        FileNotFoundError: inside of `ssacl rebuild`, where stage 02 has left no model of these settings and this code.
    """
    settings = run.settings
    device = device_of(settings)
    folder = _found(run, "model", checkpoints.made_from(settings))
    if not require_stage(run, STAGE, Path(run.runs) / "model", folder is not None):
        folder = small_model(run)
    trained = load_model(folder, device)
    words = trained.processor.language_tokenizer if settings.model.text_weights else trained.processor.text_tokenizer
    models = {"untrained": untrained_model(run, words, device, heads)}
    if settings.model.encoder_weights and not to_be_made(settings.model.encoder_weights):
        models[START] = start_model(run, words, device, heads)
    models["this run"] = trained
    shipped = shipped_checkpoint(settings)
    if shipped is not None:
        models["shipped"] = load_model(shipped, device)
    return models


def shipped_checkpoint(settings: Settings) -> Path | None:
    """The shipped checkpoint's folder, or None (and a printed line) where it can't be compared at this image size."""
    folder = paths.SHIPPED_CHECKPOINT
    if not (folder / "config.json").is_file():
        print(f"no shipped checkpoint in {folder.name}/: the tables go without it")
        return None
    size = SSACLConfig.from_pretrained(folder).image_size
    if size != settings.data.image_size:
        print(
            f"the shipped checkpoint takes {size} px, this profile {settings.data.image_size}: the tables go without it"
        )
        return None
    return folder


def grounders(run, models: dict) -> dict:
    """The models that can point at a phrase: the start only where its folder holds a text side; else a line says so."""
    weights = run.settings.model.encoder_weights
    if START not in models or start_tokenizer(weights) is not None:
        return models
    print(f"{weights} holds an encoder without a text side: the start is left out where phrases are grounded")
    return {name: model for name, model in models.items() if name != START}


def untrained_model(run, tokenizer, device: torch.device, heads: bool = True):
    """The untrained model with a fitted head, saved under the run's folder and made again when the settings change."""

    def build():
        return untrained(run.settings, load_training(first_films(run.settings), "train"), tokenizer)

    return _with_head(run, "untrained", tokenizer, build, device, heads)


def start_model(run, tokenizer, device: torch.device, heads: bool = True):
    """A model that knows what the start holds and nothing else, with a head fitted on it; kept like the untrained one.

    tokenizer: for a start that holds an encoder alone.
    """
    settings = run.settings
    weights = settings.model.encoder_weights

    def build():
        own = start_tokenizer(weights)
        model = build_model(settings, own or tokenizer)
        if own is not None:
            load_text_side(model, weights)
        return model

    return _with_head(run, START, tokenizer, build, device, heads)


def _with_head(run, name: str, tokenizer, build: Callable, device: torch.device, heads: bool):
    """A built model with a head fitted on its encoder, kept under the run's folder (see the top).

    heads: False takes the kept one where it is there, and else builds one without a fitted head, which is not kept.
    """
    settings = run.settings

    def make(folder: Path) -> None:
        model = build().to(device)
        fit_head(model, load_training(settings, "train"), load_training(settings, "validation"), settings.seed)
        save_model(model, folder)

    parts = {**checkpoints.made_from(settings), "the words": sha256_json(sorted(tokenizer.get_vocab().items()))}
    folder = _found(run, name, parts)
    if folder is None and not heads:
        return build().to(device).eval()
    return load_model(folder or keep(Path(run.runs) / name, parts, make), device)


def small_model(run) -> Path:
    """Train on as few studies and images as the smoke profile does, for a notebook that is opened before notebook 02 has run."""
    few, data = load_settings("smoke"), run.settings.data
    small = run.settings.changed(
        **{
            "training.images": few.training.images,
            "training.warmup_images": few.training.warmup_images,
            "data.train_studies": min(data.train_studies, few.data.train_studies),
            "data.validation_studies": min(data.validation_studies, few.data.validation_studies),
        }
    )
    if to_be_made(small.model.encoder_weights):  # longer than all the rest
        small = small.changed(**{"model.encoder_weights": None})
    parts = checkpoints.made_from(small)
    return keep(Path(run.runs) / "small_model", parts, lambda out: checkpoints.make_checkpoint(small, out))


def _found(run, name: str, parts: dict) -> Path | None:
    """A folder that was finished from these parts: the run's own or, for a notebook opened by hand, the rebuild's."""
    places = [Path(run.runs)]
    if not os.environ.get(REBUILD_VARIABLE):
        places.append(run.settings.changed(out_dir=None).runs)
    return next((place / name for place in places if made_from(place / name) == parts), None)
