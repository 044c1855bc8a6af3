"""Sections and sentences of a report.

>>> split_sections("FINDINGS: The heart is normal.\\nIMPRESSION: No acute disease.")
('The heart is normal.', 'No acute disease.')
>>> sentences("A 1.2 cm nodule is seen. No effusion.")
['A 1.2 cm nodule is seen.', 'No effusion.']
"""

import re

import numpy as np

_NAMES = {
    "findings": "findings|finding",
    "impression": "impression|impressions|conclusion|conclusions|opinion",
    "other": "indication|indications|history|clinical history|clinical information|clinical indication|technique|comparison"
    "|comparisons|reason for exam|reason for examination|examination|exam|procedure",
}
_HEADING = re.compile(
    "|".join(rf"(?:^|(?<=[\s.]))(?P<{key}>{names})\s*:[ \t]*" for key, names in _NAMES.items()), re.IGNORECASE
)
_END = re.compile(r"(?<=[.!?])\s+|\s*\n\s*")


def _parts(report: str) -> list[tuple[str, str]]:
    """(kind, text) of every section in order; text before the first heading has the kind ""."""
    parts, kind, start = [], "", 0
    for match in _HEADING.finditer(report):
        parts.append((kind, report[start : match.start()].strip()))
        kind, start = match.lastgroup, match.end()
    return [*parts, (kind, report[start:].strip())]


def split_sections(report: str) -> tuple[str, str]:
    """(findings, impression) of a report, without their headings.

    Text without a heading counts as findings; other sections (indication, technique, comparison, ...) are left out.
    """
    parts = _parts(report)
    findings = " ".join(text for kind, text in parts if kind in ("", "findings") and text)
    return findings, " ".join(text for kind, text in parts if kind == "impression" and text)


def read_sections(report: str) -> str:
    """The sections that describe the film, one a line: what a labeler may read."""
    if ":" not in report:
        return report
    return "\n".join(text for kind, text in _parts(report) if kind != "other" and text)


def sentences(report: str) -> list[str]:
    """Sentences in order, headings removed. A stop ends one only before a blank, so 1.2 cm stays whole."""
    plain = _HEADING.sub("\n", report) if ":" in report else report
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
