"""Pictures: every kind that people send gives the same film, or one line that names the file and what to do."""

import io
import struct
import zlib

import numpy as np
import pytest
from conftest import PICTURES, write_dicom
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from ssacl_lib.film import MOST_PIXELS, Film
from ssacl_lib.images import box_mask, film_rectangle, letterbox, letterbox_box, read_film, read_image
from ssacl_lib.model import SSACLProcessor


def gradient() -> np.ndarray:
    return np.tile(np.linspace(0, 255, 60).astype(np.uint8), (30, 1))


@pytest.fixture(scope="module")
def film() -> np.ndarray:
    """A phantom film [128, 104] uint8 in all grey levels."""
    return np.ascontiguousarray(read_image(PICTURES / "jpeg_lossless.dcm")[::4, ::4])


def deep(film: np.ndarray, bits: int = 12) -> np.ndarray:
    return film.astype(np.uint16) << (bits - 8)


def lookup(bits: int, levels, first: int = 0) -> list[Dataset]:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [len(levels), first, bits], np.asarray(levels, np.uint16).tobytes()
    table.add_new(0x00283006, "OW", np.asarray(levels, np.uint16).tobytes())
    return [table]


def close(found: np.ndarray, film: np.ndarray, most: float = 3) -> bool:
    """The same film, but for the grey levels beyond the percentiles."""
    return found.shape == film.shape and np.abs(found.astype(int) - film).mean() <= most


# ---- grey levels
def test_png_jpeg_and_dicom_give_the_same_picture(tmp_path):
    grey = gradient()
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(grey).convert("RGB").save(tmp_path / "a.jpg", quality=100)
    Image.fromarray(grey.astype(np.uint16) * 200).save(tmp_path / "deep.png")
    write_dicom(tmp_path / "a.dcm", grey * np.uint16(16))
    write_dicom(tmp_path / "b.dcm", 4095 - grey * np.uint16(16), "MONOCHROME1")
    write_dicom(tmp_path / "c", grey * np.uint16(16), WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), grey)
    for name in ("a.jpg", "deep.png", "a.dcm", "b.dcm", "c"):
        found = read_image(tmp_path / name)
        assert found.dtype == np.uint8 and found.shape == grey.shape, name
        assert np.abs(found.astype(int) - grey).max() <= 6, name


def test_eight_bits_are_the_same_grey_levels_in_every_format(tmp_path):
    grey = np.random.default_rng(0).integers(40, 200, (30, 60), dtype=np.uint8)
    for name in ("a.png", "a.tif", "a.bmp"):
        Image.fromarray(grey).save(tmp_path / name)
    write_dicom(tmp_path / "a.dcm", grey, BitsStored=8, HighBit=7)
    write_dicom(tmp_path / "b.dcm", 255 - grey, "MONOCHROME1", BitsStored=8, HighBit=7)
    write_dicom(tmp_path / "c.dcm", grey, BitsStored=8, HighBit=7, WindowCenter=128, WindowWidth=256)
    for name in ("a.png", "a.tif", "a.bmp", "a.dcm", "b.dcm", "c.dcm"):
        np.testing.assert_array_equal(read_image(tmp_path / name), grey)
    write_dicom(tmp_path / "deep.dcm", grey)  # 16 bits stored: the same levels say nothing of black and white
    assert read_image(tmp_path / "deep.dcm").max() == 255


def test_a_window_is_followed_where_it_can_be(tmp_path):
    grey = gradient().astype(np.uint16) * 16
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        write_dicom(tmp_path / "a.dcm", grey, WindowCenter=1000, WindowWidth=500, VOILUTFunction=function)
        found = read_image(tmp_path / "a.dcm")
        assert found[0, 0] == 0 and found[0, -1] == 255 and abs(int(found[0, 15]) - 128) < 25, function
    write_dicom(tmp_path / "a.dcm", grey, WindowCenter=1000, WindowWidth=0)
    one = read_film(tmp_path / "a.dcm")
    assert "percentiles" in one.notes[0] and np.abs(one.pixels.astype(int) - gradient()).max() <= 6
    write_dicom(
        tmp_path / "a.dcm", grey + 1000, WindowCenter=128, WindowWidth=256
    )  # of 8 bits, kept when they became 12
    other = read_film(tmp_path / "a.dcm")
    assert "shows none of its values" in other.notes[0] and (other.pixels == one.pixels).all()


