"""How well does the labeler read? Three sets of texts with a truth that it did not make.

  phantom    6,000 reports of the test split, of a seed that no rule was made on. The truth is what the report affirms: before
             it chooses a word, the grammar draws for each sign whether it is said plainly, hedged or left out, and these draws
             are made again here (`said_in`). What it only hedges, leaves out or denies is not affirmed. Labels: positive or
             not. Grammar and lexicon are both ours, so this shows consistency, not how real reports are read.
  challenge  sentences and reports of our own that are meant to be hard (`tests/data/labeler_challenge.tsv`). The truth is a
             reader's, and the whole state counts: "negative" where "uncertain" was due is a false one and a missed one.
             The rules were mended for all of them, so this says what the rules can express, not how they meet new sentences.
  iu         real reports against an indexer's tags (`iu_reports.py`). The tags know presence only. Labels: positive or not.
             Tags and reports differ in more than the labeler's errors, and the rules were mended while looking at these reports.

Precision, recall and F1 of each of the 14 observations, and "micro", pooled over the 13 findings: No Finding follows from
them and is a row of its own (of the challenge: of the texts that name it). Intervals are of F1, by the bootstrap over texts;
one of [1, 1] means that no error was seen, and with c cases the error may still be as large as 3 / c.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..datasets.phantom import SPLIT_CODES, report_of
from ..metrics.clinical import positive_labels
from ..metrics.intervals import bootstrap_sums
from ..observations import BLANK, OBSERVATIONS, POSITIVE, UNCERTAIN
from ..phantom import draw_signs
from ..phantom.reports import HEDGED_BELOW, HEDGED_SHARE, OMITTED_BELOW, OMITTED_SHARE, PHRASE_FINDINGS
from ..phantom.truth import Sign
from ..phantom.wording import Draws
from ..record.manifest import atomic_write
from ..record.sources import code_behind
from ..text.labeler import label, label_array
from .iu_reports import read_iu_reports
from .results import long_table

RESULTS = paths.DATA / "results" / "labeler.csv"
CHALLENGE = paths.ROOT / "tests" / "data" / "labeler_challenge.tsv"
REPORTS, SPLIT = 6000, "test"

COLUMNS = ("set", "observation", "precision", "recall", "f1", "low", "high", "cases", "n", "seed", "labeler")
"""low, high: the interval of f1. cases: where the truth has it. n: texts. labeler: fingerprint of the measured rules."""


def measure_labeler(
    iu: Path | None = None, seed: int = 1, reports: int = REPORTS, out: Path | None = None
) -> pd.DataFrame:
    """Measure the sets, write `data/results/labeler.csv` (or `out`) and return it: the columns COLUMNS.

    Args:
        iu: folder or archive of the Indiana University reports. None: their rows stay as they were measured before.
        seed: of the phantom's patients and of the bootstrap; the rules were made on patients of seed 0.
        reports: phantom reports.

    Raises:
        FileNotFoundError, ValueError: what `iu` names can't be read.
    """
    out = Path(out or RESULTS)
    real = read_iu_reports(iu) if iu is not None else None
    texts, truth = phantom_reports(seed, reports)
    frames = [score_rows("phantom", positive_counts(label_array(texts), truth), seed)]
    if CHALLENGE.is_file():
        texts, right = zip(*read_cases(CHALLENGE), strict=True)
        frames.append(score_rows("challenge", state_counts([label(text) for text in texts], right), seed))
    else:
        print(f"not measured: {'/'.join(CHALLENGE.parts[-3:])} is missing, it comes with a checkout of the repository")
    if real is not None:
        texts, truth = real
        frames.append(score_rows("iu", positive_counts(label_array(texts), truth), seed))
    table = pd.concat(frames, ignore_index=True)
    if out.is_file():
        before = pd.read_csv(out)
        table = pd.concat([table, before[~before["set"].isin(table["set"])]], ignore_index=True)
    with atomic_write(out) as handle:
        table[list(COLUMNS)].to_csv(handle, index=False, float_format="%.6g", lineterminator="\n")
    return pd.read_csv(out)


def labeler_table(path: Path | None = None) -> pd.DataFrame:
    """What was measured as rows for `write_table`, the metric being F1; says where rows are of earlier rules."""
    path = Path(path or RESULTS)
    if not path.is_file():
        print("the labeler is not measured yet: `ssacl labeler`")
        return long_table([], ("set", "observation", "cases", "precision", "recall", "f1"))
    table = pd.read_csv(path)
    if old := list(dict.fromkeys(table["set"][table["labeler"] != labeler_version()])):
        print(
            f"rows of {', '.join(old)} were measured with earlier rules: `ssacl labeler` renews them (iu: with --iu DIR)"
        )
    table = table.assign(value=table["f1"], method="labeler", metric="f1")
    return long_table(table.to_dict("records"), ("set", "observation", "cases", "precision", "recall", "f1"))


def labeler_version() -> str:
    """Eight hex digits of the rules and the lexicon."""
    return code_behind("text.labeler")[:8]


# ---- texts and their truth
def said_in(signs: Sequence[Sign], generator: np.random.Generator) -> tuple[list[int], list[int]]:
    """Indices of the signs that `write_report` affirms and of those that it hedges, given the generator that it gets."""
    draws = Draws(generator)
    affirmed, hedged = [], []
    for index, sign in enumerate(signs):
        if sign.severity < OMITTED_BELOW and draws.chance(OMITTED_SHARE):
            continue
        hedge = sign.severity < HEDGED_BELOW and sign.finding != "Support Devices" and draws.chance(HEDGED_SHARE)
        (hedged if hedge else affirmed).append(index)
    return affirmed, hedged


def phantom_reports(seed: int, count: int) -> tuple[list[str], np.ndarray]:
    """Reports of the first patients of the test split; [count, 14] codes: POSITIVE affirmed, UNCERTAIN only hedged, else BLANK.

    Raises:
        RuntimeError: a report affirms other signs than `said_in` says (the grammar draws otherwise by now).
    """
    texts, truth = [], np.full((count, len(OBSERVATIONS)), BLANK, np.int8)
    for number in range(count):
        signs = draw_signs(seed, SPLIT, number)
        report = report_of(seed, SPLIT, number, signs)
        affirmed, hedged = said_in(signs, np.random.default_rng([seed, SPLIT_CODES[SPLIT], number, 1]))
        if [i for i in affirmed if signs[i].finding in PHRASE_FINDINGS] != [index for index, _ in report.phrases]:
            raise RuntimeError(f"report {number} of seed {seed} affirms other signs than its draws say: mend `said_in`")
        for code, said in ((UNCERTAIN, hedged), (POSITIVE, affirmed)):
            truth[number, [OBSERVATIONS.index(signs[i].finding) for i in said]] = code
        if (truth[number, 1:-1] == BLANK).all():
            truth[number, 0] = POSITIVE
        texts.append(report.text)
    return texts, truth


def read_cases(path: Path) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """(text, observation -> right values) of every line of a table of sentences; its head says how it is written."""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            text, _, values = line.partition("\t")
            pairs = (value.split("=") for value in values.split(";") if value)
            yield text.replace("\\n", "\n").replace("\\t", "\t"), {name: right.split("/") for name, right in pairs}


# ---- counts and scores
def positive_counts(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Hits, false ones, missed ones of positive labels: [n, 14] codes twice -> [n, 3, 14]."""
    said, true = positive_labels(labels), positive_labels(truth)
    return np.stack([said & true, said & ~true, ~said & true], axis=1)


