"""Policies and critics: shapes, seeds that do not mix, densities against numerical integration and torch's own."""

import math
from functools import partial

import numpy as np
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
    TwinQCritic,
    VCritic,
    evaluate_together,
    of_actions,
)
from tests import rng


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


def test_with_layer_norm_each_relu_gets_what_torch_s_layer_norm_makes():
    stack = MLP(3, (8, 5), 2, n_seeds=4, generator=rng(), layer_norm=True)
    x = torch.randn(4, 6, 3, generator=rng(2))
    parts = []
    for i, (weight, bias) in enumerate(stack.layers()):
        norm = [torch.nn.LayerNorm(weight.shape[-1], elementwise_affine=False)] if i else []
        parts += [*norm, *layer(i, weight[2], bias[2])]
    torch.testing.assert_close(stack(x)[2], torch.nn.Sequential(*parts)(x[2]))
    torch.testing.assert_close(stack(x)[:, :1], stack(x[:, :1]), msg="a row depends on no other")
    stack(x)[1].sum().backward()
    assert stack.theta.grad[1].abs().sum() > 0 and stack.theta.grad[[0, 2, 3]].abs().sum() == 0


def test_without_layer_norm_nothing_has_changed_bit_for_bit():
    plain, normed = (MLP(3, (8, 5), 2, n_seeds=4, generator=rng(), layer_norm=on) for on in (False, True))
    assert torch.equal(plain.theta, normed.theta), "the option takes no random number and adds no parameter"
    x = torch.randn(4, 6, 3, generator=rng(2))
    y = x.mT
    for i, (weight, bias) in enumerate(plain.layers()):
        y = torch.baddbmm(bias, weight, y if i == 0 else y.relu())
    assert torch.equal(plain(x), y.mT) and torch.equal(MLP(3, (8, 5), 2, n_seeds=4, generator=rng())(x), y.mT)
    assert not torch.allclose(normed(x), y.mT)


@pytest.mark.parametrize("normed", [(False, False), (False, True), (True, False), (True, True)])
def test_two_stacks_evaluated_together_are_what_each_is_alone(normed):
    small, large = (
        MLP(3, (8, 5), 2, n_seeds=n, generator=rng(n), layer_norm=on) for n, on in zip((4, 8), normed, strict=True)
    )
    x = torch.randn(4, 6, 3, generator=rng(2))
    one, others = small.forward_with(large, x)
    torch.testing.assert_close(one, small(x))
    torch.testing.assert_close(others.flatten(0, 1), large(torch.cat([x, x])))


def test_with_layer_norm_the_output_is_bounded_however_large_the_input():
    net = MLP(3, (8, 5), 1, generator=rng(), layer_norm=True)
    (*_, (weight, bias)) = net.layers()
    far = net(1e6 * torch.randn(100, 3, generator=rng(2)))
    assert (far - bias.flatten()).abs().max() <= weight.norm() * 5**0.5
    assert MLP(3, (8, 5), 1, generator=rng())(1e6 * torch.randn(100, 3, generator=rng(2))).abs().max() > 1e4


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
            r"obs has shape \(5, 4\), wanted \(..., 3\)",
        ),
        (lambda: MLP(3, (8,), 2, n_seeds=2, generator=rng())(torch.zeros(5, 3)), ValueError, r"wanted \(2, ..., 3\)"),
        (lambda: MLP(0, (8,), 2, generator=rng()), ValueError, "in_size must be at least 1, got 0"),
        (lambda: MLP(3, (8,), 2, generator=rng(), in_scale=[1.0, 2.0]), ValueError, r"in_scale has shape \(2,\)"),
        (lambda: of_actions(torch.zeros(5, 2), torch.zeros(5, 1).long()), ValueError, r"action has shape \(5, 1\)"),
        (lambda: of_actions(torch.zeros(5, 2), torch.zeros(5)), RuntimeError, "Expected dtype int32/int64 for index"),
        (lambda: Categorical(torch.zeros(3)), ValueError, r"logits has shape \(3,\), wanted \(..., B, A\)"),
        (
            lambda: Categorical(torch.zeros(3, 2)).sample(0, generator=rng()),
            ValueError,
            "action_samples must be at least 1",
        ),
        (lambda: TanhGaussianPolicy(3, [1.0], [-1.0], generator=rng()), ValueError, "wanted .* with low < high"),
        (
            lambda: TanhGaussianPolicy(3, [-1.0], [1.0], generator=rng())(torch.zeros(5, 3)).log_prob(torch.zeros(5)),
            ValueError,
            r"action has shape \(5,\), wanted \(5, 1\)",
        ),
        (lambda: MLP(3, (8,), 2, generator=None), TypeError, "generator must be a torch.Generator, got NoneType"),
        (lambda: MLP(3, 8, 2, generator=rng()), TypeError, r"hidden must be a sequence of sizes such as \(8,\)"),
        (lambda: Categorical(torch.full((1, 2), torch.nan)), ValueError, "logits holds NaN"),
        (lambda: Categorical(torch.zeros(1, 2)).sample(generator=None), TypeError, "generator must be"),
        (lambda: of_actions(torch.zeros(2, 3), torch.tensor([0, 3])), RuntimeError, "index 3 is out of bounds"),
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


