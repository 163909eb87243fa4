"""Tables of one's own: what is accepted gives the exact answer, and what is refused is named."""

import copy
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch

from offac_lite.exact import TabularMDP
from offac_lite.exact.outcomes import Outcomes
from offac_lite.exact.tables import read_table

# From state 0, action 0 goes on half the time and ends half the time; action 1 goes to state 1, which ends.
P = {
    0: {0: [(0.5, 0, 1.0, False), (0.5, 1, 1.0, True)], 1: [(1.0, 1, 0.0, False)]},
    1: {0: [(1.0, 1, 3.0, True)], 1: [(1.0, 0, 0.0, False)]},
}
HALF = [[0.5, 0.5]] * 2


def world(table, initial=(1.0, 0.0)):
    return SimpleNamespace(P=table, initial_state_distrib=initial)


def both(env, **kwargs):
    return TabularMDP.from_gymnasium(env, gamma=0.5, **kwargs), Outcomes.from_gymnasium(env, **kwargs)


def as_lists(table):
    return [[list(map(list, row)) for row in actions.values()] for actions in table.values()]


def of_numpy(table):
    return {
        np.int64(s): {
            a: [(np.float32(p), np.int64(t), np.float64(r), np.bool_(d)) for p, t, r, d in row]
            for a, row in actions.items()
        }
        for s, actions in table.items()
    }


ACCEPTED = {
    "dicts": P,
    "lists": as_lists(P),
    "numbers of NumPy": of_numpy(P),
    "another order": {1: dict(reversed(P[1].items())), 0: P[0]},
    "an outcome that never happens": P | {1: {0: [(1.0, 1, 3.0, True), (0.0, 0, 99.0, False)], 1: P[1][1]}},
    "an outcome in two parts": P | {1: {0: [(0.25, 1, 3.0, True), (0.75, 1, 3.0, True)], 1: P[1][1]}},
}


@pytest.mark.parametrize("table", ACCEPTED.values(), ids=ACCEPTED)
def test_the_same_table_written_in_another_way_is_the_same_mdp(table):
    mdp, outcomes = both(world(table))
    # V(0) = ½ (1 + ½ · ½ V(0)) + ½ (½ V(1)) and V(1) = ½ · 3 + ½ (½ V(0))
    v0, v1 = np.linalg.solve([[1 - 1 / 8, -1 / 4], [-1 / 4, 1]], [1 / 2, 3 / 2])
    torch.testing.assert_close(mdp.state_values(HALF), torch.tensor([v0, v1]))
    torch.testing.assert_close((outcomes.probability * outcomes.reward).sum(-1), mdp.reward)
    ends = (outcomes.probability * outcomes.terminated).sum(-1)
    torch.testing.assert_close(1 - mdp.transition.sum(-1), ends)


def spoiled(s, a, row):
    table = copy.deepcopy(P)
    table[s][a] = row
    return table


def without(s, a):
    table = copy.deepcopy(P)
    del table[s][a]
    return table


REFUSED = {
    "a sum of 0.9": (spoiled(0, 1, [(0.5, 0, 0.0, False), (0.4, 1, 0.0, False)]), r"P\[0\]\[1\]: .* sum to 0.9"),
    "a sum of 1.1": (spoiled(0, 1, [(0.6, 0, 0.0, False), (0.5, 1, 0.0, False)]), r"P\[0\]\[1\]: .* sum to 1.1"),
    "1.5 and −0.5": (
        spoiled(1, 0, [(1.5, 0, 0.0, False), (-0.5, 1, 0.0, False)]),
        r"P\[1\]\[0\]\[1\]: the probability must not be negative, got -0.5",
    ),
    "a probability that is no number": (spoiled(0, 0, [("1", 0, 0.0, False)]), "the probability must be a number"),
    "NaN": (spoiled(0, 0, [(float("nan"), 0, 0.0, False)]), r"P\[0\]\[0\]\[0\]: the probability must be finite"),
    "no outcomes": (spoiled(0, 1, []), r"P\[0\]\[1\]: the probabilities sum to 0, wanted 1"),
    "a missing action": (without(1, 1), r"P\[1\] has 1 actions, wanted 2 as in P\[0\]"),
    "a missing first action": (without(1, 0), r"P\[1\] has the actions 1; wanted numbers from 0 to 0"),
    "a state without actions": (P | {1: {}}, r"P\[1\] has no actions"),
    "a successor −1": (spoiled(0, 1, [(1.0, -1, 0.0, False)]), r"P\[0\]\[1\]\[0\]: the next state must be at least 0"),
    "a successor beyond": (spoiled(0, 1, [(1.0, 2, 0.0, False)]), "the next state must lie between 0 and 1, got 2"),
    "a successor 0.5": (spoiled(0, 1, [(1.0, 0.5, 0.0, False)]), "the next state must be a whole number, got 0.5"),
    "a named successor": (spoiled(0, 1, [(1.0, "goal", 0.0, False)]), "the next state must be a whole number"),
    "states from 1": ({1: P[0], 2: P[1]}, "P has the states 1, 2; wanted numbers from 0 to 1"),
    "named states": ({"A": P[0], "B": P[1]}, "P has the states 'A', 'B'; wanted numbers from 0 to 1"),
    "actions from 1": (P | {0: {1: P[0][0], 2: P[0][1]}}, r"P\[0\] has the actions 1, 2; wanted"),
    "no flag": (spoiled(0, 1, [(1.0, 1, 0.0)]), r"P\[0\]\[1\]\[0\] must be \(probability, next state, reward, term"),
    "a flag of 1": (spoiled(0, 1, [(1.0, 1, 0.0, 1)]), "terminated must be True or False, got 1"),
    "flag and reward swapped": (spoiled(0, 1, [(1.0, 1, True, 0.0)]), "terminated must be True or False, got 0.0"),
    "a reward that is infinite": (spoiled(0, 1, [(1.0, 1, float("inf"), True)]), "the reward must be finite"),
    "one outcome without a list": (spoiled(0, 1, (1.0, 1, 0.0, True)), r"P\[0\]\[1\]\[0\] must be \(probability"),
    "a row of text": (spoiled(0, 1, "stay"), r"P\[0\]\[1\] must be a list of outcomes, got str"),
    "an array (S, A, S)": (np.full((2, 2, 2), 0.5), "P must be a dict or a list of states, got ndarray"),
    "no states": ({}, "P has no states"),
}


