"""One frozen, validated settings object. A profile is a YAML file with every key that has no default.
Nothing branches on its name.

`load_settings("cpu", seed=1, **{"training.batch_size": 16})` reads `profiles/cpu.yaml` and overrides keys by dotted name.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import paths


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataSettings(_Section):
    """What the studies look like and how many there are (counts are used by the phantom; folders have their own)."""

    image_size: int = Field(ge=32, le=1024, description="pixels of the square image")
    train_studies: int = Field(ge=8)
    validation_studies: int = Field(ge=8)
    test_studies: int = Field(ge=8)
    phantom_ranges: float = Field(
        ge=0, le=1, description="1 = full ranges of pose, build and exposure; 0 = one patient"
    )


class ModelSettings(_Section):
    """Sizes and switches of the model; each switch is described where it acts (ssacl_lib/model)."""

    stem: Literal["patch", "convolutional", "deep"]
    patch_size: int = Field(ge=4)
    width: int
    depth: int
    heads: int
    decoder_depth: int
    decoder_heads: int
    text_width: int
    text_depth: int
    text_heads: int
    text_tokens: int
    text_pooling: Literal["cls_tanh", "mean"]
    language_width: int
    language_depth: int
    language_heads: int
    language_tokens: int
    dropout: float = Field(ge=0, lt=1, description="of the text encoder and the language decoder")
    attention: Literal["paper", "release"]
    prefix: Literal["prompts and patches", "prompts only"]
    hierarchy: Literal["release", "recursive"]
    consistency_gradient: Literal["queries", "both"]
    language_positions: Literal["continued", "release"]
    cls_before_names: bool
    encoder_weights: str | None = Field(description="null = random, a folder of ours, or a ViT-MAE by hub name or path")
    text_weights: str | None = Field(description="null = random, or a BERT by hub name or path")
    language_weights: str | None = Field(description="null = random, or a GPT-2 by hub name or path")


class LossWeights(_Section):
    """Weights of the five terms (paper: 1, 1, 0.15, 1, 1) and of two terms that are ours and 0 in the paper."""

    image_reconstruction: float
    anatomy_reconstruction: float
    global_contrastive: float
    anatomical_consistency: float
    report_generation: float
    report_labels: float = Field(
        description="ours, a start for small budgets: findings that the labeler read in the report"
    )
    side_exchange: float = Field(
        description="ours: a film is nearer to a sentence of its report than to the same one with right and left exchanged"
    )


class TrainingSettings(_Section):
    """The optimisation: AdamW, linear warm-up, cosine to 0."""

    images: int = Field(ge=1, description="images seen in all; the number of updates follows from the batch")
    batch_size: int = Field(ge=2, description="images of one process and one forward pass")
    accumulation: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    language_rate_scale: float = Field(gt=0)
    warmup_images: int = Field(ge=0)
    weight_decay: float = Field(ge=0)
    clip_norm: float | None
    precision: Literal["fp32", "bf16", "fp16"]
    mask_ratio: float = Field(gt=0, lt=1)
    mixing: float = Field(ge=0, le=1, description="lambda of the anatomical consistency loss")
    temperature: float = Field(gt=0, description="start of the learnt temperature")
    loss_weights: LossWeights
    augmentation: float = Field(ge=0, le=1, description="1 = the release's rotation and scale")
    flip: bool = Field(description="the release's random horizontal flip, which contradicts left and right in reports")
    head_studies: int = Field(
        ge=1, description="training studies that the finding head learns from, at most: their tokens are held in memory"
    )
    head_epochs: int = Field(ge=1, description="how often the head sees each of them (more often where they are few)")
    sharding: Literal["none", "full"] = Field(
        description="several processes: a whole model each (DDP), or shards (FSDP)"
    )
    compile: bool = Field(description="torch.compile of encoder and visual decoder")
    recompute: bool = Field(description="activations are computed anew in the backward pass: less memory, more time")
    checkpoint_images: int = Field(ge=1, description="images between two validations, each with a checkpoint")
    checkpoint_seconds: float = Field(gt=0, description="and a checkpoint at least so often")


class InferenceSettings(_Section):
    """Generation and maps."""

    beams: int
    min_new_tokens: int
    max_new_tokens: int
    repetition_penalty: float
    length_penalty: float
    uncertain_as_positive: bool
    evidence_masks: int = Field(ge=2, description="K of the masked evidence")
    evidence_mask_ratio: float = Field(gt=0, lt=1)
    smoothing_patches: float = Field(ge=0, description="sigma of the Gaussian over a similarity map, in patches")
    evidence_smoothing_patches: float = Field(ge=0, description="the same for masked evidence; checked on validation")


class EvaluationSettings(_Section):
    """How much is evaluated."""

    bootstrap: int = Field(ge=10, description="resamplings behind every interval")
    control_studies: int = Field(
        ge=2, description="test studies of the costly controls (shifted image, deletion curves)"
    )
    prompt_studies: int = Field(
        ge=2, description="test studies whose reports are written under each control of the prompts"
    )
    cnn_images: int = Field(
        ge=32, description="images seen by the supervised CNN that measures the phantom's difficulty"
    )


CHANGES_NOTHING = {
    "profile": "a name; what it stands for are the other settings",
    "device": "where the same operations run, up to rounding; run.json says which device it was",
    "data_root": "where data lie; they are compared by their content",
    "out_dir": "where results go",
    "training.sharding": "how many processes hold the model; a test holds the gradients equal",
    "training.compile": "the same operations, fused",
    "training.recompute": "activations computed twice instead of kept",
    "training.checkpoint_images": "how often a run is validated and saved",
    "training.checkpoint_seconds": "how often it is saved besides",
}
"""Settings that change no number -> why. All others stand in the key of every result, and a resumed training is refused
where one of them differs."""

OFF: dict[str, Any] = {
    "training.loss_weights.side_exchange": 0.0,
    "training.head_studies": 8192,
    "training.head_epochs": 12,
}
"""Settings that were added later -> the value at which all is as it was before. At that value they stand in no key, and what
was written without them is read as if it had it: a new setting makes nothing old (the code that reads it may)."""


class Settings(_Section):
    """Everything that decides a result. `out_dir` and `data_root` say where, the rest what."""

    profile: str
    device: Literal["auto", "cpu", "cuda"]
    dataset: str
    data_root: str | None
    seed: int = Field(ge=0)
    threads: int | None = Field(ge=1, description="threads of one process on the CPU; null = one per core")
    deterministic: bool = Field(
        description="the same kernels on every x86-64 processor, in float32: slower (threads.py)"
    )
    out_dir: str | None
    data: DataSettings
    model: ModelSettings
    training: TrainingSettings
    inference: InferenceSettings
    evaluation: EvaluationSettings

    @property
    def name(self) -> str:
        """The folder name of the results: the profile, and the data set where it is not the phantom."""
        return self.profile if self.dataset == "phantom" else f"{self.profile}-{self.dataset}"

    @property
    def figures(self) -> Path:
        """Where figures, tables and executed notebooks go."""
        return Path(self.out_dir).resolve() if self.out_dir else paths.FIGURES / self.name

    def changed(self, **changes: Any) -> "Settings":
        """The same settings with some keys changed by dotted name, validated: `changed(**{"training.images": 256})`.

        Raises:
            ValueError: unknown key or wrong type.
        """
        return validate_settings(_override(self.model_dump(mode="json"), changes), where="changed settings")

    def deciding(self) -> dict[str, Any]:
        """The settings that can change a number, dotted name -> value: all but CHANGES_NOTHING and what is OFF."""
        told = flat(without_off(self.model_dump(mode="json")))
        return {name: value for name, value in told.items() if name not in CHANGES_NOTHING}

    @property
    def runs(self) -> Path:
        """Where trained weights and per-study results go (inside an explicit out_dir, else under runs/)."""
        return self.figures / "runs" if self.out_dir else paths.RUNS / f"{self.name}-seed{self.seed}"


def profile_names() -> list[str]:
    """Names of the profiles that ship with the library."""
    return sorted(p.stem for p in paths.PROFILES.glob("*.yaml"))


def load_settings(profile: str = "smoke", **overrides: Any) -> Settings:
    """Read a profile and override keys by (dotted) name.

    Raises:
        ValueError: unknown profile, unknown key or wrong type, with the key's name and what was expected.
    """
    path = paths.PROFILES / f"{profile}.yaml"
    if not path.is_file():
        raise ValueError(f"no profile {profile!r}; there are {', '.join(profile_names())}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: not readable as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path.name}: expected sections with settings, found {type(values).__name__}")
    changed = any(value is not None for value in overrides.values())
    return validate_settings(_override(values, overrides), where=f"{path.name}, changed" if changed else path.name)


def settings_of(told: dict) -> Settings:
    """The settings that a manifest of any age tells: what was not there yet is off (OFF), or else as in its profile today.

    Raises:
        ValueError: a profile or a setting that there is no more, or a wrong type.
    """
    return load_settings(told["profile"]).changed(**flat(with_off(told)))


def flat(values: dict, above: str = "") -> dict[str, Any]:
    """Nested settings as dotted name -> value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


