"""The exercises of the notebooks: `check_NAME(function)` judges an answer, `hint("NAME")` helps; one module per notebook."""

from IPython.display import Markdown

from .comparison import HALF_WIDTH, RELATIVE_MARGIN
from .exercise import Exercise, Verdict
from .graph import OPEN_LEAVES, RESTORE
from .grounding import CNR, FOLLOW, VISIBILITY_EFFECT
from .pretraining import CONSISTENCY_TARGET, CONTRAST, MASKED_ERROR
from .reports import ASSERTS_EFFUSION, MICRO_F1
from .speed import SPEEDUP

ALL = (RESTORE, OPEN_LEAVES, MASKED_ERROR, CONTRAST, CONSISTENCY_TARGET, ASSERTS_EFFUSION, MICRO_F1, CNR,
       VISIBILITY_EFFECT, FOLLOW, RELATIVE_MARGIN, HALF_WIDTH, SPEEDUP)  # fmt: skip
EXERCISES: dict[str, Exercise] = {exercise.name: exercise for exercise in ALL}
"""Name -> exercise, in the order of the notebooks."""

check_restore = RESTORE.check
check_open_leaves = OPEN_LEAVES.check
check_masked_error = MASKED_ERROR.check
check_contrast = CONTRAST.check
check_consistency_target = CONSISTENCY_TARGET.check
check_asserts_effusion = ASSERTS_EFFUSION.check
check_micro_f1 = MICRO_F1.check
check_cnr = CNR.check
check_visibility_effect = VISIBILITY_EFFECT.check
check_follow = FOLLOW.check
check_relative_margin = RELATIVE_MARGIN.check
check_half_width = HALF_WIDTH.check
check_speedup = SPEEDUP.check

__all__ = ["ALL", "EXERCISES", "Exercise", "Verdict", "hint", *(f"check_{name}" for name in EXERCISES)]


def hint(name: str) -> Markdown:
    """The hint of an exercise, for instance `hint("cnr")`.

    Raises:
        ValueError: there is no exercise of this name.
    """
    if name not in EXERCISES:
        raise ValueError(f"no exercise {name!r}; there are {', '.join(EXERCISES)}")
    return Markdown(f"**Hint.** {EXERCISES[name].hint}")
