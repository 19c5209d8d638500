"""Agents in zip files of stable-baselines3 and sb3-contrib: DQN, QR-DQN, A2C, PPO and MaskablePPO with a ``CnnPolicy``, or
with a ``MultiInputPolicy`` for dicts with one image, and RecurrentPPO with a ``CnnLstmPolicy``.

No code in a zip is run.  The network is rebuilt from the settings and the tensors: the convolutions of Mnih et al. 2015, the
hidden layers with the sizes of their tensors, and the heads; behind the normalisation of ``VecNormalize``, if there was one.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from weakspot.agents.base import Agent, ScoresAre
from weakspot.agents.build import USE_FACTORY, NetworkAgent, agent_from_file, check_action_count, resolve_interface
from weakspot.agents.combined import CombinedPolicy
from weakspot.agents.entries import MaskedPolicy, check_layout
from weakspot.agents.formats.normalized import Normalized, Statistics, read_statistics
from weakspot.agents.formats.sb3_archive import Archive, numbers, read_archive
from weakspot.agents.formats.sb3_files import statistics_names, statistics_path
from weakspot.agents.formats.suffixes import ZIP
from weakspot.agents.listing import join_names
from weakspot.agents.networks.nature import KERNELS, ActorCritic, CombinedFeatures, Features, NatureCnn, QNetwork
from weakspot.agents.networks.recurrent import RecurrentActorCritic, memory_with
from weakspot.agents.tensors.weights import load_into, preserve_random_state
from weakspot.errors import MaskWarning, MismatchError, WeightsError
from weakspot.interface import MASK, Interface
from weakspot.system.provenance import digest

ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.ReLU, nn.Tanh, nn.ELU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.SELU)
"""The supported values of a policy's ``activation_fn``."""
ACTOR_MEMORY, CRITIC_MEMORY = "lstm_actor", "lstm_critic"
"""Names of the LSTMs of RecurrentPPO."""
EXTRACTOR = "stable_baselines3.common.torch_layers.NatureCNN"
COMBINED = "stable_baselines3.common.torch_layers.CombinedExtractor"


class SB3Format:
    """A zip of stable-baselines3; the environment may be part of its name or of its folder's name."""

    name = "sb3"

    def recognises(self, reference: str, trust: bool) -> bool:
        """Whether it is a zip."""
        path = Path(reference).expanduser()
        return path.suffix.lower() == ZIP and path.is_file()

    def load(self, reference: str, *, environment: str | Interface | None, device: torch.device | str, trust: bool) -> Agent:
        """Loads the network; runs no code in the file.

        Raises:
            WeightsError, MismatchError: see :func:`load_sb3`.
        """
        path = Path(reference).expanduser()
        return load_sb3(path, resolve_interface(path, environment), device=device)


FORMAT = SB3Format()


def load_sb3(path: Path, interface: Interface, *, device: torch.device | str = "cpu") -> NetworkAgent:
    """Returns the agent in a zip.

    Args:
        path: the zip.
        interface: of the environment it was trained on.
        device: where to compute.

    Raises:
        WeightsError: the zip is damaged, or its policy is not supported.
        MismatchError: the environment has other actions or observations.
    """
    archive = read_archive(path)
    try:
        actions = _action_count(archive, interface)
        observation_shape = archive.observation_shape()
    except (TypeError, ValueError) as error:
        raise _unsupported(archive, f"with unusual spaces: {error}") from error
    check_action_count(path, actions, interface)
    with preserve_random_state():
        network, scores_are = _network(archive, interface)
    statistics = _statistics(archive, path, observation_shape)
    if statistics is not None:
        network = Normalized(network, statistics)
    if "Maskable" in str(archive.settings.get("policy_class")):
        if MASK in dict(interface.entries or ()):
            network = MaskedPolicy(network)
        else:
            warnings.warn(
                MaskWarning(
                    f"the agent in {path} was trained with action masks; {interface.environment} has no method "
                    "action_masks() here, so it may take every action"
                ),
                stacklevel=2,
            )
    agent = agent_from_file(network, path, interface, observation_shape, scores_are, device)
    # the same weights are another agent with another activation or scale
    built = digest(repr(network), *(str(vars(part)["scale"]) for part in network.modules() if "scale" in vars(part)))
    return replace(agent, spec=replace(agent.spec, fingerprint=f"{agent.spec.fingerprint} {built}"))


def statistics_of(path: Path) -> Path | None:
    """The file of the statistics with which the observations of a zip's agent were normalised; None if they were not.

    Raises:
        WeightsError: the zip cannot be read, or the statistics next to it do not fit it.
    """
    archive = read_archive(path)
    return None if _statistics(archive, path, archive.observation_shape()) is None else statistics_path(path)


