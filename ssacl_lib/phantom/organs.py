"""Organ maps: what each organ adds to the beam, from a labelled CT, at several yaw angles, in one canonical frame.

The frame is a square of 360 mm seen from the front: u runs to the patient's left (the image's right), v downwards.
The patient of the CT lies on the back and breathes shallowly; the frame stretches the lungs to those of a standing
patient (`_heights`), which keeps every path length along the beam.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import interpolate
from tqdm import tqdm

from .. import paths
from ..record.manifest import atomic_write
from ..record.sources import code_behind, sha256_json
from ..threads import one_blas_thread
from .ct import FILES, LabelledCT, find_files, get_ct, load_ct, sha256
from .regions import node_regions, wall_distance
from .volumes import LOBES, halved, landmarks, volumes

FRAME = 360.0
"""Side of the canonical frame in mm."""

YAWS = (-8.0, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0)
"""Degrees; positive turns the patient's left side towards the film."""

SOURCE, FILM = 1800.0, 120.0
"""Distance from focus to film, and from the middle of the body to the film, in mm."""

LAYERS = ("solid", "ribs", "girdle", "spine", "clavicle right", "clavicle left", *LOBES, "vessels right", "vessels left",
          "airway", "gas", "heart", "wall right", "wall left")  # fmt: skip
"""Order of the layers. Path lengths in mm of water: `solid` is the body with its air spaces filled, the bones are what
they attenuate above soft tissue, lobes and airway are lengths of the path, vessels what the lungs' vessels attenuate
above parenchyma, gas the length through gas in the bowel. `wall` is the distance in mm to the chest wall."""


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


def maps_file(folder: Path | None, size: int) -> Path:
    """Where the maps of a CT lie (None: the fetched one), named by the CT's content and by the code that makes them."""
    stamp = FILES if folder is None else [sha256(file) for file in find_files(folder)]
    return paths.ORGAN_MAPS / f"{sha256_json([stamp, code_behind(__name__)])[:12]}-{size}.npz"


def _cached(folder: Path | None, size: int) -> OrganMaps:
    path = maps_file(folder, size)
    if not path.is_file():
        source = get_ct() if folder is None else folder
        with tqdm(total=len(YAWS) + 2, desc="organ maps, once per machine", unit="part") as bar:
            ct = load_ct(source)
            bar.update()
            maps = make_maps(ct, size, bar.update)
        with atomic_write(path, "wb") as handle:
            np.savez_compressed(handle, layers=maps.layers.astype(np.float16), regions=np.packbits(maps.regions, axis=-1),
                                **{f"point {name}": value for name, value in maps.points.items()})  # fmt: skip
    with np.load(path) as stored:
        return OrganMaps(
            layers=stored["layers"].astype(np.float32),
            regions=np.unpackbits(stored["regions"], axis=-1, count=size).astype(bool),
            points={name[6:]: stored[name] for name in stored.files if name.startswith("point ")},
        )


@one_blas_thread
def make_maps(ct: LabelledCT, size: int, after: Callable[[], object] = lambda: None) -> OrganMaps:
    """Project a CT organ by organ. About 30 s on 2 cores for the fetched CT; `after` is called after each part of the work."""
    ct = halved(ct)
    layer_volumes, silhouettes = volumes(ct)
    frame = _Frame(ct, size)
    points3d = landmarks(ct)
    stacked = {**layer_volumes, **silhouettes}
    after()
    layers, regions, points = [], [], []
    for yaw in YAWS:
        maps = {name: frame.project(volume, yaw, extend=name == "solid") for name, volume in stacked.items()}
        marks = {name: frame.place(xyz, yaw) for name, xyz in points3d.items()}
        maps["wall right"], maps["wall left"] = wall_distance(maps, LOBES, FRAME / size)
        masks, derived = node_regions(maps, marks, LOBES, FRAME / size)
        layers.append(np.stack([maps[name] for name in LAYERS]))
        regions.append(masks)
        points.append(marks | derived)
        after()
    return OrganMaps(
        layers=np.stack(layers).astype(np.float16).astype(np.float32),
        regions=np.stack(regions),
        points={name: np.stack([p[name] for p in points]).astype(np.float32) for name in points[0]},
    )


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
        self.to_z = interpolate.interp1d(
            self.to_v(fine)[::-1], fine[::-1], bounds_error=False, fill_value=(heights[-1], heights[0])
        )

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
        rays = torch.nn.functional.grid_sample(
            source, torch.from_numpy(grid.astype(np.float32))[None], align_corners=True
        )
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
