"""The equations that are learned from, a pure function for each: targets, losses, weights and ratios.

Equation (N.k) of a docstring, here and in every module, has that number in notebook N or, with a letter, in the chapter
Continuous actions (C), Fixed data (F) or Stability (S). (3.5) and (3.8) stand in the chapter Variance and learning,
(6.2) and (6.3) in Evidence.

Shapes: B is the batch, K the actions per state. Leading axes (...) are seeds: losses average over everything but
those. Every function checks its shapes and never broadcasts (B,) against (B, 1). Targets and losses let NaN and
infinity pass; the step that would learn from them refuses them (`updates.descend`).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from offac_lite import _check


def v_target(reward: Tensor, terminated: Tensor, next_value: Tensor, gamma: float) -> Tensor:
    """Return y = r + γ (1 − d) V(s′).                                                       Equation (1.5)

    *Data*: r and s′ follow the action that was taken. So y estimates the value of *the policy that took it*. The
    critic learns V^π only where that policy is π itself: this target is for on-policy data.

    All (..., B). `terminated` is bool: true where s′ is terminal. A time limit is truncation, not termination, and
    still bootstraps. No gradient flows into the target. Sutton & Barto (2018), section 6.1; the treatment of time
    limits is that of Pardo et al. (2018).

    >>> v_target(torch.tensor([1.0, 1.0]), torch.tensor([False, True]), torch.tensor([10.0, 10.0]), 0.5)
    tensor([6., 1.])
    """
    if terminated.dtype != torch.bool:
        raise TypeError(f"terminated has dtype {terminated.dtype}, wanted torch.bool")
    _check.same_shape(reward=reward, terminated=terminated, next_value=next_value)
    return reward + _check.discount("gamma", gamma) * torch.where(terminated, 0.0, next_value.detach())


def q_target(reward: Tensor, terminated: Tensor, next_q: Tensor, gamma: float) -> Tensor:
    """Return y = r + γ (1 − d) · 1/M Σ_m Q(s′, a′_m),  a′ ~ π(·|s′) now.                      Equation (4.2)

    *Data*: (s, a, r, s′) from any behaviour policy, because Q(s, a) holds for any a. a′ from the *current* policy,
    never the stored next action. `next_q` holds Q(s′, a′): (..., B) for one a′, a single-sample estimate of
    V^π(s′) = E_a′ Q(s′, a′), or (..., M, B) for M of them. The exact sum Σ π(a′|s′) Q(s′, a′) is (..., B) as well.

    reward and terminated (..., B), `terminated` bool. No gradient flows into the target.

    >>> q_target(torch.tensor([1.0, 1.0]), torch.tensor([False, True]), torch.tensor([[8.0, 8.0], [12.0, 8.0]]), 0.5)
    tensor([6., 1.])
    """
    if next_q.ndim == reward.ndim + 1 and next_q.shape[:-2] + next_q.shape[-1:] == reward.shape:
        next_q = _check.averaged("next_q", next_q, "(..., M, B)", 2).mean(-2)
    _check.same_shape(reward=reward, next_q=next_q)
    return v_target(reward, terminated, next_q, gamma)


def td_advantage(
    reward: Tensor,
    terminated: Tensor,
    value: Tensor,
    next_value: Tensor,
    gamma: float,
    v_target: Callable[..., Tensor] = v_target,
) -> Tensor:
    """Return Â(s, a) = r + γ (1 − d) V(s′) − V(s), the TD error, (..., B).                  Equation (1.7)

    *Data*: r and s′ belong to the stored action. Never pair Â with a resampled action.
    Without gradient: the actor must not train the critic. `v_target` computes the first two terms.

    >>> td_advantage(torch.tensor([1.0]), torch.tensor([False]), torch.tensor([5.0]), torch.tensor([10.0]), 0.5)
    tensor([1.])
    """
    _check.same_shape(reward=reward, value=value)
    return v_target(reward, terminated, next_value, gamma) - value.detach()


def critic_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Return ½ · mean over B of (prediction − y)², shape (...): one loss per seed.         Equation (1.6)

    `prediction` carries the gradient. `target` is detached here, which makes it a *semi*-gradient (Sutton & Barto,
    2018, section 9.3).

    >>> critic_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0]))
    tensor(2.5000)
    """
    _check.averaged("prediction", prediction, "(..., B)", 1)
    _check.same_shape(target=target, prediction=prediction)
    return 0.5 * (prediction - target.detach()).square().mean(-1)


