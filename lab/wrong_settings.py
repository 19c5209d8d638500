"""Descriptions of an environment with one wrong setting, and whether ``weakspot check-agent`` names it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weakspot.checkup import CheckConfig, check_up
from weakspot.checkup.search import PLAYS_BETTER
from weakspot.system.files import make_folder, write_text

RIGHT = {"size": "[84, 84]", "gray": '"emulator"'}
"""The lines of a TOML file that describe frames as ale-py's vector environment makes them."""
AREA = "area interpolation and the maximum over two frames"
NO_CROP = "nothing cut off and nothing added"


@dataclass(frozen=True)
class WrongSetting:
    """One wrong setting.

    Attributes:
        lines: of the TOML file that are wrong.
        cure: the name of the change that undoes it.
    """

    lines: dict[str, str]
    cure: str

    @property
    def text(self) -> str:
        """The wrong lines on one line."""
        return ", ".join(f"{name} = {value}" for name, value in self.lines.items())


WRONG = {
    "nearest": WrongSetting({"resize": '"nearest"'}, AREA),
    "last": WrongSetting({"maximum": "1"}, AREA),
    "nearest-last": WrongSetting({"resize": '"nearest"', "maximum": "1"}, AREA),
    "red": WrongSetting({"gray": '"red"'}, "the emulator's gray"),
    "blue": WrongSetting({"gray": '"blue"'}, "the emulator's gray"),
    "down": WrongSetting({"gray": '"rec601"', "rounding": '"down"'}, "the emulator's gray"),
    "transposed": WrongSetting({"transposed": "true"}, "rows and columns exchanged"),
    "crop": WrongSetting({"crop": "[34, 16, 0, 0]"}, NO_CROP),
    "pad": WrongSetting({"size": "[80, 80]", "pad": "[2, 2, 2, 2]"}, NO_CROP),
    "skip": WrongSetting({"frame_skip": "2"}, "frame skip 4"),
}
"""By a short name."""


def measure(name: str, agent: str, environment: str, score: float, folder: Path) -> dict[str, Any]:
    """Checks an agent in an environment with one wrong setting.

    Args:
        name: of the setting, in :data:`WRONG`.
        agent, score: what is checked, and the score it should reach.
        environment: id of an Atari game whose frames are made as :data:`RIGHT` describes them.
        folder: of the TOML file.

    Returns:
        The wrong lines, the agent's score with them, what is named, whether that is right, and processor seconds.
    """
    wrong = WRONG[name]
    lines = {"id": f'"{environment}"', **RIGHT, **wrong.lines}
    path = make_folder(folder) / f"{name}.toml"
    write_text(path, "".join(f"{key} = {value}\n" for key, value in lines.items()))
    before = _processor_seconds()
    findings = list(check_up(CheckConfig(agent, str(path), score=score)))
    seconds = _processor_seconds() - before
    played = next(finding for finding in findings if finding.name == "plays as expected")
    named = [finding for finding in findings if finding.name.startswith(PLAYS_BETTER)]
    names = [finding.name.removeprefix(PLAYS_BETTER) for finding in named]
    equals = [name for finding in named for name in finding.equals]
    return {
        "lines": wrong.text,
        "cure": wrong.cure,
        "score": float(played.seen.split()[0]),
        "named": names,
        "cured": float(named[0].seen.split()[0]) if named else None,
        "equals": equals,
        "result": "plays as expected" if played.passed else _result(wrong.cure, names, equals),
        "cpu_seconds": round(seconds, 1),
    }


def _result(cure: str, names: Sequence[str], equals: Sequence[str]) -> str:
    if cure in names:
        return "named"
    return "not told apart" if cure in equals else "missed"


def _processor_seconds() -> float:
    """Of this process and its finished children."""
    return sum(os.times()[:4])
