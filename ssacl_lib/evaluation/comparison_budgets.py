"""Does the order of the methods change with more training? Scores and margins at one, two and four times the images."""

from dataclasses import replace

import pandas as pd

from ..baselines.registry import BUDGET, COMPARED, METHODS, SSACL, TIMES, TRAINED
from ..settings import Settings
from .comparison_margins import AUC, F1, MARGIN_COLUMNS, MASKED_CNR, margins
from .comparison_run import PATIENTS, Run
from .comparison_tables import Scores, interval

STILL = ("start", "nearest training report")
"""Rivals without a training of their own, which stand beside every budget."""

NUMBERS = (F1, (*F1[:2], "bleu4"), MASKED_CNR, AUC)


def base_of(name: str) -> str:
    """The method's name without its budget."""
    return name.partition(", ")[0] if name.endswith("times the images") else name


BASES = {base_of(method.name) for method in METHODS if method.group == BUDGET}
"""Methods that were trained with larger budgets."""


def images_of(scores: Scores, settings: Settings) -> int:
    """So many images its training saw; settings: the profile's."""
    return Run(scores.method, settings.seed, settings).training.training.images


def budget_table(scores: list[Scores], settings: Settings) -> pd.DataFrame:
    """Methods of the group BUDGET with one, two and four times the images: what more training changes, and for whom.

    Columns: method, images, metric, value, low, high, n, runs, seed; settings: the profile's. All on the same patients; a method
    that is trained on nothing (the start, the nearest training report) stands once, with 0 images.
    """
    rows = []
    for entry in scores:
        name = base_of(entry.method.name)
        if name not in BASES | set(STILL) or (entry.method.group != BUDGET and entry.method.name != name):
            continue
        images = 0 if name in STILL else images_of(entry, settings)
        for key in NUMBERS:
            if key in entry.draws:
                value, low, high = interval(entry.draws[key])
                told = {"value": value, "low": low, "high": high, "n": entry.n[key], "runs": len(entry.draws[key])}
                rows.append({"method": name, "images": images, "metric": key[2], **told, "seed": PATIENTS})
    columns = ["method", "images", "metric", "value", "low", "high", "n", "runs", "seed"]
    return pd.DataFrame(rows, columns=columns).sort_values(["metric", "method", "images"], ignore_index=True)


def budget_margins(scores: list[Scores], settings: Settings) -> pd.DataFrame:
    """The margins of `comparison_margins.margins` at every budget, over the best rival of that budget or without a training.

    Columns: images, and those of `margins`. Rivals are methods of BASES that were trained with this budget, and what is trained
    on nothing, so a row need not be that of `margins`. What was trained once borrows the spread of SS-ACL's trainings at the
    smallest budget, on both sides of the margin.
    """
    frames = []
    lender = next((entry.draws for entry in scores if entry.method.name == SSACL), None)
    for times in (1, *TIMES):
        chosen = [entry for entry in scores if entry.method.made != TRAINED]
        for entry in scores:
            name = base_of(entry.method.name)
            if entry.method.made == TRAINED and name in BASES and entry.method.times == times:
                chosen.append(replace(entry, method=replace(entry.method, name=name, group=COMPARED)))
        own = next((entry for entry in chosen if entry.method.name == SSACL), None)
        if own is not None:
            frames.append(margins(chosen, lender).assign(images=images_of(own, settings)))
    columns = ["images", *MARGIN_COLUMNS]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
