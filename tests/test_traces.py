"""Multi-step targets: fixed points against linear systems, contraction against theorems, means against samples."""

import math

import pytest
import torch

from offac_lite.exact import TabularMDP
from offac_lite.exact.traces import (
    clipped_policy,
    n_step_operator,
    retrace_coefficient,
    trace_operator,
    v_trace_operator,
)
from tests import rng


def random_policy(seed, n_states=5, n_actions=3):
    return torch.softmax(1.5 * torch.randn(n_states, n_actions, generator=rng(seed), dtype=torch.float64), -1)


@pytest.fixture(params=["random", "lake"], scope="module")
def world(request):
    """An MDP, π and β."""
    if request.param == "lake":
        mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        path = torch.softmax(mdp.policy_path(20, 5.0), -1)
        return mdp, path[-1], path[0]
    transition = torch.rand(5, 3, 5, generator=rng(), dtype=torch.float64)
    transition *= 0.9 / transition.sum(-1, keepdim=True)
    reward = torch.randn(5, 3, generator=rng(1), dtype=torch.float64)
    return TabularMDP(transition, reward, torch.ones(5) / 5, 0.9), random_policy(2), random_policy(3)


COEFFICIENTS = {
    "one step": lambda pi, beta: 0 * pi,
    "Retrace, λ = 1": lambda pi, beta: retrace_coefficient(pi, beta, 1.0),
    "Retrace, λ = 0.5": lambda pi, beta: retrace_coefficient(pi, beta, 0.5),
    "tree backup": lambda pi, beta: pi,
    "importance sampling": lambda pi, beta: pi / beta,
    "uncorrected": lambda pi, beta: 0.5 * torch.ones_like(pi),
}


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_every_trace_has_the_fixed_point_of_pi_and_the_safe_ones_contract_by_gamma(world, name):
    mdp, pi, beta = world
    operator = trace_operator(mdp, pi, beta, COEFFICIENTS[name](pi, beta))
    q = mdp.action_values(pi)
    torch.testing.assert_close(operator.fixed_point(), q)
    torch.testing.assert_close(operator(q), q)
    if name != "uncorrected":
        assert operator.contraction() <= mdp.gamma + 1e-12
    values = torch.randn(q.shape, generator=rng(4), dtype=torch.float64)
    error = (operator(values) - q).abs().max()
    assert error <= operator.contraction() * (values - q).abs().max() + 1e-12
    if name == "one step":
        one_step = mdp.reward + mdp.gamma * mdp.transition @ (pi * values).sum(-1)
        torch.testing.assert_close(operator(values), one_step)
    if name == "importance sampling":
        torch.testing.assert_close(operator(values), q)  # the whole return, corrected


def test_longer_traces_contract_faster(world):
    mdp, pi, beta = world
    factors = [
        trace_operator(mdp, pi, beta, retrace_coefficient(pi, beta, lam)).contraction() for lam in (0, 0.5, 0.9, 1)
    ]
    assert sorted(factors, reverse=True) == factors and factors[0] - factors[-1] > 0.005


def test_uncorrected_n_step_targets_go_from_the_values_of_pi_to_those_of_beta(world):
    mdp, pi, beta = world
    one, many = (n_step_operator(mdp, pi, beta, n) for n in (1, 3_000))
    torch.testing.assert_close(one.fixed_point(), mdp.action_values(pi))
    torch.testing.assert_close(many.fixed_point(), mdp.action_values(beta))
    for n in (2, 5):
        operator = n_step_operator(mdp, pi, beta, n)
        assert operator.contraction() <= mdp.gamma**n + 1e-12
        q = torch.zeros_like(mdp.reward)
        for _ in range(3_000):  # the target written out, step by step from the last
            y = (pi * q).sum(-1)
            for _ in range(n - 1):
                y = (beta * (mdp.reward + mdp.gamma * mdp.transition @ y)).sum(-1)
            q = mdp.reward + mdp.gamma * mdp.transition @ y
        torch.testing.assert_close(operator.fixed_point(), q)
        same = n_step_operator(mdp, pi, pi, n)
        torch.testing.assert_close(same.fixed_point(), mdp.action_values(pi))


@pytest.mark.parametrize("rho_bar", [0.3, 1.0, 2.0, math.inf])
def test_rho_bar_decides_the_fixed_point_of_v_trace_and_c_bar_only_the_speed(world, rho_bar):
    mdp, pi, beta = world
    target = mdp.state_values(clipped_policy(pi, beta, rho_bar))
    factors = []
    for c_bar in (0.1, 0.3, 1.0, 2.0):
        operator = v_trace_operator(mdp, pi, beta, rho_bar, c_bar)
        torch.testing.assert_close(operator.fixed_point(), target)
        if c_bar <= rho_bar:
            factors.append(operator.contraction())
            least = (beta * (pi / beta).clamp(max=rho_bar)).sum(-1).min().item()
            assert operator.contraction() <= 1 - (1 - mdp.gamma) * least + 1e-9  # Espeholt et al., theorem 1
    assert sorted(factors, reverse=True) == factors
    if rho_bar == math.inf:
        torch.testing.assert_close(target, mdp.state_values(pi))
    else:
        assert (target - mdp.state_values(pi)).abs().max() > 0.01
    nearly_beta = clipped_policy(pi, beta, 1e-13)
    torch.testing.assert_close(nearly_beta, beta)


