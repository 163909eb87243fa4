"""The command that runs notebooks with other seeds finds a claim that does not survive one."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from offac_lite.course import material
from tests import seed_robustness


def notebook(path, *sources):
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
    return path


@pytest.mark.slow
def test_it_counts_what_held_and_names_what_did_not(tmp_path, capsys):
    path = notebook(tmp_path / "claim.ipynb", "SEED = 0  # change it", "assert SEED != 2, 'not with this one'")
    assert seed_robustness.main([str(path), "--seeds", "3"]) == 1
    printed = capsys.readouterr().out
    assert "SEED = 2: cell 1 raises AssertionError: not with this one" in printed
    assert "2 of 3 runs: every claim held" in printed and "SEED = 1: ok" in printed
    assert seed_robustness.main([str(path), "--seeds", "1", "--first", "3"]) == 0


@pytest.mark.parametrize("sources", [["x = 1"], ["SEED = 0", "SEED = 0"]])
def test_a_notebook_needs_one_seed(tmp_path, sources):
    with pytest.raises(ValueError, match="cells hold a line SEED = 0, wanted one"):
        seed_robustness.failure(notebook(tmp_path / "claim.ipynb", *sources), 1)


@pytest.mark.parametrize("path", material.notebooks(), ids=lambda path: path.stem)
def test_every_notebook_has_its_seed_at_the_top(path):
    seed_robustness.with_seed(nbformat.read(path, as_version=4), 1)
