"""The explorer: patients to order, a phrase beside its controls, nodes, words; and what its widgets do when they are moved."""

import base64
import io
import re
import tempfile
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import write_dicom
from ipywidgets import HTML
from matplotlib.figure import Figure
from PIL import Image

from ssacl_lib.anatomy import default_graph, leaf_mask
from ssacl_lib.datasets.study import EvaluationStudy
from ssacl_lib.evaluation import (
    anatomy_grounding,
    benchmarks,
    node_views,
    ordered_signs,
    phrase_views,
    subjects,
    word_views,
)
from ssacl_lib.evaluation.report_marks import AGREES, PLAIN, WRONG
from ssacl_lib.model.prompts import entity_prompts, open_leaves
from ssacl_lib.model.reporting import generate, leaf_tokens
from ssacl_lib.notebook import explorer_controls, explorer_panels as panels
from ssacl_lib.notebook.explorer import KEPT, Explorer
from ssacl_lib.observations import FINDINGS
from ssacl_lib.phantom import draw_signs, render
from ssacl_lib.plots import explorer as draw
from ssacl_lib.plots.style import png_bytes
from ssacl_lib.record.manifest import Run
from ssacl_lib.settings import load_settings

BOTH_EFFUSION = ordered_signs.sign_of("Pleural Effusion", "bilateral", severity=0.8)


@pytest.fixture(scope="module")
def explore(tmp_path_factory):
    settings = load_settings("smoke", out_dir=str(tmp_path_factory.mktemp("explorer")), device="cpu")
    return Explorer(Run(settings, "00_explorer"))


def effusion(severity=0.7, side="left"):
    return (ordered_signs.sign_of("Pleural Effusion", side, severity=severity),)


# ---- patients to order
def test_signs_to_order_are_those_that_the_phantom_draws():
    """Size, zone and regions follow from finding, side, zone, kind and severity as in the phantom's own patients."""
    compared = set()
    for sign in (sign for number in range(500) for sign in draw_signs(0, "test", number)):
        made = ordered_signs.sign_of(
            sign.finding,
            sign.side if ordered_signs.CHOICES[sign.finding][0] else None,
            sign.zone if sign.zone in ordered_signs.CHOICES[sign.finding][1] else None,
            sign.kind,
            sign.severity,
        )
        if sign.finding == "Support Devices" and sign.kind not in ("pacemaker", "enteric tube"):
            made = replace(made, side=sign.side, zone=sign.zone, tip=sign.tip, tip_mm=sign.tip_mm, regions=sign.regions)
        assert replace(made, number=sign.number) == sign
        compared.add((sign.finding, sign.kind))
    assert {finding for finding, _ in compared} == set(FINDINGS) and set(ordered_signs.CHOICES) == set(FINDINGS)


