"""A reader's own films with masks: pictures beside pictures, so that any finding can be segmented.

    FOLDER/images/NAME.png              films (PNG, JPEG, TIFF, BMP or DICOM; DICOM without an ending, too)
    FOLDER/masks/NAME.png               their masks, as large as the film, bright = inside; a film without one shows none of it
    FOLDER/masks/FINDING/NAME.png       in place of these, where there are several findings
    FOLDER/films.csv                    optional: image (NAME with its ending), patient, split (train, validation or test)

Without films.csv every film is a patient; without its column `split` patients are put into splits as those of a folder of films
with reports are (datasets/folder.py).
"""

from pathlib import Path

import pandas as pd

from ..film import spelt
from ..images import kind_of
from .csv_table import read_csv
from .folder import SPLITS
from .labelled import drawn_split, given_split
from .masks import MaskedFilms, read_masked
from .pictures import stamp

TABLE, IMAGES, MASKS = "films.csv", "images", "masks"
ONE = "mask"
"""Name of the finding where masks/ has no folders."""

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")


def stem_of(name: str) -> str:
    """A file's name without the ending of a picture; UIDs that name a DICOM file have dots, and no ending.

    >>> stem_of("p1.png"), stem_of("1.2.840.10008")
    ('p1', '1.2.840.10008')
    """
    return Path(name).stem if Path(name).suffix.lower() in PICTURES else name


def mask_files(root: Path) -> dict[str, dict[str, Path]]:
    """Finding -> name of a film without its ending -> file of its mask.

    Raises:
        ValueError: a folder is missing, there is no mask, or pictures and folders stand side by side in masks/.
    """
    for name in (IMAGES, MASKS):
        if not (root / name).is_dir():
            raise ValueError(f"{spelt(root)}: no folder {name}/; films go to {IMAGES}/, and their masks to {MASKS}/")
    folders = sorted(path for path in (root / MASKS).iterdir() if path.is_dir())
    plain = _pictures(root / MASKS)
    if folders and plain:
        raise ValueError(
            f"{spelt(root / MASKS)}: holds both pictures ({next(iter(plain.values())).name}) and folders "
            f"({folders[0].name}/); put the masks of each finding into a folder of its name"
        )
    found = {path.name: _pictures(path) for path in folders} or {ONE: plain}
    if empty := [finding for finding, files in found.items() if not files]:
        raise ValueError(f"{spelt(root / MASKS)}: no mask of {empty[0]!r}; save at least one as a picture")
    return found


def load_mask_folder(root: Path | str, size: int, seed: int) -> dict[str, MaskedFilms]:
    """The films of every split in squares of `size` with their masks; one that can't be read is left out with its reason.

    seed: of the drawn splits.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a mask belongs to no film or does not fit it, two films have one name, a film of the table is not there, a
            split is empty, a patient is in two splits, or no film of a split can be read.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{spelt(root)}: no such folder; it should hold {IMAGES}/ and {MASKS}/")
    masks, films = mask_files(root), _pictures(root / IMAGES)
    for folder in (root / IMAGES, *(root / MASKS / finding for finding in masks if finding != ONE)):
        others = [path for path in sorted(folder.iterdir()) if not _is_picture(path) and not path.name.startswith(".")]
        if others:
            what = "pictures are looked for in this very folder, not below" if others[0].is_dir() else "no picture"
            print(f"{spelt(folder)}: {len(others)} entries are passed over; first: {others[0].name} ({what})")
    for finding, files in masks.items():
        if lost := sorted(set(files) - set(films)):
            raise ValueError(f"{spelt(files[lost[0]])}: a mask of {finding!r} without a film {lost[0]} in {IMAGES}/")
    split = _splits(root, films, seed)
    found = {}
    for name in SPLITS:
        own = [stem for stem in films if split[stem] == name]
        if not own:
            raise ValueError(
                f"{spelt(root)}: no film in the split {name!r}; at least one patient of each split is needed"
            )
        rows = [(films[stem].name, films[stem], [files.get(stem) for files in masks.values()]) for stem in own]
        found[name] = read_masked(rows, list(masks), size)
    return found


def patients_of(root: Path) -> dict[str, str]:
    """Name of a film without its ending -> its patient, of the films of which films.csv names one."""
    path = root / TABLE
    table = read_csv(path, ("image",)) if path.is_file() else pd.DataFrame()
    if "patient" not in table:
        return {}
    named = table["patient"].str.strip() != ""
    stems = [stem_of(name.strip()) for name in table.loc[named, "image"]]
    return dict(zip(stems, table.loc[named, "patient"].str.strip(), strict=True))


def stamps_of(root: Path) -> list[list]:
    """Name below the folder, size and time of change of all that is read here; whatever else lies in the folder doesn't count."""
    files = [*(root / IMAGES).iterdir(), *(root / MASKS).rglob("*")]
    read = [path for path in files if _is_picture(path)]
    return [[path.relative_to(root).as_posix(), *stamp(path)] for path in (*sorted(read), root / TABLE)]


def _pictures(folder: Path) -> dict[str, Path]:
    """Name without ending -> file, of the pictures in a folder.

    Raises ValueError for two of one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if _is_picture(path):
            stem = stem_of(path.name)
            if stem in found:
                raise ValueError(f"{spelt(path)}: has the name of {found[stem].name}; rename one of the two")
            found[stem] = path
    return found


def _is_picture(path: Path) -> bool:
    """By its ending, or DICOM by its first bytes: archives give their files no ending."""
    return path.is_file() and (path.suffix.lower() in PICTURES or kind_of(path) == "DICOM")


def _splits(root: Path, films: dict[str, Path], seed: int) -> pd.Series:
    """Split of every film, by its name without ending."""
    path = root / TABLE
    if not path.is_file():
        return drawn_split(pd.Series(list(films), index=list(films)), seed)
    table = read_csv(path, ("image",))
    table.index = [stem_of(name.strip()) for name in table["image"]]
    if double := table.index[table.index.duplicated()].tolist():
        raise ValueError(f"{spelt(path)}: {double[0]} is listed more than once")
    for wrong, where in (
        (set(table.index) - set(films), f"no such film in {IMAGES}/"),
        (set(films) - set(table.index), "not listed"),
    ):
        if wrong:
            raise ValueError(f"{spelt(path)}: {sorted(wrong)[0]}: {where} ({len(wrong)} in all)")
    patient = table["patient"].str.strip() if "patient" in table else pd.Series("", index=table.index)
    table["patient"] = patient.where(patient != "", table.index)
    return given_split(table, path) if "split" in table else drawn_split(table["patient"], seed)
