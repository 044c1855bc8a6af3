"""`ssacl report` for folders: films are read ahead, reported in batches, and every report is on disk as soon as it is made.

Two files: reports.jsonl, one line per film, appended and never rewritten, so that a killed run loses at most the batch it
was at and the next run goes on behind it; and reports.csv, the same as a table, written at the end. One JSON per film, as
for single images, would be ten thousand files that nobody can read.
"""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

import numpy as np
from tqdm import tqdm

from .. import paths
from ..datasets.pictures import stamp
from ..film import spelt
from ..images import letterbox, read_film
from ..model import SSACLModel
from ..model.build import load_model
from ..model.reporting import reports_of_pixels
from ..observations import FINDINGS
from ..plots.overlays import save_overlay
from ..record.manifest import atomic_write
from ..record.sources import sha256_file, sha256_json
from .film_files import OWN_TABLES, PICTURE, films_below
from .report import draw_report, facts

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

BATCH = 32
"""Films that are read, reported and written together."""

READERS = 2
"""Threads that read the next batch while the model is at the last one."""


@dataclass(frozen=True)
class FolderReports:
    """What came of a run: counts of films, (path, reason) of those that can't be read, (path, note) of those that are odd.

    others: files of the folders that are no pictures.
    """

    written: int
    before: int
    others: int
    skipped: list[tuple[str, str]]
    notes: list[tuple[str, str]]
    lines: Path
    table: Path
    skips: Path


def path_digits(path: Path) -> str:
    """Eight digits of a film's whole path: films of one name in folders of one name are told apart by them."""
    return sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def checkpoint_hash(folder: Path) -> str:
    """SHA-256 of what decides a checkpoint's answers: weights, configuration and tokenizers."""
    files = [folder / "config.json", folder / "model.safetensors", *sorted(folder.glob("*tokenizer/*.json"))]
    return sha256_json([[path.relative_to(folder).as_posix(), sha256_file(path)] for path in files])


NEEDED = {"image": str, "file": list, "checkpoint_hash": str, "report": str, "findings": dict, "positives": list,
          "anatomies": list, "checkpoint": str}  # fmt: skip


def read_lines(path: Path) -> Iterator[dict]:
    """The reports of a reports.jsonl, one after the other.

    What is no whole report (a last line that a kill cut off, a damaged file) is passed over: its film is reported again.
    """
    if path.is_file():
        with open(path, encoding="utf-8", errors="replace") as handle:
            for text in handle:
                try:
                    line = json.loads(text) if text.endswith("\n") else None
                except (ValueError, RecursionError):
                    continue
                if isinstance(line, dict) and all(isinstance(line.get(name), kind) for name, kind in NEEDED.items()):
                    yield line


def _done(lines: Path, checkpoint: str, pictures: bool) -> dict[str, list[int]]:
    """Film -> its stamp, of the reports by this checkpoint (and with a picture, where pictures are wanted)."""
    return {
        line["image"]: line["file"]
        for line in read_lines(lines)
        if line["checkpoint_hash"] == checkpoint and (not pictures or Path(line.get("picture") or "-").is_file())
    }


def _drop_cut_line(path: Path) -> None:
    """Cut off what a kill left behind the last line break."""
    content = path.read_bytes() if path.is_file() else b""
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def _square(path: Path, size: int) -> tuple[np.ndarray, list[str]] | str:
    try:
        film = read_film(path)
        return letterbox(film.pixels, size), list(film.notes)
    except Exception as error:  # whatever it is, the folder goes on
        return str(error) if isinstance(error, (ValueError, OSError)) else f"{spelt(path)}: {type(error).__name__}"


def read_ahead(films: Sequence[tuple[Path, Path]], size: int) -> Iterator[list[tuple]]:
    """Batches of (path, name, (square [S, S] uint8, notes) or the reason why there is none); the next one is being read."""
    with ThreadPoolExecutor(READERS) as readers:
        coming = None
        for start in range(0, len(films) + 1, BATCH):
            following = [
                (path, name, readers.submit(_square, path, size)) for path, name in films[start : start + BATCH]
            ]
            if coming:
                yield [(path, name, square.result()) for path, name, square in coming]
            coming = following
        if coming:
            yield [(path, name, square.result()) for path, name, square in coming]


def _lock(handle: IO, out: Path) -> None:
    """Raises ValueError where another process is writing to the same file; the lock ends with the process."""
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"{spelt(out)}: another `ssacl report` is writing there; wait for it, or give another --out"
        ) from None
    except OSError:  # a file system without locks
        return


