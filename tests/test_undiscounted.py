"""γ = 1: the textbook's first examples, whose values it prints, and what does not end."""

import math

import numpy as np
import pytest
import torch

from offac_lite import train
from offac_lite.envs import discounted_steps_left
from offac_lite.exact import TabularMDP, gradient_moments
from offac_lite.exact.outcomes import Outcomes
from offac_lite.exact.td import target_variance, td_path

# Sutton and Barto, Reinforcement Learning (2018), Figure 4.1: a 4x4 grid, −1 a step until a corner is reached.
UNIFORM = [[0, -14, -20, -22], [-14, -18, -20, -20], [-20, -20, -18, -14], [-22, -20, -14, 0]]
OPTIMAL = [[0, -1, -2, -3], [-1, -2, -3, -2], [-2, -3, -2, -1], [-3, -2, -1, 0]]


def gridworld():
    transition, reward = torch.zeros(16, 4, 16, dtype=torch.float64), -torch.ones(16, 4, dtype=torch.float64)
    for s in range(1, 15):
        for a, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
            to = min(max(s // 4 + down, 0), 3) * 4 + min(max(s % 4 + right, 0), 3)
            if to not in (0, 15):
                transition[s, a, to] = 1
    reward[[0, 15]] = 0
    return TabularMDP(transition, reward, torch.full((16,), 1 / 16), gamma=1.0)


def random_walk(n_states=5):
    """Example 6.2: left or right with probability ½ from the middle; 1 for leaving on the right."""
    transition = torch.zeros(n_states, 2, n_states, dtype=torch.float64)
    for s in range(n_states):
        for a, to in enumerate((s - 1, s + 1)):
            if 0 <= to < n_states:
                transition[s, a, to] = 1
    reward = torch.zeros(n_states, 2, dtype=torch.float64)
    reward[-1, 1] = 1
    return TabularMDP(transition, reward, np.eye(n_states)[n_states // 2], gamma=1.0)


HALF = torch.full((5, 2), 0.5, dtype=torch.float64)


def test_the_gridworld_of_example_4_1():
    grid = gridworld()
    values = grid.state_values(torch.full((16, 4), 0.25)).view(4, 4)
    torch.testing.assert_close(values, torch.tensor(UNIFORM).double(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(grid.optimal_values().view(4, 4), torch.tensor(OPTIMAL).double())


def test_the_random_walk_of_example_6_2():
    walk = random_walk()
    torch.testing.assert_close(walk.state_values(HALF), torch.arange(1, 6).double() / 6, rtol=1e-14, atol=0)
    # From the middle: visits of a symmetric walk, 3 in the middle and 1 less for each step to the side.
    torch.testing.assert_close(walk.occupancy(HALF), torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0]).double())
    assert walk.expected_return(HALF).item() == pytest.approx(1 / 2, rel=1e-14)
    # dJ/dlogit(s, right) = ρ(s) ¼ (V(s + 1) − V(s − 1)) = ρ(s) / 12
    gradient = walk.policy_gradient(torch.zeros(5, 2))
    torch.testing.assert_close(gradient[:, 1], torch.tensor([1.0, 2, 3, 2, 1]).double() / 12)


def test_the_gradient_is_the_slope_and_estimates_of_it_have_the_mean_that_they_should():
    walk, logits = random_walk(), torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).double()
    logits.requires_grad_()
    (slope,) = torch.autograd.grad(walk.expected_return(torch.softmax(logits, -1)), logits)
    logits = logits.detach()
    torch.testing.assert_close(walk.policy_gradient(logits), slope)
    for estimator in ("resampled", "expected", "stored"):
        moments = gradient_moments(walk, logits, estimator, batch_size=4)
        torch.testing.assert_close(moments.mean, slope, rtol=1e-10, atol=1e-12)


def test_cliff_walking_and_the_lake_are_known_without_discount():
    assert TabularMDP.from_gymnasium("CliffWalking-v1", gamma=1.0).optimal_values()[36].item() == pytest.approx(-13)
    firm = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=1.0, is_slippery=False)
    assert firm.optimal_values()[0].item() == pytest.approx(1)
    slippery = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=1.0)
    assert slippery.optimal_values()[0].item() == pytest.approx(14 / 17)  # the largest chance to reach the goal at all


@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_with_a_discount_the_optimum_is_that_of_value_iteration(gamma):
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=gamma)
    value = torch.zeros(16, dtype=torch.float64)
    for _ in range(500):
        value = (mdp.reward + gamma * mdp.transition @ value).max(1).values
    torch.testing.assert_close(mdp.optimal_values(), value, rtol=1e-9, atol=1e-12)


