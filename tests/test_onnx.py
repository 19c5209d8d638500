"""Agents in ONNX files: networks as torch exports them compared with themselves, and files that are refused."""

from __future__ import annotations

import resource
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from noise import images
from page_code import blocks
from torch import nn

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from lab.reliability.hostile import load  # noqa: E402
from lab.reliability.sandbox import Forked  # noqa: E402
from weakspot.agents.base import Perceiver  # noqa: E402
from weakspot.agents.load import load_agent  # noqa: E402
from weakspot.agents.onnx_files.network import OnnxNetwork  # noqa: E402
from weakspot.agents.onnx_files.read import LARGEST_STRUCTURE, read_graph  # noqa: E402
from weakspot.agents.onnx_files.wire import structure_bytes  # noqa: E402
from weakspot.agents.reference import files_of  # noqa: E402
from weakspot.cli import main  # noqa: E402
from weakspot.envs.observation import gray_observation  # noqa: E402
from weakspot.errors import ConfigError, MismatchError, OutputError, WeakspotError, WeightsError  # noqa: E402
from weakspot.interface import Interface  # noqa: E402
from weakspot.saliency.guided import guided_gradient  # noqa: E402

torch.set_num_threads(1)
PONG = "PongNoFrameskip-v4"
FEATURES = 32 * 9 * 9


def convolutions() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4, 16, 8, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=2), nn.ReLU(), nn.Flatten()
    )  # fmt: skip


class Scaled(nn.Module):
    """Divides by 255 before the body."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x):
        return self.body(x / 255.0)


class Dueling(Scaled):
    def __init__(self) -> None:
        super().__init__(convolutions())
        self.value, self.advantage = nn.Linear(FEATURES, 1), nn.Linear(FEATURES, 6)

    def forward(self, x):
        features = super().forward(x)
        advantage = self.advantage(features)
        return self.value(features) + advantage - advantage.mean(dim=1, keepdim=True)


class Categorical(Scaled):
    """The means of distributions over returns."""

    def __init__(self) -> None:
        super().__init__(convolutions(), nn.Linear(FEATURES, 6 * 5))
        self.register_buffer("atoms", torch.linspace(-2, 2, 5))

    def forward(self, x):
        logits = super().forward(x)
        return (logits.view(logits.shape[0], 6, 5).softmax(dim=2) * self.atoms).sum(dim=2)


class Residual(nn.Module):
    """A block of the IMPALA network, with batch normalisation."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.norm.running_mean.uniform_(-0.1, 0.1)

    def forward(self, x):
        x = F.max_pool2d(self.norm(self.first(x)), 3, stride=2, padding=1)
        return x + self.second(F.relu(x))


class Policy(Scaled):
    """Logits and value, or the value first."""

    def __init__(self, value_first: bool = False) -> None:
        super().__init__(convolutions(), nn.Linear(FEATURES, 16), nn.LayerNorm(16), nn.GELU())
        self.heads, self.value_first = nn.ModuleList([nn.Linear(16, 6), nn.Linear(16, 1)]), value_first

    def forward(self, x):
        features = super().forward(x)
        logits, value = (head(features) for head in self.heads)
        return (value, logits) if self.value_first else (logits, value)


class Whole(Scaled):
    """Takes whole numbers, and changes their order before it converts them."""

    def forward(self, x):
        return super().forward(x.transpose(2, 3).float())


NETWORKS = {
    "dqn": lambda: Scaled(convolutions(), nn.Linear(FEATURES, 6)),
    "dueling": Dueling,
    "c51": Categorical,
    "residual": lambda: Scaled(
        Residual(4, 8), Residual(8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6)
    ),
    "policy": Policy,
    "value first": lambda: Policy(value_first=True),
    "smooth": lambda: Scaled(
        nn.Conv2d(4, 8, 8, 4), nn.ELU(), nn.Conv2d(8, 8, 4, 2), nn.SiLU(), nn.Flatten(), nn.Linear(8 * 81, 8), nn.Tanh(),
        nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 8), nn.LeakyReLU(), nn.Linear(8, 8), nn.Mish(), nn.Linear(8, 6),
    ),
}  # fmt: skip


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name]().eval()


