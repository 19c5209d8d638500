"""What an ONNX file may make the loader hold, compute and say; tests/test_reliability_suite.py measures the memory."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from test_onnx import HEAD, PONG, W, export, node, save  # noqa: E402

from lab.reliability.onnx_bombs import onnx_bombs, valid_onnx  # noqa: E402
from weakspot.agents.load import load_agent  # noqa: E402
from weakspot.agents.onnx_files import budget  # noqa: E402
from weakspot.agents.onnx_files.budget import Budget  # noqa: E402
from weakspot.agents.onnx_files.network import OnnxNetwork  # noqa: E402
from weakspot.agents.onnx_files.read import read_graph  # noqa: E402
from weakspot.agents.onnx_files.wire import structure_bytes  # noqa: E402
from weakspot.errors import OutputError, WeakspotError, WeightsError  # noqa: E402
from weakspot.interface import Interface  # noqa: E402

torch.set_num_threads(1)
BOMBS = dict(onnx_bombs(megabytes=1))


@pytest.mark.parametrize("kind", [kind for kind in BOMBS if kind not in ("numbers of one byte", "small whole numbers")])
def test_errors_are_short_and_soon(kind, tmp_path):
    (tmp_path / f"{PONG}.onnx").write_bytes(BOMBS[kind])
    started = time.process_time()
    with pytest.raises(WeakspotError) as caught:
        load_agent(str(tmp_path / f"{PONG}.onnx"))
    assert len(str(caught.value)) < 800 and caught.value.expected and caught.value.todo
    assert time.process_time() - started < 10


def test_the_valid_file_of_the_suite_is_valid(tmp_path):
    (content,) = valid_onnx().values()
    (tmp_path / f"{PONG}.onnx").write_bytes(content)
    assert load_agent(str(tmp_path / f"{PONG}.onnx")).spec.scores_are == "q-values"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("outputs that are announced", "its num_outputs is 3000000"),
        ("sizes of a split", "instead of at most 1 whole numbers"),
        ("a large batch", "makes more than 268,435,460 numbers"),
        ("a batch of many small images", "makes more than 268,435,460 numbers"),
        ("a bias", "it adds shape"),
        ("normalisation 1", "its scale or bias has shape"),
        ("normalisation 2", "its scale or bias has shape"),
        ("copies by ReduceSum", "holds more than"),
        ("copies by pooling", "holds more than"),
        ("copies by Slice", "(keeps|holds) more than"),
        ("copies by Reshape", "(keeps|holds) more than"),
        ("scale of channels", "holds more than"),
        ("a shape of many numbers", "instead of at most 16 whole numbers"),
        ("an empty dimension", "makes more than"),
        ("parts that keep the whole", "keeps more than"),
        ("a long convolution", "computes more than"),
        ("a long pooling", "computes more than"),
        ("many windows", "holds more than"),
        ("empty settings", "more than 300,000 nodes"),
        ("infinite weights", "not finite"),
        ("weights with one name", "'w' is made twice"),
    ],
)
def test_a_bomb_is_refused_for_what_it_does(kind, message, tmp_path):
    (tmp_path / f"{PONG}.onnx").write_bytes(BOMBS[kind])
    with pytest.raises(WeightsError, match=message):
        load_agent(str(tmp_path / f"{PONG}.onnx"))


class Large(nn.Module):
    """The first blocks of the IMPALA network, for large images."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [nn.Conv2d(channels, 16, 3, padding=1), nn.MaxPool2d(3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1)]
        self.body = nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 6))

    def forward(self, x):
        return self.body(x / 255.0)


