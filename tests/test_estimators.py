"""Means and variances against full enumeration of whole batches, samples against both, known numbers."""

import itertools

import pytest
import torch

from offac_lite.exact import TabularMDP
from offac_lite.exact.estimators import Estimator, break_even_actions, gradient_moments, sample_gradients


@pytest.fixture(scope="module")
def lake():
    return TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")


def small_problem(seed=0):
    """A random MDP of three states and three actions, with a policy, another policy, and a wrong critic."""
    gen = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.rand(*size, generator=gen, dtype=torch.float64)  # noqa: E731
    transition = draw(3, 3, 3)
    transition = 0.9 * transition / transition.sum(-1, keepdim=True)
    mdp = TabularMDP(transition, draw(3, 3), [0.5, 0.3, 0.2], 0.9)
    return mdp, 2 * draw(3, 3), torch.softmax(3 * draw(3, 3), -1), 5 * draw(3, 3)


def enumerate_moments(mdp, logits, estimator, batch_size, action_samples, baseline, behavior, q):
    """Mean and total variance by walking through every possible batch, with autograd's ∇log π: slow and plain."""
    logits = logits.clone().requires_grad_()
    log_probs = torch.log_softmax(logits, -1)
    score = torch.stack([torch.autograd.grad(lp, logits, retain_graph=True)[0] for lp in log_probs.flatten()])
    score, pi = score.view(3, 3, 3, 3).detach(), log_probs.exp().detach()
    beta = pi if behavior is None else behavior
    q = mdp.action_values(pi) if q is None else q
    rho = mdp.occupancy(beta)
    source = beta if estimator in ("stored", "importance") else pi

    def estimate(s, actions):
        terms = []
        for k, a in enumerate(actions):
            if baseline == "value":
                b = (pi[s] * q[s]).sum()
            elif baseline == "leave-one-out":
                b = sum(q[s, other] for j, other in enumerate(actions) if j != k) / (len(actions) - 1)
            else:
                b = 0.0
            weight = pi[s, a] / beta[s, a] if estimator == "importance" else 1.0
            terms.append(weight * score[s, a] * (q[s, a] - b))
        return sum(terms) / len(terms)

    outcomes = []  # (probability, gradient) of one state with its actions
    for s in range(3):
        if estimator == "expected":
            outcomes.append((rho[s] / rho.sum(), sum(pi[s, a] * estimate(s, [a]) for a in range(3))))
            continue
        for actions in itertools.product(range(3), repeat=action_samples):
            probability = rho[s] / rho.sum() * torch.stack([source[s, a] for a in actions]).prod()
            if probability > 0:
                outcomes.append((probability, estimate(s, actions)))
    mean, second = 0.0, 0.0
    for batch in itertools.product(outcomes, repeat=batch_size):
        probability = torch.stack([p for p, _ in batch]).prod()
        g = rho.sum() * sum(g for _, g in batch) / batch_size
        mean, second = mean + probability * g, second + probability * g.square().sum()
    return mean, (second - mean.square().sum()).item()


CASES = [
    ("stored", None, 2, 1),
    ("stored", "value", 1, 1),
    ("importance", None, 2, 1),
    ("importance", "value", 1, 1),
    ("resampled", None, 1, 3),
    ("resampled", None, 2, 2),
    ("resampled", "value", 1, 3),
    ("resampled", "value", 2, 1),
    ("resampled", "leave-one-out", 1, 2),
    ("resampled", "leave-one-out", 1, 4),
    ("resampled", "leave-one-out", 2, 2),
    ("expected", None, 3, 1),
    ("expected", "value", 2, 1),
]


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh data, exact Q", "old data, wrong Q"])
@pytest.mark.parametrize(("estimator", "baseline", "batch_size", "action_samples"), CASES)
def test_moments_agree_with_the_enumeration_of_every_batch(estimator, baseline, batch_size, action_samples, fresh):
    mdp, logits, behavior, q = small_problem()
    if fresh:
        behavior = q = None
    m = gradient_moments(
        mdp,
        logits,
        estimator,
        batch_size=batch_size,
        action_samples=action_samples,
        baseline=baseline,
        behavior=behavior,
        q=q,
    )
    mean, variance = enumerate_moments(mdp, logits, estimator, batch_size, action_samples, baseline, behavior, q)
    torch.testing.assert_close(m.mean, mean, rtol=1e-9, atol=1e-12)
    assert m.variance == pytest.approx(variance, rel=1e-9, abs=1e-12)
    floor = gradient_moments(mdp, logits, "expected", batch_size=batch_size, behavior=behavior, q=q).variance_states
    if estimator == "resampled":
        assert m.variance_states == pytest.approx(floor, rel=1e-9)
    assert m.bias == pytest.approx((mean - mdp.policy_gradient(logits)).norm().item(), abs=1e-12)


