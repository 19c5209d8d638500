"""Any ``nn.Module`` as an agent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from weakspot.agents.base import Agent, AgentOutput, AgentSpec
from weakspot.errors import MismatchError, OutputError, WeakspotError
from weakspot.types import Observation


@dataclass(frozen=True)
class ModuleAgent:
    """A network with fixed weights as an :class:`~weakspot.agents.base.Agent`.

    Attributes:
        module: maps observations (b, c, h, w), float32 in 0 to 255, to scores (b, a), or to a pair of scores and the
            critic's value, (b,) or (b, 1).  It is put into evaluation mode, its parameters are frozen, and it is moved
            to ``device``.
        spec: what is known about it.  Where ``scores_are`` is ``log-probabilities``, the module may answer logits: a
            log-softmax is taken here (which leaves log-probabilities as they are).
        device: where it computes; observations are brought there.
    """

    module: nn.Module
    spec: AgentSpec
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False).to(self.device)

    def __call__(self, observation: Observation) -> AgentOutput:
        """Answers a batch of observations (b, c, h, w) in 0 to 255, differentiable in them.

        Raises:
            MismatchError: the observation has another shape than the agent was made for, or the module answers
                another number of actions than the environment has.
            OutputError: what the module answers is no answer.
        """
        shape = self.spec.observation_shape
        if observation.dim() != 4 or tuple(observation.shape[1:]) != shape:
            raise MismatchError(
                f"agent {self.spec.name!r} was shown observations of shape {tuple(observation.shape)}",
                expected=f"(b, {', '.join(map(str, shape))})",
                todo=f"use the environment it was trained on, {self.spec.environment}",
            )
        if not observation.is_floating_point():
            observation = observation.float()
        answer = self.module(observation.to(self.device))
        scores, value = _parts(answer, self.spec.name)
        if value is not None and value.dim() == 2 and value.shape[1] == 1:
            value = value[:, 0]
        _check_shapes(AgentOutput(scores, value), self.spec, len(observation))
        scores, value = _wide(scores), None if value is None else _wide(value)
        if self.spec.scores_are == "log-probabilities":
            scores = scores.log_softmax(dim=1)
        return AgentOutput(scores, value)


def check_answer(output: AgentOutput, spec: AgentSpec) -> AgentOutput:
    """Returns the answer if it is one: (b, a) finite scores for the spec's actions and (b,) finite values or None.

    Raises:
        MismatchError: another number of actions.
        OutputError: wrong shapes or types, or numbers that are not finite.
    """
    _check_shapes(output, spec, len(output.scores))
    for what, numbers in (("scores", output.scores), ("values", output.value)):
        if numbers is not None and not torch.isfinite(numbers).all():
            raise OutputError(
                f"the {what} of agent {spec.name!r} contain {numbers[~torch.isfinite(numbers)][0].item()}",
                expected="finite numbers",
                todo="check the agent's weights and the range of the observations it was trained on (0-255 or 0-1)",
            )
    return output


def check_agent(agent: Agent) -> None:
    """Shows the agent two made-up observations and checks its answers, before an hour is spent on it.

    Raises:
        MismatchError, OutputError: see :func:`check_answer`; MismatchError also where the network cannot take the
            observation at all; OutputError where the answer does not depend on the observation differentiably.
    """
    shape = agent.spec.observation_shape
    generator = torch.Generator().manual_seed(0)
    observation = torch.randint(256, (2, *shape), generator=generator).float().to(agent.device).requires_grad_()
    with torch.enable_grad():
        try:
            output, again = agent(observation), agent(observation)
        except WeakspotError:
            raise
        except Exception as error:
            raise MismatchError(
                f"agent {agent.spec.name!r} cannot take an observation of shape {(2, *shape)}: {error}",
                expected="a network for the observations of its environment, in batches of any size",
                todo=f"check that it was trained on {agent.spec.environment} with the same preprocessing; if it was "
                "exported, export it with a batch of any size",
            ) from error
    if not isinstance(output, AgentOutput):
        raise OutputError(
            f"agent {agent.spec.name!r} answered a {type(output).__name__}",
            expected="an AgentOutput",
            todo="return weakspot.agents.base.AgentOutput(scores, value)",
        )
    check_answer(output, agent.spec)
    once, twice = output.scores.detach(), again.scores.detach()
    if not torch.allclose(once, twice, rtol=1e-3, atol=1e-4 * float(once.abs().max())):
        raise OutputError(
            f"agent {agent.spec.name!r} answers the same observation otherwise the second time",
            expected="an agent with fixed weights and without chance in its network",
            todo="put the network into evaluation mode, by .eval(), which turns off dropout and fixes batch normalisation",
        )
    if output.scores.shape[0] != 2:
        raise OutputError(f"agent {agent.spec.name!r} answered {output.scores.shape[0]} states when shown 2")
    if not output.scores.requires_grad:
        raise OutputError(
            f"the scores of agent {agent.spec.name!r} do not depend on the observation differentiably",
            expected="scores computed from the observation by differentiable operations",
            todo="remove torch.no_grad, .detach(), .numpy() and argmax from the network's forward",
        )


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of all parameters and buffers, sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        content = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {content.dtype} {tuple(content.shape)}\n".encode())
        digest.update(content.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _wide(numbers: Tensor) -> Tensor:
    """In float32 where they are narrower: numpy knows no bfloat16, and a softmax needs the digits."""
    return numbers.float() if numbers.element_size() < 4 else numbers


def _parts(answer: object, name: str) -> tuple[Tensor, Tensor | None]:
    if isinstance(answer, Tensor):
        return answer, None
    if isinstance(answer, (tuple, list)) and len(answer) == 2 and all(isinstance(part, Tensor) for part in answer):
        return answer[0], answer[1]
    raise OutputError(
        f"the network of agent {name!r} answered a {type(answer).__name__}",
        expected="a tensor of scores (b, a), or a pair (scores, value)",
        todo="wrap it in a module whose forward returns one of these",
    )


def _check_shapes(output: AgentOutput, spec: AgentSpec, batch: int) -> None:
    scores, value = output.scores, output.value
    actions = len(spec.action_names)
    if scores.dim() != 2 or not scores.is_floating_point() or scores.shape[0] != batch:
        raise OutputError(
            f"the scores of agent {spec.name!r} have shape {tuple(scores.shape)} and type {scores.dtype}",
            expected=f"({batch}, {actions}) floating point numbers, one row an observation, one column an action",
            todo="return the scores before any argmax or mean",
        )
    if scores.shape[1] != actions:
        raise MismatchError(
            f"agent {spec.name!r} answers {scores.shape[1]} actions",
            expected=f"{actions} for {spec.environment}: {', '.join(spec.action_names)}",
            todo="name the environment the agent was trained on",
        )
    if value is not None and value.shape != scores.shape[:1]:
        raise OutputError(
            f"the values of agent {spec.name!r} have shape {tuple(value.shape)}",
            expected=f"({batch},), one number an observation",
            todo="return (scores, value) with one value an observation, or the scores alone",
        )