def export(
    network: nn.Module, path: Path, *, exporter: str = "script", batch: int = 1, dynamic: bool = False, x=None
) -> Path:
    """Exports a network with one of torch's two exporters."""
    if exporter == "export":
        pytest.importorskip("onnxscript", reason="torch's new exporter needs onnxscript")
    x = torch.zeros(batch, 4, 84, 84) if x is None else x
    if exporter == "export":
        settings = {"dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},)} if dynamic else {}
        settings |= {"external_data": False, "verbose": False}
    else:
        settings = {"input_names": ["obs"], "dynamic_axes": {"obs": {0: "batch"}} if dynamic else None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (x,), str(path), dynamo=exporter == "export", **settings)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """An agent's file of two convolutions, for any batch size."""
    return export(make("dqn"), tmp_path_factory.mktemp("exported") / f"{PONG}.onnx", dynamic=True)


def compare(network: nn.Module, path: Path) -> None:
    """The agent's output, and its gradients, with those of the network itself."""
    agent = load_agent(str(path), environment="pong")
    x = images(3).requires_grad_()
    result = network(x)
    logits, value = result if isinstance(result, tuple) else (result, None)
    if value is not None and value.shape[1] == 6:
        logits, value = value, logits
    is_policy = value is not None
    assert agent.spec.scores_are == ("log-probabilities" if is_policy else "q-values")
    found = agent(x)
    expected = logits.log_softmax(dim=1) if is_policy else logits
    torch.testing.assert_close(found.scores, expected, rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(found.scores[:, 2].sum(), [x], retain_graph=True)
    (other,) = torch.autograd.grad(expected[:, 2].sum(), [x], retain_graph=True)
    assert other.abs().max() > 0
    torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))
    assert (found.value is None) == (not is_policy)
    if is_policy:
        torch.testing.assert_close(found.value, value[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("exporter", ["script", "export"])
def test_an_exported_network_computes_the_same(exporter, name, dynamic, tmp_path):
    network = make(name)
    batch = 2 if dynamic else 1
    compare(network, export(network, tmp_path / f"{PONG}.onnx", exporter=exporter, batch=batch, dynamic=dynamic))


def test_a_batch_of_one_that_the_exporter_took_for_a_constant(tmp_path):
    """The file declares any batch size, but ``len`` in the network became the number 1."""

    class Counting(Categorical):
        def forward(self, x):
            logits = Scaled.forward(self, x)
            return (logits.view(len(x), 6, 5).softmax(dim=2) * self.atoms).sum(dim=2)

    torch.manual_seed(0)
    network = Counting().eval()
    compare(network, export(network, tmp_path / f"{PONG}.onnx", dynamic=True))


@pytest.mark.parametrize("name", ["c51", "policy"])
def test_a_network_that_was_exported_for_batches_of_eight(name, tmp_path):
    network = make(name)
    compare(network, export(network, tmp_path / f"{PONG}.onnx", batch=8))


def test_an_observation_of_whole_numbers(tmp_path):
    torch.manual_seed(0)
    network = Whole(convolutions(), nn.Linear(FEATURES, 6)).eval()
    export(network, tmp_path / f"{PONG}.onnx", x=torch.zeros(1, 4, 84, 84, dtype=torch.uint8))
    compare(network, tmp_path / f"{PONG}.onnx")


def test_half_precision_is_computed_in_single_precision(tmp_path):
    network = make("dqn").half()
    export(network, tmp_path / f"{PONG}.onnx", x=torch.zeros(1, 4, 84, 84).half())
    compare(network.float(), tmp_path / f"{PONG}.onnx")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_on_another_device_computes_there(name, tmp_path):
    """The device "meta" refuses tensors of the processor as a GPU does, and needs none."""
    path = export(make(name), tmp_path / f"{PONG}.onnx", batch=2, dynamic=True)
    network = OnnxNetwork(read_graph(path)).to("meta")
    result = network(torch.empty(3, 4, 84, 84, device="meta"))
    for output in result if isinstance(result, tuple) else (result,):
        assert output.device.type == "meta" and len(output) == 3


def test_guided_backpropagation_is_that_of_the_network(exported):
    from weakspot.agents.build import agent_from_network
    from weakspot.games import interface

    converted = load_agent(str(exported))
    original = agent_from_network(make("dqn"), interface("pong"), name="original")
    state = torch.rand(2, 12, 84, 84, generator=torch.Generator().manual_seed(0))
    maps = [guided_gradient(Perceiver(agent, gray_observation), state) for agent in (converted, original)]
    assert maps[1].abs().max() > 0
    torch.testing.assert_close(*maps, rtol=1e-3, atol=1e-4 * float(maps[1].abs().max()))
    relus = [part for part in converted.module.modules() if isinstance(part, nn.ReLU)]
    assert len(relus) == 2


def test_the_environment_is_in_the_name_and_the_file_is_the_identity(exported):
    agent = load_agent(str(exported))
    assert agent.spec.environment == PONG
    assert files_of(str(exported)) == [exported]
    with pytest.raises(MismatchError, match="scores for 6 actions"):
        load_agent(str(exported), environment=Interface("other", ("A", "B"), (4, 84, 84)))


def test_no_trust_is_needed_on_the_command_line(exported, capsys):
    main(["check-agent", "--agent", str(exported), "--episodes", "2", "--longest", "30", "--most", "2"])
    shown = capsys.readouterr()
    assert "trust" not in (shown.out + shown.err).lower() and "guided" in (shown.out + shown.err)


def test_the_code_on_the_page_exports_an_agent(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript", reason="torch's new exporter needs onnxscript")
    monkeypatch.chdir(tmp_path)
    exec(blocks("onnx")[0], {})
    assert load_agent(f"{PONG}.onnx").spec.environment == PONG


# What is refused


def save(path: Path, nodes, inputs=None, outputs=None, constants=None, opset=17, **settings) -> Path:
    """Writes a graph from ``x`` (batch, 4, 84, 84) to ``y``."""
    inputs = inputs or [("x", TensorProto.FLOAT, ["batch", 4, 84, 84])]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(*entry) for entry in inputs],
        [helper.make_empty_tensor_value_info(name) for name in outputs or ["y"]],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **settings)
    path.write_bytes(model.SerializeToString())
    return path


node = helper.make_node
HEAD = [
    node("GlobalAveragePool", ["x"], ["pooled"]),
    node("Flatten", ["pooled"], ["flat"]),
    node("Gemm", ["flat", "w"], ["q"]),
]
W = {"w": np.eye(4, 6, dtype=np.float32)}


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"nodes": [*HEAD, node("ArgMax", ["q"], ["y"], axis=1)]}, OutputError, "chooses the action itself .*'y'"),
        ({"nodes": [*HEAD, node("Multinomial", ["q"], ["y"])]}, OutputError, "draws random numbers"),
        ({"nodes": [*HEAD, node("NonZero", ["q"], ["z"]), node("Sinh", ["z"], ["y"])]}, WeightsError, "'NonZero', 'Sinh'"),
        ({"nodes": [node("FusedConv", ["x", "w"], ["y"], domain="com.microsoft")]}, WeightsError, "com.microsoft.FusedConv"),
        ({"nodes": [node("LSTM", ["x", "w", "w"], ["y"])]}, WeightsError, "has a hidden state"),
        (
            {"nodes": HEAD, "inputs": [("x", 1, [1, 4, 84, 84]), ("hidden", 1, [1, 8])], "outputs": ["q"]},
            WeightsError,
            "2 inputs: 'x', 'hidden'",
        ),
        ({"nodes": HEAD, "outputs": ["q", "flat", "pooled"]}, WeightsError, "3 outputs: 'q', 'flat', 'pooled'"),
        ({"nodes": HEAD, "outputs": ["pooled"]}, OutputError, r"returns tensor \(1, 4, 1, 1\); its outputs are 'pooled'"),
        ({"nodes": HEAD, "outputs": ["flat"]}, MismatchError, "scores for 4 actions"),
        ({"nodes": HEAD, "outputs": ["flat", "q"]}, OutputError, "'flat', 'q'"),
        ({"nodes": HEAD, "inputs": [("x", 1, ["b", 84, 84, 4])], "outputs": ["q"]}, MismatchError, r"\(any, 84, 84, 4\)"),
        ({"nodes": HEAD, "inputs": [("x", 1, [4, 84, 84])], "outputs": ["q"]}, MismatchError, r"of shape \(4, 84, 84\)"),
        ({"nodes": HEAD, "inputs": [("x", TensorProto.STRING, [1])], "outputs": ["q"]}, WeightsError, "no tensor of"),
        (
            {"nodes": HEAD, "inputs": [("x", TensorProto.UINT8, ["b", 4, 84, 84])], "outputs": ["q"]},
            WeightsError,
            "whole numbers of 'x' .*'GlobalAveragePool'",
        ),
        ({"nodes": HEAD, "outputs": ["q"], "opset": 99}, WeightsError, "version 99"),
        ({"nodes": HEAD, "outputs": ["gone"]}, WeightsError, "nothing makes the output 'gone'"),
        ({"nodes": HEAD[1:], "outputs": ["q"]}, WeightsError, "nothing makes 'pooled'"),
        ({"nodes": [*HEAD, HEAD[0]], "outputs": ["q"]}, WeightsError, "'pooled' is made twice"),
        ({"nodes": HEAD, "outputs": ["q"], "constants": {"w": np.float32([[np.nan]])}}, WeightsError, "not finite"),
        ({"nodes": HEAD, "outputs": ["q"], "constants": {"w": np.zeros((5, 6), np.float32)}}, MismatchError, "cannot take"),
        (
            {
                "nodes": [
                    node("Transpose", ["x"], ["t"], perm=[1, 0, 2, 3]),
                    node("ReduceMean", ["t"], ["y"], axes=[0, 2, 3]),
                ],
                "inputs": [("x", 1, [6, 4, 84, 84])],
            },
            OutputError,
            "returns tensor",
        ),
        (
            {
                "nodes": [
                    node("GlobalAveragePool", ["x"], ["p"]),
                    node("Reshape", ["p", "s"], ["f"]),
                    node("Gemm", ["f", "w"], ["y"]),
                ],
                "inputs": [("x", 1, [2, 4, 84, 84])],
                "constants": {"s": np.array([1, -1]), "w": np.zeros((8, 6), np.float32)},
            },
            WeightsError,
            "was exported for batches of 2",
        ),
        (
            {"nodes": [*HEAD, node("ReduceMean", ["q"], ["m"], axes=[0]), node("Sub", ["q", "m"], ["y"])]},
            WeightsError,
            "does not treat the observations of a batch one by one",
        ),
    ],
)  # fmt: skip
def test_a_network_that_is_no_agent_is_refused(settings, error, message, tmp_path):
    path = save(tmp_path / f"{PONG}.onnx", **{"constants": W, **settings})
    with pytest.raises(error, match=message) as caught:
        load_agent(str(path))
    assert caught.value.expected and caught.value.todo


