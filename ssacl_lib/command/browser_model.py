"""`ssacl browser-model`: a page in which a checkpoint answers without Python: graphs, masks, phantoms, runtime, one script.

index.html           the page; it reads the other files of its folder, so the folder has to be served
ssacl-browser.html   the same page with everything in it, for file://
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from .. import paths
from ..evaluation.subjects import Subject
from ..film import spelt
from ..inference.onnx_graphs import ENCODER, TEXT, write_graphs
from ..model.build import load_model
from ..record.manifest import atomic_write
from .browser_data import dozen, write_data
from .folder_reports import checkpoint_hash
from .npm import RUNTIME, package_files

SOURCE = Path(__file__).parent / "browser_page"
PAGE, WHOLE = "index.html", "ssacl-browser.html"
SCRIPTS = ("wordpiece.js", "film.js", "maps.js", "views.js", "model.js", "draw.js", "page.js")
RUNS = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""Files of the runtime, all below dist/ of its package."""

READ = (
    ENCODER,
    TEXT,
    "model.json",
    "masks.bin",
    "queries.bin",
    "blank.bin",
    "phantoms.json",
    "tokenizer.json",
    *RUNS[1:],
)
"""What the page reads when it begins."""

SCRIPT_TAGS = re.compile(r'(?:<script src="[^"]+"></script>\n)+')
POLICY = re.compile(r'(<meta http-equiv="Content-Security-Policy" content=")[^"]*(">)')


def write_browser_model(
    weights: Path | None = None, out: Path | None = None, subjects: Sequence[Subject] | None = None
) -> tuple[list[Path], float]:
    """Write the page to a folder (default runs/browser); returns its files, and how far the graphs are from PyTorch.

    weights: a checkpoint (default: the shipped one). subjects: the films that can be picked (default: a dozen phantoms).

    Raises:
        FileNotFoundError: no checkpoint there, or no CT behind the phantom.
        RuntimeError: onnx or onnxruntime is not installed; the runtime can't be fetched by npm, or is another one than expected.
        ValueError: a checkpoint that the page can't read.
    """
    model = load_model(weights, "cpu")
    folder, out = Path(weights or paths.SHIPPED_CHECKPOINT), Path(out or paths.RUNS / "browser")
    runtime = package_files(RUNTIME, tuple(f"dist/{name}" for name in RUNS))
    differs = max(write_graphs(model, out).values())
    about = spelt(folder.resolve().name), checkpoint_hash(folder)
    write_data(model, about, list(subjects or dozen(model.config.image_size)), out)
    page = {name: (SOURCE / name).read_bytes() for name in (PAGE, "page.css", *SCRIPTS)}
    page |= {name: runtime[f"dist/{name}"] for name in RUNS}
    for name, content in page.items():
        with atomic_write(out / name, "wb") as handle:
            handle.write(content)
    with atomic_write(out / WHOLE) as handle:
        handle.write(one_file(out))
    return [out / name for name in dict.fromkeys((PAGE, WHOLE, "page.css", *SCRIPTS, *RUNS, *READ))], differs


def one_file(folder: Path) -> str:
    """The page of a folder with its style, its scripts (as one) and its files in it; it may ask for nothing at all."""
    text = (folder / PAGE).read_text(encoding="utf-8")
    style = (folder / "page.css").read_text(encoding="utf-8")
    # the last line of the runtime's script names a map of its sources, which is not here
    script = "\n".join(
        re.sub(r"^//# sourceMappingURL=.*$", "", (folder / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
        for name in (RUNS[0], *SCRIPTS)
    )
    if "</script" in script or "</style" in style:
        raise ValueError("a script or style would end where it stands in the page")
    held = "\n".join(
        f'<script type="text/plain" id="file:{name}">{base64.b64encode((folder / name).read_bytes()).decode()}</script>'
        for name in READ
    )
    policy = (
        f"default-src 'none'; script-src {_hash_of(script)} 'wasm-unsafe-eval' blob:; style-src {_hash_of(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    text = POLICY.sub(lambda found: found[1] + policy + found[2], text)
    text = text.replace('<link rel="stylesheet" href="page.css">', f"<style>{style}</style>")
    return SCRIPT_TAGS.sub(lambda _: f"{held}\n<script>{script}</script>\n", text)


def _hash_of(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
