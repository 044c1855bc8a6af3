"""One look for all figures: widths, colours, heat maps over films, and the one door through which a figure is saved.

The figure functions of this package take arrays or data frames and return a matplotlib Figure; they compute no number
that a table does not hold. Where a data set lacks what a figure needs they return a sentence instead, and `save_figure`
shows it.
"""

import io
import re
import textwrap
from pathlib import Path

import matplotlib.style
import numpy as np
import seaborn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image as Picture

from ..record.manifest import Run, atomic_write

STYLE = Path(__file__).with_name("ssacl.mplstyle")

MILLIMETRE = 1 / 25.4
SINGLE, DOUBLE = 85, 178
"""Widths of a figure in millimetres: one column, two columns."""

BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, GREY, YELLOW, SKY = seaborn.color_palette("colorblind").as_hex()
"""Colours that the usual forms of colour blindness tell apart."""

INK, PALE = "#222222", "#E3E3E3"

METHOD_COLOURS = {
    "untrained": GREY,
    "start": "#B5A000",  # the palette's yellow, dark enough for a line on white
    "this run": BLUE,
    "shipped": GREEN,
    "trained on the films": SKY,
    "trained on the phantom": GREEN,
    "supervised small CNN": RED,
    "constant report": BROWN,
    "head labels": PURPLE,
    "centre prior": ORANGE,
    "side prior": PINK,
    "words atlas": PURPLE,
    "words atlas, shuffled reports": PINK,
    "text template": BROWN,
    "mean-mask atlas": SKY,
    "mean-mask atlas, 8 x 8": SKY,
    "oracle 8 x 8": RED,
    "chance": INK,
}
"""One colour per method, the same in every figure."""

ANATOMY_COLOURS = {
    "chest": INK,
    "lungs": BLUE,
    "mediastinum": RED,
    "skeletal structures": GREEN,
    "abdomen": PURPLE,
}
"""One colour per branch of the anatomy graph."""

INLINE = 300_000
"""Bytes of a PNG up to which a notebook shows the file itself."""

HEAT = "inferno"
DIVERGING = "RdBu_r"


def use_style() -> None:
    """Load the style file; every figure function does this first, so that a figure never depends on the session."""
    seaborn.set_theme(context="paper", style="ticks", palette="colorblind")
    matplotlib.style.use(STYLE)  # over seaborn's: sizes for print


def new_figure(width: float = DOUBLE, height: float = 80, **options) -> Figure:
    """An empty figure of the given size in millimetres, in the project's style: constrained layout, or layout="none".

    It is not registered with pyplot: nothing is shown or kept open behind the caller's back.
    """
    use_style()
    figure = Figure(figsize=(width * MILLIMETRE, height * MILLIMETRE), **options)
    if options.get("layout") == "none":
        figure.set_layout_engine("none")  # the style's default wins over the argument
    return figure


def method_colour(method: str) -> str:
    """The colour of a method; an unknown one gets a fixed colour of the palette by its name."""
    spare = (BLUE, GREEN, RED, PURPLE, BROWN, SKY)
    return METHOD_COLOURS.get(method, spare[sum(map(ord, method)) % len(spare)])


def methods_in_order(names) -> list[str]:
    """Distinct methods, in the order of METHOD_COLOURS first."""
    known = list(METHOD_COLOURS)
    return sorted(dict.fromkeys(names), key=lambda name: known.index(name) if name in known else len(known))


def show_film(axes, image: np.ndarray, title: str | None = None, **text) -> None:
    """A film [H, W] (uint8 or 0..1) without axes, bright = dense, grey range fixed to that of its type."""
    top = 255 if np.asarray(image).dtype == np.uint8 else 1.0
    axes.imshow(image, cmap="gray", vmin=0, vmax=top, interpolation="bilinear")
    bare(axes)
    if title:
        axes.set_title(title, **{"fontweight": "normal", "loc": "left", "fontsize": 6.5, "pad": 2.5, **text})


def bare(axes) -> None:
    """Take ticks and frame away."""
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def scaled(heatmap: np.ndarray) -> np.ndarray:
    """A map as 0..1 by its own minimum and maximum (for display; a constant map becomes 0)."""
    heatmap = np.asarray(heatmap, dtype=float)
    low, high = heatmap.min(), heatmap.max()
    return np.zeros_like(heatmap) if high - low < 1e-12 else (heatmap - low) / (high - low)


def heat_over_film(axes, image, heatmap, *, low: float = 0.0, high: float = 1.0, cmap: str = HEAT, alpha: float = 0.7):
    """A heat map [H, W] over its film with the fixed range low..high; returns the mappable for the colour bar.

    The overlay's opacity grows with the value's distance from the bottom of the range (from its middle for a diverging
    map), so the film stays readable where the map says nothing.
    """
    show_film(axes, image)
    values = np.clip((np.asarray(heatmap, float) - low) / (high - low), 0, 1)
    strength = np.abs(values - 0.5) * 2 if cmap == DIVERGING else 0.3 + 0.7 * values
    return axes.imshow(heatmap, cmap=cmap, vmin=low, vmax=high, alpha=alpha * strength, interpolation="bilinear")


def attention_over_film(axes, image, ratio):
    """Attention as a multiple of the uniform one over its film: no colour at 1, red above, blue below (1/4 to 4)."""
    heatmap = np.log2(np.clip(np.asarray(ratio, float), 1e-6, None))
    return heat_over_film(axes, image, np.clip(heatmap, -2, 2), low=-2, high=2, cmap=DIVERGING)


