"""The picture that `ssacl report` and `ssacl ground` write: the film, and each map over it with a colour bar."""

import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..record.manifest import atomic_write
from .style import DOUBLE, colour_bar, heat_over_film, new_figure, scaled, show_film, wrap


def overlay_figure(image: np.ndarray, maps: dict[str, np.ndarray], title: str) -> Figure:
    """The image [S, S] uint8 and every named map [S, S] over it, each scaled to its own range."""
    columns = min(4, 1 + len(maps))
    rows = -(-(1 + len(maps)) // columns)
    figure = new_figure(DOUBLE, 16 + 52 * rows)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    show_film(axes[0], image, "film")
    shown = None
    for place, (name, heatmap) in zip(axes[1:], maps.items(), strict=False):
        shown = heat_over_film(place, image, scaled(heatmap))
        place.set_title(wrap(name, 30), fontsize=6.5, loc="left")
    for place in axes[1 + len(maps) :]:
        place.set_axis_off()
    if shown is not None:
        colour_bar(figure, shown, list(axes), "evidence, each map from its minimum to its maximum")
    figure.suptitle(wrap(title, 110), fontsize=7.5)
    return figure


def save_overlay(figure: Figure, path: Path) -> None:
    """PNG through a temporary name."""
    with atomic_write(path, "wb") as handle, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a phrase may be in any script
        figure.savefig(handle, format="png", dpi=200)
