"""A sweep in one process, in several, on a Dask cluster; what fails, what is interrupted, what is kept."""

import ast
import os
import signal
import subprocess
import sys
import time

import joblib
import pytest
import torch

from offac_lite import ReplayBuffer, equations, train
from offac_lite import sweep as module
from offac_lite.networks import CategoricalPolicy
from offac_lite.sweep import sweep

SHORT = dict(seeds=2, total_steps=800, random_steps=200, evaluations=2, eval_episodes=2, progress=False)
VARIANTS = {
    "K = 1": dict(action_samples=1),
    "all": dict(action_samples="all"),
    "wrong": dict(critic="v"),
    "tau 1": dict(tau=1.0),
}


@pytest.fixture(scope="module")
def alone():
    return sweep(VARIANTS, n_jobs=1, **SHORT)


def check_same(results, reference):
    assert list(results) == list(reference)
    for name, row in results.items():
        if reference[name].run is None:
            assert row.error == reference[name].error
        else:
            assert torch.equal(row.run.returns, reference[name].run.returns)
            assert torch.equal(row.run.policy.net.theta, reference[name].run.policy.net.theta)


def test_a_failed_variant_is_a_row_with_its_error(alone):
    assert alone["wrong"].run is None and 'critic="v" cannot be combined' in alone["wrong"].error
    assert [row["error"] is None for row in alone.table()] == [True, True, False, True]
    lines = repr(alone).splitlines()
    assert len(lines) == 5 and "ValueError" in lines[3] and "0/2" in lines[1]


def test_only_cart_pole_is_said_to_be_solved_at_475():
    options = SHORT | dict(total_steps=80, random_steps=0, batch_size=16, n_jobs=1)
    lines = repr(sweep({"a": dict(env_id="Pendulum-v1"), "b": {}}, **options)).splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["a", "—", "—"], ["b", "0/2", "0.00"]]


def test_options_reach_the_run(alone):
    assert alone["all"].run.config.action_samples == "all" and alone["tau 1"].run.config.tau == 1.0
    assert alone["all"].run.config.seeds == 2


@pytest.mark.slow
def test_several_processes_give_the_same_runs(alone):
    check_same(sweep(VARIANTS, n_jobs=2, **SHORT), alone)


@pytest.mark.slow
def test_functions_of_ones_own_reach_the_processes():
    def scaled_target(reward, terminated, next_q, gamma):
        return 0.5 * (reward + gamma * next_q)

    results = sweep({"a": dict(q_target=scaled_target), "b": {}}, n_jobs=2, **SHORT)
    assert results["a"].error is None
    assert not torch.equal(results["a"].run.critic.both.net.theta, results["b"].run.critic.both.net.theta)


