"""The report of a phantom patient: a grammar that says the signs, denies others, and describes what is normal.

Which words there are stands in `wording.yaml`; here is what may be said of whom. A report may leave a minor sign out or
hedge it, may be wrong about nothing: it never denies a sign of the patient, and never states one the patient lacks.
Lengths stay within what 100 word pieces hold.
"""

import re
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np

from ..anatomy import leaves_of
from ..observations import FINDINGS
from .truth import Sign
from .wording import Draws, listed, unfold, with_articles, wording

PHRASE_FINDINGS = (
    "Cardiomegaly", "Lung Opacity", "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
)  # fmt: skip
"""The findings that have phrases in MS-CXR."""

LUNG_FINDINGS = frozenset(FINDINGS[2:11])

HEDGED_BELOW, HEDGED_SHARE = 0.35, 0.25
"""A sign of less than this severity is hedged this often."""

OMITTED_BELOW, OMITTED_SHARE = 0.3, 0.08
"""A sign of less than this severity is left out this often."""

LONGEST = 96
"""Words and punctuation marks of a report; the headings count."""

_CONFLICTS = {  # denying the key would deny what these look like
    "Lung Opacity": frozenset(LUNG_FINDINGS - {"Pneumothorax", "Pleural Effusion", "Pleural Other"}),
    "Consolidation": frozenset({"Consolidation", "Pneumonia"}),
    "Pneumonia": frozenset({"Consolidation", "Pneumonia", "Lung Opacity"}),
}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth")  # fmt: skip  # noqa: E501
_PIECE = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class PhantomReport:
    """A report and its phrases.

    text: the report; "\\n" stands between its sections.
    phrases: (index of the sign, phrase in MS-CXR's manner) for each sign of PHRASE_FINDINGS that the text affirms.
    """

    text: str
    phrases: tuple[tuple[int, str], ...]


def write_report(signs: tuple[Sign, ...], generator: np.random.Generator) -> PhantomReport:
    """Write the report of a patient.

    Args:
        signs: what is to be seen; in any order, none for a normal film.
        generator: the only source of chance; the same signs and state give the same report.
    """
    draws = Draws(generator)
    affirmed, hedged = [], []
    for index, sign in enumerate(signs):
        if sign.severity < OMITTED_BELOW and draws.chance(OMITTED_SHARE):
            continue
        hedge = sign.severity < HEDGED_BELOW and sign.finding != "Support Devices" and draws.chance(HEDGED_SHARE)
        (hedged if hedge else affirmed).append(index)
    slots = {index: _slots(signs[index], draws) for index in affirmed + hedged}
    said = _positive_sentences(signs, affirmed, hedged, slots, draws)
    impression = _impression(signs, affirmed, hedged, slots, draws)
    denials = _denials(signs, affirmed, draws)
    text = _compose(said, impression, denials, _normals(signs, draws), draws)
    phrases = [
        (index, _bare(_noun_phrase(signs[index], slots[index], draws)))
        for index in affirmed
        if signs[index].finding in PHRASE_FINDINGS
    ]
    return PhantomReport(text, tuple(phrases))


def _slots(sign: Sign, draws: Draws) -> dict:
    """The facts of a sign as slots of the wording; one entry per fact that it has."""
    words = wording()
    level = min(3, int(sign.severity * 4))
    slots = {name: levels[level] for name, levels in words["severity"].items()}
    one_sided = sign.side in ("right", "left")
    place = words["places"].get(sign.zone or "any", words["places"]["any"])["one" if one_sided else "both"]
    slots |= place
    if one_sided:
        slots |= {"side": sign.side, "middle": words["middle"][sign.side]}
    if sign.size_mm is not None:
        mm = max(1, round(sign.size_mm))
        slots["size"] = [f"{mm} mm", f"{mm / 10:.1f} cm"] if mm >= 10 else f"{mm} mm"
    if sign.number is not None:
        slots["number"] = _ORDINALS[min(max(sign.number, 1), 12) - 1]
    if sign.tip is not None:
        slots["tip"] = words["tips"].get(sign.tip, f"the {sign.tip}")
    if sign.tip_mm is not None:
        cm = sign.tip_mm / 10
        slots["height"] = [f"{cm:.1f} cm", f"{cm:.0f} cm"] if cm >= 1 else f"{cm:.1f} cm"
    return slots


@cache
def _entry(finding: str, kind: str | None) -> dict:
    findings = wording()["findings"]
    if finding in findings:
        return findings[finding]
    key = f"{finding}.{kind}"
    return findings[key] if key in findings else next(v for k, v in findings.items() if k.startswith(f"{finding}."))


