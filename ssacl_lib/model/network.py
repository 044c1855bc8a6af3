"""The parts put together, and the five losses of one training step."""

from pathlib import Path
from typing import ClassVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from .. import losses
from ..anatomy import default_graph, graph_index
from ..observations import UNCERTAIN
from .batch import Batch
from .config import SSACLConfig
from .decoder import VisualDecoder
from .encoder import Tokens, VisionEncoder
from .head import FindingHead
from .language import LanguageDecoder
from .look import LookHead
from .masking import keep_lowest, patchify, visible_patches
from .processes import ALONE
from .processor import SSACLProcessor
from .text import TextEncoder

TERMS = (
    "image_reconstruction",
    "anatomy_reconstruction",
    "global_contrastive",
    "anatomical_consistency",
    "report_generation",
)
"""The paper's five terms."""

LOGITS = 2**28
"""So many logits of report words are held at once (1 GB in float32)."""


class SSACLNetwork(PreTrainedModel):
    """All parts of the method and its losses; `SSACLModel` adds what a user asks of them.

    Names: B images, N patches, Q = 32 queries (25 leaves among them), D encoder width, Dt text width.
    """

    config_class = SSACLConfig  # type: ignore[misc]
    base_model_prefix = "ssacl"
    _tied_weights_keys: ClassVar = {  # type: ignore[misc]
        "language.gpt.lm_head.weight": "language.gpt.transformer.wte.weight"
    }
    processor: SSACLProcessor = None  # type: ignore[assignment]  # from_pretrained and build set it
    processes = ALONE

    def __init__(self, config: SSACLConfig):
        super().__init__(config)
        config.check_anatomy()
        self.encoder = VisionEncoder(config)
        self.decoder = VisualDecoder(config)
        self.text = TextEncoder(config)
        self.language = LanguageDecoder(config)
        self.image_to_text = nn.Linear(config.width, self.text.width)
        self.name_to_query = nn.Linear(self.text.width, config.width)
        self.position_weight = nn.Parameter(torch.zeros(config.patches))
        self.position_bias = nn.Parameter(torch.zeros(()))
        self.inverse_temperature = nn.Parameter(torch.tensor(1.0 / config.start_temperature))
        self.head = FindingHead(config.width)
        self.look = LookHead(config) if config.plus else None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Linear maps Xavier-uniform with zero bias, tokens and embeddings N(0, 0.02); GPT-2 and BERT keep their own."""
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, VisionEncoder):
            nn.init.normal_(module.cls_token, std=0.02)
        elif isinstance(module, VisualDecoder):
            nn.init.normal_(module.mask_token, std=0.02)

    # ---- files
    @classmethod
    def from_pretrained(cls, name_or_path, *arguments, dtype=torch.float32, **keywords):
        """transformers' `from_pretrained`, in float32 whatever the file holds, with the folder's processor attached."""
        loaded = super().from_pretrained(name_or_path, *arguments, dtype=dtype, **keywords)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        if (Path(name_or_path) / "tokenizer").is_dir():
            model.processor = SSACLProcessor.from_pretrained(name_or_path)
        return loaded

    def save_pretrained(self, folder, *arguments, **keywords) -> None:  # type: ignore[override]
        """transformers' `save_pretrained`, and the processor's tokenizers beside it."""
        super().save_pretrained(folder, *arguments, **keywords)
        if self.processor is not None:
            self.processor.save_pretrained(folder)

    # ---- the pieces that inference and the losses share
    @property
    def leaf_index(self) -> torch.Tensor:
        """Numbers of the 25 leaves among the 32 nodes, on the model's device."""
        return graph_index("leaves", self.device)

    @property
    def temperature(self) -> torch.Tensor:
        """T of L_cl and L_ac, a 0-d tensor; logits are divided by it, and 1 / T is what is learnt."""
        return 1.0 / self.inverse_temperature

    def prompt_queries(self, name_ids: torch.Tensor, name_mask: torch.Tensor) -> torch.Tensor:
        """Queries [32, D] of all nodes: names of the 25 leaves through E_t and one linear map, parents restored."""
        return default_graph().restore(self.name_to_query(self.text(name_ids, name_mask)))

    def default_queries(self) -> torch.Tensor:
        """Queries [32, D] of the anatomy graph's own names (needs `processor`)."""
        ids, mask = self.processor.leaf_names()
        return self.prompt_queries(ids.to(self.device), mask.to(self.device))

    def encode(self, pixels: torch.Tensor, keep: torch.Tensor | None = None, prompts: bool = True) -> Tokens:
        """Tokens of pixels [B, C, S, S]; with prompts, queries of all 32 nodes; see model/encoder.py."""
        return self.encoder(pixels, keep, self.default_queries() if prompts else None)

    def image_embedding(self, pixels: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """The image vector of L_cl, unnormalised [B, Dt]: mean over the visible patches of their linear map."""
        return self.image_to_text(self.encoder(pixels, keep).patches).mean(1)

    def patch_embeddings(self, pixels: torch.Tensor) -> torch.Tensor:
        """Every patch token in the text encoder's space, unnormalised [B, N, Dt]."""
        return self.image_to_text(self.encoder(pixels).patches)

    def text_embedding(self, texts: list[str]) -> torch.Tensor:
        """Pooled E_t of reports or phrases, unnormalised [B, Dt]."""
        ids, mask = self.processor.text(list(texts))
        return self.text(ids.to(self.device), mask.to(self.device))

    def finding_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits [B, 13] of the head on the (frozen) encoder."""
        return self.head(self.encoder(pixels))

    def leaf_attention(self, pixels: torch.Tensor) -> torch.Tensor:
        """Last block's attention of the 25 leaf queries to the patches, mean over heads [B, 25, N], rows sum to 1."""
        weights = self.encode(pixels).attention[:, :, self.leaf_index, 1:].float().mean(1)
        return weights / weights.sum(-1, keepdim=True)

    def add_look(self, head: LookHead) -> None:
        """Make the model an SS-ACL+: its anatomies can be looked for (`look_maps`); all else stays as it was."""
        self.look, self.config.plus = head, True

    def look_maps(self, pixels: torch.Tensor) -> torch.Tensor:
        """Where the 32 nodes lie in films by the head that looks: [B, 32, G, G], not negative (SS-ACL+).

        Raises ValueError where the model has no such head.
        """
        if self.look is None:
            raise ValueError("this checkpoint has no head that looks (SS-ACL+); `ssacl plus` adds one")
        return self.look(self.encoder(pixels).patches)

    # ---- training
    def recompute_activations(self) -> None:
        """Keep no activation of a block for the backward pass but compute it anew: less memory, about a third more time."""
        self.encoder.recompute = self.decoder.recompute = True
        for part in (self.text.bert, self.language.gpt):
            part.activation_checkpointing_enable({"use_reentrant": False})

    def passes(self, batch: Batch, keep: torch.Tensor, mask_ratio: float, wanted: set[str]):
        """The encoder passes that the wanted terms read: masked tokens, tokens of masked nodes, unmasked tokens; or None.

        Paper mode: no patch sees a query, so one masked and one unmasked pass serve all five terms. Release mode: CLS hides
        from the patches where there are queries, so L_ir and L_cl need a masked pass without queries, and L_ar has one with
        a mask of its own. The unmasked pass holds the 25 leaves; the 7 parents are targets of L_ar and carry no gradient.
        """
        prompted = wanted & {"anatomy_reconstruction", "anatomical_consistency", "report_generation"}
        queries = self.prompt_queries(batch.name_ids, batch.name_mask) if prompted else None
        restores = "anatomy_reconstruction" in wanted
        masked = nodes = whole = None
        if self.config.attention == "release":
            if wanted & {"image_reconstruction", "global_contrastive", "report_labels", "side_exchange"}:
                masked = self.encoder(batch.pixels, keep)
            if restores:
                nodes = self.encoder(
                    batch.pixels, keep_lowest(batch.graph_noise, mask_ratio), queries, queries_only=True
                ).queries
        else:
            masked = self.encoder(batch.pixels, keep, queries if restores else None)
            nodes = masked.queries
        if queries is not None:
            targets = queries[graph_index("parents", queries.device)] if restores else None
            whole = self.encoder(batch.pixels, None, queries[self.leaf_index], targets)
        elif "report_labels" in wanted:
            whole = self.encoder(batch.pixels)
        return masked, nodes, whole

    def forward(
        self, batch: Batch, mask_ratio: float = 0.5, mixing: float = 0.1, terms: tuple[str, ...] = TERMS
    ) -> dict[str, torch.Tensor]:
        """The named terms of one step, unweighted 0-d tensors: the paper's five and, where asked for, two of ours.

        Ours are report_labels and side_exchange; the latter needs a batch that has pairs of sentences.
        With several processes the batch is that of this process, and the average of a term over the processes, as of its
        gradient, is the term of all their images together.
        """
        wanted = set(terms)
        keep = keep_lowest(batch.noise, mask_ratio)
        visible = visible_patches(keep, self.config.patches)
        masked, nodes, whole = self.passes(batch, keep, mask_ratio, wanted)
        report = (
            self.text(batch.text_ids, batch.text_mask)
            if wanted & {"global_contrastive", "anatomical_consistency"}
            else None
        )
        image = self.image_to_text(masked.patches).mean(1) if wanted & {"global_contrastive", "side_exchange"} else None
        values = {}
        if "image_reconstruction" in wanted:
            target = patchify(batch.pixels, self.config.patch_size, self.config.channels)
            restored = self.decoder.reconstruct(masked.cls, masked.patches, keep)
            values["image_reconstruction"] = losses.image_reconstruction_loss(restored, target, 1 - visible)
        if "anatomy_reconstruction" in wanted:
            with torch.no_grad():  # a target
                parent_targets = self.decoder.parent_targets(whole.targets)
            values["anatomy_reconstruction"] = losses.anatomy_reconstruction_loss(
                self.decoder.restored_parents(nodes), parent_targets
            )
        if "global_contrastive" in wanted:
            values["global_contrastive"] = losses.global_contrastive_loss(
                self.processes.gather_rows(image),
                self.processes.gather_rows(report),
                self.temperature,
                self.processes.gather_rows(visible, gradient=False),
                self.position_weight,
                self.position_bias,
            )
        if "anatomical_consistency" in wanted:
            both = self.config.consistency_gradient == "both"
            values["anatomical_consistency"] = losses.anatomical_consistency_loss(
                whole.queries,
                report,
                self.temperature,
                mixing,
                keys=self.processes.gather_rows(whole.queries, both),
                key_reports=self.processes.gather_rows(report, gradient=False),
            )
        if "report_generation" in wanted:
            hidden = self.language.hidden(
                whole, batch.leaf_open, batch.prompt_ids, batch.prompt_mask, batch.report_ids, batch.report_mask
            )
            values["report_generation"] = self.generation_loss(
                hidden.flatten(0, 1)[batch.report_places], batch.report_ids.flatten()[batch.report_places]
            )
        if "report_labels" in wanted:
            values["report_labels"] = self.report_labels(batch, masked, whole)
        if "side_exchange" in wanted:
            values["side_exchange"] = self.side_exchange(batch, image)
        return values

    def report_labels(self, batch: Batch, masked: Tokens, whole: Tokens) -> torch.Tensor:
        """The mean of `report_label_loss` of both passes (ours), by the share of this process in the known labels."""
        known = (batch.labels[:, 1:] != UNCERTAIN).sum().float()
        share = self.processes.share_of_mean(known).to(self.inverse_temperature.dtype)
        both = (losses.report_label_loss(self.head(tokens), batch.labels) for tokens in (masked, whole))
        return share * sum(both) / 2

    def side_exchange(self, batch: Batch, image) -> torch.Tensor:
        """L_side of the image vectors [B, Dt] of L_cl and the batch's pairs of sentences.

        Raises ValueError where the batch was made without them.
        """
        if batch.side_ids is None or batch.side_mask is None or batch.paired is None:
            raise ValueError(
                "the batch has no sentences with the side exchanged; give `TrainingBatches` settings in which "
                "training.loss_weights.side_exchange is not 0"
            )
        own, exchanged = (
            self.text(batch.side_ids.flatten(0, 1), batch.side_mask.flatten(0, 1)).unflatten(0, (-1, 2)).unbind(1)
        )
        share = self.processes.share_of_mean(batch.paired.sum().to(image.dtype)).to(self.inverse_temperature.dtype)
        return share * losses.side_exchange_loss(image, own, exchanged, self.temperature, batch.paired)

    def generation_loss(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """L_lm of the hidden states [T, n_embd] before each report token and the tokens [T], some tokens at a time.

        The logits of a whole batch can be the largest tensor of the step; those of a part are computed anew in the backward.
        """

        def loss(hidden, targets):
            return losses.report_generation_loss(self.language.gpt.lm_head(hidden)[None], targets[None])

        share = self.processes.share_of_mean(torch.full((), float(len(targets)), device=targets.device)).to(
            self.inverse_temperature.dtype
        )
        size = max(1, LOGITS // self.language.gpt.config.vocab_size)
        if size >= len(targets):
            return share * loss(hidden, targets)
        parts = zip(hidden.split(size), targets.split(size), strict=True)
        return share * sum(checkpoint(loss, h, t, use_reentrant=False) * len(t) for h, t in parts) / len(targets)

    def pixels(self, images) -> torch.Tensor:
        """Processed images on the model's device; a pixel tensor [B, C, S, S] passes through."""
        if isinstance(images, torch.Tensor) and images.dim() == 4:
            return images.to(self.device)
        return self.processor(images).to(self.device)
