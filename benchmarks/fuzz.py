"""Mutated inputs, seeded: each is read, or refused with one line that names the file. `python benchmarks/fuzz.py`

Pictures of every mode, DICOM headers and encodings, tables, settings, checkpoints and JSON of runs are changed at random. A
failure is any other exception, a message of several lines or without the file's name, a word on the screen, a warning, or
no answer in time. The counts go to data/results/fuzz.csv; failures are printed with the seed that makes them again.
"""

import argparse
import contextlib
import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ssacl_lib.command.cli import QUIET  # noqa: E402
from ssacl_lib.record.manifest import atomic_write  # noqa: E402

COUNTS = {"picture": 3000, "dicom": 3000, "table": 2000, "settings": 1000, "checkpoint": 500, "run": 500}
"""Kind -> inputs: 10,000 in all."""

SECONDS = 20
"""An input without an answer after so much of the processor's time hangs; a busy machine is no hang."""

CHUNK = 250
TABLE = ROOT / "data" / "results" / "fuzz.csv"
ENCODED = ROOT / "tests" / "data" / "pictures"
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F")
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000")


class Slow(Exception):
    """The input took too long."""


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Bytes flipped, cut out, doubled, cut off or replaced; some stay as they are."""
    content = bytearray(content)
    for _ in range(draw.choice((0, 1, 1, 2, 5, 20))):
        if not content:
            break
        place, length = draw.randrange(len(content)), draw.choice((1, 1, 2, 4, 30))
        what = draw.randrange(5)
        if what == 0:
            content[place] ^= 1 << draw.randrange(8)
        elif what == 1:
            content[place : place + length] = draw.randbytes(length)
        elif what == 2:
            del content[place : place + length]
        elif what == 3:
            content[place:place] = content[place : place + length]
        elif draw.random() < 0.3:
            del content[place:]
    return bytes(content)


# ---- one maker per kind: (folder, draw) -> what is called, and the name that a refusal has to hold
def picture(folder: Path, draw: random.Random):
    """A picture of any mode and size."""
    import numpy as np
    from PIL import Image

    from ssacl_lib.images import read_film

    size = (draw.choice((1, 2, 17, 64, 300)), draw.choice((1, 3, 40, 64)))
    noise = np.random.default_rng(draw.randrange(2**32)).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    buffer = io.BytesIO()
    for _ in range(20):  # not every format knows every mode
        mode, form = draw.choice(MODES), draw.choice(FORMATS)
        exif = Image.Exif()
        exif[274] = draw.choice((1, 1, 3, 6, 8, 0, 99))
        try:
            base = (
                Image.fromarray(noise.astype(np.uint16) * 17)
                if mode == "I;16"
                else Image.fromarray(noise).convert(mode)
            )
            base.save(buffer, form, **({"exif": exif} if form in ("PNG", "JPEG", "TIFF", "WEBP") else {}))
            break
        except (OSError, ValueError, KeyError):
            buffer = io.BytesIO()
    path = folder / f"a.{draw.choice(('png', 'jpg', 'dcm', 'tif'))}"
    path.write_bytes(damaged(buffer.getvalue(), draw))
    return lambda: read_film(path), path.name


ELEMENTS = {
    "RescaleSlope": (None, "0", "1", "-1", "1e300", "nan"), "RescaleIntercept": (None, "0", "-1024", "1e308"),
    "WindowCenter": (None, "128", ["40", "80"], "-5"), "WindowWidth": (None, "0", "256", "1", "-3", "1e-9"),
    "VOILUTFunction": ("LINEAR", "SIGMOID", "LINEAR_EXACT", "X", None), "BitsStored": (None, 1, 8, 12, 16, 0, 200),
    "HighBit": (0, 7, 11, 15, 99), "PixelRepresentation": (0, 1, 7, None), "SamplesPerPixel": (1, 3, 0, 2, None),
    "PhotometricInterpretation": ("MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL", "X", None),
    "NumberOfFrames": ("1", "2", "0", "-1", None), "PixelPaddingValue": (0, 255, 65535, None),
    "PixelAspectRatio": (["2", "1"], ["0", "1"], ["1", "900"], None), "PixelSpacing": (["0.1", "0.2"], ["0", "0"], "x", None),
    "PatientOrientation": (["R", "F"], ["F", "L"], ["A", "F"], "X", None), "ViewPosition": ("LL", "PA", None),
    "Rows": (None, 0, 1, 40, 60000), "Columns": (None, 0, 1, 64, 60000), "BitsAllocated": (8, 16, 1, 32, 0, None),
}  # fmt: skip


def dicom(folder: Path, draw: random.Random):
    """A DICOM file with odd elements, in one of several encodings, damaged or not."""
    import numpy as np
    from pydicom import dcmread
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless

    from ssacl_lib.images import read_film

    path = folder / draw.choice(("a.dcm", "a"))
    if draw.random() < 0.3:
        data = dcmread(ENCODED / draw.choice(("jpeg_ls.dcm", "jpeg_lossless.dcm", "broken_jpeg2000.dcm")))
    else:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        pixels = np.random.default_rng(draw.randrange(2**32)).integers(0, 4096, (40, 64)).astype(np.uint16)
        data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 40, 64, 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.PixelData = pixels.tobytes()
        if draw.random() < 0.3:
            data.compress(RLELossless, generate_instance_uid=False)
    for name in draw.sample(list(ELEMENTS), draw.choice((0, 1, 2, 4))):
        with contextlib.suppress(Exception):
            setattr(data, name, draw.choice(ELEMENTS[name]))
    try:
        data.save_as(path)
    except Exception:  # an element that can't be written: the file without it
        path.write_bytes((ENCODED / "jpeg_ls.dcm").read_bytes())
    if draw.random() < 0.6:
        path.write_bytes(damaged(path.read_bytes(), draw))
    return lambda: read_film(path), path.name


def table(folder: Path, draw: random.Random):
    """Tables of studies and of boxes."""
    from PIL import Image

    from ssacl_lib.datasets.boxes import read_boxes
    from ssacl_lib.datasets.folder import labels_of, read_studies

    Image.new("L", (80, 40), 9).save(folder / "0.png")
    heads = ("patient", "split", "Edema", "edema", "No_Finding", "", "x")
    header = ["image", "report", *draw.sample(heads, draw.randrange(4))]
    cells = (
        "",
        "a",
        "1",
        "-1",
        "nan",
        "train",
        "test",
        '"a, b"',
        "a, b",
        "N/A",
        "Ö🙂",
        "1.0",
        '"',
        "\0",
        "no effusion.",
    )
    if draw.random() < 0.5:  # a table as it should be, but for what the bytes suffer
        header, cells = ["image", "report"], ("no effusion.", "a", '"a, b"', "N/A")
    lines = [
        ",".join([f"{n}.png", *(draw.choice(cells) for _ in header[1:])]) for n in range(draw.choice((0, 1, 3, 12)))
    ]
    text = draw.choice(("\n", "\r\n", "\r")).join([draw.choice((",", ",", ",", ";")).join(header), *lines])
    (folder / "studies.csv").write_bytes(
        damaged(text.encode(draw.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252")), "replace"), draw)
    )
    numbers = ("0", "-5", "10", "40.5", "nan", "inf", "1e400", "", "x")
    boxes = [
        f"0.png,{draw.choice(('a', '', 'b'))},Edema," + ",".join(draw.choice(numbers) for _ in range(4))
        for _ in range(draw.randrange(4))
    ]
    (folder / "phrase_boxes.csv").write_bytes(
        damaged("\n".join(["image,phrase,finding,x,y,w,h", *boxes]).encode(), draw)
    )
    if draw.random() < 0.5:
        return lambda: read_boxes(folder, ["0.png"]), ".csv"
    return lambda: labels_of(read_studies(folder, 0)), ""


def settings(folder: Path, draw: random.Random):
    """A profile's YAML, and overrides by name."""
    from ssacl_lib import paths
    from ssacl_lib.command.arguments import parse_override
    from ssacl_lib.settings import load_settings

    names = (
        "training.images",
        "training.mixing",
        "model.encoder_weights",
        "data.image_size",
        "seed",
        "device",
        "a.b",
        "training",
        "",
    )
    values = (
        "0",
        "-1",
        "1e9",
        "nan",
        "null",
        "[1]",
        "{a: 1}",
        "x",
        "'",
        "*a",
        "1e-3",
        "true",
        "&",
        "!!python/object:x",
        "@",
        "\t",
    )
    text = f"{draw.choice(names)}{draw.choice(('=', '=', '='))}{draw.choice(values)}"
    if draw.random() < 0.6:
        return lambda: load_settings("smoke", **dict([parse_override(text)])), ""
    (folder / "odd.yaml").write_bytes(damaged((paths.PROFILES / "smoke.yaml").read_bytes(), draw))

    def read():
        before, paths.PROFILES = paths.PROFILES, folder
        try:
            return load_settings("odd")
        finally:
            paths.PROFILES = before

    return read, "odd"


