"""The update steps: one function per equation, then the two steps of the algorithm made of them.

Equation (N.k) of a docstring, here and in every module, is the one with that number in notebook N.

Shapes: B is the batch, K the actions per state. Leading axes (...) are seeds: losses average over everything
but those, and a step sums over them, so that no gradient crosses seeds. Every function checks its shapes and
never broadcasts (B,) against (B, 1).

Numbers are not looked at on the way, for that costs: NaN and infinity pass through targets and losses as NaN and
infinity, and the step, which would learn from them, refuses them.
"""

import torch

from offac_lite import _check
from offac_lite.networks import Categorical, of_actions


class NotFiniteError(ValueError):
    """A loss is NaN or infinite, and nothing was updated. `seeds`, bool of the loss's shape (...), says where."""

    def __init__(self, loss: torch.Tensor):
        super().__init__(f"loss is {loss.tolist()}: NaN or infinity; nothing was updated")
        self.seeds = ~torch.isfinite(loss)


def v_target(reward: torch.Tensor, terminated: torch.Tensor, next_value: torch.Tensor, gamma: float) -> torch.Tensor:
    """y = r + γ (1 − d) V(s′).                                                       Equation (1.5)

    *Data*: r and s′ follow the action that was taken, so y estimates the value of *the policy that took it*.
    Only where that is π itself does the critic learn V^π: this target is for on-policy data.

    All (..., B), `terminated` bool: true where s′ is terminal. A time limit is truncation, not termination,
    and still bootstraps. No gradient flows into the target. Sutton & Barto (2018), section 6.1; the
    treatment of time limits is Pardo et al. (2018)'s.

    >>> v_target(torch.tensor([1.0, 1.0]), torch.tensor([False, True]), torch.tensor([10.0, 10.0]), 0.5)
    tensor([6., 1.])
    """
    if _check.tensor("terminated", terminated).dtype != torch.bool:
        raise TypeError(f"terminated has dtype {terminated.dtype}, wanted torch.bool")
    _check.same_shape(reward=reward, terminated=terminated, next_value=next_value)
    return reward + _check.discount("gamma", gamma) * torch.where(terminated, 0.0, next_value.detach())


def q_target(reward: torch.Tensor, terminated: torch.Tensor, next_q: torch.Tensor, gamma: float) -> torch.Tensor:
    """y = r + γ (1 − d) · 1/M Σ_m Q(s′, a′_m),  a′ ~ π(·|s′) now.                      Equation (4.2)

    *Data*: (s, a, r, s′) from any behaviour policy, because Q(s, a) asks nothing of where a came from; a′
    from the *current* policy, never the stored next action. `next_q` holds Q(s′, a′): (..., B) for one a′
    (a single-sample estimate of V^π(s′) = E_a′ Q(s′, a′)) or (..., M, B) for M of them.

    reward, terminated (..., B), `terminated` bool. No gradient flows into the target.

    >>> q_target(torch.tensor([1.0, 1.0]), torch.tensor([False, True]), torch.tensor([[8.0, 8.0], [12.0, 8.0]]), 0.5)
    tensor([6., 1.])
    """
    _check.tensor("next_q", next_q, _check.tensor("reward", reward))
    if next_q.ndim == reward.ndim + 1 and next_q.shape[:-2] + next_q.shape[-1:] == reward.shape:
        next_q = _check.averaged("next_q", next_q, "(..., M, B)", 2).mean(-2)
    _check.same_shape(reward=reward, next_q=next_q)
    return v_target(reward, terminated, next_q, gamma)


def td_advantage(
    reward: torch.Tensor, terminated: torch.Tensor, value: torch.Tensor, next_value: torch.Tensor, gamma: float
) -> torch.Tensor:
    """Â(s, a) = r + γ (1 − d) V(s′) − V(s), the TD error, (..., B).                  Equation (1.7)

    *Data*: the action that produced r and s′. Never pair it with a resampled action: it does not know that one.
    Detached: the actor must not train the critic.

    >>> td_advantage(torch.tensor([1.0]), torch.tensor([False]), torch.tensor([5.0]), torch.tensor([10.0]), 0.5)
    tensor([1.])
    """
    _check.same_shape(reward=reward, value=_check.floating("value", value))
    return v_target(reward, terminated, next_value, gamma) - value.detach()


