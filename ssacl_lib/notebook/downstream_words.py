"""What the tables of notebook 06 say, as sentences: every number and every verdict is read from the table at hand.

Masks and retrieval have a module of their own (task_words.py), robustness another (robustness_words.py).
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from IPython.display import Markdown

from ..baselines.registry import SSACL
from ..downstream.aims import MISSED, REACHED, TWICE
from ..downstream.classification import AUC, HEADLINE, LABELS, MEAN, NAMES_ADD, NO_NAME
from ..downstream.encoders import START, SUPERVISED, UNTRAINED, planned
from ..downstream.prompts import NAMELESS, ONE_PAIR, SHUFFLED
from ..downstream.run import jobs_of
from ..downstream.tasks import any_on
from ..downstream.zero_shot import COSINE, DOT
from ..settings import Settings
from .zero_shot_gap import gap_lines

ABSENT = "*Nothing was measured yet: `make downstream`.*"

PLAIN = {REACHED: "reached", MISSED: "missed"}
"""Verdict of an aim -> the word; any other is not told apart."""


def shown(row, places: int = 3) -> str:
    """A value with its interval."""
    return f"{row['value']:.{places}f} [{row['low']:.{places}f}, {row['high']:.{places}f}]"


def pick(table: pd.DataFrame, method: str, setting: str, detail: str, metric: str):
    """The one row of a table; None where it is not there or has no value."""
    rows = table[
        (table["method"] == method)
        & (table["setting"] == setting)
        & (table["detail"] == detail)
        & (table["metric"] == metric)
    ]
    return rows.iloc[0] if len(rows) and pd.notna(rows.iloc[0]["value"]) else None


def told(table: pd.DataFrame, method: str, setting: str, detail: str, metric: str, places: int = 3) -> str:
    """A row's value with its interval, or that it was not measured."""
    row = pick(table, method, setting, detail, metric)
    return "not measured" if row is None else shown(row, places)


def listed(words: Iterable[str]) -> str:
    """Words as a sentence lists them: "a, b and c"."""
    *most, last = map(str, words)
    return f"{', '.join(most)} and {last}" if most else last


def of_seeds(count: int) -> str:
    """How many trainings, in words."""
    return "1 seed" if count == 1 else f"{count} seeds"


def behind(table: pd.DataFrame, of: str = "patients") -> str:
    """For a caption: how many studies, and how many trainings of whom, stand behind a table's rows; "" where there are none."""
    table = table[table["value"].notna()]
    if not len(table):
        return ""
    fewest, most = int(table["n"].min()), int(table["n"].max())
    several = {
        name: int(part["runs"].max()) for name, part in table.groupby("method", sort=False) if part["runs"].max() > 1
    }
    words = [f"{of_seeds(count)} of {listed(name for name, own in several.items() if own == count)}"
             for count in dict.fromkeys(several.values())]  # fmt: skip
    others = table["method"].nunique() > len(several)
    words += ([f"{of_seeds(1)} of the others"] if words else ["one training of each"]) if others else []
    return f"n {most if fewest == most else f'{fewest} to {most}'} {of}; {', '.join(words)}"


def _lines(lines: list[str]) -> Markdown:
    return Markdown("\n".join(f"- {line}" for line in lines) or ABSENT)


# ---- what is there
def state_words(settings: Settings) -> Markdown:
    """How many answers of the plan are there."""
    if not any_on(settings):
        return Markdown(f"*No task is asked of the data set `{settings.dataset}`.*")
    jobs = jobs_of(settings)
    absent = [job.title for job in jobs if job.missing]
    words = f"{len(jobs) - len(absent)} of {len(jobs)} answers of the profile `{settings.profile}` are there"
    if absent:
        words += f"; `make downstream` goes on with {absent[0]}" + (
            f" and {len(absent) - 1} more" if absent[1:] else ""
        )
    return Markdown(words + ".")


