"""The scripts of `ssacl browser-model` in Node.js: words, films, maps and verdicts are those of the library."""

import json
import os
import shutil
import subprocess
from itertools import product

import numpy as np
import pytest
import torch
from browser_films import made_up_subject
from PIL import Image
from tokenizers.pre_tokenizers import Whitespace

from ssacl_lib import paths
from ssacl_lib.command.browser_data import film_facts, model_facts, tokenizer_text
from ssacl_lib.command.browser_model import SOURCE
from ssacl_lib.datasets.phantom import report_of
from ssacl_lib.evaluation import phrase_views
from ssacl_lib.evaluation.subjects import region_of_phrase
from ssacl_lib.images import grey_of_picture, letterbox
from ssacl_lib.model.build import load_model
from ssacl_lib.model.processor import SSACLProcessor
from ssacl_lib.observations import FINDINGS
from ssacl_lib.phantom import draw_signs
from ssacl_lib.text.sections import sentences
from ssacl_lib.text.sides import swap_side

STRANGE = [
    "", "  ", "a\nb", "Ünïcode ﬁne Ⅳ ½ naïve", "x" * 120, "don't  do—this… “now” 3.5cm", "a_b $5+3=8 ^~`|<>", "中文 abc漢字",
    "\r\n x\u00a0y\tz",
    "İstanbul ΑΣ ς", "a\u0301 e\u0300 \u0903 \u20dd", "constructor __proto__ toString", "[CLS] a [newline] b [UNK]c [mask]",
]  # fmt: skip


pytestmark = pytest.mark.usefixtures("whole_digits")


@pytest.fixture(scope="module")
def node():
    """Runs `script` with the page's scripts at hand and `given` (JSON); its last expression is what comes back."""
    program = shutil.which("node")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("the page's scripts are tested in Node.js; .ci/run installs it")
        pytest.skip("no Node.js here: the page's scripts are not run")

    def run(script: str, given):
        names = ("wordpiece", "film", "maps", "views")
        head = "".join(f"const {name} = require({json.dumps(str(SOURCE / f'{name}.js'))});\n" for name in names)
        head += "const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n"
        command = [program, "-e", f"{head}console.log(JSON.stringify((() => {{ {script} }})()));"]
        done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-1000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def model(tiny_checkpoint):
    return load_model(tiny_checkpoint, "cpu")


def test_texts_become_the_same_ids(node):
    processor = SSACLProcessor.from_pretrained(paths.SHIPPED_CHECKPOINT)
    reports = [report_of(0, "test", k, draw_signs(0, "test", k)).text for k in range(60)]
    usual = [side for text in phrase_views.EXAMPLES.values() for side in (text, swap_side(text)) if side]
    texts = [
        *usual,
        *map(str.lower, FINDINGS),
        *STRANGE,
        *reports,
        *(s for report in reports for s in sentences(report)),
    ]
    vocabulary = processor.text_tokenizer.get_vocab()
    script = "return given.texts.map((text) => Array.from(wordpiece.batch([text], given.vocabulary, 100).ids));"
    found = node(script, {"texts": texts, "vocabulary": vocabulary})
    due = [processor.text([text])[0][0].tolist() for text in texts]
    assert [text for text, one, other in zip(texts, found, due, strict=True) if one != other] == []
    script = "const all = wordpiece.batch(given.texts, given.vocabulary, 100); return [[...all.ids], [...all.mask], all.shape];"
    ids, mask, shape = node(script, {"texts": texts[-50:], "vocabulary": vocabulary})
    both = processor.text(texts[-50:])
    assert shape == list(both[0].shape) and [ids, mask] == [part.flatten().tolist() for part in both]


def test_a_tokenizer_of_another_kind_is_refused(model):
    assert json.loads(tokenizer_text(model))["model"]["type"] == "WordPiece"
    tokenizer = model.processor.text_tokenizer.backend_tokenizer
    kept, tokenizer.pre_tokenizer = tokenizer.pre_tokenizer, Whitespace()
    try:
        with pytest.raises(ValueError, match="Whitespace"):
            tokenizer_text(model)
    finally:
        tokenizer.pre_tokenizer = kept


