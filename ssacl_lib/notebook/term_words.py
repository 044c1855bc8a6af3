"""What the table retrieval_terms of notebook 06 says: which loss costs or earns precision, one line per direction."""

import pandas as pd
from IPython.display import Markdown

from ..downstream.retrieval import TO_IMAGE, TO_TEXT
from .downstream_words import shown

NO_VARIANTS = (
    "*No variant of SS-ACL is trained and asked yet: `ssacl ablation`, then `ssacl downstream --only retrieval`.*"
)


def term_words(table: pd.DataFrame) -> Markdown:
    """Sorted by their difference to SS-ACL, split by whether the interval lies above, below or across zero."""
    lines = []
    for direction in (TO_TEXT, TO_IMAGE):
        rows = (
            table[(table["setting"] == direction) & (table["metric"] == "p_at_5_minus_ss_acl")] if len(table) else table
        )
        if not len(rows):
            return Markdown(NO_VARIANTS)
        rows = rows.sort_values("value", ascending=False)
        parts = {
            "better than SS-ACL": rows[rows["low"] > 0],
            "worse": rows[rows["high"] < 0],
            "not told apart from it": rows[(rows["low"] <= 0) & (rows["high"] >= 0)],
        }
        said = [
            f"{verdict}: " + "; ".join(f"{row['method']} {shown(row)}" for _, row in part.iterrows())
            for verdict, part in parts.items()
            if len(part)
        ]
        lines.append(f"- **{direction}**, P@5 minus that of SS-ACL: " + ". ".join(said) + ".")
    return Markdown("\n".join(lines))


def term_message(table: pd.DataFrame) -> str:
    """One sentence for the caption."""
    rows = table[table["metric"] == "p_at_5_minus_ss_acl"] if len(table) else table
    above = sorted(set(rows.loc[rows["low"] > 0, "method"])) if len(rows) else []
    if not len(rows):
        return "No variant was asked yet."
    return f"Above SS-ACL in a direction: {', '.join(above)}." if above else "Nothing is above SS-ACL."
