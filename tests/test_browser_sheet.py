"""An evidence sheet in a real browser: keyboard and pointer are answered, nobody is asked for anything, no other script runs."""

import numpy as np
import pytest
from browser import watched_page
from PIL import Image

from ssacl_lib.command import sheet
from ssacl_lib.model.reporting import Report
from ssacl_lib.observations import FINDINGS

TEXT = "Small right effusion. The heart is enlarged. <script>document.title = 'taken'</script>"


@pytest.fixture
def opened(browser, tmp_path, tiny_checkpoint, monkeypatch):
    """The first of two pages."""

    def reports(model, pixels, evidence):
        found = ("Pleural Effusion", "Cardiomegaly")
        return [Report(TEXT, dict.fromkeys(FINDINGS, 0.4), found, ("lungs",)) for _ in pixels]

    monkeypatch.setattr(sheet, "reports_of_pixels", reports)
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 60), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"film{number}.png")
    sheet.write_sheets([tmp_path], tiny_checkpoint, tmp_path / "out", progress=False)
    (first,) = (tmp_path / "out").glob("*film0*.html")
    with watched_page(browser) as page:
        page.goto(first.as_uri())
        yield page


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
