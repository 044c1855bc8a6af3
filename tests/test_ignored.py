"""Nothing of a patient can be committed by accident: what git ignores below figures/, for every data set and profile."""

import subprocess

import pytest

from ssacl_lib import paths
from ssacl_lib.datasets.registry import DATASETS
from ssacl_lib.settings import load_settings, profile_names

PRIVATE = ("fig33_cases.png", "fig33_cases.pdf", "run.json", "notebooks/03_report_generation.ipynb", "tables/cases.png",
           "tables/reports.parquet", "tables/patients/list.csv", "images/1.dcm", "verify.csv")  # fmt: skip
"""What a rebuild or a hurried hand could leave in a folder of results."""

NUMBERS = ("tables/report_generation.csv", "tables/report_generation.md", "manifest.json")


def ignored(names: list[str]) -> set[str]:
    """Those of the names (relative to the repository) that git would not add."""
    command = ["git", "-C", str(paths.ROOT), "check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(command, input="\n".join(names), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        pytest.skip(f"no git checkout: {done.stderr.strip()}")
    return set(done.stdout.splitlines())


def folder(profile: str, dataset: str) -> str:
    return f"figures/{load_settings(profile, dataset=dataset).name}"


@pytest.mark.parametrize("dataset", [*DATASETS, "mimic", "a-data-set-of-tomorrow"])
def test_of_other_data_sets_only_numbers_are_committed(dataset):
    made_here = dataset in DATASETS and DATASETS[dataset].published
    assert made_here == (dataset == "phantom")
    for profile in profile_names():
        base = folder(profile, dataset)
        private, numbers = ({f"{base}/{name}" for name in names} for names in (PRIVATE, NUMBERS))
        if profile == "smoke":
            assert ignored([*private, *numbers]) == private | numbers, "its numbers mean nothing"
        elif made_here:
            assert ignored([*private, *numbers]) == {f"{base}/verify.csv"}
        else:
            assert ignored([*private, *numbers]) == private


def test_an_unknown_name_or_a_loose_file_is_ignored():
    loose = ["figures/fig33.png", "figures/new-profile/fig33.png", "figures/cpu-mimic/fig33.png", "runs/opened/x/fig33.png",
             "data/films/1.png"]  # fmt: skip
    assert ignored(loose) == set(loose)
    assert not ignored(["figures/confirm/run.json", "figures/confirm/tables/fresh_patients.csv", "data/README.md"])


def test_what_is_committed_is_not_ignored():
    done = subprocess.run(["git", "-C", str(paths.ROOT), "ls-files"], capture_output=True, text=True, check=False)
    assert not ignored(done.stdout.splitlines())
