"""The noise of a network's gradient: against autograd, one action at a time."""

import pytest
import torch

from offac_lite.exact.noise import GradientNoise, gradient_noise
from offac_lite.networks import CategoricalPolicy, ContinuousQCritic, DiscreteQCritic, TanhGaussianPolicy
from tests import rng


def networks(n_seeds, n_actions=3):
    generator = torch.Generator().manual_seed(3)
    policy = CategoricalPolicy(4, n_actions, (6,), n_seeds=n_seeds, generator=generator)
    critic = DiscreteQCritic(4, n_actions, (6,), n_seeds=n_seeds, generator=generator)
    lead = () if n_seeds is None else (n_seeds,)
    return policy, critic, 3 * torch.randn(*lead, 7, 4, generator=generator)


def one_by_one(policy, critic, obs, baseline):
    """Every state's and action's own gradient, (B, A, P), and the probabilities (B, A)."""
    rows, probs = [], policy(obs).probs.detach()
    q = critic.all_actions(obs).detach()
    weight = q - (probs * q).sum(-1, keepdim=True) if baseline else q
    for b in range(len(obs)):
        for a in range(probs.shape[-1]):
            log_prob = policy(obs).probs.log()[b, a]
            rows.append(weight[b, a] * torch.autograd.grad(log_prob, policy.net.theta)[0])
    return torch.stack(rows).view(*probs.shape, -1), probs


@pytest.mark.parametrize("baseline", [None, "value"])
def test_parts_are_those_of_an_enumeration(baseline):
    policy, critic, obs = networks(None)
    g, probs = one_by_one(policy, critic, obs, baseline)
    state = (probs[..., None] * g).sum(1)  # E_a g
    signal = state.mean(0).square().sum()
    states = (state - state.mean(0)).square().sum(-1).mean()
    actions = (probs * (g - state[:, None]).square().sum(-1)).sum(-1).mean()
    noise = gradient_noise(policy, critic, obs)
    torch.testing.assert_close(noise.signal, signal, rtol=1e-3, atol=1e-9)
    torch.testing.assert_close(noise.states, states, rtol=1e-3, atol=1e-9)
    torch.testing.assert_close(noise.actions_value if baseline else noise.actions, actions, rtol=1e-3, atol=1e-9)
    variance = (states + actions / 5) / 32
    torch.testing.assert_close(noise.variance(32, 5, baseline), variance, rtol=1e-3, atol=1e-9)
    torch.testing.assert_close(noise.batches(32, 5, baseline), variance / signal, rtol=1e-3, atol=1e-6)


def test_seeds_are_kept_apart_and_nothing_is_left_behind():
    policy, critic, obs = networks(3)
    noise = gradient_noise(policy, critic, obs)
    assert all(part.shape == (3,) for part in noise)
    alone = gradient_noise(policy.of_seed(1), of_seed(critic, 1), obs[1])
    for ours, one in zip(noise, alone, strict=True):
        torch.testing.assert_close(ours[1], one, rtol=1e-3, atol=1e-9)
    assert policy.net.theta.grad is None and critic.net.theta.grad is None


def of_seed(critic, index):
    one = DiscreteQCritic(4, 3, (6,), generator=torch.Generator().manual_seed(0))
    one.net.theta = torch.nn.Parameter(critic.net.theta.detach()[index].clone())
    return one


def test_a_baseline_leaves_signal_and_states_alone():
    policy, critic, obs = networks(2)
    noise = gradient_noise(policy, critic, obs)
    with torch.no_grad():
        critic.net.theta[:, -3:] += 100.0  # the biases of the last layer: Q + 100
    raised = gradient_noise(policy, critic, obs)
    torch.testing.assert_close(raised.signal, noise.signal, rtol=1e-2, atol=1e-6)
    torch.testing.assert_close(raised.actions_value, noise.actions_value, rtol=1e-2, atol=1e-6)
    assert (raised.actions > 100 * noise.actions).all()


@pytest.mark.parametrize("baseline", [None, "value"])
def test_the_variance_across_actions_is_that_of_listed_gradients(baseline):
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
    noise = gradient_noise(policy, critic, obs)
    found = noise.actions if baseline is None else noise.actions_value
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_bad_input():
    policy = TanhGaussianPolicy(2, [-1.0], [1.0], generator=rng())
    with pytest.raises(ValueError, match="only discrete actions allow"):
        gradient_noise(policy, ContinuousQCritic(2, 1, generator=rng()), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="baseline must be one of"):
        GradientNoise(*torch.ones(4)).variance(32, 1, "leave-one-out")
