"""Many images in parts that fit into memory."""

from collections.abc import Iterator

from tqdm import tqdm

BATCH = 64  # images per pass


def chunks(count: int, size: int, label: str | None) -> Iterator[slice]:
    """Slices of `size`, with a progress bar where there is a label."""
    starts = range(0, count, size)
    for start in tqdm(starts, desc=label, disable=label is None, mininterval=2):
        yield slice(start, min(start + size, count))
