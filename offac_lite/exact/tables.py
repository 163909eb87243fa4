"""Read the transition table of an environment, Gymnasium's or one of your own."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch

from offac_lite import _check


class Outcome(NamedTuple):
    """One outcome of an action: its probability, s′, r and d."""

    probability: float
    next_obs: int
    reward: float
    terminated: bool


Rows = list[list[list[Outcome]]]
"""Outcomes by state and action."""


def read_table(env: str | gymnasium.Env, **kwargs: Any) -> tuple[Rows, torch.Tensor]:
    """Return the outcomes of each state and action, and the distribution (S,) of the first state.

    `env` is an environment, or an id with `**kwargs` for `gymnasium.make`. An object of your own needs two attributes:

    - `P[s][a]`, a list of (probability, s′, r, terminated) for each state s in 0 … S − 1 and action a in 0 … A − 1,
      in dicts or lists. The probabilities sum to 1; `terminated` is True or False;
    - `initial_state_distrib`, S probabilities.

    Raises `ValueError` or `TypeError` for an environment that cannot be made, has no table or has rules that are not in
    its table, and for a table that breaks one of these rules. The message names the state and the action.

    >>> from types import SimpleNamespace
    >>> coin = {0: {0: [(0.5, 0, 1.0, False), (0.4, 0, 0.0, True)]}}
    >>> read_table(SimpleNamespace(P=coin, initial_state_distrib=[1.0]))
    Traceback (most recent call last):
    ValueError: P[0][0]: the probabilities sum to 0.9, wanted 1. An outcome that ends the episode has terminated=True
    """
    base = _with_table(env, **kwargs)
    states = _numbered("P", "states", base.P)
    cells = [_numbered(f"P[{s}]", "actions", actions) for s, actions in enumerate(states)]
    n_states, n_actions = len(states), len(cells[0])
    for s, actions in enumerate(cells):
        if len(actions) != n_actions:
            raise ValueError(f"P[{s}] has {len(actions)} actions, wanted {n_actions} as in P[0]")
    rows = [[_outcomes(f"P[{s}][{a}]", row, n_states) for a, row in enumerate(cells[s])] for s in range(n_states)]
    return rows, _check.distributions("initial_state_distrib", base.initial_state_distrib, (n_states,), "(S,)")


def _with_table(env: str | gymnasium.Env, **kwargs: Any) -> Any:
    """Return the unwrapped environment, which has a table. If `env` is an id, make it first."""
    if isinstance(env, str):
        try:
            env = gymnasium.make(env, **kwargs)
        except (gymnasium.error.Error, ImportError, KeyError, TypeError) as error:  # which one depends on what is wrong
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"env: gymnasium cannot make {env!r} with {kwargs}: {reason}") from None
    elif kwargs:
        raise TypeError(f"env is already made, so {', '.join(kwargs)} would be ignored; pass an id instead")
    base = getattr(env, "unwrapped", env)
    if getattr(base, "P", None) is None or getattr(base, "initial_state_distrib", None) is None:
        raise ValueError(
            f"env {base!r} has no transition table: wanted attributes P and initial_state_distrib, "
            "which FrozenLake, CliffWalking and Taxi have"
        )
    if getattr(base, "fickle_passenger", False):
        raise ValueError(
            f"env {base!r}: its fickle passenger changes the destination in step(), and the table P does not know it; "
            "wanted fickle_passenger=False"
        )
    return base


def _numbered(name: str, what: str, entries: Any) -> list[Any]:
    """Return what a dict with the keys 0, 1, … or a list holds, in order."""
    if isinstance(entries, Mapping):
        if not all(isinstance(key, Integral) and key in range(len(entries)) for key in entries):
            keys = ", ".join(map(repr, list(entries)[:5])) + (", …" if len(entries) > 5 else "")
            raise ValueError(f"{name} has the {what} {keys}; wanted numbers from 0 to {len(entries) - 1}")
        entries = [entries[key] for key in range(len(entries))]
    if not isinstance(entries, list | tuple):
        raise TypeError(f"{name} must be a dict or a list of {what}, got {type(entries).__name__}")
    if not entries:
        raise ValueError(f"{name} has no {what}")
    return list(entries)


def _outcomes(name: str, row: Any, n_states: int) -> list[Outcome]:
    if not isinstance(row, list | tuple):
        raise TypeError(f"{name} must be a list of outcomes, got {type(row).__name__}")
    outcomes = [_outcome(f"{name}[{i}]", outcome, n_states) for i, outcome in enumerate(row)]
    total = sum(outcome.probability for outcome in outcomes)
    if abs(total - 1) > 1e-6:
        raise ValueError(
            f"{name}: the probabilities sum to {total:.6g}, wanted 1. "
            "An outcome that ends the episode has terminated=True"
        )
    return outcomes


def _outcome(name: str, outcome: Any, n_states: int) -> Outcome:
    if not isinstance(outcome, Sequence) or isinstance(outcome, str) or len(outcome) != 4:
        raise ValueError(f"{name} must be (probability, next state, reward, terminated), got {outcome!r}")
    probability, next_obs, reward, terminated = outcome
    probability = _check.not_negative(f"{name}: the probability", probability)
    next_obs = _check.count(f"{name}: the next state", next_obs, at_least=0, at_most=n_states - 1)
    if not isinstance(terminated, bool | np.bool_):
        raise TypeError(f"{name}: terminated must be True or False, got {terminated!r}")
    return Outcome(probability, next_obs, _check.number(f"{name}: the reward", reward), bool(terminated))