@cache
def _options(finding: str, kind: str | None, form: str, known: frozenset) -> tuple[str, ...]:
    """The phrases of a finding that need no fact beyond the known ones."""
    phrases = _entry(finding, kind).get(form, ())
    needed = {"side", "size", "number", "tip", "height", "middle"} - known
    return tuple(p for p in phrases if not any(f"{{{name}}}" in p for name in needed))


def _noun_phrase(sign: Sign, slots: dict, draws: Draws) -> str:
    """A noun phrase with its mark: "~" takes an article, "+" is plural.

    Raises:
        ValueError: the wording has no phrase for such a sign.
    """
    forms = ("one", "both") if sign.side in ("right", "left") else ("both", "one")
    for form in forms:
        options = _options(sign.finding, sign.kind, form, frozenset(slots))
        if options:
            return unfold(draws.pick(options), slots, draws)
    raise ValueError(f"wording.yaml has no phrase for {sign}")


def _bare(phrase: str) -> str:
    return with_articles(phrase.lstrip("~+ "))


def _framed(frames: str, phrase: str, draws: Draws, other: str | None = None) -> str:
    slots = {"np": phrase.lstrip("~+ "), "anp": phrase.lstrip("+"), "is": "are" if phrase[0] == "+" else "is"}
    if other is not None:
        slots |= {"np2": other.lstrip("~+ "), "anp2": other.lstrip("+")}
    return unfold(draws.pick(wording()["frames"][frames]), slots, draws)


def _positive_sentences(signs, affirmed: list[int], hedged: list[int], slots: dict, draws: Draws) -> list[str]:
    """One sentence per sign, or one for two."""
    sentences, waiting = [], draws.shuffle(affirmed)
    while waiting:
        index = waiting.pop()
        whole = _options(signs[index].finding, signs[index].kind, "whole", frozenset(slots[index]))
        if signs[index].side not in ("right", "left"):
            whole = tuple(p for p in whole if "{side}" not in p)
        if whole and draws.chance(0.3):
            sentences.append(unfold(draws.pick(whole), slots[index], draws))
            continue
        phrase = _noun_phrase(signs[index], slots[index], draws)
        if waiting and draws.chance(0.2):
            other = waiting.pop()
            sentences.append(_framed("pair", phrase, draws, _noun_phrase(signs[other], slots[other], draws)))
        else:
            sentences.append(_framed("compared" if draws.chance(0.2) else "plain", phrase, draws))
    for index in hedged:
        sentences.append(_framed("hedged", _noun_phrase(signs[index], slots[index], draws), draws))
    return sentences


def _impression(signs, affirmed: list[int], hedged: list[int], slots: dict, draws: Draws) -> list[str]:
    words = wording()
    kept = draws.shuffle(affirmed)[:3]
    devices = all(signs[index].finding == "Support Devices" for index in affirmed + hedged)
    sentences = [_framed("impression", _noun_phrase(signs[i], slots[i], draws), draws) for i in kept]
    if hedged and draws.chance(0.5):
        sentences.append(_framed("hedged", _noun_phrase(signs[hedged[0]], slots[hedged[0]], draws), draws))
    if not sentences or devices:
        sentences.append(unfold(draws.pick(words["all_clear"][: 1 if sentences else None]), {}, draws))
    elif draws.chance(0.3):
        clear = "Support Devices" in {signs[i].finding for i in affirmed}
        sentences.append(unfold(draws.pick(words["no_more"][: None if clear else -1]), {}, draws))
    return sentences


def _denials(signs, affirmed: list[int], draws: Draws) -> list[str]:
    """Sentences that deny findings which the patient has not, or has on the other side only."""
    words = wording()
    present = {sign.finding for sign in signs}
    free = [
        (draws.number() ** (1 / words["denial_weight"][finding]), finding)
        for finding in words["denied"]
        if finding not in present and not (present & _CONFLICTS.get(finding, frozenset()))
    ]
    order = [finding for _, finding in sorted(free, reverse=True)]
    sentences = []
    for count in (1 + int(draws.number() * 3), int(draws.number() * 3)):
        names, order = [draws.pick(words["denied"][finding]) for finding in order[:count]], order[count:]
        if names:
            sentences.append(unfold(draws.pick(words["denials"]), {"list": listed(names)}, draws))
    for sign in (signs[index] for index in affirmed):
        if sign.finding in words["one_sided"] and sign.side in ("right", "left") and draws.chance(0.2):
            same = [other.side for other in signs if other.finding == sign.finding]
            other_side = "left" if sign.side == "right" else "right"
            if other_side not in same and "bilateral" not in same:
                sentences.append(unfold(draws.pick(words["one_sided"][sign.finding]), {"side": other_side}, draws))
    return sentences


