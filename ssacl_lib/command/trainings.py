"""Commands that train: a model, a start for one, a head that looks, an encoder for a task of one's own."""

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

from ..settings import LossWeights, Settings, load_settings
from .arguments import given_settings, parse_override, require_device, require_folder_or_name, require_studies
from .retype import retype

MAE_ONLY = {f"training.loss_weights.{name}": float(name == "image_reconstruction") for name in LossWeights.model_fields}
MAE_ONLY["model.encoder_weights"] = None
"""What `ssacl pretrain-mae` trains: the reconstruction of the image alone, from random weights."""


def run_pretrain(arguments: argparse.Namespace) -> int:
    """ssacl pretrain."""
    settings = given_settings(arguments, **dict(parse_override(text) for text in arguments.set))
    require_studies(settings)
    from ..training.checkpoints import make_checkpoint

    result = make_checkpoint(settings, arguments.out, retype("pretrain", arguments), half=arguments.half)
    last = result.history[result.history["images"] == result.history["images"].max()]
    print("\n".join(f"  {row.split:10} {row.term:24} {row.value:.4f}" for row in last.itertuples()))
    print(f"model: {arguments.out}; try: ssacl report IMAGE --weights {arguments.out}")
    return 0


def run_pretrain_mae(arguments: argparse.Namespace) -> int:
    """ssacl pretrain-mae."""
    return _make_start(arguments, lambda settings: MAE_ONLY)


def run_pretrain_start(arguments: argparse.Namespace) -> int:
    """ssacl pretrain-start."""
    from ..training.checkpoints import start_changes

    return _make_start(arguments, start_changes)


def _make_start(arguments: argparse.Namespace, changes: Callable[[Settings], dict]) -> int:
    """Make a start by the settings that `changes` names, and by those of --set before them."""
    from ..training.checkpoints import make_start

    given = dict(parse_override(text) for text in arguments.set)
    settings = given_settings(arguments, **given)
    settings = settings.changed(**{**changes(settings), **given})
    require_studies(settings)
    folder = make_start(settings, arguments.out, retype(arguments.name, arguments))
    print(f"encoder: {folder}; train from it with --set model.encoder_weights={folder}")
    return 0


def run_plus(arguments: argparse.Namespace) -> int:
    """ssacl plus."""
    from ..training.look import make_plus

    settings = load_settings(arguments.profile, seed=arguments.seed)
    half = ["--half"] if arguments.half else []
    command = shlex.join(["ssacl", "plus", "--profile", arguments.profile, "--seed", str(arguments.seed), *half])
    print(f"written: {make_plus(arguments.weights, settings, arguments.out, command, arguments.half)}")
    return 0


def run_finetune(arguments: argparse.Namespace) -> int:
    """ssacl finetune."""
    from .finetune import finetune_labels
    from .finetune_masks import finetune_masks

    require_device(arguments.device)
    require_folder_or_name(arguments.weights)
    more = (arguments.weights, arguments.out, arguments.seed, arguments.device)
    if arguments.task == "masks":
        table = finetune_masks(arguments.films, *more)
    else:
        table = finetune_labels(arguments.films, Path(arguments.task), *more)
    print(table.to_string(index=False), f"written: {arguments.out}", sep="\n")
    return 0
