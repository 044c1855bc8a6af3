"""How alike are two reports as texts: BLEU-1..4, ROUGE-L, CIDEr and METEOR as pycocoevalcap computes them.

Reference-text choices. Ours (`tokenise`): lower-case, punctuation set apart, white space squeezed. The release's
(`release_tokenise`): only the full stop set apart, white space squeezed, case kept. Neither runs the PTB tokenizer.
METEOR needs `java` on the path; without it its column is NaN and `meteor_note` says why. Its program takes 4 s to start
and 1 ms per report: score several systems within one `meteor_process`.
"""

import re
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

import numpy as np
import pandas as pd

from .intervals import Interval, bootstrap_sums, mean_intervals, percentile_interval, sums_by_group

METRICS = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider", "meteor")
_ORDERS = 4  # longest n-gram of BLEU
_NOTHING = "emptyreport"  # stands for a report without a word: METEOR's process takes no empty line


class LexicalScores(NamedTuple):
    """per_study: one row per study, columns METRICS. corpus: the same names for the whole set."""

    per_study: pd.DataFrame
    corpus: dict[str, float]


def tokenise(report: str) -> str:
    """Our tokens, joined by one space.

    >>> tokenise("No effusion.\\nA 2.5 cm nodule, right-sided")
    'no effusion . a 2.5 cm nodule , right - sided'
    """
    return " ".join(re.findall(r"\d+\.\d+|\w+|[^\w\s]", report.lower()))


def release_tokenise(report: str) -> str:
    """The release's tokens: the full stop set apart, white space squeezed, everything else as written."""
    return " ".join(report.replace(".", " . ").split())


def meteor_note() -> str:
    """Why METEOR is missing; empty where it can be computed."""
    return "" if shutil.which("java") else "METEOR not computed: no java on the path"


@contextmanager
def meteor_process() -> Iterator:
    """One METEOR program for several calls of `score_reports`; None where there is no java. It ends with the block.

    with meteor_process() as meteor:
        scores = {name: score_reports(texts, references, meteor=meteor) for name, texts in systems.items()}
    """
    if meteor_note():
        yield None
        return
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        yield scorer
    finally:
        process = scorer.meteor_p
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            pipe.close()


def score_reports(
    generated: Sequence[str], references: Sequence[str], tokens: Callable[[str], str] = tokenise, meteor=None
) -> LexicalScores:
    """All metrics, per study and for the corpus.

    CIDEr weighs n-grams by their rarity among the given references (so a study's value depends on the set) and runs
    from 0 to 10. Corpus BLEU pools the counts; corpus ROUGE-L and CIDEr are means over studies; corpus METEOR is
    aggregated by its own program.

    Args:
        generated, references: [n] texts, pairs by position.
        tokens: how a text is split; see the module.
        meteor: what `meteor_process` yields, to save its start; None starts one for this call.

    Raises:
        ValueError: different numbers of texts, or none.
    """
    hypotheses, truths = _pairs(generated, references, tokens)
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    corpus, columns = {}, {}
    corpus_bleu, study_bleu = Bleu(_ORDERS).compute_score(truths, hypotheses, verbose=0)
    for order in range(_ORDERS):
        corpus[f"bleu{order + 1}"], columns[f"bleu{order + 1}"] = corpus_bleu[order], study_bleu[order]
    corpus["rouge_l"], columns["rouge_l"] = Rouge().compute_score(truths, hypotheses)
    corpus["cider"], columns["cider"] = Cider().compute_score(truths, hypotheses)
    corpus["meteor"], columns["meteor"] = _meteor_scores(truths, hypotheses, meteor)
    return LexicalScores(pd.DataFrame(columns)[list(METRICS)], {name: float(corpus[name]) for name in METRICS})


