"""What SS-ACL's own trainings say of each other, as sentences: every number and every verdict is read from the table at hand."""

import pandas as pd
from IPython.display import Markdown

from ..evaluation.comparison_trainings import MAPS


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
