"""Any CLIP-like model of transformers, put under the same question: where does it see a phrase?

Stands for models of image and text that were trained elsewhere: A. Radford et al., *Learning Transferable Visual Models From
Natural Language Supervision* (CLIP), ICML 2021; X. Zhai et al., *Sigmoid Loss for Language Image Pre-Training* (SigLIP), ICCV
2023; and their kin with a vision transformer. Nothing is trained here.

    similarity  cosine of every patch token with the phrase. A token enters the shared space by the path of the image's vector:
                in CLIP what CLS goes through (LayerNorm and projection), in SigLIP the pooling head over this token alone. No
                loss of these models asks that patches fit, so this map may well fail.
    masked      SS-ACL's masked evidence (model/maps.py). These models were not trained on hidden patches, so hidden ones are
                painted with the film's mean grey, as in RISE (V. Petsiuk et al., BMVC 2018).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import AutoModel, AutoProcessor

from ..model.chunks import chunks
from ..model.config import SSACLConfig
from ..model.maps import smooth, visibility_effect
from ..model.masking import keep_lowest, visible_patches

BATCH = 32  # masked films per pass


@dataclass(frozen=True)
class ClipGrounder:
    """A CLIP-like model with its processor. evidence: settings of the maps, by default those of SSACLConfig.

    side: pixels of the model's square picture. grid: patches along it.
    """

    model: Any
    processor: Any
    side: int
    grid: int
    evidence: dict = field(default_factory=lambda: SSACLConfig().evidence)

    # ---- what is asked of it
    @torch.no_grad()
    def phrase_maps(
        self,
        images: np.ndarray,
        phrases: list[list[str]],
        evidence: str = "similarity",
        masks: int | None = None,
        seed: int = 0,
        progress: str | None = None,
    ) -> list[np.ndarray]:
        """Maps of each image's own phrases: images [n, S, S] uint8, n lists of phrases -> n arrays [p, S, S] (p may be 0).

        evidence: "similarity" or "masked" (see the top). masks, seed: how many random masks, and which.

        Raises:
            ValueError: another evidence, an empty phrase, or not as many lists as images.
        """
        if evidence not in ("similarity", "masked"):
            raise ValueError(f"evidence={evidence!r}: expected 'similarity' or 'masked'")
        if len(images) != len(phrases):
            raise ValueError(f"{len(images)} images and {len(phrases)} lists of phrases, expected one list per image")
        if any(not phrase.strip() for own in phrases for phrase in own):
            raise ValueError("an empty phrase cannot be grounded; give a few words such as 'left pleural effusion'")
        count = masks or self.evidence["masks"]
        keeps = None
        if evidence == "masked":
            keeps = random_keeps(count, self.grid, self.evidence["mask_ratio"], seed).to(self.model.device)
        maps = []
        for part in chunks(len(images), 1, progress):
            own = phrases[part.start]
            if not own:
                maps.append(np.zeros((0, *images.shape[-2:]), np.float32))
                continue
            pixels, text = self.pixels(images[part]), self.text_vectors(own)
            if keeps is None:
                values, sigma, beyond = text @ self.patch_vectors(pixels)[0].T, "smoothing_patches", "replicate"
            else:
                scores = self.masked_vectors(pixels, keeps) @ text.T
                values = visibility_effect(scores[None], keeps, self.grid**2)[0]
                values = values - values.mean(-1, keepdim=True)
                sigma, beyond = "evidence_smoothing_patches", "constant"
            grids = smooth(values.view(1, -1, self.grid, self.grid), self.evidence[sigma], beyond)
            large = F.interpolate(grids, size=images.shape[-2:], mode="bilinear", align_corners=False)
            maps.append(large[0].cpu().numpy())
        return maps

    # ---- its pieces
    def pixels(self, images: np.ndarray) -> torch.Tensor:
        """Films [n, S, S] uint8 as the model's processor prepares pictures [n, 3, side, side], but whole, without a crop."""
        if images.ndim != 3 or images.dtype != np.uint8:
            raise ValueError(f"images are {images.dtype} of shape {images.shape}, expected uint8 [n, S, S]")
        pictures = [Image.fromarray(image).convert("RGB") for image in images]
        size = {"height": self.side, "width": self.side}
        found = self.processor.image_processor(
            pictures, size=size, do_resize=True, do_center_crop=False, return_tensors="pt"
        )
        return found["pixel_values"].to(self.model.device, self.model.dtype)

    def text_vectors(self, texts: list[str]) -> torch.Tensor:
        """Normalised vectors [t, D] of texts."""
        tokenizer, config = self.processor.tokenizer, self.model.config.text_config
        siglip = "siglip" in self.model.config.model_type  # was trained on padded texts without a mask
        tokens = tokenizer(
            list(texts),
            padding="max_length" if siglip else True,
            truncation=True,
            max_length=min(config.max_position_embeddings, tokenizer.model_max_length),
            return_tensors="pt",
        )
        if siglip:
            tokens.pop("attention_mask", None)
        return F.normalize(_vector(self.model.get_text_features(**tokens.to(self.model.device))).float(), dim=-1)

    def image_vectors(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised vectors [n, D] of pictures."""
        return F.normalize(_vector(self.model.get_image_features(pixel_values=pixels)).float(), dim=-1)

    def patch_vectors(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised vectors [n, N, D] of every patch of pictures, as if it were the picture's vector."""
        tokens = self.model.vision_model(pixel_values=pixels).last_hidden_state[:, -(self.grid**2) :]
        vectors = pooled(self.model, tokens.flatten(0, 1)[:, None])
        return F.normalize(vectors.float(), dim=-1).unflatten(0, tokens.shape[:2])

    def masked_vectors(self, pixels: torch.Tensor, keeps: torch.Tensor) -> torch.Tensor:
        """Normalised vectors [K, D] of one picture [1, 3, side, side] under masks that keep the patches keeps [K, kept]."""
        size = self.side // self.grid
        seen = visible_patches(keeps, self.grid**2, pixels.dtype).view(-1, 1, self.grid, self.grid)
        seen = seen.repeat_interleave(size, 2).repeat_interleave(size, 3)
        beyond = self.side - size * self.grid  # pixels that no patch reads, where the side is no multiple of a patch
        seen = F.pad(seen, (0, beyond, 0, beyond))
        grey = pixels.mean((2, 3), keepdim=True)
        return torch.cat([self.image_vectors(grey + part * (pixels - grey)) for part in seen.split(BATCH)])


def random_keeps(masks: int, grid: int, mask_ratio: float, seed: int) -> torch.Tensor:
    """Indices [K, kept] of the patches that each of K random masks keeps, drawn as for SS-ACL's masked evidence."""
    noise = np.random.default_rng([seed, 77]).random((masks, grid**2), np.float32)
    return keep_lowest(torch.from_numpy(noise), mask_ratio)


def pooled(model, tokens: torch.Tensor) -> torch.Tensor:
    """Tokens [n, T, D'] of the vision transformer to vectors [n, D] of the shared space, as the model does it for a picture.

    CLIP and its kin take the first token, SigLIP a pooling head over all.
    """
    vision = getattr(model.vision_model, "vision_model", model.vision_model)
    head = getattr(vision, "head", None)
    vectors = vision.post_layernorm(tokens[:, 0]) if head is None else head(tokens)
    return model.visual_projection(vectors) if hasattr(model, "visual_projection") else vectors


def load_clip(name_or_path: str, device: str = "cpu") -> ClipGrounder:
    """A CLIP-like model of transformers (CLIP, SigLIP, ChineseCLIP, AltCLIP, ...) by hub name or local folder.

    Raises:
        ValueError: a model without a text side, or whose patch tokens have no place in the space of its texts.
        OSError: no such folder or name (transformers' own words).
    """
    model = AutoModel.from_pretrained(name_or_path, use_safetensors=True, dtype=torch.float32).to(device).eval()
    if not hasattr(model, "get_text_features") or not hasattr(model.config, "text_config"):
        raise ValueError(f"{name_or_path}: {type(model).__name__} has no text side, so no phrase can be grounded; "
                         "name a model of image and text, such as a CLIPModel")  # fmt: skip
    tokenless = (
        f"{name_or_path}: {type(model).__name__} has no patch tokens in the space of its texts; expected a vision "
        "transformer with one square grid, whose picture vector comes from CLS (CLIP) or from a pooling head (SigLIP)"
    )
    vision = model.config.vision_config
    if not hasattr(vision, "patch_size") or not isinstance(getattr(vision, "image_size", None), int):
        raise ValueError(tokenless)
    grid = vision.image_size // vision.patch_size
    grounder = ClipGrounder(model, AutoProcessor.from_pretrained(name_or_path), vision.image_size, grid)
    film = np.random.default_rng(0).integers(0, 256, (1, vision.image_size, vision.image_size), np.uint8)
    with torch.no_grad():
        pixels = grounder.pixels(film)
        try:
            tokens = model.vision_model(pixel_values=pixels).last_hidden_state
            own = pooled(model, tokens)
        except (AttributeError, IndexError, RuntimeError, TypeError):
            raise ValueError(tokenless) from None
        whole = _vector(model.get_image_features(pixel_values=pixels))
    # the way that patches will take has to give the picture's own vector
    if tokens.shape[1] - grid**2 not in (0, 1) or own.shape != whole.shape or not torch.allclose(own, whole, atol=1e-3):
        raise ValueError(tokenless)
    return grounder


def _vector(features) -> torch.Tensor:
    """What `get_..._features` answers: an output with the vector in it (transformers 5), or the vector."""
    return getattr(features, "pooler_output", features)
