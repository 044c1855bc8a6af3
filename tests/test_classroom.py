"""What a lecturer relies on: plans add up, named cells and tasks exist, each question has its answer, no number can age."""

import json
import re

import pandas as pd
import pytest

from ssacl_lib import paths
from ssacl_lib.notebook.exercises import EXERCISES
from ssacl_lib.phantom import findings, frozen

TEACHING = paths.ROOT / "teaching"


def read(name: str) -> str:
    return (paths.ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """From a heading that begins so to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}.*?\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def rows(table: str) -> list[list[str]]:
    """Cells of the rows below the head of a table."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def cells_of(notebook: str) -> dict[str, dict]:
    content = json.loads((paths.NOTEBOOKS / notebook).read_text(encoding="utf-8"))
    return {cell["id"]: cell for cell in content["cells"]}


@pytest.mark.parametrize(("heading", "minutes"), [("90 minutes", 90), ("Half a day: 240 minutes", 240)])
def test_minutes_of_a_plan_add_up(heading, minutes):
    plan = rows(section(read("teaching/README.md"), heading))
    assert len(plan) >= 8
    assert round(sum(float(read_) + float(run) for *_, read_, run in plan)) == minutes


@pytest.mark.parametrize("heading", ["90 minutes", "Half a day: 240 minutes"])
def test_minutes_of_running_are_those_by_the_clock(heading):
    """A notebook is run as a whole where the plan opens it; the clock is that of benchmarks/classroom.py."""
    measured = pd.read_csv(paths.DATA / "results" / "classroom.csv").set_index("what")["value"] / 60
    minutes, opened = {name[:2]: value for name, value in measured.items()}, set()
    for _, where, _, run in rows(section(read("teaching/README.md"), heading)):
        new = set(re.findall(r"(?<![\w/])(0[0-7])(?!\w)", where)) - opened
        due, opened = sum(minutes[name] for name in new), opened | new
        assert due / 1.5 <= float(run) <= 1.5 * due, f"{where}: {run} stated, {due:.1f} by the clock"


def test_every_task_checks_a_goal_and_every_goal_names_tasks():
    goals = rows(section(read("teaching/README.md"), "What they will be able to do"))
    named = [re.findall(r"`(\w+)`", checked) for *_, checked in goals]
    assert all(named) and sorted(name for names in named for name in names) == sorted(EXERCISES)
    linked = set(re.findall(r"\(\.\./notebooks/(\w+\.ipynb)\)", " ".join(goal[0] for goal in goals)))
    assert linked == {path.name for path in paths.NOTEBOOKS.glob("*.ipynb")}


def test_tasks_of_the_plans_exist():
    text = read("teaching/README.md")
    for heading in ("90 minutes", "Half a day"):
        tasks = re.findall(r"`(\w+)`", section(text, heading))
        assert len(tasks) >= 4 and set(tasks) <= set(EXERCISES)


def test_misconceptions_are_cured_by_cells_that_exist():
    table = rows(section(read("teaching/README.md"), "Misconceptions"))
    assert len(table) >= 6
    for said, _, where in table:
        assert said.startswith("“") and said.endswith("”")
        notebook, cell = re.fullmatch(r"\[\d\d\]\(\.\./notebooks/(\w+\.ipynb)\), cell `([\w-]+)`", where).groups()
        assert cells_of(notebook)[cell]["cell_type"] == "code", where


def test_every_question_has_its_answer_in_another_file():
    questions, answers = (
        re.findall(r"^(\d+)\. (.+)", read(f"teaching/{name}.md"), re.MULTILINE) for name in ("questions", "answers")
    )
    numbers = [str(number) for number in range(1, len(questions) + 1)]
    assert [number for number, _ in questions] == [number for number, _ in answers] == numbers and len(numbers) >= 20
    for path in [*paths.NOTEBOOKS.glob("*.ipynb"), TEACHING / "handout.md"]:
        assert "teaching/answers" not in path.read_text(encoding="utf-8")


def test_the_glossary_is_in_order_and_linked_from_every_notebook():
    words = re.findall(r"^- \*\*(.+?)\*\*: \w", read("teaching/glossary.md"), re.MULTILINE)
    assert len(words) >= 40 and words == sorted(set(words), key=str.lower)
    for path in paths.NOTEBOOKS.glob("*.ipynb"):
        opening = "".join(next(iter(cells_of(path.name).values()))["source"])
        assert "(../teaching/glossary.md)" in opening, path.name


def test_every_project_says_what_success_is_and_the_sheet_asks_for_a_control():
    text = read("teaching/projects.md")
    briefs = re.findall(r"^## \d+\. .+?(?=^## )", text, re.DOTALL | re.MULTILINE)
    assert len(briefs) >= 5 and all("\n*Success*: " in brief for brief in briefs)
    asked = " ".join(row[0] for row in rows(section(text, "The sheet of results")))
    assert all(word in asked for word in ("expected", "control", "interval", "command", "does not show"))


def test_cards_repeat_no_measured_number():
    """They link to tables; a rebuild can't make them wrong."""
    for name in (
        "MODEL_CARD.md",
        "data/PHANTOM.md",
        "teaching/README.md",
        "teaching/projects.md",
        "teaching/glossary.md",
    ):
        assert not re.findall(r"\b0?\.\d{2,}\b|\[\d\.\d", re.sub(r"\(.*?\)", "", read(name))), name
    assert "not a medical device" in read("MODEL_CARD.md")
    assert read("MODEL_CARD.md").count("figures/cpu/tables/") >= 8


def test_the_data_sheet_says_what_the_simulator_does():
    text = " ".join(read("data/PHANTOM.md").split())
    assert f"Version {frozen.VERSION}, frozen" in text
    shares = [round(100 * share) for share in findings.COUNTS]
    words = f"of the others {shares[0]}, {shares[1]}, {shares[2]} and {shares[3]} % have one, two, three and four"
    assert f"{round(100 * findings.NORMAL)} % have no finding; {words}" in text


def test_the_map_of_the_readme_leads_to_what_there_is():
    table = rows(section(read("README.md"), "I want to …"))
    assert len(table) >= 6 and all(re.search(r"\]\(|`", where) for _, where in table)
