"""Anatomy inference: the classification head on the frozen visual encoder, and its thresholds.

Labels are those that the labeler read in the training reports (blank counts as absent, uncertain is left out); thresholds
are chosen on validation reports. No generator's or reader's truth is used.
"""

import numpy as np
import torch
from tqdm import tqdm

from ..inference.findings import predict_findings
from ..losses import report_label_loss
from ..model.chunks import BATCH
from ..model.encoder import Tokens
from ..model.head import FindingHead
from ..model.network import SSACLNetwork
from ..model.precision import autocast
from ..observations import POSITIVE, UNCERTAIN

FEWEST_STEPS = 200  # a small data set is seen more often, so that the head is trained on it too


@torch.no_grad()
def frozen_tokens(model: SSACLNetwork, studies, rows: np.ndarray, progress: bool) -> Tokens:
    """bfloat16 patch tokens [n, N, D] and CLS [n, D] of the studies' whole images."""
    patches, cls = [], []
    for start in tqdm(range(0, len(rows), BATCH), desc="encoding for the head", disable=not progress, mininterval=2):
        pixels = model.processor.normalise(studies.images(rows[start : start + BATCH])).to(model.device)
        with autocast(model):
            tokens = model.encoder(pixels)
        patches.append(tokens.patches.to(torch.bfloat16).cpu())
        cls.append(tokens.cls.to(torch.bfloat16).cpu())
    return Tokens(torch.cat(patches), torch.cat(cls))


def fit_head(
    model: SSACLNetwork,
    studies,
    validation,
    seed: int,
    progress: bool = True,
    most: int = 8192,
    epochs: int = 12,
) -> SSACLNetwork:
    """Train a fresh head on the frozen encoder and choose its thresholds; returns the same model, in eval mode.

    studies, validation: training views with `.images(rows)` and `.labels` int8 [n, 14]. most: of the studies, drawn by the
    seed; their tokens are held in memory. epochs: over these.
    """
    model.eval()
    generator = np.random.default_rng([seed, 21])
    rows = np.sort(generator.permutation(len(studies))[:most])
    tokens = frozen_tokens(model, studies, rows, progress)
    labels = torch.from_numpy(np.asarray(studies.labels[rows]))
    torch.manual_seed(seed)
    head = FindingHead(model.config.width).to(model.device)
    for layer in (head.where, head.what, head.everywhere):
        torch.nn.init.zeros_(layer.bias)
    torch.nn.init.normal_(head.where.weight, std=0.02)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.05)
    size = min(256, len(rows))
    epochs = max(epochs, -(-FEWEST_STEPS // (len(rows) // size)))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=epochs * (len(rows) // size) + 1)
    for _ in range(epochs):
        order = torch.from_numpy(generator.permutation(len(rows)))
        for part in order.split(size)[: len(rows) // size]:
            batch = Tokens(tokens.patches[part].float().to(model.device), tokens.cls[part].float().to(model.device))
            loss = report_label_loss(head(batch), labels[part].to(model.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.head = head.eval()
    model.head.thresholds.copy_(
        torch.from_numpy(
            best_thresholds(
                predict_findings(model, validation.images(np.arange(len(validation)))), np.asarray(validation.labels)
            )
        )
    )
    return model


def best_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Per finding the threshold with the best F1 on validation: probabilities [n, 13], labels [n, 14] -> [13] float32.

    A finding without a positive validation report keeps 0.5.
    """
    thresholds = np.full(probabilities.shape[1], 0.5, np.float32)
    for finding in range(probabilities.shape[1]):
        label, p = labels[:, finding + 1], probabilities[:, finding]
        p, positive = p[label != UNCERTAIN], label[label != UNCERTAIN] == POSITIVE
        if not positive.any():
            continue
        order = np.argsort(-p, kind="stable")
        hits = np.cumsum(positive[order])
        f1 = 2 * hits / (np.arange(1, len(p) + 1) + positive.sum())
        best = int(np.argmax(f1))
        below = p[order[best + 1]] if best + 1 < len(p) else 0.0
        thresholds[finding] = (p[order[best]] + below) / 2
    return thresholds
