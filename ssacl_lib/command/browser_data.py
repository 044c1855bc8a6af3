"""What the page of `ssacl browser-model` reads beside the graphs: sizes, words and colours, masks, a dozen phantoms.

model.json      sizes of film and maps, findings with thresholds, nodes with their leaves, controls and their words, colours
masks.bin       uint16 [K, kept], the patches that each mask keeps: the masks of `ssacl ground`, seed 0
queries.bin     float32 [25, D], the queries of the leaves
blank.bin       float32 [K, Dt] and [N, Dt]: what the model sees of a blank film, under masks and whole
phantoms.json   films, the phrases that can be chosen, and where each of them is true
tokenizer.json  as the checkpoint has it
"""

import base64
import json
from pathlib import Path

import matplotlib
import numpy as np

from .. import __version__
from ..anatomy import default_graph, leaves_of
from ..datasets.phantom import body_maps
from ..datasets.study import EvaluationStudy
from ..evaluation import phrase_views as views
from ..evaluation.inputs import pixels_of
from ..evaluation.subjects import Subject, first_phrase, phantom_subject, region_of_phrase
from ..evaluation.targets import WHOLE, findings_of
from ..inference.onnx_graphs import ENCODER, Graph
from ..model import SSACLModel
from ..observations import BLANK, FINDINGS, OBSERVATIONS
from ..phantom import draw_signs
from ..plots import style
from ..plots.explorer_maps import KIND_TITLES
from ..record.manifest import atomic_write, write_json
from ..settings import load_settings
from ..text.sides import swap_side
from .sheet_page import READING

SEED = 0
"""Of the masks and of the phantom patients: that of `ssacl ground` and of the explorer."""

SEARCHED = 400
"""Phantom patients among whom the dozen is looked for."""

LEFT_OUT = ("Enlarged Cardiomediastinum", "Pleural Other")
"""Findings that seldom come alone, so that a dozen remains."""

NORMALIZER = ["Replace", "NFKD", "StripAccents", "Lowercase"]
"""Steps of the only tokenizer that wordpiece.js reads; before WordPiece texts are cut as BERT does."""


def write_data(model: SSACLModel, checkpoint: tuple[str, str], subjects: list[Subject], folder: Path) -> None:
    """Write all of it to a folder that holds the graphs. checkpoint: its name and SHA-256.

    Raises:
        ValueError: the checkpoint's tokenizer is none that the page can read, or its films have three channels.
    """
    keeps = views.keeps_of(model, SEED).cpu().numpy()
    write_json(folder / "model.json", model_facts(model, checkpoint))
    write_json(folder / "phantoms.json", phantom_facts(subjects, model.config.image_size))
    queries = model.default_queries()[model.leaf_index].detach().float().cpu().numpy()
    for name, parts in {"masks.bin": [keeps.astype("<u2")], "queries.bin": [queries.astype("<f4")],
                        "blank.bin": blank_seen(model, folder / ENCODER, keeps, queries[:1])}.items():  # fmt: skip
        with atomic_write(folder / name, "wb") as handle:
            handle.write(b"".join(part.tobytes() for part in parts))
    with atomic_write(folder / "tokenizer.json") as handle:
        handle.write(tokenizer_text(model))


def blank_seen(model: SSACLModel, graph: Path, keeps: np.ndarray, query: np.ndarray) -> list[np.ndarray]:
    """Image vectors of the blank film under the masks [K, Dt], and its patches [N, Dt], as the graph gives them."""
    encoder, pixels = Graph(graph), pixels_of(model, views.blank_film(model)).cpu().numpy()
    masked = [encoder(pixels, keep[None].astype(np.int32), query)[0][0] for keep in keeps]
    whole = encoder(pixels, np.arange(model.config.patches, dtype=np.int32)[None], query)[1][0]
    return [np.stack(masked).astype("<f4"), whole.astype("<f4")]