def test_what_no_finding_has_is_refused():
    for arguments, message in (
        (("Edemas",), "no finding 'Edemas'"),
        (("Pneumothorax", "bilateral"), "Pneumothorax: side 'bilateral'; expected one of right, left"),
        (("Atelectasis", "left", "apical"), "zone 'apical'"),
        (("Fracture", None, None, "ulna"), "kind 'ulna'"),
        (("Edema", None, None, None, 1.5), "between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            ordered_signs.sign_of(*arguments)


def test_a_made_patient_with_his_own_signs_is_the_patient(explore):
    drawn = render(0, "test", [7, 9], image_size=96, ranges=0.5, maps=explore.maps, masks=True)
    for place, number in enumerate((7, 9)):
        study = (made := explore.patient(number)).study
        assert (study.image == drawn.images[place]).all() and (made.extents == drawn.sign_masks[place]).all()
        assert (np.stack(list(study.regions.values())) == drawn.node_masks[place]).all()


def test_severity_changes_the_finding_and_not_the_body(explore):
    mild, severe = explore.made(effusion(0.3), 3), explore.made(effusion(0.9), 3)
    assert all((mild.study.regions[node] == severe.study.regions[node]).all() for node in default_graph().nodes)
    assert mild.extents.sum() * 2 < severe.extents.sum() and (mild.study.image != severe.study.image).any()
    other = explore.made(effusion(0.9, "right"), 3)
    assert not (other.extents & severe.extents).any()


def test_where_a_phrase_is_true(explore):
    where = subjects.region_of_phrase
    one, both = explore.made(effusion(), 3), explore.made((BOTH_EFFUSION,), 3)
    assert (where(one, "there is a left effusion") == one.extents[0]).all() and where(one, "right effusion") is None
    assert where(one, "enlarged heart") is None, "not there, so true nowhere"
    right, left = where(both, "right effusion"), where(both, "left effusion")
    assert not (right & left).any() and ((right | left) == both.extents[0]).all()
    assert right.nonzero()[1].mean() < left.nonzero()[1].mean(), "the patient's right is on the image's left"
    assert (where(one, "cardiac silhouette") == one.study.regions["cardiac silhouette"]).all()
    assert where(one, "colourless green ideas") is None
    own = one.study.phrases[0]
    assert (where(one, own.text.upper()) == own.mask).all()


def test_sentences_are_held_against_what_is_true(explore):
    report = "The heart is normal. There is a left pleural effusion. Right pleural effusion. Edema."
    marks = [mark for _, mark in subjects.sentence_marks(explore.made(effusion(), 3), report)]
    assert marks == [PLAIN, AGREES, WRONG, WRONG]
    unknown = replace(
        explore.made(effusion(), 3), signs=None, study=replace(explore.subject.study, truth=None, report="")
    )
    assert {mark for _, mark in subjects.sentence_marks(unknown, report)} == {PLAIN}


def test_films_of_files_and_what_is_wrong_with_them(explore, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    picture = io.BytesIO()
    Image.fromarray(np.tile(np.arange(120, dtype=np.uint8), (60, 1))).save(picture, "PNG")
    film = subjects.uploaded_subject("a film.png", picture.getvalue(), 96)
    assert film.study.image.shape == (96, 96) and film.study.film == (slice(24, 72), slice(0, 96))
    assert subjects.truth_of(film) is None and "a film.png" in film.words
    source = write_dicom(tmp_path / "film.dcm", np.tile(np.arange(64), (64, 1)))
    content = source.read_bytes()
    source.unlink()
    assert subjects.uploaded_subject("film.dcm", content, 96).study.image.max() > 200
    with pytest.raises(ValueError, match="^broken.png: "):
        subjects.uploaded_subject("../broken.png", picture.getvalue()[:60], 96)
    assert list(tmp_path.iterdir()) == [], "nothing of a film stays on disk"


def test_a_study_of_another_size_keeps_its_regions_in_place(explore):
    study = explore.made(effusion(), 3).study
    large = subjects.resized(study, 192)
    assert large.image.shape == (192, 192) and subjects.resized(study, 96) is study
    before, after = (np.argwhere(s.regions["spine"]).mean(0) / s.image.shape[0] for s in (study, large))
    assert before == pytest.approx(after, abs=0.01)
    assert (large.phrases[0].boxes == 2 * study.phrases[0].boxes).all()


# ---- a phrase beside its controls
def test_maps_of_views_are_those_of_the_model(explore):
    subject = explore.made(effusion(), 3)
    views = phrase_views.phrase_views(explore.model, explore.looked(subject), subject, "left pleural effusion")
    assert list(views) == list(phrase_views.VIEWS)
    assert views["swapped side"].text == "right pleural effusion"
    for view in views.values():
        for kind, heatmap in view.maps.items():
            due = explore.model.ground([view.image], [view.text], kind)[0, 0].cpu().numpy()
            assert heatmap == pytest.approx(due, abs=2e-5)
    moved = views["shifted"]
    assert moved.mask.nonzero()[1].mean() == pytest.approx(views["own"].mask.nonzero()[1].mean() - 16, abs=3), (
        "into the film"
    )
    assert (views["blank film"].image == phrase_views.GREY).all()
    with pytest.raises(ValueError, match="empty"):
        phrase_views.phrase_views(explore.model, explore.looked(subject), subject, " ")
    assert "swapped side" not in phrase_views.phrase_views(explore.model, explore.looked(subject), subject, "edema")


def test_likeness_does_not_know_the_range():
    ramp = np.arange(12.0).reshape(3, 4)
    assert phrase_views.likeness(ramp, 5 * ramp + 3) == pytest.approx(1)
    assert phrase_views.likeness(ramp, -ramp) == pytest.approx(-1)
    assert phrase_views.likeness(ramp, np.ones((3, 4))) == 0


def spot(row, column):
    """A map with one bump, on a film of 32."""
    place = np.mgrid[:32, :32] - np.array([row, column])[:, None, None]
    return np.exp(-(place**2).sum(0) / 8)


def made_up_views(**maps):
    """Views of a finding at (10, 20), whose film was moved by 6 to the left, with maps as a model could give them."""
    mask, views = spot(10, 20) > 0.5, {}
    maps = {"own": spot(10, 20), "swapped_phrase": spot(25, 5), "swapped_side": spot(10, 5), "shifted": spot(10, 14),
            "blank_film": spot(16, 4)} | maps  # fmt: skip
    for name, heatmap in maps.items():
        control = name.replace("_", " ")
        region, reference = (spot(10, 14) > 0.5, spot(10, 14)) if control == "shifted" else (mask, maps["own"])
        views[control] = phrase_views._view("", np.zeros((32, 32)), region, phrase_views.WHOLE, {"masked": heatmap},
                                            {"masked": reference})  # fmt: skip
    return views


def test_a_map_that_follows_everything_is_evidence():
    reading = phrase_views.read_views(made_up_views())
    assert all(passed for passed, _ in reading.controls.values())
    assert reading.sentence.startswith("The map follows phrase, side and film; its maximum lies inside the true region")


@pytest.mark.parametrize(
    ("control", "said"),
    [
        ("swapped_phrase", "The map stays when the phrase is swapped"),
        ("swapped_side", "The map stays when the side is swapped"),
        ("shifted", "The map stays behind when the film is moved"),
        ("blank_film", "The map stays on a blank film"),
    ],
)
def test_a_map_that_stays_is_a_position(control, said):
    reading = phrase_views.read_views(made_up_views(**{control: spot(10, 20)}))
    assert [name for name, (passed, _) in reading.controls.items() if not passed] == [control.replace("_", " ")]
    assert reading.sentence.startswith(f"{said}: position, not evidence; yet its maximum lies inside")


def test_a_map_that_still_points_there_has_stayed_however_unlike_it_is():
    wide = spot(10, 20) + 0.9 * spot(25, 5) + 0.9 * spot(5, 5) + 0.9 * spot(28, 28)
    views = made_up_views(swapped_side=wide)
    assert views["swapped side"].likeness["masked"] < phrase_views.STAYS
    assert not phrase_views.read_views(views).controls["swapped side"][0]


def test_the_swapped_phrase_is_of_a_finding_that_is_not_there(explore):
    ill = explore.made((ordered_signs.sign_of("Cardiomegaly"), ordered_signs.sign_of("Lung Opacity"), *effusion()), 3)
    assert phrase_views.swapped_phrase(ill, "left effusion") == phrase_views.EXAMPLES["Edema"]
    assert phrase_views.swapped_phrase(ill, "pulmonary edema") == phrase_views.EXAMPLES["Consolidation"]


# ---- nodes and words
def test_nodes_score_as_in_the_table(explore):
    films = np.stack([explore.patient(number).study.image for number in range(4)])
    others = node_views.attention_of(explore.model, films[1:])
    views = node_views.node_views(explore.model, explore.patient(0), ["lungs", "spine"], others)
    studies = [EvaluationStudy(f"s{k}", f"p{k}", film, "", np.zeros(14)) for k, film in enumerate(films)]
    table = anatomy_grounding.attention_scores(node_views.attention_of(explore.model, films).astype(float), studies)
    for view in views:
        due = table[(table["study"] == "s0") & (table["node"] == view.node)].iloc[0]
        assert view.entropy == pytest.approx(due["entropy"], abs=1e-4)
        assert view.likeness == pytest.approx(due["similarity_across_patients"], abs=1e-4)
        attended = explore.model.attend([films[0]], view.node)[0, 0].cpu().numpy() * explore.model.config.patches
        assert view.attention == pytest.approx(attended, abs=1e-3)
        assert set(view.scores) == {"attention", "look"}
    assert node_views.open_nodes([]) == set()
    leaves = {leaf for leaf, yes in zip(default_graph().leaves, leaf_mask(["mediastinum"]), strict=True) if yes}
    assert node_views.open_nodes(["Cardiomegaly"]) == {*leaves, "mediastinum", "cardiac silhouette"}


def test_attention_before_each_word_is_gpt2_s_own(explore, monkeypatch):
    """Against transformers' eager attention weights; what is closed gets nothing; the words are those that are written."""
    model, image = explore.model, explore.made(effusion(), 3).study.image
    pixels = model.pixels([image])
    written = word_views.told(model, image, ["Pleural Effusion"]).sentences
    assert " ".join(text for _, _, text in written) == generate(model, pixels, [["Pleural Effusion"]])[0]
    monkeypatch.setattr(word_views, "autocast", lambda model: nullcontext())  # numbers of float32, as those below
    told = word_views.told(model, image, ["Pleural Effusion"])
    assert told.leaves.sum(1) + told.patches.sum(1) + told.words == pytest.approx(1)
    assert (told.leaves[:, ~told.leaf_open] == 0).all() and (told.leaves[:, told.leaf_open] > 0).all()
    with torch.no_grad():
        language, tokens = model.language, leaf_tokens(model, pixels)
        prompt, mask = entity_prompts(model.processor, [["Pleural Effusion"]], 1)
        ids = torch.tensor([model.processor.language_tokenizer.convert_tokens_to_ids(list(told.pieces))])
        embedded, whole = language.embed(
            tokens, open_leaves([["Pleural Effusion"]]), torch.cat([prompt, ids], 1), torch.cat([mask, ids * 0 + 1], 1)
        )
        gpt = deepcopy(language.gpt)
        gpt.set_attn_implementation("eager")
        out = gpt(inputs_embeds=embedded, attention_mask=whole, position_ids=language.positions(whole, True),
                  output_attentions=True)  # fmt: skip
    due = out.attentions[-1][0].mean(0)[-len(told.pieces) - 1 : -1].numpy()
    assert told.leaves == pytest.approx(due[:, :25], abs=1e-4)
    assert told.patches == pytest.approx(due[:, 26 : language.prefix_length], abs=1e-4)
    chances = out.logits[0, -len(told.pieces) - 1 : -1].softmax(-1)
    assert [row[0][1] for row in told.guesses] == pytest.approx(chances.max(-1).values.tolist(), abs=1e-3)
    assert [told.sentence_of(k) for k in (0, len(told.pieces) - 1)] == [0, len(told.sentences) - 1]


# ---- widgets
def picture_of(panel) -> bytes:
    return base64.b64decode(re.search(r"base64,([^\"]+)", panel.picture.value)[1])


def test_a_moved_control_changes_the_picture_and_those_that_follow(explore):
    film = panels.films(explore)
    follower = panels.phrases(explore, film)
    before = picture_of(film), picture_of(follower)
    film.number.value = 7
    assert picture_of(film) != before[0] and picture_of(follower) != before[1]
    assert explore.subject.study.study_id == "test-000007" and film.bar.layout.visibility == "hidden"
    assert 'alt="Chest film (' in film.picture.value and 'role="status"' in film.words.value
    film.source.value = panels.MADE
    film.controls[1].value = "untrained"
    assert explore.asked == "untrained" and film.error == follower.error == ""
    film.controls[1].value = "shipped"


def test_a_twin_draws_what_the_panel_shows(explore, monkeypatch):
    explore.subject = explore.made(effusion(), 3)
    panel = panels.phrases(explore.showing(explore.subject), None)
    panel.controls[0].value = "left pleural effusion"
    twin = explore.showing(explore.patient(0)).phrase_sheet("left pleural effusion")
    assert picture_of(panel) == png_bytes(twin.figure) and twin.words.split(":")[0] in panel.words.value
    drawn = []
    monkeypatch.setattr(panels, "display", drawn.append)
    assert panels.twin(twin).data == twin.words and drawn[0].data == png_bytes(twin.figure)


def test_what_is_wrong_stands_where_the_words_stand(explore):
    panel = panels.phrases(explore)
    panel.controls[0].value = "<b>effusion</b>"
    assert panel.error == "" and "<b>effusion" not in panel.words.value + panel.picture.value, "escaped"
    panel.controls[0].value = ""
    assert (
        "the phrase is empty" in panel.words.value and "role='alert'" in panel.words.value and not panel.picture.value
    )
    panel.controls[0].value = "edema"
    assert panel.error == "" and panel.picture.value


def test_a_film_is_handed_in(explore):
    film = panels.films(explore)
    film.source.value = panels.FILE
    assert "no file yet" in film.error
    picture = io.BytesIO()
    Image.fromarray(explore.patient(3).study.image).save(picture, "PNG")
    film.upload.value = (panels.file_of("mine.png", picture.getvalue()),)
    assert film.error == "" and "mine.png" in film.picture.value and subjects.truth_of(explore.subject) is None
    film.upload.value = (panels.file_of("mine.png", b"no picture"),)
    assert film.error.startswith("mine.png: not a PNG")


def test_a_click_on_the_tree_chooses_the_node(explore):
    panel = panels.nodes(explore, None)
    tree = {button.tooltip: button for button in panel.children[-1].children[0].children}
    assert list(tree) == [f"show {node}" for node in default_graph().nodes]
    before = picture_of(panel)
    tree["show spine"].click()
    assert panel.controls[0].value == "spine" and picture_of(panel) != before
    assert tree["show spine"].style.font_weight == "bold" and "“spine”" in panel.words.value


def test_another_finding_is_asked_once_and_offers_what_it_has(explore, monkeypatch):
    panel, drawn = panels.changes(explore), []
    whole = panel.draw
    panel.draw = lambda *values: drawn.append(values) or whole(*values)
    after = panel.signs[1]
    after.finding.value = "Lung Lesion"
    assert len(drawn) == 1 and panel.error == ""
    assert after.zone.options == ("upper", "mid", "lower", "apical") and not after.size.disabled
    after.size.value = 50
    assert after.sign()[0].size_mm == 50 and after.sign()[0].kind == "nodule"
    after.finding.value = "Edema"
    assert after.side.disabled and after.size.disabled and after.sign()[0].size_mm is None
    panel.signs[0].finding.value = after.finding.value = explorer_controls.NOTHING
    assert "nothing to compare" in panel.error
    monkeypatch.setattr(Explorer, "phantom", False)
    assert isinstance(panels.changes(explore), HTML) and isinstance(explore.change_sheet((), ()).figure, str)


def test_films_are_forgotten_and_what_is_made_once_per_model_is_not(explore, monkeypatch):
    """The other patients' attention takes most of a second; it must not be made again because many films were shown."""
    others = explore.others("shipped")
    for number in range(10 * KEPT):
        assert explore._once(("report", "shipped", bytes([number])), lambda number=number: number) == number
    monkeypatch.setattr(node_views, "attention_of", None)
    assert explore.others("shipped") is others
    assert sum(len(key) == 3 for key in explore._kept) == 4 * KEPT


def test_models_side_by_side_and_words_one_by_one(explore):
    rivals = panels.rivals(explore, names=("untrained", "shipped"))
    assert rivals.error == "" and rivals.controls[1].value == ("untrained", "shipped")
    found = explore.rivals_sheet("left pleural effusion", ("untrained", "shipped"))
    assert isinstance(found.figure, Figure)
    told = panels.sentences(explore, 3)
    before = picture_of(told)
    told.controls[2].value = 12
    bare = replace(explore.told(), patches=np.zeros((len(explore.told().pieces), 0)))
    assert isinstance(draw.words(explore.subject.study.image, bare, 0), Figure), "a prefix without patches"
    assert told.error == "" and picture_of(told) != before and told.controls[2].max == len(explore.told().pieces) - 1


def test_every_callback_has_a_time(smoke):
    rows = benchmarks.measure(smoke, "cpu", ["explorer"], quick=True)
    assert set(rows["metric"]) == {"seconds", "seconds_max"} and len(set(rows["what"])) == 9
    wide = rows.pivot(index="what", columns="metric", values="value")
    assert (wide["seconds"] > 0).all() and (wide["seconds_max"] >= wide["seconds"]).all()
