"""Losses tested by their *gradients* (a policy-gradient loss has no meaningful value), against the exact MDP."""

import pytest
import torch

from offac_lite import TabularMDP
from offac_lite import updates as up
from offac_lite.estimators import gradient_moments
from offac_lite.networks import Categorical, CategoricalPolicy, DiscreteQCritic, VCritic, of_actions


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def lake():
    return TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")


def every_pair(weights):
    """All (s, a) pairs of a table of weights, as a batch of S states with K = A 'samples' each."""
    n_states, n_actions = weights.shape
    return torch.arange(n_states), torch.arange(n_actions)[:, None].expand(n_actions, n_states)


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
    loss = up.policy_gradient_loss(pi.log_prob(actions), of_actions(weight * advantage, actions))
    (gradient,) = torch.autograd.grad(loss, logits)
    m = gradient_moments(lake, path[-1], "expected", behavior=behavior)
    torch.testing.assert_close(-gradient, m.surrogate, rtol=1e-9, atol=1e-12)
    if not old:
        torch.testing.assert_close(-gradient, lake.policy_gradient(path[-1]), rtol=1e-9, atol=1e-12)


def test_policy_gradient_loss_sends_no_gradient_into_the_advantage():
    q = torch.ones(1, 4, requires_grad=True)
    log_prob = torch.zeros(1, 4, requires_grad=True)
    up.policy_gradient_loss(log_prob, q).backward()
    assert q.grad is None and log_prob.grad.tolist() == [[-0.25] * 4]


def test_targets_converge_to_the_exact_values(lake):
    """Q ← r + γ (1 − d) E_a′ Q(s′, a′), iterated over the whole table with our function, must reach Q^π."""
    probs = torch.softmax(lake.policy_path(10, 2.0)[-1], -1)
    alive = lake.transition.sum(-1)
    q = torch.zeros(16, 4, dtype=torch.float64)
    for _ in range(3000):
        next_value = (lake.transition @ (probs * q).sum(-1)) / alive.clamp_min(1e-300)
        continues = up.q_target(
            lake.reward.flatten(), torch.zeros(64, dtype=torch.bool), next_value.flatten(), lake.gamma
        )
        stops = up.q_target(lake.reward.flatten(), torch.ones(64, dtype=torch.bool), next_value.flatten(), lake.gamma)
        q = torch.where(alive.flatten() > 0, alive.flatten() * continues + (1 - alive.flatten()) * stops, stops)
        q = q.view(16, 4)
    torch.testing.assert_close(q, lake.action_values(probs), rtol=1e-9, atol=1e-9)


def test_targets_mask_termination_only_and_carry_no_gradient():
    next_q = torch.full((2, 3), 10.0, requires_grad=True)
    target = up.q_target(torch.ones(3), torch.tensor([False, True, False]), next_q, 0.9)
    assert target.tolist() == [10.0, 1.0, 10.0] and not target.requires_grad
    infinite = up.v_target(torch.ones(1), torch.tensor([True]), torch.tensor([float("inf")]), 0.9)
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
        y = up.q_target(
            torch.zeros(n).double(), torch.zeros(n, dtype=torch.bool), of_actions(q_next.expand(n, 3), a), 0.5
        )
        assert y.mean().item() == pytest.approx(0.5 * value.item(), abs=4.5 * 0.5 * (variance / m / n) ** 0.5)
        assert y.var().item() == pytest.approx(0.25 * variance / m, rel=0.1)


def test_critic_loss_gradient_is_the_td_error_and_never_reaches_the_target():
    prediction = torch.tensor([1.0, 5.0], requires_grad=True)
    target = torch.tensor([3.0, 4.0], requires_grad=True)
    up.critic_loss(prediction, target).backward()
    assert prediction.grad.tolist() == [-1.0, 0.5] and target.grad is None


