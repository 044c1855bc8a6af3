"""The stages of a rebuild, one a notebook: what each makes, what its key is made of, and is it done?

A key is made of the notebook, the library modules behind it, the settings, its inputs and the keys of the stages that it needs;
a stage whose key and outputs are those of the last run is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import paths
from ..datasets.labelled import outside_data
from ..record.manifest import output_problems, read_json
from ..record.sources import (
    files_fingerprint,
    folder_fingerprint,
    notebook_fingerprint,
    notebook_modules,
    sha256_file,
    sha256_json,
)
from ..record.spread import spread_file
from ..record.starts import made_here, to_be_made
from ..settings import Settings


@dataclass(frozen=True)
class Stage:
    """One notebook: the stages that it needs, the outputs that it must make, and what it shows in a line.

    makes: paths below the folder of results. keeps: paths below the runs folder that later stages read; they know themselves
    what they were made from (`record/kept.py`), so a plot that changed is drawn again without training again. reads: committed
    results below data/results that it shows (patterns), which other commands made.
    """

    name: str
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    keeps: tuple[str, ...]
    shows: str
    reads: tuple[str, ...] = ()

    @property
    def notebook(self) -> Path:
        """The notebook's source."""
        return paths.NOTEBOOKS / f"{self.name}.ipynb"


STAGES = (
    Stage(
        "00_explorer", (), ("fig02_phrase.png",), (),
        "ask the shipped model: a patient, a phrase with its controls, a node, what changed, other models; widgets and twins",
    ),
    Stage(
        "01_anatomy_graph", (), ("tables/phantom_difficulty.csv",), (),
        "the phantom and its masks, the 32-node graph, query restoration, how hard the phantom is",
        ("comparison/cpu/detector/**/phrases.parquet",),
    ),
    Stage(
        "02_pretraining", (), (), ("model",),
        "the architecture, the attention matrices, the five losses, the pretraining of this profile",
    ),
    Stage(
        "03_report_generation", ("02_pretraining",),
        ("tables/finding_classification.csv", "tables/report_generation.csv"), (),
        "anatomy inference, reports with and without prompts, lexical and clinical scores, case study",
        ("sight.parquet", "one_leaf.parquet", "probe.parquet", "labeler.csv"),
    ),
    Stage(
        "04_grounding_evaluation", ("02_pretraining",),
        ("tables/phrase_grounding.csv", "tables/anatomy_grounding.csv"), (),
        "phrases and anatomies against exact masks, both kinds of map, controls, case grid",
    ),
    Stage(
        "05_ablation", (), (), (),
        "the paper's three claims against rivals of equal budget, every part of the method taken away or made wrong",
        ("comparison/**/*.parquet", "comparison/**/run.json", "randomisation.csv", "size.csv"),
    ),
    Stage(
        "06_downstream", (), (), (),
        "classification without and with few labels, segmentation, retrieval, and the level of disturbance at which a claim ends",
        ("downstream/**/*.parquet", "downstream/**/*.json"),
    ),
    Stage(
        "07_speed", (), ("fig71_ratios.png", "fig73_curves.png"), (),
        "the reference formulation against ours: throughput, memory, cost curves, generation, grounding (`ssacl bench`)",
    ),
)  # fmt: skip


DOWNSTREAM = "06_downstream"
"""The stage that can be asked of films without reports."""


def select_stages(only: Sequence[str]) -> list[Stage]:
    """The stages whose names begin with one of the given numbers or names; all where none is given.

    Raises:
        ValueError: a name that fits no stage.
    """
    for wanted in only:
        if not any(stage.name.startswith(wanted) for stage in STAGES):
            raise ValueError(f"no stage {wanted!r}; there are {', '.join(stage.name for stage in STAGES)}")
    return [stage for stage in STAGES if not only or stage.name.startswith(tuple(only))]


def needed_by(stages: Sequence[Stage]) -> list[Stage]:
    """The stages that some of these need."""
    return [other for other in STAGES if any(other.name in stage.needs for stage in stages)]


# ---- keys
def _inputs(settings: Settings) -> dict[str, str]:
    """Hashes of what comes from outside of the library: what is shipped beside it, and the data that the user brings.

    A start below runs/ is none: a stage makes it from the settings.
    """
    told = {path.as_posix(): sha256_file(path) for path in sorted(paths.CHECKPOINTS.rglob("*.json"))}
    inputs = {
        "shipped checkpoints": folder_fingerprint(paths.CHECKPOINTS),
        "their settings": sha256_json(list(told.values())),
    }
    if settings.model.encoder_weights and not made_here(settings.model.encoder_weights):
        inputs["start checkpoint"] = folder_fingerprint(paths.ROOT / settings.model.encoder_weights)
    if (data := outside_data(settings)) is not None:
        inputs["data"] = data
    return inputs


def _runs_of(settings: Settings) -> str:
    """Of the runs that the intervals know; nothing is trained again for their sake."""
    return sha256_file(spread_file(settings)) if spread_file(settings).is_file() else "absent"


def _results_of(stage: Stage, settings: Settings) -> dict[str, str]:
    """Of the results that a stage reads, by path: the committed ones, and those that lie in a folder of the user's own."""
    folders = [paths.DATA / "results", *([settings.figures] if settings.out_dir else [])]
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for folder in folders
        for pattern in stage.reads
        for path in sorted(folder.glob(pattern))
    }


def stage_key(stage: Stage, settings: Settings) -> dict[str, str]:
    """The parts of a stage's key by name, each a hash, so that a difference can say what changed."""
    by_name = {other.name: other for other in STAGES}
    needs = [stage_key(by_name[name], settings) for name in stage.needs]
    return {
        "the notebook": notebook_fingerprint(stage.notebook),
        "the library": files_fingerprint(notebook_modules(stage.notebook)),
        "the settings": sha256_json(settings.deciding()),
        "the inputs": sha256_json({**_inputs(settings), "runs": _runs_of(settings), **_results_of(stage, settings)}),
        "an earlier stage": sha256_json(needs),
    }


def note_of(stage: Stage, settings: Settings) -> Path:
    """Where this machine remembers that a stage was done; a fresh clone has none, so it rebuilds."""
    return settings.runs / "stages" / f"{stage.name}.json"


def is_done(stage: Stage, settings: Settings) -> bool:
    """Was the stage done here with the same key, and are its outputs still what they were?"""
    recorded = read_json(settings.figures / "manifest.json").get("notebooks", {}).get(stage.name, {})
    return (
        read_json(note_of(stage, settings)).get("key") == stage_key(stage, settings) == recorded.get("key")
        and all((settings.runs / name).exists() for name in stage.keeps)
        and not (stage.keeps and to_be_made(settings.model.encoder_weights))
        and not any(line.startswith(f"{stage.name}:") for line in output_problems(settings.figures))
    )
