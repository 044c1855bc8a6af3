"""From switch to sight: what reaches the report of what the prompts saw? Decoders trained on behind a frozen encoder (ours).

The language decoder goes on learning with all 25 leaves open and no entity text, so that only the leaf tokens (and the patches,
where they are open) can tell it of the patient. Two kinds of leaf token:

    faithful   z_v, as the encoder gives it
    looking    z_v + W sum_n m_vn x_n: what the patch tokens x hold where SS-ACL+ sees node v (m: its map, averaged per patch,
               sum 1); W is learnt from the identity
    everywhere the control: the same, with the same m for all patches, so that nothing depends on where the prompts look

and two prefixes: patches open, as in the release, or closed, as the paper's figure draws it.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from ..model.config import LEAVES
from ..model.encoder import Tokens
from ..model.language import LanguageDecoder
from ..model.network import SSACLNetwork
from ..model.precision import autocast
from ..model.reporting import leaf_tokens
from ..settings import Settings
from .batches import TrainingBatches
from .loop import learning_rate_scale

PROMPTS = ("faithful", "everywhere", "looking")

IMAGES, RATE, WARMUP = 12_000, 1e-3, 1200
"""How long the decoders learn on, how fast, and over how many images the rate rises."""


class PatchesClosed(LanguageDecoder):
    """The language decoder with the patches' places in the prefix closed."""

    def prefix(self, tokens: Tokens, leaf_open: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As in `LanguageDecoder`, but no text sees a patch."""
        embedded, mask = super().prefix(tokens, leaf_open)
        mask[:, LEAVES + 1 :] = 0
        return embedded, mask


class SightDecoder(nn.Module):
    """A copy of a model's language decoder and, for prompts that add what they look at, the map W. prompts: of `PROMPTS`."""

    def __init__(self, model: SSACLNetwork, prompts: str, closed: bool):
        super().__init__()
        self.language = (PatchesClosed if closed else LanguageDecoder)(model.config)
        self.language.load_state_dict(model.language.state_dict())
        self.prompts, self.values = prompts, None
        if prompts != "faithful":
            if prompts == "looking" and model.look is None:
                raise ValueError("looking prompts need a model with a head that looks; `ssacl plus` adds one")
            self.values = nn.Linear(model.config.width, model.config.width)
            nn.init.eye_(self.values.weight)
            nn.init.zeros_(self.values.bias)

    def tokens(self, model: SSACLNetwork, pixels: torch.Tensor) -> Tokens:
        """Tokens of the prefix for pixels [B, C, S, S]; the encoder gets no gradient."""
        with torch.no_grad(), autocast(model):
            tokens = leaf_tokens(model, pixels)
            if self.values is None:
                return tokens
            if self.prompts == "everywhere":
                seen = tokens.patches.mean(1, keepdim=True).expand_as(tokens.queries)
            else:
                seen = pooled(model, tokens.patches)
        return replace(tokens, queries=tokens.queries.float() + self.values(seen.float()))


def pooled(model: SSACLNetwork, patches: torch.Tensor) -> torch.Tensor:
    """What the 25 leaves look at: patch tokens [B, N, D] averaged by the maps of SS-ACL+ -> [B, 25, D]."""
    grid = model.config.grid
    maps = F.adaptive_avg_pool2d(model.look(patches)[:, model.leaf_index], grid).flatten(2)
    return maps / maps.sum(-1, keepdim=True).clamp(min=1e-6) @ patches.float()


def empty_text(model: SSACLNetwork, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask [B, 1] of an entity text that names nothing: its newline alone.

    The first word is predicted from this place. Without it that would be the last patch's, open or closed.
    """
    ids = torch.full((count, 1), model.processor.newline, device=model.device)
    return ids, torch.ones_like(ids)


def train_decoder(
    model: SSACLNetwork,
    settings: Settings,
    studies,
    prompts: str,
    closed: bool,
    images: int = IMAGES,
    progress: bool = True,
) -> SightDecoder:
    """Let a copy of the model's language decoder learn on by L_lm, all leaves open, no entity text; in eval mode.

    studies: training view. The model itself stays as it is.
    """
    torch.manual_seed(settings.seed)
    decoder = SightDecoder(model.eval(), prompts, closed).to(model.device)
    name = f"decoder: {prompts} prompts, patches {'closed' if closed else 'open'}"
    return taught(decoder, model, settings, studies, all_leaves, name, images, progress)


def all_leaves(step: int, count: int) -> torch.Tensor:
    """Leaves [count, 25] bool that are open in a step: all."""
    return torch.ones(count, LEAVES, dtype=torch.bool)


def taught(
    decoder: SightDecoder,
    model: SSACLNetwork,
    settings: Settings,
    studies,
    opened: Callable[[int, int], torch.Tensor],
    name: str,
    images: int,
    progress: bool,
) -> SightDecoder:
    """The decoder after so many images of L_lm, in eval mode. opened: (step, films) -> leaves [films, 25] that are open."""
    decoder.train()
    steps = max(1, images // min(settings.training.batch_size, len(studies)))
    batches = TrainingBatches(settings, studies, model.processor, steps)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=RATE, weight_decay=settings.training.weight_decay)
    for step, batch in enumerate(tqdm(batches.loader(), desc=name, total=steps, disable=not progress, mininterval=2)):
        for group in optimizer.param_groups:
            group["lr"] = RATE * learning_rate_scale(step * batches.size, WARMUP, steps * batches.size)
        batch = batch.to(model.device)
        tokens = decoder.tokens(model, batch.pixels)
        leaves = opened(step, len(batch.pixels)).to(model.device)
        with autocast(model):
            hidden = decoder.language.hidden(
                tokens, leaves, *empty_text(model, len(leaves)), batch.report_ids, batch.report_mask
            )
            logits = decoder.language.gpt.lm_head(hidden.flatten(0, 1)[batch.report_places])
        loss = F.cross_entropy(logits.float(), batch.report_ids.flatten()[batch.report_places])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), settings.training.clip_norm or 1.0)
        optimizer.step()
    return decoder.eval()


@torch.no_grad()
def reports_by(
    decoder: SightDecoder, model: SSACLNetwork, pixels: torch.Tensor, seen: torch.Tensor | None = None
) -> list[str]:
    """Reports of pixels [B, C, S, S], all leaves open; seen: other films whose leaf tokens take the place of these films' own."""
    tokens = decoder.tokens(model, pixels)
    if seen is not None:
        tokens = replace(tokens, queries=decoder.tokens(model, seen).queries)
    opened = torch.ones(len(pixels), LEAVES, dtype=torch.bool, device=model.device)
    begin, told = empty_text(model, len(pixels))
    processor = model.processor
    with autocast(model):
        new = decoder.language.generate(
            tokens, opened, begin, told, processor.newline, processor.pad, **model.config.generation
        )
    return [processor.decode_report(row) for row in new]
