"""Sentences of the explorer: a node's attention, and what other signs changed in findings and map."""

from collections.abc import Mapping

import numpy as np

from ..evaluation import node_views
from ..evaluation.phrase_views import likeness
from ..observations import FINDINGS


def node_words(view: node_views.NodeView) -> str:
    """One sentence on a node's attention."""
    placed = ""
    if "attention" in view.scores:
        share, contrast = view.scores["attention"]
        placed = f"attention {'points at' if share > 0.5 else 'misses'} the region (CNR {contrast:.2f}), "
        if "look" in view.scores:
            share, contrast = view.scores["look"]
            placed += f"SS-ACL+ {'points at' if share > 0.5 else 'misses'} it (CNR {contrast:.2f}), "
    alike = (
        "" if view.likeness is None else f", likeness across patients {view.likeness:.2f} (1 = the same for everybody)"
    )
    return f"{placed}entropy {view.entropy:.2f} (1 = looks everywhere alike){alike}."


def change_words(both: Mapping, answers: Mapping, thresholds: np.ndarray, maps: Mapping, phrase: str) -> str:
    """What the change of the signs did to findings and map."""
    first, second = answers.values()
    crossed = [
        f"{name} {'appears' if two >= limit else 'disappears'} ({one:.2f} to {two:.2f})"
        for name, one, two, limit in zip(FINDINGS, first, second, thresholds, strict=True)
        if (one >= limit) != (two >= limit)
    ]
    alike = likeness(maps["before"], maps["after"])
    kept = [name for name, one, two, limit in zip(FINDINGS, first, second, thresholds, strict=True)
            if one >= limit and two >= limit]  # fmt: skip
    stay = f" (above it before and after: {', '.join(kept)})" if kept else ""
    turned = (
        f"Above threshold: {'; '.join(crossed)}." if crossed else f"No finding changes its side of the threshold{stay}."
    )
    return (
        f"Before: {both['before'].words}. After: {both['after'].words}. {turned} The maps of “{phrase}” before and after are "
        f"alike by {alike:.2f} (1 = the same)."
    )
