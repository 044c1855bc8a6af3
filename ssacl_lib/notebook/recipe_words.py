"""What notebook 02 says of the variants of the recipe: read from recipe.csv (evaluation/recipe.py)."""

import pandas as pd
from IPython.display import Markdown

from ..evaluation.recipe import VARIANTS
from ..settings import load_settings
from .wording import listed

NAMES = {"auc": "AUC", "cnr_own_minus_swapped": "CNR against a swapped phrase"}


def recipe_words(frame: pd.DataFrame) -> Markdown:
    """What the recipe was measured on, and per variant the numbers whose interval lies apart from the plain profile's.

    frame: recipe.csv. A variant of other films is scored on its own, so it is named and not compared.
    """
    if not len(frame):
        return Markdown("The recipe is not measured yet.")
    plain, *others = dict.fromkeys(frame["variant"])
    rows = frame.set_index(["variant", "method", "metric"])
    lines = []
    for variant in others:
        if any(key.startswith("data.") for key in VARIANTS.get(variant, {})):
            lines.append(f"- **{variant}**: scored on its own films, which vary more, so its row is no comparison.")
            continue
        found = {True: [], False: []}
        for method, metric in rows.loc[plain].index:
            here, there = rows.loc[plain, method, metric], rows.loc[(variant, method, metric)]
            if here["low"] <= there["high"] and there["low"] <= here["high"]:
                continue
            better = (there["value"] < here["value"]) == (method == "loss")
            name = NAMES.get(metric, metric.replace("_", " "))
            what = f"loss of {name}" if method == "loss" else f"{name} of the {method}"
            found[better].append(f"{what} ({there['value']:.2f} against {here['value']:.2f})")
        told = [f"{word} in {listed(found[key])}" for key, word in ((True, "better"), (False, "worse")) if found[key]]
        lines.append(f"- **{variant}**: {'; '.join(told) or 'no number is told apart'}.")
    return Markdown(f"{_scale(frame, plain)} Against “{plain}”, where the intervals lie apart:\n\n" + "\n".join(lines))


def _scale(frame: pd.DataFrame, plain: str) -> str:
    """On how much every variant was trained and scored, and which of them took another number of steps for it."""
    rows = frame[frame["variant"] == plain]
    images = int(rows["images"].iloc[0])
    counts = {
        what: rows.loc[rows["method"].str.contains(kind), "n"].max()
        for what, kind in (("studies (AUC)", "head"), ("phrases (maps)", "map"), ("batches (losses)", "loss"))
    }
    words = f"Every row: {images} images of training, {listed([f'{n} {what}' for what, n in counts.items()])} of validation."
    usual = load_settings(plain.removeprefix("as in ")).training.batch_size
    sizes = {name: changes.get("training.batch_size", usual) for name, changes in VARIANTS.items()}
    for name in [name for name in dict.fromkeys(frame["variant"]) if sizes.get(name, usual) != usual]:
        words += f" “{name}” makes about {images // sizes[name]} steps of them, the others {images // usual}."
    return words
