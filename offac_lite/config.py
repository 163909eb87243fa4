"""The options of a training run, each with type, default, rule and meaning; and what cannot be combined.

The module is long because all that is to be known of an option stands in one place.
"""

import difflib
import inspect
import math
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, Literal

import torch

from offac_lite import _check
from offac_lite.buffer import ReplayBuffer
from offac_lite.envs import Spaces

Prefill = ReplayBuffer | tuple[Any, int]


class SavedName(str):
    """The name of a function, network or buffer that a saved run could not hold."""


def option(default: Any, rule: Callable[[str, Any], Any], *, fixed: bool = False) -> Any:
    """Declare a field. `rule(name, value)` returns the value in its canonical form, or raises and names the option.

    A `fixed` option cannot change while training: networks, buffer or environments are made from it.
    """
    return field(default=default, metadata={"rule": rule, "fixed": fixed})


def one_of(*allowed: Any) -> Callable[[str, Any], Any]:
    """Make the rule "one of these values"."""
    return lambda name, value: _check.one_of(name, value, allowed)


def either(word: Any, rule: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """Make the rule "this word, or what `rule` accepts"."""

    def check(name: str, value: Any) -> Any:
        if type(value) is type(word) and value == word:
            return word
        try:
            return rule(name, value)
        except TypeError as error:
            raise TypeError(f"{error} (or {word!r})") from None

    return check


def _env_id(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a Gymnasium name such as 'CartPole-v1', got {value!r}")
    return value


def _function(name: str, value: Any) -> Callable | None:
    if value is not None and not isinstance(value, SavedName) and not callable(value):
        raise TypeError(f"{name} must be a function, got {value!r}")
    return value


def _scale(name: str, value: Any) -> float | tuple[float, ...]:
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a number or one per feature, got {value}")
    scale = _check.finite_tensor(name, value)
    if scale.ndim > 1:
        raise ValueError(f"{name} has shape {tuple(scale.shape)}, wanted () or (obs_size,) = one per feature")
    if not (torch.isfinite(scale.float()) & (scale.float() > 0)).all():
        raise ValueError(f"{name} must be above 0 and fit into float32, got {value}")
    return tuple(scale.tolist()) if scale.ndim else scale.item()


def _prefill(name: str, value: Any) -> Prefill | SavedName | None:
    if value is None or isinstance(value, ReplayBuffer | SavedName):
        return value
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise TypeError(f"{name} must be a ReplayBuffer or (policy, count), got {value!r}")
    policy, count = value[0], _check.count(f"the count of {name}", value[1])
    if policy is not None and not callable(policy) and not isinstance(policy, SavedName):
        probs = _check.finite_tensor(f"the policy of {name}", policy)
        if probs.ndim != 1:
            raise ValueError(f"the policy of {name} has shape {tuple(probs.shape)}, wanted (A,), one per action")
        policy = tuple(_check.probabilities(f"the policy of {name}", probs).tolist())
    return policy, count


def with_options(cls: type) -> type:
    """List in the docstring of a dataclass each of its fields with the string under it, for `help` and `?`.

    Each field must have one, and the class no other base.
    """
    try:
        source = inspect.getsource(sys.modules[cls.__module__])  # that of a class takes a tenth of a second
    except (OSError, TypeError):  # installed without its source
        return cls
    declared = source.partition(f"\nclass {cls.__name__}:\n")[2].partition("\n    def ")[0]
    lines = []
    for name, words in re.findall(r'^    (\w+): .+?\n    """(.+?)"""$', declared, re.MULTILINE | re.DOTALL):
        lines += textwrap.wrap(f"- `{name}`: {' '.join(words.split())}", 116, subsequent_indent="  ")
    cls.__doc__ = f"{inspect.getdoc(cls)}\n\n" + "\n".join(lines)
    return cls


_whole = partial(_check.count, at_least=1)
_from_zero = partial(_check.count, at_least=0)
_flag = one_of(True, False)


@with_options
@dataclass(frozen=True, kw_only=True)
class Config:
    """Every option of `train`. The defaults are made for CartPole; `Config()` is the preset `CARTPOLE`.

    Construction checks every field and refuses what cannot be combined: `TypeError` or `ValueError`, naming the option,
    the value and what was wanted. Make variants with `dataclasses.replace(config, tau=0.5)`, checked in the same way.
    Options that are "auto" depend on the environment, and are replaced before the training starts.

    >>> Config(seeds=4, tau=0.5)
    Config(seeds=4, tau=0.5)
    >>> replace(CARTPOLE, critic="v", action="stored", on_policy=True).on_policy
    True
    """

    env_id: str = option("CartPole-v1", _env_id, fixed=True)
    """Gymnasium environment, with Box observations and Discrete or Box actions."""
    seeds: int = option(16, _whole, fixed=True)
    """Number of agents, trained at once and independently of each other."""
    total_steps: int = option(40_000, _whole, fixed=True)
    """Environment steps per seed, summed over its `n_envs` environments; rounded up to a multiple of `n_envs`."""
    critic: Literal["q", "v"] = option("q", one_of("q", "v"), fixed=True)
    """"q": Q(s, a), with a′ ~ π in its target. "v": V(s), the value of the policies that wrote the data."""
    action: Literal["resampled", "stored", "importance"] = option(
        "resampled", one_of("resampled", "stored", "importance")
    )
    """Actions of the policy gradient. "resampled": drawn from π now. "stored": the buffer's. "importance": the
    buffer's, weighted by ρ = π/β."""
    action_samples: int | Literal["all"] = option(4, either("all", _whole))
    """K: resampled actions per state, or "all", the exact sum over discrete actions."""
    baseline: Literal["value", "leave-one-out", "auto"] | None = option(
        "auto", one_of(None, "value", "leave-one-out", "auto")
    )
    """What is subtracted from Q. None: nothing. "value": V. "leave-one-out": the mean Q of the other K − 1 actions.
    With critic="v", "value" gives the TD error and None the TD target. "auto": "value" for discrete or stored actions;
    "leave-one-out" for continuous resampled actions with K > 1 and the score gradient; otherwise None."""
    gradient: Literal["score", "reparameterized"] = option("score", one_of("score", "reparameterized"))
    """"score": ∇log π times a weight. "reparameterized": through resampled continuous actions; it uses no baseline."""
    next_action_samples: int | Literal["all", "auto"] = option("auto", either("all", either("auto", _whole)))
    """M: next actions a′ per target of a Q-critic, or "all". "auto": "all" for discrete actions, else 4."""
    twin: bool = option(True, _flag, fixed=True)
    """Train two Q-critics and use the smaller value."""
    tau: float = option(0.1, partial(_check.positive, at_most=1))
    """Rate of the target network; 1 means no target network."""
    gamma: float = option(0.99, _check.discount)
    """Discount per step, in [0, 1]; 1 is for tasks whose episodes end."""
    entropy_bonus: float | Literal["learned"] = option(0.05, either("learned", _check.not_negative))
    """α: weight of the policy's entropy in the actor's loss, in scaled rewards per nat. "learned": one for each seed,
    moved so that the entropy comes to `target_entropy`; it starts at 0.1 and learns as fast as the actor."""
    target_entropy: float | Literal["auto"] = option("auto", either("auto", _check.number))
    """Nats, for entropy_bonus="learned". "auto": log half − 1 for each dimension of an action between bounds 2 · half
    apart, and for discrete actions half of the largest entropy."""
    soft_target: bool = option(False, _flag)
    """Let the critic's target count α times the entropy of the actions to come, as in soft actor-critic."""
    importance_clip: float | None = option(None, either(None, _check.positive))
    """Largest ratio ρ with action="importance"; None: no limit."""
    batch_size: int = option(128, _whole)
    """N: transitions per batch. Each transition is replayed updates_per_step · batch_size / n_envs times on average."""
    updates_per_step: int = option(1, _whole)
    """Critic and actor steps after each step of the `n_envs` environments; not used with `on_policy`."""
    actor_lr: float = option(3e-4, _check.positive)
    """Learning rate of the policy."""
    critic_lr: float = option(4e-3, _check.positive)
    """Learning rate of the critic."""
    lr_decay: bool = option(True, _flag)
    """Let both learning rates fall linearly to 0."""
    hidden: tuple[int, ...] = option((32, 32), _check.sizes, fixed=True)
    """Sizes of the hidden layers of policy and critic."""
    layer_norm: bool = option(False, _flag, fixed=True)
    """Normalise each hidden layer of the critic over its units, before the ReLU; the policy's stay as they are."""
    obs_scale: float | tuple[float, ...] | Literal["auto"] = option("auto", either("auto", _scale), fixed=True)
    """Factor of the observations, or one per feature. "auto": half over each feature's standard deviation under random
    play; for CartPole the constants (0.5, 0.5, 5, 0.5)."""
    reward_scale: float = option(0.1, _check.positive)
    """Factor of the rewards that the critic learns from."""
    n_envs: int = option(8, _whole, fixed=True)
    """Environments per seed."""
    random_steps: int | Literal["auto"] = option("auto", either("auto", _from_zero))
    """Number of first steps per seed with uniform random actions. Learning starts after them. "auto": 1000, or a
    quarter of a short run; 0 with `prefill` or `on_policy`. With collect=False there are none."""
    prefill: Prefill | None = option(None, _prefill, fixed=True)
    """Old data to start from. A `ReplayBuffer` (unscaled rewards): with one ring every seed gets a copy, with S rings
    each seed gets its own. Or (policy, count): `count` transitions per seed of a policy that never learns, given as
    one probability per action, as a network, or as None for uniform."""
    collect: bool = option(True, _flag, fixed=True)
    """False: take no step, and learn from the old data alone. `total_steps` then sets only the number of updates."""
    on_policy: bool = option(False, _flag, fixed=True)
    """Learn from each batch once: wait until the buffer holds only new transitions, learn from them, discard them. It
    needs critic="v" and action="stored"; `updates_per_step` is not used."""
    capacity: int | None = option(None, either(None, _whole), fixed=True)
    """Transitions that the buffer keeps, per seed; None keeps all."""
    newest: int | None = option(None, either(None, _whole))
    """Draw batches from this many newest transitions of each seed; None: from all."""
    evaluations: int = option(20, _whole)
    """How often the policies are evaluated, evenly spread over the run."""
    eval_episodes: int = option(20, _whole, fixed=True)
    """Episodes of each evaluation, with each seed's most probable actions."""
    checkpoints: bool = option(False, _flag)
    """Keep a copy of the networks of each evaluation in `Run.checkpoints`."""
    q_target: Callable | None = option(None, _function)
    """A function of your own in place of `equations.q_target`."""
    v_target: Callable | None = option(None, _function)
    """A function of your own in place of `equations.v_target`."""
    policy_gradient_loss: Callable | None = option(None, _function)
    """A function of your own in place of `equations.policy_gradient_loss`."""
    leave_one_out: Callable | None = option(None, _function)
    """A function of your own in place of `equations.leave_one_out`."""
    resampled_loss: Callable | None = option(None, _function)
    """The loss of the whole actor step: `resampled_loss(policy, critic, obs, stored_action, action_samples,
    generator)`. The entropy bonus is added to it."""
    seed: int = option(0, _from_zero, fixed=True)
    """Starts all random streams."""
    device: str = option("cpu", lambda name, value: str(value), fixed=True)
    """PyTorch device of networks and batches; environments and buffer stay on the CPU."""
    threads: int = option(1, _whole)
    """PyTorch's threads while it trains; the number set before is restored. More gain nothing for small networks."""

    def __post_init__(self) -> None:
        """Check every field, bring it into its one form, and refuse what cannot be combined in any environment."""
        for f in fields(self):
            object.__setattr__(self, f.name, f.metadata["rule"](f.name, getattr(self, f.name)))
        self._refuse_conflicts(discrete=None)

    def resolve(self, spaces: Spaces) -> "Config":
        """Replace each "auto" for an environment of `spaces`, and refuse what cannot be combined there.

        Only `obs_scale="auto"` stays: it is measured by playing the environment, see `play.auto_obs_scale`.

        >>> from offac_lite.envs import VectorEnv
        >>> resolved = CARTPOLE.resolve(VectorEnv("CartPole-v1", 1).spaces)
        >>> resolved.baseline, resolved.next_action_samples, resolved.random_steps
        ('value', 'all', 1000)
        """
        for name in OWN_FUNCTIONS:
            if isinstance(value := getattr(self, name), SavedName):
                raise TypeError(f"{name} must be a function, got {str(value)!r}, the name of one in a saved run")
        discrete, baseline, scale = spaces.n_actions is not None, self.baseline, self.obs_scale
        if baseline == "auto" and (discrete or self.uses_stored_actions):
            baseline = "value"
        elif baseline == "auto":
            baseline = "leave-one-out" if self.gradient == "score" and self.action_samples != 1 else None
        next_action_samples, random_steps = self.next_action_samples, self.random_steps
        if next_action_samples == "auto":
            next_action_samples = "all" if discrete else 4
        if random_steps == "auto":
            random_steps = 0 if self.prefill is not None or self.on_policy else min(1000, self.total_steps // 4)
        if isinstance(scale, float):
            scale = (scale,) * spaces.obs_size
        if isinstance(scale, tuple) and len(scale) != spaces.obs_size:
            raise ValueError(
                f"obs_scale has shape ({len(scale)},), wanted () or ({spaces.obs_size},) = one per feature"
            )
        config = replace(
            self,
            baseline=baseline,
            next_action_samples=next_action_samples,
            random_steps=random_steps,
            obs_scale=scale,
            target_entropy=_target_entropy(spaces) if self.target_entropy == "auto" else self.target_entropy,
        )
        config._refuse_conflicts(discrete)
        return config

    def _refuse_conflicts(self, discrete: bool | None) -> None:
        for impossible, words in CONFLICTS:
            if impossible(self, discrete):
                raise ValueError(words.format(c=self))

    @property
    def uses_stored_actions(self) -> bool:
        """Whether the policy gradient is taken at the buffer's actions."""
        return self.action != "resampled"

    @property
    def samples_actions(self) -> bool:
        """Whether the actor step draws actions and weights ∇log π with what the critic says of them."""
        return not self.uses_stored_actions and self.gradient == "score" and self.action_samples != "all"

    @property
    def n_iterations(self) -> int:
        """Steps of the environments in a run."""
        return math.ceil(self.total_steps / self.n_envs)

    @property
    def largest_prefill(self) -> int:
        """Old transitions of the seed that gets most of them."""
        if isinstance(self.prefill, ReplayBuffer):
            return max(self.prefill.lengths)
        return self.prefill[1] if isinstance(self.prefill, tuple) else 0

    @property
    def ever_stored(self) -> int:
        """Transitions of the seed that gets fewest, old ones and collected ones."""
        old = len(self.prefill) if isinstance(self.prefill, ReplayBuffer) else self.largest_prefill
        return old + self.total_steps if self.collect else old

    def to_json(self) -> dict[str, Any]:
        """Return the options as what JSON can hold. Functions, networks and buffers go by their name.

        >>> Config.from_json(CARTPOLE.to_json()) == CARTPOLE
        True
        """
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, options: Mapping[str, Any]) -> "Config":
        """Make the config that `to_json` wrote. A function saved by name stays a name, and cannot be trained with."""
        options = dict(options)
        for name in OWN_FUNCTIONS:
            options[name] = _named(options[name])
        old = options["prefill"]
        options["prefill"] = (_named(old[0]), old[1]) if isinstance(old, list) else _named(old)
        return cls(**options)

    def __repr__(self) -> str:
        """The options that differ from the defaults."""
        changed = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return f"Config({', '.join(f'{name}={name_of(value) or repr(value)}' for name, value in changed)})"


OWN_FUNCTIONS = ("q_target", "v_target", "policy_gradient_loss", "leave_one_out", "resampled_loss")
FIXED = tuple(f.name for f in fields(Config) if f.metadata["fixed"])

CONFLICTS: list[tuple[Callable[[Config, bool | None], Any], str]] = [
    # Each row: a test and an error message. The test gets the config and `discrete` (None: not known yet), and is true
    # for what cannot be.
    (
        lambda c, discrete: c.critic == "v" and not c.uses_stored_actions,
        'critic="v" cannot be combined with action="resampled": the advantage of V, r + γV(s′) − V(s), holds the '
        "reward and the next state of the *stored* action. It does not hold for an action resampled now. Use "
        'critic="q", which rates any action',
    ),
    (
        lambda c, discrete: c.gradient == "reparameterized" and (discrete or c.uses_stored_actions),
        'gradient="reparameterized" goes through a resampled continuous action: it needs action="resampled", and a '
        "discrete action has no derivative",
    ),
    (
        lambda c, discrete: c.action_samples == "all" and discrete is False,
        'action_samples="all" sums over all actions, which only discrete actions allow',
    ),
    (
        lambda c, discrete: c.next_action_samples == "all" and discrete is False,
        'next_action_samples="all" sums over all actions, which only discrete actions allow',
    ),
    (
        lambda c, discrete: (
            c.baseline == "leave-one-out" and c.gradient == "score" and (c.uses_stored_actions or c.action_samples == 1)
        ),
        'baseline="leave-one-out" averages over the other resampled actions: it needs action="resampled" and '
        "action_samples of at least 2",
    ),
    (
        lambda c, discrete: (
            c.baseline == "value" and c.gradient == "score" and discrete is False and not c.uses_stored_actions
        ),
        'baseline="value" for resampled actions sums over all of them, which only discrete actions allow: take '
        '"leave-one-out"',
    ),
    (
        lambda c, discrete: c.entropy_bonus and c.uses_stored_actions and discrete is False,
        "entropy_bonus with stored continuous actions is not supported: set entropy_bonus=0",
    ),
    (
        lambda c, discrete: c.soft_target and c.critic != "q",
        'soft_target=True changes the target of a Q-critic: it needs critic="q"',
    ),
    (
        lambda c, discrete: c.on_policy and (c.critic, c.action) != ("v", "stored"),
        'on_policy=True is the on-policy actor-critic: it needs critic="v" and action="stored"',
    ),
    (
        lambda c, discrete: c.on_policy and (c.prefill is not None or not c.collect),
        "on_policy=True uses fresh data only: it takes neither prefill nor collect=False",
    ),
    (
        lambda c, discrete: not c.collect and c.prefill is None,
        "collect=False leaves nothing to learn from: give old data with prefill",
    ),
    (
        lambda c, discrete: c.on_policy and c.batch_size < c.n_envs,
        "batch_size = {c.batch_size} is less than n_envs = {c.n_envs}, the transitions that on_policy=True collects at "
        "a time",
    ),
    (
        lambda c, discrete: c.on_policy and c.random_steps not in ("auto", 0),
        "on_policy=True learns from the actions of its own policy: random_steps must be 0",
    ),
    (
        lambda c, discrete: c.random_steps != "auto" and c.random_steps >= c.total_steps,
        "random_steps = {c.random_steps} of total_steps = {c.total_steps} leaves no step to learn in",
    ),
    (
        lambda c, discrete: c.capacity is not None and c.capacity < c.n_envs,
        "capacity must be at least {c.n_envs} = n_envs, got {c.capacity}",
    ),
    (
        lambda c, discrete: c.capacity is not None and c.capacity < c.batch_size,
        "capacity must be at least {c.batch_size} = batch_size, got {c.capacity}",
    ),
    (
        lambda c, discrete: c.ever_stored < c.batch_size and not isinstance(c.prefill, SavedName),
        "batch_size = {c.batch_size} is more than the {c.ever_stored} transitions ever stored",
    ),
    (
        lambda c, discrete: c.capacity is not None and c.largest_prefill > c.capacity,
        "prefill has {c.largest_prefill} transitions per seed, more than capacity = {c.capacity}",
    ),
    (
        lambda c, discrete: c.newest is not None and c.on_policy,
        "on_policy=True learns from each batch once: newest has no meaning there",
    ),
    (
        lambda c, discrete: c.evaluations > c.n_iterations,
        "evaluations = {c.evaluations} is more than the {c.n_iterations} steps of an environment, total_steps / n_envs",
    ),
    (
        lambda c, discrete: c.resampled_loss and not c.samples_actions,
        'resampled_loss takes the place of the actor step with action="resampled", gradient="score" and a number of '
        "action_samples",
    ),
    (
        lambda c, discrete: c.q_target and c.critic != "q",
        'q_target would never be called: it needs critic="q"',
    ),
    (
        lambda c, discrete: c.v_target and c.critic != "v",
        'v_target would never be called: it needs critic="v"',
    ),
    (
        lambda c, discrete: (
            c.policy_gradient_loss
            and (c.resampled_loss or c.gradient != "score" or not (c.samples_actions or c.uses_stored_actions))
        ),
        'policy_gradient_loss would never be called: it needs gradient="score", a number of action_samples and no '
        "resampled_loss",
    ),
    (
        lambda c, discrete: (
            c.leave_one_out
            and (
                c.resampled_loss
                or not c.samples_actions
                or not (c.baseline == "leave-one-out" or (c.baseline == "auto" and discrete is None))
            )
        ),
        'leave_one_out would never be called: it needs baseline="leave-one-out", a number of action_samples and no '
        "resampled_loss",
    ),
]

CARTPOLE = Config()
"""Learns CartPole-v1: the defaults."""
PENDULUM = Config(
    env_id="Pendulum-v1",
    total_steps=12_000,
    n_envs=4,
    updates_per_step=2,
    action_samples=8,
    actor_lr=1e-3,
    tau=0.05,
    entropy_bonus=0.02,
)
"""Learns Pendulum-v1."""


SAC_PENDULUM = replace(
    PENDULUM,
    gradient="reparameterized",
    action_samples=1,
    next_action_samples=1,
    entropy_bonus="learned",
    soft_target=True,
)
"""Soft actor-critic (Haarnoja et al., 2018b), for Pendulum-v1."""


def changed(config: Config | str, changes: Mapping[str, Any]) -> Config:
    """Return `config`, or the defaults for an environment named by it, with some options changed.

    Raises `TypeError` for what is no option, and suggests the option that was meant.

    >>> changed("Pendulum-v1", {"gama": 0.9})
    Traceback (most recent call last):
    TypeError: train has no option gama; did you mean gamma?
    """
    names = [f.name for f in fields(Config)]
    if unknown := [name for name in changes if name not in names]:
        near = [difflib.get_close_matches(name, names, 1) for name in unknown]
        hint = f"did you mean {', '.join(n[0] for n in near)}?" if all(near) else f"it has {', '.join(names)}"
        raise TypeError(f"train has no option {', '.join(unknown)}; {hint}")
    if isinstance(config, Config):
        return replace(config, **changes)
    return Config(**{"env_id": config, **changes})


def name_of(value: Any) -> str | None:
    """Return the name of a function, or None for what has no name."""
    return getattr(value, "__name__", None)


def _target_entropy(spaces: Spaces) -> float:
    if spaces.n_actions is not None:
        return 0.5 * math.log(spaces.n_actions)
    return sum(math.log((high - low) / 2) - 1 for low, high in zip(spaces.low, spaces.high, strict=True))


def _plain(value: Any) -> Any:
    """Return what JSON can hold of an option's value."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return name_of(value) or repr(value)


def _named(value: Any) -> Any:
    return SavedName(value) if isinstance(value, str) else value
