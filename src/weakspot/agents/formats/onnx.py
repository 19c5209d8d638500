"""Networks in ``.onnx`` files, converted to torch; no code is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from weakspot.agents.base import Agent
from weakspot.agents.build import agent_from_network, check_action_count, resolve_interface
from weakspot.agents.formats.suffixes import ONNX
from weakspot.agents.listing import join_names
from weakspot.agents.onnx_files.call import GraphError
from weakspot.agents.onnx_files.graph import Graph
from weakspot.agents.onnx_files.integers import check_integer_input
from weakspot.agents.onnx_files.network import LARGEST_BATCH, OnnxNetwork, adapt_batches, example_size, fixed_batch
from weakspot.agents.onnx_files.read import read_graph, shown
from weakspot.agents.returned import are_scores, describe, is_value
from weakspot.errors import MismatchError, OutputError, WeakspotError
from weakspot.interface import Interface
from weakspot.system.provenance import file_digest


class OnnxFormat:
    """An ``.onnx`` file: one output is Q-values, two are logits and value in either order."""

    name = "onnx"

    def recognises(self, reference: str, trust: bool) -> bool:
        """Whether it is a file with this suffix."""
        path = Path(reference).expanduser()
        return path.suffix.lower() == ONNX and path.is_file()

    def load(self, reference: str, *, environment: str | Interface | None, device: torch.device | str, trust: bool) -> Agent:
        """Converts the network to torch; runs no code in the file.

        Raises:
            ConfigError: the package ``onnx`` is not installed.
            WeightsError: the file is damaged, or has operators that are not converted, or a batch size that is fixed.
            OutputError: it returns actions, or something else that is not scores.
            MismatchError: the environment has another number of actions, or other observations.
        """
        path = Path(reference).expanduser()
        interface = resolve_interface(path, environment)
        network = OnnxNetwork(read_graph(path))
        check_integer_input(network.graph)
        _check_input(network.graph, interface)
        _arrange(network, path, interface)
        agent = agent_from_network(network, interface, name=path.stem, device=device)
        return replace(agent, spec=replace(agent.spec, fingerprint=file_digest(path)))


FORMAT = OnnxFormat()


def _check_input(graph: Graph, interface: Interface) -> None:
    """Raises an error if the input that the file declares is not the environment's observation."""
    expected, declared = interface.observation_shape, graph.shape[1:]
    fits = len(declared) == 3 and all(size in (None, real) for size, real in zip(declared, expected, strict=True))
    if fits or not graph.shape:
        return
    raise MismatchError(
        f"the network in {graph.source} takes {shown(graph.input)} of shape {_as_text(graph.shape)}",
        expected=f"(batch, {', '.join(map(str, expected))}), the observations of {interface.environment}",
        todo="describe its preprocessing in a TOML file, give another environment, or export a module around the network "
        "that changes the observation's shape",
    )


def _as_text(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _arrange(network: OnnxNetwork, path: Path, interface: Interface) -> None:
    """Runs the network, puts the scores before the value, and checks that it takes batches of any size."""
    graph, actions = network.graph, len(interface.action_names)
    result = _on_black(network, interface)
    first, *others = result if isinstance(result, tuple) else (result,)
    if not others and first.dim() == 2:
        check_action_count(path, first.shape[1], interface)
    if others and not are_scores(first, actions) and is_value(first) and are_scores(others[0], actions):
        network.value_first = True
    elif not are_scores(first, actions) or any(not (is_value(part) or are_scores(part, actions)) for part in others):
        raise OutputError(
            f"the network in {path} returns {describe(result)}; its outputs are {join_names(map(shown, graph.outputs))}",
            expected=f"scores of {actions} actions (b, {actions}), alone or with a value (b, 1)",
            todo="export the network with these outputs alone",
        )
    adapt_batches(network, interface.observation_shape)


def _on_black(network: OnnxNetwork, interface: Interface) -> Tensor | tuple[Tensor, ...]:
    """What a network returns for one black observation, or for as many as it was exported for if they are few."""
    batch, count = network.graph.batch or 1, example_size(network.graph, interface.observation_shape)
    if batch > LARGEST_BATCH:
        raise fixed_batch(network.graph)
    black = torch.zeros(count, *interface.observation_shape)
    try:
        with torch.no_grad():
            return network.try_out(black)
    except Exception as error:  # torch has many errors for tensors that do not fit
        is_ours = isinstance(error, WeakspotError | MemoryError)
        if batch > count and (isinstance(error, GraphError) or not is_ours):
            raise fixed_batch(network.graph) from error
        if is_ours:
            raise
        raise MismatchError(
            f"the network in {network.graph.source} cannot take an observation of shape {tuple(black.shape)}: "
            f"{' '.join(str(error).split())[:200]}",
            expected=f"a network for the observations of {interface.environment}",
            todo="export it again, or give the environment that it was trained on",
        ) from error
