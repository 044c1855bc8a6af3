"""Lexical counts of the comparison's reports, kept below runs/ for whatever profile asks.

Words are compared for every patient of every training: the longest part of notebook 05, so it is done on all cores.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from .. import paths
from ..baselines.registry import REPORTS
from ..metrics.lexical import bleu_counts, score_reports
from ..record.sources import code_behind, sha256_json
from ..settings import Settings
from .comparison_run import Run, results_folder
from .reports import NoMeteor
from .results import cached

LEXICAL = ("rouge_l", "cider")
MANY = 8
"""Fewer runs than this are left to whoever asks for them: a process takes longer to start than their words to count."""


def kept() -> Path:
    """Where counts are kept."""
    return paths.RUNS / "texts" / "evaluation"


def texts_of(frame: pd.DataFrame, settings: Settings) -> tuple[list[str], list[str]]:
    """What a run wrote, and the references, in the order of the frame's studies."""
    told = pd.read_parquet(results_folder(settings) / "references.parquet").set_index("study")
    return list(frame["generated"]), list(told.loc[frame["study"], "reference"])


def lexical_counts(generated: list[str], references: list[str], folder: Path | None = None) -> pd.DataFrame:
    """Per study the counts of `bleu_counts`, and LEXICAL; kept in a folder (default below runs/) by the texts themselves."""
    key = {"texts": sha256_json([generated, references]), "code": code_behind("metrics.lexical")}

    def compute() -> pd.DataFrame:
        frame = pd.DataFrame(bleu_counts(generated, references)).rename(columns=str)
        return frame.assign(**score_reports(generated, references, meteor=NoMeteor()).per_study[list(LEXICAL)])

    return cached(folder or kept(), f"alike {key['texts'][:16]}", key, compute)


def count_all(runs: Sequence[Run]) -> None:
    """`lexical_counts` of all runs that write, where many are not kept yet: a process per core."""
    texts = [
        texts_of(pd.read_parquet(run.folder / f"{REPORTS}.parquet").sort_values("study"), run.settings)
        for run in runs
        if REPORTS in run.method.parts
    ]
    new = [pair for pair in texts if not any(kept().glob(f"alike-{sha256_json(list(pair))[:16]}.*"))]
    if len(new) >= MANY:
        # Asked by a script without `if __name__ == "__main__"` no process starts: then they are counted here, by who needs them.
        with suppress(BrokenProcessPool), ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            counted = pool.map(lexical_counts, *zip(*new, strict=True), repeat(kept()))
            for _ in tqdm(counted, "counting words", len(new), unit="training", leave=False):
                pass
