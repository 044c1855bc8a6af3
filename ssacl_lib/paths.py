"""The only place with folder names. The root is the repository, or SSACL_HOME where that is set.

SSACL_CACHE names another folder for what can be made or fetched again (CT, organ maps, prepared studies, runs), so that a
checkout that can't be written to is enough.
"""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = Path(os.environ.get("SSACL_HOME", PACKAGE.parent)).resolve()

CACHE = Path(os.environ["SSACL_CACHE"]).resolve() if os.environ.get("SSACL_CACHE") else None

PROFILES = PACKAGE / "profiles"
NOTEBOOKS = ROOT / "notebooks"
DATA = ROOT / "data"
FIGURES = ROOT / "figures"
RUNS = (CACHE or ROOT) / "runs"  # trained weights, per-study results: everything that can be made again
OPENED = RUNS / "opened"  # results of notebooks that were opened by hand

CT = (DATA if CACHE is None or (DATA / "ct").is_dir() else CACHE) / "ct"  # the three files of the labelled chest CT
ORGAN_MAPS = (CACHE or DATA) / "organ_maps"  # made from the CT once per machine
STUDIES = (CACHE or DATA) / "studies"  # prepared data sets (Arrow)
SPREAD = DATA / "results" / "spread"  # one number per run and row of the tables, committed
FLOAT32 = DATA / "results" / "float32"  # rows of the tables as float32 makes them, committed
CHECKPOINTS = DATA / "checkpoints"  # shipped weights
START_CHECKPOINT = CHECKPOINTS / "start-cpu"  # the encoder from which the cpu profile trains
SHIPPED_CHECKPOINT = CHECKPOINTS / "release"  # the model that `ssacl report` and `ssacl ground` use
