"""Networks out of files that are code: TorchScript, ``torch.export``, and whatever ``torch.save`` pickled whole.

Reading any of these can run anything, so nothing here is called unless the user has said that the file is trusted.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.export import passes

from weakspot.agents.tensors.pickled import is_script
from weakspot.errors import WeightsError
from weakspot.system.provenance import file_digest

EXPORTED = ".pt2"
"""Suffix of what ``torch.export.save`` wrote."""


def sources(network: nn.Module) -> list[str]:
    """Digests of the files in which the classes of a network and its parts are written, those of torch aside."""
    kinds = {type(part) for part in network.modules()}
    modules = {sys.modules.get(kind.__module__) for kind in kinds if not kind.__module__.startswith(("torch.", "weakspot."))}
    files = {Path(file) for module in modules if (file := getattr(module, "__file__", None))}
    return sorted(file_digest(file) for file in files)


class Traced(nn.Module):
    """A network as it was traced: in the mode, training or evaluation, in which it was exported.

    Args:
        program: takes observations (b, c, h, w).
    """

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def train(self, mode: bool = True) -> Traced:
        """Leaves the program as it is; it has no modes."""
        self.training = False
        return self

    def forward(self, observation: torch.Tensor) -> Any:
        return self.program(observation)


class Scripted(nn.Module):
    """A TorchScript network as a module like others; TorchScript's own lacks some of their methods."""

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.script = script

    def forward(self, observation: torch.Tensor) -> Any:
        return self.script(observation)


def kind_of(path: Path, content: bytes) -> Literal["export", "script"] | None:
    """Which archive of code a file is, if it is one."""
    if path.suffix.lower() == EXPORTED:
        return "export"
    return "script" if is_script(content) else None


def load_trusted(path: Path, content: bytes, device: torch.device | str) -> nn.Module:
    """The network in a file, **running whatever the file says**.

    Args:
        path: an archive of ``torch.export.save`` (``.pt2``) or ``torch.jit.save``, or a file of ``torch.save`` with a whole
            network in it, whose classes must be importable.
        content: of the file.
        device: where to compute.

    Raises:
        WeightsError: it cannot be read, or holds no network.
    """
    try:
        kind, file = kind_of(path, content), io.BytesIO(content)
        if kind == "export":
            return Traced(passes.move_to_device_pass(torch.export.load(file), str(device)).module())
        if kind == "script":
            return Scripted(torch.jit.load(file, map_location=device))
        loaded = torch.load(file, map_location=device, weights_only=False)
    except Exception as error:  # the file's own code can fail in any way
        raise WeightsError(
            f"{path} cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            expected="a complete file, and everything its code needs",
            todo="put the modules of its classes beside it or where you run; classes of a script that was run itself "
            "(__main__) cannot be found again: write a function that builds the network, path.py:factory",
        ) from error
    first = loaded[0] if isinstance(loaded, Sequence) and len(loaded) else loaded
    if not isinstance(first, nn.Module):
        raise WeightsError(
            f"{path} holds a {type(first).__name__}",
            expected="an nn.Module, or a list that begins with one",
            todo="save the network itself, or write a function that builds it: path.py:factory",
        )
    return first
