"""Exercises whose answer is no function: a number to predict, a thing to choose, an effect to foretell before it is measured.

They stand beside `Exercise` (a function to write) as the other two levels of a notebook's tasks, and speak as it does: what
was asked, what came, what was due, and the slip that leads to just this answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real

from ...evaluation.small_changes import OUTCOMES, Effect
from .exercise import Verdict, shown

UNTOUCHED = "nothing yet (replace the `...`)"


@dataclass(frozen=True)
class Number:
    """Predict a number before the code says it.

    name: as in `check_NAME`. question: what is asked. due: computes the number. slips: what to say -> the number that this slip
    leads to. tolerance: how far a rounded answer may lie off; no two slips lie so near to each other.
    """

    name: str
    question: str
    due: Callable[[], float]
    slips: Mapping[str, float]
    hint: str
    tolerance: float = 0.006

    def check(self, answer: object) -> Verdict:
        """Is the number the library's, but for rounding?"""
        if answer is None or answer is Ellipsis:
            return self._no(UNTOUCHED, "a number")
        if isinstance(answer, bool) or not isinstance(answer, Real):
            return self._no(f"{answer!r}", "a number")
        due = self.due()
        if self.near(answer, due):
            return Verdict(True)
        fits = [said for said, wrong in self.slips.items() if self.near(answer, wrong)]
        return self._no(shown(answer), shown(float(due)), fits[0] if fits else "")

    def near(self, one: float, other: float) -> bool:
        """Equal but for rounding."""
        return abs(one - other) <= self.tolerance

    def _no(self, came: str, due: str, slip: str = "") -> Verdict:
        return Verdict(False, self.question, came, due, slip, f'exercises.hint("{self.name}")')


@dataclass(frozen=True)
class Choice:
    """Find something that does what is asked: many answers may be right, and each is tried out.

    question: what is asked. tried: the answer -> what came of it, in words; it may raise where the answer is none. flaws: what
    to say -> has the answer this flaw? The first that it has is told; one without a flaw is right. good, bad: answers that are
    right, and for each flaw one that has it (what the tests try).
    """

    name: str
    question: str
    tried: Callable[[object], str]
    flaws: Mapping[str, Callable[[object], bool]]
    hint: str
    good: tuple
    bad: tuple

    def check(self, answer: object) -> Verdict:
        """Try the answer out."""
        if answer is None or answer is Ellipsis:
            return self._no(UNTOUCHED)
        try:
            came = self.tried(answer)
            flaw = next((said for said, has in self.flaws.items() if has(answer)), None)
        except Exception as error:  # whatever an answer of another kind leads to is shown to the reader
            return self._no(f"{answer!r}, with which {type(error).__name__}: {error}")
        return Verdict(True, note=came) if flaw is None else self._no(came, flaw)

    def _no(self, came: str, slip: str = "") -> Verdict:
        return Verdict(False, self.question, came, "see the task", slip, f'exercises.hint("{self.name}")')


@dataclass(frozen=True)
class Change:
    """Foretell what one change does to a number; then it is measured, and the measurement decides.

    question: what is changed and what is measured. measure: measures it, which may take up to a minute. slips: an outcome that
    was foretold -> what speaks for it and why it did not come. because: why the usual outcome comes. usual: that outcome; where
    another one is measured, the measurement is right, and `because` is left out.
    """

    name: str
    question: str
    measure: Callable[[], Effect]
    usual: str
    because: str
    slips: Mapping[str, str]
    hint: str

    def check(self, answer: object) -> Verdict:
        """Measure, and compare with what was foretold; without a prediction nothing is measured."""
        if answer is None or answer is Ellipsis:
            return self._no(UNTOUCHED, f"one of {', '.join(map(repr, OUTCOMES))}")
        if answer not in OUTCOMES:
            return self._no(f"{answer!r}", f"one of {', '.join(map(repr, OUTCOMES))}")
        effect = self.measure()
        because = self.because if effect.outcome == self.usual else ""
        if answer == effect.outcome:
            return Verdict(True, note=f"{effect}\n{because}".strip())
        slip = self.slips.get(answer, "") if effect.outcome == self.usual else ""
        return self._no(f"{answer!r}", f"{effect.outcome!r}: {effect}", slip, because)

    def _no(self, came: str, due: str, slip: str = "", note: str = "") -> Verdict:
        return Verdict(False, self.question, came, due, slip, f'exercises.hint("{self.name}")', note)