def model_facts(model: SSACLModel, checkpoint: tuple[str, str]) -> dict:
    """What model.json holds."""
    config, graph = model.config, default_graph()
    if config.channels != 1:
        raise ValueError(f"this checkpoint reads films with {config.channels} channels; the page reads grey ones")
    nodes = {node: [graph.leaves.index(leaf) for leaf in leaves_of(node)] for node in graph.nodes}
    return {
        "checkpoint": {"name": checkpoint[0], "sha256": checkpoint[1], "version": __version__},
        "imageSize": config.image_size, "grid": config.grid, "width": config.width, "textWidth": model.text.width,
        "textTokens": config.text.get("max_position_embeddings", 100),
        "mean": config.pixel_mean, "deviation": config.pixel_std,
        "masks": config.evidence["masks"], "maskRatio": config.evidence["mask_ratio"], "seed": SEED,
        "smoothing": {"similarity": config.evidence["smoothing_patches"],
                      "masked": config.evidence["evidence_smoothing_patches"]},
        "findings": list(FINDINGS), "thresholds": [round(float(t), 6) for t in model.head.thresholds],
        "nodes": [{"name": node, "leaves": leaves} for node, leaves in nodes.items()],
        "kinds": KIND_TITLES, "views": list(views.VIEWS), "words": views.WORDS, "stays": views.STAYS,
        "examples": views.EXAMPLES, "grey": views.GREY, "about": {"masked": dict(READING)["Masked evidence"]},
        "colours": {"heat": _colours(style.HEAT), "attention": _colours(style.DIVERGING), "region": style.SKY},
    }  # fmt: skip


def _colours(name: str) -> list[str]:
    return [matplotlib.colors.to_hex(matplotlib.colormaps[name](level)) for level in range(256)]


# ---- films
def dozen(size: int) -> list[Subject]:
    """Test patients of the phantom: of each of eleven findings the first who has nothing else, and one without a finding."""
    settings = load_settings("cpu", **{"data.image_size": size})
    patients = [{sign.finding for sign in draw_signs(SEED, "test", number)} for number in range(SEARCHED)]
    wanted: list[set[str]] = [{name} for name in FINDINGS if name not in LEFT_OUT]
    chosen = [patients.index(names) for names in [set(), *wanted] if names in patients]
    drawn = {"seed": SEED, "size": size, "ranges": settings.data.phantom_ranges, "maps": body_maps(settings)}
    return [phantom_subject(number, **drawn) for number in chosen]


def phantom_facts(subjects: list[Subject], size: int) -> dict:
    """What phantoms.json holds: `films`, and `own`, what is said of a film of which nothing is known."""
    return {"films": [film_facts(subject) for subject in subjects], "own": film_facts(unknown_film(size))}


def unknown_film(size: int) -> Subject:
    """A film of which nobody knows anything, as one that is dropped on the page."""
    labels = np.full(len(OBSERVATIONS), BLANK, np.int8)
    study = EvaluationStudy("own", "own", np.zeros((size, size), np.uint8), "", labels, film=WHOLE)
    return Subject(study, "a film of your own")


def film_facts(subject: Subject) -> dict:
    """A film, its findings, and the phrases that can be chosen, each with the phrase that is swapped in and its region."""
    regions: list[str] = []
    phrases = []
    findings = {phrase.text: phrase.finding for phrase in subject.study.phrases}
    for text in phrases_of(subject):
        mask = region_of_phrase(subject, text)
        bits = None if mask is None or not mask.any() or mask.all() else _text(np.packbits(mask).tobytes())
        if bits is not None and bits not in regions:
            regions.append(bits)
        region = None if bits is None else regions.index(bits)
        phrases.append({"text": text, "finding": findings.get(text), "region": region,
                        "swapped": views.swapped_phrase(subject, text)})  # fmt: skip
    return {
        "id": subject.study.study_id, "words": subject.words, "findings": sorted(findings_of(subject.study)),
        "first": first_phrase(subject), "phrases": phrases, "regions": regions,
        "columns": views.columns_of_shift(subject),
        "image": _text(subject.study.image.tobytes()),
    }  # fmt: skip


def phrases_of(subject: Subject) -> list[str]:
    """Phrases to choose from: the film's own, a usual one per finding with its other side, then the names of the findings."""
    usual = [side for text in views.EXAMPLES.values() for side in (text, swap_side(text)) if side]
    texts = [
        first_phrase(subject),
        *(phrase.text for phrase in subject.study.phrases),
        *usual,
        *map(str.lower, FINDINGS),
    ]
    return list({text.lower(): text for text in reversed(texts)}.values())[::-1]


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def tokenizer_text(model: SSACLModel) -> str:
    """The tokenizer's file. Raises ValueError where it reads texts in another way than the page does."""
    text = model.processor.text_tokenizer.backend_tokenizer.to_str()
    content = json.loads(text)
    steps = [step["type"] for step in (content.get("normalizer") or {}).get("normalizers", [])]
    found = (content["model"]["type"], steps, (content.get("pre_tokenizer") or {}).get("type"))
    if found != ("WordPiece", NORMALIZER, "BertPreTokenizer"):
        raise ValueError(
            f"the tokenizer of this checkpoint ({', '.join(map(str, found))}) is none that the page can read; it reads "
            "those that `ssacl pretrain` makes"
        )
    return text