_CHECKPOINT: dict[str, bytes] = {}


def checkpoint(folder: Path, draw: random.Random):
    """A small model's folder with one file damaged, or missing."""
    from ssacl_lib.model.build import load_model

    if not _CHECKPOINT:
        from ssacl_lib.model.build import build_model
        from ssacl_lib.settings import load_settings
        from ssacl_lib.text.tokenizer import train_tokenizer
        from ssacl_lib.training.state import save_model

        with tempfile.TemporaryDirectory() as made:
            small = load_settings("smoke")
            save_model(
                build_model(small, train_tokenizer(["Small right pleural effusion.", "The heart is enlarged."] * 4)),
                Path(made),
            )
            _CHECKPOINT.update(
                {p.relative_to(made).as_posix(): p.read_bytes() for p in Path(made).rglob("*") if p.is_file()}
            )
    target = draw.choice(sorted(_CHECKPOINT))
    for name, content in _CHECKPOINT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        changed = damaged(content[:3000], draw) + content[3000:] if name == target else content
        if name != target or draw.random() > 0.1:
            (folder / name).write_bytes(changed)
    return lambda: load_model(folder, "cpu"), folder.name


def run(folder: Path, draw: random.Random):
    """The JSON that a run leaves and reads again."""
    from ssacl_lib.command.folder_reports import _done
    from ssacl_lib.command.output import free_name
    from ssacl_lib.record.manifest import read_json

    line = (
        json.dumps(
            {
                "image": "a.png",
                "report": "x",
                "findings": {},
                "positives": [],
                "anatomies": [],
                "checkpoint": "c",
                "file": [1, 2],
                "checkpoint_hash": "c",
            }
        )
        + "\n"
    )
    path = folder / "a_report.json"
    path.write_bytes(damaged((line * draw.choice((1, 3))).encode(), draw))
    which = draw.randrange(3)
    if which == 0:
        return lambda: _done(path, "c", False), path.name
    if which == 1:
        return lambda: read_json(path), path.name
    return lambda: free_name(folder, ["a", "b"], "_report", Path("a.png")), path.name


