"""Pretraining: one plain loop on accelerate; killed and resumed gives the same weights as never killed."""

import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from .batches import TrainingBatches
from .datasets import load_training
from .model import Batch, SSACLModel
from .model.build import build_model
from .model.encoder import has_fast_bfloat16, keep_lowest
from .settings import Settings
from .text.tokenizer import train_tokenizer

LOG_EVERY = 25  # steps averaged into one point of the loss curve


@dataclass(frozen=True)
class TrainingResult:
    """folder: the trained model (from_pretrained). history: columns images, split, term, value."""

    folder: Path
    history: pd.DataFrame


def learning_rate_scale(images: int, warmup: int, total: int) -> float:
    """Linear from (almost) 0 over `warmup` images, then half a cosine to 0 at `total`."""
    if images < warmup:
        return max(1e-3, images / warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (images - warmup) / max(1, total - warmup))))


def parameter_groups(model: SSACLModel, settings: Settings) -> list[dict]:
    """The release's groups: no weight decay on 1-D parameters (position_weight excepted), the GPT at its own rate."""
    groups: dict[tuple[float, float], list] = {}
    for name, parameter in model.named_parameters():
        plain = parameter.ndim == 1 and name != "position_weight" or name == "position_bias"
        decay = 0.0 if plain else settings.training.weight_decay
        scale = settings.training.language_rate_scale if name.startswith("language.gpt.") else 1.0
        groups.setdefault((decay, scale), []).append(parameter)
    return [{"params": members, "weight_decay": decay, "scale": scale} for (decay, scale), members in groups.items()]


def weighted_sum(terms: dict[str, torch.Tensor], settings: Settings) -> torch.Tensor:
    """Total loss: L_ir + L_ar + 0.15 L_cl + L_ac + L_lm with the profile's weights."""
    weights = settings.training.loss_weights.model_dump()
    return sum(weight * terms[name] for name, weight in weights.items() if weight)


def mixed_precision(settings: Settings) -> str:
    """accelerate's name of the precision; bf16 becomes fp32 on a CPU that would only emulate it (one line says so)."""
    cpu = settings.device == "cpu" or not torch.cuda.is_available()
    if settings.training.precision == "bf16" and cpu and not has_fast_bfloat16("cpu"):
        print("this CPU has no bfloat16 unit: training in float32, the numbers differ slightly from the committed ones")
        return "no"
    return {"fp32": "no"}.get(settings.training.precision, settings.training.precision)


def wanted_terms(settings: Settings) -> tuple[str, ...]:
    """Names of the terms with a weight other than 0; the others are not computed."""
    return tuple(name for name, weight in settings.training.loss_weights.model_dump().items() if weight)


