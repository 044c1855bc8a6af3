"""The page of `ssacl browser-model` in a real browser, and its graphs without one: the numbers are PyTorch's.

Skipped with one line where onnx and onnxruntime, npm, or the browser is not there; the build machine has them, and fails without.
"""

import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import tarfile
import threading
import tomllib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from browser import watched_page
from browser_films import made_up_subject
from packaging.requirements import Requirement
from PIL import Image
from torch.nn import functional as F

from ssacl_lib import paths
from ssacl_lib.command import browser_data, browser_model, npm
from ssacl_lib.images import letterbox
from ssacl_lib.inference import onnx_graphs
from ssacl_lib.inference.onnx_graphs import ENCODER, TEXT
from ssacl_lib.model.build import load_model
from ssacl_lib.model.maps import masked_embeddings, phrase_maps_of_pixels, random_keeps
from ssacl_lib.observations import FINDINGS

ALIKE = {"atol": 1e-4, "rtol": 0}
WAIT = 300_000  # milliseconds; tests may share the processor with others
PACKAGES = ("onnx", "onnxruntime")


pytestmark = pytest.mark.usefixtures("whole_digits")


def needs(there: bool, what: str) -> None:
    if not there and os.environ.get("CI"):
        pytest.fail(f"the page of the model needs {what}; .ci/run installs it")
    if not there:
        pytest.skip(f"no {what} here: the page of the model is not tried")


@pytest.fixture(scope="module")
def model(tiny_checkpoint):
    return load_model(tiny_checkpoint, "cpu")


@pytest.fixture(scope="module")
def page_folder(tiny_checkpoint, tmp_path_factory):
    """A page of the small model with three made-up films."""
    needs(all(map(importlib.util.find_spec, PACKAGES)), "onnx and onnxruntime")
    kept = paths.RUNS / "npm" / npm.RUNTIME.archive
    needs(kept.is_file() or shutil.which("npm") is not None, "npm")
    folder = tmp_path_factory.mktemp("page")
    files, differs = browser_model.write_browser_model(
        tiny_checkpoint, folder, [made_up_subject(number, 96) for number in (2, 1, 3)]
    )
    assert differs < 1e-4 and {path.name for path in files} == {path.name for path in folder.iterdir()}
    return folder


