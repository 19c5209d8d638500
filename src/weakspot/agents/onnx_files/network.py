"""An ONNX graph as an ``nn.Module`` that can be differentiated and takes batches of any size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from weakspot.agents.listing import join_names
from weakspot.agents.onnx_files import elementwise, layers, shapes
from weakspot.agents.onnx_files.call import LARGEST_STATE, Batch, Budget, Call, GraphError, Operator
from weakspot.agents.onnx_files.graph import Graph, Node
from weakspot.agents.onnx_files.read import shown
from weakspot.errors import OutputError, WeightsError

OPERATORS: Mapping[str, Operator] = {**elementwise.OPERATORS, **layers.OPERATORS, **shapes.OPERATORS}
"""All operators except Relu."""
CHOICES = frozenset({"ArgMax", "ArgMin", "TopK", "Hardmax"})
"""Operators that choose an action."""
RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"})
"""Operators that draw random numbers."""
MEMORY = frozenset({"GRU", "LSTM", "RNN"})
"""Operators with a hidden state."""
LARGEST_BATCH = 1024
"""Observations of the largest batch that a file may be exported for."""
COMPARED = 4
"""Observations that are compared one by one with the batch."""


class OnnxNetwork(nn.Module):
    """The network of a graph.

    Every Relu of the graph is an ``nn.ReLU`` of its own, as saliency needs it.

    Args:
        graph: as it was read.

    Attributes:
        value_first: whether the first output is the value.
        exported_batch: a first size in constants of Reshape that stands for the batch; None if there is none.

    Raises:
        OutputError: the network returns an action instead of scores.
        WeightsError: the graph has operators that are not converted.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        _check_operators(graph)
        self.graph, self.value_first, self.exported_batch = graph, False, graph.batch
        self.places = {name: f"constant_{place}" for place, name in enumerate(graph.constants)}
        for name, constant in graph.constants.items():
            if constant.is_floating_point():
                self.register_parameter(self.places[name], nn.Parameter(constant, requires_grad=False))
        self.relus = nn.ModuleDict(
            {str(place): nn.ReLU() for place, node in enumerate(graph.nodes) if node.operator == "Relu"}
        )
        self.last_uses = _last_uses(graph)

    def forward(self, observation: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Maps observations (b, c, h, w) to the outputs: one tensor, or scores and value.

        Raises:
            WeightsError: a node cannot be computed.
        """
        batch = Batch(len(observation), self.exported_batch)
        budget = Budget(self.graph.source, LARGEST_STATE * len(observation))
        known: dict[str, Tensor] = {name: self._constant(name) for name in self.graph.constants}
        known[self.graph.input] = observation
        for place, node in enumerate(self.graph.nodes):
            call = Call(node, [known[name] if name else None for name in node.inputs], self.graph.opset, budget, batch)
            known.update(self._made(place, call))
            for name in self.last_uses[place]:
                known.pop(name, None)
        outputs = [known[name] for name in self.graph.outputs]
        outputs = outputs[::-1] if self.value_first else outputs
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _made(self, place: int, call: Call) -> dict[str, Tensor]:
        """What a node makes, by name."""
        if call.node.operator == "Relu":
            call.budget.take(call.x.shape)
            result: Any = self.relus[str(place)](call.x)
        else:
            result = OPERATORS[call.node.operator](call)
        results = [result] if isinstance(result, Tensor) else cast(Sequence[Tensor], result)
        return {name: made for name, made in zip(call.node.outputs, results, strict=False) if name}

    def _constant(self, name: str) -> Tensor:
        """A weight, or a constant of whole numbers, which stay on the processor."""
        return cast(Tensor, getattr(self, self.places[name], self.graph.constants[name]))


def _check_operators(graph: Graph) -> None:
    def makers(operators: Iterable[str]) -> list[Node]:
        return [node for node in graph.nodes if node.operator in operators]

    outputs = join_names(map(shown, graph.outputs))
    if chosen := makers(CHOICES | RANDOM):
        how = "draws random numbers" if chosen[0].operator in RANDOM else "chooses the action itself"
        raise OutputError(
            f"the network in {graph.source} {how} ({chosen[0].operator}); its outputs are {outputs}",
            expected="scores of all actions",
            todo="export the network before it, with its Q-values, or its logits and value, as outputs",
        )
    if makers(MEMORY):
        raise WeightsError(
            f"the network in {graph.source} has a hidden state ({makers(MEMORY)[0].operator})",
            expected="a network that sees the observation alone",
            todo="load it as a torch module that takes and returns its hidden state: path.py:factory",
        )
    unknown = {node.operator for node in graph.nodes} - {*OPERATORS, "Relu"}
    if unknown:
        raise WeightsError(
            f"{graph.source} uses operators that are not converted: {join_names(map(shown, sorted(unknown)))}",
            expected="convolutions, products, pooling, normalisation, activations, reductions and changes of shape",
            todo="write a function that builds the network in torch: path.py:factory",
        )


def _last_uses(graph: Graph) -> list[list[str]]:
    """For each node, the names that nothing needs behind it."""
    last = {name: place for place, node in enumerate(graph.nodes) for name in node.inputs}
    uses: list[list[str]] = [[] for _ in graph.nodes]
    for name, place in last.items():
        if name not in graph.outputs:
            uses[place].append(name)
    return uses


def adapt_batches(network: OnnxNetwork, shape: Sequence[int]) -> None:
    """Checks that a network treats each observation of a batch by itself.

    A network for any batch size in which the exporter took the batch of its example for a constant is seen as one for
    batches of one.

    Args:
        network: of a graph.
        shape: (c, h, w) of observations.

    Raises:
        WeightsError: it was exported for a fixed batch size in a way that cannot be changed.
    """
    if _treats_alone(network, shape):
        return
    if network.graph.batch is None:
        network.exported_batch = 1
        if _treats_alone(network, shape):
            return
    raise fixed_batch(network.graph)


def _treats_alone(network: OnnxNetwork, shape: Sequence[int]) -> bool:
    """Whether observations have the same outputs in a batch and one by one; the batch is the exported one, if it has more
    than one."""
    count = max(network.graph.batch or 1, 2)
    noise = torch.randint(256, (count, *shape), generator=torch.Generator().manual_seed(0)).float()
    try:
        with torch.no_grad():
            whole = _outputs(network, noise)
            parts = [_outputs(network, noise[row : row + 1]) for row in range(min(count, COMPARED))]
    except (GraphError, RuntimeError, ValueError, IndexError):
        return False
    for position, output in enumerate(whole):
        rows = [part[position] for part in parts]
        if output.dim() == 0 or len(output) != count or any(row.shape != output[:1].shape for row in rows):
            return False
        largest = float(output.abs().max()) if output.numel() else 0.0
        if not torch.allclose(output[: len(rows)], torch.cat(rows), rtol=1e-3, atol=1e-4 * largest, equal_nan=True):
            return False
    return True


def _outputs(network: OnnxNetwork, observation: Tensor) -> list[Tensor]:
    result = network(observation)
    return [result] if isinstance(result, Tensor) else list(result)


def fixed_batch(graph: Graph) -> WeightsError:
    """The error for a network that does not take batches of any size."""
    size = graph.batch
    return WeightsError(
        f"the network in {graph.source} "
        + (f"was exported for batches of {size}" if size else "does not treat the observations of a batch one by one"),
        expected="a network for batches of any size",
        todo="export it with a dynamic batch size: torch.onnx.export(..., dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))",
    )
