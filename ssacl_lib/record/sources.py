"""Which source files stand behind a result: fingerprints of the library and of notebooks.

A stage of the rebuild is made again when the notebook or a module that it imports (directly or through others) changed.
"""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

from .. import paths

DATA_FILES = ("*.yaml", "*.json", "*.mplstyle")
BOOKKEEPING = ("paths.py", "settings.py", "record/manifest.py", "record/sources.py")


def sha256_file(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_text(*parts: str) -> str:
    """Hex digest of texts, each one closed by a zero byte so that parts can't run into each other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8") + b"\0")
    return digest.hexdigest()


def sha256_json(value: object) -> str:
    """Hex digest of anything that JSON can hold, whatever the order of its keys."""
    return sha256_text(json.dumps(value, sort_keys=True, default=str))


def notebook_source(path: Path) -> list[list]:
    """The cells of a notebook as (type, tags, source): all that decides what it computes, and no output."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    return [[c["cell_type"], sorted(c.get("metadata", {}).get("tags", [])), "".join(c["source"])] for c in cells]


def notebook_fingerprint(path: Path) -> str:
    """Hex digest of a notebook's cells; running it and saving its outputs doesn't change it."""
    return sha256_json(notebook_source(path))


def _resolve(dotted: list[str]) -> Path | None:
    """The file of a module of this library, given its dotted name without the package's own."""
    base = paths.PACKAGE.joinpath(*dotted)
    for candidate in (base.with_suffix(".py") if dotted else None, base / "__init__.py"):
        if candidate and candidate.is_file():
            return candidate
    return None


def imported_modules(tree: ast.AST, file: Path | None) -> set[Path]:
    """Files of this library that a piece of code imports; `file` says where relative imports start from.

    A name of a package that is no module of its own stands for the package's `__init__` file.
    """
    package = list(file.relative_to(paths.PACKAGE).parts[:-1]) if file else []
    found: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            if node.level:
                above = package[: len(package) - (node.level - 1)]
                module = [paths.PACKAGE.name, *above, *module]
            names = [[*module, alias.name] for alias in node.names]
        else:
            continue
        inside = [name[1:] for name in names if name and name[0] == paths.PACKAGE.name]
        for name in inside:
            found.add(next(file for depth in range(len(name), -1, -1) if (file := _resolve(name[:depth]))))
    return found


@cache
def _imports_of(path: Path, stamp: int) -> frozenset[Path]:
    return frozenset(imported_modules(ast.parse(path.read_text(encoding="utf-8")), path))


def module_closure(start: set[Path]) -> set[Path]:
    """The given modules and every module of this library that they import, directly or not."""
    seen: set[Path] = set()
    todo = list(start)
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo.extend(_imports_of(path, path.stat().st_mtime_ns))
    return seen


def files_fingerprint(files: set[Path]) -> str:
    """Hex digest of files of the package by name and content."""
    parts = []
    for path in sorted(files):
        parts += [path.relative_to(paths.PACKAGE).as_posix(), path.read_text(encoding="utf-8")]
    return sha256_text(*parts)


def _with_data(modules: set[Path]) -> set[Path]:
    """Modules and the data files beside them (anatomy, style); profiles are left out: settings are compared as such."""
    folders = {path.parent for path in modules}
    return modules | {path for folder in folders for pattern in DATA_FILES for path in folder.glob(pattern)}


def modules_fingerprint(*dotted: str) -> str:
    """Hex digest of modules (names without the package's own: "phantom.body") and of all that they import.

    The modules that only say where things lie and what was asked for are left out: no number comes from them.
    """
    files = {path for name in dotted if (path := _resolve(name.split(".")))}
    return files_fingerprint(_with_data(module_closure(files) - {paths.PACKAGE / name for name in BOOKKEEPING}))


def stage_modules(notebook: Path) -> set[Path]:
    """Every module of the library behind a notebook, and the data files beside them."""
    start: set[Path] = set()
    for kind, _, source in notebook_source(notebook):
        if kind == "code":
            plain = "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))
            start |= imported_modules(ast.parse(plain), None)
    return _with_data(module_closure(start))


def all_sources() -> str:
    """Hex digest of the whole library and of all notebooks, as written into every manifest."""
    library = files_fingerprint(_with_data(set(paths.PACKAGE.rglob("*.py"))))
    notebooks = [
        part for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")) for part in (path.name, notebook_fingerprint(path))
    ]
    return sha256_text(library, *notebooks)
