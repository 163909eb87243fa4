"""Many agents that learn at once on a tabular MDP: real stochastic gradient steps, with an exact critic.

Nothing but the gradient is estimated: the critic is solved for at each step, and the states come from the exact
visitation. So all that separates the agents from exact gradient ascent is the noise of their estimates, and what is
wrong with their loss.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from offac_lite import _check
from offac_lite.equations import policy_gradient_loss
from offac_lite.exact._types import F64, Logits, PerStateAction, Probs, ValueBaseline
from offac_lite.exact.mdp import TabularMDP, advantages
from offac_lite.networks import Categorical, of_actions
from offac_lite.training import due

Loss = Callable[..., Tensor]
"""`loss(policy, critic, obs, stored_action, action_samples, generator)`, as in notebook 05: a number, or (agents,)."""
Policy = Callable[[Tensor], Categorical]
Critic = Callable[[Tensor, Tensor], Tensor]
CriticOf = Literal["π", "buffer"]


def resampled_loss(
    policy: Policy, critic: Critic, obs: Tensor, stored_action: Tensor, action_samples: int, generator: torch.Generator
) -> Tensor:
    """Compute the actor's loss with K actions drawn from π now at each replayed state: fix 2, as in notebook 05."""
    pi = policy(obs)
    action_resampled = pi.sample(action_samples, generator=generator)
    return policy_gradient_loss(pi.log_prob(action_resampled), critic(obs, action_resampled))


def stored_loss(
    policy: Policy, critic: Critic, obs: Tensor, stored_action: Tensor, action_samples: int, generator: torch.Generator
) -> Tensor:
    """Compute the actor's loss with the stored action, which the buffer's policy has drawn: without fix 2."""
    action = stored_action.unsqueeze(-2)
    return policy_gradient_loss(policy(obs).log_prob(action), critic(obs, action))


@torch.enable_grad()
def gradient_estimates(
    mdp: TabularMDP,
    logits: Logits,
    loss: Loss = resampled_loss,
    *,
    batch_size: int = 8,
    action_samples: int = 1,
    baseline: ValueBaseline = None,
    behavior: Probs | None = None,
    critic_of: CriticOf = "π",
    generator: torch.Generator,
) -> PerStateAction:
    """Estimate the policy gradient of each agent from one batch of its own, by autograd through `loss`.

    `logits` (agents, S, A) are those of the agents' policies. *Data*: N = `batch_size` states from the discounted
    visitation of `behavior` β (S, A), and a stored action a ~ β(·|s) with each; None is each agent's own policy, fresh
    data. `loss` is called once for all agents: obs (agents, N, 1), actions (agents, K, N).

    The critic is exact: Q of π, or with `critic_of="buffer"` Q of β, to which a V-critic with stored actions converges.
    With `baseline="value"` the critic that `loss` gets returns Q − V. The estimates are scaled by the sum of the
    visitation, so with fresh data the mean of an unbiased loss's estimates is exactly ∇J: shape (agents, S, A).

    >>> bandit = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)  # one step, two actions
    >>> generator = torch.Generator().manual_seed(0)
    >>> g = gradient_estimates(bandit, torch.zeros(9, 1, 2), action_samples=100, generator=generator)
    >>> g.shape, bandit.policy_gradient(torch.zeros(1, 2))
    (torch.Size([9, 1, 2]), tensor([[ 0.2500, -0.2500]], dtype=torch.float64))
    """
    _check.one_of("baseline", baseline, (None, "value"))
    _check.one_of("critic_of", critic_of, ("π", "buffer"))
    _check.count("batch_size", batch_size)
    _check.count("action_samples", action_samples)
    theta, size = _check.finite_tensor("logits", logits).detach().requires_grad_(), (mdp.n_states, mdp.n_actions)
    if theta.ndim != 3 or theta.shape[1:] != size or not len(theta):
        raise ValueError(f"logits has shape {tuple(theta.shape)}, wanted (agents, S, A) with S, A = {size}")
    with torch.no_grad():
        probs = torch.softmax(theta, -1)
        beta = probs if behavior is None else _check.distributions("behavior", behavior, size, "(S, A)")
        owner = probs if critic_of == "π" else beta
        q = mdp.action_values(owner)
        weight = (q if baseline is None else advantages(owner, q)).expand_as(probs)
        visits = mdp.occupancy(beta).expand(probs.shape[:-1])
        visits = visits.clamp_min(0.0)  # a state that is never visited may be off 0 by rounding
        states = torch.multinomial(visits, batch_size, replacement=True, generator=generator)
        stored_action = Categorical(_rows(beta.expand_as(probs), states).log()).sample(generator=generator)

    def policy(obs: Tensor) -> Categorical:
        return Categorical(_rows(theta, obs.squeeze(-1)))

    def critic(obs: Tensor, action: Tensor) -> Tensor:
        return of_actions(_rows(weight, obs.squeeze(-1)), action)

    result = loss(policy, critic, states.unsqueeze(-1), stored_action, action_samples, generator)
    (gradient,) = torch.autograd.grad(result.mean(), theta)  # of the mean over all agents
    return -gradient * len(theta) * visits.sum(-1)[:, None, None]


