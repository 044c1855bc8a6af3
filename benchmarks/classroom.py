"""How long do the notebooks of a class run, as they open? From the start of the kernel to the last cell, by the clock.

    python benchmarks/classroom.py

Each notebook runs alone at the size at which it opens (profile smoke), with the CT prepared and everything else made anew; leave
the machine alone meanwhile. Writes `data/results/classroom.csv`; the plans of `teaching/README.md` state these minutes, and a
test holds both against each other.
"""

import contextlib
import io
import tempfile
import time
from pathlib import Path

import pandas as pd
import papermill
from timing import machine, row

from ssacl_lib import paths
from ssacl_lib.evaluation.benchmarks import COLUMNS
from ssacl_lib.record.manifest import atomic_write

OUT = paths.DATA / "results" / "classroom.csv"


def seconds_of(notebook: Path) -> float:
    """Run all cells of a notebook in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        started = time.perf_counter()
        papermill.execute_notebook(
            str(notebook), str(Path(folder) / notebook.name), {"out_dir": str(Path(folder) / "made")},
            kernel_name="python3", language="python", progress_bar=False, cwd=str(paths.NOTEBOOKS),
        )  # fmt: skip
        return time.perf_counter() - started


def main() -> None:
    """Time every notebook and write the table."""
    rows = []
    for notebook in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        rows.append(row(notebook.stem, "seconds", seconds_of(notebook)))
        print(f"{notebook.stem}: {rows[-1]['value']:.0f} s", flush=True)
    with atomic_write(OUT) as handle:
        table = pd.DataFrame(rows).assign(machine=machine("cpu"))[list(COLUMNS)]
        table.to_csv(handle, index=False, float_format="%.3g", lineterminator="\n")


if __name__ == "__main__":
    main()
