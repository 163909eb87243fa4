"""The headline in a terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import offac_lite
from offac_lite.__main__ import main, report
from offac_lite._check import unwritable
from offac_lite.run import Run
from offac_lite.training import train


def test_it_prints_the_exact_table_and_saves_the_figure(tmp_path, capsys):
    main(["--figure", str(tmp_path / "k.png"), "--batch-size", "16"])
    out = capsys.readouterr().out
    assert "0.0123561" in out and "K* = 18.5" in out and "146.9 with rewards + 1" in out and "The floor" in out
    for estimator in ("stored", "importance", "resampled", "expected"):
        assert sum(line.startswith(estimator) for line in out.splitlines()) >= 2
    assert (tmp_path / "k.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_as_a_command_it_works_without_a_display_or_unicode(tmp_path):
    command = [sys.executable, "-m", "offac_lite", "--figure", str(tmp_path / "k.png")]
    hidden = {"DISPLAY", "WAYLAND_DISPLAY"}
    env = {k: v for k, v in os.environ.items() if k not in hidden} | {"PYTHONIOENCODING": "ascii"}
    out = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    assert out.stderr == "" and "Figure saved" in out.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--action-samples", "1"], "--action-samples at least 2"),
        (["--action-samples", "many"], "invalid int value: 'many'"),
        (["--figure", "no/such/folder/k.png"], "--figure: there is no folder"),
        (["--figure", "."], "--figure: . is a folder, wanted a file"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(arguments, words, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    captured = capsys.readouterr()
    assert words in captured.err and captured.out == ""


def test_train_prints_a_table_and_saves_curves_and_run(tmp_path, capsys):
    short = ["--seeds", "2", "--steps", "2400", "--action-samples", "all", "--critic", "q"]
    main(["train", *short, "--figure", str(tmp_path / "c.png"), "--save", str(tmp_path / "a.run")])
    captured = capsys.readouterr()
    for words in ("seeds", "solved", "return at the end", "95%", "s of them for the evaluations", "Run saved"):
        assert words in captured.out
    assert "2400/2400" in captured.err and "median return" in captured.err  # the progress bar
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    run = Run.load(tmp_path / "a.run")
    assert run.config.action_samples == "all" and run.returns.shape == (2, 20)
    run.returns[:, 10:13], run.returns[:, 13:] = 500.0, 0.0
    assert "solved                      2  " in report(run, 475)
    assert "evaluations at goal         30% of those in the second half" in report(run, 475)


@pytest.mark.slow
def test_train_takes_pendulums_own_settings(tmp_path, capsys):
    main(
        [
            "train",
            "--env",
            "Pendulum-v1",
            "--seeds",
            "1",
            "--steps",
            "400",
            "--figure",
            str(tmp_path / "c.png"),
            "--save",
            str(tmp_path / "a.run"),
            "--baseline",
            "none",
        ]
    )
    config = Run.load(tmp_path / "a.run").config
    assert config.n_envs == 4 and config.action_samples == 8 and config.baseline is None
    main(
        [
            "train",
            "--env",
            "Pendulum-v1",
            "--seeds",
            "1",
            "--steps",
            "400",
            "--figure",
            str(tmp_path / "c.png"),
            "--action",
            "stored",
            "--entropy-bonus",
            "0",
            "--layer-norm",
            "--save",
            str(tmp_path / "b.run"),
        ]
    )
    assert Run.load(tmp_path / "b.run").config.entropy_bonus == 0
    assert Run.load(tmp_path / "b.run").config.layer_norm and not config.layer_norm


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "0"], "seeds must be at least 1, got 0"),
        (["--env", "Nope-v9"], "'Nope-v9' is not an environment Gymnasium knows"),
        (["--critic", "v"], 'critic="v" cannot be combined with action="resampled"'),
        (["--action-samples", "many"], "action_samples must be a whole number"),
        (["--figure", "no/such/folder/c.png"], "--figure: there is no folder"),
        (["--figure", "."], "--figure: . is a folder, wanted a file"),
        (["--save", "."], "--save: . is a folder, wanted a file"),
        (["--threads", "0"], "threads must be at least 1"),
        (["--env", "Pendulum-v1", "--action", "stored"], "set entropy_bonus=0"),
    ],
)
def test_bad_options_of_train_are_refused(arguments, words, capsys):
    with pytest.raises(SystemExit):
        main(["train", *arguments])
    captured = capsys.readouterr()
    assert words in captured.err and captured.out == ""


def refuse(path, *arguments, **options):
    raise PermissionError(13, "Permission denied")


def never(*arguments, **options):
    raise AssertionError("it was trained")


@pytest.mark.parametrize("option", ["--save", "--figure"])
def test_where_nothing_can_be_written_nothing_is_trained(option, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("offac_lite.__main__.train", never)
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode: (refuse if path.name == "a" else opened)(path, mode))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["train", option, str(tmp_path / "a")])
    captured = capsys.readouterr()
    assert f"{option}: nothing can be written to {tmp_path / 'a'}: Permission denied" in captured.err
    assert captured.out == "" and not list(tmp_path.iterdir())


def test_trying_to_write_leaves_no_file_and_changes_none(tmp_path):
    assert unwritable(tmp_path / "new") is None and not list(tmp_path.iterdir())
    (tmp_path / "old").write_text("kept")
    os.utime(tmp_path / "old", (1, 1))
    assert unwritable(tmp_path / "old") is None
    assert (tmp_path / "old").read_text() == "kept" and (tmp_path / "old").stat().st_mtime == 1
    if os.path.isdir("/proc/self"):
        assert unwritable(Path("/proc/a.run")).startswith("nothing can be written to /proc/a.run: ")


@pytest.mark.parametrize("fails", ["offac_lite.run.Run.save", "pathlib.Path.write_bytes"])
def test_what_cannot_be_written_in_the_end_costs_neither_the_report_nor_the_rest(fails, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fails, refuse)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--seeds", "2", "--steps", "800", "--save", "a.run"])
    out, err = capsys.readouterr()
    assert stopped.value.code == 1 and out.startswith("seeds  ") and "return at the end" in out
    assert "Run not saved: a.run: Permission denied" in err
    assert ("Figure saved" in out) == (fails == "offac_lite.run.Run.save") != ("Figure not saved" in err)


def test_help_of_train(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = capsys.readouterr().out
    assert "--action-samples" in out and "Ctrl-C" in out


def test_an_interrupted_training_is_saved_and_one_without_an_evaluation_draws_nothing(tmp_path, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        run = train(*arguments, **options | {"evaluations": 1}, progress=False)
        run.interrupted, run.steps, run.returns = True, run.steps[:0], run.returns[:, :0]
        return run

    monkeypatch.setattr("offac_lite.__main__.train", interrupted)
    paths = ["--figure", str(tmp_path / "c.png"), "--save", str(tmp_path / "a.run")]
    main(["train", "--seeds", "1", "--steps", "400", *paths])
    out = capsys.readouterr().out
    assert out.startswith(
        "Interrupted; this is what there is.\nIt has not come to an evaluation yet: there is no figure"
    )
    assert "\nRun saved: " in out
    assert Run.load(tmp_path / "a.run").interrupted and not (tmp_path / "c.png").exists()


def test_it_says_its_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0 and capsys.readouterr().out == f"offac_lite {offac_lite.__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_where_nobody_reads_on_it_ends_quietly(arguments, tmp_path):
    """As in `python -m offac_lite | head`. The reader's end of the pipe is closed before anything is printed."""
    read, write = os.pipe()
    os.close(read)
    environment = os.environ | {"PYTHONPATH": str(Path(offac_lite.__file__).parents[1])}
    command = [sys.executable, "-m", "offac_lite", *arguments]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    os.close(write)
    assert done.stderr == ""


@pytest.mark.slow
def test_without_jupyter_the_instructors_commands_say_what_is_missing():
    code = "import sys; sys.modules['nbclient'] = None; from offac_lite.__main__ import main; main(['grade', 'here'])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 1 and out.stderr.startswith("grade: there is no nbclient here; it comes with Jupyter")
