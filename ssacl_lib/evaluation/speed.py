"""Speed as a table: run the scripts of `benchmarks/`, keep what they measured, and give it to notebook 07.

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


# ---- for the notebook
def load_speed(run: Run) -> pd.DataFrame:
    """The saved table of the run's profile.

    Raises:
        FileNotFoundError: nothing was measured yet.
    """
    path = Path(run.tables) / "speed.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: measure it with `ssacl bench --profile {run.settings.profile}`")
    return pd.read_csv(path)


def saved_or_measured(run: Run) -> pd.DataFrame:
    """The saved table (recorded with the run, so that figures older than it are noticed), or a quick measurement; says which.

    A run with another folder of results, or on other data, shows a copy of the profile's table, for speed depends on neither;
    the copy is renewed when the profile was measured anew.
    """
    for name in ("speed.csv", "speed.md"):
        saved, own = paths.FIGURES / run.settings.profile / "tables" / name, Path(run.tables) / name
        if saved.is_file() and saved.resolve() != own.resolve():
            with atomic_write(own) as handle:
                handle.write(saved.read_text(encoding="utf-8"))
    if (Path(run.tables) / "speed.csv").is_file():
        table = load_speed(run)
        for name in ("speed.csv", "speed.md"):
            run.record(Path(run.tables) / name)
        print(f"measured before, on {machines(table)}")
        return table
    table = measure(run.settings, device_for(run.settings), SPEED, quick=True)
    print(
        f"no saved measurement of {run.settings.name}: measured just now in few rounds, on {machines(table)}. For more: "
        f"ssacl bench --profile {run.settings.profile}"
    )
    return table


def estimate(table: pd.DataFrame, what: str, metric: str, digits: int = 2) -> str:
    """One number of the table in words, "2.31 [2.27, 2.36]", or "not measured"."""
    row = table[(table["what"] == what) & (table["metric"] == metric)]
    if len(row) != 1:
        return "not measured"
    value, low, high = row.iloc[0][["value", "low", "high"]].astype(float)
    return f"{value:.{digits}f}" if low == high else f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


RELEASE, RELEASE_AIM = "training_step_release", 1.8
"""How many times the images per second of the four passes release mode was to make."""


def against_aim(table: pd.DataFrame) -> str:
    """Does release mode reach its aim, in words."""
    value = table.loc[(table["what"] == RELEASE) & (table["metric"] == "throughput_ratio"), "value"].iloc[0]
    return f"the aim of {RELEASE_AIM} is {'reached' if value >= RELEASE_AIM else 'missed'}"


def step_ratios(table: pd.DataFrame) -> str:
    """One sentence per mode on the training step: how many times faster, with which part of the memory."""
    fair = estimate(table, "training_step_without_pair_loop", "throughput_ratio")
    modes = ("training_step", RELEASE)
    paper, release = (estimate(table, name, "throughput_ratio") for name in modes)
    memory, memory_release = (estimate(table, name, "peak_memory_ratio") for name in modes)
    if "not measured" in (fair, paper, release):
        return "The training step was not compared with the reference."
    return (
        f"Paper mode makes {fair} times the images per second of four passes that have no loop over pairs, and {paper} "
        f"times those of the plain reference with it, in {memory} of its memory. Release mode makes {release} times those "
        f"of the reference ({against_aim(table)}), in {memory_release} of its memory."
    )


SOURCES = {
    "renderer": "renderer, films alone",
    "renderer_with_masks": "renderer, films and all masks",
    "prepared_films": "prepared films, read",
    "loader": "loader, whole batches",
    "training_step": "training step in paper mode",
}
"""What makes or takes images, in the order of their way, and its words."""


def paces(table: pd.DataFrame) -> pd.DataFrame:
    """Images per second on their way from the renderer into the training step: columns in words, one row each."""
    rows = table[table["metric"] == "images_per_second"].set_index("what")
    found = [name for name in SOURCES if name in rows.index]
    ranges = rows.loc[found, ["value", "low", "high"]].astype(float).itertuples(index=False)
    cells = [f"{value:,.0f} [{low:,.0f}, {high:,.0f}]" for value, low, high in ranges]
    words = [SOURCES[name] for name in found]
    return pd.DataFrame({"": words, "images per second [95 % interval]": cells, "n": list(rows.loc[found, "n"])})


def utilisation(table: pd.DataFrame) -> str:
    """One sentence: what the step computes, and which part of the machine's rate of matrix products it reaches."""
    pace, work, share = (
        estimate(table, "training_step", metric, digits)
        for metric, digits in (("images_per_second", 0), ("gigaflop_per_step", 1), ("model_flop_utilisation", 2))
    )
    return (
        f"Paper mode makes {pace} images per second; a step holds {work} GFLOP of matrix products and convolutions, and "
        f"its model FLOP utilisation is {share}."
    )


def compiled(table: pd.DataFrame) -> str:
    """One sentence: what torch.compile gains, and what it takes to begin."""
    ratio = estimate(table, "training_step_compiled", "throughput_ratio")
    seconds = estimate(table, "training_step_compiled", "warm_up_seconds", 0)
    if ratio == "not measured":
        return "torch.compile was not measured here."
    return f"Compiled, the step makes {ratio} times the images per second of the plain one, after {seconds} s of compiling."


def most_expensive_term(table: pd.DataFrame) -> str:
    """One sentence: the term that costs most when it is computed alone, and its share of the step's time."""
    alone = table[(table["metric"] == "milliseconds") & table["what"].str.startswith("term_")]
    step = table[(table["metric"] == "milliseconds") & (table["what"] == "step_with_optimizer")]["value"]
    if not len(alone) or len(step) != 1:
        return "The terms were not measured."
    most = alone.loc[alone["value"].idxmax()]
    name = most["what"].removeprefix("term_").replace("_", " ")
    return (
        f"Of the five terms computed alone, {name} costs most: {most['value']:.0f} ms, where the whole step with all five "
        f"takes {step.iloc[0]:.0f} ms."
    )


def attention_kinds(table: pd.DataFrame) -> str:
    """One sentence: fused attention against plain products, in every precision that was measured."""
    told = {"attention_bf16": "bfloat16", "attention_fp32": "float32"}
    found = {name: estimate(table, name, "fused_to_plain_time_ratio", 1) for name in told if name in set(table["what"])}
    if not found:
        return "Two kinds of attention were not compared."
    times = ", ".join(f"{value} times (in {told[name]})" for name, value in found.items())
    return f"Fused attention takes {times} the time of plain."


def largest_consistency(table: pd.DataFrame) -> str:
    """One sentence: time and memory of L_ac for the most images that were measured."""
    of_loss = table[table["what"].str.fullmatch("consistency_batch_[0-9]+")]
    if not len(of_loss):
        return "L_ac alone was not measured."
    count = of_loss["what"].str.removeprefix("consistency_batch_").astype(int)
    found = of_loss[count == count.max()].set_index("metric")["value"]
    whole = "peak_megabytes_of_process"
    memory = (
        f"their process never held more than {found[whole]:.0f} MB"
        if whole in found
        else f"the allocator never gave more than {found['peak_megabytes']:.0f} MB"
    )
    return f"L_ac of {count.max()} images takes {found['milliseconds'] / 1000:.3g} s, and {memory}."


def machines(table: pd.DataFrame) -> str:
    """The machine or machines of the table, for a caption."""
    return " and ".join(dict.fromkeys(table["machine"]))