@pytest.mark.parametrize("reader", [TabularMDP.from_gymnasium, Outcomes.from_gymnasium])
@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_is_wrong_is_refused_by_state_and_action(name, reader):
    table, words = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=words):
        reader(world(table))


@pytest.mark.parametrize("reader", [TabularMDP.from_gymnasium, Outcomes.from_gymnasium])
@pytest.mark.parametrize(
    ("initial", "words"),
    [
        ([1.0], r"initial_state_distrib has shape \(1,\), wanted \(2,\) = \(S,\)"),
        ([0.5, 0.4], "initial_state_distrib has a row that sums to 0.9, wanted 1"),
        ([1.5, -0.5], "initial_state_distrib holds a negative probability"),
        ("first", "initial_state_distrib must be numeric"),
    ],
)
def test_a_wrong_distribution_of_the_first_state_is_refused(initial, words, reader):
    with pytest.raises((TypeError, ValueError), match=words):
        reader(world(P, initial))


def test_taxi_with_a_fickle_passenger_is_refused_and_its_other_options_are_read():
    for reader in (TabularMDP.from_gymnasium, Outcomes.from_gymnasium):
        with pytest.raises(ValueError, match="fickle passenger changes the destination"):
            reader("Taxi-v4", fickle_passenger=True)
    dry, rainy = (TabularMDP.from_gymnasium("Taxi-v4", is_rainy=rain) for rain in (False, True))
    assert not torch.equal(dry.transition, rainy.transition)


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"])
def test_gymnasium_s_own_tables_are_read_and_sum_to_one(env_id):
    rows, initial = read_table(gymnasium.make(env_id))
    assert {round(sum(o.probability for o in row), 12) for actions in rows for row in actions} == {1.0}
    assert initial.sum().item() == pytest.approx(1)
    mdp, outcomes = both(env_id)
    torch.testing.assert_close((outcomes.probability * outcomes.reward).sum(-1), mdp.reward)


def test_a_table_given_directly_keeps_missing_mass_as_termination():
    mdp = TabularMDP([[[0.5]]], [[1.0]], [1.0], gamma=1 / 2)
    assert mdp.state_values([[1.0]]).item() == pytest.approx(4 / 3)


def made_outcomes(**change):
    right = {
        "probability": torch.tensor([[[0.5, 0.5]], [[1.0, 0.0]]], dtype=torch.float64),
        "reward": torch.zeros(2, 1, 2, dtype=torch.float64),
        "next_obs": torch.tensor([[[0, 1]], [[1, 0]]]),
        "terminated": torch.tensor([[[False, True]], [[True, False]]]),
        "initial": torch.tensor([1.0, 0.0], dtype=torch.float64),
    }
    return Outcomes(**(right | change))


def test_outcomes_given_directly_are_checked_too():
    made_outcomes()
    for change, words in (
        (dict(probability=torch.full((2, 1, 2), 0.4).double()), "probability has a row that sums to 0.8, wanted 1"),
        (dict(probability=torch.ones(2, 2).double()), r"probability has shape \(2, 2\), wanted \(S, A, O\)"),
        (dict(next_obs=torch.tensor([[[0, -1]], [[1, 0]]])), "next_obs holds states from -1 to 1, wanted 0 to 1"),
        (dict(next_obs=torch.zeros(2, 1, 2)), "next_obs has dtype torch.float32, wanted torch.int64"),
        (dict(terminated=torch.zeros(2, 1, 2)), "terminated has dtype torch.float32, wanted torch.bool"),
        (dict(reward=torch.zeros(2, 1)), r"reward has shape \(2, 1\), wanted \(2, 1, 2\)"),
        (dict(initial=torch.tensor([0.5, 0.4]).double()), "initial has a row that sums to 0.9"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            made_outcomes(**change)
