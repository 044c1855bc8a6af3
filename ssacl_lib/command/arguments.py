"""What arguments of a command stand for: settings, a changed setting, a checkpoint that must be there."""

import argparse
import sys
from pathlib import Path

import yaml

from .. import paths
from ..settings import Settings, load_settings

FINETUNED = "finetuned.json"
"""In the folder of an encoder that `ssacl finetune` wrote: the labels that it learnt."""


def given_settings(arguments: argparse.Namespace, **overrides: object) -> Settings:
    """The settings of a profile, data set and seed; overrides: dotted names and their values.

    Raises ValueError where the tables of a folder of films don't fit together.
    """
    root = str(Path(arguments.data_root).resolve()) if arguments.data_root else None
    if arguments.dataset == "folder" and root:
        from ..datasets.table_checks import check_folder

        check_folder(Path(root))
    given = {"dataset": arguments.dataset, "data_root": root, "seed": arguments.seed}
    return load_settings(arguments.profile, **given, **overrides)


def parse_override(text: str) -> tuple[str, object]:
    """Split KEY=VALUE; the value is read as in a profile, and 1e-3 is a number.

    Raises:
        ValueError: there is no "=", or a value that YAML can't read.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: expected KEY=VALUE, such as training.images=40000")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ValueError(f"--set {text}: the value is not readable as YAML; put quotes around a text") from None
    try:
        return key, float(parsed) if isinstance(parsed, str) else parsed
    except ValueError:
        return key, parsed


def require_checkpoint(weights: Path | None) -> None:
    """Raises FileNotFoundError where no model is named and none is shipped; says what a model was not made for."""
    if weights is None and not paths.SHIPPED_CHECKPOINT.is_dir():
        raise FileNotFoundError(
            f"there is no shipped checkpoint in {paths.SHIPPED_CHECKPOINT}: make one with `ssacl pretrain --profile cpu "
            "--out DIR` and give --weights DIR"
        )
    if weights is not None and (Path(weights) / FINETUNED).is_file():
        print(
            f"ssacl: {weights}: its encoder was fine-tuned on labels, and nothing else was: reports and maps are those of "
            "parts that were made for another encoder",
            file=sys.stderr,
        )


def require_studies(settings: Settings) -> None:
    """Raises ValueError where a data set has nothing to train on, or nothing to validate on: before any study is made."""
    from ..datasets.registry import source_for

    for split in ("train", "validation"):
        if not source_for(settings, split).count:
            raise ValueError(
                f"the data set {settings.dataset!r} has no study in the split {split!r}; the splits are called train, validation "
                "and test"
            )


def require_folder_or_name(name_or_path: str | None) -> None:
    """Raises FileNotFoundError for what is no folder and can't be a name on the hub (NAME or OWNER/NAME) either."""
    text = str(name_or_path or "")
    if text and not Path(text).is_dir() and (text.startswith((".", "/", "~")) or text.count("/") > 1):
        raise FileNotFoundError(f"{text}: no such folder of weights")


def require_device(name: str) -> None:
    """Raises ValueError for "cuda" where there is none."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: there is no CUDA device; use --device cpu, or auto")