def critic_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """½ · mean over B of (prediction − y)², shape (...): one loss per seed.         Equation (1.6)

    `prediction` carries the gradient; `target` is detached here, which makes it a *semi*-gradient (Sutton &
    Barto, 2018, section 9.3).

    >>> critic_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0]))
    tensor(2.5000)
    """
    _check.averaged("prediction", prediction, "(..., B)", 1)
    _check.same_shape(target=_check.floating("target", target), prediction=prediction)
    return 0.5 * (prediction - target.detach()).square().mean(-1)


def policy_gradient_loss(log_prob: torch.Tensor, advantage: torch.Tensor) -> torch.Tensor:
    """−mean of log π(a|s) · Â(s, a), whose gradient is minus the estimate of ∇J.     Equation (1.4)

    *Data*: a ~ π(·|s), the *current* policy: fresh data, or actions resampled now at replayed states. With
    stored actions of an older policy this is not a policy gradient of anything.

    log_prob, advantage (..., K, B): mean over K and B, shape (...); with one action per state, K = 1 has to
    be there, as in `log_prob.unsqueeze(-2)`: of (S, B) without it, the S seeds would be taken for K actions.
    The gradient flows through log π alone; Â is detached. The *value* of this loss means nothing.
    Sutton et al. (2000); Degris et al. (2012) for replayed states.

    >>> log_prob = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    >>> policy_gradient_loss(log_prob, torch.tensor([[3.0, 5.0]])).backward()
    >>> log_prob.grad
    tensor([[-1.5000, -2.5000]])
    """
    _check.same_shape(log_prob=log_prob, advantage=advantage)
    _check.averaged("log_prob", log_prob, "(..., K, B), with .unsqueeze(-2) for K = 1", 2)
    return -(log_prob * advantage.detach()).mean((-2, -1))


def reparameterized_loss(q: torch.Tensor) -> torch.Tensor:
    """−mean of Q(s, a_θ(s, ε)), with the gradient going *through* the action.        Equation (7.4)

    *Data*: replayed s; actions from `rsample`. q (..., K, B): shape (...). This is the Q-part of Haarnoja et al.
    (2018), section 4.2; their entropy term is not in it.

    >>> reparameterized_loss(torch.tensor([[1.0, 3.0]]))
    tensor(-2.)
    """
    return -_check.averaged("q", q, "(..., K, B)", 2).mean((-2, -1))


def leave_one_out(q: torch.Tensor) -> torch.Tensor:
    """Q_k minus the mean of the *other* K − 1 values in the same state.              Equation (5.4)

    *Data*: Q(s, a_k) of K actions drawn independently from π(·|s). Leaving one's own value out keeps the
    gradient unbiased; with it the gradient would shrink to (K − 1)/K of its length. q (..., K, B) with K ≥ 2,
    same shape out. Kool et al. (2019).

    >>> leave_one_out(torch.tensor([[1.0], [2.0], [6.0]])).flatten()
    tensor([-3.0000, -1.5000,  4.5000])
    """
    if _check.floating("q", q).ndim < 2 or q.shape[-2] < 2:
        raise ValueError(
            f"q has shape {tuple(q.shape)}, wanted (..., K, B) with K >= 2: there is no other action to average"
        )
    return (q - q.mean(-2, keepdim=True)) * (q.shape[-2] / (q.shape[-2] - 1))


