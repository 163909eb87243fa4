"""Policies and critics: shapes, seeds that do not mix, densities against numerical integration and torch's own."""

import pytest
import torch

from offac_lite.networks import (
    MLP,
    Categorical,
    CategoricalPolicy,
    ContinuousQCritic,
    DiscreteQCritic,
    TanhGaussian,
    TanhGaussianPolicy,
    VCritic,
    of_actions,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_one_slice_of_a_stack_is_a_network_of_its_own():
    stack = MLP(3, (8, 5), 2, n_seeds=4, generator=rng())
    alone = MLP(3, (8, 5), 2, generator=rng(1))
    with torch.no_grad():
        for own, stacked in zip(alone.parameters(), stack.parameters(), strict=True):
            own.copy_(stacked[2])
    x = torch.randn(4, 6, 7, 3, generator=rng(2))
    torch.testing.assert_close(stack(x)[2], alone(x[2]))
    reference = torch.nn.Sequential(*(m for i, (w, b) in enumerate(alone.layers()) for m in layer(i, w[0], b[0])))
    torch.testing.assert_close(alone(x[2]), reference(x[2]))


def layer(i, weight, bias):
    """The same layer as torch.nn.Linear, with the ReLU before it."""
    linear = torch.nn.Linear(*weight.T.shape)
    linear.weight.data, linear.bias.data = weight.detach(), bias.detach()[:, 0]
    return [linear] if i == 0 else [torch.nn.ReLU(), linear]


def test_no_gradient_crosses_seeds():
    net = MLP(3, (8,), 1, n_seeds=3, generator=rng())
    net(torch.ones(3, 5, 3))[1].sum().backward()
    for p in net.parameters():
        assert p.grad[1].abs().sum() > 0 and p.grad[[0, 2]].abs().sum() == 0


def test_input_is_scaled_by_feature():
    plain, scaled = MLP(2, (), 1, generator=rng()), MLP(2, (), 1, generator=rng(), in_scale=[10.0, 0.1])
    torch.testing.assert_close(scaled(torch.tensor([[0.1, 10.0]])), plain(torch.tensor([[1.0, 1.0]])))


def test_categorical_agrees_with_torch():
    logits = torch.randn(5, 7, 3, generator=rng())
    ours, theirs = Categorical(logits), torch.distributions.Categorical(logits=logits)
    action = ours.sample(4, generator=rng(1))
    assert action.shape == (5, 4, 7)
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action.movedim(1, 0)).movedim(0, 1))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode(), logits.argmax(-1))


def test_samples_follow_the_policy():
    pi = Categorical(torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, -20.0]]))
    n = 40_000
    action = pi.sample(n, generator=rng())
    for state in range(2):
        frequency = action[:, state].bincount(minlength=3) / n
        assert (frequency - pi.probs[state]).abs().max() < 4.5 * 0.5 / n**0.5
    assert torch.equal(action[:9], pi.sample(n, generator=rng())[:9])
    assert pi.sample(generator=rng()).shape == (2,)


def test_tanh_gaussian_density_integrates_to_one_and_is_the_samples_density():
    low, high = torch.tensor([-2.0]), torch.tensor([3.0])
    pi = TanhGaussian(torch.tensor([[0.4]]), torch.tensor([[-0.3]]), low, high)
    grid = torch.linspace(-1.99999, 2.99999, 200_001)
    density = pi.log_prob(grid.view(-1, 1, 1)).exp().flatten()
    assert torch.trapezoid(density, grid).item() == pytest.approx(1.0, abs=1e-3)
    n = 40_000
    sample = pi.sample(n, generator=rng()).flatten()
    for bound in (-1.0, 0.5, 1.5, 2.5):  # P(a < bound), from samples and from the density
        inside = torch.trapezoid(density[grid < bound], grid[grid < bound]).item()
        assert (sample < bound).float().mean().item() == pytest.approx(inside, abs=4.5 * 0.5 / n**0.5 + 1e-3)
    u = torch.distributions.Normal(torch.tensor([0.4]), torch.tensor([-0.3]).exp())
    squash = [torch.distributions.TanhTransform(), torch.distributions.AffineTransform(0.5, 2.5)]
    theirs = torch.distributions.TransformedDistribution(u, squash)
    a = torch.tensor([[[-1.5], [0.0], [2.9]]]).movedim(1, 0)
    torch.testing.assert_close(pi.log_prob(a).flatten(), theirs.log_prob(a).flatten(), rtol=1e-4, atol=1e-4)
    assert torch.isfinite(pi.log_prob(high.view(1, 1, 1))).all()


