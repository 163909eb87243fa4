"""Every public function of the core, called wrongly in every way that a table can list.

An entry of `CALLS` is a call that is right. Each of its arguments is spoiled in each way that its kind (see `hostile`)
knows, one at a time. The call must be refused, by an error of the package's own that names the argument, before
anything has changed; or answered, where it makes sense after all, and then rightly.
"""

import functools
import pathlib
import pickle
import re
import traceback

import gymnasium
import numpy as np
import pytest
import torch
from torch.optim import Adam

import offac_lite
from offac_lite import envs, networks, play, stats
from offac_lite import equations as eq
from offac_lite import updates as up
from offac_lite.buffer import ReplayBuffer, Transition
from offac_lite.config import Config
from offac_lite.course import clinic
from offac_lite.course.stage.controls import selected_controls, steps_slider
from offac_lite.exact import agents, estimators, gaussian, groups, mdp, noise, td
from offac_lite.exact import replay_bias as replayed
from offac_lite.exact import trajectories as tr
from offac_lite.exact.mdp import TabularMDP
from offac_lite.exact.outcomes import Outcomes
from offac_lite.exact.weightings import weighting_moments
from offac_lite.run import Run
from offac_lite.sweep import Sweep, sweep
from offac_lite.training import Learner
from tests import rng
from tests.hostile import (
    EITHER,
    PASSED,
    REFUSED,
    SAME,
    TORCH,
    Call,
    Choice,
    Count,
    Discount,
    Flag,
    Function,
    Index,
    Kind,
    Level,
    Mask,
    Natural,
    NotNegative,
    Number,
    Path,
    Positive,
    Probs,
    Rate,
    Real,
    Table,
    Thing,
    Whole,
    only_finite,
    same,
    seen,
    state,
)

B, K, OBS, A = 3, 2, 4, 2


def randn(*shape, seed=0):
    return torch.randn(shape, generator=rng(seed))


def actions(*shape):
    return torch.randint(A, shape, generator=rng())


def ends(*shape):
    return torch.arange(torch.Size(shape).numel()).reshape(shape) % 3 == 1


# What differs, in some calls, from what a kind says of the ways to spoil it: None leaves a way out.
NONE = {"None": None}  # None means something
CHECKED = {"nan": REFUSED, "inf": REFUSED}  # numbers are looked at
FLOATS = {"whole numbers": REFUSED, "bool": REFUSED}
WHOLE = {"whole numbers": None, "bool": None}
LISTS = {"list": SAME, "numpy array": SAME}
NOT_A_TENSOR = dict.fromkeys(("None", "text", "object", "number", "list", "numpy array"))
BARE = {"number": None, "bare bool": None, "list": None}  # of shape (): a number is as good as a tensor


def free(*shapes):
    """Shapes that are as good as the right one: there is nothing that a wrong one could be told by."""
    return dict.fromkeys(shapes)


ANY_SHAPE = free("(B, 1)", "0-d", "one fewer", "empty", "one", "no rows", "flat", "row 0", "swapped")
ANY_BATCH = free("no rows", "row 0")  # (..., B, features)
CALLS = {}


def call(function, /, *watched, called=None, **arguments):
    return Call(function, arguments, watched, called or {})


# --------------------------------------------------------------------------------------------------------- the buffer


def buffer(n_seeds=None):
    full, lead = ReplayBuffer(10, (OBS,), n_seeds=n_seeds), (6,) if n_seeds is None else (n_seeds, 6)
    full.add(randn(*lead, OBS), actions(*lead), randn(*lead), randn(*lead, OBS), ends(*lead), -torch.ones(lead))
    return full


def make_buffer(**given):
    made = ReplayBuffer(**given)
    return made._memory.nbytes, made.obs_shape, made.action_shape


def add(lead, n_seeds=None):
    full = buffer(n_seeds)
    real = LISTS | CHECKED | (BARE if not lead else {})
    whole = {"list": SAME, "beyond": None, "negative": None} | (BARE if not lead else {})
    return call(
        full.add,
        full,
        called=dict.fromkeys(("obs", "action", "next_obs", "terminated", "log_prob"), "reward|log_prob|obs|terminated"),
        obs=Real(randn(*lead, OBS), LISTS | CHECKED),
        action=Whole(actions(*lead), whole),
        reward=Real(randn(*lead), real),
        next_obs=Real(randn(*lead, OBS, seed=1), LISTS | CHECKED),
        terminated=Mask(ends(*lead), {"list": SAME} | (BARE if not lead else {})),
        log_prob=Real(-torch.ones(lead), real | NONE | {"nan": None}),
    )


def add_valid():
    full, rows = buffer(), (randn(B, OBS), actions(B), randn(B), randn(B, OBS), ends(B))
    return call(functools.partial(full.add, *rows), full, valid=Mask(ends(B), NONE | {"list": SAME}))


CALLS |= {
    "ReplayBuffer": lambda: call(
        make_buffer,
        capacity=Count(10),
        obs_shape=Thing((OBS,)),
        action_shape=Thing(()),
        n_seeds=Count(2, NONE),
        obs_dtype=Thing(torch.float32),
        action_dtype=Thing(torch.int64, NONE),
        seed=Natural(0),
    ),
    "add, one": lambda: add(()),
    "add, a batch": lambda: add((B,)),
    "add, seeds": lambda: add((2, B), 2),
    "add, valid": add_valid,
    "sample": lambda: call(
        (b := buffer()).sample, b, n=Count(4, {"bool": None}), generator=Thing(rng(), NONE), newest=Count(3, NONE)
    ),
    "all": lambda: call((b := buffer(2)).all, b, index=Index(1, NONE)),
}

# ----------------------------------------------------------------------------------------------------------- networks


def policy(n_seeds=None):
    return networks.CategoricalPolicy(OBS, A, (8,), n_seeds=n_seeds, generator=rng())


def q_critic(n_seeds=None, seed=1):
    return networks.DiscreteQCritic(OBS, A, (8,), n_seeds=n_seeds, generator=rng(seed))


def v_critic(seed=1):
    return networks.VCritic(OBS, (8,), generator=rng(seed))


def twins(make=None, n_seeds=None):
    q = functools.partial(networks.DiscreteQCritic, OBS, A, (8,), generator=rng()) if make is None else make
    return networks.TwinQCritic(q, n_seeds)


def box_policy():
    return networks.TanhGaussianPolicy(OBS, [-1.0, 0.0], [1.0, 2.0], (8,), generator=rng())


def box_critic():
    return networks.ContinuousQCritic(OBS, 2, (8,), generator=rng(1))


def network(kind, called=None, **sizes):
    scale = Positive(1.0, dict.fromkeys(("outside 0", "outside -1", "bool")))
    scale_name = "obs_scale" if kind is networks.ContinuousQCritic else "in_scale"
    rest = {"hidden": Thing((8,)), "generator": Thing(rng()), "n_seeds": Count(2, NONE), scale_name: scale}
    return call(lambda **given: kind(**given).state_dict(), called=called, **sizes, **rest)


