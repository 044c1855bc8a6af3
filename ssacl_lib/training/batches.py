"""One training step's input from (settings, studies, place in the run): the same whatever the workers, ranks or restarts.

The run reads one endless row of studies: a seeded permutation of all of them (an epoch), then the next one. A step takes
the next `size` studies of the row, the first process the first part of them, the second the next part, and so on. How far
a run has come is therefore one number, the images seen, and a run goes on from there with any number of processes. A batch
at the edge of an epoch takes the end of one permutation and the beginning of the next, so no study is left out.
What is drawn for a study (mask, sentences, augmentation) depends on (seed, epoch, study) only.
"""

import os

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from ..distributed import rank, world_size
from ..model.batch import Batch
from ..model.processor import SSACLProcessor
from ..model.prompts import open_leaves, prompt_ids
from ..settings import Settings
from ..text.entities import positives
from ..text.sections import shuffle_sentences
from ..text.sides import side_pairs

NO_PAIR = ("right", "left")
"""Stands for the two sentences of a study that has none; it counts for nothing."""


class TrainingBatches(Dataset):
    """Map-style data set of micro-batches: item k is this process's part of the k-th batch.

    studies: len(), `.images(indices)` -> uint8 [k, S, S], `.reports`, `.labels` int8 [n, 14]; a Study type only, so no
    mask, box or generator's truth can be reached from here. Where it has them, `.prompts` (a str each) and `.leaf_open`
    (bool [n, 25]) take the place of what the labels say.
    count: number of batches; it may be set later. start: images that the run has seen before item 0. shuffle=False reads the
    studies in their order, without augmentation. place: (number of this process, how many there are), by default those
    that train together.
    """

    def __init__(
        self,
        settings: Settings,
        studies,
        processor: SSACLProcessor,
        count: int,
        shuffle: bool = True,
        start: int = 0,
        place: tuple[int, int] | None = None,
    ):
        self.settings, self.studies, self.processor = settings, studies, processor
        self.count, self.shuffle, self.start = count, shuffle, start
        self.rank, self.ranks = place or (rank(), world_size())
        self.names = processor.leaf_names()
        uncertain = settings.inference.uncertain_as_positive
        self.findings = [positives(row, uncertain) for row in studies.labels]
        self.report_ids = processor.report_ids(list(studies.reports))
        prompts = getattr(studies, "prompts", None)
        self.prompt_ids = prompt_ids(processor, self.findings if prompts is None else prompts)
        self.size = global_size(settings, len(studies), self.ranks)
        exchanges = settings.training.loss_weights.side_exchange
        self.pairs = [side_pairs(report) for report in studies.reports] if exchanges else None

    def __len__(self) -> int:
        return self.count

    def rows(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Epochs and studies of batch `step`, all processes' parts: two arrays [size]."""
        places = self.start + step * self.size + np.arange(self.size)
        epochs, within = np.divmod(places, len(self.studies))
        if not self.shuffle:
            return epochs, within
        orders = {
            e: np.random.default_rng([self.settings.seed, 11, e]).permutation(len(self.studies)) for e in set(epochs)
        }
        return epochs, np.array([orders[e][i] for e, i in zip(epochs, within, strict=True)])

    def part(self, values):
        """This process's part of a batch's rows."""
        size = self.size // self.ranks
        return values[self.rank * size : (self.rank + 1) * size]

    def indices(self, step: int) -> np.ndarray:
        """Studies of this process in batch `step`."""
        return self.part(self.rows(step)[1])

    def __getitem__(self, step: int) -> Batch:
        settings, studies, processor = self.settings, self.studies, self.processor
        epochs, everyone = self.rows(step)
        rows = self.part(everyone)
        draws = [
            np.random.default_rng([settings.seed, 12, epoch, i, int(self.shuffle)])
            for epoch, i in zip(self.part(epochs), rows, strict=True)
        ]
        noise = torch.from_numpy(np.stack([d.random((2, processor.config.patches), np.float32) for d in draws]))
        text_ids, text_mask = processor.text(
            [shuffle_sentences(studies.reports[i], d) for i, d in zip(rows, draws, strict=True)]
        )
        pixels = processor.normalise(studies.images(rows))
        if self.shuffle and (settings.training.augmentation or settings.training.flip):
            pixels = augment(pixels, settings.training.augmentation, settings.training.flip, draws)
        report_ids, report_mask = processor.pad_ids([self.report_ids[i] for i in rows], "right")
        # one coin per step: the whole batch or none. Padded to the longest of all processes, for the release counts padding
        coin = (
            np.random.default_rng([settings.seed, 14, self.start + step * self.size, int(self.shuffle)]).random() < 0.5
        )
        prompts, prompt_mask = processor.pad_ids(
            [self.prompt_ids[i] if coin else processor.empty_prompt for i in everyone], processor.prompt_side
        )
        leaf_open = getattr(studies, "leaf_open", None)
        return Batch(
            pixels=pixels,
            noise=noise[:, 0].contiguous(),
            graph_noise=noise[:, 1].contiguous(),
            text_ids=text_ids,
            text_mask=text_mask,
            name_ids=self.names[0],
            name_mask=self.names[1],
            prompt_ids=self.part(prompts),
            prompt_mask=self.part(prompt_mask),
            report_ids=report_ids,
            report_mask=report_mask,
            leaf_open=open_leaves([self.findings[i] for i in rows])
            if leaf_open is None
            else torch.from_numpy(leaf_open[rows]),
            labels=torch.from_numpy(np.asarray(studies.labels[rows], dtype=np.int8)),
            **self.sides(self.part(epochs), rows),
        )

    def sides(self, epochs: np.ndarray, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """A sentence of each study that names one side, and the same with the side exchanged; nothing where no term asks.

        Drawn by numbers of their own, so that masks and sentences of the other terms are the same with and without.
        """
        if self.pairs is None:
            return {}
        drawn = []
        for epoch, row in zip(epochs, rows, strict=True):
            draw = np.random.default_rng([self.settings.seed, 16, epoch, row, int(self.shuffle)])
            drawn.append(self.pairs[row][draw.integers(len(self.pairs[row]))] if self.pairs[row] else None)
        ids, mask = self.processor.text([text for pair in drawn for text in pair or NO_PAIR])
        return {
            "side_ids": ids.view(len(rows), 2, -1),
            "side_mask": mask.view(len(rows), 2, -1),
            "paired": torch.tensor([pair is not None for pair in drawn]),
        }

    def loader(self) -> DataLoader:
        """Batches 0, 1, … in order; where there is a GPU they are prefetched by workers and pinned.

        On a CPU without: making a batch takes a few hundredths of a step there, and a worker would take its core from it.
        """
        gpu = torch.cuda.is_available() and self.settings.device != "cpu"
        cores = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        workers = max(1, min(8, cores - 1)) if gpu else 0
        return DataLoader(
            self,
            batch_size=None,
            sampler=range(self.count),
            num_workers=workers,
            pin_memory=gpu,
            persistent_workers=gpu,
            prefetch_factor=4 if gpu else None,
        )


def global_size(settings: Settings, studies: int, ranks: int) -> int:
    """Images of one micro-batch over all processes: `ranks` times the batch size, or less where there are few studies.

    Raises:
        ValueError: fewer studies than processes.
    """
    own = min(settings.training.batch_size, studies // ranks)
    if not own:
        raise ValueError(f"{studies} studies for {ranks} processes, expected at least one each; start fewer processes")
    return ranks * own


def augment(pixels: torch.Tensor, strength: float, flip: bool, draws: list[np.random.Generator]) -> torch.Tensor:
    """Rotation up to 20 degrees and scale 0.8 to 1.2, both times `strength`; one generator per image [B, 1, S, S].

    flip: mirror half of the images left to right, as the release does, although reports name sides.
    """
    drawn = torch.from_numpy(np.array([d.uniform(-1, 1, 3) for d in draws]))
    angle = torch.deg2rad(20 * strength * drawn[:, 0]).float()
    scale = (1 / (1 + 0.2 * strength * drawn[:, 1])).float()
    side = torch.where((drawn[:, 2] < 0) & flip, -1.0, 1.0)
    rows = torch.stack(
        [
            side * scale * angle.cos(),
            -scale * angle.sin(),
            0 * scale,
            side * scale * angle.sin(),
            scale * angle.cos(),
            0 * scale,
        ],
        dim=1,
    ).view(len(pixels), 2, 3)
    grid = F.affine_grid(rows, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