def state_counts(found: Sequence[dict[str, str | None]], right: Sequence[dict[str, list[str]]]) -> np.ndarray:
    """Hits, false ones, missed ones of states: [n, 3, 14].

    Args:
        found: what the labeler reads in each text, see `label`.
        right: the values of which any is right; an observation that is not named is blank, and No Finding then not compared.
    """
    counts = np.zeros((len(found), 3, len(OBSERVATIONS)), bool)
    for row, states, values in zip(counts, found, right, strict=True):
        for column, name in enumerate(OBSERVATIONS):
            if name in values or name != "No Finding":
                state, due = states[name] or "blank", values.get(name, ["blank"])
                named, fits = state != "blank", state in due
                row[:, column] = named and fits, named and not fits, not fits and "blank" not in due
    return counts


def score_rows(name: str, counts: np.ndarray, seed: int, resamples: int = 1000) -> pd.DataFrame:
    """The 15 rows of a set: [n, 3, 14] hits, false, missed -> columns COLUMNS; NaN where nothing is to divide by."""
    counts = np.concatenate([counts, counts[:, :, 1:].sum(2, keepdims=True)], axis=2).astype(np.float64)
    hit, false, missed = counts.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = hit / (hit + false), hit / (hit + missed)
    f1, low, high = bootstrap_sums(counts.reshape(len(counts), -1), _f1, resamples, seed).T
    return pd.DataFrame(
        {"set": name, "observation": [*OBSERVATIONS, "micro"], "precision": precision, "recall": recall}
        | {"f1": f1, "low": low, "high": high, "cases": (hit + missed).astype(int)}
        | {"n": len(counts), "seed": seed, "labeler": labeler_version()}
    )


def _f1(sums: np.ndarray) -> np.ndarray:
    hit, false, missed = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    return 2 * hit / (2 * hit + false + missed)
