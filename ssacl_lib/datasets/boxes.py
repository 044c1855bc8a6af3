"""The tables of boxes of a folder of films, checked against the films before any work."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..anatomy import default_graph
from ..images import box_mask, film_rectangle, letterbox_box, stored_shape
from ..observations import FINDINGS
from .csv_table import read_csv

REGION_BOXES = "region_boxes.csv"
PHRASE_BOXES = "phrase_boxes.csv"
COARSE = 64
"""Side of the square on which boxes are asked whether they cover the film."""


def image_path(root: Path, name: str) -> Path:
    """The file of an `image` entry: relative to the folder itself or to its images/."""
    direct = root / name
    return direct if direct.is_file() else root / "images" / name


def read_boxes(root: Path, images: Sequence[str]) -> dict[str, tuple[pd.DataFrame | None, int]]:
    """The tables of boxes of the given images, checked: file name -> (table, boxes left out)."""
    boxes = {}
    for name, columns, group, known in (
        (REGION_BOXES, ("region",), "region", default_graph().nodes),
        (PHRASE_BOXES, ("phrase", "finding"), "key", FINDINGS),
    ):
        table = _boxes(root / name, columns)
        _check_names(root / name, table, columns[-1], known)
        boxes[name] = _without_whole_films(root / name, table, group, root, images)
    return boxes


def _boxes(path: Path, columns: Sequence[str]) -> pd.DataFrame | None:
    """A table of boxes with one tuple per row in `box`, and the lower-cased phrase in `key`; None where there is none."""
    if not path.is_file():
        return None
    table = read_csv(path, ("image", *columns, "x", "y", "w", "h"))
    numbers = table[["x", "y", "w", "h"]].apply(pd.to_numeric, errors="coerce").astype(float)
    wrong = ~np.isfinite(numbers).all(axis=1) | (numbers["w"] <= 0) | (numbers["h"] <= 0)
    if wrong.any():
        raise ValueError(f"{path}: line {wrong.idxmax()}: x, y, w, h should be numbers, w and h above 0")
    table["box"] = list(numbers.itertuples(index=False, name=None))
    if "phrase" in table:
        table["key"] = table["phrase"].str.strip().str.lower()
        if (empty := table["key"] == "").any():
            raise ValueError(f"{path}: line {empty.idxmax()}: no phrase")
    return table


def _without_whole_films(
    path: Path, table: pd.DataFrame | None, group: str, root: Path, images: Sequence[str]
) -> tuple[pd.DataFrame | None, int]:
    """The boxes of the given images, without groups that cover the whole film: nothing can be told apart there.

    Returns the table and the count of what was left out.
    Raises ValueError for a box that lies beside its film, with its line.
    """
    if table is None:
        return None, 0
    table = table[table["image"].isin(set(images))]
    whole = []
    for image, rows in table.groupby("image", sort=False):
        shape = stored_shape(image_path(root, image))
        if shape is None:  # it can't be read, and its study is left out
            continue
        for line, (x, y, width, height) in rows["box"].items():
            if x >= shape[1] or y >= shape[0] or x + width <= 0 or y + height <= 0:
                raise ValueError(
                    f"{path}: line {line}: the box {x:g}, {y:g}, {width:g}, {height:g} lies beside {image}, a film of "
                    f"{shape[1]} x {shape[0]} pixels"
                )
        place = film_rectangle(shape, COARSE)
        for _, same in rows.groupby(group, sort=False):
            masks = [box_mask(letterbox_box(box, shape, COARSE), COARSE)[place] for box in same["box"]]
            if np.any(masks, axis=0).all():
                whole += same.index.tolist()
    return table.drop(index=whole), len(whole)


def _check_names(path: Path, table: pd.DataFrame | None, column: str, known: Sequence[str]) -> None:
    unknown = sorted(set(table[column]) - set(known)) if table is not None else []
    if unknown:
        raise ValueError(f"{path}: unknown {column} {unknown[0]!r}; there are {', '.join(known)}")
