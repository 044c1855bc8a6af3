"""Sections and sentences of a report.

A heading is a known name before a colon, or on a line of its own. What stands under an indication, a history, a technique
or a comparison describes another day or another hand and is not read, but it ends where the description begins: at a blank
line, at any other heading ("PORTABLE CHEST:", "Lungs:"), after "COMPARISON: None.", or, in a report that has no other
text, after its first sentence.

>>> split_sections("FINDINGS: The heart is normal.\\nIMPRESSION: No acute disease.")
('The heart is normal.', 'No acute disease.')
>>> read_sections("INDICATION: Pneumonia. Lungs: Clear.")
'Lungs: Clear.'
>>> sentences("A 1.2 cm nodule is seen. No effusion.")
['A 1.2 cm nodule is seen.', 'No effusion.']
"""

import re

import numpy as np

_NAMES = {
    "findings": r"findings?(?:\s*(?:/|&|and)\s*(?:impressions?|conclusions?))?|reports?|results?|observations?|description",
    "impression": r"(?:impressions?|conclusions?)(?:\s*(?:/|&|and)\s*(?:recommendations?))?|opinion|summary|interpretation",
    "film": r"technique|(?:comparisons?|priors?)(?: (?:studies|study|films?|exams?))?|examination|exam|study|procedure"
    r"|number of views|(?:(?:exam|study) )?date|date of (?:exam|examination|study)",
    "other": r"(?:(?:clinical|brief|relevant|patient|additional|medical|surgical|past medical)\s+)?(?:history|hx)|indications?"
    r"|clinical(?: (?:data|details|information|info|indications?|question|background|notes?|statement|diagnosis|context))?"
    r"|(?:reasons?|indications?) for (?:the )?(?:exam|examination|study|request|visit|order)|reason|request|question"
    r"|symptoms|complaint|chief complaint|pmh|rule out|r/o|admitting diagnosis|background",
}
_KINDS = "|".join(f"(?P<{kind}>{names})" for kind, names in _NAMES.items())
_BEFORE_COLON = re.compile(rf"(?:^|(?<=[\s.*#_]))(?:{_KINDS})[\s*_]*$", re.IGNORECASE)
_OWN_LINE = re.compile(rf"^[ \t*#_=]*(?:{_KINDS})(?:[ \t*#_=]*$|[ \t]+[-–—][ \t]+)", re.IGNORECASE | re.MULTILINE)
_LONGEST_NAME = 48
_DESCRIPTION = r"\n[ \t]*\n\s*|(?:\n|(?<=[.!?])\s)\s*(?=[A-Z][^.:!?\n]{1,60}:)"
_STARTS = {
    "other": re.compile(_DESCRIPTION),
    "film": re.compile(
        rf"(?<=[.!?])[ \t]*\n\s*|(?i:^(?:none|n/a|not available|no (?:prior|previous|comparison)[^.\n]*)\.\s+)|{_DESCRIPTION}"
    ),
}  # where a description begins under a heading that does not announce one
_END = re.compile(r"(?<=[.!?])\s+|\s*\n\s*")
_BLANKS = re.compile(r"[ \t]*")


def _headings(report: str) -> list[tuple[int, int, str]]:
    """(start, end, kind) of every known heading, in order."""
    found = []
    if "\n" in report:
        found = [(match.start(), match.end(), match.lastgroup) for match in _OWN_LINE.finditer(report)]
    last, colon = 0, report.find(":")
    while colon >= 0:
        start = max(last, colon - _LONGEST_NAME)
        match = _BEFORE_COLON.search(report[start:colon])
        if match and (match.lastgroup != "film" or _opens_sentence(report, start + match.start())):
            found.append((start + match.start(), _BLANKS.match(report, colon + 1).end(), match.lastgroup))
        last, colon = colon + 1, report.find(":", colon + 1)
    return sorted(found)


def _opens_sentence(report: str, at: int) -> bool:
    """Does a line or a sentence begin here? "PORTABLE CHEST EXAM:" names no examination, it opens a description."""
    before = report[:at].rstrip(" \t*#_")
    return not before or before[-1] in ".!?;\n"


def _parts(report: str) -> list[tuple[str, str]]:
    """(kind, text) of every section in order; text before the first heading has the kind ""."""
    parts, kind, start = [], "", 0
    for head, end, name in _headings(report):
        parts.append((kind, report[start:head].strip()))
        kind, start = name, end
    return [*parts, (kind, report[start:].strip())]


def split_sections(report: str) -> tuple[str, str]:
    """(findings, impression) of a report, without their headings.

    Text without a heading counts as findings; other sections (indication, technique, comparison, ...) are left out.
    """
    parts = _parts(report)
    findings = " ".join(text for kind, text in parts if kind in ("", "findings") and text)
    return findings, " ".join(text for kind, text in parts if kind == "impression" and text)


def read_sections(report: str) -> str:
    """The text that describes the film, one section a line: what a labeler may read."""
    parts = _parts(report)
    if len(parts) == 1:
        return report
    read = [_description(text, _STARTS[kind]) if kind in _STARTS else text for kind, text in parts]
    if not any(read):
        read = [_description(text, _END) for _, text in parts[-1:]]
    return "\n".join(text for text in read if text)


def _description(text: str, begins: re.Pattern) -> str:
    """What follows the first place where a description begins, or nothing."""
    match = begins.search(text)
    return text[match.end() :] if match else ""


def sentences(report: str) -> list[str]:
    """Sentences in order, headings removed. A stop ends one only before a blank, so 1.2 cm stays whole."""
    plain, start = [], 0
    for head, end, _ in _headings(report):
        plain.append(report[start:head])
        start = end
    plain = "\n".join([*plain, report[start:]])
    return [part for part in (piece.strip() for piece in _END.split(plain)) if part.strip(" .!?")]


def shuffle_sentences(report: str, generator: np.random.Generator) -> str:
    """What the text encoder sees of a report in training: lower case, sentences shuffled, 1 to n of them kept.

    The number kept is uniform over 1..n, as in the release.
    """
    parts = sentences(report.lower())
    if not parts:
        return report.lower().strip()
    kept = generator.permutation(len(parts))[: generator.integers(1, len(parts) + 1)]
    return " ".join(parts[i] for i in kept)