def test_rsample_carries_gradient_and_sample_does_not():
    policy = TanhGaussianPolicy(3, [-1.0, -1.0], [1.0, 2.0], n_seeds=2, generator=rng())
    pi = policy(torch.ones(2, 5, 3))
    assert pi.rsample(4, generator=rng()).shape == (2, 4, 5, 2)
    assert pi.rsample(generator=rng()).requires_grad and not pi.sample(generator=rng()).requires_grad
    action = pi.sample(4, generator=rng())
    assert pi.log_prob(action).shape == (2, 4, 5) and pi.log_prob(action[:, 0]).shape == (2, 5)
    assert (action > torch.tensor([-1.0, -1.0])).all() and (action < torch.tensor([1.0, 2.0])).all()
    torch.testing.assert_close(pi.mode().detach(), torch.tensor([0.0, 0.5]).expand(2, 5, 2), atol=0.1, rtol=0)


def test_critics_give_one_number_per_state_and_action():
    obs = torch.randn(2, 5, 3, generator=rng())
    assert VCritic(3, n_seeds=2, generator=rng())(obs).shape == (2, 5)
    discrete = DiscreteQCritic(3, 4, n_seeds=2, generator=rng())
    every = torch.arange(4).view(1, 4, 1).expand(2, 4, 5)
    torch.testing.assert_close(discrete(obs, every), discrete.all_actions(obs).movedim(-1, -2))
    continuous = ContinuousQCritic(3, 2, n_seeds=2, generator=rng(), obs_scale=0.5)
    action = torch.randn(2, 4, 5, 2, generator=rng())
    torch.testing.assert_close(continuous(obs, action)[:, 1], continuous(obs, action[:, 1]))


def test_a_fresh_policy_is_close_to_uniform():
    policy = CategoricalPolicy(4, 3, generator=rng())
    probs = policy(torch.randn(100, 4, generator=rng())).probs
    torch.testing.assert_close(probs, torch.full_like(probs, 1 / 3), atol=0.02, rtol=0)


def test_seeds_start_apart_biases_included():
    net = MLP(3, (8,), 2, n_seeds=3, generator=rng())
    for p in net.parameters():
        assert not torch.equal(p[0], p[1]) and not torch.equal(p[1], p[2]) and p.abs().min() > 0


def test_std_depends_on_the_state_and_is_bounded():
    policy = TanhGaussianPolicy(3, [-1.0], [1.0], (8,), generator=rng(), out_gain=100.0)
    log_std = policy(10 * torch.randn(200, 3, generator=rng(1))).log_std
    assert log_std.min() >= -5 and log_std.max() <= 0 and log_std.std() > 0.5


def test_obs_scale_scales_the_observation_and_not_the_action():
    plain, scaled = (ContinuousQCritic(2, 1, (), generator=rng(), **k) for k in ({}, dict(obs_scale=[10.0, 0.1])))
    a = torch.full((1, 1), 3.0)
    torch.testing.assert_close(scaled(torch.tensor([[0.1, 10.0]]), a), plain(torch.ones(1, 2), a))


def test_entropy_of_a_certain_policy_is_zero():
    certain = Categorical(torch.tensor([[0.0, -torch.inf]]))
    assert certain.entropy().tolist() == [0.0] and certain.sample(5, generator=rng()).tolist() == [[0]] * 5


