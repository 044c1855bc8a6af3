"""The command `ssacl` (= `python -m ssacl_lib`): call the library, print. Mistakes of the user: one line, exit 2.

Commands that train are in `trainings.py`, those that measure at length in `measurements.py`.
"""

import argparse
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import measurements, trainings
from .arguments import given_settings, require_checkpoint
from .parser import build_parser

QUIET = ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")
"""Variables that keep the libraries' own progress bars (of loading a file) away from ours."""

SHOWN = 20
"""Of the files of a folder that can't be read or are odd, so many are printed."""


@contextmanager
def loading() -> Iterator[None]:
    """Import libraries without looking for garbage among what they make and keep: a third of the seconds of `ssacl ground`."""
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # what was imported stays; once, for what is garbage now would stay as well
            gc.freeze()
        gc.enable()


def run_rebuild(arguments: argparse.Namespace) -> int:
    """ssacl rebuild."""
    from .readme import write_generated
    from .rebuild import rebuild, stale_outputs

    out = str(Path(arguments.out).resolve()) if arguments.out else None
    settings = given_settings(arguments, out_dir=out)
    if arguments.verify is not None:
        from .verify import verify

        return int(not verify(settings, Path(arguments.verify) if arguments.verify else None))
    if arguments.keep_float32:
        from .verify import keep_float32

        print(keep_float32(settings))
        return 0
    if not arguments.check:
        rebuild(settings, arguments.only)
        if out is None:  # the READMEs show what these folders hold
            write_generated()
        return 0
    lines = stale_outputs(settings, arguments.only)
    print("\n".join(lines) if lines else f"{settings.figures.name}: everything is up to date")
    return int(bool(lines))


def run_explain(arguments: argparse.Namespace) -> int:
    """ssacl explain."""
    from .explain import explain

    return int(not explain(arguments.table, arguments.row))


def run_report(arguments: argparse.Namespace) -> int:
    """ssacl report."""
    require_checkpoint(arguments.weights)
    if arguments.html is not None:
        return _run_sheets(arguments)
    with loading():
        from .folder_reports import report_folders
        from .output import say_notes
        from .report import report_files

    if any(path.is_dir() for path in arguments.images):
        done = report_folders(arguments.images, arguments.weights, arguments.out, bool(arguments.pictures))
        print(f"{done.written} reports written, {done.before} were there already: {done.lines} and {done.table}")
        if done.others:
            print(f"{done.others} other files are no pictures")
        _print_some(
            f"{len(done.skipped)} files can't be read (listed in {done.skips})", [why for _, why in done.skipped]
        )
        _print_some(
            f"{len(done.notes)} notes (column notes of {done.table.name})", [": ".join(row) for row in done.notes]
        )
        return 0
    for answer in report_files(arguments.images, arguments.weights, arguments.out, arguments.pictures is not False):
        findings = ", ".join(
            f"{name} {p:.2f}" for name, p in sorted(answer["findings"].items(), key=lambda item: -item[1])
        )
        print(f"{answer['image']} (checkpoint {answer['checkpoint']})\n{answer['report'].strip()}")
        print(f"  found: {', '.join(answer['positives']) or 'nothing'}; probabilities: {findings}")
        print(f"  written: {', '.join(answer['files'])}")
        say_notes(answer["image"], answer["notes"])
    return 0


def _run_sheets(arguments: argparse.Namespace) -> int:
    """ssacl report --html."""
    if arguments.out is not None or arguments.pictures is not None:
        raise ValueError("--html OUT writes pages and nothing else: leave out --out and --pictures, or run it twice")
    from .sheet import write_sheets

    done = write_sheets(arguments.images, arguments.weights, arguments.html)
    print(f"{done.written} evidence sheets written: open {done.index}")
    if done.others:
        print(f"{done.others} other files are no pictures")
    _print_some(
        f"{len(done.skipped)} files can't be read (listed in {done.index.name})", [why for _, why in done.skipped]
    )
    _print_some(f"{len(done.notes)} notes (on the pages)", [": ".join(row) for row in done.notes])
    return 0


def _print_some(title: str, lines: Sequence[str]) -> None:
    """A title and the first SHOWN lines; nothing where there are none."""
    if lines:
        more = f"\n  … and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        print(f"{title}:", *lines[:SHOWN], sep="\n  ", end=f"{more}\n")


