"""Is SS-ACL below what it starts from, and if so, why? Runs that differ in one thing, each against the start, paired.

A variant also stands against SS-ACL's own trainings: what one change does is told there from fewer uncertain things.
"""

import pandas as pd

from ..baselines.registry import PHRASES, SSACL, TRAINED
from .comparison_margins import AUC, MASKED_CNR, beside, borrowed
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
    """Each run of REASONS minus the start, on the same patients, and each single training of a variant minus SS-ACL's trainings.

    Columns: reason, method, metric, against, value, low, high, n, runs, seed; against: the start's name or SS-ACL's. Intervals of
    95 % over patients (paired) and, where `runs` is above 1, over trainings; one training borrows the spread of SS-ACL's, and
    against SS-ACL the interval is that of the ablation (`beside`). No rows without a start.
    """
    by_name = {entry.method.name: entry for entry in scores}
    columns = ["reason", "method", "metric", "against", "value", "low", "high", "n", "runs", "seed"]
    rows = []
    for reason, names in REASONS.items() if START in by_name else ():
        for entry in (by_name[name] for name in names if name in by_name):
            for key in NUMBERS:
                if key in entry.draws and key in by_name[START].draws:
                    draws = entry.draws[key]
                    own = by_name[SSACL].draws.get(key) if SSACL in by_name else None
                    lent = draws if own is None or entry.method.made != TRAINED else borrowed(draws, own)
                    found = {START: interval(lent - by_name[START].draws[key].mean(0))}
                    if own is not None and entry.method.ours and len(draws) == 1:
                        found[SSACL] = beside(draws, own)
                    about = {"reason": reason, "method": entry.method.name, "metric": key[2], "seed": PATIENTS}
                    about |= {"n": entry.n[key], "runs": len(draws)}
                    for against, (value, low, high) in found.items():
                        rows.append({**about, "against": against, "value": value, "low": low, "high": high})
    return pd.DataFrame(rows, columns=columns)
