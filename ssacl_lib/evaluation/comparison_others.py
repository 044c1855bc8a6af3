"""Methods of the comparison that are no network of its training loop: one function per part, (run, studies) -> its rows.

Priors that see no film, reports that are copied, what needs annotations, and decoders that learn on behind a trained SS-ACL.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from ..baselines.detector import ANNOTATED, Detector, fit_detector
from ..baselines.mean_masks import MeanMasks
from ..baselines.nearest_report import nearest_reports
from ..baselines.regions import fit_region_writer, leaf_cover
from ..baselines.registry import FINDINGS, PHRASES, REPORTS, SSACL, method_of
from ..baselines.text_template import phrase_template
from ..datasets.registry import load_evaluation, load_training
from ..observations import FINDINGS as OBSERVED
from ..record.kept import keep
from ..record.sources import code_behind
from ..text.entities import positives
from ..training.sight import reports_by, train_decoder
from ..training.state import write_tensors
from .comparison_run import Run
from .comparison_scores import (
    CHUNK,
    PHRASE_COLUMNS,
    before_training,
    finding_frame,
    learn_to_look,
    report_frame,
    trained,
    written,
)
from .grounding import MAPS, score_map, score_prior
from .inputs import device_of, pixels_of
from .reports import constant_report
from .targets import Target, collect_targets


def centre_prior_phrases(run: Run, studies: Sequence) -> pd.DataFrame:
    """The centre prior's own phrases, once for each kind of map that it stands beside."""
    frame = score_prior(collect_targets(studies, run.settings.seed), studies, run.settings)
    return _of_both_maps(frame[frame["control"] == "own"].to_dict("records"))


def template_phrases(run: Run, studies: Sequence) -> pd.DataFrame:
    """Every phrase, and its controls, where the words say; once for each kind of map that it stands beside."""
    return _of_both_maps(
        _scored(studies, target, control, phrase_template(text, *target.mask.shape))
        for target in collect_targets(studies, run.settings.seed)
        for control, text in target.texts.items()
    )


def mean_mask_phrases(run: Run, studies: Sequence) -> pd.DataFrame:
    """The mean of the masks of training patients whose phrase is of the same finding and names the same place."""
    annotated = load_evaluation(run.settings, "train", limit=ANNOTATED)
    atlas = MeanMasks(collect_targets(annotated, run.settings.seed))
    return _of_both_maps(
        _scored(studies, target, "own", atlas(target.finding, target.phrase))
        for target in collect_targets(studies, run.settings.seed)
    )


def constant_reports(run: Run, studies: Sequence) -> pd.DataFrame:
    """The training report with the best micro F1 on validation, for everybody."""
    train, validation = load_training(run.settings, "train"), load_training(run.settings, "validation")
    return report_frame(studies, [constant_report(train, validation)] * len(studies))


def oracle_reports(run: Run, studies: Sequence) -> pd.DataFrame:
    """SS-ACL's reports where the prompts say the findings of the reference."""
    uncertain = run.settings.inference.uncertain_as_positive
    findings = [positives(study.labels, uncertain) for study in studies]
    return written(ssacl_of(run), run.method.variant, studies, findings)


def writer_reports(run: Run, studies: Sequence, prompts: str) -> pd.DataFrame:
    """Reports of a decoder that learns on behind SS-ACL's frozen encoder, patches open, all leaves open, no entity text.

    prompts: of `training.sight.PROMPTS`; looking ones add to each leaf's token what SS-ACL+ sees there.
    """
    model, train = ssacl_of(run), load_training(run.settings, "train")
    if prompts == "looking" and not learn_to_look(model, run):
        return report_frame([], [])
    decoder, texts = train_decoder(model, run.training, train, prompts, closed=False), []
    for start in range(0, len(studies), CHUNK):
        rows = range(start, min(start + CHUNK, len(studies)))
        texts += reports_by(decoder, model, pixels_of(model, np.stack([studies[i].image for i in rows])))
    return report_frame(studies, texts)


