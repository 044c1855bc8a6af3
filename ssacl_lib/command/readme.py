"""The generated tables of the READMEs: notebooks, results, speed, paper against companion, and one line per file of the library.

A block stands between `<!-- generated: NAME -->` and `<!-- end -->`; `ssacl readme` writes it, a test checks it.
"""

import ast
import json
import os
import re
import textwrap
from pathlib import Path

import pandas as pd

from .. import paths
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
from ..notebook.equations import equation_table
from ..record.manifest import atomic_write, read_json
from .rebuild import STAGES

FILES = ("README.md", "notebooks/README.md", "ssacl_lib/README.md")
PROFILES = ("cpu", "gpu")

PAPER = (
    ("Teaser figure", None, ""),
    ("Architecture figure", "02_pretraining", "architecture"),
    ("Figure: anatomy graph and pathology-anatomy mapping", "01_anatomy_graph", "graph"),
    ("Figure: report generation case study", "03_report_generation", "cases"),
    ("Figure: phrase grounding case grid", "04_grounding_evaluation", "cases"),
    ("Table: report generation (MIMIC-CXR)", "03_report_generation", "tables/report_generation"),
    ("Table: phrase grounding (MS-CXR)", "04_grounding_evaluation", "tables/phrase_grounding"),
    ("Tables: classification, segmentation, retrieval", None, ""),
    ("Table: ablation", None, ""),
)
"""What the paper shows, the notebook that rebuilds it (None: not yet), and a part of the output's name."""

MODELS = ("untrained", "start", "this run", "shipped")
OWN = {"control": "own", "finding": "overall"}
REPORTS = {"variant": "with prompts"}
CONSTANT = {"variant": "constant", "method": "constant report"}
PRIOR = {**OWN, "map": "prior", "method": "centre prior"}

LEAVES_OF = {"node": "mean of leaves", "metric": "pointing"}

RESULTS = (
    ("finding AUC of the head, mean of 13", "finding_classification", {"finding": "mean of findings", "metric": "auc"}, None),
    ("reports: micro F1 over 13 findings", "report_generation", {**REPORTS, "metric": "micro_f1_13"}, CONSTANT),
    ("reports: the same minus the head's own", "report_generation",
     {**REPORTS, "metric": "micro_f1_13_minus_head_labels"}, None),
    ("reports: BLEU-4", "report_generation", {**REPORTS, "metric": "bleu4"}, CONSTANT),
    ("phrases, masked evidence: pointing", "phrase_grounding", {**OWN, "map": "masked", "metric": "pointing"}, PRIOR),
    ("phrases, masked evidence: CNR minus swapped phrase", "phrase_grounding",
     {**OWN, "map": "masked", "metric": "cnr_own_minus_swapped"}, None),
    ("phrases, similarity: pointing", "phrase_grounding", {**OWN, "map": "similarity", "metric": "pointing"}, PRIOR),
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
    ("training step in paper mode: images per second, times those of four passes without a loop over pairs",
     "training_step_without_pair_loop", "throughput_ratio"),
    ("the same, times those of the reference with its loop over pairs", "training_step", "throughput_ratio"),
    ("the same: peak memory, share of the reference's", "training_step", "peak_memory_ratio"),
    ("training step in release mode: images per second, times those of the reference with its loop over pairs",
     "training_step_release", "throughput_ratio"),
    ("the same: peak memory, share of the reference's", "training_step_release", "peak_memory_ratio"),
    ("grounding: time of 100 phrases on one image, times that of one", "ground_100_phrases", "time_ratio"),
    (
        "beam search with key-value cache: words per second, times those without",
        "beam_search_cache",
        "throughput_ratio",
    ),
)  # fmt: skip
"""Rows of the speed table, the fairest comparison first: in words, and the row of speed.csv."""


def _recorded(profile: str) -> tuple[dict, dict]:
    folder = paths.FIGURES / profile
    return tuple(read_json(folder / name).get("notebooks", {}) for name in ("manifest.json", "run.json"))


def _outputs(profile: str, notebook: str) -> list[str]:
    """Names of a notebook's figures (PNG) and tables (CSV), as recorded."""
    names = _recorded(profile)[0].get(notebook, {}).get("outputs", {})
    return sorted(name for name in names if name.endswith((".png", ".csv")))


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _minutes(notebook: str) -> str:
    found = {}
    for profile in PROFILES:
        seconds = _recorded(profile)[1].get(notebook, {}).get("seconds", {}).get("total")
        if seconds is not None:
            found[profile] = f"{profile} {seconds / 60:.1f}"
    return ", ".join(found.values()) or "not measured yet"


