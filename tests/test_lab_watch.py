"""The labs that look at a trained agent, driven by value: they show what the networks and the environment do."""

from functools import cache

import pytest
import torch

from offac_lite import train
from offac_lite.course import labs
from offac_lite.course.labs.watch import MapResult, PlayedEpisode
from offac_lite.course.plots.base import png
from offac_lite.course.plots.watch import _KINDS as KINDS
from offac_lite.course.plots.watch import _RIGHT as RIGHT
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_the_watch_lab_says_in_which_steps_the_likelier_action_has_the_higher_q():
    probs = torch.tensor([[0.4, 0.6], [0.7, 0.3], [0.2, 0.8], [0.9, 0.1]])
    q = torch.tensor([[1.0, 1.5], [2.0, 1.0], [3.0, 2.0], [1.0, 1.2]])
    played = PlayedEpisode(torch.zeros(4, 4), probs, q, fell=True)
    assert played.goes_right.tolist() == [True, False, True, False]
    assert played.agrees.tolist() == [True, True, False, False]
    torch.testing.assert_close(played.difference, torch.tensor([0.5, -1.0, -1.0, 0.2]))


def test_the_watch_lab_draws_each_state_once_in_the_colour_of_its_action(album):
    lab = labs.watch_lab(album)
    lab.set(trained=2400, agent=1, step=2)
    played, view = album.episode(2, 1), lab._view
    for number, ax in enumerate((view.course, view.pairs)):
        drawn = [*view.dots[ax], view.above[number], view.below[number]]
        assert sum(len(line.get_xdata()) for line in drawn) == len(played.obs)
        for line, (color, filled) in zip(view.dots[ax], KINDS, strict=True):
            chosen = (played.goes_right == (color == RIGHT)) & (played.agrees == filled)
            assert len(line.get_xdata()) <= chosen.sum()
    for line, (color, _) in zip(view.dots[view.pairs], KINDS, strict=True):
        assert ((line.get_ydata() > 0.5) == (color == RIGHT)).all()
    assert view.now[0].get_xdata() == [2]
    words = f"In {100 * played.agrees.double().mean():.0f}% of its steps the likelier action has the higher Q"
    assert words in lab.summary_text


def test_the_axes_of_the_watch_lab_stay_while_an_episode_plays(album):
    lab = labs.watch_lab(album)
    limits = []
    for step in (0, 3, 7):
        lab.set(step=step)
        limits.append([(ax.get_xlim(), ax.get_ylim()) for ax in (lab._view.course, lab._view.pairs)])
    assert limits[0] == limits[1] == limits[2]
    edge = limits[0][0][1][1]
    assert edge >= 4 * album.episode(2, 0).difference.abs().median() - 1e-6


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
