"""What did not work, with its numbers: rows picked from tables of notebooks 03 to 05; no number is written down here."""

from collections.abc import Mapping

import pandas as pd

from ..baselines.registry import SSACL
from ..evaluation.probe import probe_table
from ..evaluation.randomisation import MOVED
from ..evaluation.sight import sight_table
from ..settings import Settings

ENDING = ("value", "low", "high", "n", "runs")
POINTING = {"part": "phrases", "metric": "pointing"}
SLOWER = {"against": "start", "metric": "cnr"}
OPEN = {"prefix": "patches open", "prompts": "faithful"}
HEADS = {"part": "plus", "detail": "films moved", "metric": "pointing"}

ROWS = (
    ("a third of the rate: CNR of masked maps minus the start's", "over_start", {**SLOWER, "method": "a third of the rate"}),
    ("a tenth of the rate: the same", "over_start", {**SLOWER, "method": "a tenth of the rate"}),
    ("similarity map, pointing: SS-ACL", "comparison", {**POINTING, "detail": "similarity map", "method": SSACL}),
    ("the same: GLoRIA-like, which is taught words against patches", "comparison",
     {**POINTING, "detail": "similarity map", "method": "GLoRIA-like"}),
    ("the same: the middle of the film", "comparison", {**POINTING, "detail": "similarity map", "method": "centre prior"}),
    ("masked map, pointing: SS-ACL", "comparison", {**POINTING, "detail": "masked map", "method": SSACL}),
    ("the same: the words of the phrase, no film", "comparison",
     {**POINTING, "detail": "masked map", "method": "text template"}),
    ("reports behind open patches, another patient's leaf tokens: micro F1 minus own tokens", "sight",
     {**OPEN, "tokens": "another patient's", "metric": "micro_f1_13_minus_own"}),
    ("the same where the decoder was taught to rely on looks", "sight",
     {**OPEN, "prompts": "looking", "tokens": "another patient's", "metric": "micro_f1_13_minus_own"}),
    ("such a decoder, own tokens: looks minus the mean of all patches", "sight",
     {**OPEN, "prompts": "looking", "tokens": "own", "metric": "micro_f1_13_minus_everywhere"}),
    ("a finding read from its own leaf's token: AUC minus that of the mirror leaf's", "probe",
     {"leaf": "mean of leaves", "source": "own token", "metric": "auc minus mirror leaf's token"}),
    ("head of SS-ACL+ on moved films, pointing: on SS-ACL", "comparison", {**HEADS, "method": SSACL}),
    ("the same: on random weights", "comparison", {**HEADS, "method": "untrained"}),
    ("the same head after all disturbances at once: pointing minus none", "randomisation",
     {"families": "all", "films": MOVED, "node": "mean of leaves", "metric": "pointing_minus_none"}),
)  # fmt: skip
"""In words, the table, and what picks its row."""


def negatives(tables: Mapping[str, pd.DataFrame], settings: Settings) -> pd.DataFrame:
    """The rows of ROWS that the tables hold, each with its table; tables: of notebook 05, by their names (those of 03 are read).

    Raises:
        ValueError: a table holds more than one row for a line of ROWS.
    """
    tables, found = {**tables, "sight": sight_table(settings), "probe": probe_table(settings)}, []
    for what, name, wanted in ROWS:
        rows = tables[name]
        for column, value in wanted.items():
            rows = rows[rows[column] == value]
        if len(rows) > 1:
            raise ValueError(f"{len(rows)} rows of {name} for {what!r}, expected one")
        told = [{"runs": 1, **row} for row in rows.to_dict("records")]  # a table without that column is of one training
        found += [
            {"what": what, **{key: row[key] for key in ENDING}, "patients of seed": row["seed"], "table": name}
            for row in told
        ]
    return pd.DataFrame(found, columns=["what", *ENDING, "patients of seed", "table"])
