"""Is this agent what its user thinks it is?  What goes wrong in practice when an agent leaves its framework, looked for.

Each check gives a :class:`Finding` that says what was seen and what to change.  The last ones play: an agent that is shown
its observations in another range or order than it was trained on still answers, but it plays badly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from weakspot.agents.base import Agent, AgentOutput, AgentSpec, Perceiver, choose, ends
from weakspot.agents.formats.sb3_files import zip_of
from weakspot.analysis.config import HIGHEST_SEED, GogglesConfig
from weakspot.analysis.goggles import play
from weakspot.envs.base import Environment, EnvironmentSpec
from weakspot.errors import ConfigError, SaliencyError, WeakspotError, WeightsError
from weakspot.intervals import bootstrap_mean
from weakspot.options import SaliencyRule
from weakspot.saliency.rules import saliency
from weakspot.saliency.scalar import explained
from weakspot.subject import load_pair, noise_state
from weakspot.types import Observation

STATES, EVERY = 64, 4
"""Observations that the checks look at, and decisions from one to the next."""
CLOSE = 1e-3
"""Answers that differ by less than this, of the spread of the answers, are the same."""
LAST_BEFORE_PLAY = "tells where it looks"
"""The check after which the agent plays."""
SALIENCY = {"guided": "guided backpropagation", "gradient": "gradient"}
"""What the rules of :mod:`weakspot.saliency.guided` are called."""
LEAST_SPREAD = 1e-4
"""Answers that differ less than this, of their size, from state to state do not depend on the state."""


@dataclass(frozen=True)
class CheckConfig:
    """Checks an agent: does it load, does it answer as agents should, does it play as well as you expect?"""

    agent: str = "pong-double-dqn"
    """A name from ``weakspot agents``, a file of weights, the folder of an RL Zoo training, or path.py:factory."""
    environment: str | None = None
    """Atari game, such as pong or PongNoFrameskip-v4, an id of gymnasium, or a TOML file that describes one; not needed
    where the agent's file says it."""
    trust: bool = False
    """Run the code that the agent's file holds: TorchScript, torch.export, a whole network that was pickled, or, to compare
    with its own predict, what stable-baselines3 pickles, in the zip and in a vecnormalize.pkl beside it.  Only for files
    whose maker you trust."""
    score: float | None = None
    """What you expect it to score on average; without it, it must beat random play."""
    episodes: int = 8
    """Episodes to play."""
    longest: int = 3_000
    """Decisions after which an episode is scored as it stands."""
    seed: int = 20_000
    """Of the episodes."""
    saliency: SaliencyRule = "guided"
    """How it is found where the agent looks, as for `weakspot run`: guided, or gradient."""
    device: str = "cpu"
    """Where the agent computes: cpu, cuda."""

    def __post_init__(self) -> None:
        if self.episodes < 2 or self.longest < 1:
            raise ConfigError(f"{self.episodes} episodes of {self.longest} decisions", expected="2 or more of 1 or more")
        if not 0 <= self.seed < HIGHEST_SEED - 2 * self.episodes:
            raise ConfigError(f"seed {self.seed}", expected=f"0 or more, and less than {HIGHEST_SEED:,}")


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: of the check.
        passed: whether all is well.
        said: what was seen.
        todo: what to change if something is not well.
    """

    name: str
    passed: bool
    said: str
    todo: str = ""


@dataclass(frozen=True)
class ShownOtherwise:
    """An agent that is shown its observations otherwise than they are.

    Attributes:
        agent: the agent.
        change: maps observations to what it is shown instead.
    """

    agent: Agent
    change: Callable[[Observation], Observation]

    @property
    def spec(self) -> AgentSpec:
        return self.agent.spec

    @property
    def module(self) -> nn.Module:
        return self.agent.module

    @property
    def device(self) -> torch.device:
        return self.agent.device

    def __call__(self, observation: Observation) -> AgentOutput:
        return self.agent(self.change(observation))


def otherwise(environment: EnvironmentSpec) -> dict[str, tuple[Callable[[Tensor], Tensor], str]]:
    """Ways of showing an agent its observations that are easily confused with the right one, and what to do about each."""
    frames = environment.frames
    ways: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
        "in the range 0 to 1": (
            lambda x: x / 255.0,
            "it was trained on 0 to 1: divide observations by 255 in its forward, or in a module in front of it",
        ),
        "in the range -1 to 1": (
            lambda x: x / 127.5 - 1.0,
            "it was trained on -1 to 1: scale observations in its forward, or in a module in front of it",
        ),
        "255 times as large": (
            lambda x: x * 255.0,
            "its observations are divided by 255 twice: leave out the division in front of it, or the one in its forward",
        ),
        "with the newest frame first": (
            lambda x: x.unflatten(1, (frames, -1)).flip(1).flatten(1, 2),
            "it was trained on stacks whose newest frame comes first: turn the frames of observations round in front of it",
        ),
    }
    if environment.height == environment.width:
        ways["with rows and columns exchanged"] = (
            lambda x: x.transpose(2, 3),
            "it was trained on transposed frames: exchange dimensions 2 and 3 of observations in front of it",
        )
    if not environment.gray and environment.channel_colours is None:
        ways["with blue, green and red in this order"] = (
            lambda x: x.unflatten(1, (frames, -1)).flip(2).flatten(1, 2),
            "it was trained on BGR: turn the channels of each frame round in front of it",
        )
    return ways


def check_up(
    config: CheckConfig, progress: Callable[[str, int, int], None] = lambda what, done, total: None
) -> Iterator[Finding]:
    """The findings, one after another; after one that makes the others pointless there are no more.

    Args:
        config: which agent, and what is expected of it.
        progress: told what is being played, and (episodes done, episodes in all).
    """
    try:
        agent, factory, environment = load_pair(config.agent, config.environment, config.device, trust=config.trust)
    except WeakspotError as error:
        yield Finding("loads and fits", False, f"{error.seen}; expected: {error.expected}", error.todo)
        return
    spec = agent.spec
    yield Finding(
        "loads and fits",
        True,
        f"{len(spec.action_names)} actions of {environment.spec.id}, answers {spec.scores_are}, acts {spec.acts}",
    )
    perceive = Perceiver(agent, environment.observe, config.saliency)
    seen = observations(agent, environment, config.seed)
    yield from _answers(agent, seen)
    yield _frames(agent, seen, environment.spec.frames)
    if config.trust and (archive := zip_of(config.agent)):
        yield _as_its_framework(agent, archive, seen)
    try:
        saliency(perceive, noise_state(environment.spec, agent.device))
        yield Finding(LAST_BEFORE_PLAY, True, f"its {SALIENCY[config.saliency]} is defined")
    except SaliencyError as error:
        yield Finding(LAST_BEFORE_PLAY, False, error.seen, error.todo)
    environment.close()
    yield from _plays(agent, factory, environment.spec, config, progress)


def observations(agent: Agent, environment: Environment, seed: int) -> Observation:
    """Real observations (n, c, h, w): every few decisions of an agent that does a third of them at random."""
    generator = torch.Generator().manual_seed(seed)
    shown, kept = environment.reset(seed), []
    for decision in range(STATES * EVERY):
        observation = torch.from_numpy(shown.observation)[None].to(agent.device, torch.float32)
        if decision % EVERY == 0:
            kept.append(observation)
        with torch.no_grad():
            action = choose(agent(observation), agent.spec, generator, epsilon=0.3)
        shown = environment.step(action[0].tolist())
        if shown.terminated or shown.truncated:
            shown = environment.reset()
    return torch.cat(kept)


def _answers(agent: Agent, seen: Observation) -> Iterator[Finding]:
    with torch.no_grad():
        first, second = agent(seen).vector(), agent(seen).vector()
        alone = torch.cat([agent(one).vector() for one in seen.split(1)])
    spread = first.std(dim=0).mean().clamp_min(1e-12)
    differ = float((first - second).abs().max() / spread)
    yield Finding(
        "answers alike twice",
        differ < CLOSE,
        f"the same observations twice: answers differ by {differ:.2g} of their spread",
        "switch off dropout and noise: .eval(), and no sampling in forward",
    )
    differ = float((first - alone).abs().max() / spread)
    yield Finding(
        "answers one by one as in a batch",
        differ < CLOSE,
        f"alone and in a batch: answers differ by {differ:.2g} of their spread",
        "batch normalisation is in training mode: call .eval() where the network is made",
    )
    told = float(spread / first.abs().mean().clamp_min(1e-12))
    scores = first[:, : len(agent.spec.action_names)]
    yield Finding(
        "tells states apart",
        told > LEAST_SPREAD,
        f"over {len(seen)} states its answers spread by {told:.2g} of their size; {_usual(scores, agent.spec)}",
        "check the range of its observations (they are 0 to 255), and its weights",
    )


def _as_its_framework(agent: Agent, archive: Path, seen: Observation) -> Finding:
    """Whether it does what stable-baselines3 does with the same zip, which takes loading that the framework's way."""
    name = "does what stable-baselines3 does"
    try:
        from weakspot.training.framework import predicted

        theirs = torch.from_numpy(predicted(archive, seen.to("cpu", torch.uint8).numpy()))
    except ModuleNotFoundError as error:
        todo = "pip install 'weakspot[agents]', and sb3-contrib for its algorithms"
        return Finding(name, False, f"cannot be compared: {error}", todo)
    except WeightsError as error:
        return Finding(name, False, error.seen, error.todo)
    with torch.no_grad():
        scores = agent(seen).scores.cpu()
    if agent.spec.action_bounds is None:  # the same score will do: what is best of two equals is a matter of rounding
        best, least = scores.max(dim=1).values, scores.min(dim=1).values
        same = scores.gather(1, theirs[:, None])[:, 0] >= best - CLOSE * (best - least)
    else:
        low, high = ends(agent.spec.action_bounds, scores)
        same = ((scores.clamp(low, high) - theirs).abs() <= CLOSE * scores.std(dim=0)).all(dim=1)
    said = f"without chance, the same action as its predict in {int(same.sum())} of {len(seen)} states"
    return Finding(name, bool(same.all()), said, "report this with the zip: it was read, but not as it was meant")