def tanh_gaussian(**given):
    right = {"mean": randn(B, 2), "log_std": randn(B, 2, seed=1), "low": -torch.ones(2), "high": torch.ones(2)}
    return networks.TanhGaussian(**right | given)


def draw(**given):
    pi = tanh_gaussian(**given)
    action = pi.sample(generator=rng())
    return action, pi.log_prob(action), pi.mode()


PICKED = {"obs": "obs|action|table", "table": "table|action"}
CALLS |= {
    "MLP": lambda: network(networks.MLP, in_size=Count(OBS), out_size=Count(2)),
    "CategoricalPolicy": lambda: network(
        networks.CategoricalPolicy,
        {"obs_size": "in_size", "n_actions": "out_size"},
        obs_size=Count(OBS),
        n_actions=Count(A),
    ),
    "DiscreteQCritic": lambda: network(
        networks.DiscreteQCritic,
        {"obs_size": "in_size", "n_actions": "out_size"},
        obs_size=Count(OBS),
        n_actions=Count(A),
    ),
    "VCritic": lambda: network(networks.VCritic, {"obs_size": "in_size"}, obs_size=Count(OBS)),
    "ContinuousQCritic": lambda: network(networks.ContinuousQCritic, obs_size=Count(OBS), action_size=Count(A)),
    "TanhGaussianPolicy": lambda: network(
        networks.TanhGaussianPolicy,
        {"obs_size": "in_size"},
        obs_size=Count(OBS),
        low=Table(torch.tensor([-1.0, 0.0])),
        high=Table(torch.tensor([1.0, 2.0])),
    ),
    "TwinQCritic": lambda: call(
        lambda **given: twins(**given).state_dict(),
        make=Function(functools.partial(networks.DiscreteQCritic, OBS, A, (8,), generator=rng()), NONE),
        n_seeds=Count(2, NONE),
    ),
    "MLP()": lambda: call(policy().net, called={"x": "obs"}, x=Real(randn(B, OBS), ANY_BATCH)),
    "MLP(), seeds": lambda: call(policy(2).net, called={"x": "obs"}, x=Real(randn(2, B, OBS))),
    "CategoricalPolicy()": lambda: call(
        lambda obs: policy()(obs).probs,
        called={"obs": "obs|logits"},
        obs=Real(randn(B, OBS), CHECKED | free("no rows")),
    ),
    "TanhGaussianPolicy()": lambda: call(
        lambda obs: box_policy()(obs).mode(),
        called={"obs": "obs|mean"},
        obs=Real(randn(B, OBS), {"nan": REFUSED, "inf": None} | free("no rows")),
    ),
    "VCritic()": lambda: call(v_critic(), obs=Real(randn(B, OBS), ANY_BATCH)),
    "DiscreteQCritic.all_actions": lambda: call(q_critic().all_actions, obs=Real(randn(B, OBS), ANY_BATCH)),
    "DiscreteQCritic()": lambda: call(q_critic(), called=PICKED, obs=Real(randn(B, OBS)), action=Whole(actions(B))),
    "TwinQCritic()": lambda: call(twins(), called=PICKED, obs=Real(randn(B, OBS)), action=Whole(actions(B))),
    "TwinQCritic(), seeds": lambda: call(
        twins(n_seeds=2), called=PICKED, obs=Real(randn(2, B, OBS)), action=Whole(actions(2, B))
    ),
    "ContinuousQCritic()": lambda: call(box_critic(), called=PICKED, obs=Real(randn(B, OBS)), action=Real(randn(B, 2))),
    "of_actions": lambda: call(
        networks.of_actions,
        called=PICKED,
        table=Real(randn(B, A), {"nan": None, "inf": None}),
        action=Whole(actions(B)),
    ),
    "Categorical": lambda: call(
        lambda logits: networks.Categorical(logits).probs,
        logits=Real(randn(B, 3), CHECKED | FLOATS | free("(B, 1)", "one fewer", "one", "no rows", "swapped")),
    ),
    "Categorical.sample": lambda: call(
        networks.Categorical(randn(B, A)).sample, action_samples=Count(K, NONE), generator=Thing(rng())
    ),
    "Categorical.log_prob": lambda: call(networks.Categorical(randn(B, A)).log_prob, action=Whole(actions(B))),
    "TanhGaussian": lambda: call(
        draw,
        mean=Real(randn(B, 2), CHECKED),
        log_std=Real(randn(B, 2, seed=1), CHECKED),
        low=Real(-torch.ones(2), CHECKED | {"numpy array": EITHER}),  # PyTorch adds them where warnings are no errors
        high=Real(torch.ones(2), CHECKED),
        called={name: "mean|log_std|low|high" for name in ("mean", "log_std", "low", "high")},
    ),
    "TanhGaussian.sample": lambda: call(tanh_gaussian().sample, action_samples=Count(K, NONE), generator=Thing(rng())),
    "TanhGaussian.rsample": lambda: call(
        tanh_gaussian().rsample, action_samples=Count(K, NONE), generator=Thing(rng())
    ),
    "TanhGaussian.log_prob": lambda: call(tanh_gaussian().log_prob, action=Real(randn(B, 2).tanh())),
    "act": lambda: call(policy().act, obs=Table(randn(B, OBS), ANY_BATCH), generator=Thing(rng(), NONE)),
    "of_seed": lambda: call(lambda index: policy(3).of_seed(index).net.theta, index=Index(1)),
}

# ------------------------------------------------------------------------------------------------------------ updates


def losing(**more):
    return {"reward": Real(randn(B)), "terminated": Mask(ends(B)), **more, "gamma": Discount(0.9)}


CALLS |= {
    "v_target": lambda: call(eq.v_target, **losing(next_value=Real(randn(B, seed=1)))),
    "q_target": lambda: call(eq.q_target, **losing(next_q=Real(randn(B, seed=1)))),
    "q_target, several": lambda: call(eq.q_target, **losing(next_q=Real(randn(K, B, seed=1), free("row 0")))),
    "td_advantage": lambda: call(eq.td_advantage, **losing(value=Real(randn(B)), next_value=Real(randn(B, seed=1)))),
    "critic_loss": lambda: call(eq.critic_loss, prediction=Real(randn(B)), target=Real(randn(B, seed=1))),
    "policy_gradient_loss": lambda: call(
        eq.policy_gradient_loss, log_prob=Real(randn(K, B)), advantage=Real(randn(K, B, seed=1))
    ),
    "awac_loss": lambda: call(
        eq.awac_loss,
        log_prob=Real(randn(B), free("(B, 1)", "one fewer", "one")),
        advantage=Real(randn(B, seed=1), free("(B, 1)", "one fewer", "one")),
        temperature=Positive(0.5),
    ),
    "reparameterized_loss": lambda: call(
        eq.reparameterized_loss, q=Real(randn(K, B), free("(B, 1)", "one fewer", "one", "swapped"))
    ),
    "leave_one_out": lambda: call(
        eq.leave_one_out,
        q=Real(randn(3, B), free("(B, 1)", "one fewer", "one", "empty", "swapped")),
    ),
    "soft_q": lambda: call(
        eq.soft_q,
        next_q=Real(randn(B), WHOLE),
        next_log_prob=Real(randn(B, seed=1), WHOLE),
        alpha=0.1,
    ),
    "entropy_weight_loss": lambda: call(
        eq.entropy_weight_loss,
        log_alpha=Real(randn(1), free("(B, 1)", "one fewer", "one", "empty", "swapped") | WHOLE),
        entropy=Real(randn(B), free("(B, 1)", "one fewer", "one", "empty", "swapped") | WHOLE),
        target_entropy=1.0,
    ),
    "importance_ratio": lambda: call(
        eq.importance_ratio,
        log_prob=Real(randn(B), CHECKED | WHOLE),
        behavior_log_prob=Real(randn(B, seed=1), CHECKED | WHOLE),
        clip=Positive(2.0, NONE),
    ),
    "log_ratio": lambda: call(
        eq.log_ratio,
        log_prob=Real(randn(B), CHECKED | WHOLE),
        behavior_log_prob=Real(randn(B, seed=1), CHECKED | WHOLE),
    ),
}


