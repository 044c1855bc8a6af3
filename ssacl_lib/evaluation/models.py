"""The models that every table compares, the studies they are compared on, and fingerprints of their weights.

untrained   the same architecture with random weights, and a head fitted on its random features like everybody's
start       the encoder from which this run trains on (settings.model.encoder_weights) and the text side that it learnt
            with, with a head of its own: what was there before the five losses. Left out where training starts at random
this run    trained by notebook 02 in this rebuild
shipped     the checkpoint that comes with the repository; left out where it is missing or takes another image size
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from .. import paths
from ..datasets.registry import load_training, source_for
from ..model.build import build_model, load_model, load_text_side, local_folder, start_tokenizer
from ..model.config import SSACLConfig
from ..record.manifest import require_stage, write_json
from ..record.sources import modules_fingerprint, sha256_file, sha256_json
from ..settings import Settings, load_settings
from ..training.head import fit_head
from ..training.loop import first_films, pretrain, save_model, untrained
from .inputs import device_of

STAGE = "02_pretraining"
START = "start"


def evaluation_models(run, heads: bool = True) -> dict:
    """The models by name, in the order untrained, start, this run, shipped; prints one line where one is left out.

    run: has `.settings` and `.runs`. A notebook opened alone trains a small model itself, as `require_stage` says.
    heads: False where nobody asks for findings: then no head is fitted on the first two, and only the first training films
    are prepared.

    Raises:
        FileNotFoundError: inside of `ssacl rebuild`, where stage 02 has left no model.
    """
    settings = run.settings
    device = device_of(settings)
    folder = Path(run.runs) / "model"
    if not require_stage(run, STAGE, folder / "config.json"):
        folder = small_model(run)
    trained = load_model(folder, device)
    words = trained.processor.language_tokenizer if settings.model.text_weights else trained.processor.text_tokenizer
    models = {"untrained": untrained_model(run, words, device, heads)}
    if settings.model.encoder_weights:
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


def writers(models: dict) -> dict:
    """The models that write reports: all but the start, whose language decoder has learnt nothing."""
    return {name: model for name, model in models.items() if name != START}


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

    return _with_head(run, "untrained", _vocabulary(tokenizer), build, device, heads)


def start_model(run, tokenizer, device: torch.device, heads: bool = True):
    """A model that knows what the start holds and nothing else, with a head fitted on it; kept like the untrained one.

    tokenizer: for a start that holds an encoder alone.
    """
    settings = run.settings
    weights = settings.model.encoder_weights
    folder = local_folder(weights)

    def build():
        own = start_tokenizer(weights)
        model = build_model(settings, own or tokenizer)
        if own is not None:
            load_text_side(model, weights)
        return model

    files = sorted(folder.glob("*.safetensors")) if folder else []
    source = sha256_json([weights, *map(sha256_file, files), _vocabulary(tokenizer)])
    return _with_head(run, START, source, build, device, heads)


def _vocabulary(tokenizer) -> str:
    return sha256_json(sorted(tokenizer.get_vocab().items()))


def _with_head(run, name: str, source: str, build: Callable, device: torch.device, heads: bool):
    """A built model with a head fitted on its encoder, kept under the run's folder until settings, source or code change.

    heads: False takes the kept one where it is there, and else builds one without a fitted head, which is not kept.
    """
    settings, folder = run.settings, Path(run.runs) / name
    films = source_for(settings, "train").fingerprint
    code = modules_fingerprint("training.loop", "training.head", "model.build")
    made_from = [settings.model_dump(include={"data", "model", "training", "seed"}), films, source, code]
    key = {"made from": sha256_json(made_from)}
    if not _same_key(folder / "key.json", key):
        model = build().to(device)
        if not heads:
            return model.eval()
        fit_head(model, load_training(settings, "train"), load_training(settings, "validation"), settings.seed)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(model, folder)
        write_json(folder / "key.json", key)
    return load_model(folder, device)


def small_model(run) -> Path:
    """Train on as few studies and images as the smoke profile does, for a notebook that is opened before notebook 02 has run."""
    settings, folder = run.settings, Path(run.runs) / "small_model"
    few = load_settings("smoke")
    training = settings.training.model_copy(
        update={"images": few.training.images, "warmup_images": few.training.warmup_images}
    )
    splits = ("train_studies", "validation_studies")
    data = settings.data.model_copy(
        update={split: min(getattr(settings.data, split), getattr(few.data, split)) for split in splits}
    )
    small = settings.model_copy(update={"training": training, "data": data})
    key = {
        "made from": sha256_json([small.model_dump(mode="json"), modules_fingerprint("training.loop", "training.head")])
    }
    if not _same_key(folder / "key.json", key):
        for old in folder.glob("checkpoint*"):
            old.unlink()
        pretrain(small, folder)
        model = load_model(folder, device_of(settings))
        fit_head(model, load_training(small, "train"), load_training(small, "validation"), small.seed)
        save_model(model, folder)
        write_json(folder / "key.json", key)
    return folder


def _same_key(path: Path, key: dict) -> bool:
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")) == key