@pytest.mark.parametrize(("estimator", "baseline", "batch_size", "action_samples"), CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_samples_have_the_exact_moments(lake, estimator, baseline, batch_size, action_samples, seed):
    gen = torch.Generator().manual_seed(seed)
    path = lake.policy_path(20, 2.0)
    kwargs = dict(
        batch_size=batch_size, action_samples=action_samples, baseline=baseline, behavior=torch.softmax(path[5], -1)
    )
    n = 20_000
    g = sample_gradients(lake, path[20], estimator, **kwargs, n_samples=n, generator=gen)
    m = gradient_moments(lake, path[20], estimator, **kwargs)
    assert g.shape == (n, 16, 4)
    deviations = (g - m.mean).square().sum((1, 2))  # each has mean m.variance: a z-test on the variance
    assert abs(deviations.mean() - m.variance) < 4.5 * deviations.std() / n**0.5
    # E‖sample mean − mean‖² = variance/n; with few effective directions its spread is of the same size.
    assert (g.mean(0) - m.mean).square().sum() < 8 * m.variance / n


def test_fresh_data_is_unbiased_and_uncorrected_stored_actions_are_not(lake):
    path = lake.policy_path(20, 2.0)
    old = torch.softmax(path[0], -1)
    scale = lake.policy_gradient(path[20]).norm().item()
    for estimator in ("stored", "importance", "resampled", "expected"):
        assert gradient_moments(lake, path[20], estimator).bias < 1e-12 * scale
    for estimator in ("importance", "resampled", "expected"):
        m = gradient_moments(lake, path[20], estimator, behavior=old)
        assert m.bias_surrogate < 1e-12 * scale < 0.1 * scale < m.bias  # actions repaired, states not
    stored = gradient_moments(lake, path[20], "stored", baseline="value", behavior=old)
    assert stored.bias_surrogate > 0.1 * scale


def test_more_actions_lower_one_term_only_and_more_states_both(lake):
    logits = torch.zeros(16, 4)
    one, many, batch = (
        gradient_moments(lake, logits, "resampled", batch_size=n, action_samples=k)
        for n, k in [(1, 1), (1, 50), (10, 1)]
    )
    assert many.variance_states == one.variance_states
    assert many.variance_actions == pytest.approx(one.variance_actions / 50)
    assert batch.variance == pytest.approx(one.variance / 10)
    floor = gradient_moments(lake, logits, "expected")
    assert floor.variance_actions == 0 and floor.variance_states == pytest.approx(one.variance_states)


def test_a_baseline_changes_no_mean_but_an_offset_of_the_reward_costs_variance(lake):
    logits, raised = torch.zeros(16, 4), lake.with_reward_offset(1.0)
    plain, value = (gradient_moments(raised, logits, "resampled", baseline=b) for b in (None, "value"))
    torch.testing.assert_close(plain.mean, value.mean, rtol=1e-9, atol=1e-12)
    assert value.variance_actions < plain.variance_actions / 100


def test_no_baseline_changes_what_all_actions_give_not_even_one_without_a_second_action():
    mdp, logits, behavior, q = small_problem()
    plain, *others = (
        gradient_moments(mdp, logits, "expected", baseline=b, behavior=behavior, q=q)
        for b in (None, "value", "leave-one-out")
    )
    for m in others:
        torch.testing.assert_close(m.mean, plain.mean, rtol=1e-12, atol=1e-15)
        assert m.variance == pytest.approx(plain.variance, rel=1e-12)


def test_break_even_number_of_actions(lake):
    uniform = torch.zeros(16, 4)
    assert break_even_actions(lake, uniform) == pytest.approx(18.5, abs=0.05)
    assert break_even_actions(lake.with_reward_offset(1.0), uniform) == pytest.approx(147, abs=0.5)
    logits = lake.policy_path(10, 2.0)[-1]
    k_star = break_even_actions(lake, logits)  # what it promises: it lies between the whole numbers that decide
    fewer, more = (gradient_moments(lake, logits, "resampled", action_samples=int(k_star) + i).variance for i in (0, 1))
    assert fewer > gradient_moments(lake, logits, "resampled", baseline="value").variance > more


def test_break_even_uses_the_behavior_and_the_critic_given():
    mdp, logits, behavior, q = small_problem()
    k_star, data = break_even_actions(mdp, logits, behavior=behavior, q=q), dict(behavior=behavior, q=q)
    a, b = (gradient_moments(mdp, logits, "resampled", baseline=x, **data).variance for x in (None, "value"))
    floor = gradient_moments(mdp, logits, "expected", **data).variance
    assert k_star == pytest.approx((a - floor) / (b - floor))
    assert abs(k_star / break_even_actions(mdp, logits) - 1) > 0.05


@pytest.mark.parametrize("seed", range(20))
def test_break_even_is_infinite_for_two_equal_actions_in_any_mdp(seed):
    gen = torch.Generator().manual_seed(seed)
    transition = torch.rand(3, 2, 3, generator=gen, dtype=torch.float64)
    reward = torch.rand(3, 2, generator=gen, dtype=torch.float64)
    mdp = TabularMDP(0.9 * transition / transition.sum(-1, keepdim=True), reward, [1.0, 0.0, 0.0], 0.9)
    assert break_even_actions(mdp, torch.zeros(3, 2)) == float("inf")


def test_cosine_is_right_for_the_smallest_gradients(lake):
    small = TabularMDP(lake.transition, 1e-9 * lake.reward, lake.initial, lake.gamma)
    assert gradient_moments(small, torch.zeros(16, 4), "resampled").cosine == pytest.approx(1.0)
    nothing = TabularMDP(lake.transition, 0 * lake.reward, lake.initial, lake.gamma)
    assert gradient_moments(nothing, torch.zeros(16, 4), "resampled").cosine == 0.0
    mdp, logits, behavior, q = small_problem()
    m = gradient_moments(mdp, logits, "stored", behavior=behavior, q=q)
    assert m.cosine == pytest.approx(((m.mean * m.target).sum() / m.mean.norm() / m.target.norm()).item())


def test_the_number_of_actions_in_force():
    mdp, logits, _, _ = small_problem()
    assert [
        gradient_moments(mdp, logits, e, action_samples=7).action_samples for e in ("stored", "importance", "resampled")
    ] == [
        1,
        1,
        7,
    ]


def test_break_even_where_the_advantage_is_noiseless():
    """Two equally likely actions: (onehot − π)(Q − V) is the same for both, so the advantage leaves no noise."""
    bandit = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], 0.5)
    assert break_even_actions(bandit, [[0.0, 0.0]]) == float("inf")
    nothing = TabularMDP([[[0.0], [0.0]]], [[0.0, 0.0]], [1.0], 0.5)
    assert break_even_actions(nothing, [[0.0, 0.0]]) == 1.0


