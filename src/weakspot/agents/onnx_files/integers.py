"""Graphs whose observation is whole numbers, such as uint8: they must convert it before they compute with it.

The conversion passes floating point observations through, because whole numbers have no gradients.
"""

from __future__ import annotations

from weakspot.agents.listing import join_names
from weakspot.agents.onnx_files.graph import Graph, Node
from weakspot.agents.onnx_files.read import cast_type, shown
from weakspot.errors import WeightsError

MOVES = frozenset(
    {"Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that move numbers without computing with them."""
SIZES = frozenset({"Shape", "Size"})
"""Operators that look at shapes alone."""


def check_integer_input(graph: Graph) -> None:
    """Raises :class:`WeightsError` if a graph computes with whole numbers of its observation."""
    if not graph.integer:
        return
    whole = {graph.input}
    for node in graph.nodes:
        if not whole.intersection(node.inputs) or node.operator in SIZES or _converts(node):
            continue
        if node.operator not in MOVES:
            raise WeightsError(
                f"the network in {graph.source} computes with the whole numbers of {shown(graph.input)} "
                f"({shown(node.operator)}, which makes {join_names(map(shown, node.outputs))})",
                expected="a network that converts its observation to floating point numbers first",
                todo="export a module whose forward begins with observation.float()",
            )
        whole.update(node.outputs)


def _converts(node: Node) -> bool:
    """Whether a node makes floating point numbers of whole ones."""
    kind = cast_type(node.attributes.get("to")) if node.operator == "Cast" else None
    return kind is not None and kind.is_floating_point
