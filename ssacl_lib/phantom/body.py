"""A patient: a random warp and re-weighting of the organ maps, before and after what the findings do to the shape.

Two layers move: bones and the body's outline with the pose, and what lies inside the chest with the pose and with the size
of the heart, the width of the mediastinum and the height of the diaphragm. The lungs' air is one map, so an
organ that grows or shrinks leaves no hole: the lung beside it is stretched or pressed.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from ..anatomy import default_graph
from .organs import FRAME, LAYERS, YAWS, OrganMaps
from .truth import Sign

SOLID_LAYERS = ("solid", "ribs", "girdle", "spine", "clavicle right", "clavicle left")
INNER_LAYERS = tuple(name for name in LAYERS if name not in SOLID_LAYERS)
SOLID_INDEX = [LAYERS.index(name) for name in SOLID_LAYERS]
INNER_INDEX = [LAYERS.index(name) for name in INNER_LAYERS]
SOLID_NODES = ("spine", "right clavicle", "left clavicle", "skeletal structures", "chest")
SIDES = ("right", "left")


@dataclass(frozen=True)
class Patient:
    """Pose, build and breath; lengths in mm, angles in degrees, the rest factors (1 = as in the CT)."""

    anatomy: int
    yaw: int
    angle: float
    zoom: float
    shift: tuple[float, float]
    width: float
    height: float
    elastic: np.ndarray
    thorax_ratio: float
    mediastinum: float
    domes: tuple[float, float]
    build: float
    breasts: tuple[float, float, float]
    shoulders: float
    bone: float
    ribs: float
    parenchyma: float
    vessels: float
    gas: float
    texture: np.ndarray


@dataclass
class Body:
    """One patient's layers on the film, and where each pixel lies in the canonical frame.

    layers: name -> [H, W] float32 (LAYERS). u, v: [H, W] mm of the chest's inside; bone_u, bone_v: of bones and outline.
    points: landmarks (u, v) at the patient's yaw. maps: the anatomy. solid_grid, inner_grid: sampling grids of the masks.
    """

    patient: Patient
    maps: OrganMaps
    layers: dict[str, np.ndarray]
    u: np.ndarray
    v: np.ndarray
    bone_u: np.ndarray
    bone_v: np.ndarray
    points: dict[str, np.ndarray]
    pixel: float
    grids: tuple[torch.Tensor, torch.Tensor] = field(repr=False, default=None)

    def layer(self, name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """A layer at other places (u, v in mm) of the frame: a displaced bone."""
        index = LAYERS.index(name)
        return _sample(self.maps.layers[self.patient.yaw, index : index + 1], _grid(u, v))[0]


def draw_patient(generator: np.random.Generator, signs: tuple[Sign, ...], ranges: float, anatomies: int = 1) -> Patient:
    """Draw pose, build and breath; the signs that change the shape of the chest are part of it.

    ranges: 0 (always the same patient) to 1 (full ranges).
    """
    normal = lambda scale, limit=2.0: float(np.clip(generator.standard_normal(), -limit, limit)) * scale * ranges  # noqa: E731
    by_name = {sign.finding: sign for sign in signs}
    anatomy = int(generator.integers(anatomies))
    yaw = int(np.clip(round(len(YAWS) // 2 + normal(1.6)), 0, len(YAWS) - 1))
    ratio = 0.445 + normal(0.027)
    if "Cardiomegaly" in by_name:
        ratio = 0.502 + 0.14 * by_name["Cardiomegaly"].severity + normal(0.008)
    mediastinum = 0.92 + normal(0.075)
    if "Enlarged Cardiomediastinum" in by_name:
        mediastinum = 1.12 + 0.60 * by_name["Enlarged Cardiomediastinum"].severity + normal(0.04)
    breath = normal(9)
    domes = [breath + normal(4), breath + normal(4)]  # positive: deeper
    for sign in signs:
        if sign.finding == "Atelectasis" and sign.kind == "lobar":
            domes[SIDES.index(sign.side)] -= 6 + 22 * sign.severity
    breasts = (float(generator.random() < 0.5) * float(generator.uniform(5, 38)), float(generator.uniform(0.8, 1.25)),
               float(generator.uniform(-12, 18)))  # fmt: skip
    return Patient(
        anatomy=anatomy, yaw=yaw, angle=normal(2.2), zoom=1.08 * np.exp(normal(0.035)), shift=(normal(6), normal(6) - 4),
        width=np.exp(normal(0.035)), height=np.exp(normal(0.04)), elastic=ranges * 3.2 * generator.standard_normal((2, 5, 5)),
        thorax_ratio=ratio, mediastinum=mediastinum, domes=tuple(domes), build=np.exp(normal(0.10)),
        breasts=(breasts[0] * ranges, breasts[1], breasts[2]), shoulders=normal(12), bone=np.exp(normal(0.18)),
        ribs=2.1 * np.exp(normal(0.2)), parenchyma=0.14 + normal(0.025), vessels=1.35 * np.exp(normal(0.22)),
        gas=float(generator.uniform(0, 1.3)), texture=generator.standard_normal((14, 14)),
    )  # fmt: skip


def pose_body(patient: Patient, maps: OrganMaps, size: int) -> Body:
    """Warp the organ maps onto a film of size x size pixels."""
    points = {name: value[patient.yaw] for name, value in maps.points.items()}
    pixel = FRAME / size
    centre = (np.arange(size) + 0.5) * pixel - FRAME / 2
    x, y = np.meshgrid(centre, centre)
    turn = np.deg2rad(patient.angle)
    u = (np.cos(turn) * x + np.sin(turn) * y) / (patient.zoom * patient.width) + patient.shift[0]
    v = (np.cos(turn) * y - np.sin(turn) * x) / (patient.zoom * patient.height) + FRAME / 2 + patient.shift[1]
    wave = smooth_basis(5, size)
    u = (u + wave @ patient.elastic[0] @ wave.T).astype(np.float32)
    v = (v + wave @ patient.elastic[1] @ wave.T).astype(np.float32)
    inner_u, inner_v = _inside(patient, points, u, v)
    grids = _grid(u, v), _grid(inner_u, inner_v)
    stack = maps.layers[patient.yaw]
    layers = dict(zip(SOLID_LAYERS, _sample(stack[SOLID_INDEX], grids[0]), strict=True))
    layers |= dict(zip(INNER_LAYERS, _sample(stack[INNER_INDEX], grids[1]), strict=True))
    return Body(patient, maps, layers, inner_u, inner_v, u, v, points, pixel / patient.zoom, grids)


def _inside(patient: Patient, points, u, v) -> tuple[np.ndarray, np.ndarray]:
    """Where the inside of the chest is sampled: heart and mediastinum wider or narrower, diaphragm lower or higher."""
    (left_edge, top), (right_edge, bottom) = points["heart box"]
    carina = points["carina"][0, 1]
    upper = smooth_step(v, carina - 110, carina - 50) * (1 - smooth_step(v, carina, carina + 95))
    lower = smooth_step(v, top - 10, top + 40) * (1 - smooth_step(v, bottom + 5, bottom + 50))
    heart_scale = patient.thorax_ratio * 268.0 / (right_edge - left_edge)
    scale = 1 + (heart_scale - 1) * lower + (patient.mediastinum - 1) * upper * (1 - 0.8 * lower)
    share = np.clip(lower, 0, 1)
    centre = (left_edge + right_edge) / 2 * share + points["carina"][0, 0] * (1 - share)
    half = (right_edge - left_edge) / 2 * share + 34 * (1 - share)
    reach = 1.75 * share + 2.6 * (1 - share)
    scale = np.minimum(scale, 1 + 0.6 * (reach - 1))  # never folds
    distance = np.abs(u - centre) / half
    outside = 1 + (distance - scale) * (reach - 1) / (reach - scale)
    source = np.where(distance < scale, distance / scale, outside)
    source = np.where(distance >= reach, distance, source)
    inner_u = centre + np.sign(u - centre) * source * half
    side = smooth_step(u, points["carina"][0, 0] - 25, points["carina"][0, 0] + 25)
    depth = patient.domes[0] * (1 - side) + patient.domes[1] * side
    dome = (points["dome right"][0, 1] + points["dome left"][0, 1]) / 2
    apex = min(points["apex right"][0, 1], points["apex left"][0, 1])
    weight = np.clip((v - apex) / (dome - apex), 0, 1) * np.clip((FRAME + 60 - v) / (FRAME + 60 - dome), 0, 1)
    return inner_u.astype(np.float32), (v - depth * weight).astype(np.float32)


def node_masks(body: Body) -> np.ndarray:
    """Exact masks of the 32 nodes on the film: [32, H, W] bool, a parent holding its children."""
    graph = default_graph()
    regions = torch.from_numpy(body.maps.regions[body.patient.yaw].astype(np.float32))
    solid = [graph.index(name) for name in SOLID_NODES]
    warped = _sample(regions, body.grids[1])
    warped[solid] = _sample(regions[solid], body.grids[0])
    masks = warped > 0.5
    for node in reversed(graph.nodes):
        for child in graph.children(node):
            masks[graph.index(node)] |= masks[graph.index(child)]
    return masks


def smooth_step(value, low: float, high: float):
    """0 below `low`, 1 above `high`, smooth between."""
    part = np.clip((value - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)


_BASES: dict[tuple[int, int], np.ndarray] = {}


def smooth_basis(count: int, size: int) -> np.ndarray:
    """Weights [size, count] that turn `count` control values into a smooth curve (cubic B-splines)."""
    if (count, size) not in _BASES:
        at = (np.arange(size) + 0.5) / size * (count - 1)
        distance = np.abs(at[:, None] - np.arange(count)[None])
        weight = np.where(distance < 1, 2 / 3 - distance**2 + distance**3 / 2, np.maximum(2 - distance, 0) ** 3 / 6)
        _BASES[count, size] = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    return _BASES[count, size]


def _grid(u: np.ndarray, v: np.ndarray) -> torch.Tensor:
    grid = np.stack([u / (FRAME / 2), v / (FRAME / 2) - 1], axis=-1).astype(np.float32)
    return torch.from_numpy(grid)[None]


def _sample(layers, grid: torch.Tensor) -> np.ndarray:
    """Sample maps [k, S, S] at a grid [1, H, W, 2], one image at a time: no value depends on the rest of a batch."""
    source = torch.as_tensor(layers)[None]
    return torch.nn.functional.grid_sample(source, grid, padding_mode="border", align_corners=False)[0].numpy()
