"""What must hold for any numbers, shapes and discounts, tried on whatever Hypothesis can think of."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from offac_lite import equations as eq
from offac_lite import stats
from offac_lite import updates as up
from offac_lite.agent import make_networks
from offac_lite.buffer import ReplayBuffer
from offac_lite.config import Config
from offac_lite.envs import Episode, Spaces, discounted_steps_left, latest_episodes, recent_returns
from offac_lite.exact import trajectories as tr
from offac_lite.exact.estimators import ESTIMATORS, Estimator, break_even_actions, gradient_moments
from offac_lite.exact.gaussian import expected, gaussian_moments, normal_grid
from offac_lite.exact.mdp import TabularMDP, advantages
from offac_lite.exact.noise import gradient_noise
from offac_lite.exact.outcomes import Outcomes
from offac_lite.exact.replay_bias import buffer_policy, four_updates, mean_update
from offac_lite.exact.td import target_distribution, target_variance, td_path, value_and_spread
from offac_lite.exact.weightings import WEIGHTINGS, weighting_moments
from offac_lite.networks import Categorical, CategoricalPolicy, DiscreteQCritic, TanhGaussian, VCritic, of_actions
from offac_lite.run import Run
from tests import rng

busy = [HealthCheck.too_slow]  # a busy machine is no fault of a test
settings.register_profile(
    "offac", derandomize=True, database=None, deadline=None, max_examples=25, suppress_health_check=busy
)
settings.load_profile("offac")

SIZES = st.integers(1, 4)
SEEDS = st.integers(0, 2**32)
NUMBERS = st.floats(-100, 100, allow_nan=False, width=32)
GAMMAS = st.one_of(st.just(0.0), st.floats(0, 0.99))
LEADS = st.lists(st.integers(1, 3), max_size=2).map(tuple)


@st.composite
def tensors(draw, *shape, low=-10.0, high=10.0):
    """Float64 tensors; a few of their numbers are Hypothesis' own, among them the extremes, the rest random."""
    uniform = torch.rand(shape, generator=rng(draw(SEEDS)), dtype=torch.float64)
    x = low + (high - low) * uniform
    for place in draw(st.lists(st.integers(0, max(0, x.numel() - 1)), max_size=3)) if x.numel() else ():
        x.view(-1)[place] = draw(st.floats(low, high, allow_subnormal=False))
    return x


@st.composite
def distributions(draw, *shape, certain=True):
    """Probabilities along the last axis; where `certain`, some of them may be 0."""
    logits = draw(tensors(*shape, low=-3.0, high=3.0))
    probs = torch.softmax(logits, -1)
    if certain and draw(st.booleans()):
        keep = torch.rand(shape, generator=rng(draw(SEEDS))) < 0.6
        keep.scatter_(-1, probs.argmax(-1, keepdim=True), True)
        probs = probs * keep
        probs = probs / probs.sum(-1, keepdim=True)
    return probs


@st.composite
def mdps(draw, endless=False, most=3):
    """Tiny MDPs, whose rows may sum to less than 1; some states may be out of reach."""
    n_states, n_actions = draw(st.integers(1, most)), draw(st.integers(1, 3))
    stay = torch.ones(n_states, n_actions, 1) if endless else draw(tensors(n_states, n_actions, 1, low=0.0, high=1.0))
    transition = stay * draw(distributions(n_states, n_actions, n_states))
    reward = draw(tensors(n_states, n_actions))
    return TabularMDP(transition, reward, draw(distributions(n_states)), draw(GAMMAS))


def policy_of(mdp, **how):
    return distributions(mdp.n_states, mdp.n_actions, **how)


def close(a, b, rtol=1e-8, atol=1e-8):
    torch.testing.assert_close(torch.as_tensor(a).double(), torch.as_tensor(b).double(), rtol=rtol, atol=atol)


# --------------------------------------------------------------------------------------------------------- the buffer


