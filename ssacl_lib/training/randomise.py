"""Domain randomisation for the head of SS-ACL+ (ours): moved films are disturbed as real ones differ from the phantom.

The phantom has one way of exposing, one frame and no letters; hospitals have many. So the head, which reads from the patch
tokens how a film lies, learns on films whose greys, frame and pose are drawn anew for each film:

    film -> moved by theta -> devices, exposure, contrast, gamma, blur, noise, local contrast, collimation, marks -> encoder

A family disturbs in one way. Poses are part of what the head must tell, so a crop or a stretch is composed with theta, and the
atlas is moved alike. No real film is used, and no annotation. Films are never inverted, nor are right and left exchanged.
"""

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from ..model.chunks import BATCH
from ..model.look import moved, random_poses
from ..model.network import SSACLNetwork
from ..model.precision import autocast
from .look import DEGREES, FILMS, SCALE, SHIFT, UNMOVED, learn_poses
from .words_atlas import WordsAtlas

Generators = Sequence[np.random.Generator]

STRETCH, SHEAR = 1.25, 0.1
"""Width and height by a factor of 1/1.25 to 1.25 each; lines slanted by up to .1 of the height."""
CROP = 0.35
"""Of the side, so much at most is cut away."""
EXPOSURE, CONTRAST, GAMMA = 0.2, 1.8, 2.0
"""Added to all greys (0..1); factor around the film's mean; exponent: from the inverse to the number."""
BLUR, NOISE = 1.2, 0.06
"""Deviation of the Gaussian in pixels of a film of 96; deviation of the grain in greys."""
WINDOW = 25
"""Side of the square, in pixels of a film of 96, in which local contrast is evened out."""
BORDER = 0.18
"""Of the side, so wide at most is a black border; each of the four is there in half of the films."""
LINES, LINE = 3, (0.15, 0.5)
"""At most so many lines (tubes, leads, catheters), so much brighter than what lies below."""
LETTERS = 4
"""At most so many letters in a corner.

All strengths were chosen before any real film was scored and not changed afterwards: at either end stands a film that a reader
would still read. They are guesses about practice, not measurements of the films on which the head is scored.
"""


def generators_of(seed: int, family: str, numbers) -> list[np.random.Generator]:
    """One source of numbers per film and family: film i is disturbed alike whatever the other films and families are."""
    return [np.random.default_rng([seed, 37, crc32(family.encode()), int(number)]) for number in numbers]


def drawn(generators: Generators, low: float, high: float) -> torch.Tensor:
    """A uniform number per film, [B, 1, 1, 1]."""
    return torch.tensor([g.uniform(low, high) for g in generators], dtype=torch.float32)[:, None, None, None]


def factor(generators: Generators, most: float) -> torch.Tensor:
    """A factor from 1 / most to most per film, [B, 1, 1, 1]; its logarithm is uniform."""
    return most ** drawn(generators, -1, 1)


