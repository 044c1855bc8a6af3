"""What the tables of notebook 04 say, as sentences: every number and every verdict is read from the table at hand."""

import pandas as pd
from IPython.display import Markdown

from ..evaluation.anatomy_grounding import AS_THEY_ARE, MOVED
from ..evaluation.cases import KINDS, PhraseCase
from ..evaluation.controls import (
    COSTS,
    DIFFERENCES,
    FAILS,
    IN_PART,
    PASSES,
    PRIOR,
    TEMPLATE,
    UNSEEING,
    against_prior,
    verdicts,
)
from ..evaluation.grounding import MAPS
from ..evaluation.looking import WORDS, plus
from ..evaluation.sentence_grounding import KIND as SENTENCE
from .wording import between, interval, listed, row_of

KIND_WORDS = {
    "masked": "masked evidence",
    "similarity": "similarity map",
    "cls attention": "CLS attention",
    "weighted tokens": "map of weighted tokens",
    "grad-cam": "Grad-CAM",
    "sentence": "sentence evidence",
    "template": "map",
}
VERDICT_WORDS = {
    "swapped phrase": {
        PASSES: "passes the swapped phrase",
        IN_PART: "passes the swapped phrase in {score} only",
        FAILS: "fails the swapped phrase",
    },
    "swapped side": {
        PASSES: "passes the swapped side",
        IN_PART: "passes the swapped side in {score} only",
        FAILS: "fails the swapped side",
    },
    "shifted": {PASSES: "loses nothing on the shifted film", COSTS: "loses on the shifted film"},
    PRIOR: {
        PASSES: "beats the centre prior",
        IN_PART: "beats the centre prior in {score} only",
        FAILS: "does not beat the centre prior",
    },
    TEMPLATE: {
        PASSES: "beats the text template",
        IN_PART: "beats the text template in {score} only",
        FAILS: "does not beat the text template",
    },
}


# ---- phrases
def phrases_message(table: pd.DataFrame, method: str, kind: str = "masked") -> str:
    """One sentence: does a map point better than what sees no film?"""
    where = {"finding": "overall", "control": "own", "metric": "pointing"}
    own, told = row_of(table, **where, method=method, map=kind), []
    for rival, words in (
        (PRIOR, "a Gaussian in the middle of the film"),
        (TEMPLATE, "the words alone, without a film"),
    ):
        other = row_of(table, **where, method=rival, map=UNSEEING[rival])
        metric = DIFFERENCES[rival].format("pointing")
        paired = row_of(table, **{**where, "metric": metric}, method=method, map=kind)
        if own is not None and other is not None and paired is not None:
            better = "better than" if paired["low"] > 0 else "worse than" if paired["high"] < 0 else "no better than"
            told.append(
                f"{better} {words} ({between(other)}; on the same phrases "
                f"{interval(*paired[['value', 'low', 'high']], sign='+')}, n {int(paired['n'])})"
            )
    if not told:
        return "No phrase was scored."
    return f"The {KIND_WORDS[kind]} of the model “{method}” points at {between(own)}, {' and '.join(told)}."


def prior_words(table: pd.DataFrame, methods: list[str], kind: str = "masked") -> Markdown:
    """Where the centre prior wins, per model and score: the findings in which it beats a map, or is not told apart from it; and
    those whose region a map never points into.
    """
    lines = []
    for method in methods:
        for score, word in (("pointing", "by pointing"), ("cnr", "by CNR")):
            found = against_prior(table, method, kind, score)
            if not any(found.values()):
                continue
            below = f"is better in **{listed(found['below'])}**" if found["below"] else "is better in no finding"
            alike = f", not told apart in {listed(found['with'])}" if found["with"] else ""
            above = f", worse in {listed(found['above'])}" if found["above"] else ", worse in no finding"
            missed = nowhere(table, method, kind) if score == "pointing" else []
            never = f" The map points into the region of no phrase of {listed(missed)}." if missed else ""
            lines.append(f"- {method}, {KIND_WORDS[kind]}, {word}: the centre prior {below}{alike}{above}.{never}")
    return Markdown("\n".join(lines) or "*No phrase was scored.*")


def nowhere(table: pd.DataFrame, method: str, kind: str) -> list[str]:
    """Findings of which a map points into no region at all, with their numbers of phrases: "Pneumothorax (0 of 68)"."""
    rows = table[(table["method"] == method) & (table["map"] == kind) & (table["control"] == "own")]
    rows = rows[(rows["metric"] == "pointing") & (rows["value"] == 0)]
    return [f"{finding} (0 of {int(n)})" for finding, n in zip(rows["finding"], rows["n"], strict=True)]


