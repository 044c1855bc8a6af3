"""Many pictures as squares, read once: shards on disk, so that a reading that was killed goes on and no run reads them again."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import paths
from ..images import letterbox, read_image
from ..record.manifest import atomic_write, read_json
from ..record.sources import code_behind, sha256_json

SHARD = 2000


class Pictures:
    """Films [n, S, S] uint8 of files, by number. skipped: number -> why that file can't be read; such a film is black."""

    def __init__(self, files: Sequence[Path], size: int):
        self.files, self.size = list(files), size
        stamps = [[path.as_posix(), *stamp(path)] for path in self.files]
        self.folder = paths.STUDIES / f"pictures-{sha256_json([stamps, size, code_behind(__name__)])[:16]}"
        self.skipped: dict[int, str] = {}
        starts = range(0, len(self.files), SHARD)
        for start in tqdm(starts, desc="pictures", unit="shard", disable=len(starts) < 2, leave=False):
            self.skipped |= self._prepared(start)

    def __len__(self) -> int:
        return len(self.files)

    def __call__(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The films of these numbers, in their order."""
        rows = np.asarray(rows, int)
        found = np.empty((len(rows), self.size, self.size), np.uint8)
        for start in np.unique(rows // SHARD * SHARD):
            own = rows // SHARD * SHARD == start
            found[own] = np.load(self._shard(int(start)), mmap_mode="r")[rows[own] - start]
        return found

    def _shard(self, start: int) -> Path:
        return self.folder / f"{start:07d}.npy"

    def _prepared(self, start: int) -> dict[int, str]:
        """Read a shard's pictures where that was not done yet; what can't be read, which is tried again each time.

        The list of what can't be read is written last: where it is, the films are.
        """
        shard = self._shard(start)
        told = shard.with_suffix(".json")
        begun = told.is_file() and shard.is_file()
        count = min(SHARD, len(self.files) - start)
        unread = [int(number) for number in read_json(told)] if begun else range(start, start + count)
        found, skipped = {}, {}
        for number in unread:
            try:
                found[number] = letterbox(read_image(self.files[number]), self.size)
            except (ValueError, OSError) as error:
                skipped[number] = str(error)
        if found or not begun:
            films = np.load(shard) if begun else np.zeros((count, self.size, self.size), np.uint8)
            for number, film in found.items():
                films[number - start] = film
            with atomic_write(shard, "wb") as handle:
                np.save(handle, films)
            with atomic_write(told) as handle:
                json.dump(skipped, handle)
        return skipped


def stamp(path: Path) -> list[int]:
    """Size and time of change, as far as there is such a file."""
    if not path.is_file():
        return []
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
