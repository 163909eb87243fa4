"""The checks on answers that were written without sight of their tables, and what a tick promises."""

import copy
import math
import re
import warnings
from pathlib import Path

import pytest
import torch

from offac_lite import equations, train
from offac_lite.buffer import Transition
from offac_lite.course import checks, clinic
from offac_lite.exact import TabularMDP
from offac_lite.exact.outcomes import Outcomes
from offac_lite.exact.traces import trace_operator
from offac_lite.networks import (
    Categorical,
    CategoricalPolicy,
    ContinuousQCritic,
    DiscreteQCritic,
    TanhGaussianPolicy,
    TwinQCritic,
    VCritic,
    of_actions,
)
from offac_lite.updates import descend
from tests import (
    test_checks,
    test_checks_01,
    test_checks_02,
    test_checks_03,
    test_checks_04,
    test_checks_05,
    test_checks_06,
    test_checks_continuous,
    test_checks_evidence,
    test_checks_fixed_data,
    test_checks_stability,
)
from tests import test_checks_07 as clinical
from tests.exercises import define

GENERIC = "compare your line with"
SCOPE = {"math": math, "torch": torch, "of_actions": of_actions}
SCOPE |= {
    name: getattr(equations, name)
    for name in ("critic_loss", "entropy_weight_loss", "leave_one_out", "q_target", "soft_q", "v_target")
}
SCOPE |= {"actor_loss": checks.actor_loss.right, "expected_value": checks.expected_value.right}


def read_answers() -> list:
    """Read answers.txt: (exercise, whether it is right, function)."""
    answers, name, arguments = [], "", ""
    for line in Path(__file__).with_name("answers.txt").read_text(encoding="utf-8").splitlines():
        if begin := re.fullmatch(r"## (\w+)\((.*)\)", line):
            name, arguments = begin.groups()
        elif line[:2] in ("+ ", "- "):
            answers.append([name, line[0] == "+", f"def my_answer({arguments}):\n    {line[2:]}\n"])
        elif line.startswith("    "):
            answers[-1][2] += f"{line}\n"
    return [(checks.EXERCISES[n], right, define(source, dict(SCOPE))["my_answer"]) for n, right, source in answers]


ANSWERS = read_answers()
TABLES = [
    test_checks,
    test_checks_01,
    test_checks_02,
    test_checks_03,
    test_checks_04,
    test_checks_05,
    test_checks_06,
    test_checks_continuous,
    test_checks_stability,
    test_checks_evidence,
    test_checks_fixed_data,
    clinical,
]
TABLES = [(e, f) for module in TABLES for e, answers in module.TestAnswers.RIGHT.items() for f in answers]
ACCEPTED = [(exercise, function) for exercise, right, function in ANSWERS if right] + TABLES
SAID = {}


def said(function):
    """Return the verdict on a wrong answer, found once."""
    if function not in SAID:
        exercise = next(e for e, _, f in ANSWERS if f is function)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the answers themselves: the spread of a single value
            SAID[function] = checks.diagnose(exercise, function)
    return SAID[function]


def wrong_answers():
    return [(exercise, function) for exercise, right, function in ANSWERS if not right]


def test_every_exercise_has_answers_written_without_sight_of_its_table():
    for exercise in checks.EXERCISES.values():
        rights = [right for e, right, _ in ANSWERS if e is exercise]
        assert rights.count(True) >= 1 and rights.count(False) >= 6, exercise.name


@pytest.mark.parametrize("exercise, function", ACCEPTED, ids=lambda value: getattr(value, "name", ""))
def test_right_answers_in_unusual_styles_are_accepted(exercise, function):
    assert checks.diagnose(exercise, function)[0] is True


@pytest.mark.slow
def test_every_wrong_answer_is_caught_and_nine_in_ten_are_named():
    wrong = [said(function) for _, function in wrong_answers()]
    assert all(verdict is False for verdict, _ in wrong)
    unnamed = [words for _, words in wrong if GENERIC in words or "is not what it should be" in words]
    assert len(unnamed) <= 0.1 * len(wrong), unnamed


@pytest.mark.slow
def test_no_message_shows_code_or_an_internal_name():
    for exercise, function in wrong_answers():
        words = said(function)[1]
        own = words.split("it stops with")[0]
        assert not re.search(r"\.detach\(|torch\.|\.mean\(|\.sum\(|lambda|_one_|<", own), f"{exercise.name}: {words}"
        assert len(words) < 700, words


# ---------------------------------------------------------------------- a tick means that the notebook goes on


