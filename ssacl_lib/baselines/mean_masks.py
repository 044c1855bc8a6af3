"""A map from a finding and the words of its phrase: the mean of true masks. Needs annotations, and no film.

What a map owes to where a finding usually lies, and not to this patient: an upper bound for rivals that see no film.
"""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from .text_template import named_place


class MeanMasks:
    """Mean masks [H, W] of training phrases, by finding and named place; where a place was never named, by finding alone.

    Raises:
        ValueError: no training phrase has a mask, or none of the finding that is asked for.
    """

    def __init__(self, targets: Iterable):
        """targets: phrases of training patients, with `.finding`, `.phrase` and `.mask`."""
        sums: dict = defaultdict(lambda: [0.0, 0])
        for target in targets:
            for key in (target.finding, (target.finding, *named_place(target.phrase))):
                before, number = sums[key]
                sums[key] = [before + target.mask.astype(np.float32), number + 1]
        if not sums:
            raise ValueError("no phrase of the training studies has a mask: there is nothing to take the mean of")
        self.means = {key: total / number for key, (total, number) in sums.items()}

    def __call__(self, finding: str, phrase: str) -> np.ndarray:
        """The map of a phrase: [H, W] in 0..1."""
        own = self.means.get((finding, *named_place(phrase)), self.means.get(finding))
        if own is None:
            raise ValueError(f"no phrase of the training studies tells where {finding} lies")
        return own
