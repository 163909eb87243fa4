"""Tabular Markov decision processes, solved exactly: values, visitation and the policy gradient."""

import gymnasium
import torch

from offac_lite import _check

LONGEST_EPISODE = 1e12  # discounted steps; beyond it, float64 cannot tell I − γP from a singular matrix


def advantages(probs: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """A(s, a) = Q(s, a) − V(s) with V(s) = Σ_a π(a|s) Q(s, a), for π and Q of the same shape (..., S, A).

    >>> advantages(torch.tensor([[0.5, 0.5]]), torch.tensor([[3.0, 1.0]]))
    tensor([[ 1., -1.]])
    """
    _check.same_shape(probs=_check.floating("probs", probs), q=_check.floating("q", q))
    return q - (probs * q).sum(-1, keepdim=True)


def with_table(env, **kwargs):
    """Return a Gymnasium environment that holds its transition table `P`, without wrappers; made where `env` is an id.

    Raises `ValueError` for one that cannot be made, or has no table `P` with an `initial_state_distrib`.
    """
    if isinstance(env, str):
        try:
            env = gymnasium.make(env, **kwargs)
        except (gymnasium.error.Error, ImportError, KeyError, TypeError) as error:  # it depends on what is wrong
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"env: gymnasium cannot make {env!r} with {kwargs}: {reason}") from None
    elif kwargs:
        raise TypeError(f"env is already made, so {', '.join(kwargs)} would be ignored; pass an id instead")
    base = getattr(env, "unwrapped", env)
    if getattr(base, "P", None) is None or getattr(base, "initial_state_distrib", None) is None:
        raise ValueError(
            f"env {base!r} has no transition table: wanted attributes P and initial_state_distrib, "
            "which FrozenLake, CliffWalking and Taxi carry"
        )
    return base