def test_the_mean_of_sampled_targets_is_the_operator_s():
    mdp, pi, beta = TabularMDP([[[0.0, 1.0]] * 2, [[0.7, 0.2]] * 2], [[1.0, 0.0], [0.0, 2.0]], [1.0, 0.0], 0.8), 0, 0
    pi, beta = random_policy(5, 2, 2), random_policy(6, 2, 2)
    q, n, steps, gen = torch.tensor([[1.0, -2.0], [0.5, 3.0]]).double(), 40_000, 60, rng(7)
    v, coefficient, ratio = (pi * q).sum(-1), retrace_coefficient(pi, beta, 0.9), pi / beta
    values, rho_bar, c_bar = torch.tensor([0.5, -1.0]).double(), 1.2, 0.8
    s, alive = torch.zeros(n, dtype=torch.int64), torch.ones(n, dtype=torch.bool)
    a = torch.ones(n, dtype=torch.int64)  # Q's target begins with the action 1
    retrace, v_trace, trace, v_product = q[s, a], values[s], torch.ones(n).double(), torch.ones(n).double()
    b = torch.multinomial(beta[s], 1, generator=gen)[:, 0]  # V-trace's begins with an action of β
    state, action, on = s.clone(), b, alive.clone()
    for t in range(steps):
        go = mdp.transition[s, a].cumsum(-1)
        u = torch.rand(n, 1, generator=gen, dtype=torch.float64)
        next_s, goes_on = (u > go).sum(-1).clamp(max=1), (u < go[:, -1:])[:, 0]
        delta = mdp.reward[s, a] + mdp.gamma * goes_on * v[next_s] - q[s, a]
        retrace = retrace + mdp.gamma**t * trace * alive * delta
        s, alive = next_s, alive & goes_on
        a = torch.multinomial(beta[s], 1, generator=gen)[:, 0]
        trace = trace * coefficient[s, a]

        go = mdp.transition[state, action].cumsum(-1)
        u = torch.rand(n, 1, generator=gen, dtype=torch.float64)
        next_s, goes_on = (u > go).sum(-1).clamp(max=1), (u < go[:, -1:])[:, 0]
        r = ratio[state, action]
        delta = mdp.reward[state, action] + mdp.gamma * goes_on * values[next_s] - values[state]
        v_trace = v_trace + mdp.gamma**t * v_product * on * r.clamp(max=rho_bar) * delta
        v_product = v_product * r.clamp(max=c_bar)
        state, on = next_s, on & goes_on
        action = torch.multinomial(beta[state], 1, generator=gen)[:, 0]
    wanted = trace_operator(mdp, pi, beta, coefficient)(q)[0, 1]
    assert abs(retrace.mean() - wanted) < 4.5 * retrace.std() / n**0.5
    wanted = v_trace_operator(mdp, pi, beta, rho_bar, c_bar)(values)[0]
    assert abs(v_trace.mean() - wanted) < 4.5 * v_trace.std() / n**0.5


def test_actions_that_beta_never_takes():
    mdp = TabularMDP([[[0.5], [0.5]]], [[1.0, 0.0]], [1.0], 0.9)
    pi, beta = [[0.5, 0.5]], [[1.0, 0.0]]
    assert retrace_coefficient(pi, beta, 0.8).tolist() == [[0.4, 0.8]]
    assert clipped_policy(pi, beta, math.inf).tolist() == [[1.0, 0.0]], "V-trace learns of no action without data"
    torch.testing.assert_close(
        v_trace_operator(mdp, pi, beta, math.inf, 1.0).fixed_point(), mdp.state_values([[1.0, 0.0]])
    )


ONE = TabularMDP([[[1.0], [1.0]]], [[1.0, 0.0]], [1.0], 0.5)
HALF = [[0.5, 0.5]]


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: retrace_coefficient(HALF, HALF, 1.5), r"lam must lie in \[0, 1\], got 1.5"),
        (lambda: retrace_coefficient([[0.5, 0.6]], HALF, 1), "probs"),
        (lambda: retrace_coefficient(HALF, [[1.0]], 1), r"behavior has shape \(1, 1\), wanted \(1, 2\)"),
        (lambda: trace_operator(ONE, HALF, HALF, [[1.0]]), r"coefficient has shape \(1, 1\)"),
        (lambda: trace_operator(ONE, HALF, HALF, [[-1.0, 1.0]]), "coefficient holds a negative number"),
        (lambda: trace_operator(ONE, HALF, HALF, [[9.0, 9.0]]), "coefficient is so large that the sum"),
        (lambda: n_step_operator(ONE, HALF, HALF, 0), "n must be at least 1, got 0"),
        (lambda: clipped_policy(HALF, HALF, 0.0), "rho_bar must be"),
        (lambda: clipped_policy([[1.0, 0.0]], [[0.0, 1.0]], 1.0), "behavior takes no action of probs in some state"),
        (lambda: v_trace_operator(ONE, HALF, HALF, 1.0, -1.0), "c_bar must be"),
        (lambda: v_trace_operator(ONE, [[0.9, 0.2]], HALF, 1.0, 1.0), "probs"),
        (lambda: n_step_operator(ONE, HALF, HALF, 1)([1.0]), r"values has shape \(1,\), wanted \(1, 2\) = \(S, A\)"),
        (lambda: v_trace_operator(ONE, HALF, HALF, 1.0, 1.0)(HALF), r"values has shape \(1, 2\), wanted \(1,\)"),
    ],
)
def test_bad_input_is_refused(attempt, words):
    with pytest.raises(ValueError, match=words):
        attempt()