def stepped(step, **right):
    """Call a step with a batch whose fields are arguments of their own."""

    def function(**given):
        batch = dict.fromkeys(Transition._fields) | right
        batch |= {name: given.pop(name) for name in Transition._fields if name in given}
        return step(batch=Transition(**batch), **given)

    return function


def fields(*names):
    kinds = {
        "obs": Real(randn(B, OBS), CHECKED),
        "action": Whole(actions(B)),
        "reward": Real(randn(B), CHECKED),
        "next_obs": Real(randn(B, OBS, seed=1), CHECKED),
        "terminated": Mask(ends(B)),
    }
    return {name: kinds[name] for name in names}


ALL_FIELDS = ("obs", "action", "reward", "next_obs", "terminated")
STEP = {
    "obs": "obs|loss|action|logits|mean|table|prediction|log_prob|value|^q has",
    "next_obs": "obs|loss|logits|next_q|next_value|probs",
    "reward": "reward|loss",
    "action": "action",
    "weight": "weight|loss",
    "advantage": "advantage|loss",
}


def critic_step(make, **more):
    critic, target, pi = make(), make(), policy()
    optimizer = Adam(critic.parameters(), 0.1)
    return call(
        stepped(up.critic_step),
        *(critic, target, pi, optimizer),
        called=STEP,
        critic=Thing(critic),
        target_critic=Thing(target),
        policy=Thing(pi),
        optimizer=Thing(optimizer),
        gamma=Discount(0.9),
        **fields(*ALL_FIELDS),
        **more,
    )


def v_critic_step():
    critic, target = v_critic(), v_critic()
    optimizer = Adam(critic.parameters(), 0.1)
    return call(
        stepped(up.v_critic_step),
        *(critic, target, optimizer),
        called=STEP,
        critic=Thing(critic),
        target_critic=Thing(target),
        optimizer=Thing(optimizer),
        gamma=Discount(0.9),
        weight=Real(torch.rand(B, generator=rng()), NONE | CHECKED),
        v_target=Function(eq.v_target),
        **fields("obs", "reward", "next_obs", "terminated"),
    )


def actor_step(step=up.actor_step, nets=None, **more):
    pi, critic = (policy(), q_critic()) if nets is None else nets
    optimizer = Adam(pi.parameters(), 0.1)
    return call(
        step,
        *(pi, critic, optimizer),
        called=STEP,
        policy=Thing(pi),
        critic=Thing(critic),
        optimizer=Thing(optimizer),
        obs=Real(randn(B, OBS), CHECKED),
        entropy_bonus=0.1,
        **{"action_samples": Count(K), "generator": Thing(rng())} | more,
    )


def stored_actor_step():
    pi = policy()
    optimizer = Adam(pi.parameters(), 0.1)
    return call(
        stepped(up.stored_actor_step, next_obs=0),
        *(pi, optimizer),
        called=STEP,
        policy=Thing(pi),
        optimizer=Thing(optimizer),
        advantage=Real(randn(B), CHECKED),
        weight=Real(torch.rand(B, generator=rng()), NONE | CHECKED),
        entropy_bonus=0.1,
        policy_gradient_loss=Function(eq.policy_gradient_loss),
        **fields("obs", "action"),
    )


def whole_batch(step, name):
    made = CALLS[name]()
    plain = made.plain()
    batch = Transition(**{field: plain.pop(field, None) for field in Transition._fields})
    return call(functools.partial(step, **plain), *made.watched, batch=Thing(batch))


def descend():
    w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
    optimizer = Adam([w], 0.1)
    loss = Real(w.square(), ANY_SHAPE | CHECKED | FLOATS | {"requires grad": None, "strided": None})
    return call(up.descend, w, optimizer, optimizer=Thing(optimizer), loss=loss)


def allowing(made, argument, *ways):
    kind = made.arguments[argument]
    kind.but = {**kind.but, **free(*ways)}
    return made


def polyak_update():
    nets = v_critic(0), v_critic(1)
    return call(up.polyak_update, *nets, target=Thing(nets[0]), source=Thing(nets[1]), tau=Rate(0.5))


ALL = Choice("all", {"number": None, "None": None})
CALLS |= {
    "critic_step": lambda: critic_step(
        q_critic, next_action_samples=Count(K, NONE), generator=Thing(rng()), q_target=Function(eq.q_target)
    ),
    "critic_step, twins": lambda: critic_step(twins, next_action_samples=Count(K, NONE), generator=Thing(rng())),
    "critic_step, all": lambda: critic_step(q_critic, next_action_samples=ALL, generator=rng()),
    "v_critic_step": v_critic_step,
    "actor_step": lambda: actor_step(
        baseline=Choice("leave-one-out", NONE),
        leave_one_out=Function(eq.leave_one_out),
        policy_gradient_loss=Function(eq.policy_gradient_loss),
    ),
    "actor_step, value": lambda: actor_step(baseline="value"),
    "actor_step, all": lambda: actor_step(action_samples=ALL, generator=rng()),
    "actor_step, a box": lambda: actor_step(nets=(box_policy(), box_critic())),
    "reparameterized_actor_step": lambda: actor_step(up.reparameterized_actor_step, (box_policy(), box_critic())),
    "stored_actor_step": stored_actor_step,
    "critic_step, the batch": lambda: whole_batch(up.critic_step, "critic_step"),
    "v_critic_step, the batch": lambda: whole_batch(up.v_critic_step, "v_critic_step"),
    "stored_actor_step, the batch": lambda: whole_batch(up.stored_actor_step, "stored_actor_step"),
    "descend": descend,
    "polyak_update": polyak_update,
}
for name in ("actor_step", "actor_step, value", "actor_step, all"):  # any batch of states will do
    CALLS[name] = lambda make=CALLS[name]: allowing(make(), "obs", "row 0")

