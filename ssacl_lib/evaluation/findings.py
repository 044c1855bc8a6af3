"""How well does a classification head on the frozen encoder know the findings? AUC per finding, with intervals.

The reference is the truth where it is known (the phantom), else the labels that the labeler read in the report.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..inference import findings as answers
from ..metrics.intervals import mean_auc
from ..observations import OBSERVATIONS, POSITIVE
from .inputs import test_studies, weights_hash
from .results import cached, long_table, patients_of, results_key

FINDINGS = OBSERVATIONS[1:]
COLUMNS = ["study", "patient", "finding", "method", "reference", "present", "probability", "predicted"]
CHUNK = 128


def evaluate_findings(run, models: dict, studies: Sequence | None = None) -> pd.DataFrame:
    """Probability of every finding in every study (cached per model).

    Returns one row per study, method and finding: study, patient, finding, method, reference ("truth" | "report labels"),
    present (bool), probability, predicted (bool: at or above the head's threshold).
    """
    studies = test_studies(run.settings) if studies is None else studies
    if not len(studies):
        return pd.DataFrame(columns=COLUMNS)
    key = results_key(studies, run.settings, __name__)
    frames = [
        cached(
            run.runs / "evaluation",
            f"findings {method}",
            {**key, "weights": weights_hash(model)},
            lambda m=model, name=method: score_model(name, m, studies),
        )
        for method, model in models.items()
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)


def probabilities_of(model, studies: Sequence) -> np.ndarray:
    """The head's probabilities [n, 13] for studies, in the order of OBSERVATIONS[1:]."""
    parts = []
    for start in range(0, len(studies), CHUNK):
        images = [studies[i].image for i in range(start, min(start + CHUNK, len(studies)))]
        parts.append(np.asarray(answers.predict_findings(model, np.stack(images)), np.float64))
    return np.concatenate(parts)


def reference_of(studies: Sequence) -> tuple[str, np.ndarray]:
    """What the head is compared with: ("truth" | "report labels", [n, 13] bool)."""
    if all(study.truth is not None for study in studies):
        return "truth", np.stack([np.asarray(study.truth, bool) for study in studies])
    return "report labels", np.stack([np.asarray(study.labels[1:]) == POSITIVE for study in studies])


def score_model(method: str, model, studies: Sequence) -> pd.DataFrame:
    """Rows of one model; see `evaluate_findings`."""
    probability = probabilities_of(model, studies)
    positive = answers.positive_findings(model, probability)
    name, present = reference_of(studies)
    index = pd.MultiIndex.from_product([[study.study_id for study in studies], FINDINGS], names=["study", "finding"])
    values = {
        "patient": np.repeat([study.patient_id for study in studies], len(FINDINGS)),
        "method": method,
        "reference": name,
        "present": present.ravel(),
        "probability": probability.ravel(),
        "predicted": np.array([np.isin(FINDINGS, names) for names in positive]).ravel(),
    }
    return pd.DataFrame(values, index).reset_index()[COLUMNS]


def auc_rows(
    about: dict, scores: np.ndarray, present: np.ndarray, settings, patients: Sequence | None = None
) -> list[dict]:
    """Long rows (metric "auc") per finding and for "mean of findings"; n counts studies.

    patients: [n], of each study; None: every study is one.
    """
    each, mean = mean_auc(scores, present, settings.evaluation.bootstrap, settings.seed, patients)
    return [
        {
            "finding": finding,
            **about,
            "metric": "auc",
            "value": value,
            "low": low,
            "high": high,
            "n": len(scores),
            "seed": settings.seed,
        }
        for finding, (value, low, high) in zip((*FINDINGS, "mean of findings"), (*each, mean), strict=True)
        if np.isfinite(value)
    ]


def finding_table(per_study: pd.DataFrame, settings) -> pd.DataFrame:
    """The table finding_classification: reference, finding, method, metric "auc", value, low, high, n, seed.

    Intervals resample patients, who may have several studies.
    """
    rows, patients = [], patients_of(per_study)
    for (method, reference), group in per_study.groupby(["method", "reference"], sort=False):
        wide = group.pivot(index="study", columns="finding", values=["probability", "present"])
        scores = wide["probability"][list(FINDINGS)].to_numpy(float)
        present = wide["present"][list(FINDINGS)].to_numpy(bool)
        about = {"reference": reference, "method": method}
        rows += auc_rows(about, scores, present, settings, patients[wide.index])
    return long_table(rows, ["reference", "finding"])
