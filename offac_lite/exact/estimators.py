"""The policy-gradient estimators of the course on a tabular MDP: exact moments, and fast sampling.

Every estimate is an average over N states, and over K actions in each state:

    g = Z/N · Σ_i 1/K · Σ_k w(s_i, a_ik) ∇log π(a_ik|s_i) (Q(s_i, a_ik) − b),        s_i ~ ρ/Z.

Here ρ is the visitation of the policy that wrote the buffer, and Z is the sum of ρ. The estimators differ in where a
comes from and in the weight w:

    stored      a ~ β, the replayed action;     w = 1         K = 1: the buffer holds one action per state
    importance  a ~ β, the replayed action;     w = π/β       K = 1
    resampled   a ~ π, drawn now;               w = 1         any K: resampling costs no environment step
    expected    every a, summed with weight π   w = 1         K → ∞

For a softmax policy, ∇log π(a|s) with respect to the logits of s is onehot(a) − π(·|s).
"""

from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack, get_args

import torch

from offac_lite import _check
from offac_lite.exact._types import F64, Baseline, Logits, Numbers, PerState, PerStateAction, Probs, Table
from offac_lite.exact.mdp import TabularMDP, advantages
from offac_lite.updates import BASELINES

EstimatorName = Literal["stored", "importance", "resampled", "expected"]
ESTIMATORS: tuple[EstimatorName, ...] = get_args(EstimatorName)


@dataclass(frozen=True, eq=False)
class GradientMoments:
    """Exact mean and variance of one gradient estimator.

    A variance is the trace of the covariance matrix of the S · A parameters.
    """

    mean: PerStateAction  # E[g]
    target: PerStateAction  # ∇J: states and actions of π, exact Q
    surrogate: PerStateAction  # the gradient under the buffer's states: actions of π, exact Q
    variance_states: float  # 1/N · Var_s(E[g | s]): the floor, which K does not lower
    variance_actions: float  # 1/N · E_s(Var_a(g | s)): the part that K lowers
    action_samples: int  # the K in use: 1 for "stored" and "importance"; "expected" ignores it

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
        """Cosine of the angle between E[g] and ∇J. Below 0, a step along E[g] lowers J. 0 if either is 0."""
        lengths = self.mean.norm() * self.target.norm()
        return ((self.mean * self.target).sum() / lengths).item() if lengths > 0 else 0.0


class Options(TypedDict, total=False):
    """The keyword arguments of `Estimator`, which `gradient_moments` and `sample_gradients` pass on."""

    batch_size: int
    action_samples: int
    baseline: Baseline
    behavior: Probs | None
    q: Table | None


