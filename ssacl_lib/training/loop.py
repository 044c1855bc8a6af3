"""Pretraining: one plain loop on accelerate, for one process or for many; killed and resumed gives the same weights as
never killed, and the run may go on with another number of processes (see batches.py and distributed.py)."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from tqdm import tqdm

from ..datasets.registry import check_splits, load_training
from ..distributed import (
    check_processes,
    clip_gradients,
    distribute,
    first_alone,
    gather_rows,
    join,
    rank,
    share_of_mean,
    world_size,
)
from ..model.batch import Batch
from ..model.network import SSACLNetwork
from ..model.precision import has_fast_bfloat16
from ..model.processes import Processes
from ..model.start import build_network
from ..settings import Settings
from ..text.tokenizer import train_tokenizer
from ..threads import apply
from .batches import TrainingBatches, global_size
from .curve import Meter, Watch, check_finite
from .origin import origin_of
from .state import Progress, read_progress, resume_from, save_checkpoint, save_whole

LOG_EVERY = 25  # steps averaged into one point of the loss curve


@dataclass(frozen=True)
class TrainingResult:
    """folder: the trained model (from_pretrained). history: columns images, split, term, value. seconds: of all sittings."""

    folder: Path
    history: pd.DataFrame
    seconds: float = 0.0


def learning_rate_scale(images: int, warmup: int, total: int) -> float:
    """Linear from (almost) 0 over `warmup` images, then half a cosine to 0 at `total`."""
    if images < warmup:
        return max(1e-3, images / warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (images - warmup) / max(1, total - warmup))))


def parameter_groups(model: SSACLNetwork, settings: Settings) -> list[dict]:
    """The release's groups: no weight decay on 1-D parameters (position_weight excepted), the GPT at its own rate.

    Parameters without a dimension have groups of their own, for they are never sharded. Frozen ones are left out.
    """
    groups: dict[tuple[float, float, bool], list] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            plain = (parameter.ndim == 1 and name != "position_weight") or name == "position_bias"
            decay = 0.0 if plain else settings.training.weight_decay
            scale = settings.training.language_rate_scale if name.startswith("language.gpt.") else 1.0
            groups.setdefault((decay, scale, parameter.ndim == 0), []).append(parameter)
    return [{"params": members, "weight_decay": decay, "scale": scale} for (decay, scale, _), members in groups.items()]


def weighted_sum(terms: dict[str, torch.Tensor], settings: Settings) -> torch.Tensor:
    """L = sum over the terms of weight * term, with the profile's weights (the paper's: 1, and 0.15 for L_cl).

    Raises:
        ValueError: a weight for a term that the network does not give.
    """
    weights = {name: weight for name, weight in settings.training.loss_weights.model_dump().items() if weight}
    if unknown := weights.keys() - terms.keys():
        raise ValueError(
            f"training.loss_weights.{min(unknown)} is {weights[min(unknown)]:g}, and the network gives no such term; it gives "
            f"{', '.join(terms)}"
        )
    # L = sum over the terms of weight * term
    return sum(weight * terms[name] for name, weight in weights.items())


def on_cpu(settings: Settings) -> bool:
    """Does this training run on the CPU?"""
    return settings.device == "cpu" or not torch.cuda.is_available()


def mixed_precision(settings: Settings) -> str:
    """accelerate's name of the precision; bf16 becomes fp32 on a CPU that would only emulate it (one line says so)."""
    if settings.training.precision == "bf16" and on_cpu(settings) and not has_fast_bfloat16("cpu"):
        print(
            "no bfloat16 unit, or kernels that have none: training in float32, numbers differ a little from the committed ones"
        )
        return "no"
    return {"fp32": "no"}.get(settings.training.precision, settings.training.precision)


def wanted_terms(settings: Settings) -> tuple[str, ...]:
    """Names of the terms with a weight other than 0; the others are not computed."""
    return tuple(name for name, weight in settings.training.loss_weights.model_dump().items() if weight)


