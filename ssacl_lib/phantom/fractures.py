"""Broken ribs and clavicles: a step and a gap in the bone's own layer, a little blood or callus around it."""

import numpy as np

from .body import smooth_step
from .signs import Chest
from .truth import Sign


def fracture(chest: Chest, sign: Sign, generator) -> None:
    """Break the bone that the sign names."""
    if sign.kind == "clavicle":
        _clavicle(chest, sign, generator)
    else:
        _rib(chest, sign, generator)


def _site(points: np.ndarray, low: float, high: float, generator) -> tuple[np.ndarray, np.ndarray]:
    """A point on a centre line [k, 2] between two shares of its length, and the unit tangent there."""
    known = points[np.isfinite(points).all(axis=1)]
    place = round(generator.uniform(low, high) * (len(known) - 1))
    tangent = known[min(place + 2, len(known) - 1)] - known[max(place - 2, 0)]
    return known[place], tangent / max(np.hypot(*tangent), 1e-6)


def _rib(chest: Chest, sign: Sign, generator) -> None:
    _break_rib(chest, sign, sign.number, generator)
    if sign.severity > 0.45 and generator.random() < 0.7:  # a blow seldom breaks one rib alone
        _break_rib(chest, sign, sign.number + 1, generator)


def _break_rib(chest: Chest, sign: Sign, number: int, generator) -> None:
    body = chest.body
    points = body.points[f"rib {sign.side} {number}"]
    if not np.isfinite(points).any():
        return
    site, tangent = _site(points, 0.16, 0.36, generator)
    normal = np.array([-tangent[1], tangent[0]])
    along = (body.bone_u - site[0]) * tangent[0] + (body.bone_v - site[1]) * tangent[1]
    off = (body.bone_u - site[0]) * normal[0] + (body.bone_v - site[1]) * normal[1]
    near = np.exp(-0.5 * ((along / 26) ** 2 + (off / 14) ** 2))
    step = sign.size_mm * generator.choice([-1, 1])
    moved = body.layer("ribs", body.bone_u + normal[0] * step * near * (along > 0),
                       body.bone_v + normal[1] * step * near * (along > 0))  # fmt: skip
    gap = np.exp(-0.5 * (along / (1.8 + 0.2 * sign.size_mm)) ** 2) * np.exp(-0.5 * (off / 9) ** 2)
    before = body.patient.ribs * body.layers["ribs"]
    chest.ribs = chest.ribs + body.patient.ribs * moved * (1 - 0.9 * gap) - before
    ends = np.exp(-0.5 * (((np.abs(along) - 8) / 5) ** 2 + (off / 6.5) ** 2))
    chest.ribs = np.maximum(chest.ribs + (4.0 + 14.0 * sign.severity) * ends, 0).astype(np.float32)
    blood = np.exp(-0.5 * ((along / 16) ** 2 + (off / 10) ** 2)) * (1 - 0.5 * gap)
    chest.water += ((12 + 30 * sign.severity) * blood).astype(np.float32)


def _clavicle(chest: Chest, sign: Sign, generator) -> None:
    body = chest.body
    points = body.points[f"clavicle {sign.side}"]
    if not np.isfinite(points).any():
        return
    order = points[np.argsort(np.abs(points[:, 0]))]
    site, tangent = _site(order, 0.2, 0.42, generator)
    normal = np.array([-tangent[1], tangent[0]])
    normal = normal * np.sign(normal[1] or 1)  # downwards
    along = (body.bone_u - site[0]) * tangent[0] + (body.bone_v - site[1]) * tangent[1]
    off = (body.bone_u - site[0]) * normal[0] + (body.bone_v - site[1]) * normal[1]
    lateral = along > 0
    fall = sign.size_mm * np.exp(-np.maximum(along, 0) / 90)
    moved = body.layer(f"clavicle {sign.side}", body.bone_u - normal[0] * fall * lateral,
                       body.bone_v - normal[1] * fall * lateral)  # fmt: skip
    gap = np.exp(-0.5 * (along / (1.6 + 0.12 * sign.size_mm)) ** 2) * (np.abs(off) < 30)
    callus = np.exp(-0.5 * ((along / 9) ** 2 + ((off - sign.size_mm / 2) / 8) ** 2))
    chest.clavicles[sign.side] = (moved * (1 - 0.9 * gap) + (4 + 9 * sign.severity) * callus * smooth_step(
        np.abs(along), 0, 5)).astype(np.float32)  # fmt: skip
