"""The steps of the algorithm, made of `equations`: critic, actor, target network.

Each step is a loss and `descend`. `train` adds the losses of critic and actor and descends once: both are made with the
networks before the update. An actor step that is taken after a critic step learns from the critic after its step. The
losses say what they compute; the steps, which are easier to read, take them one at a time.

A step that needs actions of the current policy draws them itself. Losses are summed over the seeds, so that no
gradient crosses seeds. A step returns the losses (...), detached, and updates nothing if one of them is not finite.
A step takes gradients also where `torch.set_grad_enabled(False)` is on.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from offac_lite import _check, equations
from offac_lite.buffer import Transition
from offac_lite.networks import Categorical, EvaluatedQCritic, Pi, Policy, QCritic, VCritic, of_actions

AnyQCritic = QCritic | EvaluatedQCritic
BASELINES = (None, "value", "leave-one-out")


class NotFiniteError(ValueError):
    """A loss is NaN or infinite, and nothing was updated. `seeds`, bool of the loss's shape (...), tells where."""

    def __init__(self, loss: Tensor):
        super().__init__(f"loss is {loss.tolist()}: NaN or infinity; nothing was updated")
        self.seeds = ~torch.isfinite(loss)


@torch.enable_grad()
def critic_step(
    critic: QCritic,
    target_critic: QCritic,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    batch: Transition,
    *,
    gamma: float,
    next_action_samples: int | Literal["all"] = 1,
    generator: torch.Generator,
    q_target: Callable[..., Tensor] = equations.q_target,
    alpha: float | Tensor | None = None,
) -> Tensor:
    """Take one step down `q_critic_loss`, and return it, (...). Raises `NotFiniteError` where it is not finite.

    >>> from offac_lite.networks import CategoricalPolicy, DiscreteQCritic
    >>> gen = torch.Generator().manual_seed(0)
    >>> policy, critic = CategoricalPolicy(4, 2, generator=gen), DiscreteQCritic(4, 2, generator=gen)
    >>> obs, action, reward = torch.ones(8, 4), torch.zeros(8, dtype=torch.int64), torch.ones(8)
    >>> batch = Transition(obs, action, reward, obs, torch.ones(8, dtype=torch.bool), log_prob=None, age=None)
    >>> optimizer = torch.optim.Adam(critic.parameters(), 0.01)
    >>> for _ in range(200):
    ...     loss = critic_step(critic, critic, policy, optimizer, batch, gamma=0.99, generator=gen)
    >>> torch.allclose(critic(obs, action), reward, atol=0.01)  # s′ is terminal: Q(s, a) = r
    True
    """
    with torch.no_grad():
        next_pi: Pi = policy(batch.next_obs)
    loss = q_critic_loss(
        critic,
        target_critic,
        next_pi,
        batch,
        gamma,
        next_action_samples,
        generator=generator,
        q_target=q_target,
        alpha=alpha,
    )
    return descend(optimizer, loss)


def q_critic_loss(
    critic: AnyQCritic,
    target_critic: AnyQCritic,
    next_pi: Pi,
    batch: Transition,
    gamma: float,
    next_action_samples: int | Literal["all"] = 1,
    *,
    generator: torch.Generator,
    q_target: Callable[..., Tensor] = equations.q_target,
    alpha: float | Tensor | None = None,
) -> Tensor:
    """Return ½ mean (Q(s, a) − y)² with y = r + γ (1 − d) Q̄(s′, a′), a′ ~ π(·|s′) now: (...).  (notebook 04)

    *Data*: `batch` holds replayed transitions of any behaviour policy. The next actions a′ are drawn here from the
    current policy, `next_pi` = π(·|s′); the stored ones are not used. `target_critic` is Q̄, a slowly moving copy (see
    `polyak_update`).

    `next_action_samples` is M, the number of a′ per state, or "all": the exact sum Σ π(a′|s′) Q̄(s′, a′) instead of
    samples (discrete actions). Twin critics both learn from one y, made with the smaller Q̄, and the loss is the sum of
    both. `q_target` computes y. With `alpha`, a number or (S, 1), Q̄ is `equations.soft_q`: the target of soft
    actor-critic.
    """
    with torch.no_grad():
        if next_action_samples == "all":
            next_q = expected_q(next_pi, target_critic.all_actions(batch.next_obs))
            if alpha is not None:
                next_q = equations.soft_q(next_q, -_discrete(next_pi).entropy(), alpha)
        else:
            m = _check.count("next_action_samples", next_action_samples)
            next_action = next_pi.sample(m, generator=generator)  # a′ ~ π(·|s′), drawn now
            next_q = target_critic(batch.next_obs, next_action)
            if alpha is not None:
                next_q = equations.soft_q(next_q, next_pi.log_prob(next_action), alpha)
        target = q_target(batch.reward, batch.terminated, next_q, gamma)
    predictions = critic.each(batch.obs, batch.action)  # of both critics, if there are two
    _check.same_shape(target=target, prediction=predictions[0])
    return equations.critic_loss(predictions, target.expand(predictions.shape)).sum(0)


