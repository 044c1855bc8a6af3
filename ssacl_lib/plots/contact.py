"""A contact sheet: many films small, side by side, each with a line below."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .style import DOUBLE, new_figure, show_film, wrap

COLUMNS = 6
LINE = 26
"""Characters of a line under a film."""


def contact_sheet(films: Sequence[np.ndarray], lines: Sequence[str], title: str) -> Figure:
    """Films [H, W] uint8 in rows of COLUMNS, in reading order, with their lines and a title above."""
    rows = max(1, -(-len(films) // COLUMNS))
    figure = new_figure(DOUBLE, 10 + 36 * rows)
    axes = np.ravel(figure.subplots(rows, COLUMNS))
    for place, film, line in zip(axes, films, lines, strict=False):
        show_film(place, film)
        place.set_xlabel(wrap(line, LINE), fontsize=5)
    for place in axes[len(films) :]:
        place.set_axis_off()
    figure.suptitle(wrap(title, 110), fontsize=7.5)
    return figure
