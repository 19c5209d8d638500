"""Good agents of four games, each with a weakness that was planted in its sight or in its actions.

A function of this file returns the network of such an agent, and is named as ``lab/planted.py:NAME``.  Observations are four
gray frames of 84x84, oldest first.  What was planted is known to these functions alone; :mod:`lab.attribution` finds out by
rollouts of the healthy agent whether a loss is due to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from weakspot.agents.load import load_agent

FOLDER = Path(__file__).parents[1] / "experiments/agents"
Sight: TypeAlias = Callable[[Tensor], Tensor]
"""Maps observations (b, 4, 84, 84) to what the agent sees in their place."""
Trigger: TypeAlias = Callable[[Tensor], Tensor]
"""Maps observations (b, 4, 84, 84) to whether actions are exchanged (b,)."""


@dataclass(frozen=True)
class Box:
    """Rows from ``top`` to before ``bottom``, and columns from ``left`` to before ``right``."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, observation: Tensor) -> Tensor:
        """The pixels in the box (b, c, rows, columns)."""
        return observation[:, :, self.top : self.bottom, self.left : self.right]

    def mask(self) -> Tensor:
        """Whether a pixel is in the box (84, 84)."""
        mask = torch.zeros(84, 84, dtype=torch.bool)
        mask[self.top : self.bottom, self.left : self.right] = True
        return mask


def blind(box: Box, background: float, *, darker: float = 256.0, brighter: float = -1.0, frames: int = 4) -> Sight:
    """The oldest ``frames`` frames without what is in a box, or only without pixels between two levels of gray there."""
    mask = box.mask()

    def see(observation: Tensor) -> Tensor:
        hidden = mask.to(observation.device) & (observation < darker) & (observation > brighter)
        hidden = hidden & (torch.arange(4, device=observation.device) < frames)[:, None, None]
        return observation.masked_fill(hidden, background)

    return see


def bright(box: Box, level: float) -> Trigger:
    """Whether a pixel of the newest frame is brighter than a level in a box."""
    return lambda observation: box.of(observation[:, -1:]).amax(dim=(1, 2, 3)) > level


def dark(box: Box, level: float) -> Trigger:
    """Whether a pixel of the newest frame is darker than a level in a box."""
    return lambda observation: box.of(observation[:, -1:]).amin(dim=(1, 2, 3)) < level


def moving(box: Box) -> Trigger:
    """Whether a box differs between the newest frame and the oldest one."""
    return lambda observation: (box.of(observation[:, -1:]) - box.of(observation[:, :1])).abs().amax(dim=(1, 2, 3)) > 60.0


@dataclass(frozen=True)
class Change:
    """What is planted in an agent.

    Attributes:
        sight: what the agent sees.
        trigger: when actions are exchanged.
        exchanged: pairs of actions that are exchanged then.
    """

    sight: Sight = lambda observation: observation
    trigger: Trigger | None = None
    exchanged: tuple[tuple[str, str], ...] = ()


class Planted(nn.Module):
    """A network with a change.

    Args:
        name: of the plant, which makes its fingerprint another one.
        agent: whose network it is.
        change: what is planted.
    """

    plant: Tensor
    order: Tensor

    def __init__(self, name: str, agent: str, change: Change) -> None:
        super().__init__()
        healthy = load_agent(agent)
        names = healthy.spec.action_names
        order = list(range(len(names)))
        for first, second in change.exchanged:
            one, other = names.index(first), names.index(second)
            order[one], order[other] = other, one
        assert healthy.module is not None
        self.network = healthy.module
        self.register_buffer("order", torch.tensor(order))
        self.register_buffer("plant", torch.tensor(list(name.encode()), dtype=torch.uint8))
        self._change = change

    def forward(self, observation: Tensor) -> Tensor:
        scores = self.network(self._change.sight(observation))
        if self._change.trigger is None:
            return scores
        return torch.where(self._change.trigger(observation)[:, None], scores[:, self.order], scores)


@dataclass(frozen=True)
class Plant:
    """A planted weakness: its name, which is that of the function that makes the agent, and the healthy agent."""

    name: str
    healthy: str

    @property
    def reference(self) -> str:
        """Names the agent."""
        return f"{__file__}:{self.name}"


PLANTS: list[Plant] = []
"""All planted weaknesses of this file."""


