"""Builds agents from networks that were read from files, and checks that they fit their environment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from weakspot.agents.base import AgentSpec, ScoresAre
from weakspot.agents.combined import CombinedPolicy, is_combined
from weakspot.agents.entries import EntriesAgent, by_name, check_layout, entries_taken
from weakspot.agents.module import ModuleAgent, fingerprint
from weakspot.agents.recurrent import RecurrentModuleAgent, is_recurrent_module
from weakspot.agents.returned import BetaMeans, is_beta
from weakspot.agents.tensors.state_dicts import COMPILED
from weakspot.errors import MismatchError, UnknownGameError, WeightsError
from weakspot.games import find_environment_id, interface, played_id, resolve_game
from weakspot.interface import Interface

NetworkAgent: TypeAlias = ModuleAgent | RecurrentModuleAgent | EntriesAgent
"""An agent that is a network with fixed weights: it sees images alone, or has a hidden state, or takes other entries."""
IN_PLACE = "_compiled_call_impl"
"""The attribute that ``module.compile()`` sets."""
USE_FACTORY = "write a function that builds your network and loads these weights, and pass path.py:factory"
"""What to do with weights of an unknown network."""


def resolve_interface(path: Path, given: str | Interface | None, recorded: str | None = None) -> Interface:
    """Returns the interface of the environment that an agent's file was trained on.

    Args:
        path: the agent's file; an id of an Atari environment may be part of its name or of its folder's name.
        given: the environment that the user gives, if any.
        recorded: the environment that the file itself names, if it does.

    Raises:
        WeightsError: nothing names the environment.
        MismatchError: the user gives another environment than the file names.
        UnknownGameError: there is no such game.
    """
    if not isinstance(given, Interface):
        return interface(_resolve_game_id(path, given, recorded))
    if recorded and not same_environment(recorded, given.environment):
        raise MismatchError(
            f"the agent in {path} was trained on {recorded}, not on {given.environment}",
            expected=f"environment {recorded}",
            todo="choose another environment, or another agent",
        )
    return given


def _resolve_game_id(path: Path, given: str | None, recorded: str | None) -> str:
    """The id of the Atari environment; see :func:`resolve_interface`."""
    environment = recorded or find_environment_id(path.stem) or find_environment_id(path.parent.name) or given
    if environment is None:
        raise WeightsError(
            f"{path} does not say which environment its agent was trained on",
            expected="an id in the file's name, such as acktr_PongNoFrameskip-v4.safetensors, or an explicit environment",
            todo="give the environment, such as PongNoFrameskip-v4",
        )
    if given and resolve_game(given) != resolve_game(environment):
        raise MismatchError(
            f"the agent in {path} was trained on {played_id(environment)}, not on {given}",
            expected=f"environment {played_id(environment)}, or no environment",
            todo="leave the environment out, or choose another agent",
        )
    return environment


def same_environment(environment: str, other: str) -> bool:
    """Whether two ids name the same environment, regardless of the module that registers it (``module:id``)."""
    if environment.rpartition(":")[2] == other.rpartition(":")[2]:
        return True
    try:
        return resolve_game(environment) == resolve_game(other)
    except UnknownGameError:
        return False


def check_action_count(path: Path, count: float, interface: Interface) -> None:
    """Raises :class:`MismatchError` if a file's network has outputs for another number of actions than its environment."""
    names = interface.action_names
    if count != len(names):
        raise MismatchError(
            f"the agent in {path} returns scores for {count:g} actions",
            expected=f"{len(names)} for {interface.environment}: {', '.join(names)}",
            todo="give the environment that the agent was trained on",
        )


def agent_from_file(
    network: nn.Module,
    path: Path,
    interface: Interface,
    observation_shape: tuple[int, ...],
    scores_are: ScoresAre,
    device: torch.device | str,
) -> NetworkAgent:
    """Returns the agent with a network that was read from a file.

    Args:
        network: with its weights.
        path: the file.
        interface: of the agent's environment.
        observation_shape: (c, h, w) of the network's input.
        scores_are: what the network returns.
        device: where to compute.

    Raises:
        MismatchError: the environment has observations of another shape.
    """
    if tuple(observation_shape) != interface.observation_shape:
        raise MismatchError(
            f"the agent in {path} takes observations of shape {tuple(observation_shape)}",
            expected=f"{interface.observation_shape}, the observations of {interface.environment} here",
            todo="describe its preprocessing in a TOML file, such as frames = 1, or give another environment",
        )
    return make_agent(network, interface, path.stem, scores_are, device)


def make_agent(
    network: nn.Module, interface: Interface, name: str, scores_are: ScoresAre, device: torch.device | str
) -> NetworkAgent:
    """Returns a network as an agent; Q-values and means are acted on greedily, log-probabilities are sampled from."""
    spec = AgentSpec(
        name=name,
        environment=interface.environment,
        action_names=interface.action_names,
        observation_shape=interface.observation_shape,
        scores_are=scores_are,
        acts="sampled" if scores_are == "log-probabilities" else "greedy",
        fingerprint=fingerprint(network),
        action_bounds=interface.action_bounds,
    )
    if entries_taken(network):
        if is_recurrent_module(network):
            raise MismatchError(
                f"the network of {name} has a hidden state, and takes the entries {', '.join(entries_taken(network))}",
                expected="one of them",
                todo="leave out other_entries, or initial_hidden",
            )
        layout = check_layout(network, interface.entries, interface.environment, name)
        return EntriesAgent(network, spec, layout, torch.device(device))
    return (RecurrentModuleAgent if is_recurrent_module(network) else ModuleAgent)(network, spec, torch.device(device))