# --------------------------------------------------------------------------------------------- the exact calculations


def tiny():
    """Two states, two actions; some of the mass terminates."""
    return TabularMDP([[[0.5, 0.3], [0.0, 0.9]], [[0.2, 0.2], [1.0, 0.0]]], [[1.0, 0.0], [0.5, 2.0]], [0.6, 0.4], 0.9)


def pi2():
    return torch.tensor([[0.3, 0.7], [0.6, 0.4]], dtype=torch.float64)


def table2():
    return randn(2, 2).double()


def problem(**more):
    right = {
        "mdp": tiny(),
        "logits": Table(table2()),
        "behavior": Probs(pi2(), NONE),
        "q": Table(table2(), NONE),
    }
    return right | more


def sized(**more):
    sizes = {"batch_size": Count(3), "action_samples": Count(2), "baseline": Choice("leave-one-out", NONE)}
    return problem(estimator=Choice("resampled"), **sizes, **more)


def uniforms():
    return torch.rand(2, 3, 2, generator=rng(), dtype=torch.float64)


def of_tiny(name, **arguments):
    return lambda: call(getattr(tiny(), name), **arguments)


CALLS |= {
    "advantages": lambda: call(mdp.advantages, probs=Real(pi2(), {"bool": None}), q=Real(table2(), {"bool": None})),
    "TabularMDP": lambda: call(
        lambda **given: TabularMDP(**given).state_values([[0.3, 0.7], [0.6, 0.4]]),
        called={"transition": "transition|reward"},
        transition=Probs(tiny().transition, {"zeros": None, "swapped": None}),
        reward=Table(tiny().reward),
        initial=Probs(tiny().initial),
        gamma=Discount(0.9),
    ),
    "from_gymnasium": lambda: call(
        lambda **given: TabularMDP.from_gymnasium(**given).reward, env=Thing("FrozenLake-v1"), gamma=Discount(0.9)
    ),
    "state_values": of_tiny("state_values", probs=Probs(pi2())),
    "action_values": of_tiny("action_values", probs=Probs(pi2())),
    "expected_return": of_tiny("expected_return", probs=Probs(pi2())),
    "occupancy": of_tiny("occupancy", probs=Probs(pi2())),
    "policy_gradient": of_tiny("policy_gradient", logits=Table(table2())),
    "policy_path": of_tiny("policy_path", n_steps=Natural(2), step_size=Number(1.0)),
    "gradient_moments": lambda: call(estimators.gradient_moments, **sized()),
    "break_even_actions": lambda: call(estimators.break_even_actions, **problem()),
    "sample_gradients": lambda: call(estimators.sample_gradients, **sized(n_samples=Count(5), generator=Thing(rng()))),
    "from_uniforms": lambda: call(
        estimators.Estimator(tiny(), table2(), "resampled", batch_size=3, action_samples=2).from_uniforms,
        called={"state_uniforms": "state_uniforms|action_uniforms"},
        state_uniforms=Table(uniforms()[..., 0]),
        action_uniforms=Table(uniforms()),
    ),
    "agents.gradient_estimates": lambda: call(
        agents.gradient_estimates,
        mdp=tiny(),
        logits=Table(uniforms()[:, :2]),
        batch_size=Count(3),
        action_samples=Count(2),
        baseline=Choice("value", NONE),
        behavior=Probs(pi2(), NONE),
        critic_of=Choice("buffer"),
        generator=Thing(rng()),
    ),
    "learn": lambda: call(
        lambda **given: [one.returns for one in agents.learn(tiny(), **given)],
        agents=Count(3),
        n_steps=Count(2),
        step_size=Number(1.0),
        evaluate_every=Count(1),
        reports=Count(2),
        seed=Natural(0),
    ),
    "buffer_policy": lambda: call(
        replayed.buffer_policy,
        called={"probs": "probs|visits"},
        probs=Probs(torch.stack([pi2(), pi2().flip(1)])),
        visits=Table(torch.tensor([[1.0, 2.0], [0.5, 0.0]])),
    ),
    "mean_update": lambda: call(
        replayed.mean_update,
        mdp=tiny(),
        logits=Table(table2()),
        behavior=Probs(pi2()),
        value=Table(table2()[0]),
        actions=Probs(pi2()),
        baseline=Choice("value", NONE),
    ),
    "four_updates": lambda: call(
        replayed.four_updates,
        mdp=tiny(),
        logits=Table(table2()),
        behavior=Probs(pi2()),
        baseline=Choice("value", NONE),
        naive_value=Table(table2()[0], NONE),
    ),
}

# ------------------------------------------------------------------------------------------------------- trajectories


def half3():
    return torch.full((3, 2), 0.5, dtype=torch.float64)


def walk(**more):
    return {"mdp": tr.corridor(3), "horizon": Count(2)} | more


def walked():
    return tr.all_trajectories(tr.corridor(3), half3(), 2)


CALLS |= {
    "corridor": lambda: call(lambda **given: tr.corridor(**given).reward, n_squares=Count(4)),
    "all_trajectories": lambda: call(tr.all_trajectories, **walk(behavior=Probs(half3()))),
    "sample_trajectories": lambda: call(
        tr.sample_trajectories, **walk(behavior=Probs(half3()), n=Count(3), generator=Thing(rng()))
    ),
    "causal_weights": lambda: call(
        tr.causal_weights,
        log_prob=Real(randn(B), CHECKED | WHOLE),
        behavior_log_prob=Real(randn(B, seed=1), CHECKED | WHOLE),
    ),
    "gradient_estimates": lambda: call(
        tr.gradient_estimates,
        logits=Table(half3()),
        trajectories=walked(),
        coefficient=Table(walked().reward + 1),
    ),
    "mean_and_variance": lambda: call(
        tr.mean_and_variance,
        estimates=randn(2, 3, 2),
        probability=Real(torch.tensor([0.25, 0.75]), CHECKED | NOT_A_TENSOR),
    ),
    "values_to_go": lambda: call(tr.values_to_go, **walk(probs=Probs(half3()))),
    "visits": lambda: call(tr.visits, **walk(probs=Probs(half3()))),
    "horizon_gradient": lambda: call(tr.horizon_gradient, **walk(logits=Table(half3()), behavior=Probs(half3(), NONE))),
    "minus_group_mean": lambda: call(groups.minus_group_mean, q=randn(4, 3)),
    "standardized": lambda: call(groups.standardized, q=randn(4, 3)),
    "group_moments": lambda: call(
        groups.group_moments,
        probs=Probs(half3()),
        q=Table(randn(3, 2)),
        weight=Choice("Dr. GRPO"),
        action_samples=Count(3),
    ),
    "weighting_moments": lambda: call(
        weighting_moments,
        **walk(
            logits=Table(half3()),
            behavior=Probs(half3(), NONE),
            weighting=Choice("whole"),
            clip=Positive(2.0, NONE),
            baseline=Choice("value", NONE),
        ),
    ),
    "WeightedMoments.error": lambda: call(weighting_moments(tr.corridor(3), half3(), "whole", 2).error, n=Count(3)),
}