def policy_gradient_loss(log_prob: Tensor, advantage: Tensor) -> Tensor:
    """Return −mean of log π(a|s) · Â(s, a), whose gradient is minus the estimate of ∇J.     Equation (1.4)

    *Data*: s from the visitation of π, for ∇J up to the factor Z of (1.4); replayed s, for the gradient under the
    buffer's states. a ~ π(·|s), the *current* policy: fresh data, or actions resampled now. With stored actions of an
    older policy this is not the gradient of J.

    log_prob, advantage (..., K, B): mean over K and B, shape (...). For one action per state add the axis K = 1 with
    `log_prob.unsqueeze(-2)`: otherwise the seeds of (S, B) are averaged as actions. The gradient flows through log π
    alone; Â is detached. Only the gradient of this loss has a meaning, its value has none. Sutton et al. (2000);
    Degris et al. (2012) for replayed states.

    >>> log_prob = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    >>> policy_gradient_loss(log_prob, torch.tensor([[3.0, 5.0]])).backward()
    >>> log_prob.grad
    tensor([[-1.5000, -2.5000]])
    """
    _check.same_shape(log_prob=log_prob, advantage=advantage)
    _check.averaged("log_prob", log_prob, "(..., K, B), with .unsqueeze(-2) for K = 1", 2)
    return -(log_prob * advantage.detach()).mean((-2, -1))


def reparameterized_loss(q: Tensor) -> Tensor:
    """Return −mean of Q(s, a_θ(s, ε)), with the gradient going *through* the action.        Equation (C.4)

    *Data*: replayed s; actions from `rsample`. q (..., K, B): shape (...). This is the part with Q of Haarnoja et al.
    (2018), section 4.2; their entropy term is not in it.

    >>> reparameterized_loss(torch.tensor([[1.0, 3.0]]))
    tensor(-2.)
    """
    return -_check.averaged("q", q, "(..., K, B)", 2).mean((-2, -1))


def soft_q(next_q: Tensor, next_log_prob: Tensor, alpha: float | Tensor) -> Tensor:
    """Return Q(s′, a′) − α log π(a′|s′), which `q_target` averages in soft actor-critic.    Equation (C.6)

    *Data*: a′ ~ π(·|s′), the current policy. Its average is V(s′) + α H(π(·|s′)): the value counts the entropy of what
    follows. With the sum over all actions, `next_log_prob` is Σ π log π = −H.

    next_q, next_log_prob (..., M, B) or (..., B); α in scaled rewards per nat, one number or (S, 1) for the leading
    axis S. Without gradient. Haarnoja et al. (2018b), section 4.

    >>> soft_q(torch.tensor([5.0]), torch.tensor([-2.0]), 0.5)
    tensor([6.])
    """
    _check.same_shape(next_q=next_q, next_log_prob=next_log_prob)
    return (next_q - times(alpha, next_log_prob)).detach()


def entropy_weight_loss(log_alpha: Tensor, entropy: Tensor, target_entropy: float) -> Tensor:
    """Return log α · mean over B of (H(π(·|s)) − H̄), one loss per seed.                     Equation (C.7)

    Its gradient lowers α where the entropy is above its target H̄, and raises α where it is below. *Data*: replayed s.

    log_alpha (..., 1), which learns; entropy (..., B), detached here, in nats. Haarnoja et al. (2018b), section 5, with
    log α in the place of the factor α.

    >>> entropy_weight_loss(torch.tensor([2.0]), torch.tensor([1.5, 3.5]), 1.0)
    tensor(3.)
    """
    above = _check.averaged("entropy", entropy, "(..., B)", 1).detach().mean(-1, keepdim=True) - target_entropy
    _check.same_shape(log_alpha=log_alpha, entropy=above)
    return (log_alpha * above)[..., 0]


def times(alpha: float | Tensor, x: Tensor) -> Tensor:
    """Return α x for x (S, ...): α is one number, or one per seed, (S, 1)."""
    if isinstance(alpha, Tensor) and alpha.numel() != 1 and (x.ndim < 2 or alpha.shape != (len(x), 1)):
        raise ValueError(f"alpha has shape {tuple(alpha.shape)}, wanted () or (S, 1) for values {tuple(x.shape)}")
    return (alpha.reshape(-1, *[1] * (x.ndim - 1)) if isinstance(alpha, Tensor) else alpha) * x