@torch.enable_grad()
def v_critic_step(
    critic: VCritic,
    target_critic: VCritic,
    optimizer: torch.optim.Optimizer,
    batch: Transition,
    *,
    gamma: float,
    weight: Tensor | None = None,
    v_target: Callable[..., Tensor] = equations.v_target,
) -> Tensor:
    """Take one step down `v_critic_loss`, and return it, (...). Raises `NotFiniteError` where it is not finite.

    >>> critic = VCritic(4, generator=torch.Generator().manual_seed(0))
    >>> obs, end = torch.ones(8, 4), torch.ones(8, dtype=torch.bool)
    >>> batch = Transition(obs, None, torch.ones(8), obs, end, log_prob=None, age=None)
    >>> optimizer = torch.optim.Adam(critic.parameters(), 0.01)
    >>> for _ in range(200):
    ...     loss = v_critic_step(critic, critic, optimizer, batch, gamma=0.99)
    >>> torch.allclose(critic(obs), torch.ones(8), atol=0.01)  # s′ is terminal: V(s) = r
    True
    """
    return descend(optimizer, v_critic_loss(critic, target_critic, batch, gamma, weight, v_target))


def v_critic_loss(
    critic: VCritic,
    target_critic: VCritic,
    batch: Transition,
    gamma: float,
    weight: Tensor | None = None,
    v_target: Callable[..., Tensor] = equations.v_target,
) -> Tensor:
    """Return ½ mean ρ (V(s) − y)² with y = r + γ (1 − d) V̄(s′): (...).

    The V at which learning from it comes to rest is that of Equation (3.8).

    *Data*: fresh transitions of π itself. From old ones V learns the value of the policies that wrote them, unless
    `weight` (..., B) holds ρ = π(a|s) / β(a|s). It corrects the distribution of the actions, not that of the states.

    `v_target` computes y. Degris et al. (2012), section 2.1, with λ = 0 and without the correction of the gradient.
    """
    with torch.no_grad():
        target = v_target(batch.reward, batch.terminated, target_critic(batch.next_obs), gamma)
    value = critic(batch.obs)
    if weight is not None:
        _check.same_shape(value=value, weight=weight)
        root = weight.detach().sqrt()
        value, target = root * value, root * target
    return equations.critic_loss(value, target)


@torch.enable_grad()
def actor_step(
    policy: Policy,
    critic: QCritic,
    optimizer: torch.optim.Optimizer,
    obs: Tensor,
    *,
    action_samples: int | Literal["all"] = 1,
    baseline: str | None = None,
    entropy_bonus: float | Tensor = 0.0,
    generator: torch.Generator,
    policy_gradient_loss: Callable[..., Tensor] = equations.policy_gradient_loss,
    leave_one_out: Callable[[Tensor], Tensor] = equations.leave_one_out,
) -> Tensor:
    """Take one step down `resampled_actor_loss`, and return it, (...). Raises `NotFiniteError` where it is not finite.

    >>> from offac_lite.networks import CategoricalPolicy, DiscreteQCritic
    >>> gen = torch.Generator().manual_seed(0)
    >>> policy, critic = CategoricalPolicy(4, 2, generator=gen), DiscreteQCritic(4, 2, generator=gen)
    >>> obs, optimizer = torch.ones(8, 4), torch.optim.Adam(policy.parameters(), 0.01)
    >>> for _ in range(200):
    ...     loss = actor_step(policy, critic, optimizer, obs, action_samples=4, baseline="leave-one-out", generator=gen)
    >>> torch.equal(policy(obs).mode(), critic.all_actions(obs).argmax(-1))  # it has found what Q prefers
    True
    """
    loss = resampled_actor_loss(
        policy(obs),
        critic,
        obs,
        action_samples=action_samples,
        baseline=baseline,
        entropy_bonus=entropy_bonus,
        generator=generator,
        policy_gradient_loss=policy_gradient_loss,
        leave_one_out=leave_one_out,
    )
    return descend(optimizer, loss)


