"""Losses tested by their *gradients* (a policy-gradient loss has no meaningful value), against the exact MDP."""

import functools

import pytest
import torch

from offac_lite import equations as eq
from offac_lite import updates as up
from offac_lite.exact import TabularMDP
from offac_lite.exact.estimators import gradient_moments
from offac_lite.networks import (
    Categorical,
    CategoricalPolicy,
    ContinuousQCritic,
    DiscreteQCritic,
    TanhGaussianPolicy,
    TwinQCritic,
    VCritic,
    of_actions,
)
from tests import rng


@pytest.fixture(scope="module")
def lake():
    return TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")


def every_pair(weights):
    """All (s, a) pairs of a table of weights, as a batch of S states with K = A 'samples' each."""
    n_states, n_actions = weights.shape
    return torch.arange(n_states), torch.arange(n_actions)[:, None].expand(n_actions, n_states)


@pytest.mark.parametrize("per_seed", [False, True])
def test_the_soft_target_s_fixed_point_is_the_value_of_reward_and_entropy_to_come(lake, per_seed):
    """V(s) + α H(π(·|s)) of the soft Q is the value where each state pays α H(π(·|s)) on top of the reward."""
    pi, alpha = Categorical(torch.randn(16, 4, dtype=torch.float64, generator=rng())), 0.3
    entropy = pi.entropy()
    paid = TabularMDP(lake.transition, lake.reward + alpha * entropy[:, None], lake.initial, lake.gamma)
    q = paid.action_values(pi.probs) - alpha * entropy[:, None]  # the entropy of s itself does not hang on a
    log_pi = pi.probs.log()
    given = torch.full((1, 1), alpha, dtype=torch.float64) if per_seed else alpha
    soft = eq.soft_q(q[None], log_pi[None], given)[0] if per_seed else eq.soft_q(q, log_pi, given)
    value = (pi.probs * soft).sum(-1)
    torch.testing.assert_close(lake.reward + lake.gamma * lake.transition @ value, q)
    torch.testing.assert_close(value, paid.state_values(pi.probs))


@pytest.mark.parametrize("old", [False, True], ids=["pi's states", "the buffer's states"])
def test_policy_gradient_loss_has_the_exact_gradient(lake, old):
    """Feed each (s, a) once, its advantage weighted by ρ(s) π(a|s): minus the loss's gradient must be ∇J exactly."""
    path = lake.policy_path(10, 2.0)
    logits = path[-1].clone().requires_grad_()
    behavior = torch.softmax(path[2] if old else path[-1], -1)
    pi = Categorical(logits)
    q = lake.action_values(pi.probs.detach())
    advantage = q - (pi.probs.detach() * q).sum(-1, keepdim=True)
    weight = lake.occupancy(behavior)[:, None] * pi.probs.detach() * 64  # 64 pairs: the loss takes their mean
    _, actions = every_pair(q)
    loss = eq.policy_gradient_loss(pi.log_prob(actions), of_actions(weight * advantage, actions))
    (gradient,) = torch.autograd.grad(loss, logits)
    m = gradient_moments(lake, path[-1], "expected", behavior=behavior)
    torch.testing.assert_close(-gradient, m.surrogate, rtol=1e-9, atol=1e-12)
    if not old:
        torch.testing.assert_close(-gradient, lake.policy_gradient(path[-1]), rtol=1e-9, atol=1e-12)


def test_policy_gradient_loss_sends_no_gradient_into_the_advantage():
    q = torch.ones(1, 4, requires_grad=True)
    log_prob = torch.zeros(1, 4, requires_grad=True)
    eq.policy_gradient_loss(log_prob, q).backward()
    assert q.grad is None and log_prob.grad.tolist() == [[-0.25] * 4]


def test_targets_converge_to_the_exact_values(lake):
    """Q ← r + γ (1 − d) E_a′ Q(s′, a′), iterated over the whole table with our function, must reach Q^π."""
    probs = torch.softmax(lake.policy_path(10, 2.0)[-1], -1)
    alive = lake.transition.sum(-1)
    q = torch.zeros(16, 4, dtype=torch.float64)
    for _ in range(3000):
        next_value = (lake.transition @ (probs * q).sum(-1)) / alive.clamp_min(1e-300)
        continues = eq.q_target(
            lake.reward.flatten(), torch.zeros(64, dtype=torch.bool), next_value.flatten(), lake.gamma
        )
        stops = eq.q_target(lake.reward.flatten(), torch.ones(64, dtype=torch.bool), next_value.flatten(), lake.gamma)
        q = torch.where(alive.flatten() > 0, alive.flatten() * continues + (1 - alive.flatten()) * stops, stops)
        q = q.view(16, 4)
    torch.testing.assert_close(q, lake.action_values(probs), rtol=1e-9, atol=1e-9)


def test_targets_mask_termination_only_and_carry_no_gradient():
    next_q = torch.full((2, 3), 10.0, requires_grad=True)
    target = eq.q_target(torch.ones(3), torch.tensor([False, True, False]), next_q, 0.9)
    assert target.tolist() == [10.0, 1.0, 10.0] and not target.requires_grad
    infinite = eq.v_target(torch.ones(1), torch.tensor([True]), torch.tensor([float("inf")]), 0.9)
    assert infinite.item() == 1.0  # nothing leaks past a terminal state, not even inf · 0


