"""Looks for a change of the observations with which the agent plays better.

Changes are compared in rounds of games: all of them in short games, the best few in longer ones.  The best of many may be
best by chance, so it is compared with the agent once more, in whole games; if an agent plays worse than expected, so are the
next two, until one is clearly better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.agents.base import Agent
from weakspot.analysis.config import GogglesConfig
from weakspot.checkup.alike import STATES, told_apart
from weakspot.checkup.candidate import Candidate, Player
from weakspot.checkup.config import CheckConfig
from weakspot.checkup.finding import Finding
from weakspot.intervals import TAIL, bootstrap_mean

PLAYS_NO_BETTER, PLAYS_BETTER, PLAYS_AS_WELL = "plays no better with ", "plays better with ", "plays as well with "
"""Begin the names of findings about changes: of those that do not help, of the one that does, and of those that help as much
as far as games can tell."""
FIRST, SECOND = (2, 400), (4, 600)
"""Games of each change, and decisions in each, in the first and in the second round.  If an agent plays worse than expected,
those of the second round are whole games: some mistakes hardly show at the beginning."""
LONGEST_WITHOUT_SCORES = 2_000
"""If all scores in the first round are equal, its games become twice as long, up to this many decisions."""
SECOND_ROUND = 6
"""Number of changes in the second round."""
ENOUGH = 5
"""Last games from which on a change is a failure of the check; after fewer it is a hint."""
FEW = 4
"""Number of last games of a fine agent after which the others are played only if the change is clearly better so far."""
RIVALS = 5
"""Number of other changes that play the last games of an agent that turns out not to be fine."""
TRIES = 3
"""Number of the best changes of the rounds that play the last games of an agent that does not play as expected, one after
another, until one is clearly better.  Their intervals are wider, since any of them may be better by chance."""
EPSILON = 0.01
"""Share of random actions in these games: without any, games of a greedy agent repeat.  In the last games of a fine agent
there are none, as in those of its score."""


@dataclass(eq=False)
class Runner:
    """A group of changes with which the agent acts alike, and the scores of the first of them.

    Attributes:
        group: the changes; the first one plays.
        scores: of its games so far (n,).
        base: of the agent without the change, in games with the same seeds (n,).
        latest: number of games in its last round.
        kept: whether it was among the best of the first round, and played the second one.
    """

    group: Sequence[Candidate]
    scores: np.ndarray
    base: np.ndarray
    latest: int = 0
    kept: bool = False

    @property
    def first(self) -> Candidate:
        return self.group[0]

    @property
    def gain(self) -> float:
        """How much more the agent scores with the change than without it, in the games of its last round."""
        return float((self.scores - self.base)[-self.latest :].mean())

    def add(self, scores: np.ndarray, base: np.ndarray) -> None:
        """Adds the scores of a round."""
        self.scores, self.base, self.latest = np.append(self.scores, scores), np.append(self.base, base), len(scores)


@dataclass(frozen=True)
class Named:
    """A change with which the agent clearly plays better.

    Attributes:
        runner: the change.
        scores: of the last games with it (n,).
        base: of the agent without it, in games with the same seeds (n,).
        equals: others that could not be told apart from it, and the scores of the same games with them (n,).
    """

    runner: Runner
    scores: np.ndarray
    base: np.ndarray
    equals: Sequence[tuple[Runner, np.ndarray]]


def check_candidates(
    agent: Agent, player: Player, others: Sequence[Candidate], config: CheckConfig, fine: np.ndarray | None = None
) -> Iterator[Finding]:
    """Whether the agent plays no better with each of many changes; the best ones come first.

    Args:
        agent, player: what plays, and how.
        others: the changes.
        config: number and length of the last games, and the seed.
        fine: the scores (n,) of an agent that plays as expected, from the seed of ``config`` on; None if it does not.  Of a
            fine agent only common changes are tried, and the last games are compared with these scores, a few at first.
    """
    tried = others if fine is None else [other for other in others if other.is_common]
    if not tried:
        return
    same, groups = told_apart(agent, player.factory, tried, config.seed)
    if groups:
        runners = [Runner(group, np.zeros(0), np.zeros(0)) for group in groups]
        yield from _compared(agent, player, runners, config, fine)
    if same:
        names = ", ".join(other.name for other in same)
        yield Finding("acts the same with other changes", True, f"in {STATES} states of a game, with {names}")


def _compared(
    agent: Agent, player: Player, runners: Sequence[Runner], config: CheckConfig, fine: np.ndarray | None
) -> Iterator[Finding]:
    """Plays the rounds and the last games; see :func:`check_candidates`."""
    generator = np.random.default_rng(config.seed)
    best = _raced(agent, player, runners, config, SECOND[1] if fine is not None else config.longest)
    named = None
    if best.gain > 0:
        named = (
            _of_failing(agent, player, best, runners, config, generator)
            if fine is None
            else _of_fine(best, runners, config, fine, generator)
        )
    if named:
        yield from _of_named(named)
    told = [named.runner, *(runner for runner, _ in named.equals)] if named else []
    for runner in sorted(runners, key=lambda runner: (runner is not best, -len(runner.scores), -runner.gain)):
        if runner not in told:
            yield Finding(f"{PLAYS_NO_BETTER}{runner.first.name}", True, _words(runner))


def _of_named(named: Named) -> Iterator[Finding]:
    """The change with which the agent clearly plays better, and those that would do as well."""

    def seen(scores: np.ndarray) -> str:
        return f"{scores.mean():.4g} on average in {len(scores)} longer games, {named.base.mean():.4g} without this change"

    runner, few = named.runner, len(named.scores) < ENOUGH
    groups = [(runner.group[1:], named.scores), *((other.group, scores) for other, scores in named.equals)]
    alike = [(change, scores) for group, scores in groups for change in group]
    names = tuple(change.name for change, _ in alike)
    text, todo = seen(named.scores), runner.first.todo
    if names:
        todo += f"; these games cannot tell it apart from {', '.join(names)}"
    if few:
        text, todo = f"{text}; these are too few games to tell", f"raise --episodes to {ENOUGH} or more; {todo}"
    yield Finding(f"{PLAYS_BETTER}{runner.first.name}", None if few else False, text, todo, names)
    for change, scores in alike:
        yield Finding(f"{PLAYS_AS_WELL}{change.name}", None, seen(scores), f"or: {change.todo}")


def _of_failing(
    agent: Agent,
    player: Player,
    best: Runner,
    runners: Sequence[Runner],
    config: CheckConfig,
    generator: np.random.Generator,
) -> Named | None:
    """The change that is best in other games, which the best few of the rounds play if one of the first is clearly better
    there: several changes may each bring back most of the score, and the rounds are too few games to order them."""
    games = _games(config, config.episodes, config.longest, number=2)

    def play(runner: Runner) -> np.ndarray:
        scores = runner.first.scores(f"{runner.first.name}, longer games", games)
        runner.add(scores, base)
        return scores

    base = player("the agent, longer games", agent, games).scores
    finalists = [best, *_rivals(best, runners)]
    better, tried = list[tuple[Runner, np.ndarray]](), 0
    while not better and tried < min(TRIES, len(finalists)):
        better = _better([(finalists[tried], play(finalists[tried]))], base, generator, TAIL / TRIES)
        tried += 1
    if not better:
        return None
    better += _better([(rival, play(rival)) for rival in finalists[tried:]], base, generator)
    siblings = _siblings(better, finalists, runners)
    better += _better([(sibling, play(sibling)) for sibling in siblings], base, generator)
    return _best(better, base, generator)


def _of_fine(
    best: Runner, runners: Sequence[Runner], config: CheckConfig, fine: np.ndarray, generator: np.random.Generator
) -> Named | None:
    """The change of a few good ones that is best in the games of the agent's score, if one is clearly better there.

    The rivals of the best one play only if that is clearly better: the agent is not fine then, and the short games of the
    rounds are too few to tell changes apart.
    """

    def play(runner: Runner, count: int, done: int = 0) -> np.ndarray:
        games = GogglesConfig(count - done, 0.0, config.longest, config.seed + done)
        scores = runner.first.scores(f"{runner.first.name}, longer games", games)
        runner.add(scores, fine[done:count])
        return scores

    few, count = min(FEW, config.episodes), config.episodes
    scores = play(best, few)
    for done in (few, count):
        if bootstrap_mean(scores - fine[:done], generator)[1] <= 0:
            return None
        if done < count:
            scores = np.append(scores, play(best, count, done))
    base = fine[:count]
    rivals = [(rival, play(rival, count)) for rival in _rivals(best, runners)]
    return _best([(best, scores), *_better(rivals, base, generator)], base, generator)


def _rivals(best: Runner, runners: Sequence[Runner]) -> list[Runner]:
    """The changes that gain most after the best one, those of the second round first.

    One that lost nothing in the first round may be the right one: two short games often end alike.
    """

    def is_rival(runner: Runner) -> bool:
        return runner.gain > 0 or (runner.gain == 0 and not runner.kept)

    others = (runner for runner in runners if runner is not best and is_rival(runner))
    return sorted(others, key=lambda runner: (-len(runner.scores), -runner.gain))[:RIVALS]


def _siblings(
    better: Sequence[tuple[Runner, np.ndarray]], done: Sequence[Runner], runners: Sequence[Runner]
) -> list[Runner]:
    """Other values of the settings that help: the games of the rounds are too short to tell one gray from another."""
    settings = {runner.first.setting for runner, _ in better} - {""}
    return [runner for runner in runners if runner not in done and runner.first.setting in settings]


def _better(
    played: Sequence[tuple[Runner, np.ndarray]], base: np.ndarray, generator: np.random.Generator, tail: float = TAIL
) -> list[tuple[Runner, np.ndarray]]:
    """The changes with which the agent clearly scores more than without: with a probability of ``tail`` by chance."""
    return [(runner, own) for runner, own in played if bootstrap_mean(own - base, generator, tail)[1] > 0]


def _best(better: Sequence[tuple[Runner, np.ndarray]], base: np.ndarray, generator: np.random.Generator) -> Named:
    """The best of some changes that help, and those that cannot be told apart from it.

    Args:
        better: the changes, at least one, and the scores of their last games (n,).
        base: scores of the agent without them, in games with the same seeds (n,).
        generator: of the intervals.
    """
    named, scores = max(better, key=lambda pair: pair[1].mean())
    equals = [
        (runner, own) for runner, own in better if runner is not named and bootstrap_mean(scores - own, generator)[1] <= 0
    ]
    return Named(named, scores, base, equals)


def _raced(agent: Agent, player: Player, runners: Sequence[Runner], config: CheckConfig, longest: int) -> Runner:
    """Plays the rounds, the second one with games of at most ``longest`` decisions; returns the runner that gains most."""
    games, length = FIRST
    while True:
        _play(agent, player, runners, _games(config, games, length, number=0))
        scores = np.concatenate([runner.scores for runner in runners] + [runner.base for runner in runners])
        if scores.min() < scores.max() or 2 * length > min(LONGEST_WITHOUT_SCORES, config.longest):
            break
        length *= 2
    kept = sorted(runners, key=lambda runner: -runner.gain)[:SECOND_ROUND]
    kept = [runner for runner in kept if runner.gain > 0]
    for runner in kept:
        runner.kept = True
    if kept:
        _play(agent, player, kept, _games(config, SECOND[0], max(longest, length), number=1))
    return max(kept or runners, key=lambda runner: runner.gain)


def _play(agent: Agent, player: Player, runners: Sequence[Runner], games: GogglesConfig) -> None:
    base = player("the agent, first games", agent, games).scores
    for number, runner in enumerate(runners, start=1):
        name = f"change {number} of {len(runners)}: {runner.first.name}, first games"
        runner.add(runner.first.scores(name, games), base)


def _games(config: CheckConfig, games: int, longest: int, *, number: int) -> GogglesConfig:
    """The games of a round, which have other seeds than those of the other rounds and of the agent's score."""
    seed = config.seed + config.most + (number + 1) * config.episodes
    return GogglesConfig(min(games, config.episodes), EPSILON, min(longest, config.longest), seed)


def _words(runner: Runner) -> str:
    """The scores of its last round."""
    others = f"; acts the same with {', '.join(other.name for other in runner.group[1:])}" if len(runner.group) > 1 else ""
    scores, base = runner.scores[-runner.latest :], runner.base[-runner.latest :]
    return f"{scores.mean():.4g} in {len(scores)} games, {base.mean():.4g} without{others}"
