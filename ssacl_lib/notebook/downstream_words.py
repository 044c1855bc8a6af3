"""What the tables of notebook 06 say, as sentences: every number and every verdict is read from the table at hand."""

import pandas as pd
from IPython.display import Markdown

from ..baselines.registry import SSACL
from ..downstream.aims import MISSED, REACHED
from ..downstream.classification import AUC, HEADLINE, LABELS, MEAN
from ..downstream.encoders import SUPERVISED, planned
from ..downstream.prompts import NAMELESS, ONE_PAIR, SHUFFLED
from ..downstream.retrieval import RELEASE, SHUFFLED as EXCHANGED_TEXTS, TO_IMAGE, TO_TEXT, USUAL
from ..downstream.retrieval_tables import ALL, RANDOM, setting_of
from ..downstream.robustness_tables import LEVELS
from ..downstream.run import jobs_of
from ..downstream.segmentation import EXCHANGED, FROZEN, MEAN_MASK, TUNED
from ..downstream.segmentation_tables import KEPT, NOTHING, WITH, WITHOUT
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
            f"Aim, {row.aim}: {row.method} {row.own:.3f}, {row.against} {row.other:.3f}, difference {row.difference:+.3f} "
            f"[{row.low:+.3f}, {row.high:+.3f}] (n {row.n}, seeds {row.runs}): **{verdict}**."
        )
    return _lines(lines)


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
    each = table[(table["method"] == SSACL) & (table["setting"] == HEADLINE) & (table["metric"] == AUC)]
    each = each[(each["detail"] != MEAN) & each["value"].notna()].sort_values("value")
    if len(each):
        hardest, easiest = each.iloc[0], each.iloc[-1]
        lines.append(
            f"Easiest finding: {easiest['detail']} ({easiest['value']:.2f}); hardest: {hardest['detail']} "
            f"({hardest['value']:.2f})."
        )
    return _lines([*lines, *gap_lines(table)])


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
def label_words(table: pd.DataFrame) -> Markdown:
    """With how many labels a probe on each encoder reaches what the start knows without any."""
    lines = []
    for row in table[table["metric"] == LABELS].itertuples():
        if pd.isna(row.value):
            lines.append(f"{row.method}: **not with all labels**.")
        else:
            lines.append(f"{row.method}: {row.value:,.0f} labelled films [{row.low:,.0f}, {row.high:,.0f}].")
    return _lines(lines)


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


# ---- segmentation
def first_side(table: pd.DataFrame) -> str:
    """The smaller side of the films, as the table says it ("96 px")."""
    sides = table["setting"].str.extract(r"(\d+) px")[0].dropna().astype(int)
    return f"{sides.min()} px"


def segmentation_words(table: pd.DataFrame) -> Markdown:
    """Per finding Dice of SS-ACL under both rules for empty masks, beside nothing found; and the two controls."""
    if not len(table):
        return Markdown(ABSENT)
    side, lines = first_side(table), []
    for finding in dict.fromkeys(table["detail"]):
        own, of = f"{FROZEN}, {side}", str(finding)
        lines.append(
            f"**{of}**, {side}, frozen SS-ACL: Dice {told(table, SSACL, own, of, WITHOUT)} on films that have it, "
            f"{told(table, SSACL, own, of, WITH)} where empty masks count; it leaves "
            f"{told(table, SSACL, own, of, KEPT)} of the empty films empty. Who never marks a pixel scores 0 and "
            f"{told(table, NOTHING, side, of, WITH)}. Fine-tuned: {told(table, SSACL, f'{TUNED}, {side}', of, WITHOUT)}."
        )
        exchanged = told(table, SSACL, f"{own}, {EXCHANGED}", of, WITHOUT)
        lines.append(
            f"Controls, {of}: the same masks on the next film that has it {exchanged}; the mean mask, which sees no film, "
            f"{told(table, MEAN_MASK, side, of, WITHOUT)}."
        )
    return _lines(lines)


def segmentation_message(table: pd.DataFrame) -> str:
    """One sentence: SS-ACL and its best rival on films that have the finding, frozen, at the smaller side."""
    if not len(table):
        return "Segmentation was not measured yet."
    setting, parts = f"{FROZEN}, {first_side(table)}", []
    for finding in dict.fromkeys(table["detail"]):
        rows = table[(table["setting"] == setting) & (table["detail"] == finding) & (table["metric"] == WITHOUT)]
        best = best_rival(rows)
        rival = f", “{best['method']}” {shown(best)}" if best is not None else ""
        parts.append(f"{finding}: SS-ACL {told(table, SSACL, setting, str(finding), WITHOUT)}{rival}")
    return f"Dice on films that have the finding, frozen encoders. {'; '.join(parts)}."


