"""Read a radiograph in DICOM as it should be shown: lookup tables, window, padding, polarity, orientation, pixel shape.

Encodings: uncompressed, deflated and RLE by pydicom; JPEG and JPEG 2000 by Pillow; what Pillow can't read (JPEG of 12
bits, lossless JPEG, JPEG-LS) by GDCM.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from .film import MOST_PIXELS, Film, check_numbers, check_size, quiet, refusal, spelt, stretch, to_grey, turned
from .gdcm_process import decode_apart, open_dicom

LATERAL = ("LL", "RL", "LLO", "RLO")
"""View positions that are not frontal; and every one that begins with LAT."""

MOST_STRETCHED = 8
"""A pixel more times as high as wide is taken for a mistake in the header."""

MEND = "check it with another viewer, or convert it to PNG"


def read_dicom(path: Path) -> Film:
    """Read a DICOM file, with or without the preamble.

    Raises:
        ValueError: no pixels, or pixels that can't be decoded; names the file and what to do.
    """
    quiet("pydicom")
    try:
        dataset = open_dicom(path)
        rows, columns = dataset.get("Rows"), dataset.get("Columns")
    except Exception as error:  # whatever a library makes of a broken file
        raise refusal(path, "can't read this DICOM file", error, MEND) from None
    if not rows or not columns or not any(name in dataset for name in PIXELS):
        raise ValueError(f"{spelt(path)}: a DICOM file without a picture; leave it out")
    try:
        check_size(path, int(columns), int(rows))
        stored = _stored(path, dataset)
        return _film(path, dataset, stored)
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(spelt(path)):
            raise
        raise refusal(path, "can't read this DICOM file", error, MEND) from None


def stored_dicom_shape(path: Path) -> tuple[int, int]:
    """Rows and columns, from the header alone."""
    from pydicom import dcmread

    quiet("pydicom")
    dataset = dcmread(path, force=True, stop_before_pixels=True)
    return int(dataset.Rows), int(dataset.Columns)


PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def _stored(path: Path, dataset) -> np.ndarray:
    """Pixels of the first frame [H, W] or [H, W, 3] (RGB) as they are stored."""
    from pydicom.pixels import get_decoder, pixel_array
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in dataset.file_meta:  # then as the header was read
        implicit, little = dataset.original_encoding
        plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = plain
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return pixel_array(dataset, index=0)
    try:
        plugins = get_decoder(syntax).available_plugins
    except NotImplementedError:
        plugins = ()
    for plugin in (name for name in DECODERS if name in plugins):
        try:
            return decode_apart(path) if plugin == "gdcm" else pixel_array(dataset, index=0, decoding_plugin=plugin)
        except Exception:  # such as JPEG of 12 bits, which Pillow does not know and GDCM does
            continue
    without = "" if plugins else ", for which there is no decoder here (python-gdcm, where it is missing)"
    raise ValueError(f"{spelt(path)}: can't decode its pixels, {syntax.name}{without}; {MEND}")


DECODERS = ("pydicom", "pillow", "gdcm")
"""In the order in which they are tried; pydicom itself decodes RLE."""


def _film(path: Path, dataset, stored: np.ndarray) -> Film:
    check_numbers(path, stored)
    notes = _frame_notes(dataset)
    padding = _padding(dataset, stored)
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if photometric == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        stored = apply_color_lut(stored, dataset)
        if stored.dtype == np.uint16 and stored.max() > 255:  # levels of 16 bits for colours of a palette
            stored = np.round(stored / 257).astype(np.uint8)
    if stored.ndim == 3:
        grey = _grey_of_colours(stored)
    else:
        values = _modality(stored, dataset)
        check_numbers(path, values)
        grey, note = _windowed(values, dataset)
        notes += note
        if grey is None:
            bits = int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 16)
            eight = bits <= 8 and values.min() >= 0 and values.max() <= 255
            # grey levels already, as in a PNG of 8 bits; else between the percentiles
            grey = (
                np.round(values).astype(np.uint8) if eight else stretch(values, None if padding is None else ~padding)
            )
        if photometric == "MONOCHROME1":
            grey = 255 - grey
    if padding is not None:
        grey[padding] = 0
    grey, matrix, note = _upright(grey, dataset)
    grey, matrix, shape_note = _square_pixels(grey, matrix, dataset)
    return Film(grey, (*notes, *note, *shape_note), matrix)


def _frame_notes(dataset) -> list[str]:
    """Several frames; a view that is not frontal."""
    notes = []
    frames = int(_number(dataset, "NumberOfFrames") or 1)
    if frames > 1:
        notes.append(f"{frames} frames: the first is read, the others are left out")
    view = str(dataset.get("ViewPosition") or "").strip().upper()
    orientation = [str(value)[:1].upper() for value in _values(dataset, "PatientOrientation")]
    codes = dataset.get("ViewCodeSequence") or []
    meaning = str(codes[0].get("CodeMeaning", "")).lower() if codes else ""
    lateral = view in LATERAL or view.startswith("LAT") or bool({"A", "P"} & set(orientation))
    if lateral or ("lateral" in meaning and "decubitus" not in meaning):
        notes.append("the file says that it is a lateral film; the model knows frontal films only")
    return notes


def _values(dataset, name: str) -> list:
    """The values of an element, none where it is missing or empty."""
    value = dataset.get(name)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)


def _number(dataset, name: str) -> float | None:
    """The first value of an element as a finite number; None where there is none."""
    try:
        value = float(_values(dataset, name)[0])
    except (IndexError, TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None


def _padding(dataset, stored: np.ndarray) -> np.ndarray | None:
    """The pixels that the file calls padding [H, W] bool; None where there are none, or nothing else."""
    value = _number(dataset, "PixelPaddingValue")
    if value is None or stored.ndim != 2:
        return None
    other = _number(dataset, "PixelPaddingRangeLimit")
    ends = [value, value if other is None else other]
    if stored.dtype.kind == "i":  # written as if it were unsigned
        ends = [end - 2**16 if end >= 2**15 else end for end in ends]
    padding = (stored >= min(ends)) & (stored <= max(ends))
    return padding if padding.any() and not padding.all() else None


def _grey_of_colours(colours: np.ndarray) -> np.ndarray:
    """[H, W, 3] -> [H, W] uint8; 16 bits are stretched, unless they are 8 bits in fact."""
    if colours.dtype == np.uint8:
        return np.asarray(Image.fromarray(colours[..., :3]).convert("L"))
    grey = colours[..., :3].astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return np.round(grey).astype(np.uint8) if colours.max() <= 255 else stretch(grey)


def _lookup(values: np.ndarray, item) -> np.ndarray:
    """Values through a lookup table of the DICOM standard (descriptor: entries, first value, bits); beyond it, its ends."""
    entries, first, _ = (int(v) for v in item.LUTDescriptor)
    entries = entries or 2**16
    if first >= 2**15 and values.min() < 0:
        first -= 2**16
    data = item.LUTData
    if isinstance(data, bytes):
        table = np.frombuffer(data, dtype="<u2" if len(data) >= 2 * entries else np.uint8)
    else:
        table = np.atleast_1d(np.asarray(data))
    if not len(table):
        raise ValueError("a lookup table without entries")
    return table[np.clip(np.round(values).astype(np.int64) - first, 0, min(entries, len(table)) - 1)].astype(np.float64)


def _modality(stored: np.ndarray, dataset) -> np.ndarray:
    """What the detector measured: by the modality's table, or slope and intercept (1 and 0 where missing or empty)."""
    tables = dataset.get("ModalityLUTSequence") or []
    if tables:
        return _lookup(stored, tables[0])
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    return stored * (1.0 if slope is None else slope) + (0.0 if intercept is None else intercept)


