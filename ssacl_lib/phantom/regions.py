"""Masks of the graph's 32 nodes on the organ maps: labels where there are some, stated rules where there are none.

Rules (v: height in mm, downwards; u: to the patient's left):
- diaphragm line: in each column the highest point of the abdominal organs' silhouette (liver, stomach, spleen, bowel, ...).
- lung: silhouette of its lobes above the diaphragm line. Upper, mid and lower zone: thirds of its height. Apical zone: the top
  40 % of the upper zone. Costophrenic angle: a disc of 28 mm at the lateral lower corner. Hilar structures: an ellipse of
  18 x 27 mm at the lung's medial edge, centred 18 mm below the carina. Hemidiaphragm: a band of 12 mm along the diaphragm line
  below this lung.
- cardiac silhouette: the heart's label without what is thinner than 24 mm (vessels that the label follows).
- mediastinum: silhouettes of heart, great vessels, windpipe and gullet above the diaphragm line, closed, and its children. Upper
  mediastinum: what of it lies above the carina. Aortic arch: the aorta's label above the carina. Carina: a disc of 10 mm
  at the fork. Cavoatrial junction: a disc of 11 mm at the lower end of the superior vena cava's label. Right atrium: the
  heart's rightmost 30 % below the junction's centre.
- abdomen: below the diaphragm line. Spine and clavicles: their labels. Chest: the body's silhouette.
A parent holds all that its children hold.
"""

import numpy as np
from scipy import ndimage

from ..anatomy import default_graph

SIDES = ("right", "left")


def lung_silhouette(maps: dict[str, np.ndarray], lobes: tuple[str, ...], side: str) -> np.ndarray:
    """Where a ray crosses at least 12 mm of one lung: [S, S] bool."""
    return sum(maps[name] for name in lobes if name.endswith(side)) > 12


def wall_distance(maps: dict[str, np.ndarray], lobes: tuple[str, ...], pixel: float) -> list[np.ndarray]:
    """Distance in mm from the chest wall and apex into each lung (0 outside): not from the mediastinum or the diaphragm."""
    distances = []
    for side in SIDES:
        lung = lung_silhouette(maps, lobes, side)
        inward = slice(None, None, -1) if side == "right" else slice(None)
        flipped = lung[:, inward]  # the chest wall is on the right now
        medial = np.cumsum(flipped[:, ::-1], axis=1)[:, ::-1] > 0
        filled = np.cumsum(medial, axis=0) > 0
        filled &= medial | ~(np.cumsum(medial[::-1], axis=0)[::-1] > 0)
        distance = ndimage.distance_transform_edt(np.pad(filled, ((1, 0), (0, 1))))[1:, :-1] * pixel
        distances.append((distance * flipped)[:, inward])
    return distances


def diaphragm_line(maps: dict[str, np.ndarray]) -> np.ndarray:
    """Row of the diaphragm line in each column: [S] int, extended sideways beyond the organs."""
    organs = ndimage.binary_opening(maps["abdominal"] > 12)
    rows = np.where(organs.any(axis=0), organs.argmax(axis=0), -1)
    known = np.nonzero(rows >= 0)[0]
    line = np.interp(np.arange(len(rows)), known, rows[known])
    return np.round(ndimage.gaussian_filter1d(line, len(rows) / 120)).astype(int)


def node_regions(maps, marks, lobes, pixel) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Masks [32, S, S] bool in the graph's node order, and points derived on the way (name -> [k, 2] mm)."""
    size = maps["solid"].shape[0]
    v, u = np.mgrid[:size, :size] * pixel + pixel / 2
    u = u - size * pixel / 2
    line = diaphragm_line(maps)
    above = np.arange(size)[:, None] < line[None]
    found, derived = {}, {}
    carina = marks["carina"][0]
    found["abdomen"] = ~above & (maps["solid"] > 20)
    for side in SIDES:
        _lung_regions(found, derived, lung_silhouette(maps, lobes, side) & above, side, line, (u, v), carina, pixel)
    _mediastinum(found, derived, maps, marks, above, (u, v), pixel)
    found["spine"] = maps["vertebrae"] > 22
    for side in SIDES:
        found[f"{side} clavicle"] = maps[f"clavicula {side}"] > 2
    found["chest"] = maps["solid"] > 20
    heart = found["heart"]
    columns = np.nonzero(heart.any(axis=0))[0]
    rows = np.nonzero(heart.any(axis=1))[0]
    derived["heart box"] = np.array([[u[0, columns[0]], v[rows[0], 0]], [u[0, columns[-1]], v[rows[-1], 0]]])
    graph = default_graph()
    for node in reversed(graph.nodes):  # children stand after their parent
        parts = [found[child] for child in graph.children(node)]
        found[node] = np.logical_or.reduce([found.get(node, np.zeros_like(above)), *parts])
    return np.stack([found[node] for node in graph.nodes]), derived


