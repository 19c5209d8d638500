"""Agents: networks as agents, weakspot's own files and state dicts, and the ways to name an agent."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from noise import images
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from weakspot.agents import zoo
from weakspot.agents.base import AgentOutput, AgentSpec, choose
from weakspot.agents.formats import card as cards
from weakspot.agents.formats.actor_critic import ActorCriticNetwork
from weakspot.agents.formats.card import Card
from weakspot.agents.load import load_agent
from weakspot.agents.module import ModuleAgent, check_agent, check_output, fingerprint
from weakspot.agents.networks.dueling import DuelingNetwork
from weakspot.agents.networks.policy import PolicyNetwork
from weakspot.errors import AgentError, MismatchError, OutputError, UnknownGameError, WeightsError
from weakspot.games import action_names, environment_id, resolve_game
from weakspot.system.user_code import function_in, local_files, local_module

torch.set_num_threads(1)

PONG = ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
SPEC = AgentSpec("test", "Somewhere-v0", ("left", "right"), (1, 2, 2), "q-values", "greedy", "")
CARD = Card("tiny", "PongNoFrameskip-v4", "compact", PONG, (4, 84, 84), score={"mean": 1.5})


class FunctionNetwork(nn.Module):
    """A network that computes a function of the observation."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def linear(actions: int = 2, inputs: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, actions))


@pytest.fixture(scope="session")
def acktr_weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: tensor.clone() for name, tensor in ActorCriticNetwork(6).state_dict().items()}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    cards.export(DuelingNetwork(6, "compact").state_dict(), CARD, path)
    return path


# --- ModuleAgent -----------------------------------------------------------------------------------------------------


def test_the_network_is_frozen_and_in_evaluation_mode():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Dropout(0.9)).train()
    agent = ModuleAgent(network, SPEC)
    x = torch.ones(2, 1, 2, 2)
    assert torch.equal(agent(x).scores, agent(x).scores)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_scores_are_differentiable_in_the_observation():
    network = linear()
    x = torch.rand(3, 1, 2, 2, requires_grad=True)
    ModuleAgent(network, SPEC)(x).scores[:, 1].sum().backward()
    assert torch.allclose(x.grad.flatten(1), network[1].weight[1].expand(3, -1))


def test_logits_become_log_probabilities_and_log_probabilities_stay():
    spec = replace(SPEC, scores_are="log-probabilities", acts="sampled")
    logits = torch.tensor([[1.0, 3.0]])
    agent = ModuleAgent(FunctionNetwork(lambda x: (logits, torch.tensor([[5.0]]))), spec)
    output = agent(torch.zeros(1, 1, 2, 2))
    assert torch.allclose(output.scores.exp().sum(dim=1), torch.ones(1))
    assert torch.allclose(output.scores[0, 1] - output.scores[0, 0], torch.tensor(2.0))
    assert output.value is not None and output.value.shape == (1,) and output.value.item() == 5
    again = ModuleAgent(FunctionNetwork(lambda x: output.scores), spec)(torch.zeros(1, 1, 2, 2))
    assert torch.allclose(again.scores, output.scores)


def test_integer_observations_are_converted():
    agent = ModuleAgent(linear(), SPEC)
    x = torch.randint(256, (2, 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(agent(x).scores, agent(x.float()).scores)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (lambda x: torch.zeros(len(x), 3), MismatchError, "3 actions"),
        (lambda x: torch.zeros(len(x)), OutputError, "shape"),
        (lambda x: torch.zeros(len(x) + 1, 2), OutputError, "shape"),
        (lambda x: torch.zeros(len(x), 2, 1), OutputError, "shape"),
        (lambda x: torch.zeros(len(x), 2, dtype=torch.long), OutputError, "int64"),
        (lambda x: (torch.zeros(len(x), 2), torch.zeros(len(x), 2)), OutputError, "two numbers for each action"),
        (lambda x: (torch.zeros(len(x), 2), torch.zeros(())), OutputError, "values"),
        (lambda x: {"q": torch.zeros(len(x), 2)}, OutputError, r"\{q: tensor"),
        (lambda x: (torch.zeros(len(x), 2),) * 3, OutputError, r"\(tensor \(4, 2\), tensor"),
        (lambda x: None, OutputError, "returned None"),
    ],
)
@pytest.mark.parametrize("kind", ["q-values", "log-probabilities"])
def test_invalid_outputs_are_refused(result, error, message, kind):
    agent = ModuleAgent(FunctionNetwork(result), replace(SPEC, scores_are=kind))
    with pytest.raises(error, match=message):
        agent(torch.zeros(4, 1, 2, 2))


