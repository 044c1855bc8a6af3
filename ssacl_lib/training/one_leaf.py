"""Decoders that know closed leaves: like those of training/sight.py, patches closed, but leaves are opened by chance (ours).

A decoder that learnt with all 25 leaves open has never met one leaf alone, and what it writes then says little. Here a share is
drawn per film, uniformly from 0 to 1, and each leaf is open with this probability: any number of open leaves, from none to all,
is as frequent as any other. The report to be learnt stays whole, whatever is closed.

One more kind of leaf token beside those of training/sight.py:

    early look    W sum_n m_vn p_n: what the patches p hold before the encoder's attention, where SS-ACL+ sees node v (its map m,
                  averaged per patch, sum 1). Nothing else of the film: these patches have not heard of each other yet.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from ..model.config import LEAVES
from ..model.encoder import Tokens
from ..model.network import SSACLNetwork
from ..model.precision import autocast
from ..model.reporting import leaf_tokens
from ..record import kept
from ..record.sources import code_behind, sha256_json
from ..settings import Settings
from .sight import IMAGES, SightDecoder, taught, train_decoder
from .state import write_tensors

OPENED = ("all", "by chance")
"""Which leaves are open while a decoder learns: all 25, as in training/sight.py, or a share of them."""


EARLY = "early look"


def patch_shares(maps: torch.Tensor, grid: int) -> torch.Tensor:
    """Maps [B, k, H, W] as weights of the patches [B, k, N], each with sum 1."""
    cells = F.adaptive_avg_pool2d(maps, grid).flatten(2)
    return cells / cells.sum(-1, keepdim=True).clamp(min=1e-6)


def look_shares(model: SSACLNetwork, patches: torch.Tensor) -> torch.Tensor:
    """Where SS-ACL+ sees the leaves on films with patch tokens [B, N, D]: weights [B, 25, N], as in `training.sight.pooled`."""
    return patch_shares(model.look(patches)[:, model.leaf_index], model.config.grid)


class LeafDecoder(SightDecoder):
    """`SightDecoder` with patches closed. prompts: of `training.sight.PROMPTS`, or `EARLY`."""

    def __init__(self, model: SSACLNetwork, prompts: str):
        super().__init__(model, "looking" if prompts == EARLY else prompts, True)
        self.prompts = prompts

    def tokens(self, model: SSACLNetwork, pixels: torch.Tensor) -> Tokens:
        """Tokens of the prefix for pixels [B, C, S, S]; the encoder gets no gradient."""
        if self.prompts != EARLY:
            return super().tokens(model, pixels)
        with torch.no_grad(), autocast(model):
            tokens, early = leaf_tokens(model, pixels), model.encoder.patch_tokens(pixels, None)
            seen = look_shares(model, tokens.patches) @ early.float()
        return replace(tokens, queries=self.values(seen.float()))


def drawn_leaves(seed: int, step: int, count: int) -> torch.Tensor:
    """Leaves [count, 25] bool that are open in a step: per film each one with a probability that is drawn first."""
    generator = np.random.default_rng([seed, 43, step])
    share = generator.random((count, 1))
    return torch.from_numpy(generator.random((count, LEAVES)) < share)


def train_by_chance(
    model: SSACLNetwork, settings: Settings, studies, prompts: str, images: int = IMAGES, progress: bool = True
) -> LeafDecoder:
    """`training.sight.train_decoder` with patches closed and leaves opened by chance; a decoder in eval mode.

    studies: training view. The model itself stays as it is.
    """
    torch.manual_seed(settings.seed)
    decoder = LeafDecoder(model.eval(), prompts).to(model.device)
    name = f"decoder: {prompts} prompts, leaves opened by chance"
    return taught(decoder, model, settings, studies, partial(drawn_leaves, settings.seed), name, images, progress)


def kept_decoder(
    folder: Path, model: SSACLNetwork, weights: str, settings: Settings, studies, prompts: str, opened: str
) -> LeafDecoder:
    """The decoder in a folder, trained there unless it was trained by this code, from these weights, with these settings.

    weights: hash of the model's. prompts: as in `LeafDecoder`. opened: of `OPENED`.
    """

    def make(place: Path) -> None:
        train = train_by_chance if opened == "by chance" else partial(train_decoder, closed=True)
        state = train(model, settings, studies, prompts).state_dict()
        # GPT-2's head is its embedding: one memory under two names, which the file's format does not know
        write_tensors(place / "decoder.safetensors", {name: value.cpu().clone() for name, value in state.items()})

    parts = {"code": code_behind(__name__), "weights": weights, "settings": sha256_json(settings.deciding())}
    kept.keep(folder, {**parts, "prompts": prompts, "opened": opened}, make)
    decoder = LeafDecoder(model, prompts)
    decoder.load_state_dict(load_file(folder / "decoder.safetensors"))
    return decoder.to(model.device).eval()
