"""How far do few labels bring each encoder? A linear probe on frozen features, and the whole encoder trained on (ours in size).

    probe   logistic regression per label on the standardised pooled features; one strength for all labels, the best of STRENGTHS
            by mean AUC on validation films. A label without a positive (or a negative) film in the subset is answered by chance.
    full    the encoder with the same probes behind it, binary cross-entropy, every weight learns on (probe first, then all: A.
            Kumar et al., Fine-tuning can distort pretrained features and underperform out-of-distribution, ICLR 2022)

Subsets of the labels are nested (a smaller one lies inside of a larger one), drawn by number, and the same for all encoders.
Source of the protocol: the authors' release fine-tunes with SGD of momentum 0.9, no layer frozen, for 3,000 to 200,000 steps of
32 to 96 films; here AdamW and a few hundred steps, for a laptop. Validation labels choose the probes' strength and nothing else.
"""

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from ..datasets.labelled import LabelledFilms
from ..evaluation.inputs import device_of
from ..metrics.intervals import weighted_auc
from ..settings import Settings
from .encoders import BATCH, Encoder, pooled_features, tokens_of
from .films import films_of, nested_rows
from .fit import PASSES, fit

PROBE, FULL = "probe", "full"

SHARES = {PROBE: (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), FULL: (1.0, 10.0, 100.0)}
"""Percent of the labels."""

SUBSETS = {PROBE: 5, FULL: 1}
"""So many draws of every share below 100."""

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Inverse strengths C of the probes' regularisation."""

IMAGES, RATE, HEAD_RATE, TUNED_BATCH = {1.0: 4_000, 10.0: 8_000, 100.0: 12_000}, 3e-4, 1e-3, 32
"""Films that full fine-tuning sees by percent of the labels, the peak rates of encoder and linear map, films of a step."""

CONSTANTS = {
    "shares": {way: list(shares) for way, shares in SHARES.items()},
    "subsets": SUBSETS,
    "strengths": list(STRENGTHS),
    "images": list(IMAGES.values()),
    "rates": [RATE, HEAD_RATE, TUNED_BATCH],
}


def measure(encoder: Encoder, settings: Settings) -> pd.DataFrame:
    """study, finding, present, train (training films) and a column per way, share and subset, as "probe 0.1 #0": ranks.

    A study's rank among all (0 = least likely, equal scores share one) is all that an AUC reads, and the file is small.
    """
    train, validation, test = (films_of(settings, split) for split in ("train", "validation", "test"))
    index = pd.MultiIndex.from_product([test.ids, test.names], names=["study", "finding"])
    columns = {"present": test.truth.ravel(), "train": np.full(test.truth.size, len(train), np.uint32)}
    held = {split: pooled_features(encoder, films.images, np.arange(len(films)))
            for split, films in (("train", train), ("validation", validation), ("test", test))}  # fmt: skip
    for way, share, subset in settings_of():
        rows = nested_rows(len(train), share, subset, train.subsets)
        probes = fit_probes(held["train"][rows], train.truth[rows], held["validation"], validation.truth)
        scores = probes.scores(held["test"])
        if way == FULL:
            images = min(IMAGES[share], PASSES * len(rows))
            scores = tuned_scores(encoder, train, rows, test, images, probes)
        ranks = rankdata(scores, method="min", axis=0) - 1
        columns[column_of(way, share, subset)] = ranks.astype(np.uint16 if len(ranks) <= 65536 else np.uint32).ravel()
    return pd.DataFrame(columns, index).reset_index()


def settings_of():
    """(way, share, subset) of every column."""
    for way, shares in SHARES.items():
        for share in shares:
            yield from ((way, share, subset) for subset in range(1 if share == 100 else SUBSETS[way]))


def column_of(way: str, share: float, subset: int) -> str:
    """Name of a column."""
    return f"{way} {share:g} #{subset}"


@dataclass(frozen=True)
class Probes:
    """A linear map per label on standardised features. mean, deviation: [D]. weight: [k, D]. bias: [k]."""

    mean: np.ndarray
    deviation: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def scores(self, tokens: np.ndarray) -> np.ndarray:
        """Logits [n, k] of features [n, D]; of a label that was all the same where the probes learnt, 0."""
        return (tokens - self.mean) / self.deviation @ self.weight.T + self.bias


