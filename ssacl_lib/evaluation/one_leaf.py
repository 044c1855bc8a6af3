"""`ssacl one-leaf`: with one leaf open, does the report name what lies there in this patient, and where? (ours)

Patients with exactly one focal opacity, in one zone of one lung, and decoders that see no entity text. Of the 25 leaves are open:

    own leaf                     the zone's leaf alone
    mirror leaf                  the same zone's on the other side alone
    leaf outside of the lungs    one of the others alone, drawn per patient
    no leaf                      the floor: patches alone; left out where these are closed, too, and nothing is seen
    all leaves                   the ceiling
    own leaf, another patient    the own leaf alone, on the film of a patient without any focal opacity

A prompt that is sight of its place names the finding behind the own leaf and not behind the mirror leaf. One that knows the
whole film names it behind both; a switch names behind the open leaf, whoever the patient is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .. import paths
from ..anatomy import default_graph, leaves_of
from ..datasets.phantom import body_maps
from ..datasets.registry import load_training
from ..metrics.intervals import mean_intervals
from ..model.build import load_model
from ..model.precision import autocast
from ..model.reporting import leaf_tokens, reports_from
from ..observations import FINDINGS, POSITIVE
from ..phantom import draw_signs, render
from ..record.manifest import atomic_write
from ..record.sources import code_behind, sha256_json
from ..settings import Settings
from ..text.labeler import label_array
from ..text.regions import placed_findings
from ..training.one_leaf import EARLY, LeafDecoder, kept_decoder
from ..training.sight import empty_text
from .inputs import device_of, pixels_of, weights_hash
from .probe import FOCAL, mirror_of
from .results import long_table

OWN, MIRROR, OUTSIDE, NONE, ALL, FOREIGN = CONDITIONS = (
    "own leaf", "mirror leaf", "leaf outside of the lungs", "no leaf", "all leaves", "own leaf, another patient",
)  # fmt: skip

SHIPPED = ("shipped", "faithful, patches open")
DECODERS = (
    SHIPPED,
    ("all", "faithful"),
    ("all", "looking"),
    ("by chance", "faithful"),
    ("by chance", "looking"),
    ("by chance", "everywhere"),
    ("by chance", EARLY),
)
"""(leaves open while the decoder learnt, prompts). The shipped one sees the patches, the others do not."""

SAID = ("named", "focal", "side", "zone", "other_side")
"""What a report does: names the finding, or some focal opacity; places one in the leaf's lung, in the leaf, in the other lung."""

PATIENTS = 1800
"""Test patients among whom those with one focal opacity are looked for."""

ABOUT = ["learnt", "prompts", "opened"]
CHUNK = 64


@dataclass(frozen=True)
class Asked:
    """A patient with one focal opacity: number, the finding, its leaf; and the number of another without any."""

    number: int
    finding: str
    leaf: str
    other: int


def one_leaf_file() -> Path:
    """The committed file."""
    return paths.DATA / "results" / "one_leaf.parquet"


def patients_asked(seed: int, count: int = PATIENTS) -> list[Asked]:
    """Those of the first `count` test patients who have one focal opacity, in one zone; each with the next one who has none."""
    found, free = [], []
    for number in range(count):
        focal = [sign for sign in draw_signs(seed, "test", number) if sign.finding in FOCAL]
        if not focal:
            free.append(number)
        elif len(focal) == 1 and focal[0].zone and focal[0].side in ("right", "left"):
            found.append((number, focal[0].finding, focal[0].regions[0]))
    after = np.searchsorted(free, [number for number, *_ in found])
    return [Asked(*known, free[int(k) % len(free)]) for known, k in zip(found, after, strict=True)]


