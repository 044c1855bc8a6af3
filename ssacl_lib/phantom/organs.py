"""Organ maps: what each organ adds to the beam, from a labelled CT, at several yaw angles, in one canonical frame.

The frame is a square of 360 mm seen from the front: u runs to the patient's left (the image's right), v downwards.
The patient of the CT lies on the back and breathes shallowly; the frame stretches the lungs to those of a standing
patient (`_heights`), which keeps every path length along the beam.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import interpolate, ndimage

from .. import paths
from ..manifest import atomic_write
from .ct import FILES, LabelledCT, find_files, get_ct, load_ct, sha256
from .regions import node_regions, wall_distance

VERSION = 4
"""Raise it when the maps change: cached ones of another version are made again."""

FRAME = 360.0
"""Side of the canonical frame in mm."""

YAWS = (-8.0, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0)
"""Degrees; positive turns the patient's left side towards the film."""

SOURCE, FILM = 1800.0, 120.0
"""Distance from focus to film, and from the middle of the body to the film, in mm."""

LOBES = ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right",
         "lung_upper_lobe_left", "lung_lower_lobe_left")  # fmt: skip

LAYERS = ("solid", "ribs", "girdle", "spine", "clavicle right", "clavicle left", *LOBES, "vessels right", "vessels left",
          "airway", "gas", "heart", "wall right", "wall left")  # fmt: skip
"""Order of the layers. Path lengths in mm of water: `solid` is the body with its air spaces filled, the bones are what
they attenuate above soft tissue, lobes and airway are lengths of the path, vessels what the lungs' vessels attenuate
above parenchyma, gas the length through gas in the bowel. `wall` is the distance in mm to the chest wall."""

ABDOMINAL = ("liver", "spleen", "stomach", "kidney_*", "pancreas", "colon", "small_bowel", "gallbladder", "duodenum")


@dataclass(frozen=True)
class OrganMaps:
    """One anatomy.

    layers: [Y, L, S, S] float32 in LAYERS order, at the angles YAWS. regions: [Y, 32, S, S] bool in the order of the graph's
    nodes. points: name -> [Y, k, 2] canonical (u, v) in mm (NaN where unknown).
    """

    layers: np.ndarray
    regions: np.ndarray
    points: dict[str, np.ndarray]

    @property
    def size(self) -> int:
        """Pixels of a map's side."""
        return self.layers.shape[-1]


def organ_maps(image_size: int, ct_folders: list[Path] | None = None) -> list[OrganMaps]:
    """The organ maps of the fetched CT, or of each folder given; made once per machine and cached.

    Args:
        image_size: pixels of the images to be rendered; maps are a quarter finer.
        ct_folders: folders as `ssacl_lib.phantom.ct.find_files` describes them; None: the fetched CT.

    Raises:
        FileNotFoundError, ValueError: see `get_ct` and `load_ct`.
    """
    size = int(np.clip(round(image_size * 1.25 / 8) * 8, 80, 320))
    if ct_folders is None:
        return [_cached(None, size)]
    if not ct_folders:
        raise ValueError("ct_folders is empty; give at least one folder of a CT, or None for the fetched one")
    return [_cached(Path(folder), size) for folder in ct_folders]


def _cached(folder: Path | None, size: int) -> OrganMaps:
    if folder is None:
        stamp = json.dumps(FILES, sort_keys=True)
    else:
        stamp = json.dumps([sha256(file) for file in find_files(folder)])
    key = hashlib.sha256(f"{VERSION} {stamp}".encode()).hexdigest()[:12]
    path = paths.ORGAN_MAPS / f"{key}-{size}.npz"
    if not path.is_file():
        maps = make_maps(load_ct(get_ct() if folder is None else folder), size)
        with atomic_write(path, "wb") as handle:
            np.savez_compressed(handle, layers=maps.layers.astype(np.float16), regions=np.packbits(maps.regions, axis=-1),
                                **{f"point {name}": value for name, value in maps.points.items()})  # fmt: skip
    with np.load(path) as stored:
        return OrganMaps(
            layers=stored["layers"].astype(np.float32),
            regions=np.unpackbits(stored["regions"], axis=-1, count=size).astype(bool),
            points={name[6:]: stored[name] for name in stored.files if name.startswith("point ")},
        )