def of_lake(v_target, generator):
    learned = torch.zeros(16)
    states = torch.randint(16, (32,), generator=generator)
    y = v_target(torch.ones(32), states > 12, learned[states], 0.99)
    learned.index_add_(0, states, 0.1 * (y - learned[states]))


def of_ten_agents(v_target, generator):
    critic = VCritic(4, (8,), n_seeds=2, generator=generator)
    obs = torch.rand(2, 5, 4, generator=generator)
    y = v_target(torch.ones(2, 5), obs[..., 0] > 0.5, critic(obs), 0.99)
    descend(torch.optim.Adam(critic.parameters()), equations.critic_loss(critic(obs), y))


def by_train(env_id="CartPole-v1", **options):
    quick = dict(seeds=2, total_steps=96, random_steps=32, batch_size=8, evaluations=1, eval_episodes=1, progress=False)

    def go_on(function, generator):
        run = train(env_id, **quick | {k: function if v is None else v for k, v in options.items()})
        assert torch.isfinite(run.returns).all()

    return go_on


def by_awac(awac_loss, generator):
    by_train(resampled_loss=lambda *given: awac_loss(*given[:4], 0.5), action_samples=1)(None, generator)


def actor(actor_loss, generator):
    policy = CategoricalPolicy(4, 2, (8,), n_seeds=2, generator=generator)
    pi = policy(torch.rand(2, 5, 4, generator=generator))
    loss = actor_loss(pi.log_prob(pi.sample(generator=generator)), torch.rand(2, 5, generator=generator))
    descend(torch.optim.Adam(policy.parameters()), loss - 0.01 * pi.entropy().mean(-1))


def q_on_the_lake(q_target, generator):
    learned, at = torch.zeros(16, 4), torch.randint(4, (20,), generator=generator)
    y = q_target(torch.ones(20), at > 2, learned[at, at], 0.99)
    learned.index_put_((at, at), 0.1 * (y - learned[at, at]), accumulate=True)
    assert q_target(torch.ones(20), at > 2, torch.rand(7, 20), 0.99).shape == (20,)


def next_actions(next_action, generator):
    critic = DiscreteQCritic(3, 4, (8,), n_seeds=2, generator=generator)
    states, policy = torch.randint(3, (2, 6), generator=generator), lambda s: Categorical(torch.eye(3, 4)[s])
    for at in (states[0], states[0, :1]):
        assert next_action(policy, policy, at, at, at, generator).shape == at.shape
    action = next_action(policy, policy, states, states, states, generator)
    assert critic(torch.eye(3)[states], action).shape == (2, 6)


def shares(old_share, generator):
    assert isinstance(f"{100 * old_share(150, 100, 8, 1000):3.0f}", str) and abs(old_share(1250, 100, 8, 10**6)) < 1


def ring(ring_rows, generator):
    memory = torch.zeros(10, dtype=torch.int64)
    for n_added in range(0, 28, 4):
        memory[ring_rows(n_added, 4, 10)] = n_added + torch.arange(4)
    assert sorted(memory.tolist()) == list(range(18, 28))


def ring_of_writers(buffer_policy, generator):
    probs = torch.softmax(torch.rand(3, 5, 2, generator=generator, dtype=torch.float64), -1)
    beta = buffer_policy(probs, torch.rand(3, 5, dtype=torch.float64).clamp_min(1e-12))
    assert (
        checks.naive_fixed_point.right(torch.rand(5, 2, 5).double() / 5, torch.rand(5, 2).double(), beta, 0.9).ndim == 1
    )


def fixed_point(naive_fixed_point, generator):
    step, reward = torch.rand(5, 2, 5).double() / 5, torch.rand(5, 2).double()
    value = naive_fixed_point(step, reward, torch.full((5, 2), 0.5).double(), 0.9)
    assert (reward + 0.9 * step @ value).dtype == torch.float64


def many_weights(effective_sample_size, generator):
    assert effective_sample_size(torch.rand(50, 1000).log()).shape == (50,)


def weights(causal_weights, generator):
    log_pi = torch.rand(6, 4, generator=generator).log().requires_grad_()
    (causal_weights(log_pi, log_pi.detach()) * log_pi).sum().backward()
    assert torch.allclose(log_pi.grad, torch.ones(6, 4))


def clipped(clipped_ratio, generator):
    for c in (1, 1.5, math.inf):
        assert clipped_ratio(torch.rand(6, 4).log(), torch.rand(6, 4).log(), c).shape == (6, 4)


def coefficients(one_ratio, generator):
    q = torch.rand(256, 8, 2).double()
    action = torch.randint(2, (256, 8), generator=generator)
    c = one_ratio(torch.rand(256, 8).double(), q, torch.softmax(q, -1), action)
    assert (c[..., None] * q).shape == q.shape