DEEP = {
    "empty slope": {"RescaleSlope": None, "RescaleIntercept": None},
    "window of width 0": {"WindowCenter": 2048, "WindowWidth": 0},
    "empty window": {"WindowCenter": None, "WindowWidth": None},
    "unknown window function": {"WindowCenter": 2048, "WindowWidth": 4096, "VOILUTFunction": "MAGIC"},
    "modality table of 12 bits": {"ModalityLUTSequence": lookup(12, np.arange(4096))},
    "modality table that begins late": {"ModalityLUTSequence": lookup(16, np.arange(4000) + 96, first=96)},
    "window table": {"VOILUTSequence": lookup(12, np.arange(4096))},
    "no bits of its own": {"BitsStored": None, "HighBit": None},
    "view": {"ViewPosition": "LATERAL"},
    "frames": {"NumberOfFrames": 1},
}
SAID = {"view": "lateral", "window of width 0": "percentiles", "unknown window function": "percentiles"}


@pytest.mark.parametrize("kind", DEEP)
def test_headers_that_libraries_stumble_over_give_the_film(tmp_path, film, kind):
    write_dicom(tmp_path / "a.dcm", deep(film), **{"BitsStored": 12, "HighBit": 11, **DEEP[kind]})
    found = read_film(tmp_path / "a.dcm")
    assert close(found.pixels, film, 15) and np.corrcoef(found.pixels.ravel(), film.ravel())[0, 1] > 0.99
    assert [True for note in found.notes if SAID.get(kind, "-") in note] == [True] * (kind in SAID)


def test_padding_is_black_and_does_not_decide_the_grey_levels(tmp_path, film):
    values = film.astype(np.int16) * 12
    values[:, :20] = -32000
    for photometric in ("MONOCHROME2", "MONOCHROME1"):
        write_dicom(tmp_path / "a.dcm", values.view(np.uint16), photometric, PixelRepresentation=1,
                    PixelPaddingValue=-32000)  # fmt: skip
        found = read_image(tmp_path / "a.dcm")
        inner = film if photometric == "MONOCHROME2" else 255 - film
        assert not found[:, :20].any() and close(found[:, 20:], inner[:, 20:], 12)


def test_palettes_and_colours_are_applied(tmp_path, film):
    red, green, blue = ((np.arange(256) * share).astype(np.uint16) << 8 for share in (1.0, 0.5, 0.2))
    tables = {
        f"{name}PaletteColorLookupTable{part}": value
        for name, levels in (("Red", red), ("Green", green), ("Blue", blue))
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", levels.tobytes()))
    }
    write_dicom(tmp_path / "a.dcm", film, "PALETTE COLOR", BitsStored=8, HighBit=7, **tables)
    expected = film * (0.299 + 0.5 * 0.587 + 0.2 * 0.114)
    assert np.abs(read_image(tmp_path / "a.dcm") - expected).max() < 3
    two = np.repeat(film[None, ..., None], 3, 3).repeat(2, 0)
    write_dicom(tmp_path / "b.dcm", film, "RGB", SamplesPerPixel=3, PlanarConfiguration=0, BitsAllocated=8, BitsStored=8,
                HighBit=7, NumberOfFrames=2, PixelData=two.tobytes())  # fmt: skip
    found = read_film(tmp_path / "b.dcm")
    np.testing.assert_array_equal(found.pixels, film)
    assert "2 frames" in found.notes[0]


