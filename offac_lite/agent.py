"""The networks of S agents with their optimiser, and the update that the options of a run ask for."""

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from offac_lite import equations, updates
from offac_lite.buffer import Transition
from offac_lite.config import OWN_FUNCTIONS, Config
from offac_lite.envs import Spaces
from offac_lite.networks import (
    Categorical,
    CategoricalPolicy,
    ContinuousQCritic,
    DiscreteQCritic,
    Pi,
    Policy,
    TanhGaussianPolicy,
    TwinQCritic,
    VCritic,
    evaluate_together,
)


def make_networks(config: Config, spaces: Spaces, generator: torch.Generator) -> tuple[Policy, torch.nn.Module]:
    """Make the policy and the critic that `config` asks for, in an environment of `spaces`."""
    size, hidden, scale, seeds = spaces.obs_size, config.hidden, config.obs_scale, config.seeds
    of_critic: dict[str, Any] = {"layer_norm": config.layer_norm, "generator": generator}
    make: Callable[..., Any]
    if spaces.n_actions is not None:
        n_actions = spaces.n_actions
        policy: Policy = CategoricalPolicy(size, n_actions, hidden, in_scale=scale, n_seeds=seeds, generator=generator)
        make = functools.partial(DiscreteQCritic, size, n_actions, hidden, in_scale=scale, **of_critic)
    else:
        low, high = spaces.low, spaces.high
        policy = TanhGaussianPolicy(size, low, high, hidden, in_scale=scale, n_seeds=seeds, generator=generator)
        make = functools.partial(ContinuousQCritic, size, len(low), hidden, obs_scale=scale, **of_critic)
    policy.obs_shape, policy.action_shape = spaces.obs_shape, spaces.action_shape
    if config.critic == "v":
        return policy, VCritic(size, hidden, in_scale=scale, n_seeds=seeds, **of_critic)
    return policy, TwinQCritic(make, seeds) if config.twin else make(n_seeds=seeds)


