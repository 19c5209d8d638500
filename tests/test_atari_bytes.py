"""The meanings of bytes: over random play, each follows what the screen shows."""

import ale_py
import numpy as np
import pytest
from ale_py import ALEInterface, roms

from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.atari_bytes import MEANINGS, bytes_of

FOLLOWS = 0.9
"""Least correlation; jumps and rounding keep some below 1."""
TAKEN = 6
"""Emulator frames for which an action is held."""


def play(game, frames=6_000):
    """Memory, screen, lives and score of random play, eight emulator frames apart."""
    ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    emulator = ALEInterface()
    emulator.setInt("random_seed", 0)
    emulator.setFloat("repeat_action_probability", 0.0)
    emulator.loadROM(roms.get_rom_path(game))
    random, score, seen = np.random.default_rng(0), 0, []
    actions = emulator.getMinimalActionSet()
    for number in range(frames):
        if number % TAKEN == 0:
            action = actions[random.integers(len(actions))]
        score += emulator.act(action)
        if emulator.game_over():
            emulator.reset_game()
            score = 0
        if number % 8 == 0:
            seen.append((emulator.getRAM().astype(float), emulator.getScreenRGB(), emulator.lives(), score))
    memory, screen, lives, scores = zip(*seen, strict=True)
    return np.stack(memory), np.stack(screen), np.array(lives, float), np.array(scores, float)


def place(screen, colour, top, bottom, left, right, least=1, most=10_000):
    """Mean column and row of the pixels of a colour in a box, NaN where there are too few or too many; and their number."""
    box = screen[:, top:bottom, left:right].astype(int)
    found = np.abs(box - np.array(colour)).max(axis=3) <= 8
    count = found.sum(axis=(1, 2))
    usable = (count >= least) & (count <= most)
    with np.errstate(invalid="ignore"):
        rows = (found * np.arange(bottom - top)[None, :, None]).sum(axis=(1, 2)) / np.where(usable, count, np.nan)
        columns = (found * np.arange(right - left)).sum(axis=(1, 2)) / np.where(usable, count, np.nan)
    return columns, rows, count.astype(float)


def on_screen(game):
    """What the screen shows, by the byte that should follow it, and the memory."""
    memory, screen, lives, score = play(game)
    green, orange, white, yellow = (92, 186, 92), (213, 130, 74), (236, 236, 236), (187, 187, 53)
    if game == "pong":
        ball = place(screen, white, 34, 194, 22, 138, most=12)
        own, other = place(screen, green, 34, 194, 130, 160), place(screen, orange, 34, 194, 10, 30)
        points = {14: score + memory[:, 13], 13: memory[:, 14] - score}
        return memory, {49: ball[0], 54: ball[1], 51: own[1], 50: other[1], **points}
    if game == "boxing":
        own, other = place(screen, (214, 214, 214), 36, 178, 30, 130), place(screen, (0, 0, 0), 36, 178, 34, 126)
        tens = [decimal(memory[:, byte]) for byte in (18, 19)]
        return memory, {32: own[0], 34: own[1], 33: other[0], 35: other[1], 18: score + tens[1], 19: tens[0] - score}
    if game == "seaquest":
        own, bar = place(screen, yellow, 40, 170, 0, 160, least=6), place(screen, (214, 214, 214), 169, 176, 49, 112)
        return memory, {70: own[0], 97: own[1], 102: bar[2], 59: lives}
    if game == "qbert":
        own = place(screen, (181, 83, 40), 30, 190, 0, 160, least=8)
        return memory, {43: own[0], 67: own[1]}
    if game == "breakout":
        paddle = place(screen, (200, 72, 72), 189, 194, 8, 152)
        ball = place(screen, (200, 72, 72), 93, 188, 8, 152)
        return memory, {72: paddle[0], 99: ball[0], 101: ball[1], 57: lives}
    if game == "space_invaders":
        own, others = place(screen, (50, 132, 50), 184, 196, 0, 160), place(screen, (134, 134, 29), 20, 180, 0, 160)
        return memory, {28: own[0], 73: lives, 16: others[1], 17: others[2]}
    if game == "ms_pacman":
        own = place(screen, (210, 164, 74), 0, 210, 0, 160, least=8)
        return memory, {10: own[0], 16: own[1], 123: lives}
    assert game == "atlantis"
    return memory, {113: lives}


def decimal(values):
    """Numbers from two decimal digits of four bits each."""
    return 10 * (values // 16) + values % 16


@pytest.mark.parametrize("game", MEANINGS)
def test_every_byte_with_a_meaning_follows_what_the_screen_shows(game):
    memory, measured = on_screen(game)
    assert set(measured) == set(MEANINGS[game])
    for byte, values in measured.items():
        known = np.isfinite(values)
        assert known.sum() > 100 and values[known].std() > 0, byte
        correlation = np.corrcoef(memory[known, byte], values[known])[0, 1]
        assert abs(correlation) > FOLLOWS, (byte, MEANINGS[game][byte], correlation)


def test_variables_of_a_game_are_named_after_their_bytes():
    variables = bytes_of("seaquest")
    assert len(variables) == 128 and variables[102].name == "byte 102 (oxygen)" and variables[103].name == "byte 103"
    assert {variable.name for variable in bytes_of("alien")} == {f"byte {number}" for number in range(128)}
    environment = AtariEnvironment(AtariConfig("SeaquestNoFrameskip-v4"))
    assert environment.variables == variables
    environment.close()
