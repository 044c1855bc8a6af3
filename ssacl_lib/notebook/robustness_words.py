"""What the robustness tables of notebook 06 say, as sentences: at which levels a claim holds, and what is left at the last."""

from itertools import groupby

import pandas as pd
from IPython.display import Markdown

from ..baselines.registry import SSACL
from ..downstream.classification import AUC, MEAN
from ..downstream.disturbances import AMOUNTS, BODIES, POSE, UNDISTURBED, WORDING
from ..downstream.robustness_tables import ABOVE, BELOW, LEVELS, RELATIVE, TIED, standing
from ..evaluation.moved_studies import DEGREES, SCALE, SHIFT
from ..record.tables import to_markdown
from .downstream_words import ABSENT, listed, pick

UNITS = {
    POSE: f"times the reach of 04's moved films ({100 * SHIFT:g} % of side, {100 * SCALE:g} % of size, {DEGREES:g} degrees)",
    "noise": "times that of the disturbed training films of 05, section 9",
    "exposure": "times that of these films",
    "collimation": "borders, one after the other",
    "devices": "drawn lines",
    "marks": "letters and marks",
    BODIES: "share of the way to other bodies and shapes of findings",
    WORDING: "groups of words that no report uses",
}
"""What the amounts of downstream/disturbances.py count."""

HEADS = {ABOVE: "holds", TIED: "ties", BELOW: "is below"}
"""How a claim stands on films as they are."""


def margin_words(row) -> str:
    """A margin with its interval: in per cent where it is relative, else signed."""
    numbers = (row["margin"], row["low"], row["high"])
    if row["measure"] == RELATIVE:
        return "{:+.0f} % [{:+.0f}, {:+.0f}]".format(*(100 * number for number in numbers))
    return "{:+.3f} [{:+.3f}, {:+.3f}]".format(*numbers)


def robustness_words(claims: pd.DataFrame) -> Markdown:
    """Per claim: how it stands on films as they are, and at which levels of which families it holds or is reversed."""
    lines = []
    for (claim, against), part in standing(claims).groupby(["claim", "against"], sort=False):
        first = part[part["level"] == 0].iloc[0]
        worse = part[part["level"] > 0]
        said = [
            f"{HEADS[first['stands']]} on films as they are ({margin_words(first)}, n {first['n']}, {first['runs']} seeds)",
            *(f"{verdict} {where}" for verdict in (ABOVE, BELOW) if (where := places(worse, verdict))),
        ]
        if (worse["stands"] == TIED).all():
            said.append("tied at every other level")
        elif (worse["stands"] == TIED).any():
            said.append("tied elsewhere")
        lines.append(f"- **{claim}** (over {against}): {'; '.join(said)}.")
    if lines:
        lines.append(f"- {by_chance(claims)}")
    return Markdown("\n".join(lines) or ABSENT)


def by_chance(claims: pd.DataFrame) -> str:
    """How many of the intervals on worse films would miss zero without any difference."""
    asked = int((claims["level"] > 0).sum())
    return (
        f"These are {asked} intervals on worse films; about {0.05 * asked:.0f} of so many would miss zero by chance, and "
        "those of a family share its films. So trust neighbouring levels that agree, not one level. Of a rival that was "
        "trained once the interval knows the patients alone."
    )


def places(rows: pd.DataFrame, verdict: str) -> str:
    """Where a claim stands so: "at every level of marks, at pose 1–4, noise 2"; "" where nowhere."""
    whole, some = [], []
    for family, part in rows.groupby("family", sort=False):
        levels = part.loc[part["stands"] == verdict, "level"].tolist()
        if len(levels) == len(part):
            whole.append(str(family))
        elif levels:
            some.append(f"{family} {spans(levels)}")
    if whole and len(whole) == rows["family"].nunique():
        return "at every level of every family"
    told = [f"at every level of {listed(whole)}"] if whole else []
    return ", ".join([*told, *([f"at {', '.join(some)}"] if some else [])])


def spans(levels: list[int]) -> str:
    """Levels in short.

    >>> spans([1, 2, 3, 5])
    '1–3 and 5'
    """
    runs = [
        [level for _, level in run]
        for _, run in groupby(enumerate(sorted(levels)), key=lambda place: place[1] - place[0])
    ]
    return listed(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def robustness_message(claims: pd.DataFrame) -> str:
    """A few sentences: how many claims hold on films as they are, which on worse ones alone or are reversed there, and where most
    is left."""
    if not len(claims):
        return "Robustness was not measured yet."
    told = standing(claims)
    first = told[told["level"] == 0].drop_duplicates("claim").set_index("claim")["stands"]
    holding = first.index[first == ABOVE]
    words = f"{len(holding)} of {len(first)} claims hold on films as they are"
    held = told[(told["stands"] == ABOVE) & (told["level"] > 0)]
    turned = told[(told["stands"] == BELOW) & (told["level"] > 0)]
    later, reversed_ = (
        [f"“{claim}” under {listed(part['family'].unique())}" for claim, part in rows.groupby("claim", sort=False)
         if claim not in holding]
        for rows in (held, turned)
    )  # fmt: skip
    words += f"; on worse ones alone {'; '.join(later)}." if later else "."
    words += f" Below zero lies {'; '.join(reversed_)}." if reversed_ else ""
    worse = told[told["claim"].isin(holding) & (told["level"] > 0)]
    asked = worse.groupby("family", sort=False)["claim"].nunique() == len(holding)
    left = worse.groupby("family", sort=False)["stands"].agg(lambda stands: int((stands == ABOVE).sum()))[asked]
    if len(holding) and len(left) > 1:
        count = LEVELS * len(holding)
        words += (
            f" Of what holds, most is left under {left.idxmax()} (above 0 at {left.max()} of {count} levels of "
            f"{len(holding)} {'claim' if len(holding) == 1 else 'claims'}), least under {left.idxmin()} ({left.min()})."
        )
        fewer = asked.index[~asked]
        words += f" Not asked of all of these claims: {listed(fewer)}." if len(fewer) else ""
    return words


def levels_table() -> Markdown:
    """How strong each level of each family is, and in what it is counted."""
    rows = [{"family": family, "counted in": UNITS[family], **{f"level {k}": f"{amount:g}" for k, amount in
             enumerate(amounts, 1)}} for family, amounts in AMOUNTS.items()]  # fmt: skip
    return Markdown(to_markdown(pd.DataFrame(rows)))


def behind_claims(claims: pd.DataFrame) -> str:
    """For a caption: how many patients or phrases and how many trainings stand behind the margins."""
    if not len(claims):
        return ""
    fewest, most = claims["n"].min(), claims["n"].max()
    return f"n {most if fewest == most else f'{fewest} to {most}'} patients or phrases, {claims['runs'].max()} seeds of SS-ACL"


def curves_message(table: pd.DataFrame) -> str:
    """One sentence: the findings' mean AUC of SS-ACL on films as they are and at the last level, lowest and highest."""
    own = table[table["method"].eq(SSACL) & table["detail"].eq(MEAN) & table["metric"].eq(AUC)]
    first = pick(table, SSACL, UNDISTURBED, MEAN, AUC)
    if first is None or not (own["level"] == LEVELS).any():
        return "Robustness was not measured yet."
    last = own[own["level"] == LEVELS].set_index("family")["value"]
    return (
        f"The findings' mean AUC of SS-ACL, {first['value']:.2f} on films as they are, is at the last level lowest under "
        f"{last.idxmin()} ({last.min():.2f}) and highest under {last.idxmax()} ({last.max():.2f})."
    )