@pytest.mark.slow
@given(data=st.data(), capacity=st.integers(1, 9), n_seeds=st.none() | SIZES, obs_shape=LEADS, action_shape=LEADS)
def test_a_buffer_gives_back_the_newest_of_what_was_added_in_order(data, capacity, n_seeds, obs_shape, action_shape):
    buffer = ReplayBuffer(capacity, obs_shape, action_shape, n_seeds=n_seeds)
    lead = () if n_seeds is None else (n_seeds,)
    added = [[] for _ in range(n_seeds or 1)]
    for _ in range(data.draw(st.integers(0, 5))):
        rows = data.draw(st.none() | st.integers(0, capacity))
        shape = lead if rows is None else (*lead, rows)
        uniform = np.random.default_rng(data.draw(SEEDS)).uniform
        discrete = not action_shape
        given = {
            "obs": uniform(-9, 9, shape + obs_shape).astype(np.float32),
            "action": (uniform(0, 9, shape + action_shape) // 1).astype(np.int64 if discrete else np.float32),
            "reward": uniform(-9, 9, shape).astype(np.float32),
            "next_obs": uniform(-9, 9, shape + obs_shape).astype(np.float32),
            "terminated": uniform(0, 1, shape) < 0.5,
            "log_prob": -uniform(0, 9, shape).astype(np.float32),
        }
        valid = uniform(0, 1, shape) < 0.7 if data.draw(st.booleans()) else None
        buffer.add(**given, valid=valid)
        for ring, own in enumerate(added):
            of_ring = {name: x if n_seeds is None else x[ring] for name, x in given.items()}
            keep = np.ones(shape, bool) if valid is None else valid
            keep = keep if n_seeds is None else keep[ring]
            if rows is None:
                own += [of_ring] * bool(keep)
            else:
                own += [{name: x[i] for name, x in of_ring.items()} for i in range(rows) if keep[i]]
    assert buffer.lengths == [min(len(own), capacity) for own in added]
    for ring, own in enumerate(added):
        stored, kept = buffer.all(ring), own[-capacity:]
        for i, row in enumerate(kept):
            for name, value in row.items():
                np.testing.assert_array_equal(getattr(stored, name)[i].numpy(), value)
            assert stored.age[i] == len(kept) - 1 - i
    if len(buffer):
        drawn = buffer.sample(len(buffer), rng(0), newest=data.draw(st.none() | st.integers(1, 12)))
        for ring, own in enumerate(added):
            for i in range(len(buffer)):
                reward, age = (x[i] if n_seeds is None else x[ring, i] for x in (drawn.reward, drawn.age))
                assert reward == own[-1 - age]["reward"]


# ------------------------------------------------------------------------------------------- targets, losses, networks


@st.composite
def batches(draw, several=False):
    lead, size = draw(LEADS), draw(SIZES)
    middle = (draw(SIZES),) if several else ()
    reward, mask = draw(tensors(*lead, size)), draw(tensors(*lead, size, low=-1.0, high=1.0)) < 0
    return reward, mask, draw(tensors(*lead, *middle, size)), draw(GAMMAS)


def places(x):
    return itertools.product(*map(range, x.shape))


@given(batches())
def test_a_v_target_is_right_at_every_place(batch):
    reward, terminated, value, gamma = batch
    y = eq.v_target(reward, terminated, value, gamma)
    for i in places(y):
        assert y[i].item() == reward[i].item() + (0.0 if terminated[i] else gamma * value[i].item())


@given(batches(several=True))
def test_a_q_target_averages_the_next_actions_of_its_own_state(batch):
    reward, terminated, next_q, gamma = batch
    y = eq.q_target(reward, terminated, next_q, gamma)
    for i in places(y):
        mean = np.mean([next_q[(*i[:-1], m, i[-1])].item() for m in range(next_q.shape[-2])])
        assert math.isclose(y[i], reward[i] + (0.0 if terminated[i] else gamma * mean), rel_tol=1e-9, abs_tol=1e-9)


@given(batches(), st.data())
def test_a_td_advantage_is_the_target_less_the_value(batch, data):
    reward, terminated, next_value, gamma = batch
    value = data.draw(tensors(*reward.shape))
    close(eq.td_advantage(reward, terminated, value, next_value, gamma), eq.v_target(*batch) - value)


@given(batches())
def test_what_follows_a_terminal_state_never_matters(batch):
    reward, terminated, value, gamma = batch
    hidden = torch.where(terminated, torch.nan, value)
    assert torch.equal(eq.v_target(reward, terminated, hidden, gamma), eq.v_target(*batch))


@given(st.data(), LEADS, SIZES, SIZES)
def test_losses_are_means_over_all_but_the_seeds_and_their_gradients_too(data, lead, k, size):
    q, advantage = data.draw(tensors(*lead, k, size)), data.draw(tensors(*lead, k, size))
    q.requires_grad_(), advantage.requires_grad_()
    losses = eq.critic_loss(q, advantage), eq.policy_gradient_loss(q, advantage), eq.reparameterized_loss(q)
    flat, weight = q.reshape(-1, k, size), advantage.reshape(-1, k, size)
    for n, i in enumerate(itertools.product(*map(range, lead))):
        rows = [sum((flat[n, a, b] - weight[n, a, b]) ** 2 for b in range(size)) / (2 * size) for a in range(k)]
        close(losses[0][i], torch.stack(rows).detach())
        product = sum(flat[n, a, b] * weight[n, a, b] for a in range(k) for b in range(size))
        close(losses[1][i], -product / (k * size))
        close(losses[2][i], -flat[n].sum() / (k * size))
    gradients = [torch.autograd.grad(loss.sum(), (q, advantage), allow_unused=True) for loss in losses]
    assert [g[1] for g in gradients] == [None] * 3, "the target and the advantage learn nothing"
    close(gradients[0][0], (q - advantage).detach() / size)
    close(gradients[1][0], -advantage.detach() / (k * size))
    close(gradients[2][0], torch.full_like(q, -1 / (k * size)))


@given(st.data(), LEADS, st.integers(2, 5), SIZES)
def test_leave_one_out_takes_the_mean_of_the_others_and_sums_to_nothing(data, lead, k, size):
    q = data.draw(tensors(*lead, k, size))
    left = eq.leave_one_out(q)
    close(left.sum(-2), torch.zeros(*lead, size))
    for a in range(k):
        others = [b for b in range(k) if b != a]
        close(left[..., a, :], q[..., a, :] - q[..., others, :].mean(-2))


@given(st.data(), LEADS, SIZES, st.none() | st.floats(0.1, 10))
def test_ratios_average_to_one_under_beta_and_never_pass_the_clip(data, lead, n_actions, clip):
    pi, beta = (data.draw(distributions(*lead, n_actions, certain=c)) for c in (True, False))
    ratio = eq.importance_ratio(pi.log(), beta.log(), clip)
    if clip is None:
        close((beta * ratio).sum(-1), torch.ones(lead))
    else:
        assert (ratio <= clip).all()
        close(ratio, (pi / beta).clamp_max(clip))


@given(st.floats(0, 1, exclude_min=True), SEEDS, st.none() | SIZES)
def test_a_polyak_update_is_a_convex_combination(tau, seed, n_seeds):
    target, source = (VCritic(2, (3,), n_seeds=n_seeds, generator=rng(seed + i)) for i in range(2))
    old, new = (net.net.theta.detach().clone() for net in (target, source))
    up.polyak_update(target, source, tau)
    moved = target.net.theta.detach()
    between = torch.minimum(old, new) - 1e-6 <= moved, moved <= torch.maximum(old, new) + 1e-6
    assert all(map(torch.all, between)) and torch.equal(source.net.theta, new)
    close(moved, (1 - tau) * old + tau * new, rtol=1e-5, atol=1e-6)


@given(st.data(), LEADS, SIZES, SIZES, SIZES)
def test_entries_are_picked_one_by_one(data, lead, k, size, n_actions):
    table = data.draw(tensors(*lead, size, n_actions))
    action = torch.randint(n_actions, (*lead, k, size), generator=rng(data.draw(SEEDS)))
    picked = of_actions(table, action)
    for i in places(action):
        assert picked[i] == table[(*i[:-2], i[-1], action[i])]
    assert torch.equal(of_actions(table, action[..., 0, :]), picked[..., 0, :])


@given(st.data(), LEADS, SIZES, SIZES)
def test_a_categorical_is_a_distribution_whose_entropy_lies_between_its_bounds(data, lead, size, n_actions):
    pi = Categorical(data.draw(tensors(*lead, size, n_actions, low=-50.0, high=50.0)))
    close(pi.probs.sum(-1), torch.ones(*lead, size))
    entropy = pi.entropy()
    assert ((-1e-9 <= entropy) & (entropy <= math.log(n_actions) + 1e-9)).all()
    close(pi.log_prob(pi.mode()), pi.log_probs.amax(-1))
    shifted = Categorical(pi.log_probs + data.draw(st.floats(-100, 100)))
    close(shifted.log_probs, pi.log_probs, atol=1e-6)


@given(st.data(), LEADS, SIZES, SIZES)
def test_a_tanh_gaussian_stays_in_its_box_and_log_prob_undoes_the_squashing(data, lead, size, n_dims):
    mean = data.draw(tensors(*lead, size, n_dims, low=-2.0, high=2.0))
    log_std = data.draw(tensors(*lead, size, n_dims, low=-3.0, high=0.0))
    low = data.draw(tensors(n_dims))
    high = low + data.draw(tensors(n_dims, low=0.1, high=5.0))
    pi = TanhGaussian(mean, log_std, low, high)
    action = pi.sample(3, generator=rng(data.draw(SEEDS)))
    assert ((low <= action) & (action <= high)).all()
    u = torch.atanh((2 * (action - low) / (high - low) - 1).clamp(-1 + 1e-6, 1 - 1e-6))
    normal = torch.distributions.Normal(mean.unsqueeze(-3), log_std.exp().unsqueeze(-3)).log_prob(u)
    jacobian = ((high - low) / 2 * (1 - u.tanh().square())).log()
    close(pi.log_prob(action), (normal - jacobian).sum(-1), rtol=1e-5, atol=1e-5)


# --------------------------------------------------------------------------------------------- the exact calculations


@given(mdps(), st.data())
def test_values_and_visits_obey_their_equations(mdp, data):
    probs = data.draw(policy_of(mdp))
    value, q, visits = mdp.state_values(probs), mdp.action_values(probs), mdp.occupancy(probs)
    step = torch.einsum("sa,sat->st", probs, mdp.transition)
    close(value, (probs * mdp.reward).sum(-1) + mdp.gamma * step @ value)
    close(q, mdp.reward + mdp.gamma * mdp.transition @ value)
    close((probs * q).sum(-1), value)
    close(visits, mdp.initial + mdp.gamma * visits @ step)
    close(mdp.expected_return(probs), (visits[:, None] * probs * mdp.reward).sum())
    assert (visits >= -1e-12).all() and visits.sum() <= 1 / (1 - mdp.gamma) + 1e-6
    close((probs * advantages(probs, q)).sum(-1), torch.zeros(mdp.n_states))


@given(mdps(), st.data())
def test_no_policy_is_better_than_the_best(mdp, data):
    best = mdp.optimal_values()
    assert (mdp.state_values(data.draw(policy_of(mdp))) <= best + 1e-7 * (1 + best.abs())).all()
    close(best, (mdp.reward + mdp.gamma * mdp.transition @ best).amax(1), rtol=1e-7, atol=1e-7)


@given(mdps(), st.data())
def test_the_policy_gradient_is_that_of_the_return_and_sums_to_nothing_in_each_state(mdp, data):
    logits = data.draw(tensors(mdp.n_states, mdp.n_actions, low=-3.0, high=3.0)).requires_grad_()
    (exact,) = torch.autograd.grad(mdp.expected_return(torch.softmax(logits, -1)), logits)
    ours = mdp.policy_gradient(logits.detach())
    close(ours, exact, rtol=1e-6, atol=1e-8)
    close(ours.sum(-1), torch.zeros(mdp.n_states))


@given(mdps(), NUMBERS, st.data())
def test_an_offset_of_the_reward_moves_the_return_by_the_length_of_an_episode(mdp, offset, data):
    probs = data.draw(policy_of(mdp))
    moved = mdp.with_reward_offset(offset).expected_return(probs) - mdp.expected_return(probs)
    close(moved, offset * mdp.occupancy(probs).sum(), rtol=1e-6, atol=1e-6)


def enumerated(mdp, logits, estimator, action_samples, baseline, behavior, q):
    """E[g] and E‖g‖² of one state's estimate, by listing every state and every K actions."""
    pi = torch.softmax(logits, -1)
    beta = pi if behavior is None else behavior
    q = mdp.action_values(pi) if q is None else q
    visits = mdp.occupancy(beta)
    n, drawn_from = visits.sum(), beta if estimator in ("stored", "importance") else pi
    mean, square = torch.zeros_like(pi), 0.0
    within = 0.0
    for s in range(mdp.n_states):
        own_mean, own_square = torch.zeros_like(pi), 0.0
        for chosen in itertools.product(range(mdp.n_actions), repeat=action_samples):
            p = math.prod(drawn_from[s, a].item() for a in chosen)
            if not p:
                continue
            g = torch.zeros_like(pi)
            for k, a in enumerate(chosen):
                others = [q[s, b] for j, b in enumerate(chosen) if j != k]
                b = {"value": (pi[s] * q[s]).sum(), None: 0.0}.get(baseline, sum(others) / max(1, len(others)))
                w = pi[s, a] / beta[s, a] if estimator == "importance" else 1.0
                score = -pi[s].clone()
                score[a] += 1
                g[s] += n * w * score * (q[s, a] - b) / action_samples
            own_mean += p * g
            own_square += p * g.square().sum().item()
        share = (visits[s] / n).item()
        mean += share * own_mean
        square += share * own_mean.square().sum().item()
        within += share * (own_square - own_mean.square().sum().item())
    return mean, square - mean.square().sum().item(), within


@given(
    mdps(most=2),
    st.data(),
    st.sampled_from(("stored", "importance", "resampled")),
    st.sampled_from((None, "value", "leave-one-out")),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_moments_are_those_of_every_batch_listed(mdp, data, estimator, baseline, action_samples, batch_size):
    action_samples = action_samples if estimator == "resampled" else 1
    assume(baseline != "leave-one-out" or action_samples > 1)
    logits = data.draw(tensors(mdp.n_states, mdp.n_actions, low=-2.0, high=2.0))
    behavior = data.draw(st.none() | policy_of(mdp, certain=False))
    q = data.draw(st.none() | tensors(mdp.n_states, mdp.n_actions))
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
    mean, across, within = enumerated(mdp, logits, estimator, action_samples, baseline, behavior, q)
    scale = 1 + across + within
    close(m.mean, mean)
    close(m.variance_states / scale, across / batch_size / scale)
    close(m.variance_actions / scale, within / batch_size / scale)
    close(m.variance, m.variance_states + m.variance_actions)


@given(mdps(), st.data(), st.sampled_from(ESTIMATORS), st.sampled_from((None, "value")))
def test_fresh_data_and_the_exact_critic_have_no_bias(mdp, data, estimator, baseline):
    logits = data.draw(tensors(mdp.n_states, mdp.n_actions, low=-3.0, high=3.0))
    m = gradient_moments(mdp, logits, estimator, baseline=baseline)
    close(m.mean, mdp.policy_gradient(logits))
    close(m.mean, m.surrogate)
    close(m.bias, 0.0, atol=1e-7)


@given(mdps(), st.data())
def test_with_old_data_only_the_states_are_wrong_once_the_actions_are_mended(mdp, data):
    logits = data.draw(tensors(mdp.n_states, mdp.n_actions, low=-2.0, high=2.0))
    behavior = data.draw(policy_of(mdp, certain=False))
    for estimator in ("importance", "resampled", "expected"):
        m = gradient_moments(mdp, logits, estimator, behavior=behavior)
        close(m.bias_surrogate, 0.0, atol=1e-7 * (1 + m.surrogate.norm().item()))


@given(mdps(), st.data(), SIZES, SIZES)
def test_more_actions_divide_one_part_of_the_variance_and_more_states_both(mdp, data, batch_size, action_samples):
    logits = data.draw(tensors(mdp.n_states, mdp.n_actions, low=-2.0, high=2.0))
    one = gradient_moments(mdp, logits, "resampled")
    many = gradient_moments(mdp, logits, "resampled", batch_size=batch_size, action_samples=action_samples)
    close(many.variance_states, one.variance_states / batch_size, atol=1e-7)
    close(many.variance_actions, one.variance_actions / batch_size / action_samples, atol=1e-7)
    expected_of = gradient_moments(mdp, logits, "expected", batch_size=batch_size)
    close(expected_of.variance, many.variance_states, atol=1e-7)


@given(mdps(), st.data())
def test_as_many_actions_as_break_even_asks_for_are_as_quiet_as_the_baseline(mdp, data):
    logits = data.draw(tensors(mdp.n_states, mdp.n_actions, low=-2.0, high=2.0))
    k = break_even_actions(mdp, logits)
    assert k >= 0
    assume(1e-3 < k < 1e6)
    alone, with_value = (gradient_moments(mdp, logits, "resampled", baseline=b) for b in (None, "value"))
    close(alone.variance_actions / k, with_value.variance_actions, rtol=1e-6)


@given(mdps(most=2), st.data(), st.sampled_from(ESTIMATORS), st.integers(2, 3))
def test_estimates_made_from_uniforms_are_sums_over_the_states_and_actions_these_pick(mdp, data, estimator, k):
    logits = data.draw(tensors(mdp.n_states, mdp.n_actions, low=-2.0, high=2.0))
    pi, beta = torch.softmax(logits, -1), data.draw(policy_of(mdp, certain=False))
    u, v = data.draw(tensors(3, 2, low=0.0, high=0.999)), data.draw(tensors(3, 2, k, low=0.0, high=0.999))
    chosen = Estimator(mdp, logits, estimator, batch_size=2, action_samples=k, behavior=beta)
    g = chosen.from_uniforms(u, v[..., : chosen.action_samples])
    visits, q = mdp.occupancy(beta), mdp.action_values(pi)
    drawn_from = beta if estimator in ("stored", "importance") else pi
    k = k if estimator == "resampled" else 1
    wanted = torch.zeros_like(g)
    for n, i in itertools.product(range(3), range(2)):
        s = pick(visits / visits.sum(), u[n, i])
        picked = [pick(drawn_from[s], v[n, i, j]) for j in range(k)]
        terms = [(a, 1 / k) for a in picked] if estimator != "expected" else [(a, pi[s, a]) for a in range(len(pi[s]))]
        for a, share in terms:
            score = torch.nn.functional.one_hot(torch.tensor(a), mdp.n_actions) - pi[s]
            ratio = pi[s, a] / beta[s, a] if estimator == "importance" else 1.0
            wanted[n, s] += visits.sum() / 2 * share * ratio * score * q[s, a]
    close(g, wanted, atol=1e-6)


def pick(probs, uniform):
    """The first place where the distribution function passes `uniform`."""
    return next(i for i, total in enumerate(probs.cumsum(0).tolist()) if total > uniform * (1 - 1e-9))


# ------------------------------------------------------------------------------------------------ replay, trajectories


@given(mdps(), st.data(), st.integers(1, 3))
def test_the_policy_of_a_buffer_would_have_written_it(mdp, data, n):
    probs = torch.stack([data.draw(policy_of(mdp)) for _ in range(n)])
    visits = mdp.occupancy(probs)
    mixed = buffer_policy(probs, visits)
    close(mixed.sum(-1), torch.ones(mdp.n_states))
    close(mdp.occupancy(mixed), visits.mean(0), rtol=1e-6, atol=1e-7)


@given(mdps(), st.data())
def test_the_mean_update_of_fresh_data_is_the_policy_gradient(mdp, data):
    logits = data.draw(tensors(mdp.n_states, mdp.n_actions, low=-2.0, high=2.0))
    pi = torch.softmax(logits, -1)
    for baseline in (None, "value"):
        close(mean_update(mdp, logits, pi, mdp.state_values(pi), pi, baseline), mdp.policy_gradient(logits), atol=1e-7)
    behavior = data.draw(policy_of(mdp, certain=False))
    naive = four_updates(mdp, logits, behavior)["naive", "stored"]
    close(naive, mdp.policy_gradient(behavior.log()), rtol=1e-6, atol=1e-7)


@given(
    mdps(endless=True, most=2),
    st.data(),
    st.integers(1, 3),
    st.sampled_from(WEIGHTINGS[:4]),
    st.sampled_from((None, "value")),
    st.none() | st.floats(0.5, 2),
)
@settings(max_examples=15)
def test_a_weighting_has_the_moments_of_all_trajectories(mdp, data, horizon, weighting, baseline, clip):
    logits = data.draw(tensors(mdp.n_states, mdp.n_actions, low=-1.0, high=1.0))
    pi, beta = torch.softmax(logits, -1), data.draw(policy_of(mdp, certain=False))
    t = tr.all_trajectories(mdp, beta, horizon)
    close(t.probability.sum(), 1.0)
    ratio = (pi / beta)[t.obs, t.action]
    ratio = torch.ones_like(ratio) if weighting == "none" else ratio if clip is None else ratio.clamp_max(clip)
    q = tr.values_to_go(mdp, pi, horizon)
    value = (pi * q).sum(-1) if baseline == "value" else torch.zeros(horizon, mdp.n_states, dtype=torch.float64)
    time = torch.arange(horizon)
    v = value[time, t.obs]
    product = ratio.cumprod(-1)
    coefficient = {
        "none": tr.to_go(t.reward) - v,
        "whole": product[:, -1:] * (tr.to_go(t.reward) - v),
        "causal": tr.to_go(product * t.reward) - product * v,
        "single": ratio * (q[time, t.obs, t.action] - v),
    }[weighting]
    mean, variance = tr.mean_and_variance(tr.gradient_estimates(logits, t, coefficient), t.probability)
    m = weighting_moments(mdp, logits, weighting, horizon, behavior=beta, clip=clip, baseline=baseline)
    close(m.target[-1], tr.horizon_gradient(mdp, logits, horizon))
    close(m.mean[-1], mean, atol=1e-7)
    close(m.variance[-1] / (1 + variance), variance / (1 + variance), atol=1e-7)
    if weighting in ("whole", "causal") and clip is None:
        close(m.mean, m.target, rtol=1e-6, atol=1e-7)


@given(mdps(endless=True), st.data(), st.integers(1, 4))
def test_visits_of_whole_trajectories_are_distributions(mdp, data, horizon):
    seen = tr.visits(mdp, data.draw(policy_of(mdp)), horizon)
    close(seen.sum(-1), torch.ones(horizon))


@given(st.data(), LEADS, st.integers(1, 6), NUMBERS)
def test_an_effective_sample_size_lies_between_one_and_n_whatever_the_factor(data, lead, n, shift):
    log_weight = data.draw(tensors(*lead, n, low=-30.0, high=30.0))
    ess = tr.effective_sample_size(log_weight)
    assert ((ess >= 1 - 1e-9) & (ess <= n + 1e-9)).all()
    close(tr.effective_sample_size(log_weight + shift), ess, rtol=1e-6)
    weight = (log_weight - log_weight.amax(-1, keepdim=True)).exp()
    close(ess, weight.sum(-1) ** 2 / weight.square().sum(-1))


@given(st.data(), LEADS, st.integers(1, 5))
def test_causal_weights_are_running_products(data, lead, horizon):
    a, b = (
        data.draw(tensors(*lead, horizon, low=-3.0, high=0.0)),
        data.draw(tensors(*lead, horizon, low=-3.0, high=0.0)),
    )
    close(tr.causal_weights(a, b), (a - b).exp().cumprod(-1))


# ------------------------------------------------------------------------------------------------------- td, gaussian


@st.composite
def worlds(draw):
    n_states, n_actions, n_outcomes = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shape = (n_states, n_actions, n_outcomes)
    generator = rng(draw(SEEDS))
    return Outcomes(
        draw(distributions(*shape)),
        draw(tensors(*shape)),
        torch.randint(n_states, shape, generator=generator),
        torch.rand(shape, generator=generator) < 0.4,
        draw(distributions(n_states)),
    )


def as_mdp(world, gamma):
    n_states, n_actions = world.size
    transition = torch.zeros(n_states, n_actions, n_states, dtype=torch.float64)
    transition.scatter_add_(2, world.next_obs, world.probability * ~world.terminated)
    return TabularMDP(transition, (world.probability * world.reward).sum(-1), world.initial, gamma)


@given(worlds(), st.data(), st.floats(0, 0.95), st.integers(1, 3))
def test_the_variance_of_a_target_is_that_of_its_distribution(world, data, gamma, next_action_samples):
    probs, q = data.draw(distributions(*world.size)), data.draw(tensors(*world.size))
    from_world, from_actions = target_variance(world, probs, q, gamma, next_action_samples)
    value, spread = value_and_spread(probs, q)
    assert (spread >= 0).all()
    for s, a in itertools.product(*map(range, world.size)):
        y, p = target_distribution(world, probs, q, gamma, s, a, next_action_samples)
        close(p.sum(), 1.0)
        mean = (p * y).sum()
        close((p * (y - mean).square()).sum(), from_world[s, a] + from_actions[s, a], rtol=1e-6, atol=1e-7)
        goes_on = world.probability[s, a] * ~world.terminated[s, a]
        close(
            mean,
            (world.probability[s, a] * world.reward[s, a]).sum()
            + gamma * (goes_on * value[world.next_obs[s, a]]).sum(),
        )


@given(worlds(), st.data(), st.floats(0, 0.9))
@settings(max_examples=15)
def test_small_steps_lead_the_mean_of_td_to_the_values_of_the_next_policy(world, data, gamma):
    probs = data.draw(distributions(*world.size))
    q = as_mdp(world, gamma).action_values(probs)
    even = torch.full(world.size, 1 / math.prod(world.size), dtype=torch.float64)
    rate = 0.5 / max(1.0, math.prod(world.size))
    path = td_path(world, even, probs, gamma, rate=rate, batch_size=math.prod(world.size), n_updates=2)
    assert path.mean.shape == (3, *world.size) and (path.variance >= 0).all() and path.live.all()
    step = rate * math.prod(world.size) * even
    first = step * (world.probability * world.reward).sum(-1)
    close(path.mean[1], first)
    mdp = as_mdp(world, gamma)
    second = first + step * (mdp.reward + gamma * mdp.transition @ (probs * first).sum(-1) - first)
    close(path.mean[2], second)
    close(q, mdp.reward + gamma * mdp.transition @ (probs * q).sum(-1))  # where no step moves it any more
    assert (path.distance(q) >= path.bias(q) - 1e-12).all()


POLYNOMIALS = st.lists(st.floats(-3, 3), min_size=1, max_size=4)


@given(POLYNOMIALS, st.floats(-2, 2), st.floats(0.2, 2), st.integers(2, 5))
def test_gaussian_estimators_agree_on_the_gradient_of_any_polynomial(coefficients, mean, std, k):
    def q(action):
        return sum(c * action**n for n, c in enumerate(coefficients)) + 0 * action

    moments = [
        gaussian_moments(q, mean, std, estimator, action_samples=k, baseline=baseline)
        for estimator, baseline in (("pathwise", None), ("score", None), ("score", "value"), ("score", "leave-one-out"))
    ]
    for m in moments:
        assert math.isclose(m.mean, moments[0].mean, rel_tol=1e-6, abs_tol=1e-6) and m.variance >= 0
    one = gaussian_moments(q, mean, std)
    assert math.isclose(one.variance, k * moments[1].variance, rel_tol=1e-9, abs_tol=1e-12)
    slope = sum(n * c * raw_moment(n - 1, mean, std) for n, c in enumerate(coefficients) if n)
    assert math.isclose(moments[0].mean, slope, rel_tol=1e-6, abs_tol=1e-6)
    value = sum(c * raw_moment(n, mean, std) for n, c in enumerate(coefficients))
    assert math.isclose(expected(q, mean, std), value, rel_tol=1e-6, abs_tol=1e-6)


@given(POLYNOMIALS, st.floats(-2, 2), st.floats(0.2, 2))
def test_two_actions_that_leave_one_out_have_the_variance_of_all_pairs(coefficients, mean, std):
    def q(action):
        return sum(c * action**n for n, c in enumerate(coefficients)) + 0 * action

    noise, weight = normal_grid(401)
    difference = q(mean + std * noise)
    pairs = 0.5 * (noise[:, None] - noise) / std * (difference[:, None] - difference)  # the estimate from each pair
    both = weight[:, None] * weight
    first = (both * pairs).sum()
    m = gaussian_moments(q, mean, std, action_samples=2, baseline="leave-one-out")
    assert math.isclose(m.mean, first, rel_tol=1e-6, abs_tol=1e-6)
    assert math.isclose(m.variance, (both * (pairs - first).square()).sum(), rel_tol=1e-6, abs_tol=1e-6)


def raw_moment(n, mean, std):
    """E[aⁿ] of N(mean, std²), by its recursion."""
    return (
        1.0
        if n == 0
        else mean
        if n == 1
        else mean * raw_moment(n - 1, mean, std) + (n - 1) * std**2 * raw_moment(n - 2, mean, std)
    )


# ------------------------------------------------------------------------------------------------ networks' gradients


@given(SEEDS, st.none() | st.integers(1, 2), st.integers(1, 4), st.integers(1, 3), NUMBERS)
@settings(max_examples=10)
def test_the_noise_of_a_network_is_that_of_listing_its_actions(seed, n_seeds, size, n_actions, offset):
    make = {"hidden": (3,), "n_seeds": n_seeds, "generator": rng(seed), "out_gain": 1.0}
    policy, critic = CategoricalPolicy(2, n_actions, **make), DiscreteQCritic(2, n_actions, **make)
    obs = torch.randn(*(() if n_seeds is None else (n_seeds,)), size, 2, generator=rng(seed))
    theta = policy.net.theta
    pi, q = policy(obs), critic.all_actions(obs).detach()
    probs = pi.probs.detach()
    noise = gradient_noise(policy, critic, obs)
    for baseline, of_actions_alone in ((None, noise.actions), ("value", noise.actions_value)):
        weight = q - (probs * q).sum(-1, keepdim=True) if baseline else q
        scores = [
            [torch.autograd.grad(pi.log_probs[..., b, a].sum(), theta, retain_graph=True)[0] for a in range(n_actions)]
            for b in range(size)
        ]
        g = torch.stack([torch.stack(row, -2) for row in scores], -3) * weight[..., None]  # (S, B, A, P)
        mean = (probs[..., None] * g).sum(-2)
        within = (probs[..., None] * (g - mean.unsqueeze(-2)).square()).sum((-2, -1)).mean(-1)
        close(of_actions_alone, within, rtol=1e-3, atol=1e-5)
        total = mean.mean(-2)
        close(noise.signal, total.square().sum(-1), rtol=1e-3, atol=1e-5)
        close(noise.states, mean.square().sum(-1).mean(-1) - total.square().sum(-1), rtol=1e-3, atol=1e-4)


# --------------------------------------------------------------------------------------------------------- statistics


@given(st.data(), st.integers(2, 9), LEADS, st.floats(0.5, 0.99))
def test_an_interval_over_seeds_holds_the_estimate_and_no_more_than_the_values(data, n_seeds, lead, level):
    values = data.draw(tensors(n_seeds, *lead))
    low, high = stats.interval(values, level=level, n_resamples=200)
    middle = stats.iqm(values)
    least, most = values.amin(0).numpy(), values.amax(0).numpy()
    for bound in (low, middle, high):
        assert ((least - 1e-9 <= bound) & (bound <= most + 1e-9)).all()
    assert (low <= high).all()
    order = torch.randperm(n_seeds, generator=rng(data.draw(SEEDS)))
    np.testing.assert_allclose(stats.iqm(values[order]), middle)
    np.testing.assert_allclose(stats.iqm(3 * values - 2), 3 * middle - 2, atol=1e-9)
    wider_low, wider_high = stats.interval(values, level=(1 + level) / 2, n_resamples=200)
    assert (wider_low <= low + 1e-9).all() and (high <= wider_high + 1e-9).all()


@given(st.integers(1, 50), st.floats(0.5, 0.99), st.data())
def test_the_interval_of_a_proportion_holds_it(total, level, data):
    count = data.draw(st.integers(0, total))
    low, high = stats.proportion_interval(count, total, level)
    assert 0 <= low <= count / total + 1e-12 and count / total - 1e-12 <= high <= 1
    mirrored = stats.proportion_interval(total - count, total, level)
    assert math.isclose(low, 1 - mirrored[1], abs_tol=1e-9)


@given(st.data(), SIZES, st.integers(1, 6), st.integers(1, 3), st.floats(-5, 5))
def test_a_seed_is_solved_when_the_last_of_its_row_of_successes_is_reached(
    data, n_seeds, n_evaluations, in_a_row, goal
):
    returns = data.draw(tensors(n_seeds, n_evaluations))
    returns[torch.rand(returns.shape, generator=rng(data.draw(SEEDS))) < 0.2] = torch.nan
    steps = 10.0 * torch.arange(1, n_evaluations + 1)
    solved = stats.solved_at(steps, returns, goal, in_a_row)
    for s in range(n_seeds):
        ends = (e for e in range(in_a_row - 1, n_evaluations) if all(returns[s, e - in_a_row + 1 : e + 1] >= goal))
        wanted = next(ends, None)
        assert math.isnan(solved[s]) if wanted is None else solved[s] == steps[wanted]
    late = [x >= goal for row in returns.tolist() for x in row[n_evaluations // 2 :]]
    assert math.isclose(stats.share_at_goal(returns, goal), sum(late) / len(late))


@given(st.lists(st.tuples(st.integers(0, 2), NUMBERS), max_size=12), st.integers(1, 4))
def test_the_latest_episodes_of_a_seed_are_its_own(rows, last):
    episodes = [Episode(seed, 0, episode_return, 1) for seed, episode_return in rows]
    latest = latest_episodes(episodes, 3, last)
    for seed, own in enumerate(latest):
        assert own == [e for e in episodes if e.seed == seed][::-1][:last]
    means = [np.mean([e.episode_return for e in own]) if own else math.nan for own in latest]
    np.testing.assert_allclose(recent_returns(episodes, 3, last), means, rtol=1e-5, atol=1e-5)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.floats(0, 1))
def test_what_is_still_to_come_is_the_mean_over_all_states(lengths, gamma):
    sums = [sum(gamma**t for t in range(left)) for length in lengths for left in range(1, length + 1)]
    assert math.isclose(discounted_steps_left(lengths, gamma), np.mean(sums), rel_tol=1e-9)


# --------------------------------------------------------------------------------------------------------------- runs


@pytest.mark.parametrize("critic", ["q", "v"])
@given(st.integers(1, 3), st.lists(st.integers(0, 100), max_size=4), st.booleans(), SEEDS)
@settings(max_examples=8)
def test_a_saved_run_comes_back_as_it_was(tmp_path_factory, critic, seeds, steps, twin, seed):
    action, scale = "resampled" if critic == "q" else "stored", [1.0, 2.0, 3.0, 4.0]
    config = Config(seeds=seeds, critic=critic, action=action, twin=twin, hidden=[3], obs_scale=scale)
    spaces = Spaces((4,), (), 2)
    run = Run(config, spaces, *make_networks(config, spaces, rng(seed)), stopped={0: 8})
    for n, step in enumerate(steps):
        run.record(step, torch.randn(seeds, generator=rng(n)), value=torch.full((seeds,), torch.nan))
    path = tmp_path_factory.mktemp("runs") / "a.run"
    run.save(path)
    back = Run.load(path)
    assert (back.config, back.spaces, back.stopped) == (config, spaces, run.stopped)
    assert torch.equal(back.steps, run.steps) and torch.equal(back.returns, run.returns)
    assert back.log.keys() == run.log.keys() and all(
        map(torch.equal, map(torch.isnan, back.log.values()), map(torch.isnan, run.log.values()))
    )
    for net in ("policy", "critic"):
        ours, theirs = getattr(run, net).state_dict(), getattr(back, net).state_dict()
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