class TabularMDP:
    """A finite MDP with known transition probabilities, so that nothing has to be estimated.

    Parameters
    ----------
    transition : (S, A, S)
        P(s′ | s, a). A row may sum to less than 1: the missing mass is the probability that the episode
        *terminates*, which is why no value is ever bootstrapped across it.
    reward : (S, A)
        Expected reward r(s, a), in reward units.
    initial : (S,)
        Distribution of the first state.
    gamma : float in [0, 1)
        Discount per step.

    Everything is float64, on the CPU. A policy is given as `probs`, π(a|s), of shape (..., S, A): leading axes are
    independent policies, and the answers carry the same leading axes. Every answer is differentiable with
    respect to `probs`.

    Raises `TypeError` or `ValueError`, naming the argument, for a wrong shape, NaN, a negative probability,
    a row of `transition` above 1, an `initial` that does not sum to 1, or γ outside [0, 1).

    >>> mdp = TabularMDP([[[0.5], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)  # a=0: reward 1, half the time again
    >>> mdp.state_values([[1.0, 0.0]])  # V = 1 + 0.5 · 0.5 V
    tensor([1.3333], dtype=torch.float64)
    """

    def __init__(self, transition, reward, initial, gamma: float):
        self.gamma = _check.discount("gamma", gamma)
        self.transition = _check.finite_tensor("transition", transition).clone()  # what the caller keeps is his
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
        _check.probabilities("initial", self.initial)

    @classmethod
    def from_gymnasium(cls, env, gamma: float = 0.99, **kwargs) -> "TabularMDP":
        """Read the transition table of a Gymnasium environment, such as FrozenLake, CliffWalking or Taxi.

        `env` is an id (with `**kwargs` for `gymnasium.make`) or an environment. A transition flagged
        *terminated* becomes missing mass. A time limit is *truncation*, not termination, and is no part
        of the MDP; wrappers, those that change rewards among them, are no part of the table either. Raises
        `ValueError` for an environment that cannot be made or has no table `P` with an `initial_state_distrib`.

        >>> mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        >>> uniform = torch.full((16, 4), 0.25, dtype=torch.float64)
        >>> round(mdp.expected_return(uniform).item(), 7)
        0.0123561
        """
        base = with_table(env, **kwargs)
        table = base.P
        n_states, n_actions = len(table), len(table[0])
        transition = torch.zeros(n_states, n_actions, n_states, dtype=torch.float64)
        reward = torch.zeros(n_states, n_actions, dtype=torch.float64)
        for state, actions in table.items():
            for action, outcomes in actions.items():
                for probability, next_state, step_reward, terminated in outcomes:
                    reward[state, action] += probability * step_reward
                    if not terminated:
                        transition[state, action, next_state] += probability
        return cls(transition, reward, base.initial_state_distrib, gamma)

    def with_reward_offset(self, offset: float) -> "TabularMDP":
        """Return the same MDP with `offset` added to the reward of every step.

        Where episodes end early this changes which policy is best; where they all have the same length
        it does not. Either way it moves Q away from zero, which a baseline removes and Q alone does not.

        >>> mdp = TabularMDP([[[0.0]]], [[1.0]], [1.0], gamma=0.5)
        >>> mdp.with_reward_offset(2.0).expected_return([[1.0]])
        tensor(3., dtype=torch.float64)
        """
        return TabularMDP(self.transition, self.reward + _check.number("offset", offset), self.initial, self.gamma)

    def state_values(self, probs) -> torch.Tensor:
        """V^π(s) = E_π[Σ_t γ^t r_t | s_0 = s], shape (..., S): the solution of V = r_π + γ P_π V, Equation (2.2)."""
        probs = self._policy(probs)
        return self._solve(probs, (probs * self.reward).sum(-1))

    def action_values(self, probs) -> torch.Tensor:
        """Q^π(s, a) = r(s, a) + γ Σ_s′ P(s′|s, a) V^π(s′), shape (..., S, A). Equation (4.1).

        The discount belongs here: without it, Q − V would not be the advantage. In state s the action may
        come from anywhere; π enters only from s′ on.

        >>> mdp = TabularMDP([[[0.5], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
        >>> mdp.action_values([[1.0, 0.0]])
        tensor([[1.3333, 0.0000]], dtype=torch.float64)
        """
        values = self.state_values(probs)
        return self.reward + self.gamma * torch.einsum("sat,...t->...sa", self.transition, values)

    def expected_return(self, probs) -> torch.Tensor:
        """J(π) = E_{s ~ initial} V^π(s), shape (...): what the policy gradient climbs."""
        return self.state_values(probs) @ self.initial

    def occupancy(self, probs) -> torch.Tensor:
        """ρ_π(s) = Σ_t γ^t P(s_t = s), shape (..., S): discounted expected visits, not normalised. Equation (1.2).

        Its sum is the discounted expected length of an episode, at most 1 / (1 − γ).

        >>> mdp = TabularMDP([[[0.5], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
        >>> mdp.occupancy([[1.0, 0.0]])
        tensor([1.3333], dtype=torch.float64)
        """
        probs = self._policy(probs)
        return self._solve(probs, self.initial.expand(*probs.shape[:-2], self.n_states), forward=True)

    def policy_gradient(self, logits) -> torch.Tensor:
        """∇J(s, a) = ρ_π(s) π(a|s) (Q^π(s, a) − V^π(s)) for the softmax policy π(a|s) ∝ exp logits(s, a).

        Shape (..., S, A), exact: the policy gradient theorem (Sutton et al., 2000, Theorem 1) with every
        expectation summed out. Equation (1.1).

        >>> mdp = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
        >>> mdp.policy_gradient([[0.0, 0.0]])
        tensor([[ 0.2500, -0.2500]], dtype=torch.float64)
        """
        logits = _check.finite_tensor("logits", logits)
        _check.trailing_shape("logits", logits, (self.n_states, self.n_actions), "(S, A)")
        probs = torch.softmax(logits, -1)
        return self.occupancy(probs).unsqueeze(-1) * probs * advantages(probs, self.action_values(probs))

    def optimal_values(self) -> torch.Tensor:
        """V*(s), shape (S,), by policy iteration: exact evaluation, greedy improvement, until nothing changes.

        >>> TabularMDP([[[0.0], [0.0]]], [[1.0, 3.0]], [1.0], gamma=0.5).optimal_values()
        tensor([3.], dtype=torch.float64)
        """
        greedy = torch.zeros(self.n_states, dtype=torch.long)
        while True:
            probs = torch.nn.functional.one_hot(greedy, self.n_actions).double()
            q = self.action_values(probs)
            current = q.gather(1, greedy[:, None])[:, 0]
            better = q.max(1).values > current + 1e-10 * (1 + current.abs())
            if not better.any():
                return current
            greedy = torch.where(better, q.argmax(1), greedy)

    def policy_path(self, n_steps: int, step_size: float) -> torch.Tensor:
        """Logits of policies that get better and better, from uniform: shape (n_steps + 1, S, A).

        Each step is an exact *natural* policy gradient step, logits ← logits + step_size · A^π (Kakade,
        2001): Equation (1.3). The course uses the path as the history of a learning agent: the policy `age`
        steps before the last one is the one that wrote the data of that age.

        >>> mdp = TabularMDP([[[0.0], [0.0]]], [[1.0, 0.0]], [1.0], gamma=0.5)
        >>> mdp.policy_path(1, 2.0)[1]
        tensor([[ 1., -1.]], dtype=torch.float64)
        """
        _check.number("step_size", step_size)
        path = [torch.zeros(self.n_states, self.n_actions, dtype=torch.float64)]
        for _ in range(_check.count("n_steps", n_steps, at_least=0)):
            probs = torch.softmax(path[-1], -1)
            path.append(path[-1] + step_size * advantages(probs, self.action_values(probs)))
        return torch.stack(path)

    def _policy(self, probs) -> torch.Tensor:
        probs = _check.finite_tensor("probs", probs)
        _check.trailing_shape("probs", probs, (self.n_states, self.n_actions), "(S, A)")
        return _check.probabilities("probs", probs)

    def _solve(self, probs: torch.Tensor, right: torch.Tensor, forward: bool = False) -> torch.Tensor:
        """Solve (I − γ P_π) x = right, or with its transpose if `forward`, once it is known to be solvable.

        The inverse has no negative entry, so its largest row sum, (I − γ P_π)⁻¹ 1, is the longest discounted episode
        from any state (or in the transpose, the most that is visited of any state per unit of start): one more
        right-hand side tells whether float64 can solve the system at all.
        """
        induced = torch.einsum("...sa,sat->...st", probs, self.transition)
        system = torch.eye(self.n_states, dtype=torch.float64) - self.gamma * induced
        if forward:
            system = system.transpose(-1, -2)
        both = torch.stack([right, torch.ones_like(right)], -1)
        answer, length = torch.linalg.solve_ex(system, both).result.unbind(-1)
        if not ((length > 0) & (length < LONGEST_EPISODE)).all():
            raise ValueError(
                f"gamma={self.gamma!r}: the system I − γP is singular to working precision, because from some "
                "state the episode neither terminates nor is discounted; lower gamma"
            )
        return answer
