"""What to type to make something again, as manifests and `ssacl explain` say it."""

import argparse
import shlex

from ..settings import Settings


def retype(name: str, arguments: argparse.Namespace) -> str:
    """What to type to get the same again, but for the folders."""
    words = ["ssacl", name, "--profile", arguments.profile, "--seed", str(arguments.seed)]
    words += ["--dataset", arguments.dataset] if arguments.dataset != "phantom" else []
    return shlex.join([*words, *(word for text in arguments.set for word in ("--set", text))])


def rebuild_line(settings: Settings, number: str) -> str:
    """The command that executes a notebook by settings; DIR stands for the folder of a user's own data."""
    words = ["--profile", settings.profile]
    words += ["--dataset", settings.dataset, "--data-root", "DIR"] if settings.dataset != "phantom" else []
    words += ["--seed", str(settings.seed)] if settings.seed else []
    words += ["--out", str(settings.figures)] if settings.out_dir else []
    return " ".join(["ssacl", "rebuild", *words, "--only", number])