def test_parameters_stand_in_one_row_per_seed_and_layers_are_views_of_it():
    net = MLP(3, (8, 5), 2, n_seeds=4, generator=rng(), out_gain=0.01)
    assert [n for n, _ in net.named_parameters()] == ["theta"] and net.theta.shape == (4, 3 * 8 + 8 + 8 * 5 + 5 + 12)
    layers = net.layers()
    assert [(w.shape, b.shape) for w, b in layers] == [
        ((4, 8, 3), (4, 8, 1)),
        ((4, 5, 8), (4, 5, 1)),
        ((4, 2, 5), (4, 2, 1)),
    ]
    for (weight, bias), bound in zip(layers, (3**-0.5, 8**-0.5, 0.01 * 5**-0.5), strict=True):
        for part in (weight, bias):
            assert 0.4 * bound < part.abs().max() <= bound
    torch.testing.assert_close(torch.cat([part.flatten(1) for pair in layers for part in pair], 1), net.theta)
    with torch.no_grad():
        net.theta.zero_()
        layers[-1][1][2] = 7.0
    assert net(torch.ones(4, 1, 3))[:, 0].tolist() == [[0.0, 0.0], [0.0, 0.0], [7.0, 7.0], [0.0, 0.0]]
    assert MLP(3, (8,), 2, generator=rng()).theta.shape == (3 * 8 + 8 + 18,)


@pytest.mark.parametrize("n_seeds", [None, 3])
def test_twins_are_two_critics_and_the_smaller_is_believed(n_seeds):
    lead = () if n_seeds is None else (n_seeds,)
    twin = TwinQCritic(partial(DiscreteQCritic, 4, 3, (8,), generator=rng()), n_seeds)
    obs, action = torch.randn(*lead, 6, 4, generator=rng(1)), torch.randint(3, (*lead, 6), generator=rng(2))
    alone = DiscreteQCritic(4, 3, (8,), generator=rng(3))
    each = torch.empty(2, *lead, 6, 3)
    rows = twin.both.net.theta.view(2, *lead, -1)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in (2, *lead))).view(-1, 1 + len(lead)).tolist():
        with torch.no_grad():
            alone.net.theta.copy_(rows[tuple(place)])
        each[tuple(place)] = alone.all_actions(obs[tuple(place[1:])]).detach()
    assert not torch.equal(each[0], each[1])
    torch.testing.assert_close(twin.all_actions(obs), each.min(0).values)
    taken = of_actions(each, action.expand(2, *action.shape))
    torch.testing.assert_close(twin.each(obs, action), taken)
    torch.testing.assert_close(twin(obs, action), taken.min(0).values)
    several = torch.randint(3, (*lead, 5, 6), generator=rng(2))
    torch.testing.assert_close(twin(obs, several)[..., 2, :], twin(obs, several[..., 2, :]))
    assert twin.each(obs, several).shape == (2, *lead, 5, 6)


def test_no_gradient_crosses_the_seeds_of_twins():
    twin = TwinQCritic(partial(ContinuousQCritic, 3, 2, (8,), generator=rng()), 4)
    twin.each(torch.ones(4, 5, 3), torch.ones(4, 5, 2))[:, 1].sum().backward()
    touched = twin.both.net.theta.grad.abs().sum(-1).view(2, 4) > 0
    assert touched.tolist() == [[False, True, False, False]] * 2