def leaves_opened(condition: str, asked: Sequence[Asked], seed: int) -> np.ndarray:
    """Leaves [n, 25] bool that are open under a condition."""
    leaves = default_graph().leaves
    if condition in (NONE, ALL):
        return np.full((len(asked), len(leaves)), condition == ALL)
    outside = [leaf for leaf in leaves if leaf not in leaves_of("lungs")]
    opened = np.zeros((len(asked), len(leaves)), bool)
    for row, patient in enumerate(asked):
        drawn = outside[int(np.random.default_rng([seed, 53, patient.number]).integers(len(outside)))]
        leaf = {MIRROR: mirror_of(patient.leaf), OUTSIDE: drawn}.get(condition, patient.leaf)
        opened[row, leaves.index(leaf)] = True
    return opened


@torch.no_grad()
def reports_behind(
    decoder: LeafDecoder | None, model, images: np.ndarray, opened: Sequence[np.ndarray]
) -> list[list[str]]:
    """Reports of films [n, S, S], without entity text, once per array of open leaves [n, 25] bool.

    decoder: None for the model's own.
    """
    texts: list[list[str]] = [[] for _ in opened]
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        pixels = pixels_of(model, images[part])
        with autocast(model):
            tokens = leaf_tokens(model, pixels) if decoder is None else decoder.tokens(model, pixels)
            for told, leaves in zip(texts, opened, strict=True):
                if decoder is None:
                    told += reports_from(model, tokens, None, leaf_open=leaves[part])
                    continue
                processor, (begin, mask) = model.processor, empty_text(model, len(pixels))
                given = torch.from_numpy(leaves[part]).to(model.device)
                new = decoder.language.generate(
                    tokens, given, begin, mask, processor.newline, processor.pad, **model.config.generation
                )
                told += [processor.decode_report(row) for row in new]
    return texts


def what_is_said(texts: Sequence[str], asked: Sequence[Asked]) -> pd.DataFrame:
    """Per report the columns of SAID, bool."""
    graph, rows = default_graph(), np.arange(len(asked))
    focal = [FINDINGS.index(finding) for finding in FOCAL]
    states = label_array(list(texts))[:, 1:] == POSITIVE
    placed = placed_findings(texts)[0][:, :, focal].any(-1)
    sides = {
        side: placed[:, [graph.index(node) for node in (f"{side} lung", *leaves_of(f"{side} lung"))]].any(1)
        for side in ("right", "left")
    }
    right = np.array([patient.leaf.startswith("right") for patient in asked])
    return pd.DataFrame(
        {
            "named": states[rows, [FINDINGS.index(patient.finding) for patient in asked]],
            "focal": states[:, focal].any(1),
            "side": np.where(right, sides["right"], sides["left"]),
            "zone": placed[rows, [graph.index(patient.leaf) for patient in asked]],
            "other_side": np.where(right, sides["left"], sides["right"]),
        }
    )


def films_of(settings: Settings, numbers: Sequence[int]) -> np.ndarray:
    """Films [n, S, S] of test patients, by their numbers."""
    ranges = settings.data.phantom_ranges
    given = {"image_size": settings.data.image_size, "ranges": ranges, "maps": body_maps(settings)}
    return render(settings.seed, "test", numbers, **given).images


def measure_one_leaf(settings: Settings, patients: int = 1, weights: Path | None = None) -> Path:
    """Let the decoders write behind one leaf and keep what their reports say; the file.

    patients: seed of the test patients, whom no choice has seen. Decoders are trained where they are not in runs/sight.
    A decoder whose rows are there, made by the same code from the same weights, does not write again.
    """
    model = load_model(weights, str(device_of(settings))).eval().requires_grad_(False)
    hashed = weights_hash(model)
    made_from = sha256_json([code_behind(__name__), hashed, settings.deciding(), patients])
    path, films = one_leaf_file(), None
    for learnt, prompts in DECODERS:
        there = rows_there(path, made_from)
        if ((there["learnt"] == learnt) & (there["prompts"] == prompts)).any():
            continue
        if films is None:
            asked, train = patients_asked(patients), load_training(settings, "train")
            seeded = settings.changed(seed=patients)
            films = [films_of(seeded, [getattr(one, which) for one in asked]) for which in ("number", "other")]
        decoder = None
        if (learnt, prompts) != SHIPPED:
            folder = paths.RUNS / "sight" / f"{prompts}-{learnt}".replace(" ", "-")
            decoder = kept_decoder(folder, model, hashed, settings, train, prompts, learnt)
        about = {"learnt": learnt, "prompts": prompts, "patients": patients, "made_from": made_from}
        rows = rows_of(decoder, model, asked, films, patients).assign(**about)
        with atomic_write(path, "wb") as handle:
            pd.concat([there, rows] if len(there) else [rows], ignore_index=True).to_parquet(handle, index=False)
    return path


