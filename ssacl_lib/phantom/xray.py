"""From a patient to a film: attenuation, scatter, noise, exposure and display, one patient at a time.

Each image is made from its own random numbers and by operations on its own arrays, so sample i does not depend on the batch,
the order or the number of workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..anatomy import default_graph
from ..observations import FINDINGS
from ..threads import one_blas_thread
from .body import Body, Patient, draw_patient, node_masks, pose_body, smooth_step
from .devices import support_device
from .findings import draw_signs, generator_of
from .fractures import fracture
from .organs import OrganMaps, organ_maps
from .signs import LUNG_SIGNS, Chest
from .truth import Sign

APPLY = {**LUNG_SIGNS, "Fracture": fracture, "Support Devices": support_device}

EXTENT = {"Support Devices": 0.06, "Fracture": 0.05, "Lung Opacity": 0.08}
"""A sign lies where it changes the attenuation by more than this (0.06 where nothing is said); a film's noise is about 0.03."""


@dataclass(frozen=True)
class RenderedBatch:
    """Films and the truth behind them.

    images: [n, H, W] uint8, bright = dense. signs: per film, the patient's signs. node_masks: [n, 32, H, W] bool in the
    order of the graph's nodes, or None. sign_masks: per film [k, H, W] bool, the extent of each sign, or None.
    """

    images: np.ndarray
    signs: list[tuple[Sign, ...]]
    node_masks: np.ndarray | None = None
    sign_masks: list[np.ndarray] | None = None


@one_blas_thread
def render(seed: int, split: str, indices: Sequence[int], *, image_size: int, ranges: float,
           maps: list[OrganMaps] | None = None, masks: bool = False) -> RenderedBatch:  # fmt: skip
    """Render patients of a split; patient i is the same whatever else is rendered with it.

    Args:
        seed: seed of the whole phantom.
        split: "train", "validation" or "test".
        indices: numbers of the patients.
        image_size: pixels of the square film's side.
        ranges: 0 (one pose, build and exposure) to 1 (full ranges).
        maps: the anatomies, one drawn per patient; None: those of `organ_maps(image_size)`.
        masks: also make the masks of nodes and signs.

    Raises:
        ValueError: ranges outside 0..1, an unknown split, a negative number.
    """
    if not 0 <= ranges <= 1:
        raise ValueError(f"ranges is {ranges}; it must lie between 0 (one patient) and 1 (full ranges)")
    maps = organ_maps(image_size) if maps is None else maps
    images, signs, nodes, extents = [], [], [], []
    for i in indices:
        patient_signs = draw_signs(seed, split, int(i))
        streams = [generator_of(seed, split, int(i), stream) for stream in (2, 3, 4)]
        patient = draw_patient(streams[0], patient_signs, ranges, len(maps))
        body = pose_body(patient, maps[patient.anatomy], image_size)
        chest, extent = apply_signs(body, patient_signs, streams[1], masks)
        images.append(film(chest, patient, ranges, streams[2]))
        signs.append(patient_signs)
        if masks:
            nodes.append(node_masks(body))
            extents.append(warped_extents(patient_signs, extent, nodes[-1]))
    shape = (len(images), image_size, image_size)
    return RenderedBatch(
        images=np.stack(images) if images else np.zeros(shape, np.uint8),
        signs=signs,
        node_masks=np.stack(nodes) if masks and nodes else (np.zeros((0, 32, *shape[1:]), bool) if masks else None),
        sign_masks=extents if masks else None,
    )


def apply_signs(body: Body, signs: tuple[Sign, ...], generator, extents: bool) -> tuple[Chest, np.ndarray]:
    """The chest with all signs, and where each of them changed the attenuation: [k, H, W] bool."""
    chest = Chest(body)
    shape = chest.solid.shape
    found = np.zeros((len(signs), *shape), dtype=bool)
    own = generator.spawn(len(FINDINGS))
    order = sorted(range(len(signs)), key=lambda k: signs[k].finding == "Support Devices")
    for k in order:
        sign = signs[k]
        if sign.finding not in APPLY:
            continue
        before = chest.attenuation() if extents else None
        own_extent = APPLY[sign.finding](chest, sign, own[FINDINGS.index(sign.finding)])
        if own_extent is not None:
            found[k] = own_extent
        elif extents:
            found[k] = np.abs(chest.attenuation() - before) > EXTENT.get(sign.finding, 0.06)
    return chest, found


