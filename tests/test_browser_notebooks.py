"""The notebooks in JupyterLab, in a real browser: each opens, the explorer answers, links lead somewhere, no outside request."""

import json

import pytest
from browser import watched_page
from lab import PATIENCE, READY, close, lab, open_notebook, run_all

from ssacl_lib import paths
from ssacl_lib.command.links import notebook_texts, relative_links

NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
FILM, MAPS, NODE = "Chest film", "Two rows of heat maps", "The anatomy tree and maps"
"""How the alternative texts of the explorer's pictures begin."""

SEEN = """beginning => {
    const image = document.querySelector(`.jp-Notebook .widget-html img[alt^="${beginning}"]`)
    const said = image?.closest('.widget-vbox').querySelector('[role=status]')?.textContent
    const told = said?.split(/ (?:Note|Words that the model does not know):/)[0]
    const [, node, verdict] = told?.match(/^(“[^”]*”)?(.+)$/s) ?? []
    const fits = verdict && image.alt.includes(node ?? '') && image.alt.endsWith(verdict)
    return fits ? {src: image.src, alt: image.alt, said} : null
}"""
"""A panel's picture with its alternative text and its verdict; null while these do not belong together."""


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """One Lab for all tests; in each of them nothing may be complained of."""
    with lab(tmp_path_factory.mktemp("lab")) as (home, token), watched_page(browser, home, ("error",)) as page:
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(f"{home}lab?token={token}&reset")
        page.wait_for_function("() => window.jupyterapp?.shell?.isVisible")
        yield page


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_opens(page, path):
    open_notebook(page, f"notebooks/{path.name}")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert page.evaluate("jupyterapp.shell.currentWidget.content.widgets.length") == len(cells)
    title = page.locator(".jp-NotebookPanel:visible h1").first.inner_text()
    assert title.rstrip("¶") == cells[0]["source"][0].removeprefix("# ").strip()
    close(page)
    assert page.said == []


def seen(page, beginning: str, before: dict | None = None) -> dict:
    """A panel's picture and verdict, as soon as they are others than before."""
    changed = f"([beginning, old]) => {{ const now = ({SEEN})(beginning); return now?.src !== old && now }}"
    return page.wait_for_function(changed, arg=[beginning, before and before["src"]]).json_value()


def test_the_explorer_answers(page):
    open_notebook(page, "notebooks/00_explorer.ipynb")
    assert run_all(page) == []
    first, maps, node = (seen(page, beginning) for beginning in (FILM, MAPS, NODE))
    typed = page.locator(".widget-text", has_text="phrase").first.locator("input")
    patient = page.locator(".widget-slider", has=page.get_by_text("patient", exact=True)).first.locator(".noUi-handle")
    usual = typed.input_value()

    patient.press("ArrowRight")  # another patient: his film, and the panels that follow it
    assert seen(page, FILM, first)["alt"] != first["alt"]
    others, lungs = seen(page, MAPS, maps), seen(page, NODE, node)
    assert f"“{usual}”" in others["alt"] and others["said"] != maps["said"]

    typed.fill("left pneumothorax")
    typed.press("Enter")
    asked = seen(page, MAPS, others)
    assert "“left pneumothorax”" in asked["alt"] and asked["said"] != others["said"]

    page.get_by_title("show left lower lung zone").click()
    assert "“left lower lung zone”" in seen(page, NODE, lungs)["said"]

    patient.press("ArrowLeft")  # and back: what was answered before is answered again
    seen(page, MAPS, asked)
    typed.fill(usual)
    typed.press("Enter")
    page.wait_for_function(f"([beginning, src]) => ({SEEN})(beginning)?.src === src", arg=[MAPS, maps["src"]])
    assert (seen(page, FILM), seen(page, MAPS)) == (first, maps)

    typed.fill("")
    typed.press("Enter")
    page.wait_for_selector("[role=alert]")
    close(page)
    assert page.said == []


def test_the_links_of_a_notebook_open(page):
    path = paths.NOTEBOOKS / "01_anatomy_graph.ipynb"
    links = [link for text in notebook_texts(json.loads(path.read_text())) for link in relative_links(text)]
    wanted = {(path.parent / link.split("#")[0]).resolve().relative_to(paths.ROOT).as_posix() for link in links}
    open_notebook(page, f"notebooks/{path.name}")
    anchors = page.locator(".jp-NotebookPanel:visible a[href*='/files/']")
    told = [one.evaluate("one => one.pathname.replace('/files/', '')") for one in anchors.all()]
    assert set(told) == wanted and len(wanted) >= 4
    for target in sorted(wanted):
        anchors.nth(told.index(target)).click()
        page.wait_for_function("path => jupyterapp.shell.currentWidget?.context?.path === path", arg=target)
        if target.endswith(".ipynb"):  # a notebook that closes before its kernel is there complains
            page.wait_for_function(READY, arg=target)
        page.wait_for_function("() => jupyterapp.shell.currentWidget.context.isReady")
        close(page)
        page.wait_for_function(
            "path => jupyterapp.shell.currentWidget?.context?.path === path", arg=f"notebooks/{path.name}"
        )
    close(page)
    assert page.said == []
