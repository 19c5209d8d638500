"""All checks of an agent, in their order."""

from __future__ import annotations

from collections.abc import Iterator

from weakspot.agents.base import Perceiver
from weakspot.agents.formats.sb3_files import zip_of
from weakspot.agents.recurrent import is_recurrent
from weakspot.checkup.candidate import Player, PlayProgress, candidates
from weakspot.checkup.config import CheckConfig
from weakspot.checkup.finding import Finding
from weakspot.checkup.framework import check_framework
from weakspot.checkup.outputs import check_frames, check_outputs, observations
from weakspot.checkup.playing import check_score
from weakspot.checkup.search import check_candidates
from weakspot.checkup.suspects import suspects
from weakspot.checkup.variants import input_variants
from weakspot.envs.base import EnvironmentSpec
from weakspot.errors import SaliencyError, WeakspotError
from weakspot.options import SaliencyRule
from weakspot.saliency.rules import saliency
from weakspot.subject import large_frames, load_pair, noise_state

FIRST_CHECK = "loads and fits its environment"
LAST_BEFORE_PLAY = "has saliency"
"""The name of the last check before the agent plays."""
RULE_NAMES: dict[SaliencyRule, str] = {"guided": "guided backpropagation", "gradient": "the gradient"}


def check_up(config: CheckConfig, progress: PlayProgress = lambda name, done, total: None) -> Iterator[Finding]:
    """Checks an agent; yields one finding after the other.

    If the agent cannot be loaded, that is the only finding. It plays with variants of its observations and frames unless it
    reaches the expected score.

    Args:
        config: the agent, and what is expected of it.
        progress: called with what plays, the number of finished episodes, and their total.
    """
    try:
        agent, factory, environment = load_pair(config.agent, config.environment, config.device, trust=config.trust)
    except WeakspotError as error:
        yield Finding(FIRST_CHECK, False, f"{error.seen}; expected: {error.expected}", error.todo)
        return
    spec = agent.spec
    seen = f"{len(spec.action_names)} actions of {environment.spec.id}, scores are {spec.scores_are}, acts {spec.acts}"
    warning = large_frames(environment.spec)
    yield Finding(FIRST_CHECK, True, f"{seen}; {warning}" if warning else seen)
    observed = observations(agent, environment, config.seed)
    yield from check_outputs(agent, observed)
    yield check_frames(agent, observed, environment.spec.frames)
    if config.trust and (archive := zip_of(config.agent)) and not is_recurrent(agent):
        yield check_framework(agent, archive, observed)
    yield _check_saliency(Perceiver(agent, environment.observe, config.saliency), environment.spec)
    player, framed = Player(factory, progress), suspects(environment)
    environment.close()
    played, scores = check_score(agent, player, config)
    yield played
    if not played.passed or config.score is None:
        others = candidates(agent, player, input_variants(environment.spec, transposed=not framed), framed)
        yield from check_candidates(agent, player, others, config, scores if played.passed else None)


def _check_saliency(perceive: Perceiver, environment: EnvironmentSpec) -> Finding:
    """Whether the agent's saliency can be computed."""
    try:
        saliency(perceive, noise_state(environment, perceive.agent.device))
    except SaliencyError as error:
        return Finding(LAST_BEFORE_PLAY, False, error.seen, error.todo)
    return Finding(LAST_BEFORE_PLAY, True, f"{RULE_NAMES[perceive.rule]} is defined for it")
