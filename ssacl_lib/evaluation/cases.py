"""Single studies for pictures: which ones, by a stated rule, and what the models say of them.

Nothing is picked by hand. Report cases are the first test studies with at least two findings in the reference; a phrase
case is the phrase with the median score of its finding, so neither the best nor the worst is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from .. import inference
from ..anatomy import ANATOMIES, anatomies_for, leaves_of
from ..metrics.clinical import clinical_scores
from ..metrics.lexical import score_reports
from ..model import maps as model_maps
from ..model.masking import keep_lowest, visible_pixels
from ..observations import OBSERVATIONS
from ..text.entities import entity_text
from .grounding import MAPS, RELEASE_MAPS, score_map
from .inputs import pixels_of
from .report_marks import MISSED, WRONG, mark_report, positive_names
from .reports import NoMeteor

CASE_FINDINGS = ("Consolidation", "Pleural Effusion", "Pneumothorax", "Atelectasis")
"""The findings of the paper's case grid."""
KINDS = {
    "masked": "masked evidence (ours)",
    "similarity": "similarity",
    "cls attention": "CLS attention",
    "weighted tokens": "weighted tokens",
    "grad-cam": "Grad-CAM",
}
"""A kind of map as a title."""


@dataclass(frozen=True)
class Case:
    """One study of the report figure.

    image: [H, W] uint8. evidence: title -> map [H, W] as a multiple of the uniform attention, or None where nothing is
    selected. texts: title -> list of (piece, mark) as `report_marks.mark_report` makes them. notes: title -> lines on a text:
    what stood before it in the prefix, the findings that the labeler reads in it, its scores.
    """

    study: str
    image: np.ndarray
    evidence: Mapping[str, np.ndarray | None]
    texts: Mapping[str, Sequence[tuple[str, str]]]
    notes: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class PhraseCase:
    """One phrase on one film: image and mask [H, W], boxes [k, 4]; maps: title -> (map [H, W], IoU, CNR)."""

    finding: str
    phrase: str
    image: np.ndarray
    mask: np.ndarray
    boxes: np.ndarray
    maps: Mapping[str, tuple[np.ndarray, float, float]]


def sample_images(studies: Sequence, count: int) -> np.ndarray:
    """The first images as [count, S, S] uint8 (fewer where there are fewer studies)."""
    return np.stack([studies[i].image for i in range(min(count, len(studies)))])


def masks_of(study, nodes: Sequence[str]) -> np.ndarray | None:
    """Masks of nodes in one study [nodes, S, S] bool; None where the data set lacks one of them."""
    return np.stack([study.regions[node] for node in nodes]) if all(node in study.regions for node in nodes) else None


def region_masks(studies: Sequence, count: int, node: str) -> np.ndarray | None:
    """Masks of one node in the first studies [count, S, S] bool; None where the data set lacks it."""
    masks = [masks_of(studies[i], [node]) for i in range(min(count, len(studies)))]
    return None if any(mask is None for mask in masks) else np.concatenate(masks)


def strongest(models: Mapping) -> str:
    """The name of the last model in the order untrained, start, this run, shipped."""
    return list(models)[-1]


# ---- evidence behind a report
def node_attention(model, images: np.ndarray, nodes: Sequence[str]) -> np.ndarray:
    """Prompt attention of nodes on images [n, S, S] as a multiple of the uniform one: [n, nodes, S, S]."""
    attention = model_maps.anatomy_maps_of_pixels(model, pixels_of(model, images), list(nodes))
    return attention.float().cpu().numpy() * model.config.patches


@torch.no_grad()
def cls_attention(model, images: np.ndarray) -> np.ndarray:
    """Attention of CLS to the patches (last block, mean over heads) as a multiple of the uniform one: [n, S, S].

    What is left to look at without prompts: it knows no phrase and no anatomy.
    """
    model.eval()
    weights = model_maps.cls_attention(model, pixels_of(model, images)) * model.config.patches
    return model_maps.to_image(weights[:, None], model, sigma=0.0)[:, 0].cpu().numpy()