def test_one_sample_is_an_estimate_of_what_many_average():
    """E over a′ of the single-sample target is the target with the exact sum, and M samples cut its variance by M."""
    pi = Categorical(torch.tensor([[0.5, -1.0, 0.2]], dtype=torch.float64))
    q_next = torch.tensor([[1.0, 4.0, -2.0]], dtype=torch.float64)
    value = (pi.probs * q_next).sum(-1)
    variance = (pi.probs * (q_next - value).square()).sum(-1).item()
    n = 40_000
    for m in (1, 8):
        a = Categorical(pi.log_probs.expand(n, 3)).sample(m, generator=rng(m))
        y = eq.q_target(
            torch.zeros(n).double(), torch.zeros(n, dtype=torch.bool), of_actions(q_next.expand(n, 3), a), 0.5
        )
        assert y.mean().item() == pytest.approx(0.5 * value.item(), abs=4.5 * 0.5 * (variance / m / n) ** 0.5)
        assert y.var().item() == pytest.approx(0.25 * variance / m, rel=0.1)


def test_critic_loss_gradient_is_the_td_error_and_never_reaches_the_target():
    prediction = torch.tensor([1.0, 5.0], requires_grad=True)
    target = torch.tensor([3.0, 4.0], requires_grad=True)
    eq.critic_loss(prediction, target).backward()
    assert prediction.grad.tolist() == [-1.0, 0.5] and target.grad is None


@pytest.mark.parametrize("n", [2, 5])
def test_leave_one_out_is_unbiased_and_uses_the_others_only(n):
    q = torch.randn(3, n, 4, generator=rng(), dtype=torch.float64)
    expected = torch.stack([q[:, k] - q[:, [j for j in range(n) if j != k]].mean(1) for k in range(n)], 1)
    torch.testing.assert_close(eq.leave_one_out(q), expected)


def test_importance_ratio_has_mean_one_under_the_behavior():
    beta, pi = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.1, 0.3, 0.6])
    ratio = eq.importance_ratio(pi.log(), beta.log())
    assert (beta * ratio).sum().item() == pytest.approx(1.0)
    assert eq.importance_ratio(pi.log(), beta.log(), clip=2.0).max() == 2.0
    assert eq.importance_ratio(pi.log(), beta.log(), clip=0.5).max() == 0.5  # below 1 as well
    assert not eq.importance_ratio(pi.log().requires_grad_(), beta.log()).requires_grad


def batch_of(n_seeds=None, n=32):
    from offac_lite.buffer import Transition

    lead = (n,) if n_seeds is None else (n_seeds, n)
    gen = rng(5)
    fields = dict(
        obs=torch.randn(*lead, 4, generator=gen),
        action=torch.randint(0, 3, lead, generator=gen),
        reward=torch.randn(lead, generator=gen),
        next_obs=torch.randn(*lead, 4, generator=gen),
        terminated=torch.rand(lead, generator=gen) < 0.3,
    )
    return Transition(**{f: None for f in Transition._fields} | fields)


@pytest.mark.parametrize("n_seeds", [None, 3])
def test_critic_step_fits_the_target_it_says(n_seeds):
    """With next states that all terminate, y = r: three hundred steps must drive Q(s, a) to r."""
    policy = CategoricalPolicy(4, 3, (16,), n_seeds=n_seeds, generator=rng())
    critic = DiscreteQCritic(4, 3, (64,), n_seeds=n_seeds, generator=rng(1))
    batch = batch_of(n_seeds)._replace(terminated=torch.ones(batch_of(n_seeds).reward.shape, dtype=torch.bool))
    optimizer = torch.optim.Adam(critic.parameters(), 1e-2)
    losses = [
        up.critic_step(critic, critic, policy, optimizer, batch, gamma=0.9, next_action_samples=2, generator=rng())
        for _ in range(300)
    ]
    assert losses[0].shape == (() if n_seeds is None else (3,))
    assert (losses[-1] < 1e-3 * losses[0]).all()
    torch.testing.assert_close(critic(batch.obs, batch.action), batch.reward, atol=0.15, rtol=0)


@pytest.mark.parametrize("baseline", [None, "value", "leave-one-out"])
@pytest.mark.parametrize("n_seeds", [None, 3])
def test_actor_step_climbs_q(baseline, n_seeds):
    """With a critic that prefers action 2 everywhere, whatever was stored, the policy must come to prefer it."""
    policy = CategoricalPolicy(4, 3, (16,), n_seeds=n_seeds, generator=rng())
    critic = DiscreteQCritic(4, 3, (), n_seeds=n_seeds, generator=rng())
    with torch.no_grad():
        ((weight, bias),) = critic.net.layers()
        weight.zero_()
        bias.copy_(torch.tensor([[0.0], [0.0], [1.0]]))
    optimizer = torch.optim.Adam(policy.parameters(), 1e-2)
    obs, gen = batch_of(n_seeds).obs, rng()
    for _ in range(150):
        up.actor_step(policy, critic, optimizer, obs, action_samples=4, baseline=baseline, generator=gen)
    assert (policy(obs).probs[..., 2] > 0.9).all()
    assert all(p.grad is None for p in critic.parameters())


