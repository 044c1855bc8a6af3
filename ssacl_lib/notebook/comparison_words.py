"""What the tables of notebook 05 say, as sentences: every number and every verdict is read from the table at hand."""

import pandas as pd
from IPython.display import Markdown

from ..baselines.registry import SSACL
from ..evaluation.comparison_margins import HEADLINES, PAPER
from ..evaluation.comparison_run import PATIENTS
from ..evaluation.films import REGIONS
from ..evaluation.randomisation import MOVED, REAL
from ..plots.comparison import CELLS, MARGIN_NAMES, OURS, PANELS
from .negatives import negatives as negatives  # asked for by its table here, as the other words of 05

WRONG_ANATOMY = ("parents by their own names", "flat graph", "shuffled graph", "nonsense names")


def asked(table: pd.DataFrame) -> str:
    """For a caption: how many studies or phrases stand behind a table's rows, and of which patients."""
    fewest, most = (int(table["n"].min()), int(table["n"].max())) if len(table) else (0, 0)
    return f"n {most if fewest == most else f'{fewest} to {most}'} patients or phrases of seed {PATIENTS}"


def percent(row) -> str:
    """A margin in per cent with its interval."""
    return f"{100 * row.margin:+.0f} % [{100 * row.low:+.0f}, {100 * row.high:+.0f}]"


def verdict(row, claimed: float) -> str:
    """What an interval says of a claimed relative margin."""
    if row.low > claimed:
        return "holds here"
    if row.low > 0:
        return (
            "holds here in sign; its size is not told apart"
            if row.high >= claimed
            else "holds here in sign, not in size"
        )
    return "is not shown here" if row.high > 0 else "fails here: the rival is better"


def alone(row) -> str:
    """A warning where the interval knows of one training alone, or of another method's spread."""
    if row.seeds == 1:
        return " in this one training (others are not in the interval)"
    return "; the rival was trained once and borrows the spread of SS-ACL's trainings" if row.rival_seeds == 1 else ""


def claim_words(margins: pd.DataFrame) -> Markdown:
    """One line per claim of the paper and answer."""
    lines = []
    for claim, metrics in HEADLINES.items():
        for row in margins[margins["claim"].eq(claim) & margins["metric"].isin(metrics)].itertuples():
            lines.append(
                f"- **{claim}** (the paper claims {100 * PAPER[claim]:+.0f} %), {MARGIN_NAMES[row.metric]}: {percent(row)} over "
                f"{row.best_baseline} (n {row.n}, seeds {row.seeds}): the claim **{verdict(row, PAPER[claim])}**{alone(row)}."
            )
    return Markdown("\n".join(lines) or "*Nothing was compared yet.*")


def trained_words(margins: pd.DataFrame) -> Markdown:
    """One line per headline margin over rivals that were trained: on which side of zero it lies. No verdict on the claim."""
    lines = []
    for claim, metrics in HEADLINES.items():
        for row in margins[margins["claim"].eq(claim) & margins["metric"].isin(metrics)].itertuples():
            side = "above zero" if row.low > 0 else "below zero" if row.high < 0 else "not told apart from zero"
            over = f"{percent(row)} over {row.best_baseline} (n {row.n}, seeds {row.seeds})"
            lines.append(f"- **{claim}**, {MARGIN_NAMES[row.metric]}: {over}: {side}{alone(row)}.")
    return Markdown("\n".join(lines) or "*Nothing was compared yet.*")


def claims_message(margins: pd.DataFrame) -> str:
    """One sentence for a caption: how many of the answers above are above zero."""
    rows = [row for claim, metrics in HEADLINES.items()
            for row in margins[margins["claim"].eq(claim) & margins["metric"].isin(metrics)].itertuples()]  # fmt: skip
    if not rows:
        return "Nothing was compared yet."
    above = [f"{row.claim} ({MARGIN_NAMES[row.metric]})" for row in rows if row.low > 0]
    told = f"{len(above)} of the {len(rows)} ({'; '.join(above)})" if above else f"none of the {len(rows)}"
    return f"Of the headline margins of SS-ACL over its best rival, {told} {'lie' if len(above) > 1 else 'lies'} above zero."


