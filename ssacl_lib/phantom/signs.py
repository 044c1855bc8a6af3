"""How findings of lung and pleura change the beam: what fills, leaves or covers the lungs' air, on the warped maps."""

import numpy as np

from .body import SIDES, Body, smooth_basis, smooth_step
from .truth import Sign
from .volumes import LOBES

LOBE_OF = {("right", "upper"): "lung_upper_lobe_right", ("right", "mid"): "lung_middle_lobe_right",
           ("right", "lower"): "lung_lower_lobe_right", ("left", "upper"): "lung_upper_lobe_left",
           ("left", "mid"): "lung_upper_lobe_left", ("left", "lower"): "lung_lower_lobe_left"}  # fmt: skip


class Chest:
    """What the beam meets, changed sign by sign.

    path: side -> length through the lung in mm. air: side -> mm of water that the lung's air lacks. water: mm of water
    added in front of or behind the lungs. bone: mm of bone excess. metal: attenuation of devices (no unit).
    """

    def __init__(self, body: Body):
        layers, patient = body.layers, body.patient
        self.body = body
        size = layers["solid"].shape[0]
        wave = smooth_basis(14, size)
        parenchyma = patient.parenchyma * (1 + 0.10 * (wave @ patient.texture @ wave.T))
        self.path = {side: sum(layers[name] for name in LOBES if name.endswith(side)) for side in SIDES}
        self.vessels = {side: patient.vessels * layers[f"vessels {side}"] for side in SIDES}
        self.air = {side: np.maximum(self.path[side] * (1 - parenchyma) - self.vessels[side], 0) for side in SIDES}
        self.solid = patient.build * layers["solid"]
        self.inner_air = layers["airway"] + patient.gas * layers["gas"]
        self.water = np.zeros_like(self.solid)
        self.ribs = patient.ribs * layers["ribs"]
        self.clavicles = {side: layers[f"clavicle {side}"] for side in SIDES}
        self.bone = patient.bone * (layers["spine"] + layers["girdle"])
        self.metal = np.zeros_like(self.solid)

    def attenuation(self) -> np.ndarray:
        """Line integral of attenuation [H, W]: about 2 in a lung, 4.5 in the abdomen."""
        water = self.solid + self.water - self.air["right"] - self.air["left"] - self.inner_air
        bone = self.bone + self.body.patient.bone * (self.ribs + self.clavicles["right"] + self.clavicles["left"])
        return 0.019 * np.maximum(water, 0) + 0.034 * bone + self.metal

    def fill(self, side: str, fraction: np.ndarray) -> None:
        """Replace a share (0 to 1, [H, W]) of a lung's air by fluid."""
        self.air[side] = self.air[side] * (1 - np.clip(fraction, 0, 1))

    def noise(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """A smooth random field [H, W] with about unit variance, `count` waves across the frame, fixed to the body."""
        wave = smooth_basis(count, self.solid.shape[0])
        return 1.6 * (wave @ generator.standard_normal((count, count)).astype(np.float32) @ wave.T)

    def zone(self, side: str, zone: str) -> tuple[np.ndarray, np.ndarray]:
        """Relative place of each pixel in a lung zone: depth from the wall (0) to the mediastinum (1) and height (0 to 1)."""
        points = self.body.points
        top, bottom = points[f"apex {side}"][0, 1], points[f"bottom {side}"][0, 1]
        third = (bottom - top) / 3
        start = top + {"apical": 0, "upper": 0, "mid": third, "lower": 2 * third}[zone]
        tall = 0.4 * third if zone == "apical" else third
        return self.across(side), (self.body.v - start) / tall

    def across(self, side: str) -> np.ndarray:
        """0 at the lateral edge of a lung, 1 at its hilum."""
        hilum, angle = self.body.points[f"hilum {side}"][0, 0], self.body.points[f"angle {side}"][0, 0]
        return (self.body.u - angle) / (hilum - angle)

    def spot(self, generator, side: str, zone: str, margin: float = 0.25) -> tuple[float, float]:
        """A random point (u, v) well inside a zone of a lung."""
        points = self.body.points
        hilum, angle = points[f"hilum {side}"][0, 0], points[f"angle {side}"][0, 0]
        top, bottom = points[f"apex {side}"][0, 1], points[f"bottom {side}"][0, 1]
        third = (bottom - top) / 3
        low = {"apical": (0.12, 0.38), "upper": (0.35, 0.9), "mid": (1.1, 1.9), "lower": (2.1, 2.6)}[zone]
        across = generator.uniform(
            *{"apical": (0.5, 0.75), "upper": (0.4, 0.8), "mid": (0.25, 0.8), "lower": (0.3, 0.8)}[zone]
        )
        if side == "left" and zone == "lower":
            across = generator.uniform(0.2, 0.5)  # beside the heart, not behind it
        return angle + across * (hilum - angle), top + third * generator.uniform(*low)


def ellipse(chest: Chest, centre, radius_u: float, radius_v: float, soft: float = 0.35, wobble=None) -> np.ndarray:
    """1 inside an ellipse, 0 outside, a soft edge (a share of the radius), optionally an irregular outline."""
    distance = np.hypot((chest.body.u - centre[0]) / radius_u, (chest.body.v - centre[1]) / radius_v)
    if wobble is not None:
        distance = distance + wobble
    return 1 - smooth_step(distance, 1 - soft, 1 + soft)


def sides_of(sign: Sign) -> tuple[str, ...]:
    """The sides that a sign names."""
    return SIDES if sign.side == "bilateral" else (sign.side,)


def lung_opacity(chest: Chest, sign: Sign, generator) -> None:
    """A faint veil with vessels still seen through it: one cloud, or a whole lung's mid and lower zones."""
    for side in sides_of(sign):
        cloud = chest.noise(generator, 9)
        if sign.kind == "diffuse":
            height = smooth_step((chest.body.v - chest.body.points[f"apex {side}"][0, 1]) / 220, 0.2, 0.55)
            veil = height * np.clip(0.85 + 0.3 * cloud, 0.2, 1.3)
            amount = 0.10 + 0.22 * sign.severity
        else:
            centre = chest.spot(generator, side, sign.zone)
            size = generator.uniform(24, 38)
            veil = ellipse(chest, centre, size * 0.9, size, 0.6, 0.22 * cloud) * np.clip(0.9 + 0.25 * cloud, 0.3, 1.3)
            amount = 0.14 + 0.30 * sign.severity
        chest.fill(side, amount * veil)


def lung_lesion(chest: Chest, sign: Sign, generator) -> None:
    """A ball of soft tissue: its chord in water."""
    centre = chest.spot(generator, sign.side, sign.zone)
    radius = sign.size_mm / 2
    stretch = generator.uniform(0.88, 1.12)
    wobble = (0.05 if sign.kind == "nodule" else 0.10) * chest.noise(generator, 16)
    distance = np.hypot((chest.body.u - centre[0]) / stretch, (chest.body.v - centre[1]) * stretch) / radius + wobble
    inner = np.maximum(1.12 - distance**2, 0)
    chord = 2 * radius * np.sqrt(inner) * smooth_step(inner, 0, 0.5)
    density = (0.65 + 0.75 * sign.severity) * (1.5 if sign.kind == "nodule" else 0.85)
    chest.water += (density * chord * (chest.path[sign.side] > 8)).astype(np.float32)


def edema(chest: Chest, sign: Sign, generator) -> None:
    """Perihilar haze, upper vessels as wide as lower ones, short horizontal lines at the bases (Kerley B)."""
    severity = sign.severity
    for side in SIDES:
        hilum, angle = chest.body.points[f"hilum {side}"][0], chest.body.points[f"angle {side}"][0]
        haze = ellipse(chest, hilum, 62, 82, 0.75, 0.12 * chest.noise(generator, 8))
        mesh = np.clip(0.8 + 0.5 * chest.noise(generator, 60) + 0.3 * chest.noise(generator, 34), 0, 2)
        inside = smooth_step(chest.body.layers[f"wall {side}"], 0, 6) * smooth_step(chest.path[side], 10, 40)
        upper = 1 - smooth_step(chest.body.v, hilum[1] - 10, hilum[1] + 40)
        chest.air[side] -= (0.10 + 0.40 * severity) * chest.vessels[side] * (0.3 + upper)
        chest.fill(side, (0.03 + 0.34 * severity) * haze + (0.025 + 0.11 * severity) * inside * (0.4 + haze) * mesh)
        lines = 4 + int(4 * severity)
        base = angle[1] - 12
        for k in range(lines):
            height = base - 10 * k + generator.uniform(-2, 2)
            start = chest.body.layers[f"wall {side}"]
            length = generator.uniform(14, 24)
            stroke = np.exp(-0.5 * ((chest.body.v - height) / 1.3) ** 2)
            stroke = stroke * (start > 0.5) * (1 - smooth_step(start, length - 4, length + 4)) * (chest.path[side] > 5)
            chest.water += ((1.5 + 7 * severity) * stroke).astype(np.float32)
        np.maximum(chest.air[side], 0, out=chest.air[side])


def consolidation(chest: Chest, sign: Sign, generator) -> None:
    """A lobe or a large part of it without air: dense and even, ending at the fissure."""
    side = sign.side
    lobe = chest.body.layers[LOBE_OF[side, sign.zone]]
    share = lobe / np.maximum(chest.path[side], 1)
    centre = chest.spot(generator, side, sign.zone)
    size = generator.uniform(38, 54) * (0.85 + 0.35 * sign.severity)
    area = ellipse(chest, centre, size * 1.15, size, 0.5, 0.25 * chest.noise(generator, 9))
    chest.fill(side, (0.38 + 0.55 * sign.severity) * area * smooth_step(share, 0.02, 0.5))


def pneumonia(chest: Chest, sign: Sign, generator) -> None:
    """Several ill-defined patches that run together, with dark branching air passages in them."""
    for side in sides_of(sign):
        centre = chest.spot(generator, side, sign.zone)
        lumps = chest.noise(generator, 20) + 0.6 * chest.noise(generator, 34)
        near = ellipse(chest, centre, 46, 40, 0.7, 0.3 * chest.noise(generator, 9))
        patches = near * smooth_step(lumps, -1.6, 1.8)
        passages = np.exp(-((chest.noise(generator, 22) / 0.25) ** 2))
        chest.fill(side, (0.24 + 0.46 * sign.severity) * patches * (1 - 0.4 * passages))


def atelectasis(chest: Chest, sign: Sign, generator) -> None:
    """Plates of collapsed lung at the bases, or a lower lobe that lost volume (the raised diaphragm is in the warp)."""
    u, v = chest.body.u, chest.body.v
    for side in sides_of(sign):
        if sign.kind == "lobar":
            hilum, dome = chest.body.points[f"hilum {side}"][0], chest.body.points[f"dome {side}"][0]
            outward = -1 if side == "right" else 1
            lateral = (u - hilum[0]) * outward
            edge = 12 + (0.45 + 0.25 * sign.severity) * (v - hilum[1] - 10)
            wedge = smooth_step(edge - lateral, -7, 9) * smooth_step(v, hilum[1] + 10, hilum[1] + 34)
            wedge = wedge * (1 - smooth_step(v, dome[1] + 25, dome[1] + 60))
            chest.fill(side, (0.30 + 0.6 * sign.severity) * wedge)
            continue
        for _ in range(1 + int(generator.integers(1, 3))):
            middle = chest.spot(generator, side, sign.zone)
            slope, length = generator.uniform(-0.35, 0.35), generator.uniform(20, 36)
            along, off = u - middle[0], v - middle[1]
            bend = 0.004 * generator.uniform(-1, 1) * along**2
            stroke = np.exp(-0.5 * ((off - slope * along - bend) / (2.6 + 2.0 * sign.severity)) ** 2)
            stroke = (
                stroke * (1 - smooth_step(np.abs(along), length - 8, length + 6)) * smooth_step(chest.air[side], 8, 40)
            )
            chest.water += ((12 + 28 * sign.severity) * stroke).astype(np.float32)


def pneumothorax(chest: Chest, sign: Sign, generator) -> np.ndarray:
    """Air between lung and wall, deepest at the apex: no vessels beyond a thin pleural line, the lung behind it denser.

    Returns the extent [H, W] bool: the free air and the line, without the denser lung.
    """
    side = sign.side
    points, wall = chest.body.points, chest.body.layers[f"wall {side}"]
    top, bottom = points[f"apex {side}"][0, 1], points[f"bottom {side}"][0, 1]
    height = np.clip((chest.body.v - top) / (bottom - top), 0, 1)
    reach = 0.45 + 0.5 * sign.severity
    depth = (sign.size_mm + 4) * (1 - smooth_step(height, 0.1, reach)) * (1 + 0.05 * chest.noise(generator, 6))
    inside = chest.path[side] > 6
    free = smooth_step(depth - wall, -1.5, 1.5) * inside * (depth > 1.5)
    chest.air[side] = chest.air[side] + free * (chest.path[side] * 0.99 - chest.air[side])
    lung = (1 - free) * inside
    chest.fill(side, lung * (0.03 + 0.12 * sign.severity))
    line = np.exp(-0.5 * ((wall - depth) / 1.5) ** 2) * (depth > 3) * inside
    chest.water += ((6 + 8 * sign.severity) * line).astype(np.float32)
    return (free > 0.5) | (line > 0.4)


def pleural_effusion(chest: Chest, sign: Sign, generator) -> None:
    """Fluid that fills the costophrenic angle first and rises along the wall: a meniscus."""
    for side in sides_of(sign):
        points, v = chest.body.points, chest.body.v
        wall = chest.body.layers[f"wall {side}"]
        part = 1.0 if sign.side != "bilateral" else generator.uniform(0.6, 1.0)
        level = points[f"angle {side}"][0, 1] + 6 - sign.size_mm * part
        rise = (14 + 38 * sign.severity) * np.exp(-np.maximum(wall, 0) / (12 + 14 * sign.severity))
        medial = 8 * sign.severity * smooth_step(chest.across(side), 0.7, 1.1)
        surface = level - rise - medial + 1.2 * chest.noise(generator, 6)
        below = smooth_step(v - surface, -5 - 6 * sign.severity, 6 + 4 * sign.severity)
        chest.fill(side, (0.58 + 0.36 * sign.severity) * below)


def pleural_other(chest: Chest, sign: Sign, generator) -> None:
    """Thickened pleura along the lateral wall, or a cap over the apex."""
    side = sign.side
    wall, v = chest.body.layers[f"wall {side}"], chest.body.v
    points = chest.body.points
    thick = sign.size_mm * (1 + 0.18 * chest.noise(generator, 12))
    inside = smooth_step(chest.path[side], 1, 14)
    if sign.kind == "apical cap":
        thick = 1.5 * thick
        where = 1 - smooth_step(v, points[f"apex {side}"][0, 1] + 16, points[f"apex {side}"][0, 1] + 42)
    else:
        centre = chest.spot(generator, side, sign.zone)[1]
        where = 1 - smooth_step(np.abs(v - centre), 30, 48)
    rind = (1 - smooth_step(wall, thick - 5, thick + 5)) * where * inside
    chest.water += ((16 + 26 * sign.severity) * rind).astype(np.float32)
    chest.fill(side, 0.5 * rind)


LUNG_SIGNS = {
    "Lung Opacity": lung_opacity, "Lung Lesion": lung_lesion, "Edema": edema, "Consolidation": consolidation,
    "Pneumonia": pneumonia, "Atelectasis": atelectasis, "Pneumothorax": pneumothorax,
    "Pleural Effusion": pleural_effusion, "Pleural Other": pleural_other,
}  # fmt: skip