def test_png_of_16_bits_a_channel_keeps_its_low_bytes(tmp_path, film):
    """Pillow writes none, so the file is put together here."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    Image.fromarray(deep(film)).save(tmp_path / "grey.png")
    for code, channels in ((2, 3), (6, 4), (4, 2)):
        values = np.repeat(deep(film)[..., None], channels, 2)
        if code in (4, 6):
            values[..., -1] = 65535
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        head = struct.pack(">IIBBBBB", film.shape[1], film.shape[0], 16, code, 0, 0, 0)
        (tmp_path / "a.png").write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        )
        found = read_image(tmp_path / "a.png").astype(int)
        assert np.abs(found - read_image(tmp_path / "grey.png")).max() <= 1, code


def test_transparency(tmp_path, film):
    Image.fromarray(np.full((4, 4, 4), (255, 255, 255, 0), np.uint8), "RGBA").save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").max() == 0
    Image.fromarray(film).save(tmp_path / "b.png", transparency=200)  # one grey level, no channel
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), film)


# ---- upright, square pixels
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "tiff"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_followed_and_boxes_turn_with_it(tmp_path, film, turn, ending):
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[turn]  # Image.Transpose that undoes the orientation
    stored = Image.fromarray(film) if back is None else Image.fromarray(film).transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[274] = turn
    options = {"jpg": {"quality": 95}, "tiff": {"compression": "tiff_lzw"}}.get(ending, {})
    stored.save(tmp_path / f"a.{ending}", exif=exif, **options)
    found = read_film(tmp_path / f"a.{ending}")
    assert close(found.pixels, film)
    assert_boxes_follow(found, np.asarray(stored), film)


@pytest.mark.parametrize(
    "orientation", ["L\\F", "R\\F", "L\\H", "R\\H", "F\\L", "H\\L", "F\\R", "H\\R", "LH\\FR", "X", ""]
)
def test_patient_orientation_is_followed(tmp_path, film, orientation):
    along = [part[0] for part in orientation.split("\\")] if "\\" in orientation else ["L", "F"]
    stored = film.T if along[0] in "FH" else film
    down = along[0] if along[0] in "FH" else along[1]
    across = along[1] if along[0] in "FH" else along[0]
    vertical, horizontal = (1, 0) if along[0] in "FH" else (0, 1)
    stored = np.flip(stored, vertical) if down == "H" else stored
    stored = np.flip(stored, horizontal) if across == "R" else stored
    write_dicom(tmp_path / "a.dcm", stored, BitsStored=8, HighBit=7, PatientOrientation=orientation.split("\\"))
    found = read_film(tmp_path / "a.dcm")
    np.testing.assert_array_equal(found.pixels, film)
    assert_boxes_follow(found, stored, film)


def assert_boxes_follow(found: Film, stored: np.ndarray, film: np.ndarray):
    """The brightest pixel of the stored picture lies on the film where the matrix says, and back."""
    row, column = np.unravel_index(np.asarray(stored, int).argmax(), stored.shape)
    x, y, width, height = found.from_file((column, row, 1, 1))
    assert (width, height) == (1, 1) and abs(int(film[int(y), int(x)]) - int(stored[row, column])) <= 8
    assert found.to_file(x + 0.5, y + 0.5) == pytest.approx((column + 0.5, row + 0.5))


@pytest.mark.parametrize("name", ["PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"])
def test_pixels_become_as_high_as_wide(tmp_path, film, name):
    sides = [2, 1] if name == "PixelAspectRatio" else [0.4, 0.2]
    write_dicom(tmp_path / "a.dcm", film[::2], BitsStored=8, HighBit=7, **{name: sides})
    found = read_film(tmp_path / "a.dcm")
    assert close(found.pixels, film, 6) and "scaled to 104 x 128" in found.notes[0]
    assert found.from_file((10, 20, 5, 5)) == (10, 40, 5, 10) and found.to_file(50, 100) == (50, 50)
    write_dicom(
        tmp_path / "a.dcm", film, BitsStored=8, HighBit=7, **{name: [v * 100 if v == sides[0] else v for v in sides]}
    )
    assert read_film(tmp_path / "a.dcm").pixels.shape == film.shape


# ---- encodings
def test_compressed_dicom_is_read(tmp_path, film):
    assert read_image(PICTURES / "jpeg_lossless.dcm").shape == (512, 416)
    assert read_image(PICTURES / "jpeg_ls.dcm").std() > 40
    for syntax, form, options in ((JPEGBaseline8Bit, "JPEG", {"quality": 95}), (JPEG2000Lossless, "JPEG2000", {})):
        path = write_dicom(tmp_path / "a.dcm", film, BitsAllocated=8, BitsStored=8, HighBit=7)

        dataset, packed = dcmread(path), io.BytesIO()
        Image.fromarray(film).save(packed, form, **options)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([packed.getvalue()])
        dataset["PixelData"].VR = "OB"
        dataset.save_as(path)
        assert close(read_image(path), film)


def test_a_dicom_file_is_known_by_its_content(tmp_path, film):
    path = write_dicom(tmp_path / "a", film, BitsStored=8, HighBit=7, SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1")
    whole = path.read_bytes()
    bare = whole[whole.index(b"\x08\0\x16\0UI") :]
    (tmp_path / "bare.dcm").write_bytes(bare)  # neither preamble nor a word of the transfer syntax
    Image.fromarray(film).save(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "picture.dcm")
    for name in ("a", "bare.dcm", "picture.dcm"):
        np.testing.assert_array_equal(read_image(tmp_path / name), film)


# ---- what is odd is said
def odd(kind: str, path, film):
    if kind == "black":
        film = np.zeros_like(film)
    elif kind == "one pixel":
        film = film[:1, :1]
    elif kind == "strip":
        film = film[:, :1]
    elif kind == "inverted":
        film = 255 - film
    if kind == "slope 0":
        write_dicom(path, deep(film), RescaleSlope=0, RescaleIntercept=0)
    elif kind in ("lateral", "lateral by orientation"):
        by = {"ViewPosition": "LL"} if kind == "lateral" else {"PatientOrientation": ["A", "F"]}
        write_dicom(path, film, BitsStored=8, HighBit=7, **by)
    elif kind == "pages":
        pages = [Image.fromarray(film)] * 3
        pages[0].save(path, "TIFF", save_all=True, append_images=pages[1:])
    else:
        Image.fromarray(film).save(path, "PNG")
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("black", "no contrast"),
        ("one pixel", "no contrast"),
        ("strip", "no contrast"),
        ("slope 0", "no contrast"),
        ("inverted", "looks inverted"),
        ("lateral", "lateral film"),
        ("lateral by orientation", "lateral film"),
        ("pages", "3 pages"),
        ("as it should be", None),
    ],
)
def test_what_is_odd_is_noted(tmp_path, film, kind, said):
    notes = read_film(odd(kind, tmp_path / "a", film)).notes
    assert len(notes) == (said is not None) and all(said in note for note in notes)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("text.png", "not a PNG"),
        ("text.dcm", "not a PNG"),
        ("zeros.dcm", "not a PNG"),
        ("empty.jpg", "an empty file"),
        ("half.dcm", "can't read this DICOM file"),
        ("half.png", "may be cut off"),
        ("head.png", "breaks off"),
        ("nan.tif", "no numbers"),
        ("large.png", f"too large, 12000 x 9000 pixels; the limit is {MOST_PIXELS:,}"),
        ("larger.png", f"too large; the limit is {MOST_PIXELS:,}"),
        ("large.dcm", "too large, 60000 x 60000"),
        ("no_picture.dcm", "without a picture"),
        ("broken_jpeg2000.dcm", "can't decode its pixels, JPEG 2000"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_file(tmp_path, film, name, why, recwarn, capfd):
    path = tmp_path / name
    if name.startswith("half"):
        odd("", path, film) if path.suffix == ".png" else write_dicom(path, film)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif name.startswith("large") and path.suffix == ".png":
        size = (12000, 9000) if name == "large.png" else (14000, 13000)
        Image.new("1", size).save(path)
    elif name == "large.dcm":
        write_dicom(path, film, Rows=60000, Columns=60000)
    elif name == "no_picture.dcm":
        write_dicom(path, film, Rows=None)
    elif name == "broken_jpeg2000.dcm":
        path = PICTURES / name
    elif name == "nan.tif":
        Image.fromarray(np.where(film > 200, np.nan, film).astype(np.float32)).save(path)
    else:
        path.write_bytes({"text": b"no picture at all " * 20, "zeros": bytes(128), "empty": b"",
                          "head": b"\x89PNG\r\n\x1a\n"}[path.stem])  # fmt: skip
    with pytest.raises(ValueError, match=name) as refused:
        read_image(path)
    said = str(refused.value)
    assert why in said and "\n" not in said and ";" in said  # what to do stands behind it
    assert not recwarn.list and capfd.readouterr() == ("", "")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.png: no such file"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(ValueError, match="a folder"):
        read_image(tmp_path)


# ---- the square
def test_boxes_move_with_the_picture():
    image = np.zeros((50, 100), np.uint8)
    image[10:30, 20:60] = 255
    square = letterbox(image, 64)
    mask = box_mask(letterbox_box((20, 10, 40, 20), image.shape, 64), 64)
    assert square.shape == (64, 64)
    assert square[mask].mean() > 230 and square[~mask].mean() < 10
    assert box_mask(np.array([3.2, 3.2, 0.1, 0.1]), 8).sum() == 1


@pytest.mark.parametrize("shape", [(210, 256), (420, 512), (512, 420), (64, 64), (900, 1)])
def test_the_rectangle_of_the_film_is_what_letterbox_fills(shape):
    square = letterbox(np.full(shape, 200, np.uint8), 64)
    inside = np.zeros((64, 64), bool)
    inside[film_rectangle(shape, 64)] = True
    np.testing.assert_array_equal(square > 0, inside)


def test_an_opened_picture_is_read_as_its_file(tmp_path, film):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(film).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(deep(film, 16)).save(tmp_path / "b.png")
    Image.fromarray(film).save(tmp_path / "c.tif", exif=exif)
    for name in ("a.jpg", "b.png", "c.tif"):
        with Image.open(tmp_path / name) as picture:
            np.testing.assert_array_equal(SSACLProcessor.grey(picture), read_image(tmp_path / name))


def test_white_may_be_zero_in_a_tiff_of_16_bits(tmp_path, film):
    Image.fromarray(65535 - deep(film, 16)).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert close(read_image(tmp_path / "a.tif"), film)


def test_colours_of_16_bits_in_a_tiff_are_refused(tmp_path):
    """Written by hand, for Pillow writes none: one strip of 4 x 4 pixels of 12-bit levels, little-endian."""
    pixels = np.full((4, 4, 3), 4000, "<u2").tobytes()
    entries = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 3, 134), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 140),
               (277, 3, 1, 3), (278, 3, 1, 4), (279, 4, 1, len(pixels)), (284, 3, 1, 1)]  # fmt: skip
    body = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    (tmp_path / "a.tif").write_bytes(body + struct.pack("<I", 0) + struct.pack("<3H", 16, 16, 16) + pixels)
    with pytest.raises(ValueError, match=r"a\.tif: a TIFF of more than 8 bits per colour; save it as a grey picture"):
        read_image(tmp_path / "a.tif")


def test_arrays_of_other_whole_numbers_are_named():
    with pytest.raises(ValueError, match="an image of uint16, expected uint8 or floats in 0..1"):
        SSACLProcessor.grey(np.full((4, 4), 4000, np.uint16))
