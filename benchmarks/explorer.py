"""How long does the explorer of notebook 00 take to answer? From a control that moves to the picture in the page.

    python benchmarks/explorer.py [--profile cpu] [--device cpu] [--quick]

`explorer_patient`, `explorer_made`, `explorer_upload`: another film of each of the three sources, shown by its own panel and by
the two that follow it (phrase and node). `explorer_phrase`, `explorer_node`, `explorer_change`, `explorer_models`: another
phrase, node, severity, and phrase for three models. `explorer_words`, `explorer_report`: another word of a report, another
patient's report with its words. Every answer is one that was not asked for before; `seconds` is the median, `seconds_max` the
longest.
"""

import io
import itertools
import tempfile
from collections.abc import Callable

from PIL import Image
from timing import alternate, measured, row
from workload import run_script

from ssacl_lib.anatomy import default_graph
from ssacl_lib.notebook import explorer_panels as panels
from ssacl_lib.notebook.explorer import Explorer
from ssacl_lib.record.manifest import Run
from ssacl_lib.settings import Settings

ROUNDS = 15


def phrases():
    """Phrases without end, none twice."""
    places = ("right", "left", "right lower", "left upper", "bilateral")
    findings = ("pleural effusion", "pneumothorax", "consolidation", "opacity", "atelectasis", "pneumonia")
    for number in itertools.count():
        for place, finding in itertools.product(places, findings):
            yield f"{place} {finding}" + (f" number {number}" if number else "")


def asked(panel: panels.Panel, control, value) -> None:
    """Move a control of a panel.

    Raises RuntimeError where the answer is an error, in this panel or in one that follows it.
    """
    control.value = value
    for one in (panel, *getattr(panel, "followers", ())):
        if one.error:
            raise RuntimeError(f"the explorer's panel says: {one.error}")


def callbacks(settings: Settings) -> dict[str, Callable[[], None]]:
    """What a reader does -> a call that does it once, each time with another value."""
    explore = Explorer(Run(settings, "00_explorer"))
    film, made, upload = (panels.films(explore.showing(explore.subject)) for _ in range(3))
    for panel in (film, made, upload):
        panels.phrases(panel.explorer, panel)
        panels.nodes(panel.explorer, panel)
    made.source.value = panels.MADE
    patients, poses, words = itertools.count(1), itertools.cycle(range(1, 20)), itertools.count(1)
    alone = explore.showing(explore.patient(7))
    phrase, node, change = panels.phrases(alone), panels.nodes(alone), panels.changes(alone)
    names = tuple(name for name in ("untrained", "start", "shipped") if name in explore.models)
    rivals, report = panels.rivals(alone, names=names), panels.sentences(explore.showing(explore.patient(7)))
    texts, nodes = phrases(), itertools.cycle(default_graph().nodes)
    severity = change.signs[1].severity
    calls = {
        "explorer_patient": lambda: asked(film, film.number, next(patients) % 200),
        "explorer_made": lambda: asked(made, made.signs[0].severity, next(poses) / 20),
        "explorer_upload": lambda: _hand_in(explore, upload, next(patients) % 200),
        "explorer_phrase": lambda: asked(phrase, phrase.controls[0], next(texts)),
        "explorer_node": lambda: asked(node, node.controls[0], next(nodes)),
        "explorer_change": lambda: asked(change, severity, round((severity.value + 0.15) % 1, 2)),
        "explorer_models": lambda: asked(rivals, rivals.controls[0], next(texts)),
        "explorer_words": lambda: asked(report, report.controls[2], next(words) % 40),
        "explorer_report": lambda: asked(report, report.controls[0], next(patients) % 200),
    }
    if not explore.phantom:
        calls = {name: call for name, call in calls.items() if name not in ("explorer_made", "explorer_change")}
    return calls


def _hand_in(explore: Explorer, panel: panels.FilmPanel, number: int) -> None:
    """Hand a film in as a PNG file."""
    picture = io.BytesIO()
    Image.fromarray(explore.patient(number).study.image).save(picture, "PNG")
    panel.source.value = panels.FILE
    asked(panel, panel.upload, (panels.file_of(f"{number}.png", picture.getvalue()),))


def rows(settings: Settings, device="cpu", quick: bool = False) -> list[dict]:
    """Median and longest seconds of every callback."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = settings.changed(device=device, dataset="phantom", data_root=None, out_dir=folder)
        found = alternate(callbacks(wanted), 1 if quick else ROUNDS, device, warm_up=0 if quick else 1)
    rows = []
    for name, seconds in found.items():
        rows.append(measured(name, "seconds", seconds, settings.seed))
        rows.append(row(name, "seconds_max", max(seconds), n=len(seconds), seed=settings.seed))
    return rows


if __name__ == "__main__":
    run_script(__doc__, rows)
