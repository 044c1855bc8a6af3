"""The table downstream_retrieval: means over queries, beside chance, from the rows of retrieval.py."""

import numpy as np
import pandas as pd

from ..baselines.registry import SSACL
from ..evaluation.comparison_margins import beside
from ..metrics.retrieval import PRECISIONS, RECALLS, chance
from ..settings import Settings
from .encoders import START
from .retrieval import OWN, TO_IMAGE, TO_TEXT, USUAL
from .tables import Asked, asked, difference_over, long_rows, weights

METRICS = [*(f"p_at_{k}" for k in PRECISIONS), *(f"r_at_{k}" for k in RECALLS), "rank"]
ALL, RANDOM = "all queries", "chance"
BESIDE = (SSACL, START, "contrast only", "MaCo-like")
"""Of `term_table`, before the variants."""

KEYS = ["convention", "direction", "control"]


def retrieval_table(settings: Settings) -> pd.DataFrame:
    """Columns as in tables.py; setting: direction, and what differs from the usual convention and the own texts.

    detail: "all queries", or the finding of the queries (P@k alone). Intervals resample queries; what is ranked stays. The
    method "chance" is what a random order gives, computed, without an interval's width.
    """
    there = asked(settings, "retrieval")
    rows = [row for entry in there for row in rows_of(entry, settings)]
    if there:
        rows += chance_rows(there[0])
    return long_rows(rows)


def rows_of(entry: Asked, settings: Settings) -> list[dict]:
    """Rows of an encoder."""
    parts: dict[tuple, list[pd.DataFrame]] = {}
    for frame in entry.frames:
        for key, rows in frame.groupby(KEYS, sort=False):
            parts.setdefault(tuple(key), []).append(rows.sort_values("study"))
    found = []
    for (convention, direction, control), frames in parts.items():
        setting = setting_of(convention, direction, control)
        findings = frames[0]["finding"].to_numpy()
        details = [(ALL, np.ones(len(findings), bool))]
        if control == OWN and convention == USUAL:
            details += [(str(finding), findings == finding) for finding in dict.fromkeys(findings)]
        for detail, chosen in details:
            drawn = weights(int(chosen.sum()), settings) / chosen.sum()
            for metric in METRICS if detail == ALL else METRICS[: len(PRECISIONS)]:
                values = [frame[metric].to_numpy(float)[chosen] for frame in frames]
                if np.isfinite(values).all():
                    row = entry.row(
                        setting, detail, metric, np.stack([drawn @ own for own in values]), int(chosen.sum())
                    )
                    found.append(_within(row, len(findings)))
    return found


def term_table(settings: Settings) -> pd.DataFrame:
    """What each loss does to retrieval: P@5 of variants of SS-ACL, and of what it starts from and is compared with.

    The columns as in tables.py; detail: what was exchanged. Metrics: p_at_5, and p_at_5_minus_ss_acl, paired over queries. A
    variant's interval asks whether its one run could be one more of SS-ACL's k: in squares it holds t_(k-1) s sqrt(1 + 1/k) of
    their spread s (`comparison_margins.beside`); that of the others what the trainings of both say of their means
    (`tables.difference_over`). No rows where SS-ACL or all variants are missing.
    """
    there = {entry.about["method"]: entry for entry in asked(settings, "retrieval")}
    variants = asked(settings, "retrieval", variants=True)
    rows: list[dict] = []
    if SSACL not in there or not variants:
        return long_rows(rows)
    for direction in (TO_TEXT, TO_IMAGE):
        own = _precision_at_5(there[SSACL], direction, settings)
        for entry in [*(there[name] for name in BESIDE if name in there), *variants]:
            encoder, draws = entry.jobs[0].encoder, _precision_at_5(entry, direction, settings)
            asked_of = (direction, encoder.method.says if encoder.method else "")
            count = len(entry.frames[0]["study"].unique())
            rows.append(_within(entry.row(*asked_of, "p_at_5", draws, count), count))
            if entry is not there[SSACL]:
                one_more = any(entry is variant for variant in variants) and len(draws) == 1
                told = beside(draws, own) if one_more else difference_over(draws, own)
                row = entry.row(*asked_of, "p_at_5_minus_ss_acl", draws - own.mean(0), count)
                rows.append({**row, **dict(zip(("value", "low", "high"), told, strict=True))})
    return long_rows(rows)


def _precision_at_5(entry: Asked, direction: str, settings: Settings) -> np.ndarray:
    """[seeds, 1 + resamples] of all queries, in the usual convention with the own texts."""
    draws = []
    for frame in entry.frames:
        rows = frame[(frame["convention"] == USUAL) & (frame["direction"] == direction) & (frame["control"] == OWN)]
        values = rows.sort_values("study")["p_at_5"].to_numpy(float)
        draws.append(weights(len(values), settings) @ values / len(values))
    return np.stack(draws)


def setting_of(convention: str, direction: str, control: str) -> str:
    """As a table says it: "image to text", or with the release's convention, or with texts exchanged."""
    return ", ".join(
        [
            direction,
            *([f"as the {convention} ranks"] if convention != USUAL else []),
            *([control] if control != OWN else []),
        ]
    )


def _within(row: dict, count: int) -> dict:
    """Shares lie between 0 and 1, ranks between 1 and the number of films."""
    low, high = (1, count) if row["metric"] == "rank" else (0, 1)
    return {**row, "low": max(row["low"], low), "high": min(row["high"], high)}


def chance_rows(entry: Asked) -> list[dict]:
    """What a random order scores, in both directions alike."""
    frame = entry.frames[0]
    own = frame[(frame["control"] == OWN) & (frame["convention"] == USUAL)]
    rows = []
    for direction, queries in own.groupby("direction", sort=False):
        told = {"method": RANDOM, "runs": 1, "ours": False, "annotated": False}
        for metric, value in chance(queries["finding"].to_numpy()).items():
            rows.append({**entry.row(str(direction), ALL, metric, np.full((1, 2), value), len(queries)), **told})
    return rows
