"""The committed notebooks keep the rules of `tests.refresh_notebooks`, and those rules catch what they should.

That every cell runs and prints what the file says is nbval's part.
"""

import base64
import copy
import html
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from offac_lite.course import material
from tests import refresh_notebooks
from tests.refresh_notebooks import METADATA, ROOT, WIDGET_VIEW, execute, normalise, problems, refresh, written

NOTEBOOKS = material.notebooks()
PNG = base64.b64encode(b"not looked at").decode()
TESTS = "python3 -m venv .venv && .venv/bin/pip install -r requirements-dev.txt && .venv/bin/pytest"
LAB = "from tests.demo_lab import demo_lab\n\ndemo_lab().show()\nprint('below')"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_committed_notebook(path):
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert problems(notebook) == []
    assert len(text.encode()) < refresh_notebooks.MAX_BYTES
    normalise(notebook)
    assert written(notebook) == text, f"run python -m tests.refresh_notebooks notebooks/{path.name}"


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_as_a_web_page_a_notebook_shows_every_picture_with_its_words_and_no_trace_of_a_widget(path):
    page, _ = HTMLExporter().from_filename(str(path))
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", ())]
    outputs = [output for output in outputs if "image/png" in output.get("data", ())]
    assert outputs and page.count('src="data:image/png;base64,') == len(outputs)
    plain = html.unescape(page)
    for output in outputs:
        assert plain.count(output.metadata["image/png"]["alt"]) >= 1, "the words stand under the picture"
    assert "vnd.jupyter.widget" not in page and "not found" not in page.lower()


def notebook_of(*cells):
    cells = [new_code_cell(cell) if isinstance(cell, str) else copy.deepcopy(cell) for cell in cells]
    notebook = new_notebook(cells=cells)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"c{number}"
    return notebook


def with_output(source="1", kind="display_data", **content):
    return new_code_cell(source, outputs=[new_output(kind, **content)])


def with_data(**data):
    return with_output(data={kind.replace("_", "/"): text for kind, text in data.items()})


GOOD = [
    new_markdown_cell("![a curve](../figures/a.png) <img src='b.png' alt='another'> and <https://a.org/home/b>"),
    new_code_cell("\n".join(["x = 1", ""] * 30)),
    with_data(image_png=PNG, text_plain="The curve falls."),
    new_code_cell(
        "1",
        outputs=[
            new_output("display_data", data={"image/png": PNG, "text/plain": "<Figure size 640x480 with 1 Axes>"}),
            new_output("stream", text="The curve falls.\n"),
        ],
    ),
    with_output(data={WIDGET_VIEW: {"model_id": "0"}}),
]
BAD = {
    "it has 31 lines": new_code_cell("\n".join(["x = 1"] * 31)),
    "it is empty": new_code_cell("\n"),
    "source names a path": new_code_cell("open('/home/me/x')"),
    "source names a path of one": new_markdown_cell(r"Put it into C:\Users\me."),
    "output names a path": with_output("1", "stream", text="saved in /tmp/x\n"),
    "without alternative text": new_markdown_cell("![](a.png)"),
    "image without alternative": new_markdown_cell('<img src="a.png" alt="">'),
    "shows an image without": new_markdown_cell("<img src='a.png'>"),
    "it raises ValueError: no": with_output("1", "error", ename="ValueError", evalue="no", traceback=[]),
    "it writes to stderr: careful": with_output("1", "stream", name="stderr", text="careful\n"),
    "memory address": with_data(text_plain="<object at 0x7f8c65da6250>"),
    "that no text": with_data(image_png=PNG, text_plain="<Figure size 640x480 with 1 Axes>"),
    "a picture that no text": with_data(image_png=PNG),
    "more than one picture": new_code_cell("1", outputs=2 * with_data(image_png=PNG, text_plain="It falls.").outputs),
    "its source is not folded": new_code_cell("assert True", metadata={"tags": ["hide-input"]}),
    "lacks nbval-ignore-output": new_code_cell("print(plots.patient_words(chart, healthy))"),
    "not below": with_output("1", "stream", text="x" * 1_000_000),
}


