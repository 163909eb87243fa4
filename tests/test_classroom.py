"""The checks' verdicts are collected from what students hand in."""

import csv
import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from offac_lite.__main__ import main
from offac_lite.course import classroom
from tests.refresh_notebooks import ROOT


@pytest.fixture
def with_this_checkout(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


SETUP = "import torch\nfrom offac_lite.course import checks"
RIGHT = "def my_loss(a, b):\n    return -(a * b.detach()).mean(-1)\n\n\nchecks.actor_loss(my_loss)"
WRONG = RIGHT.replace("-(", "(")
STUB = "def my_target(reward, terminated, next_value, gamma): ...\n\n\nchecks.v_target(my_target)"

BUG = '''import torch


def my_next_action(policy, old_policy, obs, next_obs, stored_next_action, generator):
    """Draw the next action."""
    return policy(obs).sample(generator=generator)  # is this right?


checks.next_action(my_next_action)'''


def submission(*sources):
    return new_notebook(cells=[new_code_cell(source) for source in sources])


def save(notebook, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def test_it_reads_saved_verdicts_and_runs_nothing(tmp_path, capsys):
    trap = submission(f"open({str(tmp_path / 'trap')!r}, 'w')", RIGHT, "print('mine')")
    trap.cells[1].outputs = [new_output("stream", text="hello\n✗ actor_loss: the sign is flipped: mind it\n  More.\n")]
    trap.cells[2].outputs = [new_output("stream", text="✓ actor_loss: not printed by a check\n")]
    save(trap, tmp_path / "ann" / "01_on_policy_actor_critic.ipynb")
    save(submission(RIGHT), tmp_path / "Ben_01_on_policy_actor_critic_late.ipynb")
    save(new_notebook(), tmp_path / "ann" / ".ipynb_checkpoints" / "01_on_policy_actor_critic-checkpoint.ipynb")
    (tmp_path / "broken.ipynb").write_text("no notebook")
    main(["grade", str(tmp_path), "--csv", str(tmp_path / "marks.csv")])
    out, err = capsys.readouterr()
    *shown, unread = out.splitlines()[:4] + out.splitlines()[5:8] + out.splitlines()[4:5]
    assert unread.startswith("    broken.ipynb  (cannot be read as a notebook: ")
    assert shown == [
        "01_on_policy_actor_critic: actor_loss",
        "  –  Ben_01_on_policy_actor_critic_late.ipynb",
        "  ✗  ann/01_on_policy_actor_critic.ipynb",
        "broken.ipynb: no exercises",
        "",
        "What was wrong, and how often:",
        "   1  actor_loss: the sign is flipped: mind it",
    ]
    assert err.startswith("broken.ipynb cannot be read as a notebook: ") and err.count("\n") == 1
    *rows, unread = (tmp_path / "marks.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert rows == [
        "Ben_01_on_policy_actor_critic_late.ipynb,actor_loss,no verdict,",
        "ann/01_on_policy_actor_critic.ipynb,actor_loss,wrong,the sign is flipped: mind it",
    ]
    assert unread.startswith("broken.ipynb,,,cannot be read as a notebook: ")
    assert not (tmp_path / "trap").exists()


@pytest.mark.slow
def test_its_marks_are_told_apart_where_a_terminal_knows_ascii_only(tmp_path):
    notebook = submission(RIGHT)
    notebook.cells[0].outputs = [new_output("stream", text="✓ actor_loss: right\n")]
    save(notebook, tmp_path / "a.ipynb")
    command = [sys.executable, "-m", "offac_lite", "grade", str(tmp_path)]
    env = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    assert "✓" in subprocess.run(command, capture_output=True, env=env, check=True).stdout.decode("utf-8")


@pytest.mark.slow
def test_it_runs_what_was_handed_in_and_believes_no_saved_output(tmp_path, with_this_checkout):
    notebook = submission(SETUP, "1 / 0", WRONG, RIGHT, STUB, "checks.bootstraps(max)", BUG, "after_the_last_check()")
    for cell in notebook.cells:
        cell.outputs = [new_output("stream", text="✓ v_target: a forged tick\n✓ bootstraps: another\n")]
    assert classroom.run(notebook, tmp_path) == "" and len(notebook.cells) == 7
    assert notebook.cells[1].outputs[-1].ename == "ZeroDivisionError", "and the next cells are run all the same"
    found = classroom.verdicts(notebook)
    marks = {"actor_loss": "✓", "v_target": "…", "bootstraps": "✗", "next_action": "…"}
    assert {name: mark for name, (mark, _) in found.items()} == marks
    assert found["next_action"][1] == "not attempted yet: the bug is still there"


@pytest.mark.slow
def test_no_kernel_outlives_its_notebook_or_says_anything(tmp_path, monkeypatch, capfd):
    managers = []

    class Remembered(classroom.AsyncKernelManager):
        def __init__(self, **options):
            super().__init__(**options)
            managers.append(self)

    monkeypatch.setattr(classroom, "AsyncKernelManager", Remembered)
    assert classroom.run(submission("1 / 0", RIGHT), tmp_path) == ""
    assert [manager.has_kernel for manager in managers] == [False]
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_an_endless_loop_is_interrupted_and_the_next_cells_are_run(tmp_path):
    notebook = submission("import time\nwhile True: time.sleep(0.1)", RIGHT)
    # a busy machine needs some seconds for the second cell, too
    assert (
        classroom.run(notebook, tmp_path, timeout=10)
        == "was run, but cell 1 was interrupted after 10 s (see --timeout)"
    )
    assert [cell.outputs[-1].ename for cell in notebook.cells] == ["KeyboardInterrupt", "NameError"]
    assert classroom.verdicts(notebook) == {"actor_loss": ("–", "")}


@pytest.mark.slow
def test_a_dead_kernel_costs_its_own_file_only_and_no_file_changes(tmp_path, with_this_checkout, capsys):
    save(submission("import os\nos._exit(1)", RIGHT), tmp_path / "fatal.ipynb")
    save(submission(SETUP, RIGHT), tmp_path / "good.ipynb")
    before = (tmp_path / "good.ipynb").read_bytes()
    main(["grade", str(tmp_path), "--run"])
    out, err = capsys.readouterr()
    assert "  –  fatal.ipynb" in out and "  ✓  good.ipynb" in out
    assert re.search(r"\rfatal.ipynb was not run to its end: DeadKernelError: .*\n", err), "on a line of its own"
    assert (tmp_path / "good.ipynb").read_bytes() == before


def test_an_empty_folder_and_a_table_that_cannot_be_saved_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["grade", str(tmp_path)])
    assert f"no notebook in {tmp_path}" in capsys.readouterr().err
    save(new_notebook(), tmp_path / "a.ipynb")
    with pytest.raises(SystemExit):
        main(["grade", str(tmp_path), "--csv", str(tmp_path / "no" / "marks.csv")])
    assert f"--csv: there is no folder {tmp_path / 'no'}" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ whatever is handed in

TICK = new_output("stream", text="✓ v_target: right\n")


def ticked(source="checks.v_target(my_v_target)", *before):
    notebook = submission(*before, source)
    notebook.cells[-1].outputs = [TICK]
    return notebook


def spoiled(**change):
    return json.dumps(json.loads(nbformat.writes(ticked())) | change).encode()


GOOD = nbformat.writes(ticked()).encode()
BAD = {
    "empty": b"",
    "text": b"no notebook",
    "a list": b"[]",
    "a number": b"3",
    "null": b"null",
    "half of it": GOOD[: len(GOOD) // 2],
    "no cells": spoiled(cells=None),
    "a null cell": spoiled(cells=[None]),
    "a cell without a source": spoiled(cells=[{"cell_type": "code", "metadata": {}, "outputs": []}]),
    "a cell without a type": spoiled(cells=[{"source": "checks.v_target(f)"}]),
    "outputs that are none": spoiled(
        cells=[{"cell_type": "code", "metadata": {}, "source": "checks.v_target(f)", "outputs": [3]}]
    ),
    "a text of numbers": spoiled(
        cells=[
            {
                "cell_type": "code",
                "metadata": {},
                "source": "checks.v_target(f)",
                "outputs": [{"output_type": "stream", "name": "stdout", "text": 3}],
            }
        ]
    ),
    "another format": spoiled(nbformat=99),
    "UTF-16": GOOD.decode().encode("utf-16"),
    "not UTF-8": b"\xff\xfe" + GOOD,
}


@pytest.mark.parametrize("contents", BAD.values(), ids=BAD)
def test_a_malformed_file_costs_its_own_row_only(contents, tmp_path, capsys):
    for student in ("ann", "ben", "cem"):
        save(ticked(), tmp_path / student / "01_on_policy_actor_critic.ipynb")
    bad = tmp_path / "ben" / "mine_01_on_policy_actor_critic.ipynb"
    bad.write_bytes(contents)
    main(["grade", str(tmp_path), "--csv", str(tmp_path / "marks.csv")])
    out, err = capsys.readouterr()
    rows = out.splitlines()
    assert [row for row in rows if row.startswith("  ✓")] == [
        f"  ✓  {student}/01_on_policy_actor_critic.ipynb" for student in ("ann", "ben", "cem")
    ]
    (row,) = (row for row in rows if "ben/mine" in row)
    assert row.startswith("  –  ben/mine_01_on_policy_actor_critic.ipynb  (cannot be ") and err.count("ben/mine") == 1
    (row,) = (row for row in csv.reader((tmp_path / "marks.csv").read_text("utf-8").splitlines()) if "mine" in row[0])
    assert row[1:3] == ["", ""] and row[3].startswith("cannot be ")


def test_a_file_that_cannot_be_run_costs_its_own_row_only(tmp_path, monkeypatch, capsys):
    def run(notebook, folder, timeout):
        if folder.name == "ben":
            raise RuntimeError("no kernel today")
        return ""

    monkeypatch.setattr(classroom, "run", run)
    for student in ("ann", "ben"):
        save(ticked(), tmp_path / student / "01_on_policy_actor_critic.ipynb")
    main(["grade", str(tmp_path), "--run"])
    out = capsys.readouterr().out
    assert "  ✓  ann/" in out and "  –  ben/" in out
    assert "(was not run to its end: RuntimeError: no kernel today)" in out


def test_what_jupyter_and_macos_put_beside_is_left_out_and_other_spellings_are_read(tmp_path, capsys):
    name = "01_on_policy_actor_critic"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / f"{name}.ipynb").write_bytes(b"\xef\xbb\xbf" + GOOD)  # a byte-order mark
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / f"{name.upper()}.IPYNB").write_bytes(GOOD)
    for beside in (f"__MACOSX/a/._{name}.ipynb", f"a/._{name}.ipynb", f"a/.ipynb_checkpoints/{name}-checkpoint.ipynb"):
        (tmp_path / beside).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / beside).write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "a folder.ipynb").mkdir()
    main(["grade", str(tmp_path)])
    out, err = capsys.readouterr()
    assert out.splitlines()[:4] == [
        f"{name}: v_target",
        f"  ✓  a/{name}.ipynb",
        f"  ✓  b/{name.upper()}.IPYNB",
        "",
    ]
    assert err == ""


