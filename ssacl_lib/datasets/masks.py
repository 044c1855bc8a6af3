"""Films with masks of findings: what segmentation learns from and is scored on, and how masks stand in files.

A mask is a picture as large as its film's (bright = inside), or run lengths in the writing of the SIIM-ACR contest: pairs
"gap length", pixels counted down the columns, each gap from the end of the run before; "-1" is a film without any.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from .. import paths
from ..film import Film, spelt
from ..images import kind_of, letterbox, letterbox_geometry, read_film, read_image, stored_shape
from ..record.manifest import atomic_write
from ..record.sources import sha256_json

TOLD = ("names", "findings", "skipped")
"""Fields of `MaskedFilms` that are texts."""

NO_MASK = "-1"
INSIDE = 128
"""Grey levels from here on are inside of a mask."""


@dataclass(frozen=True)
class MaskedFilms:
    """Films of a split with the masks of K findings.

    films: [n, S, S] uint8. masks: [n, K, S, S] bool, all False where the finding is absent. findings: K names.
    skipped: why a film is left out, a sentence each.
    """

    names: list[str]
    films: np.ndarray
    masks: np.ndarray
    findings: tuple[str, ...]
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def present(self) -> np.ndarray:
        """Has the film any pixel of the finding? [n, K] bool."""
        return self.masks.any((2, 3))


def keep_films(name: str, parts: object, make: Callable[[], MaskedFilms]) -> MaskedFilms:
    """Films that `make` gave before, from a file beside the prepared studies; made where it is not there.

    parts: all that decides them, as JSON values.
    """
    path = paths.STUDIES / f"{name}-{sha256_json(parts)[:16]}.npz"
    if not path.is_file():
        made = make()
        with atomic_write(path, "wb") as handle:
            np.savez(
                handle,
                films=made.films,
                masks=np.packbits(made.masks, axis=-1),
                **{name: np.array(getattr(made, name), str) for name in TOLD},
            )
    with np.load(path, allow_pickle=False) as kept:
        told = {name: kept[name].tolist() for name in TOLD}
        masks = np.unpackbits(kept["masks"], axis=-1, count=kept["films"].shape[-1]).astype(bool)
        return MaskedFilms(told["names"], kept["films"], masks, tuple(told["findings"]), told["skipped"])


def run_lengths(mask: np.ndarray) -> str:
    """A mask [H, W] bool in the contest's writing.

    >>> run_lengths(np.array([[0, 1], [1, 1]], bool))
    '1 3'
    """
    column = np.concatenate([[False], np.asarray(mask, bool).T.ravel(), [False]])
    turns = np.flatnonzero(column[1:] != column[:-1])
    if not len(turns):
        return NO_MASK
    starts, ends = turns[::2], turns[1::2]
    gaps = starts - np.concatenate([[0], ends[:-1]])
    return " ".join(f"{gap} {length}" for gap, length in zip(gaps, ends - starts, strict=True))


def mask_of_runs(text: str, height: int, width: int, where: str = "run lengths") -> np.ndarray:
    """The mask [height, width] bool of `run_lengths`.

    Raises:
        ValueError: not pairs of whole numbers, or runs beyond the picture; begins with `where`.
    """
    if text.strip() in (NO_MASK, ""):
        return np.zeros((height, width), bool)
    words = text.split()
    if len(words) % 2 or not all(word.isdigit() for word in words):
        raise ValueError(f'{where}: {text[:40]!r} are no run lengths; expected pairs "gap length", or {NO_MASK}')
    pairs = np.array(words, int).reshape(-1, 2)
    ends = pairs.sum(1).cumsum()
    if ends[-1] > height * width:
        raise ValueError(f"{where}: runs end at pixel {ends[-1]}, but the film has {height} x {width}")
    column = np.zeros(height * width, bool)
    for end, length in zip(ends, pairs[:, 1], strict=True):
        column[end - length : end] = True
    return column.reshape(width, height).T


def read_mask(path: Path, film: Path) -> np.ndarray:
    """A mask picture [H, W] bool in the pixels of its film's file.

    Raises:
        ValueError: not readable, of another size than the film's file, or with numbers of classes in place of black and white.
    """
    grey, shape = read_image(path), stored_shape(film)
    if classes := _classes(path):
        raise ValueError(
            f"{spelt(path)}: numbers of {classes} classes or instances; save what is inside as white and all else as black"
        )
    mask = grey >= INSIDE
    if grey.any() and not mask.any():
        raise ValueError(
            f"{spelt(path)}: its brightest pixel is {grey.max():g} of 255; save what is inside as white (255)"
        )
    if mask.shape != shape:
        raise ValueError(
            f"{spelt(path)}: {mask.shape[1]} x {mask.shape[0]} pixels where its film {film.name} has "
            f"{shape[1]} x {shape[0]}; save the mask in the film's size"
            if shape
            else f"{spelt(film)}: its size can't be read; copy it again from its source"
        )
    return mask


def _classes(path: Path) -> int:
    """How many values a mask of more than 8 bits holds beside 0, if more than one; else 0: reading would stretch them."""
    if kind_of(path) not in ("PNG", "TIFF"):
        return 0
    with Image.open(path) as picture:
        deep = picture.mode.startswith("I")
        values = np.unique(np.asarray(picture)) if deep else np.zeros(0)
    count = len(values[values != 0])
    return count if count > 1 else 0


def on_film(mask: np.ndarray, film: Film) -> np.ndarray:
    """A mask in the pixels of the file, turned and stretched as its film was: [H, W] bool of the film's own shape.

    mask: [h, w] bool, in the proportions of the file; where it is of another size, it is scaled.
    """
    height, width = film.pixels.shape
    rows, columns = np.mgrid[:height, :width] + 0.5
    inverse = np.linalg.inv(film.matrix[:, :2])
    shift = film.matrix[:, 2]
    x = inverse[0, 0] * (columns - shift[0]) + inverse[0, 1] * (rows - shift[1])
    y = inverse[1, 0] * (columns - shift[0]) + inverse[1, 1] * (rows - shift[1])
    corners = np.linalg.solve(film.matrix[:, :2], np.array([[0, width], [0, height]]) - shift[:, None])
    stored = np.abs(corners[:, 1] - corners[:, 0])  # width and height of the file
    across = np.clip(x / stored[0] * mask.shape[1], 0, mask.shape[1] - 1).astype(int)
    down = np.clip(y / stored[1] * mask.shape[0], 0, mask.shape[0] - 1).astype(int)
    return mask[down, across]


def square_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """A film's mask [H, W] bool in the letterboxed square [size, size]: pixels of which at least half is inside.

    A finding does not vanish in a small square: where no pixel has half, those with the largest share are inside.
    """
    height, width = mask.shape
    scale, left, top = letterbox_geometry(height, width, size)
    new = (max(1, round(width * scale)), max(1, round(height * scale)))
    share = np.asarray(Image.fromarray(np.uint8(255) * mask).resize(new, Image.Resampling.BOX), float) / 255
    square = np.zeros((size, size), bool)
    if mask.any():
        # a single pixel of a large film may round to a share of 0: then the place of its middle is taken
        middle = np.argwhere(mask).mean(0) * [new[1] / height, new[0] / width]
        if not share.any():
            share[tuple(middle.astype(int))] = 1
        square[top : top + new[1], left : left + new[0]] = share >= min(0.5, share.max())
    return square


def read_masked(
    rows: Sequence[tuple[str, Path, Sequence[np.ndarray | Path | None]]], findings: Sequence[str], size: int
) -> MaskedFilms:
    """Read films with their masks: rows of (name, file of the film, per finding a mask, a file of one, or None for none).

    A film that can't be read is left out with its reason.

    Raises:
        ValueError: a mask does not fit its film, or no film can be read.
    """
    names, films, masks, skipped = [], [], [], []
    for name, path, given in rows:
        try:
            film = read_film(path)
        except (ValueError, OSError) as error:
            skipped.append(f"{name}: {error}")
            continue
        own = []
        for mask in given:
            found = read_mask(mask, path) if isinstance(mask, Path) else mask
            empty = np.zeros((size, size), bool)
            own.append(empty if found is None or not found.any() else square_mask(on_film(found, film), size))
        names.append(name)
        films.append(letterbox(film.pixels, size))
        masks.append(np.stack(own))
    if not names:
        raise ValueError(f"none of {len(rows)} films can be read; first: {skipped[0] if skipped else 'there is none'}")
    return MaskedFilms(names, np.stack(films), np.stack(masks), tuple(findings), skipped)
