"""Figures of notebook 07: ours against the reference formulation, the cost of each term, cost curves, inference.

Every function takes the long table of `evaluation/benchmarks.py` (what, metric, value, low, high). Where something was not
measured (another device, a quick run), its rows are absent and so are its marks.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from . import style

OURS, REFERENCE, CHUNKED, NAIVE = style.BLUE, style.ORANGE, style.BLUE, style.RED

COMPARISONS = {
    "training_step_release_without_pair_loop": "release mode against its plain form\n(four passes, no loop over pairs)",
    "training_step_release": "release mode against its plain form\n(four passes, loop over pairs)",
    "training_step_dense": "paper mode against its plain form\n(dense mask, loop over pairs)",
    "training_step_without_pair_loop": "paper mode against release mode's\nfour passes, no loop over pairs",
    "training_step": "paper mode against release mode's\nfour passes, loop over pairs",
}
"""Rows of the figure: equal functions first."""

TERMS = {
    "term_image_reconstruction": "$L_{ir}$ alone",
    "term_anatomy_reconstruction": "$L_{ar}$ alone",
    "term_global_contrastive": "$L_{cl}$ alone",
    "term_anatomical_consistency": "$L_{ac}$ alone",
    "term_report_generation": "$L_{lm}$ alone",
    "terms_together": "all five together",
    "step_with_optimizer": "whole step with AdamW",
}

PRECISIONS = {"bf16": "bfloat16", "fp32": "float32"}

LIMIT_MEGABYTES = 8000
"""What L_ac of a gathered batch of 4096 may take."""


def pick(table: pd.DataFrame, metric: str, names) -> pd.DataFrame:
    """Rows of one metric by name, in the order of `names`; names that were not measured are left out."""
    part = table[table["metric"] == metric].set_index("what")
    return part.loc[[name for name in names if name in part.index]]


def by_size(table: pd.DataFrame, start: str, metric: str, end: str = "") -> pd.DataFrame:
    """Rows of one metric whose name is `start`, a number and `end`, indexed by that number, ascending."""
    part = table[(table["metric"] == metric) & table["what"].str.fullmatch(f"{start}[0-9]+{end}")]
    sizes = part["what"].str.removeprefix(start).str.removesuffix(end).astype(int)
    return part.assign(size=sizes).set_index("size").sort_index()


def ratios(table: pd.DataFrame) -> Figure:
    """How many times faster, and with which part of the memory: one row per comparison and precision."""
    twice = (
        table["what"].str.endswith("_fp32").any()
    )  # else there is one precision, and the caption's profile says which
    endings = {"": ", bfloat16" if twice else "", "_fp32": ", float32"}
    rows = [(name + ending, words + told) for name, words in COMPARISONS.items() for ending, told in endings.items()]
    labels = dict(row for row in rows if row[0] in set(table["what"]))
    figure = style.new_figure(style.DOUBLE, 22 + 8 * len(labels))
    panels = (
        ("throughput_ratio", "images per second, ours / reference"),
        ("peak_memory_ratio", "peak memory, ours / reference"),
    )
    for ax, (metric, words) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
        part = pick(table, metric, labels)
        places = [list(labels).index(name) for name in part.index]
        ax.axvline(1, color=style.INK, linewidth=0.8)
        style.intervals(ax, places, part["value"], part["low"], part["high"], colour=OURS)
        for place, value, high in zip(places, part["value"], part["high"], strict=True):
            ax.annotate(f"{value:.2f}", (high, place), (4, 0), textcoords="offset points", va="center", fontsize=6.5)
        ax.set_xlim(0, 1.18 * max(1.0, part["high"].max()))
        ax.set_xlabel(words)
        ax.grid(axis="x")
    figure.axes[0].set_yticks(range(len(labels)), labels.values())
    figure.axes[0].set_ylim(len(labels) - 0.5, -0.5)
    figure.axes[0].set_title("a  faster: right of 1")
    figure.axes[1].set_title("b  smaller: left of 1")
    return figure


def terms(table: pd.DataFrame) -> Figure:
    """Milliseconds of each term alone and of the step, and of two kinds of attention in each precision."""
    figure = style.new_figure(style.DOUBLE, 66)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    part = pick(table, "milliseconds", TERMS)
    colours = [style.SKY if name.startswith("term_") else OURS for name in part.index]
    _bars(left, [TERMS[name] for name in part.index], part, colours)
    left.set_title("a  the step and its terms, forward and backward")
    kinds, labels = [], []
    for precision, words in PRECISIONS.items():
        for kind in ("fused", "plain"):
            found = pick(table, f"milliseconds_{kind}", [f"attention_{precision}"])
            kinds.append(found)
            labels += [f"{kind}, {words}"] * len(found)
    _bars(right, labels, pd.concat(kinds), [OURS if label.startswith("plain") else REFERENCE for label in labels])
    right.set_title("b  attention of one block")
    for ax in (left, right):
        ax.set_xlabel("milliseconds")
    return figure


def _bars(ax, labels, part: pd.DataFrame, colours) -> None:
    """Horizontal bars with intervals, the first one on top."""
    places = np.arange(len(labels))
    reach = np.abs(np.stack([part["value"] - part["low"], part["high"] - part["value"]])) if len(part) else None
    ax.barh(places, part["value"], xerr=reach, color=colours, height=0.68, error_kw={"elinewidth": 0.9})
    for place, value, high in zip(places, part["value"], part["high"], strict=True):
        ax.annotate(f"{value:.3g}", (high, place), (3, 0), textcoords="offset points", va="center", fontsize=6.5)
    ax.set_yticks(places, labels)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.2 * part["high"].max() if len(part) else 1)


def curves(table: pd.DataFrame) -> Figure:
    """Images per second by batch and image size, time and memory of L_ac by the number of images compared."""
    figure = style.new_figure(style.DOUBLE, 104)
    (batch, image), (time, memory) = figure.subplots(2, 2)
    for ax, start, words in (
        (batch, "training_step_batch_", "images in a batch"),
        (image, "training_step_image_", "side of the image (pixels)"),
    ):
        _line(ax, by_size(table, start, "images_per_second"), OURS, "ours, paper mode", "o-")
        _line(ax, by_size(table, start, "images_per_second_reference"), REFERENCE, "four passes", "s--")
        sizes = by_size(table, start, "images_per_second").index
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.set_ylim(bottom=0)
        ax.set_xlabel(words)
        ax.set_ylabel("images per second")
        ax.grid(axis="y")
    batch.legend()
    seconds = [by_size(table, f"consistency_{kind}batch_", "milliseconds") for kind in ("", "naive_")]
    for part, colour, label, mark in (
        (seconds[0], CHUNKED, "in chunks", "o-"),
        (seconds[1], NAIVE, "all at once", "s--"),
    ):
        _line(time, part.assign(**part[["value", "low", "high"]] / 1000), colour, label, mark)
    for kind, colour, label, mark in (("", CHUNKED, "in chunks", "o-"), ("naive_", NAIVE, "all at once", "s--")):
        part = by_size(table, f"consistency_{kind}batch_", "peak_megabytes")
        _line(memory, part, colour, f"{label}, allocator", mark)
    whole = by_size(table, "consistency_batch_", "peak_megabytes_of_process")
    _line(memory, whole, style.GREEN, "in chunks, whole process", "^:")
    memory.axhline(LIMIT_MEGABYTES, color=style.INK, linewidth=0.6, label="8 GB (aim: stay below)")
    for ax, words in ((time, "seconds"), (memory, "megabytes, peak")):
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        sizes = by_size(table, "consistency_batch_", "milliseconds").index
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.set_xlabel("images compared by $L_{ac}$")
        ax.set_ylabel(words)
        ax.grid(axis="y")
        ax.legend()
    titles = ("a  step, by batch", "b  step, by image size", "c  $L_{ac}$, time", "d  $L_{ac}$, memory")
    for ax, title in zip(figure.axes, titles, strict=True):
        ax.set_title(title)
    return figure


def _line(ax, part: pd.DataFrame, colour: str, label: str, mark: str) -> None:
    """A curve over sizes with intervals; nothing where nothing was measured."""
    if len(part):
        reach = np.abs(np.stack([part["value"] - part["low"], part["high"] - part["value"]]))
        ax.errorbar(part.index, part["value"], yerr=reach, fmt=mark, color=colour, label=label, elinewidth=0.9)


def inference(table: pd.DataFrame) -> Figure:
    """Tokens per second with and without cache, and milliseconds for 1, 10 and 100 phrases on one image."""
    figure = style.new_figure(style.DOUBLE, 62)
    left, right = figure.subplots(1, 2)
    searches = {"greedy_cache": "greedy search", "beam_search_cache": "beam search"}
    kinds = (("tokens_per_second", "with cache", OURS), ("tokens_per_second_without_cache", "without", REFERENCE))
    for shift, (metric, label, colour) in zip((-0.19, 0.19), kinds, strict=True):
        part = pick(table, metric, searches)
        reach = np.abs(np.stack([part["value"] - part["low"], part["high"] - part["value"]]))
        left.bar(
            np.arange(len(part)) + shift,
            part["value"],
            0.36,
            yerr=reach,
            color=colour,
            label=label,
            error_kw={"elinewidth": 0.9},
        )
    ratio = pick(table, "throughput_ratio", searches)
    tops = pick(table, "tokens_per_second", searches)["high"]
    for place, (value, top) in enumerate(zip(ratio["value"], tops, strict=True)):
        left.annotate(f"{value:.1f} times", (place, top), (0, 3), textcoords="offset points", ha="center", fontsize=6.5)
    left.set_xticks(range(len(ratio)), [searches[name] for name in ratio.index])
    left.set_ylim(top=1.25 * tops.max())
    left.set_ylabel("tokens per second")
    left.set_title("a  reports")
    left.legend()
    kinds = (("ground_", "masked evidence", OURS, "o-"), ("ground_similarity_", "similarity", style.GREEN, "s--"))
    for start, label, colour, mark in kinds:
        part = by_size(table, start, "milliseconds", "_phrases")
        _line(right, part, colour, label, mark)
    right.set_xscale("log")
    right.set_xticks(part.index, [str(size) for size in part.index])
    right.minorticks_off()
    right.set_ylim(bottom=0)
    right.set_xlabel("phrases on one image")
    right.set_ylabel("milliseconds")
    right.set_title("b  grounding")
    right.grid(axis="y")
    right.legend()
    return figure
