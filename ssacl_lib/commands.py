"""What `ssacl report` and `ssacl ground` do: read image files, ask a checkpoint, write a JSON and an overlay picture."""

from pathlib import Path

import numpy as np

from . import paths
from .datasets.image_files import letterbox, letterbox_geometry, read_image
from .inference import Report, phrase_maps_of_pixels
from .manifest import write_json
from .model.build import load_model
from .plots.overlays import overlay_figure, save_overlay


def report_files(images: list[Path], weights: Path | None = None, out: Path | None = None) -> list[dict]:
    """Report each image file (PNG, JPEG, DICOM); writes `<name>_report.json` and `.png` to `out` (default: here).

    Returns one dict per image: image, checkpoint, report, findings (name -> probability), positives, anatomies, files.
    """
    model, out = load_model(weights), _folder(out)
    films = [(Path(path), read_image(path)) for path in images]  # read all first: a bad one stops before any work
    answers = []
    stems = [path.stem for path, _ in films]
    for path, film in films:
        stem = path.stem if stems.count(path.stem) == 1 else path.name.replace(".", "_")  # a.png beside a.jpg
        answer: Report = model.report([film])[0]
        square = letterbox(film, model.config.image_size)
        figure = overlay_figure(square, answer.evidence or {"no evidence: no finding": np.zeros(square.shape, np.float32)},
                                title=answer.text)
        answers.append(_write(out, f"{stem}_report", figure, {
            "image": str(path), "checkpoint": str(weights or paths.SHIPPED_CHECKPOINT), "report": answer.text,
            "findings": {name: round(p, 4) for name, p in answer.findings.items()},
            "positives": list(answer.positives), "anatomies": list(answer.anatomies)}))
    return answers


def ground_file(image: Path, phrase: str, weights: Path | None = None, out: Path | None = None) -> dict:
    """Ground a phrase on an image file by masked evidence, with the similarity map beside it.

    Returns a dict: image, checkpoint, phrase, evidence, peak (x, y of the masked map's maximum in pixels of the file), files.
    """
    if not phrase.strip():
        raise ValueError("the phrase is empty; give a few words such as \"left pleural effusion\"")
    model, out, image = load_model(weights), _folder(out), Path(image)
    film = read_image(image)
    square = letterbox(film, model.config.image_size)
    scale, left, top = letterbox_geometry(*film.shape, model.config.image_size)
    pixels = model.pixels([film])
    maps = {kind: phrase_maps_of_pixels(model, pixels, [phrase], kind)[0, 0].cpu().numpy() for kind in ("masked", "similarity")}
    row, column = np.unravel_index(int(maps["masked"].argmax()), square.shape)
    figure = overlay_figure(square, {"masked evidence (ours)": maps["masked"], "similarity": maps["similarity"]}, title=phrase)
    peak = [round((float(v) + 0.5 - shift) / scale, 1) for v, shift in ((column, left), (row, top))]
    return _write(out, f"{image.stem}_ground", figure, {
        "image": str(image), "checkpoint": str(weights or paths.SHIPPED_CHECKPOINT), "phrase": phrase, "evidence": "masked",
        "masks": model.config.evidence["masks"], "peak": peak})


def _folder(out: Path | None) -> Path:
    folder = Path(out) if out else Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(out: Path, stem: str, figure, answer: dict) -> dict:
    answer["files"] = [str(out / f"{stem}.json"), str(out / f"{stem}.png")]
    save_overlay(figure, out / f"{stem}.png")
    write_json(out / f"{stem}.json", answer)
    return answer