# ---- poses: theta [B, 2, 3] -> theta
def after(theta: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
    """The pose of a film that is moved by theta and then by the inner pose, both [B, 2, 3]."""
    linear = theta[:, :, :2] @ inner[:, :, :2]
    return torch.cat([linear, theta[:, :, :2] @ inner[:, :, 2:] + theta[:, :, 2:]], dim=2)


def stretch(theta: torch.Tensor, generators: Generators) -> torch.Tensor:
    """Other proportions: width and height by a factor of their own, and slanted."""
    across, down, slant = factor(generators, STRETCH), factor(generators, STRETCH), drawn(generators, -SHEAR, SHEAR)
    zero = torch.zeros_like(across)
    inner = torch.cat([torch.cat([across, slant, zero], 3), torch.cat([zero, down, zero], 3)], 2)[:, 0]
    return after(theta, inner.to(theta))


def crop(theta: torch.Tensor, generators: Generators) -> torch.Tensor:
    """A part of the film fills the picture; it lies anywhere inside the film."""
    cut = drawn(generators, 0, CROP)
    across, down = cut * drawn(generators, -1, 1), cut * drawn(generators, -1, 1)
    zero = torch.zeros_like(cut)
    inner = torch.cat([torch.cat([1 - cut, zero, across], 3), torch.cat([zero, 1 - cut, down], 3)], 2)[:, 0]
    return after(theta, inner.to(theta))


# ---- greys: films [B, 1, S, S] in 0..1 -> the same
def devices(films: torch.Tensor, generators: Generators) -> torch.Tensor:
    """Up to `LINES` bright curves across the film."""
    size = films.shape[-1]
    canvas = torch.zeros_like(films)
    steps = np.linspace(0, 1, 3 * size)[:, None]
    for film, generator in zip(canvas, generators, strict=True):
        for _ in range(generator.integers(0, LINES + 1)):
            start, bend, end = generator.uniform(-0.1, 1.1, (3, 1, 2))
            curve = (1 - steps) ** 2 * start + 2 * steps * (1 - steps) * bend + steps**2 * end
            down, across = torch.from_numpy((curve * size).astype(int)).unbind(1)
            inside = (down >= 0) & (down < size) & (across >= 0) & (across < size)
            film[0, down[inside], across[inside]] = generator.uniform(*LINE)
    return films + F.avg_pool2d(F.max_pool2d(canvas, 3, 1, 1), 3, 1, 1)


def exposure(films: torch.Tensor, generators: Generators) -> torch.Tensor:
    """All greys lighter or darker."""
    return films + drawn(generators, -EXPOSURE, EXPOSURE).to(films)


def contrast(films: torch.Tensor, generators: Generators) -> torch.Tensor:
    """Greys closer to the film's mean, or further from it."""
    mean = films.mean((1, 2, 3), keepdim=True)
    return mean + (films - mean) * factor(generators, CONTRAST).to(films)


def gamma(films: torch.Tensor, generators: Generators) -> torch.Tensor:
    """Another curve from dose to grey."""
    return films ** factor(generators, GAMMA).to(films)


def blur(films: torch.Tensor, generators: Generators) -> torch.Tensor:
    """A Gaussian of its own width per film: movement, screens, small copies of films."""
    sigma = drawn(generators, 0.05, BLUR) * films.shape[-1] / 96
    offsets = torch.arange(-(reach := int(3 * BLUR * films.shape[-1] / 96) + 1), reach + 1)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum(3, keepdim=True)).to(films)
    rows = F.pad(films.transpose(0, 1), [reach] * 4, mode="replicate")
    rows = F.conv2d(rows, kernel, groups=len(films))
    return F.conv2d(rows, kernel.transpose(2, 3), groups=len(films)).transpose(0, 1)


def noise(films: torch.Tensor, generators: Generators) -> torch.Tensor:
    """Grain."""
    strength = drawn(generators, 0, NOISE)
    grain = np.stack([g.standard_normal(films.shape[1:], np.float32) for g in generators])
    return films + (strength * torch.from_numpy(grain)).to(films)


