"""What old data does to an actor-critic, exactly: the policy of a buffer, and the mean updates it leads to."""

from typing import Literal

import torch

from offac_lite import _check
from offac_lite.exact._types import Logits, Numbers, PerStateAction, Probs, ValueBaseline
from offac_lite.exact.mdp import TabularMDP

Critic = Literal["right", "naive"]  # V^π; V of the buffer's policy, to which y = r + γV(s′) converges on its data
Actions = Literal["π", "stored"]


def buffer_policy(probs: Probs, visits: Numbers) -> PerStateAction:
    """Compute β̄(a|s) = Σ_i ρ_i(s) β_i(a|s) / Σ_i ρ_i(s): how often each action was stored with s.      Equation (2.1)

    *Data*: a buffer that n policies wrote, each in equally many episodes. `probs` (n, S, A) holds β_i, and `visits`
    (n, S) their visits ρ_i, as `TabularMDP.occupancy` returns them. The single policy β̄ would have written the same
    buffer: its visitation is the mean of the ρ_i (Puterman, 1994, section 6.9). In a state without visits, β̄ is the
    mean of the β_i. Raises `ValueError` for a wrong shape, NaN, a negative number, or a row that does not sum to 1.

    >>> buffer_policy([[[1.0, 0.0]], [[0.0, 1.0]]], [[3.0], [1.0]])  # the first policy was here three times as often
    tensor([[0.7500, 0.2500]], dtype=torch.float64)
    """
    probs, visits = _check.finite_tensor("probs", probs), _check.finite_tensor("visits", visits)
    if probs.ndim != 3:
        raise ValueError(f"probs has shape {tuple(probs.shape)}, wanted (n, S, A)")
    _check.shape("visits", visits, probs.shape[:2], "(n, S)")
    _check.probabilities("probs", probs)
    if (visits < 0).any():
        raise ValueError("visits holds a negative number")
    weight = torch.where(visits.sum(0) > 0, visits, 1.0)
    return (weight[..., None] * probs).sum(0) / weight.sum(0)[:, None]


def mean_update(
    mdp: TabularMDP, logits: Logits, behavior: Probs, value: Numbers, actions: Probs, baseline: ValueBaseline = "value"
) -> PerStateAction:
    """Compute Σ_s ρ_β(s) Σ_a μ(a|s) ∇log π(a|s) (r + γ V(s′) − V(s)), an actor's update on average.   Equation (2.3)

    `logits` (S, A) are those of π. *Data*: states from the visitation of β = `behavior` (S, A). The actions come from
    μ = `actions` (S, A): β for stored actions, π for resampled actions. An agent cannot use resampled actions with this
    advantage, because it knows r and s′ of the stored action only. `value` (S,) is any V. With `baseline` None,
    − V(s) is left out. Raises `ValueError` for a wrong shape, NaN, or a row that does not sum to 1.

    >>> mdp = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
    >>> half = torch.tensor([[0.5, 0.5]])
    >>> mean_update(mdp, [[0.0, 0.0]], half, mdp.state_values(half), half)  # β = π: this is ∇J
    tensor([[ 0.2500, -0.2500]], dtype=torch.float64)
    """
    _check.one_of("baseline", baseline, (None, "value"))
    size = (mdp.n_states, mdp.n_actions)
    logits, behavior = _check.table("logits", logits, size), _check.distributions("behavior", behavior, size, "(S, A)")
    actions = _check.distributions("actions", actions, size, "(S, A)")
    value = _check.finite_tensor("value", value)
    _check.shape("value", value, size[:1], "(S,)")
    weight = mdp.reward + mdp.gamma * mdp.transition @ value
    if baseline == "value":
        weight = weight - value[:, None]
    weighted = actions * weight
    mean = weighted - torch.softmax(logits, -1) * weighted.sum(-1, keepdim=True)
    return mdp.occupancy(behavior)[:, None] * mean


def four_updates(
    mdp: TabularMDP,
    logits: Logits,
    behavior: Probs,
    baseline: ValueBaseline = "value",
    naive_value: Numbers | None = None,
) -> dict[tuple[Critic, Actions], PerStateAction]:
    """Compute `mean_update` with the exact ("right") and the naive critic, resampled ("π") and stored actions.

    The key of each update is (critic, actions). ("naive", "stored") is naive replay. ("right", "π") is the gradient
    under the buffer's states. The other two have one wrong each. The naive critic's V is `naive_value` (S,), by default
    V of the buffer's policy, to which it converges. With that V and the baseline, ("naive", "stored") is ∇J *of the
    buffer's policy* in its own logits: because Σ_a β(a|s) A^β(s, a) = 0, it does not depend on π at all.

    >>> mdp = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
    >>> behavior = torch.tensor([[0.25, 0.75]], dtype=torch.float64)
    >>> naive = four_updates(mdp, [[3.0, -1.0]], behavior)["naive", "stored"]
    >>> torch.allclose(naive, mdp.policy_gradient(behavior.log()))
    True
    """
    size = (mdp.n_states, mdp.n_actions)
    logits, behavior = _check.table("logits", logits, size), _check.distributions("behavior", behavior, size, "(S, A)")
    pi = torch.softmax(logits, -1)
    naive = mdp.state_values(behavior) if naive_value is None else _check.finite_tensor("naive_value", naive_value)
    _check.shape("naive_value", naive, size[:1], "(S,)")
    values: dict[Critic, torch.Tensor] = {"right": mdp.state_values(pi), "naive": naive}
    sources: dict[Actions, torch.Tensor] = {"π": pi, "stored": behavior}
    return {
        (critic, source): mean_update(mdp, logits, behavior, value, actions, baseline)
        for critic, value in values.items()
        for source, actions in sources.items()
    }