@pytest.mark.parametrize("shape", [(3, 1, 2, 3), (3, 2, 2, 2), (1, 2, 2), (3, 4)])
def test_observations_of_another_shape_are_refused(shape):
    with pytest.raises(MismatchError, match="Somewhere-v0"):
        ModuleAgent(linear(), SPEC)(torch.zeros(shape))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_scores_and_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(OutputError, match=str(bad)):
        check_output(AgentOutput(torch.tensor([[0.0, bad]])), SPEC)
    with pytest.raises(OutputError, match="values"):
        check_output(AgentOutput(torch.zeros(1, 2), torch.tensor([bad])), SPEC)
    with pytest.raises(OutputError):
        choose(AgentOutput(torch.tensor([[0.0, bad]])), SPEC, torch.Generator())


def test_check_agent_refuses_scores_without_gradient():
    def detached(x):
        return x.flatten(1)[:, :2].detach()

    check_agent(ModuleAgent(linear(), SPEC))
    with pytest.raises(OutputError, match="differentiably"):
        check_agent(ModuleAgent(FunctionNetwork(detached), SPEC))
    with pytest.raises(MismatchError, match="cannot take"):
        check_agent(ModuleAgent(linear(inputs=5), SPEC))


def test_the_fingerprint_depends_on_weights_shapes_and_buffers():
    one, same, other = linear(), linear(), linear()
    with torch.no_grad():
        other[1].weight[0, 0] += 1e-6
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
    assert fingerprint(nn.Linear(2, 3)) != fingerprint(nn.Linear(3, 2))
    norm = nn.BatchNorm1d(2)
    before = fingerprint(norm)
    norm.running_mean.add_(1)  # type: ignore[union-attr]
    assert fingerprint(norm) != before


# --- names of games --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["SpaceInvadersNoFrameskip-v4", "ALE/SpaceInvaders-v5", "space_invaders", "Space Invaders", "SpaceInvaders-v0"],
)
def test_all_spellings_of_a_game(name):
    assert resolve_game(name) == "space_invaders"
    assert environment_id(name) == "SpaceInvadersNoFrameskip-v4"


def test_an_unknown_game_gives_suggestions():
    with pytest.raises(UnknownGameError, match="pong"):
        resolve_game("PonngNoFrameskip-v4")


def test_action_names_are_those_of_the_emulator():
    assert action_names("pong") == PONG
    assert len(action_names("seaquest")) == 18
    assert action_names("freeway") == ("NOOP", "UP", "DOWN")


# --- agent files with a card -----------------------------------------------------------------------------------------


def test_an_actor_critic_is_exported_and_loaded(tmp_path):
    torch.manual_seed(1)
    network = PolicyNetwork(6, "compact")
    card = replace(CARD, kind="actor-critic", network="compact")
    path = tmp_path / "mine.safetensors"
    cards.export(network.state_dict(), card, path)
    agent = load_agent(str(path))
    assert (agent.spec.scores_are, agent.spec.acts, agent.spec.environment) == (
        "log-probabilities",
        "sampled",
        card.environment,
    )
    observation = torch.randint(256, (3, 4, 84, 84), generator=torch.Generator().manual_seed(0)).float()
    output, (logits, value) = agent(observation), network(observation)
    torch.testing.assert_close(output.scores, logits.log_softmax(dim=1), atol=2e-3, rtol=0)
    torch.testing.assert_close(output.value, value[:, 0], atol=2e-3, rtol=0)
    with pytest.raises(WeightsError, match="another network"):
        cards.export(network.state_dict(), replace(card, kind="dueling-dqn"), path)


@pytest.mark.parametrize("network", ["compact", "nature"])
def test_the_mean_advantage_does_not_change_q_values(network):
    torch.manual_seed(0)
    module = DuelingNetwork(5, network)
    x = images(2)
    q = module(x)
    value = module.value_stream(module.convolutions(x / 255))
    assert torch.allclose(q.mean(dim=1, keepdim=True), value, atol=1e-5)
    with torch.no_grad():
        module.advantage_stream[-1].bias += 3  # type: ignore[operator]  # shifts all advantages equally: Q-values stay
    assert torch.allclose(module(x), q, atol=1e-5)


