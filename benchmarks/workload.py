"""What the benchmarks work on: a profile's model with random weights, and training batches of made-up films.

The reports are the phantom's, so texts have their true lengths; the films are noise, so nothing has to be fetched or prepared
and every image size can be tried. Sizes decide the cost of a step, not what a film shows.
"""

import argparse
import importlib
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from timing import machine

from ssacl_lib import paths
from ssacl_lib.datasets.phantom import report_of
from ssacl_lib.model import Batch, SSACLModel, SSACLProcessor
from ssacl_lib.model.precision import has_fast_bfloat16
from ssacl_lib.model.start import config_from_settings
from ssacl_lib.phantom import draw_signs
from ssacl_lib.record.manifest import atomic_write
from ssacl_lib.settings import Settings, load_settings
from ssacl_lib.text.labeler import label_array
from ssacl_lib.text.tokenizer import train_tokenizer
from ssacl_lib.training.batches import TrainingBatches
from ssacl_lib.training.loop import parameter_groups, weighted_sum

STUDIES = 600
FULL_VOCABULARIES = {"text": 30000, "language": 50257}
"""Vocabularies of the release: the sizes that the profile `paper` has where its pretrained weights are loaded."""


@dataclass
class NoiseStudies:
    """Training studies with the phantom's reports and noise for films; `size` px."""

    reports: list[str]
    labels: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.reports)

    def images(self, rows) -> np.ndarray:
        """Noise [k, S, S] uint8."""
        return np.random.default_rng([0, self.size]).integers(0, 256, (len(rows), self.size, self.size), np.uint8)


@lru_cache(maxsize=2)
def texts(seed: int) -> tuple:
    """Reports of phantom patients, the labels read in them, and the tokenizer trained on them."""
    reports = [report_of(seed, "train", i, draw_signs(seed, "train", i)).text for i in range(STUDIES)]
    return reports, label_array(reports), train_tokenizer(reports)


def plain(settings: Settings) -> Settings:
    """The settings without pretrained weights: the benchmarks need sizes only, and no hub."""
    return settings.changed(**{f"model.{part}_weights": None for part in ("encoder", "text", "language")})


def build(settings: Settings, device: torch.device | str) -> SSACLModel:
    """A model of the settings' sizes with random weights and its processor, in training mode."""
    torch.manual_seed(settings.seed)
    tokenizer = texts(settings.seed)[2]
    config = config_from_settings(plain(settings), len(tokenizer))
    if settings.model.language_weights:  # the sizes of GPT-2 and of the release's word pieces
        config.text["vocab_size"], config.language["vocab_size"] = (
            FULL_VOCABULARIES["text"],
            FULL_VOCABULARIES["language"],
        )
    model = SSACLModel(config)
    model.processor = SSACLProcessor(config, tokenizer, tokenizer)
    if settings.training.recompute:
        model.recompute_activations()
    return model.to(device).train()


def batch_of(model: SSACLModel, settings: Settings, device: torch.device | str) -> Batch:
    """A training batch of the settings' size on the device; the same for every competitor."""
    reports, labels, _ = texts(settings.seed)
    times = -(-settings.training.batch_size // len(reports))
    studies = NoiseStudies(reports * times, np.tile(labels, (times, 1)), settings.data.image_size)
    batches = TrainingBatches(settings, studies, model.processor, 64, place=(0, 1))
    step = next(step for step in range(64) if batches[step].prompt_ids.shape[1])  # one whose coin gave the entity text
    return batches[step].to(device)


def precisions(device: torch.device | str) -> tuple[str, ...]:
    """The precisions worth measuring here, the faster one first: bf16 only where the hardware has it."""
    return ("bf16", "fp32") if has_fast_bfloat16(device) else ("fp32",)


def autocast(device: torch.device | str, precision: str):
    """bfloat16 autocast, or nothing."""
    return torch.autocast(torch.device(device).type, torch.bfloat16) if precision == "bf16" else nullcontext()


class Trainer:
    """A model with its optimizer; calling it makes one whole training step with the given formulation of the terms."""

    def __init__(
        self,
        model: SSACLModel,
        settings: Settings,
        batch: Batch,
        precision: str,
        terms: Callable[..., dict[str, torch.Tensor]] | None = None,
    ):
        self.model, self.settings, self.batch, self.precision = model, settings, batch, precision
        self.terms = terms or (lambda model, *arguments: model(*arguments))
        self.optimizer = torch.optim.AdamW(parameter_groups(model, settings), lr=1e-5, betas=(0.9, 0.95), fused=True)

    def loss(self) -> torch.Tensor:
        """The weighted sum of the five terms."""
        training = self.settings.training
        with autocast(self.batch.pixels.device, self.precision):
            return weighted_sum(self.terms(self.model, self.batch, training.mask_ratio, training.mixing), self.settings)

    def __call__(self) -> None:
        """Forward, backward, AdamW."""
        self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def living(self) -> list[torch.Tensor]:
        """What lives between two steps: weights, buffers, moments, input."""
        moments = [value for state in self.optimizer.state.values() for value in state.values()]
        return [*self.model.parameters(), *self.model.buffers(), *moments, *self.batch.tensors().values()]


# ---- the slow side
def reference_step():
    """The module tests/reference/step.py: the same losses as the release computes them, in plain loops and dense masks."""
    return _reference("step")


def reference_decoding():
    """The module tests/reference/decoding.py: generation that computes the whole sequence anew for every token."""
    return _reference("decoding")


def _reference(name: str):
    folder = paths.ROOT / "tests"
    if not (folder / "reference" / f"{name}.py").is_file():
        raise FileNotFoundError(
            f"{folder / 'reference'} has no {name}.py: the benchmarks need a checkout of the repository"
        )
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(f"reference.{name}")


# ---- as a script
def run_script(text: str, rows: Callable[..., list[dict]]) -> None:
    """What every benchmark does when called by its file name: parse, measure, print; `ssacl bench` writes the table."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="cpu", help="whose sizes are measured (default cpu)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="few rounds and small sizes: does it run?")
    parser.add_argument("--out", type=Path, help="write the rows to this file, too")
    arguments = parser.parse_args()
    print(machine(arguments.device))
    found = rows(load_settings(arguments.profile, seed=arguments.seed), arguments.device, arguments.quick)
    if arguments.out:
        table = pd.DataFrame(found).assign(machine=machine(arguments.device))
        with atomic_write(arguments.out) as handle:
            table.to_csv(handle, index=False, float_format="%.6g", lineterminator="\n")
    for r in found:
        print(f"{r['what']:32} {r['metric']:32} {r['value']:.6g} [{r['low']:.6g}, {r['high']:.6g}]  n {r['n']}")
