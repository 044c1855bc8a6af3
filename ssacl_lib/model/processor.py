"""From images and texts to tensors, and from token ids back to text."""

import json
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ..anatomy import default_graph
from ..images import grey_of_picture, letterbox, read_image
from ..text.tokenizer import detokenize
from .config import SSACLConfig


class SSACLProcessor:
    """Images (PIL, array or path) to normalised pixels; reports to token ids and back.

    text_tokenizer feeds E_t, language_tokenizer the language decoder; they are one and the same WordPiece by default.
    """

    def __init__(self, config: SSACLConfig, text_tokenizer, language_tokenizer=None):
        self.config = config
        self.text_tokenizer = text_tokenizer
        self.language_tokenizer = language_tokenizer or text_tokenizer
        pad = self.language_tokenizer.pad_token_id
        self.pad = self.language_tokenizer.eos_token_id if pad is None else pad

    # ---- images
    def __call__(self, images) -> torch.Tensor:
        """One image or a list (PIL image, [H, W] array of uint8 or of floats in 0..1, or a path) -> pixels [B, 1, S, S]."""
        if isinstance(images, (str, Path, Image.Image)) or (isinstance(images, np.ndarray) and images.ndim == 2):
            images = [images]
        size = self.config.image_size
        return self.normalise(np.stack([letterbox(self.grey(image), size) for image in images]))

    @staticmethod
    def grey(image) -> np.ndarray:
        """Any supported image as [H, W] uint8; raises ValueError for another shape, NaN or an empty image."""
        if isinstance(image, (str, Path)):
            return read_image(image)
        array = grey_of_picture(image) if isinstance(image, Image.Image) else np.asarray(image)
        if array.ndim != 2 or not array.size:
            raise ValueError(f"expected a grey image [H, W], found shape {array.shape}; convert colours to grey first")
        if array.dtype == np.uint8:
            return array
        if array.dtype.kind in "iub" and array.dtype != np.bool_:
            raise ValueError(f"an image of {array.dtype}, expected uint8 or floats in 0..1; window and scale it first")
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ValueError("a float image must lie in 0..1 without NaN; divide by its maximum first")
        return (array * 255).round().astype(np.uint8)

    def normalise(self, images: np.ndarray) -> torch.Tensor:
        """Square uint8 images [B, S, S] -> float pixels [B, 1, S, S] with the configured mean and deviation."""
        pixels = torch.from_numpy(np.ascontiguousarray(images)).float().unsqueeze(1) / 255
        return (pixels - self.config.pixel_mean) / self.config.pixel_std

    # ---- texts
    @property
    def newline(self) -> int:
        """The id that ends a report. Raises ValueError where the language tokenizer has none."""
        ids = self.language_tokenizer.encode("\n", add_special_tokens=False)
        if not ids:
            raise ValueError(
                "this checkpoint's language tokenizer has no newline, so it can neither read nor write reports; give "
                "its own one (GPT-2's for the authors' weights: ssacl convert-release --language-tokenizer DIR)"
            )
        return ids[-1]

    @property
    def prompt_side(self) -> str:
        """Where entity prompts are padded."""
        return "right" if self.config.language_positions == "release" else "left"

    @property
    def empty_prompt(self) -> list[int]:
        """Ids that stand for no entity text: none, or a newline where the prefix is prompts only and all leaves may be closed.

        The first word would be predicted from a place that sees nothing then, and such a place sees everything (`never_blind`).
        """
        return [self.newline] if self.config.prefix == "prompts only" else []

    def leaf_names(self) -> tuple[torch.Tensor, torch.Tensor]:
        """E_t's ids and mask [25, T] of the leaves' names, "[CLS]" in front or not by config.cls_before_names."""
        return self.text(list(default_graph().leaves), self.config.cls_before_names)

    def text(self, texts: list[str], start: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """E_t's ids and mask [B, T] of lower-cased texts, with "[CLS]" in front where `start`."""
        cls = (self.text_tokenizer.cls_token or "") if start else ""
        batch = self.text_tokenizer(
            [f"{cls} {text.lower()}" for text in texts],
            add_special_tokens=False,
            padding=True,
            truncation=True,
            max_length=self.config.text.get("max_position_embeddings", 100),
            return_tensors="pt",
        )
        return batch["input_ids"], batch["attention_mask"]

    def known_words(self, phrase: str) -> tuple[list[str], list[str]]:
        """Words of a phrase that E_t's vocabulary has whole, and words that it has to spell from pieces or not at all."""
        words = re.findall(r"[^\W_]{2,}", phrase.lower())
        pieces = [self.text_tokenizer.tokenize(word) for word in words]
        whole = [len(parts) == 1 and parts[0] != self.text_tokenizer.unk_token for parts in pieces]
        return [w for w, yes in zip(words, whole, strict=True) if yes], [
            w for w, yes in zip(words, whole, strict=True) if not yes
        ]

    def report_ids(self, reports: list[str]) -> list[list[int]]:
        """Language token ids of reports, cut to `report_tokens`, each ended by a newline."""
        encoded = self.language_tokenizer(
            [report.replace("\n", " ").strip() for report in reports],
            add_special_tokens=False,
            truncation=True,
            max_length=self.config.report_tokens - 1,
        )["input_ids"]
        return [ids + [self.newline] for ids in encoded]

    def pad_ids(self, sequences: list[list[int]], side: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad id lists on one side ("left" for prompts, "right" for reports) -> ids [B, T], mask [B, T]."""
        longest = max(map(len, sequences), default=0)
        ids = torch.full((len(sequences), longest), self.pad)
        mask = torch.zeros(len(sequences), longest, dtype=torch.long)
        for row, sequence in enumerate(sequences):
            place = slice(longest - len(sequence), None) if side == "left" else slice(0, len(sequence))
            ids[row, place] = torch.tensor(sequence, dtype=torch.long)
            mask[row, place] = 1
        return ids, mask

    def decode_report(self, ids) -> str:
        """Text of generated ids, up to the first newline."""
        ids = [int(i) for i in ids]
        ids = ids[: ids.index(self.newline)] if self.newline in ids else ids
        ids = [i for i in ids if i != self.pad and i < len(self.language_tokenizer)]
        if isinstance(self.language_tokenizer, PreTrainedTokenizerFast) and self.language_tokenizer.cls_token:
            return detokenize(ids, self.language_tokenizer)
        return self.language_tokenizer.decode(ids).strip()

    # ---- files
    def save_pretrained(self, folder) -> None:
        """Write the tokenizers beside the model (config.json holds the image side)."""
        folder = Path(folder)
        self.text_tokenizer.save_pretrained(folder / "tokenizer")
        if self.language_tokenizer is not self.text_tokenizer:
            self.language_tokenizer.save_pretrained(folder / "language_tokenizer")

    @classmethod
    def from_pretrained(cls, folder) -> "SSACLProcessor":
        """Read a folder written by `save_pretrained` of the model and the processor."""
        folder = Path(folder)
        if not (folder / "tokenizer").is_dir():
            raise FileNotFoundError(
                f"{folder}: no tokenizer/ folder, so this is no SS-ACL checkpoint; "
                "make one with `ssacl pretrain --out FOLDER`"
            )
        _check_added_tokens(folder / "tokenizer" / "tokenizer.json")
        text = AutoTokenizer.from_pretrained(folder / "tokenizer")
        second = folder / "language_tokenizer"
        language = AutoTokenizer.from_pretrained(second) if second.is_dir() else None
        return cls(SSACLConfig.from_pretrained(folder), text, language)


ADDED_TOKEN = {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}
"""What a tokenizer's file says of a special token."""


def _check_added_tokens(path: Path) -> None:
    """Refuse a damaged file that tokenizers would read with words on the screen. Raises ValueError."""
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    added = told.get("added_tokens", []) if isinstance(told, dict) else []
    for token in added if isinstance(added, list) else ():
        if not isinstance(token, dict) or (unknown := sorted(set(token) - ADDED_TOKEN)):
            found = unknown[0] if isinstance(token, dict) else token
            raise ValueError(f"{path.name}: a special token has {found!r}, expected {', '.join(sorted(ADDED_TOKEN))}")
