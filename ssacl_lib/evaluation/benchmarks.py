"""`ssacl bench`: run the scripts of `benchmarks/`, and keep what they measured as a profile's tables.

The table of a profile is `figures/PROFILE/tables/speed.csv` with the columns what, metric, value, low, high, n, seed, machine;
how fast the explorer of notebook 00 answers stands in `explorer.csv` beside it. `ssacl bench` writes them and no rebuild does: a
rebuild draws what was measured, on the machine that the table names.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from .. import paths
from ..record.manifest import Run, atomic_write, start_run, write_json
from ..record.tables import to_markdown
from ..settings import Settings, load_settings

COLUMNS = ("what", "metric", "value", "low", "high", "n", "seed", "machine")

PARTS = {
    "training_step": ("training_step",),
    "terms": ("term_", "terms_", "step_", "attention_"),
    "consistency": ("consistency_",),
    "inference": ("greedy_", "beam_", "ground_"),
    "command": ("command_",),
    "rendering": ("renderer", "prepared_", "loader"),
    "explorer": ("explorer_",),
}
"""Script in `benchmarks/` -> how the names of its rows begin."""

EXPLORER, SPEED = "explorer", tuple(name for name in PARTS if name != "explorer")
"""The part that has a table of its own, and those of the table speed."""

CAPTION = (
    "How fast, and how much memory. Medians with the 95 % interval of repeated measurements in one run; ratios are paired "
    "within a round; a row with n = 1 was counted or measured once. The names of the rows are told in benchmarks/."
)
EXPLORER_CAPTION = (
    "How long the explorer takes to answer, picture included: median with its 95 % interval, and the longest of n answers "
    "(seconds_max). The names of the rows are told in benchmarks/explorer.py."
)


def load_part(name: str) -> Callable[..., list[dict]]:
    """The function rows(settings, device, quick) of a script in `benchmarks/`.

    Raises:
        ValueError: no such part.
        FileNotFoundError: there is no checkout of the repository around this library.
    """
    if name not in PARTS:
        raise ValueError(f"no benchmark {name!r}; there are {', '.join(PARTS)}")
    return script(name).rows


def script(name: str):
    """A module of `benchmarks/` (timing and workload, which the parts share, are modules there as well)."""
    folder = paths.ROOT / "benchmarks"
    if not (folder / f"{name}.py").is_file():
        raise FileNotFoundError(
            f"{folder / f'{name}.py'} is missing: benchmarks are run from a checkout of the repository "
            "(git clone, then pip install -e .)"
        )
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(name)


def device_for(settings: Settings, device: str | None = None) -> str:
    """ "cpu" or "cuda": what was asked for, else the profile's.

    Raises:
        ValueError: another name, or CUDA where there is none.
    """
    import torch

    wanted = device or settings.device
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted not in ("cpu", "cuda"):
        raise ValueError(f"no device {wanted!r}, expected cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device here: measure with --device cpu, or on a machine that has one")
    return wanted


def measure(
    settings: Settings,
    device: str,
    parts: Iterable[str],
    quick: bool = False,
    after: Callable[[str, pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Run the parts, one after the other, with a progress bar; returns their rows as a table.

    after: called with the name and the rows of each part as soon as it is done.
    """
    scripts = {name: load_part(name) for name in parts}  # a wrong name stops before any work
    machine, done = script("timing").machine(device), []
    for name in tqdm(scripts, desc="benchmarks", unit="part"):
        rows = scripts[name](settings, device, quick)
        frame = pd.DataFrame(rows).assign(machine=machine)[list(COLUMNS)]
        odd = [what for what in frame["what"] if not what.startswith(PARTS[name])]
        if odd:
            raise ValueError(f"benchmarks/{name}.py made a row {odd[0]!r}, whose name begins like no row of this part")
        if after:
            after(name, frame)
        done.append(frame)
    return pd.concat(done, ignore_index=True)


def run_benchmarks(
    profile: str = "cpu",
    device: str | None = None,
    only: Sequence[str] | None = None,
    json_path: Path | str | None = None,
    quick: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """`ssacl bench`: measure with a profile's sizes and write its table (CSV and Markdown), part by part.

    only: names of parts (default: all); the rows of the others stay as they are in the table. json_path: the measured rows
    once more, as JSON. quick: few rounds and small sizes, to see whether everything runs; no table is written then.

    Returns:
        What was measured in this call.

    Raises:
        ValueError: unknown profile, part or device.
        FileNotFoundError: no checkout of the repository, or (for the renderer) no CT.
    """
    settings = load_settings(profile, seed=seed)
    device, parts = device_for(settings, device), list(only or PARTS)
    for name in parts:
        load_part(name)
    run = None if quick else start_run("bench", profile, seed=seed, publish=True)
    table = measure(
        settings, device, parts, quick, None if run is None else lambda name, frame: save_part(run, name, frame)
    )
    if json_path:
        write_json(json_path, {"profile": profile, "device": device, "rows": table.to_dict("records")})
    return table


def save_part(run: Run, name: str, frame: pd.DataFrame) -> None:
    """Write a part's rows into the table in place of those that it had; the rows of other parts stay."""
    table, caption = (EXPLORER, EXPLORER_CAPTION) if name == EXPLORER else ("speed", CAPTION)
    path = Path(run.tables) / f"{table}.csv"
    if path.is_file():
        old = pd.read_csv(path)
        frame = pd.concat([old[~old["what"].str.startswith(PARTS[name])], frame], ignore_index=True)
    order = {part: position for position, part in enumerate(PARTS)}
    place = frame["what"].map(lambda what: next(order[p] for p in PARTS if what.startswith(PARTS[p])))
    frame = frame.iloc[place.argsort(kind="stable")]
    with atomic_write(path) as handle:
        frame.to_csv(handle, index=False, float_format="%.6g", lineterminator="\n")
    with atomic_write(path.with_suffix(".md")) as handle:
        handle.write(f"{caption}\n\n{to_markdown(frame)}\n")
    for written in (Path(run.tables) / f"{one}{ending}" for one in ("speed", EXPLORER) for ending in (".csv", ".md")):
        if written.is_file():
            run.record(written)
