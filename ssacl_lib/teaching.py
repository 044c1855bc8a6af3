"""What the notebooks show beside figures: source of the library, tables, small demonstrations, the explorer.

Everything a cell would otherwise define stands here, so that it is tested and told once.
"""

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown

from .anatomy import default_graph
from .datasets import load_evaluation
from .model import SSACLConfig, SSACLModel
from .model.encoder import VisionEncoder
from .phantom.truth import FINDINGS, Sign
from .plots.anatomy import node_explorer
from .plots.style import png_bytes
from .settings import Settings
from .tables import to_markdown

QUERIES, PATCHES = 3, 4
"""Tokens of the toy encoder whose attention is measured."""


def show_source(function: Callable, docstring: bool = False) -> Markdown:
    """The source of a library function as highlighted Python; its docstring shortened to the first line by default."""
    function = inspect.unwrap(function)
    source = textwrap.dedent(inspect.getsource(function)).rstrip()
    told = inspect.getdoc(function)
    if told and not docstring and '"""' in source:
        head, _, rest = source.partition('"""')
        _, _, body = rest.partition('"""')
        source = f'{head}"""{told.splitlines()[0]}"""{body}'
    module = function.__module__.replace(".", "/").removeprefix("ssacl_lib/")
    return Markdown(f"`ssacl_lib/{module}.py`\n\n```python\n{source}\n```")


def show_table(frame: pd.DataFrame, rows: Mapping[str, object] | None = None, columns: str | None = None) -> Markdown:
    """A long table as text, "value [low, high]" in one column.

    rows: column -> value or list of values to keep. columns: name of the column whose entries become columns ("metric").
    A table without rows becomes a sentence.
    """
    for column, wanted in (rows or {}).items():
        frame = frame[frame[column].isin([wanted] if isinstance(wanted, str) else list(wanted))]
    if not len(frame):
        return Markdown("*This data set has no rows for this table.*")
    if columns is None:
        return Markdown(to_markdown(frame.drop(columns=["seed"], errors="ignore")))
    entries = list(dict.fromkeys(frame[columns]))
    about = [c for c in frame.columns if c not in (columns, "value", "low", "high", "n", "seed")]
    about = [c for c in about if frame[c].nunique() > 1] or about[-1:]
    shown = frame.assign(cell=[f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, a, b in frame[["value", "low", "high"]].to_numpy(float)])
    wide = shown.pivot_table(index=about, columns=columns, values="cell", aggfunc="first", sort=False)[entries]
    return Markdown(to_markdown(wide.fillna("–").reset_index()))


def compare(table: pd.DataFrame, reference: float, **rows: str) -> str:
    """One sentence on one number of a long table: is its 95 % interval above, below or around a reference?

    rows: column=value pairs that leave exactly one row (underscores of a column's name as they are).
    """
    for column, wanted in rows.items():
        table = table[table[column] == wanted]
    what = ", ".join(rows.values())
    if len(table) != 1:
        return f"{what}: not measured on this data set"
    value, low, high = table.iloc[0][["value", "low", "high"]].astype(float)
    place = "above" if low > reference else "below" if high < reference else "not told apart from"
    return f"{what}: {value:.3f} [{low:.3f}, {high:.3f}], {place} {reference:.3f}"


# ---- the phantom
def describe(sign: Sign) -> str:
    """A sign in a few words: what it is, where, how strong."""
    side = sign.side if sign.side else ""
    words = [word for word in (side, sign.zone, sign.kind) if word]
    return f"{' '.join(words)}{', ' if words else ''}severity {sign.severity:.1f}"


def titles_of(studies: Sequence, count: int) -> list[str]:
    """What the first studies have, one line each: the generator's truth where it is known, else the report's labels."""
    titles = []
    for i in range(min(count, len(studies))):
        study = studies[i]
        there = study.truth if study.truth is not None else np.asarray(study.labels[1:]) == 1
        titles.append(", ".join(name for name, yes in zip(FINDINGS, there, strict=True) if yes) or "no finding")
    return titles


def gallery(settings: Settings, search: int = 400) -> tuple[np.ndarray, list[np.ndarray], list[str]] | None:
    """One phantom per finding and one without: images, extents [H, W] bool, titles; None for another data set.

    Per finding the most severe sign among the first `search` test patients, so that the contour can be checked by eye.
    """
    if settings.dataset != "phantom":
        return None
    from .datasets.phantom import body_maps
    from .phantom import draw_signs, render

    best: dict[str, tuple[float, int, int]] = {}
    normal = None
    for number in range(search):
        signs = draw_signs(settings.seed, "test", number)
        normal = number if normal is None and not signs else normal
        for place, sign in enumerate(signs):
            best[sign.finding] = max(best.get(sign.finding, (-1.0, 0, 0)), (sign.severity, -number, place))
    chosen = [(-best[name][1], best[name][2]) for name in FINDINGS if name in best] + ([(normal, None)] if normal is not None else [])
    drawn = render(settings.seed, "test", [number for number, _ in chosen], image_size=settings.data.image_size,
                   ranges=settings.data.phantom_ranges, maps=body_maps(settings), masks=True)  # fmt: skip
    masks, titles = [], []
    for row, (_, place) in enumerate(chosen):
        sign = None if place is None else drawn.signs[row][place]
        masks.append(np.zeros(drawn.images.shape[1:], bool) if sign is None else np.asarray(drawn.sign_masks[row][place], bool))
        titles.append("No Finding\nnothing to outline" if sign is None else f"{sign.finding}\n{describe(sign)}")
    return drawn.images, masks, titles