def lexical_intervals(
    generated: Sequence[str],
    references: Sequence[str],
    resamples: int = 1000,
    seed: int = 0,
    tokens: Callable[[str], str] = tokenise,
    scores: LexicalScores | None = None,
    patients: Sequence | None = None,
) -> dict[str, Interval]:
    """Corpus metrics with 95 % intervals over patients.

    BLEU is pooled anew in every resample; ROUGE-L and CIDEr are means over studies; METEOR's bounds are those of the
    mean over studies, moved to the corpus value.

    Args:
        scores: what `score_reports` gave for the same texts, to save the time; None computes it.
        patients: [n], each is drawn with all reports; None: a report is a patient.
    """
    per_study, corpus = scores or score_reports(generated, references, tokens)
    patients = range(len(per_study)) if patients is None else patients
    counts = sums_by_group(bleu_counts(generated, references, tokens), patients)[0]
    bounds = bootstrap_sums(counts, bleu_of_counts, resamples, seed)
    intervals = {f"bleu{order + 1}": Interval(*map(float, row)) for order, row in enumerate(bounds)}
    for name in ("rouge_l", "cider", "meteor"):
        if np.isnan(corpus[name]):
            intervals[name] = percentile_interval(np.nan, np.array([]))
            continue
        mean, low, high = mean_intervals(per_study[name].to_numpy(), patients, resamples, seed)[0]
        moved = corpus[name] - mean
        intervals[name] = Interval(corpus[name], float(low + moved), float(high + moved))
    return intervals


def bleu_counts(
    generated: Sequence[str], references: Sequence[str], tokens: Callable[[str], str] = tokenise
) -> np.ndarray:
    """What each study adds to corpus BLEU: [n, 10] = matched 1..4-grams, generated 1..4-grams, two lengths in words."""
    hypotheses, truths = _pairs(generated, references, tokens)
    rows = []
    for study in hypotheses:
        words, wanted = hypotheses[study][0].split(), truths[study][0].split()
        matched, made = [], []
        for order in range(1, _ORDERS + 1):
            grams, known = (
                Counter(tuple(text[i : i + order]) for i in range(len(text) - order + 1)) for text in (words, wanted)
            )
            matched.append((grams & known).total())
            made.append(grams.total())
        rows.append([*matched, *made, len(words), len(wanted)])
    return np.array(rows, np.float64)


def bleu_of_counts(counts: np.ndarray) -> np.ndarray:
    """BLEU-1..4 from sums of `bleu_counts`: [..., 10] -> [..., 4], with pycocoevalcap's guards against 0 / 0."""
    matched, made = counts[..., :_ORDERS], counts[..., _ORDERS : 2 * _ORDERS]
    precision = np.log((matched + 1e-15) / (made + 1e-9)).cumsum(-1) / np.arange(1, _ORDERS + 1)
    ratio = (counts[..., -2:-1] + 1e-15) / (counts[..., -1:] + 1e-9)
    return np.exp(precision + np.minimum(0.0, 1 - 1 / ratio))


def _pairs(generated, references, tokens) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    generated, references = list(generated), list(references)
    if not generated or len(generated) != len(references):
        raise ValueError(
            f"{len(generated)} generated and {len(references)} reference reports, expected pairs, at least one"
        )
    return tuple({i: [tokens(text)] for i, text in enumerate(texts)} for texts in (generated, references))


def _meteor_scores(truths, hypotheses, meteor) -> tuple[float, list[float]]:
    """Corpus value and one per study; NaN without java, or where its process gives no answer (with a warning)."""
    missing = np.nan, [np.nan] * len(truths)
    if meteor_note():
        return missing
    if meteor is None:
        with meteor_process() as own:
            return _meteor_scores(truths, hypotheses, own)
    truths, hypotheses = ({i: [text or _NOTHING] for i, (text,) in d.items()} for d in (truths, hypotheses))
    try:
        return meteor.compute_score(truths, hypotheses)
    except (OSError, ValueError) as error:
        meteor.lock = Lock()  # the error left the old one locked, and who asks next would wait for ever
        warnings.warn(f"METEOR not computed: its java process gave no answer ({error})", stacklevel=2)
        return missing
