"""How much of what a frozen model knows is left on worse films, on other bodies and under other words?

The same test patients under every condition of disturbances.py, level 0 as they are. A model is asked what it was asked in
notebook 05, with fewer patients (those of the costly controls: `evaluation.control_studies`) and masks (MASKS):

    findings   its head's log odds, from which the AUC follows
    phrases    pointing and CNR of the masked and the similarity map of a phrase that is there
    leaves     pointing and CNR of the prompts' attention, and of the head that looks (SS-ACL+), mean over the 25 leaves
    reports    written under the method's prompts, from the head's findings on that same film

Nothing learns from a disturbed film: heads and thresholds are those of films as they are (the head that looks has learnt on
moved ones). With the start's rows stand those of rivals that are no encoder of their own: a report that is copied or written,
the middle of the film, an atlas that sees none, chance.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ..anatomy import default_graph
from ..baselines.nearest_report import LIMIT, image_vectors
from ..baselines.registry import FINDINGS, LEAVES, PHRASES, PLUS, REPORTS, method_of
from ..baselines.small_cnn import SmallCNN, predict_cnn
from ..datasets.registry import load_evaluation, load_training
from ..evaluation.anatomy_grounding import CHUNK, node_scores
from ..evaluation.comparison_run import PATIENTS, Run
from ..evaluation.comparison_scores import atlas_of, learn_to_look, score_reports, trained
from ..evaluation.findings import probabilities_of, reference_of
from ..evaluation.grounding import MAPS, score_jobs, score_map
from ..evaluation.inputs import pixels_of
from ..evaluation.looking import WORDS as WORDS_ATLAS
from ..evaluation.reports import NoMeteor, constant_report, f1_counts
from ..evaluation.targets import collect_targets
from ..metrics.grounding import centre_prior
from ..metrics.lexical import bleu_counts, score_reports as lexical_scores
from ..model.chunks import BATCH, chunks
from ..model.maps import anatomy_maps_of_pixels
from ..settings import Settings
from ..text.labeler import label_array
from .disturbances import AMOUNTS, BEND, STRETCH, WORDING, WORDS, Condition, conditions
from .encoders import START, Encoder, at_home

MASKS = 64
"""Of the masked map; notebook 05 takes those of the profile."""
CONSTANTS = {"masks": MASKS, "amounts": AMOUNTS, "bodies": (STRETCH, BEND), "words": WORDS}

NEAREST, CONSTANT, PRIOR, CHANCE = "nearest training report", "constant report", "centre prior", "chance"
WRITERS = ("R2GenGPT-like", "PromptMRG-like", "R2Gen-like")
"""Methods of the comparison that are asked for reports alone, first seed each."""

ATTENTION, LOOK = "attention of leaf prompts", "head that looks"

COLUMNS = ["by", "family", "level", "part", "detail", "study", "log_odds", "present", "pointing", "cnr", "counts",
           "rouge_l", "cider"]  # fmt: skip
"""by: who answers where that is not the encoder, else "". log_odds [13] in hundredths, present [13]. counts [13]: hits, said and
true of micro F1, then the ten of corpus BLEU."""

Ask = Callable[[Condition], pd.DataFrame]


def measure(encoder: Encoder, settings: Settings) -> pd.DataFrame:
    """Rows of COLUMNS: per condition and study, and per phrase where phrases are asked."""
    studies = patients_of(settings)
    asked = questions(encoder, settings)
    frames = [
        ask(condition).assign(by=by, part=part, family=condition.family, level=condition.level)
        for condition in conditions(settings, studies)
        for by, part, ask in asked
        if part == PHRASES or condition.family != WORDING
    ]
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS) if frames else pd.DataFrame(columns=COLUMNS)


@lru_cache(maxsize=1)
def patients_of(settings: Settings) -> list:
    """The first test patients of PATIENTS, in memory once per process."""
    count = settings.evaluation.control_studies
    return list(load_evaluation(settings.changed(seed=PATIENTS), "test", count))


def questions(encoder: Encoder, settings: Settings) -> list[tuple[str, str, Ask]]:
    """What an encoder is asked: (who answers, part, how); nothing of an outside model, which has no head."""
    if encoder.path:
        return []
    model, method, run = encoder.model(), encoder.method, encoder.run
    asked = [("", FINDINGS, lambda condition: finding_rows(model, condition))]
    if method is not None and PHRASES in method.parts:
        asked.append(("", PHRASES, lambda condition: phrase_rows(model, condition, settings)))
    if method is not None and LEAVES in method.parts:
        asked.append(("", LEAVES, lambda condition: leaf_rows(model, condition, ATTENTION)))
        if PLUS in method.parts and learn_to_look(model, run):
            asked.append(("", LEAVES, lambda condition: leaf_rows(model, condition, LOOK)))
    if method is not None and REPORTS in method.parts:
        asked.append(("", REPORTS, lambda condition: written_rows(run, model, condition)))
    return asked + (rivals(encoder, settings) if encoder.name == START else [])


def rivals(encoder: Encoder, settings: Settings) -> list[tuple[str, str, Ask]]:
    """Who answers beside the start, so that each is measured once."""
    home = at_home(settings)
    train, validation = load_training(home, "train"), load_training(home, "validation")
    constant, nearest = constant_report(train, validation), Nearest(encoder.model(), train)
    asked = [
        (CONSTANT, REPORTS, lambda condition: report_rows(condition.studies, [constant] * len(condition.studies))),
        (NEAREST, REPORTS, lambda condition: report_rows(condition.studies, nearest(films_of(condition.studies)))),
        (PRIOR, PHRASES, prior_rows),
        (CHANCE, LEAVES, chance_rows),
    ]
    with suppress(ValueError):  # too few reports say where a finding lies
        atlas = atlas_of(encoder.run).maps
        asked.append((WORDS_ATLAS, LEAVES, lambda condition: atlas_rows(atlas, condition)))
    for name in WRITERS:
        run = Run(method_of(name), encoder.seed, home)
        model = trained(run)[0]
        asked.append((name, REPORTS, lambda condition, run=run, model=model: written_rows(run, model, condition)))
    return asked


def films_of(studies: Sequence) -> np.ndarray:
    """[n, S, S] uint8."""
    return np.stack([study.image for study in studies])


# ---- one part each: a condition in, rows out
def finding_rows(model, condition: Condition) -> pd.DataFrame:
    """log_odds and present per study."""
    studies = condition.studies
    supervised = isinstance(model, SmallCNN)
    probability = predict_cnn(model, films_of(studies)) if supervised else probabilities_of(model, studies)
    odds = np.log(np.clip(probability, 1e-12, 1 - 1e-12) / np.clip(1 - probability, 1e-12, 1))
    present = reference_of(studies)[1].astype(np.int8)
    return pd.DataFrame(
        {
            "study": [study.study_id for study in studies],
            "detail": "mean of findings",
            "log_odds": list(np.round(100 * odds).astype(np.int16)),
            "present": list(present),
        }
    )


def phrase_rows(model, condition: Condition, settings: Settings) -> pd.DataFrame:
    """pointing and cnr per phrase and kind of map."""
    scoring = settings.changed(**{"inference.evidence_masks": MASKS})
    by_study: dict[int, list] = {}
    for target in collect_targets(condition.studies, PATIENTS):
        asked = replace(target, phrase=condition.wording(target.phrase))
        by_study.setdefault(target.study, []).append(asked)
    jobs = [(condition.studies[number].image, members, number) for number, members in by_study.items()]
    title = f"{condition.family} {condition.level}: "
    rows = [row for kind in MAPS for row in score_jobs(model, kind, f"{title}{kind} maps", scoring, jobs, "asked")]
    return _phrase_frame(condition.studies, rows)


def prior_rows(condition: Condition) -> pd.DataFrame:
    """The same of the centre prior, for both kinds of map."""
    prior = centre_prior(*condition.studies[0].image.shape)
    rows = [
        {"study": target.study, "map": kind, **score_map(prior, target.mask, target.film)}
        for kind in MAPS
        for target in collect_targets(condition.studies, PATIENTS)
    ]
    return _phrase_frame(condition.studies, rows)


def _phrase_frame(studies: Sequence, rows: list[dict]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["study", "map", "pointing", "cnr"])
    names = [studies[number].study_id for number in frame["study"]]
    return frame.assign(study=names, detail=frame["map"] + " map").drop(columns="map")


def leaf_rows(model, condition: Condition, kind: str) -> pd.DataFrame:
    """pointing and cnr per study, means over the leaves that it shows. kind: ATTENTION or LOOK."""
    films, nodes, rows = films_of(condition.studies), list(default_graph().nodes), []
    for part in chunks(len(films), CHUNK, None):
        pixels = pixels_of(model, films[part])
        maps = anatomy_maps_of_pixels(model, pixels, nodes, "plus" if kind == LOOK else "attention")
        maps = maps.float().cpu().numpy()
        rows += [_leaf_means(node_scores(study, own)) for study, own in zip(condition.studies[part], maps, strict=True)]
    return _leaf_frame(condition.studies, rows, kind)


def atlas_rows(atlas: torch.Tensor, condition: Condition) -> pd.DataFrame:
    """The same of an atlas [32, G, G] that sees no film, beside the head that moves it."""
    size = condition.studies[0].image.shape
    maps = F.interpolate(atlas[None].float(), size=size, mode="bilinear", align_corners=False)[0].numpy()
    rows = [_leaf_means(node_scores(study, maps)) for study in condition.studies]
    return _leaf_frame(condition.studies, rows, LOOK)


def chance_rows(condition: Condition) -> pd.DataFrame:
    """The same of a maximum anywhere: the share of the film that a leaf covers."""
    empty = np.zeros((len(default_graph().nodes), *condition.studies[0].image.shape), np.float32)
    rows = [_leaf_means(node_scores(study, empty).assign(cnr=0.0)) for study in condition.studies]
    return _leaf_frame(condition.studies, [{**row, "pointing": row["area"]} for row in rows], ATTENTION)


def _leaf_means(scores: pd.DataFrame) -> dict[str, float]:
    return scores.loc[scores["node"].isin(default_graph().leaves), ["pointing", "cnr", "area"]].mean().to_dict()


def _leaf_frame(studies: Sequence, rows: list[dict], kind: str) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["pointing", "cnr"])
    return frame.assign(study=[study.study_id for study in studies], detail=kind)


def written_rows(run: Run, model, condition: Condition) -> pd.DataFrame:
    """Reports under the method's prompts."""
    return report_rows(condition.studies, list(score_reports(run, model, condition.studies)["generated"]))