def report_cases(per_study: pd.DataFrame, method: str, model, studies: Sequence, count: int = 3) -> list[Case]:
    """The first `count` studies with two or more findings in the reference report (with one, where those run out).

    per_study: rows of `reports.evaluate_reports`; method: whose reports are shown, model: the model of that name.
    """
    rows = per_study[per_study["method"] == method]
    texts = {
        variant: rows[rows["variant"] == variant].set_index("study") for variant in ("with prompts", "without prompts")
    }
    numbers = {study.study_id: i for i, study in enumerate(studies) if study.study_id in texts["with prompts"].index}
    findings = {name: positive_names(studies[i].labels) for name, i in numbers.items()}
    chosen = sorted(
        (name for name in numbers if findings[name]), key=lambda name: (len(findings[name]) < 2, numbers[name])
    )
    return [_report_case(name, studies[numbers[name]], texts, model) for name in chosen[:count]]


def _report_case(name: str, study, texts: Mapping[str, pd.DataFrame], model) -> Case:
    reference = positive_names(study.labels)
    with_prompts = texts["with prompts"].loc[name]
    predicted = inference.positive_findings(model, np.asarray(with_prompts["findings"], float)[None])[0]
    selected = [anatomy for anatomy in ANATOMIES if anatomy in anatomies_for(predicted)]
    leaves = [leaf for anatomy in selected for leaf in leaves_of(anatomy)]
    images = study.image[None]
    evidence = {
        f"with prompts: {', '.join(selected)}" if selected else "with prompts": (
            node_attention(model, images, leaves)[0].mean(0) if leaves else None
        ),
        "without prompts: what CLS looks at": cls_attention(model, images)[0],
    }
    written = {"reference": mark_report(study.report, with_prompts["generated"], MISSED)}
    notes = {"reference": ("", f"findings: {named(reference)}", "")}
    before = {
        "with prompts": f"entity text: {entity_text(predicted) or '(empty)'}",
        "without prompts": "no entity text",
    }
    for variant, frame in texts.items():
        if name in frame.index:
            row = frame.loc[name]
            written[variant] = mark_report(row["generated"], study.report, WRONG)
            found = f"findings: {named(positive_names(row['generated_labels']))}"
            score = score_line(row["generated"], study.report, row["generated_labels"], study.labels)
            notes[variant] = (before[variant], found, score)
    return Case(name, study.image, evidence, written, notes)


def named(findings: set[str]) -> str:
    """Findings in the order of the observations, in lower case; "none" where there is none."""
    return ", ".join(name.lower() for name in OBSERVATIONS if name in findings) or "none"


def bleu1(generated: str, reference: str) -> float:
    """BLEU-1 of one report (without the metrics that need another program)."""
    return float(score_reports([generated], [reference], meteor=NoMeteor())[0]["bleu1"].iloc[0])


def score_line(generated: str, reference: str, generated_labels, reference_labels) -> str:
    """BLEU-1 of one report and F1 over the findings of one study, in words."""
    clinical = clinical_scores(np.asarray(generated_labels)[None], np.asarray(reference_labels)[None])
    return f"BLEU-1 {bleu1(generated, reference):.2f}   F1 {clinical['micro_f1_13']:.2f}"