def control_sentences(table: pd.DataFrame, kinds=MAPS) -> list[str]:
    """One sentence per model and kind of map: which control it passes, fails or pays for, with both paired differences."""
    sentences = []
    found = verdicts(table)
    for (method, kind), group in found[found["map"].isin(kinds)].groupby(["method", "map"], sort=False):
        parts = []
        for row in group.to_dict("records"):
            words = VERDICT_WORDS[row["control"]][row["verdict"]].format(score="pointing" if row["low"] > 0 else "CNR")
            pointing = interval(row["value"], row["low"], row["high"], "+")
            contrast = interval(row["cnr"], row["cnr_low"], row["cnr_high"], "+")
            parts.append(f"{words} (pointing {pointing}, CNR {contrast}, n {row['n']})")
        sentences.append(f"The {KIND_WORDS[kind]} of “{method}” {listed(parts)}.")
    return sentences


def still_prior_words(table: pd.DataFrame) -> Markdown:
    """The yardstick of the shifted film: what the centre prior, which stays where it is, scores on shifted films."""
    about = {"finding": "overall", "map": "prior", "method": PRIOR, "metric": "pointing"}
    own, moved = (row_of(table, **about, control=control) for control in ("own", "shifted"))
    if own is None or moved is None:
        return Markdown("*No film was shifted.*")
    return Markdown(
        f"The yardstick of the shifted film: the centre prior, which stays, points at {between(own)} of {int(own['n'])} phrases "
        f"as they are and at {between(moved)} of the {int(moved['n'])} shifted ones. A map that points at as little has nothing "
        "to lose; one that follows keeps more than that."
    )


def control_words(table: pd.DataFrame, kinds=MAPS) -> Markdown:
    """`control_sentences` as a list."""
    return Markdown(
        "\n".join(f"- {sentence}" for sentence in control_sentences(table, kinds)) or "*No phrase was scored.*"
    )


def control_message(table: pd.DataFrame, method: str, kind: str = "masked") -> str:
    """`control_sentences` of one map without its numbers, to open a caption with."""
    found = verdicts(table)
    found = found[(found["method"] == method) & (found["map"] == kind)]
    if not len(found):
        return "No phrase was scored."
    parts = [
        VERDICT_WORDS[row.control][row.verdict].format(score="pointing" if row.low > 0 else "CNR")
        for row in found.itertuples()
    ]
    return f"The {KIND_WORDS[kind]} of “{method}” {listed(parts)}."


def sentence_message(table: pd.DataFrame, method: str) -> str:
    """One sentence: how sentence evidence points, and how it does against masked evidence and the swapped side."""
    about = {"map": SENTENCE, "control": "own", "finding": "overall", "method": method}
    own = row_of(table, **about, metric="pointing")
    if own is None:
        return "Sentence evidence was not asked for: no phrase, or no decoder that sees patches."
    told = f"The sentence evidence of “{method}” points into the finding in {between(own)} of {int(own['n'])} phrases"
    for metric, words in (("minus_masked", "its masked evidence"), ("own_minus_swapped_side", "the swapped side")):
        row = row_of(table, **about, metric=f"pointing_{metric}")
        if row is not None:
            told += f"; minus {words} {interval(row['value'], row['low'], row['high'], '+')} (n {int(row['n'])})"
    return f"{told}."


def cases_message(cases: list[PhraseCase], method: str) -> str:
    """One sentence: in how many of the cases shown is the IoU of a model's masked evidence the higher one?"""
    masked, similarity = (f"{method}\n{KINDS[kind]}" for kind in MAPS)
    higher = sum(case.maps[masked][1] > case.maps[similarity][1] for case in cases)
    if not cases:
        return "No phrase was scored."
    return (
        f"In {higher} of {len(cases)} cases the masked evidence of “{method}” overlaps more with the finding than its "
        "similarity map does."
    )


def release_message(table: pd.DataFrame, method: str) -> str:
    """One sentence: how well each kind of map of one model points, the best first."""
    where = {"finding": "overall", "control": "own", "method": method, "metric": "pointing"}
    kinds = [kind for kind in KIND_WORDS if kind != SENTENCE]  # which was asked of fewer phrases
    rows = {kind: row for kind in kinds if (row := row_of(table, **where, map=kind)) is not None}
    if not rows:
        return "No phrase was scored."
    order = sorted(rows, key=lambda kind: -rows[kind]["value"])
    parts = [f"{KIND_WORDS[kind]} {between(rows[kind])}" for kind in order]
    counts = listed(list(dict.fromkeys(str(int(rows[kind]["n"])) for kind in order)))
    return f"Of the maps of “{method}”, the {KIND_WORDS[order[0]]} points best: {listed(parts)} (n {counts})."


