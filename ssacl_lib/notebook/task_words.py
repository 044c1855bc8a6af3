"""What the tables of masks and of retrieval in notebook 06 say, and what its contact sheet shows, as sentences."""

from collections.abc import Sequence

import pandas as pd
from IPython.display import Markdown

from ..baselines.registry import SSACL
from ..downstream.cases import SHOWN, Ranked
from ..downstream.retrieval import RELEASE, SHUFFLED, TO_IMAGE, TO_TEXT, USUAL
from ..downstream.retrieval_tables import ALL, RANDOM, setting_of
from ..downstream.segmentation import EXCHANGED, FROZEN, MEAN_MASK, TUNED
from ..downstream.segmentation_tables import KEPT, NOTHING, PIXELS, WITH, WITHOUT
from ..settings import Settings
from .downstream_words import ABSENT, best_rival, listed, of_seeds, pick, shown, told


# ---- masks
def shown_rows(settings: Settings) -> dict[str, object]:
    """Which rows of the segmentation table are shown: pneumothorax, encoders frozen, beside what sees no film."""
    side = f"{settings.data.image_size} px"
    return {"setting": [f"{FROZEN}, {side}", side], "detail": "Pneumothorax", "metric": [WITH, WITHOUT, PIXELS]}


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
        best = best_rival(_frozen(table, side, of))
        if best is not None:
            lines.append(
                f"Best frozen encoder beside SS-ACL that needs no annotation, {of}: “{best['method']}” {shown(best)} "
                f"(n {best['n']}, {of_seeds(best['runs'])})."
            )
    return Markdown("\n".join(f"- {line}" for line in lines))


def _frozen(table: pd.DataFrame, side: str, finding: str) -> pd.DataFrame:
    """Dice of all frozen encoders on films that have the finding."""
    return table[table["setting"].eq(f"{FROZEN}, {side}") & table["detail"].eq(finding) & table["metric"].eq(WITHOUT)]


def segmentation_message(table: pd.DataFrame) -> str:
    """One sentence: those whose masks are drawn, on films that have the finding, frozen, at the smaller side."""
    if not len(table):
        return "Segmentation was not measured yet."
    side, parts = first_side(table), []
    for finding in dict.fromkeys(table["detail"]):
        rows = _frozen(table, side, str(finding))
        rows = [rows[rows["method"] == method].iloc[0] for method in SHOWN if (rows["method"] == method).any()]
        if rows:
            numbers = ", ".join(f"{row['method']} {shown(row)} ({of_seeds(row['runs'])})" for row in rows)
            parts.append(f"{finding} (n {rows[0]['n']}): {numbers}")
    return f"Mean Dice on films that have the finding, frozen encoders. {'; '.join(parts)}."


# ---- retrieval
def retrieval_words(table: pd.DataFrame) -> Markdown:
    """P@5 and rank in both directions beside chance, the control, and the release's convention."""
    if pick(table, SSACL, setting_of(USUAL, TO_TEXT, "own"), ALL, "p_at_5") is None:
        return Markdown(ABSENT)
    lines = []
    for direction in (TO_TEXT, TO_IMAGE):
        own, control = setting_of(USUAL, direction, "own"), setting_of(USUAL, direction, SHUFFLED)
        lines.append(
            f"- **{direction}**: P@5 of SS-ACL {told(table, SSACL, own, ALL, 'p_at_5')}, mean rank of the own partner "
            f"{told(table, SSACL, own, ALL, 'rank', 0)}; by chance {_chance(table, own, 'p_at_5', 3)} and "
            f"{_chance(table, own, 'rank', 0)}; with the texts exchanged {told(table, SSACL, control, ALL, 'p_at_5')}."
        )
    release = setting_of(RELEASE, TO_TEXT, "own")
    lines.append(
        f"- The release calls “{TO_TEXT}” what ranks films for each text: P@5 {told(table, SSACL, release, ALL, 'p_at_5')}. "
        f"Compare it with the line “{TO_IMAGE}”."
    )
    return Markdown("\n".join(lines))


def _chance(table: pd.DataFrame, setting: str, metric: str, places: int) -> str:
    row = pick(table, RANDOM, setting, ALL, metric)
    return "?" if row is None else f"{row['value']:.{places}f}"


def retrieval_message(table: pd.DataFrame) -> str:
    """One sentence per direction, films that are found by a report first: P@5 of SS-ACL, the best rival, chance."""
    parts = []
    for direction, words in ((TO_IMAGE, "films for a report"), (TO_TEXT, "reports for a film")):
        setting = setting_of(USUAL, direction, "own")
        rows = table[(table["setting"] == setting) & (table["detail"] == ALL) & (table["metric"] == "p_at_5")]
        own, best = pick(table, SSACL, setting, ALL, "p_at_5"), best_rival(rows[rows["method"] != RANDOM])
        if own is not None and best is not None:
            parts.append(
                f"{words}: SS-ACL {shown(own)} ({of_seeds(own['runs'])}), “{best['method']}” {shown(best)} "
                f"({of_seeds(best['runs'])}), chance {_chance(table, setting, 'p_at_5', 2)}, n {own['n']}"
            )
    return f"P@5 with whole reports, {'; '.join(parts)}." if parts else "Retrieval was not measured yet."


def ranked_message(rows: Sequence[Ranked]) -> str:
    """What is in the contact sheet: how many of the first films have the finding of their sentence."""
    if not rows:
        return "Nothing was ranked yet."
    hits = {row.finding: (sum(found == row.finding for found in row.findings), len(row.findings)) for row in rows}
    right, count = (sum(part) for part in zip(*hits.values(), strict=True))
    scores: dict[tuple[int, int], list[str]] = {}
    for finding, score in sorted(hits.items(), key=lambda entry: -entry[1][0]):
        scores.setdefault(score, []).append(finding.lower())
    each = "; ".join(f"{own} of {films} for {listed(names)}" for (own, films), names in scores.items())
    return (
        f"Of the {count} films that the shipped model finds nearest to a sentence, {right} have its finding "
        f"({'each: ' if any(len(names) > 1 for names in scores.values()) else ''}{each})."
    )
