"""The READMEs' tables of the models' numbers: results, what prompts are worth, sight, speed; each from the committed tables."""

from pathlib import Path

import pandas as pd

from .. import paths
from ..evaluation.fresh import OTHER_SIDE
from ..evaluation.phrase_views import BLANK
from ..evaluation.prompting import (
    ALL_LEAVES,
    ENTITIES,
    LEAVES,
    OTHER_LEAVES,
    OTHER_PATCHES,
    OTHER_TOKENS,
    WITH,
    WITHOUT,
)
from ..evaluation.speed import RELEASE, against_aim
from .readme_cells import estimate, markdown_table, pick

PROFILES = ("cpu", "gpu")

MODELS = ("untrained", "start", "this run", "shipped")
OWN = {"control": "own", "finding": "overall"}
REPORTS = {"variant": "with prompts"}
CONSTANT = {"variant": "constant", "method": "constant report"}
TEMPLATE = {**OWN, "map": "template", "method": "text template"}

LEAVES_OF = {"node": "mean of leaves", "metric": "pointing"}

RESULTS = (
    ("finding AUC of the head, mean of 13", "finding_classification", {"finding": "mean of findings", "metric": "auc"}, None),
    ("reports: micro F1 over 13 findings", "report_generation", {**REPORTS, "metric": "micro_f1_13"}, CONSTANT),
    ("reports: the same minus the head's own", "report_generation",
     {**REPORTS, "metric": "micro_f1_13_minus_head_labels"}, None),
    ("reports: BLEU-4", "report_generation", {**REPORTS, "metric": "bleu4"}, CONSTANT),
    ("phrases, masked evidence: pointing", "phrase_grounding", {**OWN, "map": "masked", "metric": "pointing"}, TEMPLATE),
    ("phrases, masked evidence: CNR minus swapped phrase", "phrase_grounding",
     {**OWN, "map": "masked", "metric": "cnr_own_minus_swapped"}, None),
    ("phrases, similarity: pointing", "phrase_grounding", {**OWN, "map": "similarity", "metric": "pointing"}, TEMPLATE),
    ("phrases, similarity: CNR minus swapped phrase", "phrase_grounding",
     {**OWN, "map": "similarity", "metric": "cnr_own_minus_swapped"}, None),
    ("25 leaf prompts' attention: pointing", "anatomy_grounding", {**LEAVES_OF, "films": "as they are"},
     {**LEAVES_OF, "films": "as they are", "method": "centre prior"}),
    ("SS-ACL+ (ours), 25 leaf maps: pointing", "anatomy_grounding", {**LEAVES_OF, "films": "as they are"},
     {**LEAVES_OF, "films": "as they are", "method": "words atlas"}),
    ("SS-ACL+ (ours), films shifted, scaled and turned: pointing", "anatomy_grounding", {**LEAVES_OF, "films": "moved"},
     {**LEAVES_OF, "films": "moved", "method": "words atlas"}),
)  # fmt: skip
"""Rows of the results table: what it is, the table, the values that pick the models' rows, those that pick the control's."""


PROMPTS = (
    ("leaves open, entity text given", WITH, "micro_f1_13"),
    ("entity text alone", ENTITIES, "micro_f1_13"),
    ("open leaves alone", LEAVES, "micro_f1_13"),
    ("neither", WITHOUT, "micro_f1_13"),
    ("both minus entity text alone", WITH, "micro_f1_13_minus_entities_only"),
    ("leaves alone minus neither", LEAVES, "micro_f1_13_minus_without_prompts"),
    ("another patient's leaves opened, minus own", OTHER_LEAVES, "micro_f1_13_minus_with_prompts"),
    ("all 25 leaves opened, minus own", ALL_LEAVES, "micro_f1_13_minus_with_prompts"),
    ("**own leaves, another patient's tokens in them, minus own**", OTHER_TOKENS, "micro_f1_13_minus_with_prompts"),
    ("another patient's patches, minus own", OTHER_PATCHES, "micro_f1_13_minus_with_prompts"),
)
"""Rows of the prompts table: what it is, the variant, the metric."""

