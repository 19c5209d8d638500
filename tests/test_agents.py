"""Agents: the wrapper around a network, the two file formats, and the ways to name an agent."""

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
from weakspot.agents.module import ModuleAgent, check_agent, check_answer, fingerprint
from weakspot.agents.networks.dueling import DuelingNetwork
from weakspot.agents.networks.policy import PolicyNetwork
from weakspot.errors import AgentError, MismatchError, OutputError, UnknownGameError, WeightsError
from weakspot.games import action_names, environment_id, resolve_game
from weakspot.system.user_code import function_in, local_files, local_module

torch.set_num_threads(1)

PONG = ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
SPEC = AgentSpec("test", "Somewhere-v0", ("left", "right"), (1, 2, 2), "q-values", "greedy", "")
CARD = Card("tiny", "PongNoFrameskip-v4", "compact", PONG, (4, 84, 84), score={"mean": 1.5})


class Answers(nn.Module):
    """Answers whatever the function makes of the observation."""

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


def test_the_network_is_frozen_and_evaluated():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Dropout(0.9)).train()
    agent = ModuleAgent(network, SPEC)
    x = torch.ones(2, 1, 2, 2)
    assert torch.equal(agent(x).scores, agent(x).scores)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_answers_are_differentiable_in_the_observation():
    network = linear()
    x = torch.rand(3, 1, 2, 2, requires_grad=True)
    ModuleAgent(network, SPEC)(x).scores[:, 1].sum().backward()
    assert torch.allclose(x.grad.flatten(1), network[1].weight[1].expand(3, -1))


def test_logits_become_log_probabilities_once():
    spec = replace(SPEC, scores_are="log-probabilities", acts="sampled")
    logits = torch.tensor([[1.0, 3.0]])
    agent = ModuleAgent(Answers(lambda x: (logits, torch.tensor([[5.0]]))), spec)
    output = agent(torch.zeros(1, 1, 2, 2))
    assert torch.allclose(output.scores.exp().sum(dim=1), torch.ones(1))
    assert torch.allclose(output.scores[0, 1] - output.scores[0, 0], torch.tensor(2.0))
    assert output.value is not None and output.value.shape == (1,) and output.value.item() == 5
    again = ModuleAgent(Answers(lambda x: output.scores), spec)(torch.zeros(1, 1, 2, 2))
    assert torch.allclose(again.scores, output.scores)


def test_integer_observations_are_taken_as_they_are_stored():
    agent = ModuleAgent(linear(), SPEC)
    x = torch.randint(256, (2, 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(agent(x).scores, agent(x.float()).scores)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (lambda x: torch.zeros(len(x), 3), MismatchError, "3 actions"),
        (lambda x: torch.zeros(len(x)), OutputError, "shape"),
        (lambda x: torch.zeros(len(x) + 1, 2), OutputError, "shape"),
        (lambda x: torch.zeros(len(x), 2, 1), OutputError, "shape"),
        (lambda x: torch.zeros(len(x), 2, dtype=torch.long), OutputError, "int64"),
        (lambda x: (torch.zeros(len(x), 2), torch.zeros(len(x), 2)), OutputError, "values"),
        (lambda x: (torch.zeros(len(x), 2), torch.zeros(())), OutputError, "values"),
        (lambda x: {"q": torch.zeros(len(x), 2)}, OutputError, "dict"),
        (lambda x: (torch.zeros(len(x), 2),) * 3, OutputError, "tuple"),
        (lambda x: None, OutputError, "NoneType"),
    ],
)
@pytest.mark.parametrize("kind", ["q-values", "log-probabilities"])
def test_answers_that_are_none_are_refused(answer, error, words, kind):
    agent = ModuleAgent(Answers(answer), replace(SPEC, scores_are=kind))
    with pytest.raises(error, match=words):
        agent(torch.zeros(4, 1, 2, 2))


@pytest.mark.parametrize("shape", [(3, 1, 2, 3), (3, 2, 2, 2), (1, 2, 2), (3, 4)])
def test_observations_of_another_shape_are_refused(shape):
    with pytest.raises(MismatchError, match="Somewhere-v0"):
        ModuleAgent(linear(), SPEC)(torch.zeros(shape))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(bad):
    with pytest.raises(OutputError, match=str(bad)):
        check_answer(AgentOutput(torch.tensor([[0.0, bad]])), SPEC)
    with pytest.raises(OutputError, match="values"):
        check_answer(AgentOutput(torch.zeros(1, 2), torch.tensor([bad])), SPEC)
    with pytest.raises(OutputError):
        choose(AgentOutput(torch.tensor([[0.0, bad]])), SPEC, torch.Generator())


