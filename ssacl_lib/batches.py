"""One training step's input from (settings, studies, step): the same whatever the worker count or a restart."""

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from .anatomy import anatomies_for, default_graph, leaf_mask
from .model import Batch, SSACLProcessor
from .settings import Settings
from .text.entities import entity_text, positives
from .text.sections import shuffle_sentences


class TrainingBatches(Dataset):
    """Map-style data set of micro-batches: item k is the k-th batch of the run.

    studies: len(), `.images(indices)` -> uint8 [k, S, S], `.reports`, `.labels` int8 [n, 14]; a Study type only, so no
    mask, box or generator's truth can be reached from here.
    """

    def __init__(self, settings: Settings, studies, processor: SSACLProcessor, count: int, shuffle: bool = True):
        self.settings, self.studies, self.processor = settings, studies, processor
        self.count, self.shuffle = count, shuffle
        self.names = processor.text(list(default_graph().leaves))
        uncertain = settings.inference.uncertain_as_positive
        self.findings = [positives(row, uncertain) for row in studies.labels]
        self.report_ids = processor.report_ids(list(studies.reports))
        self.size = min(settings.training.batch_size, len(studies))

    def __len__(self) -> int:
        return self.count

    def indices(self, step: int) -> np.ndarray:
        """Studies of batch `step`: an epoch is a seeded permutation, its last incomplete batch is left out."""
        per_epoch = max(1, len(self.studies) // self.size)
        epoch, place = divmod(step, per_epoch)
        order = np.arange(len(self.studies))
        if self.shuffle:
            order = np.random.default_rng([self.settings.seed, 11, epoch]).permutation(len(self.studies))
        return order[place * self.size : (place + 1) * self.size]

    def __getitem__(self, step: int) -> Batch:
        generator = np.random.default_rng([self.settings.seed, 12, step, int(self.shuffle)])
        rows, processor = self.indices(step), self.processor
        pixels = processor.normalise(self.studies.images(rows))
        if self.shuffle and self.settings.training.augmentation:
            pixels = augment(pixels, self.settings.training.augmentation, generator)
        text_ids, text_mask = processor.text([shuffle_sentences(self.studies.reports[i], generator) for i in rows])
        report_ids, report_mask = processor.pad_ids([self.report_ids[i] for i in rows], "right")
        with_entities = generator.random() < 0.5  # one coin per step: the whole batch or none
        prompt_ids, prompt_mask = entity_prompts(processor, [self.findings[i] for i in rows] if with_entities else None,
                                                 len(rows))
        return Batch(
            pixels=pixels, noise=torch.from_numpy(generator.random((len(rows), processor.config.patches), np.float32)),
            text_ids=text_ids, text_mask=text_mask, name_ids=self.names[0], name_mask=self.names[1],
            prompt_ids=prompt_ids, prompt_mask=prompt_mask, report_ids=report_ids, report_mask=report_mask,
            leaf_open=open_leaves([self.findings[i] for i in rows]),
            labels=torch.from_numpy(np.asarray(self.studies.labels[rows], dtype=np.int8)))

    def loader(self, start: int = 0) -> DataLoader:
        """Batches start, start + 1, … in order, prefetched and pinned where there is a GPU."""
        gpu = torch.cuda.is_available() and self.settings.device != "cpu"
        return DataLoader(self, batch_size=None, sampler=range(start, self.count), num_workers=8 if gpu else 0,
                          collate_fn=None, persistent_workers=gpu, prefetch_factor=4 if gpu else None)


def entity_prompts(processor: SSACLProcessor, findings: list[list[str]] | None, count: int):
    """Entity text and a newline as left-padded ids and mask [B, T]; without findings two tensors without a column."""
    if findings is None:
        return torch.zeros(count, 0, dtype=torch.long), torch.zeros(count, 0, dtype=torch.long)
    texts = [entity_text(names) for names in findings]
    ids = processor.language_tokenizer(texts, add_special_tokens=False)["input_ids"]
    return processor.pad_ids([row + [processor.newline] for row in ids], "left")


def open_leaves(findings: list[list[str]]) -> torch.Tensor:
    """Leaves [B, 25] bool of the anatomies that each study's findings map to (none: all closed)."""
    return torch.from_numpy(np.stack([leaf_mask(anatomies_for(names)) for names in findings]))


def augment(pixels: torch.Tensor, strength: float, generator: np.random.Generator) -> torch.Tensor:
    """Rotation up to 20 degrees and scale 0.8 to 1.2, both times `strength`; never a flip, for reports name sides."""
    count = len(pixels)
    angle = torch.from_numpy(np.deg2rad(generator.uniform(-20, 20, count) * strength)).float()
    scale = torch.from_numpy(1 / (1 + generator.uniform(-0.2, 0.2, count) * strength)).float()
    rows = torch.stack([scale * angle.cos(), -scale * angle.sin(), 0 * scale,
                        scale * angle.sin(), scale * angle.cos(), 0 * scale], dim=1).view(count, 2, 3)
    grid = F.affine_grid(rows, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