def _statistics(archive: Archive, path: Path, observation_shape: tuple[int, ...]) -> Statistics | None:
    """The statistics with which the agent's observations were normalised; None if they were not.

    Raises:
        WeightsError: observations were in another range than 0 to 255, but not normalised by ``VecNormalize``; or the
            statistics next to the zip are missing or do not fit it.
    """
    low, high = archive.observation_range()
    file = statistics_path(path)
    if file is not None and archive.entries():
        raise _unsupported(archive, f"for dicts, with the statistics of a normalisation next to it ({file.name})")
    statistics = None if file is None else read_statistics(file)
    if (low, high) == (0.0, 255.0):
        if statistics is not None:
            raise WeightsError(
                f"{file} says that observations were normalised, but the agent in {path} saw them from 0 to 255",
                expected="a zip that says the same, as current versions of stable-baselines3 write it, or no such file "
                "next to it",
                todo="move the file away if it belongs to another agent; otherwise " + USE_FACTORY,
            )
        return None
    if statistics is None:
        if low == -high:
            raise WeightsError(
                f"the agent in {path} was trained on observations from {low:g} to {high:g}, as VecNormalize gives them, but "
                "the statistics of the normalisation are not next to it",
                expected=f"{' or '.join(statistics_names(path))} in the same folder",
                todo="save them there: environment.save('vecnormalize.pkl')",
            )
        raise _unsupported(archive, f"that was trained on observations from {low:g} to {high:g}, not 0 to 255")
    if (low, high) != (-statistics.clip, statistics.clip) or statistics.mean.shape != observation_shape:
        raise WeightsError(
            f"{file} normalises observations of shape {statistics.mean.shape} to {-statistics.clip:g} to "
            f"{statistics.clip:g}, but the agent in {path} takes {observation_shape} from {low:g} to {high:g}",
            expected="statistics of the agent's own observations, channels first: of VecNormalize around VecTransposeImage",
            todo="rename the file that was saved with this agent to vecnormalize.pkl",
        )
    return statistics


def _action_count(archive: Archive, interface: Interface) -> int:
    """The number of discrete actions, or of dimensions of continuous ones, whose bounds must be those of the environment."""
    _check_action_kind(archive, interface)
    if interface.action_parts is not None:
        return _combinations(archive, interface.action_parts)
    if interface.action_bounds is None:
        return int(archive.space("action_space", "n"))
    low, high = (numbers(archive.space("action_space", name)) for name in ("low", "high"))
    bounds = np.array([low, high]).T
    expected_shape = (len(interface.action_bounds), 2)
    if bounds.shape != expected_shape or not np.allclose(bounds, interface.action_bounds, rtol=1e-5, atol=0):
        raise MismatchError(
            f"the actions of the agent in {archive.source} go from {low} to {high}",
            expected=f"the bounds of {interface.environment}: {interface.action_bounds}",
            todo="give the environment that the agent was trained on",
        )
    return len(low)


def _combinations(archive: Archive, parts: tuple[int, ...]) -> int:
    """The number of combined actions, whose parts must be those of the environment."""
    space = cast("Mapping[str, Any]", archive.settings.get("action_space") or {})
    if "nvec" in space:
        own = tuple(int(choices) for choices in numbers(space["nvec"]))
    else:
        own = (2,) * int(archive.space("action_space", "n"))  # of MultiBinary
    if own != parts:
        raise MismatchError(
            f"the actions of the agent in {archive.source} have parts with {', '.join(map(str, own))} choices",
            expected=f"{', '.join(map(str, parts))} choices, as here",
            todo="give the environment that the agent was trained on",
        )
    return math.prod(parts)


def _check_action_kind(archive: Archive, interface: Interface) -> None:
    """Raises an error if the agent's actions are discrete and the environment's continuous, or the other way round."""
    space = archive.settings.get("action_space")
    if not isinstance(space, Mapping):
        return
    attributes = cast(Mapping[str, Any], space).keys()
    is_discrete = "n" in attributes
    if is_discrete != (interface.action_bounds is None) and {"n", "low"} & attributes:
        agent_kind, environment_kind = ("discrete", "continuous") if is_discrete else ("continuous", "discrete")
        raise MismatchError(
            f"the actions of the agent in {archive.source} are {agent_kind}",
            expected=f"{environment_kind} actions, as {interface.environment} has here",
            todo="describe the environment as it was made for the training, such as continuous = false under [make]",
        )


