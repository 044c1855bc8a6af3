"""What the notebooks show beside figures: source of the library, tables, small demonstrations, the explorer.

Everything a cell would otherwise define stands here, so that it is tested and told once.
"""

import inspect
import textwrap
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown

from ..anatomy import default_graph
from ..model import SSACLConfig, SSACLModel
from ..model.encoder import VisionEncoder
from ..plots.anatomy import node_explorer
from ..plots.style import png_bytes
from ..record.tables import ESTIMATES, estimate, to_markdown, write_either
from ..settings import Settings, load_settings
from ..training.untrained import untrained

BOOKS = ("file", "ours", "annotated")
"""Columns of a table for who looks a number up; beside the method's name they tell a reader nothing."""

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

    rows: column -> value or list of values to keep, in the order of the list (a table whose estimate has another name, as
    margin, is shown alike). columns: the column whose entries become columns ("metric"), in words, with the number of
    studies or phrases behind each row at the end (and of trainings, where some have several), and without what BOOKS names.
    A written table's caption stands below. A table without rows becomes a sentence.
    """
    for column, wanted in reversed((rows or {}).items()):
        place = {value: i for i, value in enumerate([wanted] if isinstance(wanted, str | int) else wanted)}
        frame = frame[frame[column].isin(place)].sort_values(
            column, key=lambda c, place=place: c.map(place), kind="stable"
        )
    if not len(frame):
        return Markdown("*This data set has no rows for this table.*")
    caption = f"\n\n*{frame.attrs['caption']}*" if frame.attrs.get("caption") else ""
    if columns is None:
        return Markdown(to_markdown(frame.drop(columns=["seed"], errors="ignore")) + caption)
    asked = (rows or {}).get(columns, frame[columns])
    asked = [asked] if isinstance(asked, str) else asked
    entries = [entry for entry in dict.fromkeys(asked) if entry in set(frame[columns])]
    number = next(column for column in ("value", *ESTIMATES) if column in frame)
    about = [c for c in frame.columns if c not in (columns, number, "low", "high", "n", "runs", "seed", *BOOKS)]
    about = [c for c in about if frame[c].nunique() > 1] or about[-1:]
    about = [
        c for c in about if frame.groupby(columns)[c].nunique().max() > 1
    ] or about  # what the new columns say already
    shown = frame.assign(cell=[estimate(*row) for row in frame[[number, "low", "high"]].to_numpy(float)])
    wide = shown.pivot_table(index=about, columns=columns, values="cell", aggfunc="first", sort=False)[entries]
    wide = wide.rename(columns=lambda entry: METRIC_WORDS.get(entry, str(entry).replace("_", " ")))
    behind = frame.groupby(about, sort=False)  # its order need not be that of the rows above: matched by their names
    wide["n"] = behind["n"].agg(_range)
    if "runs" in frame and frame["runs"].max() > 1:
        wide["runs"] = behind["runs"].agg(_range)
    return Markdown(to_markdown(wide.rename_axis(columns=None).fillna("–").reset_index()) + caption)


def _range(counts: pd.Series) -> str:
    """One number behind all estimates of a row, or from the least to the most."""
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def intervals(table: pd.DataFrame) -> str:
    """What the 95 % intervals of a written table hold: studies, and of what was trained several times the trainings, too."""
    words, several = f"95 % intervals over studies ({count(table)})", table[table["runs"] > 1]
    if not len(several):
        return words
    names = " and ".join(f"“{method}”" for method in dict.fromkeys(several["method"]))
    return f"{words}, those of {names} over studies and {int(several['runs'].max())} trainings"


def count(table: pd.DataFrame) -> str:
    """How many values stand behind the rows of a table: "n = 600", or "n = 30 to 558"."""
    if table.empty:
        return "n = 0"
    fewest, most = int(table["n"].min()), int(table["n"].max())
    return f"n = {fewest:,}" if fewest == most else f"n = {fewest:,} to {most:,}"


def definitions(words: Mapping[str, str]) -> Markdown:
    """Names and what they mean, as a list."""
    return Markdown("\n".join(f"- **{name}**. {text[:1].upper()}{text[1:]}." for name, text in words.items()))


METRIC_WORDS = {
    "auc": "AUC",
    "micro_f1_13": "micro F1",
    "micro_f1_13_minus_own": "minus that with own tokens",
    "micro_f1_13_minus_faithful": "minus that with faithful prompts",
    "micro_f1_13_minus_constant": "micro F1 minus that of the constant report",
    "micro_f1_13_minus_head_labels": "micro F1 minus that of the head's own labels",
    "pointing_minus_prior": "pointing minus centre prior",
    "pointing_minus_template": "pointing minus text template",
    "pointing_minus_masked": "pointing minus that of masked evidence",
    "cnr_own_minus_swapped": "CNR, own minus swapped phrase",
    "cnr": "CNR",
    "miou": "mean IoU",
    "dice": "Dice",
    "area_minus_random": "area under the curve minus that of a random order",
    "pointing": "pointing",
    "similarity_across_patients": "likeness across patients",
    "masked": "masked map",
    "similarity": "similarity map",
    "sentence": "sentence evidence",
    "anatomy_reconstruction": "L_ar",
    "anatomical_consistency": "L_ac",
    "restored_like_target": "likeness of restored and target",
    "leaf_cosine_across_patients": "cosine, same leaf, other patients",
    "leaf_cosine_within_patient": "cosine, other leaves, same patient",
}
"""How a metric or a kind of map is called in a sentence."""


def write_if_rows(run, table: pd.DataFrame, name: str, caption: str, **shown) -> Markdown:
    """Write a table that only some data sets have and show it (as `show_table` does); without rows it is not written."""
    return show_table(write_either(run, table, name, caption) if len(table) else table, **shown)


def setting_differences(settings: Settings, other: str) -> Markdown:
    """The keys in which a profile departs from another one, as a table."""

    def flat(values: dict, head: str = "") -> dict:
        found = {}
        for key, value in values.items():
            found.update(flat(value, f"{head}{key}.") if isinstance(value, dict) else {f"{head}{key}": value})
        return found

    here, there = flat(settings.model_dump(mode="json")), flat(load_settings(other).model_dump(mode="json"))
    keys = [key for key in here if "." in key and here[key] != there[key]]
    rows = [{"setting": key, settings.profile: here[key], other: there[key]} for key in keys]
    return Markdown(to_markdown(pd.DataFrame(rows).astype(str)) if rows else f"*This profile is `{other}`.*")


# ---- training
def fresh_model(settings: Settings) -> SSACLModel:
    """The profile's model with random weights."""
    return untrained(settings)


