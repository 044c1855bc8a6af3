"""Sentences on the controls of the anatomical losses: a blank film, another patient's, one constant.

Made from the table blind_losses and from pictures of notebook 02; no number in them is typed.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from IPython.display import Markdown


def blind_words(facts: pd.DataFrame) -> Markdown:
    """Per model what the controls of L_ar and L_ac say; facts: the table blind_losses."""
    rows = facts.set_index(["method", "metric", "control"])
    lines = []
    for method in dict.fromkeys(facts["method"]):
        lines += _restoration_words(method, rows.loc[method]) + _consistency_words(method, rows.loc[method])
    return Markdown("\n".join(f"- {line}" for line in lines))


def _against(rows, term: str, control: str) -> tuple[float, int]:
    """A control's loss as a multiple of the own film's, and the sign of their paired difference (0: not told apart)."""
    difference = rows.loc[(f"{term}_minus_own", control)]
    sign = 1 if difference["low"] > 0 else -1 if difference["high"] < 0 else 0
    own = rows.loc[(term, "own film"), "value"]
    return rows.loc[(term, control), "value"] / max(own, 1e-12), sign


def _restoration_words(method: str, rows) -> list[str]:
    term = "anatomy_reconstruction"
    other, apart = _against(rows, term, "another patient")
    blank, blind = _against(rows, term, "blank film")
    constant, better = _against(rows, term, "constant")
    alike = rows.loc["restored_like_target"]["value"]
    known = {
        1: "the children say something of their patient",
        0: "not told apart, so it is not shown that the children say anything of their patient",
        -1: "the children fit another patient better than their own",
    }[apart]
    heart = {
        -1: f"One constant picture per parent restores {1 / max(constant, 1e-12):.1f} times better than looking at the children",
        0: "One constant picture per parent is not told apart from looking at the children",
        1: f"One constant picture per parent restores {constant:.1f} times worse than looking at the children",
    }[better]
    return [
        f"**{method}**, $L_{{ar}}$ = {rows.loc[(term, 'own film'), 'value']:.4f}. Against another patient's target it is "
        f"{other:.2f} times that: {known}. (What is restored and its target, the average picture taken from both, have a cosine "
        f"of {alike['own film']:.2f}; with another patient's target {round(alike['another patient'], 2) + 0.0:.2f}.) "
        f"With the children read on a blank film it is {blank:.2f} times: {_film(blind)}. {heart}."
    ]


def _consistency_words(method: str, rows) -> list[str]:
    term = "anatomical_consistency"
    blank, blind = _against(rows, term, "blank film")
    constant, better = _against(rows, term, "constant")
    reports, told = _against(rows, term, "another patient")
    sides, _ = _against(rows, term, "sides exchanged")
    heart = {-1: "less than looking costs", 0: "not told apart from what looking costs", 1: "more than looking costs"}[
        better
    ]
    read = {
        1: "the loss rewards reports that agree",
        0: "not told apart, so it is not shown that agreeing reports matter to it",
        -1: "it does not reward reports that agree: a like report adds to every entry of the target, not to the same leaf",
    }[told]
    return [
        f"**{method}**, $L_{{ac}}$ = {rows.loc[(term, 'own film'), 'value']:.3f}. Tokens read on a blank film cost {blank:.3f} "
        f"times that: {_film(blind)}. One constant token per leaf costs {constant:.3f} times that, {heart}. With another "
        f"patient's report it is {reports:.3f} times: {read}. With right and left exchanged it is {sides:.2f} times."
    ]


def _film(sign: int) -> str:
    return {
        1: "the film is read",
        0: "not told apart, so it is not shown that the film is read",
        -1: "a blank film serves better than the own one",
    }[sign]


def blind_caption(facts: pd.DataFrame) -> str:
    """The caption of the table blind_losses; its message is that of the last model, the one trained longest."""
    method = list(dict.fromkeys(facts["method"]))[-1]
    rows = facts.set_index(["method", "metric", "control"]).loc[method]
    (times, better), (_, read) = (_against(rows, "anatomy_reconstruction", name) for name in ("constant", "blank film"))
    heart = (
        f"{1 / times:.1f} times better than"
        if better < 0
        else "neither better nor worse than"
        if not better
        else "worse than"
    )
    blank = {-1: "better than", 0: "neither better nor worse than", 1: "worse than"}[read]
    return (
        f"One picture per parent that is the same for everybody serves L_ar {heart} what {method} restores from a film, and a "
        f"blank film serves it {blank} the own one. Both anatomical losses beside their controls (own film: as trained), the "
        "likeness of what is restored to its target once the average picture is taken from both, and cosines of leaf tokens. "
        "Test studies; the rows with “minus_own” are paired differences."
    )


def parents_message(pictures: Mapping) -> str:
    """The message of the figure of parents: how far a target is from the constant, and from another parent's target.

    pictures: name -> [7, p, p], the constant last; "patient k: target" and "patient k: restored" before it.
    """
    constant = list(pictures.values())[-1]
    targets = [drawn for name, drawn in pictures.items() if name.endswith("target")]
    patients = float(np.mean([np.abs(drawn - constant).mean() for drawn in targets]))
    between = float(np.mean([np.abs(constant - np.roll(constant, k, 0)).mean() for k in range(1, len(constant))]))
    return (
        f"Parents differ from each other by {between:.2f} of a film's grey range and patients by {patients:.3f}, so a target "
        "says which parent it is and " + ("hardly" if patients < between / 10 else "also") + " whose."
    )
