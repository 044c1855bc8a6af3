"""What a profile changes against the paper, measured: each change taken back alone, trained alike, scored alike.

Every variant is the profile with one choice exchanged, trained from the same seed for the same small number of images
(a start that is made here sees four times as many films before). Only validation studies are scored, because this is where
the recipe is chosen: the test studies stay unseen. A variant that changes the phantom is scored on films of its own kind.
Intervals are over studies (losses: over batches) of one training run, and say nothing of another seed.
"""

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import torch

from .. import paths
from ..datasets.registry import load_evaluation, load_training, source_for
from ..model.build import load_model
from ..record.manifest import atomic_write, package_versions, portable_settings, read_json, write_json
from ..record.sources import code_behind, sha256_file, sha256_json
from ..record.starts import local_folder
from ..settings import LossWeights, Settings, load_settings, without_off
from ..training.batches import TrainingBatches
from ..training.checkpoints import ensure_start, make_checkpoint, make_start
from .findings import evaluate_findings, finding_table
from .grounding import MAPS, evaluate_phrases, phrase_table
from .inputs import device_of
from .results import ENDING, long_table, mean_rows

FOLDER = paths.CHECKPOINTS / "recipe"
SPIKES = FOLDER / "spikes.csv"  # made by benchmarks/spikes.py
STUDIES = 150  # validation studies behind every AUC and map
START_IMAGES = 4  # a start made here sees so many times the images of a variant
TERMS = ("report_generation", "global_contrastive")
METRICS = ("pointing", "cnr_own_minus_swapped")
COLUMNS = ("variant", "images", *ENDING)

MADE_HERE = "a masked autoencoder made here"
VARIANTS: dict[str, dict[str, object]] = {
    "no start": {"model.encoder_weights": None},
    "masked autoencoder start": {"model.encoder_weights": MADE_HERE},
    "linear patch stem, no start": {"model.stem": "patch", "model.encoder_weights": None},
    "first token pooled": {"model.text_pooling": "cls_tanh"},
    "contrast at weight 0.15": {"training.loss_weights.global_contrastive": 0.15},
    "temperature 0.03": {"training.temperature": 0.03},
    "batch 64": {"training.batch_size": 64},
    "full phantom ranges": {"data.phantom_ranges": 1.0},
}
"""Name -> settings that differ from the profile's (one choice each; a start fits only the stem it was made with)."""

AUTOENCODER = {
    f"training.loss_weights.{name}": float(name == "image_reconstruction") for name in LossWeights.model_fields
}


def measure_recipe(
    profile: str = "cpu", images: int = 12000, only: Sequence[str] = (), out: Path | None = None
) -> pd.DataFrame:
    """Train and score the variants of a profile; `recipe.csv` and `manifest.json` in `out` are written after each.

    only: names of variants (default: all). A variant that is finished with the same settings, films and start is read
    from its folder below `runs/recipe`; one that was killed goes on from its last checkpoint.

    Returns the long table: variant, images, method, metric, value, low, high, n, seed.

    Raises:
        ValueError: `only` names no variant of this profile.
        FileNotFoundError: the profile starts from weights that are not there.
    """
    known, out = variants(profile), Path(out or FOLDER)
    for name in only:
        if name not in known:
            raise ValueError(f"no variant {name!r} of the profile {profile}; there are: {'; '.join(known)}")
    ensure_start(load_settings(profile))
    if start := load_settings(profile).model.encoder_weights:
        local_folder(start)
    for name in only or known:
        print(f"recipe: {name}")
        measure(name, variant_settings(profile, images, known[name], make=True))
        frame = write_results(profile, images, known, out)
    return frame


def variants(profile: str) -> dict[str, dict[str, object]]:
    """Name -> overrides of the profile itself and of every variant that differs from it (and from the ones before)."""
    plain, found = load_settings(profile), {f"as in {profile}": {}}
    for name, overrides in VARIANTS.items():
        changes = {key: value for key, value in overrides.items() if attrgetter(key)(plain) != value}
        if changes not in found.values():
            found[name] = changes
    return found


