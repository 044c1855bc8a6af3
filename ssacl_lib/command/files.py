"""What `ssacl report`, `ground` and `convert-release` do: read files, ask a checkpoint, write JSON, tables and pictures."""

import inspect
import json
import warnings
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

from .. import paths
from ..images import letterbox, letterbox_geometry, read_image
from ..model import SSACLConfig, SSACLModel, SSACLProcessor
from ..model.build import load_model
from ..model.maps import phrase_maps_of_pixels
from ..model.release import read_release, unused_tensors
from ..model.reporting import reports_of_pixels
from ..plots.overlays import overlay_figure, save_overlay
from ..record.manifest import write_json
from ..text.tokenizer import read_wordpiece
from ..training.loop import save_model
from .folder_reports import draw_report, facts


def report_files(
    images: list[Path], weights: Path | None = None, out: Path | None = None, pictures: bool = True
) -> list[dict]:
    """Report each image file (PNG, JPEG, DICOM); writes `<name>_report.json` and `.png` to `out` (default: here).

    pictures=False leaves the PNG, and the evidence that it would show, out.
    Returns one dict per image: image, checkpoint, report, findings (name -> probability), positives, anatomies, files.
    """
    model, out = load_model(weights), _folder(out)
    size = model.config.image_size
    squares = [letterbox(read_image(path), size) for path in images]  # read all first: a bad one stops before any work
    reports = reports_of_pixels(model, model.pixels(squares), pictures)
    answers = []
    stems = [Path(path).stem for path in images]
    for path, square, answer in zip(map(Path, images), squares, reports, strict=True):
        stem = path.stem if stems.count(path.stem) == 1 else path.name.replace(".", "_")  # a.png beside a.jpg
        told = {"image": str(path), "checkpoint": str(weights or paths.SHIPPED_CHECKPOINT), **facts(answer)}
        answers.append(_write(out, f"{stem}_report", draw_report(square, answer) if pictures else None, told))
    return answers


def ground_file(image: Path, phrase: str, weights: Path | None = None, out: Path | None = None) -> dict:
    """Ground a phrase on an image file by masked evidence, with the similarity map beside it.

    Returns a dict: image, checkpoint, phrase, evidence, peak (x, y of the masked map's maximum in pixels of the file), files.
    """
    if not phrase.strip():
        raise ValueError('the phrase is empty; give a few words such as "left pleural effusion"')
    model, out, image = load_model(weights), _folder(out), Path(image)
    film = read_image(image)
    square = letterbox(film, model.config.image_size)
    scale, left, top = letterbox_geometry(*film.shape, model.config.image_size)
    pixels = model.pixels([film])
    maps = {
        kind: phrase_maps_of_pixels(model, pixels, [phrase], kind)[0, 0].cpu().numpy()
        for kind in ("masked", "similarity")
    }
    size = np.minimum(np.round(np.array(film.shape) * scale).astype(int), square.shape)  # the margins are no film
    inside = maps["masked"][top : top + size[0], left : left + size[1]]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    figure = overlay_figure(
        square, {"masked evidence (ours)": maps["masked"], "similarity": maps["similarity"]}, title=phrase
    )
    peak = [round((float(v) + 0.5) / scale, 1) for v in (column, row)]
    return _write(
        out,
        f"{image.stem}_ground",
        figure,
        {
            "image": str(image),
            "checkpoint": str(weights or paths.SHIPPED_CHECKPOINT),
            "phrase": phrase,
            "evidence": "masked",
            "masks": model.config.evidence["masks"],
            "peak": peak,
        },
    )


def _folder(out: Path | None) -> Path:
    folder = Path(out) if out else Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(out: Path, stem: str, figure, answer: dict) -> dict:
    answer["files"] = [str(out / f"{stem}.json")]
    if figure is not None:
        answer["files"].append(str(out / f"{stem}.png"))
        save_overlay(figure, out / f"{stem}.png")
    write_json(out / f"{stem}.json", answer)
    return answer


NEVER = 2.0
"""A threshold that no probability reaches: the converted model's finding head has not been fitted."""


def convert_release_file(
    checkpoint: Path,
    out: Path,
    tokenizer: Path | None = None,
    language_tokenizer: str | None = None,
    sizes: Path | None = None,
) -> tuple[dict[str, str], list[str]]:
    """Write the authors' checkpoint as a folder of ours; returns the unused tensors with the reasons, and notes to print.

    tokenizer: their WordPiece file. language_tokenizer: a GPT-2 tokenizer, a folder or a name on the hub. sizes: a JSON with
    fields of SSACLConfig that differ from the authors' full size. All is read and checked before anything is written.
    """
    config = _release_config(sizes)
    words = read_wordpiece(tokenizer) if tokenizer else None
    language = AutoTokenizer.from_pretrained(language_tokenizer) if language_tokenizer else None
    for read, name, sizes_of in ((words, tokenizer, config.text), (language, language_tokenizer, config.language)):
        if read is not None and len(read) > (most := sizes_of.get("vocab_size", GPT2_PIECES)):
            raise ValueError(
                f"{name}: {len(read)} entries, and the model has {most}; this is the tokenizer of another model"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of pickles that it then refuses
        state = read_release(checkpoint)
    model = SSACLModel.from_release(state, config)
    model.head.thresholds.fill_(NEVER)
    if words is not None and language is not None:
        model.processor = SSACLProcessor(config, words, language)
    out = _folder(out)
    save_model(model, out)
    notes = ["the finding head is not fitted: no finding is predicted, so reports are written without prompts"]
    if words is not None and language is None:
        words.save_pretrained(out / "tokenizer")
        notes.append("without a language tokenizer: it writes no reports (give --language-tokenizer, a folder or gpt2)")
    if words is None:
        notes.append(
            "without the texts' tokenizer: no phrase can be asked for (give --tokenizer, their WordPiece file)"
        )
    if words is None and language is not None:
        language.save_pretrained(out / "language_tokenizer")
    return unused_tensors(state), notes


GPT2_PIECES = 50257
"""Entries of GPT-2's vocabulary, where a configuration does not say."""


def _release_config(path: Path | None) -> SSACLConfig:
    if path is None:
        return SSACLConfig.release()
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from None
    known = set(inspect.signature(SSACLConfig.__init__).parameters) - {"self", "kwargs"}
    written_by_transformers = {"architectures", "dtype", "model_type", "tie_word_embeddings", "transformers_version"}
    if type(fields) is not dict or (unknown := sorted(set(fields) - known - written_by_transformers)):
        found = unknown[0] if type(fields) is dict else "no object"
        raise ValueError(f"{path}: {found!r} is no field of SSACLConfig; there are {', '.join(sorted(known))}")
    return SSACLConfig.release(**{name: value for name, value in fields.items() if name in known})