# ---- phrases
def phrase_cases(per_phrase: pd.DataFrame, models: Mapping, studies: Sequence, settings, findings=CASE_FINDINGS):
    """One phrase per finding, the one with the median CNR of the strongest model's masked map: a list of PhraseCase.

    per_phrase: rows of `grounding.evaluate_phrases`. Both maps of the last two models are shown.
    """
    own = _own_phrases(per_phrase, strongest(models))
    wanted = {f"{name}\n{KINDS[kind]}": (models[name], kind) for name in list(models)[-2:] for kind in MAPS}
    cases = []
    for finding in findings:
        rows = own[own["finding"] == finding].sort_values(["cnr", "study"])
        if len(rows):
            cases.append(_phrase_case(rows.iloc[(len(rows) - 1) // 2], wanted, studies, settings))
    return cases


def release_cases(per_phrase: pd.DataFrame, method: str, model, studies: Sequence, settings, count: int = 2):
    """Every kind of map of one model, on the first `count` studies with phrases of two findings, two phrases a study.

    Two phrases on one film show which map reads the phrase. Returns a list of PhraseCase.
    """
    own = _own_phrases(per_phrase, method).drop_duplicates(["study", "finding"])
    both = own.groupby("study", sort=False).head(2)
    both = both[both.groupby("study")["finding"].transform("size") == 2].iloc[: 2 * count]
    wanted = {KINDS[kind]: (model, kind) for kind in MAPS + RELEASE_MAPS}
    return [_phrase_case(row, wanted, studies, settings) for _, row in both.iterrows()]


def _own_phrases(per_phrase: pd.DataFrame, method: str) -> pd.DataFrame:
    own = (per_phrase["control"] == "own") & (per_phrase["map"] == "masked") & (per_phrase["method"] == method)
    return per_phrase[own]


def _phrase_case(row: pd.Series, wanted: Mapping[str, tuple], studies: Sequence, settings) -> PhraseCase:
    """One phrase (a row with study, finding and phrase) under the maps of `wanted`: title -> (model, kind)."""
    study = next(study for study in studies if study.study_id == row["study"])
    same = [p for p in study.phrases if p.finding == row["finding"] and p.text.lower() == row["phrase"].lower()]
    mask, maps = np.any([phrase.mask for phrase in same], axis=0), {}
    for title, (model, kind) in wanted.items():
        heatmap = inference.phrase_maps(model, study.image[None], [[row["phrase"]]], kind,
                                        settings.inference.evidence_masks, settings.seed)[0][0]  # fmt: skip
        score = score_map(heatmap, mask, study.film)
        maps[title] = (heatmap, score["miou"], score["cnr"])
    boxes = np.concatenate([phrase.boxes for phrase in same])
    return PhraseCase(row["finding"], row["phrase"], study.image, mask, boxes, maps)


# ---- reconstruction
@torch.no_grad()
def reconstruct(model, images: np.ndarray, mask_ratio: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What the visual decoder makes of the hidden patches of images [n, S, S] uint8.

    Returns the picture in 0..1 [n, S, S] (kept patches as they are) and the visible pixels [n, S, S] bool; the masks
    are the same for every model with as many patches.
    """
    model.eval()
    config, pixels = model.config, pixels_of(model, images)
    noise = np.random.default_rng([seed, 31]).random((len(images), config.patches), np.float32)
    keep = keep_lowest(torch.from_numpy(noise), mask_ratio).to(pixels.device)
    tokens = model.encoder(pixels, keep)
    patches = model.decoder.reconstruct(tokens.cls, tokens.patches, keep).float()
    grid, size = config.grid, config.patch_size
    drawn = patches.view(len(images), grid, grid, size, size, -1).mean(-1).permute(0, 1, 3, 2, 4)
    drawn = drawn.reshape(len(images), config.image_size, config.image_size) * config.pixel_std + config.pixel_mean
    visible = visible_pixels(keep, config, torch.float32)[:, 0].bool().cpu().numpy()
    return np.where(visible, images / 255, drawn.clamp(0, 1).cpu().numpy()), visible


def reconstructions(models: Mapping, images: np.ndarray, mask_ratio: float, seed: int):
    """`reconstruct` for several models with the same masks.

    Returns visible pixels [n, S, S] bool, model name -> pictures [n, S, S] in 0..1, and each model's root mean square
    error of the hidden pixels in words.
    """
    drawn = {name: reconstruct(model, images, mask_ratio, seed) for name, model in models.items()}
    visible = next(iter(drawn.values()))[1]
    hidden = {name: np.sqrt(((p - images / 255)[~v] ** 2).mean()) for name, (p, v) in drawn.items()}
    words = ", ".join(f"{name} {error:.3f}" for name, error in hidden.items())
    return visible, {name: pictures for name, (pictures, _) in drawn.items()}, words