def report_rows(studies: Sequence, texts: list[str]) -> pd.DataFrame:
    """counts, rouge_l and cider per study, of these reports."""
    labels = {"generated_labels": list(label_array(texts)), "reference_labels": [study.labels for study in studies]}
    references = [study.report for study in studies]
    lexical = lexical_scores(texts, references, meteor=NoMeteor()).per_study
    counts = np.hstack([f1_counts(pd.DataFrame(labels)), bleu_counts(texts, references)]).astype(np.int16)
    return pd.DataFrame(
        {
            "study": [study.study_id for study in studies],
            "detail": "reports",
            "counts": list(counts),
            "rouge_l": lexical["rouge_l"].to_numpy(),
            "cider": lexical["cider"].to_numpy(),
        }
    )


class Nearest:
    """`baselines.nearest_report` with the training films' vectors kept: it is asked under every condition."""

    def __init__(self, model, train):
        self.model, self.reports = model, train.reports
        count = min(LIMIT, len(train.reports))
        parts = [image_vectors(model, train.images(np.arange(count)[part])) for part in chunks(count, BATCH, None)]
        self.kept = torch.cat(parts)

    def __call__(self, films: np.ndarray) -> list[str]:
        parts = [image_vectors(self.model, films[part]) for part in chunks(len(films), BATCH, None)]
        return [self.reports[row] for row in (torch.cat(parts) @ self.kept.T).numpy().argmax(1)]
