"""A saved run comes back whole, or not at all; what is no run is refused and never executed."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from offac_lite import equations
from offac_lite.networks import CategoricalPolicy
from offac_lite.run import Run
from offac_lite.training import Learner, train

SMALL = dict(
    seeds=2,
    total_steps=320,
    random_steps=40,
    batch_size=16,
    n_envs=4,
    hidden=(8,),
    evaluations=2,
    eval_episodes=2,
)
DIFFERENT = [
    {},
    {"twin": False, "action": "stored", "obs_scale": 0.3, "prefill": ((0.25, 0.75), 50)},
    {"critic": "v", "action": "importance", "importance_clip": 2.0, "random_steps": 0},
    {"env_id": "Pendulum-v1", "gradient": "reparameterized", "hidden": ()},
]


def small(**options):
    return train(progress=False, **SMALL | options)


def saved(run, path):
    run.save(path)
    return Run.load(path)


@pytest.mark.parametrize("options", DIFFERENT, ids=["q", "stored", "v", "continuous"])
def test_a_run_comes_back_as_it_was(options, tmp_path):
    run = small(**options)
    run.stopped, run.interrupted = {1: 120}, True
    again = saved(run, tmp_path / "run.pt")
    assert again.config == run.config
    assert (again.spaces, again.stopped, again.interrupted) == (run.spaces, {1: 120}, True)
    assert (again.seconds, again.eval_seconds) == (run.seconds, run.eval_seconds)
    assert torch.equal(again.steps, run.steps) and again.steps.dtype == torch.int64
    torch.testing.assert_close(again.returns, run.returns, rtol=0, atol=0, equal_nan=True)
    assert list(again.log) == list(run.log)
    for name, curve in run.log.items():
        torch.testing.assert_close(again.log[name], curve, rtol=0, atol=0, equal_nan=True)
    obs = torch.randn(2, 20, run.spaces.obs_size, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(again.policy.act(obs), run.policy.act(obs))
    for network in ("policy", "critic"):
        ours, theirs = (getattr(r, network).state_dict() for r in (run, again))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert repr(again) == repr(run)
    assert os.listdir(tmp_path) == ["run.pt"]


def test_a_loaded_config_asks_for_the_same_run(tmp_path):
    run = small(prefill=((0.25, 0.75), 50))
    again = train(saved(run, tmp_path / "run.pt").config, progress=False)
    assert torch.equal(again.returns, run.returns) and torch.equal(again.policy.net.theta, run.policy.net.theta)


def test_a_run_without_any_evaluation_can_be_kept(tmp_path):
    learner = Learner(**SMALL)
    again = saved(learner.run, tmp_path / "run.pt")
    assert again.steps.shape == (0,) and again.returns.shape == (2, 0) and again.log == {}
    assert repr(again) == "Run(CartPole-v1, 2 seeds, no evaluation yet)"


def my_target(reward, terminated, next_q, gamma):
    return equations.q_target(reward, terminated, next_q, gamma)


def test_functions_are_kept_by_name_and_old_data_by_description(tmp_path):
    policy = CategoricalPolicy(4, 2, (4,), generator=torch.Generator().manual_seed(0))
    run = small(q_target=my_target, prefill=(policy, 30))
    assert run.config.q_target is my_target
    again = saved(run, tmp_path / "run.pt")
    assert again.config.q_target == "my_target" and "q_target=my_target" in repr(run.config)
    assert "CategoricalPolicy" in again.config.prefill[0] and again.config.prefill[1] == 30
    with pytest.raises(TypeError, match="policy of prefill must be numeric or a network, got 'CategoricalPolicy"):
        train(again.config, q_target=my_target)
    with pytest.raises(TypeError, match="q_target must be a function, got 'my_target'"):
        train(again.config, prefill=None)
    repeated = train(again.config, prefill=(policy, 30), q_target=my_target, progress=False)
    assert repeated.returns.equal(run.returns)


def test_record_appends_one_evaluation_at_a_time():
    run = Learner(**SMALL).run
    run.record(40, torch.tensor([1.0, torch.nan]), entropy=torch.tensor([0.5, 0.25]))
    run.record(80, torch.tensor([3, 4]), entropy=torch.tensor([0.5, 0.125]))
    assert run.steps.tolist() == [40, 80]
    assert run.returns[0].tolist() == [1.0, 3.0] and run.returns[1, 0].isnan() and run.returns[1, 1] == 4
    assert run.log["entropy"].tolist() == [[0.5, 0.5], [0.25, 0.125]]
    run.stopped, run.interrupted = {1: 40}, True
    assert repr(run) == "Run(CartPole-v1, 2 seeds, median return 3.0 after 80 steps, 1 stopped, interrupted)"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run.pt"
    small().save(path)
    return path


def contents(file):
    return torch.load(file, weights_only=True)


class Trap:
    """Unpickled with the ordinary loader this would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"no run at all",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-100],
        lambda data: data[:300] + bytes(200) + data[500:],
        lambda data: b"PK\x03\x04" + bytes(1000),
        lambda data: pickle.dumps({"rest": "{}"}),
    ],
)
def test_a_spoiled_file_is_refused(file, tmp_path, spoil):
    path = tmp_path / "spoiled.pt"
    path.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ValueError, match="spoiled.pt is not a run that Run.save wrote"):
        Run.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: torch.ones(3),
        lambda c: [1, 2],
        lambda c: {},
        lambda c: c | {"rest": "{}"},
        lambda c: c | {"rest": "not JSON"},
        lambda c: c | {"rest": c["rest"].replace('"hidden": [8]', '"hidden": [9]')},
        lambda c: c | {"rest": c["rest"].replace('"critic": "q"', '"critic": "v"')},
        lambda c: c | {"rest": c["rest"].replace('"seeds": 2', '"seeds": 3')},
        lambda c: {name: value for name, value in c.items() if name != "policy"},
        lambda c: {name: value for name, value in c.items() if name != "steps"},
        lambda c: c | {"policy": {}},
    ],
)
def test_a_file_of_something_else_is_refused(file, tmp_path, change):
    changed = change(contents(file))
    path = tmp_path / "other.pt"
    torch.save(changed, path)
    with pytest.raises(ValueError, match="other.pt is not a run that Run.save wrote"):
        Run.load(path)