SPEED = (
    ("release mode without a loop over pairs in the reference: images per second of a training step, times the reference's",
     "training_step_release_without_pair_loop", "throughput_ratio"),
    ("release mode, the reference with its loop over pairs: the same", RELEASE, "throughput_ratio"),
    ("release mode: peak memory of a training step, share of the reference's", RELEASE, "peak_memory_ratio"),
    ("paper mode, the reference with dense mask and loop over pairs: images per second, times the reference's",
     "training_step_dense", "throughput_ratio"),
    ("paper mode: peak memory, share of the reference's", "training_step_dense", "peak_memory_ratio"),
    ("paper mode beside the release's step, another function: images per second, times those of four passes without a loop",
     "training_step_without_pair_loop", "throughput_ratio"),
    ("grounding: time of 100 phrases on one image, times that of one", "ground_100_phrases", "time_ratio"),
    (
        "beam search with key-value cache: words per second, times those without",
        "beam_search_cache",
        "throughput_ratio",
    ),
)  # fmt: skip
"""Rows of the speed table, equal functions first: in words, and the row of speed.csv."""


def results_table(base: Path) -> str:
    """The numbers that matter, with 95 % intervals, from the tables of the profile cpu; shipped on a fresh seed, too."""
    rows, fresh = [], dict(fresh_rows())
    seed = next((f"shipped, seed {row.seed} (n)" for row in fresh.values()), "shipped, another seed (n)")
    for what, name, wanted, control in RESULTS:
        path = paths.FIGURES / "cpu" / "tables" / f"{name}.csv"
        if not path.is_file():
            continue
        table = pd.read_csv(path)
        ending = "+" if what.startswith("SS-ACL+") else ""
        rows_of = {row.method: row for row in pick(table, wanted).itertuples()}
        found = {method: rows_of[method + ending] for method in MODELS if method + ending in rows_of}
        against = list(pick(table, {**control, "metric": wanted["metric"]}).itertuples()) if control else []
        cells = [estimate(found[method]) if method in found else "" for method in MODELS]
        cells.append(f"{estimate(fresh[what])} ({fresh[what].n})" if what in fresh else "")
        cells.append(f"{against[0].method}: {estimate(against[0])}" if against else "")
        counts = [found[method].n for method in MODELS if method in found]
        fewer = [
            f"{method} {found[method].n}" for method in MODELS if method in found and found[method].n < max(counts)
        ]
        rows.append([what, *cells, " ".join([str(max(counts)), *([f"({', '.join(fewer)})"] if fewer else [])])])
    if not rows:
        return "No results yet: `make paper` makes them."
    return markdown_table(["", *MODELS, seed, "to beat", "n"], rows)


FRESH = (
    ("finding AUC of the head, mean of 13", "finding head, mean of findings", "auc"),
    ("reports: micro F1 over 13 findings", "reports with prompts", "micro_f1_13"),
    ("phrases, masked evidence: pointing", "phrases, masked map", "pointing"),
    ("the same minus centre prior", "phrases, masked map", "pointing_minus_prior"),
    ("the same minus text template, which sees no film", "phrases, masked map", "pointing_minus_template"),
    ("CNR minus text template", "phrases, masked map", "cnr_minus_template"),
    ("the same minus that of the other side, where a side is named", "phrases, masked map", "pointing_own_minus_swapped_side"),
    ("pointing where the other side is named", f"phrases, masked map, {OTHER_SIDE}", "pointing"),
    ("pointing of the same phrase on a blank film", f"phrases, masked map, {BLANK}", "pointing"),
    ("pointing, own film minus blank film", f"phrases, masked map, {BLANK}", "pointing_own_minus_blank"),
    ("what `ssacl ground` shows: the peak lies in the finding's box", "phrases, what `ssacl ground` shows", "peak_in_box"),
    ("the same where the other side is named", "phrases, what `ssacl ground` shows", "peak_in_box_other_side"),
    ("phrases, masked evidence: CNR minus swapped phrase", "phrases, masked map", "cnr_own_minus_swapped"),
    ("SS-ACL+ (ours), 25 leaf maps: pointing", "25 leaves, films as they are", "pointing"),
    ("SS-ACL+ (ours), films shifted, scaled and turned: pointing", "25 leaves, films moved", "pointing"),
)  # fmt: skip
"""Rows of the table of the shipped checkpoint: in words, and the row of `ssacl confirm`'s table."""


