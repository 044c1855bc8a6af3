"""An evidence sheet in a real browser: keyboard and pointer are answered, nobody is asked for anything, no other script runs.

Skipped where playwright or a chromium is not there; the build machine has both.
"""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from ssacl_lib.command import sheet
from ssacl_lib.model.reporting import Report
from ssacl_lib.observations import FINDINGS

TEXT = "Small right effusion. The heart is enlarged. <script>document.title = 'taken'</script>"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("the browser tests need playwright and Debian's chromium; .ci/run installs them")
        pytest.skip("no playwright or no chromium here: the evidence sheet is not opened in a browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture
def opened(browser, tmp_path, tiny_checkpoint, monkeypatch):
    """The first of two pages, with what it asked for and what it complained of."""

    def reports(model, pixels, evidence):
        found = ("Pleural Effusion", "Cardiomegaly")
        return [Report(TEXT, dict.fromkeys(FINDINGS, 0.4), found, ("lungs",)) for _ in pixels]

    monkeypatch.setattr(sheet, "reports_of_pixels", reports)
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 60), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"film{number}.png")
    sheet.write_sheets([tmp_path], tiny_checkpoint, tmp_path / "out", progress=False)
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.asked, page.said = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    (first,) = (tmp_path / "out").glob("*film0*.html")
    page.goto(first.as_uri())
    yield page
    outside = [url for url in page.asked if not url.startswith(("file:", "data:"))]
    assert (outside, page.said) == ([], [])
    page.close()


def shown(page) -> str:
    """The map that lies over the film, or "nothing"."""
    return page.get_attribute("#shown", "href").removeprefix("#")


def test_the_keyboard_moves_through_sentences_sides_and_kinds(opened):
    assert shown(opened) == "nothing" and "evidence sheet" in opened.title()
    opened.keyboard.press("ArrowDown")
    assert shown(opened) == "s0-written" and "Small right effusion." in opened.inner_text("#says")
    opened.keyboard.press("s")
    assert shown(opened) == "s0-written-other" and "Small left effusion." in opened.inner_text("#says")
    opened.keyboard.press("m")
    assert shown(opened) == "s0-masked-other"
    opened.keyboard.press("ArrowDown")  # the heart names no side: its own map, and a word on it
    assert shown(opened) == "s1-masked" and "No other side here" in opened.inner_text("#says")
    opened.keyboard.press("Escape")
    assert shown(opened) == "nothing" and opened.get_attribute("#swap", "aria-pressed") == "false"
    opened.keyboard.press("n")
    opened.wait_for_url("**film1*")
    opened.keyboard.press("p")
    opened.wait_for_url("**film0*")


def test_the_pointer_lights_up_regions_and_sentences(opened):
    opened.hover("button[data-ask=s1]")
    assert shown(opened) == "s1-written"
    opened.mouse.move(1, 1)
    assert shown(opened) == "nothing"
    effusion = f"f{FINDINGS.index('Pleural Effusion')}"
    opened.click(f"button[data-ask={effusion}]")
    assert shown(opened) == f"{effusion}-masked"
    assert opened.locator("button.near").evaluate_all("all => all.map(one => one.dataset.ask)") == ["s0"]
    opened.click("button[data-kind=masked]")
    for cell in opened.locator(".cell[data-masked]").all()[:1]:  # from the film back to a sentence
        cell.click()
        assert shown(opened).split("-")[0] in cell.get_attribute("data-masked").split()
    drawn = opened.evaluate("document.querySelector('.look svg').getBoundingClientRect().width")
    assert drawn > 200


def test_it_fits_a_phone_and_paper(opened):
    opened.set_viewport_size({"width": 360, "height": 700})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    opened.emulate_media(media="print")
    assert opened.is_visible(".banner") and opened.is_visible("#maps") and not opened.is_visible(".modes")
