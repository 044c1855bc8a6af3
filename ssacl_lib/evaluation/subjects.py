"""One film and all that is known of it, for the explorer: a phantom patient, one that is made to order, or a film of a file.

A made patient takes pose, build, breath and noise from the numbers of a phantom patient and the findings from whoever makes
them. So two of them that differ in one finding's severity or side differ in nothing else (but a finding that changes the body's
shape, which cardiomegaly, a wide mediastinum and a collapsed lobe do).
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..anatomy import default_graph
from ..datasets.phantom import phrases_of, report_of
from ..datasets.study import EvaluationStudy
from ..images import film_rectangle, letterbox, read_film
from ..observations import BLANK, FINDINGS, OBSERVATIONS, POSITIVE
from ..phantom import OrganMaps, draw_signs
from ..phantom.body import draw_patient, node_masks, pose_body
from ..phantom.findings import generator_of
from ..phantom.truth import Sign
from ..phantom.xray import apply_signs, film, warped_extents
from ..text.labeler import label, label_array
from ..text.regions import named_nodes
from ..text.sections import read_sections, sentences
from ..threads import one_blas_thread
from .ordered_signs import phrase_of_sign
from .report_marks import AGREES, PLAIN, WRONG, positive_names, sides_of
from .targets import findings_of
from .tour import describe


@dataclass(frozen=True)
class Subject:
    """A film and what is known of it.

    study: image [S, S], report, truth, regions of nodes, phrases with their masks, as far as known. words: what it is, in a
    line. signs, extents [k, S, S] bool: the generator's truth, None where nobody knows it. notes: what is odd about the film.
    """

    study: EvaluationStudy
    words: str
    signs: tuple[Sign, ...] | None = None
    extents: np.ndarray | None = None
    notes: tuple[str, ...] = ()


# ---- films
@one_blas_thread
def made_subject(
    signs: tuple[Sign, ...], number: int, *, seed: int, size: int, ranges: float, maps: Sequence[OrganMaps]
) -> Subject:
    """A phantom patient with these signs and the pose, build and noise of test patient `number`; size: of the film, pixels.

    With the patient's own signs it is the patient, pixel by pixel.
    """
    signs = tuple(sorted(signs, key=lambda sign: FINDINGS.index(sign.finding)))
    streams = [generator_of(seed, "test", number, stream) for stream in (2, 3, 4)]
    patient = draw_patient(streams[0], signs, ranges, len(maps))
    body = pose_body(patient, maps[patient.anatomy], size)
    chest, found = apply_signs(body, signs, streams[1], True)
    image = film(chest, patient, ranges, streams[2])
    nodes = node_masks(body)
    extents = warped_extents(signs, found, nodes)
    report = report_of(seed, "test", number, signs)
    study = EvaluationStudy(
        study_id=f"test-{number:06d}", patient_id=f"phantom-{seed}-test-{number}", image=image, report=report.text,
        labels=label_array([report.text])[0], truth=np.isin(FINDINGS, [sign.finding for sign in signs]),
        regions=dict(zip(default_graph().nodes, nodes, strict=True)), phrases=phrases_of(report, signs, extents),
    )  # fmt: skip
    words = "; ".join(f"{sign.finding} ({describe(sign)})" for sign in signs) or "no finding"
    return Subject(study, words, signs, extents)


def phantom_subject(number: int, *, seed: int, size: int, ranges: float, maps: Sequence[OrganMaps]) -> Subject:
    """Test patient `number` of the phantom."""
    return made_subject(draw_signs(seed, "test", number), number, seed=seed, size=size, ranges=ranges, maps=maps)


def study_subject(study: EvaluationStudy, size: int, signs: tuple[Sign, ...] | None = None) -> Subject:
    """A study of a data set, brought to the model's size where it has another one."""
    names = [name for name in FINDINGS if name in findings_of(study)]
    return Subject(resized(study, size), ", ".join(names) or "no finding", signs)


def film_subject(path: Path | str, size: int) -> Subject:
    """A picture file (PNG, JPEG, TIFF, BMP, DICOM) as the model takes it; of its patient nothing is known.

    Raises:
        ValueError, FileNotFoundError: what is wrong with the file, and what to do.
    """
    read = read_film(path)
    study = EvaluationStudy(
        Path(path).stem, Path(path).stem, letterbox(read.pixels, size), "", np.full(len(OBSERVATIONS), BLANK, np.int8),
        film=film_rectangle(read.pixels.shape, size),
    )  # fmt: skip
    return Subject(study, f"{Path(path).name}, of which nothing else is known", notes=read.notes)


def uploaded_subject(name: str, content: bytes, size: int) -> Subject:
    """`film_subject` of a file's bytes, as a browser hands them over; nothing of them stays on disk."""
    folder = tempfile.mkdtemp()
    path = Path(folder) / (Path(name).name or "film")
    try:
        path.write_bytes(content)
        return film_subject(path, size)
    except ValueError as error:
        raise ValueError(str(error).replace(f"{folder}{os.sep}", "")) from None
    finally:
        path.unlink(missing_ok=True)
        os.rmdir(folder)


