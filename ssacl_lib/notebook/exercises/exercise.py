"""What an exercise is, and how an answer to it is judged: what came, what was due, the likely slip.

An exercise calls the reader's function on questions whose answers can be worked out by hand. Typical wrong answers are
written down as functions, too: whoever gives the same answers to ALL questions is told which slip it was. The questions are
chosen so that every slip shows, and no two slips look alike (a test goes over all pairs).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Verdict:
    """The answer of a check: passed, what was asked (the input), what came, what was due, the likely slip, where help is.

    note: what else was seen while the answer was tried out.
    """

    passed: bool
    asked: str = ""
    came: str = ""
    due: str = ""
    slip: str = ""
    help: str = ""
    note: str = ""

    def __str__(self) -> str:
        if self.passed:
            return f"Right. {self.note}".rstrip()
        lines = ["Not yet.", f"asked: {self.asked}", f"came:  {self.came}", f"due:   {self.due}"]
        more = [
            f"{name}:  {words}"
            for name, words in (("slip", self.slip), ("seen", self.note), ("hint", self.help))
            if words
        ]
        return "\n".join(lines + more)

    __repr__ = __str__

    def or_stop(self) -> "Verdict":
        """Itself if passed: the solved notebooks end where one of their solutions does not hold.

        Raises:
            AssertionError: not passed, with all that the verdict says.
        """
        if not self.passed:
            raise AssertionError(str(self))
        return self


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    name: as in `check_NAME` and `hint("NAME")`. right: the function that the reader is to write. questions: the input in
    words -> the arguments. slips: what to say -> the wrong function that is made by this slip. hint: one sentence.
    """

    name: str
    right: Callable
    questions: Mapping[str, tuple]
    slips: Mapping[str, Callable]
    hint: str

    def check(self, function: Callable) -> Verdict:
        """Ask all questions; the first answer that isn't the right one's is shown."""
        answers = [ask(function, arguments) for arguments in self.questions.values()]
        for (asked, arguments), came in zip(self.questions.items(), answers, strict=True):
            due = self.right(*arguments)
            if not equal(came, due):
                slip = "" if isinstance(came, Nothing) else self.slip_behind(answers)
                return Verdict(False, asked, shown(came), shown(due), slip, f'exercises.hint("{self.name}")')
        return Verdict(True)

    def slip_behind(self, answers: list) -> str:
        """The words of the one slip that gives the same answer to every question; else nothing."""
        given = [(came, arguments) for came, arguments in zip(answers, self.questions.values(), strict=True)
                 if not isinstance(came, Nothing)]  # fmt: skip
        fits = [said for said, wrong in self.slips.items() if all(equal(came, wrong(*a)) for came, a in given)]
        return fits[0] if len(fits) == 1 else ""


class Nothing(str):
    """In place of an answer: why there is none."""


def ask(function: Callable, arguments: tuple) -> object:
    """The function's answer to a copy of the arguments, or `Nothing` where it raises or returns no value."""
    try:
        came = function(*(a.copy() if hasattr(a, "copy") else a for a in arguments))
    except Exception as error:  # whatever the reader's function raises is shown to the reader
        return Nothing(f"{type(error).__name__}: {error}")
    return Nothing("nothing yet (the function returns no value)") if came is None or came is Ellipsis else came


def equal(came: object, due: object) -> bool:
    """Equal numbers to 1e-6 (arrays by shape and entries); True and False are no numbers."""
    if isinstance(due, bool) or isinstance(came, (bool, np.bool_)):
        return isinstance(came, (bool, np.bool_)) and isinstance(due, bool) and bool(came) == due
    try:
        came, due = np.asarray(came, dtype=float), np.asarray(due, dtype=float)
    except (TypeError, ValueError):
        return False
    return came.shape == due.shape and bool(np.allclose(came, due, rtol=0, atol=1e-6))


def shown(value: object) -> str:
    """An answer as text, numbers to four places."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.4f}"
    if isinstance(value, np.ndarray):
        return str((np.round(value, 4) if value.dtype.kind == "f" else value).tolist())
    return str(value)
