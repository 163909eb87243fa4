"""Policies and critics, whose parameters may hold S independent seeds, stacked along axis 0.

Axes, everywhere: seeds first (or no such axis), then the K actions of one state where there are any, then the batch,
then features: obs (..., B, obs_size), action (..., B) or (..., K, B).

In this order: the distributions that policies return, the network that all share, policies, critics. The distributions
stand here because policies and critics pick actions out of tables with the same function, `of_actions`.
"""

import copy
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from offac_lite import _check
from offac_lite._check import Numbers


def of_actions(table: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
    """Pick the entries of `table` (..., B, A) that belong to `action` (..., B) or (..., K, B): same shape.

    Raises `ValueError` for any other shape, such as (B, 1). `torch.gather` refuses what is no action number.

    >>> of_actions(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 0]))
    tensor([2., 3.])
    """
    batch = table.shape[:-1]
    if batch and action.shape == batch:
        return table.gather(-1, action.unsqueeze(-1)).squeeze(-1)
    if batch and action.ndim == len(batch) + 1 and action.shape[:-2] + action.shape[-1:] == batch:
        return table.gather(-1, action.movedim(-2, -1)).movedim(-1, -2)
    wanted = f"{tuple(batch)} = (..., B), or with a K before B"
    raise ValueError(f"action has shape {tuple(action.shape)}, wanted {wanted}, for a table {tuple(table.shape)}")


_NOT_FINITE = "the policy's parameters, or the observations, are not finite, or too large"


class Categorical:
    """π(·|s) over A discrete actions, from logits (..., B, A).

    `probs` and `log_probs` (..., B, A) are π(a|s) and its logarithm for every action; both carry gradient.
    """

    def __init__(self, logits: torch.Tensor):
        if logits.ndim < 2 or not logits.shape[-1]:
            shape = tuple(logits.shape)
            raise ValueError(f"logits has shape {shape}, wanted (..., B, A); one state is a batch of B = 1")
        self.log_probs = torch.log_softmax(logits.mT, -2).mT  # along the batch in memory: several times faster
        if torch.isnan(self.log_probs.sum()):
            largest = "NaN" if torch.isnan(logits).any() else f"{logits.abs().max():g}"
            raise ValueError(f"logits holds {largest}: {_NOT_FINITE}")
        self.probs = self.log_probs.exp()

    def sample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        """Draw a ~ π(·|s) now: (..., B), or with `action_samples=K` K independent actions, (..., K, B). No gradient.

        >>> Categorical(torch.zeros(2, 3)).sample(4, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([4, 2])
        """
        k = 1 if action_samples is None else _check.count("action_samples", action_samples)
        _check.generator("generator", generator)
        probs = self.probs.detach()
        flat = torch.multinomial(probs.reshape(-1, probs.shape[-1]), k, replacement=True, generator=generator)
        actions = flat.view(*probs.shape[:-1], k).movedim(-1, -2)
        return actions.squeeze(-2) if action_samples is None else actions

    def log_prob(self, action: torch.Tensor) -> torch.Tensor:
        """Look up log π(a|s) of actions (..., B) or (..., K, B), same shape; carries gradient.

        >>> Categorical(torch.zeros(2, 4)).log_prob(torch.tensor([0, 3])).exp()
        tensor([0.2500, 0.2500])
        """
        return of_actions(self.log_probs, action)

    def entropy(self) -> torch.Tensor:
        """Compute −Σ_a π log π in nats, (..., B); carries gradient."""
        return -(self.probs * self.log_probs.clamp_min(torch.finfo(self.log_probs.dtype).min)).sum(-1)

    def mode(self) -> torch.Tensor:
        """Pick the most probable action, (..., B)."""
        return self.log_probs.max(-1).indices


class TanhGaussian:
    """π(·|s) over actions in (low, high): a Gaussian u ~ N(mean, std²), squashed, a = mid + half · tanh u.

    mean, log_std (..., B, D); low, high (D,). The density of a is that of u divided by |da/du|, so
    log π(a|s) = log N(u) − Σ log(half · (1 − tanh² u)) (Haarnoja et al., 2018, appendix C).

    `log_prob` recovers u from a. In single precision that is exact enough while |u| is below about 6. Further out
    tanh u rounds to ±1, u is cut off, and the gradient of log π is wrong. `TanhGaussianPolicy` stays inside.

    >>> pi = TanhGaussian(torch.zeros(5, 1), torch.zeros(5, 1), torch.tensor([-2.0]), torch.tensor([2.0]))
    >>> action = pi.sample(3, generator=torch.Generator().manual_seed(0))
    >>> action.shape, pi.log_prob(action).shape
    (torch.Size([3, 5, 1]), torch.Size([3, 5]))
    """

    def __init__(self, mean: torch.Tensor, log_std: torch.Tensor, low: torch.Tensor, high: torch.Tensor):
        if mean.ndim < 2 or log_std.shape != mean.shape or not low.shape == high.shape == mean.shape[-1:]:
            shapes = ", ".join(str(tuple(value.shape)) for value in (mean, log_std, low, high))
            raise ValueError(f"mean, log_std, low, high have shapes {shapes}, wanted (..., B, D) twice and (D,) twice")
        self.mean, self.log_std = mean, log_std
        self.mid, self.half = (high + low) / 2, (high - low) / 2
        self.log_half = self.half.log()
        # One sum, because each check costs time.
        if not math.isfinite((mean.sum() + log_std.sum() + self.log_half.sum()).item()):
            if not torch.isfinite(self.log_half).all():
                raise ValueError(f"low and high hold {low.tolist()} and {high.tolist()}, wanted low < high, finite")
            raise ValueError(f"mean or log_std holds NaN or infinity: {_NOT_FINITE}")

    def rsample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        """Draw a ~ π(·|s), Equation (C.1), a differentiable function of mean and std: (..., B, D) or (..., K, B, D)."""
        mean, log_std = self.mean, self.log_std
        _check.generator("generator", generator)
        if action_samples is not None:
            shape = (*mean.shape[:-2], _check.count("action_samples", action_samples), *mean.shape[-2:])
            mean, log_std = mean.unsqueeze(-3).expand(shape), log_std.unsqueeze(-3).expand(shape)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return self.mid + self.half * torch.tanh(mean + log_std.exp() * noise)

    def sample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        """Draw a ~ π(·|s) without gradient, for the score-function estimator; shapes as in `rsample`."""
        with torch.no_grad():
            return self.rsample(action_samples, generator=generator)

    def log_prob(self, action: torch.Tensor) -> torch.Tensor:
        """Evaluate log π(a|s), Equation (C.2), of actions (..., B, D) or (..., K, B, D): (..., B) or (..., K, B).

        It carries gradient. An action on the bound is moved inside by 1e-6 of half the range, where u is finite.
        Raises `ValueError` for an action that is outside by more than rounding explains, 0.1% of half the range.
        """
        mean, log_std = self.mean, self.log_std
        if action.ndim == mean.ndim + 1 and action.shape[:-3] + action.shape[-2:] == mean.shape:
            mean, log_std = mean.unsqueeze(-3), log_std.unsqueeze(-3)
        elif action.shape != mean.shape:
            wanted = f"{tuple(mean.shape)} = (..., B, D), or with a K before B"
            raise ValueError(f"action has shape {tuple(action.shape)}, wanted {wanted}")
        squashed = (action - self.mid) / self.half
        if squashed.numel() and torch.linalg.vector_norm(squashed.detach(), torch.inf).item() > 1.001:
            low, high = (self.mid - self.half).tolist(), (self.mid + self.half).tolist()
            raise ValueError(f"action holds {action.min():g} to {action.max():g}, wanted {low} to {high}")
        squashed = squashed.clamp(-1 + 1e-6, 1 - 1e-6)
        u = torch.atanh(squashed)
        gaussian = -0.5 * ((u - mean) / log_std.exp()).square() - log_std - 0.5 * math.log(2 * math.pi)
        return (gaussian - torch.log1p(-squashed.square()) - self.log_half).sum(-1)

    def mode(self) -> torch.Tensor:
        """Return the action without noise, the squashed mean, (..., B, D)."""
        return self.mid + self.half * torch.tanh(self.mean)


Pi = Categorical | TanhGaussian
"""π(·|s), what a policy returns for observations."""


class MLP(nn.Module):
    """A ReLU network, or S independent ones: (..., obs_size) → (..., out_size).

    All parameters of a network stand in one row: `theta` is (P,), or with `n_seeds=S` (S, P). With seeds the input
    starts with an axis of S; slice i goes through network i alone, so no gradient crosses seeds. (One tensor, because
    an optimiser step on many small ones costs more than the arithmetic.)

    Weights start uniform in ±1/√in, those of the output layer times `out_gain`. `generator` is a local
    `torch.Generator` on the CPU, where a network is made; `.to(device)` moves it. The input is multiplied by `in_scale`
    first (a number or one per feature), so that features of different units start equal. It may have any dtype; the
    result has that of `theta`, float32.

    With `layer_norm`, the inputs of each ReLU are `normalized` first, which adds no parameter.

    >>> net = MLP(3, (8,), 2, n_seeds=5, generator=torch.Generator().manual_seed(0))
    >>> net(torch.zeros(5, 7, 3)).shape, net.theta.shape  # 3 · 8 + 8, then 8 · 2 + 2
    (torch.Size([5, 7, 2]), torch.Size([5, 50]))
    """

    in_scale: torch.Tensor

    def __init__(
        self,
        in_size: int,
        hidden: Sequence[int],
        out_size: int,
        *,
        n_seeds: int | None = None,
        generator: torch.Generator,
        in_scale: Numbers = 1.0,
        out_gain: float = 1.0,
        layer_norm: bool = False,
    ):
        super().__init__()
        _check.generator("generator", generator)
        self.layer_norm = layer_norm
        self.in_size = _check.count("in_size", in_size)
        sizes = [self.in_size, *_check.sizes("hidden", hidden), _check.count("out_size", out_size)]
        self.n_seeds = None if n_seeds is None else _check.count("n_seeds", n_seeds)
        self.register_buffer("in_scale", _scale("in_scale", in_scale, in_size))
        self.shapes = [shape for fan_in, fan_out in pairwise(sizes) for shape in ((fan_out, fan_in), (fan_out, 1))]
        bounds = [1 / math.sqrt(fan_in) for fan_in in sizes[:-1] for _ in ("weight", "bias")]
        bounds[-2:] = [out_gain * bound for bound in bounds[-2:]]
        like: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # whatever PyTorch's defaults are
        parts = [
            bound * (2 * torch.rand(n_seeds or 1, math.prod(shape), generator=generator, **like) - 1)
            for bound, shape in zip(bounds, self.shapes, strict=True)
        ]
        theta = torch.cat(parts, 1)
        self.theta = nn.Parameter(theta[0] if n_seeds is None else theta)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in_size), or (S, ..., in_size) with seeds, to the same with out_size at the end."""
        lead, n_seeds = x.shape[:-1], self.n_seeds or 1
        if x.shape[-1:] != (self.in_size,) or (self.n_seeds is not None and (not lead or lead[0] != n_seeds)):
            seeds = "" if self.n_seeds is None else f"{n_seeds}, "
            raise ValueError(f"obs has shape {tuple(x.shape)}, wanted ({seeds}..., {self.in_size})")
        rows = lead.numel() if self.n_seeds is None else lead[1:].numel()
        x = (x.to(self.theta.dtype) * self.in_scale).reshape(n_seeds, rows, self.in_size)
        y = _through(self.layers(), x.mT, self.layer_norm)  # features before batch: the faster way round
        return y.mT.reshape(*lead, y.shape[1])

    def goes_with(self, other: "MLP") -> bool:
        """Tell whether `forward_with` can compute both: of S and n · S seeds, with equal layers and scale."""
        if self.n_seeds is None or other.n_seeds is None or other.n_seeds % self.n_seeds:
            return False
        return self.shapes == other.shapes and torch.equal(self.in_scale, other.in_scale)

    def forward_with(self, other: "MLP", x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `self(x)`, (S, B, out), and the outputs of `other`, (n, S, B, out), computed at once.

        `other` holds n · S networks of the same layers and the same `in_scale`; x is (S, B, in_size). If only one of
        the two has `layer_norm`, they are computed one after the other.
        """
        if self.layer_norm != other.layer_norm:
            return self(x), other(x.repeat(len(other.theta) // len(x), 1, 1)).unflatten(0, (-1, len(x)))
        theta = torch.cat([self.theta, other.theta])
        copies = len(theta) // len(x)
        x_scaled = (x.to(theta.dtype) * self.in_scale).mT
        y = _through(self.layers(theta), x_scaled.repeat(copies, 1, 1), self.layer_norm).mT
        return y[: len(x)], y[len(x) :].unflatten(0, (-1, len(x)))

    def layers(self, theta: torch.Tensor | None = None) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return weight (S, out, in) and bias (S, out, 1) of each layer, as views of theta (S, P); S = 1 without seeds.

        `theta`: that of another stack of the same layers; None is this one's own.
        """
        theta = self.theta.view(self.n_seeds or 1, -1) if theta is None else theta
        rows = theta.split([math.prod(shape) for shape in self.shapes], 1)
        parts = [row.view(len(theta), *shape) for row, shape in zip(rows, self.shapes, strict=True)]
        return list(zip(parts[::2], parts[1::2], strict=True))


def _through(layers: list[tuple[torch.Tensor, torch.Tensor]], x: torch.Tensor, layer_norm: bool) -> torch.Tensor:
    """Pass x (S, in, B) through the layers of S networks: (S, out, B)."""
    for i, (weight, bias) in enumerate(layers):
        if i > 0:
            x = functional.relu_(normalized(x) if layer_norm else x)
        x = torch.baddbmm(bias, weight, x)
    return x


def normalized(x: torch.Tensor) -> torch.Tensor:
    """Normalise the units of a layer, x (..., units, B): (x − mean) / √(variance + 1e-5).                Equation (S.1)

    Mean and variance are those of the units, of each row of the batch alone. No row sees another, so a value does not
    depend on the batch it is computed in. Ba, Kiros & Hinton (2016), section 3, without gain and offset.

    >>> normalized(torch.tensor([[1.0, 10.0], [3.0, 30.0]]))
    tensor([[-1.0000, -1.0000],
            [ 1.0000,  1.0000]])
    """
    return functional.layer_norm(x.mT, x.shape[-2:-1], eps=1e-5).mT


def _scale(name: str, value: Numbers, size: int) -> torch.Tensor:
    """Return factors of the input as a tensor () or (size,), or raise `ValueError` for another shape."""
    scale = _check.finite_tensor(name, value, torch.float32)
    if scale.shape not in ((), (size,)):
        raise ValueError(f"{name} has shape {tuple(scale.shape)}, wanted () or ({size},) = one per feature")
    return scale


class Policy(nn.Module):
    """What all policies share: acting, and taking out one of the seeds. `policy(obs)` returns π(·|s)."""

    net: MLP
    obs_shape: tuple[int, ...] | None = None
    """Shape of one observation as the environment gives it; None for (obs_size,)."""
    action_shape: tuple[int, ...] | None = None
    """Shape of one action as the environment takes it; None for the shape that `mode` returns."""

    @torch.no_grad()
    def act(self, obs: Numbers, *, generator: torch.Generator | None = None) -> int | np.ndarray:
        """Choose actions for an environment's observations: the most probable ones, or drawn with `generator`.

        obs: (*obs_shape), or with a batch axis (B, *obs_shape), or (S, B, *obs_shape) for a policy of S seeds. Without
        the axis of seeds, each of the S policies acts on every observation. Returns what `env.step` takes: an integer
        for a single discrete action, else a NumPy array of `action_shape` with the axes B, S or S, B before it. A
        policy that `train` made knows the shapes of its environment. Any other takes (obs_size,) for obs_shape.

        >>> policy = CategoricalPolicy(4, 2, n_seeds=3, generator=torch.Generator().manual_seed(0))
        >>> policy.act([0.0, 0.1, 0.0, 0.2]).shape, type(policy.of_seed(2).act([0.0, 0.1, 0.0, 0.2]))
        ((3,), <class 'int'>)
        """
        scale, n_seeds = self.net.in_scale, self.net.n_seeds
        obs = _check.finite_tensor("obs", obs, scale.dtype).to(scale.device)
        obs_shape = (self.net.in_size,) if self.obs_shape is None else self.obs_shape
        _check.trailing_shape("obs", obs, obs_shape, "(..., *obs_shape)")
        lead = obs.shape[: obs.ndim - len(obs_shape)]
        obs = obs.reshape(*lead, self.net.in_size)
        if len(lead) > (1 if n_seeds is None else 2):
            wanted = "(*obs_shape) or (B, *obs_shape)" + ("" if n_seeds is None else " or (S, B, *obs_shape)")
            raise ValueError(f"obs has shape {tuple(obs.shape)}, wanted {wanted}")
        obs = obs if lead else obs.unsqueeze(0)
        if n_seeds is not None and obs.ndim < 3:
            obs = obs.expand(n_seeds, *obs.shape)
        pi = self(obs)
        action = pi.mode() if generator is None else pi.sample(generator=generator)
        if not lead:
            action = action.squeeze(0 if n_seeds is None else 1)
        if self.action_shape is not None:
            axes = (n_seeds is not None) + len(lead[-1:])
            action = action.reshape(action.shape[:axes] + self.action_shape)
        whole = not action.ndim and not action.is_floating_point()
        return action.item() if whole else action.numpy(force=True)

    def of_seed(self, index: int) -> Self:
        """Return a copy of the policy of seed `index` alone, without the axis of seeds."""
        if self.net.n_seeds is None:
            raise ValueError("this policy has no axis of seeds")
        index, alone = _check.index("index", index, self.net.n_seeds), copy.deepcopy(self)
        alone.net.n_seeds, alone.net.theta = None, nn.Parameter(self.net.theta.detach()[index].clone())
        return alone


class CategoricalPolicy(Policy):
    """π_θ(·|s) over discrete actions: `policy(obs)` is a `Categorical`. Starts close to uniform.

    >>> policy = CategoricalPolicy(4, 2, generator=torch.Generator().manual_seed(0))
    >>> policy(torch.zeros(3, 4)).probs.shape
    torch.Size([3, 2])
    """

    def __init__(self, obs_size: int, n_actions: int, hidden: Sequence[int] = (64, 64), **mlp: Any):
        super().__init__()
        self.net = MLP(obs_size, hidden, n_actions, **({"out_gain": 0.01} | mlp))

    def forward(self, obs: torch.Tensor) -> Categorical:
        """Return π(·|s) for obs (..., B, obs_size)."""
        return Categorical(self.net(obs))


class TanhGaussianPolicy(Policy):
    """π_θ(·|s) over a box of actions: `policy(obs)` is a `TanhGaussian` with a learned, state-dependent std.

    `low`, `high` (D,) are the finite bounds of the action space. The mean of u is kept within ±3 and its standard
    deviation between e⁻⁵ and 1, smoothly; it starts at 0.5. Then |u| is very rarely so large that tanh u rounds to ±1,
    and `log_prob` is exact enough in single precision. The mean action still comes close to the bounds: tanh 3 = 0.995.

    >>> policy = TanhGaussianPolicy(3, [-2.0], [2.0], generator=torch.Generator().manual_seed(0))
    >>> policy(torch.zeros(5, 3)).mode().shape
    torch.Size([5, 1])
    """

    low: torch.Tensor
    high: torch.Tensor

    def __init__(
        self,
        obs_size: int,
        low: Numbers,
        high: Numbers,
        hidden: Sequence[int] = (64, 64),
        **mlp: Any,
    ):
        super().__init__()
        low, high = _check.finite_tensor("low", low, torch.float32), _check.finite_tensor("high", high, torch.float32)
        if low.ndim != 1 or low.shape != high.shape or not (low < high).all():
            raise ValueError(
                f"low, high have shapes {tuple(low.shape)}, {tuple(high.shape)}, wanted (D,) with low < high"
            )
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.net = MLP(obs_size, hidden, 2 * len(low), **({"out_gain": 0.01} | mlp))

    def forward(self, obs: torch.Tensor) -> TanhGaussian:
        """Return π(·|s) for obs (..., B, obs_size)."""
        mean, spread = self.net(obs).chunk(2, -1)
        log_std = 2.5 * (torch.tanh(spread + 0.9) - 1)
        return TanhGaussian(3 * torch.tanh(mean / 3), log_std, self.low, self.high)


class QCritic(nn.Module):
    """What all critics of Q(s, a) share: `critic(obs, action)` is Q(s, a)."""

    def each(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Evaluate Q(s, a) of every network that is trained, (1, ..., B); of twins, (2, ..., B)."""
        return self(obs, action).unsqueeze(0)

    def all_actions(self, obs: torch.Tensor) -> torch.Tensor:
        """Evaluate Q(s, a) of every action, (..., B, A), where actions are discrete."""
        raise ValueError("a value of every action is wanted, which only discrete actions allow")


class VCritic(nn.Module):
    """V(s): obs (..., B, obs_size) → (..., B).

    >>> VCritic(4, generator=torch.Generator().manual_seed(0))(torch.zeros(3, 4)).shape
    torch.Size([3])
    """

    def __init__(self, obs_size: int, hidden: Sequence[int] = (64, 64), **mlp: Any):
        super().__init__()
        self.net = MLP(obs_size, hidden, 1, **mlp)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Evaluate V(s), (..., B): no trailing axis of 1, so that no (B,1) − (B,) can broadcast to (B,B)."""
        return self.net(obs).squeeze(-1)


class DiscreteQCritic(QCritic):
    """Q(s, a) for discrete actions: one output per action.

    >>> critic = DiscreteQCritic(4, 2, generator=torch.Generator().manual_seed(0))
    >>> critic.all_actions(torch.zeros(3, 4)).shape, critic(torch.zeros(3, 4), torch.zeros(5, 3).long()).shape
    (torch.Size([3, 2]), torch.Size([5, 3]))
    """

    def __init__(self, obs_size: int, n_actions: int, hidden: Sequence[int] = (64, 64), **mlp: Any):
        super().__init__()
        self.net = MLP(obs_size, hidden, n_actions, **mlp)

    def all_actions(self, obs: torch.Tensor) -> torch.Tensor:
        """Evaluate Q(s, a) of every action, (..., B, A)."""
        return self.net(obs)

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Evaluate Q(s, a) of the actions given, (..., B) or (..., K, B): same shape."""
        return of_actions(self.net(obs), action)


class ContinuousQCritic(QCritic):
    """Q(s, a) for actions in a box: the action is an input, and gradient flows back into it.

    >>> critic = ContinuousQCritic(4, 2, generator=torch.Generator().manual_seed(0))
    >>> critic(torch.zeros(3, 4), torch.zeros(5, 3, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        obs_size: int,
        action_size: int,
        hidden: Sequence[int] = (64, 64),
        *,
        obs_scale: Numbers = 1.0,
        **mlp: Any,
    ):
        super().__init__()
        obs_size, self.action_size = _check.count("obs_size", obs_size), _check.count("action_size", action_size)
        scale = _scale("obs_scale", obs_scale, obs_size).expand(obs_size)
        in_scale = torch.cat([scale, scale.new_ones(action_size)])
        self.net = MLP(obs_size + action_size, hidden, 1, in_scale=in_scale, **mlp)

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Evaluate Q(s, a), (..., B) for an action (..., B, D) and (..., K, B) for (..., K, B, D)."""
        batch, size = obs.shape[:-1], self.action_size
        with_k = action.ndim == obs.ndim + 1 and action.shape[:-3] + action.shape[-2:-1] == batch
        if action.shape[-1:] != (size,) or not (with_k or action.shape[:-1] == batch):
            wanted = f"{(*batch, size)} = (..., B, D), or with a K before B"
            raise ValueError(f"action has shape {tuple(action.shape)}, wanted {wanted}")
        if with_k:
            obs = obs.unsqueeze(-3).expand(*action.shape[:-1], obs.shape[-1])
        return self.net(torch.cat([obs, action], -1)).squeeze(-1)


class TwinQCritic(QCritic):
    """Two Q-critics that start differently and learn from the same targets; their value is the *smaller* of the two.

    An actor prefers the actions that its critic overrates. Where two critics disagree, the smaller value counters that
    (clipped double Q-learning: Fujimoto et al., 2018, section 4.2). `make(n_seeds=n)` makes an ordinary Q-critic. It
    is called once, for 2 · S stacked networks.

    >>> from functools import partial
    >>> make = partial(DiscreteQCritic, 4, 2, generator=torch.Generator().manual_seed(0))
    >>> twin = TwinQCritic(make, n_seeds=5)
    >>> obs, action = torch.zeros(5, 7, 4), torch.zeros(5, 7, dtype=torch.int64)
    >>> twin(obs, action).shape, twin.each(obs, action).shape
    (torch.Size([5, 7]), torch.Size([2, 5, 7]))
    """

    def __init__(self, make: Callable[..., QCritic], n_seeds: int | None = None):
        super().__init__()
        self.n_seeds = None if n_seeds is None else _check.count("n_seeds", n_seeds)
        self.both = make(n_seeds=2 * (n_seeds or 1))

    def each(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Evaluate Q(s, a) of both networks, which are both trained: (2, ..., B) or (2, ..., K, B)."""
        return self._split(self.both(self._twice("obs", obs), self._twice("action", action)))

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Evaluate the smaller Q(s, a), Equation (6.1): (..., B) or (..., K, B)."""
        return torch.minimum(*self.each(obs, action))

    def all_actions(self, obs: torch.Tensor) -> torch.Tensor:
        """Evaluate the smaller Q(s, a) of every action, (..., B, A); for discrete actions only."""
        return torch.minimum(*self._split(self.both.all_actions(self._twice("obs", obs))))

    def _twice(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Repeat the input of S seeds for the 2 · S stacked networks."""
        if self.n_seeds is None:
            return x.expand(2, *x.shape)
        if x.shape[:1] != (self.n_seeds,):
            raise ValueError(f"{name} has shape {tuple(x.shape)}, wanted ({self.n_seeds}, ...) = (S, ...)")
        return x.expand(2, *x.shape).flatten(0, 1)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output of the stacked networks as (2, S, ...), or (2, ...) without seeds."""
        return x if self.n_seeds is None else x.unflatten(0, (2, self.n_seeds))


class EvaluatedQCritic:
    """A Q-critic at `obs` alone, where Q of every action is known already: q (n, ..., B, A) of n networks.

    `each` carries the gradient of q. The value itself, the smaller of two, carries none: it is for targets and actors.

    >>> obs, q = torch.zeros(3, 4), torch.tensor([[[1.0, 2.0]] * 3, [[0.0, 5.0]] * 3])
    >>> EvaluatedQCritic(obs, q).all_actions(obs)[0]
    tensor([0., 2.])
    """

    def __init__(self, obs: torch.Tensor, q: torch.Tensor):
        self.obs, self.q = obs, q
        self.smaller = q.detach()[0] if len(q) == 1 else torch.minimum(*q.detach())

    def each(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Look up Q(s, a) of every network, (n, ..., B) or (n, ..., K, B)."""
        self._check_obs(obs)
        return of_actions(self.q, action.expand(len(self.q), *action.shape))

    def __call__(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Look up the smaller Q(s, a), (..., B) or (..., K, B)."""
        return of_actions(self.all_actions(obs), action)

    def all_actions(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the smaller Q(s, a) of every action, (..., B, A)."""
        self._check_obs(obs)
        return self.smaller

    def _check_obs(self, obs: torch.Tensor) -> None:
        if obs is not self.obs:
            raise ValueError("obs are not the observations at which this critic was evaluated")


def evaluate_together(policy: Policy, critic: nn.Module, obs: torch.Tensor) -> tuple[Pi, Any]:
    """Return π(·|s) and a critic to use at obs (S, B, obs_size), from one forward pass where that is possible.

    It is possible for discrete actions and Q-critics, where both have seeds, the same layers and the same `in_scale`.
    Other critics are returned as they are, to be evaluated later.

    >>> gen = torch.Generator().manual_seed(0)
    >>> policy = CategoricalPolicy(4, 2, (8,), n_seeds=3, generator=gen)
    >>> critic = DiscreteQCritic(4, 2, (8,), n_seeds=3, generator=gen)
    >>> pi, evaluated = evaluate_together(policy, critic, obs := torch.ones(3, 5, 4))
    >>> torch.allclose(evaluated.all_actions(obs), critic.all_actions(obs)), torch.equal(pi.probs, policy(obs).probs)
    (True, True)
    """
    single = critic.both if isinstance(critic, TwinQCritic) else critic
    if not isinstance(policy, CategoricalPolicy) or not isinstance(single, DiscreteQCritic) or obs.ndim != 3:
        return policy(obs), critic
    if not policy.net.goes_with(single.net) or len(obs) != policy.net.n_seeds:
        return policy(obs), critic
    logits, q = policy.net.forward_with(single.net, obs)
    return Categorical(logits), EvaluatedQCritic(obs, q)