def _network(archive: Archive, interface: Interface) -> tuple[nn.Module, ScoresAre]:
    """The network with its weights, and what its scores are."""
    parts = archive.parts()
    extractor = str(archive.policy_setting("features_extractor_class", EXTRACTOR))
    if EXTRACTOR not in extractor and not (archive.image() and COMBINED in extractor):
        raise _unsupported(archive, f"with the features extractor {extractor}")
    for part in ("q_net", "quantile_net"):
        if part in parts:
            return _q_network(archive, part, interface), "q-values"
    if {"action_net", "value_net"} <= parts:
        return _policy_network(archive, interface)
    raise _unsupported(archive, f"of an unknown kind; its tensors are {join_names(archive.weights)}")


def _q_network(archive: Archive, part: str, interface: Interface) -> QNetwork:
    _check_no_others(archive, (f"{part}.features_extractor.", f"{part}.{part}.", f"{part}_target."))
    scale = _scale(archive)
    features = _features(archive, f"{part}.features_extractor.")
    head = _layers(archive, f"{part}.{part}.", nn.ReLU, activation_at_end=False)
    _check_width(archive, features, head, interface)
    return QNetwork(features, head, scale, len(interface.action_names))


def _policy_network(archive: Archive, interface: Interface) -> tuple[nn.Module, ScoresAre]:
    extractors = tuple(f"{prefix}features_extractor." for prefix in ("", "pi_", "vf_"))
    heads = ("mlp_extractor.policy_net.", "mlp_extractor.value_net.", "action_net.", "value_net.")
    is_recurrent = ACTOR_MEMORY in archive.parts()
    known = (*extractors, *heads, *((f"{ACTOR_MEMORY}.", f"{CRITIC_MEMORY}.", "critic.") if is_recurrent else ()))
    network = _recurrent_actor_critic if is_recurrent else _actor_critic
    if interface.action_bounds is None:
        _check_no_others(archive, known)
        made = network(archive, interface)
        if interface.action_parts is None:
            return made, "log-probabilities"
        if is_recurrent:
            raise _unsupported(archive, "with a hidden state and actions of several parts")
        return CombinedPolicy(made, interface.action_parts), "log-probabilities"
    _check_no_others(archive, (*known, "log_std"))  # log_std is not used: the agent acts on the means
    if archive.policy_setting("squash_output", False):
        raise _unsupported(archive, "that squashes its actions")
    return network(archive, interface), "means"


def _unsupported(archive: Archive, what: str) -> WeightsError:
    return WeightsError(
        f"{archive.source} holds a policy {what}",
        expected="a CnnPolicy, or a MultiInputPolicy with one image, of DQN, QR-DQN, A2C, PPO or MaskablePPO, or a "
        "CnnLstmPolicy of RecurrentPPO",
        todo=USE_FACTORY,
    )


def _check_no_others(archive: Archive, prefixes: tuple[str, ...]) -> None:
    """Raises an error if there are tensors with other prefixes: a network without them would compute something else."""
    if others := [name for name in archive.weights if not name.startswith(prefixes)]:
        raise _unsupported(archive, f"with unknown layers: {join_names(others)}")


def _actor_critic(archive: Archive, interface: Interface) -> ActorCritic:
    features, critic_features = _extractors(archive)
    actor, critic = _head(archive, "policy", "action_net"), _head(archive, "value", "value_net")
    _check_width(archive, features, actor, interface)
    return ActorCritic(features, critic_features, actor, critic, _scale(archive))


def _recurrent_actor_critic(archive: Archive, interface: Interface) -> RecurrentActorCritic:
    """The network of RecurrentPPO: the critic has an LSTM of its own, or a linear layer, or shares the actor's LSTM."""
    features, critic_features = _extractors(archive)
    if not isinstance(features, NatureCnn) or isinstance(critic_features, CombinedFeatures):
        raise _unsupported(archive, "with a hidden state and observations that are dicts")
    actor, critic = _head(archive, "policy", "action_net"), _head(archive, "value", "value_net")
    parts, source = archive.parts(), archive.source
    critic_memory: nn.Module | None = None
    if CRITIC_MEMORY in parts:
        critic_memory = memory_with(archive.part(f"{CRITIC_MEMORY}."), source)
    elif "critic" in parts:
        critic_memory = _linear(archive, "critic")
    memory = memory_with(archive.part(f"{ACTOR_MEMORY}."), source)
    return RecurrentActorCritic(features, critic_features, memory, critic_memory, actor, critic, _scale(archive))


