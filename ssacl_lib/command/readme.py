"""The generated parts of the READMEs: notebooks, paper against companion, a line per file, and the tables of numbers.

A block stands between `<!-- generated: NAME -->` and `<!-- end -->`; `ssacl readme` writes it, a test checks it.
"""

import ast
import json
import os
import re
import textwrap
from pathlib import Path

from .. import paths
from ..notebook.equations import equation_table
from ..record.manifest import atomic_write, read_json
from .readme_cells import markdown_table
from .readme_comparison import claims_table, compared_table, costs_table, downstream_table, reasons_table
from .readme_results import PROFILES, fresh_table, prompts_table, results_table, sight_table, speed_table
from .stages import STAGES

FILES = ("README.md", "notebooks/README.md", "ssacl_lib/README.md", "data/checkpoints/release/README.md")

PAPER = (
    ("Teaser figure", "01_anatomy_graph", "teaser"),
    ("Architecture figure", "02_pretraining", "architecture"),
    ("Figure: anatomy graph and pathology-anatomy mapping", "01_anatomy_graph", "graph"),
    ("Figure: report generation case study", "03_report_generation", "cases"),
    ("Figure: phrase grounding case grid", "04_grounding_evaluation", "cases"),
    ("Table: report generation (MIMIC-CXR)", "03_report_generation", "tables/report_generation"),
    ("Table: phrase grounding (MS-CXR)", "04_grounding_evaluation", "tables/phrase_grounding"),
    ("Table: classification (NIH ChestX-ray14, RSNA pneumonia)", "06_downstream", "tables/downstream_classification"),
    ("Table: segmentation (SIIM-ACR pneumothorax)", "06_downstream", "tables/downstream_segmentation"),
    ("Table: image-text retrieval (CheXpert 5x200)", "06_downstream", "tables/downstream_retrieval"),
    ("Table: ablation", "05_ablation", "tables/ablation"),
)
"""What the paper shows, the notebook that rebuilds it (None: not yet), and a part of the output's name."""


def _recorded(profile: str) -> tuple[dict, dict]:
    folder = paths.FIGURES / profile
    return tuple(read_json(folder / name).get("notebooks", {}) for name in ("manifest.json", "run.json"))


def _outputs(profile: str, notebook: str) -> list[str]:
    """Names of a notebook's figures (PNG) and tables (CSV), as recorded."""
    names = _recorded(profile)[0].get(notebook, {}).get("outputs", {})
    return sorted(name for name in names if name.endswith((".png", ".csv")))


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
    return markdown_table(["notebook", "figures and tables", "minutes", "what it shows"], rows)


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
    return markdown_table(["in the paper", "notebook, cell", "here"], rows)


def _cell_of(notebook: Path, stem: str) -> str:
    """The id of the cell that saves a figure or table of this name."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if (
            cell["cell_type"] == "code"
            and f'"{stem}"' in source
            and re.search("save_figure|write_table|write_if_rows", source)
        ):
            return f", cell `{cell['id']}`"
    return ""


READING_ORDER = (
    "observations.py", "anatomy.py", "anatomy.yaml", "losses.py", "loss_inputs.py", "chunked_consistency.py", "model",
    "training", "inference", "metrics", "text", "evaluation", "baselines", "downstream", "datasets", "images.py", "film.py",
    "dicom.py", "gdcm_process.py", "phantom", "plots", "notebook", "command", "record", "distributed.py", "threads.py",
    "settings.py", "profiles", "paths.py", "__main__.py", "__init__.py",
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
    "fresh": fresh_table,
    "prompts": prompts_table,
    "sight": sight_table,
    "claims": claims_table,
    "costs": costs_table,
    "reasons": reasons_table,
    "downstream": downstream_table,
    "compared": compared_table,
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
