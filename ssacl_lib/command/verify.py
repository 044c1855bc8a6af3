"""`ssacl rebuild --verify`: does a rebuild agree with the committed reference, row by row?

    equal     the same six digits: what one machine gives twice
    within    as far as numbers of the same recipe may lie apart (below)
    outside   further, or the row is on one side only
    no runs   not equal, trained in the rebuild, and none of the runs holds it yet: nothing says how far it may lie, and it is
              not judged

A row that is trained in the rebuild is compared with the runs that `ssacl spread` measured (m their mean, s their standard
deviation, R their number): one more run lies, 19 times of 20, no further from m than t s sqrt(1 + 1/R), t the 97.5 % point of
Student's distribution with R - 1 degrees of freedom. That is a prediction interval, and both the rebuild's number and the
reference's have to lie in it. Other rows come from weights that are shipped: nothing but rounding can differ (see `rounding`).

So some rows are outside by chance alone, 5 % of a table on average, and together rather than one by one, for all of them hang
on the same run. How much they do so is measured: every run is predicted from the others, and phi is the variance of the
count of rows outside as a multiple of what independent rows would give. A table agrees while its count is at most
0.05 n + 3.09 sqrt(0.05 * 0.95 phi n), which by the normal approximation one rebuild of a thousand exceeds; of rows that are not
trained, where the bound is no interval but a generous limit, 1 % in place of 5 % and phi = 1.

Source: McCullagh and Nelder, Generalized Linear Models, 1989 (overdispersion of counts).
"""

import io
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..evaluation import difficulty, spread
from ..metrics.lexical import meteor_note
from ..record.manifest import atomic_write, read_json
from ..record.spread import KEYS, about_of, is_share, read_runs, runs_of_table, student_quantile
from ..settings import Settings

MEASURED = ("speed", "explorer")
"""Tables that `ssacl bench` measures and no rebuild makes."""

NOMINAL, ROUNDED, UNLIKELY = 0.05, 0.01, 3.09
"""Share of rows outside by chance, of trained and of other rows, and the normal quantile of one in a thousand."""


def verify(settings: Settings, reference: Path | None = None) -> bool:
    """Compare, write `verify.csv` beside the folder of tables, print a line per table; does everything agree?

    reference: a folder of tables; None: the tables of this profile in the last commit.

    Raises:
        FileNotFoundError: no tables on one of the sides.
        ValueError: no reference given, and no git to take it from.
    """
    folder = settings.figures / "tables"
    made = {path.stem: pd.read_csv(path) for path in sorted(folder.glob("*.csv")) if path.stem not in MEASURED}
    if not made:
        raise FileNotFoundError(f"no tables in {folder}: run `ssacl rebuild --profile {settings.profile}` first")
    wanted = committed_tables(settings) if reference is None else folder_tables(reference)
    wanted = {name: table for name, table in wanted.items() if name not in MEASURED}
    for note in (runs_note(settings, wanted), kernels_note(settings, reference)):
        if note:
            print(note, flush=True)
    frames, agree, measured = [], True, bool(len(read_runs(settings)))
    for name in sorted(made.keys() | wanted.keys()):
        runs = runs_of_table(settings, name)
        rows = compare(made.get(name), wanted.get(name), runs, measured)
        line, fine = judge(rows, runs)
        print(f"{name}: {line}", flush=True)
        agree &= fine
        frames.append(rows.assign(table=name))
    columns = ["table", *KEYS, "value", "reference", "expected", "allowed", "runs", "verdict"]
    with atomic_write(settings.figures / "verify.csv") as handle:
        pd.concat(frames)[columns].to_csv(handle, index=False, float_format="%.6g", lineterminator="\n")
    where = "the last commit" if reference is None else reference.name
    print(
        f"{settings.figures.name}: {'agrees' if agree else 'DOES NOT AGREE'} with {where}; rows in verify.csv",
        flush=True,
    )
    return agree