class Estimator:
    """One gradient estimator: a policy, the data it learns from, and how a batch becomes a gradient estimate.

    Parameters
    ----------
    logits : (S, A)
        The current softmax policy π.
    estimator : "stored" | "importance" | "resampled" | "expected"
        See the module's table. "stored" and "importance" use the one action in the buffer, and "expected" sums over
        all actions, so `action_samples` does not change these three.
    batch_size, action_samples : int
        N states in a batch, K actions in each state.
    baseline : None | "value" | "leave-one-out"
        b = 0; b = V(s) = Σ_a π(a|s) Q(s, a); or b = the mean Q of the other K − 1 actions (K ≥ 2). No baseline changes
        "expected", because Σ_a π(a|s) ∇log π(a|s) = 0.
    behavior : (S, A) or None
        *Data*: the policy β that wrote the buffer. The states come from the discounted visitation of β, the stored
        actions from β(·|s). None is π itself: fresh data.
    q : (S, A) or None
        The critic. None is the exact Q^π. The target and the surrogate always use the exact Q^π.

    Raises `TypeError` or `ValueError` and names the argument, for a wrong shape, NaN, probabilities that do not sum to
    1, N or K below 1, an unknown estimator or baseline, and leave-one-out without a second action.

    >>> bandit = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)  # one step, two actions
    >>> Estimator(bandit, [[0.0, 0.0]], "resampled", action_samples=2).moments().variance_actions
    0.0625
    """

    def __init__(
        self,
        mdp: TabularMDP,
        logits: Logits,
        estimator: EstimatorName,
        *,
        batch_size: int = 1,
        action_samples: int = 1,
        baseline: Baseline = None,
        behavior: Probs | None = None,
        q: Table | None = None,
    ) -> None:
        _check.one_of("estimator", estimator, ESTIMATORS)
        _check.one_of("baseline", baseline, BASELINES)
        from_buffer = estimator in ("stored", "importance")  # the buffer holds one action per state
        self.estimator = estimator
        self.batch_size = _check.count("batch_size", batch_size)
        action_samples = _check.count("action_samples", action_samples)
        self.action_samples = 1 if from_buffer else action_samples
        self.leave_one_out = baseline == "leave-one-out" and estimator != "expected"
        if self.leave_one_out and self.action_samples < 2:
            raise ValueError(
                f"baseline 'leave-one-out' averages the other K − 1 actions in the same state, but estimator "
                f"{estimator!r} uses action_samples={self.action_samples}: use 'resampled' with action_samples >= 2"
            )
        size = (mdp.n_states, mdp.n_actions)
        self.probs = torch.softmax(_check.table("logits", logits, size).detach(), -1)  # π
        beta = self.probs if behavior is None else _check.distributions("behavior", behavior, size, "(S, A)").detach()
        exact_q = mdp.action_values(self.probs)
        self.critic = exact_q if q is None else _check.table("q", q, size).detach()
        self.signal = advantages(self.probs, self.critic) if baseline == "value" else self.critic  # Q − b
        if estimator == "importance":
            ratio = torch.where(beta > 0, self.probs / beta, 0.0)
            self.signal = ratio * self.signal
        self.draw_probs = beta if from_buffer else self.probs  # where the actions come from
        self.visitation = mdp.occupancy(beta)  # ρ
        self.total = self.visitation.sum()  # Z
        advantage = advantages(self.probs, exact_q)
        self.surrogate = self.visitation[:, None] * self.probs * advantage
        self.target = mdp.occupancy(self.probs)[:, None] * self.probs * advantage

    def moments(self) -> GradientMoments:
        """Compute the exact mean and variance by enumeration: see `gradient_moments`."""
        mean_given_state, variance_given_state = self._moments_given_state()
        state_probs = self.visitation / self.total
        mean = self.visitation[:, None] * mean_given_state
        second = self.total.square() * (state_probs * mean_given_state.square().sum(-1)).sum()
        across_states = (second - mean.square().sum()).clamp_min(0.0)
        across_actions = self.total.square() * (state_probs * variance_given_state).sum().clamp_min(0.0)
        return GradientMoments(
            mean=mean,
            target=self.target,
            surrogate=self.surrogate,
            variance_states=(across_states / self.batch_size).item(),
            variance_actions=(across_actions / self.batch_size).item(),
            action_samples=self.action_samples,
        )

    def sample(self, n_samples: int, generator: torch.Generator) -> torch.Tensor:
        """Draw independent gradient estimates, each from its own N states: shape (n_samples, S, A)."""
        shape = (_check.count("n_samples", n_samples), self.batch_size)
        _check.generator("generator", generator)
        state_uniforms = torch.rand(shape, generator=generator, **F64)
        action_uniforms = torch.rand((*shape, self.action_samples), generator=generator, **F64)
        return self._gradients(state_uniforms, action_uniforms)

    def from_uniforms(self, state_uniforms: Numbers, action_uniforms: Numbers) -> torch.Tensor:
        """Turn uniform random numbers into gradient estimates: shape (n, S, A).

        `state_uniforms` (n, N) and `action_uniforms` (n, N, K) lie in [0, 1) and go through the inverse distribution
        functions. With the same numbers, a small change of the policy or of Q is a small change of each estimate, so
        a slider moves one cloud of points instead of drawing another.

        >>> bandit = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
        >>> Estimator(bandit, [[0.0, 0.0]], "resampled").from_uniforms([[0.3]], [[[0.1]]])  # a = 0, Q = 1
        tensor([[[ 0.5000, -0.5000]]], dtype=torch.float64)
        """
        state_uniforms = _check.finite_tensor("state_uniforms", state_uniforms)
        action_uniforms = _check.finite_tensor("action_uniforms", action_uniforms)
        shape = (*state_uniforms.shape[:1], self.batch_size)
        _check.shape("state_uniforms", state_uniforms, shape, "(n, N)")
        _check.shape("action_uniforms", action_uniforms, (*shape, self.action_samples), "(n, N, K)")
        for name, u in (("state_uniforms", state_uniforms), ("action_uniforms", action_uniforms)):
            if (u < 0).any() or (u >= 1).any():
                raise ValueError(f"{name} must lie in [0, 1)")
        return self._gradients(state_uniforms, action_uniforms)

    def _moments_given_state(self) -> tuple[PerStateAction, PerState]:
        """Compute E[g | s], and the trace of Var[g | s] over the K actions drawn in s."""
        weighted = self.draw_probs * self.signal
        mean = weighted - self.probs * weighted.sum(-1, keepdim=True)
        if self.estimator == "expected":
            return mean, torch.zeros_like(self.visitation)
        score = torch.eye(self.probs.shape[1], **F64) - self.probs[:, None, :]  # ∇log π(a|s), (S, A, A)

        def spread(signal: PerStateAction) -> PerState:
            """Σ_a draw_probs ‖signal · ∇log π(a) − mean‖². The mean is subtracted first: equal terms give exactly 0."""
            return (self.draw_probs * (signal[..., None] * score - mean[:, None, :]).square().sum(-1)).sum(-1)

        k = self.action_samples
        if not self.leave_one_out:
            return mean, spread(self.signal) / k
        # With x = ∇log π(a), leave-one-out is a U-statistic of order 2 with kernel h(a, a′) = ½ (x − x′)(Q − Q′). So
        # (Hoeffding, 1948) Var = [4 (K − 2) ζ1 + 2 ζ2] / (K (K − 1)). Here 4 ζ1 = Var[x (Q − V)]. As ‖x − x′‖² = 2
        # for a ≠ a′, E‖h‖² = Var_π(Q).
        advantage = advantages(self.probs, self.critic)
        four_zeta_1 = spread(advantage)
        zeta_2 = (self.probs * advantage.square()).sum(-1) - mean.square().sum(-1)
        return mean, ((k - 2) * four_zeta_1 + 2 * zeta_2) / (k * (k - 1))

    def _gradients(self, state_uniforms: torch.Tensor, action_uniforms: torch.Tensor) -> torch.Tensor:
        """Draw by inverse transform, then sum c (onehot(a) − π) with counts and one product: no loop, no autograd."""
        (n_samples, n), (n_states, n_actions) = state_uniforms.shape, self.probs.shape
        below_one = 1 - 1e-12  # keeps s + u below s + 1 in floating point
        cumulative = (self.visitation / self.total).cumsum(0)
        state = torch.searchsorted(cumulative, state_uniforms * below_one * cumulative[-1], right=True)
        rows = torch.arange(n_samples, device="cpu").repeat_interleave(n) * n_states
        if self.estimator == "expected":
            counts = torch.bincount(rows + state.flatten(), minlength=n_samples * n_states).double()
            mean_given_state, _ = self._moments_given_state()
            return (self.total / n) * counts.view(n_samples, n_states, 1) * mean_given_state
        # One sorted array holds every state's distribution function, shifted by the state's number.
        cumulative = self.draw_probs.cumsum(-1)
        cumulative = (cumulative / cumulative[:, -1:] + torch.arange(n_states, device="cpu")[:, None]).flatten()
        pair = torch.searchsorted(cumulative, state[..., None] + action_uniforms * below_one, right=True)  # s · A + a
        signal = self.signal.flatten()[pair]
        if self.leave_one_out:
            signal = (signal - signal.mean(-1, keepdim=True)) * (self.action_samples / (self.action_samples - 1))
        index = (rows.view(n_samples, n, 1) * n_actions + pair).flatten()
        totals = torch.bincount(index, signal.flatten(), minlength=n_samples * n_states * n_actions)
        totals = totals.view(n_samples, n_states, n_actions)
        return (self.total / (n * self.action_samples)) * (totals - self.probs * totals.sum(-1, keepdim=True))


