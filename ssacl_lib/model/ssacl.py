"""SSACLModel: the network, and what a user asks of it: reports, maps of phrases, attention of anatomies, the authors' weights."""

import torch

from .config import SSACLConfig
from .maps import anatomy_maps_of_pixels, phrase_maps_of_pixels
from .network import SSACLNetwork
from .release import convert_release, read_release
from .reporting import Report, reports_of_pixels


def _as_list(names: str | list[str]) -> list[str]:
    """One name is a list of one, not of its letters."""
    return [names] if isinstance(names, str) else list(names)


class SSACLModel(SSACLNetwork):
    """Self-supervised anatomical consistency learning.

    Names: B images, N patches, Q = 32 queries (25 leaves among them), D encoder width, Dt text width.
    """

    @classmethod
    def from_release(cls, path_or_state_dict, config: SSACLConfig | None = None) -> "SSACLModel":
        """The authors' weights: a path to their checkpoint, or its state dict; config defaults to the sizes they trained.

        Raises ValueError for missing, surplus or misshapen tensors, by name. The finding head, which is ours, is untrained.
        """
        source = path_or_state_dict
        state = source if isinstance(source, dict) else read_release(source)
        model = cls(config or SSACLConfig.release())
        model.load_state_dict(convert_release(state, model), strict=False)
        return model.eval()

    def ground(self, images, phrases: str | list[str], evidence: str = "masked", seed: int = 0) -> torch.Tensor:
        """Maps [B, P, S, S] of phrases on images; evidence "masked" (ours), "similarity" or one of model/maps.py's others."""
        return phrase_maps_of_pixels(self, self.pixels(images), _as_list(phrases), evidence, seed=seed)

    def attend(self, images, anatomies: str | list[str], evidence: str = "attention") -> torch.Tensor:
        """Maps [B, A, S, S] of nodes of the graph: the prompts' attention, or with evidence "plus" where SS-ACL+ looks."""
        return anatomy_maps_of_pixels(self, self.pixels(images), _as_list(anatomies), evidence)

    def report(self, images) -> list[Report]:
        """Reports with findings, anatomies and evidence, one per image."""
        return reports_of_pixels(self, self.pixels(images))