def test_nothing_touches_the_global_random_state():
    before = torch.get_rng_state()
    obs = torch.zeros(2, 3)
    CategoricalPolicy(3, 2, generator=rng())(obs).sample(2, generator=rng())
    TanhGaussianPolicy(3, [-1.0], [1.0], generator=rng())(obs).sample(2, generator=rng())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("attempt", "error", "words"),
    [
        (
            lambda: MLP(3, (8,), 2, generator=rng())(torch.zeros(5, 4)),
            ValueError,
            r"obs has shape \(5, 4\), wanted \(3,\)",
        ),
        (lambda: MLP(3, (8,), 2, n_seeds=2, generator=rng())(torch.zeros(5, 3)), ValueError, r"wanted \(2, ..., 3\)"),
        (lambda: MLP(0, (8,), 2, generator=rng()), ValueError, "in_size must be at least 1, got 0"),
        (lambda: MLP(3, (8,), 2, generator=rng(), in_scale=[1.0, 2.0]), ValueError, r"in_scale has shape \(2,\)"),
        (lambda: of_actions(torch.zeros(5, 2), torch.zeros(5, 1).long()), ValueError, r"action has shape \(5, 1\)"),
        (lambda: of_actions(torch.zeros(5, 2), torch.zeros(5)), TypeError, "action has dtype torch.float32"),
        (lambda: Categorical(torch.zeros(3)), ValueError, r"logits has shape \(3,\), wanted \(..., B, A\)"),
        (lambda: Categorical(torch.zeros(3, 2)).sample(0, generator=rng()), ValueError, "n_actions must be at least 1"),
        (lambda: TanhGaussianPolicy(3, [1.0], [-1.0], generator=rng()), ValueError, "wanted .* with low < high"),
        (
            lambda: TanhGaussianPolicy(3, [-1.0], [1.0], generator=rng())(torch.zeros(5, 3)).log_prob(torch.zeros(5)),
            ValueError,
            r"action has shape \(5,\), wanted \(5, 1\)",
        ),
        (lambda: MLP(3, (8,), 2, generator=None), TypeError, "generator must be a torch.Generator, got NoneType"),
        (lambda: MLP(3, 8, 2, generator=rng()), TypeError, r"hidden must be a sequence of layer sizes such as \(8,\)"),
        (lambda: VCritic(3, generator=rng())(torch.zeros(5, 3).double()), TypeError, "obs has dtype torch.float64"),
        (lambda: Categorical(torch.full((1, 2), torch.nan)), ValueError, "logits holds NaN"),
        (lambda: Categorical(torch.zeros(1, 2)).sample(generator=None), TypeError, "generator must be"),
        (lambda: of_actions(torch.zeros(2, 3), torch.tensor([0, 3])), ValueError, "action holds 0 to 3, wanted 0 to 2"),
        (
            lambda: ContinuousQCritic(3, 2, generator=rng())(torch.zeros(5, 3), torch.zeros(4, 2)),
            ValueError,
            r"action has shape \(4, 2\), wanted \(5, 2\)",
        ),
        (
            lambda: ContinuousQCritic(3, 2, generator=rng())(torch.zeros(1, 3), torch.zeros(4, 5, 2)),
            ValueError,
            r"action has shape \(4, 5, 2\), wanted \(1, 2\)",
        ),
        (lambda: ContinuousQCritic(3, 2, generator=rng(), obs_scale=[1.0]), ValueError, "obs_scale has shape"),
        (
            lambda: TanhGaussianPolicy(3, [-1.0], [1.0], generator=rng())(torch.zeros(5, 3)).log_prob(
                torch.zeros(3, 1, 1)
            ),
            ValueError,
            r"action has shape \(3, 1, 1\)",
        ),
    ],
)
def test_bad_input_is_refused(attempt, error, words):
    with pytest.raises(error, match=words):
        attempt()
