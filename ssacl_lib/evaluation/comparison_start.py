"""Is SS-ACL below what it starts from, and if so, why? Runs that differ in one thing, each against the start, paired."""

import pandas as pd

from ..baselines.registry import PHRASES, SSACL, TRAINED
from .comparison_margins import AUC, MASKED_CNR, borrowed
from .comparison_run import PATIENTS
from .comparison_tables import Scores, interval

START = "start"
NUMBERS = (AUC, MASKED_CNR, (PHRASES, "masked map", "pointing"))
"""What the start answers itself: it can write no report."""

REASONS = {
    "as it is": (SSACL,),
    "too few images": (f"{SSACL}, 2 times the images", f"{SSACL}, 4 times the images"),
    "too large steps": ("a third of the rate", "a tenth of the rate"),
    "one or two of its losses": ("without L_ac", "without L_ar", "L_ir + L_cl + L_lm", "without L_lm"),
    "any further training": ("MaCo-like", "MaCo-like, 4 times the images", "contrast only", "GLoRIA-like"),
}
"""What may be the reason -> the runs that would then not be below."""


def over_start(scores: list[Scores]) -> pd.DataFrame:
    """Each run of REASONS minus the start, on the same patients.

    Columns: reason, method, metric, value, low, high, n, runs, seed; intervals of 95 % over patients (paired) and, where `runs`
    is above 1, over trainings; one training borrows the spread of SS-ACL's. No rows without a start.
    """
    by_name = {entry.method.name: entry for entry in scores}
    columns = ["reason", "method", "metric", "value", "low", "high", "n", "runs", "seed"]
    rows = []
    for reason, names in REASONS.items() if START in by_name else ():
        for entry in (by_name[name] for name in names if name in by_name):
            for key in NUMBERS:
                if key in entry.draws and key in by_name[START].draws:
                    draws = entry.draws[key]
                    if entry.method.made == TRAINED and SSACL in by_name and key in by_name[SSACL].draws:
                        draws = borrowed(draws, by_name[SSACL].draws[key])
                    value, low, high = interval(draws - by_name[START].draws[key].mean(0))
                    about = {"reason": reason, "method": entry.method.name, "metric": key[2], "seed": PATIENTS}
                    told = {"value": value, "low": low, "high": high, "n": entry.n[key], "runs": len(entry.draws[key])}
                    rows.append({**about, **told})
    return pd.DataFrame(rows, columns=columns)
