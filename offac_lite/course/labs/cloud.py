"""A cloud of gradient estimates, measured from the exact gradient ∇J in lengths of ∇J."""

from dataclasses import dataclass

import torch

__all__ = ["Cloud", "along_and_across"]


@dataclass(frozen=True, eq=False)
class Cloud:
    """Gradient estimates, as `along_and_across` returns them. ∇J itself is the point (1, 0)."""

    points: torch.Tensor  # (n, 2)
    distance: float  # the root mean square of all possible estimates' distances from ∇J, exactly
    ring: float  # the root mean square distance with one resampled action and Q − V, on the same data

    @property
    def uphill(self) -> float:
        """The share of the estimates along which a small step raises J."""
        return (self.points[:, 0] > 0).double().mean().item()


def along_and_across(gradients: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the component of each gradient (..., S, A) along `target` (S, A), and the length of all the rest.

    Both in lengths of `target`, shape (..., 2). So the distance between a point and (1, 0) is that between the
    gradient and `target` in all S · A dimensions. A flat picture of two of these dimensions would show less.

    >>> along_and_across(torch.tensor([[4.0, 3.0, 4.0]]), torch.tensor([[2.0, 0.0, 0.0]]))
    tensor([2.0000, 2.5000])
    """
    length = target.norm()
    unit, gradients = target.flatten() / length, gradients.flatten(-2)
    along = gradients @ unit
    across = (gradients - along[..., None] * unit).norm(dim=-1)
    return torch.stack([along, across], -1) / length