def run_ground(arguments: argparse.Namespace) -> int:
    """ssacl ground."""
    require_checkpoint(arguments.weights)
    with loading():
        from .ground import ground_file
        from .output import say_notes

    answer = ground_file(arguments.image, arguments.phrase, arguments.weights, arguments.out)
    x, y = answer["peak"]
    print(f"{answer['image']} (checkpoint {answer['checkpoint']})")
    print(f"  {answer['phrase']!r}: {answer['evidence']} evidence peaks at x {x:.0f}, y {y:.0f} (pixels of the file)")
    print(f"  written: {', '.join(answer['files'])}")
    say_notes(answer["image"], answer["notes"])
    return 0


def run_retrieve(arguments: argparse.Namespace) -> int:
    """ssacl retrieve."""
    require_checkpoint(arguments.weights)
    from .output import say_notes
    from .retrieve import retrieve

    answer = retrieve(arguments.phrase, arguments.films, arguments.weights, arguments.out)
    print(f"{answer['phrase']!r}: {answer['films']} films (checkpoint {answer['checkpoint']})")
    print(*(f"  {one['cosine']:.3f}  {one['image']}" for one in answer["first"][:10]), sep="\n")
    print(f"  written: {', '.join(answer['files'])}")
    _print_some(f"{len(answer['skipped'])} files can't be read", answer["skipped"])
    say_notes(answer["phrase"], answer["notes"])
    return 0


def run_data(arguments: argparse.Namespace) -> int:
    """ssacl data get ct."""
    from ..phantom.ct import get_ct

    print(f"CT: {get_ct()}")
    return 0


def run_convert_release(arguments: argparse.Namespace) -> int:
    """ssacl convert-release."""
    from .convert_release import convert_release_file

    unused, notes = convert_release_file(
        arguments.checkpoint, arguments.out, arguments.tokenizer, arguments.language_tokenizer, arguments.config
    )
    print(f"written: {arguments.out}", *notes, sep="\n  ")
    print(f"not used ({len(unused)}):", *(f"{name}: {why}" for name, why in unused.items()), sep="\n  ")
    return 0


def run_handout(arguments: argparse.Namespace) -> int:
    """ssacl handout."""
    from .handout import write_handouts

    print("\n".join(f"written: {path}" for path in write_handouts(arguments.out)))
    return 0


def run_book(arguments: argparse.Namespace) -> int:
    """ssacl book."""
    from .book import write_book

    print(f"the web edition: open {write_book(arguments.out, arguments.model)}")
    return 0


def run_browser_model(arguments: argparse.Namespace) -> int:
    """ssacl browser-model."""
    require_checkpoint(arguments.weights)
    from .browser_model import PAGE, WHOLE, write_browser_model

    files, differs = write_browser_model(arguments.weights, arguments.out)
    folder, size = files[0].parent, sum(path.stat().st_size for path in files if path.name != WHOLE) / 1e6
    print(f"written: {folder} ({size:.0f} MB); the graphs differ from PyTorch by {differs:.0e} at most")
    print(f"  {PAGE} has to be served: python -m http.server --directory {folder}")
    print(f"  {WHOLE} opens without a server")
    return 0


def run_readme(arguments: argparse.Namespace) -> int:
    """ssacl readme."""
    from .readme import outdated, write_generated

    if arguments.check:
        names = outdated()
        print(
            "\n".join(f"{name}: a generated table is out of date, run `ssacl readme`" for name in names) or "up to date"
        )
        return int(bool(names))
    print("\n".join(f"written: {name}" for name in write_generated()) or "up to date")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):  # a file's name may hold what the terminal can't show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    parsed = build_parser().parse_args(arguments)
    os.environ.update(dict.fromkeys(QUIET, "1"))
    try:
        door = globals().get(parsed.run) or getattr(measurements, parsed.run, None) or getattr(trainings, parsed.run)
        code = door(parsed)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `| head -1`: whoever listened has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError) as error:
        return _fail(2, error)
    except (RuntimeError, ArithmeticError) as error:
        return _fail(1, error)
    except KeyboardInterrupt:
        return _fail(130, "stopped")


def _fail(code: int, error: object) -> int:
    print(f"ssacl: {' '.join(str(error).split())}", file=sys.stderr)
    return code
