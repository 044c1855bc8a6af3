"""Prompts that look: words to an atlas, an atlas to films, films that are moved, and what the words alone are worth."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ssacl_lib import paths
from ssacl_lib.anatomy import default_graph
from ssacl_lib.datasets.study import EvaluationStudy
from ssacl_lib.evaluation import anatomy_grounding, looking
from ssacl_lib.evaluation.moved_studies import MovedStudies
from ssacl_lib.metrics import grounding
from ssacl_lib.model import look
from ssacl_lib.model.build import build_model
from ssacl_lib.observations import FINDINGS
from ssacl_lib.settings import load_settings
from ssacl_lib.text.regions import named_nodes, placed_findings
from ssacl_lib.text.tokenizer import train_tokenizer
from ssacl_lib.training import look as training_look, words_atlas
from ssacl_lib.training.look import fit_look

SIZE = 48


# ---- words
@pytest.mark.parametrize(
    ("sentence", "nodes"),
    [
        ("Opacity at the right lung base.", ["right lower lung zone"]),
        ("Right-sided effusion.", []),
        (
            "Effusions at both bases and the left apex.",
            ["right lower lung zone", "left lower lung zone", "left apical zone"],
        ),
        ("The right and left hila are full.", ["right hilar structures", "left hilar structures"]),
        ("The lungs are clear, the left lung too.", ["left lung"]),
        ("The heartbeat is no heart.", ["cardiac silhouette"]),
        ("Baseline film.", []),
    ],
)
def test_the_most_specific_wording_counts_and_words_have_edges(sentence, nodes):
    assert named_nodes(sentence) == nodes


def test_a_finding_is_placed_only_where_its_own_sentence_places_it():
    placed, unplaced, uncertain = placed_findings(
        [
            "Effusion at the left base. The right apex is clear.",
            "Effusion. Possible edema of the right lung.",
            "No effusion at the left base.",
        ]
    )
    effusion, edema = FINDINGS.index("Pleural Effusion"), FINDINGS.index("Edema")
    assert np.argwhere(placed).tolist() == [[0, default_graph().index("left lower lung zone"), effusion]]
    assert np.argwhere(unplaced).tolist() == [[1, effusion]]
    assert np.argwhere(uncertain).tolist() == [[1, edema]]


# ---- the atlas
BASES = {"right": (slice(60, 80), slice(14, 34)), "left": (slice(60, 80), slice(62, 82))}


def bright_films(count: int, seed: int = 0):
    """Noisy films of 96 px; in a third of them each base is brighter, and the report says at which one."""
    generator = np.random.default_rng(seed)
    images = generator.normal(120, 12, (count, 96, 96))
    reports = []
    for image in images:
        said = [side for side in BASES if generator.random() < 1 / 3]
        for side in said:
            image[BASES[side]] += 25
        reports.append(" ".join(f"Effusion at the {side} base." for side in said) or "No effusion.")
    return SimpleNamespace(images=lambda rows: images[rows].clip(0, 255).astype(np.uint8), reports=reports)


def inside(heatmap: torch.Tensor, side: str) -> float:
    mask = np.zeros((96, 96), bool)
    mask[BASES[side]] = True
    return grounding.contrast_to_noise_ratio(torch.nn.functional.interpolate(heatmap[None, None], 96)[0, 0], mask)


def test_the_atlas_finds_where_a_word_makes_films_differ_and_nothing_in_shuffled_reports():
    studies, graph = bright_films(400), default_graph()
    atlas = words_atlas.words_atlas(studies, progress=False)
    for side in BASES:
        node = graph.index(f"{side} lower lung zone")
        assert inside(atlas.maps[node], side) > 2.5 and atlas.located[node]
        other = "left" if side == "right" else "right"
        assert inside(atlas.maps[node], other) < 0.3
    assert atlas.located.sum() == 2
    spine = graph.index("spine")
    assert not atlas.maps[spine].any(), "nothing was said of it, nor of what holds it"
    lung = graph.index("right lung")
    children = [graph.index(child) for child in graph.children("right lung")]
    assert torch.allclose(atlas.maps[lung], atlas.maps[children].mean(0))
    shuffled = SimpleNamespace(images=studies.images, reports=studies.reports[1:] + studies.reports[:1])
    nothing = words_atlas.words_atlas(shuffled, progress=False)
    assert abs(np.mean([inside(nothing.maps[graph.index(f"{side} lower lung zone")], side) for side in BASES])) < 0.5


def test_too_few_reports_are_refused():
    with pytest.raises(ValueError, match="of 20 reports too few say where a finding lies"):
        words_atlas.words_atlas(bright_films(20), progress=False)


# ---- moves
def test_a_map_moves_as_its_film_does_and_poses_depend_on_the_number_alone():
    film = torch.rand(1, 1, SIZE, SIZE)
    assert torch.allclose(look.moved(film, torch.eye(2, 3)[None]), film, atol=1e-5)
    right = look.pose(*torch.tensor([[0.0], [1.0], [-0.5], [0.0]]))  # taken from a quarter of the width further left
    spot = torch.zeros(1, 1, SIZE, SIZE)
    spot[..., 20, 10] = 1
    assert look.moved(spot, right, "zeros")[0, 0].argmax().item() == 20 * SIZE + 10 + SIZE // 4
    poses = look.random_poses([5, 9], 0, 0.1, 0.15, 10)
    assert torch.equal(poses[1], look.random_poses([9], 0, 0.1, 0.15, 10)[0])
    assert not torch.equal(poses[0], poses[1])


def test_a_film_without_boxes_is_moved_alone():
    film = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), np.uint8)
    left, right = MovedStudies(
        [EvaluationStudy(name, name, film, "", np.zeros(14, np.int8), regions=own) for name, own in (
            ("bare", {}), ("boxed", {"trachea": np.ones((SIZE, SIZE), bool)}))], 0)  # fmt: skip
    assert left.regions == {} and (left.image != film).any() and right.regions["trachea"].any()


@pytest.fixture(scope="module")
def model():
    settings = load_settings(
        "smoke", **{"model.stem": "patch"}
    )  # untrained convolutions show next to nothing of a film
    return build_model(settings, train_tokenizer(["Effusion at the left base.", "No effusion."] * 4)).eval()


class Films:
    """Training view of films without reports."""

    def __init__(self, films: np.ndarray):
        self.films = films.clip(0, 255).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.films)

    def images(self, rows):
        return self.films[rows]


def test_a_head_that_looks_follows_the_film_and_leaves_the_rest_alone(model):
    """Films with one bright square: after a little training the map follows it to where it is moved."""
    size = model.config.image_size
    generator = np.random.default_rng(0)
    images = generator.normal(100, 4, (1500, size, size))
    images[:, size // 3 : size // 2, size // 3 : size // 2] += 100
    studies = Films(images)

    maps = torch.zeros(look.NODES, look.GRID, look.GRID)
    maps[:, look.GRID // 3 : look.GRID // 2, look.GRID // 3 : look.GRID // 2] = 1
    atlas = words_atlas.WordsAtlas(
        maps, torch.ones(look.NODES, dtype=torch.bool), torch.ones(look.NODES, dtype=torch.int64)
    )
    pixels = model.processor.normalise(studies.images(np.arange(40)))
    before = model.attend(pixels, "carina"), model.finding_logits(pixels), model.ground(pixels[:1], "effusion")
    with pytest.raises(ValueError, match="no head that looks"):
        model.attend(pixels, "carina", evidence="plus")
    fit_look(model, studies, atlas, seed=0, progress=False)
    after = model.attend(pixels, "carina"), model.finding_logits(pixels), model.ground(pixels[:1], "effusion")
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    theta = look.random_poses(range(40), 77, 0.1, 0.1, 5)
    films = look.moved(pixels, theta)
    found = model.attend(films, "carina", evidence="plus")[:, 0].flatten(1)
    true = look.moved(torch.nn.functional.interpolate(maps[None, :1], size).expand(40, -1, -1, -1), theta, "zeros")[
        :, 0
    ].flatten(1)
    still = model.attend(pixels, "carina", evidence="plus")[:, 0].flatten(1)
    follows = [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(found, true, strict=True)]
    stays = [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(still, true, strict=True)]
    assert np.mean(follows) > np.mean(stays) + 0.2, (np.mean(follows), np.mean(stays))


def test_without_moved_films_a_head_learns_nothing_and_its_maps_are_the_atlas(model, monkeypatch):
    """The control "no moved films" of notebook 04 is the row of the words atlas."""
    size = model.config.image_size
    films = np.random.default_rng(0).normal(100, 30, (120, size, size))
    maps = torch.rand(look.NODES, look.GRID, look.GRID, generator=torch.Generator().manual_seed(1))
    atlas = words_atlas.WordsAtlas(maps, torch.ones(look.NODES, dtype=torch.bool), torch.ones(look.NODES))
    monkeypatch.setattr(training_look, "random_poses", lambda rows, *_: torch.eye(2, 3).repeat(len(rows), 1, 1))
    fit_look(model, Films(films), atlas, seed=0, progress=False)
    pixels = model.processor.normalise(Films(films).images(np.arange(5)))
    patches = model.encoder(pixels).patches
    assert torch.equal(model.look.theta(patches), torch.eye(2, 3).expand(5, -1, -1))
    torch.testing.assert_close(model.look(patches), maps.expand(5, -1, -1, -1), atol=1e-5, rtol=0)


def test_a_model_that_looks_is_read_back_as_it_was_written(model, tmp_path):
    model.save_pretrained(tmp_path)
    from ssacl_lib.model.build import load_model

    again, pixels = load_model(tmp_path, "cpu"), torch.randn(2, 1, model.config.image_size, model.config.image_size)
    assert torch.equal(again.attend(pixels, "spine", evidence="plus"), model.attend(pixels, "spine", evidence="plus"))
    with pytest.raises(ValueError, match="expected 'attention' or 'plus'"):
        model.attend(pixels, "spine", evidence="look")


# ---- scores and rivals
def test_many_scores_at_once_are_the_scores_one_by_one():
    generator = np.random.default_rng(1)
    maps = np.concatenate([generator.integers(0, 4, (20, 12, 12)).astype(float), np.full((1, 12, 12), 0.1)])
    masks = generator.random((21, 12, 12)) < 0.3
    pointing, contrast = grounding.pointing_and_contrast(maps, masks)
    pairs = list(zip(maps, masks, strict=True))
    assert pointing == pytest.approx([grounding.pointing_share(*pair) for pair in pairs])
    assert contrast == pytest.approx([grounding.contrast_to_noise_ratio(*pair) for pair in pairs])
    with pytest.raises(ValueError, match="empty"):
        grounding.pointing_and_contrast(maps[:1], np.zeros((1, 12, 12), bool))


def test_a_notebook_opened_by_hand_fits_no_head_and_prepares_no_films(model, monkeypatch, tmp_path):
    def never(*_):
        raise AssertionError("training studies were asked for")

    monkeypatch.setattr(looking, "load_training", never)
    monkeypatch.setattr(paths, "OPENED", tmp_path)
    run = SimpleNamespace(settings=load_settings("cpu", out_dir=str(tmp_path / "cpu-seed0")), runs=tmp_path)
    bare = build_model(load_settings("smoke"), model.processor.text_tokenizer)
    assert list(looking.with_look(run, {"bare": bare, "looks": model})) == ["looks"]
    run = SimpleNamespace(settings=load_settings("cpu", out_dir=str(tmp_path.parent / "rebuilt")), runs=tmp_path)
    with pytest.raises(AssertionError, match="asked for"):
        looking.with_look(run, {"bare": bare, "looks": model})


def test_ss_acl_is_the_mean_of_the_trained_models_study_by_study():
    """Priors and untrained models are not in it; a lone model is its own mean; maps that look are apart."""
    rows = [
        {"study": study, "node": "trachea", "method": method, "films": "as they are",
         **dict.fromkeys(anatomy_grounding.SCORES, value)}
        for study, method, value in (
            ("a", "this run", 0.2), ("a", "shipped", 0.6), ("b", "this run", 0.0), ("b", "shipped", 1.0),
            ("a", "untrained", 0.9), ("a", "shipped+", 0.7), ("a", "centre prior", 0.1),
        )
    ]  # fmt: skip
    attention, looks = anatomy_grounding.pooled(pd.DataFrame(rows))
    assert dict(zip(attention["study"], attention["pointing"], strict=True)) == pytest.approx({"a": 0.4, "b": 0.5})
    assert set(attention["method"]) == {"SS-ACL"} and set(looks["method"]) == {"SS-ACL+"}
    assert list(looks["cnr"]) == [0.7]