def patient_with_masks(settings: Settings, number: int = 0) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """One test study: image, masks of the 32 nodes [32, H, W] (None where the data set has not all of them), its regions."""
    study = load_evaluation(settings, "test", limit=number + 1)[number]
    nodes = default_graph().nodes
    masks = np.stack([study.regions[node] for node in nodes]) if all(node in study.regions for node in nodes) else None
    return study.image, masks, study.regions


def explore_nodes(image: np.ndarray, masks: np.ndarray | None):
    """A widget: choose a node, see its place in the tree and its region; the next cell draws one choice as a figure."""
    import ipywidgets

    if masks is None:
        return Markdown("*This data set has no masks of the 32 nodes: nothing to explore.*")
    choice = ipywidgets.Dropdown(options=default_graph().nodes, value="lungs", description="node")
    picture = ipywidgets.Image(value=png_bytes(node_explorer(image, masks, choice.value)), format="png")
    choice.observe(lambda change: setattr(picture, "value", png_bytes(node_explorer(image, masks, change["new"]))), "value")
    return ipywidgets.VBox([choice, picture])


# ---- the model
def model_parts(model: SSACLModel) -> dict[str, tuple[str, int]]:
    """Part of the model -> (its class in the code, number of parameters), for the architecture figure."""
    names = ("encoder.stem", "encoder.blocks", "text", "name_to_query", "decoder", "image_to_text", "head", "language")
    parts = {}
    for name in names:
        module = model.get_submodule(name)
        kind = type(module[0]) if isinstance(module, torch.nn.ModuleList) else type(module)
        parts[name] = (kind.__name__, sum(p.numel() for p in module.parameters()))
    return parts


def model_sizes(model: SSACLModel) -> dict[str, object]:
    """The numbers that the boxes of the architecture figure name."""
    config = model.config
    return {
        "size": config.image_size, "stem": config.stem, "N": config.patches, "depth": config.depth, "D": config.width,
        "text_layers": model.text.bert.config.num_hidden_layers, "Dt": model.text.width, "decoder_depth": config.decoder_depth,
        "language_layers": model.language.gpt.config.n_layer, "L": model.language.prefix_length,
        "total": sum(p.numel() for p in model.parameters()),
    }  # fmt: skip


def who_sees_whom(attention: str, prompts: bool = True) -> np.ndarray:
    """Measure the attention matrix of the encoder itself: does token j change what comes out at token i?

    A tiny encoder of ONE block runs in double precision; entry [i, j] is True where the derivative of output i by input j is
    not zero. Tokens: 3 queries (none where prompts is False), CLS, 4 patches.
    """
    config = SSACLConfig(image_size=4, patch_size=2, channels=1, stem="patch", width=8, depth=1, heads=2, attention=attention)
    torch.manual_seed(0)
    encoder = VisionEncoder(config).double()
    queries = torch.randn(1, QUERIES, config.width, dtype=torch.float64, requires_grad=True) if prompts else None
    pixels = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    torch.nn.init.normal_(encoder.cls_token)
    tokens = encoder(pixels, None, queries)
    outputs = [*(tokens.queries[0] if prompts else ()), tokens.cls[0], *tokens.patches[0]]
    weight = torch.linspace(1, 2, config.width, dtype=torch.float64)
    inputs = [encoder.cls_token, pixels] + ([queries] if prompts else [])
    rows = []
    for output in outputs:
        found = torch.autograd.grad((output * weight).sum(), inputs, retain_graph=True, allow_unused=True)
        cls, film, asked = (*found, None) if not prompts else found
        row = [] if not prompts else [False] * QUERIES if asked is None else (asked[0].abs().amax(-1) > 0).tolist()
        row.append(cls is not None and bool(cls.abs().max() > 0))
        row += [False] * PATCHES if film is None else _by_patch(film).tolist()
        rows.append(row)
    return np.array(rows)


def _by_patch(film: torch.Tensor) -> torch.Tensor:
    """Gradient of the pixels [1, 1, 4, 4] -> which of the four patches has any, reading order."""
    return film[0, 0].abs().view(2, 2, 2, 2).permute(0, 2, 1, 3).reshape(PATCHES, -1).amax(-1) > 0


def attention_matrices() -> tuple[dict[str, np.ndarray], list[str]]:
    """The three matrices of method.md's table, measured, and the kind of each token."""
    paper, release, plain = who_sees_whom("paper"), who_sees_whom("release"), who_sees_whom("release", prompts=False)
    padded = np.zeros_like(release)
    padded[QUERIES:, QUERIES:] = plain
    matrices = {"paper: every pass": paper, "release: passes with prompts": release, "release: passes without prompts": padded}
    return matrices, ["queries"] * QUERIES + ["CLS"] + ["patches"] * PATCHES
