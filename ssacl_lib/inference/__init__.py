"""Arrays of films in, arrays out: probabilities, reports and maps of many studies, with a progress bar.

One module per answer, so that a result stands on the code of its own answer only: a changed map makes no finding's
probability old.
"""

from .findings import predict_findings
from .maps import leaf_maps, phrase_maps
from .reports import positive_findings, write_reports

__all__ = ["leaf_maps", "phrase_maps", "positive_findings", "predict_findings", "write_reports"]
