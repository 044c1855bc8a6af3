"""One way to read a picture: PNG (8 or 16 bit), JPEG or DICOM in, grey levels out; and the square that the model takes."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

PERCENTILES = (0.5, 99.5)
"""Grey window of pictures of more than 8 bits that bring none: a DICOM file without window, a 16-bit PNG."""


def _stretch(pixels: np.ndarray) -> np.ndarray:
    """Map the percentile window to 0 .. 255."""
    pixels = np.asarray(pixels, dtype=np.float64)
    low, high = np.percentile(pixels, PERCENTILES)
    if high <= low:
        low, high = float(pixels.min()), float(pixels.max())
    scaled = (pixels - low) / max(high - low, 1e-9)
    return np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def is_dicom(path: Path) -> bool:
    """Does the file carry DICOM's mark, or at least its name?"""
    with open(path, "rb") as handle:
        head = handle.read(132)
    return head[128:132] == b"DICM" or path.suffix.lower() in {".dcm", ".dicom"}


def _read_dicom(path: Path) -> np.ndarray:
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    try:
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array
    except (InvalidDicomError, AttributeError, RuntimeError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: can't read this DICOM file ({str(error).splitlines()[0]})") from None
    if stored.ndim == 3 and dataset.get("SamplesPerPixel", 1) == 1:
        stored = stored[0]  # several frames: the first
    if stored.ndim == 3:
        stored = stored @ np.array([0.299, 0.587, 0.114])
    pixels = apply_modality_lut(stored, dataset)
    has_window = "VOILUTSequence" in dataset or "WindowCenter" in dataset
    if has_window:
        pixels = apply_voi_lut(pixels, dataset)
        pixels = pixels.astype(np.float64)
        low, high = float(pixels.min()), float(pixels.max())
        grey = np.round((pixels - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    elif dataset.get("BitsStored", 16) <= 8 and pixels.min() >= 0 and pixels.max() <= 255:
        grey = np.round(pixels).astype(np.uint8)  # grey levels already, as in a PNG of 8 bits
    else:
        grey = _stretch(pixels)
    return 255 - grey if dataset.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def _read_picture(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            picture.load()
            if picture.mode in {"I", "F"} or picture.mode.startswith("I;16"):
                return _stretch(np.asarray(picture))
            if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
                rgba = picture.convert("RGBA")
                black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
                picture = Image.alpha_composite(black, rgba)
            return np.asarray(picture.convert("L"))
    except UnidentifiedImageError:
        raise ValueError(f"{path}: not a PNG, JPEG or DICOM picture") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: can't read this picture, it may be cut off ({error})") from None


def read_image(path: Path | str) -> np.ndarray:
    """Read a picture as grey levels [H, W] uint8, bright = dense.

    Above 8 bits, PNG and DICOM without a window are stretched between their percentiles; at 8 bits a picture has the same
    grey levels in every format. MONOCHROME1 is inverted.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a picture, or cut off; the message names the file.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: a folder, where a picture was expected")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return _read_dicom(path) if is_dicom(path) else _read_picture(path)


def letterbox(image: np.ndarray, size: int) -> np.ndarray:
    """Scale the longest side of [H, W] uint8 to `size` and pad with zeros to a centred square [size, size] uint8."""
    height, width = image.shape
    scale, left, top = letterbox_geometry(height, width, size)
    new = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(image).resize(new, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    square = np.zeros((size, size), dtype=np.uint8)
    square[top : top + new[1], left : left + new[0]] = np.asarray(small)
    return square


def squeeze(image: np.ndarray, size: int) -> np.ndarray:
    """Scale [H, W] uint8 to a square [size, size] whatever its shape (bicubic), as the authors' release does."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def letterbox_geometry(height: int, width: int, size: int) -> tuple[float, int, int]:
    """Scale, left and top margin (pixels of the square) of `letterbox`."""
    scale = size / max(height, width)
    left = (size - max(1, round(width * scale))) // 2
    top = (size - max(1, round(height * scale))) // 2
    return scale, left, top


def letterbox_box(box: tuple[float, float, float, float], shape: tuple[int, int], size: int) -> np.ndarray:
    """Move a box (x, y, width, height), pixels of the file of `shape` (height, width), into the square: [4] float."""
    scale, left, top = letterbox_geometry(*shape, size)
    x, y, width, height = (value * scale for value in box)
    return np.array([x + left, y + top, width, height])


def box_mask(box: np.ndarray, size: int) -> np.ndarray:
    """The pixels of a square [size, size] whose centres lie in a box; at least one, where the box meets the square."""
    x, y, width, height = box
    centres = np.arange(size) + 0.5
    columns = (centres >= x) & (centres < x + width)
    rows = (centres >= y) & (centres < y + height)
    if not columns.any():
        columns[int(np.clip(x, 0, size - 1))] = True
    if not rows.any():
        rows[int(np.clip(y, 0, size - 1))] = True
    return rows[:, None] & columns[None, :]
