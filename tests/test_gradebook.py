"""One row per student, with points."""

import csv

import nbformat
import pytest
import yaml
from nbformat.v4 import new_notebook, new_output

from offac_lite.__main__ import main
from offac_lite.course import classroom
from offac_lite.course.gradebook import student_of
from tests.refresh_notebooks import ROOT
from tests.test_classroom import save, submission

TARGET, LOSS = "checks.v_target(my_v_target)", "checks.actor_loss(my_actor_loss)"
ONE, FOUR = "01_on_policy_actor_critic", "04_q_critic"


def answered(**marks):
    """Return a notebook with the saved verdicts of two checks."""
    notebook = submission(TARGET, LOSS)
    for cell, (name, mark) in zip(notebook.cells, marks.items(), strict=True):
        cell.outputs = [new_output("stream", text=f"{mark} {name}: words\n")]
    return notebook


def gradebook(folder):
    file = folder / "book" / "points.csv"
    file.parent.mkdir()
    main(["grade", str(folder), "--gradebook", str(file), "--csv", str(folder / "book" / "long.csv")])
    with file.open(encoding="utf-8", newline="") as text:
        return {row.pop("student"): row for row in csv.DictReader(text)}


@pytest.mark.parametrize(
    ("file", "student"),
    [
        (f"Weiß_{ONE}.ipynb", "Weiß"),
        (f"İnci {FOUR}.ipynb", "İnci"),
        ("ann/my_course/further/stability.ipynb", "ann/my_course"),
        (f"{ONE.upper()}_ben.ipynb", "ben"),
    ],
)
def test_whose_file_it_is(file, student):
    assert student_of(file) == student


def test_each_student_has_one_row_with_a_point_for_each_right_answer(tmp_path, capsys):
    save(answered(v_target="✓", actor_loss="✗"), tmp_path / "ann" / f"{ONE}.ipynb")
    save(answered(v_target="…", actor_loss="✓"), tmp_path / "ann" / f"{ONE} (2).ipynb")
    save(answered(v_target="✗", actor_loss="✓"), tmp_path / f"Ben_{ONE}_late.ipynb")
    save(new_notebook(), tmp_path / "dora" / f"{FOUR}.ipynb")
    (tmp_path / "cem").mkdir()
    (tmp_path / "cem" / f"{ONE}.ipynb").write_text("no notebook")
    book = gradebook(tmp_path)
    assert list(book) == ["Ben", "ann", "cem", "dora"]
    points = {student: (row["v_target"], row["actor_loss"], row["points"], row["of"]) for student, row in book.items()}
    assert points == {"ann": ("1", "1", "2", "2"), "Ben": ("0", "1", "1", "2")} | dict.fromkeys(
        ("cem", "dora"), ("0", "0", "0", "2")
    )
    assert book["cem"]["notes"].startswith(f"cem/{ONE}.ipynb cannot be read") and book["ann"]["notes"] == ""
    assert "Gradebook saved: " in capsys.readouterr().out
    long = (tmp_path / "book" / "long.csv").read_text(encoding="utf-8").splitlines()
    assert long[0] == "file,exercise,verdict,words" and len(long) == 1 + 6 + 1


@pytest.mark.parametrize(
    ("file", "student"),
    [
        (f"ann/{FOUR}/{FOUR}.ipynb", "ann"),  # as nbgrader keeps what is submitted
        (f"Ann Smith_123_assignsubmission_file/{FOUR}.ipynb", "Ann Smith_123_assignsubmission_file"),
        (f"smithann_12_345_{FOUR}-1.ipynb", "smithann_12_345"),
        (f"group 1/ann/{FOUR}.ipynb", "group 1/ann"),
        (f"{FOUR}/ann.ipynb", "ann"),
        (f"{FOUR.upper()}_Dora.IPYNB", "Dora"),
        ("other.ipynb", "other"),
    ],
)
def test_the_student_is_known_by_the_folder_or_by_the_name_of_the_file(file, student):
    assert student_of(file) == student


def test_students_of_one_name_in_two_groups_are_two():
    assert student_of(f"1/ann/{ONE}.ipynb") != student_of(f"2/ann/{ONE}.ipynb")


def test_a_gradebook_that_cannot_be_saved_is_refused_before_anything_is_read(tmp_path, capsys):
    save(new_notebook(), tmp_path / "a.ipynb")
    with pytest.raises(SystemExit):
        main(["grade", str(tmp_path), "--gradebook", str(tmp_path)])
    captured = capsys.readouterr()
    assert f"--gradebook: {tmp_path} is a folder, wanted a file" in captured.err and captured.out == ""


def test_the_workflow_for_github_classroom_asks_for_every_exercise_of_the_notebook_that_it_names():
    workflow = yaml.safe_load((ROOT / ".github" / "classroom" / "autograding.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["grade"]["steps"]
    graders = {step["id"]: step["with"] for step in steps if "command-grader" in step.get("uses", "")}
    notebook = nbformat.read(ROOT / "notebooks" / f"{ONE}.ipynb", as_version=4)
    assert list(graders) == list(classroom.verdicts(notebook))
    for name, step in graders.items():
        assert step["test-name"] == name and step["command"] == f'grep -q ",{name},right," verdicts.csv'
    reporter = steps[-1]
    assert reporter["with"]["runners"] == ",".join(graders)
    assert reporter["env"] == {f"{n.upper()}_RESULTS": f"${{{{ steps.{n}.outputs.result }}}}" for n in graders}
    (grade,) = [step["run"] for step in steps if "offac_lite" in step.get("run", "")]
    assert grade == "python -m offac_lite grade . --run --csv verdicts.csv"


def test_what_that_workflow_looks_for_stands_in_the_table(tmp_path):
    save(answered(v_target="✓", actor_loss="✗"), tmp_path / f"{ONE}.ipynb")
    main(["grade", str(tmp_path), "--csv", str(tmp_path / "verdicts.csv")])
    text = (tmp_path / "verdicts.csv").read_text(encoding="utf-8")
    assert ",v_target,right," in text and ",actor_loss,right," not in text
