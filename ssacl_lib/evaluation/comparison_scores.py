"""Train a run of the comparison, and ask it: one function per part, (run, model, studies) -> one row per study and question."""

import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from .. import inference
from ..baselines.detector import ANNOTATED, Detector, fit_detector
from ..baselines.looking_prompts import LookingPrompts
from ..baselines.mean_masks import MeanMasks
from ..baselines.nearest_report import nearest_reports
from ..baselines.regions import fit_region_writer, leaf_cover
from ..baselines.registry import FINDINGS, LEAVES, PHRASES, PLUS, REPORTS, SSACL, TRAINED, method_of
from ..baselines.text_template import phrase_template
from ..datasets.registry import load_evaluation, load_training
from ..model.start import build_network, load_network, load_text_side, start_tokenizer
from ..observations import FINDINGS as OBSERVED
from ..record.claims import claimed
from ..record.kept import keep, made_from
from ..record.manifest import write_json
from ..record.sources import code_behind
from ..text.entities import positives
from ..text.labeler import label_array
from ..text.tokenizer import train_tokenizer
from ..training.head import fit_head
from ..training.look import fit_look
from ..training.loop import pretrain
from ..training.origin import start_fingerprint
from ..training.state import save_model, write_tensors
from ..training.untrained import untrained
from ..training.words_atlas import WordsAtlas
from . import anatomy_grounding, looking
from .comparison_run import PATIENTS, Run, runs_folder
from .findings import probabilities_of, reference_of
from .grounding import MAPS, score_jobs, score_map, score_prior
from .inputs import device_of
from .moved_studies import MovedStudies
from .prompting import prefix_of
from .reports import constant_report
from .targets import Target, collect_targets

PHRASE_COLUMNS = ["study", "finding", "phrase", "map", "control", "cnr", "miou", "pointing"]
NODE_SCORES = ["pointing", "cnr", "entropy", "similarity_across_patients"]
CHUNK = 64


def trained(run: Run):
    """The model of a run with its head, and its loss curves (None where nothing was trained).

    Weights are kept by the run's recipe, as its results are: code that trains otherwise is what `gives_the_same` looks for.
    Whoever asks, a run is trained by one process at a time: the others wait.
    """
    settings, device = run.training, device_of(run.settings)
    parts = {"the recipe": run.recipe, "the start": start_fingerprint(settings)}

    def fit(out: Path) -> None:
        if run.method.kind is LookingPrompts:
            LookingPrompts.words = atlas_of(run).maps
        studies, validation = load_training(run.settings, "train"), load_training(run.settings, "validation")
        begun = time.perf_counter()
        if run.method.made == TRAINED:
            pairs = run.method.pairs or (lambda own, seed: own)
            both = pairs(studies, 2 * run.seed), pairs(validation, 2 * run.seed + 1)
            seconds = pretrain(settings, out, *both, kind=run.method.kind).seconds
        else:
            save_model(before_training(run, studies), out)
            seconds = time.perf_counter() - begun
        write_json(out / "manifest.json", {"seconds": round(seconds)})
        model = load_network(out, str(device), run.method.answers)
        save_model(fit_head(model, studies, validation, run.seed).cpu(), out)
        (out / "checkpoint.safetensors").unlink(missing_ok=True)

    with nullcontext() if made_from(run.weights / "model") == parts else claimed(run.weights, wait=True):
        folder = keep(run.weights / "model", parts, fit)
    history = folder / "history.csv"
    return load_network(folder, str(device), run.method.answers), pd.read_csv(history) if history.is_file() else None


def before_training(run: Run, studies):
    """A model with random weights, or one that knows what the start holds and nothing else."""
    tokenizer = train_tokenizer(list(studies.reports))
    start = run.training.model.encoder_weights
    if start is None:
        return untrained(run.training, studies, tokenizer)
    own = start_tokenizer(start)
    model = build_network(run.training, own or tokenizer)
    if own is not None:
        load_text_side(model, start)
    return model


# ---- what is scored: (run, model, studies) -> one row per study and question
def score_findings(run: Run, model, studies: Sequence) -> pd.DataFrame:
    """study, finding, present, probability."""
    return finding_frame(studies, probabilities_of(model, studies))


def finding_frame(studies: Sequence, probabilities: np.ndarray) -> pd.DataFrame:
    """The rows of `score_findings` of probabilities [n, 13]."""
    index = pd.MultiIndex.from_product([[study.study_id for study in studies], OBSERVED], names=["study", "finding"])
    values = {"present": reference_of(studies)[1].ravel(), "probability": np.asarray(probabilities, float).ravel()}
    return pd.DataFrame(values, index).reset_index()


