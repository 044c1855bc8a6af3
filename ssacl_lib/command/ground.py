"""`ssacl ground`: where on an image a phrase is, by masked evidence, with the similarity map beside it."""

import textwrap
from pathlib import Path

import numpy as np

from .. import paths
from ..film import spelt
from ..images import film_rectangle, letterbox, letterbox_geometry, read_film
from ..model.build import load_model
from ..model.maps import phrase_maps_of_pixels
from ..plots.overlays import overlay_figure
from .output import free_name, names_of, output_folder, slug, write_answer

LONGEST_TITLE = 200
"""Characters of a phrase above a picture: two lines. The JSON holds it whole."""


def peak_on_film(heatmap: np.ndarray, shape: tuple[int, int]) -> tuple[float, float]:
    """x, y of the maximum of a map [S, S], in pixels of the letterboxed film of `shape`; the padding does not count."""
    size = len(heatmap)
    scale, left, top = letterbox_geometry(*shape, size)
    rows, columns = film_rectangle(shape, size)
    own = heatmap[rows, columns]
    row, column = np.unravel_index(int(own.argmax()), own.shape)
    x, y = (columns.start + column + 0.5 - left) / scale, (rows.start + row + 0.5 - top) / scale
    return float(np.clip(x, 0, shape[1] - 0.5)), float(np.clip(y, 0, shape[0] - 0.5))


def phrase_notes(model, phrase: str) -> list[str]:
    """Words of a phrase that the model never met, and where it stops reading."""
    known, unknown = model.processor.known_words(phrase)
    if not known:
        return [f"no word of the phrase {phrase!r} is known to the model: the map says nothing of it"]
    notes = [f"words that the model does not know: {', '.join(unknown)}"] if unknown else []
    tokenizer = model.processor.text_tokenizer
    pieces = len(tokenizer.tokenize(phrase.lower()))
    read = model.processor.text([phrase])[0].shape[1] - bool(tokenizer.cls_token)
    if pieces > read:
        notes.append(f"the phrase has {pieces} pieces of words, of which the model reads the first {read} alone")
    return notes


def ground_file(image: Path, phrase: str, weights: Path | None = None, out: Path | None = None) -> dict:
    """Ground a phrase on an image file; writes `<name>_ground.json` and `.png`, with the phrase in the name from the second on.

    Returns a dict: image, checkpoint, phrase, evidence, peak (x, y of the masked map's maximum on the film itself, in pixels
    of the file as it is stored), notes, files.
    """
    phrase = spelt(phrase)
    if not phrase.strip():
        raise ValueError('the phrase is empty; give a few words such as "left pleural effusion"')
    model, out, image = load_model(weights), output_folder(out), Path(image)
    film = read_film(image)
    square = letterbox(film.pixels, model.config.image_size)
    pixels = model.pixels([film.pixels])
    maps = {
        kind: phrase_maps_of_pixels(model, pixels, [phrase], kind)[0, 0].cpu().numpy()
        for kind in ("masked", "similarity")
    }
    x, y = film.to_file(*peak_on_film(maps["masked"], film.pixels.shape))
    figure = overlay_figure(
        square,
        {"masked evidence (ours)": maps["masked"], "similarity": maps["similarity"]},
        title=textwrap.shorten(phrase, LONGEST_TITLE, placeholder=" …"),
    )
    first, *more = names_of(image)
    names = [first, *(f"{name}_{slug(phrase)}" for name in (first, *more))]
    return write_answer(
        out,
        f"{free_name(out, names, '_ground', image, phrase)}_ground",
        figure,
        {
            "image": spelt(image),
            "checkpoint": spelt(weights or paths.SHIPPED_CHECKPOINT),
            "phrase": phrase,
            "evidence": "masked",
            "masks": model.config.evidence["masks"],
            "peak": [round(x, 1), round(y, 1)],
            "notes": [*film.notes, *phrase_notes(model, phrase)],
        },
    )
