"""`ssacl randomise`: what does domain randomisation of the moved films bring to SS-ACL+, on real films above all? (ours)

The head that reads how a film lies is fitted anew on the frozen encoder of a checkpoint: without disturbances ("none"), with
each family of `training/randomise.py` alone, and with all. Each head is scored on phantom patients of the validation
split, as they are and moved, and on a folder of real films with boxes. Beside them "no film": the atlas where it lies on average.

On real films every node of the graph that a folder's boxes name is scored as in `films.py`. Where the lungs are boxed and the
zones are not, a zone's region is a third of its lung's box: upper, middle, lower. That is coarser than a reader's zone.

Real films are scored, never learnt from, and no strength of a family was chosen by them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from .. import paths
from ..anatomy import default_graph
from ..datasets.folder import SPLITS, read_studies
from ..datasets.registry import load_evaluation, load_training
from ..model.build import load_model
from ..model.chunks import chunks
from ..model.look import LookHead
from ..model.maps import anatomy_maps_of_pixels
from ..record.kept import keep
from ..record.manifest import atomic_write
from ..record.sources import code_behind, sha256_json
from ..settings import Settings
from ..training.look import FILMS, still_head
from ..training.randomise import FAMILIES, fit_randomised
from ..training.state import write_tensors
from ..training.words_atlas import WordsAtlas
from .anatomy_grounding import CHUNK, node_scores
from .films import REGIONS
from .inputs import device_of, pixels_of, weights_hash
from .moved_studies import MovedStudies
from .results import cached, long_table, mean_rows, results_key

RESULTS = paths.DATA / "results" / "randomisation.csv"
NO_FILM, NONE, ALL, THIRD = "no film", "none", "all", "all, each in a third"
VARIANTS = {
    NO_FILM: None,
    NONE: (),
    **{name: (name,) for name in FAMILIES},
    ALL: tuple(FAMILIES),
    THIRD: tuple(FAMILIES),
}
"""Rows of the table -> families of disturbances; None: nothing is fitted, the atlas lies where it lies on average.

