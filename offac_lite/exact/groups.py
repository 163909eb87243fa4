"""K answers to one prompt: the weights with which language models are fine-tuned, and their exact moments.

A state is a prompt and an action an answer. Each weight is computed from the Q of the K actions that were drawn in
*one* state, the group.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from offac_lite import _check
from offac_lite.equations import leave_one_out
from offac_lite.exact._types import F64, PerState, PerStateAction, Probs, Table

LARGEST = 65_536
"""The largest number of groups that `group_moments` lists in a state."""


def minus_group_mean(q: Tensor) -> Tensor:
    """Subtract from Q_k the mean of all K values in the same state, Q_k included: Dr. GRPO, Liu et al. (2025).

    (..., K, B), same shape out. *Data*: as in `leave_one_out`, of which this is (K − 1)/K.

    >>> minus_group_mean(torch.tensor([[1.0], [2.0], [6.0]])).flatten()
    tensor([-2., -1.,  3.])
    """
    return q - q.mean(-2, keepdim=True)


def standardized(q: Tensor) -> Tensor:
    """Divide `minus_group_mean` by the standard deviation of the group, plus 10⁻⁴: GRPO, Shao et al. (2024).

    (..., K, B) with K ≥ 2, same shape out. *Data*: as in `leave_one_out`.

    >>> standardized(torch.tensor([[1.0], [2.0], [3.0]])).flatten()
    tensor([-0.9999,  0.0000,  0.9999])
    """
    if q.ndim < 2 or q.shape[-2] < 2:
        raise ValueError(f"q has shape {tuple(q.shape)}, wanted (..., K, B) with K >= 2: one value has no spread")
    return minus_group_mean(q) / (q.std(-2, keepdim=True) + 1e-4)


GROUP_WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "Q itself": lambda q: q,
    "RLOO": leave_one_out,
    "Dr. GRPO": minus_group_mean,
    "GRPO": standardized,
}


def group_moments(probs: Probs, q: Table, weight: str, action_samples: int = 4) -> tuple[PerStateAction, PerState]:
    """Compute mean (S, A) and variance (S,) of 1/K Σ_k w_k ∇log π(a_k|s) in each state, over all A^K groups of actions.

    `probs` (S, A) is the policy π that draws the K = `action_samples` ≥ 2 actions, `q` (S, A) the critic, `weight` a
    name in `GROUP_WEIGHTS`. The gradient is that by the state's logits, and the variance is a trace. Raises
    `ValueError` where A^K is above 65,536.

    >>> mean, variance = group_moments(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]), "Dr. GRPO", 2)
    >>> mean, variance  # half of [0.25, -0.25]
    (tensor([[ 0.1250, -0.1250]], dtype=torch.float64), tensor([0.0312], dtype=torch.float64))
    """
    _check.one_of("weight", weight, list(GROUP_WEIGHTS))
    k = _check.count("action_samples", action_samples, at_least=2)
    probs = _check.finite_tensor("probs", probs)
    if probs.ndim != 2 or not len(probs) or probs.shape[1] ** k > LARGEST:
        raise ValueError(f"probs has shape {tuple(probs.shape)}, wanted (S, A) with A ** {k} <= {LARGEST} groups")
    probs = _check.distributions("probs", probs, tuple(probs.shape), "(S, A)").detach()
    q, n_actions = _check.table("q", q, tuple(probs.shape)).detach(), probs.shape[1]
    group = torch.cartesian_prod(*[torch.arange(n_actions, device="cpu")] * k).T  # (K, groups)
    chance = probs[:, group].prod(1)  # (S, groups)
    score = torch.eye(n_actions, **F64) - probs[:, None]  # ∇log π(a|s), (S, A, A)
    g = (GROUP_WEIGHTS[weight](q[:, group])[..., None] * score[:, group]).mean(1)  # (S, groups, A)
    mean = (chance[..., None] * g).sum(1)
    return mean, (chance * (g - mean[:, None]).square().sum(-1)).sum(1)
