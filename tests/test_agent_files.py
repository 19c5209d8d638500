"""Agent files of other frameworks: their scores compared with the frameworks' own, damaged files, and files with code."""

from __future__ import annotations

import base64
import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from canary import Canary
from noise import Noise, images
from sb3_contrib import QRDQN, MaskablePPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from weakspot.agents.formats.actor_critic import ActorCriticNetwork
from weakspot.agents.load import load_agent
from weakspot.agents.tensors.pickled import TensorUnpickler
from weakspot.cli import main
from weakspot.errors import AgentError, MaskWarning, MismatchError, WeightsError
from weakspot.interface import Interface

torch.set_num_threads(1)
PONG = "PongNoFrameskip-v4"
ATARI_WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"


def replace_member(path: Path, name: str, content: bytes) -> None:
    """Replaces one member of a zip."""
    with zipfile.ZipFile(path) as file:
        members = {member: file.read(member) for member in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for member, old in members.items():
            file.writestr(member, content if member == name else old)


SETTINGS = {
    "DQN": lambda: DQN("CnnPolicy", Noise(), buffer_size=10, seed=1),
    "DQN, deep": lambda: DQN("CnnPolicy", Noise(), buffer_size=10, seed=1, policy_kwargs={"net_arch": [32, 16]}),
    "QR-DQN": lambda: QRDQN("CnnPolicy", Noise(), buffer_size=10, seed=1, policy_kwargs={"n_quantiles": 7}),
    "A2C": lambda: A2C("CnnPolicy", Noise(), seed=1),
    "PPO": lambda: PPO("CnnPolicy", Noise(), n_steps=4, batch_size=4, seed=1),
    "PPO, apart": lambda: PPO(
        "CnnPolicy", Noise(), n_steps=4, batch_size=4, seed=1,
        policy_kwargs={"share_features_extractor": False, "net_arch": [8], "activation_fn": nn.ELU},
    ),
}  # fmt: skip


def test_an_agent_with_action_masks_is_loaded_with_a_warning(tmp_path):
    model = MaskablePPO("CnnPolicy", Noise(), n_steps=4, batch_size=4, seed=1)
    model.policy.set_training_mode(False)
    model.save(tmp_path / PONG)
    with pytest.warns(MaskWarning, match="action masks"):
        agent = load_agent(str(tmp_path / f"{PONG}.zip"))
    with torch.no_grad():
        logits = model.policy.get_distribution(images()).distribution.logits
    torch.testing.assert_close(agent(images()).scores, logits, atol=1e-5, rtol=1e-4)


def test_the_same_weights_with_another_activation_are_another_agent(tmp_path):
    kwargs = {"net_arch": [8], "activation_fn": nn.Tanh}
    first = PPO("CnnPolicy", Noise(), n_steps=4, batch_size=4, seed=1, policy_kwargs=kwargs)
    second = PPO("CnnPolicy", Noise(), n_steps=4, batch_size=4, seed=1, policy_kwargs=kwargs | {"activation_fn": nn.ELU})
    second.policy.load_state_dict(first.policy.state_dict())
    fingerprints = set()
    for name, model in (("a", first), ("b", second), ("c", first)):
        (tmp_path / name).mkdir()
        model.save(tmp_path / name / PONG)
        fingerprints.add(load_agent(str(tmp_path / name / f"{PONG}.zip")).spec.fingerprint)
    assert len(fingerprints) == 2


def framework_output(model: BaseAlgorithm, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Scores and values that the framework itself computes."""
    with torch.no_grad():
        if isinstance(model, QRDQN):
            return model.policy.quantile_net(observation).mean(dim=1), None
        if isinstance(model, DQN):
            return model.policy.q_net(observation), None
        assert isinstance(model.policy, ActorCriticPolicy)
        return model.policy.get_distribution(observation).distribution.logits, model.policy.predict_values(observation)[:, 0]


@pytest.mark.parametrize("name", SETTINGS)
def test_zips_give_the_same_scores_as_the_framework(name, tmp_path):
    model = SETTINGS[name]()
    model.policy.set_training_mode(False)
    model.save(tmp_path / PONG)
    agent = load_agent(str(tmp_path / f"{PONG}.zip"))
    observation = images()
    scores, value = framework_output(model, observation)
    output = agent(observation)
    torch.testing.assert_close(output.scores, scores)
    if value is None:
        assert output.value is None and agent.spec.acts == "greedy"
        predicted, _ = model.predict(observation.numpy().astype(np.uint8), deterministic=True)
        np.testing.assert_array_equal(output.scores.argmax(dim=1), predicted)
    else:
        assert output.value is not None and agent.spec.acts == "sampled"
        torch.testing.assert_close(output.value, value)
    assert agent.spec.environment == PONG


@pytest.fixture(scope="session")
def saved_dqn(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("dqn") / "agent.zip"
    SETTINGS["DQN"]().save(path)
    return path


@pytest.fixture
def dqn(saved_dqn, tmp_path) -> Path:
    return Path(shutil.copy(saved_dqn, tmp_path / "agent.zip"))


def test_the_environment_must_be_given_and_fit(dqn):
    with pytest.raises(WeightsError, match="does not say which environment"):
        load_agent(str(dqn))
    with pytest.raises(MismatchError, match="scores for 6 actions"):
        load_agent(str(dqn), environment="BreakoutNoFrameskip-v4")
    assert load_agent(str(dqn), environment="pong").spec.environment == PONG


def test_no_code_in_a_zip_is_run(dqn, tmp_path):
    canary = tmp_path / "canary"
    trap = pickle.dumps(Canary(canary))
    with zipfile.ZipFile(dqn) as file:
        settings = json.loads(file.read("data"))
    for entry in settings.values():
        if isinstance(entry, dict) and ":serialized:" in entry:
            entry[":serialized:"] = base64.b64encode(trap).decode()
    replace_member(dqn, "data", json.dumps(settings).encode())
    load_agent(str(dqn), environment=PONG)
    replace_member(dqn, "policy.pth", trap)
    with pytest.raises(WeightsError, match=r"not read|cannot be read"):
        load_agent(str(dqn), environment=PONG)
    torch.save({"q_net.q_net.0.weight": Canary(canary)}, tmp_path / "policy.pth")
    replace_member(dqn, "policy.pth", (tmp_path / "policy.pth").read_bytes())
    with pytest.raises(WeightsError, match="could run any code"):
        load_agent(str(dqn), environment=PONG)
    assert not canary.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_zip_is_refused(dqn, share):
    content = dqn.read_bytes()
    dqn.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match="cannot be read" if share else "is empty"):
        load_agent(str(dqn), environment=PONG)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_zip_that_is_damaged_inside_is_refused(dqn, place):
    with zipfile.ZipFile(dqn) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(dqn, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    content = bytearray(dqn.read_bytes())
    at = int(place * len(content))
    content[at : at + 8] = bytes(8)
    dqn.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_agent(str(dqn), environment=PONG)


def test_settings_that_are_not_an_object_are_refused(dqn):
    replace_member(dqn, "data", b"[]")
    with pytest.raises(WeightsError, match="its data is a list"):
        load_agent(str(dqn), environment=PONG)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("policy_kwargs", {"activation_fn": "<class 'mine.Mish2'>"}, "Mish2"),
        ("action_space", {":type:": "<class 'gymnasium.spaces.box.Box'>", "_shape": [3]}, "action_space"),
        ("observation_space", None, "observation_space"),
    ],
)
def test_unknown_values_of_settings_are_refused(dqn, setting, value, message):
    with zipfile.ZipFile(dqn) as file:
        settings = json.loads(file.read("data"))
    replace_member(dqn, "data", json.dumps(settings | {setting: value}).encode())
    with pytest.raises(WeightsError, match=message):
        load_agent(str(dqn), environment=PONG)


def test_images_are_not_scaled_if_normalize_images_is_off(tmp_path):
    model = DQN("CnnPolicy", Noise(), buffer_size=10, policy_kwargs={"normalize_images": False})
    model.save(tmp_path / PONG)
    scores, _ = framework_output(model, images())
    torch.testing.assert_close(load_agent(str(tmp_path / f"{PONG}.zip"))(images()).scores, scores)


def test_convolutions_of_another_size_are_refused(dqn):
    with zipfile.ZipFile(dqn) as file:
        weights = torch.load(file.open("policy.pth"), weights_only=True)
    weights["q_net.features_extractor.cnn.0.weight"] = torch.zeros(32, 4, 5, 5)
    path = dqn.with_suffix(".pth")
    torch.save(weights, path)
    replace_member(dqn, "policy.pth", path.read_bytes())
    with pytest.raises(WeightsError, match="NatureCNN"):
        load_agent(str(dqn), environment=PONG)


def change_zip(dqn: Path, weights: dict[str, torch.Tensor] | None = None, **settings) -> str:
    """Adds tensors or settings to the zip, and returns its path."""
    with zipfile.ZipFile(dqn) as file:
        old_settings = json.loads(file.read("data"))
        old_weights = torch.load(file.open("policy.pth"), weights_only=True)
    torch.save(old_weights | (weights or {}), dqn.with_suffix(".pth"))
    replace_member(dqn, "data", json.dumps(old_settings | settings).encode())
    replace_member(dqn, "policy.pth", dqn.with_suffix(".pth").read_bytes())
    return str(dqn)


def test_unknown_layers_are_refused(dqn):
    """Policies of old versions have layers shared by actor and critic; the shapes would fit without them."""
    with pytest.raises(WeightsError, match=r"shared_net\.0\.weight"):
        load_agent(change_zip(dqn, {"mlp_extractor.shared_net.0.weight": torch.eye(512)}), environment=PONG)


def test_another_features_extractor_is_refused(dqn):
    kwargs = {"features_extractor_class": "<class 'mine.NatureCNN'>"}
    with pytest.raises(WeightsError, match=r"mine\.NatureCNN"):
        load_agent(change_zip(dqn, policy_kwargs=kwargs), environment=PONG)
    kwargs = {"features_extractor_class": "<class 'stable_baselines3.common.torch_layers.NatureCNN'>"}
    load_agent(change_zip(dqn, policy_kwargs=kwargs), environment=PONG)


def test_spaces_of_another_type_are_refused(dqn):
    space = {"dtype": "uint8", "_shape": "(4, 84, 84)"}
    with pytest.raises(WeightsError, match="spaces"):
        load_agent(change_zip(dqn, observation_space=space), environment=PONG)


def test_an_agent_must_fit_its_environment(dqn, tmp_path):
    other = Interface("Other-v0", tuple("abcdef"), (4, 84, 84))
    assert load_agent(str(dqn), environment=other).spec.action_names == tuple("abcdef")
    with pytest.raises(MismatchError, match="takes observations"):
        load_agent(str(dqn), environment=Interface("Other-v0", tuple("abcdef"), (4, 84, 96)))
    sticky = shutil.copy(dqn, tmp_path / "ALE-Pong-v5.zip")
    assert load_agent(str(sticky)).spec.environment == "ALE/Pong-v5", "the id with sticky actions"
    named = shutil.copy(dqn, tmp_path / "MyPongNoFrameskip-v4.zip")
    assert load_agent(str(named), environment="pong").spec.environment == PONG, "a name that contains no game is ignored"


# --- RL Zoo ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def training(saved_dqn, tmp_path) -> Path:
    folder = tmp_path / f"{PONG}_1"
    (folder / PONG).mkdir(parents=True)
    shutil.copy(saved_dqn, folder / f"{PONG}.zip")
    args = OrderedDict([("algo", "dqn"), ("env", PONG), ("seed", 1)])
    config = OrderedDict([("env_wrapper", [ATARI_WRAPPER]), ("frame_stack", 4), ("normalize", False)])
    (folder / PONG / "args.yml").write_text(yaml.dump(args))
    (folder / PONG / "config.yml").write_text(yaml.dump(config))
    return folder


def change_config(training: Path, **settings) -> None:
    path = training / PONG / "config.yml"
    config = yaml.unsafe_load(path.read_text())
    path.write_text(yaml.dump(OrderedDict(config | settings)))


def test_a_training_folder_names_its_agent_and_environment(training, saved_dqn):
    agent = load_agent(str(training))
    assert agent.spec.environment == PONG
    assert agent.spec.fingerprint == load_agent(str(saved_dqn), environment=PONG).spec.fingerprint
    best = DQN("CnnPolicy", Noise(), buffer_size=10, seed=9)
    best.save(training / "best_model")
    assert load_agent(str(training)).spec.fingerprint != agent.spec.fingerprint, "the best policy is preferred to the last"
    with pytest.raises(MismatchError, match="was trained on Pong"):
        load_agent(str(training), environment="BreakoutNoFrameskip-v4")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normalize": True}, "channels come first"),
        ({"normalize": "{'norm_obs': True}"}, "channels come first"),
        ({"frame_stack": 2}, "frame_stack: 2"),
        ({"env_wrapper": ["mine.Wrapper"]}, "mine.Wrapper"),
        ({"env_wrapper": None}, "env_wrapper"),
        ({"env_wrapper": [None]}, "env_wrapper"),
        (
            {"env_wrapper": [{ATARI_WRAPPER: {"frame_skip": 2}}]},
            "without arguments",
        ),
        ({"env_wrapper": {ATARI_WRAPPER: {"frame_skip": 2}}}, "without arguments"),
        ({"vec_env_wrapper": "stable_baselines3.common.vec_env.VecNormalize"}, "VecNormalize"),
        ({"env_wrapper": Path("x")}, "without Python objects"),
    ],
)
def test_a_training_on_other_observations_is_refused(training, settings, message):
    change_config(training, **settings)
    with pytest.raises(AgentError, match=message):
        load_agent(str(training))


@pytest.mark.parametrize("normalize", [{"norm_obs": False, "norm_reward": True}, "{'norm_obs': False}"])
def test_normalised_rewards_are_accepted(training, normalize):
    change_config(training, normalize=normalize)
    load_agent(str(training))


def test_the_checkpoint_with_the_most_steps_is_loaded(training):
    last = training / "rl_model_1000000_steps.zip"
    (training / f"{PONG}.zip").rename(last)
    DQN("CnnPolicy", Noise(), buffer_size=10, seed=9).save(training / "rl_model_200000_steps")
    assert load_agent(str(training)).spec.fingerprint == load_agent(str(last), environment=PONG).spec.fingerprint


@pytest.mark.parametrize("arguments", [{"env": "ALE/Pong-v5"}, {"env": PONG, "env_kwargs": {"frameskip": 1}}])
def test_a_training_with_another_frame_skip_is_refused(training, arguments):
    (training / PONG / "args.yml").write_text(yaml.dump(OrderedDict(arguments)))
    with pytest.raises(AgentError, match="env_kwargs"):
        load_agent(str(training))


def test_no_code_in_a_training_folder_is_run(training, tmp_path):
    canary = tmp_path / "canary"
    (training / PONG / "vecnormalize.pkl").write_bytes(pickle.dumps(Canary(canary)))
    load_agent(str(training))
    (training / PONG / "args.yml").write_text(f"!!python/object/apply:os.mkdir [{str(canary)!r}]")
    with pytest.raises(AgentError, match="without Python objects"):
        load_agent(str(training))
    assert not canary.exists()


def test_a_training_folder_without_an_agent_is_refused(training):
    (training / f"{PONG}.zip").unlink()
    with pytest.raises(AgentError, match="holds no agent"):
        load_agent(str(training))


# --- CleanRL ---------------------------------------------------------------------------------------------------------


def cleanrl_features(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The output of the convolutions and the hidden layer, computed with plain functions."""
    x = x / 255
    for name, stride in (("0", 4), ("2", 2), ("4", 1)):
        x = torch.relu(torch.conv2d(x, weights[f"network.{name}.weight"], weights[f"network.{name}.bias"], stride))
    return torch.relu(x.flatten(1) @ weights["network.7.weight"].T + weights["network.7.bias"])


def linear(weights: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def cleanrl_weights(**heads: int) -> dict[str, torch.Tensor]:
    """Random weights with the names of CleanRL, and heads with these numbers of outputs."""
    generator = torch.Generator().manual_seed(2)
    shapes = {"0": (32, 4, 8, 8), "2": (64, 32, 4, 4), "4": (64, 64, 3, 3), "7": (512, 3136)}
    named = {f"network.{name}": shape for name, shape in shapes.items()} | {name: (n, 512) for name, n in heads.items()}
    weights = {}
    for name, shape in named.items():
        weights[f"{name}.weight"] = torch.randn(shape, generator=generator) / np.sqrt(np.prod(shape[1:]))
        weights[f"{name}.bias"] = torch.randn(shape[0], generator=generator)
    return weights


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / f"{PONG}__dqn_atari__1__1700000000"
    folder.mkdir()
    return folder / "dqn_atari.cleanrl_model"


def test_cleanrl_dqn(run):
    weights = cleanrl_weights(**{"network.9": 6})
    torch.save(weights, run)
    agent, x = load_agent(str(run)), images()
    assert agent.spec.environment == PONG and agent.spec.acts == "greedy"
    torch.testing.assert_close(
        agent(x).scores, cleanrl_features(weights, x) @ weights["network.9.weight"].T + weights["network.9.bias"]
    )


def test_cleanrl_c51(run):
    weights = cleanrl_weights(**{"network.9": 6 * 11}) | {"atoms": torch.linspace(-10, 10, 11)}
    torch.save({"model_weights": weights, "args": {"n_atoms": 11, "env_id": PONG}}, run)
    agent, x = load_agent(str(run)), images()
    logits = linear(weights, "network.9", cleanrl_features(weights, x)).reshape(3, 6, 11)
    expected = (torch.softmax(logits, dim=2) * weights["atoms"]).sum(dim=2)
    torch.testing.assert_close(agent(x).scores, expected)
    with pytest.raises(MismatchError, match="was trained on Pong"):
        load_agent(str(run.rename(run.parent.parent / "a.cleanrl_model")), environment="SpaceInvadersNoFrameskip-v4")


def test_cleanrl_ppo(run):
    weights = cleanrl_weights(actor=6, critic=1)
    torch.save(weights, run)
    agent, x = load_agent(str(run)), images()
    output, features = agent(x), cleanrl_features(weights, x)
    torch.testing.assert_close(
        output.scores, torch.log_softmax(features @ weights["actor.weight"].T + weights["actor.bias"], 1)
    )
    torch.testing.assert_close(output.value, linear(weights, "critic", features)[:, 0])
    assert agent.spec.acts == "sampled"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (cleanrl_weights(**{"network.9": 4}), "4 actions"),
        (cleanrl_weights(actor=18, critic=1), "18 actions"),
        (cleanrl_weights(**{"network.9": 13}) | {"atoms": torch.zeros(5)}, "2.6 actions"),
        ({"layer.weight": torch.zeros(1)}, "no known agent"),
        (cleanrl_weights(**{"network.9": 6}) | {"extra": torch.zeros(1)}, "extra"),
        (cleanrl_weights(**{"network.9": 6}) | {"global_step": 5}, "more than tensors: global_step"),
        ([1, 2], "holds a list"),
    ],
)
def test_other_content_of_a_cleanrl_model_is_refused(run, weights, message):
    torch.save(weights, run)
    with pytest.raises(AgentError, match=message):
        load_agent(str(run))


def test_no_code_in_a_cleanrl_model_is_run(run, tmp_path):
    torch.save(cleanrl_weights(**{"network.9": 6}) | {"x": Canary(tmp_path / "canary")}, run)
    with pytest.raises(WeightsError, match="could run any code"):
        load_agent(str(run))
    assert not (tmp_path / "canary").exists()


# --- plain state dicts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt", "PT"])
def test_a_state_dict_of_torch_save(tmp_path, suffix):
    torch.manual_seed(0)
    network = ActorCriticNetwork(6)
    path = tmp_path / f"acktr_{PONG}.{suffix}"
    torch.save(network.state_dict(), path)
    torch.testing.assert_close(load_agent(str(path))(images()).value, network(images())[1][:, 0])


PUBLISHED = """
import sys, torch
from torch import nn

class Flatten(nn.Module):
    def forward(self, x):
        return x.view(x.size(0), -1)

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(4, 32, 8, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
            nn.Conv2d(64, 32, 3, stride=1), nn.ReLU(), Flatten(), nn.Linear(32 * 7 * 7, 512), nn.ReLU(),
        )
        self.critic_linear = nn.Linear(512, 1)

class Categorical(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(512, 6)

class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.base, self.dist = Base(), Categorical()

class Canary:
    def __reduce__(self):
        return (open, (sys.argv[2], "w"))

torch.manual_seed(0)
network = Policy()
x = torch.load(sys.argv[1], weights_only=True)
for legacy in (False, True):
    torch.save([network, Canary()], f"{sys.argv[1]}.{legacy}.pt", _use_new_zipfile_serialization=not legacy)
features = network.base.main(x / 255)
scores = network.dist.linear(features).log_softmax(1)
torch.save([scores, network.base.critic_linear(features)[:, 0]], f"{sys.argv[1]}.output")
"""


def test_whole_pickled_networks_are_read_without_running_code(tmp_path):
    """A published file of pytorch-a2c-ppo-acktr: a list of the policy and running statistics, of classes that do not exist
    here."""
    script, observation, canary = tmp_path / "published.py", tmp_path / PONG, tmp_path / "canary"
    script.write_text(PUBLISHED)
    torch.save(images(), observation)
    subprocess.run([sys.executable, str(script), str(observation), str(canary)], check=True)
    scores, value = torch.load(f"{observation}.output", weights_only=True)
    canary.unlink(missing_ok=True)
    for legacy in (False, True):
        output = load_agent(f"{observation}.{legacy}.pt")(images())
        torch.testing.assert_close(output.scores, scores)
        torch.testing.assert_close(output.value, value)
    assert not canary.exists()


def test_files_without_a_network_are_refused(tmp_path):
    path = tmp_path / f"{PONG}.pt"
    path.write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_agent(str(path))
    torch.save([Canary(tmp_path / "canary")], path)
    with pytest.raises(WeightsError, match="holds a list without a network"):
        load_agent(str(path))
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)
    script = path.read_bytes()
    for padding in (0, 1_000, 68_500, 100_000):  # torch finds some zip archives that the standard library does not
        path.write_bytes(script + bytes(padding))
        with pytest.raises(WeightsError, match=r"TorchScript|failed finding"):
            load_agent(str(path))
    path.write_bytes(script)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_agent(str(path))
    assert not (tmp_path / "canary").exists()


