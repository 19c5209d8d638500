"""An ONNX graph as an ``nn.Module`` that can be differentiated and takes batches of any size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from weakspot.agents.listing import join_names
from weakspot.agents.onnx_files import elementwise, layers, shapes
from weakspot.agents.onnx_files.budget import TRIED, Budget
from weakspot.agents.onnx_files.call import MOST_NUMBERS, Batch, Call, GraphError, Operator
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
LARGEST_EXAMPLE = 1 << 20
"""Numbers of the observations of such a batch; a larger one is tried with fewer observations."""
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
        self._stored = sum(constant.numel() for constant in graph.constants.values())

    def forward(self, observation: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Maps observations (b, c, h, w) to the outputs: one tensor, or scores and value.

        Raises:
            WeightsError: a node cannot be computed.
        """
        return self._run(observation, Budget(self.graph.source, max(len(observation), TRIED), self._stored))

    def try_out(self, observation: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What a forward pass returns, for at most ``TRIED`` observations or for those that a file was exported for.

        What it may make and hold does not depend on their number, which may be out of the file.

        Raises:
            WeightsError: a node cannot be computed, or it would need much memory or time.
        """
        return self._run(observation, Budget(self.graph.source, TRIED, self._stored, held=True))

    def _run(self, observation: Tensor, budget: Budget) -> Tensor | tuple[Tensor, ...]:
        batch = Batch(len(observation), self.exported_batch)
        known: dict[str, Tensor] = {name: self._constant(name) for name in self.graph.constants}
        known[self.graph.input] = observation
        for tensor in known.values():
            budget.keep(tensor)
        for place, node in enumerate(self.graph.nodes):
            call = Call(node, [known[name] if name else None for name in node.inputs], self.graph.opset, budget, batch)
            for name, made in self._made(place, call).items():
                known[name] = made
                budget.keep(made)
            for name in self.last_uses[place]:
                if name in known:
                    budget.drop(known.pop(name))
        outputs = [known[name] for name in self.graph.outputs]
        outputs = outputs[::-1] if self.value_first else outputs
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _made(self, place: int, call: Call) -> dict[str, Tensor]:
        """What a node makes, by name."""
        call.budget.start([part for part in call.inputs if part is not None])
        if call.node.operator == "Relu":
            call.take(call.x.shape)
            result: Any = self.relus[str(place)](call.x)
        else:
            result = OPERATORS[call.node.operator](call)
        results = [result] if isinstance(result, Tensor) else list(cast(Sequence[Tensor], result))
        call.budget.finish(results)
        if any(made.dim() > MOST_NUMBERS for made in results):
            raise call.error(f"it makes more than {MOST_NUMBERS} dimensions")
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
    last = {name: place for place, node in enumerate(graph.nodes) for name in (*node.outputs, *node.inputs)}
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
    than one and is small."""
    count = max(example_size(network.graph, shape), TRIED)
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


def example_size(graph: Graph, shape: Sequence[int]) -> int:
    """The number of observations of shape (c, h, w) that a network is tried with first: those that it was exported for, or
    one."""
    batch = graph.batch or 1
    return batch if batch * math.prod(shape) <= LARGEST_EXAMPLE else 1


def _outputs(network: OnnxNetwork, observation: Tensor) -> list[Tensor]:
    result = network.try_out(observation)
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
