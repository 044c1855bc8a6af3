"""What a class is handed out: no solution left in the students' copies, every exercise solved in the other edition, one page."""

import json
import re

import pytest

from ssacl_lib import paths
from ssacl_lib.command import handout
from ssacl_lib.command.links import notebook_texts, relative_links
from ssacl_lib.notebook.exercises import EXERCISES
from ssacl_lib.plots import handout as draw


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handout")
    written = handout.write_handouts(folder)
    assert sorted(written) == sorted(path for path in folder.rglob("*.*"))
    return folder


def cells(path) -> list[dict]:
    content = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"]), "tags": cell["metadata"].get("tags", [])} for cell in content]


def test_students_get_everything_but_the_solutions(out):
    for path in paths.NOTEBOOKS.glob("*.ipynb"):
        given, student = cells(path), cells(out / "student" / path.name)
        assert [c["id"] for c in student] == [c["id"] for c in given if "solution" not in c["tags"]]
        text = "\n".join(c["source"] for c in student)
        assert "<summary>Solution</summary>" not in text and "exercises.check_" in text and "exercises.hint(" in text
        solutions = [handout.SOLUTION.search(c["source"])[1] for c in given if "solution" in c["tags"]]
        assert solutions and not [solution for solution in solutions if solution in text]


def test_the_solved_edition_holds_every_solution(out):
    checked = []
    for path in paths.NOTEBOOKS.glob("*.ipynb"):
        solutions = [handout.SOLUTION.search(c["source"])[1] for c in cells(path) if "solution" in c["tags"]]
        edition = cells(out / "solutions" / path.name)
        assert [c["source"] for c in edition if "exercise" in c["tags"]] == [s + ".or_stop()" for s in solutions]
        assert not [c for c in edition if "solution" in c["tags"]]
        checked += [re.search(r"check_(\w+)\(", solution)[1] for solution in solutions]
    assert sorted(checked) == sorted(EXERCISES)


@pytest.mark.parametrize("edition", [handout.STUDENT, handout.SOLUTIONS])
def test_links_lead_where_they_led(out, edition):
    """Notebooks to the copies beside them, all else to the file of the repository (whether it is there: test_links.py)."""
    beside = {path.name for path in paths.NOTEBOOKS.glob("*.ipynb")}
    for path in (out / edition).glob("*.ipynb"):
        given = json.loads((paths.NOTEBOOKS / path.name).read_text(encoding="utf-8"))
        before, after = (
            [target for text in notebook_texts(content) for target in relative_links(text)]
            for content in (given, json.loads(path.read_text(encoding="utf-8")))
        )
        assert len(before) == len(after) > 2
        for old, new in zip(before, after, strict=True):
            assert (old == new and old in beside) or (path.parent / new).resolve() == (paths.NOTEBOOKS / old).resolve()


def test_a_solution_of_another_form_is_refused():
    code = {"cell_type": "code", "id": "a", "metadata": {"tags": ["exercise"]}, "source": ["check(...)"]}
    prose = {"cell_type": "markdown", "id": "b", "metadata": {"tags": ["solution"]}, "source": ["It is 3."]}
    folded = {**prose, "source": ["<details><summary>Solution</summary>\n\n```python\ncheck(3)\n```\n\n</details>"]}
    assert handout.solved([dict(code), folded], "n.ipynb")[0]["source"] == ["check(3).or_stop()"]
    for cells_ in ([dict(code), prose], [folded]):
        with pytest.raises(ValueError, match=r"n\.ipynb, cell b: expected folded Python code behind an exercise"):
            handout.solved(cells_, "n.ipynb")


def test_a_solved_notebook_stops_where_a_solution_does_not_hold():
    exercise = EXERCISES["cnr"]
    assert str(exercise.check(exercise.right).or_stop()) == "Right."
    with pytest.raises(AssertionError, match=r"Not yet.\nasked: map"):
        exercise.check(lambda heatmap, mask: 0.0).or_stop()


# ---- the page
def test_the_page_is_one_and_always_the_same():
    page = handout.page()
    assert page == handout.page() and page[:5] == b"%PDF-" and page.count(b"/Type /Page ") == 1


def test_all_text_stands_on_the_page_and_no_line_on_another():
    title, sections = handout.read_page(handout.SOURCE.read_text(encoding="utf-8"))
    figure = draw.handout(title, sections, {"paper": handout.show.who_sees_whom("paper")})
    boxes = [text.get_window_extent() for text in figure.texts]
    whole = figure.bbox
    assert all(whole.x0 <= b.x0 and b.x1 <= whole.x1 and whole.y0 <= b.y0 and b.y1 <= whole.y1 for b in boxes)
    shown = " ".join(text.get_text() for text in figure.texts)
    assert all(heading in shown for heading, _ in sections) and "not a medical device" in shown
    for one, box in enumerate(boxes):  # letters may touch the line above by a hair
        for other in boxes[one + 1 :]:
            assert min(box.x1, other.x1) <= max(box.x0, other.x0) or min(box.y1, other.y1) - max(box.y0, other.y0) < 3


def test_a_text_that_is_too_long_and_a_page_without_headings_are_refused():
    with pytest.raises(ValueError, match="“The idea” does not fit on the page; shorten the text"):
        draw.handout("Title", [("The idea", "many words " * 600)], {"paper": handout.show.who_sees_whom("paper")})
    for text in ("No title\n## One\ntext", "# Title\nno section"):
        with pytest.raises(ValueError, match="expected a title"):
            handout.read_page(text)


def test_no_formula_is_broken():
    formula = r"$(\mu_{in} - \mu_{out}) / (\sigma^2_{in} + \sigma^2_{out})^{1/2}$"
    lines = draw._lines("- " + "word " * 9 + formula + " and more " * 9)
    assert sum(formula in line for line in lines) == 1 and len(lines) > 2
    assert all(len(line) <= draw.LETTERS or "$" in line for line in lines)
