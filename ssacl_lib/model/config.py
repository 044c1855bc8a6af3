"""Sizes and switches of the model, saved as config.json beside the weights."""

from transformers import PretrainedConfig

FIRST_PIXEL_STATISTICS = (0.4978, 0.2449)  # mean and standard deviation of the release (grey levels of films, 0 to 1)


class SSACLConfig(PretrainedConfig):
    """Configuration of `SSACLModel`.

    image_size, patch_size: pixels; the image is a square and holds (image_size / patch_size)^2 patches.
    channels: 3 repeats the grey image as the release does (needed for MAE weights); 1 is the same film once.
    stem: "patch" (one linear map per patch, the paper) or "convolutional" (ours, for small budgets).
    attention: who attends to whom, "paper" (its figure) or "release" (its code); see model/encoder.py.
    hierarchy: what L_ar takes as an inner node's child: its "release" masked token, or the "recursive" restored one.
    prefix: what the language decoder sees: "prompts and patches" or "prompts only".
    text, language: keyword arguments of transformers' BertConfig and GPT2Config.
    """

    model_type = "ssacl"

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        channels: int = 3,
        stem: str = "patch",
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        decoder_depth: int = 4,
        decoder_heads: int = 6,
        attention: str = "paper",
        hierarchy: str = "release",
        prefix: str = "prompts and patches",
        text_pooling: str = "cls_tanh",
        start_temperature: float = 0.03,
        pixel_mean: float = FIRST_PIXEL_STATISTICS[0],
        pixel_std: float = FIRST_PIXEL_STATISTICS[1],
        text: dict | None = None,
        language: dict | None = None,
        report_tokens: int = 100,
        generation: dict | None = None,
        evidence: dict | None = None,
        **kwargs,
    ):
        for name, value, allowed in (
            ("stem", stem, ("patch", "convolutional")),
            ("attention", attention, ("paper", "release")),
            ("hierarchy", hierarchy, ("release", "recursive")),
            ("prefix", prefix, ("prompts and patches", "prompts only")),
            ("text_pooling", text_pooling, ("cls_tanh", "mean")),
        ):
            if value not in allowed:
                raise ValueError(f"{name}={value!r}: expected one of {', '.join(allowed)}")
        if image_size % patch_size:
            raise ValueError(f"image_size {image_size} is no multiple of patch_size {patch_size}")
        self.image_size, self.patch_size, self.channels, self.stem = image_size, patch_size, channels, stem
        self.width, self.depth, self.heads = width, depth, heads
        self.decoder_depth, self.decoder_heads = decoder_depth, decoder_heads
        self.attention, self.hierarchy, self.prefix = attention, hierarchy, prefix
        self.text_pooling, self.start_temperature = text_pooling, start_temperature
        self.pixel_mean, self.pixel_std = pixel_mean, pixel_std
        self.text = text or {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6,
                             "intermediate_size": 1536, "vocab_size": 30000, "max_position_embeddings": 100}
        self.language = language or {"n_embd": 768, "n_layer": 12, "n_head": 12}
        self.report_tokens = report_tokens
        self.generation = generation or {}
        self.evidence = {"masks": 200, "mask_ratio": 0.5, "smoothing_patches": 1.5,
                         "evidence_smoothing_patches": 1.0, **(evidence or {})}
        kwargs.setdefault("tie_word_embeddings", True)  # the language decoder reads and writes with one table
        super().__init__(**kwargs)

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """Number of patches, N."""
        return self.grid**2
