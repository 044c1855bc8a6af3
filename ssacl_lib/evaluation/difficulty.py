"""How hard is the phantom? The AUC of a small supervised network that is trained on the truth itself.

The truth of training patients is drawn here, for this yardstick only; the method's training never sees it.
"""

import numpy as np
import pandas as pd

from ..baselines.small_cnn import predict_cnn, train_cnn
from ..datasets.registry import load_training
from ..observations import FINDINGS
from ..phantom import draw_signs
from ..record.sources import code_behind
from .findings import auc_rows
from .inputs import device_of, test_studies
from .results import cached, long_table, mean_rows, studies_hash

METHOD = "supervised small CNN"
AIM = (0.80, 0.97)
"""Where the mean AUC is to lie: below, a network can hardly learn the task; above, methods can't be told apart by it."""


def truth_of(seed: int, split: str, count: int) -> np.ndarray:
    """The generator's findings of phantom patients 0 .. count - 1: [count, 13] bool."""
    drawn = ({sign.finding for sign in draw_signs(seed, split, i)} for i in range(count))
    return np.array([[finding in there for finding in FINDINGS] for there in drawn])


def evaluate_cnn(run, seed: int | None = None) -> pd.DataFrame:
    """Train the network (cached) and predict the test studies: study, finding, present, probability.

    seed: of its weights and order; None: the run's, which also says which patients there are.
    """
    settings = run.settings
    seed = settings.seed if seed is None else seed
    studies, train = test_studies(settings), load_training(settings, "train")
    key = {"studies": studies_hash(studies), "train": [train.folder.name, len(train)], "images": settings.evaluation.cnn_images,
           "seed": seed, "code": code_behind(__name__)}  # fmt: skip

    def compute() -> pd.DataFrame:
        truth = truth_of(settings.seed, "train", len(train))
        model = train_cnn(train.images, truth, settings.evaluation.cnn_images, seed, device_of(settings))
        probability = predict_cnn(model, np.stack([study.image for study in studies]))
        present = np.stack([study.truth for study in studies])
        index = pd.MultiIndex.from_product([[s.study_id for s in studies], FINDINGS], names=["study", "finding"])
        columns = {"present": present.ravel(), "probability": probability.ravel()}
        return pd.DataFrame(columns, index).reset_index()

    return cached(run.runs / "evaluation", "difficulty", key, compute)


def beside_cnn(run, per_study: pd.DataFrame) -> pd.DataFrame:
    """Rows of `findings.evaluate_findings` and, on the phantom, those of the supervised network on the same studies.

    What an encoder of the same films can know where every finding of every training patient is told to it: the head
    learns from reports, on an encoder that is frozen.
    """
    if run.settings.dataset != "phantom":
        return per_study
    return pd.concat([per_study, evaluate_cnn(run).assign(method=METHOD, reference="truth")], ignore_index=True)


def phantom_difficulty(run) -> pd.DataFrame:
    """The table phantom_difficulty: finding, method, metric (auc | prevalence), value, low, high, n, seed.

    "mean of findings" is the phantom's difficulty. Another data set than the phantom: no rows.
    """
    if run.settings.dataset != "phantom":
        return long_table([], ["finding"])
    return difficulty_table(evaluate_cnn(run), run.settings)


def difficulty_table(per_study: pd.DataFrame, settings) -> pd.DataFrame:
    """The rows of `phantom_difficulty` from those of `evaluate_cnn`."""
    scores = per_study.pivot(index="study", columns="finding", values="probability")[list(FINDINGS)]
    present = per_study.pivot(index="study", columns="finding", values="present")[list(FINDINGS)]
    rows = auc_rows({"method": METHOD}, scores.to_numpy(float), present.to_numpy(bool), settings)
    for finding in FINDINGS:
        share = present[[finding]].astype(float).rename(columns={finding: "prevalence"})
        rows += mean_rows({"finding": finding, "method": "phantom"}, share, share.index, settings)
    return long_table(rows, ["finding"])


def difficulty_message(table: pd.DataFrame) -> str:
    """One sentence: the mean AUC, where it lies against the aim, and the hardest and the easiest finding."""
    found = table[table["metric"] == "auc"].dropna(subset=["value"])
    if not len(found):
        return "The difficulty is a property of the phantom; this is another data set."
    mean = found[found["finding"] == "mean of findings"].iloc[0]
    each = found[found["finding"] != "mean of findings"].set_index("finding")["value"]
    low, high = AIM
    place = "below" if mean["value"] < low else "above" if mean["value"] > high else "inside"
    return (
        f"A small network that is trained on the truth reaches a mean AUC of {mean['value']:.2f} "
        f"[{mean['low']:.2f}, {mean['high']:.2f}], {place} the aim of {low:.2f} to {high:.2f}; the hardest finding is "
        f"{each.idxmin()} ({each.min():.2f}), the easiest {each.idxmax()} ({each.max():.2f})."
    )