def test_importance_weights_cannot_invent_actions_that_were_never_taken():
    mdp, logits, _, _ = small_problem()
    behavior = torch.tensor([[0.5, 0.5, 0.0]] * 3).double()
    m = gradient_moments(mdp, logits, "importance", behavior=behavior)
    assert m.bias_surrogate > 1e-3
    mean, variance = enumerate_moments(mdp, logits, "importance", 1, 1, None, behavior, None)
    torch.testing.assert_close(m.mean, mean, rtol=1e-9, atol=1e-12)
    assert m.variance == pytest.approx(variance, rel=1e-9)
    gen = torch.Generator().manual_seed(0)
    assert torch.isfinite(sample_gradients(mdp, logits, "importance", behavior=behavior, generator=gen)).all()


def test_same_generator_same_samples_and_the_global_state_is_untouched(lake):
    before = torch.get_rng_state()
    one, two = (
        sample_gradients(
            lake, torch.zeros(16, 4), "resampled", n_samples=50, generator=torch.Generator().manual_seed(7)
        )
        for _ in range(2)
    )
    assert torch.equal(one, two)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_uniforms_at_the_edges_pick_the_first_or_last_possible_state_and_action(lake, edge):
    u = torch.tensor(edge).double()
    u = (u.nextafter(torch.tensor(0.0).double()) if edge else u).view(1, 1, 1)
    logits = torch.tensor([-1e9, 0.0, 1.0, -1e9]).double().expand(16, 4)  # actions 0 and 3 cannot be drawn
    g = Estimator(lake, logits, "resampled").from_uniforms(u[0], u)[0]
    probs = torch.softmax(logits, -1)
    rho = lake.occupancy(probs)
    visited = (rho > 0).nonzero().flatten()
    s, a = (visited[-1], 2) if edge else (visited[0], 1)
    wanted = torch.zeros(16, 4).double()
    wanted[s] = -probs[s]
    wanted[s, a] += 1
    torch.testing.assert_close(g, rho.sum() * lake.action_values(probs)[s, a] * wanted)