def without_off(values: dict, above: str = "") -> dict:
    """Nested settings, for a hash: those of OFF that are off are left out, and sections in which nothing else stands."""
    found = {}
    for key, value in values.items():
        if isinstance(value, dict):
            if (inner := without_off(value, f"{above}{key}.")) or not value:
                found[key] = inner
        elif above + key not in OFF or value != OFF[above + key]:
            found[key] = value
    return found


def with_off(values: dict) -> dict:
    """Nested settings as they may have been written before a setting of OFF was there, with it filled in at that value."""
    values = deepcopy(values)
    for name, value in OFF.items():
        *above, key = name.split(".")
        section: Any = values
        for part in above:
            section = section.setdefault(part, {}) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.setdefault(key, value)
    return values


def _override(values: dict, changes: dict[str, Any]) -> dict:
    """Nested settings with some keys exchanged in place; raises ValueError for a name that is not there."""
    for dotted, value in changes.items():
        section, keys = values, dotted.split(".")
        for key in keys[:-1]:
            if not isinstance(section.get(key), dict):
                raise ValueError(f"unknown setting {dotted!r}: there is no section {key!r}")
            section = section[key]
        if keys[-1] not in section:
            raise ValueError(f"unknown setting {dotted!r}; here there are {', '.join(section)}")
        section[keys[-1]] = str(value) if isinstance(value, Path) else value
    return values


def validate_settings(values: dict, where: str = "settings") -> Settings:
    """Check a nested dict of settings, also one of an older manifest (OFF); see `load_settings` for the errors."""
    try:
        return Settings.model_validate(with_off(values))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']} (found {e.get('input')!r})" for e in error.errors()]
        raise ValueError(" ".join(f"{where}: {'; '.join(lines)}".split())) from None
