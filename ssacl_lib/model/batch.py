"""One training step's input as tensors."""

from dataclasses import dataclass

import torch


@dataclass
class Batch:
    """One training step's input.

    pixels: [B, C, S, S] normalised. noise: [B, N] uniform, decides the mask; graph_noise: [B, N], that of the release's masked
    pass with queries. text_*: [B, T] the shuffled reports for E_t.
    name_*: [25, T] the leaves' names. prompt_*: [B, Tp] entity text (no column where the step's coin says none).
    report_*: [B, T] for the language decoder; report_places: numbers of its tokens in the flattened [B * T], found before the
    batch goes to a GPU, where looking for them would stop the queue. leaf_open: [B, 25] bool. labels: [B, 14] codes read from
    the reports. side_*: [B, 2, T] for E_t a sentence of each report that names one side, and the same with the side exchanged;
    paired: [B] bool, which studies have one (the others hold any two words). None where no term reads them.
    """

    pixels: torch.Tensor
    noise: torch.Tensor
    graph_noise: torch.Tensor
    text_ids: torch.Tensor
    text_mask: torch.Tensor
    name_ids: torch.Tensor
    name_mask: torch.Tensor
    prompt_ids: torch.Tensor
    prompt_mask: torch.Tensor
    report_ids: torch.Tensor
    report_mask: torch.Tensor
    leaf_open: torch.Tensor
    labels: torch.Tensor
    report_places: torch.Tensor | None = None
    side_ids: torch.Tensor | None = None
    side_mask: torch.Tensor | None = None
    paired: torch.Tensor | None = None

    def __post_init__(self):
        if self.report_places is None:
            self.report_places = self.report_mask.flatten().nonzero()[:, 0]

    def to(self, device) -> "Batch":
        """The same batch on a device."""
        return Batch(**{name: value.to(device, non_blocking=True) for name, value in self.tensors().items()})

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, from where a copy to a GPU needs no waiting."""
        return Batch(**{name: value.pin_memory() for name, value in self.tensors().items()})

    def tensors(self) -> dict[str, torch.Tensor]:
        """What the batch holds, by name: all fields but those that are None."""
        return {name: value for name, value in vars(self).items() if value is not None}
