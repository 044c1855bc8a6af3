"""Sizes and switches of the model, saved as config.json beside the weights."""

from itertools import zip_longest

from transformers import PretrainedConfig

from ..anatomy import default_graph

LEAVES = 25
PIXEL_STATISTICS = (0.4978, 0.2449)  # mean and standard deviation of the release (grey levels of films, 0 to 1)


DIFFERENCES = {
    "attention": (
        "release",
        {
            "paper": "CLS and patches see each other, queries or not; one mask per step serves all masked passes",
            "release": "patches see patches only and CLS itself and patches where there are queries; L_ir and L_cl have a masked "
            "pass without queries, L_ar one of its own with another mask",
        },
    ),
    "text_pooling": (
        "cls_tanh",
        {
            "mean": "a text's vector is the mean of its tokens",
            "cls_tanh": "it is a linear map and tanh of its first token",
        },
    ),
    "hierarchy": (
        "release",
        {
            "recursive": "L_ar restores the lungs from the restored right and left lung, and so on up",
            "release": "L_ar takes an inner node's own masked token as a child",
        },
    ),
    "consistency_gradient": (
        "queries",
        {"both": "L_ac teaches both images of a pair", "queries": "it teaches the first; the second is a constant"},
    ),
    "prefix": (
        "prompts and patches",
        {
            "prompts only": "the language decoder sees the leaf prompts alone",
            "prompts and patches": "it sees the open leaf prompts and all patches",
        },
    ),
    "language_positions": (
        "release",
        {
            "continued": "text is numbered on from the prefix, without its padding, in training as in generation",
            "release": "training numbers every place, padding too; generation numbers the visible places only",
        },
    ),
    "cls_before_names": (
        False,
        {
            True: "[CLS] stands before the names of anatomies as before reports",
            False: "it does not, so that the first piece of a name is pooled",
        },
    ),
}
"""Switch -> (its value in the release, what each value means)."""


class OtherAnatomy(ValueError):
    """Weights of another anatomy graph: every map and every sentence would belong to another region than its name says."""


class SSACLConfig(PretrainedConfig):
    """Configuration of `SSACLModel`.

    image_size, patch_size: pixels; the image is a square and holds (image_size / patch_size)^2 patches.
    channels: 3 repeats the grey image as the release does (needed for MAE weights); 1 is the same film once.
    stem: "patch" (one linear map per patch, the paper), "convolutional" or "deep" (ours, for small budgets; model/stems.py).
    text, language: keyword arguments of transformers' BertConfig and GPT2Config.
    plus: the model has a head that looks (SS-ACL+, ours; model/look.py). Without it, nothing of it is in the model.
    anatomy: the graph of the weights, one line per node (`AnatomyGraph.described`): the queries follow its order. Default:
    today's graph; a checkpoint that says nothing has the paper's.

    Where the paper's figure and the authors' release differ, one switch each (`DIFFERENCES` says what the values mean):
    attention, text_pooling, hierarchy, consistency_gradient, prefix, language_positions, cls_before_names. The last two
    are None for "as the release has it where attention='release', else as ours".
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
        consistency_gradient: str = "queries",
        language_positions: str | None = None,
        cls_before_names: bool | None = None,
        start_temperature: float = 0.03,
        pixel_mean: float = PIXEL_STATISTICS[0],
        pixel_std: float = PIXEL_STATISTICS[1],
        text: dict | None = None,
        language: dict | None = None,
        report_tokens: int = 100,
        generation: dict | None = None,
        evidence: dict | None = None,
        plus: bool = False,
        anatomy: list[str] | None = None,
        **kwargs,
    ):
        release = attention == "release"
        language_positions = language_positions or ("release" if release else "continued")
        cls_before_names = not release if cls_before_names is None else cls_before_names
        for name, value, allowed in (
            ("stem", stem, ("patch", "convolutional", "deep")),
            ("attention", attention, ("paper", "release")),
            ("hierarchy", hierarchy, ("release", "recursive")),
            ("prefix", prefix, ("prompts and patches", "prompts only")),
            ("text_pooling", text_pooling, ("cls_tanh", "mean")),
            ("consistency_gradient", consistency_gradient, ("queries", "both")),
            ("language_positions", language_positions, ("continued", "release")),
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
        self.consistency_gradient, self.language_positions = consistency_gradient, language_positions
        self.cls_before_names = cls_before_names
        self.pixel_mean, self.pixel_std = pixel_mean, pixel_std
        self.text = text or {
            "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 1536,
            "vocab_size": 30000, "max_position_embeddings": 100,
        }  # fmt: skip
        self.language = language or {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024}
        self.report_tokens = report_tokens
        self.generation = generation or {}
        self.plus = plus
        self.anatomy = list(anatomy or default_graph().described)
        self.evidence = {
            "masks": 200, "mask_ratio": 0.5, "smoothing_patches": 1.5, "evidence_smoothing_patches": 1.0, **(evidence or {}),
        }  # fmt: skip
        kwargs.setdefault("tie_word_embeddings", True)  # the language decoder reads and writes with one table
        super().__init__(**kwargs)

    @classmethod
    def release(cls, **sizes) -> "SSACLConfig":
        """Every switch as the authors' code has it; sizes default to its ViT-B/16 at 224 px, BERT of 6 x 384 and GPT-2 small."""
        switches = {name: release for name, (release, _) in DIFFERENCES.items()}
        generation = {
            "num_beams": 3,
            "min_new_tokens": 79,
            "max_new_tokens": 99,
            "repetition_penalty": 2.0,
            "length_penalty": 2.0,
        }
        return cls(**{**switches, "generation": generation, **sizes})

    def check_anatomy(self) -> None:
        """Raises OtherAnatomy where the weights know another graph than today's."""
        pairs = zip_longest(self.anatomy, default_graph().described)
        if differs := next(((theirs, ours) for theirs, ours in pairs if theirs != ours), None):
            raise OtherAnatomy(
                f"trained with another anatomy graph (there {differs[0] or 'nothing'!r}, here {differs[1] or 'nothing'!r}); put "
                "anatomy.yaml back as it was, or train anew"
            )

    @property
    def prefix_length(self) -> int:
        """Places of the language decoder's prefix: 25 leaves, CLS, and the patches where they are in it."""
        return LEAVES + 1 + (self.patches if self.prefix == "prompts and patches" else 0)

    @property
    def prompt_tokens(self) -> int:
        """Most tokens of a prompt: as many as of a report, or what the language model's positions leave."""
        positions = self.language.get("n_positions")
        left = self.report_tokens if positions is None else positions - self.prefix_length - self.report_tokens
        return min(self.report_tokens, left)

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """Number of patches, N."""
        return self.grid**2
