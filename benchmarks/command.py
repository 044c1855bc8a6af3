"""`ssacl ground` as a person types it: seconds of the whole command, from the start of Python to the written picture.

    python benchmarks/command.py [--profile cpu] [--device cpu] [--quick]

One phrase on one film with the shipped model; beside it a Python that only imports torch and transformers (which loads its parts
when they are asked for, so the command imports more). Both take turns: most of so short a command is its start.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from PIL import Image
from timing import alternate, measured, paired_ratio
from workload import NoiseStudies, run_script, texts

from ssacl_lib.settings import Settings

PHRASE, ROUNDS = "right pleural effusion", 10


def rows(settings: Settings, device="cpu", quick: bool = False) -> list[dict]:
    """Seconds of the command, and how many times those of the imports alone it takes."""
    del device  # the command finds one itself
    reports, labels, _ = texts(settings.seed)
    film = NoiseStudies(reports, labels, 96).images([0])[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.png"
        Image.fromarray(film).save(path)
        ground = [sys.executable, "-m", "ssacl_lib", "ground", str(path), PHRASE, "--out", folder]
        calls = {
            "command": partial(subprocess.run, ground, check=True, capture_output=True),
            "imports": partial(subprocess.run, [sys.executable, "-c", "import torch, transformers"], check=True),
        }
        seconds = alternate(calls, 1 if quick else ROUNDS, warm_up=0 if quick else 1)
    return [
        measured("command_ground", "seconds", seconds["command"], settings.seed),
        paired_ratio("command_ground", "time_ratio", seconds["command"], seconds["imports"], settings.seed),
    ]


if __name__ == "__main__":
    run_script(__doc__, rows)