"all" disturbs every film in all ways at once; in "all, each in a third" a family disturbs a third of the films (`SHARES`).
"""

SHARES = {THIRD: 1 / 3}

AS_IS, MOVED, REAL = "phantom as is", "phantom moved", "real"
ZONES = tuple(f"{side} {height} lung zone" for side in ("right", "left") for height in ("upper", "mid", "lower"))
SMALL = ("right clavicle", "left clavicle", "cardiac silhouette")
PATIENTS = 200
"""Phantom patients of the validation split."""

SCORES = ["pointing", "cnr", "pointing_swapped_side", "cnr_swapped_side"]
COLUMNS = ("families", "films", "node", "metric", "value", "low", "high", "n", "seed", "fitted_on")


def measure_randomisation(
    settings: Settings,
    films: Path | None = None,
    weights: Path | None = None,
    only: Sequence[str] = (),
    out: Path | None = None,
    fitted_on: int = FILMS,
) -> pd.DataFrame:
    """Fit and score the heads, write `data/results/randomisation.csv` (or `out`) and return it: the columns COLUMNS.

    Args:
        settings: a profile's, for its training and validation studies of the phantom.
        films: folder of real films with region_boxes.csv. None: their rows stay as they were measured before.
        weights: checkpoint with a head that looks, whose encoder and atlas are taken (default: the shipped one).
        only: these variants only ("none" is always there, as what the others are compared with).
        fitted_on: so many training films at most.

    Each variant is written when it is done; started again, finished heads are not fitted twice.

    Raises:
        ValueError: an unknown variant, a checkpoint without a head that looks, or a folder without boxes.
    """
    if unknown := [name for name in only if name not in VARIANTS]:
        raise ValueError(f"no variant {unknown[0]!r}; there are {', '.join(VARIANTS)}")
    model, path = load_model(weights, str(device_of(settings))), Path(out or RESULTS)
    if model.look is None:
        raise ValueError(f"{weights}: no head that looks in this checkpoint; `ssacl plus` adds one")
    atlas = WordsAtlas(model.look.atlas.clone(), model.look.located.clone(), model.look.located.long())
    sets = {AS_IS: list(load_evaluation(settings, "validation", PATIENTS))}
    sets[MOVED] = list(MovedStudies(sets[AS_IS], settings.seed))
    if films is not None:
        sets[REAL] = real_films(films, settings)
    keys = {name: results_key(studies, settings, __name__) for name, studies in sets.items()}
    make = head_maker(model, weights_hash(model), atlas, settings, fitted_on)
    plain: dict[str, pd.DataFrame] = {}
    for variant in [NONE, *(name for name in VARIANTS if name != NONE and (not only or name in only))]:
        model.add_look(make(variant))
        key = {"weights": weights_hash(model)}
        rows: list[dict] = []
        for name, studies in sets.items():
            scores = cached(
                paths.RUNS / "randomise",
                f"scores {name} {variant}",
                {**keys[name], **key},
                lambda s=studies, n=name, v=variant: score(model, s, f"{v}: {n}"),
            )
            plain.setdefault(name, scores)
            rows += rows_of({"families": variant, "films": name}, scores, plain[name], settings)
        update(path, pd.DataFrame(rows).assign(fitted_on=0 if variant == NO_FILM else fitted_on))
    return pd.read_csv(path)


def head_maker(model, origin: str, atlas: WordsAtlas, settings: Settings, fitted_on: int) -> Callable[[str], LookHead]:
    """A function from a variant to its head, fitted where it is not kept yet. origin: hash of the model as it was read."""
    studies = load_training(settings, "train")

    def make(variant: str) -> LookHead:
        families = VARIANTS[variant]
        if families is None:
            return still_head(model, atlas).eval()

        share = SHARES.get(variant, 1.0)

        def fit(folder: Path) -> None:
            fit_randomised(model, studies, atlas, settings.seed, families, fitted_on, share)
            write_tensors(folder / "look.safetensors", model.look.state_dict())

        parts = {
            "the model": origin,
            "the studies": sha256_json([studies.folder.name, len(studies)]),
            "the families": " ".join(families),
            "the share": str(share),
            "the films": str(fitted_on),
            "the seed": str(settings.seed),
            "the code": code_behind("training.randomise"),
        }
        folder = keep(paths.RUNS / "randomise" / f"look_{variant.replace(',', '').replace(' ', '_')}", parts, fit)
        head = LookHead(model.config)
        head.load_state_dict(load_file(folder / "look.safetensors"))
        return head.to(model.device).eval()

    return make


def real_films(folder: Path, settings: Settings) -> list:
    """All films of a folder that have boxes of anatomies, of every split, with zones where there are lungs.

    Raises:
        ValueError: not a single box. What else the folder lacks, its reader says.
    """
    settings = settings.changed(dataset="folder", data_root=str(Path(folder).resolve()))
    there = set(read_studies(folder, settings.seed)["split"])
    studies = [study for split in SPLITS if split in there for study in load_evaluation(settings, split)]
    boxed = [with_zones(study) for study in studies if study.regions]
    if not boxed:
        raise ValueError(f"{folder}: no box of an anatomy; region_boxes.csv needs image, region, x, y, w, h")
    return boxed


def with_zones(study):
    """The study with a third of each lung's box as each of its zones, unless the zone has a region of its own."""
    zones = {}
    for side in ("right", "left"):
        lung = study.regions.get(f"{side} lung")
        if lung is None or not lung.any():
            continue
        rows = np.flatnonzero(lung.any(1))
        for part, height in zip(np.array_split(rows, 3), ("upper", "mid", "lower"), strict=True):
            if len(part):
                zones[f"{side} {height} lung zone"] = lung & np.isin(np.arange(len(lung)), part)[:, None]
    return replace(study, regions={**zones, **study.regions})


