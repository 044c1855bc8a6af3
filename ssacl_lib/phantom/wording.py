"""The phrases of `wording.yaml`, read once and unfolded with random choices.

A phrase such as ``"{amount} (left|right) effusion"`` is parsed into nested tuples when first used; unfolding it then
costs a few microseconds, because all randomness comes from one array of uniform numbers.
"""

import re
from functools import cache
from pathlib import Path

import numpy as np
import yaml

_TOKEN = re.compile(r"[(|)]|\{\w+\}|[^(|){}]+")
_ARTICLE = re.compile(r"~ ?(?=(\w+))")
_AN = re.compile(r"[aeiouAEIO]|8|1[18]$|NG|SVC")  # "an 8 mm nodule", "an 11 mm nodule"


class Draws:
    """Uniform numbers of one generator, drawn in blocks, as choices."""

    def __init__(self, generator: np.random.Generator, block: int = 256):
        self._generator, self._block = generator, block
        self._numbers = iter(())

    def number(self) -> float:
        """A uniform number in [0, 1)."""
        for value in self._numbers:
            return value
        self._numbers = iter(self._generator.random(self._block).tolist())
        return next(self._numbers)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.number() < probability

    def pick(self, options):
        """One of a non-empty sequence, all alike."""
        return options[int(self.number() * len(options))]

    def shuffle(self, items: list) -> list:
        """A shuffled copy."""
        order = sorted((self.number(), i) for i in range(len(items)))
        return [items[i] for _, i in order]


@cache
def wording() -> dict:
    """The content of wording.yaml."""
    return yaml.safe_load(Path(__file__).with_name("wording.yaml").read_text(encoding="utf-8"))


@cache
def parse(phrase: str) -> tuple:
    """A phrase as nested tuples: str is literal, ("slot", name), ("choice", options) with options parsed alike.

    Raises:
        ValueError: brackets that do not match.
    """
    tokens = _TOKEN.findall(phrase)
    parts, end = _sequence(tokens, 0, phrase)
    if end != len(tokens):
        raise ValueError(f"wording.yaml: {phrase!r} closes a bracket that was not opened")
    return parts


def _sequence(tokens: list[str], start: int, phrase: str) -> tuple[tuple, int]:
    parts = []
    while start < len(tokens) and tokens[start] not in "|)":
        token = tokens[start]
        if token == "(":
            options = []
            while not options or tokens[start] == "|":
                option, start = _sequence(tokens, start + 1, phrase)
                options.append(option)
                if start >= len(tokens):
                    raise ValueError(f"wording.yaml: {phrase!r} opens a bracket that is not closed")
            parts.append(("choice", tuple(options)))
        elif token[0] == "{":
            parts.append(("slot", token[1:-1]))
        else:
            parts.append(token)
        start += 1
    return tuple(parts), start


def unfold(phrase: str, slots: dict, draws: Draws) -> str:
    """One wording of a phrase; a slot's value (a phrase, or a list of them) is looked up in `slots`, then in the file.

    Raises:
        KeyError: a slot that neither knows.
    """
    text: list[str] = []
    _unfold(parse(phrase), slots, draws, text)
    return " ".join("".join(text).split()).replace(" ,", ",")


def _unfold(parts: tuple, slots: dict, draws: Draws, text: list[str]) -> None:
    for part in parts:
        if type(part) is str:
            text.append(part)
        elif part[0] == "choice":
            _unfold(draws.pick(part[1]), slots, draws, text)
        else:
            value = slots[part[1]] if part[1] in slots else wording()[part[1]]
            if type(value) is not str:
                value = draws.pick(value)
            if "(" in value or "{" in value:
                _unfold(parse(value), slots, draws, text)
            else:
                text.append(value)


def with_articles(text: str) -> str:
    """Every ~ becomes "a" or "an"."""
    if "~" not in text:
        return text
    return _ARTICLE.sub(lambda m: "an " if _AN.match(m[1]) else "a ", text)


def listed(names: list[str], last: str = "or") -> str:
    """["a", "b", "c"] -> "a, b, or c"."""
    if len(names) < 3:
        return f" {last} ".join(names)
    return f"{', '.join(names[:-1])}, {last} {names[-1]}"
