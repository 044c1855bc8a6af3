"""Tubes, lines and a pacemaker: curves of dense material through landmarks of the body."""

from itertools import pairwise

import numpy as np

from .body import smooth_step
from .signs import Chest
from .truth import Sign


def support_device(chest: Chest, sign: Sign, generator) -> None:
    """Place the device that the sign names."""
    _PLACE[sign.kind](chest, sign, generator)


def _curve(points, count: int = 12) -> np.ndarray:
    """A smooth curve [n, 2] through the points (Catmull-Rom)."""
    points = np.asarray(points, dtype=float)
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, count, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*pieces, points[-1:]])


def distance_to_curve(u: np.ndarray, v: np.ndarray, curve: np.ndarray, reach: float = 12.0) -> np.ndarray:
    """Distance in mm of every pixel to a curve [n, 2]; beyond `reach` only "far"."""
    distance = np.full(u.shape, 1e3, dtype=np.float32)
    for start, end in pairwise(curve):
        low, high = np.minimum(start, end) - reach, np.maximum(start, end) + reach
        near = np.nonzero((u > low[0]) & (u < high[0]) & (v > low[1]) & (v < high[1]))
        step = end - start
        du, dv = u[near] - start[0], v[near] - start[1]
        along = np.clip((du * step[0] + dv * step[1]) / max(step @ step, 1e-9), 0, 1)
        distance[near] = np.minimum(distance[near], np.hypot(du - along * step[0], dv - along * step[1]))
    return distance


def _draw(chest: Chest, points, radius: float, density: float, hollow: bool = False, bone: bool = False) -> None:
    """A line or tube of a radius in mm; thin ones keep their mass where a pixel is wider than they are."""
    body = chest.body
    u, v = (body.bone_u, body.bone_v) if bone else (body.u, body.v)
    distance = distance_to_curve(u, v, _curve(points))
    soft = max(0.5 * body.pixel, 0.4)
    density, radius = density * min(1.0, 0.4 + 0.6 * radius / (0.5 * body.pixel)), max(radius, 0.5 * body.pixel)
    line = 1 - smooth_step(distance, radius - soft, radius + soft)
    if hollow and radius > 1.2 * body.pixel:
        inner = 1 - smooth_step(distance, radius - 2.2 - soft, radius - 2.2 + soft)
        line = line - 0.65 * inner
    chest.metal += (density * line).astype(np.float32)


def _endotracheal_tube(chest, sign, generator) -> None:
    points = chest.body.points
    carina, track = points["carina"][0], points["trachea"]
    track = track[np.argsort(track[:, 1])]
    tip = carina[1] - sign.tip_mm
    heights = np.linspace(-40, tip, 6)
    middle = np.interp(heights, track[:, 1], track[:, 0])
    _draw(
        chest,
        np.stack([middle + generator.uniform(-2, 2), heights], axis=1),
        4.5,
        0.16 + 0.20 * sign.severity,
        hollow=True,
    )
    _draw(chest, np.stack([middle + 3, heights], axis=1), 0.8, 0.14 + 0.2 * sign.severity)


def _cava(points, tip: str) -> np.ndarray:
    track = points["cava"][np.argsort(points["cava"][:, 1])]
    junction, (edge, bottom) = points["junction"][0], (points["heart box"][0, 0], points["heart box"][1, 1])
    track = track[track[:, 1] < junction[1] - 8]
    if tip == "superior vena cava":
        return track
    if tip == "cavoatrial junction":
        return np.concatenate([track, junction[None]])
    atrium = np.array([[edge + 12, (junction[1] + bottom) / 2]])
    return np.concatenate([track, junction[None], atrium])


