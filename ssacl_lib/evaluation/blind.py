"""Do the two anatomical losses need the film? L_ar and L_ac beside controls that a loss which reads films must fail.

A prompt's token carries its own text through the residual path, whatever is on the film. If a control is as good as the
patient's own film, training can satisfy the loss without learning where this patient's anatomy is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from .. import losses
from ..anatomy import default_graph
from ..datasets.registry import load_training
from ..model.masking import keep_lowest
from ..training.batches import TrainingBatches
from .results import long_table, mean_rows

CONTROLS = {
    "own film": "the loss as it is trained",
    "another patient": "L_ar: the restored parents of patient i against the targets of the next patient; not larger: what the "
    "children restore says nothing of this patient. L_ac: the report of the next patient with the leaf tokens of patient i; not "
    "larger: which reports agree does not matter",
    "blank film": "L_ar: children read on a film of one grey, targets of the real films. L_ac: leaf tokens read on it, keys of "
    "the real films. Not larger: the names alone are enough",
    "constant": "L_ar: one picture per parent for everybody, the mean target over the validation films. L_ac: one token per leaf "
    "for everybody, the mean over the same films. Smaller: knowing an average by heart serves the loss better than looking",
    "sides exchanged": "L_ac: keys of the right-hand leaves given to the left-hand ones and the other way round; not larger: the "
    "tokens do not tell the sides",
}
"""Control -> what is exchanged, and what it means if the loss does not mind."""

TERMS = {"anatomy_reconstruction": "$L_{ar}$", "anatomical_consistency": "$L_{ac}$"}
BATCHES = 16
READS = {"anatomy_reconstruction", "anatomical_consistency"}


@dataclass(frozen=True)
class Seen:
    """One batch through a model: restored, targets [B, 7, pixels], leaves [B, 25, D] of the unmasked pass."""

    restored: torch.Tensor
    targets: torch.Tensor
    leaves: torch.Tensor


@dataclass(frozen=True)
class Average:
    """Means over the validation films: restored, targets [7, pixels], leaves [25, D] (of the normalised tokens)."""

    restored: torch.Tensor
    targets: torch.Tensor
    leaves: torch.Tensor


@torch.no_grad()
def look(model, batch, settings, blank: bool = False) -> Seen:
    """What the two losses compare, for a batch or for the same batch with every pixel at the mean grey."""
    if blank:
        batch = type(batch)(**{**vars(batch), "pixels": torch.zeros_like(batch.pixels)})
    keep = keep_lowest(batch.noise, settings.training.mask_ratio)
    _, nodes, whole = model.passes(batch, keep, settings.training.mask_ratio, READS)
    restored, targets = model.decoder.restored_parents(nodes), model.decoder.parent_targets(whole.targets)
    return Seen(restored.float(), targets.float(), whole.queries.float())


def batches_of(model, settings, split: str) -> list:
    """Up to 16 whole batches of a split, through the training view, in order."""
    studies = load_training(settings, split)
    size = min(settings.training.batch_size, len(studies))
    count = max(1, min(BATCHES, len(studies) // size))
    batches = TrainingBatches(settings, studies, model.processor, count, shuffle=False)
    return [batches[number].to(model.device) for number in range(count)]


def average_of(model, settings) -> Average:
    """What a model restores, targets and gives its leaves on average, over validation films."""
    seen = [look(model, batch, settings) for batch in batches_of(model, settings, "validation")]
    return Average(
        torch.cat([s.restored for s in seen]).mean(0),
        torch.cat([s.targets for s in seen]).mean(0),
        torch.cat([F.normalize(s.leaves, dim=-1) for s in seen]).mean(0),
    )


@torch.no_grad()
def blind_losses(models: Mapping, settings) -> pd.DataFrame:
    """Long table: control, method, metric, value, low, high, n (test studies), seed; controls are those of CONTROLS.

    metric: anatomy_reconstruction, anatomical_consistency (the losses), each with `_minus_own`, the paired difference to the
    own film on the same studies; restored_like_target, the cosine of what is restored and its target after the average
    picture is taken from both (0: nothing of this patient is restored); leaf_cosine_across_patients (same leaf, different
    studies) and leaf_cosine_within_patient (different leaves).
    """
    rows = []
    for method, model in models.items():
        model.eval()
        average, patients = average_of(model, settings), load_training(settings, "test").patient_ids
        frames, first = [], 0
        for batch in batches_of(model, settings, "test"):
            own = patients[first : first + len(batch.pixels)]
            frames.append(_controls(model, batch, settings, average, own))
            first += len(own)
        for control in CONTROLS:
            values = pd.concat([frame[control] for frame in frames], ignore_index=True)
            rows += mean_rows({"control": control, "method": method}, values, patients[: len(values)], settings)
    return long_table(rows, ["control"])


def next_patients(patients: Sequence[str]) -> list[int]:
    """For each study the next one (the first follows the last) that is of another patient; the next one where none is."""
    count = len(patients)
    after = [[(i + k) % count for k in range(1, count)] for i in range(count)]
    return [next((j for j in others if patients[j] != patients[i]), (i + 1) % count) for i, others in enumerate(after)]


def _controls(model, batch, settings, average: Average, patients: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Control -> one row per study of a batch, one column per metric that the control has. patients: of each study."""
    own, blank = look(model, batch, settings), look(model, batch, settings, blank=True)
    reports = model.text(batch.text_ids, batch.text_mask).float()
    partner = next_patients(patients)
    other = own.targets[partner]
    restored = {
        "own film": _restoration_errors(own.restored, own.targets),
        "another patient": _restoration_errors(own.restored, other),
        "blank film": _restoration_errors(blank.restored, own.targets),
        "constant": _restoration_errors(average.targets.expand_as(own.targets), own.targets),
    }

    def consistency(leaves, told=reports, keys=own.leaves):
        return _consistency(leaves, told, keys, reports, model.temperature, settings.training.mixing)

    aligned = {
        "own film": consistency(own.leaves),
        "another patient": consistency(own.leaves, told=reports[partner]),
        "blank film": consistency(blank.leaves),
        "constant": consistency(average.leaves.expand_as(own.leaves)),
        "sides exchanged": consistency(own.leaves, keys=own.leaves[:, exchanged_sides()]),
    }
    columns = {control: {} for control in CONTROLS}
    for term, found in (("anatomy_reconstruction", restored), ("anatomical_consistency", aligned)):
        for control, values in found.items():
            columns[control][term] = values
            if control != "own film":
                columns[control][f"{term}_minus_own"] = values - found["own film"]
    for control, target in (("own film", own.targets), ("another patient", other)):
        likeness = F.cosine_similarity(own.restored - average.restored, target - average.targets, dim=-1)
        columns[control]["restored_like_target"] = likeness.mean(1)
    for control, seen in (("own film", own), ("blank film", blank)):
        columns[control].update(leaf_cosines(seen.leaves))
    return {control: pd.DataFrame({k: v.cpu().numpy() for k, v in found.items()}) for control, found in columns.items()}