def _windowed(values: np.ndarray, dataset) -> tuple[np.ndarray | None, list[str]]:
    """Grey levels by the file's own table or window (part 3 of the standard, C.11.2.1); None where there is none to use."""
    tables = dataset.get("VOILUTSequence") or []
    if tables:
        try:
            shown = _lookup(values, tables[0])
            return to_grey((shown - shown.min()) / max(float(np.ptp(shown)), 1e-9)), []
        except (AttributeError, TypeError, ValueError):
            return None, ["its grey level table can't be used: grey levels by percentiles"]
    if not _values(dataset, "WindowCenter") and not _values(dataset, "WindowWidth"):
        return None, []
    centre, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    if centre is not None and width is not None and not values.min() - width / 2 < centre < values.max() + width / 2:
        return None, [
            f"its window (centre {centre}, width {width}) shows none of its values: grey levels by percentiles"
        ]
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    unusable = f"its window (centre {centre}, width {width}, {function}) can't be used: grey levels by percentiles"
    if centre is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None, [unusable]
    if function == "LINEAR":
        return to_grey((values - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5), []
    if function == "LINEAR_EXACT":
        return to_grey((values - centre) / width + 0.5), []
    if function == "SIGMOID":
        return to_grey(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -50, 50)))), []
    return None, [unusable]


def _upright(grey: np.ndarray, dataset) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Turned so that rows run to the patient's left and columns to the feet, as far as the file says how they run."""
    along = [str(value)[:1].upper() for value in _values(dataset, "PatientOrientation")][:2]
    transpose = bool(along) and along[0] in ("F", "H")
    across, down = (along if not transpose else along[::-1]) if len(along) == 2 else ("", "")
    mirror, upend = across == "R", down == "H"
    if across not in ("L", "R") or down not in ("F", "H") or not (transpose or mirror or upend):
        return grey, np.eye(2, 3), []
    pixels, matrix = turned(grey, transpose, mirror, upend)
    said = "\\".join(map(str, _values(dataset, "PatientOrientation")))
    return pixels, matrix, [f"turned upright: the file's patient orientation is {said}"]


def _square_pixels(grey: np.ndarray, matrix: np.ndarray, dataset) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Scaled so that pixels are as high as wide: the coarser side gets more of them."""
    for name in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        sides = _values(dataset, name)
        if len(sides) == 2:
            break
    else:
        return grey, matrix, []
    try:
        high, wide = (float(side) for side in sides)
        ratio = high / wide
    except (TypeError, ValueError, ZeroDivisionError):
        return grey, matrix, []
    if matrix[0, 0] == 0:  # rows and columns were exchanged
        ratio = 1 / ratio if ratio else 0
    if abs(ratio - 1) < 0.01:
        return grey, matrix, []
    if not 1 / MOST_STRETCHED <= ratio <= MOST_STRETCHED:
        return grey, matrix, [f"its pixels are said to be {high:g} high and {wide:g} wide, which is not believed"]
    height, width = grey.shape
    new = (width, round(height * ratio)) if ratio > 1 else (round(width / ratio), height)
    if new[0] * new[1] > MOST_PIXELS:
        return grey, matrix, [f"its pixels are {high:g} high and {wide:g} wide; it is too large to be scaled"]
    scaled = np.asarray(Image.fromarray(grey).resize(new, Image.Resampling.BICUBIC))
    return scaled, matrix * [[new[0] / width], [new[1] / height]], [
        f"scaled to {new[0]} x {new[1]}: its pixels are {high:g} high and {wide:g} wide"
    ]  # fmt: skip
