"""The READMEs' tables of the comparison: the paper's claims, reasons, all methods, downstream aims; from committed tables."""

from pathlib import Path

import pandas as pd

from .. import paths
from ..baselines.registry import OUR_TERMS, SSACL, method_of
from ..downstream.segmentation_tables import KEPT, WITHOUT
from ..evaluation.comparison_margins import HEADLINES, PAPER
from ..evaluation.comparison_start import START
from ..notebook.comparison_words import percent
from ..plots.comparison import MARGIN_NAMES
from ..record.manifest import read_json
from .readme_cells import difference, estimate, markdown_table, pick


def claims_table(base: Path) -> str:
    """The paper's three relative claims and the margins measured here, in per cent."""
    path = paths.FIGURES / "cpu" / "tables" / "margins.csv"
    if not path.is_file():
        return "No results yet: `make ablation` makes them."
    larger, among = path.with_name("budget_margins.csv"), path.with_name("margins_over_trained.csv")
    trained = pd.read_csv(among).set_index("metric") if among.is_file() else pd.DataFrame()
    most = pd.read_csv(larger) if larger.is_file() else pd.DataFrame(columns=["images", "metric"])
    most = most[most["images"] == most["images"].max()]
    rows = []
    for row in pd.read_csv(path).itertuples():
        if row.metric in HEADLINES[row.claim]:
            claimed = f"{100 * PAPER[row.claim]:+.0f} %"
            name = f"{row.claim}: {MARGIN_NAMES[row.metric]}"
            there = [
                [percent(m), f"{m.best_baseline} ({m.seeds})"] for m in most.itertuples() if m.metric == row.metric
            ]
            also = trained.loc[row.metric] if row.metric in trained.index else None
            told = ["", ""] if also is None else [percent(also), f"{also.best_baseline} ({also.rival_seeds})"]
            rows.append(
                [
                    name,
                    claimed,
                    percent(row),
                    f"{row.best_baseline} ({row.seeds})",
                    *told,
                    *(there or [["", ""]])[0],
                    row.n,
                ]
            )
    budget = f"with {most['images'].iloc[0]:,} images" if len(most) else ""
    over = ["over (seeds of SS-ACL)", "over the best trained rival", "namely (its seeds)"]
    head = ["relative margin of SS-ACL", "paper's claim", "here", *over, budget, "over (seeds)", "n"]
    return markdown_table(head, [[str(cell) for cell in row] for row in rows])


def reasons_table(base: Path) -> str:
    """Why SS-ACL lies where it does against its start: runs that differ in one thing, from the table of notebook 05."""
    path = paths.FIGURES / "cpu" / "tables" / "over_start.csv"
    if not path.is_file():
        return "No results yet: `make ablation` makes them."
    rows = []
    asked = (("cnr", START), ("cnr", SSACL), ("auc", START))
    for (reason, method), part in pd.read_csv(path).groupby(["reason", "method"], sort=False):
        found = part.set_index(["metric", "against"])
        cells = [difference(found.loc[key]) if key in found.index else "" for key in asked]
        rows.append([reason, method, *cells, str(part["runs"].max())])
    counts = pd.read_csv(path).groupby("metric")["n"].max()
    heads = [f"masked map's CNR, minus the start's (n {counts['cnr']})", f"minus that of {SSACL} as it is",
             f"finding AUC, minus the start's (n {counts['auc']})"]  # fmt: skip
    return markdown_table(["the reason may be", "method", *heads, "trainings"], rows)


COMPARED = (
    ("findings", "mean of findings", "auc", "AUC"),
    ("phrases", "masked map", "pointing", "phrases, masked: pointing"),
    ("phrases", "masked map", "pointing_sided", "the same, of phrases that name a side"),
    ("phrases", "masked map", "pointing_swapped_side", "of those, the other side named"),
    ("reports", "reports", "micro_f1_13", "reports: micro F1"),
    ("reports", "reports", "bleu4", "BLEU-4"),
)
"""part, detail, metric, head of the column."""