def test_parts_that_no_output_needs_may_be_anything(tmp_path):
    path = save(tmp_path / f"{PONG}.onnx", [*HEAD, node("ArgMax", ["q"], ["action"])], outputs=["q"], constants=W)
    assert load_agent(str(path)).spec.scores_are == "q-values"


def test_the_extra_is_named_if_it_is_missing(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match="onnx") as caught:
        load_agent(str(exported))
    assert "pip install 'weakspot[onnx]'" in caught.value.todo


# Hostile files


def edited(exported: Path, path: Path, change) -> Path:
    model = onnx.load(exported)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def outside(model) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../etc/passwd")


def larger(model) -> None:
    model.graph.initializer[0].dims[0] = 2**40


def negative(model) -> None:
    model.graph.initializer[0].dims[0] = -1


def many_dimensions(model) -> None:
    model.graph.initializer[0].dims.extend([1] * 1000)


def half_a_number(model) -> None:
    model.graph.initializer[0].raw_data = b"\1\2\3"


def empty(model) -> None:
    del model.graph.node[:]


def sparse(model) -> None:
    model.graph.sparse_initializer.add()


def not_text(model) -> None:
    model.graph.node[-1].input[0] = "\0" * 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (outside, "in another file"),
        (larger, "its weights would take .* bytes"),
        (many_dimensions, "is damaged: the constant .* has shape"),
        (negative, "its weights would take .* bytes"),
        (half_a_number, "a broken number"),
        (empty, "holds no network"),
        (sparse, "sparse weights"),
        (not_text, "nothing makes"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(change, message, exported, tmp_path):
    path = edited(exported, tmp_path / f"{PONG}.onnx", change)
    with pytest.raises(WeightsError, match=message) as caught:
        load_agent(str(path))
    assert len(str(caught.value)) < 1000


OUTER = [node("Reshape", ["x", "column"], ["c"]), node("Reshape", ["x", "row"], ["r"])]
NOT_SYMMETRIC = {"pads": [60_000, 60_000, 59_999, 59_999], "strides": [60_000] * 2}
GROWING = {
    "ConstantOfShape": [node("ConstantOfShape", ["huge"], ["y"])],
    "Expand": [node("Expand", ["x", "huge"], ["y"])],
    "Add": [*OUTER, node("Add", ["c", "r"], ["y"])],
    "MatMul": [*OUTER, node("MatMul", ["c", "r"], ["y"])],
    "Gemm": [*OUTER, node("Gemm", ["c", "c"], ["y"], transB=1)],
    "Gather": [node("Expand", ["zero", "many"], ["places"]), node("Gather", ["x", "places"], ["y"])],
    "Pad": [node("Pad", ["x", "pads"], ["y"])],
    "Conv": [node("Conv", ["x", "kernel"], ["y"], pads=[60_000] * 4)],
    "Conv, not symmetric": [node("Conv", ["x", "kernel"], ["y"], **NOT_SYMMETRIC)],
    "MaxPool": [node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], pads=[60_000] * 4)],
    "Concat": [node("Concat", [f"x{place}" if place else "x"] * 8, [f"x{place + 1}"], axis=1) for place in range(10)],
    "many steps": [node("Add", [f"x{place}" if place else "x", "plane"], [f"x{place + 1}"]) for place in range(900)],
}
LASTS = {"Concat": "x10", "many steps": "x900"}
CONSTANTS = {
    "huge": np.array([2**20, 4, 84, 84]),
    "column": np.array([-1, 1]),
    "row": np.array([1, -1]),
    "zero": np.array([0]),
    "many": np.array([2**20]),
    "pads": np.array([0, 0, 60_000, 60_000] * 2),
    "kernel": np.ones((1, 4, 1, 1), np.float32),
    "plane": np.ones((16, 4, 84, 84), np.float32),
}


