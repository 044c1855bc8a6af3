"""Screenshots for the README, each made by driving the page itself: the explorer, an evidence sheet, the book where it is built.

    python tests/screenshots.py [--out figures/screenshots] [--only sheet]

Needs what the browser tests need: playwright (`pip install -e ".[test]"`) and a chromium (Debian: `apt-get install chromium`).
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

import pytest
from browser import started_browser, watched_page
from lab import lab, open_notebook, run_all
from PIL import Image

from ssacl_lib import paths
from ssacl_lib.command.sheet import write_sheets
from ssacl_lib.datasets.phantom import body_maps
from ssacl_lib.evaluation import subjects
from ssacl_lib.record.manifest import atomic_write
from ssacl_lib.settings import load_settings

COLOURS = 256
LARGEST = 300_000
"""Bytes of a picture."""


def save(page, path: Path) -> None:
    """What the window shows, in few colours.

    Raises ValueError where the picture is larger than it may be.
    """
    picture, packed = Image.open(io.BytesIO(page.screenshot())).convert("RGB"), io.BytesIO()
    picture.quantize(COLOURS).save(packed, "PNG", optimize=True)
    if packed.tell() > LARGEST:
        raise ValueError(f"{path.name} has {packed.tell()} bytes, more than {LARGEST}: show a smaller window")
    with atomic_write(path, "wb") as handle:
        handle.write(packed.getvalue())


def explorer(browser, path: Path, folder: Path) -> None:
    """Notebook 00 in JupyterLab, run, at the phrase and its controls."""
    with (
        lab(folder) as (home, token),
        watched_page(browser, home, ("error",), viewport={"width": 1360, "height": 900}) as page,
    ):
        page.goto(f"{home}lab?token={token}&reset")
        page.wait_for_function("() => window.jupyterapp?.shell?.isVisible")
        open_notebook(page, "notebooks/00_explorer.ipynb")
        if errors := run_all(page):
            raise RuntimeError(f"notebook 00 ends with {errors[0]}")
        page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
        page.locator(".widget-html img[alt^='Two rows of heat maps']").scroll_into_view_if_needed()
        page.wait_for_timeout(1000)  # for what moves
        save(page, path)


def sheet(browser, path: Path, folder: Path) -> None:
    """The evidence sheet of a phantom's film, at the first sentence that states a finding."""
    settings = load_settings("cpu")
    size = settings.data.image_size
    patient = subjects.phantom_subject(7, seed=0, size=size, ranges=1.0, maps=body_maps(settings))
    film = folder / "films" / "phantom7.png"
    film.parent.mkdir()
    Image.fromarray(patient.study.image).save(film)
    write_sheets([film], None, folder / "sheets", progress=False)
    (written,) = (folder / "sheets").glob("*phantom7*.html")
    with watched_page(browser, viewport={"width": 1200, "height": 800}) as page:
        page.goto(written.as_uri())
        page.locator("li:has-text('states') button[data-ask]").first.focus()
        save(page, path)


def book(browser, path: Path, folder: Path) -> None:
    """The first page of the web edition."""
    with watched_page(browser, viewport={"width": 1200, "height": 800}) as page:
        page.goto((paths.RUNS / "book" / "index.html").as_uri())
        save(page, path)


SHOTS = {"explorer": explorer, "sheet": sheet, "book": book}


def main() -> None:
    """Make the screenshots that are asked for; the book's only where it was built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=paths.FIGURES / "screenshots", metavar="DIR")
    parser.add_argument("--only", action="append", choices=sorted(SHOTS), help="this one only; may be repeated")
    arguments = parser.parse_args()
    built = (paths.RUNS / "book" / "index.html").is_file()
    wanted = arguments.only or [name for name in SHOTS if name != "book" or built]
    try:
        for browser in started_browser():
            for name in wanted:
                with tempfile.TemporaryDirectory() as folder:
                    SHOTS[name](browser, arguments.out / f"{name}.png", Path(folder))
                print(f"written: {arguments.out / name}.png")
    except pytest.skip.Exception:
        sys.exit(
            'screenshots need playwright (pip install -e ".[test]") and a chromium (Debian: apt-get install chromium)'
        )


if __name__ == "__main__":
    main()
