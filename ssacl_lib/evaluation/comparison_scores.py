"""Train a run of the comparison, and ask it: one function per part, (run, model, studies) -> one row per study and question."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from .. import inference
from ..baselines.looking_prompts import LookingPrompts
from ..baselines.registry import FINDINGS, LEAVES, PHRASES, PLUS, REPORTS, TRAINED
from ..datasets.registry import load_training
from ..model.start import build_network, load_network, load_text_side, start_tokenizer
from ..observations import FINDINGS as OBSERVED
from ..record.claims import claimed
from ..record.kept import keep, made_from
from ..record.manifest import write_json
from ..text.labeler import label_array
from ..text.tokenizer import train_tokenizer
from ..training.head import fit_head
from ..training.look import fit_look
from ..training.loop import pretrain
from ..training.origin import start_fingerprint
from ..training.state import save_model
from ..training.untrained import untrained
from ..training.words_atlas import WordsAtlas
from . import anatomy_grounding, looking
from .comparison_run import PATIENTS, Run, runs_folder
from .findings import probabilities_of, reference_of
from .grounding import MAPS, score_jobs
from .inputs import device_of
from .moved_studies import MovedStudies
from .prompting import prefix_of
from .targets import collect_targets

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
    if not learn_to_look(model, run):
        return pd.DataFrame(columns=["study", "films", *NODE_SCORES, "map"])
    moved = MovedStudies(studies, PATIENTS)
    frames = [
        looking.score_looks(run.name, model, films, seen)
        for films, seen in ((anatomy_grounding.AS_THEY_ARE, studies), (anatomy_grounding.MOVED, moved))
    ]
    frame = pd.concat(frames, ignore_index=True)
    means = leaf_means(frame[frame["method"] == looking.plus(run.name)])
    return means.assign(map="plus", similarity_across_patients=np.nan)  # kept of attention alone, here


def learn_to_look(model, run: Run) -> bool:
    """Fit a head that looks on the frozen encoder; False where too few reports say where a finding lies."""
    try:
        fit_look(model, load_training(run.settings, "train"), atlas_of(run), run.seed)
    except ValueError as error:
        print(f"{run.name}: no head that looks: {error}")
        return False
    return True


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