def make_maps(ct: LabelledCT, size: int) -> OrganMaps:
    """Project a CT organ by organ. About 30 s on 2 cores for the fetched CT."""
    ct = _halved(ct)
    volumes, silhouettes = _volumes(ct)
    frame = _Frame(ct, size)
    points3d = _landmarks(ct)
    stacked = {**volumes, **silhouettes}
    layers, regions, points = [], [], []
    for yaw in YAWS:
        maps = {name: frame.project(volume, yaw, extend=name == "solid") for name, volume in stacked.items()}
        marks = {name: frame.place(xyz, yaw) for name, xyz in points3d.items()}
        maps["wall right"], maps["wall left"] = wall_distance(maps, LOBES, FRAME / size)
        masks, derived = node_regions(maps, marks, LOBES, FRAME / size)
        layers.append(np.stack([maps[name] for name in LAYERS]))
        regions.append(masks)
        points.append(marks | derived)
    return OrganMaps(
        layers=np.stack(layers).astype(np.float16).astype(np.float32),
        regions=np.stack(regions),
        points={name: np.stack([p[name] for p in points]).astype(np.float32) for name in points[0]},
    )


def _halved(ct: LabelledCT) -> LabelledCT:
    """About 1.4 x 1.4 mm across (means of the grey values, every second label)."""
    step = max(1, round(1.4 / ct.spacing[0]))
    x, y = (n // step * step for n in ct.hounsfield.shape[:2])
    value = np.clip(ct.hounsfield[:x, :y], -1000, 2000)
    value = value.reshape(x // step, step, y // step, step, -1).mean(axis=(1, 3), dtype=np.float32)
    spacing = (ct.spacing[0] * step, ct.spacing[1] * step, ct.spacing[2])
    return LabelledCT(value, ct.labels[:x:step, :y:step], ct.names, spacing)


def _body(ct: LabelledCT) -> np.ndarray:
    """The patient without the table: the largest solid piece, its holes filled slice by slice."""
    solid = ndimage.binary_opening(ct.hounsfield > -350, iterations=2) | (ct.labels > 0)
    pieces, count = ndimage.label(solid)
    largest = pieces == 1 + np.argmax(ndimage.sum_labels(solid, pieces, np.arange(1, count + 1)))
    largest |= ct.labels > 0
    return np.stack([ndimage.binary_fill_holes(largest[..., z]) for z in range(largest.shape[2])], axis=-1)


def _volumes(ct: LabelledCT) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Water equivalents per mm of path of every layer, and the label volumes behind the regions."""
    hounsfield, body = ct.hounsfield, _body(ct)
    lung, airway = ct.mask("lung_*"), ct.mask("trachea")
    bone = ct.mask("rib_*", "vertebrae_*", "clavicula_*", "scapula_*", "humerus_*", "sternum", "costal_cartilages")
    near_bone = ndimage.binary_dilation(bone)
    inside = body & ~lung
    gas = inside & (hounsfield < -300)
    top_of_abdomen = np.nonzero(ct.mask("liver").any(axis=(0, 1)))[0].max()
    air_above = gas & (np.arange(gas.shape[2]) > top_of_abdomen)
    lung_like = ndimage.binary_dilation(lung, iterations=3)
    # contrast medium outside of bone becomes soft tissue; what is air in the body counts as filled
    soft = np.where(hounsfield > 70, 45, hounsfield)
    solid = np.where(body, np.where(lung | gas, 1.0, 1 + soft / 1000), 0.0)
    bone_excess = np.clip(hounsfield - 90, 0, 750) / 1000
    vein = ndimage.binary_dilation(ct.mask("brachiocephalic_*", "subclavian_*", "superior_vena_cava"), iterations=3)
    vein |= ndimage.binary_dilation(ct.mask("rib_right_1", "rib_left_1"), iterations=2)
    bone_excess[vein] = np.minimum(bone_excess[vein], 0.12)
    deep = ndimage.binary_erosion(lung, iterations=2)
    vessel = np.where(deep, np.clip((hounsfield + 760) / 1000, 0, 0.80), 0)

    def bones(*names: str) -> np.ndarray:
        return np.where(ndimage.binary_dilation(ct.mask(*names)) & near_bone, bone_excess, 0)

    volumes = {"solid": solid, "ribs": bones("rib_*", "costal_cartilages"),
               "girdle": bones("scapula_*", "humerus_*", "sternum"), "spine": bones("vertebrae_*"),
               "clavicle right": bones("clavicula_right"), "clavicle left": bones("clavicula_left"),
               **{name: ct.mask(name) for name in LOBES},
               "vessels right": np.where(ct.mask(*LOBES[:3]), vessel, 0),
               "vessels left": np.where(ct.mask(*LOBES[3:]), vessel, 0),
               "airway": airway | (air_above & ~lung_like), "gas": gas & ~air_above & ~lung_like,
               "heart": ct.mask("heart", "atrial_appendage_left")}  # fmt: skip
    above = np.arange(gas.shape[2]) > np.nonzero(ct.mask("heart").any(axis=(0, 1)))[0].min()
    carina = _carina(ct)[2]
    silhouettes = {
        "trachea": airway & (np.arange(gas.shape[2]) >= carina), "aortic arch": ct.mask("aorta") & (
            np.arange(gas.shape[2]) >= carina),
        "superior vena cava": ct.mask("superior_vena_cava"), "vertebrae": ct.mask("vertebrae_*"),
        "clavicula right": ct.mask("clavicula_right"), "clavicula left": ct.mask("clavicula_left"),
        "great vessels": above & ct.mask("aorta", "brachiocephalic_*", "superior_vena_cava", "common_carotid_*",
                                         "pulmonary_vein", "esophagus", "trachea"),
        "abdominal": ct.mask(*ABDOMINAL),
    }  # fmt: skip
    return volumes, silhouettes


def _carina(ct: LabelledCT) -> tuple[float, float, int]:
    """Voxel where the windpipe's label splits: the highest slice with two separate parts of at least 20 voxels."""
    airway = ct.mask("trachea")
    slices = np.nonzero(airway.any(axis=(0, 1)))[0]
    for z in slices[::-1]:
        parts, count = ndimage.label(airway[..., z])
        sizes = ndimage.sum_labels(airway[..., z], parts, np.arange(1, count + 1))
        if (sizes >= 20).sum() >= 2:
            centre = np.mean(ndimage.center_of_mass(airway[..., z], parts, 1 + np.argsort(sizes)[-2:]), axis=0)
            return float(centre[0]), float(centre[1]), int(z) + 1
    centre = ndimage.center_of_mass(airway[..., slices[0]])
    return float(centre[0]), float(centre[1]), int(slices[0])


def _landmarks(ct: LabelledCT) -> dict[str, np.ndarray]:
    """Points in voxels, name -> [k, 3] (NaN where a structure is missing)."""

    def middle(mask: np.ndarray, z: int) -> np.ndarray:
        return np.array([*ndimage.center_of_mass(mask[..., z]), z])

    cava, airway = ct.mask("superior_vena_cava"), ct.mask("trachea")
    levels = np.nonzero(cava.any(axis=(0, 1)))[0]
    heights = np.nonzero(airway.any(axis=(0, 1)))[0]
    carina = np.array(_carina(ct))
    track = np.array([middle(airway, z) for z in np.linspace(carina[2] + 1, heights.max(), 8).astype(int)])
    marks = {"carina": carina[None], "trachea": track,
             "cava": np.array([middle(cava, z) for z in np.linspace(levels.min(), levels.max(), 6).astype(int)]),
             "heart": np.array([ndimage.center_of_mass(ct.mask("heart"))])}  # fmt: skip
    for name, structure in (("stomach", "stomach"), ("oesophagus", "esophagus")):
        mask = ct.mask(structure)
        marks[name] = np.array([ndimage.center_of_mass(mask) if mask.any() else [np.nan] * 3])
    centre = np.array(ndimage.center_of_mass(ct.mask("lung_*")))
    for side in ("right", "left"):
        for number in range(1, 13):
            marks[f"rib {side} {number}"] = _arc(ct.mask(f"rib_{side}_{number}"), centre, 24)
        clavicle = np.argwhere(ct.mask(f"clavicula_{side}")).astype(float)
        marks[f"clavicle {side}"] = _binned(clavicle, clavicle[:, 0] if len(clavicle) else clavicle, 12)
    return marks


def _arc(mask: np.ndarray, centre: np.ndarray, count: int) -> np.ndarray:
    """Centre line [count, 3] of a rib, from its head at the spine round the side to the front."""
    voxels = np.argwhere(mask).astype(float)
    if len(voxels) < 100:
        return np.full((count, 3), np.nan)
    side = np.sign(voxels[:, 0].mean() - centre[0])
    angle = np.arctan2(voxels[:, 1] - centre[1], (voxels[:, 0] - centre[0]) * side)  # -90 at the back, 90 in front
    return _binned(voxels, angle, count)


def _binned(voxels: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    if len(voxels) < count:
        return np.full((count, 3), np.nan)
    edges = np.linspace(order.min(), order.max() + 1e-6, count + 1)
    which = np.digitize(order, edges) - 1
    rows = [voxels[which == k].mean(axis=0) if (which == k).any() else [np.nan] * 3 for k in range(count)]
    return np.array(rows)


class _Frame:
    """The beam's geometry (a fan, PA) and the way from voxels to the canonical frame."""

    def __init__(self, ct: LabelledCT, size: int):
        self.size, self.spacing, self.shape = size, np.array(ct.spacing), ct.labels.shape
        lung = np.argwhere(ct.mask("lung_*"))
        spine = np.argwhere(ct.mask("vertebrae_*"))
        self.axis = np.array([spine[:, 0].mean(), lung[:, 1].mean()])
        width = (np.percentile(lung[:, 0], 99.8) - np.percentile(lung[:, 0], 0.2)) * self.spacing[0]
        self.scale = 268.0 / width
        heights, targets = self._heights(ct, lung)
        self.to_v = interpolate.PchipInterpolator(heights, targets)
        fine = np.linspace(heights[0], heights[-1], 4000)
        self.to_z = interpolate.interp1d(self.to_v(fine)[::-1], fine[::-1], bounds_error=False,
                                         fill_value=(heights[-1], heights[0]))

    def _heights(self, ct: LabelledCT, lung: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Heights in slices and where they stand in the frame: apex, dome of the diaphragm, costophrenic angle."""
        step = self.spacing[2]
        apex, dome = lung[:, 2].max(), np.nonzero(ct.mask("liver").any(axis=(0, 1)))[0].max()
        left, right = np.percentile(lung[:, 0], (3, 97))
        angle = np.mean([lung[lung[:, 0] < left, 2].min(), lung[lung[:, 0] > right, 2].min()])
        top, bottom = ct.labels.shape[2] - 1, 0
        v_apex, v_dome, v_angle = 44.0, 256.0, 306.0
        heights = [bottom, angle, dome, apex, top]
        targets = [v_angle + (angle - bottom) * step * 1.1, v_angle, v_dome, v_apex, v_apex - (top - apex) * step * 1.3]
        middle = dome + 0.45 * (apex - dome)
        heights.insert(3, middle)
        targets.insert(3, v_dome + (v_apex - v_dome) * 0.45)
        return np.array(heights, dtype=float), np.array(targets)

    def project(self, volume: np.ndarray, yaw: float, extend: bool = False) -> np.ndarray:
        """Integrate [X, Y, Z] along the rays of a yaw angle onto the frame: [size, size], in mm.

        extend: continue the highest slice upwards where the frame is taller than the CT (else nothing is there).
        """
        step = 1.4
        u = np.arange(-200, 200, step)
        depth = np.arange(-190, 190, step)
        across = u[:, None] * (1 - (FILM - depth) / SOURCE)[None]
        angle = np.deg2rad(yaw)
        x = (across * np.cos(angle) - depth * np.sin(angle)) / self.spacing[0] + self.axis[0]
        y = (across * np.sin(angle) + depth * np.cos(angle)) / self.spacing[1] + self.axis[1]
        grid = np.stack([2 * y / (self.shape[1] - 1) - 1, 2 * x / (self.shape[0] - 1) - 1], axis=-1)
        source = torch.from_numpy(np.ascontiguousarray(volume.transpose(2, 0, 1), dtype=np.float32))[None]
        rays = torch.nn.functional.grid_sample(source, torch.from_numpy(grid.astype(np.float32))[None], align_corners=True)
        integral = rays[0].sum(dim=-1).numpy() * step  # [Z, U]
        return self._vertical(extend) @ integral @ self._lateral(u).T

    def _lateral(self, u: np.ndarray) -> np.ndarray:
        pixel = FRAME / self.size
        target = (np.arange(self.size) + 0.5) * pixel - FRAME / 2
        return _triangles(target, u * self.scale, max(pixel, 1.4 * self.scale))

    def _vertical(self, extend: bool) -> np.ndarray:
        pixel = FRAME / self.size
        target = (np.arange(self.size) + 0.5) * pixel
        slices = np.arange(self.shape[2], dtype=float)
        z = self.to_z(target)
        # width of a pixel in slices, at least one slice: each row is a weighted mean
        width = np.maximum(np.abs(np.gradient(z)), 1.0)
        weights = _triangles(z, slices, width[:, None])
        return weights if extend else weights * (target > self.to_v(slices[-1]))[:, None]

    def place(self, voxels: np.ndarray, yaw: float) -> np.ndarray:
        """Where points [k, 3] in voxels stand in the frame at a yaw angle: [k, 2] (u, v) in mm."""
        angle = np.deg2rad(yaw)
        x, y = ((voxels[:, i] - self.axis[i]) * self.spacing[i] for i in (0, 1))
        across, depth = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
        u = across / (1 - (FILM - depth) / SOURCE) * self.scale
        return np.stack([u, self.to_v(np.clip(voxels[:, 2], 0, self.shape[2] - 1))], axis=-1)


def _triangles(target: np.ndarray, source: np.ndarray, width) -> np.ndarray:
    """Weights [target, source] of triangles of half-width `width`, each row summing to 1."""
    weight = np.maximum(1 - np.abs(target[:, None] - source[None]) / width, 0)
    return (weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)
