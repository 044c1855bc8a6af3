"""What a training says of itself: points of its loss curve, averaged over steps and processes, and when a checkpoint is due."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

from ..distributed import mean_over_processes, shared


class Watch:
    """Says when a checkpoint is due by time, the same on all processes: on a slow machine little work is lost, too."""

    def __init__(self, seconds: float):
        self.seconds, self.begin = seconds, time.monotonic()

    def due(self) -> bool:
        """Has the time passed for the first process?"""
        return shared(time.monotonic() - self.begin >= self.seconds)


def check_finite(values: Iterable[float], step: int) -> None:
    """Raises FloatingPointError where one of the values is NaN or infinite."""
    if not all(map(math.isfinite, values)):
        raise FloatingPointError(
            f"the loss is not finite near step {step + 1}; lower training.learning_rate or use "
            "bf16 instead of fp16; the last checkpoint is kept"
        )


@dataclass
class Meter:
    """Sums of the terms on the device, read only when a point of the curve is due."""

    sums: dict = field(default_factory=dict)
    count: int = 0

    def add(self, terms: dict[str, torch.Tensor]) -> None:
        """One step's terms."""
        self.sums = {name: self.sums.get(name, 0) + value.double() for name, value in terms.items()}
        self.count += 1

    def state(self) -> dict:
        """What a resumed run goes on from, as JSON values: sums (mean over processes) and the number of steps."""
        if not self.sums:
            return {"sums": {}, "count": 0}
        means = mean_over_processes(torch.stack(list(self.sums.values()))).tolist()
        return {"sums": dict(zip(self.sums, means, strict=True)), "count": self.count}

    def rows(self, images: int, split: str) -> list[dict]:
        """Mean of every term over steps and processes as rows of the history, "total" last; starts anew."""
        means = mean_over_processes(torch.stack(list(self.sums.values())) / self.count).tolist()
        rows = [
            {"images": images, "split": split, "term": name, "value": value}
            for name, value in zip(self.sums, means, strict=True)
        ]
        self.sums, self.count = {}, 0
        return rows
