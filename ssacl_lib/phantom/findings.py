"""What a patient has: 0 to 4 findings with their side, zone, size and severity, drawn before anything is rendered."""

import numpy as np

from ..observations import FINDINGS
from .truth import Sign

SPLIT_CODES = {"train": 0, "validation": 1, "test": 2}

NORMAL = 0.28
"""Share of patients without any finding."""

COUNTS = (0.36, 0.32, 0.21, 0.11)
"""Shares of 1, 2, 3 and 4 findings among the others."""

WEIGHTS = dict(
    zip(FINDINGS, (0.55, 0.85, 0.85, 0.55, 0.55, 0.60, 0.75, 0.70, 0.65, 0.80, 0.50, 0.65, 0.90), strict=True)
)
"""How often a finding is drawn first; what is drawn next depends on the first (`COMPANIONS`)."""

COMPANIONS = {
    ("Pleural Effusion", "Atelectasis"): 3.5, ("Edema", "Cardiomegaly"): 3.0, ("Edema", "Pleural Effusion"): 2.5,
    ("Cardiomegaly", "Pleural Effusion"): 1.6, ("Pneumonia", "Consolidation"): 1.4, ("Pneumonia", "Lung Opacity"): 1.6,
    ("Pneumothorax", "Fracture"): 2.0, ("Pneumothorax", "Support Devices"): 2.5, ("Atelectasis", "Support Devices"): 1.5,
    ("Edema", "Support Devices"): 1.6, ("Cardiomegaly", "Enlarged Cardiomediastinum"): 1.5,
    ("Pleural Effusion", "Support Devices"): 1.4, ("Pneumothorax", "Edema"): 0.4, ("Pneumothorax", "Pneumonia"): 0.5,
    ("Lung Lesion", "Edema"): 0.5, ("Pneumothorax", "Pleural Other"): 0.5,
}  # fmt: skip
"""How much likelier (above 1) or rarer (below 1) two findings are together."""

ZONES = ("upper", "mid", "lower")


def generator_of(seed: int, split: str, number: int, stream: int) -> np.random.Generator:
    """The random numbers of one patient; streams: 0 findings, 1 report, 2 body, 3 signs' shapes, 4 film.

    Raises:
        ValueError: no such split, or a negative number.
    """
    if split not in SPLIT_CODES:
        raise ValueError(f"no split {split!r}; the phantom has {', '.join(SPLIT_CODES)}")
    if number < 0:
        raise ValueError(f"patient {number}: numbers start at 0")
    return np.random.default_rng([seed, SPLIT_CODES[split], number, stream])


def draw_signs(seed: int, split: str, i: int) -> tuple[Sign, ...]:
    """The findings of patient i of a split: the truth, without rendering anything."""
    generator = generator_of(seed, split, i, 0)
    if generator.random() < NORMAL:
        return ()
    chosen = _choose(generator, 1 + generator.choice(4, p=COUNTS))
    signs: list[Sign] = []
    for finding in FINDINGS:  # a fixed order: later signs may avoid the places of earlier ones
        if finding in chosen:
            signs += _DRAW[finding](generator, signs, chosen)
    return tuple(signs)


def _choose(generator: np.random.Generator, count: int) -> list[str]:
    chosen: list[str] = []
    for _ in range(count):
        weight = np.array([0.0 if name in chosen else WEIGHTS[name] for name in FINDINGS])
        for k, name in enumerate(FINDINGS):
            for other in chosen:
                weight[k] *= COMPANIONS.get((other, name), COMPANIONS.get((name, other), 1.0))
        chosen.append(FINDINGS[generator.choice(len(FINDINGS), p=weight / weight.sum())])
    return chosen


def _severity(generator) -> float:
    """Few are barely there or unmistakable, most are moderate."""
    return round(float(generator.beta(2.0, 1.7)), 3)


def _pick(generator, options, weights=None):
    weights = None if weights is None else np.array(weights) / sum(weights)
    return options[generator.choice(len(options), p=weights)]


def _taken(signs, *findings) -> set:
    return {(s.side, s.zone) for s in signs if s.finding in findings}


def _free_place(generator, signs, zones, weights, sides=("right", "left")) -> tuple[str, str]:
    """Side and zone where no other opacity lies."""
    taken = _taken(signs, "Lung Opacity", "Consolidation", "Pneumonia", "Lung Lesion")
    taken |= {(side, zone) for both, zone in taken if both == "bilateral" for side in ("right", "left")}
    for _ in range(20):
        place = (_pick(generator, sides), _pick(generator, zones, weights))
        if place not in taken:
            return place
    return place


