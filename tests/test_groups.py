"""The weights of a group of K actions: exact moments, against the estimators' and against samples."""

import pytest
import torch

from offac_lite.exact import TabularMDP, gradient_moments
from offac_lite.exact.groups import GROUP_WEIGHTS, group_moments

LAKE = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
LOGITS = LAKE.policy_path(n_steps=10, step_size=5.0)[-1]
PROBS = torch.softmax(LOGITS, -1)
Q = LAKE.action_values(PROBS)


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize(("weight", "baseline"), [("Q itself", None), ("RLOO", "leave-one-out")])
def test_unbiased_weights_have_the_moments_of_the_estimators(weight, baseline, k):
    mean, variance = group_moments(PROBS, Q, weight, k)
    rho = LAKE.occupancy(PROBS)
    exact = gradient_moments(LAKE, LOGITS, "resampled", batch_size=1, action_samples=k, baseline=baseline)
    assert torch.allclose(rho[:, None] * mean, LAKE.policy_gradient(LOGITS), atol=1e-12)
    assert (rho.sum() * (rho * variance).sum()).item() == pytest.approx(exact.variance_actions)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_with_ones_own_value_in_the_mean_the_gradient_is_shorter(k):
    of_group, of_others = (group_moments(PROBS, Q, weight, k) for weight in ("Dr. GRPO", "RLOO"))
    assert torch.allclose(of_group[0], (k - 1) / k * of_others[0])
    assert torch.allclose(of_group[1], ((k - 1) / k) ** 2 * of_others[1])


def test_the_division_turns_the_gradient_of_all_states_together():
    uniform = torch.full((16, 4), 0.25, dtype=torch.float64)
    mean, _ = group_moments(uniform, LAKE.action_values(uniform), "GRPO", 4)
    mean, target = LAKE.occupancy(uniform)[:, None] * mean, LAKE.policy_gradient(torch.zeros(16, 4))
    assert torch.cosine_similarity(mean.flatten(), target.flatten(), dim=0).item() == pytest.approx(0.459, abs=5e-4)


@pytest.mark.parametrize("weight", GROUP_WEIGHTS)
def test_samples_have_these_moments(weight):
    mean, variance = group_moments(PROBS[:1], Q[:1], weight, 3)
    generator = torch.Generator().manual_seed(0)
    action = torch.multinomial(PROBS[0], 90_000, True, generator=generator).reshape(3, 30_000)  # (K, samples)
    score = torch.nn.functional.one_hot(action, 4) - PROBS[0]
    g = (GROUP_WEIGHTS[weight](Q[0][action])[..., None] * score).mean(0)
    assert ((g.mean(0) - mean[0]).abs() < 4.5 * g.std(0) / 30_000**0.5 + 1e-12).all()
    squares = (g - mean[0]).square().sum(-1)
    assert abs(squares.mean() - variance[0]) < 4.5 * squares.std() / 30_000**0.5


def test_what_cannot_be_listed_is_refused():
    with pytest.raises(ValueError, match=r"wanted \(S, A\) with A \*\* 9 <= 65536"):
        group_moments(PROBS, Q, "RLOO", 9)
    with pytest.raises(ValueError, match="action_samples must be at least 2"):
        group_moments(PROBS, Q, "RLOO", 1)
