"""`checks.grade` and `checks.require` in nbgrader itself: a stub and a wrong answer get 0, a right one all points.

Skipped where there is no nbgrader. `NBGRADER` may say where it is: it needs no place in the course's own environment.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

NBGRADER = os.environ.get("NBGRADER") or shutil.which("nbgrader")
pytestmark = [pytest.mark.skipif(not NBGRADER, reason="nbgrader is not installed"), pytest.mark.slow]

STUB = "def my_v_target(reward, terminated, next_value, gamma): ..."
BODY = "def my_v_target(reward, terminated, next_value, gamma):\n    return reward + gamma * next_value.detach()"
ANSWERS = {"stub": STUB, "wrong": BODY, "right": f"{BODY} * ~terminated"}
POINTS = 2  # one with each of the two


def cell(name, source, **marks):
    common = {"grade": False, "solution": False, "locked": False, "schema_version": 3, "grade_id": name}
    made = new_code_cell(source, metadata={"nbgrader": common | {"cell_type": "code"} | marks})
    made["id"] = name
    return made


def assignment(answer):
    return new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        cells=[
            cell("imports", "from offac_lite.course import checks", locked=True),
            cell("answer", answer, solution=True),
            cell("graded", 'checks.grade("v_target", my_v_target)', grade=True, locked=True, points=1),
            cell("required", 'checks.require("v_target", my_v_target)', grade=True, locked=True, points=1),
        ],
    )


def nbgrader_in(root):
    """Make a kernel with the package for nbgrader, and return a function that runs one of its commands in `root`."""
    kernel = root / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    spec = {  # the kernel needs the package; nbgrader itself must not see its libraries
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "env": {"PYTHONPATH": os.pathsep.join(sys.path)},
        "display_name": "Python 3",
        "language": "python",
    }
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {
        "JUPYTER_PATH": str(root / "jupyter"),
        "JUPYTER_PREFER_ENV_PATH": "0",
        "PATH": os.pathsep.join([os.path.dirname(NBGRADER), os.environ["PATH"]]),
    }

    def run(*command):
        done = subprocess.run([NBGRADER, *command], cwd=root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    return run


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Set up a course with three students, grade it, and write the feedback."""
    root = tmp_path_factory.mktemp("course")
    run = nbgrader_in(root)
    (root / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.course_id = 'offac'\nc.ExecutePreprocessor.timeout = 120\n",
        encoding="utf-8",
    )
    places = {"source": STUB} | {f"submitted/{student}": answer for student, answer in ANSWERS.items()}
    for place, answer in places.items():
        folder = root / place / "one"
        folder.mkdir(parents=True)
        nbformat.write(assignment(answer), folder / "target.ipynb")
    for task in ("generate_assignment", "autograde", "generate_feedback"):
        run(task, "one")
    return root


@pytest.mark.parametrize("student, score", [("stub", 0), ("wrong", 0), ("right", POINTS)])
def test_nbgrader_gives_points_for_a_right_answer_only(course, student, score):
    query = """SELECT SUM(grade.auto_score) FROM grade JOIN submitted_notebook s ON grade.notebook_id = s.id
               JOIN submitted_assignment a ON s.assignment_id = a.id WHERE a.student_id = ?"""
    with sqlite3.connect(course / "gradebook.db") as book:
        assert book.execute(query, (student,)).fetchone()[0] == score


@pytest.mark.parametrize(
    "student, words", [("stub", "not attempted yet"), ("wrong", "you bootstrap past a terminal state"), ("right", "✓")]
)
def test_the_feedback_holds_the_words_of_the_check(course, student, words):
    (page,) = (course / "feedback" / student / "one").glob("*.html")
    assert words in page.read_text(encoding="utf-8")
