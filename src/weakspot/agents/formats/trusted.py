"""Networks in files that are code: TorchScript, ``torch.export``, and networks that ``torch.save`` pickled whole.

Loading such a file can run any code, so it happens only if the user trusts the file (``--trust``).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.export import passes

from weakspot.agents.base import Agent
from weakspot.agents.build import agent_from_network, resolve_interface
from weakspot.agents.formats.actor_critic import is_actor_critic, original_names
from weakspot.agents.formats.suffixes import EXPORTED, TORCH_SAVED
from weakspot.agents.tensors.pickled import is_script, read_pickled
from weakspot.agents.tensors.weights import read_tensors
from weakspot.errors import WeightsError
from weakspot.interface import Interface
from weakspot.system.provenance import file_digest
from weakspot.system.user_code import importable

TORCH: Any = torch
"""Its functions that load code have no types."""


class TrustedFormat:
    """A file that holds a network as code, if the user trusts it."""

    name = "trusted"

    def recognises(self, reference: str, trust: bool) -> bool:
        """Whether the file is trusted and holds more than tensors of a state dict or of a known network."""
        return trust and holds_code(Path(reference).expanduser())

    def load(self, reference: str, *, environment: str | Interface | None, device: torch.device | str, trust: bool) -> Agent:
        """Loads the network, **running any code in the file**.

        Raises:
            WeightsError: the user does not trust the file, or it cannot be loaded, or holds no network.
            MismatchError: the network does not fit the environment.
        """
        path = Path(reference).expanduser()
        if not trust:
            raise WeightsError(f"{path} holds code; it is not run", todo="pass --trust if you trust its author")
        with importable(path.parent):
            network = load_network(path, path.read_bytes(), device)
        agent = agent_from_network(network, resolve_interface(path, environment), name=path.stem, device=device)
        fingerprint = " ".join([file_digest(path), *source_digests(network)])
        return replace(agent, spec=replace(agent.spec, fingerprint=fingerprint))


FORMAT = TrustedFormat()


class ExportedNetwork(nn.Module):
    """A network of ``torch.export``; it stays in the mode, training or evaluation, in which it was exported.

    Args:
        program: maps observations (b, c, h, w) to scores.
    """

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def train(self, mode: bool = True) -> ExportedNetwork:
        """Leaves the program unchanged, which has no modes."""
        self.training = False
        return self

    def forward(self, observation: torch.Tensor) -> Any:
        return self.program(observation)


class ScriptedNetwork(nn.Module):
    """A TorchScript network as an ordinary module; TorchScript's own modules lack some methods.

    Args:
        script: maps observations (b, c, h, w) to scores.
    """

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.script = script

    def forward(self, observation: torch.Tensor) -> Any:
        return self.script(observation)


def holds_code(path: Path) -> bool:
    """Whether a file holds a network as code.  No code is run.

    False for files that do not exist or have another suffix, and for files from which the tensors of a state dict, or of the
    known actor-critic network, can be read without code.
    """
    if not path.is_file() or path.suffix.lower() not in {*TORCH_SAVED, EXPORTED}:
        return False
    content = path.read_bytes()
    if archive_kind(path, content) is not None:
        return True
    with suppress(WeightsError):
        read_tensors(content, str(path))
        return False
    with suppress(WeightsError):
        return not is_actor_critic(original_names(read_pickled(content, str(path))))
    return True


def archive_kind(path: Path, content: bytes) -> Literal["export", "script"] | None:
    """Which kind of code archive a file is; None if it is neither."""
    if path.suffix.lower() == EXPORTED:
        return "export"
    return "script" if is_script(content) else None


def load_network(path: Path, content: bytes, device: torch.device | str) -> nn.Module:
    """Loads the network in a file, **running any code in the file**.

    Args:
        path: an archive of ``torch.export.save`` (``.pt2``) or ``torch.jit.save``, or a file of ``torch.save`` with a whole
            network, whose classes must be importable.
        content: of the file.
        device: where to compute.

    Raises:
        WeightsError: the file cannot be loaded, or holds no network.
    """
    try:
        kind, file = archive_kind(path, content), io.BytesIO(content)
        if kind == "export":
            return ExportedNetwork(passes.move_to_device_pass(torch.export.load(file), str(device)).module())
        if kind == "script":
            return ScriptedNetwork(TORCH.jit.load(file, map_location=device))
        loaded: object = torch.load(file, map_location=device, weights_only=False)
    except Exception as error:  # code in the file can raise anything
        raise WeightsError(
            f"{path} cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            expected="a complete file, and all modules that its code imports",
            todo="put the modules of its classes next to it or into the current folder; classes of a script that was run "
            "itself (__main__) cannot be imported: write a function that builds the network, path.py:factory",
        ) from error
    network = _first(loaded)
    if not isinstance(network, nn.Module):
        raise WeightsError(
            f"{path} holds a {type(network).__name__}",
            expected="an nn.Module, or a list that begins with one",
            todo="save the network itself, or write a function that builds it: path.py:factory",
        )
    return network


def _first(loaded: object) -> object:
    """The first element of a list or tuple that is not empty; other objects unchanged."""
    if isinstance(loaded, Sequence):
        elements = cast(Sequence[object], loaded)
        return elements[0] if len(elements) else elements
    return loaded


def source_digests(network: nn.Module) -> list[str]:
    """The hashes of the files that define the classes of a network and its submodules, except for those of torch."""
    classes = {type(part) for part in network.modules()}
    own_classes = [cls for cls in classes if not cls.__module__.startswith(("torch.", "weakspot."))]
    modules = {sys.modules.get(cls.__module__) for cls in own_classes}
    files = {Path(file) for module in modules if (file := getattr(module, "__file__", None))}
    return sorted(file_digest(file) for file in files)
