"""What notebook 05 says of patches of two sizes: read from the table at hand (evaluation/size.py)."""

import pandas as pd
from IPython.display import Markdown

from ..evaluation.size import THIN

ONE = "Patches of one size were measured so far."


def size_message(table: pd.DataFrame) -> str:
    """What smaller patches bring and cost, for a caption."""
    found, sizes = _found(table), _sizes(table)
    if len(sizes) < 2:
        return ONE

    def both(metric: str) -> str:
        return " and ".join(_estimate(found[size, True, metric]) for size in sizes)

    return (
        f"With patches of {sizes[0]} and of {sizes[1]} px the findings' AUC is {both('auc')}, masked maps point at "
        f"{both('pointing')}; where a phrase names a side, at {both('pointing_sided')}, and with the other side named at "
        f"{both('pointing_swapped_side')}. A step takes {_estimate(found[sizes[1], True, 'time_ratio'])} times as long."
    )


def size_words(table: pd.DataFrame) -> Markdown:
    """Which differences two trainings show, and how much of a map stays when the other side is named."""
    found, sizes = _found(table), _sizes(table)
    if len(sizes) < 2:
        return Markdown(f"*{ONE}*")
    told = []
    for metric, words in (
        ("auc", "AUC of the head"),
        *((metric, f"AUC of {finding}, thin lines") for finding, metric in THIN.items()),
        ("pointing", "pointing of masked maps"),
        ("cnr", "CNR of masked maps"),
    ):
        large, small = (found[size, True, metric] for size in sizes)
        apart = small.low > large.high or large.low > small.high
        better = sizes[1] if small.value > large.value else sizes[0]
        told.append(
            f"- {words}: {_estimate(large)} and {_estimate(small)}: "
            + (f"better with {better} px, in one training of each" if apart else "intervals overlap")
        )
    for size in sizes:
        before, after = (
            found[size, trained, "pointing_swapped_side"].value / found[size, trained, "pointing_sided"].value
            for trained in (False, True)
        )
        told.append(
            f"- {size} px: with the other side named the map keeps {100 * after:.0f} % of its pointing "
            f"({100 * before:.0f} % before the training)"
        )
    return Markdown("\n".join(told))


def _found(table: pd.DataFrame) -> dict:
    return {(row.patch, row.images > 0, row.metric): row for row in table.itertuples()}


def _sizes(table: pd.DataFrame) -> list[int]:
    """The largest patch and the smallest."""
    sizes = sorted(set(table["patch"]), reverse=True)
    return [sizes[0], sizes[-1]] if len(sizes) > 1 else sizes


def _estimate(row) -> str:
    return f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"
