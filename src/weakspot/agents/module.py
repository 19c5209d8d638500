"""An ``nn.Module`` as an agent, and the checks of an agent's output."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from weakspot.agents.base import Agent, AgentOutput, AgentSpec
from weakspot.agents.listing import join_names
from weakspot.agents.returned import scores_and_value, unmasked
from weakspot.errors import MismatchError, OutputError, WeakspotError
from weakspot.types import Observation


@dataclass(frozen=True)
class ModuleAgent:
    """A network with fixed weights as an :class:`~weakspot.agents.base.Agent`.

    Attributes:
        module: maps observations (b, c, h, w), float32 in 0 to 255, to scores (b, a), or to a pair of scores and the
            critic's values, (b,) or (b, 1).  It is set to evaluation mode, its parameters are frozen, and it is moved to
            ``device``.
        spec: see :class:`~weakspot.agents.base.AgentSpec`.  If ``scores_are`` is ``log-probabilities``, the module may
            return logits: a log-softmax is applied to its scores (which leaves log-probabilities unchanged).  Scores of
            minus infinity are those of forbidden actions, see :func:`~weakspot.agents.returned.unmasked`.
        device: where the module computes; observations are moved there.
    """

    module: nn.Module
    spec: AgentSpec
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False).to(self.device)

    def __call__(self, observation: Observation) -> AgentOutput:
        """Maps observations (b, c, h, w) in 0 to 255 to the output, differentiably.

        Raises:
            MismatchError: the observations have another shape than the spec says, or the module returns scores for another
                number of actions.
            OutputError: the module returns something other than scores, or scores and values.
        """
        observation = checked_observation(observation, self.spec).to(self.device)
        return output_of(self.module(observation), self.spec, len(observation))


def checked_observation(observation: Observation, spec: AgentSpec) -> Observation:
    """Observations as floating point numbers.

    Raises:
        MismatchError: they have another shape than the spec says.
    """
    if observation.dim() != 4 or tuple(observation.shape[1:]) != spec.observation_shape:
        raise MismatchError(
            f"agent {spec.name!r} received observations of shape {tuple(observation.shape)}",
            expected=f"(b, {', '.join(map(str, spec.observation_shape))})",
            todo=f"use the environment it was trained on, {spec.environment}",
        )
    return observation if observation.is_floating_point() else observation.float()


def output_of(result: object, spec: AgentSpec, batch: int) -> AgentOutput:
    """What a network returned for a batch of observations, as the output of its agent; see :class:`ModuleAgent`."""
    scores, value = scores_and_value(result, spec.name, len(spec.action_names))
    if value is not None and value.dim() == 2 and value.shape[1] == 1:
        value = value[:, 0]
    _check_shapes(AgentOutput(scores, value), spec, batch)
    scores, value = _at_least_float32(scores), None if value is None else _at_least_float32(value)
    if spec.scores_are == "log-probabilities":
        scores = scores.log_softmax(dim=1)
    return AgentOutput(unmasked(scores, spec.scores_are), value)


def check_output(output: AgentOutput, spec: AgentSpec) -> AgentOutput:
    """Returns the output if it is valid: finite scores (b, a) for the spec's actions, and finite values (b,) or None.

    Raises:
        MismatchError: wrong number of actions.
        OutputError: wrong shapes or data types, or numbers that are not finite.
    """
    _check_shapes(output, spec, len(output.scores))
    for name, numbers in (("scores", output.scores), ("values", output.value)):
        if numbers is not None and not torch.isfinite(numbers).all():
            raise OutputError(
                f"the {name} of agent {spec.name!r} contain {numbers[~torch.isfinite(numbers)][0].item()}",
                expected="finite numbers",
                todo="check the agent's weights and the range of the observations it was trained on (0-255 or 0-1)",
            )
    return output


def check_agent(agent: Agent) -> None:
    """Runs the agent on two random observations and checks its output, before any long computation.

    Raises:
        MismatchError: the network cannot take the observation, or has another number of actions than the environment.
        OutputError: the output is invalid (see :func:`check_output`), differs between two calls, or does not depend on the
            observation differentiably.
    """
    shape, name = agent.spec.observation_shape, agent.spec.name
    generator = torch.Generator().manual_seed(0)
    observation = torch.randint(256, (2, *shape), generator=generator).float().to(agent.device).requires_grad_()
    with torch.enable_grad():
        kept = _kept_tensors(agent.module)
        try:
            first, second = agent(observation), agent(observation)
        except WeakspotError:
            raise
        except Exception as error:
            raise MismatchError(
                f"agent {name!r} cannot take an observation of shape {(2, *shape)}: {error}",
                expected="a network for the observations of its environment, in batches of any size",
                todo=f"check that it was trained on {agent.spec.environment} with the same preprocessing; if it was "
                "exported, export it with a dynamic batch size",
            ) from error
    _check_type(first, name)
    check_output(first, agent.spec)
    _check_deterministic(first.scores.detach(), second.scores.detach(), name, _changed(kept, agent.module))
    if first.scores.shape[0] != 2:
        raise OutputError(
            f"agent {name!r} returned scores for {first.scores.shape[0]} states when given 2",
            expected="one row of scores per observation",
            todo="let the network treat each observation of a batch by itself",
        )
    if not first.scores.requires_grad:
        raise OutputError(
            f"the scores of agent {name!r} do not depend on the observation differentiably",
            expected="scores computed from the observation by differentiable operations",
            todo="remove torch.no_grad, .detach(), .numpy() and argmax from the network's forward",
        )


def _check_type(output: object, name: str) -> None:
    """Agents of users may return anything."""
    if not isinstance(output, AgentOutput):
        raise OutputError(
            f"agent {name!r} returned a {type(output).__name__}",
            expected="an AgentOutput",
            todo="return weakspot.agents.base.AgentOutput(scores, value)",
        )


def _check_deterministic(first: Tensor, second: Tensor, name: str, changed: list[str]) -> None:
    if torch.allclose(first, second, rtol=1e-3, atol=1e-4 * float(first.abs().max())):
        return
    if changed:
        raise OutputError(
            f"agent {name!r} returned different scores for the same observation, and {join_names(changed)} of its network "
            "changed: it keeps a hidden state between calls",
            expected="a network that takes its hidden state and returns the next one",
            todo="write forward(observation, hidden), which returns (scores, hidden) or (scores, value, hidden), and a "
            "method initial_hidden(batch)",
        )
    raise OutputError(
        f"agent {name!r} returned different scores for the same observation",
        expected="an agent with fixed weights and a deterministic network",
        todo="put the network into evaluation mode with .eval(), which turns off dropout and fixes batch normalisation",
    )


def _kept_tensors(module: object) -> dict[str, Any]:
    """Copies of all tensors, and tuples of tensors, that a network keeps besides its parameters, by name."""
    kept: dict[str, Any] = {}
    network: Any = module if isinstance(module, nn.Module) else nn.Module()  # agents of users may have anything here
    for prefix, part in network.named_modules():
        entries: dict[str, Any] = {**dict(part.named_buffers(recurse=False)), **vars(part)}
        tensors = {name: _copied(value) for name, value in entries.items()}
        kept |= {f"{prefix}.{name}".lstrip("."): copied for name, copied in tensors.items() if copied}
    return kept


def _copied(value: object) -> list[Tensor]:
    parts = cast(Sequence[object], value) if isinstance(value, list | tuple) else [value]
    return [part.detach().clone() for part in parts if isinstance(part, Tensor)]


def _changed(before: dict[str, Any], module: object) -> list[str]:
    """Names of the tensors of a network that are not what they were."""
    after = _kept_tensors(module)
    return [
        name
        for name in before.keys() | after.keys()
        if len(before.get(name, [])) != len(after.get(name, []))
        or not all(torch.equal(a, b) for a, b in zip(before[name], after[name], strict=True))
    ]


def fingerprint(module: nn.Module) -> str:
    """The SHA-256 over the names, data types, shapes and bytes of all parameters and buffers, sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        content = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {content.dtype} {tuple(content.shape)}\n".encode())
        digest.update(content.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _at_least_float32(numbers: Tensor) -> Tensor:
    """Converts narrower types to float32: numpy has no bfloat16, and a softmax needs the precision."""
    return numbers.float() if numbers.element_size() < 4 else numbers


def _check_shapes(output: AgentOutput, spec: AgentSpec, batch: int) -> None:
    scores, value = output.scores, output.value
    actions = len(spec.action_names)
    if scores.dim() != 2 or not scores.is_floating_point() or scores.shape[0] != batch:
        raise OutputError(
            f"the scores of agent {spec.name!r} have shape {tuple(scores.shape)} and type {scores.dtype}",
            expected=f"({batch}, {actions}) floating point numbers, one row per observation, one column per action",
            todo="return the scores before any argmax or mean",
        )
    if scores.shape[1] != actions:
        raise MismatchError(
            f"agent {spec.name!r} returns scores for {scores.shape[1]} actions",
            expected=f"{actions} for {spec.environment}: {', '.join(spec.action_names)}",
            todo="give the environment that the agent was trained on",
        )
    if value is not None and value.shape != scores.shape[:1]:
        raise OutputError(
            f"the values of agent {spec.name!r} have shape {tuple(value.shape)}",
            expected=f"({batch},), one number per observation",
            todo="return (scores, value) with one value per observation, or the scores alone",
        )
