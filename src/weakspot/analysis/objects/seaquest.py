"""Finds the objects of Seaquest by the emulator's memory.

Enemies and divers move in four lanes.  Each lane has one byte for which of its three slots contain an enemy, one for the
position of the first slot, one for whether they are sharks or submarines, and one for the position of the lane's diver or of
the submarine's missile.
"""

from __future__ import annotations

import numpy as np

from weakspot.analysis.objects.pong_ball import SCREEN_HEIGHT, SCREEN_WIDTH

PLAYER_X, PLAYER_Y, PLAYER_DOWN = 70, 97, 33
"""Bytes of the player's position, and the offset of its row on the screen."""
SHOT_X, SHOT_DOWN = 103, 40
"""Byte of the column of the player's shot, and the offset of its row from the player's."""
OXYGEN = 102
"""Byte of the oxygen, 0 to 64."""
OXYGEN_CORNER, OXYGEN_WIDTH, OXYGEN_HEIGHT = (49, 170), 63, 5
"""Upper left corner and size of the oxygen bar on the screen."""
LANES = 4
ENEMY_X, ENEMY_SLOTS, ENEMY_KIND, SHARK_BOB = 30, 36, 89, 93
"""First of the lanes' bytes for the position, the slots and the kind of enemies; byte of the sharks' vertical motion."""
SLOT_STEP = 16
"""Pixels from one slot to the next."""
LANE_TOP, LANE_STEP = 141, 24
"""Row of the lowest lane, and rows from one lane up to the next."""
LANE_ITEM = 71
"""First of each lane's bytes for the position of its diver or missile."""
DYING = 105
"""Byte of the countdown after a life was lost."""


def find(frames: np.ndarray, ram: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Windows of player, enemies, divers, shots and the oxygen bar; see :mod:`weakspot.analysis.objects.finders`."""
    scale = np.array([frames.shape[2] / SCREEN_WIDTH, frames.shape[1] / SCREEN_HEIGHT] * 2)
    boxes = [_boxes(memory) for memory in ram.tolist()]
    return {name: [np.array(frame[name], dtype=np.float64).reshape(-1, 4) * scale for frame in boxes] for name in boxes[0]}


def _boxes(ram: list[int]) -> dict[str, list[tuple[int, int, int, int]]]:
    """Boxes (left, top, right, bottom) on the emulator's screen, by the kind of object."""
    boxes: dict[str, list[tuple[int, int, int, int]]] = {
        name: [] for name in ("player", "enemies", "divers", "enemy shots", "own shot", "oxygen bar")
    }
    if not 0 < ram[DYING] < 15:
        boxes["player"].append(_box(ram[PLAYER_X], ram[PLAYER_Y] + PLAYER_DOWN, 16, 11))
    if 0 < ram[SHOT_X] < SCREEN_WIDTH:
        boxes["own shot"].append(_box(ram[SHOT_X], ram[PLAYER_Y] + SHOT_DOWN, 8, 1))
    if ram[OXYGEN]:
        boxes["oxygen bar"].append(_box(*OXYGEN_CORNER, OXYGEN_WIDTH, OXYGEN_HEIGHT))
    for lane in range(LANES):
        top = LANE_TOP - LANE_STEP * lane
        submarines = 3 < ram[ENEMY_KIND + lane] % 8 < 7
        for slot in range(3):
            left = (ram[ENEMY_X + lane] + SLOT_STEP * slot) % 256
            if (ram[ENEMY_SLOTS + lane] >> (2 - slot)) & 1 and left < SCREEN_WIDTH - 4:
                shark = _box(left, top + ram[SHARK_BOB] - 4, 8, 7)
                boxes["enemies"].append(_box(left, top, 8, 11) if submarines else shark)
        item = ram[LANE_ITEM + lane]
        if 0 < item < SCREEN_WIDTH:
            if submarines:
                boxes["enemy shots"].append(_box(item + 3, top + 4, 6, 4))
            else:
                boxes["divers"].append(_box(item, top - 4, 8, 11))
    return boxes


def _box(left: int, top: int, width: int, height: int) -> tuple[int, int, int, int]:
    return left, top, left + width, top + height
