"""Whether this machine has a device."""

from __future__ import annotations

import torch

from weakspot.errors import ConfigError


def usable(device: str) -> str:
    """The device, if this machine has it; raises :class:`ConfigError` otherwise."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {device!r} cannot be used here: {str(error).splitlines()[0]}",
            expected="cpu, or cuda where torch finds one",
            todo="choose another --device, or install a torch with CUDA",
        ) from error
    return device