def fit_probes(tokens: np.ndarray, truth: np.ndarray, tuned: np.ndarray, tuned_truth: np.ndarray) -> Probes:
    """Probes that learnt from features [n, D] and truth [n, k], of the strength that is best on the other films."""
    mean, deviation = tokens.mean(0, dtype=np.float64), tokens.std(0, dtype=np.float64)
    deviation = np.where(deviation > 0, deviation, 1.0)
    standard, once = (tokens - mean) / deviation, np.ones((1, len(tuned)))
    best, chosen = -1.0, None
    for strength in STRENGTHS:
        fits = [_linear(standard, present, strength) for present in truth.T]
        probes = Probes(mean, deviation, np.stack([weight for weight, _ in fits]), np.array([bias for _, bias in fits]))
        scores = probes.scores(tuned)
        areas = [weighted_auc(s, present, once)[0] for s, present in zip(scores.T, tuned_truth.T, strict=True)]
        area = float(np.nanmean(areas)) if np.isfinite(areas).any() else 0.0
        if area > best:
            best, chosen = area, probes
    return chosen


def _linear(tokens: np.ndarray, present: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """Weight [D] and bias of one label; zeros where all films say the same."""
    if present.all() or not present.any():
        return np.zeros(tokens.shape[1]), 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=strength, solver="newton-cholesky").fit(tokens, present)
    return fitted.coef_[0], float(fitted.intercept_[0])


def tuned_scores(
    encoder: Encoder, train: LabelledFilms, rows: np.ndarray, test: LabelledFilms, images: int, probes: Probes
) -> np.ndarray:
    """Scores [n, k] of a copy of the encoder that learnt on from these films of `train`, behind it the probes."""
    return answers(tuned(copy.deepcopy(encoder.model()), train, rows, images, probes, encoder.settings), test)


class Classifier(nn.Module):
    """An encoder with probes behind its pooled features: films [B, S, S] uint8 to logits [B, k]."""

    def __init__(self, model, probes: Probes, device):
        super().__init__()
        self.model = model
        self.inner = model if isinstance(model, nn.Module) else model.model
        self.mean, self.deviation = (
            torch.tensor(v, dtype=torch.float32, device=device) for v in (probes.mean, probes.deviation)
        )
        self.head = nn.Linear(probes.weight.shape[1], len(probes.weight)).to(device)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(probes.weight))
            self.head.bias.copy_(torch.from_numpy(probes.bias))

    def forward(self, films: np.ndarray) -> torch.Tensor:
        return self.head((tokens_of(self.model, films)[0] - self.mean) / self.deviation)


def tuned(
    model,
    films: LabelledFilms,
    rows: np.ndarray,
    images: int,
    probes: Probes,
    settings: Settings,
    state: Path | None = None,
) -> Classifier:
    """Train the model on these films, every weight, from the probes on; in eval mode. state: a file from which a
    killed training goes on."""
    device = device_of(settings)
    network = Classifier(model, probes, device)
    network.inner.train()
    targets = torch.from_numpy(films.truth[rows].astype(np.float32)).to(device)

    def loss_of(chosen: np.ndarray) -> torch.Tensor:
        logits = network(films.images(rows[chosen]))
        return F.binary_cross_entropy_with_logits(logits, targets[torch.from_numpy(chosen).to(device)])

    groups = [
        {"params": network.inner.parameters(), "lr": RATE},
        {"params": network.head.parameters(), "lr": HEAD_RATE},
    ]
    steps = max(1, images // min(TUNED_BATCH, len(rows)))
    fit(groups, loss_of, len(rows), steps, TUNED_BATCH, settings.seed, kept=(state, network) if state else None)
    network.inner.eval()
    return network


def answers(network: Classifier, films: LabelledFilms) -> np.ndarray:
    """Logits [n, k] of all films."""
    starts = range(0, len(films), BATCH)
    with torch.no_grad():
        parts = [network(films.images(np.arange(i, min(i + BATCH, len(films))))) for i in starts]
    return torch.cat(parts).float().cpu().numpy()