def _catheter(chest, sign, generator) -> None:
    points = chest.body.points
    cava = _cava(points, sign.tip)
    outward = -1 if sign.side == "right" else 1
    if generator.random() < 0.5:  # jugular
        start = np.array([[outward * 38.0, -20.0], [outward * 30.0, cava[0, 1] - 30]])
    else:  # subclavian
        start = np.array([[outward * 150.0, cava[0, 1] + 35], [outward * 105.0, cava[0, 1] - 12],
                          [outward * 55.0, cava[0, 1] - 14]])  # fmt: skip
    _draw(chest, np.concatenate([start, cava]), 1.3, 0.26 + 0.34 * sign.severity)


def _pacemaker(chest, sign, generator) -> None:
    body = chest.body
    points = body.points
    outward = -1 if sign.side == "right" else 1
    apex = points[f"apex {sign.side}"][0]
    centre = np.array([outward * generator.uniform(88, 104), apex[1] + generator.uniform(38, 56)])
    turn = np.deg2rad(generator.uniform(-25, 25))
    du, dv = body.bone_u - centre[0], body.bone_v - centre[1]
    a, b = np.cos(turn) * du + np.sin(turn) * dv, np.cos(turn) * dv - np.sin(turn) * du
    shape = ((np.abs(a) / 23) ** 3.2 + (np.abs(b) / 19) ** 3.2) ** (1 / 3.2)
    chest.metal += ((1.2 + 1.2 * sign.severity) * (1 - smooth_step(shape, 0.95, 1.05))).astype(np.float32)
    cava = _cava(points, "right atrium")
    left, right, bottom = *points["heart box"][:, 0], points["heart box"][1, 1]
    tip = np.array([[left + 0.55 * (right - left), bottom - 14], [left + 0.75 * (right - left), bottom - 10]])
    start = np.array([centre + [-outward * 12, -16], [outward * 62.0, cava[0, 1] - 8]])
    density = 0.35 + 0.35 * sign.severity
    _draw(chest, np.concatenate([start, cava[:-1], cava[-1:] - [0, 12], tip]), 1.0, density)
    if generator.random() < 0.6:
        _draw(chest, np.concatenate([start + [0, 5], cava + [3, 0]]), 1.0, density)


def _enteric_tube(chest, sign, generator) -> None:
    points = chest.body.points
    stomach, carina = points["stomach"][0], points["carina"][0]
    if not np.isfinite(stomach).all():
        stomach = np.array([45.0, points["dome left"][0, 1] + 40])
    middle = carina[0] + generator.uniform(4, 9)
    hiatus = points["dome left"][0, 1] + 8
    path = [[middle - 2, -30], [middle, carina[1] - 30], [middle + 4, carina[1] + 40], [middle + 12, hiatus],
            [stomach[0] * 0.8, (hiatus + stomach[1]) / 2 + 6], [stomach[0], stomach[1] + generator.uniform(5, 25)]]  # fmt: skip
    _draw(chest, path, 1.9, 0.24 + 0.32 * sign.severity)


def _chest_tube(chest, sign, generator) -> None:
    points = chest.body.points
    outward = -1 if sign.side == "right" else 1
    angle, apex = points[f"angle {sign.side}"][0], points[f"apex {sign.side}"][0]
    tall = angle[1] - apex[1]
    entry = np.array([[angle[0] + outward * 45, angle[1] - generator.uniform(20, 60)]])
    inside = np.array([[angle[0] - outward * 8, entry[0, 1] - 16]])
    if sign.zone == "apical":
        rest = np.array([[angle[0] - outward * 18, apex[1] + 0.45 * tall], [apex[0] + outward * 18, apex[1] + 22]])
    else:
        rest = np.array([[angle[0] - outward * 35, angle[1] - 30], [angle[0] - outward * 62, angle[1] - 22]])
    _draw(chest, np.concatenate([entry, inside, rest]), 3.4, 0.24 + 0.34 * sign.severity, hollow=True)


_PLACE = {"endotracheal tube": _endotracheal_tube, "central venous catheter": _catheter, "pacemaker": _pacemaker,
          "enteric tube": _enteric_tube, "chest tube": _chest_tube}  # fmt: skip
