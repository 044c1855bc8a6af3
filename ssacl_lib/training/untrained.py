"""The untrained model, control of every table: random weights, and a batch normalisation that has seen films."""

import math

import numpy as np
import torch

from ..datasets.registry import load_training
from ..datasets.shards import SHARD
from ..model.masking import keep_lowest
from ..model.network import SSACLNetwork
from ..model.start import build_network
from ..settings import Settings
from ..text.tokenizer import train_tokenizer
from .batches import TrainingBatches

STATISTICS_BATCHES = 40
"""Batches that the batch normalisation of an untrained model sees."""


@torch.no_grad()
def untrained(settings: Settings, studies=None, tokenizer=None) -> SSACLNetwork:
    """The same model with random weights (the control of every table).

    Its batch normalisation has seen the first training films (`first_films`), half of the batches masked: with statistics of
    nothing a random stem would pass on almost nothing, and the control would be weaker than it need be.

    tokenizer: by default that of the reports of `studies` (all training studies).
    """
    studies = load_training(settings, "train") if studies is None else studies
    plain = settings.changed(**{"model.encoder_weights": None})
    model = build_network(plain, tokenizer or train_tokenizer(list(studies.reports))).train()
    batches = TrainingBatches(plain, studies, model.processor, STATISTICS_BATCHES, shuffle=False, place=(0, 1))
    for step in range(len(batches)):
        rows = batches.indices(step)
        noise = torch.from_numpy(
            np.random.default_rng([settings.seed, 13, step]).random((len(rows), model.config.patches))
        )
        keep = keep_lowest(noise, settings.training.mask_ratio) if step % 2 else None
        model.encoder(model.processor.normalise(studies.images(rows)), keep)
    return model.eval()


def first_films(settings: Settings) -> Settings:
    """The settings with as many training studies, in whole shards, as `untrained` looks at, where they have more."""
    films = STATISTICS_BATCHES * settings.training.batch_size
    count = min(settings.data.train_studies, math.ceil(films / SHARD) * SHARD)
    return settings.changed(**{"data.train_studies": count})
