"""What a notebook calls beside evaluation and figures: the start of a run, tables, source shown, demonstrations, exercises."""

from ..record.manifest import start_run
from ..record.tables import write_table

__all__ = ["start_run", "write_table"]
