"""A CLIP-like model as the maps and controls of notebook 04 ask a network: the same code scores it and SS-ACL.

`clip_family.py` says how such a model makes its maps; here its pieces stand under the names that model/maps.py calls.
"""

from types import SimpleNamespace

import torch

from .clip_family import ClipGrounder


class ClipNetwork:
    """A ClipGrounder behind `phrase_maps_of_pixels`, `weights_hash` and `patches_along`.

    image_size: side of the films (and so of the maps) in pixels; the model itself reads them at its own `side`.
    """

    def __init__(self, grounder: ClipGrounder, image_size: int):
        self.grounder, grid = grounder, grounder.grid
        # numbers per square of the film: 14 patches along 96 px become 12 squares
        whole = max(count for count in range(1, grid + 1) if image_size % count == 0)
        self.config = SimpleNamespace(
            image_size=image_size,
            grid=grid,
            patches=grid**2,
            patch_size=image_size // whole,
            evidence=grounder.evidence,
            model=grounder.model.config.to_dict(),
        )
        self.processor = SimpleNamespace(normalise=grounder.pixels, text_tokenizer=grounder.processor.tokenizer)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.grounder.model.device

    def eval(self) -> "ClipNetwork":
        """The same, in eval mode."""
        self.grounder.model.eval()
        return self

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The weights."""
        return self.grounder.model.state_dict()

    def full_precision(self):
        """Whoever asks, in bfloat16 or not: an outside model computes in the digits that its grounder has."""
        return torch.autocast(self.device.type, enabled=False)

    def text_embedding(self, phrases: list[str]) -> torch.Tensor:
        """Vectors [P, D] of phrases."""
        with self.full_precision():
            return self.grounder.text_vectors(phrases)

    def patch_embeddings(self, pixels: torch.Tensor) -> torch.Tensor:
        """Vectors [B, N, D] of the patches of pictures [B, 3, side, side]."""
        with self.full_precision():
            return self.grounder.patch_vectors(pixels)

    def image_embedding(self, pixels: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """Vectors [B, D] of pictures [B, 3, side, side], each with the patches beside its own keep [B, kept] painted grey."""
        _, counts = torch.unique_consecutive(pixels.flatten(1), dim=0, return_counts=True)  # one film under many masks
        films = zip(pixels.split(counts.tolist()), keep.split(counts.tolist()), strict=True)
        with self.full_precision():
            return torch.cat([self.grounder.masked_vectors(same[:1], keeps) for same, keeps in films])
