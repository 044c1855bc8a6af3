"""Every exercise: its cells, the right answer, each named slip, and answers that are wrong in a way of their own."""

import ast
import json
import re
from itertools import combinations

import numpy as np
import pytest

from ssacl_lib import paths
from ssacl_lib.notebook import exercises
from ssacl_lib.notebook.exercises import ALL, EXERCISES
from ssacl_lib.notebook.exercises.exercise import equal

NAMES = list(EXERCISES)
ARRIVES = {dict: "dict", list: "list", str: "str", int: "int", float: "float", np.ndarray: "numpy"}
"""How the statement calls the type of an argument."""

every_exercise = pytest.mark.parametrize("exercise", ALL, ids=NAMES)


def answers(exercise, function) -> list:
    return [function(*arguments) for arguments in exercise.questions.values()]


# ---- questions and slips
@every_exercise
def test_no_two_slips_look_alike_and_none_looks_right(exercise):
    """Over all pairs: the answers to the questions differ, so that what is said about a slip is true."""
    given = {"the right answer": answers(exercise, exercise.right)}
    given |= {said: answers(exercise, wrong) for said, wrong in exercise.slips.items()}
    assert len(given) >= 5, "a few classic wrong answers each"
    for (one, first), (other, second) in combinations(given.items(), 2):
        assert not all(map(equal, first, second)), f"{exercise.name}: “{one}” gives the same as “{other}”"


@every_exercise
def test_every_slip_is_told_by_its_own_words(exercise):
    for said, wrong in exercise.slips.items():
        verdict = exercise.check(wrong)
        assert not verdict.passed and verdict.slip == said
        assert verdict.came != verdict.due and f'exercises.hint("{exercise.name}")' in str(verdict)


@every_exercise
def test_the_right_function_passes_and_gives_numbers(exercise):
    assert str(exercise.check(exercise.right)) == "Right."
    assert all(np.isfinite(np.asarray(answer, float)).all() for answer in answers(exercise, exercise.right))


@every_exercise
def test_a_constant_never_passes(exercise):
    """Not even the one that is right for a question."""
    for due in answers(exercise, exercise.right):
        verdict = exercise.check(lambda *_, due=due: due)
        assert not verdict.passed, exercise.name


@every_exercise
def test_an_argument_given_back_never_passes(exercise):
    for place in range(len(next(iter(exercise.questions.values())))):
        verdict = exercise.check(lambda *arguments, place=place: arguments[place])
        assert not verdict.passed and not verdict.slip


@every_exercise
def test_an_error_of_the_reader_is_shown_not_raised(exercise):
    verdict = exercise.check(lambda *_: 1 / 0)
    assert not verdict.passed and not verdict.slip
    assert "ZeroDivisionError" in str(verdict)


def test_an_error_in_a_later_question_does_not_hide_the_slip_of_the_first():
    def wrong(heatmap, mask):
        assert heatmap[0, 0] == 5
        return heatmap[mask].mean() - heatmap[~mask].mean()

    assert "noise is missing" in exercises.check_cnr(wrong).slip


def test_a_wrong_shape_or_type_is_no_right_answer():
    assert not exercises.check_visibility_effect(lambda s, v: 0.0).passed
    assert not exercises.check_cnr(lambda h, m: "large").passed
    assert not exercises.check_asserts_effusion(lambda s: 1).passed
    assert not exercises.check_open_leaves(lambda findings: bool(findings)).passed


def test_the_readers_function_cannot_change_the_questions():
    def greedy(heatmap, mask):
        heatmap[:] = 0
        return 0.0

    assert not exercises.check_cnr(greedy).passed
    assert exercises.check_cnr(EXERCISES["cnr"].right).passed


def test_hints():
    for name, exercise in EXERCISES.items():
        assert exercise.hint in exercises.hint(name).data
        assert getattr(exercises, f"check_{name}") == exercise.check
    with pytest.raises(ValueError, match=r"no exercise 'cnrr'; there are restore,"):
        exercises.hint("cnrr")


# ---- the cells
def notebooks() -> dict[str, list[dict]]:
    found = {}
    for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found[path.name] = [
            {**cell, "source": "".join(cell["source"]), "tags": cell["metadata"].get("tags", [])} for cell in cells
        ]
    return found


def cells_of(name: str) -> tuple[str, list[dict]]:
    """The notebook of an exercise, and its four cells: statement, the reader's, hint, solution."""
    for notebook, cells in notebooks().items():
        for place, cell in enumerate(cells):
            if "exercise" in cell["tags"] and f"check_{name}(" in cell["source"]:
                return notebook, cells[place - 1 : place + 3]
    raise AssertionError(f"no notebook has the exercise {name}")


def run(notebook: str, code: str):
    """Run an exercise after the imports of its notebook; returns what its last line, the check, says."""
    sources = [cell["source"] for cell in notebooks()[notebook] if cell["cell_type"] == "code"]
    nodes = [node for s in sources for node in ast.parse(s).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    imports = [ast.unparse(node) for node in nodes]
    *body, last = code.strip().splitlines()
    space: dict = {}
    exec("\n".join([*imports, *body]), space)
    return eval(last, space)


def solution_code(cell: dict) -> str:
    (code,) = re.findall(r"^<details><summary>Solution</summary>\n\n```python\n(.*?)```\n\n</details>$", cell["source"],
                         re.DOTALL)  # fmt: skip
    return code


def test_exercises_stand_in_the_notebooks_in_order():
    tagged = [c["source"] for cells in notebooks().values() for c in cells if "exercise" in c["tags"]]
    assert [re.search(r"check_(\w+)\(", source)[1] for source in tagged] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_statement_reader_hint_and_solution_are_cells_of_their_own(name):
    _, (statement, reader, hint, solution) = cells_of(name)
    assert [cell["cell_type"] for cell in (statement, reader, hint, solution)] == [
        "markdown",
        "code",
        "code",
        "markdown",
    ]
    assert [cell["tags"] for cell in (statement, reader, hint, solution)] == [[], ["exercise"], ["hint"], ["solution"]]
    assert statement["source"].startswith("**Exercise") and "details" not in statement["source"]
    assert "Exercise" not in solution["source"], "the next exercise would be folded away"
    assert hint["source"] == f'# exercises.hint("{name}")', "asked for, not given at once"


@pytest.mark.parametrize("name", NAMES)
def test_untouched_and_solved(name):
    notebook, (_, reader, _, solution) = cells_of(name)
    untouched, solved = run(notebook, reader["source"]), run(notebook, solution_code(solution))
    assert not untouched.passed and "nothing yet" in untouched.came and not untouched.slip
    assert solved.passed, str(solved)
    assert reader["source"].splitlines()[-1] == solution_code(solution).splitlines()[-1]


@pytest.mark.parametrize("name", NAMES)
def test_what_arrives_is_said(name):
    """The docstring of the reader's function names the type of each argument, as the questions have it."""
    reader = cells_of(name)[1][1]["source"]
    parameters = re.search(r"def \w+\((.*?)\)", reader)[1].split(", ")
    told = re.search(r'"""(.*?)"""', reader, re.DOTALL)[1]
    for arguments in EXERCISES[name].questions.values():
        for parameter, value in zip(parameters, arguments, strict=True):
            said = re.search(rf"\b{parameter}\b[^:;.]*: (\w+( bool)?)", told)
            kind = ARRIVES[type(value)]
            whole = f"{kind} bool" if kind == "numpy" and value.dtype == bool else kind
            assert said and said[1] == whole, f"{parameter} is {whole}, the statement says {said and said[1]}"
    assert "Gives" in told
