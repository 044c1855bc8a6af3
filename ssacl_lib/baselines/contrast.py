"""Two rivals that learn from a film and its report by contrast alone, on the same encoders as SS-ACL.

    contrast only (ConVIRT- and CLIP-like)   whole film against whole report
    GLoRIA-like                              the same, and every word of a report against the patches that it fits

MaCo-like, the masked contrast with its weighting, needs no code of its own: it is L_ir + L_cl of SS-ACL.

What is simplified: one film and one report per study, no momentum queue, no augmentation, and the temperature is the learnt
one of L_cl in every softmax across the batch.

Source: Zhang et al., Contrastive learning of medical visual representations from paired images and text (ConVIRT), MLHC 2022;
Radford et al., Learning transferable visual models from natural language supervision (CLIP), ICML 2021; Huang et al., GLoRIA: a
multimodal global-local representation learning framework for label-efficient medical image recognition, ICCV 2021.
"""

import torch
from torch.nn import functional as F

from ..model.attention import ready_mask
from ..model.batch import Batch
from ..model.network import TERMS, SSACLNetwork

SHARPNESS_OF_ATTENTION, SHARPNESS_OF_WORDS = 4.0, 5.0
"""GLoRIA's two fixed factors: of a word's attention over the patches, and of the words within a report."""


def contrast(similarity: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Mean of both cross-entropies of similarity [B, B] / T whose right answer is the diagonal: a 0-d tensor."""
    own = torch.arange(len(similarity), device=similarity.device)
    logits = similarity.float() / temperature
    # 1/2 [mean_i CE(s_ij / T) + mean_i CE(s_ji / T)]
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def local_similarity(patches: torch.Tensor, words: torch.Tensor, word_mask: torch.Tensor) -> torch.Tensor:
    """How well the words of each report fit the patches of each film: [films, reports].

    A word looks at the patches that it fits, and a report is the soft maximum over its words:
    c_t = sum_n softmax_n(4 cos(word_t, patch_n)) patch_n,   s = 1/5 log mean_t exp(5 cos(word_t, c_t))

    patches: [films, N, D]; words: [reports, T, D]; word_mask: [reports, T], 1 = a word.
    """
    patches, words = F.normalize(patches.float(), dim=-1), F.normalize(words.float(), dim=-1)
    fits = torch.einsum("rtd,bnd->brtn", words, patches)
    # c_t = sum_n softmax_n(4 cos(word_t, patch_n)) patch_n
    context = torch.einsum("brtn,bnd->brtd", (SHARPNESS_OF_ATTENTION * fits).softmax(-1), patches)
    agreement = SHARPNESS_OF_WORDS * F.cosine_similarity(context, words[None], dim=-1)
    # s = 1/5 log mean_t exp(5 cos(word_t, c_t))
    hidden = agreement.masked_fill(~word_mask.bool()[None], float("-inf"))
    return (hidden.logsumexp(-1) - word_mask.sum(-1).float().log()) / SHARPNESS_OF_WORDS


class ContrastNetwork(SSACLNetwork):
    """Whole film against whole report; the term takes L_cl's name and weight."""

    def forward(
        self, batch: Batch, mask_ratio: float = 0.5, mixing: float = 0.1, terms: tuple[str, ...] = TERMS
    ) -> dict[str, torch.Tensor]:
        """ "global_contrastive" alone, whatever is asked; nothing is masked. One process only."""
        films = self.image_to_text(self.encoder(batch.pixels).patches).mean(1)
        reports = self.text(batch.text_ids, batch.text_mask)
        return {"global_contrastive": self.whole(films, reports)}

    def whole(self, films: torch.Tensor, reports: torch.Tensor) -> torch.Tensor:
        """Contrast of the cosines of films and reports [B, D]."""
        return contrast(F.normalize(films.float(), dim=-1) @ F.normalize(reports.float(), dim=-1).T, self.temperature)


class LocalContrastNetwork(ContrastNetwork):
    """Whole against whole, and words against patches, in equal parts."""

    def forward(
        self, batch: Batch, mask_ratio: float = 0.5, mixing: float = 0.1, terms: tuple[str, ...] = TERMS
    ) -> dict[str, torch.Tensor]:
        """ "global_contrastive" alone: the mean of both contrasts."""
        patches = self.image_to_text(self.encoder(batch.pixels).patches)
        words = self.words(batch.text_ids, batch.text_mask)
        mask = batch.text_mask.to(words.dtype)
        reports = (words * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        local = contrast(local_similarity(patches, words, batch.text_mask), self.temperature)
        return {"global_contrastive": (self.whole(patches.mean(1), reports) + local) / 2}

    def words(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The text encoder's token states [B, T, D] of ids and mask [B, T]."""
        visible = mask[:, None, None].bool().expand(-1, -1, mask.shape[1], -1)
        bert = self.text.bert
        ready = ready_mask(visible, bert.config._attn_implementation, bert.dtype)
        return bert(input_ids=ids, attention_mask=ready).last_hidden_state
