"""A film as it was read: grey levels, upright, with what a reader should know of it and the way back to the file's pixels."""

import logging
import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

PERCENTILES = (0.5, 99.5)
"""Grey window of pictures of more than 8 bits that bring none: a DICOM file without window, a 16-bit PNG."""

MOST_PIXELS = 100_000_000
"""Larger pictures are refused: the largest detectors make 25 million pixels."""

LEAST_CONTRAST, LEAST_SIDE = 4, 16
"""Fewer grey levels between the percentiles, or fewer pixels along a side, are no film."""

SPINE, LUNGS = (slice(16, 56), slice(28, 36)), ((slice(16, 40), slice(12, 24)), (slice(16, 40), slice(40, 52)))
"""Rows and columns of a film of 64 x 64: where the spine lies, brighter on every upright frontal film than the lungs."""

INVERTED = -10
"""Grey levels that spine minus lungs has to fall below; 208 real films lie between 6 and 150."""


@dataclass(frozen=True)
class Film:
    """A picture as the model takes it, before it is squared.

    pixels: [H, W] uint8, bright = dense, upright, pixels as high as wide.
    notes: sentences on what is odd about the file.
    matrix: [2, 3], pixel coordinates (x, y) of the file as it is stored -> those of `pixels`.
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()
    matrix: np.ndarray = field(default_factory=lambda: np.eye(2, 3))

    def from_file(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Move a box (x, y, width, height) from the file's pixels to those of the film."""
        x, y, width, height = box
        corners = self.matrix @ np.array([[x, x + width], [y, y + height], [1, 1]])
        low, high = corners.min(1), corners.max(1)
        return (*map(float, low), *map(float, high - low))

    def to_file(self, x: float, y: float) -> tuple[float, float]:
        """Move a point from the film's pixels to those of the file."""
        return tuple(map(float, np.linalg.solve(self.matrix[:, :2], np.array([x, y]) - self.matrix[:, 2])))


def spelt(path: Path | str) -> str:
    """A path as text that can be printed and written: bytes that are no UTF-8 become \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def quiet(library: str) -> None:
    """Keep a library's warnings of odd files off the screen; what matters of them is said by our own notes and lines.

    A filter that stays, not catch_warnings: films are read by several threads, which would put back each other's filters.
    """
    warnings.filterwarnings("ignore", module=rf"{re.escape(library)}(\..*)?$")
    logger = logging.getLogger(library)
    if not logger.handlers:  # without a handler of its own Python prints what it logs
        logger.addHandler(logging.NullHandler())


def refusal(path: Path, what: str, error: object, mend: str) -> ValueError:
    """One line that names the file, what a library said, and what to do."""
    said = " ".join(str(error).split()) or type(error).__name__
    said = f"{said[:200]} …" if len(said) > 200 else said
    return ValueError(f"{spelt(path)}: {what} ({said}); {mend}")


def check_size(path: Path, width: int, height: int) -> None:
    """Raises ValueError for more than MOST_PIXELS."""
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"{spelt(path)}: too large, {width} x {height} pixels; the limit is {MOST_PIXELS:,}; scale it down first"
        )


def check_numbers(path: Path, pixels: np.ndarray) -> None:
    """Raises ValueError for pixels that are no numbers."""
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError(f"{spelt(path)}: holds pixels that are no numbers (NaN or infinite); replace them first")


def stretch(pixels: np.ndarray, kept: np.ndarray | None = None) -> np.ndarray:
    """Map the percentile window of `pixels` (of those `kept`, [H, W] bool) to 0 .. 255."""
    pixels = np.asarray(pixels, dtype=np.float64)
    counted = pixels if kept is None or not kept.any() else pixels[kept]
    low, high = np.percentile(counted, PERCENTILES)
    if high <= low:
        low, high = float(counted.min()), float(counted.max())
    return to_grey((pixels - low) / max(high - low, 1e-9))


def to_grey(shares: np.ndarray) -> np.ndarray:
    """0 .. 1 -> 0 .. 255 as uint8."""
    return np.round(np.clip(shares, 0, 1) * 255).astype(np.uint8)


def turned(pixels: np.ndarray, transpose: bool, mirror: bool, upend: bool) -> tuple[np.ndarray, np.ndarray]:
    """Exchange rows and columns, then reverse columns, then rows: the pixels and the matrix of `Film`."""
    matrix = np.eye(2, 3)
    if transpose:
        pixels, matrix = pixels.T, matrix[::-1]
    height, width = pixels.shape
    if mirror:
        pixels, matrix = pixels[:, ::-1], np.array([[-1, 0], [0, 1]]) @ matrix + [[0, 0, width], [0, 0, 0]]
    if upend:
        pixels, matrix = pixels[::-1], np.array([[1, 0], [0, -1]]) @ matrix + [[0, 0, 0], [0, 0, height]]
    return np.ascontiguousarray(pixels), matrix


def noted(film: Film) -> Film:
    """The film with what its grey levels say: no contrast, or bright where a film is dark."""
    height, width = film.pixels.shape
    low, high = np.percentile(film.pixels, PERCENTILES)
    notes = []
    if min(height, width) < LEAST_SIDE:
        notes = [f"the picture has no contrast that a film has: it is {width} x {height} pixels"]
    elif high - low < LEAST_CONTRAST:
        notes = ["the picture has no contrast: it is one grey level"]
    else:
        small = np.asarray(Image.fromarray(film.pixels).resize((64, 64), Image.Resampling.BILINEAR), dtype=np.float64)
        if small[SPINE].mean() - np.mean([small[lung].mean() for lung in LUNGS]) < INVERTED:
            notes = ["the picture looks inverted: the spine is darker than the lungs; bright should be dense"]
    return Film(film.pixels, (*film.notes, *notes), film.matrix)
