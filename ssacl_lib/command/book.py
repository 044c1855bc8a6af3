"""`ssacl book`: the web edition, a folder of pages that needs neither Python nor a network to be read.

Sphinx sets the pages (`book_pages`), terms of the glossary are marked in them (`book_glossary`), and the whole is looked through
(`book_check`) before it takes the place of the one before.
"""

import hashlib
import importlib.util
import io
import shutil
import tempfile
from pathlib import Path

from .. import paths
from .book_check import faults
from .book_glossary import entries, marked
from .book_links import relative
from .book_pages import GLOSSARY, MODEL, write_sources

NEEDED = ("sphinx", "myst_nb", "furo", "sphinx-mathjax-offline")
"""Packages of the extra `book`, by their folders."""

MATHJAX = "d4295dc33744836935c1399feece5159577b34c5c8ffb9f1c6324cd82e03a882"
"""SHA-256 of tex-svg.js of MathJax 3.2.2, the same file in its npm package and in sphinx-mathjax-offline."""

POLICY = "default-src 'self' file: data: 'unsafe-inline'; connect-src 'none'; object-src 'none'; base-uri 'none'"
"""What a page may load: its own folder and nothing else."""

MARK = "_static/book.css"
"""A folder with this file is an edition, and may be replaced."""

SETTINGS = {
    "project": "SS-ACL, rebuilt",
    "extensions": ["myst_nb"],
    "root_doc": "index",
    "language": "en",
    "smartquotes": False,
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},  # else every page asks two servers for scripts of widgets that are asleep
    "nb_render_markdown_format": "myst",
    "myst_enable_extensions": ["dollarmath"],
    "myst_all_links_external": True,  # links are ready; what they lead to is checked at the end
    "mathjax_path": "mathjax/tex-svg.js",
    "html_theme": "furo",
    "html_title": "SS-ACL, rebuilt",
    "html_css_files": ["book.css"],
    "html_js_files": ["book.js"],
    "html_use_index": False,
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "html_show_copyright": False,
    "html_show_search_summary": False,  # it fetches pages, which no browser allows from a folder
    "html_theme_options": {"light_css_variables": {"font-stack": "system-ui, sans-serif"}},
    "suppress_warnings": ["myst.header", "mystnb.unknown_mime_type"],
}
"""Of Sphinx, in place of a conf.py."""


def write_book(out: Path | None = None, model: Path | None = None, root: Path = paths.ROOT) -> Path:
    """Build the web edition of the repository below `root` in `out` (default runs/book); returns its first page.

    model: a folder with an index.html, the model in the browser; it becomes a page of the edition.

    Raises:
        RuntimeError: packages are missing, Sphinx complains, or the result has a broken link or asks for something outside.
        ValueError: `out` holds something else, `model` has no page, or a source is at fault (`write_sources`).
    """
    out = (out or paths.RUNS / "book").resolve()
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise RuntimeError(f"the web edition needs {', '.join(missing)}: pip install --no-deps -r constraints-book.txt")
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise ValueError(f"{out}: holds something that is no web edition; name another folder, or an empty one")
    if model is not None and not (model / "index.html").is_file():
        raise ValueError(f"{model}: has no index.html; expected the folder of the model in the browser")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        work = Path(folder)
        pages = write_sources(work / "source", work / "extra", root, model)
        _write_static(work / "static")
        _run_sphinx(work)
        built = work / "html"
        _mark_terms(built, root, pages)
        if model is not None:
            shutil.copytree(model, built / MODEL)
        if found := faults(built, frozenset({MODEL})):
            more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
            raise RuntimeError(f"the web edition is not whole: {'; '.join(found[:5])}{more}")
        if out.exists():
            shutil.rmtree(out)
        built.rename(out)
    return out / "index.html"


def _write_static(folder: Path) -> None:
    """Our style and script, and MathJax as the package has it, if it is the file that we know."""
    (folder / "mathjax").mkdir(parents=True)
    for name in ("book.css", "book.js"):
        shutil.copy(Path(__file__).parent / name, folder / name)
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations[0])
    script = (package / "static" / "mathjax" / "tex-svg.js").read_bytes()
    if hashlib.sha256(script).hexdigest() != MATHJAX:
        raise RuntimeError("sphinx-mathjax-offline holds another MathJax than expected: install constraints-book.txt")
    (folder / "mathjax" / "tex-svg.js").write_bytes(script)


def _run_sphinx(work: Path) -> None:
    """Pages from sources; a warning is a mistake.

    Raises:
        RuntimeError: what Sphinx said.
    """
    from sphinx.application import Sphinx
    from sphinx.util.console import nocolor

    nocolor()
    said = io.StringIO()
    settings = {**SETTINGS, "html_static_path": [str(work / "static")], "html_extra_path": [str(work / "extra")]}
    app = Sphinx(
        str(work / "source"), None, str(work / "html"), str(work / "trees"), "html", settings, status=None, warning=said
    )
    app.connect("html-page-context", _add_policy)
    app.build(force_all=True)
    if said.getvalue().strip():
        raise RuntimeError(f"Sphinx: {said.getvalue().strip()[:2000]}")
    for name in (".buildinfo", "objects.inv"):
        (work / "html" / name).unlink(missing_ok=True)


def _add_policy(app, name: str, template: str, context: dict, tree) -> None:
    """Sphinx's hook: the browser itself forbids a page to ask for anything outside."""
    context["metatags"] = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">{context.get("metatags", "")}'


def _mark_terms(built: Path, root: Path, pages: dict[str, str]) -> None:
    """Terms of the glossary, on every page but its own and those of tables and sources."""
    terms = entries((root / GLOSSARY).read_text(encoding="utf-8"))
    for name, page in pages.items():
        if name != GLOSSARY and "/tables/" not in name:
            path = built / page
            path.write_text(
                marked(path.read_text(encoding="utf-8"), terms, relative(pages[GLOSSARY], page)), encoding="utf-8"
            )
