"""One way to name an agent: :func:`load_agent`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from weakspot.agents import zoo
from weakspot.agents.base import Agent, AgentSpec
from weakspot.agents.fitting import WAY_OUT, interface_for, same_environment, wrap
from weakspot.agents.formats import card
from weakspot.agents.formats.actor_critic import earlier_names, is_actor_critic, load_actor_critic
from weakspot.agents.formats.cleanrl import load_cleanrl
from weakspot.agents.formats.rl_zoo import is_training, read_training
from weakspot.agents.formats.sb3 import load_sb3
from weakspot.agents.formats.trusted import EXPORTED, kind_of, load_trusted, sources
from weakspot.agents.module import ModuleAgent, check_agent
from weakspot.agents.tensors.pickled import read_pickled
from weakspot.agents.tensors.weights import listed, read_tensors, read_weights
from weakspot.errors import AgentError, MismatchError, WeightsError
from weakspot.interface import Interface
from weakspot.system.provenance import file_digest
from weakspot.system.user_code import function_in, importable, local_files, parse_reference

_SAVED_BY_TORCH = {".pt", ".pth", ".bin", ".ckpt", ".tar", ".ts", ".jit", ".torchscript"}

_PICKLED = {".pkl", ".pickle"}

KNOWN = (".safetensors", ".zip of stable-baselines3", ".cleanrl_model", *sorted(_SAVED_BY_TORCH))


def load_agent(
    reference: str,
    *,
    environment: str | Interface | None = None,
    device: torch.device | str = "cpu",
    trust: bool = False,
) -> Agent:
    """The agent that ``reference`` names, checked on two made-up observations.

    Args:
        reference: one of

            - the name of an agent that ships with the package, such as ``pong-double-dqn``;
            - the path of a ``.safetensors`` file: one that weakspot exported, or a plain state dict of the actor-critic
              network of the pytorch-a2c-ppo-acktr repositories; of that, the ``.pt`` as it is published will do as well
              (of a network that is pickled whole, only the tensors are read);
            - the path of a zip that a DQN, QR-DQN, A2C or PPO of stable-baselines3 or sb3-contrib saved, or the folder of a
              training with RL Zoo;
            - the path of a ``.cleanrl_model`` of CleanRL's dqn_atari, c51_atari or ppo_atari;
            - where ``trust`` is given, the path of a TorchScript file, of a ``.pt2`` that ``torch.export.save`` wrote, or of
              a file into which ``torch.save`` pickled a whole network, answering as the modules of the next point do;
            - ``path.py:factory``: your own Python.  ``factory`` is called without arguments and returns an agent, or an
              ``nn.Module`` that maps observations (b, c, h, w) in 0 to 255, (4, 84, 84) for Atari, to Q-values (b, a), or
              to a pair of action logits (b, a) and values (b,) or (b, 1); for continuous actions means take the place of
              both.  The code is run: name only files that you
              trust.
        environment: id of an Atari environment, such as ``PongNoFrameskip-v4``, or what any other environment shows its
            agents, where the reference does not tell it.  Where it does, the two must agree.
        device: where the agent computes.
        trust: run the code that the file holds, if it holds any.

    Raises:
        WeightsError: no such agent, or its weights are missing, truncated or another network's.
        MismatchError: the agent was made for another environment.
        OutputError: it answers something that is no answer.
        AgentError: the factory cannot be found or fails.
        UnknownGameError: ``environment`` is not known.
    """
    if found := parse_reference(reference):
        agent = _from_factory(*found, environment, device)
    elif trust and (content := code_in(path := Path(reference).expanduser())):
        agent = _from_code(path, content, environment, device)
    else:
        agent = _from_weights(reference, environment, device)
    wanted = environment.environment if isinstance(environment, Interface) else environment
    if wanted is not None and not same_environment(wanted, agent.spec.environment):
        raise MismatchError(
            f"the agent {reference} was trained on {agent.spec.environment}, not on {wanted}",
            expected=f"environment {agent.spec.environment}, or none given",
            todo="leave the environment out, or choose another agent",
        )
    check_agent(agent)
    return agent


def zip_of(reference: str) -> Path | None:
    """The zip of stable-baselines3 that a reference names, or that lies in the folder it names; None where it is neither."""
    path = Path(reference).expanduser()
    if is_training(path):
        return read_training(path).archive
    return path if path.suffix.lower() == ".zip" and path.is_file() else None


def code_in(path: Path) -> bytes | None:
    """The content of a file that holds a network as code; None of one that is not there, or holds no more than a state dict
    or the tensors of a network that is known here."""
    if not path.is_file() or path.suffix.lower() not in {*_SAVED_BY_TORCH, EXPORTED}:
        return None
    content = path.read_bytes()
    if kind_of(path, content) is not None:
        return content
    with suppress(WeightsError):
        read_tensors(content, str(path))
        return None
    with suppress(WeightsError):
        if is_actor_critic(earlier_names(read_pickled(content, str(path)))):
            return None
    return content


def _from_code(path: Path, content: bytes, environment: str | Interface | None, device: torch.device | str) -> Agent:
    with importable(path.parent):
        network = load_trusted(path, content, device)
    agent = wrap(network, interface_for(path, environment), name=path.stem, device=device)
    return replace(agent, spec=replace(agent.spec, fingerprint=" ".join([file_digest(path), *sources(network)])))


def _saved_by_torch(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, or of a network that was pickled whole."""
    content = path.read_bytes()
    try:
        return read_tensors(content, str(path))
    except WeightsError:
        return read_pickled(content, str(path))


