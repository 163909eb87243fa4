"""What old data does to an actor-critic, exactly: the policy of a buffer, and the mean updates that it gives."""

import torch

from offac_lite import _check
from offac_lite.exact.mdp import TabularMDP

CRITICS = ("right", "naive")  # V^π; V of the buffer's policy, which is what y = r + γV(s′) converges to on its data
ACTIONS = ("π", "stored")


def buffer_policy(probs, visits) -> torch.Tensor:
    """β̄(a|s) = Σ_i ρ_i(s) β_i(a|s) / Σ_i ρ_i(s): how often each action was stored with s.      Equation (2.1)

    *Data*: a buffer that several policies wrote, each in equally many episodes: probs (n, S, A) holds β_i and visits
    (n, S) their visits ρ_i, as from `TabularMDP.occupancy`. One policy, β̄, would have written the same buffer: its own
    visitation is the mean of the ρ_i (Puterman, 1994, section 6.9). In a state that nobody visits it is the mean of
    the β_i.

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


def mean_update(mdp: TabularMDP, logits, behavior, value, actions, baseline: str | None = "value") -> torch.Tensor:
    """Σ_s ρ_β(s) Σ_a μ(a|s) ∇log π(a|s) (r + γ V(s′) − V(s)), (S, A): an actor's update on average.   Equation (2.3)

    `logits` (S, A) are π's. *Data*: states as `behavior` (S, A) visits them; actions from μ = `actions` (S, A), which
    is `behavior` again for stored actions and π for resampled ones. An agent cannot have the latter with this
    advantage: r and s′ are only known of the stored action. `value` (S,) is any V; baseline None leaves − V(s) out.

    >>> mdp = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
    >>> half = torch.tensor([[0.5, 0.5]])
    >>> mean_update(mdp, [[0.0, 0.0]], half, mdp.state_values(half), half)  # β = π: this is ∇J
    tensor([[ 0.2500, -0.2500]], dtype=torch.float64)
    """
    _check.choice("baseline", baseline, (None, "value"))
    logits, behavior, size = _checked(mdp, logits, behavior)
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
    mdp: TabularMDP, logits, behavior, baseline: str | None = "value"
) -> dict[tuple[str, str], torch.Tensor]:
    """Compute `mean_update` with the right and the naive critic, π's and stored actions: {(critic, actions): g}.

    ("naive", "stored") is naive replay, ("right", "π") the gradient under the buffer's states; the other two hold one
    wrong each. With the baseline, ("naive", "stored") is ∇J *of the buffer's policy*, in its own logits: since
    Σ_a β(a|s) A^β(s, a) = 0, it does not depend on π at all.

    >>> mdp = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
    >>> behavior = torch.tensor([[0.25, 0.75]], dtype=torch.float64)
    >>> naive = four_updates(mdp, [[3.0, -1.0]], behavior)["naive", "stored"]
    >>> torch.allclose(naive, mdp.policy_gradient(behavior.log()))
    True
    """
    logits, behavior, _ = _checked(mdp, logits, behavior)
    pi = torch.softmax(logits, -1)
    values = {"right": mdp.state_values(pi), "naive": mdp.state_values(behavior)}
    actions = {"π": pi, "stored": behavior}
    return {
        (critic, source): mean_update(mdp, logits, behavior, values[critic], actions[source], baseline)
        for critic in CRITICS
        for source in ACTIONS
    }


def _checked(mdp: TabularMDP, logits, behavior) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int]]:
    """Give logits and behavior as float64 tensors of the MDP's size (S, A), and that size."""
    size = (_check.instance("mdp", mdp, TabularMDP).n_states, mdp.n_actions)
    logits = _check.finite_tensor("logits", logits)
    _check.shape("logits", logits, size, "(S, A)")
    return logits, _check.distributions("behavior", behavior, size, "(S, A)"), size
