"""Tabular Markov decision processes, solved exactly: values, visitation and the policy gradient."""

from typing import Any

import gymnasium
import torch

from offac_lite import _check
from offac_lite.exact._types import F64, Logits, Numbers, PerState, PerStateAction, Probs, Table
from offac_lite.exact.tables import read_table

LONGEST_EPISODE = 1e12  # discounted steps; beyond it, float64 cannot tell I − γP from a singular matrix


def advantages(probs: torch.Tensor, q: torch.Tensor) -> PerStateAction:
    """Compute A(s, a) = Q(s, a) − V(s) with V(s) = Σ_a π(a|s) Q(s, a), for π and Q of the same shape (..., S, A).

    >>> advantages(torch.tensor([[0.5, 0.5]]), torch.tensor([[3.0, 1.0]]))
    tensor([[ 1., -1.]])
    """
    _check.same_shape(probs=probs, q=q)
    return q - (probs * q).sum(-1, keepdim=True)


class TabularMDP:
    """A finite MDP with known transition probabilities, solved exactly: nothing is estimated.

    Parameters
    ----------
    transition : (S, A, S)
        P(s′ | s, a). A row may sum to less than 1: the missing mass is the probability that the episode
        *terminates*. So no value is ever bootstrapped across a termination. A sum within 1e-6 of 1 counts as 1.
    reward : (S, A)
        Expected reward r(s, a), in reward units.
    initial : (S,)
        Distribution of the first state.
    gamma : float in [0, 1]
        Discount per step. With γ = 1, every episode must end under the policy that is evaluated.

    The three tables are copied. Everything is float64, on the CPU. Methods take a policy as `probs`, π(a|s), of shape
    (..., S, A). Leading axes are independent policies, and results have the same leading axes. Every result is
    differentiable with respect to `probs`.

    Raises `TypeError` or `ValueError` and names the argument, for a wrong shape, NaN, a negative probability, a row of
    `transition` above 1, an `initial` that does not sum to 1, and γ outside [0, 1]. Methods raise the same errors for
    a policy, and `ValueError` if the episode neither terminates nor is discounted.

    >>> mdp = TabularMDP([[[0.5], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)  # a = 0: reward 1, half the time again
    >>> mdp.state_values([[1.0, 0.0]])  # V = 1 + 0.5 · 0.5 V
    tensor([1.3333], dtype=torch.float64)
    """

    def __init__(self, transition: Numbers, reward: Table, initial: Numbers, gamma: float) -> None:
        self.gamma = _check.discount("gamma", gamma)
        self.transition = _check.finite_tensor("transition", transition).clone()
        if (
            self.transition.ndim != 3
            or self.transition.shape[0] != self.transition.shape[2]
            or 0 in self.transition.shape
        ):
            raise ValueError(f"transition has shape {tuple(self.transition.shape)}, wanted (S, A, S)")
        n_states, n_actions = self.transition.shape[:2]
        self.n_states, self.n_actions = n_states, n_actions
        self.reward = _check.finite_tensor("reward", reward).clone()
        _check.shape("reward", self.reward, (n_states, n_actions), "(S, A)")
        self.initial = _check.finite_tensor("initial", initial).clone()
        _check.shape("initial", self.initial, (n_states,), "(S,)")
        _check.probabilities("transition", self.transition, at_most=True)
        self.transition = _unrounded(self.transition)
        _check.probabilities("initial", self.initial)

    @classmethod
    def from_gymnasium(cls, env: str | gymnasium.Env, gamma: float = 0.99, **kwargs: Any) -> "TabularMDP":
        """Read the transition table of a Gymnasium environment, such as FrozenLake, CliffWalking or Taxi.

        `env` is an environment, or an id with `**kwargs` for `gymnasium.make`; an object of your own needs the
        attributes that `tables.read_table` names, and gets its errors. A transition flagged *terminated* becomes
        missing mass. A time limit is *truncation*, not termination, so the MDP has none. Wrappers are ignored, also
        those that change rewards.

        >>> mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        >>> uniform = torch.full((16, 4), 0.25, dtype=torch.float64)
        >>> round(mdp.expected_return(uniform).item(), 7)
        0.0123561
        """
        rows, initial = read_table(env, **kwargs)
        n_states, n_actions = len(rows), len(rows[0])
        transition = torch.zeros(n_states, n_actions, n_states, **F64)
        reward = torch.zeros(n_states, n_actions, **F64)
        for state, actions in enumerate(rows):
            for action, outcomes in enumerate(actions):
                for probability, next_state, step_reward, terminated in outcomes:
                    reward[state, action] += probability * step_reward
                    if not terminated:
                        transition[state, action, next_state] += probability
        return cls(transition, reward, initial, gamma)

    def with_reward_offset(self, offset: float) -> "TabularMDP":
        """Return the same MDP with `offset` added to the reward of every step.

        If episodes can end early, the offset changes which policy is best; if all have the same length, it does not.
        In both cases it shifts Q away from 0. A baseline removes this shift from the gradient's weight.

        >>> mdp = TabularMDP([[[0.0]]], [[1.0]], [1.0], gamma=0.5)
        >>> mdp.with_reward_offset(2.0).expected_return([[1.0]])
        tensor(3., dtype=torch.float64)
        """
        offset = _check.number("offset", offset)
        return TabularMDP(self.transition, self.reward + offset, self.initial, self.gamma)

    def state_values(self, probs: Probs) -> PerState:
        """Solve V = r_π + γ P_π V for V^π(s) = E_π[Σ_t γ^t r_t | s_0 = s], shape (..., S). Equation (2.2)."""
        probs = self._policy(probs)
        return self._solve(probs, (probs * self.reward).sum(-1))

    def action_values(self, probs: Probs) -> PerStateAction:
        """Compute Q^π(s, a) = r(s, a) + γ Σ_s′ P(s′|s, a) V^π(s′), shape (..., S, A). Equation (4.1).

        The discount belongs here: without it, Q − V would not be the advantage. The action in s may come from any
        policy; π chooses the actions from s′ on.

        >>> mdp = TabularMDP([[[0.5], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
        >>> mdp.action_values([[1.0, 0.0]])
        tensor([[1.3333, 0.0000]], dtype=torch.float64)
        """
        values = self.state_values(probs)
        return self.reward + self.gamma * torch.einsum("sat,...t->...sa", self.transition, values)

    def expected_return(self, probs: Probs) -> torch.Tensor:
        """Compute J(π) = E_{s ~ initial} V^π(s), shape (...): the objective of the policy gradient."""
        return self.state_values(probs) @ self.initial

    def occupancy(self, probs: Probs) -> PerState:
        """Compute the discounted visitation ρ_π(s) = Σ_t γ^t P(s_t = s), shape (..., S). Equation (1.2).

        It is not normalised: its sum is the discounted expected length of an episode.

        >>> mdp = TabularMDP([[[0.5], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
        >>> mdp.occupancy([[1.0, 0.0]])
        tensor([1.3333], dtype=torch.float64)
        """
        probs = self._policy(probs)
        return self._solve(probs, self.initial.expand(*probs.shape[:-2], self.n_states), forward=True)

    def policy_gradient(self, logits: Logits) -> PerStateAction:
        """Compute ∇J(s, a) = ρ_π(s) π(a|s) (Q^π(s, a) − V^π(s)) for the softmax policy π(a|s) ∝ exp logits(s, a).

        The gradient is with respect to the logits, shape (..., S, A), and exact: the policy gradient theorem (Sutton et
        al., 2000, Theorem 1) with every expectation summed out. Equation (1.1).

        >>> mdp = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
        >>> mdp.policy_gradient([[0.0, 0.0]])
        tensor([[ 0.2500, -0.2500]], dtype=torch.float64)
        """
        logits = _check.finite_tensor("logits", logits)
        _check.trailing_shape("logits", logits, (self.n_states, self.n_actions), "(S, A)")
        probs = torch.softmax(logits, -1)
        return self.occupancy(probs).unsqueeze(-1) * probs * advantages(probs, self.action_values(probs))

    def optimal_values(self) -> PerState:
        """Compute V*(s), shape (S,), by policy iteration: exact evaluation, greedy improvement, until nothing changes.

        It begins with uniform actions, which end every episode that can end. With γ = 1 the maximum is over the
        policies that end every episode.

        >>> TabularMDP([[[0.0], [0.0]]], [[1.0, 3.0]], [1.0], gamma=0.5).optimal_values()
        tensor([3.], dtype=torch.float64)
        """
        probs = torch.full((self.n_states, self.n_actions), 1 / self.n_actions, **F64)
        while True:
            q = self.action_values(probs)
            current = (probs * q).sum(1)
            better = q.max(1).values > current + 1e-10 * (1 + current.abs())
            if not better.any():
                return current
            greedy = torch.nn.functional.one_hot(q.argmax(1), self.n_actions).double()
            probs = torch.where(better[:, None], greedy, probs)

    def policy_path(self, n_steps: int, step_size: float) -> torch.Tensor:
        """Return the logits of a uniform policy and of its successive improvements: shape (n_steps + 1, S, A).

        Each step is an exact *natural* policy gradient step, logits ← logits + step_size · A^π (Kakade, 2001):
        Equation (1.3). The course uses the path as the history of a learning agent: data of age g was written by the
        policy g steps before the last one.

        >>> mdp = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
        >>> mdp.policy_path(1, 2.0)[1]
        tensor([[ 1., -1.]], dtype=torch.float64)
        """
        _check.number("step_size", step_size)
        path = [torch.zeros(self.n_states, self.n_actions, **F64)]
        for _ in range(_check.count("n_steps", n_steps, at_least=0)):
            probs = torch.softmax(path[-1], -1)
            path.append(path[-1] + step_size * advantages(probs, self.action_values(probs)))
        return torch.stack(path)

    def _policy(self, probs: Probs) -> torch.Tensor:
        probs = _check.finite_tensor("probs", probs)
        _check.trailing_shape("probs", probs, (self.n_states, self.n_actions), "(S, A)")
        return _unrounded(_check.probabilities("probs", probs))

    def _solve(self, probs: torch.Tensor, constant: torch.Tensor, forward: bool = False) -> torch.Tensor:
        """Solve (I − γ P_π) x = constant, or with the transposed matrix if `forward`; raise if float64 cannot.

        The second right-hand side, 1, decides whether float64 can solve the system. (I − γ P_π)⁻¹ 1 is the discounted
        length of an episode from each state; with the transpose, it is how often each state is visited if one episode
        starts in every state. Both are positive, and finite unless the system is singular.
        """
        induced = torch.einsum("...sa,sat->...st", probs, self.transition)
        system = torch.eye(self.n_states, **F64) - self.gamma * induced
        if forward:
            system = system.transpose(-1, -2)
        both = torch.stack([constant, torch.ones_like(constant)], -1)
        answer, length = torch.linalg.solve_ex(system, both).result.unbind(-1)
        if not ((length > 0) & (length < LONGEST_EPISODE)).all():
            raise ValueError(
                f"gamma={self.gamma!r}: the system I − γP is singular to working precision, because from some "
                "state the episode neither terminates nor is discounted. Lower gamma, or let the last step of an "
                "episode terminate: its row of transition sums to less than 1"
            )
        return answer


def _unrounded(probs: torch.Tensor) -> torch.Tensor:
    """Let rows that sum to 1 up to rounding, in float32, say, sum to 1: what rounding leaves out ends no episode."""
    total = probs.sum(-1, keepdim=True)
    rounded = ((total - 1).abs() > 1e-12) & ((total - 1).abs() <= 1e-6)
    return torch.where(rounded, probs / total, probs)