def test_each_uniform_number_picks_the_state_and_the_action_in_whose_share_it_falls():
    """γ = 0: states come from `initial` and Q is the reward. What has probability 0 is never picked."""
    share, picked = torch.tensor([0.0, 0.2, 0.3, 0.7, 0.9999]).double(), [1, 1, 2, 2, 3]  # of [0, ¼, ½, ¼]
    reward = torch.arange(1.0, 17.0).view(4, 4).double()
    mdp = TabularMDP(torch.zeros(4, 4, 4), reward, [0.0, 0.25, 0.5, 0.25], 0.0)
    states, actions = share.repeat_interleave(5).view(25, 1), share.repeat(5).view(25, 1, 1)
    behavior = mdp.initial.expand(4, 4)
    g = Estimator(mdp, torch.zeros(4, 4), "stored", behavior=behavior).from_uniforms(states, actions)
    wanted = torch.zeros(25, 4, 4).double()
    for i, (s, a) in enumerate(itertools.product(picked, repeat=2)):
        wanted[i, s] = -0.25 * reward[s, a]
        wanted[i, s, a] = 0.75 * reward[s, a]
    torch.testing.assert_close(g, wanted, rtol=1e-14, atol=0)


@pytest.mark.parametrize(("estimator", "baseline", "batch_size", "action_samples"), CASES)
def test_samples_are_the_estimates_that_the_numbers_of_the_generator_give(
    estimator, baseline, batch_size, action_samples
):
    mdp, logits, behavior, q = small_problem()
    how = dict(batch_size=batch_size, action_samples=action_samples, baseline=baseline, behavior=behavior, q=q)
    gen, shape = torch.Generator().manual_seed(3), (50, batch_size)
    numbers = [torch.rand(size, generator=gen, dtype=torch.float64) for size in (shape, (*shape, action_samples))]
    given = Estimator(mdp, logits, estimator, **how).from_uniforms(*numbers)
    drawn = sample_gradients(mdp, logits, estimator, **how, n_samples=50, generator=gen.manual_seed(3))
    torch.testing.assert_close(drawn, given, rtol=0, atol=0)


def test_the_functions_are_the_methods_of_an_estimator():
    mdp, logits, behavior, q = small_problem()
    how = dict(batch_size=3, action_samples=2, baseline="value", behavior=behavior, q=q)
    one, m = Estimator(mdp, logits, "resampled", **how), gradient_moments(mdp, logits, "resampled", **how)
    assert one.moments().variance == m.variance and torch.equal(one.moments().mean, m.mean)
    gen = torch.Generator()
    drawn = sample_gradients(mdp, logits, "resampled", **how, n_samples=5, generator=gen.manual_seed(1))
    assert torch.equal(one.sample(5, gen.manual_seed(1)), drawn)
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_actions'"):
        gradient_moments(mdp, logits, "resampled", n_actions=2)


def test_ten_thousand_samples_of_one_state_and_one_action_unless_told(lake):
    silent, told = (
        sample_gradients(lake, torch.zeros(16, 4), "resampled", generator=torch.Generator().manual_seed(0), **how)
        for how in ({}, dict(n_samples=10_000, batch_size=1, action_samples=1))
    )
    assert torch.equal(silent, told)


def test_samples_carry_no_gradient():
    mdp, logits, _, _ = small_problem()
    g = sample_gradients(mdp, logits.requires_grad_(), "resampled", n_samples=3, generator=torch.Generator())
    assert not g.requires_grad


