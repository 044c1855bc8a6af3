"""Disturbed films stay films, crops take the map along, and the command goes on where it was and keeps what it can't measure."""

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
from small import View
from test_cli import run

from ssacl_lib import paths
from ssacl_lib.anatomy import default_graph
from ssacl_lib.evaluation import films, randomisation
from ssacl_lib.model import look
from ssacl_lib.model.build import load_model
from ssacl_lib.plots.randomisation import randomisation as figure_of
from ssacl_lib.settings import load_settings
from ssacl_lib.training import look as fitting, randomise
from ssacl_lib.training.look import still_head
from ssacl_lib.training.words_atlas import WordsAtlas

SIZE = 96


def some_films(count: int = 10) -> torch.Tensor:
    """Random films of rough texture [count, 1, S, S] in 0..1."""
    rough = torch.rand(count, 1, SIZE // 2, SIZE // 2, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(rough, SIZE, mode="bilinear")


# ---- families
@pytest.mark.parametrize("family", randomise.GREYS)
def test_a_disturbed_film_stays_one_and_depends_on_its_number_alone(family):
    pictures, numbers = some_films(), [3, 8, 11, *range(20, 27)]
    found = randomise.disturbed(pictures, numbers, 0, [family])
    assert found.shape == pictures.shape and found.min() >= 0 and found.max() <= 1
    changed = (found - pictures).abs().amax((1, 2, 3)) > 0.01
    assert changed.sum() >= 5, "most films change (a film may have no border, line or letter)"
    alone = randomise.disturbed(pictures[2:3], [11], 0, [family])
    assert torch.allclose(alone[0], found[2], atol=1e-6)
    assert not torch.equal(found, randomise.disturbed(pictures, numbers, 1, [family]))
    assert torch.equal(pictures, some_films()), "the films that came in stay as they were"


def test_greys_keep_their_order_and_sides_their_place():
    """Nothing is inverted: dense stays bright."""
    ramp = torch.linspace(0.1, 0.9, SIZE).expand(40, 1, SIZE, SIZE)
    for family in ("exposure", "contrast", "gamma", "blur"):
        assert (randomise.disturbed(ramp, range(40), 0, [family]).diff(dim=3) >= -1e-6).all(), family
    theta = randomise.disturbed_poses(torch.eye(2, 3).repeat(40, 1, 1), range(40), 0, list(randomise.POSES))
    assert (torch.linalg.det(theta[:, :, :2]) > 0).all(), "a mirrored pose would exchange right and left"


@pytest.mark.parametrize("family", randomise.POSES)
def test_the_composed_pose_moves_a_mark_where_the_film_takes_it(family):
    """First moved, then cut or stretched, must be one move by the pose that the head is taught."""
    numbers = range(30)
    marked = torch.zeros(30, 1, 96, 96)
    marked[:, :, 40:44, 56:60] = 1
    theta = look.random_poses(numbers, 5, 0.1, 0.1, 10)
    inner = randomise.disturbed_poses(torch.eye(2, 3).repeat(30, 1, 1), numbers, 0, [family])
    composed = randomise.disturbed_poses(theta, numbers, 0, [family])
    assert not torch.allclose(composed, theta) and torch.allclose(composed, randomise.after(theta, inner))
    twice = look.moved(look.moved(marked, theta, "zeros"), inner, "zeros")
    once = look.moved(marked, composed, "zeros")
    places = torch.arange(96.0)
    seen = 0
    for a, b in zip(twice[:, 0], once[:, 0], strict=True):
        if a.sum() > 4:  # the mark is still in the film
            for centre in (lambda m: (m.sum(1) @ places) / m.sum(), lambda m: (m.sum(0) @ places) / m.sum()):
                assert abs(centre(a) - centre(b)) < 1
            seen += 1
    assert seen > 20


def test_a_crop_shows_a_part_of_the_film_and_nothing_beyond():
    theta = randomise.disturbed_poses(torch.eye(2, 3).repeat(50, 1, 1), range(50), 0, ["crops"])
    inside = look.moved(torch.ones(50, 1, 96, 96), theta, "zeros")[:, :, 1:-1, 1:-1]
    assert torch.allclose(inside, torch.ones_like(inside), atol=1e-4)
    assert theta[:, 0, 0].min() >= 1 - randomise.CROP and theta[:, 0, 0].std() > 0.05


def test_a_share_leaves_the_other_films_as_they_are():
    pictures, numbers = some_films(30), range(30)
    whole, part = (randomise.disturbed(pictures, numbers, 0, ["noise"], share) for share in (1.0, 1 / 3))
    kept = (part == pictures).flatten(1).all(1)
    assert 12 < kept.sum() < 28 and torch.equal(part[~kept], whole[~kept])


def test_unknown_families_are_named():
    with pytest.raises(ValueError, match="no family of disturbances 'inversion'; there are stretch, crops"):
        randomise.disturbed(some_films(), range(10), 0, ["inversion"])


# ---- fitting
@pytest.fixture
def few_steps(monkeypatch):
    """Heads that learn for a moment."""
    monkeypatch.setattr(fitting, "FEWEST_STEPS", 4)


@pytest.fixture(scope="module")
def looking_checkpoint(tiny_checkpoint, tmp_path_factory):
    """A small checkpoint with a head that looks: its atlas has every node at a place of its own."""
    model = load_model(tiny_checkpoint, "cpu")
    maps = torch.zeros(look.NODES, look.GRID, look.GRID)
    for k in range(look.NODES):
        maps[k, 6 * (k // 8) : 6 * (k // 8) + 8, 5 * (k % 8) : 5 * (k % 8) + 8] = 1
    atlas = WordsAtlas(maps, torch.ones(look.NODES, dtype=torch.bool), torch.ones(look.NODES, dtype=torch.int64))
    model.add_look(still_head(model, atlas))
    folder = tmp_path_factory.mktemp("looks")
    model.save_pretrained(folder)
    return folder


def test_without_families_it_is_the_shipped_fitting_to_the_bit_and_with_them_another(looking_checkpoint, few_steps):
    model = load_model(looking_checkpoint, "cpu")
    atlas = WordsAtlas(model.look.atlas.clone(), model.look.located.clone(), model.look.located.long())
    size = model.config.image_size
    studies = View(["Clear."] * 40, np.random.default_rng(0).integers(0, 256, (40, size, size), np.uint8))
    heads = []
    for families in (None, (), ("contrast",), ("crops",)):
        fitted = deepcopy(model)
        if families is None:
            fitting.fit_look(fitted, studies, atlas, 3, progress=False)
        else:
            randomise.fit_randomised(fitted, studies, atlas, 3, families, progress=False)
        heads.append(fitted.look.state_dict())
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    assert not torch.equal(heads[0]["pose.weight"], heads[2]["pose.weight"])
    assert not torch.equal(heads[2]["pose.weight"], heads[3]["pose.weight"])


# ---- the command
@pytest.fixture
def boxed_folder(film_folder):
    """The small films with a box of both lungs and of a clavicle each."""
    boxes = pd.read_csv(film_folder / "region_boxes.csv")
    more = [boxes.assign(region="left lung", x=50), boxes.assign(region="left clavicle", x=48, y=2, w=25, h=5)]
    pd.concat([boxes, *more]).to_csv(film_folder / "region_boxes.csv", index=False)
    return film_folder


def test_the_command_scores_real_films_as_the_film_table_does_and_keeps_their_rows(
    boxed_folder, looking_checkpoint, fake_phantom, few_steps, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(randomisation, "PATIENTS", 8)
    out = tmp_path / "randomisation.csv"
    words = ["randomise", "--profile", "smoke", "--weights", str(looking_checkpoint), "--out", str(out)]
    words += ["--only", "no film", "--only", "crops"]
    assert run(capsys, *words, "--films", str(boxed_folder))[0] == 0
    table = pd.read_csv(out)
    assert list(table.columns) == list(randomisation.COLUMNS)
    assert list(dict.fromkeys(table["families"])) == ["no film", "none", "crops"]
    assert set(table["films"]) == {"phantom as is", "phantom moved", "real"}
    real = table[table["films"] == "real"]
    assert {"left clavicle", "left lung", "right mid lung zone", "mean of both lungs"} <= set(real["node"])
    assert set(real["n"]) == {12}

    # the same numbers as evaluation/films.py gives for the same head
    settings = load_settings("smoke", **{"inference.evidence_masks": 2})
    studies = randomisation.real_films(boxed_folder, settings)
    model = load_model(looking_checkpoint, "cpu")  # its head sees nothing: "no film"
    rows = films.score_model("shipped", model, studies, settings)
    rows = rows[rows["map"] == "SS-ACL+"].groupby(["region", "control"])[["pointing", "cnr"]].mean()
    still = real[real["families"] == "no film"].set_index(["node", "metric"])["value"]
    for region in films.REGIONS:
        for metric in ("pointing", "cnr"):
            assert still[region, metric] == pytest.approx(rows.loc[(region, "own"), metric], rel=1e-4)
            other = rows.loc[(region, "swapped side"), metric]
            assert still[region, f"{metric}_swapped_side"] == pytest.approx(other, rel=1e-4)

    def never(*_, **__):
        raise AssertionError("a finished head is fitted again")

    monkeypatch.setattr(randomisation, "fit_randomised", never)
    before = out.read_bytes()
    assert run(capsys, *words)[0] == 0  # without films: their rows stay
    assert out.read_bytes() == before
    assert run(capsys, *words, "--only", "inversion")[0] == 2


def test_zones_are_thirds_of_the_lung_box_and_a_box_of_their_own_wins(boxed_folder):
    study = randomisation.real_films(boxed_folder, load_settings("smoke"))[0]
    for side in ("right", "left"):
        thirds = [study.regions[f"{side} {height} lung zone"] for height in ("upper", "mid", "lower")]
        assert np.array_equal(np.sum(thirds, axis=0), study.regions[f"{side} lung"])
        tops = [np.flatnonzero(third.any(1))[0] for third in thirds]
        assert tops == sorted(tops) and len({third.sum() for third in thirds}) <= 2
    own = dict(study.regions) | {"right mid lung zone": study.regions["left lung"]}
    again = randomisation.with_zones(type(study)(**{**vars(study), "regions": own}))
    assert np.array_equal(again.regions["right mid lung zone"], study.regions["left lung"])


def test_a_folder_without_boxes_and_a_model_without_a_head_are_refused(film_folder, tiny_checkpoint):
    (film_folder / "region_boxes.csv").unlink()
    with pytest.raises(ValueError, match="no box of an anatomy"):
        randomisation.real_films(film_folder, load_settings("smoke"))
    with pytest.raises(ValueError, match="`ssacl plus` adds one"):
        randomisation.measure_randomisation(load_settings("smoke"), weights=tiny_checkpoint)


def test_sides_have_a_counterpart():
    names = {randomisation.swapped(node) for node in default_graph().nodes}
    assert "left lung" in names and "right clavicle" in names and randomisation.swapped("trachea") is None


# ---- the figure
def test_the_figure_draws_every_variant_with_its_interval():
    rows = [
        {"families": f, "films": films_of, "node": node, "metric": metric, "value": v, "low": v - 0.1, "high": v + 0.1}
        for f, v in (("none", 0.5), ("crops", 0.6), ("all", 0.8))
        for films_of, node in (("real", "right lung"), ("real", "left lung"), ("phantom moved", "mean of leaves"))
        for metric in ("pointing", "cnr")
    ]
    figure = figure_of(pd.DataFrame(rows))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["none", "crops", "all"]
    points = [container.lines[0].get_xdata() for container in figure.axes[0].containers]
    assert len(points) == 2 and all(np.allclose(values, [0.5, 0.6, 0.8]) for values in points)
    assert "not measured" in figure_of(pd.DataFrame(rows[:0]))