# ---- widgets
def explore_nodes(image: np.ndarray, regions: Mapping[str, np.ndarray]):
    """A widget: choose a node, see its place in the tree and its region; the next cell draws one choice as a figure."""
    import ipywidgets

    if isinstance(node_explorer(image, regions, "chest"), str):
        return Markdown(f"*{node_explorer(image, regions, 'chest')}*")
    choice = ipywidgets.Dropdown(options=default_graph().nodes, value="lungs", description="node")
    picture = ipywidgets.Image(value=png_bytes(node_explorer(image, regions, choice.value)), format="png")
    choice.observe(
        lambda change: setattr(picture, "value", png_bytes(node_explorer(image, regions, change["new"]))), "value"
    )
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
        "size": config.image_size,
        "stem": config.stem,
        "N": config.patches,
        "depth": config.depth,
        "D": config.width,
        "text_layers": model.text.bert.config.num_hidden_layers,
        "Dt": model.text.width,
        "decoder_depth": config.decoder_depth,
        "language_layers": model.language.gpt.config.n_layer,
        "L": model.language.prefix_length,
        "total": sum(p.numel() for p in model.parameters()),
    }


def who_sees_whom(attention: str, prompts: bool = True) -> np.ndarray:
    """Measure the attention matrix of the encoder itself: does token j change what comes out at token i?

    A tiny encoder of ONE block runs in double precision; entry [i, j] is True where the derivative of output i by
    input j is not zero. Tokens: 3 queries (none where prompts is False), CLS, 4 patches.
    """
    config = SSACLConfig(
        image_size=4, patch_size=2, channels=1, stem="patch", width=8, depth=1, heads=2, attention=attention
    )
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
    matrices = {
        "paper: every pass": paper,
        "release: passes with prompts": release,
        "release: passes without prompts": padded,
    }
    return matrices, ["queries"] * QUERIES + ["CLS"] + ["patches"] * PATCHES