def test_a_pickle_cannot_change_the_functions_that_it_calls():
    """The opcodes of this pickle set __defaults__ of a function."""
    trap = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\0\0\0__defaults__K\x01K\x02\x86s\x86b."
    before = torch._utils._rebuild_tensor_v2.__defaults__
    with pytest.raises(pickle.UnpicklingError, match="change"):
        TensorUnpickler(io.BytesIO(trap)).load()
    assert torch._utils._rebuild_tensor_v2.__defaults__ == before


@pytest.mark.parametrize("legacy", [False, True])
def test_truncated_files_are_refused(tmp_path, legacy):
    path = tmp_path / f"{PONG}.pt"
    torch.save({"conv1.weight": torch.zeros(40)}, path, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 7):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError):
            load_agent(str(path))


@pytest.mark.parametrize("name", ["logs/best_modle.zip", "nothing.safetensors", "."])
def test_missing_files_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"no agent at|is a folder"):
        load_agent(name)


def test_a_zip_of_something_else_is_refused(tmp_path):
    torch.save(ActorCriticNetwork(6).state_dict(), tmp_path / f"{PONG}.zip")
    with pytest.raises(WeightsError, match="a zip saved by a stable-baselines3 model"):
        load_agent(str(tmp_path / f"{PONG}.zip"))


