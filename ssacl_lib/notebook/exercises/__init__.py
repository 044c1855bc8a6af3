"""The exercises of the notebooks: `check_NAME(answer)` judges an answer, `hint("NAME")` helps; about a module per notebook.

Three levels: predict a number (`Number`), write a function (`Exercise`), change something and see (`Choice`, `Change`).
"""

from IPython.display import Markdown

from .answers import Change, Choice, Number
from .attention import LOOKED_AT, PARENT_ROWS, WHO_SEES
from .comparison import CLAIM, ENOUGH_SEEDS, HALF_WIDTH, RELATIVE_MARGIN
from .downstream import ENSEMBLE, LABELS_NEEDED, MEAN_DICE, NOTHING_FOUND, PRECISION_AT_K, REWARDED_THRESHOLD
from .exercise import Exercise, Verdict
from .explorer import CORNERS, LIKENESS, SWAPPED_PLACE
from .graph import CHEST_RISE, FIFTEEN_LEAVES, OPEN_LEAVES, RESTORE, RESTORE_MOVED
from .grounding import BLIND_MAP, CNR, CONSTANT_POINTING, FOLLOW, POINTING, VISIBILITY_EFFECT, WENT_ALONG
from .pretraining import (
    CONSISTENCY_TARGET,
    CONTRAST,
    IMAGE_WEIGHT,
    LEFT_OUT,
    MASK_RATIO,
    MASKED_ERROR,
    MIXING,
    ROW_SUM,
)
from .reports import ASSERTS_EFFUSION, BLEU1, DENIAL_SCORE, FOOLED, MICRO_F1, PREFIX_MASK, SHUFFLED_REPORTS
from .speed import CHUNK, SPEEDUP, TOKENS

ALL = (
    CORNERS, LIKENESS, SWAPPED_PLACE,
    CHEST_RISE, RESTORE, RESTORE_MOVED, OPEN_LEAVES, FIFTEEN_LEAVES,
    ROW_SUM, WHO_SEES, MASKED_ERROR, PARENT_ROWS, CONTRAST, IMAGE_WEIGHT, CONSISTENCY_TARGET, LOOKED_AT, MIXING, MASK_RATIO,
    LEFT_OUT,
    DENIAL_SCORE, PREFIX_MASK, ASSERTS_EFFUSION, BLEU1, MICRO_F1, FOOLED, SHUFFLED_REPORTS,
    CONSTANT_POINTING, CNR, POINTING, VISIBILITY_EFFECT, FOLLOW, WENT_ALONG, BLIND_MAP,
    CLAIM, RELATIVE_MARGIN, HALF_WIDTH, ENOUGH_SEEDS,
    NOTHING_FOUND, ENSEMBLE, PRECISION_AT_K, MEAN_DICE, LABELS_NEEDED, REWARDED_THRESHOLD,
    TOKENS, SPEEDUP, CHUNK,
)  # fmt: skip
EXERCISES: dict[str, Exercise | Number | Choice | Change] = {exercise.name: exercise for exercise in ALL}
"""Name -> exercise, in the order of the notebooks."""

check_corners = CORNERS.check
check_likeness = LIKENESS.check
check_swapped_place = SWAPPED_PLACE.check
check_chest_rise = CHEST_RISE.check
check_restore = RESTORE.check
check_restore_moved = RESTORE_MOVED.check
check_open_leaves = OPEN_LEAVES.check
check_fifteen_leaves = FIFTEEN_LEAVES.check
check_row_sum = ROW_SUM.check
check_who_sees = WHO_SEES.check
check_masked_error = MASKED_ERROR.check
check_parent_rows = PARENT_ROWS.check
check_contrast = CONTRAST.check
check_image_weight = IMAGE_WEIGHT.check
check_consistency_target = CONSISTENCY_TARGET.check
check_looked_at = LOOKED_AT.check
check_mixing = MIXING.check
check_mask_ratio = MASK_RATIO.check
check_left_out = LEFT_OUT.check
check_denial_score = DENIAL_SCORE.check
check_prefix_mask = PREFIX_MASK.check
check_asserts_effusion = ASSERTS_EFFUSION.check
check_bleu1 = BLEU1.check
check_micro_f1 = MICRO_F1.check
check_fooled = FOOLED.check
check_shuffled_reports = SHUFFLED_REPORTS.check
check_constant_pointing = CONSTANT_POINTING.check
check_cnr = CNR.check
check_pointing = POINTING.check
check_visibility_effect = VISIBILITY_EFFECT.check
check_follow = FOLLOW.check
check_went_along = WENT_ALONG.check
check_blind_map = BLIND_MAP.check
check_claim = CLAIM.check
check_relative_margin = RELATIVE_MARGIN.check
check_half_width = HALF_WIDTH.check
check_enough_seeds = ENOUGH_SEEDS.check
check_nothing_found = NOTHING_FOUND.check
check_ensemble = ENSEMBLE.check
check_precision_at_k = PRECISION_AT_K.check
check_mean_dice = MEAN_DICE.check
check_labels_needed = LABELS_NEEDED.check
check_rewarded_threshold = REWARDED_THRESHOLD.check
check_token_ratio = TOKENS.check
check_speedup = SPEEDUP.check
check_chunk = CHUNK.check

__all__ = [
    "ALL",
    "EXERCISES",
    "Change",
    "Choice",
    "Exercise",
    "Number",
    "Verdict",
    "hint",
    *(f"check_{name}" for name in EXERCISES),
]


def hint(name: str) -> Markdown:
    """The hint of an exercise, for instance `hint("cnr")`.

    Raises:
        ValueError: there is no exercise of this name.
    """
    if name not in EXERCISES:
        raise ValueError(f"no exercise {name!r}; there are {', '.join(EXERCISES)}")
    return Markdown(f"**Hint.** {EXERCISES[name].hint}")
