"""Type aliases that name shapes. S is `n_states`, A is `n_actions`; "..." stands for any leading axes.

An argument may be a tensor, a NumPy array or nested lists: the function converts it to float64. A result is a tensor.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

Numbers = torch.Tensor | np.ndarray | Sequence[Any]

# Arguments
Probs = Numbers  # (..., S, A): π(a|s); each row sums to 1
Logits = Numbers  # (..., S, A): the softmax policy π(a|s) ∝ exp logits(s, a)
Table = Numbers  # (S, A): one number for each state and action, such as Q(s, a)

# Results
PerState = torch.Tensor  # (..., S)
PerStateAction = torch.Tensor  # (..., S, A)

ValueBaseline = Literal["value"] | None  # subtract V(s), or nothing
Baseline = Literal["value", "leave-one-out"] | None

F64: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
"""How everything exact is made, whatever PyTorch's defaults are: `torch.zeros(n, **F64)`."""
