"""`ssacl handout`: the notebooks as they are handed out, once without solutions and once solved, and the printed page.

student/    every notebook without its solution cells
solutions/  every notebook with the solutions in the reader's cells; it runs from top to bottom, and stops at a solution that is
            none any more
handout.pdf one page of the method, from teaching/handout.md
"""

import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

from .. import paths
from ..notebook import show
from ..plots.handout import handout
from ..record.manifest import atomic_write
from .links import move_notebook

SOURCE = paths.ROOT / "teaching" / "handout.md"
STUDENT, SOLUTIONS = "student", "solutions"
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n(.*?)\n*```\n\n</details>", re.DOTALL)


def write_handouts(out: Path | None = None) -> list[Path]:
    """Write all of it below `out` (default runs/handout); returns the files.

    Raises:
        ValueError: a notebook's solution has another form, or the page's text is too long.
    """
    out = out or paths.RUNS / "handout"
    written = []
    for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        for edition, cells_of in ((STUDENT, without_solutions), (SOLUTIONS, solved)):
            content = json.loads(path.read_text(encoding="utf-8"))
            content["cells"] = cells_of(content["cells"], path.name)
            folder = out / edition
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(folder / path.name) as handle:
                json.dump(move_notebook(content, path.parent, folder), handle, indent=1, ensure_ascii=False)
                handle.write("\n")
            written.append(folder / path.name)
    with atomic_write(out / "handout.pdf", "wb") as handle:
        handle.write(page())
    return [*written, out / "handout.pdf"]


# ---- notebooks
def without_solutions(cells: list[dict], name: str) -> list[dict]:
    """The cells without those that hold a solution; `name`, the notebook's, as in `solved`."""
    return [cell for cell in cells if not _tagged(cell, "solution")]


def solved(cells: list[dict], name: str) -> list[dict]:
    """The cells with each solution in the reader's cell before it; its check, the last line, must pass.

    Raises:
        ValueError: a solution that is not folded code, or that no exercise stands before; with the notebook's name.
    """
    kept: list[dict] = []
    exercise = None
    for cell in cells:
        if _tagged(cell, "exercise"):
            exercise = cell
        if not _tagged(cell, "solution"):
            kept.append(cell)
            continue
        code = SOLUTION.fullmatch("".join(cell["source"]).strip())
        if code is None or exercise is None:
            raise ValueError(f"{name}, cell {cell['id']}: expected folded Python code behind an exercise")
        exercise["source"] = f"{code[1]}.or_stop()".splitlines(keepends=True)
        exercise = None
    return kept


def _tagged(cell: dict, tag: str) -> bool:
    return tag in cell["metadata"].get("tags", [])


# ---- the page
def page() -> bytes:
    """The printed page as a PDF, the same bytes for the same text."""
    title, sections = read_page(SOURCE.read_text(encoding="utf-8"))
    matrices = {f"attention “{mode}”": show.who_sees_whom(mode) for mode in ("paper", "release")}
    buffer = io.BytesIO()
    metadata = {"CreationDate": datetime(2000, 1, 1, tzinfo=UTC), "Title": title}
    handout(title, sections, matrices).savefig(buffer, format="pdf", metadata=metadata)
    return buffer.getvalue()


def read_page(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Title, and heading and text of each section, of a Markdown page; what stands between the two is for editors.

    Raises:
        ValueError: no title, or no section.
    """
    head, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    if not head.startswith("# ") or not sections:
        raise ValueError(f"{SOURCE.name}: expected a title (# ...) and sections (## ...)")
    pairs = [section.partition("\n") for section in sections]
    return head.splitlines()[0][2:].strip(), [(heading.strip(), body.strip()) for heading, _, body in pairs]
