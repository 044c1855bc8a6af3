"""`ssacl report --html`: one self-contained page per film, with what each sentence of its report rests on, and an index."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from .. import __version__, paths
from ..film import Film, spelt
from ..images import read_film
from ..inference.evidence import StudyEvidence, study_evidence
from ..model import SSACLModel
from ..model.build import load_model
from ..model.reporting import Report, reports_of_pixels
from ..plots.sheet import film_data
from ..record.manifest import atomic_write, package_versions, read_json
from ..record.sources import sha256_file
from .film_files import films_below
from .folder_reports import checkpoint_hash, path_digits
from .sheet_page import LEARNT, FilmFile, index_page, index_row, study_page

BATCH = 16
"""Films whose reports are written together."""

THUMB = 96
"""Pixels along the side of a film in the index."""

LONGEST_NAME = 48

SHOWN_PACKAGES = ("python", "torch", "transformers", "tokenizers", "numpy", "pillow", "pydicom")


@dataclass(frozen=True)
class Sheets:
    """What came of a run: the index, counts of pages and of other files, (name, reason) of what can't be read, (name, note)."""

    index: Path
    written: int
    others: int
    skipped: list[tuple[str, str]]
    notes: list[tuple[str, str]]


def write_sheets(
    sources: Sequence[Path], weights: Path | None, out: Path, seed: int = 0, progress: bool = True
) -> Sheets:
    """Write OUT/index.html and a page per film of image files and folders; each is whole as soon as it is there.

    seed: of the masks.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: no source holds a picture, or none can be read.
    """
    model, out = load_model(weights), Path(out).resolve()
    films, others = films_below([Path(source) for source in sources], out)
    about = provenance_of(model, Path(weights or paths.SHIPPED_CHECKPOINT), seed)
    skipped: list[tuple[str, str]] = []
    rows, notes = [], []
    size, patches = model.config.image_size, model.config.grid
    waiting: tuple[StudyEvidence, FilmFile] | None = None
    before: str | None = None
    with tqdm(total=len(films), desc="sheets", unit="film", disable=not progress, mininterval=1) as bar:
        for path, name, film, report in reported(model, films, skipped):
            study = study_evidence(model, model.pixels([film.pixels]), report, seed)
            entry = entry_of(path, name, film)
            if waiting:  # a page knows its neighbours, so it is written when the next film has been read
                before = _write_page(out, *waiting, size, patches, about, before, entry.page)
            waiting = study, entry
            rows.append(index_row(entry, study))
            notes += [(entry.name, note) for note in film.notes]
            bar.update(len(rows) + len(skipped) - bar.n)
    if waiting is None:
        raise ValueError(f"none of the {len(films)} files can be read; first: {skipped[0][1]}")
    _write_page(out, *waiting, size, patches, about, before, None)
    with atomic_write(out / "index.html") as handle:
        handle.write(index_page(rows, skipped, about))
    return Sheets(out / "index.html", len(rows), others, skipped, notes)


def _write_page(out: Path, study: StudyEvidence, film: FilmFile, size: int, patches: int, about, before, after) -> str:
    with atomic_write(out / film.page) as handle:
        handle.write(study_page(study, film, size, patches, about, before, after))
    return film.page


def reported(
    model: SSACLModel, films: Sequence[tuple[Path, Path]], skipped: list[tuple[str, str]]
) -> Iterator[tuple[Path, Path, Film, Report]]:
    """(file, its name, film, report) of those that can be read, reported in batches; the others go to `skipped`."""
    for start in range(0, len(films), BATCH):
        good = []
        for path, name in films[start : start + BATCH]:
            try:
                good.append((path, name, read_film(path)))
            except Exception as error:  # whatever it is, the folder goes on
                why = str(error) if isinstance(error, (ValueError, OSError)) else type(error).__name__
                skipped.append((spelt(name), f"{spelt(name)}: {why.removeprefix(f'{spelt(path)}: ')}"))
        reports = reports_of_pixels(model, model.pixels([film.pixels for *_, film in good]), False) if good else []
        yield from ((*film, report) for film, report in zip(good, reports, strict=True))


def entry_of(path: Path, name: Path, film: Film) -> FilmFile:
    """What the pages say of a film; the page's name holds small Latin letters and a hash of the film's own."""
    height, width = film.pixels.shape
    told = spelt(name.as_posix())
    letters = re.sub(r"[^a-z0-9]+", "_", told.lower()).strip("_")[-LONGEST_NAME:].strip("_")
    page = f"{letters}_{path_digits(path)}.html".lstrip("_")
    about = (("Film", told), ("SHA-256 of the file", sha256_file(path)), ("Size as read", f"{width} x {height} pixels"))
    return FilmFile(
        told, page, film_data(film.pixels), film_data(film.pixels, THUMB, THUMB), tuple(map(str, film.notes)), about
    )


def learnt_from(folder: Path) -> str:
    """Which films a checkpoint saw, as far as its manifest says."""
    dataset = read_json(folder / "manifest.json").get("settings", {}).get("dataset")
    known = {
        "phantom": "films of a phantom alone; that its findings hold on real films is not shown",
        None: "films unknown",
    }
    return known.get(dataset, f"the data set {dataset!r}")


def provenance_of(model: SSACLModel, folder: Path, seed: int) -> tuple[tuple[str, str], ...]:
    """What made a page: checkpoint, settings of the maps and of the reports, versions, date."""
    config, versions = model.config, package_versions()
    evidence, words = config.evidence, config.generation
    masks = (
        f"{evidence['masks']} masks, {evidence['mask_ratio']:.0%} of {config.grid} x {config.grid} patches hidden, seed {seed}, "
        f"smoothed by {evidence['evidence_smoothing_patches']} patches; film of {config.image_size} x {config.image_size} pixels"
    )
    return (
        ("Checkpoint", spelt(folder.resolve().name)),
        ("SHA-256 of the checkpoint", checkpoint_hash(folder)),
        (LEARNT, learnt_from(folder)),
        ("Maps", masks),
        ("Reports", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in words.items())),
        ("Versions", ", ".join([f"ssacl {__version__}", *(f"{name} {versions[name]}" for name in SHOWN_PACKAGES)])),
        ("Made", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    )
