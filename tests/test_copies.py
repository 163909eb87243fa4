"""Copies for students hold no solutions, and run."""

import re

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from offac_lite.__main__ import main
from offac_lite.course import classroom, material
from offac_lite.course import copies as copying
from tests.refresh_notebooks import ROOT, execute

ORIGINALS = material.notebooks()
FOLDED = re.compile(r"<details><summary>(?:<b>)?(.*?)(?:</b>)?</summary>(.*?)</details>", re.DOTALL)
each_notebook = pytest.mark.parametrize("path", ORIGINALS, ids=lambda path: path.stem)


def markdown(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def folded(notebook, titles) -> list[str]:
    return [text for title, text in FOLDED.findall(markdown(notebook)) if title in titles]


@pytest.fixture(scope="module")
def originals():
    return {path.stem: nbformat.read(path, as_version=4) for path in ORIGINALS}


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    return {
        path.stem: nbformat.read(path, as_version=4)
        for path in copying.make_copies(tmp_path_factory.mktemp("class") / "copies")
    }


@pytest.fixture
def with_this_checkout(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_the_pages_that_the_notebooks_link_to_are_there(tmp_path):
    paths = copying.make_copies(tmp_path / "copies")
    links = {
        path.parent / link for path in paths for link in re.findall(r"\]\(([\w./]+\.md)\)", path.read_text("utf-8"))
    }
    assert len(links) > 2 and all(link.exists() for link in links)


@each_notebook
def test_no_line_of_a_solution_or_hint_is_left(path, originals, copies):
    gone = folded(originals[path.stem], copying.SOLUTIONS | copying.HINTS)
    hints = [line for line in markdown(originals[path.stem]).splitlines() if line.startswith("*Hint")]
    assert gone or path.parent.name == "further" or not re.search(r"### Exercise", markdown(originals[path.stem]))
    text = markdown(copies[path.stem])
    for line in {line.strip().removeprefix("return ") for block in [*gone, *hints] for line in block.splitlines()}:
        assert len(line) < 15 or line not in text, line
    assert "Hint" not in text and "Solution" not in text and "## Recap" not in text


def test_no_code_cell_of_any_copy_holds_a_solution(originals, copies):
    blocks = [b for notebook in originals.values() for b in folded(notebook, copying.SOLUTIONS)]
    solutions = [code for block in blocks for code in re.findall(r"```python\n(.*?)```", block, re.DOTALL)]
    assert len(solutions) >= 36
    cells = [cell.source for copy in copies.values() for cell in copy.cells if cell.cell_type == "code"]
    for solution in solutions:
        body = {line for line in solution.splitlines() if line.startswith(" ")} or set(solution.splitlines())
        assert not any(body <= set(cell.splitlines()) for cell in cells), solution


@each_notebook
def test_all_that_is_not_a_solution_stays_and_no_output_does(path, originals, copies):
    original, copy = originals[path.stem], copies[path.stem]
    nbformat.validate(copy)
    code, left = ([cell for cell in nb.cells if cell.cell_type == "code"] for nb in (original, copy))
    assert [(cell.id, cell.source) for cell in left] == [(cell.id, cell.source) for cell in code]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in left)
    assert folded(copy, copying.ANSWERS) == folded(original, copying.ANSWERS)
    headings = re.findall(r"^#.*", markdown(original), re.MULTILINE)
    assert re.findall(r"^#.*", markdown(copy), re.MULTILINE) == [h for h in headings if not h.startswith("## Recap")]
    assert markdown(copy).count("<details>") == markdown(copy).count("</details>")


def test_hints_stay_if_asked_for_and_answers_go_if_asked_for(tmp_path, originals, capsys):
    main(["copies", str(tmp_path / "a" / "b"), "--keep-hints", "--drop-answers"])
    assert capsys.readouterr().out == f"{len(ORIGINALS)} notebooks written to {tmp_path / 'a' / 'b'}\n"
    copies = {path.stem: nbformat.read(path, as_version=4) for path in (tmp_path / "a" / "b").rglob("*.ipynb")}
    for stem, original in originals.items():
        text = markdown(copies[stem])
        assert text.count("Hint") == markdown(original).count("Hint")
        assert "answers</b>" not in text.lower()
        assert "Solution" not in text


@pytest.mark.slow
def test_a_copy_runs_and_its_stubs_are_not_attempted(originals, copies, tmp_path, with_this_checkout):
    """One copy: all have the code cells of their originals, and what those print is what nbval compares."""
    copy = nbformat.from_dict(copies["03_importance_weights"])
    execute(copy, tmp_path)
    assert len(classroom.verdicts(copy)) == 2
    for stem, notebook in (originals | {"copy": copy}).items():
        found = {mark for mark, _ in classroom.verdicts(notebook).values()}
        exercises = any("checks." in cell.source for cell in notebook.cells if cell.cell_type == "code")
        assert found == ({"…"} if exercises else set()), stem


def test_nothing_is_overwritten(tmp_path, capsys):
    there = tmp_path / ORIGINALS[0].name
    there.write_text("mine")
    with pytest.raises(SystemExit):
        main(["copies", str(tmp_path)])
    assert f"{there} exists already" in capsys.readouterr().err
    assert there.read_text() == "mine" and list(tmp_path.iterdir()) == [there]


def test_a_file_is_no_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SystemExit):
        main(["copies", str(tmp_path / "file" / "copies")])
    assert f"{tmp_path / 'file'} is a file, not a folder" in capsys.readouterr().err


def test_without_a_checkout_it_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(material, "NOTEBOOKS", tmp_path / "nowhere")
    with pytest.raises(SystemExit):
        main(["copies", str(tmp_path / "copies")])
    assert "run this in a checkout" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_what_is_folded_away_under_another_title_is_refused():
    fold = new_markdown_cell("<details><summary><b>Lösung</b></summary>\n\nx\n</details>")
    with pytest.raises(ValueError, match="'Lösung' is folded, and copies.py does not say"):
        copying.student_copy(new_notebook(cells=[fold]))