def rows_there(path: Path, made_from: str) -> pd.DataFrame:
    """What today's code has left in the committed file."""
    if not path.is_file():
        return pd.DataFrame(columns=[*ABOUT, "made_from"])
    return pd.read_parquet(path, filters=[("made_from", "==", made_from)])


def rows_of(decoder: LeafDecoder | None, model, asked: Sequence[Asked], films: Sequence, seed: int) -> pd.DataFrame:
    """One row per patient and condition: study, finding, leaf, opened, and the columns of SAID.

    films: [n, S, S] of the patients, and of the others who have no focal opacity.
    """
    conditions = [condition for condition in CONDITIONS if condition != NONE or decoder is None]
    own = [condition for condition in conditions if condition != FOREIGN]
    opened = {condition: leaves_opened(condition, asked, seed) for condition in conditions}
    texts = dict(zip(own, reports_behind(decoder, model, films[0], [opened[c] for c in own]), strict=True))
    texts[FOREIGN] = reports_behind(decoder, model, films[1], [opened[FOREIGN]])[0]
    about = pd.DataFrame(
        {
            "study": [f"test-{patient.number:06d}" for patient in asked],
            "finding": [patient.finding for patient in asked],
            "leaf": [patient.leaf for patient in asked],
        }
    )
    frames = [pd.concat([about.assign(opened=c), what_is_said(texts[c], asked)], axis=1) for c in conditions]
    return pd.concat(frames, ignore_index=True)


def one_leaf_table(settings: Settings) -> pd.DataFrame:
    """The table one_leaf: learnt, prompts, opened (condition), method, metric, value, low, high, n, seed.

    Metrics: the shares of reports that do what SAID tells, and "own leaf minus this" for each, paired by patient. settings: say
    how many resamplings. No rows where nothing was measured.
    """
    path = one_leaf_file()
    if settings.dataset != "phantom" or not path.is_file():
        print("one leaf at a time is measured on the phantom, by `ssacl one-leaf`; there is nothing to show here")
        return long_table([], ABOUT)
    return shares_told(pd.read_parquet(path), settings.evaluation.bootstrap)


def shares_told(frame: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """`one_leaf_table` of a frame with the columns of the committed file."""
    rows, seed = [], int(frame["patients"].iloc[0])
    for (learnt, prompts), part in frame.groupby(["learnt", "prompts"], sort=False):
        said = {opened: group.set_index("study")[list(SAID)].astype(float) for opened, group in part.groupby("opened")}
        for opened in [condition for condition in CONDITIONS if condition in said]:
            told = {name: said[opened][name] for name in SAID}
            if opened != OWN:
                told |= {f"{name}_own_minus_this": said[OWN][name] - said[opened][name] for name in SAID}
            values = pd.DataFrame(told)
            found = mean_intervals(values.to_numpy(), list(values.index), resamples, seed)
            about = {"learnt": learnt, "prompts": prompts, "opened": opened, "method": "shipped"}
            rows += [
                {**about, "metric": metric, "value": value, "low": low, "high": high, "n": len(values), "seed": seed}
                for metric, (value, low, high) in zip(values.columns, found, strict=True)
            ]
    return long_table(rows, ABOUT)
