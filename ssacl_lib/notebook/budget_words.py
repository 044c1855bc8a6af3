"""What notebook 05 says of larger budgets, and of the start that all methods go on from: read from the tables at hand."""

import pandas as pd
from IPython.display import Markdown

from ..baselines.registry import SSACL
from ..evaluation.comparison_margins import HEADLINES
from ..evaluation.comparison_start import START
from ..plots.comparison import MARGIN_NAMES, OURS
from .comparison_words import percent, quoted


def budget_message(table: pd.DataFrame) -> str:
    """One sentence per number: what more images change for SS-ACL and for its rivals, in micro F1 and in the CNR of maps."""
    told = []
    for metric, title in (("micro_f1_13", "Micro F1 of reports"), ("cnr", "CNR of masked maps")):
        rows = table[table["metric"].eq(metric) & table["images"].gt(0)]
        changes = []
        for method, of_method in rows.groupby("method", sort=False):
            first, last = of_method.sort_values("images").iloc[[0, -1]].itertuples()
            if last.images > first.images:
                images = f"({first.images:,} to {last.images:,} images)"
                changes.append(f"{method} {first.value:.2f} to {last.value:.2f} {images}")
        told += [f"{title}: {'; '.join(changes)}."] if changes else []
    return " ".join(told) or "No run with a larger budget is there yet."


def budget_margin_words(table: pd.DataFrame) -> Markdown:
    """One line per claim and answer: the margin at every budget."""
    lines = []
    for claim, metrics in HEADLINES.items():
        for metric in metrics:
            rows = table[table["metric"] == metric].sort_values("images")
            told = [
                f"{percent(row)} over {row.best_baseline} ({row.images:,} images, {row.seeds} training"
                f"{'s' if row.seeds > 1 else ''} of SS-ACL)"
                for row in rows.itertuples()
            ]
            if told:
                lines.append(f"- **{claim}**, {MARGIN_NAMES[metric]}: {'; '.join(told)}.")
    return Markdown("\n".join(lines) or "*Nothing was compared yet.*")


def budget_margin_message(table: pd.DataFrame) -> str:
    """One sentence for a caption: the headline margins at the largest budget."""
    if not len(table) or table["images"].nunique() < 2:
        return "No run with a larger budget is there yet."
    most = table[table["images"] == table["images"].max()]
    rows = [row for row in most.itertuples() if row.metric in HEADLINES[row.claim]]
    above = [f"{row.claim} ({MARGIN_NAMES[row.metric]})" for row in rows if row.low > 0]
    told = f"{len(above)} of {len(rows)} ({', '.join(above)})" if above else f"none of {len(rows)}"
    return f"Headline margins above zero with {most['images'].iloc[0]:,} images: {told}."


def start_words(table: pd.DataFrame) -> Markdown:
    """Per reason why SS-ACL could lie below its start: on which side of it the runs lie whose maps would answer, by CNR."""
    lines = []
    for reason, rows in table[table["metric"] == "cnr"].groupby("reason", sort=False):
        told = [
            f"“{method}” " + " and ".join(side_of(row) for row in both.itertuples())
            for method, both in rows.groupby("method", sort=False)
        ]
        lines.append(f"- *{reason}*: {'; '.join(told)}.")
    return Markdown("\n".join([*lines, *_verdicts(table)]) or "*Nothing was compared yet.*")


def _verdicts(table: pd.DataFrame) -> list[str]:
    """Which reasons the CNR speaks for, which against, and which it leaves open."""
    rows = table[table["metric"] == "cnr"]
    told = []
    for reason, part in rows[rows["against"] == SSACL].groupby("reason", sort=False):
        above, below = part[part["low"] > 0]["method"], part[part["high"] < 0]["method"]
        speaks = [
            f"{side} {quoted(names)}" for side, names in (("for it speaks", above), ("against it", below)) if len(names)
        ]
        told.append(f"*{reason}*: {', '.join(speaks) or 'left open'}")
    rivals = rows[(rows["against"] == START) & ~rows["method"].isin(OURS)]
    if len(rivals):
        told.append(
            f"*any further training*: {(rivals['high'] < 0).sum()} of {len(rivals)} rivals' rows lie below the start, too"
        )
    return (
        [f"- **Together**, by the side of SS-ACL as it is on which a change lies: {'; '.join(told)}."] if told else []
    )


def side_of(row) -> str:
    """On which side of what it stands against a row of `over_start` lies."""
    side = "below" if row.high < 0 else "above" if row.low > 0 else "not told apart from"
    return f"{side} {named(row.against)} ({row.value:+.2f} [{row.low:+.2f}, {row.high:+.2f}])"


def named(against: str) -> str:
    """The start, or the trainings of SS-ACL as it is."""
    return "the start" if against == START else f"{against} as it is"


def start_message(table: pd.DataFrame) -> str:
    """One sentence for a caption: which runs lie above the start in the CNR of masked maps, and which are not told apart."""
    rows = table[(table["metric"] == "cnr") & (table["against"] == START)]
    if not len(rows):
        return "Nothing was compared yet."
    above, level = rows[rows["low"] > 0]["method"], rows[(rows["low"] <= 0) & (rows["high"] >= 0)]["method"]
    told = f"{len(above)} of {len(rows)} methods ({quoted(above)})" if len(above) else f"none of {len(rows)} methods"
    return f"The CNR of masked maps lies above the start for {told}; not told apart from it are {quoted(level)}."