# ------------------------------------------------------------------------------------------------------- td, gaussian


def outcomes():
    """Two states; from each, an action leads on or ends."""
    return Outcomes(
        probability=torch.tensor([[[0.5, 0.5], [1.0, 0.0]], [[0.2, 0.8], [0.3, 0.7]]], dtype=torch.float64),
        reward=torch.tensor([[[0.0, 1.0], [0.5, 0.0]], [[2.0, 0.0], [1.0, -1.0]]], dtype=torch.float64),
        next_obs=torch.tensor([[[0, 1], [1, 0]], [[1, 0], [0, 1]]]),
        terminated=torch.tensor([[[False, True], [False, False]], [[False, False], [True, False]]]),
        initial=torch.tensor([0.5, 0.5], dtype=torch.float64),
    )


def told(**more):
    right = {"outcomes": outcomes(), "probs": Probs(pi2()), "q": Table(table2())}
    return right | {"gamma": Discount(0.9), "next_action_samples": Count(2)} | more


def td_path(**change):
    share = torch.full((2, 2), 0.25, dtype=torch.float64)
    return td.td_path(
        **{"outcomes": outcomes(), "data": share, "next_probs": pi2(), "gamma": 0.9, "n_updates": 3} | change
    )


def of_q(**more):
    return {"q": gaussian.quadratic, "mean": Number(0.3), "std": Positive(0.5)} | more


CALLS |= {
    "Outcomes": lambda: call(
        Outcomes,
        probability=Probs(outcomes().probability, dict.fromkeys(LISTS, REFUSED)),
        reward=Table(outcomes().reward, dict.fromkeys(LISTS, REFUSED)),
        next_obs=Whole(outcomes().next_obs, {"int32": REFUSED}),
        terminated=Mask(outcomes().terminated),
        initial=Probs(outcomes().initial, dict.fromkeys(LISTS, REFUSED)),
    ),
    "Outcomes.from_gymnasium": lambda: call(Outcomes.from_gymnasium, env=Thing("FrozenLake-v1")),
    "Outcomes.play": lambda: call(
        outcomes().play, probs=Probs(pi2()), episodes=Count(2), generator=Thing(rng()), max_steps=Count(3)
    ),
    "Transitions.sample": lambda: call(outcomes().play(pi2(), 4, rng(), 3).sample, shape=3, generator=Thing(rng())),
    "value_and_spread": lambda: call(
        td.value_and_spread, probs=Real(pi2(), {"bool": None}), q=Real(table2(), {"bool": None})
    ),
    "target_variance": lambda: call(td.target_variance, **told()),
    "target_distribution": lambda: call(td.target_distribution, **told(obs=Natural(1), action=Natural(1))),
    "td_path": lambda: call(
        td.td_path,
        outcomes=outcomes(),
        data=Table(torch.full((2, 2), 0.25, dtype=torch.float64)),
        next_probs=Probs(pi2()),
        gamma=Discount(0.9),
        next_action_samples=Count(2),
        rate=Positive(0.02),
        batch_size=Count(5),
        n_updates=Count(3),
    ),
    "TDPath.distance": lambda: call(td_path().distance, reference=Table(table2())),
    "TDPath.bias": lambda: call(td_path().bias, reference=Table(table2())),
    "expected": lambda: call(gaussian.expected, **of_q()),
    "gaussian_moments": lambda: call(
        gaussian.gaussian_moments,
        **of_q(std=Positive(0.5, {"list": None, "bool": None})),
        estimator=Choice("score"),
        action_samples=Count(2),
        baseline=Choice("leave-one-out", NONE),
    ),
    "gaussian.break_even_actions": lambda: call(
        gaussian.break_even_actions, **of_q(std=Positive(0.5, {"list": None, "bool": None}))
    ),
}

# ------------------------------------------------------------------------------------- networks' gradients, statistics


def noisy(**more):
    return {"policy": policy(), "critic": q_critic(), "obs": Real(randn(B, OBS), CHECKED)} | more


def four_parts():
    return noise.GradientNoise(*torch.rand(4, generator=rng()))


def returns():
    return randn(4, 6).double()


SEEDS_BY = free("(B, 1)", "one fewer", "one", "empty", "flat", "row 0", "swapped")
STOPPED = {"nan": None, "inf": None, "-inf": None}  # a stopped seed is below any goal
BATCHES = {"batch_size": Count(3), "action_samples": Count(2), "baseline": Choice("value", NONE)}
CALLS |= {
    "gradient_noise": lambda: call(noise.gradient_noise, called=STEP, **noisy()),
    "GradientNoise.variance": lambda: call(four_parts().variance, **BATCHES),
    "GradientNoise.batches": lambda: call(four_parts().batches, **BATCHES),
    "iqm": lambda: call(stats.iqm, values=Table(returns(), SEEDS_BY)),
    "interval": lambda: call(
        stats.interval,
        values=Table(returns(), SEEDS_BY),
        level=Level(0.9),
        n_resamples=Count(20),
        seed=Natural(0),
        statistic=Function(stats._trimmed, NONE),
    ),
    "solved_at": lambda: call(
        stats.solved_at,
        steps=Table(torch.arange(6.0, dtype=torch.float64)),
        returns=Table(returns(), STOPPED | free("no rows")),
        goal=Number(0.0),
        in_a_row=Count(2),
    ),
    "share_at_goal": lambda: call(
        stats.share_at_goal,
        returns=Table(returns(), STOPPED | free("one fewer", "one", "swapped")),
        goal=Number(0.0),
    ),
    "share_reversed": lambda: call(
        stats.share_reversed, better=Table(returns()[:, 0], SEEDS_BY), worse=Table(returns()[:, 1], SEEDS_BY)
    ),
    "proportion_interval": lambda: call(stats.proportion_interval, count=Natural(3), total=Count(5), level=Level(0.9)),
}

# -------------------------------------------------------------------------------------------------- environments, play


def env(n_seeds=None, n_envs=2, env_id="CartPole-v1"):
    made = envs.VectorEnv(env_id, n_envs, n_seeds=n_seeds)
    made.reset()
    return made


def made_env(**given):
    return envs.VectorEnv(**given).reset().shape


def acting(function, *watched, **arguments):
    played = env(2, 1)
    return call(function, played, *watched, env=Thing(played), **arguments)


def weights():
    return Probs(torch.tensor([0.2, 0.8]), NONE)


def fill():
    ring = buffer(2)
    return acting(play.fill, ring, buffer=ring, policy=weights(), count=Natural(3), generator=Thing(rng()))


def store():
    played, ring = env(2, 1), buffer(2)
    step, same_size = played.step(actions(2, 1)), free("(B, 1)", "flat", "one", "swapped")
    return call(
        play.store,
        ring,
        called={"log_prob": "log_prob|reward", "action": "action|reward"},
        buffer=Thing(ring),
        step=Thing(step),
        action=Whole(actions(2, 1), {"beyond": None, "negative": None} | same_size),
        log_prob=Real(-torch.ones(2, 1), LISTS | NONE | free("nan", "one")),
        env=Thing(played),
    )


