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
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from .. import paths
from ..images import letterbox, read_image
from ..model import SSACLModel
from ..model.build import load_model
from ..model.reporting import Report, reports_of_pixels
from ..observations import FINDINGS
from ..plots.overlays import overlay_figure, save_overlay
from ..record.manifest import atomic_write
from ..record.sources import sha256_file, sha256_json

SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
BATCH = 32
"""Films that are read, reported and written together."""

READERS = 2
"""Threads that read the next batch while the model is at the last one."""

OWN = ("_report", "_ground")
"""Endings of the pictures that `ssacl` writes itself beside a JSON of the same name; they are no films."""


@dataclass(frozen=True)
class FolderReports:
    """What came of a run: counts of films, (path, reason) of those that can't be read, and the files."""

    written: int
    before: int
    skipped: list[tuple[str, str]]
    lines: Path
    table: Path
    skips: Path


def facts(answer: Report) -> dict:
    """A report as JSON values: report, findings (name -> probability), positives, anatomies."""
    return {"report": answer.text, "findings": {name: round(p, 4) for name, p in answer.findings.items()},
            "positives": list(answer.positives), "anatomies": list(answer.anatomies)}  # fmt: skip


def draw_report(square: np.ndarray, answer: Report) -> Figure:
    """The film [S, S] uint8 with its evidence; without a finding there is none, and the picture says so."""
    nothing = {"no evidence: no finding": np.zeros(square.shape, np.float32)}
    return overlay_figure(square, answer.evidence or nothing, title=answer.text)


def films_below(sources: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """(file, its name below the source) of all pictures, in order of their paths; what lies in OUT/pictures is left out.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: no source holds a picture.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder")
        root = source.resolve() if source.is_dir() else source.resolve().parent
        for path in sorted(root.rglob("*")) if source.is_dir() else [source.resolve()]:
            own = path.stem.endswith(OWN) and path.with_suffix(".json").is_file()
            if path.suffix.lower() in SUFFIXES and path.is_file() and not own and out / "pictures" not in path.parents:
                found.setdefault(path, Path(root.name) / path.relative_to(root))
    if not found:
        raise ValueError(f"{sources[0]}: no picture in it ({', '.join(SUFFIXES)})")
    return list(found.items())


def checkpoint_hash(folder: Path) -> str:
    """SHA-256 of what decides a checkpoint's answers: weights, configuration and tokenizers."""
    files = [folder / "config.json", folder / "model.safetensors", *sorted(folder.glob("*tokenizer/*.json"))]
    return sha256_json([[path.relative_to(folder).as_posix(), sha256_file(path)] for path in files])


def _stamp(path: Path) -> list[int]:
    """Size and time of change: a film that was exchanged is reported again."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def read_lines(path: Path) -> Iterator[dict]:
    """The reports of a reports.jsonl, one after the other; a last line that a kill cut off is passed over."""
    if path.is_file():
        with open(path, encoding="utf-8") as handle:
            for line in handle:
                if line.endswith("\n"):
                    yield json.loads(line)


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


def _square(path: Path, size: int) -> np.ndarray | str:
    try:
        return letterbox(read_image(path), size)
    except (ValueError, OSError) as error:
        return str(error)


def read_ahead(films: Sequence[tuple[Path, Path]], size: int) -> Iterator[list[tuple]]:
    """Batches of (path, name, square [S, S] uint8 or the reason why there is none); the next one is being read meanwhile."""
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
        ValueError: not one film can be read, or there is none.
    """
    folder = Path(weights or paths.SHIPPED_CHECKPOINT)
    model, checkpoint = load_model(weights), checkpoint_hash(folder)
    out = (Path(out) if out else Path.cwd()).resolve()
    films = films_below([Path(source) for source in sources], out)
    out.mkdir(parents=True, exist_ok=True)
    lines, table, skips = out / "reports.jsonl", out / "reports.csv", out / "skipped.csv"
    _drop_cut_line(lines)
    done = _done(lines, checkpoint, pictures)
    todo = [film for film in films if done.get(str(film[0])) != _stamp(film[0])]
    before, written, skipped = len(films) - len(todo), 0, []
    with (
        open(lines, "a", encoding="utf-8") as handle,
        tqdm(total=len(films), initial=before, desc="reports", unit="film", disable=not progress, mininterval=1) as bar,
    ):
        for batch in read_ahead(todo, model.config.image_size):
            good = [film for film in batch if not isinstance(film[2], str)]
            skipped += [(str(path), reason) for path, _, reason in batch if isinstance(reason, str)]
            made = _report_batch(model, good, out / "pictures" if pictures else None)
            whose = {"checkpoint": str(folder), "checkpoint_hash": checkpoint}
            handle.writelines(json.dumps({**line, **whose}, ensure_ascii=False) + "\n" for line in made)
            handle.flush()
            written += len(good)
            bar.update(len(batch))
    if skipped:
        with atomic_write(skips) as handle:
            csv.writer(handle, lineterminator="\n").writerows([("image", "reason"), *skipped])
    else:
        skips.unlink(missing_ok=True)
    if not written + before:
        raise ValueError(f"none of the {len(films)} files can be read; first: {skipped[0][1]}")
    _write_table(lines, table, checkpoint, {str(path) for path, _ in films})
    return FolderReports(written, before, skipped, lines, table, skips)


def _report_batch(model: SSACLModel, films: list[tuple], pictures: Path | None) -> list[dict]:
    """Lines of films (path, name, square); their pictures go below the folder `pictures`."""
    if not films:
        return []
    lines = []
    answers = reports_of_pixels(model, model.pixels([square for *_, square in films]), pictures is not None)
    for (path, name, square), answer in zip(films, answers, strict=True):
        lines.append({"image": str(path), **facts(answer), "file": _stamp(path)})
        if pictures is not None:
            picture = pictures / name.with_name(name.name.replace(".", "_") + "_report.png")
            picture.parent.mkdir(parents=True, exist_ok=True)
            save_overlay(draw_report(square, answer), picture)
            lines[-1]["picture"] = str(picture)
    return lines


def _write_table(lines: Path, table: Path, checkpoint: str, films: set[str]) -> None:
    """The newest report of each of the films by this checkpoint: image, report, positives, anatomies, 13 probabilities."""
    newest = {
        line["image"]: number for number, line in enumerate(read_lines(lines)) if line["checkpoint_hash"] == checkpoint
    }
    with atomic_write(table) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["image", "report", "positives", "anatomies", *FINDINGS, "checkpoint"])
        for number, line in enumerate(read_lines(lines)):
            if line["image"] in films and newest.get(line["image"]) == number:
                writer.writerow([line["image"], line["report"], "; ".join(line["positives"]), "; ".join(line["anatomies"]),
                                 *(line["findings"][name] for name in FINDINGS), line["checkpoint"]])  # fmt: skip