def importance_ratio(
    log_prob: torch.Tensor, behavior_log_prob: torch.Tensor, clip: float | None = None
) -> torch.Tensor:
    """π(a|s) / β(a|s) for stored actions, detached, at most `clip` if given.         Equation (3.1)

    *Data*: the stored action and β's log-probability of it, written when it was taken. Corrects the action's
    distribution and not the state's. Same shapes in and out. Raises as `log_ratio` does, and for a `clip` that is not
    positive.

    >>> importance_ratio(torch.tensor([0.0, -1.0]), torch.tensor([-1.0, -1.0]), clip=2.0)
    tensor([2., 1.])
    """
    clip = float("inf") if clip is None else _check.positive("clip", clip)
    return log_ratio(log_prob, behavior_log_prob).exp().clamp_max(clip)


def log_ratio(log_prob: torch.Tensor, behavior_log_prob: torch.Tensor) -> torch.Tensor:
    """log π(a|s) − log β(a|s) for stored actions, detached; same shapes in and out.

    Raises `ValueError` where β's is unknown (NaN) or says that the action could not have been taken (−∞), and where
    π's is NaN or +∞; an action that π does not take (−∞) has the ratio 0.

    >>> log_ratio(torch.tensor([0.0, -torch.inf]), torch.tensor([-1.0, -1.0]))
    tensor([1., -inf])
    """
    _check.same_shape(
        log_prob=_check.floating("log_prob", log_prob),
        behavior_log_prob=_check.floating("behavior_log_prob", behavior_log_prob),
    )
    if torch.isnan(behavior_log_prob).any():
        raise ValueError("behavior_log_prob holds NaN: log_prob was not given when these transitions were added")
    if torch.isinf(behavior_log_prob).any():
        raise ValueError("behavior_log_prob is infinite for an action that was taken; its probability cannot be 0")
    if not (log_prob < torch.inf).all():
        raise ValueError("log_prob holds NaN or +infinity: the current policy's parameters are no longer finite")
    return (log_prob - behavior_log_prob).detach()