def test_a_dueling_network_is_exported_and_loaded(tiny, tmp_path):
    torch.manual_seed(0)
    original = DuelingNetwork(6, "compact")
    agent = load_agent(str(tiny))
    assert agent.spec == AgentSpec(
        "tiny", "PongNoFrameskip-v4", PONG, (4, 84, 84), "q-values", "greedy", fingerprint(agent.module)
    )
    assert torch.allclose(agent(images()).scores, original(images()), atol=2e-3)
    assert all(tensor.dtype == torch.float32 for tensor in agent.module.state_dict().values())
    with safe_open(tiny, "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
        card = json.loads(file.metadata()["weakspot"])
    assert (card["kind"], card["format"], card["score"]) == ("dueling-dqn", 1, {"mean": 1.5})
    cards.export(agent.module.state_dict(), CARD, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == tiny.read_bytes()


def test_loading_does_not_change_the_global_generator(tiny, tmp_path, acktr_weights):
    path = tmp_path / "acktr_PongNoFrameskip-v4.safetensors"
    save_file(acktr_weights, path)
    before = torch.get_rng_state()
    load_agent(str(tiny))
    load_agent(str(path))
    assert torch.equal(torch.get_rng_state(), before)


def test_export_refuses_weights_of_another_network_and_infinite_ones(tmp_path):
    weights = DuelingNetwork(6, "compact").state_dict()
    with pytest.raises(WeightsError, match=r"advantage_stream\.2\.bias has shape \(6,\), not \(5,\)"):
        cards.export(weights, replace(CARD, actions=PONG[:5]), tmp_path / "x.safetensors")
    weights["value_stream.0.bias"][0] = 1e6  # too large for float16
    with pytest.raises(WeightsError, match="not finite"):
        cards.export(weights, CARD, tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files_are_refused(tiny, share):
    content = tiny.read_bytes()
    tiny.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"complete safetensors file|is empty"):
        load_agent(str(tiny))


def test_a_header_longer_than_its_file_is_refused(tiny):
    tiny.write_bytes(struct.pack("<Q", 1 << 40) + tiny.read_bytes()[8:])
    with pytest.raises(WeightsError):
        load_agent(str(tiny))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "transformer"}, "transformer"),
        ({"format": 2}, "format 2"),
        ({"network": "huge"}, "huge"),
        ({"observation_shape": [4, 84]}, "damaged"),
        ({"actions": 6}, "damaged"),
        ({"actions": ["NOOP"]}, "advantage_stream"),
        ({"network": "nature"}, "convolutions"),
    ],
)
def test_unknown_or_damaged_cards_are_refused(tiny, change, message):
    with safe_open(tiny, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        card = json.loads(file.metadata()["weakspot"])
    save_file(tensors, tiny, {"weakspot": json.dumps(card | change)})
    with pytest.raises(WeightsError, match=message):
        load_agent(str(tiny))
    save_file(tensors, tiny, {"weakspot": "{"})
    with pytest.raises(WeightsError, match="damaged"):
        load_agent(str(tiny))


# --- state dicts of the actor-critic network -------------------------------------------------------------------------


def expected_output(weights: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and values of the network, computed with plain functions."""
    y = x / 255
    for name, stride in (("conv1", 4), ("conv2", 2), ("conv3", 1)):
        y = torch.conv2d(y, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=stride).clamp(min=0)
    y = (y.flatten(1) @ weights["linear1.weight"].T + weights["linear1.bias"]).clamp(min=0)
    logits = y @ weights["actor_linear.weight"].T + weights["actor_linear.bias"]
    return logits, (y @ weights["critic_linear.weight"].T + weights["critic_linear.bias"])[:, 0]


def test_a_plain_state_dict_of_an_actor_critic(tmp_path, acktr_weights):
    path = tmp_path / "acktr_PongNoFrameskip-v4.safetensors"
    save_file(acktr_weights, path)
    agent = load_agent(str(path))
    assert (agent.spec.environment, agent.spec.action_names) == ("PongNoFrameskip-v4", PONG)
    assert (agent.spec.scores_are, agent.spec.acts) == ("log-probabilities", "sampled")
    output = agent(images())
    logits, value = expected_output(acktr_weights, images())
    assert output.value is not None
    assert torch.allclose(output.value, value, atol=1e-4)
    assert torch.allclose(output.scores, logits.log_softmax(dim=1), atol=1e-4)


def test_the_environment_comes_from_the_name_the_metadata_or_the_caller(tmp_path, acktr_weights):
    plain = tmp_path / "weights.safetensors"
    save_file(acktr_weights, plain)
    with pytest.raises(WeightsError, match="does not say which environment"):
        load_agent(str(plain))
    assert load_agent(str(plain), environment="ALE/Pong-v5").spec.environment == "ALE/Pong-v5", "with sticky actions"
    save_file(acktr_weights, plain, {"env": "PongNoFrameskip-v4"})
    assert load_agent(str(plain)).spec.environment == "PongNoFrameskip-v4"
    with pytest.raises(MismatchError, match="PongNoFrameskip-v4, not on Qbert"):
        load_agent(str(plain), environment="Qbert")


def test_another_number_of_actions_is_refused(tmp_path, acktr_weights):
    path = tmp_path / "acktr_SeaquestNoFrameskip-v4.safetensors"
    save_file(acktr_weights, path)
    with pytest.raises(MismatchError, match=r"scores for 6 actions\n  expected: 18"):
        load_agent(str(path))


def test_missing_unexpected_and_misshapen_tensors_are_named(tmp_path, acktr_weights):
    path = tmp_path / "acktr_PongNoFrameskip-v4.safetensors"
    weights = {name: tensor for name, tensor in acktr_weights.items() if name != "conv2.bias"}
    weights |= {"lstm.weight": torch.zeros(1), "conv1.bias": torch.zeros(16)}
    save_file(weights, path)
    with pytest.raises(WeightsError, match=r"missing conv2\.bias; unexpected lstm\.weight; conv1\.bias has shape \(16,\)"):
        load_agent(str(path))
    save_file(acktr_weights | {"conv1.bias": torch.full((32,), torch.nan)}, path)
    with pytest.raises(WeightsError, match="not finite"):
        load_agent(str(path))


@pytest.mark.parametrize(("game", "actions"), [("Pong", 6), ("Qbert", 6), ("Seaquest", 18)])
def test_published_agents_load(game, actions):
    folder = os.environ.get("WEAKSPOT_AGENTS")
    if not folder:
        pytest.skip("WEAKSPOT_AGENTS is not set: there are no published agents to load")
    agent = load_agent(str(Path(folder) / f"acktr_{game}NoFrameskip-v4.safetensors"))
    assert agent(images()).scores.shape == (3, actions)


# --- naming an agent -------------------------------------------------------------------------------------------------


def test_files_of_other_networks_are_refused(tmp_path):
    path = tmp_path / "resnet.safetensors"
    save_file({"layer1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"(?s)fc\.bias, layer1\.weight.*actor_linear.*path\.py:factory"):
        load_agent(str(path))
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(WeightsError, match="pointer of Git LFS"):
        load_agent(str(path))


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(WeightsError, match="no agent at"):
        load_agent(str(tmp_path / "none.safetensors"))
    with pytest.raises(WeightsError, match="is a folder"):
        load_agent(str(tmp_path))


@pytest.mark.parametrize("suffix", ["pkl", "pickle", "PKL"])
def test_pickles_are_refused_without_reading_them(tmp_path, suffix):
    path = tmp_path / f"agent.{suffix}"
    torch.save({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"(?s)could run any code.*save_file.*path\.py:factory"):
        load_agent(str(path))


def test_an_unknown_name_gives_suggestions(tiny, monkeypatch):
    monkeypatch.setattr(zoo.resources, "files", lambda _: tiny.parent)
    assert zoo.names() == ("tiny",)
    assert zoo.card("tiny") == CARD
    assert load_agent("tiny").spec.name == "tiny"
    with pytest.raises(WeightsError, match=r"(?s)no agent is called 'tinny'.*perhaps tiny"):
        load_agent("tinny")
    with pytest.raises(MismatchError, match="PongNoFrameskip-v4, not on breakout"):
        load_agent("tiny", environment="breakout")


@pytest.mark.parametrize("name", zoo.names() or [pytest.param("", marks=pytest.mark.skip(reason="the zoo is empty"))])
def test_every_agent_of_the_zoo_loads_and_has_a_complete_card(name):
    agent, card = load_agent(name), zoo.card(name)
    assert agent.spec.name == card.name == name
    assert card.actions == action_names(card.environment)
    assert card.score["episodes"] == len(card.score["scores"]) == 20
    assert card.score["mean"] == pytest.approx(sum(card.score["scores"]) / 20)
    assert card.training["command"].startswith("weakspot train-agent")
    assert card.training["steps"] > 0 and card.versions["torch"]
    assert zoo.path(name).stat().st_size < 8_000_000


FACTORIES = """
from __future__ import annotations
from dataclasses import dataclass
import torch
from torch import nn
from neighbour import ACTIONS

@dataclass
class Size:
    inputs: int

def q_values():
    return nn.Sequential(nn.Flatten(), nn.Linear(Size(4 * 84 * 84).inputs, ACTIONS))

class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor, self.critic = q_values(), nn.Sequential(nn.Flatten(), nn.Linear(4 * 84 * 84, 1))
    def forward(self, x):
        return self.actor(x), self.critic(x)

def agent():
    from weakspot.agents.base import AgentSpec
    from weakspot.agents.module import ModuleAgent
    spec = AgentSpec("mine", "Driving", ("left", "right"), (1, 8, 8), "q-values", "greedy", "")
    return ModuleAgent(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), spec)

def wrong_size():
    return nn.Sequential(nn.Flatten(), nn.Linear(7, ACTIONS))

def number():
    return 3

def fails():
    raise ValueError("no such checkpoint")

def inside():
    return nn.Sequential(nn.Flatten(), nn.Linear(4 * 84 * 84, 4))
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text("ACTIONS = 6\n")
    path = tmp_path / "mine.py"
    path.write_text(FACTORIES)
    return path


def test_the_fingerprint_depends_on_the_code_and_on_what_it_imports(user_file):
    def fingerprint_of(name):
        return load_agent(f"{user_file}:{name}", environment="Pong" if name == "same" else None).spec.fingerprint

    user_file.write_text(
        FACTORIES + "\ndef same():\n    torch.manual_seed(0)\n    return q_values()\n"
        "\ndef fixed():\n    torch.manual_seed(0)\n    return agent()\n"
    )
    before = {name: fingerprint_of(name) for name in ("same", "fixed")}
    assert before == {name: fingerprint_of(name) for name in before} and before["same"] != before["fixed"]
    (user_file.parent / "neighbour.py").write_text("ACTIONS = 6  # changed\n")
    assert all(fingerprint_of(name) != earlier for name, earlier in before.items())


def test_modules_of_the_same_name_in_two_folders_are_not_confused(tmp_path):
    for number, folder in enumerate(("one", "two"), 2):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "settings.py").write_text(f"ACTIONS = {number}\n")
        (tmp_path / folder / "file.py").write_text("from settings import ACTIONS\ndef f():\n    return ACTIONS\n")
    for _ in range(2):
        for number, folder in enumerate(("one", "two"), 2):
            assert function_in(tmp_path / folder / "file.py", "f", AgentError, AgentError)() == number


