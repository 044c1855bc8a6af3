"""The training step against the reference formulation: images per second, peak memory, model FLOP utilisation.

    python benchmarks/training_step.py [--profile cpu] [--device cpu] [--quick]

Formulations (tests/test_release_equality.py holds ours equal to the reference of the same mode), each a whole step: five
terms, backward pass, AdamW; the same precision, the same batch, in turns within one run.

    paper        ours, two passes
    release      ours, three passes
    four pass    the reference: what the release computes, four passes with a dense mask, pairs of L_ac in loops
    all pairs    the same, but L_ac's pairs in one matrix product: what the loop over pairs has no part in
    dense        the reference of paper mode: a pass per purpose with a dense mask, pairs in loops

Equal functions: `training_step_release` is ours in release mode against the four passes, and with `_without_pair_loop` against
those without the loop over pairs; `training_step_dense` is ours in paper mode against its own reference. Paper mode beside the
release's step, another function: `training_step` and `training_step_without_pair_loop`. Ratios are paired within a round.
Model FLOP utilisation: the FLOP of matrix products and convolutions in our step (torch's own formulas, forward and backward, no
recomputation) per second, divided by the rate that such products reach (see timing.matmul_rate).
"""

import gc
import os
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from timing import alternate, matmul_rate, measured, paired_ratio, peak_memory, row, timed
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from workload import Trainer, batch_of, build, precisions, reference_step, run_script

from ssacl_lib.losses import anatomical_consistency_loss
from ssacl_lib.settings import Settings

AGAINST = {
    "training_step": ("paper", "four pass"),
    "training_step_release": ("release", "four pass"),
    "training_step_release_without_pair_loop": ("release", "all pairs"),
    "training_step_without_pair_loop": ("paper", "all pairs"),
    "training_step_dense": ("paper", "dense"),
}
"""Row of the table -> (ours, the reference)."""


FORMULATIONS = ("paper", "release", "four pass", "all pairs", "dense")
LARGE_BATCH = 1024
"""The batch that has to fit into one card of 80 GB (with activations computed anew in the backward pass)."""


def trainer(name: str, settings: Settings, device, precision: str) -> Trainer:
    """A formulation by name, with a model of its own (equal sizes, random weights); the batch depends on the settings only."""
    own = settings.changed(**{"model.attention": "paper" if name in ("paper", "dense") else "release"})
    model, slow = build(own, device), reference_step()
    terms = {"four pass": slow.four_pass_terms, "all pairs": four_passes_all_pairs, "dense": slow.dense_mask_terms}.get(
        name
    )
    return Trainer(model, own, batch_of(model, own, device), precision, terms)


def four_passes_all_pairs(model, *arguments) -> dict[str, torch.Tensor]:
    """The four passes with L_ac of all pairs in one matrix product."""

    def consistency(model, leaves, report, mixing):
        return anatomical_consistency_loss(leaves, report, model.temperature, mixing, chunk=len(leaves))

    with patch.object(reference_step(), "anatomical_consistency", consistency):
        return reference_step().four_pass_terms(model, *arguments)


def memory_of(name: str, settings: Settings, device, precision: str) -> int:
    """Peak bytes of a formulation that has the device to itself."""
    alone = trainer(name, settings, device, precision)
    peak = peak_memory(alone, device, alone.living)
    del alone
    free(device)
    return peak


def free(device) -> None:
    """Give back what earlier measurements held on a card."""
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


def step_rows(settings: Settings, device, precision: str, rounds: int) -> list[dict]:
    """Throughput and memory of every formulation, and the ratios, in one precision."""
    ending = "" if precision == precisions(device)[0] else f"_{precision}"
    memory = {name: memory_of(name, settings, device, precision) for name in FORMULATIONS}
    steps = {name: trainer(name, settings, device, precision) for name in FORMULATIONS}
    seed, images = settings.seed, settings.training.batch_size
    seconds = alternate(steps, rounds, device, warm_up=1 if rounds < 3 else 2)
    rows = []
    for what, (ours, reference) in AGAINST.items():
        label = what + ending
        rows += [
            measured(label, "images_per_second", [images / s for s in seconds[ours]], seed),
            measured(label, "images_per_second_reference", [images / s for s in seconds[reference]], seed),
            paired_ratio(label, "throughput_ratio", seconds[reference], seconds[ours], seed),
            row(label, "peak_megabytes", memory[ours] / 1e6, seed=seed),
            row(label, "peak_megabytes_reference", memory[reference] / 1e6, seed=seed),
            row(label, "peak_memory_ratio", memory[ours] / memory[reference], seed=seed),
        ]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return rows + utilisation(f"training_step{ending}", steps["paper"], seconds["paper"], dtype, device, seed)