def _usual(scores: Tensor, spec: AgentSpec) -> str:
    """What an agent that answers these scores mostly does."""
    if spec.scores_are == "means":
        pairs = zip(spec.action_names, scores.mean(dim=0).tolist(), strict=True)
        return "on average " + ", ".join(f"{name} {value:.2g}" for name, value in pairs)
    best = scores.argmax(dim=1)
    return f"{spec.action_names[int(best.mode().values)]} is best in {int(best.bincount().max())} of them"


def _frames(agent: Agent, seen: Observation, frames: int) -> Finding:
    wanted = seen.clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(explained(agent.spec)(agent(wanted)).sum(), wanted)
    strength = slope.abs().unflatten(1, (frames, -1)).sum(dim=(0, 2, 3, 4))
    blind = [str(i + 1) for i in np.flatnonzero((strength == 0).cpu().numpy())]
    finite = bool(torch.isfinite(slope).all())
    return Finding(
        "looks at every frame",
        finite and not blind,
        f"gradient reaches {len(strength) - len(blind)} of {len(strength)} frames"
        + ("" if finite else ", and is not finite"),
        f"nothing depends on frame {', '.join(blind) or 'any'}: is the stack as it was trained?",
    )


def _plays(
    agent: Agent,
    factory: Callable[[], Environment],
    environment: EnvironmentSpec,
    config: CheckConfig,
    progress: Callable[[str, int, int], None],
) -> Iterator[Finding]:
    played = GogglesConfig(episodes=config.episodes, epsilon=0.0, longest=config.longest, seed=config.seed)
    at_random = replace(played, epsilon=1.0)

    def scores(what: str, player: Agent, how: GogglesConfig) -> tuple[np.ndarray, int]:
        return play(player, factory, how, None, lambda done, total: progress(what, done, total))

    own, cut = scores("the agent", agent, played)
    random, _ = scores("random play", agent, at_random)
    generator = np.random.default_rng(config.seed)
    mean, low, high = bootstrap_mean(own, generator)
    ahead = bootstrap_mean(own - random, generator)[1] > 0
    well = ahead if config.score is None else high >= config.score
    note = f"; {cut} of {config.episodes} games were scored after {config.longest} decisions" if cut else ""
    against = "" if config.score is None else f", you expect {config.score:g}"
    said = f"{mean:.4g} on average (95 % interval {low:.4g} to {high:.4g}){against}; random play {random.mean():.4g}{note}"
    if well:
        yield Finding("plays as expected", True, said)
        return
    todo = "see below whether it plays better when shown its observations otherwise"
    if cut and config.score is not None:
        todo = f"play whole games, by --longest above {config.longest}, if what you expect is of these; else {todo}"
    yield Finding("plays as expected", False, said, todo)
    ways = otherwise(environment)
    others = {
        name: scores(f"the agent, {name}", ShownOtherwise(agent, change), played)[0] for name, (change, _) in ways.items()
    }
    best = max(others, key=lambda name: others[name].mean())
    fresh = replace(played, seed=config.seed + config.episodes)  # the best of several is found by luck, too
    now, _ = scores("the agent, on other games", agent, fresh)
    then, _ = scores(f"the agent, {best}, on other games", ShownOtherwise(agent, ways[best][0]), fresh)
    better = bootstrap_mean(then - now, generator)[1] > 0
    for name, (_, todo) in ways.items():
        said = f"{others[name].mean():.4g} on average, {mean:.4g} as it is shown now"
        if name == best:
            said += f"; on other games {then.mean():.4g} for {now.mean():.4g}"
        yield Finding(f"plays no better {name}", not (better and name == best), said, todo)
