"""The phantom as a data set: what training sees of a generated patient, and what evaluation sees of the same one.

A report is written from the truth; from there on training has only the image and the report. Its labels are what the
labeler reads in the report, right or wrong.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..anatomy import default_graph
from ..observations import FINDINGS
from ..phantom import draw_signs, organ_maps, render
from ..phantom.reports import PhantomReport, write_report
from ..phantom.truth import Sign
from ..record.sources import code_behind, sha256_json
from ..settings import Settings
from ..text.labeler import label_array
from .study import EvaluationStudy, Phrase, Study

SPLIT_CODES = {"train": 0, "validation": 1, "test": 2}

EVALUATION_BATCH = 32
"""Studies rendered with their masks at once."""


def report_of(seed: int, split: str, number: int, signs: tuple[Sign, ...]) -> PhantomReport:
    """The report of one patient; depends on (seed, split, number) and the signs only."""
    return write_report(signs, np.random.default_rng([seed, SPLIT_CODES[split], number, 1]))


def body_maps(settings: Settings):
    """The organ maps from which patients are drawn: of the CT that `ssacl data get ct` fetched, or of all in `data_root`.

    Raises:
        ValueError: `data_root` holds no folder.
    """
    if settings.data_root is None:
        return organ_maps(settings.data.image_size)
    folders = sorted(path for path in Path(settings.data_root).glob("*") if path.is_dir())
    if not folders:
        raise ValueError(
            f"{settings.data_root} holds no folder of a CT (each with an image and its TotalSegmentator labels)"
        )
    return organ_maps(settings.data.image_size, ct_folders=folders)


def data_fingerprint(data_root: str | None) -> str | None:
    """Hex digest of the names and sizes of the user's own CTs; None where the fetched CT is taken."""
    if data_root is None:
        return None
    root = Path(data_root)
    return sha256_json(
        sorted([p.relative_to(root).as_posix(), p.stat().st_size] for p in root.rglob("*") if p.is_file())
    )


class PhantomSource:
    """Studies 0 .. count - 1 of a split, for `shards.build`."""

    def __init__(self, settings: Settings, split: str):
        self.seed, self.split = settings.seed, split
        self.count = {
            "train": settings.data.train_studies,
            "validation": settings.data.validation_studies,
            "test": settings.data.test_studies,
        }[split]
        self.image_size = settings.data.image_size
        self.ranges = settings.data.phantom_ranges
        self.maps = body_maps(settings)
        what = [
            self.seed,
            split,
            self.image_size,
            self.ranges,
            data_fingerprint(settings.data_root),
            code_behind(__name__),
        ]
        self.fingerprint = f"phantom-{split}-{sha256_json(what)[:16]}"

    def studies(self, numbers: Sequence[int]) -> list[Study | str]:
        """Render images, write reports, read labels from the reports. The signs stay here."""
        batch = render(
            self.seed, self.split, list(numbers), image_size=self.image_size, ranges=self.ranges, maps=self.maps
        )
        reports = [report_of(self.seed, self.split, i, s).text for i, s in zip(numbers, batch.signs, strict=True)]
        rows = zip(numbers, batch.images, reports, label_array(reports), strict=True)
        return [
            Study(f"{self.split}-{i:06d}", f"phantom-{self.seed}-{self.split}-{i}", image, report, labels)
            for i, image, report, labels in rows
        ]


class PhantomEvaluation(Sequence[EvaluationStudy]):
    """The evaluation view of a split: rendered again with masks when first asked for, then kept (masks as bits).

    [i] -> EvaluationStudy with the truth, the masks of all 32 nodes and the phrases of the report.
    """

    def __init__(self, settings: Settings, split: str, limit: int | None = None):
        self._source = PhantomSource(settings, split)
        self._count = min(self._source.count, limit) if limit is not None else self._source.count
        self._kept: dict[int, tuple] = {}

    def __len__(self) -> int:
        return self._count

    def _render(self, start: int) -> None:
        source = self._source
        numbers = list(range(start, min(start + EVALUATION_BATCH, self._count)))
        batch = render(
            source.seed, source.split, numbers,
            image_size=source.image_size, ranges=source.ranges, maps=source.maps, masks=True,
        )  # fmt: skip
        reports = [report_of(source.seed, source.split, i, s) for i, s in zip(numbers, batch.signs, strict=True)]
        labels = label_array([report.text for report in reports])
        for k, number in enumerate(numbers):
            nodes = np.packbits(batch.node_masks[k], axis=-1)
            phrases = phrases_of(reports[k], batch.signs[k], batch.sign_masks[k])
            truth = np.isin(FINDINGS, [sign.finding for sign in batch.signs[k]])
            self._kept[number] = (batch.images[k], reports[k].text, labels[k], truth, nodes, phrases)

    def __getitem__(self, index: int) -> EvaluationStudy:
        number = range(self._count)[index]
        if number not in self._kept:
            self._render(number - number % EVALUATION_BATCH)
        image, report, labels, truth, nodes, phrases = self._kept[number]
        masks = np.unpackbits(nodes, axis=-1, count=image.shape[-1]).astype(bool)
        source = self._source
        return EvaluationStudy(
            study_id=f"{source.split}-{number:06d}",
            patient_id=f"phantom-{source.seed}-{source.split}-{number}",
            image=image, report=report, labels=labels, truth=truth,
            regions=dict(zip(default_graph().nodes, masks, strict=True)), phrases=phrases,
        )  # fmt: skip

    def signs(self, index: int) -> tuple[Sign, ...]:
        """The truth behind a study, sign by sign (for the figures of notebook 01)."""
        return draw_signs(self._source.seed, self._source.split, range(self._count)[index])


def phrases_of(report: PhantomReport, signs: Sequence[Sign], masks: np.ndarray) -> tuple[Phrase, ...]:
    """Phrases with their regions; those of equal text (whatever the case) become one, their masks united."""
    united: dict[str, tuple[str, str, np.ndarray]] = {}
    for index, text in report.phrases:
        mask = np.asarray(masks[index], dtype=bool)
        key = text.lower()
        if key in united:
            mask = united[key][2] | mask
        if mask.any():
            united[key] = (united.get(key, (text,))[0], signs[index].finding, mask)
    return tuple(Phrase(text, finding, mask, boxes_around(mask)) for text, finding, mask in united.values())


def boxes_around(mask: np.ndarray) -> np.ndarray:
    """One box (x, y, width, height) around each connected part of a mask [H, W]: [k, 4] float.

    A part below a twentieth of the largest one is a speck of the threshold, which no reader would box; it gets none.
    """
    parts, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    found = [
        (s[1].start, s[0].start, s[1].stop - s[1].start, s[0].stop - s[0].start)
        for s, size in zip(ndimage.find_objects(parts), sizes, strict=True)
        if size >= 0.05 * sizes.max()
    ]
    return np.array(found, dtype=float).reshape(-1, 4)
