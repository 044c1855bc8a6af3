"""The encoders whose use is measured, their weights, and the one place that makes features of films.

Those of the comparison are trained (or read) by `ssacl ablation`'s own code: nothing is trained twice. Beside them stand a
supervised network, which was told every finding of every training patient and so is an upper bound, and any vision model of
transformers, or checkpoint of ours, by path.

Features, of every encoder:
    pooled   [n, D]     mean over the patch tokens, as in L_cl (CLS takes no part); of an outside model its own picture vector
    patches  [n, P, D]  patch tokens after the last LayerNorm, row by row of the grid
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from .. import paths
from ..baselines.outside import VisionModel, content_of, load_outside, located
from ..baselines.registry import CENTRAL, SSACL, Method, method_of
from ..baselines.small_cnn import SmallCNN, train_cnn
from ..datasets.registry import load_training
from ..evaluation.comparison_run import SEEDS, Run, seeded
from ..evaluation.comparison_scores import trained
from ..evaluation.difficulty import truth_of
from ..evaluation.inputs import device_of
from ..model.precision import autocast
from ..model.ssacl import SSACLModel
from ..phantom.frozen import VERSION
from ..record.kept import keep, made_from
from ..record.sources import code_behind, sha256_json
from ..settings import Settings
from ..training.state import write_tensors

UNTRAINED, START, SUPERVISED, PLUS = "untrained", "start", "supervised CNN", "SS-ACL+ from the start"
"""PLUS: prompts looked while the encoder was trained. (SS-ACL+ itself is a head on a frozen encoder: that encoder's features.)"""

METHOD_OF = {
    UNTRAINED: "untrained",
    START: "start",
    "masked autoencoder": "masked autoencoder",
    "contrast only": "contrast only",
    "MaCo-like": "MaCo-like",
    "GLoRIA-like": "GLoRIA-like",
    SSACL: SSACL,
    PLUS: "looking prompts from the start",
}
"""Encoder -> its method of the comparison (baselines/registry.py), in the order of the tables."""

VARIANTS = (
    "L_ir + L_cl + L_lm",
    "without L_ir",
    "without L_ar",
    "without L_ac",
    "without L_lm",
    "report labels as a term",
)
"""Of SS-ACL, by their names in the comparison: asked where a task wants to know which loss does what, and only once trained."""

WITHOUT_TEXT = ("masked autoencoder", SUPERVISED)
"""No loss of theirs ties a film to a text."""

BATCH = 64


@dataclass(frozen=True)
class Encoder:
    """One encoder with one training seed.

    settings: the profile's, whatever data it is asked about. path: of an outside model: a folder, or a name on the hub.
    content: of an outside model whose rows are read: the hash that they were made by; its folder need not be here.
    """

    name: str
    seed: int
    settings: Settings
    path: str | None = None
    content: str | None = None

    @property
    def method(self) -> Method | None:
        """Its method of the comparison; None of the supervised network and of models from outside."""
        name = self.name if self.name in VARIANTS else METHOD_OF.get(self.name)
        return method_of(name) if self.path is None and name else None

    @property
    def title(self) -> str:
        """As a person says it."""
        return f"{self.name}, seed {self.seed}"

    @property
    def place(self) -> str:
        """Its folder below those of a task's results."""
        slug = "".join(letter if letter.isalnum() else "-" for letter in self.name.lower()).strip("-")
        slug = "ss-acl-plus" if self.name == PLUS else slug  # a folder's name outlives a row's
        return f"{'outside-' if self.path else ''}{slug}/seed{self.seed}"

    @property
    def shown_path(self) -> str | None:
        """Its path without folders of this machine: a folder of the repository from there, of another its name alone."""
        if self.path is None or not Path(self.path).is_dir():
            return self.path
        folder = Path(self.path).resolve()
        return folder.relative_to(paths.ROOT).as_posix() if folder.is_relative_to(paths.ROOT) else folder.name

    @property
    def central(self) -> bool:
        """Was it trained with several seeds?"""
        return self.method is not None and self.method.group == CENTRAL

    @property
    def annotated(self) -> bool:
        """Was it trained on the truth of films?"""
        return self.name == SUPERVISED

    @property
    def ours(self) -> bool:
        """SS-ACL or a variant of it, so never its rival."""
        return self.method is not None and self.method.ours

    @cached_property
    def has_text(self) -> bool:
        """Can films be compared with texts?"""
        return self.name not in WITHOUT_TEXT and (self.path is None or can_read(self.model()))

    @property
    def run(self) -> Run | None:
        """The run of the comparison that trains it."""
        return Run(self.method, self.seed, at_home(self.settings)) if self.method else None

    @property
    def is_trained(self) -> bool:
        """Are there weights of a run of the comparison? (No word on whether today's code would make them so.)"""
        return self.run is not None and made_from(self.run.weights / "model") is not None

    @property
    def weights(self) -> Path:
        """Folder of its weights; a process that works on this encoder holds the lock in it."""
        return self.run.weights if self.run else runs_folder(self.settings) / self.place

    @cached_property
    def recipe(self) -> str:
        """Hash of all that decides its weights but the code."""
        if self.run:
            return self.run.recipe
        if self.path:
            return self.content or content_of(self.path)
        home = at_home(self.settings)
        return sha256_json([home.data.model_dump(), home.evaluation.cnn_images, self.seed, home.seed, VERSION])

    def model(self):
        """The model with its weights, in eval mode; the last one stays in memory."""
        return _model_of(self)


def variants(settings: Settings) -> list[Encoder]:
    """SS-ACL's variants, one seed each, whether they are trained or not."""
    return [Encoder(name, settings.seed, settings) for name in VARIANTS]


def at_home(settings: Settings) -> Settings:
    """The settings by which encoders are trained: on the phantom, whatever films they are then asked about."""
    if settings.dataset == "phantom":
        return settings
    return settings.changed(dataset="phantom", data_root=None)


def runs_folder(settings: Settings) -> Path:
    """Where weights that are no run of the comparison lie."""
    return (
        (settings.figures / "runs" if settings.out_dir else paths.RUNS)
        / "downstream"
        / seeded(settings.profile, settings)
    )


def planned(settings: Settings, outside: Sequence[str] = ()) -> list[Encoder]:
    """All encoders, the first seed of each first. outside: models of transformers by path or name.

    Raises:
        ValueError: two outside models of one name.
    """
    first = [Encoder(name, settings.seed, settings) for name in (*METHOD_OF, SUPERVISED)]
    named = [Encoder(Path(path).name, 0, settings, path) for path in map(located, outside)]
    if len({encoder.place for encoder in named}) < len(named):
        raise ValueError("two of the outside encoders have the same name; rename the folder of one")
    more = [
        Encoder(encoder.name, encoder.seed + k, settings)
        for k in range(1, SEEDS)
        for encoder in first
        if encoder.central
    ]
    return first + named + more


@lru_cache(maxsize=1)
def _model_of(encoder: Encoder):
    device = device_of(encoder.settings)
    if encoder.run:
        return trained(encoder.run)[0]
    if encoder.path:
        return load_outside(encoder.path, str(device))
    return _supervised(encoder).to(device)


def _supervised(encoder: Encoder) -> SmallCNN:
    """The supervised network, trained on the truth of the training patients and kept with the other weights."""
    settings = at_home(encoder.settings)
    train = load_training(settings, "train")
    parts = {
        "the recipe": encoder.recipe,
        "the studies": train.folder.name,
        "the code": code_behind(SmallCNN.__module__),
    }

    def fit(out: Path) -> None:
        truth = truth_of(settings.seed, "train", len(train))
        model = train_cnn(train.images, truth, settings.evaluation.cnn_images, encoder.seed, device_of(settings))
        plain = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        write_tensors(out / "network.safetensors", plain)

    model = SmallCNN()
    model.load_state_dict(load_file(keep(encoder.weights / "model", parts, fit) / "network.safetensors"))
    return model.eval()


# ---- films in, features out
def tokens_of(model, images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Pooled vector [B, D] and patch tokens [B, P, D] of a batch of films [B, S, S] uint8, with gradient where it is on.

    D of the two may differ: an outside model may have a picture vector of its own.
    """
    if isinstance(model, SmallCNN):
        patches = _maps(model, images).flatten(2).transpose(1, 2)
        return patches.mean(1), patches
    if isinstance(model, VisionModel):
        return model.tokens(images)
    pixels = model.processor.normalise(images).to(model.device)
    with autocast(model):
        patches = model.encoder(pixels).patches
    patches = patches.float()
    return patches.mean(1), patches


def _maps(model: SmallCNN, images: np.ndarray) -> torch.Tensor:
    """The supervised network's last maps [B, D, G, G]."""
    device = next(model.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device).float() / 255 - 0.5
    return model.body[:-1](pixels[:, None].contiguous(memory_format=torch.channels_last))


def features(encoder: Encoder, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pooled [n, D] and patch tokens [n, P, D'], float32, of films [n, S, S] uint8; for as many as memory holds."""
    model = encoder.model().eval()
    with torch.no_grad():
        parts = [tokens_of(model, images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    pooled, patches = (torch.cat(part).float().cpu().numpy() for part in zip(*parts, strict=True))
    return pooled, patches


def pooled_features(encoder: Encoder, films: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Pooled [n, D] of many films, of which a batch at a time is in memory; films(rows) -> [k, S, S] uint8."""
    model = encoder.model().eval()
    with torch.no_grad():
        parts = [tokens_of(model, films(rows[i : i + BATCH]))[0].float().cpu() for i in range(0, len(rows), BATCH)]
    return torch.cat(parts).numpy()


# ---- films and texts in one space
def can_read(model) -> bool:
    """Does a model have a text side?"""
    return isinstance(model, SSACLModel) or getattr(model, "clip", None) is not None


def image_vectors(encoder: Encoder, images: np.ndarray) -> np.ndarray:
    """Vectors [n, Dt] of films in the space of texts, not normalised, in full precision: for comparing, never for speed."""
    model = encoder.model().eval()
    if isinstance(model, VisionModel):
        own = model.text_space_vectors
    else:

        def own(films):
            return model.image_embedding(model.processor.normalise(films).to(model.device))

    with torch.no_grad():
        return torch.cat([own(images[i : i + BATCH]).float().cpu() for i in range(0, len(images), BATCH)]).numpy()


def text_vectors(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """Vectors [t, Dt] of texts in the space of films, not normalised."""
    model = encoder.model().eval()
    own = model.text_vectors if isinstance(model, VisionModel) else model.text_embedding
    with torch.no_grad():
        parts = [own(list(texts[i : i + BATCH])).float().cpu() for i in range(0, len(texts), BATCH)]
    return torch.cat(parts).numpy()