def notebook_table(base: Path) -> str:
    """Notebook, its executed copy, figures and tables, minutes as measured, what it shows; links relative to `base`."""
    rows = []
    for stage in STAGES:
        executed = paths.FIGURES / "cpu" / "notebooks" / stage.notebook.name
        name = f"[{stage.name}]({_link(stage.notebook, base)})"
        if executed.is_file():
            name += f" ([executed]({_link(executed, base)}))"
        outputs = [f"[{Path(o).stem}]({_link(paths.FIGURES / 'cpu' / o, base)})" for o in _outputs("cpu", stage.name)]
        rows.append([name, ", ".join(outputs) or "not made yet", _minutes(stage.name), stage.shows])
    return _table(["notebook", "figures and tables", "minutes", "what it shows"], rows)


def _link(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


def paper_table(base: Path) -> str:
    """Each figure and table of the paper: where it is rebuilt, or that it is not yet."""
    rows = []
    for what, notebook, part in PAPER:
        outputs = _outputs("cpu", notebook) if notebook else []
        outputs = [name for name in outputs if part in name]
        files = [f"[{Path(o).stem}]({_link(paths.FIGURES / 'cpu' / o, base)})" for o in outputs]
        if notebook is None or not files:
            rows.append([what, "not rebuilt yet", ""])
            continue
        cell = _cell_of(paths.NOTEBOOKS / f"{notebook}.ipynb", Path(outputs[0]).stem)
        rows.append(
            [what, f"[{notebook}]({_link(paths.NOTEBOOKS / f'{notebook}.ipynb', base)}){cell}", ", ".join(files)]
        )
    return _table(["in the paper", "notebook, cell", "here"], rows)


def _cell_of(notebook: Path, stem: str) -> str:
    """The id of the cell that saves a figure or table of this name."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and f'"{stem}"' in source and re.search("save_figure|write_table", source):
            return f", cell `{cell['id']}`"
    return ""


def results_table(base: Path) -> str:
    """The numbers that matter, with 95 % intervals, from the tables of the profile cpu."""
    rows = []
    for what, name, wanted, control in RESULTS:
        path = paths.FIGURES / "cpu" / "tables" / f"{name}.csv"
        if not path.is_file():
            continue
        table = pd.read_csv(path)
        ending = "+" if what.startswith("SS-ACL+") else ""
        rows_of = {row.method: row for row in _pick(table, wanted).itertuples()}
        found = {method: rows_of[method + ending] for method in MODELS if method + ending in rows_of}
        against = list(_pick(table, {**control, "metric": wanted["metric"]}).itertuples()) if control else []
        cells = [_estimate(found[method]) if method in found else "" for method in MODELS]
        cells.append(f"{against[0].method}: {_estimate(against[0])}" if against else "")
        counts = [found[method].n for method in MODELS if method in found]
        fewer = [
            f"{method} {found[method].n}" for method in MODELS if method in found and found[method].n < max(counts)
        ]
        rows.append([what, *cells, " ".join([str(max(counts)), *([f"({', '.join(fewer)})"] if fewer else [])])])
    if not rows:
        return "No results yet: `make paper` makes them."
    return _table(["", *MODELS, "to beat", "n"], rows)


def prompts_table(base: Path) -> str:
    """Do prompts help, as a switch or as sight? Clinical micro F1 of the reports and its paired differences, profile cpu."""
    path = paths.FIGURES / "cpu" / "tables" / "report_generation.csv"
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["variant", "metric", "method"])
    rows = []
    for words, variant, metric in PROMPTS:
        found = {row.method: row for row in _pick(table, {"variant": variant, "metric": metric}).itertuples()}
        shown = [found[method] for method in MODELS[2:] if method in found]
        if shown:
            cells = [_estimate(found[method]) if method in found else "" for method in MODELS[2:]]
            rows.append([words, *cells, ", ".join(dict.fromkeys(str(row.n) for row in shown))])
    return (
        _table(["micro F1 over 13 findings", *MODELS[2:], "n"], rows)
        if rows
        else "No results yet: `make paper` makes them."
    )


def sight_table(base: Path) -> str:
    """Does what the prompts saw reach the report? Own and another patient's leaf tokens, by kind of prompt and prefix."""
    path = paths.FIGURES / "cpu" / "tables" / "sight.csv"
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["prefix", "prompts", "tokens", "metric"])
    rows = []
    for prefix, prompts in dict.fromkeys(zip(table["prefix"], table["prompts"], strict=True)):
        part = _pick(table, {"prefix": prefix, "prompts": prompts}).set_index(["tokens", "metric"])
        wanted = [
            ("own", "micro_f1_13"),
            ("another patient's", "micro_f1_13"),
            ("another patient's", "micro_f1_13_minus_own"),
        ]
        wanted += [("own", "micro_f1_13_minus_faithful")]
        cells = [_estimate(part.loc[key]) if key in part.index else "" for key in wanted]
        rows.append([f"{prompts}, {prefix}", *cells, f"{part['n'].iloc[0]}, {part['seed'].iloc[0]}"])
    head = [
        "micro F1 over 13 findings",
        "own tokens",
        "another patient's",
        "another's minus own",
        "looking minus faithful",
    ]
    return _table([*head, "n, seed"], rows) if rows else "No results yet: `ssacl sight` makes them."


