"""Debian's chromium, driven by playwright: conftest.py's fixture `browser` starts it, `watched_page` opens a page in it.

Skipped with one line where playwright or a chromium is not there; the build machine has both, and fails without.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

LEFT = "ERR_ABORTED"
"""What a browser says of a request that it was still making when the page was left: no fault of the page's."""


def started_browser() -> Iterator:
    """The browser, closed afterwards.

    Not for the whole session: while it runs, playwright's event loop runs in this thread, and no test can start another.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("the browser tests need playwright and Debian's chromium; .ci/run installs them")
        pytest.skip("no playwright or no chromium here: no page is opened in a browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@contextmanager
def watched_page(browser, home: str = "file:", kinds: tuple[str, ...] | None = None, **settings) -> Iterator:
    """A page with nothing remembered. On leaving: it asked nobody outside, no request failed, it complained of nothing.

    home: how the addresses begin that it may ask, beside those that hold their data. kinds: of console messages that count
    (None: all). settings: of the browser's context (viewport, ...). `page.asked` and `page.said` hold what has come so far, also
    of pages that this one opens.
    """
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 900}, **settings})
    page = context.new_page()
    page.asked, page.said = [], []
    context.on("request", lambda request: page.asked.append(request.url))
    page.on("websocket", lambda socket: page.asked.append(socket.url.replace("ws", "http", 1)))
    context.on(
        "requestfailed",
        lambda request: LEFT not in request.failure and page.said.append(f"{request.failure}: {request.url}"),
    )
    context.on("weberror", lambda error: page.said.append(str(error.error)))
    context.on("console", lambda one: page.said.append(one.text) if kinds is None or one.type in kinds else None)
    try:
        yield page
        outside = [url for url in page.asked if not url.startswith((home, "data:", "blob:"))]
        assert (outside, page.said) == ([], []), f"asked outside: {outside}; said: {page.said}"
    finally:
        context.close()
