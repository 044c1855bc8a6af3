"""Rebuild every figure, table and executed notebook of a profile, stage by stage, without those that are done.

`stages.py` has their list, and says what makes one old.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .. import paths
from ..datasets.labelled import WITHOUT_REPORTS
from ..datasets.registry import SPLITS, source_for
from ..evaluation.inputs import device_of
from ..model.precision import has_fast_bfloat16
from ..record.manifest import REBUILD_VARIABLE, Run, output_problems, read_json, write_json
from ..settings import Settings
from ..threads import SAME_KERNELS
from .links import move_notebook
from .stages import DOWNSTREAM, Stage, is_done, needed_by, note_of, select_stages, stage_key

LEAST_STUDIES = 2
"""In every split: another study's phrase, and a score that weighs words by studies, need a second one."""

PARAMETERS = ("profile", "dataset", "data_root", "seed", "out_dir")
"""What every notebook takes, in its one cell tagged `parameters`."""


class StageError(RuntimeError):
    """A notebook ended with an error; the message says where the copy with the traceback lies."""


def check_before(stages: Sequence[Stage], settings: Settings) -> None:
    """All that can be wrong before any work: device, data, notebooks and their parameters.

    Raises:
        ValueError or FileNotFoundError: with the culprit and how to mend it.
    """
    if settings.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ValueError(
                f"the profile {settings.profile!r} needs a CUDA device and there is none: use --profile cpu"
            )
    if settings.dataset in WITHOUT_REPORTS and (others := [stage.name for stage in stages if stage.name != DOWNSTREAM]):
        raise ValueError(
            f"the data set {settings.dataset} has no reports, so {others[0]} can't be made of it: add --only {DOWNSTREAM[:2]}"
        )
    for split in SPLITS if settings.dataset not in WITHOUT_REPORTS else ():
        if (count := source_for(settings, split).count) < LEAST_STUDIES:
            raise ValueError(
                f"the split {split!r} has {count} study, and comparing needs {LEAST_STUDIES} or more: add studies, or give "
                "it some with the column split"
            )
    import papermill

    for stage in stages:
        if not stage.notebook.is_file():
            raise FileNotFoundError(f"{stage.notebook}: no such notebook")
        found = tuple(papermill.inspect_notebook(str(stage.notebook)))
        if sorted(found) != sorted(PARAMETERS):
            raise ValueError(f"{stage.notebook.name}: parameters {', '.join(found)}; expected {', '.join(PARAMETERS)}")


def check_needed(stages: Sequence[Stage], there: Callable[[Stage], bool]) -> None:
    """Is what these stages read among them, or there?

    Raises:
        FileNotFoundError: a needed stage has not run.
    """
    for needed in needed_by(stages):
        if needed not in stages and not there(needed):
            number = needed.name.split("_")[0]
            raise FileNotFoundError(f"stage {needed.name} comes first and is not done: add --only {number}")


def clean_notebook(content: dict) -> dict:
    """Drop what differs from run to run or breaks a viewer: widget state, times, progress bars and warnings."""
    content["metadata"] = {
        key: content["metadata"][key] for key in ("kernelspec", "language_info") if key in content["metadata"]
    }
    for cell in content["cells"]:
        tags = cell["metadata"].get("tags", [])
        cell["metadata"] = {"tags": tags} if tags else {}
        if "injected-parameters" in tags:
            cell["id"] = "injected-parameters"  # papermill draws a new one each time
        if cell["cell_type"] == "code":
            cell["outputs"] = [out for out in cell["outputs"] if out.get("name") != "stderr"]
            for output in cell["outputs"]:
                output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return content