def score_phrases(run: Run, model, studies: Sequence) -> pd.DataFrame:
    """study, finding, phrase, map, control, cnr, miou, pointing; both maps, own phrase and the two swaps.

    Of a run that may be drawn also evidence: the masked map of an own phrase, one number per patch, 0 to 255 from its lowest to
    its highest; else None.
    """
    by_study: dict[int, list] = {}
    for target in collect_targets(studies, run.settings.seed):
        by_study.setdefault(target.study, []).append(target)
    jobs = [(studies[number].image, members, number) for number, members in by_study.items()]
    scoring = run.training.changed(seed=run.settings.seed)
    rows = [row for kind in MAPS for row in score_jobs(model, kind, f"{run.name}: {kind} maps", scoring, jobs)]
    frame = pd.DataFrame(rows)
    frame["study"] = [studies[number].study_id for number in frame["study"]]
    if not run.drawn:
        return frame[PHRASE_COLUMNS]
    frame["evidence"] = [
        levels(told) if kind == "masked" and told is not None else None
        for kind, told in zip(frame["map"], frame["evidence"], strict=True)
    ]
    return frame[[*PHRASE_COLUMNS, "evidence"]]


def levels(evidence: np.ndarray) -> np.ndarray:
    """A map as uint8, from its lowest to its highest value."""
    low, high = evidence.min(), evidence.max()
    return np.round(255 * (evidence - low) / max(high - low, 1e-12)).astype(np.uint8)


def score_leaves(run: Run, model, studies: Sequence) -> pd.DataFrame:
    """study, films, map ("attention"), and the means over the 25 leaves."""
    frame = anatomy_grounding.score_model(run.name, model, studies)
    return leaf_means(frame).assign(map="attention")


def score_plus(run: Run, model, studies: Sequence) -> pd.DataFrame:
    """As `score_leaves`, for a head that looks (SS-ACL+) fitted on this encoder; on films as they are and moved."""
    try:
        atlas = atlas_of(run)
    except ValueError as error:
        print(f"{run.name}: no head that looks: {error}")
        return pd.DataFrame(columns=["study", "films", *NODE_SCORES, "map"])
    fit_look(model, load_training(run.settings, "train"), atlas, run.seed)
    moved = MovedStudies(studies, PATIENTS)
    frames = [
        looking.score_looks(run.name, model, films, seen)
        for films, seen in ((anatomy_grounding.AS_THEY_ARE, studies), (anatomy_grounding.MOVED, moved))
    ]
    frame = pd.concat(frames, ignore_index=True)
    means = leaf_means(frame[frame["method"] == looking.plus(run.name)])
    return means.assign(map="plus", similarity_across_patients=np.nan)  # kept of attention alone, here


def atlas_of(run: Run) -> WordsAtlas:
    """The atlas of words of the training studies, one for all runs."""
    return looking.atlas_of(SimpleNamespace(settings=run.settings, runs=runs_folder(run.settings) / "shared"))


def leaf_means(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over the leaves of each study and kind of film."""
    leaves = frame[frame["node"].isin(anatomy_grounding.default_graph().leaves)]
    return leaves.groupby(["study", "films"], sort=False)[NODE_SCORES].mean().reset_index()


def score_reports(run: Run, model, studies: Sequence) -> pd.DataFrame:
    """study, generated, generated_labels (14 codes): reports under the method's prompts, from its own head's findings."""
    findings = inference.positive_findings(model, probabilities_of(model, studies))
    return written(model, run.method.variant, studies, findings)


def written(model, variant: str, studies: Sequence, findings: Sequence) -> pd.DataFrame:
    """Reports under a variant's prompts made of these findings."""
    prefix, texts = prefix_of(variant, studies, findings), []
    for start in range(0, len(studies), CHUNK):
        texts += prefix.write(model, slice(start, min(start + CHUNK, len(studies))))
    return report_frame(studies, texts)


def report_frame(studies: Sequence, texts: Sequence[str]) -> pd.DataFrame:
    """The rows of `score_reports`."""
    labels = list(label_array(list(texts)))
    return pd.DataFrame(
        {"study": [study.study_id for study in studies], "generated": list(texts), "generated_labels": labels}
    )


SCORES = {
    FINDINGS: score_findings,
    PHRASES: score_phrases,
    LEAVES: score_leaves,
    PLUS: score_plus,
    REPORTS: score_reports,
}


# ---- methods that no network of ours answers: (run, studies) -> the rows of their one part
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
    model, _ = trained(Run(method_of(SSACL), run.seed, run.settings))
    uncertain = run.settings.inference.uncertain_as_positive
    return written(model, run.method.variant, studies, [positives(study.labels, uncertain) for study in studies])


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


OTHERS = {
    "centre prior": {PHRASES: centre_prior_phrases},
    "text template": {PHRASES: template_phrases},
    "mean-mask atlas": {PHRASES: mean_mask_phrases},
    "constant report": {REPORTS: constant_reports},
    "SS-ACL, oracle findings": {REPORTS: oracle_reports},
    "nearest training report": {REPORTS: nearest},
    "detector": {FINDINGS: detector_findings, PHRASES: detector_phrases},
    "RGRG-like": {REPORTS: region_reports},
}
"""Method -> part -> what answers it."""
