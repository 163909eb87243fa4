"""The headline in a terminal."""

import os
import subprocess
import sys

import pytest

from offac_lite.__main__ import main


def test_it_prints_the_exact_table_and_saves_the_figure(tmp_path, capsys):
    main(["--figure", str(tmp_path / "k.png"), "--states", "16"])
    out = capsys.readouterr().out
    assert "0.0123561" in out and "K* = 18.5" in out and "146.9 with rewards + 1" in out and "The floor" in out
    for estimator in ("stored", "importance", "resampled", "expected"):
        assert sum(line.startswith(estimator) for line in out.splitlines()) >= 2
    assert (tmp_path / "k.png").read_bytes().startswith(b"\x89PNG")


def test_as_a_command_it_works_without_a_display_or_unicode(tmp_path):
    command = [sys.executable, "-m", "offac_lite", "--figure", str(tmp_path / "k.png")]
    hidden = {"DISPLAY", "WAYLAND_DISPLAY"}
    env = {k: v for k, v in os.environ.items() if k not in hidden} | {"PYTHONIOENCODING": "ascii"}
    out = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    assert out.stderr == "" and "Figure saved" in out.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--states", "0"], "--states must be at least 1"),
        (["--actions", "1"], "--actions at least 2"),
        (["--actions", "many"], "invalid int value: 'many'"),
        (["--figure", "no/such/folder/k.png"], "--figure: there is no folder"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(arguments, words, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    captured = capsys.readouterr()
    assert words in captured.err and captured.out == ""
