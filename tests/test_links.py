"""Every relative link of pages, notebooks and their executed copies leads to a file of the repository."""

import json
import subprocess
from pathlib import Path

import pytest

from ssacl_lib import paths
from ssacl_lib.command.links import move_notebook, moved_links, notebook_texts, relative_links

COPIES = sorted(paths.FIGURES.glob("*/notebooks/*.ipynb"))
NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))


def texts(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return notebook_texts(json.loads(text)) if path.suffix == ".ipynb" else [text]


def dead(path: Path) -> list[str]:
    """Targets that lead nowhere, or out of the repository (where `make lab` does not follow)."""
    found = [target for text in texts(path) for target in relative_links(text)]
    places = [(target, (path.parent / target).resolve()) for target in found]
    return [target for target, place in places if not (place.exists() and place.is_relative_to(paths.ROOT.resolve()))]


def pages() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=paths.ROOT, capture_output=True, text=True, check=False)
    return [paths.ROOT / name for name in listed.stdout.splitlines()] or sorted(paths.ROOT.glob("*.md"))


@pytest.mark.parametrize("path", [*pages(), *NOTEBOOKS], ids=lambda path: path.relative_to(paths.ROOT).as_posix())
def test_links_of_pages_and_notebooks(path):
    assert dead(path) == []


@pytest.mark.parametrize("path", COPIES, ids=lambda path: path.relative_to(paths.FIGURES).as_posix())
def test_links_of_executed_copies_work_from_where_they_lie(path):
    assert dead(path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("folder", ["cpu", "smoke", "gpu-release-csv"])
def test_every_notebook_can_be_moved(path, folder):
    """Before and after, a link leads to the same file; a notebook beside it is the copy that lies there."""
    content = json.loads(path.read_text(encoding="utf-8"))
    before = [target for text in notebook_texts(content) for target in relative_links(text)]
    new = paths.FIGURES / folder / "notebooks"
    after = [
        target for text in notebook_texts(move_notebook(content, path.parent, new)) for target in relative_links(text)
    ]
    beside = {other.name for other in NOTEBOOKS}
    for old_target, target in zip(before, after, strict=True):
        assert target in beside or (new / target).resolve() == (path.parent / old_target).resolve()
    assert any(target not in beside for target in after) or folder == "cpu"


def test_what_is_a_link(tmp_path):
    old, new = tmp_path / "notebooks", tmp_path / "figures" / "cpu" / "notebooks"
    for folder in (old, new, tmp_path / "tests"):
        folder.mkdir(parents=True)
    (tmp_path / "tests" / "a.py").touch()
    (old / "02.ipynb").touch()
    text = (
        "[a](../tests/a.py#line) ![b](../tests/a.py) [next](02.ipynb) [web](https://example.org/a.py) [top](#top)\n"
        "`x[0](../tests/a.py)` [gone](../tests/b.py)\n```python\nf[1](../tests/a.py)\n```"
    )
    assert relative_links(text) == ["../tests/a.py", "../tests/a.py", "02.ipynb", "../tests/b.py"]
    moved = moved_links(text, old, new)
    assert relative_links(moved) == ["../../../tests/a.py", "../../../tests/a.py", "02.ipynb", "../../../tests/b.py"]
    assert moved.replace("](../../../tests", "](../tests") == text, "nothing else changes"
    content = {"cells": [{"cell_type": "code", "outputs": [{"data": {"text/markdown": ["[a](../tests/a.py)"]}}]}]}
    assert notebook_texts(move_notebook(content, old, new)) == ["[a](../../../tests/a.py)"]
