"""Teach a frozen encoder to see how a film is placed: the head of SS-ACL+ (ours).

Training films are moved by poses that we draw, and the head learns to read the pose from the patch tokens. What it needs to
know of anatomy it has from the atlas of words; it sees no mask, box or coordinate.
"""

import shutil
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .. import paths
from ..datasets.registry import load_training
from ..model.chunks import BATCH
from ..model.look import LookHead, moved, random_poses
from ..model.network import SSACLNetwork
from ..model.precision import autocast
from ..model.start import load_network
from ..record.manifest import package_versions, portable_settings, read_json, write_json
from ..settings import Settings
from .state import save_model
from .words_atlas import WordsAtlas, words_atlas

FILMS, EPOCHS, FEWEST_STEPS, SIZE, RATE = 5000, 19, 100, 64, 1e-3
SHIFT, SCALE, DEGREES, UNMOVED = 0.15, 0.2, 15.0, 8
"""How far the films are moved (of the side; of 1; degrees), and one film in so many is not."""


@torch.no_grad()
def tokens_of_moved(
    model: SSACLNetwork, studies, rows: np.ndarray, theta: torch.Tensor, progress: bool
) -> torch.Tensor:
    """float16 patch tokens [n, N, D] of the studies' films after the poses theta [n, 2, 3]."""
    parts = []
    for start in tqdm(range(0, len(rows), BATCH), desc="moved films", disable=not progress, mininterval=2, leave=False):
        chosen = slice(start, start + BATCH)
        pixels = model.processor.normalise(studies.images(rows[chosen])).to(model.device)
        with autocast(model):
            patches = model.encoder(moved(pixels, theta[chosen].to(pixels))).patches
        parts.append(patches.to(torch.float16).cpu())
    return torch.cat(parts)


def fit_look(model: SSACLNetwork, studies, atlas: WordsAtlas, seed: int, progress: bool = True) -> SSACLNetwork:
    """Give the model a head that looks, trained on its frozen encoder; returns the same model, in eval mode.

    studies: training view with `.images(rows)`. atlas: of `words_atlas`.
    """
    model.eval()
    generator = np.random.default_rng([seed, 22])
    rows = np.sort(generator.permutation(len(studies))[:FILMS])
    theta = random_poses(rows, seed, SHIFT, SCALE, DEGREES)
    theta[::UNMOVED] = torch.eye(2, 3)
    tokens = tokens_of_moved(model, studies, rows, theta, progress)
    return learn_poses(model, tokens, theta, atlas, seed, generator, progress)


def learn_poses(
    model: SSACLNetwork,
    tokens: torch.Tensor,
    theta: torch.Tensor,
    atlas: WordsAtlas,
    seed: int,
    generator: np.random.Generator,
    progress: bool,
) -> SSACLNetwork:
    """Teach a head how films were moved, by patch tokens [n, N, D] and poses [n, 2, 3]; the model with it, in eval mode."""
    torch.manual_seed(seed)
    head = still_head(model, atlas)
    steps = max(FEWEST_STEPS, EPOCHS * len(theta) // SIZE)
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
    for _ in tqdm(range(steps), desc="learning to look", disable=not progress, mininterval=2, leave=False):
        part = torch.from_numpy(generator.choice(len(theta), min(SIZE, len(theta)), replace=False))
        loss = (head.theta(tokens[part].to(model.device)) - theta[part].to(model.device)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.add_look(head.eval())
    return model


def still_head(model: SSACLNetwork, atlas: WordsAtlas) -> LookHead:
    """A head that sees nothing yet: on every film the atlas lies as in the average one."""
    head = LookHead(model.config).to(model.device)
    torch.nn.init.zeros_(head.pose.weight)
    torch.nn.init.zeros_(head.pose.bias)
    head.atlas.copy_(atlas.maps)
    head.located.copy_(atlas.located)
    return head


def make_plus(weights: Path | None, settings: Settings, out: Path, command: str = "", half: bool = False) -> Path:
    """An SS-ACL+ from a checkpoint (None: the shipped one): the same weights and a head that looks, in `out` (may be the same).

    settings: whose training studies are read. half: weights as float16. The manifest gets a part "plus".
    """
    source, out = Path(weights or paths.SHIPPED_CHECKPOINT), Path(out)
    model = load_network(weights, "cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu")
    size = model.config.image_size
    if size != settings.data.image_size:
        raise ValueError(
            f"{source}: takes films of {size} px, and the profile {settings.profile} prepares {settings.data.image_size}; "
            f"name another profile, or --set data.image_size={size}"
        )
    started, studies = time.perf_counter(), load_training(settings, "train")
    model = fit_look(model, studies, words_atlas(studies), settings.seed)
    save_model(model.cpu(), out, torch.float16 if half else None)
    for name in ("history.csv", "README.md", "manifest.json"):
        if source.resolve() != out.resolve() and (source / name).is_file():
            shutil.copyfile(source / name, out / name)
    told = {
        "command": command,
        "settings": portable_settings(settings),
        "training_studies": len(studies),
        "seconds": round(time.perf_counter() - started),
        "versions": package_versions(),
    }
    write_json(out / "manifest.json", {**read_json(out / "manifest.json"), "plus": told})
    return out
