"""Generated reports against the written ones: the same words (lexical), and the same findings (clinical efficacy)?

Variants of a model's report:

    the 2 x 2 and its controls   evaluation/prompting.py: leaves open or closed, entity text given or not
    reference findings           the findings of the reference report in the head's place: what a perfect head would allow
    data set's prompts           the entity text and the open leaves that the data set brings (release-csv only)
    head labels                  no text: the head's own findings scored as if they were a report's labels

A yardstick is the "constant report": one training report for everybody, the one with the best micro F1 on validation.
The controls are written for the first `evaluation.prompt_studies` studies; the untrained model writes with prompts only, on
`evaluation.control_studies`. `n` says so, and a difference is taken over the studies that both sides have.
"""

import hashlib
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from tqdm import tqdm

from .. import inference
from ..datasets.registry import load_training
from ..metrics.clinical import clinical_intervals, positive_labels
from ..metrics.intervals import bootstrap_sums, sums_by_group
from ..metrics.lexical import (
    lexical_intervals,
    meteor_note,
    meteor_process,
    release_tokenise,
    score_reports,
    tokenise,
)
from ..observations import BLANK, OBSERVATIONS, POSITIVE
from ..record.sources import code_behind
from ..text.entities import positives
from ..text.labeler import label_array
from .findings import probabilities_of
from .inputs import test_studies, weights_hash, writers
from .prompting import (
    ALL_LEAVES,
    CELLS,
    CONTROLS,
    ENTITIES,
    GIVEN,
    LEAVES,
    OTHER_TOKENS,
    REFERENCE,
    WITH,
    WITHOUT,
    other_patients,
    prefix_of,
)
from .results import cached, long_table, patients_of, results_key

VARIANTS = (*CELLS, REFERENCE)
HEAD_LABELS, CONSTANT = "head labels", "constant report"
RIVALS = {
    WITH: (ENTITIES, LEAVES, WITHOUT), LEAVES: (WITHOUT,), ENTITIES: (WITHOUT,), **dict.fromkeys(CONTROLS, (WITH,)),
}  # fmt: skip
"""Variant -> the variants of the same model from which its micro F1 is told apart, on the same studies."""
COLUMNS = [
    "study", "patient", "method", "variant", "generated", "reference", "generated_labels", "reference_labels", "findings",
]  # fmt: skip
CHUNK = 64


def evaluate_reports(run, models: dict, studies: Sequence | None = None) -> pd.DataFrame:
    """Every report of every model and variant (cached per model), with the labels that the labeler reads in it.

    run: has `.settings` and `.runs`. Columns: study, patient, method, variant, generated, reference (texts), generated_labels,
    reference_labels ([14] codes), findings ([13] probabilities of the head; None for the constant report).
    """
    settings = run.settings
    studies = test_studies(settings) if studies is None else studies
    studies = [studies[i] for i in range(len(studies))]  # cut by number below
    key = results_key(studies, settings, __name__)
    constant = constant_rows(studies, load_training(settings, "train"), load_training(settings, "validation"))
    frames = [constant.assign(patient=[study.patient_id for study in studies])]
    for method, model in writers(models).items():
        own = {**key, "weights": weights_hash(model)}
        write = partial(write_all, method, model, studies, settings)
        frames.append(cached(run.runs / "evaluation", f"reports {method}", own, write))
    return pd.concat(frames, ignore_index=True)


def write_all(method: str, model, studies: Sequence, settings) -> pd.DataFrame:
    """Rows of one model: its reports under each variant, and its head's labels."""
    probabilities = probabilities_of(model, studies)
    from_head = inference.positive_findings(model, probabilities)
    counts = report_counts(method, studies, settings)
    other = other_patients([study.patient_id for study in studies[: counts.get(OTHER_TOKENS, 0)]], settings.seed)
    frames = [labels_as_rows(studies, from_head)]
    with tqdm(total=sum(counts.values()), desc=f"{method}: reports", unit="report", leave=False) as bar:
        for variant, count in counts.items():
            part, findings = studies[:count], from_head[:count]
            if variant == REFERENCE:
                findings = [positives(study.labels, settings.inference.uncertain_as_positive) for study in part]
            prefix, texts = prefix_of(variant, part, findings, other), []
            for start in range(0, count, CHUNK):
                texts += prefix.write(model, slice(start, min(start + CHUNK, count)))
                bar.update(len(texts) - start)
            frames.append(text_rows(part, texts).assign(variant=variant))
    frame = pd.concat(frames, ignore_index=True).assign(method=method)
    by_study = dict(zip((study.study_id for study in studies), probabilities.astype(np.float32), strict=True))
    frame["findings"] = [by_study[study] for study in frame["study"]]
    frame["patient"] = frame["study"].map({study.study_id: study.patient_id for study in studies})
    return frame[COLUMNS]


