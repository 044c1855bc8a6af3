"""SIIM-ACR Pneumothorax as the contest and the authors' lists lay it out: who has it segments the same films.

    DATA/train_list.txt, val_list.txt, test_list.txt    one name per line; train_10.txt: a tenth of the first
    DATA/siim.csv                                       ImageId, EncodedPixels (run lengths at 1024 x 1024, -1 = none), a row
                                                        per mask; the contest's name train-rle.csv is read, too
    DATA/masks/NAME.png                                 in place of the table; no file means no pneumothorax
    DATA/...                                            NAME.dcm, NAME.png or NAME.jpg in any folder below

The released lists overlap (478 names are in train and validation, 494 in train and test, 124 in validation and test): a model
tuned on them has seen test films. Here a name that is in the test list is in no other, and one that validates does not train.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from ..film import spelt
from ..record.sources import code_behind
from .csv_table import read_csv
from .masks import MaskedFilms, keep_films, mask_of_runs, read_masked

LISTS = {"train": "train_list.txt", "validation": "val_list.txt", "test": "test_list.txt"}
TENTH = "train_10.txt"
TABLES = ("siim.csv", "train-rle.csv")
SIDE = 1024
"""Pixels of the films' side to which the run lengths belong."""

PICTURES = (".dcm", ".png", ".jpg", ".jpeg")
FINDING = "Pneumothorax"


def read_lists(root: Path | str) -> dict[str, list[str]]:
    """Split -> names, with "tenth" where the root has TENTH; each name in one split (see the module's text).

    Raises:
        FileNotFoundError: no such folder, or a list is missing.
        ValueError: a list is empty.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{spelt(root)}: no such folder; data_root should hold {', '.join(LISTS.values())}")
    lists = {split: _names(root / name) for split, name in LISTS.items()}
    test, validation = set(lists["test"]), set(lists["validation"])
    lists["validation"] = [name for name in lists["validation"] if name not in test]
    lists["train"] = [name for name in lists["train"] if name not in test | validation]
    if (root / TENTH).is_file():
        lists["tenth"] = [name for name in _names(root / TENTH) if name in set(lists["train"])]
    if empty := [split for split, names in lists.items() if not names]:
        raise ValueError(
            f"{spelt(root)}: no film is in the split {empty[0]!r} alone; look at {', '.join(LISTS.values())}"
        )
    return lists


def _names(path: Path) -> list[str]:
    """The names of a list, each once."""
    if not path.is_file():
        raise FileNotFoundError(f"{spelt(path)}: no such list; it should hold one name per line")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{spelt(path)}: not readable as text in UTF-8; save it as such") from None
    names = [Path(line.strip()).name for line in lines if line.strip()]
    return list(
        dict.fromkeys(name.removesuffix(Path(name).suffix) if name.endswith(PICTURES) else name for name in names)
    )


def runs_of(root: Path) -> dict[str, list[tuple[str, str]]] | None:
    """Name -> (where, run lengths) of its rows; None where the folder has masks/ in place of a table.

    Raises:
        FileNotFoundError: neither is there.
    """
    path = next((root / name for name in TABLES if (root / name).is_file()), None)
    if path is None:
        if (root / "masks").is_dir():
            return None
        raise FileNotFoundError(f"{spelt(root)}: no {TABLES[0]} and no folder masks/; one of them has to say where")
    found: dict[str, list[tuple[str, str]]] = {}
    for row in read_csv(path, ("ImageId", "EncodedPixels")).itertuples():
        found.setdefault(row.ImageId.strip(), []).append((f"{spelt(path)}: line {row.Index}", row.EncodedPixels))
    return found


def load_siim(root: Path | str, split: str, size: int) -> MaskedFilms:
    """Films of a split ("train", "tenth", "validation", "test") in squares of `size`, with their one mask.

    Several masks of a film are united. Films that are not there or can't be read are left out with their reason. What was read is
    kept beside the prepared studies.

    Raises:
        FileNotFoundError: folder, list or masks are missing.
        ValueError: no such split, a listed film without a row in the table, run lengths that do not fit, or no film is there.
    """
    root, lists = Path(root), read_lists(root)
    if split not in lists:
        raise ValueError(f"{spelt(root)}: no split {split!r}; there are {', '.join(lists)}")
    files = _pictures_below(root, set(lists[split]))
    brought = [*files.values(), *((root / name) for name in TABLES), *sorted((root / "masks").glob("*.png"))]
    stamps = [[path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in brought if path.is_file()]
    parts = [lists[split], size, SIDE, stamps, code_behind(__name__)]
    return keep_films(f"siim-{split}", parts, lambda: _read(root, lists[split], files, size))


def _read(root: Path, names: list[str], files: dict[str, Path], size: int) -> MaskedFilms:
    runs = runs_of(root)
    if runs is None and next((root / "masks").glob("*.png"), None) is None:
        raise ValueError(f"{spelt(root / 'masks')}: no NAME.png in it, so no film would have a pneumothorax")
    rows: list = []
    for name in names:
        path = files.get(name, root / "images" / f"{name}.dcm")
        if runs is None:
            mask: np.ndarray | Path | None = root / "masks" / f"{name}.png"
            mask = mask if mask.is_file() else None
        elif name not in runs:
            raise ValueError(f"{spelt(root)}: {name} is listed but has no row in {TABLES[0]}")
        else:
            mask = np.any([mask_of_runs(text, SIDE, SIDE, where) for where, text in runs[name]], axis=0)
        rows.append((name, path, [mask]))
    return read_masked(rows, (FINDING,), size)


def _pictures_below(root: Path, names: Collection[str]) -> dict[str, Path]:
    """Name -> file, of the listed pictures below the root (without ending) but the masks.

    Raises:
        ValueError: two pictures have the name: one could be the other's mask.
    """
    masks = root / "masks"
    listed = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in PICTURES and path.stem in names]
    found: dict[str, Path] = {}
    for path in listed:
        if masks not in path.parents and found.setdefault(path.stem, path) != path:
            same = " and ".join(spelt(one.relative_to(root)) for one in (found[path.stem], path))
            raise ValueError(f"{spelt(root)}: {same} have the same name; leave one, and masks in a folder masks/")
    return found
