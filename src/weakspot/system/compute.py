"""Devices, number formats and threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from weakspot.errors import ConfigError
from weakspot.options import Precision


def mixed(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Products in ``dtype`` while the block lasts; float32 leaves them as they are."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def resolve(precision: Precision, device: torch.device | str) -> torch.dtype:
    """The number format of the convolutions: ``auto`` is bfloat16 on GPUs and CPUs with units for it (from Ampere on; AMX).

    There it is several times faster than float32; on other CPUs it is slower.
    """
    if precision == "auto":
        device = torch.device(device)
        on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        fast = on_gpu or (device.type == "cpu" and torch.cpu._is_amx_tile_supported())
        return torch.bfloat16 if fast else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Tensor work of ``count`` threads for each thread of ours, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_device(device: str) -> str:
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
