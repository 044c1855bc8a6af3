"""Where zero-shot classification loses what an encoder knows: the same films, asked with ever better questions.

Every step asks the same vectors of the same films; only what stands for a finding changes, from one pair of sentences to a linear
map that was told every label. The largest step says what is in the way: few words, words at all, or the space of the texts.
What the last step does not find well either, a linear map of a film's vector does not tell with all the labels there are.
"""

from itertools import pairwise

import pandas as pd

from ..baselines.registry import SSACL
from ..downstream.classification import AUC, HEADLINE, MEAN
from ..downstream.prompts import ONE_PAIR, PLACES
from ..downstream.zero_shot import COSINE, FROM_REPORTS

LADDER = (
    (f"{ONE_PAIR}, {COSINE}", "one pair of sentences"),
    (HEADLINE, "several sentences, with sides"),
    (f"{PLACES}, {COSINE}", "every place named, the best counts"),
    (FROM_REPORTS, "training reports in place of our words"),
    ("probe 100 %", "a probe that was told all labels"),
)
"""Setting of downstream_classification -> what stands for a finding."""

HARD = 0.7
"""AUC below which a finding is called hard."""


def steps(table: pd.DataFrame, method: str = SSACL) -> list[tuple[str, pd.Series]]:
    """(words, row of the mean AUC) of the steps that were measured."""
    own = table[(table["method"] == method) & (table["detail"] == MEAN) & (table["metric"] == AUC)]
    found = own.dropna(subset=["value"]).drop_duplicates("setting").set_index("setting")
    return [(words, found.loc[setting]) for setting, words in LADDER if setting in found.index]


def gap_lines(table: pd.DataFrame, method: str = SSACL) -> list[str]:
    """The steps, the largest of them, and the findings that no step finds; nothing where fewer than two were measured."""
    told = steps(table, method)
    if len(told) < 2:
        return []
    rises = [(after[1]["value"] - before[1]["value"], before[0], after[0]) for before, after in pairwise(told)]
    most, before, after = max(rises)
    areas = "; ".join(f"{words} {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" for words, row in told)
    lines = [
        f"What stands in the way, {method} asked ever better: {areas}. "
        f"The largest step ({most:+.3f}) is from “{before}” to “{after}”."
    ]
    own = table[(table["method"] == method) & (table["setting"] == LADDER[-1][0]) & (table["metric"] == AUC)]
    hard = own[(own["detail"] != MEAN) & (own["value"] < HARD)].sort_values("value")
    if len(hard):
        names = ", ".join(
            f"{row.detail} ({row.value:.2f} [{row.low:.2f}, {row.high:.2f}]{', which holds chance' if row.low <= 0.5 else ''})"
            for row in hard.itertuples()
        )
        lines.append(f"Hard for the probe, too (AUC below {HARD}): {names}.")
    return lines