@pytest.fixture
def served(browser, page_folder):
    """The page of the folder, served as `python -m http.server` serves it, when the first film has been seen."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=page_folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    try:
        with watched_page(browser, home) as page:
            page.goto(home)
            wait_for(page)
            yield page
    finally:
        server.shutdown()
        server.server_close()


def wait_for(page, phrase: str | None = None) -> None:
    """Wait until a phrase has its verdict."""
    asked = "" if phrase is None else f"[data-asked={json.dumps(phrase)}]"
    page.wait_for_selector(f"body[data-whole=true]{asked}", timeout=WAIT)


def verdict(page, kind: str = "masked") -> str:
    return page.inner_text(f"section[data-kind={kind}] .verdict")


# ---- graphs
@pytest.mark.parametrize("name", [ENCODER, TEXT])
def test_a_graph_gives_pytorch_s_numbers(model, page_folder, name):
    for seed, (kept, queries) in enumerate([(None, 25), (32, 1), (1, 25), (17, 4)]):
        inputs = onnx_graphs.graph_inputs(model, kept, queries, seed)[name]
        assert onnx_graphs.difference(onnx_graphs.graphs_of(model)[name], page_folder / name, inputs) < 1e-4
    longer = model.processor.text(["a", "no focal consolidation, effusion or pneumothorax " * 4, "heart"])
    if name == TEXT:
        inputs = tuple(part.int() for part in longer)
        assert onnx_graphs.difference(onnx_graphs.graphs_of(model)[name], page_folder / name, inputs) < 1e-4


def test_a_graph_with_other_numbers_is_refused(model, page_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graphs, "ALIKE", 0.0)
    with pytest.raises(ArithmeticError, match=ENCODER):
        onnx_graphs.write_graphs(model, tmp_path)


def test_masks_and_blank_film_are_those_of_pytorch(model, page_folder):
    keeps = random_keeps(model, model.config.evidence["masks"], browser_data.SEED)
    written = np.fromfile(page_folder / "masks.bin", "<u2").reshape(keeps.shape)
    np.testing.assert_array_equal(written, keeps)
    blank = np.fromfile(page_folder / "blank.bin", "<f4").reshape(-1, model.text.width)
    pixels = model.processor.normalise(np.full((1, 96, 96), 127, np.uint8))
    due = masked_embeddings(model, pixels, keeps)[0]
    np.testing.assert_allclose(F.normalize(torch.from_numpy(blank[: len(keeps)]), dim=-1), due, **ALIKE)
    with torch.no_grad():
        np.testing.assert_allclose(blank[len(keeps) :], model.patch_embeddings(pixels)[0], **ALIKE)


# ---- the page
def test_the_page_gives_pytorch_s_numbers(served, model):
    """Served: what it has seen of the film that stands first, and the maps of a phrase, drawn or not."""
    subject = made_up_subject(1, 96)  # the first whose phrase names a side
    pixels = model.processor.normalise(subject.study.image[None])
    seen = served.evaluate(
        "() => { const { at, looked } = ssacl; const { film, moved } = looked(); const plain = (rows) => rows.map((r) => [...r]);"
        " return { image: [...film.image], masked: plain(film.masked), patches: plain(film.patches), moved: plain(moved.masked),"
        " films: at.films.length }; }"
    )
    assert seen["films"] == 3 and seen["image"] == subject.study.image.flatten().tolist()
    keeps = random_keeps(model, model.config.evidence["masks"], browser_data.SEED)
    np.testing.assert_allclose(seen["masked"], masked_embeddings(model, pixels, keeps)[0], **ALIKE)
    with torch.no_grad():
        np.testing.assert_allclose(seen["patches"], F.normalize(model.patch_embeddings(pixels)[0], dim=-1), **ALIKE)
        due = model.finding_logits(pixels)[0].sigmoid().numpy()
    rows = served.locator("#findings tr").all()
    assert [row.locator("button").inner_text() for row in rows] == list(FINDINGS)
    np.testing.assert_allclose([float(row.get_attribute("data-probability")) for row in rows], due, **ALIKE)
    phrases = ["small left effusion", "Übergroßes heart, 3.5 cm"]
    found = served.evaluate(
        "async (phrases) => { const { at, looked } = ssacl; const vectors = await model.embedded(at, phrases);"
        " const { film } = looked(); return vectors.map((vector) => [[...maps.masked(film.masked, at.keeps, vector, at.facts)],"
        " [...maps.similarity(film.patches, vector, at.facts)]]); }",
        phrases,
    )
    for number, kind in enumerate(("masked", "similarity")):
        due = phrase_maps_of_pixels(model, pixels, phrases, kind)[0].flatten(1)
        close = min(1e-4, 1e-3 * float(due.abs().max()))  # masked evidence is a small number
        np.testing.assert_allclose([one[number] for one in found], due, atol=close, rtol=0)


def test_a_phrase_is_asked_by_keyboard_and_pointer(served):
    wait_for(served, "small left effusion")
    assert re.search(r"true region \(CNR -?\d", verdict(served))
    panels = served.locator("section[data-kind=masked] figure")
    assert [one.inner_text() for one in panels.locator("b").all()] == [
        "own", "swapped phrase", "swapped side", "shifted", "blank film",
    ]  # fmt: skip
    assert "“small right effusion”" in panels.nth(2).inner_text()
    before = panels.nth(0).locator("canvas").evaluate("(one) => one.toDataURL()")
    served.fill("#phrase", "<b>odd</b> heart")
    served.keyboard.press("Enter")
    wait_for(served, "<b>odd</b> heart")
    assert panels.count() == 4 and "not on the list" in served.inner_text("#asked")
    assert "region" not in verdict(served) and served.locator("#maps b b").count() == 0
    assert panels.nth(0).locator("canvas").evaluate("(one) => one.toDataURL()") != before
    served.click("#findings button:has-text('Pneumothorax')")
    wait_for(served, "right apical pneumothorax")
    assert "no true region on this film" in verdict(served)
    served.focus("#films button >> nth=0")
    served.keyboard.press("Enter")
    wait_for(served, "the heart is big")
    assert served.get_attribute("#films button >> nth=0", "aria-pressed") == "true"
    drawn = served.locator("#attention").evaluate("(one) => one.toDataURL()")
    served.select_option("#node", "cardiac silhouette")
    assert served.locator("#attention").evaluate("(one) => one.toDataURL()") != drawn


def test_the_single_file_reads_a_film_without_a_server(browser, page_folder, model, tmp_path):
    picture = np.random.default_rng(5).integers(0, 256, (130, 90), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "own.png")
    (tmp_path / "text.png").write_text("no picture")
    with watched_page(browser, viewport={"width": 360, "height": 700}, color_scheme="dark") as page:
        page.goto((page_folder / browser_model.WHOLE).as_uri())
        page.wait_for_selector("#main:not([hidden])", timeout=WAIT)
        page.set_input_files("#file", tmp_path / "text.png")
        page.wait_for_selector(".trouble:has-text('not a PNG or JPEG')", timeout=WAIT)
        page.set_input_files("#file", tmp_path / "own.png")
        page.wait_for_selector("#film-words:has-text('own.png')", timeout=WAIT)
        wait_for(page)
        found = page.evaluate("() => [...ssacl.looked().film.image]")
        assert found == letterbox(picture, 96).flatten().tolist()
        assert "no true region on this film" in verdict(page) and page.inner_text("#trouble") == ""
        due = model.head(model.encoder(model.pixels([picture])))[0].sigmoid().detach()
        rows = page.locator("#findings tr").all()
        np.testing.assert_allclose([float(row.get_attribute("data-probability")) for row in rows], due, **ALIKE)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
        assert "not a medical device" in page.inner_text(".banner")
    with watched_page(browser, kinds=("nothing",)) as page:
        page.goto((page_folder / browser_model.PAGE).as_uri())
        page.wait_for_selector(f"#status:has-text('{browser_model.WHOLE}')", timeout=WAIT)
        page.said.clear()  # a browser reads no file beside a file


# ---- packages
def test_the_lock_of_the_page_pins_its_requirements():
    text = (paths.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    asked = [Requirement(line) for line in tomllib.loads(text)["project"]["optional-dependencies"]["browser"]]
    lines = (paths.ROOT / "constraints-browser.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {one.name for one in asked} == set(PACKAGES)
    for one in asked:
        assert one.specifier.contains(pins[one.name]) and re.search(rf'"{one.name}[^"]*",  # \w', text)


def test_an_archive_is_checked_before_it_is_read(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/dist/a.js")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"ok"))
    package = npm.Package("made-up", "1.0.0", hashlib.sha256(buffer.getvalue()).hexdigest())
    (tmp_path / package.archive).write_bytes(buffer.getvalue())
    assert npm.package_files(package, ("dist/a.js",), tmp_path) == {"dist/a.js": b"ok"}
    with pytest.raises(RuntimeError, match=r"no file dist/b\.js"):
        npm.package_files(package, ("dist/b.js",), tmp_path)
    (tmp_path / package.archive).write_bytes(buffer.getvalue()[:-1])
    with pytest.raises(RuntimeError, match="delete it"):
        npm.package_files(package, ("dist/a.js",), tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="npm is needed"):
        npm.package_files(package, ("dist/a.js",), tmp_path / "empty")
