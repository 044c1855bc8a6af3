"""Which source files stand behind a result: the one answer to "is this old?".

Every cache (stages of the rebuild, results of an evaluation, trained models, prepared studies, organ maps) asks here what
stands behind it: `code_behind(__name__)` of the module that computes it. That is a fingerprint of the module, of all that
it imports (directly or through others) and of the data files beside them, so nobody keeps a list by hand.

Code is compared by what it does: comments, docstrings and the breaking of lines don't count, and don't make a result old.
A package's `__init__` counts where a name is imported from the package itself, not on the way to one of its modules.
"""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

from .. import paths

DATA_FILES = ("*.yaml", "*.json", "*.mplstyle")

BOOKKEEPING = {
    "paths.py": "says where things lie; whatever lies there is compared by its content",
    "settings.py": "reads the settings; their values stand in every key",
    "record/__init__.py": "holds no code",
    "record/claims.py": "says which process works on a folder",
    "record/manifest.py": "writes down what came out",
    "record/sources.py": "makes these fingerprints",
    "record/kept.py": "decides whether a folder is made again",
}
"""Files that no number comes from -> why. They are left out of every fingerprint: else each change to them, or to a
profile's comment, would train every model again."""


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


def folder_fingerprint(folder: Path) -> str:
    """Hex digest of the weights and tables in a folder, by name and content; "absent" where there is none."""
    files = sorted(path for pattern in ("*.safetensors", "*.csv") for path in folder.rglob(pattern))
    if not files:
        return "absent"
    return sha256_json([[path.relative_to(folder).as_posix(), sha256_file(path)] for path in files])


# ---- notebooks
def notebook_source(path: Path) -> list[list]:
    """The cells of a notebook as (type, tags, source): all that decides what it computes, and no output."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    return [[c["cell_type"], sorted(c.get("metadata", {}).get("tags", [])), "".join(c["source"])] for c in cells]


def notebook_fingerprint(path: Path) -> str:
    """Hex digest of a notebook's cells; running it and saving its outputs doesn't change it."""
    return sha256_json(notebook_source(path))


# ---- modules and what they import
def _resolve(dotted: list[str]) -> Path | None:
    """The file of a module of this library, given its dotted name without the package's own."""
    base = paths.PACKAGE.joinpath(*dotted)
    for candidate in (base.with_suffix(".py") if dotted else None, base / "__init__.py"):
        if candidate and candidate.is_file():
            return candidate
    return None


def module_file(name: str) -> Path:
    """The file of a module: its `__name__`, with or without the package's own name before it ("phantom.body").

    Raises:
        ValueError: this library has no such module. (A name that were passed over would make its results immortal.)
    """
    file = _resolve(name.removeprefix(f"{paths.PACKAGE.name}.").split("."))
    if file is None:
        raise ValueError(f"no module {name!r} in {paths.PACKAGE.name}: what stands behind its results is not known")
    return file


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


def files_behind(start: set[Path]) -> set[Path]:
    """All files whose content decides what the given modules compute: modules, and the data beside them; no bookkeeping.

    Profiles are not among them: settings are compared by their values.
    """
    modules = module_closure(start) - {paths.PACKAGE / name for name in BOOKKEEPING}
    folders = {path.parent for path in modules}
    return modules | {path for folder in folders for pattern in DATA_FILES for path in folder.glob(pattern)}


# ---- fingerprints
def _is_text(node: object) -> bool:
    """A docstring, or the text below a constant: a statement that is nothing but a string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _shape(node: object) -> object:
    """A syntax tree as nested lists, without texts and places.

    Empty fields are left out, so that a version of Python that knows more fields gives the same lists.
    """
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
        return [type(node).__name__, *([name, _shape(value)] for name, value in fields)]
    if isinstance(node, list):
        return [_shape(item) for item in node if not _is_text(item)]
    return repr(node)


def code_text(source: str) -> str:
    """Python source without what changes no result: comments, docstrings, the breaking of lines.

    >>> code_text("x = 1  # one") == code_text("x = (\\n    1\\n)")
    True
    """
    return json.dumps(_shape(ast.parse(source)))


@cache
def _content(path: Path, stamp: int) -> str:
    text = path.read_text(encoding="utf-8")
    return sha256_text(code_text(text) if path.suffix == ".py" else text)


def files_fingerprint(files: set[Path]) -> str:
    """Hex digest of files of the package by name and content (of modules: by their code, see `code_text`)."""
    parts = []
    for path in sorted(files):
        parts += [path.relative_to(paths.PACKAGE).as_posix(), _content(path, path.stat().st_mtime_ns)]
    return sha256_text(*parts)


def code_behind(*modules: str) -> str:
    """Fingerprint of all code and data behind what these modules compute; a caller passes its own `__name__`.

    Raises:
        ValueError: an unknown module, or no module at all.
    """
    if not modules:
        raise ValueError("code_behind needs the name of a module, such as __name__")
    return files_fingerprint(files_behind({module_file(name) for name in modules}))


def notebook_modules(notebook: Path) -> set[Path]:
    """Every file of the library behind a notebook."""
    start: set[Path] = set()
    for kind, _, source in notebook_source(notebook):
        if kind == "code":
            plain = "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))
            start |= imported_modules(ast.parse(plain), None)
    return files_behind(start)


def all_sources() -> str:
    """Hex digest of the whole library and of all notebooks, as written into every manifest."""
    library = files_fingerprint(files_behind(set(paths.PACKAGE.rglob("*.py"))))
    notebooks = [
        part for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")) for part in (path.name, notebook_fingerprint(path))
    ]
    return sha256_text(library, *notebooks)
