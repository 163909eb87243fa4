"""The algorithm in one file: short, without the package, runs, and its steps are those of the package."""

import pytest
import torch

from examples import one_file
from examples.one_file import OffPolicyActorCritic, main
from offac_lite import updates
from offac_lite.buffer import Transition
from offac_lite.networks import Categorical, EvaluatedQCritic
from tests.refresh_notebooks import ROOT
from tests.test_structure import imports

SOURCE = (ROOT / "examples" / "one_file.py").read_text(encoding="utf-8")


def test_it_is_short_and_does_not_use_the_package():
    assert len(SOURCE.splitlines()) < 150
    assert not any(name.startswith("offac_lite") for name in imports(ROOT / "examples" / "one_file.py"))


def gradient(network):
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


def test_its_steps_are_those_of_the_package(monkeypatch):
    """Where π is sure of a′, the critic's gradient is the same; with many resampled actions, nearly so the actor's."""
    with torch.random.fork_rng():
        agent, (obs, next_obs) = OffPolicyActorCritic(total_steps=8), torch.randn(2, 64, 4)
        for parameter in (*agent.policy[-1].parameters(), *agent.target_critic.parameters()):
            parameter.data += 0.3 * torch.randn(parameter.shape)
        action, reward, terminated = torch.randint(2, (64,)), torch.rand(64), torch.rand(64) > 0.5
        batch, generator = Transition(obs, action, reward, next_obs, terminated, None, None), torch.Generator()

        def evaluated(critic, obs):
            return EvaluatedQCritic(obs, torch.stack([each(obs) for each in critic.both]))

        monkeypatch.setattr(one_file, "ACTION_SAMPLES", 5000)
        pi, critic = Categorical(agent.policy(obs)), evaluated(agent.critic, obs)
        options = dict(action_samples="all", entropy_bonus=one_file.ENTROPY_BONUS, generator=generator)
        wanted = torch.autograd.grad(
            updates.resampled_actor_loss(pi, critic, obs, **options), agent.policy.parameters()
        )
        wanted = torch.cat([part.flatten() for part in wanted])
        agent.actor_step(obs)
        assert (gradient(agent.policy) - wanted).norm() < 0.02 * wanted.norm()

        agent.policy[-1].weight.data *= 1e5  # now every a′ is certain
        next_pi, target = Categorical(agent.policy(next_obs)), evaluated(agent.target_critic, next_obs)
        loss = updates.q_critic_loss(critic, target, next_pi, batch, one_file.GAMMA, "all", generator=generator)
        wanted = torch.cat([part.flatten() for part in torch.autograd.grad(loss, agent.critic.parameters())])
        agent.critic_step(*batch[:4], terminated.float())
        torch.testing.assert_close(gradient(agent.critic), wanted)


@pytest.mark.slow
def test_it_runs_and_the_same_seed_gives_the_same_returns(capsys):
    state = torch.get_rng_state()
    try:
        first, again, other = main(0, 4000), main(0, 4000), main(1, 4000)
    finally:
        torch.set_rng_state(state)
    assert first == again != other
    assert capsys.readouterr().out.startswith("  4000 steps: greedy return ")


@pytest.mark.slow
def test_it_learns():
    state = torch.get_rng_state()
    try:
        returns = main(0)
    finally:
        torch.set_rng_state(state)
    assert returns[-1] >= 475, returns  # random play comes to about 20