@pytest.mark.slow
def test_a_dask_cluster_of_two_workers(alone, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`: pip install -e .[cluster]")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=tmp_path
        ) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask", client=client),
    ):
        check_same(sweep(VARIANTS, **SHORT), alone)


@pytest.mark.slow
def test_a_folder_keeps_runs_and_saves_running_them_again(alone, tmp_path, monkeypatch):
    sweep(VARIANTS, n_jobs=1, folder=tmp_path / "runs", **SHORT)
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["K = 1.run", "all.run", "tau 1.run"]
    ran = []
    real = module._one
    monkeypatch.setattr(module, "_one", lambda name, *rest: ran.append(name) or real(name, *rest))
    check_same(sweep(VARIANTS, n_jobs=1, folder=tmp_path / "runs", **SHORT), alone)
    assert ran == ["wrong"]
    changed = VARIANTS | {"all": dict(action_samples="all", gamma=0.9)}
    ran.clear()
    results = sweep(changed, n_jobs=1, folder=tmp_path / "runs", **SHORT)
    assert ran == ["all", "wrong"] and results["all"].run.config.gamma == 0.9
    (tmp_path / "runs" / "tau 1.run").write_bytes(b"broken")
    ran.clear()
    check_same(sweep(VARIANTS, n_jobs=1, folder=tmp_path / "runs", **SHORT), alone | {"all": results["all"]} | alone)
    assert set(ran) == {"all", "wrong", "tau 1"}


def filled(value):
    buffer, n = ReplayBuffer(500, (4,)), 300
    buffer.add(torch.full((n, 4), value), [0] * n, [value] * n, torch.full((n, 4), value), [False] * n)
    return buffer


def scaled(scale):
    def q_target(reward, terminated, next_q, gamma):
        return scale * equations.q_target(reward, terminated, next_q, gamma)

    return q_target


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (dict(baseline=None), {}),
        (dict(obs_scale=7.0), {}),
        (dict(next_action_samples=1, random_steps=0), dict(random_steps=0)),
        (dict(prefill=filled(1.0)), dict(prefill=filled(2.0))),
        (dict(q_target=scaled(1.0)), dict(q_target=scaled(0.0))),
        (dict(prefill=(CategoricalPolicy(4, 2, generator=torch.Generator()), 300)),) * 2,
        (dict(checkpoints=True),) * 2,
    ],
    ids=["baseline", "obs_scale", "next_action_samples", "buffer", "function", "network", "checkpoints"],
)
def test_a_run_of_other_options_or_with_more_than_a_file_holds_is_not_taken_from_the_folder(first, second, tmp_path):
    common = SHORT | dict(seeds=1, total_steps=400, random_steps=0, n_jobs=1, folder=tmp_path)
    once, twice = (sweep({"a": options}, **(common | options))["a"].run for options in (first, second))
    assert once.seconds != twice.seconds
    assert len(twice.checkpoints) == (2 if "checkpoints" in second else 0)


@pytest.mark.parametrize("options", [{}, dict(obs_scale=0.5), dict(prefill=((0.25, 0.75), 300), hidden=(8,))])
def test_a_run_of_the_same_options_is_taken_from_the_folder(options, tmp_path):
    common = SHORT | dict(seeds=1, total_steps=400, random_steps=0, n_jobs=1, folder=tmp_path)
    once, twice = (sweep({"a": options}, **common)["a"].run for _ in range(2))
    assert once.seconds == twice.seconds and torch.equal(once.policy.net.theta, twice.policy.net.theta)


LONG = """
from offac_lite.sweep import sweep
if __name__ == "__main__":
    first = dict(total_steps=400, random_steps=200)
    variants = {"first": first, "second": {}, "third": {}}
    results = sweep(variants, n_jobs={n_jobs}, folder="runs", seeds=2, progress=False)
    print([(row.error, row.run is not None) for row in results.values()])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupted_sweep_keeps_what_is_done(tmp_path, n_jobs):
    """As Ctrl-C does it: the signal goes to the whole group of processes."""
    (tmp_path / "long.py").write_text(LONG.replace("{n_jobs}", str(n_jobs)))
    command = [sys.executable, "long.py"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True)
    done = tmp_path / "runs" / "first.run"
    for _ in range(3000):
        if done.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    time.sleep(1.0)  # now it is in the midst of the second
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=300)
    first, second, third = ast.literal_eval(out)
    assert first == (None, True)
    assert second in (("interrupted", True), ("not run", False))
    assert third == ("not run", False) or (n_jobs == 2 and third == ("interrupted", True))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(variants={}), ValueError, "variants is empty"),
        (dict(variants=[1]), TypeError, "variants must map names to options"),
        (dict(variants={"a": 3}), TypeError, "variants must map names to options"),
        (dict(variants={"a": {}}, n_jobs=0), ValueError, "n_jobs must be at least 1"),
        (dict(variants={"../a": {}}, folder="x"), ValueError, "cannot be the name of a file"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        sweep(**arguments)


def refuse(*arguments, **options):
    raise PermissionError(13, "Permission denied")


def test_a_folder_where_nothing_can_be_written_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("offac_lite.sweep.train", None)
    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(ValueError, match="folder: nothing can be written to .*: Permission denied"):
        sweep({"a": {}}, folder=tmp_path, n_jobs=1, progress=False)


def test_a_run_that_cannot_be_saved_in_the_end_is_not_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("offac_lite.run.Run.save", refuse)
    row = sweep({"a": {}}, folder=tmp_path, n_jobs=1, progress=False, seeds=2, total_steps=400, evaluations=1)["a"]
    assert row.error == "not saved: [Errno 13] Permission denied" and row.run.returns.shape == (2, 1)


@pytest.mark.parametrize(("backend", "n_jobs"), [("loky", 1), ("threading", 2)])
def test_how_many_threads_a_session_has_changes_no_run_and_stays_as_it_is(backend, n_jobs):
    options = {"seeds": 2, "total_steps": 800, "evaluations": 1, "progress": False}
    wanted, before = train(**options), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with joblib.parallel_config(backend=backend):
            rows = sweep({"a": {}, "b": {}}, n_jobs=n_jobs, **options)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for row in rows.values():
        assert torch.equal(row.run.returns, wanted.returns)
        assert torch.equal(row.run.policy.net.theta, wanted.policy.net.theta)
