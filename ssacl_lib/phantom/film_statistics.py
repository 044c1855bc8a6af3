"""How like a film: grey levels and radial power spectrum of images, and the same numbers measured on 208 real films.

The real films are the frontal radiographs of the COVID-19 image data collection (J. P. Cohen et al., arXiv:2006.11988) that
have lung boxes; licences per image CC BY-NC-SA, CC BY or CC BY-SA. `real_film_statistics.json` holds only these averages: no
film can be made from them. `measure_films(files)` made it.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

STORED = Path(__file__).with_name("real_film_statistics.json")
SIZES = (64, 96, 128, 224)
"""Image sizes for which real films were measured."""

BIN = 4
"""Grey levels per bin of the histogram."""


def statistics(images: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Grey levels and power spectrum of a set of films: mean over films and the middle 90 % of them.

    Args:
        images: [n, S, S] uint8.

    Returns:
        grey: columns grey (0 to 255), share (of pixels per grey level), low, high.
        spectrum: columns frequency (cycles per image side), power (a film's mean over frequencies is 1), low, high. The mean
            of the image is taken off and a Hann window keeps the borders out.

    Raises:
        ValueError: no images, or not square ones of uint8.
    """
    images = np.asarray(images)
    if images.ndim != 3 or not len(images) or images.shape[1] != images.shape[2] or images.dtype != np.uint8:
        raise ValueError(f"images must be [n, S, S] uint8 with n > 0, found {images.shape} {images.dtype}")
    size = images.shape[1]
    counts = np.stack([np.bincount(image.ravel() // BIN, minlength=256 // BIN) for image in images])
    grey = _frame("grey", np.arange(256 // BIN) * BIN + (BIN - 1) / 2, "share", counts / (size * size * BIN))
    frequencies = np.fft.fftfreq(size, 1 / size)
    radius = np.round(np.hypot(frequencies[:, None], frequencies[None])).astype(int)
    rings = np.arange(1, size // 2 + 1)
    window = np.hanning(size)[:, None] * np.hanning(size)[None]
    powers = []
    for image in images:
        values = image / 255 - image.mean() / 255
        power = np.abs(np.fft.fft2(values * window)) ** 2
        ring = np.bincount(radius.ravel(), power.ravel())[rings] / np.bincount(radius.ravel())[rings]
        powers.append(ring / max(ring.mean(), 1e-12))
    return grey, _frame("frequency", rings, "power", np.stack(powers))


def _frame(x: str, values: np.ndarray, y: str, rows: np.ndarray) -> pd.DataFrame:
    low, high = np.percentile(rows, (5, 95), axis=0)
    return pd.DataFrame({x: values, y: rows.mean(axis=0), "low": low, "high": high})


def real_films(image_size: int) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The same two tables for the real films at an image size, with their number n; None where none were measured (`SIZES`)."""
    with open(STORED, encoding="utf-8") as handle:
        told = json.load(handle)
    stored = told["sizes"].get(str(image_size))
    if stored is None:
        return None
    return tuple(pd.DataFrame(stored[name]).assign(n=told["films"]) for name in ("grey", "spectrum"))


def measure_films(files: Iterable[Path]) -> dict:
    """Numbers for `real_film_statistics.json` from image files: each cut to its central square, at every size of SIZES."""
    files = list(files)
    sizes = {}
    for size in SIZES:
        images = np.stack([np.asarray(ImageOps.fit(Image.open(f).convert("L"), (size, size), Image.Resampling.BOX))
                           for f in files])  # fmt: skip
        tables = zip(("grey", "spectrum"), statistics(images), strict=True)
        sizes[str(size)] = {name: {column: [float(f"{value:.4g}") for value in frame[column]] for column in frame}
                            for name, frame in tables}  # fmt: skip
    return {"films": len(files), "source": "frontal radiographs with lung boxes of the COVID-19 image data collection, "
            "Cohen et al., arXiv:2006.11988", "licence": "images CC BY-NC-SA, CC BY or CC BY-SA; here only averages over films",
            "sizes": sizes}  # fmt: skip
