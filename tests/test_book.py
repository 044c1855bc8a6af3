"""The web edition in pieces, on made-up pages: where links lead, what is said of pictures and terms, what the check finds."""

import base64
import json
import re

import pytest

from ssacl_lib import paths
from ssacl_lib.command import book, book_check, book_glossary, book_notebooks, book_pages
from ssacl_lib.command.book_links import Places, relative, rewritten

TITLE = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# Maps\n", "\n", "Words."]}
PIXEL = base64.b64encode(b"a picture").decode()
GLOSSARY = """# Glossary

- **Leaf**: a node without
  `children`, see [here](a.md).
- **Look, looking**: of a prompt.
- **Query**: it looks.
"""


@pytest.fixture
def tree(tmp_path):
    """A small repository."""
    files = {
        "README.md": "# Start\n\n[a notebook](figures/cpu/notebooks/01.ipynb) and ![two maps](figures/cpu/fig.png)\n",
        "teaching/glossary.md": GLOSSARY,
        "teaching/a.md": "linked",
        "figures/cpu/tables/scores.md": "Scores. More of it.\n\n| a | b |\n| --- | --- |\n| `x` | 1 |\n",
        "figures/cpu/tables/empty.md": "Nothing was asked.\n",
        "figures/cpu/tables/scores.csv": "a,b\nx,1\n",
        "figures/cpu/fig.png": "a picture",
        "library/losses.py": "def loss():\n    return '<b>'\n",
        "figures/cpu/notebooks/01.ipynb": json.dumps(
            {"cells": [TITLE], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        ),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def places(tree):
    pages = book_pages.pages_of(tree)
    return Places(tree, {**pages, **book_pages.aliases(pages)})


def test_links_lead_to_pages_listings_files_or_nowhere(places):
    def on(text):
        return rewritten(text, "teaching/README.md", "teaching/index.html", places)

    assert on("[go](../figures/cpu/notebooks/01.ipynb#cells)") == "[go](../notebooks/01.html#cells)"
    assert on("[go](../notebooks/01.ipynb)") == "[go](../notebooks/01.html)"  # the source: its executed copy
    assert on("[it](../README.md) [g](glossary.md)") == "[it](../index.html) [g](glossary.html)"
    assert on("[s](../figures/cpu/tables/scores.csv)") == "[s](../tables/cpu/scores.html)"
    assert on("[line](../library/losses.py#L2)") == "[line](../source/library/losses.py.html#L2)"
    assert on("[fig](../figures/cpu/fig.png)") == "[fig](../files/figures/cpu/fig.png)"
    assert on("[all](../library)") == '<span class="elsewhere" title="library, in the repository">all</span>'
    assert set(places.wanted) == {"library/losses.py"} and set(places.copies) == {"figures/cpu/fig.png"}
    for left in ("`[a](b.md)`", "```\n[a](b.md)\n```", "[out](https://a.org/b.md)", "[here](#place)"):
        assert on(left) == left
    with pytest.raises(ValueError, match=r"teaching/README\.md: links to gone\.md"):
        on("[a](gone.md)")


def test_a_picture_keeps_its_words_and_opens_alone(places):
    shown = rewritten('![two "maps"](figures/cpu/fig.png)', "README.md", "index.html", places)
    assert 'href="files/figures/cpu/fig.png"' in shown and 'alt="two &quot;maps&quot;"' in shown
    with pytest.raises(ValueError, match="no words"):
        rewritten("![](figures/cpu/fig.png)", "README.md", "index.html", places)


def output(**data):
    return {"output_type": "display_data", "metadata": {"image/png": {"alt": "a film", "width": 9}}, "data": data}


def notebook(*outputs, text="[w](../../../README.md)"):
    cells = [{"cell_type": "markdown", "id": "words", "metadata": {}, "source": [text]},
             {"cell_type": "code", "id": "maps", "metadata": {}, "outputs": list(outputs),
              "source": ["# NBVAL_CHECK_OUTPUT\n", "draw()"]}]  # fmt: skip
    return {"cells": cells, "metadata": {"widgets": {"state": 1}}}


def page_of(content, places, out):
    return book_notebooks.notebook_page(content, "figures/cpu/notebooks/01.ipynb", "notebooks/01.html", places, out)


def test_a_notebook_loses_its_weight_and_its_widgets(places, tmp_path):
    widget = output(**{"text/plain": ["Panel(children=(Dropdown(), …"]})
    viewed = output(**{"text/plain": "x", "application/vnd.jupyter.widget-view+json": {"model_id": "1"}})
    said = output(**{"text/markdown": ["[n](../../../README.md)"], "text/plain": "<Markdown>"})
    given = notebook(output(**{"image/png": PIXEL, "text/plain": "<Image>"}), widget, viewed, said)
    made = page_of(given, places, tmp_path / "extra")
    first, *sleeping, words = [one["data"] for one in made["cells"][1]["outputs"]]
    assert (tmp_path / "extra/files/notebooks/01/maps-0.png").read_bytes() == b"a picture"
    assert 'src="../files/notebooks/01/maps-0.png" alt="a film" width="9"' in first["text/html"]
    assert [one["text/html"] for one in sleeping] == [book_notebooks.ASLEEP] * 2
    assert words == {"text/markdown": "[n](../index.html)"} and made["cells"][0]["source"] == "[w](../index.html)"
    assert made["cells"][1]["source"] == "draw()"
    assert "widgets" not in made["metadata"] and PIXEL not in str(made)


def test_a_notebook_that_failed_or_shows_a_picture_without_words_is_refused(places, tmp_path):
    silent = output(**{"image/png": PIXEL})
    silent["metadata"] = {}
    with pytest.raises(ValueError, match=r"cell maps: the picture has no alternative text"):
        page_of(notebook(silent), places, tmp_path)
    with pytest.raises(ValueError, match=r"cell maps: it failed"):
        page_of(notebook({"output_type": "error", "ename": "E"}), places, tmp_path)


def test_terms_say_what_the_glossary_says():
    terms = book_glossary.entries(GLOSSARY)
    assert terms["Leaf"] == "a node without children, see here." and terms["look".title()] == terms["looking"]
    page = (
        "<body><p>leaf</p><article role='main'><h2>Leaf</h2><p>A leaf &amp; its leaf, leaflet, a finding; look.</p>"
        "<pre>leaf</pre><a href='x'>leaf</a><img alt='leaf'><p>one <b>QUERY</b></p>"
        "<h2>next</h2><p>two leaves</p></article><p>leaf</p></body>"
    )
    made = book_glossary.marked(page, terms, "g.html")
    links = re.findall(r'<a class="term" href="g.html#(term-\w+)" data-says="([^"]*)">(\w+)</a>', made)
    assert [(place, word) for place, _, word in links] == [
        ("term-leaf", "leaf"),
        ("term-query", "QUERY"),
        ("term-leaf", "leaves"),
    ]
    assert links[0][1] == terms["Leaf"]
    assert re.sub(r'<a class="term"[^>]*>(\w+)</a>', r"\1", made) == page  # nothing else is touched
    assert '<span id="term-leaf"></span>**Leaf**' in book_glossary.anchored(GLOSSARY)


def test_every_link_to_the_glossary_has_its_entry():
    text = (paths.ROOT / "teaching" / "glossary.md").read_text(encoding="utf-8")
    places, terms = re.findall(r'id="(term-[\w-]+)"', book_glossary.anchored(text)), book_glossary.entries(text)
    assert len(set(places)) == len(places) == text.count("\n- **") and set(book_glossary.EVERYDAY) <= {
        t.lower() for t in terms
    }
    page = "<article role='main'><p>" + ". ".join(terms) + "</p></article>"
    linked = re.findall(r"#(term-[\w-]+)", book_glossary.marked(page, terms, "g.html"))
    assert set(linked) <= set(places) and len(linked) == len(terms) - len(book_glossary.EVERYDAY | book_glossary.PLURAL)


def test_sources_of_the_edition(tree):
    source, extra = tree / "out" / "source", tree / "out" / "extra"
    (tree / "teaching" / "README.md").write_text(
        "[line](../library/losses.py#L2) [t](../figures/cpu/tables/scores.csv)"
    )
    (tree / "run").mkdir()
    for name in ("index.html", "alone.html"):
        (tree / "run" / name).write_text("it answers")
    pages = book_pages.write_sources(source, extra, tree, tree / "run")
    assert "figures/cpu/tables/empty.md" not in pages
    start = (source / "index.md").read_text()
    assert (
        start.index("01 Maps <notebooks/01>")
        < start.index("teaching/index")
        < start.index("browser")
        < start.index("tables/index")
    )
    table = (source / "tables/cpu/scores.md").read_text()
    assert "<td><code>x</code></td>" in table and "[As CSV](../../files/figures/cpu/tables/scores.csv)" in table
    assert (extra / "files/figures/cpu/tables/scores.csv").read_text() == "a,b\nx,1\n"
    listing = (source / "source/library/losses.py.md").read_text()
    assert '<span id="L2">' in listing and "&lt;b&gt;" in listing and '<span id="L3">' not in listing
    assert "- [scores](cpu/scores.html): Scores." in (source / "tables/index.md").read_text()
    browser = (source / "browser.md").read_text()
    assert "[Open it from this folder](model/alone.html)" in browser and "(model/index.html)" in browser


GOOD = (
    '<html><body><h1 id="top-1">x</h1><a href="b/two.html#p">y</a><a href="https://a.org">z</a>'
    '<img src="i.png" alt="i"></body></html>'
)


@pytest.mark.parametrize(
    ("added", "found"),
    [
        ("", None),
        ('<a href="b/three.html">', "one.html: b/three.html leads nowhere"),
        ('<a href="b/two.html#q">', "one.html: b/two.html#q leads nowhere"),
        ('<a href="#q">', "one.html: #q leads nowhere"),
        ('<img src="gone.png" alt="i">', "one.html: gone.png leads nowhere"),
        ('<img src="i.png" alt=" ">', "one.html: the picture i.png has no alternative text"),
        ('<script src="https://cdn.org/x.js"></script>', "one.html: asks for https://cdn.org/x.js"),
        ('<link rel="stylesheet" href="//cdn.org/x.css">', "one.html: asks for //cdn.org/x.css"),
        ('<img alt="i" src="i.png" srcset="http://cdn.org/a.png 2x">', "one.html: asks for http://cdn.org/a.png"),
        ("<p style=\"background: url('https://cdn.org/b.png')\">", "one.html: asks for https://cdn.org/b.png"),
        ("<style>@import 'https://cdn.org/f.css';</style>", "one.html: asks for https://cdn.org/f.css"),
        ("<p>" + "x" * book_check.HEAVIEST + "</p>", "one.html: 5.0 MB, the most is 5 MB"),
    ],
)
def test_the_check_finds(tmp_path, added, found):
    (tmp_path / "b").mkdir()
    (tmp_path / "i.png").write_bytes(b"")
    (tmp_path / "one.html").write_text(GOOD.replace("</body>", added + "</body>"))
    (tmp_path / "b" / "two.html").write_text(
        '<p id="p">p</p><a href="../one.html?q=1#top">back</a><img src="data:x" alt="d">'
    )
    (tmp_path / "b" / "s.css").write_text("a { background: url(../i.png) }")
    assert book_check.faults(tmp_path) == ([found] if found else [])


def test_the_check_reads_styles_and_lets_the_model_be_heavy(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "index.html").write_text("x" * book_check.HEAVIEST)
    (tmp_path / "s.css").write_text("@font-face { src: url(https://cdn.org/f.woff2) }")
    assert book_check.faults(tmp_path, frozenset({"model"})) == ["s.css: asks for https://cdn.org/f.woff2"]
    assert len(book_check.faults(tmp_path)) == 2
    assert book_check.faults(tmp_path / "none")[0].endswith("no page")


def test_what_write_book_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr(book, "NEEDED", ("json", "no_such_package"))
    with pytest.raises(RuntimeError, match=r"no_such_package: pip install --no-deps -r constraints-book\.txt"):
        book.write_book(tmp_path / "out")
    monkeypatch.setattr(book, "NEEDED", ())
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="no web edition"):
        book.write_book(tmp_path)
    with pytest.raises(ValueError, match=r"has no index\.html"):
        book.write_book(tmp_path / "out", model=tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_relative():
    assert relative("teaching/glossary.html", "notebooks/01.html") == "../teaching/glossary.html"