def _check_width(archive: Archive, features: Features, head: nn.Module, interface: Interface) -> None:
    """Raises an error if the environment's entries are not those with which the agent was trained."""
    if isinstance(features, NatureCnn):
        return
    given = dict(check_layout(features, interface.entries, interface.environment, archive.source))
    first = next(module for module in head.modules() if isinstance(module, nn.Linear))
    taken, expected = first.in_features - features.images.features, sum(given[name] for name in features.other_entries)
    if taken != expected:
        sizes = ", ".join(f"{name} ({given[name]})" for name in features.other_entries)
        raise MismatchError(
            f"the agent in {archive.source} takes {taken} numbers beside the features of its image",
            expected=f"{expected}, those of the entries of {interface.environment}: {sizes}",
            todo="give the environment that the agent was trained on; if VecFrameStack stacked these entries, too, stack "
            "them in a wrapper of the environment",
        )


def _extractors(archive: Archive) -> tuple[Features, Features | None]:
    """The convolutions of the actor, and those of the critic; None if they are the same."""
    has_two_extractors = "pi_features_extractor" in archive.parts()
    actor_prefix = "pi_features_extractor." if has_two_extractors else "features_extractor."
    critic_prefix = "vf_features_extractor." if has_two_extractors else "features_extractor."
    actor_weights, critic_weights = archive.part(actor_prefix), archive.part(critic_prefix)
    are_same = actor_weights.keys() == critic_weights.keys() and all(
        torch.equal(actor_weights[name], critic_weights[name]) for name in actor_weights
    )
    return _features(archive, actor_prefix), None if are_same else _features(archive, critic_prefix)


def _head(archive: Archive, name: str, last: str) -> nn.Sequential:
    """The hidden layers of the actor or the critic, and the last layer."""
    hidden = _layers(archive, f"mlp_extractor.{name}_net.", nn.Tanh, activation_at_end=True)
    return nn.Sequential(*hidden, _linear(archive, last))


def _features(archive: Archive, prefix: str) -> Features:
    image = archive.image()
    if image is None:
        return _nature(archive, prefix)
    if "." in image:  # a name of a module cannot have dots
        raise _unsupported(archive, f"for an image with the name {image!r}")
    images, names = _nature(archive, f"{prefix}extractors.{image}."), tuple(archive.entries())
    return CombinedFeatures(images, names, image) if len(names) > 1 else images


def _nature(archive: Archive, prefix: str) -> NatureCnn:
    weights = archive.part(prefix)
    convolutions = [weights.get(f"cnn.{2 * i}.weight") for i in range(len(KERNELS))]
    last = weights.get("linear.0.weight")
    if last is None or any(
        w is None or tuple(w.shape[2:]) != (kernel, kernel) for w, kernel in zip(convolutions, KERNELS, strict=True)
    ):
        raise WeightsError(
            f"the features extractor in {archive.source} is not NatureCNN: {join_names(weights)}",
            expected="the features extractor of a CnnPolicy of stable-baselines3",
            todo=USE_FACTORY,
        )
    shapes = [w.shape for w in convolutions if w is not None]
    widths = (shapes[0][1], shapes[0][0], shapes[1][0], shapes[2][0])
    features = NatureCnn(widths, last.shape[1], last.shape[0])
    load_into(features, weights, archive.source)
    return features


def _layers(archive: Archive, prefix: str, default: type[nn.Module], *, activation_at_end: bool) -> nn.Sequential:
    """The linear layers whose tensors are named ``prefix`` and an even number, with activations in between."""
    weights = archive.part(prefix)
    count = len([name for name in weights if name.endswith(".weight")])
    activation = _activation(archive, default)
    layers: list[nn.Module] = []
    for i in range(count):
        layers += [_linear(archive, f"{prefix}{2 * i}"), activation()]
    return nn.Sequential(*(layers if activation_at_end else layers[:-1]))


def _linear(archive: Archive, name: str) -> nn.Linear:
    weights = archive.part(f"{name}.")
    weight = weights.get("weight")
    if weight is None or weight.dim() != 2:
        raise _unsupported(archive, f"without a layer {name}; its tensors are {join_names(archive.weights)}")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in weights)
    load_into(layer, weights, archive.source)
    return layer


def _activation(archive: Archive, default: type[nn.Module]) -> Callable[[], nn.Module]:
    setting = archive.policy_setting("activation_fn", None)
    if setting is None:
        return default
    name = str(setting).removesuffix("'>").split(".")[-1]
    for activation in ACTIVATIONS:
        if activation.__name__ == name:
            return activation
    raise WeightsError(
        f"the policy in {archive.source} has the activation {setting}",
        expected=f"one of {', '.join(activation.__name__ for activation in ACTIVATIONS)}",
        todo=USE_FACTORY,
    )


def _scale(archive: Archive) -> float:
    """What observations are divided by: 255 for bytes, unless ``normalize_images`` is off; otherwise 1."""
    return 255.0 if archive.has_byte_images() and archive.policy_setting("normalize_images", True) else 1.0
