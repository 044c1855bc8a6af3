"""The watch over pages itself: what it must complain of, and what it must not."""

import pytest
from browser import watched_page

FAULTS = {
    "a picture that is not there": ("<img src='nowhere.png'>", "ERR_FILE_NOT_FOUND"),
    "a script that fails": ("<script>nothing.here()</script>", "nothing is not defined"),
    "a warning in the console": ("<script>console.warn('mind this')</script>", "mind this"),
    "a question to someone outside": (
        "<img src='http://outside.invalid/a.png'>",
        "asked outside: ['http://outside.invalid",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told(browser, tmp_path, fault):
    body, told = FAULTS[fault]
    (tmp_path / "page.html").write_text(f"<title>page</title>{body}", encoding="utf-8")
    with pytest.raises(AssertionError) as failed, watched_page(browser) as page:
        page.goto((tmp_path / "page.html").as_uri())
    assert told in str(failed.value)


def test_a_page_that_is_left_while_it_loads_is_no_fault(browser, tmp_path):
    """The browser gives up a request for which nobody waits any more, and says so."""
    (tmp_path / "first.html").write_text("<title>first</title><script src='slow.js'></script>", encoding="utf-8")
    (tmp_path / "second.html").write_text("<title>second</title>", encoding="utf-8")
    with watched_page(browser) as page:
        given_up = {}  # the first page too, where it is left before its last byte
        page.on("requestfailed", lambda request: given_up.update({request.url: request.failure}))
        page.route("**/slow.js", lambda route: None)  # never answered
        with page.expect_request("**/slow.js"):
            page.goto((tmp_path / "first.html").as_uri(), wait_until="commit")
        page.goto((tmp_path / "second.html").as_uri())
        assert page.title() == "second"
    assert given_up[(tmp_path / "slow.js").as_uri()] == "net::ERR_ABORTED"
