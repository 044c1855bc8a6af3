"""What notebook 01 shows of a data set: films with their findings, regions, one sign of each kind, a report.

With a data set that has no masks or no generator the answers are empty (None), and the figures say so in a sentence.
"""

import numpy as np
import pandas as pd

from ..anatomy import default_graph
from ..datasets.phantom import body_maps
from ..observations import FINDINGS, OBSERVATIONS, POSITIVE
from ..phantom import draw_signs, render
from ..phantom.film_statistics import real_films, statistics
from ..phantom.truth import Sign
from ..settings import Settings
from .inputs import test_studies

FILMS = 200
"""At most so many test films are compared with real ones."""

SEARCH = 400
"""Test patients among whom the most severe sign of each finding is looked for."""


def first_films(settings: Settings, count: int) -> tuple[np.ndarray, list[str]]:
    """The first test studies: images [count, S, S] uint8, and what each one has, in words.

    That is the generator's truth where it is known, else the labels read in the report.
    """
    studies = test_studies(settings)
    images, titles = [], []
    for i in range(min(count, len(studies))):
        study = studies[i]
        there = study.truth if study.truth is not None else np.asarray(study.labels[1:]) == POSITIVE
        names = [name for name, yes in zip(OBSERVATIONS[1:], there, strict=True) if yes]
        images.append(study.image)
        titles.append(", ".join(names) or "no finding")
    return np.stack(images), titles


def first_report(settings: Settings) -> str:
    """The report of the first test study with two findings or more (else of the first study), as it is written."""
    studies = test_studies(settings)
    several = (s for s in (studies[i] for i in range(len(studies))) if (np.asarray(s.labels[1:]) == POSITIVE).sum() > 1)
    return next(several, studies[0]).report


def two_patients(settings: Settings) -> tuple[list[tuple[np.ndarray, dict[str, np.ndarray]]], str]:
    """Image and regions of the first two test studies, and the report of the first."""
    studies = test_studies(settings)
    return [(studies[k].image, dict(studies[k].regions)) for k in range(2)], studies[0].report


def first_patient(settings: Settings) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The first test study: image [S, S] uint8 and its regions, node -> [S, S] bool (as many as the data set has)."""
    study = test_studies(settings)[0]
    order = {node: i for i, node in enumerate(default_graph().nodes)}
    return study.image, dict(sorted(study.regions.items(), key=lambda item: order.get(item[0], len(order))))


def describe(sign: Sign) -> str:
    """A sign in a few words: where, of what kind, how strong."""
    zone = None if sign.zone and sign.zone in (sign.kind or "") else sign.zone  # "apical cap" says "apical" itself
    words = " ".join(word for word in (sign.side, zone, sign.kind) if word)
    return f"{words}{', ' if words else ''}severity {sign.severity:.1f}"


def gallery(settings: Settings) -> list[tuple[np.ndarray, np.ndarray, str]] | None:
    """One phantom per finding and one without: (image [S, S] uint8, extent [S, S] bool, title); else None.

    Per finding the most severe sign among the first test patients, so that the contour can be checked by eye.
    """
    if settings.dataset != "phantom":
        return None
    best: dict[str, tuple[float, int, int]] = {}
    normal = []
    for number in range(SEARCH):
        signs = draw_signs(settings.seed, "test", number)
        normal += [] if signs else [number]
        for place, sign in enumerate(signs):
            best[sign.finding] = max(best.get(sign.finding, (-1.0, 0, 0)), (sign.severity, -number, place))
    chosen = [(-best[name][1], best[name][2]) for name in FINDINGS if name in best] + [(n, None) for n in normal[:1]]
    drawn = render(settings.seed, "test", [number for number, _ in chosen], image_size=settings.data.image_size,
                   ranges=settings.data.phantom_ranges, maps=body_maps(settings), masks=True)  # fmt: skip
    shown = []
    for row, (_, place) in enumerate(chosen):
        image = drawn.images[row]
        if place is None:
            shown.append((image, np.zeros(image.shape, bool), "No Finding\nnothing to outline"))
        else:
            sign = drawn.signs[row][place]
            shown.append((image, np.asarray(drawn.sign_masks[row][place], bool), f"{sign.finding}\n{describe(sign)}"))
    return shown


def likeness(settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Grey levels and power spectra of test studies and of real films, with columns source and n; None where none are stored.

    See `phantom.film_statistics` for the columns.
    """
    real = real_films(settings.data.image_size)
    if real is None:
        return None
    studies = test_studies(settings)
    films = np.stack([studies[i].image for i in range(min(FILMS, len(studies)))])
    name = "phantom" if settings.dataset == "phantom" else "this data set"
    frames = [
        pd.concat([mine.assign(source=name, n=len(films)), theirs.assign(source="real films")])
        for mine, theirs in zip(statistics(films), real, strict=True)
    ]
    return frames[0], frames[1]


def likeness_message(measured: tuple[pd.DataFrame, pd.DataFrame] | None) -> str:
    """One sentence: at how many grey levels and spatial frequencies the mean film lies in the band of the real ones."""
    if measured is None:
        return "No statistics of real films are stored for this image size."
    inside = []
    for frame, x, y in zip(measured, ("grey", "frequency"), ("share", "power"), strict=True):
        real = frame[frame["source"] == "real films"].set_index(x)
        here = frame[frame["source"] != "real films"].set_index(x)[y]
        inside.append(100 * here.between(real["low"], real["high"]).mean())
    films = measured[0].groupby("source")["n"].first()
    name = next(source for source in films.index if source != "real films")
    return (
        f"The mean of {films[name]} films of {'the phantom' if name == 'phantom' else name} lies within the middle 90 % of "
        f"{films['real films']} real films at {inside[0]:.0f} % of the grey levels and at {inside[1]:.0f} % of the spatial "
        "frequencies."
    )