def warped_extents(signs, extents: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Extents of the signs that change the body's shape: the heart, the upper mediastinum."""
    graph = default_graph()
    where = {"Cardiomegaly": "cardiac silhouette", "Enlarged Cardiomediastinum": "upper mediastinum"}
    for k, sign in enumerate(signs):
        if sign.finding in where:
            extents[k] = nodes[graph.index(where[sign.finding])]
    return extents


def film(chest: Chest, patient: Patient, ranges: float, generator) -> np.ndarray:
    """Expose and display: [H, W] uint8."""
    size = chest.solid.shape[0]
    add_soft_tissue(chest, patient)
    attenuation = chest.attenuation()
    coarse = _blur(np.exp(-np.minimum(attenuation, 6.0)), 9)
    scatter = 0.22 + 0.06 * ranges * generator.standard_normal()
    primary = np.exp(-attenuation) + max(scatter, 0.05) * coarse
    photons = 14000 * (360 / size) ** 2 * np.exp(0.6 * ranges * generator.standard_normal())
    noise = generator.standard_normal((size, size)).astype(np.float32)
    density = -np.log(primary) + noise / np.sqrt(photons * primary)
    wide, fine = density - _blur(density, 14), density - _blur(density, 4)
    density = density + (0.40 + 0.25 * ranges * generator.uniform(-1, 1)) * wide + 0.8 * fine
    inner = density[size // 8 : -size // 8, size // 10 : -size // 10]
    low, high = np.percentile(inner, (1.0, 97.0))
    level = (density - low) / (high - low)
    dark, bright = 0.12 + 0.05 * ranges * generator.uniform(-1, 1), 0.88 + 0.06 * ranges * generator.uniform(-1, 1)
    gamma = 0.78 * np.exp(0.16 * ranges * generator.standard_normal())
    grey = dark + (bright - dark) * np.where(level > 0, np.maximum(level, 1e-6) ** gamma, 0.6 * level)
    grey = np.where(grey > 0.85, 1 - 0.15 * np.exp(-(grey - 0.85) / 0.15), grey)
    add_marks(grey, ranges, generator)
    return np.clip(np.round(255 * grey), 0, 255).astype(np.uint8)


def add_soft_tissue(chest: Chest, patient: Patient) -> None:
    """Breast shadows, and shoulders that slope down from the neck."""
    body = chest.body
    u, v = body.bone_u, body.bone_v
    thick, wide, low = patient.breasts
    if thick > 0:
        for side in (-1, 1):
            a, b = (u - side * 78) / (58 * wide), (v - 232 - low) / (52 * wide)
            distance = np.hypot(a, np.where(b > 0, b, b * 0.55))
            chest.water += (
                thick * np.sqrt(np.clip(1 - distance**2, 0, 1)) * smooth_step(1 - distance, 0, 0.25)
            ).astype(np.float32)
    shoulder = 12 + patient.shoulders + 0.28 * np.maximum(np.abs(u) - 50, 0)
    neck = 0.8 * np.sqrt(np.clip(1 - (u / 64) ** 2, 0, 1))
    chest.solid = chest.solid * np.maximum(smooth_step(v - shoulder, -16, 20), neck)


GLYPHS = {"R": "1110 1001 1001 1110 1010 1001 1001", "L": "1000 1000 1000 1000 1000 1000 1111",
          "A": "0110 1001 1001 1111 1001 1001 1001", "P": "1110 1001 1001 1110 1000 1000 1000"}  # fmt: skip
"""Letters of the marks that stand on films, 7 rows of 4 points."""


def add_marks(grey: np.ndarray, ranges: float, generator) -> None:
    """A side mark, sometimes the projection, sometimes black borders where the beam was collimated (in place)."""
    size = grey.shape[0]
    corner, mark, projection, borders = generator.uniform(size=4)
    edges = generator.uniform(0, 0.06 * ranges, size=4)
    bright, place = generator.uniform(0.8, 1.0), generator.uniform(0.02, 0.07, size=2)
    if mark < 0.65:
        letter = "R" if corner < 0.5 else "L"
        _write(grey, letter, place[0] if letter == "R" else 0.93 - place[0], place[1], bright)
    if projection < 0.2:
        _write(grey, "AP", 0.8 if corner < 0.5 else 0.06, 0.02 + place[1], bright)
    if borders < 0.2:
        low, high = np.round(edges[:2] * size).astype(int), size - np.round(edges[2:] * size).astype(int)
        grey[: low[0]] = grey[high[0] :] = 0
        grey[:, : low[1]] = grey[:, high[1] :] = 0


def _write(grey: np.ndarray, text: str, left: float, top: float, bright: float) -> None:
    size = grey.shape[0]
    scale = max(1, round(size / 112))
    for k, letter in enumerate(text):
        points = np.array([[int(c) for c in row] for row in GLYPHS[letter].split()], dtype=bool)
        points = np.kron(points, np.ones((scale, scale), dtype=bool))
        y, x = round(top * size), round(left * size) + 5 * scale * k
        area = grey[y : y + points.shape[0], x : x + points.shape[1]]
        area[points[: area.shape[0], : area.shape[1]]] = bright


_BLURS: dict[tuple[int, int], np.ndarray] = {}


def _blur(image: np.ndarray, sigma_mm: float) -> np.ndarray:
    """Gaussian blur by two matrix products."""
    size = image.shape[0]
    key = (size, int(sigma_mm))
    if key not in _BLURS:
        at = np.arange(size) * 360 / size
        weight = np.exp(-0.5 * ((at[:, None] - at[None]) / sigma_mm) ** 2)
        _BLURS[key] = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    return _BLURS[key] @ image.astype(np.float32) @ _BLURS[key].T
