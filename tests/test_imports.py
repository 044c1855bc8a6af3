"""The arrow of the layout: a file imports only what stands below it, read from the syntax tree."""

import ast

import pytest

from ssacl_lib import paths
from ssacl_lib.sources import imported_modules

ORDER = (
    ("__main__.py",),
    ("cli.py",),
    ("cli_parser.py",),
    ("readme.py",),
    ("rebuild.py",),
    ("differences.py",),
    ("commands.py", "folder_reports.py", "teaching.py", "exercises.py", "speed.py"),
    ("plots", "tables.py"),
    ("evaluation",),
    ("checkpoints.py",),
    ("anatomy_inference.py",),
    ("inference.py",),
    ("training.py",),
    ("training_state.py",),
    ("batches.py",),
    ("baselines",),
    ("model",),
    ("datasets/__init__.py", "datasets/prepare.py", "datasets/worker.py", "datasets/shards.py", "datasets/phantom.py",
     "datasets/folder.py", "datasets/release_csv.py"),
    ("phantom",),
    ("text",),
    ("metrics",),
    ("losses.py",),
    ("chunked_consistency.py", "distributed.py"),
    ("anatomy.py",),
    ("datasets/study.py", "datasets/image_files.py", "phantom/truth.py"),
    ("manifest.py",),
    ("settings.py",),
    ("sources.py",),
    ("paths.py",),
)  # fmt: skip
"""From the doors down to the folder names. An entry is a file or a whole folder; the most exact entry counts."""

LAZY = {("model/ssacl.py", "inference.py")}
"""The model's methods ground, attend and report call the functions of inference, which stand above the model."""

FILES = sorted(path for path in paths.PACKAGE.rglob("*.py") if path != paths.PACKAGE / "__init__.py")


def name_of(path):
    return path.relative_to(paths.PACKAGE).as_posix()


def rank(path) -> int:
    """Position from the bottom; more exact entries win."""
    name = name_of(path)
    exact = [len(ORDER) - level for level, entries in enumerate(ORDER) if name in entries]
    inside = [len(ORDER) - level for level, entries in enumerate(ORDER) if name.split("/")[0] in entries]
    assert exact or inside, f"{name} has no place in the order of tests/test_imports.py"
    return (exact or inside)[0]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path):
    imported = imported_modules(ast.parse(path.read_text(encoding="utf-8")), path) - {paths.PACKAGE / "__init__.py"}
    above = sorted(name_of(other) for other in imported if rank(other) > rank(path))
    wrong = [other for other in above if (name_of(path), other) not in LAZY]
    assert not wrong, f"{name_of(path)} imports {', '.join(wrong)}, which stand above it"


def test_every_entry_exists():
    for entry in (entry for level in ORDER for entry in level):
        assert (paths.PACKAGE / entry).exists(), entry


def test_no_circle():
    above: list = []
    done: set = set()

    def visit(path):
        assert path not in above, " -> ".join(name_of(p) for p in [*above, path])
        if path in done or path.name == "__init__.py":
            return
        above.append(path)
        for other in imported_modules(module_level(path), path):
            visit(other)
        done.add(above.pop())

    for path in FILES:
        visit(path)


def module_level(path) -> ast.Module:
    """The syntax tree without the bodies of functions: what is imported when the module is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])


def test_training_knows_neither_the_truth_nor_the_evaluation_view():
    """By type, not by promise: the names can't even be reached from the modules that train."""
    for name in ("training.py", "training_state.py", "batches.py", "model/ssacl.py", "losses.py"):
        tree = ast.parse((paths.PACKAGE / name).read_text(encoding="utf-8"))
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not used & {"EvaluationStudy", "load_evaluation", "Sign", "render", "draw_signs", "PhantomEvaluation"}, name
