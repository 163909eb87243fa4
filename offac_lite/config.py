"""The options of a training run: what they must be, and what "auto" means."""

import math
import textwrap

import torch

from offac_lite import _check, prefill
from offac_lite.envs import VectorEnv
from offac_lite.play import choose

OBS_SCALES = {"CartPole-v1": (0.5, 0.5, 5.0, 0.5)}  # position, velocity, angle, angular velocity: comparable sizes
OWN_FUNCTIONS = ("q_target", "v_target", "policy_gradient_loss", "leave_one_out", "resampled_loss")

_WHY_NOT = """critic="v" cannot be combined with action="resampled": the advantage of V, r + γV(s′) − V(s), holds the \
reward and the next state of the *stored* action, and says nothing of an action resampled now. To rate any action one \
needs critic="q" """.strip()


class Config(dict):
    """Every argument of `train`, its defaults filled in: `train(**config)` asks for the same again.

    It prints as that call.

    >>> Config(env_id="CartPole-v1", seeds=4)
    train('CartPole-v1', seeds=4)
    """

    def __repr__(self) -> str:
        """The call of `train` that this is."""
        shown = [f"{name}={written(value)}" for name, value in self.items() if name != "env_id"]
        call = f"train({', '.join([repr(self['env_id']), *shown])})"
        return textwrap.fill(call, 100, subsequent_indent="      ", break_long_words=False)


def name_of(value) -> str | None:
    """Return the name of a function; None for what has none."""
    return getattr(value, "__name__", None)


def written(value) -> str:
    """Write an option as the call that `Config` prints has it, and as a saved run keeps what JSON does not know."""
    return name_of(value) or repr(value)


def describe(env: VectorEnv) -> dict:
    """Say what networks need to know of an environment: `obs_size`, and `n_actions` or the bounds `low`, `high`.

    Raises `ValueError` for observations that are not a Box and for actions without finite bounds.

    >>> describe(VectorEnv("CartPole-v1", 1))
    {'obs_shape': [4], 'obs_size': 4, 'action_shape': [], 'n_actions': 2, 'low': None, 'high': None}
    """
    if env.n_obs is not None:
        raise ValueError(f"the observation space of {env.env_id} is Discrete({env.n_obs}): train needs a Box")
    spaces = {
        "obs_shape": list(env.obs_shape),
        "obs_size": math.prod(env.obs_shape),
        "action_shape": list(env.action_shape),
        "n_actions": env.n_actions,
    }
    if env.n_actions is not None:
        return spaces | {"low": None, "high": None}
    low, high = env.action_low, env.action_high
    if not (torch.isfinite(low).all() and torch.isfinite(high).all()):
        raise ValueError(
            f"the actions of {env.env_id} reach from {low.tolist()} to {high.tolist()}: train needs finite bounds"
        )
    return spaces | {"low": low.flatten().tolist(), "high": high.flatten().tolist()}


