"""Operators of ONNX as they are converted to torch, compared with the reference implementation of the package ``onnx``."""

from __future__ import annotations

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from weakspot.agents.onnx_files.network import OPERATORS, OnnxNetwork  # noqa: E402
from weakspot.agents.onnx_files.read import OPSETS, read_graph  # noqa: E402

torch.set_num_threads(1)
KINDS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64, np.dtype(bool): TensorProto.BOOL}
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.normal(size=(2, 3, 7, 6)).astype(np.float32)
ROWS = RANDOM.normal(size=(2, 6)).astype(np.float32)
POSITIVE = np.abs(IMAGE) + 0.5
NUMBERS = np.array([[4, -7, 9], [1, 0, -3]])


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def model_of(nodes, x, constants, outputs=1, opset=17, x_shape=None):
    """A model of nodes from ``x`` and ``c0``, ``c1`` ... to ``y0``, ``y1`` ..."""
    shape = ["batch", *x.shape[1:]] if x_shape is None else x_shape
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("x", KINDS[x.dtype], shape)],
        [helper.make_empty_tensor_value_info(f"y{place}") for place in range(outputs)],
        [numpy_helper.from_array(constant, f"c{place}") for place, constant in enumerate(constants)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def network_of(model, tmp_path) -> OnnxNetwork:
    (tmp_path / "one.onnx").write_bytes(model.SerializeToString())
    return OnnxNetwork(read_graph(tmp_path / "one.onnx"))


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


ONE = [
    (name, {}, IMAGE, [], 17)
    for name in ("Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu")
] + [(name, {}, IMAGE, [], 22) for name in ("Mish", "Neg", "Relu", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign")]
TWO = [
    (name, {}, IMAGE, [constant], 17)
    for name in (
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Min",
        "Max",
        "Sum",
        "Greater",
        "Less",
        "GreaterOrEqual",
        "LessOrEqual",
        "Equal",
    )
    for constant in (np.float32(0.5), normal(3, 1, 6))
]
CASES = [
    *ONE,
    *TWO,
    ("Tanh", {}, IMAGE, [], 17),
    ("Sqrt", {}, POSITIVE, [], 17),
    ("Log", {}, POSITIVE, [], 17),
    ("Reciprocal", {}, POSITIVE, [], 17),
    ("Celu", {"alpha": 0.5}, IMAGE, [], 17),
    ("Elu", {"alpha": 0.5}, IMAGE, [], 17),
    ("LeakyRelu", {"alpha": 0.3}, IMAGE, [], 17),
    ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}, IMAGE, [], 17),
    ("Selu", {"alpha": 1.5, "gamma": 0.9}, IMAGE, [], 17),
    ("Gelu", {}, IMAGE, [], 20),
    ("Gelu", {"approximate": "tanh"}, IMAGE, [], 20),
    ("PRelu", {}, IMAGE, [normal(3, 1, 1)], 17),
    ("Pow", {}, IMAGE, [np.float32(2)], 17),
    ("Pow", {}, POSITIVE, [normal(3, 1, 1)], 17),
    ("Div", {}, NUMBERS, [ints(2, -2, 4)], 17),
    ("Div", {}, NUMBERS, [ints(-1, 3, -1)], 17),
    ("Max", {}, IMAGE, [normal(6), normal(7, 1)], 17),
    ("Sum", {}, IMAGE, [normal(6), normal(7, 1)], 17),
    ("And", {}, IMAGE > 0, [normal(7, 6) > 0], 17),
    ("Or", {}, IMAGE > 0, [normal(7, 6) > 0], 17),
    ("Not", {}, IMAGE > 0, [], 17),
    ("Where", {}, IMAGE > 0, [normal(7, 6), np.float32(0)], 17),
    ("Clip", {}, IMAGE, [np.float32(-0.5), np.float32(0.5)], 17),
    ("Clip", {}, IMAGE, [np.float32(0)], 17),
    ("Clip", {"min": -0.5, "max": 0.25}, IMAGE, [], 7),
    ("Conv", {}, IMAGE, [normal(4, 3, 3, 2)], 17),
    ("Conv", {"strides": [2, 1], "pads": [1, 1, 1, 1]}, IMAGE, [normal(4, 3, 3, 3), normal(4)], 17),
    ("Conv", {"strides": [2, 2], "pads": [0, 1, 2, 0]}, IMAGE, [normal(4, 3, 3, 3), normal(4)], 17),
    ("Conv", {"dilations": [2, 2]}, IMAGE, [normal(4, 3, 3, 2)], 17),
    ("Conv", {"group": 3}, IMAGE, [normal(6, 1, 3, 2)], 17),
    ("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, IMAGE, [normal(4, 3, 3, 3)], 17),
    ("Conv", {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, IMAGE, [normal(4, 3, 3, 3)], 17),
    ("Conv", {"auto_pad": "VALID"}, IMAGE, [normal(4, 3, 3, 3)], 17),
    ("Conv", {}, normal(2, 3, 9), [normal(4, 3, 3)], 17),
    ("Gemm", {}, ROWS, [normal(6, 4)], 17),
    ("Gemm", {"transB": 1}, ROWS, [normal(4, 6), normal(4)], 17),
    ("Gemm", {"transA": 1, "alpha": 0.5, "beta": 2.0}, ROWS, [normal(2, 4), normal(4)], 17),
    ("MatMul", {}, ROWS, [normal(6, 4)], 17),
    ("MatMul", {}, IMAGE, [normal(6)], 17),
    ("MatMul", {}, IMAGE, [normal(3, 6, 5)], 17),
    ("BatchNormalization", {}, IMAGE, [normal(3), normal(3), normal(3), np.abs(normal(3)) + 0.1], 17),
    ("InstanceNormalization", {"epsilon": 1e-3}, IMAGE, [normal(3), normal(3)], 17),
    ("LayerNormalization", {}, ROWS, [normal(6), normal(6)], 17),
    ("LayerNormalization", {"axis": 1, "epsilon": 1e-3}, IMAGE, [normal(3, 7, 6)], 17),
    ("GroupNormalization", {"num_groups": 3}, IMAGE, [normal(3), normal(3)], 21),
    ("MaxPool", {"kernel_shape": [3, 2]}, IMAGE, [], 17),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, IMAGE, [], 17),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}, IMAGE, [], 17),
    ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 2]}, IMAGE, [], 17),
    ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, IMAGE, [], 17),
    ("AveragePool", {"kernel_shape": [2, 3], "strides": [2, 2]}, IMAGE, [], 17),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, IMAGE, [], 17),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, IMAGE, [], 17),
    ("GlobalAveragePool", {}, IMAGE, [], 17),
    ("GlobalMaxPool", {}, IMAGE, [], 17),
    ("Softmax", {}, IMAGE, [], 17),
    ("Softmax", {"axis": 1}, IMAGE, [], 17),
    ("LogSoftmax", {"axis": 1}, ROWS, [], 17),
    ("ReduceMean", {"axes": [2, 3]}, IMAGE, [], 17),
    ("ReduceMean", {"keepdims": 0}, IMAGE, [ints(-1)], 18),
    ("ReduceSum", {}, IMAGE, [ints(1, 2)], 17),
    ("ReduceSum", {"noop_with_empty_axes": 1}, IMAGE, [], 17),
    ("ReduceMax", {"axes": [1], "keepdims": 0}, IMAGE, [], 17),
    ("ReduceMin", {"axes": [1]}, IMAGE, [], 17),
    ("ReduceL2", {"axes": [1]}, IMAGE, [], 17),
    ("ReduceLogSumExp", {"axes": [-1]}, IMAGE, [], 17),
    ("Cast", {"to": TensorProto.INT64}, IMAGE * 5, [], 17),
    ("Cast", {"to": TensorProto.BOOL}, IMAGE, [], 17),
    ("Concat", {"axis": 1}, IMAGE, [normal(2, 2, 7, 6)], 17),
    ("Concat", {"axis": -1}, ROWS, [normal(2, 1)], 17),
    ("Dropout", {}, IMAGE, [], 17),
    ("Expand", {}, ROWS, [ints(3, 1, 6)], 17),
    ("Flatten", {}, IMAGE, [], 17),
    ("Flatten", {"axis": 0}, IMAGE, [], 17),
    ("Flatten", {"axis": -1}, IMAGE, [], 17),
    ("Gather", {"axis": 1}, IMAGE, [np.array([[0, -1], [2, 0]])], 17),
    ("Gather", {"axis": 2}, IMAGE, [np.int64(3)], 17),
    ("Pad", {}, IMAGE, [ints(0, 0, 1, 2, 0, 0, 0, 1), np.float32(2)], 17),
    ("Pad", {"mode": "reflect"}, IMAGE, [ints(0, 0, 1, 2, 0, 0, 0, 1)], 17),
    ("Pad", {"mode": "edge"}, IMAGE, [ints(0, 0, 1, 2, 0, 0, 0, 1)], 17),
    ("Reshape", {}, IMAGE, [ints(0, -1, 6)], 17),
    ("Shape", {}, IMAGE, [], 17),
    ("Shape", {"start": 1, "end": -1}, IMAGE, [], 17),
    ("Size", {}, IMAGE, [], 17),
    ("Slice", {}, IMAGE, [ints(1, -3), ints(3, 2**62), ints(1, -1)], 17),
    ("Slice", {}, IMAGE, [ints(-1), ints(-(2**62)), ints(2), ints(-2)], 17),
    ("Slice", {}, IMAGE, [ints(0), ints(7), ints(2), ints(3)], 17),
    ("Slice", {"starts": [1], "ends": [3], "axes": [2]}, IMAGE, [], 9),
    ("Squeeze", {}, normal(2, 1, 5, 1), [ints(1, -1)], 17),
    ("Squeeze", {"axes": [1]}, normal(2, 1, 5, 1), [], 11),
    ("Squeeze", {}, normal(2, 1, 5, 1), [], 17),
    ("Transpose", {"perm": [0, 2, 3, 1]}, IMAGE, [], 17),
    ("Transpose", {}, IMAGE, [], 17),
    ("Unsqueeze", {}, ROWS, [ints(1, -1)], 17),
    ("Unsqueeze", {"axes": [0, 2]}, ROWS, [], 11),
]


