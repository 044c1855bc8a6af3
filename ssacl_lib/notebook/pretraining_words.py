"""Sentences of notebook 02, made from its tables and histories: no number in them is typed.

Those on the controls of the anatomical losses are in `blind_words`, on the recipe in `recipe_words`; the notebook takes them from
here.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from IPython.display import Markdown

from ..evaluation.models import shipped_checkpoint
from ..plots.pretraining import TERMS
from ..record.manifest import read_json
from ..record.starts import local_folder
from ..settings import Settings
from .blind_words import blind_caption, blind_words, parents_message
from .recipe_words import recipe_words
from .wording import listed

__all__ = [
    "blind_caption",
    "blind_words",
    "curves_message",
    "fall_of_terms",
    "parents_message",
    "prompts_message",
    "recipe_words",
    "scale_of_run",
    "shipped_history",
    "spike_words",
    "start_words",
    "sum_words",
    "weighted_formula",
]

SYMBOLS = {name: words.split("$")[1] for name, words in TERMS.items() if "$" in words}
"""Symbols of the terms, as LaTeX."""

PAPER_TERMS = tuple(SYMBOLS)[:5]
SPIKE = 5
"""A spike is a point of the curve more than this many times the curve's median."""


def weighted_formula(settings: Settings) -> Markdown:
    """The sum that this profile minimises, with its weights."""
    weights = settings.training.loss_weights.model_dump()
    parts = [
        f"{'' if weight == 1 else f'{weight:g}' + chr(92) + ','}{SYMBOLS[name]}"
        for name, weight in weights.items()
        if weight
    ]
    return Markdown(f"The profile `{settings.profile}` minimises\n\n$$L = {' + '.join(parts)}$$")


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.4f}"


def scale_of_run(settings: Settings) -> str:
    """How much of a training "this run" is."""
    images, studies = settings.training.images, settings.data.train_studies
    words = f"“this run” has seen {images} images of {studies} studies"
    if settings.profile == "smoke":
        return f"{words}: a demonstration that the loop runs. No number or picture of it means anything."
    return f"{words}."


def shipped_history(settings: Settings) -> pd.DataFrame | None:
    """Learning curve of the shipped model (history.csv of its folder); None where it is left out or has none."""
    folder = shipped_checkpoint(settings)
    path = folder / "history.csv" if folder else None
    return pd.read_csv(path) if path and path.is_file() else None


def more_losses(settings: Settings) -> list[str]:
    """Symbols of the terms that the shipped model was trained with and this profile is not; [] where none is shipped."""
    here = settings.training.loss_weights.model_dump()
    there = _shipped_settings(settings).get("training", {}).get("loss_weights", {})
    return [f"${SYMBOLS[term]}$" for term, weight in there.items() if weight and not here[term]]


def _shipped_settings(settings: Settings) -> dict:
    folder = shipped_checkpoint(settings)
    return read_json(folder / "manifest.json").get("settings", {}) if folder else {}


# ---- the start
def start_words(settings: Settings, findings: pd.DataFrame) -> Markdown:
    """What the training goes on from, and how much of the head's gain over random weights the start alone has.

    findings: the table finding_classification with the methods untrained, start and those that were trained on.
    """
    name = settings.model.encoder_weights
    if not name:
        return Markdown("This profile trains from random weights.")
    folder = local_folder(name)
    told = read_json(folder / "manifest.json").get("settings", {}).get("training", {}) if folder else {}
    words = f"This profile does not train from scratch: it goes on from the encoder `{name}`"
    if told:
        labels = (
            " and the labels that our labeler reads in the reports" if told["loss_weights"]["report_labels"] else ""
        )
        others = [term for term in PAPER_TERMS if told["loss_weights"][term]]
        taught = ", ".join(TERMS[term].rsplit(" ", 1)[0] for term in others)
        words += f", which has seen {told['images']} images under the {taught}{labels}"
    rows = findings[(findings["finding"] == "mean of findings") & (findings["metric"] == "auc")].set_index("method")
    if not {"untrained", "start"} <= set(rows.index):
        return Markdown(words + ".")
    lines = [f"{words}. Mean AUC of the findings, 95 % intervals over studies:\n"]
    below, there = rows.loc["untrained"], rows.loc["start"]
    for method in [name for name in rows.index if name not in ("untrained", "start")]:
        own = rows.loc[method]
        if method == "shipped" and (apart := _another_start(settings)):
            lines.append(f"- untrained {_estimate(below)}, {method} {_estimate(own)}: {apart}.")
            continue
        gain, before = own["value"] - below["value"], there["value"] - below["value"]
        share = (
            "random weights do as well"
            if gain <= 0
            else f"{100 * before / gain:.0f} % of the gain is there before the five losses begin"
            if before < gain
            else "the whole gain is there before the five losses begin"
        )
        alike = own["low"] <= there["high"] and there["low"] <= own["high"]
        lines.append(
            f"- untrained {_estimate(below)}, start {_estimate(there)}, {method} {_estimate(own)}: {share}"
            + (f"; the intervals of start and {method} overlap." if alike else ".")
        )
    if any("overlap" in line for line in lines):
        lines.append(
            "\nOverlap of two intervals is a weak test: section 5 of [05](05_ablation.ipynb) takes the difference to the start "
            "paired, on other patients."
        )
    return Markdown("\n".join(lines))


