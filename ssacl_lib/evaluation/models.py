"""The models that every table compares, the studies they are compared on, and fingerprints of their weights.

untrained   the same architecture with random weights, and a head fitted on its random features like everybody's
this run    trained by notebook 02 in this rebuild
shipped     the checkpoint that comes with the repository; left out where it is missing or takes another image size
"""

import json
from pathlib import Path

import torch

from .. import paths
from ..datasets.registry import load_training
from ..model.build import load_model
from ..model.config import SSACLConfig
from ..record.manifest import require_stage, write_json
from ..record.sources import modules_fingerprint, sha256_json
from ..settings import Settings, load_settings
from ..training.head import fit_head
from ..training.loop import pretrain, save_model, untrained
from .inputs import device_of

STAGE = "02_pretraining"


def evaluation_models(run) -> dict:
    """The models by name, in the order untrained, this run, shipped; prints one line where one is left out.

    run: has `.settings` and `.runs`. A notebook opened alone trains a small model itself, as `require_stage` says.

    Raises:
        FileNotFoundError: inside of `ssacl rebuild`, where stage 02 has left no model.
    """
    settings = run.settings
    device = device_of(settings)
    models = {"untrained": untrained_model(run, device)}
    folder = Path(run.runs) / "model"
    if not require_stage(run, STAGE, folder / "config.json"):
        folder = small_model(run)
    models["this run"] = load_model(folder, device)
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


def untrained_model(run, device: torch.device):
    """The untrained model with a fitted head, saved under the run's folder and made again when the settings change."""
    settings, folder = run.settings, Path(run.runs) / "untrained"
    train = load_training(settings, "train")
    code = modules_fingerprint("training.loop", "training.head")
    key = {
        "made from": sha256_json(
            [settings.model_dump(include={"data", "model", "training", "seed"}), train.folder.name, code]
        )
    }
    if not _same_key(folder / "key.json", key):
        model = untrained(settings, train).to(device)
        fit_head(model, train, load_training(settings, "validation"), settings.seed)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(model, folder)
        write_json(folder / "key.json", key)
    return load_model(folder, device)


def small_model(run) -> Path:
    """Train as few images as the smoke profile does, for a notebook that is opened before notebook 02 has run."""
    settings, folder = run.settings, Path(run.runs) / "small_model"
    few = load_settings("smoke").training
    changes = {"images": few.images, "warmup_images": few.warmup_images}
    small = settings.model_copy(update={"training": settings.training.model_copy(update=changes)})
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