# ---- faithfulness
def faithful_message(areas: pd.DataFrame, method: str) -> str:
    """One sentence: does the fit fall and rise faster in the order of the evidence than in a random one?"""
    where = {"method": method, "order": "evidence", "metric": "area_minus_random"}
    hidden, shown = (row_of(areas, **where, curve=curve) for curve in ("deletion", "insertion"))
    if hidden is None or shown is None:
        return "No map was scored."
    falls = "faster" if hidden["high"] < 0 else "no faster"
    rises = "faster" if shown["low"] > 0 else "no faster"
    down, up = (interval(*row[["value", "low", "high"]], sign="+") for row in (hidden, shown))
    return (
        f"Patches in the order of the masked evidence of “{method}” lower the fit {falls} than a random order when they are "
        f"hidden (area under the curve, minus that of the random order: {down}), and raise it {rises} when they are shown "
        f"({up}; n {int(shown['n'])} phrases)."
    )


# ---- anatomies
def prompts_message(nodes: pd.DataFrame, methods: list[str], reference: str = "untrained") -> str:
    """One sentence: do trained prompts point at their leaves better or worse than untrained ones, priors beside them?"""
    rows, base = _leaves(nodes, methods, "pointing"), _leaves(nodes, [reference], "pointing").get(reference)
    if base is None or not rows:
        return "This data set has no masks of the leaves: where prompts point is not measured here."
    parts = [
        f"{listed(names)} {'point at their leaves ' if not number else ''}{word} untrained ones"
        for number, (word, names) in enumerate(
            _told_apart(rows, base, "worse than", "better than", "no differently, as far as can be told, from").items()
        )
    ]
    priors = _leaves(nodes, ["chance", PRIOR], "pointing")
    beside = ", ".join([f"untrained {between(base)}", *(f"{name} {row['value']:.2f}" for name, row in priors.items())])
    return f"The prompts of {'; those of '.join(parts)} ({beside}; n {int(base['n'])} studies)."


def likeness_message(nodes: pd.DataFrame, methods: list[str], reference: str = "untrained") -> str:
    """One sentence: does a prompt look differently from patient to patient, compared with an untrained one?"""
    metric = "similarity_across_patients"
    rows, base = _leaves(nodes, methods, metric), _leaves(nodes, [reference], metric).get(reference)
    if base is None or not rows:
        return "The likeness of the attention across patients was not measured."
    parts = [
        f"{listed(names)} look {word} untrained ones"
        for word, names in _told_apart(
            rows,
            base,
            "more differently from patient to patient than",
            "more alike in all patients than",
            "as alike as",
        ).items()
    ]
    return f"The prompts of {'; those of '.join(parts)} (cosine across patients {between(base)}; 1 is the same for everybody)."


def looking_message(nodes: pd.DataFrame, method: str) -> str:
    """One sentence: how well does SS-ACL+ point on films as they are and moved, beside attention and an atlas that is blind?"""
    means = nodes[(nodes["node"] == "mean of leaves") & (nodes["metric"] == "pointing")].set_index(["films", "method"])
    looks = plus(method)
    if (MOVED, looks) not in means.index:
        return "This data set has no masks of the leaves, or no model looks: where prompts that look point is not measured here."
    told = {key: between(means.loc[key]) for key in means.index}
    parts = [
        f"{name} {told[AS_THEY_ARE, key]} and {told[MOVED, key]}"
        for name, key in (
            (f"“{looks}”", looks),
            ("its prompts' attention", method),
            ("the same atlas without a film", WORDS),
        )
    ]
    n = int(means.loc[(MOVED, looks), "n"])
    return f"Pointing at the leaves, on films as they are and on moved ones (n {n} each): {listed(parts)}."


def _leaves(nodes: pd.DataFrame, methods: list[str], metric: str) -> dict[str, pd.Series]:
    """Method -> its row "mean of leaves" of a metric, where there is one."""
    rows = {method: row_of(nodes, node="mean of leaves", metric=metric, method=method) for method in methods}
    return {method: row for method, row in rows.items() if row is not None}


def _told_apart(
    rows: dict[str, pd.Series], base: pd.Series, below: str, above: str, alike: str
) -> dict[str, list[str]]:
    """Word -> models with their numbers; told apart is where the 95 % intervals do not overlap."""
    groups: dict[str, list[str]] = {}
    for method, row in rows.items():
        word = below if row["high"] < base["low"] else above if row["low"] > base["high"] else alike
        groups.setdefault(word, []).append(f"“{method}” ({between(row)})")
    return groups