def test_code_in_a_file_is_not_run(file, tmp_path):
    touched = tmp_path / "touched"
    for path, write in ((tmp_path / "a.pt", torch.save), (tmp_path / "b.pt", lambda it, to: pickle.dump(it, to))):
        with open(path, "wb") as handle:
            write(contents(file) | {"steps": Trap(touched)}, handle)
        with pytest.raises(ValueError, match="is not a run that Run.save wrote"):
            Run.load(path)
    assert not touched.exists()
    pickle.loads(pickle.dumps(Trap(touched)))
    assert touched.exists()  # the trap works


def test_no_file_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError):
        Run.load(tmp_path / "missing.pt")


@pytest.mark.parametrize("stage", ["write_bytes", "replace"])
def test_an_interrupted_save_leaves_the_old_file_whole(file, tmp_path, monkeypatch, stage):
    path = tmp_path / "run.pt"
    path.write_bytes(file.read_bytes())
    run = Learner(**SMALL | {"seeds": 1}).run
    write = Path.write_bytes

    def fail(*given):
        if stage == "write_bytes":
            write(given[0], given[1][:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(*((Path, "write_bytes") if stage == "write_bytes" else (os, "replace")), fail)
    with pytest.raises(KeyboardInterrupt):
        run.save(path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["run.pt"] and path.read_bytes() == file.read_bytes()
    run.save(path)
    assert os.listdir(tmp_path) == ["run.pt"] and Run.load(path).config.seeds == 1


def test_where_nothing_can_be_written_nothing_stays_behind(tmp_path):
    run = Learner(**SMALL).run
    with pytest.raises(FileNotFoundError):
        run.save(tmp_path / "missing" / "run.pt")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        run.save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"] and os.listdir(tmp_path / "folder") == []
