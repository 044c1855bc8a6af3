"""`ssacl retrieve`: which films of a folder are nearest to a phrase, as a table and as a contact sheet.

A film's vector does not depend on the phrase, so vectors are kept in OUT/retrieve_vectors.npz: another phrase, or a run that
was killed, reads the films that are not in it, and no other.
"""

import csv
import textwrap
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from .. import paths
from ..datasets.pictures import stamp
from ..film import spelt
from ..images import letterbox, read_film
from ..model.build import load_model
from ..plots.contact import contact_sheet
from ..record.manifest import atomic_write, read_json
from .film_files import films_below
from .folder_reports import checkpoint_hash, read_ahead
from .ground import LONGEST_TITLE, phrase_notes
from .output import hashed, output_folder, slug, write_answer

VECTORS = "retrieve_vectors.npz"
SHOWN = 24
"""Films on the contact sheet."""

SAVED = 60
"""Seconds between two savings of the vectors."""


@dataclass
class Vectors:
    """Unit vectors [n, D] of films, with their names and the size and time of their files, by one checkpoint."""

    checkpoint: str
    names: list[str]
    stamps: list[list[int]]
    rows: list[np.ndarray]

    @classmethod
    def read(cls, path: Path, checkpoint: str) -> "Vectors":
        """Those of a file; none where it is absent, damaged or made by another checkpoint."""
        try:
            with np.load(path, allow_pickle=False) as kept:
                if str(kept["checkpoint"]) == checkpoint:
                    return cls(checkpoint, kept["names"].tolist(), kept["stamps"].tolist(), list(kept["rows"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass
        return cls(checkpoint, [], [], [])

    def write(self, path: Path) -> None:
        """All in one file, atomically."""
        with atomic_write(path, "wb") as handle:
            np.savez(
                handle,
                checkpoint=np.array(self.checkpoint),
                names=np.array(self.names, str),
                stamps=np.array(self.stamps, np.int64).reshape(-1, 2),
                rows=np.array(self.rows, np.float32),
            )

    def known(self) -> dict[str, tuple[list[int], np.ndarray]]:
        """Name -> (stamp, vector), the newest of a name."""
        return dict(zip(self.names, zip(self.stamps, self.rows, strict=True), strict=True))


@torch.no_grad()
def retrieve(
    phrase: str, sources: Sequence[Path], weights: Path | None = None, out: Path | None = None, progress: bool = True
) -> dict:
    """Rank the films of folders (and single files) for a phrase: OUT/PHRASE_retrieve.csv, .json and .png.

    A ranking of other films, by other weights, or for a phrase that differs in its capitals alone, keeps its files: this
    one's get a hash.
    Returns a dict: phrase, sources, checkpoint, films (count), skipped (path: reason), notes, first (image and cosine, at most
    SHOWN), files.

    Raises:
        ValueError: an empty phrase, no picture, or not one that can be read.
    """
    phrase = spelt(phrase)
    if not phrase.strip():
        raise ValueError('the phrase is empty; give a few words such as "left pleural effusion"')
    folder, model, out = Path(weights or paths.SHIPPED_CHECKPOINT), load_model(weights), output_folder(out).resolve()
    films, _ = films_below([Path(source) for source in sources], out)
    vectors, skipped = film_vectors(model, films, out / VECTORS, checkpoint_hash(folder), progress)
    if not vectors:
        raise ValueError(f"none of the {len(films)} files can be read; first: {skipped[0]}")
    text = F.normalize(model.text_embedding([phrase]).float(), dim=-1)[0].cpu().numpy()
    cosine = {name: float(vector @ text) for name, vector in vectors.items()}
    ranked = sorted(cosine, key=lambda name: (-cosine[name], name))
    places = sorted({spelt(Path(source).resolve()) for source in sources})
    stem = _free_stem(out, phrase, places, spelt(folder))
    with atomic_write(out / f"{stem}.csv") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["rank", "image", "cosine"])
        writer.writerows([rank, name, f"{cosine[name]:.6f}"] for rank, name in enumerate(ranked, start=1))
    files = {spelt(path): path for path, _ in films}
    first = ranked[:SHOWN]
    squares = [letterbox(read_film(files[name]).pixels, model.config.image_size) for name in first]
    lines = [f"{rank}: {cosine[name]:.3f}  {Path(name).name}" for rank, name in enumerate(first, start=1)]
    short = textwrap.shorten(phrase, LONGEST_TITLE, placeholder=" …")
    title = f"{short}: the first {len(first)} of {len(ranked)} films, by the cosine of film and phrase"
    answer = {
        "phrase": phrase,
        "sources": places,
        "checkpoint": spelt(folder),
        "films": len(ranked),
        "skipped": skipped,
        "notes": phrase_notes(model, phrase),
        "first": [{"image": name, "cosine": round(cosine[name], 6)} for name in first],
    }
    answer = write_answer(out, stem, contact_sheet(squares, lines, title), answer)
    answer["files"].insert(0, spelt(out / f"{stem}.csv"))
    return answer


def _free_stem(out: Path, phrase: str, sources: list[str], checkpoint: str) -> str:
    """The name of the files: PHRASE_retrieve, unless a ranking of other films, for another phrase or by other weights has it."""
    short = slug(phrase)
    there = read_json(out / f"{short}_retrieve.json")
    ours = not there or [there.get(name) for name in ("phrase", "sources", "checkpoint")] == [
        phrase,
        sources,
        checkpoint,
    ]
    return f"{short if ours else hashed(short, [phrase, checkpoint, *sources])}_retrieve"


def film_vectors(
    model, films: Sequence[tuple[Path, Path]], path: Path, checkpoint: str, progress: bool
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Name -> unit vector of the films that can be read, and why the others can't; kept in the file `path`."""
    vectors, skipped, saved = Vectors.read(path, checkpoint), [], time.monotonic()
    known = vectors.known()
    todo = [film for film in films if known.get(spelt(film[0]), (None,))[0] != stamp(film[0])]
    try:
        with tqdm(total=len(films), initial=len(films) - len(todo), unit="film", disable=not progress) as bar:
            for batch in read_ahead(todo, model.config.image_size):
                good = [(film, square[0]) for film, _, square in batch if not isinstance(square, str)]
                skipped += [reason for *_, reason in batch if isinstance(reason, str)]
                if good:
                    found = model.image_embedding(model.pixels([square for _, square in good])).float()
                    vectors.names += [spelt(film) for film, _ in good]
                    vectors.stamps += [stamp(film) for film, _ in good]
                    vectors.rows += list(F.normalize(found, dim=-1).cpu().numpy())
                bar.update(len(batch))
                if time.monotonic() - saved > SAVED:
                    vectors.write(path)
                    saved = time.monotonic()
    finally:
        if todo:
            vectors.write(path)
    known, found = vectors.known(), {}
    for film, _ in films:
        kept, vector = known.get(spelt(film), (None, None))
        if kept == stamp(film):
            found[spelt(film)] = vector
    return found, skipped