def growing(name: str, folder: Path) -> Path:
    """A small file that makes many numbers."""
    used = {entry for part in GROWING[name] for entry in part.input}
    constants = {entry: value for entry, value in CONSTANTS.items() if entry in used}
    return save(folder / f"{name}.onnx", GROWING[name], outputs=[LASTS.get(name, "y")], constants=constants)


@pytest.mark.parametrize("name", GROWING)
def test_a_small_file_cannot_take_all_memory(name, tmp_path):
    with pytest.raises(WeightsError, match=r"(makes|keeps|holds|computes) more than"):
        load_agent(str(growing(name, tmp_path)), environment="pong")


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Conv", ["x", "kernel"], ["y"], strides=[0, 1])],
        [node("Conv", ["x", "kernel"], ["y"], group=0)],
        [node("Conv", ["x", "kernel"], ["y"], dilations=[2**40, 1])],
        [node("Conv", ["x", "kernel"], ["y"], pads=[-1, 0, 0, 0])],
        [node("MaxPool", ["x"], ["y"], kernel_shape=[0, 2])],
        [node("MaxPool", ["x"], ["y"])],
        [node("Softmax", ["x"], ["y"], axis=9)],
        [node("Transpose", ["x"], ["y"], perm=[0, 0, 1, 2])],
        [node("Gather", ["x", "far"], ["y"])],
        [node("Reshape", ["x", "far"], ["y"])],
        [node("Slice", ["x", "far", "far", "far"], ["y"])],
        [node("Unsqueeze", ["x", "far"], ["y"])],
        [node("Split", ["x"], ["y", "z"], num_outputs=-1)],
        [node("Add", ["x"], ["y"])],
        [node("Conv", ["x", "kernel"], ["y"], strides="no")],
        [node("Gelu", ["x"], ["y"], approximate="no")],
        [node("Cast", ["x"], ["y"], to=8)],
        [node("LayerNormalization", ["x", "kernel"], ["y"], axis=7)],
    ],
)
def test_wrong_settings_are_errors(nodes, tmp_path):
    constants = {"kernel": np.ones((1, 4, 1, 1), np.float32), "far": np.array([2**62])}
    path = save(tmp_path / f"{PONG}.onnx", nodes, constants=constants, opset=20)
    with pytest.raises(WeakspotError) as caught:
        load_agent(str(path))
    assert caught.value.expected and caught.value.todo


