"""Targets that look several steps ahead, exactly: uncorrected n-step returns, Retrace, V-trace.

Averaged over the data of β, each target is an affine map of the values it bootstraps from. So where repeated updates
lead, and how fast, is linear algebra.
"""

from dataclasses import dataclass

import torch

from offac_lite import _check
from offac_lite.exact._types import F64, Numbers, PerState, PerStateAction, Probs, Table
from offac_lite.exact.mdp import TabularMDP


@dataclass(frozen=True, eq=False)
class Operator:
    """The mean of a target, x ↦ constant + matrix @ x, where x holds the n values that the target bootstraps from."""

    matrix: torch.Tensor  # (n, n)
    constant: torch.Tensor  # (n,)
    size: tuple[int, ...]  # of one table of values: (S,) or (S, A)

    def __call__(self, values: Numbers) -> torch.Tensor:
        """Return the mean target bootstrapped from `values`, both (S,), or both (S, A)."""
        values = _check.finite_tensor("values", values)
        _check.shape("values", values, self.size, "(S,)" if len(self.size) == 1 else "(S, A)")
        return (self.constant + self.matrix @ values.flatten()).view(self.size)

    def fixed_point(self) -> torch.Tensor:
        """Solve x = constant + matrix @ x: the values that equal their own targets, (S,) or (S, A).

        Raises `ValueError` where float64 finds no single solution.
        """
        x, singular = torch.linalg.solve_ex(torch.eye(len(self.constant), **F64) - self.matrix, self.constant)
        if singular or not torch.isfinite(x).all():
            raise ValueError("the target has no single fixed point: I − matrix is singular")
        return x.view(self.size)

    def contraction(self) -> float:
        """Compute the largest factor by which a target changes the largest error: max row sum of |matrix|.

        Below 1, repeated updates converge to the fixed point from anywhere.
        """
        return self.matrix.abs().sum(-1).max().item()


def retrace_coefficient(probs: Probs, behavior: Probs, lam: float) -> PerStateAction:
    """Compute c(s, a) = λ min(1, π(a|s) / β(a|s)), the trace coefficient of Retrace.                    Equation (S.3)

    `probs` and `behavior` (S, A) are π and β; λ lies in [0, 1]. An action that β never takes has c = λ: no data holds
    it. Munos et al. (2016), section 3. Raises `ValueError` for a row that does not sum to 1, and for another λ.

    >>> retrace_coefficient([[0.75, 0.25]], [[0.5, 0.5]], 0.9)
    tensor([[0.9000, 0.4500]], dtype=torch.float64)
    """
    probs, behavior = _policies(probs, behavior)
    return _check.discount("lam", lam) * _ratio(probs, behavior).clamp(max=1.0)


def trace_operator(mdp: TabularMDP, probs: Probs, behavior: Probs, coefficient: Table) -> Operator:
    """Return the mean target of Q with the trace coefficient c(s, a), any table (S, A).                 Equation (S.2)

        y = Q(s₀, a₀) + Σ_t γ^t c₁ ⋯ c_t δ_t,    δ_t = r_t + γ Σ_a π(a|s_{t+1}) Q(s_{t+1}, a) − Q(s_t, a_t)

    *Data*: `behavior` β (S, A) chooses a₁, a₂, …; s₀ and a₀ are any. Retrace is c = λ min(1, π/β); importance sampling
    is c = π/β; c = λ π is tree backup; c = λ takes no account of β; c = 0 is the one-step target (4.2). All have the
    fixed point Q^π, because under the true Q^π the mean of δ is 0 in every (s, a). They differ in how fast they get
    there, and c = λ need not. Munos et al. (2016), section 3 and theorem 1: for 0 ≤ c ≤ π/β the factor is at most γ.

    Raises `ValueError` for a wrong shape, NaN, a row that does not sum to 1, and traces that do not die out.

    >>> mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    >>> beta = torch.full((16, 4), 0.25, dtype=torch.float64)
    >>> pi = torch.softmax(mdp.policy_path(20, 5.0)[-1], -1)
    >>> retrace = trace_operator(mdp, pi, beta, retrace_coefficient(pi, beta, 1.0))
    >>> torch.allclose(retrace.fixed_point(), mdp.action_values(pi)), retrace.contraction() < 0.99
    (True, True)
    """
    probs, behavior = _policies(probs, behavior, mdp)
    coefficient = _check.table("coefficient", coefficient, probs.shape)
    if (coefficient < 0).any():
        raise ValueError("coefficient holds a negative number")
    one_step, trace = _chain(mdp, probs), _chain(mdp, behavior * coefficient)
    eye = torch.eye(len(trace), **F64)
    total = _sum_of_powers(mdp.gamma * trace, "coefficient")  # Σ_t γ^t c₁ ⋯ c_t
    return Operator(eye - total @ (eye - mdp.gamma * one_step), total @ mdp.reward.flatten(), tuple(probs.shape))


def n_step_operator(mdp: TabularMDP, probs: Probs, behavior: Probs, n: int) -> Operator:
    """Return the mean of the uncorrected n-step target of Q, y = Σ_{k<n} γ^k r_k + γ^n Σ_a π(a|s_n) Q(s_n, a).

    *Data*: `behavior` β (S, A) chooses a₁ … a_{n−1}; s₀ and a₀ are any. Only a_n comes from π. n = 1 is the target
    (4.2), with fixed point Q^π. For n → ∞ it is the return of β, Q^β. The errors shrink by γ^n or faster.

    Raises `ValueError` for a wrong shape, NaN, a row that does not sum to 1, and n below 1.

    >>> mdp = TabularMDP([[[1.0], [1.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)  # π always earns 1, β always 0
    >>> n_step_operator(mdp, [[1.0, 0.0]], [[0.0, 1.0]], 2).fixed_point()  # Q = 1 + 0 + γ² Q
    tensor([[1.3333, 0.3333]], dtype=torch.float64)
    """
    probs, behavior = _policies(probs, behavior, mdp)
    reward, step = mdp.reward.flatten(), mdp.gamma * _chain(mdp, behavior)
    matrix, constant = mdp.gamma * _chain(mdp, probs), reward
    for _ in range(_check.count("n", n) - 1):
        matrix, constant = step @ matrix, reward + step @ constant
    return Operator(matrix, constant, tuple(probs.shape))


