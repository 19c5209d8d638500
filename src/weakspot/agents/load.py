"""Loads agents by name: :func:`load_agent`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from weakspot.agents.base import Agent
from weakspot.agents.build import NetworkAgent, same_environment
from weakspot.agents.formats.foreign import raise_if_foreign
from weakspot.agents.formats.registry import FORMATS, format_for, load_with, unexpected_errors
from weakspot.agents.formats.unrecognised import raise_unrecognised
from weakspot.agents.module import check_agent
from weakspot.errors import MismatchError
from weakspot.interface import Interface
from weakspot.system.provenance import file_digest
from weakspot.system.user_code import parse_reference


def load_agent(
    reference: str,
    *,
    environment: str | Interface | None = None,
    device: torch.device | str = "cpu",
    trust: bool = False,
) -> Agent:
    """Loads an agent and checks it on two random observations.

    Args:
        reference: one of

            - the name of an agent that ships with the package, such as ``pong-double-dqn``;
            - a ``.safetensors`` file: one that weakspot exported, or a plain state dict of the actor-critic network of the
              pytorch-a2c-ppo-acktr repositories.  The published ``.pt`` files of these work as well; from a network that was
              pickled whole, only the tensors are read;
            - a zip of DQN, QR-DQN, A2C or PPO of stable-baselines3 or sb3-contrib, or the folder of a training with RL Zoo;
            - a ``.cleanrl_model`` file of CleanRL's dqn_atari, c51_atari or ppo_atari;
            - an ``.onnx`` file, which returns Q-values, or logits and value; it is converted to torch (needs the extra
              ``onnx``);
            - with ``trust``: a TorchScript file, a ``.pt2`` file of ``torch.export.save``, or a file of ``torch.save`` with
              a whole network, which returns what the modules of the next point return;
            - ``path.py:factory``: your own Python function.  ``factory`` is called without arguments and returns an agent,
              or an ``nn.Module`` that maps observations (b, c, h, w) in 0 to 255, (4, 84, 84) for Atari, to Q-values (b, a),
              or to a pair of action logits (b, a) and values (b,) or (b, 1); for continuous actions, to means, or to alpha
              and beta of a Beta policy, instead of Q-values or logits.  The file is run: name only files that you trust;
            - any reference that the format of another package recognises (see :mod:`weakspot.agents.formats.registry`).
        environment: id of an Atari environment, such as ``PongNoFrameskip-v4``, or the interface of any other environment.
            Needed if the reference does not name the environment; if it does, both must agree.
        device: where the agent computes.
        trust: run code in the file, if there is any.

    Raises:
        WeightsError: there is no such agent, or its weights are missing, truncated or of another network.
        MismatchError: the agent was trained on another environment.
        OutputError: the agent does not return valid scores.
        AgentError: the factory does not exist or fails.
        UnknownGameError: ``environment`` is unknown.
        ExtensionError: an agent format of another package does not work.
    """
    agent_format = format_for(reference, trust)
    is_of_other_package = agent_format is not None and agent_format.name not in FORMATS.builtin  # which may read any file
    if not parse_reference(reference) and not is_of_other_package:
        raise_if_foreign(Path(reference).expanduser())
    if agent_format is None:
        with unexpected_errors(reference):
            raise_unrecognised(reference)
    agent = load_with(agent_format, reference, environment, device, trust)
    if is_of_other_package:
        agent = _with_file(agent, Path(reference).expanduser())
    _check_environment(reference, agent, environment)
    check_agent(agent)
    return agent


def _with_file(agent: Agent, path: Path) -> Agent:
    """An agent that the format of another package made, with the digest of its file in its fingerprint: the file may say
    more than the weights do.  Agents of classes of their own have their own fingerprints."""
    if not isinstance(agent, NetworkAgent) or not path.is_file():
        return agent
    return replace(agent, spec=replace(agent.spec, fingerprint=f"{agent.spec.fingerprint} {file_digest(path)}"))


def _check_environment(reference: str, agent: Agent, environment: str | Interface | None) -> None:
    given = environment.environment if isinstance(environment, Interface) else environment
    if given is not None and not same_environment(given, agent.spec.environment):
        raise MismatchError(
            f"the agent {reference} was trained on {agent.spec.environment}, not on {given}",
            expected=f"environment {agent.spec.environment}, or no environment",
            todo="leave the environment out, or choose another agent",
        )
