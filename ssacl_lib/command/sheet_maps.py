"""The maps of an evidence sheet as layers that a page draws where it uses them, and what is said of each in words."""

from math import exp, floor

import numpy as np

from ..inference.evidence import STAYS, Pair, SentenceEvidence, StudyEvidence
from ..plots.sheet import LOOKED, OTHER, OWN, REGION, heat_data, outline_path
from .markup import Markup, tag

KINDS = {"written": "Sentence evidence", "masked": "Masked evidence", "looked": "Named anatomies"}
"""Kinds of map and what they are called; the keys stand in the names of the layers."""


# ---- words
def odds(nats: float) -> str:
    """A difference of log-likelihoods as a factor.

    >>> odds(0.7)
    '2.0'
    """
    return "more than 1000" if nats > 6.9 else f"{exp(nats):.1f}" if nats < 2.3 else f"{exp(nats):.0f}"


def quoted(text: str) -> str:
    """A text in quotation marks that ends a sentence; a full stop of its own does that alone.

    >>> quoted("left effusion")
    '“left effusion”.'
    """
    return f"“{text}”" if text.endswith((".", "!", "?")) else f"“{text}”."


def verdict(pair: Pair) -> str:
    """What the control says of a map, in a sentence."""
    if pair.likeness is None:
        return ""
    number = f"correlation {pair.likeness:.2f}"
    if pair.stays:
        return f"The map stays when the side is swapped ({number}): position, not evidence of this side."
    return f"The map moves when the side is swapped ({number}, below {STAYS})."


def why_none(sentence: SentenceEvidence) -> str:
    """Why a sentence has no evidence."""
    if sentence.written is None:
        return "the decoder sees no patches here"
    if not sentence.written.shows:
        return f"no patch stands out: random masks do as much in {sentence.written.own.chance:.0%} of cases"
    return f"open patches make it {floor(10 * exp(sentence.support)) / 10} times as likely, not twice"


# ---- maps
def layer(name: str, heatmap: np.ndarray, top: float, colour: str, kind: str, **said: str) -> Markup:
    """A map and the outline of its region as a group that is drawn where it is used; `said` goes with it as data."""
    size = len(heatmap)
    picture = tag("image", href=heat_data(heatmap, top, colour), width=size, height=size)
    edge = tag("path", d=outline_path(heatmap), class_="outline", stroke=colour)
    return tag("g", picture, edge, id=name, class_=kind, **{f"data_{key}": value for key, value in said.items()})


def pair_layers(
    name: str, kind: str, pair: Pair, shows: bool, silent: str, alone: str, about: str = ""
) -> list[Markup]:
    """The layers of a map and of its control; where the map shows nothing, it is empty and says why.

    Fits of a film with two phrases share a scale. Likelihoods don't: the less likely sentence moves by more, whatever it says.
    """
    tops = [max(float(heat.heatmap.max()), 1e-12) for heat in (pair.own, pair.other) if heat]
    tops = [max(tops)] * len(tops) if kind == "masked" else tops
    own = pair.own.heatmap if shows else np.zeros_like(pair.own.heatmap)
    said = [f"of {quoted(pair.own.text)}", *([verdict(pair), about] if shows else [f"None: {silent}."])]
    told = {"title": KINDS[kind], "says": " ".join(filter(None, said)), "alone": alone}
    layers = [layer(f"{name}-{kind}", own, tops[0], OWN, "own", **told)]
    if pair.other:
        told = {"title": f"{KINDS[kind]}, other side", "says": f"of {quoted(pair.other.text)} {verdict(pair)}"}
        layers.append(layer(f"{name}-{kind}-other", pair.other.heatmap, tops[1], OTHER, "other", **told))
    return layers


def layers_of(study: StudyEvidence) -> list[Markup]:
    """All maps of a page: s0-written, s0-written-other, s0-masked, s0-looked, f3-masked, ..."""
    found: list[Markup] = []
    chance = "no patch stands out from chance"
    for number, sentence in enumerate(study.sentences):
        name = f"s{number}"
        alone = "the text names no side, or both, or the report says both"
        alone = alone if sentence.findings else "the sentence states no finding"
        if sentence.written:
            about = f"Open patches make it {odds(sentence.support)} times as likely{_beside(sentence, study)}."
            rests = sentence.rests_on_film
            found += pair_layers(name, "written", sentence.written, rests, why_none(sentence), alone, about)
        if sentence.masked:
            found += pair_layers(name, "masked", sentence.masked, sentence.masked.shows, chance, alone)
        if sentence.looked is not None:
            said = f"{', '.join(sentence.nodes)}, where SS-ACL+ finds them in this film."
            told = {"title": KINDS["looked"], "says": said, "alone": "an anatomy has its own side"}
            found.append(
                layer(f"{name}-looked", sentence.looked, float(sentence.looked.max()), LOOKED, "looked", **told)
            )
    for number, finding in enumerate(study.findings):
        if finding.masked:
            alone = "the report tells no one side of it"
            found += pair_layers(f"f{number}", "masked", finding.masked, finding.masked.shows, chance, alone)
    return found


def _beside(sentence: SentenceEvidence, study: StudyEvidence) -> str:
    """Of its sentence evidence: how alike the masked evidence of the finding that it states is; and what the side counts."""
    told = f", and its side {odds(sentence.side)} times as likely as the other one" if sentence.side is not None else ""
    masked = {finding.name: finding.masked for finding in study.findings if finding.masked}
    for name in sentence.findings:
        if name in masked and sentence.written:
            alike = Pair(sentence.written.own, masked[name].own).likeness
            told += f"; its correlation with the masked evidence of {name.lower()} is {alike:.2f}"
    return told


def regions_of(study: StudyEvidence, patches: int) -> dict[str, np.ndarray]:
    """Of every map that shows something, the patches [G, G] of its region: "s0-written" -> bool."""
    found = {}
    for number, sentence in enumerate(study.sentences):
        if sentence.rests_on_film and sentence.written:
            found[f"s{number}-written"] = _patches_above(sentence.written.own.heatmap, patches)
        if sentence.masked and sentence.masked.shows:
            found[f"s{number}-masked"] = _patches_above(sentence.masked.own.heatmap, patches)
        if sentence.looked is not None:
            found[f"s{number}-looked"] = _patches_above(sentence.looked, patches)
    return found


def _patches_above(heatmap: np.ndarray, patches: int) -> np.ndarray:
    side = len(heatmap) // patches
    means = heatmap[: side * patches, : side * patches].reshape(patches, side, patches, side).mean((1, 3))
    return means > REGION * max(float(heatmap.max()), 1e-12)