def test_the_smallest_whole_number_divided_by_minus_one_does_not_end_the_process(tmp_path):
    """In a process of its own, which would end by a signal."""
    nodes = [node("Div", ["least", "minus"], ["d"]), node("Cast", ["d"], ["f"], to=1), *HEAD, node("Add", ["q", "f"], ["y"])]
    constants = {"least": np.array([-(2**63)]), "minus": np.array([-1])} | W
    path = save(tmp_path / f"{PONG}.onnx", nodes, constants=constants)
    outcome = Forked(lambda: load(path), tmp_path / "log.txt").wait(120)
    assert outcome.code == 0, outcome.output


def length(number: int) -> bytes:
    """A number of variable length, as protobuf writes it."""
    parts = [number >> 7 * place & 127 for place in range(5)]
    return bytes([*(part | 128 for part in parts[:-1]), parts[-1]])


def within(field: int, body: bytes) -> bytes:
    return bytes([field << 3 | 2]) + length(len(body)) + body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x0a\x00" * 400_000, "more than 300,000 nodes"),
        (b"\x2a\x00" * 400_000, "more than 300,000 nodes"),
        (within(5, b"\x6a\x00" * 400_000), "more than 300,000 nodes"),
        (within(1, within(6, b"x" * LARGEST_STRUCTURE)), "bytes that are no numbers of weights"),
    ],
    ids=["nodes", "weights", "external data", "texts"],
)
def test_a_file_that_is_parsed_into_much_more_memory_is_refused(body, message, tmp_path):
    """Empty nodes and the like are two bytes each in the file."""
    (tmp_path / f"{PONG}.onnx").write_bytes(within(7, body))
    with pytest.raises(WeightsError, match=message):
        load_agent(str(tmp_path / f"{PONG}.onnx"))


