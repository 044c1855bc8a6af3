"""The architecture figure of notebook 02: parts (a) to (e), two passes, and where texts go; classes and counts from the model."""

from collections.abc import Mapping, Sequence
from math import cos, sin

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..anatomy import default_graph
from . import style
from .tree import radial_layout

MASKED, UNMASKED, TEXT, WORDS = "masked pass", "unmasked pass", "vectors of texts", "words"
LINES = {
    MASKED: {"color": style.BLUE, "linestyle": (0, (2.5, 1.2))},
    UNMASKED: {"color": style.BLUE, "linestyle": "-"},
    TEXT: {"color": style.ORANGE, "linestyle": "-"},
    WORDS: {"color": style.INK, "linestyle": (0, (1, 1))},
}
"""What a line carries, and how it is drawn."""

BOXES = {
    # part: (x, y, width, height in millimetres, colour, title, words); {…} are filled from the model
    "film": (1, 95, 21, 12, style.PALE, "film", "{size} x {size} px"),
    "leaves": (1, 50, 21, 12, style.PALE, "25 leaf names", "words, no boxes"),
    "report": (1, 19, 21, 12, style.PALE, "report", "free text"),
    "encoder.stem": (27, 93, 26, 16, style.SKY, "stem", "{stem}\n{N} patches"),
    "encoder.blocks": (60, 74, 36, 43, style.SKY, "visual encoder", ""),
    "text": (27, 35, 26, 16, style.ORANGE, "text encoder $E_t$", "depth {text_layers}, width {Dt}"),
    "name_to_query": (60, 27, 36, 38, style.ORANGE, "(a) query restoration", ""),
    "decoder": (117, 101, 31, 17, style.GREEN, "visual decoder, (b)", "depth {decoder_depth}"),
    "image_to_text": (117, 81, 31, 15, style.SKY, "image to text", "mean of the kept patches"),
    "consistency": (117, 62, 31, 14, style.PALE, "(c) consistency", "the 25 leaf tokens of\ntwo patients"),
    "head": (117, 35, 31, 21, style.BROWN, "(d) anatomy inference",
             "training: labeler reads report\nlater: finding head reads film"),
    "language": (117, 7, 31, 20, style.PURPLE, "(e) language decoder",
                 "depth {language_layers}, prefix of {L}:\nopen leaves, patches"),
}  # fmt: skip

ARROWS: tuple[tuple[str, Sequence[tuple[float, float]]], ...] = (
    (MASKED, ((22, 104), (27, 104))),
    (UNMASKED, ((22, 98), (27, 98))),
    (WORDS, ((22, 56), (40, 56), (40, 51))),
    (WORDS, ((22, 28), (40, 28), (40, 35))),
    (WORDS, ((22, 24.5), (110, 24.5), (110, 40), (117, 40))),
    (WORDS, ((22, 21.5), (56, 21.5), (56, 11), (117, 11))),
    (TEXT, ((53, 46), (60, 46))),
    (TEXT, ((78, 65), (78, 74))),
    (TEXT, ((53, 39), (56.5, 39), (56.5, 68), (110, 68), (110, 65), (117, 65))),
    (TEXT, ((110, 68), (110, 85), (117, 85))),
    (MASKED, ((53, 105), (63, 105))),
    (UNMASKED, ((53, 97), (57, 97), (57, 92), (63, 92))),
    (MASKED, ((93, 105), (100, 105), (100, 113), (117, 113))),
    (MASKED, ((100, 105), (100, 91), (117, 91))),
    (UNMASKED, ((93, 92), (97.8, 92), (97.8, 106), (117, 106))),
    (UNMASKED, ((97.8, 92), (97.8, 72), (117, 72))),
    (UNMASKED, ((97.8, 72), (97.8, 49), (117, 49))),
    (UNMASKED, ((97.8, 49), (97.8, 18), (117, 18))),
    (WORDS, ((132.5, 35), (132.5, 27))),
)
"""What flows, and its way."""

NOTES = (
    (149.5, 113.5, "$L_{ir}$  hidden patches"),
    (149.5, 106, "$L_{ar}$  parents from\n        their children"),
    (149.5, 88, "$L_{cl}$  image against\n        report"),
    (149.5, 69, "$L_{ac}$  the same leaf,\n        across patients"),
    (149.5, 47, "no loss of the paper:\nthe head is fitted when\nall else is trained"),
    (149.5, 17, "$L_{lm}$  next word\n        of the report"),
    (101.5, 114.5, "patches, nodes"),
    (101.5, 107.5, "parents: target"),
    (101.5, 92.5, "patches"),
    (101.5, 73.5, "leaves"),
    (101.5, 50.5, "patches"),
    (99.3, 19.5, "leaves, patches"),
    (134, 31, "opens leaves, names findings"),
    (79.2, 71, "32 queries"),
    (28.5, 57.3, "names"),
    (28.5, 29.3, "report"),
)
"""Place and words: the losses at the right, what lines carry."""