@pytest.mark.parametrize(("operator", "settings", "x", "constants", "opset"), CASES)
def test_an_operator_computes_what_the_reference_does(operator, settings, x, constants, opset, tmp_path):
    names = ["x", *(f"c{place}" for place in range(len(constants)))]
    model = model_of([helper.make_node(operator, names, ["y0"], **settings)], x, constants, opset=opset)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    found = network_of(model, tmp_path)(torch.from_numpy(x))
    assert tuple(found.shape) == np.shape(expected)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "constants", "opset"),
    [
        ({"axis": 1}, [ints(1, 2)], 17),
        ({"axis": 1}, [], 17),
        ({"axis": 3, "num_outputs": 2}, [], 18),
        ({"axis": 2, "num_outputs": 2}, [], 18),
        ({"axis": 1, "split": [2, 1]}, [], 11),
    ],
)
def test_split(settings, constants, opset, tmp_path):
    x = IMAGE if constants or "split" in settings or "num_outputs" in settings else normal(2, 4, 5)
    names = ["x", *(f"c{place}" for place in range(len(constants)))]
    model = model_of([helper.make_node("Split", names, ["y0", "y1"], **settings)], x, constants, outputs=2, opset=opset)
    expected = ReferenceEvaluator(model).run(None, {"x": x})
    for part, other in zip(network_of(model, tmp_path)(torch.from_numpy(x)), expected, strict=True):
        np.testing.assert_array_equal(part, other)


