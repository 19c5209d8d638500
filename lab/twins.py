"""Twins in experiments: how well they are found, and whether the checks tell real states from broken ones."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lab import intervals
from lab.pipeline import MODEL
from weakspot.artifacts.findings import read_findings
from weakspot.artifacts.twins import TwinSearch, read_twin_search
from weakspot.data.dataset import as_stacks
from weakspot.envs.plays import Play
from weakspot.ground.config import GroundConfig
from weakspot.ground.edit_search import possible_edits
from weakspot.ground.edits import Found, search_edits
from weakspot.ground.likeness import Views
from weakspot.ground.plausibility import PLAYED_ON, Checks, errors
from weakspot.ground.play import Route
from weakspot.ground.twins import Grounds, closest_recorded, find_twins, penalised_distance, play_onwards, scale_of
from weakspot.search.memory_search import MemorySearch
from weakspot.search.method import Sources
from weakspot.session import Session
from weakspot.system.progress import progress_bar
from weakspot.targets.base import Target

STARTS = 3
"""Recorded states of other streams that a real state is recreated from."""


@dataclass(frozen=True)
class Checked:
    """A state that was made by edits, its distance from the wanted one if there is one, and whether it is possible."""

    distance: float | None
    checks: Checks
    unusual: float | None


def recreated(session: Session, grounds: Grounds, index: int, trials: int, generator: np.random.Generator) -> Checked | None:
    """A held-out state, recreated by edits from states of other streams, without knowledge of its variables.

    None if no edit leads anywhere.
    """
    dataset = session.dataset
    wanted = grounds.likeness.views(dataset.stacks(np.array([index])))

    def score(stacks: np.ndarray) -> np.ndarray:
        return penalised_distance(grounds, wanted, grounds.likeness.views(stacks))

    others = grounds.usable[dataset.stream[grounds.usable] != dataset.stream[index]]
    starts = [found.route.start - dataset.environment.frames for found in closest_recorded(grounds, wanted, score, others)]
    assert grounds.bank is not None
    found = search_edits(grounds.player, starts[:STARTS], grounds.bank, score, trials, generator)
    if found is None:
        return None
    distance = grounds.likeness.distances(wanted, grounds.likeness.views(found.stack[None])).mean()
    return _checked(session, grounds, found, float(distance))


def broken(session: Session, grounds: Grounds, count: int, generator: np.random.Generator) -> Checked | None:
    """A recorded state in which ``count`` of the variables that vary were set to random values; None if that ends it."""
    bank, player = grounds.bank, grounds.player
    assert bank is not None
    chosen = generator.choice(bank.varying, min(count, len(bank.varying)), replace=False).tolist()
    changes: dict[int, float] = {}
    for position in chosen:
        variable, column = bank.variables[position], bank.rows[:, position]
        if variable.whole:
            changes[position] = float(generator.integers(int(variable.low), int(variable.high) + 1))
            continue
        low, high = column.min() - column.std(), column.max() + column.std()
        changes[position] = float(generator.uniform(max(variable.low, low), min(variable.high, high)))
    start = int(generator.choice(grounds.usable)) - session.dataset.environment.frames
    frames = session.dataset.environment.frames
    actions = player.recorded_actions(start, frames)
    play: Play | None = player.play(player.place(start), changes, actions)
    if play is None or play.ended:
        return None
    return _checked(session, grounds, Found(Route(start, changes, actions), play.frames[-frames:], 0.0), None)


def _checked(session: Session, grounds: Grounds, found: Found, distance: float | None) -> Checked:
    player = grounds.player
    made = player.make(found.route)
    assert made is not None
    unusual = None
    if grounds.density is not None and player.editable is not None:
        unusual = grounds.density.unusual(player.editable.read_variables())
    onwards = play_onwards(player, session.subject.agent, made.last, 0)
    return Checked(distance, grounds.plausibility.check(found.stack, onwards), unusual)


def shares(states: list[Checked | None], generator: np.random.Generator) -> dict[str, Any]:
    """The share of states that pass each check, with 95 % intervals; those that could not be made pass none."""
    made = [state for state in states if state is not None]
    names = ("settles", "round_trip", "objects", "plays_on", "possible")
    passed: dict[str, Any] = {}
    for name in names:
        values = [getattr(state.checks, name) for state in made]
        if all(value is None for value in values):
            continue
        whole = np.array([value is not False for value in values] + [False] * (len(states) - len(made)), float)
        passed[name] = intervals.mean(whole, generator)
    distances = [state.distance for state in made if state.distance is not None]
    return {
        "states": len(states),
        "made": len(made),
        "passed": passed,
        "median_distance": float(np.median(distances)) if distances else None,
    }


def twin_energies(session: Session, target: Target, stacks: np.ndarray, seed: int) -> np.ndarray:
    """The target's energy in the twins of synthesised states (n, k, h, w, c), as far as these have one (m,)."""
    indices = session.trained_on
    scale = scale_of(session.grounds, target, indices, session.recorded_outputs(indices))
    with progress_bar(f"twins {target.name}") as report:
        found = find_twins(session.grounds, stacks, target, scale, GroundConfig(seed=seed), report)
    return np.array([twin.target for twin in found if twin.accepted])


TWINS = (*MODEL, "policy-values", "overconfidence", "synthesize", "ground")
"""Stages that find twins."""


