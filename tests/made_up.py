"""Runs of the comparison as `ssacl ablation` leaves them, with made-up scores of made-up studies: nothing is trained."""

import numpy as np
import pandas as pd

from ssacl_lib.baselines.registry import FINDINGS, PHRASES, REPORTS, TRAINED
from ssacl_lib.datasets.phantom import report_of
from ssacl_lib.evaluation.comparison import write_parquet
from ssacl_lib.evaluation.comparison_run import planned, results_folder
from ssacl_lib.evaluation.comparison_scores import NODE_SCORES
from ssacl_lib.observations import FINDINGS as OBSERVED
from ssacl_lib.phantom import draw_signs
from ssacl_lib.record.manifest import write_json
from ssacl_lib.text.labeler import label_array

STUDIES = 24


def texts(first: int) -> list[str]:
    """Reports of phantom patients."""
    return [report_of(0, "test", k, draw_signs(0, "test", k)).text for k in range(first, first + STUDIES)]


def scores(part: str, generator: np.random.Generator) -> pd.DataFrame:
    """What a run could have scored, in the columns of evaluation/comparison.py."""
    studies = [f"s{k:02d}" for k in range(STUDIES)]
    if part == REPORTS:
        told = texts(int(generator.integers(0, 60)))
        return pd.DataFrame({"study": studies, "generated": told, "generated_labels": list(label_array(told))})
    if part == FINDINGS:
        frame = pd.MultiIndex.from_product([studies, OBSERVED], names=["study", "finding"]).to_frame(index=False)
        present = np.random.default_rng(5).random(len(frame)) < 0.4  # the truth, the same for all methods
        return frame.assign(present=present, probability=np.clip(present * 0.2 + generator.random(len(frame)), 0, 1))
    if part == PHRASES:
        keys = [studies, ["masked", "similarity"], ["own", "swapped phrase", "swapped side"]]
        frame = pd.MultiIndex.from_product(keys, names=["study", "map", "control"]).to_frame(index=False)
        metrics = {name: generator.random(len(frame)) for name in ("cnr", "miou", "pointing")}
        return frame.assign(finding="Pneumonia", phrase="right opacity", **metrics)
    keys = [studies, ["as they are", "moved"]]
    frame = pd.MultiIndex.from_product(keys, names=["study", "films"]).to_frame(index=False)
    return frame.assign(**{name: generator.random(len(frame)) for name in NODE_SCORES}, map=part)


def losses(generator: np.random.Generator) -> pd.DataFrame:
    """A loss curve of two points, in the columns of training/curve.py."""
    keys = [[1000, 2000], ["train", "validation"], ["global_contrastive", "total"]]
    frame = pd.MultiIndex.from_product(keys, names=["images", "split", "term"]).to_frame(index=False)
    return frame.assign(value=generator.random(len(frame)))


def write_runs(settings, seeds: dict[str, int]) -> None:
    """Runs of methods by name, so many seeds of each, in turn on two kinds of kernels, and the references beside them."""
    for run in planned(settings, list(seeds)):
        if run.seed - settings.seed < seeds[run.method.name]:
            generator = np.random.default_rng([*run.method.name.encode(), run.seed])
            for part in run.method.parts:
                write_parquet(run.folder / f"{part}.parquet", scores(part, generator))
            if run.method.made == TRAINED:
                write_parquet(run.folder / "history.parquet", losses(generator))
            parts = {part: {"code": "", "seconds": 0} for part in run.method.parts}
            write_json(
                run.folder / "run.json", {"recipe": run.recipe, "parts": parts, "kernels": f"{'AB'[run.seed % 2]}, CPU"}
            )
    told = texts(0)
    frame = pd.DataFrame({"study": [f"s{k:02d}" for k in range(STUDIES)], "reference": told})
    write_parquet(results_folder(settings) / "references.parquet", frame.assign(labels=list(label_array(told))))