@pytest.mark.parametrize(("n_seeds", "lead"), [(None, ()), (None, (5,)), (3, ()), (3, (5,)), (3, (3, 5))])
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_act_takes_what_an_environment_gives_and_returns_what_it_takes(kind, n_seeds, lead):
    if kind == "discrete":
        policy = CategoricalPolicy(4, 3, (8,), n_seeds=n_seeds, generator=rng(), out_gain=3.0)
    else:
        policy = TanhGaussianPolicy(4, [-1.0, 0.0], [1.0, 5.0], (8,), n_seeds=n_seeds, generator=rng(), out_gain=3.0)
    obs = torch.randn(*lead, 4, generator=rng(1))
    full = obs.view(1, 4) if not lead else obs  # with the axes that the network wants
    if n_seeds is not None and full.ndim == 2:
        full = full.expand(3, *full.shape)
    shape = (() if n_seeds is None else (3,)) + lead[-1:] + (() if kind == "discrete" else (2,))
    for action, wanted in (
        (policy.act(obs.numpy()), policy(full).mode()),
        (policy.act(obs.double().tolist(), generator=rng(5)), policy(full).sample(generator=rng(5))),
    ):
        if shape == ():
            assert type(action) is int and action == wanted.item()
        else:
            assert isinstance(action, np.ndarray) and action.shape == shape
            assert np.array_equal(action, wanted.detach().reshape(shape).numpy())
            assert action.dtype == (np.int64 if kind == "discrete" else np.float32)


def test_of_seed_is_a_copy_of_one_slice():
    policy = TanhGaussianPolicy(4, [-1.0], [2.0], (8,), n_seeds=3, generator=rng(), in_scale=[1.0, 2.0, 3.0, 4.0])
    obs, before = torch.randn(5, 4, generator=rng(1)), policy.act(torch.ones(4))
    for index in (0, 2, -1):
        alone = policy.of_seed(index)
        assert alone.net.theta.shape == policy.net.theta.shape[1:] and alone.net.theta.requires_grad
        np.testing.assert_allclose(alone.act(obs), policy.act(obs)[index], rtol=1e-5)
        with torch.no_grad():
            alone.net.theta.zero_()
    assert np.array_equal(before, policy.act(torch.ones(4)))
    with pytest.raises(ValueError, match="has no axis of seeds"):
        policy.of_seed(1).of_seed(0)
    with pytest.raises(IndexError):
        policy.of_seed(3)


def test_log_prob_holds_in_the_worst_corner_that_a_bounded_policy_reaches():
    """Mean 3 and std 1: the score still averages to zero, and single precision agrees with double from u itself."""
    policy, n = TanhGaussianPolicy(2, [-2.0], [2.0], (), generator=rng()), 200_000
    with torch.no_grad():
        policy.net.layers()[-1][1].fill_(100.0)
    corner = policy(torch.zeros(1, 2))
    assert corner.mean.item() == pytest.approx(3.0) and corner.log_std.item() == pytest.approx(0.0, abs=1e-6)
    mean, log_std = (torch.full((n, 1), value, requires_grad=True) for value in (3.0, 0.0))
    pi = TanhGaussian(mean, log_std, policy.low, policy.high)
    action = pi.sample(generator=rng(4))
    log_prob = pi.log_prob(action)
    for score, spread in zip(torch.autograd.grad(log_prob.sum(), (mean, log_std)), (1.0, 2**0.5), strict=True):
        assert abs(score.double().mean().item()) < 4.5 * spread / n**0.5
        assert score.double().std().item() == pytest.approx(spread, rel=0.05)
    u = 3.0 + torch.randn(n, 1, generator=rng(4)).double()
    torch.testing.assert_close(2 * torch.tanh(u), action.double(), atol=1e-6, rtol=0)
    log_slope = 2 * (math.log(2.0) - u - torch.nn.functional.softplus(-2 * u))  # log(1 − tanh² u), at any u
    exact = (-0.5 * (u - 3).square() - 0.5 * math.log(2 * math.pi) - log_slope - math.log(2.0)).flatten()
    wrong = (log_prob.detach().double() - exact).abs()
    assert wrong.mean() < 2e-4 and wrong.quantile(0.999) < 0.01 and wrong[u.flatten() < 6].max() < 0.05