def settle(config: Config, spaces: dict) -> None:
    """Fill in what is "auto", in place. Raises `TypeError` or `ValueError` for what makes no sense."""
    discrete = spaces["n_actions"] is not None
    config["device"] = _check.device("device", config["device"])
    for name in ("seeds", "total_steps", "batch_size", "updates_per_step", "n_envs", "evaluations", "eval_episodes"):
        config[name] = _check.count(name, config[name])
    _check.choice("critic", config["critic"], ("q", "v"))
    _check.choice("action", config["action"], ("resampled", "stored", "importance"))
    _check.choice("baseline", config["baseline"], (None, "value", "leave-one-out", "auto"))
    _check.choice("gradient", config["gradient"], ("score", "reparameterized"))
    for name in ("twin", "lr_decay", "collect", "on_policy", "checkpoints", "progress"):
        _check.choice(name, config[name], (True, False))
    config["gamma"] = _check.discount("gamma", config["gamma"])
    for name, low, high in (
        ("tau", 0, 1),
        ("actor_lr", 0, math.inf),
        ("critic_lr", 0, math.inf),
        ("reward_scale", 0, math.inf),
    ):
        config[name] = _check.number(name, config[name])
        if not low < config[name] <= high:
            limits = f"above {low}" + f" and at most {high}" * (high == 1)
            raise ValueError(f"{name} must be {limits}, got {config[name]}")
    config["entropy_bonus"] = _check.not_negative("entropy_bonus", config["entropy_bonus"])
    if config["importance_clip"] is not None:
        config["importance_clip"] = _check.positive("importance_clip", config["importance_clip"])
    config["hidden"] = list(_check.sizes("hidden", config["hidden"]))

    stored = config["action"] != "resampled"
    if config["critic"] == "v" and not stored:
        raise ValueError(_WHY_NOT)
    if config["gradient"] == "reparameterized" and (discrete or stored):
        raise ValueError(
            'gradient="reparameterized" goes through a resampled continuous action: it needs '
            'action="resampled", and a discrete action has no derivative'
        )
    if config["next_action_samples"] == "auto":
        config["next_action_samples"] = "all" if discrete else 4
    for name in ("action_samples", "next_action_samples"):
        if config[name] != "all":
            config[name] = _check.count(name, config[name])
        elif not discrete:
            raise ValueError(f'{name}="all" sums over all actions, which only discrete actions allow')
    score = config["gradient"] == "score"  # the other gradient needs no baseline, and takes no notice of it
    if config["baseline"] == "auto":
        without = not score or config["action_samples"] == 1
        config["baseline"] = "value" if discrete or stored else None if without else "leave-one-out"
    if config["baseline"] == "leave-one-out" and score and (stored or config["action_samples"] == 1):
        raise ValueError(
            'baseline="leave-one-out" averages over the other resampled actions: it needs '
            'action="resampled" and action_samples of at least 2'
        )
    if config["baseline"] == "value" and score and not discrete and not stored:
        raise ValueError(
            'baseline="value" for resampled actions sums over all of them, which only discrete actions '
            'allow: take "leave-one-out"'
        )
    if config["entropy_bonus"] and stored and not discrete:
        raise ValueError("entropy_bonus with stored continuous actions is not supported: set entropy_bonus=0")
    if config["on_policy"] and (config["critic"], config["action"]) != ("v", "stored"):
        raise ValueError('on_policy=True is the on-policy actor-critic: it needs critic="v" and action="stored"')
    if config["on_policy"] and (config["prefill"] is not None or not config["collect"]):
        raise ValueError("on_policy=True uses fresh data only: it takes neither prefill nor collect=False")
    if not config["collect"] and config["prefill"] is None:
        raise ValueError("collect=False leaves nothing to learn from: give old data with prefill")
    if config["random_steps"] == "auto":
        old_or_fresh = config["prefill"] is not None or config["on_policy"]
        config["random_steps"] = 0 if old_or_fresh else min(1000, config["total_steps"] // 4)
    config["random_steps"] = _check.count("random_steps", config["random_steps"], at_least=0)
    if config["on_policy"] and config["batch_size"] < config["n_envs"]:
        raise ValueError(
            f"batch_size = {config['batch_size']} is less than n_envs = {config['n_envs']}, the "
            "transitions that on_policy=True collects at a time"
        )
    if config["on_policy"] and config["random_steps"]:
        raise ValueError("on_policy=True learns from the actions of its own policy: random_steps must be 0")
    if config["random_steps"] >= config["total_steps"]:
        raise ValueError(
            f"random_steps = {config['random_steps']} of total_steps = {config['total_steps']} leaves none to learn in"
        )
    if config["capacity"] is not None:
        least = max(config["batch_size"], config["n_envs"])
        config["capacity"] = _check.count("capacity", config["capacity"], at_least=least)
    n_old = prefill.settle(config, spaces)
    ever = n_old + config["total_steps"] * config["collect"]
    if ever < config["batch_size"]:
        raise ValueError(f"batch_size = {config['batch_size']} is more than the {ever} transitions ever stored")
    if config["capacity"] is not None and (most := prefill.most(config["prefill"])) > config["capacity"]:
        raise ValueError(f"prefill has {most} transitions per seed, more than capacity = {config['capacity']}")
    if config["evaluations"] > (rounds := math.ceil(config["total_steps"] / config["n_envs"])):
        raise ValueError(
            f"evaluations = {config['evaluations']} is more than the {rounds} steps of an environment, "
            "total_steps / n_envs"
        )
    for name in OWN_FUNCTIONS:
        if config[name] is not None:
            _check.function(name, config[name])
    sampled_score = not stored and score and config["action_samples"] != "all"
    if config["resampled_loss"] is not None and not sampled_score:
        raise ValueError(
            'resampled_loss takes the place of the actor step with action="resampled", gradient="score" '
            "and a number of action_samples"
        )
    _refuse_unused_functions(config)
    config["obs_scale"] = _obs_scale(config["obs_scale"], config["env_id"], spaces["obs_size"])


def _refuse_unused_functions(config: Config) -> None:
    """Raise `ValueError` where a function of the user's own would never be called."""
    resampled, sampled = config["action"] == "resampled", config["action_samples"] != "all"
    whole_step, pathwise = config["resampled_loss"] is not None, config["gradient"] == "reparameterized"
    used_where = {
        "q_target": (config["critic"] == "q", 'critic="q"'),
        "v_target": (config["critic"] == "v", 'critic="v"'),
        "policy_gradient_loss": (
            not whole_step and not pathwise and (sampled or not resampled),
            'gradient="score", a number of action_samples and no resampled_loss',
        ),
        "leave_one_out": (
            config["baseline"] == "leave-one-out" and not whole_step and not pathwise and sampled,
            'baseline="leave-one-out", a number of action_samples and no resampled_loss',
        ),
    }
    for name, (used, where) in used_where.items():
        if config[name] is not None and not used:
            raise ValueError(f"{name} would never be called: it needs {where}")


def _obs_scale(value, env_id: str, size: int) -> list[float]:
    """Return one factor per feature; "auto" plays at random to find the features' spread."""
    if isinstance(value, str) and value == "auto":
        value = OBS_SCALES.get(env_id)
        if value is None:
            env, generator = VectorEnv(env_id, 8), torch.Generator().manual_seed(0)
            seen = [env.reset().reshape(8, -1)]
            for _ in range(250):
                seen.append(env.step(choose(None, env, generator)[0]).next_obs.reshape(8, -1))
            env.close()
            spread = torch.cat(seen).double().std(0)
            value = [float(f"{0.5 / s:.2g}") if s > 1e-6 else 1.0 for s in spread.tolist()]
    if isinstance(value, bool):
        raise TypeError(f"obs_scale must be a number or one per feature, got {value}")
    scale = _check.finite_tensor("obs_scale", value)
    if scale.shape not in ((), (size,)):
        raise ValueError(f"obs_scale has shape {tuple(scale.shape)}, wanted () or ({size},) = one per feature")
    if not (torch.isfinite(scale.float()) & (scale.float() > 0)).all():
        raise ValueError(f"obs_scale must be above 0, and a float32, got {value}")
    return scale.expand(size).tolist()
