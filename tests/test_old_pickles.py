"""Networks and state dicts as old versions of torch pickled them, and as training scripts wrap them; no code is run."""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from weakspot.agents.formats.actor_critic import ActorCriticNetwork
from weakspot.agents.load import load_agent
from weakspot.agents.tensors.state_dicts import strip_prefixes, unwrap
from weakspot.agents.tensors.weights import read_torch_file
from weakspot.errors import WeightsError

torch.set_num_threads(1)
NAME = "PongNoFrameskip-v4.pt"


def observation() -> Tensor:
    return torch.randint(256, (3, 4, 84, 84), generator=torch.Generator().manual_seed(0)).float()


def network() -> ActorCriticNetwork:
    torch.manual_seed(0)
    return ActorCriticNetwork(6)


class Variable:
    """The class that old versions of torch pickled; only its name gets into the file."""

    def __init__(self, data: Tensor) -> None:
        self.data = data


def class_called(parameter: nn.Parameter, protocol: int) -> Any:
    """torch 0.3: the class is called with the tensor and whether it needs a gradient."""
    return nn.Parameter, (parameter.data, parameter.requires_grad)


def class_and_state(parameter: nn.Parameter, protocol: int) -> Any:
    """torch 0.2: the class is called with the tensor, and the rest is a state."""
    return nn.Parameter, (parameter.data,), (parameter.requires_grad, False, {})


def new_object(parameter: nn.Parameter, protocol: int) -> Any:
    """The same with pickle protocol 1."""
    return copyreg.__newobj__, (nn.Parameter, parameter.data), (parameter.requires_grad, False, {})


def all_in_state(parameter: nn.Parameter, protocol: int) -> Any:
    """torch 0.1: everything is in the state."""
    return nn.Parameter, (), (parameter.data, None, {}, parameter.requires_grad, False)


def with_attributes(parameter: nn.Parameter, protocol: int) -> Any:
    """A parameter with attributes of its own, today."""
    tensor = parameter.data
    arguments = (tensor.untyped_storage(), 0, tensor.shape, tensor.stride(), False, {})
    typed = torch.storage.TypedStorage(wrap_storage=arguments[0], dtype=tensor.dtype, _internal=True)
    rebuild = (torch._utils._rebuild_tensor_v2, nn.Parameter, (typed, *arguments[1:]), {"tag": 1})
    return torch._tensor._rebuild_from_type_v2, rebuild


ENCODINGS = [class_called, class_and_state, new_object, all_in_state, with_attributes]


def save_as(encoding: Callable[..., Any], value: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patch:
        patch.setattr(nn.Parameter, "__reduce_ex__", encoding)
        torch.save(value, path, _use_new_zipfile_serialization=False)
    return str(path)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: [net, None], lambda net: dict(net.named_parameters())])
def test_every_encoding_of_a_parameter_gives_the_same_scores(encoding, wrap, tmp_path, monkeypatch):
    net = network()
    agent = load_agent(save_as(encoding, wrap(net), tmp_path / NAME, monkeypatch))
    torch.testing.assert_close(agent(observation()).scores, net(observation())[0].log_softmax(dim=1))


class AddBias(nn.Module):
    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias.detach().clone()[:, None])


class EarlyNetwork(nn.Module):
    """Layers without biases, and the biases apart, as for ACKTR at first."""

    def __init__(self, net: ActorCriticNetwork) -> None:
        super().__init__()
        names = {"conv1": "ab1", "conv2": "ab2", "conv3": "ab3", "linear1": "ab_fc1", "critic_linear": "ab_fc2",
                 "actor_linear": "ab_fc3"}  # fmt: skip
        for layer, bias in names.items():
            whole = getattr(net, layer)
            self.add_module(bias, AddBias(whole.bias))
            bare = nn.Module()
            bare.weight = whole.weight
            self.add_module(layer, bare)


def split(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of later versions, each layer split into its product and its bias."""
    ends = {"weight": "module.weight", "bias": "add_bias._bias"}
    layers = {"conv1": "base.main.0", "conv2": "base.main.2", "conv3": "base.main.4", "linear1": "base.main.7",
              "critic_linear": "base.critic_linear", "actor_linear": "dist.linear"}  # fmt: skip
    pairs = [(name.split("."), tensor) for name, tensor in weights.items()]
    return {f"{layers[n]}.{ends[kind]}": t[:, None] if kind == "bias" else t for (n, kind), t in pairs}


def test_biases_in_modules_of_their_own_are_joined_with_their_layers(tmp_path, monkeypatch):
    net = network()
    expected = net(observation())
    early = load_agent(save_as(class_called, EarlyNetwork(net), tmp_path / NAME, monkeypatch))
    torch.save(split(net.state_dict()), tmp_path / f"later_{NAME}")
    for agent in (early, load_agent(str(tmp_path / f"later_{NAME}"))):
        output = agent(observation())
        torch.testing.assert_close(output.scores, expected[0].log_softmax(dim=1))
        torch.testing.assert_close(output.value, expected[1][:, 0])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: {"model_state_dict": w, "epoch": 3, "optimizer_state_dict": {"state": {0: {"exp_avg": w["conv1.bias"]}}}},
        lambda w: {"epoch": 3, "agent": {"network": w, "steps": 5}},
        lambda w: {"state_dict": {f"_orig_mod.{name}": t for name, t in w.items()}},
        lambda w: {f"module._orig_mod.{name}": t for name, t in w.items()},
        lambda w: {"online": w},
        lambda w: {"target_net": {n: t * 0 for n, t in w.items()}, "q_net": w},
    ],
)
def test_state_dicts_are_unwrapped(wrap, tmp_path):
    net = network()
    torch.save(wrap(net.state_dict()), tmp_path / NAME)
    agent = load_agent(str(tmp_path / NAME))
    torch.testing.assert_close(agent(observation()).scores, net(observation())[0].log_softmax(dim=1))


def test_names_stay_where_the_right_ones_are_not_certain():
    tensor = torch.zeros(1)
    assert list(strip_prefixes({"module.a": tensor, "b": tensor})) == ["module.a", "b"]
    assert list(strip_prefixes({"a._orig_mod.b": tensor, "a.b": tensor})) == ["a._orig_mod.b", "a.b"]
    both = {"first": {"a": tensor}, "second": {"a": tensor}}
    assert unwrap(both) == both, "neither is known to be the network that acts"


class Empty(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ReLU()


def test_errors_name_what_was_found(tmp_path):
    torch.save([Empty()], tmp_path / "list.pt")
    torch.save(Empty(), tmp_path / "net.pt")
    with pytest.raises(WeightsError, match="with the layers body, whose parameters cannot be read"):
        read_torch_file(tmp_path / "net.pt")
    with pytest.raises(WeightsError, match="holds a list without a network"):
        read_torch_file(tmp_path / "list.pt")


class Ran:
    """Would run code when it is unpickled."""

    def __reduce__(self) -> Any:
        return torch._tensor._rebuild_from_type_v2, (exec, Tensor, ("raise SystemExit",), {})


def test_rebuilding_with_a_function_of_the_file_runs_nothing(tmp_path):
    torch.save([Ran()], tmp_path / NAME)
    with pytest.raises(WeightsError):
        load_agent(str(tmp_path / NAME))