def prefilled():
    ring = buffer(2)
    return acting(play.load_prefill, ring, old=((0.2, 0.8), 3), buffer=ring, generator=Thing(rng()))


EPISODES = [envs.Episode(0, 0, 10.0, 10), envs.Episode(1, 0, 30.0, 30)]
CALLS |= {
    "VectorEnv": lambda: call(
        made_env, env_id=Choice("CartPole-v1"), n_envs=Count(2), n_seeds=Count(2, NONE), seed=Natural(0)
    ),
    "reset": lambda: call((e := env()).reset, e, seed=Natural(1, NONE)),
    "step": lambda: call((e := env()).step, e, action=Whole(actions(2), {"list": SAME})),
    "step, a box": lambda: call(
        (e := env(env_id="Pendulum-v1")).step,
        e,
        action=Real(randn(2, 1).tanh(), LISTS | CHECKED | FLOATS | free("one")),
    ),
    "recent_returns": lambda: call(envs.recent_returns, episodes=Thing(EPISODES), n_seeds=Count(2), last=Count(3)),
    "latest_episodes": lambda: call(envs.latest_episodes, episodes=Thing(EPISODES), n_seeds=Count(2), last=Count(3)),
    "discounted_steps_left": lambda: call(envs.discounted_steps_left, lengths=Thing([3, 4]), gamma=Discount(0.9)),
    "recently_delivered": lambda: call(
        envs.recently_delivered, episodes=Thing(EPISODES), n_seeds=Count(2), gamma=Discount(0.9)
    ),
    "act in environments": lambda: acting(play.act, policy=weights(), generator=Thing(rng())),
    "act in environments, a network": lambda: acting(play.act, policy=Thing(policy(2), NONE), generator=rng()),
    "fill": fill,
    "store": store,
    "load_prefill": prefilled,
    "evaluate": lambda: acting(
        play.evaluate, policy=Thing(policy(2)), max_steps=Count(3), generator=Thing(rng(), NONE)
    ),
    "rollout": lambda: acting(play.rollout, policy=Thing(policy(2)), max_steps=Count(3)),
}

# ----------------------------------------------------------------------------------- training, runs, sweeps, the clinic


def learner(**given):
    made = Learner(**given)
    made.close()
    return made.agent.policy.net.theta.shape, len(made.buffer)


def run():
    return Run(
        Config(seeds=2),
        envs.Spaces((4,), (), 2),
        policy(2),
        q_critic(2),
        torch.tensor([10]),
        torch.zeros(2, 1),
        {"value": torch.zeros(2, 1)},
    )


def record():
    made = run()
    likes = {"nan": None, "inf": None, "whole numbers": None, "bool": None}
    return call(made.record, made, step=Natural(20), returns=Real(randn(2), likes), value=Real(randn(2), likes))


OWN = Function(None, NONE)
OPTIONS = {
    "env_id": Choice("CartPole-v1"),
    "seeds": Count(2),
    "total_steps": Count(400),
    "critic": Choice("q"),
    "action": Choice("resampled"),
    "action_samples": Count(4),
    "baseline": Choice("value", NONE),
    "gradient": Choice("score"),
    "next_action_samples": Count(2),
    "twin": Flag(True),
    "tau": Rate(0.1),
    "gamma": Discount(0.9),
    "entropy_bonus": NotNegative(0.05),
    "target_entropy": 0.5,
    "soft_target": Flag(False),
    "importance_clip": Positive(2.0, NONE),
    "batch_size": Count(16),
    "updates_per_step": Count(1),
    "actor_lr": Positive(1e-3),
    "critic_lr": Positive(1e-3),
    "lr_decay": Flag(True),
    "hidden": Thing((8,)),
    "layer_norm": Flag(False),
    "obs_scale": Positive(1.0),
    "reward_scale": Positive(0.1),
    "n_envs": Count(4),
    "random_steps": Natural(40),
    "prefill": Thing(None, NONE),
    "collect": Flag(True),
    "on_policy": Flag(False),
    "capacity": Count(100, NONE),
    "newest": Count(50, NONE),
    "evaluations": Count(2),
    "eval_episodes": Count(2),
    "checkpoints": Flag(False),
    **dict.fromkeys(("q_target", "v_target", "policy_gradient_loss", "leave_one_out", "resampled_loss"), OWN),
    "seed": Natural(0),
    "device": Choice("cpu"),
}
CALLS |= {
    "Learner": lambda: call(learner, called={"seeds": "n_seeds"}, **OPTIONS),
    "record": record,
    "save": lambda: call(run().save, path=Path(None, {"None": REFUSED})),
    "load": lambda: call(Run.load, path=Path(None, {"None": REFUSED})),
    "sweep": lambda: call(
        sweep,
        variants=Thing({"K = 0": {"action_samples": 0}}),
        n_jobs=Count(1, {"negative": None}),
        folder=Path(None, NONE),
        progress=False,
    ),
    "table": lambda: call(Sweep().table, goal=Number(475.0)),
    "patient": lambda: call(clinic.patient, letter=Choice("A", {"capitals": None})),
    "train_patient": lambda: call(
        clinic.train_patient,
        parts=clinic.HEALTHY,
        seed=Natural(0),
        seeds=Count(2),
        total_steps=Count(1000, {"numpy": None}),
        evaluations=Count(1),
    ),
    "stored_rows": lambda: call(
        lambda **given: clinic.stored_rows(**given)[:5], parts=clinic.HEALTHY, n_steps=Count(5)
    ),
    "instruments": lambda: call(
        lambda **given: torch.from_numpy(np.array(list(clinic.instruments(**given).values()))),
        policy=Function(lambda obs: obs[:, :2]),
        critic=Function(lambda obs, action: obs[:, 0] + action),
        batch=Thing((randn(5, 4), actions(5), randn(5), randn(5, 4, seed=1), ends(5))),
        episodes=Thing([(randn(4, 4), randn(3), True)]),
        gamma=Discount(0.9),
        alpha=NotNegative(0.1),
        draws=Count(2),
    ),
    "play_episodes": lambda: call(
        lambda **given: [
            torch.from_numpy(seen)
            for seen, *_ in clinic.play_episodes(gymnasium.make("CartPole-v1"), lambda obs: 0, **given)
        ],
        n=Count(2),
        seed=Natural(3),
    ),
    "unit_test": lambda: call(
        lambda **given: torch.from_numpy(np.array(clinic.unit_test(clinic.HEALTHY, **given))),
        seed=Natural(0),
        n=Count(40, {"below": None}),
    ),
    "two_states": lambda: call(lambda **given: clinic.two_states(**given).mdp.reward, gamma=Discount(0.9)),
}
PLAIN = (
    "add",
    "sample",
    *("MLP()", "CategoricalPolicy()", "TanhGaussianPolicy()", "VCritic()", "DiscreteQCritic.all_actions"),
    *("DiscreteQCritic()", "TwinQCritic()", "ContinuousQCritic()", "of_actions"),
    *("Categorical", "Categorical.sample", "Categorical.log_prob"),
    *("TanhGaussian", "TanhGaussian.sample", "TanhGaussian.rsample", "TanhGaussian.log_prob"),
    "TwinQCritic.make",
    "gradient_noise.obs",
    "step",
    "act in environments",
    "store",
    *("interval.statistic", "solved_at.returns", "share_at_goal.returns"),
    *("fill.env", "load_prefill.env", "evaluate.env", "evaluate.policy", "rollout.env", "rollout.policy"),
    "recent_returns.episodes",
    "recently_delivered.episodes",
    "latest_episodes.episodes",
    "v_target",
    "q_target",
    "td_advantage",
    "critic_loss",
    "policy_gradient_loss",
    "awac_loss",
    "reparameterized_loss",
    "leave_one_out",
    "soft_q",
    "importance_ratio",
    "log_ratio",
    "critic_step",
    "v_critic_step",
    "actor_step",
    "reparameterized_actor_step",
    "stored_actor_step",
    "descend",
    "polyak_update",
    "save",
    "load",
    "sweep",
)
"""Calls, or arguments of calls, that check shapes and what teaches, and leave the rest to Python and PyTorch.

What they refuse must still change nothing."""
WRONG_ALREADY = {"save", "load"}
"""Calls without a right argument to begin with: theirs is a file."""