def encoders_table(settings: Settings) -> pd.DataFrame:
    """Who is asked: encoder, what it is, text side, annotations, seeds, and how many of its answers are there."""
    jobs = jobs_of(settings) if any_on(settings) else []
    rows = []
    for name in dict.fromkeys(encoder.name for encoder in planned(settings)):
        own = [job for job in jobs if job.encoder.name == name]
        if not own:
            continue
        first = own[0].encoder
        rows.append(
            {
                "encoder": name,
                "what it is": first.method.says
                if first.method
                else "a small network, told every finding of every film",
                "text side": "yes" if first.has_text else "no",
                "annotations": "yes" if first.annotated else "no",
                "seeds": len({job.encoder.seed for job in own}),
                "answers": f"{sum(not job.missing for job in own)} of {len(own)}",
            }
        )
    return pd.DataFrame(rows)


# ---- aims
def aims_words(aims: pd.DataFrame, about: str = "") -> Markdown:
    """One line per aim whose name holds `about`."""
    lines = []
    for row in aims[aims["aim"].str.contains(about, regex=False)].itertuples():
        verdict = PLAIN.get(row.verdict, "neither reached nor missed for sure")
        lines.append(
            f"Aim, {row.aim}: {row.method} {row.own:.3f} {_against(row)}, difference {row.difference:+.3f} "
            f"[{row.low:+.3f}, {row.high:+.3f}] (n {row.n}, {of_seeds(row.runs)}): **{verdict}**."
        )
    return _lines(lines)


def _against(row) -> str:
    """What an aim compares with: a height, twice chance, or somebody's number."""
    if row.against == f"{row.other:.2f}":
        return f"against the aim of {row.against}"
    return f"against {'twice chance' if row.against == TWICE else f'“{row.against}”'}, {row.other:.3f}"


def aims_message(aims: pd.DataFrame) -> str:
    """One sentence: how many of the aims were reached, and which were missed."""
    if not len(aims):
        return "No aim was measured yet."
    missed = aims.loc[aims["verdict"] == MISSED, "aim"].tolist()
    reached = int((aims["verdict"] == REACHED).sum())
    words = f"{reached} of {len(aims)} aims are reached"
    return f"{words}; missed: {'; '.join(missed)}." if missed else f"{words}, none is missed for sure."


# ---- zero-shot classification
def zero_shot_words(table: pd.DataFrame) -> Markdown:
    """SS-ACL with several sentences and with one pair; the two controls; easiest and hardest finding; what is in the way."""
    own = pick(table, SSACL, HEADLINE, MEAN, AUC)
    if own is None:
        return Markdown(ABSENT)
    pair = told(table, SSACL, f"{ONE_PAIR}, {DOT}", MEAN, AUC)
    lines = [
        f"Mean AUC of SS-ACL: {shown(own)} with several sentences per finding, {pair} with the release's single pair."
    ]
    for form, words in (
        (SHUFFLED, "each finding is asked for by another's name"),
        (NAMELESS, "no name is said at all"),
    ):
        control = pick(table, SSACL, f"{form}, {COSINE}", MEAN, AUC)
        if control is not None:
            inside = control["low"] <= 0.5 <= control["high"]
            verdict = "chance (0.5) lies in the interval" if inside else "this is **not** chance (0.5)"
            lines.append(f"Control, {words}: {shown(control)}; {verdict}.")
    lines += [*_nameless(table), *_below_chance(table)]
    each = table[(table["method"] == SSACL) & (table["setting"] == HEADLINE) & (table["metric"] == AUC)]
    each = each[(each["detail"] != MEAN) & each["value"].notna()].sort_values("value")
    if len(each):
        hardest, easiest = each.iloc[0], each.iloc[-1]
        lines.append(
            f"Easiest finding: {easiest['detail']} ({shown(easiest, 2)}); hardest: {hardest['detail']} "
            f"({shown(hardest, 2)})."
        )
    return _lines([*lines, *gap_lines(table)])


