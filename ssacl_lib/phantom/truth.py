"""What the generator knows of one phantom patient: the truth behind an image and its report.

Only the phantom package and the evaluation view of a study may hold these objects; training code never sees them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sign:
    """One visible finding of one patient.

    finding: one of FINDINGS.
    side: "right", "left", "bilateral" or None where side has no meaning (cardiomegaly, endotracheal tube).
    zone: "apical", "upper", "mid", "lower", "hilar", "costophrenic" or None.
    severity: 0 (barely above the noise) to 1 (unmistakable).
    size_mm: diameter of a nodule, depth of a pneumothorax or effusion, length of a fracture gap; None where meaningless.
    kind: the variety: "nodule" | "mass" (Lung Lesion); "linear" | "lobar" (Atelectasis); "thickening" | "apical cap"
        (Pleural Other); "rib" | "clavicle" (Fracture); "endotracheal tube" | "central venous catheter" | "pacemaker" |
        "enteric tube" | "chest tube" (Support Devices); "patchy" | "diffuse" (Lung Opacity); else None.
    number: rib number of a rib fracture, else None.
    tip: where a device ends: a node name of the anatomy graph, "stomach" or None.
    tip_mm: height of an endotracheal tube's tip above the carina, else None.
    regions: names of the graph's nodes in which the sign lies, most specific first.
    """

    finding: str
    side: str | None = None
    zone: str | None = None
    severity: float = 0.5
    size_mm: float | None = None
    kind: str | None = None
    number: int | None = None
    tip: str | None = None
    tip_mm: float | None = None
    regions: tuple[str, ...] = ()
