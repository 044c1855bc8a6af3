"""A small web edition in a real browser, from a folder: it searches, sorts, says what terms mean, asks nobody, fits a phone.

Skipped where Sphinx or a browser is not there; the build machine has both.
"""

import base64
import importlib.util
import io
import json
import os

import pytest
from browser import watched_page
from PIL import Image

from ssacl_lib.command import book

GLOSSARY = "# Glossary\n\n- **Leaf**: a node without children.\n- **Patch**: a small square of the film.\n"
PAGE = """# Start

A leaf and a patch, a formula $L_{ir} = \\sum_n h_n$ and [the maps](notebooks/01_maps.ipynb). Unmistakably.

![a red square](figures/cpu/fig.png)

| method | score [95 % interval] | a column whose heading is long | another column |
| --- | --- | --- | --- |
| two | 10.5 [9.0, 12.0] | a_word_that_can_not_be_broken_anywhere_at_all | x |
| one | 9.25 [9.0, 9.5] | | y |
| low | -3 | a | z |

```
a line of code that is far too long for the width of a phone, which must not become wider than it is, whatever stands in it
```
"""

TABLE = f"Scores of all. More.\n\n| a | b |\n| --- | --- |\n| `x` | 1 |\n| {'wide ' * 99} | 2 |\n"


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (900, 300), "red").save(buffer, format="PNG")
    return buffer.getvalue()


def notebook(number: int) -> str:
    shown = {"image/png": base64.b64encode(picture()).decode(), "text/plain": "<Image>"}
    told = {"image/png": {"alt": "a red film", "width": 876}}
    outputs = [
        {"output_type": "display_data", "data": shown, "metadata": told},
        {"output_type": "execute_result", "execution_count": 1, "metadata": {},
         "data": {"text/plain": "VBox(children=(Dropdown(),))"}},
        {"output_type": "display_data", "metadata": {}, "data": {"text/markdown": "**Figure.** A leaf, $q_p$."}},
    ]  # fmt: skip
    links = f"[The other](0{3 - number}_maps.ipynb), [start](../../../README.md), [source](../../../library/a.py#L2)"
    code = {
        "cell_type": "code",
        "id": "draw",
        "metadata": {},
        "source": "draw()",
        "execution_count": 1,
        "outputs": outputs,
    }
    cells = [{"cell_type": "markdown", "id": "title", "metadata": {}, "source": f"# Maps {number}\n\n{links}"}, code]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python", "language": "python"}}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    """The web edition of a small repository, with a stand-in for the model in the browser."""
    if missing := [name for name in book.NEEDED if importlib.util.find_spec(name) is None]:
        if os.environ.get("CI"):
            pytest.fail(f"the web edition needs {', '.join(missing)}; .ci/run installs constraints-book.txt")
        pytest.skip(f"no {missing[0]} here: no web edition is built (make book installs it)")
    root = tmp_path_factory.mktemp("repository")
    files = {
        "README.md": PAGE, "teaching/glossary.md": GLOSSARY, "library/a.py": "def a():\n    return 1\n",
        "figures/cpu/tables/scores.md": TABLE,
        "figures/cpu/notebooks/01_maps.ipynb": notebook(1), "figures/cpu/notebooks/02_maps.ipynb": notebook(2),
        "notebooks/01_maps.ipynb": "", "model/index.html": "<title>model</title><p>it answers</p>",
    }  # fmt: skip
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "figures/cpu/fig.png").write_bytes(picture())
    return book.write_book(root / "runs" / "book", root / "model", root)


@pytest.fixture
def opened(edition, browser):
    with watched_page(browser) as page:
        page.goto(edition.as_uri())
        yield page


def column(page, number: int) -> list[str]:
    return page.locator(f"article tbody tr td:nth-child({number})").all_inner_texts()


def test_tables_sort_and_terms_speak_by_keyboard(opened):
    heading = opened.locator("th", has_text="score")
    heading.locator("button").focus()
    opened.keyboard.press("Enter")
    assert column(opened, 1) == ["low", "one", "two"] and heading.get_attribute("aria-sort") == "ascending"
    opened.keyboard.press("Enter")
    assert column(opened, 1) == ["two", "one", "low"]
    opened.locator("th button", has_text="long").click()
    assert column(opened, 3)[-1] == ""  # what is empty stays last
    opened.locator("a.term", has_text="leaf").focus()
    assert opened.inner_text("#says") == "a node without children."
    opened.keyboard.press("Escape")
    assert opened.is_hidden("#says")
    opened.locator("a.term", has_text="patch").hover()
    assert opened.inner_text("#says") == "a small square of the film."


def test_a_key_leads_to_the_search_and_the_search_to_the_page(opened):
    opened.keyboard.press("/")
    assert opened.evaluate("document.activeElement.name") == "q"
    opened.keyboard.type("unmistakably")
    opened.keyboard.press("Enter")
    opened.locator(".search a", has_text="Start").first.click()
    opened.wait_for_url("**/index.html*")


def test_formulas_pictures_and_links_work_from_the_folder(opened):
    opened.wait_for_selector("article mjx-container svg")
    assert opened.locator("img[alt='a red square']").evaluate("one => one.decode().then(() => one.naturalWidth)") == 900
    opened.get_by_role("link", name="the maps", exact=True).click()
    opened.wait_for_url("**/notebooks/01_maps.html")
    assert opened.locator("img[alt='a red film']").evaluate("one => one.decode().then(() => one.naturalWidth)") == 900
    opened.wait_for_selector("article .cell_output mjx-container svg")
    assert opened.is_visible("p.asleep") and opened.title().startswith("Maps 1")
    opened.get_by_role("link", name="source", exact=True).click()
    opened.wait_for_url("**/source/library/a.py.html#L2")
    assert "return 1" in opened.inner_text("#L2")
    opened.locator(".sidebar-tree a", has_text="The model in the browser").click()
    opened.locator("article a", has_text="Open it").click()
    assert opened.inner_text("p") == "it answers"


@pytest.mark.parametrize(
    "name", ["index.html", "notebooks/01_maps.html", "source/library/a.py.html", "tables/cpu/scores.html"]
)
@pytest.mark.parametrize("width", [360, 1100, 1400])
def test_any_width_and_the_dark_are_served(edition, browser, name, width):
    with watched_page(browser, viewport={"width": width, "height": 700}, color_scheme="dark") as page:
        page.goto((edition.parent / name).as_uri())
        page.wait_for_load_state("load")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in back.removeprefix("rgb(").rstrip(")").split(",")) < 60
