"""Reads an ONNX file as a :class:`~weakspot.agents.onnx_files.graph.Graph`; no code is run, and no other file is opened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from weakspot.agents.listing import join_names
from weakspot.agents.onnx_files.graph import MOST_DIMENSIONS, Attribute, Graph, Node
from weakspot.agents.onnx_files.wire import structure_bytes
from weakspot.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

LARGEST = 1 << 30
"""Bytes of the largest file that is read."""
LARGEST_STRUCTURE = 1 << 23
"""Bytes of a file that may be anything else than numbers of weights."""
MOST_NODES = 10_000
"""Nodes of the largest network that is read."""
OPSETS = range(7, 29)
"""Versions of ONNX's operators that are understood."""
MOST_NUMBERS = 1 << 12
"""Numbers and texts of an attribute, and names that a node takes or makes."""
LONGEST_NAME = 60
"""Characters of a name that error messages show."""
COMPUTED = {torch.float32: np.float32, torch.int64: np.int64, torch.bool: np.bool_}
"""The types in which numbers are computed, as numpy calls them."""
EXPORT_AGAIN = "export or fetch it again; it may be truncated"


def read_graph(path: Path) -> Graph:
    """Reads the network in a file.

    Raises:
        ConfigError: the package ``onnx`` is not installed.
        WeightsError: the file is damaged, too large, keeps weights in other files, has several inputs, or more outputs than
            an agent has.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise _too_large(f"{path} has {size:,} bytes", LARGEST)
    model, source = _parse(path.read_bytes(), str(path)), str(path)
    try:
        return _graph(model, source)
    except UnicodeDecodeError as error:
        raise damaged(source, str(error)) from error


def shown(name: str) -> str:
    """A name out of a file as error messages show it."""
    return repr(name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "...")


def damaged(source: str, why: str) -> WeightsError:
    """The error for a file whose content contradicts itself."""
    return WeightsError(f"{source} is damaged: {why}", expected="a complete file of ONNX", todo=EXPORT_AGAIN)


def _parse(content: bytes, source: str) -> ModelProto:
    try:
        from onnx import ModelProto
    except ImportError as error:
        raise ConfigError(
            f"{source} is a network of ONNX, and the package that reads it cannot be imported: {error}",
            expected="the extra onnx",
            todo="pip install 'weakspot[onnx]'",
        ) from error
    try:
        structure = structure_bytes(content)
        if structure > LARGEST_STRUCTURE:
            raise _too_large(f"{source} has {structure:,} bytes that are no numbers of weights", LARGEST_STRUCTURE)
        return ModelProto.FromString(content)
    except WeightsError:
        raise
    except Exception as error:  # the reader has errors of its own for damaged files
        raise WeightsError(
            f"{source} cannot be read: {' '.join(str(error).split())[:200]} ({len(content):,} bytes)",
            expected="a complete file of ONNX",
            todo=EXPORT_AGAIN,
        ) from error


def _too_large(seen: str, most: int) -> WeightsError:
    todo = "write a function that builds the network in torch: path.py:factory"
    return WeightsError(seen, expected=f"at most {most:,}", todo=todo)


def _graph(model: ModelProto, source: str) -> Graph:
    graph = model.graph
    if not graph.node or not graph.output:
        raise damaged(source, "it holds no network")
    if len(graph.node) > MOST_NODES:
        raise _too_large(f"{source} has {len(graph.node):,} nodes", MOST_NODES)
    constants = _initializers(graph, source)
    observation = _input(graph, constants, source)
    outputs = tuple(output.name for output in graph.output)
    if len(outputs) > 2:
        raise WeightsError(
            f"{source} has {len(outputs)} outputs: {_joined(outputs)}",
            expected="Q-values alone, or logits and a value",
            todo="export the network with these outputs alone",
        )
    all_nodes = [_node(node, source) for node in graph.node]
    nodes = [node for node in all_nodes if node.operator != "Constant"]
    made = [node for node in all_nodes if node.operator == "Constant"]
    names = [tensor.name for tensor in graph.initializer] + [name for node in made for name in node.outputs]
    _check_once([*names, observation.name], source)
    constants |= {name: _constant(node, source) for node in made for name in node.outputs}
    _check_names(nodes, {observation.name, *names}, outputs, source)
    needed = _needed(nodes, outputs)
    used = {name for node in needed for name in node.inputs} | set(outputs)
    return Graph(
        source=source,
        opset=_opset(model, source),
        nodes=needed,
        constants={name: constant for name, constant in constants.items() if name in used},
        input=observation.name,
        shape=_input_shape(observation, source),
        integer=cast_type(observation.type.tensor_type.elem_type) == torch.int64,
        outputs=outputs,
    )


def _opset(model: ModelProto, source: str) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    version = versions[0] if versions else 1
    if version not in OPSETS:
        raise WeightsError(
            f"{source} uses version {version} of ONNX's operators",
            expected=f"{OPSETS.start} to {OPSETS.stop - 1}",
            todo="export it with another opset_version, such as 17",
        )
    return version


def _joined(names: Iterable[str]) -> str:
    return join_names(map(shown, names))


def _initializers(graph: GraphProto, source: str) -> dict[str, Tensor]:
    if graph.sparse_initializer:
        raise WeightsError(f"{source} has sparse weights", expected="dense weights", todo="export it with dense weights")
    return {tensor.name: _tensor(tensor, source) for tensor in graph.initializer}


def _input(graph: GraphProto, constants: Mapping[str, Tensor], source: str) -> ValueInfoProto:
    """The only input; old files list their weights as inputs as well."""
    inputs = [entry for entry in graph.input if entry.name not in constants]
    if len(inputs) != 1:
        raise WeightsError(
            f"{source} has {len(inputs)} inputs: {_joined(entry.name for entry in inputs)}",
            expected="one, the observation",
            todo="export the network so that it takes the observation alone; a network with a hidden state can be loaded "
            "as a torch module: path.py:factory",
        )
    return inputs[0]


def _input_shape(entry: ValueInfoProto, source: str) -> tuple[int | None, ...]:
    """The shape of the observation."""
    kind = entry.type.tensor_type
    if kind.elem_type not in _types():
        raise WeightsError(
            f"the input {shown(entry.name)} of {source} is no tensor of numbers",
            expected="an observation",
            todo="export the network so that it takes the observation alone",
        )
    if len(kind.shape.dim) > MOST_DIMENSIONS:
        raise damaged(source, f"the input {shown(entry.name)} has {len(kind.shape.dim):,} dimensions")
    return tuple(dimension.dim_value if dimension.dim_value > 0 else None for dimension in kind.shape.dim)


def _check_once(names: Sequence[str], source: str) -> None:
    """Raises an error if a name occurs twice."""
    if len(set(names)) < len(names):
        seen = set[str]()
        twice = {name for name in names if name in seen or seen.add(name)}
        raise damaged(source, f"{_joined(sorted(twice))} is made twice")


def _check_names(nodes: Sequence[Node], known: set[str], outputs: Sequence[str], source: str) -> None:
    """Raises an error unless each name is made once, before it is used."""
    made = set(known)
    for node in nodes:
        if missing := [name for name in node.inputs if name and name not in made]:
            raise damaged(source, f"nothing makes {_joined(missing)}, which {shown(node.operator)} takes")
        if twice := [name for name in node.outputs if name in made]:
            raise damaged(source, f"{_joined(twice)} is made twice")
        _check_once([name for name in node.outputs if name], source)
        made |= set(node.outputs) - {""}
    if missing := [name for name in outputs if name not in made]:
        raise damaged(source, f"nothing makes the output {_joined(missing)}")


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    """The nodes that an output depends on."""
    wanted, kept = set(outputs), list[Node]()
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def _node(node: NodeProto, source: str) -> Node:
    operator = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    if max(len(node.input), len(node.output), len(node.attribute)) > MOST_NUMBERS:
        raise _too_large(f"a node {shown(operator)} in {source} has many inputs, outputs or settings", MOST_NUMBERS)
    attributes = {attribute.name: _attribute(attribute, source) for attribute in node.attribute}
    return Node(operator, tuple(node.input), tuple(node.output), attributes)


KINDS = (
    ("value_float", torch.float32),
    ("value_floats", torch.float32),
    ("value_int", torch.int64),
    ("value_ints", torch.int64),
)
"""Attributes of the operator ``Constant`` that are numbers."""


def _constant(node: Node, source: str) -> Tensor:
    """What a node of the operator ``Constant`` makes."""
    for name, kind in KINDS:
        value = node.attributes.get(name)
        numbers = value if isinstance(value, tuple) else (value,)
        allowed = (int, float) if kind.is_floating_point else int
        if name in node.attributes and all(isinstance(number, allowed) for number in numbers):
            return _checked(torch.tensor(value, dtype=kind), shown(name), source)
    value = node.attributes.get("value")
    if not isinstance(value, Tensor):
        raise damaged(source, f"the constant {_joined(node.outputs)} holds no numbers")
    return value


def _attribute(attribute: AttributeProto, source: str) -> Attribute:
    kinds = type(attribute)
    kind = attribute.type
    if max(len(attribute.ints), len(attribute.floats), len(attribute.strings)) > MOST_NUMBERS:
        raise _too_large(f"the setting {shown(attribute.name)} of a node in {source} has many numbers", MOST_NUMBERS)
    if kind == kinds.TENSOR:
        return _tensor(attribute.t, source)
    if kind == kinds.STRING:
        return attribute.s.decode(errors="replace")
    if kind == kinds.STRINGS:
        return tuple(text.decode(errors="replace") for text in attribute.strings)
    if kind == kinds.INTS:
        return tuple(attribute.ints)
    if kind == kinds.FLOATS:
        return tuple(attribute.floats)
    if kind == kinds.INT:
        return attribute.i
    if kind == kinds.FLOAT:
        return attribute.f
    return ""  # graphs of operators that are refused by their names


def _types() -> dict[int, tuple[str, torch.dtype, str]]:
    """Types of numbers by their number in ONNX: how raw data has them, the type in which they are computed here, and the
    field that has them if there is no raw data."""
    from onnx import TensorProto as Kinds

    return {
        Kinds.FLOAT: ("<f4", torch.float32, "float_data"),
        Kinds.DOUBLE: ("<f8", torch.float32, "double_data"),
        Kinds.FLOAT16: ("<f2", torch.float32, "int32_data"),
        Kinds.BFLOAT16: ("<u2", torch.float32, "int32_data"),
        Kinds.INT8: ("<i1", torch.int64, "int32_data"),
        Kinds.INT16: ("<i2", torch.int64, "int32_data"),
        Kinds.INT32: ("<i4", torch.int64, "int32_data"),
        Kinds.INT64: ("<i8", torch.int64, "int64_data"),
        Kinds.UINT8: ("<u1", torch.int64, "int32_data"),
        Kinds.UINT16: ("<u2", torch.int64, "int32_data"),
        Kinds.BOOL: ("|u1", torch.bool, "int32_data"),
    }


def cast_type(number: object) -> torch.dtype | None:
    """The type in which numbers of an ONNX type, by its number there, are computed here; None if there is none."""
    found = _types().get(number) if isinstance(number, int) else None
    return None if found is None else found[1]


def _tensor(tensor: TensorProto, source: str) -> Tensor:
    """A constant; its shape is compared with the numbers that the file has before memory is taken for it."""
    from onnx import TensorProto as Kinds

    name, shape = shown(tensor.name), tuple(tensor.dims)
    if tensor.data_location == Kinds.EXTERNAL or tensor.external_data:
        raise WeightsError(
            f"{source} keeps the weights {name} in another file",
            expected="all weights in one file",
            todo="export it with external_data=False, or join the files with onnx.save(onnx.load(PATH), NEW_PATH)",
        )
    kind = _types().get(tensor.data_type)
    if kind is None:
        raise WeightsError(
            f"the constant {name} in {source} has type {tensor.data_type} of ONNX",
            expected="floating point numbers, or integers of at most 64 bits with a sign",
            todo="export the network without quantisation",
        )
    stored, computed, field = kind
    if len(shape) > MOST_DIMENSIONS or not all(0 <= size <= LARGEST for size in shape):
        raise damaged(source, f"the constant {name} has shape {shape[: MOST_DIMENSIONS + 1]}")
    numbers = _numbers(tensor, np.dtype(stored), field)
    if numbers is None or len(numbers) != math.prod(shape):
        count = "a broken number" if numbers is None else f"{len(numbers):,} numbers"
        raise damaged(source, f"the constant {name} has shape {shape} and {count}")
    if tensor.data_type == Kinds.BFLOAT16:
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = numbers.astype(COMPUTED[computed])  # a copy, in memory of its own
    result = torch.from_numpy(converted).reshape(shape)  # pyright: ignore[reportUnknownMemberType]
    return _checked(result, name, source)


def _checked(constant: Tensor, name: str, source: str) -> Tensor:
    """The constant, if it is finite."""
    if not _is_finite(constant):
        raise WeightsError(
            f"the constant {name} in {source} holds numbers that are not finite",
            expected="finite weights",
            todo="export the agent again from a training that did not diverge",
        )
    return constant


def _is_finite(tensor: Tensor) -> bool:
    """Whether a constant is finite; a single minus infinity is what masks and paddings are exported with."""
    if not tensor.is_floating_point() or not tensor.numel() or (tensor.numel() == 1 and tensor.item() == -math.inf):
        return True
    least, most = tensor.aminmax()
    return math.isfinite(least.item()) and math.isfinite(most.item())


def _numbers(tensor: TensorProto, stored: np.dtype[Any], field: str) -> np.ndarray | None:
    """The numbers of a constant, in the type in which they are stored; None for half a number."""
    if tensor.HasField("raw_data"):
        return None if len(tensor.raw_data) % stored.itemsize else np.frombuffer(tensor.raw_data, stored)
    entries = cast(Sequence[float], getattr(tensor, field))
    if field != "int32_data":
        return np.fromiter(entries, stored, len(entries))
    narrow = np.fromiter(entries, np.int32, len(entries))
    if stored.kind == "f":  # the bits of half precision
        return narrow.astype(np.uint16).view(stored)
    return narrow.astype(stored)
