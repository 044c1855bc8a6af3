"""The phrase controls of notebook 04 for a model of the reader's: a checkpoint of ours, or any CLIP-like one of transformers."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from ..baselines.clip_network import ClipNetwork
from ..baselines.outside import VisionModel, load_outside
from ..settings import Settings
from .grounding import evaluate_phrases, phrase_table
from .inputs import device_of, test_studies

MAPS = ("masked", "similarity")


def phrases_of(settings: Settings, name_or_path: str) -> pd.DataFrame:
    """The table of `phrase_table` for one model and the centre prior, on the unseen studies of the settings.

    Raises:
        ValueError: the model has no text side, or the studies have no phrases.
        OSError: no such folder or name (transformers' own words).
    """
    studies = test_studies(settings)
    if not any(study.phrases for study in studies):
        raise ValueError(
            f"the test studies of the data set {settings.dataset!r} have no phrases with a place; a folder of films needs "
            "phrase_boxes.csv"
        )
    model = load_outside(name_or_path, str(device_of(settings)))
    if isinstance(model, VisionModel):
        if model.clip is None:
            raise ValueError(
                f"{name_or_path}: {type(model.model).__name__} sees and does not read, so no phrase can be asked of it; name a "
                "model of image and text, such as a CLIPModel"
            )
        model = ClipNetwork(model.clip, studies[0].image.shape[-1])
    run = SimpleNamespace(settings=settings, runs=settings.runs)
    return phrase_table(evaluate_phrases(run, {Path(name_or_path).name: model}, studies, MAPS), settings)
