"""How long a trial of the search for twins takes beside the emulator's own share of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from ale_py import ALEInterface, roms

from weakspot.envs.atari import ENDING, RAM, AtariConfig, AtariEnvironment
from weakspot.envs.plays import Trial, attempt, go_back, set_mark

DECISIONS, SKIP, CHANGED, AGE = 4, 4, 3, 60
"""Decisions of a trial, emulator frames of a decision, bytes that a trial changes, and decisions before the first trial."""


def trial_times(game: str, trials: int) -> dict[str, float]:
    """Median milliseconds of a trial and of the emulator alone, and their ratio."""
    environment = AtariEnvironment(AtariConfig(game, frame_skip=SKIP))
    environment.reset(0)
    random = np.random.default_rng(0)
    actions = random.integers(len(environment.spec.action_names), size=AGE).tolist()
    for action in actions:
        environment.step(action)
    mark, alone = set_mark(environment), _emulator(environment.config.rom)
    changes = [_changes(environment, random) for _ in range(trials)]
    codes = [0] * DECISIONS

    def trial(change: Mapping[int, float]) -> None:
        go_back(environment, mark)
        attempt(environment, Trial(change, codes))

    whole: list[float] = []
    emulator: list[float] = []
    for change in changes:
        whole.append(_seconds(lambda change=change: trial(change)))
        emulator.append(_seconds(lambda change=change: alone(change)))
    environment.close()
    milliseconds = [1e3 * float(np.median(times)) for times in (whole, emulator)]
    return {
        "trial": round(milliseconds[0], 3),
        "emulator": round(milliseconds[1], 3),
        "ratio": round(milliseconds[0] / milliseconds[1], 2),
    }


def _changes(environment: AtariEnvironment, random: np.random.Generator) -> dict[int, float]:
    values = environment.read_variables()
    chosen: list[int] = random.choice(RAM, CHANGED, replace=False).tolist()
    return {position: float(values[position]) for position in chosen}


def _emulator(rom: str) -> Callable[[Mapping[int, float]], None]:
    """A trial on the bare emulator, in a state of the same age."""
    ale = ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    path = roms.get_rom_path(rom)
    assert path is not None, "games are checked before"
    ale.loadROM(str(path))
    legal = ale.getMinimalActionSet()
    for number in range(AGE * SKIP):
        ale.act(legal[number % len(legal)])
    state = ale.cloneState(include_rng=True)
    height, width = ale.getScreenDims()
    screen = np.empty((height, width, 3), np.uint8)

    def alone(changes: Mapping[int, float]) -> None:
        ale.restoreState(state)
        for _ in range(ENDING):
            ale.act(legal[0])
        ale.restoreState(state)
        for position, value in changes.items():
            ale.setRAM(position, int(value))
        for _ in range(DECISIONS):
            for left in range(SKIP, 0, -1):
                ale.act(legal[0])
                if left <= 2:
                    ale.getScreenRGB(screen)

    return alone


def _seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
