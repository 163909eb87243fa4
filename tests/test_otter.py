"""Copies for otter: a test of one point for each exercise, and points from otter itself, where it is installed."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from offac_lite.__main__ import main
from offac_lite.course import checks
from tests.test_nbgrader import NOTEBOOK, RIGHT, answered

OTTER = os.environ.get("OTTER") or shutil.which("otter")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    root = tmp_path_factory.mktemp("otter") / "course"
    main(["copies", str(root), "--otter"])
    return root


def test_each_exercise_has_a_test_of_one_point_beside_its_notebook(course):
    tests = list(course.glob("*/tests/*.py"))
    assert len(tests) == len(checks.EXERCISES) and {path.stem for path in tests} == set(checks.EXERCISES)
    for path in tests:
        text = path.read_text(encoding="utf-8")
        compile(text, path, "exec")
        assert f'name = "{path.stem}"\npoints = 1\n' in text and f'checks.require("{path.stem}", my_' in text
        notebook = nbformat.read(path.parents[1] / f"{path.parents[1].name}.ipynb", as_version=4)
        assert any(f"checks.{path.stem}(my_" in cell.source for cell in notebook.cells)


def test_the_notebooks_are_the_plain_copies(course, tmp_path):
    main(["copies", str(tmp_path)])
    plain = {path.stem: path.read_bytes() for path in tmp_path.rglob("*.ipynb")}
    assert plain == {path.stem: path.read_bytes() for path in course.rglob("*.ipynb")}


def test_two_graders_at_once_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["copies", str(tmp_path / "new"), "--otter", "--nbgrader"])
    assert "not allowed with argument --otter" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not OTTER, reason="otter is not installed")
def test_otter_gives_points_for_right_answers_only(course):
    folder = course / NOTEBOOK
    here = {"cwd": folder, "env": os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}}  # it may be installed apart
    subprocess.run([OTTER, "generate", "-t", "tests", "-o", "autograder.zip"], check=True, capture_output=True, **here)
    copy = nbformat.read(folder / f"{NOTEBOOK}.ipynb", as_version=4)
    wrong = RIGHT | {"actor_loss": RIGHT["actor_loss"].replace("-(", "(")}
    points, words = {}, {}
    for student, functions in {"ann": RIGHT, "ben": {}, "cem": wrong}.items():
        nbformat.write(answered(copy, functions), folder / f"{student}.ipynb")
        command = [OTTER, "run", f"{student}.ipynb", "-a", "autograder.zip", "-o", "."]
        subprocess.run(command, check=True, capture_output=True, **here)
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))["tests"]
        points[student] = sum(result.get("score") or 0 for result in results)
        words[student] = {result["name"]: result["output"] for result in results}
    assert points == {"ann": 4, "ben": 0, "cem": 3}
    assert "not attempted yet" in words["ben"]["v_target"] and "the sign is flipped" in words["cem"]["actor_loss"]