# ---------------------------------------------------------------------------------------------------------- the tests

PACKAGE = pathlib.Path(offac_lite.__file__).parent
TRIED = {
    (name, argument): [way.label for way in kind.ways()]
    for name, make in CALLS.items()
    for argument, kind in make().arguments.items()
    if isinstance(kind, Kind)
}


def test_the_table_holds_thousands_of_hostile_calls():
    assert sum(map(len, TRIED.values())) > 5000


@pytest.mark.parametrize("name", [name for name in CALLS if name not in WRONG_ALREADY])
def test_the_right_call_is_answered(name):
    made = CALLS[name]()
    assert only_finite(seen(made.function(**made.plain())))


@pytest.mark.parametrize(("name", "argument"), TRIED)
def test_hostile_calls_are_refused_before_anything_changed_or_answered_rightly(name, argument):
    wrong = {label: complaint for label in TRIED[name, argument] if (complaint := attempt(name, argument, label))}
    assert not wrong


def adam_counts_on_the_default_device() -> bool:
    """Tell whether Adam keeps its count of steps on PyTorch's default device, as that of PyTorch 2.11 does."""
    w = torch.nn.Parameter(torch.zeros(1))
    w.grad = torch.zeros(1)
    optimizer = torch.optim.Adam([w])
    try:
        with torch.device("meta"):
            optimizer.step()
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("setting", TORCH)
@pytest.mark.parametrize("name", [name for name in CALLS if name not in WRONG_ALREADY])
def test_the_answer_is_the_same_whatever_pytorch_s_settings_are(name, setting):
    plain, under = CALLS[name](), CALLS[name]()
    wanted, arguments = seen(plain.function(**plain.plain())), under.plain()
    steps = "_step" in name or name == "descend"
    if setting == "set_default_device" and steps and adam_counts_on_the_default_device():
        pytest.skip("this PyTorch's own Adam follows the default device")
    with TORCH[setting]():
        answer = under.function(**arguments)
    answer = seen(answer)
    assert [(x.dtype, x.device) for x in answer] == [(x.dtype, x.device) for x in wanted]
    assert same(answer, wanted)


def attempt(name, argument, label):
    """Make one hostile call, and say what is wrong with what came of it; None where nothing is."""
    made = CALLS[name]()
    spoiled = next(way for way in made.arguments[argument].ways() if way.label == label)
    before = [part for watched in made.watched for part in state(watched)]
    try:
        answer = made.function(**made.plain() | {argument: spoiled.value})
    except Exception as error:
        if spoiled.rule == SAME:
            return f"refused: {error}"
        if not same(before, [part for watched in made.watched for part in state(watched)]):
            return f"something changed before {error!r}"
        function = name.partition(",")[0]
        if function in PLAIN or f"{function}.{argument}" in PLAIN:
            return None
        last = traceback.extract_tb(error.__traceback__)[-1]
        if (
            not isinstance(error, TypeError | ValueError | IndexError)
            or PACKAGE not in pathlib.Path(last.filename).parents
        ):
            return f"not an error of the package's own: {error!r}"
        names = rf"(?<![A-Za-z])(?:{re.escape(argument)}|{made.called.get(argument, argument)})(?![A-Za-z])"
        return None if re.search(names, str(error)) else f"does not name {argument}: {error}"
    if spoiled.rule == REFUSED:
        return f"answered: {answer}"
    if spoiled.rule == PASSED:
        return f"a finite answer: {answer}" if only_finite(seen(answer)) else None
    right = CALLS[name]()
    meant = right.plain() | ({} if spoiled.rule == SAME else {argument: spoiled.equivalent})
    return None if same(seen(answer), seen(right.function(**meant))) else f"a wrong answer: {answer}"


# ----------------------------------------------------------------------- what no table holds: arguments that do not fit


def other_critic():
    return networks.DiscreteQCritic(OBS, 1, (8,), generator=rng(1))


def step_with(name, **change):
    """Give a step of the table, some of its arguments exchanged, and what must stay as it is."""
    made = CALLS[name]()
    return functools.partial(made.function, **made.plain() | change), *made.watched, *change.values()


def of_fields(*shapes):
    full = buffer()
    return functools.partial(full.add, *(torch.zeros(shape) for shape in shapes)), full


def filled(env_id, n_seeds=2, ring=None, policy=None):
    ring = buffer(2) if ring is None else ring
    return functools.partial(play.fill, ring, env(n_seeds, 1, env_id), policy, 3, rng()), ring


def recorded(**change):
    made = run()
    return functools.partial(made.record, **{"step": 20, "returns": randn(2), "value": randn(2)} | change), made