def pretrain(
    settings: Settings,
    out: Path,
    studies=None,
    validation=None,
    progress: bool = True,
    stop_after: int | None = None,
    kind: type[SSACLNetwork] = SSACLNetwork,
) -> TrainingResult:
    """Train SS-ACL for `settings.training.images` images and write the model to `out`.

    Started by torchrun, all processes train one model; `out` must be a folder that all of them see. Resumes from
    `out/checkpoint.safetensors` if there is one. studies, validation default to the profile's data set; stop_after (steps)
    ends early and leaves the checkpoint, as a kill would. kind: the class of the network, with losses of its own where a
    compared method is trained (baselines/).
    Raises FloatingPointError with the step where a loss is not finite, ValueError for a launch that can't work, a patient in both
    splits, or a weight of an unknown term.
    """
    begun = time.perf_counter()
    accelerator = meet_processes(settings)
    t, device = settings.training, accelerator.device
    with first_alone():
        studies = load_training(settings, "train") if studies is None else studies
        validation = load_training(settings, "validation") if validation is None else validation
        check_splits(studies, validation)
        out.mkdir(parents=True, exist_ok=True)
    origin = origin_of(settings, studies, kind)
    seen, history, sums, before = read_progress(out / "checkpoint.safetensors", origin)
    begun -= before
    model = build_network(settings, train_tokenizer(list(studies.reports)), kind).to(device)
    size = global_size(settings, len(studies), world_size())
    left = max(0, math.ceil((t.images - seen) / size / t.accumulation)) * t.accumulation
    batches = TrainingBatches(settings, studies, model.processor, left, start=seen)
    checks = TrainingBatches(settings, validation, model.processor, 0, shuffle=False)
    checks.count = max(1, len(validation) // checks.size)
    wrapped, optimizer = lay_out(model, batches[0], settings, accelerator)
    resume_from(out / "checkpoint.safetensors", model, optimizer)
    first, total = seen // size, seen + left * size
    update, meter = accelerator.prepare(optimizer), Meter(**sums)
    every = max(1, t.checkpoint_images // (size * t.accumulation)) * t.accumulation
    bar = step_bar(first, first + left, progress)
    watch = Watch(t.checkpoint_seconds)
    for step, batch in enumerate(batches.loader(), start=first):
        for group in optimizer.param_groups:
            group["lr"] = t.learning_rate * group["scale"] * learning_rate_scale(seen, t.warmup_images, total)
        torch.manual_seed(dropout_seed(settings.seed, seen))
        meter.add(train_step(accelerator, wrapped, update, batch.to(device), settings))
        seen += size
        if meter.count == LOG_EVERY or seen == total:
            history += meter.rows(seen, "train")
            check_finite([history[-1]["value"]], step)
            bar.set_postfix(total=f"{history[-1]['value']:.3f}", refresh=False)
        validates = (step + 1) % every == 0 or seen == total
        if validates:
            history += validate(accelerator, wrapped, checks, settings, seen)
            check_finite([history[-1]["value"]], step)
        if validates or ((step + 1) % t.accumulation == 0 and watch.due()):
            check_finite(meter.state()["sums"].values(), step)  # the last checkpoint is one to go on from
            progress_made = Progress(seen, history, meter.state(), time.perf_counter() - begun)
            save_checkpoint(out / "checkpoint.safetensors", model, optimizer, progress_made, origin)
            watch = Watch(t.checkpoint_seconds)
        bar.update()
        if stop_after and step + 1 >= stop_after:
            bar.close()
            return TrainingResult(out, pd.DataFrame(history), time.perf_counter() - begun)
    bar.close()
    frame = pd.DataFrame(history)
    save_whole(model, out, frame)
    return TrainingResult(out, frame, time.perf_counter() - begun)


def step_bar(done: int, total: int, shown: bool) -> tqdm:
    """The bar of the first process, over steps."""
    hidden = not shown or rank() > 0
    return tqdm(total=total, initial=done, unit="step", desc="pretraining", disable=hidden, mininterval=2)


def meet_processes(settings: Settings) -> Accelerator:
    """Meet the other processes, if torchrun started several, and refuse a launch in which each would train alone."""
    apply(settings.threads, settings.deterministic)
    join(on_cpu(settings))
    accelerator = Accelerator(
        cpu=on_cpu(settings),
        mixed_precision=mixed_precision(settings),
        gradient_accumulation_steps=settings.training.accumulation,
    )
    check_processes(accelerator.num_processes)
    if accelerator.device.type == "cuda" and settings.training.precision != "fp32":
        # the contrasts compute in float32, also within mixed precision; TF32 products are many times faster there, and finer
        # than the half-precision tokens that enter them
        torch.set_float32_matmul_precision("high")
    return accelerator


def lay_out(model: SSACLNetwork, batch: Batch, settings: Settings, accelerator: Accelerator):
    """The model as the loop calls it (DDP or FSDP where there are several processes, compiled if wanted), and AdamW.

    The fused AdamW passes over memory once, which also on two CPU cores takes a third of the time of the loop over tensors.
    """
    t = settings.training
    if t.sharding == "full" and t.precision == "fp16" and world_size() > 1:
        raise ValueError("training.sharding full with precision fp16: the loss scaling can't read shards; use bf16")
    if t.recompute:
        model.recompute_activations()
    freeze_unread(model, batch, settings)
    if t.compile:  # the texts' lengths change from step to step, so what reads them would be compiled again and again
        model.encoder.compile()
        model.decoder.run = torch.compile(model.decoder.run)
    layers = [
        *model.text.bert.encoder.layer,
        *model.language.gpt.transformer.h[:-1],
    ]  # the last block is not called as such
    model.processes = Processes(gather_rows, share_of_mean)
    wrapped = distribute(model, t.sharding, layers, accelerator.device)
    return wrapped, torch.optim.AdamW(
        parameter_groups(model, settings), lr=t.learning_rate, betas=(0.9, 0.95), fused=True
    )


def freeze_unread(model: SSACLNetwork, batch: Batch, settings: Settings) -> None:
    """Freeze what no wanted term reads (such as the finding head): DDP would wait for its gradient.

    Found by one backward pass over two images, without dropout.
    """
    few = Batch(
        **{
            name: value if name.startswith("name_") else value[:2]
            for name, value in batch.tensors().items()
            if name != "report_places"
        }
    )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    terms = model.eval()(
        few.to(model.device), settings.training.mask_ratio, settings.training.mixing, wanted_terms(settings)
    )
    gradients = torch.autograd.grad(weighted_sum(terms, settings), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)


def dropout_seed(seed: int, images: int) -> int:
    """Dropout depends on the place in the run and on the process, not on what ran before."""
    return int(np.random.default_rng([seed, 15, images, rank()]).integers(2**63))


def train_step(accelerator: Accelerator, wrapped, update, batch: Batch, settings: Settings) -> dict[str, torch.Tensor]:
    """Forward, backward and (every `accumulation` steps) an update; returns the terms and "total", detached."""
    t = settings.training
    wrapped.train()
    with accelerator.accumulate(wrapped):
        with accelerator.autocast():
            terms = wrapped(batch, t.mask_ratio, t.mixing, wanted_terms(settings))
        loss = weighted_sum(terms, settings)
        accelerator.backward(loss)
        if t.clip_norm and accelerator.sync_gradients:
            accelerator.unscale_gradients(update)
            clip_gradients(wrapped.parameters(), t.clip_norm)
        update.step()
        update.zero_grad()
    return {name: value.detach() for name, value in {**terms, "total": loss}.items()}


@torch.no_grad()
def validate(accelerator, model, checks: TrainingBatches, settings: Settings, images: int) -> list[dict]:
    """The terms on the validation studies, same masks and sentences every time; each process reads its part of a batch."""
    model.eval()
    meter = Meter()
    for batch in checks.loader():
        with accelerator.autocast():
            terms = model(
                batch.to(accelerator.device),
                settings.training.mask_ratio,
                settings.training.mixing,
                wanted_terms(settings),
            )
        meter.add({**terms, "total": weighted_sum(terms, settings)})
    return meter.rows(images, "validation")