def lung_regions(side: str, *zones: str) -> tuple[str, ...]:
    """Nodes of zones on one or both sides, then the lungs that hold them."""
    sides = ("right", "left") if side == "bilateral" else (side,)
    names = {"hilar": "hilar structures", "apical": "apical zone", "costophrenic": "costophrenic angle",
             "hemidiaphragm": "hemidiaphragm", **{zone: f"{zone} lung zone" for zone in ZONES}}  # fmt: skip
    leaves = tuple(f"{s} {names[zone]}" for s in sides for zone in zones)
    return leaves + (tuple(f"{s} lung" for s in sides) if len(sides) == 1 else ("right lung", "left lung", "lungs"))


def _mediastinum(generator, signs, chosen):
    return [
        Sign("Enlarged Cardiomediastinum", severity=_severity(generator), regions=("upper mediastinum", "mediastinum"))
    ]


def _cardiomegaly(generator, signs, chosen):
    return [Sign("Cardiomegaly", severity=_severity(generator), regions=("cardiac silhouette", "mediastinum"))]


def _opacity(generator, signs, chosen):
    severity, kind = _severity(generator), _pick(generator, ("patchy", "diffuse"), (0.7, 0.3))
    if kind == "diffuse":
        side = _pick(generator, ("right", "left", "bilateral"), (0.3, 0.3, 0.4))
        return [Sign("Lung Opacity", side, None, severity, kind=kind, regions=lung_regions(side, "mid", "lower"))]
    side, zone = _free_place(generator, signs, ZONES, (0.3, 0.35, 0.35), ("right", "left", "bilateral"))
    return [Sign("Lung Opacity", side, zone, severity, kind=kind, regions=lung_regions(side, zone))]


def _lesion(generator, signs, chosen):
    severity, mass = _severity(generator), generator.random() < 0.3
    size = 32 + 24 * severity if mass else 12 + 18 * severity
    side, zone = _free_place(generator, signs, (*ZONES, "apical"), (0.35, 0.3, 0.25, 0.1))
    regions = lung_regions(side, "apical", "upper") if zone == "apical" else lung_regions(side, zone)
    return [
        Sign(
            "Lung Lesion", side, zone, severity, round(float(size)), kind="mass" if mass else "nodule", regions=regions
        )
    ]


def _edema(generator, signs, chosen):
    return [
        Sign(
            "Edema",
            "bilateral",
            "hilar",
            _severity(generator),
            regions=lung_regions("bilateral", "hilar", "mid", "lower"),
        )
    ]


def _consolidation(generator, signs, chosen):
    side, zone = _free_place(generator, signs, ZONES, (0.3, 0.2, 0.5))
    return [Sign("Consolidation", side, zone, _severity(generator), regions=lung_regions(side, zone))]


def _pneumonia(generator, signs, chosen):
    side, zone = _free_place(generator, signs, ZONES, (0.2, 0.3, 0.5), ("right", "left", "right", "left", "bilateral"))
    return [Sign("Pneumonia", side, zone, _severity(generator), regions=lung_regions(side, zone))]


def _atelectasis(generator, signs, chosen):
    severity, kind = _severity(generator), _pick(generator, ("linear", "lobar"), (0.6, 0.4))
    if kind == "lobar":
        side = _pick(generator, ("right", "left"))
        return [
            Sign(
                "Atelectasis", side, "lower", severity, kind=kind, regions=lung_regions(side, "lower", "hemidiaphragm")
            )
        ]
    side = _pick(generator, ("right", "left", "bilateral"), (0.35, 0.35, 0.3))
    zone = _pick(generator, ("lower", "mid"), (0.8, 0.2))
    return [Sign("Atelectasis", side, zone, severity, kind=kind, regions=lung_regions(side, zone))]


def _pneumothorax(generator, signs, chosen):
    severity = _severity(generator)
    side = _pick(generator, ("right", "left"))
    zones = ("apical", "upper") if severity < 0.5 else ("apical", "upper", "mid")
    return [
        Sign(
            "Pneumothorax", side, "apical", severity, round(7 + 38 * severity**1.3), regions=lung_regions(side, *zones)
        )
    ]


def _effusion(generator, signs, chosen):
    severity = _severity(generator)
    air = {s.side for s in signs if s.finding == "Pneumothorax"}
    options = [(side, w) for side, w in (("right", 0.34), ("left", 0.36), ("bilateral", 0.3))
               if side not in air and not (side == "bilateral" and air)]  # fmt: skip
    side = _pick(generator, [o[0] for o in options], [o[1] for o in options])
    zone = "costophrenic" if severity < 0.45 else "lower"
    zones = (
        ("costophrenic", "hemidiaphragm", "lower")
        if severity < 0.75
        else ("costophrenic", "hemidiaphragm", "lower", "mid")
    )
    depth = round(9 + 112 * severity**1.7)
    return [Sign("Pleural Effusion", side, zone, severity, depth, regions=lung_regions(side, *zones))]