def target_row(session: Session, slug: str, generator: np.random.Generator) -> dict[str, Any]:
    """How well twins stand for the synthesised states of one target, beside the closest recorded states.

    ``followed_beyond``: of the synthesised states beyond all recorded ones, the share whose twin is, too.
    Shares have 95 % intervals over states.
    """
    grounds, target = session.grounds, session.target(slug)
    search = read_twin_search(session.results[f"ground/{slug}"])
    findings = read_findings(session.results[f"synthesize/{slug}"], session.record.environment)
    twins = search.twins
    found = [twin for twin in twins if twin.accepted]
    edited = [twin for twin in twins if twin.possible is not None]
    recorded = [_closest(grounds, findings.states[twin.number]) for twin in twins]
    aims = np.array([twin.aim for twin in twins])
    recorded_target = np.array([float(target(views.output)[0]) for views, _ in recorded])

    def within(values: np.ndarray) -> tuple[float, float, float]:
        return intervals.share(values <= aims + search.shortfall)

    values = np.array([twin.target for twin in twins])
    followed = [twin.accepted and search.is_beyond(twin.target) for twin in twins if search.is_beyond(twin.aim)]
    possible = [all(check is not False for check in asdict(twin.possible).values()) for twin in edited if twin.possible]
    return {
        "agent": session.subject.agent.spec.name,
        "target": search.target,
        "method": "twins",
        "states": len(twins),
        "twin_share": intervals.share([twin.accepted for twin in twins]),
        "kinds": {kind: sum(twin.kind == kind for twin in found) for kind in ("recorded", "reached", "edited")},
        "within_half_sd": within(values),
        "within_half_sd_of_recorded": within(recorded_target),
        "aims_beyond_best_real": intervals.share([search.is_beyond(twin.aim) for twin in twins]),
        "beyond_best_real": intervals.share_if_any([search.is_beyond(twin.target) for twin in found]),
        "followed_beyond": intervals.share_if_any(followed),
        "plausible": intervals.share(possible) if possible else None,
        "distance": intervals.mean(np.array([twin.distances.mean for twin in twins]), generator),
        "distance_of_recorded": intervals.mean(np.array([distance for _, distance in recorded]), generator),
        "alike": search.alike,
        "seconds": float(np.median([twin.seconds for twin in twins])),
        "environment_steps": float(np.median([twin.environment_steps for twin in twins])),
    }


def memory_row(session: Session, slug: str, seed: int) -> dict[str, Any]:
    """What memory search finds for one target with as many decisions as its twins took, beside the same values.

    All of its states are possible or recorded ones; it has no synthesised states, so there are no distances.
    """
    grounds, target = session.grounds, session.target(slug)
    search: TwinSearch = read_twin_search(session.results[f"ground/{slug}"])
    count = len(search.twins)
    frames = session.dataset.environment.frames
    decisions = float(np.mean([twin.environment_steps for twin in search.twins]))
    method = MemorySearch(trials=max(1, round((decisions - PLAYED_ON) / frames)))
    outputs = session.recorded_outputs(session.trained_on)
    sources = Sources(
        session.perceive_for_targets,
        session.dataset,
        session.trained_on,
        outputs,
        session.model,
        possible_edits(grounds, seed=seed),
    )
    started = time.monotonic()
    found = method(sources, target, count, seed)
    seconds = time.monotonic() - started
    values = np.sort(found.target.cpu().numpy())
    aims = np.sort([twin.aim for twin in search.twins])
    stacks = as_stacks(found.state.cpu(), session.dataset.environment.channels)
    return {
        "agent": session.subject.agent.spec.name,
        "target": search.target,
        "method": method.name,
        "states": count,
        "twin_share": None,
        "kinds": None,
        "within_half_sd": intervals.share(values <= aims + search.shortfall),
        "within_half_sd_of_recorded": None,
        "aims_beyond_best_real": None,
        "beyond_best_real": intervals.share([search.is_beyond(value) for value in values.tolist()]),
        "plausible": intervals.share(errors(session.model, stacks) <= grounds.plausibility.error),
        "distance": None,
        "distance_of_recorded": None,
        "alike": None,
        "seconds": seconds / count,
        "environment_steps": found.cost.environment / count,
    }


def _closest(grounds: Grounds, stack: np.ndarray) -> tuple[Views, float]:
    """The recorded state that is closest to a synthesised one, and its distance."""
    wanted = grounds.likeness.views_of_model(stack[None])

    def score(stacks: np.ndarray) -> np.ndarray:
        return grounds.likeness.distances(wanted, grounds.likeness.views(stacks)).mean(axis=1)

    best = closest_recorded(grounds, wanted, score)[0]
    return grounds.likeness.views(best.stack[None]), best.score


def calibration(session: Session, states: int, trials: int, seed: int) -> dict[str, Any]:
    """How many recreated real states and how many broken ones pass the checks.

    Broken states have random values in four of the variables that vary, or in all of them.
    """
    grounds, generator = session.grounds, np.random.default_rng(seed)
    assert grounds.bank is not None
    old = session.held_out[session.dataset.age[session.held_out] >= 2 * session.dataset.environment.frames]
    chosen = generator.permutation(old)[:states]
    real = [recreated(session, grounds, int(index), trials, generator) for index in chosen]
    result = {"recreated": shares(real, generator)}
    for name, count in (("four_random", 4), ("all_random", len(grounds.bank.varying))):
        result[name] = shares([broken(session, grounds, count, generator) for _ in range(2 * states)], generator)
    return result
