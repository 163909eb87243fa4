"""What the exercises on resampled actions share: draws that are written down, and the mistakes of several notebooks."""

from collections.abc import Callable, Iterable

import torch

from offac_lite import networks
from offac_lite.course.checks.observing import Refused

LOGITS = torch.tensor([[0.2, -0.4, 0.9], [1.0, 0.3, -0.2], [-0.5, 0.1, 0.4]])
Q_TABLE = torch.tensor([[1.0, 5.0, -2.0], [0.0, 3.0, 8.0], [4.0, -1.0, 2.0]])
DRAWS = torch.tensor([[0, 2, 1], [2, 0, 1], [0, 1, 2], [2, 0, 2], [0, 0, 1], [1, 1, 2], [0, 2, 0]])
"""A policy and a critic of three states and three actions, and actions to draw in these states."""


class Script:
    """Draws that are written down, and the generator with which they have to be asked for."""

    def __init__(self, rows: Iterable[torch.Tensor]):
        self.rows, self.generator = list(rows), torch.Generator()

    def draw(self, action_samples: int | None, axis: int, generator: torch.Generator | None) -> torch.Tensor:
        """Take the next K draws, along `axis`; one call for K gives the same as K calls for one.

        >>> script = Script(torch.tensor([[2, 0], [1, 1], [0, 2]]))
        >>> script.draw(2, -2, script.generator), script.draw(None, -2, script.generator)
        (tensor([[2, 0],
                [1, 1]]), tensor([0, 2]))
        """
        if generator is not self.generator:
            raise Refused(
                "use the generator you are given: a fresh one with a fixed seed draws the same actions at each call, "
                "and without one the run cannot be repeated"
            )
        rows = torch.stack([self.rows.pop(0) for _ in range(1 if action_samples is None else action_samples)], axis)
        return rows.squeeze(axis) if action_samples is None else rows

    def given_to(self, function: Callable, *arguments):
        """Call a function whose last argument is a generator; refuse draws other than those that are written down."""
        before = self.generator.get_state(), torch.get_rng_state()
        result = function(*arguments, self.generator)
        if not all(map(torch.equal, before, (self.generator.get_state(), torch.get_rng_state()))):
            raise Refused(
                "draw the actions with .sample of the policy's distribution: the check follows no other draws"
            )
        return result


class Categorical(networks.Categorical):
    """A policy whose draws are written down: `script`, which all policies of an exercise share and use up.

    It has the name of the class that it replaces, because Python quotes that name in its errors.
    """

    def __init__(self, logits: torch.Tensor, script: Script):
        super().__init__(logits)
        self.script = script

    def sample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        """Return the next draws, (..., B) or (..., K, B)."""
        return self.script.draw(action_samples, -2, generator)


class TanhGaussian(networks.TanhGaussian):
    """A policy whose noise is written down, as in `Categorical`.

    If `marked`, the actions of `sample` differ from those of `rsample`.
    """

    def __init__(self, mean, log_std, script: Script, marked: bool):
        super().__init__(mean, log_std, torch.tensor([-2.0]).double(), torch.tensor([2.0]).double())
        self.script, self.marked = script, marked

    def rsample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        """Return actions of the next noise, (..., B, 1) or (..., K, B, 1)."""
        return self._squashed(self.script.draw(action_samples, -3, generator), action_samples)

    @torch.no_grad()
    def sample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        """Return actions through which no gradient flows; if `marked`, of minus the next noise."""
        noise = self.script.draw(action_samples, -3, generator)
        return self._squashed(-noise if self.marked else noise, action_samples)

    def _squashed(self, noise: torch.Tensor, action_samples: int | None) -> torch.Tensor:
        mean, log_std = (x if action_samples is None else x.unsqueeze(-3) for x in (self.mean, self.log_std))
        return self.mid + self.half * torch.tanh(mean + log_std.exp() * noise)


class ContinuousQCritic(torch.nn.Module):
    """A critic that must not be frozen for good; `sign` −1 turns Q round, and with it the sign of most losses."""

    def __init__(self, sign: int):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor([0.8, -0.3, 1.1], dtype=torch.float64))
        self.sign = sign

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Evaluate Q(s, a), (..., B) or (..., K, B)."""
        batch = obs.shape[:-1]
        with_k = action.ndim == obs.ndim + 1 and action.shape[:-3] + action.shape[-2:-1] == batch
        if not (with_k or action.shape[:-1] == batch):
            wanted = f"{(*batch, 1)} = (..., B, D), or with a K before B"
            raise ValueError(f"action has shape {tuple(action.shape)}, wanted {wanted}")
        best, height, width = self.weights
        where = (action - best - 0.5 * (obs.unsqueeze(-3) if with_k else obs))[..., 0]
        return self.sign * (7 + height * where.square() + torch.sin(2 * width * where))


# ------------------------------------------------------------------------------- mistakes that several exercises name

ONE_DRAW = {"action_samples, generator= → 1, generator=": "you draw one action per state, whatever action_samples says"}
DRAWING = ONE_DRAW | {
    "pi.sample(action_samples, generator=generator) → pi.mode().expand(action_samples, -1)": "you take the most "
    "probable action: the gradient is an expectation, so the actions have to be *drawn*",
}
TWO_DRAWS = "log π is of one draw and Q of another: draw the actions once, and use the same ones in both factors"

ENTROPY = "a term with log π is added, as an entropy bonus in SAC: here the gradient of the return alone is wanted"
SIGN = "the sign is flipped: an optimiser walks downhill, so this makes good actions rarer"
SUM = "you add up where the mean over states and actions is wanted"
DETACHED = "log π is detached, so no gradient reaches the policy"
OWN_Q = "your mean contains the action's own Q: that shrinks the gradient to (K − 1)/K of its length"

AVERAGING = {
    ".mean() → .mean(-1)": "you average over the batch only: the K actions of a state are to be averaged too, down to "
    "one number",
    ".mean() → .sum(-2).mean()": "you add up the K actions of a state where their mean is wanted: more actions would "
    "mean larger steps",
}
WEIGHTING = AVERAGING | {  # edits of return -(log_prob * …).mean()
    "log_prob * → log_prob.detach() *": DETACHED,
    "log_prob * → log_prob.exp() *": "this weights by π, for the gradient of π is π times that of log π: drawing "
    "the actions already contributes the factor π",
}

MEAN_UNDER_PI = {  # edits of return (probs * q).sum(-1)
    "return q.amax(-1)": "this is the best action's Q, the target of Q-learning: π does not always take that one",
    "return q.mean(-1)": "every action counts the same: that is the value of the uniform policy, not of π",
    "return q.sum(-1)": "the Qs are added up without π's probabilities",
    "return q.logsumexp(-1)": "this is a soft maximum of Q (log-sum-exp), where the mean under π is wanted",
    ".sum(-1) → .mean(-1)": "the probabilities already make it an average: dividing by the number of actions once more "
    "is too much",
    ".sum(-1) →": "these are the terms; their sum over the actions is wanted",
    "return q.gather(-1, probs.argmax(-1, keepdim=True)).squeeze(-1)": "this is the Q of π's favourite action alone: "
    "the others are taken too, as often as π says",
    "probs * q → torch.softmax(q, -1) * q": "the weights come from Q, and they have to be π's",
    "probs * q → probs.log() * q": "the weights are π itself, not log π",
}
SOFT_VALUE = {
    "probs * q → probs * (q - probs.log())": "log π is subtracted from Q: that is a soft value, with an entropy bonus, "
    "as in SAC; here V is the plain mean of Q"
}