def gradient_moments(
    mdp: TabularMDP, logits: Logits, estimator: EstimatorName, **options: Unpack[Options]
) -> GradientMoments:
    """Compute the exact mean, bias and variance of one gradient estimator by enumeration: nothing is sampled.

        Var[g] = 1/N · [ Var_s(E[g|s]) + E_s(Var_a(g|s)) ]           (the law of total variance, Equation (5.2))

    Var_a(g|s) falls as 1/K with K resampled actions; with "leave-one-out" it falls slightly differently at small K.

    `options` are those of `Estimator`, which also says what raises: `batch_size` = N = 1, `action_samples` = K = 1,
    `baseline` = None | "value" | "leave-one-out", `behavior` = β (S, A) or None (π), `q` = Q (S, A) or None (exact).

    >>> bandit = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)  # one step, two actions
    >>> m = gradient_moments(bandit, [[0.0, 0.0]], "resampled", action_samples=2)
    >>> m.mean, m.bias, m.variance_states, m.variance_actions
    (tensor([[ 0.2500, -0.2500]], dtype=torch.float64), 0.0, 0.0, 0.0625)
    """
    return Estimator(mdp, logits, estimator, **options).moments()


def sample_gradients(
    mdp: TabularMDP,
    logits: Logits,
    estimator: EstimatorName,
    *,
    n_samples: int = 10_000,
    generator: torch.Generator,
    **options: Unpack[Options],
) -> torch.Tensor:
    """Draw `n_samples` independent gradient estimates, each from its own N states: shape (n_samples, S, A).

    `options` are as in `gradient_moments`, whose mean and variance these samples have. `generator` is a local
    `torch.Generator`: the global random state does not change. The result takes n_samples · S · A · 8 bytes, and
    making it takes about n_samples · N · K · 32 bytes.

    >>> bandit = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
    >>> g = sample_gradients(bandit, [[0.0, 0.0]], "resampled", n_samples=4, generator=torch.Generator().manual_seed(0))
    >>> g.shape
    torch.Size([4, 1, 2])
    """
    return Estimator(mdp, logits, estimator, **options).sample(n_samples, generator)


def break_even_actions(
    mdp: TabularMDP, logits: Logits, *, behavior: Probs | None = None, q: Table | None = None
) -> float:
    """K* = E_s[Var_a g_Q] / E_s[Var_a g_A]: how many resampled actions per state replace the baseline. Equation (5.3)

    K* resampled actions with Q itself are exactly as noisy as one action with the advantage. Arguments as in
    `Estimator`. K* is infinite if the advantage leaves no noise but Q does, as for two actions that are equally
    likely. K* is below 1 if Q itself is less noisy: V is the usual baseline, not the one of least variance (Greensmith
    et al., 2004).

    >>> mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    >>> uniform = torch.zeros(16, 4)
    >>> round(break_even_actions(mdp, uniform), 1), round(break_even_actions(mdp.with_reward_offset(1), uniform), 1)
    (18.5, 146.9)
    """
    with_q = gradient_moments(mdp, logits, "resampled", behavior=behavior, q=q).variance_actions
    with_v = gradient_moments(mdp, logits, "resampled", baseline="value", behavior=behavior, q=q).variance_actions
    if with_v <= 1e-24 * with_q:  # only rounding error
        return float("inf") if with_q > 0 else 1.0
    return with_q / with_v