def _another_start(settings: Settings) -> str:
    """Why nothing is said of the start's share in the shipped model: it went on from another; "" where from this one."""
    there = _shipped_settings(settings).get("model")
    if not there or there["encoder_weights"] == settings.model.encoder_weights:
        return ""
    stem = f" (stem `{there['stem']}`, here `{settings.model.stem}`)" if there["stem"] != settings.model.stem else ""
    more = more_losses(settings)
    losses = f" and has {len(more)} more losses ({listed(more)})" if more else ""
    return f"it went on from another start{stem}{losses}, so how much of its gain its start had is not measured here"


def _estimate(row) -> str:
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


# ---- the curves
def _curve(history: pd.DataFrame, term: str, split: str = "train") -> pd.DataFrame:
    return history[(history["term"] == term) & (history["split"] == split)].sort_values("images")


def curves_message(history: pd.DataFrame) -> str:
    """The message of the learning curves: which terms are lower at the end than at the first check, on unseen films."""
    checked = {term: _curve(history, term, "validation")["value"] for term in PAPER_TERMS}
    checked = {term: values for term, values in checked.items() if len(values) > 1}
    fell = [term for term, values in checked.items() if values.iloc[-1] < values.iloc[0]]
    rest = [f"${SYMBOLS[term]}$" for term in checked if term not in fell]
    if not checked:
        return "Too few checks were made to tell whether a term falls."
    between = [f"${SYMBOLS[term]}$" for term in fell if checked[term].min() < checked[term].iloc[-1]]
    first = int(min(_curve(history, term, "validation")["images"].iloc[0] for term in checked))
    words = "all terms are" if not rest else f"{len(fell)} of {len(checked)} terms are"
    return (
        f"In this run, on films that no step has seen, {words} lower at the end than at the first check, after {first} images"
        + (f" (not: {', '.join(rest)})" if rest else "")
        + (f"; {listed(between)} {'was' if len(between) == 1 else 'were'} lower in between." if between else ".")
    )


def sum_words(settings: Settings) -> str:
    """A sentence on the panel of the weighted sums, where the shipped model sums more terms than this run; else ""."""
    more = more_losses(settings)
    if not more:
        return ""
    return f"The sums of the two models are no comparison: that of shipped has {len(more)} more terms ({listed(more)})."


def fall_of_terms(history: pd.DataFrame) -> Markdown:
    """One line per term of the training loss: from where to where it fell, and when 90 % of that was done.

    Of a term whose later points have a median that is not below its first point, the median is told in place of a share.
    """
    if history.loc[history["split"] == "train", "images"].nunique() < 3:
        return Markdown("Too few steps were logged to tell how a term falls.")
    lines = []
    for term in [name for name in TERMS if name != "total"]:
        rows = _curve(history, term)
        if not len(rows):
            continue
        start, end = rows["value"].iloc[0], rows["value"].iloc[-1]
        later = rows["value"].iloc[1:].median()
        if end < start <= later:
            lines.append(
                f"- {TERMS[term]} does not fall steadily: first {_number(start)}, median of the later points {_number(later)}, "
                f"last {_number(end)}."
            )
            continue
        done = rows.loc[rows["value"] <= start - 0.9 * (start - end), "images"]
        fall = f"90 % of the fall after {done.iloc[0]} images" if end < start else "it does not end below its beginning"
        lines.append(f"- {TERMS[term]}: {_number(start)} to {_number(end)}; {fall}.")
    return Markdown("The loss in training, from the first logged point to the last:\n\n" + "\n".join(lines))


