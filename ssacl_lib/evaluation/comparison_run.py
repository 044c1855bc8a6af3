"""One run of the comparison (a method with a training seed): its settings, its folders, and what of it is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .. import paths
from ..baselines.registry import CENTRAL, METHODS, SSACL, Method, method_of
from ..phantom.frozen import VERSION
from ..record.manifest import read_json
from ..record.sources import sha256_json
from ..settings import Settings

PATIENTS = 2
"""Seed of the test patients, on whom nothing was chosen."""

SEEDS = 3
"""Training seeds of a central method; the others have one."""

OWN_SEEDS = 72
"""Those of SS-ACL: every margin, and every line of the ablation, is told against their spread."""

BEST_MAPS, MAP_SEEDS = "GLoRIA-like", 5
"""The trained rival whose maps were best when each had been trained once, and its seeds: a margin over one training of it says
little."""

SHARE = 2
"""A run sees the rebuild's number of images divided by this."""


@dataclass(frozen=True)
class Run:
    """One method with one training seed. settings: the profile's."""

    method: Method
    seed: int
    settings: Settings

    @property
    def name(self) -> str:
        """As a person says it."""
        return f"{self.method.name}, seed {self.seed}"

    @property
    def place(self) -> str:
        """Its folder below those of results and of weights."""
        return f"{self.method.slug}/seed{self.seed}"

    @property
    def folder(self) -> Path:
        """Where its results go."""
        return results_folder(self.settings) / self.place

    @property
    def weights(self) -> Path:
        """Where its weights go."""
        return runs_folder(self.settings) / self.place

    @cached_property
    def training(self) -> Settings:
        """The settings of its training: one thread, so that two runs can go side by side."""
        images = max(1, self.method.times * self.settings.training.images // SHARE)
        budget = {"training.images": images, "training.warmup_images": self.settings.training.warmup_images // SHARE}
        return self.settings.changed(
            **{**budget, "seed": self.seed, "threads": 1, **changes_of(self.method, self.settings)}
        )

    @property
    def drawn(self) -> bool:
        """May a figure show its maps? They are kept of the first training of SS-ACL and of every rival, numbers of all."""
        return self.seed == self.settings.seed and (self.method.name == SSACL or not self.method.ours)

    @property
    def told(self) -> dict:
        """Its `run.json`; empty where it is not there."""
        return read_json(self.folder / "run.json")

    @property
    def kernels(self) -> str:
        """Kind of the processor that made it ("AVX512"), by the kernels that torch chose there."""
        return self.told.get("kernels", "unknown").split(",")[0]

    @property
    def recipe(self) -> str:
        """Hash of all that decides the run but the code: results of another recipe are made again."""
        network = f"{self.method.kind.__module__}.{self.method.kind.__name__}"
        told = {name: value for name, value in self.training.deciding().items() if name != "evaluation.bootstrap"}
        pairs = self.method.pairs.__name__ if self.method.pairs else None
        films = [self.settings.seed] if self.settings.seed else []  # of the training patients; not that of the training
        return sha256_json(
            [told, network, pairs, self.method.made, self.method.variant, PATIENTS, SHARE, VERSION, *films]
        )


def changes_of(method: Method, settings: Settings) -> dict[str, object]:
    """The settings of a profile that a method changes, but for its budget: dotted name -> value."""
    if method.slower == 1:
        return method.changes
    rate, scale = settings.training.learning_rate, settings.training.language_rate_scale
    slow = {"training.learning_rate": rate / method.slower, "training.language_rate_scale": scale * method.slower}
    return {**slow, **method.changes}


def results_folder(settings: Settings) -> Path:
    """Where the results of a profile's runs lie: below data/results, or in an explicit out_dir."""
    return (
        (settings.figures if settings.out_dir else paths.DATA / "results")
        / "comparison"
        / seeded(settings.profile, settings)
    )


def runs_folder(settings: Settings) -> Path:
    """Where their weights lie."""
    return (
        (settings.figures / "runs" if settings.out_dir else paths.RUNS)
        / "comparison"
        / seeded(settings.profile, settings)
    )


def seeded(name: str, settings: Settings) -> str:
    """A folder's name, with the seed of the training patients where it is not 0, so that two seeds don't overwrite each other."""
    return f"{name}-seed{settings.seed}" if settings.seed else name


def planned(settings: Settings, only: Sequence[str] = (), seeds: int | None = None) -> list[Run]:
    """All runs, first seed of all methods first; only: names of methods; seeds: the first trainings of each alone.

    Raises:
        ValueError: no method of that name, or no seed at all.
    """
    if seeds is not None and seeds < 1:
        raise ValueError(f"{seeds} seeds, expected at least 1")
    methods = [method_of(name) for name in dict.fromkeys(only)] or list(METHODS)
    most = max(map(seeds_of, methods))
    most = most if seeds is None else min(most, seeds)
    return [Run(method, settings.seed + k, settings) for k in range(most) for method in methods if k < seeds_of(method)]


def seeds_of(method: Method) -> int:
    """How many training seeds a method has."""
    if method.name == SSACL:
        return OWN_SEEDS
    if method.name == BEST_MAPS:
        return MAP_SEEDS
    return SEEDS if method.group == CENTRAL else 1


def missing(run: Run) -> list[str]:
    """The parts that are not there, by this recipe."""
    told = read_json(run.folder / "run.json")
    done = told.get("parts", {}) if told.get("recipe") == run.recipe else {}
    return [part for part in run.method.parts if part not in done or not (run.folder / f"{part}.parquet").is_file()]
