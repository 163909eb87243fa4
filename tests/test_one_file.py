"""The algorithm in one file: short, without the package, runs, and its steps are those of the package."""

import ast

import pytest
import torch

from examples.one_file import main
from tests.refresh_notebooks import ROOT

SOURCE = (ROOT / "examples" / "one_file.py").read_text(encoding="utf-8")


def test_it_is_short_and_does_not_use_the_package():
    assert len(SOURCE.splitlines()) < 150
    imported = {node.module for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.ImportFrom)}
    assert not any(name.startswith("offac_lite") for name in imported)


@pytest.mark.slow
def test_it_runs_and_the_same_seed_gives_the_same_returns(capsys):
    state = torch.get_rng_state()
    try:
        first, again, other = main(0, 4000), main(0, 4000), main(1, 4000)
    finally:
        torch.set_rng_state(state)
    assert first == again != other
    assert capsys.readouterr().out.startswith("  4000 steps: greedy return ")


@pytest.mark.slow
def test_it_learns():
    state = torch.get_rng_state()
    try:
        returns = main(0)
    finally:
        torch.set_rng_state(state)
    assert returns[-1] >= 475, returns  # random play comes to about 20