def moved(network, before):
    return [old - new for old, new in zip(before, network.parameters(), strict=True)]


@pytest.mark.parametrize("n_seeds", [None, 3])
def test_critic_step_is_one_step_down_its_equation(n_seeds):
    """One step of plain gradient descent is the gradient of the equation, written out by hand with the same a′."""
    nets = dict(hidden=(16,), n_seeds=n_seeds)
    policy = CategoricalPolicy(4, 3, generator=rng(), out_gain=3.0, **nets)
    critic, target = (DiscreteQCritic(4, 3, generator=rng(s), **nets) for s in (1, 2))
    batch, before = batch_of(n_seeds), [p.detach().clone() for p in critic.parameters()]
    with torch.no_grad():
        next_action = policy(batch.next_obs).sample(5, generator=rng(7))
        y = batch.reward + 0.9 * ~batch.terminated * target(batch.next_obs, next_action).mean(-2)
    loss = 0.5 * (critic(batch.obs, batch.action) - y).square().mean(-1)
    wanted = torch.autograd.grad(loss.sum(), list(critic.parameters()))
    sgd = torch.optim.SGD(critic.parameters(), 1.0)
    said = up.critic_step(critic, target, policy, sgd, batch, gamma=0.9, next_action_samples=5, generator=rng(7))
    torch.testing.assert_close(said, loss.detach())
    torch.testing.assert_close(moved(critic, before), list(wanted), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("bonus", [0.0, 0.3])
@pytest.mark.parametrize("baseline", [None, "value", "leave-one-out"])
@pytest.mark.parametrize("n_seeds", [None, 3])
@pytest.mark.parametrize("k", [2, 5])
def test_actor_step_is_one_step_up_its_equation(k, n_seeds, baseline, bonus):
    nets = dict(hidden=(16,), n_seeds=n_seeds)
    policy = CategoricalPolicy(4, 3, generator=rng(), out_gain=3.0, **nets)
    critic = DiscreteQCritic(4, 3, generator=rng(1), **nets)
    obs, before = batch_of(n_seeds).obs, [p.detach().clone() for p in policy.parameters()]
    pi = policy(obs)
    action = pi.sample(k, generator=rng(7))
    with torch.no_grad():
        q = critic(obs, action)
        if baseline == "value":
            q = q - (pi.probs * critic.all_actions(obs)).sum(-1).unsqueeze(-2)
        elif baseline == "leave-one-out":
            q = q - (q.sum(-2, keepdim=True) - q) / (k - 1)
    objective = (pi.log_prob(action) * q).mean((-2, -1)) + bonus * pi.entropy().mean(-1)
    wanted = torch.autograd.grad(-objective.sum(), list(policy.parameters()))
    sgd = torch.optim.SGD(policy.parameters(), 1.0)
    choice = dict(action_samples=k, baseline=baseline, entropy_bonus=bonus)
    said = up.actor_step(policy, critic, sgd, obs, **choice, generator=rng(7))
    torch.testing.assert_close(said, -objective.detach())
    torch.testing.assert_close(moved(policy, before), list(wanted), atol=1e-6, rtol=1e-4)


def test_losses_keep_the_seeds_apart():
    x = torch.randn(3, 2, 5, generator=rng(), requires_grad=True)
    assert eq.policy_gradient_loss(x, x.detach()).shape == eq.reparameterized_loss(x).shape == (3,)
    eq.reparameterized_loss(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, -0.1))


def test_td_advantage_is_the_td_error_and_a_constant():
    value, next_value = (torch.full((2,), v, requires_grad=True) for v in (4.0, 10.0))
    advantage = eq.td_advantage(torch.ones(2), torch.tensor([False, True]), value, next_value, 0.5)
    assert advantage.tolist() == [2.0, -3.0] and not advantage.requires_grad


def test_what_is_not_finite_updates_nothing():
    policy, critic = CategoricalPolicy(4, 3, generator=rng()), DiscreteQCritic(4, 3, generator=rng(1))
    before = [p.detach().clone() for p in (*policy.parameters(), *critic.parameters())]
    batch = batch_of()._replace(reward=torch.full((32,), torch.nan))
    sgd = torch.optim.SGD([*policy.parameters(), *critic.parameters()], 1.0)
    with pytest.raises(ValueError, match="loss is nan: NaN or infinity; nothing was updated"):
        up.critic_step(critic, critic, policy, sgd, batch, gamma=0.9, generator=rng())
    with pytest.raises(ValueError, match="loss is nan: NaN or infinity; nothing was updated"):
        up.actor_step(policy, critic, sgd, batch.obs, entropy_bonus=float("nan"), generator=rng())
    for old, new in zip(before, (*policy.parameters(), *critic.parameters()), strict=True):
        assert torch.equal(old, new)


