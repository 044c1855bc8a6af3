"""How hard is it to say where? Each finding's place as found by a detector that was taught by the phantom's masks.

The counterpart of difficulty.py: what a map of a method without annotations can at best be hoped to reach at this size.
"""

from pathlib import Path

import pandas as pd

from .. import paths
from ..settings import Settings
from .comparison_run import PATIENTS
from .results import long_table, mean_rows

METHOD = "detector"
ALL = "all phrases"
METRICS = ["pointing", "cnr"]


def box_file() -> Path:
    """What the detector of `ssacl ablation` scored on every phrase (profile cpu, committed)."""
    return paths.DATA / "results" / "comparison" / "cpu" / METHOD / "seed0" / "phrases.parquet"


def box_table(settings: Settings) -> pd.DataFrame:
    """The table box_difficulty: finding, method, metric (pointing | cnr), value, low, high, n phrases, seed of the patients.

    settings: say how many resamplings. No rows on another data set than the phantom, or where the file is not there.
    """
    if settings.dataset != "phantom" or not box_file().is_file():
        return long_table([], ["finding"])
    told = settings.changed(seed=PATIENTS)
    phrases = pd.read_parquet(box_file())
    phrases = phrases[(phrases["control"] == "own") & (phrases["map"] == phrases["map"].iloc[0])]
    rows = []
    for finding, part in [(ALL, phrases), *phrases.groupby("finding")]:
        rows += mean_rows({"finding": finding, "method": METHOD}, part[METRICS], list(part["study"]), told)
    return long_table(rows, ["finding"])


def box_message(table: pd.DataFrame) -> str:
    """One sentence: where the detector points on average, and the findings whose place it finds worst and best."""
    found = table[table["metric"] == "pointing"]
    if not len(found):
        return "The detector was not asked about these films."
    mean = found[found["finding"] == ALL].iloc[0]
    each = found[found["finding"] != ALL].set_index("finding")["value"]
    return (
        f"A detector that was taught by masks points right in {mean['value']:.2f} [{mean['low']:.2f}, {mean['high']:.2f}] of "
        f"{mean['n']} phrases; the hardest place is that of {each.idxmin()} ({each.min():.2f}), the easiest that of "
        f"{each.idxmax()} ({each.max():.2f})."
    )