def test_local_files_lists_all_files_that_are_imported(tmp_path, monkeypatch):
    for name, text in {
        "here/first.py": "import second, json\nfrom package.inner import thing\nfrom package import other\n",
        "here/second.py": "def late():\n    import third\n",
        "here/package/__init__.py": "from . import beside\n",
        "here/package/inner.py": "from .beside import x\nfrom ..second import y\n",
        "here/package/beside.py": "import first\n",
        "here/package/other.py": "import broken\n",
        "here/broken.py": "def (\n",
        "there/third.py": "",
        "here/unrelated.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path / "there")
    found = [path.relative_to(tmp_path).as_posix() for path in local_files(tmp_path / "here" / "first.py")]
    inside = [f"here/package/{name}.py" for name in ("__init__", "beside", "inner", "other")]
    assert found == ["here/broken.py", "here/first.py", *inside, "here/second.py", "there/third.py"]
    assert local_module("third") == [tmp_path / "there" / "third.py"] and local_module("nowhere") == []


def test_agents_of_custom_classes_need_all_attributes(user_file):
    user_file.write_text(
        FACTORIES
        + """
class Half:
    def __init__(self):
        self.spec = agent().spec
    def __call__(self, observation):
        return agent()(observation)

class Elsewhere(Half):
    module, device = None, torch.device("meta")

def dropping():
    with_dropout = agent()
    with_dropout.module.insert(0, nn.Dropout())
    with_dropout.module.train()
    return with_dropout

def narrow():
    class Narrow(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = q_values()
        def forward(self, x):
            return self.inner(x).bfloat16()
    return Narrow()
"""
    )
    with pytest.raises(AgentError, match="a Half without module and device"):
        load_agent(f"{user_file}:Half")
    with pytest.raises(AgentError, match="an agent on meta"):
        load_agent(f"{user_file}:Elsewhere")
    assert not load_agent(f"{user_file}:dropping").module.training, "it is put into evaluation mode"
    output = load_agent(f"{user_file}:narrow", environment="Pong")(torch.zeros(1, 4, 84, 84))
    assert output.scores.dtype == torch.float32


@pytest.mark.parametrize("kind", ["half", "bfloat16", "double"])
@pytest.mark.parametrize("converts", [False, True], ids=["alone", "with observations converted in its forward"])
def test_networks_of_other_precision_answer_like_those_of_single_precision(user_file, kind, converts):
    user_file.write_text(
        FACTORIES
        + f"""
class Converted(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
    def forward(self, x):
        return self.inner((x / 255).{kind}())

class Single(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.inner = nn.Sequential(nn.Conv2d(4, 8, 8, 4), nn.ReLU(), nn.Flatten(), nn.Linear(3200, 6))
    def forward(self, x):
        return self.inner(x / 255)

def single():
    return Single()

def other():
    network = Single()
    return Converted(network.inner.{kind}()) if {converts} else network.{kind}()
"""
    )
    single, other = (load_agent(f"{user_file}:{name}", environment="Pong") for name in ("single", "other"))
    observation = images().requires_grad_()
    expected, found = single(observation), other(observation)
    assert found.scores.dtype in (torch.float32, torch.float64)
    torch.testing.assert_close(found.scores.float(), expected.scores, atol=2e-2, rtol=0)
    (gradient,) = torch.autograd.grad(found.scores.max(dim=1).values.sum(), observation)
    assert gradient.dtype == torch.float32 and gradient.abs().sum() > 0


def test_an_agent_with_a_random_network_is_refused():
    class Random(nn.Module):
        def forward(self, x):
            return nn.functional.dropout(x.flatten(1)[:, :2] + 1.0, 0.5, training=True)

    spec = AgentSpec("mine", "Driving", ("left", "right"), (1, 8, 8), "q-values", "greedy", "")
    with pytest.raises(OutputError, match="different scores for the same observation"):
        check_agent(ModuleAgent(Random(), spec))


def test_a_factory_that_returns_a_network(user_file):
    import sys

    before = list(sys.path)
    agent = load_agent(f"{user_file}:q_values", environment="Pong")
    assert (agent.spec.scores_are, agent.spec.acts, agent.spec.name) == ("q-values", "greedy", "mine:q_values")
    assert agent.spec.action_names == PONG
    assert sys.path == before
    agent = load_agent(f"{user_file}:ActorCritic", environment="Pong")
    assert (agent.spec.scores_are, agent.spec.acts) == ("log-probabilities", "sampled")
    assert agent(images()).value is not None


def test_a_factory_that_returns_an_agent(user_file):
    assert load_agent(f"{user_file}:agent").spec.name == "mine"
    assert load_agent(f"{user_file}:agent", environment="Driving").spec.name == "mine"
    with pytest.raises(MismatchError, match="Driving, not on Pong"):
        load_agent(f"{user_file}:agent", environment="Pong")


@pytest.mark.parametrize(
    ("factory", "environment", "error", "message"),
    [
        ("q_values", None, AgentError, "does not name its environment"),
        ("q_values", "Ponk", UnknownGameError, "pong"),
        ("inside", "Pong", MismatchError, "scores for 4 actions"),
        ("wrong_size", "Pong", MismatchError, "cannot take"),
        ("number", "Pong", AgentError, "returned a int"),
        ("fails", "Pong", AgentError, "ValueError: no such checkpoint"),
        ("missing", "Pong", AgentError, "no function 'missing'; it has .*q_values"),
    ],
)
def test_factories_that_fail_are_refused(user_file, factory, environment, error, message):
    with pytest.raises(error, match=message):
        load_agent(f"{user_file}:{factory}", environment=environment)


def test_python_files_that_fail_are_refused(tmp_path):
    with pytest.raises(AgentError, match="no file"):
        load_agent(f"{tmp_path / 'none.py'}:make")
    broken = tmp_path / "broken.py"
    broken.write_text("def make(:\n")
    with pytest.raises(AgentError, match="SyntaxError"):
        load_agent(f"{broken}:make")
    with pytest.raises(AgentError, match="which function"):
        load_agent(str(broken))