def resampled_actor_loss(
    pi: Pi,
    critic: AnyQCritic,
    obs: Tensor,
    *,
    action_samples: int | Literal["all"] = 1,
    baseline: str | None = None,
    entropy_bonus: float | Tensor = 0.0,
    generator: torch.Generator,
    policy_gradient_loss: Callable[..., Tensor] = equations.policy_gradient_loss,
    leave_one_out: Callable[[Tensor], Tensor] = equations.leave_one_out,
) -> Tensor:
    """Return a loss whose gradient is −1/N Σ 1/K Σ ∇log π(aᵖ_k|s) Â(s, aᵖ_k), aᵖ_k ~ π(·|s) now.   Equation (5.1)

    *Data*: replayed states `obs` (..., B, obs_size), and `pi` = π(·|s) there, which carries gradient. The actions are
    drawn here from the current policy; those that were stored with the states are not used. Â is Q itself unless
    `baseline` says otherwise, see `actor_weight`. Shape (...); only the gradient has a meaning.

    `action_samples` is K, or "all": Σ_a ∇π(a|s) Q(s, a), the limit of large K (discrete actions; a baseline then
    changes nothing). `entropy_bonus` (reward units per nat) adds that many times the gradient of the mean entropy of
    π(·|s), which keeps the policy from settling on one action too soon: exactly for discrete actions, for others
    through the weight. `policy_gradient_loss` and `leave_one_out` are the functions of these names in `equations`, or
    your own.

    With `action_samples="all"` and `entropy_bonus` α it is mean_s Σ_a π(a|s) [α log π(a|s) − Q(s, a)], the actor's loss
    of discrete soft actor-critic, Equation (C.8). *Data*: replayed s. Christodoulou (2019).
    """
    if action_samples == "all":
        _check.one_of("baseline", baseline, BASELINES)
        if policy_gradient_loss is not equations.policy_gradient_loss:
            raise ValueError('policy_gradient_loss would not be called: action_samples="all" draws no action')
        with torch.no_grad():
            q_all = critic.all_actions(obs)
        loss = -expected_q(pi, q_all).mean(-1)
    else:
        k = _check.count("action_samples", action_samples)
        action_resampled = pi.sample(k, generator=generator)  # aᵖ ~ π(·|s), drawn now
        log_prob = pi.log_prob(action_resampled)
        weight = actor_weight(
            pi,
            critic,
            obs,
            action_resampled,
            log_prob,
            baseline=baseline,
            entropy_bonus=entropy_bonus,
            leave_one_out=leave_one_out,
        )
        loss = policy_gradient_loss(log_prob, weight)
    if isinstance(pi, Categorical) and _counts(entropy_bonus):
        loss = loss - equations.times(entropy_bonus, pi.entropy()).mean(-1)
    return loss


@torch.no_grad()
def actor_weight(
    pi: Pi,
    critic: AnyQCritic,
    obs: Tensor,
    action: Tensor,
    log_prob: Tensor,
    *,
    baseline: str | None = None,
    entropy_bonus: float | Tensor = 0.0,
    leave_one_out: Callable[[Tensor], Tensor] = equations.leave_one_out,
) -> Tensor:
    """Return the factor of ∇log π(a|s), (..., K, B), without gradient: Q(s, a), less a baseline.

    *Data*: `action` ~ π(·|s) at replayed states; `log_prob` is its log π. `baseline`: None is Q itself; "value"
    subtracts Σ_a π(a|s) Q(s, a) (discrete actions); "leave-one-out" subtracts the mean Q of the other K − 1 actions.
    For continuous actions the factor includes the entropy bonus, −α log π(a|s).
    """
    _check.one_of("baseline", baseline, BASELINES)
    if baseline == "value":
        q_all = critic.all_actions(obs)
        return of_actions(q_all - expected_q(pi, q_all).unsqueeze(-1), action)
    weight = critic(obs, action)
    if not isinstance(pi, Categorical) and _counts(entropy_bonus):
        weight = equations.soft_q(weight, log_prob, entropy_bonus)
    return leave_one_out(weight) if baseline == "leave-one-out" else weight