def test_films_are_squared_to_the_last_bit(node):
    generator = np.random.default_rng(0)
    for height, width in ((300, 200), (41, 80), (96, 96), (97, 333), (1, 7), (192, 191)):
        image = generator.integers(0, 256, (height, width), dtype=np.uint8)
        image[: height // 2] = 255 * (image[: height // 2] > 127)  # sharp edges overshoot
        script = "const all = film.letterbox(given.pixels, given.width, given.height, 96); return [[...all.image], all.inside];"
        found, inside = node(script, {"pixels": image.flatten().tolist(), "width": width, "height": height})
        assert found == letterbox(image, 96).flatten().tolist(), (height, width)
        assert inside["bottom"] - inside["top"] == max(1, round(height * 96 / max(height, width)))


def test_colours_become_the_same_grey_and_other_files_are_refused(node):
    rgb = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    rgba = np.dstack([rgb, np.full((20, 30), 255, np.uint8)])
    found = node("return [...film.grey(given)];", rgba.flatten().tolist())
    assert found == grey_of_picture(Image.fromarray(rgb)).flatten().tolist()
    heads = {"dicom": [0] * 128 + list(b"DICM"), "deep": [*b"\x89PNG", *[0] * 20, 16], "text": list(b"hello"),
             "png": [*b"\x89PNG", *[0] * 20, 8], "jpeg": [0xFF, 0xD8, 0xFF]}  # fmt: skip
    said = node("return Object.entries(given).map(([name, head]) => film.refusal(name, head));", heads)
    assert ["DICOM" in said[0], "16 bits" in said[1], "not a PNG" in said[2], said[3:]] == [
        True,
        True,
        True,
        [None, None],
    ]


SCRIPT = """
const rows = (all) => all.map((one) => Float64Array.from(one));
return given.map((one) => {
  const looked = Object.fromEntries(["film", "moved", "blank"].map((name, at) => [name, {
    image: Uint8Array.from(one.images[at]), masked: rows(one.masked[at]), patches: rows(one.patches[at]) }]));
  const subject = { ...one.subject, inside: one.inside };
  const known = one.subject.phrases.find((phrase) => phrase.text === one.phrase);
  const asked = views.texts(one.phrase, known, subject, one.facts);
  const vectors = Object.fromEntries(Object.entries(asked).map(([name, text]) => [name, maps.unit(one.vectors[text])]));
  const all = views.panels(asked, vectors, looked, subject, one.region, one.facts, one.keeps);
  return Object.fromEntries(["masked", "similarity"].map((kind) => [kind, {
    ...views.reading(all, kind, one.facts),
    views: Object.fromEntries(Object.entries(all).map(([name, view]) => [name,
      { text: view.text, map: [...view.maps[kind]], likeness: view.likeness[kind], scores: view.scores[kind] }])) }]));
});
"""


def test_maps_scores_and_verdicts_are_those_of_the_explorer(node, model):
    """What was seen of a film goes in, as PyTorch has it; all panels of both kinds of map come out, with their sentence."""
    size = model.config.image_size
    cases, due = [], []
    for number, film in enumerate(
        [(slice(None), slice(None)), (slice(None), slice(12, 84)), (slice(8, 88), slice(None))]
    ):
        subject = made_up_subject(number, size, film)
        looked = phrase_views.look(model, subject)
        for phrase in (subject.study.phrases[0].text, "left pleural effusion", "enlarged heart"):
            views = phrase_views.phrase_views(model, looked, subject, phrase)
            region = region_of_phrase(subject, phrase)
            texts = {view.text for view in views.values()}
            (top, bottom, _), (left, right, _) = (part.indices(size) for part in film)
            inside = {"top": top, "bottom": bottom, "left": left, "right": right}
            cases.append({
                "images": looked.images.reshape(3, -1).tolist(),
                "masked": looked.masked.tolist(), "patches": looked.patches.tolist(),
                "subject": film_facts(subject), "inside": inside, "facts": model_facts(model, ("tiny", "")), "phrase": phrase,
                "vectors": {text: model.text_embedding([text])[0].tolist() for text in texts},
                "region": None if region is None else region.astype(int).flatten().tolist(), "keeps": looked.keeps.tolist(),
            })  # fmt: skip
            due.append(views)
    found = node(SCRIPT, cases)
    sentences_found = set()
    for case, answer, views in zip(cases, found, due, strict=True):
        for kind in ("masked", "similarity"):
            reading = phrase_views.read_views(views, kind)
            assert list(answer[kind]["views"]) == list(views)
            assert answer[kind]["sentence"] == reading.sentence, (case["phrase"], kind)
            assert {
                name: (one["passed"], one["words"]) for name, one in answer[kind]["controls"].items()
            } == reading.controls
            sentences_found.add(reading.sentence)
            for name, view in views.items():
                one = answer[kind]["views"][name]
                assert one["text"] == view.text
                np.testing.assert_allclose(one["map"], view.maps[kind].flatten(), atol=1e-5)
                assert one["likeness"] == pytest.approx(view.likeness[kind], abs=1e-3)
                assert bool(one["scores"]) == bool(view.scores[kind])
                if one["scores"]:
                    assert one["scores"]["pointing"] == pytest.approx(view.scores[kind]["pointing"])
                    assert one["scores"]["cnr"] == pytest.approx(view.scores[kind]["cnr"], abs=1e-3)
    assert len(sentences_found) > 3


def test_every_verdict_is_worded_as_in_the_library(node):
    scores = [None, {"pointing": 1.0, "cnr": 1.234}, {"pointing": 0.0, "cnr": -0.5}]
    cases = [
        ({name: (passed, phrase_views.WORDS[name][passed]) for name, passed in zip(names, all_passed, strict=True)}, one)
        for names in (phrase_views.VIEWS[1:], tuple(n for n in phrase_views.VIEWS[1:] if n != phrase_views.OTHER_SIDE))
        for all_passed in product((False, True), repeat=len(names))
        for one in scores
    ]  # fmt: skip
    given = [[{k: {"passed": p, "words": w} for k, (p, w) in controls.items()}, one] for controls, one in cases]
    found = node("return given.map(([controls, scores]) => views.sentence(controls, scores, true));", given)
    assert found == [phrase_views.verdict_of(controls, one or {}) for controls, one in cases]
    first = node("return given.map(([controls, scores]) => views.sentence(controls, scores, false));", given[:1])[0]
    assert found[0].startswith(first[:-1]) and "true region" not in first


def test_sides_and_swapped_phrases(node, model):
    texts = [
        "Left basal opacity",
        "RIGHT apex",
        "left and right",
        "heart",
        "bright",
        "left left side",
        "Right lung, right apex",
    ]
    assert node("return given.map(views.swapSide);", texts) == [swap_side(text) for text in texts]
    facts = model_facts(model, ("tiny", ""))
    script = "return given.map(([text, has]) => views.swappedPhrase(text, undefined, { findings: has }, facts));"
    asked = [["a very big heart", []], ["fluid", ["Cardiomegaly", "Lung Opacity"]]]
    found = node(f"const facts = {json.dumps(facts)}; {script}", asked)
    assert found == [phrase_views.EXAMPLES["Lung Opacity"], phrase_views.EXAMPLES["Edema"]]


def test_attention_of_a_parent_is_the_mean_of_its_leaves(node, model):
    subject = made_up_subject(1, model.config.image_size)
    with torch.no_grad():
        rows = model.leaf_attention(model.processor.normalise(subject.study.image[None]))[0]
    facts = model_facts(model, ("tiny", ""))
    script = "return given.facts.nodes.map((node) => [...maps.attention(given.rows, node.leaves, given.facts)]);"
    found = np.array(node(script, {"facts": facts, "rows": rows.tolist()}))
    due = model.attend(subject.study.image, [node["name"] for node in facts["nodes"]])[0].flatten(1)
    np.testing.assert_allclose(found, due.numpy(), atol=1e-5)
