"""The policy-gradient estimators of the course: exact mean and variance, and fast sampling, on a tabular MDP.

Every estimate is an average over N states, and over K actions in each,

    g = Z/N · Σ_i 1/K · Σ_k w(s_i, a_ik) ∇log π(a_ik|s_i) (Q(s_i, a_ik) − b),        s_i ~ ρ/Z,

where ρ is the visitation of the policy that wrote the buffer and Z its total. The estimators differ in where
a comes from and in the weight w:

    stored      a ~ β, the replayed action;     w = 1         K = 1: the buffer holds one action per state
    importance  a ~ β, the replayed action;     w = π/β       K = 1
    resampled   a ~ π, drawn now;               w = 1         any K: resampling costs no environment step
    expected    every a, summed with weight π   w = 1         K → ∞

For a softmax policy ∇log π(a|s), taken with respect to the logits of s, is onehot(a) − π(·|s). That makes
everything below a short sum.
"""

from dataclasses import dataclass

import torch

from offac_lite import _check
from offac_lite.exact.mdp import TabularMDP, advantages

ESTIMATORS = ("stored", "importance", "resampled", "expected")
BASELINES = (None, "value", "leave-one-out")


@dataclass(frozen=True, eq=False)
class GradientMoments:
    """Exact mean and variance of one gradient estimator. Variances are traces over the S × A parameters."""

    mean: torch.Tensor  # (S, A), E[g]
    target: torch.Tensor  # (S, A), ∇J: π's own states, π's actions, exact Q
    surrogate: torch.Tensor  # (S, A), the gradient under the buffer's states: π's actions, exact Q
    variance_states: float  # 1/N · Var_s(E[g | s]): the floor, which no K can lower
    variance_actions: float  # 1/N · E_s(Var_a(g | s)): what K lowers
    action_samples: (
        int  # the K in force: 1 where the estimator has only the stored action; "expected" has no use for it
    )

    @property
    def bias(self) -> float:
        """‖E[g] − ∇J‖."""
        return (self.mean - self.target).norm().item()

    @property
    def bias_surrogate(self) -> float:
        """‖E[g] − surrogate‖: the part of the error that is not due to the buffer's states."""
        return (self.mean - self.surrogate).norm().item()

    @property
    def variance(self) -> float:
        """Var_s(E[g | s])/N + E_s(Var_a(g | s))/N, the law of total variance."""
        return self.variance_states + self.variance_actions

    @property
    def cosine(self) -> float:
        """Cosine of the angle between E[g] and ∇J: 1 is the right direction, below 0 is downhill; 0 if either is 0."""
        lengths = self.mean.norm() * self.target.norm()
        return ((self.mean * self.target).sum() / lengths).item() if lengths > 0 else 0.0


@dataclass(frozen=True, eq=False)
class _Problem:
    """What one estimator needs to know of each state: the same for the moments and for the samples."""

    estimator: str
    leave_one_out: bool
    batch_size: int  # N
    action_samples: int  # K
    visitation: torch.Tensor  # ρ_β, (S,)
    probs: torch.Tensor  # π, (S, A)
    draw_probs: torch.Tensor  # where the actions come from, π or β, (S, A)
    critic: torch.Tensor  # Q as given, (S, A)
    signal: torch.Tensor  # what multiplies ∇log π: w · (Q − b), (S, A); w · Q for leave-one-out
    surrogate: torch.Tensor  # (S, A)
    target: torch.Tensor  # (S, A)

    @property
    def total(self) -> torch.Tensor:
        return self.visitation.sum()

    @property
    def state_probs(self) -> torch.Tensor:
        return self.visitation / self.total