def report_counts(method: str, studies: Sequence, settings) -> dict[str, int]:
    """Variant -> for how many of the first studies it is written."""
    if method == "untrained":
        return {WITH: min(settings.evaluation.control_studies, len(studies))}
    given = (GIVEN,) if all(study.prompt is not None for study in studies) else ()
    some = min(settings.evaluation.prompt_studies, len(studies))
    controls = CONTROLS
    if other_patients([study.patient_id for study in studies[:some]], settings.seed) is None:
        print("one patient has most of the studies: prompts of another patient are left out")
        controls = (ALL_LEAVES,)
    return {**dict.fromkeys((*VARIANTS, *given), len(studies)), **dict.fromkeys(controls, some)}


def text_rows(studies: Sequence, texts: Sequence[str]) -> pd.DataFrame:
    """One row per study: the generated and the reference text with their labels."""
    return pd.DataFrame(
        {
            "study": [study.study_id for study in studies],
            "generated": list(texts),
            "reference": [study.report for study in studies],
            "generated_labels": list(label_array(list(texts))),
            "reference_labels": [np.asarray(study.labels, np.int8) for study in studies],
        }
    )


def labels_as_rows(studies: Sequence, findings: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Findings as if they were labels of a report without words; nothing but devices: "No Finding" is positive."""
    codes = np.full((len(studies), len(OBSERVATIONS)), BLANK, np.int8)
    for row, names in zip(codes, findings, strict=True):
        row[[OBSERVATIONS.index(name) for name in names]] = POSITIVE
        row[0] = BLANK if set(names) - {"Support Devices"} else POSITIVE
    rows = text_rows(studies, [""] * len(studies))
    rows["generated_labels"] = list(codes)
    return rows.assign(variant=HEAD_LABELS)


def constant_report(train, validation) -> str:
    """The training report that, given to everybody, has the best micro F1 (13 findings, positive only) on validation.

    train, validation: training views with `.reports` and `.labels` int8 [n, 14]. The first of equals is taken.
    """
    said = positive_labels(train.labels)[:, 1:].astype(np.int64)
    true = positive_labels(validation.labels)[:, 1:].sum(0)
    f1 = 2 * (said @ true) / np.maximum(said.sum(1) * len(validation.labels) + true.sum(), 1)
    return train.reports[int(np.argmax(f1))]


def constant_rows(studies: Sequence, train, validation) -> pd.DataFrame:
    """Rows of the constant report on all studies; no patients."""
    text = constant_report(train, validation)
    labels = label_array([text])[0]
    rows = text_rows(studies, [""] * len(studies)).assign(
        method=CONSTANT, variant="constant", generated=text, findings=None
    )
    rows["generated_labels"] = [labels] * len(studies)
    return rows.reindex(columns=COLUMNS)


def report_table(per_study: pd.DataFrame, settings) -> pd.DataFrame:
    """The table report_generation: variant, method, metric, value, low, high, n (studies), seed; cached.

    Lexical metrics (bleu1..4, rouge_l, cider; meteor where there is java) on our tokens, with suffix "_release_tokens" on the
    release's; clinical ones (metrics.clinical.METRICS) with only positive as positive, and with "_uncertain_as_positive".
    Controls of the prompts are scored by findings only. Paired differences of micro F1 on the same studies:
    micro_f1_13_minus_constant, _minus_head_labels, and from other variants by RIVALS.
    """
    if not len(per_study):
        return long_table([], ["variant"])
    key = {
        "rows": rows_hash(per_study),
        "bootstrap": settings.evaluation.bootstrap,
        "seed": settings.seed,
        "meteor": meteor_note(),
        "code": code_behind(__name__),
    }
    return cached(
        settings.runs / "evaluation",
        "report table",
        key,
        lambda: long_table(report_rows(per_study, settings), ["variant"]),
    )


def rows_hash(per_study: pd.DataFrame) -> str:
    """SHA-256 of the patients, texts and labels behind a table."""
    digest, patients = hashlib.sha256(), per_study["study"].map(patients_of(per_study))
    for row in per_study.assign(patient=patients)[COLUMNS[:-1]].itertuples(index=False):
        texts, labels = row[:6], np.asarray([*row[6:]], np.int8)
        digest.update("\0".join(texts).encode() + labels.tobytes())
    return digest.hexdigest()


def report_rows(per_study: pd.DataFrame, settings) -> list[dict]:
    """The rows of `report_table`."""
    resamples, seed, rows = settings.evaluation.bootstrap, settings.seed, []
    per_study = per_study.assign(patient=per_study["study"].map(patients_of(per_study)))
    groups = {key: group.reset_index(drop=True) for key, group in per_study.groupby(["method", "variant"], sort=False)}
    with meteor_process() as meteor:
        for (method, variant), group in tqdm(groups.items(), desc="scoring reports", unit="system", leave=False):
            scores = clinical_scores_of(group, resamples, seed)
            if variant not in (HEAD_LABELS, *CONTROLS):
                scores = {**lexical_scores_of(group, resamples, seed, meteor), **scores}
            numbers = dict.fromkeys(scores, len(group))
            for name, rival in rivals_of(method, variant).items():
                if rival in groups:
                    metric = f"micro_f1_13_minus_{name}"
                    scores[metric], numbers[metric] = f1_difference(group, groups[rival], resamples, seed)
            rows += [
                {
                    "variant": variant,
                    "method": method,
                    "metric": metric,
                    "value": value,
                    "low": low,
                    "high": high,
                    "n": numbers[metric],
                    "seed": seed,
                }
                for metric, (value, low, high) in scores.items()
                if np.isfinite(value)
            ]
    return rows


def rivals_of(method: str, variant: str) -> dict[str, tuple[str, str]]:
    """Ending of the metric -> (method, variant) from whose micro F1 a system's is told apart."""
    if method == CONSTANT:
        return {}
    found = {"constant": (CONSTANT, "constant")}
    if variant != HEAD_LABELS:
        found["head_labels"] = (method, HEAD_LABELS)
    return found | {rival.replace(" ", "_"): (method, rival) for rival in RIVALS.get(variant, ())}


class NoMeteor:
    """Stands in for METEOR's program where its number is not wanted twice."""

    @staticmethod
    def compute_score(truths: dict, hypotheses: dict) -> tuple[float, list[float]]:
        return float("nan"), [float("nan")] * len(truths)


def lexical_scores_of(group: pd.DataFrame, resamples: int, seed: int, meteor) -> dict:
    """Lexical intervals on our tokens and (without METEOR) on the release's."""
    texts = list(group["generated"]), list(group["reference"])
    drawn = {"resamples": resamples, "seed": seed, "patients": list(group["patient"])}
    ours = lexical_intervals(*texts, tokens=tokenise, scores=score_reports(*texts, tokenise, meteor), **drawn)
    scores = score_reports(*texts, release_tokenise, NoMeteor())
    release = lexical_intervals(*texts, tokens=release_tokenise, scores=scores, **drawn)
    return {**ours, **{f"{name}_release_tokens": value for name, value in release.items()}}


def clinical_scores_of(group: pd.DataFrame, resamples: int, seed: int) -> dict:
    """Clinical intervals under both conventions."""
    labels = np.stack(group["generated_labels"]), np.stack(group["reference_labels"])
    strict, wide = (
        clinical_intervals(*labels, wider, resamples, seed, list(group["patient"])) for wider in (False, True)
    )
    return {**strict, **{f"{name}_uncertain_as_positive": value for name, value in wide.items()}}


def f1_difference(group: pd.DataFrame, rival: pd.DataFrame, resamples: int, seed: int):
    """Micro F1 over the 13 findings of `group` minus that of `rival`, with its paired interval, and of how many studies.

    Both are taken over the studies that both have; patients are drawn, each with all of their studies (`patients_of`).
    """
    patients, group, rival = patients_of(group), group.set_index("study"), rival.set_index("study")
    both = [study for study in group.index if study in rival.index]
    counts = np.hstack([f1_counts(group.loc[both]), f1_counts(rival.loc[both])])

    def difference(sums: np.ndarray) -> np.ndarray:
        scores = [
            2 * hit / np.maximum(said + true, 1)
            for hit, said, true in ((sums[..., k], sums[..., k + 1], sums[..., k + 2]) for k in (0, 3))
        ]
        return scores[0] - scores[1]

    return bootstrap_sums(sums_by_group(counts, patients[both])[0], difference, resamples, seed), len(both)


def f1_counts(group: pd.DataFrame) -> np.ndarray:
    """What each study adds to micro F1 over the 13 findings: [n, 3] = hits, said, true."""
    said = positive_labels(np.stack(group["generated_labels"]))[:, 1:]
    true = positive_labels(np.stack(group["reference_labels"]))[:, 1:]
    return np.stack([(said & true).sum(1), said.sum(1), true.sum(1)], axis=1).astype(np.float64)