def pretrain(settings: Settings, out: Path, studies=None, validation=None, progress: bool = True,
             stop_after: int | None = None) -> TrainingResult:
    """Train SS-ACL for `settings.training.images` images and write the model to `out`.

    Resumes from `out/checkpoint.safetensors` if there is one. studies, validation default to the profile's data set;
    stop_after (steps) ends early and leaves the checkpoint, as a kill would.
    Raises FloatingPointError with the step where a loss is not finite.
    """
    studies = load_training(settings, "train") if studies is None else studies
    validation = load_training(settings, "validation") if validation is None else validation
    t = settings.training
    accelerator = Accelerator(cpu=settings.device == "cpu", mixed_precision=mixed_precision(settings),
                              gradient_accumulation_steps=t.accumulation)
    model = build_model(settings, train_tokenizer(list(studies.reports)))
    processor = model.processor
    wanted = wanted_terms(settings)
    micro = math.ceil(t.images / min(t.batch_size, len(studies)) / t.accumulation) * t.accumulation
    batches = TrainingBatches(settings, studies, processor, micro)
    checks = TrainingBatches(settings, validation, processor, max(1, len(validation) // min(t.batch_size, len(validation))),
                             shuffle=False)
    optimizer = torch.optim.AdamW(parameter_groups(model, settings), lr=t.learning_rate, betas=(0.9, 0.95),
                                  fused=accelerator.device.type == "cuda")
    out.mkdir(parents=True, exist_ok=True)
    start, history = restore(out / "checkpoint.safetensors", model, optimizer, settings)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    bar = tqdm(total=micro, initial=start, unit="step", desc="pretraining", disable=not progress, mininterval=2)
    sums, counted, every = {}, 0, max(1, t.checkpoint_images // (batches.size * t.accumulation)) * t.accumulation
    for step, batch in enumerate(batches.loader(start), start=start):
        torch.manual_seed(settings.seed * 1_000_003 + step)  # dropout depends on the step, not on what ran before
        wrapped.train()
        for group in optimizer.param_groups:
            group["lr"] = (t.learning_rate * group["scale"]
                           * learning_rate_scale(step * batches.size, t.warmup_images, micro * batches.size))
        with accelerator.accumulate(wrapped):
            terms = wrapped(batch.to(accelerator.device), t.mask_ratio, t.mixing, wanted)
            loss = weighted_sum(terms, settings)
            accelerator.backward(loss)
            if t.clip_norm and accelerator.sync_gradients:
                accelerator.clip_grad_norm_(wrapped.parameters(), t.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
        for name, value in {**terms, "total": loss}.items():
            sums[name] = sums.get(name, 0) + value.detach()
        counted += 1
        if counted == LOG_EVERY or step + 1 == micro:
            history += log_row(sums, counted, (step + 1) * batches.size, "train")
            if not math.isfinite(history[-1]["value"]):
                raise FloatingPointError(f"the loss is not finite near step {step + 1}; lower training.learning_rate or use "
                                         "bf16 instead of fp16; the last checkpoint is kept")
            bar.set_postfix(total=f"{history[-1]['value']:.3f}", refresh=False)
            sums, counted = {}, 0
        if (step + 1) % every == 0 or step + 1 == micro:
            history += validate(accelerator, wrapped, checks, settings, (step + 1) * batches.size)
            save_checkpoint(out / "checkpoint.safetensors", accelerator.unwrap_model(wrapped), optimizer, step + 1, history,
                            settings)
        bar.update()
        if stop_after and step + 1 >= stop_after:
            bar.close()
            return TrainingResult(out, pd.DataFrame(history))
    bar.close()
    model = accelerator.unwrap_model(wrapped).cpu()
    save_model(model, out)
    frame = pd.DataFrame(history)
    frame.to_csv(out / "history.csv", index=False)
    return TrainingResult(out, frame)


def log_row(sums: dict, count: int, images: int, split: str) -> list[dict]:
    """Mean of every term as rows of the history; "total" comes last."""
    return [{"images": images, "split": split, "term": name, "value": float(value) / count} for name, value in sums.items()]


@torch.no_grad()
def validate(accelerator, model, checks: TrainingBatches, settings: Settings, images: int) -> list[dict]:
    """The terms on the validation studies, same masks and sentences every time."""
    model.eval()
    sums: dict = {}
    for batch in checks.loader():
        terms = model(batch.to(accelerator.device), settings.training.mask_ratio, settings.training.mixing,
                      wanted_terms(settings))
        for name, value in {**terms, "total": weighted_sum(terms, settings)}.items():
            sums[name] = sums.get(name, 0) + value
    return log_row(sums, len(checks), images, "validation")


# ---- files
def save_checkpoint(path: Path, model: SSACLModel, optimizer, step: int, history: list, settings: Settings) -> None:
    """Weights, optimizer moments, step and history in one safetensors file, written aside and then moved."""
    tensors = {f"model.{name}": value.detach().clone().contiguous() for name, value in model.state_dict().items()}
    state = optimizer.state_dict()["state"]
    for index, moments in state.items():
        tensors.update({f"optimizer.{index}.{key}": torch.as_tensor(value).clone() for key, value in moments.items()})
    meta = {"step": str(step), "history": json.dumps(history), "settings": settings.model_dump_json()}
    write_tensors(path, tensors, meta)


def write_tensors(path: Path, tensors: dict, metadata: dict | None = None) -> None:
    """safetensors through a temporary name, so that a kill or a full disk leaves the old file whole."""
    aside = path.with_name(path.name + f".{os.getpid()}.new")
    try:
        save_file(tensors, aside, metadata=metadata)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def restore(path: Path, model: SSACLModel, optimizer, settings: Settings) -> tuple[int, list]:
    """Step and history of a checkpoint, loaded into model and optimizer; (0, []) where there is none.

    Raises ValueError where the checkpoint was made with other settings.
    """
    if not path.is_file():
        return 0, []
    with safe_open(path, "pt") as file:
        meta = file.metadata()
        compared = ("data", "model", "training", "seed", "dataset", "data_root")
        saved = json.loads(meta["settings"])
        now = json.loads(settings.model_dump_json())
        changed = [name for name in compared if saved[name] != now[name]]
        if changed:
            raise ValueError(f"{path}: made with other settings ({', '.join(changed)}); remove it to start afresh")
        names = file.keys()
        tensors = {name: file.get_tensor(name) for name in names}
    model.load_state_dict({n.removeprefix("model."): v for n, v in tensors.items() if n.startswith("model.")})
    state: dict[int, dict] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    if state:
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(meta["step"]), json.loads(meta["history"])


def save_model(model: SSACLModel, out: Path, dtype: torch.dtype | None = None) -> None:
    """Model, config and tokenizers in `out` (dtype halves the file); each file is written aside and then moved."""
    aside = out / f"saving.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        model.save_pretrained(aside, state_dict={n: v.to(dtype) if dtype and v.is_floating_point() else v
                                                 for n, v in model.state_dict().items()})
        for item in sorted(aside.iterdir()):
            target = out / item.name
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(item, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@torch.no_grad()
def untrained(settings: Settings, studies=None) -> SSACLModel:
    """The same model with random weights (the control of every table); its tokenizer is that of the training reports.

    Its batch normalisation has seen training films, half of them masked: with statistics of nothing a random stem would
    pass on almost nothing, and the control would be weaker than it need be.
    """
    studies = load_training(settings, "train") if studies is None else studies
    plain = settings.model_copy(update={"model": settings.model.model_copy(update={"encoder_weights": None})})
    model = build_model(plain, train_tokenizer(list(studies.reports))).train()
    batches = TrainingBatches(plain, studies, model.processor, 40)
    for step in range(len(batches)):
        rows = batches.indices(step)
        noise = torch.from_numpy(np.random.default_rng([settings.seed, 13, step]).random((len(rows), model.config.patches)))
        keep = keep_lowest(noise, settings.training.mask_ratio) if step % 2 else None
        model.encoder(model.processor.normalise(studies.images(rows)), keep)
    return model.eval()


__all__ = ["Batch", "TrainingResult", "pretrain", "save_model", "untrained", "weighted_sum", "write_tensors"]