def ssacl_of(run: Run):
    """SS-ACL as it was trained with the run's seed (or trained now)."""
    return trained(Run(method_of(SSACL), run.seed, run.settings))[0]


def nearest(run: Run, studies: Sequence) -> pd.DataFrame:
    """The report of the training film that the start finds nearest."""
    train = load_training(run.settings, "train")
    films = np.stack([study.image for study in studies])
    return report_frame(studies, nearest_reports(start_of(run, train), train, films))


def start_of(run: Run, studies):
    """The model from which the compared methods begin; studies: training view."""
    return before_training(run, studies).to(device_of(run.settings)).eval()


def detector_of(run: Run) -> Detector:
    """The detector, taught on the masks of training patients and kept below the run's weights."""
    train = load_training(run.settings, "train")
    parts = {"the recipe": run.recipe, "the studies": train.folder.name, "the code": code_behind(Detector.__module__)}

    def fit(out: Path) -> None:
        annotated = load_evaluation(run.settings, "train", limit=ANNOTATED)
        write_tensors(
            out / "detector.safetensors", fit_detector(start_of(run, train), annotated, run.training).state_dict()
        )

    folder = keep(run.weights / "detector", parts, fit)
    detector = Detector(start_of(run, train))
    detector.load_state_dict(load_file(folder / "detector.safetensors"))
    return detector.eval()


def detector_findings(run: Run, studies: Sequence) -> pd.DataFrame:
    """As `score_findings`."""
    return finding_frame(studies, detector_of(run).probabilities(np.stack([study.image for study in studies])))


def detector_phrases(run: Run, studies: Sequence) -> pd.DataFrame:
    """The map of a phrase's finding, once for each kind of map that it stands beside; it reads no phrase, so none is swapped."""
    maps = detector_of(run).maps(np.stack([study.image for study in studies]))
    return _of_both_maps(
        _scored(studies, target, "own", maps[target.study, OBSERVED.index(target.finding)])
        for target in collect_targets(studies, run.settings.seed)
    )


def _scored(studies: Sequence, target: Target, control: str, heatmap: np.ndarray) -> dict:
    """A row of `_of_both_maps`."""
    about = {"study": studies[target.study].study_id, "finding": target.finding, "phrase": target.phrase}
    return {**about, "control": control, **score_map(heatmap, target.mask, target.film)}


def _of_both_maps(rows: Iterable[dict]) -> pd.DataFrame:
    """Rows of a method with one kind of map, once for each kind that it stands beside."""
    frame = pd.DataFrame(list(rows))
    return pd.concat([frame.assign(map=kind) for kind in MAPS], ignore_index=True)[PHRASE_COLUMNS]


def region_reports(run: Run, studies: Sequence) -> pd.DataFrame:
    """Reports written from each film's own regions."""
    train = load_training(run.settings, "train")
    model = start_of(run, train)
    annotated = load_evaluation(run.settings, "train", limit=ANNOTATED)
    writer = fit_region_writer(model, train, leaf_cover(annotated, model.config.grid), run.training)
    films = np.stack([study.image for study in studies])
    return report_frame(studies, writer.reports(films, leaf_cover(studies, model.config.grid)))


OTHERS: dict[str, dict[str, Callable]] = {
    "centre prior": {PHRASES: centre_prior_phrases},
    "text template": {PHRASES: template_phrases},
    "mean-mask atlas": {PHRASES: mean_mask_phrases},
    "constant report": {REPORTS: constant_reports},
    "SS-ACL, oracle findings": {REPORTS: oracle_reports},
    "SS-ACL+ writer": {REPORTS: partial(writer_reports, prompts="looking")},
    "SS-ACL, writer that sees everywhere": {REPORTS: partial(writer_reports, prompts="everywhere")},
    "SS-ACL, writer as long": {REPORTS: partial(writer_reports, prompts="faithful")},
    "nearest training report": {REPORTS: nearest},
    "detector": {FINDINGS: detector_findings, PHRASES: detector_phrases},
    "RGRG-like": {REPORTS: region_reports},
}
"""Method -> part -> what answers it."""
