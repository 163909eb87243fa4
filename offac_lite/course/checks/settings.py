"""PyTorch's own settings, for the time of a check."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def ordinary_torch() -> Iterator[None]:
    """Run a block with PyTorch's own settings: new numbers are float32 and on the CPU, and gradients are on.

    What the student has set is back afterwards.

    >>> with ordinary_torch():
    ...     torch.zeros(1).dtype
    torch.float32
    """
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    on_cpu = torch.get_default_device().type == "cpu"  # where it is, setting it again only makes every call slower
    try:
        with nullcontext() if on_cpu else torch.device("cpu"), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)


def unusual_settings() -> str:
    """Name the settings that `ordinary_torch` changes; "" where there are none.

    >>> with torch.no_grad():
    ...     unusual_settings()
    'torch.set_grad_enabled(False)'
    """
    found = []
    if torch.get_default_dtype() != torch.float32:
        found.append(f"torch.set_default_dtype({torch.get_default_dtype()})")
    if torch.get_default_device().type != "cpu":
        found.append(f"torch.set_default_device({str(torch.get_default_device())!r})")
    if not torch.is_grad_enabled():
        found.append("torch.inference_mode()" if torch.is_inference_mode_enabled() else "torch.set_grad_enabled(False)")
    return ", ".join(found)