def agent_from_network(
    network: nn.Module, interface: Interface, *, name: str, device: torch.device | str = "cpu"
) -> NetworkAgent:
    """Returns a network as an agent; what it returns decides what its scores are.

    A tensor is Q-values, and the agent acts greedily.  A pair is (logits, value), and actions are sampled.  If actions are
    continuous, the tensor, or the first of the pair, is the means of the policy, and the agent acts on them; or it returns
    the two parameters of a Beta policy, see :class:`~weakspot.agents.returned.BetaMeans`.  If actions are combinations of
    choices, the logits may be those of the choices, see :class:`~weakspot.agents.combined.CombinedPolicy`.

    Args:
        network: maps observations (b, c, h, w) in 0 to 255 (with a hidden state, see
            :class:`~weakspot.agents.recurrent.RecurrentModuleAgent`, or with other entries of the observation, see
            :class:`~weakspot.agents.entries.EntriesAgent`) to Q-values, or to logits and values, or to means of continuous
            actions with or without values.
        interface: observations and actions of the environment it was trained on.
        name: a readable name.
        device: where to compute.

    Raises:
        MismatchError: the network cannot take the environment's observations.
    """
    network = uncompiled(network).eval().to(device)
    if entries_taken(network):
        check_layout(network, interface.entries, interface.environment, name)
    try:
        result = _on_black(network, interface, device)
    except Exception as error:
        raise MismatchError(
            f"the network of {name} cannot take an observation of shape {(1, *interface.observation_shape)}: {error}",
            expected=f"a network for the observations of {interface.environment}, in 0 to 255, channels first, in batches "
            "of any size",
            todo="wrap it in a module that converts the observation to what it was trained on",
        ) from error
    bounds = interface.action_bounds
    sees_images_alone = not is_recurrent_module(network) and not entries_taken(network)
    if bounds is not None and sees_images_alone and _is_beta(network, result, interface, device):
        return make_agent(BetaMeans(network, bounds), interface, name, "means", device)
    if interface.action_parts and is_combined(result, interface.action_parts) and sees_images_alone:
        network = CombinedPolicy(network, interface.action_parts)
    is_pair = isinstance(result, tuple | list) and len(cast(Sequence[object], result)) > 1 and isinstance(result[1], Tensor)
    scores_are = "means" if interface.action_bounds else "log-probabilities" if is_pair else "q-values"
    return make_agent(network, interface, name, scores_are, device)


def _on_black(network: nn.Module, interface: Interface, device: torch.device | str) -> Any:
    """What a network returns for a black observation; one whose half or double precision does not fit the observation's
    single precision is converted to it."""
    zeros = torch.zeros(1, *interface.observation_shape, device=device)

    def returned() -> Any:
        with torch.no_grad():
            if entries_taken(network):
                layout = interface.entries or ()
                return network(zeros, by_name(zeros.new_ones((1, sum(size for _, size in layout))), layout))
            return _without_hidden(network, zeros) if is_recurrent_module(network) else network(zeros)

    others = {parameter.dtype for parameter in network.parameters()} - {torch.float32}
    if not others:
        return returned()
    try:
        return returned()
    except RuntimeError:
        network.float()
        return returned()


def uncompiled(network: nn.Module) -> nn.Module:
    """A network without ``torch.compile``, of itself and of its submodules.

    It computes the same.  Compiling takes minutes for each new batch size, and saliency cannot look inside compiled code.
    """
    network = getattr(network, COMPILED, network)
    for module in list(network.modules()):
        if getattr(module, IN_PLACE, None) is not None:
            setattr(module, IN_PLACE, None)
        for name, child in list(module.named_children()):
            if hasattr(child, COMPILED):
                setattr(module, name, uncompiled(child))
    return network


def _without_hidden(network: Any, observation: Tensor) -> Any:
    """What a network with a hidden state returns at the start of an episode, without the next hidden state."""
    result = network(observation, network.initial_hidden(len(observation)))
    if not isinstance(result, tuple | list):
        return result
    *outputs, _ = cast(Sequence[Any], result)
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _is_beta(network: nn.Module, result: object, interface: Interface, device: torch.device | str) -> bool:
    """Whether a network returns the parameters of a Beta policy, for a black observation (``result``) and for noise."""
    dimensions = len(interface.action_bounds or ())
    return is_beta(result, dimensions) and is_beta(_on_noise(network, interface, device), dimensions)


def _on_noise(network: nn.Module, interface: Interface, device: torch.device | str) -> Any:
    """What a network returns for noise (4, c, h, w)."""
    noise = torch.randint(256, (4, *interface.observation_shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network(noise.to(device, torch.float32))
