"""The downstream tasks by name. A new one is a module of its own and an entry here."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from ..settings import Settings
from . import fine_tuning, retrieval, robustness, segmentation, zero_shot
from .encoders import Encoder
from .films import CLASSIFIED, PHANTOM


@dataclass(frozen=True)
class Task:
    """One task.

    measure(encoder, settings) -> rows per study, or per subset of the labels. says: what it asks, in half a sentence.
    constants: what decides its rows beside settings and encoder, as JSON values: where they change, it is measured anew.
    needs_text: only encoders with a text side are asked. data: names of the data sets (settings.dataset) on which it runs.
    variants: those of SS-ACL are asked, too, where they are trained.
    """

    measure: Callable[[Encoder, Settings], pd.DataFrame]
    says: str
    constants: dict = field(default_factory=dict)
    needs_text: bool = False
    data: tuple[str, ...] = (PHANTOM,)
    variants: bool = False

    def suits(self, encoder: Encoder) -> bool:
        """Is this encoder asked?"""
        return encoder.has_text or not self.needs_text


TASKS: dict[str, Task] = {
    "zero_shot": Task(
        zero_shot.measure, "findings by prompts alone", zero_shot.CONSTANTS, needs_text=True, data=CLASSIFIED
    ),
    "fine_tuning": Task(fine_tuning.measure, "findings by few labels", fine_tuning.CONSTANTS, data=CLASSIFIED),
    "segmentation": Task(
        segmentation.measure, "masks by a light decoder", segmentation.CONSTANTS, data=(PHANTOM, segmentation.DATA_SET)
    ),
    "retrieval": Task(
        retrieval.measure,
        "films by texts, texts by films",
        retrieval.CONSTANTS,
        needs_text=True,
        data=(PHANTOM, retrieval.DATA_SET),
        variants=True,
    ),
    "robustness": Task(
        robustness.measure, "what is left on worse films, other bodies, other words", robustness.CONSTANTS
    ),
}
"""In the order of the tables; the keys are names of folders."""


def any_on(settings: Settings) -> bool:
    """Is any task asked of the settings' data set?"""
    return any(settings.dataset in task.data for task in TASKS.values())


def tasks_of(settings: Settings, only=()) -> dict[str, Task]:
    """The tasks that run on the settings' data set; only: names.

    Raises:
        ValueError: no task of that name, or none of the wanted ones runs on this data set.
    """
    names = [name.replace("-", "_") for name in only] or list(TASKS)
    if unknown := [name for name in names if name not in TASKS]:
        raise ValueError(f"no task {unknown[0]!r}; there are {', '.join(TASKS)}")
    found = {name: TASKS[name] for name in names if settings.dataset in TASKS[name].data}
    if names and not found:
        raise ValueError(
            f"{', '.join(names)}: not asked of the data set {settings.dataset!r}; "
            + "; ".join(f"{name} of {', '.join(TASKS[name].data)}" for name in names)
        )
    return found