def resized(study: EvaluationStudy, size: int) -> EvaluationStudy:
    """A study with image and masks of another size; itself where it has this one."""
    before = study.image.shape[0]
    if before == size:
        return study

    def mask(there: np.ndarray) -> np.ndarray:
        return (
            np.asarray(Image.fromarray(np.asarray(there, np.uint8)).resize((size, size), Image.Resampling.NEAREST)) > 0
        )

    def rows(part: slice) -> slice:
        start, stop, _ = part.indices(before)
        return slice(round(start * size / before), round(stop * size / before))

    phrases = tuple(replace(p, mask=mask(p.mask), boxes=p.boxes * size / before) for p in study.phrases)
    regions = {name: mask(region) for name, region in study.regions.items()}
    return replace(study, image=letterbox(study.image, size), regions=regions, phrases=phrases,
                   film=(rows(study.film[0]), rows(study.film[1])))  # fmt: skip


# ---- where a phrase is true
def region_of_phrase(subject: Subject, phrase: str) -> np.ndarray | None:
    """Where a phrase is true on the film: [S, S] bool, or None where it is not true or nobody knows.

    A phrase of the study has its own mask. Another one that states findings has the extent of the patient's signs of these
    findings, on the side that it names; one that states none has the regions of the nodes that it names.
    """
    own = [p.mask for p in subject.study.phrases if p.text.lower() == phrase.strip().lower()]
    if own:
        return np.logical_or.reduce(own)
    said = positive_names(label_array([phrase])[0]) | {
        name for name, state in label(phrase).items() if state == "uncertain"
    }
    said -= {"No Finding"}
    if said:
        return _signs_region(subject, said, sides_of(phrase))
    nodes = [node for node in named_nodes(phrase) if node in subject.study.regions]
    masks = [subject.study.regions[node] for node in nodes]
    return _unless_empty(np.logical_or.reduce(masks)) if masks else None


def _signs_region(subject: Subject, findings: set[str], sides: set[str]) -> np.ndarray | None:
    """The united extents of the signs of findings, on the named sides alone (all where none is named)."""
    if subject.signs is None or subject.extents is None:
        masks = [phrase.mask for phrase in subject.study.phrases if phrase.finding in findings and not sides]
        return np.logical_or.reduce(masks) if masks else None
    found = np.zeros(subject.study.image.shape, bool)
    for sign, extent in zip(subject.signs, subject.extents, strict=True):
        if sign.finding in findings and (not sides or sign.side is None or sign.side in (*sides, "bilateral")):
            one_of_two = sign.side == "bilateral" and len(sides) == 1
            found |= extent & _half(subject, *sides) if one_of_two else extent
    return _unless_empty(found)


def _half(subject: Subject, side: str) -> np.ndarray:
    """One side of the patient [S, S] bool: the patient's right is on the image's left, the spine between."""
    columns = np.arange(subject.study.image.shape[1])
    middle = np.nonzero(subject.study.regions["spine"])[1].mean()
    return np.broadcast_to(columns < middle if side == "right" else columns >= middle, subject.study.image.shape)


def _unless_empty(mask: np.ndarray) -> np.ndarray | None:
    return mask if mask.any() and not mask.all() else None


def first_phrase(subject: Subject, default: str = "left pleural effusion") -> str:
    """What is asked first of a film: the first phrase of its study, else that of its first sign, else a usual one."""
    if subject.study.phrases:
        return subject.study.phrases[0].text
    return phrase_of_sign(subject.signs[0]) if subject.signs else default


# ---- what a report says, against what is true
def truth_of(subject: Subject) -> np.ndarray | None:
    """The findings that are there [13] bool: the truth where it is known, else what the report states; None without one."""
    study = subject.study
    if study.truth is not None:
        return np.asarray(study.truth, bool)
    return np.asarray(study.labels[1:]) == POSITIVE if study.report else None


def sentence_marks(subject: Subject, report: str) -> list[tuple[str, str]]:
    """The sentences of a report with marks: agrees (what it states is there, on this side), wrong, plain (it states nothing).

    Where nobody knows what is there, all are plain.
    """
    truth, parts = truth_of(subject), sentences(read_sections(report))
    codes = label_array(parts) if parts else ()
    marked = []
    for part, row in zip(parts, codes, strict=True):
        stated = positive_names(row)
        mark = PLAIN if truth is None or not stated else AGREES if _is_true(subject, stated, sides_of(part)) else WRONG
        marked.append((part, mark))
    return marked


def _is_true(subject: Subject, stated: set[str], sides: set[str]) -> bool:
    """Are findings there, on one of the sides where some are named and the signs are known?"""
    if subject.signs is None:
        truth = truth_of(subject)
        return truth is not None and stated <= {name for name, there in zip(FINDINGS, truth, strict=True) if there}
    there = {s.finding for s in subject.signs if not sides or s.side is None or s.side in (*sides, "bilateral")}
    return stated <= there
