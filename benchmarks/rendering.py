"""How fast is a phantom made? Organ maps once, then films with and without masks.

    python benchmarks/rendering.py [--image-size 96] [--studies 200] [--rounds 5]

Rounds alternate between the kinds, so that a busy machine slows them alike; printed are images per second (median, lowest
and highest round) and the ratio to films without masks within the same run.
"""

import argparse
import statistics
import time

from ssacl_lib.datasets import load_training
from ssacl_lib.phantom import organ_maps, render
from ssacl_lib.settings import load_settings


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    started = time.perf_counter()
    maps = organ_maps(arguments.image_size)
    print(f"organ maps (made once, then read): {time.perf_counter() - started:.1f} s")
    settings = load_settings("smoke", **{"data.image_size": arguments.image_size, "data.train_studies": arguments.studies})
    studies = load_training(settings, "train")
    rows = range(arguments.studies)
    common = {"image_size": arguments.image_size, "ranges": 1.0, "maps": maps}
    kinds = {
        "films": lambda: render(0, "train", rows, **common),
        "films with masks of 32 nodes": lambda: render(0, "train", rows, masks=True, **common),
        "prepared films, read": lambda: studies.images(list(rows)),
    }
    speeds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(arguments.rounds):
        for name, make in kinds.items():
            started = time.perf_counter()
            make()
            speeds[name].append(arguments.studies / (time.perf_counter() - started))
    base = statistics.median(speeds["films"])
    for name, values in speeds.items():
        middle = statistics.median(values)
        print(f"{name}: {middle:.0f} images/s [{min(values):.0f}, {max(values):.0f}], ratio to films {middle / base:.2f}, "
              f"n {arguments.rounds} rounds of {arguments.studies}, {arguments.image_size} px")


if __name__ == "__main__":
    main()