def _lung_regions(found, derived, lung, side, line, position, carina, pixel) -> None:
    u, v = position
    size = len(line)
    outward = -1 if side == "right" else 1
    rows = np.nonzero(lung.sum(axis=1) * pixel > 8)[0]
    top, bottom = v[rows[0], 0], v[rows[-1], 0]
    third = (bottom - top) / 3
    found[f"{side} lung"] = lung
    found[f"{side} upper lung zone"] = lung & (v < top + third)
    found[f"{side} mid lung zone"] = lung & (v >= top + third) & (v < top + 2 * third)
    found[f"{side} lower lung zone"] = lung & (v >= top + 2 * third)
    found[f"{side} apical zone"] = lung & (v < top + 0.4 * third)
    lateral = np.where(lung, v + 0.8 * outward * u, -np.inf)
    corner = np.unravel_index(np.argmax(lateral), lung.shape)
    corner = np.array([u[corner], v[corner]])
    found[f"{side} costophrenic angle"] = lung & (np.hypot(u - corner[0], v - corner[1]) < 28)
    height = carina[1] + 18
    row = lung[int(np.clip(height / pixel, 0, size - 1))]
    inner = np.nonzero(row)[0]
    edge = (u[0, inner.max() if side == "right" else inner.min()]) if len(inner) else carina[0] + outward * 30
    hilum = np.array([edge + outward * 6, height])
    found[f"{side} hilar structures"] = ((u - hilum[0]) / 18) ** 2 + ((v - hilum[1]) / 27) ** 2 < 1
    columns = lung.any(axis=0)
    lowest = size - 1 - lung[::-1].argmax(axis=0)
    touching = columns & (np.abs(lowest - line) < 4 + 8 / pixel)
    found[f"{side} hemidiaphragm"] = touching[None] & (np.abs(v - (line[None] + 0.5) * pixel) <= 6)
    dome = np.nonzero(touching)[0]
    derived[f"hilum {side}"] = hilum[None]
    derived[f"angle {side}"] = corner[None]
    derived[f"apex {side}"] = np.array([[u[lung][v[lung] < top + 8].mean(), top]])
    derived[f"dome {side}"] = np.array([[u[0, dome].mean(), line[dome].min() * pixel]])
    derived[f"bottom {side}"] = np.array([[0.0, bottom]])


def _mediastinum(found, derived, maps, marks, above, position, pixel) -> None:
    u, v = position
    carina, track = marks["carina"][0], marks["cava"]
    height = min(carina[1] + 42, track[:, 1].max())
    order = np.argsort(track[:, 1])
    junction = np.array([np.interp(height, track[order, 1], track[order, 0]), height])
    derived["junction"] = junction[None]
    thin = max(1, round(12 / pixel))
    heart = ndimage.binary_opening(maps["heart"] > 12, iterations=thin)
    found["heart"] = heart
    middle = (heart | (maps["great vessels"] > 6)) & above
    radius = max(1, round(10 / pixel))
    middle = ndimage.binary_closing(np.pad(middle, radius), iterations=radius)[radius:-radius, radius:-radius] & above
    found["mediastinum"] = middle
    found["trachea"] = maps["trachea"] > 4
    found["aortic arch"] = maps["aortic arch"] > 6
    found["superior vena cava"] = maps["superior vena cava"] > 6
    found["upper mediastinum"] = middle & (v < carina[1])
    found["carina"] = np.hypot(u - carina[0], v - carina[1]) < 10
    found["cavoatrial junction"] = np.hypot(u - junction[0], v - junction[1]) < 11
    found["cardiac silhouette"] = heart
    columns = np.nonzero(heart.any(axis=0))[0]
    width = (columns[-1] - columns[0]) * pixel
    found["right atrium"] = heart & (u < u[0, columns[0]] + 0.3 * width) & (v > junction[1])