@torch.enable_grad()
def reparameterized_actor_step(
    policy: Policy,
    critic: QCritic,
    optimizer: torch.optim.Optimizer,
    obs: Tensor,
    *,
    action_samples: int = 1,
    entropy_bonus: float | Tensor = 0.0,
    generator: torch.Generator,
) -> Tensor:
    """Take one step down `reparameterized_actor_loss`, and return it, (...). Raises `NotFiniteError` as the others do.

    >>> from offac_lite.networks import ContinuousQCritic, TanhGaussianPolicy
    >>> gen = torch.Generator().manual_seed(0)
    >>> policy = TanhGaussianPolicy(3, [-1.0], [1.0], generator=gen)
    >>> critic = ContinuousQCritic(3, 1, generator=gen)
    >>> obs, optimizer = torch.ones(8, 3), torch.optim.Adam(policy.parameters(), 0.01)
    >>> before = critic(obs, policy(obs).mode()).mean()
    >>> for _ in range(100):
    ...     loss = reparameterized_actor_step(policy, critic, optimizer, obs, generator=gen)
    >>> bool(critic(obs, policy(obs).mode()).mean() > before)
    True
    """
    pi: Pi = policy(obs)
    loss = reparameterized_actor_loss(pi, critic, obs, action_samples, entropy_bonus, generator=generator)
    return descend(optimizer, loss)


def reparameterized_actor_loss(
    pi: Pi,
    critic: QCritic,
    obs: Tensor,
    action_samples: int = 1,
    entropy_bonus: float | Tensor = 0.0,
    *,
    generator: torch.Generator,
) -> Tensor:
    """Return −mean of Q(s, a_θ(s, ε_k)) − α log π(a_θ|s), the gradient going *through* the action.   Equation (C.5)

    *Data*: replayed states `obs` (..., B, obs_size), and `pi` = π(·|s) there, which carries gradient; K continuous
    actions, drawn here from the current policy with `rsample`. α is `entropy_bonus`. The critic's parameters receive no
    gradient. Shape (...). Haarnoja et al. (2018), section 4.2.
    """
    if isinstance(pi, Categorical):
        raise ValueError("a discrete action has no derivative: the reparameterised gradient needs continuous actions")
    action_resampled = pi.rsample(action_samples, generator=generator)
    with frozen(critic):
        objective = critic(obs, action_resampled)
    if _counts(entropy_bonus):
        objective = objective - equations.times(entropy_bonus, pi.log_prob(action_resampled))
    return equations.reparameterized_loss(objective)


