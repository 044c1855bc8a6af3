"""SS-ACL+ beside its rivals: where do prompts that look point, on films as they are and on moved ones? (ours)

On films as they are an atlas that never looks does as well, for patients are positioned alike. So every film is scored a second
time, shifted, scaled and turned with its masks: there a remembered position fails and sight does not. Beside the maps of
SS-ACL+ stand

    the same head on other encoders    what words and moved films bring without SS-ACL's own terms
    words atlas                        the same atlas without a film
    words atlas, shuffled reports      reports of other patients: what is left is no reading
    text template                      a reader's guess from the name alone (baselines/text_template.py)
    mean-mask atlas                    mean of the true masks of training patients, as it is and one number per patch: needs
                                       annotations
    oracle                             the own mask, one number per patch: the ceiling of this grid; needs annotations
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from tqdm import tqdm

from .. import paths
from ..anatomy import default_graph
from ..baselines.text_template import text_templates
from ..datasets.registry import load_evaluation, load_training
from ..metrics.grounding import centre_prior
from ..model.look import LookHead
from ..model.maps import anatomy_maps_of_pixels
from ..record.kept import keep
from ..record.sources import code_behind, sha256_json
from ..training.look import fit_look
from ..training.state import write_tensors
from ..training.words_atlas import WordsAtlas, words_atlas
from .anatomy_grounding import AS_THEY_ARE, CHANCE, CHUNK, COLUMNS, MOVED, POOLED, PRIOR, attention_scores, node_scores
from .grounding import patches_along
from .inputs import pixels_of, test_studies, weights_hash
from .moved_studies import MovedStudies
from .results import cached, results_key

WORDS, SHUFFLED, TEMPLATE, MEAN_MASK = (
    "words atlas",
    "words atlas, shuffled reports",
    "text template",
    "mean-mask atlas",
)
ANNOTATED_MAPS = (MEAN_MASK, "oracle")
"""Beginnings of the names of what needs annotations; the rest is the grid."""

ANNOTATED = 500
"""Training patients whose masks make the mean-mask atlas."""


def atlas_of(run, shuffled: bool = False) -> WordsAtlas:
    """The words atlas of the run's training studies, kept under its folder; shuffled: with the reports of other patients."""
    studies = load_training(run.settings, "train")
    name = "words_atlas_shuffled" if shuffled else "words_atlas"
    parts = {
        "the studies": sha256_json([studies.folder.name, len(studies)]),
        "the seed": str(run.settings.seed),
        "the code": code_behind(__name__),
    }

    def make(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        reports = studies.reports
        if shuffled:
            order = np.random.default_rng([run.settings.seed, 41]).permutation(len(reports))
            reports = [reports[k] for k in order]
        atlas = words_atlas(SimpleNamespace(reports=reports, images=studies.images))
        write_tensors(folder / "atlas.safetensors", vars(atlas))

    return WordsAtlas(**load_file(keep(Path(run.runs) / name, parts, make) / "atlas.safetensors"))


def with_look(run, models: dict) -> dict:
    """Copies of the models with a head that looks, by the same names; a head that a model brings is taken as it is.

    The heads are fitted on the run's training studies and kept under its folder. Where too few of their reports say where a
    finding lies, one line says so, and the models without a head of their own are left out; so they are in a notebook that was
    opened by hand, which would have to prepare all training films for them.
    """
    found = {name: deepcopy(model) for name, model in models.items() if model.look is not None}
    if len(found) == len(models) or _opened(run):
        return found
    try:
        atlas = atlas_of(run)
    except ValueError as error:
        print(f"no head that looks is fitted: {error}")
        return found
    studies = load_training(run.settings, "train")
    for name, model in models.items():
        if name in found:
            continue
        found[name] = model = deepcopy(model)
        parts = {
            "the model": weights_hash(model),
            "the studies": sha256_json([studies.folder.name, len(studies)]),
            "the seed": str(run.settings.seed),
            "the code": code_behind(__name__),
        }

        def make(folder: Path, model=model) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            fit_look(model, studies, atlas, run.settings.seed)
            write_tensors(folder / "look.safetensors", model.look.state_dict())

        folder = keep(Path(run.runs) / f"look_{name.replace(' ', '_')}", parts, make)
        head = LookHead(model.config)
        head.load_state_dict(load_file(folder / "look.safetensors"))
        model.add_look(head.to(model.device).eval())
    return {name: found[name] for name in models}


def _opened(run) -> bool:
    """Does a notebook that was opened by hand write here?"""
    return paths.OPENED in run.settings.figures.parents


def plus(method: str) -> str:
    """What a model's maps of SS-ACL+ are called."""
    return f"{method}+"


def evaluate_looking(run, models: dict, studies: Sequence | None = None) -> pd.DataFrame:
    """Scores of every node's map, in the columns of `anatomy_grounding.evaluate_anatomies`, cached per method.

    models: with heads that look (`with_look`). Films as they are: SS-ACL+ and the rivals without a film; moved films: these,
    the prompts' attention, and the two priors. No rows where the studies have no masks or no model looks.
    """
    studies = test_studies(run.settings) if studies is None else studies
    if not models or not any(study.regions for study in studies):
        return pd.DataFrame(columns=COLUMNS)
    key, folder = results_key(studies, run.settings, __name__), run.runs / "evaluation"
    words = next(model for name, model in models.items() if name == "this run" or "this run" not in models)
    atlas, frames = words.look.atlas.cpu(), []
    for films, seen in ((AS_THEY_ARE, studies), (MOVED, MovedStudies(studies, run.settings.seed))):
        own = {**key, "atlas": sha256_json(atlas.tolist())}
        frames.append(
            cached(
                folder, f"looking {films} without a film", own, lambda f=films, s=seen: score_fixed(run, atlas, f, s)
            )
        )
        for name, model in models.items():
            own = {**key, "weights": weights_hash(model)}
            frames.append(
                cached(
                    folder,
                    f"looking {films} {name}",
                    own,
                    lambda f=films, s=seen, m=model, n=name: score_looks(n, m, f, s),
                )
            )
    return pd.concat(frames, ignore_index=True)


def score_looks(name: str, model, films: str, studies: Sequence) -> pd.DataFrame:
    """Rows of one model: its maps of SS-ACL+ and, on moved films, its prompts' attention.

    Likeness across patients is that of the maps with one number per patch, as it is for attention.
    """
    kinds = {plus(name): "plus"} | ({name: "attention"} if films == MOVED else {})
    nodes, asked = list(default_graph().nodes), []
    rows, patches = ({method: [] for method in kinds} for _ in range(2))
    for chunk in _chunks(studies, f"{name}: looking"):
        pixels = pixels_of(model, np.stack([study.image for study in chunk]))
        asked += [SimpleNamespace(study_id=study.study_id, patient_id=study.patient_id) for study in chunk]
        for method, evidence in kinds.items():
            maps = anatomy_maps_of_pixels(model, pixels, nodes, evidence).float().cpu()
            rows[method] += [node_scores(study, own) for study, own in zip(chunk, maps.numpy(), strict=True)]
            patches[method].append(F.adaptive_avg_pool2d(maps, patches_along(model)).flatten(2).numpy())
    frames = []
    for method in kinds:
        alike = attention_scores(np.concatenate(patches[method]), asked)
        alike = alike[["study", "node", "similarity_across_patients"]]
        scores = pd.concat(rows[method], ignore_index=True)
        frames.append(scores.merge(alike, on=["study", "node"], how="left").assign(method=method))
    return _frame(frames, films)


def score_fixed(run, atlas: torch.Tensor, films: str, studies: Sequence) -> pd.DataFrame:
    """Rows of what looks at no film, and of the oracle. atlas: [32, G, G], of words."""
    size, grid = studies[0].image.shape, run.settings.data.image_size // run.settings.model.patch_size
    maps = {WORDS: _enlarged(atlas, size), TEMPLATE: text_templates(*size)}
    if films == AS_THEY_ARE and not _opened(run):
        with suppress(ValueError):  # too few reports: `with_look` has said so
            maps[SHUFFLED] = _enlarged(atlas_of(run, shuffled=True).maps, size)
    if run.settings.dataset == "phantom":
        maps[MEAN_MASK] = mean_masks(run.settings)
        patches = F.adaptive_avg_pool2d(torch.from_numpy(maps[MEAN_MASK]), grid)
        maps[f"{MEAN_MASK}, {grid} x {grid}"] = _enlarged(patches, size)
    if films == MOVED:
        maps[PRIOR] = np.repeat(centre_prior(*size)[None], len(default_graph().nodes), 0)
    rows = []
    for chunk in _chunks(studies, "atlases without a film"):
        for study in chunk:
            rows += [node_scores(study, own).assign(method=method) for method, own in maps.items()]
            rows.append(node_scores(study, oracle_maps(study, grid)).assign(method=f"oracle {grid} x {grid}"))
            if films == MOVED:
                rows.append(rows[-1].assign(method=CHANCE, pointing=rows[-1]["area"], cnr=0.0))
    return _frame(rows, films)


def mean_masks(settings) -> np.ndarray:
    """Mean masks [32, H, W] of training patients: what annotations give without a film."""
    studies = load_evaluation(settings, split="train", limit=ANNOTATED)
    return np.mean(
        [[study.regions[node] for node in default_graph().nodes] for study in studies], axis=0, dtype=np.float32
    )


def oracle_maps(study, grid: int) -> np.ndarray:
    """The study's own masks as maps [32, H, W] that hold one number per patch; zeros for a node without one."""
    empty = np.zeros(study.image.shape, bool)
    masks = torch.from_numpy(np.stack([study.regions.get(node, empty) for node in default_graph().nodes])).float()
    return _enlarged(F.adaptive_avg_pool2d(masks[None], grid)[0], study.image.shape)


def _enlarged(maps: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    return F.interpolate(maps[None].float(), size=size, mode="bilinear", align_corners=False)[0].numpy()


def _chunks(studies: Sequence, title: str) -> Iterator[list]:
    with tqdm(total=len(studies), desc=title, unit="image", leave=False) as bar:
        for start in range(0, len(studies), CHUNK):
            chunk = [studies[i] for i in range(start, min(start + CHUNK, len(studies)))]
            yield chunk
            bar.update(len(chunk))


def _frame(rows: list[pd.DataFrame], films: str) -> pd.DataFrame:
    return pd.concat(rows, ignore_index=True).assign(films=films).reindex(columns=COLUMNS)


def attention_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table anatomy_grounding that tell of the prompts' attention on films as they are, and the two priors."""
    others = (WORDS, SHUFFLED, TEMPLATE, POOLED)
    looks = (
        table["method"].str.endswith("+")
        | table["method"].isin(others)
        | table["method"].str.startswith(ANNOTATED_MAPS)
    )
    return table[(table["films"] == AS_THEY_ARE) & ~looks]


def looking_order(methods: Sequence[str]) -> list[str]:
    """The methods of a table as a reader wants them: who looks, who does not, what needs annotations."""
    there = list(dict.fromkeys(methods))
    looks = [method for method in there if method.endswith("+")]
    known = [
        WORDS,
        SHUFFLED,
        TEMPLATE,
        PRIOR,
        CHANCE,
        *(name for start in ANNOTATED_MAPS for name in there if name.startswith(start)),
    ]
    attention = [method for method in there if method not in looks + known]
    return looks + attention + [method for method in known if method in there]


@dataclass(frozen=True)
class LeafCase:
    """One film with maps: image [H, W] uint8, masks node -> [H, W] bool, maps node -> kind -> [H, W]."""

    title: str
    image: np.ndarray
    masks: dict[str, np.ndarray]
    maps: dict[str, dict[str, np.ndarray]]


def leaf_cases(model, studies: Sequence, seed: int, nodes: Sequence[str] = ("right lower lung zone", "trachea")):
    """The first three films and the first one moved, with the attention, the map of SS-ACL+ and the oracle of some nodes.

    model: one that looks. Returns a list of LeafCase; empty where the studies have no masks.
    """
    if not studies or not all(node in studies[0].regions for node in nodes):
        return []
    shown = [(f"patient {k + 1}", studies[k]) for k in range(min(3, len(studies)))]
    shown.append(("patient 1, moved", MovedStudies(studies, seed)[0]))
    cases = []
    for title, study in shown:
        pixels = pixels_of(model, study.image[None])
        kinds = {
            "attention": anatomy_maps_of_pixels(model, pixels, list(nodes), "attention")[0].float().cpu().numpy(),
            "SS-ACL+": anatomy_maps_of_pixels(model, pixels, list(nodes), "plus")[0].float().cpu().numpy(),
            "oracle": oracle_maps(study, model.config.grid)[[default_graph().index(node) for node in nodes]],
        }
        maps = {node: {kind: found[k] for kind, found in kinds.items()} for k, node in enumerate(nodes)}
        cases.append(LeafCase(title, study.image, study.regions, maps))
    return cases
