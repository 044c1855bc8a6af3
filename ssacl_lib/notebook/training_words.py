"""Which trainings notebook 05 compares, and what SS-ACL's own say of each other: every verdict is read from the table at hand."""

from collections import Counter
from statistics import median

import pandas as pd
from IPython.display import Markdown

from ..baselines.registry import METHODS
from ..evaluation.comparison_run import missing, planned
from ..evaluation.comparison_trainings import MAPS
from ..settings import Settings


def kernel_words(table: pd.DataFrame) -> Markdown:
    """Do SS-ACL's trainings on unlike processors differ? Read from `comparison_trainings.by_kernels`."""
    if not len(table):
        return Markdown("*SS-ACL's seeds were trained on only one kind of processor.*")
    means = table["about"].str.contains(" minus ")
    same = means.map({True: 0.0, False: 1.0})
    apart = table[(table["low"] > same) | (table["high"] < same)]
    told = [
        f"{row.detail}, {row.metric}: {row.about} {row.value:.3g} [{row.low:.3g}, {row.high:.3g}]"
        for row in apart.itertuples()
    ]
    words = f"Of {len(table)} comparisons of the same seeds, {means.sum()} of them of means, {len(told)} tell the kernels apart"
    return Markdown(words + (": " + "; ".join(told) if told else "") + ".")


def loss_words(told: pd.DataFrame, table: pd.DataFrame) -> Markdown:
    """How far trainings lie apart, and which losses tell. Read from `comparison_trainings.trainings` and `by_losses`."""
    if not len(table):
        return Markdown("*SS-ACL was not trained often enough here to ask.*")
    lines = [
        f"- **{kind}**: CNR {told[kind].min():.2f} to {told[kind].max():.2f} in {len(told)} trainings, standard deviation "
        f"{told[kind].std():.2f}; {_losses_that_tell(table[table['detail'] == kind])}."
        for kind in MAPS
    ]
    return Markdown("\n".join([*lines, f"- {loss_message(table)}", f"- {_picked(told)}"]))


def _picked(told: pd.DataFrame) -> str:
    """Where the maps of the training with the lowest total loss stand among all."""
    best = told["total"].idxmin()
    places = [f"{kind} {int(told[kind].rank(ascending=False)[best])} of {len(told)}" for kind in MAPS]
    return f"Who had kept the training with the lowest total loss would have, by CNR, place: {', '.join(places)}."


def _losses_that_tell(rows: pd.DataFrame) -> str:
    apart = rows[(rows["high"] < 0) | (rows["low"] > 0)]
    told = [
        f"{'lower' if row.value < 0 else 'higher'} with a higher {row.about.removeprefix('correlation with ').replace('_', ' ')}"
        f"{'' if row.about.endswith(' total') else ' loss'} (r {row.value:+.2f} [{row.low:+.2f}, {row.high:+.2f}])"
        for row in apart.itertuples()
    ]
    return "; ".join(told) or f"none of {len(rows)} losses tells which"


def loss_message(table: pd.DataFrame) -> str:
    """One sentence for a caption: how many correlations are told apart from 0, and what the largest explains."""
    if not len(table):
        return "Too few trainings to ask."
    apart = table[(table["high"] < 0) | (table["low"] > 0)]
    most = table.loc[table["value"].abs().idxmax()]
    up_to = max(abs(most["low"]), abs(most["high"])) ** 2
    return (
        f"Of {len(table)} correlations of a loss with a map's CNR {len(apart)} are told apart from 0; "
        f"the largest explains {100 * most['value'] ** 2:.0f} % of the variance between trainings (interval up to "
        f"{100 * up_to:.0f} %)."
    )


def state_words(settings: Settings) -> Markdown:
    """How many of the planned runs are there, and on which kinds of processors they were made."""
    runs = planned(settings)
    there = [run for run in runs if not missing(run)]
    absent = [run.name for run in runs if missing(run)]
    words = f"{len(there)} of {len(runs)} runs of the profile `{settings.profile}` are there"
    if absent:
        words += f"; `make ablation` goes on with {absent[0]}" + (f" and {len(absent) - 1} more" if absent[1:] else "")
    kinds = Counter(run.kernels for run in there).most_common()
    if len(kinds) > 1:
        told = ", ".join(f"{kind} {count}" for kind, count in kinds)
        rarer = dict.fromkeys(run.method.name for run in there if run.kernels != kinds[0][0])
        words += (
            f". Kernels of their processors: {told} (those without a bfloat16 unit train in float32); other ones than "
            f"{kinds[0][0]} made trainings of {', '.join(rarer)} alone"
        )
    return Markdown(words + ".")


def methods_table(settings: Settings) -> pd.DataFrame:
    """What is compared: method, what it is, group, annotations, seeds that are there, images seen, minutes of training.

    Minutes are the median over the trainings on those kernels that most runs were made on: others are slower or faster.
    """
    all_runs = planned(settings)
    done = [run for run in all_runs if not missing(run)]
    common = Counter(run.kernels for run in done).most_common(1)
    rows = []
    for method in METHODS:
        runs = [run for run in all_runs if run.method == method]
        there = [run for run in done if run.method == method]
        told = [(run.kernels, run.told) for run in there]
        seconds = [note["seconds"] for kind, note in told if kind == common[0][0] and note.get("seconds")]
        images = next((note["images"] for _, note in told if note.get("images")), None)
        rows.append(
            {
                "method": method.name,
                "what it is": method.says,
                "group": method.group,
                "annotations": "yes" if method.annotated else "no",
                "seeds": f"{len(there)} of {len(runs)}",
                "images seen": "" if images is None else f"{images:,}",
                "minutes": f"{median(seconds) / 60:.1f}" if seconds else "",
            }
        )
    return pd.DataFrame(rows)