class FlopCounter(TorchDispatchMode):
    """Sum of the FLOP of all matrix products, convolutions and attention kernels that run within it, by torch's formulas."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run the operation and count it (torch's FlopCounterMode does so by module, which a pass without gradient upsets)."""
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.total += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def utilisation(label: str, step: Trainer, seconds: list[float], dtype: torch.dtype, device, seed: int) -> list[dict]:
    """FLOP of a step, the rate that matrix products reach, and the share of it that the step reaches."""
    with FlopCounter() as counter:
        step.loss().backward()
    step.optimizer.zero_grad(set_to_none=True)
    flop = counter.total
    rate, origin = matmul_rate(device, dtype)
    return [
        row(label, "gigaflop_per_step", flop / 1e9, seed=seed),
        row(label, f"gigaflop_per_second_of_matmul_{origin}", rate / 1e9, seed=seed),
        measured(label, "model_flop_utilisation", [flop / s / rate for s in seconds], seed),
    ]


# ---- curves
def curve_rows(settings: Settings, device, rounds: int, batches: list[int], sizes: list[int]) -> list[dict]:
    """Ours (paper mode) against the four passes by batch and by image size, in the faster precision."""
    points = {f"training_step_batch_{b}": {"training.batch_size": b} for b in batches}
    points |= {f"training_step_image_{s}": {"data.image_size": s} for s in sizes}
    rows, precision = [], precisions(device)[0]
    for label, change in points.items():
        own = settings.changed(**change)
        steps = {name: trainer(name, own, device, precision) for name in ("paper", "four pass")}
        seconds, images = alternate(steps, rounds, device), own.training.batch_size
        rows += [
            measured(label, "images_per_second", [images / s for s in seconds["paper"]], settings.seed),
            measured(label, "images_per_second_reference", [images / s for s in seconds["four pass"]], settings.seed),
            paired_ratio(label, "throughput_ratio", seconds["four pass"], seconds["paper"], settings.seed),
        ]
        del steps
        free(device)
    return rows


def compile_rows(settings: Settings, device, rounds: int) -> list[dict]:
    """Our step with torch.compile of encoder and visual decoder against the same step without; the warm-up apart.

    What earlier runs compiled is not used: the warm-up is that of a first run.
    """
    precision, seed = precisions(device)[0], settings.seed
    steps = {name: trainer("paper", settings, device, precision) for name in ("plain", "compiled")}
    compiled = steps["compiled"].model
    compiled.encoder.compile()
    compiled.decoder.run = torch.compile(compiled.decoder.run)
    with TemporaryDirectory() as empty, patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=empty):
        warm_up = timed(lambda: [steps["compiled"]() for _ in range(3)], device)
    seconds = alternate(steps, rounds, device)
    images = settings.training.batch_size
    return [
        row("training_step_compiled", "warm_up_seconds", warm_up, seed=seed),
        measured("training_step_compiled", "images_per_second", [images / s for s in seconds["compiled"]], seed),
        paired_ratio("training_step_compiled", "throughput_ratio", seconds["plain"], seconds["compiled"], seed),
    ]


def large_batch_rows(settings: Settings, device) -> list[dict]:
    """Peak memory of a batch of 1024 on a card, with activations computed anew in the backward pass; 0 images/s: did not fit."""
    label, seed = f"training_step_recompute_batch_{LARGE_BATCH}", settings.seed
    own = settings.changed(**{"training.batch_size": LARGE_BATCH, "training.recompute": True})
    total = torch.cuda.get_device_properties(device).total_memory
    rows = [row(label, "device_megabytes", total / 1e6, seed=seed)]
    try:
        step = trainer("paper", own, device, precisions(device)[0])
        peak = peak_memory(step, device)
        seconds = [timed(step, device) for _ in range(3)]
    except torch.cuda.OutOfMemoryError:
        return [*rows, row(label, "images_per_second", 0.0, seed=seed)]
    return [
        *rows,
        row(label, "peak_megabytes", peak / 1e6, seed=seed),
        measured(label, "images_per_second", [LARGE_BATCH / s for s in seconds], seed),
    ]


def plan(settings: Settings, device, quick: bool) -> dict:
    """Batches and image sizes of the curves: around the profile's own."""
    own, size, patch = settings.training.batch_size, settings.data.image_size, settings.model.patch_size
    half = max(32, size // 2 // patch * patch)
    if quick:
        return {"batches": sorted({max(2, own // 2), own}), "sizes": [half + -half % patch]}
    longest = 1.5 if torch.device(device).type == "cpu" else 2
    return {
        "batches": sorted({max(2, own // 4), max(2, own // 2), own, 2 * own}),
        "sizes": sorted({half + -half % patch, size, int(size * longest) // patch * patch}),
    }


def rows(settings: Settings, device="cpu", quick: bool = False) -> list[dict]:
    """All rows of this part; quick: two rounds, the faster precision, no compiling."""
    found = []
    for precision, rounds in zip(precisions(device)[: 1 if quick else None], (2,) if quick else (15, 7), strict=False):
        found += step_rows(settings, device, precision, rounds)
        free(device)
    found += curve_rows(settings, device, 2 if quick else 5, **plan(settings, device, quick))
    if not quick:
        found += compile_rows(settings, device, 8)
        free(device)
    if torch.device(device).type == "cuda" and not quick:
        found += large_batch_rows(settings, device)
    return found


if __name__ == "__main__":
    run_script(__doc__, rows)
