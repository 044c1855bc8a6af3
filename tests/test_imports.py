"""The arrow of the layout: a file imports only what stands below it, read from the syntax tree."""

import ast

import pytest

from ssacl_lib import paths
from ssacl_lib.record.sources import imported_modules

ORDER = (
    "__main__.py",
    "command",
    "notebook",
    "plots",
    "downstream",
    "evaluation",
    "baselines",
    "training",
    "inference",
    "model",
    "datasets",
    "phantom",
    "record",
    "text",
    "metrics",
    "losses.py",
    "loss_inputs.py",
    "chunked_consistency.py",
    "distributed.py",
    "images.py",
    "dicom.py",
    "gdcm_process.py",
    "film.py",
    "anatomy.py",
    "observations.py",
    "settings.py",
    "paths.py",
    "threads.py",
)
"""From the doors down to the folder names: files, and folders with all that is in them. No exceptions."""

FILES = sorted(path for path in paths.PACKAGE.rglob("*.py") if path != paths.PACKAGE / "__init__.py")


def name_of(path):
    return path.relative_to(paths.PACKAGE).as_posix()


def rank(path) -> int:
    """Position from the bottom."""
    room = name_of(path).split("/")[0]
    assert room in ORDER, f"{room} has no place in the order of tests/test_imports.py"
    return len(ORDER) - ORDER.index(room)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path):
    imported = imported_modules(ast.parse(path.read_text(encoding="utf-8")), path) - {paths.PACKAGE / "__init__.py"}
    wrong = sorted(name_of(other) for other in imported if rank(other) > rank(path))
    assert not wrong, f"{name_of(path)} imports {', '.join(wrong)}, which stand above it"


def test_every_entry_exists():
    for entry in ORDER:
        assert (paths.PACKAGE / entry).exists(), entry


def test_no_circle():
    """Imports inside of functions count as well: none hides a circle."""
    above: list = []
    done: set = set()

    def visit(path):
        assert path not in above, " -> ".join(name_of(p) for p in [*above, path])
        if path in done or path.name == "__init__.py":
            return
        above.append(path)
        for other in imported_modules(ast.parse(path.read_text(encoding="utf-8")), path):
            visit(other)
        done.add(above.pop())

    for path in FILES:
        visit(path)


def test_training_knows_neither_the_truth_nor_the_evaluation_view():
    """By type, not by promise: the names can't even be reached from the modules that train."""
    for name in ("training/loop.py", "training/state.py", "training/batches.py", "model/network.py", "losses.py"):
        tree = ast.parse((paths.PACKAGE / name).read_text(encoding="utf-8"))
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not used & {"EvaluationStudy", "load_evaluation", "Sign", "render", "draw_signs", "PhantomEvaluation"}, (
            name
        )
