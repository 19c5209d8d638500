"""ONNX files that ask for much memory or time, and a valid one; there are none if the package ``onnx`` is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

HUGE = 1 << 29
"""Numbers of a tensor that takes 2 GB."""
SIDE = 30_000
"""Rows of a matrix that takes as much, and its columns."""


def valid_onnx() -> dict[str, bytes]:
    """A network of Pong, by the name of its file; nothing if the package ``onnx`` is missing."""
    if find_spec("onnx") is None:
        return {}
    generator = np.random.default_rng(0)
    weights = {"kernel": generator.normal(size=(4, 4, 8, 8)), "matrix": generator.normal(size=(6, 1600))}
    nodes = [
        _node("Div", ["x", "most"], ["scaled"]),
        _node("Conv", ["scaled", "kernel"], ["made"], strides=[4, 4]),
        _node("Relu", ["made"], ["positive"]),
        _node("Reshape", ["positive", "shape"], ["flat"]),
        _node("Gemm", ["flat", "matrix"], ["q"], transB=1),
    ]
    return {"network.onnx": _file(nodes, {**weights, "most": 255.0, "shape": np.array([0, -1])})}


def onnx_bombs(megabytes: int) -> Iterator[tuple[str, bytes]]:
    """Kinds and contents; the weights of some have ``megabytes``, all others are small."""
    if find_spec("onnx") is None:
        return
    yield "outputs that are announced", _file([_node("Split", ["x"], ["q"], axis=1, num_outputs=3_000_000)], opset=18)
    yield "sizes of a split", _file([_line("parts", 3_000_000, whole=True), _node("Split", ["x", "parts"], ["q"])])
    mean = _node("ReduceMean", ["b"], ["q"], axes=[0])
    large = [_line("a", HUGE), _node("Neg", ["a"], ["b"]), mean]
    yield "a large batch", _file(large, batch=1024)
    yield "a batch of many small images", _file(large, batch=37)
    yield "a bias", _file([*_matrices(), _node("Gemm", ["one by one", "row", "column"], ["b"]), mean])
    for place in (1, 2):
        names = ["column", "scale", "scale"][: place + 1]
        names[place] = "row"
        scale = _constant("scale", np.ones(1, np.float32))
        yield f"normalisation {place}", _file([*_matrices(), scale, _node("LayerNormalization", names, ["b"]), mean])
    for name in ("scale of groups", "scale of channels"):
        operator, settings = ("GroupNormalization", {"num_groups": 2}) if "groups" in name else ("InstanceNormalization", {})
        yield name, _file([_line("a", 1 << 26), _node(operator, ["x", "a", "a"], ["q"], **settings)], opset=18)
    for operator in ("ReduceSum", "ReduceMax", "ReduceLogSumExp"):
        yield f"copies by {operator}", _copies(operator)
    yield "copies by pooling", _pooled()
    yield from _changed_shapes()
    yield "a shape of many numbers", _file([_line("a", 20_000_000, whole=True), _node("Reshape", ["x", "a"], ["q"])])
    yield "an empty dimension", _file([_filled("a", [HUGE, 0]), _node("ReduceMean", ["a"], ["q"], axes=[1])])
    yield "parts that keep the whole", _file(_parts(), opset=9)
    yield "outputs that nothing takes", _file(_unused())
    yield "a long convolution", _file([_filled("a", [1, 64, 512, 512]), _filled("w", [64, 64, 48, 48]), _window("Conv")])
    yield "a long pooling", _file([_filled("a", [1, 1, 4096, 4096]), _window("MaxPool", kernel_shape=[2048, 2048])])
    yield (
        "many steps",
        _file([_filled("a0", [1 << 22]), *(_node("Exp", [f"a{i}"], [f"a{i + 1}"]) for i in range(3000))], out="a3000"),
    )
    yield "many windows", _file([_filled("a", [1, 16, 1024, 1024]), _filled("w", [1, 16, 3, 3]), _window("Conv")])
    yield "long settings", _file([_node("Conv", ["x", "w"], ["q"], pads=[1] * 50_000)], {"w": np.ones((1, 4, 1, 1))})
    yield "a long mode", _file([_node("Pad", ["x"], ["q"], mode="m" * 1_000_000)], opset=10)
    yield "long places", _file([_node("Slice", ["x"], ["q"], starts=[0] * 3_000, ends=[1] * 2_999)], opset=9)
    yield "many outputs", _file([_node("Split", ["x"], [f"q{i}" for i in range(50_000)], axis=1)], out="q0")
    yield "dimensions of an input", _many_dimensions()
    for kind, number in (("empty settings", 5), ("empty settings of weights", 9)):
        yield kind, _file([]) + _field(7, _field(1, bytes([number << 3 | 2, 0]) * 4_000_000))
    yield "numbers of one byte", _weight(7, 7, megabytes << 20)
    yield "small whole numbers", _weight(3, 9, megabytes << 20)
    yield "many constants", _constants(9_000)
    yield "infinite weights", _file([_node("Neg", ["w"], ["q"])], {"w": np.array([1.0, np.inf])})
    yield "weights with one name", _twice()


def _node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **settings: Any) -> Any:
    from onnx import helper

    return helper.make_node(operator, inputs, outputs, **settings)


def _constant(name: str, value: np.ndarray) -> Any:
    from onnx import numpy_helper

    return _node("Constant", [], [name], value=numpy_helper.from_array(value))


def _filled(name: str, shape: Sequence[int]) -> Any:
    """A node that takes its shape from a constant that :func:`_file` adds."""
    return _node("ConstantOfShape", [f"shape {'x'.join(map(str, shape))}"], [name])


def _line(name: str, count: int, whole: bool = False) -> Any:
    """A node that repeats one number, which takes no memory."""
    return _node("Expand", ["whole one" if whole else "one", f"shape {count}"], [name])


def _matrices() -> list[Any]:
    """A column and a row that give a large matrix together."""
    shapes = {"row": [1, SIDE], "column": [SIDE, 1], "one by one": [1, 1]}
    return [_filled(name, shape) for name, shape in shapes.items()]


def _window(operator: str, **settings: Any) -> Any:
    return _node(operator, ["a", "w"] if operator == "Conv" else ["a"], ["q"], **settings)


def _copies(operator: str) -> bytes:
    """Reductions over a dimension of one number, whose results are all needed at the end."""
    opset = 13 if operator == "ReduceSum" else 18
    copies = [_node(operator, ["a", "axis"], [f"r{i}"]) for i in range(8)]
    nodes = [_line("line", 1 << 27), _node("Unsqueeze", ["line", "axis"], ["a"]), *copies]
    joined = _node("Concat", [f"r{i}" for i in range(8)], ["q"], axis=0)
    return _file([*nodes, joined], {"axis": np.array([1])}, opset=opset)


def _pooled() -> bytes:
    pooled = [_node("GlobalAveragePool", ["a"], [f"r{i}"]) for i in range(8)]
    joined = _node("Concat", [f"r{i}" for i in range(8)], ["q"], axis=0)
    repeated = _node("Expand", ["one", f"shape 1x{1 << 27}x1x1"], ["a"])
    return _file([repeated, *pooled, joined])


def _changed_shapes() -> Iterator[tuple[str, bytes]]:
    """Tensors that take no memory until their shapes are changed, eight times each."""
    repeated = _node("Expand", ["values", f"shape {1 << 13}x{1 << 13}"], ["a"])
    turned = [repeated, _node("Transpose", ["a"], ["t"])]
    constants = {
        "values": np.ones((1, 1 << 13)),
        "line": np.array([-1]),
        "first": np.array([0]),
        "end": np.array([-(2**60)]),
        "back": np.array([-1]),
    }
    for operator, inputs in {"Reshape": ["line"], "Flatten": [], "Slice": ["back", "end", "first", "back"]}.items():
        settings = {"axis": 0} if operator == "Flatten" else {}
        copies = [_node(operator, ["t", *inputs], [f"b{i}"], **settings) for i in range(8)]
        joined = _node("Concat", [f"b{i}" for i in range(8)], ["q"], axis=0)
        yield f"copies by {operator}", _file([*turned, *copies, joined], constants)


def _parts() -> list[Any]:
    """Slices of large tensors: each keeps all of its tensor."""
    made = [_node("Neg", ["a"], [f"b{i}"]) for i in range(40)]
    cut = [_node("Slice", [f"b{i}"], [f"c{i}"], starts=[0], ends=[1]) for i in range(40)]
    pairs = [part for pair in zip(made, cut, strict=True) for part in pair]
    return [_line("a", 1 << 24), *pairs, _node("Concat", [f"c{i}" for i in range(40)], ["q"], axis=0)]


def _unused() -> list[Any]:
    """A node makes two outputs from each tensor, and only one is used."""
    nodes = [_line("a", 1 << 24), _node("Neg", ["a"], ["b0"])]
    for i in range(60):
        nodes += [
            _node("Split", [f"b{i}"], [f"c{i}", f"d{i}"], axis=0),
            _node("Concat", [f"c{i}"] * 2, [f"b{i + 1}"], axis=0),
        ]
    return [*nodes, _node("ReduceMean", ["b60"], ["q"])]


def _many_dimensions() -> bytes:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1] * 50_000)
    graph = helper.make_graph([_node("Neg", ["x"], ["q"])], "g", [value], [helper.make_empty_tensor_value_info("q")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def _constants(count: int) -> bytes:
    constants = [_node("Constant", [], [f"c{i}"], value_float=1.0) for i in range(count)]
    return _file([*constants, _node("Sum", ["x", *(f"c{i}" for i in range(4_000))], ["q"])])


def _weight(kind: int, field: int, count: int) -> bytes:
    """A weight of ``count`` numbers of one byte each."""
    tensor = b"\x08" + _number(count) + b"\x10" + _number(kind) + _field(8, b"w") + _field(field, b"\1" * count)
    return _file([_node("Gather", ["w", "i"], ["q"])], {"i": np.array([0])}) + _field(7, _field(5, tensor))


def _twice() -> bytes:
    file = _file([_node("Mul", ["x", "w"], ["q"])], {"w": np.ones(1)})
    tensor = b"\x08\x01\x10\x01" + _field(8, b"w") + _field(9, b"\0\0\x80\x3f")
    return file + _field(7, _field(5, tensor))


def _number(value: int) -> bytes:
    """A number of variable length, as protobuf writes it."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _field(number: int, body: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(body)) + body


def _file(
    nodes: Sequence[Any], constants: dict[str, Any] | None = None, opset: int = 17, batch: int | str = "b", out: str = "q"
) -> bytes:
    """A graph from ``x`` (batch, 4, 84, 84); shapes that nodes name are added to its constants."""
    from onnx import TensorProto, helper, numpy_helper

    values = {name: np.asarray(value) for name, value in (constants or {}).items()}
    for name in {name for node in nodes for name in node.input} - values.keys():
        if name.startswith("shape "):
            values[name] = np.array([int(size) for size in name.removeprefix("shape ").split("x")])
        elif name in ("one", "whole one"):
            values[name] = np.ones(1, np.float32 if name == "one" else np.int64)
    graph = helper.make_graph(
        nodes,
        "bomb",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4, 84, 84])],
        [helper.make_empty_tensor_value_info(out)],
        [
            numpy_helper.from_array(value.astype(np.float32) if value.dtype == np.float64 else value, name)
            for name, value in sorted(values.items())
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString()
