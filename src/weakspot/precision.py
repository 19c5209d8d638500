"""Which number format a machine is fast in, and computing in it."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


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
