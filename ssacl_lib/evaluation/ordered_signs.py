"""A sign of the phantom to order: finding, side, zone, kind, severity and size as whoever makes a patient wants them.

What follows from these (the size by severity, the zone of an effusion, the regions) is what the phantom itself draws; a test
goes over its patients.
"""

from ..observations import FINDINGS
from ..phantom.findings import lung_regions
from ..phantom.truth import Sign

SIDES, ZONES = ("right", "left"), ("upper", "mid", "lower")
BOTH = (*SIDES, "bilateral")

CHOICES: dict[str, tuple[tuple, tuple, tuple]] = {
    "Enlarged Cardiomediastinum": ((), (), ()),
    "Cardiomegaly": ((), (), ()),
    "Lung Opacity": (BOTH, ZONES, ("patchy", "diffuse")),
    "Lung Lesion": (SIDES, (*ZONES, "apical"), ("nodule", "mass")),
    "Edema": ((), (), ()),
    "Consolidation": (SIDES, ZONES, ()),
    "Pneumonia": (BOTH, ZONES, ()),
    "Atelectasis": (BOTH, ("lower", "mid"), ("linear", "lobar")),
    "Pneumothorax": (SIDES, (), ()),
    "Pleural Effusion": (BOTH, (), ()),
    "Pleural Other": (SIDES, ("mid", "lower"), ("thickening", "apical cap")),
    "Fracture": (SIDES, ZONES, ("rib", "clavicle")),
    "Support Devices": (
        SIDES,
        (),
        ("central venous catheter", "pacemaker", "endotracheal tube", "enteric tube", "chest tube"),
    ),
}
"""Finding -> the sides, zones and kinds that can be asked for; the first of each is taken where none is named."""

MILLIMETRES = {
    ("Lung Lesion", "nodule"): lambda s: round(float(12 + 18 * s)),
    ("Lung Lesion", "mass"): lambda s: round(float(32 + 24 * s)),
    ("Pneumothorax", None): lambda s: round(7 + 38 * s**1.3),
    ("Pleural Effusion", None): lambda s: round(9 + 112 * s**1.7),
    ("Pleural Other", "thickening"): lambda s: round(6 + 10 * s, 1),
    ("Pleural Other", "apical cap"): lambda s: round(6 + 10 * s, 1),
    ("Fracture", "rib"): lambda s: round(4 + 8 * s),
    ("Fracture", "clavicle"): lambda s: round(6 + 11 * s),
}
"""(finding, kind) -> the size that a severity has where none is asked for, as the phantom draws it."""

RIBS = {"upper": 4, "mid": 6, "lower": 8}


def sign_of(
    finding: str,
    side: str | None = None,
    zone: str | None = None,
    kind: str | None = None,
    severity: float = 0.6,
    size_mm: float | None = None,
) -> Sign:
    """A sign as the phantom draws it; what the finding does not have is left out, what is not named is its first choice.

    severity: 0 (barely above the noise) to 1. size_mm: of findings that have a size (`MILLIMETRES`); None follows the severity.

    Raises:
        ValueError: an unknown finding, or a side, zone or kind that it never has, with those that it has.
    """
    if finding not in CHOICES:
        raise ValueError(f"no finding {finding!r}; there are {', '.join(FINDINGS)}")
    for what, wanted, there in zip(("side", "zone", "kind"), (side, zone, kind), CHOICES[finding], strict=True):
        if wanted is not None and there and wanted not in there:
            raise ValueError(f"{finding}: {what} {wanted!r}; expected one of {', '.join(there)}")
    if not 0 <= severity <= 1:
        raise ValueError(f"{finding}: severity {severity}; it lies between 0 and 1")
    side, zone, kind = (
        None if not there else wanted if wanted is not None else there[0]
        for wanted, there in zip((side, zone, kind), CHOICES[finding], strict=True)
    )
    severity = round(float(severity), 3)
    own = MILLIMETRES.get((finding, kind))
    size = None if own is None else own(severity) if size_mm is None else size_mm
    if finding == "Support Devices":
        return _device(str(kind), str(side), severity)
    if finding == "Fracture":
        if kind == "clavicle":
            return Sign(finding, side, None, severity, size, kind, regions=(f"{side} clavicle", "skeletal structures"))
        return Sign(
            finding, side, zone, severity, size, kind, RIBS[str(zone)], regions=lung_regions(str(side), str(zone))
        )
    side, zone, regions = _place(finding, side, zone, kind, severity)
    return Sign(finding, side, zone, severity, size, kind, regions=regions)


def _place(finding: str, side, zone, kind, severity: float) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Side, zone and regions of a finding of lung, pleura or mediastinum."""
    whole = {
        "Enlarged Cardiomediastinum": ("upper mediastinum", "mediastinum"),
        "Cardiomegaly": ("cardiac silhouette", "mediastinum"),
    }
    if finding in whole:
        return None, None, whole[finding]
    if finding == "Edema":
        return "bilateral", "hilar", lung_regions("bilateral", "hilar", "mid", "lower")
    if finding == "Pneumothorax":
        zones = ("apical", "upper") if severity < 0.5 else ("apical", "upper", "mid")
        return side, "apical", lung_regions(side, *zones)
    if finding == "Pleural Effusion":
        zones = ("costophrenic", "hemidiaphragm", "lower", "mid")[: 3 + (severity >= 0.75)]
        return side, "costophrenic" if severity < 0.45 else "lower", lung_regions(side, *zones)
    if kind == "diffuse":
        return side, None, lung_regions(side, "mid", "lower")
    if kind == "lobar":  # one lobe, so one side
        side = side if side in SIDES else SIDES[0]
        return side, "lower", lung_regions(side, "lower", "hemidiaphragm")
    if kind == "apical cap":
        return side, "apical", lung_regions(side, "apical", "upper")
    if zone == "apical":
        return side, zone, lung_regions(side, "apical", "upper")
    return side, zone, lung_regions(side, zone)


def _device(kind: str, side: str, severity: float) -> Sign:
    """A device with its tip in the usual place; severity is how dense its material is."""
    facts: dict[str, tuple] = {  # side, zone, tip, height of the tip, regions
        "endotracheal tube": (None, None, "trachea", 40, ("trachea", "mediastinum")),
        "central venous catheter": (
            side, None, "superior vena cava", None, ("superior vena cava", "upper mediastinum", "mediastinum")
        ),
        "pacemaker": (
            side, "upper", "cardiac silhouette", None,
            (f"{side} upper lung zone", "cardiac silhouette", "superior vena cava", "mediastinum"),
        ),
        "enteric tube": (None, None, "stomach", None, ("abdomen", "mediastinum")),
        "chest tube": (side, "apical", f"{side} apical zone", None, lung_regions(side, "apical", "mid")),
    }  # fmt: skip
    side_, zone, tip, height, regions = facts[kind]
    return Sign("Support Devices", side_, zone, severity, None, kind, None, tip, height, regions)


def phrase_of_sign(sign: Sign) -> str:
    """A sign as a phrase: "left lower consolidation"."""
    place = None if sign.zone in ("hilar", "costophrenic", "apical") else sign.zone
    name = {"Lung Lesion": sign.kind, "Support Devices": sign.kind, "Pleural Other": "pleural thickening"}.get(
        sign.finding, sign.finding.lower()
    )
    place = (
        place if sign.finding in ("Lung Opacity", "Consolidation", "Pneumonia", "Atelectasis", "Lung Lesion") else None
    )
    return " ".join(word for word in (sign.side, place and f"{place} zone", name) if word)
