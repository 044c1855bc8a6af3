"""Segmentation: masks of findings by a light decoder on an encoder's patch tokens, the encoder frozen or fine-tuned.

On the phantom pneumothorax and pleural effusion, both by one decoder; on the films of SIIM-ACR (data set "siim") pneumothorax.
Training films: as many with as without a finding (of SIIM its own list as it is). Scored are test patients as they come, so
nine films of ten have an empty mask of pneumothorax; metrics/overlap.py says what that does to Dice.

Each encoder is asked at the side S of its films and at 2 S. How a film enters it is said in the column `entry`:

    as trained                the side that it knows
    positions interpolated    SS-ACL and its kin at 2 S: four times as many patches, each of half the width on the body; the table
                              of positions is stretched (bicubic, as is usual for vision transformers)
    any size                  a convolutional network
    own size, masks enlarged  a model from outside makes every film as large as its own; the decoder enlarges the masks

The threshold of the probabilities is the one with the best Dice of all pixels on validation films, a number that finding nothing
can't win; 0.5, which tables of others use, stands beside it. Controls: the same masks laid on the next film that has the
finding, and the mean mask of the training films, which sees no film.
"""

from copy import deepcopy
from functools import lru_cache
from math import isqrt
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ..baselines.outside import VisionModel
from ..baselines.small_cnn import SmallCNN
from ..datasets.masks import MaskedFilms, run_lengths
from ..datasets.phantom import body_maps
from ..datasets.siim import load_siim
from ..evaluation.comparison_run import PATIENTS
from ..metrics.overlap import dice_of_all, overlaps
from ..phantom import draw_signs, render
from ..settings import Settings
from .encoders import UNTRAINED, Encoder, tokens_of
from .fit import PASSES, fit
from .mask_decoder import CHANNELS, MaskDecoder, mask_loss

FINDINGS = ("Pneumothorax", "Pleural Effusion")
"""Of the phantom."""

TRAINED, VALIDATED = 1200, 300
"""Most films to learn from, and to choose a threshold on."""

MORE = 2
"""So many times the profile's number of test patients are scored, for one in ten has a pneumothorax."""

FACTORS = (1, 2)
"""Sides, in sides of the profile's films."""

FROZEN, TUNED, MEAN_MASK = "frozen", "fine-tuned", "mean mask"
IMAGES = {FROZEN: 12_000, TUNED: 6_000}
"""Films seen by the decoder, and by encoder and decoder together, at the side S; half as many at 2 S."""

RATE, ENCODER_RATE, OUTSIDE_RATE, BATCH = 2e-3, 5e-4, 1e-4, 24
"""Peak rates of AdamW for the decoder, an encoder, one from outside (larger, so slower); films of a step."""

KEPT = 2**31
"""Bytes of patch tokens of a frozen encoder that are kept; of more films than that it reads each anew."""

THRESHOLDS = tuple(k / 20 for k in range(1, 20))
HALF = 0.5
OWN, EXCHANGED = "own film", "next film with the finding"
DATA_SET = "siim"


CONSTANTS = {
    "films": [TRAINED, VALIDATED, MORE],
    "factors": list(FACTORS),
    "images": list(IMAGES.values()),
    "findings": list(FINDINGS),
    "rates": [RATE, ENCODER_RATE, OUTSIDE_RATE, BATCH],
    "decoder": list(CHANNELS),
}


