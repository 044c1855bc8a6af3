"""Every exercise: its cells, the right answer, each named slip, and answers that are wrong in a way of their own.

Three levels (predict a number, write a function, change something and see), four kinds: what holds for one kind stands in a
section of its own, what holds for all in the last.
"""

import ast
import json
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from ssacl_lib import paths
from ssacl_lib.evaluation import small_changes
from ssacl_lib.evaluation.small_changes import OUTCOMES, Effect
from ssacl_lib.notebook import exercises, show
from ssacl_lib.notebook.exercises import ALL, EXERCISES, Change, Choice, Exercise, Number
from ssacl_lib.notebook.exercises.exercise import equal

NAMES = list(EXERCISES)
FUNCTIONS, NUMBERS, CHOICES, CHANGES = (
    [exercise for exercise in ALL if isinstance(exercise, kind)] for kind in (Exercise, Number, Choice, Change)
)
LEVEL = {Number: "(predict)", Exercise: "(write)", Choice: "(change)", Change: "(predict, then change)"}
"""What the statement of each kind begins with."""

ARRIVES = {dict: "dict", list: "list", str: "str", int: "int", float: "float", np.ndarray: "numpy"}
"""How the statement calls the type of an argument."""


def each(members: list):
    """A test of every exercise of a kind."""
    return pytest.mark.parametrize("exercise", members, ids=[member.name for member in members])


every_exercise = each(FUNCTIONS)


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
        assert exercise.name == name and exercise.hint in exercises.hint(name).data
        assert getattr(exercises, f"check_{name}") == exercise.check
    with pytest.raises(ValueError, match=rf"no exercise 'cnrr'; there are {NAMES[0]},"):
        exercises.hint("cnrr")


def test_the_attention_exercise_is_the_encoder_s():
    """What the reader shall build is what derivatives of the encoder say."""
    for mode in ("paper", "release"):
        assert np.array_equal(EXERCISES["who_sees"].right(3, 4, mode), show.who_sees_whom(mode))


def test_the_bleu_of_the_exercise_is_the_tables_own():
    from ssacl_lib.evaluation.cases import bleu1

    for generated, reference in EXERCISES["bleu1"].questions.values():
        assert EXERCISES["bleu1"].right(generated, reference) == pytest.approx(bleu1(generated, reference))


# ---- numbers to predict
@each(NUMBERS)
def test_a_predicted_number(exercise):
    """Right, also rounded to two places; each slip, and none of them is near to another; what is no number."""
    due = exercise.due()
    assert str(exercise.check(due)) == str(exercise.check(round(due, 2))) == "Right."
    assert len(exercise.slips) >= 3
    for one, other in combinations([due, *exercise.slips.values()], 2):
        assert abs(one - other) > 2 * exercise.tolerance
    for said, wrong in exercise.slips.items():
        verdict = exercise.check(wrong)
        assert not verdict.passed and verdict.slip == said and verdict.came != verdict.due
    for odd in ("two", True, [due]):
        assert not exercise.check(odd).passed and not exercise.check(odd).slip
    assert not exercise.check(due + 7.77).slip


# ---- things to choose
@each(CHOICES)
def test_a_choice_is_tried_out(exercise):
    assert exercise.good and len(exercise.bad) == len(exercise.flaws) >= 3
    assert all(exercise.check(good).passed and exercise.check(good).note for good in exercise.good)
    for said, bad in zip(exercise.flaws, exercise.bad, strict=True):
        verdict = exercise.check(bad)
        assert not verdict.passed and verdict.slip == said and verdict.came
    odd = exercise.check({"no": "answer"})
    assert not odd.passed and not odd.slip and "Error" in odd.came


# ---- changes to foretell
def measured(outcome: str) -> Effect:
    return Effect("it is", 1.0, {"higher": 2.0, "lower": 0.5, "the same": 1.05}[outcome], 0.1)


@each(CHANGES)
def test_the_measurement_decides(exercise):
    """The foretold outcome is right if it is measured, whatever is usual; the reasons are told where the usual one came."""
    assert set(exercise.slips) == set(OUTCOMES) - {exercise.usual} and len(set(exercise.slips.values())) == 2
    for outcome in OUTCOMES:
        tried = replace(exercise, measure=lambda outcome=outcome: measured(outcome))
        for foretold in OUTCOMES:
            verdict = tried.check(foretold)
            assert verdict.passed == (foretold == outcome) and "1.000 before" in str(verdict)
            usual = outcome == exercise.usual
            assert (exercise.because in str(verdict)) == usual
            assert verdict.slip == (exercise.slips[foretold] if usual and foretold != outcome else "")


@each(CHANGES)
def test_nothing_is_measured_without_a_prediction(exercise):
    def measure():
        raise AssertionError("measured")

    for nothing in (..., None, "much higher", 3, ["higher"]):
        verdict = replace(exercise, measure=measure).check(nothing)
        assert not verdict.passed and "'higher', 'lower', 'the same'" in verdict.due and not verdict.slip


def test_changes_are_measured(fake_phantom, monkeypatch):
    """The measurements themselves, of the shipped model and of two trainings that are too short to say anything."""
    monkeypatch.setattr(small_changes, "IMAGES", 32)
    small_changes.plain_training.cache_clear()
    effects = {exercise.name: exercise.measure() for exercise in CHANGES}
    small_changes.plain_training.cache_clear()
    assert all(np.isfinite([effect.before, effect.after, effect.even]).all() for effect in effects.values())
    assert all(effect.before != effect.after and effect.even > 0 for effect in effects.values())
    assert effects["mixing"].outcome == "higher", "whatever the film: the rows of the target sum to more"
    same = Effect("x", 1.0, 1.0, 0.1)
    assert (same.outcome, replace(same, after=1.2).outcome, replace(same, after=0.8).outcome) == (
        "the same",
        *OUTCOMES[:2],
    )


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
    assert re.match(r"\*\*Exercise( \d+)?\*\* " + re.escape(LEVEL[type(EXERCISES[name])]), statement["source"])
    assert "details" not in statement["source"]
    assert "Exercise" not in solution["source"], "the next exercise would be folded away"
    assert hint["source"] == f'# exercises.hint("{name}")', "asked for, not given at once"


def test_every_notebook_has_all_three_levels():
    for name, cells in notebooks().items():
        tagged = [re.search(r"check_(\w+)\(", cell["source"])[1] for cell in cells if "exercise" in cell["tags"]]
        kinds = {type(EXERCISES[exercise]) for exercise in tagged}
        assert {Number, Exercise} <= kinds and kinds & {Choice, Change}, name


@pytest.mark.parametrize("name", NAMES)
def test_untouched_and_solved(name, monkeypatch):
    if isinstance(exercise := EXERCISES[name], Change):  # measured elsewhere
        usual = replace(exercise, measure=lambda: measured(exercise.usual))
        monkeypatch.setattr(exercises, f"check_{name}", usual.check)
    notebook, (_, reader, _, solution) = cells_of(name)
    untouched, solved = run(notebook, reader["source"]), run(notebook, solution_code(solution))
    assert not untouched.passed and "nothing yet" in untouched.came and not untouched.slip
    assert solved.passed, str(solved)
    assert reader["source"].splitlines()[-1] == solution_code(solution).splitlines()[-1]


@pytest.mark.parametrize("name", [exercise.name for exercise in FUNCTIONS])
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


def test_numbers_of_numpy_are_numbers():
    assert exercises.check_enough_seeds(np.int64(12)).passed and exercises.check_chunk(np.int64(97)).passed
    assert exercises.check_claim(np.float32(-10)).passed