def clipped_policy(probs: Probs, behavior: Probs, rho_bar: float) -> PerStateAction:
    """Compute π_ρ̄(a|s) ∝ min(ρ̄ β(a|s), π(a|s)), the policy whose value V-trace learns.                 Equation (S.5)

    ρ̄ = ∞ gives π, and ρ̄ → 0 gives β. Espeholt et al. (2018), section 4.1. Raises `ValueError` for a wrong shape, a row
    that does not sum to 1, ρ̄ that is not above 0, and a state where β never takes an action of π.

    >>> clipped_policy([[0.9, 0.1]], [[0.5, 0.5]], 1.0)
    tensor([[0.8333, 0.1667]], dtype=torch.float64)
    """
    probs, behavior = _policies(probs, behavior)
    weight = torch.minimum(_clip("rho_bar", rho_bar) * behavior, probs)
    weight = torch.where(behavior > 0, weight, 0.0)
    if (weight.sum(-1) == 0).any():
        raise ValueError("behavior takes no action of probs in some state: V-trace has no data there")
    return weight / weight.sum(-1, keepdim=True)


def v_trace_operator(mdp: TabularMDP, probs: Probs, behavior: Probs, rho_bar: float, c_bar: float) -> Operator:
    """Return the mean V-trace target of V, with ρ = min(ρ̄, π/β) and c = min(c̄, π/β).                  Equation (S.4)

        y = V(s₀) + Σ_t γ^t c₀ ⋯ c_{t−1} ρ_t (r_t + γ V(s_{t+1}) − V(s_t))

    *Data*: `behavior` β (S, A) chooses every action; s₀ is any. The fixed point is the value of `clipped_policy`: ρ̄
    alone decides it. c̄ changes how fast the errors shrink. Espeholt et al. (2018), section 4.1 and appendix A, which
    asks for ρ̄ ≥ c̄. Either may be `math.inf`.

    Raises `ValueError` for a wrong shape, NaN, a row that does not sum to 1, a bound that is not above 0, and traces
    that do not die out.

    >>> mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    >>> beta = torch.full((16, 4), 0.25, dtype=torch.float64)
    >>> pi = torch.softmax(mdp.policy_path(20, 5.0)[-1], -1)
    >>> fixed = v_trace_operator(mdp, pi, beta, rho_bar=1.0, c_bar=0.5).fixed_point()
    >>> torch.allclose(fixed, mdp.state_values(clipped_policy(pi, beta, 1.0)))
    True
    """
    probs, behavior = _policies(probs, behavior, mdp)
    ratio = _ratio(probs, behavior)
    rho = behavior * ratio.clamp(max=_clip("rho_bar", rho_bar))  # β ρ, (S, A)
    trace = mdp.gamma * _induced(mdp, behavior * ratio.clamp(max=_clip("c_bar", c_bar)))
    eye = torch.eye(mdp.n_states, **F64)
    total = _sum_of_powers(trace, "c_bar")  # Σ_t γ^t c₀ ⋯ c_{t−1}
    error = torch.diag(rho.sum(-1)) - mdp.gamma * _induced(mdp, rho)
    return Operator(eye - total @ error, total @ (rho * mdp.reward).sum(-1), (mdp.n_states,))


def _policies(probs: Probs, behavior: Probs, mdp: TabularMDP | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return π and β as tables of one size, (S, A): that of `mdp`, if it is given."""
    size = (mdp.n_states, mdp.n_actions) if mdp is not None else tuple(_check.finite_tensor("probs", probs).shape)
    return (
        _check.distributions("probs", probs, size, "(S, A)"),
        _check.distributions("behavior", behavior, size, "(S, A)"),
    )


def _ratio(probs: torch.Tensor, behavior: torch.Tensor) -> torch.Tensor:
    """Return π/β; 1 for an action that β never takes, where it multiplies a probability of 0."""
    return torch.where(behavior > 0, probs / behavior, 1.0)


def _clip(name: str, value: float) -> float:
    return value if value == torch.inf else _check.positive(name, value)


def _induced(mdp: TabularMDP, weight: torch.Tensor) -> PerState:
    """Return Σ_a weight(s, a) P(s′|s, a), (S, S)."""
    return torch.einsum("sa,sat->st", weight, mdp.transition)


def _chain(mdp: TabularMDP, weight: torch.Tensor) -> torch.Tensor:
    """Return P(s′|s, a) · weight(s′, a′) as a matrix over pairs, (S·A, S·A)."""
    return torch.einsum("sat,tb->satb", mdp.transition, weight).flatten(2).flatten(0, 1)


def _sum_of_powers(matrix: torch.Tensor, name: str) -> torch.Tensor:
    """Return 1 + M + M² + … = (I − M)⁻¹ of a matrix without negative entries; refuse a sum that diverges."""
    total, singular = torch.linalg.inv_ex(torch.eye(len(matrix), **F64) - matrix)
    if singular or not torch.isfinite(total).all() or (total < -1e-9).any():
        raise ValueError(f"{name} is so large that the sum of the traces does not converge")
    return total
