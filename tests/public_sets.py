"""Small folders in the published shapes of NIH ChestX-ray14, RSNA pneumonia, SIIM-ACR and CheXpert 5x200, with made-up films."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from conftest import write_dicom
from PIL import Image

from ssacl_lib.datasets.chexpert_5x200 import FILE, FIVE
from ssacl_lib.datasets.masks import run_lengths
from ssacl_lib.observations import OBSERVATIONS


def box(height: int, width: int, top: int, left: int, tall: int, wide: int) -> np.ndarray:
    """A mask [height, width] that is true in a rectangle."""
    mask = np.zeros((height, width), bool)
    mask[top : top + tall, left : left + wide] = True
    return mask


def picture(path: Path, level: int) -> None:
    """A film of noise around a grey level; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(level).integers(0, 60, (40, 40))
    Image.fromarray((noise + level % 190).astype(np.uint8)).save(path)


def write_lists(root: Path, files, labels: int, place=lambda name: name, count: int = 12) -> None:
    """Lists of `count` pictures each, the first split's pictures first; every label is there and is not."""
    number = 0
    for name in files:
        lines = []
        for k in range(count):
            picture_name = f"images_001/{number:08d}_000.png"
            picture(root / place(picture_name), number)
            lines.append(" ".join([picture_name, *(str((k + j) % 2) for j in range(labels))]))
            number += 1
        (root / name).write_text("\n".join(lines) + "\n\n", encoding="utf-8")


def write_nih(root: Path) -> Path:
    """Three lists of 14 labels, their pictures where NIH packs them, and the release's own 10 % of the labels."""
    write_lists(root, ("train_list.txt", "val_list.txt", "test_list.txt"), 14, lambda n: n.replace("/", "/images/"))
    rows = (root / "train_list.txt").read_text().splitlines()
    (root / "train_10.txt").write_text("\n".join([rows[3], rows[1]]))
    return root


def write_rsna(root: Path) -> Path:
    """Three lists of one label."""
    write_lists(root, ("train.txt", "val.txt", "test.txt"), 1)
    return root


def write_siim(root: Path, side: int) -> Path:
    """Films f0 .. f11 with a mask on the odd ones; lists that overlap as the released ones do."""
    generator, rows, part = np.random.default_rng(2), [], side // 64
    (root / "dicom").mkdir(parents=True)
    for k in range(12):
        write_dicom(root / "dicom" / f"f{k}.dcm", generator.integers(0, 256, (side, side)))
        left, right = (
            box(side, side, top * part, 8 * part, 16 * part, wide * part) for top, wide in ((8, 7 + k), (40, 8))
        )
        halves = (left, right) if k % 2 else (np.zeros((side, side), bool),)
        rows += [{"ImageId": f"f{k}", " EncodedPixels": f" {run_lengths(half)}"} for half in halves]
    pd.DataFrame(rows).to_csv(root / "siim.csv", index=False)
    lists = {"train_list": range(8), "train_10": (0, 1), "val_list": (6, 7, 8, 9), "test_list": (9, 10, 11)}
    for name, numbers in lists.items():
        (root / f"{name}.txt").write_text("".join(f"f{k}\n" for k in numbers), encoding="utf-8")
    return root


def write_five(root: Path) -> Path:
    """Two films per finding, in the folder of the small version."""
    objects = []
    for k in range(10):
        name = f"CheXpert-v1.0/train/patient{k}/study1/view1_frontal.jpg"
        path = root / name.replace("v1.0", "v1.0-small")
        path.parent.mkdir(parents=True)
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (40, 32), np.uint8)).save(path)
        labels = [float(finding == FIVE[k % 5]) for finding in OBSERVATIONS]
        objects.append(
            {"image_id": k, "image": name, "caption": f"There is {FIVE[k % 5]}, case {k}.", "labels": labels}
        )
    (root / FILE).write_text(json.dumps(objects), encoding="utf-8")
    return root
