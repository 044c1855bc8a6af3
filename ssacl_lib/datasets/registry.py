"""The door to the studies: `load_training` for training, `load_evaluation` for evaluation, of whatever data set.

The two answers differ by type (`Study`, `EvaluationStudy`), so training code can't reach a mask, a box or the truth.
"""

from collections.abc import Sequence

import pandas as pd

from ..record.manifest import atomic_write
from ..settings import Settings
from . import folder, release_csv
from .folder import FolderEvaluation, FolderSource
from .phantom import PhantomEvaluation, PhantomSource
from .release_csv import ReleaseEvaluation, ReleaseSource
from .shards import Source, TrainingStudies, build
from .study import EvaluationStudy

SOURCES = {"phantom": PhantomSource, "folder": FolderSource, "release-csv": ReleaseSource}
SPLITS = ("train", "validation", "test")


def source_for(settings: Settings, split: str) -> Source:
    """The maker of a split's studies.

    Raises:
        ValueError: unknown data set or split.
    """
    if settings.dataset not in SOURCES:
        raise ValueError(f"no data set {settings.dataset!r}; there are {', '.join(SOURCES)}")
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    return SOURCES[settings.dataset](settings, split)


def outside_data(settings: Settings) -> str | None:
    """Hex digest of the data that `data_root` holds; None where the studies are made from this repository alone."""
    readers = {"folder": folder.data_fingerprint, "release-csv": release_csv.data_fingerprint}
    return readers[settings.dataset](settings.data_root or "") if settings.dataset in readers else None


def load_training(settings: Settings, split: str = "train") -> TrainingStudies:
    """Prepare a split where that was not done yet, and open it memory-mapped.

    Raises:
        ValueError: unknown data set or split; a table has an error; no picture of the split can be read.
        FileNotFoundError: the folder, its table, or the CT of the phantom is missing.
    """
    source = source_for(settings, split)
    prepared = build(source, settings, split)
    studies = TrainingStudies(prepared, source.count, source.image_size)
    if studies.skipped:
        reasons = [reason for _, reason in studies.skipped]
        with atomic_write(prepared / "skipped.csv") as handle:
            pd.DataFrame({"reason": reasons}).to_csv(handle, index=False)
        if not len(studies):
            raise ValueError(
                f"none of the {source.count} pictures of the split {split!r} can be read; first: {reasons[0]}"
            )
        print(
            f"{len(reasons)} of {source.count} pictures ({split}) can't be read; listed in {prepared / 'skipped.csv'}"
        )
    return studies


def load_evaluation(settings: Settings, split: str = "test", limit: int | None = None) -> Sequence[EvaluationStudy]:
    """The same studies with all that is known of them: truth, region masks, phrases with boxes; at most `limit`."""
    if settings.dataset == "folder":
        skipped = [number for number, _ in load_training(settings, split).skipped]
        return FolderEvaluation(settings, split, skipped, limit)
    if settings.dataset == "release-csv":
        return ReleaseEvaluation(load_training(settings, split), limit)
    source_for(settings, split)
    return PhantomEvaluation(settings, split, limit)
