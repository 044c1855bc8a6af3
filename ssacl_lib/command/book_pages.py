"""Which pages the web edition has, and their sources as Sphinx reads them: Markdown and notebooks with links that lead on."""

import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

from .. import paths
from .book_glossary import anchored
from .book_links import FILES, Places, relative, rewritten
from .book_notebooks import notebook_page

GLOSSARY = "teaching/glossary.md"

MODEL = "model"
"""Folder of the model in the browser, where one is handed over."""

CHAPTERS = {
    "Notebooks": ("notebooks/README.md", "figures/cpu/notebooks/*.ipynb"),
    "Teaching": ("teaching/README.md", GLOSSARY, "teaching/handout.md", "teaching/questions.md", "teaching/answers.md",
                 "teaching/projects.md"),
    "Model and data": ("MODEL_CARD.md", "data/PHANTOM.md", "data/README.md", "data/checkpoints/release/README.md"),
    "Tables": ("figures/cpu/tables/*.md", "figures/*/tables/*.md"),
    "About": ("CONTRIBUTING.md", "CHANGELOG.md", "REFERENCES.md", "benchmarks/many_devices.md"),
}  # fmt: skip
"""Headings of the table of contents, and the files below each; the README stands before them."""

TRIED = """# The model in the browser

The shipped model runs on this page, without Python and without a network: drop a film or take a phantom, ask for findings and
phrases, and hold each map against its control. Not for clinical use.

"""


def pages_of(root: Path) -> dict[str, str]:
    """Path in the repository -> path of its page in the edition, in reading order."""
    found = {"README.md": "index.html"}
    for patterns in CHAPTERS.values():
        for pattern in patterns:
            found.update({name: _place(name) for name in _names(root, pattern)})
    return found


def aliases(pages: Mapping[str, str]) -> dict[str, str]:
    """What else leads to a page: a notebook's source to its executed copy, a folder to its list."""
    found = {name.removeprefix("figures/cpu/"): page for name, page in pages.items() if name.endswith(".ipynb")}
    found.update({str(Path(name).parent): "tables/index.html" for name in pages if "/tables/" in name})
    return {**found, "figures/cpu/notebooks": "notebooks/index.html", "notebooks": "notebooks/index.html"}


def _names(root: Path, pattern: str) -> list[str]:
    """Files of the repository; an empty table has only its words, and no page."""
    names = [path.relative_to(root).as_posix() for path in sorted(root.glob(pattern))]
    return [name for name in names if "/tables/" not in name or "\n| --- " in (root / name).read_text(encoding="utf-8")]


def _place(name: str) -> str:
    name = re.sub(r"^figures/cpu/notebooks/", "notebooks/", name)
    name = re.sub(r"^figures/([^/]+)/tables/", r"tables/\1/", name)
    return re.sub(r"README$", "index", re.sub(r"\.(md|ipynb)$", "", name)) + ".html"


def write_sources(source: Path, extra: Path, root: Path = paths.ROOT, model: Path | None = None) -> dict[str, str]:
    """Write what Sphinx reads to `source`, and what is copied as it is to `extra`; returns `pages_of`.

    model: the folder of the model in the browser; it becomes the folder MODEL of the edition.

    Raises:
        ValueError: as `rewritten` and `notebook_page`.
    """
    pages = pages_of(root)
    places = Places(root, {**pages, **{name: page for name, page in aliases(pages).items() if (root / name).exists()}})
    for name, page in pages.items():
        if name.endswith(".ipynb"):
            content = json.loads((root / name).read_text(encoding="utf-8"))
            text = json.dumps(notebook_page(content, name, page, places, extra))
        else:
            text = rewritten((root / name).read_text(encoding="utf-8"), name, page, places)
            if "/tables/" in name:
                text = table_page(text, name, page, places)
        if name == GLOSSARY:
            text = anchored(text)
        if name == "README.md":
            text += contents(pages, root, model is not None)
        _write(source / Path(page).with_suffix(Path(name).suffix), text)
    _write(source / "tables" / "index.md", tables_page(root, pages))
    if model is not None:
        _write(source / "browser.md", browser_page(model))
    for name, page in places.wanted.items():
        _write(source / page.replace(".html", ".md"), listing((root / name).read_text(encoding="utf-8"), name))
    for name, place in places.copies.items():
        (extra / place).parent.mkdir(parents=True, exist_ok=True)
        (extra / place).write_bytes((root / name).read_bytes())
    return pages


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def contents(pages: Mapping[str, str], root: Path, model: bool) -> str:
    """The table of contents as Sphinx reads it."""
    parts = []
    for chapter, patterns in CHAPTERS.items():
        lines = [
            _line(name, page, root)
            for name, page in pages.items()
            if any(_matches(name, pattern) for pattern in patterns)
        ]
        if chapter == "Tables":
            lines = ["All tables <tables/index>"]
        if chapter == "Model and data" and model:
            lines.insert(0, "browser")
        if lines:
            parts.append(_toctree(lines, chapter))
    return "".join(parts)


