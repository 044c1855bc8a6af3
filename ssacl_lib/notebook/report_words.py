"""What the tables of notebook 03 say, as sentences: every number and every verdict is read from the table at hand."""

import pandas as pd
from IPython.display import Markdown

from ..evaluation import one_leaf, probe
from ..evaluation.difficulty import METHOD as SUPERVISED
from ..evaluation.prompting import ALL_LEAVES, CELLS, CONTROLS, ENTITIES, OTHER_LEAVES, OTHER_TOKENS, WITH, WITHOUT
from ..evaluation.reports import CONSTANT
from ..plots.reports import METRIC_NAMES, VARIANTS
from ..plots.style import methods_in_order
from ..record.tables import to_markdown
from .wording import listed

F1 = "micro_f1_13"
HELPS, COSTS, OPEN = "helps", "costs", "is not told apart from nothing"


def one_row(table: pd.DataFrame, method: str, variant: str, metric: str) -> pd.Series | None:
    """The row of a system's metric; None where it was not measured."""
    found = table[(table["method"] == method) & (table["variant"] == variant) & (table["metric"] == metric)]
    return found.iloc[0] if len(found) == 1 else None


def with_interval(row: pd.Series, sign: str = "") -> str:
    """Value and interval of a row: 0.58 [0.55, 0.61]; sign="+" for a difference (three digits)."""
    value, low, high = row[["value", "low", "high"]].astype(float)
    digits = f"{sign}.3f" if sign else ".2f"
    return f"{value:{digits}} [{low:{digits}}, {high:{digits}}]"


def verdict(row: pd.Series) -> str:
    """What a paired difference says: its interval lies above 0, below it or around it."""
    return HELPS if row["low"] > 0 else COSTS if row["high"] < 0 else OPEN


# ---- findings
def head_message(table: pd.DataFrame, method: str, others: tuple[str, ...] = ("untrained", "start", SUPERVISED)) -> str:
    """One sentence: how well does a head on the method's encoder rank the findings, against those of others?"""
    mean = table[(table["finding"] == "mean of findings") & (table["metric"] == "auc")].set_index("method")
    rivals = [other for other in others if other in mean.index and other != method]
    if method not in mean.index or not rivals:
        return "No finding occurs often enough here to say how well a head knows it."
    own, parts = mean.loc[method], []
    for other in rivals:
        rival = mean.loc[other]
        place = (
            "above" if own["low"] > rival["high"] else "below" if own["high"] < rival["low"] else "not told apart from"
        )
        whose = "the network that is trained on the truth" if other == SUPERVISED else f"one on the encoder “{other}”"
        parts.append(f"{place} the {with_interval(rival)} of {whose}")
    return f"A head on the frozen encoder “{method}” ranks the findings with a mean AUC of {with_interval(own)}, {listed(parts)}."


def head_words(table: pd.DataFrame, methods: list[str]) -> Markdown:
    """`head_message` of every model, as a list."""
    return Markdown("\n".join(f"- {head_message(table, method)}" for method in methods))


# ---- words and findings of reports
def score_table(table: pd.DataFrame) -> Markdown:
    """The systems in the order that the text announces, n, and the metrics of figure 32 by their names."""
    found = set(zip(table["method"], table["variant"], strict=True))
    systems = [(m, v) for m in methods_in_order(table["method"]) for v in VARIANTS if (m, v) in found]
    lines = []
    for method, variant in systems:
        cells = {name: one_row(table, method, variant, metric) for metric, name in METRIC_NAMES.items()}
        numbers = [row["n"] for row in cells.values() if row is not None]
        words = {" ".join(n.split()): "–" if row is None else with_interval(row) for n, row in cells.items()}
        lines.append({"model": method, "report": variant, "studies": int(numbers[0]) if numbers else 0, **words})
    return Markdown(to_markdown(pd.DataFrame(lines)))


def against_constant(table: pd.DataFrame, methods: list[str]) -> Markdown:
    """Per model: in which metrics its reports with prompts beat the constant report, lose to it, or neither (by intervals)."""
    lines = []
    for method in methods:
        places: dict[str, list[str]] = {"above": [], "below": [], "not told apart from": []}
        for metric, name in METRIC_NAMES.items():
            own, rival = one_row(table, method, WITH, metric), one_row(table, CONSTANT, "constant", metric)
            if own is None or rival is None:
                continue
            place = "above" if own["low"] > rival["high"] else "below" if own["high"] < rival["low"] else ""
            told = f"{' '.join(name.split())} ({own['value']:.2f} against {rival['value']:.2f})"
            places[place or "not told apart from"].append(told)
        parts = [f"{place} the constant report in {listed(names)}" for place, names in places.items() if names]
        lines.append(f"- **{method}**, with prompts: {'; '.join(parts) or 'no metric was measured'}.")
    return Markdown("\n".join(lines))


def reports_message(table: pd.DataFrame, method: str) -> str:
    """One sentence: do the reports with prompts find more than the constant one, and as much as the head's own labels?"""
    constant = one_row(table, method, WITH, f"{F1}_minus_constant")
    labels = one_row(table, method, WITH, f"{F1}_minus_head_labels")
    if constant is None or labels is None:
        return f"No report of the model “{method}” was scored."
    first = {HELPS: "more findings right than", COSTS: "fewer findings right than", OPEN: "no more findings right than"}
    second = {HELPS: "lie above", COSTS: "lie below", OPEN: "are not told apart from"}
    return (
        f"The reports of the model “{method}” get {first[verdict(constant)]} one report for everybody (micro F1 "
        f"{with_interval(constant, '+')}), and {second[verdict(labels)]} the findings of its own head "
        f"({with_interval(labels, '+')})."
    )


