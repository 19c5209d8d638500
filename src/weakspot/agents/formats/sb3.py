"""The zip files of stable-baselines3 and sb3-contrib (DQN, QR-DQN, A2C, PPO), read without running anything they hold.

A zip has its settings as JSON (``data``), where every Python object stands twice: as a pickle and in words.  Only the
words and the tensors (``policy.pth``) are read here, and the network is built anew from them: the convolutions of Mnih et
al. 2015, the layers behind them as wide as the tensors say, and the heads; in front of them what ``VecNormalize`` did.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from weakspot.agents.base import ScoresAre
from weakspot.agents.fitting import WAY_OUT, check_actions, fitted
from weakspot.agents.formats.normalized import Normalized, Statistics, names_beside, read_statistics, statistics_beside
from weakspot.agents.module import ModuleAgent
from weakspot.agents.tensors.weights import fill, listed, read_tensors, unfilled
from weakspot.errors import MismatchError, WeightsError
from weakspot.interface import Interface
from weakspot.system.files import UNREADABLE_ARRAYS

WEIGHTS = "policy.pth"
KERNELS, STRIDES = (8, 4, 3), (4, 2, 1)
"""Of the three convolutions of ``NatureCNN``."""
ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.ReLU, nn.Tanh, nn.ELU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.SELU)
"""Those that a policy's ``activation_fn`` may name."""
NUMBER = re.compile(r"-?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf)")
EXTRACTOR = "stable_baselines3.common.torch_layers.NatureCNN"


