"""The door to the studies: `load_training` for training, `load_evaluation` for evaluation, of whatever data set.

The two answers differ by type (`Study`, `EvaluationStudy`), so training code can't reach a mask, a box or the truth.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..record.manifest import atomic_write
from ..settings import Settings
from . import folder, phantom, release_csv, table_checks
from .shards import ALL_OR_NONE, Source, TrainingStudies, build
from .study import EvaluationStudy


@dataclass(frozen=True)
class DataSet:
    """What makes a data set.

    source(settings, split): the maker of a split's studies. evaluation(settings, split, prepared, limit): the same studies
    with all that is known of them; prepared() gives the training view, made where that was not done yet. outside(data_root):
    hex digest of what the user brings, None where that is nothing. published: are its pictures and texts made by this
    repository, so that they may be committed? check(root): what is wrong with the tables as a whole (table_checks.py).
    """

    source: Callable[[Settings, str], Source]
    evaluation: Callable[..., Sequence[EvaluationStudy]]
    outside: Callable[[str | None], str | None]
    published: bool = False
    check: Callable[[Path], None] = lambda root: None


DATASETS = {
    "phantom": DataSet(
        phantom.PhantomSource,
        lambda settings, split, prepared, limit: phantom.PhantomEvaluation(settings, split, limit),
        phantom.data_fingerprint,
        published=True,
    ),
    "folder": DataSet(
        folder.FolderSource,
        lambda settings, split, prepared, limit: folder.FolderEvaluation(
            settings, split, [number for number, _ in prepared().skipped], limit
        ),
        folder.data_fingerprint,
        check=table_checks.check_folder,
    ),
    "release-csv": DataSet(
        release_csv.ReleaseSource,
        lambda settings, split, prepared, limit: release_csv.ReleaseEvaluation(prepared(), limit),
        release_csv.data_fingerprint,
        check=table_checks.check_release,
    ),
}
"""Every data set by its name in the settings. Another one is a module of its own and an entry here."""

SPLITS = ("train", "validation", "test")


def source_for(settings: Settings, split: str) -> Source:
    """The maker of a split's studies.

    Raises:
        ValueError: unknown data set or split.
    """
    if settings.dataset not in DATASETS:
        raise ValueError(f"no data set {settings.dataset!r}; there are {', '.join(DATASETS)}")
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    if settings.data_root is not None:
        DATASETS[settings.dataset].check(Path(settings.data_root))
    return DATASETS[settings.dataset].source(settings, split)


def outside_data(settings: Settings) -> str | None:
    """Hex digest of the data that `data_root` holds; None where the studies are made from this repository alone."""
    return DATASETS[settings.dataset].outside(settings.data_root)


def load_training(settings: Settings, split: str = "train") -> TrainingStudies:
    """Prepare a split where that was not done yet, and open it memory-mapped.

    Raises:
        ValueError: unknown data set or split; a table has an error; no picture of the split can be read.
        FileNotFoundError: the folder, its table, or the CT of the phantom is missing.
    """
    source = source_for(settings, split)
    prepared = build(source, settings, split)
    studies = TrainingStudies(prepared, source.count, source.image_size)
    if split == "train" and (left_out := getattr(source, "left_out", "")):
        print(left_out)
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


def check_splits(studies: Sequence, validation: Sequence) -> None:
    """Raises ValueError where a patient is in training and in validation, which would then measure what is known by heart."""
    if both := set(getattr(studies, "patient_ids", ())) & set(getattr(validation, "patient_ids", ())):
        raise ValueError(
            f"{len(both)} patients are in training and in validation (first: {min(both)!r}); a data set puts each into one split"
        )
    if len({getattr(part, "prompts", None) is None for part in (studies, validation)}) > 1:
        raise ValueError(f"prompts in one of the splits alone: {ALL_OR_NONE}")


def load_evaluation(settings: Settings, split: str = "test", limit: int | None = None) -> Sequence[EvaluationStudy]:
    """The same studies with all that is known of them: truth, region masks, phrases with boxes; at most `limit`."""
    source_for(settings, split)  # names what is wrong before any study is made
    return DATASETS[settings.dataset].evaluation(settings, split, lambda: load_training(settings, split), limit)
