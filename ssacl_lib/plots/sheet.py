"""Pictures of an evidence sheet, small enough to stand inside of the page: film, map over it, outline of the region."""

import base64
import io

import contourpy
import numpy as np
from PIL import Image

from ..images import letterbox

OWN, OTHER, LOOKED = "#E69F00", "#56B4E9", "#CC79A7"
"""Colours of a map, of its control and of named anatomies: three that the usual forms of colour blindness tell apart.

The outlines differ as well (solid, dashed, dotted), so that no colour is needed.
"""

LARGEST, SMALLEST = 720, 360
"""Pixels along the side of the film in a page, at most and at least."""

REGION = 0.5
"""Share of a map's maximum that a region's edge has."""

STEPS = 32
"""Degrees of opacity of a map."""


def film_data(film: np.ndarray, least: int = SMALLEST, most: int = LARGEST) -> str:
    """A film [H, W] uint8 in its square, as the model takes it, as the data URI of a JPEG."""
    side = int(np.clip(max(film.shape), least, most))
    buffer = io.BytesIO()
    Image.fromarray(letterbox(film, side)).save(buffer, "JPEG", quality=88, optimize=True)
    return _uri("jpeg", buffer)


def heat_data(heatmap: np.ndarray, top: float, colour: str) -> str:
    """A map [S, S] as the data URI of a PNG in one colour: nothing at 0 and below, most opaque at `top` and above."""
    levels = np.round(np.clip(heatmap / max(top, 1e-12), 0, 1) * (STEPS - 1)).astype(np.uint8)
    picture = Image.fromarray(levels, "P")
    picture.putpalette([int(colour[at : at + 2], 16) for at in (1, 3, 5)] * STEPS)
    opacity = bytes(round(205 * level / (STEPS - 1)) for level in range(STEPS))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=opacity, optimize=True)
    return _uri("png", buffer)


def outline_path(heatmap: np.ndarray) -> str:
    """The edge of a map's region [S, S], where it is above REGION of its maximum, as the path of an SVG in its pixels.

    Nothing for a map without a positive value.
    """
    top = float(np.max(heatmap))
    if top <= 0:
        return ""
    padded = np.pad(np.asarray(heatmap, float), 1, constant_values=min(0.0, float(np.min(heatmap))))
    lines = contourpy.contour_generator(z=padded).lines(REGION * top)
    # a pixel's value stands at its middle, and the padding takes one pixel in front
    return "".join("M" + "L".join(f"{x - 0.5:.1f} {y - 0.5:.1f}" for x, y in line) + "Z" for line in lines)


def _uri(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
