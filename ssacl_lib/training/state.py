"""The state of a training run on disk: checkpoints from which any number of processes can go on, and the finished model."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from ..distributed import first_alone, rank, shared, world_size
from ..model.network import SSACLNetwork
from ..settings import Settings

AFTER_TRAINING = {
    "data.test_studies": "training opens the other two splits",
    "evaluation.bootstrap": "resamplings of results",
    "evaluation.control_studies": "test studies of the controls",
    "evaluation.prompt_studies": "test studies of the prompts' controls",
    "evaluation.cnn_images": "another network's training",
}
"""Settings that change numbers, but none of a trained model -> why; a resumed run may differ in them."""

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
"""State by parameter names, gathered from all processes: a file of W processes, DDP or FSDP, is that of one."""


class Progress(NamedTuple):
    """How far a run is. images: seen. history: rows of the curve. meter: sums of the point to come. seconds: of all sittings."""

    images: int
    history: list
    meter: dict
    seconds: float = 0.0


def save_checkpoint(path: Path, model: SSACLNetwork, optimizer, progress: Progress, origin: dict) -> None:
    """Weights, optimizer moments and progress in one safetensors file, written aside and then moved.

    origin: what decides the run (`origin.origin_of`), compared when it goes on.
    Raises FloatingPointError, and leaves the file as it was, where a weight is not finite.
    """
    weights = get_model_state_dict(model, options=WHOLE)
    state = get_optimizer_state_dict(model, optimizer, options=WHOLE).get("state", {})
    if rank():
        return
    check_weights(weights)
    tensors = {f"model.{name}": value.clone().contiguous() for name, value in weights.items()}
    for name, moments in state.items():
        tensors.update({f"optimizer.{name}.{key}": torch.as_tensor(value).clone() for key, value in moments.items()})
    told = {**progress._asdict(), "origin": origin}
    write_tensors(path, tensors, {name: json.dumps(value) for name, value in told.items()})


def check_weights(weights: dict[str, torch.Tensor]) -> None:
    """Raises FloatingPointError where a weight is NaN or infinite: the loss looks back, at the weights before the last update."""
    if odd := [name for name, value in weights.items() if not torch.isfinite(value).all()]:
        raise FloatingPointError(
            f"weights are not finite after the last update ({odd[0]}); lower training.learning_rate or use bf16 instead of fp16; "
            "the last checkpoint is kept"
        )


def write_tensors(path: Path, tensors: dict, metadata: dict | None = None) -> None:
    """safetensors through a temporary name, so that a kill or a full disk leaves the old file whole."""
    aside = path.with_name(path.name + f".{os.getpid()}.new")
    try:
        with writing(path):
            save_file(tensors, aside, metadata=metadata)
        share(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises OSError with the path where safetensors can't write, such as on a full disk."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{path}: can't be written ({error}); make room, or name another folder") from None


def share(path: Path) -> None:
    """The rights that any file made here has: safetensors gives its files to their owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def decides_training(settings: Settings) -> dict:
    """The settings that decide a trained model, by dotted name.

    Images of a pass are counted over all processes: a run may go on, or be made again, with another number of them.
    """
    told = {name: value for name, value in settings.deciding().items() if name not in AFTER_TRAINING}
    told["training.batch_size"] *= world_size()
    return told


def read_progress(path: Path, origin: dict) -> Progress:
    """How far a checkpoint is; nothing where there is none.

    Raises ValueError where the checkpoint was made from something else, with the names of what differs.
    """
    meta = None
    if path.is_file() and not rank():
        with safe_open(path, "pt") as file:
            meta = file.metadata()
    meta = shared(meta)
    if meta is None:
        return Progress(0, [], {})
    saved, now = json.loads(meta.get("origin", "{}")), json.loads(json.dumps(origin))
    changed = sorted(name for name in saved.keys() | now.keys() if saved.get(name) != now.get(name))
    if changed:
        raise ValueError(
            f"{path}: begun with other settings, studies or code ({', '.join(changed)}); take those again to go on, or "
            "remove the file to start afresh"
        )
    return Progress(**{name: json.loads(meta[name]) for name in Progress._fields if name in meta})


def resume_from(path: Path, model: SSACLNetwork, optimizer) -> None:
    """Load a checkpoint into model and optimizer; the first process reads it, the others get it from there."""
    if not shared(path.is_file()):
        return
    weights, state = {}, {}
    if not rank():
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (a safetensors file is no dict)
                if name.startswith("model."):
                    weights[name.removeprefix("model.")] = file.get_tensor(name)
                else:
                    parameter, key = name.removeprefix("optimizer.").rsplit(".", 1)
                    state.setdefault(parameter, {})[key] = file.get_tensor(name)
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=world_size() > 1)
    set_model_state_dict(model, weights, options=options)
    groups = get_optimizer_state_dict(model, optimizer)["param_groups"]
    set_optimizer_state_dict(
        model, optimizer, {} if rank() else {"state": state, "param_groups": groups}, options=options
    )


def save_whole(model: SSACLNetwork, out: Path, history: pd.DataFrame) -> None:
    """The trained model, gathered from all processes, and its loss curves; the first process writes, the others wait."""
    weights = get_model_state_dict(model, options=WHOLE)
    with first_alone():
        if not rank():
            check_weights(weights)
            whole = type(model)(model.config)
            whole.load_state_dict(weights)
            whole.processor = model.processor
            save_model(whole, out)
            history.to_csv(out / "history.csv", index=False)


def save_model(model: SSACLNetwork, out: Path, dtype: torch.dtype | None = None) -> None:
    """Model, config and tokenizers in `out` (dtype halves the file); each file is written aside and then moved."""
    aside = out / f"saving.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        tensors = {n: v.to(dtype) if dtype and v.is_floating_point() else v for n, v in model.state_dict().items()}
        with writing(out):
            model.save_pretrained(aside, state_dict=tensors)
        for item in sorted(aside.iterdir()):
            if item.suffix == ".safetensors":
                share(item)
            target = out / item.name
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(item, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
