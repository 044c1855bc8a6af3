"""Decode one DICOM file with GDCM in a process of its own, for GDCM ends its process on some damaged files.

`python gdcm_process.py FILE` writes the first frame as .npy to stdout. It imports nothing of this library, so that it starts
in a fraction of a second.
"""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np

SECONDS = 60
"""A film that takes longer is given up."""

USUAL = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "PixelRepresentation": 0, "BitsStored": None}
"""What is taken where the header does not say; all bits, where it does not say how many are stored."""


def open_dicom(path: Path):
    """The dataset of a DICOM file, with or without preamble, with the usual values where the header is silent."""
    from pydicom import dcmread

    dataset = dcmread(path, force=True)
    for name, usual in USUAL.items():
        if dataset.get(name) in (None, ""):
            setattr(dataset, name, dataset.get("BitsAllocated") if name == "BitsStored" else usual)
    return dataset


def decode_apart(path: Path) -> np.ndarray:
    """Pixels of the first frame [H, W] or [H, W, 3].

    Raises:
        ValueError: GDCM is missing, can't decode them, takes too long, or died of them.
    """
    command = [sys.executable, "-P", __file__, str(path)]  # -P: no module of this folder stands for another
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
        return np.load(io.BytesIO(done.stdout), allow_pickle=False)
    except (subprocess.SubprocessError, OSError, EOFError) as error:
        raise ValueError(f"GDCM: {type(error).__name__}") from None


def main() -> None:
    """Decode the file of the command line."""
    from pydicom.pixels import pixel_array

    pixels = pixel_array(open_dicom(Path(sys.argv[1])), index=0, decoding_plugin="gdcm")
    np.save(sys.stdout.buffer, pixels, allow_pickle=False)


if __name__ == "__main__":
    main()
