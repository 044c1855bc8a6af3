"""The pages of an evidence sheet as text: one of a film with its report, and the index. Nothing is computed here.

A page holds all that it shows. Its own policy forbids every request and every script but the one in it, so it says nothing to
anybody and runs nothing that a text smuggles in.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..inference.evidence import CHANCE, FindingEvidence, Pair, SentenceEvidence, StudyEvidence
from ..plots.sheet import REGION
from .markup import Markup, joined, tag
from .sheet_maps import KINDS, layers_of, odds, quoted, regions_of, verdict, why_none

NOT_CLINICAL = "Not for clinical use. Research and teaching software, not a medical device."

LEARNT = "Learnt from"
"""What the line of a page's origin is called that also stands above the film."""

READING = (
    ("Sentence evidence", "which patches of its prefix the language decoder needs: random halves of them are closed, and a "
     "patch counts by how much more likely the sentence is while it is open. It says where the decoder reads."),
    ("Masked evidence", "which patches make the film fit a phrase: random halves of the film are hidden, and a patch counts by "
     "how much better the phrase fits while it is visible."),
    ("Named anatomies", "where SS-ACL+ finds what the sentence names in this film. It is no evidence of the finding."),
    ("Other side", "the same text with right and left exchanged (masked evidence: on the same scale). A map that stays shows a "
     "position, not evidence of a side."),
    ("No evidence", "the open patches do not make the sentence twice as likely, or no patch stands out from what random masks "
     f"single out by chance (more than {CHANCE:.0%} of them do as much)."),
    ("Region", f"the line around what is above {REGION:.0%} of a map's maximum. A map shows what this model uses; whether the "
     "model is right, it can't say."),
)  # fmt: skip


KEYS = (("↓ ↑", "sentence"), ("s", "other side"), ("m", "kind of map"), ("Esc", "film alone"), ("n p", "film"))
"""What the keyboard does."""


@dataclass(frozen=True)
class FilmFile:
    """What a page says of a film. name: below the folder that was given. picture, thumb: data URIs. about: rows of provenance."""

    name: str
    page: str
    picture: str
    thumb: str
    notes: tuple[str, ...] = ()
    about: tuple[tuple[str, str], ...] = ()


# ---- the frame of every page
def document(title: str, body: Markup, script: str = "") -> str:
    """A whole page. Everything outside of it is forbidden, and every script and style but its own."""
    here = Path(__file__).parent
    style = (here / "sheet.css").read_text(encoding="utf-8")
    policy = {"default-src": "'none'", "img-src": "data:", "style-src": _hash_of(style), "base-uri": "'none'",
              "form-action": "'none'", "script-src": _hash_of(script) if script else "'none'"}  # fmt: skip
    head = joined(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content="; ".join(" ".join(row) for row in policy.items())),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="robots", content="noindex"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(style)),
    )
    code = tag("script", Markup(script)) if script else None
    banner = tag("p", NOT_CLINICAL, class_="banner", role="note")
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", banner, body, code), lang="en") + "\n"


