"""The variance of a network's gradient: against sampled gradients, and against the exact K* of a table."""

import math

import pytest
import torch

from offac_lite.exact import TabularMDP
from offac_lite.exact.estimators import break_even_actions
from offac_lite.exact.learned import action_variance, learned_break_even
from offac_lite.networks import CategoricalPolicy, ContinuousQCritic, DiscreteQCritic, TanhGaussianPolicy


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("baseline", [None, "value"])
def test_it_is_the_variance_of_sampled_gradients(baseline):
    """Enumerate the actions of each state with autograd: Σ_a π |g_a|² − |Σ_a π g_a|²."""
    policy = CategoricalPolicy(3, 4, (6,), n_seeds=2, generator=rng(), out_gain=3.0)
    critic = DiscreteQCritic(3, 4, (6,), n_seeds=2, generator=rng(1))
    obs = torch.randn(2, 5, 3, generator=rng(2))
    with torch.no_grad():
        q = critic.all_actions(obs)
        probs = policy(obs).probs
        weight = q if baseline is None else q - (probs * q).sum(-1, keepdim=True)
    expected = torch.zeros(2)
    for seed in range(2):
        for b in range(5):
            gradients = []
            for a in range(4):
                log_prob = policy(obs).log_probs[seed, b, a]
                (gradient,) = torch.autograd.grad(log_prob * weight[seed, b, a], policy.net.theta)
                gradients.append(gradient.flatten())
            g, p = torch.stack(gradients), probs[seed, b]
            mean = p @ g
            expected[seed] += ((p @ g.square().sum(1)) - mean @ mean) / 5
    torch.testing.assert_close(action_variance(policy, critic, obs, baseline), expected, rtol=1e-4, atol=1e-6)


def test_on_a_table_it_is_the_exact_break_even():
    """A linear policy on one-hot states without biases' help: every state alike, so uniform states weigh the same."""
    mdp = TabularMDP([[[0.0, 1.0], [0.0, 0.5], [0.2, 0.3]]] * 2, [[1.0, 2.0, 0.5]] * 2, [0.5, 0.5], gamma=0.9)
    policy = CategoricalPolicy(2, 3, (), generator=rng(), out_gain=1.0)
    critic = DiscreteQCritic(2, 3, (), generator=rng())
    logits = torch.tensor([0.4, -0.3, 0.1])
    with torch.no_grad():
        for net, row in ((policy.net, logits), (critic.net, None)):
            ((weight, bias),) = net.layers()
            weight.zero_()
            q = mdp.action_values(torch.softmax(logits.double(), -1).expand(2, 3))
            bias.copy_((q[0].float() if row is None else row)[:, None])
    exact = break_even_actions(mdp, logits.double().expand(2, 3))
    assert learned_break_even(policy, critic, torch.eye(2)).item() == pytest.approx(exact, rel=1e-4)


def test_a_policy_without_any_noise_left_by_v_breaks_even_nowhere():
    """Two actions, equally likely: Q − V is the same up to its sign, and its gradient has no variance."""
    generator = rng()
    policy = CategoricalPolicy(3, 2, (8,), generator=generator, out_gain=0.0)
    for _ in range(4):
        critic = DiscreteQCritic(3, 2, (8,), generator=generator)
        assert learned_break_even(policy, critic, torch.randn(32, 3, generator=generator)).item() == math.inf


def test_bad_input():
    policy = TanhGaussianPolicy(2, [-1.0], [1.0], generator=rng())
    with pytest.raises(ValueError, match="only discrete actions allow"):
        action_variance(policy, ContinuousQCritic(2, 1, generator=rng()), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="baseline must be one of"):
        action_variance(policy, None, torch.zeros(3, 2), "leave-one-out")
