"""Where the tables of notebooks 01, 03 and 04 come from: Parquets that a rebuild leaves below runs/."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from .. import paths
from ..datasets.registry import load_training, source_for
from ..datasets.shards import SHARD, folder_of
from ..evaluation import (
    anatomy_grounding,
    controls,
    difficulty,
    films,
    looking,
    reports as written,
    sentence_grounding,
)
from ..evaluation.results import long_table
from ..record.spread import spread_file
from ..settings import Settings


def left_by_rebuild(names: Callable[[pd.Series], list[str]]) -> Callable[[Settings, pd.DataFrame], list[Path]]:
    """The Parquets that an evaluation saved (`results.cached`) under these names, and the runs that the intervals know of."""

    def files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
        wanted = dict.fromkeys(name for _, row in rows.iterrows() for name in names(row))
        spread = [spread_file(settings)] if (rows["runs"].astype(int) > 1).any() else []
        return [_saved(settings, name) for name in wanted] + spread

    return files


def _saved(settings: Settings, name: str) -> Path:
    """The newest file that was saved under a name; a pattern of its name where there is none."""
    pattern = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".*.parquet"
    folders = [settings.runs / "evaluation", paths.RUNS / f"{settings.name}-seed{settings.seed}" / "evaluation"]
    found = [sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime) for folder in folders]
    return next((paths_[-1] for paths_ in found if paths_), folders[0] / pattern)


def saved_rows(settings: Settings, files: list[Path]) -> pd.DataFrame:
    """The saved rows of all Parquets, but for the runs of `ssacl spread`, which `write_table` reads itself."""
    network = {"method": difficulty.METHOD, "reference": "truth"}  # which its own file does not say
    frames = [pd.read_parquet(path) for path in files if path.suffix == ".parquet" and path != spread_file(settings)]
    return pd.concat([frame if "method" in frame else frame.assign(**network) for frame in frames], ignore_index=True)


# ---- tables
def finding_files(row: pd.Series) -> list[str]:
    """The supervised network's probabilities come from notebook 01."""
    return ["difficulty" if row["method"] == difficulty.METHOD else f"findings {row['method']}"]


def anatomy_files(row: pd.Series) -> list[str]:
    """Attention, priors, and what looks or looks at no film (evaluation/looking.py)."""
    method, moved = row["method"], row["films"] == anatomy_grounding.MOVED
    fixed = (looking.WORDS, looking.SHUFFLED, looking.TEMPLATE)
    priors = (anatomy_grounding.PRIOR, anatomy_grounding.CHANCE)
    if method in fixed or method.startswith(looking.ANNOTATED_MAPS) or (moved and method in priors):
        return [f"looking {row['films']} without a film"]
    if method in priors:
        return ["anatomies priors"]
    return [
        f"looking {row['films']} {method.removesuffix('+')}" if moved or method.endswith("+") else f"anatomies {method}"
    ]


def phrase_files(row: pd.Series) -> list[str]:
    """Sentence evidence has a file of its own; where masked evidence is taken away from it, that of the phrases as well."""
    phrases, unseeing = f"phrases {row['method']}", [f"phrases {method}" for method in controls.UNSEEING]
    if row["map"] != sentence_grounding.KIND:
        return list(dict.fromkeys([*unseeing, phrases]))
    also = [phrases] if row["metric"].endswith("_minus_masked") else []
    return [*unseeing, f"sentences {row['method']}", *also]


def film_files(row: pd.Series) -> list[str]:
    """Methods go by other names on real films."""
    model = next((old for old, new in films.NAMES.items() if new == row["method"]), row["method"])
    return ["films priors"] if model in (films.CENTRE, films.SIDE) else ["films priors", f"films {model}"]


def report_files(settings: Settings, rows: pd.DataFrame) -> list[Path]:
    """The reports of the models; the constant report is chosen among the prepared training studies."""
    constant = (rows["method"] == written.CONSTANT) | rows["metric"].str.endswith("_minus_constant")
    models = rows[rows["method"] != written.CONSTANT]
    found = left_by_rebuild(lambda row: [f"reports {row['method']}"])(settings, models if len(models) else rows[:0])
    if constant.any():
        found += [] if len(models) else [_saved(settings, "reports this run")]  # for the test studies' own reports
        found += [_prepared(settings, split) for split in ("train", "validation")]
    return found


def _prepared(settings: Settings, split: str) -> Path:
    """The folder of a split's prepared studies; a pattern of its name where it is not whole."""
    pattern = f"{settings.dataset}-{split}-*"
    if any(paths.STUDIES.glob(pattern)):
        try:
            source = source_for(settings, split)
            if len(list(folder_of(source).glob("studies-*"))) * SHARD >= source.count:
                return folder_of(source)
        except (OSError, ValueError):  # the folder of a user's own data lies elsewhere
            pass
    return paths.STUDIES / pattern


def report_table(settings: Settings, files: list[Path], rows: pd.DataFrame) -> pd.DataFrame:
    """report_generation: the variants that the rows name, and their rivals."""
    frame = saved_rows(settings, files)
    if any(path.is_dir() for path in files):
        most = frame.groupby("method")["study"].nunique().idxmax()
        first = frame[frame["method"] == most].drop_duplicates("study")
        train, validation = (load_training(settings, split) for split in ("train", "validation"))
        studies = [
            SimpleNamespace(study_id=study, report=report, labels=labels)
            for study, report, labels in first[["study", "reference", "reference_labels"]].itertuples(index=False)
        ]
        frame = pd.concat([written.constant_rows(studies, train, validation), frame], ignore_index=True)
    wanted = set(zip(rows["method"], rows["variant"], strict=True))
    wanted |= {rival for system in wanted for rival in written.rivals_of(*system).values()}
    chosen = frame[[system in wanted for system in zip(frame["method"], frame["variant"], strict=True)]]
    return long_table(written.report_rows(chosen, settings), ["variant"])