def test_weights_may_be_large(exported):
    content = exported.read_bytes()
    weights = sum(constant.numel() * 4 for constant in read_graph(exported).constants.values())
    assert len(content) - weights - 1000 < structure_bytes(content) < len(content) - weights + 1000 < 20_000


def test_truncated_files(exported, tmp_path):
    content, path = exported.read_bytes(), tmp_path / f"{PONG}.onnx"
    for size in [1, 2, 10, 100, *range(200, len(content), len(content) // 12)]:
        path.write_bytes(content[:size])
        with pytest.raises(WeightsError):
            load_agent(str(path))


def test_flipped_bits_and_noise(tmp_path):
    """Damage ends in an error of weakspot, or leaves an agent with other weights."""
    path = save(tmp_path / f"{PONG}.onnx", HEAD, outputs=["q"], constants=W)
    content, generator = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for trial in range(250):
        damaged = bytearray(content if trial < 200 else generator.bytes(300))
        for place in generator.integers(len(damaged), size=generator.integers(1, 4)):
            damaged[place] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        try:
            load_agent(str(path))
        except WeakspotError:
            refused += 1
    assert refused > 100


def test_hostile_files_take_little_memory(tmp_path):
    """The whole command, with as much memory as loading a usual agent takes."""
    files = [growing(name, tmp_path) for name in GROWING if name != "many steps"]
    program = """
import sys
from weakspot.agents.load import load_agent
from weakspot.errors import WeightsError
for path in sys.argv[1:]:
    try:
        load_agent(path, environment="pong")
    except WeightsError:
        continue
    sys.exit("loaded " + path)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, files)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (3 << 29, 3 << 29)),
    )
    assert done.returncode == 0, done.stderr[-500:]
