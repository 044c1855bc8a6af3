"""Films for the figures, chosen by rule and never by hand: masks that fit well, middling and badly, and what a text finds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ..baselines.registry import SSACL
from ..datasets.masks import mask_of_runs
from ..datasets.phantom import body_maps
from ..evaluation.comparison_run import PATIENTS
from ..metrics.overlap import dice_per_film
from ..model.network import SSACLNetwork
from ..phantom import render
from ..settings import Settings
from .encoders import START, SUPERVISED
from .retrieval import BATCH, paired_films
from .segmentation import DATA_SET, FROZEN, OWN, masked_films
from .tables import asked

SHOWN = (SSACL, START, SUPERVISED)
"""Whose masks are shown, where they were measured."""

RULES = ("best", "median", "worst")
FIRST = 6
"""Films of a row of the contact sheet."""


@dataclass(frozen=True)
class MaskCase:
    """A film with a finding. image [H, W] uint8, there [H, W] bool, found: method -> (mask [H, W] bool, Dice)."""

    finding: str
    rule: str
    image: np.ndarray
    there: np.ndarray
    found: dict[str, tuple[np.ndarray, float]]


def mask_cases(settings: Settings, side: int | None = None, way: str = FROZEN) -> list[MaskCase]:
    """Per finding the films with the best, the median and the worst Dice of SS-ACL's first seed, with the others' masks.

    side: pixels of the films scored; None: as the profile's. Empty where SS-ACL was not measured.
    """
    side = side or settings.data.image_size
    frames = {
        entry.about["method"]: shown_masks(entry.frames[0], side, way) for entry in asked(settings, "segmentation")
    }
    if SSACL not in frames or not len(frames[SSACL]):
        return []
    cases = []
    for finding, rows in frames[SSACL].groupby("finding", sort=False):
        for rule, study in zip(RULES, chosen(rows), strict=True):
            image, there = film_of(settings, study, str(finding), side)
            found = {}
            for method in SHOWN:
                told = frames.get(method, rows.iloc[:0])
                told = told[(told["study"] == study) & (told["finding"] == finding)]
                if len(told):
                    found[method] = (mask_of_runs(told["mask"].iloc[0], side, side), float(told["dice"].iloc[0]))
            cases.append(MaskCase(str(finding), rule, image, there, found))
    return cases


def shown_masks(frame: pd.DataFrame, side: int, way: str) -> pd.DataFrame:
    """Rows of films with the finding and their masks: study, finding, mask (run lengths), dice."""
    own = (frame["control"] == OWN) & (frame["threshold"] == "validated") & (frame["way"] == way)
    rows = frame[own & (frame["side"] == side) & (frame["there"] > 0)]
    return rows.assign(dice=dice_per_film(rows[["common", "found", "there"]].to_numpy(float)))


def chosen(rows: pd.DataFrame) -> list[str]:
    """The studies of RULES, by Dice; of equals the first by name."""
    order = rows.sort_values(["dice", "study"], ascending=[False, True], kind="stable")["study"].tolist()
    return [order[0], order[len(order) // 2], order[-1]]


def film_of(settings: Settings, study: str, finding: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A test film and its mask of a finding; of the phantom it is drawn alone, of other data looked up."""
    if settings.dataset == DATA_SET:
        films = masked_films(settings, "test", side)
        place = films.names.index(study)
        return films.films[place], films.masks[place, films.findings.index(finding)]
    given = {"image_size": side, "ranges": settings.data.phantom_ranges, "masks": True}
    maps = body_maps(settings.changed(**{"data.image_size": side}))
    batch = render(PATIENTS, "test", [int(study.rsplit("-", 1)[1])], maps=maps, **given)
    masks = [mask for sign, mask in zip(batch.signs[0], batch.sign_masks[0], strict=True) if sign.finding == finding]
    return batch.images[0], np.any(masks, axis=0)


# ---- what a text finds
@dataclass(frozen=True)
class Ranked:
    """The first films for a text. films [k, H, W] uint8, findings [k]: what each film shows."""

    text: str
    finding: str
    films: np.ndarray
    findings: Sequence[str]


@torch.no_grad()
def ranked_films(model: SSACLNetwork, settings: Settings, first: int = FIRST) -> list[Ranked]:
    """For each of the five findings of the retrieval set the films that fit "there is X." best, by one model.

    The text is a sentence, not one of the reports: a reader can say at once whether a film answers it.
    """
    pairs = paired_films(settings)
    vectors = torch.cat(
        [model.image_embedding(model.pixels(pairs.films[i : i + BATCH])).float() for i in range(0, len(pairs), BATCH)]
    )
    findings = list(dict.fromkeys(pairs.finding))
    texts = [f"there is {finding.lower()}." for finding in findings]
    cosines = F.normalize(model.text_embedding(texts).float(), dim=-1) @ F.normalize(vectors, dim=-1).T
    order = np.argsort(-cosines.cpu().numpy(), axis=1, kind="stable")[:, :first]
    return [
        Ranked(text, str(finding), pairs.films[places], list(pairs.finding[places]))
        for text, finding, places in zip(texts, findings, order, strict=True)
    ]
