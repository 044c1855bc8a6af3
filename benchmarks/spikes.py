"""What a spike of L_ar is: the shipped model trained on at two fixed rates, and each step's error taken apart.

    python benchmarks/spikes.py [--profile cpu] [--steps 120] [--rates 1e-3 1e-4]

Writes data/checkpoints/recipe/spikes.csv, which notebook 02 reads. Per step: the loss before the update, the part of it that
all patients of the batch share (the square of their mean error), the parent with the largest error and its share, and the
other terms. The optimizer starts anew, with 20 steps of warm-up, so that the first steps tell nothing.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch

from ssacl_lib import paths
from ssacl_lib.datasets.registry import load_training
from ssacl_lib.evaluation.blind import look, restoration_parts
from ssacl_lib.evaluation.recipe import SPIKES
from ssacl_lib.model.build import load_model
from ssacl_lib.record.manifest import atomic_write
from ssacl_lib.settings import Settings, load_settings
from ssacl_lib.training.batches import TrainingBatches
from ssacl_lib.training.loop import parameter_groups, wanted_terms, weighted_sum

WARM_UP = 20


def spike_rows(model, settings: Settings, steps: int, rate: float) -> list[dict]:
    """Train a model on for some steps at one rate; one row per step after the warm-up."""
    t, rows = settings.training, []
    studies = load_training(settings, "train")
    batches = TrainingBatches(settings, studies, model.processor, steps)
    model.train().requires_grad_(True)
    model.head.requires_grad_(False)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameter_groups(model, settings), lr=rate, betas=(0.9, 0.95))
    for step in range(steps):
        batch = batches[step].to(model.device)
        terms = model(batch, t.mask_ratio, t.mixing, wanted_terms(settings))
        if step >= WARM_UP:
            seen = look(model, batch, settings)
            told = {name: float(terms[name].detach()) for name in ("image_reconstruction", "anatomical_consistency")}
            rows.append({"rate": rate, "step": step, **restoration_parts(seen.restored, seen.targets), **told})
        optimizer.zero_grad()
        weighted_sum(terms, settings).backward()
        torch.nn.utils.clip_grad_norm_(parameters, t.clip_norm or float("inf"))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"] * min(1, (step + 1) / WARM_UP)
        optimizer.step()
    return rows


def main() -> None:
    """Read the command line, train on at each rate, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 1e-4])
    parser.add_argument("--out", type=Path, default=SPIKES)
    given = parser.parse_args()
    few = given.steps * load_settings(given.profile).training.batch_size  # films enough for one epoch
    settings, rows = load_settings(given.profile, **{"data.train_studies": few}), []
    for rate in given.rates:
        rows += spike_rows(load_model(paths.SHIPPED_CHECKPOINT, "cpu"), settings, given.steps, rate)
        with atomic_write(given.out) as handle:
            pd.DataFrame(rows).to_csv(handle, index=False, float_format="%.5g", lineterminator="\n")


if __name__ == "__main__":
    main()