def values(expected_value, generator):
    pi, q = torch.full((16, 4), 0.25).double(), torch.rand(16, 4).double()
    assert expected_value(pi, (q - expected_value(pi, q)[:, None]).square()).shape == (16,)


def targets_of_tables(expected_target, generator):
    lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4")
    pi, table = torch.full((16, 4), 0.25).double(), torch.zeros(16, 4).double()
    batch = lake.play(pi, 20, generator).sample(8, generator)
    error = expected_target(pi, table, batch) - table[batch.obs, batch.action]
    table.index_put_((batch.obs, batch.action), 0.1 * error, accumulate=True)


def runs_away(mean_change, generator):
    assert bool(mean_change(0.9, 0.99, 0.1) > 0) and abs(mean_change(0.0, 0.5, 0.1)) < 10


def traces_of_the_lake(retrace_coefficient, generator):
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    path = torch.softmax(mdp.policy_path(20, 5.0), -1)
    operator = trace_operator(mdp, path[-1], path[0], retrace_coefficient(path[-1], path[0], 1.0))
    assert operator.contraction() < 0.99


def variances(total_variance, generator):
    assert float(total_variance(torch.tensor(0.3).double(), torch.tensor(5.0).double(), 32, 4)) > 0


def advantages(resampled_advantage, generator):
    critic = DiscreteQCritic(3, 4, (8,), generator=generator)
    action = torch.randint(4, (2, 5), generator=generator)
    vectors = torch.rand(3, 5, generator=generator)
    assert resampled_advantage(critic, torch.rand(5, 3), action, *vectors, 0.9).shape == (2, 5)


def targets(make_target, generator):
    twins = TwinQCritic(lambda **nets: DiscreteQCritic(4, 2, (8,), generator=generator, **nets), 2)
    target = make_target(twins)
    assert target.all_actions(torch.rand(2, 5, 4)).shape == (2, 5, 2) and target is not twins


def follows(polyak_update, generator):
    one = DiscreteQCritic(4, 2, (8,), n_seeds=2, generator=generator)
    other = copy.deepcopy(one)
    polyak_update(other, one, 0.1)
    descend(torch.optim.Adam(one.parameters()), one.all_actions(torch.rand(2, 5, 4)).mean((-2, -1)))
    polyak_update(other, one, 1.0)
    assert torch.allclose(other.net.theta, one.net.theta)


def reversed_means(share_reversed, generator):
    means = [torch.rand(32)[torch.randint(32, (50, 3), generator=generator)].mean(1) for _ in range(2)]
    assert re.fullmatch(r"\d+%", f"{100 * float(share_reversed(*means)):.0f}%")


def ratios(replays, generator):
    assert f"{replays(1 / 8, 64, 8):g}" == "1"


def density(log_prob, generator):
    grid = torch.linspace(-1.9, 1.9, 9)[:, None]
    assert log_prob(grid, torch.zeros(9, 1), torch.zeros(9, 1), torch.tensor([0.0]), torch.tensor([2.0])).shape == (9,)


def whole_loss(on_policy_loss, generator):
    policy = CategoricalPolicy(4, 2, (8,), n_seeds=2, generator=generator)
    critic = VCritic(4, (8,), n_seeds=2, generator=generator)
    obs, next_obs = torch.rand(2, 2, 5, 4, generator=generator)
    pi = policy(obs)
    log_prob = pi.log_prob(pi.sample(generator=generator))
    loss = on_policy_loss(log_prob, critic(obs), critic(next_obs), torch.ones(2, 5), obs[..., 0] > 0.5, 0.99)
    optimizer = torch.optim.Adam([*policy.parameters(), *critic.parameters()])
    descend(optimizer, loss - 0.01 * pi.entropy().mean(-1))


def soft(soft_q, generator):
    alpha = torch.full((2, 1), 0.1, requires_grad=True).exp().detach()
    y = equations.q_target(torch.ones(2, 5), torch.zeros(2, 5) > 0, soft_q(*torch.rand(2, 2, 5), alpha), 0.99)
    assert y.shape == (2, 5)