def _from_weights(reference: str, environment: str | Interface | None, device: torch.device | str) -> Agent:
    path = Path(reference).expanduser()
    if is_training(path):
        training = read_training(path)
        return load_sb3(training.archive, interface_for(training.archive, environment, training.environment), device=device)
    suffix = path.suffix.lower()
    if suffix == ".cleanrl_model" and path.is_file():
        content = read_tensors(path.read_bytes(), str(path))
        told = content.get("args") or {}
        return load_cleanrl(path, content, interface_for(path, environment, told.get("env_id")), device=device)
    if suffix == ".zip" and path.is_file():
        return load_sb3(path, interface_for(path, environment), device=device)
    if suffix in _PICKLED:
        raise WeightsError(
            f"{reference} is a pickle or holds one; loading it could run any code, so it is not read",
            expected="a .safetensors file, or path.py:factory",
            todo="convert its state dict once with safetensors.torch.save_file(state_dict, 'agent.safetensors'), "
            "or write a factory that loads it: path.py:factory",
        )
    if suffix == EXPORTED and path.is_file():
        raise WeightsError(
            f"{reference} is an archive of torch.export, which is code; it is not run",
            expected="a file of weights",
            todo="if you trust whoever made it, say --trust",
        )
    if suffix == ".py":
        raise AgentError(
            f"{reference} does not say which function makes the agent",
            expected="path.py:factory",
            todo=f"write {reference}:NAME with the name of a function in it",
        )
    if not suffix and path.name == reference and not path.exists():
        path = zoo.path(reference)
    if not path.is_file():
        raise WeightsError(
            f"no agent at {path}" if not path.exists() else f"{path} is a folder, and not of a training with RL Zoo",
            expected=f"a file of weights ({', '.join(KNOWN)}), the folder of a training with RL Zoo, or path.py:factory",
            todo="check the path",
        )
    if suffix in _SAVED_BY_TORCH:
        weights, metadata = _saved_by_torch(path), {}
    else:
        weights, metadata = read_weights(path)
    if card.METADATA_KEY in metadata:
        return card.from_weights(path, weights, card.read_card(metadata, str(path)), device=device)
    weights = earlier_names(weights)
    if is_actor_critic(weights):
        return load_actor_critic(path, weights, interface_for(path, environment, metadata.get("env")), device=device)
    raise WeightsError(
        f"{path} holds no agent that is known here; its tensors are {listed(weights)}",
        expected="a file exported by weakspot (with a card in its metadata), or an actor-critic state dict "
        "(conv1, conv2, conv3, linear1, actor_linear, critic_linear)",
        todo=WAY_OUT
        + (", or say --trust if it holds a whole network and you trust its maker" if suffix in _SAVED_BY_TORCH else ""),
    )


def _from_factory(path: Path, factory: str, environment: str | Interface | None, device: torch.device | str) -> Agent:
    function = function_in(path, factory, AgentError, AgentError)
    try:
        with importable(path.parent):
            made = function()
    except AgentError:
        raise
    except Exception as error:
        raise AgentError(
            f"{path}:{factory} failed with {type(error).__name__}: {error}",
            expected="a function that returns an agent or an nn.Module when called without arguments",
            todo="run it by itself to see where it fails",
        ) from error
    code = [file_digest(file) for file in local_files(path)]
    if isinstance(made, ModuleAgent):
        return replace(made, device=torch.device(device), spec=_with_code(made.spec, code))
    if isinstance(getattr(made, "spec", None), AgentSpec) and callable(made):
        return _of_ones_own(made, f"{path}:{factory}", device)
    if not isinstance(made, nn.Module):
        raise AgentError(
            f"{path}:{factory} returned a {type(made).__name__}",
            expected="an nn.Module, or an agent (see weakspot.agents.base.Agent)",
            todo="return the network itself",
        )
    if environment is None:
        raise AgentError(
            f"{path}:{factory} returned a bare network, which does not tell its environment",
            expected="the environment it was trained on",
            todo="give the environment, such as PongNoFrameskip-v4, or return a weakspot.agents.module.ModuleAgent",
        )
    agent = wrap(made, interface_for(path, environment), name=f"{path.stem}:{factory}", device=device)
    return replace(agent, spec=_with_code(agent.spec, code))


def _with_code(spec: AgentSpec, code: list[str]) -> AgentSpec:
    """Its fingerprint is of the code, too: the same weights answer otherwise in another network."""
    return replace(spec, fingerprint=" ".join([spec.fingerprint, *code]))


def _of_ones_own(made: Any, where: str, device: torch.device | str) -> Agent:
    """An agent of the user's own making, if it is all that an agent must be."""
    if missing := [name for name in ("module", "device") if not hasattr(made, name)]:
        raise AgentError(
            f"{where} returned a {type(made).__name__} without {' and '.join(missing)}",
            expected="an agent (see weakspot.agents.base.Agent)",
            todo="give it what is missing, or return a weakspot.agents.module.ModuleAgent",
        )
    agent = cast(Agent, made)
    if agent.device.type != torch.device(device).type:
        raise AgentError(
            f"{where} returned an agent on {agent.device}",
            expected=f"one on {device}, which was asked for",
            todo="choose its device by --device, or let it compute there",
        )
    return agent
