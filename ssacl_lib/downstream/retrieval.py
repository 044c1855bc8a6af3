"""Image-text retrieval, zero-shot: a film ranks reports and a report ranks films, by the cosine of their vectors.

The set has the form of CheXpert 5x200: five findings, 200 films with that finding alone, each with its own report. Whoever has
that set names it (data set "chexpert-5x200"); on the phantom, test patients with exactly one finding are looked for among
numbers that no other evaluation reaches. Reports are given whole.

    usual      P@k, R@k and rank of what a query ranks, in both directions, texts read as in training
    release    the authors' code ranks films for each text, and calls this image to text; texts are read without [CLS]. So its
               number stands here under its name, and beside it the direction that bears the name elsewhere. The control of
               both is chance: the same scores with the texts exchanged among the films, and what a random order gives.
"""

from functools import lru_cache

import numpy as np
import pandas as pd
import torch

from ..datasets.chexpert_5x200 import FIVE, PairedFilms, load_5x200
from ..datasets.phantom import body_maps, report_of
from ..evaluation.comparison_run import PATIENTS
from ..metrics.retrieval import ranking_scores
from ..model.ssacl import SSACLModel
from ..phantom import draw_signs, render
from ..settings import Settings
from .encoders import Encoder, image_vectors, text_vectors

EACH = 200
"""Films per finding; fewer where the profile has fewer test studies."""

EXCHANGES = 10
"""Random exchanges of the texts behind the control, whose queries get the mean."""

FIRST = 100_000
"""Number of the first patient who is looked at."""

DATA_SET = "chexpert-5x200"
USUAL, RELEASE = "usual", "release"
TO_TEXT, TO_IMAGE = "image to text", "text to image"
OWN, SHUFFLED = "own", "texts exchanged"
BATCH = 64


CONSTANTS = {"findings": list(FIVE), "each": EACH, "first": FIRST, "exchanges": EXCHANGES}


def measure(encoder: Encoder, settings: Settings) -> pd.DataFrame:
    """study, finding, convention, direction, control, and the columns of `ranking_scores`: one row per query."""
    pairs = paired_films(settings)
    films = image_vectors(encoder, pairs.films)
    texts, places = np.unique(pairs.captions, return_inverse=True)  # equal texts get equal scores, to the last bit
    read = {USUAL: text_vectors(encoder, list(texts)), RELEASE: release_vectors(encoder, list(texts))}
    scores = {name: cosines(films, vectors)[:, places] for name, vectors in read.items()}
    return retrieval_rows(scores[USUAL], scores[RELEASE], pairs)


def cosines(films: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Cosine of every film [n, D] with every text [t, D]: float64 [n, t]."""
    films, texts = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12) for rows in map(np.float64, (films, texts))
    )
    return films @ texts.T


@torch.no_grad()
def release_vectors(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """As `text_vectors`, read without [CLS] where the encoder is ours (another model's tokenizer is its own)."""
    model = encoder.model()
    if not isinstance(model, SSACLModel):
        return text_vectors(encoder, texts)
    parts = []
    for start in range(0, len(texts), BATCH):
        ids, mask = model.processor.text(texts[start : start + BATCH], start=False)
        parts.append(model.text(ids.to(model.device), mask.to(model.device)).float().cpu())
    return torch.cat(parts).numpy()


def retrieval_rows(usual: np.ndarray, release: np.ndarray, pairs: PairedFilms) -> pd.DataFrame:
    """`measure` of cosines [n, n], row = film, column = text; the film's own text stands on the diagonal."""
    generator = np.random.default_rng([PATIENTS, 67])
    exchanged = [usual[:, generator.permutation(len(pairs))] for _ in range(EXCHANGES)]
    asked = (
        (USUAL, TO_TEXT, OWN, [usual]),
        (USUAL, TO_IMAGE, OWN, [usual.T]),
        (RELEASE, TO_TEXT, OWN, [release.T]),  # films are ranked, whatever the name says
        (USUAL, TO_TEXT, SHUFFLED, exchanged),
        (USUAL, TO_IMAGE, SHUFFLED, [scores.T for scores in exchanged]),
    )
    frames = [
        pd.DataFrame(
            {
                "study": pairs.names,
                "finding": pairs.finding,
                "convention": convention,
                "direction": direction,
                "control": control,
                **mean_scores(scores, pairs.finding),
            }
        )
        for convention, direction, control, scores in asked
    ]
    return pd.concat(frames, ignore_index=True)


def mean_scores(scores: list[np.ndarray], classes: np.ndarray) -> dict[str, np.ndarray]:
    """`ranking_scores` per query, mean over several matrices of scores."""
    found = [ranking_scores(one, classes, classes) for one in scores]
    return {name: np.mean([own[name] for own in found], axis=0) for name in found[0]}


# ---- the films
@lru_cache(maxsize=1)
def paired_films(settings: Settings) -> PairedFilms:
    """The films of the settings' data set with their texts, in memory once per process.

    Raises:
        ValueError, FileNotFoundError: as `load_5x200`; or `data_root` is not set.
    """
    if settings.dataset == DATA_SET:
        if settings.data_root is None:
            raise ValueError(f"the data set {DATA_SET} needs data_root, the folder of its JSON file and its films")
        pairs = load_5x200(settings.data_root, settings.data.image_size)
        if pairs.skipped:
            print(f"{len(pairs.skipped)} films can't be read; first: {pairs.skipped[0]}")
        return pairs
    numbers = patients_with_one(PATIENTS, min(EACH, settings.data.test_studies))
    given = {
        "image_size": settings.data.image_size,
        "ranges": settings.data.phantom_ranges,
        "maps": body_maps(settings),
    }
    chosen = sorted((number, finding) for finding, found in numbers.items() for number in found)
    films = render(PATIENTS, "test", [number for number, _ in chosen], **given).images
    reports = [report_of(PATIENTS, "test", number, draw_signs(PATIENTS, "test", number)).text for number, _ in chosen]
    names = [f"test-{number:06d}" for number, _ in chosen]
    return PairedFilms(names, films, reports, np.array([finding for _, finding in chosen]))


def patients_with_one(seed: int, each: int, first: int = FIRST) -> dict[str, list[int]]:
    """Of the test patients from number `first` on, the first `each` who have one of FIVE and no other finding, per finding."""
    found: dict[str, list[int]] = {finding: [] for finding in FIVE}
    number = first
    while min(map(len, found.values())) < each:
        findings = {sign.finding for sign in draw_signs(seed, "test", number)}
        only = findings.pop() if len(findings) == 1 else None
        if only in found and len(found[only]) < each:
            found[only].append(number)
        number += 1
    return found