def fresh_rows() -> list[tuple]:
    """Rows of FRESH that are there: in words, and the row of the table."""
    path = paths.FIGURES / "confirm" / "tables" / "fresh_patients.csv"
    if not path.is_file():
        return []
    table, found = pd.read_csv(path), []
    for words, about, metric in FRESH:
        method = "shipped+" if about.startswith("25 leaves") else "shipped"
        wanted = {"about": about, "metric": metric, "method": method}
        found += [(words, row) for row in pick(table, wanted).itertuples()]
    return found


def fresh_table(base: Path) -> str:
    """The shipped checkpoint on patients of a seed that nobody looked at, from the table of `ssacl confirm`."""
    rows = [[words, estimate(row), f"{row.n}, {row.seed}"] for words, row in fresh_rows()]
    if not rows:
        return "No results yet: `ssacl confirm --seed 3` makes them."
    path = paths.FIGURES / "cpu" / "tables" / "speed.csv"
    timed = pick(pd.read_csv(path), {"what": "command_ground", "metric": "seconds"}) if path.is_file() else None
    for row in timed.itertuples() if timed is not None else ():
        words = f"one `ssacl ground`, the start of Python included: seconds on {row.machine}"
        rows.append([words, estimate(row), f"{row.n}, {row.seed}"])
    return markdown_table(["", "value", "n, seed"], rows)


def prompts_table(base: Path) -> str:
    """Do prompts help, as a switch or as sight? Clinical micro F1 of the reports and its paired differences, profile cpu."""
    path = paths.FIGURES / "cpu" / "tables" / "report_generation.csv"
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["variant", "metric", "method"])
    rows = []
    for words, variant, metric in PROMPTS:
        found = {row.method: row for row in pick(table, {"variant": variant, "metric": metric}).itertuples()}
        shown = [found[method] for method in MODELS[2:] if method in found]
        if shown:
            cells = [estimate(found[method]) if method in found else "" for method in MODELS[2:]]
            rows.append([words, *cells, ", ".join(dict.fromkeys(str(row.n) for row in shown))])
    return (
        markdown_table(["micro F1 over 13 findings", *MODELS[2:], "n"], rows)
        if rows
        else "No results yet: `make paper` makes them."
    )


def sight_table(base: Path) -> str:
    """Does what the prompts saw reach the report? Own and another patient's leaf tokens, by kind of prompt and prefix."""
    path = paths.FIGURES / "cpu" / "tables" / "sight.csv"
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["prefix", "prompts", "tokens", "metric"])
    rows = []
    for prefix, prompts in dict.fromkeys(zip(table["prefix"], table["prompts"], strict=True)):
        part = pick(table, {"prefix": prefix, "prompts": prompts}).set_index(["tokens", "metric"])
        wanted = [
            ("own", "micro_f1_13"),
            ("another patient's", "micro_f1_13"),
            ("another patient's", "micro_f1_13_minus_own"),
        ]
        wanted += [("own", "micro_f1_13_minus_faithful"), ("own", "micro_f1_13_minus_everywhere")]
        cells = [estimate(part.loc[key]) if key in part.index else "" for key in wanted]
        rows.append([f"{prompts}, {prefix}", *cells, f"{part['n'].iloc[0]}, {part['seed'].iloc[0]}"])
    head = [
        "micro F1 over 13 findings",
        "own tokens",
        "another patient's",
        "another's minus own",
        "own, minus faithful",
        "own, minus everywhere",
    ]
    return markdown_table([*head, "n, seed"], rows) if rows else "No results yet: `ssacl sight` makes them."


def speed_table(base: Path) -> str:
    """The ratios of `ssacl bench` with their intervals, per profile that was measured."""
    rows = []
    for profile in PROFILES:
        path = paths.FIGURES / profile / "tables" / "speed.csv"
        table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["what", "metric"])
        for words, what, metric in SPEED:
            for row in pick(table, {"what": what, "metric": metric}).itertuples():
                number = f"{row.value:.2f}" if row.low == row.high else estimate(row)
                aim = f" ({against_aim(table)})" if (what, metric) == (RELEASE, "throughput_ratio") else ""
                rows.append([words + aim, profile, number, str(row.n), str(row.seed), row.machine])
    if not rows:
        return "Not measured yet: `ssacl bench` does."
    return markdown_table(["", "profile", "ratio", "n", "seed", "machine"], rows)
