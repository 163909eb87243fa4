"""Copies for nbgrader: a locked test for each exercise, and points from nbgrader itself, where it is installed."""

import csv
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from offac_lite.__main__ import main
from offac_lite.course import checks, graders
from tests.refresh_notebooks import execute
from tests.test_checks_nbgrader import nbgrader_in
from tests.test_checks_nbgrader import pytestmark as where_it_is_installed

NOTEBOOK = "01_on_policy_actor_critic"
RIGHT = {
    "v_target": "def my_v_target(r, d, v, gamma):\n    return r + gamma * ~d * v.detach()",
    "bootstraps": "def my_bootstraps(terminated, truncated):\n    return ~terminated",
    "actor_loss": "def my_actor_loss(log_prob, advantage):\n    return -(log_prob * advantage.detach()).mean(-1)",
    "on_policy_loss": """def my_on_policy_loss(log_prob, value, next_value, reward, terminated, gamma):
    error = (reward + gamma * ~terminated * next_value).detach() - value
    return 0.5 * error.square().mean(-1) - (log_prob * error.detach()).mean(-1)""",
}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    root = tmp_path_factory.mktemp("nbgrader") / "course"
    main(["copies", str(root), "--nbgrader"])
    return root


@pytest.fixture(scope="module")
def assignments(course):
    return {path.stem: nbformat.read(path, as_version=4) for path in sorted((course / "source").glob("*/*.ipynb"))}


def graded_cells(notebook):
    return [cell for cell in notebook.cells if "nbgrader" in cell.metadata]


def test_each_notebook_is_an_assignment_and_each_exercise_has_one_locked_point(assignments):
    names = []
    for stem, notebook in assignments.items():
        nbformat.validate(notebook)
        for cell in graded_cells(notebook):
            name = cell.metadata.nbgrader.grade_id
            assert cell.source.splitlines()[-1].startswith(f'checks.require("{name}", my_'), stem
            marks = cell.metadata.nbgrader
            assert (marks.grade, marks.locked, marks.solution, marks.points) == (True, True, False, 1)
            assert cell.metadata.tags == ["raises-exception"], "so that Run All goes on"
            names.append(name)
    assert len(names) == len(set(names)) and set(names) == set(checks.EXERCISES)


def test_the_other_cells_are_those_of_the_plain_copies(assignments, tmp_path):
    main(["copies", str(tmp_path)])
    copies = {path.stem: nbformat.read(path, as_version=4) for path in tmp_path.rglob("*.ipynb")}
    for stem, notebook in assignments.items():
        plain = copies[stem]
        left = [cell for cell in notebook.cells if "nbgrader" not in cell.metadata]
        assert [(c.id, c.source) for c in left] == [(c.id, c.source) for c in plain.cells]


def test_nothing_is_overwritten(course, capsys):
    before = {path: path.read_bytes() for path in course.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit):
        main(["copies", str(course), "--nbgrader"])
    assert "nbgrader_config.py exists already" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in course.rglob("*") if path.is_file()}


def test_only_calls_of_a_check_with_a_function_count():
    source = "a = dict(q=checks.q_target(f))\nchecks.EXERCISES\nother.checks.v_target(f)\nchecks.grade('v_target', f)"
    assert graders.checked(source) == [("q_target", "f")]


def answered(notebook, answers):
    """Return the cells that are graded, and what they need, with a student's answers in the stubs' place."""
    cells = [new_code_cell("import torch\n\nfrom offac_lite.course import checks", id="imports")]
    for cell in notebook.cells:
        names = [name for name, _ in graders.checked(cell.source)] if cell.cell_type == "code" else []
        if names or "nbgrader" in cell.metadata:
            cell = nbformat.from_dict(cell)
            for name in set(names) & set(answers):
                call = re.search(rf"^\w+ = checks\.{name}\(.*$", cell.source, re.MULTILINE)[0]
                cell.source = f"{answers[name]}\n\n\n{call}"
            cells.append(cell)
    return new_notebook(metadata=notebook.metadata, cells=cells)


@pytest.mark.slow
def test_where_nothing_is_answered_the_tests_raise_and_the_cells_below_run(assignments, tmp_path):
    notebook = answered(assignments[NOTEBOOK], {})
    notebook.cells.append(new_code_cell("print('reached')", id="last"))
    execute(notebook, tmp_path)
    raised = [cell.outputs[-1].ename for cell in graded_cells(notebook)]
    printed = "".join(output.text for output in notebook.cells[-1].outputs)  # a kernel may send it in parts
    assert raised == ["AssertionError"] * 4 and printed == "reached\n"


@where_it_is_installed[0]
@where_it_is_installed[1]
def test_nbgrader_gives_and_exports_the_points(course, assignments):
    """From `generate_assignment` to the exported gradebook. What is handed in is what nbgrader released, answered."""
    run = nbgrader_in(course)
    nbformat.write(answered(assignments[NOTEBOOK], {}), course / "source" / NOTEBOOK / f"{NOTEBOOK}.ipynb")
    run("generate_assignment", NOTEBOOK)
    released = nbformat.read(course / "release" / NOTEBOOK / f"{NOTEBOOK}.ipynb", as_version=4)
    assert "def my_v_target(reward, terminated, next_value, gamma): ..." in "".join(c.source for c in released.cells)
    wrong = RIGHT | {"actor_loss": RIGHT["actor_loss"].replace("-(", "(")}
    answers = {"ann": RIGHT, "ben": {}, "cem": wrong, "dora": {"v_target": RIGHT["v_target"]}}
    for student, functions in answers.items():
        folder = course / "submitted" / student / NOTEBOOK
        folder.mkdir(parents=True)
        handed_in = answered(released, functions)
        if student == "ben":  # nbgrader puts its own test in the place of one that was changed
            graded_cells(handed_in)[0].source = "1"
        nbformat.write(handed_in, folder / f"{NOTEBOOK}.ipynb")
    run("autograde", NOTEBOOK)
    run("export", "--to", "grades.csv")
    with (course / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    points = {student: (float(row["score"]), float(row["max_score"])) for student, row in rows.items()}
    assert points == {"ann": (4, 4), "ben": (0, 4), "cem": (3, 4), "dora": (1, 4)}
