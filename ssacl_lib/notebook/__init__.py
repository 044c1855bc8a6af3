"""What a notebook calls beside evaluation and figures: the start of a run, tables, source shown, demonstrations, exercises."""

from transformers.utils.logging import disable_progress_bar

from ..record.manifest import start_run
from ..record.tables import write_table

disable_progress_bar()  # transformers' bar for a model that loads in a second; ours stay

__all__ = ["start_run", "write_table"]
