"""Sentence evidence against exact masks: does the language decoder read where the finding is, and would it read there anyway?

A phrase stands as the first words of a report behind the film's prefix and the entity text of what the head finds, and is
scored under the masks of the prefix (inference/sentences.py). Its map goes through the same scores, controls and tables as every
other kind (grounding.py), as the kind "sentence"; and on the same phrases masked evidence is taken away from it.

Asked of the first `evaluation.control_studies` studies that have a phrase, for it costs K passes of the decoder a film, and of
the models that write reports. Phrases and their controls share the passes.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ..inference.findings import positive_findings, predict_findings
from ..inference.sentences import Branch, text_likelihoods, tokens_of
from ..model.maps import evidence_to_image, random_keeps, visibility_effect
from ..model.masking import visible_patches
from ..model.precision import autocast
from ..model.reporting import leaf_tokens
from .grounding import COLUMNS, control_numbers, finding_rows, grid_of, patches_along, phrase_table, score_map
from .inputs import pixels_of, test_studies, weights_hash, writers
from .results import cached, long_table, patients_of, results_key
from .targets import Target, collect_targets, shift, shift_targets

KIND = "sentence"
"""The name of this kind of map, beside "masked" and "similarity"."""

SCORES = ("pointing", "cnr")


def evaluate_sentences(run, models: dict, studies: Sequence | None = None) -> pd.DataFrame:
    """Rows like those of `grounding.evaluate_phrases`, of the kind "sentence" (cached per model).

    run: has `.settings` and `.runs`. models: method name -> model; left out are the start and the untrained model, whose decoders
    have learnt nothing, and models whose decoder sees no patches. No phrases in the data set: no rows.
    """
    settings = run.settings
    studies = test_studies(settings) if studies is None else studies
    targets = collect_targets(studies, settings.seed)
    frames = [pd.DataFrame(columns=COLUMNS)]
    if targets:
        key = results_key(studies, settings, __name__)
        for method, model in writers(models).items():
            if method != "untrained" and model.config.prefix == "prompts and patches":
                made = {**key, "weights": weights_hash(model)}
                frames.append(
                    cached(run.runs / "evaluation", f"sentences {method}", made,
                           lambda m=model, name=method: score_model(name, m, targets, studies, settings))
                )  # fmt: skip
    return pd.concat(frames[1:] or frames, ignore_index=True)


def score_model(method: str, model, targets: Sequence[Target], studies: Sequence, settings) -> pd.DataFrame:
    """All rows of one model: own phrase, swapped phrase and swapped side on the film, and the phrase on the shifted film."""
    few = control_numbers(targets, settings)
    moved = shift_targets([target for target in targets if target.study in set(few)], studies[0].image.shape[1])
    jobs = [(studies[number].image, [t for t in targets if t.study == number], None) for number in few]
    jobs += [(shift(studies[n].image, columns), members, "shifted") for n, (columns, members) in moved.items()]
    found = positive_findings(model, predict_findings(model, np.stack([image for image, *_ in jobs])))
    rows = []
    for (image, members, control), findings in zip(
        tqdm(jobs, desc=f"{method}: sentence evidence", unit="film", leave=False), found, strict=True
    ):
        texts = [{control: target.phrase} if control else target.texts for target in members]
        asked = list(dict.fromkeys(text for told in texts for text in told.values()))
        maps = dict(zip(asked, sentence_maps(model, image, asked, findings, settings), strict=True))
        for target, told in zip(members, texts, strict=True):
            for name, text in told.items():
                study = studies[target.study]
                about = {"study": study.study_id, "patient": study.patient_id}
                about |= {"finding": target.finding, "phrase": target.phrase}
                evidence = grid_of(maps[text], patches_along(model)) if name == "own" else None
                scores = score_map(maps[text], target.mask, target.film)
                rows.append({**about, "method": method, "map": KIND, "control": name, **scores, "evidence": evidence})
    return pd.DataFrame(rows, columns=COLUMNS)


@torch.no_grad()
def sentence_maps(model, image: np.ndarray, texts: Sequence[str], findings: list[str], settings) -> np.ndarray:
    """Sentence evidence [P, S, S] of texts on a square film [S, S] uint8, each as the first words of its report."""
    model.eval()
    with autocast(model):
        tokens = leaf_tokens(model, pixels_of(model, image[None]))
    keeps = random_keeps(model, settings.inference.evidence_masks or model.config.evidence["masks"], settings.seed)
    visible = visible_patches(keeps, model.config.patches)
    branches = [Branch(tuple(tokens_of(model.processor, text, [])[0])) for text in texts]
    _, told = text_likelihoods(model, tokens, findings, [], branches, visible)
    scores = torch.stack([part.sum(1) for part in told], dim=1)
    effect = visibility_effect(scores[None], keeps, model.config.patches)
    return evidence_to_image(effect, model)[0].float().cpu().numpy()


def against_masked(per_phrase: pd.DataFrame, settings) -> pd.DataFrame:
    """Sentence evidence minus masked evidence of the same model on the same phrases, as rows of the table phrase_grounding.

    per_phrase: rows of `evaluate_phrases` and `evaluate_sentences`. Metrics: pointing_minus_masked, cnr_minus_masked.
    """
    own = per_phrase[per_phrase["control"] == "own"]
    where = ["study", "finding", "phrase", "method"]
    kinds = [own[own["map"] == kind].set_index(where)[list(SCORES)] for kind in (KIND, "masked")]
    paired = (kinds[0] - kinds[1]).dropna().add_suffix("_minus_masked").reset_index()
    paired["patient"] = paired["study"].map(patients_of(per_phrase))
    rows = []
    for method, group in paired.groupby("method", sort=False):
        about = {"map": KIND, "control": "own", "method": method}
        rows += finding_rows(about, group, [f"{score}_minus_masked" for score in SCORES], settings)
    return long_table(rows, ["map", "control", "finding"])


def table_with_sentences(per_phrase: pd.DataFrame, settings) -> pd.DataFrame:
    """The table phrase_grounding with the rows of sentence evidence, where per_phrase holds any."""
    tables = [phrase_table(per_phrase, settings)]
    if len(per_phrase) and (per_phrase["map"] == KIND).any():
        tables.append(against_masked(per_phrase, settings))
    return pd.concat(tables, ignore_index=True)
