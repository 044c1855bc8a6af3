"""Films with labels instead of reports, for the downstream tasks: what the user brings of them, as a fingerprint."""

from pathlib import Path

from ..record.sources import sha256_file, sha256_json
from ..settings import Settings
from . import registry

LISTS = ("*.txt", "*.csv", "*.json")


def outside_data(settings: Settings) -> str | None:
    """Hex digest of what `data_root` brings: of the lists and tables in it, where it is no data set of films with reports."""
    if settings.dataset in registry.DATASETS:
        return registry.outside_data(settings)
    root = Path(settings.data_root or "")
    lists = sorted(path for pattern in LISTS for path in root.glob(pattern))
    return sha256_json([[path.name, sha256_file(path)] for path in lists])