def spike_words(histories: Mapping[str, pd.DataFrame], measured: pd.DataFrame | None = None) -> Markdown:
    """How many points of the curve of L_ar are spikes, what the other terms do there; and what a spike is made of.

    histories: model -> history. measured: the table of `benchmarks.spikes`, one row per step of a training at a fixed rate.
    """
    lines = []
    for name, history in histories.items():
        curve = _curve(history, "anatomy_reconstruction").set_index("images")["value"]
        late = curve[curve.index > curve.index.max() / 10]  # the fall at the beginning is no spike
        spikes = late[late > SPIKE * late.median()]
        if len(late) < 20:
            continue
        usual = late.median()
        head = f"- **{name}**: {len(spikes)} of {len(late)} points of $L_{{ar}}$"
        words = f"{head} are more than {SPIKE} times the median ({usual:.3f})"
        if len(spikes):
            words += f", the last after {spikes.index.max()} of {curve.index.max()} images"
            for term in ("image_reconstruction", "anatomical_consistency"):
                other = _curve(history, term).set_index("images")["value"].reindex(late.index)
                around = other.rolling(9, center=True, min_periods=5).median()
                times = (other / around)[spikes.index].median()
                words += f"; there {term.replace('_', ' ')} is {times:.2f} times its usual value"
        lines.append(words + ".")
    lines += _spike_parts(measured) if measured is not None else []
    return Markdown("\n".join(lines) or "Too few steps were logged to see a spike.")


def _spike_parts(measured: pd.DataFrame) -> list[str]:
    """One line per rate: how often L_ar leaves its median, and what the error consists of there and elsewhere."""
    lines = []
    for rate, steps in measured.groupby("rate", sort=False):
        usual = steps["anatomy_reconstruction"].median()
        high = steps["anatomy_reconstruction"] > SPIKE * usual
        words = (
            f"- shipped, trained on at the rate {rate:g}: {high.sum()} of {len(steps)} steps are more than {SPIKE} times the "
            f"median ({usual:.4f})"
        )
        if high.any():
            at, away = steps[high], steps[~high]
            grown = (at["image_reconstruction"].median() / away["image_reconstruction"].median()) - 1
            words += (
                f"; there all patients share {_percent(at['common'])} of the error (elsewhere {_percent(away['common'])}), "
                f"and {_percent(at['parent_share'])} of it lies in one of the seven parents ({_places(at['parent'])}), "
                f"while the image reconstruction differs by {100 * grown:+.0f} %"
            )
        lines.append(words + ".")
    return lines


def _percent(shares: pd.Series) -> str:
    return f"{100 * shares.median():.0f} %"


def _places(names: pd.Series) -> str:
    return "steps: " + ", ".join(f"{name} {count}" for name, count in names.value_counts().items())


# ---- the prompts
def prompts_message(maps: Mapping, masks) -> str:
    """The message of the prompts' figure: how many prompts look at their own anatomy more than elsewhere, model by model.

    maps: model -> [k, H, W], attention as a multiple of the uniform one; masks [k, H, W] bool, or None.
    """
    if masks is None:
        return "Each row shows where the prompts look on one unseen patient."
    times = {name: [float(m[mask].mean()) for m, mask in zip(of, masks, strict=True)] for name, of in maps.items()}
    told = ", ".join(f"{name} {sum(t > 1 for t in found)} ({np.mean(found):.2f})" for name, found in times.items())
    return (
        f"How many of {len(masks)} prompts look at their own anatomy more than uniform attention would, and in brackets how many "
        f"times as much, on average: {told}."
    )
