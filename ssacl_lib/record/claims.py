"""Who works on a folder: a lock that the system takes back when a process dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_HELD: set[Path] = set()
"""Folders that this process holds: the system would let it wait for itself."""


@contextmanager
def claimed(folder: Path, wait: bool = False, quiet: bool = False) -> Iterator[bool]:
    """Is this folder ours, as long as the block runs? False where another block or process holds it.

    wait: until it is free, so always True; at once where this process holds it already. quiet: without a line that says so.
    A system without locks lets all pass.
    """
    place = folder.resolve()
    if wait and place in _HELD:
        yield True
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as handle:
        free = _lock(handle)
        if not free and wait:
            if not quiet:
                print(f"{folder}: another process works on it; waiting", flush=True)
            free = _lock(handle, wait=True)
        if not free:
            yield False
            return
        _HELD.add(place)
        try:
            yield True
        finally:
            _HELD.discard(place)


def _lock(handle: IO, wait: bool = False) -> bool:
    """Lock an open file; False where another holds it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