def score(model, studies: Sequence, title: str) -> pd.DataFrame:
    """Pointing and CNR of every node's map in every study, and of the other side's map where there is one."""
    nodes, rows = list(default_graph().nodes), []
    other = [nodes.index(name) if (name := swapped(node)) in nodes else k for k, node in enumerate(nodes)]
    sided = [node for node in nodes if swapped(node) in nodes]
    for part in chunks(len(studies), CHUNK, title):
        chosen = studies[part]
        pixels = pixels_of(model, np.stack([study.image for study in chosen]))
        maps = anatomy_maps_of_pixels(model, pixels, nodes, "plus").float().cpu().numpy()
        for study, own in zip(chosen, maps, strict=True):
            frame, foreign = node_scores(study, own), node_scores(study, own[other])
            for metric in ("pointing", "cnr"):
                frame[f"{metric}_swapped_side"] = foreign[metric].where(frame["node"].isin(sided))
            rows.append(frame.assign(patient=study.patient_id))
    found = pd.concat(rows, ignore_index=True)
    found[["cnr", "cnr_swapped_side"]] = found[["cnr", "cnr_swapped_side"]].clip(-100, 100)
    return found[["study", "patient", "node", *SCORES]]


def swapped(node: str) -> str | None:
    """The name of the same anatomy on the other side; None for one without a side."""
    for side, other in (("right ", "left "), ("left ", "right ")):
        if node.startswith(side):
            return other + node.removeprefix(side)
    return None


def rows_of(about: dict, scores: pd.DataFrame, plain: pd.DataFrame, settings: Settings) -> list[dict]:
    """Long rows of one variant on one kind of films: means of groups of nodes and single nodes, and what they are above `plain`.

    plain: the scores of "none" on the same films. Intervals resample patients; differences are paired by film and node.
    """
    paired = scores.merge(plain, on=["study", "patient", "node"], suffixes=("", "_plain"), validate="1:1")
    for metric in ("pointing", "cnr"):
        paired[f"{metric}_minus_none"] = paired[metric] - paired[f"{metric}_plain"]
    differences = [] if about["families"] == NONE else ["pointing_minus_none", "cnr_minus_none"]
    groups = {"mean of both lungs": REGIONS, "mean of zones": ZONES}
    if about["films"] == REAL:
        singles = [node for node in default_graph().nodes if (paired["node"] == node).any()]
    else:
        groups, singles = {"mean of leaves": default_graph().leaves, **groups}, [*REGIONS, *SMALL]
    rows = []
    for name, members in {**groups, **{node: (node,) for node in singles}}.items():
        metrics = (SCORES[:2] if name == "mean of leaves" else SCORES) + differences
        chosen = paired[paired["node"].isin(members)]
        means = chosen.groupby("study", sort=False).agg({"patient": "first", **dict.fromkeys(metrics, "mean")})
        rows += mean_rows({**about, "node": name}, means[metrics], means["patient"].tolist(), settings)
    return rows


def update(path: Path, measured: pd.DataFrame) -> None:
    """Write the table: what was measured now, and rows of other variants and films as they were."""
    if path.is_file():
        before = pd.read_csv(path)
        done = pd.MultiIndex.from_frame(measured[["families", "films"]])
        kept = before[~pd.MultiIndex.from_frame(before[["families", "films"]]).isin(done)]
        measured = pd.concat([kept, measured], ignore_index=True)
    order = pd.DataFrame(
        {"a": measured["families"].map(list(VARIANTS).index), "b": measured["films"].map([AS_IS, MOVED, REAL].index)}
    )
    measured = measured.loc[order.sort_values(["a", "b"], kind="stable").index, list(COLUMNS)]
    with atomic_write(path) as handle:
        measured.to_csv(handle, index=False, float_format="%.6g", lineterminator="\n")


def randomisation_table(path: Path | None = None) -> pd.DataFrame:
    """What was measured, as rows for `write_table` with the variant as method; no rows where nothing was."""
    path, first = Path(path or RESULTS), ("families", "films", "node", "fitted_on")
    if not path.is_file():
        print("domain randomisation was not measured: `ssacl randomise --films DIR`")
        return long_table([], first)
    table = pd.read_csv(path)
    return long_table(table.assign(method=table["families"]).to_dict("records"), first)