def attention_bar(figure, mappable, axes, **place):
    """The colour bar of `attention_over_film`."""
    bar = colour_bar(figure, mappable, axes, "attention / uniform attention", (-2, -1, 0, 1, 2), **place)
    bar.set_ticklabels(["¼", "½", "1", "2", "4"])
    return bar


def colour_bar(figure, mappable, axes, label: str, ticks=None, **place):
    """A thin colour bar beside the axes (or where `place` says), opaque whatever the overlay's opacity is."""
    solid = ScalarMappable(norm=mappable.norm, cmap=mappable.cmap)
    place = place or {"ax": axes, "fraction": 0.03, "pad": 0.015, "aspect": 30, "shrink": 0.8}
    bar = figure.colorbar(solid, **place)
    bar.set_label(label, fontsize=6.5)
    bar.outline.set_linewidth(0.4)
    if ticks is not None:
        bar.set_ticks(ticks)
    return bar


def outline(axes, mask: np.ndarray, colour: str = SKY, width: float = 0.9, **line) -> None:
    """Contour of a mask [H, W] bool on an image's axes."""
    mask = np.asarray(mask, bool)
    if mask.any():
        padded = np.pad(mask.astype(float), 1)
        span = (np.arange(padded.shape[1]) - 1, np.arange(padded.shape[0]) - 1)
        axes.contour(*span, padded, levels=[0.5], colors=[colour], linewidths=width, **line)
        axes.set_xlim(-0.5, mask.shape[1] - 0.5)
        axes.set_ylim(mask.shape[0] - 0.5, -0.5)


def draw_boxes(axes, boxes, colour: str = SKY, width: float = 0.9) -> None:
    """Boxes [k, 4] as x, y, width, height in pixels of the image."""
    for x, y, w, h in np.asarray(boxes, float).reshape(-1, 4):
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), w, h, fill=False, edgecolor=colour, linewidth=width))


def intervals(axes, positions, value, low, high, *, colour, marker="o", vertical=False, label=None, **line) -> None:
    """Points with their 95 % intervals; horizontal lines by default."""
    value, low, high = (np.asarray(v, float) for v in (value, low, high))
    reach = np.abs(np.stack([value - low, high - value]))
    arguments = (positions, value) if vertical else (value, positions)
    errors = {"yerr" if vertical else "xerr": np.nan_to_num(reach)}
    axes.errorbar(*arguments, **errors, fmt=marker, color=colour, label=label, elinewidth=0.9, capsize=1.5,
                  markeredgewidth=0.5, **line)  # fmt: skip


def wrap(text: str, width: int, formulas: bool = False) -> str:
    """Break a text into lines of at most `width` characters; a dollar sign is one, unless there are `formulas` in it."""
    lines = "\n".join(textwrap.wrap(text, width)) if text else ""
    return lines if formulas else lines.replace("$", r"\$")


def png_bytes(figure: Figure, dpi: int = 110) -> bytes:
    """A figure as the bytes of a PNG, for a widget."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save_figure(run: Run, figure: Figure | str, name: str, caption: str, alt: str = "") -> None:
    """Save a figure as PNG (200 dpi) and PDF in the run's folder, enter both in the manifest, show it with its caption.

    name: "figNN_subject": the notebook's number, then the figure's place in it. caption: opens with the message, as a
    sentence. alt: what the picture shows, for a reader who doesn't see it; the caption's first sentence where none is given.
    A sentence in place of a figure (the data set lacks what it needs) is shown and nothing is saved.

    Raises:
        ValueError: a name of another form, or an empty caption.
    """
    if isinstance(figure, str):
        print(f"{name}: {figure}")
        return
    head = name.split("_")[0]
    if not (len(head) == 5 and head.startswith("fig") and head[3:].isdigit() and "_" in name):
        raise ValueError(f"figure name {name!r}: expected figNN_subject, for instance fig11_films")
    caption = " ".join(caption.split())
    if not caption:
        raise ValueError(f"{name} has no caption; open it with the figure's message")
    alt = " ".join(alt.split()) or re.split(r"(?<=[.?!]) (?=[A-Z])", caption)[0]
    for suffix in ("png", "pdf"):
        path = run.figures / f"{name}.{suffix}"
        with atomic_write(path, "wb") as handle:
            if suffix == "png":
                handle.write(_encoded(_pixels(figure), "PNG"))
            else:
                figure.savefig(handle, format="pdf", metadata={"CreationDate": None})
        run.record(path, caption, alt)
    show_picture(run.figures / f"{name}.png", caption, figure.get_figwidth(), alt)


def _pixels(figure: Figure) -> Picture.Image:
    """The figure at the style's resolution on white; without the opacity that a canvas has and nobody needs."""
    canvas = FigureCanvasAgg(figure)
    figure.dpi = matplotlib.rcParams["savefig.dpi"]
    canvas.draw()
    return Picture.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _encoded(picture: Picture.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()


def show_picture(path: Path, caption: str, inches: float, alt: str) -> None:
    """In a notebook: the saved picture with its alternative text, and its caption below. Elsewhere nothing happens.

    A picture of more than `INLINE` bytes, many films in it, is shown as JPEG: the notebook stays small, the file is whole.
    """
    try:
        from IPython import get_ipython
        from IPython.display import Image, Markdown, display
    except ImportError:
        return
    if get_ipython() is not None:
        data, kind = path.read_bytes(), "png"
        if len(data) > INLINE:
            kind = "jpeg"
            with Picture.open(path) as picture:
                data = _encoded(picture.convert("RGB"), "JPEG", quality=85, subsampling=0)
        display(Image(data=data, format=kind, width=round(inches * 125), alt=alt))
        display(Markdown(f"**{path.stem.split('_')[0].replace('fig', 'Figure ')}.** {caption}"))
