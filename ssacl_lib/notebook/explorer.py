"""What the explorer shows: a film, the model that is asked, a figure with its words per question.

`explorer_models` holds the models that can be asked, `explorer_panels` puts widgets around the figures.

A figure of a widget and that of its static twin come from the same method here. What a model has seen of a film is kept, so that
a new phrase or another node costs no further pass.
"""

import gc
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ..anatomy import default_graph
from ..datasets.phantom import body_maps
from ..evaluation import node_views, ordered_signs, phrase_views, subjects, word_views
from ..evaluation.inputs import pixels_of, test_studies
from ..evaluation.phrase_rivals import rivals
from ..evaluation.report_marks import PLAIN
from ..evaluation.subjects import Subject
from ..model import SSACLModel
from ..model.head import positive_findings
from ..model.reporting import Report, reports_of_pixels
from ..phantom import OrganMaps, Sign
from ..plots import explorer as draw, explorer_maps as draw_maps
from ..settings import Settings
from ..text.sides import swap_side
from .explorer_models import ModelsAtHand
from .explorer_words import change_words, node_words

OTHERS = 16
"""Other patients, with whose attention a prompt's attention is compared."""

PATIENTS = 200
"""So many of the phantom's test patients can be chosen by number."""

KEPT = 12
"""Films of which answers are kept."""


NOT_MADE = "patients are made to order where they are phantoms; the films of this data set are as they are"


@dataclass(frozen=True)
class Shown:
    """A figure (or why there is none), what it says in a sentence or two, and what it shows for whoever does not see it."""

    figure: Figure | str
    words: str
    alt: str


