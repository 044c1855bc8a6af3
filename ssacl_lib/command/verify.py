"""`ssacl rebuild --verify`: does a rebuild agree with the committed reference, row by row?

    equal     the same six digits: what one machine gives twice
    within    as far as numbers of the same recipe may lie apart (below)
    outside   further, or the row is on one side only
    no runs   not equal, trained in the rebuild, and none of the runs holds it yet: nothing says how far it may lie, and it is
              not judged

A row that is trained in the rebuild is compared with the runs that `ssacl spread` measured (m their mean, s their standard
deviation, R their number): one more run lies, 19 times of 20, no further from m than t s sqrt(1 + 1/R), t the 97.5 % point of
Student's distribution with R - 1 degrees of freedom. That is a prediction interval, and both the rebuild's number and the
reference's have to lie in it. Other rows come from weights that are shipped: nothing but rounding can differ (see `rounding`),
and where this rebuild computed in float32 they are compared with what float32 makes of them (references.py).

So some rows are outside by chance alone, 5 % of a table on average, and together rather than one by one, for all of them hang
on the same run. How much they do so is measured: every run is predicted from the others, and phi is the variance of the
count of rows outside as a multiple of what independent rows would give. A table agrees while its count is at most
0.05 n + 3.09 sqrt(0.05 * 0.95 phi n), which by the normal approximation one rebuild of a thousand exceeds; of rows that are not
trained, where the bound is no interval but a generous limit, 1 % in place of 5 % and phi = 1.

Source: McCullagh and Nelder, Generalized Linear Models, 1989 (overdispersion of counts).
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from ..evaluation import difficulty, spread
from ..metrics.lexical import meteor_note
from ..record.manifest import atomic_write
from ..record.spread import KEYS, about_of, is_share, read_runs, runs_of_table, student_quantile
from ..settings import Settings
from .references import committed_tables, float32_file, float32_rows, folder_tables, in_float32, tables_in_float32

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
    made, wanted = _both_sides(settings, reference)
    if note := runs_note(settings, wanted):
        print(note, flush=True)
    frames, agree, measured = [], True, bool(len(read_runs(settings)))
    float32, kept, replaced = tables_in_float32(settings.figures), 0, 0
    for name in sorted(made.keys() | wanted.keys()):
        runs = runs_of_table(settings, name)
        other = float32_rows(settings, name) if name in float32 else None
        rows = compare(made.get(name), wanted.get(name), runs, measured, other)
        kept, replaced = kept + (0 if other is None else len(other)), replaced + rows["float32"].sum()
        line, fine = judge(rows, runs)
        print(f"{name}: {line}", flush=True)
        agree &= fine
        frames.append(rows.assign(table=name))
    columns = ["table", *KEYS, "value", "reference", "expected", "allowed", "runs", "verdict"]
    with atomic_write(settings.figures / "verify.csv") as handle:
        pd.concat(frames)[columns].to_csv(handle, index=False, float_format="%.6g", lineterminator="\n")
    if float32:
        unused = f" ({kept - replaced} kept rows do not belong to this reference)" if kept > replaced else ""
        told = f"computed here in float32: {replaced} rows of weights that are not trained here were compared with what float32"
        print(f"{told} makes of them{unused}", flush=True)
    where = "the last commit" if reference is None else reference.name
    print(
        f"{settings.figures.name}: {'agrees' if agree else 'DOES NOT AGREE'} with {where}; rows in verify.csv",
        flush=True,
    )
    return agree


def _both_sides(settings: Settings, reference: Path | None) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """The tables of this rebuild and those of the reference, by name."""
    folder = settings.figures / "tables"
    made = {path.stem: pd.read_csv(path) for path in sorted(folder.glob("*.csv")) if path.stem not in MEASURED}
    if not made:
        raise FileNotFoundError(f"no tables in {folder}: run `ssacl rebuild --profile {settings.profile}` first")
    wanted = committed_tables(settings) if reference is None else folder_tables(reference)
    return made, {name: table for name, table in wanted.items() if name not in MEASURED}


def keep_float32(settings: Settings) -> Path:
    """Keep what this rebuild, computed in float32, made of the committed rows that no rebuild trains; returns the file.

    Rows that are equal to six digits are not kept.

    Raises:
        ValueError: no table of this rebuild was computed in float32.
    """
    made, wanted = _both_sides(settings, None)
    names = sorted(tables_in_float32(settings.figures) & made.keys() & wanted.keys())
    if not names:
        raise ValueError(
            f"{settings.figures.name}: none of these tables was rebuilt in float32 here; a processor without bfloat16, or "
            "`deterministic: true` in the profile, rebuilds in float32"
        )
    frames = []
    for name in names:
        rows = compare(made[name], wanted[name], runs_of_table(settings, name))
        there = rows["value"].notna() & rows["reference"].notna()
        kept = rows[(rows["runs"] == 1) & (rows["verdict"] != "equal") & there & ~_trained(rows["method"])]
        frames.append(kept[[*KEYS, "value", "reference"]].assign(table=name))
    float32_file(settings).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(float32_file(settings), "wb") as handle:
        pd.concat(frames, ignore_index=True).to_parquet(handle, index=False)
    return float32_file(settings)


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
    made: pd.DataFrame | None,
    wanted: pd.DataFrame | None,
    runs: pd.DataFrame,
    measured: bool = False,
    float32: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per number of either side: about, method, metric, value, reference, expected, allowed, runs, verdict, float32.

    runs: one column per run (`runs_of_table`). measured: runs of this recipe are there, of this or of another table.
    float32: what float32 makes of rows of `wanted` (`float32_rows`); the column says whether it took the place of a row.
    expected, allowed: the middle and half the width of what agrees.
    """
    ours, theirs = _keyed(made), _keyed(wanted)
    other = in_float32(theirs["value"], float32)
    theirs["value"] = other.fillna(theirs["value"])
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
    rows["float32"] = other.notna().reindex(rows.index, fill_value=False)
    if measured:
        method = rows.index.get_level_values("method").to_series(index=rows.index)
        rows.loc[~known & there & (rows["verdict"] == "outside") & _trained(method), "verdict"] = "no runs"
    unmeasured = rows.index.get_level_values("metric").str.startswith("meteor") & rows["value"].isna()
    if meteor_note():  # no java here: the rebuild has no such rows, and says so in its notebook
        rows.loc[unmeasured, "verdict"] = "not computed"
    return rows.reset_index()


def _trained(method: pd.Series) -> pd.Series:
    """Rows of what a rebuild trains; a head that looks is fitted on every model but the shipped one, which brings its own."""
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
