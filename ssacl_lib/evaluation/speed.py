"""What the table of speed says, for notebook 07: a saved or quick measurement, sentences made of it.

The table of a profile is `figures/PROFILE/tables/speed.csv` with the columns what, metric, value, low, high, n, seed, machine;
`benchmarks.py` measures and writes it.
"""

from pathlib import Path

import pandas as pd

from .. import paths
from ..record.manifest import Run, atomic_write
from .benchmarks import SPEED, device_for, measure


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


def rounds(table: pd.DataFrame, what: str, metric: str) -> str:
    """In how many rounds something was measured, in words."""
    counts = table.loc[(table["what"] == what) & (table["metric"] == metric), "n"].astype(int)
    return f"{counts.max()} rounds" if len(counts) else "not measured"


RELEASE, RELEASE_AIM = "training_step_release", 1.8
"""How many times the images per second of the four passes release mode was to make."""


def against_aim(table: pd.DataFrame) -> str:
    """Does release mode reach its aim, in words."""
    value = table.loc[(table["what"] == RELEASE) & (table["metric"] == "throughput_ratio"), "value"].iloc[0]
    return f"the aim of {RELEASE_AIM} is {'reached' if value >= RELEASE_AIM else 'missed'}"


def step_ratios(table: pd.DataFrame) -> str:
    """One sentence per mode on the training step: how many times faster, with which part of the memory."""
    modes = (RELEASE, "training_step_dense")
    release, paper = (estimate(table, name, "throughput_ratio") for name in modes)
    memory_release, memory = (estimate(table, name, "peak_memory_ratio") for name in modes)
    if "not measured" in (paper, release):
        return "The training step was not compared with the reference."
    fair = estimate(table, f"{RELEASE}_without_pair_loop", "throughput_ratio")
    told = "" if fair == "not measured" else f" ({fair} times where the reference has no loop over pairs)"
    other = estimate(table, "training_step_without_pair_loop", "throughput_ratio")
    beside = "" if other == "not measured" else (
        f" Paper mode makes {other} times the images of release mode's four passes without that loop, which are another function."
    )  # fmt: skip
    return (
        f"Release mode makes {release} times the images per second of its plain form{told} in {memory_release} of its "
        f"memory ({against_aim(table)}), paper mode {paper} times in {memory} of its memory.{beside}"
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