def _pleura(generator, signs, chosen):
    severity, kind = _severity(generator), _pick(generator, ("thickening", "apical cap"), (0.6, 0.4))
    taken = {s.side for s in signs if s.finding in ("Pleural Effusion", "Pneumothorax")}
    sides = [side for side in ("right", "left") if side not in taken] or ["right", "left"]
    side = _pick(generator, sides)
    zone = "apical" if kind == "apical cap" else _pick(generator, ("mid", "lower"))
    regions = lung_regions(side, "apical", "upper") if kind == "apical cap" else lung_regions(side, zone)
    return [Sign("Pleural Other", side, zone, severity, round(6 + 10 * severity, 1), kind=kind, regions=regions)]


RIB_ZONES = {3: "upper", 4: "upper", 5: "mid", 6: "mid", 7: "mid", 8: "lower", 9: "lower"}
"""Zone beside the lateral part of a rib."""


def _fracture(generator, signs, chosen):
    severity = _severity(generator)
    side = _pick(generator, ("right", "left"))
    if generator.random() < 0.3:
        return [Sign("Fracture", side, None, severity, round(6 + 11 * severity), kind="clavicle",
                     regions=(f"{side} clavicle", "skeletal structures"))]  # fmt: skip
    number = int(generator.integers(4, 10))
    zone = RIB_ZONES[number]
    return [Sign("Fracture", side, zone, severity, round(4 + 8 * severity), kind="rib", number=number,
                 regions=lung_regions(side, zone))]  # fmt: skip


def _devices(generator, signs, chosen):
    kinds = ["endotracheal tube", "central venous catheter", "pacemaker", "enteric tube", "chest tube"]
    drained = [s.side for s in signs if s.finding in ("Pneumothorax", "Pleural Effusion") and s.side != "bilateral"]
    first = _pick(generator, kinds, (0.25, 0.32, 0.2, 0.13, 0.5 if drained else 0.06))
    devices = [first]
    if len(chosen) < 4 and first in kinds[:2] and generator.random() < 0.35:
        devices.append({"endotracheal tube": "enteric tube"}.get(first, "endotracheal tube"))
    return [_device(generator, kind, drained) for kind in devices]


def _device(generator, kind, drained) -> Sign:
    severity = round(0.35 + 0.65 * _severity(generator), 3)  # how dense the material is
    side = _pick(generator, ("right", "left"), (0.65, 0.35))
    if kind == "endotracheal tube":
        height = round(float(generator.uniform(5, 75)))
        tip = "carina" if height < 12 else "trachea"
        return Sign("Support Devices", None, None, severity, kind=kind, tip=tip, tip_mm=height,
                    regions=(*(("carina",) if height < 12 else ()), "trachea", "mediastinum"))  # fmt: skip
    if kind == "central venous catheter":
        tip = _pick(generator, ("superior vena cava", "cavoatrial junction", "right atrium"), (0.45, 0.35, 0.2))
        inner = ("cardiac silhouette",) if tip in ("cavoatrial junction", "right atrium") else ()
        regions = tuple(dict.fromkeys((tip, "superior vena cava", "upper mediastinum", *inner, "mediastinum")))
        return Sign("Support Devices", side, None, severity, kind=kind, tip=tip, regions=regions)
    if kind == "pacemaker":
        side = _pick(generator, ("left", "right"), (0.8, 0.2))
        return Sign("Support Devices", side, "upper", severity, kind=kind, tip="cardiac silhouette",
                    regions=(f"{side} upper lung zone", "cardiac silhouette", "superior vena cava", "mediastinum"))  # fmt: skip
    if kind == "enteric tube":
        return Sign(
            "Support Devices", None, None, severity, kind=kind, tip="stomach", regions=("abdomen", "mediastinum")
        )
    side = drained[0] if drained else side
    zone = _pick(generator, ("apical", "lower"), (0.7, 0.3))
    regions = lung_regions(side, zone, "mid")
    return Sign("Support Devices", side, zone, severity, kind=kind, tip=regions[0], regions=regions)


_DRAW = dict(zip(FINDINGS, (_mediastinum, _cardiomegaly, _opacity, _lesion, _edema, _consolidation, _pneumonia, _atelectasis,
                            _pneumothorax, _effusion, _pleura, _fracture, _devices), strict=True))  # fmt: skip