def runs_note(settings: Settings, reference: dict[str, pd.DataFrame]) -> str:
    """A line where the measured runs are not those of this recipe and code; empty where they are.

    Code that changed without changing a number does not make them old: their first run is the rebuild's own, and where it
    gave the reference's numbers, today's code gives the others', too.
    """
    mend = f"`ssacl spread --profile {settings.profile}`"
    runs = read_runs(settings)
    if not len(runs):
        return f"no runs of this recipe are measured ({mend}): rows that are trained here count as if they were not"
    old = runs[runs["code"] != spread.fingerprint()]
    if not len(old):
        return ""
    first = old[(old["seed"] == settings.seed) & (old["threads"] == old["threads"].max())]
    numbers = pd.concat(
        [_keyed(table).assign(table=name).set_index("table", append=True) for name, table in reference.items()]
    )
    same = first.set_index([*KEYS, "table"])[["value"]].join(numbers["value"].rename("reference"))
    if len(same) and np.allclose(same["value"], same["reference"], rtol=1e-5, atol=1e-6):
        return f"the runs were measured with earlier code; the first of them equals the reference in all {len(same)} numbers"
    return f"the runs were measured with other code: {mend} renews them"


def folder_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables in a folder (or in its folder `tables`), by name."""
    folder = Path(folder)
    folder = folder / "tables" if (folder / "tables").is_dir() else folder
    tables = {path.stem: pd.read_csv(path) for path in sorted(folder.glob("*.csv")) if path.stem != "verify"}
    if not tables:
        raise FileNotFoundError(f"{folder}: no tables (*.csv) to compare with")
    return tables


def committed_tables(settings: Settings) -> dict[str, pd.DataFrame]:
    """The profile's tables in the last commit, whatever the working copy holds, for a rebuild has just overwritten it."""
    folder = f"./{(paths.FIGURES / settings.name / 'tables').relative_to(paths.ROOT).as_posix()}/"
    names = [name for name in _git("ls-tree", "--name-only", "HEAD", folder).splitlines() if name.endswith(".csv")]
    if not names:
        raise FileNotFoundError(f"the last commit holds no tables in {folder}: give a folder, --verify DIR")
    return {Path(name).stem: pd.read_csv(io.StringIO(_git("show", f"HEAD:./{name}"))) for name in names}


def kernels_note(settings: Settings, reference: Path | None) -> str:
    """A line where the two sides say that they were computed with other instruction sets; else empty. No bound depends on it."""
    if reference is None:
        name = (paths.FIGURES / settings.name / "run.json").relative_to(paths.ROOT).as_posix()
        listed = _git("ls-tree", "--name-only", "HEAD", f"./{name}").strip()
        there = json.loads(_git("show", f"HEAD:./{name}")) if listed else {}
    else:
        folder = Path(reference).resolve()
        there = read_json((folder.parent if folder.name == "tables" else folder) / "run.json")
    kinds = [one.get("kernels", {}).get("instruction set") for one in (there, read_json(settings.figures / "run.json"))]
    if None in kinds or kinds[0] == kinds[1]:
        return ""
    return (
        f"kernels of the reference: {kinds[0]}, here: {kinds[1]}. One of them may compute in bfloat16 and the other in float32; "
        "that changes more words in reports than rounding does, which is all that rows of shipped weights are allowed"
    )


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(paths.ROOT), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(
            f"{paths.ROOT.name} is no git checkout with a commit (or git is missing), so there is no reference: "
            "give a folder of tables, --verify DIR"
        ) from None
    return done.stdout


def rounding(rows: pd.DataFrame) -> np.ndarray:
    """How far a number may lie from the reference where the weights are the same and only sums round differently.

    A rounding error decides a tie now and then: another word in a report, the maximum of a map on the neighbour patch. That
    happens to a few of n studies and cancels in part, so it is small against what n other studies would change: allowed is
    half of the reference's interval (in which another sample would lie), or 0.2 %, or of a share one study in n.
    """
    half = (rows["reference_high"] - rows["reference_low"]) / 2
    shares = rows.index.get_level_values("metric").map(is_share).to_numpy(bool)
    return np.maximum.reduce([half / 2, 0.002 * rows["reference"].abs(), shares / rows["reference_n"]])