def report_folders(
    sources: Sequence[Path],
    weights: Path | None = None,
    out: Path | None = None,
    pictures: bool = False,
    progress: bool = True,
) -> FolderReports:
    """Report all films of folders (and single files) into OUT/reports.jsonl and reports.csv, pictures into OUT/pictures.

    Films that this very checkpoint has reported before are passed over, those that can't be read are listed in skipped.csv.

    Raises:
        ValueError: not one film can be read, or there is none; or another process is writing to OUT.
    """
    folder = Path(weights or paths.SHIPPED_CHECKPOINT)
    model, checkpoint = load_model(weights), checkpoint_hash(folder)
    out = (Path(out) if out else Path.cwd()).resolve()
    films, others = films_below([Path(source) for source in sources], out)
    out.mkdir(parents=True, exist_ok=True)
    lines, table, skips = (out / name for name in OWN_TABLES)
    with open(lines, "a", encoding="utf-8") as handle:
        _lock(handle, out)
        _drop_cut_line(lines)
        done = _done(lines, checkpoint, pictures)
        todo = [film for film in films if done.get(spelt(film[0])) != stamp(film[0])]
        before, written, skipped = len(films) - len(todo), 0, []
        whose = {"checkpoint": spelt(folder), "checkpoint_hash": checkpoint}
        with tqdm(
            total=len(films), initial=before, desc="reports", unit="film", disable=not progress, mininterval=1
        ) as bar:
            for batch in read_ahead(todo, model.config.image_size):
                good = [film for film in batch if not isinstance(film[2], str)]
                skipped += [(spelt(path), reason) for path, _, reason in batch if isinstance(reason, str)]
                made = _report_batch(model, good, out / "pictures" if pictures else None)
                handle.writelines(json.dumps({**line, **whose}, ensure_ascii=False) + "\n" for line in made)
                handle.flush()
                written += len(good)
                bar.update(len(batch))
        if skipped:
            with atomic_write(skips) as table_handle:
                csv.writer(table_handle, lineterminator="\n").writerows([("image", "reason"), *skipped])
        else:
            skips.unlink(missing_ok=True)
        if not written + before:
            raise ValueError(f"none of the {len(films)} files can be read; first: {skipped[0][1]}")
        notes = _write_table(lines, table, checkpoint, {spelt(path) for path, _ in films})
    return FolderReports(written, before, others, skipped, notes, lines, table, skips)


def _report_batch(model: SSACLModel, films: list[tuple], pictures: Path | None) -> list[dict]:
    """Lines of films (path, name, (square, notes)); their pictures go below the folder `pictures`."""
    if not films:
        return []
    lines = []
    answers = reports_of_pixels(model, model.pixels([square for *_, (square, _) in films]), pictures is not None)
    for (path, name, (square, notes)), answer in zip(films, answers, strict=True):
        lines.append({"image": spelt(path), **facts(answer), "notes": notes, "file": stamp(path)})
        if pictures is not None:
            picture = pictures / name.with_name(f"{name.name.replace('.', '_')}_{path_digits(path)}{PICTURE}")
            picture.parent.mkdir(parents=True, exist_ok=True)
            save_overlay(draw_report(square, answer), picture)
            lines[-1]["picture"] = spelt(picture)
    return lines


def _write_table(lines: Path, table: Path, checkpoint: str, films: set[str]) -> list[tuple[str, str]]:
    """The newest report of each of the films by this checkpoint: image, report, positives, anatomies, 13 probabilities.

    Returns (image, note) of the films that are odd.
    """
    newest = {
        line["image"]: number for number, line in enumerate(read_lines(lines)) if line["checkpoint_hash"] == checkpoint
    }
    odd = []
    with atomic_write(table) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["image", "report", "positives", "anatomies", *FINDINGS, "notes", "checkpoint"])
        for number, line in enumerate(read_lines(lines)):
            if line["image"] in films and newest.get(line["image"]) == number:
                notes = line.get("notes", [])
                odd += [(line["image"], note) for note in notes]
                lists = ["; ".join(line[name]) for name in ("positives", "anatomies")]
                probabilities = [line["findings"][name] for name in FINDINGS]
                writer.writerow(
                    [line["image"], line["report"], *lists, *probabilities, "; ".join(notes), line["checkpoint"]]
                )
    return odd