def test_a_good_notebook_has_no_problems():
    notebook = notebook_of(*GOOD)
    normalise(notebook)
    nbformat.validate(notebook)
    assert problems(notebook) == []
    assert [cell.execution_count for cell in notebook.cells[1:]] == [1, 2, 3, 4]
    assert notebook.metadata == METADATA and notebook.cells[-1].outputs == []


@pytest.mark.parametrize("message", BAD)
def test_each_rule_catches_what_breaks_it(message):
    notebook = notebook_of(*GOOD, BAD[message])
    normalise(notebook)
    (problem,) = problems(notebook)
    assert message in problem


@pytest.mark.parametrize(
    ("message", "spoil"),
    [
        ("a widget view", lambda nb: nb.cells[-1].update(outputs=GOOD[-1]["outputs"])),
        ("its number is 3, not 4", lambda nb: nb.cells[-1].update(execution_count=3)),
        ("metadata", lambda nb: nb.metadata.update(widgets={})),
    ],
)
def test_what_refreshing_removes_is_caught_where_it_was_committed(message, spoil):
    notebook = notebook_of(*GOOD)
    normalise(notebook)
    spoil(notebook)
    (problem,) = problems(notebook)
    assert message in problem


def save(folder: Path, *cells) -> Path:
    path = folder / "some.ipynb"
    path.write_text(written(notebook_of(*cells)), encoding="utf-8")
    return path


@pytest.mark.slow
def test_refreshing_twice_changes_nothing_and_strict_nbval_accepts_it(tmp_path):
    counting = "import sys, time\nfor i in range(3):\n    print(i); sys.stdout.flush(); time.sleep(0.3)\n"
    path = save(tmp_path, new_markdown_cell("# A lab"), LAB, counting, "1 + 1", "demo_lab()")
    assert refresh(path) == []
    text = path.read_text(encoding="utf-8")
    lab, count, two, again = nbformat.reads(text, as_version=4).cells[1:]
    kinds = [["image/png", "text/plain"], ["text/plain"], ["name", "output_type", "text"]]
    assert [sorted(output.get("data", output)) for output in lab.outputs] == kinds
    assert [sorted(output.data) for output in again.outputs] == kinds[:2]
    assert [output.text for output in count.outputs] == ["0\n1\n2\n"] and two.execution_count == 3
    assert refresh(path) == [] and path.read_text(encoding="utf-8") == text

    before, _, after = text.rpartition("The wave has frequency 1")  # the second lab's line of text
    path.write_text(f"{before}The wave has frequency 2{after}", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-n0", f"--rootdir={ROOT}", "-c", ROOT / "pyproject.toml", path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "1 failed, 3 passed" in result.stdout, result.stdout + result.stderr
    assert "...F" in result.stdout, "a lab passes though its live view was left out; a wrong line of text does not"


@pytest.mark.slow
def test_checking_tells_what_would_change_and_writes_nothing(tmp_path):
    path = save(tmp_path, "print(1 + 1)")
    before = path.read_text(encoding="utf-8")
    (problem,) = refresh(path, check=True)
    assert '"2\\n"' in problem and path.read_text(encoding="utf-8") == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1 / 0", "cell 1 (code): it raises ZeroDivisionError: division by zero"),
        ("import warnings; warnings.warn('old')", "cell 1 (code): it writes to stderr"),
        ("print(object())", "cell 1 (code): its output names a memory address"),
    ],
)
def test_refreshing_refuses_and_writes_nothing(tmp_path, capsys, source, message):
    path = save(tmp_path, "print('before')", source)
    before = path.read_text(encoding="utf-8")
    assert refresh_notebooks.main([str(path)]) == 1
    out, err = capsys.readouterr()
    assert "NOT WRITTEN" in out and message in err
    assert path.read_text(encoding="utf-8") == before


@pytest.mark.slow
def test_kernels_run_this_interpreter(tmp_path):
    notebook = notebook_of("import os, sys\nprint(sys.executable, os.environ['OMP_NUM_THREADS'])")
    execute(notebook, tmp_path)
    assert notebook.cells[0].outputs[0].text == f"{sys.executable} 1\n"


def test_readers_and_ci_run_the_same_command():
    assert f"\n{TESTS} || exit 1\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "run: bash .ci/run\n" in (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    readme = ROOT / "README.md"
    assert not readme.exists() or f"\n{TESTS}\n" in readme.read_text(encoding="utf-8")
