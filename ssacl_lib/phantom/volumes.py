"""From a labelled CT to what the beam meets: one volume per organ, label volumes behind the regions, landmarks."""

import numpy as np
from scipy import ndimage

from .ct import LabelledCT

LOBES = ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right",
         "lung_upper_lobe_left", "lung_lower_lobe_left")  # fmt: skip

ABDOMINAL = ("liver", "spleen", "stomach", "kidney_*", "pancreas", "colon", "small_bowel", "gallbladder", "duodenum")


def halved(ct: LabelledCT) -> LabelledCT:
    """About 1.4 x 1.4 mm across and at least 2 mm up (means of the grey values, every n-th label)."""
    steps = [max(1, round(target / mm)) for target, mm in zip((1.4, 1.4, 2.0), ct.spacing, strict=True)]
    size = [n // step * step for n, step in zip(ct.hounsfield.shape, steps, strict=True)]
    whole = tuple(slice(n) for n in size)
    parts = [k for n, step in zip(size, steps, strict=True) for k in (n // step, step)]
    value = np.clip(ct.hounsfield[whole], -1000, 2000).reshape(parts).mean(axis=(1, 3, 5), dtype=np.float32)
    spacing = tuple(mm * step for mm, step in zip(ct.spacing, steps, strict=True))
    return LabelledCT(value, ct.labels[whole][:: steps[0], :: steps[1], :: steps[2]], ct.names, spacing)


def _body(ct: LabelledCT) -> np.ndarray:
    """The patient without the table: the largest solid piece, its holes filled slice by slice."""
    solid = ndimage.binary_opening(ct.hounsfield > -350, iterations=2) | (ct.labels > 0)
    pieces, count = ndimage.label(solid)
    largest = pieces == 1 + np.argmax(ndimage.sum_labels(solid, pieces, np.arange(1, count + 1)))
    largest |= ct.labels > 0
    return np.stack([ndimage.binary_fill_holes(largest[..., z]) for z in range(largest.shape[2])], axis=-1)


def volumes(ct: LabelledCT) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Water equivalents per mm of path of every layer, and the label volumes behind the regions."""
    hounsfield, body = ct.hounsfield, _body(ct)
    lung, airway = ct.mask("lung_*"), ct.mask("trachea")
    bone = ct.mask("rib_*", "vertebrae_*", "clavicula_*", "scapula_*", "humerus_*", "sternum", "costal_cartilages")
    near_bone = ndimage.binary_dilation(bone)
    inside = body & ~lung
    gas = inside & (hounsfield < -300)
    top_of_abdomen = np.nonzero(ct.mask("liver").any(axis=(0, 1)))[0].max()
    air_above = gas & (np.arange(gas.shape[2]) > top_of_abdomen)
    lung_like = ndimage.binary_dilation(lung, iterations=3)
    # contrast medium outside of bone becomes soft tissue; what is air in the body counts as filled
    soft = np.where(hounsfield > 70, 45, hounsfield)
    solid = np.where(body, np.where(lung | gas, 1.0, 1 + soft / 1000), 0.0)
    bone_excess = np.clip(hounsfield - 90, 0, 750) / 1000
    vein = ndimage.binary_dilation(ct.mask("brachiocephalic_*", "subclavian_*", "superior_vena_cava"), iterations=3)
    vein |= ndimage.binary_dilation(ct.mask("rib_right_1", "rib_left_1"), iterations=2)
    bone_excess[vein] = np.minimum(bone_excess[vein], 0.12)
    deep = ndimage.binary_erosion(lung, iterations=2)
    vessel = np.where(deep, np.clip((hounsfield + 760) / 1000, 0, 0.80), 0)

    def bones(*names: str) -> np.ndarray:
        return np.where(ndimage.binary_dilation(ct.mask(*names)) & near_bone, bone_excess, 0)

    layers = {"solid": solid, "ribs": bones("rib_*", "costal_cartilages"),
               "girdle": bones("scapula_*", "humerus_*", "sternum"), "spine": bones("vertebrae_*"),
               "clavicle right": bones("clavicula_right"), "clavicle left": bones("clavicula_left"),
               **{name: ct.mask(name) for name in LOBES},
               "vessels right": np.where(ct.mask(*LOBES[:3]), vessel, 0),
               "vessels left": np.where(ct.mask(*LOBES[3:]), vessel, 0),
               "airway": airway | (air_above & ~lung_like), "gas": gas & ~air_above & ~lung_like,
               "heart": ct.mask("heart", "atrial_appendage_left")}  # fmt: skip
    above = np.arange(gas.shape[2]) > np.nonzero(ct.mask("heart").any(axis=(0, 1)))[0].min()
    carina = _carina(ct)[2]
    silhouettes = {
        "trachea": airway & (np.arange(gas.shape[2]) >= carina), "aortic arch": ct.mask("aorta") & (
            np.arange(gas.shape[2]) >= carina),
        "superior vena cava": ct.mask("superior_vena_cava"), "vertebrae": ct.mask("vertebrae_*"),
        "clavicula right": ct.mask("clavicula_right"), "clavicula left": ct.mask("clavicula_left"),
        "great vessels": above & ct.mask("aorta", "brachiocephalic_*", "superior_vena_cava", "common_carotid_*",
                                         "pulmonary_vein", "esophagus", "trachea"),
        "abdominal": ct.mask(*ABDOMINAL),
    }  # fmt: skip
    return layers, silhouettes


def _carina(ct: LabelledCT) -> tuple[float, float, int]:
    """Voxel where the windpipe's label splits: the highest slice with two separate parts of at least 20 voxels."""
    airway = ct.mask("trachea")
    slices = np.nonzero(airway.any(axis=(0, 1)))[0]
    for z in slices[::-1]:
        parts, count = ndimage.label(airway[..., z])
        sizes = ndimage.sum_labels(airway[..., z], parts, np.arange(1, count + 1))
        if (sizes >= 20).sum() >= 2:
            centre = np.mean(ndimage.center_of_mass(airway[..., z], parts, 1 + np.argsort(sizes)[-2:]), axis=0)
            return float(centre[0]), float(centre[1]), int(z) + 1
    centre = ndimage.center_of_mass(airway[..., slices[0]])
    return float(centre[0]), float(centre[1]), int(slices[0])


def landmarks(ct: LabelledCT) -> dict[str, np.ndarray]:
    """Points in voxels, name -> [k, 3] (NaN where a structure is missing)."""

    def middle(mask: np.ndarray, z: int) -> np.ndarray:
        return np.array([*ndimage.center_of_mass(mask[..., z]), z])

    cava, airway = ct.mask("superior_vena_cava"), ct.mask("trachea")
    levels = np.nonzero(cava.any(axis=(0, 1)))[0]
    heights = np.nonzero(airway.any(axis=(0, 1)))[0]
    carina = np.array(_carina(ct))
    track = np.array([middle(airway, z) for z in np.linspace(carina[2] + 1, heights.max(), 8).astype(int)])
    marks = {"carina": carina[None], "trachea": track,
             "cava": np.array([middle(cava, z) for z in np.linspace(levels.min(), levels.max(), 6).astype(int)]),
             "heart": np.array([ndimage.center_of_mass(ct.mask("heart"))])}  # fmt: skip
    for name, structure in (("stomach", "stomach"), ("oesophagus", "esophagus")):
        mask = ct.mask(structure)
        marks[name] = np.array([ndimage.center_of_mass(mask) if mask.any() else [np.nan] * 3])
    centre = np.array(ndimage.center_of_mass(ct.mask("lung_*")))
    for side in ("right", "left"):
        for number in range(1, 13):
            marks[f"rib {side} {number}"] = _arc(ct.mask(f"rib_{side}_{number}"), centre, 24)
        clavicle = np.argwhere(ct.mask(f"clavicula_{side}")).astype(float)
        marks[f"clavicle {side}"] = _binned(clavicle, clavicle[:, 0] if len(clavicle) else clavicle, 12)
    return marks


def _arc(mask: np.ndarray, centre: np.ndarray, count: int) -> np.ndarray:
    """Centre line [count, 3] of a rib, from its head at the spine round the side to the front."""
    voxels = np.argwhere(mask).astype(float)
    if len(voxels) < 100:
        return np.full((count, 3), np.nan)
    side = np.sign(voxels[:, 0].mean() - centre[0])
    angle = np.arctan2(voxels[:, 1] - centre[1], (voxels[:, 0] - centre[0]) * side)  # -90 at the back, 90 in front
    return _binned(voxels, angle, count)


def _binned(voxels: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    if len(voxels) < count:
        return np.full((count, 3), np.nan)
    edges = np.linspace(order.min(), order.max() + 1e-6, count + 1)
    which = np.digitize(order, edges) - 1
    rows = [voxels[which == k].mean(axis=0) if (which == k).any() else [np.nan] * 3 for k in range(count)]
    return np.array(rows)