def _problem(mdp, logits, estimator, batch_size, action_samples, baseline, behavior, q) -> _Problem:
    size = (_check.instance("mdp", mdp, TabularMDP).n_states, mdp.n_actions)
    _check.choice("estimator", estimator, ESTIMATORS)
    _check.choice("baseline", baseline, BASELINES)
    batch_size, action_samples = _check.count("batch_size", batch_size), _check.count("action_samples", action_samples)
    if estimator in ("stored", "importance"):
        action_samples = 1
    leave_one_out = baseline == "leave-one-out" and estimator != "expected"
    if leave_one_out and action_samples < 2:
        raise ValueError(
            f"baseline 'leave-one-out' averages the other K − 1 actions in the same state, but estimator "
            f"{estimator!r} has action_samples={action_samples} in force; "
            "wanted estimator 'resampled' with action_samples >= 2"
        )
    logits = _check.finite_tensor("logits", logits).detach()
    _check.shape("logits", logits, size, "(S, A)")
    probs = torch.softmax(logits, -1)
    if behavior is None:
        behavior = probs
    else:
        behavior = _check.distributions("behavior", behavior, size, "(S, A)").detach()
    exact_q = mdp.action_values(probs)
    if q is None:
        q = exact_q
    else:
        q = _check.finite_tensor("q", q).detach()
        _check.shape("q", q, size, "(S, A)")

    on_policy = estimator in ("resampled", "expected")
    signal = advantages(probs, q) if baseline == "value" else q
    if estimator == "importance":
        ratio = torch.where(behavior > 0, probs / behavior.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
        signal = ratio * signal
    visitation = mdp.occupancy(behavior)
    advantage = advantages(probs, exact_q)
    return _Problem(
        estimator=estimator,
        leave_one_out=leave_one_out,
        batch_size=batch_size,
        action_samples=action_samples,
        visitation=visitation,
        probs=probs,
        draw_probs=probs if on_policy else behavior,
        critic=q,
        signal=signal,
        surrogate=visitation[:, None] * probs * advantage,
        target=mdp.occupancy(probs)[:, None] * probs * advantage,
    )


def _per_state_moments(p: _Problem) -> tuple[torch.Tensor, torch.Tensor]:
    """E[g | s], (S, A), and the trace of Var[g | s] over the K actions drawn there, (S,)."""
    weighted = p.draw_probs * p.signal
    mean = weighted - p.probs * weighted.sum(-1, keepdim=True)
    if p.estimator == "expected":
        return mean, torch.zeros_like(p.visitation)
    score = torch.eye(p.probs.shape[1], dtype=torch.float64) - p.probs[:, None, :]  # ∇log π(a|s), (S, A, A)

    def spread(signal: torch.Tensor) -> torch.Tensor:
        """Σ_a μ(a) ‖h(a) ∇log π(a) − mean‖²: centred first, so that what is equal leaves exactly nothing."""
        return (p.draw_probs * (signal[..., None] * score - mean[:, None, :]).square().sum(-1)).sum(-1)

    if not p.leave_one_out:
        return mean, spread(p.signal) / p.action_samples
    # Leave-one-out is a U-statistic of order 2 with kernel h(a, a′) = ½ (x − x′)(Q − Q′), so (Hoeffding, 1948)
    # Var = [4 (K − 2) ζ1 + 2 ζ2] / (K (K − 1)). Here 4 ζ1 = Var[x (Q − V)], and as ‖x − x′‖² = 2 for a ≠ a′,
    # E‖h‖² = Var_π(Q).
    advantage = advantages(p.probs, p.critic)
    four_zeta_1 = spread(advantage)
    zeta_2 = (p.probs * advantage.square()).sum(-1) - mean.square().sum(-1)
    k = p.action_samples
    return mean, ((k - 2) * four_zeta_1 + 2 * zeta_2) / (k * (k - 1))


def gradient_moments(
    mdp: TabularMDP,
    logits,
    estimator: str,
    *,
    batch_size: int = 1,
    action_samples: int = 1,
    baseline=None,
    behavior=None,
    q=None,
) -> GradientMoments:
    """Exact mean, bias and variance of one gradient estimator, by enumeration: nothing is sampled.

    Var[g] = 1/N · [ Var_s(E[g|s]) + E_s(Var_a(g|s)) ]           (the law of total variance, Equation (5.2))

    and Var_a(g|s) falls as 1/K with K resampled actions ('leave-one-out': slightly differently at small K).

    Parameters
    ----------
    logits : (S, A)
        The current softmax policy π.
    estimator : "stored" | "importance" | "resampled" | "expected"
        See the module's table. "stored" and "importance" use the one action that the buffer holds, and
        "expected" all of them, so for these three `action_samples` changes nothing.
    batch_size, action_samples : int
        N states in a batch, K actions in each.
    baseline : None | "value" | "leave-one-out"
        b = 0; b = V(s) = Σ_a π(a|s) Q(s, a); or the mean Q of the other K − 1 actions (K ≥ 2). None of them
        changes "expected", in which E_a[∇log π] = 0 is summed out.
    behavior : (S, A) or None
        Probabilities of the policy β that wrote the buffer: its states come from β's discounted visitation
        and its stored actions from β(·|s). None: π itself, so that the data is fresh.
    q : (S, A) or None
        The critic in use; None is the exact Q^π. The target and the surrogate always use the exact one.

    Returns
    -------
    GradientMoments

    Raises `TypeError` or `ValueError`, naming the argument, for a wrong shape, NaN, probabilities that do not
    sum to 1, N or K below 1, an unknown estimator or baseline, or leave-one-out without a second action.

    >>> mdp = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)  # one step, two actions: a bandit
    >>> m = gradient_moments(mdp, [[0.0, 0.0]], "resampled", action_samples=2)
    >>> m.mean, m.bias, m.variance_states, m.variance_actions
    (tensor([[ 0.2500, -0.2500]], dtype=torch.float64), 0.0, 0.0, 0.0625)
    """
    p = _problem(mdp, logits, estimator, batch_size, action_samples, baseline, behavior, q)
    mean_given_state, variance_given_state = _per_state_moments(p)
    mean = p.visitation[:, None] * mean_given_state
    second = p.total.square() * (p.state_probs * mean_given_state.square().sum(-1)).sum()
    across_states = (second - mean.square().sum()).clamp_min(0.0)
    across_actions = p.total.square() * (p.state_probs * variance_given_state).sum().clamp_min(0.0)
    return GradientMoments(
        mean=mean,
        target=p.target,
        surrogate=p.surrogate,
        variance_states=(across_states / p.batch_size).item(),
        variance_actions=(across_actions / p.batch_size).item(),
        action_samples=p.action_samples,
    )


def break_even_actions(mdp: TabularMDP, logits, *, behavior=None, q=None) -> float:
    """K* = E_s[Var_a g_Q] / E_s[Var_a g_A]: the price of the lost baseline, in resampled actions per state.

    Equation (5.3). With K* resampled actions and Q itself, the estimate is exactly as noisy as with one action and the
    advantage. Arguments as in `gradient_moments`. Infinite where the advantage leaves no noise at all (two
    actions that are equally likely, say) but Q does; below 1 where Q itself is the quieter of the two, for V is
    the usual baseline and not the one of least variance (Greensmith et al., 2004).

    >>> mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    >>> uniform = torch.zeros(16, 4)
    >>> round(break_even_actions(mdp, uniform), 1), round(break_even_actions(mdp.with_reward_offset(1), uniform), 1)
    (18.5, 146.9)
    """
    with_q, with_advantage = (
        gradient_moments(mdp, logits, "resampled", baseline=b, behavior=behavior, q=q).variance_actions
        for b in (None, "value")
    )
    if with_advantage <= 1e-24 * with_q:  # nothing but rounding error
        return float("inf") if with_q > 0 else 1.0
    return with_q / with_advantage


def sample_gradients(
    mdp: TabularMDP,
    logits,
    estimator: str,
    *,
    batch_size: int = 1,
    action_samples: int = 1,
    baseline=None,
    behavior=None,
    q=None,
    n_samples: int = 10_000,
    generator: torch.Generator,
) -> torch.Tensor:
    """Draw `n_samples` independent gradient estimates, each from its own N states: shape (n_samples, S, A).

    The same arguments, and the same errors, as `gradient_moments`, whose mean and variance these samples
    have. `generator` is a local `torch.Generator`: the global random state is never touched. The result takes
    n_samples · S · A · 8 bytes, and making it about n_samples · N · K · 32.

    >>> mdp = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
    >>> g = sample_gradients(mdp, [[0.0, 0.0]], "resampled", n_samples=4, generator=torch.Generator().manual_seed(0))
    >>> g.shape
    torch.Size([4, 1, 2])
    """
    p = _problem(mdp, logits, estimator, batch_size, action_samples, baseline, behavior, q)
    n_samples = _check.count("n_samples", n_samples)
    _check.generator("generator", generator)
    shape = (n_samples, p.batch_size)
    state_uniforms = torch.rand(shape, generator=generator, dtype=torch.float64)
    action_uniforms = torch.rand((*shape, p.action_samples), generator=generator, dtype=torch.float64)
    return _gradients(p, state_uniforms, action_uniforms)


def gradients_from_uniforms(
    mdp: TabularMDP, logits, estimator: str, state_uniforms, action_uniforms, *, baseline=None, behavior=None, q=None
) -> torch.Tensor:
    """Turn uniform random numbers into gradient estimates: shape (n, S, A).

    `state_uniforms` (n, N) and `action_uniforms` (n, N, K), each in [0, 1), are mapped through the inverse
    distribution functions. With the same numbers, a small change of the policy or of Q is a small change
    of the estimates: a slider moves one cloud instead of drawing another.

    >>> mdp = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
    >>> gradients_from_uniforms(mdp, [[0.0, 0.0]], "resampled", [[0.3]], [[[0.1]]])  # a = 0, Q = 1
    tensor([[[ 0.5000, -0.5000]]], dtype=torch.float64)
    """
    state_uniforms = _check.finite_tensor("state_uniforms", state_uniforms)
    action_uniforms = _check.finite_tensor("action_uniforms", action_uniforms)
    for name, u, axes in (("state_uniforms", state_uniforms, 2), ("action_uniforms", action_uniforms, 3)):
        if u.ndim != axes or 0 in u.shape:
            raise ValueError(f"{name} has shape {tuple(u.shape)}, wanted {'(n, N)' if axes == 2 else '(n, N, K)'}")
        if (u < 0).any() or (u >= 1).any():
            raise ValueError(f"{name} must lie in [0, 1)")
    _check.shape("state_uniforms", state_uniforms, action_uniforms.shape[:2], "(n, N) of action_uniforms")
    batch_size, action_samples = action_uniforms.shape[1:]
    p = _problem(mdp, logits, estimator, batch_size, action_samples, baseline, behavior, q)
    return _gradients(p, state_uniforms, action_uniforms[..., : p.action_samples])


def _gradients(p: _Problem, state_uniforms: torch.Tensor, action_uniforms: torch.Tensor) -> torch.Tensor:
    """Inverse-transform sampling, then Σ c (onehot(a) − π) as counts and one product; no loop, no autograd."""
    n_samples, n, n_mdp_states, n_mdp_actions = *state_uniforms.shape, *p.probs.shape
    below_one = 1 - 1e-12  # keeps s + u below s + 1 in floating point
    cumulative = p.state_probs.cumsum(0)
    state = torch.searchsorted(cumulative, state_uniforms * below_one * cumulative[-1], right=True)
    rows = torch.arange(n_samples).repeat_interleave(n) * n_mdp_states
    if p.estimator == "expected":
        counts = torch.bincount(rows + state.flatten(), minlength=n_samples * n_mdp_states).double()
        mean_given_state, _ = _per_state_moments(p)
        return (p.total / n) * counts.view(n_samples, n_mdp_states, 1) * mean_given_state
    # One sorted array holds every state's distribution function, shifted by the state's number.
    cumulative = p.draw_probs.cumsum(-1)
    cumulative = (cumulative / cumulative[:, -1:] + torch.arange(n_mdp_states)[:, None]).flatten()
    pair = torch.searchsorted(cumulative, state[..., None] + action_uniforms * below_one, right=True)  # s · A + a
    signal = p.signal.flatten()[pair]
    if p.leave_one_out:
        signal = (signal - signal.mean(-1, keepdim=True)) * (p.action_samples / (p.action_samples - 1))
    index = rows.view(n_samples, n, 1) * n_mdp_actions + pair
    totals = torch.bincount(index.flatten(), signal.flatten(), minlength=n_samples * n_mdp_states * n_mdp_actions).view(
        n_samples, n_mdp_states, n_mdp_actions
    )
    return (p.total / (n * p.action_samples)) * (totals - p.probs * totals.sum(-1, keepdim=True))
