"""Devices, number formats, threads and seeds."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from weakspot.errors import ConfigError
from weakspot.options import Precision
from weakspot.system.processor import cpu_format


def mixed(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Computes matrix products and convolutions in ``dtype`` inside the block; float32 has no effect."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def resolve(precision: Precision, device: torch.device | str) -> torch.dtype:
    """The number format of matrix products and convolutions on ``device``.

    ``auto`` is bfloat16 on hardware that has units for it, where it is faster than float32, and float32 elsewhere, where
    bfloat16 is slower: GPUs from Ampere on, and the processors of :mod:`weakspot.system.processor`.
    """
    kind = torch.device(device).type
    if precision == "auto" and kind != "cpu":
        fast = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[cpu_format(precision)]


@contextmanager
def threads(count: int) -> Generator[None]:
    """Computes tensor operations with ``count`` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Seeds torch's global CPU generator, which initialises layers, inside the block, and restores its state afterwards."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)


def check_device(device: str) -> str:
    """Returns ``device`` if torch can compute on it; raises :class:`ConfigError` otherwise."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {device!r} cannot be used here: {str(error).splitlines()[0]}",
            expected="cpu, or cuda if torch finds a GPU",
            todo="choose another --device, or install a torch with CUDA",
        ) from error
    return device