def leave_one_out(q: Tensor) -> Tensor:
    """Subtract from Q_k the mean of the *other* K − 1 values in the same state.              Equation (5.4)

    *Data*: Q(s, a_k) of K actions drawn independently from π(·|s). Q_k itself is left out, so the gradient is unbiased.
    With Q_k included, its mean would be (K − 1)/K of ∇J. q (..., K, B) with K ≥ 2, same shape out. Kool et al. (2019).

    >>> leave_one_out(torch.tensor([[1.0], [2.0], [6.0]])).flatten()
    tensor([-3.0000, -1.5000,  4.5000])
    """
    if q.ndim < 2 or q.shape[-2] < 2:
        raise ValueError(
            f"q has shape {tuple(q.shape)}, wanted (..., K, B) with K >= 2: there is no other action to average"
        )
    return (q - q.mean(-2, keepdim=True)) * (q.shape[-2] / (q.shape[-2] - 1))


def awac_loss(log_prob: Tensor, advantage: Tensor, temperature: float) -> Tensor:
    """Return −Σ w log π(a|s) over the batch, w = softmax(Â(s, a) / λ), one loss per seed.     Equation (F.1)

    *Data*: s and a from the buffer, of any behaviour policy. This loss wants the *stored* action and no ratio, for its
    gradient is not that of J. It fits π to β(a|s) exp(Â/λ), a better version of the behaviour policy.

    log_prob, advantage (..., B): the weights of a batch add up to 1, shape (...). The gradient flows through log π
    alone. λ > 0 is in the units of Â; a large one makes all weights equal, which is behaviour cloning. Nair et al.
    (2020), section 4.

    >>> log_prob = torch.tensor([-1.0, -2.0], requires_grad=True)
    >>> awac_loss(log_prob, torch.tensor([0.0, 1.0]), 1.0).backward()
    >>> log_prob.grad
    tensor([-0.2689, -0.7311])
    """
    _check.same_shape(log_prob=log_prob, advantage=advantage)
    weight = torch.softmax(advantage.detach() / _check.positive("temperature", temperature), -1)
    return -(weight * log_prob).sum(-1)


def importance_ratio(log_prob: Tensor, behavior_log_prob: Tensor, clip: float | None = None) -> Tensor:
    """Return π(a|s) / β(a|s) of stored actions, detached, at most `clip` if given.         Equation (3.1)

    *Data*: the stored action, and β's log-probability of it, written when it was taken. The ratio corrects the
    distribution of the actions, not that of the states. Same shapes in and out. Raises as `log_ratio` does.

    >>> importance_ratio(torch.tensor([0.0, -1.0]), torch.tensor([-1.0, -1.0]), clip=2.0)
    tensor([2., 1.])
    """
    ratio = log_ratio(log_prob, behavior_log_prob).exp()
    return ratio if clip is None else ratio.clamp_max(_check.positive("clip", clip))


def log_ratio(log_prob: Tensor, behavior_log_prob: Tensor) -> Tensor:
    """Return log π(a|s) − log β(a|s) of stored actions, detached; same shapes in and out.

    Raises `ValueError` where β's is unknown (NaN) or says that the action could not have been taken (−∞), and where
    π's is NaN or +∞. An action that π does not take (−∞) has the ratio 0.

    >>> log_ratio(torch.tensor([0.0, -torch.inf]), torch.tensor([-1.0, -1.0]))
    tensor([1., -inf])
    """
    _check.same_shape(log_prob=log_prob, behavior_log_prob=behavior_log_prob)
    if torch.isnan(behavior_log_prob).any():
        raise ValueError("behavior_log_prob holds NaN: log_prob was not given when these transitions were added")
    if torch.isinf(behavior_log_prob).any():
        raise ValueError("behavior_log_prob is infinite for an action that was taken; its probability cannot be 0")
    if not (log_prob < torch.inf).all():
        raise ValueError("log_prob holds NaN or +infinity: the current policy's parameters are no longer finite")
    return (log_prob - behavior_log_prob).detach()
