"""Evidence sheets: pages that hold all they show, ask nobody for anything, and take no text for markup."""

import base64
import hashlib
import io
import os
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from ssacl_lib import paths
from ssacl_lib.command import sheet
from ssacl_lib.command.cli import main
from ssacl_lib.command.markup import VOID, plain, tag
from ssacl_lib.command.sheet_page import NOT_CLINICAL
from ssacl_lib.model.reporting import Report
from ssacl_lib.observations import FINDINGS
from ssacl_lib.plots.sheet import OWN, film_data, heat_data, outline_path

HOSTILE = "Small right effusion <script>alert('x')</script> & \"quoted\"."
TEXTS = (
    f"FINDINGS: {HOSTILE} The heart is enlarged. No pneumothorax. </script><img src=x onerror=alert(1)> IMPRESSION: No change.",
    "ارتشاح في الرئة اليمنى. The lungs are clear. \u202egnp.exe",
    "",
)
NAMES = (
    "<script>alert('x')</script>.png".replace("/", "∕"),
    "\"quoted\" & 'single' <b>.png",
    f"{'long ' * 45}.png",
    "صورة الصدر.png",
    "film\u202egnp.exe.png",
)


class Page(HTMLParser):
    """Elements with attributes, the text of scripts, and the visible text of a page; raises where tags don't fit."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.scripts, self.styles, self.text, self.open = [], [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name, attributes):
        assert name in VOID, name
        self.elements.append((name, dict(attributes)))

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        kept = {"script": self.scripts, "style": self.styles}.get(self.open[-1] if self.open else "", self.text)
        kept.append(data)

    def values(self, *names):
        return [value for _, attributes in self.elements for name, value in attributes.items() if name in names]


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 60), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "<i>bad</i>.png".replace("/", "∕")).write_text("no picture")
    (folder / "notes.txt").write_text("nothing to read")
    return folder


@pytest.fixture
def told(monkeypatch):
    """Reports with what nobody should write, and a finding in each second one."""

    def reports(model, pixels, evidence):
        found = [("Pleural Effusion", "Cardiomegaly") if k % 2 == 0 else () for k in range(len(pixels))]
        return [Report(TEXTS[k % 3], dict.fromkeys(FINDINGS, 0.4), names, ("lungs",) if names else ())
                for k, names in enumerate(found)]  # fmt: skip

    monkeypatch.setattr(sheet, "reports_of_pixels", reports)


def run(capsys, *words) -> tuple[int, str, str]:
    try:
        code = main([str(word) for word in words])
    except SystemExit as exit_:
        code = exit_.code
    return code, *capsys.readouterr()


def test_pages_hold_all_they_show_and_no_text_is_markup(capsys, tmp_path, tiny_checkpoint, films, told):
    out = tmp_path / "out"
    code, printed, _ = run(capsys, "report", films, "--html", out, "--weights", tiny_checkpoint)
    assert code == 0 and f"{len(NAMES)} evidence sheets written: open {out / 'index.html'}" in printed
    assert "1 files can't be read" in printed and "1 other files are no pictures" in printed
    pages = {path.name: Page(path) for path in out.iterdir()}
    assert len(pages) == len(NAMES) + 1
    script = (paths.PACKAGE / "command" / "sheet.js").read_text(encoding="utf-8")
    for name, page in pages.items():
        assert page.scripts == ([] if name == "index.html" else [script])
        assert NOT_CLINICAL in "".join(page.text)
        assert name == "index.html" or "has learnt from films unknown." in "".join(page.text), (
            "no manifest says of which"
        )
        assert not [
            key for _, attributes in page.elements for key in attributes if key.startswith("on") or key == "style"
        ]
        ids = page.values("id")
        assert max(Counter(ids).values(), default=0) <= 1
        for target in page.values("href", "src"):
            assert target.startswith("data:") or target in pages or target.removeprefix("#") in ids, target[:80]
        policy = next(attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes)
        hashes = {
            base64.b64encode(hashlib.sha256("".join(part).encode()).digest()).decode()
            for part in (page.scripts, page.styles)
        }
        assert (
            set(re.findall("sha256-([^']+)", policy)) <= hashes and "default-src 'none'" in policy and len(name) < 100
        )
    shown = "".join(pages["index.html"].text)
    for name in NAMES:
        assert name.replace("\u202e", "\\u202e") in shown
    assert "bad" in shown and str(tmp_path) not in "".join(
        page for path in out.iterdir() for page in [path.read_text()]
    )
    first = next(page for page in pages.values() if HOSTILE in page.text)  # as a text of its own, not as elements
    assert hashlib.sha256((films / first_name(first)).read_bytes()).hexdigest() in "".join(first.text)


def first_name(page) -> str:
    """The file of a page, by its heading."""
    return next(name for name in NAMES if f"films/{name}".replace("\u202e", "\\u202e") in page.text)


def test_sentences_findings_and_maps_are_linked(capsys, tmp_path, tiny_checkpoint, films, told):
    out = tmp_path / "out"
    assert run(capsys, "report", films, "--html", out, "--weights", tiny_checkpoint)[0] == 0
    effusion, heart = (f"f{FINDINGS.index(name)}" for name in ("Pleural Effusion", "Cardiomegaly"))
    pages = [page for page in map(Page, sorted(out.iterdir())) if HOSTILE in page.text]
    page = next(page for page in pages if effusion in page.values("data-ask"))  # every second film has the findings
    asks = page.values("data-ask")
    assert sorted(asks) == sorted(["s0", "s1", "s2", "s3", "s4", effusion, heart])
    ids = set(page.values("id"))
    assert {"s0-written", "s0-written-other", "s0-masked", "s0-masked-other", "s1-masked", "s2-written", f"{effusion}-masked",
            f"{effusion}-masked-other", f"{heart}-masked"} <= ids  # fmt: skip
    # a denial states nothing, and what names no side has no other one
    assert not {"s2-masked", "s1-written-other", f"{heart}-masked-other"} & ids
    rows = {
        attributes["id"]: attributes.get("data-sentences")
        for _, attributes in page.elements
        if "data-sentences" in attributes
    }
    assert len(rows) == 13 and rows[effusion] == "s0" and rows[heart] == "s1"
    assert [text for text in page.text if "left effusion" in text] and "no evidence: " in "".join(page.text)
    plain_page = [page for page in map(Page, out.iterdir()) if "The report is empty." in page.text]
    assert plain_page and not [ask for ask in plain_page[0].values("data-ask") if ask[0] == "s"]


def test_neighbours_and_what_is_read_twice(capsys, tmp_path, tiny_checkpoint, films, told):
    out = films / "sheets"
    for _ in range(2):  # the second time over its own pages, in a folder of the films
        assert run(capsys, "report", films, "--html", out, "--weights", tiny_checkpoint)[0] == 0
    assert len(list(out.iterdir())) == len(NAMES) + 1
    follows = {}
    for path in out.iterdir():
        for _, attributes in Page(path).elements:
            if attributes.get("rel") == "next":
                follows[path.name] = attributes["href"]
    assert len(follows) == len(NAMES) - 1 and not [a for a, b in follows.items() if a == b]
    (start,) = set(follows) - set(follows.values())
    seen = [start]
    while seen[-1] in follows:
        seen.append(follows[seen[-1]])
    assert len(seen) == len(NAMES)


def test_mistakes(capsys, tmp_path, tiny_checkpoint):
    weights = ("--weights", tiny_checkpoint, "--html", tmp_path / "out")
    (tmp_path / "bad.png").write_text("no picture")
    for words, culprit in (
        ((tmp_path / "bad.png",), "none of the 1 files can be read"),
        ((tmp_path / "nowhere",), "nowhere: no such file or folder"),
        ((tmp_path / "bad.png", "--out", tmp_path), "--out"),
        ((tmp_path / "bad.png", "--no-pictures"), "--pictures"),
    ):
        code, _, err = run(capsys, "report", *words, *weights)
        assert code == 2 and culprit in err.splitlines()[-1], err
    assert not (tmp_path / "out").exists()


def test_markup_escapes_whatever_is_no_markup():
    assert tag("p", "<&>", tag("b", "x"), None, title="\"'") == '<p title="&quot;&#x27;">&lt;&amp;&gt;<b>x</b></p>'
    assert plain("a\u202eb\x00") == "a\\u202eb\\u0000" and plain(os.fsdecode(b"\xff")) == "\\udcff"
    assert plain("سلام خانه\u200cها") == "سلام خانه\u200cها"


def test_pictures_show_the_map_and_nothing_else():
    heatmap = np.full((12, 12), -1.0)
    heatmap[3:6, 7:10] = 2.0
    picture = opened(heat_data(heatmap, 2.0, OWN)).convert("RGBA")
    colour, opacity = np.asarray(picture)[4, 8, :3], np.asarray(picture)[..., 3]
    assert tuple(colour) == tuple(int(OWN[at : at + 2], 16) for at in (1, 3, 5))
    assert (opacity > 0).sum() == 9 and (opacity[3:6, 7:10] == 205).all()
    x, y = np.array(re.findall(r"([-\d.]+) ([-\d.]+)", outline_path(heatmap)), float).T
    assert 6 < x.min() < 7.5 and 9.5 < x.max() < 11 and 2 < y.min() < 3.5 and 5.5 < y.max() < 7
    assert (
        outline_path(-heatmap * 0) == ""
        and (np.asarray(opened(heat_data(0 * heatmap, 0.0, OWN)).convert("RGBA"))[..., 3] == 0).all()
    )
    film = opened(film_data(np.full((30, 60), 200, np.uint8)))
    assert film.size == (360, 360) and np.asarray(film)[180, 180] > 190 and np.asarray(film)[20, 180] < 10


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
