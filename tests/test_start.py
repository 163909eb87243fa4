"""Working copies of the notebooks: without outputs, never overwritten, opened in JupyterLab."""

import io
import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import nbformat
import pytest

from offac_lite.__main__ import main
from offac_lite.course import material, start
from tests.refresh_notebooks import ROOT

NAMES = [path.relative_to(material.NOTEBOOKS).as_posix() for path in material.notebooks()]


def test_it_copies_every_notebook_without_outputs_and_with_all_its_text(tmp_path, capsys):
    folder = tmp_path / "a" / "mine"
    main(["start", str(folder), "--no-open"])
    assert capsys.readouterr().out == f"{len(NAMES)} notebooks written to {folder}\n"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == sorted(
        [*NAMES, "glossary.md", "clinic_page.md"]
    )
    for name in NAMES:
        original, copy = (nbformat.read(place / name, as_version=4) for place in (ROOT / "notebooks", folder))
        nbformat.validate(copy)
        assert all(cell.outputs == [] and cell.execution_count is None for cell in copy.cells if "outputs" in cell)
        assert [(c.id, c.source) for c in copy.cells] == [(c.id, c.source) for c in original.cells]


def test_a_student_s_work_is_never_changed_and_what_is_missing_is_added(tmp_path, capsys):
    main(["start", str(tmp_path), "--no-open"])
    (tmp_path / NAMES[1]).write_text("my work")
    (tmp_path / NAMES[2]).unlink()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.ipynb")}
    capsys.readouterr()
    main(["start", str(tmp_path), "--no-open"])
    assert capsys.readouterr().out == f"1 notebooks written to {tmp_path}, {len(NAMES) - 1} kept as they are\n"
    assert (tmp_path / NAMES[1]).read_text() == "my work" and (tmp_path / NAMES[2]).exists()
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_a_link_to_somewhere_else_counts_as_work(tmp_path):
    (tmp_path / NAMES[0]).symlink_to(tmp_path / "nowhere")
    assert not start.working_copies(tmp_path)[tmp_path / NAMES[0]]
    assert not (tmp_path / "nowhere").exists()


def test_where_the_disk_is_full_no_half_notebook_is_left(tmp_path, monkeypatch, capsys):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError("No space left on device")

    def full(path, *given, **options):
        real(path, *given, **options).close()
        return Full()

    real = start.Path.open
    monkeypatch.setattr(start.Path, "open", lambda path, *g, **o: (full if "x" in g else real)(path, *g, **o))
    with pytest.raises(SystemExit):
        main(["start", str(tmp_path / "mine"), "--no-open"])
    assert f"{tmp_path / 'mine' / NAMES[0]} cannot be written: No space left" in capsys.readouterr().err
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("folder", ["file", "file/inside"])
def test_a_file_is_no_folder(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SystemExit):
        main(["start", str(tmp_path / folder), "--no-open"])
    assert f"{tmp_path / 'file'} is a file, not a folder" in capsys.readouterr().err


def test_where_the_notebooks_are_missing_it_says_so_and_makes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(material, "NOTEBOOKS", tmp_path / "nowhere")
    with pytest.raises(SystemExit):
        main(["start", str(tmp_path / "mine"), "--no-open"])
    assert "install the course again" in capsys.readouterr().err and not list(tmp_path.iterdir())


class Lab:
    """Stands in for the process of JupyterLab: an interrupt, then its end."""

    def __init__(self, command, cwd):
        self.command, self.cwd, self.ends = command, cwd, [KeyboardInterrupt, 0]
        Lab.last = self

    def wait(self):
        end = self.ends.pop(0)
        if end is KeyboardInterrupt:
            raise end
        return end


def test_it_opens_the_first_in_jupyterlab_and_leaves_ctrl_c_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(start.subprocess, "Popen", Lab)
    with pytest.raises(SystemExit) as stopped:
        main(["start", str(tmp_path), "--", "--no-browser", "--port", "8890"])
    assert stopped.value.code == 0 and not Lab.last.ends
    to_lab = ["--no-browser", "--port", "8890"]
    assert Lab.last.command == [sys.executable, "-m", "jupyterlab", NAMES[0], *to_lab] and Lab.last.cwd == tmp_path
    assert (tmp_path / NAMES[0]).exists()


def test_without_jupyterlab_the_copies_are_there_and_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r'pip install "offac-lite\[course\]"'):
        main(["start", str(tmp_path)])
    assert f"{len(NAMES)} notebooks written" in capsys.readouterr().out


@pytest.mark.slow
def test_jupyterlab_itself_takes_the_command(tmp_path):
    """It prints its configuration and ends, in place of serving."""
    (tmp_path / NAMES[0]).write_text("{}")
    command = [sys.executable, "-m", "jupyterlab", NAMES[0], "--show-config-json"]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=True)
    assert out.stdout.lstrip().startswith("{")


@pytest.mark.parametrize("path", material.notebooks(), ids=lambda path: path.stem)
def test_on_colab_and_only_there_the_first_cell_installs_the_course(path, monkeypatch):
    cell = nbformat.read(path, as_version=4).cells[1]
    shell = SimpleNamespace(asked=[], run_line_magic=lambda *words: shell.asked.append(words))
    exec(cell.source, {"get_ipython": lambda: shell})
    assert shell.asked == []
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    exec(cell.source, {"get_ipython": lambda: shell})
    assert shell.asked == [("pip", "install -q offac-lite")]
    assert "remove-cell" in cell.metadata.tags and cell.metadata.jupyter.source_hidden