def _restoration_errors(restored: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """L_ar of each study of a batch [B]."""
    return torch.stack(
        [losses.anatomy_reconstruction_loss(r[None], t[None]) for r, t in zip(restored, targets, strict=True)]
    )


def _consistency(leaves, reports, keys, key_reports, temperature, mixing) -> torch.Tensor:
    """L_ac of each study of a batch against all of it [B]; their mean is the batch's."""
    return torch.stack(
        [
            losses.anatomical_consistency_loss(
                leaves[i : i + 1], reports[i : i + 1], temperature, mixing, keys=keys, key_reports=key_reports
            )
            for i in range(len(leaves))
        ]
    )


def restoration_parts(restored: torch.Tensor, targets: torch.Tensor) -> dict[str, float | str]:
    """L_ar of a batch, the share of it that all patients have in common, the worst parent, and the share of that one.

    What is in common is the square of the mean error: were every patient's error the same, the share would be 1.
    """
    error = restored - targets  # [B, 7, pixels]
    total, by_parent = error.square().mean(), error.square().mean((0, 2))
    worst = int(by_parent.argmax())
    return {
        "anatomy_reconstruction": float(total),
        "common": float(error.mean(0).square().mean() / total),
        "parent": parents()[worst],
        "parent_share": float(by_parent[worst] / by_parent.sum()),
    }


def exchanged_sides() -> list[int]:
    """For each of the 25 leaves the number of the same leaf on the other side (its own where there is none)."""
    leaves = list(default_graph().leaves)
    turned = {"right": "left", "left": "right"}
    names = [" ".join(turned.get(word, word) for word in leaf.split(" ")) for leaf in leaves]
    return [leaves.index(name) if name in leaves else number for number, name in enumerate(names)]


def leaf_cosines(leaves: torch.Tensor) -> dict[str, torch.Tensor]:
    """Cosines per study [B] of leaf tokens [B, 25, D]: of the same leaf between studies, of the leaves within a study."""
    tokens = F.normalize(leaves, dim=-1)
    studies, count = tokens.shape[:2]
    across = torch.einsum("imd,jmd->ijm", tokens, tokens).mean(2)
    within = tokens @ tokens.transpose(1, 2)
    return {
        "leaf_cosine_across_patients": (across.sum(1) - across.diagonal()) / max(1, studies - 1),
        "leaf_cosine_within_patient": (within.sum((1, 2)) - within.diagonal(dim1=1, dim2=2).sum(1))
        / (count * (count - 1)),
    }


@torch.no_grad()
def parent_pictures(model, settings, patients: int = 3) -> dict[str, np.ndarray]:
    """The pictures that L_ar compares, as the decoder draws them: name -> [7, p, p] in grey (0 to 1), for a figure.

    Of the first test studies "patient k: target" and "patient k: restored", at the end "constant", the mean target.
    """
    model.eval()
    seen, average = look(model, batches_of(model, settings, "test")[0], settings), average_of(model, settings)
    config, found = model.config, {}

    def draw(pictures: torch.Tensor) -> np.ndarray:
        square = pictures.view(-1, config.patch_size, config.patch_size, config.channels).mean(-1)
        return (square * config.pixel_std + config.pixel_mean).cpu().numpy()

    for number in range(min(patients, len(seen.targets))):
        found[f"patient {number + 1}: target"] = draw(seen.targets[number])
        found[f"patient {number + 1}: restored"] = draw(seen.restored[number])
    return {**found, "constant": draw(average.targets)}


def parents() -> Sequence[str]:
    """The names of the seven parents, in the order of `parent_pictures`."""
    return default_graph().parents
