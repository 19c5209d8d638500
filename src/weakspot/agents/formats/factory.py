"""Agents from the user's own Python code: ``path.py:factory``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from weakspot.agents.base import Agent, AgentSpec
from weakspot.agents.build import NetworkAgent, agent_from_network, resolve_interface
from weakspot.errors import AgentError
from weakspot.interface import Interface
from weakspot.system.provenance import file_digest
from weakspot.system.user_code import function_in, importable, local_files, parse_reference


class FactoryFormat:
    """``path.py:factory``, a function without arguments that returns an agent or a network.  **The file is run.**"""

    name = "factory"

    def recognises(self, reference: str, trust: bool) -> bool:
        """Whether the reference has the form ``path.py:name``."""
        return parse_reference(reference) is not None

    def load(self, reference: str, *, environment: str | Interface | None, device: torch.device | str, trust: bool) -> Agent:
        """Calls the function, regardless of ``trust``: the user named it.

        Raises:
            AgentError: the file or the function does not exist or fails, or the function returns something else.
            MismatchError: the network does not fit the environment.
        """
        parsed = parse_reference(reference)
        if parsed is None:
            raise AgentError(f"{reference} names no function", expected="path.py:factory", todo="add the function's name")
        path, function = parsed
        source = f"{path}:{function}"
        result = _call(path, function)
        code = [file_digest(file) for file in local_files(path)]
        if isinstance(result, NetworkAgent):
            return replace(result, device=torch.device(device), spec=_with_code(result.spec, code))
        if isinstance(getattr(result, "spec", None), AgentSpec) and callable(result):
            return _check_own_agent(result, source, device)
        if not isinstance(result, nn.Module):
            raise AgentError(
                f"{source} returned a {type(result).__name__}",
                expected="an nn.Module, or an agent (see weakspot.agents.base.Agent)",
                todo="return the network itself",
            )
        if environment is None:
            raise AgentError(
                f"{source} returned a network alone, which does not name its environment",
                expected="the environment it was trained on",
                todo="give the environment, such as PongNoFrameskip-v4, or return a weakspot.agents.module.ModuleAgent",
            )
        interface = resolve_interface(path, environment)
        agent = agent_from_network(result, interface, name=f"{path.stem}:{function}", device=device)
        return replace(agent, spec=_with_code(agent.spec, code))


FORMAT = FactoryFormat()


def _call(path: Path, name: str) -> object:
    function = function_in(path, name, AgentError, AgentError)
    try:
        with importable(path.parent):
            return function()
    except AgentError:
        raise
    except Exception as error:
        raise AgentError(
            f"{path}:{name} failed with {type(error).__name__}: {error}",
            expected="a function that returns an agent or an nn.Module when called without arguments",
            todo="run it by itself to see where it fails",
        ) from error


def _with_code(spec: AgentSpec, code: list[str]) -> AgentSpec:
    """The spec with the hashes of the code in its fingerprint: other code can give other scores with the same weights."""
    return replace(spec, fingerprint=" ".join([spec.fingerprint, *code]))


def _check_own_agent(result: object, source: str, device: torch.device | str) -> Agent:
    """Returns an agent of a class of the user's own, if it has all parts of an agent."""
    if missing := [name for name in ("module", "device") if not hasattr(result, name)]:
        raise AgentError(
            f"{source} returned a {type(result).__name__} without {' and '.join(missing)}",
            expected="an agent (see weakspot.agents.base.Agent)",
            todo="add the missing attributes, or return a weakspot.agents.module.ModuleAgent",
        )
    agent = cast(Agent, result)
    if agent.device.type != torch.device(device).type:
        raise AgentError(
            f"{source} returned an agent on {agent.device}",
            expected=f"one on {device}",
            todo="choose its device with --device, or let the agent compute there",
        )
    return agent
