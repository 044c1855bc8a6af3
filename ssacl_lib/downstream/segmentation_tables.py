"""The table downstream_segmentation: Dice under both rules for empty masks, from the rows of segmentation.py."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ..metrics.overlap import dice_per_film
from ..settings import Settings
from .segmentation import EXCHANGED, HALF, MEAN_MASK, OWN
from .tables import Asked, asked, long_rows, weights

NOTHING = "nothing found"
"""The control that marks no pixel of any film."""

WITH, WITHOUT, PIXELS, KEPT = "dice_with_empty", "dice_without_empty", "dice_of_all_pixels", "accuracy_on_empty"
COUNTS = ["common", "found", "there"]
KEYS = ["way", "side", "finding", "threshold", "control"]


def segmentation_table(settings: Settings) -> pd.DataFrame:
    """Columns as in tables.py; setting: way, side, and what differs from validated threshold and own film; detail: the finding.

    Metrics: dice_with_empty (empty masks count: 1 where nothing is found), dice_without_empty (films with the finding),
    dice_of_all_pixels, accuracy_on_empty (share of the films without the finding on which nothing is found). Methods beside
    the encoders: "mean mask" of the training films, and "nothing found".
    """
    rows: list[dict] = []
    there = asked(settings, "segmentation")
    for entry in there:
        rows += rows_of(entry, settings)
    if there:
        first = there[0].frames[0]
        own = first[(first["control"] == OWN) & (first["threshold"] == "validated") & (first["way"] != MEAN_MASK)]
        blank = own.drop_duplicates(["side", "finding", "study"]).assign(way=NOTHING, common=0, found=0)
        rows += rows_of(Asked(there[0].jobs[:1], (blank,)), settings)
    return long_rows(rows)


def rows_of(entry: Asked, settings: Settings) -> list[dict]:
    """Rows of an encoder; of its frames, one per training seed, those that were asked the same."""
    parts: dict[tuple, list[pd.DataFrame]] = {}
    for frame in entry.frames:
        for key, rows in frame.groupby(KEYS, sort=False):
            parts.setdefault(tuple(key), []).append(rows.sort_values("study"))
    found = []
    for (way, side, finding, threshold, control), frames in parts.items():
        own = way not in (MEAN_MASK, NOTHING)
        words = [way] if own else []
        words += [
            f"{side} px",
            *(["threshold 0.5"] if threshold == str(HALF) else []),
            *([control] if control != OWN else []),
        ]
        numbers = [dict(dice_numbers(frame, settings)) for frame in frames]
        for metric in numbers[0]:
            if control == EXCHANGED and metric != WITHOUT:
                continue
            draws = np.stack([of_seed[metric] for of_seed in numbers])
            count = films_behind(metric, frames[0])
            row = entry.row(", ".join(words), finding, metric, draws, count)
            about = {"runs": len(frames)} if own else {"method": way, "runs": 1, "ours": False, "annotated": False}
            found.append({**row, **about})
    return found


def films_behind(metric: str, frame: pd.DataFrame) -> int:
    """Number of films that a metric of `dice_numbers` is about."""
    with_it = int(frame["there"].gt(0).sum())
    return {WITHOUT: with_it, KEPT: len(frame) - with_it}.get(metric, len(frame))


def dice_numbers(
    frame: pd.DataFrame, settings: Settings, patients: Sequence[str] | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """(metric, [1 + resamples]) of the rows of one finding, one per film. patients: of each film; None: each its own."""
    counts = frame[COUNTS].to_numpy(float)
    drawn, has = weights(len(frame), settings, patients), counts[:, 2] > 0
    dice = dice_per_film(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        yield WITH, drawn @ dice / drawn.sum(1)
        yield WITHOUT, drawn @ np.where(has, dice, 0) / (drawn @ has)
        common, found, there = (drawn @ counts).T
        yield PIXELS, 2 * common / (found + there)
        yield KEPT, drawn @ (~has & (counts[:, 1] == 0)) / (drawn @ ~has)
