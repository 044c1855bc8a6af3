"""Every formula stands in its function's docstring and above its code, and the table's links lead to the line."""

import inspect
import re

import pytest

from ssacl_lib import losses, paths
from ssacl_lib.notebook.equations import EQUATIONS, equation_rows, equation_table, place_of


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda equation: equation.what)
def test_a_formula_stands_in_the_docstring_and_above_its_code(equation):
    function = inspect.unwrap(equation.function)
    assert flat(equation.said) in flat(inspect.getdoc(function))
    lines = [line.strip() for line in inspect.getsource(function).splitlines()]
    (number, *_) = [i for i, line in enumerate(lines) if line.startswith(f"# {equation.said}")]
    assert lines[number + 1] and not lines[number + 1].startswith(('"', "#")), "a comment above code"


@pytest.mark.parametrize("folder", [paths.ROOT, paths.NOTEBOOKS, paths.FIGURES / "cpu" / "notebooks"])
def test_links_lead_to_the_first_line_of_the_function(folder):
    for equation, row in zip(EQUATIONS, equation_rows(folder), strict=True):
        target, line = re.search(r"\]\((.*)#L(\d+)\)", row[3]).groups()
        lines = (folder / target).resolve().read_text(encoding="utf-8").splitlines()
        name = inspect.unwrap(equation.function).__name__
        assert any(re.match(rf"\s*(def|class) {name}\b", found) for found in lines[int(line) - 1 : int(line) + 1])
        assert all("|" not in cell for cell in row), "a bar ends a cell of a Markdown table"


def test_every_loss_has_its_equation_and_unwrapping_finds_it():
    terms = {
        n for n, f in vars(losses).items() if n.endswith("_loss") and inspect.unwrap(f).__module__ == losses.__name__
    }
    named = {equation.function.__name__ for equation in EQUATIONS}
    ours = {name for name in terms if inspect.getdoc(getattr(losses, name)).startswith("Ours, not the paper's: ")}
    assert "report_label_loss" in ours and terms - named == ours, "only a term of our own goes without an equation"
    assert place_of(losses.report_generation_loss)[0].name == "losses.py"
    assert equation_table(paths.ROOT).count("\n") == len(EQUATIONS) + 1