def _line(name: str, page: str, root: Path) -> str:
    """A line of the contents; a notebook has its number, by which the pages call it."""
    document = page.removesuffix(".html")
    if not name.endswith(".ipynb"):
        return document
    cells = json.loads((root / name).read_text(encoding="utf-8"))["cells"]
    title = "".join(cells[0]["source"]).partition("\n")[0].lstrip("# ") if cells else Path(name).stem
    return f"{Path(name).stem[:2]} {title} <{document}>"


def _matches(name: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]*"), name) is not None


def _toctree(names: list[str], caption: str = "") -> str:
    head = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n:hidden:\n{head}\n" + "\n".join(names) + "\n```\n"


# ---- pages that no file of the repository is
def browser_page(model: Path) -> str:
    """The page that leads to the model in the browser: what stands alone opens from a folder, index.html asks for its files."""
    alone = sorted(path.name for path in model.glob("*.html") if path.name != "index.html")
    links = [f"- [Open it from this folder]({MODEL}/{name}) (one file)" for name in alone]
    served = "Open it where it is served" if alone else "Open it"
    return TRIED + "\n".join([*links, f"- [{served}]({MODEL}/index.html), as by `python -m http.server`"]) + "\n"


def tables_page(root: Path, pages: Mapping[str, str]) -> str:
    """The list of all tables with the first sentence of each caption."""
    tables = {name: page for name, page in pages.items() if "/tables/" in name}
    text = ["# Tables\n\nEvery number of figures and notebooks, with its interval. Click a heading to sort."]
    for profile in dict.fromkeys(name.split("/")[1] for name in tables):
        text.append(f"\n## Profile `{profile}`\n")
        for name, page in tables.items():
            if name.split("/")[1] == profile:
                caption = (root / name).read_text(encoding="utf-8").split("\n", 1)[0]
                text.append(
                    f"- [{Path(name).stem}]({relative(page, 'tables/index.html')}): {caption.split('. ')[0].rstrip('.')}."
                )
    return (
        "\n".join(text)
        + "\n"
        + _toctree([relative(page, "tables/index.html").removesuffix(".html") for page in tables.values()])
    )


def table_page(text: str, name: str, page: str, places: Places) -> str:
    """The page of a table: caption, the way to the CSV, rows. These are set here: Sphinx is slow with thousands of them."""
    from markdown_it import MarkdownIt

    caption, rows = text.strip().split("\n", 1) if not text.startswith("|") else ("", text.strip())
    table = MarkdownIt("commonmark", {"html": True}).enable("table").render(rows.strip())
    sheet = name.removesuffix(".md") + ".csv"
    place = places.copies.setdefault(sheet, f"{FILES}/{sheet}") if (places.root / sheet).is_file() else None
    link = f"[As CSV]({relative(place, page)})\n\n" if place else ""
    title = Path(name).stem.replace("_", " ").capitalize()
    framed = _raw(f'<div class="table-wrapper whole">{table}</div>')
    return f"# {title}\n\n{caption}\n\n{link}{framed}"


def listing(code: str, name: str) -> str:
    """The page of a source file: lines with numbers and anchors, as links to the repository have them (#L12)."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    lines = highlight(code, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).splitlines()
    numbered = "\n".join(
        f'<span id="L{n}"><a class="linenos" href="#L{n}">{n}</a>{line}</span>' for n, line in enumerate(lines, 1)
    )
    framed = _raw(f'<div class="highlight listing"><pre>{numbered}</pre></div>')
    return f"---\norphan: true\n---\n\n# `{escape(name)}`\n\n{framed}"


def _raw(html: str) -> str:
    return f"``````{{raw}} html\n{html}\n``````\n"
