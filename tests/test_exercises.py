"""Every check with an untouched, a right (from the notebooks' folded solutions) and a typical wrong answer."""

import json
import re

import numpy as np
import pytest

from ssacl_lib import paths
from ssacl_lib.anatomy import anatomies_for, default_graph, leaves_of
from ssacl_lib.notebook import exercises

CHECKS = sorted(name for name in dir(exercises) if name.startswith("check_"))

WRONG = {
    "check_restore": (
        lambda v, n: float(np.mean([v[leaf] for leaf in default_graph().leaves_below(n)])),
        "each CHILD counts",
    ),
    "check_open_leaves": (lambda f: sum(len(leaves_of(a)) for x in f for a in anatomies_for([x])), "counts once"),
    "check_masked_error": (lambda p, t, m: ((p - t) ** 2).mean(), "only hidden"),
    "check_contrast": (
        lambda s, t: float(np.mean([np.log(np.exp(s * t).sum(a)) for a in (0, 1)]) - np.diag(s * t).mean()),
        "divided by it",
    ),
    "check_consistency_target": (
        lambda s, m, x: (x * s + (1 - x) * np.eye(m)) / (m * x * s + 1 - x),
        "rows are made to sum to 1",
    ),
    "check_asserts_effusion": (lambda s: "effusion" in s.lower(), "denied"),
    "check_micro_f1": (lambda g, r: float((g == r).mean()), "accuracy"),
    "check_cnr": (
        lambda h, m: (h[m].mean() - h[~m].mean()) / np.sqrt(h[m].var(ddof=1) + h[~m].var(ddof=1)),
        "population",
    ),
    "check_speedup": (lambda r, o: float(np.median(r) / np.median(o)), "divide first"),
    "check_visibility_effect": (lambda s, v: np.array([s[v[:, n]].mean() for n in range(v.shape[1])]), "when hidden"),
}


def cells():
    """(notebook name, tags, source) of every cell."""
    for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            yield path.name, set(cell["metadata"].get("tags", [])), cell["cell_type"], "".join(cell["source"])


def imports_of(notebook: str) -> str:
    """The import lines of a notebook, which its exercises may use."""
    sources = [source for name, _, kind, source in cells() if name == notebook and kind == "code"]
    return "\n".join(line for s in sources for line in s.splitlines() if re.match(r"(from|import) ", line))


def answers(kind: str) -> dict:
    """check name -> (notebook, code): untouched cells tagged exercise, or the folded solutions in Markdown."""
    found = {}
    for notebook, tags, cell_type, source in cells():
        if kind == "untouched" and "exercise" in tags:
            found[re.search(r"check_\w+", source).group()] = (notebook, source)
        if kind == "solution" and cell_type == "markdown":
            for code in re.findall(r"<details>.*?```python\n(.*?)```", source, re.DOTALL):
                found[re.search(r"check_\w+", code).group()] = (notebook, code)
    return found


@pytest.mark.parametrize("kind", ["untouched", "solution"])
def test_every_check_is_used_in_a_notebook(kind):
    assert sorted(answers(kind)) == CHECKS


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("kind", ["untouched", "solution"])
def test_cells_of_the_notebooks(check, kind):
    notebook, code = answers(kind)[check]
    space: dict = {}
    exec(imports_of(notebook), space)  # noqa: S102 - the notebooks' own cells
    lines = code.strip().splitlines()
    assert lines[-1].startswith(f"exercises.{check}("), "the last line of an exercise calls its check"
    exec("\n".join(lines[:-1]), space)  # noqa: S102
    verdict = eval(lines[-1], space)
    assert verdict.passed == (kind == "solution"), str(verdict)
    if kind == "untouched":
        assert verdict.hint and verdict.due and "nothing yet" in verdict.came


@pytest.mark.parametrize("check", CHECKS)
def test_a_typical_wrong_answer_is_told_its_slip(check):
    wrong, words = WRONG[check]
    verdict = getattr(exercises, check)(wrong)
    assert not verdict.passed
    assert words in verdict.slip, str(verdict)
    assert verdict.came != verdict.due


def test_an_error_of_the_reader_is_shown_not_raised():
    verdict = exercises.check_cnr(lambda heatmap, mask: 1 / 0)
    assert not verdict.passed
    assert "ZeroDivisionError" in str(verdict)


def test_a_wrong_shape_or_type_is_no_right_answer():
    assert not exercises.check_visibility_effect(lambda s, v: 0.0).passed
    assert not exercises.check_cnr(lambda h, m: "large").passed
    assert not exercises.check_asserts_effusion(lambda s: 1).passed
