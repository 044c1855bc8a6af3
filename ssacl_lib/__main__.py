"""python -m ssacl_lib = ssacl, and what torchrun starts."""

import os
import sys

from .command.cli import main

if __name__ == "__main__":
    code = main()
    if "WORLD_SIZE" in os.environ:
        from .distributed import leave

        leave(code)
    sys.exit(code)