def test_shapes_that_are_computed(tmp_path):
    """The batch size goes through Shape, Gather, Unsqueeze and Concat into Reshape and ConstantOfShape."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "c0"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "c1"], ["first"]),
        helper.make_node("Concat", ["first", "c2"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["flat"]),
        helper.make_node(
            "ConstantOfShape", ["first"], ["ones"], value=helper.make_tensor("one", TensorProto.FLOAT, [1], [1])
        ),
        helper.make_node("Unsqueeze", ["ones", "c3"], ["column"]),
        helper.make_node("Concat", ["flat", "column"], ["y0"], axis=1),
    ]
    model = model_of(nodes, IMAGE, [np.int64(0), ints(0), ints(-1), ints(1)])
    network = network_of(model, tmp_path)
    for batch in (1, 2, 5):
        x = normal(batch, 3, 7, 6)
        np.testing.assert_array_equal(network(torch.from_numpy(x)), ReferenceEvaluator(model).run(None, {"x": x})[0])
    assert network.to("meta")(torch.empty(2, 3, 7, 6, device="meta")).shape == (2, 127)


@pytest.mark.parametrize("opset", [7, 11, 12])
def test_softmax_before_version_13_is_over_all_later_dimensions(opset, tmp_path):
    """Its definition in old versions: the input is made a matrix first."""
    model = model_of([helper.make_node("Softmax", ["x"], ["y0"])], IMAGE, [], opset=opset)
    x = torch.from_numpy(IMAGE)
    expected = x.reshape(2, -1).softmax(1).reshape(x.shape)
    torch.testing.assert_close(network_of(model, tmp_path)(x), expected)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int8, np.int32, np.uint8, np.uint16])
@pytest.mark.parametrize("raw", [True, False])
def test_constants_of_all_types(kind, raw, tmp_path):
    numbers = np.array([[0, 1, 100], [3, 4, 5]]).astype(kind)
    node = helper.make_node("Add", ["x", "cast"], ["y0"])
    cast = helper.make_node("Cast", ["c0"], ["cast"], to=TensorProto.FLOAT)
    model = model_of([cast, node], np.zeros((2, 3), np.float32), [numbers])
    if not raw:
        entries = numbers.view(np.uint16) if kind == np.float16 else numbers
        constant = helper.make_tensor(
            "c0", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), (2, 3), numbers.ravel().tolist()
        )
        assert not constant.HasField("raw_data") and entries.size
        model.graph.initializer[0].CopyFrom(constant)
    np.testing.assert_allclose(network_of(model, tmp_path)(torch.zeros(2, 3)).detach(), numbers.astype(np.float32))


@pytest.mark.parametrize("raw", [True, False])
def test_bfloat16(raw, tmp_path):
    numbers = torch.tensor([1.5, -3.0, 1e20]).bfloat16()
    model = model_of([helper.make_node("Add", ["x", "c0"], ["y0"])], np.zeros((1, 3), np.float32), [np.zeros(3, np.float32)])
    constant = model.graph.initializer[0]
    constant.ClearField("raw_data")
    constant.data_type = TensorProto.BFLOAT16
    bits = numbers.view(torch.uint16).numpy()
    if raw:
        constant.raw_data = bits.tobytes()
    else:
        constant.int32_data.extend(bits.tolist())
    torch.testing.assert_close(network_of(model, tmp_path)(torch.zeros(1, 3)).detach()[0], numbers.float())


def test_constants_that_are_nodes(tmp_path):
    nodes = [
        helper.make_node("Constant", [], ["a"], value_floats=[1.0, 2.0]),
        helper.make_node("Constant", [], ["b"], value_float=0.5),
        helper.make_node("Constant", [], ["c"], value_ints=[0, 1]),
        helper.make_node("Constant", [], ["d"], value_int=1),
        helper.make_node("Constant", [], ["e"], value=numpy_helper.from_array(np.float32([10, 20]))),
        helper.make_node("Gather", ["a", "c"], ["g"]),
        helper.make_node("Gather", ["a", "d"], ["h"]),
        helper.make_node("Sum", ["x", "g", "h", "b", "e"], ["y0"]),
    ]
    model = model_of(nodes, np.zeros((1, 2), np.float32), [])
    torch.testing.assert_close(network_of(model, tmp_path)(torch.zeros(1, 2)).detach(), torch.tensor([[13.5, 24.5]]))


def test_every_operator_is_tested():
    tested = {case[0] for case in CASES} | {"Split", "ConstantOfShape"}
    assert set(OPERATORS) <= tested, sorted(set(OPERATORS) - tested)


def test_all_versions_of_operators_that_the_package_has_are_accepted():
    assert onnx.defs.onnx_opset_version() in OPSETS