def test_check_agent_refuses_answers_without_gradient():
    def detached(x):
        return x.flatten(1)[:, :2].detach()

    check_agent(ModuleAgent(linear(), SPEC))
    with pytest.raises(OutputError, match="differentiably"):
        check_agent(ModuleAgent(Answers(detached), SPEC))
    with pytest.raises(MismatchError, match="cannot take"):
        check_agent(ModuleAgent(linear(inputs=5), SPEC))


def test_the_fingerprint_tells_weights_apart():
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
def test_every_spelling_of_a_game(name):
    assert resolve_game(name) == "space_invaders"
    assert environment_id(name) == "SpaceInvadersNoFrameskip-v4"


def test_an_unknown_game_names_near_ones():
    with pytest.raises(UnknownGameError, match="pong"):
        resolve_game("PonngNoFrameskip-v4")


def test_action_names_are_the_emulators():
    assert action_names("pong") == PONG
    assert len(action_names("seaquest")) == 18
    assert action_names("freeway") == ("NOOP", "UP", "DOWN")


# --- dueling agents --------------------------------------------------------------------------------------------------


def test_an_actor_critic_of_our_own_survives_its_file(tmp_path):
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
    with pytest.raises(WeightsError, match="another network's"):
        cards.export(network.state_dict(), replace(card, kind="dueling-dqn"), path)


@pytest.mark.parametrize("network", ["compact", "nature"])
def test_the_mean_advantage_is_zero(network):
    torch.manual_seed(0)
    module = DuelingNetwork(5, network)
    x = images(2)
    q = module(x)
    value = module.value_stream(module.convolutions(x / 255))
    assert torch.allclose(q.mean(dim=1, keepdim=True), value, atol=1e-5)
    with torch.no_grad():
        module.advantage_stream[-1].bias += 3  # type: ignore[operator]  # moves all advantages alike: Q stays
    assert torch.allclose(module(x), q, atol=1e-5)


def test_export_and_load(tiny, tmp_path):
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


def test_loading_leaves_the_global_generator_alone(tiny, tmp_path, acktr_weights):
    path = tmp_path / "acktr_PongNoFrameskip-v4.safetensors"
    save_file(acktr_weights, path)
    before = torch.get_rng_state()
    load_agent(str(tiny))
    load_agent(str(path))
    assert torch.equal(torch.get_rng_state(), before)


def test_export_refuses_weights_that_do_not_fit(tmp_path):
    weights = DuelingNetwork(6, "compact").state_dict()
    with pytest.raises(WeightsError, match=r"advantage_stream\.2\.bias has shape \(6,\), not \(5,\)"):
        cards.export(weights, replace(CARD, actions=PONG[:5]), tmp_path / "x.safetensors")
    weights["value_stream.0.bias"][0] = 1e6  # beyond float16
    with pytest.raises(WeightsError, match="not finite"):
        cards.export(weights, CARD, tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files_are_refused(tiny, share):
    content = tiny.read_bytes()
    tiny.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match="complete safetensors file"):
        load_agent(str(tiny))


def test_a_header_that_promises_gigabytes_is_refused(tiny):
    tiny.write_bytes(struct.pack("<Q", 1 << 40) + tiny.read_bytes()[8:])
    with pytest.raises(WeightsError):
        load_agent(str(tiny))


