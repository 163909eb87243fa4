"""The tests, and what many of them use."""

import torch


def rng(seed: int = 0) -> torch.Generator:
    """Return a random generator."""
    return torch.Generator().manual_seed(seed)