def test_polyak_update_of_two_shapes_changes_nothing():
    stack, alone = VCritic(2, (3,), n_seeds=3, generator=rng(0)), VCritic(2, (3,), generator=rng(1))
    before = [p.detach().clone() for p in stack.parameters()]
    with pytest.raises(
        ValueError, match=r"target has parameters \[\(3, 13\)\], source \[\(13,\)\]; wanted the same shapes"
    ):
        up.polyak_update(stack, alone, 0.5)
    assert all(torch.equal(old, new) for old, new in zip(before, stack.parameters(), strict=True))


def test_polyak_update_moves_every_parameter_by_tau():
    source, target = VCritic(2, (3,), generator=rng(0)), VCritic(2, (3,), generator=rng(1))
    before = [p.clone() for p in target.parameters()]
    up.polyak_update(target, source, 0.25)
    for old, new, src in zip(before, target.parameters(), source.parameters(), strict=True):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * src)


def column(n=4):
    return torch.zeros(n, 1)


@pytest.mark.parametrize(
    ("attempt", "error", "words"),
    [
        (
            lambda: eq.v_target(torch.zeros(4), torch.zeros(4), torch.zeros(4), 0.9),
            TypeError,
            "terminated has dtype torch.float32",
        ),
        (
            lambda: eq.v_target(torch.zeros(4), torch.zeros(4, dtype=torch.bool), column(), 0.9),
            ValueError,
            r"next_value has shape \(4, 1\), wanted \(4,\) like reward: nothing is broadcast",
        ),
        (
            lambda: eq.v_target(torch.zeros(4), torch.zeros(4, dtype=torch.bool), torch.zeros(4), 1.1),
            ValueError,
            "gamma must lie",
        ),
        (
            lambda: eq.v_target(torch.zeros(4), torch.zeros(4, 1, dtype=torch.bool), torch.zeros(4), 0.9),
            ValueError,
            r"terminated has shape \(4, 1\), wanted \(4,\) like reward",
        ),
        (lambda: eq.critic_loss(column(), torch.zeros(4)), ValueError, r"prediction has shape \(4, 1\), wanted \(4,\)"),
        (lambda: eq.policy_gradient_loss(torch.zeros(2, 4), torch.zeros(4)), ValueError, r"advantage has shape \(4,\)"),
        (
            lambda: eq.policy_gradient_loss(torch.zeros(4), torch.zeros(4)),
            ValueError,
            r"^log_prob has shape \(4,\), wanted \(..., K, B\), with .unsqueeze\(-2\) for K = 1",
        ),
        (lambda: eq.leave_one_out(torch.zeros(1, 4)), ValueError, "there is no other action to average"),
        (
            lambda: eq.critic_loss(torch.zeros(0), torch.zeros(0)),
            ValueError,
            r"^prediction has .*, wanted \(..., B\), and",
        ),
        (
            lambda: eq.reparameterized_loss(torch.zeros(4)),
            ValueError,
            r"^q has shape \(4,\), wanted \(..., K, B\), and",
        ),
        (
            lambda: eq.importance_ratio(torch.zeros(4), torch.full((4,), torch.nan)),
            ValueError,
            "^behavior_log_prob holds NaN: log_prob was not given",
        ),
        (
            lambda: up.polyak_update(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1), 0.0),
            ValueError,
            r"tau must lie in \(0, 1\], got 0",
        ),
        (
            lambda: eq.td_advantage(torch.zeros(4), torch.zeros(4, dtype=torch.bool), column(), torch.zeros(4), 0.9),
            ValueError,
            r"value has shape \(4, 1\)",
        ),
        (lambda: eq.importance_ratio(torch.zeros(2), torch.tensor([0.0, torch.nan])), ValueError, "was not given"),
        (
            lambda: eq.importance_ratio(torch.zeros(1), torch.tensor([-torch.inf])),
            ValueError,
            "^behavior_log_prob is inf",
        ),
        (lambda: eq.importance_ratio(torch.full((1,), torch.nan), torch.zeros(1)), ValueError, "^log_prob holds NaN"),
        (
            lambda: eq.importance_ratio(torch.full((1,), torch.inf), torch.zeros(1)),
            ValueError,
            "^log_prob holds NaN or",
        ),
        (lambda: eq.importance_ratio(torch.zeros(1), torch.zeros(1), clip=-1.0), ValueError, "clip must be above 0"),
        (lambda: eq.importance_ratio(torch.zeros(1), torch.zeros(1), clip=0.0), ValueError, "clip must be above 0"),
        (
            lambda: eq.importance_ratio(torch.zeros(4), column()),
            ValueError,
            r"behavior_log_prob has shape \(4, 1\), wanted \(4,\) like log_prob",
        ),
        (
            lambda: eq.q_target(torch.zeros(4), torch.zeros(4, dtype=torch.bool), column(), 0.9),
            ValueError,
            r"next_q has shape \(4, 1\), wanted \(4,\)",
        ),
        (
            lambda: eq.q_target(torch.zeros(4), torch.zeros(4, dtype=torch.bool), torch.zeros(0, 4), 0.9),
            ValueError,
            r"^next_q has shape \(0, 4\), wanted \(..., M, B\), and not empty",
        ),
        (
            lambda: up.actor_step(
                TanhGaussianPolicy(2, [-1.0], [1.0], generator=rng()),
                ContinuousQCritic(2, 1, generator=rng()),
                None,
                torch.zeros(5, 2),
                baseline="value",
                generator=rng(),
            ),
            ValueError,
            "a value of every action is wanted, which only discrete actions allow",
        ),
    ],
)
def test_bad_shapes_are_refused(attempt, error, words):
    with pytest.raises(error, match=words):
        attempt()