MISFITS = {
    "an optimiser of another network": (
        lambda: step_with("critic_step", optimizer=Adam(policy().parameters(), 0.1)),
        "loss depends on no parameter of optimizer",
    ),
    "an actor's optimiser of the critic": (
        lambda: step_with("actor_step", optimizer=Adam(q_critic().parameters(), 0.1)),
        "loss depends on no parameter of optimizer",
    ),
    "a critic of one action, broadcast": (
        lambda: step_with("actor_step, all", critic=other_critic()),
        r"q has shape \(3, 1\), wanted \(3, 2\) like probs",
    ),
    "a critic of one action under a baseline": (
        lambda: step_with("actor_step, value", critic=other_critic()),
        r"q has shape \(3, 1\), wanted \(3, 2\) like probs",
    ),
    "a target critic of one action": (
        lambda: step_with("critic_step, all", target_critic=other_critic()),
        r"q has shape \(3, 1\), wanted \(3, 2\) like probs",
    ),
    "a target critic of one action, sampled": (
        lambda: step_with("critic_step", target_critic=other_critic()),
        "index 1 is out of bounds",
    ),
    "a critic of seeds for a batch without": (
        lambda: step_with("critic_step", critic=q_critic(2)),
        r"obs has shape \(3, 4\), wanted \(2, ..., 4\)",
    ),
    "a target (B, 1) of one's own": (
        lambda: step_with("critic_step", q_target=lambda *given: eq.q_target(*given)[:, None]),
        r"target has shape \(3, 1\), wanted \(3,\)|prediction has shape \(3,\), wanted \(3, 1\)",
    ),
    "a target (B, B) of one's own": (
        lambda: step_with("v_critic_step", weight=None, v_target=lambda *given: torch.zeros(B, B)),
        r"prediction has shape \(3,\), wanted \(3, 3\) like target",
    ),
    "a target of one's own that is nothing": (
        lambda: step_with("critic_step", q_target=lambda *given: None),
        "target must be a tensor, got NoneType",
    ),
    "a loss of one's own that is NaN": (
        lambda: step_with("actor_step", policy_gradient_loss=lambda p, a: eq.policy_gradient_loss(p, a) * torch.nan),
        "loss is nan",
    ),
    "a loss of one's own without gradient": (
        lambda: step_with("stored_actor_step", entropy_bonus=0.0, policy_gradient_loss=lambda *given: torch.ones(())),
        "loss carries no gradient",
    ),
    "a baseline of one's own (B,)": (
        lambda: step_with("actor_step", leave_one_out=lambda q: q.mean(0)),
        r"advantage has shape \(3,\), wanted \(2, 3\) like log_prob",
    ),
    "a negative weight": (lambda: step_with("v_critic_step", weight=-torch.ones(B)), "loss is nan"),
    "a weight (B, 1)": (lambda: step_with("v_critic_step", weight=torch.ones(B, 1)), r"weight has shape \(3, 1\)"),
    "a target network of another size": (
        lambda: step_with("polyak_update", target=networks.VCritic(OBS, (9,), generator=rng())),
        r"target has parameters \[\(55,\)\], source .* wanted the same",
    ),
    "more than is stored": (lambda: (functools.partial((b := buffer()).sample, 7), b), "n = 7 .* at most the 6 stored"),
    "a reward (B, 1)": (
        lambda: of_fields((B, OBS), (B,), (B, 1), (B, OBS), (B,)),
        r"reward has shape \(3, 1\), wanted \(\) for one transition or \(B,\)",
    ),
    "a reward (B, B)": (lambda: of_fields((B, OBS), (B,), (B, B), (B, OBS), (B,)), r"reward has shape \(3, 3\)"),
    "observations of another environment": (
        lambda: filled("Pendulum-v1"),
        r"obs has shape \(2, 1, 3\), wanted \(2, 1, 4\)|action must hold integers",
    ),
    "environments of another number of seeds": (
        lambda: filled("CartPole-v1", 3),
        r"reward has shape \(3, 1\), wanted .* with S = n_seeds = 2",
    ),
    "three probabilities for two actions": (
        lambda: filled("CartPole-v1", policy=(0.2, 0.3, 0.5)),
        r"policy has shape \(3,\), wanted \(2,\)",
    ),
    "probabilities for a box": (
        lambda: filled("Pendulum-v1", policy=(0.2, 0.8)),
        "policy with one probability per action needs discrete actions",
    ),
    "returns of another number of seeds": (
        lambda: recorded(returns=randn(3)),
        r"returns has shape \(3,\), wanted \(2,\) = \(S,\)",
    ),
    "a curve of another number of seeds": (
        lambda: recorded(value=randn(3)),
        r"value has shape \(3,\), wanted \(2,\) = \(S,\)",
    ),
    "a Q that returns one number": (
        lambda: (lambda: gaussian.expected(lambda a: a.sum(), 0.0, 1.0),),
        r"what q returned has shape \(\), wanted \(2001,\)",
    ),
    "a Q that returns NaN": (
        lambda: (lambda: gaussian.gaussian_moments(lambda a: a.log(), 0.0, 1.0),),
        "what q returned holds NaN or infinity",
    ),
    "an episode of a seed that is not there": (
        lambda: (lambda: envs.recent_returns(EPISODES, n_seeds=1),),
        "episodes holds one of seed 1, wanted 0 to 0",
    ),
    "no episodes": (lambda: (lambda: envs.discounted_steps_left([], 0.9),), "lengths is empty"),
    "weights that are all 0": (
        lambda: (lambda: tr.effective_sample_size(torch.full((3,), -torch.inf)),),
        "log_weight holds .* −infinity alone",
    ),
    "an action that β could not take": (
        lambda: (lambda: eq.importance_ratio(torch.zeros(2), torch.tensor([0.0, -torch.inf])),),
        "behavior_log_prob is infinite",
    ),
    "an action outside the box": (
        lambda: (lambda: tanh_gaussian().log_prob(torch.full((B, 2), 1.5)),),
        "action holds 1.5 to 1.5, wanted",
    ),
    "bounds the wrong way round": (
        lambda: (lambda: tanh_gaussian(low=torch.ones(2), high=-torch.ones(2)),),
        "low and high hold .* wanted low < high",
    ),
    "bounds that are equal": (
        lambda: (lambda: tanh_gaussian(low=torch.ones(2), high=torch.ones(2)),),
        "low and high hold .* wanted low < high",
    ),
    "steps that do not rise evenly": (lambda: (lambda: steps_slider([1, 2, 4], "t"),), "steps must rise by equal"),
    "no steps": (lambda: (lambda: steps_slider([], "t"),), "steps must rise by equal"),
    "a control that is not there": (
        lambda: (lambda: selected_controls({"a": None}, ["b"]),),
        "controls must be one of 'a'",
    ),
    "a folder that is a file": (
        lambda: (lambda: sweep({"a": {"action_samples": 0}}, folder=__file__, n_jobs=1, progress=False),),
        "folder",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_refused_before_anything_changed(name):
    make, words = MISFITS[name]
    function, *watched = make()
    before = [part for thing in watched for part in state(thing)]
    with pytest.raises((TypeError, ValueError, RuntimeError), match=words):
        function()
    assert same(before, [part for thing in watched for part in state(thing)])


@pytest.mark.parametrize("where", ["missing/a.run", "folder"])
def test_a_run_that_cannot_be_written_leaves_every_file_as_it_was(tmp_path, where):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError):
        run().save(tmp_path / where)
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "folder" / "kept").read_text() == "kept"


@pytest.mark.parametrize("contents", [b"", b"nonsense", pickle.dumps({"rest": "{}"}), b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_no_run_is_refused_and_stays(tmp_path, contents):
    path = tmp_path / "a.run"
    path.write_bytes(contents)
    with pytest.raises(ValueError, match="is not a run that Run.save wrote"):
        Run.load(path)
    assert path.read_bytes() == contents