def measure(encoder: Encoder, settings: Settings) -> pd.DataFrame:
    """One row per test film, finding, side, way (frozen | fine-tuned | mean mask), threshold and control.

    Columns: study, finding, side, way, entry, threshold ("validated" | "0.5"), at (its value), control, common, found, there
    (pixels), mask: run lengths of what was found, of films with the finding at the validated threshold; else None.
    The encoder is fine-tuned at 2 S with its first seed only, for the time it takes.
    """
    frames = []
    for factor in FACTORS:
        side = factor * settings.data.image_size
        train, validation, test = (masked_films(settings, split, side) for split in ("train", "validation", "test"))
        for way in (FROZEN, TUNED):
            if way == TUNED and factor > 1 and encoder.seed != settings.seed and encoder.central:
                continue
            images = min(IMAGES[way] // factor, PASSES * len(train))
            segmenter = Segmenter.fitted(encoder.model(), train, way, settings.seed, images)
            frames.append(scored(segmenter.probabilities, validation, test).assign(way=way, entry=segmenter.entry))
        if encoder.name == UNTRAINED:
            mean = train.masks.mean(0, dtype=np.float32)
            prior = scored(lambda films, mean=mean: np.broadcast_to(mean, (len(films), *mean.shape)), validation, test)
            frames.append(prior.assign(way=MEAN_MASK, entry="no film"))
    return pd.concat(frames, ignore_index=True)


class Segmenter:
    """A model's encoder with a decoder behind it. The model is a copy where it is trained on."""

    def __init__(self, model, findings: int, side: int, tuned: bool):
        self.model, self.entry = at_side(model, side, tuned)
        self.side, self.tuned = side, tuned
        with torch.no_grad():
            patches = tokens_of(self.model, np.zeros((1, side, side), np.uint8))[1]
        self.token_size = patches[0].numel()
        self.decoder = MaskDecoder(patches.shape[-1], findings).to(patches.device)

    @classmethod
    def fitted(
        cls, model, films: MaskedFilms, way: str, seed: int, images: int, kept: Path | None = None
    ) -> "Segmenter":
        """Taught on films; way: FROZEN or TUNED. images: seen in all, in steps of BATCH. kept: file of the state, as in `fit`."""
        torch.manual_seed(seed)
        own = cls(model, len(films.findings), films.films.shape[-1], way == TUNED)
        groups = [{"params": own.decoder.parameters(), "lr": RATE}]
        if own.tuned:
            rate = OUTSIDE_RATE if isinstance(own.model, VisionModel) else ENCODER_RATE
            groups.append({"params": vision_of(own.model).parameters(), "lr": rate})
        bytes_in_all = 2 * len(films) * own.token_size
        tokens = None if own.tuned or bytes_in_all > KEPT else own.tokens(films.films)
        device = next(own.decoder.parameters()).device

        def loss_of(rows: np.ndarray) -> torch.Tensor:
            with torch.set_grad_enabled(own.tuned):  # a frozen encoder gets no gradient, and stays as it is for others
                patches = tokens_of(own.model, films.films[rows])[1] if tokens is None else tokens[rows].to(device)
            masks = torch.from_numpy(films.masks[rows]).to(device).float()
            return mask_loss(own.decoder(patches.float(), own.side), masks)

        batch = min(BATCH, len(films))
        state = (kept, own.learnt) if kept else None
        fit(groups, loss_of, len(films), max(1, images // batch), batch, seed, kept=state)
        own.decoder.eval()
        return own

    @property
    def learnt(self) -> torch.nn.ModuleDict:
        """All that was trained: the decoder, and the encoder where that was."""
        parts = {"decoder": self.decoder, **({"encoder": vision_of(self.model)} if self.tuned else {})}
        return torch.nn.ModuleDict(parts)

    @torch.no_grad()
    def tokens(self, films: np.ndarray) -> torch.Tensor:
        """Patch tokens [n, P, D] of films, float16, on the CPU: the frozen encoder reads each film once."""
        parts = [tokens_of(self.model, films[i : i + BATCH])[1] for i in range(0, len(films), BATCH)]
        return torch.cat([part.to(torch.float16).cpu() for part in parts])

    @torch.no_grad()
    def probabilities(self, films: np.ndarray) -> np.ndarray:
        """Probabilities [n, K, S, S] float32 of films [n, S, S] uint8; for as many as memory holds."""
        parts = [
            self.decoder(tokens_of(self.model, films[i : i + BATCH])[1].float(), self.side).sigmoid().cpu()
            for i in range(0, len(films), BATCH)
        ]
        return torch.cat(parts).numpy()


def vision_of(model) -> torch.nn.Module:
    """The part of a model that makes the patch tokens."""
    if isinstance(model, SmallCNN):
        return model.body
    return model.vision if isinstance(model, VisionModel) else model.encoder


def at_side(model, side: int, copied: bool) -> tuple:
    """The model as it takes films of a side, and how (see the module's text); a copy where that changes it or `copied`.

    It is in eval mode: statistics of batch norms stay those of its training, whatever is fine-tuned.
    """
    known = model.config.image_size if hasattr(model, "config") else None
    stretched = known is not None and side != known
    own = deepcopy(model) if copied or stretched else model
    if copied:
        vision_of(own).requires_grad_(True)
    if isinstance(own, VisionModel):
        return own.eval(), "as trained" if side == own.side else "own size, masks enlarged"
    if isinstance(own, SmallCNN):
        return own.eval(), "any size"
    if stretched:
        own.encoder.positions = stretched_positions(own.encoder.positions, side // own.config.patch_size)
    return own.eval(), "positions interpolated" if stretched else "as trained"


def stretched_positions(table: torch.Tensor, grid: int) -> torch.Tensor:
    """A table of positions [G * G, D] for a grid of another size [grid * grid, D], bicubic."""
    old = isqrt(len(table))
    maps = table.T.reshape(1, -1, old, old)
    return F.interpolate(maps, size=(grid, grid), mode="bicubic", align_corners=False)[0].flatten(1).T.contiguous()


# ---- scores
def scored(probabilities, validation: MaskedFilms, test: MaskedFilms) -> pd.DataFrame:
    """Rows of the test films under the thresholds; probabilities(films) -> [n, K, S, S]."""
    chosen = [best_threshold(p, m) for p, m in by_finding(probabilities, validation)]
    rows = []
    for number, (found, there) in enumerate(by_finding(probabilities, test)):
        has = np.flatnonzero(there.any((1, 2)))
        for name, at in (("validated", chosen[number]), (str(HALF), HALF)):
            masks = found > at
            about = {"finding": test.findings[number], "side": there.shape[-1], "threshold": name, "at": at}
            rows.append(_rows(test.names, masks, there, {**about, "control": OWN}))
            if name == "validated":
                rows[-1]["mask"] = [
                    run_lengths(mask) if own.any() else None for mask, own in zip(masks, there, strict=True)
                ]
                names = [test.names[k] for k in has]
                rows.append(_rows(names, masks[np.roll(has, -1)], there[has], {**about, "control": EXCHANGED}))
    return pd.concat(rows, ignore_index=True)


def by_finding(probabilities, films: MaskedFilms):
    """(probabilities, masks), both [n, S, S], finding by finding."""
    found = np.concatenate(
        [probabilities(films.films[i : i + BATCH]).astype(np.float16) for i in range(0, len(films), BATCH)]
    )
    for number in range(len(films.findings)):
        yield found[:, number], films.masks[:, number]


def best_threshold(probabilities: np.ndarray, masks: np.ndarray) -> float:
    """Of THRESHOLDS, the one with the best Dice of all pixels; the lowest of equals, HALF where no film has the finding."""
    if not masks.any():
        return HALF
    return max(THRESHOLDS, key=lambda at: dice_of_all(overlaps(probabilities > at, masks)))


def _rows(names: list[str], masks: np.ndarray, there: np.ndarray, about: dict) -> pd.DataFrame:
    counts = overlaps(masks, there)
    told = dict(zip(("common", "found", "there"), counts.T, strict=True))
    return pd.DataFrame({"study": names, **about, **told, "mask": None})


# ---- the films
def masked_films(settings: Settings, split: str, side: int) -> MaskedFilms:
    """The films of a split of the settings' data set in squares of a side, in memory once per process.

    Raises:
        ValueError, FileNotFoundError: as `load_siim`; or `data_root` is not set.
    """
    return _films(settings.changed(**{"data.image_size": side}), split, settings.data.test_studies)


@lru_cache(maxsize=6)
def _films(settings: Settings, split: str, test_studies: int) -> MaskedFilms:
    size = settings.data.image_size
    if settings.dataset == DATA_SET:
        if settings.data_root is None:
            raise ValueError(f"the data set {DATA_SET} needs data_root, the folder of its lists, masks and films")
        films = load_siim(settings.data_root, split, size)
        if films.skipped:
            print(f"{split}: {len(films.skipped)} films can't be read; first: {films.skipped[0]}")
        return films
    seed = PATIENTS if split == "test" else settings.seed
    numbers = {
        "train": lambda: half_with(seed, "train", settings.data.train_studies, TRAINED),
        "validation": lambda: range(min(VALIDATED, settings.data.validation_studies)),
        "test": lambda: range(MORE * test_studies),
    }[split]()
    given = {"image_size": size, "ranges": settings.data.phantom_ranges, "maps": body_maps(settings), "masks": True}
    films, masks = (
        np.zeros((len(numbers), size, size), np.uint8),
        np.zeros((len(numbers), len(FINDINGS), size, size), bool),
    )
    for row, number in enumerate(numbers):  # one by one: a batch would hold the masks of all anatomies
        batch = render(seed, split, [number], **given)
        films[row] = batch.images[0]
        for sign, mask in zip(batch.signs[0], batch.sign_masks[0], strict=True):
            if sign.finding in FINDINGS:
                masks[row, FINDINGS.index(sign.finding)] |= mask
    return MaskedFilms([f"{split}-{number:06d}" for number in numbers], films, masks, FINDINGS)


def half_with(seed: int, split: str, count: int, wanted: int) -> list[int]:
    """Of the first `count` patients, at most `wanted` in order: the first half of them with, as many without any of FINDINGS."""
    found: dict[bool, list[int]] = {True: [], False: []}
    for number in range(count):
        has = any(sign.finding in FINDINGS for sign in draw_signs(seed, split, number))
        if len(found[has]) < wanted // 2:
            found[has].append(number)
    return sorted(found[True] + found[False])
