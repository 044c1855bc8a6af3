"""One process that prepares shards: `python -m ssacl_lib.datasets.worker SETTINGS SPLIT FOLDER SHARDS`.

Prints "done N" after every N studies; the parent turns that into a progress bar (`shards.build`).
"""

import json
import sys
from pathlib import Path

from ..settings import validate_settings
from .registry import source_for
from .shards import write_shard


def main(settings: str, split: str, folder: str, shards: str) -> None:
    """Write the given shards (JSON list of [start, stop]) of a split; `settings` is JSON as well."""
    source = source_for(validate_settings(json.loads(settings)), split)
    for start, stop in json.loads(shards):
        write_shard(source, Path(folder), (start, stop), lambda done: print("done", done, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
