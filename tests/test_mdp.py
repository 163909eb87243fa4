"""Exact ground truth: closed forms, central differences, autograd through the solve, outside references."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch

from offac_lite.exact import TabularMDP
from offac_lite.exact.mdp import advantages

TABLES = {
    "FrozenLake 4x4": ("FrozenLake-v1", {"map_name": "4x4"}),
    "FrozenLake 4x4, not slippery": ("FrozenLake-v1", {"map_name": "4x4", "is_slippery": False}),
    "FrozenLake 8x8": ("FrozenLake-v1", {"map_name": "8x8"}),
    "FrozenLake 8x8, not slippery": ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}),
    "CliffWalking": ("CliffWalking-v1", {}),
    "Taxi": ("Taxi-v4", {}),
}


def two_states(p=0.3, q=0.6, gamma=0.9):
    """State 0: action 0 stays and pays 1, action 1 moves on and pays 0. State 1: pays 2 and ends with mass 1 - q."""
    transition = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, q], [0.0, q]]]
    return TabularMDP(transition, [[1.0, 0.0], [2.0, 2.0]], [1.0, 0.0], gamma), [[p, 1 - p], [0.5, 0.5]]


def random_logits(mdp, seed=0, scale=1.0):
    gen = torch.Generator().manual_seed(seed)
    return scale * torch.randn(mdp.n_states, mdp.n_actions, generator=gen, dtype=torch.float64)


@pytest.mark.parametrize(("p", "q", "gamma"), [(0.3, 0.6, 0.9), (0.9, 0.0, 0.5), (0.0, 1.0, 0.99), (0.5, 0.5, 0.0)])
def test_two_state_closed_form(p, q, gamma):
    mdp, probs = two_states(p, q, gamma)
    v1 = 2 / (1 - gamma * q)
    v0 = (p + (1 - p) * gamma * v1) / (1 - gamma * p)
    rho0 = 1 / (1 - gamma * p)
    rho1 = gamma * (1 - p) * rho0 / (1 - gamma * q)
    close = dict(rtol=1e-12, atol=1e-14)
    assert mdp.state_values(probs).tolist() == pytest.approx([v0, v1], rel=1e-12)
    assert mdp.action_values(probs).flatten().tolist() == pytest.approx(
        [1 + gamma * v0, gamma * v1, 2 + gamma * q * v1, 2 + gamma * q * v1], rel=1e-12
    )
    assert mdp.occupancy(probs).tolist() == pytest.approx([rho0, rho1], rel=1e-12)
    assert mdp.expected_return(probs).item() == pytest.approx(v0, rel=1e-12)
    logits = torch.tensor(probs, dtype=torch.float64).clamp_min(1e-300).log()
    slope = rho0 * p * (1 - p) * ((1 + gamma * v0) - gamma * v1)  # dJ/dlogit of action 0 in state 0
    expected = torch.tensor([[slope, -slope], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(mdp.policy_gradient(logits), expected, **close)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("seed", [0, 1])
def test_gradient_agrees_with_autograd_through_the_solve(name, seed):
    env_id, kwargs = TABLES[name]
    mdp = TabularMDP.from_gymnasium(env_id, gamma=0.99, **kwargs)
    logits = random_logits(mdp, seed).requires_grad_()
    (by_autograd,) = torch.autograd.grad(mdp.expected_return(torch.softmax(logits, -1)), logits)
    exact = mdp.policy_gradient(logits.detach())
    assert (exact - by_autograd).norm() / exact.norm() < 1e-8


@pytest.mark.parametrize("name", TABLES)
def test_gradient_agrees_with_central_differences(name):
    """A fourth-order central difference along random directions (all of them at once: policies are a leading axis)."""
    env_id, kwargs = TABLES[name]
    mdp = TabularMDP.from_gymnasium(env_id, gamma=0.99, **kwargs)
    logits, step = random_logits(mdp, 3), 1e-3
    exact = mdp.policy_gradient(logits)
    for direction in (exact / exact.norm(), random_logits(mdp, 4)):
        offsets = step * torch.tensor([-2.0, -1.0, 1.0, 2.0], dtype=torch.float64)
        returns = mdp.expected_return(torch.softmax(logits + offsets[:, None, None] * direction, -1))
        slope = (returns @ torch.tensor([1.0, -8.0, 8.0, -1.0], dtype=torch.float64)) / (12 * step)
        scale = exact.norm() * direction.norm()  # relative to the largest slope that such a step could have
        assert abs(slope - (exact * direction).sum()) / scale < 1e-8


def test_reference_values_of_frozen_lake():
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    uniform = torch.full((16, 4), 0.25, dtype=torch.float64)
    assert mdp.expected_return(uniform).item() == pytest.approx(0.0123561, abs=5e-8)
    assert mdp.optimal_values()[0].item() == pytest.approx(0.5420259, abs=5e-8)
    cliff = TabularMDP.from_gymnasium("CliffWalking-v1", gamma=0.99)  # 13 steps at −1 each along the edge
    assert (cliff.optimal_values() @ cliff.initial).item() == pytest.approx(-(1 - 0.99**13) / 0.01, rel=1e-12)


@pytest.mark.parametrize("name", TABLES)
def test_solutions_satisfy_their_equations(name):
    env_id, kwargs = TABLES[name]
    mdp = TabularMDP.from_gymnasium(env_id, gamma=0.95, **kwargs)
    probs = torch.softmax(random_logits(mdp, 1), -1)
    value, q, rho = mdp.state_values(probs), mdp.action_values(probs), mdp.occupancy(probs)
    torch.testing.assert_close((probs * q).sum(-1), value, rtol=1e-10, atol=1e-10)  # V = E_a Q
    assert (rho * (probs * mdp.reward).sum(-1)).sum().item() == pytest.approx(mdp.expected_return(probs).item())
    assert (rho >= -1e-15).all() and rho.sum() <= 1 / (1 - mdp.gamma) + 1e-9
    assert (mdp.transition.sum(-1) < 0.5).any(), "these environments all terminate somewhere: mass must be missing"


def test_a_table_without_gymnasium_around_it_is_read_in_double_precision():
    outcomes = {0: [(0.1, 0, 0.3, False), (0.2, 0, 0.7, False), (0.7, 1, 0.9, True)]}
    table = SimpleNamespace(P={0: outcomes, 1: {0: [(1.0, 1, 0.0, True)]}}, initial_state_distrib=[0.9, 0.1])
    mdp = TabularMDP.from_gymnasium(table)
    assert mdp.gamma == 0.99 and mdp.initial.tolist() == [0.9, 0.1]
    assert mdp.transition.tolist() == [[[0.1 + 0.2, 0.0]], [[0.0, 0.0]]]
    assert mdp.reward.tolist() == [[0.1 * 0.3 + 0.2 * 0.7 + 0.7 * 0.9], [0.0]]


def test_an_offset_is_added_to_every_reward_and_changes_nothing_else():
    mdp, _ = two_states()
    raised = mdp.with_reward_offset(0.5)
    assert raised.reward.tolist() == [[1.5, 0.5], [2.5, 2.5]] and raised.gamma == mdp.gamma
    assert torch.equal(raised.transition, mdp.transition) and torch.equal(raised.initial, mdp.initial)


def test_termination_is_missing_mass_and_time_limits_are_not():
    env = gymnasium.make("FrozenLake-v1", map_name="4x4", is_slippery=False)
    mdp = TabularMDP.from_gymnasium(env, gamma=0.9)
    assert mdp.transition[14, 2].sum() == 0 and mdp.reward[14, 2] == 1  # stepping right from 14 reaches the goal
    right = torch.tensor([0.0, 0.0, 1.0, 0.0]).expand(16, 4)
    assert mdp.state_values(right)[14].item() == 1.0  # nothing is bootstrapped beyond it
    wall = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(16, 4)
    assert mdp.occupancy(wall).sum().item() == pytest.approx(10.0)  # walking into the wall never ends: Σ γ^t


def test_leading_axes_are_independent_policies():
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99)
    logits = torch.stack([random_logits(mdp, s) for s in range(6)]).view(2, 3, 16, 4)
    probs = torch.softmax(logits, -1)
    for together, alone in (
        (mdp.policy_gradient(logits), mdp.policy_gradient(logits[1, 2])),
        (mdp.action_values(probs), mdp.action_values(probs[1, 2])),
        (mdp.occupancy(probs), mdp.occupancy(probs[1, 2])),
        (mdp.expected_return(probs), mdp.expected_return(probs[1, 2])),
    ):
        torch.testing.assert_close(together[1, 2], alone, rtol=1e-11, atol=1e-13)


def test_two_policies_in_two_states_are_not_taken_for_one():
    mdp, probs = two_states()
    other = [[0.8, 0.2], [0.5, 0.5]]
    alone = torch.stack([mdp.occupancy(probs), mdp.occupancy(other)])
    torch.testing.assert_close(mdp.occupancy([probs, other]), alone, rtol=1e-14, atol=0)


def test_policy_path_improves_and_starts_uniform():
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99)
    path = mdp.policy_path(60, 2.0)
    returns = mdp.expected_return(torch.softmax(path, -1))
    assert path.shape == (61, 16, 4) and (path[0] == 0).all()
    assert (returns.diff() > 0).all()
    assert returns[-1] < mdp.optimal_values() @ mdp.initial
    start = mdp.policy_path(0, 2.0)
    assert torch.equal(start, path[:1]) and start.dtype == torch.float64


def test_numpy_and_float32_come_in_and_float64_comes_out():
    mdp = TabularMDP(np.zeros((1, 2, 1), np.float32), np.array([[1, 3]]), [1], 0)
    value = mdp.state_values(np.array([[0.5, 0.5]], np.float32))
    assert value.dtype == torch.float64 and value.item() == 2.0


GOOD = dict(transition=np.full((2, 3, 2), 0.5), reward=np.zeros((2, 3)), initial=[0.5, 0.5], gamma=0.9)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (dict(transition=np.zeros((2, 3))), ValueError, r"transition has shape \(2, 3\), wanted \(S, A, S\)"),
        (dict(transition=np.zeros((2, 3, 4))), ValueError, r"transition has shape \(2, 3, 4\)"),
        (
            dict(transition=np.full((2, 3, 2), 0.6)),
            ValueError,
            "transition has a row that sums to 1.2, wanted at most 1",
        ),
        (dict(transition=np.full((2, 3, 2), -0.1)), ValueError, "transition holds a negative probability"),
        (dict(transition=np.full((2, 3, 2), np.nan)), ValueError, "transition holds NaN"),
        (dict(transition="P"), TypeError, "transition must be numeric, got str"),
        (dict(transition=np.zeros((2, 0, 2))), ValueError, r"transition has shape \(2, 0, 2\)"),
        (dict(initial=[0.0, 0.0]), ValueError, "initial has a row that sums to 0, wanted 1"),
        (dict(reward=np.zeros(3)), ValueError, r"reward has shape \(3,\), wanted \(2, 3\) = \(S, A\)"),
        (dict(reward=np.full((2, 3), np.inf)), ValueError, "reward holds NaN or infinity"),
        (dict(initial=[1.0]), ValueError, r"initial has shape \(1,\), wanted \(2,\) = \(S,\)$"),
        (dict(initial=[np.nan, 1.0]), ValueError, "^initial holds NaN"),
        (dict(initial=[0.5, 0.4]), ValueError, "initial has a row that sums to 0.9, wanted 1"),
        (dict(gamma=1.1), ValueError, r"gamma must lie in \[0, 1\], got 1.1"),
        (dict(gamma=-0.1), ValueError, r"gamma must lie in \[0, 1\], got -0.1"),
        (dict(gamma=float("nan")), ValueError, "gamma must lie"),
        (dict(gamma="0.9"), TypeError, "gamma must be a number"),
    ],
)
def test_bad_tables_are_refused(change, error, words):
    with pytest.raises(error, match=words):
        TabularMDP(**(GOOD | change))


def test_bad_policies_are_refused():
    mdp = TabularMDP(**GOOD)
    with pytest.raises(ValueError, match=r"probs has shape \(3, 2\), wanted \(2, 3\) = \(S, A\)"):
        mdp.state_values(np.full((3, 2), 0.5))
    with pytest.raises(ValueError, match="probs has a row that sums to 1.5, wanted 1"):
        mdp.occupancy(np.full((2, 3), 0.5))
    with pytest.raises(ValueError, match="probs holds a negative probability"):
        mdp.action_values([[1.5, -0.5, 0.0]] * 2)
    with pytest.raises(ValueError, match="^probs holds NaN"):
        mdp.state_values(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="logits holds NaN"):
        mdp.policy_gradient(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match=r"logits has shape \(3,\), wanted \(2, 3\) = \(S, A\) at the end"):
        mdp.policy_gradient(np.zeros(3))
    with pytest.raises(ValueError, match="n_steps must be at least 0"):
        mdp.policy_path(-1, 1.0)
    with pytest.raises(ValueError, match="step_size must be finite"):
        mdp.policy_path(2, float("nan"))
    with pytest.raises(ValueError, match="offset must be finite"):
        mdp.with_reward_offset(float("nan"))


def test_advantages_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"q has shape \(3,\), wanted \(2, 3\) like probs: nothing is broadcast"):
        advantages(torch.ones(2, 3), torch.ones(3))


def test_a_table_belongs_to_the_mdp_once_it_is_made():
    transition, reward = torch.full((1, 1, 1), 0.5).double(), np.ones((1, 1))
    mdp = TabularMDP(transition, reward, [1.0], 0.5)
    transition.fill_(7.0)
    reward[:] = 7.0
    assert mdp.state_values([[1.0]]).item() == pytest.approx(4 / 3)


def test_a_singular_system_is_refused():
    mdp = TabularMDP([[[1.0]]], [[1.0]], [1.0], gamma=float(np.nextafter(1.0, 0.0)))
    for question in (mdp.state_values, mdp.occupancy, mdp.expected_return):
        with pytest.raises(ValueError, match="gamma=0.9999999999999999: the system I − γP is singular"):
            question([[1.0]])


def test_environments_without_a_table_are_refused():
    with pytest.raises(ValueError, match="has no transition table"):
        TabularMDP.from_gymnasium("CartPole-v1")
    with pytest.raises(ValueError, match="gymnasium cannot make 'NoSuchLake-v1'"):
        TabularMDP.from_gymnasium("NoSuchLake-v1")
    with pytest.raises(ValueError, match="cannot make 'FrozenLake-v1' with {'map_name': '9x9'}: KeyError: '9x9'$"):
        TabularMDP.from_gymnasium("FrozenLake-v1", map_name="9x9")
    with pytest.raises(ValueError, match="env <object object at .*> has no transition table"):
        TabularMDP.from_gymnasium(object())
    for half in ({"P": {0: {0: [(1.0, 0, 0.0, True)]}}}, {"initial_state_distrib": [1.0]}):
        with pytest.raises(ValueError, match="has no transition table: wanted attributes P and initial_state_distrib"):
            TabularMDP.from_gymnasium(SimpleNamespace(**half))
    with pytest.raises(TypeError, match="so map_name, is_slippery would be ignored"):
        TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), map_name="8x8", is_slippery=False)