def compare(
    made: pd.DataFrame | None, wanted: pd.DataFrame | None, runs: pd.DataFrame, measured: bool = False
) -> pd.DataFrame:
    """One row per number of either side: about, method, metric, value, reference, expected, allowed, runs, verdict.

    runs: one column per run (`runs_of_table`). measured: runs of this recipe are there, of this or of another table.
    expected, allowed: the middle and half the width of what agrees.
    """
    ours, theirs = _keyed(made), _keyed(wanted)
    rows = ours[["value"]].join(
        theirs[["value", "low", "high", "n"]].rename(
            columns={"value": "reference", **{name: f"reference_{name}" for name in ("low", "high", "n")}}
        ),
        how="outer",
    )
    rows = rows.join(pd.DataFrame({"mean": runs.mean(axis=1), "sd": runs.std(axis=1, ddof=1)}, index=runs.index))
    number = runs.shape[1]
    reach = student_quantile(number) * math.sqrt(1 + 1 / number) if len(runs) else np.nan
    known = rows["mean"].notna()
    rows["runs"] = np.where(known, number, 1)
    rows["expected"] = rows["mean"].where(known, rows["reference"])
    rows["allowed"] = np.where(known, reach * rows["sd"] + 1e-6 * rows["mean"].abs(), rounding(rows))
    far = pd.concat([(rows[side] - rows["expected"]).abs() for side in ("value", "reference")], axis=1).max(axis=1)
    there = rows["value"].notna() & rows["reference"].notna()
    same = rows["value"].map("{:.6g}".format) == rows["reference"].map("{:.6g}".format)
    rows["verdict"] = np.select([same, there & (far <= rows["allowed"])], ["equal", "within"], "outside")
    if measured:
        rows.loc[~known & there & (rows["verdict"] == "outside") & _trained(rows), "verdict"] = "no runs"
    unmeasured = rows.index.get_level_values("metric").str.startswith("meteor") & rows["value"].isna()
    if meteor_note():  # no java here: the rebuild has no such rows, and says so in its notebook
        rows.loc[unmeasured, "verdict"] = "not computed"
    return rows.reset_index()


def _trained(rows: pd.DataFrame) -> pd.Series:
    """Rows of what a rebuild trains; a head that looks is fitted on every model but the shipped one, which brings its own."""
    method = rows.index.get_level_values("method").to_series(index=rows.index)
    return method.isin([spread.METHOD, difficulty.METHOD, "SS-ACL"]) | (
        method.str.endswith("+") & ~method.str.startswith("shipped")
    )


def _keyed(table: pd.DataFrame | None) -> pd.DataFrame:
    """A table by (about, method, metric); an absent one has no rows. Tables of differences name their estimate otherwise."""
    if table is None:
        table = pd.DataFrame(columns=["method", "metric", "value", "low", "high", "n"])
    table = table.rename(columns={"margin": "value", "difference": "value"}).dropna(subset="value")
    table = table.drop(columns=["own", "other", "verdict"], errors="ignore")  # further numbers, and what they say
    table = table.assign(**{name: "" for name in ("method", "metric") if name not in table})
    return table.assign(about=about_of(table)).set_index(KEYS)


def overdispersion(runs: pd.DataFrame) -> float:
    """phi: each run predicted from the others, the variance of the count of rows outside over the binomial one; at least 1."""
    values, number = runs.to_numpy(float), runs.shape[1]
    if number < 4:
        return 1.0
    reach = student_quantile(number - 1) * math.sqrt(1 + 1 / (number - 1))
    squares = []
    for k in range(number):
        others = np.delete(values, k, axis=1)
        far = np.abs(values[:, k] - others.mean(1)) > reach * others.std(1, ddof=1) + 1e-6 * np.abs(others.mean(1))
        squares.append((far.sum() - NOMINAL * len(values)) ** 2)
    return max(1.0, float(np.mean(squares)) / (NOMINAL * (1 - NOMINAL) * len(values)))


def most_outside(rows: int, share: float, phi: float) -> int:
    """So many of the rows may be outside by chance, where a share of them is on average."""
    return math.floor(share * rows + UNLIKELY * math.sqrt(share * (1 - share) * phi * rows))


def judge(rows: pd.DataFrame, runs: pd.DataFrame) -> tuple[str, bool]:
    """The line of a table, and whether it agrees: trained rows and other rows each by their own count."""
    trained = rows["runs"] > 1
    phi = overdispersion(runs) if len(runs) else 1.0
    words, agree = [], True
    for name, part, chance in (
        ("trained", rows[trained], (NOMINAL, phi)),
        ("not trained", rows[~trained], (ROUNDED, 1.0)),
    ):
        if not len(part):
            continue
        counts, most = part["verdict"].value_counts(), most_outside(len(part), *chance)
        outside = int(counts.get("outside", 0))
        agree &= outside <= most
        told = [f"{counts.get(verdict, 0)} {verdict}" for verdict in ("equal", "within")]
        told += [f"{counts[verdict]} {verdict}" for verdict in ("not computed", "no runs") if verdict in counts]
        words.append(f"{len(part)} {name} rows: {', '.join(told)}, {outside} outside (up to {most} by chance)")
    return "; ".join(words) + ("" if agree else ": DOES NOT AGREE"), agree
