"""Twins of synthesised states: states of the environment that look alike and that the agent sees alike.

Three kinds are tried in this order, and the first that is accepted is the twin, with one exception:

    recorded  the closest stored state
    reached   found by playing on from stored states
    edited    variables of the environment are changed in a stored state, and as many decisions are played as a state has
              frames, so that the environment draws every frame

A state is accepted if it is closer to the synthesised one than nine of ten real states are to each other, or as close as
reconstructions are to real states, up to a limit; if the target's value is at most half a standard deviation worse; and, for
edited states, if it is possible (:mod:`weakspot.ground.plausibility`).

The exception: if the target is lower in the synthesised state than in all recorded ones, a recorded state can only come
close to it.  The search then goes on for a state in which it is lower as well, and falls back on the first one that was
accepted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from weakspot.agents.base import Agent, AgentOutput
from weakspot.artifacts.twins import Kind, clearly_below
from weakspot.data.dataset import StateDataset, as_stacks
from weakspot.envs.base import Step
from weakspot.envs.editable import Editable
from weakspot.envs.plays import Play, Trial
from weakspot.errors import ConfigError
from weakspot.ground.config import GroundConfig
from weakspot.ground.edits import Found, Score, VariableBank, bank_of, search_edits
from weakspot.ground.likeness import Likeness, Views, as_vectors
from weakspot.ground.plausibility import (
    PLAYED_ON,
    Checks,
    Density,
    Plausibility,
    measure_density,
    measure_plausibility,
    reconstructions,
)
from weakspot.ground.play import Player, Route
from weakspot.ground.reach import agent_actions, search_play
from weakspot.search.energy import TargetScale, measure_scale
from weakspot.state_model.model import StateModel
from weakspot.targets.base import Target
from weakspot.types import Frames, Stacks

RECORDED: Kind = "recorded"
REACHED: Kind = "reached"
EDITED: Kind = "edited"
SHORTFALL = 0.5
"""Standard deviations of the target over real states by which a twin may be worse than the synthesised state."""
BROKEN = 0.5
"""What a picture that does not settle, or fails the object checks, adds to the distance."""
PAIRS, ALIKE = 500, 0.1
"""Pairs of real states whose distances are measured, and their quantile that the distance of a twin may reach."""
RECONSTRUCTED, FAITHFUL = 200, 0.95
"""Held-out states whose reconstructions are measured, and the quantile of their distances that a twin may reach as well: a
synthesised state is no closer to the state it stands for than a reconstruction is."""
FARTHEST = 0.75
"""Largest limit: a bad state model makes no twin of a state that looks like any other.  1 is the median distance of two real
states of different moments."""
SHORTLIST, STARTS, APART = 200, 4, 20
"""Recorded states whose pictures are alike that are compared closely, those that searches start from, and the least number
of decisions between two of them in one stream."""
ANSWERED = 100
"""Recorded states in which the agent answers alike that are compared closely as well."""
MISSED, INSIDE = 2.0, 0.9
"""What a distance or a shortfall beyond the limits of a twin adds to the score of a search, for each unit; and the share of
the limits from which on it does, so that searches end inside."""
LOWEST = 200
"""Recorded states with the lowest values of a target in which the agent is asked once more."""
BLOCK = 4
"""Side of the blocks of pixels in the first, coarse comparison."""
BACK = (8, 12, 20, 32)
"""Decisions before a recorded state at which playing starts."""


@dataclass(frozen=True)
class Twin:
    """The closest state of the environment that was found.

    Attributes:
        kind: how it was found.
        accepted: whether it stands for the synthesised state.
        route: that makes it.
        stack: (k, h, w, c) uint8.
        output: of the agent.
        aim: the target's value in the synthesised state.
        target: the target's value here.
        distances: from the synthesised state (3,), in units of real states; see :mod:`weakspot.ground.likeness`.
        checks: whether it is possible; None for states that were recorded or reached by play.
        unusual: share of held-out real states whose variables are closer to recorded ones; None without variables.
        values: of the variables before the route's changes, at the positions of the changes.
        steps: decisions that were played to find it.
        seconds: that it took to find it.
    """

    kind: Kind
    accepted: bool
    route: Route
    stack: np.ndarray
    output: AgentOutput
    aim: float
    target: float
    distances: np.ndarray
    checks: Checks | None
    unusual: float | None
    values: dict[int, float]
    steps: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Grounds:
    """What the searches for the twins of one agent share.

    Attributes:
        player: of one environment.
        likeness: compares states.
        plausibility: checks them.
        usable: indices of recorded states that may be twins or starts (m,).
        coarse: the newest frames of these, in blocks (m, b).
        answers: the agent's outputs in these, as vectors (m, a).
        bank: values of the variables in recorded states; None if the environment cannot be edited.
        density: of these values; None if there is none.
        alike: the largest mean distance of a twin.
    """

    player: Player
    likeness: Likeness
    plausibility: Plausibility
    usable: np.ndarray
    coarse: np.ndarray
    answers: np.ndarray
    bank: VariableBank | None
    density: Density | None
    alike: float


def prepare(
    player: Player,
    likeness: Likeness,
    model: StateModel,
    trained_on: np.ndarray,
    held_out: np.ndarray,
    outputs: AgentOutput,
    seed: int,
) -> Grounds:
    """Measures units and limits on recorded states.

    Args:
        player: plays on from recorded states.
        likeness: compares states.
        model: the state model.
        trained_on, held_out: indices of recorded states with complete histories.
        outputs: of the agent in those of ``trained_on``.
        seed: of random choices.

    Raises:
        ConfigError: there are too few recorded states with long enough histories, or no held-out ones.
    """
    dataset = player.dataset
    if not len(held_out):
        raise ConfigError("no state is held out", expected="at least one", todo="collect more frames")
    generator = np.random.default_rng(seed)
    old = dataset.age[trained_on] >= 2 * dataset.environment.frames
    usable = trained_on[old]
    if not len(usable):
        raise ConfigError(
            f"all episodes end within {2 * dataset.environment.frames} decisions",
            expected="longer episodes, from whose states the environment can be played on",
            todo="do without twins",
        )
    bank, density = _variables(player, usable, held_out, generator)
    return Grounds(
        player=player,
        likeness=likeness,
        plausibility=measure_plausibility(model, dataset, held_out, generator),
        usable=usable,
        coarse=_coarse(dataset, usable, likeness),
        answers=as_vectors(outputs)[old],
        bank=bank,
        density=density,
        alike=min(
            max(
                _pair_distance(likeness, dataset, trained_on, generator),
                _reconstruction_distance(model, dataset, held_out, likeness, generator),
            ),
            FARTHEST,
        ),
    )


def scale_of(grounds: Grounds, target: Target, indices: np.ndarray, outputs: AgentOutput) -> TargetScale:
    """The scale of a target over recorded states, with the lowest value also where the agent answers as it does to twins.

    The recorded outputs were computed in float32; with bfloat16 the lowest value is another one, and a recorded state would
    seem to be beyond itself.

    Args:
        grounds: of the agent.
        target: any.
        indices: of the recorded states (m,).
        outputs: of the agent there, as recorded.

    Raises:
        TargetError: the target is the same for all of them, or not finite.
    """
    scale, values = measure_scale(target, outputs), target(outputs).numpy()
    lowest = np.sort(indices[np.argsort(values, kind="stable")[:LOWEST]])
    again = target(grounds.likeness.views(grounds.player.dataset.stacks(lowest)).output)
    return replace(scale, best=min(scale.best, float(again.min())))


def find_twin(
    grounds: Grounds, stack: np.ndarray, target: Target, scale: TargetScale, config: GroundConfig, number: int
) -> Twin:
    """The twin of a synthesised state.

    Args:
        grounds: of the agent.
        stack: the synthesised state (k, h, w, c).
        target: that it was synthesised for.
        scale: of the target over recorded states.
        config: settings.
        number: of the state, which selects its random numbers.
    """
    player, likeness = grounds.player, grounds.likeness
    generator = np.random.default_rng([config.seed, number])
    before, started = player.steps, time.monotonic()
    wanted = likeness.views_of_model(stack[None])
    aim, furthest = float(target(wanted.output)[0]), clearly_below(scale.best, scale.scale)
    beyond = aim < furthest

    def score_with(allowed: float) -> Score:
        """The score of a search for states whose shortfall is at most ``allowed``."""

        def score(stacks: np.ndarray) -> np.ndarray:
            views = likeness.views(stacks)
            shortfall = np.maximum(target(views.output).numpy() - aim, 0.0) / scale.scale
            missed = np.maximum(shortfall - INSIDE * allowed, 0.0)
            return penalised_distance(grounds, wanted, views) + config.value * shortfall + MISSED * missed

        return score

    closest = closest_recorded(grounds, wanted, score_with(SHORTFALL))
    score = score_with(min(SHORTFALL, (furthest - aim) / scale.scale) if beyond else SHORTFALL)
    best: Twin | None = None
    lowest = np.inf
    for kind, found in _searches(grounds, closest, score, config, generator):
        if found is None:
            continue
        twin = _assess(grounds, kind, found, wanted, (target, aim, scale.scale), config)
        if twin.accepted and (not beyond or twin.target < furthest):
            best = twin
            break
        if best is None or (not best.accepted and (twin.accepted or found.score < lowest)):
            best, lowest = twin, found.score
    assert best is not None, "there is always a recorded state"
    return replace(best, steps=player.steps - before, seconds=time.monotonic() - started)


def find_twins(
    grounds: Grounds,
    stacks: Stacks,
    target: Target,
    scale: TargetScale,
    config: GroundConfig,
    report: Callable[[float, str], None],
) -> list[Twin]:
    """The twins of several synthesised states (n, k, h, w, c); see :func:`find_twin`.

    ``report`` gets the share that is done and how many have a twin, after each.
    """
    found: list[Twin] = []
    for number, stack in enumerate(stacks):
        found.append(find_twin(grounds, stack, target, scale, config, number))
        report((number + 1) / len(stacks), f"{sum(twin.accepted for twin in found)} of {len(found)} have a twin")
    return found


def penalised_distance(grounds: Grounds, wanted: Views, views: Views) -> np.ndarray:
    """What a search minimises, apart from the target: the mean distance of states from the wanted one (n,), with what is
    added beyond the limit of a twin and for pictures that are not drawn whole."""
    distance = grounds.likeness.distances(wanted, views).mean(axis=1)
    broken = ~grounds.plausibility.drawing.is_whole(views.stacks)
    return distance + MISSED * np.maximum(distance - INSIDE * grounds.alike, 0.0) + BROKEN * broken


def _searches(
    grounds: Grounds, closest: list[Found], score: Score, config: GroundConfig, generator: np.random.Generator
) -> Iterator[tuple[Kind, Found | None]]:
    """The best state of each search, with its kind; each is searched for when the one before does not end the search.

    The last search changes variables and actions; what it finds is reached by play if no variable is changed.

    Args:
        grounds: of the agent.
        closest: recorded states that are most alike, the best first.
        score: distance of stacks from the synthesised state.
        config, generator: of the searches.
    """
    player, frames = grounds.player, closest[0].stack.shape[0]
    age = player.dataset.age
    yield RECORDED, closest[0]
    indices = [found.route.start for found in closest]
    starts = [
        index - back for number, index in enumerate(indices) if age[index] >= (back := BACK[number % len(BACK)]) + frames
    ]
    yield REACHED, search_play(player, grounds.likeness.perceive.agent, starts, score, config.steps, generator)
    if grounds.bank is None:
        return
    bank = nearby(grounds.bank, grounds, indices)
    edited = search_edits(player, [index - frames for index in indices], bank, score, config.trials, generator)
    yield EDITED if edited is not None and edited.route.changes else REACHED, edited


def _assess(
    grounds: Grounds, kind: Kind, found: Found, wanted: Views, aim: tuple[Target, float, float], config: GroundConfig
) -> Twin:
    """A state with everything that decides whether it is a twin; ``aim`` is the target, its value, and its spread."""
    player, (target, value, spread) = grounds.player, aim
    step = player.follow(found.route, found.stack, f"from state {found.route.start}")
    values = player.editable.read_variables() if player.editable else None
    checks = None
    if kind == EDITED:
        onwards = play_onwards(player, grounds.likeness.perceive.agent, step, config.seed)
        checks = grounds.plausibility.check(found.stack, onwards)
    views = grounds.likeness.views(found.stack[None])
    distances, reached = grounds.likeness.distances(wanted, views)[0], float(target(views.output)[0])
    unusual = None if values is None or grounds.density is None else grounds.density.unusual(values)
    accepted = (
        float(distances.mean()) <= grounds.alike
        and reached <= value + SHORTFALL * spread
        and (checks is None or checks.possible)
        and (unusual is None or unusual <= config.usual)
    )
    changed: dict[int, float] = {}
    if found.route.changes and player.editable:
        player.environment.restore(player.place(found.route.start))
        before = player.editable.read_variables()
        changed = {position: float(before[position]) for position in found.route.changes}
    return Twin(
        kind, accepted, found.route, found.stack, views.output, value, reached, distances, checks, unusual, changed, 0, 0.0
    )


def play_onwards(player: Player, agent: Agent, step: Step, seed: int) -> Play | None:
    """What happens if the agent plays on from the current step for :data:`PLAYED_ON` decisions.

    None if the environment fails, or goes on differently from a snapshot of the step: what a change has broken need not
    be a part of snapshots, and rollouts start from these.
    """
    environment = player.environment
    snapshot = environment.snapshot()
    first = _played_on(player, agent, step, seed)
    if first is None:
        return None
    environment.restore(player.place(int(player.dataset.with_snapshots()[0])))
    again = _played_on(player, agent, environment.restore(snapshot), seed)
    return first if again is not None and np.array_equal(first.frames, again.frames) else None


def _played_on(player: Player, agent: Agent, step: Step, seed: int) -> Play | None:
    """Up to :data:`PLAYED_ON` decisions of the agent; None if the environment fails."""
    act = agent_actions(agent, np.random.default_rng(seed))
    plays: list[Play] = []
    while len(plays) < PLAYED_ON and not (plays and plays[-1].ended):
        play = player.attempt(Trial({}, [act(step)]))
        if play is None:
            return None
        plays.append(play)
        step = play.last
    return Play(np.concatenate([play.frames for play in plays]), plays[-1].last, plays[-1].ended)


def closest_recorded(grounds: Grounds, wanted: Views, score: Score, among: np.ndarray | None = None) -> list[Found]:
    """Recorded states that are most like a wanted one, the best first, at some distance from each other.

    Args:
        grounds: of the agent.
        wanted: a single state; those whose newest frame is most like it are compared, and those in which the agent answers
            most like it.
        score: distance of stacks from it.
        among: indices of the usable states to choose from, sorted; all by default.
    """
    dataset, usable = grounds.player.dataset, grounds.usable
    block = _blocks(wanted.stacks[:, -1], grounds.likeness)
    rows = np.arange(len(usable)) if among is None else np.searchsorted(usable, among)
    coarse = np.abs(grounds.coarse[rows] - block).sum(axis=1)
    answers = np.linalg.norm(grounds.answers[rows] - as_vectors(wanted.output), axis=1)
    shortlist = np.union1d(np.argsort(coarse, kind="stable")[:SHORTLIST], np.argsort(answers, kind="stable")[:ANSWERED])
    candidates = usable[rows[shortlist]]
    stacks = dataset.stacks(candidates)
    values = score(stacks)
    chosen: list[Found] = []
    for number in np.argsort(values, kind="stable"):
        index = int(candidates[number])
        if all(abs(index - other.route.start) >= APART for other in chosen):
            chosen.append(Found(Route(index), stacks[number], float(values[number])))
        if len(chosen) == STARTS:
            break
    return chosen


def nearby(bank: VariableBank, grounds: Grounds, indices: list[int]) -> VariableBank:
    """The bank with the rows of those recorded states alone that look most like the ones at ``indices``."""
    known = np.flatnonzero(np.isin(bank.indices, grounds.usable))
    if len(known) <= SHORTLIST:
        return bank
    coarse = grounds.coarse[np.searchsorted(grounds.usable, bank.indices[known])]
    wanted = grounds.coarse[np.searchsorted(grounds.usable, indices)]
    distance = np.min([np.abs(coarse - row).sum(axis=1) for row in wanted], axis=0)
    chosen = known[np.argsort(distance, kind="stable")[:SHORTLIST]]
    return replace(bank, rows=bank.rows[chosen], indices=bank.indices[chosen])


def _variables(
    player: Player, usable: np.ndarray, held_out: np.ndarray, generator: np.random.Generator
) -> tuple[VariableBank | None, Density | None]:
    """Recorded values of the variables: of all states if they are the memory that is stored, else where there are
    snapshots."""
    editable, dataset = player.editable, player.dataset
    if editable is None:
        return None, None
    variables = editable.variables
    if dataset.environment.ram == len(variables):
        bank = bank_of(variables, dataset.ram[usable].astype(np.float64), usable)
        return bank, measure_density(bank, dataset.ram[held_out].astype(np.float64), generator)
    known = dataset.with_snapshots()
    rows = np.stack([_values_at(player, editable, index) for index in known.tolist()])
    is_held, is_usable = np.isin(known, held_out), np.isin(known, usable)
    if not is_usable.any():
        return None, None
    bank = bank_of(variables, rows[is_usable], known[is_usable])
    return bank, measure_density(bank, rows[is_held], generator)


def _values_at(player: Player, editable: Editable, index: int) -> np.ndarray:
    player.environment.restore(player.dataset.snapshot_before(index)[1])
    return editable.read_variables()


def _coarse(dataset: StateDataset, indices: np.ndarray, likeness: Likeness) -> np.ndarray:
    """The newest frames of states, in blocks (m, b)."""
    parts = np.array_split(indices, max(1, len(indices) // 1_000))
    return np.concatenate([_blocks(dataset.newest(part), likeness) for part in parts])


def _blocks(frames: Frames, likeness: Likeness) -> np.ndarray:
    """The mean difference from the median frame in blocks of pixels (n, b), all colours together."""
    difference = np.abs(frames.astype(np.float32) - likeness.median).mean(axis=-1)
    height, width = (side - side % BLOCK for side in difference.shape[1:])
    cut = difference[:, :height, :width].reshape(len(frames), height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return cut.mean(axis=(2, 4)).reshape(len(frames), -1)


def _pair_distance(likeness: Likeness, dataset: StateDataset, indices: np.ndarray, generator: np.random.Generator) -> float:
    """The mean distance between pairs of real states, at the quantile :data:`ALIKE`."""
    count = min(PAIRS, len(indices) // 2)
    chosen = generator.permutation(indices)[: 2 * count]
    first, second = (likeness.views(dataset.stacks(part)) for part in (chosen[:count], chosen[count:]))
    distances = [likeness.distances(first.row(i), second.row(i)).mean() for i in range(count)]
    return float(np.quantile(distances, ALIKE))


def _reconstruction_distance(
    model: StateModel, dataset: StateDataset, held_out: np.ndarray, likeness: Likeness, generator: np.random.Generator
) -> float:
    """The mean distance of held-out states from their reconstructions, at the quantile :data:`FAITHFUL`."""
    stacks = dataset.stacks(generator.permutation(held_out)[:RECONSTRUCTED])
    channels = dataset.environment.channels
    drawn = np.concatenate([as_stacks(rebuilt, channels) for _, rebuilt in reconstructions(model, stacks)])
    real, rebuilt = likeness.views(stacks), likeness.views_of_model(drawn)
    distances = [likeness.distances(real.row(i), rebuilt.row(i)).mean() for i in range(len(stacks))]
    return float(np.quantile(distances, FAITHFUL))
