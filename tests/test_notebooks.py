"""Static rules of every notebook in notebooks/: the notebook tells, the library computes."""

import ast
import importlib
import inspect
import json
import re
import statistics
from collections import Counter

import pytest

from ssacl_lib import paths
from ssacl_lib.command.rebuild import PARAMETERS
from ssacl_lib.command.stages import STAGES

NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
FREE = {"exercise", "solution"}
"""Tags of cells in which a reader may define something."""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def load(path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell) -> str:
    return "".join(cell["source"])


def tags(cell) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def code_cells(path) -> list[dict]:
    return [cell for cell in load(path)["cells"] if cell["cell_type"] == "code"]


def lines(cell) -> list[str]:
    return [line for line in source(cell).splitlines() if line.strip()]


def syntax(cell) -> ast.Module:
    return ast.parse("\n".join(line for line in source(cell).splitlines() if not line.lstrip().startswith(("%", "!"))))


def definitions(cell) -> list[str]:
    nodes = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in ast.walk(syntax(cell)) if isinstance(node, nodes)]


def test_every_stage_is_a_notebook_and_every_notebook_a_stage():
    assert [path.stem for path in NOTEBOOKS] == [stage.name for stage in STAGES]


@every_notebook
def test_one_parameters_cell_with_literals(path):
    (cell,) = [cell for cell in load(path)["cells"] if "parameters" in tags(cell)]
    statements = syntax(cell).body
    assert all(isinstance(s, ast.Assign) and len(s.targets) == 1 for s in statements)
    values = {s.targets[0].id: ast.literal_eval(s.value) for s in statements}
    assert values == {"profile": "smoke", "dataset": "phantom", "data_root": None, "seed": 0, "out_dir": None}
    assert tuple(values) == PARAMETERS
    assert len(lines(cell)) >= len(PARAMETERS), "one parameter per line"


@every_notebook
def test_the_parameters_reach_the_run(path):
    """start_run gets the notebook's own name and all five parameters; nothing sets them a second time."""
    calls = [
        node
        for cell in code_cells(path)
        for node in ast.walk(syntax(cell))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "start_run"
    ]
    (call,) = calls
    passed = {k.arg: k.value.id for k in call.keywords if isinstance(k.value, ast.Name)}
    named = dict(zip(PARAMETERS, (getattr(a, "id", None) for a in call.args[1:]), strict=False)) | passed
    assert named == {name: name for name in PARAMETERS}
    assert ast.literal_eval(call.args[0]) == path.stem
    assigned = Counter(
        node.id
        for cell in code_cells(path)
        for node in ast.walk(syntax(cell))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    assert all(assigned[name] == 1 for name in PARAMETERS)


@every_notebook
def test_cells_have_fixed_unique_ids(path):
    content = load(path)
    ids = [cell.get("id") for cell in content["cells"]]
    assert None not in ids and len(set(ids)) == len(ids)
    assert (content["nbformat"], content["nbformat_minor"] >= 5) == (4, True)


@every_notebook
def test_cells_are_short_and_define_nothing(path):
    cells = code_cells(path)
    lengths = [len(lines(cell)) for cell in cells]
    assert max(lengths) <= 25
    assert statistics.median(lengths) <= 6
    defined = [name for cell in cells if not tags(cell) & FREE for name in definitions(cell)]
    assert not defined, f"belongs in ssacl_lib: {defined}"


@every_notebook
def test_what_cells_call_is_in_the_library(path):
    """`module.name` of every imported module exists, so that a move is noticed before a notebook is run."""
    known = {}
    for cell in code_cells(path):
        for node in ast.walk(syntax(cell)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ssacl_lib"):
                for alias in node.names:
                    parent = importlib.import_module(node.module)
                    if not hasattr(parent, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")
                    known[alias.asname or alias.name] = getattr(parent, alias.name)
    assert known
    absent = [
        f"{node.value.id}.{node.attr}"
        for cell in code_cells(path)
        for node in ast.walk(syntax(cell))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known
        if inspect.ismodule(known[node.value.id]) and not hasattr(known[node.value.id], node.attr)
    ]
    assert not absent


def test_nothing_is_defined_twice():
    """Not in two notebooks, and no function body of the library stands in two modules."""
    found = Counter(name for path in NOTEBOOKS for name in {n for cell in code_cells(path) for n in definitions(cell)})
    assert not [name for name, count in found.items() if count > 1]
    bodies: dict[str, list[str]] = {}
    for path in sorted(paths.PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if len(body) >= 2:
                    bodies.setdefault("".join(map(ast.dump, body)), []).append(f"{path.name}: {node.name}")
    assert not [places for places in bodies.values() if len(places) > 1]


@every_notebook
def test_the_skeleton(path):
    """Opens with title, goals, needs and minutes; at most six import lines; closes with recap, try it and what next."""
    cells = load(path)["cells"]
    text = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")
    opening = "\n".join(source(cell) for cell in cells[:3])
    assert cells[0]["cell_type"] == "markdown" and source(cells[0]).startswith("# ")
    assert "learn" in opening.lower() and "minutes" in opening.lower()
    for word in ("recap", "try it", "next"):
        assert re.search(rf"^#+ .*{word}", text, re.MULTILINE | re.IGNORECASE), f"no section {word!r}"
    imports = [
        n for cell in code_cells(path) for n in ast.walk(syntax(cell)) if isinstance(n, (ast.Import, ast.ImportFrom))
    ]
    assert len(imports) <= 6
    assert any(tags(cell) & {"exercise"} for cell in cells)


@every_notebook
def test_every_figure_has_an_alternative_text(path):
    calls = [node for cell in code_cells(path) for node in ast.walk(syntax(cell)) if isinstance(node, ast.Call)]
    saved = [call for call in calls if getattr(call.func, "attr", None) == "save_figure"]
    assert saved and all(len(call.args) == 5 or "alt" in {k.arg for k in call.keywords} for call in saved)


@every_notebook
def test_stored_outputs_are_text_that_is_compared(path):
    """notebooks/ holds source; pictures live in the executed copies under figures/."""
    content = load(path)
    assert "widgets" not in content["metadata"]
    assert not set(content["metadata"]) - {"kernelspec", "language_info"}
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    for cell in code_cells(path):
        if cell["outputs"]:
            assert "NBVAL_CHECK_OUTPUT" in source(cell)
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert not [kind for kind in output.get("data", {}) if kind.startswith("image/") or "widget" in kind]
            assert len(json.dumps(output)) < 4000


@every_notebook
def test_the_executed_copy_is_linked_from_the_first_cell(path):
    assert f"../figures/cpu/notebooks/{path.name}" in source(load(path)["cells"][0])
