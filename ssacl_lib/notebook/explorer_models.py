"""The models that the explorer can ask: those of the repository, those that this machine has trained."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path

import torch

from .. import paths
from ..baselines.registry import CENTRAL
from ..evaluation.comparison_run import planned
from ..evaluation.inputs import device_of
from ..evaluation.models import small_model
from ..model import SSACLModel
from ..model.build import build_model, load_model
from ..model.start import load_network, load_text_side, start_tokenizer
from ..record.kept import made_from
from ..settings import load_settings
from ..training import checkpoints


class ModelsAtHand(Mapping):
    """Models by name, each loaded when it is first asked for; `fitted` names those whose head has learnt findings.

    untrained: the shipped model's sizes, random weights. start: what the profile cpu goes on from, before the five losses. this
    run: what a rebuild of this profile has trained here. shipped: of the repository. Then the compared methods that
    `ssacl ablation` has trained here.
    """

    def __init__(self, run):
        self.run, self.device = run, device_of(run.settings)
        self.loaded: dict[str, SSACLModel] = {}
        self.makers = self._makers()
        self.fitted = tuple(name for name in ("this run", "shipped") if name in self.makers)

    def _makers(self) -> dict[str, Callable[[], SSACLModel]]:
        folder = paths.SHIPPED_CHECKPOINT
        if not (folder / "config.json").is_file():
            print(f"no shipped checkpoint in {folder.name}/: a small model is trained instead")
            return {"this run": lambda: load_model(small_model(self.run), str(self.device))}
        found = {"untrained": self._untrained}
        if start_tokenizer(str(paths.START_CHECKPOINT)) is not None:
            found["start"] = self._start
        own = self.run.settings.changed(out_dir=None).runs / "model"
        if self._of_today(own) and self._size_of(own) == self._size_of(folder):
            found["this run"] = lambda: load_model(own, str(self.device))
        found["shipped"] = lambda: load_model(folder, str(self.device))
        for trained in planned(load_settings("cpu")):
            place = trained.weights / "model"
            if trained.method.group == CENTRAL and trained.seed == 0 and (place / "config.json").is_file():
                found[trained.method.name] = lambda place=place, kind=trained.method.answers: load_network(
                    place, str(self.device), kind
                )
        return found

    def _of_today(self, folder: Path) -> bool:
        """Has a rebuild trained the model in a folder by these settings and this code?"""
        return folder.is_dir() and made_from(folder) == checkpoints.made_from(self.run.settings)

    @staticmethod
    def _size_of(folder) -> int:
        return SSACLModel.config_class.from_pretrained(folder).image_size

    def _untrained(self) -> SSACLModel:
        shipped = self["shipped"]
        config = deepcopy(shipped.config)
        config.plus = False
        with torch.random.fork_rng():
            torch.manual_seed(self.run.settings.seed)
            model = SSACLModel(config)
        model.processor = shipped.processor
        return model.to(self.device).eval()

    def _start(self) -> SSACLModel:
        weights = str(paths.START_CHECKPOINT)
        with torch.random.fork_rng():
            model = build_model(load_settings("cpu", **{"model.encoder_weights": weights}), start_tokenizer(weights))
        load_text_side(model, weights)
        return model.to(self.device).eval()

    def __getitem__(self, name: str) -> SSACLModel:
        if name not in self.loaded:
            self.loaded[name] = self.makers[name]()
        return self.loaded[name]

    def __iter__(self):
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)
