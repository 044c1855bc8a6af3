"""Relative links of Markdown pages and notebooks: find them, and keep them leading where they led when a notebook is copied."""

import os
import re
from pathlib import Path

LINK = re.compile(r"(```.*?```|`[^`\n]*`)|(\]\()([^)\s#]+)", re.DOTALL)
"""Code, in which nothing is a link; else the opening of a link, and its target up to an anchor or a title."""

SCHEME = re.compile(r"[a-z]+:", re.IGNORECASE)


def relative_links(text: str) -> list[str]:
    """Targets of the links and pictures of a Markdown text that lead to files, anchors left out."""
    return [target for _, _, target in LINK.findall(text) if target and not SCHEME.match(target)]


def moved_links(text: str, old: Path, new: Path) -> str:
    """A Markdown text of the folder `old` as it has to stand in the folder `new`.

    A link to a notebook beside it stays: the executed copies lie beside each other, too.
    """

    def move(match: re.Match) -> str:
        code, opening, target = match.groups()
        if code or SCHEME.match(target) or ("/" not in target and target.endswith("ipynb")):
            return match[0]
        return opening + Path(os.path.relpath((old / target).resolve(), new.resolve())).as_posix()

    return LINK.sub(move, text)


def notebook_texts(content: dict) -> list[str]:
    """The Markdown of a notebook: its cells, and what code cells show as Markdown."""
    texts = []
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            texts.append("".join(cell["source"]))
        for output in cell.get("outputs", []):
            texts.append("".join(output.get("data", {}).get("text/markdown", "")))
    return texts


def move_notebook(content: dict, old: Path, new: Path) -> dict:
    """The content of a notebook of the folder `old` with links that work from the folder `new`."""
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = moved_links("".join(cell["source"]), old, new).splitlines(keepends=True)
        for output in cell.get("outputs", []):
            if "text/markdown" in (data := output.get("data", {})):
                data["text/markdown"] = moved_links("".join(data["text/markdown"]), old, new).splitlines(keepends=True)
    return content
