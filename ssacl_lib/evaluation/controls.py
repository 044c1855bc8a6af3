"""What the controls of phrase grounding say: differences on the same phrases, and a verdict per map and control.

Means of different sets of phrases can't be compared: only some phrases name a side, and only some studies are shifted. So
every control is a difference on the phrases that have both numbers; n counts them.
"""

import pandas as pd

PRIOR, TEMPLATE = "centre prior", "text template"
UNSEEING = {PRIOR: "prior", TEMPLATE: "template"}
"""Methods that see no film -> their kind of map."""
CONTROLS = ("own", "swapped phrase", "swapped side", "shifted")
SCORES = ("pointing", "cnr")
DIFFERENCES = {
    "swapped phrase": "{}_own_minus_swapped",
    "swapped side": "{}_own_minus_swapped_side",
    "shifted": "{}_shifted_minus_own",
    PRIOR: "{}_minus_prior",
    TEMPLATE: "{}_minus_template",
}
"""Control -> the metric of its paired difference, for a score. Below zero is bad in all five."""

PASSES, IN_PART, FAILS, COSTS = "passes", "passes in part", "fails", "costs"


def paired_scores(per_phrase: pd.DataFrame) -> pd.DataFrame:
    """Differences on the same phrase: own minus swapped phrase or side, shifted minus own, own minus what sees no film.

    per_phrase: rows of `grounding.evaluate_phrases`. Returns study, finding, method, map and one column per difference of
    pointing and CNR; NaN where one of the two was not scored, and where a method would be taken from itself.
    """
    where = ["study", "finding", "phrase"]
    wide = per_phrase.pivot_table(index=[*where, "method", "map"], columns="control", values=list(SCORES))
    wide = wide.reindex(columns=pd.MultiIndex.from_product([SCORES, CONTROLS]))
    phrases = wide.index.droplevel(["method", "map"])
    methods, kinds = (wide.index.get_level_values(level) for level in ("method", "map"))
    out = {}
    for score in SCORES:
        own = wide[score, "own"]
        out[f"{score}_own_minus_swapped"] = own - wide[score, "swapped phrase"]
        out[f"{score}_own_minus_swapped_side"] = own - wide[score, "swapped side"]
        out[f"{score}_shifted_minus_own"] = wide[score, "shifted"] - own
        for method, kind in UNSEEING.items():
            there = (methods == method) & (kinds == kind)
            other = own[there].droplevel(["method", "map"]).reindex(phrases).to_numpy()
            out[DIFFERENCES[method].format(score)] = (own - other).mask(methods == method)
    paired = pd.DataFrame(out).reset_index()
    return paired[paired["method"] != PRIOR]


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Which control each map passes, from the paired differences of the table phrase_grounding (all findings together).

    A swap or the centre prior is passed where the 95 % intervals of both pointing and CNR lie above zero, in part where one
    does. The shifted film is passed where neither interval lies below zero, and costs the map where one does.

    Returns method, map, control, verdict, then value, low, high and n of pointing, and value, low and high of CNR.
    """
    overall = table[(table["finding"] == "overall") & (table["control"] == "own")]
    rows = []
    for (method, kind), group in overall.groupby(["method", "map"], sort=False):
        found = group.set_index("metric")
        for control, metric in DIFFERENCES.items():
            names = [metric.format(score) for score in SCORES]
            if all(name in found.index for name in names):
                pointing, contrast = (found.loc[name, ["value", "low", "high"]].astype(float) for name in names)
                verdict = _verdict(control, (pointing, contrast))
                number = int(found.loc[names[0], "n"])
                rows.append((method, kind, control, verdict, *pointing, number, *contrast))
    columns = ["method", "map", "control", "verdict", "value", "low", "high", "n", "cnr", "cnr_low", "cnr_high"]
    return pd.DataFrame(rows, columns=columns)


def _verdict(control: str, scores) -> str:
    if control == "shifted":
        return COSTS if any(score["high"] < 0 for score in scores) else PASSES
    above = sum(score["low"] > 0 for score in scores)
    return (FAILS, IN_PART, PASSES)[above]


def against_prior(table: pd.DataFrame, method: str, kind: str, score: str = "pointing") -> dict[str, list[str]]:
    """The findings in which a map beats the centre prior, is not told apart from it, or is beaten: "above", "with", "below".

    table: phrase_grounding; told apart is where the 95 % interval of the paired difference leaves out zero.
    """
    rows = table[(table["method"] == method) & (table["map"] == kind) & (table["control"] == "own")]
    rows = rows[
        (rows["metric"] == DIFFERENCES[PRIOR].format(score)) & ~rows["finding"].isin(["overall", "mean of findings"])
    ]
    found: dict[str, list[str]] = {"above": [], "with": [], "below": []}
    for finding, low, high in zip(rows["finding"], rows["low"], rows["high"], strict=True):
        found["above" if low > 0 else "below" if high < 0 else "with"].append(finding)
    return found