def test_leave_one_out_is_unbiased_and_uses_the_others_only():
    q = torch.randn(3, 5, 4, generator=rng(), dtype=torch.float64)
    expected = torch.stack([q[:, k] - q[:, [j for j in range(5) if j != k]].mean(1) for k in range(5)], 1)
    torch.testing.assert_close(up.leave_one_out(q), expected)


def test_importance_ratio_has_mean_one_under_the_behavior():
    beta, pi = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.1, 0.3, 0.6])
    ratio = up.importance_ratio(pi.log(), beta.log())
    assert (beta * ratio).sum().item() == pytest.approx(1.0)
    assert up.importance_ratio(pi.log(), beta.log(), clip=2.0).max() == 2.0
    assert not up.importance_ratio(pi.log().requires_grad_(), beta.log()).requires_grad


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
    """With next states that all terminate, y = r: a thousand steps must drive Q(s, a) to r."""
    policy = CategoricalPolicy(4, 3, (16,), n_seeds=n_seeds, generator=rng())
    critic = DiscreteQCritic(4, 3, (64,), n_seeds=n_seeds, generator=rng(1))
    batch = batch_of(n_seeds)._replace(terminated=torch.ones(batch_of(n_seeds).reward.shape, dtype=torch.bool))
    optimizer = torch.optim.Adam(critic.parameters(), 1e-2)
    losses = [
        up.critic_step(critic, critic, policy, optimizer, batch, gamma=0.9, n_actions=2, generator=rng())
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
        critic.net.weights[0].zero_()
        critic.net.biases[0].copy_(torch.tensor([0.0, 0.0, 1.0]))
    optimizer = torch.optim.Adam(policy.parameters(), 1e-2)
    obs, gen = batch_of(n_seeds).obs, rng()
    for _ in range(150):
        up.actor_step(policy, critic, optimizer, obs, n_actions=4, baseline=baseline, generator=gen)
    assert (policy(obs).probs[..., 2] > 0.9).all()
    assert all(p.grad is None for p in critic.parameters())


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
            lambda: up.v_target(torch.zeros(4), torch.zeros(4), torch.zeros(4), 0.9),
            TypeError,
            "terminated has dtype torch.float32",
        ),
        (
            lambda: up.v_target(torch.zeros(4), torch.zeros(4, dtype=torch.bool), column(), 0.9),
            ValueError,
            r"next_value has shape \(4, 1\), wanted \(4,\) like reward: nothing is broadcast",
        ),
        (
            lambda: up.v_target(torch.zeros(4), torch.zeros(4, dtype=torch.bool), torch.zeros(4), 1.0),
            ValueError,
            "gamma must lie",
        ),
        (lambda: up.critic_loss(column(), torch.zeros(4)), ValueError, r"prediction has shape \(4, 1\), wanted \(4,\)"),
        (lambda: up.policy_gradient_loss(torch.zeros(2, 4), torch.zeros(4)), ValueError, r"advantage has shape \(4,\)"),
        (lambda: up.policy_gradient_loss(torch.zeros(4), torch.zeros(4)), ValueError, r"wanted \(..., K, B\)"),
        (lambda: up.leave_one_out(torch.zeros(1, 4)), ValueError, "there is no other action to average"),
        (lambda: up.reparameterized_loss(torch.zeros(4)), ValueError, r"q has shape \(4,\)"),
        (
            lambda: up.importance_ratio(torch.zeros(4), torch.full((4,), torch.nan)),
            ValueError,
            "log_prob was not given",
        ),
        (
            lambda: up.polyak_update(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1), 0.0),
            ValueError,
            r"tau must lie in \(0, 1\], got 0",
        ),
        (
            lambda: up.td_advantage(torch.zeros(4), torch.zeros(4, dtype=torch.bool), column(), torch.zeros(4), 0.9),
            ValueError,
            r"value has shape \(4, 1\)",
        ),
    ],
)
def test_bad_shapes_are_refused(attempt, error, words):
    with pytest.raises(error, match=words):
        attempt()