def architecture(parts: Mapping[str, tuple[str, int]], sizes: Mapping[str, object]) -> Figure:
    """The model as boxes with the class that each part is in the code and its number of parameters.

    parts: attribute of the model ("encoder.stem", "text", …) -> (class name, parameters).
    sizes: size, stem, N, depth, D, text_layers, Dt, decoder_depth, language_layers, L, total: what the boxes say.
    """
    figure = style.new_figure(style.DOUBLE, 122, layout="none")
    ax = figure.add_axes((0, 0, 1, 1))
    for name, box in BOXES.items():
        _box(ax, box, parts.get(name), sizes)
    for y, words, kind in (
        (99.5, "masked pass: half of the patches", MASKED),
        (87, "unmasked pass: all patches", UNMASKED),
    ):
        ax.add_patch(_rounded(63, y, 30, 9, "white", style.BLUE, LINES[kind]["linestyle"]))
        ax.text(78, y + 4.5, words.replace(": ", ":\n"), ha="center", va="center", fontsize=5.4)
    told = f"depth {sizes['depth']}, width {sizes['D']}\nqueries look, are not seen"
    ax.text(78, 81, told, ha="center", va="center", fontsize=5.4, linespacing=1.35)
    _graph(ax, 78, 44, 9.5)
    ax.text(78, 30.5, "25 leaves to 32 queries", ha="center", va="center", fontsize=5.4)
    for kind, points in ARROWS:
        _way(ax, points, **LINES[kind])
    for x, y, words in NOTES:
        ax.text(x, y, words, fontsize=6.2 if x > 148 else 4.9, va="center", linespacing=1.3)
    for number, (kind, line) in enumerate(LINES.items()):
        ax.plot([1, 8], [13 - 3.6 * number] * 2, linewidth=1, **line)
        ax.text(9.5, 13 - 3.6 * number, kind, fontsize=5.4, va="center")
    ax.text(78, 4, f"{_count(sizes['total'])} parameters in all", ha="center", fontsize=6.5, fontweight="bold")
    ax.set_xlim(0, 178)
    ax.set_ylim(0, 122)
    style.bare(ax)
    return figure


def _rounded(x, y, width, height, face, edge, line="-") -> FancyBboxPatch:
    return FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=1.2", linewidth=0.8, facecolor=face,
                          edgecolor=edge, linestyle=line)  # fmt: skip


def _box(ax, box, part, sizes) -> None:
    x, y, width, height, colour, title, words = box
    ax.add_patch(_rounded(x, y, width, height, _lighter(colour), style.INK if colour == style.PALE else colour))
    ax.text(x + width / 2, y + height - 1.4, title, ha="center", va="top", fontsize=6.2, fontweight="bold")
    lines = [words.format_map(sizes), f"{part[0]}: {_count(part[1])}" if part else ""]
    place = y + height - (4.6 if height > 30 else 5)  # the tall boxes hold a drawing
    told = "\n".join(filter(None, lines))
    ax.text(x + width / 2, place, told, ha="center", va="top", fontsize=5.2, linespacing=1.35)


def _graph(ax, x: float, y: float, radius: float) -> None:
    """The anatomy graph, small: leaves outside, the seven parents filled."""
    graph, layout = default_graph(), radial_layout()
    furthest = max(distance for _, distance in layout.values())

    def place(node: str) -> tuple[float, float]:
        angle, distance = layout[node]
        return x + radius * distance / furthest * sin(angle), y + radius * distance / furthest * cos(angle)

    for parent, child in graph.edges:
        ax.plot(*zip(place(parent), place(child), strict=True), color=style.ORANGE, linewidth=0.6, zorder=2)
    for node in graph.nodes:
        inner = node in graph.parents
        ax.plot(*place(node), "o", markersize=3.4 if inner else 2.2, color=style.ORANGE, zorder=3, markeredgewidth=0.6,
                markerfacecolor=style.ORANGE if inner else "white")  # fmt: skip


def _way(ax, points, **line) -> None:
    """A bent line with an arrow's head at its end."""
    xs, ys = zip(*points, strict=True)
    ax.plot(xs[:-1], ys[:-1], linewidth=0.9, solid_capstyle="butt", zorder=1, **line)
    ax.add_patch(FancyArrowPatch(points[-2], points[-1], arrowstyle="-|>", mutation_scale=6, linewidth=0.9, shrinkA=0,
                                 shrinkB=0, zorder=1, **line))  # fmt: skip


def _lighter(colour: str) -> tuple[float, ...]:
    return tuple(1 - (1 - part) * 0.22 for part in to_rgb(colour)) if colour != style.PALE else to_rgb("#F7F7F7")


def _count(parameters) -> str:
    """1234567 -> "1.23 M"."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if parameters >= size:
            return f"{parameters / size:.3g} {unit}"
    return str(parameters)
