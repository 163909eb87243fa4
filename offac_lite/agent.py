"""The networks of S agents, and the critic step and the actor step that the options of a run ask for."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Adam

from offac_lite import updates
from offac_lite.buffer import Transition
from offac_lite.config import Config
from offac_lite.networks import (
    Categorical,
    CategoricalPolicy,
    ContinuousQCritic,
    DiscreteQCritic,
    Policy,
    TanhGaussianPolicy,
    TwinQCritic,
    VCritic,
)


def make_networks(config: Config, spaces: dict, generator: torch.Generator) -> tuple[Policy, torch.nn.Module]:
    """Make the policy and the critic of `config` for an environment of `spaces` (see `config.describe`)."""
    size, n_actions, hidden, scale = spaces["obs_size"], spaces["n_actions"], config["hidden"], config["obs_scale"]
    many = {"n_seeds": config["seeds"], "generator": generator}
    make: Callable[..., torch.nn.Module]
    if n_actions is not None:
        policy: Policy = CategoricalPolicy(size, n_actions, hidden, in_scale=scale, **many)
        make = functools.partial(DiscreteQCritic, size, n_actions, hidden, in_scale=scale, generator=generator)
    else:
        low, high = spaces["low"], spaces["high"]
        policy = TanhGaussianPolicy(size, low, high, hidden, in_scale=scale, **many)
        make = functools.partial(ContinuousQCritic, size, len(low), hidden, obs_scale=scale, generator=generator)
    policy.obs_shape, policy.action_shape = tuple(spaces["obs_shape"]), tuple(spaces["action_shape"])
    if config["critic"] == "v":
        return policy, VCritic(size, hidden, in_scale=scale, **many)
    return policy, TwinQCritic(make, config["seeds"]) if config["twin"] else make(n_seeds=config["seeds"])


class Agent:
    """S policies and critics, their target networks and optimisers; `config` says how they learn.

    `generator`, of the device of `config`, draws every action; `init_generator`, on the CPU, the first parameters.
    """

    def __init__(self, config: Config, spaces: dict, generator: torch.Generator, init_generator: torch.Generator):
        self.config, self.generator = config, generator
        policy, critic = make_networks(config, spaces, init_generator)
        self.policy, self.critic = policy.to(config["device"]), critic.to(config["device"])
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.optimizer = Adam(self.policy.parameters(), config["actor_lr"], fused=True)
        self.critic_optimizer = Adam(self.critic.parameters(), config["critic_lr"], fused=True)

    def function(self, name: str):
        """Return the user's function of that name, or else the course's."""
        return self.config[name] or getattr(updates, name)

    def critic_step(self, batch: Transition) -> torch.Tensor:
        """Take the critic step that the options ask for, and return the loss (S,)."""
        c, gamma = self.config, self.config["gamma"]
        if c["critic"] == "q":
            return updates.critic_step(
                self.critic,
                self.target_critic,
                self.policy,
                self.critic_optimizer,
                batch,
                gamma=gamma,
                next_action_samples=c["next_action_samples"],
                generator=self.generator,
                q_target=self.function("q_target"),
            )
        return updates.v_critic_step(
            self.critic,
            self.target_critic,
            self.critic_optimizer,
            batch,
            gamma=gamma,
            weight=self.weight(batch),
            v_target=self.function("v_target"),
        )

    def actor_step(self, batch: Transition) -> torch.Tensor:
        """Take the actor step that the options ask for, and return the loss (S,), which means nothing."""
        c, draw = self.config, {"action_samples": self.config["action_samples"], "generator": self.generator}
        bonus, loss = c["entropy_bonus"], self.function("policy_gradient_loss")
        if c["action"] != "resampled":
            return updates.stored_actor_step(
                self.policy,
                self.optimizer,
                batch,
                self.stored_advantage(batch),
                weight=self.weight(batch),
                entropy_bonus=bonus,
                policy_gradient_loss=loss,
            )
        actor = self.policy, self.critic, self.optimizer, batch.obs
        if c["gradient"] == "reparameterized":
            return updates.reparameterized_actor_step(*actor, **draw, entropy_bonus=bonus)
        if c["resampled_loss"] is not None:
            return self.own_actor_step(batch)
        own = {"policy_gradient_loss": loss, "leave_one_out": self.function("leave_one_out")}
        return updates.actor_step(*actor, **draw, baseline=c["baseline"], entropy_bonus=bonus, **own)

    def own_actor_step(self, batch: Transition) -> torch.Tensor:
        """Take the actor step down a loss of the user's own, plus the entropy bonus."""
        c = self.config
        loss = c["resampled_loss"](
            self.policy, self.critic, batch.obs, batch.action, c["action_samples"], self.generator
        )
        loss = loss.expand(c["seeds"])  # one number for all seeds: their mean, with the gradient of each
        if c["entropy_bonus"]:
            loss = loss - c["entropy_bonus"] * self.entropy(batch.obs, self.generator).mean(-1)
        return updates.descend(self.optimizer, loss)

    @torch.no_grad()
    def weight(self, batch: Transition) -> torch.Tensor | None:
        """ρ = π(a|s) / β(a|s) of the stored actions, (S, B), where the options ask for it."""
        if self.config["action"] != "importance":
            return None
        log_prob = self.policy(batch.obs).log_prob(batch.action)
        return updates.importance_ratio(log_prob, batch.log_prob, self.config["importance_clip"])

    @torch.no_grad()
    def stored_advantage(self, batch: Transition) -> torch.Tensor:
        """Rate the stored actions, (S, B): the TD error of V, or Q − V; without a baseline the TD target, or Q."""
        c, with_baseline = self.config, self.config["baseline"] == "value"
        if c["critic"] == "v":
            next_value = self.critic(batch.next_obs)
            target = self.function("v_target")(batch.reward, batch.terminated, next_value, c["gamma"])
            return target - self.critic(batch.obs) if with_baseline else target
        q = self.critic(batch.obs, batch.action)
        return q - self.value(batch.obs, self.generator) if with_baseline else q

    @torch.no_grad()
    def value(self, obs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Estimate V^π(s), (S, B): by V, by Σ π Q, or by the mean Q of actions that `generator` draws from π."""
        if self.config["critic"] == "v":
            return self.critic(obs)
        pi = self.policy(obs)
        if isinstance(pi, Categorical):
            return (pi.probs * self.critic.all_actions(obs)).sum(-1)
        return self.critic(obs, pi.sample(self.config["action_samples"], generator=generator)).mean(-2)

    def entropy(self, obs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Estimate the entropy of π(·|s) in nats, (S, B): exact for discrete actions, else by one sample."""
        pi = self.policy(obs)
        return pi.entropy() if isinstance(pi, Categorical) else -pi.log_prob(pi.rsample(generator=generator))

    def anneal(self, fraction: float) -> None:
        """Set both learning rates to `fraction` of what they were at first."""
        self.optimizer.param_groups[0]["lr"] = fraction * self.config["actor_lr"]
        self.critic_optimizer.param_groups[0]["lr"] = fraction * self.config["critic_lr"]

    @torch.no_grad()
    def broken(self, obs: torch.Tensor) -> torch.Tensor:
        """Say which seeds hold a parameter, or make of obs (S, B, obs_size) a policy, that is not finite, (S,) bool."""
        seeds = self.config["seeds"]
        rows = [p.reshape(-1, seeds, p.shape[-1]) for net in (self.policy, self.critic) for p in net.parameters()]
        broken = torch.stack([~torch.isfinite(row).all(-1).all(0) for row in rows]).any(0)
        return broken | ~torch.isfinite(self.policy.net(obs)).flatten(1).all(1)

    @torch.no_grad()
    def retire(self, seeds: torch.Tensor) -> None:
        """Give up the seeds (S,) bool: all their numbers are 0 from now on, a uniform policy and Q = 0."""
        optimizers = self.optimizer, self.critic_optimizer
        for optimizer in optimizers:
            group = optimizer.param_groups[0]
            group["alive"] = ~seeds & group.get("alive", ~seeds)
        networks = self.policy, self.critic, self.target_critic
        numbers = [p for network in networks for p in network.parameters()]
        for optimizer in optimizers:
            numbers += [t for state in optimizer.state.values() for t in state.values() if t.ndim]
        for number in numbers:
            number.view(-1, len(seeds), number.shape[-1])[:, seeds] = 0

    def try_own_functions(self) -> None:
        """Call the user's functions on a small batch; raise `ValueError` or `TypeError` where one cannot be used."""
        c, seeds, n_batch = self.config, self.config["seeds"], 5
        generator = torch.Generator(self.generator.device).manual_seed(0)
        like: dict[str, Any] = {"generator": generator, "device": generator.device}
        rows = torch.rand(seeds, n_batch, **like)
        k = c["action_samples"] if isinstance(c["action_samples"], int) and c["action"] == "resampled" else 1
        several = torch.rand(seeds, k, n_batch, **like)
        m = () if c["next_action_samples"] == "all" else (c["next_action_samples"],)
        next_q = torch.rand(seeds, *m, n_batch, **like)
        log_prob = several.log().requires_grad_()
        obs = torch.rand(seeds, n_batch, self.policy.net.in_size, **like)
        stored = self.policy(obs).sample(generator=generator)
        trials = {
            "q_target": ((rows, rows > 0.5, next_q, c["gamma"]), (seeds, n_batch)),
            "v_target": ((rows, rows > 0.5, rows, c["gamma"]), (seeds, n_batch)),
            "policy_gradient_loss": ((log_prob, several), (seeds,)),
            "leave_one_out": ((several,), (seeds, k, n_batch)),
            "resampled_loss": ((self.policy, self.critic, obs, stored, k, generator), (seeds,)),
        }
        for name, (arguments, shape) in trials.items():
            if c[name] is None:
                continue
            try:
                result = c[name](*arguments)
            except Exception as error:
                raise ValueError(f"{name} raised {type(error).__name__} on a small batch: {error}") from error
            _check_result(name, result, shape, or_one=name == "resampled_loss")
            if name == "policy_gradient_loss":
                _check_gradient(name, result, log_prob)
            if name == "resampled_loss":
                _check_gradient(name, result, self.policy.net.theta)


def _check_result(name: str, result, shape: tuple[int, ...], or_one: bool) -> None:
    if not isinstance(result, torch.Tensor):
        raise TypeError(f"{name} returned {result!r}, wanted a tensor of shape {shape}")
    if result.shape != shape and not (or_one and result.shape == ()):
        raise ValueError(f"{name} returned shape {tuple(result.shape)}, wanted {shape}" + " or ()" * or_one)
    if not torch.isfinite(result).all():
        raise ValueError(f"{name} returned NaN or infinity for ordinary numbers")


def _check_gradient(name: str, loss: torch.Tensor, learned: torch.Tensor) -> None:
    gradient = None
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss.sum(), learned, allow_unused=True)
    if gradient is None:
        raise ValueError(f"{name} returned a loss whose gradient does not reach the policy: nothing would be learned")
    if not torch.isfinite(gradient).all():
        raise ValueError(f"{name} returned a loss whose gradient holds NaN or infinity for ordinary numbers")