def _nameless(table: pd.DataFrame) -> list[str]:
    """What a control without names says where it is above chance: its score is one and the same for all findings."""
    control, added = pick(table, SSACL, NO_NAME, MEAN, AUC), pick(table, SSACL, HEADLINE, MEAN, NAMES_ADD)
    if control is None or added is None or control["low"] <= 0.5:
        return []
    return [
        "Without a name every finding gets the same score, so this score cannot tell findings apart: it orders films by what "
        "those with any finding have in common, “there is something” against “there is nothing”. So much of an AUC says that "
        f"something is there, not what; names add {shown(added)} to it, on the same films by the same trainings."
    ]


def _below_chance(table: pd.DataFrame) -> list[str]:
    """The untrained network, where its interval lies below chance."""
    row = pick(table, UNTRAINED, HEADLINE, MEAN, AUC)
    if row is None or row["high"] >= 0.5:
        return []
    return [
        f"“{UNTRAINED}” lies below chance: {shown(row)} (n {row['n']}, {of_seeds(row['runs'])}). Random weights order films "
        "somehow, much alike for every text; on which side of 0.5 is an accident of this one draw of weights, which the "
        "interval, over patients alone, does not know."
    ]


def zero_shot_message(table: pd.DataFrame) -> str:
    """One sentence for a caption: SS-ACL, and the best other encoder that needs no annotation."""
    rows = table[(table["setting"] == HEADLINE) & (table["detail"] == MEAN) & (table["metric"] == AUC)]
    own, best = pick(table, SSACL, HEADLINE, MEAN, AUC), best_rival(rows)
    if own is None or best is None:
        return "Zero-shot classification was not measured yet."
    rival = f"the best other encoder (“{best['method']}”) {shown(best)}"
    return f"Without a label SS-ACL reaches a mean AUC of {shown(own)}, {rival}."


def best_rival(rows: pd.DataFrame):
    """The row with the highest value whose method needs no annotation and is no variant of SS-ACL; None where there is none."""
    rivals = rows[~rows["ours"].astype(bool) & ~rows["annotated"].astype(bool) & rows["value"].notna()]
    return None if rivals.empty else rivals.sort_values("value", kind="stable").iloc[-1]


# ---- few labels
def label_words(table: pd.DataFrame, fewest: int = 0) -> Markdown:
    """With how many labels a probe reaches what the start knows without any, by encoder; fewest: the least that were asked."""
    lines = []
    for row in table[table["metric"] == LABELS].itertuples():
        if pd.isna(row.value):
            lines.append(f"{row.method}: **not with all labels**.")
        elif row.high <= fewest:
            lines.append(f"{row.method}: {fewest:,} or fewer (the smallest share asked reaches it in every draw).")
        else:
            low = f"{row.low:,.0f}{' or fewer' if row.low <= fewest else ''}"
            high = f"{row.high:,.0f}" if np.isfinite(row.high) else "more than there are"
            lines.append(f"{row.method}: {row.value:,.0f} labelled films [{low}, {high}].")
    aim = pick(table, START, HEADLINE, MEAN, AUC)
    if not lines:
        return Markdown(ABSENT)
    height = "" if aim is None else f" ({aim['value']:.3f})"
    lead = f"Labelled films a probe needs to reach the AUC of the start without labels{height}:"
    return Markdown(f"{lead}\n\n{_lines(lines).data}")


def label_message(table: pd.DataFrame) -> str:
    """One sentence: SS-ACL with 1 % of the labels, and what all labels give it and the supervised network."""
    own = {share: pick(table, SSACL, f"probe {share} %", MEAN, AUC) for share in ("1", "100")}
    if any(row is None for row in own.values()):
        return "Fine-tuning was not measured yet."
    words = f"A probe on SS-ACL reaches a mean AUC of {shown(own['1'])} with 1 % of the labels and {shown(own['100'])} with all"
    bound = pick(table, SUPERVISED, "probe 100 %", MEAN, AUC)
    return words + (
        f"; the network that was told all labels before reaches {shown(bound)}." if bound is not None else "."
    )