@contextmanager
def _kernel_environment(settings: Settings) -> Iterator[None]:
    """The kernel knows that it works for a rebuild, and finds this library even where it is not installed."""
    before = dict(os.environ)
    search = [str(paths.PACKAGE.parent), *filter(None, before.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ.update({REBUILD_VARIABLE: "1", "PYTHONPATH": os.pathsep.join(search)})
    if settings.deterministic:
        os.environ.update({name: value for name, value in SAME_KERNELS.items() if name not in before})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_stage(stage: Stage, settings: Settings) -> None:
    """Execute the notebook, keep the executed copy beside the figures, and remember the key.

    Progress bars of the notebook appear on stderr.

    Raises:
        StageError: a cell failed, the kernel died, or an output that the stage promises is not there.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    key = stage_key(stage, settings)
    partial = settings.runs / "stages" / f"{stage.name}.ipynb"
    partial.parent.mkdir(parents=True, exist_ok=True)
    parameters = {name: getattr(settings, name) for name in PARAMETERS}
    start = time.perf_counter()
    try:
        with _kernel_environment(settings):
            papermill.execute_notebook(
                str(stage.notebook), str(partial), parameters, kernel_name="python3", language="python",
                progress_bar=False, stderr_file=sys.stderr, cwd=str(paths.NOTEBOOKS),
                extra_arguments=["--IPKernelApp.log_level=40"],
            )  # fmt: skip
            bfloat16 = has_fast_bfloat16(device_of(settings))  # in here, for `deterministic` decides it, too
    except papermill.PapermillExecutionError as error:
        raise StageError(
            f"stage {stage.name}: {error.ename}: {error.evalue} (the whole traceback: {partial})"
        ) from None
    except DeadKernelError:
        raise StageError(f"stage {stage.name}: the kernel died, most likely for want of memory") from None
    missing = [str(path) for path in _promised(stage, settings) if not path.exists()]
    if missing:
        raise StageError(f"stage {stage.name} ended without {', '.join(missing)}")
    run = Run(settings, stage.name)
    executed = settings.figures / "notebooks" / stage.notebook.name
    content = clean_notebook(json.loads(partial.read_text(encoding="utf-8")))
    write_json(partial, move_notebook(content, paths.NOTEBOOKS, executed.parent))
    executed.parent.mkdir(parents=True, exist_ok=True)
    os.replace(partial, executed)
    run.record(executed)
    run.finish(key, time.perf_counter() - start, bfloat16)
    write_json(note_of(stage, settings), {"key": key})


def _promised(stage: Stage, settings: Settings) -> list[Path]:
    return [settings.figures / name for name in stage.makes] + [settings.runs / name for name in stage.keeps]


def rebuild(settings: Settings, only: Sequence[str] = ()) -> None:
    """Run the stages that are not done yet, one line per stage.

    Raises:
        ValueError, FileNotFoundError: something is wrong before any work, or a needed stage has not run.
        StageError: a notebook failed.
    """
    stages = select_stages(only)
    check_needed(stages, lambda stage: note_of(stage, settings).is_file())  # at once: no study is made for that
    check_before(stages, settings)
    check_needed(stages, lambda stage: is_done(stage, settings))
    for position, stage in enumerate(stages, start=1):
        label = f"[{position}/{len(stages)}] {stage.name}"
        if is_done(stage, settings):
            print(f"{label}: nothing changed, skipped", flush=True)
            continue
        print(f"{label}: running", flush=True)
        start = time.perf_counter()
        run_stage(stage, settings)
        print(f"{label}: done in {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
    print(f"figures, tables and notebooks: {settings.figures}", flush=True)


def stale_outputs(settings: Settings, only: Sequence[str] = ()) -> list[str]:
    """One line per stage that is older than what it was made from, and per output that isn't what the manifest says."""
    recorded = read_json(settings.figures / "manifest.json").get("notebooks", {})
    lines = []
    for stage in select_stages(only):
        made_from = recorded.get(stage.name, {}).get("key")
        if made_from is None:
            lines.append(f"{stage.name}: not made yet for {settings.name}")
            continue
        changed = [part for part, value in stage_key(stage, settings).items() if made_from.get(part) != value]
        if changed:
            lines.append(f"{stage.name}: older than {', '.join(changed)}")
    selected = tuple(f"{stage.name}:" for stage in select_stages(only))
    return lines + [line for line in output_problems(settings.figures) if line.startswith(selected)]