def compared_table(base: Path) -> str:
    """The compared methods (and the variants of SS-ACL that add a term of ours), from the table of notebook 05."""
    path = paths.FIGURES / "cpu" / "tables" / "comparison.csv"
    if not path.is_file():
        return "No results yet: `make ablation` makes them."
    table, rows = pd.read_csv(path), []
    shown = table[~table["group"].isin(["ablation", "budget"]) | table["method"].isin(OUR_TERMS)]
    counts = shown.groupby(["part", "detail", "metric"])["n"].max()
    for method, part in shown.groupby("method", sort=False):
        found = part.set_index(["part", "detail", "metric"])
        cells = [estimate(found.loc[key]) if (key := tuple(what)) in found.index else "" for *what, _ in COMPARED]
        marked = " †" if method_of(str(method)).annotated else ""
        rows.append([f"{method}{marked}", *cells, str(part["runs"].max())])
    heads = [f"{head} (n {counts[tuple(what)]})" for *what, head in COMPARED]
    return markdown_table(["method († reads annotations)", *heads, "seeds"], rows)


VERDICTS = {"reached": "reached", "missed": "missed"}
"""Any other verdict of an aim is neither for sure."""


def downstream_table(base: Path) -> str:
    """What was hoped for of the downstream tasks, and what came, from the table of notebook 06."""
    path = paths.FIGURES / "cpu" / "tables" / "downstream_aims.csv"
    if not path.is_file():
        return "No results yet: `make downstream` makes them."
    rows = [
        [row.aim, f"{row.own:.2f}", f"{row.against}: {row.other:.2f}".removeprefix(f"{row.other:.2f}: "),
         f"{row.difference:+.2f} [{row.low:+.2f}, {row.high:+.2f}]",
         VERDICTS.get(row.verdict, "open"), f"{row.n}, {row.runs}"]
        for row in pd.read_csv(path).itertuples()
    ]  # fmt: skip
    table = markdown_table(["hoped for", "SS-ACL", "against", "difference", "", "n, seeds"], rows)
    return "\n\n".join(filter(None, [table, downstream_cost(paths.DATA / "results" / "downstream" / "cpu")]))


def downstream_cost(folder: Path) -> str:
    """How long the tasks of `make downstream` took, from what stands beside their rows; empty where there are none."""
    told = [read_json(path) for path in sorted(folder.glob("*/*/*.json"))]
    if not told:
        return ""
    minutes = sum(each["seconds"] for each in told) / 60
    kernels = "; ".join(sorted({each["kernels"] for each in told}))
    return (
        f"All {len(told)} tasks took {minutes:.0f} minutes of one core, so about half of that where two work ({kernels}); that "
        "is without the training of the encoders, which `make ablation` leaves."
    )


LOSSES = "p_at_5_minus_ss_acl"
DIRECTIONS = ("image to text", "text to image")
OUTLINE_WORDS = {WITHOUT: "Dice where it is", KEPT: "films without it left empty"}
OUTLINED = [(name, metric) for name in ("Pleural Effusion", "Pneumothorax") for metric in OUTLINE_WORDS]
OUTLINERS = ("SS-ACL", "start", "untrained")


def costs_table(base: Path) -> str:
    """Two tables of notebook 06: P@5 minus SS-ACL's, with losses left out; outlines by a light decoder on frozen encoders."""
    retrieval, outlines = (
        paths.FIGURES / "cpu" / "tables" / f"{name}.csv" for name in ("retrieval_terms", "downstream_segmentation")
    )
    if not retrieval.is_file() or not outlines.is_file():
        return "No results yet: `make downstream` makes them."
    table, rows = pick(pd.read_csv(retrieval), {"metric": LOSSES}), []
    for method, part in table.groupby("method", sort=False):
        found = part.set_index("setting")
        cells = [difference(found.loc[name]) if name in found.index else "" for name in DIRECTIONS]
        rows.append([str(method), *cells, f"{part['n'].max()}, {part['runs'].max()}"])
    terms = markdown_table(["P@5 minus SS-ACL's", *DIRECTIONS, "n, trainings"], rows)
    table = pick(pd.read_csv(outlines), {"setting": "frozen, 96 px"})
    table, rows = table.set_index(["method", "detail", "metric"]), []
    for method in OUTLINERS:
        found = [table.loc[method, *key] for key in OUTLINED if (method, *key) in table.index]
        if found:
            rows.append([method, *map(estimate, found), str(max(row["runs"] for row in found))])
    heads = [f"{name.lower()}: {OUTLINE_WORDS[metric]} (n {table.xs((name, metric), level=(1, 2))['n'].max()})"
             for name, metric in OUTLINED]  # fmt: skip
    return terms + "\n\n" + markdown_table(["outlines, encoder frozen, 96 px", *heads, "trainings"], rows)