MAKERS = {
    "picture": picture,
    "dicom": dicom,
    "table": table,
    "settings": settings,
    "checkpoint": checkpoint,
    "run": run,
}


def judge(kind: str, number: int, seed: int = 0) -> tuple[str, str]:
    """Outcome of one input ("read", "refused" or "failed") and what was wrong."""

    def alarm(*_):
        raise Slow

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, warnings.catch_warnings(record=True) as said:
        call, name = MAKERS[kind](Path(folder), random.Random(f"{seed} {kind} {number}"))
        said.clear()
        if hasattr(signal, "SIGPROF"):
            signal.signal(signal.SIGPROF, alarm)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            call()
            outcome, why = "read", ""
        except (ValueError, OSError) as error:
            text = str(error)
            outcome, why = "refused", ""
            if type(error).__module__ != "builtins" or "\n" in text or name not in text or not text:
                outcome, why = "failed", f"{type(error).__name__}: {text!r}"
        except BaseException as error:
            outcome, why = "failed", f"{type(error).__name__}: {error}"
        finally:
            if hasattr(signal, "SIGPROF"):
                signal.setitimer(signal.ITIMER_PROF, 0)
        if said and outcome != "failed":
            outcome, why = "failed", f"a warning: {said[0].message}"
    return outcome, why


def work_off(kind: str, start: int, stop: int, seed: int) -> None:
    """Judge inputs and print a line of JSON for each; whatever else appears is noise of a library."""
    for number in range(start, stop):
        print(json.dumps([number, *judge(kind, number, seed)]), flush=True)


def fuzz(kind: str, count: int, seed: int = 0) -> dict:
    """Counts of a kind, its inputs judged in processes of their own, so that a crash is one failure."""
    counts = {"kind": kind, "tried": 0, "read": 0, "refused": 0, "failed": 0}
    start = 0
    while start < count:
        stop = min(start + CHUNK, count)
        command = [sys.executable, __file__, "--part", kind, str(start), str(stop), "--seed", str(seed)]
        quiet = os.environ | dict.fromkeys(QUIET, "1")  # as `ssacl` itself asks for
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=quiet)
        judged = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
        noise = done.stderr + "".join(line for line in done.stdout.splitlines() if not line.startswith("["))
        if len(judged) < stop - start:
            judged.append([start + len(judged), "failed", f"the process died with {done.returncode}: {noise[-300:]}"])
        elif noise.strip():
            judged[-1][1:] = ["failed", f"words on the screen: {noise[-300:]}"]
        for number, outcome, why in judged:
            counts["tried"] += 1
            counts[outcome] += 1
            if why:
                print(f"{kind} {number}: {why}", flush=True)
        start += len(judged)
    return counts


def main() -> None:
    """Run all kinds, write the table; exit 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs=3, metavar=("KIND", "START", "STOP"), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the inputs of each kind (then no table is written)"
    )
    parser.add_argument("--only", choices=list(COUNTS))
    arguments = parser.parse_args()
    if arguments.part:
        kind, start, stop = arguments.part
        work_off(kind, int(start), int(stop), arguments.seed)
        return
    kinds = [arguments.only] if arguments.only else list(COUNTS)
    rows = [fuzz(kind, round(COUNTS[kind] * arguments.share), arguments.seed) for kind in kinds]
    if arguments.share == 1 and not arguments.only:
        with atomic_write(TABLE) as handle:
            writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    print(*(", ".join(f"{name} {value}" for name, value in row.items()) for row in rows), sep="\n")
    sys.exit(int(any(row["failed"] for row in rows)))


if __name__ == "__main__":
    main()