@pytest.mark.parametrize(
    ("change", "words"),
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
def test_cards_that_do_not_fit_are_refused(tiny, change, words):
    with safe_open(tiny, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        card = json.loads(file.metadata()["weakspot"])
    save_file(tensors, tiny, {"weakspot": json.dumps(card | change)})
    with pytest.raises(WeightsError, match=words):
        load_agent(str(tiny))
    save_file(tensors, tiny, {"weakspot": "{"})
    with pytest.raises(WeightsError, match="damaged"):
        load_agent(str(tiny))


# --- actor-critics ---------------------------------------------------------------------------------------------------


def by_hand(weights: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The network of the repositories, written down a second time with bare functions."""
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
    logits, value = by_hand(acktr_weights, images())
    assert output.value is not None
    assert torch.allclose(output.value, value, atol=1e-4)
    assert torch.allclose(output.scores, logits.log_softmax(dim=1), atol=1e-4)


def test_the_environment_comes_from_the_name_the_metadata_or_the_caller(tmp_path, acktr_weights):
    plain = tmp_path / "weights.safetensors"
    save_file(acktr_weights, plain)
    with pytest.raises(WeightsError, match="does not tell which environment"):
        load_agent(str(plain))
    assert load_agent(str(plain), environment="ALE/Pong-v5").spec.environment == "ALE/Pong-v5", "with sticky actions"
    save_file(acktr_weights, plain, {"env": "PongNoFrameskip-v4"})
    assert load_agent(str(plain)).spec.environment == "PongNoFrameskip-v4"
    with pytest.raises(MismatchError, match="PongNoFrameskip-v4, not on Qbert"):
        load_agent(str(plain), environment="Qbert")


def test_another_number_of_actions_is_refused(tmp_path, acktr_weights):
    path = tmp_path / "acktr_SeaquestNoFrameskip-v4.safetensors"
    save_file(acktr_weights, path)
    with pytest.raises(MismatchError, match=r"answers 6 actions\n  expected: 18"):
        load_agent(str(path))


def test_missing_left_over_and_misshapen_tensors_are_named(tmp_path, acktr_weights):
    path = tmp_path / "acktr_PongNoFrameskip-v4.safetensors"
    weights = {name: tensor for name, tensor in acktr_weights.items() if name != "conv2.bias"}
    weights |= {"lstm.weight": torch.zeros(1), "conv1.bias": torch.zeros(16)}
    save_file(weights, path)
    with pytest.raises(WeightsError, match=r"missing conv2\.bias; not known lstm\.weight; conv1\.bias has shape \(16,\)"):
        load_agent(str(path))
    save_file(acktr_weights | {"conv1.bias": torch.full((32,), torch.nan)}, path)
    with pytest.raises(WeightsError, match="not finite"):
        load_agent(str(path))


@pytest.mark.parametrize(("game", "actions"), [("Pong", 6), ("Qbert", 6), ("Seaquest", 18)])
def test_agents_of_others_load(game, actions):
    folder = os.environ.get("WEAKSPOT_AGENTS")
    if not folder:
        pytest.skip("WEAKSPOT_AGENTS is not set: no agents of others to load")
    agent = load_agent(str(Path(folder) / f"acktr_{game}NoFrameskip-v4.safetensors"))
    assert agent(images()).scores.shape == (3, actions)


# --- naming an agent -------------------------------------------------------------------------------------------------


def test_foreign_files_say_what_was_seen_and_expected(tmp_path):
    path = tmp_path / "resnet.safetensors"
    save_file({"layer1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"(?s)fc\.bias, layer1\.weight.*actor_linear.*path\.py:factory"):
        load_agent(str(path))
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        load_agent(str(path))


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(WeightsError, match="no agent at"):
        load_agent(str(tmp_path / "none.safetensors"))
    with pytest.raises(WeightsError, match="is a folder"):
        load_agent(str(tmp_path))


@pytest.mark.parametrize("suffix", ["pkl", "pickle", "PKL"])
def test_pickles_are_refused_unread(tmp_path, suffix):
    path = tmp_path / f"agent.{suffix}"
    torch.save({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"(?s)could run any code.*save_file.*path\.py:factory"):
        load_agent(str(path))


def test_an_unknown_name_suggests_near_ones(tiny, monkeypatch):
    monkeypatch.setattr(zoo.resources, "files", lambda _: tiny.parent)
    assert zoo.names() == ("tiny",)
    assert zoo.card("tiny") == CARD
    assert load_agent("tiny").spec.name == "tiny"
    with pytest.raises(WeightsError, match=r"(?s)no agent is called 'tinny'.*tiny, perhaps"):
        load_agent("tinny")
    with pytest.raises(MismatchError, match="PongNoFrameskip-v4, not on breakout"):
        load_agent("tiny", environment="breakout")


@pytest.mark.parametrize("name", zoo.names() or [pytest.param("", marks=pytest.mark.skip(reason="the zoo is empty"))])
def test_every_agent_of_the_zoo_loads_and_says_how_good_it_is(name):
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


def test_an_agents_fingerprint_is_of_its_code_and_of_what_that_imports(user_file):
    def told(name):
        return load_agent(f"{user_file}:{name}", environment="Pong" if name == "same" else None).spec.fingerprint

    user_file.write_text(
        FACTORIES + "\ndef same():\n    torch.manual_seed(0)\n    return q_values()\n"
        "\ndef fixed():\n    torch.manual_seed(0)\n    return agent()\n"
    )
    before = {name: told(name) for name in ("same", "fixed")}
    assert before == {name: told(name) for name in before} and before["same"] != before["fixed"]
    (user_file.parent / "neighbour.py").write_text("ACTIONS = 6  # and a word more\n")
    assert all(told(name) != known for name, known in before.items())


def test_neighbours_of_one_name_are_not_mixed_up(tmp_path):
    for number, folder in enumerate(("one", "two"), 2):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "of_mine.py").write_text(f"ACTIONS = {number}\n")
        (tmp_path / folder / "file.py").write_text("from of_mine import ACTIONS\ndef f():\n    return ACTIONS\n")
    for _ in range(2):
        for number, folder in enumerate(("one", "two"), 2):
            assert function_in(tmp_path / folder / "file.py", "f", AgentError, AgentError)() == number


def test_all_files_that_a_users_file_imports_are_found(tmp_path, monkeypatch):
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


def test_an_agent_of_ones_own_has_all_that_an_agent_must_have(user_file):
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
    made = agent()
    made.module.insert(0, nn.Dropout())
    made.module.train()
    return made

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


def test_an_agent_with_chance_in_its_network_is_refused():
    class Chance(nn.Module):
        def forward(self, x):
            return nn.functional.dropout(x.flatten(1)[:, :2] + 1.0, 0.5, training=True)

    spec = AgentSpec("mine", "Driving", ("left", "right"), (1, 8, 8), "q-values", "greedy", "")
    with pytest.raises(OutputError, match="otherwise the second time"):
        check_agent(ModuleAgent(Chance(), spec))


def test_a_users_network(user_file):
    import sys

    before = list(sys.path)
    agent = load_agent(f"{user_file}:q_values", environment="Pong")
    assert (agent.spec.scores_are, agent.spec.acts, agent.spec.name) == ("q-values", "greedy", "mine:q_values")
    assert agent.spec.action_names == PONG
    assert sys.path == before
    agent = load_agent(f"{user_file}:ActorCritic", environment="Pong")
    assert (agent.spec.scores_are, agent.spec.acts) == ("log-probabilities", "sampled")
    assert agent(images()).value is not None


def test_a_users_agent(user_file):
    assert load_agent(f"{user_file}:agent").spec.name == "mine"
    assert load_agent(f"{user_file}:agent", environment="Driving").spec.name == "mine"
    with pytest.raises(MismatchError, match="Driving, not on Pong"):
        load_agent(f"{user_file}:agent", environment="Pong")


@pytest.mark.parametrize(
    ("factory", "environment", "error", "words"),
    [
        ("q_values", None, AgentError, "does not tell its environment"),
        ("q_values", "Ponk", UnknownGameError, "pong"),
        ("inside", "Pong", MismatchError, "answers 4 actions"),
        ("wrong_size", "Pong", MismatchError, "cannot take"),
        ("number", "Pong", AgentError, "returned a int"),
        ("fails", "Pong", AgentError, "ValueError: no such checkpoint"),
        ("missing", "Pong", AgentError, "no function 'missing'; it has .*q_values"),
    ],
)
def test_factories_that_do_not_work(user_file, factory, environment, error, words):
    with pytest.raises(error, match=words):
        load_agent(f"{user_file}:{factory}", environment=environment)


def test_files_that_do_not_work(tmp_path):
    with pytest.raises(AgentError, match="no file"):
        load_agent(f"{tmp_path / 'none.py'}:make")
    broken = tmp_path / "broken.py"
    broken.write_text("def make(:\n")
    with pytest.raises(AgentError, match="SyntaxError"):
        load_agent(f"{broken}:make")
    with pytest.raises(AgentError, match="which function"):
        load_agent(str(broken))