def panels(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the comparison that its figure shows."""
    wanted = {key[:3] for key in PANELS}
    return table.loc[[key in wanted for key in zip(table["part"], table["detail"], table["metric"], strict=True)]]


def looked(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the head of SS-ACL+ on several encoders."""
    return table[(table["part"] == "plus") & table["metric"].isin(["pointing", "cnr"])]


def floor_words(floors: pd.DataFrame) -> Markdown:
    """Which rivals beat their floor."""
    lines = [
        f"- {row.method} minus {row.floor}, {row.metric.replace('_', ' ')}: {row.value:+.3f} [{row.low:+.3f}, {row.high:+.3f}], "
        + ("alive" if row.low > 0 else "**not above its floor**")
        for row in floors.itertuples()
    ]
    return Markdown("\n".join(lines) or "*Nothing was compared yet.*")


def writer_words(writers: pd.DataFrame) -> Markdown:
    """What looking prompts, and a decoder that learns for longer, do to reports."""
    lines = [
        f"- {row.method} minus {row.floor}, {row.metric.replace('_', ' ')}: {row.value:+.3f} [{row.low:+.3f}, {row.high:+.3f}] "
        f"(n {row.n}, {row.runs} trainings): {'better' if row.low > 0 else 'worse' if row.high < 0 else 'not told apart'}."
        for row in writers.itertuples()
    ]
    return Markdown("\n".join(lines) or "*No decoder has learnt on yet.*")


def _cell(row) -> str:
    titles = {(part, detail, metric): title.replace("\n", " ") for part, detail, metric, title in CELLS}
    return f"{titles[row.part, row.detail, row.metric]} {row.value:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"


def shown_cells(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the ablation table that its figure shows."""
    wanted = {(part, detail, metric) for part, detail, metric, _ in CELLS}
    keys = zip(table["part"], table["detail"], table["metric"], strict=True)
    return table.loc[[key in wanted for key in keys]]


def ablation_words(table: pd.DataFrame) -> Markdown:
    """Per variant, what lies outside of what one more run of SS-ACL would give."""
    lines, still = [], []
    for method, rows in shown_cells(table).groupby("method", sort=False):
        apart = _told_apart(rows)
        if len(apart):
            lines.append(f"- **{method}**: {'; '.join(_cell(row) for row in apart.itertuples())}.")
        else:
            still.append(str(method))
    if still:
        lines.append(f"- No number of the figure below can be told from SS-ACL's in: {', '.join(still)}.")
    if lines:
        lines.append(
            f"- Above the mean of SS-ACL's trainings, of all variants that were asked: {_sides(shown_cells(table))}."
        )
    return Markdown("\n".join(lines) or "*No variant was trained yet.*")


def _sides(cells: pd.DataFrame) -> str:
    """Per number, how many variants lie above: what moves together in a column is no work of single variants."""
    told = []
    for part, detail, metric, title in CELLS:
        rows = cells[cells["part"].eq(part) & cells["detail"].eq(detail) & cells["metric"].eq(metric)]
        if len(rows):
            name = title.replace("-\n", "-").replace("\n", " ")
            told.append(f"{name} {(rows['value'] > 0).sum()} of {len(rows)}")
    return "; ".join(told)


def ablation_message(table: pd.DataFrame) -> str:
    """One sentence: in how many cells a variant can be told from SS-ACL."""
    table = shown_cells(table)
    if not len(table):
        return "No variant was trained yet."
    runs = int(table["runs"].max())
    if runs == 1:
        return "SS-ACL has one seed so far, so no variant can be told from another run of it."
    found = f"In {len(_told_apart(table))} of {len(table)} cells a variant can be told from one more run of SS-ACL"
    return f"{found} ({runs} seeds of it are there)."


def _told_apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Where a variant lies outside of what another run of SS-ACL would give; one run of it says nothing of another."""
    return rows[(rows["runs"] > 1) & ((rows["low"] > 0) | (rows["high"] < 0))]


def anatomy_words(table: pd.DataFrame) -> Markdown:
    """Does the anatomy graph do something? The four wrong anatomies, leaf maps and phrases."""
    lines = []
    table = shown_cells(table)
    asked_of = table[table["method"].isin(WRONG_ANATOMY)]
    for method in WRONG_ANATOMY:
        rows = table[(table["method"] == method)]
        if not len(rows):
            continue
        apart = _told_apart(rows)
        worse, gains = apart[apart["value"] < 0], apart[apart["value"] > 0]
        told = "; ".join(_cell(row) for row in worse.itertuples()) or "nothing gets worse that can be told"
        also = f"; better: {'; '.join(_cell(row) for row in gains.itertuples())}" if len(gains) else ""
        lines.append(f"- {method}: {told}{also}.")
    if lines:
        lines.append(
            f"- These are {len(asked_of)} numbers of single trainings, of which about {0.05 * len(asked_of):.0f} would lie "
            "outside by chance. Where nothing is told, either the right anatomy did nothing, or these runs are too few to see it."
        )
    return Markdown("\n".join(lines) or "*No wrong anatomy was trained yet.*")


CHANCE = (
    ("phrases", "masked map", "pointing", "pointing of masked maps"),
    ("phrases", "masked map", "cnr_own_minus_swapped", "their CNR, own minus swapped phrase (chance: 0)"),
    ("findings", "mean of findings", "auc", "AUC of a head that is taught true findings on the frozen encoder"),
)
"""part, detail, metric, in words."""


def chance_words(table: pd.DataFrame) -> Markdown:
    """What is left where films stand beside other patients' reports, beside random weights; read from the comparison."""
    lines = []
    for part, detail, metric, words in CHANCE:
        rows = table[table["part"].eq(part) & table["detail"].eq(detail) & table["metric"].eq(metric)]
        rows = {row["method"]: row for row in rows.to_dict("records")}
        if "shuffled pairs" in rows and "untrained" in rows:
            shuffled = rows["shuffled pairs"]
            above = shuffled["low"] > (0 if metric.endswith("swapped") else rows["untrained"]["high"])
            told = "**above chance**: something other than pairs teaches it" if above else "not above"
            lines.append(
                f"- {words}: shuffled pairs {_range(shuffled)}, random weights {_range(rows['untrained'])}: {told}."
            )
    return Markdown("\n".join(lines) or "*Shuffled pairs were not trained yet.*")


def looks_message(table: pd.DataFrame) -> str:
    """One sentence: the head of SS-ACL+ on SS-ACL's encoder against the best other encoder, on moved films."""
    rows = table[(table["part"] == "plus") & (table["metric"] == "pointing") & (table["detail"] == "films moved")]
    own, others = rows[rows["method"] == SSACL], rows[~rows["method"].isin(OURS)]
    if not len(own) or not len(others):
        return "No head that looks was fitted yet."
    own, best = own.iloc[0], others.sort_values("value").iloc[-1]
    return (
        f"On moved films the same head reaches pointing {_range(own)} on SS-ACL's encoder and {_range(best)} on the best other "
        f"one (“{best['method']}”)."
    )


def _range(row) -> str:
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def disturbed_message(table: pd.DataFrame) -> str:
    """Which disturbances help on real lungs, and which cost the leaves of moved phantom films? Against none, one seed each."""
    rows = table[table["metric"].isin(["cnr_minus_none", "pointing_minus_none"])]
    if not len(rows):
        return "Disturbed films were not measured."
    real = rows[(rows["films"] == REAL) & rows["node"].isin(REGIONS) & (rows["metric"] == "cnr_minus_none")]
    helps = [str(name) for name, part in real.groupby("families", sort=False) if (part["low"] > 0).all()]
    leaves = rows[
        (rows["films"] == MOVED) & (rows["node"] == "mean of leaves") & (rows["metric"] == "pointing_minus_none")
    ]
    costs = leaves[(leaves["high"] < 0) & (leaves["families"] != "no film")]["families"]
    return (
        f"The contrast-to-noise ratio of both real lungs rises with: {quoted(helps)}. Leaves of moved phantom films get worse "
        f"with: {quoted(costs)}."
    )


def quoted(names) -> str:
    """Names in quotation marks, or "none"."""
    return ", ".join(f"“{name}”" for name in names) or "none"