def test_a_file_counts_for_the_notebook_that_its_name_says_or_else_its_folder(tmp_path, capsys):
    for file in ("04_q_critic/ann.ipynb", "04_q_critic/ben/01_on_policy_actor_critic.ipynb", "cem/other.ipynb"):
        save(ticked(), tmp_path / file)
    main(["grade", str(tmp_path)])
    assert capsys.readouterr().out.splitlines()[:6] == [
        "01_on_policy_actor_critic: v_target",
        "  ✓  04_q_critic/ben/01_on_policy_actor_critic.ipynb",
        "04_q_critic: v_target",
        "  ✓  04_q_critic/ann.ipynb",
        "cem/other.ipynb: v_target",
        "  ✓  cem/other.ipynb",
    ]


CALLED = {
    "checks.v_target(f)": (),
    "checks.v_target (\n    f\n)": (),
    "v_target(f)": ("from offac_lite.course.checks import v_target",),
    "mine(f)": ("from offac_lite.course.checks import actor_loss, v_target as mine",),
    "v_target(g)": ("from offac_lite.course.checks import (\n    actor_loss,  # one\n    v_target,\n)",),
    "v_target(h)": ("from offac_lite.course.checks import actor_loss, \\\n    v_target",),
    "v_target(i)": ("from offac_lite.course.checks import *",),
    "c.v_target(f)": ("from offac_lite.course import checks as c",),
    "d.v_target(f)": ("import offac_lite.course.checks as d",),
    "offac_lite.course.checks.v_target(f)": ("import offac_lite.course.checks",),
    "checks.grade('v_target', f)": (),
    'require("v_target", f)': ("from offac_lite.course.checks import require",),
    "for check in [checks.v_target]: check(f)": (),
}


@pytest.mark.parametrize("call", CALLED)
def test_a_check_is_found_by_whatever_name_it_is_called(call):
    assert classroom.verdicts(ticked(call, *CALLED[call])) == {"v_target": ("✓", "right")}


@pytest.mark.parametrize(
    "call", ["v_target(f)", "my_v_target(f)", "x.v_target(f)", "print('v_target')", "%run v_target"]
)
def test_what_calls_no_check_has_no_verdict(call):
    assert classroom.verdicts(ticked(call, "from offac_lite.course.checks import actor_loss")) == {}


def test_a_line_that_the_kernel_sent_in_parts_is_one_line():
    parts = [("stdout", "✗ v_tar"), ("stderr", "a warning"), ("stdout", "get: the reward is missing\n")]
    outputs = [new_output("stream", name=name, text=text) for name, text in parts]
    notebook = new_notebook(cells=[new_code_cell("checks.v_target(my_target)", outputs=outputs)])
    assert classroom.verdicts(notebook) == {"v_target": ("✗", "the reward is missing")}