def speed_table(base: Path) -> str:
    """The ratios of `ssacl bench` with their intervals, per profile that was measured."""
    rows = []
    for profile in PROFILES:
        path = paths.FIGURES / profile / "tables" / "speed.csv"
        table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["what", "metric"])
        for words, what, metric in SPEED:
            for row in _pick(table, {"what": what, "metric": metric}).itertuples():
                number = f"{row.value:.2f}" if row.low == row.high else _estimate(row)
                aim = f" ({against_aim(table)})" if (what, metric) == (RELEASE, "throughput_ratio") else ""
                rows.append([words + aim, profile, number, str(row.n), str(row.seed), row.machine])
    if not rows:
        return "Not measured yet: `ssacl bench` does."
    return _table(["", "profile", "ratio", "n", "seed", "machine"], rows)


def _pick(table: pd.DataFrame, wanted: dict) -> pd.DataFrame:
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def _estimate(row) -> str:
    return f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"


READING_ORDER = (
    "observations.py", "anatomy.py", "anatomy.yaml", "losses.py", "chunked_consistency.py", "model", "training", "inference",
    "metrics", "text", "evaluation", "baselines", "datasets", "images.py", "film.py", "dicom.py", "gdcm_process.py",
    "phantom", "plots", "notebook", "command", "record", "distributed.py", "threads.py", "settings.py", "profiles", "paths.py",
    "__main__.py", "__init__.py",
)  # fmt: skip
"""The method first, then what it is measured by, then where the films come from, then the doors and the book-keeping."""


def layout(base: Path) -> str:
    """One line per file of the library, in reading order: the first sentence of its docstring, or of its first comment.

    Raises:
        ValueError: a file or folder that has no place in the reading order.
    """
    lines = []
    for path in sorted(paths.PACKAGE.rglob("*"), key=_reading_place):
        name = path.relative_to(paths.PACKAGE).as_posix()
        if path.suffix in {".py", ".yaml", ".json", ".mplstyle"} and (path.name != "__init__.py" or name == path.name):
            lines.append(f"{name:<38} {_first_sentence(path)}")
    return "```\n" + "\n".join(lines) + "\n```"


def _reading_place(path: Path) -> tuple[int, str]:
    name = path.relative_to(paths.PACKAGE).as_posix()
    room = name.split("/")[0]
    if room not in READING_ORDER and path.is_file() and path.suffix not in {".md", ".pyc"}:
        raise ValueError(f"{name} has no place in READING_ORDER of {Path(__file__).name}")
    return READING_ORDER.index(room) if room in READING_ORDER else len(READING_ORDER), name


def _first_sentence(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
        first = re.split(r"(?<=[.?;]) ", " ".join(text.split("\n\n")[0].split()))[0]
    elif path.suffix == ".json":
        first = "Stored numbers: " + json.loads(text)["source"]
    else:
        first = " ".join(text.splitlines()[0].lstrip("# ").split())
    lines = textwrap.wrap(first.rstrip(".;"), 108)
    return lines[0] + (" …" if len(lines) > 1 else "")


BLOCKS = {
    "notebooks": notebook_table,
    "paper": paper_table,
    "results": results_table,
    "prompts": prompts_table,
    "sight": sight_table,
    "speed": speed_table,
    "layout": layout,
    "equations": equation_table,
}


def generated(name: str) -> str:
    """The text of a README with its blocks made anew.

    Raises:
        ValueError: an unknown block, or one that isn't closed.
    """
    path = paths.ROOT / name
    text = path.read_text(encoding="utf-8")
    if text.count("<!-- generated: ") != text.count("<!-- end -->"):
        raise ValueError(f"{name}: every `<!-- generated: NAME -->` needs its `<!-- end -->`")

    def fill(match: re.Match) -> str:
        if match[1] not in BLOCKS:
            raise ValueError(f"{name}: no block {match[1]!r}; there are {', '.join(BLOCKS)}")
        return f"<!-- generated: {match[1]} -->\n{BLOCKS[match[1]](path.parent)}\n<!-- end -->"

    return re.sub(r"<!-- generated: (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def outdated() -> list[str]:
    """Names of the READMEs whose blocks differ from what would be generated now."""
    return [name for name in FILES if generated(name) != (paths.ROOT / name).read_text(encoding="utf-8")]


def write_generated() -> list[str]:
    """Write the blocks that differ; returns the names of the files."""
    names = outdated()
    for name in names:
        text = generated(name)
        with atomic_write(paths.ROOT / name) as handle:
            handle.write(text)
    return names
