"""Arithmetic of training on many GPUs: FLOP, bytes that travel, expected efficiency, as a Markdown table.

    python benchmarks/many_devices.py [--gpus 1 8 64] [--batch 32] [--mfu 0.4] [--bandwidth 450] [--network 50]

Nothing is timed here. Counted, on the model of the profile and one batch of phantom reports: the FLOP of a step (matrix
products, convolutions and attention, forward and backward, by torch's formulas, without recomputation), the parameters that
get a gradient, and the tensors that the model hands to `gather_rows`. Assumed: everything that is an option of this script.

    compute  = FLOP without L_ac / (peak * mfu)  +  FLOP of L_ac / (peak of L_ac * mfu)
    reduce   = bytes of the gradients that a ring all-reduce sends / bandwidth, hidden behind the backward pass (2/3 of compute)
    gather   = bytes of the other processes' rows / bandwidth, not hidden
    efficiency = compute on one GPU / (compute + what is left of reduce + gather)
"""

import argparse
from dataclasses import replace

import torch
from training_step import FlopCounter
from workload import batch_of, build

from ssacl_lib.anatomy import default_graph
from ssacl_lib.losses import anatomical_consistency_loss
from ssacl_lib.model import Batch
from ssacl_lib.model.processes import ALONE
from ssacl_lib.settings import Settings, load_settings
from ssacl_lib.training.loop import weighted_sum

BYTES = 4  # gradients, parameters and gathered rows travel in float32


def count(settings: Settings) -> dict[str, float]:
    """FLOP per step (`names`), per image (`image`) and per pair of images (`pair`, L_ac); gathered numbers; `parameters`.

    The pairs are counted in L_ac alone; the rest in a batch of two images and in the same two images taken twice.
    """
    model = build(settings, "cpu")
    two, gathered = batch_of(model, settings, "cpu"), []
    pair = pair_flop(model.config.width)

    def recorded(tensor, gradient=True):
        gathered.append((tensor[0].numel(), gradient))
        return tensor if gradient else tensor.detach()

    def rest(times: int) -> float:
        batch = Batch(
            **{
                name: value if name.startswith("name_") else torch.cat([value] * times)
                for name, value in vars(two).items()
                if name != "report_places"
            }
        )
        gathered.clear()
        model.processes = replace(ALONE, gather_rows=recorded)
        with FlopCounter() as counter:
            weighted_sum(model(batch, settings.training.mask_ratio, settings.training.mixing), settings).backward()
        return counter.total - (2 * times) ** 2 * pair

    once, twice = rest(1), rest(2)
    return {
        "names": 2 * once - twice,
        "image": (twice - once) / 2,
        "pair": pair,
        "parameters": sum(p.numel() for p in model.parameters() if p.grad is not None),
        "forward_numbers": sum(numbers for numbers, _ in gathered),
        "backward_numbers": sum(numbers for numbers, gradient in gathered if gradient),
    }


def pair_flop(width: int) -> float:
    """FLOP of L_ac per pair of images, forward and backward, without recomputation."""
    leaves = torch.randn(4, len(default_graph().leaves), width, requires_grad=True)
    with FlopCounter() as counter:
        anatomical_consistency_loss(leaves, torch.randn(4, 8), 0.1).backward()
    return counter.total / 4**2


def expect(counted: dict, gpus: int, batch: int, options: argparse.Namespace) -> dict[str, float]:
    """The step on so many GPUs by the formulas of the module's docstring; times in seconds, amounts in bytes."""
    others = (gpus - 1) * batch
    bandwidth = 1e9 * (options.bandwidth if gpus <= options.per_node else options.network)
    plain = (counted["names"] + batch * counted["image"]) / (1e12 * options.peak * options.mfu)
    pairs = [
        batch * images * counted["pair"] / (1e12 * options.consistency_peak * options.mfu)
        for images in (batch, gpus * batch)
    ]
    reduced = 2 * (gpus - 1) / gpus * BYTES * counted["parameters"]
    gathered = others * BYTES * (counted["forward_numbers"] + counted["backward_numbers"])
    compute = plain + pairs[1]
    left = max(0.0, reduced / bandwidth - 2 / 3 * compute)
    step = compute + left + gathered / bandwidth
    return {
        "gathered": gathered,
        "reduced": reduced,
        "compute": compute,
        "pairs": pairs[1],
        "left": left,
        "gather": gathered / bandwidth,
        "images per second": gpus * batch / step,
        "efficiency": (plain + pairs[0]) / step,
    }


def table(counted: dict, options: argparse.Namespace) -> str:
    """The expectations as a Markdown table, a row per batch size and number of GPUs."""
    heads = (
        "GPUs",
        "images of a step",
        "GFLOP per image, L_ac's share",
        "gathered per GPU",
        "all-reduced per GPU",
        "compute, L_ac's part",
        "all-reduce left over",
        "gathering",
        "images per second",
        "efficiency",
    )
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for batch in options.batch:
        for gpus in options.gpus:
            e, pair = expect(counted, gpus, batch, options), gpus * batch * counted["pair"]
            flop = counted["names"] / batch + counted["image"] + pair
            cells = (
                f"{gpus}",
                f"{gpus} x {batch}",
                f"{flop / 1e9:.0f}, {100 * pair / flop:.1f} %",
                f"{e['gathered'] / 1e6:.1f} MB",
                f"{e['reduced'] / 1e6:.0f} MB",
                f"{1e3 * e['compute']:.1f} ms, {1e3 * e['pairs']:.1f} ms",
                f"{1e3 * e['left']:.1f} ms",
                f"{1e3 * e['gather']:.2f} ms",
                f"{e['images per second']:.0f}",
                f"{100 * e['efficiency']:.0f} %",
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Parse, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="paper", help="whose model is counted (default paper)")
    parser.add_argument("--image-size", type=int, help="pixels (default: the profile's)")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64], help="numbers of GPUs (default 1 8 64)")
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 128], help="images per GPU (default 32 128)")
    parser.add_argument(
        "--mfu", type=float, default=0.4, help="share of the peak that compute reaches (assumed; default 0.4)"
    )
    parser.add_argument("--peak", type=float, default=989, help="TFLOP/s in bfloat16 (default 989: H100 SXM, dense)")
    parser.add_argument(
        "--consistency-peak",
        type=float,
        default=494,
        help="TFLOP/s of L_ac, which computes in TF32 (default 494: H100 SXM, dense)",
    )
    parser.add_argument(
        "--bandwidth", type=float, default=450, help="GB/s per GPU inside a machine (default 450: NVLink 4)"
    )
    parser.add_argument(
        "--network", type=float, default=50, help="GB/s per GPU between machines (default 50: 400 Gbit/s)"
    )
    parser.add_argument("--per-node", type=int, default=8, help="GPUs of one machine (default 8)")
    options = parser.parse_args()
    settings = load_settings(options.profile)
    settings = settings.changed(
        **{
            "data.image_size": options.image_size or settings.data.image_size,
            "training.batch_size": 2,
            "training.recompute": False,
        },
    )
    counted = count(settings)
    print(
        f"Model: {settings.profile} at {settings.data.image_size} px, {counted['parameters'] / 1e6:.0f} million parameters "
        f"with gradient. Gathered per image: {BYTES * counted['forward_numbers'] / 1e3:.1f} kB, and gradients of "
        f"{BYTES * counted['backward_numbers'] / 1e3:.1f} kB back.\n"
    )
    print(table(counted, options))


if __name__ == "__main__":
    main()