@pytest.mark.parametrize("shape", [(4, 210, 160), (3, 400, 600)])
def test_networks_for_large_images_stay_far_below_the_limits(shape, tmp_path, monkeypatch):
    for name in ("LARGEST_STATE", "MOST_KEPT", "MOST_HELD", "MOST_WORK"):
        monkeypatch.setattr(budget, name, getattr(budget, name) // 3)
    path = export(Large(shape[0]).eval(), tmp_path / "large.onnx", x=torch.zeros(1, *shape), dynamic=True)
    agent = load_agent(str(path), environment=Interface("other", tuple("ABCDEF"), shape))
    assert agent(torch.zeros(1, *shape)).scores.shape == (1, 6)


def test_a_batch_of_weakspot_has_room_for_all_of_its_observations(tmp_path, monkeypatch):
    path = save(tmp_path / f"{PONG}.onnx", HEAD, outputs=["q"], constants=W)
    agent = load_agent(str(path))
    monkeypatch.setattr(budget, "LARGEST_STATE", 100)
    assert agent(torch.zeros(64, 4, 84, 84)).scores.shape == (64, 6)


@pytest.mark.parametrize("batch", [36, 300, 1024])
def test_a_network_that_was_exported_for_large_batches(batch, tmp_path):
    nodes = [node("Reshape", ["x", "shape"], ["f"]), node("Gemm", ["f", "m"], ["y"])]
    constants = {"shape": np.array([batch, -1]), "m": np.ones((4 * 84 * 84, 6), np.float32)}
    agent = load_agent(str(save(tmp_path / f"{PONG}.onnx", nodes, [("x", 1, [batch, 4, 84, 84])], constants=constants)))
    assert agent(torch.zeros(3, 4, 84, 84)).scores.shape == (3, 6)
    nodes[0] = node("Expand", ["one", "shape"], ["f"])
    constants |= {"one": np.ones((1, 1), np.float32), "shape": np.array([batch, 4 * 84 * 84])}
    path = save(tmp_path / f"{PONG}.onnx", nodes, [("x", 1, [batch, 4, 84, 84])], constants=constants)
    with pytest.raises(WeightsError, match=f"batches of {batch}"):
        load_agent(str(path))


def test_what_nothing_needs_any_more_is_let_go(tmp_path, monkeypatch):
    """Many steps of which only two are held at once; and outputs of nodes that nothing takes."""
    monkeypatch.setattr(budget, "MOST_KEPT", 1 << 18)
    steps = [node("Neg", [f"x{place}" if place else "x"], [f"x{place + 1}"]) for place in range(30)]
    steps += [node("Split", ["x30"], ["half", "other"], axis=1), node("Concat", ["half", "half"], ["z0"], axis=1)]
    for place in range(20):
        steps.append(node("Neg", [f"z{place}"], [f"n{place}"]))
        steps.append(node("Split", [f"n{place}"], [f"h{place}", f"o{place}"], axis=1))
        steps.append(node("Concat", [f"h{place}", f"h{place}"], [f"z{place + 1}"], axis=1))
    nodes = [*steps, node("GlobalAveragePool", ["z20"], ["pooled"]), *HEAD[1:]]
    load_agent(str(save(tmp_path / f"{PONG}.onnx", nodes, outputs=["q"], constants=W)))
    nodes += [node("Sum", [f"x{place}" for place in range(1, 31)], ["s"]), node("ReduceMean", ["s"], ["m"], axes=[1, 2, 3])]
    nodes += [node("Flatten", ["m"], ["n"]), node("Add", ["q", "n"], ["y"])]
    with pytest.raises(WeightsError, match="keeps more than"):
        load_agent(str(save(tmp_path / f"{PONG}.onnx", nodes, constants=W)))


def test_tensors_that_share_memory_are_counted_once_and_until_the_last_is_dropped():
    held, tensor = Budget("file", 1, held=True)._held, torch.zeros(8)
    for part in (tensor, tensor[:1], torch.zeros(2)):
        held.add(part)
    assert held.bytes == 40
    held.remove(tensor)
    assert held.bytes == 40
    held.remove(tensor[:1])
    assert held.bytes == 8


def test_places_of_gather_are_moved_to_the_device_of_its_data(tmp_path):
    nodes = [node("Gather", ["x", "places"], ["g"], axis=1), *HEAD]
    nodes[1] = node("GlobalAveragePool", ["g"], ["pooled"])
    path = save(tmp_path / f"{PONG}.onnx", nodes, outputs=["q"], constants=W | {"places": np.array([0, -1, 2, 1])})
    network = OnnxNetwork(read_graph(path)).to("meta")
    assert network(torch.empty(3, 4, 84, 84, device="meta")).shape == (3, 6)


def raw(kind: int, numbers: np.ndarray) -> bytes:
    tensor = helper.make_tensor("w", kind, numbers.shape, numbers.tobytes(), raw=True)
    graph = helper.make_graph([node("Neg", ["w"], ["q"])], "g", [], [], [tensor])
    return helper.make_model(graph).SerializeToString()


def test_weights_of_small_types_may_not_become_large():
    """Each byte becomes a number of eight bytes; half precision becomes twice as large."""
    assert structure_bytes(raw(TensorProto.FLOAT16, np.zeros(20_000_000, np.float16))) < 1000
    assert structure_bytes(raw(TensorProto.UINT8, np.zeros(1_000_000, np.uint8))) < 1000
    with pytest.raises(ValueError, match="its weights would take 160,000,000 bytes"):
        structure_bytes(raw(TensorProto.UINT8, np.zeros(20_000_000, np.uint8)))


def test_numbers_of_variable_length_are_few():
    tensor = helper.make_tensor("w", TensorProto.INT64, (1_100_000,), np.ones(1_100_000, np.int64))
    graph = helper.make_graph([node("Neg", ["w"], ["q"])], "g", [], [], [tensor])
    with pytest.raises(ValueError, match="1,100,000 bytes of variable length"):
        structure_bytes(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e300])
