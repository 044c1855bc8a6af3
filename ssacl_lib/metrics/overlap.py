"""How well masks agree, film by film: Dice of what was found with what is there, and what to do with films that have nothing.

Dice = 2 |found and there| / (|found| + |there|). Where both are empty it is 0 / 0, and which number stands there decides the
mean where most films have no finding:

    counted     1 where nothing is there and nothing was found, 0 where something was found (the contest's rule, and that of
                tables on SIIM-ACR). Whoever finds nothing on any film scores the share of films without the finding.
    left out    films that have the finding alone. Whoever finds something everywhere is not punished on the others.

So both are stated, with the share of empty films that stay empty and the Dice of all pixels together.
"""

import numpy as np


def overlaps(found: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Pixels in common, found and there: masks [n, H, W] bool -> [n, 3] int.

    Raises:
        ValueError: shapes differ.
    """
    if np.shape(found) != np.shape(there) or np.ndim(found) != 3:
        raise ValueError(f"masks have shapes {np.shape(found)} and {np.shape(there)}, expected one [n, H, W] for both")
    found, there = np.asarray(found, bool), np.asarray(there, bool)
    return np.stack([part.sum((1, 2)) for part in (found & there, found, there)], axis=1)


def dice_per_film(counts: np.ndarray, empty: str = "counted") -> np.ndarray:
    """Dice [n] of `overlaps` [n, 3]; empty: "counted" or "left out" (NaN where nothing is there).

    >>> dice_per_film(np.array([[2, 3, 3], [0, 0, 0], [0, 4, 0]]))
    array([0.66666667, 1.        , 0.        ])

    Raises:
        ValueError: another rule for empty masks.
    """
    if empty not in ("counted", "left out"):
        raise ValueError(f"empty={empty!r}: expected 'counted' or 'left out'")
    common, found, there = np.asarray(counts, float).T
    both = found + there
    dice = np.divide(2 * common, both, out=np.ones_like(both), where=both > 0)
    return dice if empty == "counted" else np.where(there > 0, dice, np.nan)


def dice_of_all(counts: np.ndarray) -> np.ndarray:
    """Dice of all pixels of all films together: counts [..., n, 3] -> [...]; NaN where nothing is there or found."""
    common, found, there = np.moveaxis(np.asarray(counts, float).sum(-2), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * common / (found + there)