INTEGERS = torch.ones(2, 4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("attempt", "name"),
    [
        (lambda x: eq.q_target(x[0], x[0] > 0, INTEGERS, 0.9), "next_q"),
        (lambda x: eq.critic_loss(INTEGERS, x), "prediction"),
        (lambda x: eq.policy_gradient_loss(INTEGERS, x), "log_prob"),
        (lambda x: eq.reparameterized_loss(INTEGERS), "q"),
    ],
)
def test_whole_numbers_are_refused_by_name(attempt, name):
    with pytest.raises(TypeError, match=f"^{name} has dtype torch.int64, wanted floating-point numbers"):
        attempt(torch.ones(2, 4))


def twins(n_seeds, seed=1):
    return TwinQCritic(functools.partial(DiscreteQCritic, 4, 3, (16,), generator=rng(seed)), n_seeds)


def gradient_of(network, step):
    """Take a step of plain gradient descent at rate 1, undo it; return what the step said, and where it went."""
    before = [p.detach().clone() for p in network.parameters()]
    said = step(torch.optim.SGD(network.parameters(), 1.0))
    gradient = moved(network, before)
    network.load_state_dict(dict(zip(dict(network.named_parameters()), before, strict=True)), strict=False)
    return said, gradient


@pytest.mark.parametrize("how_many", [5, "all"])
@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("n_seeds", [None, 3])
def test_both_twins_learn_from_the_one_target_that_the_smaller_makes(n_seeds, twin, how_many):
    policy = CategoricalPolicy(4, 3, (16,), n_seeds=n_seeds, generator=rng(), out_gain=3.0)
    one = {"hidden": (16,), "n_seeds": n_seeds}
    critic, target = (twins(n_seeds, s) if twin else DiscreteQCritic(4, 3, generator=rng(s), **one) for s in (1, 2))
    batch, every = batch_of(n_seeds), torch.arange(3).view(3, 1)
    with torch.no_grad():
        pi = policy(batch.next_obs)
        every = every.expand(*batch.reward.shape[:-1], 3, 32)
        values = target.each(batch.next_obs, every) if twin else target(batch.next_obs, every).unsqueeze(0)
        smaller = values.min(0).values.movedim(-2, -1)  # (..., B, A)
        if how_many == "all":
            next_value = (pi.probs * smaller).sum(-1)
        else:
            next_value = of_actions(smaller, pi.sample(5, generator=rng(7))).mean(-2)
        y = batch.reward + 0.9 * ~batch.terminated * next_value
    predictions = critic.each(batch.obs, batch.action) if twin else [critic(batch.obs, batch.action)]
    loss = sum(0.5 * (prediction - y).square().mean(-1) for prediction in predictions)
    wanted = torch.autograd.grad(loss.sum(), list(critic.parameters()))
    how = dict(gamma=0.9, next_action_samples=how_many, generator=rng(7))
    said, gradient = gradient_of(critic, lambda sgd: up.critic_step(critic, target, policy, sgd, batch, **how))
    torch.testing.assert_close(said, loss.detach())
    torch.testing.assert_close(gradient, list(wanted), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_seeds", [None, 3])
def test_v_critic_step_is_one_step_down_its_equation(n_seeds, weighted):
    critic, target = (VCritic(4, (16,), n_seeds=n_seeds, generator=rng(s)) for s in (1, 2))
    batch = batch_of(n_seeds)
    weight = (3 * torch.rand(batch.reward.shape, generator=rng(3))).requires_grad_() if weighted else None
    with torch.no_grad():
        y = batch.reward + 0.9 * ~batch.terminated * target(batch.next_obs)
    loss = 0.5 * ((weight if weighted else 1.0) * (critic(batch.obs) - y).square()).mean(-1)
    wanted = torch.autograd.grad(loss.sum(), list(critic.parameters()))
    how = dict(gamma=0.9, weight=weight)
    said, gradient = gradient_of(critic, lambda sgd: up.v_critic_step(critic, target, sgd, batch, **how))
    torch.testing.assert_close(said, loss.detach())
    torch.testing.assert_close(gradient, list(wanted), atol=1e-6, rtol=1e-4)
    assert weight is None or weight.grad is None, "the critic's loss reaches the policy through ρ"


@pytest.mark.parametrize("bonus", [0.0, 0.3])
@pytest.mark.parametrize("baseline", [None, "value", "leave-one-out"])
@pytest.mark.parametrize("n_seeds", [None, 3])
def test_all_actions_give_the_exact_gradient_whatever_the_baseline(n_seeds, baseline, bonus):
    """Σ_a ∇π(a|s) Q(s, a) and the gradient of the entropy, written without log π of any action drawn."""
    policy = CategoricalPolicy(4, 3, (16,), n_seeds=n_seeds, generator=rng(), out_gain=3.0)
    critic, obs = twins(n_seeds), batch_of(n_seeds).obs
    pi = torch.softmax(policy.net(obs), -1)
    objective = (pi * critic.all_actions(obs).detach() - bonus * pi * pi.log()).sum(-1).mean(-1)
    wanted = torch.autograd.grad(-objective.sum(), list(policy.parameters()))
    how = dict(action_samples="all", baseline=baseline, entropy_bonus=bonus, generator=rng())
    said, gradient = gradient_of(policy, lambda sgd: up.actor_step(policy, critic, sgd, obs, **how))
    torch.testing.assert_close(said, -objective.detach())
    torch.testing.assert_close(gradient, list(wanted), atol=1e-6, rtol=1e-4)
    assert all(p.grad is None for p in critic.parameters())


@pytest.mark.parametrize("baseline", [None, "value", "leave-one-out"])
def test_resampled_actions_estimate_the_exact_gradient(baseline):
    policy, critic, obs = CategoricalPolicy(4, 3, (), generator=rng(), out_gain=3.0), twins(None), batch_of().obs[:4]

    def gradient(**how):
        step = functools.partial(up.actor_step, policy, critic, obs=obs, generator=rng(3), **how)
        return gradient_of(policy, lambda sgd: step(optimizer=sgd))[1][0]

    exact = gradient(action_samples="all")
    assert (gradient(action_samples=100_000, baseline=baseline) - exact).norm() < 0.03 * exact.norm()


@pytest.mark.parametrize("bonus", [0.0, 0.3])
def test_stored_actions_weighted_by_rho_have_the_resampled_gradient_on_average(bonus):
    """Each (s, a) once, its advantage times β(a|s): the average over β of ρ ∇log π Q is the sum over π's actions."""
    policy, critic, obs = CategoricalPolicy(4, 3, (16,), generator=rng(), out_gain=3.0), twins(None), batch_of().obs
    beta = torch.softmax(torch.randn(32, 3, generator=rng(9)), -1)
    states, actions = obs.repeat_interleave(3, 0), torch.arange(3).repeat(32)
    batch = batch_of()._replace(obs=states, action=actions)
    with torch.no_grad():
        ratio = eq.importance_ratio(policy(states).log_prob(actions), beta.log().flatten())
        advantage = 3 * beta.flatten() * critic(states, actions)

    def stored(weight):
        how = dict(weight=weight, entropy_bonus=bonus)
        return gradient_of(policy, lambda sgd: up.stored_actor_step(policy, sgd, batch, advantage, **how))[1]

    how = dict(action_samples="all", entropy_bonus=bonus, generator=rng())
    _, exact = gradient_of(policy, lambda sgd: up.actor_step(policy, critic, sgd, obs, **how))
    torch.testing.assert_close(stored(ratio), exact, atol=1e-6, rtol=1e-3)
    assert not torch.allclose(stored(None)[0], exact[0], atol=1e-3)  # without ρ it is another direction


@pytest.mark.parametrize("bonus", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_seeds", [None, 3])
def test_stored_actor_step_is_one_step_up_its_equation(n_seeds, weighted, bonus):
    policy = CategoricalPolicy(4, 3, (16,), n_seeds=n_seeds, generator=rng(), out_gain=3.0)
    batch = batch_of(n_seeds)
    weight = 3 * torch.rand(batch.reward.shape, generator=rng(3)) if weighted else None
    pi = policy(batch.obs)
    terms = (weight if weighted else 1.0) * pi.log_prob(batch.action) * batch.reward + bonus * pi.entropy()
    wanted = torch.autograd.grad(-terms.mean(-1).sum(), list(policy.parameters()))
    how = dict(weight=weight, entropy_bonus=bonus)
    said, gradient = gradient_of(policy, lambda sgd: up.stored_actor_step(policy, sgd, batch, batch.reward, **how))
    torch.testing.assert_close(said, -terms.mean(-1).detach())
    torch.testing.assert_close(gradient, list(wanted), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("told", [{"action_samples": 1}, {"entropy_bonus": 0.0}])
def test_steps_take_one_action_and_no_entropy_bonus_unless_told(told):
    batch, nets = batch_of(), dict(hidden=(16,), out_gain=3.0)
    policy, critic = CategoricalPolicy(4, 3, generator=rng(), **nets), twins(None)
    gaussian = TanhGaussianPolicy(4, [-1.0], [1.0], generator=rng(), **nets)
    of_pairs = ContinuousQCritic(4, 1, generator=rng(1))

    def down(action_samples=None, **how):
        how |= {} if action_samples is None else {"next_action_samples": action_samples}
        return up.critic_step(critic, twins(None, 2), policy, batch=batch, gamma=0.9, generator=rng(7), **how)

    stored = functools.partial(up.stored_actor_step, policy, batch=batch, advantage=batch.reward)
    score = functools.partial(up.actor_step, policy, critic, obs=batch.obs)
    through = functools.partial(up.reparameterized_actor_step, gaussian, of_pairs, obs=batch.obs)
    steps = [
        (policy, lambda **how: score(generator=rng(7), **how)),
        (gaussian, lambda **how: through(generator=rng(7), **how)),
        (critic, down) if "action_samples" in told else (policy, stored),
    ]
    for network, step in steps:
        silent, said = (gradient_of(network, lambda sgd, how=how: step(optimizer=sgd, **how)) for how in ({}, told))  # noqa: B023
        torch.testing.assert_close(silent, said, atol=0, rtol=0)


@pytest.mark.parametrize("bonus", [0.0, 0.3])
@pytest.mark.parametrize("n_seeds", [None, 3])
def test_reparameterized_step_goes_through_the_action_and_leaves_the_critic_alone(n_seeds, bonus):
    nets = dict(hidden=(16,), n_seeds=n_seeds)
    policy = TanhGaussianPolicy(4, [-1.0, 0.0], [1.0, 4.0], generator=rng(), out_gain=1.0, **nets)
    critic, obs = ContinuousQCritic(4, 2, generator=rng(1), **nets), batch_of(n_seeds).obs
    pi = policy(obs)
    noise = torch.randn(pi.mean.unsqueeze(-3).expand(*pi.mean.shape[:-2], 5, 32, 2).shape, generator=rng(7))
    u = pi.mean.unsqueeze(-3) + pi.log_std.exp().unsqueeze(-3) * noise
    action = torch.tensor([0.0, 2.0]) + torch.tensor([1.0, 2.0]) * torch.tanh(u)
    objective = (critic(obs, action) - bonus * pi.log_prob(action)).mean((-2, -1))
    wanted = torch.autograd.grad(-objective.sum(), list(policy.parameters()))
    how = dict(action_samples=5, entropy_bonus=bonus, generator=rng(7))
    said, gradient = gradient_of(policy, lambda sgd: up.reparameterized_actor_step(policy, critic, sgd, obs, **how))
    torch.testing.assert_close(said, -objective.detach())
    torch.testing.assert_close(gradient, list(wanted), atol=1e-5, rtol=1e-3)
    assert all(p.grad is None and p.requires_grad for p in critic.parameters())


def test_score_and_reparameterized_steps_estimate_one_gradient():
    """Two ways to the same ∇ E Q(s, a) and entropy, on a critic that is linear in the action."""
    policy = TanhGaussianPolicy(4, [-1.0], [1.0], (), generator=rng(), out_gain=1.0)
    critic, obs = ContinuousQCritic(4, 1, (), generator=rng(1)), batch_of().obs[:4]
    how = dict(action_samples=100_000, entropy_bonus=0.1, generator=rng(3))
    score = gradient_of(policy, lambda sgd: up.actor_step(policy, critic, sgd, obs, baseline="leave-one-out", **how))
    through = gradient_of(policy, lambda sgd: up.reparameterized_actor_step(policy, critic, sgd, obs, **how))
    assert (score[1][0] - through[1][0]).norm() < 0.03 * through[1][0].norm()


def test_functions_of_your_own_take_their_place():
    policy, critic = CategoricalPolicy(4, 3, generator=rng()), DiscreteQCritic(4, 3, generator=rng(1))
    batch, seen = batch_of(), []

    def spy(name):
        return lambda *given: seen.append((name, given[1].shape)) or getattr(eq, name)(*given)

    sgd = torch.optim.SGD([*policy.parameters(), *critic.parameters()], 0.1)
    up.critic_step(critic, critic, policy, sgd, batch, gamma=0.9, generator=rng(), q_target=spy("q_target"))
    v_critic = VCritic(4, generator=rng())
    v_sgd = torch.optim.SGD(v_critic.parameters(), 0.1)
    up.v_critic_step(v_critic, VCritic(4, generator=rng(1)), v_sgd, batch, gamma=0.9, v_target=spy("v_target"))
    loss = spy("policy_gradient_loss")
    own = dict(policy_gradient_loss=loss, leave_one_out=lambda q: seen.append(("leave_one_out", q.shape)) or q)
    how = dict(action_samples=4, baseline="leave-one-out", generator=rng())
    up.actor_step(policy, critic, sgd, batch.obs, **how, **own)
    up.stored_actor_step(policy, sgd, batch, batch.reward, policy_gradient_loss=loss)
    assert seen == [
        ("q_target", (32,)),
        ("v_target", (32,)),
        ("leave_one_out", (4, 32)),
        ("policy_gradient_loss", (4, 32)),
        ("policy_gradient_loss", (1, 32)),
    ]


def test_not_finite_error_says_which_seeds():
    parameter = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(up.NotFiniteError) as caught:
        up.descend(torch.optim.SGD([parameter], 1.0), parameter * torch.tensor([1.0, torch.nan, torch.inf]))
    assert caught.value.seeds.tolist() == [False, True, True] and parameter.tolist() == [1.0] * 3


def test_a_loss_that_could_teach_the_optimizer_s_parameters_nothing_is_refused():
    parameter, other = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    sgd = torch.optim.SGD([parameter], 1.0)
    with pytest.raises(ValueError, match="^loss carries no gradient: it was computed without any parameter"):
        up.descend(sgd, parameter.detach())
    with pytest.raises(ValueError, match="^loss depends on no parameter of optimizer: was it made for another network"):
        up.descend(sgd, other.square())
    assert parameter.tolist() == other.tolist() == [1.0] * 3


@pytest.mark.parametrize("rows", [3, 6], ids=["one network of each seed", "twins"])
def test_seeds_given_up_stay_where_they_are_and_do_not_stop_the_others(rows):
    parameter, alive = torch.nn.Parameter(torch.ones(rows, 2)), torch.tensor([True, False, True])
    sgd = torch.optim.SGD([parameter], 1.0)
    factor = torch.tensor([1.0, torch.nan, 3.0]).repeat(rows // 3)
    said = up.descend(sgd, (factor * parameter.sum(-1)).view(-1, 3).sum(0), alive)
    assert said.tolist() == [2.0 * (rows // 3), 0.0, 6.0 * (rows // 3)]
    assert parameter.tolist() == [[0.0] * 2, [1.0] * 2, [-2.0] * 2] * (rows // 3)


def continuous(how_many=1):
    policy = TanhGaussianPolicy(4, [-1.0], [1.0], generator=rng())
    return policy, ContinuousQCritic(4, 1, generator=rng()), batch_of()._replace(action=torch.zeros(32, 1))


def critic_step_of_all(policy, critic, batch):
    up.critic_step(critic, critic, policy, None, batch, gamma=0.9, next_action_samples="all", generator=rng())


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (
            lambda p, c, b: critic_step_of_all(p, c, b),
            "a value of every action is wanted, which only discrete actions allow",
        ),
        (
            lambda p, c, b: up.actor_step(p, c, None, b.obs, action_samples="all", generator=rng()),
            "a value of every action is wanted, which only discrete actions allow",
        ),
        (
            lambda p, c, b: up.stored_actor_step(p, None, b, b.reward, entropy_bonus=0.1),
            "a sum over all actions needs discrete actions",
        ),
        (
            lambda p, c, b: up.stored_actor_step(p, None, b, b.reward, weight=b.reward.unsqueeze(-1)),
            r"weight has shape \(32, 1\), wanted \(32,\) like advantage: nothing is broadcast",
        ),
        (
            lambda p, c, b: up.stored_actor_step(p, None, b, b.reward.unsqueeze(-1)),
            r"advantage has shape \(32, 1\), wanted \(32,\) like log_prob: nothing is broadcast",
        ),
        (
            lambda p, c, b: up.reparameterized_actor_step(
                CategoricalPolicy(4, 2, generator=rng()), c, None, b.obs, generator=rng()
            ),
            "^a discrete action has no derivative",
        ),
        (
            lambda p, c, b: up.v_critic_step(
                VCritic(4, generator=rng()), VCritic(4, generator=rng()), None, b, gamma=0.9, weight=torch.ones(32, 1)
            ),
            r"weight has shape \(32, 1\), wanted \(32,\) like value",
        ),
        (
            lambda p, c, b: up.actor_step(p, c, None, b.obs, baseline="Value", generator=rng()),
            "baseline must be one of None, 'value', 'leave-one-out'; got 'Value'",
        ),
    ],
)
def test_steps_refuse_what_they_cannot_do(attempt, words):
    with pytest.raises(ValueError, match=words):
        attempt(*continuous())


def step_with(step, **change):
    """Take `step` with arguments that are right but for `change`."""
    policy, critic = CategoricalPolicy(4, 3, generator=rng()), DiscreteQCritic(4, 3, generator=rng(1))
    (gaussian, of_pairs, _), value, batch = continuous(), VCritic(4, generator=rng()), batch_of()
    of_batch, of_states = dict(batch=batch, gamma=0.9), dict(obs=batch.obs, generator=rng())
    learns, given = {
        "critic_step": (critic, dict(critic=critic, target_critic=critic, policy=policy, **of_batch, generator=rng())),
        "v_critic_step": (value, dict(critic=value, target_critic=value, **of_batch)),
        "actor_step": (policy, dict(policy=policy, critic=critic, **of_states)),
        "reparameterized_actor_step": (gaussian, dict(policy=gaussian, critic=of_pairs, **of_states)),
        "stored_actor_step": (policy, dict(policy=policy, batch=batch, advantage=batch.reward)),
    }[step]
    return getattr(up, step)(**(given | dict(optimizer=torch.optim.SGD(learns.parameters(), 0.1)) | change))


WRONG = [
    ("critic_step", "next_action_samples", 0, "next_action_samples must be at least 1"),
    ("actor_step", "baseline", "leave-one-out", r"q has shape \(1, 32\), wanted .* K >= 2"),
    ("actor_step", "action_samples", 0, "action_samples must be at least 1"),
    ("reparameterized_actor_step", "action_samples", 0, "action_samples must be at least 1, got 0"),
]


@pytest.mark.parametrize(("step", "name", "value", "words"), WRONG)
def test_steps_say_which_argument_is_wrong(step, name, value, words):
    step_with(step)
    with pytest.raises((TypeError, ValueError, RuntimeError), match=f"^{words}"):
        step_with(step, **{name: value})


def test_a_critic_of_other_actions_than_the_policy_s_is_refused():
    critic = DiscreteQCritic(4, 1, generator=rng())
    with pytest.raises(ValueError, match=r"^q has shape \(32, 1\), wanted \(32, 3\) like probs: nothing is broadcast"):
        step_with("actor_step", critic=critic, action_samples="all")
