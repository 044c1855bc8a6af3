"""An executed notebook as a page of the web edition: pictures as files, widgets as what stands beside them, links rewritten."""

import base64
import re
from pathlib import Path

from .book_links import FILES, Places, picture, relative, rewritten

CHECKED = "# NBVAL_CHECK_OUTPUT"
"""A line for the test of notebooks, not for readers."""

PICTURES = {"image/png": "png", "image/jpeg": "jpg"}

WIDGET = re.compile(r"\w+\(children=\(")
"""How a box of widgets prints itself where it can't be drawn."""

ASLEEP = (
    '<p class="asleep">A widget that answers where the notebook runs (<code>make lab</code>); '
    "what follows shows it at one choice.</p>"
)


def notebook_page(content: dict, source: str, page: str, places: Places, out: Path) -> dict:
    """The notebook as it goes into the edition; its pictures are written below `out`.

    content: the executed notebook. source: its path in the repository. page: that of its page in the edition.

    Raises:
        ValueError: a cell failed, or a picture has no alternative text; as `rewritten`.
    """
    cells = []
    for cell in content["cells"]:
        cell = dict(cell)
        if cell["cell_type"] == "markdown":
            cell["source"] = rewritten("".join(cell["source"]), source, page, places)
        if "outputs" in cell:
            cell["source"] = "".join(cell["source"]).removeprefix(f"{CHECKED}\n")
            place = f"{source}, cell {cell['id']}"
            shown = [_output(one, f"{cell['id']}-{number}", place, source, page, places, out)
                     for number, one in enumerate(cell["outputs"])]  # fmt: skip
            cell["outputs"] = [one for one in shown if one]
        cells.append(cell)
    metadata = {key: value for key, value in content["metadata"].items() if key != "widgets"}
    return {**content, "cells": cells, "metadata": metadata}


def _output(output: dict, name: str, place: str, source: str, page: str, places: Places, out: Path) -> dict | None:
    """One output of a cell; None: nothing to be seen."""
    kind = output["output_type"]
    if kind == "error":
        raise ValueError(f"{place}: it failed; run `ssacl rebuild`, then build again")
    if kind == "stream":
        return output
    data, told = output["data"], output.get("metadata", {})
    for mime, ending in PICTURES.items():
        if mime in data:
            words = told.get(mime, {}).get("alt")
            if not words:
                raise ValueError(f"{place}: the picture has no alternative text; give `save_figure` one")
            file = f"{FILES}/{Path(page).with_suffix('').as_posix()}/{name}.{ending}"
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            (out / file).write_bytes(base64.b64decode("".join(data[mime])))
            return _shown({"text/html": picture(relative(file, page), words, told[mime].get("width"))})
    if "text/markdown" in data:
        return _shown({"text/markdown": rewritten("".join(data["text/markdown"]), source, page, places)})
    text = "".join(data.get("text/plain", ""))
    if WIDGET.match(text) or "application/vnd.jupyter.widget-view+json" in data:
        return _shown({"text/html": ASLEEP})
    return _shown({"text/plain": text}) if text else None


def _shown(data: dict) -> dict:
    return {"output_type": "display_data", "data": data, "metadata": {}}
