"""What one change does, measured within a minute: behind the exercises that ask for a prediction first.

Two changes need no training: the shipped model reads the same validation films twice. Two train the profile smoke twice, on
1,024 images. Such numbers show a direction and no more; nothing of them is kept or published.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from .. import paths
from ..baselines.wrong_anatomy import ShuffledPairs
from ..datasets.registry import load_training
from ..model.build import load_model
from ..model.config import SSACLConfig
from ..model.network import TERMS, SSACLNetwork
from ..settings import Settings, load_settings
from ..training.loop import pretrain
from ..training.untrained import untrained
from .blind import batches_of

HIGHER, LOWER, SAME = OUTCOMES = ("higher", "lower", "the same")
"""What may become of a number."""

IMAGES = 1024
"""So many a small training sees: about ten seconds of one core."""

EVEN = 0.1
"""The same is what differs by less than this share of the value before or, of a trained loss, of what training took off it."""


@dataclass(frozen=True)
class Effect:
    """A number before and after a change. said: what it is. even: a difference up to this is told as none."""

    said: str
    before: float
    after: float
    even: float

    @property
    def outcome(self) -> str:
        """One of OUTCOMES."""
        if abs(self.after - self.before) <= self.even:
            return SAME
        return HIGHER if self.after > self.before else LOWER

    def __str__(self) -> str:
        return f"{self.said} {self.before:.3f} before the change, {self.after:.3f} after it ({self.outcome})"


# ---- the shipped model, read twice
def mixing(before: float = 0.1, after: float = 0.5) -> Effect:
    """L_ac of the same leaf tokens with another lambda."""
    values = [_shipped_loss("anatomical_consistency", mixing=value) for value in (before, after)]
    return Effect("L_ac is", *values, EVEN * values[0])


def mask_ratio(before: float = 0.5, after: float = 0.9) -> Effect:
    """Error per hidden pixel where another share of the patches is hidden."""
    values = [_shipped_loss("image_reconstruction", mask_ratio=value) for value in (before, after)]
    return Effect("L_ir is", *values, EVEN * values[0])


def _shipped_loss(term: str, **options: float) -> float:
    """A term of the shipped model over the validation films of the profile smoke.

    Raises:
        FileNotFoundError: there is no shipped checkpoint.
    """
    folder = paths.SHIPPED_CHECKPOINT
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"no shipped checkpoint in {folder}: this measurement reads it; fetch the whole repository"
        )
    size = SSACLConfig.from_pretrained(folder).image_size
    settings = load_settings("smoke", **{"data.image_size": size})
    return _loss(load_model(folder, torch.device("cpu")).eval(), settings, term, **options)


@torch.no_grad()
def _loss(model: SSACLNetwork, settings: Settings, term: str, mask_ratio: float = 0.5, mixing: float = 0.1) -> float:
    batches = batches_of(model, settings, "validation")
    values = [model(batch, mask_ratio, mixing, (term,))[term].item() for batch in batches]
    return sum(values) / len(values)


# ---- two small trainings
def left_out() -> Effect:
    """L_ar after a training from which the other four terms were left out."""
    kept = "anatomy_reconstruction"
    return _trained_effect("L_ar is", kept, {f"training.loss_weights.{term}": 0.0 for term in TERMS if term != kept})


def shuffled_reports() -> Effect:
    """L_lm after a training in which every film had the report of another one."""
    return _trained_effect(
        "L_lm on films with their own reports is", "report_generation", {}, lambda own: ShuffledPairs(own, 0)
    )


def _trained_effect(said: str, term: str, changes: dict, pairs: Callable | None = None) -> Effect:
    settings = small_settings()
    start = _loss(untrained(settings).eval(), settings, term)
    before = _loss(plain_training(), settings, term)
    after = _loss(small_training(settings.changed(**changes), pairs), settings, term)
    return Effect(said, before, after, EVEN * abs(start - before))


def small_settings() -> Settings:
    """Those of the profile smoke on the CPU, trained a little longer, without checkpoints on the way."""
    rare = {"training.checkpoint_images": 16 * IMAGES, "training.checkpoint_seconds": 3600}
    return load_settings("smoke", **{"training.images": IMAGES, "device": "cpu", **rare})


@cache
def plain_training() -> SSACLNetwork:
    """The training without a change, made once per kernel: both changes are compared with it."""
    return small_training(small_settings())


def small_training(settings: Settings, pairs: Callable | None = None) -> SSACLNetwork:
    """A model trained in a folder that is gone afterwards; pairs: makes the training studies of some others."""
    studies = load_training(settings, "train")
    with tempfile.TemporaryDirectory() as folder:
        done = pretrain(settings, Path(folder) / "model", pairs(studies) if pairs else studies)
        return load_model(done.folder, torch.device("cpu")).eval()