# ---- prompts
def prompts_message(table: pd.DataFrame, method: str) -> str:
    """One sentence: do open leaves help beside the entity text, and as a switch or as sight?"""
    opened = one_row(table, method, WITH, f"{F1}_minus_entities_only")
    tokens = one_row(table, method, OTHER_TOKENS, f"{F1}_minus_with_prompts")
    leaves = one_row(table, method, OTHER_LEAVES, f"{F1}_minus_with_prompts")
    if opened is None or tokens is None or leaves is None:
        return f"The prompts of the model “{method}” were not taken apart."
    gain = f"opening the leaves beside the entity text brings {with_interval(opened, '+')} micro F1"
    if verdict(opened) != HELPS:
        return f"In the model “{method}” open leaves are not shown to help: {gain}."
    choice = f"another patient's choice of leaves {with_interval(leaves, '+')}"
    sight = f"another patient's tokens behind the same leaves {with_interval(tokens, '+')}"
    if verdict(tokens) == COSTS:
        return f"In the model “{method}” prompts help, and what they saw of this patient counts: {gain}; {sight}."
    if verdict(leaves) == COSTS:
        return (
            f"In the model “{method}” prompts help as a switch; sight is not shown: {gain}, {choice}, but {sight}, which is "
            "not told apart from nothing."
        )
    return (
        f"In the model “{method}” open leaves help, whoever's they are: {gain}; neither {choice} nor {sight} is told "
        "apart from nothing."
    )


def prompts_words(table: pd.DataFrame, methods: list[str]) -> Markdown:
    """The 2 x 2 of each model in words: its four scores, the two steps, and what each control costs."""
    lines = []
    for method in methods:
        cells = {cell: one_row(table, method, cell, F1) for cell in CELLS}
        if any(row is None for row in cells.values()):
            continue
        n = int(cells[WITH]["n"])
        told = ", ".join(f"{cell} {with_interval(row)}" for cell, row in cells.items())
        lines.append(f"**{method}**, micro F1 on {n} studies: {told}.\n")
        steps = {
            "open leaves, beside the entity text": (WITH, f"{F1}_minus_{ENTITIES.replace(' ', '_')}"),
            "open leaves, without it": ("leaves only", f"{F1}_minus_{WITHOUT.replace(' ', '_')}"),
            **{control: (control, f"{F1}_minus_{WITH.replace(' ', '_')}") for control in CONTROLS},
        }
        for what, (variant, metric) in steps.items():
            row = one_row(table, method, variant, metric)
            if row is not None:
                if variant == ALL_LEAVES or variant in CONTROLS:
                    what = f"{what}, against the own"
                lines.append(f"- {what}: {with_interval(row, '+')} (n {int(row['n'])}), which {verdict(row)};")
        lines[-1] = lines[-1].rstrip(";") + ".\n"
        lines.append(prompts_message(table, method) + "\n")
    return Markdown("\n".join(lines) or "*No prompts were taken apart here.*")


def sight_message(table: pd.DataFrame) -> str:
    """What do another patient's leaf tokens cost, by kind of prompt and prefix, and what do looking ones bring?"""
    costs = table[table["metric"] == f"{F1}_minus_own"]
    if not len(costs):
        return "Sight was not measured."
    parts = [f"{row['prompts']} prompts, {row['prefix']} {with_interval(row, '+')}" for _, row in costs.iterrows()]
    looks = table[(table["prompts"] == "looking") & (table["tokens"] == "own")]
    brought = [
        f"instead of {rival} ones, {row['prefix']} {with_interval(row, '+')}"
        for rival in ("faithful", "everywhere")
        for _, row in looks[looks["metric"] == f"{F1}_minus_{rival}"].iterrows()
    ]
    against = looks[looks["metric"] == f"{F1}_minus_everywhere"]
    if len(against):
        where = (
            "It matters where prompts look"
            if (against["low"] > 0).any()
            else "That it matters where prompts look is not shown"
        )
        brought[-1] += f". {where}"
    told = f"Another patient's leaf tokens change micro F1 (n {int(costs['n'].iloc[0])} patients): {'; '.join(parts)}."
    return told + (f" Looking tokens, the patient's own, {'; '.join(brought)}." if brought else "")


# ---- leaf by leaf
def probe_message(table: pd.DataFrame) -> str:
    """Is an opacity read better from its own leaf's token than from the mirror's? After and before attention."""
    means = table[table["leaf"] == probe.MEAN].set_index(["source", "metric"])
    if not len(means):
        return "Probes were not asked."
    parts = []
    for name, own, mirror in (
        ("the leaf prompts", probe.OWN, probe.MIRROR),
        ("what SS-ACL+ looks at", probe.LOOK, probe.MIRROR_LOOK),
        ("the same before attention", probe.EARLY, probe.MIRROR_EARLY),
    ):
        row = means.loc[(own, f"auc minus {mirror}")]
        told = "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "no better"
        parts.append(f"of {name} {told} ({with_interval(row, '+')})")
    return f"An opacity is read from its own leaf's token, against that of the mirror leaf, {', '.join(parts)}."


def leaf_message(table: pd.DataFrame) -> str:
    """Behind which one open leaf do reports name the finding? Own minus mirror, per decoder."""
    rows = table[(table["opened"] == one_leaf.MIRROR) & (table["metric"] == "named_own_minus_this")]
    if not len(rows):
        return "One leaf at a time was not measured."
    seen = [
        f"{row['prompts']} ({row['learnt']}) {with_interval(row, '+')}" for _, row in rows.iterrows() if row["low"] > 0
    ]
    told = "; ".join(seen) or "none"
    return (
        f"Decoders whose reports name the finding more often behind its own open leaf than behind the mirror's: {told}."
    )
