"""The labs that look at a trained agent, driven by value: they show what the networks and the environment do."""

from functools import cache

import pytest
import torch

from offac_lite import train
from offac_lite.course import labs
from offac_lite.course.labs.watch import MapResult
from offac_lite.course.plots.base import png
from offac_lite.envs import VectorEnv
from offac_lite.play import evaluate, rollout
from tests.lab_changes import assert_each_change_shows

SHORT = dict(seeds=3, total_steps=2400, evaluations=3, eval_episodes=2, progress=False)
TINY = SHORT | dict(total_steps=240, random_steps=40, batch_size=32, hidden=(8,))  # it need not learn anything


@cache
def tiny_album() -> labs.Album:
    return labs.Album(train(**TINY, checkpoints=True))


@pytest.fixture(scope="module")
def run():
    return train(**SHORT, checkpoints=True)


@pytest.fixture(scope="module")
def album(run):
    return labs.Album(run)


def test_checkpoints_are_the_networks_of_each_evaluation(run):
    assert len(run.checkpoints) == len(run.steps) == 3
    for network, kept in ((run.policy, run.checkpoints[-1][0]), (run.critic, run.checkpoints[-1][1])):
        assert kept is not network
        for one, other in zip(network.parameters(), kept.parameters(), strict=True):
            assert torch.equal(one, other)
    first, last = run.checkpoints[0][0].net.theta, run.checkpoints[-1][0].net.theta
    assert not torch.equal(first, last)
    plain = train(**SHORT)
    assert plain.checkpoints == [] and torch.equal(plain.returns, run.returns), "keeping them changes nothing"


def test_a_rollout_is_an_episode_of_each_agent(run):
    env = VectorEnv("CartPole-v1", 1, n_seeds=3, seed=5)
    played = rollout(run.policy, env)
    again = evaluate(run.policy, VectorEnv("CartPole-v1", 1, n_seeds=3, seed=5))
    assert played.lengths.tolist() == again[:, 0].tolist(), "one reward a step"
    for agent, length in enumerate(played.lengths.tolist()):
        obs, action = played.obs[agent, :length], played.action[agent, :length]
        assert torch.equal(run.policy.of_seed(agent)(obs).mode(), action)
        assert torch.allclose(obs[1:, 0], obs[:-1, 0] + 0.02 * obs[:-1, 1], atol=1e-6), "positions follow speeds"
    assert played.terminated.all()
    cut = rollout(run.policy, VectorEnv("CartPole-v1", 1, n_seeds=3, seed=5), max_steps=4)
    assert cut.lengths.tolist() == [4, 4, 4] and not cut.terminated.any()
    with pytest.raises(ValueError, match=r"one environment for each agent, got batch_shape \(3, 2\)"):
        rollout(run.policy, VectorEnv("CartPole-v1", 2, n_seeds=3))


def test_the_album_asks_the_right_agent_and_checkpoint(run, album):
    for index, agent in ((0, 2), (2, 0), (1, 1)):
        policy, critic = run.checkpoints[index]
        played = album.episode(index, agent)
        everybody = played.obs.expand(3, *played.obs.shape)
        torch.testing.assert_close(played.probs, policy.of_seed(agent)(played.obs).probs)
        torch.testing.assert_close(played.q, critic.all_actions(everybody)[agent])
        assert 8 <= len(played.obs) <= 500 and played.fell == (len(played.obs) < 500)
    assert album.index(1500) == 1 and album.index(10**6) == 2


def test_maps_hold_what_the_networks_say_of_their_points(run, album):
    result = labs.MapModel(album)(trained=2400, agent=1)
    row, column = 30, 7
    obs = torch.zeros(1, 4)
    obs[0, 2], obs[0, 3] = torch.linspace(-0.21, 0.21, 41)[column], torch.linspace(-2.5, 2.5, 41)[row]
    assert result.right[row, column].item() == pytest.approx(run.policy.of_seed(1)(obs).probs[0, 1].item())
    q = run.critic.all_actions(obs.expand(3, 1, 4))[1, 0]
    assert result.difference[row, column].item() == pytest.approx((q[1] - q[0]).item(), abs=1e-6)
    other = labs.MapModel(album)(trained=2400, agent=1, plane="position and its speed")
    assert not torch.equal(other.right, result.right)
    assert torch.equal(other.visited, album.episode(2, 1).obs[:, :2])
    right, better = torch.tensor([[0.9, 0.1]]), torch.tensor([[1.0, -1.0]])
    agreement = [MapResult(0, 0, "", right, sign * better, None, 0).agreement for sign in (1, -1)]
    assert agreement == [1, 0]


def test_controls_move_picture_numbers_and_words(album):
    for lab, changes in (
        (labs.watch_lab(album), [dict(step=5), dict(agent=1), dict(trained=800), dict(step=499)]),
        (labs.map_lab(album), [dict(trained=800), dict(agent=2), dict(plane="position and its speed")]),
    ):
        first, start = lab.png, lab.values
        assert_each_change_shows(lab, changes)
        lab.set(**start)
        assert lab.png == first, "back to the first setting, the first picture"
        assert png(lab._view.figure)


def test_past_its_end_an_episode_stays_at_its_last_step(album):
    lab = labs.watch_lab(album)
    lab.set(step=499)
    played = album.episode(2, 0)
    assert lab.result.step == len(played.obs) - 1
    assert f"step {len(played.obs) - 1}:" in lab.summary_text and "fell" in lab.summary_text


def test_the_play_button_is_linked_to_the_slider_in_the_page(album):
    lab = labs.watch_lab(album)
    (player,) = [child for child in lab.widget.children if type(child).__name__ == "Play"]
    assert (player.min, player.max, player.step) == (0, 499, 1)
    assert [part[0] for part in (player.link.source, player.link.target)] == [player, lab.controls["step"]]


def test_runs_that_cannot_be_watched_are_refused(run):
    with pytest.raises(ValueError, match="no checkpoints"):
        labs.Album(train(**TINY))
    with pytest.raises(ValueError, match='critic="v"'):
        labs.Album(train(**TINY, critic="v", action="stored", checkpoints=True))
    with pytest.raises(ValueError, match="Pendulum-v1"):
        labs.Album(train("Pendulum-v1", **TINY, checkpoints=True))
    with pytest.raises(ValueError, match="agent"):
        labs.Album(run).episode(0, 3)
    with pytest.raises(ValueError, match="plane"):
        labs.MapModel(labs.Album(run))(trained=0, plane="angle")
    with pytest.raises((ValueError, TypeError), match="checkpoints"):
        train(**SHORT, checkpoints=3)
