"""What a rebuild is compared with: tables of the last commit or of a folder, and what float32 makes of their rows.

A processor with a bfloat16 unit scores models in bfloat16, another in float32 (model/precision.py), and that changes a word in
a report more often than rounding does. So the rows of weights that no rebuild trains are kept twice: in the committed tables,
and, as far as float32 changes them, in `data/results/float32/PROFILE.parquet` (`ssacl rebuild --keep-float32`). A rebuild in
float32 is compared with the latter, by the same bounds. A kept row also holds the committed number beside which it was made:
where the committed table holds another number by now, the row is old and takes nobody's place.
"""

import io
import subprocess
from pathlib import Path

import pandas as pd

from .. import paths
from ..record.manifest import read_json
from ..record.spread import KEYS
from ..settings import Settings


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


def float32_file(settings: Settings) -> Path:
    """The committed file of a profile's rows in float32."""
    return paths.FLOAT32 / f"{settings.name}.parquet"


def float32_rows(settings: Settings, table: str) -> pd.DataFrame:
    """The kept rows of a table by (about, method, metric): value (in float32), reference (what was committed beside it)."""
    path = float32_file(settings)
    rows = pd.read_parquet(path) if path.is_file() else pd.DataFrame(columns=[*KEYS, "value", "reference", "table"])
    return rows[rows["table"] == table].set_index(KEYS)[["value", "reference"]].astype(float)


def in_float32(values: pd.Series, rows: pd.DataFrame | None) -> pd.Series:
    """What float32 makes of committed values: NaN where no row is kept, or a row was kept beside another number."""
    if rows is None:
        return pd.Series(float("nan"), values.index)
    rows = rows.reindex(values.index)
    same = rows["reference"].map("{:.6g}".format) == values.map("{:.6g}".format)
    return rows["value"].where(same)


def tables_in_float32(folder: Path) -> set[str]:
    """Names of the tables that a folder's notebooks made in float32, as its run.json says; of older ones nothing is known."""
    told = read_json(folder / "run.json").get("notebooks", {})
    made = read_json(folder / "manifest.json").get("notebooks", {})
    stages = [stage for stage, one in told.items() if one.get("bfloat16") is False]
    outputs = [name for stage in stages for name in made.get(stage, {}).get("outputs", {})]
    return {Path(name).stem for name in outputs if name.startswith("tables/") and name.endswith(".csv")}


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(paths.ROOT), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(
            f"{paths.ROOT.name} is no git checkout with a commit (or git is missing), so there is no reference: "
            "give a folder of tables, --verify DIR"
        ) from None
    return done.stdout