ENDLESS = {
    "one state for ever": TabularMDP([[[1.0]]], [[1.0]], [1.0], gamma=1.0),
    "without a reward": TabularMDP([[[1.0]]], [[0.0]], [1.0], gamma=1.0),
    "a circle beside an end": TabularMDP(
        [[[0.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]]], [[1.0]] * 3, [1.0, 0.0, 0.0], gamma=1.0
    ),
    **{
        f"{n} equal shares in float32": TabularMDP(
            np.full((n, 1, n), 1 / n, np.float32), np.ones((n, 1)), np.full(n, 1 / n), gamma=1.0
        )
        for n in (3, 5, 7, 10, 11, 49)
    },
}


def test_an_endless_episode_is_refused_under_a_policy_of_float32_too():
    loop = TabularMDP([[[1.0], [1.0], [1.0]]], [[1.0, 1.0, 1.0]], [1.0], gamma=1.0)
    for seed in range(50):
        probs = torch.softmax(torch.randn(1, 3, generator=torch.Generator().manual_seed(seed)), -1)
        with pytest.raises(ValueError, match="neither terminates nor is discounted"):
            loop.state_values(probs)


@pytest.mark.parametrize("mdp", ENDLESS.values(), ids=ENDLESS)
def test_where_episodes_do_not_end_the_solver_says_so(mdp):
    for question in (mdp.state_values, mdp.occupancy, mdp.action_values, mdp.expected_return):
        with pytest.raises(ValueError, match=r"gamma=1.0: the system .* is singular .* neither terminates nor is disc"):
            question(torch.ones(mdp.n_states, 1))
    with pytest.raises(ValueError, match="singular"):
        mdp.optimal_values()


def test_a_policy_that_never_ends_is_refused_and_another_of_the_same_mdp_is_not():
    grid, up = gridworld(), torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(16, 4)
    with pytest.raises(ValueError, match="let the last step of an episode terminate"):
        grid.state_values(up)
    assert grid.state_values(0.9 * up + 0.025).isfinite().all()


def test_the_noise_of_targets_and_td_need_no_discount():
    lake = Outcomes.from_gymnasium("FrozenLake-v1", is_slippery=False)
    quarter = torch.full((16, 4), 0.25, dtype=torch.float64)
    world, actions = target_variance(lake, quarter, torch.arange(4.0).expand(16, 4), gamma=1.0, next_action_samples=2)
    assert world.max() == 0 and actions[0, 2].item() == pytest.approx(1.25 / 2)  # of 0, 1, 2, 3
    visits = quarter / 16
    path = td_path(lake, visits, quarter, 1.0, rate=1.0, batch_size=8, n_updates=4000)
    exact = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=1.0, is_slippery=False).action_values(quarter)
    torch.testing.assert_close(path.mean[-1], exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.999999, 1.0])
def test_what_is_still_to_come_needs_no_discount(gamma):
    sums = [math.fsum(gamma**t for t in range(left)) for length in (1, 4, 9) for left in range(1, length + 1)]
    assert discounted_steps_left([1, 4, 9], gamma) == pytest.approx(np.mean(sums), rel=1e-12)


@pytest.mark.parametrize("options", [{}, {"critic": "v", "action": "stored", "baseline": "value"}])
def test_a_run_without_discount(options):
    run = train(gamma=1.0, seeds=2, total_steps=1600, evaluations=2, progress=False, **options)
    assert run.config.gamma == 1 and run.returns.isfinite().all() and not run.stopped
