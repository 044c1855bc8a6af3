"""The READMEs agree with the tree: generated tables are up to date, every file has its line."""

import re
import subprocess

import pytest
import yaml

from ssacl_lib import paths
from ssacl_lib.command import readme
from ssacl_lib.datasets.registry import DATASETS


def test_the_generated_tables_are_up_to_date():
    assert readme.outdated() == [], "run `ssacl readme`"


def test_every_file_of_the_root_has_its_line():
    block = (paths.ROOT / "README.md").read_text(encoding="utf-8").split("## The files")[1].split("```")[1]
    named = {line.split()[0].rstrip("/") for line in block.splitlines() if line.strip()}
    listed = subprocess.run(["git", "ls-files"], cwd=paths.ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    tracked = {name if name.startswith(".ci") else name.split("/")[0] for name in listed.stdout.splitlines()}
    assert tracked - named - {".gitignore"} == set()
    assert all((paths.ROOT / name).exists() for name in named)


def test_unknown_and_open_blocks_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    for text, message in (
        ("<!-- generated: prices -->\n<!-- end -->", "prices"),
        ("<!-- generated: paper -->\n", "end"),
    ):
        (tmp_path / "README.md").write_text(text)
        with pytest.raises(ValueError, match=message):
            readme.generated("README.md")


def test_every_module_says_what_it_is():
    for path in paths.PACKAGE.rglob("*.py"):
        if path.name != "__init__.py" or path.read_text(encoding="utf-8").strip():
            assert readme._first_sentence(path), path


def test_the_citation_is_readable_and_names_the_paper():
    citation = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["references"][0]["doi"] == "10.1145/3746027.3754913"
    assert citation["license"] == "MIT" and citation["authors"] == [{"name": "the SS-ACL companion authors"}]


def test_nothing_of_real_patients_is_tracked():
    """Of a folder of real films only tables and the manifest may be committed."""
    listed = subprocess.run(["git", "ls-files"], cwd=paths.ROOT, capture_output=True, text=True, check=False).stdout
    private = "|".join(name for name, dataset in DATASETS.items() if not dataset.published)
    of_folders = [name for name in listed.splitlines() if re.match(rf"figures/[^/]*-({private})/", name)]
    assert all(re.search(r"/(tables/[^/]+\.(csv|md)|manifest\.json)$", name) for name in of_folders)
    pictures = [
        name for name in listed.splitlines() if re.search(r"\.(jpe?g|dcm|dicom|nii(\.gz)?)$", name, re.IGNORECASE)
    ]
    assert [name for name in pictures if not name.startswith("tests/data/pictures/")] == []  # those are phantom films


def test_every_figure_and_table_of_the_paper_has_its_place():
    text = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("<!-- generated: paper -->")[1].split("<!-- end -->")[0]
    assert "not rebuilt yet" not in table and table.count("\n|") > 10
