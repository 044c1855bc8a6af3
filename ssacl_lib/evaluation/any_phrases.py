"""The phrase controls of notebook 04 for a model of the reader's: a checkpoint of ours, or any CLIP-like one of transformers."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from ..baselines.clip_network import ClipNetwork
from ..baselines.outside import VisionModel, content_of, load_outside
from ..settings import Settings
from .controls import UNSEEING
from .grounding import evaluate_phrases, phrase_table
from .inputs import device_of, test_studies

MAPS = ("masked", "similarity")
RESERVED = (*UNSEEING, "untrained")
"""Methods of notebook 04 that are asked in a way of their own."""


def name_of(name_or_path: str) -> str:
    """What a model is called in the table: the name of its folder, or on the hub.

    Raises:
        ValueError: that is the name of a control.
    """
    folder = Path(name_or_path)
    name = folder.resolve().name if folder.is_dir() else name_or_path
    if name in RESERVED:
        raise ValueError(f"{name_or_path}: {name!r} is the name of a control of the table; rename the folder")
    return name


def phrases_of(settings: Settings, name_or_path: str) -> pd.DataFrame:
    """The table of `phrase_table` for one model and what sees no film, on the unseen studies of the settings.

    Raises:
        ValueError: the model has no text side, or the studies have no phrases.
        OSError: no such folder, and no model of that name could be fetched.
    """
    method, studies = name_of(name_or_path), test_studies(settings)
    if not any(study.phrases for study in studies):
        raise ValueError(
            f"the test studies of the data set {settings.dataset!r} have no phrases with a place; a folder of films needs "
            "phrase_boxes.csv"
        )
    try:
        model = load_outside(name_or_path, str(device_of(settings)))
    except OSError as error:
        if Path(name_or_path).is_dir():
            raise
        raise OSError(
            f"{name_or_path}: no such folder here, and no model of that name could be fetched ({error})"
        ) from None
    if isinstance(model, VisionModel):
        if model.clip is None:
            raise ValueError(
                f"{name_or_path}: {type(model.model).__name__} sees and does not read, so no phrase can be asked of it; name a "
                "model of image and text, such as a CLIPModel"
            )
        model = ClipNetwork(model.clip, studies[0].image.shape[-1])
    runs = settings.runs / content_of(name_or_path)[:12]  # another model of the same name keeps its own rows
    return phrase_table(
        evaluate_phrases(SimpleNamespace(settings=settings, runs=runs), {method: model}, studies, MAPS), settings
    )