class Explorer:
    """The film at hand (`subject`), the model that is asked (`asked`), and a figure for every question.

    run: of `start_run`. models: name -> model; None takes those at hand, of which the shipped one is asked first.
    """

    def __init__(self, run, models: Mapping[str, SSACLModel] | None = None, fitted: tuple[str, ...] | None = None):
        self.settings: Settings = run.settings
        self.models = ModelsAtHand(run) if models is None else models
        self.fitted = fitted or getattr(self.models, "fitted", tuple(self.models))
        self.asked = "shipped" if "shipped" in self.models else list(self.models)[-1]
        self.size: int = self.model.config.image_size
        self.step: Callable[[float, str], None] = lambda share, words: None
        """Called with the share of a longer work that is done, and with what comes next."""
        self._kept: dict[tuple, object] = {}
        self.subject = self.patient(0)
        gc.freeze()  # what was loaded up to here stays; full collections need not look through it

    @property
    def model(self) -> SSACLModel:
        """The model that is asked."""
        return self.models[self.asked]

    @property
    def phantom(self) -> bool:
        """Can patients be made to order?"""
        return self.settings.dataset == "phantom"

    @property
    def patients(self) -> int:
        """How many patients can be chosen by number."""
        return PATIENTS if self.phantom else len(test_studies(self.settings))

    def showing(self, subject: Subject) -> "Explorer":
        """The same explorer with another film at hand, for a static twin; the widgets keep theirs."""
        other = copy(self)
        other.subject = subject
        return other

    # ---- films
    def telling(self) -> Subject:
        """The first of the first patients of whom a phrase names one side, so that every control can be asked; else the first."""
        found = (self.patient(number) for number in range(min(OTHERS, self.patients)))
        return next(
            (one for one in found if swap_side(subjects.first_phrase(one)) and one.study.phrases), self.patient(0)
        )

    @property
    def maps(self) -> list[OrganMaps]:
        """The anatomies from which patients are drawn, at the model's image size."""
        return self._once(("maps",), lambda: body_maps(self.settings.changed(**{"data.image_size": self.size})))

    def patient(self, number: int) -> Subject:
        """A test patient: of the phantom drawn anew at the model's size, of another data set its study."""
        if self.phantom:
            return subjects.phantom_subject(number, **self._drawn())
        return subjects.study_subject(test_studies(self.settings)[number], self.size)

    def made(
        self, signs: tuple[Sign, ...], number: int = 0, seed: int | None = None, ranges: float | None = None
    ) -> Subject:
        """A phantom with these signs and the body of patient `number`; ranges: 0 the average body and exposure, 1 full spread."""
        return subjects.made_subject(signs, number, **self._drawn(seed, ranges))

    def _drawn(self, seed: int | None = None, ranges: float | None = None) -> dict:
        spread = self.settings.data.phantom_ranges if ranges is None else ranges
        return {
            "seed": self.settings.seed if seed is None else seed,
            "size": self.size,
            "ranges": spread,
            "maps": self.maps,
        }

    # ---- answers, each made once per film and model
    def _once(self, key: tuple, make: Callable):
        if key not in self._kept:
            of_films = [kept for kept in self._kept if len(kept) == 3]  # of `_about`; what is made once per model stays
            for oldest in of_films[: max(0, len(of_films) + 1 - 4 * KEPT)]:
                del self._kept[oldest]
            self._kept[key] = make()
        return self._kept[key]

    def _about(self, what: str, name: str, subject: Subject) -> tuple:
        return what, name, subject.study.image.tobytes()

    def report(self, subject: Subject | None = None, name: str | None = None) -> Report:
        """Findings and report of a film by a model, without maps."""
        subject, name = subject or self.subject, name or self.asked
        model = self.models[name]
        make = lambda: reports_of_pixels(model, pixels_of(model, subject.study.image[None]), False)[0]  # noqa: E731
        return self._once(self._about("report", name, subject), make)

    def looked(self, subject: Subject | None = None, name: str | None = None) -> phrase_views.Looked:
        """What a model has seen of a film under masks."""
        subject, name = subject or self.subject, name or self.asked
        model, seed = self.models[name], self.settings.seed
        blank = self._once(("blank", name), lambda: phrase_views.seen(model, phrase_views.blank_film(model), seed))
        return self._once(self._about("looked", name, subject), lambda: phrase_views.look(model, subject, seed, blank))

    def others(self, name: str) -> np.ndarray:
        """Attention of a model's prompts on the first patients [n, 32, N]."""

        def make() -> np.ndarray:
            films = [self.patient(number).study.image for number in range(min(OTHERS, self.patients))]
            return node_views.attention_of(self.models[name], np.stack(films))

        return self._once(("others", name), make)

    def opened(self, names: tuple[str, ...] | None = None) -> set[str]:
        """Nodes that the findings of the film at hand open, by the last of the models whose head has learnt findings."""
        fitted = [name for name in names or () if name in self.fitted]
        return node_views.open_nodes(self.report(name=fitted[-1] if fitted else None).positives)

    @property
    def thresholds(self) -> np.ndarray:
        """Of the asked model's head [13]."""
        return self.model.head.thresholds.float().cpu().numpy()

    # ---- figures
    def patient_sheet(self) -> Shown:
        """The film with findings, report and tree."""
        subject, answer = self.subject, self.report()
        probabilities = np.array(list(answer.findings.values()))
        marked = subjects.sentence_marks(subject, answer.text)
        figure = draw.patient(subject.study.image, subject.words, subject.extents, probabilities, self.thresholds,
                              subjects.truth_of(subject), marked, node_views.open_nodes(answer.positives))  # fmt: skip
        opened = "; ".join(f"{node} ({', '.join(why)})" for node, why in node_views.reasons(answer.positives).items())
        told = f"Above threshold: {', '.join(answer.positives) or 'nothing'}. Open: {opened or 'no leaf'}."
        notes = "".join(f" Note: {note}." for note in subject.notes)
        alt = f"Chest film ({subject.words}) with bars of 13 findings, the report's sentences and the anatomy tree. {told}"
        return Shown(figure, told + notes, alt)

    def phrase_sheet(self, phrase: str) -> Shown:
        """Both maps of a phrase and, beside them, those of its controls."""
        views = phrase_views.phrase_views(self.model, self.looked(), self.subject, phrase)
        readings = {kind: phrase_views.read_views(views, kind) for kind in draw_maps.KIND_TITLES}
        told = " ".join(
            f"{title.capitalize()}: {readings[kind].sentence}" for kind, title in draw_maps.KIND_TITLES.items()
        )
        unknown = self.model.processor.known_words(phrase)[1]
        notes = f" Words that the model does not know: {', '.join(unknown)}." if unknown else ""
        alt = f"Two rows of heat maps over the film for “{phrase}” and its controls. {told}"
        return Shown(draw_maps.phrase(views, readings), told + notes, alt)

    def node_sheet(self, node: str, names: tuple[str, ...] | None = None) -> Shown:
        """Where a node's prompt looks, by the asked model or by several."""
        names = names or (self.asked,)
        views = {}
        for done, name in enumerate(names):
            self.step(done / len(names), f"attention of “{name}”")
            views[name] = node_views.node_views(self.models[name], self.subject, [node], self.others(name))[0]
        opened = self.opened(names)
        parts = [f"{name}: {node_words(view)}" for name, view in views.items()]
        figure = draw_maps.node(self.subject.study.image, views, opened)
        return Shown(
            figure,
            f"“{node}”. {' '.join(parts)}",
            f"The anatomy tree and maps of “{node}” over the film. {' '.join(parts)}",
        )

    def change_sheet(self, before: tuple[Sign, ...], after: tuple[Sign, ...], number: int = 0) -> Shown:
        """Two phantoms with one body and other signs, side by side; the phrase is that of the first sign before.

        Raises ValueError without a sign on either side.
        """
        if not self.phantom:
            return Shown(NOT_MADE, NOT_MADE, NOT_MADE)
        if not before + after:
            raise ValueError("nothing to compare: choose a finding before or after")
        both = {"before": self.made(before, number), "after": self.made(after, number)}
        phrase = ordered_signs.phrase_of_sign((before or after)[0])
        maps, masks, answers, reports = {}, {}, {}, {}
        for done, (name, subject) in enumerate(both.items()):
            self.step(done / 2, name)
            views = phrase_views.phrase_views(self.model, self.looked(subject), subject, phrase)
            maps[name] = views[phrase_views.OWN].maps["masked"]
            masks[name] = None if not len(subject.extents) else np.logical_or.reduce(subject.extents)
            report = self.report(subject)
            answers[name] = np.array(list(report.findings.values()))
            reports[name] = subjects.sentence_marks(subject, report.text)
        images = {name: subject.study.image for name, subject in both.items()}
        told = change_words(both, answers, self.thresholds, maps, phrase)
        figure = draw.change(images, maps, masks, answers, self.thresholds, reports, phrase)
        return Shown(figure, told, f"Two chest films, their difference, one map on each, findings and reports. {told}")

    def rivals_sheet(self, phrase: str, names: tuple[str, ...] | None = None) -> Shown:
        """One phrase on the film at hand by several models, with two maps that read no phrase."""
        names = names or tuple(self.models)
        looked = {}
        for done, name in enumerate(names):
            self.step(done / len(names), f"asking “{name}”")
            looked[name] = self.looked(name=name)
        asked = {name: self.models[name] for name in names}
        found = rivals(asked, self.subject, phrase, looked, [name for name in names if name in self.fitted])
        mask = subjects.region_of_phrase(self.subject, phrase)
        figure = draw_maps.rivals(self.subject.study.image, mask, found, self.thresholds, phrase)
        hit = [name for name, rival in found.items() if rival.scores.get("pointing", 0) > 0.5]
        told = (
            "The phrase has no true region on this film."
            if mask is None
            else f"Hit the true region: {', '.join(hit) or 'none'}."
        )
        return Shown(figure, told, f"The film once per model with its map of “{phrase}”. {told}")

    def told(self) -> word_views.Told:
        """The report of the film at hand, with what the decoder attended to."""
        findings = positive_findings(self.model, np.array([list(self.report().findings.values())]))[0]
        make = lambda: word_views.told(self.model, self.subject.study.image, findings)  # noqa: E731
        return self._once(self._about("told", self.asked, self.subject), make)

    def telling_word(self) -> int:
        """Number of the first token of the first sentence that states a finding (else of the report)."""
        marked = subjects.sentence_marks(self.subject, self.report().text)
        stated = {text.rstrip(".").lower() for text, mark in marked if mark != PLAIN}
        parts = ((start, text.rstrip(".").lower()) for start, _, text in self.told().sentences)
        return next((start for start, text in parts if any(text.endswith(one) for one in stated)), 0)

    def word_sheet(self, token: int) -> Shown:
        """The report up to a token, with what the decoder attended to before it; a number beyond the last one is the last."""
        told = self.told()
        token = min(token, len(told.pieces) - 1)
        start, stop, text = told.sentences[told.sentence_of(token)]
        mean = told.leaves[start:stop].mean(0)
        best = [default_graph().leaves[k] for k in np.argsort(-mean)[:3] if mean[k] > 0]
        words = (
            f"“{text}” While this sentence is written, {100 * mean.sum():.0f} % of the attention goes to leaf tokens"
            + (f", most to {', '.join(best)}" if best else "; none is open")
            + f", and {100 * told.patches[start:stop].sum(1).mean():.0f} % to patches."
        )
        return Shown(
            draw.words(self.subject.study.image, told, token), words, f"A film with the decoder's attention. {words}"
        )