def variant_settings(profile: str, images: int, overrides: dict, make: bool = False) -> Settings:
    """The profile at `images` images with its overrides; `make` trains the masked autoencoder where they ask for it."""
    plain = load_settings(profile)
    small = {
        "training.images": images,
        "training.warmup_images": min(plain.training.warmup_images, images // 5),
        "training.checkpoint_images": max(1, images // 4),
        "data.train_studies": max(8, min(plain.data.train_studies, images)),
        "evaluation.control_studies": 2,  # the shifted control is not shown here
    }
    if overrides.get("model.encoder_weights") == MADE_HERE:
        films = variant_settings(profile, START_IMAGES * images, {**AUTOENCODER, "model.encoder_weights": None})
        start = run_folder("start by masked autoencoder", films)
        if make and not (start / "encoder.safetensors").is_file():
            make_start(films, start, "ssacl recipe")
        inside = start.is_relative_to(paths.ROOT)
        overrides = {
            **overrides,
            "model.encoder_weights": start.relative_to(paths.ROOT).as_posix() if inside else str(start),
        }
    return load_settings(profile, **small, **overrides)


def run_folder(name: str, settings: Settings) -> Path:
    """Where a run lies: named by what it is and by all that decides it, so that no run meets the files of another."""
    start = paths.ROOT / (settings.model.encoder_weights or "") / "encoder.safetensors"
    start_hash = sha256_file(start) if settings.model.encoder_weights and start.is_file() else None
    decides = [without_off(portable_settings(settings)), source_for(settings, "train").fingerprint, start_hash]
    return paths.RUNS / "recipe" / f"{name.replace(',', '').replace(' ', '-')}-{sha256_json(decides)[:8]}"


def measure(name: str, settings: Settings) -> None:
    """Train, fit the head and score; leaves `result.json` (rows and what made them) in the run's folder, once."""
    folder = run_folder(name, settings)
    if (folder / "result.json").is_file():
        return
    make_checkpoint(settings, folder / "model", "ssacl recipe")
    model = load_model(folder / "model", device_of(settings))
    rows = score(model, settings, folder).to_dict("records")
    write_json(
        folder / "result.json",
        {
            "rows": rows,
            "films": source_for(settings, "train").fingerprint,
            "seconds of training": read_json(folder / "model" / "manifest.json")["seconds"],
            "code": code_behind(__name__),
        },
    )


def score(model, settings: Settings, folder: Path) -> pd.DataFrame:
    """Long rows of a model: AUC of its head, both maps on phrases, losses; validation studies only."""
    studies = load_evaluation(settings, "validation", limit=STUDIES)
    run = SimpleNamespace(settings=settings, runs=folder)
    auc = finding_table(evaluate_findings(run, {"head": model}, studies), settings)
    phrases = phrase_table(evaluate_phrases(run, {"model": model}, studies, MAPS), settings)
    own = phrases[(phrases["method"] == "model") & (phrases["control"] == "own") & (phrases["finding"] == "overall")]
    tables = (
        auc[auc["finding"] == "mean of findings"],
        own[own["metric"].isin(METRICS)].assign(method=own["map"] + " map"),
        validation_losses(model, settings),
    )
    return pd.concat([table[list(ENDING)] for table in tables], ignore_index=True)


@torch.no_grad()
def validation_losses(model, settings: Settings) -> pd.DataFrame:
    """Two terms on the validation studies, in batches of the profile's size for every variant; n counts batches."""
    size = load_settings(settings.profile).training.batch_size  # a contrast among more reports is another number
    alike = settings.changed(**{"training.batch_size": size})
    studies = load_training(settings, "validation")
    batches = TrainingBatches(alike, studies, model.processor, max(1, len(studies) // size), shuffle=False)
    found = []
    for number in range(len(batches)):
        terms = model(batches[number].to(model.device), settings.training.mask_ratio, settings.training.mixing, TERMS)
        found.append({term: float(terms[term]) for term in TERMS})
    return long_table(mean_rows({"method": "loss"}, pd.DataFrame(found), range(len(found)), settings), [])


def write_results(profile: str, images: int, known: dict, out: Path) -> pd.DataFrame:
    """Collect every finished variant of these settings into `recipe.csv` and `manifest.json`; returns the table."""
    frames, told = [], {}
    for name, overrides in known.items():
        settings = variant_settings(profile, images, overrides)
        result = read_json(run_folder(name, settings) / "result.json")
        if result:
            frames.append(pd.DataFrame(result.pop("rows")).assign(variant=name, images=images))
            told[name] = {"overrides": overrides, **result}
    frame = pd.concat(frames, ignore_index=True)[list(COLUMNS)]
    with atomic_write(out / "recipe.csv") as handle:
        frame.to_csv(handle, index=False, float_format="%.6g", lineterminator="\n")
    plain = variant_settings(profile, images, {})
    write_json(
        out / "manifest.json",
        {
            "command": f"ssacl recipe --profile {profile} --images {images}",
            "settings": portable_settings(plain),
            "seed": plain.seed,
            "versions": package_versions(),
            "variants": told,
        },
    )
    if len({variant["code"] for variant in told.values()}) > 1:
        print("recipe: the variants were made by different versions of the code (see manifest.json)")
    return frame


def recipe_rows(folder: Path | None = None) -> pd.DataFrame:
    """The measured recipe as it was written, one row per variant and number; none there: no rows and one line.

    folder: where `recipe.csv` lies (default: the one that comes with the repository).
    """
    path = Path(folder or FOLDER) / "recipe.csv"
    if not path.is_file():
        print("the recipe is not measured yet: `ssacl recipe`")
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_csv(path)


def recipe_table(folder: Path | None = None) -> pd.DataFrame:
    """`recipe_rows` with one row per variant and one column per number, as text "value [low, high]"."""
    frame = recipe_rows(folder)
    if not len(frame):
        return pd.DataFrame(columns=["variant"])
    frame["number"] = frame["method"] + ": " + frame["metric"].str.replace("_", " ")
    frame["cell"] = [f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, a, b in frame[["value", "low", "high"]].to_numpy(float)]
    wide = frame.pivot_table(index="variant", columns="number", values="cell", aggfunc="first", sort=False)
    return wide[list(dict.fromkeys(frame["number"]))].rename_axis(columns=None).fillna("–").reset_index()


def spike_table() -> pd.DataFrame | None:
    """What `benchmarks/spikes.py` measured, one row per rate and step; None where it has not."""
    return pd.read_csv(SPIKES) if SPIKES.is_file() else None
