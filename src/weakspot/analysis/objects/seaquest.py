"""Where the objects of Seaquest are, by the emulator's memory.

Enemies and divers keep to four lanes.  For each lane one byte says which of its three slots hold an enemy, one how far
the three have come, one whether they are sharks or submarines, and one where the lane's diver or the submarine's missile
is.
"""

from __future__ import annotations

import numpy as np

from weakspot.analysis.objects.pong_ball import SCREEN_HEIGHT, SCREEN_WIDTH

PLAYER_X, PLAYER_Y, PLAYER_DOWN = 70, 97, 33
SHOT_X, SHOT_DOWN = 103, 40
OXYGEN = 102
OXYGEN_PLACE, OXYGEN_WIDTH, OXYGEN_HEIGHT = (49, 170), 63, 5
LANES = 4
ENEMY_X, ENEMY_SLOTS, ENEMY_KIND, SHARK_BOB = 30, 36, 89, 93
SLOT_STEP = 16
LANE_TOP, LANE_STEP = 141, 24
LANE_ITEM = 71
DYING = 105


def find(frames: np.ndarray, ram: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Windows of player, enemies, divers, shots of both and the oxygen bar; see :mod:`weakspot.analysis.objects.finders`."""
    scale = np.array([frames.shape[2] / SCREEN_WIDTH, frames.shape[1] / SCREEN_HEIGHT] * 2)
    places = [_places(memory) for memory in ram.tolist()]
    return {name: [np.array(place[name], dtype=np.float64).reshape(-1, 4) * scale for place in places] for name in places[0]}


def _places(ram: list[int]) -> dict[str, list[tuple[int, int, int, int]]]:
    """Boxes (left, top, right, bottom) on the emulator's screen."""
    places: dict[str, list[tuple[int, int, int, int]]] = {
        name: [] for name in ("player", "enemies", "divers", "enemy shots", "own shot", "oxygen bar")
    }
    if not 0 < ram[DYING] < 15:
        places["player"].append(_box(ram[PLAYER_X], ram[PLAYER_Y] + PLAYER_DOWN, 16, 11))
    if 0 < ram[SHOT_X] < SCREEN_WIDTH:
        places["own shot"].append(_box(ram[SHOT_X], ram[PLAYER_Y] + SHOT_DOWN, 8, 1))
    if ram[OXYGEN]:
        places["oxygen bar"].append(_box(*OXYGEN_PLACE, OXYGEN_WIDTH, OXYGEN_HEIGHT))
    for lane in range(LANES):
        top = LANE_TOP - LANE_STEP * lane
        submarines = 3 < ram[ENEMY_KIND + lane] % 8 < 7
        for slot in range(3):
            left = (ram[ENEMY_X + lane] + SLOT_STEP * slot) % 256
            if (ram[ENEMY_SLOTS + lane] >> (2 - slot)) & 1 and left < SCREEN_WIDTH - 4:
                shark = _box(left, top + ram[SHARK_BOB] - 4, 8, 7)
                places["enemies"].append(_box(left, top, 8, 11) if submarines else shark)
        item = ram[LANE_ITEM + lane]
        if 0 < item < SCREEN_WIDTH:
            if submarines:
                places["enemy shots"].append(_box(item + 3, top + 4, 6, 4))
            else:
                places["divers"].append(_box(item, top - 4, 8, 11))
    return places


def _box(left: int, top: int, width: int, height: int) -> tuple[int, int, int, int]:
    return left, top, left + width, top + height