def _hash_of(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def provenance(rows: Sequence[tuple[str, str]]) -> Markup:
    """What a page was made of and with."""
    cells = [tag("tr", tag("th", name, scope="row"), tag("td", tag("bdi", value))) for name, value in rows]
    return tag("section", tag("h2", "Provenance"), tag("table", *cells), id="provenance")


# ---- the page of a film
def viewer(study: StudyEvidence, size: int, patches: int, name: str) -> Markup:
    """The film with the layer that is asked for, and the patches by which the film asks back."""
    regions, side, cells = regions_of(study, patches), size / patches, []
    for row in range(patches):
        for column in range(patches):
            here = {kind: " ".join(key.split("-")[0] for key, region in regions.items()
                                   if key.endswith(kind) and region[row, column]) for kind in KINDS}  # fmt: skip
            there = {f"data_{kind}": told for kind, told in here.items() if told}
            cells.append(tag("rect", x=column * side, y=row * side, width=side, height=side, class_="cell", **there))
    picture = tag("svg", tag("title", f"Film {name}"), tag("use", href="#film"), tag("use", id="shown", href="#nothing"),
                  *cells, viewBox=f"0 0 {size} {size}", role="img")  # fmt: skip
    hint = "Point at a sentence or a finding, or move there with the keyboard: its region lights up here."
    modes = [tag("button", title, type="button", data_kind=kind, aria_pressed="false")
             for kind, title in KINDS.items()
             if any(getattr(sentence, kind) is not None for sentence in study.sentences) or kind == "masked"]  # fmt: skip
    swap = tag("button", "Other side ", tag("kbd", "s"), type="button", id="swap", aria_pressed="false")
    keys = joined(*(joined(tag("kbd", key), f" {what}  ") for key, what in KEYS))
    return tag("section", picture, tag("p", hint, id="says", class_="says", aria_live="polite"),
               tag("div", *modes, swap, class_="modes", role="group", aria_label="Maps"),
               tag("p", keys, class_="keys quiet"), class_="look", aria_label="Film")  # fmt: skip


def sentence_item(number: int, sentence: SentenceEvidence, study: StudyEvidence) -> Markup:
    """A sentence of the report, what it states, and whether it rests on the film."""
    by_name = {finding.name: finding for finding in study.findings}
    marks = [tag("span", f"states {name}", class_="mark") for name in sentence.findings]
    for name in sentence.findings:
        finding = by_name[name]
        if not finding.found:
            said = f"the head does not find it ({finding.probability:.2f}, threshold {finding.threshold:.2f})"
            marks.append(tag("span", said, class_="mark none"))
    if sentence.rests_on_film:
        marks.append(tag("span", f"open patches make it {odds(sentence.support)} times as likely", class_="mark"))
    else:
        marks.append(tag("span", f"no evidence: {why_none(sentence)}", class_="mark none"))
    if sentence.rests_on_film and sentence.written and sentence.written.stays:
        marks.append(tag("span", "its map stays when the side is swapped", class_="mark none"))
    button = tag(
        "button", sentence.text, type="button", class_="ask", data_ask=f"s{number}", aria_pressed="false", dir="auto"
    )
    return tag("li", button, tag("div", *marks), id=f"s{number}")


def finding_row(number: int, finding: FindingEvidence) -> Markup:
    """A finding: probability and threshold as bar and numbers, and the sentences that state it."""
    name: object = finding.name
    if finding.masked:
        name = tag("button", finding.name, type="button", data_ask=f"f{number}", aria_pressed="false")
    value = tag(
        "rect",
        width=100 * min(max(finding.probability, 0.0), 1.0),
        height=12,
        class_="value found" if finding.found else "value",
    )
    place = 100 * finding.threshold
    bar = tag("svg", tag("rect", width=100, height=12, class_="back"), value,
              tag("path", d=f"M{place:.1f} 0V12", class_="tick"), viewBox="0 0 100 12", class_="bar", aria_hidden="true",
              preserveAspectRatio="none")  # fmt: skip
    said = joined(*(joined(", " if place else "", tag("a", f"sentence {at + 1}", href=f"#s{at}"))
                    for place, at in enumerate(finding.sentences)))  # fmt: skip
    if finding.found and not finding.sentences:
        said = tag("span", "no sentence states it", class_="mark none")
    numbers = f"{finding.probability:.2f}", f"{finding.threshold:.2f}"
    row = [tag("td", name), tag("td", bar, " ", numbers[0], class_="number"), tag("td", numbers[1], class_="number"),
           tag("td", "found" if finding.found else ""), tag("td", said)]  # fmt: skip
    return tag("tr", *row, id=f"f{number}", data_sentences=" ".join(f"s{at}" for at in finding.sentences))


def all_maps(study: StudyEvidence, size: int) -> Markup:
    """Every map beside its control, small: what a printed page shows, and one without scripts."""

    def small(name: str, words: str) -> Markup:
        return tag("svg", tag("title", words), tag("use", href="#film"), tag("use", href=f"#{name}"), class_="small",
                   viewBox=f"0 0 {size} {size}", role="img")  # fmt: skip

    def figure(name: str, title: str, pair: Pair, shows: bool, silent: str) -> Markup:
        pictures = [small(name, f"{title} of {pair.own.text}")]
        if pair.other:
            pictures.append(small(f"{name}-other", f"{title} of {pair.other.text}"))
        words = verdict(pair) if shows else f"None: {silent}."
        control = f" Beside it {quoted(pair.other.text)}" if pair.other else ""
        caption = tag("figcaption", tag("b", title), f" of {quoted(pair.own.text)} {words}{control}", dir="auto")
        return tag("figure", tag("div", *pictures, class_="pair"), caption)

    figures = []
    for number, finding in enumerate(study.findings):
        if finding.masked:
            figures.append(
                figure(
                    f"f{number}-masked",
                    KINDS["masked"],
                    finding.masked,
                    finding.masked.shows,
                    "no patch stands out from chance",
                )
            )
    for number, sentence in enumerate(study.sentences):
        if sentence.written:
            figures.append(figure(f"s{number}-written", KINDS["written"], sentence.written, sentence.rests_on_film,
                                  why_none(sentence)))  # fmt: skip
        if sentence.masked:
            figures.append(
                figure(
                    f"s{number}-masked",
                    KINDS["masked"],
                    sentence.masked,
                    sentence.masked.shows,
                    "no patch stands out from chance",
                )
            )
    return tag("section", tag("h2", "All maps"), tag("div", *figures, class_="maps"), id="maps")


def study_page(study: StudyEvidence, film: FilmFile, size: int, patches: int, about: Sequence[tuple[str, str]],
               before: str | None = None, after: str | None = None) -> str:  # fmt: skip
    """The page of a film. size: side of the maps. patches: along a side. before, after: names of the neighbours' pages."""
    links = [tag("a", "All films", href="index.html")]
    links += [tag("a", "Previous film", href=before, rel="prev")] if before else []
    links += [tag("a", "Next film", href=after, rel="next")] if after else []
    picture = tag("image", href=film.picture, width=size, height=size, id="film")
    store = tag(
        "svg", tag("defs", picture, tag("g", id="nothing"), *layers_of(study)), class_="store", aria_hidden="true"
    )
    items = [sentence_item(number, sentence, study) for number, sentence in enumerate(study.sentences)]
    head = tag("thead", tag("tr", *(tag("th", text, scope="col") for text in
                                    ("Finding", "Probability", "Threshold", "Head", "Stated in"))))  # fmt: skip
    rows = [finding_row(number, finding) for number, finding in enumerate(study.findings)]
    report = tag("ol", *items, class_="report") if items else tag("p", "The report is empty.")
    opened = ", ".join(study.anatomies) or "none, for no finding is found"
    right = tag("div", tag("h2", "Report"), report, tag("h2", "Findings"), tag("table", head, tag("tbody", *rows)),
                tag("p", f"Anatomies that the findings open: {opened}.", class_="quiet"))  # fmt: skip
    notes = [tag("p", f"Note: {note}", class_="mark none") for note in film.notes]
    learnt = [tag("p", f"This model has learnt from {text}.", class_="quiet") for name, text in about if name == LEARNT]
    reading = tag(
        "section",
        tag("h2", "How to read it"),
        *(tag("p", tag("b", f"{name}: "), text, class_="quiet") for name, text in READING),
    )
    body = joined(store, tag("header", tag("nav", *links), tag("h1", tag("bdi", film.name)), *learnt, *notes),
                  tag("main", viewer(study, size, patches, film.name), right), all_maps(study, size), reading,
                  provenance([*film.about, *about]))  # fmt: skip
    script = (Path(__file__).parent / "sheet.js").read_text(encoding="utf-8")
    return document(f"{film.name}: evidence sheet", body, script)


# ---- the index
def index_row(film: FilmFile, study: StudyEvidence) -> Markup:
    """A film in the index: thumb, name, findings, how many sentences rest on the film."""
    stated = [sentence for sentence in study.sentences if sentence.findings]
    without = sum(not sentence.rests_on_film for sentence in stated)
    told = f"{len(stated)} state a finding, {without} of them without evidence" if stated else "none states a finding"
    found = ", ".join(f"{finding.name} {finding.probability:.2f}" for finding in study.findings if finding.found)
    link = tag("a", tag("bdi", film.name), href=film.page)
    return tag("tr", tag("td", tag("img", src=film.thumb, alt="", class_="thumb")), tag("td", link, class_="name"),
               tag("td", found or "nothing"), tag("td", f"{len(study.sentences)} sentences: {told}"))  # fmt: skip


def index_page(rows: Sequence[Markup], skipped: Sequence[tuple[str, str]], about: Sequence[tuple[str, str]]) -> str:
    """The list of all films, with those that can't be read."""
    head = tag("tr", *(tag("th", text, scope="col") for text in ("Film", "", "Found", "Report")))
    unread = [tag("h2", f"Files that can't be read ({len(skipped)})"),
              tag("ul", *(tag("li", tag("bdi", why)) for _, why in skipped))] if skipped else []  # fmt: skip
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    body = joined(tag("h1", f"Evidence sheets of {len(rows)} films"), table, *unread, provenance(about))
    return document("Evidence sheets", body)