class Agent:
    """S policies and critics, their target networks and optimiser; `config` says how they learn.

    `generator`, on the device of `config`, draws every action; `init_generator`, on the CPU, the first parameters.
    """

    def __init__(self, config: Config, spaces: Spaces, generator: torch.Generator, init_generator: torch.Generator):
        self.config, self.generator = config, generator
        policy, critic = make_networks(config, spaces, init_generator)
        self.policy = policy.to(config.device)
        self.critic: Any = critic.to(config.device)  # a QCritic, or with critic="v" a VCritic
        self.target_critic: Any = copy.deepcopy(self.critic).requires_grad_(False)
        actor = {"params": self.policy.parameters(), "lr": config.actor_lr}
        self.log_alpha = torch.nn.Parameter(torch.full((config.seeds, 1), math.log(0.1), device=config.device))
        critics = {"params": self.critic.parameters(), "lr": config.critic_lr}
        self.optimizer = Adam([actor, critics, {"params": [self.log_alpha], "lr": config.actor_lr}], fused=True)
        self.alive: Tensor | None = None  # (S,) bool once a seed was stopped

    @torch.enable_grad()  # whatever torch.set_grad_enabled says
    def update(self, batch: Transition) -> Tensor:
        """Take the critic step and the actor step that the options ask for, and return the critic's loss (S,).

        Both gradients are computed with the networks as they are, and one optimiser step moves both. So the actor
        learns from the critic before its step.
        """
        pi, critic = evaluate_together(self.policy, self.critic, batch.obs)  # π and Q at s
        critic_loss = self.critic_loss(pi, critic, batch)
        loss = critic_loss + self.actor_loss(pi, critic, batch)
        if self.config.entropy_bonus == "learned":
            loss = loss + self.entropy_weight_loss(pi)
        updates.descend(self.optimizer, loss, self.alive)
        return critic_loss.detach()

    @property
    def alpha(self) -> float | Tensor:
        """The weight of the entropy: the option `entropy_bonus`, or (S, 1) where it is learned."""
        bonus = self.config.entropy_bonus
        return bonus if isinstance(bonus, float) else self.log_alpha.detach().exp()

    def entropy_weight_loss(self, pi: Pi) -> Tensor:
        """Return the loss (S,) of log α, which learns with `pi` = π(·|s) at the states of the batch."""
        target = self.config.target_entropy
        assert target != "auto"  # the config is resolved
        return equations.entropy_weight_loss(self.log_alpha, self._entropy(pi, self.generator), target)

    def critic_loss(self, pi: Pi, critic: Any, batch: Transition) -> Tensor:
        """Return the critic's loss (S,) that the options ask for; see `updates.q_critic_loss`, `updates.v_critic_loss`.

        `pi` and `critic` are π(·|s) and this agent's critic at the states of the batch, see `evaluate_together`.
        """
        c = self.config
        if c.critic == "v":
            v_target = c.v_target or equations.v_target
            return updates.v_critic_loss(critic, self.target_critic, batch, c.gamma, self.weight(pi, batch), v_target)
        assert c.next_action_samples != "auto"  # the config is resolved
        with torch.no_grad():
            next_pi, target_critic = evaluate_together(self.policy, self.target_critic, batch.next_obs)
        return updates.q_critic_loss(
            critic,
            target_critic,
            next_pi,
            batch,
            c.gamma,
            c.next_action_samples,
            generator=self.generator,
            q_target=c.q_target or equations.q_target,
            alpha=self.alpha if c.soft_target else None,
        )

    def actor_loss(self, pi: Pi, critic: Any, batch: Transition) -> Tensor:
        """Return the actor's loss (S,) that the options ask for; only its gradient has a meaning.

        Arguments as in `critic_loss`. See `updates.resampled_actor_loss`, `updates.stored_actor_loss` and
        `updates.reparameterized_actor_loss`.
        """
        c = self.config
        if c.uses_stored_actions:
            advantage, weight = self.stored_advantage(pi, critic, batch), self.weight(pi, batch)
            own_loss = c.policy_gradient_loss or equations.policy_gradient_loss
            return updates.stored_actor_loss(pi, batch, advantage, weight, self.alpha, own_loss)
        if c.resampled_loss is not None:
            return self.own_actor_loss(batch)
        if c.gradient == "reparameterized":
            n_samples, bonus = int(c.action_samples), self.alpha
            return updates.reparameterized_actor_loss(pi, critic, batch.obs, n_samples, bonus, generator=self.generator)
        return updates.resampled_actor_loss(
            pi,
            critic,
            batch.obs,
            action_samples=c.action_samples,
            baseline=c.baseline,
            entropy_bonus=self.alpha,
            policy_gradient_loss=c.policy_gradient_loss or equations.policy_gradient_loss,
            leave_one_out=c.leave_one_out or equations.leave_one_out,
            generator=self.generator,
        )

    def own_actor_loss(self, batch: Transition) -> Tensor:
        """Return a loss of the user's own, (S,), less the entropy bonus. It trains the policy alone."""
        c, own_loss = self.config, self.config.resampled_loss
        assert own_loss is not None
        with updates.frozen(self.critic):
            loss = own_loss(self.policy, self.critic, batch.obs, batch.action, c.action_samples, self.generator)
        loss = loss.expand(c.seeds)  # of a mean over seeds, each seed gets its full gradient
        if c.entropy_bonus:
            loss = loss - equations.times(self.alpha, self.entropy(batch.obs, self.generator)).mean(-1)
        return loss

    @torch.no_grad()
    def weight(self, pi: Pi, batch: Transition) -> Tensor | None:
        """Return ρ = π(a|s) / β(a|s) of the stored actions, (S, B), or None where the options ask for no weight."""
        if self.config.action != "importance":
            return None
        return equations.importance_ratio(pi.log_prob(batch.action), batch.log_prob, self.config.importance_clip)

    @torch.no_grad()
    def stored_advantage(self, pi: Pi, critic: Any, batch: Transition) -> Tensor:
        """Return the advantage of the stored actions, (S, B), by the critic as it is now.

        Critic V: the TD error. Critic Q: Q − V. With baseline=None: the TD target, or Q.
        """
        c = self.config
        if c.critic == "q":
            q = critic(batch.obs, batch.action)
            return q - self._value(pi, critic, batch.obs, self.generator) if c.baseline == "value" else q
        next_value, v_target = critic(batch.next_obs), c.v_target or equations.v_target
        if c.baseline != "value":
            return v_target(batch.reward, batch.terminated, next_value, c.gamma)
        value = critic(batch.obs)
        return equations.td_advantage(batch.reward, batch.terminated, value, next_value, c.gamma, v_target)

    @torch.no_grad()
    def value(self, obs: Tensor, generator: torch.Generator) -> Tensor:
        """Estimate V^π(s), (S, B): by V, by Σ π Q, or by the mean Q of actions that `generator` draws from π."""
        if self.config.critic == "v":
            return self.critic(obs)
        return self._value(self.policy(obs), self.critic, obs, generator)

    def _value(self, pi: Pi, critic: Any, obs: Tensor, generator: torch.Generator) -> Tensor:
        if isinstance(pi, Categorical):
            return updates.expected_q(pi, critic.all_actions(obs))
        return critic(obs, pi.sample(int(self.config.action_samples), generator=generator)).mean(-2)

    def entropy(self, obs: Tensor, generator: torch.Generator) -> Tensor:
        """Estimate the entropy of π(·|s) in nats, (S, B): exact for discrete actions, else by one sample."""
        return self._entropy(self.policy(obs), generator)

    def _entropy(self, pi: Pi, generator: torch.Generator) -> Tensor:
        return pi.entropy() if isinstance(pi, Categorical) else -pi.log_prob(pi.rsample(generator=generator))

    def anneal(self, fraction: float) -> None:
        """Set the learning rates to `fraction` of those in `config`."""
        actor, critic, alpha = self.optimizer.param_groups
        actor["lr"] = alpha["lr"] = fraction * self.config.actor_lr
        critic["lr"] = fraction * self.config.critic_lr

    @torch.no_grad()
    def non_finite_seeds(self, obs: Tensor) -> Tensor:
        """Return True for each seed with a parameter, or a policy at obs (S, B, obs_size), that is not finite, (S,)."""
        seeds = self.config.seeds
        rows = [p.reshape(-1, seeds, p.shape[-1]) for net in (self.policy, self.critic) for p in net.parameters()]
        broken = torch.stack([~torch.isfinite(row).all(-1).all(0) for row in rows]).any(0)
        return broken | ~torch.isfinite(self.policy.net(obs)).flatten(1).all(1)

    @torch.no_grad()
    def stop_seeds(self, seeds: Tensor) -> None:
        """Stop the seeds (S,) bool: set their parameters and optimiser state to 0: a uniform policy and Q = 0."""
        self.alive = ~seeds if self.alive is None else self.alive & ~seeds
        networks = self.policy, self.critic, self.target_critic
        numbers = [p for network in networks for p in network.parameters()]
        numbers += [t for state in self.optimizer.state.values() for t in state.values() if t.ndim]
        for number in numbers:
            number.view(-1, len(seeds), number.shape[-1])[:, seeds] = 0

    @torch.enable_grad()
    def try_own_functions(self) -> None:
        """Call the user's functions on a small batch; raise `ValueError` or `TypeError` where one cannot be used."""
        c, seeds, n_batch = self.config, self.config.seeds, 5
        if all(getattr(c, name) is None for name in OWN_FUNCTIONS):
            return
        generator = torch.Generator(self.generator.device).manual_seed(0)
        like: dict[str, Any] = {"generator": generator, "device": generator.device, "dtype": torch.float32}
        rows = torch.rand(seeds, n_batch, **like)
        k = c.action_samples if isinstance(c.action_samples, int) and c.action == "resampled" else 1
        several = torch.rand(seeds, k, n_batch, **like)
        m = () if c.next_action_samples == "all" else (c.next_action_samples,)
        next_q = torch.rand(seeds, *m, n_batch, **like)
        log_prob = several.log().requires_grad_()
        obs = torch.rand(seeds, n_batch, self.policy.net.in_size, **like)
        stored = self.policy(obs).sample(generator=generator)
        trials = {
            "q_target": ((rows, rows > 0.5, next_q, c.gamma), (seeds, n_batch)),
            "v_target": ((rows, rows > 0.5, rows, c.gamma), (seeds, n_batch)),
            "policy_gradient_loss": ((log_prob, several), (seeds,)),
            "leave_one_out": ((several,), (seeds, k, n_batch)),
            "resampled_loss": ((self.policy, self.critic, obs, stored, k, generator), (seeds,)),
        }
        for name, (arguments, shape) in trials.items():
            if getattr(c, name) is None:
                continue
            try:
                result = getattr(c, name)(*arguments)
            except Exception as error:
                raise ValueError(f"{name} raised {type(error).__name__} on a small batch: {error}") from error
            _check_result(name, result, shape, or_one=name == "resampled_loss")
            if name == "policy_gradient_loss":
                _check_gradient(name, result, log_prob)
            if name == "resampled_loss":
                _check_gradient(name, result, self.policy.net.theta)


def _check_result(name: str, result: Any, shape: tuple[int, ...], or_one: bool) -> None:
    if not isinstance(result, torch.Tensor):
        raise TypeError(f"{name} returned {result!r}, wanted a tensor of shape {shape}")
    if result.shape != shape and not (or_one and result.shape == ()):
        wanted = f"{shape} or ()" if or_one else str(shape)
        raise ValueError(f"{name} returned shape {tuple(result.shape)}, wanted {wanted}")
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