@contextmanager
def frozen(network: torch.nn.Module) -> Iterator[None]:
    """Let gradient flow through a network, but not into its parameters, while it is called inside `with`."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@torch.enable_grad()
def stored_actor_step(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    batch: Transition,
    advantage: Tensor,
    *,
    weight: Tensor | None = None,
    entropy_bonus: float | Tensor = 0.0,
    policy_gradient_loss: Callable[..., Tensor] = equations.policy_gradient_loss,
) -> Tensor:
    """Take one step down `stored_actor_loss`, and return it, (...). Raises `NotFiniteError` where it is not finite.

    >>> from offac_lite.networks import CategoricalPolicy
    >>> policy = CategoricalPolicy(4, 2, generator=torch.Generator().manual_seed(0))
    >>> obs, action = torch.ones(8, 4), torch.ones(8, dtype=torch.int64)
    >>> batch = Transition(obs, action, None, None, None, log_prob=None, age=None)
    >>> optimizer = torch.optim.Adam(policy.parameters(), 0.01)
    >>> for _ in range(100):
    ...     loss = stored_actor_step(policy, optimizer, batch, advantage=torch.ones(8))
    >>> bool(policy(obs).probs[0, 1] > 0.9)  # action 1 was good, each time
    True
    """
    loss = stored_actor_loss(policy(batch.obs), batch, advantage, weight, entropy_bonus, policy_gradient_loss)
    return descend(optimizer, loss)


def stored_actor_loss(
    pi: Pi,
    batch: Transition,
    advantage: Tensor,
    weight: Tensor | None = None,
    entropy_bonus: float | Tensor = 0.0,
    policy_gradient_loss: Callable[..., Tensor] = equations.policy_gradient_loss,
) -> Tensor:
    """Return a loss whose gradient is −1/N Σ ρ ∇log π(a|s) Â(s, a), a the actions of `batch`.   (notebooks 01 to 03)

    *Data*: fresh transitions of π. With replayed ones and no `weight` this is not the gradient of J: the actions are
    β's (notebook 02). `weight` (..., B) holds ρ = π(a|s) / β(a|s), see `equations.importance_ratio` (notebook 03).

    `pi` = π(·|s) carries gradient. `advantage` (..., B) is that of the stored action, such as `equations.td_advantage`.
    `entropy_bonus` as in `resampled_actor_loss`, for discrete actions only. Shape (...).
    """
    log_prob = pi.log_prob(batch.action)
    _check.same_shape(log_prob=log_prob, advantage=advantage)
    if weight is not None:
        _check.same_shape(advantage=advantage, weight=weight)
        advantage = weight * advantage
    loss = policy_gradient_loss(log_prob.unsqueeze(-2), advantage.unsqueeze(-2))
    if _counts(entropy_bonus):
        loss = loss - equations.times(entropy_bonus, _discrete(pi).entropy()).mean(-1)
    return loss


def _counts(entropy_bonus: float | Tensor) -> bool:
    return isinstance(entropy_bonus, Tensor) or entropy_bonus != 0


def expected_q(pi: Pi, q_all: Tensor) -> Tensor:
    """Return Σ_a π(a|s) Q(s, a), (..., B), of Q at every action, (..., B, A). Discrete actions only.

    >>> expected_q(Categorical(torch.zeros(1, 2)), torch.tensor([[1.0, 3.0]]))
    tensor([2.])
    """
    probs = _discrete(pi).probs
    _check.same_shape(probs=probs, q=q_all)
    return (probs * q_all).sum(-1)


def _discrete(pi: Pi) -> Categorical:
    if not isinstance(pi, Categorical):
        raise ValueError("a sum over all actions needs discrete actions")
    return pi


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, alive: Tensor | None = None) -> Tensor:
    """Take one optimiser step down `loss` (...), summed over seeds, and return the loss detached.

    Each seed's loss depends on its own parameters alone, and Adam works element by element. So one optimiser on the
    stacked parameters equals one for each seed. `alive` (...), bool, is False for seeds that were stopped: their losses
    do not count, and their gradients are 0.

    Raises `NotFiniteError`, a `ValueError`, where the loss is NaN or infinite, and `ValueError` where it depends on no
    parameter of the optimiser. Nothing is updated then.

    >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
    >>> descend(torch.optim.SGD([w], lr=0.5), w.square())
    tensor([9., 1.])
    >>> w.data
    tensor([0., 0.])
    """
    if not loss.requires_grad:
        reason = "it was computed without any parameter that learns"
        if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
            reason = "torch.inference_mode, torch.no_grad or torch.set_grad_enabled(False) was on"
        raise ValueError(f"loss carries no gradient: {reason}")
    if alive is not None:
        with torch.enable_grad():
            loss = loss.where(alive, 0.0)
    with torch.enable_grad():
        total = loss.sum()
    if not math.isfinite(total.item()) and not torch.isfinite(loss).all():
        raise NotFiniteError(loss.detach())
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter in parameters:
        parameter.grad = None
    total.backward()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        raise ValueError("loss depends on no parameter of optimizer: was it made for another network?")
    if alive is not None:
        for gradient in gradients:  # (S, P), or (2 S, P) of twins
            gradient.unflatten(0, (-1, len(alive)))[:, ~alive] = 0.0
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def polyak_update(target: torch.nn.Module, source: torch.nn.Module, tau: float) -> None:
    """Move θ̄ ← (1 − τ) θ̄ + τ θ, for every parameter, in place.                          Equation (4.5)

    τ in (0, 1]; 1 copies. Raises `ValueError`, and changes nothing, where the parameters differ in shape. Lillicrap et
    al. (2016), algorithm 1.

    >>> a, b = (VCritic(2, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    >>> polyak_update(a, b, 1.0); torch.equal(a(torch.ones(3, 2)), b(torch.ones(3, 2)))
    True
    """
    _check.positive("tau", tau, at_most=1)
    ours, theirs = list(target.parameters()), list(source.parameters())
    if [p.shape for p in ours] != [p.shape for p in theirs]:
        raise ValueError(f"target has parameters {_shapes(ours)}, source {_shapes(theirs)}; wanted the same shapes")
    for old, new in zip(ours, theirs, strict=True):
        old.lerp_(new, tau)


def _shapes(parameters: list[torch.nn.Parameter]) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in parameters]