@dataclass(frozen=True)
class Archive:
    """What a zip says in words, and its tensors.

    Attributes:
        source: where it comes from, for errors.
        settings: the file ``data``.
        weights: the policy's tensors by name.
    """

    source: str
    settings: Mapping[str, Any]
    weights: Mapping[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``prefix``, without it."""
        return {name.removeprefix(prefix): tensor for name, tensor in self.weights.items() if name.startswith(prefix)}

    def policy_setting(self, name: str, default: Any) -> Any:
        """One of the ``policy_kwargs``; classes are words such as ``<class 'torch.nn.modules.activation.ReLU'>``."""
        given = self.settings.get("policy_kwargs") or {}
        return given.get(name, default)


def read_archive(path: Path) -> Archive:
    """The zip's settings and tensors.

    Raises:
        WeightsError: it is damaged, or holds something that is no tensor.
    """
    try:
        with zipfile.ZipFile(path) as file:
            settings, weights = json.loads(file.read("data")), file.read(WEIGHTS)
        if not isinstance(settings, dict):
            raise ValueError(f"its data is a {type(settings).__name__}")
    except (*UNREADABLE_ARRAYS, RuntimeError) as error:  # the last where it is encrypted, or compressed in an unknown way
        raise WeightsError(
            f"{path} cannot be read: {error}",
            expected=f"a zip that a stable-baselines3 model saved, with data and {WEIGHTS}",
            todo="save or fetch it again; it may have been cut short",
        ) from error
    return Archive(str(path), settings, read_tensors(weights, f"{path} ({WEIGHTS})"))


class NatureCnn(nn.Module):
    """Three convolutions and a layer, as in Mnih et al. 2015: images (b, c, h, w) to features (b, n)."""

    def __init__(self, widths: tuple[int, int, int, int], flat: int, features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, kernel, stride in zip(widths, widths[1:], KERNELS, STRIDES, strict=False):
            layers += [nn.Conv2d(before, after, kernel, stride), nn.ReLU()]
        self.cnn = nn.Sequential(*layers, nn.Flatten())
        self.linear = nn.Sequential(nn.Linear(flat, features), nn.ReLU())

    def forward(self, image: Tensor) -> Tensor:
        return self.linear(self.cnn(image))


class ValuesNetwork(nn.Module):
    """Q-values (b, a): one number an action, or the mean over its quantiles."""

    def __init__(self, features: NatureCnn, head: nn.Module, scale: float, actions: int) -> None:
        super().__init__()
        self.features, self.head, self.scale, self.actions = features, head, scale, actions

    def forward(self, observation: Tensor) -> Tensor:
        answered = self.head(self.features(observation / self.scale))
        return answered.unflatten(1, (-1, self.actions)).mean(dim=1)


class ActorCritic(nn.Module):
    """Logits, or means of continuous actions, (b, a) and values (b, 1); ``critic_features`` is None where both look through
    the same features."""

    def __init__(
        self, features: NatureCnn, critic_features: NatureCnn | None, actor: nn.Module, critic: nn.Module, scale: float
    ) -> None:
        super().__init__()
        self.features, self.critic_features = features, critic_features
        self.actor, self.critic, self.scale = actor, critic, scale

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        image = observation / self.scale
        features = self.features(image)
        return self.actor(features), self.critic(self.critic_features(image) if self.critic_features else features)


def load_sb3(path: Path, interface: Interface, *, device: torch.device | str = "cpu") -> ModuleAgent:
    """The agent in a zip.

    Args:
        path: the zip.
        interface: of the environment it was trained on.
        device: where to compute.

    Raises:
        WeightsError: the zip is damaged, or its policy is none of those that are known here.
        MismatchError: the environment has another number of actions, or shows something else.
    """
    archive = read_archive(path)
    try:
        actions = _action_count(archive, interface)
        sees = tuple(int(size) for size in _in_words(archive, "observation_space", "_shape"))
    except (TypeError, ValueError) as error:
        raise _unknown(archive, f"whose spaces are not as usual: {error}") from error
    check_actions(path, actions, interface)
    with unfilled():
        network, scores_are = _network(archive, interface)
    if (statistics := _scaling(archive, path, sees)) is not None:
        network = Normalized(network, statistics)
    return fitted(network, path, interface, sees, scores_are, device)


def statistics_of(path: Path) -> Path | None:
    """The file of the statistics that the agent in a zip saw its observations scaled by; None where it saw them as they are.

    Raises:
        WeightsError: the zip cannot be read, or what lies beside it does not fit it.
    """
    archive = read_archive(path)
    sees = tuple(int(size) for size in _in_words(archive, "observation_space", "_shape"))
    return None if _scaling(archive, path, sees) is None else statistics_beside(path)


def _scaling(archive: Archive, path: Path, sees: tuple[int, ...]) -> Statistics | None:
    """The statistics that the agent saw its observations scaled by; None where it saw them as they are.

    Raises:
        WeightsError: it saw pictures in another range than 0 to 255, and not through ``VecNormalize``; or what lies beside
            the zip does not fit it.
    """
    low, high = _range(archive)
    beside = statistics_beside(path)
    statistics = None if beside is None else read_statistics(beside)
    if (low, high) == (0.0, 255.0):
        if statistics is not None:
            raise WeightsError(
                f"{beside} says that observations were scaled, and the agent in {path} saw them from 0 to 255",
                expected="a zip that says the same, as today's stable-baselines3 writes it, or no such file beside it",
                todo="move that file away if it is not of this agent; otherwise " + WAY_OUT,
            )
        return None
    if statistics is None:
        if low == -high:
            raise WeightsError(
                f"the agent in {path} was trained on observations from {low:g} to {high:g}, as VecNormalize shows them, "
                "and the statistics that it scales them by are not beside it",
                expected=f"{' or '.join(names_beside(path))} in the same folder",
                todo="save them there: environment.save('vecnormalize.pkl')",
            )
        raise _unknown(archive, f"that was trained on observations from {low:g} to {high:g}, not 0 to 255")
    if (low, high) != (-statistics.clip, statistics.clip) or statistics.mean.shape != sees:
        raise WeightsError(
            f"{beside} shows observations of shape {statistics.mean.shape} from {-statistics.clip:g} to "
            f"{statistics.clip:g}, and the agent in {path} saw {sees} from {low:g} to {high:g}",
            expected="statistics of the stacks that it saw, channels first: of VecNormalize put around VecTransposeImage",
            todo="name the file that was saved with this agent vecnormalize.pkl",
        )
    return statistics


def _range(archive: Archive) -> tuple[float, float]:
    """The least and the largest number in an observation."""
    if str(_in_words(archive, "observation_space", "dtype")).endswith("uint8"):
        return 0.0, 255.0
    low, high = (_first(_in_words(archive, "observation_space", name)) for name in ("low", "high"))
    return low, high


def _first(words: object) -> float:
    """The first number of an array in numpy's words."""
    found = NUMBER.search(str(words))
    return float(found.group()) if found else math.nan


def _action_count(archive: Archive, interface: Interface) -> int:
    """How many actions there are, or dimensions of continuous ones, which then must be those of the environment."""
    space = archive.settings.get("action_space")
    if isinstance(space, Mapping) and ("n" in space) != (interface.action_bounds is None) and {"n", "low"} & space.keys():
        kinds = ("discrete", "continuous") if "n" in space else ("continuous", "discrete")
        raise MismatchError(
            f"the actions of the agent in {archive.source} are {kinds[0]}",
            expected=f"{kinds[1]} ones, as those of {interface.environment} here",
            todo="describe the environment as it was made for the training, such as continuous = false under [make]",
        )
    if interface.action_bounds is None:
        return int(_in_words(archive, "action_space", "n"))
    low, high = (_numbers(_in_words(archive, "action_space", name)) for name in ("low", "high"))
    told = np.array([low, high]).T
    if told.shape != (len(interface.action_bounds), 2) or not np.allclose(told, interface.action_bounds, rtol=1e-5, atol=0):
        raise MismatchError(
            f"the actions of the agent in {archive.source} go from {low} to {high}",
            expected=f"{interface.environment} takes them between {interface.action_bounds}",
            todo="name the environment the agent was trained on",
        )
    return len(low)


def _numbers(words: str) -> list[float]:
    """Those of an array in numpy's words, such as ``[-1.  0.  0.]``."""
    return [float(word) for word in str(words).strip("[]").split()]


def _network(archive: Archive, interface: Interface) -> tuple[nn.Module, ScoresAre]:
    """The network with its weights, and what its scores are."""
    tops = {name.split(".")[0] for name in archive.weights}
    if recurrent := sorted(top for top in tops if top.startswith("lstm_")):
        raise WeightsError(
            f"the policy in {archive.source} is recurrent ({listed(recurrent)})",
            expected="a policy whose answer depends on the observation alone: its memory would be a part of the state, "
            "which a state model of images does not hold",
            todo="train with frame stacking instead of a recurrent policy",
        )
    extractor = str(archive.policy_setting("features_extractor_class", EXTRACTOR))
    if EXTRACTOR not in extractor:
        raise _unknown(archive, f"whose features are made by {extractor}")
    for top in ("q_net", "quantile_net"):
        if top in tops:
            _nothing_else(archive, (f"{top}.features_extractor.", f"{top}.{top}.", f"{top}_target."))
            scale = _scale(archive)
            features = _features(archive, f"{top}.features_extractor.")
            head = _layers(archive, f"{top}.{top}.", nn.ReLU, ends=True)
            return ValuesNetwork(features, head, scale, len(interface.action_names)), "q-values"
    if {"action_net", "value_net"} <= tops:
        extractors = tuple(f"{which}features_extractor." for which in ("", "pi_", "vf_"))
        heads = ("mlp_extractor.policy_net.", "mlp_extractor.value_net.", "action_net.", "value_net.")
        if interface.action_bounds is None:
            _nothing_else(archive, extractors + heads)
            return _actor_critic(archive), "log-probabilities"
        _nothing_else(archive, (*extractors, *heads, "log_std"))  # the spread, which is not used: it acts on the means
        if archive.policy_setting("squash_output", False):
            raise _unknown(archive, "that squashes its actions")
        return _actor_critic(archive), "means"
    raise _unknown(archive, f"that is not known here; its tensors are {listed(archive.weights)}")


def _unknown(archive: Archive, which: str) -> WeightsError:
    return WeightsError(
        f"{archive.source} holds a policy {which}", expected="a CnnPolicy of DQN, QR-DQN, A2C or PPO", todo=WAY_OUT
    )


def _nothing_else(archive: Archive, known: tuple[str, ...]) -> None:
    """Refuses tensors whose part in the network is not known: without them it would answer something else."""
    if left := [name for name in archive.weights if not name.startswith(known)]:
        raise _unknown(archive, f"with layers that are not known here: {listed(left)}")


def _actor_critic(archive: Archive) -> ActorCritic:
    apart = "pi_features_extractor" in {name.split(".")[0] for name in archive.weights}
    names = ("pi_features_extractor.", "vf_features_extractor.") if apart else ("features_extractor.", "features_extractor.")
    mine, theirs = (archive.part(name) for name in names)
    shared = mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
    towers = []
    for name in ("policy", "value"):
        hidden = _layers(archive, f"mlp_extractor.{name}_net.", nn.Tanh, ends=False)
        towers.append(nn.Sequential(*hidden, _linear(archive, {"policy": "action_net", "value": "value_net"}[name])))
    critic_features = None if shared else _features(archive, names[1])
    return ActorCritic(_features(archive, names[0]), critic_features, towers[0], towers[1], _scale(archive))


def _features(archive: Archive, prefix: str) -> NatureCnn:
    weights = archive.part(prefix)
    convolutions = [weights.get(f"cnn.{2 * i}.weight") for i in range(3)]
    last = weights.get("linear.0.weight")
    if last is None or any(
        w is None or tuple(w.shape[2:]) != (kernel, kernel) for w, kernel in zip(convolutions, KERNELS, strict=True)
    ):
        raise WeightsError(
            f"the features in {archive.source} are not those of NatureCNN: {listed(weights)}",
            expected="the features extractor of a CnnPolicy as stable-baselines3 makes it",
            todo=WAY_OUT,
        )
    known = [w for w in convolutions if w is not None]
    widths = (known[0].shape[1], *(w.shape[0] for w in known))
    features = NatureCnn((widths[0], widths[1], widths[2], widths[3]), last.shape[1], last.shape[0])
    fill(features, weights, archive.source)
    return features


def _layers(archive: Archive, prefix: str, default: type[nn.Module], *, ends: bool) -> nn.Sequential:
    """The layers whose tensors are named ``prefix`` and a number, with activations behind all, or all but the last."""
    weights = archive.part(prefix)
    count = len([name for name in weights if name.endswith(".weight")])
    activation = _activation(archive, default)
    layers: list[nn.Module] = []
    for i in range(count):
        layers += [_linear(archive, f"{prefix}{2 * i}"), activation()]
    return nn.Sequential(*(layers[:-1] if ends else layers))


def _linear(archive: Archive, name: str) -> nn.Linear:
    weights = archive.part(f"{name}.")
    weight = weights.get("weight")
    if weight is None or weight.dim() != 2:
        raise _unknown(archive, f"without a layer {name}; its tensors are {listed(archive.weights)}")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in weights)
    fill(layer, weights, archive.source)
    return layer


def _activation(archive: Archive, default: type[nn.Module]) -> Callable[[], nn.Module]:
    named = archive.policy_setting("activation_fn", None)
    if named is None:
        return default
    name = str(named).removesuffix("'>").split(".")[-1]
    for known in ACTIVATIONS:
        if known.__name__ == name:
            return known
    raise WeightsError(
        f"the policy in {archive.source} has the activation {named}",
        expected=f"one of {', '.join(known.__name__ for known in ACTIVATIONS)}",
        todo=WAY_OUT,
    )


def _scale(archive: Archive) -> float:
    """What observations are divided by: 255, unless they are no bytes or ``normalize_images`` is off."""
    images = str(_in_words(archive, "observation_space", "dtype")).endswith("uint8")
    return 255.0 if images and archive.policy_setting("normalize_images", True) else 1.0


def _in_words(archive: Archive, what: str, name: str) -> Any:
    told = archive.settings.get(what)
    if not isinstance(told, Mapping) or name not in told:
        raise WeightsError(
            f"{archive.source} does not tell {name} of its {what}: {told if told is None else listed(told)}",
            expected="an agent that sees images, with the same kind of actions as its environment",
            todo=WAY_OUT,
        )
    return told[name]
