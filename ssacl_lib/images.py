"""One way to read a picture (PNG, JPEG, TIFF, BMP, DICOM) as a film; and the square that the model takes."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .dicom import read_dicom, stored_dicom_shape
from .film import MOST_PIXELS, Film, check_numbers, check_size, noted, quiet, refusal, spelt, stretch, turned

MAGIC = {
    b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"BM": "BMP", b"GIF8": "GIF",
    b"RIFF": "WEBP", b"\0\0\0\x0cjP  ": "JPEG2000", b"\xff\x4f\xff\x51": "JPEG2000",
}  # fmt: skip
"""How a file of a picture begins -> its format; no other format is tried, for some run other programs."""

BARE_DICOM = (b"\x08\0", b"\x02\0", b"\0\x08", b"\0\x02")
"""How a DICOM file without its preamble begins: group 0008 or 0002, either byte first."""

ORIENTATION, BITS, PHOTOMETRIC = 274, 258, 262
TURNS = {2: (False, True, False), 3: (False, True, True), 4: (False, False, True), 5: (True, False, False),
         6: (True, True, False), 7: (True, True, True), 8: (True, False, True)}  # fmt: skip
"""EXIF orientation -> transpose, mirror, upend: what makes the picture upright."""

MEND = "copy it again from its source, or save it as PNG"


def kind_of(path: Path) -> str:
    """What a file is by its first bytes: "DICOM", a format of pictures, "empty" or "unknown"."""
    with open(path, "rb") as handle:
        head = handle.read(132)
    if head[128:132] == b"DICM":
        return "DICOM"
    found = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
    if found is None and len(head) == 132 and head[:2] in BARE_DICOM:
        return "DICOM"
    return found or ("unknown" if head else "empty")


def _read_picture(path: Path, kind: str) -> Film:
    quiet("PIL")
    try:
        with Image.open(path, formats=(kind,)) as picture:
            check_size(path, *picture.size)
            frames = getattr(picture, "n_frames", 1)
            pixels, matrix, turn = _grey(path, picture)
    except UnidentifiedImageError:
        raise refusal(path, f"can't read this picture, it begins as {kind}", "and breaks off", MEND) from None
    except Image.DecompressionBombError:
        raise ValueError(
            f"{spelt(path)}: too large; the limit is {MOST_PIXELS:,} pixels; scale it down first"
        ) from None
    except Exception as error:  # whatever a library makes of a broken file
        if isinstance(error, ValueError) and str(error).startswith(spelt(path)):
            raise
        raise refusal(path, "can't read this picture, it may be cut off", error, MEND) from None
    notes = [f"{frames} pages: the first is read, the others are left out"] if frames > 1 else []
    notes += [f"turned upright: the file's EXIF orientation is {turn}"] if turn in TURNS else []
    return Film(pixels, tuple(notes), matrix)


def grey_of_picture(picture: Image.Image) -> np.ndarray:
    """Upright grey levels [H, W] uint8 of a picture that somebody has opened; it stays as it is.

    One whose pixels nobody has read yet is read from its file: Pillow keeps 8 bits of colours, and turns TIFF wrongly.

    Raises ValueError for pixels that are no numbers.
    """
    file = getattr(picture, "filename", "")
    if file and getattr(picture, "tile", None) and Path(file).is_file():
        return read_image(file)
    return _grey(Path(getattr(picture, "filename", "") or "picture"), picture.copy())[0]


def _grey(path: Path, picture: Image.Image) -> tuple[np.ndarray, np.ndarray, int]:
    """Upright grey levels [H, W] uint8, the matrix of `Film` and the EXIF orientation."""
    tags = getattr(picture, "tag_v2", {})
    if len(picture.getbands()) > 1 and np.max(tags.get(BITS, 8)) > 8:  # Pillow keeps the high bytes, often black
        raise ValueError(f"{spelt(path)}: a TIFF of more than 8 bits per colour; save it as a grey picture")
    white_is_zero = tags.get(PHOTOMETRIC) == 0  # which Pillow minds at 8 bits alone
    deep = _deep_colours(path, picture)  # before getexif, which loads a PNG
    turn = _orientation(picture)
    picture.load()
    if deep is None and (picture.mode in {"I", "F"} or picture.mode.startswith("I;16")):
        deep = np.asarray(picture)
    if deep is not None:
        check_numbers(path, deep)
        pixels = 255 - stretch(deep) if white_is_zero else stretch(deep)
    elif picture.mode in {"RGBA", "LA", "PA", "La", "RGBa"}:  # a channel of transparency: black shows through
        rgba = picture.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        pixels = np.asarray(Image.alpha_composite(black, rgba).convert("L"))
    else:  # a single transparent grey level (tRNS) is a grey level like any other
        picture.info.pop("transparency", None)
        pixels = np.asarray(picture.convert("L"))
    if turn not in TURNS:
        return np.array(pixels), np.eye(2, 3), 1
    return *turned(pixels, *TURNS[turn]), turn


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation; Pillow, which garbles uncompressed TIFF when it turns it, is kept from turning."""
    turn = picture.getexif().get(ORIENTATION, 1)
    if picture.format == "TIFF" and turn in TURNS:
        picture._size = (picture.tag_v2[256], picture.tag_v2[257])
        del picture.tag_v2[ORIENTATION], picture.getexif()[ORIENTATION]
    return turn