def local_contrast(films: torch.Tensor, generators: Generators) -> torch.Tensor:
    """Between the film and one whose contrast is the same everywhere, as processing of digital films does it."""
    half = round(WINDOW * films.shape[-1] / 96) // 2

    def average(picture: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(F.pad(picture, [half] * 4, mode="replicate"), 2 * half + 1, 1)

    mean = average(films)
    deviation = (average(films**2) - mean**2).clamp(min=0).sqrt()
    even = 0.5 + 0.2 * (films - mean) / (deviation + 0.05)
    return films + drawn(generators, 0, 1).to(films) * (even - films)


def collimation(films: torch.Tensor, generators: Generators) -> torch.Tensor:
    """Black borders, each with its own width: shutters, and the padding of films that are not square."""
    size, films = films.shape[-1], films.clone()
    for film, generator in zip(films, generators, strict=True):
        there, width = generator.random(4) < 0.5, generator.uniform(0, BORDER, 4)
        left, top, right, bottom = (round(size * w) if t else 0 for t, w in zip(there, width, strict=True))
        film[:, :top], film[:, size - bottom :], film[..., :left], film[..., size - right :] = 0, 0, 0, 0
    return films


def marks(films: torch.Tensor, generators: Generators) -> torch.Tensor:
    """Bright signs of 5 x 3 dots in a corner, as letters are at this size; which ones says nothing of the side."""
    size, films = films.shape[-1], films.clone()
    for film, generator in zip(films, generators, strict=True):
        dot, grey, dark = max(1, round(size / 96)), generator.uniform(0.75, 1), generator.random() < 0.3
        signs = generator.random((5, 4 * int(generator.integers(1, LETTERS + 1)))) < 0.6
        signs[:, 3::4] = False
        signs = torch.from_numpy(np.kron(signs, np.ones((dot, dot), bool)))
        height, width = signs.shape
        down, across = (int(x * 0.12 * size) for x in generator.random(2))
        down = size - height - down if generator.random() < 0.3 else down
        across = size - width - across if generator.random() < 0.5 else across
        plate = film[0, down : down + height, across : across + width]
        plate.copy_(torch.where(signs, torch.tensor(grey).to(plate), torch.zeros_like(plate) if dark else plate))
    return films


POSES: dict[str, Callable] = {"stretch": stretch, "crops": crop}
GREYS: dict[str, Callable] = {
    "devices": devices,
    "exposure": exposure,
    "contrast": contrast,
    "gamma": gamma,
    "blur": blur,
    "noise": noise,
    "local contrast": local_contrast,
    "collimation": collimation,
    "marks": marks,
}
FAMILIES: dict[str, Callable] = {**POSES, **GREYS}
"""Families by name, in the order in which a film meets them: patient and tube, detector, processing, frame."""


def check_families(families: Sequence[str]) -> None:
    """Raises ValueError for a name that is no family."""
    unknown = [name for name in families if name not in FAMILIES]
    if unknown:
        raise ValueError(f"no family of disturbances {unknown[0]!r}; there are {', '.join(FAMILIES)}")


def chosen_films(seed: int, family: str, numbers, share: float) -> torch.Tensor:
    """Which films a family disturbs, [B] bool: each with the chance `share`."""
    return torch.tensor([g.random() < share for g in generators_of(seed, f"share of {family}", numbers)])


def disturbed_poses(
    theta: torch.Tensor, numbers, seed: int, families: Sequence[str], share: float = 1.0
) -> torch.Tensor:
    """Poses [n, 2, 3] of films with these numbers after those of the families that move films; share: as `chosen_films`."""
    check_families(families)
    for name in POSES:
        if name in families:
            changed = POSES[name](theta, generators_of(seed, name, numbers))
            theta = torch.where(chosen_films(seed, name, numbers, share)[:, None, None], changed, theta)
    return theta


def disturbed(films: torch.Tensor, numbers, seed: int, families: Sequence[str], share: float = 1.0) -> torch.Tensor:
    """Films [B, 1, S, S] in 0..1 with these numbers after those of the families that change greys; in 0..1 again."""
    check_families(families)
    for name in GREYS:
        if name in families:
            changed = GREYS[name](films, generators_of(seed, name, numbers)).clamp(0, 1)
            there = chosen_films(seed, name, numbers, share)[:, None, None, None]
            films = torch.where(there.to(films.device), changed, films)
    return films


@torch.no_grad()
def tokens_of_disturbed(
    model: SSACLNetwork,
    studies,
    rows: np.ndarray,
    theta: torch.Tensor,
    seed: int,
    families: Sequence[str],
    share: float,
    progress: bool,
) -> torch.Tensor:
    """float16 patch tokens [n, N, D] of the studies' films after the poses theta [n, 2, 3] and the families' greys."""
    parts, greys = [], [name for name in families if name in GREYS]
    mean, deviation = model.config.pixel_mean, model.config.pixel_std
    for start in tqdm(range(0, len(rows), BATCH), desc="moved films", disable=not progress, mininterval=2, leave=False):
        chosen = slice(start, start + BATCH)
        pixels = model.processor.normalise(studies.images(rows[chosen])).to(model.device)
        with autocast(model):  # as `tokens_of_moved` does, so that the same film comes out to the bit
            pixels = moved(pixels, theta[chosen].to(pixels))
        if greys:
            films = disturbed((pixels.float() * deviation + mean).clamp(0, 1), rows[chosen], seed, greys, share)
            pixels = (films - mean) / deviation
        with autocast(model):
            parts.append(model.encoder(pixels).patches.to(torch.float16).cpu())
    return torch.cat(parts)


def fit_randomised(
    model: SSACLNetwork,
    studies,
    atlas: WordsAtlas,
    seed: int,
    families: Sequence[str] = (),
    films: int = FILMS,
    share: float = 1.0,
    progress: bool = True,
) -> SSACLNetwork:
    """`fit_look` on films that the families disturb; without families it is `fit_look`, to the bit.

    films: so many training films at most. share: of the films that each family disturbs, drawn family by family.
    Returns the same model, in eval mode, with the head.
    """
    model.eval()
    generator = np.random.default_rng([seed, 22])
    rows = np.sort(generator.permutation(len(studies))[:films])
    theta = random_poses(rows, seed, SHIFT, SCALE, DEGREES)
    theta[::UNMOVED] = torch.eye(2, 3)
    theta = disturbed_poses(theta, rows, seed, families, share)
    tokens = tokens_of_disturbed(model, studies, rows, theta, seed, families, share, progress)
    return learn_poses(model, tokens, theta, atlas, seed, generator, progress)