def critic_step(
    critic,
    target_critic,
    policy,
    optimizer,
    batch,
    *,
    gamma: float,
    next_action_samples: int | str = 1,
    generator: torch.Generator,
    q_target=q_target,
) -> torch.Tensor:
    """One step on ½ (Q(s, a) − y)² with y = r + γ (1 − d) Q̄(s′, a′), a′ ~ π(·|s′) now.  (notebook 04)

    *Data*: `batch`, replayed transitions of any behaviour policy. `target_critic` is Q̄, a slowly moving copy
    (see `polyak_update`). `next_action_samples` is M, the number of a′ per state, or "all": the exact sum
    Σ π(a′|s′) Q̄(s′, a′) in place of samples (discrete actions). Twin critics both learn from the one y, made with
    the smaller Q̄. `q_target` is the function that makes y, should you have one of your own. Returns the loss (...),
    detached; raises `ValueError` and updates nothing where it is not finite.

    >>> from offac_lite.buffer import Transition
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
    _functions(critic=critic, target_critic=target_critic, policy=policy, q_target=q_target)
    _is_batch(batch)
    with torch.no_grad():
        pi = _current(policy, batch.next_obs)
        if next_action_samples == "all":
            _all_actions("next_action_samples = 'all'", pi)
            next_q = _of_all(pi, target_critic.all_actions(batch.next_obs))
        else:
            next_action = pi.sample(_check.count("next_action_samples", next_action_samples), generator=generator)
            next_q = target_critic(batch.next_obs, next_action)
        target = q_target(batch.reward, batch.terminated, next_q, gamma)
    predictions = critic.each(batch.obs, batch.action) if hasattr(critic, "each") else [critic(batch.obs, batch.action)]
    return descend(optimizer, sum(critic_loss(prediction, target) for prediction in predictions))


def v_critic_step(
    critic, target_critic, optimizer, batch, *, gamma: float, weight=None, v_target=v_target
) -> torch.Tensor:
    """One step on ½ ρ (V(s) − y)² with y = r + γ (1 − d) V̄(s′).                 Equation (3.8)

    *Data*: fresh transitions of π itself. From old ones, V learns the value of the policies that wrote them,
    unless `weight` (..., B) holds ρ = π(a|s) / β(a|s), which mends the actions' distribution (and not the states').
    `v_target` makes y. Returns the loss (...), detached; raises `ValueError` and updates nothing where it is not
    finite. Degris et al. (2012), section 2.1, with λ = 0 and without the correction of the gradient.

    >>> from offac_lite.buffer import Transition
    >>> from offac_lite.networks import VCritic
    >>> critic = VCritic(4, generator=torch.Generator().manual_seed(0))
    >>> obs, end = torch.ones(8, 4), torch.ones(8, dtype=torch.bool)
    >>> batch = Transition(obs, None, torch.ones(8), obs, end, log_prob=None, age=None)
    >>> optimizer = torch.optim.Adam(critic.parameters(), 0.01)
    >>> for _ in range(200):
    ...     loss = v_critic_step(critic, critic, optimizer, batch, gamma=0.99)
    >>> torch.allclose(critic(obs), torch.ones(8), atol=0.01)  # s′ is terminal: V(s) = r
    True
    """
    _functions(critic=critic, target_critic=target_critic, v_target=v_target)
    _is_batch(batch)
    with torch.no_grad():
        target = v_target(batch.reward, batch.terminated, target_critic(batch.next_obs), gamma)
    value = critic(batch.obs)
    if weight is not None:
        _check.same_shape(value=value, weight=weight)
        root = weight.sqrt()
        return descend(optimizer, critic_loss(root * value, root * target))
    return descend(optimizer, critic_loss(value, target))


def actor_step(
    policy,
    critic,
    optimizer,
    obs: torch.Tensor,
    *,
    action_samples: int | str = 1,
    baseline=None,
    entropy_bonus: float = 0.0,
    generator: torch.Generator,
    policy_gradient_loss=policy_gradient_loss,
    leave_one_out=leave_one_out,
) -> torch.Tensor:
    """One step up 1/N Σ 1/K Σ ∇log π(a_k|s) Â(s, a_k), with a_k ~ π(·|s) resampled now.   Equation (5.1)

    *Data*: replayed states `obs` (..., B, obs_size). The actions that were stored with them are not used.
    `action_samples` is K, or "all": Σ_a ∇π(a|s) Q(s, a), the limit of large K (discrete actions; a baseline then
    changes nothing). `baseline`: None is Q itself; "value" subtracts Σ_a π(a|s) Q(s, a) (discrete actions);
    "leave-one-out" the mean of the other K − 1. `entropy_bonus` (reward units per nat) adds that much ∇ of the mean
    entropy of π(·|s), which keeps a policy from settling on one action too soon: exactly for discrete actions, and
    for others as −log π(a_k|s) on top of Q(s, a_k). The last two arguments are the functions of that name, should
    you have your own. Returns the loss (...), detached; its value means nothing. Raises `ValueError` and updates
    nothing where it is not finite.

    >>> from offac_lite.networks import CategoricalPolicy, DiscreteQCritic
    >>> gen = torch.Generator().manual_seed(0)
    >>> policy, critic = CategoricalPolicy(4, 2, generator=gen), DiscreteQCritic(4, 2, generator=gen)
    >>> obs, optimizer = torch.ones(8, 4), torch.optim.Adam(policy.parameters(), 0.01)
    >>> for _ in range(200):
    ...     loss = actor_step(policy, critic, optimizer, obs, action_samples=4, baseline="leave-one-out", generator=gen)
    >>> torch.equal(policy(obs).mode(), critic.all_actions(obs).argmax(-1))  # it has found what Q prefers
    True
    """
    _check.choice("baseline", baseline, (None, "value", "leave-one-out"))
    _check.not_negative("entropy_bonus", entropy_bonus)
    if action_samples != "all" and _check.count("action_samples", action_samples) < 2 and baseline == "leave-one-out":
        raise ValueError(
            "baseline 'leave-one-out' averages the other K − 1 actions: action_samples is 1, wanted at least 2"
        )
    _functions(policy=policy, critic=critic, policy_gradient_loss=policy_gradient_loss, leave_one_out=leave_one_out)
    pi = _current(policy, obs)
    discrete = isinstance(pi, Categorical)
    if action_samples == "all":
        _all_actions("action_samples = 'all'", pi)
        with torch.no_grad():
            q_all = critic.all_actions(obs)
        loss = -_of_all(pi, q_all).mean(-1)
    else:
        action_resampled = pi.sample(action_samples, generator=generator)
        log_prob = pi.log_prob(action_resampled)
        with torch.no_grad():
            if baseline == "value":
                _all_actions("baseline 'value'", pi)
                q_all = critic.all_actions(obs)
                advantage = of_actions(q_all - _of_all(pi, q_all).unsqueeze(-1), action_resampled)
            else:
                advantage = critic(obs, action_resampled)
                if entropy_bonus and not discrete:
                    advantage = advantage - entropy_bonus * log_prob
                if baseline == "leave-one-out":
                    advantage = leave_one_out(advantage)
        loss = _check.floating("loss", policy_gradient_loss(log_prob, advantage))
    if entropy_bonus and discrete:
        loss = loss - entropy_bonus * pi.entropy().mean(-1)
    return descend(optimizer, loss)


def reparameterized_actor_step(
    policy,
    critic,
    optimizer,
    obs: torch.Tensor,
    *,
    action_samples: int = 1,
    entropy_bonus: float = 0.0,
    generator: torch.Generator,
    reparameterized_loss=reparameterized_loss,
) -> torch.Tensor:
    """One step up 1/N Σ 1/K Σ ∇_θ [Q(s, a_θ(s, ε_k)) − α log π(a_θ|s)]: *through* the action.   Equation (7.5)

    *Data*: replayed states `obs` (..., B, obs_size); continuous actions, drawn from the current policy now with
    `rsample`. α is `entropy_bonus`. The critic's parameters receive no gradient. Returns the loss (...), detached;
    raises `ValueError` and updates nothing where it is not finite. Haarnoja et al. (2018), section 4.2.

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
    _functions(policy=policy, critic=critic, reparameterized_loss=reparameterized_loss)
    _check.not_negative("entropy_bonus", entropy_bonus)
    pi = _current(policy, obs)
    if isinstance(pi, Categorical):
        raise ValueError("a discrete action has no derivative: the reparameterised gradient needs continuous actions")
    action = pi.rsample(_check.count("action_samples", action_samples), generator=generator)
    trained = [parameter for parameter in critic.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        objective = critic(obs, action)
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
    if entropy_bonus:
        objective = objective - entropy_bonus * pi.log_prob(action)
    return descend(optimizer, reparameterized_loss(objective))


def stored_actor_step(
    policy,
    optimizer,
    batch,
    advantage: torch.Tensor,
    *,
    weight=None,
    entropy_bonus: float = 0.0,
    policy_gradient_loss=policy_gradient_loss,
) -> torch.Tensor:
    """One step up 1/N Σ ρ ∇log π(a|s) Â(s, a) with the actions of `batch` itself.        (notebooks 01 to 03)

    *Data*: fresh transitions of π. With replayed ones and no `weight` this follows a gradient of nothing: the
    actions are β's (notebook 02). `weight` (..., B) holds ρ = π(a|s) / β(a|s), see `importance_ratio` (notebook 03).
    advantage (..., B): of the stored action, such as `td_advantage`. `entropy_bonus` as in `actor_step`, discrete
    actions only. Returns the loss (...), detached; raises `ValueError` and updates nothing where it is not finite.

    >>> from offac_lite.buffer import Transition
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
    _functions(policy=policy, policy_gradient_loss=policy_gradient_loss)
    _is_batch(batch)
    _check.not_negative("entropy_bonus", entropy_bonus)
    pi = _current(policy, batch.obs)
    log_prob = pi.log_prob(batch.action)
    _check.same_shape(log_prob=log_prob, advantage=advantage)
    if weight is not None:
        _check.same_shape(advantage=advantage, weight=weight)
        advantage = weight * advantage
    loss = _check.floating("loss", policy_gradient_loss(log_prob.unsqueeze(-2), advantage.unsqueeze(-2)))
    if entropy_bonus:
        _all_actions("entropy_bonus", pi)
        loss = loss - entropy_bonus * pi.entropy().mean(-1)
    return descend(optimizer, loss)


def _functions(**functions) -> None:
    for name, function in functions.items():
        _check.function(name, function)


def _is_batch(batch) -> None:
    if not hasattr(batch, "next_obs"):
        raise TypeError(f"batch must be a Transition, as from ReplayBuffer.sample, got {type(batch).__name__}")


def _current(policy, obs: torch.Tensor):
    pi = policy(obs)
    if not hasattr(pi, "log_prob"):
        raise TypeError(f"policy must give a distribution of actions, such as a Categorical, got {type(pi).__name__}")
    return pi


def _of_all(pi: Categorical, q_all: torch.Tensor) -> torch.Tensor:
    """Σ_a π(a|s) Q(s, a), (..., B)."""
    probs = pi.probs
    _check.same_shape(probs=probs, q=q_all)
    return (probs * q_all).sum(-1)


def _all_actions(what: str, pi) -> None:
    if not isinstance(pi, Categorical):
        raise ValueError(f"{what} sums over all actions, which only discrete actions allow")


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> torch.Tensor:
    """Take one optimiser step down `loss` (...), summed over seeds, and return it detached.

    Each seed's loss depends on its own parameters alone, and Adam works on each number by itself, so one optimiser
    on the stacked parameters is as many independent ones as there are seeds. Raises `NotFiniteError`, a `ValueError`,
    and updates nothing, where the loss is NaN or infinite, and `ValueError` where it depends on no parameter of the
    optimiser. Seeds that were given up are named by an entry "alive" of
    `optimizer.param_groups[0]`, (S,) bool, false for them: their loss does not matter and their parameters stay.

    >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
    >>> descend(torch.optim.SGD([w], lr=0.5), w.square())
    tensor([9., 1.])
    >>> w.data
    tensor([0., 0.])
    """
    _check.instance("optimizer", optimizer, torch.optim.Optimizer)
    if not _check.floating("loss", loss).requires_grad:
        raise ValueError("loss carries no gradient: it was computed without any parameter that learns")
    alive = optimizer.param_groups[0].get("alive")
    if alive is not None:
        loss = loss.where(alive, 0.0)
    if not torch.isfinite(loss).all():
        raise NotFiniteError(loss.detach())
    optimizer.zero_grad()
    loss.sum().backward()
    if all(parameter.grad is None for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError("loss depends on no parameter of optimizer: was it made for another network?")
    if alive is not None:
        for parameter in optimizer.param_groups[0]["params"]:  # (S, P), or (2 S, P) of twins
            parameter.grad.unflatten(0, (-1, len(alive)))[:, ~alive] = 0.0
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def polyak_update(target: torch.nn.Module, source: torch.nn.Module, tau: float) -> None:
    """θ̄ ← (1 − τ) θ̄ + τ θ, for every parameter, in place.                          Equation (4.5)

    τ = 1 copies; τ in (0, 1]. Lillicrap et al. (2016), algorithm 1. Raises `ValueError`, and changes nothing, for two
    networks whose parameters differ in shape, dtype or device.

    >>> from offac_lite.networks import VCritic
    >>> a, b = (VCritic(2, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    >>> polyak_update(a, b, 1.0); torch.equal(a(torch.ones(3, 2)), b(torch.ones(3, 2)))
    True
    """
    _check.positive("tau", tau, at_most=1)
    ours, theirs = (
        list(_check.instance(name, net, torch.nn.Module).parameters())
        for name, net in (("target", target), ("source", source))
    )
    ours_are, theirs_are = ([(tuple(p.shape), p.dtype, str(p.device)) for p in net] for net in (ours, theirs))
    if ours_are != theirs_are:
        raise ValueError(f"target has parameters of shapes {ours_are}, source {theirs_are}; wanted the same")
    for old, new in zip(ours, theirs, strict=True):
        old.lerp_(new, tau)