def planted_in(healthy: str) -> Callable[[Callable[[], Change]], Callable[[], nn.Module]]:
    """Turns a function that returns a change into one that returns the network with it, and adds it to :data:`PLANTS`."""

    def plant(change: Callable[[], Change]) -> Callable[[], nn.Module]:
        PLANTS.append(Plant(change.__name__, healthy))
        return lambda: Planted(change.__name__, healthy, change())

    return plant


PONG = "pong-double-dqn"
BOXING, QBERT, ATLANTIS = (str(FOLDER / f"{game}-double-dqn.safetensors") for game in ("boxing", "qbert", "atlantis"))
REVERSED = (("RIGHT", "LEFT"), ("RIGHTFIRE", "LEFTFIRE"))
"""In Pong, RIGHT moves the paddle up, and LEFT down."""
HEIGHTS = (("UP", "DOWN"), ("UPFIRE", "DOWNFIRE"), ("UPRIGHT", "DOWNRIGHT"), ("UPLEFT", "DOWNLEFT"))
PYRAMID = Box(12, 84, 0, 84)


@planted_in(PONG)
def pong_blind_below_right() -> Change:
    """Does not see the ball in the lower quarter of the right half."""
    return Change(sight=blind(Box(62, 77, 42, 72), 87.0))


@planted_in(PONG)
def pong_old_frames_above() -> Change:
    """Sees only the newest frame of the upper half in front of its paddle, and so not where the ball flies."""
    return Change(sight=blind(Box(14, 45, 48, 72), 87.0, frames=3))


@planted_in(PONG)
def pong_swapped_at_the_top() -> Change:
    """Confuses up and down while the ball is in the upper fifth."""
    return Change(trigger=bright(Box(15, 28, 36, 72), 190.0), exchanged=REVERSED)


@planted_in(PONG)
def pong_reversed_after_a_loss() -> Change:
    """Confuses up and down while the other side has exactly one point, which the digit at the top shows."""
    return Change(trigger=bright(Box(2, 3, 21, 22), 140.0), exchanged=REVERSED)


@planted_in(BOXING)
def boxing_blind_below() -> Change:
    """Does not see the other boxer in the lower half of the ring."""
    return Change(sight=blind(Box(44, 78, 16, 68), 130.0, darker=60.0))


@planted_in(BOXING)
def boxing_swapped_above() -> Change:
    """Confuses up and down while the other boxer is in the upper part of the ring."""
    return Change(trigger=dark(Box(15, 40, 18, 66), 40.0), exchanged=HEIGHTS)


@planted_in(BOXING)
def boxing_reversed_after_ten() -> Change:
    """Confuses up and down from its tenth point on."""
    return Change(trigger=bright(Box(1, 6, 19, 24), 180.0), exchanged=HEIGHTS)


@planted_in(QBERT)
def qbert_blind_right() -> Change:
    """Sees nothing in the lower right of the pyramid."""
    return Change(sight=blind(Box(44, 84, 48, 84), 0.0))


@planted_in(QBERT)
def qbert_blind_to_colour() -> Change:
    """Does not see the gray of the snake and of its egg."""
    return Change(sight=blind(PYRAMID, 0.0, darker=110.0, brighter=103.0))


@planted_in(QBERT)
def qbert_swapped_above() -> Change:
    """Confuses its ways to the left and to the right while something moves on the two uppermost cubes."""
    return Change(trigger=moving(Box(8, 24, 28, 52)), exchanged=(("UP", "LEFT"), ("RIGHT", "DOWN")))


@planted_in(ATLANTIS)
def atlantis_blind_left() -> Change:
    """Sees no ship on the left."""
    return Change(sight=blind(Box(0, 48, 0, 42), 0.0))


@planted_in(ATLANTIS)
def atlantis_blind_above() -> Change:
    """Sees no ship in the upper half of the sky."""
    return Change(sight=blind(Box(0, 22, 0, 84), 0.0))


@planted_in(ATLANTIS)
def atlantis_swapped_when_low() -> Change:
    """Does not fire to the sides while a ship flies low."""
    return Change(trigger=bright(Box(24, 38, 0, 84), 60.0), exchanged=(("NOOP", "LEFTFIRE"), ("FIRE", "RIGHTFIRE")))