# --- the documentation's pages ---------------------------------------------------------------------------------------

DOCS = Path(__file__).parent.parent / "docs" / "frameworks"
TINY_RUN = [
    *("--targets", "T-", "--collect.frames", "240", "--collect.streams", "2"),
    *("--train.steps", "4", "--train.recipe", "fast-gaussian", "--train.batch-size", "8", "--train.workers", "1"),
    *("--synthesize.states", "2", "--synthesize.steps", "3", "--synthesize.candidates", "8"),
    *("--goggles.episodes", "1", "--goggles.longest", "20", "--fidelity.reconstructions", "2"),
    *("--ground.states", "0", "--confirm.controls", "0"),
]


def code(page: str) -> str:
    return (DOCS / page).read_text().split("```python")[1].split("```")[0]


def run_tiny(agent: str, *arguments: str) -> None:
    """A run with tiny settings ends in a report."""
    assert main(["run", "--agent", agent, *arguments, "--output", "run", *TINY_RUN]) == 0
    assert Path("run/report.html").stat().st_size > 10_000


def test_the_page_on_stable_baselines3(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(code("stable-baselines3.md").replace("1_000_000", "120"), {})
    run_tiny(f"{PONG}.zip")


def test_the_page_on_cleanrl(run, monkeypatch):
    monkeypatch.chdir(run.parent.parent)
    torch.save(cleanrl_weights(**{"network.9": 6}), run)
    run_tiny(str(run.relative_to(run.parent.parent)))


def test_the_page_on_pytorch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_agent.py").write_text(code("pytorch.md"))
    scope: dict = {}
    exec(code("pytorch.md"), scope)
    torch.save(scope["MyNetwork"](6).state_dict(), "weights.pt")
    run_tiny("my_agent.py:agent", "--environment", PONG)