@cache
def _normal_statements() -> tuple[tuple[frozenset, frozenset, float, tuple], ...]:
    """(leaves, findings that forbid it, 1 / weight, wordings) of every normal statement."""
    statements = []
    for entry in wording()["normal"]:
        unless = LUNG_FINDINGS if entry["unless"] == "lung" else frozenset(entry["unless"])
        sides = ("right", "left") if any("SIDE" in node for node in entry["about"]) else ("",)
        for side in sides:
            leaves = frozenset(x for node in entry["about"] for x in leaves_of(node.replace("SIDE", side)))
            say = tuple(phrase.replace("SIDE", side) for phrase in entry["say"])
            statements.append((leaves, unless, len(sides) / entry["weight"], say))
    return tuple(statements)


@cache
def _touched(sign: Sign) -> frozenset:
    """Leaves of the anatomy graph that a sign may alter."""
    sides = ("right", "left") if sign.side not in ("right", "left") else (sign.side,)
    named = [region for region in sign.regions if leaves_of(region) == (region,)]
    leaves = set(named or leaves_of(sign.regions[0] if sign.regions else "chest"))
    for side in sides:
        if sign.finding in ("Pleural Effusion", "Pleural Other", "Atelectasis"):
            leaves |= {f"{side} costophrenic angle", f"{side} hemidiaphragm", f"{side} lower lung zone"}
        if sign.finding in ("Pneumothorax", "Pleural Other"):
            leaves |= {f"{side} apical zone", f"{side} upper lung zone"}
    if sign.finding == "Enlarged Cardiomediastinum" or sign.finding == "Cardiomegaly":
        leaves |= set(leaves_of("mediastinum"))
    return frozenset(leaves)


def _normals(signs, draws: Draws):
    """Normal statements that no sign contradicts, in random order; none about leaves that earlier ones covered."""
    touched = [(sign.finding, _touched(sign)) for sign in signs]
    order = sorted(
        ((draws.number() ** rarity, i) for i, (_, _, rarity, _) in enumerate(_normal_statements())), reverse=True
    )
    covered: set[str] = set()
    for _, i in order:
        leaves, unless, _, say = _normal_statements()[i]
        if leaves <= covered or any(finding in unless and leaves & where for finding, where in touched):
            continue
        covered |= leaves
        yield unfold(draws.pick(say), {}, draws)


def _sentence(text: str) -> str:
    text = with_articles(text)
    return f"{text[0].upper()}{text[1:]}."


def _pieces(sentences: list[str]) -> int:
    return sum(len(_PIECE.findall(sentence)) for sentence in sentences)


def _compose(said: list[str], impression: list[str], denials: list[str], normals, draws: Draws) -> str:
    """Put the sentences into sections; optional ones fill up to a length drawn at random."""
    words = wording()
    style = draws.number()
    opening = [
        unfold(draws.pick(words[name]), {}, draws)
        for name, p in (("technique", 0.25), ("history", 0.12))
        if draws.chance(p)
    ]
    opening, said, impression = ([_sentence(s) for s in part] for part in (opening, said, impression))
    if style >= 0.6:
        impression = impression if style < 0.7 or not said else []
    length = _pieces(opening + said + impression) + 5
    wanted = min(LONGEST, max(34 + int(draws.number() * 46), length + 12))
    optional = draws.shuffle(denials[: 1 + int(draws.number() * 3)])
    if draws.chance(0.12):
        optional.append(unfold(draws.pick(words["closing"]), {}, draws))
    body = list(said)
    for sentence in chain(optional, normals):
        sentence = _sentence(sentence)
        added = _pieces([sentence])
        if length + added > LONGEST or length > wanted:
            break
        body.append(sentence)
        length += added
    if draws.chance(0.75):
        body = draws.shuffle(body)
    if style < 0.6:
        return f"FINDINGS: {' '.join(opening + body)}\nIMPRESSION: {' '.join(impression)}"
    whole = opening + body + impression
    if style < 0.7:
        return f"{' '.join(opening + body)}\n{' '.join(impression)}" if impression else " ".join(whole)
    heading = "" if style < 0.82 else ("FINDINGS: " if style < 0.92 else "IMPRESSION: ")
    return heading + " ".join(whole)