@dataclass(frozen=True, eq=False)
class Learning:
    """The agents so far: J of each at every step in `steps`, and their policies now."""

    steps: Tensor  # (E,)
    returns: Tensor  # (agents, E): J(π), exactly
    probs: PerStateAction  # (agents, S, A)

    @property
    def median(self) -> float:
        """The median of the agents' J now."""
        return self.returns[:, -1].quantile(0.5).item()


def learn(
    mdp: TabularMDP,
    loss: Loss = resampled_loss,
    *,
    agents: int = 24,
    n_steps: int = 400,
    step_size: float = 5.0,
    evaluate_every: int = 10,
    reports: int = 10,
    seed: int = 0,
    **options: Any,
) -> Iterator[Learning]:
    """Let agents learn from uniform policies, and yield their curves so far, `reports` times, the last at the end.

    J is computed every `evaluate_every` steps and at the end. Where this is less often than `reports`, each yields.

    Each step adds `step_size` times the agent's own gradient estimate to its logits. `options` are those of
    `gradient_estimates`: batch_size, action_samples, baseline, behavior and critic_of.

    >>> lake = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    >>> *_, last = learn(lake, n_steps=20, reports=2, baseline="value")
    >>> last.steps, last.returns.shape
    (tensor([ 0, 10, 20]), torch.Size([24, 3]))
    """
    _check.count("n_steps", n_steps)
    _check.count("evaluate_every", evaluate_every)
    _check.count("reports", reports)
    _check.number("step_size", step_size)
    generator = torch.Generator().manual_seed(_check.count("seed", seed, at_least=0))
    n_evaluations = math.ceil(n_steps / evaluate_every)
    logits = torch.zeros(_check.count("agents", agents), mdp.n_states, mdp.n_actions, **F64)
    steps, returns = [], []
    for step in range(n_steps + 1):
        if step % evaluate_every == 0 or step == n_steps:
            probs = torch.softmax(logits, -1)
            steps.append(step)
            returns.append(mdp.expected_return(probs))
            if step and due(len(steps) - 1, n_evaluations, reports):
                yield Learning(torch.tensor(steps, device="cpu"), torch.stack(returns, -1), probs)
        if step < n_steps:
            logits = logits + step_size * gradient_estimates(mdp, logits, loss, generator=generator, **options)


def _rows(table: Tensor, states: Tensor) -> Tensor:
    """Pick the rows of each agent's table (agents, S, A) at its states (agents, N): (agents, N, A)."""
    return table.gather(1, states.unsqueeze(-1).expand(*states.shape, table.shape[-1]))