# ---- retrieval
def retrieval_words(table: pd.DataFrame) -> Markdown:
    """P@5 and rank in both directions beside chance, the control, and the release's convention."""
    if pick(table, SSACL, setting_of(USUAL, TO_TEXT, "own"), ALL, "p_at_5") is None:
        return Markdown(ABSENT)
    lines = []
    for direction in (TO_TEXT, TO_IMAGE):
        own, control = setting_of(USUAL, direction, "own"), setting_of(USUAL, direction, EXCHANGED_TEXTS)
        lines.append(
            f"**{direction}**: P@5 of SS-ACL {told(table, SSACL, own, ALL, 'p_at_5')}, mean rank of the own partner "
            f"{told(table, SSACL, own, ALL, 'rank', 0)}; by chance {_chance(table, own, 'p_at_5', 3)} and "
            f"{_chance(table, own, 'rank', 0)}; with the texts exchanged {told(table, SSACL, control, ALL, 'p_at_5')}."
        )
    release = setting_of(RELEASE, TO_TEXT, "own")
    lines.append(
        f"The release calls “{TO_TEXT}” what ranks films for each text: P@5 {told(table, SSACL, release, ALL, 'p_at_5')}. "
        f"Compare it with the line “{TO_IMAGE}”."
    )
    return _lines(lines)


def _chance(table: pd.DataFrame, setting: str, metric: str, places: int) -> str:
    row = pick(table, RANDOM, setting, ALL, metric)
    return "?" if row is None else f"{row['value']:.{places}f}"


def retrieval_message(table: pd.DataFrame) -> str:
    """One sentence: P@5 of SS-ACL and of the best rival for a film that ranks texts."""
    setting = setting_of(USUAL, TO_TEXT, "own")
    rows = table[(table["setting"] == setting) & (table["detail"] == ALL) & (table["metric"] == "p_at_5")]
    own, best = pick(table, SSACL, setting, ALL, "p_at_5"), best_rival(rows[rows["method"] != RANDOM])
    if own is None or best is None:
        return "Retrieval was not measured yet."
    chance = _chance(table, setting, "p_at_5", 2)
    rivals = f"“{best['method']}” {shown(best)}, chance {chance}"
    return f"Of the first five reports that a film ranks, so many have its finding: SS-ACL {shown(own)}, {rivals}."


# ---- robustness
def robustness_words(ends: pd.DataFrame) -> Markdown:
    """Per claim: does it hold on films as they are, and at which level of which family does it end?"""
    lines = []
    for (claim, against), part in ends.groupby(["claim", "against"], sort=False):
        first = part.iloc[0]
        margin = f"margin {first['margin']:+.2f} [{first['low']:+.2f}, {first['high']:+.2f}]"
        if (part["ends"] == 0).all():
            lines.append(f"**{claim}** (over {against}): **not even on films as they are** ({margin}).")
            continue
        gone = [
            f"{row.family} {row.ends}"
            for row in part.sort_values("ends", kind="stable").itertuples()
            if row.ends <= LEVELS
        ]
        kept = part.loc[part["ends"] > LEVELS, "family"].tolist()
        words = f"no longer at {', '.join(gone)}" if gone else ""
        stays = f"at every level of {', '.join(kept)}" if kept else ""
        lines.append(
            f"**{claim}** (over {against}): holds on films as they are ({margin}); {'; '.join(filter(None, (words, stays)))}."
        )
    return _lines(lines)


def robustness_message(ends: pd.DataFrame) -> str:
    """One sentence: how many claims hold on films as they are, and which family ends most of these first."""
    if not len(ends):
        return "Robustness was not measured yet."
    whole = ends[ends["ends"] > 0]
    claims, holding = ends["claim"].nunique(), whole["claim"].nunique()
    words = f"{holding} of {claims} claims hold on films as they are"
    if not holding:
        return f"{words}, so nothing can be lost on worse ones."
    means = whole.groupby("family", sort=False)["ends"].mean()
    return f"{words}; they end soonest under {means.idxmin()} and latest under {means.idxmax()} (of {LEVELS} levels)."
