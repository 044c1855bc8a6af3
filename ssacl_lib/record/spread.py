"""How far runs of one recipe lie apart, and intervals that know it.

`ssacl spread` trains the recipe of a profile several times and commits one number per run and row of the tables
(`data/results/spread/PROFILE.parquet`). Here these numbers are read: an interval over studies says what other patients would
have changed, and a row that was trained in this rebuild is also what another run would have changed.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..settings import Settings, without_off
from .manifest import portable_settings
from .sources import sha256_json

COLUMNS = (
    "part",
    "table",
    "about",
    "method",
    "metric",
    "value",
    "seed",
    "threads",
    "kernels",
    "torch",
    "recipe",
    "code",
)
"""One row per number and run.

part: which evaluation made it. about: what else the row says, `name=value; ...`. recipe, code: what made it (hashes)."""

NUMBERS = ("method", "metric", "value", "low", "high", "n", "runs", "seed")
"""Columns of a table that do not say what a row is about."""

KEYS = ["about", "method", "metric"]

SHARES = (
    "auc",
    "pointing",
    "miou",
    "dice",
    "entropy",
    "bleu",
    "rouge",
    "meteor",
    "micro_",
    "macro_",
    "example_",
    "accuracy",
)
"""Metrics that begin like this lie between 0 and 1; their paired differences (`..._minus_...`) do not."""


def spread_file(settings: Settings) -> Path:
    """The committed file of a profile's runs."""
    return paths.SPREAD / f"{settings.name}.parquet"


def recipe_of(settings: Settings) -> str:
    """Hash of the settings without what varies between the runs (seed, threads) and without what changes no value."""
    values = without_off(portable_settings(settings))
    for name in ("seed", "threads", "deterministic", "out_dir"):
        values.pop(name)
    values["evaluation"].pop("bootstrap")
    values["training"] = {k: v for k, v in values["training"].items() if not k.startswith("checkpoint")}
    return sha256_json(values)


def read_runs(settings: Settings) -> pd.DataFrame:
    """The rows of `COLUMNS` that runs of these settings left; empty where nobody measured them."""
    path = spread_file(settings)
    frame = pd.read_parquet(path) if path.is_file() else pd.DataFrame(columns=list(COLUMNS))
    return frame[frame["recipe"] == recipe_of(settings)].reset_index(drop=True)


def about_of(table: pd.DataFrame) -> pd.Series:
    """What each row of a table is about, as one text that does not depend on the order of the columns."""
    names = sorted(column for column in table if column not in NUMBERS)
    texts = [
        "; ".join(f"{n}={v}" for n, v in zip(names, row, strict=True)) for row in table[names].itertuples(index=False)
    ]
    return pd.Series(texts if names else [""] * len(table), table.index, dtype=object)


def runs_of_table(settings: Settings, table: str) -> pd.DataFrame:
    """One column per run, rows (about, method, metric) of one table; only rows that every run has."""
    runs = read_runs(settings)
    runs = runs[runs["table"] == table]
    wide = runs.pivot(index=KEYS, columns=["seed", "threads"], values="value")
    return wide.dropna() if wide.shape[1] > 1 else wide.iloc[:0]


def student_quantile(runs: int) -> float:
    """The 97.5 % point of Student's t with runs - 1 degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf(0.975, runs - 1))


def with_runs(frame: pd.DataFrame, table: str, settings: Settings) -> pd.DataFrame:
    """A table with the column `runs`, and wider intervals where several runs were measured.

    A row's value is one run's mean over n studies. It deviates from what the recipe gives on average by its studies (the
    bootstrap interval [low, high]) and by its run (t s, s the standard deviation between runs on the same studies, t the
    97.5 % point of Student's distribution with runs - 1 degrees of freedom). The two are independent, so distances add in
    squares:

        low' = value - sqrt((value - low)^2 + (t s)^2),    high' = value + sqrt((high - value)^2 + (t s)^2)

    For normal errors that is a variance over studies plus a variance between runs, each with its own quantile; the bootstrap's
    skewness is kept. s also holds what the finite studies do to a difference between runs, and where the row's run is one of the
    measured ones its own deviation is in s; both make the interval a little wide rather than narrow. Rows without runs (a
    shipped checkpoint, a prior) keep their interval over studies, and `runs` is 1.

    Source: Zou and Donner, Construction of confidence limits about effect measures: a general approach, Statistics in
    Medicine 27, 2008 (limits of a sum from the limits of its parts).
    """
    wide = runs_of_table(settings, table)
    keys = pd.MultiIndex.from_arrays([about_of(frame), frame["method"], frame["metric"]])
    found = wide.index.get_indexer(keys) if len(wide) else np.full(len(frame), -1)
    known, number = found >= 0, wide.shape[1]
    out = frame.assign(runs=np.where(known, max(1, number), 1))
    if known.any():
        extra = np.zeros(len(frame))
        extra[known] = student_quantile(number) * wide.to_numpy(float).std(1, ddof=1)[found[known]]
        value, low, high = (frame[name].to_numpy(float) for name in ("value", "low", "high"))
        share = np.array([is_share(metric) for metric in frame["metric"]]) & known
        out["low"] = np.clip(value - np.hypot(value - low, extra), np.where(share, 0, -np.inf), None)
        out["high"] = np.clip(value + np.hypot(high - value, extra), None, np.where(share, 1, np.inf))
    return out


def is_share(metric: str) -> bool:
    """Does this metric lie between 0 and 1?"""
    return metric.startswith(SHARES) and "_minus_" not in metric