DEEP = {
    "RGB;16B": (("RGB", "RGB;16B"), ("RGB", "RGB;16L")),
    "RGBA;16B": (("RGBA", "RGBA;16B"), ("RGBA", "RGBA;16L")),
    "LA;16B": (("RGBA", "RGBA"),),
}
"""How a PNG of 16 bits a channel is stored -> (mode, way of unpacking) that give the high and the low bytes."""


def _deep_colours(path: Path, picture: Image.Image) -> np.ndarray | None:
    """Grey levels [H, W] float of a PNG of 16 bits a channel, of which Pillow keeps the high bytes; None for another."""
    raw = picture.tile[0].args if picture.format == "PNG" and picture.tile else None
    if raw not in DEEP:
        return None
    halves = []
    for mode, way in DEEP[raw]:
        with Image.open(path, formats=("PNG",)) as part:
            part._mode, part.tile = mode, [part.tile[0]._replace(args=way)]
            halves.append(np.asarray(part).astype(np.float64))
    high, low = halves if len(halves) == 2 else (halves[0][..., ::2], halves[0][..., 1::2])
    deep = high * 256 + low
    grey = deep[..., 0] if raw == "LA;16B" else deep[..., :3] @ np.array([0.299, 0.587, 0.114])
    return grey if raw == "RGB;16B" else grey * deep[..., -1] / 65535


def read_film(path: Path | str) -> Film:
    """Read a picture: grey levels, upright, bright = dense, with notes on what is odd.

    Above 8 bits, what brings no window is stretched between its percentiles; at 8 bits a picture has the same grey levels
    in every format. MONOCHROME1 is inverted, padding is black, EXIF and DICOM orientation are followed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a picture, cut off, too large, or with pixels that are no numbers; the message names the file and
            what to do.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{spelt(path)}: a folder, where a picture was expected")
    if not path.is_file():
        raise FileNotFoundError(f"{spelt(path)}: no such file")
    kind = kind_of(path)
    if kind == "empty":
        raise ValueError(f"{spelt(path)}: an empty file; copy it again from its source")
    if kind == "unknown":
        raise ValueError(f"{spelt(path)}: not a PNG, JPEG, TIFF, BMP or DICOM picture; convert it to one of these")
    return noted(read_dicom(path) if kind == "DICOM" else _read_picture(path, kind))


def stored_shape(path: Path) -> tuple[int, int] | None:
    """Height and width of a picture as it is stored, from its header alone; None where it can't be read."""
    try:
        kind = kind_of(path)
        if kind == "DICOM":
            return stored_dicom_shape(path)
        if kind in ("empty", "unknown"):
            return None
        quiet("PIL")
        with Image.open(path, formats=(kind,)) as picture:
            return picture.size[::-1]
    except Exception:  # whatever a library makes of a broken file
        return None


def read_image(path: Path | str) -> np.ndarray:
    """`read_film` without the notes: grey levels [H, W] uint8, bright = dense."""
    return read_film(path).pixels


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


def film_rectangle(shape: tuple[int, int], size: int) -> tuple[slice, slice]:
    """Rows and columns of the square that a film of `shape` fills after `letterbox`; beyond them lies padding."""
    scale, left, top = letterbox_geometry(*shape, size)
    height, width = (max(1, round(side * scale)) for side in shape)
    return slice(top, top + height), slice(left, left + width)


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