@pytest.mark.parametrize("how", ["weight", "constant", "list"])
def test_weights_that_are_not_finite_in_single_precision_are_refused(value, how, tmp_path):
    numbers = np.array([1.0, value] * 3)
    if how == "list" and value == 1e300:
        pytest.skip("lists are in single precision already")
    if how == "weight":
        nodes, constants = [*HEAD, node("Add", ["q", "c"], ["y"])], W | {"c": numbers}
    else:
        constant = node("Constant", [], ["c"])
        listed = how == "list"
        name, given = ("value_floats", numbers.tolist()) if listed else ("value", numpy_helper.from_array(numbers))
        constant.attribute.append(helper.make_attribute(name, given))
        nodes, constants = [constant, *HEAD, node("Add", ["q", "c"], ["y"])], W
    with pytest.raises(WeightsError, match="not finite"):
        load_agent(str(save(tmp_path / f"{PONG}.onnx", nodes, constants=constants)))


def test_a_single_minus_infinity_masks(tmp_path):
    """As torch exports ``masked_fill`` and paddings before a maximum."""
    nodes = [*HEAD, node("Max", ["q", "least"], ["y"])]
    load_agent(str(save(tmp_path / f"{PONG}.onnx", nodes, constants=W | {"least": np.float32(-np.inf)})))


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Constant", [], ["w"], value_float=1.0), *HEAD],
        [node("Constant", [], ["x"], value_float=1.0), *HEAD],
        [*[node("Constant", [], ["c"], value_float=1.0)] * 2, *HEAD],
        [*HEAD, node("Split", ["x"], ["s", "s"], axis=1)],
    ],
)
def test_a_name_that_is_made_twice_is_damage(nodes, tmp_path):
    with pytest.raises(WeightsError, match="is made twice"):
        load_agent(str(save(tmp_path / f"{PONG}.onnx", nodes, outputs=["q"], constants=W)))


@pytest.mark.parametrize("settings", [{"value_float": "abc"}, {"value_int": 1.5}, {"value_ints": ["a"]}])
def test_a_constant_of_another_type_is_damage(settings, tmp_path):
    nodes = [node("Constant", [], ["c"], **settings), *HEAD, node("Add", ["q", "c"], ["y"])]
    with pytest.raises(WeightsError, match="holds no numbers"):
        load_agent(str(save(tmp_path / f"{PONG}.onnx", nodes, constants=W)))


def test_many_constants_are_read_in_little_time(tmp_path):
    constants = [node("Constant", [], [f"c{place}"], value_float=1.0) for place in range(9_000)]
    path = save(tmp_path / f"{PONG}.onnx", [*constants, *HEAD], outputs=["q"], constants=W)
    started = time.process_time()
    load_agent(str(path))
    assert time.process_time() - started < 5


def test_an_output_with_many_names_is_described_in_short(tmp_path):
    path = save(tmp_path / f"{PONG}.onnx", HEAD, outputs=["q", "n" * 10_000], constants=W)
    with pytest.raises((WeightsError, OutputError)) as caught:
        load_agent(str(path))
    assert len(str(caught.value)) < 800
