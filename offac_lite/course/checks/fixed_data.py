"""The exercise of the chapter on fixed data: the right answer, what to observe, and the mistakes people make."""

from collections.abc import Callable

import torch

from offac_lite import equations, networks
from offac_lite.course.checks import resampling
from offac_lite.course.checks.exercise import Exercise
from offac_lite.course.checks.observing import Observer, Refused, observer
from offac_lite.networks import of_actions

__all__ = ["awac_loss"]


def _right_awac_loss(policy, critic, obs, stored_action, temperature):
    pi = policy(obs)
    advantage = critic(obs, stored_action) - (pi.probs * critic.all_actions(obs)).sum(-1)
    return equations.awac_loss(pi.log_prob(stored_action), advantage, temperature)


def _awac_loss(policy, critic, obs, stored_action, temperature):
    pi = policy(obs)
    q, value = critic(obs, stored_action), (pi.probs * critic.all_actions(obs)).sum(-1)
    weight = torch.softmax((q - value) / temperature, -1).detach()
    log_prob = pi.log_prob(stored_action)
    return -(weight * log_prob).sum(-1)


class Categorical(networks.Categorical):
    """π of discrete actions, from which nothing is to be drawn."""

    def sample(self, action_samples: int | None = None, *, generator: torch.Generator | None = None) -> torch.Tensor:
        raise Refused("you draw an action: (F.1) has the stored action, and nothing is drawn")


class _Critic:
    """A critic that is a table."""

    def __init__(self, q_table: torch.Tensor):
        self.q_table = q_table

    def all_actions(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.take_along_dim(self.q_table, obs.long(), -2)

    def __call__(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return of_actions(self.all_actions(obs), action)


def _of_tables(function: Callable) -> Callable:
    """Turn a loss of a policy and a critic into a loss of their tables."""

    def of_tables(logits, q_table, states, stored_action, temperature):
        def policy(obs):
            return Categorical(torch.take_along_dim(logits, obs.long(), -2))

        loss = function(policy, _Critic(q_table), states.unsqueeze(-1), stored_action, temperature)
        one_for_each_seed = isinstance(loss, torch.Tensor) and states.ndim == 2 and loss.shape == states.shape[:1]
        return loss.mean() if one_for_each_seed else loss  # train takes both

    return of_tables


_Q = torch.tensor([[1.0, 1.6, 0.3], [0.2, 0.9, 2.1], [1.4, 0.5, 0.8]])
_BATCH = resampling.LOGITS, _Q, torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0]), torch.tensor([1, 2, 0, 2, 0])
_TWO_SEEDS = [torch.stack([table, table.flip(-1)]) for table in _BATCH]
_losses = observer(
    {
        "(λ = 0.5)": (*_BATCH, 0.5),
        "(λ = 2)": (*_BATCH, 2.0),
        "(a batch of one)": (resampling.LOGITS, _Q, *(x[:1] for x in _BATCH[2:]), 0.5),
        "(with an axis of seeds in front: obs is (S, B, …), actions are (S, B))": (*_TWO_SEEDS, 0.5),
    },
    "the loss",
    {0: "the gradient with respect to the policy", 1: "the gradient that reaches Q"},
    loss=True,
)
_NAMES = "the logits", "Q", "the states", "the stored action", "λ"
_SEEDS = "correct without seeds, but in a run an axis of seeds stands in front"
awac_loss = Exercise(
    "awac_loss",
    doc="Check the chapter on fixed data's `my_awac_loss(policy, critic, obs, stored_action, temperature)`.",
    right=_right_awac_loss,
    plain=_awac_loss,
    observe=Observer(_losses.cases, lambda function, *given: _losses.one(_of_tables(function), *given), names=_NAMES),
    spoken={"temperature": "λ", "weight": "the weight", "value": "V(s)", "q": "Q(s, a)"},
    mistakes={
        ".detach() →": "the weights are not constant: a gradient flows through them into Q, and through V into π",
        "(pi.probs * critic.all_actions(obs)).sum(-1) → critic.all_actions(obs).mean(-1)": "V(s) is the mean of Q "
        "under π: yours counts every action the same",
        "(pi.probs * critic.all_actions(obs)).sum(-1) → critic.all_actions(obs).amax(-1)": "V(s) is the mean of Q "
        "under π: yours is the best action's Q",
        ("/ temperature →", "log_prob).sum(-1) → log_prob).sum(-1) / temperature"): "λ divides the loss: it belongs "
        "into the exponential, where it says how unequal the weights are",
        "weight * log_prob → weight * q": "log π is missing: this loss has no gradient for the policy",
        "-(weight → (weight": "the sign is flipped: a minimiser of this makes good stored actions rarer",
        "/ temperature → * temperature": "you multiply by λ: a large λ has to make the weights equal, so it divides",
        "/ temperature →": "λ is missing: the advantages have to be divided by it",
        "(q - value) / temperature → q / temperature": "the weight has Q itself: subtract V(s), or states with a large "
        "value get nearly all the weight",
        "(q - value) / temperature → (value - q) / temperature": "the advantage has the wrong sign: it is Q minus V",
        "log_prob).sum(-1) → log_prob).mean(-1)": "the weights add up to 1 already: with a mean you "
        "divide by the size of the batch once more",
        "torch.softmax((q - value) / temperature, -1) → ((q - value) / temperature).exp()": "the weights of the batch "
        "do not add up to 1: divide by their sum, as softmax does",
        (
            "torch.softmax((q - value) / temperature, -1) → ((q - value) / temperature).exp()",
            "log_prob).sum(-1) → log_prob).mean(-1)",
        ): "the weights of the batch do not add up to 1, and the mean does not do that either: divide by their sum, as "
        "softmax does",
        "torch.softmax((q - value) / temperature, -1) → ((q - value) / temperature)": "this is the advantage itself, "
        "which is negative for bad actions: their log π would fall without end. The weight is an exponential",
        "return -log_prob.mean(-1)": "all stored actions count the same: this is behaviour cloning, without the "
        "critic's word",
        "weight * log_prob → weight * log_prob.exp()": "this weights π itself: the likelihood of the data is a sum of "
        "log π",
        "weight * log_prob → weight * log_prob.detach()": resampling.DETACHED,
        "pi.log_prob(stored_action) → pi.log_prob(pi.mode())": "log π is that of π's own favourite action: here the "
        "stored action is wanted, the exception of this chapter",
        "torch.softmax((q - value) / temperature, -1) → torch.softmax((q - value) / temperature, 0)": f"{_SEEDS}: your "
        "softmax runs over the seeds. Take the last axis",
        "log_prob).sum(-1) → log_prob).sum()": f"{_SEEDS}: your sum adds the losses of all seeds. Sum over "
        "the last axis",
    },
    only_gradients=True,
    praise="right: the stored action, weighted by what the critic says of it, and nothing asked of any other action",
)