def soft_update(sac_losses, generator):
    policy = TanhGaussianPolicy(3, [-2.0], [2.0], (8,), n_seeds=2, generator=generator)
    critic = TwinQCritic(lambda **nets: ContinuousQCritic(3, 1, (8,), generator=generator, **nets), 2)
    log_alpha, (obs, next_obs) = torch.zeros(2, 1, requires_grad=True), torch.rand(2, 2, 5, 3, generator=generator)
    action, end = torch.rand(2, 5, 1, generator=generator), torch.zeros(2, 5) > 0
    batch = Transition(obs, action, torch.ones(2, 5), next_obs, end, log_prob=None, age=None)
    target = copy.deepcopy(critic).requires_grad_(False)
    of_critic, of_actor, of_alpha = sac_losses(policy, critic, target, log_alpha, batch, generator)
    descend(torch.optim.Adam(policy.parameters()), of_actor)
    descend(torch.optim.Adam(critic.parameters()), of_critic)
    descend(torch.optim.Adam([log_alpha]), of_alpha)


def discrete_update(discrete_sac_loss, generator):
    policy = CategoricalPolicy(4, 2, (8,), n_seeds=2, generator=generator)
    critic = TwinQCritic(lambda **nets: DiscreteQCritic(4, 2, (8,), generator=generator, **nets), 2)
    alpha, obs = torch.tensor([[0.1], [0.5]]), torch.rand(2, 5, 4, generator=generator)
    loss = discrete_sac_loss(policy, critic, obs, alpha)
    assert loss.shape == (2,)
    descend(torch.optim.Adam(policy.parameters()), loss)


def healed(part):
    def go_on(function, generator):
        parts = clinic.Parts(**{part: function})
        chart = clinic.train_patient(parts, 0, seeds=2, total_steps=1_200, evaluations=2)
        assert torch.isfinite(chart["value"]).all()

    return go_on


def counted(wrong_rows, generator):
    rows = clinic.stored_rows(clinic.patient("J"), 10)
    marks = wrong_rows(rows.obs, rows.action, rows.next_obs)
    assert marks.sum().item() == clinic.wrong_rows(rows.obs, rows.action, rows.next_obs).sum().item() > 0


PENDULUM = dict(env_id="Pendulum-v1", twin=False, next_action_samples=1, resampled_loss=None)
NEXT = {
    "v_target": [of_lake, of_ten_agents, by_train(critic="v", action="stored", v_target=None)],
    "bootstraps": [lambda f, g: torch.rand(5)[f(torch.rand(5) > 0.5, torch.rand(5) > 0.5)]],
    "actor_loss": [actor],
    "on_policy_loss": [whole_loss],
    "old_share": [shares],
    "ring_rows": [ring],
    "buffer_policy": [ring_of_writers],
    "naive_fixed_point": [fixed_point],
    "owners": [lambda f, g: f()],
    "effective_sample_size": [many_weights],
    "causal_weights": [weights],
    "clipped_ratio": [clipped],
    "one_ratio": [coefficients],
    "q_target": [q_on_the_lake, by_train(next_action_samples=4, q_target=None), by_train(q_target=None)],
    "next_action": [next_actions],
    "expected_value": [values],
    "expected_target": [targets_of_tables],
    "mean_change": [runs_away],
    "retrace_coefficient": [traces_of_the_lake],
    "resampled_loss": [
        by_train(resampled_loss=None, action_samples=4),
        by_train(resampled_loss=None, action_samples=1),
    ],
    "resampled_advantage": [advantages],
    "total_variance": [variances],
    "own_loss": [by_train(resampled_loss=None, action_samples=4)],
    "awac_loss": [by_awac],
    "leave_one_out": [by_train(leave_one_out=None, baseline="leave-one-out", action_samples=4)],
    "polyak_update": [follows],
    "make_target": [targets],
    "replays": [ratios],
    "share_reversed": [reversed_means],
    "squashed_log_prob": [density],
    "soft_q": [soft],
    "sac_losses": [soft_update],
    "discrete_sac_loss": [discrete_update],
    "reparameterized_loss": [by_train(**PENDULUM, action_samples=1)],
    "score_function_loss": [by_train(**PENDULUM, action_samples=8)],
    "patient_a": [healed("q_target")],
    "patient_b": [healed("actor_loss")],
    "patient_c": [healed("actor_loss")],
    "patient_d": [healed("critic_loss")],
    "patient_e": [healed("resample")],
    "patient_f": [healed("actor_loss")],
    "patient_g": [healed("next_value")],
    "patient_h": [healed("ended")],
    "wrong_rows": [counted],
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch and NumPy dislike some of the styles
@pytest.mark.parametrize("exercise, function", ACCEPTED, ids=lambda value: getattr(value, "name", ""))
def test_what_is_accepted_works_in_the_lines_that_use_it_next(exercise, function):
    (name,) = [name for name, e in checks.EXERCISES.items() if e is exercise]
    for go_on in NEXT[name]:
        go_on(function, torch.Generator().manual_seed(0))