@pytest.mark.parametrize(
    ("attempt", "error", "words"),
    [
        (lambda p: p.act([1.0, 2.0]), ValueError, r"obs has shape \(2,\), wanted \(4,\)"),
        (lambda p: p.act(torch.zeros(3, 3, 5, 4)), ValueError, r"\(\*obs_shape\) or \(B, \*obs_shape\) or \(S, B,"),
        (lambda p: p.of_seed(0).act(torch.zeros(3, 5, 4)), ValueError, r"\(\*obs_shape\) or \(B, \*obs_shape\)$"),
        (lambda p: p.act(torch.zeros(2, 5, 4)), ValueError, r"obs has shape \(2, 5, 4\), wanted \(3, ..., 4\)"),
        (lambda p: p.act([0.0, 0.0, 0.0, torch.nan]), ValueError, "obs holds NaN or infinity"),
        (lambda p: p.act("left"), TypeError, "obs must be numeric, got str"),
        (lambda p: p.act(torch.zeros(4), generator=3), TypeError, "generator must be a torch.Generator, got int"),
        (
            lambda p: TwinQCritic(partial(DiscreteQCritic, 4, 2, generator=rng()), 3).all_actions(torch.zeros(5, 4)),
            ValueError,
            r"obs has shape \(5, 4\), wanted \(3, ...\)",
        ),
        (lambda p: TwinQCritic(lambda n_seeds: None, 0), ValueError, "n_seeds must be at least 1, got 0"),
    ],
)
def test_acting_on_bad_input_is_refused(attempt, error, words):
    with pytest.raises(error, match=words):
        attempt(CategoricalPolicy(4, 2, n_seeds=3, generator=rng()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64])
def test_observations_of_any_dtype_give_float32(dtype):
    net, obs = MLP(3, (8,), 2, generator=rng()), torch.arange(6).view(2, 3).to(dtype)
    assert net(obs).dtype == torch.float32 and torch.equal(net(obs), net(obs.float()))
    critic = ContinuousQCritic(3, 1, generator=rng(), obs_scale=[1.0, 2.0, 3.0])
    action = torch.ones(2, 1, dtype=torch.float64)
    assert torch.equal(critic(obs, action), critic(obs.float(), action.float()))


@pytest.mark.parametrize(
    "other", [dict(), dict(in_scale=10.0), dict(hidden=(9,)), dict(layer_norm=True), dict(n_seeds=None)]
)
def test_networks_that_differ_are_evaluated_together_as_they_are_apart(other):
    same = dict(hidden=(8,), n_seeds=2, in_scale=1.0)
    if other == dict(n_seeds=None):
        same |= other
    policy = CategoricalPolicy(4, 2, **same, generator=rng())
    options = same | other
    n_seeds = options.pop("n_seeds")
    make = partial(DiscreteQCritic, 4, 2, **options, generator=rng(1))
    for critic in (make(n_seeds=n_seeds), TwinQCritic(make, n_seeds)):
        obs = torch.randn(*(() if n_seeds is None else (2,)), 5, 4, generator=rng(2))
        for given in (obs, obs.double(), obs.unsqueeze(-3).expand(*obs.shape[:-2], 3, 5, 4)):
            pi, evaluated = evaluate_together(policy, critic, given)
            torch.testing.assert_close(evaluated.all_actions(given), critic.all_actions(given))
            torch.testing.assert_close(pi.probs, policy(given).probs)


def test_observations_of_a_wrong_number_of_seeds_are_refused_where_networks_are_evaluated_together():
    same = dict(hidden=(8,), n_seeds=3, generator=rng())
    policy, critic = CategoricalPolicy(4, 2, **same), DiscreteQCritic(4, 2, **same)
    with pytest.raises(ValueError, match=r"obs has shape \(2, 5, 4\), wanted \(3, ..., 4\)"):
        evaluate_together(policy, critic, torch.zeros(2, 5, 4))