def call(**change):
    mdp, logits, behavior, q = small_problem()
    kwargs = dict(mdp=mdp, logits=logits, estimator="resampled", behavior=behavior, q=q) | change
    for function in (gradient_moments, lambda **k: sample_gradients(**k, generator=torch.Generator())):
        yield lambda function=function: function(**kwargs)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (dict(estimator="reused"), ValueError, "estimator must be one of 'stored', .*; got 'reused'"),
        (dict(baseline="mean"), ValueError, "baseline must be one of None, 'value', 'leave-one-out'; got 'mean'"),
        (dict(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
        (dict(action_samples=0), ValueError, "action_samples must be at least 1, got 0"),
        (dict(action_samples=2.5), TypeError, "action_samples must be a whole number, got 2.5"),
        (dict(batch_size=True), TypeError, "batch_size must be a whole number"),
        (dict(baseline="leave-one-out"), ValueError, "'leave-one-out' averages the other K − 1 actions"),
        (
            dict(baseline="leave-one-out", estimator="stored", action_samples=9),
            ValueError,
            "estimator 'stored' uses action_samples=1",
        ),
        (dict(logits=torch.zeros(4)), ValueError, r"logits has shape \(4,\), wanted \(3, 3\) = \(S, A\)$"),
        (dict(logits=torch.full((3, 3), torch.nan)), ValueError, "logits holds NaN"),
        (dict(behavior=torch.ones(3, 3)), ValueError, "behavior has a row that sums to 3, wanted 1"),
        (dict(behavior=torch.ones(3, 1)), ValueError, r"behavior has shape \(3, 1\), .* = \(S, A\)$"),
        (dict(q=torch.ones(3)), ValueError, r"q has shape \(3,\), wanted \(3, 3\) = \(S, A\)$"),
        (dict(q=torch.full((3, 3), torch.inf)), ValueError, "q holds NaN or infinity"),
    ],
)
def test_bad_input_is_refused(change, error, words):
    for attempt in call(**change):
        with pytest.raises(error, match=words):
            attempt()


def test_bad_sampling_arguments_are_refused(lake):
    logits = torch.zeros(16, 4)
    with pytest.raises(TypeError, match="generator must be a torch.Generator, got int"):
        sample_gradients(lake, logits, "resampled", generator=0)
    with pytest.raises(ValueError, match="n_samples must be at least 1"):
        sample_gradients(lake, logits, "resampled", n_samples=0, generator=torch.Generator())
    from_uniforms = Estimator(lake, logits, "resampled").from_uniforms
    with pytest.raises(ValueError, match=r"state_uniforms must lie in \[0, 1\)"):
        from_uniforms(torch.ones(2, 1), torch.zeros(2, 1, 1))
    with pytest.raises(ValueError, match=r"action_uniforms must lie in \[0, 1\)"):
        from_uniforms(torch.zeros(2, 1), -torch.ones(2, 1, 1))
    with pytest.raises(ValueError, match=r"action_uniforms has shape \(2, 1\), wanted \(2, 1, 1\) = \(n, N, K\)"):
        from_uniforms(torch.zeros(2, 1), torch.zeros(2, 1))
    with pytest.raises(ValueError, match=r"action_uniforms has shape \(2, 1, 2\), wanted \(2, 1, 1\) = \(n, N, K\)"):
        from_uniforms(torch.zeros(2, 1), torch.zeros(2, 1, 2))
    with pytest.raises(ValueError, match=r"state_uniforms has shape \(2,\), wanted \(2, 1\) = \(n, N\)$"):
        from_uniforms(torch.zeros(2), torch.zeros(2, 1, 1))
    with pytest.raises(ValueError, match=r"action_uniforms has shape \(2, 1, 1\), wanted \(3, 1, 1\)"):
        from_uniforms(torch.zeros(3, 1), torch.zeros(2, 1, 1))
    with pytest.raises(ValueError, match=r"^state_uniforms holds NaN"):
        from_uniforms(torch.full((2, 1), torch.nan), torch.zeros(2, 1, 1))
    with pytest.raises(ValueError, match=r"^action_uniforms holds NaN"):
        from_uniforms(torch.zeros(2, 1), torch.full((2, 1, 1), torch.nan))
