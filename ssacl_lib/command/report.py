"""`ssacl report` for single images: findings, report and evidence as JSON and picture."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .. import paths
from ..film import spelt
from ..images import letterbox, read_film
from ..model.build import load_model
from ..model.reporting import Report, reports_of_pixels
from ..plots.overlays import overlay_figure
from .output import free_name, output_folder, told_apart, write_answer


def facts(answer: Report) -> dict:
    """A report as JSON values: report, findings (name -> probability), positives, anatomies."""
    return {"report": answer.text, "findings": {name: round(p, 4) for name, p in answer.findings.items()},
            "positives": list(answer.positives), "anatomies": list(answer.anatomies),
            "sentences": [{"text": text, "names": list(nodes)} for text, nodes in answer.sentences]}  # fmt: skip


def draw_report(square: np.ndarray, answer: Report) -> Figure:
    """The film [S, S] uint8 with its evidence; without a finding there is none, and the picture says so."""
    nothing = {"no evidence: no finding": np.zeros(square.shape, np.float32)}
    return overlay_figure(square, answer.evidence or nothing, title=answer.text)


def report_files(
    images: list[Path], weights: Path | None = None, out: Path | None = None, pictures: bool = True
) -> list[dict]:
    """Report each image file; writes `<name>_report.json` and `.png` to `out` (default: here).

    Images of the same name from several folders get the folders' names in front. pictures=False leaves the PNG, and the
    evidence that it would show, out.
    Returns one dict per image: image, checkpoint, report, findings (name -> probability), positives, anatomies,
    sentences (those that state a finding, with the nodes that they name), notes, files.
    """
    images = list({path.resolve(): path for path in map(Path, images)}.values())
    model, out = load_model(weights), output_folder(out)
    films = [read_film(path) for path in images]  # read all first: a bad one stops before any work
    squares = [letterbox(film.pixels, model.config.image_size) for film in films]
    reports = reports_of_pixels(model, model.pixels(squares), pictures)
    checkpoint = spelt(weights or paths.SHIPPED_CHECKPOINT)
    answers = []
    for path, names, film, square, answer in zip(images, told_apart(images), films, squares, reports, strict=True):
        told = {"image": spelt(path), "checkpoint": checkpoint, **facts(answer), "notes": list(film.notes)}
        name = free_name(out, names, "_report", path)
        answers.append(write_answer(out, f"{name}_report", draw_report(square, answer) if pictures else None, told))
    return answers
